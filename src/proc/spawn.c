#include "proc/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/supervise.h"

enum { GROUPS_MAX = 256, HURRY_MS = 1000 };

/* Everything that child and guard need, made before the fork: after it only async-signal-safe calls are allowed. */
typedef struct launch {
  const mig_spawn *how;
  char program[PATH_MAX];
  int change_user;
  uid_t uid;
  gid_t gid, groups[GROUPS_MAX];
  int group_count;
  int child[3];  /* what becomes 0, 1, 2; -1 is inherited, stderr may be 1 */
  int status[2]; /* the child's complaint: a failure, or end of file at exec */
  int go[2];     /* the guard's permission to exec */
  pid_t parent;
  sigset_t mask;
} launch;

typedef struct failure {
  int number;
  char stage[16];
} failure;

static const char *env_value(char *const *env, const char *name) {
  size_t n = strlen(name);
  for (; env && *env; env++) {
    if (strncmp(*env, name, n) == 0 && (*env)[n] == '=') return *env + n + 1;
  }
  return NULL;
}

static int is_program(const char *path) {
  struct stat st;
  if (stat(path, &st)) return ENOENT;
  return S_ISREG(st.st_mode) && faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0 ? 0 : EACCES;
}

/* dir/name, made absolute by our directory; an empty dir is our directory. */
static int join(const char *dir, int dir_len, const char *name, char *path, size_t size) {
  char cwd[PATH_MAX] = "";
  int n;
  if ((dir_len == 0 || dir[0] != '/') && !getcwd(cwd, sizeof cwd)) return -1;
  n = snprintf(path, size, "%s%s%.*s%s%s", cwd, cwd[0] && dir_len ? "/" : "", dir_len, dir, "/", name);
  return n > 0 && (size_t)n < size ? 0 : -1;
}

int mig_proc_find(const char *name, char *const *env, char *path, size_t size) {
  const char *dir = env_value(env ? env : environ, "PATH");
  int worst = ENOENT;
  if (!name[0]) return ENOENT;
  if (strchr(name, '/')) {
    if (name[0] == '/') return snprintf(path, size, "%s", name) < (int)size ? is_program(path) : ENOENT;
    return join("", 0, name, path, size) ? ENOENT : is_program(path);
  }
  if (!dir) dir = "/usr/local/bin:/usr/bin:/bin";
  for (;; dir++) {
    size_t n = strcspn(dir, ":");
    int why = n < PATH_MAX && join(dir, (int)n, name, path, size) == 0 ? is_program(path) : ENOENT;
    if (!why) return 0;
    if (why == EACCES) worst = EACCES;
    dir += n;
    if (!*dir) return worst;
  }
}

void mig_proc_user(char *name, size_t size) {
  struct passwd entry, *found = NULL;
  char text[4096];
  if (getpwuid_r(geteuid(), &entry, text, sizeof text, &found) == 0 && found) {
    snprintf(name, size, "%s", found->pw_name);
  } else {
    snprintf(name, size, "%u", geteuid());
  }
}

int mig_proc_is_running(pid_t pid) {
  char path[32], text[512];
  const char *state;
  ssize_t n;
  int fd;
  if (kill(pid, 0) && errno != EPERM) return 0;
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno != ENOENT;
  n = read(fd, text, sizeof text - 1);
  close(fd);
  if (n <= 0) return 0;
  text[n] = '\0';
  state = strrchr(text, ')'); /* the name before it may hold anything */
  return !state || !state[1] || (state[2] != 'Z' && state[2] != 'X');
}

static int prepare_user(launch *l, mig_err *err) {
  struct passwd entry, *found = NULL;
  const char *user = l->how->user;
  char text[4096];
  if (!user) return 0;
  if (getpwnam_r(user, &entry, text, sizeof text, &found) || !found) {
    return mig_err_set(err, "script", "cannot run as user '%s': no such user", user);
  }
  if (found->pw_uid == geteuid() && found->pw_uid == getuid()) return 0;
  if (geteuid() != 0) return mig_err_set(err, "script", "cannot run as user '%s': only root can change users", user);
  l->change_user = 1;
  l->uid = found->pw_uid;
  l->gid = found->pw_gid;
  l->group_count = GROUPS_MAX;
  if (getgrouplist(user, l->gid, l->groups, &l->group_count) < 0) l->group_count = GROUPS_MAX;
  return 0;
}

