// Scopes: every way out waits for the tasks; errors, the scope's context, limits, panics; on
// goroutines and on plain threads.

#include <golib/scope.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

// A lambda as a task.
template <class Fn>
struct BoxedTask {
  static void Delete(void *p) { delete static_cast<Fn *>(p); }
  static int Run(void *p) {
    GO_DEFER(Delete, p);
    return (*static_cast<Fn *>(p))();
  }
};
template <class F>
go_task *InAt(const char *site, go_scope *s, F &&f) {
  using Fn = std::decay_t<F>;
  Fn *box = new Fn(std::forward<F>(f));
  go_task *t = go_scope_spawn_site_(site, s, BoxedTask<Fn>::Run, box, 0);
  if (t == nullptr) delete box;
  return t;
}
#define IN(s, ...) InAt(GO_SITE_("lambda"), (s), __VA_ARGS__)

// What the panic handler was told.
struct Told {
  std::atomic<int> n{0};
  std::atomic<uint64_t> on{0};
  go_panic_info last{};
};
Told g_told;

class Scope : public testing::Test {
 protected:
  void SetUp() override {
    g_told.n = 0;
    go_set_panic_handler([](const go_panic_info *i) {
      g_told.last = *i;
      g_told.on = go_id();
      g_told.n++;
    });
  }
  // No task may be left, whatever the test did.
  void TearDown() override {
    go_set_panic_handler(nullptr);
    for (int i = 0; i < 10000 && go_count() != 0; i++) std::this_thread::yield();
    while (go_count() != 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
};

// Waits until ctx is done: what a well-behaved task does that was told to stop.
int UntilDone(go_ctx *ctx) {
  go_chan_recv(go_ctx_done(ctx), nullptr);
  return go_ctx_err(ctx);
}

// ---- Every way out waits for the tasks.

struct Slow {
  std::atomic<int> finished{0};
  void Start(go_scope *s) {
    for (int i = 1; i <= 3; i++) {
      EXPECT_NE(IN(s,
                   [this, i] {
                     for (int k = 0; k < 20 * i; k++) go_yield();
                     finished++;
                     return 0;
                   }),
                nullptr);
    }
  }
};

int ByReturn(Slow *slow) {
  GO_SCOPE (s, nullptr) {
    slow->Start(&s);
    return 3;
  }
  return 4;
}

TEST_F(Scope, WaitsAtItsEnd) {
  RunGo([] {
    Slow slow;
    GO_SCOPE (s, nullptr) {
      slow.Start(&s);
    }
    EXPECT_EQ(slow.finished, 3);
  });
}

TEST_F(Scope, WaitsOnBreakContinueReturnAndGoto) {
  RunGo([] {
    Slow a, b, c, d;
    GO_SCOPE (s, nullptr) {
      a.Start(&s);
      break;
    }
    EXPECT_EQ(a.finished, 3);
    GO_SCOPE (s, nullptr) {
      b.Start(&s);
      continue;
    }
    EXPECT_EQ(b.finished, 3);
    EXPECT_EQ(ByReturn(&c), 3);
    EXPECT_EQ(c.finished, 3);
    GO_SCOPE (s, nullptr) {
      d.Start(&s);
      if (s.parent_ == nullptr) goto out;
    }
    ADD_FAILURE() << "not here";
  out:
    EXPECT_EQ(d.finished, 3);
  });
}

// None of these cancels: only then tasks run to their own end.
TEST_F(Scope, LeavingItsBlockDoesNotCancel) {
  RunGo([] {
    int seen = 1;
    GO_SCOPE (s, nullptr) {
      go_ctx *ctx = go_scope_ctx(&s);
      IN(&s, [ctx, &seen] {
        for (int i = 0; i < 50; i++) go_yield();
        seen = go_ctx_err(ctx);
        return 0;
      });
      break;
    }
    EXPECT_EQ(seen, 0);
  });
}

TEST_F(Scope, APanicCancelsAndWaitsAndGoesOn) {
  RunGo([] {
    int seen = 0, cause = 0;
    Caught k = Catch([&] {
      GO_SCOPE (s, nullptr) {
        go_ctx *ctx = go_scope_ctx(&s);
        IN(&s, [ctx, &seen, &cause] {
          seen = UntilDone(ctx);
          cause = go_ctx_cause(ctx);
          for (int i = 0; i < 50; i++) go_yield();
          cause -= 1;
          return seen;
        });
        go_panic("body");
      }
    });
    EXPECT_EQ(k.text(), "body");
    EXPECT_EQ(seen, GO_ECANCELED);
    EXPECT_EQ(cause, GO_EPANIC - 1) << "waited to the very end";
  });
}

// A context that is made after the panic is born done.
TEST_F(Scope, APanicCancelsAContextThatIsMadeLater) {
  RunGo([] {
    int seen = 0;
    std::atomic<bool> panicking{false};
    EXPECT_TRUE(Panics([&] {
      GO_SCOPE (s, nullptr) {
        go_scope *sp = &s;
        IN(&s, [&, sp] {
          Until([&] { return panicking.load(); });
          seen = UntilDone(go_scope_ctx(sp));
          return 0;
        });
        GO_DEFER([](void *p) { *static_cast<std::atomic<bool> *>(p) = true; }, &panicking);
        go_panic("body");
      }
    }));
    EXPECT_EQ(seen, GO_ECANCELED);
  });
}

TEST_F(Scope, ExitCancelsAndWaits) {
  RunGo([] {
    int seen = 0, cause = 0;
    std::atomic<bool> after{false};
    go_wg wg{};
    SPAWN_WG(&wg, [&] {
      (void)Panics([&] {
        GO_SCOPE (s, nullptr) {
          go_ctx *ctx = go_scope_ctx(&s);
          IN(&s, [ctx, &seen, &cause] {
            seen = UntilDone(ctx);
            cause = go_ctx_cause(ctx);
            return 0;
          });
          go_exit();
        }
      });
      after = true;
    });
    go_wg_wait(&wg);
    EXPECT_EQ(seen, GO_ECANCELED);
    EXPECT_EQ(cause, GO_ECANCELED);
    EXPECT_FALSE(after);
  });
}

// With deferred calls, mutexes, wait groups and scopes all held: nothing is left held.
TEST_F(Scope, APanicThroughEverythingLeavesNothingHeld) {
  RunGo([] {
    Procs procs(4);
    for (int round = 0; round < Rounds(200); round++) {
      go_mutex mu{};
      go_wg wg{};
      std::atomic<int> ended{0};
      Chan<int> c(0);
      Caught k = Catch([&] {
        GO_SCOPE (outer, nullptr) {
          go_ctx *octx = go_scope_ctx(&outer);
          IN(&outer, [&, octx] {
            (void)UntilDone(octx);
            go_mutex_lock(&mu); /* free again: outer's end comes after the unlock below */
            go_mutex_unlock(&mu);
            ended++;
            return 0;
          });
          go_mutex_lock(&mu);
          GO_DEFER([](void *m) { go_mutex_unlock(static_cast<go_mutex *>(m)); }, &mu);
          go_wg_add(&wg, 1);
          GO_DEFER([](void *w) { go_wg_done(static_cast<go_wg *>(w)); }, &wg);
          GO_SCOPE (inner, octx) {
            go_ctx *ictx = go_scope_ctx(&inner);
            for (int i = 0; i < 3; i++) {
              IN(&inner, [&, ictx] {
                int v;
                int r = go_chan_recv_ctx(ictx, c.get(), &v);
                ended++;
                return r;
              });
            }
            go_panic("through");
          }
        }
      });
      EXPECT_EQ(k.text(), "through");
      EXPECT_EQ(ended, 4);
      EXPECT_TRUE(go_mutex_trylock(&mu));
      go_wg_wait(&wg);
      EXPECT_EQ(c.TrySend(1), GO_EAGAIN) << "nobody waits";
    }
  });
  EXPECT_EQ(g_told.n, 0);
}

// ---- Errors. Go: golang.org/x/sync/errgroup, TestZeroGroup, TestWithContext (errgroup_test.go).

TEST_F(Scope, WaitOfNothing) {
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      EXPECT_EQ(go_scope_wait(&s), 0);
    }
  });
}

