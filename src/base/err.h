/* A failure, as a value: it owns nothing, so it can be copied, dropped or jumped over. */
#ifndef MIG_ERR_H
#define MIG_ERR_H

#define MIG_MUSTCHECK __attribute__((warn_unused_result))
#define MIG_PRINTF(f, a) __attribute__((format(printf, f, a)))

typedef struct mig_err {
  const char *code; /* static string of the closed set in lua/migrator/error.lua */
  char sqlstate[6];
  char severity[16];
  int position; /* characters from 1 within the statement, 0 when unknown */
  char message[2048];
  char detail[2048];
  char hint[1024];
  char context[2048];
} mig_err;

/* Both return -1, so that a function can end in `return mig_err_set(…)`. */
int mig_err_set(mig_err *err, const char *code, const char *format, ...) MIG_PRINTF(3, 4);
int mig_err_errno(mig_err *err, const char *code, int number, const char *what);

/* Copies as much of text as fits, ending at a whole UTF-8 character and without trailing blanks. NULL copies as "". */
void mig_text_copy(char *to, unsigned long size, const char *text);

#endif
