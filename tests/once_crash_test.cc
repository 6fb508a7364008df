// Misuse of once.

#include <golib/golib.h>

#include "tests/support/child.h"

using golib_test::ChildResult;
using golib_test::RunChild;

namespace {

// Go: Once.Do: if f calls Do, it deadlocks.
TEST(OnceMisuse, RecursiveCallIsADeadlock) {
  SKIP_IF_DEADLOCKS_GO_UNSEEN();
  ChildResult r = RunChild([] {
    return go_main(
        [](int, char **) {
          static go_once once;
          go_once_do(
              &once,
              [](void *) {
                go_once_do(
                    &once, [](void *) {}, nullptr);
              },
              nullptr);
          return 0;
        },
        0, nullptr);
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("[once")) << r;
}

// A panic that nobody catches leaves by the first caller.
TEST(OnceMisuse, PanicInMain) {
  ChildResult r = RunChild([] {
    return go_main(
        [](int, char **) {
          go_once once{};
          go_once_do(
              &once, [](void *) { go_panic("could not be made"); }, nullptr);
          return 0;
        },
        0, nullptr);
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("could not be made")) << r;
}

}  // namespace
