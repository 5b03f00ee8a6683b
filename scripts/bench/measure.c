/* measure CMD...: runs a program to its end, its output thrown away. Prints wall time and CPU in microseconds, the peak
   resident set in KiB of the largest process below it, and the exit code. Small itself: the child starts with our
   pages. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long microseconds(struct timeval t) { return t.tv_sec * 1000000L + t.tv_usec; }

static long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

int main(int argc, char **argv) {
  struct rusage usage;
  int status, null = open("/dev/null", O_RDWR);
  if (argc < 2 || null < 0) return 2;
  long start = now();
  pid_t pid = fork();
  if (pid < 0) return 2;
  if (pid == 0) {
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    if (!getenv("MEASURE_STDERR")) dup2(null, STDERR_FILENO);
    execvp(argv[1], argv + 1);
    _exit(127);
  }
  if (wait4(pid, &status, 0, &usage) != pid) return 2;
  printf("%ld %ld %ld %d\n", now() - start, microseconds(usage.ru_utime) + microseconds(usage.ru_stime),
         usage.ru_maxrss, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  return 0;
}
