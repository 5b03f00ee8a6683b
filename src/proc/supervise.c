#include "proc/supervise.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/interrupt.h"
#include "base/wait.h"

enum { KILLED_MS = 5000, LOOK_MS = 10, CHUNK = 65536 };

static mig_proc *live;

/* In the signal handler. A guard is told to hurry and left to it: it can still let the program end in good order. */
static void kill_live(void) {
  for (mig_proc *proc = live; proc; proc = proc->next) {
    if (proc->guard > 0 && write(proc->lifeline, "k", 1) == 1) continue;
    kill(proc->grouped ? -proc->pid : proc->pid, SIGKILL);
  }
}

void mig_proc_track(mig_proc *proc) {
  sigset_t all, mask;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &mask);
  proc->next = live;
  live = proc;
  sigprocmask(SIG_SETMASK, &mask, NULL);
  mig_interrupt_on_second(kill_live);
}

static void untrack(mig_proc *proc) {
  sigset_t all, mask;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &mask);
  for (mig_proc **at = &live; *at; at = &(*at)->next) {
    if (*at == proc) {
      *at = proc->next;
      break;
    }
  }
  sigprocmask(SIG_SETMASK, &mask, NULL);
}

/* Ours are all above 2 (spawn.c lifts them): a zeroed mig_proc owns nothing. */
static void drop(int *fd) {
  if (*fd > 2) close(*fd);
  *fd = -1;
}

int mig_proc_running(mig_proc *proc) {
  siginfo_t info = {0};
  if (proc->pid == 0 || proc->exited) return 0;
  if (waitid(P_PID, (id_t)proc->pid, &info, WEXITED | WNOHANG | WNOWAIT)) {
    if (errno == EINTR) return 1;
    proc->exited = proc->reaped = 1; /* somebody else in this process reaped it: its status is lost */
    proc->code = -1;
    return 0;
  }
  if (info.si_pid == 0) return 1;
  proc->exited = 1;
  if (info.si_code == CLD_EXITED) {
    proc->code = info.si_status;
  } else {
    proc->signal = info.si_status;
  }
  return 0;
}

