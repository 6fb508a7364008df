// GO_PREEMPT_SWITCH: goroutines that are stopped in the middle of their code. What signals have to do with it on Linux:
// switch_signal_test.cc.
#if !defined(_WIN32)
#include <alloca.h>
#else
#include <malloc.h>
#endif

#include <cerrno>
#include <csignal>

#include "tests/support/child.h"
#include "tests/support/golib_test.h"
#include "tests/support/hogs.h"
#include "tests/support/switch.h"
#include "tests/support/system.h"

using namespace golib_test;

namespace {

// On one P, on one thread: each thread more is one that a retake has brought, which a machine that does other things
// may bring about, but not often.
TEST_F(Switch, TickerBesideHogs) {
  for (int hogs : {1, 4}) {
    INIT(1);
    RunGo([&] {
      (void)go_sleep(nullptr, GO_MS);
      go_stats before = StatsNow();
      TicksBeside(
          hogs, [](const auto &stop) { Spin(stop); }, 30);
      go_stats after = StatsNow();
      EXPECT_GE(after.switches, before.switches + 10);
      EXPECT_LE(static_cast<uint64_t>(after.threads_max - before.threads_max),
                after.retakes - before.retakes);
    });
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  }
}

TEST_F(Switch, MorePs) {
  for (int procs : {2, 8}) {
    INIT(procs);
    RunGo([&] {
      uint64_t before = Switches();
      TicksBeside(
          12, [](const auto &stop) { Spin(stop); }, 20);
      EXPECT_GT(Switches(), before);
    });
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  }
}

TEST_F(Switch, SpinnersAlternate) {
  INIT(1);
  RunGo([] { SpinnersAlternate(); });
}

// ---- who may be stopped

TEST_F(Switch, OneGoroutineAsksForIt) {
  INIT(1, GO_PREEMPT_RETAKE);
  RunGo([] {
    go_spawn_opts o{};
    o.preempt = GO_PREEMPT_SWITCH;
    EXPECT_EQ(Hog(JustSpin, false).switches, 0u);
    EXPECT_GE(Hog(o, JustSpin, true).switches, 2u);
    EXPECT_EQ(Hog(JustSpin, false).switches, 0u);
  });
}

TEST_F(Switch, OneGoroutineDoesNotWantIt) {
  INIT(1);
  RunGo([] {
    go_spawn_opts o{};
    o.preempt = GO_PREEMPT_RETAKE;
    EXPECT_EQ(Hog(o, JustSpin, false).switches, 0u);
    EXPECT_GE(Hog(JustSpin, true).switches, 2u);
  });
}

TEST_F(Switch, NopreemptSections) {
  INIT(1);
  RunGo([] {
    auto none = [](const auto &stop, auto &began) {
      go_nopreempt_begin();
      go_nopreempt_begin();
      go_nopreempt_end();
      JustSpin(stop, began);
      go_nopreempt_end();
    };
    EXPECT_EQ(Hog(none, false).switches, 0u);
    auto after = [](const auto &stop, auto &began) {
      go_nopreempt_begin();
      go_yield();
      go_nopreempt_end();
      JustSpin(stop, began);
    };
    EXPECT_GE(Hog(after, true).switches, 2u);
    auto left_behind = [](const auto &stop, auto &began) {
      (void)go_try(
          [](void *) {
            go_nopreempt_begin();
            go_panic("x");
          },
          nullptr, nullptr);
      JustSpin(stop, began);
    };
    EXPECT_GE(Hog(left_behind, true).switches, 2u);
    EXPECT_GE(Hog(JustSpin, true).switches, 2u) << "a goroutine begins without any";
  });
  go_nopreempt_begin();  // threads may as well
  go_nopreempt_end();
}

// ---- where it may be stopped

TEST_F(Switch, NotDuringPanicsAndExits) {
  INIT(1);
  RunGo([] {
    struct Arg {
      const std::atomic<bool> *stop;
      std::atomic<bool> *began;
      static void Run(void *p) {
        JustSpin(*static_cast<Arg *>(p)->stop, *static_cast<Arg *>(p)->began);
      }
      static void Panic(void *p) {
        GO_DEFER(Run, p);
        go_panic("x");
      }
      static void Exit(void *p) {
        GO_DEFER(Run, p);
        go_exit();
      }
    };
    auto panics = [](const auto &stop, auto &began) {
      Arg a{&stop, &began};
      (void)go_try(Arg::Panic, &a, nullptr);
    };
    EXPECT_EQ(Hog(panics, false).switches, 0u);
    static std::atomic<bool> stop, began, ended;
    stop = began = ended = false;
    Seen before{Switches(), Retakes()};
    go_wg wg{};
    SPAWN_WG(&wg, [] {
      Arg a{&stop, &began};
      Arg::Exit(&a);
    });
    EXPECT_TRUE(Within([&] { return began && Retakes() > before.retakes; }));
    stop = true;
    go_wg_wait(&wg);
    EXPECT_EQ(Switches(), before.switches);
  });
}

__attribute__((noinline)) void SpinNearTheGuard(const std::atomic<bool> &stop,
                                                std::atomic<bool> &began, size_t size,
                                                size_t left) {
  char here;
  uintptr_t low = reinterpret_cast<uintptr_t>(&here) & ~static_cast<uintptr_t>(size - 1);
  volatile char *p = static_cast<char *>(alloca(reinterpret_cast<uintptr_t>(&here) - low - left));
  p[0] = 1;
  began = true;
  Spin(stop);
  p[0] = 2;
}

// The kernel would kill a process that has no room for a signal's frame on its stack.
TEST_F(Switch, NotWithoutRoomOnTheStack) {
  if (kSanitized || Emulated()) GTEST_SKIP() << "frames are of other sizes";
  INIT(1);
  RunGo([] {
    constexpr size_t kSize = 256 << 10, kGuard = kSize / 16;  // the lowest slot's is in it
    go_spawn_opts o{};
    o.stack_size = kSize;
    for (size_t left : {1000u, 2000u, 4000u, 7000u}) {
      auto f = [left](const auto &stop, auto &began) {
        SpinNearTheGuard(stop, began, kSize, kGuard + left);
      };
      EXPECT_EQ(Hog(o, f, false).switches, 0u) << left;
    }
    auto f = [](const auto &stop, auto &began) { SpinNearTheGuard(stop, began, kSize, 128 << 10); };
    EXPECT_GE(Hog(o, f, true).switches, 2u);
  });
}

TEST_F(Switch, OnASmallStack) {
  INIT(1);
  RunGo([] {
    go_spawn_opts o{};
    o.stack_size = 64 << 10;
    if (kSanitized) o.stack_size = 256 << 10;
    EXPECT_GE(Hog(o, JustSpin, true).switches, 2u);
  });
}

TEST_F(Switch, DeepRecursion) {
  INIT(1);
  struct Deep {
    static int Down(int n) {
      volatile char frame[kSanitized ? 16 : 256];
      frame[0] = static_cast<char>(n);
      return n == 0 ? 0 : Down(n - 1) + 1 + 0 * frame[0];
    }
  };
  const int depth = kSanitized || Emulated() ? 500 : 100000;
  std::atomic<int> wrong{0};
  RunGo([&] {
    TicksBeside(
        2,
        [&](const auto &stop) {
          while (!stop) wrong += Deep::Down(depth) != depth;
        },
        10);
  });
  EXPECT_EQ(wrong, 0);
}

// In libc nothing is stopped: others come by by a retake, and everything is intact.
TEST_F(Switch, HogsInsideLibc) {
  INIT(1);
  std::atomic<int> wrong{0};
  RunGo([&] {
    TicksBeside(
        4,
        [&](const auto &stop) {
          std::vector<int> v(3000);
          std::vector<char> from(1 << 20, 'x'), to(1 << 20);
          Rng rng(1);
          while (!stop) {
            for (int &x : v) x = static_cast<int>(rng.Next());
            qsort(v.data(), v.size(), sizeof v[0], ByValue);
            for (size_t i = 1; i < v.size(); i++) wrong += v[i - 1] > v[i];
            memcpy(to.data(), from.data(), to.size());
            wrong += memcmp(to.data(), from.data(), to.size()) != 0;
            for (int i = 0; i < 200; i++) {
              size_t n = 1 + rng.Below(5000);
              char *p = static_cast<char *>(malloc(n));
              char c = static_cast<char>(rng.Next());
              memset(p, c, n);
              for (size_t k = 0; k < n; k += 61) wrong += p[k] != c;
              free(p);
            }
          }
        },
        20);
  });
  EXPECT_EQ(wrong, 0);
}

// ---- what it finds when it goes on

// What the system keeps for a thread, and Windows twice.
TEST_F(Switch, Errors) {
  for (int procs : {1, 2}) {
    INIT(procs);
    std::atomic<int> wrong{0};
    RunGo([&] {
      std::atomic<bool> stop{false};
      go_wg wg{};
      uint64_t before = Switches();
      for (int i = 0; i < 4; i++) {
        SPAWN_WG(&wg, [&stop, &wrong, i] {
          while (!stop) {
            SetLastSystemError(2000 + i);  // errno itself, if the system has no other
            if (kWindows) errno = 1000 + i;
            SpinFor(20000000, stop);
            wrong += LastSystemError() != 2000 + i || (kWindows && go_errno() != 1000 + i);
          }
        });
      }
      EXPECT_TRUE(Within([&] { return Switches() >= before + 20; }));
      stop = true;
      go_wg_wait(&wg);
    });
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  }
}

TEST_F(Switch, LockedThread) {
  INIT(1);
  std::atomic<int> wrong{0};
  static thread_local int mine;
  RunGo([&] {
    go_spawn_opts o{};
    o.pinned = true;
    auto f = [&](const auto &stop, auto &began) {
      pthread_t self = pthread_self();
      mine = 5;
      JustSpin(stop, began);
      wrong += !pthread_equal(self, pthread_self()) || mine != 5;
    };
    EXPECT_GE(Hog(o, f, true).switches, 2u);
  });
  EXPECT_EQ(wrong, 0);
}

TEST_F(Switch, CheckpointBesideIt) {
  INIT(1);
  RunGo([] {
    TicksBeside(
        2,
        [](const auto &stop) {
          while (!stop) (void)go_checkpoint();
        },
        20);
  });
}

// ---- settings and changes

TEST_F(Switch, WrongSettings) {
  go_config cfg{};
  for (int sig : {9, SIGSEGV, 1000, -1}) {  // 9: SIGKILL
    cfg = {};
    cfg.preempt = GO_PREEMPT_SWITCH;
    cfg.preempt_signal = sig;
    int r = go_init(&cfg);
    EXPECT_TRUE(r == GO_EINVAL || r == GO_ENOSYS) << sig << ": " << r;
  }
  for (int preempt : {-1, 3}) {
    cfg = {};
    cfg.preempt = preempt;
    EXPECT_EQ(go_init(&cfg), GO_EINVAL);
  }
  cfg = {};
  cfg.embedded = true;
  cfg.preempt = GO_PREEMPT_SWITCH;
  EXPECT_EQ(go_init(&cfg), GO_EINVAL);
  RunGo([] {
    go_spawn_opts o{};
    for (int preempt : {-1, 3, 1000}) {
      o.preempt = preempt;
      EXPECT_EQ(go_spawn_opt(
                    &o, [](void *) {}, nullptr, 0),
                GO_EINVAL);
    }
  });
}

TEST_F(Switch, ProcsUpAndDown) {
  INIT(4);
  RunGo([] {
    std::atomic<bool> stop{false};
    go_wg wg{};
    for (int i = 0; i < 4; i++) SPAWN_WG(&wg, [&] { Spin(stop); });
    for (int n : {1, 3, 1, 8, 2, 1, 4}) {
      go_procs(n);
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

// Many goroutines that end right after having been stopped, and the scheduler as well.
TEST_F(Switch, EndsAfterwards) {
  for (int i = 0; i < 3; i++) {
    INIT(2);
    RunGo([] {
      TicksBeside(
          6, [](const auto &stop) { Spin(stop); }, 3);
    });
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  }
}

}  // namespace
