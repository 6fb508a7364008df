// Timers and the end of a program: what they keep from being a deadlock, misuse, and what they do
// without memory.

#include <golib/golib.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>

#include "tests/support/child.h"
#include "tests/support/golib_test.h"

using golib_test::ChildResult;
using golib_test::kSanitized;
using golib_test::LimitAddressSpace;
using golib_test::RunChild;

namespace {

const char kAllAsleep[] = "fatal: all goroutines are asleep - deadlock!";

int RunMain(int (*fn)(int, char **)) { return go_main(fn, 0, nullptr); }

void Leave(void *) { _exit(7); }
void Nothing(void *) {}

void WaitForEver() {
  (void)go_chan_recv(go_chan_new(0, 0), nullptr);
  _exit(1);
}

// ---- The deadlock detector (Go: TestSimpleDeadlock, runtime/crash_test.go; timers count).

TEST(TimerDeadlock, AnActiveTimerPreventsIt) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      static go_timer t, later;
      CHILD_CHECK(go_timer_start(&later, GO_HOUR, Nothing, nullptr) == 0);
      CHILD_CHECK(go_timer_start(&t, 100 * GO_MS, Leave, nullptr) == 0);
      WaitForEver();
      return 0;
    });
  });
  EXPECT_EQ(r.code, 7) << r;
}

TEST(TimerDeadlock, AStoppedTimerDoesNot) {
  SKIP_IF_DEADLOCKS_GO_UNSEEN();
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      static go_timer t;
      CHILD_CHECK(go_timer_start(&t, GO_HOUR, Leave, nullptr) == 0);
      CHILD_CHECK(go_timer_stop(&t));
      WaitForEver();
      return 0;
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_EQ(r.Count(kAllAsleep), 1) << r;
}

TEST(TimerDeadlock, AFiredTimerDoesNot) {
  SKIP_IF_DEADLOCKS_GO_UNSEEN();
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      static go_timer t;
      CHILD_CHECK(go_timer_start(&t, GO_MS, Nothing, nullptr) == 0);
      WaitForEver();
      return 0;
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_EQ(r.Count(kAllAsleep), 1) << r;
}

// One that will never fire cannot help.
TEST(TimerDeadlock, ATimerForEverDoesNot) {
  SKIP_IF_DEADLOCKS_GO_UNSEEN();
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      static go_timer t;
      CHILD_CHECK(go_timer_start(&t, GO_HOUR, Leave, nullptr) == 0);
      CHILD_CHECK(go_timer_reset(&t, GO_FOREVER));
      static go_chan *c = go_after(GO_FOREVER);
      static go_ticker *ticker = go_ticker_new(GO_FOREVER);
      CHILD_CHECK(c != nullptr && ticker != nullptr);
      WaitForEver();
      return 0;
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_EQ(r.Count(kAllAsleep), 1) << r;
}

TEST(TimerDeadlock, ATickerPreventsIt) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      go_ticker *t = go_ticker_new(20 * GO_MS);
      for (int i = 0; i < 5; i++) (void)go_chan_recv(go_ticker_chan(t), nullptr);
      return 7;
    });
  });
  EXPECT_EQ(r.code, 7) << r;
}

TEST(TimerDeadlock, AStoppedTickerDoesNot) {
  SKIP_IF_DEADLOCKS_GO_UNSEEN();
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      go_ticker *t = go_ticker_new(GO_MS);
      (void)go_chan_recv(go_ticker_chan(t), nullptr);
      go_ticker_stop(t);
      (void)go_chan_recv(go_ticker_chan(t), nullptr);
      return 1;
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("chan receive")) << r;
}

TEST(TimerDeadlock, AfterPreventsItWhileItIsReferenced) {
  SKIP_IF_DEADLOCKS_GO_UNSEEN();
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      go_chan *dropped = go_after(GO_HOUR);
      go_chan *c = go_after(50 * GO_MS);
      go_chan_unref(dropped);
      CHILD_CHECK(go_chan_recv(c, nullptr));
      (void)go_chan_recv(c, nullptr);  // there is only one
      return 1;
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_EQ(r.Count(kAllAsleep), 1) << r;
}

