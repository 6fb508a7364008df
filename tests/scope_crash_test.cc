// Misuse of scopes and tasks that ends the process, reports, and starting when it is impossible.

#include <golib/golib.h>
#include <golib/scope.h>

#include <csignal>

#include "tests/support/child.h"
#include "tests/support/golib_test.h"

using golib_test::ChildResult;
using golib_test::kSanitized;
using golib_test::LimitAddressSpace;
using golib_test::RunChild;

namespace {

int RunMain(int (*fn)(int, char **)) { return go_main(fn, 0, nullptr); }

bool Died(const ChildResult &r) { return r.signal == SIGABRT || r.code == 2; }

GO_TASK(returns, (int, v)) { return v; }
GO_TASK(sleeps, (go_ctx *, ctx)) { return go_sleep(ctx, GO_FOREVER); }
GO_TASK(panics, (const char *, text)) { go_panic("%s", text); }

go_task *Stale(int uses) {
  go_task *t = nullptr;
  GO_SCOPE (s, nullptr) {
    t = GO_IN(&s, returns, 1);
    CHILD_CHECK(go_task_join(t) == 1);
  }
  for (int i = 0; i < uses; i++) {
    GO_SCOPE (s, nullptr) {
      CHILD_CHECK(go_task_join(GO_IN(&s, returns, 2)) == 2);
    }
  }
  return t;
}

// ---- A handle after its scope: found, also when its memory serves another task.

TEST(ScopeMisuse, JoinAfterTheScope) {
  for (int uses : {0, 1, 5}) {
    static int n;
    n = uses;
    ChildResult r = RunChild([] {
      return RunMain([](int, char **) {
        go_task *t = Stale(n);
        GO_SCOPE (s, nullptr) {
          (void)GO_IN(&s, returns, 3);
          (void)go_task_join(t);
        }
        return 0;
      });
    });
    EXPECT_TRUE(Died(r)) << r;
    EXPECT_TRUE(r.Said("go_task_join")) << r;
    EXPECT_TRUE(r.Said("scope has ended")) << r;
  }
}

TEST(ScopeMisuse, PanicAndReleaseAfterTheScope) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      (void)go_task_panic(Stale(1));
      return 0;
    });
  });
  EXPECT_TRUE(Died(r)) << r;
  EXPECT_TRUE(r.Said("go_task_panic")) << r;
  r = RunChild([] {
    return RunMain([](int, char **) {
      go_task_release(Stale(1));
      return 0;
    });
  });
  EXPECT_TRUE(Died(r)) << r;
  EXPECT_TRUE(r.Said("go_task_release")) << r;
}

TEST(ScopeMisuse, UseAfterRelease) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      GO_SCOPE (s, nullptr) {
        go_task *t = GO_IN(&s, returns, 1);
        go_task_release(t);
        (void)go_task_join(t);
      }
      return 0;
    });
  });
  EXPECT_TRUE(Died(r)) << r;
  EXPECT_TRUE(r.Said("go_task_join")) << r;
  EXPECT_TRUE(r.Said("released")) << r;
  r = RunChild([] {
    return RunMain([](int, char **) {
      GO_SCOPE (s, nullptr) {
        go_task *t = GO_IN(&s, returns, 1);
        go_task_release(t);
        go_task_release(t);
      }
      return 0;
    });
  });
  EXPECT_TRUE(Died(r)) << r;
  EXPECT_TRUE(r.Said("go_task_release")) << r;
}

TEST(ScopeMisuse, JoinOfGarbage) {
  ChildResult r = RunChild([] {
    int local = 0;
    (void)go_task_join(reinterpret_cast<go_task *>(&local));
    return 0;
  });
  EXPECT_TRUE(Died(r)) << r;
  EXPECT_TRUE(r.Said("go_task_join: ")) << r;
}

// ---- A scope that is not open.

template <class F>
void DiesNaming(const char *call, const char *why, F use) {
  ChildResult r = RunChild([use] {
    use();
    return 0;
  });
  EXPECT_TRUE(Died(r)) << call << ": " << r;
  EXPECT_TRUE(r.Said(call)) << r;
  EXPECT_TRUE(r.Said(why)) << r;
}

go_scope g_scope; /* never opened in this process */

void Ended() {
  go_scope_begin(&g_scope, nullptr);
  CHILD_CHECK(go_scope_end(&g_scope) == 0);
}

TEST(ScopeMisuse, EndedScope) {
  DiesNaming("go_scope_spawn: ", "has ended", [] {
    Ended();
    (void)GO_IN(&g_scope, returns, 1);
  });
  DiesNaming("go_scope_wait: ", "has ended", [] {
    Ended();
    (void)go_scope_wait(&g_scope);
  });
  DiesNaming("go_scope_ctx: ", "has ended", [] {
    Ended();
    (void)go_scope_ctx(&g_scope);
  });
  DiesNaming("go_scope_panic: ", "has ended", [] {
    Ended();
    (void)go_scope_panic(&g_scope);
  });
  DiesNaming("go_scope_limit: ", "has ended", [] {
    Ended();
    go_scope_limit(&g_scope, 1);
  });
  DiesNaming("go_scope_end: ", "has ended", [] {
    Ended();
    (void)go_scope_end(&g_scope);
  });
}

