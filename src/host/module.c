/* The module migrator.core.host: what the program must know of the process it is in. User scripts do not see it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/interrupt.h"
#include "bind/bind.h"
#include "host/alloc.h"
#include "host/embed.h"
#include "host/host.h"
#include "migrator.h"

extern char **environ;

static int host_environment(lua_State *L) {
  lua_newtable(L);
  for (char **entry = environ; *entry; entry++) {
    const char *equals = strchr(*entry, '=');
    if (!equals) continue;
    lua_pushlstring(L, *entry, (size_t)(equals - *entry));
    lua_pushstring(L, equals + 1);
    lua_rawset(L, -3);
  }
  return 1;
}

static int host_setenv(lua_State *L) {
  const char *name = mig_check_cstring(L, 1);
  if (lua_isnoneornil(L, 2)) {
    unsetenv(name);
  } else {
    setenv(name, mig_check_cstring(L, 2), 1);
  }
  return 0;
}

/* host.terminal("stdout") -> columns, or nil when it is not a terminal. */
static int host_terminal(lua_State *L) {
  static const char *const names[] = {"stdin", "stdout", "stderr", NULL};
  int fd = luaL_checkoption(L, 1, NULL, names);
  struct winsize size;
  if (!isatty(fd)) return 0;
  lua_pushinteger(L, ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80);
  return 1;
}

/* host.write("stdout", text): a full disk or a reader that went away is an error, not silence. */
static int host_write(lua_State *L) {
  static const char *const names[] = {"stdout", "stderr", NULL};
  FILE *file = luaL_checkoption(L, 1, NULL, names) ? stderr : stdout;
  size_t n;
  const char *text = luaL_checklstring(L, 2, &n);
  lua_pushboolean(L, fwrite(text, 1, n, file) == n && fflush(file) == 0);
  return 1;
}

/* host.file(path) -> the text of a file inside the binary, or nil. */
static int host_file(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  for (const mig_embedded *file = mig_embedded_files; file->name; file++) {
    if (strcmp(file->name, path) != 0) continue;
    lua_pushlstring(L, file->data, file->size);
    return 1;
  }
  return 0;
}

static int host_files(lua_State *L) {
  lua_Integer n = 0;
  lua_newtable(L);
  for (const mig_embedded *file = mig_embedded_files; file->name; file++) {
    lua_pushstring(L, file->name);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

/* host.fail_alloc(n, fn): pcall(fn) in which n allocations succeed and all later ones fail. In one call, because
 * between two not even the interpreter could do without memory. */
static int host_fail_alloc(lua_State *L) {
  long allocations = (long)luaL_checkinteger(L, 1);
  int status;
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  mig_alloc_fail_after(allocations);
  status = lua_pcall(L, 0, 0, 0);
  mig_alloc_fail_after(-1);
  lua_pushboolean(L, status == LUA_OK);
  lua_insert(L, 2);
  return lua_gettop(L) - 1;
}

/* host.limit(deadline): Lua code that still runs then gets a `script` error, what waits a `timeout`; nil lifts it. */
static int host_limit(lua_State *L) {
  mig_host_limit(L, mig_check_deadline(L, 1));
  return 0;
}

static int host_live_boxes(lua_State *L) {
  lua_pushinteger(L, mig_boxes_live());
  return 1;
}

static int host_signal(lua_State *L) {
  int number = mig_interrupt_seen();
  if (number == 0) return 0;
  lua_pushinteger(L, number);
  return 1;
}

static int host_program(lua_State *L) {
  char path[4096];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path);
  if (n <= 0) return 0;
  lua_pushlstring(L, path, (size_t)n);
  return 1;
}

/* host.seal(): from now on our memory is in no core dump, and nobody but root reads it. Programs we start are as
 * ever. */
static int host_seal(lua_State *L) {
  (void)L;
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  return 0;
}

static const luaL_Reg functions[] = {{"environment", host_environment},
                                     {"setenv", host_setenv},
                                     {"terminal", host_terminal},
                                     {"write", host_write},
                                     {"file", host_file},
                                     {"files", host_files},
                                     {"fail_alloc", host_fail_alloc},
                                     {"limit", host_limit},
                                     {"live_boxes", host_live_boxes},
                                     {"signal", host_signal},
                                     {"program", host_program},
                                     {"seal", host_seal},
                                     {NULL, NULL}};

int luaopen_migrator_core_host(lua_State *L) {
  luaL_newlib(L, functions);
  lua_pushstring(L, mig_version());
  lua_setfield(L, -2, "version");
  return 1;
}
