// Starting, sharing and stopping the scheduler.

#include <dirent.h>
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

// Threads of this process.
int ThreadCount() {
  DIR *d = opendir("/proc/self/task");
  if (d == nullptr) return -1;
  int n = 0;
  while (struct dirent *e = readdir(d)) {
    if (e->d_name[0] != '.') n++;
  }
  closedir(d);
  return n;
}

class Runtime : public testing::Test {
 protected:
  // Each test begins and ends without a scheduler.
  void SetUp() override { EXPECT_EQ(go_shutdown(GO_FOREVER), 0); }
  void TearDown() override { EXPECT_EQ(go_shutdown(GO_FOREVER), 0); }
};

TEST_F(Runtime, RunCallsAndReturns) {
  int x = 0;
  EXPECT_EQ(go_run([](void *p) { *static_cast<int *>(p) = 42; }, &x), 0);
  EXPECT_EQ(x, 42);
}

TEST_F(Runtime, RunManyTimes) {
  int n = 0;
  for (int i = 0; i < Rounds(5000); i++) RunGo([&] { n++; });
  EXPECT_EQ(n, Rounds(5000));
}

// go_run from several plain threads at the same time.
TEST_F(Runtime, RunFromManyThreads) {
  std::atomic<int> n{0};
  std::vector<std::thread> threads;
  constexpr int kThreads = 8, kEach = Rounds(300);
  for (int t = 0; t < kThreads; t++) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; i++) {
        RunGo([&] {
          Chan<int> c(0);
          SPAWN([c] { c.Send(1); });
          go_yield();
          n += c.Take();
        });
      }
    });
  }
  for (auto &t : threads) t.join();
  EXPECT_EQ(n, kThreads * kEach);
}

// The first use of golib by several threads at once starts one scheduler.
TEST_F(Runtime, FirstUseByManyThreads) {
  for (int round = 0; round < 20; round++) {
    std::atomic<int> n{0};
    std::atomic<bool> go{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; t++) {
      threads.emplace_back([&] {
        while (!go) std::this_thread::yield();
        RunGo([&] { n++; });
      });
    }
    go = true;
    for (auto &t : threads) t.join();
    EXPECT_EQ(n, 8);
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  }
}

TEST_F(Runtime, RunReturnsWhileOthersGoOn) {
  Chan<int> c(0), done(0);
  RunGo([&] { SPAWN([c, done] { done.Send(c.Take() + 1); }); });
  // The goroutine survived its maker's go_run.
  c.Send(41);
  EXPECT_EQ(done.Take(), 42);
}

TEST_F(Runtime, RunTellsOfAPanic) {
  go_set_panic_handler([](const go_panic_info *) {});
  EXPECT_EQ(TryRunGo([] { go_panic("run %d", 1); }), GO_EPANIC);
  // And nothing is the worse for it.
  RunGo([] {});
  go_set_panic_handler(nullptr);
}

TEST_F(Runtime, RunEndsByExit) {
  bool after = false;
  EXPECT_EQ(TryRunGo([&] {
              go_exit();
              after = true;
            }),
            0);
  EXPECT_FALSE(after);
}

TEST_F(Runtime, RunOnAGoroutineIsRefused) {
  RunGo([] {
    int x = 0;
    EXPECT_EQ(go_run([](void *p) { *static_cast<int *>(p) = 1; }, &x), GO_EDEADLK);
    EXPECT_EQ(x, 0);
  });
}

// ---- go_main.

TEST_F(Runtime, MainReturnsWhatTheFunctionReturns) {
  char arg0[] = "program", arg1[] = "x";
  char *argv[] = {arg0, arg1, nullptr};
  EXPECT_EQ(go_main(
                [](int argc, char **args) {
                  EXPECT_EQ(argc, 2);
                  EXPECT_STREQ(args[0], "program");
                  EXPECT_STREQ(args[1], "x");
                  EXPECT_EQ(args[2], nullptr);
                  return 7;
                },
                2, argv),
            7);
  EXPECT_EQ(go_main([](int, char **) { return 0; }, 0, nullptr), 0);
}

// Go: TestMainGoroutineID (runtime/proc_test.go).
TEST_F(Runtime, MainIsNumberOne) {
  EXPECT_EQ(go_main([](int, char **) { return static_cast<int>(go_id()); }, 0, nullptr), 1);
}

