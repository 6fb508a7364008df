// go_ticker: a channel that receives an instant every period.

#include <thread>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

struct Ticker {
  explicit Ticker(go_nsec period) : t(go_ticker_new(period)) { EXPECT_NE(t, nullptr); }
  ~Ticker() { go_ticker_free(t); }
  Ticker(const Ticker &) = delete;
  Ticker &operator=(const Ticker &) = delete;

  go_chan *c() const { return go_ticker_chan(t); }
  go_nsec Take() const {
    go_nsec v = -1;
    EXPECT_TRUE(go_chan_recv(c(), &v));
    return v;
  }
  bool Ready() const { return go_chan_try_recv(c(), nullptr) == 0; }

  go_ticker *t;
};

// Go: TestTicker (time/tick_test.go): ten ticks take ten periods, before and after a reset to
// another one; no fewer, as far as the machine lets us see.
TEST(Ticker, PeriodAndReset) {
  RunGo([] {
    go_nsec start = go_now();
    Ticker t(2 * GO_MS);
    go_nsec last = start;
    for (int i = 0; i < 10; i++) {
      go_nsec v = t.Take();
      EXPECT_GE(go_now(), v);
      EXPECT_GT(v, last);
      last = v;
    }
    EXPECT_GE(go_now() - start, 20 * GO_MS);
    start = go_now();
    go_ticker_reset(t.t, 3 * GO_MS);
    for (int i = 1; i <= 10; i++) {
      EXPECT_GE(t.Take(), start + i * 3 * GO_MS);
    }
    EXPECT_GE(go_now() - start, 30 * GO_MS);
    go_ticker_stop(t.t);
    EXPECT_FALSE(t.Ready());
    (void)go_sleep(nullptr, 10 * GO_MS);
    EXPECT_FALSE(t.Ready()) << "a stopped ticker ticks";
  });
}

// Go: TestTickTimes (time/sleep_test.go): the value is the instant that it was due: no drift,
// however late the receiver.
TEST(Ticker, NoDrift) {
  RunGo([] {
    Procs procs(2);
    constexpr go_nsec kPeriod = 500 * GO_US;
    Ticker t(kPeriod);
    go_nsec first = t.Take(), last = first;
    Rng rng(5);
    for (int i = 0; i < 100; i++) {
      if (rng.Below(3) == 0) {
        (void)go_sleep(nullptr, rng.Below(1500) * GO_US);
      }
      go_nsec v = t.Take();
      EXPECT_EQ((v - first) % kPeriod, 0);
      EXPECT_GT(v, last);
      EXPECT_GE(go_now(), v);
      last = v;
    }
  });
}

// Who pauses finds one tick, the first of those that he missed, and not a burst. When the machine
// pauses as well it looks like something else: then once more, slower.
bool OneTickAfterAPause(go_nsec period) {
  Ticker t(period);
  go_nsec first = t.Take();
  (void)go_sleep(nullptr, 20 * period);
  go_nsec now = go_now();
  go_nsec waiting = t.Take(), next = t.Take(), after = t.Take();
  EXPECT_LE(waiting, now);
  EXPECT_GT(next, waiting);
  EXPECT_GE(after, next + period);
  return waiting == first + period && next > now - period;
}
TEST(Ticker, NoBurstAfterAPause) {
  RunGo([] {
    bool ok = false;
    for (go_nsec period : {GO_MS, 3 * GO_MS, 10 * GO_MS, 30 * GO_MS, 100 * GO_MS}) {
      ok = ok || OneTickAfterAPause(period);
    }
    EXPECT_TRUE(ok);
  });
}

// Go: TestTeardown (time/tick_test.go).
TEST(Ticker, Teardown) {
  RunGo([] {
    for (int i = 0; i < 3; i++) {
      Ticker t(GO_MS);
      (void)t.Take();
    }
    for (int i = Rounds(10000); i > 0; i--) {
      Ticker t(i % 2 == 0 ? GO_HOUR : GO_NS);
      if (i % 3 == 0) go_ticker_stop(t.t);
    }
  });
}

// Go: TestNewTickerLtZeroDuration, TestTickerResetLtZeroDuration (time/tick_test.go).
TEST(Ticker, PeriodsThatPanic) {
  RunGo([] {
    for (go_nsec d : {go_nsec{0}, go_nsec{-1}, INT64_MIN}) {
      Caught c = Catch([&] { (void)!go_ticker_new(d); });
      EXPECT_EQ(c.rc, GO_EPANIC);
      EXPECT_EQ(c.text(), "go_ticker_new of a period that is not positive");
    }
    Ticker t(GO_HOUR);
    Caught c = Catch([&] { go_ticker_reset(t.t, 0); });
    EXPECT_EQ(c.text(), "go_ticker_reset to a period that is not positive");
    go_ticker_reset(t.t, GO_NS);  // no lock is held
    (void)t.Take();
  });
}

