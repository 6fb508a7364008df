/* core/sched.h: what the rest of core, and sync, context and net, use of the scheduler.
 *
 * How to wait, for anything:
 *   go_m_ *m = go_enter_();
 *   go_prepark_(m, reason);     // from here on a waker may find us
 *   ... make m->cur known to the waker, release the lock that it needs ...
 *   m = go_park_(m);            // returns after go_ready_(m, g), on whatever thread
 * Every park is matched by exactly one ready. When several could come (a select, a cancelled
 * context, a time-out), each first has to win go_claim_.
 *
 * m is the calling thread's: it is stale after everything that suspends, which therefore returns the new
 * one or is followed by go_enter_.
 */
#ifndef GOLIB_CORE_SCHED_H_
#define GOLIB_CORE_SCHED_H_

#include "core/cancel.h"
#include "core/g.h"

/* ---- thread-local (core/tls.c) ---- */

/* The calling thread's M; NULL on a plain thread that golib does not know yet. */
go_m_ *go_m_get_(void);
void go_m_set_(go_m_ *m);

/* ---- who am I ---- */

/* Starts the scheduler if need be and makes the plain thread known. Fatal when memory is short. */
go_m_ *go_attach_slow_(void);
/* The same, not in a forked child, and NULL: no memory. */
go_m_ *go_attach_try_(void);
/* The same for a thread that is not known; NULL: this is a forked child. */
go_m_ *go_attach_unless_forked_slow_(void);

static inline go_m_ *go_enter_(void) {
  go_m_ *m = go_m_get_();
  return GO_LIKELY_(m != NULL) ? m : go_attach_slow_();
}

/* Waits and is woken as a thread is: is a plain one, or a goroutine in foreign code (core/block.c). */
static inline bool go_is_thread_(const go_g_ *g) { return (g->flags & GO_G_THREAD_) != 0; }
static inline bool go_is_plain_thread_(const go_g_ *g) {
  return go_is_thread_(g) && g->stack_top == NULL;
}

static inline void go_set_state_(go_g_ *g, uint8_t state) {
  __atomic_store_n(&g->state, state, __ATOMIC_RELAXED);
}
static inline uint8_t go_get_state_(const go_g_ *g) {
  return __atomic_load_n(&g->state, __ATOMIC_RELAXED);
}

/* g->nopreempt: see core/switch.c. */
#define GO_NOPREEMPT_ 0x8000u
#define GO_NOPREEMPT_DEPTH_ 0x7fffu
static inline uint16_t go_get_nopreempt_(const go_g_ *g) {
  return __atomic_load_n(&g->nopreempt, __ATOMIC_RELAXED);
}
static inline void go_set_nopreempt_(go_g_ *g, uint16_t n) {
  __atomic_store_n(&g->nopreempt, n, __ATOMIC_RELAXED);
}

/* m has no P, and its goroutine queues up for one. It is counted in sched.nforeign until it is in a queue. Returns
 * the M it resumes on. */
go_m_ *go_queue_up_(go_m_ *m);

/* ---- holding on to the P (core/hold.h) ----
 *
 *   uint32_t was = go_hold_(m);
 *   ... m->p is ours, or NULL ...
 *   go_unhold_(m, was);
 * Whoever uses m's P does so between these two. They nest, and cost a few plain loads and stores. Elsewhere m->p is a hint:
 * what is read there may be another M's by now, and what only its holder may touch must not be touched. */

/* Somebody wants the P, or has taken it; or there is no cheap fence. m->p is right afterwards. */
void go_hold_slow_(go_m_ *m);

static inline uint32_t go_hold_(go_m_ *m) {
  uint32_t was;
  if (GO_UNLIKELY_(!go_hold_enter_(&m->hold, &was))) {
    go_hold_slow_(m);
  }
  return was;
}
static inline void go_unhold_(go_m_ *m, uint32_t was) { go_hold_leave_(&m->hold, was); }

/* Its goroutine was in user code for so long that others got its P, and it knows. Until it has one again it is
 * counted in sched.nforeign. */
static inline bool go_is_lost_(go_m_ *m) {
  return GO_UNLIKELY_((go_ld_rlx(&m->hold.asked) & GO_ASKED_STATE_) == GO_ASKED_LOST_);
}
/* Within go_hold_, on a goroutine: comes back with a P, and held. May suspend. */
go_m_ *go_hold_p_(go_m_ *m);
/* At the end of a call that may suspend: who has lost its P queues up for one. Returns the M it resumes on. */
static inline go_m_ *go_rejoin_(go_m_ *m) {
  return GO_UNLIKELY_(go_is_lost_(m)) ? go_queue_up_(m) : m;
}

