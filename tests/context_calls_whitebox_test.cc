// Every call of golib that takes a context honours it: one table of them, and what can happen to a context before
// and while they wait; from goroutines and from plain threads. White-box only to see that a call waits.

#include <gtest/gtest.h>

extern "C" {
#include "context/ctx.h"
}

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

// What the calls wait for: nobody comes, unless serve() of the table does.
struct World {
  Chan<int> empty{0}, full{1};
  go_mutex mu{}, cond_mu{};
  go_rwmutex written{}, read{};
  go_wg wg{};
  go_cond cond{};
  go_sem sem = GO_SEM_INIT(2);
  go_ctx *other = go_ctx_with_cancel(nullptr);

  World() {
    full.Send(1);
    go_mutex_lock(&mu);
    go_rwmutex_lock(&written);
    go_rwmutex_rlock(&read);
    go_wg_add(&wg, 1);
    EXPECT_TRUE(go_sem_try_acquire(&sem, 1));
  }
  World(const World &) = delete;
  ~World() { go_ctx_unref(other); }
};

struct Call {
  const char *name;
  int (*wait)(go_ctx *, World &);
  // Lets it go on, if it is there; whether somebody was served. NULL: nobody can.
  bool (*serve)(World &);
  // Afterwards: nothing is left behind, and both agree. rc: what wait returned.
  void (*check)(World &, int rc, bool served);
};

void Quiet(World &w) {
  int v = 0;
  EXPECT_EQ(w.empty.TryRecv(&v), GO_EAGAIN) << "a sender is left";
  EXPECT_EQ(w.empty.TrySend(v), GO_EAGAIN) << "a receiver is left";
}
void Same(World &w, int rc, bool served) {
  EXPECT_EQ(rc == 0, served);
  Quiet(w);
}
void Never(World &, int rc, bool) { EXPECT_NE(rc, 0); }

