#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/interrupt.h"
#include "bind/bind.h"
#include "fs/file.h"
#include "hash/digest.h"
#include "sql/utf8.h"

enum { CHUNK = 64, WORTH_A_THREAD = 8 * CHUNK, HELPER_NICE = 10 };

typedef struct text {
  const char *tag; /* NULL: not one that could name a file of this folder */
  size_t size;
  char hash[MIG_SHA256_HEX]; /* "": look at it by itself */
} text;

/* The work of several threads: each takes the next chunk until there is none. */
typedef struct texts {
  int folder;
  size_t count;
  atomic_size_t next;
  text items[];
} texts;

/* A file that cannot be read, holds a NUL or is not UTF-8 keeps its empty hash: whoever looks at it alone finds out
 * what there is to say. */
static void read_one(int folder, text *item, mig_buf *buf) {
  char name[4096];
  size_t n = item->tag ? strlen(item->tag) : sizeof name;
  mig_err ignored;
  item->hash[0] = '\0';
  if (n + sizeof ".sql" > sizeof name) return;
  memcpy(name, item->tag, n);
  memcpy(name + n, ".sql", sizeof ".sql");
  if (mig_file_read_at(folder, name, buf, &ignored)) return;
  if (memchr(buf->data, '\0', buf->len) || mig_utf8_valid(buf->data, buf->len) < buf->len) return;
  if (mig_sha256(buf->data, buf->len, item->hash, &ignored)) item->hash[0] = '\0';
  item->size = buf->len;
}

static void *read_chunks(void *arg) {
  texts *all = arg;
  mig_buf buf = {0};
  while (!mig_interrupt_pending()) {
    size_t first = atomic_fetch_add(&all->next, CHUNK);
    for (size_t i = first; i < first + CHUNK && i < all->count; i++) read_one(all->folder, &all->items[i], &buf);
    if (first + CHUNK >= all->count) break;
  }
  mig_buf_free(&buf);
  return NULL;
}

/* Where processors are few, the session that is being opened meanwhile comes first. */
static void *help(void *arg) {
  setpriority(PRIO_PROCESS, (id_t)gettid(), HELPER_NICE);
  return read_chunks(arg);
}

/* A second thread halves the wait for a long journal; without one the work is done all the same. Signals are the first
 * thread's. */
static void read_all(texts *all) {
  pthread_t thread;
  sigset_t every, before;
  int alone = 1;
  if (all->count >= WORTH_A_THREAD) {
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    alone = pthread_create(&thread, NULL, help, all);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
  }
  read_chunks(all);
  if (!alone) pthread_join(thread, NULL);
}

/* How many names end in .sql; -1 when the folder cannot be read. Takes fd over. */
static lua_Integer count_files(int fd) {
  DIR *dir = fdopendir(fd);
  struct dirent *entry;
  lua_Integer files = 0;
  if (!dir) {
    close(fd);
    return -1;
  }
  while ((entry = readdir(dir))) {
    size_t n = strlen(entry->d_name);
    if (n >= 4 && memcmp(entry->d_name + n - 4, ".sql", 4) == 0) files++;
  }
  closedir(dir);
  return files;
}

static texts *new_texts(lua_State *L, int list) {
  size_t count = lua_rawlen(L, list);
  texts *all = lua_newuserdatauv(L, sizeof *all + count * sizeof *all->items, 0);
  all->count = count;
  atomic_init(&all->next, 0);
  for (size_t i = 0; i < count; i++) {
    size_t n;
    all->items[i] = (text){0};
    lua_rawgeti(L, list, (lua_Integer)i + 1);
    luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, list, "a list of texts");
    all->items[i].tag = lua_tolstring(L, -1, &n);
    if (memchr(all->items[i].tag, '/', n) || strlen(all->items[i].tag) < n) all->items[i].tag = NULL;
    lua_pop(L, 1); /* the list keeps it */
  }
  return all;
}

/* hash.texts(dir, tags) -> hashes, sizes, files */
int mig_hash_texts(lua_State *L) {
  const char *path = mig_check_cstring(L, 1);
  texts *all;
  lua_Integer files = -1;
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  all = new_texts(L, 2);
  lua_createtable(L, (int)all->count, 0);
  lua_createtable(L, (int)all->count, 0);
  all->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (all->folder >= 0) {
    read_all(all);
    files = count_files(all->folder);
  }
  for (size_t i = 0; i < all->count; i++) {
    if (all->items[i].hash[0]) {
      lua_pushlstring(L, all->items[i].hash, MIG_SHA256_HEX - 1);
    } else {
      lua_pushboolean(L, 0);
    }
    lua_rawseti(L, 4, (lua_Integer)i + 1);
    lua_pushinteger(L, (lua_Integer)all->items[i].size);
    lua_rawseti(L, 5, (lua_Integer)i + 1);
  }
  lua_pushinteger(L, files);
  return 3;
}
