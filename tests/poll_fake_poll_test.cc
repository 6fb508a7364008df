// poll/fake: the poller that tests steer. Core's go_poll_event_ is defined here: nothing of core is
// linked.
extern "C" {
#define _Noreturn [[noreturn]]
#include "core/poll.h"
#include "core/os.h"
#undef _Noreturn
}

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "poll/fake/fake.h"

namespace {
struct Event {
  uint64_t key;
  uint32_t events;
  int64_t result;
  bool operator==(const Event &o) const {
    return key == o.key && events == o.events && result == o.result;
  }
};
std::vector<Event> events;
}  // namespace

extern "C" __attribute__((visibility("hidden"))) void go_poll_event_(uint64_t key, uint32_t ev,
                                                                     int64_t result) {
  events.push_back({key, ev, result});
}

namespace {

constexpr int64_t kMs = 1000000;

class Fake : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(go_poll_init_(), 0);
    events.clear();
  }
  void TearDown() override { go_poll_fini_(); }
};

TEST_F(Fake, EventsComeInOrder) {
  for (uint64_t k = 1; k <= 3; k++)
    EXPECT_TRUE(go_fake_poll_event_(k, GO_POLL_IN_, static_cast<int64_t>(k) * 10, 0));
  EXPECT_EQ(go_poll_wait_(0), 3);
  EXPECT_EQ(events, (std::vector<Event>{{1, 1, 10}, {2, 1, 20}, {3, 1, 30}}));
  EXPECT_EQ(go_poll_wait_(0), 0);
}

TEST_F(Fake, DelayedEventsComeWhenDue) {
  int64_t t = go_os_now_();
  go_fake_poll_event_(2, GO_POLL_OUT_, 0, 5 * kMs);
  go_fake_poll_event_(1, GO_POLL_OUT_, 0, 2 * kMs);
  EXPECT_GT(go_poll_wait_(-1), 0);
  EXPECT_GE(go_os_now_() - t, 2 * kMs);
  while (events.size() < 2) EXPECT_GT(go_poll_wait_(-1), 0);
  EXPECT_GE(go_os_now_() - t, 5 * kMs);
  EXPECT_EQ(events[0].key, 1u);
  EXPECT_EQ(events[1].key, 2u);
}

TEST_F(Fake, EventsFromAnotherThreadEndAWait) {
  std::thread t([] {
    while (go_fake_poll_counts_now_().waiting == 0) go_os_yield_();
    go_fake_poll_event_(7, GO_POLL_IN_, 0, 0);
  });
  EXPECT_EQ(go_poll_wait_(-1), 1);
  t.join();
}

TEST_F(Fake, TimesOut) {
  int64_t t = go_os_now_();
  EXPECT_EQ(go_poll_wait_(2 * kMs), 0);
  EXPECT_GE(go_os_now_() - t, 2 * kMs);
  go_fake_poll_counts_ c = go_fake_poll_counts_now_();
  EXPECT_EQ(c.waits, 1u);
  EXPECT_EQ(c.last_ns, 2 * kMs);
}

TEST_F(Fake, BreaksCountOnceAndNotForLooks) {
  for (int i = 0; i < 3; i++) go_poll_break_();
  EXPECT_EQ(go_poll_wait_(0), 0);
  EXPECT_EQ(go_poll_wait_(-1), GO_POLL_BROKEN_);
  int64_t t = go_os_now_();
  EXPECT_EQ(go_poll_wait_(kMs), 0);
  EXPECT_GE(go_os_now_() - t, kMs);
  go_fake_poll_counts_ c = go_fake_poll_counts_now_();
  EXPECT_EQ(c.breaks, 3u);
  EXPECT_EQ(c.broken, 1u);
  EXPECT_EQ(c.looks, 1u);
}

TEST_F(Fake, HeldBreaksWait) {
  go_fake_poll_hold_breaks_(true);
  go_poll_break_();
  EXPECT_EQ(go_poll_wait_(kMs), 0);
  EXPECT_EQ(go_fake_poll_counts_now_().broken, 0u);
  std::thread t([] {
    while (go_fake_poll_counts_now_().waiting == 0) go_os_yield_();
    go_fake_poll_hold_breaks_(false);
  });
  EXPECT_EQ(go_poll_wait_(-1), GO_POLL_BROKEN_);
  t.join();
  EXPECT_EQ(go_fake_poll_counts_now_().broken, 1u);
}

TEST_F(Fake, RegistersAndRefuses) {
  uint64_t key = 0;
  EXPECT_FALSE(go_fake_poll_key_(5, &key));
  EXPECT_EQ(go_poll_add_(5, 55), 0);
  EXPECT_LT(go_poll_add_(5, 56), 0);
  EXPECT_TRUE(go_fake_poll_key_(5, &key));
  EXPECT_EQ(key, 55u);
  EXPECT_EQ(go_poll_del_(5), 0);
  EXPECT_LT(go_poll_del_(5), 0);
  EXPECT_LT(go_poll_add_(-1, 1), 0);
  go_fake_poll_fail_add_(-24);
  EXPECT_EQ(go_poll_add_(5, 55), -24);
  go_fake_poll_fail_add_(0);
  EXPECT_EQ(go_poll_add_(5, 55), 0);
}

TEST_F(Fake, IsNamed) { EXPECT_EQ(std::string(go_poll_name_), "fake"); }

}  // namespace
