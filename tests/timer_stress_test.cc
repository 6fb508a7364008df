// Timers under load, with exact accounts: whatever was started ends in exactly one way.

#include <thread>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

// Everything that a storm does to timers, and what came of it. An arming (start or reset) ends by
// firing, by a stop that returned true, or by a reset that returned true.
struct Account {
  std::atomic<int64_t> armed{0}, fired{0}, ended{0}, early{0};
  void Check() {
    Until([&] { return fired + ended == armed; });
    // Nothing fires after that.
    Settle();
    EXPECT_EQ(fired + ended, armed);
    EXPECT_EQ(early, 0);
    EXPECT_GT(fired, 0);
    EXPECT_GT(ended, 0);
  }
};

struct Shared {
  go_timer t{};
  Account *account = nullptr;
  static void Fire(void *p) { static_cast<Shared *>(p)->account->fired++; }
};

go_nsec SomeTime(Rng *rng) {
  switch (rng->Below(6)) {
    case 0: return 0;
    case 1: return GO_HOUR;
    case 2: return GO_FOREVER - rng->Below(2);
    case 3: return rng->Below(1000);
    case 4: return rng->Below(200) * GO_US;
    default: return rng->Below(30) * GO_US;
  }
}

// One step of somebody who shares the timers with others. Panics: so many more he may catch.
void Step(Account *a, Shared *s, Rng *rng, int *panics) {
  switch (rng->Below(*panics > 0 ? 3 : 2)) {
    case 0:
      if (go_timer_stop(&s->t)) a->ended++;
      break;
    case 1:
      a->armed++;
      if (go_timer_reset(&s->t, SomeTime(rng))) a->ended++;
      break;
    default: {  // as if it were his: most times it is active already
      a->armed++;
      go_nsec d = SomeTime(rng);
      if (Panics([&] { (void)!go_timer_start(&s->t, d, Shared::Fire, s); })) {
        a->armed--;
        --*panics;
      }
    }
  }
}

void Storm(int timers, int goroutines, int threads, bool change_procs) {
  Account a;
  std::vector<Shared> all(static_cast<size_t>(timers));
  go_nsec end = StressEnd();
  RunGo([&] {
    for (Shared &s : all) {
      s.account = &a;
      a.armed++;
      EXPECT_EQ(go_timer_start(&s.t, GO_HOUR, Shared::Fire, &s), 0);
    }
  });
  auto work = [&](uint64_t seed) {
    Rng rng(seed);
    int panics = kTsan ? 1000 : INT32_MAX;  // each leaves something on TSan's shadow stack
    for (int i = 0; i % 64 != 0 || go_now() < end; i++) {
      Step(&a, &all[rng.Below(static_cast<uint32_t>(timers))], &rng, &panics);
      if (rng.Below(16) == 0) go_yield();
      if (rng.Below(4000) == 0) (void)go_sleep(nullptr, 100 * GO_US);
    }
  };
  std::vector<std::thread> ts;
  for (int i = 0; i < threads; i++) ts.emplace_back(work, 1000 + i);
  int procs = go_procs(0);
  RunGo([&] {
    go_wg wg{};
    for (int i = 0; i < goroutines; i++) {
      SPAWN_WG(&wg, [&work, i] { work(static_cast<uint64_t>(i)); });
    }
    Rng rng(77);
    while (change_procs && go_now() < end) {
      (void)go_procs(static_cast<int>(1 + rng.Below(8)));
      (void)go_sleep(nullptr, rng.Below(3000) * GO_US);
    }
    go_wg_wait(&wg);
  });
  for (auto &t : ts) t.join();
  (void)go_procs(procs);
  for (Shared &s : all) {
    if (go_timer_stop(&s.t)) a.ended++;
  }
  a.Check();
}

TEST(TimerStress, FewTimersManyUsers) { Storm(3, 6, 2, false); }
TEST(TimerStress, ManyTimers) { Storm(500, 6, 2, false); }
TEST(TimerStress, PsComeAndGo) { Storm(50, 6, 2, true); }
TEST(TimerStress, ThreadsOnly) { Storm(8, 0, 4, false); }