TEST_F(Scope, WaitReturnsTheFirstError) {
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      EXPECT_EQ(go_task_join(IN(&s, [] { return 0; })), 0);
      EXPECT_EQ(go_scope_wait(&s), 0);
      EXPECT_EQ(go_task_join(IN(&s, [] { return -7; })), -7);
      EXPECT_EQ(go_task_join(IN(&s, [] { return -8; })), -8);
      EXPECT_EQ(go_scope_wait(&s), -7);
      EXPECT_EQ(go_task_join(IN(&s, [] { return 0; })), 0);
      EXPECT_EQ(go_scope_wait(&s), -7) << "again, and after more";
      EXPECT_EQ(go_scope_panic(&s), nullptr);
    }
    GO_SCOPE (s, nullptr) {
      EXPECT_EQ(go_task_join(IN(&s, [] { return 9; })), 9);
      EXPECT_EQ(go_scope_wait(&s), 9) << "any number but 0";
    }
  });
}

TEST_F(Scope, WaitWaits) {
  RunGo([] {
    Slow slow;
    GO_SCOPE (s, nullptr) {
      slow.Start(&s);
      EXPECT_EQ(go_scope_wait(&s), 0);
      EXPECT_EQ(slow.finished, 3);
      slow.Start(&s);
    }
    EXPECT_EQ(slow.finished, 6);
  });
}

