/* The same echo and HTTP server with libuv: one loop on each of `procs` threads, which have their share of the
 * connections; of echo's, both ends of them. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "bench/harness.h"
#include "bench/http.h"
#include "bench/peers/sockets.h"

enum { MESSAGE = 64, THREADS = 64 };

static int procs = 1;

static void must(int rc, const char *what) { bench_check(rc >= 0, what); }

/* Writes at once, as nearly always is possible; what does not fit is queued. */
static void put(uv_stream_t *s, const char *data, size_t n);

typedef struct pending {
  uv_write_t req;
  char data[];
} pending;

static void written(uv_write_t *req, int status) {
  (void)status;
  free(req);
}

static void put(uv_stream_t *s, const char *data, size_t n) {
  uv_buf_t b = uv_buf_init((char *)(uintptr_t)data, (unsigned)n);
  int done = uv_try_write(s, &b, 1);
  size_t rest = n - (size_t)(done > 0 ? done : 0);
  if (rest == 0 || (done < 0 && done != UV_EAGAIN)) {
    return;
  }
  pending *p = malloc(sizeof *p + rest);
  bench_check(p != NULL, "no memory");
  memcpy(p->data, data + n - rest, rest);
  b = uv_buf_init(p->data, (unsigned)rest);
  must(uv_write(&p->req, s, &b, 1, written), "could not write");
}

/* ---- echo ---- */

typedef struct end {
  uv_tcp_t tcp;   /* first */
  int64_t rounds; /* of a client: what is left; -1: a server */
  size_t have;    /* of the message that comes */
  char buf[MESSAGE];
  struct loop *in;
} end;

typedef struct loop {
  uv_loop_t uv;
  uv_thread_t thread;
  end *ends;
  const int *fds;
  int64_t count; /* connections; twice as many ends */
  int64_t left;  /* clients that have not done all their rounds */
} loop;

static void give_rest(uv_handle_t *h, size_t wanted, uv_buf_t *ret) {
  end *e = (end *)h;
  (void)wanted;
  *ret = uv_buf_init(e->buf + e->have, (unsigned)(MESSAGE - e->have));
}

static void close_ends(loop *l) {
  for (int64_t i = 0; i < 2 * l->count; i++) {
    uv_close((uv_handle_t *)&l->ends[i].tcp, NULL);
  }
}

static void came(uv_stream_t *s, ssize_t n, const uv_buf_t *b) {
  end *e = (end *)s;
  (void)b;
  bench_check(n >= 0, "could not read");
  e->have += (size_t)n;
  if (e->have < MESSAGE) {
    return;
  }
  e->have = 0;
  if (e->rounds >= 0 && --e->rounds == 0) {
    if (--e->in->left == 0) {
      close_ends(e->in);
    }
    return;
  }
  put(s, e->buf, MESSAGE);
}

static void run_loop(void *arg) {
  loop *l = arg;
  static const char message[MESSAGE];
  for (int64_t i = 0; i < 2 * l->count; i++) {
    end *e = &l->ends[i];
    e->in = l;
    must(uv_tcp_init(&l->uv, &e->tcp), "no handle");
    must(uv_tcp_open(&e->tcp, l->fds[i]), "could not open");
    must(uv_read_start((uv_stream_t *)&e->tcp, give_rest, came), "could not read");
  }
  for (int64_t i = 0; i < l->count; i++) {
    put((uv_stream_t *)&l->ends[2 * i].tcp, message, MESSAGE);
  }
  uv_run(&l->uv, UV_RUN_DEFAULT);
  must(uv_loop_close(&l->uv), "a loop is left");
}

