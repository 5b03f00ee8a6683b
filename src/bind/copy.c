#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "bind/db.h"
#include "pg/copyfile.h"
#include "pg/copytext.h"

#define COPY_IN "migrator.copy_in"
#define COPY_OUT "migrator.copy_out"
#define FILE_BOX "migrator.copy_file"

/* A COPY under way. User values: the session, kept alive; the names of the JSON columns; the JSON columns. */
typedef struct CopyBox {
  ConnBox *conn;         /* NULL when it ended */
  mig_buf rows;          /* made, but not sent yet */
  mig_json_column *json; /* the third user value */
  int columns;
} CopyBox;

static int start(lua_State *L, int in) {
  ConnBox *conn = mig_check_idle_conn(L, 1);
  const char *sql = mig_check_cstring(L, 2);
  const mig_params simple = {.count = -1};
  CopyBox *box = mig_new_box(L, sizeof *box, 3, in ? COPY_IN : COPY_OUT);
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

static CopyBox *check_copy(lua_State *L, const char *type) {
  CopyBox *box = luaL_checkudata(L, 1, type);
  if (!box->conn) luaL_error(L, "the COPY has ended");
  lua_getiuservalue(L, 1, 1);
  mig_check_conn(L, lua_gettop(L));
  lua_pop(L, 1);
  return box;
}

static ConnBox *release(lua_State *L, const char *type) {
  CopyBox *box = luaL_checkudata(L, 1, type);
  ConnBox *conn = box->conn;
  mig_buf_free(&box->rows);
  box->conn = NULL;
  if (conn) conn->busy = NULL;
  return conn;
}

static int fail(lua_State *L, const char *type, const mig_err *err) {
  release(L, type);
  return mig_raise(L, err);
}

static void put(lua_State *L, CopyBox *box, const char *data, size_t n) {
  mig_err err;
  if (mig_copy_put(&box->conn->pg, data, n, box->conn->deadline, &err)) fail(L, COPY_IN, &err);
}

static void send_rows(lua_State *L, CopyBox *box) {
  put(L, box, box->rows.data, box->rows.len);
  box->rows.len = 0;
}

static int copy_write(lua_State *L) {
  CopyBox *box = check_copy(L, COPY_IN);
  size_t n;
  const char *data = luaL_checklstring(L, 2, &n);
  mig_err err;
  if (n < MIG_COPY_CHUNK / 4) {
    if (mig_buf_add(&box->rows, data, n, &err)) return mig_raise(L, &err);
    if (box->rows.len >= MIG_COPY_CHUNK) send_rows(L, box);
  } else {
    send_rows(L, box);
    put(L, box, data, n);
  }
  return 0;
}

static int is_null(lua_State *L, int index) {
  return lua_isnil(L, index) || (lua_islightuserdata(L, index) && !lua_touserdata(L, index));
}

/* Adds the value at index, a field. -> 1, 0 when it has no text that could be meant, or -1 with err. */
static int add_field(lua_State *L, mig_buf *rows, int index, mig_err *err) {
  char text[40];
  size_t n;
  const char *bytes = text;
  switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
      text[0] = lua_toboolean(L, index) ? 't' : 'f';
      n = 1;
      break;
    case LUA_TNUMBER:
      n = (size_t)(lua_isinteger(L, index) ? mig_copytext_integer(text, lua_tointeger(L, index))
                                           : mig_copytext_number(text, lua_tonumber(L, index)));
      break;
    case LUA_TSTRING:
      bytes = lua_tolstring(L, index, &n);
      if (memchr(bytes, 0, n)) return 0;
      return mig_copytext_add(rows, bytes, n, err) ? -1 : 1;
    default:
      if (!is_null(L, index)) return 0;
      bytes = "\\N";
      n = 2;
  }
  return mig_buf_add(rows, bytes, n, err) ? -1 : 1;
}

/* The value on the top of the stack as the i-th field of a row that began at `before`; pops it. When it cannot be one
 * the row is taken back. */
static int take_field(lua_State *L, CopyBox *box, int i, size_t before) {
  mig_err err;
  int took = i > 1 && mig_buf_add(&box->rows, "\t", 1, &err) ? -1 : add_field(L, &box->rows, lua_gettop(L), &err);
  if (took < 0) return fail(L, COPY_IN, &err);
  if (!took) box->rows.len = before;
  lua_pop(L, 1);
  return took;
}

