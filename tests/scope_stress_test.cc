// Storms of scopes: random trees of tasks that return, fail, panic, exit, are cancelled, limited, joined by
// others, released; on goroutines and threads.
//
// Each scope counts what it started; every task counts its end. A scope that is left before its tasks,
// or a task that runs twice, is found by the counts; a wake-up that is lost, by the time limit.

#include <golib/scope.h>

#include <thread>
#include <vector>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

std::atomic<int64_t> g_told;

struct Node;

// One scope's books; on the stack of whoever opened it.
struct Books {
  std::atomic<int> ended{0};
  int started = 0;
  bool panicked = false; /* some task of it */
};

struct Node {
  Books *books;
  go_ctx *ctx; /* the scope's, or null */
  uint64_t seed;
  int depth;
};

void CountEnd(void *p) { static_cast<Books *>(p)->ended++; }

void Grow(go_ctx *ctx, uint64_t seed, int depth);

GO_TASK(leaf_or_branch, (Node, n)) {
  GO_DEFER(CountEnd, n.books);
  Rng rng(n.seed);
  for (uint32_t i = rng.Below(4); i > 0; i--) go_yield();
  if (n.depth > 0 && rng.Below(3) == 0) Grow(n.ctx, rng.Next(), n.depth - 1);
  switch (rng.Below(40)) {
    case 0: return -static_cast<int>(rng.Below(5)) - 1;
    case 1: go_panic("leaf");
    case 2: go_exit();
    case 3: return go_sleep(n.ctx, 10 * GO_US);
    case 4:
      if (n.ctx != nullptr) go_ctx_cancel(n.ctx);
      return 0;
    case 5: return Panics([] { go_panic("caught"); }) ? 0 : -9;
    default: return 0;
  }
}

struct Body {
  Books books;
  go_ctx *ctx;
  uint64_t seed;
  int depth;
};

void StartAndJoin(go_scope *s, Body *b, Rng *rng) {
  go_task *t[12] = {};
  uint32_t n = 1 + rng->Below(12);
  go_ctx *own = rng->Below(2) == 0 ? go_scope_ctx(s) : nullptr;
  for (uint32_t i = 0; i < n; i++) {
    Node node = {&b->books, own, rng->Next(), b->depth};
    b->books.started++; /* before: the task may end at once */
    t[i] = GO_IN(s, leaf_or_branch, node);
    if (t[i] == nullptr) b->books.started--;
    if (rng->Below(8) == 0) {
      go_task_release(t[i]);
      t[i] = nullptr;
    }
  }
  for (uint32_t i = 0; i < n; i++) {
    if (t[i] == nullptr || rng->Below(2) == 0) continue;
    int r = go_task_join(t[i]);
    EXPECT_EQ(r == GO_EPANIC, go_task_panic(t[i]) != nullptr);
    EXPECT_EQ(go_task_join(t[i]), r);
  }
}

void RunBody(void *p) {
  Body *b = static_cast<Body *>(p);
  Rng rng(b->seed);
  GO_SCOPE (s, b->ctx) {
    if (rng.Below(3) == 0) go_scope_limit(&s, 1 + static_cast<int>(rng.Below(4)));
    StartAndJoin(&s, b, &rng);
    if (rng.Below(4) == 0) {
      int err = go_scope_wait(&s);
      EXPECT_EQ(b->books.ended, b->books.started);
      EXPECT_EQ(err == GO_EPANIC, go_scope_panic(&s) != nullptr);
    }
    if (rng.Below(4) == 0) StartAndJoin(&s, b, &rng);
    switch (rng.Below(8)) {
      case 0: go_panic("body");
      case 1: return;
      case 2: continue;
      case 3: go_ctx_cancel(go_scope_ctx(&s)); break;
      default: break;
    }
  }
}

void Grow(go_ctx *ctx, uint64_t seed, int depth) {
  Body b{};
  b.ctx = ctx;
  b.seed = seed;
  b.depth = depth;
  (void)go_try(RunBody, &b, nullptr);
  EXPECT_EQ(b.books.ended, b.books.started) << "left before its tasks, seed " << seed;
}

