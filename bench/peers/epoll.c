/* The least that the same echo costs: a loop of epoll_wait, read and write, without goroutines, buffers or errors. Each
 * of `procs` threads has its share of the connections, both ends of them. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/harness.h"

enum { MESSAGE = 64, EVENTS = 128 };

static int procs = 1;

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* One end of a connection. */
typedef struct end {
  int fd;
  int64_t rounds; /* of a client: what is left; -1: a server */
} end;

typedef struct loop {
  end *ends;
  int64_t count; /* connections; twice as many ends */
  pthread_t thread;
} loop;

static void send_message(int fd, const char *buf, ssize_t n) {
  bench_check(send(fd, buf, (size_t)n, MSG_NOSIGNAL) == n, "could not write");
}

/* Returns whether a client has done all its rounds. */
static bool turn(end *e) {
  char buf[MESSAGE];
  ssize_t n = recv(e->fd, buf, sizeof buf, 0);
  bench_check(n == MESSAGE, "could not read");
  if (e->rounds < 0) {
    send_message(e->fd, buf, n);
    return false;
  }
  if (--e->rounds == 0) {
    return true;
  }
  send_message(e->fd, buf, n);
  return false;
}

static void *run_loop(void *arg) {
  loop *l = arg;
  int ep = epoll_create1(0);
  char buf[MESSAGE] = {0};
  for (int64_t i = 0; i < 2 * l->count; i++) {
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.ptr = &l->ends[i]};
    bench_check(epoll_ctl(ep, EPOLL_CTL_ADD, l->ends[i].fd, &ev) == 0, "could not register");
  }
  for (int64_t i = 0; i < l->count; i++) {
    send_message(l->ends[2 * i].fd, buf, MESSAGE);
  }
  for (int64_t left = l->count; left > 0;) {
    struct epoll_event evs[EVENTS];
    int n = epoll_wait(ep, evs, EVENTS, -1);
    for (int i = 0; i < n; i++) {
      left -= turn(evs[i].data.ptr);
    }
  }
  close(ep);
  return NULL;
}

static void no_delay(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void connect_all(end *ends, int64_t count, int64_t rounds) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof a;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  bench_check(bind(listener, (struct sockaddr *)&a, sizeof a) == 0 && listen(listener, 4096) == 0 &&
                  getsockname(listener, (struct sockaddr *)&a, &len) == 0,
              "could not listen");
  for (int64_t i = 0; i < count; i++) {
    int c = socket(AF_INET, SOCK_STREAM, 0);
    bench_check(connect(c, (struct sockaddr *)&a, sizeof a) == 0, "could not connect");
    int s = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    no_delay(c);
    no_delay(s);
    ends[2 * i] = (end){c, rounds};
    ends[2 * i + 1] = (end){s, -1};
  }
  close(listener);
}

static void echo(int64_t n, int64_t width, bench_result *r) {
  end *ends = calloc((size_t)width * 2, sizeof *ends);
  loop loops[64] = {0};
  int64_t rounds = n / width > 0 ? n / width : 1, at = 0;
  bench_check(ends != NULL && procs <= 64, "no memory");
  connect_all(ends, width, rounds);
  double cpu = bench_cpu_ms();
  int64_t start = now();
  for (int i = 0; i < procs; i++) {
    int64_t count = (width - at) / (procs - i);
    loops[i] = (loop){.ends = ends + 2 * at, .count = count};
    at += count;
    bench_check(pthread_create(&loops[i].thread, NULL, run_loop, &loops[i]) == 0,
                "could not start a thread");
  }
  for (int i = 0; i < procs; i++) {
    pthread_join(loops[i].thread, NULL);
  }
  r->wall = now() - start;
  r->ops = rounds * width;
  bench_add(r, "cpu_ns_per_op", (bench_cpu_ms() - cpu) * 1e6 / (double)r->ops);
  for (int64_t i = 0; i < 2 * width; i++) {
    close(ends[i].fd);
  }
  free(ends);
}

static const bench benches[] = {
    {"echo", 1000000, 64, echo},
    {"echo1k", 1000000, 1000, echo},
};

static void set_procs(int n) { procs = n; }

int main(int argc, char **argv) {
  return bench_main(benches, (int)(sizeof benches / sizeof benches[0]), set_procs, argc, argv);
}