const Call kCalls[] = {
    {"go_chan_recv_ctx",
     [](go_ctx *c, World &w) {
       int v = 5;
       int rc = go_chan_recv_ctx(c, w.empty.get(), &v);
       EXPECT_EQ(v, rc == 0 ? 7 : 5);
       return rc;
     },
     [](World &w) { return w.empty.TrySend(7) == 0; }, Same},
    {"go_chan_send_ctx",
     [](go_ctx *c, World &w) {
       int v = 3;
       return go_chan_send_ctx(c, w.empty.get(), &v);
     },
     [](World &w) {
       int v = 0;
       bool got = w.empty.TryRecv(&v) == 0;
       EXPECT_EQ(v, got ? 3 : 0);
       return got;
     },
     Same},
    {"go_chan_send_ctx, buffer",
     [](go_ctx *c, World &w) {
       int v = 3;
       return go_chan_send_ctx(c, w.full.get(), &v);
     },
     [](World &w) { return w.full.Take() == 1; },
     [](World &w, int rc, bool served) { EXPECT_EQ(w.full.Len(), rc == 0 || !served ? 1u : 0u); }},
    {"go_chan_recv_ctx, NULL",
     [](go_ctx *c, World &) { return go_chan_recv_ctx(c, nullptr, nullptr); }, nullptr, Never},
    {"go_chan_send_ctx, NULL",
     [](go_ctx *c, World &) { return go_chan_send_ctx(c, nullptr, nullptr); }, nullptr, Never},
    {"go_select",
     [](go_ctx *c, World &w) {
       int v = 3, in = 5;
       go_case k[] = {RecvCase(w.empty, &in), SendCase(w.full, &v), RecvCase(nullptr)};
       int rc = go_select(c, k, 3);
       EXPECT_EQ(in, rc == 0 ? 7 : 5);
       return rc;
     },
     [](World &w) { return w.empty.TrySend(7) == 0; }, Same},
    {"go_select, many",
     [](go_ctx *c, World &w) {
       int v = 3;
       go_case k[20];
       for (go_case &x : k) x = SendCase(w.full, &v);
       int rc = go_select(c, k, 20);
       return rc > 0 ? 0 : rc;
     },
     [](World &w) { return w.full.Take() == 1; },
     [](World &w, int rc, bool served) { EXPECT_EQ(w.full.Len(), rc == 0 || !served ? 1u : 0u); }},
    {"go_select, none", [](go_ctx *c, World &) { return go_select(c, nullptr, 0); }, nullptr,
     Never},
    // Another context's end is one of the cases.
    {"go_select, done",
     [](go_ctx *c, World &w) {
       go_case k[] = {RecvCase(w.empty), RecvCase(go_ctx_done(w.other))};
       int rc = go_select(c, k, 2);
       return rc == 1 ? 0 : rc;
     },
     [](World &w) {
       go_ctx_cancel(w.other);
       return true;
     },
     [](World &w, int, bool) { Quiet(w); }},
    // The same context's.
    {"go_select, its own done",
     [](go_ctx *c, World &) {
       go_case k[] = {RecvCase(go_ctx_done(c))};
       int rc = go_select(nullptr, k, 1);
       return rc == 0 ? go_ctx_err(c) : rc;
     },
     nullptr, Never},
    {"go_sleep", [](go_ctx *c, World &) { return go_sleep(c, GO_HOUR); }, nullptr, Never},
    {"go_sleep, for ever", [](go_ctx *c, World &) { return go_sleep(c, GO_FOREVER); }, nullptr,
     Never},
    {"go_mutex_lock_ctx", [](go_ctx *c, World &w) { return go_mutex_lock_ctx(c, &w.mu); },
     [](World &w) {
       go_mutex_unlock(&w.mu);
       return true;
     },
     [](World &w, int rc, bool served) { EXPECT_EQ(go_mutex_trylock(&w.mu), served && rc != 0); }},
    {"go_rwmutex_rlock_ctx",
     [](go_ctx *c, World &w) { return go_rwmutex_rlock_ctx(c, &w.written); },
     [](World &w) {
       go_rwmutex_unlock(&w.written);
       return true;
     },
     [](World &w, int rc, bool served) {
       EXPECT_EQ(go_rwmutex_trylock(&w.written), served && rc != 0);
     }},
    {"go_rwmutex_lock_ctx", [](go_ctx *c, World &w) { return go_rwmutex_lock_ctx(c, &w.read); },
     [](World &w) {
       go_rwmutex_runlock(&w.read);
       return true;
     },
     [](World &w, int rc, bool served) {
       EXPECT_EQ(go_rwmutex_tryrlock(&w.read),
                 rc != 0);  // a writer that gave up is in nobody's way
       if (rc != 0) go_rwmutex_runlock(&w.read);
       EXPECT_EQ(go_rwmutex_trylock(&w.read), served && rc != 0);
     }},
    {"go_wg_wait_ctx", [](go_ctx *c, World &w) { return go_wg_wait_ctx(c, &w.wg); },
     [](World &w) {
       go_wg_done(&w.wg);
       return true;
     },
     [](World &w, int, bool served) {
       if (!served) go_wg_done(&w.wg);
       go_wg_wait(&w.wg);
       go_wg_add(&w.wg, 1);  // and again
       go_wg_done(&w.wg);
       go_wg_wait(&w.wg);
     }},
    {"go_cond_wait_ctx",
     [](go_ctx *c, World &w) {
       go_mutex_lock(&w.cond_mu);
       int rc = go_cond_wait_ctx(c, &w.cond, &w.cond_mu);
       EXPECT_FALSE(go_mutex_trylock(&w.cond_mu)) << "not locked again";
       go_mutex_unlock(&w.cond_mu);
       return rc;
     },
     [](World &w) {
       go_cond_signal(&w.cond);  // whether anybody was there is not told
       return true;
     },
     [](World &w, int rc, bool served) {
       EXPECT_TRUE(rc != 0 || served);
       EXPECT_TRUE(go_mutex_trylock(&w.cond_mu));
     }},
    {"go_sem_acquire", [](go_ctx *c, World &w) { return go_sem_acquire(c, &w.sem, 2); },
     [](World &w) {
       go_sem_release(&w.sem, 1);
       return true;
     },
     [](World &w, int rc, bool served) {
       EXPECT_EQ(go_sem_try_acquire(&w.sem, 2), served && rc != 0);
       EXPECT_EQ(go_sem_try_acquire(&w.sem, 1), !served);
     }},
    {"go_sem_acquire, too many", [](go_ctx *c, World &w) { return go_sem_acquire(c, &w.sem, 3); },
     nullptr, Never},
};

// Not a measurement: what waits and is told to stop does not go on waiting.
constexpr go_nsec kPrompt = 20 * GO_SEC;

// Waits until somebody waits with c. Who waits for its channel is not seen: then it is likely only.
void UntilWaited(const Call &call, go_ctx *c) {
  if (std::string(call.name) == "go_select, its own done") {
    Settle();
    return;
  }
  Until([&] {
    go_lock_(&c->cancel.lock);
    bool waits = c->cancel.head != nullptr;
    go_unlock_(&c->cancel.lock);
    return waits;
  });
}

void On(bool goroutine, const std::function<void()> &f) {
  if (goroutine) {
    RunGo(f);
  } else {
    std::thread(f).join();
  }
}

