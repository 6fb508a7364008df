// The deadlock detector: what it reports, and what it must not take for a deadlock.

#include <golib/golib.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/support/child.h"

using golib_test::ChildResult;
using golib_test::RunChild;

namespace {

const char kAllAsleep[] = "fatal: all goroutines are asleep - deadlock!";
const char kMainExited[] = "fatal: no goroutines (main called go_exit) - deadlock!";

int RunMain(int (*fn)(int, char **)) { return go_main(fn, 0, nullptr); }

go_chan *NewChan(size_t cap = 0) {
  go_chan *c = go_chan_new(sizeof(int), cap);
  CHILD_CHECK(c != nullptr);
  return c;
}

// Each blocked goroutine is named with the reason and the place it was started at.
void ExpectReport(const ChildResult &r, const char *reason) {
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_EQ(r.Count(kAllAsleep), 1) << r;
  EXPECT_TRUE(r.Said(reason)) << r;
  EXPECT_TRUE(r.Said("goroutine 1")) << r;
}

// ---- Go: TestSimpleDeadlock (runtime/crash_test.go), for every way to wait.

TEST(Deadlock, ReceiveInMain) {
  ExpectReport(
      RunChild([] {
        return RunMain([](int, char **) { return go_chan_recv(NewChan(), nullptr) ? 1 : 0; });
      }),
      "chan receive");
}

TEST(Deadlock, SendInMain) {
  ExpectReport(RunChild([] {
                 return RunMain([](int, char **) {
                   int v = 1;
                   go_chan_send(NewChan(), &v);
                   return 0;
                 });
               }),
               "chan send");
}

TEST(Deadlock, FullBuffer) {
  ExpectReport(RunChild([] {
                 return RunMain([](int, char **) {
                   go_chan *c = NewChan(2);
                   for (int i = 0; i < 3; i++) go_chan_send(c, &i);
                   return 0;
                 });
               }),
               "chan send");
}

TEST(Deadlock, NilChannels) {
  ExpectReport(
      RunChild([] {
        return RunMain([](int, char **) { return go_chan_recv(nullptr, nullptr) ? 1 : 0; });
      }),
      "chan receive (nil chan)");
  ExpectReport(RunChild([] {
                 return RunMain([](int, char **) {
                   int v = 1;
                   go_chan_send(nullptr, &v);
                   return 0;
                 });
               }),
               "chan send (nil chan)");
}

TEST(Deadlock, Select) {
  ExpectReport(RunChild([] {
                 return RunMain([](int, char **) {
                   go_case k[2] = {};
                   k[0].ch = NewChan();
                   k[1].ch = NewChan();
                   return go_select(nullptr, k, 2);
                 });
               }),
               "select");
}

TEST(Deadlock, SelectOverNothing) {
  ExpectReport(
      RunChild([] { return RunMain([](int, char **) { return go_select(nullptr, nullptr, 0); }); }),
      "select (no cases)");
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      go_case k[2] = {};  // two nil channels
      return go_select(nullptr, k, 2);
    });
  });
  ExpectReport(r, "select");
}

// Whoever could have sent has ended, and nobody has closed the channel.
TEST(Deadlock, AllSendersGone) {
  for (const char *procs : {"1", "2"}) {
    ChildResult r = RunChild([=] {
      golib_test::SetEnv("GOMAXPROCS", procs);
      return RunMain([](int, char **) {
        static go_chan *c = NewChan();
        for (int i = 0; i < 4; i++) {
          CHILD_CHECK(go_spawn(
                          [](void *) {
                            for (int v = 0; v < 5; v++) go_chan_send(c, &v);
                          },
                          nullptr) == 0);
        }
        int v, n = 0;
        while (go_chan_recv(c, &v)) fprintf(stderr, "%d of 20\n", ++n);
        return 0;
      });
    });
    ExpectReport(r, "chan receive");
    EXPECT_EQ(r.Count(" of 20\n"), 20) << r;
  }
}

