/* core/watch.c: see core/watch.h.
 *
 * The request, between sysmon and the thread that is asked, which answers in a signal's handler, or late, or never:
 *
 *   of     means                                    who changes it, to what
 *   NULL   nothing is asked                         sysmon: m
 *   m      m is asked for the stack of who it runs  m's thread: BUSY; sysmon, when it has waited for long: NULL
 *   BUSY   m's thread fills in the answer           the thread, when that is done: NULL
 * Changes out of m are compare-and-swaps: one of the two wins. `done` is stored before `of` becomes NULL, and cleared before `of`
 * becomes m. So an answer that comes too late is nobody's, and what it may still write is left alone until it has ended: reports have no
 * stack meanwhile. An answer for an earlier request of the same m is as good as another: it says whose stack it is.
 *
 * Safe to read is what lies above the stack pointer on the goroutine's own stack, by its own thread, whatever that was interrupted in:
 * core/dump.c. Code without frame pointers, such as libc's, breaks the walk. But whoever uses that register has put it aside: so the first
 * words above the stack pointer are looked at for one from where the walk comes to the end of the stack. Functions before are missing then.
 */
#include "core/watch.h"

#include <stddef.h>
#include <string.h>

#include "core/out.h"
#include "core/sched.h"
#include "core/stack.h"

#define TELL_EVERY GO_SEC
#define ANSWER_IN GO_SEC /* a thread that the system does not run for so long is not waited for */

static struct {
  go_aptr of;
  go_a32 done;
  go_watched_ is; /* the thread's while BUSY, sysmon's while done */
} answer;
#define BUSY ((void *)&answer)

/* How far below a stack's top it ends, and begins, by its class; the handler calls nothing that TSan looks into. */
static struct { size_t low, high; } below_top[GO_STACK_CLASS_MAX_ + 1];

/* sysmon's own. */
static struct {
  bool waits; /* for an answer: */
  go_m_ *m;
  go_seen_ about;
  int64_t ran, asked_at;
  int64_t told_at;
  uint64_t untold; /* reports that were not made, to spare the log */
} told;

/* ---- on the thread ---- */

#define SCAN 4096u /* bytes */

/* Whether it goes on to the outermost function, or is too long to tell. */
GO_NO_TSAN_ static bool whole(void *const *pcs, int n, int max) {
  return n == max || (n > 0 && (uintptr_t)pcs[n - 1] - (uintptr_t)go_g_entry_ < 256);
}

/* The interrupted code had this frame pointer, or has used the register for something else. */
GO_NO_TSAN_ static int walk(const void *fp, const char *sp, const char *high, void **pcs, int max) {
  int n = go_arch_backtrace_fp_(fp, sp, high, pcs, max);
  if (whole(pcs, n, max)) {
    return n;
  }
  void *other[GO_LOOK_PCS_];
  const char *end = (size_t)(high - sp) < SCAN ? high : sp + SCAN;
  for (const char *at = sp; at < end; at += sizeof(void *)) {
    int m = go_arch_backtrace_fp_(at, at, high, other, max);
    if (m > 1 && whole(other, m, max)) {
      void *volatile *to = pcs;     /* no memcpy, which sanitizers replace */
      for (n = 0; n < m - 1; n++) { /* less the word above, which need not be a return address */
        to[n] = other[n + 1];
      }
      break;
    }
  }
  return n;
}

GO_NO_TSAN_ void go_preempt_saw_(go_preempt_thread_ *t, const void *pc, const void *sp,
                                 const void *fp) {
  void *m = (char *)t - offsetof(go_m_, pre);
  const go_g_ *g = ((go_m_ *)m)->cur;
  if (!go_cas_ar(&answer.of, &m, BUSY)) {
    return;
  }
  answer.is.id = 0; /* also if it is on another stack */
  answer.is.n = 0;
  if (g != NULL && g->stack_top != NULL) {
    const char *at = sp, *high = g->stack_top - below_top[g->stack_class].high;
    if (at >= g->stack_top - below_top[g->stack_class].low && at < high) {
      answer.is.id = g->id;
      answer.is.pcs[0] =
          (char *)(uintptr_t)pc + 1; /* as if it was a return address, which lies behind the call */
      answer.is.n = 1 + walk(fp, at, high, answer.is.pcs + 1, GO_LOOK_PCS_ - 1);
    }
  }
  go_st_rel(&answer.done, 1u);
  go_st_rel(&answer.of, NULL); /* pairs with go_watch_ask_: the next may be asked */
}

