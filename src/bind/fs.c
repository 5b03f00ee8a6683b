#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bind/bind.h"
#include "fs/file.h"

#define BUF "migrator.buf"
#define DIRECTORY "migrator.directory"

static int raise_errno(lua_State *L, const char *what) {
  int number = errno;
  mig_err err;
  mig_err_errno(&err, "config", number, what);
  return mig_raise(L, &err);
}

static int buf_close(lua_State *L) {
  mig_buf_free(luaL_checkudata(L, 1, BUF));
  return 0;
}

static int fs_read(lua_State *L) {
  const char *path = mig_check_cstring(L, 1);
  lua_Integer limit = luaL_optinteger(L, 2, 0);
  mig_buf *buf = mig_new_box(L, sizeof *buf, 0, BUF);
  mig_err err;
  lua_toclose(L, -1);
  if (mig_file_read(path, (size_t)limit, buf, &err)) return mig_raise(L, &err);
  lua_pushlstring(L, buf->data ? buf->data : "", buf->len);
  return 1;
}

static int fs_write(lua_State *L) {
  const char *path = mig_check_cstring(L, 1);
  size_t n;
  const char *data = luaL_checklstring(L, 2, &n);
  mode_t mode = (mode_t)luaL_optinteger(L, 3, 0644);
  mig_err err;
  if (mig_file_write(path, data, n, mode, &err)) return mig_raise(L, &err);
  return 0;
}

static int fs_append(lua_State *L) {
  const char *path = mig_check_cstring(L, 1);
  size_t n;
  const char *data = luaL_checklstring(L, 2, &n);
  mig_err err;
  if (mig_file_append(path, data, n, &err)) return mig_raise(L, &err);
  return 0;
}

/* A question: nil when there is nothing. */
static int fs_find(lua_State *L) {
  struct stat st;
  if (stat(mig_check_cstring(L, 1), &st)) return 0;
  lua_createtable(L, 0, 5);
  lua_pushstring(L, S_ISDIR(st.st_mode) ? "directory" : S_ISREG(st.st_mode) ? "file" : "other");
  lua_setfield(L, -2, "type");
  lua_pushinteger(L, st.st_size);
  lua_setfield(L, -2, "size");
  lua_pushnumber(L, (lua_Number)st.st_mtim.tv_sec + (lua_Number)st.st_mtim.tv_nsec / 1e9);
  lua_setfield(L, -2, "mtime");
  lua_pushinteger(L, st.st_mode & 07777);
  lua_setfield(L, -2, "mode");
  lua_pushinteger(L, st.st_uid);
  lua_setfield(L, -2, "uid");
  return 1;
}

static int directory_close(lua_State *L) {
  DIR **box = luaL_checkudata(L, 1, DIRECTORY), *dir = *box;
  *box = NULL;
  if (dir) closedir(dir);
  return 0;
}

/* The names in a folder but . and .., sorted by bytes (no locale is ever set, so that is how strings compare). */
static int fs_list(lua_State *L) {
  const char *path = mig_check_cstring(L, 1);
  DIR **box = mig_new_box(L, sizeof *box, 0, DIRECTORY);
  struct dirent *entry;
  lua_toclose(L, -1);
  *box = opendir(path);
  if (!*box) return raise_errno(L, lua_pushfstring(L, "cannot list %s", path));
  lua_getglobal(L, "table");
  lua_getfield(L, -1, "sort");
  lua_newtable(L);
  for (lua_Integer n = 0; (entry = readdir(*box));) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    lua_pushstring(L, entry->d_name);
    lua_rawseti(L, -2, ++n);
  }
  lua_pushvalue(L, -2);
  lua_pushvalue(L, -2);
  lua_call(L, 1, 0);
  return 1;
}

/* Makes the folder and those above it. */
static int fs_mkdir(lua_State *L) {
  const char *path = mig_check_cstring(L, 1);
  mode_t mode = (mode_t)luaL_optinteger(L, 2, 0755);
  char part[PATH_MAX];
  size_t n = strlen(path);
  luaL_argcheck(L, n > 0 && n < sizeof part, 1, "not a path");
  for (size_t i = 1; i <= n; i++) {
    if (path[i] != '/' && path[i] != '\0') continue;
    memcpy(part, path, i);
    part[i] = '\0';
    if (mkdir(part, mode) && errno != EEXIST) return raise_errno(L, lua_pushfstring(L, "cannot make folder %s", path));
  }
  return 0;
}

static int fs_remove(lua_State *L) {
  mig_err err;
  if (mig_tree_remove(mig_check_cstring(L, 1), &err)) return mig_raise(L, &err);
  return 0;
}

static int fs_rename(lua_State *L) {
  const char *from = mig_check_cstring(L, 1), *to = mig_check_cstring(L, 2);
  if (rename(from, to)) return raise_errno(L, lua_pushfstring(L, "cannot rename %s", from));
  return 0;
}

static int fs_chown(lua_State *L) {
  const char *path = mig_check_cstring(L, 1);
  uid_t uid = (uid_t)luaL_checkinteger(L, 2);
  gid_t gid = (gid_t)luaL_checkinteger(L, 3);
  if (chown(path, uid, gid)) return raise_errno(L, lua_pushfstring(L, "cannot give %s away", path));
  return 0;
}

/* A new folder, mode 0700, below TMPDIR or /tmp. */
static int fs_temp(lua_State *L) {
  const char *name = mig_check_cstring(L, 1), *base = getenv("TMPDIR");
  char path[PATH_MAX];
  lua_pushfstring(L, "%s/%s.XXXXXX", base && base[0] ? base : "/tmp", name);
  luaL_argcheck(L, lua_rawlen(L, -1) < sizeof path, 1, "name too long");
  memcpy(path, lua_tostring(L, -1), lua_rawlen(L, -1) + 1);
  if (!mkdtemp(path)) return raise_errno(L, "cannot make a temporary folder");
  lua_pushstring(L, path);
  return 1;
}

static int fs_absolute(lua_State *L) {
  const char *path = mig_check_cstring(L, 1);
  char found[PATH_MAX];
  if (!realpath(path, found)) return raise_errno(L, lua_pushfstring(L, "cannot find %s", path));
  lua_pushstring(L, found);
  return 1;
}

static int fs_current(lua_State *L) {
  char path[PATH_MAX];
  if (!getcwd(path, sizeof path)) return raise_errno(L, "cannot tell the current folder");
  lua_pushstring(L, path);
  return 1;
}

static const luaL_Reg functions[] = {
    {"read", fs_read},         {"write", fs_write},     {"append", fs_append}, {"find", fs_find},   {"list", fs_list},
    {"mkdir", fs_mkdir},       {"remove", fs_remove},   {"rename", fs_rename}, {"chown", fs_chown}, {"temp", fs_temp},
    {"absolute", fs_absolute}, {"current", fs_current}, {NULL, NULL}};

int luaopen_migrator_core_fs(lua_State *L) {
  mig_new_type(L, BUF, NULL, buf_close);
  mig_new_type(L, DIRECTORY, NULL, directory_close);
  luaL_newlib(L, functions);
  return 1;
}
