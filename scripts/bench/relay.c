/* relay LISTEN_PORT SERVER_PORT: one client at a time through to the server of 127.0.0.1, until SIGTERM. After each
   client it prints how many flights it sent that the server answered: its round trips. Terminate is not answered, so it
   is none. With pipelining it is an upper limit: answers that come while the client still sends begin a new flight. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in local(const char *port) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return at;
}

static int send_all(int fd, const char *data, ssize_t n) {
  while (n > 0) {
    ssize_t sent = write(fd, data, (size_t)n);
    if (sent <= 0) return -1;
    data += sent;
    n -= sent;
  }
  return 0;
}

/* Copies both ways until one side ends. */
static long serve(int client, int server) {
  static char data[1 << 16];
  struct pollfd fds[2] = {{.fd = client, .events = POLLIN}, {.fd = server, .events = POLLIN}};
  long trips = 0;
  int asked = 0;
  for (;;) {
    if (poll(fds, 2, -1) < 0) return trips;
    for (int i = 0; i < 2; i++) {
      if (!fds[i].revents) continue;
      ssize_t n = read(fds[i].fd, data, sizeof data);
      if (n <= 0 || send_all(fds[1 - i].fd, data, n)) return trips;
      if (i == 1 && asked) trips++;
      asked = i == 0;
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  struct sockaddr_in here = local(argv[1]), there = local(argv[2]);
  int yes = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 8)) return 2;
  puts("ready");
  fflush(stdout);
  for (;;) {
    int client = accept(listener, NULL, NULL), server = socket(AF_INET, SOCK_STREAM, 0);
    if (client < 0 || connect(server, (struct sockaddr *)&there, sizeof there)) return 2;
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    printf("%ld\n", serve(client, server));
    fflush(stdout);
    close(client);
    close(server);
  }
}