// A plain thread that waits for a timer's function is not asleep for ever.
TEST(TimerDeadlock, PlainThread) {
  ChildResult r = RunChild([] {
    static go_chan *c = go_chan_new(0, 0);
    static go_timer t;
    CHILD_CHECK(go_timer_start(
                    &t, 50 * GO_MS, [](void *) { go_chan_send(c, nullptr); }, nullptr) == 0);
    CHILD_CHECK(go_chan_recv(c, nullptr));
    return 7;
  });
  EXPECT_EQ(r.code, 7) << r;
}

// ---- Misuse.

TEST(TimerMisuse, NullFunction) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      static go_timer t;
      (void)go_try([](void *) { (void)!go_timer_start(&t, 1, nullptr, nullptr); }, nullptr,
                   nullptr);
      return 0;
    });
  });
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said("go_timer_start of a NULL function")) << r;
}

TEST(TimerMisuse, OnAPlainThread) {
  ChildResult r = RunChild([] {
    static go_timer t;
    CHILD_CHECK(go_timer_start(&t, GO_HOUR, Nothing, nullptr) == 0);
    (void)!go_timer_start(&t, GO_HOUR, Nothing, nullptr);
    return 0;
  });
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said("go_timer_start of an active timer")) << r;
}

// The last reference goes while a goroutine waits: the report of go_chan_unref.
TEST(TimerMisuse, DroppedUnderAReceiver) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      static go_chan *c;
      c = go_after(GO_HOUR);
      CHILD_CHECK(go_spawn([](void *) { (void)go_chan_recv(c, nullptr); }, nullptr) == 0);
      for (int i = 0; i < 10; i++) go_yield();
      (void)go_sleep(nullptr, 20 * GO_MS);
      go_chan_unref(c);
      return 7;
    });
  });
  EXPECT_EQ(r.code, 7) << r;
  EXPECT_TRUE(r.Said("leak")) << r;
}

// ---- Without memory.

// No goroutine can be started: the timer stays active and is tried again, until there is room.
TEST(TimerMemory, NoRoomForTheGoroutine) {
  SKIP_IF_ADDRESS_SPACE_IS_UNLIMITED();
  if (kSanitized) GTEST_SKIP() << "sanitizers need all address space";
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      LimitAddressSpace(static_cast<size_t>(20) << 30);  // some 300 stacks more
      static go_chan *gate = go_chan_new(0, 0);
      static std::atomic<int> fired, waiting;
      int n = 0;
      for (int rc = 0; rc == 0; n++) {
        rc = go_spawn(
            [](void *) {
              waiting++;
              (void)go_chan_recv(gate, nullptr);
              waiting--;
            },
            nullptr);
      }
      n--;
      while (waiting < n) go_yield();
      static go_timer t[3];
      for (go_timer &x : t) {
        CHILD_CHECK(go_timer_start(
                        &x, 0, [](void *) { fired++; }, nullptr) == 0);
      }
      (void)go_sleep(nullptr, 20 * GO_MS);
      int at_first = fired;  // a P may have had one or two goroutines in hand
      CHILD_CHECK(at_first < 3);
      CHILD_CHECK(go_timer_stop(&t[2]));       // still active,
      CHILD_CHECK(!go_timer_reset(&t[2], 0));  // and usable
      (void)go_sleep(nullptr, 10 * GO_MS);
      for (int i = 0; i < n; i++) go_chan_send(gate, nullptr);
      while (fired < 3 || waiting > 0) (void)go_sleep(nullptr, GO_MS);
      for (go_timer &x : t) CHILD_CHECK(!go_timer_stop(&x));
      return 7;
    });
  });
  EXPECT_EQ(r.code, 7) << r;
}

// No memory for a channel, or for the scheduler: codes and NULL.
TEST(TimerMemory, NoneAtAll) {
  SKIP_IF_ADDRESS_SPACE_IS_UNLIMITED();
  if (kSanitized) GTEST_SKIP() << "sanitizers need all address space";
  ChildResult r = RunChild([] {
    LimitAddressSpace(0);
    static go_timer t;
    int rc = go_timer_start(&t, 0, Nothing, nullptr);
    CHILD_CHECK(rc == GO_ENOMEM || rc == GO_EAGAIN);
    CHILD_CHECK(!go_timer_stop(&t));
    CHILD_CHECK(go_after(0) == nullptr);
    CHILD_CHECK(go_ticker_new(1) == nullptr);
    return 7;
  });
  EXPECT_EQ(r.code, 7) << r;
}

}  // namespace
