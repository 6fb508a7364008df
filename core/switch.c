/* core/switch.c: switching away from a goroutine in the middle of its code, and who may be treated so.
 *
 * sysmon asks (core/sysmon.c), the backend of core/preempt.h interrupts, and here it is decided, on the thread itself or
 * while it is suspended, so that nothing can change meanwhile. A goroutine may be stopped between any two instructions that are
 *  - the program's own: whose code it is, the backend tells. golib's functions hold locks, libc's do as well;
 *  - of a goroutine that agrees: g->nopreempt is 0. It counts open go_nopreempt_begin; GO_NOPREEMPT_ stands for
 *    "was not started so";
 *  - on the goroutine's stack, with room left: not in a handler of a signal, nor in a hook;
 *  - outside go_hold_;
 *  - and not while a panic or an exception is on its way, which are half the thread's.
 * Its P may have been taken by then, if the thread did not run for some time: then it queues up for another, instead of going on
 * beside those who have it.
 * Then nobody but the goroutine itself can tell the difference to a go_yield there: g0 has the next one run. What the thread
 * keeps for the goroutine (errno, the signal mask, vector registers) is the backend's to keep.
 *
 * g->nopreempt: own; sysmon reads it, as a hint. Go: runtime/preempt.go wantAsyncPreempt, isAsyncSafePoint.
 */
#include <golib/block.h>

#include "core/preempt.h"
#include "core/sched.h"
#include "core/stack.h"

GO_NO_TSAN_ go_preempt_thread_ *go_preempt_mine_(void) {
  go_m_ *m = go_m_get_();
  return m != NULL && m->worker ? &m->pre : NULL;
}

/* The lowest slot of a chunk has its own guard in it, as large as that at its top. */
static bool has_room(const go_g_ *g, const char *sp, size_t room) {
  const char *high = go_stack_high_(g->stack_class, g->stack_top);
  const char *low = go_stack_low_(g->stack_class, g->stack_top) + (g->stack_top - high);
  return sp <= high && sp >= low && (size_t)(sp - low) >= room;
}

static bool no_exceptions(const go_m_ *m) {
  return m->cxx == NULL || (m->cxx->caught == NULL && m->cxx->uncaught == 0);
}

bool go_preempt_may_(const go_preempt_thread_ *t, const void *sp, size_t room) {
  const go_m_ *m = (const go_m_ *)((const char *)t - offsetof(go_m_, pre));
  const go_g_ *g = m->cur;
  if (g == NULL || go_is_thread_(g) || m->hook_g != NULL || go_ld_rlx(&m->hold.in) != 0) {
    return false;
  }
  return go_get_nopreempt_(g) == 0 && g->panics == NULL && !(g->flags & GO_G_DYING_) &&
         no_exceptions(m) && has_room(g, sp, room);
}

/* ---- sections ---- */

static void too_deep(void) { go_fatal_("go_nopreempt_begin: more than 32767 sections are open"); }

/* The goroutine alone changes it; that it is stored before what follows, and after what came before, is a matter between
 * it and a handler on its own thread: the call is enough. */
void go_nopreempt_begin(void) {
  if (go_forked_()) {
    return;
  }
  go_g_ *g = go_enter_()->cur;
  if ((go_get_nopreempt_(g) & GO_NOPREEMPT_DEPTH_) == GO_NOPREEMPT_DEPTH_) {
    too_deep();
  }
  go_set_nopreempt_(g, (uint16_t)(go_get_nopreempt_(g) + 1));
}

void go_nopreempt_end(void) {
  if (go_forked_()) {
    return;
  }
  go_g_ *g = go_enter_()->cur;
  if ((go_get_nopreempt_(g) & GO_NOPREEMPT_DEPTH_) == 0) {
    go_fatal_("go_nopreempt_end without go_nopreempt_begin");
  }
  go_set_nopreempt_(g, (uint16_t)(go_get_nopreempt_(g) - 1));
}
