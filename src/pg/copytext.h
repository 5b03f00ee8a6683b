/* Rows in COPY's text format, made in a buffer: values as they are, and lines of JSON. */
#ifndef MIG_PG_COPYTEXT_H
#define MIG_PG_COPYTEXT_H

#include "base/buf.h"

/* A value with what would end a field, a row or an escape escaped. */
int mig_copytext_add(mig_buf *out, const char *text, size_t n, mig_err *err) MIG_MUSTCHECK;
/* The fewest digits that give the number back; at least 32 bytes at `to`. -> length */
int mig_copytext_number(char *to, double value);
int mig_copytext_integer(char *to, long long value);

/* What a column makes of a JSON value. Texts, whole numbers, booleans and null go into every one. */
typedef enum mig_json_form {
  MIG_JSON_PLAIN,  /* a list or an object does not fit; other numbers in the fewest digits */
  MIG_JSON_NUMBER, /* … other numbers as they stand there, with every digit */
  MIG_JSON_RAW,    /* json, jsonb: the value as it stands there */
  MIG_JSON_VECTOR, /* a list of numbers as it stands there */
  MIG_JSON_ARRAY,  /* a list becomes an array */
  MIG_JSON_ARRAYS  /* … of json */
} mig_json_form;

typedef struct mig_json_column {
  const char *name; /* the caller's */
  size_t len;
  mig_json_form form;
  const char *from, *to; /* the value in the line at hand; NULL: not seen yet */
} mig_json_column;

/* One line, an object with exactly these keys, as one row at the end of `out`. 1: done; 0: something in it is not as it
 * should be or needs more thought, and out is as before; -1: no memory. What is taken is valid JSON. */
int mig_json_row(const char *line, size_t n, mig_json_column *columns, int count, mig_buf *out,
                 mig_err *err) MIG_MUSTCHECK;

#endif
