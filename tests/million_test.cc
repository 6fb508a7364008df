// A million goroutines, parked at the same time, and released.

#include <cstdio>

#include "tests/support/golib_test.h"
#include "tests/support/system.h"

using namespace golib_test;

namespace {

TEST(Million, ParkedAndReleased) {
  // A parked goroutine costs a page of stack, a page of page table (its stack lies alone in its
  // region), and some hundred bytes. Take a quarter of what there is at most.
  int64_t n = MemoryAvailable() / 2 / 9000;
  n = n > Many(1000000) ? Many(1000000) : n;
  n = Goroutines(static_cast<int>(n));
  RunGo([n] {
    Chan<Unit> gate(0);
    go_wg wg{};
    std::atomic<int64_t> waiting{0}, passed{0};
    struct Args {
      go_chan *gate;
      go_wg *wg;
      std::atomic<int64_t> *waiting, *passed;
    } args{gate.get(), &wg, &waiting, &passed};
    go_nsec t0 = go_now();
    int64_t started = 0;
    for (; started < n; started++) {
      go_wg_add(&wg, 1);
      int rc = go_spawn_copy(
          [](void *p) {
            Args *a = static_cast<Args *>(p);
            ++*a->waiting;
            (void)go_chan_recv(a->gate, nullptr);
            ++*a->passed;
            go_wg_done(a->wg);
          },
          &args, sizeof args);
      if (rc != 0) {
        go_wg_done(&wg);
        // A machine may allow fewer mappings or less address space: a code is fine, an abort is
        // not.
        EXPECT_TRUE(rc == GO_ENOMEM || rc == GO_EAGAIN) << rc;
        break;
      }
      if (started % 1000 == 0) go_yield();
    }
    Until([&] { return waiting == started; });
    go_nsec t1 = go_now();
    EXPECT_EQ(go_count(), started + 1);
    EXPECT_EQ(passed, 0);
    long peak = PeakKb();
    gate.Close();
    go_wg_wait(&wg);
    EXPECT_EQ(passed, started);
    printf("%lld goroutines: %.2f s to park, %.2f s to end, %ld MiB at most\n",
           static_cast<long long>(started), static_cast<double>(t1 - t0) / 1e9,
           static_cast<double>(go_now() - t1) / 1e9, peak / 1024);
    if (started < n) {
      GTEST_SKIP() << "only " << started << " goroutines could be started";
    }
  });
}

// Again, after all that: what was used is used again.
TEST(Million, ThenALittle) {
  RunGo([] {
    for (int round = 0; round < 10; round++) {
      go_wg wg{};
      std::atomic<int> n{0};
      for (int i = 0; i < 1000; i++) SPAWN_WG(&wg, [&] { n++; });
      go_wg_wait(&wg);
      EXPECT_EQ(n, 1000);
    }
  });
}

}  // namespace