TEST(Deadlock, WaitGroup) {
  ExpectReport(RunChild([] {
                 return RunMain([](int, char **) {
                   go_wg wg{};
                   go_wg_add(&wg, 1);
                   go_wg_wait(&wg);
                   return 0;
                 });
               }),
               "wait group");
}

TEST(Deadlock, Mutex) {
  ExpectReport(RunChild([] {
                 return RunMain([](int, char **) {
                   go_mutex mu{};
                   go_mutex_lock(&mu);
                   go_mutex_lock(&mu);
                   return 0;
                 });
               }),
               "mutex lock");
}

// A sleep for ever is no timer.
TEST(Deadlock, SleepForEver) {
  ExpectReport(
      RunChild([] { return RunMain([](int, char **) { return go_sleep(nullptr, GO_FOREVER); }); }),
      "sleep");
}

GO_FUNC(reader, (go_chan *, c)) {
  go_set_name("the reader");
  go_chan_recv(c, nullptr);
}
GO_FUNC(writer, (go_chan *, c)) {
  int v = 1;
  for (;;) go_chan_send(c, &v);
}

// Every goroutine is listed, with its reason, name, and where it was started.
TEST(Deadlock, ListsEveryGoroutine) {
  static int line;
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      CHILD_CHECK(GO(reader, NewChan()) == 0);
      CHILD_CHECK(GO(writer, NewChan(3)) == 0);
      go_wg wg{};
      go_wg_add(&wg, 1);
      go_wg_wait(&wg);
      return 0;
    });
  });
  line = __LINE__ - 8;  // of GO(reader)
  ExpectReport(r, "wait group");
  EXPECT_TRUE(r.Said("chan receive")) << r;
  EXPECT_TRUE(r.Said("chan send")) << r;
  EXPECT_TRUE(r.Said("the reader")) << r;
  EXPECT_TRUE(r.Said("deadlock_crash_test.cc:" + std::to_string(line))) << r;
  EXPECT_TRUE(r.Said("deadlock_crash_test.cc:" + std::to_string(line + 1))) << r;
  EXPECT_TRUE(r.Said("reader@")) << r;
  EXPECT_TRUE(r.Said("writer@")) << r;
}

// Go: TestInitDeadlock is about package initialisation: nothing in C answers to it.

// Go: TestLockedDeadlock (runtime/crash_test.go): main wired to its thread.
TEST(Deadlock, LockedMain) {
  ExpectReport(RunChild([] {
                 return RunMain([](int, char **) {
                   go_lock_thread();
                   return go_chan_recv(NewChan(), nullptr) ? 1 : 0;
                 });
               }),
               "chan receive");
}

// Go: TestLockedDeadlock2: another one wired as well.
TEST(Deadlock, LockedOthers) {
  ExpectReport(RunChild([] {
                 return RunMain([](int, char **) {
                   CHILD_CHECK(go_spawn(
                                   [](void *) {
                                     go_lock_thread();
                                     go_chan_recv(NewChan(), nullptr);
                                   },
                                   nullptr) == 0);
                   go_lock_thread();
                   return go_select(nullptr, nullptr, 0);
                 });
               }),
               "select");
}

// With go_config.main_thread.
TEST(Deadlock, OnTheMainThread) {
  ExpectReport(
      RunChild([] {
        go_config cfg{};
        cfg.main_thread = true;
        CHILD_CHECK(go_init(&cfg) == 0);
        return RunMain([](int, char **) { return go_chan_recv(NewChan(), nullptr) ? 1 : 0; });
      }),
      "chan receive");
}

// With several Ps, after they have had work.
TEST(Deadlock, AfterWorkOnManyPs) {
  ExpectReport(RunChild([] {
                 return RunMain([](int, char **) {
                   (void)go_procs(8);
                   go_wg wg{};
                   for (int i = 0; i < 200; i++) {
                     go_wg_add(&wg, 1);
                     CHILD_CHECK(go_spawn(
                                     [](void *p) {
                                       go_yield();
                                       (void)go_sleep(nullptr, 100 * GO_US);
                                       go_wg_done(static_cast<go_wg *>(p));
                                     },
                                     &wg) == 0);
                   }
                   go_wg_wait(&wg);
                   return go_chan_recv(NewChan(), nullptr) ? 1 : 0;
                 });
               }),
               "chan receive");
}

