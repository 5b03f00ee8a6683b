#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bind/bind.h"
#include "proc/supervise.h"

#define PROCESS "migrator.process"
#define RUN "migrator.process.run"
#define LOG "migrator.process.log"

enum { RUN_GRACE_MS = 1000, GRACE_MS = 3000, MAX_OUTPUT = 16 * 1024 * 1024, LOG_TAIL = 4096 };

typedef struct RunBox {
  mig_proc proc;
  mig_proc_io io;
} RunBox;

typedef struct ProcessBox {
  mig_proc proc;
  int grace_ms;
} ProcessBox;

/* Options. What they point to lives in strings and boxes that stay on the stack until the call ends. */

static const char *const run_options[] = {"cmd",         "cwd",    "env",   "user",   "stdin",      "input",
                                          "stdout",      "stderr", "log",   "append", "deadline",   "foreground",
                                          "stop_signal", "grace",  "guard", "after",  "max_output", NULL};
static const char *const start_options[] = {"cmd",        "cwd",         "env",   "user",  "stdin", "log", "append",
                                            "foreground", "stop_signal", "grace", "guard", "after", NULL};

static void check_options(lua_State *L, const char *const *known) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  luaL_checkstack(L, 60, "too many options");
  for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "a number";
    const char *const *at = known;
    while (*at && strcmp(*at, name) != 0) at++;
    if (!*at) luaL_error(L, "option '%s' is not known", name);
  }
}

static int option_type(lua_State *L, const char *name, int type) {
  int got = lua_getfield(L, 1, name);
  if (got == LUA_TNIL) return 0;
  if (got != type)
    return luaL_error(L, "option '%s' must be a %s, got %s", name, lua_typename(L, type), lua_typename(L, got));
  return 1;
}

/* The value stays on the stack when it is there, so that the text lives. */
static const char *text_option(lua_State *L, const char *name) {
  size_t n;
  const char *text;
  if (!option_type(L, name, LUA_TSTRING)) {
    lua_pop(L, 1);
    return NULL;
  }
  text = lua_tolstring(L, -1, &n);
  if (strlen(text) != n) luaL_error(L, "option '%s' contains a NUL byte", name);
  return text;
}

