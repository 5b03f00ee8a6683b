/* A session: opening it within a deadline, and the notices that the server sends. */
#ifndef MIG_PG_CONN_H
#define MIG_PG_CONN_H

#include <libpq-fe.h>

#include "base/clock.h"
#include "base/err.h"

enum { MIG_NOTICES = 64 };

typedef struct mig_notice {
  char severity[16];
  char sqlstate[6];
  char message[1024];
  char detail[512];
  char hint[512];
} mig_notice;

/* A bounded ring that libpq's callback writes and its owner drains after each call: no Lua below libpq's frames. */
typedef struct mig_notices {
  mig_notice items[MIG_NOTICES];
  unsigned first, count, dropped;
} mig_notices;

typedef struct mig_pg {
  PGconn *conn;
  PGcancel *cancel; /* made while nothing is wrong, for the moment when something is */
  mig_notices notices;
  int sent;             /* something was sent that was not waited for yet */
  int unsynced;         /* statements of a pipeline behind its last sync */
  unsigned round_trips; /* how often an answer was waited for; connecting is not counted */
  int paced;            /* many answers are to come: fetch them once a millisecond */
  int64_t read_at;      /* when the last were fetched */
} mig_pg;

/* keywords and values as PQconnectStartParams takes them. On failure pg->conn is NULL. */
int mig_pg_open(mig_pg *pg, const char *const *keywords, const char *const *values, mig_deadline deadline,
                mig_err *err) MIG_MUSTCHECK;

/* What to do while a server starts a backend, when a password will be asked for. Set once, for all sessions. */
void mig_pg_meanwhile(void (*work)(void));

void mig_pg_move(mig_pg *to, mig_pg *from); /* from is closed then */
void mig_pg_close(mig_pg *pg);              /* idempotent */

/* Oldest first; 0 when there is none left. */
int mig_notice_take(mig_notices *ring, mig_notice *out);

#endif
