#include "pg/cancel.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int wait_for(pid_t child, mig_deadline deadline) {
  int status = 1, fd = (int)syscall(SYS_pidfd_open, child, 0);
  struct pollfd waiting = {.fd = fd, .events = POLLIN};
  if (fd < 0 || poll(&waiting, 1, mig_remaining_ms(deadline)) <= 0) kill(child, SIGKILL);
  if (fd >= 0) close(fd);
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

int mig_pg_cancel(mig_pg *pg, mig_deadline deadline, mig_err *err) {
  pid_t child = fork();
  if (child == 0) {
    char text[256];
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    _exit(PQcancel(pg->cancel, text, sizeof text) ? 0 : 1);
  }
  if (child < 0) return mig_err_errno(err, "internal", errno, "fork");
  if (wait_for(child, deadline))
    return mig_err_set(err, "connect", "the request to cancel the statement got no answer");
  return 0;
}
