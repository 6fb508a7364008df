// A million timers at a time: started, reset, stopped and fired while Ps come and go, in memory and
// time that a million of them deserve.

#include <algorithm>
#include <cstdio>

#include "tests/support/golib_test.h"
#include "tests/support/system.h"

using namespace golib_test;

namespace {

const int kN = Many(kSanitized ? 50000 : 1000000);
constexpr int kParts = 8;
const int kEach = kN / kParts;

struct Counted {
  go_timer t;
  std::atomic<int64_t> *fired;
  static void Fire(void *p) { (*static_cast<Counted *>(p)->fired)++; }
};

struct Million {
  std::unique_ptr<Counted[]> all{new Counted[kN]()};
  std::atomic<int64_t> fired{0}, stopped{0}, armed{0};

  Counted &At(int part, int i) { return all[static_cast<size_t>(part * kEach + i)]; }
  // Calls f(part) on goroutines, one for each part, while Ps come and go.
  template <class F>
  void Each(F f) {
    go_wg wg{};
    std::atomic<bool> over{false};
    for (int part = 0; part < kParts; part++) {
      SPAWN_WG(&wg, [f, part] { f(part); });
    }
    SPAWN([&] {
      go_wg_wait(&wg);
      over = true;
    });
    Rng rng(1);
    while (!over) {
      (void)go_procs(static_cast<int>(1 + rng.Below(8)));
      (void)go_sleep(nullptr, 5 * GO_MS);
    }
    (void)go_procs(4);
  }
};

// Go: TestLongAdjustTimers (time/sleep_test.go).
TEST(Million, StartResetStopFire) {
  RunGo([] {
    Procs procs(4);
    Million m;
    size_t before = ResidentBytes(), most = 0;
    go_nsec start = go_now();
    m.Each([&m](int part) {
      Rng rng(static_cast<uint64_t>(part));
      for (int i = 0; i < kEach; i++) {
        Counted &c = m.At(part, i);
        c.fired = &m.fired;
        EXPECT_EQ(go_timer_start(&c.t, GO_HOUR + rng.Below(1 << 30), Counted::Fire, &c), 0);
        if (i % 1024 == 0) go_yield();
      }
      m.armed += kEach;
    });
    most = ResidentBytes();
    // Each of them anew, by another one's goroutine; a third stopped, a third due soon.
    m.Each([&m](int part) {
      Rng rng(static_cast<uint64_t>(part + 100));
      int64_t armed = 0, stopped = 0;
      for (int i = 0; i < kEach; i++) {
        Counted &c = m.At((part + 3) % kParts, i);
        switch (rng.Below(3)) {
          case 0: stopped += go_timer_stop(&c.t) ? 1 : 0; break;
          case 1:
            armed++;
            stopped += go_timer_reset(&c.t, rng.Below(300) * GO_MS) ? 1 : 0;
            break;
          default: armed++; stopped += go_timer_reset(&c.t, GO_HOUR + rng.Below(1 << 30)) ? 1 : 0;
        }
        if (i % 1024 == 0) go_yield();
      }
      m.armed += armed;
      m.stopped += stopped;
    });
    most = std::max(most, ResidentBytes());
    m.Each([&m](int part) {
      int64_t stopped = 0;
      for (int i = 0; i < kEach; i++) {
        Counted &c = m.At((part + 5) % kParts, i);
        stopped += go_timer_stop(&c.t) ? 1 : 0;
        if (i % 1024 == 0) go_yield();
      }
      m.stopped += stopped;
    });
    Until([&] { return m.fired + m.stopped == m.armed; });
    EXPECT_EQ(m.fired + m.stopped, m.armed);
    // What they take besides their own storage: entries, some of them twice while a heap grows, on
    // as many Ps as there were.
    if (!kSanitized && !OnWine() &&
        getenv("GOLIB_RUN") == nullptr) {  // an emulator's own memory would count
      EXPECT_LT(most - before, static_cast<size_t>(kN) * (16 * 2 * 4 + 16))
          << "bytes for a million";
    }
    EXPECT_LT(go_now() - start, 60 * GO_SEC);
  });
}

// All at once, with nothing else to do: their goroutines do not all exist at the same time.
std::atomic<int64_t> left, most_alive;
Chan<Unit> *all_fired;
void FireAndCount(void *) {
  int64_t n = --left;
  if (n % 512 == 0) {
    int64_t alive = go_count(), most = most_alive;
    while (alive > most && !most_alive.compare_exchange_weak(most, alive)) {}
  }
  if (n == 0) all_fired->Send(Unit{});
}
TEST(Million, DueAtOnce) {
  RunGo([] {
    Procs procs(2);
    std::unique_ptr<go_timer[]> all(new go_timer[kN]());
    Chan<Unit> done(1);
    all_fired = &done;
    const size_t kDue = static_cast<size_t>(kTsan ? 4000 : kN);  // goroutines are dear there
    left = kDue;
    go_nsec due = go_now() + (kSanitized ? 100 : 1000) * GO_MS;
    for (size_t i = 0; i < kDue; i++) {
      EXPECT_EQ(go_timer_start(&all[i], due - go_now(), FireAndCount, nullptr), 0);
    }
    (void)done.Take();
    if (!kSanitized) {
      EXPECT_LT(most_alive, kDue / 2);
    }
    for (size_t i = 0; i < kDue; i++) EXPECT_FALSE(go_timer_stop(&all[i]));
  });
}

}  // namespace
