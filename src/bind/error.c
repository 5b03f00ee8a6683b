#include <math.h>
#include <string.h>

#include "base/interrupt.h"
#include "bind/bind.h"

static int boxes_live;

static void set_text(lua_State *L, const char *field, const char *text) {
  if (!text[0]) return;
  lua_pushstring(L, text);
  lua_setfield(L, -2, field);
}

void mig_push_error(lua_State *L, const mig_err *err) {
  lua_createtable(L, 0, 8);
  set_text(L, "code", err->code);
  set_text(L, "message", err->message);
  set_text(L, "sqlstate", err->sqlstate);
  set_text(L, "severity", err->severity);
  set_text(L, "detail", err->detail);
  set_text(L, "hint", err->hint);
  set_text(L, "context", err->context);
  if (err->position) {
    lua_pushinteger(L, err->position);
    lua_setfield(L, -2, "position");
  }
  if (strcmp(err->code, "interrupted") == 0) {
    lua_pushinteger(L, mig_interrupt_seen());
    lua_setfield(L, -2, "signal");
  }
  luaL_setmetatable(L, MIG_ERROR);
}

int mig_raise(lua_State *L, const mig_err *err) {
  if (strcmp(err->code, "interrupted") == 0) mig_interrupt_take();
  mig_push_error(L, err);
  return lua_error(L);
}

static mig_deadline to_deadline(lua_State *L, int arg, lua_Number seconds) {
  luaL_argcheck(L, !isnan(seconds), arg, "deadline is not a number of seconds");
  if (seconds > 9.2e9) return MIG_NEVER;
  return seconds < 0 ? 0 : (mig_deadline)(seconds * 1e9);
}

mig_deadline mig_check_deadline(lua_State *L, int arg) {
  if (lua_isnoneornil(L, arg)) return MIG_NEVER;
  return to_deadline(L, arg, luaL_checknumber(L, arg));
}

mig_deadline mig_field_deadline(lua_State *L, int table, const char *field) {
  mig_deadline deadline = MIG_NEVER;
  int isnum;
  if (!lua_istable(L, table)) return deadline;
  if (lua_getfield(L, table, field) != LUA_TNIL) {
    lua_Number seconds = lua_tonumberx(L, -1, &isnum);
    if (!isnum) luaL_error(L, "option '%s' must be a number of seconds, got %s", field, luaL_typename(L, -1));
    deadline = to_deadline(L, table, seconds);
  }
  lua_pop(L, 1);
  return deadline;
}

const char *mig_check_cstring(lua_State *L, int arg) {
  size_t n;
  const char *text = luaL_checklstring(L, arg, &n);
  luaL_argcheck(L, strlen(text) == n, arg, "string contains a NUL byte");
  return text;
}

void *mig_new_box(lua_State *L, size_t size, int user_values, const char *type) {
  void *box = lua_newuserdatauv(L, size, user_values);
  memset(box, 0, size);
  boxes_live++;
  luaL_setmetatable(L, type);
  return box;
}

int mig_boxes_live(void) { return boxes_live; }

static int box_gc(lua_State *L) {
  lua_CFunction close = lua_tocfunction(L, lua_upvalueindex(1));
  boxes_live--;
  return close(L);
}

void mig_new_type(lua_State *L, const char *type, const luaL_Reg *methods, lua_CFunction close) {
  if (!luaL_newmetatable(L, type)) {
    lua_pop(L, 1);
    return;
  }
  lua_newtable(L);
  if (methods) luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, close);
  lua_pushcclosure(L, box_gc, 1);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, close);
  lua_setfield(L, -2, "__close");
  lua_pop(L, 1);
}