TEST_F(Scope, WaitFromSeveral) {
  RunGo([] {
    Chan<int> go(0);
    go_wg wg{};
    GO_SCOPE (s, nullptr) {
      go_scope *sp = &s;
      IN(&s, [&] { return go.Take(); });
      for (int i = 0; i < 5; i++) {
        SPAWN_WG(&wg, [sp] { EXPECT_EQ(go_scope_wait(sp), -5); });
      }
      Settle();
      go.Send(-5);
      go_wg_wait(&wg);
    }
  });
}

TEST_F(Scope, TheFirstErrorCancelsTheOthers) {
  RunGo([] {
    constexpr int n = 20;
    int seen[n] = {};
    go_ctx *kept = nullptr;
    GO_SCOPE (s, nullptr) {
      go_ctx *ctx = go_scope_ctx(&s);
      kept = go_ctx_ref(ctx);
      EXPECT_EQ(go_scope_ctx(&s), ctx);
      for (int i = 0; i < n; i++) {
        IN(&s, [ctx, &seen, i] { return seen[i] = UntilDone(ctx); });
      }
      EXPECT_EQ(go_ctx_err(ctx), 0);
      IN(&s, [] { return -33; });
      EXPECT_EQ(go_scope_wait(&s), -33);
      EXPECT_EQ(go_ctx_err(ctx), GO_ECANCELED);
      EXPECT_EQ(go_ctx_cause(ctx), -33);
    }
    for (int e : seen) EXPECT_EQ(e, GO_ECANCELED);
    EXPECT_EQ(go_ctx_cause(kept), -33);
    go_ctx_unref(kept);
  });
}

TEST_F(Scope, APanicOfATaskCancelsTheOthers) {
  RunGo([] {
    int seen = 0;
    GO_SCOPE (s, nullptr) {
      go_ctx *ctx = go_scope_ctx(&s);
      IN(&s, [ctx, &seen] { return seen = UntilDone(ctx); });
      IN(&s, []() -> int { go_panic("task"); });
      EXPECT_EQ(go_scope_wait(&s), GO_EPANIC);
      EXPECT_EQ(go_ctx_cause(ctx), GO_EPANIC);
    }
    EXPECT_EQ(seen, GO_ECANCELED);
  });
}

// A context that is made after the error is born done, with the error as its cause.
TEST_F(Scope, ContextMadeAfterTheError) {
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      (void)go_task_join(IN(&s, [] { return -5; }));
      EXPECT_EQ(go_ctx_err(go_scope_ctx(&s)), GO_ECANCELED);
      EXPECT_EQ(go_ctx_cause(go_scope_ctx(&s)), -5);
    }
  });
}

// Go: errgroup starts what it is given, cancelled or not.
TEST_F(Scope, StartsAlsoAfterAnError) {
  RunGo([] {
    bool ran = false;
    GO_SCOPE (s, nullptr) {
      (void)go_task_join(IN(&s, [] { return -5; }));
      go_task *t = IN(&s, [&ran] {
        ran = true;
        return 0;
      });
      EXPECT_NE(t, nullptr);
      EXPECT_EQ(go_task_join(t), 0);
    }
    EXPECT_TRUE(ran);
  });
}

TEST_F(Scope, ContextEndsWithTheScope) {
  RunGo([] {
    go_ctx *parent = go_ctx_with_cancel(nullptr), *kept = nullptr;
    GO_SCOPE (s, parent) {
      kept = go_ctx_ref(go_scope_ctx(&s));
      IN(&s, [] { return 0; });
      EXPECT_EQ(go_scope_wait(&s), 0);
      EXPECT_EQ(go_ctx_err(kept), 0) << "waiting does not end it";
    }
    EXPECT_EQ(go_ctx_err(kept), GO_ECANCELED);
    EXPECT_EQ(go_ctx_cause(kept), GO_ECANCELED);
    EXPECT_EQ(go_ctx_err(parent), 0);
    go_ctx_unref(kept);
    go_ctx_unref(parent);
  });
}

TEST_F(Scope, ParentCancels) {
  RunGo([] {
    go_ctx *parent = go_ctx_with_cancel(nullptr);
    int seen = 0;
    GO_SCOPE (s, parent) {
      go_ctx *ctx = go_scope_ctx(&s);
      go_task *t = IN(&s, [ctx, &seen] {
        seen = UntilDone(ctx);
        return 0;
      });
      go_ctx_cancel_cause(parent, -44);
      EXPECT_EQ(go_task_join(t), 0);
      EXPECT_EQ(go_ctx_cause(ctx), -44);
      EXPECT_EQ(go_scope_wait(&s), 0) << "no task failed";
    }
    EXPECT_EQ(seen, GO_ECANCELED);
    go_ctx_unref(parent);
  });
}