static void end_row(lua_State *L, CopyBox *box) {
  mig_err err;
  if (mig_buf_add(&box->rows, "\n", 1, &err)) fail(L, COPY_IN, &err);
  if (box->rows.len >= MIG_COPY_CHUNK) send_rows(L, box);
}

/* copy:row(…): the values of one row, converted like parameters. */
static int copy_row(lua_State *L) {
  CopyBox *box = check_copy(L, COPY_IN);
  int last = lua_gettop(L);
  size_t before = box->rows.len;
  for (int i = 2; i <= last; i++) {
    lua_pushvalue(L, i);
    if (take_field(L, box, i - 1, before)) continue;
    if (lua_isstring(L, i))
      return luaL_error(L, "value %d contains a NUL byte, which text cannot hold (use db.bytea)", i - 1);
    return luaL_error(L, "value %d is a %s (use db.array, db.json or db.bytea)", i - 1, luaL_typename(L, i));
  }
  end_row(L, box);
  return 0;
}

/* copy:values(list, width): a row of the first `width` values; false when one has no plain text or there are more. */
static int copy_values(lua_State *L) {
  CopyBox *box = check_copy(L, COPY_IN);
  lua_Integer width = luaL_checkinteger(L, 3);
  size_t before = box->rows.len;
  int took = 1;
  luaL_checktype(L, 2, LUA_TTABLE);
  if (lua_rawgeti(L, 2, width + 1) != LUA_TNIL) took = 0;
  for (lua_Integer i = 1; i <= width && took; i++) {
    lua_geti(L, 2, i);
    took = take_field(L, box, i > 1 ? 2 : 1, before);
  }
  if (took) end_row(L, box);
  lua_pushboolean(L, took);
  return 1;
}

/* copy:fields(record, names): a row of the fields with these names; false when one is missing, has no plain text, or
 * there are others. */
static int copy_fields(lua_State *L) {
  CopyBox *box = check_copy(L, COPY_IN);
  size_t before = box->rows.len;
  lua_Integer width, keys = 0;
  int took = 1;
  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_checktype(L, 3, LUA_TTABLE);
  width = (lua_Integer)lua_rawlen(L, 3);
  for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) keys++;
  took = keys == width;
  for (lua_Integer i = 1; i <= width && took; i++) {
    lua_rawgeti(L, 3, i);
    if (lua_rawget(L, 2) == LUA_TNIL) {
      box->rows.len = before;
      took = 0;
    } else {
      took = take_field(L, box, i > 1 ? 2 : 1, before);
    }
  }
  if (took) end_row(L, box);
  lua_pushboolean(L, took);
  return 1;
}

