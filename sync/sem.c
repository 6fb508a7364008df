/* sync/sem.c: weighted semaphores. Go: golang.org/x/sync/semaphore.
 *
 * Invariants, under lock_: 0 <= used_ <= size_ unless size_ < 0; if the list is not empty, its first waiter wants more
 * than is free, or is about to give up. Units are given to a waiter by who releases them, in its name and in the
 * list's order; so nobody passes a waiter. Who gives up has got nothing: a waiter is given units only by winning
 * the claim. The last step that touches the semaphore is an unlock of lock_.
 * Departure: units that come as ctx fires are kept, and the call returns 0.
 */
#include <golib/sync.h>

#include <golib/defer.h>

#include "sync/wait.h"

/* What is planted here must be found by tests/models/sem_model_test.cc, which compiles this file. */
#if !defined(GO_SEM_BUG_)
#define GO_SEM_BUG_ 0
#endif

typedef struct sem_wait {
  go_sync_wait_ w; /* first: the list knows only this */
  int64_t n;
} sem_wait;

static go_a32 *lock_of(go_sem *s) { return (go_a32 *)(void *)&s->lock_; }
static go_sync_list_ list_of(go_sem *s) { return (go_sync_list_){&s->head_, &s->tail_}; }

static void check(int64_t n, const char *call) {
  if (GO_UNLIKELY_(n < 0)) {
    go_panic("%s: negative count", call);
  }
}

/* lock_ held. */
static bool fits(const go_sem *s, int64_t n) { return n <= s->size_ - s->used_; }

static inline bool take(go_sem *s, int64_t n) {
  if ((s->head_ != NULL && GO_SEM_BUG_ != 3) || !fits(s, n)) {
    return false;
  }
  s->used_ += n;
  return true;
}

/* lock_ held. Gives to the first waiters what they want, as long as there is enough. */
static void give(go_sem *s, go_sync_woken_ *woken) {
  for (sem_wait *w; (w = (sem_wait *)s->head_) != NULL && fits(s, w->n);) {
    go_sync_del_(list_of(s), &w->w);
    if (go_sync_claim_(&w->w)) {
      s->used_ += w->n;
      go_sync_woken_add_(woken, &w->w);
    } else if (GO_SEM_BUG_ == 1) {
      s->used_ += w->n;
    }
  }
}

/* ctx is done, and w has got nothing. Those behind it may want less. */
static int give_up(go_ctx *ctx, go_sem *s, sem_wait *w) {
  go_sync_woken_ woken = {NULL, NULL};
  go_lock_(lock_of(s));
  go_sync_del_(list_of(s), &w->w);
  if (GO_SEM_BUG_ != 2) {
    give(s, &woken);
  }
  go_unlock_(lock_of(s));
  go_sync_ready_all_(go_m_get_(), &woken);
  return go_cancel_err_(ctx);
}

/* lock_ held, released. */
static __attribute__((noinline)) int wait(go_ctx *ctx, go_sem *s, int64_t n) {
  if (go_forked_()) {
    go_unlock_(lock_of(s));
    return GO_EFORKED;
  }
  if (n > s->size_) { /* never: so it shall not keep others waiting */
    go_unlock_(lock_of(s));
    return go_wait_done_(ctx, GO_WAIT_SEM_);
  }
  go_m_ *m = go_enter_();
  sem_wait w = {.w = {.g = m->cur, .seq = go_claim_open_(m->cur), .multi = ctx != NULL}, .n = n};
  go_prepark_(m, GO_WAIT_SEM_);
  go_sync_put_(list_of(s), &w.w, false);
  go_unlock_(lock_of(s));
  return go_sync_park_(m, ctx, &w.w) ? 0 : give_up(ctx, s, &w);
}

int go_sem_acquire(go_ctx *ctx, go_sem *s, int64_t n) {
  check(n, "go_sem_acquire");
  int err = go_cancel_err_(ctx);
  if (err != 0) {
    return err;
  }
  go_lock_(lock_of(s)); /* pairs with the release of the units that we get */
  if (GO_LIKELY_(take(s, n))) {
    go_unlock_(lock_of(s));
    return 0;
  }
  return wait(ctx, s, n);
}

bool go_sem_try_acquire(go_sem *s, int64_t n) {
  check(n, "go_sem_try_acquire");
  go_lock_(lock_of(s));
  bool got = take(s, n);
  go_unlock_(lock_of(s));
  return got;
}

void go_sem_release(go_sem *s, int64_t n) {
  check(n, "go_sem_release");
  go_sync_woken_ woken = {NULL, NULL};
  go_lock_(lock_of(s));
  bool held = n <= s->used_;
  if (GO_LIKELY_(held)) {
    s->used_ -= n;
    give(s, &woken);
  }
  go_unlock_(lock_of(s));
  if (GO_UNLIKELY_(!held)) {
    go_panic("go_sem_release: released more than held");
  }
  go_sync_ready_all_(go_m_get_(), &woken);
}
