// Misuse of semaphores that ends the process.

#include <golib/golib.h>

#include <csignal>

#include "tests/support/child.h"

using golib_test::ChildResult;
using golib_test::RunChild;

namespace {

// Without a context, more than the size is waited for in vain: reported when everybody sleeps.
TEST(SemMisuse, MoreThanTheSizeIsADeadlock) {
  SKIP_IF_DEADLOCKS_GO_UNSEEN();
  ChildResult r = RunChild([] {
    return go_main(
        [](int, char **) {
          go_sem sem = GO_SEM_INIT(2);
          return go_sem_acquire(nullptr, &sem, 3);
        },
        0, nullptr);
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("[semaphore")) << r;
}

// Go: TestWeightedReleaseUnacquired, uncaught.
TEST(SemMisuse, ReleasedTooMuchOnAPlainThread) {
  ChildResult r = RunChild([] {
    go_sem sem{};
    go_sem_release(&sem, 1);
    return 0;
  });
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said("go_sem_release")) << r;
}

}  // namespace
