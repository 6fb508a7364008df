// Condition variables under load, with contexts that fire at any moment.

#include <gtest/gtest.h>

extern "C" {
#include "core/sched.h"
}

#include "tests/support/cancel.h"

using namespace golib_test;

namespace {

// A bounded queue whose users give up now and then: everything that goes in comes out, in order, and nobody
// sleeps on while there is something for him.
void QueueStorm(int threads_n) {
  constexpr int kCap = 4;
  go_mutex mu{};
  go_cond not_full{}, not_empty{};
  int64_t queue[kCap], in = 0, out = 0;  // mu
  bool closed = false;                   // mu
  std::atomic<int64_t> gave_up{0};
  go_nsec end = StressEnd();
  std::atomic<int> producers{(8 + threads_n + 1) / 2};
  auto wait = [&](Rng &rng, go_cond *c) {
    if (rng.Below(3) != 0) {
      go_cond_wait(c, &mu);
      return true;
    }
    int rc = WithDoomedCtx(rng, [&](go_ctx *ctx) { return go_cond_wait_ctx(ctx, c, &mu); });
    gave_up += rc != 0;
    return rc == 0;
  };
  Crowd(8, threads_n, [&](int me) {
    Rng rng(static_cast<uint64_t>(me) + 77);
    if (me % 2 == 0) {
      while (go_now() < end) {
        go_mutex_lock(&mu);
        bool room = true;
        while (room && in - out == kCap) room = wait(rng, &not_full);
        if (room) {
          queue[in % kCap] = in;
          in++;
        }
        go_mutex_unlock(&mu);
        if (room) go_cond_signal(&not_empty);
      }
      if (--producers == 0) {
        go_mutex_lock(&mu);
        closed = true;
        go_mutex_unlock(&mu);
        go_cond_broadcast(&not_empty);
      }
      return;
    }
    for (bool over = false; !over;) {
      go_mutex_lock(&mu);
      bool any = true;
      while (any && in == out && !closed) any = wait(rng, &not_empty);
      over = in == out && closed;
      if (any && in != out) {
        if (queue[out % kCap] != out) ADD_FAILURE() << "out of order";
        out++;
        go_cond_signal(&not_full);
      }
      go_mutex_unlock(&mu);
    }
  });
  EXPECT_EQ(in, out);
  EXPECT_GT(in, 0);
  EXPECT_GT(gave_up, 0);
  EXPECT_EQ(not_full.head_, nullptr);
  EXPECT_EQ(not_empty.head_, nullptr);
}
TEST(CondStress, Queue) { QueueStorm(0); }
TEST(CondStress, QueueWithThreads) { QueueStorm(4); }

}  // namespace
