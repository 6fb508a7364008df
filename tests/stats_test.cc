// go_stats_read: every number against something that is known.

#include <golib/golib.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "tests/support/golib_test.h"
#include "tests/support/system.h"

using golib_test::Chan;
using golib_test::Procs;
using golib_test::RunGo;
using golib_test::Until;

namespace {

// The usual stacks: tools/emu gives emulated programs smaller ones.
[[maybe_unused]] const int kUsual = golib_test::UnsetEnv("GOLIB_STACK");

go_stats Read() {
  go_stats s;
  memset(&s, 0xff, sizeof s);
  go_stats_read(&s);
  return s;
}

class Stats : public testing::Test {
 protected:
  void SetUp() override { EXPECT_EQ(go_shutdown(GO_FOREVER), 0); }
};

TEST_F(Stats, ZeroWhenNothingRuns) {
  go_stats s = Read(), zero{};
  EXPECT_EQ(memcmp(&s, &zero, sizeof s), 0);
  go_stats_read(nullptr);
  RunGo([] {});
  EXPECT_EQ(Read().spawned, 1u);
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  s = Read();
  EXPECT_EQ(memcmp(&s, &zero, sizeof s), 0);
}

TEST_F(Stats, ByState) {
  RunGo([] {
    Procs one(1);
    Chan<int> c(0);
    int fds[2];
    ASSERT_EQ(golib_test::OpenPipe(fds), 0);
    go_wg wg{};
    for (int i = 0; i < 5; i++) SPAWN_WG(&wg, [=] { (void)c.Take(); });
    SPAWN_WG(&wg, [&] {
      go_blocking(
          [](void *p) {
            char b;
            EXPECT_EQ(read(*static_cast<int *>(p), &b, 1), 1);
          },
          &fds[0]);
    });
    go_stats s;
    Until([&] {
      s = Read();
      return s.waiting == 5 && s.blocking == 1;
    });
    EXPECT_EQ(s.threads_blocking, 1);
    for (int i = 0; i < 7; i++) SPAWN_WG(&wg, [] {});  // not before we give way
    s = Read();
    EXPECT_EQ(s.not_started, 7);
    EXPECT_EQ(s.queued + s.queued_global, 7);
    EXPECT_EQ(s.waiting, 5);
    EXPECT_EQ(s.blocking, 1);
    EXPECT_EQ(s.running, 1);
    EXPECT_EQ(s.runnable, 0);
    EXPECT_EQ(s.goroutines, 14);
    EXPECT_EQ(s.spawned - s.ended, 14u);
    EXPECT_EQ(s.procs, 1);
    EXPECT_EQ(s.procs_idle, 0);
    for (int i = 0; i < 5; i++) EXPECT_EQ(c.TrySend(1), 0);
    s = Read();
    EXPECT_EQ(s.runnable, 5);
    EXPECT_EQ(s.waiting, 0);
    EXPECT_EQ(write(fds[1], "x", 1), 1);
    go_wg_wait(&wg);
    close(fds[0]);
    close(fds[1]);
  });
}

// On one P every turn can be counted.
TEST_F(Stats, ParksAndTurns) {
  RunGo([] {
    Procs one(1);
    go_stats a = Read();
    go_wg wg{};
    Chan<int> c(0);
    for (int g = 0; g < 2; g++) {
      SPAWN_WG(&wg, [] {
        for (int i = 0; i < 100; i++) go_yield();
      });
    }
    go_wg_wait(&wg);  // one park
    go_stats b = Read();
    EXPECT_EQ(b.spawned - a.spawned, 2u);
    EXPECT_EQ(b.ended - a.ended, 2u);
    EXPECT_EQ(b.parks - a.parks, 1u);
    EXPECT_GE(b.turns - a.turns, 200u - 61);  // those since the last look round are still to come
    EXPECT_LE(b.turns - a.turns, 300u);
    SPAWN_WG(&wg, [=] {
      for (int i = 0; i < 50; i++) c.Send(i);
    });
    for (int i = 0; i < 50; i++) (void)c.Take();
    go_wg_wait(&wg);
    a = Read();
    EXPECT_GE(a.parks - b.parks, 50u);
    EXPECT_LE(a.parks - b.parks, 101u);
  });
}

TEST_F(Stats, Steals) {
  RunGo([] {
    Procs two(2);
    go_stats s;
    Until([&] {
      go_wg wg{};
      for (int i = 0; i < 200; i++) {
        SPAWN_WG(&wg, [] {
          for (go_nsec end = go_now() + 20 * GO_US; go_now() < end;) {}
        });
      }
      go_wg_wait(&wg);
      s = Read();
      return s.steals > 0;
    });
    EXPECT_GE(s.stolen, s.steals);
    EXPECT_GE(s.threads, 2);
    EXPECT_GE(s.threads_max, s.threads);
  });
}

TEST_F(Stats, Latency) {
  RunGo([] {
    Procs one(1);
    go_stats s;
    Chan<int> c(0);
    go_wg wg{};
    std::atomic<bool> stop{false};
    SPAWN_WG(&wg, [&, c] {
      while (c.Take() >= 0) {}
    });
    SPAWN_WG(&wg, [&] {  // keeps the others waiting for 3 ms
      while (!stop) {
        for (go_nsec end = go_now() + 3 * GO_MS; go_now() < end;) {}
        go_yield();
      }
    });
    Until([&] {
      c.Send(1);
      s = Read();
      return s.latency_max >= 2 * GO_MS && s.latency_count > 20;
    });
    stop = true;
    c.Send(-1);
    go_wg_wait(&wg);
    s = Read();
    uint64_t n = 0, above = 0;
    for (int i = 0; i < GO_LATENCY_BUCKETS; i++) {
      n += s.latency[i];
      if (GO_LATENCY_BOUND(i) > 2 * GO_MS) above += s.latency[i];
    }
    EXPECT_EQ(n, s.latency_count);
    EXPECT_GT(above, 0u);
    EXPECT_GE(s.latency_sum, s.latency_max);
    EXPECT_LT(s.latency_max, GO_HOUR);
  });
}

// Those that are woken, or started, from threads are timed as well.
TEST_F(Stats, LatencyFromThreads) {
  RunGo([] {});
  for (int i = 0; i < 20; i++) RunGo([] { go_yield(); });
  Chan<int> c(0);
  std::thread t([&] {
    RunGo([&] {
      for (int i = 0; i < 64; i++) (void)c.Take();
    });
  });
  for (int i = 0; i < 64; i++) c.Send(i);
  t.join();
  EXPECT_GT(Read().latency_count, 0u);
}

TEST_F(Stats, HighWater) {
  constexpr int kGos = 1000;
  RunGo([] {
    Chan<int> c(0);
    go_wg wg{};
    for (int i = 0; i < kGos; i++) SPAWN_WG(&wg, [=] { (void)c.Recv(nullptr); });
    Until([] { return Read().waiting == kGos; });
    go_stats s = Read();
    EXPECT_GE(s.stacks, static_cast<uint64_t>(kGos));
    EXPECT_GE(s.stack_bytes_reserved, kGos * golib_test::kDefaultStack);
    c.Close();
    go_wg_wait(&wg);
    Until([] { return go_count() == 1; });
    s = Read();
    EXPECT_GE(s.goroutines_max, kGos + 1);
    EXPECT_LE(s.goroutines_max, kGos + 1 + 200 * (go_procs(0) + 1));
    EXPECT_GE(s.stacks_max, static_cast<uint64_t>(kGos));
    EXPECT_LT(s.stacks, static_cast<uint64_t>(kGos));
    EXPECT_EQ(s.goroutines, 1);
  });
}

TEST_F(Stats, PollerAndTimers) {
  RunGo([] {
    golib_test::Socket fds[2];
    ASSERT_EQ(golib_test::OpenSockets(fds), 0);
    const intptr_t fd = static_cast<intptr_t>(fds[0]);
    go_timer timer{};
    EXPECT_EQ(go_timer_start(
                  &timer, GO_HOUR, [](void *) {}, nullptr),
              0);
    go_stats a = Read(), s;
    EXPECT_GE(a.timers, 1);
    EXPECT_TRUE(go_timer_stop(&timer));
    uint64_t rounds = 0;
    Until([&] {  // an event that comes before the wait does not wake
      go_wg waits{};
      SPAWN_WG(&waits, [&] { EXPECT_GE(go_fd_wait(nullptr, fd, GO_FD_READ), 0); });
      Until([] { return Read().descriptors == 1; });
      EXPECT_EQ(send(fds[1], "x", 1, 0), 1);
      go_wg_wait(&waits);
      char c;
      EXPECT_EQ(recv(fds[0], &c, 1, 0), 1);
      s = Read();
      rounds++;
      return s.polled != a.polled;
    });
    EXPECT_GT(s.polls, a.polls);
    EXPECT_EQ(s.polled - a.polled, 1u) << rounds;
    golib_test::CloseSocket(fds[0]);
    golib_test::CloseSocket(fds[1]);
  });
}

// Read from a thread while everything moves.
TEST_F(Stats, WhileEverythingMoves) {
  RunGo([] {});
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    uint64_t spawned = 0;
    while (!stop) {
      go_stats s = Read();
      EXPECT_GE(s.spawned, spawned);
      spawned = s.spawned;
    }
  });
  RunGo([] {
    for (int i = 0; i < golib_test::Rounds(300); i++) {
      go_wg wg{};
      for (int g = 0; g < 20; g++) SPAWN_WG(&wg, [] { go_yield(); });
      go_wg_wait(&wg);
    }
  });
  stop = true;
  reader.join();
}

}  // namespace
