#include "base/buf.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int mig_buf_reserve(mig_buf *buf, size_t n, mig_err *err) {
  size_t cap = buf->cap ? buf->cap : 256;
  char *data;
  if (n >= SIZE_MAX / 2 - buf->len) return mig_err_set(err, "internal", "buffer too large");
  while (cap < buf->len + n + 1) cap *= 2;
  if (cap == buf->cap) return 0;
  data = realloc(buf->data, cap);
  if (!data) return mig_err_set(err, "internal", "out of memory");
  buf->data = data;
  buf->cap = cap;
  return 0;
}

int mig_buf_add(mig_buf *buf, const void *bytes, size_t n, mig_err *err) {
  if (mig_buf_reserve(buf, n, err)) return -1;
  if (n > 0) memcpy(buf->data + buf->len, bytes, n);
  buf->len += n;
  buf->data[buf->len] = '\0';
  return 0;
}

void mig_buf_free(mig_buf *buf) {
  free(buf->data);
  *buf = (mig_buf){0};
}
