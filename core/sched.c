/* core/sched.c: which goroutine runs next, and getting there.
 *
 * Switching. A G that parks picks the next G of its P and switches to it directly; only when the P's queues
 * are empty, or a look round is due, it switches to g0, which looks everywhere. A G is runnable from the
 * moment a waker knows it, which may be before it is off its stack: on_cpu says so. It is cleared on the other
 * side of the switch (go_after_switch_), and whoever wants to run the G waits for that. So no lock is held
 * across a switch. Rejected: unlocking the channel on the other side (Go's gopark with
 * an unlock function): it keeps locks across the switch and needs one callback per kind of wait.
 *
 * Waking: core/idle.h. The submitter's locked instruction is the one that puts the goroutine into a queue. An M
 * that finds work while spinning stops spinning, and wakes another if it was the last: work tends to
 * come in bursts.
 *
 * Looking round. After `ticks` goroutines, g0 runs due timers, takes from the global queue, and makes
 * runq.next queue up if it has been served for long. ticks adapts so that this is about every 50 us: 61 when
 * goroutines are short, 1 when each runs longer than that. So the clock is not read per switch.
 *
 * Go: runtime/proc.go schedule, findRunnable, wakep, resetspinning, stoplockedm. Departures: on_cpu; direct
 * switch; ticks; fresh queue; the poller is the timekeeper.
 *
 * The poller. An M that finds nothing looks into it, and if it is still idle, waits in it, unless another does; so
 * an idle process answers as fast as the system wakes a thread. Under load look_round looks. Only one is in
 * there at a time.
 */
#include "core/sched.h"

#include <golib/go.h>

#include "core/hooks.h"
#include "core/netpoll.h"
#include "core/poll.h"
#include "core/stack.h"
#include "core/trace.h"

#define TICKS_MAX 61
#define LOOK_EVERY (50 * GO_US)
#define LINGER (30 * GO_US)
#define POLL_EVERY (100 * GO_US) /* under load: a look costs about half a microsecond */
#define NEXT_SLICE GO_MS
#define SAMPLE_EVERY (100 * GO_US)
#define STEAL_ROUNDS 4

go_sched_ go_sched_state_;

/* ---- switching ---- */

/* First thing on the other side: the stack that was left can be run, or used, by others now. */
static inline void go_after_switch_(go_m_ *m) {
  go_g_ *g = m->prev;
  if (GO_LIKELY_(g != NULL)) {
    m->prev = NULL;
    go_st_rel(&g->on_cpu, 0u); /* pairs with wait_off_cpu: its context is complete */
  } else if ((g = m->dead) != NULL) {
    m->dead = NULL;
    go_recycle_(m, g);
  }
}

#if defined(GO_TSAN_)
GO_NO_TSAN_ static go_m_ *switch_stacks(go_m_ *m, go_g_ *from, go_g_ *to, bool dying) {
  (void)dying;
  __tsan_switch_to_fiber(to != NULL ? to->fiber : m->g0_fiber, 0);
  return go_arch_switch_(from != NULL ? &from->ctx : &m->g0, to != NULL ? &to->ctx : &m->g0, m);
}
#elif defined(GO_ASAN_)
static void asan_arrived(go_m_ *m, void *fake) {
  const void *bottom;
  size_t size;
  __sanitizer_finish_switch_fiber(fake, &bottom, &size);
  if (m->g0_bottom == NULL) { /* the first switch of this thread left its g0 */
    m->g0_bottom = bottom;
    m->g0_size = size;
  }
}
static go_m_ *switch_stacks(go_m_ *m, go_g_ *from, go_g_ *to, bool dying) {
  void **fake = from != NULL ? &from->fiber : &m->g0_fiber;
  if (to != NULL) {
    char *low = go_stack_low_(to->stack_class, to->stack_top);
    size_t size = (size_t)(go_stack_high_(to->stack_class, to->stack_top) - low);
    __sanitizer_start_switch_fiber(dying ? NULL : fake, low,
                                   size); /* the leak checker reads it all */
  } else {
    __sanitizer_start_switch_fiber(dying ? NULL : fake, m->g0_bottom, m->g0_size);
  }
  m = go_arch_switch_(from != NULL ? &from->ctx : &m->g0, to != NULL ? &to->ctx : &m->g0, m);
  asan_arrived(m, from != NULL ? from->fiber : m->g0_fiber);
  return m;
}
#else
static inline go_m_ *switch_stacks(go_m_ *m, go_g_ *from, go_g_ *to, bool dying) {
  (void)dying;
  return go_arch_switch_(from != NULL ? &from->ctx : &m->g0, to != NULL ? &to->ctx : &m->g0, m);
}
#endif

/* C++ keeps the exceptions that a thread handles in thread-local memory. It is empty at every switch: a
 * goroutine that has some takes them along on its stack. */
static inline bool has_exceptions(const go_m_ *m) {
  return GO_UNLIKELY_(m->cxx != NULL) &&
         GO_UNLIKELY_(m->cxx->caught != NULL || m->cxx->uncaught != 0);
}

static __attribute__((noinline)) go_m_ *switch_with_exceptions(go_m_ *m, go_g_ *from, go_g_ *to) {
  go_os_cxx_state_ own = *m->cxx;
  *m->cxx = (go_os_cxx_state_){NULL, 0};
  m = switch_stacks(m, from, to, false);
  *m->cxx = own; /* the new thread's */
  return m;
}

static inline go_m_ *switch_to(go_m_ *m, go_g_ *from, go_g_ *to, bool dying) {
  if (!dying && has_exceptions(m)) {
    return switch_with_exceptions(m, from, to);
  }
  return switch_stacks(m, from, to, dying);
}

/* The thread on its stack is a few instructions from leaving it. */
static __attribute__((noinline)) void wait_off_cpu_slow(go_g_ *g) {
  for (uint32_t tries = 0; go_ld_acq(&g->on_cpu) != 0; tries++) {
    go_backoff_(tries);
  }
}

/* g, taken out of a queue by this M, becomes what m runs. */
static inline void take_over(go_m_ *m, go_g_ *g) {
  if (GO_UNLIKELY_(g->stack_top == NULL)) {
    go_bind_(m, g);
  } else if (GO_UNLIKELY_(go_ld_acq(&g->on_cpu) != 0)) { /* pairs with go_after_switch_ */
    wait_off_cpu_slow(g);
  }
  go_st_rlx(&g->on_cpu, 1u);
  if (GO_UNLIKELY_(go_get_state_(g) >= GO_G_TIMED_FRESH_)) {
    go_timed_run_(m, g);
  }
  go_set_state_(g, GO_G_RUNNING_);
  go_m_set_cur_(m, g);
}

