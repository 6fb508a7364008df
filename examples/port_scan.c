/* port_scan: which TCP ports of a host take connections.
 *
 *   port_scan 127.0.0.1 1-1024,8080
 *
 * Each port is a task of a scope, which bounds how many run at a time. Scan only hosts that you may scan. */
#include <errno.h>
#include <getopt.h>
#include <golib/golib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: port_scan [OPTION]... HOST PORTS\n"
    "PORTS: 80, 1-1024, or several of them with commas between. Prints the ports that are open, in "
    "order, then how\n"
    "many were open, closed, or gave no answer. Exit status: 0 if one is open, 1 if none is, 2 "
    "after an error.\n"
    "  -c, --concurrency N    ports tried at a time (100)\n"
    "  -t, --timeout SECONDS  how long to wait for an answer (1)\n"
    "  -v, --verbose          print every port's state\n"
    "  -h, --help             print this\n";

enum { PORTS = 65536 };

/* What became of a port. */
enum state { UNASKED, WANTED, OPEN, CLOSED, SILENT, FAILED };

typedef struct scan {
  go_addr host;
  go_nsec timeout;
  uint8_t state[PORTS]; /* each written by one task */
} scan;

static int complain(const char *what, int code) {
  fprintf(stderr, "port_scan: %s: %s\n", what, go_strerror(code));
  return 2;
}

/* ---- scanning ---- */

static enum state state_of(int dialled) {
  switch (dialled) {
    case 0: return OPEN;
    case -ECONNREFUSED: return CLOSED;
    case GO_ETIMEDOUT:
    case -EHOSTUNREACH:
    case -ENETUNREACH: return SILENT;
    default: return FAILED;
  }
}

/* "127.0.0.1:80", "[fe80::1%2]:80": go_dial wants text. */
static void address_of(const scan *s, int port, char *buf, size_t size) {
  const char *host = go_addr_str(&s->host); /* with port 0 */
  int length = (int)(strrchr(host, ':') - host);
  snprintf(buf, size, "%.*s:%d", length, host, port);
}

GO_TASK(try_port, (scan *, s), (int, port)) {
  char addr[160];
  go_conn *c;
  address_of(s, port, addr, sizeof addr);
  go_ctx *ctx = go_ctx_with_timeout(NULL, s->timeout);
  int e = ctx != NULL ? go_dial(ctx, "tcp", addr, &c) : GO_ENOMEM;
  if (e == 0) go_conn_unref(c);
  go_ctx_unref(ctx);
  s->state[port] = (uint8_t)state_of(e);
  return s->state[port] == FAILED ? e : 0;
}

/* All that are WANTED. Returns the first error that is none of a port's. */
static int try_all(scan *s, int concurrency) {
  int e = 0;
  GO_SCOPE (tasks, NULL) {
    go_scope_limit(&tasks, concurrency);
    for (int port = 1; port < PORTS; port++) {
      if (s->state[port] == WANTED)
        go_task_release(GO_IN(&tasks, try_port, s, port)); /* waits for room */
    }
    e = go_scope_wait(&tasks);
  }
  return e;
}

/* Of several addresses the first is scanned. */
static int look_up(const char *host, go_addr *ret) {
  go_addrs *all;
  int e = go_resolve(NULL, host, &all);
  if (e != 0) return e;
  *ret = all->at[0];
  go_addrs_free(all);
  return 0;
}

/* ---- results ---- */

static const char *name_of(enum state s) {
  switch (s) {
    case OPEN: return "open";
    case CLOSED: return "closed";
    case SILENT: return "no answer";
    default: return "not tried";
  }
}

static int print_results(const scan *s, bool verbose) {
  int count[FAILED + 1] = {0};
  for (int port = 1; port < PORTS; port++) {
    enum state st = (enum state)s->state[port];
    count[st]++;
    if (st == OPEN || (verbose && st != UNASKED)) printf("%d %s\n", port, name_of(st));
  }
  printf("%d open, %d closed, %d without an answer\n", count[OPEN], count[CLOSED], count[SILENT]);
  return count[OPEN] == 0;
}

/* ---- arguments ---- */

static struct {
  const char *host;
  long concurrency;
  go_nsec timeout;
  bool verbose;
} config = {.concurrency = 100, .timeout = GO_SEC};

static scan the_scan;

/* "a" or "a-b" at *text, which moves behind it. */
static bool take_range(const char **text, long *from, long *to) {
  char *end;
  *from = *to = strtol(*text, &end, 10);
  if (end == *text) return false;
  if (*end == '-') {
    *text = end + 1;
    *to = strtol(*text, &end, 10);
    if (end == *text) return false;
  }
  *text = end;
  return *from >= 1 && *from <= *to && *to < PORTS;
}

static bool take_ports(const char *text) {
  for (;;) {
    long from, to;
    if (!take_range(&text, &from, &to)) return false;
    memset(the_scan.state + from, WANTED, (size_t)(to - from + 1));
    if (*text == '\0') return true;
    if (*text++ != ',') return false;
  }
}

static bool take_option(int o, const char *arg) {
  char *end;
  double seconds;
  switch (o) {
    case 'c':
      config.concurrency = strtol(arg, &end, 10);
      return *arg != '\0' && *end == '\0' && config.concurrency >= 1 && config.concurrency <= PORTS;
    case 't':
      seconds = strtod(arg, &end);
      if (*arg == '\0' || *end != '\0' || !(seconds > 0 && seconds <= 1e6)) return false;
      config.timeout = (go_nsec)(seconds * (double)GO_SEC);
      return true;
    case 'v': return config.verbose = true;
    default: return false;
  }
}

static int run(GO_UNUSED int argc, GO_UNUSED char **argv) {
  scan *s = &the_scan;
  s->timeout = config.timeout;
  int e = look_up(config.host, &s->host);
  if (e != 0) return complain(config.host, e);
  e = try_all(s, (int)config.concurrency);
  int status = print_results(s, config.verbose);
  return e != 0 ? complain(config.host, e) : status;
}

int main(int argc, char **argv) {
  static const struct option options[] = {{"concurrency", required_argument, NULL, 'c'},
                                          {"timeout", required_argument, NULL, 't'},
                                          {"verbose", no_argument, NULL, 'v'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
  bool good = true;
  for (int o; (o = getopt_long(argc, argv, "c:t:vh", options, NULL)) != -1;) {
    if (o == 'h') {
      fputs(usage, stdout);
      return 0;
    }
    good = take_option(o, optarg) && good;
  }
  if (!good || optind != argc - 2 || !take_ports(argv[optind + 1])) {
    fputs(usage, stderr);
    return 2;
  }
  config.host = argv[optind];
  return go_main(run, 0, NULL);
}
