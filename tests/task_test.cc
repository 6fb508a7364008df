// Tasks: their values, joining, their panics, go_exit in them, releasing them.

#include <golib/scope.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

GO_TASK(returns, (int, v)) { return v; }
GO_TASK(nothing) { return 0; }
GO_TASK(takes, (go_chan *, from)) {
  int v = 0;
  (void)go_chan_recv(from, &v);
  return v;
}
GO_TASK(panics, (const char *, text)) {
  go_set_name("a task");
  go_panic("%s", text);
}

TEST(Task, ReturnsItsValue) {
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      for (int v : {0, 1, -1, 42, INT32_MAX, INT32_MIN, static_cast<int>(GO_EPANIC)}) {
        go_task *t = GO_IN(&s, returns, v);
        EXPECT_EQ(go_task_join(t), v);
        EXPECT_EQ(go_task_panic(t), nullptr) << "whatever the number";
      }
    }
  });
}

TEST(Task, IsAnOrdinaryFunction) {
  EXPECT_EQ(returns(5), 5);
  EXPECT_EQ(nothing(), 0);
}

GO_TASK(eight, (int, a), (int, b), (int, c), (int, d), (int, e), (int, f), (int, g), (int, h)) {
  return a + 10 * b + 100 * c + 1000 * d + 10000 * e + 100000 * f + 1000000 * g + 10000000 * h;
}
TEST(Task, HasUpToEightParameters) {
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      EXPECT_EQ(go_task_join(GO_IN(&s, eight, 1, 2, 3, 4, 5, 6, 7, 8)), 87654321);
      EXPECT_EQ(go_task_join(GO_IN(&s, nothing)), 0);
    }
  });
}

// Sizes that lie in the G, and sizes that do not.
template <size_t N>
struct Bytes {
  unsigned char b[N];
};
template <size_t N>
int Sum(void *p) {
  int sum = 0;
  for (unsigned char b : static_cast<Bytes<N> *>(p)->b) sum += b;
  return sum;
}
template <size_t N>
void Copies(go_scope *s) {
  Bytes<N> x;
  memset(&x, 3, sizeof x);
  go_task *t = go_scope_spawn_copy(s, Sum<N>, &x, sizeof x);
  memset(&x, 4, sizeof x);
  EXPECT_EQ(go_task_join(t), static_cast<int>(3 * N));
}
TEST(Task, ArgumentsAreCopied) {
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      Copies<1>(&s);
      Copies<16>(&s);
      Copies<112>(&s);
      Copies<113>(&s);
      Copies<5000>(&s);
      int n = 6;
      EXPECT_EQ(go_task_join(go_scope_spawn(
                    &s, [](void *p) { return ++*static_cast<int *>(p); }, &n)),
                7);
      EXPECT_EQ(n, 7) << "the pointer itself";
    }
  });
}

TEST(Task, JoinWaits) {
  RunGo([] {
    Chan<int> c(0);
    GO_SCOPE (s, nullptr) {
      go_task *t = GO_IN(&s, takes, c.get());
      SPAWN([c] {
        Settle();
        c.Send(12);
      });
      EXPECT_EQ(go_task_join(t), 12);
    }
  });
}

TEST(Task, JoinOfWhatHasFinished) {
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      go_task *t = GO_IN(&s, returns, 3);
      EXPECT_EQ(go_scope_wait(&s), 3);
      EXPECT_EQ(go_task_join(t), 3);
    }
  });
}

TEST(Task, JoinedAnyNumberOfTimes) {
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      go_task *t = GO_IN(&s, returns, 3), *u = GO_IN(&s, panics, "p");
      for (int i = 0; i < 3; i++) {
        EXPECT_EQ(go_task_join(t), 3);
        EXPECT_EQ(go_task_join(u), GO_EPANIC);
        EXPECT_STREQ(go_task_panic(u)->text, "p");
      }
    }
  });
}

