#include "pg/conn.h"

#include <poll.h>
#include <string.h>

#include "base/wait.h"
#include "pg/diag.h"

static void keep_notice(void *arg, const PGresult *result) {
  mig_notices *ring = arg;
  mig_notice *slot;
  if (ring->count == MIG_NOTICES) {
    ring->dropped++;
    return;
  }
  slot = &ring->items[(ring->first + ring->count++) % MIG_NOTICES];
  mig_text_copy(slot->severity, sizeof slot->severity, PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED));
  mig_text_copy(slot->sqlstate, sizeof slot->sqlstate, PQresultErrorField(result, PG_DIAG_SQLSTATE));
  mig_text_copy(slot->message, sizeof slot->message, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
  mig_text_copy(slot->detail, sizeof slot->detail, PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL));
  mig_text_copy(slot->hint, sizeof slot->hint, PQresultErrorField(result, PG_DIAG_MESSAGE_HINT));
}

int mig_notice_take(mig_notices *ring, mig_notice *out) {
  if (ring->count == 0) return 0;
  *out = ring->items[ring->first];
  ring->first = (ring->first + 1) % MIG_NOTICES;
  ring->count--;
  return 1;
}

static void (*meanwhile)(void);

void mig_pg_meanwhile(void (*work)(void)) { meanwhile = work; }

static int start(PGconn *conn, mig_deadline deadline, mig_err *err) {
  PostgresPollingStatusType state = PGRES_POLLING_WRITING;
  void (*work)(void) = PQpass(conn) && PQpass(conn)[0] ? meanwhile : NULL;
  while (state != PGRES_POLLING_OK) {
    short events = state == PGRES_POLLING_WRITING ? POLLOUT : POLLIN;
    if (state == PGRES_POLLING_FAILED || PQstatus(conn) == CONNECTION_BAD) return mig_diag_connect(conn, err);
    if (events == POLLIN && work) {
      work();
      work = NULL;
    }
    if (mig_wait_fd(PQsocket(conn), events, deadline, NULL, err)) {
      if (strcmp(err->code, "timeout") == 0)
        return mig_err_set(err, "connect", "no answer from %s port %s before the deadline",
                           PQhost(conn) ? PQhost(conn) : "the server", PQport(conn) ? PQport(conn) : "");
      return -1;
    }
    state = PQconnectPoll(conn);
  }
  return 0;
}

int mig_pg_open(mig_pg *pg, const char *const *keywords, const char *const *values, mig_deadline deadline,
                mig_err *err) {
  memset(&pg->notices, 0, sizeof pg->notices);
  pg->cancel = NULL;
  pg->conn = PQconnectStartParams(keywords, values, 0);
  if (!pg->conn) return mig_err_set(err, "internal", "out of memory");
  PQsetNoticeReceiver(pg->conn, keep_notice, &pg->notices);
  PQsetErrorVerbosity(pg->conn, PQERRORS_VERBOSE);
  if (start(pg->conn, deadline, err) == 0) {
    PQsetErrorVerbosity(pg->conn, PQERRORS_DEFAULT);
    pg->cancel = PQgetCancel(pg->conn);
    if (pg->cancel && PQsetnonblocking(pg->conn, 1) == 0) return 0;
    mig_err_set(err, "internal", "out of memory");
  }
  mig_pg_close(pg);
  return -1;
}

void mig_pg_move(mig_pg *to, mig_pg *from) {
  *to = *from;
  from->conn = NULL;
  from->cancel = NULL;
  PQsetNoticeReceiver(to->conn, keep_notice, &to->notices);
}

void mig_pg_close(mig_pg *pg) {
  PGconn *conn = pg->conn;
  PGcancel *cancel = pg->cancel;
  pg->conn = NULL;
  pg->cancel = NULL;
  if (cancel) PQfreeCancel(cancel);
  if (conn) PQfinish(conn);
}
