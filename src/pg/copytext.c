#include "pg/copytext.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 64 };

/* The letter behind the backslash for each byte that must not stand for itself. */
static const char escapes[256] = {
    ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't', ['\v'] = 'v'};

static char *put(char *to, char c) {
  char letter = escapes[(unsigned char)c];
  if (letter) *to++ = '\\';
  *to++ = letter ? letter : c;
  return to;
}

int mig_copytext_add(mig_buf *out, const char *text, size_t n, mig_err *err) {
  char *to;
  if (mig_buf_reserve(out, 2 * n, err)) return -1;
  to = out->data + out->len;
  for (size_t i = 0; i < n; i++) to = put(to, text[i]);
  out->len = (size_t)(to - out->data);
  return 0;
}

int mig_copytext_number(char *to, double value) {
  int n = 0;
  if (value != value) return snprintf(to, 32, "NaN");
  if (value - value != 0) return snprintf(to, 32, value > 0 ? "Infinity" : "-Infinity");
  for (int digits = 15; digits <= 17; digits++) {
    n = snprintf(to, 32, "%.*g", digits, value);
    if (strtod(to, NULL) == value) break;
  }
  return n;
}

int mig_copytext_integer(char *to, long long value) {
  char digits[24], *at = digits + sizeof digits;
  unsigned long long rest = value < 0 ? 0 - (unsigned long long)value : (unsigned long long)value;
  int n;
  do *--at = (char)('0' + rest % 10);
  while (rest /= 10);
  if (value < 0) *--at = '-';
  n = (int)(digits + sizeof digits - at);
  memcpy(to, at, (size_t)n);
  return n;
}

static const char *skip_blank(const char *at, const char *end) {
  while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n')) at++;
  return at;
}

/* The skip_ functions return where the value ends, or NULL when it is none. */
static const char *skip_string(const char *at, const char *end) {
  for (at++; at < end && *at != '"'; at++) {
    if ((unsigned char)*at < 0x20) return NULL;
    if (*at != '\\') continue;
    if (++at == end || !strchr("\"\\/bfnrtu", *at) || !*at) return NULL;
    if (*at != 'u') continue;
    if (end - at < 5) return NULL;
    for (int i = 1; i <= 4; i++)
      if (!strchr("0123456789abcdefABCDEF", at[i]) || !at[i]) return NULL;
  }
  return at < end ? at + 1 : NULL;
}

static const char *skip_digits(const char *at, const char *end) {
  const char *from = at;
  while (at < end && *at >= '0' && *at <= '9') at++;
  return at > from ? at : NULL;
}

static const char *skip_number(const char *at, const char *end) {
  if (at < end && *at == '-') at++;
  if (end - at > 1 && *at == '0' && at[1] >= '0' && at[1] <= '9') return NULL;
  if (!(at = skip_digits(at, end))) return NULL;
  if (at < end && *at == '.' && !(at = skip_digits(at + 1, end))) return NULL;
  if (at < end && (*at == 'e' || *at == 'E')) {
    at++;
    if (at < end && (*at == '+' || *at == '-')) at++;
    at = skip_digits(at, end);
  }
  return at;
}

static const char *skip_word(const char *at, const char *end) {
  static const char *const words[] = {"true", "false", "null"};
  for (int i = 0; i < 3; i++) {
    size_t n = strlen(words[i]);
    if ((size_t)(end - at) >= n && memcmp(at, words[i], n) == 0) return at + n;
  }
  return NULL;
}

static const char *skip_value(const char *at, const char *end, int depth);

static const char *skip_many(const char *at, const char *end, int depth) {
  char close = *at == '{' ? '}' : ']';
  at = skip_blank(at + 1, end);
  if (at < end && *at == close) return at + 1;
  while (at < end && depth < DEPTH) {
    if (close == '}') {
      if (*at != '"' || !(at = skip_string(at, end))) return NULL;
      at = skip_blank(at, end);
      if (at == end || *at != ':') return NULL;
      at = skip_blank(at + 1, end);
    }
    if (!(at = skip_value(at, end, depth + 1))) return NULL;
    at = skip_blank(at, end);
    if (at == end || (*at != ',' && *at != close)) return NULL;
    if (*at == close) return at + 1;
    at = skip_blank(at + 1, end);
  }
  return NULL;
}

