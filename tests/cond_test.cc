// Condition variables.

#include <thread>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

// Go: TestCondSignal (sync/cond_test.go): each signal wakes one, and there is nobody awake besides.
TEST(Cond, SignalWakesOne) {
  RunGo([] {
    for (int procs_n : {1, 4}) {
      Procs procs(procs_n);
      go_mutex mu{};
      go_cond c{};
      constexpr int n = 20;
      Chan<bool> running(n), awake(n);
      for (int i = 0; i < n; i++) {
        SPAWN([=, &mu, &c] {
          go_mutex_lock(&mu);
          running.Send(true);
          go_cond_wait(&c, &mu);
          awake.Send(true);
          go_mutex_unlock(&mu);
        });
      }
      for (int i = 0; i < n; i++) (void)running.Take();
      for (int left = n; left > 0; left--) {
        bool v;
        EXPECT_EQ(awake.TryRecv(&v), GO_EAGAIN) << "awake without a signal";
        go_mutex_lock(&mu);
        go_cond_signal(&c);
        go_mutex_unlock(&mu);
        (void)awake.Take();
        Settle();
        EXPECT_EQ(awake.TryRecv(&v), GO_EAGAIN) << "one signal, two awake";
      }
      go_cond_signal(&c);
      go_mutex_lock(&mu);  // so the last one has left
      go_mutex_unlock(&mu);
    }
  });
}

// Go: TestCondSignalGenerations (sync/cond_test.go): signals go to waiters in the order of their waits.
TEST(Cond, SignalsAreFirstInFirstOut) {
  RunGo([] {
    for (int procs_n : {1, 4}) {
      Procs procs(procs_n);
      go_mutex mu{};
      go_cond c{};
      constexpr int n = 100;
      Chan<bool> running(n);
      Chan<int> awake(n);
      go_wg wg{};
      for (int i = 0; i < n; i++) {
        SPAWN_WG(&wg, [=, &mu, &c] {
          go_mutex_lock(&mu);
          running.Send(true);
          go_cond_wait(&c, &mu);
          awake.Send(i);
          go_mutex_unlock(&mu);
        });
        if (i > 0) {
          EXPECT_EQ(awake.Take(), i - 1);
        }
        (void)running.Take();
        go_mutex_lock(&mu);
        go_cond_signal(&c);
        go_mutex_unlock(&mu);
      }
      EXPECT_EQ(awake.Take(), n - 1);
      go_wg_wait(&wg);
    }
  });
}

// The same with all of them waiting at once.
TEST(Cond, TheLongestWaiterFirst) {
  RunGo([] {
    Procs procs(4);
    go_mutex mu{};
    go_cond c{};
    constexpr int n = 50;
    Chan<int> running(0), awake(0);
    go_wg wg{};
    for (int i = 0; i < n; i++) {
      SPAWN_WG(&wg, [=, &mu, &c] {
        go_mutex_lock(&mu);
        running.Send(i);
        go_cond_wait(&c, &mu);
        go_mutex_unlock(&mu);
        awake.Send(i);
      });
      EXPECT_EQ(running.Take(), i);
      go_mutex_lock(&mu);  // it waits now
      go_mutex_unlock(&mu);
    }
    for (int i = 0; i < n; i++) {
      go_cond_signal(&c);
      EXPECT_EQ(awake.Take(), i);
    }
    go_wg_wait(&wg);
  });
}

// Go: TestCondBroadcast (sync/cond_test.go): all, again and again.
TEST(Cond, BroadcastWakesAll) {
  RunGo([] {
    for (int procs_n : {1, 4}) {
      Procs procs(procs_n);
      go_mutex mu{};
      go_cond c{};
      constexpr int n = Goroutines(200);
      Chan<int> running(n), awake(n);
      bool exit = false;  // mu
      go_wg wg{};
      for (int i = 0; i < n; i++) {
        SPAWN_WG(&wg, [=, &mu, &c, &exit] {
          go_mutex_lock(&mu);
          while (!exit) {
            running.Send(i);
            go_cond_wait(&c, &mu);
            awake.Send(i);
          }
          go_mutex_unlock(&mu);
        });
      }
      for (int round = 0; round < 5; round++) {
        for (int i = 0; i < n; i++) (void)running.Take();
        int v;
        EXPECT_EQ(awake.TryRecv(&v), GO_EAGAIN);
        go_mutex_lock(&mu);
        exit = round == 4;
        go_cond_broadcast(&c);
        go_mutex_unlock(&mu);
        std::vector<bool> seen(n);
        for (int i = 0; i < n; i++) {
          size_t g = static_cast<size_t>(awake.Take());
          EXPECT_FALSE(seen[g]) << "awake twice";
          seen[g] = true;
        }
      }
      EXPECT_EQ(running.Len(), 0u);
      go_wg_wait(&wg);
      go_cond_broadcast(&c);
    }
  });
}

