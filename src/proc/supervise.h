/* Watching and ending what spawn.h started. Who owns what:
 *   - a mig_proc owns its zombie, its guard and its descriptors until mig_proc_close;
 *   - only stop and release reap, so that a group number is never signalled after the kernel gave it away;
 *   - the list of live programs belongs to supervise.c. The signal handler reads it: a second Ctrl-C kills what is
 * there. */
#ifndef MIG_SUPERVISE_H
#define MIG_SUPERVISE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "proc/spawn.h"

typedef struct mig_proc_io {
  const char *input; /* borrowed */
  size_t input_len, input_at;
  mig_buf out, err;
  size_t limit; /* bytes of out and of err; more is an error */
} mig_proc_io;

void mig_proc_track(mig_proc *proc);

int mig_proc_running(mig_proc *proc); /* a look, never a wait */

/* Until it exits: feeds input, fills out and err. io is NULL when there are no pipes. `timeout`, `interrupted` and
 * `script` (too much output) leave it running. Output of the program itself is complete; of a child that outlives it,
 * what was there. */
int mig_proc_wait(mig_proc *proc, mig_proc_io *io, mig_deadline deadline, mig_err *err) MIG_MUSTCHECK;

int mig_proc_kill(mig_proc *proc, int number,
                  mig_err *err) MIG_MUSTCHECK; /* the group, or it alone in the foreground */

/* Stop signal to the group, grace for all of it, SIGKILL, reap. Idempotent. Works while a signal is pending: this is
 * what an interrupted run still has to do. */
int mig_proc_stop(mig_proc *proc, int grace_ms, mig_err *err) MIG_MUSTCHECK;

void mig_proc_release(mig_proc *proc); /* after its exit: reaps it and lets the rest of its group live */
void mig_proc_close(mig_proc *proc);   /* SIGKILL to what is left, then releases every descriptor */

/* Appends this run's part of the log, at most its last max bytes and then from a whole line on. */
int mig_proc_log(const mig_proc *proc, size_t max, mig_buf *out, mig_err *err) MIG_MUSTCHECK;

#endif
