#include "base/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>

#include "base/clock.h"

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
enum { SIGNALS = sizeof signals / sizeof *signals };

static volatile sig_atomic_t first_signal, is_pending;
static volatile int64_t first_at;
static void (*volatile first_hook)(void);
static void (*volatile second_hook)(void);
static int pipe_fds[2] = {-1, -1};
static struct sigaction before[SIGNALS], before_pipe, before_size;
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

int mig_interrupt_install(mig_err *err) {
  struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
  struct sigaction ignore = {.sa_handler = SIG_IGN};
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
  installed = 1;
  return 0;
}

void mig_interrupt_restore(void) {
  if (!installed) return;
  for (int i = 0; i < SIGNALS; i++) sigaction(signals[i], &before[i], NULL);
  sigaction(SIGPIPE, &before_pipe, NULL);
  sigaction(SIGXFSZ, &before_size, NULL);
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
