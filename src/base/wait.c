#include "base/wait.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/interrupt.h"

enum { LATE_NS = 500000000 };

static _Thread_local mig_deadline limit = MIG_NEVER;

void mig_wait_limit(mig_deadline until) { limit = until; }

mig_deadline mig_wait_until(mig_deadline deadline) { return limit < deadline ? limit : deadline; }

static int pass_deadline(int fd, mig_deadline deadline, mig_err *err) {
  if (limit < deadline) {
    limit = MIG_NEVER;
    return mig_err_set(err, "timeout", "the run's deadline passed");
  }
  return fd < 0 ? 0 : mig_err_set(err, "timeout", "deadline passed");
}

/* What has come is taken, however late we look; but a peer that never stops talking moves no deadline. */
static int is_overrun(mig_deadline until) {
  static _Thread_local mig_deadline passed;
  static _Thread_local int64_t since;
  int64_t now = mig_now();
  if (now < until) return 0;
  if (passed != until) since = now;
  passed = until;
  return now - since > LATE_NS;
}

int mig_wait_fd(int fd, short events, mig_deadline deadline, short *ready, mig_err *err) {
  mig_deadline until = mig_wait_until(deadline);
  if (ready) *ready = 0;
  for (;;) {
    struct pollfd fds[2] = {{.fd = fd, .events = events}, {.fd = mig_interrupt_fd(), .events = POLLIN}};
    int number = mig_interrupt_pending(), n;
    if (number) return mig_err_set(err, "interrupted", "interrupted by SIG%s", sigabbrev_np(number));
    if (!mig_interrupt_seen()) {
      n = poll(fds, 2, mig_remaining_ms(until));
    } else {
      n = poll(fds, 1, mig_remaining_ms(until));
    }
    if (n < 0 && errno != EINTR) return mig_err_errno(err, "internal", errno, "poll");
    if (n > 0 && fds[0].revents) {
      if (is_overrun(until)) return pass_deadline(fd, deadline, err);
      if (ready) *ready = fds[0].revents;
      return 0;
    }
    if (n == 0) return pass_deadline(fd, deadline, err);
  }
}
