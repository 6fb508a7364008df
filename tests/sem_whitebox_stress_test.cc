// Semaphores under load, with contexts that fire at any moment.

#include <gtest/gtest.h>

extern "C" {
#include "core/sched.h"
}

#include "tests/support/cancel.h"

using namespace golib_test;

namespace {

void SemStorm(int threads_n) {
  constexpr int64_t kSize = 7;
  go_sem sem = GO_SEM_INIT(kSize);
  std::atomic<int64_t> out{0}, bad{0}, gave_up{0}, got{0};
  go_nsec end = StressEnd();
  Crowd(12, threads_n, [&](int me) {
    Rng rng(static_cast<uint64_t>(me) + 333);
    while (go_now() < end) {
      int64_t n = rng.Below(4) == 0 ? kSize : 1 + rng.Below(3);
      uint32_t how = rng.Below(6);
      if (how == 0) {
        if (!go_sem_try_acquire(&sem, n)) continue;
      } else if (how < 3) {
        int64_t want = rng.Below(50) == 0 ? kSize + 1 : n;
        int rc = WithDoomedCtx(rng, [&](go_ctx *c) { return go_sem_acquire(c, &sem, want); });
        if (rc == 0 && want > kSize) bad++;
        gave_up += rc != 0;
        if (rc != 0) continue;
      } else {
        EXPECT_EQ(go_sem_acquire(nullptr, &sem, n), 0);
      }
      got++;
      if ((out += n) > kSize) bad++;
      if (rng.Below(3) == 0) go_yield();
      out -= n;
      int64_t part = static_cast<int64_t>(rng.Below(static_cast<uint32_t>(n) + 1));
      go_sem_release(&sem, part);
      go_sem_release(&sem, n - part);
    }
  });
  EXPECT_EQ(bad, 0);
  EXPECT_GT(got, 0);
  EXPECT_GT(gave_up, 0);
  EXPECT_EQ(sem.used_, 0);
  EXPECT_EQ(sem.head_, nullptr);
}
TEST(SemStress, Storm) { SemStorm(0); }
TEST(SemStress, StormWithThreads) { SemStorm(4); }

}  // namespace
