/* core/timer.h: timers as users see them, for core/timer.c, which fires them.
 *
 * A go_timer is a go_tm_ of kind GO_TM_SPAWN_, a go_ticker one of kind GO_TM_TICK_.
 */
#ifndef GOLIB_CORE_TIMER_H_
#define GOLIB_CORE_TIMER_H_

#include <golib/time.h>

#include "core/chan.h"
#include "core/sched.h"

enum go_tm_armed_ {
  GO_TM_WAS_IDLE_,
  GO_TM_WAS_ARMED_,
  GO_TM_MISUSE_, /* nothing was done: it is armed, and was not to be; or nobody ever said what fires */
};

/* Arms tm in the heap of m's P, or moves it where it is; any number of threads at a time. what: what fires, if tm is
 * idle now; NULL: what it was. idle_only: misuse if it is armed. */
enum go_tm_armed_ go_tm_arm_(go_m_ *m, go_tm_ *tm, int64_t when, const void *what, bool idle_only);
/* The calling thread's M, with the scheduler up. NULL: it could not be started; *ret_err says why. */
go_m_ *go_tm_enter_(int *ret_err);

/* ---- go_timer ---- */

/* The public struct as it is used. */
typedef struct __attribute__((may_alias)) go_utimer_ {
  go_tm_ tm;
  const char *site;
  void *reserved;
} go_utimer_;

/* What go_timer_start says is to fire. */
typedef struct go_timer_what_ {
  void (*fn)(void *);
  void *arg;
  const char *site;
} go_timer_what_;

/* Home locked, idle. */
static inline void go_timer_fill_(go_tm_ *tm, const void *what) {
  const go_timer_what_ *w = (const go_timer_what_ *)what;
  tm->kind = GO_TM_SPAWN_;
  tm->run = w->fn;
  tm->arg = w->arg;
  ((go_utimer_ *)(void *)tm)->site = w->site;
}
static inline const char *go_timer_site_(const go_tm_ *tm) {
  return ((const go_utimer_ *)(const void *)tm)->site;
}

/* ---- go_ticker, and what go_after makes ----
 *
 * Lies behind the buffer of its channel (tm.arg), which lives for at least as long. Lock order: channel, heap.
 *  - tm.seq counts stops and resets. Stored with the channel's lock held and the timer in no heap; read with either
 *    lock held. A tick takes the number along when it leaves the heap, and is dropped when it arrives at
 *    the channel and the number is another: so nothing stale arrives after a stop or reset, which also empties the channel.
 *  - A tick on its way has a reference to the channel.
 *  - When the last reference goes, the timer is taken out of its heap. From then on nobody finds the channel.
 */
struct go_ticker {
  go_tm_ tm;
  int64_t period; /* 0: fires once. As tm.seq */
};

typedef struct go_tick_ {
  go_chan *ch; /* referenced; NULL: on its way out, no tick any more */
  int64_t when;
  uint32_t seq;
} go_tick_;

/* Heap locked. */
static inline go_tick_ go_tick_begin_(const go_tm_ *tm) {
  go_chan *c = (go_chan *)tm->arg;
  return (go_tick_){go_chan_try_ref_(c) ? c : NULL, tm->when, tm->seq};
}

/* Heap locked. The first instant of the ticker's after `now`: those that were missed are dropped, and the phase is
 * kept. INT64_MAX: none. */
static inline int64_t go_tick_next_(const go_tm_ *tm, int64_t now) {
  int64_t period = ((const go_ticker *)(const void *)tm)->period;
  if (period == 0) {
    return INT64_MAX;
  }
  int64_t last = tm->when + (now - tm->when) / period * period; /* the latest that is due */
  return period > INT64_MAX - 1 - last ? INT64_MAX - 1 : last + period;
}

/* No lock held. Sends it, if it is still wanted. */
void go_tick_end_(go_m_ *m, const go_tick_ *t);

#endif /* GOLIB_CORE_TIMER_H_ */