// Param: whether the call is made on a goroutine.
class ContextCalls : public testing::TestWithParam<bool> {
 protected:
  // each(call) for all, where the call is to be made.
  void All(const std::function<void(const Call &)> &each) {
    On(GetParam(), [&] {
      for (const Call &call : kCalls) each(call);
    });
  }
  // Makes the call; meanwhile, on a thread, does something to the context.
  void While(const Call &call, go_ctx *c, int err, const std::function<void()> &act) {
    World w;
    go_nsec acted = 0;
    std::thread t([&] {
      UntilWaited(call, c);
      acted = go_now();
      act();
    });
    int rc = call.wait(c, w);
    go_nsec returned = go_now();
    Until([&] { return go_ctx_err(c) != 0; });  // a goroutine must not block in join
    t.join();
    EXPECT_EQ(rc, err) << call.name;
    EXPECT_LT(returned - acted, kPrompt) << call.name;
    EXPECT_EQ(c->cancel.head, nullptr) << call.name;
    call.check(w, rc, false);
  }
};
INSTANTIATE_TEST_SUITE_P(Goroutine, ContextCalls, testing::Bool());

TEST_P(ContextCalls, DoneAlready) {
  All([](const Call &call) {
    World w;
    go_ctx *c = go_ctx_with_cancel(nullptr);
    go_ctx_cancel(c);
    int rc = call.wait(c, w);
    EXPECT_EQ(rc, GO_ECANCELED) << call.name;
    call.check(w, rc, false);
    go_ctx *late = go_ctx_with_timeout(nullptr, -1), *below = go_ctx_with_cancel(late);
    World w2;
    rc = call.wait(below, w2);
    EXPECT_EQ(rc, GO_ETIMEDOUT) << call.name;
    call.check(w2, rc, false);
    go_ctx_unref(c);
    go_ctx_unref(late);
    go_ctx_unref(below);
  });
}

TEST_P(ContextCalls, CancelledWhileWaiting) {
  All([this](const Call &call) {
    go_ctx *c = go_ctx_with_cancel(nullptr);
    While(call, c, GO_ECANCELED, [c] { go_ctx_cancel(c); });
    go_ctx_unref(c);
  });
}

TEST_P(ContextCalls, AncestorCancelledWhileWaiting) {
  static const char key = 0;
  All([this](const Call &call) {
    go_ctx *top = go_ctx_with_cancel(nullptr),
           *mid = go_ctx_with_value(top, &key, nullptr, nullptr);
    go_ctx *c = go_ctx_with_timeout(mid, GO_HOUR);
    While(call, c, GO_ECANCELED, [top] { go_ctx_cancel_cause(top, 9); });
    EXPECT_EQ(go_ctx_cause(c), 9);
    for (go_ctx *x : {top, mid, c}) go_ctx_unref(x);
  });
}

TEST_P(ContextCalls, DeadlinePassesWhileWaiting) {
  All([](const Call &call) {
    for (bool own : {true, false}) {
      World w;
      go_ctx *timed = go_ctx_with_timeout(nullptr, 3 * GO_MS);
      go_ctx *c = own ? go_ctx_ref(timed) : go_ctx_with_cancel(timed);
      int rc = call.wait(c, w);
      go_nsec late = go_now() - go_ctx_deadline(c);
      EXPECT_EQ(rc, GO_ETIMEDOUT) << call.name;
      EXPECT_GE(late, 0) << call.name;
      EXPECT_LT(late, kPrompt) << call.name;
      call.check(w, rc, false);
      go_ctx_unref(c);
      go_ctx_unref(timed);
    }
  });
}

// Cancelled from a callback, which is a goroutine.
TEST_P(ContextCalls, CancelledByCallback) {
  All([this](const Call &call) {
    go_ctx *cause = go_ctx_with_cancel(nullptr), *c = go_ctx_with_cancel(nullptr);
    int r = go_ctx_after(
        cause, [](void *x) { go_ctx_cancel(static_cast<go_ctx *>(x)); }, c, nullptr);
    EXPECT_EQ(r, 0);
    While(call, c, GO_ECANCELED, [cause] { go_ctx_cancel(cause); });
    go_ctx_unref(cause);
    go_ctx_unref(c);
  });
}

// Cancelled on g0, in a timer's function, which also drops the last reference but the waiter's.
TEST_P(ContextCalls, CancelledInATimer) {
  All([this](const Call &call) {
    go_ctx *top = go_ctx_with_cancel(nullptr), *c = go_ctx_with_cancel(top);
    go_tm_ tm{};
    tm.fn = [](go_m_ *, void *x, uint32_t) {
      go_ctx_cancel(static_cast<go_ctx *>(x));
      go_ctx_unref(static_cast<go_ctx *>(x));
    };
    tm.arg = top;
    While(call, c, GO_ECANCELED, [&tm] {
      tm.when = go_now();
      EXPECT_EQ(go_tm_add_(go_enter_(), &tm), 0);
    });
    go_ctx_unref(c);
  });
}

