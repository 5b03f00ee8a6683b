#include "bind/db.h"

#include <string.h>

#include "hash/digest.h"
#include "pg/cancel.h"
#include "pg/diag.h"

static ConnBox *to_box(lua_State *L, int arg) { return luaL_checkudata(L, arg, MIG_CONN); }

ConnBox *mig_check_conn(lua_State *L, int arg) {
  ConnBox *box = to_box(L, arg);
  mig_err err;
  if (!box->pg.conn) {
    mig_err_set(&err, "connect", "the connection is closed");
    mig_raise(L, &err);
  }
  return box;
}

ConnBox *mig_check_idle_conn(lua_State *L, int arg) {
  ConnBox *box = mig_check_conn(L, arg);
  if (box->busy) luaL_error(L, "the connection is busy with a batch or COPY");
  return box;
}

const char **mig_to_keywords(lua_State *L, size_t *size) {
  size_t n = 0, at = 0;
  const char **arrays;
  luaL_checktype(L, 1, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) n++;
  arrays = lua_newuserdatauv(L, 2 * (n + 1) * sizeof *arrays, 0);
  luaL_checkstack(L, (int)(2 * n) + 4, "too many connection parameters");
  for (lua_pushnil(L); lua_next(L, 1);) {
    luaL_argcheck(L, lua_type(L, -2) == LUA_TSTRING, 1, "connection parameters are named");
    luaL_tolstring(L, -1, NULL);
    lua_remove(L, -2);
    arrays[at] = lua_tostring(L, -2);
    arrays[n + 1 + at] = lua_tostring(L, -1);
    at++;
    lua_pushvalue(L, -2);
  }
  arrays[n] = arrays[2 * n + 1] = NULL;
  *size = n + 1;
  return arrays;
}

static int db_open(lua_State *L) {
  mig_deadline deadline = mig_check_deadline(L, 2);
  size_t n;
  const char **arrays = mig_to_keywords(L, &n);
  ConnBox *box = mig_new_box(L, sizeof *box, 0, MIG_CONN);
  mig_err err;
  box->deadline = MIG_NEVER;
  if (mig_pg_open(&box->pg, arrays, arrays + n, deadline, &err)) return mig_raise(L, &err);
  return 1;
}

static int options_close(lua_State *L) {
  PQconninfoOption **options = luaL_checkudata(L, 1, "migrator.conninfo");
  if (*options) PQconninfoFree(*options);
  *options = NULL;
  return 0;
}

static PQconninfoOption **new_options(lua_State *L) {
  PQconninfoOption **options = mig_new_box(L, sizeof *options, 0, "migrator.conninfo");
  lua_toclose(L, -1);
  return options;
}

/* The text of libpq's complaint may quote a password: it stays here. */
static int db_parse_conninfo(lua_State *L) {
  const char *text = mig_check_cstring(L, 1);
  PQconninfoOption **options = new_options(L);
  char *complaint = NULL;
  *options = PQconninfoParse(text, &complaint);
  if (complaint) PQfreemem(complaint);
  if (!*options) {
    lua_pushnil(L);
    return 1;
  }
  lua_newtable(L);
  for (PQconninfoOption *option = *options; option->keyword; option++) {
    if (!option->val) continue;
    lua_pushstring(L, option->val);
    lua_setfield(L, -2, option->keyword);
  }
  return 1;
}

