// What contexts cost: nothing stays with a long-lived parent, and nothing of a context that is gone.

#include <golib/context.h>
#include <gtest/gtest.h>

#include <atomic>

#include "tests/support/golib_test.h"
#include "tests/support/system.h"

using namespace golib_test;

namespace {

const int kMany = Many(1000000);
const long kBoundKb = kMany / 16;  // 64 bytes each: contexts take more than twice that

class ContextMemory : public testing::Test {
 protected:
  void SetUp() override {
    if (kSanitized) GTEST_SKIP() << "sanitizers keep what is freed";
  }
  // Does it many times under one parent that lives on; memory must not grow with it.
  template <class F>
  void Repeat(F f) {
    RunGo([&] {
      go_ctx *parent = go_ctx_with_cancel(nullptr);
      for (int i = 0; i < 1000; i++) f(parent);
      long before = PeakKb();
      for (int i = 0; i < kMany; i++) f(parent);
      EXPECT_LT(PeakKb() - before, kBoundKb);
      EXPECT_EQ(go_ctx_err(parent), 0);
      go_ctx_unref(parent);
    });
  }
};

TEST_F(ContextMemory, ChildrenThatAreDropped) {
  Repeat([](go_ctx *parent) { go_ctx_unref(go_ctx_with_cancel(parent)); });
}

TEST_F(ContextMemory, ChildrenThatAreCancelled) {
  Repeat([](go_ctx *parent) {
    go_ctx *c = go_ctx_with_cancel(parent);
    go_ctx_cancel(c);
    go_ctx_unref(c);
  });
}

// Their deadlines are hours away, and nobody cancels them.
TEST_F(ContextMemory, TimeoutsThatAreDropped) {
  Repeat([](go_ctx *parent) { go_ctx_unref(go_ctx_with_timeout(parent, GO_HOUR)); });
}

TEST_F(ContextMemory, DoneChannels) {
  Repeat([](go_ctx *parent) {
    go_ctx *c = go_ctx_with_timeout(parent, GO_HOUR);
    EXPECT_NE(go_ctx_done(c), nullptr);
    go_ctx_unref(c);
  });
}

TEST_F(ContextMemory, Values) {
  static const char key = 0;
  static std::atomic<int> destroyed;
  destroyed = 0;
  Repeat([](go_ctx *parent) {
    go_ctx_unref(go_ctx_with_value(parent, &key, nullptr, [](void *) { destroyed++; }));
  });
  EXPECT_EQ(destroyed, kMany + 1000);
}

TEST_F(ContextMemory, CallbacksThatAreStopped) {
  Repeat([](go_ctx *parent) {
    go_ctx_stop stop;
    EXPECT_EQ(go_ctx_after(
                  parent, [](void *) {}, nullptr, &stop),
              0);
    EXPECT_TRUE(go_ctx_after_stop(&stop));
  });
}

TEST_F(ContextMemory, Trees) {
  Repeat([](go_ctx *parent) {
    go_ctx *a = go_ctx_with_cancel(parent), *b = go_ctx_with_timeout(a, GO_HOUR);
    go_ctx *c = go_ctx_without_cancel(b), *d = go_ctx_with_cancel(b);
    go_ctx_cancel(a);
    for (go_ctx *x : {a, b, c, d}) go_ctx_unref(x);
  });
}

}  // namespace
