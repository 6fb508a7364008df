// The watchdog, in processes of their own: what it says of goroutines that are in user code for long, and that they go on as if
// nobody had looked. Stacks are as far as frame pointers go: not in code that is compiled without, such as the C library's.
#include <golib/golib.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/support/child.h"
#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

int RunMain(int (*fn)(int, char **)) { return go_main(fn, 0, nullptr); }

void SpinFor(go_nsec ns) {
  for (go_nsec until = go_now() + ns; go_now() < until;) {}
}

int HogWithName(int, char **) {
  go_spawn_opts o{};
  o.name = "cruncher";
  static go_wg wg;
  go_wg_add(&wg, 1);
  CHILD_CHECK(go_spawn_opt_site_(
                  "crunch@watch.c:7", &o,
                  [](void *) {
                    SpinFor(400 * GO_MS);
                    go_wg_done(&wg);
                  },
                  nullptr, 0) == 0);
  go_wg_wait(&wg);
  (void)go_sleep(nullptr, 100 * GO_MS);
  return 0;
}

constexpr char kLine[] =
    "golib: watchdog: goroutine 2 \"cruncher\" spawned at crunch@watch.c:7 has been in user code "
    "for ";

// Where the system can tell, the line ends in a colon and return addresses follow.
bool HasStack(const ChildResult &r) { return r.Said(" ms:\n  ") && !r.Said("cannot be seen"); }

TEST(Watchdog, TellsOnce) {
  for (const char *procs : {"1", "2"}) {
    ChildResult r = RunChild([=] {
      SetEnv("GOMAXPROCS", procs);
      SetEnv("GOLIB_WATCHDOG", "50");
      return RunMain(HogWithName);
    });
    EXPECT_EQ(r.code, 0) << r;
    EXPECT_EQ(r.Count(kLine), 1) << r;
    EXPECT_TRUE(HasStack(r)) << r;
  }
}

