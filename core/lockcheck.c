/* core/lockcheck.c: a lock that belongs to a thread (pthread_mutex_t), held by a goroutine that leaves its thread.
 *
 * It would be unlocked by another thread, and until then whoever waits for it blocks a thread, maybe the only one that
 * could run the goroutine that is to unlock it: with one P that is a deadlock that nobody sees.
 *
 * Off unless the program is linked with tools/lockcheck, which tells of locks. They are kept with the M, by the goroutine
 * that runs there: it is reported, and they are forgotten, when it leaves; so all that an M has are those of its current
 * goroutine. That leaves by way of g0, as with hooks: the checker is a set of hooks with no function (core/hooks.c).
 * A goroutine that is wired to its thread may hold what it likes.
 */
#include "core/lockcheck.h"

#include <golib/debug.h>
#include <golib/lockcheck.h>

#include "core/hooks.h"
#include "core/out.h"
#include "core/sched.h"
#include "core/stack.h"

#define PCS 32
#define PLACES 64u

go_a32 go_lockcheck_on_;

/* Where locks were taken that were told of; 0: free. Entries stay, so a look without a lock finds them. */
static go_a64 told[PLACES];

void go_lockcheck_enable_(void) {
  go_st_rel(&go_lockcheck_on_, 1u);
  if (go_ld_acq(&go_hooks_set_) == NULL) {
    go_set_hooks(NULL); /* which is not none any more */
  }
}

/* NULL: a plain thread, which may hold locks for as long as it likes; or within golib. */
static go_m_ *of_goroutine(void) {
  go_m_ *m = go_m_get_();
  return m != NULL && m->cur != NULL && !go_is_plain_thread_(m->cur) ? m : NULL;
}

void go_lockcheck_locked_(const void *lock, const char *kind, const void *frame) {
  go_m_ *m = of_goroutine();
  if (m == NULL || m->nlocks == GO_LOCKS_MAX_) {
    return;
  }
  const go_g_ *g = m->cur;
  go_locked_ *l = &m->locks[m->nlocks++];
  l->lock = lock;
  l->kind = kind;
  l->npcs =
      go_arch_backtrace_fp_(frame, go_stack_low_(g->stack_class, g->stack_top),
                            go_stack_high_(g->stack_class, g->stack_top), l->pcs, GO_LOCK_PCS_);
}

void go_lockcheck_unlocked_(const void *lock) {
  go_m_ *m = of_goroutine();
  for (uint32_t i = m != NULL ? m->nlocks : 0; i-- > 0;) {
    if (m->locks[i].lock == lock) { /* the last one: a lock may be recursive */
      m->nlocks--;
      for (; i < m->nlocks; i++) {
        m->locks[i] = m->locks[i + 1];
      }
      return;
    }
  }
}

/* Whether that place has not been told of yet; no when there are too many. */
static bool is_new(const go_locked_ *l) {
  uint64_t pc = l->npcs > 0 ? (uint64_t)(uintptr_t)l->pcs[0] : 1;
  for (uint32_t i = 0; i < PLACES; i++) {
    uint64_t was = 0;
    if (go_cas_ar(&told[i], &was, pc)) {
      return true;
    }
    if (was == pc) {
      return false;
    }
  }
  return false;
}

static void put(const go_locked_ *l, const go_g_ *g, bool ended) {
  go_out_ o;
  void *pcs[PCS];
  go_out_init_(&o, 2);
  go_out_str_(&o, "golib: lock check: ");
  go_out_goroutine_(&o, g);
  go_out_str_(&o, ended ? " ends" : " leaves its thread");
  go_out_str_(&o, " with a ");
  go_out_str_(&o, l->kind);
  go_out_str_(&o, " locked (docs/tls.md, rule 3), which it locked at\n");
  go_out_flush_(&o);
  go_os_symbols_(2, l->pcs, l->npcs);
  if (ended) {
    return;
  }
  int n = go_arch_backtrace_(&g->ctx, g->ctx.sp, go_stack_high_(g->stack_class, g->stack_top), pcs,
                             PCS);
  go_out_str_(&o, " and leaves at\n");
  go_out_flush_(&o);
  go_os_symbols_(2, pcs, n);
}

void go_lockcheck_left_(go_m_ *m, const go_g_ *g, bool ended) {
  if (g->locked_m != NULL) {
    return;
  }
  for (uint32_t i = 0; i < m->nlocks; i++) {
    if (is_new(&m->locks[i])) {
      put(&m->locks[i], g, ended);
    }
  }
  m->nlocks = 0;
}
