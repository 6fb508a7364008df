/* core/hooks.c: telling a program of its goroutines.
 *
 * Goroutines switch to each other directly, in code that must not know of hooks. While hooks are set, g0 leaves
 * no ticks to the goroutine that it runs, so that it comes back to g0 at its next switch; there both its
 * switch_in and its switch_out are called, by the one function that does it (execute, core/sched.c). Spawns
 * and ends go the slow way by GO_S->careful, which they look at anyway.
 *
 * During a hook the thread looks like a plain one: no P, and the M's thread_g as its goroutine. What
 * does not suspend works as from any thread; what suspends, or starts goroutines, finds hook_g set and ends
 * the program. The goroutine in question keeps the P meanwhile.
 *
 * The lock checker (core/lockcheck.c) needs the same detour: where it is on, no hooks are hooks without functions.
 */
#include "core/hooks.h"

#include "core/lockcheck.h"

#define SLOW_AFTER (10 * GO_MS)

go_aptr go_hooks_set_;

static const go_hooks nothing;

typedef struct was {
  go_g_ *cur;
  go_p_ *p;
} was;

static was enter(go_m_ *m, go_g_ *g) {
  was w = {m->cur, m->p};
  m->hook_g = g;
  go_m_set_p_(m, NULL);
  go_m_set_cur_(m, &m->thread_g);
  m->thread_g.flags = GO_G_THREAD_;
  m->thread_g.id = g->id; /* for go_id */
  return w;
}

static void leave(go_m_ *m, was w) {
  m->thread_g.id = 0;
  go_m_set_cur_(m, w.cur);
  go_m_set_p_(m, w.p);
  m->hook_g = NULL;
}

/* Within go_hold_. */
void go_hook_spawn_(go_m_ *m, go_g_ *g) {
  const go_hooks *h = go_hooks_();
  if (h != NULL && h->spawn != NULL) {
    was w = enter(m, g);
    h->spawn(h->arg, g->id, g->site != NULL ? g->site : "");
    leave(m, w);
  }
}

void go_hook_in_(go_m_ *m, const go_hooks *h) {
  go_g_ *g = m->cur;
  go_ticks_set_(m->p, 0);
  m->hooked = h;
  m->hooked_at = h->slow != NULL ? go_os_now_() : 0;
  if (h->switch_in != NULL) {
    was w = enter(m, g);
    h->switch_in(h->arg, g->id);
    leave(m, w);
  }
}

static void call_out(const go_hooks *h, const go_m_ *m, const go_g_ *g) {
  int64_t ran = h->slow != NULL ? go_os_now_() - m->hooked_at : -1;
  if (ran >= (h->slow_after > 0 ? h->slow_after : SLOW_AFTER)) {
    h->slow(h->arg, g->id, ran);
  }
  if (h->switch_out != NULL) {
    h->switch_out(h->arg, g->id);
  }
}

void go_hook_out_(go_m_ *m) {
  go_g_ *g = m->prev != NULL ? m->prev : m->dead;
  const go_hooks *h = m->hooked, *now = go_hooks_();
  was w = enter(m, g);
  if (h != NULL) {
    m->hooked = NULL;
    call_out(h, m, g);
  }
  if (m->dead != NULL && now != NULL && now->exit != NULL) {
    now->exit(now->arg, g->id);
  }
  if (go_ld_rlx(&go_lockcheck_on_) != 0) {
    go_lockcheck_left_(m, g, m->dead != NULL);
  }
  leave(m, w);
}

void go_set_hooks(const go_hooks *h) {
  if (h == NULL && go_ld_acq(&go_lockcheck_on_) != 0) {
    h = &nothing;
  }
  go_st_sc(&go_hooks_set_, (void *)(uintptr_t)h); /* pairs with go_hooks_, and with go_start_ */
  if (h != NULL) {
    (void)go_or_ar(&GO_S->careful, (uint32_t)GO_CAREFUL_HOOKS_);
  } else {
    (void)go_and_ar(&GO_S->careful, ~(uint32_t)GO_CAREFUL_HOOKS_);
  }
  go_m_ *m = go_m_get_();
  if (m != NULL) {
    uint32_t held = go_hold_(m);
    if (m->p != NULL) {
      go_ticks_set_(m->p, 0);
    }
    go_unhold_(m, held);
  }
}
