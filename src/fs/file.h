/* Files: whole reads, atomic writes, sorted walks. */
#ifndef MIG_FS_FILE_H
#define MIG_FS_FILE_H

#include <sys/types.h>

#include "base/buf.h"

/* The file's bytes in out, which the caller frees. A limit of 0 is none. */
int mig_file_read(const char *path, size_t limit, mig_buf *out, mig_err *err) MIG_MUSTCHECK;
/* The same for a plain file of an open folder, into memory that is used again: out->len starts anew, out stays the
 * caller's on failure too. */
int mig_file_read_at(int folder, const char *name, size_t limit, mig_buf *out, mig_err *err) MIG_MUSTCHECK;
/* Written beside, synced and renamed over: a reader sees the old file or the new one. */
int mig_file_write(const char *path, const char *data, size_t n, mode_t mode, mig_err *err) MIG_MUSTCHECK;
int mig_file_append(const char *path, const char *data, size_t n, mig_err *err) MIG_MUSTCHECK;
/* Removes a file or a whole tree, never following a link. Nothing there is success. */
int mig_tree_remove(const char *path, mig_err *err) MIG_MUSTCHECK;

#endif
