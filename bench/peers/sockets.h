/* bench/peers/sockets.h: connections for peers that are an event loop on each of several threads. */
#ifndef BENCH_PEERS_SOCKETS_H_
#define BENCH_PEERS_SOCKETS_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/harness.h"

static inline int64_t sockets_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static inline void sockets_no_delay(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* As many descriptors as the process may have. */
static inline void sockets_want_files(void) {
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
  }
}

/* Listens on the local host; *port 0: any, which it is then. */
static inline int sockets_listen(int *port) {
  struct sockaddr_in a = {.sin_family = AF_INET,
                          .sin_port = htons((uint16_t)*port),
                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof a;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  bench_check(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 4096) == 0 &&
                  getsockname(fd, (struct sockaddr *)&a, &len) == 0,
              "could not listen");
  sockets_want_files();
  *port = ntohs(a.sin_port);
  return fd;
}

/* Waits for a connection. */
static inline int sockets_accept(int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  bench_check(fd >= 0, "could not accept");
  sockets_no_delay(fd);
  return fd;
}

/* `count` connections: both ends of the i-th are ends[2 * i], which connected, and ends[2 * i + 1]. */
static inline void sockets_connect_all(int *ends, int64_t count) {
  int port = 0, listener = sockets_listen(&port);
  struct sockaddr_in a = {.sin_family = AF_INET,
                          .sin_port = htons((uint16_t)port),
                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  for (int64_t i = 0; i < count; i++) {
    ends[2 * i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bench_check(connect(ends[2 * i], (struct sockaddr *)&a, sizeof a) == 0, "could not connect");
    sockets_no_delay(ends[2 * i]);
    ends[2 * i + 1] = sockets_accept(listener);
  }
  close(listener);
}

#endif /* BENCH_PEERS_SOCKETS_H_ */
