// The mutex.

#include <thread>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

// Go: TestMutex (sync/mutex_test.go): trylock fails while it is held and succeeds after, then many
// goroutines hammer it.
TEST(Mutex, Hammer) {
  RunGo([] {
    for (int procs_n : {1, 2, 4}) {
      Procs procs(procs_n);
      go_mutex mu{};
      go_mutex_lock(&mu);
      EXPECT_FALSE(go_mutex_trylock(&mu));
      go_mutex_unlock(&mu);
      EXPECT_TRUE(go_mutex_trylock(&mu));
      EXPECT_FALSE(go_mutex_trylock(&mu));
      go_mutex_unlock(&mu);

      int64_t counter = 0;
      constexpr int kGos = 10, kEach = Rounds(20000);
      go_wg wg{};
      for (int g = 0; g < kGos; g++) {
        SPAWN_WG(&wg, [&, g] {
          for (int i = 0; i < kEach; i++) {
            if (i % 3 == 0) {
              while (!go_mutex_trylock(&mu)) go_yield();
            } else if (i % 3 == 1) {
              EXPECT_EQ(go_mutex_lock_ctx(nullptr, &mu), 0);
            } else {
              go_mutex_lock(&mu);
            }
            int64_t seen = counter;
            if ((i + g) % 97 == 0) go_yield();  // held across a suspension
            counter = seen + 1;
            go_mutex_unlock(&mu);
          }
        });
      }
      go_wg_wait(&wg);
      EXPECT_EQ(counter, kGos * kEach);
      EXPECT_TRUE(go_mutex_trylock(&mu)) << "free in the end";
      go_mutex_unlock(&mu);
    }
  });
}