/* ---- on sysmon ---- */

int go_watch_ask_(go_m_ *m) {
  if (!GO_S->watch_ready) {
    return GO_ENOSYS;
  }
  if (go_ld_acq(&answer.of) != NULL) {
    return GO_EBUSY;
  }
  go_st_rlx(&answer.done, 0u);
  go_lock_(&GO_S->lock); /* until then the thread does not end */
  int r = GO_EAGAIN;
  if (m->pre.id != 0) {
    go_st_rel(&answer.of, (void *)m);
    r = go_preempt_look_(&m->pre);
  }
  go_unlock_(&GO_S->lock);
  if (r != 0) {
    go_watch_withdraw_(m);
  }
  return r;
}

const go_watched_ *go_watch_answered_(void) {
  return go_ld_acq(&answer.done) != 0 ? &answer.is : NULL; /* pairs with go_preempt_saw_ */
}

void go_watch_withdraw_(go_m_ *m) {
  void *of = m;
  (void)go_cas_ar(&answer.of, &of, NULL);
}

static void put_line(const char *why) {
  go_out_ o;
  go_out_init_(&o, 2);
  go_out_str_(&o, "golib: watchdog: ");
  go_out_seen_(&o, &told.about);
  go_out_str_(&o, " has been in user code for ");
  go_out_u64_(&o, (uint64_t)(told.ran / GO_MS));
  go_out_str_(&o, " ms");
  if (told.untold != 0) {
    go_out_str_(&o, " (so have been ");
    go_out_u64_(&o, told.untold);
    go_out_str_(&o, " others since the last report)");
  }
  go_out_str_(&o, why);
  go_out_str_(&o, "\n");
  go_out_flush_(&o);
  told.untold = 0;
}

static void put_with_stack(const go_watched_ *seen) {
  if (seen->id != told.about.id) {
    put_line("; it has ended, or waits, by now");
    return;
  }
  put_line(":");
  go_os_symbols_(2, seen->pcs, seen->n);
}

void go_watch_tell_(go_m_ *m, int64_t ran, int64_t now) {
  const go_g_ *g = __atomic_load_n(&m->cur, __ATOMIC_RELAXED);
  if (told.waits || (told.told_at != 0 && now - told.told_at < TELL_EVERY)) {
    told.untold++;
    return;
  }
  if (g == NULL || !go_see_(g, &told.about)) {
    return;
  }
  told.m = m;
  told.ran = ran;
  told.told_at = told.asked_at = now;
  int r = go_watch_ask_(m);
  told.waits = r == 0;
  if (r != 0) {
    put_line(r == GO_ENOSYS ? "; its stack cannot be seen on this system"
                            : "; its stack cannot be seen now");
  }
}

void go_watch_look_(int64_t now) {
  if (!told.waits) {
    return;
  }
  const go_watched_ *seen = go_watch_answered_();
  if (seen != NULL) {
    told.waits = false;
    put_with_stack(seen);
  } else if (now - told.asked_at >= ANSWER_IN) {
    go_watch_end_();
  }
}

bool go_watch_waits_(void) { return told.waits; }

void go_watch_end_(void) {
  if (told.waits) {
    told.waits = false;
    go_watch_withdraw_(told.m);
    put_line("; its thread does not answer with its stack");
  }
}

void go_watch_reset_(void) {
  memset(&told, 0, sizeof told);
  for (uint32_t cls = GO_STACK_CLASS_MIN_; cls <= GO_STACK_CLASS_MAX_; cls++) {
    char *top = (char *)((uintptr_t)2 << GO_STACK_CLASS_MAX_);
    below_top[cls].low = (size_t)(top - go_stack_low_(cls, top));
    below_top[cls].high = (size_t)(top - go_stack_high_(cls, top));
  }
  go_st_rlx(&answer.of, NULL);
}
