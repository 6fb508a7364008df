/* sync/mutex.c: the mutex. Go: internal/sync/mutex.go.
 *
 * Word: LOCKED  held.
 *       WAITERS the list is not empty, or somebody is about to enter it. Changed only under lock_.
 *       WOKEN   a waiter has been woken (or spins) and will try: legal to fail to set it, illegal when no
 *               such waiter exists; unlock then wakes nobody else.
 *       STARVING the first waiter is handed the mutex; newcomers do not take it. Under lock_.
 * Without waiters, locking and unlocking are one compare-and-swap each. Newcomers compete with woken
 * waiters, which is fast; a waiter that has waited over 1 ms makes the mutex starving, which
 * is fair. It ends when the list is empty or its last head had waited for less.
 */
#include <golib/sync.h>

#include "core/arch.h"
#include "sync/wait.h"

_Static_assert(sizeof(go_mutex) == 24, "part of the ABI");

enum { LOCKED = 1, WAITERS = 2, WOKEN = 4, STARVING = 8 };

#define STARVES_AFTER GO_MS
#define SPINS 4
#define SPIN_RELAX 8

static go_a32 *word(go_mutex *m) { return (go_a32 *)(void *)&m->state_; }
static go_a32 *lock_of(go_mutex *m) { return (go_a32 *)(void *)&m->lock_; }
static go_sync_list_ list_of(go_mutex *m) { return (go_sync_list_){&m->head_, &m->tail_}; }

static inline bool lock_fast(go_mutex *mu) {
  uint32_t none = 0;
  return go_cas_acq(word(mu), &none, (uint32_t)LOCKED); /* pairs with go_mutex_unlock */
}

bool go_mutex_trylock(go_mutex *mu) {
  uint32_t s = go_ld_rlx(word(mu));
  while (!(s & (LOCKED | STARVING))) {
    if (go_cas_acq(word(mu), &s, s | LOCKED)) {
      return true;
    }
  }
  return false;
}

/* Spinning pays when the holder runs on another P and nothing else wants ours. */
static bool spin(go_mutex *mu, go_m_ *m) {
  if (go_ld_rlx(&GO_S->procs) == 1 || (m->p != NULL && !go_runq_empty_(&m->p->q))) {
    return false;
  }
  for (int i = 0; i < SPINS; i++) {
    for (int k = 0; k < SPIN_RELAX; k++) {
      go_arch_relax_();
    }
    uint32_t s = go_ld_rlx(word(mu));
    if (s & STARVING) {
      return false;
    }
    if (!(s & LOCKED) && go_cas_acq(word(mu), &s, s | LOCKED)) {
      return true;
    }
  }
  return false;
}

/* Under lock_: takes the mutex if it is free, else makes sure that unlock comes by. */
static bool take_or_announce(go_mutex *mu, bool was_woken) {
  uint32_t s = go_ld_rlx(word(mu));
  for (;;) {
    uint32_t to = was_woken ? s & ~(uint32_t)WOKEN : s;
    bool take = !(s & (LOCKED | STARVING));
    if (go_cas_acq(word(mu), &s, take ? to | LOCKED : to | WAITERS)) {
      return take;
    }
  }
}

/* Under lock_, with the mutex held or handed over. */
static void leave_list(go_mutex *mu, go_sync_wait_ *w) {
  go_sync_del_(list_of(mu), w);
  if (mu->head_ == NULL) {
    (void)go_and_ar(word(mu), ~(uint32_t)(WAITERS | STARVING));
  }
}

/* The mutex is ours, handed over in starvation: ends that when there is no need for it any more. */
static void after_hand_over(go_mutex *mu, int64_t waited) {
  go_lock_(lock_of(mu));
  if (mu->head_ == NULL) {
    (void)go_and_ar(word(mu), ~(uint32_t)(WAITERS | STARVING));
  } else if (waited < STARVES_AFTER) {
    (void)go_and_ar(word(mu), ~(uint32_t)STARVING);
  }
  go_unlock_(lock_of(mu));
}

