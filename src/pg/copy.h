/* COPY in chunks, either way, in bounded memory. The COPY statement itself is sent with mig_pg_send. */
#ifndef MIG_PG_COPY_H
#define MIG_PG_COPY_H

#include "pg/exec.h"

enum { MIG_COPY_CHUNK = 1 << 16 };

/* After mig_pg_send: is the server ready to take (in) or give (out) rows? */
int mig_copy_start(mig_pg *pg, int in, mig_deadline deadline, mig_err *err) MIG_MUSTCHECK;
/* Waits for what was put before, not for data: the next piece is made while this one travels. On failure the COPY is
 * over and nothing of it is in; the session can be used further unless it is lost. */
int mig_copy_put(mig_pg *pg, const char *data, size_t len, mig_deadline deadline, mig_err *err) MIG_MUSTCHECK;
/* reason NULL: done, *rows is what the server counted; otherwise the COPY fails with that reason, which is success
 * here. */
int mig_copy_end(mig_pg *pg, const char *reason, mig_deadline deadline, long long *rows, mig_err *err) MIG_MUSTCHECK;
/* *data is freed with PQfreemem; NULL when all has come, with *rows set. */
int mig_copy_get(mig_pg *pg, mig_deadline deadline, char **data, int *len, long long *rows, mig_err *err) MIG_MUSTCHECK;

#endif
