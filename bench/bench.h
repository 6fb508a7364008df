/* bench/bench.h: golib's benchmarks; bench.c has the table of them. */
#ifndef BENCH_BENCH_H_
#define BENCH_BENCH_H_

#include <golib/golib.h>

#include "bench/harness.h"

GO_CHAN_TYPE(intchan, int64_t);

/* sched.c */
bench_fn bench_spawn, bench_yield, bench_skynet, bench_forkjoin;
/* chan.c */
bench_fn bench_pingpong, bench_queue, bench_chanseq, bench_select2, bench_selectdef, bench_selectn;
bench_fn bench_primes;
/* sync.c */
bench_fn bench_mutex;
/* memory.c */
bench_fn bench_idle;
/* timers.c */
bench_fn bench_sleep, bench_timerchurn;
/* net.c */
bench_fn bench_echo;
/* torture.c */
bench_fn torture_hog, torture_libc, torture_malloc, torture_sidebyside, torture_blocking;
bench_fn torture_syscall, torture_sleep, torture_procs, torture_select, torture_idle;
/* httpd.c: never returns. */
struct http_options;
int bench_httpd(const struct http_options *o);

/* For GO and GO_WG, whose value may not be ignored. */
static inline void bench_started(int err) { bench_check(err == 0, "could not start a goroutine"); }

/* A new channel; the program ends when there is no memory for it. */
static inline intchan bench_chan(size_t cap) {
  intchan c = intchan_new(cap);
  bench_check(c != NULL, "no memory for a channel");
  return c;
}

#endif /* BENCH_BENCH_H_ */