static inline void go_m_set_p_(go_m_ *m, go_p_ *p) {
  __atomic_store_n(&m->p, p,
                   __ATOMIC_RELAXED); /* sysmon may read it too early, or too late: it notices */
}
static inline void go_m_set_cur_(go_m_ *m, go_g_ *g) {
  __atomic_store_n(&m->cur, g, __ATOMIC_RELAXED);
}

static inline int32_t go_ticks_(go_p_ *p) { return (int32_t)go_ld_rlx(&p->ticks); }
static inline void go_ticks_set_(go_p_ *p, int32_t n) { go_st_rlx(&p->ticks, (uint32_t)n); }
/* One less. Returns how many there are then. */
static inline int32_t go_tick_down_(go_p_ *p) {
  int32_t n = go_ticks_(p) - 1;
  go_ticks_set_(p, n);
  return n;
}

/* ---- being interrupted (core/proc.c, core/preempt.h) ----
 *
 * On the thread of a worker, before and after it runs goroutines: whether sysmon may ask it for anything. */
void go_preempt_begin_(go_m_ *m);
void go_preempt_end_(go_m_ *m);

/* ---- waiting and waking (core/sched.c) ---- */

static inline void go_prepark_(go_m_ *m, uint8_t reason) {
  go_g_ *g = m->cur;
  __atomic_store_n(&g->reason, reason, __ATOMIC_RELAXED);
  go_set_state_(g, GO_G_WAITING_);
  const go_p_ *p = m->p;
  if (GO_LIKELY_(p != NULL)) {
    g->since =
        (int64_t)go_ld_rlx(&p->tick_at); /* for dumps; the clock would cost more than the switch */
    return;
  }
  g->since = go_os_now_();
  if (go_is_thread_(g)) {
    go_note_clear_(&m->note);
  }
}

/* Parks the current goroutine, or blocks the plain thread, until go_ready_. Returns the M it resumes on. */
go_m_ *go_park_(go_m_ *m);
/* Makes g run: at once after the current goroutine parks, if m has a P; m is the calling thread's, or NULL.
 * Never suspends. May be called with short locks held, but not with sched.lock. */
void go_ready_(go_m_ *m, go_g_ *g);
/* Lets others run first. Returns the M it resumes on. */
go_m_ *go_yield_m_(go_m_ *m);
/* Ends the current goroutine: its deferred calls have run. */
_Noreturn void go_end_(go_m_ *m);
/* At the end of a call that might have had to wait: it counts as a turn, so that a goroutine that never has to
 * leaves its P to others from time to time, and look rounds take place. May suspend. */
static inline void go_took_turn_(void) {
  go_m_ *m = go_m_get_();
  if (m != NULL && !go_is_thread_(m->cur)) {
    uint32_t was = go_hold_(m);
    bool over = m->p == NULL || go_tick_down_(m->p) <= 0;
    go_unhold_(m, was);
    if (GO_UNLIKELY_(over)) {
      (void)go_yield_m_(m);
    }
  }
}

/* ---- statistics (core/stats.c) ---- */

/* For what only one thread changes. */
static inline void go_count_(go_a64 *n) { go_st_rlx(n, go_ld_rlx(n) + 1); }
/* g becomes runnable now, and is in no queue yet: have it timed. */
void go_time_it_(go_g_ *g);
/* The same, or what else the watch of m's P asks for. */
void go_watched_ready_(go_m_ *m, go_g_ *g);
/* g, which is timed, is about to run on m. */
void go_timed_run_(go_m_ *m, go_g_ *g);

/* ---- the poller: see core/netpoll.c ---- */

/* Whether nobody sleeps in the poller, who would see what becomes ready. */
static inline bool go_nobody_polls_(void) { return go_ld_sc(&GO_S->poller) != GO_POLLER_WAITS_; }
/* A P that becomes idle, with no M that goes on looking: whether somebody has to go into the poller. */
static inline bool go_poller_wanted_(void) {
  return go_ld_sc(&GO_S->npd) != 0 && go_nobody_polls_();
}
/* Inside go_poll_wait_: an event is about to be looked at; it has woken g (NULL: nobody). */
void go_polled_begin_(void);
void go_polled_(go_g_ *g);

/* Wakes a sleeping M when a P is idle and nobody looks for work already: after work was made visible to thieves. */
void go_wake_(void);

/* ---- waits that several may end ---- */

