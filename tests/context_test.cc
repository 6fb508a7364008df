// Contexts: what each call does, as Go's context tests see it. What blocks with a context is in
// context_calls_test.cc.

#include <golib/context.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

// A context with one reference.
class Ctx {
 public:
  Ctx() = default;
  explicit Ctx(go_ctx *c) : c_(c) { EXPECT_NE(c, nullptr); }
  Ctx(Ctx &&o) noexcept : c_(o.c_) { o.c_ = nullptr; }
  Ctx &operator=(Ctx &&o) noexcept {
    std::swap(c_, o.c_);
    return *this;
  }
  ~Ctx() { go_ctx_unref(c_); }
  operator go_ctx *() const { return c_; }  // NOLINT: it is one
  void Drop() {
    go_ctx_unref(c_);
    c_ = nullptr;
  }

 private:
  go_ctx *c_ = nullptr;
};

using List = std::initializer_list<go_ctx *>;

Ctx Cancelable(go_ctx *parent = nullptr) { return Ctx(go_ctx_with_cancel(parent)); }
Ctx Timed(go_ctx *parent, go_nsec d) { return Ctx(go_ctx_with_timeout(parent, d)); }
Ctx Detached(go_ctx *parent) { return Ctx(go_ctx_without_cancel(parent)); }
const char kKey1 = 0, kKey2 = 0, kKey3 = 0;
Ctx Valued(go_ctx *parent, const char *key, const char *val) {
  return Ctx(go_ctx_with_value(parent, key, const_cast<char *>(val), nullptr));
}

bool Closed(go_chan *done) { return go_chan_try_recv(done, nullptr) == GO_ECLOSED; }
bool Open(go_chan *done) { return go_chan_try_recv(done, nullptr) == GO_EAGAIN; }
void Wait(go_ctx *c) { EXPECT_FALSE(go_chan_recv(go_ctx_done(c), nullptr)); }

void ExpectDone(go_ctx *c, int err, int cause) {
  EXPECT_EQ(go_ctx_err(c), err);
  EXPECT_EQ(go_ctx_cause(c), cause);
  EXPECT_TRUE(Closed(go_ctx_done(c)));
}
void ExpectOpen(go_ctx *c) {
  EXPECT_EQ(go_ctx_err(c), 0);
  EXPECT_EQ(go_ctx_cause(c), 0);
  EXPECT_TRUE(Open(go_ctx_done(c)));
}