TEST(Task, JoinedByManyAtOnce) {
  RunGo([] {
    Procs procs(8);
    for (int round = 0; round < Rounds(300); round++) {
      Chan<int> c(0);
      std::atomic<int> got{0};
      GO_SCOPE (s, nullptr) {
        go_task *t = GO_IN(&s, takes, c.get());
        go_wg wg{};
        for (int i = 0; i < 10; i++) {
          SPAWN_WG(&wg, [t, &got] { got += go_task_join(t); });
        }
        c.Send(7);
        go_wg_wait(&wg);
      }
      EXPECT_EQ(got, 70);
    }
  });
}

TEST(Task, JoinedByPlainThreads) {
  Chan<int> c(0);
  std::vector<std::thread> threads;
  std::atomic<int> got{0};
  GO_SCOPE (s, nullptr) {
    go_task *t = GO_IN(&s, takes, c.get());
    for (int i = 0; i < 4; i++) threads.emplace_back([t, &got] { got += go_task_join(t); });
    c.Send(5);
    got += go_task_join(t);
    for (std::thread &th : threads) th.join();
  }
  EXPECT_EQ(got, 25);
}

// NULL is what a task is that could not be started.
TEST(Task, NoTask) {
  EXPECT_EQ(go_task_join(nullptr), GO_EINVAL);
  EXPECT_EQ(go_task_panic(nullptr), nullptr);
  go_task_release(nullptr);
}

// What a task wrote is there for who joins it (ThreadSanitizer checks).
TEST(Task, WhatItDidIsVisible) {
  RunGo([] {
    Procs procs(8);
    for (int round = 0; round < Rounds(1000); round++) {
      int out[4] = {};
      GO_SCOPE (s, nullptr) {
        go_task *t[4];
        for (int i = 0; i < 4; i++) {
          int *p = &out[i];
          t[i] = go_scope_spawn(
              &s,
              [](void *q) {
                *static_cast<int *>(q) = 5;
                return 0;
              },
              p);
        }
        int sum = 0;
        for (int i = 0; i < 2; i++) {
          (void)go_task_join(t[i]);
          sum += out[i];
        }
        (void)go_scope_wait(&s);
        sum += out[2];
        EXPECT_EQ(sum, 15);
      }
      EXPECT_EQ(out[3], 5);
    }
  });
}

// ---- Panics.

TEST(Task, PanicIsCarriedToJoin) {
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      go_task *t = GO_IN(&s, panics, "carried");
      int line = __LINE__ - 1;
      EXPECT_EQ(go_task_join(t), GO_EPANIC);
      const go_panic_info *info = go_task_panic(t);
      ASSERT_NE(info, nullptr);
      EXPECT_STREQ(info->text, "carried");
      EXPECT_STREQ(info->name, "a task");
      EXPECT_EQ(info->value, nullptr);
      EXPECT_NE(info->goroutine, 0u);
      EXPECT_NE(info->goroutine, go_id());
      std::string site = info->site;
      EXPECT_EQ(site.rfind("panics@", 0), 0u) << site;
      EXPECT_NE(site.find("task_test.cc:" + std::to_string(line)), std::string::npos) << site;
      EXPECT_EQ(go_scope_panic(&s), info);
    }
  });
}

TEST(Task, PanicValueIsCarried) {
  RunGo([] {
    static int value;
    GO_SCOPE (s, nullptr) {
      go_task *t = go_scope_spawn(
          &s, [](void *) -> int { go_panic_value(&value, "an int"); }, nullptr);
      EXPECT_EQ(go_task_join(t), GO_EPANIC);
      EXPECT_EQ(go_task_panic(t)->value, &value);
    }
  });
}

TEST(Task, PanicOfARunningTask) {
  RunGo([] {
    Chan<int> c(0);
    GO_SCOPE (s, nullptr) {
      go_task *t = GO_IN(&s, takes, c.get());
      EXPECT_EQ(go_task_panic(t), nullptr) << "not finished";
      c.Send(1);
      EXPECT_EQ(go_task_join(t), 1);
      EXPECT_EQ(go_task_panic(t), nullptr);
    }
  });
}

std::atomic<int> g_deferred;
void CountDeferred(void *) { g_deferred++; }

