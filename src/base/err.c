#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void mig_text_copy(char *to, unsigned long size, const char *text) {
  size_t n;
  if (!text) text = "";
  n = strlen(text);
  if (n >= size) {
    n = size - 1;
    while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80) n--;
  }
  while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' ' || text[n - 1] == '\r')) n--;
  memcpy(to, text, n);
  to[n] = '\0';
}

static void clear(mig_err *err, const char *code) {
  err->code = code;
  err->sqlstate[0] = err->severity[0] = err->message[0] = '\0';
  err->detail[0] = err->hint[0] = err->context[0] = '\0';
  err->position = 0;
}

int mig_err_set(mig_err *err, const char *code, const char *format, ...) {
  char text[sizeof err->message];
  va_list args;
  clear(err, code);
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  mig_text_copy(err->message, sizeof err->message, text);
  return -1;
}

int mig_err_errno(mig_err *err, const char *code, int number, const char *what) {
  char text[128];
  return mig_err_set(err, code, "%s: %s", what, strerror_r(number, text, sizeof text));
}