// Go: TestNilTicker... a nil *Ticker panics.
TEST(Ticker, Null) {
  RunGo([] {
    EXPECT_EQ(Catch([] { go_ticker_stop(nullptr); }).text(), "go_ticker_stop of a NULL ticker");
    EXPECT_EQ(Catch([] { go_ticker_reset(nullptr, 1); }).text(),
              "go_ticker_reset of a NULL ticker");
    EXPECT_EQ(Catch([] { (void)go_ticker_chan(nullptr); }).text(),
              "go_ticker_chan of a NULL ticker");
    go_ticker_free(nullptr);
  });
}

// Go: TestChan (time/tick_test.go), tickers: nothing stale after stop and reset, whether anybody
// looked at the channel in between or not. Departure: len is 1 while a tick waits, cap is 1.
TEST(Ticker, NothingStale) {
  RunGo([] {
    Procs procs(4);
    Ticker t(GO_MS);
    EXPECT_EQ(go_chan_cap(t.c()), 1u);
    for (int i = 0; i < 20; i++) {
      Until([&] { return go_chan_len(t.c()) == 1; });
      go_ticker_stop(t.t);
      EXPECT_EQ(go_chan_len(t.c()), 0u);
      EXPECT_FALSE(t.Ready());
      (void)go_sleep(nullptr, 2 * GO_MS);
      EXPECT_FALSE(t.Ready());
      go_nsec now = go_now();
      go_ticker_reset(t.t, GO_MS);  // a stopped one
      EXPECT_GE(t.Take(), now + GO_MS);
      Until([&] { return go_chan_len(t.c()) == 1; });
      now = go_now();
      go_ticker_reset(t.t, 2 * GO_MS);  // one with a tick waiting
      EXPECT_FALSE(t.Ready() && go_now() < now + 2 * GO_MS);
      go_ticker_reset(t.t, GO_MS);
      EXPECT_GE(t.Take(), now + GO_MS);
    }
    go_ticker_stop(t.t);
    go_ticker_stop(t.t);
  });
}

// The same while ticks are on their way on other Ps: a storm of resets, each tick checked.
TEST(Ticker, NothingStaleInAStorm) {
  RunGo([] {
    Procs procs(4);
    std::atomic<bool> stop{false};
    go_wg wg{};
    for (int i = 0; i < 3; i++) {
      SPAWN_WG(&wg, [&] {
        while (!stop) go_yield();
      });
    }
    Ticker t(10 * GO_US);
    Rng rng(3);
    for (int i = Rounds(5000); i > 0; i--) {
      go_nsec now = go_now(), v = 0;
      if (i % 3 == 0) {
        go_ticker_stop(t.t);
        for (int k = rng.Below(4) == 0 ? 50 : 2; k > 0; k--) {
          EXPECT_EQ(go_chan_try_recv(t.c(), nullptr), GO_EAGAIN);
          go_yield();
        }
        now = go_now();
      }
      go_nsec period = 1 + rng.Below(20000);
      go_ticker_reset(t.t, period);
      if (i % 2 == 0) {
        v = t.Take();
        EXPECT_GE(v, now + period);
      } else if (go_chan_try_recv(t.c(), &v) == 0) {
        EXPECT_GE(v, now + period);
      }
    }
    stop = true;
    go_wg_wait(&wg);
  });
}

// Go: TestChan (time/tick_test.go): of several who wait, one gets the tick.
TEST(Ticker, OneReceiverATick) {
  RunGo([] {
    Procs procs(2);
    Ticker t(GO_HOUR);
    go_chan *c = t.c();
    std::atomic<int> got{0};
    go_wg wg{};
    for (int i = 0; i < 3; i++) {
      SPAWN_WG(&wg, [&] {
        EXPECT_TRUE(go_chan_recv(c, nullptr));
        got++;
      });
    }
    Settle();
    for (int i = 1; i <= 3; i++) {
      go_ticker_reset(t.t, GO_US);
      Until([&] { return got >= i; });
      go_ticker_stop(t.t);
      if (got == 3) break;  // the period is short: more may have come
    }
    while (got < 3) {
      go_ticker_reset(t.t, GO_US);
      go_yield();
    }
    go_wg_wait(&wg);
  });
}

// Go: TestMultiWakeupTicker, TestTickerStress/ConcurrentStress (time/internal_test.go and
// tick_test.go): many receivers on a ticker of 1 ns.
TEST(Ticker, ManyReceiversOnTheShortestPeriod) {
  RunGo([] {
    Procs procs(4);
    Ticker t(GO_NS);
    go_chan *c = t.c();
    go_wg wg{};
    for (int i = 0; i < 8; i++) {
      SPAWN_WG(&wg, [&, c] {
        for (int k = Rounds(1000); k > 0; k--) EXPECT_TRUE(go_chan_recv(c, nullptr));
      });
    }
    go_wg_wait(&wg);
  });
}

// In a select, beside others.
TEST(Ticker, InASelect) {
  RunGo([] {
    Ticker a(GO_MS), b(2 * GO_MS);
    int n[2] = {0, 0};
    while (n[0] < 20 || n[1] < 5) {
      go_nsec v = 0;
      go_case k[] = {RecvCase(a.c(), &v), RecvCase(b.c(), &v)};
      n[Select(k)]++;
      EXPECT_GE(go_now(), v);
    }
  });
}

