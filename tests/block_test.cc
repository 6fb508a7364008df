// go_blocking and go_blocking_begin/_end: what blocks a thread keeps nobody else.
#include <golib/golib.h>
#include <unistd.h>
#if !defined(_WIN32)
#include <sys/wait.h>
#endif

#include <condition_variable>
#include <mutex>
#include <thread>

#include "tests/support/golib_test.h"
#include "tests/support/system.h"

using namespace golib_test;

namespace {

// The two forms of the same thing.
class Block : public testing::TestWithParam<bool> {
 protected:
  template <class F>
  static void Blocking(F &&f) {
    if (GetParam()) {
      go_blocking(CallRef<std::remove_reference_t<F>>, RefOf(f));
    } else {
      go_blocking_begin();
      f();
      go_blocking_end();
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Function, Block, testing::Bool());

// A barrier that blocks threads: it opens when n are there at the same time.
class Barrier {
 public:
  explicit Barrier(int n) : left_(n) {}
  void Wait() {
    std::unique_lock<std::mutex> l(mu_);
    if (--left_ == 0) cv_.notify_all();
    cv_.wait(l, [this] { return left_ <= 0; });
  }

 private:
  std::mutex mu_;
  std::condition_variable cv_;
  int left_;
};

struct Pipe {
  int fds[2];
  Pipe() { EXPECT_EQ(OpenPipe(fds), 0); }
  ~Pipe() {
    close(fds[0]);
    close(fds[1]);
  }
  char Read() const {
    char c = 0;
    EXPECT_EQ(read(fds[0], &c, 1), 1);
    return c;
  }
  void Write(char c) const { EXPECT_EQ(write(fds[1], &c, 1), 1); }
};

TEST_P(Block, CallsOnTheSameGoroutine) {
  auto body = [] {
    uint64_t id = go_id();
    int here = 0;
    pthread_t self{};
    Blocking([&] {
      EXPECT_EQ(go_id(), id);
      here = 7;
      self = pthread_self();
    });
    EXPECT_EQ(here, 7);
    EXPECT_EQ(go_id(), id);
    EXPECT_FALSE(pthread_equal(self, pthread_t{}));
  };
  RunGo(body);
  body();
  std::thread(body).join();
}

// Go: TestGoroutineParallelism's question, asked of blocked threads: all are inside at the same time, whatever the number
// of Ps.
TEST_P(Block, AllAtTheSameTime) {
  for (int procs : {1, 2, 4}) {
    RunGo([&] {
      Procs p(procs);
      constexpr int kN = 20;
      Barrier all(kN + 1);
      go_wg wg{};
      for (int i = 0; i < kN; i++) {
        SPAWN_WG(&wg, [&] { Blocking([&] { all.Wait(); }); });
      }
      Blocking([&] { all.Wait(); });
      go_wg_wait(&wg);
    });
  }
}

// The other one runs on the P that was given away, and ends the wait.
TEST_P(Block, OthersRunMeanwhile) {
  RunGo([] {
    Procs p(1);
    Pipe there, back;
    go_wg wg{};
    for (int i = 0; i < Rounds(300); i++) {
      SPAWN_WG(&wg, [&] { there.Write('x'); });
      Blocking([&] { EXPECT_EQ(there.Read(), 'x'); });
    }
    go_wg_wait(&wg);
  });
}

// Work that comes when the P is idle already: from another thread, and from a timer.
TEST_P(Block, LateWork) {
  RunGo([] {
    Procs p(1);
    Pipe pipe;
    for (int i = 0; i < 20; i++) {
      std::thread t([&] {
        EXPECT_EQ(go_post([](void *q) { static_cast<Pipe *>(q)->Write('y'); }, &pipe), 0);
      });
      Blocking([&] { EXPECT_EQ(pipe.Read(), 'y'); });
      t.join();
    }
  });
}

TEST_P(Block, TimersGoOn) {
  RunGo([] {
    Procs p(1);
    Pipe pipe;
    go_wg wg{};
    for (int i = 0; i < 20; i++) {
      SPAWN_WG(&wg, [&] {
        (void)go_sleep(nullptr, 2 * GO_MS);
        pipe.Write('t');
      });
      go_yield();  // it sleeps: nothing but its timer is left
      Blocking([&] { EXPECT_EQ(pipe.Read(), 't'); });
    }
    go_wg_wait(&wg);
  });
}

// What golib functions are called inside block the thread.
TEST_P(Block, GolibInside) {
  RunGo([] {
    for (int procs : {1, 2}) {
      Procs p(procs);
      Chan<int> in(0), out(0);
      go_mutex mu{};
      go_wg wg{}, done{};
      go_mutex_lock(&mu);
      go_wg_add(&wg, 1);
      SPAWN_WG(&done, [&] {
        Blocking([&] {
          pthread_t self = pthread_self();
          out.Send(in.Take() + 1);
          go_case k[] = {RecvCase(in), SendCase(nullptr, nullptr)};
          EXPECT_EQ(Select(k), 0);
          go_mutex_lock(&mu);
          go_mutex_unlock(&mu);
          go_wg_wait(&wg);
          EXPECT_EQ(go_sleep(nullptr, GO_MS), 0);
          go_ctx *ctx = go_ctx_with_timeout(nullptr, GO_MS);
          EXPECT_EQ(go_chan_recv_ctx(ctx, nullptr, nullptr), GO_ETIMEDOUT);
          EXPECT_EQ(go_sleep(ctx, GO_HOUR), GO_ETIMEDOUT);
          go_ctx_unref(ctx);
          go_yield();
          EXPECT_EQ(go_run([](void *) {}, nullptr), GO_EDEADLK);  // it is a goroutine still
          EXPECT_TRUE(pthread_equal(self, pthread_self()));
          go_wg more{};
          SPAWN_WG(&more, [] {});
          go_wg_wait(&more);
        });
        in.Send(3);
      });
      in.Send(1);
      EXPECT_EQ(out.Take(), 2);
      in.Send(0);
      Settle();
      go_mutex_unlock(&mu);
      Settle();
      go_wg_done(&wg);
      EXPECT_EQ(in.Take(), 3);
      go_wg_wait(&done);
    }
  });
}

TEST_P(Block, ValuesAndNames) {
  RunGo([] {
    go_local key{};
    EXPECT_EQ(go_local_new(&key, nullptr), 0);
    int x = 1, y = 2;
    EXPECT_EQ(go_local_set(key, &x), 0);
    Blocking([&] {
      EXPECT_EQ(go_local_get(key), &x);
      EXPECT_EQ(go_local_set(key, &y), 0);
    });
    EXPECT_EQ(go_local_get(key), &y);
    EXPECT_EQ(go_local_delete(key), 0);
  });
}

// A goroutine that is in foreign code is one that lives, and the dump says where it is.
TEST_P(Block, CountsAndShows) {
  RunGo([] {
    Pipe gate, dump;
    std::atomic<bool> inside{false};
    go_wg wg{};
    Until([] { return go_count() == 1; });  // those of other tests have ended
    int64_t before = go_count();
    SPAWN_WG(&wg, [&] {
      go_set_name("blocker");
      Blocking([&] {
        inside = true;
        gate.Read();
      });
    });
    Until([&] { return inside.load(); });
    EXPECT_EQ(go_count(), before + 1);
    go_dump(dump.fds[1]);
    char text[4096] = "";
    EXPECT_GT(read(dump.fds[0], text, sizeof text - 1), 0);
    const char *line = strstr(text, "\"blocker\"");
    EXPECT_TRUE(line != nullptr) << text;
    if (line != nullptr) {
      std::string rest(line, strcspn(line, "\n"));
      EXPECT_NE(rest.find("[blocking call"), std::string::npos) << rest;
    }
    gate.Write('x');
    go_wg_wait(&wg);
  });
}

TEST_P(Block, PanicPasses) {
  for (int procs : {1, 2}) {
    RunGo([&] {
      Procs p(procs);
      for (int i = 0; i < 50; i++) {
        Caught c = Catch([] {
          Blocking([] {
            go_yield();
            go_panic("boom %d", 1);
          });
        });
        EXPECT_EQ(c.rc, GO_EPANIC);
        EXPECT_EQ(c.text(), "boom 1");
        EXPECT_EQ(c.info.goroutine, go_id());
        // A goroutine like any other again.
        go_wg wg{};
        SPAWN_WG(&wg, [] { go_yield(); });
        go_wg_wait(&wg);
        Blocking([] {});
      }
    });
  }
  // On a plain thread.
  EXPECT_EQ(Catch([] { Blocking([] { go_panic("x"); }); }).rc, GO_EPANIC);
  Blocking([] {});
}

// Deferred calls that were deferred inside run inside, those from outside run outside.
TEST_P(Block, ExitRunsDeferredCalls) {
  RunGo([] {
    for (bool panic : {false, true}) {
      static std::atomic<int> ran;
      ran = 0;
      go_set_panic_handler([](const go_panic_info *) {});
      go_wg wg{};
      SPAWN_WG(&wg, [&] {
        GO_DEFER(
            [](void *) {
              ran += 1;
              (void)go_sleep(nullptr, 10 * GO_US);
            },
            nullptr);
        Blocking([&] {
          GO_DEFER([](void *) { ran += 10; }, nullptr);
          if (panic) go_panic("out");
          go_exit();
        });
      });
      go_wg_wait(&wg);
      go_set_panic_handler(nullptr);
      EXPECT_EQ(ran.load(), 11);
    }
  });
}

TEST(BlockNested, AnyDepth) {
  RunGo([] {
    Procs p(1);
    Pipe pipe;
    for (int i = 0; i < 10; i++) {
      go_wg wg{};
      SPAWN_WG(&wg, [&] { pipe.Write('z'); });
      auto inner = [&] { EXPECT_EQ(pipe.Read(), 'z'); };
      auto middle = [&] {
        go_blocking_begin();
        go_blocking(CallRef<decltype(inner)>, &inner);
        go_blocking_end();
      };
      auto outer = [&] { go_blocking(CallRef<decltype(middle)>, &middle); };
      go_blocking(CallRef<decltype(outer)>, &outer);
      go_wg_wait(&wg);
    }
  });
}

// Caught inside: still in foreign code.
TEST(BlockNested, TryInside) {
  RunGo([] {
    go_blocking_begin();
    EXPECT_EQ(Catch([] { go_blocking([](void *) { go_panic("in the inner one"); }, nullptr); }).rc,
              GO_EPANIC);
    EXPECT_EQ(go_sleep(nullptr, GO_US), 0);
    go_blocking_end();
    go_yield();
  });
}

// Go: TestYieldLocked's kin: a wired goroutine comes back to its thread, on whatever P.
TEST_P(Block, LockedToItsThread) {
  RunGo([] {
    for (int procs : {1, 2}) {
      Procs p(procs);
      go_wg wg{};
      for (int k = 0; k < 3; k++) {
        SPAWN_WG(&wg, [&] {
          go_lock_thread();
          pthread_t self = pthread_self();
          for (int i = 0; i < Rounds(200); i++) {
            Blocking([&] {
              EXPECT_TRUE(pthread_equal(self, pthread_self()));
              if (i % 3 == 0) (void)go_sleep(nullptr, GO_US);
            });
            EXPECT_TRUE(pthread_equal(self, pthread_self()));
            go_yield();
            EXPECT_TRUE(pthread_equal(self, pthread_self()));
          }
          go_unlock_thread();
        });
      }
      go_wg_wait(&wg);
    }
  });
}

// Go: TestPreemptionAfterSyscall.
TEST_P(Block, ManyShortCalls) {
  RunGo([] {
    Procs p(2);
    for (unsigned us : {10u, 100u, 1000u}) {
      go_wg wg{};
      for (int i = 0; i < 8; i++) {
        SPAWN_WG(&wg, [us] {
          for (unsigned n = 0; n < Rounds(20000) / us; n++) Blocking([us] { usleep(us); });
        });
      }
      go_wg_wait(&wg);
    }
  });
}

// Go: TestStopTheWorldDeadlock's kin: the number of Ps changes while goroutines are outside.
TEST_P(Block, ProcsChangeMeanwhile) {
  RunGo([] {
    std::atomic<bool> stop{false};
    go_wg wg{};
    for (int i = 0; i < 6; i++) {
      SPAWN_WG(&wg, [&, i] {
        while (!stop) {
          Blocking([&] { usleep(static_cast<unsigned>(i) * 30); });
          if (i % 2 != 0) go_yield();
        }
      });
    }
    Rng rng(5);
    for (int i = 0; i < Rounds(300); i++) {
      (void)go_procs(1 + static_cast<int>(rng.Below(5)));
      (void)go_sleep(nullptr, 100 * GO_US);
    }
    stop = true;
    go_wg_wait(&wg);
  });
}

// It is waited for, and its threads go.
TEST_P(Block, Shutdown) {
  Pipe gate;
  std::atomic<bool> inside{false};
  auto body = [&] {
    Blocking([&] {
      inside = true;
      gate.Read();
    });
  };
  MustStart(SpawnAt("x@y:1", body));
  while (!inside) std::this_thread::yield();
  EXPECT_EQ(go_shutdown(GO_MS), GO_ETIMEDOUT);
  gate.Write('x');
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  EXPECT_EQ(go_count(), 0);
  RunGo([] { Blocking([] {}); });
}

// No thread can be made for the others: they wait until this one is back.
TEST_P(Block, NoThreadForTheOthers) {
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  go_config cfg{};
  cfg.procs = 1;
  cfg.max_threads = 1;
  EXPECT_EQ(go_init(&cfg), 0);
  RunGo([] {
    go_wg wg{};
    std::atomic<int> ran{0};
    for (int i = 0; i < 50; i++) {
      SPAWN_WG(&wg, [&] {
        Blocking([] { usleep(10); });
        ran++;
      });
      Blocking([] { usleep(10); });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(ran.load(), 50);
  });
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
}

TEST_P(Block, Embedded) {
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  go_config cfg{};
  cfg.embedded = true;
  EXPECT_EQ(go_init(&cfg), 0);
  int ran = 0;
  RunGo([&] {
    go_wg wg{};
    SPAWN_WG(&wg, [&] {
      Blocking([&] {
        ran++;
        go_yield();  // as if nothing were
        ran++;
      });
    });
    Blocking([&] { go_wg_wait(&wg); });
  });
  EXPECT_EQ(ran, 2);
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
}

// Hooks see the goroutine leave the thread that they saw it come to.
TEST_P(Block, Hooks) {
  struct Seen {
    std::atomic<int> in{0}, out{0}, wrong{0};
  };
  static Seen seen;
  static thread_local uint64_t now;
  static const go_hooks hooks = [] {
    go_hooks h{};
    h.switch_in = [](void *, uint64_t id) {
      seen.in++;
      if (now != 0) seen.wrong++;
      now = id;
    };
    h.switch_out = [](void *, uint64_t id) {
      seen.out++;
      if (now != id) seen.wrong++;
      now = 0;
    };
    return h;
  }();
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  seen.in = seen.out = seen.wrong = 0;
  go_set_hooks(&hooks);
  RunGo([] {
    Procs p(2);
    go_wg wg{};
    for (int i = 0; i < 10; i++) {
      SPAWN_WG(&wg, [] {
        for (int k = 0; k < 100; k++) {
          Blocking([] { sched_yield(); });
          if (k % 7 == 0) go_yield();
        }
      });
    }
    go_wg_wait(&wg);
  });
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  go_set_hooks(nullptr);
  EXPECT_GT(seen.in.load(), 10);
  EXPECT_EQ(seen.in.load(), seen.out.load());
  EXPECT_EQ(seen.wrong.load(), 0);
}

#if !defined(_WIN32)
// A child that was forked inside may leave the function, and go on to _exit.
TEST_P(Block, Fork) {
  RunGo([] {
    const pid_t parent = getpid();
    Blocking([] {
      pid_t pid = fork();
      if (pid == 0) return;
      int status = 0;
      EXPECT_EQ(waitpid(pid, &status, 0), pid);
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 5) << status;
    });
    if (getpid() != parent) _exit(5);
  });
}
#endif

}  // namespace
