// Trees of contexts that goroutines and threads make, cancel, wait with and drop at the same time.

#include <golib/context.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

// Contexts that everybody gets at. A slot's reference is exchanged under its mutex.
class Shared {
 public:
  explicit Shared(int n) : slots_(static_cast<size_t>(n)) {}
  ~Shared() {
    for (Slot &s : slots_) go_ctx_unref(s.c);
  }
  // A reference of what is there; may be NULL.
  go_ctx *Get(Rng &rng) {
    Slot &s = slots_[rng.Below(static_cast<uint32_t>(slots_.size()))];
    go_mutex_lock(&s.mu);
    go_ctx *c = go_ctx_ref(s.c);
    go_mutex_unlock(&s.mu);
    return c;
  }
  // c's reference is the slot's now; what was there goes.
  void Put(Rng &rng, go_ctx *c) {
    Slot &s = slots_[rng.Below(static_cast<uint32_t>(slots_.size()))];
    go_mutex_lock(&s.mu);
    std::swap(s.c, c);
    go_mutex_unlock(&s.mu);
    go_ctx_unref(c);
  }

 private:
  struct Slot {
    go_mutex mu{};
    go_ctx *c = nullptr;
  };
  std::vector<Slot> slots_;
};

struct Counts {
  std::atomic<int64_t> made{0}, destroyed{0};                  // values
  std::atomic<int64_t> registered{0}, started{0}, stopped{0};  // callbacks
};
Counts *counts;

const char kKey = 0;

go_ctx *MakeSome(Rng &rng, go_ctx *parent) {
  switch (rng.Below(6)) {
    case 0: return go_ctx_with_timeout(parent, rng.Below(300) * GO_US);
    case 1: return go_ctx_with_timeout(parent, GO_HOUR);
    case 2: {
      counts->made++;
      return go_ctx_with_value(parent, &kKey, counts,
                               [](void *v) { static_cast<Counts *>(v)->destroyed++; });
    }
    case 3: return rng.Below(4) == 0 ? go_ctx_without_cancel(parent) : go_ctx_with_cancel(parent);
    default: return go_ctx_with_cancel(parent);
  }
}

void Fn(void *p) {
  static_cast<Counts *>(p)->started++;
  if (go_id() % 16 == 0) go_yield();
}

void UseOne(Rng &rng, go_ctx *c) {
  switch (rng.Below(7)) {
    case 0:
      go_ctx_cancel_cause(c, 5);
      if (c != nullptr) {
        EXPECT_NE(go_ctx_err(c), 0);
        EXPECT_NE(go_ctx_cause(c), 0);
      }
      break;
    case 1: {  // whoever waits is told, by deadline or by a short one of our own
      go_ctx *mine = go_ctx_with_timeout(c, rng.Below(200) * GO_US);
      int r =
          rng.Below(2) == 0 ? go_sleep(mine, GO_FOREVER) : go_chan_recv_ctx(mine, nullptr, nullptr);
      EXPECT_EQ(r, go_ctx_err(mine));
      EXPECT_NE(r, 0);
      go_ctx_unref(mine);
      break;
    }
    case 2: {
      go_chan *done = go_ctx_done(c);
      bool closed = done != nullptr && go_chan_try_recv(done, nullptr) == GO_ECLOSED;
      if (closed) {
        EXPECT_NE(go_ctx_err(c), 0);
      }
      break;
    }
    case 3:
      if (go_ctx_err(c) != 0) {
        EXPECT_EQ(go_chan_try_recv(go_ctx_done(c), nullptr), GO_ECLOSED);
      }
      break;
    case 4: {
      go_ctx_stop stop;
      EXPECT_EQ(go_ctx_after(c, Fn, counts, &stop), 0);
      counts->registered++;
      if (rng.Below(2) == 0) go_yield();
      if (go_ctx_after_stop(&stop)) counts->stopped++;
      break;
    }
    case 5: {  // a callback without a handle, on something that ends
      go_ctx *mine = go_ctx_with_cancel(c);
      EXPECT_EQ(go_ctx_after(mine, Fn, counts, nullptr), 0);
      counts->registered++;
      go_ctx_cancel(mine);
      go_ctx_unref(mine);
      break;
    }
    default: {
      void *v = go_ctx_value(c, &kKey);
      EXPECT_TRUE(v == nullptr || v == counts);
      EXPECT_EQ(go_ctx_value(c, &v), nullptr);
    }
  }
}