static void run(go_m_ *m) {
  go_g_ *g = m->cur;
  go_unhold_(m, 0);
  if (GO_UNLIKELY_(g->flags & GO_G_PINNED_)) {
    go_lock_thread();
  }
  if (GO_LIKELY_(go_ld_rlx(&go_cxx_registered_) == NULL) || !go_call_root_(g)) {
    g->fn(g->arg);
  }
  go_end_(go_enter_()); /* in a forked child there is nothing to come back to */
}

void go_g_entry_(void *arg) {
  go_m_ *m = arg;
#if defined(GO_ASAN_)
  asan_arrived(m, NULL);
#endif
  go_after_switch_(m);
  run(m);
}

/* ---- the fast half: on a goroutine's stack ---- */

static __attribute__((noinline)) go_g_ *pick_fresh(go_p_ *p) {
  void *g;
  if ((p->turn & 63) == 0 && go_fresh_steal_(&p->q, &g, 1) == 1) {
    return g; /* the oldest: nobody waits for ever under a rain of spawns */
  }
  return go_fresh_get_(&p->q, p->solo);
}

/* A goroutine that has waited long is cold: its G, its stack, and the page-table entry of that. Fetch Gs some turns
 * ahead, and stacks, whose Gs have come by then, a turn ahead. */
static inline void prefetch(go_p_ *p) {
  go_g_ *soon = go_ring_peek_(&p->q, 1);
  if (soon != NULL) {
    __builtin_prefetch(
        __atomic_load_n(&soon->ctx.sp, __ATOMIC_RELAXED)); /* it may be stolen by now */
    go_g_ *later = go_ring_peek_(&p->q, 5);
    if (later != NULL) {
      __builtin_prefetch(later);
    }
  }
}

/* The next goroutine of this P; NULL: let g0 decide. */
static inline go_g_ *pick(go_m_ *m, go_p_ *p) {
  if (GO_UNLIKELY_(go_tick_down_(p) < 0 || m->locked_g != NULL)) {
    return NULL;
  }
  bool solo = p->solo;
  go_g_ *g = go_next_get_(&p->q, solo);
  if (g == NULL) {
    if (GO_UNLIKELY_((++p->turn & 7) == 0)) {
      g = pick_fresh(p);
    }
    if (g == NULL && (g = go_ring_get_(&p->q, solo)) != NULL) {
      prefetch(p);
    }
    if (g == NULL) {
      g = go_fresh_get_(&p->q, solo);
    }
    if (g == NULL) {
      return NULL;
    }
  }
  if (GO_UNLIKELY_(g->locked_m != NULL)) {
    m->handoff = g;
    return NULL;
  }
  return g;
}

static go_m_ *park_thread(go_m_ *m);

/* Held; the current goroutine goes on in user code, or goes away until it does. */
static inline go_m_ *leave_stack(go_m_ *m, go_g_ *g, go_g_ *next) {
  m->prev = g;
  m = switch_to(m, g, next, false);
  go_after_switch_(m);
  go_unhold_(m, 0);
  return m;
}

/* Others have the P already: only the stack is to be left. */
static __attribute__((noinline)) go_m_ *park_without_p(go_m_ *m, uint32_t was) {
  if (!go_is_thread_(m->cur)) {
    return leave_stack(m, m->cur, NULL);
  }
  go_unhold_(m, was);
  return park_thread(m);
}

go_m_ *go_park_(go_m_ *m) {
  go_g_ *g = m->cur;
  uint32_t was = go_hold_(m);
  go_p_ *p = m->p;
  if (GO_UNLIKELY_(p == NULL)) {
    return park_without_p(m, was);
  }
  go_count_(&p->nparks);
  go_g_ *next = pick(m, p);
  if (GO_UNLIKELY_(next == g)) { /* readied before it was off its stack */
    go_set_state_(g, GO_G_RUNNING_);
    go_unhold_(m, was);
    return m;
  }
  if (next != NULL) {
    take_over(m, next);
  }
  return leave_stack(m, g, next);
}

static __attribute__((noinline)) void ring_put_slow(go_p_ *p, go_g_ *g) {
  void *out[GO_RUNQ_CAP_ / 2];
  uint32_t n = go_ring_steal_(&p->q, out);
  for (uint32_t i = 0; i + 1 < n; i++) {
    ((go_g_ *)out[i])->link = out[i + 1];
  }
  if (n > 0) {
    go_global_put_(out[0], out[n - 1], n);
  }
  if (!go_ring_put_(&p->q, g)) {
    go_global_put_(g, g, 1);
  }
}

static inline void ring_put(go_p_ *p, go_g_ *g) {
  if (GO_UNLIKELY_(!go_ring_put_(&p->q, g))) {
    ring_put_slow(p, g);
  }
}

static __attribute__((noinline)) void ready_thread(go_g_ *g) {
  go_m_ *m = g->stack_top == NULL ? (go_m_ *)((char *)g - offsetof(go_m_, thread_g)) : g->locked_m;
  (void)go_sub_sc(&GO_S->nblocked, 1u); /* before it can run: see the deadlock check */
  go_set_state_(g, GO_G_RUNNABLE_);
  go_note_wake_(&m->note);
  if (GO_UNLIKELY_(m == go_host_())) { /* only compared: it may be gone */
    go_poll_break_();
  }
}

void go_ready_(go_m_ *m, go_g_ *g) {
  if (GO_UNLIKELY_(go_is_thread_(g))) {
    ready_thread(g);
    return;
  }
  go_set_state_(g, GO_G_RUNNABLE_);
  if (GO_UNLIKELY_(m == NULL)) {
    go_time_it_(g);
    if (go_tracing_()) {
      go_trace_ready_(NULL, g);
    }
    go_inject_(g);
    return;
  }
  uint32_t was = go_hold_(m);
  go_p_ *p = m->p;
  if (GO_UNLIKELY_(p == NULL)) {
    go_unhold_(m, was);
    if (m->nwoken++ % 8 == 0 || go_tracing_()) {
      go_time_it_(g);
      if (go_tracing_()) {
        go_trace_ready_(m, g);
      }
    }
    go_inject_(g);
    return;
  }
  if (GO_UNLIKELY_(go_ld_rlx(&p->watch) != 0)) {
    go_watched_ready_(m, g);
  }
  go_g_ *old = go_next_put_(&p->q, g, p->solo);
  if (old != NULL) {
    ring_put(p, old);
    if (!p->solo) {
      go_idle_look_(); /* the ring's tail is a plain store */
    }
  }
  if (!p->solo) {
    go_wake_();
  }
  go_unhold_(m, was);
}

