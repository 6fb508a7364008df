/* tests/models/cancel_model_test.cc: core/cancel.c itself: who waits with a context, whoever else may end
 * that wait, and the two steps in which a context becomes done. */
static int planted;
#define GO_CANCEL_BUG_ planted

#include "tests/models/goroutines.h"

namespace {

using model::bound;
using model::finds;
using model::full;
using model::holds;
using model::random;

void init(go_ctx *c) {
  go_st_rlx(&c->c.lock, 0u);
  go_st_rlx(&c->c.err, 0u);
  c->c.head = NULL;
}

/* Waits with ctx; `other` is what else may end the wait. Returns whether ctx did. */
bool wait(go_ctx *ctx, rl::atomic<go_g_ *> *other) {
  go_m_ *m = go_enter_();
  uint32_t seq = go_claim_open_(m->cur);
  other->store(m->cur, rl::mo_release, $);
  return go_cancel_park_(m, ctx, seq);
}

/* What was written before the cancel is visible to who learns of it. Thread 0 cancels, 1 waits, 2 may wake it. */
struct waiting : rl::test_suite<waiting, 3> {
  model::world w;
  go_ctx ctx;
  rl::atomic<go_g_ *> g;
  rl::var<int> reason;
  void before() {
    w.init();
    init(&ctx);
    g.store(NULL, rl::mo_relaxed, $);
    reason($) = 0;
  }
  void thread(unsigned i) {
    if (i == 0) {
      reason($) = 7;
      assert(go_cancel_fire_(go_m_get_(), &ctx.c, GO_ECANCELED));
    } else if (i == 1) {
      if (wait(&ctx, &g)) {
        assert(go_cancel_err_(&ctx) == GO_ECANCELED);
        assert(reason($) == 7);
      }
      assert(ctx.c.head == NULL);
    } else {
      go_g_ *who = g.load(rl::mo_acquire, $);
      if (who != NULL && go_claim_(who, 0)) {
        who->claimed_by = NULL;
        go_ready_(go_m_get_(), who);
      }
    }
  }
};

/* Nobody else wakes: whoever waits is woken, one or two, and two who cancel. */
struct crowd : rl::test_suite<crowd, 4> {
  model::world w;
  go_ctx ctx;
  rl::atomic<go_g_ *> g[2];
  rl::atomic<int> firsts;
  void before() {
    w.init();
    init(&ctx);
    g[0].store(NULL, rl::mo_relaxed, $);
    g[1].store(NULL, rl::mo_relaxed, $);
    firsts.store(0, rl::mo_relaxed, $);
  }
  void thread(unsigned i) {
    if (i < 2) {
      if (go_cancel_fire_(go_m_get_(), &ctx.c, GO_ECANCELED)) {
        firsts.fetch_add(1, rl::mo_relaxed, $);
      }
      assert(go_cancel_err_(&ctx) == GO_ECANCELED);
    } else {
      assert(wait(&ctx, &g[i - 2]));
    }
  }
  void after() {
    assert(firsts.load(rl::mo_relaxed, $) == 1);
    assert(ctx.c.head == NULL);
  }
};

/* The channel of go_ctx_done: closed exactly when err says so, for who looks at one and then at the other. */
struct closing : rl::test_suite<closing, 3> {
  model::world w;
  go_ctx ctx;
  rl::atomic<int> closed;
  void before() {
    w.init();
    init(&ctx);
    closed.store(0, rl::mo_relaxed, $);
  }
  void thread(unsigned i) {
    if (i == 0) {
      assert(go_cancel_begin_(&ctx.c, GO_ECANCELED));
      closed.store(1, rl::mo_release, $);
      go_cancel_end_(go_m_get_(), &ctx.c);
    } else if (i == 1) {
      if (go_cancel_err_(&ctx) != 0) {
        assert(closed.load(rl::mo_acquire, $) == 1);
      }
    } else if (closed.load(rl::mo_acquire, $) == 1) {
      assert(go_cancel_err_(&ctx) == GO_ECANCELED);
    }
  }
};

} /* namespace */

int main() {
  holds<closing>("done and err", full());
  holds<waiting>("a wait that two may end", bound(3));
  holds<waiting>("a wait that two may end", random(200000));
  holds<crowd>("two wait, two cancel", random(200000));
  finds<closing>(planted, 1, "err is told before the channel is closed", random(100000));
  finds<crowd>(planted, 2, "whether it is done is asked without the lock", random(100000));
  finds<crowd>(planted, 3, "a waiter that was taken out is taken out again", random(100000));
  return model::finish();
}
