// What hogs do, and what is asked of others beside them.
#ifndef GOLIB_TESTS_SUPPORT_HOGS_H_
#define GOLIB_TESTS_SUPPORT_HOGS_H_

#include <golib/golib.h>

#include <atomic>

#include "tests/support/golib_test.h"

namespace golib_test {

inline go_stats StatsNow() {
  go_stats s;
  go_stats_read(&s);
  return s;
}

// Until it is told to stop: no call of golib, nor of anybody else.
inline void SpinUntil(const std::atomic<bool> &stop) {
  while (!stop.load(std::memory_order_relaxed)) {}
}

// For qsort of int.
inline int ByValue(const void *a, const void *b) {
  int x = *static_cast<const int *>(a), y = *static_cast<const int *>(b);
  return x < y ? -1 : x > y;
}

// Hogs at it while a ticker of 10 ms is received from, for so many ticks. It need not come in time here, but it must
// come while all hogs are at it.
template <class F>
void TicksBeside(int hogs, F hog, int ticks) {
  std::atomic<bool> stop{false};
  go_wg wg{};
  for (int i = 0; i < hogs; i++) SPAWN_WG(&wg, [&] { hog(stop); });
  go_ticker *t = go_ticker_new(10 * GO_MS);
  for (int i = 0; i < ticks; i++) {
    go_nsec at;
    EXPECT_TRUE(go_chan_recv(go_ticker_chan(t), &at));
  }
  stop = true;
  go_wg_wait(&wg);
  go_ticker_free(t);
}

// Go: TestPreemption (runtime/proc_test.go): two that wait for each other in loops get on, with one P as well.
inline void SpinnersAlternate() {
  constexpr uint32_t kTurns = 5;
  std::atomic<uint32_t> x{0};
  go_wg wg{};
  SPAWN_WG(&wg, [&] {
    for (uint32_t i = 0; i < kTurns; i++) {
      while (x.load() != 2 * i) {}
      x++;
    }
  });
  for (uint32_t i = 0; i < kTurns; i++) {
    while (x.load() != 2 * i + 1) {}
    x++;
  }
  go_wg_wait(&wg);
}

}  // namespace golib_test

#endif  // GOLIB_TESTS_SUPPORT_HOGS_H_
