// Goroutines that lose their Ps all the time, between all kinds of calls: whatever they come back by, nothing is lost.
// A retake may come at any instant, so this runs for as long as one likes; GOLIB_RETAKE=20 makes them frequent.
#include <unistd.h>

#include "tests/support/golib_test.h"
#include "tests/support/system.h"

using namespace golib_test;

namespace {

// Before golib starts. The environment's own wins.
const bool kOften = std::getenv("GOLIB_RETAKE") != nullptr || SetEnv("GOLIB_RETAKE", "100") == 0;

void Busy(go_nsec ns) {
  for (go_nsec until = go_now() + ns; go_now() < until;) {}
}

struct World {
  Chan<int> c{8}, d{0};
  go_mutex mu{};
  int64_t under = 0;  // mu
  std::atomic<int64_t> sent{0}, received{0}, locked{0}, started{0}, ended{0};
  go_wg wg{};
};

void Send(World &w, Rng &rng) {
  const Chan<int> &c = rng.Below(2) == 0 ? w.c : w.d;
  w.sent++;
  c.Send(1);
}

void Step(World &w, Rng &rng) {
  switch (rng.Below(12)) {
    case 0: Send(w, rng); break;
    case 1:
      go_mutex_lock(&w.mu);
      w.under++;
      if (rng.Below(8) == 0) Busy(rng.Below(300000));
      go_mutex_unlock(&w.mu);
      w.locked++;
      break;
    case 2:
      w.started++;
      SPAWN_WG(&w.wg, [&] { w.ended++; });
      break;
    case 3: (void)go_sleep(nullptr, rng.Below(200000)); break;
    case 4: go_yield(); break;
    case 5: (void)go_checkpoint(); break;
    case 6: usleep(rng.Below(400)); break;
    case 7: go_blocking([](void *) { usleep(50); }, nullptr); break;
    case 8:
      go_lock_thread();
      Busy(rng.Below(200000));
      go_yield();
      go_unlock_thread();
      break;
    default: Busy(rng.Below(400000)); break;
  }
}

TEST(RetakeStress, Everything) {
  ASSERT_TRUE(kOften);
  RunGo([] {
    const go_nsec end = StressEnd();
    const int procs = go_procs(0);
    World w;
    go_wg receivers{}, resizer{};
    for (const Chan<int> &c : {w.c, w.d}) {
      SPAWN_WG(&receivers, [&w, c] {
        int v;
        while (c.Recv(&v)) {
          w.received++;
          if (v == 0) Busy(100000);
        }
      });
    }
    SPAWN_WG(&resizer, [&] {
      Rng rng(99);
      while (go_now() < end) {
        (void)go_procs(1 + static_cast<int>(rng.Below(4)));
        (void)go_sleep(nullptr, GO_MS);
      }
      (void)go_procs(procs);
    });
    for (uint64_t i = 0; i < 8; i++) {
      SPAWN_WG(&w.wg, [&w, i, end] {
        Rng rng(i);
        while (go_now() < end) Step(w, rng);
      });
    }
    go_wg_wait(&w.wg);
    w.c.Close();
    w.d.Close();
    go_wg_wait(&receivers);
    go_wg_wait(&resizer);
    EXPECT_EQ(w.sent, w.received);
    EXPECT_EQ(w.under, w.locked);
    EXPECT_EQ(w.started, w.ended);
    EXPECT_EQ(go_procs(0), procs);
  });
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
}

}  // namespace
