// Hogs in processes of their own: what settings do, and systems that cannot do it the usual way.
#include <golib/golib.h>
#if defined(__linux__)
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <thread>

#include "tests/support/child.h"
#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

int RunMain(int (*fn)(int, char **)) { return go_main(fn, 0, nullptr); }

void SpinFor(go_nsec ns) {
  for (go_nsec until = go_now() + ns; go_now() < until;) {}
}

// Go: when main returns the program ends; nobody waits for the other goroutines, whatever they do.
TEST(RetakeCrash, MainDoesNotWait) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      CHILD_CHECK(go_spawn([](void *) { (void)go_sleep(nullptr, GO_HOUR); }, nullptr) == 0);
      CHILD_CHECK(go_spawn([](void *) { (void)go_chan_recv(nullptr, nullptr); }, nullptr) == 0);
      CHILD_CHECK(go_spawn(
                      [](void *) {
                        for (;;) go_yield();
                      },
                      nullptr) == 0);
      CHILD_CHECK(go_spawn(
                      [](void *) {
                        for (volatile int i = 0;; i = i + 1) {}
                      },
                      nullptr) == 0);
      CHILD_CHECK(go_spawn([](void *) { std::this_thread::sleep_for(std::chrono::hours(1)); },
                           nullptr) == 0);
      (void)go_sleep(nullptr, 5 * GO_MS);
      CHILD_CHECK(go_id() == 1);
      return 4;
    });
  });
  EXPECT_EQ(r.code, 4) << r;
  EXPECT_EQ(r.err, "");
}