/* The number of the wait that the current goroutine begins now: for those who may end it. */
static inline uint32_t go_claim_open_(go_g_ *g) { return go_ld_rlx(&g->claim); }
/* Whether the caller is the one who ends wait number seq of g; it must then store claimed_by and
 * call go_ready_. Late claims for waits that are over fail, even when g waits for something else
 * by now: numbers are not used again (in 2^32 waits). */
static inline bool go_claim_(go_g_ *g, uint32_t seq) {
  return go_ld_rlx(&g->claim) == seq && go_cas_ar(&g->claim, &seq, seq + 1);
}

/* Sleeps on n until woken (true), or for ns (negative: for ever). On the way it is looked whether everybody sleeps for
 * ever: for threads that are counted as asleep. */
bool go_sleep_looking_(go_note_ *n, int64_t ns);

/* Threads that do nothing unless golib wakes them, if no goroutine runs: Ms, and those that wait in golib. */
int go_threads_asleep_(void);

/* Waits until ctx is done (NULL: for ever) and returns its code. */
int go_wait_done_(go_ctx *ctx, uint8_t reason);

/* ---- timers (core/timer.c) ---- */

/* Adds a timer to the P of m (plain threads: to some P). fn runs at or after tm->when. Returns 0: without memory it
 * gets slower, but does not fail. */
int go_tm_add_(go_m_ *m, go_tm_ *tm);
/* The same in two steps, for callers with a lock: put, and when that returns true, wake after unlocking. */
bool go_tm_put_in_(go_m_ *m, go_tm_ *tm);
void go_tm_wake_(int64_t when);
/* Arms tm for `when`, or moves it, wherever it is; any thread, with a lock or without. true: call go_tm_wake_. */
bool go_tm_move_in_(go_m_ *m, go_tm_ *tm, int64_t when);
/* Readies g, which has called go_prepark_, at or after `when`: nothing else does. 0 or GO_ENOMEM. */
int go_tm_sleep_(go_m_ *m, go_g_ *g, int64_t when);
/* A timer's fn: the time-out of wait number seq of a goroutine, arg. It readies it, with claimed_by NULL, unless
 * another has ended the wait. */
static inline void go_tm_claim_(go_m_ *m, void *arg, uint32_t seq) {
  go_g_ *g = (go_g_ *)arg;
  if (go_claim_(g, seq)) {
    g->claimed_by = NULL;
    go_ready_(m, g);
  }
}
void go_tm_heap_free_(go_tm_heap_ *h);
/* Takes it out: true when it was still waiting; false when fn has run, runs, or is about to. */
bool go_tm_del_(go_tm_ *tm);
/* Runs what is due in p's heap at `now`; of goroutines to be started, a limited number. The caller holds a P. Returns
 * whether anything ran. */
bool go_tm_run_(go_m_ *m, go_p_ *p, int64_t now);
/* The instant d from now: now for d <= 0; what would be too late for the clock is its last instant but one;
 * GO_FOREVER stays what it is. */
int64_t go_tm_when_(go_nsec d);
/* From now on nothing fires, or it does again. */
void go_tm_hold_all_(bool hold);
/* On hold, and nobody else about: calls all GO_TM_TOLD_. Returns whether there were any: they may have started
 * goroutines, and armed others. */
bool go_tm_tell_all_(void);
/* Nobody is about: the timers in h are in no heap any more. */
void go_tm_drop_(go_tm_heap_ *h);
/* When the first timer of all Ps is due; INT64_MAX: none. */
int64_t go_tm_first_(void);
/* Moves all timers of `from`, which nobody holds any more, to `to`. GO_ENOMEM: some are still there. */
int go_tm_move_(go_p_ *from, go_p_ *to);

/* ---- goroutines (core/spawn.c) ---- */

/* How a goroutine is started; all-zero is the default. */
typedef struct go_spawn_ {
  const char *site;
  const char *name;
  size_t stack_size;
  uint8_t flags;
  uint8_t preempt; /* enum go_preempt */
  go_m_ *wired;    /* the M, which waits for it, that alone may run it; or NULL */
  void (*make)(void *to,
               void *args); /* constructs the arguments instead of copying them; or NULL */
  void (*on_end)(
      void *); /* on its goroutine's stack when it ends, however it ends; may not suspend */
  void *end_arg;
} go_spawn_;
/* Starts fn with a copy of size bytes at args (size 0: with args itself). Errors as go_spawn. */
int go_spawn_with_(const go_spawn_ *how, void (*fn)(void *), const void *args, size_t size);
/* For what may not fail once it has begun: a G to be started by go_spawn_reserved_, counted as live from now on; NULL
 * when memory is short. m holds a P. Takes no limit into account. */
