// golib inside another event loop: go_config.embedded, go_step, go_wake_fd, go_step_wait. A loop of
// poll(2) stands for all.

#include <dirent.h>
#include <fcntl.h>
#include <golib/context.h>
#include <golib/golib.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/support/golib_test.h"

using golib_test::Chan;
using golib_test::Rounds;

namespace {

bool Readable(int fd, int ms = 0) {
  struct pollfd p = {fd, POLLIN, 0};
  int n;
  do {
    n = poll(&p, 1, ms);
  } while (n < 0 && errno == EINTR);
  return n == 1 && (p.revents & POLLIN) != 0;
}

int Threads() {
  int n = 0;
  DIR *d = opendir("/proc/self/task");
  while (d != nullptr && readdir(d) != nullptr) n++;
  if (d != nullptr) closedir(d);
  return n;
}

go_config Embedded() {
  go_config c{};
  c.embedded = true;
  return c;
}

class Step : public testing::Test {
 protected:
  void SetUp() override {
    go_config c = Embedded();
    ASSERT_EQ(go_init(&c), 0);
    fd_ = go_wake_fd();
    ASSERT_GE(fd_, 0);
    Drain();
  }
  void TearDown() override { EXPECT_EQ(go_shutdown(GO_FOREVER), 0); }

  // Runs all that can run now.
  static int Drain(int budget = 1000) {
    int all = 0, n;
    while ((n = go_step(budget)) > 0) all += n;
    EXPECT_EQ(n, 0) << go_strerror(n);
    return all;
  }
  // A loop: waits and steps until done() holds.
  template <class F>
  void Loop(F done, int budget = 10) {
    while (!done()) {
      EXPECT_TRUE(Readable(fd_, -1));
      EXPECT_GE(go_step(budget), 0);
    }
  }

