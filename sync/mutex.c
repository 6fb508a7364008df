/* sync/mutex.c: the mutex. Go: internal/sync/mutex.go.
 *
 * Word: LOCKED   held.
 *       GUARD    somebody works on the list of waiters, which it protects, and on the bits below. While it is
 *                set, others can only set LOCKED; it is never set for longer than a few instructions.
 *       WAITERS  the list is not empty (legal when it is: costs an unlock the slow way).
 *       WOKEN    a waiter has been woken and will try: legal not to set it, illegal when no such waiter exists;
 *                unlock then wakes nobody else.
 *       STARVING the first waiter is handed the mutex; newcomers do not take it. Only while LOCKED.
 * Without waiters, locking and unlocking are one compare-and-swap each. Newcomers compete with woken
 * waiters, which is fast; a waiter that has waited over 1 ms makes the mutex starving, which
 * is fair. That ends when the list is empty, or who was handed the mutex had waited for less.
 *
 * Unlocking gives LOCKED and GUARD back in one step and does not touch the mutex after it: whoever locks next
 * may free it. That is why the guard is a bit of the word and not a lock beside it.
 */
#include <golib/sync.h>

#include "core/arch.h"
#include "sync/wait.h"

/* What is planted here must be found by tests/models/mutex_model_test.cc, which compiles this file. */
#if !defined(GO_MUTEX_BUG_)
#define GO_MUTEX_BUG_ 0
#endif

enum { LOCKED = 1, WAITERS = 2, WOKEN = 4, STARVING = 8, GUARD = 16 };

static go_a32 *word(go_mutex *m) { return (go_a32 *)(void *)&m->state_; }
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

static void guard(go_mutex *mu) {
  for (uint32_t tries = 0; go_or_ar(word(mu), (uint32_t)GUARD) & GUARD; tries++) {
    go_backoff_(tries);
  }
}

/* Guard held: sets and clears bits, and gives it back. */
static void unguard(go_mutex *mu, uint32_t set, uint32_t clear) {
  uint32_t s = go_ld_rlx(word(mu));
  while (!go_cas_ar(word(mu), &s, (s & ~(clear | GUARD)) | set)) {}
}

