// core/timer.c: the heaps of timers. First on Ps of our own making, with a clock of our own; then on
// real ones, where they fire while goroutines add, delete and move them.

#include <gtest/gtest.h>

extern "C" {
#include "core/sched.h"
}

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <vector>

#include "tests/support/golib_test.h"
#include "tests/support/system.h"

using namespace golib_test;

namespace {

// Heaps find no memory while this is true: golib's aligned_alloc is the one below.
std::atomic<bool> no_memory{false};

}  // namespace

#if defined(_WIN32)
// It is called through an entry of the program's table of what it imports, which is this one.
static void *AlignedMalloc(size_t size, size_t align) {
  using Fn = void *(*)(size_t, size_t);
  static const Fn real = reinterpret_cast<Fn>(
      reinterpret_cast<void *>(GetProcAddress(GetModuleHandleA("msvcrt.dll"), "_aligned_malloc")));
  return no_memory ? nullptr : real(size, align);
}
extern "C" {
void *(*__imp__aligned_malloc)(size_t, size_t) = AlignedMalloc;
}
#else
extern "C" void *aligned_alloc(size_t align, size_t size) noexcept {
  void *p = nullptr;
  return no_memory || posix_memalign(&p, align, size) != 0 ? nullptr : p;
}
#endif

namespace {

// ---- On Ps that no scheduler knows: golib is not running, nobody interferes, time is a number.

struct FakeP {
  FakeP() {
    p = static_cast<go_p_ *>(go_os_alloc_(GO_CACHE_LINE_, sizeof *p));
    memset(static_cast<void *>(p), 0, sizeof *p);
    p->solo = true;
    go_st_rlx(&p->tm.first, static_cast<uint64_t>(INT64_MAX));
    m = static_cast<go_m_ *>(std::calloc(1, sizeof *m));
    m->p = p;
  }
  ~FakeP() {
    go_tm_heap_free_(&p->tm);
    go_os_free_(p);
    std::free(m);
  }
  FakeP(const FakeP &) = delete;
  FakeP &operator=(const FakeP &) = delete;

  int64_t First() const { return static_cast<int64_t>(go_ld_rlx(&p->tm.first)); }
  bool Run(int64_t now) const { return go_tm_run_(m, p, now); }
  // The goroutines that sleepers have readied.
  std::vector<go_g_ *> Ready() const {
    std::vector<go_g_ *> out;
    while (void *g = go_ring_get_(&p->q, true)) out.push_back(static_cast<go_g_ *>(g));
    if (void *g = go_next_get_(&p->q, true)) out.push_back(static_cast<go_g_ *>(g));
    return out;
  }

  go_p_ *p;
  go_m_ *m;
};

bool IsSleeper(const go_tm_entry_ &e) { return (reinterpret_cast<uintptr_t>(e.tm) & 1) != 0; }

void CheckHeap(go_p_ *p) {
  go_tm_heap_ *h = &p->tm;
  ASSERT_LE(h->n, h->cap);
  for (uint32_t i = 0; i < h->n; i++) {
    if (i > 0) {
      ASSERT_GE(h->e[i].when, h->e[(i - 1) / 4].when) << i;
    }
    if (!IsSleeper(h->e[i])) {
      ASSERT_EQ(h->e[i].tm->at, i + 1);
      ASSERT_EQ(h->e[i].tm->when, h->e[i].when);
      ASSERT_EQ(go_ld_rlx(&h->e[i].tm->heap), static_cast<void *>(h));
    }
  }
  int64_t least = h->n > 0 ? h->e[0].when : INT64_MAX;
  uint32_t spilled = 0;
  for (go_tm_ *tm = h->spilled; tm != nullptr; tm = tm->next, spilled++) {
    ASSERT_EQ(tm->prev, spilled == 0 ? nullptr : tm->prev);
    ASSERT_EQ(tm->next == nullptr || tm->next->prev == tm, true);
    ASSERT_LE(h->spill_when, tm->when);
    ASSERT_EQ(go_ld_rlx(&tm->heap), static_cast<void *>(h));
    least = std::min(least, tm->when);
  }
  ASSERT_EQ(h->nspilled, spilled);
  int64_t first = static_cast<int64_t>(go_ld_rlx(&h->first));
  ASSERT_LE(first, least);
  if (go_ld_rlx(&h->early) == 0 && spilled == 0) {
    ASSERT_EQ(first, least);
  }
}

// A timer of the reference model: where it should be, and what has happened to it.
struct Mine {
  go_tm_ tm{};
  int p = -1;  // index of its P, -1: not waiting
  int fired = 0;
  std::vector<Mine *> *log = nullptr;
  std::function<void(go_m_ *)> more;  // at the end of firing

