#include "pg/exec.h"

#include <poll.h>
#include <string.h>
#include <time.h>

#include "base/wait.h"
#include "pg/alive.h"
#include "pg/cancel.h"
#include "pg/diag.h"

enum { CANCEL_MS = 1500, DRAIN_MS = 1500, LOOK_MS = 5000, PACE_NS = 1000000 };

static int lost(mig_pg *pg, mig_err *err) {
  mig_diag_lost(pg->conn, err);
  mig_pg_close(pg);
  return -1;
}

int mig_pg_send(mig_pg *pg, const char *sql, const mig_params *params, mig_err *err) {
  pg->sent = pg->unsynced = 1;
  int sent = params->count < 0
                 ? PQsendQuery(pg->conn, sql)
                 : PQsendQueryParams(pg->conn, sql, params->count, NULL, params->values, params->lengths, NULL, 0);
  if (sent) return 0;
  if (PQstatus(pg->conn) == CONNECTION_BAD) return lost(pg, err);
  return mig_err_set(err, "internal", "cannot send: %s", PQerrorMessage(pg->conn));
}

/* As mig_wait_fd, but a peer that has acknowledged nothing for long is gone: looked at now and then, since a deadline
 * may be far off or never. */
static int wait_alive(mig_pg *pg, short events, mig_deadline deadline, short *ready, mig_err *err) {
  for (;;) {
    mig_deadline look = mig_after_ms(LOOK_MS);
    if (mig_wait_fd(PQsocket(pg->conn), events, look < deadline ? look : deadline, ready, err) == 0) return 0;
    if (strcmp(err->code, "timeout") != 0) return -1;
    if (mig_is_silent(PQsocket(pg->conn))) {
      mig_pg_close(pg);
      return mig_err_set(err, "connect", "connection to the server was lost: nothing was acknowledged for %d s",
                         MIG_SILENCE_MS / 1000);
    }
    if (deadline <= look) return -1;
  }
}

/* Being woken for each answer costs both sides more than most statements take. */
static void keep_pace(const mig_pg *pg) {
  int64_t left = pg->read_at + PACE_NS - mig_now();
  struct timespec pause = {.tv_nsec = left};
  if (left > 0) nanosleep(&pause, NULL);
}

/* One step: push out what waits to be sent, take in what has come. */
int mig_pg_wait(mig_pg *pg, mig_deadline deadline, mig_err *err) {
  short ready;
  int pending = PQflush(pg->conn);
  if (pending == 0 && pg->sent) {
    pg->sent = 0;
    pg->round_trips++;
  }
  if (pending < 0) return lost(pg, err);
  if (pg->paced) keep_pace(pg);
  if (wait_alive(pg, (short)(pending ? POLLIN | POLLOUT : POLLIN), deadline, &ready, err)) return -1;
  if (!(ready & ~POLLOUT)) return 0;
  pg->read_at = mig_now();
  return PQconsumeInput(pg->conn) ? 0 : lost(pg, err);
}

static int next_result(mig_pg *pg, mig_deadline deadline, PGresult **out, mig_err *err) {
  *out = NULL;
  while (PQisBusy(pg->conn) || PQflush(pg->conn) > 0)
    if (mig_pg_wait(pg, deadline, err)) return -1;
  *out = PQgetResult(pg->conn);
  if (PQstatus(pg->conn) == CONNECTION_BAD) {
    mig_err fatal;
    int has_words = *out && PQresultErrorField(*out, PG_DIAG_SQLSTATE);
    if (has_words) mig_diag_result(*out, &fatal);
    PQclear(*out);
    *out = NULL;
    lost(pg, err);
    if (has_words) {
      *err = fatal;
      err->code = "connect";
    }
    return -1;
  }
  return 0;
}

/* Rows of a COPY TO STDOUT that nobody wants; until they are read, PQgetResult answers the same over and over. */
static int drop_copy(mig_pg *pg, mig_deadline deadline, mig_err *err) {
  for (;;) {
    char *data = NULL;
    int len = PQgetCopyData(pg->conn, &data, 1);
    PQfreemem(data);
    if (len < 0) return 0;
    if (len == 0 && mig_pg_wait(pg, deadline, err)) return -1;
  }
}

