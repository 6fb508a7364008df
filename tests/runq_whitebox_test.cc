// core/runq.h: a P's queues, alone and with real threads as thieves. tests/models/runq_model_test.cc
// tries the interleavings of a few steps; this tries many steps, full queues and wrapping indices.

extern "C" {
#include "core/runq.h"
}

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

constexpr uint32_t kCap = GO_RUNQ_CAP_;

// A queue whose indices stand where they would after a long time.
struct Queue : go_runq_ {
  explicit Queue(uint32_t start = 0) : go_runq_{} {
    go_st_rlx(&head, start);
    go_st_rlx(&tail, start);
    uint64_t version = 0xfffffff0u;  // wraps as well
    go_st_rlx(&fresh, version << 32 | (start & 0xffffu) << 16 | (start & 0xffffu));
  }
  uint32_t RingLen() { return go_ld_rlx(&tail) - go_ld_rlx(&head); }
  uint32_t FreshLen() { return go_fresh_len_(go_ld_rlx(&fresh)); }
};

const uint32_t kStarts[] = {0,       1,       kCap - 1,   0xffffu,    0xfff0u,
                            0xff00u, 0x8000u, 0x7ffffff0, 0xffffff80, 0xffffffff};

void *Item(uint32_t i) { return reinterpret_cast<void *>(static_cast<uintptr_t>(i) + 1); }

class RunqEach : public testing::TestWithParam<bool> {
 protected:
  bool solo() const { return GetParam(); }
};
INSTANTIATE_TEST_SUITE_P(Solo, RunqEach, testing::Bool());

// ---- Go: TestSchedLocalQueue (runtime/proc_test.go), for each part.

TEST_P(RunqEach, RingIsFirstInFirstOut) {
  for (uint32_t start : kStarts) {
    Queue q(start);
    for (uint32_t n = 0; n <= kCap; n++) {
      for (uint32_t i = 0; i < n; i++) {
        EXPECT_TRUE(go_ring_put_(&q, Item(i)));
        EXPECT_FALSE(go_runq_empty_(&q));
      }
      for (uint32_t i = 0; i < n; i++) EXPECT_EQ(go_ring_get_(&q, solo()), Item(i));
      EXPECT_EQ(go_ring_get_(&q, solo()), nullptr);
      EXPECT_TRUE(go_runq_empty_(&q));
    }
  }
}

TEST_P(RunqEach, RingIsFullAtItsCapacity) {
  for (uint32_t start : kStarts) {
    Queue q(start);
    for (uint32_t i = 0; i < kCap; i++) ASSERT_TRUE(go_ring_put_(&q, Item(i)));
    EXPECT_FALSE(go_ring_put_(&q, Item(kCap)));
    EXPECT_EQ(go_ring_get_(&q, solo()), Item(0));
    EXPECT_TRUE(go_ring_put_(&q, Item(kCap)));
    EXPECT_FALSE(go_ring_put_(&q, Item(kCap + 1)));
    for (uint32_t i = 1; i <= kCap; i++) EXPECT_EQ(go_ring_get_(&q, solo()), Item(i));
    EXPECT_EQ(go_ring_get_(&q, solo()), nullptr);
  }
}

TEST_P(RunqEach, FreshIsLastInFirstOut) {
  for (uint32_t start : kStarts) {
    Queue q(start);
    for (uint32_t n = 0; n <= kCap; n++) {
      for (uint32_t i = 0; i < n; i++) {
        EXPECT_TRUE(go_fresh_put_(&q, Item(i), solo()));
        EXPECT_FALSE(go_runq_empty_(&q));
      }
      for (uint32_t i = n; i-- > 0;) EXPECT_EQ(go_fresh_get_(&q, solo()), Item(i));
      EXPECT_EQ(go_fresh_get_(&q, solo()), nullptr);
      EXPECT_TRUE(go_runq_empty_(&q));
      // One more at the bottom is taken by a thief: the indices move on, and wrap.
      EXPECT_TRUE(go_fresh_put_(&q, Item(7), solo()));
      void *out[1];
      ASSERT_EQ(go_fresh_steal_(&q, out, 1), 1u);
      EXPECT_EQ(out[0], Item(7));
    }
  }
}