static const char *skip_value(const char *at, const char *end, int depth) {
  if (at == end) return NULL;
  if (*at == '"') return skip_string(at, end);
  if (*at == '{' || *at == '[') return skip_many(at, end, depth);
  if (*at == '-' || (*at >= '0' && *at <= '9')) return skip_number(at, end);
  return skip_word(at, end);
}

static unsigned hex4(const char *at) {
  char digits[5];
  memcpy(digits, at, 4);
  digits[4] = '\0';
  return (unsigned)strtoul(digits, NULL, 16);
}

/* The character of the escape at `*at` (behind the backslash), as UTF-8 into `to`; -> length, 0: none, or NUL. */
static int unescape(const char **at, const char *end, char *to) {
  static const char letters[] = "bfnrt", values[] = "\b\f\n\r\t";
  const char *letter = strchr(letters, **at);
  unsigned code;
  if (**at != 'u') {
    *to = letter ? values[letter - letters] : **at;
    (*at)++;
    return 1;
  }
  code = hex4(*at + 1);
  *at += 5;
  if (code >= 0xD800 && code <= 0xDBFF && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u') {
    unsigned low = hex4(*at + 2);
    if (low < 0xDC00 || low > 0xDFFF) return 0;
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    *at += 6;
  } else if (code == 0 || (code >= 0xD800 && code <= 0xDFFF)) {
    return 0;
  }
  if (code < 0x80) {
    to[0] = (char)code;
    return 1;
  }
  int n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  for (int i = n - 1; i > 0; i--, code >>= 6) to[i] = (char)(0x80 | (code & 0x3F));
  to[0] = (char)((0xF00 >> n) & 0xF0) | (char)code;
  return n;
}

/* A valid string's content. quoted: as an element of an array. There is room. -> 0: not ours */
static int add_string(mig_buf *out, const char *at, const char *end, int quoted) {
  char *to = out->data + out->len;
  if (quoted) *to++ = '"';
  for (at++, end--; at < end;) {
    char text[4] = {*at};
    int n = 1;
    if (*at++ == '\\' && !(n = unescape(&at, end, text))) return 0;
    for (int i = 0; i < n; i++) {
      if (quoted && (text[i] == '"' || text[i] == '\\')) to = put(to, '\\');
      to = put(to, text[i]);
    }
  }
  if (quoted) *to++ = '"';
  out->len = (size_t)(to - out->data);
  return 1;
}

/* A valid value as it stands there. */
static void add_raw(mig_buf *out, const char *from, const char *to, int quoted) {
  char *end = out->data + out->len;
  if (quoted) *end++ = '"';
  for (; from < to; from++) {
    if (quoted && (*from == '"' || *from == '\\')) end = put(end, '\\');
    end = put(end, *from);
  }
  if (quoted) *end++ = '"';
  out->len = (size_t)(end - out->data);
}

static int add_number(mig_buf *out, const char *from, const char *to, mig_json_form form) {
  size_t n = (size_t)(to - from);
  int whole = !memchr(from, '.', n) && !memchr(from, 'e', n) && !memchr(from, 'E', n);
  char text[64];
  if (form == MIG_JSON_NUMBER || (whole && n <= 18 && !(n == 2 && memcmp(from, "-0", 2) == 0))) {
    add_raw(out, from, to, 0);
    return 1;
  }
  if (whole || n >= sizeof text) return 0;
  memcpy(text, from, n);
  text[n] = '\0';
  double value = strtod(text, NULL);
  if (value - value != 0) return 0;
  out->len += (size_t)mig_copytext_number(out->data + out->len, value);
  return 1;
}

static int add_scalar(mig_buf *out, const char *from, const char *to, mig_json_form form, int quoted) {
  if (*from == '"') return add_string(out, from, to, quoted);
  if (*from == 't' || *from == 'f') {
    out->data[out->len++] = *from;
    return 1;
  }
  return *from != '[' && *from != '{' && add_number(out, from, to, form);
}