/* A name with a slash is left to execve, which sees it from the program's directory and as its user. */
static int prepare_program(launch *l, mig_err *err) {
  const char *name = l->how->argv[0];
  int why;
  if (strchr(name, '/')) {
    if (strlen(name) >= sizeof l->program) return mig_err_errno(err, "script", ENAMETOOLONG, "cannot start program");
    mig_text_copy(l->program, sizeof l->program, name);
    return 0;
  }
  why = mig_proc_find(name, l->how->env, l->program, sizeof l->program);
  if (why == EACCES) return mig_err_set(err, "script", "cannot start '%s': what PATH has is not executable", name);
  if (why) {
    mig_err_set(err, "script", "cannot start '%s': not found in PATH", name);
    mig_text_copy(err->hint, sizeof err->hint, "install it, or give its full path");
    return -1;
  }
  return 0;
}

/* Descriptors of ours never land on 0, 1 or 2, even if we were started without them. */
static int lift(int fd) {
  int lifted, saved;
  if (fd < 0 || fd > 2) return fd;
  lifted = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  saved = errno;
  close(fd);
  errno = saved;
  return lifted;
}

static void drop(int *fd) {
  if (*fd > 2) close(*fd);
  *fd = -1;
}

static int make_pipe(int fds[2], mig_err *err) {
  if (pipe2(fds, O_CLOEXEC)) {
    fds[0] = fds[1] = -1;
    return mig_err_errno(err, "internal", errno, "pipe");
  }
  fds[0] = lift(fds[0]);
  fds[1] = lift(fds[1]);
  if (fds[0] < 0 || fds[1] < 0) return mig_err_errno(err, "internal", errno, "pipe");
  return 0;
}

static int open_log(mig_proc *proc, const mig_spawn *how, mig_err *err) {
  struct stat st;
  char what[PATH_MAX + 32];
  if (proc->log >= 0) return 0;
  proc->log =
      lift(open(how->log, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | (how->append ? 0 : O_TRUNC), 0600));
  if (proc->log < 0) {
    int number = errno;
    snprintf(what, sizeof what, "cannot open log file '%s'", how->log);
    return mig_err_errno(err, "script", number, what);
  }
  proc->log_start = fstat(proc->log, &st) == 0 ? (long long)st.st_size : 0;
  return 0;
}

static int open_stream(launch *l, mig_proc *proc, int index, mig_err *err) {
  const mig_stream streams[] = {l->how->in, l->how->out, l->how->err};
  int *const ours[] = {&proc->in, &proc->out, &proc->err};
  int fds[2];
  switch (streams[index]) {
    case MIG_STREAM_INHERIT:
      return 0;
    case MIG_STREAM_STDOUT:
      l->child[index] = 1;
      return 0;
    case MIG_STREAM_NULL:
      l->child[index] = lift(open("/dev/null", (index ? O_WRONLY : O_RDONLY) | O_CLOEXEC));
      return l->child[index] < 0 ? mig_err_errno(err, "internal", errno, "/dev/null") : 0;
    case MIG_STREAM_LOG:
      if (open_log(proc, l->how, err)) return -1;
      l->child[index] = fcntl(proc->log, F_DUPFD_CLOEXEC, 3);
      return l->child[index] < 0 ? mig_err_errno(err, "internal", errno, "log file") : 0;
    case MIG_STREAM_PIPE:
      break;
  }
  if (make_pipe(fds, err)) {
    drop(&fds[0]);
    drop(&fds[1]);
    return -1;
  }
  l->child[index] = fds[index != 0];
  *ours[index] = fds[index == 0];
  fcntl(*ours[index], F_SETFL, O_NONBLOCK);
  return 0;
}

/* From here to exec: the child. */

static _Noreturn void complain(const launch *l, const char *stage) {
  failure it = {.number = errno};
  for (size_t i = 0; stage[i] && i + 1 < sizeof it.stage; i++) it.stage[i] = stage[i];
  if (write(l->status[1], &it, sizeof it) < 0) { /* then nobody is left to tell */
  }
  _exit(127);
}

/* Strangers' descriptors too: a library may have opened one without CLOEXEC. */
static void cloexec_from(unsigned first) {
  struct rlimit limit;
  if (syscall(SYS_close_range, first, ~0U, CLOSE_RANGE_CLOEXEC) == 0) return;
  if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur > 65536) limit.rlim_cur = 65536;
  for (int fd = (int)first; fd < (int)limit.rlim_cur; fd++) fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void close_all_but(int keep) {
  struct rlimit limit;
  if (syscall(SYS_close_range, (unsigned)keep + 1, ~0U, 0) == 0) {
    for (int fd = 0; fd < keep; fd++) close(fd);
    return;
  }
  if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur > 65536) limit.rlim_cur = 65536;
  for (int fd = 0; fd < (int)limit.rlim_cur; fd++) {
    if (fd != keep) close(fd);
  }
}

