#include "pg/later.h"

#include "bind/db.h"

#define LATER "migrator.later"

typedef struct LaterBox {
  mig_later *later;
} LaterBox;

static int later_close(lua_State *L) {
  LaterBox *box = luaL_checkudata(L, 1, LATER);
  if (box->later) mig_later_free(box->later);
  box->later = NULL;
  return 0;
}

int mig_db_open_later(lua_State *L) {
  mig_deadline deadline = mig_check_deadline(L, 2);
  size_t n;
  const char **arrays = mig_to_keywords(L, &n);
  LaterBox *box = mig_new_box(L, sizeof *box, 0, LATER);
  mig_err err;
  box->later = mig_later_start(arrays, arrays + n, deadline, &err);
  if (!box->later) return mig_raise(L, &err);
  return 1;
}

/* -> the session, once. Raises what opening it raised. */
static int later_take(lua_State *L) {
  LaterBox *box = luaL_checkudata(L, 1, LATER);
  ConnBox *conn;
  mig_err err;
  int failed;
  if (!box->later) return luaL_error(L, "the session was taken already");
  conn = mig_new_box(L, sizeof *conn, 0, MIG_CONN);
  conn->deadline = MIG_NEVER;
  failed = mig_later_take(box->later, &conn->pg, &err);
  mig_later_free(box->later);
  box->later = NULL;
  return failed ? mig_raise(L, &err) : 1;
}

static const luaL_Reg methods[] = {{"take", later_take}, {"close", later_close}, {NULL, NULL}};

void mig_later_open(lua_State *L) { mig_new_type(L, LATER, methods, later_close); }

int mig_later_busy(void) { return mig_later_threads() > 0; }