TEST_P(RunqEach, FreshIsFullAtItsCapacity) {
  for (uint32_t start : kStarts) {
    Queue q(start);
    for (uint32_t i = 0; i < kCap; i++) ASSERT_TRUE(go_fresh_put_(&q, Item(i), solo()));
    uint64_t before = go_ld_rlx(&q.fresh);
    EXPECT_FALSE(go_fresh_put_(&q, Item(kCap), solo()));
    EXPECT_EQ(go_ld_rlx(&q.fresh), before);
    void *oldest;
    ASSERT_EQ(go_fresh_steal_(&q, &oldest, 1), 1u);
    EXPECT_EQ(oldest, Item(0));
    EXPECT_TRUE(go_fresh_put_(&q, Item(kCap), solo()));
    EXPECT_FALSE(go_fresh_put_(&q, Item(kCap), solo()));
    for (uint32_t i = kCap; i >= 1; i--) EXPECT_EQ(go_fresh_get_(&q, solo()), Item(i));
    EXPECT_EQ(go_fresh_get_(&q, solo()), nullptr);
  }
}

// Every change of fresh has a word of its own: what a thief has read cannot come back.
TEST_P(RunqEach, FreshWordsDiffer) {
  Queue q(0xfffeu);
  std::vector<uint64_t> seen{go_ld_rlx(&q.fresh)};
  for (int i = 0; i < 100; i++) {
    (void)go_fresh_put_(&q, Item(1), solo());
    seen.push_back(go_ld_rlx(&q.fresh));
    if (i % 3 == 0) {
      void *out[1];
      (void)go_fresh_steal_(&q, out, 1);
    } else {
      (void)go_fresh_get_(&q, solo());
    }
    seen.push_back(go_ld_rlx(&q.fresh));
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end());
}

TEST_P(RunqEach, NextHoldsOne) {
  Queue q;
  EXPECT_EQ(go_next_get_(&q, solo()), nullptr);
  EXPECT_EQ(go_next_put_(&q, Item(1), solo()), nullptr);
  EXPECT_FALSE(go_runq_empty_(&q));
  EXPECT_EQ(go_next_put_(&q, Item(2), solo()), Item(1));
  EXPECT_EQ(go_next_get_(&q, solo()), Item(2));
  EXPECT_EQ(go_next_get_(&q, solo()), nullptr);
  EXPECT_TRUE(go_runq_empty_(&q));
}

// ---- Go: TestSchedLocalQueueSteal.

TEST_P(RunqEach, RingStealTakesTheOlderHalfRoundedUp) {
  for (uint32_t start : kStarts) {
    for (uint32_t n = 0; n <= kCap; n++) {
      Queue q(start);
      for (uint32_t i = 0; i < n; i++) ASSERT_TRUE(go_ring_put_(&q, Item(i)));
      void *out[kCap / 2];
      uint32_t stolen = go_ring_steal_(&q, out);
      EXPECT_EQ(stolen, n - n / 2);
      for (uint32_t i = 0; i < stolen; i++) EXPECT_EQ(out[i], Item(i));
      for (uint32_t i = stolen; i < n; i++) EXPECT_EQ(go_ring_get_(&q, solo()), Item(i));
      EXPECT_EQ(go_ring_get_(&q, solo()), nullptr);
    }
  }
}

TEST_P(RunqEach, FreshStealTakesTheOlderHalfRoundedUpButNotMoreThanMax) {
  for (uint32_t start : kStarts) {
    for (uint32_t max : {1u, 3u, kCap / 2}) {
      for (uint32_t n = 0; n <= kCap; n++) {
        Queue q(start);
        for (uint32_t i = 0; i < n; i++) ASSERT_TRUE(go_fresh_put_(&q, Item(i), solo()));
        void *out[kCap / 2];
        uint32_t stolen = go_fresh_steal_(&q, out, max);
        EXPECT_EQ(stolen, std::min(n - n / 2, max));
        for (uint32_t i = 0; i < stolen; i++) EXPECT_EQ(out[i], Item(i));
        for (uint32_t i = n; i-- > stolen;) EXPECT_EQ(go_fresh_get_(&q, solo()), Item(i));
        EXPECT_EQ(go_fresh_get_(&q, solo()), nullptr);
      }
    }
  }
}

TEST(Runq, PeekSeesWhatGetWillReturn) {
  for (uint32_t start : kStarts) {
    Queue q(start);
    EXPECT_EQ(go_ring_peek_(&q, 0), nullptr);
    EXPECT_EQ(go_ring_peek_(&q, 5), nullptr);
    for (uint32_t i = 0; i < 4; i++) ASSERT_TRUE(go_ring_put_(&q, Item(i)));
    for (uint32_t i = 0; i < 4; i++) EXPECT_EQ(go_ring_peek_(&q, i), Item(i));
    EXPECT_EQ(go_ring_peek_(&q, 4), nullptr);
    EXPECT_EQ(go_ring_peek_(&q, kCap), nullptr);
  }
}

