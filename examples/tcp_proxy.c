/* tcp_proxy: hands connections on to another address.
 *
 *   tcp_proxy 127.0.0.1:8080 www.example.org:80
 *
 * What one side sends the other gets, in both directions at once. When one side ends its direction (a half-close), that end
 * is passed on and the other direction goes on. When something fails, both sides get a reset, so that nobody takes
 * half of a stream for all of it. SIGTERM or SIGINT: no new connections; the present ones have some time to end by
 * themselves, until a second signal. */
#include <getopt.h>
#include <golib/golib.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: tcp_proxy [OPTION]... LISTEN TARGET\n"
    "LISTEN and TARGET are host:port, [ipv6]:port, or the path of a Unix socket (with a slash in "
    "it); LISTEN also\n"
    ":port, for all interfaces. Port 0: a free one, which is printed.\n"
    "  -m, --max N                 connections at a time; more wait to be accepted (1000)\n"
    "  -d, --dial-timeout SECONDS  how long connecting to TARGET may take (10)\n"
    "  -i, --idle SECONDS          ends connections on which nothing moves for so long (0: never, "
    "the default)\n"
    "  -g, --grace SECONDS         how long connections may go on after a SIGTERM (10)\n"
    "  -v, --verbose               says on standard error what becomes of each connection\n"
    "  -h, --help                  print this\n";

static struct {
  const char *target;
  long max;
  go_nsec dial_timeout, idle, grace;
  bool verbose;
} config = {.max = 1000, .dial_timeout = 10 * GO_SEC, .grace = 10 * GO_SEC};

static const char *network_of(const char *addr) {
  return strchr(addr, '/') != NULL ? "unix" : "tcp";
}

static int complain(const char *what, int code) {
  fprintf(stderr, "tcp_proxy: %s: %s\n", what, go_strerror(code));
  return 1;
}

/* ---- one connection ---- */

#define CHUNK ((size_t)64 * 1024)

typedef struct relay {
  go_conn *client, *target;
  _Atomic go_nsec moved; /* when bytes came last, in either direction */
  uint64_t up, down;     /* bytes to the target, and from it */
  int up_error, down_error;
} relay;

/* Waits for bytes; silence ends it (GO_ETIMEDOUT) only when the other direction is silent as well. */
static ptrdiff_t read_some(go_ctx *ctx, relay *r, go_conn *from, char *buf) {
  for (;;) {
    if (config.idle > 0)
      (void)go_conn_set_read_deadline(from, atomic_load(&r->moved) + config.idle);
    ptrdiff_t n = go_read(ctx, from, buf, CHUNK);
    if (config.idle > 0 && n == GO_ETIMEDOUT && atomic_load(&r->moved) + config.idle > go_now()) {
      continue;
    }
    if (n > 0) atomic_store(&r->moved, go_now());
    return n;
  }
}

/* Writes all n bytes. A reader that takes some of them from time to time may be as slow as it likes. */
static int write_all(go_ctx *ctx, relay *r, go_conn *to, char *buf, size_t n) {
  go_iovec rest = {buf, n}; /* go_writev leaves in it what was not written */
  for (;;) {
    size_t before = rest.len;
    if (config.idle > 0) (void)go_conn_set_write_deadline(to, go_now() + config.idle);
    ptrdiff_t e = go_writev(ctx, to, &rest, 1);
    if (rest.len < before) atomic_store(&r->moved, go_now());
    if (e >= 0) return 0;
    if (config.idle == 0 || e != GO_ETIMEDOUT || rest.len == before) return (int)e;
  }
}

/* One direction, until it ends: 0; or fails: a code. */
static int copy(go_ctx *ctx, relay *r, go_conn *from, go_conn *to, uint64_t *count) {
  char *buf = malloc(CHUNK);
  if (buf == NULL) return GO_ENOMEM;
  int e = 0;
  ptrdiff_t n;
  while (e == 0 && (n = read_some(ctx, r, from, buf)) != 0) {
    e = n < 0 ? (int)n : write_all(ctx, r, to, buf, (size_t)n);
    if (e == 0) *count += (uint64_t)n;
  }
  free(buf);
  return e != 0 ? e : go_conn_shutdown(to, GO_SHUT_WR);
}

