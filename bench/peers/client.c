/* An HTTP client that costs as little as it can, so that what is measured is the server.
 *
 * client load PORT CONNECTIONS SECONDS   asks again on each connection as soon as it is answered: prints requests/s
 * client probe PORT N GAP_US             asks N times on one connection, GAP_US after the answer before, on a thread that
 *                                        blocks: prints how long an answer takes, in us
 * client hold PORT CONNECTIONS           asks once on each connection, says "held", and keeps them until its input ends
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "bench/harness.h"
#include "bench/peers/sockets.h"

static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

static int connect_to(int port) {
  struct sockaddr_in a = {.sin_family = AF_INET,
                          .sin_port = htons((uint16_t)port),
                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  bench_check(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0, "could not connect");
  sockets_no_delay(fd);
  return fd;
}

static void ask(int fd) {
  bench_check(send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == sizeof request - 1,
              "could not write");
}

/* How many bytes an answer has. */
static size_t await(int fd) {
  static char buf[65536];
  size_t fill = 0;
  do {
    ssize_t n = recv(fd, buf + fill, sizeof buf - 1 - fill, 0);
    bench_check(n > 0, "no answer");
    fill += (size_t)n;
    buf[fill] = '\0';
  } while (strstr(buf, "\r\n\r\nHello, World!") == NULL);
  return fill;
}

/* ---- load ---- */

typedef struct visit {
  int fd;
  size_t got; /* bytes of the answer that comes */
} visit;

static int64_t answered;

static void turn(visit *v, size_t size) {
  char buf[4096];
  ssize_t n = recv(v->fd, buf, sizeof buf, 0);
  bench_check(n > 0, "no answer");
  v->got += (size_t)n;
  if (v->got >= size) {
    bench_check(v->got == size, "an answer has another size");
    v->got = 0;
    answered++;
    ask(v->fd);
  }
}

static int load(int port, int count, int64_t ns) {
  enum { EVENTS = 128 };
  visit *all = calloc((size_t)count, sizeof *all);
  int ep = epoll_create1(EPOLL_CLOEXEC);
  size_t size = 0;
  bench_check(all != NULL && ep >= 0 && count > 0, "how many?");
  for (int i = 0; i < count; i++) {
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &all[i]};
    all[i].fd = connect_to(port);
    ask(all[i].fd);
    size = await(all[i].fd);
    bench_check(epoll_ctl(ep, EPOLL_CTL_ADD, all[i].fd, &ev) == 0, "could not register");
  }
  int64_t start = sockets_now(), now = start;
  for (int i = 0; i < count; i++) {
    ask(all[i].fd);
  }
  while (now - start < ns) {
    struct epoll_event evs[EVENTS];
    int n = epoll_wait(ep, evs, EVENTS, 1000);
    for (int i = 0; i < n; i++) {
      turn(evs[i].data.ptr, size);
    }
    now = sockets_now();
  }
  printf("%lld requests in %.3f s\n", (long long)answered, (double)(now - start) / 1e9);
  return 0;
}

/* ---- probe ---- */

static int by_size(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static int probe(int port, int n, int64_t gap) {
  int64_t *took = calloc((size_t)n, sizeof *took);
  bench_check(n > 0 && took != NULL, "how many?");
  int fd = connect_to(port);
  ask(fd);
  (void)await(fd);
  for (int i = 0; i < n; i++) {
    nanosleep(&(struct timespec){gap / 1000000000, gap % 1000000000}, NULL);
    int64_t start = sockets_now();
    ask(fd);
    (void)await(fd);
    took[i] = sockets_now() - start;
  }
  qsort(took, (size_t)n, sizeof *took, by_size);
  printf("p50:%.1f,p99:%.1f,max:%.1f\n", (double)took[n / 2] / 1e3,
         (double)took[n * 99 / 100] / 1e3, (double)took[n - 1] / 1e3);
  return 0;
}

/* ---- hold ---- */

static int hold(int port, int count) {
  for (int i = 0; i < count; i++) {
    int fd = connect_to(port);
    ask(fd);
    (void)await(fd);
  }
  printf("held\n");
  fflush(stdout);
  while (getchar() != EOF) {}
  return 0;
}

int main(int argc, char **argv) {
  const char *what = argc > 3 ? argv[1] : "";
  sockets_want_files();
  if (strcmp(what, "load") == 0 && argc == 5) {
    return load(atoi(argv[2]), atoi(argv[3]), (int64_t)(atof(argv[4]) * 1e9));
  }
  if (strcmp(what, "probe") == 0 && argc == 5) {
    return probe(atoi(argv[2]), atoi(argv[3]), atoll(argv[4]) * 1000);
  }
  if (strcmp(what, "hold") == 0 && argc == 4) {
    return hold(atoi(argv[2]), atoi(argv[3]));
  }
  fprintf(stderr, "usage: client load|probe|hold PORT ...\n");
  return 2;
}