// Go: TestSemaphore's spirit (sync/mutex_test.go): exclusion, looked at from inside.
TEST(Mutex, Excludes) {
  RunGo([] {
    Procs procs(4);
    go_mutex mu{};
    std::atomic<int> inside{0}, bad{0};
    go_wg wg{};
    for (int g = 0; g < 8; g++) {
      SPAWN_WG(&wg, [&] {
        for (int i = 0; i < Rounds(3000); i++) {
          go_mutex_lock(&mu);
          if (++inside != 1) bad++;
          if (i % 16 == 0) go_yield();
          if (i % 512 == 0) (void)go_sleep(nullptr, 10 * GO_US);
          --inside;
          go_mutex_unlock(&mu);
        }
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(bad, 0);
  });
}

// Go: sync.Mutex belongs to nobody: one goroutine may lock it and another unlock it.
TEST(Mutex, UnlockedByAnother) {
  RunGo([] {
    go_mutex mu{};
    for (int i = 0; i < 100; i++) {
      go_mutex_lock(&mu);
      SPAWN([&] { go_mutex_unlock(&mu); });
    }
    go_mutex_lock(&mu);  // after the last one has unlocked
    go_mutex_unlock(&mu);
  });
  go_mutex mu{};
  go_mutex_lock(&mu);  // a plain thread locks, a goroutine unlocks
  RunGo([&] { go_mutex_unlock(&mu); });
  EXPECT_TRUE(go_mutex_trylock(&mu));
  go_mutex_unlock(&mu);
}

// Go: TestMutexFairness (sync/mutex_test.go): one that holds the mutex for long and takes it again
// at once does not starve one that wants it now and then.
void FairnessAgainstAHog(bool hog_is_a_thread) {
  go_mutex mu{};
  std::atomic<bool> stop{false};
  auto hog = [&] {
    while (!stop) {
      go_mutex_lock(&mu);
      (void)go_sleep(nullptr, 100 * GO_US);
      go_mutex_unlock(&mu);
    }
  };
  auto waiter = [&] {
    go_nsec t0 = go_now();
    for (int i = 0; i < 10; i++) {
      (void)go_sleep(nullptr, 100 * GO_US);
      go_mutex_lock(&mu);
      go_mutex_unlock(&mu);
    }
    EXPECT_LT(go_now() - t0, 10 * GO_SEC);
    stop = true;
  };
  if (hog_is_a_thread) {
    std::thread t(hog);
    RunGo(waiter);
    t.join();
  } else {
    RunGo([&] {
      for (int procs_n : {1, 2}) {
        Procs procs(procs_n);
        stop = false;
        go_wg wg{};
        SPAWN_WG(&wg, hog);
        waiter();
        go_wg_wait(&wg);
      }
    });
  }
}
TEST(Mutex, FairAgainstAHog) { FairnessAgainstAHog(false); }
TEST(Mutex, FairAgainstAHoggingThread) { FairnessAgainstAHog(true); }

// A hog that burns instead of sleeping.
TEST(Mutex, FairAgainstABurningHog) {
  RunGo([] {
    Procs procs(2);
    go_mutex mu{};
    std::atomic<bool> stop{false};
    go_wg wg{};
    SPAWN_WG(&wg, [&] {
      while (!stop) {
        go_mutex_lock(&mu);
        go_nsec until = go_now() + 100 * GO_US;
        while (go_now() < until) {}
        go_mutex_unlock(&mu);
      }
    });
    go_nsec t0 = go_now();
    for (int i = 0; i < 10; i++) {
      (void)go_sleep(nullptr, 100 * GO_US);
      go_mutex_lock(&mu);
      go_mutex_unlock(&mu);
    }
    EXPECT_LT(go_now() - t0, 10 * GO_SEC);
    stop = true;
    go_wg_wait(&wg);
  });
}

// Go: sync.Mutex's starvation mode: a waiter that was beaten for over 1 ms is handed the mutex, and on
// one P runs at once; newcomers do not take it meanwhile.
TEST(Mutex, HandedOverAfterAMillisecond) {
  RunGo([] {
    Procs procs(1);
    go_mutex mu{};
    go_wg wg{}, leave{};
    bool has_it = false;
    go_wg_add(&leave, 1);
    go_mutex_lock(&mu);
    SPAWN_WG(&wg, [&] {
      go_mutex_lock(&mu);
      has_it = true;
      go_wg_wait(&leave);
      go_mutex_unlock(&mu);
    });
    Settle();  // it waits
    for (go_nsec until = go_now() + 2 * GO_MS; go_now() < until;) {}
    go_mutex_unlock(&mu);  // wakes it,
    EXPECT_TRUE(go_mutex_trylock(&mu)) << "nobody starves yet";
    EXPECT_FALSE(has_it);
    Settle();  // it finds out, and has had enough
    EXPECT_FALSE(has_it);
    go_mutex_unlock(&mu);
    EXPECT_TRUE(has_it) << "not handed over";
    EXPECT_FALSE(go_mutex_trylock(&mu));
    go_wg_done(&leave);
    go_wg_wait(&wg);
    EXPECT_TRUE(go_mutex_trylock(&mu));  // and no longer starving
    go_mutex_unlock(&mu);
  });
}

// Every one of many waiters gets it.
TEST(Mutex, ManyWaiters) {
  RunGo([] {
    Procs procs(4);
    constexpr int n = Goroutines(2000);
    go_mutex mu{};
    int64_t got = 0;
    go_wg wg{};
    go_mutex_lock(&mu);
    for (int i = 0; i < n; i++) {
      SPAWN_WG(&wg, [&] {
        go_mutex_lock(&mu);
        got++;
        go_mutex_unlock(&mu);
      });
    }
    Settle();
    (void)go_sleep(nullptr, 2 * GO_MS);  // long enough to become starving
    EXPECT_FALSE(go_mutex_trylock(&mu));
    go_mutex_unlock(&mu);
    go_wg_wait(&wg);
    EXPECT_EQ(got, n);
  });
}

// A mutex in storage that goes with its last user.
TEST(Mutex, FreedAfterTheLastUnlock) {
  RunGo([] {
    Procs procs(4);
    for (int i = 0; i < Rounds(2000); i++) {
      struct Shared {
        go_mutex mu;
        int users;
      };
      Shared *s = new Shared{};
      s->users = 3;
      for (int u = 0; u < 3; u++) {
        SPAWN([s] {
          go_mutex_lock(&s->mu);
          bool last = --s->users == 0;
          go_mutex_unlock(&s->mu);
          if (last) delete s;
        });
      }
    }
    Until([] { return go_count() == 1; });
  });
}

// Two mutexes, always in the same order: no deadlock of the mutex's own making.
TEST(Mutex, TwoNested) {
  RunGo([] {
    Procs procs(4);
    go_mutex a{}, b{};
    int64_t n = 0;
    go_wg wg{};
    for (int g = 0; g < 6; g++) {
      SPAWN_WG(&wg, [&] {
        for (int i = 0; i < Rounds(3000); i++) {
          go_mutex_lock(&a);
          go_mutex_lock(&b);
          n++;
          go_mutex_unlock(&a);
          go_mutex_unlock(&b);
        }
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(n, 6 * Rounds(3000));
  });
}

// Go: TestMutexFairness' other half, by TestSemaHandoff (runtime/sema_test.go): on one P, who
// unlocks and locks at once in a loop lets a waiter in after a while.
TEST(Mutex, RelockingOnOneP) {
  RunGo([] {
    Procs procs(1);
    go_mutex mu{};
    std::atomic<bool> got{false};
    go_wg wg{};
    SPAWN_WG(&wg, [&] {
      for (int64_t i = 0; !got; i++) {
        go_mutex_lock(&mu);
        if (i % 64 == 0) go_yield();
        go_mutex_unlock(&mu);
      }
    });
    SPAWN_WG(&wg, [&] {
      go_mutex_lock(&mu);
      got = true;
      go_mutex_unlock(&mu);
    });
    go_wg_wait(&wg);
  });
}

}  // namespace