/* Handlers become the default at exec anyway, but not what is ignored. nohup's SIGHUP stays ignored, our SIGPIPE and
 * SIGXFSZ not.
 */
static void reset_signals(void) {
  struct sigaction action;
  for (int number = 1; number < NSIG; number++) {
    if (sigaction(number, NULL, &action)) continue;
    if (action.sa_handler == SIG_IGN && number != SIGPIPE && number != SIGXFSZ && number != SIGCHLD) continue;
    action = (struct sigaction){.sa_handler = SIG_DFL};
    sigaction(number, &action, NULL);
  }
}

static void await_guard(const launch *l) {
  char byte;
  ssize_t n;
  if (l->go[0] < 0) return;
  close(l->go[1]);
  do n = read(l->go[0], &byte, 1);
  while (n < 0 && errno == EINTR);
  if (n != 1) _exit(127);
}

static _Noreturn void run_child(const launch *l) {
  const mig_spawn *how = l->how;
  reset_signals();
  if (!how->foreground) setpgid(0, 0);
  await_guard(l);
  for (int i = 0; i < 3; i++) {
    if (l->child[i] >= 0 && dup2(l->child[i], i) < 0) complain(l, "stdio");
  }
  cloexec_from(3);
  if (l->change_user) {
    if (setgroups((size_t)l->group_count, l->groups)) complain(l, "setgroups");
    if (setgid(l->gid)) complain(l, "setgid");
    if (setuid(l->uid)) complain(l, "setuid");
  }
  /* After setuid, which clears it. Whoever lost its parent before this line is told by getppid. */
  if (!how->guard) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL)) complain(l, "prctl");
    if (getppid() != l->parent) _exit(127);
  }
  if (how->cwd && chdir(how->cwd)) complain(l, "chdir");
  sigprocmask(SIG_SETMASK, &l->mask, NULL);
  execve(l->program, how->argv, how->env ? how->env : environ);
  complain(l, "exec");
}

/* The guard. All signals stay blocked: only SIGKILL and the end of the pipe reach it. */

static int group_lives_until(pid_t group, mig_deadline deadline) {
  while (kill(-group, 0) == 0) {
    if (mig_remaining_ms(deadline) == 0) return 1;
    poll(NULL, 0, 10);
  }
  return 0;
}

static void run_after(char *const *after, const sigset_t *mask) {
  struct sigaction action = {.sa_handler = SIG_DFL};
  int null = open("/dev/null", O_RDWR);
  if (null < 0) return;
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  cloexec_from(3);
  sigaction(SIGPIPE, &action, NULL);
  sigprocmask(SIG_SETMASK, mask, NULL);
  execve(after[0], after, environ);
}

static void end_group(const mig_spawn *how, pid_t group, int grace_ms) {
  kill(-group, how->stop_signal ? how->stop_signal : SIGTERM);
  kill(-group, SIGCONT);
  if (!group_lives_until(group, mig_after_ms(grace_ms))) return;
  kill(-group, SIGKILL);
  if (how->after) group_lives_until(group, mig_after_ms(HURRY_MS));
}

static _Noreturn void run_guard(const launch *l, pid_t group, int lifeline) {
  const mig_spawn *how = l->how;
  int grace_ms = how->grace_ms;
  char byte = 'g';
  ssize_t n;
  setsid();
  prctl(PR_SET_NAME, "migrator-guard");
  n = write(l->go[1], &byte, 1);
  close_all_but(lifeline);
  if (n != 1 || chdir("/")) _exit(1);
  do n = read(lifeline, &byte, 1);
  while (n < 0 && errno == EINTR);
  if (n == 1 && byte == 'k' && grace_ms > HURRY_MS) grace_ms = HURRY_MS;
  if (n != 1 || byte != 'd') end_group(how, group, grace_ms);
  if (how->after) run_after(how->after, &l->mask);
  _exit(0);
}

/* Ours again. */

static int start_guard(launch *l, mig_proc *proc, mig_err *err) {
  int fds[2];
  if (make_pipe(fds, err)) {
    drop(&fds[0]);
    drop(&fds[1]);
    return -1;
  }
  proc->guard = fork();
  if (proc->guard == 0) {
    close(fds[1]);
    run_guard(l, proc->pid, fds[0]);
  }
  drop(&fds[0]);
  proc->lifeline = fds[1];
  if (proc->guard < 0) {
    proc->guard = 0;
    return mig_err_errno(err, "internal", errno, "fork");
  }
  return 0;
}

