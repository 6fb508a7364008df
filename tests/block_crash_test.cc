// Misuse of go_blocking, and what the deadlock detector makes of it.
#include <golib/golib.h>
#include <unistd.h>

#include "tests/support/child.h"

using golib_test::ChildResult;
using golib_test::RunChild;

namespace {

int RunMain(int (*fn)(int, char **)) { return go_main(fn, 0, nullptr); }

void ExpectFatal(const ChildResult &r, const char *text) {
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said(std::string("golib: fatal: ") + text)) << r;
}

TEST(BlockCrash, NoFunction) {
  ExpectFatal(RunChild([] {
                go_blocking(nullptr, nullptr);
                return 0;
              }),
              "go_blocking: fn is NULL");
}

TEST(BlockCrash, EndWithoutBegin) {
  const char text[] = "go_blocking_end without go_blocking_begin";
  ExpectFatal(RunChild([] {
                go_blocking_end();
                return 0;
              }),
              text);
  ExpectFatal(RunChild([] {
                return RunMain([](int, char **) {
                  go_blocking_begin();
                  go_blocking_end();
                  go_blocking_end();
                  return 0;
                });
              }),
              text);
}

TEST(BlockCrash, BeginTwice) {
  const char text[] = "go_blocking_begin: called twice without go_blocking_end";
  ExpectFatal(RunChild([] {
                return RunMain([](int, char **) {
                  go_blocking_begin();
                  go_blocking_begin();
                  return 0;
                });
              }),
              text);
  ExpectFatal(RunChild([] {
                go_blocking_begin();
                go_blocking([](void *) { go_blocking_begin(); }, nullptr);
                return 0;
              }),
              text);
}

TEST(BlockCrash, FunctionThatBeginsAndDoesNotEnd) {
  ExpectFatal(RunChild([] {
                return RunMain([](int, char **) {
                  go_blocking([](void *) { go_blocking_begin(); }, nullptr);
                  return 0;
                });
              }),
              "go_blocking: go_blocking_begin without go_blocking_end in the function");
}

TEST(BlockCrash, FunctionThatEndsWhatItDidNotBegin) {
  ExpectFatal(RunChild([] {
                return RunMain([](int, char **) {
                  go_blocking_begin();
                  go_blocking([](void *) { go_blocking_end(); }, nullptr);
                  return 0;
                });
              }),
              "go_blocking: go_blocking_end without go_blocking_begin in the function");
}

TEST(BlockCrash, GoroutineThatEndsInBetween) {
  ExpectFatal(RunChild([] {
                return RunMain([](int, char **) {
                  CHILD_CHECK(go_spawn([](void *) { go_blocking_begin(); }, nullptr) == 0);
                  return go_chan_recv(nullptr, nullptr) ? 1 : 0;
                });
              }),
              "a goroutine ended between go_blocking_begin and go_blocking_end");
}

// An overflow inside is the goroutine's.
volatile char sink;
__attribute__((noinline)) int Recurse(int n) {
  volatile char frame[4096];
  frame[0] = static_cast<char>(n);
  sink = frame[0];
  return n < 0 ? 0 : Recurse(n + 1) + frame[0];
}
TEST(BlockCrash, StackOverflowInside) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers report it in their own words";
#endif
  ChildResult r = RunChild([] {
    go_config cfg{};
    cfg.stack_size = 256 << 10;
    CHILD_CHECK(go_init(&cfg) == 0);
    return RunMain([](int, char **) {
      go_blocking([](void *) { (void)Recurse(0); }, nullptr);
      return 0;
    });
  });
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said("golib: stack overflow: goroutine 1")) << r;
}

// A panic that nobody catches ends the goroutine; go_main's ends the process.
TEST(BlockCrash, PanicInMain) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      go_blocking([](void *) { go_panic("bang"); }, nullptr);
      return 0;
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("panic: bang")) << r;
}

// ---- The deadlock detector.

// A thread in foreign code may do something yet.
TEST(BlockCrash, NoDeadlockWhileBlocked) {
  for (bool locked : {false, true}) {
    static bool lock;
    lock = locked;
    ChildResult r = RunChild([] {
      static go_chan *c = go_chan_new(0, 0);
      return RunMain([](int, char **) {
        CHILD_CHECK(go_spawn(
                        [](void *) {
                          if (lock) go_lock_thread();
                          go_blocking([](void *) { usleep(100000); }, nullptr);
                          go_blocking_begin();
                          usleep(100000);
                          go_blocking_end();
                          go_chan_close(c);
                        },
                        nullptr) == 0);
        return go_chan_recv(c, nullptr) ? 1 : 6;
      });
    });
    EXPECT_EQ(r.code, 6) << r;
    EXPECT_EQ(r.err, "");
  }
}

TEST(BlockCrash, NoDeadlockWhileMainIsBlocked) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      go_blocking([](void *) { usleep(100000); }, nullptr);
      return 7;
    });
  });
  EXPECT_EQ(r.code, 7) << r;
}

// Unless it waits in golib, where nobody can wake it.
TEST(BlockCrash, DeadlockInside) {
  SKIP_IF_DEADLOCKS_GO_UNSEEN();
  for (bool locked : {false, true}) {
    static bool lock;
    lock = locked;
    ChildResult r = RunChild([] {
      return RunMain([](int, char **) {
        if (lock) go_lock_thread();
        go_blocking(
            [](void *) {
              go_chan *c = go_chan_new(0, 0);
              (void)go_chan_recv(c, nullptr);
            },
            nullptr);
        return 0;
      });
    });
    EXPECT_EQ(r.code, 2) << r;
    EXPECT_EQ(r.Count("all goroutines are asleep - deadlock!"), 1) << r;
    EXPECT_TRUE(r.Said("chan receive")) << r;
  }
}

// And after it came back.
TEST(BlockCrash, DeadlockAfterwards) {
  SKIP_IF_DEADLOCKS_GO_UNSEEN();
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      for (int i = 0; i < 5; i++) {
        CHILD_CHECK(go_spawn(
                        [](void *) {
                          go_blocking([](void *) { usleep(20000); }, nullptr);
                          (void)go_chan_recv(nullptr, nullptr);
                        },
                        nullptr) == 0);
      }
      go_blocking([](void *) { usleep(10000); }, nullptr);
      return go_chan_recv(nullptr, nullptr) ? 1 : 0;
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("all goroutines are asleep - deadlock!")) << r;
}

}  // namespace
