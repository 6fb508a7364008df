// Misuse of condition variables.

#include <golib/golib.h>

#include <csignal>

#include "tests/support/child.h"

using golib_test::ChildResult;
using golib_test::RunChild;

namespace {

// Go: Cond.Wait unlocks c.L, and unlocking an unlocked mutex is fatal (TestMutexMisuse).
TEST(CondMisuse, WaitWithAnUnlockedMutex) {
  for (bool with_ctx : {false, true}) {
    static bool ctx_form;
    ctx_form = with_ctx;
    ChildResult r = RunChild([] {
      return go_main(
          [](int, char **) {
            (void)go_try(
                [](void *) {
                  go_mutex mu{};
                  go_cond c{};
                  if (ctx_form) {
                    CHILD_CHECK(go_cond_wait_ctx(nullptr, &c, &mu) == 0);
                  } else {
                    go_cond_wait(&c, &mu);
                  }
                },
                nullptr, nullptr);
            return 0;
          },
          0, nullptr);
    });
    EXPECT_EQ(r.signal, SIGABRT) << r;
    EXPECT_TRUE(r.Said(with_ctx ? "go_cond_wait_ctx with an unlocked mutex"
                                : "go_cond_wait with an unlocked mutex"))
        << r;
  }
}

TEST(CondMisuse, OnAPlainThread) {
  ChildResult r = RunChild([] {
    go_mutex mu{};
    go_cond c{};
    go_cond_wait(&c, &mu);
    return 0;
  });
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said("go_cond_wait with an unlocked mutex")) << r;
}

// Nobody is left to signal: all goroutines are asleep, and the report says at what.
TEST(CondMisuse, WaitForNobodyIsADeadlock) {
  SKIP_IF_DEADLOCKS_GO_UNSEEN();
  ChildResult r = RunChild([] {
    return go_main(
        [](int, char **) {
          go_mutex mu{};
          go_cond c{};
          go_mutex_lock(&mu);
          go_cond_wait(&c, &mu);
          return 0;
        },
        0, nullptr);
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("[cond wait")) << r;
}

}  // namespace