// Random operations on a queue with and one without locked instructions, against two deques.
TEST(Runq, SoloAndNotGiveTheSame) {
  for (uint32_t start : kStarts) {
    Queue a(start), b(start);
    std::deque<void *> ring, fresh;
    void *next = nullptr;
    Rng rng(start + 1);
    uint32_t made = 0;
    uint32_t bias = 50;
    for (int step = Rounds(60000); step > 0; step--) {
      if (step % 1000 == 0) bias = 20 + rng.Below(60);  // filling up, or draining
      bool put = rng.Below(100) < bias;
      switch (rng.Below(5)) {
        case 0:
        case 1:
          if (put) {
            void *g = Item(made++);
            bool room = ring.size() < kCap;
            EXPECT_EQ(go_ring_put_(&a, g), room);
            EXPECT_EQ(go_ring_put_(&b, g), room);
            if (room) ring.push_back(g);
          } else {
            void *want = ring.empty() ? nullptr : ring.front();
            EXPECT_EQ(go_ring_get_(&a, false), want);
            EXPECT_EQ(go_ring_get_(&b, true), want);
            if (want != nullptr) ring.pop_front();
          }
          break;
        case 2:
          if (put) {
            void *g = Item(made++);
            bool room = fresh.size() < kCap;
            EXPECT_EQ(go_fresh_put_(&a, g, false), room);
            EXPECT_EQ(go_fresh_put_(&b, g, true), room);
            if (room) fresh.push_back(g);
          } else {
            void *want = fresh.empty() ? nullptr : fresh.back();
            EXPECT_EQ(go_fresh_get_(&a, false), want);
            EXPECT_EQ(go_fresh_get_(&b, true), want);
            if (want != nullptr) fresh.pop_back();
          }
          break;
        case 3: {
          void *g = put ? Item(made++) : nullptr;
          void *got_a = put ? go_next_put_(&a, g, false) : go_next_get_(&a, false);
          void *got_b = put ? go_next_put_(&b, g, true) : go_next_get_(&b, true);
          EXPECT_EQ(got_a, next);
          EXPECT_EQ(got_b, next);
          next = g;
          break;
        }
        default: {
          if (rng.Below(8) != 0) break;
          bool of_ring = put;
          std::deque<void *> &from = of_ring ? ring : fresh;
          void *out_a[kCap / 2], *out_b[kCap / 2];
          uint32_t max = 1 + rng.Below(kCap / 2);
          uint32_t n = static_cast<uint32_t>(from.size() - from.size() / 2);
          if (!of_ring) n = std::min(n, max);
          ASSERT_EQ(of_ring ? go_ring_steal_(&a, out_a) : go_fresh_steal_(&a, out_a, max), n);
          ASSERT_EQ(of_ring ? go_ring_steal_(&b, out_b) : go_fresh_steal_(&b, out_b, max), n);
          for (uint32_t i = 0; i < n; i++) {
            EXPECT_EQ(out_a[i], from.front());
            EXPECT_EQ(out_b[i], from.front());
            from.pop_front();
          }
        }
      }
      bool none = ring.empty() && fresh.empty() && next == nullptr;
      ASSERT_EQ(go_runq_empty_(&a), none);
      ASSERT_EQ(go_runq_empty_(&b), none);
      ASSERT_EQ(a.RingLen(), ring.size());
      ASSERT_EQ(b.FreshLen(), fresh.size());
    }
  }
}

// ---- Real thieves.

using Clock = std::chrono::steady_clock;

// Plain data: the queue has to publish it to whoever takes the item out.
struct Thing {
  uint32_t number = 0;
  std::atomic<uint32_t> taken{0};
};

class Heist {
 public:
  Heist(uint32_t start, uint32_t n) : q_(start), things_(n) {}

