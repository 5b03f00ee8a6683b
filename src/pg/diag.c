#include "pg/diag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *field(const PGresult *result, int code) {
  const char *text = PQresultErrorField(result, code);
  return text ? text : "";
}

int mig_diag_result(const PGresult *result, mig_err *err) {
  const char *message = field(result, PG_DIAG_MESSAGE_PRIMARY);
  const char *position = field(result, PG_DIAG_STATEMENT_POSITION);
  mig_err_set(err, "sql", "%s", message[0] ? message : PQresultErrorMessage(result));
  mig_text_copy(err->sqlstate, sizeof err->sqlstate, field(result, PG_DIAG_SQLSTATE));
  mig_text_copy(err->severity, sizeof err->severity, field(result, PG_DIAG_SEVERITY_NONLOCALIZED));
  mig_text_copy(err->detail, sizeof err->detail, field(result, PG_DIAG_MESSAGE_DETAIL));
  mig_text_copy(err->hint, sizeof err->hint, field(result, PG_DIAG_MESSAGE_HINT));
  mig_text_copy(err->context, sizeof err->context, field(result, PG_DIAG_CONTEXT));
  err->position = (int)strtol(position, NULL, 10);
  /* No server says that: libpq does, where what came is no protocol of its. */
  if (err->sqlstate[0] == '\0') err->code = "connect";
  if (strcmp(err->sqlstate, "55P03") == 0) err->code = "lock";
  if (strncmp(err->sqlstate, "57P0", 4) == 0 || strcmp(err->severity, "FATAL") == 0 ||
      strcmp(err->severity, "PANIC") == 0)
    err->code = "connect"; /* the server, or a pooler, ends the session, or is not up */
  return -1;
}

/* While connecting, libpq offers no fields, only a text. Asked to be verbose it has this shape, from which we take all
 * but the location: `…: FATAL:  28P01: message\nDETAIL:  …\nHINT:  …\nLOCATION:  …`. */
static void take_line(const char *text, const char *label, char *to, size_t size) {
  const char *at = strstr(text, label), *end;
  char line[2048];
  if (!at) return;
  at += strlen(label);
  at += strspn(at, " ");
  end = strchr(at, '\n');
  snprintf(line, sizeof line, "%.*s", end ? (int)(end - at) : (int)strlen(at), at);
  mig_text_copy(to, size, line);
}

int mig_diag_connect(const PGconn *conn, mig_err *err) {
  const char *text = PQerrorMessage(conn), *host = PQhost(conn), *port = PQport(conn);
  char line[sizeof err->message] = "";
  const char *why = line;
  mig_err found;
  mig_err_set(&found, "connect", " ");
  take_line(text, "FATAL:", line, sizeof line);
  if (strlen(line) > 7 && line[5] == ':') {
    memcpy(found.sqlstate, line, 5);
    found.sqlstate[5] = '\0';
    why = line + 7;
  } else {
    mig_text_copy(line, sizeof line, text);
  }
  take_line(text, "DETAIL:", found.detail, sizeof found.detail);
  take_line(text, "HINT:", found.hint, sizeof found.hint);
  if (found.sqlstate[0] == '\0') {
    snprintf(found.message, sizeof found.message, "cannot connect: %.2000s", why);
  } else {
    snprintf(found.message, sizeof found.message, "cannot connect to %.200s port %.20s: %.1700s",
             host && host[0] ? host : "the server", port ? port : "?", why);
  }
  *err = found;
  return -1;
}

int mig_diag_lost(const PGconn *conn, mig_err *err) {
  const char *text = PQerrorMessage(conn); /* behind the first line stand guesses */
  return mig_err_set(err, "connect", "connection to the server was lost: %.*s", (int)strcspn(text, "\n"),
                     text[0] ? text : "no reason given");
}