void Work(uint64_t seed, Shared *shared, go_nsec end) {
  Rng rng(seed);
  for (int i = 0; i % 64 != 0 || go_now() < end; i++) {
    go_ctx *c = shared->Get(rng);
    go_ctx *child = MakeSome(rng, c);
    EXPECT_NE(child, nullptr);
    UseOne(rng, rng.Below(2) == 0 ? c : child);
    // Chains must not grow for ever: now and then one starts anew.
    if (rng.Below(16) == 0) {
      go_ctx_unref(child);
      child = nullptr;
    }
    shared->Put(rng, child);
    go_ctx_unref(c);
    if (i % 32 == 0) go_yield();
  }
}

TEST(ContextStress, MadeCancelledWaitedDropped) {
  counts = new Counts;
  go_nsec end = StressEnd();
  RunGo([&] {
    Shared shared(24);
    go_wg wg{};
    for (uint64_t i = 0; i < 16; i++) SPAWN_WG(&wg, [&, i] { Work(i, &shared, end); });
    go_wg_add(&wg, 1);
    std::thread t([&] {
      Work(100, &shared, end);
      go_wg_done(&wg);
    });
    go_wg_wait(&wg);
    t.join();  // only now: its deadlines need a P, which join would keep
  });
  Until([] { return counts->made == counts->destroyed; });
  Until([] { return counts->registered == counts->started + counts->stopped; });
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);  // a callback may have just counted itself
  EXPECT_EQ(counts->made, counts->destroyed);
  EXPECT_EQ(counts->registered, counts->started + counts->stopped);
  EXPECT_GT(counts->started, 0);
  EXPECT_GT(counts->stopped, 0);
  delete counts;
}

// One long-lived parent, whose children come, end by themselves, are cancelled, and are cancelled with it, again
// and again; siblings are dropped while the parent passes its end down.
TEST(ContextStress, ParentEndsWhileChildrenGo) {
  go_nsec end = StressEnd();
  RunGo([&] {
    Rng rng(1);
    int rounds = 0;
    do {
      go_ctx *parent = go_ctx_with_cancel(nullptr);
      go_wg wg{};
      std::atomic<bool> ended{false};
      for (int i = 0; i < 8; i++) {
        uint64_t seed = rng.Next();
        SPAWN_WG(&wg, [&, seed] {
          Rng mine(seed);
          std::vector<go_ctx *> own;
          while (!ended) {
            own.push_back(mine.Below(3) == 0
                              ? go_ctx_with_timeout(parent, mine.Below(100) * GO_US)
                              : go_ctx_with_cancel(own.empty() ? parent : own.back()));
            if (mine.Below(3) == 0) {
              size_t k = mine.Below(static_cast<uint32_t>(own.size()));
              if (mine.Below(2) == 0) go_ctx_cancel(own[k]);
              go_ctx_unref(own[k]);
              own[k] = own.back();
              own.pop_back();
            }
            if (own.size() > 100) {
              for (go_ctx *c : own) go_ctx_unref(c);
              own.clear();
            }
            if (mine.Below(8) == 0) go_yield();
          }
          for (go_ctx *c : own) {
            EXPECT_NE(go_ctx_err(c), 0);
            go_ctx_unref(c);
          }
        });
      }
      for (uint32_t n = rng.Below(20); n > 0; n--) go_yield();
      go_ctx_cancel(parent);
      ended = true;
      go_wg_wait(&wg);
      go_ctx_unref(parent);
      rounds++;
    } while (go_now() < end);
    EXPECT_GT(rounds, 0);
  });
}

}  // namespace