static inline bool nothing_local(go_p_ *p) {
  return go_ld_rlx(&p->q.next) == NULL && go_ring_peek_(&p->q, 0) == NULL &&
         go_fresh_len_(go_ld_rlx(&p->q.fresh)) == 0;
}

/* Queues up first and picks then: so it is in some queue whenever another M looks, and the locked instruction
 * of the pick orders it before the look for idle Ps. (On amd64; on arm64 no sc load passes the store of the tail,
 * which is a release. By C11 alone, neither would do.) It may pick itself. */
static go_m_ *yield_local(go_m_ *m, go_p_ *p, go_g_ *g) {
  /* Who yields lets those that have not run yet come first when it is alone in the ring, and else every other time:
   * a ring of goroutines that only yield is never empty. */
  if (go_fresh_len_(go_ld_rlx(&p->q.fresh)) != 0 &&
      ((p->turn & 1) != 0 || go_ring_peek_(&p->q, 0) == NULL)) {
    p->turn |= 7;
  }
  go_set_state_(g, GO_G_RUNNABLE_);
  ring_put(p, g);
  go_g_ *next = pick(m, p);
  if (next == g) {
    go_set_state_(g, GO_G_RUNNING_);
    go_unhold_(m, 0);
    return m;
  }
  if (!p->solo) {
    go_wake_();
  }
  if (next != NULL) {
    take_over(m, next);
  }
  return leave_stack(m, g, next);
}

static __attribute__((noinline)) go_m_ *yield_without_p(go_m_ *m, uint32_t was) {
  if (!go_is_thread_(m->cur)) {
    return go_queue_up_(m);
  }
  go_unhold_(m, was);
  go_os_yield_();
  return m;
}

go_m_ *go_yield_m_(go_m_ *m) {
  go_g_ *g = m->cur;
  uint32_t was = go_hold_(m);
  go_p_ *p = m->p;
  if (GO_UNLIKELY_(p == NULL)) {
    return yield_without_p(m, was);
  }
  if (GO_LIKELY_(go_ticks_(p) > 0 && m->locked_g == NULL)) {
    if (nothing_local(p)) { /* the look round finds what is elsewhere */
      (void)go_tick_down_(p);
      go_unhold_(m, 0);
      return m;
    }
    return yield_local(m, p, g);
  }
  go_set_state_(g, GO_G_RUNNABLE_);
  (void)go_tick_down_(p);
  m->requeue = g; /* from g0, where it may go to the global queue */
  return leave_stack(m, g, NULL);
}

go_m_ *go_queue_up_(go_m_ *m) {
  go_g_ *g = m->cur;
  (void)go_hold_enter_(&m->hold,
                       &(uint32_t){0}); /* it has none to lose, and does not look for one */
  go_set_state_(g, GO_G_RUNNABLE_);
  m->requeue = g;
  return leave_stack(m, g, NULL);
}

/* It goes behind everybody else: to the global queue, and this P's next look there is for others. The time that it took
 * says nothing about the length of turns. (Go as well. In the ring, those that are woken, or have not run yet, would wait
 * until each of several hogs has had its slice.) */
void go_preempt_switch_(void) {
  go_m_ *m = go_m_get_();
  go_g_ *g = m->cur;
  (void)go_hold_(m);
  go_p_ *p = m->p;
  if (p == NULL) {
    (void)go_add_rlx(&GO_S->nswitched, (uint64_t)1);
    (void)go_queue_up_(m);
    return;
  }
  int64_t now = go_os_now_();
  go_count_(&p->nswitched);
  go_set_state_(g, GO_G_RUNNABLE_);
  go_ticks_set_(p, 0);
  go_st_rlx(&p->tick_at, (uint64_t)now);
  p->rounds |= 1;
  p->next_at = now; /* nobody has been served yet */
  m->stopped = true;
  m->requeue = g;
  (void)leave_stack(m, g, NULL);
}

void go_hold_slow_(go_m_ *m) {
  uint32_t asked = go_hold_answer_(&m->hold);
  if (asked == GO_ASKED_TAKEN_) {
    go_m_set_p_(m, NULL);
    go_hold_set_(&m->hold, GO_ASKED_LOST_);
    asked = GO_ASKED_LOST_;
  }
  if (asked == GO_ASKED_LOST_ && m->hook_g == NULL) {
    if (go_m_take_idle_(m) && go_tracing_()) {
      go_trace_again_(m);
    }
  }
}

go_m_ *go_hold_p_(go_m_ *m) {
  (void)go_hold_(m);
  while (GO_UNLIKELY_(m->p == NULL)) {
    m = go_queue_up_(m);
    (void)go_hold_(m);
  }
  return m;
}

void go_yield(void) { (void)go_yield_m_(go_enter_()); }

static inline bool is_asked(go_m_ *m) {
  return (go_ld_rlx(&m->hold.asked) & GO_ASKED_STATE_) != GO_ASKED_NO_;
}

bool go_checkpoint(void) {
  go_m_ *m = go_enter_();
  go_p_ *p = m->p; /* it may be another M's by now: then it is_asked */
  if (GO_UNLIKELY_(is_asked(m))) {
    (void)go_yield_m_(m);
    return true;
  }
  if (p == NULL || (go_runq_empty_(&p->q) && go_ld_rlx(&GO_S->q.n) == 0 &&
                    go_ld_rlx(&p->leave) == 0 && go_ld_rlx(&p->tm.first) == INT64_MAX)) {
    return false;
  }
  (void)go_yield_m_(m);
  return true;
}

/* The next goroutine starts on the stack that this one leaves. */
static bool can_take_stack(const go_g_ *g, const go_g_ *next) {
  return GO_TAKEOVER_ && next->stack_top == NULL && g->stack_class == GO_S->stack_class;
}

static void go_restarted_(void *m) { run(m); }

/* A goroutine ends, and somebody counts (enum go_careful_). */
static __attribute__((noinline)) void end_careful(go_p_ *p) {
  if (GO_S->max_g != 0) {
    (void)go_add_rlx(&GO_S->ng, (uint64_t)-1);
  }
  if (go_hooks_() != NULL) {
    go_ticks_set_(p, 0); /* to g0, which calls them */
  }
}

