/* The one place that blocks. */
#ifndef MIG_WAIT_H
#define MIG_WAIT_H

#include "base/clock.h"
#include "base/err.h"

/* Waits until fd is ready for events (poll(2) bits), the deadline passes (`timeout`) or a signal came (`interrupted`).
 * fd may be -1: then it only sleeps, and the deadline passing is success. */
int mig_wait_fd(int fd, short events, mig_deadline deadline, short *ready, mig_err *err) MIG_MUSTCHECK;

/* A limit for all waits of this thread, whatever their own deadlines are. The first that reaches it fails with
 * `timeout` and lifts it, so that what cleans up may wait again. */
void mig_wait_limit(mig_deadline limit);

/* The sooner of a deadline and that limit, for a wait that a library does. */
mig_deadline mig_wait_until(mig_deadline deadline);

#endif
