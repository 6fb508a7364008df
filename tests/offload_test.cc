// go_offload: functions on threads of a pool.
#include <golib/golib.h>
#include <sched.h>
#include <unistd.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "tests/support/golib_test.h"
#include "tests/support/system.h"

using namespace golib_test;

namespace {

template <class F>
int Offload(go_ctx *ctx, F &&f) {
  return go_offload(ctx, CallRef<std::remove_reference_t<F>>, RefOf(f));
}

// Something that threads wait for.
class Gate {
 public:
  void Open() {
    std::lock_guard<std::mutex> l(mu_);
    open_ = true;
    cv_.notify_all();
  }
  void Wait() {
    std::unique_lock<std::mutex> l(mu_);
    cv_.wait(l, [this] { return open_; });
  }

 private:
  std::mutex mu_;
  std::condition_variable cv_;
  bool open_ = false;
};

void Restart(int threads, int procs = 0, bool embedded = false) {
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  go_config cfg{};
  cfg.offload_threads = threads;
  cfg.procs = procs;
  cfg.embedded = embedded;
  EXPECT_EQ(go_init(&cfg), 0);
}

TEST(Offload, RunsOnAnotherThread) {
  RunGo([] {
    for (int i = 0; i < Rounds(1000); i++) {
      pthread_t self = pthread_self();
      uint64_t id = 1;
      bool other = false;
      EXPECT_EQ(Offload(nullptr,
                        [&] {
                          other = !pthread_equal(self, pthread_self());
                          id = go_id();
                        }),
                0);
      EXPECT_TRUE(other);
      EXPECT_EQ(id, 0u);  // a plain one
    }
  });
}

TEST(Offload, PlainThreadCallsItself) {
  pthread_t self = pthread_self(), there{};
  EXPECT_EQ(Offload(nullptr, [&] { there = pthread_self(); }), 0);
  EXPECT_TRUE(pthread_equal(self, there));
}

// More than a goroutine of 16 KiB has.
__attribute__((noinline)) int Deep(int n) {
  volatile char frame[1024];
  frame[0] = static_cast<char>(n);
  return n == 0 ? 0 : Deep(n - 1) + frame[0] * 0 + 1;
}
TEST(Offload, LargeStack) {
  RunGo([] {
    go_wg wg{};
    go_spawn_opts small{};
    small.stack_size = kSanitized ? 256 << 10 : 16 << 10;
    go_wg_add(&wg, 1);
    MustStart(SpawnOptAt("x@y:1", small, [&] {
      int deep = 0;
      EXPECT_EQ(Offload(nullptr, [&] { deep = Deep(kSanitized ? 1000 : 6000); }), 0);
      EXPECT_EQ(deep, kSanitized ? 1000 : 6000);
      go_wg_done(&wg);
    }));
    go_wg_wait(&wg);
  });
}

// All of them at the same time, on one P, while other goroutines run.
TEST(Offload, ManyAtOnce) {
  Restart(0, 1);
  RunGo([] {
    constexpr int kN = 64;
    std::atomic<int> inside{0};
    Gate gate;
    go_wg wg{};
    for (int i = 0; i < kN; i++) {
      SPAWN_WG(&wg, [&] {
        EXPECT_EQ(Offload(nullptr,
                          [&] {
                            inside++;
                            gate.Wait();
                          }),
                  0);
      });
    }
    Until([&] { return inside == kN; });
    gate.Open();
    go_wg_wait(&wg);
  });
}

TEST(Offload, Bounded) {
  Restart(3);
  RunGo([] {
    std::atomic<int> inside{0}, most{0}, ran{0};
    go_wg wg{};
    for (int i = 0; i < 40; i++) {
      SPAWN_WG(&wg, [&] {
        EXPECT_EQ(Offload(nullptr,
                          [&] {
                            int now = ++inside, m = most;
                            while (m < now && !most.compare_exchange_weak(m, now)) {}
                            while (most < 3) std::this_thread::yield();
                            usleep(300);
                            inside--;
                            ran++;
                          }),
                  0);
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(ran.load(), 40);
    EXPECT_EQ(most.load(), 3);
  });
}

TEST(Offload, FirstComeFirstServed) {
  Restart(1, 1);
  RunGo([] {
    Gate gate;
    std::atomic<bool> inside{false};
    go_wg wg{};
    std::vector<int> order;
    int begun = 0;
    SPAWN_WG(&wg, [&] {
      EXPECT_EQ(Offload(nullptr,
                        [&] {
                          inside = true;
                          gate.Wait();
                        }),
                0);
    });
    Until([&] { return inside.load(); });
    for (int i = 0; i < 20; i++) {
      SPAWN_WG(&wg, [&, i] {
        begun++;
        EXPECT_EQ(Offload(nullptr, [&] { order.push_back(i); }), 0);
      });
      Until([&] {
        return begun > i;
      });  // and is in the queue: there is one P, which it left for that
    }
    gate.Open();
    go_wg_wait(&wg);
    for (int i = 0; i < 20; i++) EXPECT_EQ(order[static_cast<size_t>(i)], i);
  });
}

// ---- Contexts.

TEST(Offload, DoneAlready) {
  auto body = [] {
    bool ran = false;
    go_ctx *ctx = go_ctx_with_cancel(nullptr);
    go_ctx_cancel(ctx);
    EXPECT_EQ(Offload(ctx, [&] { ran = true; }), GO_ECANCELED);
    go_ctx *late = go_ctx_with_timeout(nullptr, -1);
    EXPECT_EQ(Offload(late, [&] { ran = true; }), GO_ETIMEDOUT);
    EXPECT_FALSE(ran);
    go_ctx_unref(ctx);
    go_ctx_unref(late);
  };
  RunGo(body);
  body();
}

// While it waits for a thread.
TEST(Offload, CancelledInTheQueue) {
  Restart(1, 2);
  RunGo([] {
    Gate gate;
    std::atomic<bool> inside{false}, ran{false};
    go_wg wg{};
    SPAWN_WG(&wg, [&] {
      EXPECT_EQ(Offload(nullptr,
                        [&] {
                          inside = true;
                          gate.Wait();
                        }),
                0);
    });
    Until([&] { return inside.load(); });
    go_ctx *late = go_ctx_with_timeout(nullptr, GO_MS);
    EXPECT_EQ(Offload(late, [&] { ran = true; }), GO_ETIMEDOUT);
    go_ctx *ctx = go_ctx_with_cancel(nullptr);
    std::atomic<int> ended{0};
    for (int i = 0; i < 10; i++) {
      SPAWN_WG(&wg, [&] {
        EXPECT_EQ(Offload(ctx, [&] { ran = true; }), GO_ECANCELED);
        ended++;
      });
    }
    std::atomic<bool> second{false};
    SPAWN_WG(&wg, [&] { EXPECT_EQ(Offload(nullptr, [&] { second = true; }), 0); });
    Settle();
    go_ctx_cancel(ctx);
    Until([&] { return ended == 10; });
    EXPECT_FALSE(second.load());
    gate.Open();
    go_wg_wait(&wg);
    EXPECT_FALSE(ran.load());
    EXPECT_TRUE(second.load());
    go_ctx_unref(ctx);
    go_ctx_unref(late);
  });
}

// Once begun it is waited for.
TEST(Offload, CancelledWhileItRuns) {
  RunGo([] {
    Gate gate;
    go_ctx *ctx = go_ctx_with_cancel(nullptr);
    std::atomic<bool> inside{false}, over{false};
    go_wg wg{};
    SPAWN_WG(&wg, [&] {
      EXPECT_EQ(Offload(ctx,
                        [&] {
                          inside = true;
                          gate.Wait();
                          over = true;
                        }),
                0);
      EXPECT_TRUE(over.load());
    });
    Until([&] { return inside.load(); });
    go_ctx_cancel(ctx);
    Settle();
    EXPECT_FALSE(over.load());
    gate.Open();
    go_wg_wait(&wg);
    go_ctx_unref(ctx);
  });
}

// ---- What fn may do.

TEST(Offload, PanicPasses) {
  RunGo([] {
    for (int i = 0; i < 20; i++) {
      static int value;
      Caught c = Catch([] {
        EXPECT_EQ(go_offload(
                      nullptr, [](void *) { go_panic_value(&value, "there"); }, nullptr),
                  1);
      });
      EXPECT_EQ(c.rc, GO_EPANIC);
      EXPECT_EQ(c.text(), "there");
      EXPECT_EQ(c.info.value, &value);
      EXPECT_EQ(c.info.goroutine, go_id());
    }
  });
  EXPECT_TRUE(Panics([] {
    EXPECT_EQ(go_offload(
                  nullptr, [](void *) { go_panic("here"); }, nullptr),
              1);
  }));
}

TEST(Offload, GolibInside) {
  RunGo([] {
    Chan<int> in(0), out(0);
    go_wg wg{};
    SPAWN_WG(&wg, [&] {
      EXPECT_EQ(Offload(nullptr,
                        [&] {
                          int v = in.Take();
                          go_wg more{};
                          SPAWN_WG(&more, [&] { out.Send(v + 1); });
                          go_wg_wait(&more);
                          EXPECT_EQ(go_sleep(nullptr, GO_MS), 0);
                          bool ran = false;
                          EXPECT_EQ(Offload(nullptr, [&] { ran = true; }), 0);
                          EXPECT_TRUE(ran);
                          EXPECT_EQ(TryRunGo([] {}), 0);
                        }),
                0);
    });
    in.Send(4);
    EXPECT_EQ(out.Take(), 5);
    go_wg_wait(&wg);
  });
}

// In go_blocking the goroutine waits like a thread; the function runs in the pool nevertheless: the stack is a goroutine's.
TEST(Offload, InsideBlocking) {
  RunGo([] {
    go_blocking_begin();
    pthread_t self = pthread_self();
    bool other = false;
    EXPECT_EQ(Offload(nullptr, [&] { other = !pthread_equal(self, pthread_self()); }), 0);
    EXPECT_TRUE(other);
    go_blocking_end();
  });
}

TEST(Offload, Embedded) {
  Restart(0, 0, true);
  int ran = 0;
  RunGo([&] {
    go_wg wg{};
    for (int i = 0; i < 10; i++)
      SPAWN_WG(&wg, [&] { EXPECT_EQ(Offload(nullptr, [] { usleep(100); }), 0); });
    go_wg_wait(&wg);
    ran = 1;
  });
  EXPECT_EQ(ran, 1);
  Restart(0);
}

#if !defined(_WIN32)
// A thread of the pool is not made by a thread that a goroutine has changed.
TEST(Offload, CleanThreads) {
  Restart(0);
  RunGo([] {
    cpu_set_t all, one;
    EXPECT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
    if (CPU_COUNT(&all) < 2) return;
    go_wg wg{};
    SPAWN_WG(&wg, [&] {
      go_lock_thread();
      int cpu = 0;
      while (!CPU_ISSET(cpu, &all)) cpu++;
      CPU_ZERO(&one);
      CPU_SET(cpu, &one);
      EXPECT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
      int cpus = 0;
      EXPECT_EQ(Offload(nullptr,
                        [&] {
                          cpu_set_t mine;
                          EXPECT_EQ(sched_getaffinity(0, sizeof mine, &mine), 0);
                          cpus = CPU_COUNT(&mine);
                        }),
                0);
      EXPECT_EQ(cpus, CPU_COUNT(&all));
    });  // and the thread goes with it
    go_wg_wait(&wg);
  });
}
#endif

// ---- Threads come and go.

TEST(Offload, ShutdownJoins) {
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  const int before = ThreadCount();
  for (int i = 0; i < 5; i++) {
    RunGo([] {
      go_wg wg{};
      for (int k = 0; k < 10; k++) {
        SPAWN_WG(&wg, [] { EXPECT_EQ(Offload(nullptr, [] { usleep(100); }), 0); });
      }
      go_wg_wait(&wg);
    });
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
    while (ThreadCount() > before) sched_yield();  // a joined thread is counted for a moment still
  }
}

int PoolThreads() { return ThreadsNamed("golib-offload"); }

TEST(Offload, IdleThreadsRetire) {
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  RunGo([] {
    Gate gate;
    std::atomic<int> inside{0};
    EXPECT_EQ(PoolThreads(), 0);
    go_wg wg{};
    for (int k = 0; k < 10; k++) {
      SPAWN_WG(&wg, [&] {
        EXPECT_EQ(Offload(nullptr,
                          [&] {
                            inside++;
                            gate.Wait();
                          }),
                  0);
      });
    }
    Until([&] { return inside == 10; });
    EXPECT_EQ(PoolThreads(), 10);
    gate.Open();
    go_wg_wait(&wg);
    while (PoolThreads() > 0) (void)go_sleep(nullptr, 50 * GO_MS);
    EXPECT_EQ(Offload(nullptr, [] {}), 0);  // and come again
  });
}

TEST(Offload, BadConfig) {
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  go_config cfg{};
  cfg.offload_threads = -1;
  EXPECT_EQ(go_init(&cfg), GO_EINVAL);
}

}  // namespace