TEST_F(Runtime, MainDoesNotWaitForOthers) {
  static Chan<int> *never = new Chan<int>(0);  // may not even have begun to wait when this ends
  EXPECT_EQ(go_main(
                [](int, char **) {
                  SPAWN([] { (void)never->Recv(nullptr); });
                  go_yield();
                  return 3;
                },
                0, nullptr),
            3);
  never->Close();  // lets it end
}

// ---- go_init.

TEST_F(Runtime, InitTakesEffect) {
  go_config cfg{};
  cfg.procs = 3;
  EXPECT_EQ(go_init(&cfg), 0);
  EXPECT_EQ(go_procs(0), 3);
  RunGo([] { EXPECT_EQ(go_procs(0), 3); });
}

TEST_F(Runtime, InitNullMeansDefaults) {
  EXPECT_EQ(go_init(nullptr), 0);
  RunGo([] {});
}

TEST_F(Runtime, InitWhenRunningIsBusy) {
  go_config cfg{};
  EXPECT_EQ(go_init(&cfg), 0);
  EXPECT_EQ(go_init(&cfg), GO_EBUSY);
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  RunGo([] {});
  EXPECT_EQ(go_init(&cfg), GO_EBUSY);
  EXPECT_EQ(go_init(nullptr), GO_EBUSY);
  RunGo([&] { EXPECT_EQ(go_init(&cfg), GO_EBUSY); });
}

TEST_F(Runtime, InitRefusesNonsense) {
  const size_t bad_stacks[] = {1,
                               4096,
                               (16 << 10) - 1,
                               (static_cast<size_t>(1) << 30) + 1,
                               static_cast<size_t>(1) << 40,
                               SIZE_MAX};
  for (size_t size : bad_stacks) {
    go_config cfg{};
    cfg.stack_size = size;
    EXPECT_EQ(go_init(&cfg), GO_EINVAL) << size;
  }
  go_config cfg{};
  cfg.procs = -1;
  EXPECT_EQ(go_init(&cfg), GO_EINVAL);
  cfg = go_config{};
  cfg.max_threads = -1;
  EXPECT_EQ(go_init(&cfg), GO_EINVAL);
  cfg = go_config{};
  cfg.max_goroutines = -1;
  EXPECT_EQ(go_init(&cfg), GO_EINVAL);
  // Refused means not started.
  cfg = go_config{};
  EXPECT_EQ(go_init(&cfg), 0);
}

TEST_F(Runtime, InitStackSizes) {
  for (size_t size : {static_cast<size_t>(16) << 10, static_cast<size_t>(64) << 10,
                      static_cast<size_t>(1) << 20, static_cast<size_t>(1) << 30}) {
    go_config cfg{};
    cfg.stack_size = size;
    EXPECT_EQ(go_init(&cfg), 0) << size;
    std::atomic<int> n{0};
    for (int i = 0; i < 10; i++) {
      EXPECT_EQ(go_run([](void *p) { ++*static_cast<std::atomic<int> *>(p); }, &n), 0);
    }
    EXPECT_EQ(n, 10);
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  }
}

TEST_F(Runtime, MaxGoroutines) {
  go_config cfg{};
  cfg.max_goroutines = 10;
  EXPECT_EQ(go_init(&cfg), 0);
  RunGo([] {
    for (int round = 0; round < 20; round++) {
      Chan<Unit> stop(0);
      go_wg wg{};
      int started = 0, rc = 0;
      while (started < 100) {
        rc = SpawnWgAt("limit", &wg, [&] { (void)stop.Recv(nullptr); });
        if (rc != 0) break;
        started++;
      }
      EXPECT_EQ(rc, GO_EAGAIN);
      EXPECT_EQ(started, 9) << "ten with this one";
      EXPECT_EQ(SpawnAt("limit", [] {}), GO_EAGAIN) << "and remains so";
      stop.Close();
      go_wg_wait(&wg);  // the failed start did not count
      Until([] { return go_count() == 1; });
    }
  });
}