_Noreturn void go_end_(go_m_ *m) {
  go_g_ *g = m->cur;
  if (has_exceptions(m)) { /* their frames were left for good by go_exit or a panic */
    *m->cxx = (go_os_cxx_state_){NULL, 0};
  }
  if (GO_UNLIKELY_(g->name != NULL)) {
    m = go_local_end_(g); /* may suspend */
    g->name[0] = '\0';
  }
  if (GO_UNLIKELY_(go_is_thread_(g))) {
    go_fatal_("a goroutine ended between go_blocking_begin and go_blocking_end");
  }
  m = go_hold_p_(m); /* until the next goroutine runs */
  go_p_ *p = m->p;
  if (g->on_end != NULL) {
    g->on_end(g->end_arg);
    g->on_end = NULL;
  }
  if (GO_UNLIKELY_(g->locked_m != NULL)) { /* Go: the thread's state may be spoilt */
    g->locked_m = NULL;
    g->lock_count = 0;
    m->locked_g = NULL;
    m->die = true;
    (void)go_add_sc(&GO_S->ndying, 1u);
    (void)go_sub_sc(&GO_S->nwired, 1u);
    go_ticks_set_(p, 0);
  }
  if (GO_UNLIKELY_(go_ld_rlx(&GO_S->careful) != 0)) {
    end_careful(p);
  }
  go_set_state_(g, GO_G_DEAD_);
  go_st_rlx(&p->ndied, go_ld_rlx(&p->ndied) + 1);
  go_g_ *next = pick(m, p);
  if (next != NULL && can_take_stack(g, next)) {
    next->stack_top = g->stack_top;
    next->stack_class = g->stack_class;
    g->stack_top = NULL;
    go_recycle_(m, g);
    take_over(m, next);
    go_arch_restart_(go_stack_start_(next->stack_class, next->stack_top), go_restarted_, m);
  }
  if (next != NULL) {
    take_over(m, next);
  }
  m->dead = g;
  (void)switch_to(m, g, next, true);
  __builtin_unreachable();
}

/* ---- waking ---- */

static __attribute__((noinline)) void wake_slow(void) {
  if (!go_idle_begin_one_(&GO_S->idle)) {
    return;
  }
  go_lock_(&GO_S->lock);
  go_p_ *p = go_p_get_idle_();
  go_m_ *m = p != NULL ? go_idle_m_get_() : NULL;
  bool poke = p != NULL && m == NULL && go_ld_sc(&GO_S->poller) == GO_POLLER_WAITS_;
  if (poke) { /* the M that waits in the poller will do */
    go_st_rlx(&GO_S->poked, 1u);
    go_p_put_idle_(p);
    p = NULL;
  }
  if (p ==
      NULL) { /* under the lock: when another P becomes idle, nobody may still be seen to spin */
    (void)go_idle_end_(&GO_S->idle);
  }
  go_unlock_(&GO_S->lock);
  if (m != NULL) {
    m->spinning = true;
    m->next_p = p;
    go_note_wake_(&m->note);
  } else if (p != NULL) {
    (void)go_m_start_(p, true);
  } else if (poke) {
    go_poll_break_();
  }
}

void go_wake_(void) {
  if (go_idle_wanted_(&GO_S->idle)) {
    wake_slow();
  }
}

void go_global_put_(go_g_ *first, go_g_ *last, uint32_t n) {
  go_globq_put_(&GO_S->q, &GO_S->lock, first, last, n);
}

void go_inject_(go_g_ *g) {
  if (go_forked_()) { /* nobody is there to run it */
    go_forked_fatal_(__builtin_return_address(0));
  }
  go_global_put_(g, g, 1);
  go_wake_();
}

/* ---- the slow half: on g0 ---- */

/* Our share of the global queue, at most max: returns the first, the others go into p's ring. */
static go_g_ *global_get(go_p_ *p, uint32_t max) {
  uint32_t n;
  go_g_ *first = go_globq_get_(&GO_S->q, &GO_S->lock, go_ld_rlx(&GO_S->procs), max, &n);
  go_g_ *rest = n > 1 ? first->link : NULL;
  for (uint32_t i = 1; i < n; i++) {
    go_g_ *next = rest->link;
    ring_put(p, rest);
    rest = next;
  }
  if (n > 1 &&
      !p->solo) { /* between the queues they could not be seen, and an M may have given up */
    go_idle_look_();
    go_wake_();
  }
  return first;
}

static void adapt_ticks(go_p_ *p, int64_t now) {
  int64_t took = now - (int64_t)go_ld_rlx(&p->tick_at);
  int32_t n = p->tick_n;
  go_st_rlx(&p->nturns, go_ld_rlx(&p->nturns) + (uint64_t)(n - go_ticks_(p)));
  if (took > 2 * LOOK_EVERY) {
    n = (int32_t)(n * LOOK_EVERY / took);
  } else if (took < LOOK_EVERY / 2) {
    n = n * 2;
  }
  p->tick_n = n < 1 ? 1 : n > TICKS_MAX ? TICKS_MAX : n;
  go_ticks_set_(p, p->tick_n);
  go_st_rlx(&p->tick_at, (uint64_t)now);
}

/* ---- the poller ----
 *
 * Events wake goroutines inside go_poll_wait_; they come into a list that belongs to whoever has the role
 * sched.poller, and from there, all at once, into a queue. */

void go_polled_begin_(void) {
  if (!GO_S->polling) {
    GO_S->polling = true;
    (void)go_add_sc(&GO_S->npolling, 1u); /* before anybody's wait is ended: see suspect_deadlock */
    (void)go_add_sc(&GO_S->polls, 1u);
  }
}

void go_polled_(go_g_ *g) {
  if (g == NULL) {
    return;
  }
  if (go_is_thread_(g) || go_embedded_()) {
    go_ready_(go_m_get_(), g);
    return;
  }
  go_set_state_(g, GO_G_RUNNABLE_);
  g->link = NULL;
  if (go_tracing_()) {
    go_time_it_(g);
    go_trace_ready_(NULL, g);
  } else if (GO_S->polled == NULL && go_ld_rlx(&GO_S->polls) % 8 == 1) {
    go_time_it_(g);
  }
  if (GO_S->polled == NULL) {
    GO_S->polled = g;
  } else {
    GO_S->polled_last->link = g;
  }
  GO_S->polled_last = g;
  GO_S->npolled++;
  go_count_(&GO_S->npolled_all);
}

typedef struct batch {
  go_g_ *first, *last;
  uint32_t n;
  bool begun;
} batch;

/* By whoever has the role. */
static batch polled_get(void) {
  batch b = {GO_S->polled, GO_S->polled_last, GO_S->npolled, GO_S->polling};
  GO_S->polled = GO_S->polled_last = NULL;
  GO_S->npolled = 0;
  GO_S->polling = false;
  return b;
}

