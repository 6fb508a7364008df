/* core/block.c: calls that block their thread: go_blocking.
 *
 * A goroutine in foreign code has no P, and stands for its thread: GO_G_THREAD_ is set and locked_m says which
 * thread. So whatever it calls of golib blocks the thread, as a plain thread's calls do, and everything that belongs to
 * the goroutine (name, values, deferred calls, go_try) stays at hand. Nobody else runs on this thread meanwhile.
 *
 * Going out, the P becomes idle like any other, unless there is work for it, which another M gets at once; coming
 * back, any idle P will do. So nobody has to take a P from a thread in foreign code, and the protocols of core/idle.h
 * hold as they are. Rejected: leaving the P with the thread, to be taken by a compare-and-swap (Go): it saves the lock,
 * some 10 ns, and needs somebody who looks for such Ps whenever there is work.
 *
 * sched.nforeign counts these Ms, from before the P is given away until the goroutine has one again or is in a queue: for
 * the deadlock check they are threads that may do something yet.
 *
 * A panic, or go_exit, inside leaves by a deferred call: on go_blocking's frame; of go_blocking_begin in the M.
 * Go: runtime/proc.go entersyscall, exitsyscall, handoffp.
 */
#include <golib/block.h>

#include "core/hooks.h"
#include "core/sched.h"
#include "core/trace.h"

/* The M that keeps the time will do for p's timers as well. */
static bool nobody_keeps_time(go_p_ *p) {
  return (int64_t)go_ld_sc(&p->tm.first) != INT64_MAX && go_nobody_polls_();
}

static void give_p(go_m_ *m) {
  go_p_ *p = go_p_release_(m);
  go_lock_(&GO_S->lock);
  go_st_sc(&GO_S->nforeign, go_ld_rlx(&GO_S->nforeign) + 1);
  bool idle = go_ld_rlx(&GO_S->q.n) == 0 && go_ld_rlx(&p->leave) == 0 && go_runq_empty_(&p->q);
  if (idle) {
    go_p_put_idle_(p);
  }
  go_unlock_(&GO_S->lock);
  if (!idle) {
    go_p_handoff_(p);
    return;
  }
  go_idle_look_(); /* who submitted before the P was idle is seen here */
  if (go_work_anywhere_() || nobody_keeps_time(p) || go_poller_wanted_()) {
    go_wake_();
  }
}

static void take_p(go_m_ *m) {
  if (go_m_take_idle_(m)) {
    if (go_tracing_()) {
      m->woken = 0;
      m->first_turn = false;
      go_trace_in_(m);
    }
    go_unhold_(m, 0);
  } else {
    (void)go_queue_up_(m);
  }
}

/* Others have its P already, and it is counted as foreign. */
static void stay_without_p(go_m_ *m) {
  go_lock_(&GO_S->lock);
  go_m_back_(m);
  go_st_sc(&GO_S->nforeign, go_ld_rlx(&GO_S->nforeign) + 1);
  go_unlock_(&GO_S->lock);
}

/* The goroutine is a thread from now on, and stays within go_hold_: there is nothing to be taken away. For dumps it leaves
 * where it went in: pc, and the frame pointer of what is there; its own stack changes below. */
static void go_out(go_m_ *m, void *pc, void *fp) {
  go_g_ *g = m->cur;
  if (m->foreign++ == 0 && !go_is_thread_(g)) {
    (void)go_hold_(m);
    __atomic_store_n(&g->ctx.sp, fp,
                     __ATOMIC_RELAXED); /* pairs with prefetch, which may be too late */
    g->link = pc;
    g->since = m->p != NULL ? (int64_t)go_ld_rlx(&m->p->tick_at) : go_os_now_();
    g->flags |= GO_G_THREAD_;
    if (GO_UNLIKELY_(m->traced != NULL)) {
      go_trace_out_foreign_(m);
    }
    g->locked_m = m;
    if (GO_LIKELY_(m->p != NULL)) {
      give_p(m);
    } else {
      stay_without_p(m);
    }
  }
}

/* May suspend. */
static void come_back(go_m_ *m) {
  go_g_ *g = m->cur;
  if (--m->foreign == 0 && !go_is_plain_thread_(g)) {
    g->flags &= (uint8_t)~GO_G_THREAD_;
    g->locked_m = m->locked_g != NULL ? m : NULL;
    go_note_clear_(&m->note); /* waits in there have used it */
    take_p(m);
  }
}

/* ---- the function ---- */

/* Also by a panic. The thread is that which went out. */
static void leave(void *arg) {
  const bool *begun = arg;
  go_m_ *m = go_m_get_();
  if (m->begun != *begun) {
    go_fatal_(m->begun ? "go_blocking: go_blocking_begin without go_blocking_end in the function"
                       : "go_blocking: go_blocking_end without go_blocking_begin in the function");
  }
  come_back(m);
}

void go_blocking(void (*fn)(void *), void *arg) {
  if (fn == NULL) {
    go_fatal_("go_blocking: fn is NULL");
  }
  if (go_forked_() || go_embedded_()) { /* nobody is there to give anything to */
    fn(arg);
    return;
  }
  go_m_ *m = go_enter_();
  bool begun = m->begun;
  go_out(m, __builtin_return_address(0), *(void **)__builtin_frame_address(0));
  go_defer_rec_ d = {NULL, leave, &begun};
  go_defer_push_(&d);
  go_call_(fn, arg);
  if (!go_forked_()) { /* a child may go on to _exit */
    go_defer_run_(&d);
  }
}

/* ---- the pair ---- */

static void end(go_m_ *m) {
  m->begun = false;
  come_back(m);
}

static void end_by_panic(void *arg) { end(arg); }

void go_blocking_begin(void) {
  if (go_forked_() || go_embedded_()) {
    return;
  }
  go_m_ *m = go_enter_();
  if (m->begun) {
    go_fatal_("go_blocking_begin: called twice without go_blocking_end");
  }
  m->begun = true;
  m->end_foreign = (go_defer_rec_){NULL, end_by_panic, m};
  go_defer_push_(&m->end_foreign);
  go_out(m, __builtin_return_address(0), *(void **)__builtin_frame_address(0));
}

/* Blocks of users with deferred calls of their own may have begun, or ended, meanwhile. */
static void unlink_end(go_m_ *m) {
  go_defer_rec_ **at = &m->cur->defers;
  while (*at != NULL && *at != &m->end_foreign) {
    at = &(*at)->next_;
  }
  if (*at != NULL) {
    *at = m->end_foreign.next_;
  }
}

void go_blocking_end(void) {
  go_m_ *m = go_m_get_();
  if (go_forked_() || go_embedded_()) {
    return;
  }
  if (m == NULL || !m->begun) {
    go_fatal_("go_blocking_end without go_blocking_begin");
  }
  unlink_end(m);
  end(m);
}
