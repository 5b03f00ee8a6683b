#include <string.h>

#include "bind/db.h"
#include "pg/copy.h"

#define COPY_IN "migrator.copy_in"
#define COPY_OUT "migrator.copy_out"

/* A COPY under way; the user value keeps the session alive. */
typedef struct CopyBox {
  ConnBox *conn; /* NULL when it ended */
} CopyBox;

static int start(lua_State *L, int in) {
  ConnBox *conn = mig_check_idle_conn(L, 1);
  const char *sql = mig_check_cstring(L, 2);
  const mig_params simple = {.count = -1};
  CopyBox *box = mig_new_box(L, sizeof *box, 1, in ? COPY_IN : COPY_OUT);
  mig_err err;
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  if (mig_pg_send(&conn->pg, sql, &simple, &err)) return mig_raise(L, &err);
  if (mig_copy_start(&conn->pg, in, conn->deadline, &err)) return mig_raise(L, &err);
  box->conn = conn;
  conn->busy = box;
  return 1;
}

int mig_conn_copy_in(lua_State *L) { return start(L, 1); }
int mig_conn_copy_out(lua_State *L) { return start(L, 0); }

static ConnBox *check_copy(lua_State *L, const char *type) {
  CopyBox *box = luaL_checkudata(L, 1, type);
  if (!box->conn) luaL_error(L, "the COPY has ended");
  lua_getiuservalue(L, 1, 1);
  mig_check_conn(L, lua_gettop(L));
  lua_pop(L, 1);
  return box->conn;
}

static ConnBox *release(lua_State *L, const char *type) {
  CopyBox *box = luaL_checkudata(L, 1, type);
  ConnBox *conn = box->conn;
  box->conn = NULL;
  if (conn) conn->busy = NULL;
  return conn;
}

static int copy_write(lua_State *L) {
  ConnBox *conn = check_copy(L, COPY_IN);
  size_t n;
  const char *data = luaL_checklstring(L, 2, &n);
  mig_err err;
  if (mig_copy_put(&conn->pg, data, n, conn->deadline, &err)) {
    release(L, COPY_IN);
    return mig_raise(L, &err);
  }
  return 0;
}

/* One value in COPY's text format: NULL is \N, and what would end a field, a row or an escape is escaped. */
static void add_field(lua_State *L, luaL_Buffer *buffer, int index) {
  static const char specials[] = "\\\b\f\n\r\t\v", letters[] = "\\bfnrtv";
  size_t n;
  const char *text = lua_tolstring(L, index, &n);
  for (size_t i = 0; i < n; i++) {
    const char *special = text[i] ? strchr(specials, text[i]) : NULL;
    if (special) {
      luaL_addchar(buffer, '\\');
      luaL_addchar(buffer, letters[special - specials]);
    } else {
      luaL_addchar(buffer, text[i]);
    }
  }
}

/* copy:row(…): the values of one row, converted like parameters. */
static int copy_row(lua_State *L) {
  ConnBox *conn = check_copy(L, COPY_IN);
  int last = lua_gettop(L);
  luaL_Buffer buffer;
  mig_params params;
  size_t n;
  const char *line;
  mig_err err;
  mig_to_params(L, 2, last, &params);
  luaL_buffinit(L, &buffer);
  for (int i = 2; i <= last; i++) {
    if (i > 2) luaL_addchar(&buffer, '\t');
    if (lua_isnil(L, i)) {
      luaL_addlstring(&buffer, "\\N", 2);
    } else {
      add_field(L, &buffer, i);
    }
  }
  luaL_addchar(&buffer, '\n');
  luaL_pushresult(&buffer);
  line = lua_tolstring(L, -1, &n);
  if (mig_copy_put(&conn->pg, line, n, conn->deadline, &err)) {
    release(L, COPY_IN);
    return mig_raise(L, &err);
  }
  return 0;
}

static int end_in(lua_State *L, const char *reason) {
  ConnBox *conn = release(L, COPY_IN);
  long long rows;
  mig_err err;
  if (!conn || !conn->pg.conn) return 0;
  if (mig_copy_end(&conn->pg, reason, conn->deadline, &rows, &err)) return mig_raise(L, &err);
  lua_pushinteger(L, rows);
  return 1;
}

static int copy_finish(lua_State *L) {
  check_copy(L, COPY_IN);
  return end_in(L, NULL);
}

static int copy_abort(lua_State *L) { return end_in(L, luaL_optstring(L, 2, "abandoned")); }
static int copy_in_close(lua_State *L) { return end_in(L, "abandoned"); }

typedef struct ChunkBox {
  char *data;
} ChunkBox;

static int chunk_close(lua_State *L) {
  ChunkBox *box = luaL_checkudata(L, 1, "migrator.copy_chunk");
  char *data = box->data;
  box->data = NULL;
  PQfreemem(data);
  return 0;
}

/* -> a chunk (one row of the text format), or nil and the number of rows at the end. */
static int copy_read(lua_State *L) {
  ConnBox *conn = check_copy(L, COPY_OUT);
  ChunkBox *box = mig_new_box(L, sizeof *box, 0, "migrator.copy_chunk");
  int len;
  long long rows;
  mig_err err;
  lua_toclose(L, -1);
  if (mig_copy_get(&conn->pg, conn->deadline, &box->data, &len, &rows, &err)) {
    release(L, COPY_OUT);
    return mig_raise(L, &err);
  }
  if (box->data) {
    lua_pushlstring(L, box->data, (size_t)len);
    return 1;
  }
  release(L, COPY_OUT);
  lua_pushnil(L);
  lua_pushinteger(L, rows);
  return 2;
}

static int copy_out_close(lua_State *L) {
  ConnBox *conn = release(L, COPY_OUT);
  if (conn && conn->pg.conn) mig_pg_abandon(&conn->pg);
  return 0;
}

static const luaL_Reg in_methods[] = {{"write", copy_write}, {"row", copy_row},        {"finish", copy_finish},
                                      {"abort", copy_abort}, {"close", copy_in_close}, {NULL, NULL}};
static const luaL_Reg out_methods[] = {{"read", copy_read}, {"close", copy_out_close}, {NULL, NULL}};

void mig_copy_open(lua_State *L) {
  mig_new_type(L, COPY_IN, in_methods, copy_in_close);
  mig_new_type(L, COPY_OUT, out_methods, copy_out_close);
  mig_new_type(L, "migrator.copy_chunk", NULL, chunk_close);
}
