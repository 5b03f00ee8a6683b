#include <string.h>

#include "bind/bind.h"
#include "sql/parse.h"
#include "sql/split.h"
#include "sql/utf8.h"

#define TREE "migrator.sql_tree"

typedef struct TreeBox {
  char *json;
} TreeBox;

static int tree_close(lua_State *L) {
  TreeBox *box = luaL_checkudata(L, 1, TREE);
  char *json = box->json;
  box->json = NULL;
  mig_tree_free(json);
  return 0;
}

static void set_size(lua_State *L, const char *field, size_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, field);
}

/* Upper-cased by ASCII alone: keywords are ASCII, and the locale must not matter. */
static void add_upper(luaL_Buffer *buffer, const char *text, size_t n) {
  for (size_t i = 0; i < n; i++) {
    char c = text[i];
    luaL_addchar(buffer, (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c));
  }
}

static void push_words(lua_State *L, const char *text, const mig_statement *statement) {
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  for (size_t i = 0; i < statement->word_count; i++) {
    const mig_word *word = &statement->words[i];
    if (i > 0) luaL_addchar(&buffer, ' ');
    if (word->length)
      add_upper(&buffer, text + word->offset, word->length);
    else
      luaL_addchar(&buffer, '"');
  }
  luaL_pushresult(&buffer);
}

static void push_statement(lua_State *L, const char *text, const mig_statement *statement) {
  lua_createtable(L, 0, 6); /* and what callers note with it */
  lua_pushlstring(L, text + statement->offset, statement->length);
  lua_setfield(L, -2, "text");
  set_size(L, "offset", statement->offset + 1);
  set_size(L, "line", statement->line);
  push_words(L, text, statement);
  lua_setfield(L, -2, "words");
}

static void push_problem(lua_State *L, const mig_split_problem *problem) {
  static const char *const kinds[] = {[MIG_SPLIT_FINE] = "",
                                      [MIG_SPLIT_QUOTE] = "quote",
                                      [MIG_SPLIT_DOLLAR_QUOTE] = "dollar quote",
                                      [MIG_SPLIT_COMMENT] = "comment",
                                      [MIG_SPLIT_PARENTHESIS] = "parenthesis",
                                      [MIG_SPLIT_BODY] = "body",
                                      [MIG_SPLIT_META_COMMAND] = "meta-command"};
  lua_createtable(L, 0, 3);
  lua_pushstring(L, kinds[problem->kind]);
  lua_setfield(L, -2, "kind");
  set_size(L, "line", problem->line);
  set_size(L, "offset", problem->offset + 1);
}

static int sql_split(lua_State *L) {
  mig_split split = {.line = 1};
  mig_statement statement;
  split.text = luaL_checklstring(L, 1, &split.size);
  lua_newtable(L);
  for (lua_Integer i = 1; mig_split_next(&split, &statement); i++) {
    push_statement(L, split.text, &statement);
    lua_rawseti(L, -2, i);
  }
  if (split.problem.kind != MIG_SPLIT_FINE) {
    push_problem(L, &split.problem);
    lua_setfield(L, -2, "problem");
  }
  return 1;
}

/* A text that cannot be parsed is an answer, not an error. */
static int push_refusal(lua_State *L, const mig_err *err) {
  lua_pushnil(L);
  lua_pushstring(L, err->message);
  if (!err->position) return 2;
  lua_pushinteger(L, err->position);
  return 3;
}

static int sql_parse_json(lua_State *L) {
  const char *text = mig_check_cstring(L, 1);
  TreeBox *box = mig_new_box(L, sizeof *box, 0, TREE);
  mig_err err;
  lua_toclose(L, -1);
  if (mig_tree_parse(text, &box->json, &err)) return push_refusal(L, &err);
  lua_pushstring(L, box->json);
  return 1;
}

static int sql_fingerprint(lua_State *L) {
  const char *text = mig_check_cstring(L, 1);
  mig_fingerprint fingerprint;
  mig_err err;
  if (mig_fingerprint_make(text, &fingerprint, &err)) return push_refusal(L, &err);
  lua_pushstring(L, fingerprint.hex);
  return 1;
}

