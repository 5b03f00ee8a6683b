/* The one send, poll, drain loop. All that talks to a server goes through it: single statements, scripts, pipelines. */
#ifndef MIG_PG_EXEC_H
#define MIG_PG_EXEC_H

#include "pg/conn.h"

typedef struct mig_params {
  int count; /* -1: simple protocol, in which sql may hold several statements */
  const char *const *values;
  const int *lengths;
} mig_params;

int mig_pg_send(mig_pg *pg, const char *sql, const mig_params *params, mig_err *err) MIG_MUSTCHECK;

/* The next result of what was sent, owned by the caller; NULL at the end of a command. An error of the server is a
 * result like any other. When the deadline passes or a signal comes, the running statement is cancelled and what is
 * outstanding is read away first, so that the session can still be rolled back; a session that does not answer even
 * then is closed. */
int mig_pg_next(mig_pg *pg, mig_deadline deadline, PGresult **out, mig_err *err) MIG_MUSTCHECK;

/* Has the next result arrived before the deadline? 1, 0, or -1 when a signal came (the statement is cancelled, as
 * above) or the session is lost. */
int mig_pg_ready(mig_pg *pg, mig_deadline deadline, mig_err *err) MIG_MUSTCHECK;

/* Without waiting: sends what can be sent and reads what is there; and then, has the next result been read? */
int mig_pg_take_in(mig_pg *pg, mig_err *err) MIG_MUSTCHECK;
int mig_pg_has_come(mig_pg *pg);

/* Reads results until the command ends. */
int mig_pg_drain(mig_pg *pg, mig_deadline deadline, mig_err *err) MIG_MUSTCHECK;

/* Pipeline mode: begin, then send any number, sync or flush now and then, next; end leaves it and drops what is left.
 */
int mig_pipeline_begin(mig_pg *pg, mig_err *err) MIG_MUSTCHECK;
int mig_pipeline_sync(mig_pg *pg, mig_err *err) MIG_MUSTCHECK;  /* a point up to which errors reach */
int mig_pipeline_flush(mig_pg *pg, mig_err *err) MIG_MUSTCHECK; /* asks the server to answer what it has */
int mig_pipeline_end(mig_pg *pg, mig_deadline deadline, mig_err *err) MIG_MUSTCHECK;

/* Waits for the server within deadline; -1 with `connect` when the session is gone. Shared with copy.c. */
int mig_pg_wait(mig_pg *pg, mig_deadline deadline, mig_err *err) MIG_MUSTCHECK;
int mig_pg_abandon(mig_pg *pg);

#endif
