/* Connections over loopback. */
#include "bench/bench.h"

#include <string.h>

enum { MESSAGE = 64, BUFFER = 4096 };

static bool read_all(go_conn *c, char *buf, size_t n) {
  for (size_t got = 0; got < n;) {
    ptrdiff_t r = go_read(NULL, c, buf + got, n - got);
    if (r <= 0) {
      return false;
    }
    got += (size_t)r;
  }
  return true;
}

GO_FUNC(server, (go_conn *, c)) {
  char buf[BUFFER];
  ptrdiff_t n;
  while ((n = go_read(NULL, c, buf, sizeof buf)) > 0) {
    bench_check(go_write(NULL, c, buf, (size_t)n) == n, "a server could not write");
  }
  go_conn_unref(c);
}

GO_FUNC(acceptor, (go_listener *, l), (int64_t, count), (go_wg *, servers)) {
  for (int64_t i = 0; i < count; i++) {
    go_conn *c;
    bench_check(go_accept(NULL, l, &c) == 0, "could not accept");
    bench_started(GO_WG(servers, server, c));
  }
}

GO_FUNC(client, (go_conn *, c), (int64_t, rounds)) {
  char out[MESSAGE], in[MESSAGE];
  memset(out, 'x', sizeof out);
  for (int64_t i = 0; i < rounds; i++) {
    bench_check(go_write(NULL, c, out, sizeof out) == MESSAGE, "a client could not write");
    bench_check(read_all(c, in, sizeof in), "a client could not read");
  }
}

static go_conn *dial(go_listener *l) {
  go_addr a;
  go_conn *c = NULL;
  bench_check(go_listener_addr(l, &a) == 0 && go_dial(NULL, "tcp", go_addr_str(&a), &c) == 0,
              "could not connect");
  return c;
}

/* `width` clients and as many servers in this process send messages of 64 bytes to and fro; an operation is one
 * round trip. Connecting is not measured. */
void bench_echo(int64_t n, int64_t width, bench_result *r) {
  enum { MOST = 20000 };
  static go_conn *clients[MOST];
  go_wg wg = {0}, servers = {0};
  go_listener *l;
  bench_check(width <= MOST, "too many connections");
  bench_check(go_listen(NULL, "tcp", "127.0.0.1:0", &l) == 0, "could not listen");
  bench_started(GO_WG(&servers, acceptor, l, width, &servers));
  for (int64_t i = 0; i < width; i++) {
    clients[i] = dial(l);
  }
  int64_t rounds = n / width > 0 ? n / width : 1;
  double cpu = bench_cpu_ms();
  go_nsec start = go_now();
  for (int64_t i = 0; i < width; i++) {
    bench_started(GO_WG(&wg, client, clients[i], rounds));
  }
  go_wg_wait(&wg);
  r->wall = go_now() - start;
  r->ops = rounds * width;
  bench_add(r, "cpu_ns_per_op", (bench_cpu_ms() - cpu) * 1e6 / (double)r->ops);
  for (int64_t i = 0; i < width; i++) {
    go_conn_unref(clients[i]);
  }
  go_wg_wait(&servers);
  go_listener_unref(l);
}