// Stopping does not close the channel; a reference to it outlives the ticker.
TEST(Ticker, ChannelOutlivesTheTicker) {
  RunGo([] {
    go_ticker *t = go_ticker_new(GO_MS);
    go_chan *c = go_chan_ref(go_ticker_chan(t));
    (void)go_chan_recv(c, nullptr);
    go_ticker_stop(t);
    EXPECT_EQ(go_chan_try_recv(c, nullptr), GO_EAGAIN);  // not GO_ECLOSED
    go_ticker_reset(t, GO_MS);
    Until([&] { return go_chan_len(c) == 1; });
    go_ticker_free(t);
    EXPECT_EQ(go_chan_try_recv(c, nullptr), GO_EAGAIN);
    go_chan_unref(c);
  });
}

// Its user closes it: no more ticks, and no harm.
TEST(Ticker, ClosedByItsUser) {
  RunGo([] {
    Ticker t(100 * GO_US);
    (void)t.Take();
    go_chan_close(t.c());
    (void)go_sleep(nullptr, GO_MS);
    go_nsec v = 1;
    while (go_chan_recv(t.c(), &v)) {}
    EXPECT_EQ(v, 0);
    go_ticker_reset(t.t, 100 * GO_US);
    (void)go_sleep(nullptr, GO_MS);
  });
}

// Its user sends on it, too, and waits for room: stopping makes room.
TEST(Ticker, SomebodyElseSends) {
  RunGo([] {
    Procs procs(2);
    Ticker t(GO_HOUR);
    go_chan *c = t.c();
    go_nsec v = 1;
    go_chan_send(c, &v);
    go_wg wg{};
    SPAWN_WG(&wg, [c] {
      go_nsec two = 2;
      go_chan_send(c, &two);
    });
    Settle();
    go_ticker_stop(t.t);
    go_wg_wait(&wg);
    EXPECT_EQ(t.Take(), 2);
  });
}

TEST(Ticker, LongestPeriods) {
  RunGo([] {
    Ticker never(GO_FOREVER), last(GO_FOREVER - 1);
    (void)go_sleep(nullptr, GO_MS);
    EXPECT_FALSE(never.Ready());
    EXPECT_FALSE(last.Ready());
    go_ticker_reset(never.t, GO_US);
    (void)never.Take();
    go_ticker_reset(never.t, GO_FOREVER);
    EXPECT_FALSE(never.Ready());
  });
}

TEST(Ticker, FromPlainThreads) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([] {
      Ticker t(300 * GO_US);
      go_nsec last = 0;
      for (int k = 0; k < 20; k++) {
        go_nsec v = t.Take();
        EXPECT_GT(v, last);
        last = v;
        if (k % 5 == 0) go_ticker_reset(t.t, 200 * GO_US);
      }
    });
  }
  for (auto &t : threads) t.join();
}

// Freed at any moment, also while a tick is on its way.
TEST(Ticker, FreedWhileItTicks) {
  RunGo([] {
    Procs procs(4);
    go_wg wg{};
    for (int g = 0; g < 4; g++) {
      SPAWN_WG(&wg, [g] {
        Rng rng(static_cast<uint64_t>(g));
        for (int i = Rounds(3000); i > 0; i--) {
          Ticker t(1 + rng.Below(2000));
          uint32_t what = rng.Below(4);
          if (what == 0) (void)t.Take();
          if (what == 1) go_yield();
          if (what == 2) go_ticker_reset(t.t, 1 + rng.Below(2000));
        }
      });
    }
    go_wg_wait(&wg);
  });
}

// Heaps move under it.
TEST(Ticker, OfPsThatGoAway) {
  RunGo([] {
    Procs procs(8);
    std::atomic<int> done{0};
    go_wg wg{};
    for (int g = 0; g < 16; g++) {
      SPAWN_WG(&wg, [&] {
        Ticker t(200 * GO_US);
        go_nsec first = t.Take();
        for (int i = 0; i < 100; i++) EXPECT_EQ((t.Take() - first) % (200 * GO_US), 0);
        done++;
      });
    }
    for (int i = 0; done < 16; i++) {
      (void)go_procs(1 + i * 5 % 8);
      (void)go_sleep(nullptr, 300 * GO_US);
    }
    go_wg_wait(&wg);
  });
}

// Last: it stops the scheduler. A ticker that lives through that is stopped, and can be reset.
TEST(TickerShutdown, IsStopped) {
  Ticker t(GO_MS);
  (void)t.Take();
  ASSERT_EQ(go_shutdown(GO_FOREVER), 0);
  (void)t.Ready();  // one may have come just before
  EXPECT_FALSE(t.Ready());
  go_ticker_reset(t.t, GO_MS);
  (void)t.Take();
  go_ticker_stop(t.t);
  ASSERT_EQ(go_shutdown(GO_FOREVER), 0);
  go_ticker_stop(t.t);
}

}  // namespace