/* Into p's queue, in the order of their events; NULL: the global one. */
static void polled_put(go_p_ *p, const batch *b) {
  go_g_ *g = b->first;
  if (p == NULL && g != NULL) {
    go_global_put_(g, b->last, b->n);
  } else {
    for (go_g_ *next; g != NULL; g = next) {
      next = g->link;
      ring_put(p, g);
    }
  }
  if (b->begun) {
    (void)go_sub_sc(&GO_S->npolling, 1u);
  }
}

/* Fetches what is ready, without waiting, if nobody else is there. Returns whether it has put anything into p's
 * queue. */
static bool look_poller(go_p_ *p) {
  uint32_t none = GO_POLLER_NONE_;
  if (go_ld_rlx(&GO_S->npd) == 0 || go_ld_rlx(&GO_S->poller) != GO_POLLER_NONE_ ||
      !go_cas_sc(&GO_S->poller, &none, (uint32_t)GO_POLLER_LOOKS_)) {
    return false;
  }
  (void)go_poll_wait_(0);
  batch b = polled_get();
  go_st_sc(&GO_S->poller, (uint32_t)GO_POLLER_NONE_);
  polled_put(p, &b);
  if (b.n > 1 && !p->solo) {
    go_idle_look_();
    go_wake_();
  }
  return b.n > 0;
}

static __attribute__((noinline)) void look_poller_under_load(go_p_ *p, int64_t now) {
  if (now - (int64_t)go_ld_rlx(&GO_S->polled_at) > POLL_EVERY) {
    go_st_rlx(&GO_S->polled_at, (uint64_t)now);
    (void)look_poller(p);
  }
}

static go_g_ *steal_round(go_m_ *m, go_p_ *p, bool last, int64_t now);

/* Whether it ran or is allowed to go on with the local queue: see "Looking round". */
static go_g_ *look_round(go_m_ *m, go_p_ *p) {
  int64_t now = go_os_now_();
  adapt_ticks(p, now);
  if (now - p->sampled_at > SAMPLE_EVERY) {
    p->sampled_at = now;
    (void)go_or_ar(&p->watch, (uint32_t)GO_WATCH_SAMPLE_);
  }
  (void)go_tm_run_(m, p, now);
  if (go_ld_rlx(&GO_S->npd) != 0) {
    look_poller_under_load(p, now);
  }
  if (now - p->next_at > NEXT_SLICE) {
    p->next_at = now;
    go_g_ *next = go_next_get_(&p->q, p->solo);
    if (next != NULL) {
      ring_put(p, next);
      if (!p->solo) { /* it was in no queue for a moment */
        go_idle_look_();
        go_wake_();
      }
    }
    void *
        oldest; /* the ring is first now; those that have never run wait behind it, but not for ever */
    if (go_fresh_steal_(&p->q, &oldest, 1) == 1) {
      return oldest;
    }
  }
  if (GO_UNLIKELY_(go_ld_rlx(&GO_S->want_m) != 0)) { /* nobody else will for long */
    go_g_ *g = steal_round(m, p, true, now);
    if (g != NULL) {
      return g;
    }
  }
  /* In turns with the local queues, which may be looked at once a round only when goroutines run long. */
  return ++p->rounds % 2 != 0 ? global_get(p, 1) : NULL;
}

static go_g_ *steal_half(go_m_ *m, go_p_ *p, go_p_ *victim) {
  void *out[GO_RUNQ_CAP_ / 2];
  uint32_t n = go_ring_steal_(&victim->q, out);
  if (n == 0) {
    n = go_fresh_steal_(&victim->q, out, GO_RUNQ_CAP_ / 2);
  }
  if (n == 0) {
    return NULL;
  }
  go_count_(&p->nsteals);
  go_st_rlx(&p->nstolen, go_ld_rlx(&p->nstolen) + n);
  if (go_tracing_()) {
    go_trace_steal_(m, victim, n);
  }
  for (uint32_t i = 1; i < n; i++) { /* our ring is empty, or nearly so */
    ring_put(p, out[i]);
  }
  return out[0];
}

/* The victim has readied it and may be about to park and run it: give it some microseconds. */
static go_g_ *steal_next(go_p_ *p, go_p_ *victim) {
  void *g = go_ld_rlx(&victim->q.next);
  if (g == NULL) {
    return NULL;
  }
  for (int i = 0; i < 60; i++) {
    go_arch_relax_();
    if (go_ld_rlx(&victim->q.next) != g) {
      return NULL;
    }
  }
  g = go_next_get_(&victim->q, false);
  if (g != NULL) {
    go_count_(&p->nsteals);
    go_count_(&p->nstolen);
  }
  return g;
}

static uint32_t gcd(uint32_t a, uint32_t b) {
  while (b != 0) {
    uint32_t t = a % b;
    a = b;
    b = t;
  }
  return a;
}

/* One pass over all Ps in a random order. */
static go_g_ *steal_round(go_m_ *m, go_p_ *p, bool last, int64_t now) {
  uint32_t n = go_ld_acq(&GO_S->np_made);
  uint32_t at = (uint32_t)(go_rand_(&m->rng) >> 32) % n;
  uint32_t step = (uint32_t)(go_rand_(&m->rng) >> 32) % n + 1;
  while (gcd(step, n) != 1) {
    step++;
  }
  for (uint32_t i = 0; i < n; i++, at = (at + step) % n) {
    go_p_ *victim = GO_S->all_p[at];
    if (victim == p) {
      continue;
    }
    if (last && (int64_t)go_ld_rlx(&victim->tm.first) <= now && go_tm_run_(m, victim, now)) {
      go_g_ *g = go_next_get_(&p->q, p->solo); /* timers ready and start into our own queues */
      if (g == NULL) {
        g = go_fresh_get_(&p->q, p->solo);
      }
      if (g != NULL) {
        return g;
      }
    }
    go_g_ *g = steal_half(m, p, victim);
    if (g == NULL && last) {
      g = steal_next(p, victim);
    }
    if (g != NULL) {
      return g;
    }
  }
  return NULL;
}

static bool may_spin(go_m_ *m) {
  if (m->spinning) {
    return true;
  }
  uint32_t busy = go_ld_rlx(&GO_S->procs) - go_ld_rlx(&GO_S->idle.np);
  if (2 * go_ld_rlx(&GO_S->idle.nspinning) >= busy) {
    return false;
  }
  m->spinning = true;
  go_idle_begin_(&GO_S->idle);
  return true;
}