TEST(Task, ItsDefersRunBeforeItIsJoined) {
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      for (int how = 0; how < 3; how++) {
        g_deferred = 0;
        go_task *t = go_scope_spawn_copy(
            &s,
            [](void *p) -> int {
              GO_DEFER(CountDeferred, nullptr);
              GO_DEFER([](void *) { go_yield(); }, nullptr);
              GO_DEFER(CountDeferred, nullptr);
              if (*static_cast<int *>(p) == 1) go_panic("x");
              if (*static_cast<int *>(p) == 2) go_exit();
              return 0;
            },
            &how, sizeof how);
        EXPECT_EQ(go_task_join(t), how == 1 ? GO_EPANIC : 0);
        EXPECT_EQ(g_deferred, 2);
      }
    }
  });
}

// A panic in a deferred call takes the first one's place; a caught one is none.
TEST(Task, NestedPanics) {
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      go_task *t = go_scope_spawn(
          &s,
          [](void *) -> int {
            GO_DEFER([](void *) { go_panic("second"); }, nullptr);
            go_panic("first");
          },
          nullptr);
      EXPECT_EQ(go_task_join(t), GO_EPANIC);
      EXPECT_STREQ(go_task_panic(t)->text, "second");
      go_task *u = go_scope_spawn(
          &s, [](void *) { return Panics([] { go_panic("caught"); }) ? 4 : 5; }, nullptr);
      EXPECT_EQ(go_task_join(u), 4);
      EXPECT_EQ(go_task_panic(u), nullptr);
    }
  });
}

// Misuse that panics (Go: send on closed channel) is a task's panic like any other.
TEST(Task, PanicsOfGolibItself) {
  RunGo([] {
    Chan<int> c(0);
    c.Close();
    GO_SCOPE (s, nullptr) {
      go_task *t = go_scope_spawn(
          &s,
          [](void *p) {
            int v = 1;
            go_chan_send(static_cast<go_chan *>(p), &v);
            return 0;
          },
          c.get());
      EXPECT_EQ(go_task_join(t), GO_EPANIC);
      EXPECT_STREQ(go_task_panic(t)->text, "send on closed channel");
    }
  });
}

// ---- go_exit.

TEST(Task, ExitCountsAsReturningZero) {
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      go_task *t = go_scope_spawn(
          &s,
          [](void *) -> int {
            (void)Panics([] { go_exit(); });
            return 6;
          },
          nullptr);
      EXPECT_EQ(go_task_join(t), 0);
      EXPECT_EQ(go_scope_wait(&s), 0);
    }
  });
}

// Go: TestGoexitInPanic: exiting ends the panic; TestPanicAfterGoexit: a panic while exiting is one.
TEST(Task, ExitWhilePanickingAndPanicWhileExiting) {
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      go_task *t = go_scope_spawn(
          &s,
          [](void *) -> int {
            GO_DEFER([](void *) { go_exit(); }, nullptr);
            go_panic("ended");
          },
          nullptr);
      EXPECT_EQ(go_task_join(t), 0);
      EXPECT_EQ(go_task_panic(t), nullptr);
      go_task *u = go_scope_spawn(
          &s,
          [](void *) -> int {
            GO_DEFER([](void *) { go_panic("while exiting"); }, nullptr);
            go_exit();
          },
          nullptr);
      EXPECT_EQ(go_task_join(u), GO_EPANIC);
      EXPECT_STREQ(go_task_panic(u)->text, "while exiting");
    }
  });
}

// A task that ends while it is locked to its thread ends the thread: its scope is not concerned.
TEST(Task, EndsLockedToItsThread) {
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      for (int i = 0; i < 5; i++) {
        go_task *t = go_scope_spawn(
            &s,
            [](void *) {
              go_lock_thread();
              return 3;
            },
            nullptr);
        EXPECT_EQ(go_task_join(t), 3);
      }
    }
  });
}

