/* bench httpd PROCS PORT [HOGS]: a server for a client in another process. See http.py. */
#include "bench/http.h"

#include "bench/bench.h"

static bool answer(go_conn *c, int n) {
  while (n > 0) {
    int some = n < HTTP_ANSWERS ? n : HTTP_ANSWERS;
    size_t size = (size_t)some * HTTP_ANSWER_SIZE;
    if (go_write(NULL, c, http_answers, size) != (ptrdiff_t)size) {
      return false;
    }
    n -= some;
  }
  return true;
}

GO_FUNC(serve_http, (go_conn *, c)) {
  http_input in;
  in.fill = 0;
  while (in.fill < sizeof in.buf) {
    ptrdiff_t n = go_read(NULL, c, in.buf + in.fill, sizeof in.buf - in.fill);
    if (n <= 0) {
      break;
    }
    in.fill += (size_t)n;
    if (!answer(c, http_take(&in))) {
      break;
    }
  }
  go_conn_unref(c);
}

/* In step with go/httpd.go. */
GO_FUNC(hog, (int, unused)) {
  (void)unused;
  for (;;) {
    for (go_nsec until = go_now() + 2 * GO_US; go_now() < until;) {}
    go_yield();
  }
}

int bench_httpd(const http_options *o) {
  char address[32];
  go_listener *l;
  go_addr a;
  snprintf(address, sizeof address, "127.0.0.1:%d", o->port);
  bench_check(go_listen(NULL, "tcp", address, &l) == 0 && go_listener_addr(l, &a) == 0,
              "could not listen");
  for (int i = 0; i < o->hogs; i++) {
    bench_started(GO(hog, 0));
  }
  http_listening(a.port);
  for (;;) {
    go_conn *c;
    bench_check(go_accept(NULL, l, &c) == 0, "could not accept");
    bench_started(GO(serve_http, c));
  }
}
