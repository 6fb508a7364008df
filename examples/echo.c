/* echo: a server that sends back what it gets, and a client for it.
 *
 *   echo 127.0.0.1:7000            serves; SIGTERM or SIGINT ends it when its clients have gone, a second one at once
 *   echo --connect 127.0.0.1:7000  sends its input there, and prints what comes back
 *
 * One goroutine per connection, in straight code. */
#include <errno.h>
#include <getopt.h>
#include <golib/golib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: echo [--idle SECONDS] ADDRESS\n"
    "       echo --connect ADDRESS\n"
    "ADDRESS is host:port, [ipv6]:port, :port (all interfaces; port 0: a free one), or the path of "
    "a Unix\n"
    "socket (with a slash in it).\n"
    "  -c, --connect       be the client: send standard input, print what comes back\n"
    "  -i, --idle SECONDS  the server hangs up when a client is silent for so long (0: never, the "
    "default)\n"
    "  -h, --help          print this\n";

static go_nsec idle;

static const char *network_of(const char *addr) {
  return strchr(addr, '/') != NULL ? "unix" : "tcp";
}

static int complain(const char *what, int code) {
  fprintf(stderr, "echo: %s: %s\n", what, go_strerror(code));
  return 1;
}

/* ---- the server ---- */

GO_FUNC(serve, (go_ctx *, ctx), (go_conn *, c)) {
  char buf[16 * 1024];
  ptrdiff_t n;
  do {
    if (idle > 0) (void)go_conn_set_read_deadline(c, go_now() + idle);
    n = go_read(ctx, c, buf, sizeof buf);
    if (n > 0) n = go_write(ctx, c, buf, (size_t)n);
  } while (n > 0);
  go_conn_unref(c); /* the last reference: this closes it */
}

/* Goroutines that serve use `hard`, which ends them at once; accepting uses `soft`. */
static int server(go_ctx *soft, go_ctx *hard, const char *addr) {
  go_listener *l;
  go_addr at;
  go_wg clients = {0};
  int e = go_listen(soft, network_of(addr), addr, &l);
  if (e != 0) return complain(addr, e);
  e = go_listener_addr(l, &at);
  if (e != 0) return complain(addr, e);
  printf("listening on %s\n", go_addr_str(&at));
  fflush(stdout);
  for (;;) {
    go_conn *c;
    e = go_accept(soft, l, &c);
    if (e != 0) break;
    e = GO_WG(&clients, serve, hard, c);
    if (e != 0) { /* too many goroutines, or no memory: this one has to do without */
      (void)complain("a connection is dropped", e);
      go_conn_unref(c);
    }
  }
  go_listener_unref(l);
  go_wg_wait(&clients);
  return e == GO_ECANCELED ? 0 : complain("accept", e);
}

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

static int run_server(GO_UNUSED int argc, char **argv) {
  int status = 1;
  go_ctx *hard = go_ctx_with_cancel(NULL);
  go_ctx *soft = go_ctx_with_cancel(hard);
  if (soft == NULL || hard == NULL) {
    (void)complain("start", GO_ENOMEM);
  } else {
    int e = GO(stop_on_signals, go_ctx_ref(soft), go_ctx_ref(hard)); /* it keeps them for ever */
    status = e != 0 ? complain("start", e) : server(soft, hard, argv[0]);
  }
  go_ctx_unref(soft);
  go_ctx_unref(hard);
  return status;
}

/* ---- the client ---- */

/* Standard input may be a file, a pipe or a terminal: waiting for it must not stop what comes back. */
static ptrdiff_t read_input(go_ctx *ctx, char *buf, size_t n) {
  for (;;) {
    int e = go_fd_wait(ctx, STDIN_FILENO, GO_FD_READ);
    if (e < 0) return e;
    ssize_t got = read(STDIN_FILENO, buf, n);
    if (got >= 0) return got;
    e = go_errno();
    if (e != EAGAIN && e != EINTR) return -e;
  }
}

GO_FUNC(send_input, (go_ctx *, ctx), (go_conn *, c), (int *, result)) {
  char buf[16 * 1024];
  ptrdiff_t n;
  while ((n = read_input(ctx, buf, sizeof buf)) > 0) {
    n = go_write(ctx, c, buf, (size_t)n);
    if (n < 0) break;
  }
  *result = n < 0 ? (int)n : go_conn_shutdown(c, GO_SHUT_WR); /* that was all: the server may go */
}

static int print_all(go_conn *c) {
  char buf[16 * 1024];
  ptrdiff_t n;
  while ((n = go_read(NULL, c, buf, sizeof buf)) > 0) {
    if (fwrite(buf, 1, (size_t)n, stdout) != (size_t)n || fflush(stdout) != 0) return -EPIPE;
  }
  return (int)n;
}

static int exchange(go_ctx *ctx, go_conn *c) {
  go_wg sender = {0};
  int sent = 0;
  int e = GO_WG(&sender, send_input, ctx, c, &sent);
  if (e != 0) return complain("start", e);
  e = print_all(c);
  go_ctx_cancel(ctx); /* nobody listens any more: no use in waiting for more input */
  go_wg_wait(&sender);
  if (e != 0) return complain("receive", e);
  if (sent == GO_ECANCELED) fputs("echo: the server has hung up\n", stderr);
  if (sent != 0 && sent != GO_ECANCELED) return complain("send", sent);
  return sent != 0;
}

static int run_client(GO_UNUSED int argc, char **argv) {
  go_conn *c;
  int e = go_dial(NULL, network_of(argv[0]), argv[0], &c);
  if (e != 0) return complain(argv[0], e);
  go_ctx *ctx = go_ctx_with_cancel(NULL);
  int status = ctx != NULL ? exchange(ctx, c) : complain("start", GO_ENOMEM);
  go_ctx_unref(ctx);
  go_conn_unref(c);
  return status;
}

/* ---- arguments ---- */

static int bad_usage(void) {
  fputs(usage, stderr);
  return 2;
}

static bool to_seconds(const char *text, go_nsec *ret) {
  char *end;
  double s = strtod(text, &end);
  if (end == text || *end != '\0' || !(s >= 0 && s <= 1e9)) return false;
  *ret = (go_nsec)(s * (double)GO_SEC);
  return true;
}

int main(int argc, char **argv) {
  static const struct option options[] = {{"connect", no_argument, NULL, 'c'},
                                          {"idle", required_argument, NULL, 'i'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
  bool connect = false;
  for (int o; (o = getopt_long(argc, argv, "ci:h", options, NULL)) != -1;) {
    switch (o) {
      case 'c': connect = true; break;
      case 'i':
        if (!to_seconds(optarg, &idle)) return bad_usage();
        break;
      case 'h': fputs(usage, stdout); return 0;
      default: return bad_usage();
    }
  }
  if (optind != argc - 1) return bad_usage();
  if (connect) return go_main(run_client, 1, argv + optind);
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGTERM);
  sigaddset(&stop_signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop_signals, NULL); /* before there are threads: all inherit it */
  return go_main(run_server, 1, argv + optind);
}
