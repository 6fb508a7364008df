// Weighted semaphores. Go: golang.org/x/sync/semaphore.

#include <climits>
#include <thread>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

// Go: TestWeighted (semaphore_test.go): many with different weights; never more is out than there is.
TEST(Sem, Hammer) {
  RunGo([] {
    for (int procs_n : {1, 4}) {
      Procs procs(procs_n);
      constexpr int64_t kSize = 10;
      go_sem sem = GO_SEM_INIT(kSize);
      std::atomic<int64_t> out{0};
      std::atomic<int> bad{0};
      go_wg wg{};
      for (int g = 0; g < 10; g++) {
        SPAWN_WG(&wg, [&, g] {
          int64_t n = g % kSize + 1;
          for (int i = 0; i < Rounds(2000); i++) {
            if (i % 4 != 0 || !go_sem_try_acquire(&sem, n)) {
              EXPECT_EQ(go_sem_acquire(nullptr, &sem, n), 0);
            }
            if ((out += n) > kSize) bad++;
            if (i % 16 == 0) go_yield();
            out -= n;
            go_sem_release(&sem, n);
          }
        });
      }
      go_wg_wait(&wg);
      EXPECT_EQ(bad, 0);
      EXPECT_TRUE(go_sem_try_acquire(&sem, kSize)) << "all is back";
    }
  });
}

// Go: TestWeightedPanic, TestWeightedReleaseUnacquired.
TEST(Sem, ReleasedTooMuchPanics) {
  RunGo([] {
    go_sem sem = GO_SEM_INIT(3);
    Caught c = Catch([&] { go_sem_release(&sem, 1); });
    EXPECT_EQ(c.rc, GO_EPANIC);
    EXPECT_NE(c.text().find("go_sem_release: released more than held"), std::string::npos);
    EXPECT_TRUE(go_sem_try_acquire(&sem, 2));
    EXPECT_TRUE(Panics([&] { go_sem_release(&sem, 3); }));
    EXPECT_TRUE(Panics([&] { go_sem_release(&sem, INT64_MAX); }));
    EXPECT_FALSE(go_sem_try_acquire(&sem, 2)) << "nothing was given back";
    EXPECT_TRUE(go_sem_try_acquire(&sem, 1));
    go_sem_release(&sem, 3);
    EXPECT_TRUE(go_sem_try_acquire(&sem, 3));
  });
}

TEST(Sem, NegativeCountsPanic) {
  RunGo([] {
    go_sem sem = GO_SEM_INIT(3);
    EXPECT_TRUE(Panics([&] { EXPECT_EQ(go_sem_acquire(nullptr, &sem, -1), 0); }));
    EXPECT_TRUE(Panics([&] { EXPECT_TRUE(go_sem_try_acquire(&sem, INT64_MIN)); }));
    EXPECT_TRUE(Panics([&] { go_sem_release(&sem, -1); }));
    EXPECT_TRUE(go_sem_try_acquire(&sem, 3));
    EXPECT_FALSE(go_sem_try_acquire(&sem, 1));
  });
}

// Go: TestWeightedTryAcquire, TestWeightedAcquire.
TEST(Sem, TriesAndAcquires) {
  RunGo([] {
    go_sem sem = GO_SEM_INIT(2);
    EXPECT_TRUE(go_sem_try_acquire(&sem, 1));
    EXPECT_TRUE(go_sem_try_acquire(&sem, 1));
    EXPECT_FALSE(go_sem_try_acquire(&sem, 1));
    EXPECT_TRUE(go_sem_try_acquire(&sem, 0));
    go_sem_release(&sem, 2);
    EXPECT_EQ(go_sem_acquire(nullptr, &sem, 2), 0);
    EXPECT_FALSE(go_sem_try_acquire(&sem, 1));
    go_sem_release(&sem, 0);
    go_sem_release(&sem, 2);
    EXPECT_FALSE(go_sem_try_acquire(&sem, 3)) << "more than there will ever be";
    EXPECT_FALSE(go_sem_try_acquire(&sem, INT64_MAX));
    EXPECT_TRUE(go_sem_try_acquire(&sem, 2));
  });
}

TEST(Sem, Sizes) {
  go_sem none{};  // all-zero: nothing to be had
  EXPECT_FALSE(go_sem_try_acquire(&none, 1));
  EXPECT_TRUE(go_sem_try_acquire(&none, 0));
  EXPECT_EQ(go_sem_acquire(nullptr, &none, 0), 0);
  go_sem all = GO_SEM_INIT(INT64_MAX);
  EXPECT_TRUE(go_sem_try_acquire(&all, INT64_MAX));
  EXPECT_FALSE(go_sem_try_acquire(&all, 1));
  go_sem_release(&all, 1);
  EXPECT_TRUE(go_sem_try_acquire(&all, 1));
  go_sem_release(&all, INT64_MAX);
  go_sem negative = GO_SEM_INIT(INT64_MIN);
  EXPECT_FALSE(go_sem_try_acquire(&negative, 0));
}

