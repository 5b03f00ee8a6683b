/* A session opened on a thread of its own while its owner does something else. */
#ifndef MIG_PG_LATER_H
#define MIG_PG_LATER_H

#include "pg/conn.h"

enum { MIG_QUESTIONS = 4 };

/* What came back for the questions: for each its answer, or the server's error, and then the end of its section. */
typedef struct mig_answers {
  size_t count;
  PGresult *list[2 * MIG_QUESTIONS];
} mig_answers;

typedef struct mig_later mig_later;

/* What to ask as soon as the session is open, in one flight, each a section of its own; $1 of the first is the
 * backend's pid as libpq knows it. */
typedef struct mig_questions {
  const char *list[MIG_QUESTIONS + 1]; /* and a NULL */
  int oldest;                          /* server version; an older one is asked nothing */
  mig_deadline patience;               /* the answers' deadline */
} mig_questions;

/* As mig_pg_open, but returns at once; everything is copied. NULL on failure. */
mig_later *mig_later_start(const char *const *keywords, const char *const *values, mig_deadline deadline,
                           const mig_questions *questions, mig_err *err) MIG_MUSTCHECK;

int mig_later_is_due(const mig_later *later); /* is it open, or has it failed? */

/* Waits until it is open and has its answers, or has failed; moves it into pg, and them to the caller. Once;
 * mig_later_free is due in either case. */
int mig_later_take(mig_later *later, mig_pg *pg, mig_answers *answers, mig_err *err) MIG_MUSTCHECK;

/* Does not wait: what is still under way closes itself. */
void mig_later_free(mig_later *later);

/* How many are still at work. While there is one, the process must not run its exit handlers: libcrypto's would take
 * away what the thread uses. */
int mig_later_threads(void);

#endif