/* What is ready is written or read; a full pipe or an empty one ends it. */
static int feed(mig_proc *proc, mig_proc_io *io) {
  while (proc->in >= 0 && io->input_at < io->input_len) {
    ssize_t n = write(proc->in, io->input + io->input_at, io->input_len - io->input_at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return 0;
    if (n < 0) break; /* EPIPE: it wants no more, which is its own business */
    io->input_at += (size_t)n;
  }
  drop(&proc->in);
  return 0;
}

static int drain(int *fd, mig_buf *buf, size_t limit, mig_err *err) {
  while (*fd >= 0) {
    ssize_t n;
    if (mig_buf_reserve(buf, CHUNK, err)) return -1;
    n = read(*fd, buf->data + buf->len, CHUNK);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return 0;
    if (n <= 0) {
      drop(fd);
      return 0;
    }
    buf->len += (size_t)n;
    if (buf->len > limit) return mig_err_set(err, "script", "output is larger than %zu bytes", limit);
  }
  return 0;
}

static int pump(mig_proc *proc, mig_proc_io *io, mig_err *err) {
  if (!io) return 0;
  if (feed(proc, io) || drain(&proc->out, &io->out, io->limit, err)) return -1;
  return drain(&proc->err, &io->err, io->limit, err);
}

static int watch(int set, int fd, uint32_t events) {
  struct epoll_event event = {.events = events};
  return fd < 0 ? 0 : epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
}

/* Where the kernel (or valgrind) has no pidfd_open, an exit is noticed at the next look. */
static int wait_turn(const mig_proc *proc, int set, mig_deadline deadline, mig_err *err) {
  mig_deadline look = mig_after_ms(LOOK_MS);
  if (proc->pidfd >= 0 || deadline <= look) return mig_wait_fd(set, POLLIN, deadline, NULL, err);
  return mig_wait_fd(set, POLLIN, look, NULL, err) && strcmp(err->code, "timeout") != 0 ? -1 : 0;
}

static int wait_all(mig_proc *proc, mig_proc_io *io, int set, mig_deadline deadline, mig_err *err) {
  for (;;) {
    int running = mig_proc_running(proc); /* before the pump: what it wrote before its exit is then in the pipe */
    if (pump(proc, io, err)) return -1;
    if (!running) return 0;
    if (wait_turn(proc, set, deadline, err)) return -1;
  }
}

/* Ctrl-C is meant for the program that has the terminal: as in system(3), it is not ours while we wait for that one. */
static void leave_terminal(const mig_proc *proc, struct sigaction saved[2]) {
  struct sigaction ignore = {.sa_handler = SIG_IGN};
  if (proc->grouped) return;
  sigaction(SIGINT, &ignore, &saved[0]);
  sigaction(SIGQUIT, &ignore, &saved[1]);
}

static void take_terminal(const mig_proc *proc, const struct sigaction saved[2]) {
  if (proc->grouped) return;
  sigaction(SIGINT, &saved[0], NULL);
  sigaction(SIGQUIT, &saved[1], NULL);
}

int mig_proc_wait(mig_proc *proc, mig_proc_io *io, mig_deadline deadline, mig_err *err) {
  struct sigaction saved[2];
  int set, failed;
  if (proc->exited && !io) return 0;
  set = epoll_create1(EPOLL_CLOEXEC);
  if (set < 0) return mig_err_errno(err, "internal", errno, "epoll_create");
  if (watch(set, proc->pidfd, EPOLLIN) || watch(set, proc->in, EPOLLOUT) || watch(set, proc->out, EPOLLIN) ||
      watch(set, proc->err, EPOLLIN)) {
    failed = mig_err_errno(err, "internal", errno, "epoll_ctl");
  } else {
    leave_terminal(proc, saved);
    failed = wait_all(proc, io, set, deadline, err);
    take_terminal(proc, saved);
  }
  close(set);
  return failed;
}

static int signal_it(const mig_proc *proc, int number) { return kill(proc->grouped ? -proc->pid : proc->pid, number); }

int mig_proc_kill(mig_proc *proc, int number, mig_err *err) {
  if (proc->pid == 0 || proc->reaped) return 0;
  if (signal_it(proc, number) == 0 || errno == ESRCH) return 0;
  return mig_err_errno(err, "script", errno, "cannot signal the process");
}

static void reap(mig_proc *proc) {
  while (!proc->reaped && waitpid(proc->pid, NULL, 0) < 0 && errno == EINTR) {
  }
  proc->reaped = 1;
}

static void retire_guard(mig_proc *proc) {
  if (proc->guard > 0) {
    if (!proc->has_after || write(proc->lifeline, "d", 1) != 1) kill(proc->guard, SIGKILL);
    while (waitpid(proc->guard, NULL, 0) < 0 && errno == EINTR) {
    }
  }
  proc->guard = 0;
  drop(&proc->lifeline);
}

void mig_proc_release(mig_proc *proc) {
  if (proc->pid > 0) {
    reap(proc);
    untrack(proc);
    retire_guard(proc);
  }
  drop(&proc->pidfd);
  drop(&proc->in);
  drop(&proc->out);
  drop(&proc->err);
}

/* Not mig_wait_fd: that returns at once while a signal is pending, and then there is most to stop. A second signal
 * still ends this wait, and everything else, from the handler. */
static int running_until(mig_proc *proc, mig_deadline deadline) {
  while (mig_proc_running(proc)) {
    struct pollfd fd = {.fd = proc->pidfd, .events = POLLIN};
    int left = mig_remaining_ms(deadline);
    if (left == 0) return 1;
    poll(&fd, 1, proc->pidfd < 0 && left > LOOK_MS ? LOOK_MS : left);
  }
  return 0;
}

/* Of /proc/PID/stat: behind the name, which may hold anything but comes in brackets, stand state, parent and group. */
static int lives_in(const char *pid, pid_t group) {
  char path[64], text[512], *behind;
  ssize_t n;
  int fd;
  snprintf(path, sizeof path, "/proc/%.16s/stat", pid);
  fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  n = read(fd, text, sizeof text - 1);
  close(fd);
  text[n > 0 ? n : 0] = '\0';
  behind = strrchr(text, ')');
  if (!behind || strlen(behind) < 4 || behind[2] == 'Z') return 0;
  strtol(behind + 3, &behind, 10);
  return strtol(behind, NULL, 10) == group;
}

/* Whoever has ended but was not waited for (by whom is not ours to say) does not count. */
static int group_lives(pid_t group) {
  DIR *dir;
  struct dirent *entry;
  int found = 0;
  if (kill(-group, 0)) return 0;
  dir = opendir("/proc");
  if (!dir) return 1;
  while (!found && (entry = readdir(dir))) found = entry->d_name[0] <= '9' && lives_in(entry->d_name, group);
  closedir(dir);
  return found;
}

int mig_proc_stop(mig_proc *proc, int grace_ms, mig_err *err) {
  mig_deadline deadline = mig_after_ms(grace_ms);
  if (proc->pid == 0 || proc->reaped) {
    mig_proc_release(proc);
    return 0;
  }
  signal_it(proc, proc->stop_signal);
  signal_it(proc, SIGCONT);
  if (!running_until(proc, deadline)) {
    reap(proc); /* a zombie counts as a member of its group */
    while (proc->grouped && group_lives(proc->pid) && mig_remaining_ms(deadline) > 0) poll(NULL, 0, LOOK_MS);
    if (proc->grouped) kill(-proc->pid, SIGKILL);
  } else {
    signal_it(proc, SIGKILL);
    if (running_until(proc, mig_after_ms(KILLED_MS))) {
      return mig_err_set(err, "script", "process %d cannot be stopped", (int)proc->pid);
    }
  }
  mig_proc_release(proc);
  return 0;
}

void mig_proc_close(mig_proc *proc) {
  mig_err ignored;
  if (proc->pid > 0 && mig_proc_stop(proc, 0, &ignored)) { /* not ours to kill: the guard stays, the zombie is init's */
    untrack(proc);
    drop(&proc->pidfd);
    drop(&proc->lifeline);
  } else {
    mig_proc_release(proc);
  }
  drop(&proc->log);
  proc->pid = 0;
}

int mig_proc_log(const mig_proc *proc, size_t max, mig_buf *out, mig_err *err) {
  struct stat st;
  long long from;
  size_t before = out->len;
  char *line;
  if (proc->log < 0 || fstat(proc->log, &st) || !S_ISREG(st.st_mode)) return 0;
  from = st.st_size < proc->log_start ? 0 : proc->log_start; /* shorter than at the start: somebody truncated it */
  if ((long long)max < st.st_size - from) from = st.st_size - (long long)max;
  while (out->len - before < max) {
    size_t want = max - (out->len - before) < CHUNK ? max - (out->len - before) : CHUNK;
    ssize_t n;
    if (mig_buf_reserve(out, want, err)) return -1;
    n = pread(proc->log, out->data + out->len, want, (off_t)(from + (long long)(out->len - before)));
    if (n < 0) return mig_err_errno(err, "script", errno, "cannot read the log file");
    if (n == 0) break;
    out->len += (size_t)n;
  }
  line = from > proc->log_start && out->len > before ? memchr(out->data + before, '\n', out->len - before) : NULL;
  if (line) {
    size_t gone = (size_t)(line + 1 - (out->data + before));
    memmove(out->data + before, line + 1, out->len - before - gone);
    out->len -= gone;
  }
  return 0;
}
