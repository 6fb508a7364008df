// Once under load.

#include <gtest/gtest.h>

extern "C" {
#include "core/sched.h"
}

#include "tests/support/cancel.h"

using namespace golib_test;

namespace {

// One after the other, each made once by whoever comes first, and freed by who comes last.
void OnceStorm(int threads_n) {
  constexpr int kGos = 8;
  int all = kGos + threads_n;
  struct Made {
    go_once once{};
    std::atomic<int> left;
    int64_t value = 0;
    std::atomic<Made *> next{nullptr};
    explicit Made(int n) : left(n) {}
  };
  std::atomic<int64_t> bad{0};
  Made *first = new Made(all);
  go_nsec end = StressEnd();
  Crowd(kGos, threads_n, [&](int me) {
    Rng rng(static_cast<uint64_t>(me) + 5);
    int64_t n = 0;
    for (Made *m = first; m != nullptr; n++) {
      auto make = [&] {
        if (rng.Below(4) == 0) go_yield();
        m->value++;
        m->next = go_now() < end ? new Made(all) : nullptr;
        if (rng.Below(16) == 0) go_panic("counts as done");
      };
      (void)Catch([&] { go_once_do(&m->once, CallRef<decltype(make)>, &make); });
      if (m->value != 1) bad++;
      Made *next = m->next;
      if (--m->left == 0) delete m;
      m = next;
    }
    if (n == 0) bad++;
  });
  EXPECT_EQ(bad, 0);
}
TEST(OnceStress, Storm) { OnceStorm(0); }
TEST(OnceStress, StormWithThreads) { OnceStorm(4); }

}  // namespace
