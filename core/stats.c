/* core/stats.c: counting, timing, and telling of it.
 *
 * Counters belong to Ps, so that nobody shares a cache line for them. How long goroutines are runnable is timed by
 * samples: look rounds, which look at the clock anyway, set GO_WATCH_SAMPLE_ every 100 us, and the next goroutine that
 * becomes runnable on that P gets state TIMED and the time in `since`; whoever takes it over sees that in the byte that
 * he is about to write. What is woken without a P is timed every eighth time.
 */
#include <golib/debug.h>

#include <string.h>

#include "core/sched.h"
#include "core/stack.h"
#include "core/stats.h"
#include "core/trace.h"

_Static_assert(GO_LATS_ == GO_LATENCY_BUCKETS, "golib/debug.h");

/* ---- latency ---- */

void go_time_it_(go_g_ *g) {
  g->since = go_os_now_();
  go_set_state_(g, go_get_state_(g) == GO_G_FRESH_ ? GO_G_TIMED_FRESH_ : GO_G_TIMED_);
}

void go_watched_ready_(go_m_ *m, go_g_ *g) {
  uint32_t watch = go_ld_rlx(&m->p->watch);
  if (watch & GO_WATCH_SAMPLE_) {
    (void)go_and_ar(&m->p->watch, ~(uint32_t)GO_WATCH_SAMPLE_);
  }
  go_time_it_(g);
  if (watch & GO_WATCH_TRACE_) {
    go_trace_ready_(m, g);
  }
}

static uint32_t bucket(uint64_t ns) {
  uint32_t bits = 64 - (uint32_t)__builtin_clzll(ns | 1);
  uint32_t i = bits < 7 ? 0 : bits - 7;
  return i < GO_LATS_ ? i : GO_LATS_ - 1;
}

void go_timed_run_(go_m_ *m, go_g_ *g) {
  go_lat_ *l = &m->p->lat;
  int64_t took = go_os_now_() - g->since;
  m->woken = g->since;
  uint64_t ns = took > 0 ? (uint64_t)took : 0;
  go_count_(&l->n[bucket(ns)]);
  go_st_rlx(&l->sum, go_ld_rlx(&l->sum) + ns);
  if (ns > go_ld_rlx(&l->max)) {
    go_st_rlx(&l->max, ns);
  }
}

/* ---- reading ---- */

static void add_latency(go_stats *s, const go_p_ *p) {
  for (uint32_t i = 0; i < GO_LATS_; i++) {
    uint64_t n = go_ld_rlx(&p->lat.n[i]);
    s->latency[i] += n;
    s->latency_count += n;
  }
  go_nsec max = (go_nsec)go_ld_rlx(&p->lat.max);
  s->latency_sum += (go_nsec)go_ld_rlx(&p->lat.sum);
  s->latency_max = max > s->latency_max ? max : s->latency_max;
}

static void add_p(go_stats *s, go_p_ *p) {
  s->ended += go_ld_acq(&p->ndied);
  s->spawned += go_ld_acq(&p->nborn);
  s->parks += go_ld_rlx(&p->nparks);
  s->switches += go_ld_rlx(&p->nswitched);
  s->turns += go_ld_rlx(&p->nturns);
  s->steals += go_ld_rlx(&p->nsteals);
  s->stolen += go_ld_rlx(&p->nstolen);
  s->queued += go_runq_len_(&p->q);
  add_latency(s, p);
  go_lock_(&p->tm.lock);
  s->timers += p->tm.n + p->tm.nspilled;
  go_unlock_(&p->tm.lock);
}

/* Of a goroutine that may be anywhere: a look. */
GO_NO_TSAN_ static bool in_foreign(const go_g_ *g) {
  return (*(const volatile uint8_t *)&g->flags & GO_G_THREAD_) != 0;
}

static void add_g(go_g_ *g, void *arg) {
  go_stats *s = arg;
  switch (go_get_state_(g)) {
    case GO_G_FRESH_:
    case GO_G_TIMED_FRESH_: s->not_started++; break;
    case GO_G_RUNNABLE_:
    case GO_G_TIMED_: s->runnable++; break;
    case GO_G_RUNNING_:
      if (in_foreign(g)) {
        s->blocking++;
      } else {
        s->running++;
      }
      break;
    case GO_G_WAITING_: s->waiting++; break;
    default: return;
  }
  s->goroutines++;
}

static void read_sched(go_stats *s) {
  go_lock_(&GO_S->lock);
  s->procs = (int32_t)go_ld_rlx(&GO_S->procs);
  s->procs_idle = (int32_t)go_ld_rlx(&GO_S->idle.np);
  s->threads = (int32_t)GO_S->nm;
  s->threads_max = (int32_t)GO_S->peak_m;
  s->threads_blocking = (int32_t)go_ld_rlx(&GO_S->nforeign);
  go_unlock_(&GO_S->lock);
  s->threads_spinning = (int32_t)go_ld_rlx(&GO_S->idle.nspinning);
  s->threads_waiting = (int32_t)go_ld_rlx(&GO_S->nblocked);
  s->queued_global = go_ld_rlx(&GO_S->q.n);
  s->descriptors = go_ld_rlx(&GO_S->npd);
  s->polls = go_ld_rlx(&GO_S->polls);
  s->polled = go_ld_rlx(&GO_S->npolled_all);
  s->retakes = go_ld_rlx(&GO_S->nretaken);
  s->switches = go_ld_rlx(&GO_S->nswitched);
}

void go_stats_sum_(go_stats *s) {
  memset(s, 0, sizeof *s);
  if (go_ld_acq(&GO_S->running) == 0) { /* a forked child's is a picture of its parent's */
    return;
  }
  read_sched(s);
  s->ended = go_ld_acq(&GO_S->ndied);
  s->spawned = go_ld_acq(&GO_S->nborn);
  uint32_t n = go_ld_acq(&GO_S->np_made);
  for (uint32_t i = 0; i < n; i++) {
    add_p(s, GO_S->all_p[i]);
  }
  go_stack_stats_ st;
  go_stack_stats_read_(&st);
  s->stacks = st.in_use;
  s->stacks_max = st.peak;
  s->stacks_free = st.warm + st.cold;
  s->stack_bytes_reserved = st.bytes;
  s->goroutines_max = (int64_t)go_gs_made_();
  s->goroutines = go_live_();
}

void go_stats_read(go_stats *ret_stats) {
  if (ret_stats == NULL || go_forked_()) {
    if (ret_stats != NULL) {
      memset(ret_stats, 0, sizeof *ret_stats);
    }
    return;
  }
  go_stats_sum_(ret_stats);
  ret_stats->goroutines = 0;
  go_each_g_(add_g, ret_stats);
}
