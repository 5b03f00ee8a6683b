#include "sql/split.h"

#include <string.h>
#include <strings.h>

/* Every byte from 0x80 up belongs to identifiers and tags, in any encoding: so bytes need no decoding here. */

typedef enum token { TOKEN_OTHER, TOKEN_WORD, TOKEN_QUOTED_NAME, TOKEN_SEMICOLON, TOKEN_OPEN, TOKEN_CLOSE } token;

/* What stands before a word. AFTER_STATEMENT: where a statement of a BEGIN ATOMIC body could start. */
typedef enum neighbour { AFTER_ANY, AFTER_BEGIN, AFTER_STATEMENT } neighbour;

/* What the scanner remembers of one statement. psql knows a routine by the first four identifiers alone; `initials` are
 * theirs (in a body, of the statement there), of the five words CREATE OR REPLACE FUNCTION PROCEDURE, and 0 for any
 * other. */
typedef struct progress {
  mig_statement *statement;
  bool begun;
  bool leading; /* nothing but words so far */
  size_t end;   /* of the last token */
  size_t parens;
  size_t bodies; /* of BEGIN ATOMIC … END, one in the other */
  mig_split_problem paren, body;
  size_t identifiers;
  char initials[4];
  neighbour previous;
} progress;

static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static bool is_newline(char c) { return c == '\n' || c == '\r'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool starts_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool continues_tag(char c) { return starts_name(c) || is_digit(c); }

/* A byte past the end reads as NUL, which starts nothing. */
static char peek(const mig_split *split, size_t at) { return at < split->size ? split->text[at] : '\0'; }

static bool has_pair(const mig_split *split, size_t at, char first, char second) {
  return peek(split, at) == first && peek(split, at + 1) == second;
}

static void advance(mig_split *split, size_t to) {
  const char *from = split->text + split->at, *end = split->text + to;
  while (from < end && (from = memchr(from, '\n', (size_t)(end - from)))) {
    split->line++;
    from++;
  }
  split->at = to;
}

static void note(mig_split *split, mig_split_problem problem) {
  if (split->problem.kind == MIG_SPLIT_FINE) split->problem = problem;
}

static mig_split_problem here(const mig_split *split, mig_split_kind kind) {
  return (mig_split_problem){kind, split->at, split->line};
}

static size_t skip_line(const mig_split *split, size_t at) {
  while (at < split->size && !is_newline(split->text[at])) at++;
  return at;
}

/* Comments nest. */
static size_t skip_comment(const mig_split *split, size_t at, mig_split_kind *open) {
  size_t depth = 0;
  while (at < split->size) {
    if (has_pair(split, at, '/', '*')) {
      depth++;
      at += 2;
    } else if (has_pair(split, at, '*', '/')) {
      at += 2;
      if (--depth == 0) return at;
    } else {
      at++;
    }
  }
  *open = MIG_SPLIT_COMMENT;
  return at;
}

/* `at` is behind the opening quote; a doubled quote stands for itself. */
static size_t skip_quoted(const mig_split *split, size_t at, char quote, mig_split_kind *open) {
  const char *found;
  while (at < split->size && (found = memchr(split->text + at, quote, split->size - at))) {
    at = (size_t)(found - split->text) + 1;
    if (peek(split, at) != quote) return at;
    at++;
  }
  *open = MIG_SPLIT_QUOTE;
  return split->size;
}

/* SQL joins literals that only blanks with a newline among them separate, so that E'a' <newline> 'b\'c' is one. Returns
 * what is behind the quote that opens the next part, or 0. */
static size_t find_continuation(const mig_split *split, size_t at) {
  bool newline = false;
  for (;;) {
    char c = peek(split, at);
    if (is_blank(c)) {
      newline = newline || is_newline(c);
      at++;
    } else if (has_pair(split, at, '-', '-')) {
      at = skip_line(split, at);
    } else {
      return newline && c == '\'' ? at + 1 : 0;
    }
  }
}

/* E'…': a backslash takes the next byte with it, whatever that is. */
static size_t skip_escaped(const mig_split *split, size_t at, mig_split_kind *open) {
  while (at < split->size) {
    char c = split->text[at++];
    if (c == '\\' || (c == '\'' && peek(split, at) == '\'')) {
      at++;
    } else if (c == '\'') {
      size_t next = find_continuation(split, at);
      if (!next) return at;
      at = next;
    }
  }
  *open = MIG_SPLIT_QUOTE;
  return split->size;
}

/* $1, $tag$…$tag$, or a lone $. */
static size_t skip_dollar(const mig_split *split, size_t at, mig_split_kind *open) {
  size_t tag = at + 1;
  const char *found;
  if (is_digit(peek(split, tag))) {
    while (is_digit(peek(split, tag))) tag++;
    return tag;
  }
  while (continues_tag(peek(split, tag))) tag++;
  if (peek(split, tag++) != '$') return at + 1;
  found = memmem(split->text + tag, split->size - tag, split->text + at, tag - at);
  if (found) return (size_t)(found - split->text) + tag - at;
  *open = MIG_SPLIT_DOLLAR_QUOTE;
  return split->size;
}

/* The exponent matters: what follows 1e5 is a new token, as in 1e5$a$…$a$; the name e5$a$ would swallow the quote. */
static size_t skip_number(const mig_split *split, size_t at) {
  size_t power;
  while (is_digit(peek(split, at))) at++;
  if (peek(split, at) == '.' && peek(split, at + 1) != '.') at++;
  while (is_digit(peek(split, at))) at++;
  if (peek(split, at) != 'e' && peek(split, at) != 'E') return at;
  power = at + 1;
  if (peek(split, power) == '+' || peek(split, power) == '-') power++;
  if (!is_digit(peek(split, power))) return at;
  while (is_digit(peek(split, power))) power++;
  return power;
}

/* A letter that changes the quote behind it: B'' X'' N'' E'' U&'' U&"". Returns `at` when it is only the start of a
 * name. */
static size_t skip_prefixed(const mig_split *split, size_t at, token *kind, mig_split_kind *open) {
  char letter = (char)(split->text[at] & ~0x20), next = peek(split, at + 1);
  if (letter == 'U' && next == '&') {
    char quote = peek(split, at + 2);
    if (quote != '\'' && quote != '"') return at;
    if (quote == '"') *kind = TOKEN_QUOTED_NAME;
    return skip_quoted(split, at + 3, quote, open);
  }
  if (next != '\'') return at;
  if (letter == 'E') return skip_escaped(split, at + 2, open);
  if (letter == 'B' || letter == 'X' || letter == 'N') return skip_quoted(split, at + 2, '\'', open);
  return at;
}

static size_t skip_name(const mig_split *split, size_t at, token *kind, mig_split_kind *open) {
  size_t end = skip_prefixed(split, at, kind, open);
  if (end != at) return end;
  *kind = TOKEN_WORD;
  while (continues_tag(peek(split, end)) || peek(split, end) == '$') end++;
  return end;
}

/* The end of the token at `split->at`. Operators may be taken byte by byte: comments are looked for before each. */
static size_t skip_token(const mig_split *split, token *kind, mig_split_kind *open) {
  size_t at = split->at;
  char c = split->text[at];
  *kind = TOKEN_OTHER;
  if (starts_name(c)) return skip_name(split, at, kind, open);
  if (is_digit(c) || (c == '.' && is_digit(peek(split, at + 1)))) return skip_number(split, at);
  switch (c) {
    case '\'':
      return skip_quoted(split, at + 1, c, open);
    case '"':
      *kind = TOKEN_QUOTED_NAME;
      return skip_quoted(split, at + 1, c, open);
    case '$':
      return skip_dollar(split, at, open);
    case '/':
      return has_pair(split, at, '/', '*') ? skip_comment(split, at, open) : at + 1;
    case ';':
      *kind = TOKEN_SEMICOLON;
      return at + 1;
    case '(':
      *kind = TOKEN_OPEN;
      return at + 1;
    case ')':
      *kind = TOKEN_CLOSE;
      return at + 1;
    default:
      return at + 1;
  }
}

static bool is_word(const char *text, size_t length, const char *word) {
  return strlen(word) == length && strncasecmp(text, word, length) == 0;
}

static char initial(const char *text, size_t length) {
  static const char *const known[] = {"create", "or", "replace", "function", "procedure", NULL};
  for (const char *const *word = known; *word; word++)
    if (is_word(text, length, *word)) return **word;
  return '\0';
}

static bool makes_routine(const char initials[4]) {
  char what = initials[1];
  if (initials[0] != 'c') return false;
  if (what == 'o' && initials[2] == 'r') what = initials[3];
  return what == 'f' || what == 'p';
}

/* The END of a body stands where a statement could start. That of a CASE never does, nor does an "end" that is a name.
 * A routine within a body is nothing that a server runs, but the grammar has it. */
static void see_word(const mig_split *split, progress *now, size_t length) {
  const char *text = split->text + split->at;
  neighbour previous = now->previous;
  bool starts = now->bodies && previous == AFTER_STATEMENT;
  now->previous = AFTER_ANY;
  if (starts) {
    now->identifiers = 0;
    memset(now->initials, 0, sizeof now->initials);
  }
  if (now->identifiers < sizeof now->initials) now->initials[now->identifiers++] = initial(text, length);
  if (now->parens) return;
  if (starts && is_word(text, length, "end")) {
    now->bodies--;
  } else if (!makes_routine(now->initials)) {
    return;
  } else if (previous == AFTER_BEGIN && is_word(text, length, "atomic")) {
    now->bodies++;
    now->previous = AFTER_STATEMENT;
  } else if (is_word(text, length, "begin")) {
    now->previous = AFTER_BEGIN;
    if (!now->bodies) now->body = here(split, MIG_SPLIT_BODY);
  }
}

static void add_word(const mig_split *split, progress *now, token kind, size_t length) {
  mig_statement *statement = now->statement;
  now->leading = now->leading && (kind == TOKEN_WORD || kind == TOKEN_QUOTED_NAME);
  if (!now->leading || statement->word_count == MIG_STATEMENT_WORDS) return;
  statement->words[statement->word_count++] = (mig_word){split->at, kind == TOKEN_WORD ? length : 0};
}

static void take_token(mig_split *split, progress *now) {
  token kind;
  mig_split_kind open = MIG_SPLIT_FINE;
  size_t end = skip_token(split, &kind, &open);
  if (open != MIG_SPLIT_FINE) note(split, here(split, open));
  if (!now->begun) {
    now->begun = true;
    now->statement->offset = split->at;
    now->statement->line = split->line;
  }
  add_word(split, now, kind, end - split->at);
  if (kind == TOKEN_WORD)
    see_word(split, now, end - split->at);
  else
    now->previous = kind == TOKEN_SEMICOLON ? AFTER_STATEMENT : AFTER_ANY;
  if (kind == TOKEN_OPEN && now->parens++ == 0) now->paren = here(split, MIG_SPLIT_PARENTHESIS);
  if (kind == TOKEN_CLOSE && now->parens > 0) now->parens--;
  now->end = end;
  advance(split, end);
}

/* psql puts \; and \: into the statement as they are; any other command takes the rest of its line. */
static void skip_meta_command(mig_split *split) {
  char next = peek(split, split->at + 1);
  note(split, here(split, MIG_SPLIT_META_COMMAND));
  advance(split, next == ';' || next == ':' ? split->at + 2 : skip_line(split, split->at));
}

/* The end of the blanks or the comment at `split->at`, or `split->at`. A comment that is never closed is no comment but
 * a token: psql sends it, and the server must see it to refuse it. */
static size_t skip_space(const mig_split *split) {
  size_t at = split->at;
  mig_split_kind open = MIG_SPLIT_FINE;
  while (is_blank(peek(split, at))) at++;
  if (at > split->at) return at;
  if (has_pair(split, at, '-', '-')) return skip_line(split, at);
  if (!has_pair(split, at, '/', '*')) return at;
  at = skip_comment(split, at, &open);
  return open == MIG_SPLIT_FINE ? at : split->at;
}

static bool finish(const progress *now) {
  now->statement->length = now->end - now->statement->offset;
  return true;
}

bool mig_split_next(mig_split *split, mig_statement *statement) {
  progress now = {.statement = statement, .leading = true};
  memset(statement, 0, sizeof *statement);
  while (split->at < split->size) {
    size_t space = skip_space(split);
    char c = split->text[split->at];
    if (space > split->at) {
      advance(split, space);
    } else if (c == '\\') {
      skip_meta_command(split);
    } else if (c == ';' && !now.parens && !now.bodies) {
      advance(split, split->at + 1);
      if (now.begun) return finish(&now);
    } else {
      take_token(split, &now);
    }
  }
  if (now.parens) note(split, now.paren);
  if (now.bodies) note(split, now.body);
  return now.begun && finish(&now);
}
