#include <stdio.h>
#include <string.h>

#include "bind/db.h"

/* Replaces the value at index by its text, so that the stack keeps the bytes alive; NULL stays nil. */
static void to_text(lua_State *L, int index, int number) {
  char text[64];
  switch (lua_type(L, index)) {
    case LUA_TNIL:
      return;
    case LUA_TLIGHTUSERDATA:
      if (lua_touserdata(L, index)) break;
      lua_pushnil(L);
      lua_replace(L, index);
      return;
    case LUA_TBOOLEAN:
      lua_pushstring(L, lua_toboolean(L, index) ? "t" : "f");
      lua_replace(L, index);
      return;
    case LUA_TNUMBER:
      if (lua_isinteger(L, index)) {
        snprintf(text, sizeof text, LUA_INTEGER_FMT, (LUAI_UACINT)lua_tointeger(L, index));
      } else {
        snprintf(text, sizeof text, "%.17g", lua_tonumber(L, index));
      }
      lua_pushstring(L, text);
      lua_replace(L, index);
      return;
    case LUA_TSTRING:
      if (strlen(lua_tostring(L, index)) == lua_rawlen(L, index)) return;
      luaL_error(L, "parameter $%d contains a NUL byte, which text cannot hold (use db.bytea)", number);
      return;
    default:
      break;
  }
  luaL_error(L, "parameter $%d is a %s (use db.array, db.json or db.bytea)", number, luaL_typename(L, index));
}

void mig_to_params(lua_State *L, int first, int last, mig_params *out) {
  int count = last - first + 1;
  const char **values;
  int *lengths;
  if (count <= 0) {
    *out = (mig_params){0};
    return;
  }
  if (count > 65535) luaL_error(L, "%d parameters, at most 65535 are possible", count);
  for (int i = 0; i < count; i++) to_text(L, first + i, i + 1);
  values = lua_newuserdatauv(L, (size_t)count * (sizeof *values + sizeof *lengths), 0);
  lengths = (int *)(values + count);
  for (int i = 0; i < count; i++) {
    values[i] = lua_isnil(L, first + i) ? NULL : lua_tostring(L, first + i);
    lengths[i] = (int)lua_rawlen(L, first + i);
  }
  *out = (mig_params){.count = count, .values = values, .lengths = lengths};
}
