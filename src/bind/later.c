#include "pg/later.h"

#include "bind/db.h"

#define LATER "migrator.later"
#define ANSWERS "migrator.answers"

typedef struct LaterBox {
  mig_later *later;
} LaterBox;

typedef struct AnswersBox {
  mig_answers answers;
  size_t given;
} AnswersBox;

static int answers_close(lua_State *L) {
  AnswersBox *box = luaL_checkudata(L, 1, ANSWERS);
  while (box->given < box->answers.count) PQclear(box->answers.list[box->given++]);
  return 0;
}

/* As a batch's. */
static int answers_next(lua_State *L) {
  AnswersBox *box = luaL_checkudata(L, 1, ANSWERS);
  ResultBox *result;
  if (box->given == box->answers.count) return 0;
  result = mig_new_result_box(L);
  lua_toclose(L, -1);
  result->result = box->answers.list[box->given++];
  return mig_push_answer(L, result, (lua_Integer)box->given);
}

static int later_close(lua_State *L) {
  LaterBox *box = luaL_checkudata(L, 1, LATER);
  if (box->later) mig_later_free(box->later);
  box->later = NULL;
  return 0;
}

/* The list at index 3, or nil, with its field `oldest`; the deadline at 4. */
static void check_questions(lua_State *L, mig_questions *out) {
  lua_Integer n = lua_isnoneornil(L, 3) ? 0 : luaL_len(L, 3);
  luaL_argcheck(L, n <= MIG_QUESTIONS, 3, "too many questions");
  *out = (mig_questions){.patience = mig_check_deadline(L, 4)};
  for (lua_Integer i = 0; i < n; i++) {
    lua_rawgeti(L, 3, i + 1);
    out->list[i] = mig_check_cstring(L, -1);
    lua_pop(L, 1); /* the list keeps it */
  }
  if (n == 0) return;
  lua_getfield(L, 3, "oldest");
  out->oldest = (int)luaL_optinteger(L, -1, 0);
  lua_pop(L, 1);
}

int mig_db_open_later(lua_State *L) {
  mig_deadline deadline = mig_check_deadline(L, 2);
  mig_questions questions;
  size_t n;
  check_questions(L, &questions);
  const char **arrays = mig_to_keywords(L, &n);
  LaterBox *box = mig_new_box(L, sizeof *box, 0, LATER);
  mig_err err;
  box->later = mig_later_start(arrays, arrays + n, deadline, &questions, &err);
  if (!box->later) return mig_raise(L, &err);
  return 1;
}

static int later_is_due(lua_State *L) {
  LaterBox *box = luaL_checkudata(L, 1, LATER);
  lua_pushboolean(L, !box->later || mig_later_is_due(box->later));
  return 1;
}

/* -> the session and the answers, once. Raises what opening it raised. */
static int later_take(lua_State *L) {
  LaterBox *box = luaL_checkudata(L, 1, LATER);
  ConnBox *conn;
  AnswersBox *answers;
  mig_err err;
  int failed;
  if (!box->later) return luaL_error(L, "the session was taken already");
  conn = mig_new_box(L, sizeof *conn, 0, MIG_CONN);
  conn->deadline = MIG_NEVER;
  answers = mig_new_box(L, sizeof *answers, 0, ANSWERS);
  failed = mig_later_take(box->later, &conn->pg, &answers->answers, &err);
  mig_later_free(box->later);
  box->later = NULL;
  return failed ? mig_raise(L, &err) : 2;
}

static const luaL_Reg methods[] = {
    {"take", later_take}, {"is_due", later_is_due}, {"close", later_close}, {NULL, NULL}};
static const luaL_Reg answers_methods[] = {{"next", answers_next}, {"close", answers_close}, {NULL, NULL}};

void mig_later_open(lua_State *L) {
  mig_new_type(L, LATER, methods, later_close);
  mig_new_type(L, ANSWERS, answers_methods, answers_close);
}

int mig_later_busy(void) { return mig_later_threads() > 0; }
