/* core/cancel.c: what blocking calls need of a context. The rest is in context/. */
#include "core/sched.h"

static go_cancel_ *base(go_ctx *ctx) { return (go_cancel_ *)(void *)ctx; }

int go_cancel_err_(go_ctx *ctx) {
  /* acquire: what the canceller did before is visible to who learns of it */
  return ctx == NULL ? 0 : -(int)go_ld_acq(&base(ctx)->err);
}

bool go_cancel_add_(go_ctx *ctx, go_cancel_wait_ *w, go_g_ *g, uint32_t seq) {
  if (ctx == NULL) {
    return true;
  }
  go_cancel_ *c = base(ctx);
  w->g = g;
  w->seq = seq;
  w->prev = NULL;
  go_lock_(&c->lock);
  bool open = go_ld_rlx(&c->err) == 0;
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

void go_cancel_del_(go_ctx *ctx, go_cancel_wait_ *w) {
  if (ctx == NULL) {
    return;
  }
  go_cancel_ *c = base(ctx);
  go_lock_(&c->lock);
  if (w->prev != NULL) {
    w->prev->next = w->next;
  } else {
    c->head = w->next;
  }
  if (w->next != NULL) {
    w->next->prev = w->prev;
  }
  go_unlock_(&c->lock);
}

bool go_cancel_fire_(go_m_ *m, go_cancel_ *c, int err) {
  go_lock_(&c->lock);
  bool first = go_ld_rlx(&c->err) == 0;
  if (first) {
    go_st_rel(&c->err, (uint32_t)-err);
    for (go_cancel_wait_ *w = c->head; w != NULL; w = w->next) {
      if (go_claim_(w->g,
                    w->seq)) { /* it cannot leave before go_cancel_del_, which needs the lock */
        w->g->claimed_by = w;
        go_ready_(m, w->g);
      }
    }
  }
  go_unlock_(&c->lock);
  return first;
}