static int flag_option(lua_State *L, const char *name) {
  int value = option_type(L, name, LUA_TBOOLEAN) && lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

static lua_Number number_option(lua_State *L, const char *name, lua_Number otherwise, lua_Number most) {
  lua_Number value = option_type(L, name, LUA_TNUMBER) ? lua_tonumber(L, -1) : otherwise;
  if (!(value >= 0 && value <= most)) luaL_error(L, "option '%s' is out of range", name);
  lua_pop(L, 1);
  return value;
}

static int to_signal(lua_State *L, const char *name) {
  const char *bare = strncmp(name, "SIG", 3) == 0 ? name + 3 : name;
  for (int number = 1; number < NSIG; number++) {
    const char *known = sigabbrev_np(number);
    if (known && strcmp(known, bare) == 0) return number;
  }
  return luaL_error(L, "no such signal: %s", name);
}

static mig_stream stream_option(lua_State *L, const char *name, mig_stream last, mig_stream otherwise) {
  static const char *const names[] = {"null", "inherit", "capture", "log", "stdout"};
  const char *text = text_option(L, name);
  if (!text) return otherwise;
  for (mig_stream stream = MIG_STREAM_NULL; stream <= last; stream++) {
    if (strcmp(text, names[stream]) == 0) {
      lua_pop(L, 1);
      return stream;
    }
  }
  if (last == MIG_STREAM_INHERIT) luaL_error(L, "option '%s' must be null or inherit; text goes into 'input'", name);
  return (mig_stream)luaL_error(L, "option '%s' must be null, inherit, capture or log", name);
}

static char **new_array(lua_State *L, size_t n) {
  char **array;
  if (n > 1000000) luaL_error(L, "too many strings");
  array = lua_newuserdatauv(L, (n + 1) * sizeof *array, 1);
  memset(array, 0, (n + 1) * sizeof *array);
  return array;
}

/* array[at] = the string on the top, which the array (just below it) keeps alive from the table at `keep`. */
static void put_string(lua_State *L, char **array, size_t at, int keep) {
  size_t n;
  const char *text = lua_tolstring(L, -1, &n);
  if (strlen(text) != n) luaL_error(L, "a string for the program contains a NUL byte");
  array[at] = (char *)text;
  lua_rawseti(L, keep, (lua_Integer)at + 1);
}

/* A list of strings or numbers as a NULL-ended array; it and its strings stay on the stack. */
static char **list_option(lua_State *L, const char *name) {
  char **array;
  size_t n;
  if (!option_type(L, name, LUA_TTABLE)) {
    lua_pop(L, 1);
    return NULL;
  }
  n = lua_rawlen(L, -1);
  if (n == 0) luaL_error(L, "option '%s' is empty", name);
  lua_createtable(L, (int)n, 0);
  array = new_array(L, n);
  for (size_t i = 0; i < n; i++) {
    if (lua_rawgeti(L, -3, (lua_Integer)i + 1) != LUA_TSTRING && lua_type(L, -1) != LUA_TNUMBER) {
      luaL_error(L, "option '%s': item %d must be a string, got %s", name, (int)i + 1, luaL_typename(L, -1));
    }
    put_string(L, array, i, lua_gettop(L) - 2);
  }
  return array;
}

/* Stack: changes, strings, array. Adds NAME=value for each change that is not `false`. */
static size_t add_changes(lua_State *L, char **array, size_t at) {
  int changes = lua_gettop(L) - 2;
  for (lua_pushnil(L); lua_next(L, changes); lua_settop(L, changes + 3)) {
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    if (!name[0] || strchr(name, '=')) luaL_error(L, "option 'env': bad name '%s'", name);
    if (lua_type(L, -1) == LUA_TBOOLEAN && !lua_toboolean(L, -1)) continue;
    if (!lua_isstring(L, -1))
      luaL_error(L, "option 'env': %s must be a string or false, got %s", name, luaL_typename(L, -1));
    lua_pushvalue(L, -2);
    lua_pushliteral(L, "=");
    lua_pushvalue(L, -3);
    lua_concat(L, 3);
    put_string(L, array, at++, changes + 1);
  }
  return at;
}

/* A list replaces the environment; a map changes ours, where false removes a variable. */
static char **env_option(lua_State *L) {
  size_t n = 0, at = 0, changes = 0;
  char **array;
  int table;
  if (!option_type(L, "env", LUA_TTABLE)) {
    lua_pop(L, 1);
    return NULL;
  }
  if (lua_rawlen(L, -1) > 0) {
    lua_pop(L, 1);
    return list_option(L, "env");
  }
  table = lua_gettop(L);
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) changes++;
  while (environ && environ[n]) n++;
  lua_newtable(L);
  array = new_array(L, n + changes);
  for (size_t i = 0; i < n; i++) {
    lua_pushlstring(L, environ[i], strcspn(environ[i], "="));
    if (lua_rawget(L, table) == LUA_TNIL) array[at++] = environ[i];
    lua_pop(L, 1);
  }
  add_changes(L, array, at);
  return array;
}

static void check_spawn(lua_State *L, mig_spawn *how) {
  const char *stop = text_option(L, "stop_signal");
  how->stop_signal = stop ? to_signal(L, stop) : SIGTERM;
  how->argv = list_option(L, "cmd");
  if (!how->argv) luaL_error(L, "option 'cmd' is missing");
  how->env = env_option(L);
  how->cwd = text_option(L, "cwd");
  how->user = text_option(L, "user");
  how->log = text_option(L, "log");
  how->append = flag_option(L, "append");
  how->foreground = flag_option(L, "foreground");
  how->after = list_option(L, "after");
  if (how->after && how->after[0][0] != '/') luaL_error(L, "option 'after' must begin with an absolute path");
  if (how->after && !how->guard) luaL_error(L, "option 'after' needs the guard");
  how->in = stream_option(L, "stdin", MIG_STREAM_INHERIT, MIG_STREAM_NULL);
  if ((how->out == MIG_STREAM_LOG || how->err == MIG_STREAM_LOG) && !how->log) luaL_error(L, "option 'log' is missing");
}

static void push_status(lua_State *L, const mig_proc *proc) {
  lua_createtable(L, 0, 4);
  if (proc->signal) {
    const char *name = sigabbrev_np(proc->signal);
    lua_pushstring(L, name ? name : "?");
    lua_setfield(L, -2, "signal");
    lua_pushinteger(L, 128 + proc->signal);
  } else {
    lua_pushinteger(L, proc->code);
  }
  lua_setfield(L, -2, "code");
}

