// Wait groups.

#include <climits>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

// Go: TestWaitGroup (sync/waitgroup_test.go): two groups, one to go and one to come back; used
// again and again.
void ThereAndBack(go_wg *there, go_wg *back) {
  constexpr int n = 16;
  go_wg_add(there, n);
  go_wg_add(back, n);
  Chan<bool> exited(n);
  for (int i = 0; i < n; i++) {
    SPAWN([=] {
      go_wg_done(there);
      go_wg_wait(back);
      exited.Send(true);
    });
  }
  go_wg_wait(there);
  for (int i = 0; i < n; i++) {
    bool v = false;
    EXPECT_EQ(exited.TryRecv(&v), GO_EAGAIN) << "released too soon";
    go_wg_done(back);
  }
  for (int i = 0; i < n; i++) EXPECT_TRUE(exited.Take());
}
TEST(WaitGroup, ThereAndBack) {
  RunGo([] {
    Procs procs(4);
    go_wg there{}, back{};
    for (int round = 0; round < 50; round++) {
      ThereAndBack(&there, &back);
      // The next round's add may only come when all waits have returned: Take() above saw to that.
    }
  });
}

TEST(WaitGroup, WaitOnZeroReturns) {
  RunGo([] {
    go_wg wg{};
    for (int i = 0; i < 1000; i++) go_wg_wait(&wg);
    go_wg_add(&wg, 3);
    go_wg_add(&wg, -2);
    go_wg_add(&wg, 0);
    go_wg_done(&wg);
    go_wg_wait(&wg);
  });
}

// Go: TestWaitGroupMisuse (sync/waitgroup_test.go).
TEST(WaitGroup, NegativeCounterPanics) {
  RunGo([] {
    go_wg wg{};
    go_wg_add(&wg, 1);
    go_wg_done(&wg);
    Caught c = Catch([&] { go_wg_done(&wg); });
    EXPECT_EQ(c.rc, GO_EPANIC);
    EXPECT_NE(c.text().find("negative"), std::string::npos) << c.text();
    go_wg other{};
    EXPECT_TRUE(Panics([&] { go_wg_add(&other, -1); }));
    go_wg third{};
    go_wg_add(&third, 5);
    EXPECT_TRUE(Panics([&] { go_wg_add(&third, -6); }));
  });
}

TEST(WaitGroup, TooLargeACounterPanics) {
  RunGo([] {
    go_wg wg{};
    go_wg_add(&wg, INT_MAX);
    EXPECT_TRUE(Panics([&] { go_wg_add(&wg, 1); }));
    go_wg other{};
    go_wg_add(&other, INT_MAX);
    go_wg_add(&other, -INT_MAX);
    go_wg_wait(&other);
    go_wg third{};
    EXPECT_TRUE(Panics([&] { go_wg_add(&third, INT_MIN); }));
  });
}

// Go: TestWaitGroupRace (sync/waitgroup_test.go): a wait never returns before the last done.
TEST(WaitGroup, NeverReturnsEarly) {
  RunGo([] {
    Procs procs(4);
    for (int i = 0; i < 1000; i++) {
      go_wg wg{};
      std::atomic<int> n{0};
      go_wg_add(&wg, 1);
      SPAWN([&] {
        n++;
        go_wg_done(&wg);
      });
      go_wg_add(&wg, 1);
      SPAWN([&] {
        n++;
        go_wg_done(&wg);
      });
      go_wg_wait(&wg);
      // wg and n go out of scope now: nobody may touch them after the wait.
      EXPECT_EQ(n, 2);
    }
  });
}

TEST(WaitGroup, ManyWaiters) {
  RunGo([] {
    Procs procs(4);
    constexpr int n = Goroutines(3000) / 2;
    go_wg gate{}, wg{};
    std::atomic<int> passed{0};
    go_wg_add(&gate, 2);
    for (int i = 0; i < n; i++) {
      SPAWN_WG(&wg, [&] {
        go_wg_wait(&gate);
        passed++;
      });
    }
    Settle();
    go_wg_done(&gate);
    Settle();
    EXPECT_EQ(passed, 0);
    go_wg_done(&gate);
    go_wg_wait(&wg);
    EXPECT_EQ(passed, n);
  });
}

