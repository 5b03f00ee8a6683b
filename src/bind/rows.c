#include <stdlib.h>
#include <string.h>

#include "bind/db.h"
#include "pg/diag.h"

#define RESULT "migrator.result"

/* Types by their fixed OIDs (pg_type.dat): what a value of them becomes in Lua. Everything else stays text. */
enum kind { TEXT, BOOLEAN, INTEGER, FLOAT, BYTES, JSON, ARRAY = 0x80 };

static const struct {
  Oid type, array;
  enum kind kind;
} types[] = {{16, 1000, BOOLEAN}, {17, 1001, BYTES},  {20, 1016, INTEGER}, {21, 1005, INTEGER}, {23, 1007, INTEGER},
             {26, 1028, INTEGER}, {700, 1021, FLOAT}, {701, 1022, FLOAT},  {114, 199, JSON},    {3802, 3807, JSON},
             {25, 1009, TEXT},    {1043, 1015, TEXT}, {1042, 1014, TEXT},  {19, 1003, TEXT},    {18, 1002, TEXT},
             {1700, 1231, TEXT},  {2950, 2951, TEXT}, {1184, 1185, TEXT},  {1114, 1115, TEXT},  {1082, 1182, TEXT},
             {1083, 1183, TEXT},  {1266, 1270, TEXT}, {1186, 1187, TEXT},  {869, 1041, TEXT},   {28, 1011, TEXT}};

/* A kind, with the bit ARRAY for a list of it. */
static unsigned char find_kind(Oid type) {
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    if (types[i].type == type) return (unsigned char)types[i].kind;
    if (types[i].array == type) return (unsigned char)(types[i].kind | ARRAY);
  }
  return TEXT;
}

static void push_bytes(lua_State *L, const char *text, size_t len) {
  luaL_Buffer buffer;
  if (len < 2 || text[0] != '\\' || text[1] != 'x') luaL_error(L, "bytea_output is not hex");
  char *to = luaL_buffinitsize(L, &buffer, len / 2);
  for (size_t i = 2; i + 1 < len; i += 2) {
    char digits[3] = {text[i], text[i + 1], '\0'};
    to[i / 2 - 1] = (char)strtol(digits, NULL, 16);
  }
  luaL_pushresultsize(&buffer, len / 2 - 1);
}

static void push_json(lua_State *L, const char *text, size_t len) {
  lua_getfield(L, LUA_REGISTRYINDEX, RESULT ".json");
  lua_pushlstring(L, text, len);
  lua_call(L, 1, 1);
}

static void push_scalar(lua_State *L, const char *text, size_t len, enum kind kind) {
  switch (kind) {
    case BOOLEAN:
      lua_pushboolean(L, text[0] == 't');
      break;
    case INTEGER:
      lua_pushinteger(L, (lua_Integer)strtoll(text, NULL, 10));
      break;
    case FLOAT:
      lua_pushnumber(L, strtod(text, NULL));
      break;
    case BYTES:
      push_bytes(L, text, len);
      break;
    case JSON:
      push_json(L, text, len);
      break;
    default:
      lua_pushlstring(L, text, len);
  }
}

/* One element of an array's text, `*at` behind its first character; leaves the value on the stack. */
static const char *push_element(lua_State *L, const char *at, enum kind kind) {
  luaL_Buffer buffer;
  int quoted = *at == '"', plain_null;
  luaL_buffinit(L, &buffer);
  if (quoted) at++;
  while (*at && (quoted ? *at != '"' : *at != ',' && *at != '}')) {
    if (*at == '\\' && at[1]) at++;
    luaL_addchar(&buffer, *at++);
  }
  if (quoted && *at) at++;
  luaL_pushresult(&buffer);
  plain_null = !quoted && strcmp(lua_tostring(L, -1), "NULL") == 0;
  if (plain_null) {
    lua_pushlightuserdata(L, NULL);
  } else if (kind != TEXT) {
    push_scalar(L, lua_tostring(L, -1), lua_rawlen(L, -1), kind);
  } else {
    return at;
  }
  lua_remove(L, -2);
  return at;
}