go_g_ *go_spawn_reserve_(go_m_ *m);
void go_spawn_reserved_(go_m_ *m, go_g_ *g, const char *site, void (*fn)(void *), void *arg);
/* Gives g, which the caller is about to run for the first time, a stack and a context. */
void go_bind_(go_m_ *m, go_g_ *g);
/* Where a goroutine begins: called with its M as arg, on its stack. */
void go_g_entry_(void *arg);
/* Takes a dead G and its stack back. Called on the other side of its last switch. */
void go_recycle_(go_m_ *m, go_g_ *g);
/* g's extra part, made if need be; NULL: no memory. */
go_extra_ *go_extra_make_(go_g_ *g);
static inline go_extra_ *go_extra_of_(const go_g_ *g) { return (go_extra_ *)(void *)g->name; }
/* Names g: 0 or GO_ENOMEM. Its buffer ends in a 0 byte at all times, so that a dump may read it. */
int go_name_(go_g_ *g, const char *name);
/* Calls f for every G that has ever been made. Memory of Gs is never unmapped while the scheduler is up. */
void go_each_g_(void (*f)(go_g_ *, void *), void *arg);
/* Gs that were ever needed at a time. */
uint64_t go_gs_made_(void);
/* And f for the memory that they lie in. Both async-signal-safe. */
void go_each_slab_(void (*f)(void *arg, const void *lo, const void *hi), void *arg);
void go_spawn_fini_(void);
/* P p goes out of use: its cached Gs, stacks and credits go to the shared ones. Its holder calls. */
void go_spawn_flush_(go_p_ *p);

/* ---- starting and stopping (core/proc.c) ---- */

/* Brings the scheduler up: 0, GO_ENOMEM, GO_EAGAIN. */
int go_start_(void);
/* A new P-less worker thread that starts with p (may be NULL) and, if so, spinning. sched.lock is not held. */
int go_m_start_(go_p_ *p, bool spinning);
/* Whether threads are to be started by another thread than the calling one. */
bool go_must_delegate_(void);
void go_m_loop_(go_m_ *m);
#define GO_RETAKE_AFTER_ (10 * GO_MS)
/* Ps of goroutines that are in user code for long go to others (core/sysmon.c). 0 or -EAGAIN, -ENOMEM. */
int go_sysmon_start_(void);
void go_sysmon_stop_(void);
/* How often sysmon looks, and how soon after there is something to see. */
static inline int64_t go_sysmon_between_(void) {
  int64_t after = GO_S->retake_after;
  return (after != 0 && after < GO_RETAKE_AFTER_ ? after : GO_RETAKE_AFTER_) / 2;
}
/* sched.lock held; there may be something for it to see by and by. Who is on the way to run a goroutine calls this: nobody is
 * woken now. */
static inline void go_sysmon_wake_(void) {
  if (go_ld_rlx(&GO_S->sysmon_sleeps) != 0) {
    go_st_rlx(&GO_S->sysmon_sleeps, 0u);
    go_os_timer_set_(&GO_S->sysmon_timer, go_sysmon_between_());
  }
}
/* From now on threads are not started by threads that goroutines are wired to. */
void go_starter_start_(void);
/* sched.lock held. */
void go_p_put_idle_(go_p_ *p);
go_p_ *go_p_get_idle_(void);
void go_p_acquire_(go_m_ *m, go_p_ *p);
go_p_ *go_p_release_(go_m_ *m);
/* sched.lock held: m, which has no P, is none any more that may do something without one. */
void go_m_back_(go_m_ *m);
/* Takes an idle P, if there is one, for m, which has none and is counted in sched.nforeign. Returns whether there was. */
bool go_m_take_idle_(go_m_ *m);
/* sched.lock held. Ms that sleep until they are given a P, the last one first. */
void go_idle_m_put_(go_m_ *m);
go_m_ *go_idle_m_get_(void);
/* Whether m was still there. */
bool go_idle_m_remove_(go_m_ *m);
/* sched.lock held: nobody holds a P. */
bool go_all_ps_idle_(void);
/* Gives p to an M if there is work for it, else makes it idle. */
void go_p_handoff_(go_p_ *p);
/* Whether anything is in any queue. Exact after go_idle_look_: see core/idle.h. */
bool go_work_anywhere_(void);
/* Puts n goroutines, linked by g->link, at the global queue's tail. */
void go_global_put_(go_g_ *first, go_g_ *last, uint32_t n);
/* Puts them there and wakes somebody. */
void go_inject_(go_g_ *g);
int64_t go_live_(void);
/* The caller holds p, which go_procs_ wants gone. Everything in it goes to others. */
void go_p_retire_(go_m_ *m);
/* Some stacks were put back: see to it that they are given back later. */
void go_stack_surplus_(void);