  static void Fire(go_m_ *m, void *arg, uint32_t seq) {
    Mine *t = static_cast<Mine *>(arg);
    EXPECT_EQ(seq, t->tm.seq);
    EXPECT_FALSE(go_tm_del_(&t->tm)) << "a timer that fires is in no heap";
    t->fired++;
    t->p = -1;
    if (t->log != nullptr) t->log->push_back(t);
    if (t->more) t->more(m);
  }
  int Add(const FakeP &to, int index, int64_t when) {
    tm.when = when;
    tm.fn = Fire;
    tm.arg = this;
    tm.seq++;
    p = index;
    return go_tm_add_(to.m, &tm);
  }
};

TEST(Heap, RandomOperationsAgainstAModel) {
  for (uint64_t seed = 1; seed <= 6; seed++) {
    FakeP ps[2];
    std::vector<Mine> all(400);
    std::vector<Mine *> log;
    for (Mine &t : all) t.log = &log;
    Rng rng(seed);
    int64_t now = 1000;
    // Few distinct instants in some rounds: many are equal.
    uint32_t spread = seed % 2 == 0 ? 20 : 100000;
    for (int step = Rounds(20000); step > 0; step--) {
      Mine &t = all[rng.Below(static_cast<uint32_t>(all.size()))];
      uint32_t what = rng.Below(100);
      if (what < 50) {  // add, or move in time
        if (t.p >= 0) {
          ASSERT_TRUE(go_tm_del_(&t.tm));
        }
        int to = static_cast<int>(rng.Below(2));
        ASSERT_EQ(t.Add(ps[to], to, now + rng.Below(spread)), 0);
      } else if (what < 90) {
        ASSERT_EQ(go_tm_del_(&t.tm), t.p >= 0);
        ASSERT_FALSE(go_tm_del_(&t.tm));
        t.p = -1;
      } else if (what < 92) {  // a P goes away
        int from = static_cast<int>(rng.Below(2));
        ASSERT_EQ(go_tm_move_(ps[from].p, ps[1 - from].p), 0);
        for (Mine &x : all) {
          if (x.p == from) x.p = 1 - from;
        }
      } else {  // time goes by
        int which = static_cast<int>(rng.Below(2));
        now += rng.Below(spread / 4);
        std::vector<std::pair<int64_t, Mine *>> want;
        for (Mine &x : all) {
          if (x.p == which && x.tm.when <= now) want.emplace_back(x.tm.when, &x);
        }
        log.clear();
        ASSERT_EQ(ps[which].Run(now), !want.empty());
        ASSERT_EQ(log.size(), want.size());
        for (size_t i = 1; i < log.size(); i++) ASSERT_LE(log[i - 1]->tm.when, log[i]->tm.when);
        std::vector<std::pair<int64_t, Mine *>> got;
        for (Mine *x : log) got.emplace_back(x->tm.when, x);
        std::sort(got.begin(), got.end());
        std::sort(want.begin(), want.end());
        ASSERT_EQ(got, want);
      }
      if (step % 16 == 0) {
        for (FakeP &p : ps) ASSERT_NO_FATAL_FAILURE(CheckHeap(p.p));
        size_t in = 0;
        for (Mine &x : all) in += x.p >= 0 ? 1 : 0;
        ASSERT_EQ(ps[0].p->tm.n + ps[1].p->tm.n, in);
      }
    }
  }
}

TEST(Heap, NeverAddedIsNotDeleted) {
  go_tm_ tm{};
  EXPECT_FALSE(go_tm_del_(&tm));
}

TEST(Heap, EqualInstantsAllFire) {
  FakeP p;
  std::vector<Mine> all(1000);
  for (Mine &t : all) ASSERT_EQ(t.Add(p, 0, 5), 0);
  ASSERT_NO_FATAL_FAILURE(CheckHeap(p.p));
  EXPECT_FALSE(p.Run(4));
  EXPECT_TRUE(p.Run(5));
  for (Mine &t : all) EXPECT_EQ(t.fired, 1);
  EXPECT_EQ(p.First(), INT64_MAX);
  EXPECT_FALSE(p.Run(INT64_MAX - 1));
}

// What is added while timers fire, and is due, fires in the same run; what is not, does not.
TEST(Heap, AddsWhileFiring) {
  FakeP p;
  Mine periodic, other;
  periodic.more = [&](go_m_ *m) {
    EXPECT_EQ(m, p.m);
    if (periodic.fired < 100) {
      EXPECT_EQ(periodic.Add(p, 0, periodic.tm.when + 10), 0);
    }
  };
  ASSERT_EQ(periodic.Add(p, 0, 10), 0);
  EXPECT_TRUE(p.Run(10));
  EXPECT_EQ(periodic.fired, 1);
  EXPECT_TRUE(p.Run(500));
  EXPECT_EQ(periodic.fired, 50);
  EXPECT_EQ(p.First(), 510);
  // One deletes another that is due at the same time.
  ASSERT_EQ(other.Add(p, 0, 510), 0);
  periodic.more = [&](go_m_ *) {
    if (other.p == 0) {
      EXPECT_TRUE(go_tm_del_(&other.tm));
      other.p = -1;
    }
  };
  int before = other.fired;
  EXPECT_TRUE(p.Run(510));
  EXPECT_EQ(periodic.fired, 51);
  EXPECT_LE(other.fired, before + 1);  // whoever was first
  EXPECT_EQ(p.First(), INT64_MAX);
}

// Firing in the past, at 0, and at the last instant of all.
TEST(Heap, ExtremeInstants) {
  FakeP p;
  std::vector<Mine *> log;
  Mine t[4];
  int64_t when[4] = {INT64_MAX - 1, 0, INT64_MIN, -1};
  for (int i = 0; i < 4; i++) {
    t[i].log = &log;
    ASSERT_EQ(t[i].Add(p, 0, when[i]), 0);
  }
  EXPECT_TRUE(p.Run(0));
  EXPECT_EQ(log, (std::vector<Mine *>{&t[2], &t[3], &t[1]}));
  EXPECT_EQ(p.First(), INT64_MAX - 1);
  EXPECT_TRUE(go_tm_del_(&t[0].tm));
}

TEST(Heap, SleepersAmongTimers) {
  FakeP ps[2];
  constexpr int kN = 100;  // of each; as many as a P's queue takes
  std::vector<go_g_> gs(kN);
  std::vector<Mine> timers(kN);
  std::vector<int64_t> when(kN);
  std::vector<bool> deleted(kN);
  std::vector<Mine *> log;
  Rng rng(3);
  for (int round = 0; round < 50; round++) {
    size_t n = 0;
    for (int i = 0; i < kN; i++) {
      auto k = static_cast<size_t>(i);
      when[k] = rng.Below(1000);
      timers[k].log = &log;
      timers[k].fired = 0;
      gs[k] = go_g_{};
      ASSERT_EQ(go_tm_sleep_(ps[0].m, &gs[k], when[k]), 0);
      ASSERT_EQ(timers[k].Add(ps[0], 0, rng.Below(1000)), 0);
    }
    for (int i = 0; i < kN; i++) {
      auto k = static_cast<size_t>(i);
      deleted[k] = rng.Below(3) == 0;
      if (deleted[k]) {
        ASSERT_TRUE(go_tm_del_(&timers[k].tm));
      }
    }
    ASSERT_NO_FATAL_FAILURE(CheckHeap(ps[0].p));
    int64_t half = 300 + rng.Below(400);
    for (int64_t now : {half, int64_t{1000}}) {
      log.clear();
      EXPECT_TRUE(ps[round % 2].Run(now) || round % 2 != 0 || now != half);
      (void)ps[0].Run(now);
      for (go_g_ *g : ps[0].Ready()) {
        auto k = static_cast<size_t>(g - gs.data());
        EXPECT_LE(when[k], now);
        when[k] = INT64_MAX;  // woken
        n++;
      }
      for (size_t k = 0; k < kN; k++) EXPECT_GT(when[k], now) << "slept too long";
      if (now == half) {  // there and back again
        ASSERT_EQ(go_tm_move_(ps[0].p, ps[1].p), 0);
        EXPECT_EQ(ps[0].p->tm.n, 0u);
        ASSERT_NO_FATAL_FAILURE(CheckHeap(ps[0].p));
        ASSERT_NO_FATAL_FAILURE(CheckHeap(ps[1].p));
        ASSERT_EQ(go_tm_move_(ps[1].p, ps[0].p), 0);
      }
    }
    EXPECT_EQ(n, static_cast<size_t>(kN));
    for (size_t k = 0; k < kN; k++) EXPECT_EQ(timers[k].fired, deleted[k] ? 0 : 1);
    EXPECT_EQ(ps[0].p->tm.n, 0u);
  }
}

TEST(Heap, HundredThousand) {
  FakeP p;
  size_t n = static_cast<size_t>(Rounds(100000));
  std::vector<Mine> all(n);
  std::vector<Mine *> log;
  Rng rng(9);
  for (Mine &t : all) {
    t.log = &log;
    ASSERT_EQ(t.Add(p, 0, static_cast<int64_t>(rng.Next() >> 2)), 0);
  }
  size_t in = n;
  for (size_t i = 0; i < n; i += 3, in--) ASSERT_TRUE(go_tm_del_(&all[i].tm));
  ASSERT_NO_FATAL_FAILURE(CheckHeap(p.p));
  EXPECT_TRUE(p.Run(INT64_MAX - 1));
  EXPECT_EQ(log.size(), in);
  for (size_t i = 1; i < log.size(); i++) ASSERT_LE(log[i - 1]->tm.when, log[i]->tm.when);
  for (size_t i = 0; i < n; i++) ASSERT_EQ(all[i].fired, i % 3 == 0 ? 0 : 1);
}

// A heap that a burst has left large gets smaller again.
TEST(Heap, GivesMemoryBack) {
  FakeP p;
  std::vector<Mine> all(100000);
  for (Mine &t : all) ASSERT_EQ(t.Add(p, 0, 5), 0);
  EXPECT_GE(p.p->tm.cap, 100000u);
  for (size_t i = 0; i < all.size() - 10; i++) {
    ASSERT_TRUE(go_tm_del_(&all[i].tm));
    if (i % 9999 == 0) {
      ASSERT_NO_FATAL_FAILURE(CheckHeap(p.p));
    }
  }
  ASSERT_NO_FATAL_FAILURE(CheckHeap(p.p));
  EXPECT_LE(p.p->tm.cap, 4096u);
  EXPECT_TRUE(p.Run(5));
}

// Stopping the first does not store when the next is due; whoever has to know finds out.
TEST(Heap, FirstMayBeTooEarly) {
  FakeP p;
  Mine a, b;
  ASSERT_EQ(a.Add(p, 0, 10), 0);
  ASSERT_EQ(b.Add(p, 0, 20), 0);
  ASSERT_TRUE(go_tm_del_(&a.tm));
  EXPECT_LE(p.First(), 20);
  EXPECT_FALSE(p.Run(15));
  EXPECT_EQ(p.First(), 20);
  ASSERT_TRUE(go_tm_del_(&b.tm));
  EXPECT_FALSE(p.Run(20));
  EXPECT_EQ(p.First(), INT64_MAX);
}

// ---- Without memory for entries.

TEST(Spill, RandomOperationsAgainstAModel) {
  for (uint64_t seed = 1; seed <= 4; seed++) {
    FakeP ps[2];
    std::vector<Mine> all(300);
    std::vector<Mine *> log;
    for (Mine &t : all) t.log = &log;
    Rng rng(seed);
    int64_t now = 1000;
    uint32_t most = 0;
    for (int step = Rounds(20000); step > 0; step--) {
      if (step % 500 == 0) {
        no_memory = rng.Below(3) != 0;
      }
      most = std::max(most, ps[0].p->tm.nspilled);
      Mine &t = all[rng.Below(static_cast<uint32_t>(all.size()))];
      uint32_t what = rng.Below(100);
      if (what < 60) {
        if (t.p >= 0) {
          ASSERT_TRUE(go_tm_del_(&t.tm));
        }
        int to = static_cast<int>(rng.Below(2));
        ASSERT_EQ(t.Add(ps[to], to, now + rng.Below(1000)), 0);
      } else if (what < 90) {
        ASSERT_EQ(go_tm_del_(&t.tm), t.p >= 0);
        t.p = -1;
      } else if (what < 92) {
        int from = static_cast<int>(rng.Below(2));
        if (go_tm_move_(ps[from].p, ps[1 - from].p) == 0) {
          EXPECT_EQ(ps[from].p->tm.n + ps[from].p->tm.nspilled, 0u);
        } else {
          EXPECT_TRUE(no_memory);
        }
        for (Mine &x : all) {
          if (x.p >= 0) x.p = go_ld_rlx(&x.tm.heap) == &ps[0].p->tm ? 0 : 1;
        }
      } else {
        int which = static_cast<int>(rng.Below(2));
        now += rng.Below(250);
        std::vector<Mine *> want;
        for (Mine &x : all) {
          if (x.p == which && x.tm.when <= now) want.push_back(&x);
        }
        log.clear();
        ASSERT_EQ(ps[which].Run(now), !want.empty());
        std::sort(log.begin(), log.end());
        std::sort(want.begin(), want.end());
        ASSERT_EQ(log, want);
      }
      if (step % 16 == 0) {
        for (FakeP &p : ps) ASSERT_NO_FATAL_FAILURE(CheckHeap(p.p));
        uint32_t in = 0;
        for (Mine &x : all) in += x.p >= 0 ? 1 : 0;
        ASSERT_EQ(ps[0].p->tm.n + ps[1].p->tm.n + ps[0].p->tm.nspilled + ps[1].p->tm.nspilled, in);
      }
    }
    no_memory = false;
    EXPECT_GT(most, 0u) << "nothing ever found no room: this tests nothing";
  }
}

// A sleeper cannot be put into the list: go_sleep says so.
TEST(Spill, SleepersNeedAnEntry) {
  FakeP p;
  go_g_ g{};
  no_memory = true;
  EXPECT_EQ(go_tm_sleep_(p.m, &g, 5), GO_ENOMEM);
  Mine t;
  EXPECT_EQ(t.Add(p, 0, 7), 0);
  no_memory = false;
  EXPECT_EQ(p.p->tm.nspilled, 1u);
  EXPECT_EQ(go_tm_sleep_(p.m, &g, 5), 0);
  EXPECT_EQ(p.First(), 5);
  EXPECT_TRUE(p.Run(6));
  EXPECT_EQ(t.fired, 0);
  EXPECT_TRUE(p.Run(7));
  EXPECT_EQ(t.fired, 1);
  EXPECT_EQ(p.Ready().size(), 1u);
}

// When memory is short go_sleep fails, timers do not.
TEST(Spill, OnRealPs) {
  RunGo([] {
    Procs procs(2);
    std::atomic<int> fired{0};
    struct T {
      go_timer t;
      std::atomic<int> *fired;
    };
    auto fire = [](void *p) { (*static_cast<T *>(p)->fired)++; };
    const int n = 2000;
    std::vector<T> ts(n);
    no_memory = true;
    int stopped = 0, armed = 0;
    for (int i = 0; i < n; i++) {
      T &t = ts[static_cast<size_t>(i)];
      t.fired = &fired;
      armed++;
      EXPECT_EQ(go_timer_start(&t.t, GO_HOUR, fire, &t), 0);
    }
    for (int i = 0; i < n; i++) {
      T &t = ts[static_cast<size_t>(i)];
      if (i % 3 == 0) {
        EXPECT_TRUE(go_timer_stop(&t.t));
        stopped++;
      } else {
        EXPECT_TRUE(go_timer_reset(&t.t, i % 50 * GO_US));
      }
    }
    while (fired + stopped < armed) go_yield();
    no_memory = false;
    EXPECT_EQ(fired + stopped, armed);
    for (T &t : ts) EXPECT_FALSE(go_timer_stop(&t.t));
    EXPECT_EQ(go_sleep(nullptr, GO_MS), 0);
  });
}

// ---- On real Ps.

struct Real {
  go_tm_ tm{};
  std::atomic<int> fired{0};
  std::atomic<int> *total = nullptr;
  bool deleted = false;
  std::atomic<bool> *early = nullptr;