/* ctx is done: w has been taken out by nobody. */
static int give_up(go_ctx *ctx, go_mutex *mu, go_sync_wait_ *w) {
  go_lock_(lock_of(mu));
  leave_list(mu, w);
  go_unlock_(lock_of(mu));
  return go_cancel_err_(ctx);
}

static __attribute__((noinline)) int lock_slow(go_ctx *ctx, go_mutex *mu) {
  go_m_ *m = go_enter_();
  if (spin(mu, m)) {
    return 0;
  }
  go_sync_wait_ w = {.g = m->cur, .multi = ctx != NULL};
  for (bool woken = false;; woken = true) {
    go_lock_(lock_of(mu));
    if (take_or_announce(mu, woken)) {
      if (mu->head_ == NULL) {
        (void)go_and_ar(word(mu), ~(uint32_t)WAITERS);
      }
      go_unlock_(lock_of(mu));
      return 0;
    }
    int64_t now = go_os_now_();
    if (!woken) {
      w.since = now;
    } else if (now - w.since > STARVES_AFTER) {
      (void)go_or_ar(word(mu), (uint32_t)STARVING);
    }
    w.seq = go_claim_open_(w.g);
    go_prepark_(m, GO_WAIT_MUTEX_);
    go_sync_put_(list_of(mu), &w, woken); /* who has waited already stays in front */
    go_unlock_(lock_of(mu));
    if (!go_sync_park_(m, ctx, &w)) {
      return give_up(ctx, mu, &w);
    }
    m = go_m_get_();
    if (w.handed) {
      after_hand_over(mu, go_os_now_() - w.since);
      return 0;
    }
  }
}

void go_mutex_lock(go_mutex *mu) {
  if (!GO_LIKELY_(lock_fast(mu))) {
    (void)lock_slow(NULL, mu);
  }
}

int go_mutex_lock_ctx(go_ctx *ctx, go_mutex *mu) {
  int err = go_cancel_err_(ctx);
  if (err != 0) {
    return err;
  }
  return GO_LIKELY_(lock_fast(mu)) ? 0 : lock_slow(ctx, mu);
}

/* Under lock_, mutex held by the caller, waiters about. Returns who is to be readied. */
static go_sync_wait_ *hand_over_or_wake(go_mutex *mu) {
  uint32_t s = go_ld_rlx(word(mu));
  if (s & STARVING) {
    go_sync_wait_ *w = go_sync_get_(list_of(mu));
    if (w != NULL) {
      w->handed = true; /* LOCKED stays set */
      return w;
    }
  }
  /* Unlock first, so that a newcomer can have it meanwhile; then wake one who tries. */
  go_sync_wait_ *w = (s & WOKEN) ? NULL : go_sync_get_(list_of(mu));
  uint32_t clear = LOCKED | (mu->head_ == NULL ? WAITERS | STARVING : 0);
  for (;;) {
    uint32_t to = (s & ~clear) | (w != NULL ? WOKEN : 0u);
    if (go_cas_rel(word(mu), &s, to)) {
      return w;
    }
  }
}

static __attribute__((noinline)) void unlock_slow(go_mutex *mu) {
  if (!(go_ld_rlx(word(mu)) & LOCKED)) {
    go_fatal_("go_mutex_unlock of an unlocked mutex");
  }
  go_lock_(lock_of(mu));
  go_sync_wait_ *w = hand_over_or_wake(mu);
  bool handed = w != NULL && w->handed;
  go_g_ *g = w != NULL ? w->g : NULL;
  go_unlock_(lock_of(mu));
  if (g == NULL) {
    return;
  }
  go_m_ *m = go_m_get_();
  go_ready_(m, g);
  if (handed && m != NULL && m->p != NULL) {
    (void)go_yield_m_(m); /* the waiter runs next, in our time slice */
  }
}

void go_mutex_unlock(go_mutex *mu) {
  uint32_t locked = LOCKED;
  if (!GO_LIKELY_(go_cas_rel(word(mu), &locked, 0u))) { /* pairs with lock_fast */
    unlock_slow(mu);
  }
}