// While golib is still giving back the stacks of a spike: its own timer is no goroutine's.
TEST(Deadlock, AfterASpike) {
  ExpectReport(RunChild([] {
                 return RunMain([](int, char **) {
                   go_chan *gate = NewChan();
                   go_wg wg{};
                   struct A {
                     go_chan *gate;
                     go_wg *wg;
                   } a{gate, &wg};
                   for (int i = 0; i < 1000; i++) {
                     go_wg_add(&wg, 1);
                     CHILD_CHECK(go_spawn_copy(
                                     [](void *p) {
                                       A *args = static_cast<A *>(p);
                                       (void)go_chan_recv(args->gate, nullptr);
                                       go_wg_done(args->wg);
                                     },
                                     &a, sizeof a) == 0);
                   }
                   go_yield();
                   go_chan_close(gate);
                   go_wg_wait(&wg);
                   return go_chan_recv(NewChan(), nullptr) ? 1 : 0;
                 });
               }),
               "chan receive");
}

// In go_run's goroutine, called from a plain thread.
TEST(Deadlock, InGoRun) {
  ExpectReport(
      RunChild([] {
        CHILD_CHECK(go_run([](void *) { go_chan_recv(NewChan(), nullptr); }, nullptr) != 1);
        return 0;
      }),
      "chan receive");
}

// Plain threads that wait in golib can wake nobody either.
TEST(Deadlock, WithPlainThreadsThatWaitToo) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      std::vector<std::thread> threads;
      for (int i = 0; i < 3; i++) threads.emplace_back([] { go_chan_recv(NewChan(), nullptr); });
      threads.emplace_back([] {
        go_wg wg{};
        go_wg_add(&wg, 1);
        go_wg_wait(&wg);
      });
      return go_chan_recv(NewChan(), nullptr) ? 1 : 0;
    });
  });
  ExpectReport(r, "chan receive");
}

// Without any goroutine: only plain threads, all of which wait in golib.
TEST(Deadlock, OnlyPlainThreads) {
  ChildResult r = RunChild([] {
    std::thread other([] { go_chan_recv(NewChan(), nullptr); });
    go_chan_recv(NewChan(), nullptr);
    other.join();
    return 0;
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_EQ(r.Count(kAllAsleep), 1) << r;
}

// Go: TestGoexitDeadlock (runtime/crash_test.go): main has ended by go_exit; the others end as
// well.
TEST(Deadlock, MainCalledExit) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) -> int {
      CHILD_CHECK(go_spawn([](void *) { (void)go_sleep(nullptr, 5 * GO_MS); }, nullptr) == 0);
      CHILD_CHECK(go_spawn([](void *) { go_yield(); }, nullptr) == 0);
      go_exit();
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said(kMainExited)) << r;
}

TEST(Deadlock, MainCalledExitAlone) {
  ChildResult r = RunChild([] { return RunMain([](int, char **) -> int { go_exit(); }); });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said(kMainExited)) << r;
}

// Main has ended by go_exit, and others sleep for ever: they are the deadlock.
TEST(Deadlock, MainCalledExitOthersBlocked) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) -> int {
      CHILD_CHECK(GO(reader, NewChan()) == 0);
      go_exit();
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("deadlock!")) << r;
  EXPECT_TRUE(r.Said("chan receive")) << r;
}

// After go_exit of main the others run to their ends, as long as that takes.
TEST(Deadlock, MainCalledExitOthersFinish) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) -> int {
      CHILD_CHECK(go_spawn(
                      [](void *) {
                        for (int i = 0; i < 20; i++) (void)go_sleep(nullptr, GO_MS);
                        _exit(33);
                      },
                      nullptr) == 0);
      go_exit();
    });
  });
  EXPECT_EQ(r.code, 33) << r;
  EXPECT_EQ(r.err, "");
}

// ---- What is no deadlock.

