/* The splitter and UTF-8 on any bytes; where PostgreSQL's parser accepts the text, both must find the same statements.
 */
#include <pg_query.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sql/split.h"
#include "sql/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "fuzz_split: %s\n", what);
  abort();
}

static size_t check_split(const char *text, size_t size, mig_split *split) {
  mig_statement statement;
  size_t count = 0, end = 0, line = 1, counted = 0;
  *split = (mig_split){.text = text, .size = size, .line = 1};
  for (; mig_split_next(split, &statement); count++) {
    check(statement.length > 0 && statement.offset >= end, "statements are empty or overlap");
    end = statement.offset + statement.length;
    check(end <= size, "a statement ends outside the text");
    for (; counted < statement.offset; counted++) line += text[counted] == '\n';
    check(statement.line == line, "wrong line");
    for (size_t i = 0; i < statement.word_count; i++)
      check(statement.words[i].offset + statement.words[i].length <= end, "a word is outside its statement");
  }
  check(split->at == size, "the text was not read to its end");
  check(split->problem.kind == MIG_SPLIT_FINE || split->problem.offset < size, "a problem is outside the text");
  return count;
}

static void check_parser(const char *text, size_t size, const mig_split *done, size_t count) {
  PgQuerySplitResult parsed = pg_query_split_with_parser(text);
  if (!parsed.error) {
    mig_split again = {.text = text, .size = size, .line = 1};
    mig_statement ours;
    check(done->problem.kind == MIG_SPLIT_FINE, "a problem where the parser has none");
    check(parsed.n_stmts == (int)count, "another number of statements than the parser");
    for (int i = 0; i < parsed.n_stmts && mig_split_next(&again, &ours); i++) {
      size_t first = (size_t)parsed.stmts[i]->stmt_location, length = (size_t)parsed.stmts[i]->stmt_len;
      size_t last = length ? first + length : size;
      check(ours.offset >= first && ours.offset + ours.length <= last, "a statement reaches beyond the parser's");
    }
  }
  pg_query_free_split_result(parsed);
}

static void check_utf8(const char *text, size_t size) {
  size_t at = 0;
  while (at < size) {
    size_t valid = mig_utf8_valid(text + at, size - at), bad;
    check(valid <= size - at, "valid bytes outside the text");
    for (size_t in = 0; in < valid;) {
      in += mig_utf8_step(text + at + in, valid - in);
      check(in <= valid, "a character leaves the valid bytes");
    }
    at += valid;
    if (at == size) return;
    bad = mig_utf8_subpart(text + at, size - at);
    check(bad >= 1 && bad <= 3 && bad <= size - at, "impossible length of an invalid sequence");
    check(mig_utf8_step(text + at, size - at) == 1, "an invalid byte is not one character");
    at += bad;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = malloc(size + 1), *exact = malloc(size ? size : 1);
  mig_split split;
  check(text && exact, "out of memory");
  memcpy(text, data, size);
  text[size] = '\0';
  memcpy(exact, data, size);
  check_utf8(exact, size);
  size_t count = check_split(exact, size, &split);
  if (!memchr(text, 0, size)) check_parser(text, size, &split, count);
  free(exact);
  free(text);
  return 0;
}
