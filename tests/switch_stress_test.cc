// Goroutines that are stopped all the time, in the middle of all kinds of work: no value is lost. A stop may come at any
// instruction, so this runs for as long as one likes; GOLIB_RETAKE=20 makes stops frequent. No EXPECT_ in goroutines that may
// be stopped: GoogleTest has locks.
#include <cmath>

#include "tests/support/golib_test.h"
#include "tests/support/system.h"

using namespace golib_test;

namespace {

// Before golib starts. The environment's own wins.
int SetDefault(const char *name, const char *value) {
  return getenv(name) != nullptr ? 0 : SetEnv(name, value);
}
const bool kSet =
    SetDefault("GOLIB_RETAKE", "200") == 0 && SetDefault("GOLIB_PREEMPT", "switch") == 0;

struct World {
  Chan<int> c{8}, d{0};
  go_mutex mu{};
  int64_t under = 0;  // mu
  std::atomic<int64_t> sent{0}, received{0}, locked{0}, started{0}, ended{0}, wrong{0};
  go_wg wg{};
};

// The same whenever it is called.
double Sum(uint32_t n) {
  double s = 0;
  float f = 1;
  for (uint32_t i = 1; i < n; i++) {
    s += 1.0 / i;
    f = f * 1.0001f + static_cast<float>(i % 7);
    if (f > 1e6f) f = 1;
  }
  return s + static_cast<double>(f);
}

uint64_t Mix(uint32_t n, uint64_t seed) {
  Rng r(seed);
  uint64_t x = 0;
  for (uint32_t i = 0; i < n; i++) x = x * 31 + r.Next();
  return x;
}

void Compute(World &w, Rng &rng) {
  uint32_t n = rng.Below(kSanitized ? 20000 : 300000);
  w.wrong += Sum(n) != Sum(n);
  uint64_t seed = rng.Next();
  w.wrong += Mix(n, seed) != Mix(n, seed);
}

void Throw(World &w, Rng &rng) {
  try {
    Compute(w, rng);
    throw 5;
  } catch (int x) {
    Compute(w, rng);
    w.wrong += x != 5;
  }
}

void Start(World &w) {
  w.started++;
  auto f = [&w] { w.ended++; };
  if (SpawnWgAt("started", &w.wg, f) != 0) abort();
}

void Step(World &w, Rng &rng) {
  switch (rng.Below(14)) {
    case 0: {
      const Chan<int> &c = rng.Below(2) == 0 ? w.c : w.d;
      w.sent++;
      c.Send(1);
      break;
    }
    case 1:
      go_mutex_lock(&w.mu);
      w.under++;
      if (rng.Below(4) == 0) Compute(w, rng);
      go_mutex_unlock(&w.mu);
      w.locked++;
      break;
    case 2: Start(w); break;
    case 3: (void)go_sleep(nullptr, rng.Below(200000)); break;
    case 4: go_yield(); break;
    case 5: (void)go_checkpoint(); break;
    case 6: {
      std::vector<uint64_t> v(rng.Below(2000) + 1);
      for (uint64_t &x : v) x = rng.Next();
      uint64_t first = v[0];
      Compute(w, rng);
      w.wrong += v[0] != first;
      break;
    }
    case 7: Throw(w, rng); break;
    case 8:
      go_lock_thread();
      Compute(w, rng);
      go_unlock_thread();
      break;
    case 9: {
      go_nopreempt_begin();
      pthread_t self = pthread_self();
      Compute(w, rng);
      w.wrong += !pthread_equal(self, pthread_self());
      go_nopreempt_end();
      break;
    }
    case 10: w.wrong += !Panics([] { go_panic("x"); }); break;
    default: Compute(w, rng); break;
  }
}

TEST(SwitchStress, Everything) {
  ASSERT_TRUE(kSet);
  RunGo([] {
    const go_nsec end = StressEnd();
    const int procs = go_procs(0);
    World w;
    go_wg receivers{}, workers{}, resizer{};
    for (const Chan<int> &c : {w.c, w.d}) {
      SPAWN_WG(&receivers, [&w, c] {
        int v;
        while (c.Recv(&v)) w.received++;
      });
    }
    SPAWN_WG(&resizer, [&] {
      Rng rng(99);
      while (go_now() < end) {
        (void)go_procs(1 + static_cast<int>(rng.Below(4)));
        (void)go_sleep(nullptr, 20 * GO_MS);
        (void)go_procs(procs);
        (void)go_sleep(nullptr, 50 * GO_MS);
      }
    });
    for (uint64_t i = 0; i < 12; i++) {
      SPAWN_WG(&workers, [&w, end, i] {
        Rng rng(i);
        while (go_now() < end) Step(w, rng);
      });
    }
    go_wg_wait(&workers);
    go_wg_wait(&resizer);
    go_wg_wait(&w.wg);
    w.c.Close();
    w.d.Close();
    go_wg_wait(&receivers);
    EXPECT_EQ(w.wrong, 0);
    EXPECT_EQ(w.sent, w.received);
    EXPECT_EQ(w.under, w.locked);
    EXPECT_EQ(w.started, w.ended);
    go_stats s;
    go_stats_read(&s);
    RecordProperty("switches", static_cast<int>(s.switches));
    printf("%llu stops, %llu retakes\n", static_cast<unsigned long long>(s.switches),
           static_cast<unsigned long long>(s.retakes));
  });
}

}  // namespace
