// GO_PREEMPT_SWITCH where a signal does it: masks, alternate stacks, handlers of others, calls that are interrupted, fork.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <thread>

#include "tests/support/child.h"
#include "tests/support/golib_test.h"
#include "tests/support/hogs.h"
#include "tests/support/switch.h"

using namespace golib_test;

namespace {

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

}  // namespace
