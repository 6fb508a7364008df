// go_local_set without memory: a code, and the old value stays.

#include <golib/golib.h>

#include <cstdlib>

#include "tests/support/child.h"
#include "tests/support/golib_test.h"

using golib_test::ChildResult;
using golib_test::kSanitized;
using golib_test::LimitAddressSpace;
using golib_test::RunChild;

namespace {

TEST(LocalCrash, NoMemory) {
  SKIP_IF_ADDRESS_SPACE_IS_UNLIMITED();
  if (kSanitized) GTEST_SKIP() << "sanitizers need all address space";
  ChildResult r = RunChild([] {
    go_local first{}, last{}, k{};
    CHILD_CHECK(go_local_new(&first, nullptr) == 0);
    for (int i = 1; i < GO_LOCAL_KEYS; i++) CHILD_CHECK(go_local_new(&k, nullptr) == 0);
    last = k;
    CHILD_CHECK(go_local_set(first, &first) == 0);
    LimitAddressSpace(0);
    for (size_t size = 1 << 20; size >= 512; size /= 2) {
      while (void *p = malloc(size)) *static_cast<void *volatile *>(p) = nullptr;
    }
    CHILD_CHECK(go_local_set(last, &last) == GO_ENOMEM);
    CHILD_CHECK(go_local_get(last) == nullptr);
    CHILD_CHECK(go_local_get(first) == &first);
    CHILD_CHECK(go_local_set(last, nullptr) == 0);
    return 0;
  });
  EXPECT_EQ(r.code, 0) << r;
}

}  // namespace
