/* Growable bytes: one owner, one free. */
#ifndef MIG_BUF_H
#define MIG_BUF_H

#include <stddef.h>

#include "base/err.h"

typedef struct mig_buf {
  char *data; /* always followed by a NUL once anything was added */
  size_t len;
  size_t cap;
} mig_buf;

int mig_buf_add(mig_buf *buf, const void *bytes, size_t n, mig_err *err) MIG_MUSTCHECK;
int mig_buf_reserve(mig_buf *buf, size_t n, mig_err *err) MIG_MUSTCHECK;
void mig_buf_free(mig_buf *buf);

#endif