// Go: TestRace (sync/cond_test.go): three take turns by x, with signal and broadcast.
TEST(Cond, TakingTurns) {
  RunGo([] {
    for (int procs_n : {1, 4}) {
      Procs procs(procs_n);
      for (int round = 0; round < Rounds(500); round++) {
        go_mutex mu{};
        go_cond c{};
        int x = 0;
        go_wg wg{};
        SPAWN_WG(&wg, [&] {
          go_mutex_lock(&mu);
          x = 1;
          while (x != 2) go_cond_wait(&c, &mu);
          x = 3;
          go_cond_signal(&c);
          go_mutex_unlock(&mu);
        });
        SPAWN_WG(&wg, [&] {
          go_mutex_lock(&mu);
          while (x != 1) {
            go_mutex_unlock(&mu);
            go_yield();
            go_mutex_lock(&mu);
          }
          x = 2;
          go_cond_broadcast(&c);
          go_mutex_unlock(&mu);
        });
        SPAWN_WG(&wg, [&] {
          go_mutex_lock(&mu);
          while (x != 3) {
            if (x == 2) {
              go_cond_wait(&c, &mu);
            } else {
              go_mutex_unlock(&mu);
              go_yield();
              go_mutex_lock(&mu);
            }
          }
          go_mutex_unlock(&mu);
        });
        go_wg_wait(&wg);
        EXPECT_EQ(x, 3);
      }
    }
  });
}

// Go: TestCondSignalStealing (sync/cond_test.go): who begins to wait after a broadcast or signal takes
// nobody's wake-up, however late the others come to run.
TEST(Cond, NobodyStealsAWakeUp) {
  RunGo([] {
    for (int procs_n : {1, 4}) {
      Procs procs(procs_n);
      for (int i = 0; i < Rounds(1000); i++) {
        go_mutex mu{};
        go_cond c{};
        Chan<bool> running(0), woken(0);
        go_wg wg{};
        bool done = false;  // mu
        SPAWN_WG(&wg, [&] {
          go_mutex_lock(&mu);
          running.Send(true);
          go_cond_wait(&c, &mu);
          go_mutex_unlock(&mu);
          woken.Send(true);
        });
        (void)running.Take();
        go_mutex_lock(&mu);
        go_mutex_unlock(&mu);
        SPAWN_WG(&wg, [&] {
          go_mutex_lock(&mu);
          while (!done) go_cond_wait(&c, &mu);
          go_mutex_unlock(&mu);
        });
        go_cond_signal(&c);  // for the first one, whatever the second one does
        EXPECT_TRUE(woken.Take());
        go_mutex_lock(&mu);
        done = true;
        go_mutex_unlock(&mu);
        go_cond_broadcast(&c);
        go_wg_wait(&wg);
      }
    }
  });
}

// Go: TestCondCopy (sync/cond_test.go).
TEST(Cond, UseOfACopyPanics) {
  RunGo([] {
    go_mutex mu{};
    go_cond c{};
    go_cond_signal(&c);  // in use now
    go_cond copy = c;
    Caught caught = Catch([&] { go_cond_signal(&copy); });
    EXPECT_EQ(caught.rc, GO_EPANIC);
    EXPECT_NE(caught.text().find("go_cond_signal"), std::string::npos) << caught.text();
    EXPECT_TRUE(Panics([&] { go_cond_broadcast(&copy); }));
    go_mutex_lock(&mu);
    EXPECT_TRUE(Panics([&] { go_cond_wait(&copy, &mu); }));
    EXPECT_TRUE(Panics([&] { EXPECT_EQ(go_cond_wait_ctx(nullptr, &copy, &mu), 0); }));
    EXPECT_FALSE(go_mutex_trylock(&mu)) << "still locked";
    go_mutex_unlock(&mu);
    go_cond fresh{};  // never used: copying is nothing
    copy = fresh;
    go_cond_signal(&copy);
  });
}