/* A byte of text, or the place just behind its last; returned from 0. */
static size_t check_offset(lua_State *L, int arg, size_t size) {
  lua_Integer offset = luaL_checkinteger(L, arg);
  luaL_argcheck(L, offset >= 1 && (lua_Unsigned)offset <= size + 1, arg, "byte offset is outside the text");
  return (size_t)offset - 1;
}

static int sql_position(lua_State *L) {
  size_t size, line = 1, column = 1, start = 0;
  const char *text = luaL_checklstring(L, 1, &size), *newline;
  size_t offset = check_offset(L, 2, size);
  while (start < offset && (newline = memchr(text + start, '\n', offset - start))) {
    start = (size_t)(newline - text) + 1;
    line++;
  }
  for (;;) {
    size_t step = start < offset ? mig_utf8_step(text + start, size - start) : 1;
    if (start + step > offset) break;
    start += step;
    column++;
  }
  lua_pushinteger(L, (lua_Integer)line);
  lua_pushinteger(L, (lua_Integer)column);
  return 2;
}

static int sql_char_offset(lua_State *L) {
  size_t size;
  const char *text = luaL_checklstring(L, 1, &size);
  size_t at = check_offset(L, 2, size);
  lua_Integer characters = luaL_checkinteger(L, 3);
  luaL_argcheck(L, characters >= 1, 3, "characters count from 1");
  for (; characters > 1 && at < size; characters--) at += mig_utf8_step(text + at, size - at);
  lua_pushinteger(L, (lua_Integer)at + 1);
  return 1;
}

static int sql_decode_utf8(lua_State *L) {
  size_t size, at;
  const char *bytes = luaL_checklstring(L, 1, &size);
  luaL_Buffer buffer;
  at = mig_utf8_valid(bytes, size);
  if (at == size) {
    lua_settop(L, 1);
    lua_pushboolean(L, 0);
    return 2;
  }
  luaL_buffinit(L, &buffer);
  luaL_addlstring(&buffer, bytes, at);
  while (at < size) {
    size_t run;
    luaL_addlstring(&buffer, "\xEF\xBF\xBD", 3);
    at += mig_utf8_subpart(bytes + at, size - at);
    run = mig_utf8_valid(bytes + at, size - at);
    luaL_addlstring(&buffer, bytes + at, run);
    at += run;
  }
  luaL_pushresult(&buffer);
  lua_pushboolean(L, 1);
  return 2;
}

static void add_doubled(luaL_Buffer *buffer, const char *text, const char *doubled) {
  for (; *text; text++) {
    if (strchr(doubled, *text)) luaL_addchar(buffer, *text);
    luaL_addchar(buffer, *text);
  }
}

/* Quotes always: to know when that is needed takes the keywords of the server at hand. */
static int sql_quote_ident(lua_State *L) {
  const char *name = mig_check_cstring(L, 1);
  luaL_Buffer buffer;
  luaL_argcheck(L, name[0], 1, "identifier is empty");
  luaL_buffinit(L, &buffer);
  luaL_addchar(&buffer, '"');
  add_doubled(&buffer, name, "\"");
  luaL_addchar(&buffer, '"');
  luaL_pushresult(&buffer);
  return 1;
}

/* With backslashes only E'' means the same whatever standard_conforming_strings says. */
static int sql_quote_literal(lua_State *L) {
  const char *text = mig_check_cstring(L, 1);
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  if (strchr(text, '\\')) luaL_addchar(&buffer, 'E');
  luaL_addchar(&buffer, '\'');
  add_doubled(&buffer, text, "'\\");
  luaL_addchar(&buffer, '\'');
  luaL_pushresult(&buffer);
  return 1;
}

static const luaL_Reg functions[] = {{"split", sql_split},
                                     {"parse_json", sql_parse_json},
                                     {"fingerprint", sql_fingerprint},
                                     {"position", sql_position},
                                     {"char_offset", sql_char_offset},
                                     {"decode_utf8", sql_decode_utf8},
                                     {"quote_ident", sql_quote_ident},
                                     {"quote_literal", sql_quote_literal},
                                     {NULL, NULL}};

int luaopen_migrator_core_sql(lua_State *L) {
  mig_new_type(L, TREE, NULL, tree_close);
  luaL_newlib(L, functions);
  return 1;
}