  int fd_ = -1;
};

TEST_F(Step, NothingRunsOutsideIt) {
  bool ran = false;
  SPAWN([&] { ran = true; });
  EXPECT_FALSE(ran);
  EXPECT_TRUE(Readable(fd_));
  EXPECT_EQ(go_step_wait(), 0);
  EXPECT_EQ(go_step(10), 1);
  EXPECT_TRUE(ran);
  EXPECT_FALSE(Readable(fd_));
  EXPECT_EQ(go_step(10), 0);
}

TEST_F(Step, StartsNoThreadsAndStaysOnOne) {
  int before = Threads();
  pthread_t host = pthread_self();
  int ran = 0;
  for (int i = 0; i < 100; i++) {
    go_spawn_opts o{};
    o.pinned = i % 2 == 0;
    golib_test::MustStart(golib_test::SpawnOptAt(GO_SITE_("pinned"), o, [&, i] {
      go_lock_thread();
      go_yield();
      EXPECT_TRUE(pthread_equal(host, pthread_self()));
      go_procs(4);
      EXPECT_EQ(go_procs(0), 1);
      if (i % 3 != 0) go_unlock_thread();
      (void)go_sleep(nullptr, GO_US);
      EXPECT_TRUE(pthread_equal(host, pthread_self()));
      ran++;
    }));
  }
  Loop([&] { return ran == 100; });
  EXPECT_EQ(Threads(), before);
}

// A turn ends with a yield, a wait or the end: they are counted to the one.
TEST_F(Step, BudgetIsExact) {
  for (int budget : {1, 2, 3, 7, 61, 62, 63, 1000, 1000000}) {
    constexpr int kGs = 20, kYields = 9;
    int done = 0;
    for (int g = 0; g < kGs; g++) {
      SPAWN([&] {
        for (int i = 0; i < kYields; i++) go_yield();
        done++;
      });
    }
    int left = kGs * (kYields + 1);
    while (left > 0) {
      EXPECT_TRUE(Readable(fd_)) << budget;
      EXPECT_EQ(go_step_wait(), 0);
      int ran = go_step(budget);
      ASSERT_EQ(ran, left < budget ? left : budget) << budget;
      left -= ran;
    }
    EXPECT_EQ(done, kGs);
    EXPECT_EQ(go_step(budget), 0);
    EXPECT_FALSE(Readable(fd_));
  }
}

// Also of one that is alone, and of one that only asks whether it should yield.
TEST_F(Step, ALoneLoopGivesTheThreadBack) {
  bool stop = false;
  SPAWN([&] {
    while (!stop) go_yield();
  });
  for (int i = 0; i < 10; i++) EXPECT_EQ(go_step(5), 5);
  stop = true;
  EXPECT_EQ(go_step(5), 1);
  stop = false;
  SPAWN([&] {
    while (!stop) (void)go_checkpoint();
  });
  for (int i = 0; i < 10; i++) EXPECT_EQ(go_step(5), 5);
  stop = true;
  EXPECT_EQ(go_step(5), 1);
}

// Two that hand a value to and fro keep nobody else waiting for ever.
TEST_F(Step, OthersRunBesideAPair) {
  Chan<int> a, b;
  bool stop = false;
  int ran = 0;
  SPAWN([&, a, b] {
    for (int v = 0; a.Recv(&v);) b.Send(v);
    b.Close();
  });
  SPAWN([&, a, b] {
    int v = 0;
    while (!stop) {
      a.Send(v);
      (void)b.Recv(&v);
    }
    a.Close();
  });
  for (int i = 0; i < 10; i++) SPAWN([&] { ran++; });
  while (ran < 10) EXPECT_GT(go_step(3), 0);
  stop = true;
  Drain();
}

TEST_F(Step, ATimerMakesItReadable) {
  bool woke = false;
  go_nsec began = go_now();
  SPAWN([&] {
    EXPECT_EQ(go_sleep(nullptr, 5 * GO_MS), 0);
    woke = true;
  });
  EXPECT_EQ(Drain(), 1);
  go_nsec wait = go_step_wait();
  EXPECT_GE(wait, 0);
  EXPECT_LE(wait, 5 * GO_MS);
  while (!woke) {
    EXPECT_TRUE(Readable(fd_, -1));
    EXPECT_GE(go_step(10), 0);
  }
  EXPECT_GE(go_now() - began, 5 * GO_MS);
  EXPECT_FALSE(Readable(fd_));
}

// Whoever reckons the time-out does not need the descriptor for timers.
TEST_F(Step, ATimerByTimeOut) {
  int ticks = 0;
  SPAWN([&] {
    for (; ticks < 5; ticks++) (void)go_sleep(nullptr, GO_MS);
  });
  while (ticks < 5) {
    go_nsec wait = go_step_wait();
    ASSERT_NE(wait, GO_FOREVER);
    (void)Readable(fd_, static_cast<int>((wait + GO_MS - 1) / GO_MS));
    ASSERT_GE(go_step(10), 0);
  }
  Drain();
}

TEST_F(Step, AnEarlierTimerShortensTheWait) {
  Chan<int> stop(1);
  SPAWN([=] {
    go_ctx *ctx = go_ctx_with_timeout(nullptr, GO_HOUR);
    int v;
    EXPECT_EQ(go_chan_recv_ctx(ctx, stop.get(), &v), 0);
    go_ctx_unref(ctx);
  });
  Drain();
  EXPECT_GT(go_step_wait(), GO_MIN);
  bool woke = false;
  SPAWN([&] {
    (void)go_sleep(nullptr, 2 * GO_MS);
    woke = true;
  });
  Drain();
  EXPECT_LT(go_step_wait(), GO_MIN);
  Loop([&] { return woke; });
  stop.Send(1);
  Drain();
}

TEST_F(Step, AThreadPosts) {
  std::atomic<int> ran{0};
  std::thread t([&] {
    EXPECT_EQ(go_post([](void *p) { (*static_cast<std::atomic<int> *>(p))++; }, &ran), 0);
  });
  Loop([&] { return ran == 1; });
  t.join();
}

TEST_F(Step, AThreadSendsAndReceives) {
  Chan<int> to, from;
  int sum = 0;
  SPAWN([&, to, from] {
    for (int v; to.Recv(&v); sum += v) from.Send(v + 1);
  });
  std::atomic<bool> done{false};
  std::thread t([&] {
    for (int i = 0; i < 100; i++) {
      to.Send(i);
      EXPECT_EQ(from.Take(), i + 1);
    }
    to.Close();
    done = true;
    EXPECT_EQ(go_post([](void *) {}, nullptr), 0);
  });
  Loop([&] { return done.load(); });
  t.join();
  Drain();
  EXPECT_EQ(sum, 4950);
}

// In another epoll, as in most event loops.
TEST_F(Step, InsideAnotherEpoll) {
  int outer = epoll_create1(EPOLL_CLOEXEC);
  ASSERT_GE(outer, 0);
  struct epoll_event ev {};
  ev.events = EPOLLIN;
  ASSERT_EQ(epoll_ctl(outer, EPOLL_CTL_ADD, fd_, &ev), 0);
  int ticks = 0;
  SPAWN([&] {
    for (; ticks < 10; ticks++) {
      (void)go_sleep(nullptr, 200 * GO_US);
      go_yield();
    }
  });
  while (ticks < 10) {
    int n = epoll_wait(outer, &ev, 1, -1);
    if (n < 0 && errno == EINTR) continue;
    EXPECT_EQ(n, 1);
    EXPECT_GE(go_step(1), 0);
  }
  Drain();
  EXPECT_EQ(epoll_wait(outer, &ev, 1, 0), 0);
  close(outer);
}

// Work on pool threads comes back to the loop; go_blocking stays on it.
TEST_F(Step, ForeignCode) {
  pthread_t host = pthread_self();
  bool elsewhere = false, here = false, done = false;
  SPAWN([&] {
    auto other = [&] { elsewhere = !pthread_equal(host, pthread_self()); };
    EXPECT_EQ(go_offload(nullptr, golib_test::CallRef<decltype(other)>, golib_test::RefOf(other)),
              0);
    auto same = [&] { here = pthread_equal(host, pthread_self()); };
    go_blocking(golib_test::CallRef<decltype(same)>, golib_test::RefOf(same));
    done = true;
  });
  Loop([&] { return done; });
  EXPECT_TRUE(elsewhere);
  EXPECT_TRUE(here);
}

TEST_F(Step, ATimerThatAThreadStarts) {
  static go_timer timer;
  bool fired = false;
  std::thread([&] {
    EXPECT_EQ(go_timer_start(
                  &timer, GO_MS, [](void *p) { *static_cast<bool *>(p) = true; }, &fired),
              0);
  }).join();
  Loop([&] { return fired; });
}

// ---- The host waits in golib itself, outside go_step.

TEST_F(Step, TheHostMayRun) {
  int x = 0;
  EXPECT_EQ(golib_test::TryRunGo([&] {
              (void)go_sleep(nullptr, GO_MS);
              x = 1;
            }),
            0);
  EXPECT_EQ(x, 1);
  EXPECT_EQ(golib_test::TryRunGo([] { go_exit(); }), 0);
  go_set_panic_handler([](const go_panic_info *) {});
  EXPECT_EQ(golib_test::TryRunGo([] { go_panic("boo"); }), GO_EPANIC);
  go_set_panic_handler(nullptr);
}

TEST_F(Step, TheHostMayWait) {
  Chan<int> c, d;
  SPAWN([=] {
    for (int i = 0; i < 10; i++) {
      c.Send(i);
      (void)go_sleep(nullptr, 100 * GO_US);
    }
    int v = d.Take();
    c.Send(v);
  });
  for (int i = 0; i < 10; i++) EXPECT_EQ(c.Take(), i);
  d.Send(77);
  EXPECT_EQ(c.Take(), 77);

  go_mutex mu{};
  go_mutex_lock(&mu);
  SPAWN([&] {
    (void)go_sleep(nullptr, GO_MS);
    go_mutex_unlock(&mu);
  });
  go_mutex_lock(&mu);
  go_mutex_unlock(&mu);

  go_wg wg{};
  int sum = 0;
  for (int i = 0; i < 10; i++) {
    SPAWN_WG(&wg, [&sum, i] {
      (void)go_sleep(nullptr, 100 * GO_US);
      sum += i;
    });
  }
  go_wg_wait(&wg);
  EXPECT_EQ(sum, 45);
}

TEST_F(Step, TheHostMaySleep) {
  int ticks = 0;
  SPAWN([&] {
    for (; ticks < 3; ticks++) (void)go_sleep(nullptr, 500 * GO_US);
  });
  do {  // once, but on a machine that is busy for so long
    go_nsec began = go_now();
    EXPECT_EQ(go_sleep(nullptr, 20 * GO_MS), 0);
    EXPECT_GE(go_now() - began, 20 * GO_MS);
  } while (ticks < 3);
}

// Woken by another thread, with nothing to run.
TEST_F(Step, AThreadWakesTheHost) {
  for (int i = 0; i < Rounds(200); i++) {
    Chan<int> c;
    std::thread t([=] { c.Send(i); });
    EXPECT_EQ(c.Take(), i);
    t.join();
  }
}

TEST_F(Step, AThreadWaitsForTheHost) {
  std::atomic<bool> done{false};
  std::thread t([&] {
    int x = 0;
    EXPECT_EQ(golib_test::TryRunGo([&] {
                (void)go_sleep(nullptr, GO_MS);
                x = 5;
              }),
              0);
    EXPECT_EQ(x, 5);
    done = true;
    EXPECT_EQ(go_post([](void *) {}, nullptr), 0);
  });
  Loop([&] { return done.load(); });
  t.join();
}

// Everybody waits for ever, as far as golib can see: no report, for the loop may know more.
TEST_F(Step, NoDeadlockReport) {
  Chan<int> c;
  std::atomic<bool> waits{false}, done{false};
  SPAWN([=] {
    int v;
    EXPECT_FALSE(c.Recv(&v));
  });
  std::thread t([&] {
    waits = true;
    int v;
    EXPECT_FALSE(c.Recv(&v));
    done = true;
  });
  Drain();
  while (!waits) sched_yield();
  EXPECT_FALSE(Readable(fd_, 40));  // longer than the report would take
  EXPECT_EQ(go_step_wait(), GO_FOREVER);
  c.Close();
  t.join();
  Drain();
  EXPECT_TRUE(done);
}

TEST_F(Step, ExceptionsOfTheHostStayItsOwn) {
  int caught = 0;
  SPAWN([&] {
    for (int i = 0; i < 3; i++) {
      try {
        throw std::runtime_error("goroutine");
      } catch (const std::runtime_error &) {
        go_yield();
        caught++;
      }
    }
  });
  try {
    throw std::logic_error("host");
  } catch (const std::logic_error &) {
    EXPECT_EQ(go_step(2), 2);
    EXPECT_EQ(go_step(100), 2);
    EXPECT_NE(std::current_exception(), nullptr);
  }
  EXPECT_EQ(caught, 3);
}

// ---- Errors.

TEST_F(Step, Errors) {
  EXPECT_EQ(go_step(0), GO_EINVAL);
  EXPECT_EQ(go_step(-1), GO_EINVAL);
  std::thread([] { EXPECT_EQ(go_step(1), GO_EBUSY); }).join();
  std::thread([] {
    (void)go_sleep(nullptr, 1);  // known to golib
    EXPECT_EQ(go_step(1), GO_EBUSY);
  }).join();
  int r = 0;
  SPAWN([&] { r = go_step(1); });
  Drain();
  EXPECT_EQ(r, GO_EDEADLK);
  std::thread([this] { EXPECT_EQ(go_wake_fd(), fd_); }).join();
}

TEST(StepOff, NotEmbedded) {
  EXPECT_EQ(go_step(1), GO_EINVAL);
  EXPECT_EQ(go_wake_fd(), GO_EINVAL);
  EXPECT_EQ(go_step_wait(), 0);
  golib_test::RunGo([] {
    EXPECT_EQ(go_step(1), GO_EINVAL);
    EXPECT_EQ(go_wake_fd(), GO_EINVAL);
  });
  EXPECT_EQ(go_step(1), GO_EINVAL);
  EXPECT_EQ(go_step_wait(), 0);
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
}

TEST(StepOff, Config) {
  go_config c = Embedded();
  c.procs = 2;
  EXPECT_EQ(go_init(&c), GO_EINVAL);
  c.procs = 0;
  c.main_thread = true;
  EXPECT_EQ(go_init(&c), GO_EINVAL);
  c = Embedded();
  c.procs = 1;
  EXPECT_EQ(go_init(&c), 0);
  EXPECT_EQ(go_init(&c), GO_EBUSY);
  EXPECT_EQ(go_shutdown(0), 0);
}

TEST(StepOff, NoDescriptorLeft) {
  go_config c = Embedded();
  ASSERT_EQ(go_init(&c), 0);
  int highest = dup(0);
  ASSERT_GE(highest, 0);
  close(highest);
  struct rlimit old, none;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
  none = old;
  none.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
#if defined(GOLIB_TEST_KQUEUE)
  EXPECT_GE(go_wake_fd(), 0);  // timers need none
#else
  EXPECT_EQ(go_wake_fd(), -EMFILE);
#endif
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
  EXPECT_GE(go_wake_fd(), 0);
  EXPECT_EQ(go_shutdown(0), 0);
}

// ---- Stopping.

TEST(StepOff, ShutdownRunsWhatIsLeft) {
  for (int i = 0; i < 3; i++) {
    go_config c = Embedded();
    ASSERT_EQ(go_init(&c), 0);
    int done = 0;
    for (int k = 0; k < 10; k++) {
      SPAWN([&] {
        (void)go_sleep(nullptr, GO_MS);
        done++;
      });
    }
    EXPECT_EQ(go_shutdown(0), GO_ETIMEDOUT);
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
    EXPECT_EQ(done, 10);
    golib_test::RunGo([] {});  // as it is without
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  }
}

TEST(StepOff, AnotherHost) {
  std::thread([] {
    go_config c = Embedded();
    ASSERT_EQ(go_init(&c), 0);
    int x = 0;
    SPAWN([&] { x = 1; });
    EXPECT_EQ(go_step(10), 1);
    EXPECT_EQ(x, 1);
  }).join();
  EXPECT_EQ(go_shutdown(0), 0);
}

TEST(StepOff, LimitOfGoroutines) {
  go_config c = Embedded();
  c.max_goroutines = 3;
  ASSERT_EQ(go_init(&c), 0);
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 3; i++) EXPECT_EQ(go_post([](void *) {}, nullptr), 0);
    EXPECT_EQ(go_post([](void *) {}, nullptr), GO_EAGAIN);
    EXPECT_EQ(go_step(10), 3);
  }
  EXPECT_EQ(go_shutdown(0), 0);
}

}  // namespace
