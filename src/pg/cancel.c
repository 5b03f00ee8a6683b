#include "pg/cancel.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Until the child ended or the deadline: woken by its pidfd, or looking now and then where there is none. */
static void wait_until(pid_t child, mig_deadline deadline) {
  int fd = (int)syscall(SYS_pidfd_open, child, 0);
  siginfo_t info = {0};
  if (fd >= 0) {
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    if (poll(&waiting, 1, mig_remaining_ms(deadline)) <= 0) kill(child, SIGKILL);
    close(fd);
    return;
  }
  while (waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0) {
    if (mig_remaining_ms(deadline) == 0) {
      kill(child, SIGKILL);
      return;
    }
    poll(NULL, 0, 5);
  }
}

static int wait_for(pid_t child, mig_deadline deadline) {
  int status = 1;
  wait_until(child, deadline);
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* PQcancel waits without end, perhaps longer than whoever asked lives. */
int mig_pg_cancel(mig_pg *pg, mig_deadline deadline, mig_err *err) {
  pid_t parent = getpid(), child = fork();
  if (child == 0) {
    char text[256];
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent) _exit(1);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    _exit(PQcancel(pg->cancel, text, sizeof text) ? 0 : 1);
  }
  if (child < 0) return mig_err_errno(err, "internal", errno, "fork");
  if (wait_for(child, deadline))
    return mig_err_set(err, "connect", "the request to cancel the statement got no answer");
  return 0;
}