TEST(ScopeStress, Storm) {
  go_set_panic_handler([](const go_panic_info *) { g_told++; });
  go_nsec end = StressEnd();
  uint64_t seed = 1;
  do {
    std::vector<std::thread> threads;
    RunGo([&] {
      go_wg wg{};
      for (int i = 0; i < 16; i++) {
        uint64_t mine = seed * 1000 + static_cast<uint64_t>(i);
        SPAWN_WG(&wg, [mine, i] {
          go_ctx *ctx = i % 3 == 0   ? go_ctx_with_timeout(nullptr, (i % 5) * 100 * GO_US)
                        : i % 3 == 1 ? go_ctx_with_cancel(nullptr)
                                     : nullptr;
          for (uint64_t k = 0; k < 20; k++) Grow(ctx, mine * 100 + k, 3);
          go_ctx_unref(ctx);
        });
      }
      go_wg_wait(&wg);
    });
    for (uint64_t i = 0; i < 2; i++) {
      threads.emplace_back([seed, i] {
        for (uint64_t k = 0; k < 10; k++) Grow(nullptr, seed * 7777 + i * 100 + k, 2);
      });
    }
    for (std::thread &t : threads) t.join();
    seed++;
  } while (go_now() < end);
  go_set_panic_handler(nullptr);
  for (int i = 0; go_count() != 0; i++) std::this_thread::yield();
  EXPECT_GT(g_told, 0) << "some panics are nobody's";
}

// Exits of goroutines with open scopes, some deep in others.
TEST(ScopeStress, Exits) {
  go_nsec end = StressEnd();
  do {
    RunGo([] {
      go_wg wg{};
      std::atomic<int> ended{0};
      for (int i = 0; i < 32; i++) {
        SPAWN_WG(&wg, [i, &ended] {
          GO_SCOPE (a, nullptr) {
            go_ctx *actx = go_scope_ctx(&a);
            static auto wait = [](void *p) {
              void **args = static_cast<void **>(p);
              int r = go_sleep(static_cast<go_ctx *>(args[0]), GO_FOREVER);
              ++*static_cast<std::atomic<int> *>(args[1]);
              return r;
            };
            void *args[] = {actx, &ended};
            for (int k = 0; k < 3; k++) (void)go_scope_spawn_copy(&a, wait, args, sizeof args);
            GO_SCOPE (b, actx) {
              args[0] = go_scope_ctx(&b);
              for (int k = 0; k < 3; k++) (void)go_scope_spawn_copy(&b, wait, args, sizeof args);
              for (int k = 0; k < i % 4; k++) go_yield();
              if (i % 2 == 0) go_exit();
              go_ctx_cancel(actx);
            }
          }
        });
      }
      go_wg_wait(&wg);
      EXPECT_EQ(ended, 32 * 6);
    });
  } while (go_now() < end);
}

// Joins, releases and starts of one scope by many at a time, under a limit.
TEST(ScopeStress, OneScopeUsedByMany) {
  go_nsec end = StressEnd();
  do {
    RunGo([] {
      std::atomic<int> ran{0}, started{0};
      GO_SCOPE (s, nullptr) {
        go_scope *sp = &s;
        go_wg wg{};
        go_scope_limit(&s, 3);
        for (int i = 0; i < 8; i++) {
          SPAWN_WG(&wg, [&, sp, i] {
            for (int k = 0; k < 50; k++) {
              std::atomic<int> *count = &ran;
              go_task *t = go_scope_spawn(
                  sp,
                  [](void *p) {
                    ++*static_cast<std::atomic<int> *>(p);
                    return 0;
                  },
                  count);
              if (t == nullptr) continue;
              started++;
              if ((i + k) % 3 == 0) {
                EXPECT_EQ(go_task_join(t), 0);
              } else if ((i + k) % 3 == 1) {
                go_task_release(t);
              }
            }
          });
        }
        go_wg_wait(&wg);
        EXPECT_EQ(go_scope_wait(&s), 0);
        EXPECT_LE(s.used_, 8u * 50u);
      }
      EXPECT_EQ(ran, 400);
      EXPECT_EQ(started, 400);
    });
  } while (go_now() < end);
}

}  // namespace