// Timers of one owner each, which live in memory that is freed at once: by the owner when it was
// stopped, else by the function.
struct Owned {
  go_timer t;
  Account *account;
  std::atomic<int> *left;
  go_nsec not_before;
  static void Fire(void *p) {
    Owned *o = static_cast<Owned *>(p);
    Account *a = o->account;
    std::atomic<int> *left = o->left;
    if (go_now() < o->not_before) a->early++;
    memset(static_cast<void *>(o), 0xee, sizeof *o);
    delete o;
    a->fired++;
    (*left)--;
  }
};

TEST(TimerStress, ShortLives) {
  Account a;
  go_nsec end = StressEnd();
  RunGo([&] {
    go_wg wg{};
    std::atomic<int> left{0};
    for (uint64_t g = 0; g < 6; g++) {
      SPAWN_WG(&wg, [&, g] {
        Rng rng(g);
        while (go_now() < end) {
          Owned *o = new Owned{};
          o->account = &a;
          o->left = &left;
          left++;
          go_nsec d = rng.Below(4) == 0 ? GO_HOUR : rng.Below(60) * GO_US;
          o->not_before = go_now() + d;
          a.armed++;
          bool far = d == GO_HOUR;
          EXPECT_EQ(go_timer_start(&o->t, d, Owned::Fire, o), 0);
          if (!far) continue;  // it frees itself, perhaps before this line
          if (rng.Below(2) == 0) go_yield();
          if (rng.Below(2) == 0) {  // sooner
            a.armed++;
            a.ended++;
            o->not_before = go_now();
            EXPECT_TRUE(go_timer_reset(&o->t, rng.Below(50) * GO_US));
          } else {
            EXPECT_TRUE(go_timer_stop(&o->t));
            a.ended++;
            left--;
            memset(static_cast<void *>(o), 0xdd, sizeof *o);
            delete o;
          }
          while (left > 2000) go_yield();
        }
      });
    }
    go_wg_wait(&wg);
    Until([&] { return left == 0; });
  });
  a.Check();
}

// Channels of go_after and tickers, dropped by anybody at any time; no tick is stale.
TEST(TimerStress, Channels) {
  go_nsec end = StressEnd();
  RunGo([&] {
    go_wg wg{};
    std::atomic<int64_t> came{0}, stale{0};
    for (uint64_t g = 0; g < 6; g++) {
      SPAWN_WG(&wg, [&, g] {
        Rng rng(g);
        while (go_now() < end) {
          go_nsec now = go_now(), v = 0, d = 1 + rng.Below(40000);
          if (rng.Below(2) == 0) {
            go_chan *c = go_after(d);
            if (rng.Below(2) == 0) {
              SPAWN([c = go_chan_ref(c), n = rng.Below(3)] {
                for (uint32_t i = 0; i < n; i++) go_yield();
                go_chan_unref(c);
              });
            }
            if (rng.Below(2) == 0) {
              (void)go_chan_recv(c, &v);
              if (v < now + d || v > go_now()) stale++;
              came++;
            }
            go_chan_unref(c);
            continue;
          }
          go_ticker *t = go_ticker_new(d);
          for (uint32_t i = rng.Below(6); i > 0; i--) {
            now = go_now();
            d = 1 + rng.Below(20000);
            go_ticker_reset(t, d);
            if (rng.Below(2) == 0) {
              (void)go_chan_recv(go_ticker_chan(t), &v);
              if (v < now + d || v > go_now()) stale++;
              came++;
            }
            if (rng.Below(4) == 0) {
              go_ticker_stop(t);
              if (go_chan_len(go_ticker_chan(t)) != 0) stale++;
            }
          }
          go_ticker_free(t);
        }
      });
    }
    // Somebody else stops and resets the one that all of them share.
    go_ticker *shared = go_ticker_new(GO_US);
    for (int i = 0; i < 3; i++) {
      SPAWN_WG(&wg, [&, i] {
        Rng rng(static_cast<uint64_t>(50 + i));
        while (go_now() < end) {
          if (rng.Below(3) == 0) go_ticker_stop(shared);
          if (rng.Below(2) == 0) go_ticker_reset(shared, 1 + rng.Below(3000));
          (void)!go_chan_try_recv(go_ticker_chan(shared), nullptr);
          if (rng.Below(8) == 0) go_yield();
        }
      });
    }
    go_wg_wait(&wg);
    go_ticker_free(shared);
    EXPECT_EQ(stale, 0);
    EXPECT_GT(came, 0);
    Until([] { return go_count() == 1; });
  });
}

}  // namespace