/* `{1,NULL,{"a b",c}}`; a lower bound (`[0:1]={…}`) is passed over. */
static const char *push_array(lua_State *L, const char *at, enum kind kind) {
  lua_Integer n = 0;
  luaL_checkstack(L, 8, "array nests too deeply");
  lua_newtable(L);
  if (*at == '{') at++;
  while (*at && *at != '}') {
    at = *at == '{' ? push_array(L, at, kind) : push_element(L, at, kind);
    lua_rawseti(L, -2, ++n);
    if (*at == ',') at++;
  }
  return *at ? at + 1 : at;
}

static void push_value(lua_State *L, const PGresult *result, int row, int column, int kind) {
  const char *text = PQgetvalue(result, row, column);
  size_t len = (size_t)PQgetlength(result, row, column);
  if (len == 0 && PQgetisnull(result, row, column)) {
    lua_pushlightuserdata(L, NULL);
  } else if (!(kind & ARRAY)) {
    push_scalar(L, text, len, (enum kind)kind);
  } else {
    if (text[0] == '[') text = strchr(text, '=') + 1;
    push_array(L, text, (enum kind)(kind & ~ARRAY));
  }
}

static void push_rows(lua_State *L, const PGresult *result) {
  int rows = PQntuples(result), columns = PQnfields(result), names;
  unsigned char *kinds;
  lua_createtable(L, rows, 3);
  luaL_checkstack(L, columns + 9, "too many columns");
  kinds = lua_newuserdatauv(L, (size_t)columns + 1, 0);
  names = lua_gettop(L) + 1;
  for (int column = 0; column < columns; column++) {
    lua_pushstring(L, PQfname(result, column));
    kinds[column] = find_kind(PQftype(result, column));
  }
  for (int row = 0; row < rows; row++) {
    lua_createtable(L, 0, columns);
    for (int column = 0; column < columns; column++) {
      lua_pushvalue(L, names + column);
      push_value(L, result, row, column, kinds[column]);
      lua_rawset(L, -3);
    }
    lua_rawseti(L, names - 2, row + 1);
  }
  lua_createtable(L, columns, 0);
  for (int column = 0; column < columns; column++) {
    lua_pushvalue(L, names + column);
    lua_rawseti(L, -2, column + 1);
  }
  lua_setfield(L, names - 2, "columns");
  lua_settop(L, names - 2);
}

void mig_push_failure(lua_State *L, ResultBox *box, const char *sql) {
  mig_err err;
  mig_diag_result(box->result, &err);
  mig_push_error(L, &err);
  if (!sql) return;
  lua_pushstring(L, sql);
  lua_setfield(L, -2, "statement");
}

void mig_push_result(lua_State *L, ResultBox *box, const char *sql) {
  PGresult *result = box->result;
  switch (PQresultStatus(result)) {
    case PGRES_TUPLES_OK:
    case PGRES_SINGLE_TUPLE:
      push_rows(L, result);
      break;
    case PGRES_COMMAND_OK:
    case PGRES_EMPTY_QUERY:
      lua_createtable(L, 0, 2);
      break;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
      luaL_error(L, "COPY needs conn:copy_in or conn:copy_out");
      break;
    default:
      mig_push_failure(L, box, sql);
      lua_error(L);
  }
  lua_pushinteger(L, (lua_Integer)strtoll(PQcmdTuples(result), NULL, 10));
  lua_setfield(L, -2, "affected");
  lua_pushstring(L, PQcmdStatus(result));
  lua_setfield(L, -2, "command");
}

void mig_result_drop(ResultBox *box) {
  PGresult *result = box->result;
  box->result = NULL;
  PQclear(result);
}

static int result_close(lua_State *L) {
  ResultBox *box = luaL_checkudata(L, 1, RESULT);
  mig_pg *unread = box->unread;
  box->unread = NULL;
  mig_result_drop(box);
  if (unread) mig_pg_abandon(unread);
  return 0;
}

ResultBox *mig_new_result_box(lua_State *L) { return mig_new_box(L, sizeof(ResultBox), 0, RESULT); }

void mig_rows_open(lua_State *L) {
  mig_new_type(L, RESULT, NULL, result_close);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "migrator.lib.json");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "decode");
  lua_setfield(L, LUA_REGISTRYINDEX, RESULT ".json");
  lua_pop(L, 1);
}