/* process.run */

static int run_close(lua_State *L) {
  RunBox *box = luaL_checkudata(L, 1, RUN);
  mig_proc_close(&box->proc);
  mig_buf_free(&box->io.out);
  mig_buf_free(&box->io.err);
  return 0;
}

static void set_output(lua_State *L, const char *field, mig_stream stream, const mig_buf *buf) {
  if (stream != MIG_STREAM_PIPE) return;
  lua_pushlstring(L, buf->data ? buf->data : "", buf->len);
  lua_setfield(L, -2, field);
}

static int raise_wait(lua_State *L, const char *program, mig_err *err) {
  if (strcmp(err->code, "timeout") == 0) mig_err_set(err, "timeout", "%s: did not end before the deadline", program);
  return mig_raise(L, err);
}

static int process_run(lua_State *L) {
  mig_spawn how = {0};
  mig_deadline deadline;
  mig_err err, second;
  size_t input_len = 0, limit;
  const char *input;
  int grace_ms;
  RunBox *box;
  check_options(L, run_options);
  deadline = mig_field_deadline(L, 1, "deadline");
  how.out = stream_option(L, "stdout", MIG_STREAM_LOG, MIG_STREAM_PIPE);
  how.err = stream_option(L, "stderr", MIG_STREAM_STDOUT, MIG_STREAM_PIPE);
  how.guard = flag_option(L, "guard");
  how.grace_ms = grace_ms = (int)(number_option(L, "grace", RUN_GRACE_MS / 1e3, 1e5) * 1e3);
  limit = (size_t)number_option(L, "max_output", MAX_OUTPUT, 1e12);
  check_spawn(L, &how);
  input = option_type(L, "input", LUA_TSTRING) ? lua_tolstring(L, -1, &input_len) : NULL;
  if (input) how.in = MIG_STREAM_PIPE;
  box = mig_new_box(L, sizeof *box, 0, RUN);
  box->io = (mig_proc_io){.input = input, .input_len = input_len, .limit = limit};
  lua_toclose(L, -1);
  if (mig_proc_spawn(&box->proc, &how, &err)) return mig_raise(L, &err);
  if (mig_proc_wait(&box->proc, &box->io, deadline, &err)) {
    if (mig_proc_stop(&box->proc, grace_ms, &second)) return mig_raise(L, &second);
    return raise_wait(L, how.argv[0], &err);
  }
  mig_proc_release(&box->proc);
  push_status(L, &box->proc);
  set_output(L, "stdout", how.out, &box->io.out);
  set_output(L, "stderr", how.err, &box->io.err);
  return 1;
}

/* Handles. */

static int process_close(lua_State *L) {
  ProcessBox *box = luaL_checkudata(L, 1, PROCESS);
  mig_err ignored;
  if (mig_proc_stop(&box->proc, box->grace_ms, &ignored)) { /* close does what is left to do */
  }
  mig_proc_close(&box->proc);
  return 0;
}

static ProcessBox *check_process(lua_State *L) {
  ProcessBox *box = luaL_checkudata(L, 1, PROCESS);
  if (!box->proc.pid) luaL_error(L, "the process handle is closed");
  return box;
}

static int process_start(lua_State *L) {
  mig_spawn how = {0};
  mig_err err;
  ProcessBox *box;
  check_options(L, start_options);
  how.out = how.err = lua_getfield(L, 1, "log") == LUA_TNIL ? MIG_STREAM_NULL : MIG_STREAM_LOG;
  how.guard = lua_getfield(L, 1, "guard") == LUA_TNIL ? 1 : flag_option(L, "guard");
  how.grace_ms = (int)(number_option(L, "grace", GRACE_MS / 1e3, 1e5) * 1e3);
  check_spawn(L, &how);
  box = mig_new_box(L, sizeof *box, 0, PROCESS);
  box->grace_ms = how.grace_ms;
  if (mig_proc_spawn(&box->proc, &how, &err)) return mig_raise(L, &err);
  return 1;
}

static int process_pid(lua_State *L) {
  lua_pushinteger(L, check_process(L)->proc.pid);
  return 1;
}

static int process_alive(lua_State *L) {
  lua_pushboolean(L, mig_proc_running(&check_process(L)->proc));
  return 1;
}