static go_g_ *steal(go_m_ *m, go_p_ *p) {
  if (go_ld_rlx(&GO_S->np_made) == 1 || !may_spin(m)) {
    return NULL;
  }
  for (int round = 0; round < STEAL_ROUNDS; round++) {
    bool last = round == STEAL_ROUNDS - 1;
    go_g_ *g = steal_round(m, p, last, last ? go_os_now_() : 0);
    if (g == NULL) {
      g = global_get(p, GO_RUNQ_CAP_ / 2);
    }
    if (g != NULL) {
      return g;
    }
    for (int i = 0; i < 20 << round; i++) {
      go_arch_relax_();
    }
  }
  return NULL;
}

static go_g_ *find_local(go_m_ *m, go_p_ *p);

/* A spinner that has found nothing, while other Ps run: what they send may wake goroutines any moment, and
 * to be woken out of the poller costs more than to look there for as long. */
static __attribute__((noinline)) go_g_ *linger(go_m_ *m, go_p_ *p) {
  int64_t until = go_os_now_() + LINGER;
  while (go_ld_rlx(&GO_S->idle.np) + 1 < go_ld_rlx(&GO_S->procs) && go_os_now_() < until) {
    for (int i = 0; i < 20; i++) {
      go_arch_relax_();
    }
    if (look_poller(p)) {
      return find_local(m, p);
    }
    if (go_work_anywhere_()) {
      return steal_round(m, p, false, 0);
    }
  }
  return NULL;
}

static go_g_ *find_local(go_m_ *m, go_p_ *p) {
  if ((int64_t)go_ld_rlx(&p->tm.first) != INT64_MAX) {
    (void)go_tm_run_(m, p, go_os_now_());
  }
  go_g_ *g = go_next_get_(&p->q, p->solo);
  if (g == NULL) {
    g = go_ring_get_(&p->q, p->solo);
  }
  if (g == NULL) {
    g = go_fresh_get_(&p->q, p->solo);
  }
  return g != NULL ? g : global_get(p, GO_RUNQ_CAP_ / 2);
}

bool go_work_anywhere_(void) {
  if (go_ld_sc(&GO_S->q.n) != 0) {
    return true;
  }
  uint32_t n = go_ld_acq(&GO_S->np_made);
  for (uint32_t i = 0; i < n; i++) {
    if (!go_runq_empty_(&GO_S->all_p[i]->q)) {
      return true;
    }
  }
  return false;
}

/* Takes an idle P if there is one. */
static bool acquire_idle(go_m_ *m) {
  go_lock_(&GO_S->lock);
  go_p_ *p = go_p_get_idle_();
  go_unlock_(&GO_S->lock);
  if (p == NULL) {
    return false;
  }
  go_p_acquire_(m, p);
  return true;
}

/* Steps 2 to 5 of the spinner. Returns whether m holds a P again. */
static bool give_p_back(go_m_ *m) {
  bool was_spinning = m->spinning;
  go_lock_(&GO_S->lock);
  if (go_ld_rlx(&GO_S->q.n) != 0 || go_ld_rlx(&m->p->leave) != 0) {
    go_unlock_(&GO_S->lock);
    return true;
  }
  go_p_put_idle_(go_p_release_(m));
  go_unlock_(&GO_S->lock);
  if (was_spinning) {
    m->spinning = false;
    (void)go_idle_end_(&GO_S->idle);
  }
  go_idle_look_(); /* also for an M that did not spin */
  if (go_work_anywhere_() && acquire_idle(m)) {
    if (was_spinning) {
      m->spinning = true;
      go_idle_begin_(&GO_S->idle);
    }
    return true;
  }
  return false;
}

/* Takes the role, unless somebody waits there already. A look is over soon. */
static bool become_poller(void) {
  for (uint32_t tries = 0;; tries++) {
    uint32_t is = GO_POLLER_NONE_;
    if (go_cas_sc(&GO_S->poller, &is, (uint32_t)GO_POLLER_WAITS_)) {
      return true;
    }
    if (is == GO_POLLER_WAITS_) {
      return false;
    }
    go_backoff_(tries);
  }
}

static bool suspect_deadlock(void);
static void check_deadlock(void);

/* No timer runs: until an event comes, or a break. As sleep_long. */
static void poll_long(void) {
  if (suspect_deadlock()) {
    if (go_poll_wait_(10 * GO_MS) !=
        0) { /* a break is used up by this: whatever it was for is to be seen */
      return;
    }
    check_deadlock();
  }
  (void)go_poll_wait_(-1);
}

/* Whoever has the role waits for the first timer, and for events. */
static void poll_until_first(int64_t when) {
  for (;;) { /* a timer that came in between has either seen poller, or is seen here */
    go_st_sc(&GO_S->poll_until, (uint64_t)when);
    int64_t again = go_tm_first_();
    if (again >= when) {
      break;
    }
    when = again;
  }
  if (when == INT64_MAX) {
    poll_long();
    return;
  }
  int64_t ns = when - go_os_now_();
  (void)go_poll_wait_(ns > 0 ? ns : 0);
}

static void spin(go_m_ *m) {
  m->spinning = true;
  go_idle_begin_(&GO_S->idle);
}

/* Waits for the first timer and for events, when nobody else does. Returns whether m, which holds no P, has one now,
 * with what the events have woken in its queue. */
static bool wait_in_poller(go_m_ *m) {
  int64_t when = go_tm_first_();
  if ((when == INT64_MAX && go_ld_sc(&GO_S->npd) == 0) || !become_poller()) {
    return false;
  }
  poll_until_first(when);
  batch b = polled_get();
  go_st_sc(&GO_S->poller, (uint32_t)GO_POLLER_NONE_); /* before the lock: see poked in wake_slow */
  bool got = acquire_idle(m);
  bool poked = go_ld_rlx(&GO_S->poked) != 0 && go_xchg_ar(&GO_S->poked, 0u) != 0;
  polled_put(m->p, &b);
  if (got && (b.n == 0 || poked)) {
    spin(m);
  } else if (b.n >
             (got ? 1u : 0u)) { /* one is ours to run: who polls meanwhile is told by look_round */
    go_idle_look_();
    go_wake_();
  }
  return got;
}

/* No timer that could wake a goroutine: the one that gives stacks back does not count. */
static bool no_timers(void) {
  uint32_t n = go_ld_acq(&GO_S->np_made), in = 0;
  for (uint32_t i = 0; i < n; i++) {
    go_tm_heap_ *h = &GO_S->all_p[i]->tm;
    go_lock_(&h->lock);
    in += h->n + h->nspilled;
    go_unlock_(&h->lock);
  }
  return in <= go_ld_sc(&GO_S->trimming);
}

/* Every P is idle, as the caller has seen: whether an event can wake somebody, or one has just done so. The poller counts
 * its batch before it ends the first wait, and until all are in a queue: without a batch, all who wait are seen
 * waiting. Go's netpollWaiters was adjusted late, and told of deadlocks that were none (issue 61454). */
