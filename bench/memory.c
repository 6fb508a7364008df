/* What a goroutine that waits costs. */
#include "bench/bench.h"

#include <stdatomic.h>

typedef struct gathering {
  int64_t expected;
  _Atomic int64_t arrived;
  go_chan *all_in;  /* closed by the last to arrive */
  go_chan *release; /* closed to let all go */
} gathering;

GO_FUNC(idler, (gathering *, g)) {
  if (atomic_fetch_add(&g->arrived, 1) + 1 == g->expected) {
    go_chan_close(g->all_in);
  }
  go_chan_recv(g->release, NULL);
}

static void add_per_task(bench_result *r, const char *key, int64_t value) {
  bench_add(r, key, (double)value / (double)r->ops);
}

/* n goroutines block on one channel; an operation is starting one and its coming to wait. */
void bench_idle(int64_t n, GO_UNUSED int64_t width, bench_result *r) {
  gathering g = {.expected = n, .all_in = go_chan_new(0, 0), .release = go_chan_new(0, 0)};
  bench_check(g.all_in != NULL && g.release != NULL, "no memory for a channel");
  go_wg wg = {0};
  int64_t rss = bench_memory("VmRSS:"), tables = bench_memory("VmPTE:");
  go_nsec start = go_now();
  for (int64_t i = 0; i < n; i++) {
    bench_started(GO_WG(&wg, idler, &g));
  }
  go_chan_recv(g.all_in, NULL);
  r->wall = go_now() - start;
  r->ops = n;
  go_sleep(NULL, 10 * GO_MS); /* the last ones are between arriving and receiving */
  add_per_task(r, "bytes_per_task", bench_memory("VmRSS:") - rss);
  add_per_task(r, "table_bytes_per_task", bench_memory("VmPTE:") - tables);
  start = go_now();
  go_chan_close(g.release);
  go_wg_wait(&wg);
  add_per_task(r, "release_ns", go_now() - start);
  go_chan_unref(g.all_in);
  go_chan_unref(g.release);
}
