/* sync/once.c: doing something once. Go: sync/once.go.
 *
 * Word: RUNNING   the first call runs fn.
 *       WAITERS   the list is not empty. Only with RUNNING.
 *       GUARD     somebody works on the list; nobody else changes the word meanwhile. Only with RUNNING.
 *       DONE      alone, and for ever: the step that sets it is the last one that touches the once, and whoever
 *                 sees it may free it.
 */
#include <golib/sync.h>

#include <golib/defer.h>

#include "sync/wait.h"

/* What is planted here must be found by tests/models/once_model_test.cc, which compiles this file. */
#if !defined(GO_ONCE_BUG_)
#define GO_ONCE_BUG_ 0
#endif

enum { RUNNING = 1, WAITERS = 2, GUARD = 4, DONE = 8 };

static go_a32 *word(go_once *o) { return (go_a32 *)(void *)&o->state_; }
static go_sync_list_ list_of(go_once *o) { return (go_sync_list_){&o->head_, &o->tail_}; }

/* False: done. */
static bool guard(go_once *o) {
  uint32_t s = go_ld_acq(word(o)); /* pairs with finish */
  for (uint32_t tries = 0; s != DONE; tries++) {
    if (!(s & GUARD) && go_cas_ar(word(o), &s, s | GUARD)) {
      return true;
    }
    go_backoff_(tries);
    s = go_ld_acq(word(o));
  }
  return false;
}

static __attribute__((noinline)) void wake_all(go_once *o) {
  go_sync_woken_ woken = {NULL, NULL};
  (void)guard(o);
  if (GO_ONCE_BUG_ == 1) {
    go_st_rel(word(o), (uint32_t)DONE);
  }
  (void)go_sync_get_all_(list_of(o), &woken);
  go_st_rel(word(o), (uint32_t)DONE); /* pairs with guard and go_once_do */
  go_sync_ready_all_(go_m_get_(), &woken);
}

/* Called however fn ends. */
static void finish(void *arg) {
  go_once *o = (go_once *)arg;
  uint32_t s = RUNNING;
  if (GO_ONCE_BUG_ == 2) {
    go_st_rel(word(o), (uint32_t)DONE);
  } else if (!go_cas_rel(word(o), &s, (uint32_t)DONE)) {
    wake_all(o);
  }
}

static void run(go_once *o, void (*fn)(void *), void *arg) {
  GO_DEFER(finish, o);
  if (fn == NULL) {
    go_panic("go_once_do: fn is NULL");
  }
  go_call_(fn, arg);
}

static __attribute__((noinline)) void wait(go_once *o) {
  if (!guard(o)) {
    return;
  }
  go_m_ *m = go_enter_();
  go_sync_wait_ w = {.g = m->cur};
  go_prepark_(m, GO_WAIT_ONCE_);
  go_sync_put_(list_of(o), &w, false);
  go_st_rel(word(o), (uint32_t)(RUNNING | WAITERS));
  (void)go_park_(m);
}

void go_once_do(go_once *o, void (*fn)(void *), void *arg) {
  if (GO_LIKELY_(go_ld_acq(word(o)) == DONE)) { /* pairs with finish: what fn did is visible */
    return;
  }
  uint32_t s = 0;
  if (go_cas_acq(word(o), &s, (uint32_t)RUNNING)) {
    run(o, fn, arg);
  } else {
    wait(o);
  }
}
