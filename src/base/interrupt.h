/* SIGINT and SIGTERM as one event that every wait sees.
 *
 *   idle ──signal──► pending ──mig_interrupt_take──► taken
 *
 * While pending, every mig_wait_fd returns `interrupted`. Whoever turns that into a Lua error takes it; from then on
 * waits work again, so that rollback, undo and the report can run. A second signal, half a second or more after the
 * first, means "now": the hooks run (they kill our children) and the process exits at once. */
#ifndef MIG_INTERRUPT_H
#define MIG_INTERRUPT_H

#include "base/err.h"

int mig_interrupt_install(mig_err *err) MIG_MUSTCHECK; /* idempotent; SIGPIPE and SIGXFSZ are ignored from then on */
void mig_interrupt_restore(void);                      /* gives the signals back to whoever had them */

int mig_interrupt_pending(void); /* the signal's number, 0 when idle or taken */
int mig_interrupt_take(void);    /* pending -> taken; the signal's number */
int mig_interrupt_seen(void);    /* the first signal's number, whatever happened to it since */
int mig_interrupt_fd(void);      /* readable while pending, -1 before install */

/* The last resort for what sees neither signals nor deadlines, such as a search that takes for ever: so many
 * milliseconds from now the second hook runs and the process exits with 4. -1 takes that back. */
void mig_interrupt_expire_in(int ms);

/* Called from the signal handler: async-signal-safe code only. */
void mig_interrupt_on_first(void (*hook)(void));
void mig_interrupt_on_second(void (*hook)(void));

#endif
