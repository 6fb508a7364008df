// What an embedded scheduler asks of its poller, and when the loop would wake up.
extern "C" {
#include "core/poll.h"
#include "core/sched.h"
}

#include <golib/golib.h>

#include <thread>

#include "poll/fake/fake.h"
#include "tests/support/golib_test.h"

namespace {

bool Readable() { return go_fake_poll_readable_(); }
go_fake_poll_counts_ Counts() { return go_fake_poll_counts_now_(); }

class StepPoll : public testing::Test {
 protected:
  void SetUp() override {
    go_config c{};
    c.embedded = true;
    ASSERT_EQ(go_init(&c), 0);
  }
  void TearDown() override { EXPECT_EQ(go_shutdown(GO_FOREVER), 0); }
  static void Drain() {
    while (go_step(100) > 0) {}
  }
};

// Asked for late: the loop shall step once, so that it learns of the timers that there are.
TEST_F(StepPoll, TheFirstQuestionForTheDescriptorWakes) {
  SPAWN([] { (void)go_sleep(nullptr, GO_SEC); });
  Drain();
  EXPECT_EQ(Counts().alarm, INT64_MAX);  // nobody waits for it
  EXPECT_FALSE(Readable());
  EXPECT_EQ(go_wake_fd(), GO_FAKE_HANDLES_);
  EXPECT_TRUE(Readable());
  EXPECT_EQ(go_step(1), 0);
  EXPECT_NE(Counts().alarm, INT64_MAX);
  EXPECT_EQ(go_wake_fd(), GO_FAKE_HANDLES_);
}

TEST_F(StepPoll, OneBreakForManyPosts) {
  ASSERT_GE(go_wake_fd(), 0);
  Drain();
  EXPECT_FALSE(Readable());
  std::thread([] {
    for (int i = 0; i < 10; i++) EXPECT_EQ(go_post([](void *) {}, nullptr), 0);
  }).join();
  EXPECT_TRUE(Readable());
  EXPECT_EQ(go_step(100), 10);
  EXPECT_FALSE(Readable());
}

TEST_F(StepPoll, WhatIsLeftKeepsItReadable) {
  ASSERT_GE(go_wake_fd(), 0);
  for (int i = 0; i < 3; i++) EXPECT_EQ(go_post([](void *) {}, nullptr), 0);
  for (int i = 0; i < 3; i++) {
    EXPECT_TRUE(Readable());
    EXPECT_EQ(go_step(1), 1);
  }
  EXPECT_FALSE(Readable());
}

TEST_F(StepPoll, TheAlarmIsTheFirstTimer) {
  ASSERT_GE(go_wake_fd(), 0);
  Drain();
  EXPECT_EQ(Counts().alarm, INT64_MAX);
  int64_t began = go_now();
  SPAWN([] { (void)go_sleep(nullptr, 30 * GO_MS); });
  SPAWN([] { (void)go_sleep(nullptr, 20 * GO_MS); });
  Drain();
  EXPECT_GE(Counts().alarm, began + 20 * GO_MS);
  EXPECT_LT(Counts().alarm, go_now() + 20 * GO_MS);
}

// A thread's timer wakes the loop only if the loop would wake too late.
void Nothing(go_m_ *, void *, uint32_t) {}
TEST_F(StepPoll, ATimerOfAThread) {
  ASSERT_GE(go_wake_fd(), 0);
  Drain();
  static go_tm_ first, later, earlier;
  const int64_t now = go_now();
  auto add = [](go_tm_ *tm, int64_t when) {
    std::thread([=] {
      tm->when = when;
      tm->fn = Nothing;
      EXPECT_EQ(go_tm_add_(go_enter_(), tm), 0);
    }).join();
  };
  add(&first, now + 10 * GO_MIN);
  EXPECT_TRUE(Readable());
  EXPECT_EQ(go_step(1), 0);
  EXPECT_EQ(Counts().alarm, now + 10 * GO_MIN);
  add(&later, now + 20 * GO_MIN);
  EXPECT_FALSE(Readable());
  add(&earlier, now + 5 * GO_MIN);
  EXPECT_TRUE(Readable());
  EXPECT_EQ(go_step(1), 0);
  EXPECT_FALSE(Readable());
  EXPECT_EQ(Counts().alarm, now + 5 * GO_MIN);
  EXPECT_TRUE(go_tm_del_(&first));
  EXPECT_TRUE(go_tm_del_(&later));
  EXPECT_TRUE(go_tm_del_(&earlier));
  EXPECT_EQ(go_step(1), 0);
  EXPECT_EQ(Counts().alarm, INT64_MAX);
}

// Nobody but the loop waits: golib never does while the loop steps.
TEST_F(StepPoll, StepsDoNotWait) {
  uint32_t waits = Counts().waits, drains = Counts().drains;
  for (int i = 0; i < 10; i++) {
    SPAWN([] { go_yield(); });
    EXPECT_GE(go_step(1), 0);
  }
  Drain();
  EXPECT_EQ(Counts().waits, waits);
  EXPECT_GE(Counts().drains, drains + 10);
}

// The host that waits in golib waits in the poller, until the first timer.
TEST_F(StepPoll, AWaitingHostWaitsInThePoller) {
  golib_test::RunGo([] { (void)go_sleep(nullptr, 200 * GO_MS); });
  EXPECT_GE(Counts().waits, 1u);
  EXPECT_LE(Counts().last_ns, 200 * GO_MS);
}

}  // namespace