static int fork_both(launch *l, mig_proc *proc, mig_err *err) {
  proc->pid = fork();
  if (proc->pid == 0) run_child(l);
  if (proc->pid < 0) {
    proc->pid = 0;
    return mig_err_errno(err, "internal", errno, "fork");
  }
  if (proc->grouped) setpgid(proc->pid, proc->pid); /* whoever is first, child or we: the group exists from here on */
  mig_proc_track(proc);
  if (l->how->guard && start_guard(l, proc, err)) return -1;
  proc->pidfd = lift((int)syscall(SYS_pidfd_open, proc->pid, 0));
  if (proc->pidfd >= 0 || errno == ENOSYS) return 0; /* without it, waits look now and then */
  return mig_err_errno(err, "internal", errno, "pidfd_open");
}

static int explain(const launch *l, const failure *it, mig_err *err) {
  const mig_spawn *how = l->how;
  struct stat st;
  char what[PATH_MAX + 64];
  int is_there = !how->cwd && stat(l->program, &st) == 0;
  if (strcmp(it->stage, "chdir") == 0) {
    snprintf(what, sizeof what, "cannot start '%s' in directory '%s'", how->argv[0], how->cwd);
  } else if (strncmp(it->stage, "set", 3) == 0) {
    snprintf(what, sizeof what, "cannot run '%s' as user '%s'", how->argv[0], how->user);
  } else {
    snprintf(what, sizeof what, "cannot start '%s'", how->argv[0]);
  }
  if (strcmp(it->stage, "exec") == 0 && is_there && S_ISDIR(st.st_mode)) {
    return mig_err_set(err, "script", "%s: is a directory", what);
  }
  mig_err_errno(err, "script", it->number, what);
  if (strcmp(it->stage, "exec") == 0 && it->number == ENOENT && is_there) {
    mig_text_copy(err->hint, sizeof err->hint, "the file is there: look at the interpreter in its first line");
  } else if (it->number == ENOEXEC) {
    mig_text_copy(err->hint, sizeof err->hint, "a script needs a first line such as #!/bin/sh");
  }
  return -1;
}

static int read_status(launch *l, mig_err *err) {
  failure it;
  ssize_t n;
  drop(&l->status[1]);
  do n = read(l->status[0], &it, sizeof it);
  while (n < 0 && errno == EINTR);
  if (n == 0) return 0;
  if (n != sizeof it) return mig_err_set(err, "internal", "cannot start '%s': no status", l->how->argv[0]);
  return explain(l, &it, err);
}

static int start(launch *l, mig_proc *proc, mig_err *err) {
  struct sigaction child_action;
  sigset_t all;
  int failed;
  for (int i = 0; i < 3; i++) {
    if (open_stream(l, proc, i, err)) return -1;
  }
  if (make_pipe(l->status, err) || (l->how->guard && make_pipe(l->go, err))) return -1;
  /* Inherited `ignore` would have the kernel reap our children, and their status be lost. */
  if (sigaction(SIGCHLD, NULL, &child_action) == 0 && child_action.sa_handler == SIG_IGN) signal(SIGCHLD, SIG_DFL);
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &l->mask); /* our handlers must not run in the child */
  failed = fork_both(l, proc, err);
  sigprocmask(SIG_SETMASK, &l->mask, NULL);
  drop(&l->go[1]);
  return failed ? -1 : read_status(l, err);
}

int mig_proc_spawn(mig_proc *proc, const mig_spawn *how, mig_err *err) {
  launch l = {.how = how, .child = {-1, -1, -1}, .status = {-1, -1}, .go = {-1, -1}, .parent = getpid()};
  int failed;
  *proc = (mig_proc){.pidfd = -1, .lifeline = -1, .in = -1, .out = -1, .err = -1, .log = -1};
  proc->grouped = !how->foreground;
  proc->has_after = how->after != NULL;
  proc->stop_signal = how->stop_signal ? how->stop_signal : SIGTERM;
  failed = prepare_program(&l, err) || prepare_user(&l, err) || start(&l, proc, err);
  for (int i = 0; i < 3; i++) drop(&l.child[i]);
  for (int i = 0; i < 2; i++) {
    drop(&l.status[i]);
    drop(&l.go[i]);
  }
  if (!failed) return 0;
  mig_proc_close(proc);
  *proc = (mig_proc){0};
  return -1;
}