// Runs f on a goroutine, or on a plain thread.
class Context : public testing::TestWithParam<bool> {
 protected:
  void On(const std::function<void()> &f) {
    if (GetParam()) {
      RunGo(f);
    } else {
      std::thread(f).join();
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Goroutine, Context, testing::Bool());

// ---- Roots.

TEST_P(Context, Background) {
  On([] {
    go_ctx *b = go_ctx_background();
    EXPECT_NE(b, nullptr);
    EXPECT_EQ(go_ctx_background(), b);
    for (go_ctx *c : {b, static_cast<go_ctx *>(nullptr)}) {
      EXPECT_EQ(go_ctx_err(c), 0);
      EXPECT_EQ(go_ctx_cause(c), 0);
      EXPECT_EQ(go_ctx_deadline(c), GO_FOREVER);
      EXPECT_EQ(go_ctx_done(c), nullptr);
      EXPECT_EQ(go_ctx_value(c, &kKey1), nullptr);
      go_ctx_cancel(c);
      go_ctx_cancel_cause(c, 7);
      EXPECT_EQ(go_ctx_err(c), 0);
      EXPECT_EQ(go_ctx_ref(c), c);
      go_ctx_unref(c);
      go_ctx_unref(c);
      go_ctx_unref(c);
      EXPECT_EQ(go_ctx_err(c), 0);
    }
  });
}

// Every call that waits takes the background for no context at all.
TEST_P(Context, BackgroundInCalls) {
  On([] {
    go_ctx *b = go_ctx_background();
    Chan<int> c(1);
    int v = 3;
    EXPECT_EQ(go_sleep(b, 10 * GO_US), 0);
    EXPECT_EQ(go_chan_send_ctx(b, c.get(), &v), 0);
    EXPECT_EQ(go_chan_recv_ctx(b, c.get(), &v), 0);
    std::thread t([&] {
      int w = 5;
      Until([&] { return c.TrySend(w) == 0; });
      Until([&] { return c.Len() == 0; });
      Until([&] { return c.TrySend(w) == 0; });
    });
    EXPECT_EQ(go_chan_recv_ctx(b, c.get(), &v), 0);
    go_case k[] = {RecvCase(c, &v)};
    EXPECT_EQ(go_select(b, k, 1), 0);
    t.join();
    go_mutex mu{};
    go_wg wg{};
    EXPECT_EQ(go_mutex_lock_ctx(b, &mu), 0);
    EXPECT_EQ(go_wg_wait_ctx(b, &wg), 0);
  });
}

// ---- Cancelling. Go: TestParentFinishesChild, TestChildFinishesFirst.

TEST_P(Context, ParentEndsDescendants) {
  On([] {
    Ctx parent = Cancelable();
    Ctx child = Cancelable(parent), value = Valued(parent, &kKey1, "v");
    Ctx below_value = Cancelable(value), timed = Timed(value, GO_HOUR);
    for (go_ctx *c : List{parent, child, value, below_value, timed}) ExpectOpen(c);
    go_ctx_cancel(parent);
    for (go_ctx *c : List{parent, child, value, below_value, timed})
      ExpectDone(c, GO_ECANCELED, GO_ECANCELED);
    EXPECT_STREQ(static_cast<char *>(go_ctx_value(timed, &kKey1)), "v");
  });
}

TEST_P(Context, ChildDoesNotEndParent) {
  On([] {
    Ctx parent = Cancelable(), child = Cancelable(parent), sibling = Cancelable(parent);
    go_ctx_cancel(child);
    ExpectDone(child, GO_ECANCELED, GO_ECANCELED);
    ExpectOpen(parent);
    ExpectOpen(sibling);
    go_ctx_cancel(parent);
    ExpectDone(parent, GO_ECANCELED, GO_ECANCELED);
    ExpectDone(sibling, GO_ECANCELED, GO_ECANCELED);
  });
}

TEST_P(Context, CancelTwiceIsOnce) {
  On([] {
    Ctx c = Cancelable();
    go_ctx_cancel_cause(c, 5);
    go_ctx_cancel_cause(c, 6);
    go_ctx_cancel(c);
    ExpectDone(c, GO_ECANCELED, 5);
  });
}

// What only carries a value, or was detached, can be cancelled by itself.
TEST_P(Context, AnyCanBeCancelled) {
  On([] {
    Ctx root = Cancelable(), value = Valued(root, &kKey1, "x"), below = Cancelable(value);
    go_ctx_cancel_cause(value, 3);
    ExpectDone(value, GO_ECANCELED, 3);
    ExpectDone(below, GO_ECANCELED, 3);
    ExpectOpen(root);
    Ctx detached = Detached(root), child = Cancelable(detached);
    go_ctx_cancel(root);
    ExpectOpen(detached);
    go_ctx_cancel_cause(detached, 4);
    ExpectDone(detached, GO_ECANCELED, 4);
    ExpectDone(child, GO_ECANCELED, 4);
    Ctx of_nothing = Valued(nullptr, &kKey1, "x");
    go_ctx_cancel(of_nothing);
    ExpectDone(of_nothing, GO_ECANCELED, GO_ECANCELED);
  });
}

// Go: TestWithCancelCanceledParent.
TEST_P(Context, ChildOfDoneIsBornDone) {
  On([] {
    Ctx parent = Cancelable();
    go_ctx_cancel_cause(parent, -33);
    Ctx child = Cancelable(parent), value = Valued(parent, &kKey1, "x");
    Ctx timed = Timed(parent, GO_HOUR), passed = Timed(parent, 0), below = Cancelable(value);
    for (go_ctx *c : List{child, value, timed, passed, below}) ExpectDone(c, GO_ECANCELED, -33);
    Ctx late = Timed(nullptr, 0), of_late = Cancelable(late);
    ExpectDone(of_late, GO_ETIMEDOUT, GO_ETIMEDOUT);
  });
}

// Go: TestWithCancelSimultaneouslyCanceledParent: whoever sees the parent done makes children that are.
TEST_P(Context, ChildWhileParentEnds) {
  On([] {
    for (int i = Rounds(3000); i > 0; i--) {
      Ctx parent = Cancelable();
      std::atomic<bool> go{false};
      go_wg wg{};
      SPAWN_WG(&wg, [&] {
        go = true;
        go_ctx_cancel_cause(parent, 9);
      });
      while (!go) go_yield();
      Ctx child = Cancelable(parent);
      go_wg_wait(&wg);
      EXPECT_EQ(go_ctx_err(child), GO_ECANCELED);
      EXPECT_EQ(go_ctx_cause(child), 9);
    }
  });
}

// Go: TestSimultaneousCancels.
TEST_P(Context, ManyAtOnce) {
  On([] {
    constexpr int kN = 100;
    Ctx root = Cancelable();
    std::vector<Ctx> all;
    for (int i = 0; i < kN; i++) all.push_back(Cancelable(i < 10 ? root : all[i / 2]));
    go_wg wg{};
    for (Ctx &c : all) SPAWN_WG(&wg, [&c] { go_ctx_cancel(c); });
    for (Ctx &c : all) Wait(c);
    go_wg_wait(&wg);
    ExpectOpen(root);
    for (Ctx &c : all) ExpectDone(c, GO_ECANCELED, GO_ECANCELED);
  });
}

// Go: TestInterlockedCancels: the child is cancelled by who learns of the parent's end, while that
// is still being passed down.
TEST_P(Context, InterlockedCancels) {
  On([] {
    for (int i = Rounds(1000); i > 0; i--) {
      Ctx parent = Cancelable(), child = Cancelable(parent);
      go_wg wg{};
      SPAWN_WG(&wg, [&] {
        Wait(parent);
        go_ctx_cancel_cause(child, 8);
      });
      go_ctx_cancel_cause(parent, 7);
      Wait(child);
      go_wg_wait(&wg);
      int cause = go_ctx_cause(child);
      EXPECT_TRUE(cause == 7 || cause == 8) << cause;
    }
  });
}

// ---- Causes. Go: TestCause.

struct CauseRow {
  const char *name;
  // Makes parent, child and grandchild of it as it likes; what is expected of the grandchild.
  std::function<void(Ctx &, Ctx &, Ctx &)> act;
  int err, cause, parent_cause;
};

TEST_P(Context, Causes) {
  constexpr int kP = 11, kC = 12, kC2 = 13;
  const CauseRow rows[] = {
      {"nothing",
       [](Ctx &p, Ctx &c, Ctx &g) { p = Cancelable(), c = Cancelable(p), g = Cancelable(c); }, 0, 0,
       0},
      {"no cause",
       [](Ctx &p, Ctx &c, Ctx &g) {
         p = Cancelable(), c = Cancelable(p), g = Cancelable(c);
         go_ctx_cancel(p);
       },
       GO_ECANCELED, GO_ECANCELED, GO_ECANCELED},
      {"cause 0 is no cause",
       [](Ctx &p, Ctx &c, Ctx &g) {
         p = Cancelable(), c = Cancelable(p), g = Cancelable(c);
         go_ctx_cancel_cause(p, 0);
       },
       GO_ECANCELED, GO_ECANCELED, GO_ECANCELED},
      {"the parent's",
       [](Ctx &p, Ctx &c, Ctx &g) {
         p = Cancelable(), c = Cancelable(p), g = Cancelable(c);
         go_ctx_cancel_cause(p, kP);
       },
       GO_ECANCELED, kP, kP},
      {"the child's",
       [](Ctx &p, Ctx &c, Ctx &g) {
         p = Cancelable(), c = Cancelable(p), g = Cancelable(c);
         go_ctx_cancel_cause(c, kC);
       },
       GO_ECANCELED, kC, 0},
      {"the parent's was first",
       [](Ctx &p, Ctx &c, Ctx &g) {
         p = Cancelable(), c = Cancelable(p), g = Cancelable(c);
         go_ctx_cancel_cause(p, kP);
         go_ctx_cancel_cause(c, kC);
       },
       GO_ECANCELED, kP, kP},
      {"the child's was first",
       [](Ctx &p, Ctx &c, Ctx &g) {
         p = Cancelable(), c = Cancelable(p), g = Cancelable(c);
         go_ctx_cancel_cause(c, kC);
         go_ctx_cancel_cause(p, kP);
       },
       GO_ECANCELED, kC, kP},
      {"the grandchild's own was first",
       [](Ctx &p, Ctx &c, Ctx &g) {
         p = Cancelable(), c = Cancelable(p), g = Cancelable(c);
         go_ctx_cancel_cause(g, kC2);
         go_ctx_cancel_cause(c, kC);
         go_ctx_cancel_cause(p, kP);
       },
       GO_ECANCELED, kC2, kP},
      {"twice",
       [](Ctx &p, Ctx &c, Ctx &g) {
         p = Cancelable(), c = Cancelable(p), g = Cancelable(c);
         go_ctx_cancel_cause(p, kP);
         go_ctx_cancel_cause(p, kC);
       },
       GO_ECANCELED, kP, kP},
      {"through a value",
       [](Ctx &p, Ctx &c, Ctx &g) {
         p = Cancelable(), c = Valued(p, &kKey1, ""), g = Cancelable(c);
         go_ctx_cancel_cause(p, kP);
       },
       GO_ECANCELED, kP, kP},
      {"a deadline's",
       [](Ctx &p, Ctx &c, Ctx &g) { p = Timed(nullptr, 0), c = Cancelable(p), g = Cancelable(c); },
       GO_ETIMEDOUT, GO_ETIMEDOUT, GO_ETIMEDOUT},
      {"cancelled after the deadline",
       [](Ctx &p, Ctx &c, Ctx &g) {
         p = Timed(nullptr, GO_MS), c = Cancelable(p), g = Cancelable(c);
         Wait(g);
         go_ctx_cancel_cause(p, kP);
         go_ctx_cancel_cause(g, kC);
       },
       GO_ETIMEDOUT, GO_ETIMEDOUT, GO_ETIMEDOUT},
      {"cancelled before the deadline",
       [](Ctx &p, Ctx &c, Ctx &g) {
         p = Timed(nullptr, GO_HOUR), c = Cancelable(p), g = Cancelable(c);
         go_ctx_cancel_cause(p, kP);
       },
       GO_ECANCELED, kP, kP},
      {"a child's deadline",
       [](Ctx &p, Ctx &c, Ctx &g) {
         p = Cancelable(), c = Timed(p, GO_MS), g = Cancelable(c);
         Wait(g);
         go_ctx_cancel_cause(p, kP);
       },
       GO_ETIMEDOUT, GO_ETIMEDOUT, kP},
      {"a detached one's parent",
       [](Ctx &p, Ctx &c, Ctx &g) {
         p = Cancelable(), c = Detached(p), g = Cancelable(c);
         go_ctx_cancel_cause(p, kP);
       },
       0, 0, kP},
      {"a detached one's child",
       [](Ctx &p, Ctx &c, Ctx &g) {
         p = Cancelable(), c = Detached(p), g = Cancelable(c);
         go_ctx_cancel_cause(p, kP);
         go_ctx_cancel_cause(g, kC);
       },
       GO_ECANCELED, kC, kP},
  };
  On([&] {
    for (const CauseRow &row : rows) {
      Ctx p, c, g;
      row.act(p, c, g);
      EXPECT_EQ(go_ctx_err(g), row.err) << row.name;
      EXPECT_EQ(go_ctx_cause(g), row.cause) << row.name;
      EXPECT_EQ(go_ctx_cause(p), row.parent_cause) << row.name;
    }
  });
}

// Go: TestCauseRace: whoever reads err not 0 reads the cause.
TEST_P(Context, CauseIsThereWithErr) {
  On([] {
    for (int i = Rounds(2000); i > 0; i--) {
      Ctx c = Cancelable();
      go_wg wg{};
      SPAWN_WG(&wg, [&] { go_ctx_cancel_cause(c, 77); });
      int cause;
      while ((cause = go_ctx_cause(c)) == 0) go_yield();
      EXPECT_EQ(cause, 77);
      EXPECT_EQ(go_ctx_err(c), GO_ECANCELED);
      go_wg_wait(&wg);
    }
  });
}

// ---- Err and Done. Go: TestContextErrDoneRace: err not 0 exactly when Done is closed.

TEST_P(Context, ErrExactlyWhenDone) {
  On([] {
    Procs procs(4);
    for (int i = Rounds(3000); i > 0; i--) {
      Ctx parent = Cancelable(), c = Cancelable(parent);
      go_chan *done = go_ctx_done(c);
      go_wg wg{};
      SPAWN_WG(&wg, [&] {
        while (go_ctx_err(c) == 0) go_yield();
        EXPECT_TRUE(Closed(done)) << "err, but not done";
      });
      SPAWN_WG(&wg, [&] {
        EXPECT_FALSE(go_chan_recv(done, nullptr));
        EXPECT_NE(go_ctx_err(c), 0) << "done, but no err";
      });
      go_ctx_cancel(i % 2 != 0 ? parent : c);
      go_wg_wait(&wg);
    }
  });
}

// The channel is made when it is first asked for: at any time, by several at once, it is one, and closed if due.
TEST_P(Context, DoneIsMadeAtAnyTime) {
  On([] {
    Procs procs(4);
    for (int i = Rounds(3000); i > 0; i--) {
      Ctx c = Cancelable();
      go_wg wg{};
      std::atomic<go_chan *> seen[3] = {};
      for (auto &s : seen) {
        SPAWN_WG(&wg, [&c, &s] {
          s = go_ctx_done(c);
          EXPECT_FALSE(go_chan_recv(s, nullptr));
        });
      }
      SPAWN_WG(&wg, [&c] { go_ctx_cancel(c); });
      go_wg_wait(&wg);
      EXPECT_EQ(seen[0], seen[1].load());
      EXPECT_EQ(seen[0], seen[2].load());
      EXPECT_EQ(go_ctx_done(c), seen[0].load());
    }
  });
}

TEST_P(Context, DoneOutlivesByRef) {
  On([] {
    Ctx c = Cancelable();
    go_chan *done = go_chan_ref(go_ctx_done(c));
    go_ctx_cancel(c);
    c.Drop();
    EXPECT_TRUE(Closed(done));
    go_chan_unref(done);
    Ctx d = Cancelable();  // and when it was never cancelled
    done = go_chan_ref(go_ctx_done(d));
    d.Drop();
    EXPECT_TRUE(Open(done));
    go_chan_unref(done);
  });
}

// In a select, a context that is not select's own.
TEST_P(Context, DoneInSelect) {
  On([] {
    Ctx a = Cancelable(), b = Cancelable();
    Chan<int> c(0);
    go_case k[] = {RecvCase(c), RecvCase(go_ctx_done(b)), RecvCase(go_ctx_done(nullptr))};
    EXPECT_EQ(go_select_try(k, 3), GO_EAGAIN);
    std::thread t([&] { go_ctx_cancel(b); });
    EXPECT_EQ(go_select(a, k, 3), 1);
    EXPECT_FALSE(k[1].ok);
    t.join();
  });
}

// ---- Deadlines. Go: TestDeadline, TestTimeout, TestCanceledTimeout.

TEST_P(Context, Deadline) {
  On([] {
    go_nsec start = go_now(), when = start + 20 * GO_MS;
    Ctx c(go_ctx_with_deadline(nullptr, when));
    Ctx below = Cancelable(c), value = Valued(below, &kKey1, "x");
    for (go_ctx *x : List{c, below, value}) EXPECT_EQ(go_ctx_deadline(x), when);
    Wait(value);
    EXPECT_GE(go_now(), when);
    for (go_ctx *x : List{c, below, value}) ExpectDone(x, GO_ETIMEDOUT, GO_ETIMEDOUT);
  });
}

TEST_P(Context, Timeout) {
  On([] {
    go_nsec before = go_now();
    Ctx c = Timed(nullptr, 10 * GO_MS);
    go_nsec after = go_now();
    EXPECT_GE(go_ctx_deadline(c), before + 10 * GO_MS);
    EXPECT_LE(go_ctx_deadline(c), after + 10 * GO_MS);
    EXPECT_EQ(go_sleep(c, GO_HOUR), GO_ETIMEDOUT);
    EXPECT_GE(go_now(), before + 10 * GO_MS);
    ExpectDone(c, GO_ETIMEDOUT, GO_ETIMEDOUT);
  });
}

TEST_P(Context, DeadlineThatHasPassed) {
  On([] {
    for (go_nsec when : {go_now(), go_now() - 1, go_nsec{0}, go_nsec{-1}, go_nsec{INT64_MIN}}) {
      Ctx c(go_ctx_with_deadline(nullptr, when));
      ExpectDone(c, GO_ETIMEDOUT, GO_ETIMEDOUT);
      EXPECT_EQ(go_ctx_deadline(c), when);
    }
    for (go_nsec d : {go_nsec{0}, go_nsec{-1}, go_nsec{INT64_MIN}})
      ExpectDone(Timed(nullptr, d), GO_ETIMEDOUT, GO_ETIMEDOUT);
  });
}

TEST_P(Context, TheEarlierDeadlineHolds) {
  On([] {
    go_nsec now = go_now();
    Ctx hour(go_ctx_with_deadline(nullptr, now + GO_HOUR));
    Ctx two(go_ctx_with_deadline(hour, now + 2 * GO_HOUR));
    EXPECT_EQ(go_ctx_deadline(two), now + GO_HOUR);
    Ctx same(go_ctx_with_deadline(hour, now + GO_HOUR));
    EXPECT_EQ(go_ctx_deadline(same), now + GO_HOUR);
    Ctx soon(go_ctx_with_deadline(two, now + GO_MIN));
    EXPECT_EQ(go_ctx_deadline(soon), now + GO_MIN);
    Ctx none(go_ctx_with_deadline(hour, GO_FOREVER));
    EXPECT_EQ(go_ctx_deadline(none), now + GO_HOUR);
    Ctx short_one = Timed(hour, GO_MS), long_one = Timed(short_one, GO_HOUR);
    Wait(long_one);
    ExpectDone(long_one, GO_ETIMEDOUT, GO_ETIMEDOUT);
    ExpectOpen(hour);
  });
}

TEST_P(Context, NoDeadline) {
  On([] {
    for (go_nsec d : {GO_FOREVER, GO_FOREVER - 1, GO_FOREVER - go_now()}) {
      Ctx c = Timed(nullptr, d);
      ExpectOpen(c);
      go_ctx_cancel(c);
      ExpectDone(c, GO_ECANCELED, GO_ECANCELED);
    }
    EXPECT_EQ(go_ctx_deadline(Timed(nullptr, GO_FOREVER)), GO_FOREVER);
    Ctx forever(go_ctx_with_deadline(nullptr, GO_FOREVER));
    EXPECT_EQ(go_ctx_deadline(forever), GO_FOREVER);
    ExpectOpen(forever);
  });
}

TEST_P(Context, CancelledBeforeItsDeadline) {
  On([] {
    go_nsec when = go_now() + 5 * GO_MS;
    Ctx c(go_ctx_with_deadline(nullptr, when));
    go_ctx_cancel(c);
    EXPECT_EQ(go_sleep(nullptr, 10 * GO_MS), 0);  // the deadline comes and goes
    ExpectDone(c, GO_ECANCELED, GO_ECANCELED);
    EXPECT_EQ(go_ctx_deadline(c), when);
  });
}

// Go: TestLayersCancel, TestLayersTimeout: stacks of all kinds keep values, deadline and end.
void Layers(uint64_t seed, bool timeout) {
  Rng rng(seed);
  constexpr int kLayers = 50;
  static const char keys[kLayers] = {};
  std::vector<Ctx> all;
  std::vector<int> cancelable;
  go_ctx *c = nullptr;
  int nvals = 0;
  go_nsec deadline = GO_FOREVER;
  std::vector<int> vals;
  for (int i = 0; i < kLayers; i++) {
    switch (rng.Below(3)) {
      case 0:
        all.emplace_back(go_ctx_with_value(c, &keys[i], const_cast<char *>(&keys[i]), nullptr));
        vals.push_back(i);
        nvals++;
        break;
      case 1: all.push_back(Cancelable(c)); break;
      case 2: {
        go_nsec when = go_now() + (timeout ? GO_MS + rng.Below(5) * GO_MS : GO_HOUR);
        deadline = when < deadline ? when : deadline;
        all.emplace_back(go_ctx_with_deadline(c, when));
        break;
      }
    }
    c = all.back();
    EXPECT_EQ(go_ctx_deadline(c), deadline);
  }
  auto check_values = [&] {
    for (int i : vals) EXPECT_EQ(go_ctx_value(c, &keys[i]), &keys[i]);
    EXPECT_EQ(go_ctx_value(c, &kKey1), nullptr);
  };
  check_values();
  if (timeout && deadline != GO_FOREVER) {
    Wait(c);
    EXPECT_GE(go_now(), deadline);
    EXPECT_EQ(go_ctx_err(c), GO_ETIMEDOUT);
  } else {
    size_t at = rng.Below(kLayers);
    go_ctx_cancel_cause(all[at], 6);
    for (size_t i = 0; i < kLayers; i++) {
      EXPECT_EQ(go_ctx_err(all[i]), i < at ? 0 : GO_ECANCELED) << i << " of " << at;
      EXPECT_EQ(go_ctx_cause(all[i]), i < at ? 0 : 6) << i << " of " << at;
    }
  }
  check_values();
  // They go in any order.
  while (!all.empty()) {
    size_t i = rng.Below(static_cast<uint32_t>(all.size()));
    std::swap(all[i], all.back());
    all.pop_back();
  }
}

TEST_P(Context, LayersCancel) {
  On([] {
    for (uint64_t seed = 1; seed <= 50; seed++) Layers(seed, false);
  });
}
TEST_P(Context, LayersTimeout) {
  On([] {
    for (uint64_t seed = 1; seed <= 20; seed++) Layers(seed, true);
  });
}

// Deadlines of contexts that went before are nothing to those that are there.
TEST_P(Context, DroppedBeforeItsDeadline) {
  On([] {
    go_nsec end = go_now() + 20 * GO_MS;
    int made = 0;
    while (go_now() < end) {
      Ctx a = Timed(nullptr, 1 + (made % 50) * GO_US), b = Timed(a, 1 + (made % 30) * GO_US);
      Ctx c = Valued(b, &kKey1, "x");
      if (made % 3 == 0) go_ctx_cancel(a);
      made++;
    }
    EXPECT_GT(made, 0);
  });
}

// ---- Values. Go: TestValues, TestWithValueChecksKey.

TEST_P(Context, Values) {
  On([] {
    Ctx c1 = Valued(nullptr, &kKey1, "1"), c2 = Valued(c1, &kKey2, "2"), mid = Cancelable(c2);
    Ctx c3 = Valued(mid, &kKey1, "3"), c4 = Valued(c3, &kKey2, nullptr);
    auto check = [](go_ctx *c, const char *v1, const char *v2) {
      EXPECT_STREQ(static_cast<char *>(go_ctx_value(c, &kKey1)), v1);
      EXPECT_STREQ(static_cast<char *>(go_ctx_value(c, &kKey2)), v2);
      EXPECT_EQ(go_ctx_value(c, &kKey3), nullptr);
      EXPECT_EQ(go_ctx_value(c, nullptr), nullptr);
    };
    check(c1, "1", nullptr);
    check(c2, "1", "2");
    check(mid, "1", "2");
    check(c3, "3", "2");
    check(c4, "3", nullptr);  // a NULL value hides
    c1.Drop();
    c2.Drop();  // children keep them
    mid.Drop();
    check(c3, "3", "2");
    check(c4, "3", nullptr);
  });
}

TEST_P(Context, ValueIsDestroyedOnce) {
  On([] {
    static std::atomic<int> destroyed;
    destroyed = 0;
    int one = 1, two = 2;
    auto destroy = [](void *v) { destroyed += *static_cast<int *>(v); };
    Ctx a(go_ctx_with_value(nullptr, &kKey1, &one, destroy));
    Ctx b(go_ctx_with_value(a, &kKey2, &two, destroy));
    Ctx child = Cancelable(b), detached = Detached(b);
    go_ctx_cancel(a);
    go_ctx_ref(a);
    go_ctx_unref(a);
    a.Drop();
    b.Drop();
    child.Drop();
    EXPECT_EQ(destroyed, 0);
    EXPECT_EQ(go_ctx_value(detached, &kKey1), &one);
    detached.Drop();
    EXPECT_EQ(destroyed, 3);
    Ctx null(go_ctx_with_value(nullptr, &kKey1, nullptr, [](void *v) {
      EXPECT_EQ(v, nullptr);
      destroyed += 10;
    }));
    null.Drop();
    EXPECT_EQ(destroyed, 13);
  });
}

TEST(ContextPanics, ValueWithoutKey) {
  RunGo([] {
    Caught c = Catch([] {
      go_ctx *made = go_ctx_with_value(nullptr, nullptr, nullptr, nullptr);
      EXPECT_EQ(made, nullptr);
    });
    EXPECT_EQ(c.rc, GO_EPANIC);
    EXPECT_EQ(c.text(), "go_ctx_with_value: the key is NULL");
  });
}

// ---- Go: TestWithoutCancel.

TEST_P(Context, WithoutCancel) {
  On([] {
    Ctx value = Valued(nullptr, &kKey1, "v"), parent = Timed(value, GO_HOUR);
    Ctx c = Detached(parent), below = Cancelable(c);
    EXPECT_EQ(go_ctx_deadline(c), GO_FOREVER);
    EXPECT_EQ(go_ctx_deadline(below), GO_FOREVER);
    go_ctx_cancel(parent);
    ExpectOpen(c);
    ExpectOpen(below);
    EXPECT_STREQ(static_cast<char *>(go_ctx_value(below, &kKey1)), "v");
    Ctx of_done = Detached(parent);
    ExpectOpen(of_done);
    Ctx of_none = Detached(nullptr), of_background = Detached(go_ctx_background());
    ExpectOpen(of_none);
    ExpectOpen(of_background);
    // It keeps values only.
    parent.Drop();
    value.Drop();
    EXPECT_STREQ(static_cast<char *>(go_ctx_value(of_done, &kKey1)), "v");
  });
}

// ---- Callbacks. Go: TestAfterFunc...

struct Called {
  std::atomic<int> n{0};
  Chan<int> each{100};
  static void Fn(void *p) {
    auto *c = static_cast<Called *>(p);
    c->each.Send(++c->n);
  }
  int Wait() { return each.Take(); }
};

// TestAfterFuncCalledAfterCancel.
TEST_P(Context, AfterIsCalledAfterCancel) {
  On([] {
    Called called;
    Ctx c = Cancelable();
    go_ctx_stop stop;
    EXPECT_EQ(go_ctx_after(c, Called::Fn, &called, &stop), 0);
    EXPECT_EQ(called.each.Len(), 0u);
    go_ctx_cancel(c);
    EXPECT_EQ(called.Wait(), 1);
    EXPECT_FALSE(go_ctx_after_stop(&stop));
    EXPECT_FALSE(go_ctx_after_stop(&stop));
    go_ctx_cancel(c);
    EXPECT_EQ(called.n, 1);
  });
}

// TestAfterFuncCalledAfterTimeout.
TEST_P(Context, AfterIsCalledAfterTimeout) {
  On([] {
    Called called;
    Ctx c = Timed(nullptr, 5 * GO_MS);
    EXPECT_EQ(go_ctx_after(c, Called::Fn, &called, nullptr), 0);
    EXPECT_EQ(called.Wait(), 1);
    EXPECT_EQ(go_ctx_err(c), GO_ETIMEDOUT);
  });
}

// TestAfterFuncCalledImmediately.
TEST_P(Context, AfterIsCalledAtOnceWhenDone) {
  On([] {
    Called called;
    Ctx c = Cancelable();
    go_ctx_cancel(c);
    go_ctx_stop stop;
    EXPECT_EQ(go_ctx_after(c, Called::Fn, &called, &stop), 0);
    EXPECT_EQ(called.Wait(), 1);
    EXPECT_FALSE(go_ctx_after_stop(&stop));
  });
}

// TestAfterFuncNotCalledAfterStop.
TEST_P(Context, AfterIsNotCalledAfterStop) {
  On([] {
    Called called, other;
    Ctx parent = Cancelable(), c = Cancelable(parent);
    go_ctx_stop stop;
    EXPECT_EQ(go_ctx_after(c, Called::Fn, &called, &stop), 0);
    EXPECT_EQ(go_ctx_after(c, Called::Fn, &other, nullptr), 0);
    EXPECT_TRUE(go_ctx_after_stop(&stop));
    EXPECT_FALSE(go_ctx_after_stop(&stop));
    go_ctx_cancel(parent);
    EXPECT_EQ(other.Wait(), 1);
    Settle();
    EXPECT_EQ(called.n, 0);
    go_ctx_stop none{};
    EXPECT_FALSE(go_ctx_after_stop(&none));
    EXPECT_FALSE(go_ctx_after_stop(nullptr));
  });
}

// TestAfterFuncCalledAsynchronously: neither the canceller nor who registers waits for it.
TEST_P(Context, AfterHasAGoroutineOfItsOwn) {
  On([] {
    struct Job {
      Chan<Unit> gate{0};
      std::atomic<uint64_t> id{0};
      Chan<Unit> ended{1};
      static void Fn(void *p) {
        auto *j = static_cast<Job *>(p);
        j->id = go_id();
        (void)j->gate.Take();
        j->ended.Send(Unit{});
      }
    };
    Job first, second;
    Ctx c = Cancelable();
    EXPECT_EQ(go_ctx_after(c, Job::Fn, &first, nullptr), 0);
    go_ctx_cancel(c);
    EXPECT_EQ(go_ctx_after(c, Job::Fn, &second, nullptr), 0);
    first.gate.Send(Unit{});  // only now they can end
    second.gate.Send(Unit{});
    (void)first.ended.Take();
    (void)second.ended.Take();
    EXPECT_NE(first.id, 0u);
    EXPECT_NE(first.id, second.id);
    EXPECT_NE(first.id, go_id());
  });
}

// The callback finds the context done, and its channel closed.
TEST_P(Context, AfterSeesItDone) {
  On([] {
    struct Job {
      go_ctx *c;
      Chan<int> saw{1};
      static void Fn(void *p) {
        auto *j = static_cast<Job *>(p);
        j->saw.Send(Closed(go_ctx_done(j->c)) ? go_ctx_err(j->c) : 1);
      }
    };
    for (int i = Rounds(500); i > 0; i--) {
      Ctx parent = Cancelable(), c = Cancelable(parent);
      Job job{c, Chan<int>(1)};
      EXPECT_EQ(go_ctx_after(c, Job::Fn, &job, nullptr), 0);
      go_ctx_cancel(parent);
      EXPECT_EQ(job.saw.Take(), GO_ECANCELED);
    }
  });
}

TEST_P(Context, ManyAftersAreAllCalled) {
  On([] {
    constexpr int kN = 1000;
    struct Sum {
      go_wg wg{};
      std::atomic<int> n{0};
      static void Fn(void *p) {
        auto *s = static_cast<Sum *>(p);
        s->n++;
        go_wg_done(&s->wg);
      }
    };
    Sum sum;
    Ctx c = Cancelable();
    std::vector<go_ctx_stop> stops(kN);
    for (int i = 0; i < kN; i++) EXPECT_EQ(go_ctx_after(c, Sum::Fn, &sum, &stops[i]), 0);
    int left = kN;
    for (int i = 0; i < kN; i += 7) {  // first, last and between
      EXPECT_TRUE(go_ctx_after_stop(&stops[i]));
      left--;
    }
    go_wg_add(&sum.wg, left);
    go_ctx_cancel(c);
    go_wg_wait(&sum.wg);
    EXPECT_EQ(sum.n, left);
    for (go_ctx_stop &s : stops) EXPECT_FALSE(go_ctx_after_stop(&s));
  });
}

TEST_P(Context, AfterOnTheBackground) {
  On([] {
    Called called;
    for (go_ctx *c : {go_ctx_background(), static_cast<go_ctx *>(nullptr)}) {
      go_ctx_stop stop;
      EXPECT_EQ(go_ctx_after(c, Called::Fn, &called, &stop), 0);
      EXPECT_EQ(go_ctx_after(c, Called::Fn, &called, nullptr), 0);
      EXPECT_TRUE(go_ctx_after_stop(&stop));
      EXPECT_FALSE(go_ctx_after_stop(&stop));
    }
    EXPECT_EQ(called.n, 0);
  });
}

// A callback that waits keeps its context, and so its place under the parent.
TEST_P(Context, AfterKeepsTheContext) {
  On([] {
    static std::atomic<int> destroyed;
    destroyed = 0;
    int v = 0;
    Called called;
    Ctx parent = Cancelable();
    Ctx c(go_ctx_with_value(parent, &kKey1, &v, [](void *) { destroyed++; }));
    go_ctx_stop stop;
    EXPECT_EQ(go_ctx_after(c, Called::Fn, &called, &stop), 0);
    c.Drop();
    EXPECT_EQ(destroyed, 0);
    go_ctx_cancel(parent);
    EXPECT_EQ(called.Wait(), 1);
    EXPECT_FALSE(go_ctx_after_stop(&stop));
    Until([] { return destroyed == 1; });
    // And stopping lets it go.
    Ctx d(go_ctx_with_value(nullptr, &kKey1, &v, [](void *) { destroyed++; }));
    EXPECT_EQ(go_ctx_after(d, Called::Fn, &called, &stop), 0);
    d.Drop();
    EXPECT_EQ(destroyed, 1);
    EXPECT_TRUE(go_ctx_after_stop(&stop));
    EXPECT_EQ(destroyed, 2);
    EXPECT_EQ(called.n, 1);
  });
}

// Stop tells the truth: fn runs, or it was stopped; never both, never neither. And of several who stop one says so.
TEST_P(Context, StopIsTruthful) {
  On([] {
    Procs procs(4);
    for (int i = Rounds(3000); i > 0; i--) {
      Called called;
      Ctx parent = Cancelable(), c = Cancelable(parent);
      go_ctx_stop stop;
      EXPECT_EQ(go_ctx_after(c, Called::Fn, &called, &stop), 0);
      go_wg wg{};
      std::atomic<int> stopped{0};
      for (int k = 0; k < 2; k++) {
        SPAWN_WG(&wg, [&] { stopped += go_ctx_after_stop(&stop) ? 1 : 0; });
      }
      SPAWN_WG(&wg, [&] { go_ctx_cancel(i % 2 != 0 ? parent : c); });
      go_wg_wait(&wg);
      EXPECT_LE(stopped, 1);
      if (stopped == 0) {
        EXPECT_EQ(called.Wait(), 1);
      }
      go_ctx_cancel(c);
      EXPECT_EQ(called.n, 1 - stopped);
    }
  });
}

// ---- References.

TEST_P(Context, RefReturnsItsArgument) {
  On([] {
    Ctx c = Cancelable();
    EXPECT_EQ(go_ctx_ref(c), static_cast<go_ctx *>(c));
    go_ctx_unref(c);
    ExpectOpen(c);
  });
}

// A child's parent lives while it does; the parent's last user may go first.
TEST_P(Context, ParentsAreKept) {
  On([] {
    Ctx top = Cancelable(), parent = Cancelable(top), child = Cancelable(parent);
    parent.Drop();
    ExpectOpen(child);
    go_ctx_cancel_cause(top, 4);
    ExpectDone(child, GO_ECANCELED, 4);
  });
}

// Children leave: a long-lived parent does not grow. Go: TestCancelRemoves. How much memory this may cost is
// seen in context_memory_test.cc.
TEST_P(Context, ChildrenLeaveInAnyOrder) {
  On([] {
    Ctx parent = Cancelable();
    Rng rng(3);
    std::vector<Ctx> some;
    for (int i = Rounds(20000); i > 0; i--) {
      switch (rng.Below(4)) {
        case 0: some.push_back(Cancelable(parent)); break;
        case 1: some.push_back(Timed(parent, rng.Below(2) == 0 ? GO_HOUR : 10 * GO_US)); break;
        default:
          if (some.empty()) break;
          size_t k = rng.Below(static_cast<uint32_t>(some.size()));
          if (rng.Below(2) == 0) go_ctx_cancel(some[k]);
          std::swap(some[k], some.back());
          some.pop_back();
      }
    }
    go_ctx_cancel(parent);
    for (Ctx &c : some) EXPECT_NE(go_ctx_err(c), 0);
  });
}

// The last reference of a context with a value may go in a timer's function, where nothing of a user's may
// run: destroy may lock, sleep and wait as elsewhere.
TEST_P(Context, DestroyMayWait) {
  On([] {
    static Chan<Unit> destroyed(100);
    static go_mutex mu;
    auto destroy = [](void *) {
      go_mutex_lock(&mu);
      EXPECT_EQ(go_sleep(nullptr, 10 * GO_US), 0);
      go_mutex_unlock(&mu);
      destroyed.Send(Unit{});
    };
    for (int i = Rounds(300); i > 0; i--) {
      Called called;
      int v = 0;
      Ctx value(go_ctx_with_value(nullptr, &kKey1, &v, destroy));
      Ctx timed = Timed(value, i % 100 * GO_US);
      EXPECT_EQ(go_ctx_after(timed, Called::Fn, &called, nullptr), 0);
      value.Drop();
      timed.Drop();  // only the callback keeps it, until its deadline
      EXPECT_EQ(called.Wait(), 1);
      (void)destroyed.Take();
    }
  });
}

// ---- Depth and breadth.

constexpr int kDeep = kTsan ? 10000 : 100000;

std::string Ms(go_nsec d) { return std::to_string(d / GO_MS) + " ms"; }

// Each on a stack of 64 KiB.
void OnSmallStack(const std::function<void()> &f) {
  Chan<Unit> ended(1);
  go_spawn_opts o{};
  o.stack_size = kSanitized ? 256 << 10 : 64 << 10;
  RunGo([&] {
    MustStart(SpawnOptAt("small@", o, [&] {
      f();
      ended.Send(Unit{});
    }));
    (void)ended.Take();
  });
}

TEST(ContextTree, DeepChain) {
  OnSmallStack([] {
    Ctx root = Cancelable();
    std::vector<Ctx> chain;
    chain.reserve(kDeep);
    go_ctx *c = root;
    for (int i = 0; i < kDeep; i++) {
      chain.push_back(i % 3 == 0 ? Valued(c, &kKey1, "x") : Cancelable(c));
      c = chain.back();
    }
    int64_t goroutines = go_count();
    go_nsec start = go_now();
    go_ctx_cancel_cause(root, 5);
    go_nsec took = go_now() - start;
    EXPECT_LE(go_count(), goroutines);  // one of the last test's may have just ended
    for (Ctx &x : chain) EXPECT_EQ(go_ctx_cause(x), 5);
    start = go_now();
    for (int i = 0; i < kDeep; i++) chain[i].Drop();  // the last one takes all with it
    printf("chain of %d: cancelled in %s, freed in %s\n", kDeep, Ms(took).c_str(),
           Ms(go_now() - start).c_str());
    EXPECT_EQ(go_ctx_err(root), GO_ECANCELED);
  });
}

// Only the deepest is held; dropping it unreferences the chain, cancelled or not.
TEST(ContextTree, DeepChainIsFreedFromBelow) {
  OnSmallStack([] {
    static std::atomic<int> destroyed;
    destroyed = 0;
    for (bool cancel : {false, true}) {
      go_ctx *root = go_ctx_with_cancel(nullptr), *c = go_ctx_ref(root);
      for (int i = 0; i < kDeep; i++) {
        go_ctx *next = go_ctx_with_value(c, &kKey1, nullptr, [](void *) { destroyed++; });
        go_ctx_unref(c);
        c = next;
      }
      if (cancel) go_ctx_cancel(root);
      EXPECT_EQ(go_ctx_err(c), cancel ? GO_ECANCELED : 0);
      EXPECT_EQ(destroyed, 0);
      go_ctx_unref(c);
      EXPECT_EQ(destroyed, kDeep);
      destroyed = 0;
      go_ctx_unref(root);
    }
  });
}

TEST(ContextTree, FanOut) {
  OnSmallStack([] {
    Ctx root = Cancelable();
    std::vector<Ctx> all;
    all.reserve(kDeep);
    for (int i = 0; i < kDeep; i++)
      all.push_back(i % 10 == 0 ? Timed(root, GO_HOUR) : Cancelable(root));
    int64_t goroutines = go_count();
    go_nsec start = go_now();
    go_ctx_cancel(root);
    go_nsec took = go_now() - start;
    EXPECT_LE(go_count(), goroutines);  // one of the last test's may have just ended
    for (Ctx &c : all) EXPECT_EQ(go_ctx_err(c), GO_ECANCELED);
    start = go_now();
    all.clear();
    printf("fan of %d: cancelled in %s, freed in %s\n", kDeep, Ms(took).c_str(),
           Ms(go_now() - start).c_str());
  });
}

// Ten each, five deep; by a deadline, whose timer's function does it all.
TEST(ContextTree, ByDeadline) {
  OnSmallStack([] {
    Ctx root = Timed(nullptr, 50 * GO_MS);
    std::vector<Ctx> all;
    all.reserve(kDeep);
    for (int i = 0; i < kDeep; i++) all.push_back(Cancelable(i < 10 ? root : all[i / 10]));
    for (Ctx &c : all) Wait(c);
    for (Ctx &c : all) EXPECT_EQ(go_ctx_err(c), GO_ETIMEDOUT);
  });
}

// A crowd that waits on one context's channel and on the context itself, goroutines and threads.
TEST(ContextTree, CrowdWakes) {
  RunGo([] {
    Ctx root = Cancelable(), c = Cancelable(root);
    go_chan *done = go_ctx_done(c);
    constexpr int kN = 1000;
    go_wg wg{};
    std::atomic<int> n{0};
    for (int i = 0; i < kN; i++) {
      SPAWN_WG(&wg, [&, i] {
        if (i % 2 == 0) {
          EXPECT_FALSE(go_chan_recv(done, nullptr));
        } else {
          EXPECT_EQ(go_chan_recv_ctx(c, nullptr, nullptr), GO_ECANCELED);
        }
        EXPECT_EQ(go_ctx_err(c), GO_ECANCELED);
        n++;
      });
    }
    std::thread t([&] { EXPECT_EQ(go_sleep(c, GO_FOREVER), GO_ECANCELED); });
    Settle();
    go_ctx_cancel(root);
    go_wg_wait(&wg);
    EXPECT_EQ(n, kN);
    t.join();
  });
}

}  // namespace
