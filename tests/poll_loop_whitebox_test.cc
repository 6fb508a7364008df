// The poller of the system, and poll/kqueue on Linux: what a foreign loop waits on. Core's go_poll_event_ is not called:
// nothing is registered.
extern "C" {
#include "core/os.h"
#include "core/poll.h"
}

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <thread>
#include <vector>

namespace {

constexpr int64_t kMs = 1000000;

class PollLoop : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(go_poll_init_(), 0);
    ASSERT_EQ(go_poll_handle_(&handle_), 0);
  }
  void TearDown() override { go_poll_fini_(); }
  bool Readable(int ms = 0) const {
    struct pollfd p = {static_cast<int>(handle_), POLLIN, 0};
    int n;
    do {
      n = poll(&p, 1, ms);
    } while (n < 0 && errno == EINTR);
    return n == 1 && (p.revents & POLLIN) != 0;
  }
  intptr_t handle_ = -1;
};

TEST_F(PollLoop, TheHandleStaysTheSame) {
  intptr_t again = -1;
  EXPECT_EQ(go_poll_handle_(&again), 0);
  EXPECT_EQ(again, handle_);
  EXPECT_NE(fcntl(static_cast<int>(handle_), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(PollLoop, ABreakUntilItIsDrained) {
  for (int i = 0; i < 3; i++) {
    EXPECT_FALSE(Readable());
    go_poll_break_();
    go_poll_break_();
    EXPECT_TRUE(Readable());
    EXPECT_TRUE(Readable());
    EXPECT_EQ(go_poll_drain_(), 0);
  }
  EXPECT_FALSE(Readable());
}

// A break whose wake-up a mere look has fetched is still there for the next one that would wait.
TEST_F(PollLoop, ABreakOutlivesALook) {
  go_poll_break_();
  EXPECT_EQ(go_poll_wait_(0), 0);
  EXPECT_EQ(go_poll_wait_(-1), GO_POLL_BROKEN_);
  go_poll_break_();
  EXPECT_TRUE(Readable());
  EXPECT_EQ(go_poll_drain_(), 0);
}

TEST_F(PollLoop, TheAlarm) {
  int64_t began = go_os_now_();
  go_poll_alarm_(began + 3 * kMs);
  EXPECT_TRUE(Readable(-1));
  EXPECT_GE(go_os_now_(), began + 3 * kMs);
  EXPECT_TRUE(Readable());
  EXPECT_EQ(go_poll_drain_(), 0);
  EXPECT_FALSE(Readable());
}

TEST_F(PollLoop, AnAlarmThatIsPast) {
  for (int64_t when : {go_os_now_(), int64_t{1}, int64_t{0}, int64_t{-5}, int64_t{-5}}) {
    go_poll_alarm_(when);
    EXPECT_TRUE(Readable(-1));
    EXPECT_EQ(go_poll_drain_(), 0);
    EXPECT_FALSE(Readable());
  }
}

TEST_F(PollLoop, TheAlarmMovesAndGoes) {
  go_poll_alarm_(go_os_now_() + 3600000 * kMs);
  EXPECT_FALSE(Readable());
  go_poll_alarm_(go_os_now_() + kMs);
  EXPECT_TRUE(Readable(-1));
  EXPECT_EQ(go_poll_drain_(), 0);
  go_poll_alarm_(go_os_now_());
  go_poll_alarm_(INT64_MAX);  // gone off, and taken back before anybody looked
  EXPECT_FALSE(Readable());
  go_poll_alarm_(INT64_MAX - 1);
  EXPECT_FALSE(Readable());
}

// The same instant again, after it has gone off and been drained: it is past, and goes off again.
TEST_F(PollLoop, TheSameAlarmAgain) {
  int64_t when = go_os_now_() + kMs;
  for (int i = 0; i < 3; i++) {
    go_poll_alarm_(when);
    EXPECT_TRUE(Readable(-1));
    EXPECT_EQ(go_poll_drain_(), 0);
  }
}

// Breaks from threads while the loop drains: each is followed by a readable handle or a drain.
TEST_F(PollLoop, NoBreakIsLost) {
  for (int round = 0; round < 200; round++) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; t++) threads.emplace_back([] { go_poll_break_(); });
    while (!Readable(-1)) {}
    EXPECT_EQ(go_poll_drain_(), 0);
    for (auto &t : threads) t.join();
    go_poll_break_();
    EXPECT_TRUE(Readable());
    EXPECT_EQ(go_poll_drain_(), 0);
  }
}

// A wait of our own ignores the alarm and takes the break.
TEST_F(PollLoop, OwnWaits) {
  go_poll_alarm_(go_os_now_());
  int64_t began = go_os_now_();
  EXPECT_EQ(go_poll_wait_(2 * kMs), 0);
  EXPECT_GE(go_os_now_(), began + 2 * kMs);
  std::thread t([] { go_poll_break_(); });
  EXPECT_EQ(go_poll_wait_(-1), GO_POLL_BROKEN_);
  t.join();
}

}  // namespace
