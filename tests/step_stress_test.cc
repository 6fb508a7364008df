// An embedded scheduler under threads that start, wake and call its goroutines all the time. The loop
// waits without a time-out: a wake-up that is lost is a test that hangs.

#include <golib/golib.h>
#if !defined(_WIN32)
#include <poll.h>
#endif

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "tests/support/golib_test.h"

using golib_test::Chan;
using golib_test::Rng;
using golib_test::StressEnd;

namespace {

// Until there is something to do. Windows has no descriptor for that: there the loop asks.
void Wait() {
#if defined(_WIN32)
  EXPECT_EQ(go_wake_fd(), -ENOTSUP);
  while (go_step_wait() != 0) std::this_thread::yield();
#else
  struct pollfd p = {go_wake_fd(), POLLIN, 0};
  ASSERT_GE(p.fd, 0);
  while (poll(&p, 1, -1) < 0 && errno == EINTR) {}
#endif
}

struct State {
  std::atomic<int64_t> posted{0}, ran{0};
  std::atomic<int> threads{0};
  std::atomic<bool> stop{false};
  Chan<int64_t> ask{0}, answer{0};
};
State *state;

void Posted(void *) {
  if (state->ran++ % 3 == 0) (void)go_sleep(nullptr, 20 * GO_US);
}

// One of four kinds of disturbance, now and then with a pause, so that the loop falls asleep.
void Disturb(int kind, uint64_t seed) {
  Rng rng(seed);
  while (!state->stop) {
    switch (kind) {
      case 0:
        state->posted++;
        EXPECT_EQ(go_post(Posted, nullptr), 0);
        break;
      case 1:
        state->ask.Send(rng.Below(1000));
        EXPECT_GE(state->answer.Take(), 1);
        break;
      case 2:
        EXPECT_EQ(golib_test::TryRunGo([] { (void)go_sleep(nullptr, 10 * GO_US); }), 0);
        break;
      default: (void)go_sleep(nullptr, 50 * GO_US);
    }
    if (rng.Below(4) == 0) {
      for (uint32_t i = rng.Below(5000); i > 0; i--)
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
    if (rng.Below(16) == 0) std::this_thread::yield();
  }
  state->threads--;
  EXPECT_EQ(go_post([](void *) {}, nullptr), 0);
}

TEST(StepStress, NoWakeUpIsLost) {
  const go_nsec end = StressEnd();
  for (uint64_t seed = 1; seed == 1 || go_now() < end; seed++) {
    go_config c{};
    c.embedded = true;
    ASSERT_EQ(go_init(&c), 0);
    State s;
    state = &s;
    s.threads = 6;
    SPAWN([&] {
      for (int64_t v; s.ask.Recv(&v);) s.answer.Send(v + 1);
    });
    std::vector<std::thread> threads;
    for (int i = 0; i < 6; i++)
      threads.emplace_back(Disturb, i % 4, seed * 100 + static_cast<uint64_t>(i));
    Rng rng(seed);
    const go_nsec until = go_now() + 200 * GO_MS;
    while (s.threads > 0) {
      Wait();
      EXPECT_GE(go_step(static_cast<int>(rng.Below(8)) + 1), 0);
      if (go_now() > until) s.stop = true;
    }
    s.ask.Close();
    for (auto &t : threads) t.join();
    while (s.ran < s.posted) {
      Wait();
      EXPECT_GE(go_step(100), 0);
    }
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
    EXPECT_EQ(s.ran, s.posted);
  }
}

// The same, the host waiting in golib.
TEST(StepStress, TheHostWaits) {
  const go_nsec end = StressEnd();
  go_config c{};
  c.embedded = true;
  ASSERT_EQ(go_init(&c), 0);
  Chan<int> to, from;
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; i++) {
    threads.emplace_back([=] {
      for (int v; to.Recv(&v);) from.Send(v);
    });
  }
  SPAWN([=] {
    for (int v; to.Recv(&v); from.Send(v)) {
      if (v % 5 == 0) (void)go_sleep(nullptr, 10 * GO_US);
    }
  });
  for (int i = 0; i < 100 || go_now() < end; i++) {
    to.Send(i);
    EXPECT_EQ(from.Take(), i);
  }
  to.Close();
  for (auto &t : threads) t.join();
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
}

}  // namespace