  void Run(uint64_t seed) {
    std::vector<std::thread> thieves;
    for (uint64_t i = 1; i <= 3; i++) thieves.emplace_back([this, seed, i] { Steal(seed + i); });
    Own(seed);
    done_.store(true, std::memory_order_relaxed);
    for (auto &t : thieves) t.join();
    Drain();
    EXPECT_TRUE(go_runq_empty_(&q_));
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < things_.size(); i++) wrong += things_[i].taken != 1 ? 1 : 0;
    EXPECT_EQ(wrong, 0u) << "of " << things_.size() << " things lost or taken twice";
    EXPECT_FALSE(torn_);
  }

 private:
  void Took(void *g) {
    if (g == nullptr) return;
    Thing *t = static_cast<Thing *>(g);
    if (t != &things_[t->number]) torn_ = true;
    t->taken.fetch_add(1, std::memory_order_relaxed);
  }
  void Took(void **out, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) Took(out[i]);
  }
  // As the scheduler does when a queue is full.
  void PutRing(void *g) {
    if (go_ring_put_(&q_, g)) return;
    void *out[kCap / 2];
    Took(out, go_ring_steal_(&q_, out));
    if (!go_ring_put_(&q_, g)) {
      ADD_FAILURE() << "full, with half of it gone";
      Took(g);
    }
  }
  void PutFresh(void *g) {
    void *out[kCap / 2];
    while (!go_fresh_put_(&q_, g, false)) Took(out, go_fresh_steal_(&q_, out, kCap / 2));
  }
  void Own(uint64_t seed) {
    Rng rng(seed);
    uint32_t bias = 50;
    for (uint32_t made = 0; made < things_.size();) {
      if (rng.Below(512) == 0) bias = 30 + rng.Below(50);
      if (rng.Below(100) < bias) {
        Thing *t = &things_[made];
        t->number = made++;
        switch (rng.Below(3)) {
          case 0: PutRing(t); break;
          case 1: PutFresh(t); break;
          default:
            if (void *old = go_next_put_(&q_, t, false)) PutRing(old);
        }
      } else {
        switch (rng.Below(3)) {
          case 0: Took(go_ring_get_(&q_, false)); break;
          case 1: Took(go_fresh_get_(&q_, false)); break;
          default: Took(go_next_get_(&q_, false));
        }
      }
    }
  }
  void Steal(uint64_t seed) {
    Rng rng(seed);
    void *out[kCap / 2];
    while (!done_.load(std::memory_order_relaxed)) {
      switch (rng.Below(8)) {
        case 0: Took(go_next_get_(&q_, false)); break;
        case 1:
        case 2: Took(out, go_fresh_steal_(&q_, out, 1 + rng.Below(kCap / 2))); break;
        case 3: Took(out, go_ring_steal_(&q_, out)); break;
        default:  // let it fill up
          for (volatile uint32_t i = 0; i < 400; i = i + 1) {}
      }
    }
  }
  void Drain() {
    void *g;
    while ((g = go_next_get_(&q_, true)) != nullptr) Took(g);
    while ((g = go_ring_get_(&q_, true)) != nullptr) Took(g);
    while ((g = go_fresh_get_(&q_, true)) != nullptr) Took(g);
  }

  alignas(64) Queue q_;
  std::vector<Thing> things_;
  std::atomic<bool> done_{false};
  std::atomic<bool> torn_{false};
};

TEST(RunqThreads, EveryItemIsTakenOnce) {
  auto end = Clock::now() + std::chrono::seconds(1);
  uint64_t seed = 1;
  do {
    uint32_t start = kStarts[seed % (sizeof kStarts / sizeof kStarts[0])];
    auto heist = std::make_unique<Heist>(start, static_cast<uint32_t>(kSanitized ? 20000 : 100000));
    heist->Run(seed * 1000);
    seed++;
  } while (Clock::now() < end && !HasFailure());
}

// ---- Go: TestSchedLocalQueueEmpty.

// There is something in the queue throughout, moving between the parts as the scheduler moves it.
TEST(RunqThreads, EmptyNeverLies) {
  alignas(64) Queue q(0xfffffff0u);
  (void)go_next_put_(&q, Item(0), false);
  std::atomic<bool> done{false};
  std::atomic<int> lies{0};
  std::vector<std::thread> watchers;
  for (int i = 0; i < 2; i++) {
    watchers.emplace_back([&] {
      while (!done.load(std::memory_order_relaxed)) {
        if (go_runq_empty_(&q)) lies++;
      }
    });
  }
  auto end = Clock::now() + std::chrono::seconds(1);
  for (uint32_t i = 1; lies == 0 && (i % 256 != 0 || Clock::now() < end); i++) {
    // next pushes the older one into the ring, and goes away itself,
    void *old = go_next_put_(&q, Item(i), false);
    ASSERT_EQ(old, Item(i - 1));
    ASSERT_TRUE(go_ring_put_(&q, old));
    ASSERT_EQ(go_next_get_(&q, false), Item(i));
    // which spawns before the ring's one runs,
    ASSERT_TRUE(go_fresh_put_(&q, Item(i), false));
    ASSERT_EQ(go_ring_get_(&q, false), old);
    // which readies somebody before the fresh one runs.
    ASSERT_EQ(go_next_put_(&q, Item(i), false), nullptr);
    ASSERT_EQ(go_fresh_get_(&q, false), Item(i));
  }
  done = true;
  for (auto &t : watchers) t.join();
  EXPECT_EQ(lies, 0);
}

}  // namespace