// With few threads allowed, wired and blocking goroutines take turns or are refused; nothing dies.
TEST_F(Runtime, MaxThreads) {
  go_config cfg{};
  cfg.max_threads = 4;
  cfg.procs = 2;
  EXPECT_EQ(go_init(&cfg), 0);
  RunGo([] {
    std::atomic<int> n{0};
    go_wg wg{};
    for (int i = 0; i < 50; i++) {
      SPAWN_WG(&wg, [&] {
        usleep(1000);
        go_yield();
        n++;
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(n, 50);
  });
}

// ---- go_shutdown.

TEST_F(Runtime, ShutdownJoinsTheThreads) {
  int before = ThreadCount();
  for (int round = 0; round < 20; round++) {
    RunGo([] {
      Procs procs(4);
      go_wg wg{};
      for (int i = 0; i < 100; i++) {
        SPAWN_WG(&wg, [i] {
          if (i % 10 == 0) go_lock_thread();
          (void)go_sleep(nullptr, i % 7 * 100 * GO_US);
          go_yield();
        });
      }
      go_wg_wait(&wg);
    });
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
    // A thread may be seen for a moment after it was joined.
    for (int i = 0; i < 1000 && ThreadCount() > before; i++) usleep(1000);
    EXPECT_EQ(ThreadCount(), before);
  }
}

TEST_F(Runtime, ShutdownTwiceAndUnused) {
  EXPECT_EQ(go_shutdown(0), 0);
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  RunGo([] {});
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  EXPECT_EQ(go_shutdown(0), 0);
  EXPECT_EQ(go_count(), 0);
}

TEST_F(Runtime, ShutdownWaitsAndGivesUp) {
  Chan<int> c(0);
  std::atomic<bool> ended{false};
  RunGo([&] {
    SPAWN([&] {
      (void)c.Recv(nullptr);
      ended = true;
    });
  });
  go_nsec t0 = go_now();
  EXPECT_EQ(go_shutdown(20 * GO_MS), GO_ETIMEDOUT);
  EXPECT_GE(go_now() - t0, 20 * GO_MS);
  EXPECT_EQ(go_shutdown(0), GO_ETIMEDOUT);
  // It runs on.
  RunGo([] { go_yield(); });
  Until([] { return go_count() == 1; });
  c.Close();
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  EXPECT_TRUE(ended);
}

TEST_F(Runtime, ShutdownWaitsForSleepers) {
  std::atomic<int> n{0};
  RunGo([&] {
    for (int i = 0; i < 10; i++) {
      SPAWN([&] {
        (void)go_sleep(nullptr, 20 * GO_MS);
        n++;
      });
    }
  });
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  EXPECT_EQ(n, 10);
}

TEST_F(Runtime, ShutdownOnAGoroutineIsRefused) {
  RunGo([] { EXPECT_EQ(go_shutdown(0), GO_EDEADLK); });
}

TEST_F(Runtime, StartsAnewAfterShutdown) {
  for (int round = 0; round < Rounds(100); round++) {
    Chan<int> c(0);
    RunGo([&] {
      SPAWN([c, round] { c.Send(round); });
      EXPECT_EQ(c.Take(), round);
      (void)go_sleep(nullptr, 10 * GO_US);
    });
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  }
}

// Channels, mutexes and wait groups do not belong to the scheduler: they live on.
TEST_F(Runtime, ObjectsOutliveTheScheduler) {
  Chan<int> c(2);
  go_mutex mu{};
  go_wg wg{};
  RunGo([&] {
    c.Send(1);
    go_mutex_lock(&mu);
    go_wg_add(&wg, 1);
  });
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  EXPECT_EQ(c.Take(), 1);
  RunGo([&] {
    go_mutex_unlock(&mu);
    go_wg_done(&wg);
    go_wg_wait(&wg);
    c.Send(2);
  });
  EXPECT_EQ(c.Take(), 2);
}

// ---- go_post.

TEST_F(Runtime, PostFromThreads) {
  static std::atomic<int> n;
  n = 0;
  std::vector<std::thread> threads;
  constexpr int kThreads = 4, kEach = Rounds(1000);
  for (int t = 0; t < kThreads; t++) {
    threads.emplace_back([] {
      for (int i = 0; i < kEach; i++) EXPECT_EQ(go_post([](void *) { n++; }, nullptr), 0);
    });
  }
  for (auto &t : threads) t.join();
  Until([] { return n == kThreads * kEach; });
}

TEST_F(Runtime, PostFromAGoroutine) {
  RunGo([] {
    Chan<int> c(0);
    EXPECT_EQ(go_post(
                  [](void *p) {
                    int v = 5;
                    go_chan_send(static_cast<go_chan *>(p), &v);
                  },
                  c.get()),
              0);
    EXPECT_EQ(c.Take(), 5);
  });
}

// ---- Texts.

TEST_F(Runtime, ErrorTexts) {
#define EXPECT_NAMED(name, value, text)     \
  EXPECT_STREQ(go_error_name(name), #name); \
  EXPECT_STREQ(go_strerror(name), text);
  GO_ERRORS(EXPECT_NAMED)
#undef EXPECT_NAMED
  EXPECT_STREQ(go_strerror(0), "success");
  EXPECT_STREQ(go_strerror(5), "success");
  EXPECT_EQ(go_error_name(0), nullptr);
  EXPECT_EQ(go_error_name(-9999), nullptr);
  EXPECT_NE(go_strerror(-ENOENT), nullptr);
  EXPECT_NE(go_strerror(-9999), nullptr);
  EXPECT_NE(go_strerror(INT32_MIN), nullptr);
  EXPECT_STREQ(go_version(), GO_VERSION);
}

TEST_F(Runtime, ErrnoIsOfThisThread) {
  RunGo([] {
    errno = 7;
    EXPECT_EQ(go_errno(), 7);
    go_lock_thread();
    errno = 9;
    go_yield();
    (void)go_sleep(nullptr, 100 * GO_US);
    EXPECT_GE(go_errno(), 0);
    go_unlock_thread();
  });
}

// A dump shows every goroutine: number, name, wait reason, where it was started.
std::string Dump() {
  char path[] = "/tmp/golib_dump_XXXXXX";
  const char *dir = getenv("TEST_TMPDIR");
  std::string name = dir != nullptr ? std::string(dir) + "/dump_XXXXXX" : path;
  int fd = mkstemp(&name[0]);
  if (fd < 0) return "";
  unlink(name.c_str());
  go_dump(fd);
  std::string all;
  char buf[4096];
  lseek(fd, 0, SEEK_SET);
  for (ssize_t n; (n = read(fd, buf, sizeof buf)) > 0;) all.append(buf, static_cast<size_t>(n));
  close(fd);
  return all;
}

// Go: TestNumGoroutine (runtime/proc_test.go): as many goroutines in a dump as go_count says.
TEST_F(Runtime, DumpListsAsManyAsThereAre) {
  RunGo([] {
    Until([] { return go_count() == 1; });
    Chan<Unit> stop(0);
    go_wg wg{};
    constexpr int kGos = 37;
    std::atomic<int> waiting{0};
    for (int i = 0; i < kGos; i++) {
      SPAWN_WG(&wg, [&] {
        waiting++;
        (void)stop.Recv(nullptr);
      });
    }
    Until([&] { return waiting == kGos; });
    EXPECT_EQ(go_count(), kGos + 1);
    std::string d = Dump();
    int lines = 0;
    for (size_t at = 0; (at = d.find("goroutine ", at)) != std::string::npos; at++) {
      if (at == 0 || d[at - 1] == '\n') lines++;
    }
    EXPECT_EQ(lines, kGos + 1) << d;
    stop.Close();
    go_wg_wait(&wg);
  });
}

// Go: TestTracebackAncestors and friends (runtime/crash_test.go): dumps show creator and reason.
TEST_F(Runtime, DumpShowsEverybody) {
  RunGo([] {
    Chan<int> c(0);
    go_mutex mu{};
    go_wg wg{}, blocked{};
    go_mutex_lock(&mu);
    go_wg_add(&wg, 1);
    SPAWN_WG(&blocked, [&] {
      go_set_name("reader");
      (void)c.Recv(nullptr);
    });
    SPAWN_WG(&blocked, [&] {
      go_case k[] = {RecvCase(c), RecvCase(nullptr)};
      (void)Select(k);
    });
    SPAWN_WG(&blocked, [&] {
      go_mutex_lock(&mu);
      go_mutex_unlock(&mu);
    });
    SPAWN_WG(&blocked, [&] { go_wg_wait(&wg); });
    SPAWN_WG(&blocked, [] { (void)go_sleep(nullptr, 300 * GO_MS); });
    std::string d;
    auto has = [&](const char *s) { return d.find(s) != std::string::npos; };
    // They are on their way to where they wait.
    for (int i = 0; i < 100; i++) {
      Settle();
      d = Dump();
      if (has("chan receive") && has("select") && has("mutex") && has("wait group")) break;
    }
    EXPECT_TRUE(has("chan receive")) << d;
    EXPECT_TRUE(has("select")) << d;
    EXPECT_TRUE(has("mutex lock")) << d;
    EXPECT_TRUE(has("wait group")) << d;
    EXPECT_TRUE(has("\"reader\"")) << d;
    EXPECT_TRUE(has("runtime_test.cc:")) << d;
    EXPECT_TRUE(has("goroutine ")) << d;
    c.Close();
    go_mutex_unlock(&mu);
    go_wg_done(&wg);
    go_wg_wait(&blocked);
  });
  (void)Dump();  // without goroutines
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  (void)Dump();  // without a scheduler
}

}  // namespace
