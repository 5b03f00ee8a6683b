#include "pg/copy.h"

#include <limits.h>
#include <poll.h>
#include <stdlib.h>

#include "base/wait.h"
#include "pg/diag.h"

int mig_copy_start(mig_pg *pg, int in, mig_deadline deadline, mig_err *err) {
  PGresult *result;
  ExecStatusType status, wanted = in ? PGRES_COPY_IN : PGRES_COPY_OUT;
  mig_err ignored;
  if (mig_pg_next(pg, deadline, &result, err)) return -1;
  status = PQresultStatus(result);
  if (status == wanted) {
    PQclear(result);
    return 0;
  }
  if (status == PGRES_FATAL_ERROR) {
    mig_diag_result(result, err);
  } else {
    mig_err_set(err, "usage", "the statement is not a COPY %s", in ? "FROM STDIN" : "TO STDOUT");
  }
  PQclear(result);
  if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT) {
    mig_pg_abandon(pg);
  } else if (mig_pg_drain(pg, deadline, &ignored)) {
    return -1;
  }
  return -1;
}

static int last_result(mig_pg *pg, int aborted, mig_deadline deadline, long long *rows, mig_err *err) {
  PGresult *result;
  int failed = 0;
  for (;;) {
    if (mig_pg_next(pg, deadline, &result, err)) return -1;
    if (!result) return failed;
    if (PQresultStatus(result) == PGRES_COMMAND_OK) {
      *rows = strtoll(PQcmdTuples(result), NULL, 10);
    } else if (!aborted && !failed) {
      failed = mig_diag_result(result, err);
    }
    PQclear(result);
  }
}

/* The server ended the COPY on its own: its reason is waiting to be read. */
static int refused(mig_pg *pg, mig_deadline deadline, mig_err *err) {
  long long rows;
  if (last_result(pg, 0, deadline, &rows, err)) return -1;
  return mig_err_set(err, "internal", "the server ended the COPY without a reason");
}

/* The session is lost. libpq looks at the server's last words only when it is not copying any more. */
static int gone(mig_pg *pg, mig_err *err) {
  PGresult *result;
  int found = 0;
  PQputCopyEnd(pg->conn, "lost");
  while (!found && PQstatus(pg->conn) == CONNECTION_BAD && (result = PQgetResult(pg->conn))) {
    found = PQresultErrorField(result, PG_DIAG_SQLSTATE) != NULL;
    if (found) mig_diag_result(result, err);
    PQclear(result);
  }
  if (!found) mig_diag_lost(pg->conn, err);
  err->code = "connect";
  mig_pg_close(pg);
  return -1;
}

/* Waits until the server takes more. Without the look at what it says, the end of its process would be noticed only
 * when all rows were sent: libpq keeps silent about a failed send until then. */
static int make_room(mig_pg *pg, mig_deadline deadline, mig_err *err) {
  int pending;
  do {
    short ready = 0;
    int failed = mig_remaining_ms(deadline) == 0
                     ? mig_err_set(err, "timeout", "deadline passed")
                     : mig_wait_fd(PQsocket(pg->conn), POLLIN | POLLOUT, deadline, &ready, err);
    if (failed) {
      mig_pg_abandon(pg);
      return -1;
    }
    if ((ready & ~POLLOUT) && !PQconsumeInput(pg->conn)) return gone(pg, err);
    pending = PQflush(pg->conn);
    if (pending < 0) return gone(pg, err);
  } while (pending > 0);
  return 0;
}

int mig_copy_put(mig_pg *pg, const char *data, size_t len, mig_deadline deadline, mig_err *err) {
  while (len > 0) {
    int n = len > MIG_COPY_CHUNK ? MIG_COPY_CHUNK : (int)len;
    int sent;
    if (make_room(pg, deadline, err)) return -1;
    sent = PQputCopyData(pg->conn, data, n);
    if (sent < 0) return PQstatus(pg->conn) == CONNECTION_BAD ? gone(pg, err) : refused(pg, deadline, err);
    if (sent > 0) {
      data += n;
      len -= (size_t)n;
    }
  }
  return 0;
}

int mig_copy_end(mig_pg *pg, const char *reason, mig_deadline deadline, long long *rows, mig_err *err) {
  *rows = 0;
  while (PQputCopyEnd(pg->conn, reason) == 0)
    if (mig_pg_wait(pg, deadline, err)) return -1;
  return last_result(pg, reason != NULL, deadline, rows, err);
}

int mig_copy_get(mig_pg *pg, mig_deadline deadline, char **data, int *len, long long *rows, mig_err *err) {
  *data = NULL;
  *rows = 0;
  while ((*len = PQgetCopyData(pg->conn, data, 1)) == 0)
    if (mig_pg_wait(pg, deadline, err)) return -1;
  if (*len > 0) return 0;
  return last_result(pg, 0, deadline, rows, err);
}
