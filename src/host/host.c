#include "host/host.h"

#include <lauxlib.h>
#include <limits.h>
#include <lua-cjson.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/interrupt.h"
#include "base/wait.h"
#include "bind/bind.h"
#include "host/alloc.h"
#include "host/embed.h"
#include "migrator.h"

enum {
  EXIT_INTERNAL = 3,
  HOOK_INSTRUCTIONS = 100000,
  WAIT_SLACK = 250 * 1000 * 1000 /* ns */,
  EXPIRY_SLACK_MS = 15000
};

static lua_State *volatile running; /* for the signal handler, which may only set a hook */

static const luaL_Reg modules[] = {{"migrator.core.clock", luaopen_migrator_core_clock},
                                   {"migrator.core.db", luaopen_migrator_core_db},
                                   {"migrator.core.fs", luaopen_migrator_core_fs},
                                   {"migrator.core.hash", luaopen_migrator_core_hash},
                                   {"migrator.core.host", luaopen_migrator_core_host},
                                   {"migrator.core.http", luaopen_migrator_core_http},
                                   {"migrator.core.process", luaopen_migrator_core_process},
                                   {"migrator.core.sql", luaopen_migrator_core_sql},
                                   {"cjson", luaopen_cjson},
                                   {NULL, NULL}};

static mig_deadline script_deadline = MIG_NEVER;

/* Runs at the next safe point of Lua code after a signal, and every so many instructions of a script with a deadline: a
 * loop that never waits is interrupted as well. Coroutines inherit it from whoever makes them. */
static void interrupt_hook(lua_State *L, lua_Debug *where) {
  mig_err err;
  (void)where;
  if (script_deadline == MIG_NEVER) lua_sethook(L, NULL, 0, 0);
  if (mig_interrupt_pending()) {
    mig_err_set(&err, "interrupted", "interrupted by SIG%s", sigabbrev_np(mig_interrupt_pending()));
    mig_raise(L, &err);
  }
  if (mig_now() > script_deadline) {
    mig_host_limit(L, MIG_NEVER);
    mig_err_set(&err, "script", "the script was still running when its deadline passed");
    mig_raise(L, &err);
  }
}

/* Waits that have a deadline of their own end first, and say better what for; what neither waits nor runs Lua ends
 * last. */
void mig_host_limit(lua_State *L, mig_deadline deadline) {
  int left = mig_remaining_ms(deadline);
  script_deadline = deadline;
  mig_wait_limit(deadline == MIG_NEVER ? MIG_NEVER : deadline + WAIT_SLACK);
  mig_interrupt_expire_in(left < 0 || left > INT_MAX - EXPIRY_SLACK_MS ? -1 : left + EXPIRY_SLACK_MS);
  lua_sethook(L, interrupt_hook, deadline == MIG_NEVER ? 0 : LUA_MASKCOUNT, HOOK_INSTRUCTIONS);
}

static void on_first_signal(void) {
  if (running) lua_sethook(running, interrupt_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

/* The last resort: everything foreseeable is handled in Lua, so what arrives here is our own defect. */
static int last_words(lua_State *L) {
  const char *text = luaL_tolstring(L, 1, NULL);
  luaL_traceback(L, L, text, 1);
  return 1;
}

static lua_CFunction last_finalizer;
static int last_code = -1; /* until the end */

/* Finalizers run in the order opposite to their objects', so that of the first object of all runs behind all others. */
static void set_last_finalizer(lua_State *L) {
  lua_newuserdatauv(L, 1, 0);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, last_finalizer);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  luaL_ref(L, LUA_REGISTRYINDEX);
}

static int run_main(lua_State *L) {
  int argc = (int)lua_tointeger(L, 1);
  char **argv = lua_touserdata(L, 2);
  if (last_finalizer) set_last_finalizer(L);
  luaL_openlibs(L);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  luaL_setfuncs(L, modules, 0);
  lua_pop(L, 1);
  mig_embed_install(L);
  luaL_newmetatable(L, MIG_ERROR);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "migrator.main");
  lua_call(L, 1, 1);
  lua_createtable(L, argc, 1);
  for (int i = 0; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i);
  }
  lua_call(L, 1, 1);
  return 1;
}

int mig_run(int argc, char **argv) {
  int code = EXIT_INTERNAL;
  mig_err err;
  lua_State *L = lua_newstate(mig_lua_alloc, NULL);
  if (!L || mig_interrupt_install(&err)) {
    fputs("migrator: internal: out of memory\n", stderr);
    if (L) lua_close(L);
    return code;
  }
  running = L;
  mig_host_limit(L, MIG_NEVER);
  mig_interrupt_on_first(on_first_signal);
  lua_pushcfunction(L, last_words);
  lua_pushcfunction(L, run_main);
  lua_pushinteger(L, argc);
  lua_pushlightuserdata(L, argv);
  if (lua_pcall(L, 2, 1, 1) == LUA_OK) {
    code = (int)lua_tointeger(L, -1);
  } else {
    fprintf(stderr, "migrator: internal: %s\n", lua_tostring(L, -1));
  }
  last_code = code;
  lua_close(L);
  running = NULL;
  mig_interrupt_restore();
  if (fflush(stdout)) code = code ? code : EXIT_INTERNAL;
  if (mig_later_busy()) _exit(code); /* what runs at exit would pull the ground from under it */
  return code;
}

#ifdef MIG_LEAK_CHECK /* a tool that looks for leaks at exit (`make asan`, `make valgrind`) */

int mig_host_run_last(int argc, char **argv) { return mig_run(argc, argv); }
void mig_host_exit(int code) { exit(code); }

#else

/* Lua would go on to free its objects one by one; the system takes all memory back at once. What libraries do at exit
 * is of no use to anybody any more. */
static int leave(lua_State *L) {
  (void)L;
  if (last_code < 0) return 0; /* os.exit */
  if (fflush(stdout)) last_code = last_code ? last_code : EXIT_INTERNAL;
  _exit(last_code);
}

int mig_host_run_last(int argc, char **argv) {
  last_finalizer = leave;
  return mig_run(argc, argv);
}

void mig_host_exit(int code) { _exit(code); }

#endif

const char *mig_version(void) { return MIGRATOR_VERSION; }
