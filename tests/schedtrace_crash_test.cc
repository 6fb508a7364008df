// GOLIB_DEBUG=schedtrace=MS: lines come, and the thread that prints them hides nothing.

#include <golib/golib.h>
#include <stdlib.h>

#include "tests/support/child.h"

using golib_test::ChildResult;
using golib_test::RunChild;

namespace {

TEST(SchedTrace, Lines) {
  ChildResult r = RunChild([] {
    golib_test::SetEnv("GOLIB_DEBUG", "schedtrace=20");
    for (int i = 0; i < 2; i++) {  // it ends with the scheduler, and comes back
      CHILD_CHECK(
          go_run([](void *) { CHILD_CHECK(go_sleep(nullptr, 200 * GO_MS) == 0); }, nullptr) == 0);
      CHILD_CHECK(go_shutdown(GO_FOREVER) == 0);
    }
    return 0;
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_GE(r.Count("golib: sched "), 2) << r;
  EXPECT_GE(r.Count(" goroutines=1 "), 1) << r;
  EXPECT_TRUE(r.Said(" retakes=")) << r;
}

TEST(SchedTrace, WhileAGoroutineHogs) {
  ChildResult r = RunChild([] {
    golib_test::SetEnv("GOLIB_DEBUG", "schedtrace=20");
    golib_test::SetEnv("GOMAXPROCS", "1");
    return go_run(
        [](void *) {
          for (go_nsec end = go_now() + 300 * GO_MS; go_now() < end;) {}
        },
        nullptr);
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_GE(r.Count("golib: sched "), 1) << r;
}

TEST(SchedTrace, ADeadlockIsStillOne) {
  SKIP_IF_DEADLOCKS_GO_UNSEEN();
  ChildResult r = RunChild([] {
    golib_test::SetEnv("GOLIB_DEBUG", "schedtrace=10");
    return go_main(
        [](int, char **) {
          go_chan_recv(nullptr, nullptr);
          return 0;
        },
        0, nullptr);
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("all goroutines are asleep")) << r;
}

TEST(SchedTrace, BadNumbers) {
  ChildResult r = RunChild([] {
    golib_test::SetEnv("GOLIB_DEBUG", "schedtrace=0");
    return go_run([](void *) {}, nullptr);
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_TRUE(r.Said("GOLIB_DEBUG: unknown: schedtrace=0")) << r;
}

}  // namespace
