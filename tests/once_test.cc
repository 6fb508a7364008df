// Doing something once.

#include <thread>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

template <class F>
void Do(go_once *once, F &&f) {
  go_once_do(once, CallRef<std::remove_reference_t<F>>, RefOf(f));
}

// Go: TestOnce (sync/once_test.go): many callers, one run, which all of them see.
TEST(Once, RunsOnceForAll) {
  RunGo([] {
    for (int procs_n : {1, 4}) {
      Procs procs(procs_n);
      for (int round = 0; round < Rounds(1000); round++) {
        go_once once{};
        int n = 0;  // not atomic: the once publishes it
        go_wg wg{};
        for (int g = 0; g < 10; g++) {
          SPAWN_WG(&wg, [&] {
            Do(&once, [&] { n++; });
            EXPECT_EQ(n, 1);
          });
        }
        go_wg_wait(&wg);
        Do(&once, [&] { n++; });
        EXPECT_EQ(n, 1);
      }
    }
  });
}

// Go: Once.Do: no call returns before the one call of f has.
TEST(Once, AllWaitForTheFirst) {
  RunGo([] {
    for (int procs_n : {1, 4}) {
      Procs procs(procs_n);
      go_once once{};
      go_wg wg{}, started{}, finish{};
      std::atomic<bool> over{false};
      constexpr int kWaiters = 50;
      go_wg_add(&started, 1);
      go_wg_add(&finish, 1);
      SPAWN_WG(&wg, [&] {
        Do(&once, [&] {
          go_wg_done(&started);
          go_wg_wait(&finish);
          over = true;
        });
      });
      go_wg_wait(&started);
      std::atomic<int> returned{0};
      for (int i = 0; i < kWaiters; i++) {
        SPAWN_WG(&wg, [&] {
          Do(&once, [] { ADD_FAILURE() << "a second run"; });
          EXPECT_TRUE(over);
          returned++;
        });
      }
      std::thread thread([&] {
        Do(&once, [] { ADD_FAILURE() << "a second run"; });
        EXPECT_TRUE(over);
        returned++;
      });
      Settle();
      EXPECT_EQ(returned, 0);
      go_wg_done(&finish);
      go_wg_wait(&wg);
      Until([&] { return returned == kWaiters + 1; });
      thread.join();
    }
  });
}

// Go: TestOncePanic (sync/once_test.go): a panic goes to the first caller, and counts as done.
TEST(Once, PanicCountsAsDone) {
  RunGo([] {
    go_once once{};
    int runs = 0;
    Caught c = Catch([&] {
      Do(&once, [&] {
        runs++;
        go_panic("failed");
      });
    });
    EXPECT_EQ(c.rc, GO_EPANIC);
    EXPECT_EQ(c.text(), "failed");
    Caught again = Catch([&] { Do(&once, [&] { runs++; }); });
    EXPECT_EQ(again.rc, 0);
    EXPECT_EQ(runs, 1);
  });
}

// Those who wait go on when it panics, and when it ends its goroutine.
TEST(Once, WaitersGoOnAfterPanicAndExit) {
  go_set_panic_handler([](const go_panic_info *) {});
  RunGo([] {
    Procs procs(4);
    for (bool panics : {true, false}) {
      go_once once{};
      go_wg wg{}, started{}, finish{};
      std::atomic<int> after{0};
      std::atomic<bool> ended{false};
      go_wg_add(&started, 1);
      go_wg_add(&finish, 1);
      auto body = [&, panics] {
        go_wg_done(&started);
        go_wg_wait(&finish);
        ended = true;
        if (panics) go_panic("on purpose");
        go_exit();
      };
      SPAWN_WG(&wg, [&] {
        Do(&once, body);
        ADD_FAILURE() << "came back";
      });
      go_wg_wait(&started);
      for (int i = 0; i < 10; i++) {
        SPAWN_WG(&wg, [&] {
          Do(&once, [] { ADD_FAILURE() << "a second run"; });
          EXPECT_TRUE(ended);
          after++;
        });
      }
      Settle();
      EXPECT_EQ(after, 0);
      go_wg_done(&finish);
      go_wg_wait(&wg);
      EXPECT_EQ(after, 10);
    }
  });
  go_set_panic_handler(nullptr);
}

// Go: OnceFunc's Goexit (sync/oncefunc_test.go), for Do: done, though f never returned.
TEST(Once, ExitCountsAsDone) {
  RunGo([] {
    go_once once{};
    go_wg wg{};
    int runs = 0;
    auto body = [&] {
      runs++;
      go_exit();
    };
    SPAWN_WG(&wg, [&] { Do(&once, body); });
    go_wg_wait(&wg);
    Do(&once, [&] { runs++; });
    EXPECT_EQ(runs, 1);
  });
}

// Deferred calls of f have run when the others go on.
TEST(Once, DeferredCallsOfFnComeFirst) {
  RunGo([] {
    Procs procs(4);
    go_once once{};
    static std::atomic<int> deferred;
    deferred = 0;
    auto body = [&] {
      GO_DEFER(
          [](void *) {
            go_yield();
            deferred++;
          },
          nullptr);
      go_panic("on purpose");
    };
    Caught c = Catch([&] { Do(&once, body); });
    EXPECT_EQ(c.rc, GO_EPANIC);
    Do(&once, [] {});
    EXPECT_EQ(deferred, 1);
  });
}

TEST(Once, NullFunctionPanics) {
  RunGo([] {
    go_once once{};
    Caught c = Catch([&] { go_once_do(&once, nullptr, nullptr); });
    EXPECT_EQ(c.rc, GO_EPANIC);
    EXPECT_NE(c.text().find("go_once_do"), std::string::npos) << c.text();
    Do(&once, [] { ADD_FAILURE() << "it was done"; });
  });
}

// Another once inside, and the same function for two.
TEST(Once, Nested) {
  RunGo([] {
    go_once a{}, b{};
    int n = 0;
    Do(&a, [&] {
      Do(&b, [&] { n += 10; });
      n++;
    });
    Do(&b, [&] { n = 100; });
    EXPECT_EQ(n, 11);
  });
}

// Plain threads, before golib has been used by any of them.
TEST(Once, AmongThreads) {
  for (int round = 0; round < Rounds(200); round++) {
    go_once once{};
    int n = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) {
      threads.emplace_back([&] {
        Do(&once, [&] {
          std::this_thread::yield();
          n++;
        });
        EXPECT_EQ(n, 1);
      });
    }
    for (auto &t : threads) t.join();
  }
}

// Storage that goes with its last user.
TEST(Once, FreedByTheLast) {
  RunGo([] {
    Procs procs(4);
    for (int i = 0; i < Rounds(2000); i++) {
      struct Shared {
        go_once once{};
        std::atomic<int> users{4};
        int n = 0;
      };
      Shared *s = new Shared;
      for (int u = 0; u < 4; u++) {
        SPAWN([s] {
          Do(&s->once, [s] {
            go_yield();
            s->n++;
          });
          EXPECT_EQ(s->n, 1);
          if (--s->users == 0) delete s;
        });
      }
    }
    Until([] { return go_count() == 1; });
  });
}

}  // namespace