static bool spin(go_mutex *mu, go_m_ *m) {
  if (!go_sync_may_spin_(m)) {
    return false;
  }
  for (int i = 0; i < GO_SYNC_SPINS_; i++) {
    go_sync_spin_();
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

/* Guard held. Takes the mutex, and gives the guard back, if it is free. */
static bool take_guarded(go_mutex *mu, bool was_woken) {
  uint32_t clear = (uint32_t)GUARD | (was_woken ? WOKEN : 0u) | (mu->head_ == NULL ? WAITERS : 0u);
  uint32_t s = go_ld_rlx(word(mu));
  while (!(s & LOCKED)) { /* and so not STARVING */
    if (go_cas_ar(word(mu), &s, (s & ~clear) | LOCKED)) {
      return true;
    }
  }
  return false;
}

/* The mutex is ours, handed over in starvation: ends that when there is no need for it any more. */
static void after_hand_over(go_mutex *mu, int64_t waited) {
  guard(mu);
  unguard(mu, 0,
          mu->head_ == NULL                 ? WAITERS | STARVING
          : waited < GO_SYNC_STARVES_AFTER_ ? STARVING
                                            : 0u);
}

/* ctx is done, and nobody has woken w. */
static int give_up(go_ctx *ctx, go_mutex *mu, go_sync_wait_ *w) {
  guard(mu);
  go_sync_del_(list_of(mu), w);
  unguard(mu, 0, mu->head_ == NULL ? WAITERS | STARVING : 0u);
  return go_cancel_err_(ctx);
}

static __attribute__((noinline)) int lock_slow(go_ctx *ctx, go_mutex *mu) {
  if (go_mutex_trylock(mu)) { /* free, with waiters that have not come to run yet */
    return 0;
  }
  go_m_ *m = go_enter_();
  if (spin(mu, m)) {
    return 0;
  }
  go_sync_wait_ w = {.g = m->cur, .multi = ctx != NULL, .since = go_os_now_()};
  for (bool woken = false;; woken = true) {
    guard(mu);
    if (GO_MUTEX_BUG_ != 4 && take_guarded(mu, woken)) {
      return 0;
    }
    w.seq = go_claim_open_(w.g);
    go_prepark_(m, GO_WAIT_MUTEX_);
    go_sync_put_(list_of(mu), &w, woken); /* who has waited already stays in front */
    bool starves = woken && go_os_now_() - w.since > GO_SYNC_STARVES_AFTER_;
    unguard(mu, WAITERS | (starves ? STARVING : 0u), woken && GO_MUTEX_BUG_ != 2 ? WOKEN : 0u);
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
  return GO_LIKELY_(lock_fast(mu)) ? 0 : go_forked_() ? GO_EFORKED : lock_slow(ctx, mu);
}

/* Guard held, mutex held by the caller, who loses both. Returns whom to ready; *ret_handed: the mutex is his. */
static go_g_ *hand_over_or_wake(go_mutex *mu, bool *ret_handed) {
  uint32_t s = go_ld_rlx(word(mu));
  go_sync_wait_ *w = (s & WOKEN) && !(s & STARVING) ? NULL : go_sync_get_(list_of(mu));
  go_g_ *g = w != NULL ? w->g : NULL;
  uint32_t none = mu->head_ == NULL ? WAITERS | STARVING : 0u;
  *ret_handed = w != NULL && (s & STARVING) != 0;
  if (*ret_handed) {
    w->handed = true; /* LOCKED stays set */
    unguard(mu, 0, none);
  } else {
    uint32_t clear = none | (w == NULL ? STARVING : 0u);
    unguard(mu, w != NULL ? WOKEN : 0u, GO_MUTEX_BUG_ == 1 ? clear : clear | LOCKED);
    if (GO_MUTEX_BUG_ == 1) {
      (void)go_and_ar(word(mu), ~(uint32_t)LOCKED);
    }
  }
  return g;
}

/* There is nobody to wake when a woken waiter has still to try. Not while somebody has the guard: it may be that
 * waiter, about to wait again. */
static bool unlock_beside_woken(go_mutex *mu) {
  uint32_t s = go_ld_rlx(word(mu)), mind = GO_MUTEX_BUG_ == 5 ? 0u : (uint32_t)GUARD;
  while ((s & (LOCKED | WOKEN | STARVING | mind)) == (LOCKED | WOKEN)) {
    if (go_cas_rel(word(mu), &s, s & ~(uint32_t)LOCKED)) {
      return true;
    }
  }
  return false;
}

/* Returns whether the mutex was handed to a waiter, who is ready now. */
static bool unlock_contended(go_m_ *m, go_mutex *mu) {
  if (unlock_beside_woken(mu)) {
    return false;
  }
  if (!(go_ld_rlx(word(mu)) & LOCKED)) {
    go_fatal_("go_mutex_unlock of an unlocked mutex");
  }
  bool handed;
  guard(mu);
  go_g_ *g = hand_over_or_wake(mu, &handed);
  if (g != NULL) {
    go_ready_(m, g);
  }
  return handed;
}

static __attribute__((noinline)) void unlock_slow(go_mutex *mu) {
  go_m_ *m = go_m_get_();
  if (unlock_contended(m, mu) && m != NULL && m->p != NULL) {
    (void)go_yield_m_(m); /* the waiter runs next, in our time slice */
  }
}

void go_mutex_unlock(go_mutex *mu) {
  uint32_t locked = LOCKED;
  if (GO_MUTEX_BUG_ == 3 && go_cas_rlx(word(mu), &locked, 0u)) {
    return;
  }
  if (!GO_LIKELY_(go_cas_rel(word(mu), &locked, 0u))) { /* pairs with lock_fast */
    unlock_slow(mu);
  }
}

void go_mutex_unlock_parking_(go_m_ *m, go_mutex *mu) {
  uint32_t locked = LOCKED;
  if (!go_cas_rel(word(mu), &locked, 0u)) { /* pairs with lock_fast */
    (void)unlock_contended(m, mu);
  }
}

bool go_mutex_is_locked_(go_mutex *mu) { return (go_ld_rlx(word(mu)) & LOCKED) != 0; }
