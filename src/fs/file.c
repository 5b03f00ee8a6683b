#include "fs/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/wait.h"

static int fail(mig_err *err, const char *verb, const char *path) {
  int number = errno;
  char what[1024];
  snprintf(what, sizeof what, "cannot %s %.900s", verb, path);
  return mig_err_errno(err, "config", number, what);
}

/* A pipe with a name has perhaps nobody at its other end: neither open(2) nor read(2) may wait for that, because only
 * our own waits see signals and the run's deadline. */
static int open_to_read(int folder, const char *path) {
  return openat(folder, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static int wait_for(int fd, const char *path, mig_err *err) {
  mig_err why;
  if (!mig_wait_fd(fd, POLLIN, MIG_NEVER, NULL, &why)) return 0;
  return mig_err_set(err, why.code, "cannot read %.900s: %s", path, why.message);
}

static ssize_t read_some(int fd, mig_buf *out, const char *path, mig_err *err) {
  for (;;) {
    ssize_t n = read(fd, out->data + out->len, out->cap - out->len - 1);
    if (n >= 0) return n;
    if (errno == EAGAIN && wait_for(fd, path, err)) return -1;
    if (errno != EAGAIN && errno != EINTR) return fail(err, "read", path);
  }
}

static int read_all(int fd, const char *path, size_t limit, mig_buf *out, mig_err *err) {
  struct stat st;
  size_t hint = 4096;
  if (fstat(fd, &st)) return fail(err, "read", path);
  if (S_ISDIR(st.st_mode)) {
    errno = EISDIR;
    return fail(err, "read", path);
  }
  if (S_ISFIFO(st.st_mode) && wait_for(fd, path, err)) return -1;
  if (st.st_size > 0) hint = (size_t)st.st_size;
  for (;;) {
    ssize_t n;
    if (limit && out->len > limit)
      return mig_err_set(err, "config", "cannot read %s: larger than %zu bytes", path, limit);
    if (mig_buf_reserve(out, hint, err)) return -1;
    n = read_some(fd, out, path, err);
    if (n < 0) return -1;
    if (n == 0) return 0;
    out->len += (size_t)n;
    hint = out->cap - out->len > 1 ? 1 : 65536;
  }
}

int mig_file_read(const char *path, size_t limit, mig_buf *out, mig_err *err) {
  int fd = open_to_read(AT_FDCWD, path), failed;
  *out = (mig_buf){0};
  if (fd < 0) return fail(err, "read", path);
  failed = read_all(fd, path, limit, out, err);
  close(fd);
  if (failed) mig_buf_free(out);
  return failed;
}

int mig_file_read_at(int folder, const char *name, size_t limit, mig_buf *out, mig_err *err) {
  int fd = open_to_read(folder, name), failed = 0;
  ssize_t n = 1;
  struct stat st;
  out->len = 0;
  if (fd < 0) return fail(err, "read", name);
  if (fstat(fd, &st) || !S_ISREG(st.st_mode))
    failed = mig_err_set(err, "config", "cannot read %s: no plain file", name);
  else if ((size_t)st.st_size > limit)
    failed = mig_err_set(err, "config", "cannot read %s: longer than %zu bytes", name, limit);
  /* What has its whole size is whole: to ask for more costs as much again, for each of thousands of files. */
  while (n > 0 && !failed && (out->len == 0 || out->len != (size_t)st.st_size)) {
    if (mig_buf_reserve(out, out->cap - out->len > 1 ? 1 : 65536, err)) {
      failed = -1;
      break;
    }
    n = read_some(fd, out, name, err);
    if (n > 0) out->len += (size_t)n;
    if (n < 0) failed = -1;
  }
  close(fd);
  return failed;
}

static int write_all(int fd, const char *data, size_t n) {
  while (n > 0) {
    ssize_t done = write(fd, data, n);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return -1;
    data += done;
    n -= (size_t)done;
  }
  return 0;
}

int mig_file_write(const char *path, const char *data, size_t n, mode_t mode, mig_err *err) {
  char temporary[4096];
  int fd, failed;
  if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= (int)sizeof temporary) {
    errno = ENAMETOOLONG;
    return fail(err, "write", path);
  }
  fd = mkostemp(temporary, O_CLOEXEC);
  if (fd < 0) return fail(err, "write", path);
  failed = write_all(fd, data, n) || fchmod(fd, mode) || fsync(fd);
  if (failed) fail(err, "write", path);
  if (close(fd) && !failed) failed = fail(err, "write", path);
  if (!failed && rename(temporary, path)) failed = fail(err, "write", path);
  if (failed) unlink(temporary);
  return failed ? -1 : 0;
}

int mig_file_append(const char *path, const char *data, size_t n, mig_err *err) {
  /* Of a pipe that nobody reads this makes an error, and then writes as ever. */
  int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644), failed;
  if (fd < 0) return fail(err, "append to", path);
  if (fcntl(fd, F_SETFL, O_APPEND)) {
    fail(err, "append to", path);
    close(fd);
    return -1;
  }
  failed = write_all(fd, data, n) ? fail(err, "append to", path) : 0;
  if (close(fd) && !failed) failed = fail(err, "append to", path);
  return failed;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where) {
  (void)st, (void)type, (void)where;
  return remove(path);
}

int mig_tree_remove(const char *path, mig_err *err) {
  if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT) return 0;
  return fail(err, "remove", path);
}