TEST_F(Scope, ParentsDeadline) {
  RunGo([] {
    go_ctx *parent = go_ctx_with_timeout(nullptr, GO_MS);
    GO_SCOPE (s, parent) {
      go_ctx *ctx = go_scope_ctx(&s);
      EXPECT_EQ(go_task_join(IN(&s, [ctx] { return go_sleep(ctx, GO_FOREVER); })), GO_ETIMEDOUT);
      EXPECT_EQ(go_scope_wait(&s), GO_ETIMEDOUT);
    }
    go_ctx_unref(parent);
  });
}

TEST_F(Scope, CancellingItsContextStopsTheTasks) {
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      go_ctx *ctx = go_scope_ctx(&s);
      for (int i = 0; i < 5; i++) {
        IN(&s, [ctx] {
          (void)go_sleep(ctx, GO_FOREVER);
          return 0;
        });
      }
      go_ctx_cancel(ctx);
      EXPECT_EQ(go_scope_wait(&s), 0) << "no error of the scope";
    }
  });
}

// go_scope_ctx for the first time by many at once: all get the same.
TEST_F(Scope, ContextIsMadeOnce) {
  RunGo([] {
    Procs procs(8);
    for (int round = 0; round < Rounds(500); round++) {
      go_ctx *got[8] = {};
      GO_SCOPE (s, nullptr) {
        go_scope *sp = &s;
        for (int i = 0; i < 8; i++) {
          IN(&s, [sp, &got, i] {
            got[i] = go_scope_ctx(sp);
            return i == 5 ? -5 : 0;
          });
        }
        EXPECT_EQ(go_scope_wait(&s), -5);
        EXPECT_EQ(go_ctx_cause(go_scope_ctx(&s)), -5) << "whichever came first";
        for (go_ctx *c : got) EXPECT_EQ(c, go_scope_ctx(&s));
      }
    }
  });
}

// ---- Nesting.

// Go: errgroup: tasks may start tasks in their own group.
TEST_F(Scope, TasksStartTasks) {
  RunGo([] {
    Procs procs(4);
    std::atomic<int> ran{0};
    GO_SCOPE (s, nullptr) {
      go_scope *sp = &s;
      struct Tree {
        static int Grow(go_scope *in, std::atomic<int> *count, int depth) {
          ++*count;
          for (int i = 0; depth > 0 && i < 3; i++) {
            if (IN(in, [=] { return Grow(in, count, depth - 1); }) == nullptr) return -1;
          }
          return 0;
        }
      };
      IN(&s, [sp, &ran] { return Tree::Grow(sp, &ran, 6); });
      EXPECT_EQ(go_scope_wait(&s), 0);
      EXPECT_EQ(ran, (2187 - 1) / 2);
    }
  });
}

GO_TASK(fib, (int, n), (long *, out)) {
  if (n < 2) {
    *out = n;
    return 0;
  }
  long a = 0, b = 0;
  int err = 0;
  GO_SCOPE (s, nullptr) {
    (void)GO_IN(&s, fib, n - 1, &a);
    (void)GO_IN(&s, fib, n - 2, &b);
    err = go_scope_wait(&s);
  }
  *out = a + b;
  return err;
}
TEST_F(Scope, ForkAndJoin) {
  for (int p : {1, 2, 8}) {
    RunGo([p] {
      Procs procs(p);
      long out = 0;
      EXPECT_EQ(fib(kSanitized ? 12 : 18, &out), 0);
      EXPECT_EQ(out, kSanitized ? 144 : 2584);
    });
  }
}

// The error of an inner scope goes the way that the program gives it.
TEST_F(Scope, ErrorsPassThroughNestedScopes) {
  RunGo([] {
    GO_SCOPE (outer, nullptr) {
      go_ctx *octx = go_scope_ctx(&outer);
      go_task *sibling = IN(&outer, [octx] { return UntilDone(octx); });
      go_task *t = IN(&outer, [octx] {
        int err = 0;
        GO_SCOPE (inner, octx) {
          go_ctx *ictx = go_scope_ctx(&inner);
          IN(&inner, [ictx] { return UntilDone(ictx); });
          IN(&inner, [] { return -3; });
          err = go_scope_wait(&inner);
          EXPECT_EQ(go_ctx_err(octx), 0) << "a child's end is not the parent's";
        }
        return err;
      });
      EXPECT_EQ(go_task_join(t), -3);
      EXPECT_EQ(go_task_join(sibling), GO_ECANCELED);
      EXPECT_EQ(go_scope_wait(&outer), -3);
    }
  });
}