/* Reads until the server has nothing more to say: in a pipeline, until the answer to the last sync. */
static int read_away(mig_pg *pg, mig_deadline deadline, mig_err *err) {
  PGresult *result;
  int nulls = 0, in_pipeline = PQpipelineStatus(pg->conn) != PQ_PIPELINE_OFF;
  if (in_pipeline && pg->unsynced && mig_pipeline_sync(pg, err)) return -1;
  for (;;) {
    ExecStatusType status;
    if (next_result(pg, deadline, &result, err)) return -1;
    status = result ? PQresultStatus(result) : PGRES_EMPTY_QUERY;
    PQclear(result);
    if (status == PGRES_COPY_IN) PQputCopyEnd(pg->conn, "abandoned");
    if (status == PGRES_COPY_OUT && drop_copy(pg, deadline, err)) return -1;
    nulls = result ? 0 : nulls + 1;
    if (!in_pipeline && !result) return 0;
    if (in_pipeline && nulls > 1) return 0; /* two in a row: the queue is empty */
  }
}

int mig_pg_abandon(mig_pg *pg) {
  mig_err ignored;
  if (!pg->conn) return -1;
  if (PQtransactionStatus(pg->conn) == PQTRANS_ACTIVE || PQpipelineStatus(pg->conn) != PQ_PIPELINE_OFF) {
    if (mig_pg_cancel(pg, mig_after_ms(CANCEL_MS), &ignored) || read_away(pg, mig_after_ms(DRAIN_MS), &ignored)) {
      mig_pg_close(pg);
      return -1;
    }
  }
  return 0;
}

int mig_pg_next(mig_pg *pg, mig_deadline deadline, PGresult **out, mig_err *err) {
  if (next_result(pg, deadline, out, err) == 0) return 0;
  if (pg->conn) mig_pg_abandon(pg);
  return -1;
}

int mig_pg_ready(mig_pg *pg, mig_deadline deadline, mig_err *err) {
  while (PQflush(pg->conn) > 0 || PQisBusy(pg->conn)) {
    if (mig_pg_wait(pg, deadline, err) == 0) continue;
    if (strcmp(err->code, "timeout") == 0) return 0;
    if (pg->conn) mig_pg_abandon(pg);
    return -1;
  }
  return 1;
}

int mig_pg_take_in(mig_pg *pg, mig_err *err) {
  if (PQflush(pg->conn) < 0 || !PQconsumeInput(pg->conn)) return lost(pg, err);
  pg->read_at = mig_now();
  return 0;
}

int mig_pg_has_come(mig_pg *pg) { return !PQisBusy(pg->conn) && PQflush(pg->conn) == 0; }

int mig_pg_drain(mig_pg *pg, mig_deadline deadline, mig_err *err) {
  for (;;) {
    PGresult *result;
    if (mig_pg_next(pg, deadline, &result, err)) return -1;
    if (!result) return 0;
    PQclear(result);
  }
}

int mig_pipeline_begin(mig_pg *pg, mig_err *err) {
  if (PQenterPipelineMode(pg->conn)) return 0;
  return mig_err_set(err, "internal", "cannot enter pipeline mode: %s", PQerrorMessage(pg->conn));
}

int mig_pipeline_sync(mig_pg *pg, mig_err *err) {
  pg->unsynced = 0;
  if (PQpipelineSync(pg->conn)) return 0;
  if (PQstatus(pg->conn) == CONNECTION_BAD) return lost(pg, err);
  return mig_err_set(err, "internal", "cannot sync: %s", PQerrorMessage(pg->conn));
}

int mig_pipeline_flush(mig_pg *pg, mig_err *err) {
  if (PQsendFlushRequest(pg->conn))
    return 0; /* libpq sends every 8 KiB of it, and the rest when an answer is waited for */
  if (PQstatus(pg->conn) == CONNECTION_BAD) return lost(pg, err);
  return mig_err_set(err, "internal", "cannot flush: %s", PQerrorMessage(pg->conn));
}

int mig_pipeline_end(mig_pg *pg, mig_deadline deadline, mig_err *err) {
  if (!PQexitPipelineMode(pg->conn)) {
    if (read_away(pg, deadline, err)) {
      if (pg->conn) mig_pg_abandon(pg);
      return -1;
    }
    if (!PQexitPipelineMode(pg->conn))
      return mig_err_set(err, "internal", "cannot leave pipeline mode: %s", PQerrorMessage(pg->conn));
  }
  return 0;
}
