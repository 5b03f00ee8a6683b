/* Monotonic time. A deadline is an absolute instant, so that waits in a row share one budget. */
#ifndef MIG_CLOCK_H
#define MIG_CLOCK_H

#include <stdint.h>

typedef int64_t mig_deadline; /* nanoseconds of CLOCK_MONOTONIC */

#define MIG_NEVER INT64_MAX

int64_t mig_now(void);
mig_deadline mig_after_ms(int64_t ms);
int mig_remaining_ms(mig_deadline deadline); /* for poll(2): -1 for MIG_NEVER, 0 when passed, rounded up */

#endif
