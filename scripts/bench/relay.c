/* relay SERVER_PORT ONE_WAY_US: forwards 127.0.0.1:(a port that it prints) to the server, every byte ONE_WAY_US later,
   also the handshake. What was read together is delivered together; nothing waits for anything but its own time, so
   that a client that does not wait for answers is not slowed down. At SIGTERM it prints three numbers: connections;
   round trips one after another; round trips in all.

   Round trips are counted by cause: what a client sends is one deeper than the deepest answer that had been delivered
   to any of its connections (a connection itself is a round trip); an answer is as deep as the deepest request that had
   reached the server. The deepest answer delivered is how often somebody waited for the network: an upper bound, as a
   client may send on while answers arrive that it does not wait for. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LINKS = 64, UP = 0, DOWN = 1 };

typedef struct piece {
  struct piece *next;
  int64_t due;
  size_t size, sent;
  long depth;
  char bytes[];
} piece;

typedef struct {
  piece *first, *last; /* an empty piece is the end of the stream */
  int from, to, ended, closed;
} way;

typedef struct {
  way ways[2];
  int64_t open_at; /* when the client's first bytes may leave: the handshake is over */
  long base, reached, told;
  int used;
} link_t;

static link_t links[LINKS];
static int64_t delay;
static long connections, deepest, trips;
static volatile sig_atomic_t stop;

static void on_signal(int number) { (void)number, stop = 1; }

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long deeper(long a, long b) { return a > b ? a : b; }

static struct sockaddr_in loopback(const char *port) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return at;
}

static int ready_socket(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

static void take_client(int listener, const char *server_port) {
  struct sockaddr_in at = loopback(server_port);
  int client = accept(listener, NULL, NULL), i = 0;
  while (i < LINKS && links[i].used) i++;
  int server = client < 0 || i == LINKS ? -1 : socket(AF_INET, SOCK_STREAM, 0);
  if (server < 0 || connect(server, (struct sockaddr *)&at, sizeof at) != 0) {
    if (client >= 0) close(client);
    if (server >= 0) close(server);
    return;
  }
  links[i] = (link_t){.used = 1, .open_at = now() + 2 * delay, .base = deepest + 1};
  links[i].ways[UP] = (way){.from = ready_socket(client), .to = ready_socket(server)};
  links[i].ways[DOWN] = (way){.from = server, .to = client};
  connections++, trips++;
}

static void keep(link_t *link, int side, const char *bytes, size_t size) {
  way *w = &link->ways[side];
  piece *p = malloc(sizeof *p + size);
  if (!p) abort();
  int64_t t = now();
  *p = (piece){.size = size, .due = (side == UP && t < link->open_at ? link->open_at : t) + delay};
  p->depth = side == UP ? deeper(deepest, link->base) + 1 : link->reached;
  memcpy(p->bytes, bytes, size);
  if (w->last)
    w->last->next = p;
  else
    w->first = p;
  w->last = p;
}

static void receive(link_t *link, int side) {
  static char bytes[1 << 16];
  ssize_t got = read(link->ways[side].from, bytes, sizeof bytes);
  if (got <= 0) link->ways[side].ended = 1;
  keep(link, side, bytes, got > 0 ? (size_t)got : 0);
}

static void deliver(link_t *link, int side) {
  way *w = &link->ways[side];
  while (w->first && w->first->due <= now()) {
    piece *p = w->first;
    if (p->size == 0) {
      shutdown(w->to, SHUT_WR);
      w->closed = 1;
    } else {
      ssize_t put = send(w->to, p->bytes + p->sent, p->size - p->sent, MSG_NOSIGNAL);
      if (put > 0) p->sent += (size_t)put;
      if (put < 0 ? errno == EAGAIN : p->sent < p->size) return;
      if (put < 0)
        w->closed = link->ways[!side].closed = 1;
      else if (side == UP)
        link->reached = deeper(link->reached, p->depth);
      else
        deepest = deeper(deepest, p->depth);
      if (side == DOWN && p->depth > link->told) link->told = p->depth, trips++;
    }
    w->first = p->next;
    if (!w->first) w->last = NULL;
    free(p);
    if (w->closed) return;
  }
}

static void drop(link_t *link) {
  for (int side = UP; side <= DOWN; side++) {
    for (piece *p = link->ways[side].first, *next; p; p = next) next = p->next, free(p);
    close(link->ways[side].from);
  }
  link->used = 0;
}

static void turn(int listener, const char *server_port) {
  struct pollfd polls[1 + 2 * LINKS] = {{.fd = listener, .events = POLLIN}};
  int64_t soonest = INT64_MAX;
  for (int i = 0; i < 2 * LINKS; i++) {
    way *w = &links[i / 2].ways[i % 2];
    int live = links[i / 2].used;
    polls[1 + i] = (struct pollfd){.fd = live && !w->ended ? w->from : -1, .events = POLLIN};
    if (live && w->first && w->first->due < soonest) soonest = w->first->due;
  }
  int64_t left = soonest == INT64_MAX ? 1000000000 : soonest - now();
  if (left < 100000) left = left > 0 ? left : 100000; /* what is due could not be sent whole: look again soon */
  struct timespec limit = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
  if (ppoll(polls, 1 + 2 * LINKS, &limit, NULL) < 0) return;
  if (polls[0].revents) take_client(listener, server_port);
  for (int i = 0; i < 2 * LINKS; i++)
    if (polls[1 + i].fd >= 0 && polls[1 + i].revents) receive(&links[i / 2], i % 2);
  for (int i = 0; i < LINKS; i++) {
    if (!links[i].used) continue;
    deliver(&links[i], UP);
    deliver(&links[i], DOWN);
    if (links[i].ways[UP].closed && links[i].ways[DOWN].closed) drop(&links[i]);
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  delay = atoll(argv[2]) * 1000;
  prctl(PR_SET_TIMERSLACK, 1UL);
  sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_signal}, NULL);
  struct sockaddr_in at = loopback("0");
  socklen_t size = sizeof at;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&at, size) || listen(listener, LINKS)) return 1;
  getsockname(listener, (struct sockaddr *)&at, &size);
  printf("%d\n", ntohs(at.sin_port));
  fflush(stdout);
  while (!stop) turn(listener, argv[1]);
  printf("%ld %ld %ld\n", connections, deepest, trips);
  return 0;
}
