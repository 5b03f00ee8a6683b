/* The one place that blocks. */
#ifndef MIG_WAIT_H
#define MIG_WAIT_H

#include "base/clock.h"
#include "base/err.h"

/* Waits until fd is ready for events (poll(2) bits), the deadline passes (`timeout`) or a signal came (`interrupted`).
 * fd may be -1: then it only sleeps, and the deadline passing is success. */
int mig_wait_fd(int fd, short events, mig_deadline deadline, short *ready, mig_err *err) MIG_MUSTCHECK;

#endif
