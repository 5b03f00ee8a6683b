#include "base/clock.h"

#include <limits.h>
#include <time.h>

int64_t mig_now(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

mig_deadline mig_after_ms(int64_t ms) { return mig_now() + ms * 1000000; }

int mig_remaining_ms(mig_deadline deadline) {
  int64_t left;
  if (deadline == MIG_NEVER) return -1;
  left = (deadline - mig_now() + 999999) / 1000000;
  if (left < 0) return 0;
  return left > INT_MAX ? INT_MAX : (int)left;
}