static int db_keywords(lua_State *L) {
  PQconninfoOption **options = new_options(L);
  lua_Integer n = 0;
  *options = PQconndefaults();
  lua_newtable(L);
  for (PQconninfoOption *option = *options; option && option->keyword; option++) {
    lua_pushstring(L, option->keyword);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

static int conn_exec(lua_State *L) {
  ConnBox *conn = mig_check_idle_conn(L, 1);
  const char *sql = mig_check_cstring(L, 2);
  ResultBox *box;
  mig_params params;
  mig_err err, ignored;
  mig_to_params(L, 3, lua_gettop(L), &params);
  box = mig_new_result_box(L);
  lua_toclose(L, -1);
  if (mig_pg_send(&conn->pg, sql, &params, &err)) return mig_raise(L, &err);
  if (mig_pg_next(&conn->pg, conn->deadline, &box->result, &err)) return mig_raise(L, &err);
  if (!box->result) return luaL_error(L, "no result");
  if (PQresultStatus(box->result) == PGRES_COPY_IN || PQresultStatus(box->result) == PGRES_COPY_OUT) {
    mig_pg_abandon(&conn->pg);
  } else if (mig_pg_drain(&conn->pg, conn->deadline,
                          PQresultStatus(box->result) == PGRES_FATAL_ERROR ? &ignored : &err)) {
    if (PQresultStatus(box->result) != PGRES_FATAL_ERROR) return mig_raise(L, &err);
  }
  mig_push_result(L, box, sql);
  return 1;
}

/* Simple protocol: all results in order; the first error is raised when everything was read. */
static int conn_script(lua_State *L) {
  ConnBox *conn = mig_check_idle_conn(L, 1);
  const char *sql = mig_check_cstring(L, 2);
  const mig_params simple = {.count = -1};
  ResultBox *box;
  mig_err err;
  int failed = 0;
  lua_settop(L, 2);
  lua_newtable(L);
  box = mig_new_result_box(L);
  lua_toclose(L, -1);
  if (mig_pg_send(&conn->pg, sql, &simple, &err)) return mig_raise(L, &err);
  box->unread = &conn->pg;
  for (lua_Integer n = 1;; n++) {
    if (mig_pg_next(&conn->pg, conn->deadline, &box->result, &err)) return mig_raise(L, &err);
    if (!box->result) break;
    if (PQresultStatus(box->result) == PGRES_FATAL_ERROR) {
      failed = mig_diag_result(box->result, &err);
    } else if (PQresultStatus(box->result) == PGRES_COPY_IN || PQresultStatus(box->result) == PGRES_COPY_OUT) {
      mig_pg_abandon(&conn->pg);
      return luaL_error(L, "COPY needs conn:copy_in or conn:copy_out");
    } else {
      mig_push_result(L, box, sql);
      lua_rawseti(L, 3, n);
    }
    mig_result_drop(box);
  }
  box->unread = NULL;
  if (failed) return mig_raise(L, &err);
  lua_settop(L, 3);
  return 1;
}

static int conn_notices(lua_State *L) {
  ConnBox *box = to_box(L, 1);
  mig_notice notice;
  lua_newtable(L);
  for (lua_Integer n = 1; mig_notice_take(&box->pg.notices, &notice); n++) {
    lua_createtable(L, 0, 5);
    lua_pushstring(L, notice.severity);
    lua_setfield(L, -2, "severity");
    lua_pushstring(L, notice.message);
    lua_setfield(L, -2, "message");
    lua_pushstring(L, notice.sqlstate);
    lua_setfield(L, -2, "sqlstate");
    if (notice.detail[0]) lua_pushstring(L, notice.detail), lua_setfield(L, -2, "detail");
    if (notice.hint[0]) lua_pushstring(L, notice.hint), lua_setfield(L, -2, "hint");
    lua_rawseti(L, -2, n);
  }
  lua_pushinteger(L, box->pg.notices.dropped);
  lua_setfield(L, -2, "dropped");
  box->pg.notices.dropped = 0;
  return 1;
}

static int conn_status(lua_State *L) {
  static const char *const names[] = {"idle", "active", "transaction", "failed", "unknown"};
  ConnBox *box = to_box(L, 1);
  lua_pushstring(L, box->pg.conn ? names[PQtransactionStatus(box->pg.conn)] : "closed");
  return 1;
}

static int conn_parameter(lua_State *L) {
  ConnBox *box = mig_check_conn(L, 1);
  lua_pushstring(L, PQparameterStatus(box->pg.conn, mig_check_cstring(L, 2)));
  return 1;
}

/* How often an answer of the server was waited for; a closed session still knows. */
static int conn_round_trips(lua_State *L) {
  lua_pushinteger(L, to_box(L, 1)->pg.round_trips);
  return 1;
}

static int conn_info(lua_State *L) {
  PGconn *pg = mig_check_conn(L, 1)->pg.conn;
  lua_createtable(L, 0, 8);
  lua_pushstring(L, PQhost(pg));
  lua_setfield(L, -2, "host");
  lua_pushstring(L, PQport(pg));
  lua_setfield(L, -2, "port");
  lua_pushstring(L, PQdb(pg));
  lua_setfield(L, -2, "database");
  lua_pushstring(L, PQuser(pg));
  lua_setfield(L, -2, "user");
  lua_pushinteger(L, PQbackendPID(pg));
  lua_setfield(L, -2, "pid");
  lua_pushinteger(L, PQserverVersion(pg));
  lua_setfield(L, -2, "version_number");
  lua_pushstring(L, PQparameterStatus(pg, "server_version"));
  lua_setfield(L, -2, "version");
  lua_pushboolean(L, PQsslInUse(pg));
  lua_setfield(L, -2, "tls");
  return 1;
}

static int conn_set_deadline(lua_State *L) {
  ConnBox *box = to_box(L, 1);
  box->deadline = mig_check_deadline(L, 2);
  return 0;
}

static int conn_cancel(lua_State *L) {
  ConnBox *box = mig_check_conn(L, 1);
  mig_err err;
  if (mig_pg_cancel(&box->pg, mig_after_ms(2000), &err)) return mig_raise(L, &err);
  return 0;
}

static int conn_close(lua_State *L) {
  ConnBox *box = to_box(L, 1);
  if (box->pg.conn) mig_pg_close(&box->pg);
  return 0;
}

static const luaL_Reg functions[] = {{"open", db_open},
                                     {"open_later", mig_db_open_later},
                                     {"locate_csv", mig_db_locate_csv},
                                     {"parse_conninfo", db_parse_conninfo},
                                     {"keywords", db_keywords},
                                     {NULL, NULL}};

static const luaL_Reg methods[] = {{"exec", conn_exec},
                                   {"script", conn_script},
                                   {"batch", mig_conn_batch},
                                   {"copy_in", mig_conn_copy_in},
                                   {"copy_out", mig_conn_copy_out},
                                   {"notices", conn_notices},
                                   {"status", conn_status},
                                   {"parameter", conn_parameter},
                                   {"info", conn_info},
                                   {"round_trips", conn_round_trips},
                                   {"set_deadline", conn_set_deadline},
                                   {"cancel", conn_cancel},
                                   {"close", conn_close},
                                   {NULL, NULL}};

int luaopen_migrator_core_db(lua_State *L) {
  mig_new_type(L, MIG_CONN, methods, conn_close);
  mig_new_type(L, "migrator.conninfo", NULL, options_close);
  mig_rows_open(L);
  mig_batch_open(L);
  mig_later_open(L);
  mig_copy_open(L);
  mig_pg_meanwhile(mig_hash_warm);
  luaL_newlib(L, functions);
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  luaL_getmetatable(L, MIG_CONN);
  lua_getfield(L, -1, "__index");
  lua_setfield(L, -3, "conn"); /* the methods, for the Lua half of the module to add its own */
  lua_pop(L, 1);
  return 1;
}
