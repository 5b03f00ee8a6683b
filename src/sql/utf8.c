#include "sql/utf8.h"

#include <stdint.h>
#include <string.h>

/* What a lead byte asks for: the length, and the range of the second byte, which is where overlong forms, surrogates
 * and code points above U+10FFFF show. Later bytes are always 80..BF. */
typedef struct shape {
  size_t length; /* 0: not a lead byte */
  unsigned char low, high;
} shape;

static shape shape_of(unsigned char lead) {
  if (lead < 0x80) return (shape){1, 0, 0};
  if (lead < 0xC2 || lead > 0xF4) return (shape){0, 0, 0};
  if (lead < 0xE0) return (shape){2, 0x80, 0xBF};
  if (lead < 0xF0) return (shape){3, lead == 0xE0 ? 0xA0 : 0x80, lead == 0xED ? 0x9F : 0xBF};
  return (shape){4, lead == 0xF0 ? 0x90 : 0x80, lead == 0xF4 ? 0x8F : 0xBF};
}

/* The bytes at text that fit the shape of its lead byte: all of them when the character is valid. */
static size_t fitting(const unsigned char *text, size_t n, shape want) {
  size_t have = 1;
  if (want.length < 2) return have;
  if (n < 2 || text[1] < want.low || text[1] > want.high) return have;
  for (have = 2; have < want.length && have < n; have++)
    if ((text[have] & 0xC0) != 0x80) break;
  return have;
}

static size_t ascii_run(const char *text, size_t n) {
  size_t at = 0;
  uint64_t word;
  for (; n - at >= sizeof word; at += sizeof word) {
    memcpy(&word, text + at, sizeof word);
    if (word & UINT64_C(0x8080808080808080)) break;
  }
  return at;
}

size_t mig_utf8_valid(const char *text, size_t n) {
  const unsigned char *bytes = (const unsigned char *)text;
  size_t at = 0;
  while (at < n) {
    if (bytes[at] < 0x80) {
      size_t run = ascii_run(text + at, n - at);
      at += run ? run : 1;
      continue;
    }
    shape want = shape_of(bytes[at]);
    if (!want.length || fitting(bytes + at, n - at, want) < want.length) break;
    at += want.length;
  }
  return at;
}

size_t mig_utf8_subpart(const char *text, size_t n) {
  const unsigned char *bytes = (const unsigned char *)text;
  return fitting(bytes, n, shape_of(bytes[0]));
}

size_t mig_utf8_step(const char *text, size_t n) {
  const unsigned char *bytes = (const unsigned char *)text;
  shape want = shape_of(bytes[0]);
  return want.length && fitting(bytes, n, want) == want.length ? want.length : 1;
}
