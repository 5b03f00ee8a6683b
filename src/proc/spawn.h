/* Starting one program: argv, no shell; environment, directory, user, three streams, its own process group.
 *
 * Two ways of dying with us, whatever kills us:
 *   without a guard   the kernel kills the program itself (PR_SET_PDEATHSIG), but none of its children;
 *   with a guard      a forked process that never execs holds the read end of a pipe from us. At its end of file it
 * stops the whole group: stop signal, grace, SIGKILL. It is a sibling of the program, so that the program stays our own
 * child, and it lets the program exec only once it is watching. It runs `after` when the program is gone, whoever ended
 * it; where that was we, a `d` in the pipe says so, and the group's number is not used again. */
#ifndef MIG_SPAWN_H
#define MIG_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

typedef enum mig_stream {
  MIG_STREAM_NULL,
  MIG_STREAM_INHERIT,
  MIG_STREAM_PIPE,
  MIG_STREAM_LOG,
  MIG_STREAM_STDOUT /* stderr only: wherever stdout goes */
} mig_stream;

typedef struct mig_spawn {
  char *const *argv; /* NULL-ended; argv[0] is looked up in the program's own PATH unless it has a slash */
  char *const *env;  /* NULL-ended, "NAME=value"; NULL inherits ours */
  const char *cwd;   /* NULL: ours */
  const char *user;  /* NULL: ours; another one needs root */
  const char *log;   /* the file of MIG_STREAM_LOG, created 0600 */
  mig_stream in, out, err;
  int append;     /* the log is kept, not truncated */
  int foreground; /* stays in our process group: it may read the terminal */
  int guard;
  int grace_ms;       /* the guard's */
  int stop_signal;    /* 0: SIGTERM */
  char *const *after; /* what the guard execs when the program is gone, absolute path; NULL: nothing */
} mig_spawn;

/* A program that was started. Fields are for the driver; -1 is "no descriptor", pid 0 is "empty".
 *
 *   running ──exit seen──► exited (a zombie: it keeps the group's number ours) ──stop or release──► reaped
 *
 * `live` and `next` are read by the signal handler and change with signals blocked. */
typedef struct mig_proc {
  pid_t pid, guard;
  int pidfd, lifeline; /* lifeline: write end of the guard's pipe */
  int in, out, err;    /* our ends of the pipes, non-blocking */
  int log;
  long long log_start; /* where this run's part of the log begins */
  int grouped, stop_signal;
  int exited, reaped, has_after;
  int code, signal; /* signal 0: it exited with code */
  struct mig_proc *next;
} mig_proc;

/* An exec that fails is reported here, as `script`. On failure nothing is left: no process, no descriptor. */
int mig_proc_spawn(mig_proc *proc, const mig_spawn *how, mig_err *err) MIG_MUSTCHECK;

/* The absolute path of the program that name means with env's PATH (NULL: ours). 0, ENOENT or EACCES. */
int mig_proc_find(const char *name, char *const *env, char *path, size_t size);

int mig_proc_is_running(pid_t pid); /* any process; a zombie is not running */

/* Name of our effective user, or its number as text. */
void mig_proc_user(char *name, size_t size);

#endif
