/* Channels and select. */
#include "bench/bench.h"

#include <stdatomic.h>
#include <stdlib.h>

static int64_t sum_below(int64_t n) { return n * (n - 1) / 2; }

GO_FUNC(echo, (intchan, ping), (intchan, pong)) {
  for (int64_t v; intchan_recv(ping, &v);) {
    intchan_send(pong, v);
  }
}

/* Two goroutines, two unbuffered channels; an operation is a round trip. */
void bench_pingpong(int64_t n, GO_UNUSED int64_t width, bench_result *r) {
  intchan ping = bench_chan(0), pong = bench_chan(0);
  go_wg wg = {0};
  bench_started(GO_WG(&wg, echo, ping, pong));
  go_nsec start = go_now();
  for (int64_t i = 0; i < n; i++) {
    int64_t v;
    intchan_send(ping, i);
    intchan_recv(pong, &v);
    bench_check(v == i, "pingpong: wrong value");
  }
  r->wall = go_now() - start;
  r->ops = n;
  intchan_close(ping);
  go_wg_wait(&wg);
  intchan_unref(ping);
  intchan_unref(pong);
}

GO_FUNC(produce, (intchan, ch), (int64_t, items)) {
  for (int64_t i = 0; i < items; i++) {
    intchan_send(ch, i);
  }
}

GO_FUNC(consume, (intchan, ch), (_Atomic int64_t *, total)) {
  int64_t sum = 0;
  for (int64_t v; intchan_recv(ch, &v);) {
    sum += v;
  }
  atomic_fetch_add(total, sum);
}

/* n items from `width` producers to `width` consumers through one channel of capacity 128. */
void bench_queue(int64_t n, int64_t width, bench_result *r) {
  intchan ch = bench_chan(128);
  go_wg producers = {0}, consumers = {0};
  _Atomic int64_t total = 0;
  int64_t per = n / width;
  go_nsec start = go_now();
  for (int64_t i = 0; i < width; i++) {
    bench_started(GO_WG(&producers, produce, ch, per));
  }
  for (int64_t i = 0; i < width; i++) {
    bench_started(GO_WG(&consumers, consume, ch, &total));
  }
  go_wg_wait(&producers);
  intchan_close(ch);
  go_wg_wait(&consumers);
  r->wall = go_now() - start;
  r->ops = per * width;
  intchan_unref(ch);
  bench_check(total == width * sum_below(per), "queue: wrong sum");
}

/* One goroutine sends to itself; an operation is a send and a receive, neither of which waits. */
void bench_chanseq(int64_t n, GO_UNUSED int64_t width, bench_result *r) {
  intchan ch = bench_chan(1);
  int64_t sum = 0;
  go_nsec start = go_now();
  for (int64_t i = 0; i < n; i++) {
    int64_t v;
    intchan_send(ch, i);
    intchan_recv(ch, &v);
    sum += v;
  }
  r->wall = go_now() - start;
  r->ops = n;
  intchan_unref(ch);
  bench_check(sum == sum_below(n), "chanseq: wrong sum");
}

GO_FUNC(alternate, (intchan, a), (intchan, b), (int64_t, items)) {
  for (int64_t i = 0; i < items; i += 2) {
    intchan_send(a, i);
    intchan_send(b, i + 1);
  }
}

/* One goroutine sends to two unbuffered channels in turn, another selects over both. */
void bench_select2(int64_t n, GO_UNUSED int64_t width, bench_result *r) {
  n = (n + 1) / 2 * 2;
  intchan a = bench_chan(0), b = bench_chan(0);
  go_wg wg = {0};
  bench_started(GO_WG(&wg, alternate, a, b, n));
  int64_t sum = 0;
  go_nsec start = go_now();
  for (int64_t i = 0; i < n; i++) {
    int64_t v, w;
    switch (GO_SELECT(NULL, intchan_recv_case(a, &v), intchan_recv_case(b, &w))) {
      case 0: sum += v; break;
      case 1: sum += w; break;
    }
  }
  r->wall = go_now() - start;
  r->ops = n;
  go_wg_wait(&wg);
  intchan_unref(a);
  intchan_unref(b);
  bench_check(sum == sum_below(n), "select2: wrong sum");
}

