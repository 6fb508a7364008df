/* sync/wg.c: wait groups. The word: sync/wg_word.h. Go: sync.WaitGroup.
 *
 * The list of waiters is protected by lock_. Whoever takes the counter to 0 with waiters wakes them all, and
 * touches the wait group for the last time when it unlocks: a woken waiter may free it.
 */
#include <golib/sync.h>

#include <golib/defer.h>

#include "sync/wait.h"
#include "sync/wg_word.h"

static go_a64 *word(go_wg *wg) { return (go_a64 *)(void *)&wg->state_; }
static go_a32 *lock_of(go_wg *wg) { return (go_a32 *)(void *)&wg->lock_; }
static go_sync_list_ list_of(go_wg *wg) { return (go_sync_list_){&wg->head_, &wg->tail_}; }

static __attribute__((noinline)) void wake_all(go_wg *wg) {
  go_sync_woken_ woken = {NULL, NULL};
  go_lock_(lock_of(wg));
  (void)go_sync_get_all_(list_of(wg), &woken);
  go_unlock_(lock_of(wg));
  go_sync_ready_all_(go_m_get_(), &woken);
}

void go_wg_add(go_wg *wg, int delta) {
  switch (go_wg_word_add_(word(wg), delta)) {
    case GO_WG_OK_: return;
    case GO_WG_WAKE_: wake_all(wg); return;
    case GO_WG_NEGATIVE_: go_panic("go_wg_add: negative wait group counter");
    default: go_panic("go_wg_add: wait group counter overflow");
  }
}

void go_wg_done(go_wg *wg) { go_wg_add(wg, -1); }

/* ctx is done: w has been taken out by nobody. Whoever has taken the counter to 0 meanwhile comes here to wake us,
 * and must not find that the wait group is gone: then we wait after all. */
static int give_up(go_ctx *ctx, go_wg *wg, go_sync_wait_ *w) {
  go_lock_(lock_of(wg));
  bool listed = w->listed;
  go_sync_del_(list_of(wg), w);
  if (!listed || wg->head_ != NULL || go_wg_word_leave_(word(wg))) {
    go_unlock_(lock_of(wg));
    return go_cancel_err_(ctx);
  }
  w->multi = false;
  go_m_ *m = go_m_get_();
  go_prepark_(m, GO_WAIT_WG_);
  go_sync_put_(list_of(wg), w, false);
  go_unlock_(lock_of(wg));
  (void)go_park_(m);
  return 0;
}

static __attribute__((noinline)) int wait_slow(go_ctx *ctx, go_wg *wg) {
  go_m_ *m = go_enter_();
  go_sync_wait_ w = {.g = m->cur, .seq = go_claim_open_(m->cur), .multi = ctx != NULL};
  go_lock_(lock_of(wg));
  if (!go_wg_word_wait_(word(wg))) {
    go_unlock_(lock_of(wg));
    return 0;
  }
  go_prepark_(m, GO_WAIT_WG_);
  go_sync_put_(list_of(wg), &w, false);
  go_unlock_(lock_of(wg));
  return go_sync_park_(m, ctx, &w) ? 0 : give_up(ctx, wg, &w);
}

void go_wg_wait(go_wg *wg) {
  if (go_wg_count_(go_ld_acq(word(wg))) != 0) { /* pairs with the last go_wg_done */
    (void)wait_slow(NULL, wg);
  }
}

int go_wg_wait_ctx(go_ctx *ctx, go_wg *wg) {
  int err = go_cancel_err_(ctx);
  if (err != 0) {
    return err;
  }
  if (go_wg_count_(go_ld_acq(word(wg))) == 0) {
    return 0;
  }
  return go_forked_() ? GO_EFORKED : wait_slow(ctx, wg);
}

static void done(void *wg) { go_wg_done((go_wg *)wg); }

int go_wg_spawn_site_(const char *site, struct go_wg *wg, void (*fn)(void *), const void *args,
                      size_t size) {
  go_spawn_ how = {.site = site, .on_end = done, .end_arg = wg};
  go_wg_add(wg, 1);
  int r = go_spawn_with_(&how, fn, args, size);
  if (r != 0) {
    go_wg_done(wg);
  }
  return r;
}
