/* Sleeping, and timers. */
#include "bench/bench.h"

#include <stdatomic.h>

enum { ROUNDS = 5 };

typedef struct lateness {
  _Atomic int64_t sum;
  _Atomic int64_t worst;
} lateness;

static void note(lateness *l, int64_t late) {
  atomic_fetch_add(&l->sum, late);
  int64_t worst = atomic_load(&l->worst);
  while (late > worst && !atomic_compare_exchange_weak(&l->worst, &worst, late)) {}
}

GO_FUNC(sleeper, (uint64_t, seed), (lateness *, l)) {
  for (int i = 0; i < ROUNDS; i++) {
    go_nsec d = (go_nsec)(bench_random(&seed) % (uint64_t)(100 * GO_MS));
    go_nsec start = go_now();
    go_sleep(NULL, d);
    note(l, go_now() - start - d);
  }
}

/* n goroutines sleep five times for up to 100 ms; an operation is one sleep. */
void bench_sleep(int64_t n, GO_UNUSED int64_t width, bench_result *r) {
  lateness l = {0};
  go_wg wg = {0};
  double cpu = bench_cpu_ms();
  go_nsec start = go_now();
  for (int64_t i = 0; i < n; i++) {
    bench_started(GO_WG(&wg, sleeper, (uint64_t)i, &l));
  }
  go_wg_wait(&wg);
  r->wall = go_now() - start;
  r->ops = n * ROUNDS;
  cpu = bench_cpu_ms() - cpu;
  bench_add(r, "wall_ms", (double)r->wall / 1e6);
  bench_add(r, "cpu_ms", cpu);
  bench_add(r, "mean_late_us", (double)l.sum / (double)r->ops / 1e3);
  bench_add(r, "max_late_us", (double)l.worst / 1e3);
}

static void never(GO_UNUSED void *arg) { bench_check(false, "a stopped timer fired"); }

/* Starts and stops n timers of 1 s, one after the other; an operation is both. */
void bench_timerchurn(int64_t n, GO_UNUSED int64_t width, bench_result *r) {
  go_nsec start = go_now();
  for (int64_t i = 0; i < n; i++) {
    go_timer t = {0};
    bench_check(go_timer_start(&t, GO_SEC, never, NULL) == 0, "could not start a timer");
    bench_check(go_timer_stop(&t), "a timer fired early");
  }
  r->wall = go_now() - start;
  r->ops = n;
}
