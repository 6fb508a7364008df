/* debug/serve.c: a running program tells who asks: HTTP on a Unix socket, and on loopback if wanted.
 *
 * One thread of our own does it, with plain sockets: what is served shall be seen just when no goroutine gets to run,
 * and looking at the scheduler shall not be work for it. The thread is not known to golib (it has no M), and may call only
 * what needs none. For the deadlock check it counts as asleep, as it wakes nobody; see docs/design/0010.
 *
 * Connections are an array; each is in one state, and all that it holds is bounded:
 *
 *   FREE -> READING -> WRITING -> READING ...
 *                   -> TRACING -> WRITING ...   one at a time: server->tracer
 *                      WRITING -> DRAINING      when it is to be closed: what comes still is thrown away, or the
 *                                               system would reset the connection, and the answer be lost
 *
 * `until` is when it has to be in the next state; TRACING's is when the trace ends.
 *
 * OFF -> BUSY -> ON -> BUSY -> OFF is the state of the whole; who makes it BUSY owns all that is not the thread's.
 */
#include <errno.h>
#include <golib/block.h>
#include <golib/context.h>
#include <golib/debug.h>
#include <golib/file.h>
#include <stdlib.h>
#include <string.h>

#include "core/sched.h"
#include "core/serve.h"
#include "debug/http.h"
#include "debug/view.h"

#define CONNS 16 /* of each kind: nobody on TCP can keep the owner out */
#define IDLE_MAX (60 * GO_SEC)
#define HEAD_TIME (10 * GO_SEC)
#define WRITE_TIME (10 * GO_SEC) /* without progress */
#define DRAIN_TIME GO_SEC
#define ACCEPT_PAUSE (100 * GO_MS) /* when there are no descriptors */
#define TRACE_LOOK (50 * GO_MS)
#define TRACE_MAX ((int64_t)256 << 20) /* bytes: it may be memory */
#define CHUNK ((size_t)1 << 16)

enum kind { UNIX, TCP };
enum conn_state { FREE, READING, TRACING, WRITING, DRAINING };

typedef struct conn {
  enum conn_state state;
  enum kind kind;
  intptr_t fd;
  int64_t until;
  bool keep;
  size_t nin;
  go_text_ out;
  size_t sent;
  intptr_t file; /* -1: none; its contents come behind `out` */
  int64_t file_at, file_size;
  char in[GO_HTTP_HEAD_MAX_];
} conn;

typedef struct server {
  intptr_t wake; /* readable: look at quit */
  intptr_t listeners[2];
  int64_t accept_at;
  conn *tracer;
  conn conns[2 * CONNS]; /* CONNS of each kind */
} server;

enum { OFF, BUSY, ON };

static struct {
  go_a32 state;
  go_a32 quit;
  go_os_thread_ thread;
  server *s;
  intptr_t wake; /* the other end of s->wake */
  char path[256];
  go_os_file_id_ id;
  go_ctx *ctx; /* a reference */
  go_ctx_stop stop;
} serving = {.path = ""};

/* ---- connections ---- */

static void end_trace(server *s) {
  if (s->tracer != NULL) {
    go_trace_stop();
    s->tracer = NULL;
  }
}

static void drop(server *s, conn *c) {
  if (s->tracer == c) {
    end_trace(s);
  }
  go_os_fd_close_(c->fd);
  if (c->file >= 0) {
    (void)go_os_file_close_(c->file);
  }
  go_text_free_(&c->out);
  c->state = FREE;
}

static void to_reading(conn *c, int64_t now) {
  c->state = READING;
  c->until = now + (c->nin > 0 ? HEAD_TIME : IDLE_MAX);
}

static void to_draining(conn *c, int64_t now) {
  go_os_end_send_(c->fd);
  c->state = DRAINING;
  c->until = now + DRAIN_TIME;
}

static conn *first_of(server *s, enum kind kind) { return &s->conns[kind == UNIX ? 0 : CONNS]; }

