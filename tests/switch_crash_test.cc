// What ends the process: misuse of go_nopreempt_begin and _end, and of GOLIB_PREEMPT.
#include <golib/golib.h>

#include "tests/support/child.h"
#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

int RunMain(int (*fn)(int, char **)) { return go_main(fn, 0, nullptr); }

TEST(SwitchCrash, EndWithoutBegin) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      go_nopreempt_begin();
      go_nopreempt_end();
      go_nopreempt_end();
      return 0;
    });
  });
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said("go_nopreempt_end without go_nopreempt_begin")) << r;
}

TEST(SwitchCrash, TooManyBegins) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      for (int i = 0; i < 32767; i++) go_nopreempt_begin();
      for (int i = 0; i < 32767; i++) go_nopreempt_end();
      for (int i = 0; i < 32768; i++) go_nopreempt_begin();
      return 0;
    });
  });
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said("go_nopreempt_begin: ")) << r;
}

TEST(SwitchCrash, TooManyLocks) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      for (int i = 0; i < 65536; i++) go_lock_thread();
      return 0;
    });
  });
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said("go_lock_thread: nested")) << r;
}

TEST(SwitchCrash, Environment) {
  ChildResult r = RunChild([] {
    SetEnv("GOLIB_PREEMPT", "always");
    return RunMain([](int, char **) { return 0; });
  });
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said("GOLIB_PREEMPT=always: neither switch nor retake")) << r;
  for (const char *ok : {"switch", "retake", ""}) {
    r = RunChild([ok] {
      SetEnv("GOLIB_PREEMPT", ok);
      return RunMain([](int, char **) { return 3; });
    });
    EXPECT_EQ(r.code, 3) << r;
  }
}

}  // namespace
