// Waiting in the poller, when nothing runs: what must not be lost.
extern "C" {
#include "core/netpoll.h"
#include "core/poll.h"
#include "core/sched.h"
}

#include <golib/golib.h>

#include <atomic>
#include <thread>

#include "poll/fake/fake.h"
#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

std::atomic<bool> nudged{false};  // and not come round yet: there are not stacks for ever so many

// Nothing runs, and somebody waits for 10 ms to see whether that stays so.
bool LastOneWaits() {
  go_fake_poll_counts_ c = go_fake_poll_counts_now_();
  if (c.waiting == 1 && c.last_ns < 0 && !nudged.exchange(true)) {  // missed: once more
    EXPECT_EQ(go_post([](void *) { nudged = false; }, nullptr), 0);
  }
  return c.waiting == 1 && c.last_ns == 10 * GO_MS;
}

void Send1(void *chan) { static_cast<Chan<int> *>(chan)->Send(1); }

// Whoever goes to sleep last waits 10 ms in the poller before it asks whether there is a deadlock. A timer that another
// thread sets meanwhile breaks that wait off, and counts even if the wait comes back after more than 10 ms.
TEST(Idle, ABreakThatIsSeenLate) {
  RunGo([] {
    Procs one(1);
    go_pd_ *pd = nullptr;  // or it would not wait in the poller without a timer
    ASSERT_EQ(go_pd_open_(5, &pd), 0);
    go_fake_poll_come_back_late_(15 * GO_MS);
    for (int round = 0; round < 20; round++) {
      Chan<int> fired(1);
      go_timer t{};
      std::thread other([&] {
        while (!LastOneWaits()) go_os_yield_();
        EXPECT_EQ(go_timer_start(&t, GO_MS, Send1, &fired), 0);
      });
      EXPECT_EQ(fired.Take(), 1);
      other.join();
    }
    go_fake_poll_come_back_late_(0);
    go_pd_evict_(pd);
    go_pd_close_(pd, 5);
  });
}

}  // namespace