/* A free one, or the one that has waited longest for its next request, or NULL. */
static conn *room(server *s, enum kind kind) {
  conn *first = first_of(s, kind), *oldest = NULL;
  for (conn *c = first; c < first + CONNS; c++) {
    if (c->state == FREE) {
      return c;
    }
    if (c->state == READING && c->nin == 0 && (oldest == NULL || c->until < oldest->until)) {
      oldest = c;
    }
  }
  return oldest;
}

static void take(server *s, enum kind kind, int64_t now) {
  intptr_t fd;
  conn *c = room(s, kind);
  if (c == NULL) {
    return;
  }
  int r = go_os_accept_(s->listeners[kind], kind == UNIX, &fd);
  if (r != 0) {
    s->accept_at = r == -EAGAIN || r == -EACCES ? 0 : now + ACCEPT_PAUSE;
    return;
  }
  if (c->state != FREE) {
    drop(s, c);
  }
  c->kind = kind;
  c->fd = fd;
  c->nin = 0;
  c->sent = 0;
  c->file = -1;
  to_reading(c, now);
}

/* ---- answers ---- */

/* The lines before a body of that size. */
static void put_head(go_text_ *t, const conn *c, int status, const char *type, int64_t size) {
  go_text_str_(t, "HTTP/1.1 ");
  go_text_i64_(t, status);
  go_text_str_(t, " ");
  go_text_str_(t, go_http_reason_(status));
  go_text_str_(t, "\r\nContent-Type: ");
  go_text_str_(t, type);
  go_text_str_(t, "\r\nContent-Length: ");
  go_text_i64_(t, size);
  go_text_str_(t,
               "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
               "Referrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n"
               "Content-Security-Policy: default-src 'none'; script-src 'unsafe-inline'; "
               "style-src 'unsafe-inline'; img-src data:; connect-src 'self'; base-uri 'none'; "
               "form-action 'none'; frame-ancestors 'none'\r\n");
  go_text_str_(t, status == 405 ? "Allow: GET, HEAD\r\n" : "");
  go_text_str_(t, c->keep ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n");
}

static void answer(conn *c, int status, const char *type, const go_text_ *body, bool head,
                   int64_t now) {
  put_head(&c->out, c, status, type, (int64_t)body->n);
  if (!head) {
    go_text_add_(&c->out, body->s, body->n);
  }
  c->sent = 0;
  c->state = WRITING;
  c->until = now + WRITE_TIME;
}

static void complain(conn *c, int status, bool head, int64_t now) {
  go_text_ t = {.s = NULL};
  go_text_str_(&t, go_http_reason_(status));
  go_text_str_(&t, "\n");
  answer(c, status, "text/plain; charset=utf-8", &t, head, now);
  go_text_free_(&t);
}

static void begin_trace(server *s, conn *c, const go_http_ *q, int64_t now) {
  static const go_text_ nothing = {.s = NULL};
  int64_t ms = 1000;
  if (!go_http_number_(q->query, "seconds", 10, 60000, &ms)) {
    complain(c, 400, q->head, now);
    return;
  }
  if (q->head) {
    answer(c, 200, "application/json", &nothing, true, now);
    return;
  }
  int r = s->tracer != NULL ? GO_EBUSY
          : go_ld_acq(&GO_S->running) == 0
              ? GO_EAGAIN /* it is being started: see go_serve_begin_ */
              : go_os_temp_file_(&c->file);
  if (r == 0) {
    r = go_trace_start((int)c->file);
  }
  if (r != 0) {
    if (c->file >= 0) {
      (void)go_os_file_close_(c->file);
      c->file = -1;
    }
    complain(c, r == GO_EBUSY ? 409 : 503, false, now);
    return;
  }
  s->tracer = c;
  c->state = TRACING;
  c->until = now + ms * GO_MS;
}

static void send_trace(server *s, conn *c, int64_t now) {
  end_trace(s);
  int64_t size = go_os_file_size_(c->file);
  if (size < 0) {
    drop(s, c);
    return;
  }
  put_head(&c->out, c, 200, "application/json", size);
  c->file_at = 0;
  c->file_size = size;
  c->sent = 0;
  c->state = WRITING;
  c->until = now + WRITE_TIME;
}

static void put_page(go_text_ *t) {
  for (const char *const *line = go_view_page_; *line != NULL; line++) {
    go_text_str_(t, *line);
    go_text_str_(t, "\n");
  }
}

/* A status of HTTP. */
static int show(go_text_ *t, const go_http_ *q, const char **type) {
  int64_t limit = 100000, leaks = 0; /* thousandths */
  *type = "application/json";
  if (strcmp(q->path, "/") == 0) {
    *type = "text/html; charset=utf-8";
    put_page(t);
  } else if (strcmp(q->path, "/stats.json") == 0) {
    go_view_stats_(t);
  } else if (strcmp(q->path, "/goroutines.json") == 0) {
    if (!go_http_number_(q->query, "limit", 0, 100000000, &limit) ||
        !go_http_number_(q->query, "leaks", 0, 1000, &leaks)) {
      return 400;
    }
    go_view_goroutines_(t, limit / 1000, leaks == 1000);
  } else if (strcmp(q->path, "/goroutines.txt") == 0) {
    *type = "text/plain; charset=utf-8";
    go_view_dump_(t);
  } else {
    return 404;
  }
  return t->failed ? 503 : 200;
}

/* A page of another site, to which its own name server gives our address, has that site's name in Host. */
static bool may_ask(const conn *c, const go_http_ *q) {
  go_http_addr_ host;
  return c->kind == UNIX || (!q->foreign && go_http_loopback_(q->host, &host));
}

static void respond(server *s, conn *c, const go_http_ *q, int64_t now) {
  c->keep = q->keep;
  if (!may_ask(c, q)) {
    c->keep = false;
    complain(c, 403, q->head, now);
    return;
  }
  if (strcmp(q->path, "/trace") == 0) {
    begin_trace(s, c, q, now);
    return;
  }
  go_text_ t = {.s = NULL};
  const char *type;
  int status = show(&t, q, &type);
  if (status == 200) {
    answer(c, 200, type, &t, q->head, now);
  } else {
    complain(c, status, q->head, now);
  }
  go_text_free_(&t);
}

/* ---- steps ---- */

/* Answers the first request in c->in, if it is complete. */
static void try_request(server *s, conn *c, int64_t now) {
  go_http_ q;
  size_t used;
  int status = go_http_parse_(c->in, c->nin, &q, &used);
  if (status == GO_HTTP_MORE_) {
    return;
  }
  if (status != GO_HTTP_OK_) {
    c->keep = false;
    c->nin = 0;
    complain(c, status, false, now);
    return;
  }
  respond(s, c, &q, now);
  c->nin -= used;
  memmove(c->in, c->in + used, c->nin);
}

/* What has come; false: it is over. */
static bool receive(conn *c) {
  if (c->state == DRAINING) {
    c->nin = 0;
  }
  if (c->nin == sizeof c->in) { /* nothing was waited for but a hang-up */
    return false;
  }
  ptrdiff_t n = go_os_recv_(c->fd, c->in + c->nin, sizeof c->in - c->nin);
  c->nin += n > 0 ? (size_t)n : 0;
  return n > 0 || n == -EAGAIN;
}

static void step_read(server *s, conn *c, int64_t now) {
  bool first = c->nin == 0;
  if (!receive(c)) {
    drop(s, c);
    return;
  }
  if (c->state == READING && c->nin > 0) {
    c->until = first ? now + HEAD_TIME : c->until;
    try_request(s, c, now);
  }
}

/* Puts the file's next part into c->out, which has been sent. */
static bool refill(conn *c) {
  c->out.n = 0;
  c->sent = 0;
  if (c->file < 0 || c->file_at == c->file_size) {
    return true;
  }
  int64_t left = c->file_size - c->file_at;
  char *to = go_text_room_(&c->out, CHUNK);
  ptrdiff_t n =
      to == NULL
          ? -1
          : go_os_file_read_(c->file, to, left < (int64_t)CHUNK ? (size_t)left : CHUNK, c->file_at);
  if (n <= 0) {
    return false; /* the length was promised */
  }
  c->out.n = (size_t)n;
  c->file_at += n;
  return true;
}

static void written(server *s, conn *c, int64_t now) {
  go_text_free_(&c->out);
  if (c->file >= 0) {
    (void)go_os_file_close_(c->file);
    c->file = -1;
  }
  if (!c->keep) {
    to_draining(c, now);
    return;
  }
  to_reading(c, now);
  if (c->nin > 0) {
    try_request(s, c, now);
  }
}

static void step_write(server *s, conn *c, int64_t now) {
  if (c->out.failed) {
    drop(s, c);
    return;
  }
  if (c->sent == c->out.n && !refill(c)) {
    drop(s, c);
    return;
  }
  if (c->sent == c->out.n) {
    written(s, c, now);
    return;
  }
  ptrdiff_t n = go_os_send_(c->fd, c->out.s + c->sent, c->out.n - c->sent);
  if (n > 0) {
    c->sent += (size_t)n;
    c->until = now + WRITE_TIME;
  } else if (n != -EAGAIN) {
    drop(s, c);
  }
}

/* Its time is up. */
static void step_late(server *s, conn *c, int64_t now) {
  if (c->state == TRACING) {
    send_trace(s, c, now);
  } else {
    drop(s, c);
  }
}

static void step(server *s, conn *c, int ready, int64_t now) {
  if (c->state == TRACING && go_os_file_size_(c->file) >= TRACE_MAX) {
    c->until = now;
  }
  if (c->until <= now) {
    step_late(s, c, now);
  } else if (c->state == WRITING && (ready & GO_FD_WRITE)) {
    step_write(s, c, now);
  } else if (c->state != WRITING && (ready & GO_FD_READ)) {
    step_read(s, c, now);
  }
}

/* ---- the thread ---- */

static int events_of(const conn *c) {
  return c->state == WRITING      ? GO_FD_WRITE
         : c->nin == sizeof c->in ? 0 /* it waits for its trace */
                                  : GO_FD_READ;
}

/* Waits for something to do, which it stores in the numbers of listeners and connections. */
static void wait_for_work(server *s, int64_t now, int ready[2], int conn_ready[2 * CONNS]) {
  go_os_poll_ fds[3 + 2 * CONNS];
  int *to[3 + 2 * CONNS], n = 0, woken = 0;
  int64_t until = s->accept_at > now ? s->accept_at : GO_FOREVER;
  fds[n] = (go_os_poll_){s->wake, GO_FD_READ, 0};
  to[n++] = &woken;
  for (int i = 0; i < 2; i++) {
    ready[i] = 0;
    if (s->listeners[i] >= 0 && s->accept_at <= now && room(s, (enum kind)i) != NULL) {
      fds[n] = (go_os_poll_){s->listeners[i], GO_FD_READ, 0};
      to[n++] = &ready[i];
    }
  }
  for (int i = 0; i < 2 * CONNS; i++) {
    const conn *c = &s->conns[i];
    conn_ready[i] = 0;
    if (c->state != FREE) {
      fds[n] = (go_os_poll_){c->fd, events_of(c), 0};
      to[n++] = &conn_ready[i];
      int64_t look =
          c->state == TRACING && c->until > now + TRACE_LOOK ? now + TRACE_LOOK : c->until;
      until = look < until ? look : until;
    }
  }
  go_os_poll_wait_(fds, n, until == GO_FOREVER ? -1 : until > now ? until - now : 0);
  for (int i = 0; i < n; i++) {
    *to[i] = fds[i].ready;
  }
}

static void close_all(server *s) {
  for (int i = 0; i < 2 * CONNS; i++) {
    if (s->conns[i].state != FREE) {
      drop(s, &s->conns[i]);
    }
  }
  go_view_fini_();
}

static void serve_main(void *arg) {
  server *s = arg;
  int ready[2], conn_ready[2 * CONNS];
  go_os_thread_name_("golib-debug");
  while (go_ld_acq(&serving.quit) == 0) { /* pairs with shut */
    wait_for_work(s, go_os_now_(), ready, conn_ready);
    int64_t now = go_os_now_();
    for (int i = 0; i < 2 * CONNS && go_ld_acq(&serving.quit) == 0; i++) {
      if (s->conns[i].state != FREE) {
        step(s, &s->conns[i], conn_ready[i], now);
      }
    }
    for (int i = 0; i < 2; i++) {
      if (ready[i] != 0) {
        take(s, (enum kind)i, now);
      }
    }
  }
  close_all(s);
}

/* ---- beginning and end; state BUSY ---- */

/* The program ends without go_shutdown: what is left is the socket's file. */
static void at_end(void) {
  if (go_ld_acq(&serving.state) == ON && !go_forked_() && serving.path[0] != '\0') {
    go_os_serve_end_(serving.path, &serving.id);
  }
}

static void close_listeners(server *s) {
  if (s->listeners[UNIX] >= 0) {
    go_os_serve_end_(serving.path, &serving.id);
  }
  for (int i = 0; i < 2; i++) {
    if (s->listeners[i] >= 0) {
      go_os_fd_close_(s->listeners[i]);
    }
  }
}

static int open_unix(server *s, const char *path) {
  if (path == NULL) {
    return 0;
  }
  size_t n = strlen(path);
  if (n == 0) {
    return GO_EINVAL;
  }
  if (n >= sizeof serving.path) {
    return -ENAMETOOLONG;
  }
  memcpy(serving.path, path, n + 1);
  int r = go_os_serve_unix_(path, &s->listeners[UNIX], &serving.id);
  if (r != 0) {
    serving.path[0] = '\0';
  }
  return r;
}

static int open_tcp(server *s, const char *http, uint16_t *ret_port) {
  go_http_addr_ a;
  if (http == NULL) {
    return 0;
  }
  if (!go_http_loopback_(http, &a) || !a.has_port) {
    return GO_EINVAL;
  }
  *ret_port = a.port;
  return go_os_serve_tcp_(a.family, a.ip, ret_port, &s->listeners[TCP]);
}

static int start_thread(server *s) {
  intptr_t pair[2];
  int r = go_os_pair_(pair);
  if (r != 0) {
    return r;
  }
  s->wake = pair[0];
  serving.wake = pair[1];
  go_st_rel(&serving.quit, 0u);
  r = go_os_thread_start_(&serving.thread, serve_main, s);
  if (r != 0) {
    go_os_fd_close_(pair[0]);
    go_os_fd_close_(pair[1]);
    return r;
  }
  /* It wakes nobody: see the deadlock check. Never counted without a thread: it would stand for one that is awake. */
  (void)go_add_sc(&GO_S->npool_idle, 1u);
  return 0;
}

static int open_all(server *s, const char *path, const go_debug_opts *o) {
  uint16_t port = 0;
  int r = open_tcp(s, o->http, &port);
  if (r == 0) {
    r = open_unix(s, path);
  }
  if (r == 0) {
    r = start_thread(s);
  }
  if (r != 0) {
    close_listeners(s);
    serving.path[0] = '\0';
  } else if (o->ret_port != NULL) {
    *o->ret_port = port;
  }
  return r;
}

/* Only once: there is no way to undo it. */
static int watch_end(void) {
  static bool watched; /* under BUSY */
  watched = watched || atexit(at_end) == 0;
  return watched ? 0 : GO_ENOMEM;
}

static int begin(const char *path, const go_debug_opts *o) {
  int r = watch_end();
  server *s = r == 0 ? calloc(1, sizeof *s) : NULL;
  if (s == NULL) {
    return GO_ENOMEM;
  }
  s->listeners[UNIX] = s->listeners[TCP] = -1;
  r = open_all(s, path, o);
  if (r != 0) {
    free(s);
    return r;
  }
  serving.s = s;
  return 0;
}

static void shut(void) {
  server *s = serving.s;
  go_st_rel(&serving.quit, 1u); /* before the byte */
  (void)go_os_send_(serving.wake, "", 1);
  (void)go_sub_sc(&GO_S->npool_idle, 1u);
  go_os_thread_join_(&serving.thread);
  close_listeners(s);
  serving.path[0] = '\0';
  go_os_fd_close_(s->wake);
  go_os_fd_close_(serving.wake);
  free(s);
  serving.s = NULL;
}

/* Waits while somebody else owns it: until a thread has been started or joined. False: it is not `from` then. */
static bool own(uint32_t from) {
  for (;;) {
    uint32_t is = from;
    if (go_cas_ar(&serving.state, &is, (uint32_t)BUSY)) { /* pairs with let_go */
      return true;
    }
    if (is != BUSY) {
      return false;
    }
    go_os_yield_();
  }
}

static void let_go(uint32_t to) { go_st_rel(&serving.state, to); }

static void end(void *arg) {
  (void)arg;
  shut();
  if (serving.ctx != NULL) {
    (void)go_ctx_after_stop(&serving.stop);
    go_ctx_unref(serving.ctx);
    serving.ctx = NULL;
  }
}

void go_serve_end_(void) {
  if (!go_forked_() && own(ON)) {
    end(NULL);
    let_go(OFF);
  }
}

void go_debug_close(void) {
  if (!go_forked_() && own(ON)) {
    go_blocking(end, NULL);
    let_go(OFF);
  }
}

/* The context that was given with it is done; by now it may be off, or on with another. */
static void on_done(void *arg) {
  if (own(ON)) {
    bool mine = serving.ctx == arg;
    if (mine) {
      go_blocking(end, NULL);
    }
    let_go(mine ? OFF : ON);
  }
}

static int watch_context(go_ctx *ctx) {
  serving.ctx = NULL;
  if (ctx == NULL) {
    return 0;
  }
  serving.stop = (go_ctx_stop){NULL};
  int r = go_ctx_after(ctx, on_done, ctx, &serving.stop);
  serving.ctx = r == 0 ? go_ctx_ref(ctx) : NULL;
  return r;
}

int go_debug_listen(go_ctx *ctx, const char *path, const go_debug_opts *o) {
  static const go_debug_opts none;
  o = o != NULL ? o : &none;
  if (path == NULL && o->http == NULL) {
    return GO_EINVAL;
  }
  int r = go_start_();
  if (r == 0) {
    r = go_ctx_err(ctx);
  }
  if (r != 0) {
    return r;
  }
  if (!own(OFF)) {
    return GO_EBUSY;
  }
  r = begin(path, o);
  if (r == 0) {
    r = watch_context(ctx);
    if (r != 0) {
      shut();
    }
  }
  let_go(r == 0 ? ON : OFF);
  return r;
}

/* ---- GOLIB_DEBUG=listen=PATH ---- */

/* "%p": the process's number, "%%": "%". False: it does not fit. */
static bool expand(const char *path, char *out, size_t size) {
  go_text_ t = {.s = NULL};
  char name[2];
  for (const char *p = path; *p != '\0'; p++) {
    if (*p == '%' && p[1] == 'p') {
      go_text_i64_(&t, go_os_process_(name, sizeof name));
      p++;
    } else {
      go_text_add_(&t, p, 1);
      p += *p == '%' && p[1] == '%';
    }
  }
  go_text_add_(&t, "", 1);
  bool fits = !t.failed && t.n <= size;
  if (fits) {
    memcpy(out, t.s, t.n);
  }
  go_text_free_(&t);
  return fits;
}

int go_serve_begin_(const char *path) {
  static const go_debug_opts none;
  char real[sizeof serving.path];
  if (!expand(path, real, sizeof real)) {
    return -ENAMETOOLONG;
  }
  if (!own(OFF)) {
    return GO_EBUSY;
  }
  int r = begin(real, &none);
  serving.ctx = NULL;
  let_go(r == 0 ? ON : OFF);
  return r;
}