// A panic in an inner task is the inner scope's error; a panic of the inner body goes through.
TEST_F(Scope, PanicsInNestedScopes) {
  RunGo([] {
    GO_SCOPE (outer, nullptr) {
      go_task *t = IN(&outer, [] {
        GO_SCOPE (inner, nullptr) {
          go_task *u = IN(&inner, []() -> int { go_panic("deep"); });
          EXPECT_EQ(go_task_join(u), GO_EPANIC);
          go_panic("inner body: %s", go_task_panic(u)->text);
        }
        return 0;
      });
      EXPECT_EQ(go_task_join(t), GO_EPANIC);
      ASSERT_NE(go_task_panic(t), nullptr);
      EXPECT_STREQ(go_task_panic(t)->text, "inner body: deep");
    }
  });
  EXPECT_EQ(g_told.n, 0);
}

// ---- Panics that nobody asked for.

TEST_F(Scope, AnUnseenPanicIsToldWhenTheScopeEnds) {
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      go_ctx *ctx = go_scope_ctx(&s);
      IN(&s, []() -> int {
        go_set_name("lonely");
        go_panic("nobody joins me");
      });
      (void)UntilDone(ctx); /* it has panicked */
      Settle();
      EXPECT_EQ(g_told.n, 0) << "not before";
    }
    EXPECT_EQ(g_told.n, 1);
    EXPECT_STREQ(g_told.last.text, "nobody joins me");
    EXPECT_STREQ(g_told.last.name, "lonely");
    EXPECT_NE(g_told.last.goroutine, go_id());
    EXPECT_NE(std::string(g_told.last.site).find("scope_test.cc:"), std::string::npos);
    EXPECT_EQ(g_told.on, go_id()) << "on the goroutine whose scope it is";
  });
}

TEST_F(Scope, JoinedOrWaitedForPanicsAreNotTold) {
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      EXPECT_EQ(go_task_join(IN(&s, []() -> int { go_panic("1"); })), GO_EPANIC);
    }
    GO_SCOPE (s, nullptr) {
      IN(&s, []() -> int { go_panic("2"); });
      EXPECT_EQ(go_scope_wait(&s), GO_EPANIC);
      ASSERT_NE(go_scope_panic(&s), nullptr);
      EXPECT_STREQ(go_scope_panic(&s)->text, "2");
    }
    go_scope s{};
    go_scope_begin(&s, nullptr);
    IN(&s, []() -> int { go_panic("3"); });
    EXPECT_EQ(go_scope_end(&s), GO_EPANIC);
    GO_SCOPE (q, nullptr) {
      go_task *t = IN(&q, []() -> int { go_panic("4"); });
      Until([t] { return go_task_panic(t) != nullptr; });
    }
    EXPECT_EQ(g_told.n, 0);
  });
}

// The first error was another one, or another panic: go_scope_wait has not told of this one.
TEST_F(Scope, LaterPanicsAreTold) {
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      EXPECT_EQ(go_task_join(IN(&s, [] { return -1; })), -1);
      IN(&s, []() -> int { go_panic("second"); });
      EXPECT_EQ(go_scope_wait(&s), -1);
      EXPECT_EQ(go_scope_panic(&s), nullptr);
    }
    EXPECT_EQ(g_told.n, 1);
    EXPECT_STREQ(g_told.last.text, "second");
    GO_SCOPE (s, nullptr) {
      for (int i = 0; i < 3; i++) IN(&s, []() -> int { go_panic("one of three"); });
      EXPECT_EQ(go_scope_wait(&s), GO_EPANIC);
    }
    EXPECT_EQ(g_told.n, 3);
  });
}

TEST_F(Scope, UnseenPanicsOfALeavingScopeAreTold) {
  RunGo([] {
    EXPECT_TRUE(Panics([] {
      GO_SCOPE (s, nullptr) {
        IN(&s, []() -> int { go_panic("task"); });
        go_panic("body");
      }
    }));
    EXPECT_EQ(g_told.n, 1);
    EXPECT_STREQ(g_told.last.text, "task");
  });
}

// The handler panics, or ends the goroutine: every panic is told of, and the scope ends.
TEST_F(Scope, HandlerThatPanicsAtTheEnd) {
  testing::internal::CaptureStderr();
  go_set_panic_handler([](const go_panic_info *) {
    g_told.n++;
    go_panic("handler");
  });
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      for (int i = 0; i < 5; i++) IN(&s, []() -> int { go_panic("task"); });
    }
    EXPECT_EQ(g_told.n, 5);
  });
  std::string err = testing::internal::GetCapturedStderr();
  EXPECT_NE(err.find("a task that nobody joined"), std::string::npos) << err;
}

TEST_F(Scope, HandlerThatExitsAtTheEnd) {
  go_set_panic_handler([](const go_panic_info *) {
    g_told.n++;
    go_exit();
  });
  RunGo([] {
    go_wg wg{};
    std::atomic<int> deferred{0};
    bool after = false;
    SPAWN_WG(&wg, [&] {
      GO_DEFER([](void *p) { ++*static_cast<std::atomic<int> *>(p); }, &deferred);
      GO_SCOPE (s, nullptr) {
        for (int i = 0; i < 5; i++) IN(&s, []() -> int { go_panic("task"); });
      }
      after = true;
    });
    go_wg_wait(&wg);
    EXPECT_EQ(g_told.n, 5);
    EXPECT_EQ(deferred, 1);
    EXPECT_FALSE(after);
  });
}

