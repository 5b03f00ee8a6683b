/* A session opened on a thread of its own while its owner does something else. */
#ifndef MIG_PG_LATER_H
#define MIG_PG_LATER_H

#include "pg/conn.h"

typedef struct mig_later mig_later;

/* As mig_pg_open, but returns at once; the words are copied. NULL on failure. */
mig_later *mig_later_start(const char *const *keywords, const char *const *values, mig_deadline deadline,
                           mig_err *err) MIG_MUSTCHECK;

/* Waits until it is open or has failed, and moves it into pg. Once; mig_later_free is due in either case. */
int mig_later_take(mig_later *later, mig_pg *pg, mig_err *err) MIG_MUSTCHECK;

/* Does not wait: what is still under way closes itself. */
void mig_later_free(mig_later *later);

/* How many are still at work. While there is one, the process must not run its exit handlers: libcrypto's would take
 * away what the thread uses. */
int mig_later_threads(void);

#endif
