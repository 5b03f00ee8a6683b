#include "host/embed.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

static int load_from_disk(lua_State *L, const char *dir, const char *name) {
  const char *file = luaL_gsub(L, name, ".", "/");
  const char *const patterns[] = {"%s/%s.lua", "%s/%s/init.lua"};
  for (int i = 0; i < 2; i++) {
    const char *path = lua_pushfstring(L, patterns[i], dir, file);
    int status = luaL_loadfilex(L, path, "t");
    if (status == LUA_OK) {
      lua_pushstring(L, path);
      return 2;
    }
    if (status != LUA_ERRFILE) return lua_error(L);
  }
  return 0;
}

static int search(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  const char *dir = getenv("MIGRATOR_LUA_PATH");
  if (dir && dir[0] && load_from_disk(L, dir, name)) return 2;
  for (const mig_embedded *m = mig_embedded_modules; m->name; m++) {
    if (strcmp(m->name, name) != 0) continue;
    if (luaL_loadbufferx(L, m->data, m->size, name, "b") != LUA_OK) return lua_error(L);
    lua_pushstring(L, name);
    return 2;
  }
  lua_pushfstring(L, "no module '%s' in the binary", name);
  return 1;
}

void mig_embed_install(lua_State *L) {
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "searchers");
  for (lua_Integer i = (lua_Integer)lua_rawlen(L, -1); i >= 2; i--) {
    lua_rawgeti(L, -1, i);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushcfunction(L, search);
  lua_rawseti(L, -2, 2);
  lua_pop(L, 2);
}
