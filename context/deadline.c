/* context/deadline.c: contexts that become done by the clock.
 *
 * The timer has a hold of the context's memory from when it is armed until it has been taken out of its heap
 * (by go_ctx_disarm_) or its function has returned. It has no ref: when it fires it asks for one. Who
 * disarms when go_tm_del_ comes too late leaves the hold to the function, which is about to run.
 */
#include <golib/context.h>
#include <golib/time.h>

#include "context/ctx.h"
#include "core/timer.h"

/* What is planted here must be found by tests/models/ctx_model_test.cc, which compiles this file. */
#if !defined(GO_CTX_BUG_)
#define GO_CTX_BUG_ 0
#endif

static void end_timed(go_m_ *m, go_ctx *c, int err) {
  if (go_ctx_try_ref_(c)) {
    go_ctx_end_(m, c, err, err);
    go_ctx_unref(c);
  }
  if (GO_CTX_BUG_ != 3) {
    go_ctx_unhold_(c);
  }
}

/* On g0; m NULL: the scheduler stops, and nobody would keep the time. */
static void on_deadline(go_m_ *m, void *arg, uint32_t seq) {
  (void)seq;
  end_timed(m != NULL ? m : go_m_get_(), (go_ctx *)arg, m != NULL ? GO_ETIMEDOUT : GO_ECANCELED);
}

void go_ctx_disarm_(go_ctx *c) {
  if (c->kind == GO_CTX_TIMED_ && (go_tm_del_(&((go_ctx_timed_ *)c)->tm) || GO_CTX_BUG_ == 3)) {
    go_ctx_unhold_(c); /* never the last: the caller has one */
  }
}

/* c is the caller's alone until the timer is in its heap; it may be done before this returns. */
static void arm(go_m_ *m, go_ctx *c, go_nsec when) {
  go_ctx_timed_ *t = (go_ctx_timed_ *)c;
  t->tm = (go_tm_){.when = when, .kind = GO_TM_TOLD_, .fn = on_deadline, .arg = c};
  go_st_rlx(&c->holds, 2u);
  (void)go_tm_add_(m, &t->tm); /* does not fail */
}

static go_ctx *with_timer(go_ctx *parent, go_nsec when) {
  int why;
  go_m_ *m = go_forked_() ? NULL : go_tm_enter_(&why);
  go_ctx *c = m != NULL ? go_ctx_make_(parent, sizeof(go_ctx_timed_), GO_CTX_TIMED_) : NULL;
  if (c != NULL) {
    c->deadline = when;
    arm(m, c, when);
    go_ctx_link_(c);
  }
  return c;
}

/* The parent's end, if it has come, comes first. */
static go_ctx *with_passed(go_ctx *parent, go_nsec when) {
  go_ctx *c = go_ctx_make_(parent, sizeof *c, GO_CTX_PLAIN_);
  if (c != NULL) {
    c->deadline = when;
    go_ctx_link_(c);
    go_ctx_end_(go_m_get_(), c, GO_ETIMEDOUT, GO_ETIMEDOUT);
  }
  return c;
}

go_ctx *go_ctx_with_deadline(go_ctx *parent, go_nsec when) {
  if (go_ctx_deadline(parent) <= when) { /* GO_FOREVER always comes here */
    return go_ctx_with_cancel(parent);
  }
  return when > go_now() && go_ctx_err(parent) == 0 ? with_timer(parent, when)
                                                    : with_passed(parent, when);
}

go_ctx *go_ctx_with_timeout(go_ctx *parent, go_nsec d) {
  go_nsec now = go_now();
  return go_ctx_with_deadline(parent, d > GO_FOREVER - now ? GO_FOREVER : now + d);
}