TEST(Watchdog, ByConfig) {
  ChildResult r = RunChild([] {
    go_config cfg{};
    cfg.procs = 1;
    cfg.watchdog = 50 * GO_MS;
    CHILD_CHECK(go_init(&cfg) == 0);
    return RunMain(HogWithName);
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_EQ(r.Count(kLine), 1) << r;
}

TEST(Watchdog, OffByDefault) {
  ChildResult r = RunChild([] { return RunMain(HogWithName); });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_EQ(r.err, "");
}

TEST(Watchdog, Embedded) {
  ChildResult r = RunChild([] {
    go_config cfg{};
    cfg.embedded = true;
    cfg.watchdog = 50 * GO_MS;
    CHILD_CHECK(go_init(&cfg) == 0);
    CHILD_CHECK(go_spawn_site_(
                    "crunch@watch.c:9", [](void *) { SpinFor(300 * GO_MS); }, nullptr, 0) == 0);
    CHILD_CHECK(go_step(10) == 1);
    return 0;
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_EQ(r.Count("golib: watchdog: goroutine 1 spawned at crunch@watch.c:9"), 1) << r;
  EXPECT_TRUE(HasStack(r)) << r;
}

// One line a second, however many there are; the next one counts the others.
TEST(Watchdog, Rate) {
  ChildResult r = RunChild([] {
    SetEnv("GOLIB_WATCHDOG", "30");
    return RunMain([](int, char **) {
      for (int i = 0; i < 6; i++) {
        CHILD_CHECK(go_spawn([](void *) { SpinFor(1500 * GO_MS); }, nullptr) == 0);
      }
      go_nsec until = go_now() + 2 * GO_SEC;
      while (go_now() < until) (void)go_sleep(nullptr, 100 * GO_MS);
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_GE(r.Count("golib: watchdog:"), 1) << r;
  EXPECT_LE(r.Count("golib: watchdog:"), 3) << r;
}

// ---- stacks

std::atomic<bool> watched_stop;

extern "C" {
__attribute__((noinline)) void WatchedInner() {
  while (!watched_stop) {
    for (int i = 0; i < 100000; i++) __asm__ volatile("");
  }
  __asm__ volatile("");
}
__attribute__((noinline)) void WatchedOuter(go_nsec ns) {
  watched_stop = false;
  CHILD_CHECK(go_spawn_site_(
                  "stop@watch.c:1",
                  [](void *after) {
                    (void)go_sleep(nullptr, *static_cast<go_nsec *>(after));
                    watched_stop = true;
                  },
                  &ns, sizeof ns) == 0);
  WatchedInner();
  __asm__ volatile("");
}
__attribute__((noinline)) void WatchedClock(go_nsec ns) {
  for (go_nsec until = go_now() + ns; go_now() < until;) {}
  __asm__ volatile("");
}
__attribute__((noinline)) void WatchedSorts(go_nsec ns) {
  static int v[200000];
  for (go_nsec until = go_now() + ns; go_now() < until;) {
    for (int i = 0; i < 200000; i++) v[i] = i * 7919 % 200003;
    qsort(v, 200000, sizeof v[0], [](const void *a, const void *b) {
      int x = *static_cast<const int *>(a), y = *static_cast<const int *>(b);
      return x < y ? -1 : x > y;
    });
  }
  __asm__ volatile("");
}
__attribute__((noinline)) void WatchedReads(int fd) {
  char c;
  for (ssize_t n; (n = read(fd, &c, 1)) != 1;) CHILD_CHECK(n == -1 && errno == EINTR);
  __asm__ volatile("");
}
__attribute__((noinline)) void WatchedCalls(int fd) {
  WatchedReads(fd);
  __asm__ volatile("");
}
// Until there is hardly room for a frame of the kernel below.
__attribute__((noinline)) int WatchedDeep(const char *top, go_nsec ns) {
  char here[256];
  memset(here, static_cast<int>(ns & 1), sizeof here);
  __asm__ volatile("" : : "r"(here) : "memory");
  int n = top - here < 6 * 1024 ? WatchedDeep(top, ns) : (SpinFor(ns), 0);
  __asm__ volatile("");
  return n + here[0];
}
}

// One goroutine that does it, and has done it when main ends.
template <class F>
int Beside(F f, size_t stack = 0) {
  static go_wg wg;
  go_spawn_opts o{};
  o.stack_size = stack;
  go_wg_add(&wg, 1);
  MustStart(SpawnOptAt("hog@watch.c:1", o, [f] {
    f();
    go_wg_done(&wg);
  }));
  go_wg_wait(&wg);
  return 0;
}

TEST(Stack, NamesWhoIsAtIt) {
  for (const char *procs : {"1", "2", "8"}) {
    ChildResult r = RunChild([=] {
      SetEnv("GOMAXPROCS", procs);
      SetEnv("GOLIB_WATCHDOG", "50");
      return RunMain([](int, char **) { return Beside([] { WatchedOuter(400 * GO_MS); }); });
    });
    EXPECT_EQ(r.code, 0) << r;
    EXPECT_TRUE(HasStack(r)) << r;
    EXPECT_GE(r.Count("  WatchedOuter+0x") + r.Count("  WatchedInner+0x"), 1) << r;
    EXPECT_EQ(r.Count("golib: watchdog:"), 1) << r;
  }
}

// Called by code without frame pointers, and calling such (libc, and what the kernel gives for the clock).
TEST(Stack, ThroughTheCLibrary) {
  if (kSanitized) GTEST_SKIP() << "functions of the sanitizer's are in between";
  for (auto *f : {WatchedClock, WatchedSorts}) {
    ChildResult r = RunChild([=] {
      SetEnv("GOLIB_WATCHDOG", "50");
      static void (*fn)(go_nsec);
      fn = f;
      return RunMain([](int, char **) {
        return Beside([] {
          fn(400 * GO_MS);
          __asm__ volatile("");
        });
      });
    });
    EXPECT_EQ(r.code, 0) << r;
    EXPECT_TRUE(HasStack(r)) << r;
    EXPECT_EQ(r.Count("  go_g_entry_+0x"), 1) << r;  // up to the end
  }
}

// Also of a thread that is blocked in a call of the system, which goes on (SA_RESTART).
TEST(Stack, InACallOfTheSystem) {
  ChildResult r = RunChild([] {
    SetEnv("GOLIB_WATCHDOG", "50");
    return RunMain([](int, char **) {
      static int fds[2];
      CHILD_CHECK(pipe(fds) == 0);
      CHILD_CHECK(go_spawn(
                      [](void *) {
                        (void)go_sleep(nullptr, 300 * GO_MS);
                        CHILD_CHECK(write(fds[1], "x", 1) == 1);
                      },
                      nullptr) == 0);
      return Beside([] { WatchedCalls(fds[0]); });
    });
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_TRUE(HasStack(r)) << r;
  if (!kSanitized) {  // they have functions of their own in between
    EXPECT_GE(r.Count("  WatchedCalls+0x"), 1) << r;
  }
}

// In libc's own functions, with or without its locks held: whatever can be seen, it goes on as if nothing was.
TEST(Stack, InTheCLibrary) {
  ChildResult r = RunChild([] {
    SetEnv("GOLIB_WATCHDOG", "30");
    return RunMain([](int, char **) {
      return Beside([] {
        for (go_nsec until = go_now() + 400 * GO_MS; go_now() < until;) {
          char *p = static_cast<char *>(malloc(100000));
          memset(p, 'x', 100000);
          char text[64];
          snprintf(text, sizeof text, "%.10f", static_cast<double>(p[99999]));
          CHILD_CHECK(text[0] == '1');
          free(p);
        }
      });
    });
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_TRUE(HasStack(r)) << r;
}

// The handler runs on the alternate stack, so that there need not be room on the goroutine's.
TEST(Stack, Small) {
  ChildResult r = RunChild([] {
    SetEnv("GOLIB_WATCHDOG", "50");
    return RunMain([](int, char **) {
      return Beside(
          [] {
            char top;
            (void)WatchedDeep(&top, 400 * GO_MS);
          },
          kSanitized ? size_t{1} << 20 : 16384);
    });
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_TRUE(HasStack(r)) << r;
  EXPECT_GE(r.Count("  WatchedDeep"), 5) << r;
}

// On the program's own thread, too.
TEST(Stack, OfMain) {
  ChildResult r = RunChild([] {
    go_config cfg{};
    cfg.main_thread = true;
    cfg.watchdog = 50 * GO_MS;
    CHILD_CHECK(go_init(&cfg) == 0);
    return RunMain([](int, char **) {
      WatchedOuter(400 * GO_MS);
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_TRUE(r.Said("golib: watchdog: goroutine 1 started by go_main has been")) << r;
  EXPECT_GE(r.Count("  WatchedOuter+0x") + r.Count("  WatchedInner+0x"), 1) << r;
}

// ---- the signal

volatile sig_atomic_t theirs;
void OnTheirs(int) { theirs = theirs + 1; }

// SIGURG unless the program wants another; signals that are the program's own reach its handler, and it is there again after go_shutdown.
TEST(Signal, IsShared) {
  for (int sig : {0, SIGUSR1}) {
    ChildResult r = RunChild([=] {
      struct sigaction theirs_sa {};
      theirs_sa.sa_handler = OnTheirs;
      int used = sig != 0 ? sig : SIGURG;
      CHILD_CHECK(sigaction(used, &theirs_sa, nullptr) == 0);
      go_config cfg{};
      cfg.watchdog = 50 * GO_MS;
      cfg.preempt_signal = sig;
      CHILD_CHECK(go_init(&cfg) == 0);
      CHILD_CHECK(kill(getpid(), used) == 0);
      while (theirs == 0) {}
      RunGo([] { (void)Beside([] { WatchedOuter(300 * GO_MS); }); });
      CHILD_CHECK(theirs == 1);
      CHILD_CHECK(go_shutdown(GO_FOREVER) == 0);
      struct sigaction now {};
      CHILD_CHECK(sigaction(used, nullptr, &now) == 0 && now.sa_handler == OnTheirs);
      return 0;
    });
    EXPECT_EQ(r.code, 0) << r;
    EXPECT_TRUE(HasStack(r)) << r;
  }
}

// No watchdog, no signal.
TEST(Signal, OnlyWithAWatchdog) {
  ChildResult r = RunChild([] {
    CHILD_CHECK(go_init(nullptr) == 0);
    struct sigaction now {};
    CHILD_CHECK(sigaction(SIGURG, nullptr, &now) == 0 && now.sa_handler == SIG_DFL);
    return 0;
  });
  EXPECT_EQ(r.code, 0) << r;
}

TEST(Signal, Wrong) {
  ChildResult r = RunChild([] {
    go_config cfg{};
    cfg.watchdog = GO_SEC;
    for (int sig : {SIGKILL, SIGSEGV, 4711}) {
      cfg.preempt_signal = sig;
      CHILD_CHECK(go_init(&cfg) == GO_EINVAL);
    }
    return 0;
  });
  EXPECT_EQ(r.code, 0) << r;
}

// A thread that has the signal blocked does not answer: the report comes without a stack, and later ones come as well.
TEST(Signal, Blocked) {
  ChildResult r = RunChild([] {
    SetEnv("GOLIB_WATCHDOG", "50");
    return RunMain([](int, char **) {
      return Beside([] {
        sigset_t set, old;
        sigemptyset(&set);
        sigaddset(&set, SIGURG);
        CHILD_CHECK(pthread_sigmask(SIG_BLOCK, &set, &old) == 0);
        SpinFor(1500 * GO_MS);
        CHILD_CHECK(pthread_sigmask(SIG_SETMASK, &old, nullptr) == 0);
        go_yield();
        WatchedOuter(400 * GO_MS);
      });
    });
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_EQ(r.Count("; its thread does not answer with its stack\n"), 1) << r;
  EXPECT_GE(r.Count("  WatchedOuter+0x") + r.Count("  WatchedInner+0x"), 1) << r;
}

}  // namespace