// ---- Limits. Go: errgroup_test.go, TestGoLimit.

TEST_F(Scope, LimitIsKept) {
  for (int p : {1, 2, 8}) {
    RunGo([p] {
      Procs procs(p);
      for (int limit : {1, 2, 5}) {
        std::atomic<int> now{0}, most{0};
        int done = 0;
        GO_SCOPE (s, nullptr) {
          go_scope_limit(&s, limit);
          for (int i = 0; i < Rounds(1000); i++) {
            go_task *t = IN(&s, [&now, &most, limit] {
              int n = ++now;
              int m = most.load();
              while (n > m && !most.compare_exchange_weak(m, n)) {}
              go_yield();
              --now;
              return n > limit ? -1 : 0;
            });
            done += t != nullptr ? 1 : 0;
          }
          EXPECT_EQ(go_scope_wait(&s), 0);
        }
        EXPECT_EQ(done, Rounds(1000));
        EXPECT_LE(most, limit);
      }
    });
  }
}

TEST_F(Scope, LimitIsReachedAndWaitedFor) {
  RunGo([] {
    Chan<int> gate(0);
    std::atomic<int> started{0};
    GO_SCOPE (s, nullptr) {
      go_scope *sp = &s;
      go_scope_limit(&s, 2);
      for (int i = 0; i < 2; i++) {
        IN(&s, [&] { return gate.Take(); });
      }
      go_wg wg{};
      SPAWN_WG(&wg, [&, sp] {
        EXPECT_NE(IN(sp, [&] { return 0; }), nullptr);
        started = 1;
      });
      Settle();
      EXPECT_EQ(started, 0);
      gate.Send(0);
      go_wg_wait(&wg);
      EXPECT_EQ(started, 1);
      gate.Send(0);
      EXPECT_EQ(go_scope_wait(&s), 0);
    }
  });
}

// First come, first served.
TEST_F(Scope, LimitIsFair) {
  RunGo([] {
    Procs procs(1);
    std::vector<int> order;
    GO_SCOPE (s, nullptr) {
      go_scope *sp = &s;
      Chan<int> gate(0);
      go_scope_limit(&s, 1);
      IN(&s, [&] { return gate.Take(); });
      go_wg wg{};
      Chan<int> next(0);
      for (int i = 0; i < 10; i++) {
        SPAWN_WG(&wg, [&, sp, i] {
          next.Send(i);
          IN(sp, [&order, i] {
            order.push_back(i);
            return 0;
          });
        });
        (void)next.Take();
        Settle();
      }
      gate.Send(0);
      go_wg_wait(&wg);
      EXPECT_EQ(go_scope_wait(&s), 0);
    }
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
    EXPECT_EQ(order.size(), 10u);
  });
}

// Waiting for room ends with the scope's context, whoever ends that.
TEST_F(Scope, LimitWaitEndsWithTheContext) {
  RunGo([] {
    enum Who { kParent, kOwn, kTask, kDeadline, kNumber };
    for (int who = 0; who < kNumber; who++) {
      go_ctx *parent =
          who == kDeadline ? go_ctx_with_timeout(nullptr, 2 * GO_MS) : go_ctx_with_cancel(nullptr);
      GO_SCOPE (s, parent) {
        go_scope *sp = &s;
        go_scope_limit(&s, 1);
        Chan<int> gate(0);
        go_task *t = IN(&s, [&gate, sp, who] {
          if (who == kTask) {
            Settle();
            go_ctx_cancel_cause(go_scope_ctx(sp), -9);
          }
          return gate.Take();
        });
        go_wg wg{};
        if (who == kParent || who == kOwn) {
          SPAWN_WG(&wg, [&] {
            Settle();
            go_ctx_cancel(who == kParent ? parent : go_scope_ctx(sp));
          });
        }
        EXPECT_EQ(IN(&s, [] { return 0; }), nullptr) << who;
        EXPECT_EQ(IN(&s, [] { return 0; }), nullptr) << "done already";
        go_wg_wait(&wg);
        gate.Send(0);
        EXPECT_EQ(go_task_join(t), 0);
        EXPECT_EQ(go_scope_wait(&s), who == kDeadline ? GO_ETIMEDOUT : GO_ECANCELED) << who;
        EXPECT_NE(IN(&s, [] { return 0; }), nullptr) << "there is room: nothing to wait for";
      }
      go_ctx_unref(parent);
    }
  });
}

