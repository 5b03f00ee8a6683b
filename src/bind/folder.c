/* The .sql files of a folder, read and hashed, by a second thread too when there are many. */
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/interrupt.h"
#include "bind/bind.h"
#include "fs/file.h"
#include "hash/digest.h"
#include "sql/utf8.h"

#define FOLDER "migrator.folder"
#define SUFFIX ".sql"

enum { CHUNK = 64, WORTH_A_THREAD = 8 * CHUNK, HELPER_NICE = 10, LONGEST = 1 << 20, SUFFIX_LEN = sizeof SUFFIX - 1 };

typedef struct Text {
  size_t name; /* in names */
  size_t size;
  char hash[MIG_SHA256_HEX]; /* "": look at it by itself */
} Text;

/* Each thread takes the next chunk of files until there is none. */
typedef struct Folder {
  DIR *dir; /* NULL: it cannot be read */
  mig_buf names, files;
  size_t count;
  size_t *slots, mask; /* numbers of files from 1, by the hash of their names; 0: free */
  atomic_size_t next;
  pthread_t helper;
  int has_helper;
} Folder;

static Text *text_at(const Folder *folder, size_t i) { return (Text *)(void *)folder->files.data + i; }
static const char *name_at(const Folder *folder, size_t i) { return folder->names.data + text_at(folder, i)->name; }

/* A file that cannot be read, is long, holds a NUL or is not UTF-8 keeps its empty hash: whoever looks at it alone
 * finds out what there is to say. A long one may be something else that lies about. */
static void read_one(const Folder *folder, size_t i, mig_buf *buf) {
  Text *text = text_at(folder, i);
  mig_err ignored;
  if (mig_file_read_at(dirfd(folder->dir), name_at(folder, i), LONGEST, buf, &ignored)) return;
  if (memchr(buf->data, '\0', buf->len) || mig_utf8_valid(buf->data, buf->len) < buf->len) return;
  if (mig_sha256(buf->data, buf->len, text->hash, &ignored)) text->hash[0] = '\0';
  text->size = buf->len;
}

static void read_chunks(Folder *folder) {
  mig_buf buf = {0};
  while (!mig_interrupt_pending()) {
    size_t first = atomic_fetch_add(&folder->next, CHUNK);
    for (size_t i = first; i < first + CHUNK && i < folder->count; i++) read_one(folder, i, &buf);
    if (first + CHUNK >= folder->count) break;
  }
  mig_buf_free(&buf);
}

/* Where processors are few, the session that is being opened meanwhile comes first. */
static void *help(void *arg) {
  setpriority(PRIO_PROCESS, (id_t)gettid(), HELPER_NICE);
  read_chunks(arg);
  return NULL;
}

/* Without a helper the work is done all the same. Signals are the first thread's. */
static void start_helper(Folder *folder) {
  sigset_t every, before;
  if (folder->count < WORTH_A_THREAD) return;
  sigfillset(&every);
  pthread_sigmask(SIG_SETMASK, &every, &before);
  folder->has_helper = pthread_create(&folder->helper, NULL, help, folder) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static int list_files(Folder *folder, mig_err *err) {
  struct dirent *entry;
  while ((entry = readdir(folder->dir))) {
    size_t n = strlen(entry->d_name);
    Text text = {.name = folder->names.len};
    if (n < SUFFIX_LEN || memcmp(entry->d_name + n - SUFFIX_LEN, SUFFIX, SUFFIX_LEN) != 0) continue;
    if (mig_buf_add(&folder->names, entry->d_name, n + 1, err)) return -1;
    if (mig_buf_add(&folder->files, &text, sizeof text, err)) return -1;
    folder->count++;
  }
  return 0;
}

/* FNV-1a. */
static size_t hash_name(const char *name, size_t n) {
  size_t hash = 14695981039346656037u;
  for (size_t i = 0; i < n; i++) hash = (hash ^ (unsigned char)name[i]) * 1099511628211u;
  return hash;
}

static int index_names(Folder *folder, mig_err *err) {
  size_t size = 16;
  while (size < 2 * folder->count) size *= 2;
  folder->slots = calloc(size, sizeof *folder->slots);
  if (!folder->slots) return mig_err_set(err, "internal", "out of memory");
  folder->mask = size - 1;
  for (size_t i = 0; i < folder->count; i++) {
    const char *name = name_at(folder, i);
    size_t at = hash_name(name, strlen(name) - SUFFIX_LEN) & folder->mask;
    while (folder->slots[at]) at = (at + 1) & folder->mask;
    folder->slots[at] = i + 1;
  }
  return 0;
}

static const Text *find(const Folder *folder, const char *tag, size_t n) {
  for (size_t at = hash_name(tag, n) & folder->mask; folder->slots[at]; at = (at + 1) & folder->mask) {
    const char *name = name_at(folder, folder->slots[at] - 1);
    if (strncmp(name, tag, n) == 0 && strcmp(name + n, SUFFIX) == 0) return text_at(folder, folder->slots[at] - 1);
  }
  return NULL;
}

/* hash.folder(path) */
int mig_hash_folder(lua_State *L) {
  const char *path = mig_check_cstring(L, 1);
  Folder *folder = mig_new_box(L, sizeof *folder, 0, FOLDER);
  mig_err err;
  folder->dir = opendir(path);
  if ((folder->dir && list_files(folder, &err)) || index_names(folder, &err)) return mig_raise(L, &err);
  atomic_init(&folder->next, 0);
  start_helper(folder);
  return 1;
}

static void await_helper(Folder *folder) {
  if (folder->has_helper) pthread_join(folder->helper, NULL);
  folder->has_helper = 0;
}

/* folder:texts(tags) -> hashes, sizes, files */
static int folder_texts(lua_State *L) {
  Folder *folder = luaL_checkudata(L, 1, FOLDER);
  lua_Integer count;
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  luaL_argcheck(L, folder->slots, 1, "the folder is closed");
  count = (lua_Integer)lua_rawlen(L, 2);
  lua_createtable(L, (int)count, 0);
  lua_createtable(L, (int)count, 0);
  read_chunks(folder);
  await_helper(folder);
  for (lua_Integer i = 1; i <= count; i++) {
    const Text *text;
    const char *tag;
    size_t n;
    lua_rawgeti(L, 2, i);
    luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, 2, "a list of texts");
    tag = lua_tolstring(L, -1, &n);
    text = find(folder, tag, n);
    lua_pop(L, 1); /* the list keeps it */
    if (text && text->hash[0]) {
      lua_pushlstring(L, text->hash, MIG_SHA256_HEX - 1);
    } else {
      lua_pushboolean(L, 0);
    }
    lua_rawseti(L, 3, i);
    lua_pushinteger(L, text ? (lua_Integer)text->size : 0);
    lua_rawseti(L, 4, i);
  }
  lua_pushinteger(L, folder->dir ? (lua_Integer)folder->count : -1);
  return 3;
}

static int folder_close(lua_State *L) {
  Folder *folder = luaL_checkudata(L, 1, FOLDER);
  atomic_store(&folder->next, folder->count); /* who helps comes to the end */
  await_helper(folder);
  if (folder->dir) closedir(folder->dir);
  folder->dir = NULL;
  free(folder->slots);
  folder->slots = NULL;
  folder->count = 0;
  mig_buf_free(&folder->names);
  mig_buf_free(&folder->files);
  return 0;
}

static const luaL_Reg methods[] = {{"texts", folder_texts}, {"close", folder_close}, {NULL, NULL}};

void mig_folder_open(lua_State *L) { mig_new_type(L, FOLDER, methods, folder_close); }
