// The reader-writer mutex under load, with contexts that fire at any moment.

#include <gtest/gtest.h>

extern "C" {
#include "core/sched.h"
}

#include "tests/support/cancel.h"

using namespace golib_test;

namespace {

void RWMutexStorm(int threads_n) {
  go_rwmutex rw{};
  int64_t a = 0, b = 0;  // rw: equal, for readers
  std::atomic<int64_t> bad{0}, writes{0}, reads{0};
  go_nsec end = StressEnd();
  Crowd(12, threads_n, [&](int me) {
    Rng rng(static_cast<uint64_t>(me) + 1);
    int64_t my_writes = 0, my_reads = 0;
    auto write = [&] {
      a++;
      if (rng.Below(4) == 0) go_yield();
      b++;
      my_writes++;
      go_rwmutex_unlock(&rw);
    };
    auto read = [&] {
      int64_t seen = a;
      if (seen != b) bad++;
      if (rng.Below(64) == 0) go_yield();
      if (seen != a || seen != b) bad++;
      my_reads++;
      go_rwmutex_runlock(&rw);
    };
    while (go_now() < end) {
      uint32_t quiet = rng.Below(8) == 0 ? 3000 : 30;  // reads without a write
      for (uint32_t i = 0; i < quiet; i++) {
        go_rwmutex_rlock(&rw);
        read();
      }
      switch (rng.Below(6)) {
        case 0:
          if (go_rwmutex_trylock(&rw)) write();
          break;
        case 1:
          if (go_rwmutex_tryrlock(&rw)) read();
          break;
        case 2:
          if (WithDoomedCtx(rng, [&](go_ctx *c) { return go_rwmutex_lock_ctx(c, &rw); }) == 0)
            write();
          break;
        case 3:
          if (WithDoomedCtx(rng, [&](go_ctx *c) { return go_rwmutex_rlock_ctx(c, &rw); }) == 0)
            read();
          break;
        default: go_rwmutex_lock(&rw); write();
      }
    }
    writes += my_writes;
    reads += my_reads;
  });
  EXPECT_EQ(bad, 0);
  EXPECT_EQ(a, writes);
  EXPECT_EQ(b, writes);
  EXPECT_GT(reads, 0);
  EXPECT_TRUE(go_rwmutex_trylock(&rw));
  EXPECT_EQ(rw.readers_head_, nullptr);
  EXPECT_EQ(rw.writers_head_, nullptr);
}
TEST(RWMutexStress, Storm) { RWMutexStorm(0); }
TEST(RWMutexStress, StormWithThreads) { RWMutexStorm(4); }

}  // namespace
