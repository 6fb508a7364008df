// Sleeping.

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

// Go: TestSleep (time/sleep_test.go): never early.
TEST(Sleep, NeverEarly) {
  RunGo([] {
    for (go_nsec d :
         {GO_NS, 100 * GO_NS, GO_US, 50 * GO_US, 999 * GO_US, GO_MS, 1001 * GO_US, 10 * GO_MS}) {
      for (int i = 0; i < 10; i++) {
        go_nsec t0 = go_now();
        EXPECT_EQ(go_sleep(nullptr, d), 0);
        EXPECT_GE(go_now() - t0, d);
      }
    }
  });
}

#if !defined(_WIN32)
// Go: TestSleep: also when signals arrive meanwhile.
TEST(Sleep, NeverEarlyWithSignals) {
  struct sigaction sa = {}, old;
  sa.sa_handler = [](int) {};
  sigaction(SIGUSR1, &sa, &old);
  std::atomic<bool> stop{false};
  std::thread pest([&] {
    while (!stop) {
      kill(getpid(), SIGUSR1);
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
  });
  RunGo([] {
    for (int i = 0; i < 10; i++) {
      go_nsec t0 = go_now();
      EXPECT_EQ(go_sleep(nullptr, 5 * GO_MS), 0);
      EXPECT_GE(go_now() - t0, 5 * GO_MS);
    }
  });
  go_nsec t0 = go_now();
  EXPECT_EQ(go_sleep(nullptr, 20 * GO_MS), 0);  // a plain thread's
  EXPECT_GE(go_now() - t0, 20 * GO_MS);
  stop = true;
  pest.join();
  sigaction(SIGUSR1, &old, nullptr);
}
#endif

// Go: TestSleepZeroDeadlock, TestOverflowSleep (time/sleep_test.go): zero and negative durations
// end at once. (The longest ones: deadlock_crash_test.cc.)
TEST(Sleep, ZeroAndNegativeReturnAtOnce) {
  RunGo([] {
    for (int i = 0; i < 1000; i++) {
      EXPECT_EQ(go_sleep(nullptr, 0), 0);
      EXPECT_EQ(go_sleep(nullptr, -1), 0);
      EXPECT_EQ(go_sleep(nullptr, -GO_HOUR), 0);
      EXPECT_EQ(go_sleep(nullptr, INT64_MIN), 0);
    }
  });
}

// Go: TestAfterQueuing (time/sleep_test.go): thirteen timers, set in disorder, fire in the order
// of their times. A machine that pauses for longer than the distance between two may swap them:
// then once more, slower.
bool FireInOrder(go_nsec delta) {
  static const int kSlots[] = {5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0};
  Chan<int> fired(13);
  go_nsec start = go_now();
  for (int slot : kSlots) {
    SPAWN([fired, slot, start, delta] {
      (void)go_sleep(nullptr, start + slot * delta - go_now());
      fired.Send(slot);
    });
  }
  std::vector<int> order;
  for (size_t i = 0; i < 13; i++) order.push_back(fired.Take());
  return std::is_sorted(order.begin(), order.end());
}
TEST(Sleep, TimersFireInOrder) {
  RunGo([] {
    bool ok = false;
    for (go_nsec delta : {10 * GO_MS, 30 * GO_MS, 100 * GO_MS, 300 * GO_MS}) {
      ok = ok || FireInOrder(delta);
    }
    EXPECT_TRUE(ok);
  });
}

// Go: TestLongAdjustTimers (time/sleep_test.go): many sleepers at a time; each wakes, none early.
TEST(Sleep, TenThousandSleepers) {
  RunGo([] {
    Procs procs(4);
    constexpr int n = Goroutines(10000);
    std::atomic<int> woken{0}, early{0};
    go_wg wg{};
    Rng rng(3);
    for (int i = 0; i < n; i++) {
      go_nsec d = rng.Below(200000) * GO_US;
      SPAWN_WG(&wg, [&, d] {
        go_nsec t0 = go_now();
        (void)go_sleep(nullptr, d);
        if (go_now() - t0 < d) early++;
        woken++;
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(woken, n);
    EXPECT_EQ(early, 0);
  });
}

// A sleeper deep in the heap does not hide one that is due earlier, whichever P they are on.
TEST(Sleep, LaterOnesDoNotHideEarlierOnes) {
  RunGo([] {
    Procs procs(4);
    Chan<Unit> stop(0);
    go_wg wg{};
    for (int i = 0; i < 50; i++) {
      SPAWN_WG(&wg, [i] { (void)go_sleep(nullptr, (200 + i) * GO_MS); });
    }
    Settle();
    go_nsec t0 = go_now();
    for (int i = 0; i < 10; i++) {
      go_wg one{};
      SPAWN_WG(&one, [] { (void)go_sleep(nullptr, GO_MS); });
      go_wg_wait(&one);
    }
    EXPECT_LT(go_now() - t0, 10 * GO_SEC);
    go_wg_wait(&wg);
  });
}

// An idle process still wakes for its timer: nobody runs in between.
TEST(Sleep, AloneInAnIdleProcess) {
  for (int i = 0; i < 20; i++) {
    RunGo([i] {
      Procs procs(1 + i % 3);
      EXPECT_EQ(go_sleep(nullptr, i * GO_MS), 0);
    });
  }
}

// Go: TestAfterFuncStarvation (time/sleep_test.go): on one P, a ping-pong pair does not starve a
// timer.
TEST(Sleep, NotStarvedByAPingPong) {
  RunGo([] {
    Procs procs(1);
    Chan<int> there(0), back(0);
    std::atomic<bool> stop{false};
    go_wg wg{};
    SPAWN_WG(&wg, [&] {
      while (!stop) {
        there.Send(1);
        (void)back.Take();
      }
      there.Close();
    });
    SPAWN_WG(&wg, [&] {
      while (there.Recv(nullptr)) back.Send(1);
    });
    (void)go_sleep(nullptr, 20 * GO_MS);  // hangs if starved
    stop = true;
    go_wg_wait(&wg);
  });
}

// Sleepers on plain threads and goroutines at the same time.
TEST(Sleep, ThreadsAndGoroutines) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; t++) {
    threads.emplace_back([] {
      for (int i = 0; i < 20; i++) {
        go_nsec t0 = go_now();
        (void)go_sleep(nullptr, 300 * GO_US);
        EXPECT_GE(go_now() - t0, 300 * GO_US);
      }
    });
  }
  RunGo([] {
    go_wg wg{};
    for (int g = 0; g < 20; g++) {
      SPAWN_WG(&wg, [] {
        for (int i = 0; i < 20; i++) {
          go_nsec t0 = go_now();
          (void)go_sleep(nullptr, 300 * GO_US);
          EXPECT_GE(go_now() - t0, 300 * GO_US);
        }
      });
    }
    go_wg_wait(&wg);
  });
  for (auto &t : threads) t.join();
}

TEST(Clock, NeverGoesBack) {
  RunGo([] {
    Procs procs(4);
    go_wg wg{};
    std::atomic<go_nsec> latest{go_now()};
    std::atomic<int> back{0};
    for (int g = 0; g < 8; g++) {
      SPAWN_WG(&wg, [&] {
        for (int i = 0; i < 1000; i++) {
          go_nsec seen = latest.load();
          go_nsec now = go_now();
          if (now < seen) back++;
          latest.store(now);
          if (i % 50 == 0) go_yield();
        }
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(back, 0);
  });
}

}  // namespace