static int process_status(lua_State *L) {
  ProcessBox *box = check_process(L);
  if (mig_proc_running(&box->proc)) return 0;
  push_status(L, &box->proc);
  return 1;
}

static int process_wait(lua_State *L) {
  ProcessBox *box = check_process(L);
  mig_err err;
  if (mig_proc_wait(&box->proc, NULL, mig_check_deadline(L, 2), &err)) return raise_wait(L, "process", &err);
  push_status(L, &box->proc);
  return 1;
}

static int process_try_wait(lua_State *L) {
  ProcessBox *box = check_process(L);
  mig_err err;
  if (mig_proc_wait(&box->proc, NULL, mig_check_deadline(L, 2), &err)) {
    if (strcmp(err.code, "timeout") == 0) return 0;
    return mig_raise(L, &err);
  }
  push_status(L, &box->proc);
  return 1;
}

static int process_kill(lua_State *L) {
  ProcessBox *box = check_process(L);
  int number = to_signal(L, luaL_optstring(L, 2, "TERM"));
  mig_err err;
  if (mig_proc_kill(&box->proc, number, &err)) return mig_raise(L, &err);
  return 0;
}

static int process_stop(lua_State *L) {
  ProcessBox *box = check_process(L);
  int grace_ms = box->grace_ms;
  mig_err err;
  lua_settop(L, 2);
  if (!lua_isnil(L, 2)) {
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_replace(L, 1);
    grace_ms = (int)(number_option(L, "grace", grace_ms / 1e3, 1e5) * 1e3);
  }
  if (mig_proc_stop(&box->proc, grace_ms, &err)) return mig_raise(L, &err);
  push_status(L, &box->proc);
  return 1;
}

static int log_close(lua_State *L) {
  mig_buf *buf = luaL_checkudata(L, 1, LOG);
  mig_buf_free(buf);
  return 0;
}

static int process_log_tail(lua_State *L) {
  ProcessBox *box = check_process(L);
  lua_Number bytes = luaL_optnumber(L, 2, LOG_TAIL);
  mig_buf *buf;
  mig_err err;
  luaL_argcheck(L, bytes >= 0 && bytes <= 1e9, 2, "out of range");
  if (box->proc.log < 0) return 0;
  buf = mig_new_box(L, sizeof *buf, 0, LOG);
  lua_toclose(L, -1);
  if (mig_proc_log(&box->proc, (size_t)bytes, buf, &err)) return mig_raise(L, &err);
  lua_pushlstring(L, buf->data ? buf->data : "", buf->len);
  return 1;
}

/* Questions about the system. */

static int process_self(lua_State *L) {
  lua_pushinteger(L, getpid());
  return 1;
}

static int process_user(lua_State *L) {
  char name[256];
  mig_proc_user(name, sizeof name);
  lua_createtable(L, 0, 3);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "name");
  lua_pushinteger(L, geteuid());
  lua_setfield(L, -2, "uid");
  lua_pushinteger(L, getegid());
  lua_setfield(L, -2, "gid");
  return 1;
}

static int process_find(lua_State *L) {
  char path[PATH_MAX];
  if (mig_proc_find(mig_check_cstring(L, 1), NULL, path, sizeof path)) return 0;
  lua_pushstring(L, path);
  return 1;
}

static int process_is_running(lua_State *L) {
  lua_Integer pid = luaL_checkinteger(L, 1);
  luaL_argcheck(L, pid > 0 && pid <= INT_MAX, 1, "not a process number");
  lua_pushboolean(L, mig_proc_is_running((pid_t)pid));
  return 1;
}

static const luaL_Reg functions[] = {{"run", process_run},
                                     {"start", process_start},
                                     {"self", process_self},
                                     {"user", process_user},
                                     {"find", process_find},
                                     {"is_running", process_is_running},
                                     {NULL, NULL}};

static const luaL_Reg methods[] = {{"pid", process_pid},   {"alive", process_alive},       {"status", process_status},
                                   {"wait", process_wait}, {"try_wait", process_try_wait}, {"kill", process_kill},
                                   {"stop", process_stop}, {"log_tail", process_log_tail}, {NULL, NULL}};

int luaopen_migrator_core_process(lua_State *L) {
  mig_new_type(L, PROCESS, methods, process_close);
  mig_new_type(L, RUN, NULL, run_close);
  mig_new_type(L, LOG, NULL, log_close);
  luaL_newlib(L, functions);
  return 1;
}