// Success and the end of the context at the same moment: one of them, and everybody agrees which.
TEST_P(ContextCalls, SuccessAgainstCancel) {
  int rounds = Rounds(GetParam() ? 600 : 150);
  All([&](const Call &call) {
    Rng rng(5);
    int ok = 0;
    for (int i = 0; i < rounds; i++) {
      World w;
      bool served = false;
      go_ctx *c = i % 3 != 0 ? go_ctx_with_cancel(nullptr)
                             : go_ctx_with_timeout(nullptr, 1 + rng.Below(60) * GO_US);
      go_wg wg{};
      uint32_t linger = rng.Below(300), before = rng.Below(2);
      SPAWN_WG(&wg, [&] {
        for (uint32_t n = rng.Below(3); n > 0; n--) go_yield();
        if (before != 0) go_ctx_cancel(c);
        for (volatile uint32_t n = linger; n > 0; n = n - 1) {}
        if (call.serve != nullptr) served = call.serve(w);
        go_ctx_cancel(c);
      });
      int rc = call.wait(c, w);
      go_wg_wait(&wg);
      EXPECT_TRUE(rc == 0 || rc == GO_ECANCELED || rc == GO_ETIMEDOUT) << call.name << ": " << rc;
      if (rc != 0) {
        EXPECT_EQ(rc, go_ctx_err(c)) << call.name;
      }
      call.check(w, rc, served);
      EXPECT_EQ(c->cancel.head, nullptr) << call.name;
      ok += rc == 0 ? 1 : 0;
      go_ctx_unref(c);
      if (HasFailure()) break;
    }
    if (call.serve == nullptr) {
      EXPECT_EQ(ok, 0) << call.name;
    }
  });
}

// All of them at once on one context, many each; nobody stays.
TEST(ContextCrowd, AllGiveUp) {
  RunGo([] {
    go_ctx *top = go_ctx_with_cancel(nullptr), *c = go_ctx_with_cancel(top);
    std::vector<std::unique_ptr<World>> worlds;
    go_wg wg{};
    int n = 0;
    for (const Call &call : kCalls) {
      for (int i = 0; i < (kTsan ? 5 : 50); i++, n++) {
        worlds.push_back(std::make_unique<World>());
        World &w = *worlds.back();
        SPAWN_WG(&wg, [&call, &w, c] {
          EXPECT_EQ(call.wait(c, w), GO_ECANCELED) << call.name;
          call.check(w, GO_ECANCELED, false);
        });
      }
    }
    Settle();
    go_ctx_cancel(top);
    go_wg_wait(&wg);
    EXPECT_EQ(c->cancel.head, nullptr);
    EXPECT_GT(n, 0);
    go_ctx_unref(top);
    go_ctx_unref(c);
  });
}

// The memory of a context is its users' and its timer's; its parent's list knows it only while it is open.
TEST(ContextTreeInside, ChildrenLeave) {
  go_ctx *parent = go_ctx_with_cancel(nullptr);
  go_ctx *a = go_ctx_with_cancel(parent), *b = go_ctx_with_timeout(parent, GO_HOUR);
  EXPECT_EQ(parent->children, b);
  EXPECT_EQ(b->next, a);
  EXPECT_EQ(go_ld_rlx(&b->holds), 2u);
  go_ctx_cancel(b);  // done: it leaves, and its timer has gone
  EXPECT_EQ(parent->children, a);
  EXPECT_EQ(go_ld_rlx(&b->holds), 1u);
  EXPECT_EQ(go_ld_rlx(&parent->refs), 3u);
  go_ctx_unref(b);
  go_ctx_unref(a);  // ended without being done
  EXPECT_EQ(parent->children, nullptr);
  EXPECT_EQ(go_ld_rlx(&parent->refs), 1u);
  // Detached, and those of the background: not in any list.
  go_ctx *d = go_ctx_without_cancel(parent);
  EXPECT_EQ(parent->children, nullptr);
  EXPECT_EQ(go_ld_rlx(&parent->refs), 1u);
  go_ctx_unref(d);
  go_ctx_stop stop;
  EXPECT_EQ(go_ctx_after(
                parent, [](void *) {}, nullptr, &stop),
            0);
  EXPECT_NE(parent->afters, nullptr);
  EXPECT_TRUE(go_ctx_after_stop(&stop));
  EXPECT_EQ(parent->afters, nullptr);
  EXPECT_EQ(go_ld_rlx(&parent->refs), 1u);
  go_ctx_unref(parent);
}

}  // namespace
