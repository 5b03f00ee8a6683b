/* PostgreSQL's own grammar (version 15, by libpg_query): what a newer server accepts may be refused here. */
#ifndef MIG_PARSE_H
#define MIG_PARSE_H

#include "base/err.h"

/* Longer texts are refused: the parse tree of one statement may be as deep as its text is long. */
#define MIG_PARSE_MAX_BYTES (16u << 20)

/* 16 hexadecimal digits */
typedef struct mig_fingerprint {
  char hex[17];
} mig_fingerprint;

/* The parse tree of all statements in text, as JSON; the caller frees it. A refusal has the parser's message and
 * position. */
int mig_tree_parse(const char *text, char **json, mig_err *err) MIG_MUSTCHECK;
void mig_tree_free(char *json);

/* The same for statements that differ in constants, names of aliases and layout only. */
int mig_fingerprint_make(const char *text, mig_fingerprint *fingerprint, mig_err *err) MIG_MUSTCHECK;

#endif
