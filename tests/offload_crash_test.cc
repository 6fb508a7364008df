// go_offload: misuse, memory that is short, forks, and the deadlock detector.
#include <golib/golib.h>
#include <unistd.h>

#include <atomic>

#include "tests/support/child.h"
#include "tests/support/golib_test.h"

using golib_test::ChildResult;
using golib_test::LimitAddressSpace;
using golib_test::RunChild;

namespace {

int RunMain(int (*fn)(int, char **)) { return go_main(fn, 0, nullptr); }
void Nothing(void *) {}

TEST(OffloadCrash, NoFunction) {
  ChildResult r = RunChild([] { return go_offload(nullptr, nullptr, nullptr); });
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said("go_offload: fn is NULL")) << r;
}

TEST(OffloadCrash, ExitThere) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      return go_offload(
          nullptr, [](void *) { go_exit(); }, nullptr);
    });
  });
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said("go_exit on a plain thread")) << r;
}

#if !defined(_WIN32)
TEST(OffloadCrash, InAForkedChild) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      CHILD_CHECK(go_offload(nullptr, Nothing, nullptr) == 0);
      pid_t pid = fork();
      if (pid == 0) _exit(go_offload(nullptr, Nothing, nullptr) == GO_EFORKED ? 3 : 4);
      int status = 0;
      CHILD_CHECK(waitpid(pid, &status, 0) == pid);
      return WIFEXITED(status) ? WEXITSTATUS(status) : 5;
    });
  });
  EXPECT_EQ(r.code, 3) << r;
}
#endif

// No address space for another stack.
void NoMoreThreads() { LimitAddressSpace(0); }

TEST(OffloadCrash, NoThread) {
  SKIP_IF_ADDRESS_SPACE_IS_UNLIMITED();
  if (golib_test::kSanitized) GTEST_SKIP() << "sanitizers need address space of their own";
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      CHILD_CHECK(go_sleep(nullptr, GO_MS) == 0);
      NoMoreThreads();
      static bool ran;
      for (int i = 0; i < 3; i++) {
        int rc = go_offload(
            nullptr, [](void *) { ran = true; }, nullptr);
        CHILD_CHECK(rc == GO_EAGAIN || rc == GO_ENOMEM);
      }
      CHILD_CHECK(!ran);
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

// What there is does the work.
TEST(OffloadCrash, FewerThreads) {
  SKIP_IF_ADDRESS_SPACE_IS_UNLIMITED();
  if (golib_test::kSanitized) GTEST_SKIP() << "sanitizers need address space of their own";
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      static std::atomic<int> ran;
      static go_wg wg;
      CHILD_CHECK(go_offload(nullptr, Nothing, nullptr) == 0);  // one thread
      CHILD_CHECK(go_spawn(Nothing, nullptr) == 0);
      go_yield();
      auto body = [](void *) {
        CHILD_CHECK(go_offload(
                        nullptr,
                        [](void *) {
                          usleep(1000);
                          ran++;
                        },
                        nullptr) == 0);
        go_wg_done(&wg);
      };
      for (int i = 0; i < 10; i++) {
        go_wg_add(&wg, 1);
        CHILD_CHECK(go_spawn(body, nullptr) == 0);
      }
      NoMoreThreads();
      go_wg_wait(&wg);
      return ran.load();
    });
  });
  EXPECT_EQ(r.code, 10) << r;
}

// ---- The deadlock detector.

TEST(OffloadCrash, NoDeadlockMeanwhile) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      for (int i = 0; i < 3; i++) {
        CHILD_CHECK(go_offload(
                        nullptr, [](void *) { usleep(60000); }, nullptr) == 0);
      }
      return 7;
    });
  });
  EXPECT_EQ(r.code, 7) << r;
  EXPECT_EQ(r.err, "");
}

// Idle threads of the pool wake nobody.
TEST(OffloadCrash, DeadlockAfterwards) {
  SKIP_IF_DEADLOCKS_GO_UNSEEN();
  for (int i = 0; i < 5; i++) {
    ChildResult r = RunChild([] {
      return RunMain([](int, char **) {
        static go_wg wg;
        for (int k = 0; k < 10; k++) {
          go_wg_add(&wg, 1);
          CHILD_CHECK(go_spawn(
                          [](void *) {
                            CHILD_CHECK(go_offload(
                                            nullptr, [](void *) { usleep(2000); }, nullptr) == 0);
                            go_wg_done(&wg);
                          },
                          nullptr) == 0);
        }
        go_wg_wait(&wg);
        return go_chan_recv(go_chan_new(0, 0), nullptr) ? 1 : 0;
      });
    });
    EXPECT_EQ(r.code, 2) << r;
    EXPECT_EQ(r.Count("all goroutines are asleep - deadlock!"), 1) << r;
    EXPECT_TRUE(r.Said("chan receive")) << r;
  }
}

TEST(OffloadCrash, DeadlockThere) {
  SKIP_IF_DEADLOCKS_GO_UNSEEN();
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      return go_offload(
          nullptr, [](void *) { (void)go_chan_recv(go_chan_new(0, 0), nullptr); }, nullptr);
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("all goroutines are asleep - deadlock!")) << r;
  EXPECT_TRUE(r.Said("[offload")) << r;
}

}  // namespace