TEST(ScopeMisuse, NeverOpenedScope) {
  DiesNaming("go_scope_spawn: ", "never been opened", [] { (void)GO_IN(&g_scope, returns, 1); });
  DiesNaming("go_scope_wait: ", "never been opened", [] { (void)go_scope_wait(&g_scope); });
  DiesNaming("go_scope_end: ", "never been opened", [] { (void)go_scope_end(&g_scope); });
}

TEST(ScopeMisuse, OpenedTwice) {
  DiesNaming("go_scope_begin", "is open", [] {
    go_scope_begin(&g_scope, nullptr);
    go_scope_begin(&g_scope, nullptr);
  });
}

TEST(ScopeMisuse, EndedOutOfOrder) {
  DiesNaming("go_scope_end", "not done yet", [] {
    go_scope_begin(&g_scope, nullptr);
    GO_DEFER([](void *) {}, nullptr);
    (void)go_scope_end(&g_scope);
  });
}

TEST(ScopeMisuse, EndedByAnotherGoroutine) {
  DiesNaming("go_scope_end", "another goroutine", [] {
    go_scope_begin(&g_scope, nullptr);
    (void)!go_run([](void *) { (void)go_scope_end(&g_scope); }, nullptr);
  });
}

TEST(ScopeMisuse, NullFunction) {
  DiesNaming("go_scope_spawn", "NULL", [] {
    GO_SCOPE (s, nullptr) {
      (void)go_scope_spawn(&s, nullptr, nullptr);
    }
  });
}

// ---- Reports.

// Nobody joins, nobody waits: the panic is reported as others are, with where it was raised.
__attribute__((noinline)) void Culprit() { go_panic("a task gives up"); }
TEST(ScopeReport, UnseenPanic) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      GO_SCOPE (s, nullptr) {
        (void)go_scope_spawn(
            &s,
            [](void *) -> int {
              go_set_name("careless");
              Culprit();
              return 0;
            },
            nullptr);
      }
      return 7;
    });
  });
  EXPECT_EQ(r.code, 7) << "the program goes on: " << r;
  EXPECT_EQ(r.Count("panic: a task gives up"), 1) << r;
  EXPECT_TRUE(r.Said("\"careless\"")) << r;
  EXPECT_TRUE(r.Said("scope_crash_test.cc:")) << r;
  EXPECT_TRUE(r.Said("nobody joined")) << r;
  size_t at = r.err.find("nobody joined\n");
  ASSERT_NE(at, std::string::npos);
  std::string first = r.err.substr(at + 14, r.err.find('\n', at + 14) - at - 14);
  EXPECT_NE(first.find("Culprit"), std::string::npos) << r;
}

TEST(ScopeReport, SeenPanicsAreSilent) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      GO_SCOPE (s, nullptr) {
        CHILD_CHECK(go_task_join(GO_IN(&s, panics, "quiet")) == GO_EPANIC);
        (void)GO_IN(&s, returns, 0);
      }
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_EQ(r.err, "");
}

// A panic in main's scope: its tasks are cancelled and waited for, then the process ends with 2.
TEST(ScopeReport, MainPanicsInAScope) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) -> int {
      GO_SCOPE (s, nullptr) {
        static go_ctx *ctx;
        ctx = go_scope_ctx(&s);
        (void)go_scope_spawn(
            &s,
            [](void *) {
              (void)go_sleep(ctx, GO_FOREVER);
              fprintf(stderr, "task has ended\n");
              return 0;
            },
            nullptr);
        go_panic("main gives up");
      }
      return 0;
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_EQ(r.Count("task has ended"), 1) << r;
  EXPECT_LT(r.err.find("task has ended"), r.err.find("main gives up")) << r;
}

// What a deadlock report says of those who wait here.
TEST(ScopeReport, Deadlocks) {
  SKIP_IF_DEADLOCKS_GO_UNSEEN();
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      GO_SCOPE (s, nullptr) {
        static go_task *t;
        t = GO_IN(&s, sleeps, nullptr);
        (void)go_scope_spawn(
            &s, [](void *) { return go_task_join(t); }, nullptr);
        static go_scope limited;
        go_scope_begin(&limited, nullptr);
        go_scope_limit(&limited, 1);
        (void)GO_IN(&limited, sleeps, nullptr);
        (void)go_scope_spawn(
            &s,
            [](void *) {
              (void)GO_IN(&limited, sleeps, nullptr);
              return 0;
            },
            nullptr);
        (void)go_scope_wait(&s);
      }
      return 0;
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("deadlock")) << r;
  EXPECT_EQ(r.Count("[task join"), 1) << r;
  EXPECT_EQ(r.Count("[scope wait"), 1) << r;
  EXPECT_EQ(r.Count("[scope start (limit)"), 1) << r;
}