// A sleeper will send.
TEST(NoDeadlock, SleepingGoroutine) {
  for (int procs : {1, 4}) {
    ChildResult r = RunChild([procs] {
      go_config cfg{};
      cfg.procs = procs;
      CHILD_CHECK(go_init(&cfg) == 0);
      return RunMain([](int, char **) {
        go_chan *c = NewChan();
        struct A {
          go_chan *c;
        } a{c};
        for (int i = 0; i < 5; i++) {
          CHILD_CHECK(go_spawn_copy(
                          [](void *p) {
                            (void)go_sleep(nullptr, 20 * GO_MS);
                            int v = 7;
                            go_chan_send(static_cast<A *>(p)->c, &v);
                          },
                          &a, sizeof a) == 0);
          int v = 0;
          CHILD_CHECK(go_chan_recv(c, &v) && v == 7);
        }
        return 0;
      });
    });
    EXPECT_EQ(r.code, 0) << r;
  }
}

// Main itself sleeps.
TEST(NoDeadlock, SleepingMain) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      CHILD_CHECK(GO(reader, NewChan()) == 0);
      return go_sleep(nullptr, 50 * GO_MS);
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

// Go: TestOverflowSleep (time/sleep_test.go): a duration near the end of time never fires, and is
// not for ever either.
TEST(NoDeadlock, VeryLongSleep) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      static std::atomic<int> woken;
      for (go_nsec d : {GO_FOREVER - 1, GO_FOREVER - GO_HOUR, GO_FOREVER / 2}) {
        CHILD_CHECK(go_spawn_copy(
                        [](void *p) {
                          (void)go_sleep(nullptr, *static_cast<go_nsec *>(p));
                          woken++;
                        },
                        &d, sizeof d) == 0);
      }
      (void)go_sleep(nullptr, 50 * GO_MS);
      CHILD_CHECK(woken == 0);
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

// A plain thread that knows golib already will send.
TEST(NoDeadlock, PlainThreadWillSend) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      static go_chan *c;
      c = NewChan();
      std::thread t([] {
        for (int i = 0; i < 5; i++) {
          usleep(20000);
          go_chan_send(c, &i);
        }
      });
      for (int i = 0; i < 5; i++) {
        int v = -1;
        CHILD_CHECK(go_chan_recv(c, &v) && v == i);
      }
      t.join();
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

// A plain thread that was there before golib was.
TEST(NoDeadlock, OlderPlainThreadWillSend) {
  ChildResult r = RunChild([] {
    static std::atomic<go_chan *> c{nullptr};
    std::thread t([] {
      while (c == nullptr) usleep(1000);
      usleep(100000);
      int v = 3;
      go_chan_send(c, &v);
    });
    t.detach();
    return RunMain([](int, char **) {
      go_chan *mine = NewChan();
      c = mine;
      int v = 0;
      CHILD_CHECK(go_chan_recv(mine, &v));
      return v;
    });
  });
  EXPECT_EQ(r.code, 3) << r;
}

// A plain thread that sleeps in golib will send.
TEST(NoDeadlock, PlainThreadInGoSleep) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      static go_chan *c;
      c = NewChan();
      std::thread t([] {
        for (int i = 0; i < 3; i++) {
          (void)go_sleep(nullptr, 50 * GO_MS);
          go_chan_send(c, &i);
        }
      });
      for (int i = 0; i < 3; i++) {
        int v = -1;
        CHILD_CHECK(go_chan_recv(c, &v) && v == i);
      }
      t.join();
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

// A goroutine that is in a system call will send.
TEST(NoDeadlock, GoroutineInASystemCall) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      static go_chan *c;
      c = NewChan();
      CHILD_CHECK(go_spawn(
                      [](void *) {
                        usleep(100000);
                        int v = 3;
                        go_chan_send(c, &v);
                      },
                      nullptr) == 0);
      int v = 0;
      CHILD_CHECK(go_chan_recv(c, &v));
      return v;
    });
  });
  EXPECT_EQ(r.code, 3) << r;
}