static void echo(int64_t n, int64_t width, bench_result *r) {
  static loop loops[THREADS];
  int64_t rounds = n / width > 0 ? n / width : 1, at = 0;
  int *fds = calloc((size_t)width * 2, sizeof *fds);
  end *ends = calloc((size_t)width * 2, sizeof *ends);
  bench_check(fds != NULL && ends != NULL && procs <= THREADS, "no memory");
  sockets_connect_all(fds, width);
  for (int64_t i = 0; i < 2 * width; i++) {
    ends[i].rounds = i % 2 == 0 ? rounds : -1;
  }
  double cpu = bench_cpu_ms();
  int64_t start = sockets_now();
  for (int i = 0; i < procs; i++) {
    loop *l = &loops[i];
    l->count = l->left = (width - at) / (procs - i);
    l->ends = ends + 2 * at;
    l->fds = fds + 2 * at;
    at += l->count;
    must(uv_loop_init(&l->uv), "no loop");
    must(uv_thread_create(&l->thread, run_loop, l), "could not start a thread");
  }
  for (int i = 0; i < procs; i++) {
    uv_thread_join(&loops[i].thread);
  }
  r->wall = sockets_now() - start;
  r->ops = rounds * width;
  bench_add(r, "cpu_ns_per_op", (bench_cpu_ms() - cpu) * 1e6 / (double)r->ops);
  free(ends);
  free(fds);
}

/* ---- httpd ---- */

typedef struct visitor {
  uv_tcp_t tcp; /* first */
  http_input in;
} visitor;

/* Where a thread finds new connections. */
typedef struct door {
  uv_loop_t uv;
  uv_thread_t thread;
  uv_async_t knock;
  uv_mutex_t lock;
  int fds[4096]; /* lock */
  int n;         /* lock */
} door;

static void give_room(uv_handle_t *h, size_t wanted, uv_buf_t *ret) {
  visitor *v = (visitor *)h;
  (void)wanted;
  *ret = uv_buf_init(v->in.buf + v->in.fill, (unsigned)(sizeof v->in.buf - v->in.fill));
}

static void leave(uv_handle_t *h) { free(h); }

static void asked(uv_stream_t *s, ssize_t n, const uv_buf_t *b) {
  visitor *v = (visitor *)s;
  (void)b;
  if (n < 0) {
    uv_close((uv_handle_t *)s, leave);
    return;
  }
  v->in.fill += (size_t)n;
  for (int k = http_take(&v->in); k > 0; k -= HTTP_ANSWERS) {
    put(s, http_answers, (size_t)(k < HTTP_ANSWERS ? k : HTTP_ANSWERS) * HTTP_ANSWER_SIZE);
  }
}

static void admit(uv_async_t *a) {
  door *d = a->data;
  uv_mutex_lock(&d->lock);
  while (d->n > 0) {
    visitor *v = calloc(1, sizeof *v);
    bench_check(v != NULL, "no memory");
    must(uv_tcp_init(&d->uv, &v->tcp), "no handle");
    must(uv_tcp_open(&v->tcp, d->fds[--d->n]), "could not open");
    must(uv_read_start((uv_stream_t *)&v->tcp, give_room, asked), "could not read");
  }
  uv_mutex_unlock(&d->lock);
}

static void serve_all(void *arg) {
  door *d = arg;
  uv_run(&d->uv, UV_RUN_DEFAULT);
}

static void open_door(door *d) {
  must(uv_loop_init(&d->uv), "no loop");
  must(uv_mutex_init(&d->lock), "no lock");
  must(uv_async_init(&d->uv, &d->knock, admit), "no handle");
  d->knock.data = d;
  must(uv_thread_create(&d->thread, serve_all, d), "could not start a thread");
}

/* This thread accepts, and deals the connections out. */
static void httpd(const http_options *o) {
  static door doors[THREADS];
  int port = o->port, listener = sockets_listen(&port);
  bench_check(o->procs >= 1 && o->procs <= THREADS, "so many threads?");
  for (int i = 0; i < o->procs; i++) {
    open_door(&doors[i]);
  }
  http_listening(port);
  for (int i = 0;; i = (i + 1) % o->procs) {
    door *d = &doors[i];
    int fd = sockets_accept(listener);
    uv_mutex_lock(&d->lock);
    bench_check(d->n < 4096, "too many at once");
    d->fds[d->n++] = fd;
    uv_mutex_unlock(&d->lock);
    uv_async_send(&d->knock);
  }
}

static const bench benches[] = {
    {"echo", 1000000, 64, echo},
    {"echo1k", 1000000, 1000, echo},
};

static void set_procs(int n) { procs = n; }

int main(int argc, char **argv) {
  http_options o;
  if (http_asked(argc, argv, "httpd", &o)) {
    httpd(&o);
  }
  return bench_main(benches, (int)(sizeof benches / sizeof benches[0]), set_procs, argc, argv);
}
