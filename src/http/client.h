/* Request in, response out, over libcurl, which is loaded when the first request is made: a run without HTTP does not
 * pay for it. Callbacks copy into buffers and never leave C. */
#ifndef MIG_CLIENT_H
#define MIG_CLIENT_H

#include <stddef.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"

typedef struct mig_http_request {
  const char *method;         /* upper case */
  const char *url;            /* http or https */
  const char *const *headers; /* NULL-ended, "Name: value" */
  const char *body;           /* NULL: none */
  size_t body_len;
  const char *ca_file;     /* NULL: the system's */
  long connect_timeout_ms; /* 0: only the deadline counts */
  size_t max_bytes;        /* of the body */
  int follow;              /* redirects, up to that many */
} mig_http_request;

typedef struct mig_http_response {
  long status;
  mig_buf head; /* header lines of the last response, as they came */
  mig_buf body;
} mig_http_response;

/* Any status is a response. Errors: `http` (cannot connect, TLS, too large), `timeout`, `interrupted`. No message holds
 * the user, password or query of the URL. response is zeroed or reused; the caller frees its buffers, on failure as
 * well. */
int mig_http_send(const mig_http_request *request, mig_deadline deadline, mig_http_response *response,
                  mig_err *err) MIG_MUSTCHECK;

#endif