// A context's value whose destructor suspends, or panics, dropped by a task that fails.
TEST(Task, FailureMayRunUsersCode) {
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      static std::atomic<int> destroyed;
      destroyed = 0;
      static int key;
      go_ctx *ctx = go_scope_ctx(&s);
      go_ctx *v = go_ctx_with_value(ctx, &key, nullptr, [](void *) {
        go_yield();
        (void)go_sleep(nullptr, GO_MS);
        destroyed++;
      });
      go_ctx_unref(v);
      EXPECT_EQ(destroyed, 1);
      EXPECT_EQ(go_task_join(GO_IN(&s, panics, "x")), GO_EPANIC);
      EXPECT_EQ(go_ctx_err(ctx), GO_ECANCELED);
    }
  });
}

// ---- Handles.

TEST(Task, HandlesDiffer) {
  RunGo([] {
    std::vector<go_task *> seen;
    for (int round = 0; round < 50; round++) {
      GO_SCOPE (s, nullptr) {
        for (int i = 0; i < 20; i++) {
          go_task *t = GO_IN(&s, nothing);
          EXPECT_NE(t, nullptr);
          seen.push_back(t);
        }
      }
    }
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end())
        << "also across scopes, which use the same memory";
  });
}

// A released task runs on, and counts: for waiting, for errors, for the limit.
TEST(Task, ReleasedTasksCount) {
  RunGo([] {
    Chan<int> c(0);
    GO_SCOPE (s, nullptr) {
      go_task_release(GO_IN(&s, takes, c.get()));
      go_task *done = GO_IN(&s, returns, 0);
      EXPECT_EQ(go_task_join(done), 0);
      go_task_release(done);
      c.Send(-4);
      EXPECT_EQ(go_scope_wait(&s), -4);
    }
  });
}

// Also its panic: told of at the scope's end as any other, for nobody can join it.
TEST(Task, ReleasedTasksThatPanic) {
  static std::atomic<int> told;
  told = 0;
  go_set_panic_handler([](const go_panic_info *i) { told += strcmp(i->text, "released") == 0; });
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      EXPECT_EQ(go_task_join(GO_IN(&s, returns, 1)), 1);
      for (int i = 0; i < 10; i++) go_task_release(GO_IN(&s, panics, "released"));
      EXPECT_EQ(go_scope_wait(&s), 1);
      for (int i = 0; i < 10; i++) go_task_release(GO_IN(&s, nothing));
    }
    EXPECT_EQ(told, 10);
  });
  go_set_panic_handler(nullptr);
}

// A scope that lives long: its memory does not grow with the tasks that it has had.
TEST(Task, ReleasedTasksCostNoMemory) {
  RunGo([] {
    GO_SCOPE (s, nullptr) {
      for (int i = 0; i < Rounds(200000); i++) {
        go_task *t = GO_IN(&s, nothing);
        go_task_release(t);
        if (i % 16 == 0) (void)go_scope_wait(&s);
      }
      (void)go_scope_wait(&s);
      EXPECT_LE(s.used_, 64u) << "slots";
    }
  });
}

TEST(Task, ManyInOneScope) {
  RunGo([] {
    Procs procs(4);
    const int n = Goroutines(100000);
    std::vector<go_task *> tasks(static_cast<size_t>(n));
    GO_SCOPE (s, nullptr) {
      for (int i = 0; i < n; i++) tasks[static_cast<size_t>(i)] = GO_IN(&s, returns, i);
      int wrong = 0;
      for (int i = 0; i < n; i++) wrong += go_task_join(tasks[static_cast<size_t>(i)]) != i;
      EXPECT_EQ(wrong, 0);
    }
  });
}

TEST(Task, NothingIsLeftBehind) {
  RunGo([] {
    Procs procs(4);
    for (int round = 0; round < Rounds(200); round++) {
      (void)Panics([round] {
        GO_SCOPE (s, nullptr) {
          for (int i = 0; i < 10; i++) (void)GO_IN(&s, returns, round % 3 == 0 ? -i : 0);
          if (round % 5 == 0) (void)go_task_join(GO_IN(&s, panics, "x"));
          if (round % 7 == 0) go_panic("body");
        }
      });
    }
    Until([] { return go_count() == 1; });
  });
}

}  // namespace
