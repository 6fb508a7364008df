// go_timer: functions that run at a time.

#include <algorithm>
#include <functional>
#include <thread>
#include <vector>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

// A timer that calls a lambda.
struct Timer {
  go_timer t{};
  std::function<void()> fn;

  static void Call(void *p) { static_cast<Timer *>(p)->fn(); }
  void Start(go_nsec d, std::function<void()> f) {
    fn = std::move(f);
    EXPECT_EQ(go_timer_start(&t, d, Call, this), 0);
  }
  bool Stop() { return go_timer_stop(&t); }
  bool Reset(go_nsec d) { return go_timer_reset(&t, d); }
};

// Go: TestAfterFunc (time/sleep_test.go): ten, each started by the one before.
TEST(Timer, EachStartsTheNext) {
  RunGo([] {
    Chan<Unit> done(0);
    Timer t;
    int left = 10;
    std::function<void()> next = [&] {
      if (--left >= 0) {
        t.Start(GO_MS, next);
      } else {
        done.Send(Unit{});
      }
    };
    t.Start(0, next);
    (void)done.Take();
    EXPECT_EQ(left, -1);
  });
}

// Go: TestAfterFuncStarvation (time/sleep_test.go): on one P, a ping-pong pair does not starve a
// timer.
TEST(Timer, NotStarvedByAPingPong) {
  RunGo([] {
    Procs procs(1);
    Chan<int> there(0), back(0);
    std::atomic<bool> stop{false};
    go_wg wg{};
    SPAWN_WG(&wg, [&] {
      while (!stop) {
        there.Send(1);
        (void)back.Take();
      }
      there.Close();
    });
    SPAWN_WG(&wg, [&] {
      while (there.Recv(nullptr)) back.Send(1);
    });
    Timer t;
    t.Start(10 * GO_MS, [&] { stop = true; });
    go_wg_wait(&wg);  // hangs if starved
  });
}