// A goroutine that runs without a P may do something yet; and when it does not, that is found out.
TEST(RetakeCrash, DeadlockWaitsForHogs) {
  SKIP_IF_DEADLOCKS_GO_UNSEEN();
  ChildResult r = RunChild([] {
    SetEnv("GOMAXPROCS", "1");
    return RunMain([](int, char **) {
      static std::atomic<bool> ran;
      static go_chan *c = go_chan_new(0, 0);
      CHILD_CHECK(go_spawn(
                      [](void *) {
                        CHILD_CHECK(go_spawn([](void *) { ran = true; }, nullptr) == 0);
                        while (!ran) {}
                        usleep(100000);  // all others are asleep for long
                        fputs("hog\n", stderr);
                        fflush(stderr);
                        go_chan_send(c, nullptr);
                        SpinFor(20 * GO_MS);
                      },
                      nullptr) == 0);
      (void)go_chan_recv(c, nullptr);
      fputs("main\n", stderr);
      fflush(stderr);
      (void)go_chan_recv(c, nullptr);
      return 0;
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_EQ(r.err.rfind("hog\nmain\ngolib: fatal: all goroutines are asleep - deadlock!", 0), 0u)
      << r;
}

TEST(Settings, Wrong) {
  for (const char *name : {"GOLIB_WATCHDOG", "GOLIB_RETAKE"}) {
    for (const char *value : {"x", "-1", "10ms", "99999999999"}) {
      ChildResult r = RunChild([=] {
        SetEnv(name, value);
        return RunMain([](int, char **) { return 0; });
      });
      EXPECT_EQ(r.signal, SIGABRT) << r;
      EXPECT_TRUE(r.Said(std::string("golib: fatal: ") + name + "=" + value + ": not a number"))
          << r;
    }
  }
  ChildResult r = RunChild([] {
    go_config cfg{};
    cfg.watchdog = -1;
    return go_init(&cfg) == GO_EINVAL ? 0 : 1;
  });
  EXPECT_EQ(r.code, 0) << r;
}

// What a hog does to others when nothing is ever taken from it, and when everything is.
int HogBesideSleeper(int, char **) {
  static std::atomic<bool> slept;
  static go_wg wg;
  go_wg_add(&wg, 1);
  CHILD_CHECK(go_spawn(
                  [](void *) {
                    for (go_nsec until = go_now() + 2 * GO_SEC; !slept && go_now() < until;) {}
                    go_wg_done(&wg);
                  },
                  nullptr) == 0);
  (void)go_sleep(nullptr, 10 * GO_MS);
  slept = true;
  go_nsec now = go_now();
  go_wg_wait(&wg);
  (void)now;
  return 0;
}

TEST(Settings, RetakeOff) {
  ChildResult r = RunChild([] {
    SetEnv("GOMAXPROCS", "1");
    SetEnv("GOLIB_RETAKE", "0");
    go_nsec start = go_now();
    int rc = RunMain(HogBesideSleeper);
    CHILD_CHECK(go_now() - start >= 1900 * GO_MS);
    return rc;
  });
  EXPECT_EQ(r.code, 0) << r;
}

TEST(Settings, RetakeSooner) {
  ChildResult r = RunChild([] {
    SetEnv("GOMAXPROCS", "1");
    SetEnv("GOLIB_RETAKE", "100");
    go_nsec start = go_now();
    int rc = RunMain(HogBesideSleeper);
    CHILD_CHECK(go_now() - start < 1900 * GO_MS);
    return rc;
  });
  EXPECT_EQ(r.code, 0) << r;
}

#if defined(__linux__)

// A system without membarrier, or one that forbids it.
void Forbid(int nr) {
  struct sock_filter f[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(nr), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog prog = {sizeof f / sizeof f[0], f};
  CHILD_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  CHILD_CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0);
  CHILD_CHECK(syscall(nr, 0, 0, 0) < 0);
}

int Mixed(int, char **) {
  static std::atomic<int> n;
  static go_wg wg;
  for (int i = 0; i < 4; i++) {
    go_wg_add(&wg, 1);
    CHILD_CHECK(go_spawn(
                    [](void *) {
                      for (int k = 0; k < 5; k++) {
                        SpinFor(15 * GO_MS);
                        go_wg_add(&wg, 1);
                        CHILD_CHECK(go_spawn(
                                        [](void *) {
                                          n++;
                                          go_wg_done(&wg);
                                        },
                                        nullptr) == 0);
                        go_yield();
                      }
                      go_wg_done(&wg);
                    },
                    nullptr) == 0);
  }
  go_wg_wait(&wg);
  CHILD_CHECK(n == 20);
  return HogBesideSleeper(0, nullptr);
}

TEST(Settings, WithoutMembarrier) {
  if (golib_test::Emulated()) GTEST_SKIP() << "the emulator has no system call filters";
  ChildResult r = RunChild([] {
    SetEnv("GOMAXPROCS", "1");
    Forbid(SYS_membarrier);
    go_nsec start = go_now();
    int rc = RunMain(Mixed);
    CHILD_CHECK(go_now() - start < 2300 * GO_MS);  // 300 ms of work; 2 s more if nothing was taken
    return rc;
  });
  EXPECT_EQ(r.code, 0) << r;
}

#endif

#if !defined(_WIN32)

// A child of a process with hogs does what children may do.
TEST(RetakeCrash, ForkBesideHogs) {
  ChildResult r = RunChild([] {
    SetEnv("GOMAXPROCS", "1");
    return RunMain([](int, char **) {
      static std::atomic<bool> stop;
      for (int i = 0; i < 3; i++) {
        CHILD_CHECK(go_spawn(
                        [](void *) {
                          while (!stop) {}
                        },
                        nullptr) == 0);
      }
      for (int i = 0; i < 5; i++) {
        (void)go_sleep(nullptr, 5 * GO_MS);
        pid_t pid = fork();
        if (pid == 0) _exit(go_spawn([](void *) {}, nullptr) == GO_EFORKED ? 0 : 1);
        int status = 0;
        CHILD_CHECK(waitpid(pid, &status, 0) == pid && status == 0);
      }
      stop = true;
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

#endif

}  // namespace