TEST(WaitGroup, UsedAgainAfterEachWait) {
  RunGo([] {
    Procs procs(4);
    go_wg wg{};
    int64_t sum = 0;
    for (int round = 0; round < Rounds(5000); round++) {
      std::atomic<int> n{0};
      for (int i = 0; i < 4; i++) SPAWN_WG(&wg, [&] { n++; });
      go_wg_wait(&wg);
      sum += n;
    }
    EXPECT_EQ(sum, 4 * Rounds(5000));
  });
}

// The storage may be freed as soon as the wait has returned.
TEST(WaitGroup, FreedRightAfterTheWait) {
  RunGo([] {
    Procs procs(4);
    for (int i = 0; i < Rounds(5000); i++) {
      auto wg = std::make_unique<go_wg>();
      memset(wg.get(), 0, sizeof *wg);
      for (int j = 0; j < 3; j++) SPAWN_WG(wg.get(), [] { go_yield(); });
      go_wg_wait(wg.get());
    }
  });
}

// ---- Go: TestWaitGroupGo (sync/waitgroup_test.go), and TestIssue76126: done, however the
// goroutine ends. (In Go a panic in it ends the process; here it ends the goroutine, so the wait
// has to return.)

GO_FUNC(wg_returns, (std::atomic<int> *, n)) { ++*n; }
GO_FUNC(wg_exits, (std::atomic<int> *, n)) {
  ++*n;
  go_exit();
}
GO_FUNC(wg_panics, (std::atomic<int> *, n)) {
  ++*n;
  go_panic("on purpose");
}

TEST(WaitGroupGo, DoneOnReturnExitAndPanic) {
  go_set_panic_handler([](const go_panic_info *) {});
  RunGo([] {
    Procs procs(4);
    for (int round = 0; round < 100; round++) {
      go_wg wg{};
      std::atomic<int> n{0};
      EXPECT_EQ(GO_WG(&wg, wg_returns, &n), 0);
      EXPECT_EQ(GO_WG(&wg, wg_exits, &n), 0);
      EXPECT_EQ(GO_WG(&wg, wg_panics, &n), 0);
      go_wg_wait(&wg);
      EXPECT_EQ(n, 3);
    }
  });
  go_set_panic_handler(nullptr);
}

// The deferred calls and the panic handler have run when the wait returns.
TEST(WaitGroupGo, DoneComesLast) {
  static std::atomic<int> handled, deferred;
  handled = deferred = 0;
  go_set_panic_handler([](const go_panic_info *) {
    (void)go_sleep(nullptr, GO_MS);
    handled++;
  });
  RunGo([] {
    Procs procs(4);
    for (int round = 1; round <= 20; round++) {
      go_wg wg{};
      SPAWN_WG(&wg, [] {
        GO_DEFER(
            [](void *) {
              go_yield();
              deferred++;
            },
            nullptr);
        go_panic("on purpose");
      });
      go_wg_wait(&wg);
      EXPECT_EQ(handled, round);
      EXPECT_EQ(deferred, round);
    }
  });
  go_set_panic_handler(nullptr);
}

// A start that fails leaves the counter as it was: the wait does not hang.
TEST(WaitGroupGo, FailedStartDoesNotCount) {
  RunGo([] {
    go_wg wg{};
    char byte = 0;
    EXPECT_EQ(go_wg_spawn_site_(
                  "site", &wg, [](void *) {}, &byte, SIZE_MAX / 2),
              GO_EINVAL);
    go_wg_wait(&wg);
  });
}

// go_wg_wait_ctx without a context.
TEST(WaitGroup, WaitCtxWithoutContext) {
  RunGo([] {
    go_wg wg{};
    EXPECT_EQ(go_wg_wait_ctx(nullptr, &wg), 0);
    SPAWN_WG(&wg, [] { go_yield(); });
    EXPECT_EQ(go_wg_wait_ctx(nullptr, &wg), 0);
  });
}

TEST(WaitGroup, Sizes) {
  // Fixed sizes: part of the ABI.
  EXPECT_EQ(sizeof(go_wg), 32u);
  EXPECT_EQ(sizeof(go_mutex), 24u);
}

}  // namespace