// Go: Cond.Signal: nobody waits, so it has no effect, and none later.
TEST(Cond, SignalBeforeTheWaitIsLost) {
  RunGo([] {
    for (int procs_n : {1, 4}) {
      Procs procs(procs_n);
      go_mutex mu{};
      go_cond c{};
      for (int i = 0; i < 10; i++) go_cond_signal(&c);
      go_cond_broadcast(&c);
      std::atomic<bool> awake{false};
      go_wg wg{};
      go_wg_add(&wg, 1);
      go_mutex_lock(&mu);
      SPAWN([&] {
        go_mutex_lock(&mu);
        go_cond_wait(&c, &mu);
        awake = true;
        go_mutex_unlock(&mu);
        go_wg_done(&wg);
      });
      go_mutex_unlock(&mu);
      Settle();
      EXPECT_FALSE(awake);
      while (!awake) {  // it may not wait yet
        go_cond_signal(&c);
        go_yield();
      }
      go_wg_wait(&wg);
    }
  });
}

// The mutex is free during the wait and held after it; a starving waiter for the mutex is let in.
TEST(Cond, WaitUnlocksAndLocksAgain) {
  RunGo([] {
    for (int procs_n : {1, 4}) {
      Procs procs(procs_n);
      go_mutex mu{};
      go_cond c{};
      go_wg wg{};
      bool waits = false, go = false;  // mu
      SPAWN_WG(&wg, [&] {
        go_mutex_lock(&mu);
        waits = true;
        (void)go_sleep(nullptr, 3 * GO_MS);  // who waits for the mutex meanwhile may be handed it
        while (!go) go_cond_wait(&c, &mu);
        EXPECT_FALSE(go_mutex_trylock(&mu));
        waits = false;
        go_mutex_unlock(&mu);
      });
      for (int g = 0; g < 5; g++) {
        SPAWN_WG(&wg, [&] {
          for (int i = 0; i < 200; i++) {
            go_mutex_lock(&mu);
            go_yield();
            go_mutex_unlock(&mu);
          }
        });
      }
      for (bool seen = false; !seen;) {
        go_mutex_lock(&mu);
        seen = waits;
        go = seen;
        go_mutex_unlock(&mu);
        go_yield();
      }
      go_cond_signal(&c);
      go_wg_wait(&wg);
      EXPECT_FALSE(waits);
    }
  });
}

// A bounded queue, of goroutines and plain threads.
TEST(Cond, QueueOfGoroutinesAndThreads) {
  go_mutex mu{};
  go_cond not_full{}, not_empty{};
  constexpr int kCap = 3, kEach = Rounds(2000), kProducers = 4, kConsumers = 4;
  int queue[kCap], n = 0, head = 0;  // mu
  std::atomic<int64_t> sum{0};
  auto produce = [&](int me) {
    for (int i = 0; i < kEach; i++) {
      go_mutex_lock(&mu);
      while (n == kCap) go_cond_wait(&not_full, &mu);
      queue[(head + n++) % kCap] = me * kEach + i;
      go_mutex_unlock(&mu);
      go_cond_signal(&not_empty);
    }
  };
  auto consume = [&](int) {
    for (int i = 0; i < kEach; i++) {
      go_mutex_lock(&mu);
      while (n == 0) EXPECT_EQ(go_cond_wait_ctx(nullptr, &not_empty, &mu), 0);
      sum += queue[head];
      head = (head + 1) % kCap;
      n--;
      go_cond_signal(&not_full);
      go_mutex_unlock(&mu);
    }
  };
  std::vector<std::thread> threads;
  threads.emplace_back(produce, 0);
  threads.emplace_back(consume, 0);
  RunGo([&] {
    Procs procs(4);
    go_wg wg{};
    for (int i = 1; i < kProducers; i++) SPAWN_WG(&wg, [&, i] { produce(i); });
    for (int i = 1; i < kConsumers; i++) SPAWN_WG(&wg, [&, i] { consume(i); });
    go_wg_wait(&wg);
  });
  for (auto &t : threads) t.join();
  int64_t all = int64_t{kProducers} * kEach;
  EXPECT_EQ(sum, all * (all - 1) / 2);
  EXPECT_EQ(n, 0);
}

// Storage that goes as soon as the last waiter is back.
TEST(Cond, FreedByTheWaiter) {
  RunGo([] {
    Procs procs(4);
    for (int i = 0; i < Rounds(3000); i++) {
      struct Shared {
        go_mutex mu{};
        go_cond c{};
        bool go = false;
      };
      Shared *s = new Shared;
      SPAWN([s] {
        go_mutex_lock(&s->mu);
        s->go = true;
        go_cond_signal(&s->c);
        go_mutex_unlock(&s->mu);
      });
      go_mutex_lock(&s->mu);
      while (!s->go) go_cond_wait(&s->c, &s->mu);
      go_mutex_unlock(&s->mu);
      delete s;
    }
    Until([] { return go_count() == 1; });
  });
}

}  // namespace
