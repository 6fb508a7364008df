/* core/sysmon.c: taking Ps away from goroutines that are in user code for long, so that nobody starves.
 *
 * A goroutine that computes, or blocks in a call that nobody announced, keeps its thread but not its P: after 10 ms
 * (sched.retake_after) the P is another M's, if something waits for it: a goroutine in a queue, or events and timers, which somebody has to look
 * after. (A goroutine that may be stopped in the middle of its code is asked for that first: see below.) Nothing happens
 * to the goroutine itself: no signal, no call that is interrupted. When it calls golib the next time it finds that it has no P (go_hold_slow_), takes an idle one, or queues up when it may suspend.
 *
 * How a P is taken from an M that does not know: core/hold.h. What an M without a P is to the others: as if in foreign code
 * (core/block.c), counted in sched.nforeign from before the P is given away. Slices, which tell how long a goroutine has
 * run, are told apart by what every switch changes anyway: its P's ticks.
 *
 * sysmon is a thread without M and P. While a P is idle there is nothing to take: by the protocol of core/idle.h whatever
 * can run is found by the M of that one, and somebody waits in the poller. So it sleeps, until the last idle P comes into
 * use (go_sysmon_wake_) or one is to go (go_procs), and 5 ms longer: whoever takes the last idle P on a server that has
 * little to do does not pay for waking a thread. Then it looks every 5 ms, so that
 * retakes come up to 10 ms late. With a watchdog it sleeps while all
 * are idle. In an embedded scheduler there is nobody to give a P to, and no sysmon unless there is a watchdog.
 *
 * Go: runtime/proc.go sysmon, retake. Departures: user code is retaken, not only system calls; no preemption
 * by signal unless a goroutine agrees (core/switch.c); the poller is not polled from here, as the M that gets the P does it.
 */
#include <string.h>

#include "core/netpoll.h"
#include "core/sched.h"
#include "core/trace.h"
#include "core/watch.h"

/* With so many goroutines that run without a P, the rest have to wait twice as long: threads that compute are no
 * faster for being more. */
#define MANY_LOST 64u

/* Ms that are asked at a time, with one fence for all. */
#define BATCH 64u

/* sysmon's own. */
static struct {
  go_m_ *lost;   /* Ms that Ps were taken from, and that do not know yet */
  bool no_fence; /* the system has refused: nothing can be taken */
  int8_t ask;    /* whether threads can be asked to switch: 1, -1: no, 0: nobody knows yet; */
  bool ready;    /* and it was us who have made that so */
} mon;

/* ---- slices ---- */

static bool same_slice(const go_slice_ *s, const go_m_ *m, go_p_ *p) {
  return s->m == m && s->ticks == go_ld_rlx(&p->ticks) && s->tick_at == go_ld_rlx(&p->tick_at);
}

/* sched.lock held. Whether m, seen with p at the last look, has run the same goroutine on it ever since, and is in user code. */
static bool still_runs(go_m_ *m, go_p_ *p) {
  return go_hold_is_out_(&m->hold) && __atomic_load_n(&m->p, __ATOMIC_RELAXED) == p &&
         same_slice(&p->mon, m, p);
}

/* For how long p's goroutine has run, at least; 0: nobody, or another than at the last look. */
static int64_t observe(go_p_ *p, int64_t now) {
  go_m_ *m = go_ld_acq(&p->m); /* pairs with go_p_acquire_ */
  if (m != NULL && same_slice(&p->mon, m, p)) {
    return now - p->mon.since;
  }
  p->mon = (go_slice_){m, go_ld_rlx(&p->ticks), go_ld_rlx(&p->tick_at), now, 0, false};
  return 0;
}

/* ---- the watchdog: core/watch.h ---- */

static void watch(go_slice_ *s, int64_t now) {
  if (GO_S->watch_after == 0 || s->told || now - s->since < GO_S->watch_after) {
    return;
  }
  s->told = true;
  go_watch_tell_(s->m, now - s->since, now);
}

static void remember_lost(go_m_ *m, const go_slice_ *s) {
  m->mon = *s;
  m->mon_link = mon.lost;
  mon.lost = m;
}

/* Those that have come back are not looked at any more. */
static void watch_lost(int64_t now) {
  for (go_m_ **at = &mon.lost; *at != NULL;) {
    go_m_ *m = *at;
    if ((go_ld_acq(&m->hold.asked) & GO_ASKED_STATE_) != GO_ASKED_TAKEN_) {
      *at = m->mon_link;
      continue;
    }
    watch(&m->mon, now);
    at = &m->mon_link;
  }
}

/* ---- asking for a switch ----
 *
 * A goroutine that may be stopped anywhere (core/switch.c) is asked first to let others run on its own thread. If it refuses,
 * or has not answered for two slices, its P is taken away. (A thread that the system does not run does not answer.) */