/* copy:json_columns(names, forms): what copy:json_lines makes of each line. */
static int copy_json_columns(lua_State *L) {
  static const char *const forms[] = {"plain", "number", "raw", "vector", "array", "arrays", NULL};
  CopyBox *box = check_copy(L, COPY_IN);
  int count, i;
  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_checktype(L, 3, LUA_TTABLE);
  count = (int)lua_rawlen(L, 2);
  luaL_argcheck(L, count > 0 && count <= 1600, 2, "one to 1600 names");
  box->json = lua_newuserdatauv(L, (size_t)count * sizeof *box->json, 0);
  box->columns = 0;
  lua_setiuservalue(L, 1, 3);
  lua_createtable(L, count, 0);
  for (i = 0; i < count; i++) {
    lua_rawgeti(L, 2, i + 1);
    lua_rawgeti(L, 3, i + 1);
    box->json[i] = (mig_json_column){.form = (mig_json_form)luaL_checkoption(L, -1, NULL, forms)};
    box->json[i].name = luaL_checklstring(L, -2, &box->json[i].len);
    lua_pop(L, 1);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setiuservalue(L, 1, 2);
  box->columns = count;
  return 0;
}

/* copy:json_lines(text, from): whole lines from that byte on, as rows -> the byte behind those that were taken, and how
 * many rows and lines; it stops before a line that needs another look. Blank lines are none. */
static int copy_json_lines(lua_State *L) {
  CopyBox *box = check_copy(L, COPY_IN);
  size_t n;
  const char *text = luaL_checklstring(L, 2, &n);
  lua_Integer from = luaL_checkinteger(L, 3), rows = 0, lines = 0;
  mig_err err;
  luaL_argcheck(L, from >= 1 && (size_t)from <= n + 1, 3, "outside the text");
  if (!box->columns) return luaL_error(L, "copy:json_columns comes first");
  for (size_t at = (size_t)from - 1; at < n;) {
    const char *end = memchr(text + at, '\n', n - at);
    size_t len = end ? (size_t)(end - text) - at : n - at;
    int took = mig_json_row(text + at, len, box->json, box->columns, &box->rows, &err);
    if (took < 0) return fail(L, COPY_IN, &err);
    if (!took && strspn(text + at, " \t\r\v\f") < len) break;
    rows += took;
    lines++;
    at += end ? len + 1 : len;
    from = (lua_Integer)at + 1;
    if (box->rows.len >= MIG_COPY_CHUNK) send_rows(L, box);
  }
  lua_pushinteger(L, from);
  lua_pushinteger(L, rows);
  lua_pushinteger(L, lines);
  return 3;
}

static int file_close(lua_State *L) {
  int *fd = luaL_checkudata(L, 1, FILE_BOX), open = *fd;
  *fd = 0;
  if (open > 0) close(open);
  return 0;
}

/* Opens the file named at arg into a box that is closed when the function ends. */
static int open_file(lua_State *L, int arg) {
  const char *path = mig_check_cstring(L, arg);
  int *fd = mig_new_box(L, sizeof *fd, 0, FILE_BOX), got;
  mig_err err;
  lua_toclose(L, -1);
  got = open(path, O_RDONLY | O_CLOEXEC);
  if (got < 0) {
    mig_err_errno(&err, "usage", errno, path);
    mig_raise(L, &err);
  }
  *fd = got;
  return got;
}

/* copy:csv_file(path): the file's bytes as they are, but for a byte order mark. */
static int copy_csv_file(lua_State *L) {
  CopyBox *box = check_copy(L, COPY_IN);
  int fd = open_file(L, 2);
  long long line;
  mig_err err;
  send_rows(L, box);
  if (mig_copy_file(&box->conn->pg, fd, box->conn->deadline, &line, &err) == 0) return 0;
  if (line == 0) return fail(L, COPY_IN, &err);
  mig_push_error(L, &err);
  lua_pushvalue(L, 2);
  lua_setfield(L, -2, "file");
  lua_pushinteger(L, (lua_Integer)line);
  lua_setfield(L, -2, "line");
  return lua_error(L);
}

/* locate_csv(path, header, line): the row, from 1, and the line of the file where it begins, of what the server calls
 * line `line`; locate_csv(path, header, nil, row): the line of a row. nil when there is none. */
int mig_db_locate_csv(lua_State *L) {
  mig_csv_place place = {
      .header = lua_toboolean(L, 2), .server_line = luaL_optinteger(L, 3, 0), .row = luaL_optinteger(L, 4, 0)};
  mig_err err;
  int fd;
  luaL_argcheck(L, place.server_line > 0 || place.row > 0, 3, "a line or a row is asked for");
  fd = open_file(L, 1);
  if (mig_csv_locate(fd, &place, &err)) return mig_raise(L, &err);
  if (place.line == 0) return 0;
  lua_pushinteger(L, place.row);
  lua_pushinteger(L, place.line);
  return 2;
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
  send_rows(L, check_copy(L, COPY_IN));
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
  ConnBox *conn = check_copy(L, COPY_OUT)->conn;
  ChunkBox *box = mig_new_box(L, sizeof *box, 0, "migrator.copy_chunk");
  int len;
  long long rows;
  mig_err err;
  lua_toclose(L, -1);
  if (mig_copy_get(&conn->pg, conn->deadline, &box->data, &len, &rows, &err)) return fail(L, COPY_OUT, &err);
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

static const luaL_Reg in_methods[] = {{"write", copy_write},
                                      {"row", copy_row},
                                      {"values", copy_values},
                                      {"fields", copy_fields},
                                      {"json_columns", copy_json_columns},
                                      {"json_lines", copy_json_lines},
                                      {"csv_file", copy_csv_file},
                                      {"finish", copy_finish},
                                      {"abort", copy_abort},
                                      {"close", copy_in_close},
                                      {NULL, NULL}};
static const luaL_Reg out_methods[] = {{"read", copy_read}, {"close", copy_out_close}, {NULL, NULL}};

void mig_copy_open(lua_State *L) {
  mig_new_type(L, COPY_IN, in_methods, copy_in_close);
  mig_new_type(L, COPY_OUT, out_methods, copy_out_close);
  mig_new_type(L, "migrator.copy_chunk", NULL, chunk_close);
  mig_new_type(L, FILE_BOX, NULL, file_close);
}
