/* core/sleep.c: go_sleep, and the clock. */
#include <golib/go.h>
#include <golib/time.h>

#include "core/sched.h"

go_nsec go_now(void) { return go_os_now_(); }

/* A plain thread needs no timer: its futex wait has a time-out. */
static int sleep_thread(go_m_ *m, go_ctx *ctx, int64_t until, uint8_t reason) {
  bool forever = until == GO_FOREVER;
  go_g_ *g = m->cur;
  go_cancel_wait_ w;
  uint32_t seq = go_claim_open_(g);
  go_prepark_(m, reason);
  if (!go_cancel_add_(ctx, &w, g, seq)) {
    go_set_state_(g, GO_G_RUNNING_);
    return go_cancel_err_(ctx);
  }
  bool woken = forever;
  if (forever) {
    go_thread_sleep_long_(m);
  }
  while (!woken) {
    int64_t left = until - go_os_now_();
    if (left <= 0) {
      break;
    }
    woken = go_thread_sleep_(m, left);
  }
  if (!woken && !go_claim_(g, seq)) { /* cancelled at the last moment: the wake-up is on its way */
    woken = go_thread_sleep_(m, -1);
  }
  if (woken && !forever) {
    (void)go_add_sc(&GO_S->nblocked, 1u); /* go_ready_ took one off */
  }
  go_cancel_del_(ctx, &w);
  go_set_state_(g, GO_G_RUNNING_);
  return woken ? go_cancel_err_(ctx) : 0;
}

/* Nothing but the clock ends it. */
static int sleep_plain(go_m_ *m, int64_t until, uint8_t reason) {
  go_g_ *g = m->cur;
  go_prepark_(m, reason);
  int r = until == GO_FOREVER ? 0 : go_tm_sleep_(m, g, until);
  if (r != 0) {
    go_set_state_(g, GO_G_RUNNING_);
    return r;
  }
  (void)go_park_(m);
  return 0;
}

static int sleep_g(go_m_ *m, go_ctx *ctx, int64_t until, uint8_t reason) {
  bool forever = until == GO_FOREVER;
  go_g_ *g = m->cur;
  go_tm_ tm = {.when = until, .fn = go_tm_claim_, .arg = g, .seq = go_claim_open_(g)};
  go_cancel_wait_ w;
  go_prepark_(m, reason);
  if (!go_cancel_add_(ctx, &w, g, tm.seq)) {
    go_set_state_(g, GO_G_RUNNING_);
    return go_cancel_err_(ctx);
  }
  int r = forever ? 0 : go_tm_add_(m, &tm);
  if (r != 0 && go_claim_(g, tm.seq)) { /* no memory for the timer */
    go_cancel_del_(ctx, &w);
    go_set_state_(g, GO_G_RUNNING_);
    return r;
  }
  (void)go_park_(m);
  bool cancelled = g->claimed_by == &w;
  go_cancel_del_(ctx, &w);
  if (cancelled && !forever) {
    (void)go_tm_del_(&tm);
  }
  return cancelled ? go_cancel_err_(ctx) : 0;
}

static int sleep_until(go_ctx *ctx, int64_t until, uint8_t reason) {
  if (go_forked_()) {
    return GO_EFORKED;
  }
  go_m_ *m = go_enter_();
  if (go_is_thread_(m->cur)) {
    return sleep_thread(m, ctx, until, reason);
  }
  return ctx == NULL ? sleep_plain(m, until, reason) : sleep_g(m, ctx, until, reason);
}

int go_sleep(go_ctx *ctx, go_nsec d) {
  int r = go_cancel_err_(ctx);
  if (r != 0 || d <= 0) {
    return r;
  }
  return sleep_until(ctx, go_tm_when_(d), GO_WAIT_SLEEP_);
}

int go_wait_done_(go_ctx *ctx, uint8_t reason) { return sleep_until(ctx, GO_FOREVER, reason); }
