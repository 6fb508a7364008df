// Misuse of mutexes and wait groups.

#include <golib/golib.h>

#include <csignal>

#include "tests/support/child.h"

using golib_test::ChildResult;
using golib_test::RunChild;

namespace {

bool Died(const ChildResult &r) { return r.signal == SIGABRT || r.code == 2; }

int RunMain(int (*fn)(int, char **)) { return go_main(fn, 0, nullptr); }

// Go: TestMutexMisuse (sync/mutex_test.go): unlocking what is not locked ends the process, also
// within go_try, and says which call it was.
TEST(MutexMisuse, UnlockOfUnlocked) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      go_mutex mu{};
      (void)go_try([](void *p) { go_mutex_unlock(static_cast<go_mutex *>(p)); }, &mu, nullptr);
      return 0;
    });
  });
  EXPECT_TRUE(Died(r)) << r;
  EXPECT_TRUE(r.Said("go_mutex_unlock")) << r;
}

TEST(MutexMisuse, UnlockTwice) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      go_mutex mu{};
      go_mutex_lock(&mu);
      go_mutex_unlock(&mu);
      go_mutex_unlock(&mu);
      return 0;
    });
  });
  EXPECT_TRUE(Died(r)) << r;
  EXPECT_TRUE(r.Said("go_mutex_unlock")) << r;
}

TEST(MutexMisuse, UnlockOfUnlockedOnAPlainThread) {
  ChildResult r = RunChild([] {
    go_mutex mu{};
    go_mutex_unlock(&mu);
    return 0;
  });
  EXPECT_TRUE(Died(r)) << r;
  EXPECT_TRUE(r.Said("go_mutex_unlock")) << r;
}

// After it was contended, and even starving.
TEST(MutexMisuse, UnlockTwiceAfterContention) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      go_mutex mu{};
      go_wg wg{};
      go_mutex_lock(&mu);
      go_wg_add(&wg, 1);
      struct A {
        go_mutex *mu;
        go_wg *wg;
      } a{&mu, &wg};
      CHILD_CHECK(go_spawn_copy(
                      [](void *p) {
                        A *args = static_cast<A *>(p);
                        go_mutex_lock(args->mu);
                        go_mutex_unlock(args->mu);
                        go_wg_done(args->wg);
                      },
                      &a, sizeof a) == 0);
      (void)go_sleep(nullptr, 5 * GO_MS);
      go_mutex_unlock(&mu);
      go_wg_wait(&wg);
      go_mutex_unlock(&mu);
      return 0;
    });
  });
  EXPECT_TRUE(Died(r)) << r;
  EXPECT_TRUE(r.Said("go_mutex_unlock")) << r;
}

// Go: TestWaitGroupMisuse (sync/waitgroup_test.go), uncaught in main: a panic, so status 2.
TEST(WaitGroupMisuse, NegativeCounterInMain) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      go_wg wg{};
      go_wg_done(&wg);
      return 0;
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("negative")) << r;
}

TEST(WaitGroupMisuse, NegativeCounterOnAPlainThread) {
  ChildResult r = RunChild([] {
    go_wg wg{};
    go_wg_add(&wg, -1);
    return 0;
  });
  EXPECT_TRUE(Died(r)) << r;
  EXPECT_TRUE(r.Said("negative")) << r;
}

}  // namespace
