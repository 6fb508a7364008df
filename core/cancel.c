/* core/cancel.c: cancelling one context, and waiting for it: see core/cancel.h. */
#include "core/cancel.h"

#include "core/sched.h"

/* What is planted here must be found by tests/models/cancel_model_test.cc, which compiles this file. */
#if !defined(GO_CANCEL_BUG_)
#define GO_CANCEL_BUG_ 0
#endif

#define WAKE_BATCH 64 /* waiters that are woken before others get the lock */

const char go_cancel_background_ = 0;

static go_cancel_ *base(go_ctx *ctx) { return (go_cancel_ *)(void *)ctx; }

/* The canceller is about to finish: he holds the lock meanwhile. */
static __attribute__((noinline)) uint32_t err_slow(go_cancel_ *c) {
  go_lock_(&c->lock);
  uint32_t err = go_ld_rlx(&c->err);
  go_unlock_(&c->lock);
  return err;
}

int go_cancel_err_(go_ctx *ctx) {
  if (go_cancel_never_(ctx)) {
    return 0;
  }
  /* acquire, pairs with go_cancel_end_: what the canceller did before is visible to who learns of it */
  uint32_t err = go_ld_acq(&base(ctx)->err);
  if (GO_UNLIKELY_(err & GO_CANCEL_CLOSING_)) {
    err = GO_CANCEL_BUG_ == 1 ? err & ~GO_CANCEL_CLOSING_ : err_slow(base(ctx));
  }
  return -(int)err;
}

bool go_cancel_add_(go_ctx *ctx, go_cancel_wait_ *w, go_g_ *g, uint32_t seq) {
  w->listed = false;
  if (go_cancel_never_(ctx)) {
    return true;
  }
  go_cancel_ *c = base(ctx);
  w->g = g;
  w->seq = seq;
  w->prev = NULL;
  w->listed = true;
  if (GO_CANCEL_BUG_ == 2 && go_ld_acq(&c->err) != 0) {
    return false;
  }
  go_lock_(&c->lock);
  bool open = GO_CANCEL_BUG_ == 2 || go_ld_rlx(&c->err) == 0;
  if (open) {
    w->next = c->head;
    if (c->head != NULL) {
      c->head->prev = w;
    }
    c->head = w;
  }
  go_unlock_(&c->lock);
  return open;
}

/* Lock held. */
static void take_out(go_cancel_ *c, go_cancel_wait_ *w) {
  w->listed = false;
  if (w->prev != NULL) {
    w->prev->next = w->next;
  } else {
    c->head = w->next;
  }
  if (w->next != NULL) {
    w->next->prev = w->prev;
  }
}

void go_cancel_del_(go_ctx *ctx, go_cancel_wait_ *w) {
  if (go_cancel_never_(ctx)) {
    return;
  }
  go_cancel_ *c = base(ctx);
  go_lock_(&c->lock);
  if (w->listed || GO_CANCEL_BUG_ == 3) {
    take_out(c, w);
  }
  go_unlock_(&c->lock);
}

bool go_cancel_park_(go_m_ *m, go_ctx *ctx, uint32_t seq) {
  go_cancel_wait_ w;
  go_g_ *g = m->cur;
  if (go_cancel_add_(ctx, &w, g, seq)) {
    (void)go_park_(m);
    go_cancel_del_(ctx, &w);
    return g->claimed_by == &w;
  }
  if (go_claim_(g, seq)) { /* done before we began to wait */
    go_set_state_(g, GO_G_RUNNING_);
    return true;
  }
  (void)go_park_(m); /* somebody else was faster, and is about to wake us: that counts */
  return false;
}

bool go_cancel_begin_(go_cancel_ *c, int err) {
  go_lock_(&c->lock);
  if (go_ld_rlx(&c->err) != 0) {
    go_unlock_(&c->lock);
    return false;
  }
  go_st_rel(&c->err, (uint32_t)-err | GO_CANCEL_CLOSING_);
  return true;
}

/* Lock held. Its goroutine, if this is what ends its wait, cannot leave before go_cancel_del_. */
static void wake_first(go_m_ *m, go_cancel_ *c) {
  go_cancel_wait_ *w = c->head;
  take_out(c, w);
  if (go_claim_(w->g, w->seq)) {
    w->g->claimed_by = w;
    go_ready_(m, w->g);
  }
}

void go_cancel_end_(go_m_ *m, go_cancel_ *c) {
  go_st_rel(&c->err, go_ld_rlx(&c->err) & ~GO_CANCEL_CLOSING_); /* pairs with go_cancel_err_ */
  for (;;) {
    for (int i = 0; i < WAKE_BATCH && c->head != NULL; i++) {
      wake_first(m, c);
    }
    if (c->head == NULL) {
      break;
    }
    go_unlock_(&c->lock); /* nobody joins them any more, but others may have business here */
    go_lock_(&c->lock);
  }
  go_unlock_(&c->lock);
}

bool go_cancel_fire_(go_m_ *m, go_cancel_ *c, int err) {
  bool first = go_cancel_begin_(c, err);
  if (first) {
    go_cancel_end_(m, c);
  }
  return first;
}
