/* tests/models/wg_model_test.cc: sync/wg.c itself, with goroutines that are threads of the model.
 * Woken waiters free the wait group at once.
 */
#include "tests/models/goroutines.h"

static int planted;
#define GO_WG_BUG_ planted

struct go_wg {
  go_a64 state_;
  go_a32 lock_;
  void *head_ = NULL, *tail_ = NULL;
  go_wg() : state_(0ull), lock_(0u) {}
};
#include "sync/wg.c"

namespace {

using model::bound;
using model::finds;
using model::full;
using model::holds;
using model::random;

/* Threads below Doers call done once, the next ones wait. The last waiter that is back frees it.
 * With Cancel, the last thread cancels all waits; who was cancelled waits again, uncancellable. */
template <int Doers, int Waiters, bool Cancel>
struct done_and_wait
    : rl::test_suite<done_and_wait<Doers, Waiters, Cancel>, Doers + Waiters + Cancel> {
  model::world w;
  go_ctx ctx;
  rl::var<int> work[Doers];
  go_wg *wg;
  rl::atomic<int> users;

  void before() {
    w.init();
    go_st_rlx(&ctx.c.lock, 0u);
    go_st_rlx(&ctx.c.err, 0u);
    ctx.c.head = NULL;
    wg = new go_wg;
    go_wg_add(wg, Doers);
    users.store(Waiters, rl::mo_relaxed, $);
    for (auto &each : work) {
      each($) = 0;
    }
  }
  void thread(unsigned i) {
    if (i < Doers) {
      work[i]($) = 1;
      go_wg_done(wg);
      return;
    }
    if (i == Doers + Waiters) {
      assert(go_cancel_fire_(go_m_get_(), &ctx.c, GO_ECANCELED));
      return;
    }
    if (!Cancel || go_wg_wait_ctx(&ctx, wg) != 0) {
      go_wg_wait(wg);
    }
    for (auto &each : work) {
      assert(each($) == 1);
    }
    if (users.fetch_sub(1, rl::mo_acq_rel, $) == 1) {
      delete wg;
    }
  }
};

/* The same wait group, used again by its only waiter. */
struct rounds : rl::test_suite<rounds, 2> {
  model::world w;
  rl::var<int> work;
  go_wg *wg;
  model::event again;

  void before() {
    w.init();
    wg = new go_wg;
    go_wg_add(wg, 1);
    work($) = 0;
  }
  void thread(unsigned i) {
    for (int round = 1; round <= 2; round++) {
      if (i == 0) {
        if (round > 1) {
          again.wait();
        }
        work($) = round;
        go_wg_done(wg);
        continue;
      }
      go_wg_wait(wg);
      assert(work($) == round);
      if (round < 2) {
        go_wg_add(wg, 1);
        again.post();
      } else {
        delete wg;
      }
    }
  }
};

} /* namespace */

int main() {
  holds<done_and_wait<1, 1, false>>("one and one", full());
  holds<done_and_wait<2, 1, false>>("two and one", bound(3));
  holds<done_and_wait<2, 2, false>>("two and two", bound(2));
  holds<done_and_wait<2, 2, false>>("two and two", random(150000));
  holds<done_and_wait<1, 1, true>>("cancelled, one and one", bound(4));
  holds<done_and_wait<1, 2, true>>("cancelled, one and two", random(150000));
  holds<done_and_wait<2, 2, true>>("cancelled, two and two", random(150000));
  holds<rounds>("used again", bound(3));
  holds<rounds>("used again", random(150000));
  finds<rounds>(planted, 1, "the waiters' bit stays when the counter gets to 0", random(100000));
  finds<done_and_wait<1, 1, true>>(planted, 2, "the waiters' bit stays when the waiter gives up",
                                   random(100000));
  finds<done_and_wait<2, 1, false>>(planted, 3, "a waiter's bit overwrites a done", random(100000));
  finds<done_and_wait<2, 1, false>>(planted, 4, "a done publishes nothing", random(100000));
  return model::finish();
}
