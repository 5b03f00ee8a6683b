#include "base/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
enum { SIGNALS = sizeof signals / sizeof *signals, EXPIRED = 4 };

static volatile sig_atomic_t first_signal, is_pending;
static volatile int64_t first_at;
static void (*volatile first_hook)(void);
static void (*volatile second_hook)(void);
static int pipe_fds[2] = {-1, -1};
static struct sigaction before[SIGNALS], before_pipe, before_size, before_alarm;
static int installed;

static void handle(int number) {
  int saved = errno;
  if (!first_signal) {
    first_signal = number;
    is_pending = 1;
    first_at = mig_now();
    if (write(pipe_fds[1], "!", 1) < 0) { /* full or gone: is_pending says it all */
    }
    if (first_hook) first_hook();
  } else if (mig_now() - first_at > 500000000) {
    if (second_hook) second_hook();
    _exit(128 + first_signal);
  }
  errno = saved;
}

static void expire(int number) {
  static const char words[] = "error: the run could not be stopped at its deadline: it ends here, nothing was undone\n";
  (void)number;
  if (second_hook) second_hook();
  if (write(STDERR_FILENO, words, sizeof words - 1) < 0) { /* there is nobody to tell */
  }
  _exit(EXPIRED);
}

void mig_interrupt_expire_in(int ms) {
  struct itimerval timer = {0};
  if (ms >= 0) {
    timer.it_value.tv_sec = ms / 1000;
    timer.it_value.tv_usec = ms % 1000 * 1000 + 1; /* zero would be never */
  }
  setitimer(ITIMER_REAL, &timer, NULL);
}

int mig_interrupt_install(mig_err *err) {
  struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
  struct sigaction ignore = {.sa_handler = SIG_IGN}, last = {.sa_handler = expire};
  if (installed) return 0;
  if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK)) return mig_err_errno(err, "internal", errno, "pipe");
  first_signal = is_pending = 0;
  sigemptyset(&action.sa_mask);
  for (int i = 0; i < SIGNALS; i++) sigaddset(&action.sa_mask, signals[i]);
  for (int i = 0; i < SIGNALS; i++) {
    sigaction(signals[i], NULL, &before[i]);
    if (before[i].sa_handler != SIG_IGN) sigaction(signals[i], &action, NULL); /* nohup stays nohup */
  }
  sigaction(SIGPIPE, &ignore, &before_pipe);
  sigaction(SIGXFSZ, &ignore, &before_size);
  sigaction(SIGALRM, &last, &before_alarm);
  installed = 1;
  return 0;
}

void mig_interrupt_restore(void) {
  if (!installed) return;
  for (int i = 0; i < SIGNALS; i++) sigaction(signals[i], &before[i], NULL);
  sigaction(SIGPIPE, &before_pipe, NULL);
  sigaction(SIGXFSZ, &before_size, NULL);
  mig_interrupt_expire_in(-1);
  sigaction(SIGALRM, &before_alarm, NULL);
  close(pipe_fds[0]);
  close(pipe_fds[1]);
  pipe_fds[0] = pipe_fds[1] = -1;
  first_hook = second_hook = NULL;
  installed = 0;
}

int mig_interrupt_pending(void) { return is_pending ? first_signal : 0; }

int mig_interrupt_take(void) {
  char byte;
  if (!is_pending) return 0;
  is_pending = 0;
  while (read(pipe_fds[0], &byte, 1) == 1) {
  }
  return first_signal;
}

int mig_interrupt_seen(void) { return first_signal; }
int mig_interrupt_fd(void) { return pipe_fds[0]; }
void mig_interrupt_on_first(void (*hook)(void)) { first_hook = hook; }
void mig_interrupt_on_second(void (*hook)(void)) { second_hook = hook; }