// ---- No goroutine can be had: NULL, and the scope's error says why.

TEST(ScopeStart, GoroutineLimit) {
  ChildResult r = RunChild([] {
    go_config cfg{};
    cfg.max_goroutines = 3;
    CHILD_CHECK(go_init(&cfg) == 0);
    return RunMain([](int, char **) {
      int err = 0;
      GO_SCOPE (s, nullptr) {
        go_ctx *ctx = go_scope_ctx(&s);
        go_task *a = GO_IN(&s, sleeps, ctx), *b = GO_IN(&s, sleeps, ctx);
        CHILD_CHECK(a != nullptr && b != nullptr);
        CHILD_CHECK(go_ctx_err(ctx) == 0);
        CHILD_CHECK(GO_IN(&s, sleeps, ctx) == nullptr);
        CHILD_CHECK(go_ctx_cause(ctx) == GO_EAGAIN);
        CHILD_CHECK(go_task_join(a) == GO_ECANCELED && go_task_join(b) == GO_ECANCELED);
        err = go_scope_wait(&s);
        // Once they are gone, there is room again.
        go_task *t;
        while ((t = GO_IN(&s, returns, 5)) == nullptr) go_yield();
        CHILD_CHECK(go_task_join(t) == 5);
      }
      CHILD_CHECK(err == GO_EAGAIN);
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

// Nothing more is mapped, and what malloc still has is taken, in ever smaller pieces, until Free().
class NoMemory {
 public:
  NoMemory() {
    LimitAddressSpace(0);
    for (size_t size = 1 << 20; size >= 16; size /= 2) {
      while (void **p = static_cast<void **>(malloc(size))) {
        *p = list_;
        list_ = p;
      }
    }
  }
  void Free() {
    while (list_ != nullptr) {
      void **next = static_cast<void **>(*list_);
      free(list_);
      list_ = next;
    }
  }

 private:
  void **list_ = nullptr;
};

// No memory for a context: what comes back is done, so that nobody waits with it for ever.
TEST(ScopeStart, ContextWithoutMemory) {
  SKIP_IF_ADDRESS_SPACE_IS_UNLIMITED();
  if (kSanitized) GTEST_SKIP() << "sanitizers need the address space";
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      int err = 0;
      GO_SCOPE (s, nullptr) {
        CHILD_CHECK(go_task_join(GO_IN(&s, returns, 0)) == 0);
        NoMemory none;
        go_ctx *ctx = go_scope_ctx(&s);
        CHILD_CHECK(ctx != nullptr);
        CHILD_CHECK(go_ctx_err(ctx) == GO_ECANCELED && go_ctx_cause(ctx) == GO_ENOMEM);
        CHILD_CHECK(go_sleep(ctx, GO_FOREVER) == GO_ECANCELED);
        CHILD_CHECK(go_task_join(GO_IN(&s, sleeps, ctx)) == GO_ECANCELED);
        none.Free();
        CHILD_CHECK(!go_chan_recv(go_ctx_done(go_ctx_ref(ctx)), nullptr));
        go_ctx *child = go_ctx_with_cancel(ctx);
        CHILD_CHECK(go_ctx_err(child) == GO_ECANCELED && go_ctx_cause(child) == GO_ENOMEM);
        go_ctx_unref(child);
        go_ctx_unref(ctx);
        go_ctx *now = go_scope_ctx(&s);
        CHILD_CHECK(go_ctx_err(now) == GO_ECANCELED && go_ctx_cause(now) == GO_ENOMEM);
        err = go_scope_wait(&s);
      }
      CHILD_CHECK(err == GO_ENOMEM);
      GO_SCOPE (s, nullptr) {
        CHILD_CHECK(go_ctx_err(go_scope_ctx(&s)) == 0);
      }
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

// No memory for the first slots; nor for a context to wait with for room.
TEST(ScopeStart, TaskWithoutMemory) {
  SKIP_IF_ADDRESS_SPACE_IS_UNLIMITED();
  if (kSanitized) GTEST_SKIP() << "sanitizers need the address space";
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      NoMemory none;
      int err = 0;
      GO_SCOPE (s, nullptr) {
        CHILD_CHECK(GO_IN(&s, returns, 1) == nullptr);
        err = go_scope_wait(&s);
      }
      CHILD_CHECK(err == GO_ENOMEM);
      GO_SCOPE (s, nullptr) {
        go_scope_limit(&s, 0);
        CHILD_CHECK(GO_IN(&s, returns, 1) == nullptr);
        err = go_scope_wait(&s);
      }
      CHILD_CHECK(err == GO_ENOMEM);
      none.Free();
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

}  // namespace
