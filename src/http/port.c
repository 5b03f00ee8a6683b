#include "http/port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ATTEMPTS = 64, LOWEST = 10000, ENOUGH = 1000, USUAL_FIRST = 32768 };

typedef union address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
} address;

static int to_address(const char *host, int port, address *to, socklen_t *size) {
  *to = (address){0};
  if (inet_pton(AF_INET, host, &to->v4.sin_addr) == 1) {
    to->v4.sin_family = AF_INET;
    to->v4.sin_port = htons((uint16_t)port);
    *size = sizeof to->v4;
    return 0;
  }
  if (inet_pton(AF_INET6, host, &to->v6.sin6_addr) != 1) return -1;
  to->v6.sin6_family = AF_INET6;
  to->v6.sin6_port = htons((uint16_t)port);
  *size = sizeof to->v6;
  return 0;
}

/* An ordinary user may not bind a port below 1024, but may knock. */
static int is_silent(const address *at, socklen_t size) {
  int fd = socket(at->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), silent;
  if (fd < 0) return 1;
  silent = connect(fd, &at->any, size) != 0 && errno != EINPROGRESS;
  close(fd);
  return silent;
}

/* Binds and listens, so that connections in TIME_WAIT do not count, but a listener on any address that covers this one
 * does. */
static int claim(const char *host, int *port, mig_err *err) {
  int fd, yes = 1, why = 0;
  address at;
  socklen_t size;
  if (to_address(host, *port, &at, &size)) return mig_err_set(err, "http", "'%s' is not a numeric address", host);
  fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno == EAFNOSUPPORT ? 1 : mig_err_errno(err, "internal", errno, "socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (at.any.sa_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
  if (bind(fd, &at.any, size) || listen(fd, 1) || getsockname(fd, &at.any, &size)) why = errno;
  close(fd);
  if (why == EADDRINUSE) return 0;
  if (why == EACCES) return is_silent(&at, size);
  if (why == EADDRNOTAVAIL) return 1;
  if (why) return mig_err_errno(err, "http", why, host);
  *port = ntohs(at.any.sa_family == AF_INET ? at.v4.sin_port : at.v6.sin6_port);
  return 1;
}

int mig_port_free(int port, const char *host, int *is_free, mig_err *err) {
  *is_free = claim(host ? host : "127.0.0.1", &port, err);
  if (*is_free < 0) return -1;
  if (!host && *is_free) *is_free = claim("::1", &port, err);
  return *is_free < 0 ? -1 : 0;
}

/* The first of the ports that the system gives to outgoing connections by itself. */
static unsigned first_given(void) {
  char text[32] = "";
  FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
  unsigned long first = USUAL_FIRST;
  if (!file) return USUAL_FIRST;
  if (fgets(text, sizeof text, file)) first = strtoul(text, NULL, 10);
  fclose(file);
  return first <= 65535 ? (unsigned)first : USUAL_FIRST;
}

/* Of the others, lest it be given away before it is listened on; 0, any, where there are hardly others. */
static int pick(unsigned first) {
  uint32_t number;
  if (first < LOWEST + ENOUGH || getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number) return 0;
  return (int)(LOWEST + number % (first - LOWEST));
}

int mig_port_find(int *port, mig_err *err) {
  unsigned first = first_given();
  for (int i = 0; i < ATTEMPTS; i++) {
    int is_free;
    *port = pick(first);
    is_free = claim("127.0.0.1", port, err);
    if (is_free < 0 || (is_free && mig_port_free(*port, NULL, &is_free, err))) return -1;
    if (is_free) return 0;
  }
  return mig_err_set(err, "http", "no free port on the loopback address");
}
