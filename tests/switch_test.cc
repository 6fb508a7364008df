// GO_PREEMPT_SWITCH: goroutines that are stopped in the middle of their code. Goroutines that may be stopped call no
// EXPECT_: GoogleTest, which is part of this program, has locks.
#include <alloca.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <thread>

#include "tests/support/child.h"
#include "tests/support/golib_test.h"
#include "tests/support/hogs.h"

using namespace golib_test;

namespace {

uint64_t Switches() { return StatsNow().switches; }
uint64_t Retakes() { return StatsNow().retakes; }

#if defined(GOLIB_TEST_TSAN_)
#define RAW __attribute__((no_sanitize("thread"), noinline))
#else
#define RAW __attribute__((noinline))
#endif

// Until it is told to stop: no call of golib, nor of anybody else, TSan included, which would be at work nearly all the time.
RAW void Spin(const std::atomic<bool> &stop) {
  const volatile bool *p = reinterpret_cast<const volatile bool *>(&stop);
  while (!*p) {}
}
RAW void SpinFor(int n, const std::atomic<bool> &stop) {
  const volatile bool *p = reinterpret_cast<const volatile bool *>(&stop);
  for (volatile int k = 0; k < n && !*p; k = k + 1) {}
}

constexpr go_nsec kPatience = 60 * GO_SEC;

// Sleeps until pred() holds, or for very long. Returns whether it does.
template <class Pred>
bool Within(Pred pred) {
  for (go_nsec end = go_now() + kPatience; !pred() && go_now() < end;)
    (void)go_sleep(nullptr, 5 * GO_MS);
  return pred();
}

class Switch : public testing::Test {
 protected:
  // False: nothing is stopped in this kind of build.
  bool Init(int procs, int preempt = GO_PREEMPT_SWITCH, int signal = 0) {
    go_config cfg{};
    cfg.procs = procs;
    cfg.preempt = GO_PREEMPT_SWITCH;
    int r = go_init(&cfg);
    if (r == GO_ENOSYS) return false;
    EXPECT_EQ(r, 0) << go_strerror(r);
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
    cfg.preempt = preempt;
    cfg.preempt_signal = signal;
    r = go_init(&cfg);
    EXPECT_EQ(r, 0) << go_strerror(r);
    return r == 0;
  }
  void TearDown() override { EXPECT_EQ(go_shutdown(GO_FOREVER), 0); }
};

#define INIT(...) \
  if (!Init(__VA_ARGS__)) GTEST_SKIP() << "nothing is stopped in this kind of build"

// A goroutine that spins on one P beside another that sleeps, until it has been stopped, or has lost its P, or has done
// so twice: what of it has come about, the second value, and how often it was stopped, the first.
struct Seen {
  uint64_t switches, retakes;
};
template <class F>
Seen Hog(const go_spawn_opts &o, F f, bool want_switch) {
  std::atomic<bool> stop{false}, began{false}, ended{false};
  Seen before{Switches(), Retakes()};
  MustStart(SpawnOptAt("hog", o, [&] {
    f(stop, began);
    ended = true;
  }));
  EXPECT_TRUE(Within([&] { return began.load(); }));
  EXPECT_TRUE(Within([&] {
    return want_switch ? Switches() >= before.switches + 2 : Retakes() >= before.retakes + 1;
  }));
  stop = true;
  EXPECT_TRUE(Within([&] { return ended.load(); }));
  return {Switches() - before.switches, Retakes() - before.retakes};
}
template <class F>
Seen Hog(F f, bool want_switch) {
  return Hog(go_spawn_opts{}, f, want_switch);
}
void JustSpin(const std::atomic<bool> &stop, std::atomic<bool> &began) {
  began = true;
  Spin(stop);
}

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

TEST_F(Switch, NotInAHandlerOfAnotherSignal) {
  INIT(1);
  static std::atomic<bool> *stop_it, *began_it;
  struct sigaction sa {
  }, old{};
  sa.sa_handler = [](int) { JustSpin(*stop_it, *began_it); };
  ASSERT_EQ(sigaction(SIGUSR2, &sa, &old), 0);
  if (!kTsan) {  // which calls handlers later
    RunGo([] {
      auto f = [](auto &stop, auto &began) {
        stop_it = &stop;
        began_it = &began;
        raise(SIGUSR2);
      };
      EXPECT_EQ(Hog(f, false).switches, 0u);
    });
  }
  sigaction(SIGUSR2, &old, nullptr);
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

TEST_F(Switch, ErrnoMaskAndAlternateStack) {
  for (int procs : {1, 2}) {
    INIT(procs);
    std::atomic<int> wrong{0};
    RunGo([&] {
      std::atomic<bool> stop{false};
      go_wg wg{};
      uint64_t before = Switches();
      for (int i = 0; i < 4; i++) {
        SPAWN_WG(&wg, [&stop, &wrong, i] {
          sigset_t mask, now;
          stack_t alt, alt_now;
          pthread_sigmask(SIG_SETMASK, nullptr, &mask);
          sigaltstack(nullptr, &alt);
          while (!stop) {
            errno = 1000 + i;
            SpinFor(20000000, stop);
            if (go_errno() != 1000 + i) wrong++;
            pthread_sigmask(SIG_SETMASK, nullptr, &now);
            for (int s = 1; s < 32; s++) wrong += sigismember(&mask, s) != sigismember(&now, s);
            sigaltstack(nullptr, &alt_now);
            wrong += alt_now.ss_flags != alt.ss_flags || alt_now.ss_size != alt.ss_size;
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

// No two threads have one alternate stack, whoever was stopped on which.
TEST_F(Switch, AlternateStacksStayWithTheirThreads) {
  INIT(4);
  std::atomic<int> wrong{0};
  RunGo([&] {
    std::atomic<bool> stop{false};
    std::atomic<uint32_t> at{0};
    static std::atomic<void *> owner[64];
    static std::atomic<uintptr_t> stack[64];
    for (int i = 0; i < 64; i++) owner[i] = nullptr, stack[i] = 0;
    go_wg wg{};
    uint64_t before = Switches();
    for (int i = 0; i < 8; i++) {
      SPAWN_WG(&wg, [&] {
        while (!stop) {
          SpinFor(5000000, stop);
          go_nopreempt_begin();  // the two belong together
          stack_t alt;
          sigaltstack(nullptr, &alt);
          void *self = reinterpret_cast<void *>(pthread_self());
          uintptr_t sp = reinterpret_cast<uintptr_t>(alt.ss_sp);
          go_nopreempt_end();
          uint32_t slot = at.load();
          bool known = false;
          for (uint32_t n = 0; n < slot && n < 64; n++) {
            if (owner[n] == self) {
              known = true;
              wrong += stack[n] != 0 && stack[n] != sp;
            }
          }
          if (!known && (slot = at++) < 64) {
            stack[slot] = sp;
            owner[slot] = self;
          }
        }
      });
    }
    EXPECT_TRUE(Within([&] { return Switches() >= before + 20; }));
    stop = true;
    go_wg_wait(&wg);
  });
  EXPECT_EQ(wrong, 0);
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

// ---- signals

std::atomic<int> handled;
void Count(int) { handled++; }

struct Handler {
  Handler(int sig, void (*fn)(int)) : sig_(sig) {
    struct sigaction sa {};
    sa.sa_handler = fn;
    sa.sa_flags = SA_RESTART;
    EXPECT_EQ(sigaction(sig, &sa, &old_), 0);
  }
  ~Handler() { sigaction(sig_, &old_, nullptr); }
  int sig_;
  struct sigaction old_;
};

TEST_F(Switch, ChainsToTheHandlerBefore) {
  Handler h(SIGURG, Count);
  INIT(1);
  handled = 0;
  RunGo([] { EXPECT_GE(Hog(JustSpin, true).switches, 2u); });
  EXPECT_EQ(handled, 0) << "golib's own signals are nobody else's";
  for (int i = 1; i <= 3; i++) {
    EXPECT_EQ(raise(SIGURG), 0);
    EXPECT_EQ(handled, i);
  }
  RunGo([] {
    std::atomic<bool> stop{false};
    go_wg wg{};
    SPAWN_WG(&wg, [&] { Spin(stop); });
    EXPECT_EQ(kill(getpid(), SIGURG), 0);
    EXPECT_TRUE(Within([] { return handled == 4; }));
    stop = true;
    go_wg_wait(&wg);
  });
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  struct sigaction now {};
  EXPECT_EQ(sigaction(SIGURG, nullptr, &now), 0);
  EXPECT_EQ(now.sa_handler, Count);
  EXPECT_EQ(raise(SIGURG), 0);
  EXPECT_EQ(handled, 5);
}

TEST_F(Switch, AnotherSignal) {
  for (int sig : {SIGUSR1, SIGRTMIN + 5}) {
    INIT(1, GO_PREEMPT_SWITCH, sig);
    struct sigaction urg {};
    EXPECT_EQ(sigaction(SIGURG, nullptr, &urg), 0);
    EXPECT_EQ(urg.sa_handler, SIG_DFL);
    RunGo([] { EXPECT_GE(Hog(JustSpin, true).switches, 2u); });
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  }
}

// Its default effect is that of whoever sends it; ours are not taken for that.
TEST_F(Switch, AForeignSignalStillEndsTheProcess) {
  if (kTsan) GTEST_SKIP() << "a forked child of it is none";
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    go_config cfg{};
    cfg.preempt_signal = SIGUSR1;
    if (go_init(&cfg) != 0) _exit(1);
    raise(SIGUSR1);
    _exit(2);
  }
  int status;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  if (!Init(1)) GTEST_SKIP() << "nothing is stopped in this kind of build";
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1) << status;
}

TEST_F(Switch, BlockedSignalIsUnblockedForGoroutines) {
  sigset_t urg, old, now;
  sigemptyset(&urg);
  sigaddset(&urg, SIGURG);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &urg, &old), 0);
  bool can = Init(1);
  if (can) RunGo([] { EXPECT_GE(Hog(JustSpin, true).switches, 2u); });
  pthread_sigmask(SIG_SETMASK, nullptr, &now);
  EXPECT_EQ(sigismember(&now, SIGURG), 1);
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

TEST_F(Switch, WrongSettings) {
  go_config cfg{};
  for (int sig : {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, 1000, -1}) {
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

// A call that blocks the thread, and is restarted.
TEST_F(Switch, ReadsAreRestarted) {
  for (int procs : {1, 2}) {
    INIT(procs);
    std::atomic<int> wrong{0};
    RunGo([&] {
      int fds[2];
      ASSERT_EQ(pipe(fds), 0);
      go_wg wg{};
      uint64_t before = Retakes();
      for (int i = 0; i < procs; i++) {
        SPAWN_WG(&wg, [&] {
          char b = 0;
          ssize_t n = read(fds[0], &b, 1);
          wrong += n != 1 || b != 'x';
        });
      }
      EXPECT_TRUE(Within([&] { return Retakes() > before; }));
      for (int i = 0; i < procs; i++) EXPECT_EQ(write(fds[1], "x", 1), 1);
      go_wg_wait(&wg);
      close(fds[0]);
      close(fds[1]);
    });
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  }
}

// Other threads are left in peace.
TEST_F(Switch, ThreadsOfOthersSeeNothing) {
  INIT(1);
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  std::atomic<ssize_t> got{-1};
  std::thread t([&] {
    char b;
    got = read(fds[0], &b, 1);
  });
  RunGo([] { EXPECT_GE(Hog(JustSpin, true).switches, 2u); });
  EXPECT_EQ(write(fds[1], "x", 1), 1);
  t.join();
  EXPECT_EQ(got, 1);
  close(fds[0]);
  close(fds[1]);
}

TEST_F(Switch, Fork) {
  if (kTsan) GTEST_SKIP() << "a forked child of it is none";
  INIT(1);
  std::atomic<int> status{-1};
  RunGo([&] {
    TicksBeside(
        2,
        [&](const auto &stop) {
          if (status == -1) {
            status = -2;
            pid_t pid = fork();
            if (pid == 0) {
              raise(SIGURG);
              for (volatile int i = 0; i < 1000000; i = i + 1) {}
              _exit(7);
            }
            int s = 0;
            while (waitpid(pid, &s, 0) < 0 && errno == EINTR) {}
            status = s;
          }
          Spin(stop);
        },
        10);
  });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7) << status;
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