// Go: TestAfter (time/sleep_test.go), for functions: never early.
TEST(Timer, NeverEarly) {
  RunGo([] {
    Procs procs(4);
    std::atomic<int> early{0};
    std::vector<Timer> ts(500);
    go_wg wg{};
    Rng rng(1);
    go_wg_add(&wg, static_cast<int>(ts.size()));
    for (Timer &t : ts) {
      go_nsec d = rng.Below(20000) * GO_US, start = go_now();
      t.Start(d, [&early, &wg, d, start] {
        if (go_now() - start < d) early++;
        go_wg_done(&wg);
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(early, 0);
  });
}

// Go: TestAfterStop (time/sleep_test.go): what was stopped does not fire.
TEST(Timer, Stopped) {
  RunGo([] {
    std::atomic<int> fired{0};
    Timer one, other;
    one.Start(10 * GO_MS, [&] { fired++; });
    EXPECT_TRUE(one.Stop());
    EXPECT_FALSE(one.Stop());
    Chan<Unit> done(1);
    other.Start(30 * GO_MS, [&] { done.Send(Unit{}); });
    (void)done.Take();
    EXPECT_EQ(fired, 0);
    EXPECT_FALSE(other.Stop());  // it has fired
    EXPECT_FALSE(one.Stop());
  });
}

// Go: TestReset (time/sleep_test.go).
TEST(Timer, Reset) {
  RunGo([] {
    Chan<Unit> fired(10);
    Timer t;
    t.Start(GO_HOUR, [&] { fired.Send(Unit{}); });
    EXPECT_TRUE(t.Reset(2 * GO_HOUR));
    EXPECT_TRUE(t.Reset(0));  // forward
    (void)fired.Take();
    EXPECT_FALSE(t.Stop());
    EXPECT_FALSE(t.Reset(GO_MS));  // a fired one
    (void)fired.Take();
    EXPECT_FALSE(t.Reset(GO_HOUR));
    EXPECT_TRUE(t.Stop());
    EXPECT_FALSE(t.Reset(0));  // a stopped one
    (void)fired.Take();
    EXPECT_EQ(fired.Len(), 0u);
    EXPECT_FALSE(t.Stop());
  });
}

// Go: TestZeroTimerStopPanics, TestZeroTimerResetPanics (time/sleep_test.go). Departure: a timer
// that was never started may be stopped.
TEST(Timer, NeverStarted) {
  RunGo([] {
    go_timer t{};
    EXPECT_FALSE(go_timer_stop(&t));
    Caught c = Catch([&] { (void)go_timer_reset(&t, 0); });
    EXPECT_EQ(c.rc, GO_EPANIC);
    EXPECT_EQ(c.text(), "go_timer_reset of a timer that was never started");
    c = Catch([&] { (void)go_timer_reset(&t, GO_FOREVER); });
    EXPECT_EQ(c.rc, GO_EPANIC);
    EXPECT_FALSE(go_timer_stop(&t));
    Timer ok;  // no lock is held
    Chan<Unit> done(0);
    ok.Start(0, [&] { done.Send(Unit{}); });
    (void)done.Take();
  });
}

// Go: TestIssue5745 (time/sleep_test.go): a panic over a nil timer leaves no lock held.
TEST(Timer, Null) {
  RunGo([] {
    Timer armed;
    armed.Start(GO_HOUR, [] {});
    Caught c = Catch([] { (void)go_timer_stop(nullptr); });
    EXPECT_EQ(c.text(), "go_timer_stop of a NULL timer");
    c = Catch([] { (void)go_timer_reset(nullptr, 1); });
    EXPECT_EQ(c.text(), "go_timer_reset of a NULL timer");
    c = Catch([] { (void)!go_timer_start(nullptr, 1, Timer::Call, nullptr); });
    EXPECT_EQ(c.text(), "go_timer_start of a NULL timer");
    EXPECT_TRUE(armed.Reset(GO_HOUR));
    EXPECT_TRUE(armed.Stop());
  });
}

// Not a Go test: Go's timers are made active. The one that is active stays as it was.
TEST(Timer, StartOfAnActiveOnePanics) {
  RunGo([] {
    for (go_nsec first : {GO_HOUR, GO_FOREVER}) {
      Chan<Unit> done(8);
      std::atomic<int> wrong{0};
      Timer t;
      t.Start(first, [&] { done.Send(Unit{}); });
      for (go_nsec d : {go_nsec{0}, GO_MS, GO_FOREVER}) {
        Caught c = Catch([&] {
          (void)!go_timer_start(
              &t.t, d, [](void *n) { (*static_cast<std::atomic<int> *>(n))++; }, &wrong);
        });
        EXPECT_EQ(c.rc, GO_EPANIC);
        EXPECT_EQ(c.text(), "go_timer_start of an active timer");
      }
      EXPECT_TRUE(t.Reset(0));
      (void)done.Take();
      EXPECT_FALSE(t.Stop());
      EXPECT_EQ(wrong, 0);
    }
  });
}

// Once it is idle it may be started with something else.
TEST(Timer, StartedAnew) {
  RunGo([] {
    Chan<int> got(0);
    Timer t;
    for (int i = 0; i < 100; i++) {
      t.Start(i % 3 == 0 ? GO_HOUR : 0, [&got, i] { got.Send(i); });
      if (i % 3 == 0) {
        EXPECT_TRUE(t.Stop());
      } else {
        EXPECT_EQ(got.Take(), i);
      }
    }
  });
}

// Go: TestOverflowRuntimeTimer, TestOverflowSleep (time/sleep_test.go): the longest never fire, the
// most negative fire at once.
TEST(Timer, ExtremeDurations) {
  RunGo([] {
    std::atomic<int> fired{0};
    Timer longest[3], now[3];
    go_nsec d[] = {GO_FOREVER, GO_FOREVER - 1, GO_FOREVER - go_now() + 1};
    for (int i = 0; i < 3; i++) longest[i].Start(d[i], [&] { fired++; });
    Chan<Unit> done(3);
    now[0].Start(INT64_MIN, [&] { done.Send(Unit{}); });
    now[1].Start(-1, [&] { done.Send(Unit{}); });
    now[2].Start(0, [&] { done.Send(Unit{}); });
    for (int i = 0; i < 3; i++) (void)done.Take();
    EXPECT_EQ(fired, 0);
    for (Timer &t : longest) EXPECT_TRUE(t.Stop());
    for (Timer &t : longest) EXPECT_FALSE(t.Stop());
  });
}

// To and from "never", in all states.
TEST(Timer, Forever) {
  RunGo([] {
    Chan<Unit> fired(4);
    Timer t;
    t.Start(GO_FOREVER, [&] { fired.Send(Unit{}); });
    EXPECT_TRUE(t.Reset(GO_FOREVER));
    EXPECT_TRUE(t.Reset(GO_HOUR));
    EXPECT_TRUE(t.Reset(GO_FOREVER));
    EXPECT_TRUE(t.Stop());
    EXPECT_FALSE(t.Reset(GO_FOREVER));
    EXPECT_TRUE(t.Reset(0));
    (void)fired.Take();
    EXPECT_FALSE(t.Reset(GO_FOREVER));
    EXPECT_TRUE(t.Reset(GO_MS));
    (void)fired.Take();
    EXPECT_FALSE(t.Stop());
    EXPECT_EQ(fired.Len(), 0u);
  });
}

// Go: TestZeroTimer (time/sleep_test.go).
TEST(Timer, ManyAtOnce) {
  RunGo([] {
    const int n = Rounds(200000);
    std::atomic<int> fired{0};
    struct Counting {
      go_timer t;
      std::atomic<int> *fired;
    };
    constexpr size_t kRing = 1000;
    auto ts = std::make_unique<Counting[]>(kRing);
    for (Counting &t : std::vector<std::reference_wrapper<Counting>>(&ts[0], &ts[kRing])) {
      t.fired = &fired;
    }
    for (int i = 0; i < n; i++) {
      size_t k = static_cast<size_t>(i) % kRing;
      if (k == 0) Until([&] { return fired == i; });
      ASSERT_EQ(go_timer_start(
                    &ts[k].t, 0, [](void *p) { (*static_cast<Counting *>(p)->fired)++; }, &ts[k]),
                0);
    }
    Until([&] { return fired == n; });
  });
}

// A burst of timers is no burst of goroutines, however long others take before they yield.
TEST(Timer, BurstBesideSlowYielders) {
  RunGo([] {
    Procs procs(1);
    constexpr int kTimers = 10000, kYielders = 8;
    std::atomic<int> fired{0};
    std::atomic<int64_t> most{0};  // written by one yielder
    std::atomic<bool> stop{false};
    go_wg wg{};
    for (int g = 0; g < kYielders; g++) {
      SPAWN_WG(&wg, [&, g] {
        for (; !stop; go_yield()) {
          if (g == 0) most = std::max(most.load(), go_count());
          go_nsec until = go_now() + 100 * GO_US;
          while (fired < 1000 && go_now() < until) {}
        }
      });
    }
    std::vector<go_timer> ts(kTimers);
    for (go_timer &t : ts) {
      ASSERT_EQ(go_timer_start(
                    &t, 0, [](void *n) { ++*static_cast<std::atomic<int> *>(n); }, &fired),
                0);
    }
    while (fired < kTimers) go_yield();
    stop = true;
    go_wg_wait(&wg);
    EXPECT_LT(most.load(), 500);
  });
}

// Go: TestTimerModifiedEarlier (time/sleep_test.go): moved from far away into the past, it is not
// lost.
TEST(Timer, ModifiedEarlier) {
  RunGo([] {
    Procs procs(4);
    for (int i = Rounds(100); i > 0; i--) {
      Chan<Unit> done(1);
      Timer far, t;
      far.Start(GO_HOUR, [] {});
      t.Start(2 * GO_HOUR, [&] { done.Send(Unit{}); });
      if (i % 2 == 0) go_yield();
      EXPECT_TRUE(t.Reset(-10 * GO_SEC));
      (void)done.Take();
      EXPECT_TRUE(far.Stop());
    }
  });
}

// Go: TestAdjustTimers (time/sleep_test.go): a hundred timers, started, moved and stopped at random
// until each has fired.
TEST(Timer, MovedAtRandom) {
  RunGo([] {
    Procs procs(4);
    Rng rng(7);
    std::vector<Timer> ts(100);
    std::vector<Timer *> left;
    std::atomic<int> fired{0};
    for (Timer &t : ts) {
      t.Start(GO_HOUR, [&] { fired++; });
      left.push_back(&t);
    }
    int stopped = 0;
    while (!left.empty()) {
      size_t k = rng.Below(static_cast<uint32_t>(left.size()));
      Timer *t = left[k];
      uint32_t what = rng.Below(100);
      if (what < 40) {
        EXPECT_TRUE(t->Reset(GO_HOUR + rng.Below(1000) * GO_SEC));
      } else if (what < 60) {
        EXPECT_TRUE(t->Reset(GO_FOREVER - rng.Below(2)));
      } else if (what < 80) {
        EXPECT_TRUE(t->Stop());
        EXPECT_FALSE(t->Reset(GO_HOUR));
      } else {
        bool stop = what < 90;
        if (stop) {
          EXPECT_TRUE(t->Stop());
          stopped++;
        } else {
          EXPECT_TRUE(t->Reset(rng.Below(1000) * GO_US));
        }
        left[k] = left.back();
        left.pop_back();
      }
      if (rng.Below(8) == 0) go_yield();
    }
    Until([&] { return fired + stopped == 100; });
  });
}

// Go: TestStopResult, TestResetResult (time/sleep_test.go; issue 69312), for functions: stop and
// reset say true exactly when what was set before does not run.
TEST(Timer, StopAndResetTellTheTruth) {
  RunGo([] {
    Procs procs(4);
    const int n = Goroutines(1000);
    std::atomic<int> wrong{0};
    go_wg all{};
    for (int g = 0; g < n; g++) {
      SPAWN_WG(&all, [&, g] {
        Rng rng(static_cast<uint64_t>(g));
        for (int i = Rounds(20); i > 0; i--) {
          std::atomic<int> fired{0};
          Timer t;
          t.Start(rng.Below(200) * GO_US, [&] { fired++; });
          if (rng.Below(2) == 0) {
            (void)go_sleep(nullptr, rng.Below(200) * GO_US);
          }
          int expected;
          if (rng.Below(2) == 0) {
            expected = t.Stop() ? 0 : 1;
          } else {
            expected = t.Reset(0) ? 1 : 2;
          }
          Until([&] { return fired >= expected; });
          if (t.Stop() || fired != expected) wrong++;
        }
      });
    }
    go_wg_wait(&all);
    EXPECT_EQ(wrong, 0);
  });
}

// The function has a goroutine of its own: it may wait for as long as it likes, and others fire
// meanwhile.
TEST(Timer, FunctionMayBlock) {
  RunGo([] {
    Procs procs(1);
    Chan<Unit> gate(0), in(0), out(0);
    std::vector<Timer> ts(50);
    for (Timer &t : ts) {
      t.Start(0, [&] {
        EXPECT_NE(go_id(), 0u);
        in.Send(Unit{});
        (void)gate.Take();
        EXPECT_EQ(go_sleep(nullptr, GO_MS), 0);
        out.Send(Unit{});
      });
    }
    for (size_t i = 0; i < ts.size(); i++) (void)in.Take();
    for (Timer &t : ts) EXPECT_FALSE(t.Stop());  // it does not wait for the function
    gate.Close();
    for (size_t i = 0; i < ts.size(); i++) (void)out.Take();
  });
}

// A timer may be freed by its function, even if that runs before the call that started it returns.
TEST(Timer, FreedByItsFunction) {
  RunGo([] {
    Procs procs(4);
    struct Own {
      go_timer t;
      go_wg *wg;
      bool again;
    };
    const int n = Rounds(20000);
    go_wg wg{};
    auto body = [](void *p) {
      Own *o = static_cast<Own *>(p);
      if (o->again) {
        o->again = false;
        (void)go_timer_reset(&o->t, 0);
        return;
      }
      go_wg *w = o->wg;
      memset(static_cast<void *>(o), 0xff, sizeof *o);
      delete o;
      go_wg_done(w);
    };
    for (int part = 0; part < 4; part++) {
      go_wg_add(&wg, n / 4);
      SPAWN([&wg, body, n, part] {
        for (int i = 0; i < n / 4; i++) {
          Own *o = new Own{{}, &wg, i % 2 == 0};
          EXPECT_EQ(go_timer_start(&o->t, i % 3 == part ? 20 * GO_US : 0, body, o), 0);
          if (i % 64 == 0) go_yield();
        }
      });
    }
    go_wg_wait(&wg);
  });
}

// A function that resets its own timer makes a periodic one.
TEST(Timer, ResetByItsFunction) {
  RunGo([] {
    Chan<Unit> done(0);
    int n = 0;
    Timer t;
    t.Start(0, [&] {
      if (++n < 200) {
        EXPECT_FALSE(t.Reset(10 * GO_US));
      } else {
        done.Send(Unit{});
      }
    });
    (void)done.Take();
    EXPECT_EQ(n, 200);
  });
}

// Everybody sleeps; the timekeeper does not.
TEST(Timer, FiresWhileAllArePaked) {
  for (int procs : {1, 2, 8}) {
    RunGo([procs] {
      Procs p(procs);
      for (go_nsec d : {GO_MS, 20 * GO_MS}) {
        Chan<Unit> done(0);
        Timer late, t;
        late.Start(GO_HOUR, [] {});
        t.Start(d, [&] { done.Send(Unit{}); });
        (void)done.Take();
        EXPECT_TRUE(late.Stop());
      }
    });
  }
}

// An earlier one than the timekeeper waits for.
TEST(Timer, LaterOnesDoNotHideEarlierOnes) {
  RunGo([] {
    Procs procs(4);
    std::vector<Timer> late(50);
    for (Timer &t : late) t.Start(GO_HOUR, [] {});
    (void)go_sleep(nullptr, GO_MS);
    for (int i = 0; i < 20; i++) {
      Chan<Unit> done(0);
      Timer t;
      t.Start(GO_MS, [&] { done.Send(Unit{}); });
      (void)done.Take();
    }
    // When the first one is stopped the timekeeper may have to look again for who comes next.
    Chan<Unit> done(0);
    Timer first, second;
    second.Start(20 * GO_MS, [&] { done.Send(Unit{}); });
    first.Start(10 * GO_MS, [] {});
    EXPECT_TRUE(first.Stop());
    (void)done.Take();
    for (Timer &t : late) EXPECT_TRUE(t.Stop());
  });
}

// A panic of the function ends its goroutine only, and the report names where the timer was
// started.
std::string reported_site;
TEST(Timer, PanicOfItsFunction) {
  static Chan<Unit> told(1);
  go_set_panic_handler([](const go_panic_info *info) {
    reported_site = info->site;
    told.Send(Unit{});
  });
  RunGo([] {
    go_timer t{};
    EXPECT_EQ(go_timer_start(
                  &t, 0, [](void *) { go_panic("as planned"); }, nullptr),
              0);
    (void)told.Take();
    EXPECT_NE(reported_site.find("timer_test.cc"), std::string::npos) << reported_site;
    EXPECT_FALSE(go_timer_stop(&t));
  });
  go_set_panic_handler(nullptr);
}

// ---- Plain threads.

TEST(Timer, FromPlainThreads) {
  RunGo([] {});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([i] {
      Rng rng(static_cast<uint64_t>(i));
      for (int k = Rounds(200); k > 0; k--) {
        std::atomic<int> fired{0};
        Timer t;
        t.Start(rng.Below(3) == 0 ? GO_HOUR : rng.Below(100) * GO_US, [&] { fired++; });
        int expected = t.Reset(rng.Below(100) * GO_US) ? 1 : 2;
        Until([&] { return fired == expected; });
        EXPECT_FALSE(t.Stop());
      }
    });
  }
  for (auto &t : threads) t.join();
}

// One that a goroutine has started is stopped by a thread, and the other way round.
TEST(Timer, StoppedFromElsewhere) {
  Timer a, b;
  RunGo([&] { a.Start(GO_HOUR, [] {}); });
  EXPECT_TRUE(a.Reset(2 * GO_HOUR));
  EXPECT_TRUE(a.Stop());
  b.Start(GO_HOUR, [] {});
  RunGo([&] {
    EXPECT_TRUE(b.Stop());
    EXPECT_FALSE(a.Stop());
  });
}

// ---- Ps that come and go.

TEST(Timer, OfPsThatGoAway) {
  RunGo([] {
    Procs procs(8);
    const int kParts = 8, kEach = Rounds(8000) / kParts;
    std::atomic<int> fired{0}, stopped{0}, armed{0};
    go_wg wg{};
    std::atomic<bool> over{false};
    for (int part = 0; part < kParts; part++) {
      SPAWN_WG(&wg, [&, part] {
        Rng rng(static_cast<uint64_t>(part));
        std::vector<Timer> ts(static_cast<size_t>(kEach));
        for (Timer &t : ts) {
          armed++;
          t.Start(GO_MS + rng.Below(200000) * GO_US, [&] { fired++; });
          if (rng.Below(16) == 0) go_yield();
        }
        for (Timer &t : ts) {
          if (rng.Below(3) == 0) {
            armed++;
            if (t.Reset(rng.Below(100000) * GO_US)) stopped++;
          } else if (rng.Below(3) == 0 && t.Stop()) {
            stopped++;
          }
          if (rng.Below(16) == 0) go_yield();
        }
        while (!over) (void)go_sleep(nullptr, GO_MS);
        for (Timer &t : ts) EXPECT_FALSE(t.Stop());
      });
    }
    Rng rng(99);
    while (armed < kParts * kEach || fired + stopped < armed) {
      (void)go_procs(static_cast<int>(1 + rng.Below(8)));
      (void)go_sleep(nullptr, rng.Below(2000) * GO_US);
    }
    over = true;
    go_wg_wait(&wg);
    EXPECT_EQ(fired + stopped, armed);
  });
}

// ---- Stopping the scheduler: last, as it makes a fresh one.

// Timers that are active when it stops do not fire and are idle afterwards; the next start begins
// anew.
TEST(TimerShutdown, LiveTimers) {
  for (int round = 0; round < 5; round++) {
    std::atomic<int> fired{0};
    std::vector<Timer> ts(200), never(10), soon(200);
    for (Timer &t : ts) t.Start(GO_HOUR, [&] { fired++; });
    for (Timer &t : never) t.Start(GO_FOREVER, [&] { fired++; });
    std::atomic<int> count{0};
    RunGo([&] {
      Procs procs(1 + round % 3);
      // They fire while it stops, or do not: but what is started runs.
      for (size_t i = 0; i < soon.size(); i++) {
        soon[i].Start(static_cast<go_nsec>(i) * 2 * GO_US, [&] { count++; });
      }
    });
    ASSERT_EQ(go_shutdown(GO_FOREVER), 0);
    EXPECT_EQ(fired, 0);
    int idle = 0, at_end = count;
    for (Timer &t : ts) EXPECT_FALSE(t.Stop());
    for (Timer &t : never) EXPECT_TRUE(t.Stop());
    for (Timer &t : soon) {
      EXPECT_FALSE(t.Stop());
      idle++;
    }
    EXPECT_LE(at_end, idle);
    Chan<Unit> done(1);
    ts[0].Start(GO_MS, [&] { done.Send(Unit{}); });  // starts the scheduler
    (void)done.Take();
    EXPECT_EQ(count, at_end);
    EXPECT_FALSE(soon[0].Reset(0));  // one that was idle before
    Until([&] { return count == at_end + 1; });
  }
}

// When it cannot stop because goroutines are left, timers go on.
TEST(TimerShutdown, TimesOut) {
  Chan<Unit> gate(0), fired(1);
  Timer t;
  SPAWN([&] { (void)gate.Take(); });
  t.Start(20 * GO_MS, [&] { fired.Send(Unit{}); });
  EXPECT_EQ(go_shutdown(GO_MS), GO_ETIMEDOUT);
  (void)fired.Take();
  gate.Send(Unit{});
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
}

// A limit on goroutines does not hold timers up.
TEST(TimerShutdown, MaxGoroutines) {
  ASSERT_EQ(go_shutdown(GO_FOREVER), 0);
  go_config cfg{};
  cfg.max_goroutines = 2;
  ASSERT_EQ(go_init(&cfg), 0);
  RunGo([] {
    Chan<Unit> gate(0), done(0);
    SPAWN([&] { (void)gate.Take(); });
    EXPECT_EQ(go_spawn([](void *) {}, nullptr), GO_EAGAIN);
    Timer t, u;
    t.Start(0, [&] { done.Send(Unit{}); });
    u.Start(0, [&] { done.Send(Unit{}); });
    (void)done.Take();
    (void)done.Take();
    gate.Send(Unit{});
    Until([] { return go_count() == 1; });
    for (int i = 0; i < 3; i++) {  // they are no longer counted
      SPAWN([&] { done.Send(Unit{}); });
      (void)done.Take();
      Until([] { return go_count() == 1; });
    }
  });
  ASSERT_EQ(go_shutdown(GO_FOREVER), 0);
}

}  // namespace
