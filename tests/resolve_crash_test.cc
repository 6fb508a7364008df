// go_resolve and go_dial where there are no threads: in a forked child, and without memory for one.
#include <golib/golib.h>
#include <golib/net.h>
#include <unistd.h>

#include "tests/support/child.h"
#include "tests/support/golib_test.h"

using golib_test::ChildResult;
using golib_test::LimitAddressSpace;
using golib_test::RunChild;

namespace {

int RunMain(int (*fn)(int, char **)) { return go_main(fn, 0, nullptr); }

int Resolve(const char *host) {
  go_addrs *a = nullptr;
  int rc = go_resolve(nullptr, host, &a);
  go_addrs_free(a);
  return rc;
}

#if !defined(_WIN32)
TEST(ResolveCrash, InAForkedChild) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      CHILD_CHECK(Resolve("localhost") == 0);
      pid_t pid = fork();
      if (pid == 0) {
        go_conn *c = nullptr;
        CHILD_CHECK(go_dial(nullptr, "tcp", "127.0.0.1:1", &c) == GO_EFORKED);
        CHILD_CHECK(Resolve("127.0.0.1") == GO_EFORKED);
        _exit(Resolve("localhost") == GO_EFORKED ? 3 : 4);
      }
      int status = 0;
      CHILD_CHECK(waitpid(pid, &status, 0) == pid);
      return WIFEXITED(status) ? WEXITSTATUS(status) : 5;
    });
  });
  EXPECT_EQ(r.code, 3) << r;
}
#endif

TEST(ResolveCrash, NoThread) {
  SKIP_IF_ADDRESS_SPACE_IS_UNLIMITED();
  if (golib_test::kSanitized) GTEST_SKIP() << "sanitizers need address space of their own";
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      CHILD_CHECK(go_sleep(nullptr, GO_MS) == 0);
      LimitAddressSpace(0);
      for (int i = 0; i < 3; i++) {
        int rc = Resolve("localhost");
        CHILD_CHECK(rc == GO_EAGAIN || rc == GO_ENOMEM);
      }
      CHILD_CHECK(Resolve("127.0.0.1") == 0);
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

// A look-up may wake somebody yet; an idle thread of the pool does not.
TEST(ResolveCrash, Deadlock) {
  SKIP_IF_DEADLOCKS_GO_UNSEEN();
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      for (int i = 0; i < 5; i++) CHILD_CHECK(Resolve("localhost") == 0);
      return go_chan_recv(go_chan_new(0, 0), nullptr) ? 1 : 0;
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("all goroutines are asleep - deadlock!")) << r;
}

}  // namespace
