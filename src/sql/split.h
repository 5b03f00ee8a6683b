/* SQL text into statements by PostgreSQL's lexical rules, standard_conforming_strings on, and psql's for what ends one.
 * It allocates nothing and reads every byte a bounded number of times. Where psql guesses it differs: a routine's body
 * begins at BEGIN ATOMIC and not at any BEGIN (a function may be called "begin"), ends at an END behind a semicolon (a
 * column may be called "end"), and an E'' literal goes on over a newline as it does for the server. */
#ifndef MIG_SPLIT_H
#define MIG_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

#define MIG_STATEMENT_WORDS 12

/* Bytes of the text that was split; length 0 stands for a quoted identifier. */
typedef struct mig_word {
  size_t offset;
  size_t length;
} mig_word;

typedef struct mig_statement {
  size_t offset; /* of the first token: blanks and comments before it are left out */
  size_t length; /* to the end of the last token: without the semicolon and what stands before that */
  size_t line;   /* of the first token, from 1 */
  size_t word_count;
  mig_word words[MIG_STATEMENT_WORDS]; /* the leading ones, up to the first token that is no word */
} mig_statement;

typedef enum mig_split_kind {
  MIG_SPLIT_FINE,
  MIG_SPLIT_QUOTE, /* never closed, as the next four */
  MIG_SPLIT_DOLLAR_QUOTE,
  MIG_SPLIT_COMMENT,
  MIG_SPLIT_PARENTHESIS,
  MIG_SPLIT_BODY,         /* BEGIN ATOMIC without its END */
  MIG_SPLIT_META_COMMAND, /* a backslash where a token could start: psql would obey it, the server refuses it */
} mig_split_kind;

typedef struct mig_split_problem {
  mig_split_kind kind;
  size_t offset; /* where the construct begins */
  size_t line;
} mig_split_problem;

/* Start with {.text = …, .size = …, .line = 1}; the text must outlive it and may hold any bytes. */
typedef struct mig_split {
  const char *text;
  size_t size;
  size_t at;
  size_t line;               /* of text[at] */
  mig_split_problem problem; /* the first one met so far */
} mig_split;

/* The next statement; false at the end of the text. What is never closed reaches to the end, as it does in psql. */
bool mig_split_next(mig_split *split, mig_statement *statement);

#endif