/* Both sides get a reset; whoever waits for them in this program wakes up. */
static void break_off(relay *r) {
  (void)go_conn_set_linger(r->client, 0);
  (void)go_conn_set_linger(r->target, 0);
  (void)go_conn_close(r->client);
  (void)go_conn_close(r->target);
}

GO_FUNC(copy_down, (go_ctx *, ctx), (relay *, r)) {
  r->down_error = copy(ctx, r, r->target, r->client, &r->down);
  if (r->down_error != 0) break_off(r);
}

static void copy_up(go_ctx *ctx, relay *r) {
  r->up_error = copy(ctx, r, r->client, r->target, &r->up);
  if (r->up_error != 0) break_off(r);
}

/* The error that came first: the other direction was woken by break_off. */
static int error_of(const relay *r) {
  return r->up_error == 0 || r->up_error == GO_ECLOSED ? r->down_error : r->up_error;
}

static int relay_both(go_ctx *ctx, relay *r) {
  go_wg down = {0};
  int e = GO_WG(&down, copy_down, ctx, r);
  if (e != 0) {
    break_off(r);
    return e;
  }
  copy_up(ctx, r);
  go_wg_wait(&down);
  return error_of(r);
}

static int dial_target(go_ctx *ctx, go_conn **ret) {
  go_ctx *limited = go_ctx_with_timeout(ctx, config.dial_timeout);
  if (limited == NULL) return GO_ENOMEM;
  int e = go_dial(limited, network_of(config.target), config.target, ret);
  go_ctx_unref(limited);
  return e;
}

static void report(go_conn *client, const relay *r, int e) {
  go_addr who;
  if (!config.verbose) return;
  bool known = go_conn_remote(client, &who) == 0 && go_addr_str(&who)[0] != '\0';
  fprintf(stderr, "tcp_proxy: %s: %llu bytes up, %llu down: %s\n",
          known ? go_addr_str(&who) : "a client", (unsigned long long)r->up,
          (unsigned long long)r->down, e == 0 ? "done" : go_strerror(e));
}

static void serve(go_ctx *ctx, go_conn *client) {
  relay r = {.client = client};
  int e = dial_target(ctx, &r.target);
  if (e != 0) {
    (void)complain(config.target, e);
    (void)go_conn_set_linger(client, 0); /* a reset: there is no such service */
    return;
  }
  atomic_store(&r.moved, go_now());
  e = relay_both(ctx, &r);
  report(client, &r, e);
  go_conn_unref(r.target);
}

/* ---- all connections ---- */

typedef struct proxy {
  go_ctx *soft; /* ends accepting */
  go_ctx *hard; /* ends connections */
  go_listener *listener;
  go_sem slots;
  go_wg clients;
} proxy;

GO_FUNC(client, (proxy *, p), (go_conn *, c)) {
  serve(p->hard, c);
  go_conn_unref(c);
  go_sem_release(&p->slots, 1);
}

/* Until it is told to stop (GO_ECANCELED). A slot comes first: who is not accepted waits in the listener's queue, and
 * the rest of the world with its SYNs. */
static int accept_all(proxy *p) {
  for (;;) {
    go_conn *c;
    int e = go_sem_acquire(p->soft, &p->slots, 1);
    if (e != 0) return e;
    e = go_accept(p->soft, p->listener, &c);
    if (e != 0) {
      go_sem_release(&p->slots, 1);
      return e;
    }
    e = GO_WG(&p->clients, client, p, c);
    if (e != 0) { /* no memory for it */
      (void)complain("a connection is dropped", e);
      go_conn_unref(c);
      go_sem_release(&p->slots, 1);
    }
  }
}

