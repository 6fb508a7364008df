/* core/step.c: golib inside another event loop (golib/block.h).
 *
 * There is one P, and no thread but the host's, which is an M (step_m) while it is in go_step and a plain thread
 * (host) outside. Between two steps it stands to the scheduler as the M that keeps the time:
 *  - the P is idle and `poller` is set, for good, so whoever makes work visible by the protocol of
 *    core/idle.h calls go_poll_break_; the poller's handle becomes readable;
 *  - poll_until says until when the loop sleeps, so whoever adds an earlier timer does the same. In a step it is 0:
 *    the step itself looks at the timers at its end.
 * After a step: the P is made idle, a fence, and if there is work nevertheless, the host breaks its own wait.
 *
 * When the host waits in golib itself, it has to be its own loop: go_thread_sleep_ takes turns of a step and a wait in
 * the poller. Whoever wakes it breaks that wait (ready_thread).
 *
 * Owner of all this: the host's thread. There is no deadlock report: the loop may have other sources.
 */
#include <golib/block.h>

#include "core/poll.h"
#include "core/sched.h"

#define HOST_BUDGET 1024

/* The P is idle: sees to it that the handle becomes readable when the next step is due. */
static void settle(void) {
  go_idle_look_(); /* who submitted before the P was idle is seen here */
  if (go_work_anywhere_()) {
    go_poll_break_();
    return;
  }
  int64_t when, again = go_tm_first_();
  do { /* a timer that came in between has either seen poll_until, or is seen here */
    when = again;
    go_st_sc(&GO_S->poll_until, (uint64_t)when);
    again = go_tm_first_();
  } while (again < when);
  if (go_ld_acq(&GO_S->wake_fd) != 0) {
    go_poll_alarm_(when);
  }
}

/* By the host. */
static int step(int budget) {
  go_m_ *m = GO_S->step_m, *own = go_m_get_();
  go_m_set_(m);
  go_lock_(&GO_S->lock);
  go_p_acquire_(m, go_p_get_idle_());
  go_unlock_(&GO_S->lock);
  go_st_sc(&GO_S->poll_until, (uint64_t)0);
  (void)go_poll_drain_(); /* before the queues are looked at: a later break stays */
  if (GO_S->watch_ready) {
    go_preempt_begin_(m);
  }
  int ran = go_m_step_(m, budget);
  if (GO_S->watch_ready) {
    go_preempt_end_(m);
  }
  go_lock_(&GO_S->lock);
  go_p_put_idle_(go_p_release_(m));
  go_unlock_(&GO_S->lock);
  go_m_set_(own);
  settle();
  return ran;
}

static int not_embedded(void) { return go_forked_() ? GO_EFORKED : GO_EINVAL; }

int go_step(int budget) {
  if (go_ld_acq(&GO_S->running) == 0 || !go_embedded_() || budget < 1) {
    return not_embedded();
  }
  const go_m_ *m = go_m_get_();
  if (m != NULL && (m->worker || m->hook_g != NULL)) {
    return GO_EDEADLK;
  }
  return m == NULL || m != go_host_() ? GO_EBUSY : step(budget);
}

int go_wake_fd(void) {
  intptr_t handle = -1;
  if (go_ld_acq(&GO_S->running) == 0 || !go_embedded_()) {
    return not_embedded();
  }
  int r = go_poll_handle_(&handle);
  if (r != 0) {
    return r;
  }
  if (go_xchg_ar(&GO_S->wake_fd, 1u) == 0) {
    go_poll_break_(); /* the first step sets the alarm for the timers that there are already */
  }
  return (int)handle;
}

go_nsec go_step_wait(void) {
  if (go_ld_acq(&GO_S->running) == 0 || !go_embedded_() || go_work_anywhere_()) {
    return 0;
  }
  int64_t when = go_tm_first_();
  int64_t ns = when == INT64_MAX ? GO_FOREVER : when - go_os_now_();
  return ns > 0 ? ns : 0;
}

/* The host waits for more to do, at most ns (negative: for ever). */
static void wait(int64_t ns) {
  int64_t most = go_step_wait();
  most = ns >= 0 && ns < most ? ns : most;
  if (most > 0) {
    (void)go_poll_wait_(most == GO_FOREVER ? -1 : most);
  }
}

void go_host_turn_(int64_t ns) {
  (void)step(HOST_BUDGET);
  wait(ns);
}

static bool woken(go_note_ *n) {
  return go_ld_acq(&n->word) == GO_NOTE_WOKEN_; /* pairs with go_note_wake_ */
}

/* The note is looked at between the step, which takes the break of whoever has woken us, and the wait. */
static bool sleep_host(go_note_ *n, int64_t ns) {
  int64_t now = go_os_now_();
  int64_t until = ns < 0 || ns > INT64_MAX - now ? INT64_MAX : now + ns;
  for (;;) {
    (void)step(HOST_BUDGET);
    if (woken(n)) {
      return true;
    }
    int64_t left = until == INT64_MAX ? -1 : until - go_os_now_();
    if (until != INT64_MAX && left <= 0) {
      return false;
    }
    wait(left);
  }
}

bool go_thread_sleep_(go_m_ *m, int64_t ns) {
  if (GO_UNLIKELY_(m->hook_g != NULL)) {
    go_fatal_("a hook of go_set_hooks must not suspend");
  }
  return m == go_host_() ? sleep_host(&m->note, ns) : go_note_sleep_(&m->note, ns);
}
