// A dump when a signal asks for one: go_config.dump_signal, GOLIB_DEBUG=sigquit.

#include <golib/golib.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "tests/support/child.h"
#include "tests/support/golib_test.h"

using golib_test::ChildResult;
using golib_test::RunChild;

namespace {

#if !defined(_WIN32)
extern "C" {
__attribute__((noinline)) void crash_test_waits(void *p) {
  go_set_name("sleeper");
  (void)go_chan_recv(static_cast<go_chan *>(p), nullptr);
  __asm__ volatile("");
}
// Interrupted here.
int interrupted;
__attribute__((noinline, no_sanitize("thread", "address"))) void crash_test_busy() {
  while (__atomic_load_n(&interrupted, __ATOMIC_RELAXED) == 0) {}
  __asm__ volatile("");
}
}

int Body(int sig) {
  static int which;
  which = sig;
  return go_main(
      [](int, char **) {
        go_set_name("busy");
        go_chan *c = go_chan_new(sizeof(int), 0);
        CHILD_CHECK(go_spawn(crash_test_waits, c) == 0);
        for (int i = 0; i < 10; i++) go_yield();
        (void)go_sleep(nullptr, 5 * GO_MS);
        pthread_t self = pthread_self();
        std::thread([self] {
          (void)std::this_thread::sleep_for(std::chrono::milliseconds(50));
          pthread_kill(self, which);
        }).detach();
        crash_test_busy();
        int v = 1;
        go_chan_send(c, &v);  // and the program goes on
        fprintf(stderr, "went on\n");
        return 7;
      },
      0, nullptr);
}

void ExpectDump(const ChildResult &r) {
  EXPECT_EQ(r.code, 7) << r;
  EXPECT_TRUE(r.Said("golib: goroutines:\n")) << r;
  EXPECT_TRUE(r.Said("\"sleeper\"")) << r;
  EXPECT_TRUE(r.Said("crash_test_waits+")) << r;
  EXPECT_TRUE(r.Said("crash_test_busy+")) << r;  // the backtrace of what was interrupted
  EXPECT_TRUE(r.Said("went on")) << r;
}

#define SKIP_TSAN()                                                              \
  if (golib_test::kTsan) {                                                       \
    GTEST_SKIP() << "ThreadSanitizer delivers signals late, in code of its own"; \
  }

TEST(DumpSignal, ByConfig) {
  SKIP_TSAN();
  ExpectDump(RunChild([] {
    go_config c{};
    c.dump_signal = SIGUSR2;
    signal(SIGUSR2, [](int) {
      __atomic_store_n(&interrupted, 1, __ATOMIC_RELAXED);
    });  // called after the dump
    CHILD_CHECK(go_init(&c) == 0);
    return Body(SIGUSR2);
  }));
}

TEST(DumpSignal, ByEnvironment) {
  SKIP_TSAN();
  ExpectDump(RunChild([] {
    golib_test::SetEnv("GOLIB_DEBUG", "sigquit");
    signal(SIGQUIT, [](int) { __atomic_store_n(&interrupted, 1, __ATOMIC_RELAXED); });
    return Body(SIGQUIT);
  }));
}

TEST(DumpSignal, NotAskedFor) {
  ChildResult r = RunChild([] { return Body(SIGQUIT); });
  EXPECT_EQ(r.signal, SIGQUIT) << r;
  EXPECT_FALSE(r.Said("goroutines:")) << r;
}
#endif

// On Windows there is none that a process is sent by another.
#if defined(_WIN32)
constexpr int kNotToBeCaught = SIGINT;
#else
constexpr int kNotToBeCaught = SIGKILL;
#endif
TEST(DumpSignal, OutOfRange) {
  ChildResult r = RunChild([] {
    go_config c{};
    for (int sig : {-1, 10000, kNotToBeCaught}) {
      c.dump_signal = sig;
      CHILD_CHECK(go_init(&c) == GO_EINVAL);
    }
    c.dump_signal = 0;
    CHILD_CHECK(go_init(&c) == 0);
    CHILD_CHECK(go_shutdown(GO_FOREVER) == 0);
    return 0;
  });
  EXPECT_EQ(r.code, 0) << r;
}

#if !defined(_WIN32)
std::atomic<int> before;
TEST(DumpSignal, EarlierHandlersAreCalledAndComeBack) {
  ChildResult r = RunChild([] {
    signal(SIGUSR2, [](int) { before++; });
    go_config c{};
    c.dump_signal = SIGUSR2;
    for (int i = 0; i < 3; i++) {
      CHILD_CHECK(go_init(&c) == 0);
      raise(SIGUSR2);
      CHILD_CHECK(before == 2 * i + 1);
      CHILD_CHECK(go_shutdown(GO_FOREVER) == 0);
      raise(SIGUSR2);
      CHILD_CHECK(before == 2 * i + 2);
    }
    return 0;
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_EQ(r.Count("golib: goroutines:"), 3) << r;
}

TEST(DumpSignal, UnknownWords) {
  ChildResult r = RunChild([] {
    golib_test::SetEnv("GOLIB_DEBUG", "sigquti,,sigquit");
    CHILD_CHECK(go_init(nullptr) == 0);
    raise(SIGQUIT);
    return 0;
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_TRUE(r.Said("golib: GOLIB_DEBUG: unknown: sigquti\n")) << r;
  EXPECT_TRUE(r.Said("golib: goroutines:")) << r;
}
#endif

}  // namespace
