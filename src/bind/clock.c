#include <time.h>

#include "base/wait.h"
#include "bind/bind.h"

static int clock_now(lua_State *L) {
  lua_pushnumber(L, (lua_Number)mig_now() / 1e9);
  return 1;
}

static int clock_wall(lua_State *L) {
  struct timespec ts;
  clock_gettime(CLOCK_REALTIME, &ts);
  lua_pushinteger(L, (lua_Integer)ts.tv_sec * 1000 + ts.tv_nsec / 1000000);
  return 1;
}

static int clock_deadline(lua_State *L) {
  lua_Number seconds = luaL_checknumber(L, 1);
  lua_pushnumber(L, (lua_Number)mig_now() / 1e9 + seconds);
  return 1;
}

static int clock_sleep(lua_State *L) {
  lua_Number seconds = luaL_checknumber(L, 1);
  mig_deadline until = mig_now() + (int64_t)(seconds * 1e9), limit = mig_check_deadline(L, 2);
  mig_err err;
  luaL_argcheck(L, seconds >= 0 && seconds < 1e9, 1, "not a number of seconds");
  if (mig_wait_fd(-1, 0, until < limit ? until : limit, NULL, &err)) return mig_raise(L, &err);
  lua_pushboolean(L, until <= limit);
  return 1;
}

static const luaL_Reg functions[] = {
    {"now", clock_now}, {"wall", clock_wall}, {"deadline", clock_deadline}, {"sleep", clock_sleep}, {NULL, NULL}};

int luaopen_migrator_core_clock(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