// A failing task cancels, which ends the wait for its own place or another's: one of the two.
TEST_F(Scope, LimitWaitAndAFailingTask) {
  RunGo([] {
    Procs procs(4);
    int started = 0, refused = 0;
    for (int i = 0; i < Rounds(500); i++) {
      GO_SCOPE (s, nullptr) {
        go_scope_limit(&s, 1);
        IN(&s, [] {
          go_yield();
          return -6;
        });
        (IN(&s, [] { return 0; }) != nullptr ? started : refused)++;
        EXPECT_EQ(go_scope_wait(&s), -6);
      }
    }
    EXPECT_EQ(started + refused, Rounds(500));
  });
}

TEST_F(Scope, LimitZeroStartsNothing) {
  RunGo([] {
    go_ctx *ctx = go_ctx_with_timeout(nullptr, GO_MS);
    GO_SCOPE (s, ctx) {
      go_scope_limit(&s, 0);
      EXPECT_EQ(IN(&s, [] { return 0; }), nullptr);
      EXPECT_EQ(go_scope_wait(&s), GO_ETIMEDOUT);
      go_scope_limit(&s, -1);
      EXPECT_NE(IN(&s, [] { return 0; }), nullptr);
    }
    go_ctx_unref(ctx);
  });
}

// Go: errgroup panics as well.
TEST_F(Scope, LimitWhileTasksRunPanics) {
  RunGo([] {
    Chan<int> gate(0);
    GO_SCOPE (s, nullptr) {
      IN(&s, [&] { return gate.Take(); });
      Caught k = Catch([&s] { go_scope_limit(&s, 3); });
      EXPECT_NE(k.text().find("go_scope_limit"), std::string::npos) << k.text();
      gate.Send(0);
      EXPECT_EQ(go_scope_wait(&s), 0);
      go_scope_limit(&s, 3);
    }
  });
}

// ---- Could not start.

TEST_F(Scope, ArgumentsThatAreTooBig) {
  RunGo([] {
    static char lots[8];
    GO_SCOPE (s, nullptr) {
      go_ctx *ctx = go_scope_ctx(&s);
      go_task *t = go_scope_spawn_copy(
          &s, [](void *) { return 0; }, lots, static_cast<size_t>(-1));
      EXPECT_EQ(t, nullptr);
      EXPECT_EQ(go_task_join(t), GO_EINVAL);
      EXPECT_EQ(go_ctx_cause(ctx), GO_EINVAL);
      EXPECT_EQ(go_scope_wait(&s), GO_EINVAL);
      EXPECT_EQ(go_task_join(IN(&s, [] { return 4; })), 4) << "others can";
    }
  });
}

// ---- Plain threads.

TEST_F(Scope, OnAPlainThread) {
  Slow slow;
  int seen = 0;
  GO_SCOPE (s, nullptr) {
    slow.Start(&s);
    go_ctx *ctx = go_scope_ctx(&s);
    go_task *t = IN(&s, [ctx, &seen] { return seen = UntilDone(ctx); });
    EXPECT_EQ(go_task_join(IN(&s, [] { return -5; })), -5);
    EXPECT_EQ(go_task_join(t), GO_ECANCELED);
    EXPECT_EQ(go_scope_wait(&s), -5);
    EXPECT_EQ(slow.finished, 3);
    slow.Start(&s);
  }
  EXPECT_EQ(slow.finished, 6);
  EXPECT_EQ(seen, GO_ECANCELED);
}

TEST_F(Scope, OnAPlainThreadWithALimit) {
  std::atomic<int> now{0};
  bool over = false;
  GO_SCOPE (s, nullptr) {
    go_scope_limit(&s, 2);
    for (int i = 0; i < Rounds(300); i++) {
      EXPECT_NE(IN(&s,
                   [&now] {
                     int n = ++now;
                     go_yield();
                     --now;
                     return n > 2 ? -1 : 0;
                   }),
                nullptr);
    }
    over = go_scope_wait(&s) != 0;
  }
  EXPECT_FALSE(over);
}

TEST_F(Scope, OnAPlainThreadThatPanics) {
  Slow slow;
  Caught k = Catch([&slow] {
    GO_SCOPE (s, nullptr) {
      slow.Start(&s);
      go_panic("thread");
    }
  });
  EXPECT_EQ(k.text(), "thread");
  EXPECT_EQ(slow.finished, 3);
}

TEST_F(Scope, UnseenPanicOnAPlainThread) {
  GO_SCOPE (s, nullptr) {
    IN(&s, []() -> int { go_panic("task of a thread"); });
  }
  EXPECT_EQ(g_told.n, 1);
  EXPECT_STREQ(g_told.last.text, "task of a thread");
}