/* ---- golib inside another event loop (core/step.c) ---- */

/* Up to `budget` turns of goroutines on m, which holds the only P. Returns how many (core/sched.c). */
int go_m_step_(go_m_ *m, int budget);
/* The host, which waits in golib: runs goroutines and timers, then waits for more of them for at most ns
 * (negative: for ever). */
void go_host_turn_(int64_t ns);
/* go_note_sleep_ of a plain thread's note; the host runs goroutines meanwhile. */
bool go_thread_sleep_(go_m_ *m, int64_t ns);
/* The same until it is woken, however long: counted as blocked meanwhile, which its waker undoes. */
void go_thread_sleep_long_(go_m_ *m);

/* ---- values of goroutines (core/local.c) ---- */

/* g, which has an extra part and ends, calls the destructors of its values. May suspend. Returns its M. */
go_m_ *go_local_end_(go_g_ *g);
/* Frees g's extra part. */
void go_extra_free_(go_g_ *g);

/* ---- fork (core/fork.c) ---- */

extern go_a32 go_forked_flag_;
/* Whether this is the child of a fork, and golib was in use before it: its threads are not here. For slow
 * paths: in the child no thread has an M and the scheduler does not run, so all come by one. */
static inline bool go_forked_(void) { return GO_UNLIKELY_(go_ld_rlx(&go_forked_flag_) != 0); }
/* The end of a child that called what it must not; pc: from where. */
_Noreturn void go_forked_fatal_(void *pc);
/* Sees to it that forks are noticed. init_lock held. 0 or GO_ENOMEM. */
int go_fork_watch_(void);
/* Whether golib is up, or being brought up or down (core/proc.c). In the child. */
bool go_in_use_(void);

/* ---- the end (core/dump.c, core/panic.c) ---- */

#define GO_PANIC_PCS_ 32 /* of a backtrace */

/* Broken invariants and misuse that cannot be recovered from: message on stderr, dump, abort. */
_Noreturn void go_fatal_(const char *fmt, ...) GO_PRINTF(1, 2);
/* Every goroutine sleeps for ever. */
_Noreturn void go_deadlock_(void);
/* Calls g's function such that C++ exceptions do not leave it; false, and nothing done, when the program has not asked
 * for that (golib/cxx.h). */
bool go_call_root_(go_g_ *g);
extern go_aptr go_cxx_registered_; /* const struct go_cxx_ *, or NULL */
void go_call_slow_(void (*fn)(void *), void *arg);
/* Calls users' code from a frame that has deferred something, or has something to undo by go_try: a C++
 * exception does not pass the caller, who could not notice, but goes on from here as a panic. */
static inline void go_call_(void (*fn)(void *), void *arg) {
  if (GO_LIKELY_(go_ld_rlx(&go_cxx_registered_) == NULL)) {
    fn(arg);
  } else {
    go_call_slow_(fn, arg);
  }
}
/* A panic that outlives its goroutine (GO_G_TASK_). */
typedef struct go_panic_kept_ {
  go_panic_info info;
  int n;
  void *pcs[GO_PANIC_PCS_];
} go_panic_kept_;
/* In the outermost deferred call of g: whether a panic is about to end it, which *ret is a copy of then. */
bool go_panic_keep_(const go_g_ *g, go_panic_kept_ *ret);
/* Tells the panic handler of it, on the current goroutine. May suspend, and not come back (go_exit). */
void go_panic_tell_(const go_panic_kept_ *k);
/* The list of goroutines. */
void go_dump_all_(int fd);
/* The same on stderr, in a signal handler that was called with context. */
void go_dump_on_signal_(void *context);
/* "chan receive", "running" */
const char *go_state_text_(uint8_t state, uint8_t reason, bool foreign);

/* ---- what was asked for by GOLIB_DEBUG (core/debug.c) ---- */

/* As the scheduler starts, under init_lock. 0 or GO_EINVAL. */
int go_debug_start_(int dump_signal);
/* As it stops. */
void go_debug_stop_(void);

/* Handler of faults, and its registration. */
bool go_on_fault_(void *addr, void *context);

static inline uint64_t go_rand_(uint64_t *s) { /* xorshift64*: for choices, not for secrets */
  uint64_t x = *s;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  *s = x;
  return x * 2685821657736338717u;
}

#endif /* GOLIB_CORE_SCHED_H_ */