  static void Fire(go_m_ *m, void *arg, uint32_t) {
    Real *t = static_cast<Real *>(arg);
    if (m->p == nullptr || go_now() < t->tm.when) *t->early = true;
    t->fired.fetch_add(1, std::memory_order_relaxed);
    t->total->fetch_add(1, std::memory_order_release);
  }
};

TEST(Timers, HundredThousandFireInOrderOnOneP) {
  RunGo([] {
    Procs procs(1);
    size_t n = static_cast<size_t>(Rounds(100000));
    static std::vector<Real *> order;
    order.clear();
    order.reserve(n);
    std::atomic<int> total{0};
    std::atomic<bool> early{false};
    auto all = std::make_unique<Real[]>(n);
    Rng rng(5);
    int64_t base = go_now() + 200 * GO_MS;
    for (size_t i = 0; i < n; i++) {
      Real &t = all[i];
      t.total = &total;
      t.early = &early;
      t.tm.when = base + rng.Below(100 * 1000 * 1000);
      t.tm.arg = &t;
      t.tm.fn = [](go_m_ *m, void *arg, uint32_t seq) {
        order.push_back(static_cast<Real *>(arg));
        Real::Fire(m, arg, seq);
      };
      ASSERT_EQ(go_tm_add_(go_enter_(), &t.tm), 0);
    }
    bool in_time = go_now() < base;
    Until([&] { return total.load(std::memory_order_acquire) == static_cast<int>(n); });
    EXPECT_FALSE(early);
    size_t wrong = 0;
    for (size_t i = 1; i < n; i++) wrong += order[i - 1]->tm.when > order[i]->tm.when ? 1 : 0;
    EXPECT_TRUE(!in_time || wrong == 0) << wrong;
    for (size_t i = 0; i < n; i++) EXPECT_EQ(all[i].fired, 1);
  });
}

// Timers that add themselves again, on several Ps, until told to stop.
TEST(Timers, Periodic) {
  RunGo([] {
    Procs procs(4);
    struct Tick {
      go_tm_ tm{};
      std::atomic<int> left{0};
      go_chan *done = nullptr;
      static void Fire(go_m_ *m, void *arg, uint32_t) {
        Tick *t = static_cast<Tick *>(arg);
        if (t->left.fetch_sub(1) > 1) {
          t->tm.when += 20 * GO_US;
          EXPECT_EQ(go_tm_add_(m, &t->tm), 0);
        } else {
          Unit u{};
          EXPECT_EQ(go_chan_try_send(t->done, &u), 0);
        }
      }
    };
    constexpr int kTicks = 20;
    Tick ticks[kTicks];
    Chan<Unit> done(kTicks);
    for (Tick &t : ticks) {
      t.left = Rounds(500);
      t.done = done.get();
      t.tm.when = go_now();
      t.tm.fn = Tick::Fire;
      t.tm.arg = &t;
      EXPECT_EQ(go_tm_add_(go_enter_(), &t.tm), 0);
      go_yield();
    }
    for (int i = 0; i < kTicks; i++) (void)done.Take();
    for (Tick &t : ticks) {
      EXPECT_EQ(t.left, 0);
      EXPECT_FALSE(go_tm_del_(&t.tm));
    }
  });
}

// Deleting races with firing: exactly one of the two happens, and del says which.
TEST(Timers, DelOrFire) {
  RunGo([] {
    Procs procs(4);
    std::atomic<bool> early{false};
    for (int round = Rounds(100); round > 0; round--) {
      constexpr int kN = 500;
      std::atomic<int> total{0};
      std::atomic<int> deleted{0};
      auto all = std::make_unique<Real[]>(kN);
      go_wg wg{};
      for (int part = 0; part < 4; part++) {
        SPAWN_WG(&wg, [&, part] {
          Rng rng(static_cast<uint64_t>(round * 4 + part));
          for (int i = part; i < kN; i += 4) {
            Real &t = all[static_cast<size_t>(i)];
            t.total = &total;
            t.early = &early;
            t.tm.when = go_now() + rng.Below(rng.Below(2) == 0 ? 20000 : 300000);
            t.tm.fn = Real::Fire;
            t.tm.arg = &t;
            EXPECT_EQ(go_tm_add_(go_enter_(), &t.tm), 0);
            if (rng.Below(8) == 0) go_yield();
          }
          for (int i = part; i < kN; i += 4) {
            Real &t = all[static_cast<size_t>(i)];
            t.deleted = go_tm_del_(&t.tm);
            if (t.deleted) deleted++;
            if (rng.Below(8) == 0) go_yield();
          }
        });
      }
      go_wg_wait(&wg);
      Until([&] { return total.load(std::memory_order_acquire) + deleted == kN; });
      for (int i = 0; i < kN; i++) {
        Real &t = all[static_cast<size_t>(i)];
        EXPECT_EQ(t.fired, t.deleted ? 0 : 1);
      }
    }
    EXPECT_FALSE(early);
  });
}

// Ps come and go under ten thousand timers and a crowd of sleepers.
TEST(Timers, OfPsThatGoAway) {
  RunGo([] {
    Procs procs(4);
    const int kParts = 8, kEach = Rounds(10000) / kParts;
    const int kN = kParts * kEach;
    std::atomic<bool> early{false};
    std::atomic<int> total{0}, deleted{0}, slept{0};
    auto all = std::make_unique<Real[]>(static_cast<size_t>(kN));
    go_wg wg{};
    int64_t base = go_now() + 5 * GO_MS;
    for (int part = 0; part < kParts; part++) {
      SPAWN_WG(&wg, [&, part] {
        Rng rng(static_cast<uint64_t>(part));
        for (int i = 0; i < kEach; i++) {
          Real &t = all[static_cast<size_t>(part * kEach + i)];
          t.total = &total;
          t.early = &early;
          t.tm.when = base + rng.Below(400 * 1000 * 1000);
          t.tm.fn = Real::Fire;
          t.tm.arg = &t;
          EXPECT_EQ(go_tm_add_(go_enter_(), &t.tm), 0);
          if (i % 64 == 0) go_yield();
        }
        for (int i = 0; i < kEach; i += 4) {
          Real &t = all[static_cast<size_t>(part * kEach + i)];
          if (go_tm_del_(&t.tm)) {
            t.deleted = true;
            deleted++;
          }
          if (i % 64 == 0) go_yield();
        }
      });
    }
    const int kSleepers = Goroutines(500);
    for (int i = 0; i < kSleepers; i++) {
      SPAWN_WG(&wg, [&, i] {
        go_nsec d = (i * 7919 % 300) * GO_MS, t = go_now();
        EXPECT_EQ(go_sleep(nullptr, d), 0);
        if (go_now() - t < d) early = true;
        slept++;
      });
    }
    while (total.load(std::memory_order_acquire) + deleted < kN || slept < kSleepers) {
      (void)go_procs(1);
      (void)go_sleep(nullptr, GO_MS);
      (void)go_procs(4);
      (void)go_sleep(nullptr, GO_MS);
    }
    go_wg_wait(&wg);
    EXPECT_FALSE(early);
    EXPECT_EQ(total + deleted, kN);
    for (int i = 0; i < kN; i++) {
      Real &t = all[static_cast<size_t>(i)];
      EXPECT_EQ(t.fired, t.deleted ? 0 : 1) << i;
    }
  });
}

// Plain threads may add timers too: to P 0.
TEST(Timers, FromAPlainThread) {
  RunGo([] {});  // golib is up
  std::atomic<bool> early{false};
  std::atomic<int> total{0};
  auto all = std::make_unique<Real[]>(200);
  for (int i = 0; i < 200; i++) {
    Real &t = all[static_cast<size_t>(i)];
    t.total = &total;
    t.early = &early;
    t.tm.when = go_now() + (i * 37 % 200) * 50 * GO_US;
    t.tm.fn = Real::Fire;
    t.tm.arg = &t;
    ASSERT_EQ(go_tm_add_(go_enter_(), &t.tm), 0);
  }
  Until([&] { return total.load(std::memory_order_acquire) == 200; });
  EXPECT_FALSE(early);
  for (int i = 0; i < 200; i++) EXPECT_EQ(all[static_cast<size_t>(i)].fired, 1);
}

}  // namespace
