/* sync/cond.c: condition variables. Go: sync/cond.go, runtime/sema.go (notifyList).
 *
 * The list, protected by lock_, is in the order of the waits. A waiter gets into it before it unlocks the mutex, so
 * whoever changes the condition under the mutex after that finds it there; and who comes later stands behind.
 * waiters_ says whether the list is empty, stored under lock_ and read without: a signal that misses a waiter is one
 * that came before its wait, as far as the mutex tells.
 *
 * A signal is given to one waiter, who is taken out at once, by winning the claim where a context may end the wait.
 * So a waiter was either signalled, and returns 0, or has lost nothing by giving up: the signal went to the next.
 */
#include <golib/sync.h>

#include <golib/defer.h>

#include "sync/wait.h"

/* What is planted here must be found by tests/models/cond_model_test.cc, which compiles this file. */
#if !defined(GO_COND_BUG_)
#define GO_COND_BUG_ 0
#endif

static go_a32 *lock_of(go_cond *c) { return (go_a32 *)(void *)&c->lock_; }
static go_a32 *waiters_of(go_cond *c) { return (go_a32 *)(void *)&c->waiters_; }
static go_aptr *self_of(go_cond *c) { return (go_aptr *)(void *)&c->self_; }
static go_sync_list_ list_of(go_cond *c) { return (go_sync_list_){&c->head_, &c->tail_}; }

/* The first use notes the address. */
static inline void check_copy(go_cond *c, const char *call) {
  void *self = go_ld_rlx(self_of(c));
  if (GO_UNLIKELY_(self != c) &&
      (self != NULL || (!go_cas_rlx(self_of(c), &self, c) && self != c))) {
    go_panic("%s: the go_cond is a copy of one in use", call);
  }
}

/* lock_ held, released. */
static void unlock_list(go_cond *c) {
  uint32_t waiters = c->head_ != NULL;
  if (GO_COND_BUG_ == 3) {
    go_unlock_(lock_of(c));
    go_st_rlx(waiters_of(c), waiters);
    return;
  }
  go_st_rlx(waiters_of(c), waiters);
  go_unlock_(lock_of(c));
}

/* ctx is done, and nobody has signalled w. */
static int give_up(go_ctx *ctx, go_cond *c, go_sync_wait_ *w) {
  go_lock_(lock_of(c));
  go_sync_del_(list_of(c), w);
  unlock_list(c);
  return go_cancel_err_(ctx);
}

static int wait(go_ctx *ctx, go_cond *c, go_mutex *mu) {
  go_m_ *m = go_enter_();
  go_sync_wait_ w = {.g = m->cur, .seq = go_claim_open_(m->cur), .multi = ctx != NULL};
  if (GO_COND_BUG_ == 1) {
    go_mutex_unlock_parking_(m, mu);
  }
  go_prepark_(m, GO_WAIT_COND_);
  go_lock_(lock_of(c));
  go_sync_put_(list_of(c), &w, false);
  unlock_list(c);
  if (GO_COND_BUG_ != 1) {
    go_mutex_unlock_parking_(m, mu); /* not before: a signal meanwhile is for us */
  }
  bool signalled = go_sync_park_(m, ctx, &w);
  int r = signalled && !(GO_COND_BUG_ == 2 && go_cancel_err_(ctx)) ? 0 : give_up(ctx, c, &w);
  go_mutex_lock(mu);
  return r;
}

static void check_wait(go_cond *c, go_mutex *mu, const char *call) {
  check_copy(c, call);
  if (!go_mutex_is_locked_(mu)) {
    go_fatal_("%s with an unlocked mutex", call);
  }
}

void go_cond_wait(go_cond *c, go_mutex *mu) {
  check_wait(c, mu, "go_cond_wait");
  (void)wait(NULL, c, mu);
}

int go_cond_wait_ctx(go_ctx *ctx, go_cond *c, go_mutex *mu) {
  check_wait(c, mu, "go_cond_wait_ctx");
  int err = go_cancel_err_(ctx);
  return err != 0 ? err : go_forked_() ? GO_EFORKED : wait(ctx, c, mu);
}

/* The first, or all. */
static __attribute__((noinline)) void wake(go_cond *c, bool all) {
  go_sync_woken_ woken = {NULL, NULL};
  go_lock_(lock_of(c));
  do {
    go_sync_wait_ *w = go_sync_get_(list_of(c));
    if (w == NULL) {
      break;
    }
    go_sync_woken_add_(&woken, w);
  } while (all);
  unlock_list(c);
  go_sync_ready_all_(go_m_get_(), &woken);
}

void go_cond_signal(go_cond *c) {
  check_copy(c, "go_cond_signal");
  if (go_ld_rlx(waiters_of(c)) != 0) {
    wake(c, false);
  }
}

void go_cond_broadcast(go_cond *c) {
  check_copy(c, "go_cond_broadcast");
  if (go_ld_rlx(waiters_of(c)) != 0) {
    wake(c, true);
  }
}