/* A select with a default over two channels that are never ready. */
void bench_selectdef(int64_t n, GO_UNUSED int64_t width, bench_result *r) {
  intchan a = bench_chan(0), b = bench_chan(0);
  int64_t misses = 0;
  go_nsec start = go_now();
  for (int64_t i = 0; i < n; i++) {
    int64_t v;
    switch (GO_SELECT_TRY(intchan_recv_case(a, &v), intchan_recv_case(b, &v))) {
      case GO_EAGAIN: misses++; break;
    }
  }
  r->wall = go_now() - start;
  r->ops = n;
  intchan_unref(a);
  intchan_unref(b);
  bench_check(misses == n, "selectdef: an empty channel was ready");
}

GO_FUNC(take_turns, (const intchan *, chans), (int64_t, width), (int64_t, items)) {
  for (int64_t i = 0; i < items; i++) {
    intchan_send(chans[i % width], i);
  }
}

static int64_t select_all(go_case *cases, const int64_t *values, int64_t width, int64_t items) {
  int64_t sum = 0;
  for (int64_t i = 0; i < items; i++) {
    sum += values[go_select(NULL, cases, (int)width)];
  }
  return sum;
}

/* As select2 with `width` channels. */
void bench_selectn(int64_t n, int64_t width, bench_result *r) {
  intchan *chans = calloc((size_t)width, sizeof *chans);
  go_case *cases = calloc((size_t)width, sizeof *cases);
  int64_t *values = calloc((size_t)width, sizeof *values);
  bench_check(chans != NULL && cases != NULL && values != NULL, "selectn: no memory");
  for (int64_t i = 0; i < width; i++) {
    chans[i] = bench_chan(0);
    cases[i] = intchan_recv_case(chans[i], &values[i]);
  }
  go_wg wg = {0};
  bench_started(GO_WG(&wg, take_turns, chans, width, n));
  go_nsec start = go_now();
  int64_t sum = select_all(cases, values, width, n);
  r->wall = go_now() - start;
  r->ops = n;
  go_wg_wait(&wg);
  for (int64_t i = 0; i < width; i++) {
    intchan_unref(chans[i]);
  }
  free(chans);
  free(cases);
  free(values);
  bench_check(sum == sum_below(n), "selectn: wrong sum");
}

/* Owns a reference to out, like `filter` to its two. */
GO_FUNC(count_up, (intchan, out), (const atomic_bool *, stop)) {
  for (int64_t i = 2; !atomic_load_explicit(stop, memory_order_acquire); i++) {
    intchan_send(out, i);
  }
  intchan_close(out);
  intchan_unref(out);
}

GO_FUNC(filter, (intchan, in), (intchan, out), (int64_t, prime)) {
  for (int64_t v; intchan_recv(in, &v);) {
    if (v % prime != 0) {
      intchan_send(out, v);
    }
  }
  intchan_close(out);
  intchan_unref(out);
  intchan_unref(in);
}

/* Takes a prime from the pipeline and puts a filter behind it; the end of the pipeline moves on. */
static int64_t next_prime(intchan *end) {
  int64_t prime;
  intchan_recv(*end, &prime);
  intchan next = bench_chan(0);
  bench_started(GO(filter, *end, intchan_ref(next), prime));
  *end = next;
  return prime;
}

/* The sieve: the first n primes, a goroutine for each; an operation is one prime. */
void bench_primes(int64_t n, GO_UNUSED int64_t width, bench_result *r) {
  atomic_bool stop = false;
  go_nsec start = go_now();
  intchan end = bench_chan(0);
  bench_started(GO(count_up, intchan_ref(end), &stop));
  int64_t last = 0;
  for (int64_t i = 0; i < n; i++) {
    last = next_prime(&end);
  }
  r->wall = go_now() - start;
  r->ops = n;
  bench_check(n != 2000 || last == 17389, "primes: wrong prime");
  atomic_store(&stop, true);
  for (int64_t v; intchan_recv(end, &v);) {}
  intchan_unref(end);
  bench_add(r, "wall_ms", (double)r->wall / 1e6);
  bench_add(r, "last", (double)last);
}