TEST_F(Scope, OnManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> sum{0};
  for (int i = 0; i < 8; i++) {
    threads.emplace_back([&sum] {
      for (int round = 0; round < Rounds(100); round++) {
        GO_SCOPE (s, nullptr) {
          for (int k = 0; k < 5; k++) {
            IN(&s, [&sum] {
              sum++;
              return 0;
            });
          }
        }
      }
    });
  }
  for (std::thread &t : threads) t.join();
  EXPECT_EQ(sum, 8 * Rounds(100) * 5);
}

// ---- Without the macro.

TEST_F(Scope, BeginAndEnd) {
  RunGo([] {
    static go_scope s;
    for (int i = 0; i < 3; i++) {
      Slow slow;
      go_scope_begin(&s, nullptr);
      slow.Start(&s);
      EXPECT_EQ(go_scope_end(&s), 0);
      EXPECT_EQ(slow.finished, 3);
    }
    go_scope_begin(&s, nullptr);
    go_scope inner{};
    go_scope_begin(&inner, go_scope_ctx(&s));
    IN(&inner, [] { return -2; });
    IN(&s, [] { return 0; });
    EXPECT_EQ(go_scope_end(&inner), -2);
    EXPECT_EQ(go_scope_end(&s), 0);
  });
}

TEST_F(Scope, BegunAndLeftByAPanic) {
  RunGo([] {
    static go_scope s;
    memset(&s, 0, sizeof s);
    Slow slow;
    EXPECT_TRUE(Panics([&] {
      go_scope_begin(&s, nullptr);
      slow.Start(&s);
      go_panic("x");
    }));
    EXPECT_EQ(slow.finished, 3);
    go_scope_begin(&s, nullptr);
    EXPECT_EQ(go_scope_end(&s), 0);
  });
}

// A C++ exception is a way out like a panic.
TEST_F(Scope, LeftByAnException) {
  RunGo([] {
    int seen = 0;
    try {
      GO_SCOPE (s, nullptr) {
        go_ctx *ctx = go_scope_ctx(&s);
        IN(&s, [ctx, &seen] {
          int r = UntilDone(ctx);
          for (int i = 0; i < 20; i++) go_yield();
          return seen = r;
        });
        throw 5;
      }
    } catch (int e) {
      EXPECT_EQ(e, 5);
    }
    EXPECT_EQ(seen, GO_ECANCELED);
  });
}

// A scope in a destructor that runs because of one is not left by it.
struct OpensAScope {
  explicit OpensAScope(int *to) : seen(to) {}
  ~OpensAScope() {
    GO_SCOPE (s, nullptr) {
      go_ctx *ctx = go_scope_ctx(&s);
      int *out = seen;
      IN(&s, [ctx, out] {
        for (int i = 0; i < 20; i++) go_yield();
        return *out = go_ctx_err(ctx);
      });
    }
  }
  int *seen;
};
TEST_F(Scope, WhileAnExceptionIsOnItsWay) {
  RunGo([] {
    int seen = 1;
    try {
      OpensAScope o(&seen);
      throw 6;
    } catch (int e) {
      EXPECT_EQ(e, 6);
    }
    EXPECT_EQ(seen, 0);
  });
}

// ---- Waiting for oneself.

TEST_F(Scope, WaitingForItselfPanics) {
  RunGo([] {
    std::string said[5];
    GO_SCOPE (s, nullptr) {
      go_scope *sp = &s;
      Chan<go_task *> me(1);
      go_task *t = IN(&s, [&, sp] {
        go_task *self = me.Take();
        said[0] = Catch([self] { (void)go_task_join(self); }).text();
        said[1] = Catch([sp] { (void)go_scope_wait(sp); }).text();
        GO_SCOPE (inner, nullptr) {
          IN(&inner, [&, sp, self] {
            said[2] = Catch([self] { (void)go_task_join(self); }).text();
            said[3] = Catch([sp] { (void)go_scope_wait(sp); }).text();
            return 0;
          });
        }
        return 0;
      });
      me.Send(t);
      EXPECT_EQ(go_task_join(t), 0);
    }
    EXPECT_NE(said[0].find("go_task_join"), std::string::npos) << said[0];
    EXPECT_NE(said[1].find("go_scope_wait"), std::string::npos) << said[1];
    EXPECT_NE(said[2].find("go_task_join"), std::string::npos) << said[2];
    EXPECT_NE(said[3].find("go_scope_wait"), std::string::npos) << said[3];
  });
}

// A task may join its siblings, and wait for scopes further in.
TEST_F(Scope, TasksJoinSiblings) {
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      Chan<int> gate(0);
      go_task *a = IN(&s, [&] { return gate.Take(); });
      go_task *b = IN(&s, [a] { return go_task_join(a) + 1; });
      go_task *c = IN(&s, [b] { return go_task_join(b) + 1; });
      gate.Send(5);
      EXPECT_EQ(go_task_join(c), 7);
    }
  });
}

}  // namespace