// Go: TestLargeAcquireDoesntStarve: one that wants all, against many that want one and come again at once.
TEST(Sem, LargeIsNotStarvedBySmall) {
  RunGo([] {
    for (int procs_n : {1, 4}) {
      Procs procs(procs_n);
      constexpr int n = 8;
      go_sem sem = GO_SEM_INIT(n);
      std::atomic<bool> stop{false};
      go_wg wg{};
      go_wg started{};
      go_wg_add(&started, n);
      for (int i = 0; i < n; i++) {
        SPAWN_WG(&wg, [&] {
          EXPECT_EQ(go_sem_acquire(nullptr, &sem, 1), 0);
          go_wg_done(&started);
          while (!stop) {
            go_yield();
            go_sem_release(&sem, 1);
            EXPECT_EQ(go_sem_acquire(nullptr, &sem, 1), 0);
          }
          go_sem_release(&sem, 1);
        });
      }
      go_wg_wait(&started);
      for (int i = 0; i < 20; i++) {
        EXPECT_EQ(go_sem_acquire(nullptr, &sem, n), 0);  // hangs if it starves
        go_sem_release(&sem, n);
      }
      stop = true;
      go_wg_wait(&wg);
    }
  });
}

// First come, first served: a small one does not pass a large one that waits, not even by trying.
TEST(Sem, FirstInFirstOut) {
  RunGo([] {
    Procs procs(1);  // whoever is started gets as far as it can
    go_sem sem = GO_SEM_INIT(4);
    go_wg wg{};
    std::string order;
    EXPECT_TRUE(go_sem_try_acquire(&sem, 3));
    int64_t wants[] = {4, 3, 2, 3, 2};  // no two at once
    for (int64_t n : wants) {
      SPAWN_WG(&wg, [&, n] {
        EXPECT_EQ(go_sem_acquire(nullptr, &sem, n), 0);
        order += std::to_string(n);
        go_yield();
        order += '.';
        go_sem_release(&sem, n);
      });
      Settle();
    }
    EXPECT_EQ(order, "");
    EXPECT_FALSE(go_sem_try_acquire(&sem, 1)) << "one is free, but four are waited for";
    go_sem_release(&sem, 3);
    go_wg_wait(&wg);
    EXPECT_EQ(order, "4.3.2.3.2.");
  });
}

// One release may serve several.
TEST(Sem, OneReleaseServesSeveral) {
  RunGo([] {
    Procs procs(4);
    constexpr int n = 100;
    go_sem sem = GO_SEM_INIT(n);
    EXPECT_EQ(go_sem_acquire(nullptr, &sem, n), 0);
    std::atomic<int> got{0};
    go_wg wg{};
    for (int i = 0; i < n; i++) {
      SPAWN_WG(&wg, [&] {
        EXPECT_EQ(go_sem_acquire(nullptr, &sem, 1), 0);
        got++;
      });
    }
    Settle();
    EXPECT_EQ(got, 0);
    go_sem_release(&sem, n);
    go_wg_wait(&wg);
    EXPECT_EQ(got, n);
    EXPECT_FALSE(go_sem_try_acquire(&sem, 1));
  });
}

// Goroutines and plain threads.
TEST(Sem, ThreadsToo) {
  go_sem sem = GO_SEM_INIT(3);
  std::atomic<int> out{0}, bad{0};
  auto work = [&](int me) {
    int64_t n = me % 3 + 1;
    for (int i = 0; i < Rounds(3000); i++) {
      EXPECT_EQ(go_sem_acquire(nullptr, &sem, n), 0);
      if ((out += static_cast<int>(n)) > 3) bad++;
      if (i % 32 == 0) go_yield();
      out -= static_cast<int>(n);
      go_sem_release(&sem, n);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; i++) threads.emplace_back(work, i);
  RunGo([&] {
    Procs procs(4);
    go_wg wg{};
    for (int i = 0; i < 6; i++) SPAWN_WG(&wg, [&, i] { work(i); });
    go_wg_wait(&wg);
  });
  for (auto &t : threads) t.join();
  EXPECT_EQ(bad, 0);
  EXPECT_TRUE(go_sem_try_acquire(&sem, 3));
}

// As a lock of storage that goes with its last user.
TEST(Sem, FreedAfterTheLastRelease) {
  RunGo([] {
    Procs procs(4);
    for (int i = 0; i < Rounds(2000); i++) {
      struct Shared {
        go_sem sem = GO_SEM_INIT(1);
        int users = 3;
      };
      Shared *s = new Shared;
      for (int u = 0; u < 3; u++) {
        SPAWN([s] {
          EXPECT_EQ(go_sem_acquire(nullptr, &s->sem, 1), 0);
          bool last = --s->users == 0;
          go_sem_release(&s->sem, 1);
          if (last) delete s;
        });
      }
    }
    Until([] { return go_count() == 1; });
  });
}

}  // namespace