static bool expects_events(void) {
  uint32_t polls = go_ld_sc(&GO_S->polls);
  return go_ld_sc(&GO_S->npolling) != 0 || go_pd_waited_() || go_ld_sc(&GO_S->npolling) != 0 ||
         go_ld_sc(&GO_S->polls) != polls;
}

/* Every P is idle, nothing is queued, no timer runs: whether this can ever change. Looks twice, some time
 * apart, so that handing over between threads costs no system call here. */
static bool suspect_deadlock(void) {
  return !go_embedded_() && go_ld_sc(&GO_S->idle.np) == go_ld_sc(&GO_S->procs) &&
         go_ld_sc(&GO_S->q.n) == 0 && no_timers() && go_ld_sc(&GO_S->idle.nspinning) == 0 &&
         go_ld_sc(&GO_S->stopping) == 0 &&
         (go_live_() > 0 || (int32_t)go_ld_sc(&GO_S->nblocked) > 0) && !expects_events();
}

/* Exact under sched.lock while all is still. An M is counted before its thread exists, even one without a P (the first): it
 * must not stand for a thread that is awake. Who is taken off nstarting has a thread that the caller, who counts the
 * system's afterwards, finds. */
GO_NO_TSAN_ int go_threads_asleep_(void) {
  return (int)(GO_S->nm - go_ld_rlx(&GO_S->nforeign) + go_ld_rlx(&GO_S->starter_up) +
               go_ld_rlx(&GO_S->sysmon_up) + go_ld_sc(&GO_S->nblocked) +
               go_ld_sc(&GO_S->npool_idle) - go_ld_sc(&GO_S->nstarting));
}

/* Whether nothing runs or is about to; how often something has begun to, and how many threads are asleep in
 * golib: all of one moment. */
static bool all_still(uint64_t *ret_taken, int *ret_asleep) {
  go_lock_(&GO_S->lock);
  bool still =
      go_all_ps_idle_() && go_ld_sc(&GO_S->q.n) == 0 && go_ld_sc(&GO_S->idle.nspinning) == 0;
  *ret_taken = GO_S->taken;
  *ret_asleep = go_threads_asleep_();
  go_unlock_(&GO_S->lock);
  return still;
}

/* Nothing but a thread that is neither ours nor waits in golib could do something between the two looks, and
 * there is none; what such a thread did before the first is seen by it, or is a timer. */
static void check_deadlock(void) {
  uint64_t taken, later;
  int asleep, same;
  if (go_ld_sc(&GO_S->idle.np) != go_ld_sc(&GO_S->procs) || !suspect_deadlock() ||
      !all_still(&taken, &asleep)) {
    return;
  }
  int threads = go_os_thread_count_();
  if (threads >= 0 && threads <= asleep && suspect_deadlock() && all_still(&later, &same) &&
      later == taken && same == asleep) {
    go_deadlock_();
  }
}

/* Sleeps until woken. The last one awake looks whether it is for ever; not in an embedded scheduler, whose
 * host may do something yet. */
bool go_sleep_looking_(go_note_ *n, int64_t ns) {
  if (suspect_deadlock() && go_note_sleep_(n, 10 * GO_MS)) {
    return true;
  }
  check_deadlock();
  return go_note_sleep_(n, ns);
}

static void sleep_long(go_note_ *n) { (void)go_sleep_looking_(n, -1); }

void go_thread_sleep_long_(go_m_ *m) {
  (void)go_add_sc(&GO_S->nblocked, 1u);
  if (GO_UNLIKELY_(go_embedded_() || m->hook_g != NULL)) {
    (void)go_thread_sleep_(m, -1);
  } else {
    sleep_long(&m->note);
  }
}

static __attribute__((noinline)) go_m_ *park_thread(go_m_ *m) {
  go_thread_sleep_long_(m);
  go_set_state_(m->cur, GO_G_RUNNING_);
  return m;
}

#define KEEP (5 * GO_SEC) /* how long more idle threads are kept than can be needed at once */

/* m is in the list of idle Ms; spare: not for ever. Returns false if it is to end, else it was woken. */
static bool sleep_listed(go_m_ *m, bool spare) {
  if (!spare) {
    sleep_long(&m->note);
    return true;
  }
  if (go_sleep_looking_(&m->note, KEEP)) {
    return true;
  }
  go_lock_(&GO_S->lock);
  bool ends = go_idle_m_remove_(m);
  if (ends) {
    m->die = true;
    (void)go_add_sc(&GO_S->ndying, 1u);
    go_st_rlx(&GO_S->nretired, go_ld_rlx(&GO_S->nretired) + 1);
  }
  go_unlock_(&GO_S->lock);
  if (!ends) {
    sleep_long(&m->note);
  }
  return !ends;
}

/* Sleeps until somebody gives m a P, or for so long that the thread may end. */
static void sleep_m(go_m_ *m) {
  go_lock_(&GO_S->lock);
  go_p_ *p = go_ld_rlx(&GO_S->want_m) != 0 ? go_p_get_idle_() : NULL;
  go_st_rlx(&GO_S->want_m, 0u);
  if (go_ld_rlx(&GO_S->stopping) != 0 || p != NULL) {
    go_unlock_(&GO_S->lock);
    if (p != NULL) {
      go_p_acquire_(m, p);
    }
    return;
  }
  go_note_clear_(&m->note);
  bool spare = GO_S->nidle_m >= go_ld_rlx(&GO_S->procs);
  go_idle_m_put_(m);
  go_unlock_(&GO_S->lock);
  if (sleep_listed(m, spare) && m->next_p != NULL) {
    go_p_acquire_(m, m->next_p);
    m->next_p = NULL;
  }
}

/* m holds no P: comes back with one, or because the scheduler stops. */
static void wait_for_p(go_m_ *m) {
  while (m->p == NULL && !m->die && go_ld_acq(&GO_S->stopping) == 0) {
    if (!wait_in_poller(m)) { /* somebody else does, or all Ps are busy, and look themselves */
      sleep_m(m);
    }
  }
}

static void requeue(go_m_ *m) {
  go_g_ *g = m->requeue;
  m->requeue = NULL;
  if (m->p == NULL) {
    go_inject_(g); /* before it is counted off: see came_without_p */
  } else if (m->stopped) {
    m->stopped = false;
    go_global_put_(g, g, 1);
    if (!m->p->solo) {
      go_wake_();
    }
  } else if (g->locked_m == NULL) {
    ring_put(m->p, g);
  } else {
    go_global_put_(g, g, 1);
  }
}

