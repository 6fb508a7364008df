/* The least that the same echo, or HTTP server, costs: a loop of epoll_wait, read and write, without goroutines, buffers
 * or errors. Each of `procs` threads has its share of the connections; of echo's, both ends of them, or, in echo_apart, of half
 * of them one end: as it comes when nobody deals them out, and messages go from one processor to another. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "bench/harness.h"
#include "bench/http.h"
#include "bench/peers/sockets.h"

enum { MESSAGE = 64, BUFFER = 4096, EVENTS = 128, THREADS = 64 };

static int procs = 1;

/* ---- echo ---- */

/* One end of a connection. */
typedef struct end {
  int fd;
  int64_t rounds; /* of a client: what is left; -1: a server */
} end;

typedef struct loop {
  end *ends;
  int64_t count; /* of ends */
  pthread_t thread;
} loop;

static void send_message(int fd, const char *buf, ssize_t n) {
  bench_check(send(fd, buf, (size_t)n, MSG_NOSIGNAL) == n, "could not write");
}

/* Returns whether it is the end of this end: a client has done all its rounds, and tells its server. */
static bool turn(end *e) {
  char buf[BUFFER];
  ssize_t n = recv(e->fd, buf, sizeof buf, 0);
  if (n == 0 && e->rounds < 0) {
    return true;
  }
  bench_check(n == MESSAGE, "could not read");
  if (e->rounds > 0 && --e->rounds == 0) {
    shutdown(e->fd, SHUT_WR);
    return true;
  }
  send_message(e->fd, buf, n);
  return false;
}

static void add(int ep, int fd, void *who) {
  struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.ptr = who};
  bench_check(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == 0, "could not register");
}

static void *run_loop(void *arg) {
  loop *l = arg;
  int ep = epoll_create1(0);
  char buf[MESSAGE] = {0};
  for (int64_t i = 0; i < l->count; i++) {
    add(ep, l->ends[i].fd, &l->ends[i]);
  }
  for (int64_t i = 0; i < l->count; i++) {
    if (l->ends[i].rounds > 0) {
      send_message(l->ends[i].fd, buf, MESSAGE);
    }
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

static end *connect_all(int64_t count, int64_t rounds) {
  int *fds = calloc((size_t)count * 2, sizeof *fds);
  end *ends = calloc((size_t)count * 2, sizeof *ends);
  bench_check(fds != NULL && ends != NULL, "no memory");
  sockets_connect_all(fds, count);
  for (int64_t i = 0; i < 2 * count; i++) {
    ends[i] = (end){fds[i], i % 2 == 0 ? rounds : -1};
  }
  free(fds);
  return ends;
}

/* Of every other connection, the server's end goes to where that of a connection far away was. */
static void part(end *ends, int64_t width) {
  int64_t far = width / procs / 2 * 2; /* connections of one thread, about */
  for (int64_t i = 0; i + far < width; i += 2) {
    end *a = &ends[2 * i + 1], *b = &ends[2 * (i + far) + 1], was = *a;
    *a = *b;
    *b = was;
  }
}

static void run_all(int64_t n, int64_t width, bool apart, bench_result *r) {
  loop loops[THREADS] = {0};
  int64_t rounds = n / width > 0 ? n / width : 1, at = 0;
  end *ends = connect_all(width, rounds);
  if (apart) {
    part(ends, width);
  }
  double cpu = bench_cpu_ms();
  int64_t start = sockets_now();
  for (int i = 0; i < procs; i++) {
    int64_t count = (width - at) / (procs - i);
    loops[i] = (loop){.ends = ends + 2 * at, .count = 2 * count};
    at += count;
    bench_check(pthread_create(&loops[i].thread, NULL, run_loop, &loops[i]) == 0,
                "could not start a thread");
  }
  for (int i = 0; i < procs; i++) {
    pthread_join(loops[i].thread, NULL);
  }
  r->wall = sockets_now() - start;
  r->ops = rounds * width;
  bench_add(r, "cpu_ns_per_op", (bench_cpu_ms() - cpu) * 1e6 / (double)r->ops);
  for (int64_t i = 0; i < 2 * width; i++) {
    close(ends[i].fd);
  }
  free(ends);
}

static void echo(int64_t n, int64_t width, bench_result *r) { run_all(n, width, false, r); }
static void echo_apart(int64_t n, int64_t width, bench_result *r) { run_all(n, width, true, r); }

/* ---- httpd ---- */

typedef struct visitor {
  int fd;
  http_input in;
} visitor;

/* Until there is nothing left, as edges want; a read that is not filled was the last. */
static bool serve(visitor *v) {
  for (bool more = true; more;) {
    size_t room = sizeof v->in.buf - v->in.fill;
    ssize_t n = recv(v->fd, v->in.buf + v->in.fill, room, 0);
    if (n < 0 && errno == EAGAIN) {
      return true;
    }
    if (n <= 0) {
      return false;
    }
    more = (size_t)n == room;
    v->in.fill += (size_t)n;
    for (int k = http_take(&v->in); k > 0; k -= HTTP_ANSWERS) {
      size_t size = (size_t)(k < HTTP_ANSWERS ? k : HTTP_ANSWERS) * HTTP_ANSWER_SIZE;
      if (send(v->fd, http_answers, size, MSG_NOSIGNAL) != (ssize_t)size) {
        return false;
      }
    }
  }
  return true;
}

static void *serve_all(void *arg) {
  int ep = *(int *)arg;
  for (;;) {
    struct epoll_event evs[EVENTS];
    int n = epoll_wait(ep, evs, EVENTS, -1);
    for (int i = 0; i < n; i++) {
      visitor *v = evs[i].data.ptr;
      if (!serve(v)) {
        close(v->fd);
        free(v);
      }
    }
  }
  return NULL;
}

/* This thread accepts, and deals the connections out. */
static void httpd(const http_options *o) {
  static int eps[THREADS];
  int port = o->port, listener = sockets_listen(&port);
  bench_check(o->procs >= 1 && o->procs <= THREADS, "so many threads?");
  for (int i = 0; i < o->procs; i++) {
    pthread_t thread;
    eps[i] = epoll_create1(0);
    bench_check(pthread_create(&thread, NULL, serve_all, &eps[i]) == 0, "could not start a thread");
  }
  http_listening(port);
  for (int i = 0;; i = (i + 1) % o->procs) {
    visitor *v = calloc(1, sizeof *v);
    bench_check(v != NULL, "no memory");
    v->fd = sockets_accept(listener);
    add(eps[i], v->fd, v);
  }
}

static const bench benches[] = {
    {"echo", 1000000, 64, echo},
    {"echo1k", 1000000, 1000, echo},
    {"echo_apart", 1000000, 64, echo_apart},
    {"echo1k_apart", 1000000, 1000, echo_apart},
};

static void set_procs(int n) { procs = n; }

int main(int argc, char **argv) {
  http_options o;
  if (http_asked(argc, argv, "httpd", &o)) {
    httpd(&o);
  }
  return bench_main(benches, (int)(sizeof benches / sizeof benches[0]), set_procs, argc, argv);
}