#define ASK_SLICES 2

/* Per-spawn opt-ins alone do not install anything before one is there to be asked. */
static bool can_ask(void) {
  if (mon.ask == 0) {
    mon.ask = GO_S->preempt_ready || go_preempt_init_(GO_S->preempt_signal) == 0 ? 1 : -1;
    mon.ready = mon.ask == 1 && !GO_S->preempt_ready;
  }
  return mon.ask == 1;
}

static bool ask(go_m_ *m, go_p_ *p) {
  go_lock_(&GO_S->lock);
  bool ok = m->pre.id != 0 && still_runs(m, p);
  if (ok) {
    go_st_rel(&m->pre.state, (uint32_t)GO_PREEMPT_ASKED_);
    go_st_rlx(&m->pre.asking, 1u);
  }
  go_unlock_(&GO_S->lock);
  if (ok) {
    ok = go_preempt_ask_(&m->pre) == 0;
    go_st_rel(&m->pre.asking, 0u); /* pairs with go_preempt_end_ */
  }
  return ok;
}

/* Whether p is to be left to its M for now. */
static bool asks(go_p_ *p, int64_t now) {
  go_slice_ *s = &p->mon;
  if (s->asked_at != 0) {
    return go_ld_acq(&s->m->pre.state) != GO_PREEMPT_REFUSED_ &&
           now - s->asked_at < ASK_SLICES * GO_S->retake_after;
  }
  const go_g_ *g = __atomic_load_n(&s->m->cur, __ATOMIC_RELAXED);
  if (g == NULL || go_get_nopreempt_(g) != 0 || !go_hold_is_out_(&s->m->hold) || !can_ask()) {
    return false;
  }
  bool asked = ask(s->m, p);
  s->asked_at = asked ? now : now - ASK_SLICES * GO_S->retake_after; /* once a slice, in any case */
  return asked;
}

/* ---- taking ---- */

/* Whether something may come that somebody has to look after, and nobody can while all Ps are in use. */
static bool looking_after(void) {
  return go_ld_rlx(&GO_S->q.n) != 0 || go_ld_rlx(&GO_S->npd) != 0 || go_tm_first_() != INT64_MAX;
}

static bool wanted(go_p_ *p) {
  return go_ld_rlx(&p->leave) == 1 || !go_runq_empty_(&p->q) ||
         (go_ld_rlx(&GO_S->idle.np) == 0 && looking_after());
}

static int64_t patience(void) {
  uint32_t lost = go_ld_rlx(&GO_S->nlost);
  return GO_S->retake_after * (1 + lost / MANY_LOST);
}

/* sched.lock held: a P that is given away now comes to be used. */
static bool threads_left(void) {
  return GO_S->idle_m != NULL || GO_S->nm - go_ld_sc(&GO_S->ndying) < GO_S->max_m ||
         go_ld_sc(&GO_S->poller) == GO_POLLER_WAITS_;
}

/* The M of p has been asked, and has passed a fence. NULL: it keeps its P. */
static go_p_ *take(go_m_ *m, go_p_ *p) {
  go_lock_(&GO_S->lock);
  bool ok = still_runs(m, p) && threads_left();
  if (ok) { /* counted before it can come back and be counted off */
    go_st_sc(&GO_S->nforeign, go_ld_rlx(&GO_S->nforeign) + 1);
    go_st_rlx(&GO_S->nlost, go_ld_rlx(&GO_S->nlost) + 1);
    ok = go_hold_take_(&m->hold);
    if (!ok) {
      go_st_sc(&GO_S->nforeign, go_ld_rlx(&GO_S->nforeign) - 1);
      go_st_rlx(&GO_S->nlost, go_ld_rlx(&GO_S->nlost) - 1);
    }
  }
  go_unlock_(&GO_S->lock);
  if (!ok) {
    go_hold_withdraw_(&m->hold);
    return NULL;
  }
  remember_lost(m, &p->mon);
  return p;
}

static void give(go_p_ *p) {
  go_st_rlx(&p->m, NULL);
  p->mon.m = NULL;
  go_ticks_set_(p, 0); /* whoever gets it looks round first */
  go_st_rlx(&GO_S->nretaken, go_ld_rlx(&GO_S->nretaken) + 1);
  if (go_tracing_()) {
    go_trace_retake_(p);
  }
  go_p_handoff_(p);
  if (go_ld_sc(&GO_S->idle.np) != 0 && go_nobody_polls_() && go_tm_first_() != INT64_MAX) {
    go_wake_(); /* for timers of others, who are in user code as well */
  }
}