static int add_array(mig_buf *out, const char *at, const char *end, mig_json_form form) {
  out->data[out->len++] = '{';
  for (at = skip_blank(at + 1, end); *at != ']'; at = skip_blank(at, end)) {
    const char *to;
    if (*at == ',') {
      out->data[out->len++] = ',';
      at = skip_blank(at + 1, end);
    }
    to = skip_value(at, end, 0);
    if (*at == 'n') {
      memcpy(out->data + out->len, "NULL", 4);
      out->len += 4;
    } else if (form == MIG_JSON_ARRAYS) {
      add_raw(out, at, to, 1);
    } else if (*at == '[' ? !add_array(out, at, to, form) : !add_scalar(out, at, to, MIG_JSON_PLAIN, 1)) {
      return 0;
    }
    at = to;
  }
  out->data[out->len++] = '}';
  return 1;
}

static int only_numbers(const char *at, const char *end) {
  for (; at < end; at++)
    if (!strchr("0123456789+-.eE, \t[]", *at)) return 0;
  return 1;
}

static int add_value(mig_buf *out, const mig_json_column *column, mig_err *err) {
  const char *from = column->from, *to = column->to;
  int is_list = *from == '[';
  int is_array = is_list && (column->form == MIG_JSON_ARRAY || column->form == MIG_JSON_ARRAYS);
  /* Escaped once a byte is two, twice four; 1e14 between commas becomes three times as long. */
  if (mig_buf_reserve(out, (is_array ? 4 : 2) * (size_t)(to - from) + 64, err)) return -1;
  if (*from == 'n') {
    memcpy(out->data + out->len, "\\N", 2);
    out->len += 2;
    return 1;
  }
  if (column->form == MIG_JSON_RAW || (column->form == MIG_JSON_VECTOR && is_list && only_numbers(from, to))) {
    add_raw(out, from, to, 0);
    return 1;
  }
  if (is_array) return add_array(out, from, to, column->form);
  return add_scalar(out, from, to, column->form, 0);
}

/* Keys mostly come in the same order, so the next column is looked at first. */
static int find_column(const mig_json_column *columns, int count, int next, const char *name, size_t n) {
  for (int i = 0; i < count; i++) {
    int at = (next + i) % count;
    if (columns[at].len == n && memcmp(columns[at].name, name, n) == 0) return at;
  }
  return -1;
}

static int read_object(const char *at, const char *end, mig_json_column *columns, int count) {
  int next = 0, seen = 0;
  for (int i = 0; i < count; i++) columns[i].from = NULL;
  at = skip_blank(at, end);
  if (at == end || *at != '{') return 0;
  do {
    const char *key = skip_blank(at + 1, end);
    if (key == end || *key != '"' || !(at = skip_string(key, end))) return 0;
    if (memchr(key, '\\', (size_t)(at - key))) return 0;
    next = find_column(columns, count, next, key + 1, (size_t)(at - key) - 2);
    if (next < 0 || columns[next].from) return 0;
    at = skip_blank(at, end);
    if (at == end || *at != ':') return 0;
    columns[next].from = at = skip_blank(at + 1, end);
    if (!(at = skip_value(at, end, 0))) return 0;
    columns[next].to = at;
    next = (next + 1) % count;
    seen++;
    at = skip_blank(at, end);
  } while (at < end && *at == ',');
  return at < end && *at == '}' && skip_blank(at + 1, end) == end && seen == count;
}

int mig_json_row(const char *line, size_t n, mig_json_column *columns, int count, mig_buf *out, mig_err *err) {
  size_t before = out->len;
  int took = read_object(line, line + n, columns, count);
  for (int i = 0; i < count && took > 0; i++) {
    took = add_value(out, &columns[i], err);
    if (took > 0) out->data[out->len++] = i + 1 < count ? '\t' : '\n';
  }
  if (took <= 0) out->len = before;
  return took;
}
