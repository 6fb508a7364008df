// Nobody starves: goroutines that compute or block without a word, beside others that want to run. The rows of
// docs about hogs; bounds are generous, exact figures are the benchmark's.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <functional>
#include <thread>

#include "tests/support/child.h"
#include "tests/support/golib_test.h"
#include "tests/support/hogs.h"

using namespace golib_test;

namespace {

template <class F>
void TicksBeside(int procs, int hogs, F hog, int ticks = 10) {
  Procs p(procs);
  golib_test::TicksBeside(hogs, hog, ticks);
}

TEST(Retake, OneHog) {
  RunGo([] {
    TicksBeside(
        1, 1, [](const auto &stop) { SpinUntil(stop); }, 50);
  });
}

TEST(Retake, FourHogs) {
  for (int procs : {1, 2, 4}) {
    RunGo([&] {
      TicksBeside(
          procs, 4, [](const auto &stop) { SpinUntil(stop); }, 20);
    });
  }
}

TEST(Retake, HogInsideLibc) {
  RunGo([] {
    TicksBeside(1, 2, [](const auto &stop) {
      std::vector<int> v(20000);
      char text[64];
      Rng rng(1);
      while (!stop) {
        for (int &x : v) x = static_cast<int>(rng.Next());
        qsort(v.data(), v.size(), sizeof v[0], ByValue);
        EXPECT_GT(snprintf(text, sizeof text, "%d %f", v[0], 1.0 / (v[1] | 1)), 0);
      }
    });
  });
}

TEST(Retake, MallocFreePrintf) {
  RunGo([] {
    FILE *f = fopen(kNullDevice, "w");
    ASSERT_NE(f, nullptr);
    TicksBeside(1, 6, [f](const auto &stop) {
      Rng rng(3);
      while (!stop) {
        size_t n = 1 + rng.Below(5000);
        unsigned char *p = static_cast<unsigned char *>(malloc(n));
        unsigned char c = static_cast<unsigned char>(rng.Next());
        memset(p, c, n);
        fprintf(f, "%p %zu\n", static_cast<void *>(p), n);
        if (rng.Below(10) == 0) go_yield();
        EXPECT_TRUE(p[0] == c && p[n / 2] == c && p[n - 1] == c);
        free(p);
      }
    });
    fclose(f);
  });
}

TEST(Retake, SpinnersAlternateOnOneP) {
  RunGo([] {
    Procs procs(1);
    SpinnersAlternate();
  });
}

// A blocking call that nobody announced holds up its own goroutine only; and it is not interrupted.
TEST(Retake, BlockingCallsOnEveryP) {
  for (int procs : {1, 2, 8}) {
    RunGo([&] {
      Procs p(procs);
      int fds[2];
      ASSERT_EQ(OpenPipe(fds), 0);
      go_wg wg{};
      std::atomic<int> in{0};
      for (int i = 0; i < procs; i++) {
        SPAWN_WG(&wg, [&] {
          char b = 0;
          in++;
          EXPECT_EQ(read(fds[0], &b, 1), 1);
          EXPECT_EQ(b, 'x');
        });
      }
      Until([&] { return in == procs; });
      EXPECT_EQ(go_sleep(nullptr, 20 * GO_MS), 0);
      for (int i = 0; i < procs; i++) EXPECT_EQ(write(fds[1], "x", 1), 1);
      go_wg_wait(&wg);
      close(fds[0]);
      close(fds[1]);
    });
  }
}

// What becomes ready is seen, at one P, behind a hog: nothing else would look into the poller.
TEST(Retake, ReadinessBehindAHog) {
  RunGo([] {
    Procs procs(1);
    Socket fds[2];
    ASSERT_EQ(OpenSockets(fds), 0);
    std::atomic<bool> stop{false}, ready{false};
    go_wg wg{};
    SPAWN_WG(&wg, [&] {
      EXPECT_EQ(go_fd_wait(nullptr, static_cast<intptr_t>(fds[0]), GO_FD_READ), GO_FD_READ);
      ready = true;
    });
    Settle();
    SPAWN_WG(&wg, [&] {
      EXPECT_EQ(send(fds[1], "x", 1, 0), 1);
      while (!ready.load(std::memory_order_relaxed)) {}
    });
    go_wg_wait(&wg);
    CloseSocket(fds[0]);
    CloseSocket(fds[1]);
  });
}

// A plain thread starts a goroutine while the only P is a hog's.
TEST(Retake, PostBehindAHog) {
  RunGo([] {
    Procs procs(1);
    static std::atomic<bool> ran;
    ran = false;
    std::thread t([] {
      usleep(20000);
      EXPECT_EQ(go_post([](void *) { ran = true; }, nullptr), 0);
    });
    SpinUntil(ran);
    t.join();
  });
}

// It comes back: whatever it calls first, all is as it was.
TEST(Retake, ComesBackByAnyCall) {
  RunGo([] {
    Procs procs(1);
    Chan<int> c(1), full(0);
    go_mutex mu{};
    go_wg sub{};
    int rounds = 0;
    auto lose = [] {  // the P, to one that is there until it sees that we run on
      std::atomic<bool> ran{false};
      SPAWN([&ran] { ran = true; });
      SpinUntil(ran);
    };
    std::vector<std::function<void()>> calls = {
        [] { go_yield(); },
        [] { (void)go_checkpoint(); },
        [] { (void)go_sleep(nullptr, GO_US); },
        [&] {
          c.Send(1);
          EXPECT_EQ(c.Take(), 1);
        },
        [&] {
          EXPECT_EQ(c.TrySend(2), 0);
          EXPECT_EQ(c.Take(), 2);
        },
        [&] {
          SPAWN_WG(&sub, [&] { full.Send(7); });
          EXPECT_EQ(full.Take(), 7);
          go_wg_wait(&sub);
        },
        [&] { go_mutex_lock(&mu), go_mutex_unlock(&mu); },
        [] { go_blocking([](void *) { usleep(100); }, nullptr); },
        [] {
          go_blocking_begin();
          usleep(100);
          go_blocking_end();
        },
        [] { go_lock_thread(), go_yield(), go_unlock_thread(); },
        [] { EXPECT_EQ(go_procs(0), 1); },
        [] { go_procs(2), go_procs(1); },
        [] {
          int v = 0;
          EXPECT_TRUE(Panics([] { go_panic("x"); })) << v;
        },
        [] {
          go_timer t{};
          std::atomic<bool> fired{false};
          EXPECT_EQ(
              go_timer_start(
                  &t, 1, [](void *p) { *static_cast<std::atomic<bool> *>(p) = true; }, &fired),
              0);
          Until([&] { return fired.load(); });
        },
        [] {
          EXPECT_EQ(go_offload(
                        nullptr, [](void *) {}, nullptr),
                    0);
        },
    };
    for (auto &call : calls) {
      lose();
      call();
      rounds++;
      EXPECT_GE(go_count(), 1);
      go_yield();
    }
    EXPECT_EQ(rounds, static_cast<int>(calls.size()));
    // Ends without another call.
    go_wg wg{};
    for (int i = 0; i < 3; i++) SPAWN_WG(&wg, [&] { lose(); });
    go_wg_wait(&wg);
    // And by go_exit, and a panic.
    SPAWN_WG(&wg, [&] {
      lose();
      go_exit();
    });
    go_wg_wait(&wg);
  });
}

// While it is away what it readies and starts runs, on the P that it does not have.
TEST(Retake, SpawnsAndSendsWithoutAP) {
  RunGo([] {
    Procs procs(1);
    std::atomic<int> started{0}, ran{0};
    std::atomic<bool> stop{false};
    Chan<int> c(4);
    go_wg wg{};
    SPAWN_WG(&wg, [&] {
      int v;
      while (c.Recv(&v)) ran++;
    });
    SPAWN_WG(&wg, [&] {
      for (int i = 0; i < 20; i++) {
        go_nsec until = go_now() + 3 * GO_MS;
        while (go_now() < until) {}
        SPAWN_WG(&wg, [&] { ran++; });
        c.Send(i);
        started += 2;
      }
      c.Close();
      stop = true;
    });
    SPAWN_WG(&wg, [&] { SpinUntil(stop); });
    go_wg_wait(&wg);
    EXPECT_EQ(ran, started);
  });
}

// A goroutine that is wired to its thread stays on it.
TEST(Retake, LockedThread) {
  RunGo([] {
    Procs procs(1);
    go_wg wg{};
    for (int i = 0; i < 3; i++) {
      SPAWN_WG(&wg, [] {
        go_lock_thread();
        pthread_t self = pthread_self();
        for (int k = 0; k < 3; k++) {
          std::atomic<bool> ran{false};
          SPAWN([&ran] { ran = true; });
          SpinUntil(ran);
          EXPECT_TRUE(pthread_equal(self, pthread_self()));
          go_yield();
          EXPECT_TRUE(pthread_equal(self, pthread_self()));
        }
        go_unlock_thread();
      });
    }
    go_wg_wait(&wg);
  });
}

// A P that is to go is taken from a hog as well: go_procs truly lowers.
TEST(Retake, ProcsUpAndDownBesideHogs) {
  RunGo([] {
    std::atomic<bool> stop{false};
    go_wg wg{};
    Procs procs(4);
    for (int i = 0; i < 4; i++) SPAWN_WG(&wg, [&] { SpinUntil(stop); });
    for (int n : {1, 3, 1, 8, 2, 1, 4}) {
      go_procs(n);
      EXPECT_EQ(go_procs(0), n);
      std::atomic<int> ran{0};
      go_wg sub{};
      for (int i = 0; i < 20; i++) SPAWN_WG(&sub, [&] { ran++; });
      go_wg_wait(&sub);
      EXPECT_EQ(ran, 20);
      (void)go_sleep(nullptr, GO_MS);
    }
    stop = true;
    go_wg_wait(&wg);
  });
}

TEST(Retake, DeepRecursionBesideAHog) {
  if (golib_test::Emulated()) GTEST_SKIP() << "stacks are small there";
  struct Deep {
    static int Down(int n) {
      volatile char frame[kSanitized ? 16 : 256];
      frame[0] = static_cast<char>(n);
      return n == 0 ? 0 : Down(n - 1) + 1 + 0 * frame[0];
    }
  };
  RunGo([] {
    const int depth = kSanitized ? 1000 : 100000;
    TicksBeside(1, 2, [&](const auto &stop) {
      while (!stop) EXPECT_EQ(Deep::Down(depth), depth);
    });
  });
}

// 20 calls of 100 ms side by side.
TEST(Retake, BlockingCallsSideBySide) {
  RunGo([] {
    Procs procs(2);
    go_nsec best = 10 * GO_SEC;  // on a machine that does other things as well
    for (int round = 0; round < 10 && best > 500 * GO_MS; round++) {
      go_wg wg{};
      go_nsec start = go_now();
      for (int i = 0; i < 20; i++) {
        SPAWN_WG(&wg, [] { go_blocking([](void *) { usleep(100000); }, nullptr); });
      }
      go_wg_wait(&wg);
      best = std::min(best, go_now() - start);
    }
    EXPECT_LT(best, 900 * GO_MS) << "one after the other they take 2 s, two at a time 1 s";
  });
}

// Threads that are not needed any more end.
TEST(Retake, ThreadsRetire) {
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  RunGo([] {
    Procs procs(2);
    go_wg wg{};
    int before = ThreadCount(), fds[2];
    ASSERT_EQ(OpenPipe(fds), 0);
    std::atomic<int> in{0};
    auto read_one = [&] {
      char c;
      go_blocking_begin();
      in++;
      EXPECT_EQ(read(fds[0], &c, 1), 1);
      go_blocking_end();
    };
    for (int i = 0; i < 30; i++) SPAWN_WG(&wg, read_one);
    Until([&] { return in == 30; });
    EXPECT_GE(ThreadCount(), 30);
    EXPECT_EQ(write(fds[1], "012345678901234567890123456789", 30), 30);
    go_wg_wait(&wg);
    close(fds[0]);
    close(fds[1]);
    go_nsec until = go_now() + 60 * GO_SEC;
    while (ThreadCount() > before + 4 && go_now() < until) (void)go_sleep(nullptr, 100 * GO_MS);
    EXPECT_LE(ThreadCount(), before + 4);
    // And others take their places.
    for (int i = 0; i < 10; i++) {
      SPAWN_WG(&wg, [] { go_blocking([](void *) { usleep(1000); }, nullptr); });
    }
    go_wg_wait(&wg);
  });
}

// The `slow` hook tells of a goroutine that others did not wait for.
TEST(Retake, SlowHook) {
  static std::atomic<go_nsec> ran;
  static std::atomic<uint64_t> who;
  static go_hooks hooks;
  hooks.slow = [](void *, uint64_t id, go_nsec ns) {
    if (ns > ran) ran = ns, who = id;
  };
  hooks.slow_after = 5 * GO_MS;
  go_set_hooks(&hooks);
  RunGo([] {
    Procs procs(1);
    go_wg wg{};
    uint64_t hog = 0;
    ran = 0;
    SPAWN_WG(&wg, [&] {
      hog = go_id();
      std::atomic<bool> others{false};
      SPAWN([&others] { others = true; });
      SpinUntil(others);
      for (go_nsec until = go_now() + 10 * GO_MS; go_now() < until;) {}
      go_yield();
    });
    go_wg_wait(&wg);
    EXPECT_GE(ran, 10 * GO_MS);
    EXPECT_EQ(who, hog);
  });
  go_set_hooks(nullptr);
}

#if !defined(_WIN32)
// An idle process, after all that: nobody wakes up. Our own look costs some: the thread that wakes for it, another that
// it wakes in case there is more, and sysmon for a moment.
TEST(Retake, IdleAfterwards) {
  if (kSanitized) GTEST_SKIP() << "sanitizers wake up";
  RunGo([] {
    TicksBeside(1, 2, [](const auto &stop) { SpinUntil(stop); });
    long least = 1000;
    for (int i = 0; i < 20 && least > 5; i++) {
      struct rusage before, after;
      getrusage(RUSAGE_SELF, &before);
      (void)go_sleep(nullptr, 500 * GO_MS);
      getrusage(RUSAGE_SELF, &after);
      long n = after.ru_nvcsw - before.ru_nvcsw;
      least = n < least ? n : least;
    }
    EXPECT_LE(least, 5);
  });
}
#endif

// The scheduler ends while goroutines that were hogs have just come back, and starts anew.
TEST(Retake, ShutdownAfterwards) {
  for (int i = 0; i < 3; i++) {
    RunGo([] {
      TicksBeside(
          1, 3, [](const auto &stop) { SpinUntil(stop); }, 3);
    });
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  }
}

}  // namespace
