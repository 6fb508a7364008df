/* Starting, switching and joining goroutines. */
#include "bench/bench.h"

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

GO_FUNC(trivial) {}

/* Starts `width` goroutines at a time and waits for them. */
void bench_spawn(int64_t n, int64_t width, bench_result *r) {
  go_wg wg = {0};
  go_nsec start = go_now();
  for (int64_t i = 0; i < n; i += width) {
    int64_t batch = min(width, n - i);
    for (int64_t k = 0; k < batch; k++) {
      bench_started(GO_WG(&wg, trivial));
    }
    go_wg_wait(&wg);
  }
  r->wall = go_now() - start;
  r->ops = n;
}

GO_FUNC(yielder, (int64_t, times)) {
  for (int64_t i = 0; i < times; i++) {
    go_yield();
  }
}

/* `width` goroutines share n yields. */
void bench_yield(int64_t n, int64_t width, bench_result *r) {
  go_wg wg = {0};
  go_nsec start = go_now();
  for (int64_t i = 0; i < width; i++) {
    bench_started(GO_WG(&wg, yielder, n / width));
  }
  go_wg_wait(&wg);
  r->wall = go_now() - start;
  r->ops = n / width * width;
}

static int64_t sum_children(int64_t num, int64_t size);

/* Owns a reference to out. */
GO_FUNC(skynet, (intchan, out), (int64_t, num), (int64_t, size)) {
  intchan_send(out, size == 1 ? num : sum_children(num, size));
  intchan_unref(out);
}

static int64_t sum_children(int64_t num, int64_t size) {
  intchan ch = bench_chan(0);
  for (int64_t i = 0; i < 10; i++) {
    bench_started(GO(skynet, intchan_ref(ch), num + i * (size / 10), size / 10));
  }
  int64_t sum = 0;
  for (int i = 0; i < 10; i++) {
    int64_t v;
    intchan_recv(ch, &v);
    sum += v;
  }
  intchan_unref(ch);
  return sum;
}

static bool is_power_of_ten(int64_t n) {
  while (n % 10 == 0) {
    n /= 10;
  }
  return n == 1;
}

/* A 10-ary tree of n leaves, a power of ten: each sends its number to its parent, who adds them up. */
void bench_skynet(int64_t n, GO_UNUSED int64_t width, bench_result *r) {
  bench_check(is_power_of_ten(n), "skynet: n is a power of ten");
  intchan ch = bench_chan(0);
  int64_t sum;
  go_nsec start = go_now();
  bench_started(GO(skynet, intchan_ref(ch), 0, n));
  intchan_recv(ch, &sum);
  r->wall = go_now() - start;
  r->ops = n;
  intchan_unref(ch);
  bench_check(sum == n * (n - 1) / 2, "skynet: wrong sum");
  bench_add(r, "cap", 0);
  bench_add(r, "wall_ms", (double)r->wall / 1e6);
}

enum { FIB_CUTOFF = 12 };

static int64_t serial_fib(int64_t n) { return n < 2 ? n : serial_fib(n - 1) + serial_fib(n - 2); }

static int64_t fib(int64_t n);

GO_FUNC(fib_task, (int64_t, n), (int64_t *, ret)) { *ret = fib(n); }

static int64_t fib(int64_t n) {
  if (n <= FIB_CUTOFF) {
    return serial_fib(n);
  }
  int64_t a;
  go_wg wg = {0};
  bench_started(GO_WG(&wg, fib_task, n - 1, &a));
  int64_t b = fib(n - 2);
  go_wg_wait(&wg);
  return a + b;
}

/* How many goroutines fib(n) starts. */
static int64_t fib_tasks(int64_t n) {
  return n <= FIB_CUTOFF ? 0 : 1 + fib_tasks(n - 1) + fib_tasks(n - 2);
}

/* fib(n) with a goroutine for each n-1 above the cutoff; an operation is one such goroutine with its
 * share of the arithmetic, and serial_ms the arithmetic alone. */
void bench_forkjoin(int64_t n, GO_UNUSED int64_t width, bench_result *r) {
  go_nsec start = go_now();
  int64_t v = fib(n);
  r->wall = go_now() - start;
  int64_t tasks = fib_tasks(n);
  r->ops = tasks > 0 ? tasks : 1;
  start = go_now();
  int64_t want = serial_fib(n);
  go_nsec serial = go_now() - start;
  bench_check(v == want, "forkjoin: wrong value");
  bench_add(r, "wall_ms", (double)r->wall / 1e6);
  bench_add(r, "serial_ms", (double)serial / 1e6);
}
