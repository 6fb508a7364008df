/* Locks. */
#include "bench/bench.h"

typedef struct counter {
  go_mutex mu; /* protects value */
  int64_t value;
} counter;

GO_FUNC(count, (counter *, c), (int64_t, times)) {
  for (int64_t i = 0; i < times; i++) {
    go_mutex_lock(&c->mu);
    c->value++;
    go_mutex_unlock(&c->mu);
  }
}

/* `width` goroutines share n rounds of lock, count, unlock. */
void bench_mutex(int64_t n, int64_t width, bench_result *r) {
  counter c = {0};
  go_wg wg = {0};
  int64_t per = n / width;
  go_nsec start = go_now();
  for (int64_t i = 0; i < width; i++) {
    bench_started(GO_WG(&wg, count, &c, per));
  }
  go_wg_wait(&wg);
  r->wall = go_now() - start;
  r->ops = per * width;
  bench_check(c.value == r->ops, "mutex: lost update");
}
