// What happens when memory, address space, threads or mappings run out: codes, not aborts. Each in
// a child process, as limits cannot be taken back.

#include <golib/golib.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string>
#include <thread>

#include "tests/support/child.h"
#include "tests/support/golib_test.h"

using golib_test::ChildResult;
using golib_test::kSanitized;
using golib_test::LimitAddressSpace;
using golib_test::RunChild;

namespace {

// The usual stacks: tools/emu gives emulated programs smaller ones.
[[maybe_unused]] const int kUsual = golib_test::UnsetEnv("GOLIB_STACK");

int RunMain(int (*fn)(int, char **)) { return go_main(fn, 0, nullptr); }

struct Crowd {
  go_chan *gate;
  go_wg wg;
  std::atomic<int> waiting;
};
void Wait(void *p) {
  Crowd *c = static_cast<Crowd *>(p);
  c->waiting++;
  (void)go_chan_recv(c->gate, nullptr);
  go_wg_done(&c->wg);
}

// Starts goroutines that wait until no more can be started; then lets them go. Returns how many
// there were.
int UntilFull(Crowd *c, int most, int *ret_code) {
  int n = 0;
  *ret_code = 0;
  c->waiting = 0;
  for (; n < most; n++) {
    go_wg_add(&c->wg, 1);
    int rc = go_spawn(Wait, c);
    if (rc != 0) {
      go_wg_done(&c->wg);
      *ret_code = rc;
      break;
    }
    if (n % 64 == 0) go_yield();
  }
  while (c->waiting < n) go_yield();
  for (int i = 0; i < n; i++) go_chan_send(c->gate, nullptr);
  go_wg_wait(&c->wg);
  return n;
}

// Address space runs out: go_spawn says GO_ENOMEM, nobody is hurt, and goroutines can be started
// again.
TEST(Limits, AddressSpaceForStacks) {
  SKIP_IF_ADDRESS_SPACE_IS_UNLIMITED();
  if (kSanitized) GTEST_SKIP() << "sanitizers need all address space";
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      LimitAddressSpace(static_cast<size_t>(20) << 30);  // some 300 stacks more
      static Crowd c;
      c.gate = go_chan_new(0, 0);
      CHILD_CHECK(c.gate != nullptr);
      for (int round = 0; round < 3; round++) {
        int rc = 0;
        int n = UntilFull(&c, 1000000, &rc);
        CHILD_CHECK(rc == GO_ENOMEM || rc == GO_EAGAIN);
        CHILD_CHECK(n > 10);
      }
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

// Of several sizes, and with arguments that need a stack at once.
TEST(Limits, AddressSpaceForOtherStacks) {
  SKIP_IF_ADDRESS_SPACE_IS_UNLIMITED();
  if (kSanitized) GTEST_SKIP() << "sanitizers need all address space";
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      LimitAddressSpace(static_cast<size_t>(4) << 30);
      static Crowd c;
      c.gate = go_chan_new(0, 0);
      CHILD_CHECK(c.gate != nullptr);
      for (size_t size : {static_cast<size_t>(1) << 30, static_cast<size_t>(256) << 20,
                          static_cast<size_t>(1) << 20}) {
        go_spawn_opts o{};
        o.stack_size = size;
        o.name = "sized";
        int n = 0, rc = 0;
        c.waiting = 0;
        for (; n < 100000; n++) {
          go_wg_add(&c.wg, 1);
          rc = go_spawn_opt(&o, Wait, &c, 0);
          if (rc != 0) {
            go_wg_done(&c.wg);
            break;
          }
        }
        CHILD_CHECK(rc == GO_ENOMEM || rc == GO_EAGAIN);
        while (c.waiting < n) go_yield();
        for (int i = 0; i < n; i++) go_chan_send(c.gate, nullptr);
        go_wg_wait(&c.wg);
      }
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

TEST(Limits, ChannelsThatDoNotFit) {
  SKIP_IF_ADDRESS_SPACE_IS_UNLIMITED();
  if (kSanitized) GTEST_SKIP() << "sanitizers need all address space";
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      LimitAddressSpace(static_cast<size_t>(256) << 20);
      CHILD_CHECK(go_chan_new(1, static_cast<size_t>(1) << 30) == nullptr);
      CHILD_CHECK(go_chan_new(static_cast<size_t>(1) << 30, 1) == nullptr);
      CHILD_CHECK(go_chan_new_destroy(8, static_cast<size_t>(1) << 40, [](void *) {}) == nullptr);
      go_chan *c = go_chan_new(1, 1000);
      CHILD_CHECK(c != nullptr);
      go_chan_unref(c);
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

// Small heap: many small channels until NULL, then all back.
TEST(Limits, ManyChannels) {
  SKIP_IF_ADDRESS_SPACE_IS_UNLIMITED();
  if (kSanitized) GTEST_SKIP() << "sanitizers need all address space";
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      LimitAddressSpace(static_cast<size_t>(64) << 20);
      static go_chan *all[1000000];
      int n = 0;
      while (n < 1000000 && (all[n] = go_chan_new(64, 16)) != nullptr) n++;
      CHILD_CHECK(n > 100 && n < 1000000);
      for (int i = 0; i < n; i++) go_chan_unref(all[i]);
      go_chan *c = go_chan_new(64, 16);
      CHILD_CHECK(c != nullptr);
      go_chan_unref(c);
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

// The scheduler cannot be started at all: go_run, go_init and go_main say so.
TEST(Limits, NoRoomToStart) {
  SKIP_IF_ADDRESS_SPACE_IS_UNLIMITED();
  if (kSanitized) GTEST_SKIP() << "sanitizers need all address space";
  for (size_t more :
       {static_cast<size_t>(0), static_cast<size_t>(1) << 20, static_cast<size_t>(64) << 20}) {
    ChildResult r = RunChild([more] {
      LimitAddressSpace(more);
      int rc = go_run([](void *) {}, nullptr);
      // 64 MiB may be enough for a scheduler with smaller stacks.
      CHILD_CHECK(rc == GO_ENOMEM || rc == GO_EAGAIN || rc == 0);
      rc = RunMain([](int, char **) { return 5; });
      CHILD_CHECK(rc == GO_ENOMEM || rc == GO_EAGAIN || rc == 5);
      return rc == 5 ? 5 : 0;
    });
    EXPECT_TRUE(r.code == 0 || r.code == 5) << r;
    EXPECT_EQ(r.Count("golib: go_main: the scheduler cannot be started: "), r.code == 0 ? 1 : 0)
        << r;
    EXPECT_TRUE(more != 0 || r.code == 0) << r;
  }
}

// GOLIB_STACK chooses the default stack; nonsense in it does no harm.
TEST(Limits, StackSizeFromTheEnvironment) {
  if (kSanitized) GTEST_SKIP() << "another default";
  for (const char *text : {"256K", "1M", "64M", "1G", "65536"}) {
    ChildResult r = RunChild([text] {
      golib_test::SetEnv("GOLIB_STACK", text);
      return RunMain([](int, char **) { return 0; });
    });
    EXPECT_EQ(r.code, 0) << text << ": " << r;
  }
  ChildResult small = RunChild([] {
    golib_test::SetEnv("GOLIB_STACK", "256K");
    return RunMain([](int, char **) {
      static char half[(128 << 10) + 1];
      CHILD_CHECK(go_spawn_copy([](void *) {}, half, sizeof half) == GO_EINVAL);
      CHILD_CHECK(go_spawn_copy([](void *) {}, half, sizeof half - 1) == 0);
      while (go_count() > 1) go_yield();
      return 0;
    });
  });
  EXPECT_EQ(small.code, 0) << small;
  for (const char *text : {"", "x", "0", "-5", "1T", "99999999999999999999", "64Mx"}) {
    ChildResult r = RunChild([text] {
      golib_test::SetEnv("GOLIB_STACK", text);
      int rc = go_run([](void *) {}, nullptr);
      CHILD_CHECK(rc == 0 || rc == GO_EINVAL);
      return 0;
    });
    EXPECT_EQ(r.code, 0) << text << ": " << r;
  }
}

// A size that is one but out of range: it is said, or the default is taken; no crash without a
// word.
TEST(Limits, StackSizeFromTheEnvironmentOutOfRange) {
  for (const char *text : {"1K", "8192", "2G", "1024G"}) {
    ChildResult r = RunChild([text] {
      golib_test::SetEnv("GOLIB_STACK", text);
      return go_run([](void *) {}, nullptr) == 0 ? 0 : 1;
    });
    EXPECT_TRUE(r.code == 0 || r.Said("GOLIB_STACK")) << text << ": " << r;
  }
}

// Go: TestThreadExhaustion (runtime/crash_test.go): all threads that there may be are wired to
// goroutines that wait, and somebody else is to run: a clear message.
TEST(Limits, AllThreadsAreWired) {
  ChildResult r = RunChild([] {
    go_config cfg{};
    cfg.max_threads = 4;
    cfg.procs = 2;
    CHILD_CHECK(go_init(&cfg) == 0);
    return RunMain([](int, char **) {
      static go_chan *gate;
      gate = go_chan_new(0, 0);
      for (int i = 0; i < 10; i++) {
        CHILD_CHECK(go_spawn(
                        [](void *) {
                          go_lock_thread();
                          (void)go_chan_recv(gate, nullptr);
                        },
                        nullptr) == 0);
      }
      for (;;) go_yield();
      return 0;
    });
  });
  EXPECT_TRUE(r.signal == SIGABRT || r.code == 2) << r;
  EXPECT_TRUE(r.Said("thread")) << r;
}

// As many wired goroutines as threads, minus one for the others, is fine.
TEST(Limits, AlmostAllThreadsAreWired) {
  ChildResult r = RunChild([] {
    go_config cfg{};
    cfg.max_threads = 6;
    cfg.procs = 2;
    CHILD_CHECK(go_init(&cfg) == 0);
    return RunMain([](int, char **) {
      static go_wg wg;
      for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 3; i++) {
          go_wg_add(&wg, 1);
          CHILD_CHECK(go_spawn(
                          [](void *) {
                            go_lock_thread();
                            for (int j = 0; j < 10; j++) go_yield();
                            (void)go_sleep(nullptr, 100 * GO_US);
                            go_wg_done(&wg);
                          },
                          nullptr) == 0);
        }
        go_wg_wait(&wg);
      }
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

// GOMAXPROCS likewise.
TEST(Limits, ProcsFromTheEnvironment) {
  for (const char *text : {"1", "3", "1024", "4096", "", "0", "-1", "x", "99999999999999999999"}) {
    ChildResult r = RunChild([text] {
      golib_test::SetEnv("GOMAXPROCS", text);
      return RunMain([](int, char **) { return go_procs(0) > 255 ? 255 : go_procs(0); });
    });
    EXPECT_GE(r.code, 1) << text << ": " << r;
    if (std::string(text) == "3") {
      EXPECT_EQ(r.code, 3);
    }
    EXPECT_EQ(r.signal, 0) << text << ": " << r;
  }
}

#if !defined(_WIN32)
// No more threads: RLIMIT_NPROC binds users other than root, so the child becomes one.
bool BecomeAUserWithThreads(rlim_t threads) {
  if (geteuid() == 0) {
    // Some number that nobody has: its processes are counted apart.
    uid_t uid = 40000 + static_cast<uid_t>(getpid() % 20000);
    if (setgid(uid) != 0 || setuid(uid) != 0) return false;
  }
  struct rlimit l = {threads, threads};
  return setrlimit(RLIMIT_NPROC, &l) == 0;
}

TEST(Limits, NoFirstGoroutine) {
  for (bool main_thread : {false, true}) {
    ChildResult r = RunChild([=] {
      go_config cfg{};
      cfg.max_goroutines = 1;
      cfg.main_thread = main_thread;
      CHILD_CHECK(go_init(&cfg) == 0);
      static go_chan *c = go_chan_new(0, 0);
      CHILD_CHECK(go_post([](void *) { (void)go_chan_recv(c, nullptr); }, nullptr) == 0);
      int rc = RunMain([](int, char **) { return 5; });
      CHILD_CHECK(rc == GO_EAGAIN);
      go_chan_send(c, nullptr);
      CHILD_CHECK(go_shutdown(GO_FOREVER) == 0);
      return 0;
    });
    EXPECT_EQ(r.code, 0) << r;
    EXPECT_EQ(r.Count("golib: go_main: the first goroutine cannot be started: "), 1) << r;
  }
}

// No descriptors left: GO_MAIN's exit status would be all that there is to see. Nothing is left open by what has failed.
TEST(Limits, NoDescriptors) {
  ChildResult r = RunChild([] {
    struct rlimit all;
    CHILD_CHECK(getrlimit(RLIMIT_NOFILE, &all) == 0);
    int failed = 0, rc = 0;
    for (rlim_t n = 0; rc != 5; n++) {
      CHILD_CHECK(n < 100);
      for (int i = 0; i < 3; i++) {
        struct rlimit few = {n, all.rlim_max};
        CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
        rc = RunMain([](int, char **) { return 5; });
        CHILD_CHECK(rc == -EMFILE || rc == 5);
        failed += rc != 5;
      }
    }
    CHILD_CHECK(failed > 3);
    fprintf(stderr, "failed %d times\n", failed);
    CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &all) == 0);
    CHILD_CHECK(go_shutdown(GO_FOREVER) == 0);
    return RunMain([](int, char **) { return 6; });
  });
  EXPECT_EQ(r.code, 6) << r;
  int poller =
      r.Count("golib: go_main: the scheduler cannot be started: its poller: Too many open files\n");
  int threads = r.Count(
      "golib: go_main: the scheduler cannot be started: its threads: Too many open files\n");
  EXPECT_GT(poller, 0) << r;
  EXPECT_GT(threads, 0) << r;
  EXPECT_TRUE(r.Said("failed " + std::to_string(poller + threads) + " times\n")) << r;
}

TEST(Limits, NoThreadAtAll) {
  ChildResult r = RunChild([] {
    if (geteuid() != 0 || !BecomeAUserWithThreads(1)) return 77;
    int rc = go_run([](void *) {}, nullptr);
    CHILD_CHECK(rc == GO_EAGAIN || rc == GO_ENOMEM);
    CHILD_CHECK(RunMain([](int, char **) { return 5; }) != 5);
    CHILD_CHECK(go_init(nullptr) != 0);
    return 0;
  });
  if (r.code == 77) GTEST_SKIP() << "needs root, to become somebody else";
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_EQ(r.Count("golib: go_main: the scheduler cannot be started: its threads: "), 1) << r;
}

// A few threads only: the work is done with those there are.
TEST(Limits, FewThreads) {
  for (rlim_t threads : {2u, 3u, 4u}) {
    ChildResult r = RunChild([threads] {
      if (geteuid() != 0 || !BecomeAUserWithThreads(threads + (golib_test::kTsan ? 1 : 0)))
        return 77;
      int rc = go_run(
          [](void *) {
            (void)go_procs(16);
            static std::atomic<int> n;
            go_wg wg{};
            go_wg_add(&wg, 200);
            for (int i = 0; i < 200; i++) {
              CHILD_CHECK(go_spawn(
                              [](void *p) {
                                for (int j = 0; j < 20; j++) go_yield();
                                usleep(100);
                                (void)go_sleep(nullptr, 100 * GO_US);
                                n++;
                                go_wg_done(static_cast<go_wg *>(p));
                              },
                              &wg) == 0);
            }
            go_wg_wait(&wg);
            CHILD_CHECK(n == 200);
          },
          nullptr);
      CHILD_CHECK(rc == 0 || rc == GO_EAGAIN);
      return rc == 0 ? 0 : 78;
    });
    if (r.code == 77) GTEST_SKIP() << "needs root, to become somebody else";
    // With two threads, one of which is ours, golib may need more than is left.
    EXPECT_TRUE(r.code == 0 || (r.code == 78 && threads == 2)) << r;
  }
}
#endif

}  // namespace