static void retake(go_p_ *const *ps, uint32_t n) {
  go_m_ *asked[BATCH];
  bool any = false;
  for (uint32_t i = 0; i < n; i++) {
    go_m_ *m = ps[i]->mon.m;
    asked[i] = go_hold_is_out_(&m->hold) && go_hold_ask_(&m->hold) ? m : NULL;
    any = any || asked[i] != NULL;
  }
  if (!any) {
    return;
  }
  go_fence_sc();
  mon.no_fence = go_ld_rlx(&GO_S->fenced) == 0 && !go_os_fence_all_();
  for (uint32_t i = 0; i < n; i++) {
    if (asked[i] == NULL) {
      continue;
    }
    if (mon.no_fence || !wanted(ps[i])) { /* one is enough where any P would do */
      go_hold_withdraw_(&asked[i]->hold);
      continue;
    }
    go_p_ *p = take(asked[i], ps[i]);
    if (p != NULL) {
      give(p);
    }
  }
}

/* ---- looking ---- */

static void look(int64_t now) {
  go_p_ *ps[BATCH];
  uint32_t n = 0, made = go_ld_acq(&GO_S->np_made);
  int64_t after = patience();
  for (uint32_t i = 0; i < made; i++) {
    go_p_ *p = GO_S->all_p[i];
    int64_t ran = observe(p, now);
    if (ran == 0) {
      continue;
    }
    if (go_hold_is_out_(&p->mon.m->hold)) {
      watch(&p->mon, now);
    }
    if (ran >= after && n < BATCH && after != 0 && wanted(p) && !asks(p, now) && !mon.no_fence) {
      ps[n++] = p;
    }
  }
  retake(ps, n);
  watch_lost(now);
  go_watch_look_(now);
}

/* A P that is to go, and is in use: whatever comes, it is taken. */
static bool some_leave(void) {
  uint32_t made = go_ld_acq(&GO_S->np_made);
  for (uint32_t i = 0; i < made; i++) {
    go_p_ *p = GO_S->all_p[i];
    if (go_ld_rlx(&p->leave) == 1 && go_ld_rlx(&p->m) != NULL) {
      return true;
    }
  }
  return false;
}

/* sched.lock held. */
static bool nothing_to_see(void) {
  if (GO_S->watch_after != 0) {
    return go_all_ps_idle_() && mon.lost == NULL && !go_watch_waits_();
  }
  return go_ld_sc(&GO_S->idle.np) != 0 && !some_leave();
}

/* Sleeps until it is time to look. The timer is set by one at a time: by sysmon, or while it says that it sleeps
 * by who sees that first. */
static void sleep_till_due(void) {
  go_lock_(&GO_S->lock);
  bool quit = go_ld_rlx(&GO_S->sysmon_quit) != 0, quiet = nothing_to_see() && !quit;
  go_st_rlx(&GO_S->sysmon_sleeps, quiet ? 1u : 0u);
  if (!quiet && !quit) {
    go_os_timer_set_(&GO_S->sysmon_timer, go_sysmon_between_());
  }
  go_unlock_(&GO_S->lock);
  if (!quit) {
    go_os_timer_wait_(&GO_S->sysmon_timer);
  }
}

static void sysmon_main(void *arg) {
  (void)arg;
  go_os_thread_name_("golib-sysmon");
  while (go_ld_acq(&GO_S->sysmon_quit) == 0) {
    sleep_till_due();
    look(go_os_now_());
  }
}

/* ---- start and stop ---- */

int go_sysmon_start_(void) {
  if (GO_S->retake_after == 0 && GO_S->watch_after == 0) {
    return 0;
  }
  memset(&mon, 0, sizeof mon);
  go_watch_reset_();
  int r = go_os_timer_open_(&GO_S->sysmon_timer);
  if (r != 0) {
    return r;
  }
  r = go_os_thread_start_(&GO_S->sysmon, sysmon_main, NULL);
  if (r == 0) {
    go_st_rel(&GO_S->sysmon_up, 1u);
  } else {
    go_os_timer_close_(&GO_S->sysmon_timer);
  }
  return r;
}

void go_sysmon_stop_(void) {
  if (go_ld_acq(&GO_S->sysmon_up) == 0) {
    return;
  }
  go_lock_(&GO_S->lock);
  go_st_rel(&GO_S->sysmon_quit, 1u);
  go_st_rlx(&GO_S->sysmon_sleeps, 0u);
  go_os_timer_set_(&GO_S->sysmon_timer, 1);
  go_unlock_(&GO_S->lock);
  go_os_thread_join_(&GO_S->sysmon);
  go_watch_end_();
  go_os_timer_close_(&GO_S->sysmon_timer);
  if (mon.ready) {
    GO_S->preempt_ready = true; /* to be undone when all threads have ended */
  }
  go_st_rel(&GO_S->sysmon_up, 0u);
}