/* Those that are left may end by themselves for a while. */
static void drain(proxy *p) {
  go_ctx *patience = go_ctx_with_timeout(p->hard, config.grace);
  if (patience == NULL || go_wg_wait_ctx(patience, &p->clients) != 0) {
    fprintf(stderr, "tcp_proxy: connections are broken off\n");
    go_ctx_cancel(p->hard);
  }
  go_ctx_unref(patience);
  go_wg_wait(&p->clients);
}

static int serve_all(proxy *p, const char *listen) {
  go_addr at;
  int e = go_listen(p->soft, network_of(listen), listen, &p->listener);
  if (e != 0) return complain(listen, e);
  e = go_listener_addr(p->listener, &at);
  if (e == 0) {
    printf("listening on %s\n", go_addr_str(&at));
    fflush(stdout);
    e = accept_all(p);
  }
  go_listener_unref(p->listener); /* closes it: nobody connects any more */
  drain(p);
  return e == GO_ECANCELED ? 0 : complain("accept", e);
}

/* ---- starting and stopping ---- */

/* Signals that end the program are blocked in all threads; one thread waits for them. */
static sigset_t stop_signals;

static void wait_for_signal(GO_UNUSED void *arg) {
  int sig;
  (void)sigwait(&stop_signals, &sig);
}

GO_FUNC(stop_on_signals, (go_ctx *, soft), (go_ctx *, hard)) {
  go_blocking(wait_for_signal, NULL);
  go_ctx_cancel(soft);
  go_blocking(wait_for_signal, NULL);
  go_ctx_cancel(hard);
}

static int run(GO_UNUSED int argc, char **argv) {
  proxy p = {.slots = GO_SEM_INIT(config.max)};
  p.hard = go_ctx_with_cancel(NULL);
  p.soft = go_ctx_with_cancel(p.hard);
  if (p.soft == NULL || p.hard == NULL) return complain("start", GO_ENOMEM);
  int e = GO(stop_on_signals, go_ctx_ref(p.soft), go_ctx_ref(p.hard)); /* it keeps them for ever */
  int status = e != 0 ? complain("start", e) : serve_all(&p, argv[0]);
  go_ctx_unref(p.soft);
  go_ctx_unref(p.hard);
  return status;
}

/* ---- arguments ---- */

static bool to_seconds(const char *text, go_nsec *ret) {
  char *end;
  double s = strtod(text, &end);
  if (end == text || *end != '\0' || !(s >= 0 && s <= 1e9)) return false;
  *ret = (go_nsec)(s * (double)GO_SEC);
  return true;
}

static bool to_count(const char *text, long *ret) {
  char *end;
  *ret = strtol(text, &end, 10);
  return end != text && *end == '\0' && *ret >= 1 && *ret <= 1000000;
}

static bool take_option(int o, const char *arg) {
  switch (o) {
    case 'm': return to_count(arg, &config.max);
    case 'd': return to_seconds(arg, &config.dial_timeout);
    case 'i': return to_seconds(arg, &config.idle);
    case 'g': return to_seconds(arg, &config.grace);
    case 'v': return config.verbose = true;
    default: return false;
  }
}

int main(int argc, char **argv) {
  static const struct option options[] = {{"max", required_argument, NULL, 'm'},
                                          {"dial-timeout", required_argument, NULL, 'd'},
                                          {"idle", required_argument, NULL, 'i'},
                                          {"grace", required_argument, NULL, 'g'},
                                          {"verbose", no_argument, NULL, 'v'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
  bool good = true;
  for (int o; (o = getopt_long(argc, argv, "m:d:i:g:vh", options, NULL)) != -1;) {
    if (o == 'h') {
      fputs(usage, stdout);
      return 0;
    }
    good = take_option(o, optarg) && good;
  }
  if (!good || optind != argc - 2) {
    fputs(usage, stderr);
    return 2;
  }
  config.target = argv[optind + 1];
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGTERM);
  sigaddset(&stop_signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop_signals, NULL); /* before there are threads: all inherit it */
  return go_main(run, 1, argv + optind);
}