// go_run's goroutine waits for the thread that calls go_run next.
// Goroutines that go on computing on Ps which go_procs has taken away, while all others wait. For
// different times, as one of them may be on the P that stays.
TEST(NoDeadlock, OnAPThatIsToGo) {
  ChildResult r = RunChild([] {
    go_procs(4);
    return RunMain([](int, char **) {
      static std::atomic<int> running{0};
      static std::atomic<bool> lower{false};
      static go_wg wg;
      for (int i = 0; i < 3; i++) {
        go_wg_add(&wg, 1);
        CHILD_CHECK(go_spawn_copy(
                        [](void *p) {
                          int nth = *static_cast<int *>(p);
                          running++;
                          while (!lower) {}
                          go_nsec until = go_now() + (1 + 2 * nth) * 50 * GO_MS;
                          while (go_now() < until) {}
                          go_wg_done(&wg);
                        },
                        &i, sizeof i) == 0);
      }
      while (running < 3) go_yield();
      lower = true;
      go_procs(1);
      go_wg_wait(&wg);
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

TEST(NoDeadlock, BetweenGoRuns) {
  ChildResult r = RunChild([] {
    static go_chan *c;
    c = NewChan();
    for (int i = 0; i < 3; i++) {
      CHILD_CHECK(go_run(
                      [](void *) {
                        CHILD_CHECK(
                            go_spawn([](void *) { (void)go_chan_recv(c, nullptr); }, nullptr) == 0);
                        go_yield();
                      },
                      nullptr) == 0);
      usleep(20000);
      CHILD_CHECK(go_run(
                      [](void *) {
                        int v = 1;
                        go_chan_send(c, &v);
                      },
                      nullptr) == 0);
    }
    return 0;
  });
  EXPECT_EQ(r.code, 0) << r;
}

// Several plain threads in go_run at the same time wait for each other.
TEST(NoDeadlock, GoRunsThatMeet) {
  ChildResult r = RunChild([] {
    static go_chan *c;
    c = NewChan();
    std::thread t([] {
      usleep(50000);
      CHILD_CHECK(go_run(
                      [](void *) {
                        int v = 1;
                        go_chan_send(c, &v);
                      },
                      nullptr) == 0);
    });
    CHILD_CHECK(go_run([](void *) { (void)go_chan_recv(c, nullptr); }, nullptr) == 0);
    t.join();
    return 0;
  });
  EXPECT_EQ(r.code, 0) << r;
}

// Programs that come close to it again and again: one goroutine runs at a time and the rest wait.
TEST(NoDeadlock, TokenRing) {
  for (int procs : {1, 2, 8}) {
    ChildResult r = RunChild([procs] {
      go_config cfg{};
      cfg.procs = procs;
      CHILD_CHECK(go_init(&cfg) == 0);
      return RunMain([](int, char **) {
        static go_chan *ring[16];
        for (auto &c : ring) c = NewChan();
        for (intptr_t i = 0; i < 15; i++) {
          CHILD_CHECK(go_spawn(
                          [](void *p) {
                            intptr_t at = reinterpret_cast<intptr_t>(p);
                            for (int v; go_chan_recv(ring[at], &v);) go_chan_send(ring[at + 1], &v);
                          },
                          reinterpret_cast<void *>(i)) == 0);
        }
        for (int i = 0; i < 3000; i++) {
          go_chan_send(ring[0], &i);
          int v = -1;
          CHILD_CHECK(go_chan_recv(ring[15], &v) && v == i);
          if (i % 500 == 0) (void)go_sleep(nullptr, GO_MS);
        }
        return 0;
      });
    });
    EXPECT_EQ(r.code, 0) << r;
  }
}

// Timers that are armed when everybody else is going to sleep, many times over.
TEST(NoDeadlock, ShortSleepsOnIdlePs) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      (void)go_procs(4);
      for (int i = 0; i < 300; i++) {
        go_wg wg{};
        for (int j = 0; j < 4; j++) {
          go_wg_add(&wg, 1);
          CHILD_CHECK(go_spawn(
                          [](void *p) {
                            (void)go_sleep(nullptr, 50 * GO_US);
                            go_wg_done(static_cast<go_wg *>(p));
                          },
                          &wg) == 0);
        }
        go_wg_wait(&wg);
      }
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

}  // namespace