/* m's goroutine has come to g0 without a P: it is parked, or in a queue. From now on m is idle. */
static __attribute__((noinline)) void came_without_p(go_m_ *m) {
  go_lock_(&GO_S->lock);
  go_m_back_(m);
  go_unlock_(&GO_S->lock);
}

/* The next goroutine, with a P held; NULL: the thread shall end. */
static go_g_ *find(go_m_ *m) {
  for (;;) {
    go_p_ *p = m->p;
    if (p == NULL) {
      wait_for_p(m);
      if (m->p == NULL) {
        return NULL;
      }
      go_st_rlx(&m->p->tick_at, (uint64_t)go_os_now_());
      continue;
    }
    if (GO_UNLIKELY_(go_ld_acq(&p->leave) != 0)) {
      go_p_retire_(m);
      continue;
    }
    go_g_ *g = NULL;
    if (go_ticks_(p) <= 0) {
      g = look_round(m, p);
    }
    if (g == NULL) {
      g = find_local(m, p);
    }
    if (g == NULL && look_poller(p)) {
      g = find_local(m, p);
    }
    if (g == NULL) {
      g = steal(m, p);
    }
    if (g == NULL && m->spinning && go_ld_rlx(&GO_S->npd) != 0 && go_nobody_polls_()) {
      g = linger(m, p);
    }
    if (g != NULL) {
      return g;
    }
    if (!give_p_back(m) && go_ld_acq(&GO_S->stopping) != 0) {
      return NULL;
    }
  }
}

/* m found work: if it was the last spinner, there may be more. */
static void found_work(go_m_ *m) {
  if (m->spinning) {
    m->spinning = false;
    if (go_idle_end_(&GO_S->idle)) {
      go_wake_();
    }
  }
}

/* ---- goroutines wired to threads ---- */

/* m's goroutine has parked: others get the P; m sleeps until it is handed one with its goroutine. */
static go_g_ *wait_locked(go_m_ *m) {
  if (m->p != NULL) {
    go_p_handoff_(go_p_release_(m));
  }
  sleep_long(&m->note);
  go_note_clear_(&m->note);
  go_p_acquire_(m, m->next_p);
  m->next_p = NULL;
  go_st_rlx(&m->p->tick_at, (uint64_t)go_os_now_());
  return m->locked_g;
}

/* g is wired to another M: give it our P. */
static void run_locked(go_m_ *m, go_g_ *g) {
  go_m_ *to = g->locked_m;
  to->next_p = go_p_release_(m);
  go_note_wake_(&to->note);
}

void go_lock_thread(void) {
  go_m_ *m = go_enter_();
  go_g_ *g = m->cur;
  if (go_is_thread_(g) || go_embedded_()) { /* there is but one thread */
    return;
  }
  if (g->lock_count == UINT16_MAX) {
    go_fatal_("go_lock_thread: nested 65535 times");
  }
  if (g->lock_count++ == 0) {
    go_starter_start_();
    go_note_clear_(&m->note);
    g->locked_m = m;
    m->locked_g = g;
    (void)go_add_sc(&GO_S->nwired, 1u);
  }
}

void go_unlock_thread(void) {
  go_m_ *m = go_enter_();
  go_g_ *g = m->cur;
  if (go_is_thread_(g) || g->lock_count == 0) {
    return;
  }
  if (--g->lock_count == 0 && (g->flags & GO_G_WIRED_)) {
    g->lock_count = 1;
  }
  if (g->lock_count == 0) {
    g->locked_m = NULL;
    m->locked_g = NULL;
    (void)go_sub_sc(&GO_S->nwired, 1u);
  }
}

/* ---- an M's life ---- */

static void execute(go_m_ *m, go_g_ *g) {
  found_work(m);
  m->woken = 0;
  m->first_turn = go_get_state_(g) == GO_G_FRESH_ || go_get_state_(g) == GO_G_TIMED_FRESH_;
  take_over(m, g);
  if (go_tracing_()) {
    go_trace_in_(m);
  }
  const go_hooks *h = go_hooks_();
  if (GO_UNLIKELY_(h != NULL)) {
    go_hook_in_(m, h);
  }
  m = switch_to(m, NULL, g, false);
  if (GO_UNLIKELY_(m->traced != NULL)) {
    go_trace_out_(m);
  }
  if (GO_UNLIKELY_(m->hooked != NULL || go_hooks_() != NULL)) {
    go_hook_out_(m);
  }
  go_m_set_cur_(m, NULL);
  go_after_switch_(m);
  if (m->requeue != NULL) {
    requeue(m);
  }
  if (GO_UNLIKELY_(m->p == NULL)) {
    came_without_p(m);
  }
}

/* Nobody else has queues, and no goroutine is wired: so there is nothing to steal, or to hand over. */
int go_m_step_(go_m_ *m, int budget) {
  m->cxx = go_os_cxx_();
#if defined(GO_TSAN_)
  m->g0_fiber = __tsan_get_current_fiber();
#elif defined(GO_ASAN_)
  m->g0_bottom = NULL;
#endif
  go_p_ *p = m->p;
  int left = budget;
  go_ticks_set_(p, 0);
  while (left > 0) {
    go_g_ *g = go_ticks_(p) <= 0 ? look_round(m, p) : NULL;
    if (g == NULL && (g = find_local(m, p)) == NULL) {
      break;
    }
    /* Every pick takes a tick, also the one that finds none left and comes back here. */
    int32_t ticks = go_ticks_(p) < left ? go_ticks_(p) : left;
    ticks = ticks < 1 || go_hooks_() != NULL ? 1 : ticks;
    go_ticks_set_(p, --ticks);
    execute(m, g);
    int32_t ran = ticks - go_ticks_(p);
    left -= ran < 1 ? 1 : ran < left ? ran : left;
  }
  return budget - left;
}

void go_m_loop_(go_m_ *m) {
  m->cxx = go_os_cxx_();
#if defined(GO_TSAN_)
  m->g0_fiber = __tsan_get_current_fiber();
#endif
  while (!m->die) {
    go_g_ *g = m->handoff;
    if (m->locked_g != NULL) {
      g = wait_locked(m);
    } else if (g != NULL) {
      m->handoff = NULL;
    } else {
      g = find(m);
    }
    if (g == NULL) {
      break;
    }
    if (GO_UNLIKELY_(g->locked_m != NULL && g->locked_m != m)) {
      found_work(m);
      run_locked(m, g);
    } else {
      execute(m, g);
    }
  }
  if (m->p != NULL) {
    go_p_handoff_(go_p_release_(m));
  }
}
