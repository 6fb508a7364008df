// tests/support/cancel.h: for white-box tests: contexts as core sees them, without what context/ adds. To be
// included after core/sched.h.
#ifndef GOLIB_TESTS_SUPPORT_CANCEL_H_
#define GOLIB_TESTS_SUPPORT_CANCEL_H_

#include <thread>
#include <vector>

#include "tests/support/golib_test.h"

namespace golib_test {

struct BareCtx {
  go_cancel_ c{};

  go_ctx *get() { return reinterpret_cast<go_ctx *>(&c); }
  bool Fire(int err = GO_ECANCELED) { return go_cancel_fire_(go_enter_(), &c, err); }
  int Waiters() {
    int n = 0;
    go_lock_(&c.lock);
    for (go_cancel_wait_ *w = c.head; w != nullptr; w = w->next) n++;
    go_unlock_(&c.lock);
    return n;
  }
};

// Calls f(ctx) while somebody else fires ctx, sooner or later. Returns what f returned: 0 or GO_ECANCELED.
template <class F>
int WithDoomedCtx(Rng &rng, F f) {
  BareCtx ctx;
  go_wg wg{};
  uint32_t late = rng.Below(20);
  SPAWN_WG(&wg, [&ctx, late] {
    for (uint32_t i = 0; i < late; i++) go_yield();
    EXPECT_TRUE(ctx.Fire());
  });
  int rc = f(ctx.get());
  go_wg_wait(&wg);  // ctx goes
  EXPECT_TRUE(rc == 0 || rc == GO_ECANCELED) << rc;
  return rc;
}

// Runs work(0) to work(gos-1) on goroutines and the numbers from there on plain threads, until all have returned.
template <class F>
void Crowd(int gos, int threads_n, F work) {
  std::vector<std::thread> threads;
  for (int i = 0; i < threads_n; i++) threads.emplace_back([=] { work(gos + i); });
  RunGo([&] {
    go_wg wg{};
    for (int i = 0; i < gos; i++) SPAWN_WG(&wg, [=] { work(i); });
    go_wg_wait(&wg);
  });
  for (auto &t : threads) t.join();
}

}  // namespace golib_test

#endif  // GOLIB_TESTS_SUPPORT_CANCEL_H_
