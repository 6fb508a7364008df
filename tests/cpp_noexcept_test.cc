// golib.hpp in a file that is compiled with -fno-exceptions (BUILD.bazel), beside GoogleTest's, which have them.

#include <gtest/gtest.h>
#include <golib/golib.hpp>

#include <string>

#include "tests/support/golib_test.h"

// Without exceptions a panic runs no destructors, so what they would have freed is lost.
extern "C" __attribute__((visibility("default"))) const char *__asan_default_options() {
  return "detect_leaks=0";
}

namespace {

static_assert(GO_EXCEPTIONS_ == 0);

TEST(CppNoexcept, ChannelsSelectsAndScopes) {
  int sum = go::run([] {
    go::chan<std::string> c(1);
    go::spawn([=] {
      for (int i = 0; i < 10; i++) c.send(std::string(100, 'x') + std::to_string(i));
      c.close();
    });
    int n = 0;
    for (std::string s : c) n += std::stoi(s.substr(100));
    go::scope s;
    auto t = s.spawn([] { return 100; });
    n += t.join();
    std::error_code ec;
    EXPECT_EQ(go::select(go::recv(go::chan<int>()), go::otherwise()), 1);
    EXPECT_FALSE(go::chan<int>().recv(go::with_timeout({}, std::chrono::milliseconds(1)), ec));
    EXPECT_EQ(ec, go::errc::timed_out);
    go::mutex m;
    std::lock_guard<go::mutex> l(m);
    return n;
  });
  EXPECT_EQ(sum, 145);
}

// What would throw panics as in C.
TEST(CppNoexcept, ErrorsArePanics) {
  go::run([] {
    auto r = go::try_([] {
      auto ctx = go::with_cancel({});
      ctx.cancel();
      (void)go::chan<int>().recv(ctx);
    });
    EXPECT_FALSE(r.ok());
    EXPECT_STREQ(r.what(), "go::chan::recv: canceled");
    go::chan<int> c;
    c.close();
    EXPECT_STREQ(go::try_([&] { c.send(1); }).what(), "send on closed channel");
    go::scope s;
    auto t = s.spawn([] { go::panic("task"); });
    EXPECT_STREQ(go::try_([&] { t.join(); }).what(), "task");
  });
}

}  // namespace
