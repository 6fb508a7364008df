// The scheduler: progress, fairness, parallelism, threads that goroutines are wired to, GOMAXPROCS.

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include "tests/support/golib_test.h"
#include "tests/support/hogs.h"
#include "tests/support/system.h"

using namespace golib_test;

namespace {

// ---- Go: TestYieldProgress, TestYieldLockedProgress (runtime/proc_test.go): a goroutine that
// polls and yields does not keep away the one it waits for.
void YieldProgress(bool locked) {
  RunGo([locked] {
    Procs procs(1);
    Chan<Unit> c(0);
    Chan<Unit> ack(0);
    SPAWN([c, ack, locked] {
      if (locked) go_lock_thread();
      for (;;) {
        go_case k[] = {RecvCase(c)};
        if (SelectTry(k) == 0) break;
        go_yield();
      }
      ack.Close();
    });
    (void)go_sleep(nullptr, 10 * GO_MS);
    c.Send(Unit{});
    EXPECT_FALSE(ack.Recv(nullptr));
  });
}
TEST(Yield, Progress) { YieldProgress(false); }
TEST(Yield, LockedProgress) { YieldProgress(true); }

// Each of the yielding goroutines gets its turns, however many the others have had.
TEST(Yield, LetsEverybodyRun) {
  RunGo([] {
    for (int procs_n : {1, 2, 4}) {
      Procs procs(procs_n);
      constexpr int kGos = 10, kTurns = 1000;
      go_wg wg{};
      std::atomic<int> turns[kGos] = {};
      std::atomic<bool> stop{false};
      for (int g = 0; g < kGos; g++) {
        SPAWN_WG(&wg, [&, g] {
          while (!stop) {
            turns[g]++;
            go_yield();
          }
        });
      }
      for (int g = 0; g < kGos; g++) {
        while (turns[g] < kTurns) go_yield();
      }
      stop = true;
      go_wg_wait(&wg);
    }
  });
}

// Nor do those that only yield keep those out that have not run yet.
TEST(Yield, LetsNewOnesRun) {
  RunGo([] {
    Procs procs(1);
    constexpr int kGos = 8, kNew = 200;
    go_wg wg{}, fresh{};
    std::atomic<int64_t> turns{0};
    std::atomic<bool> stop{false};
    for (int g = 0; g < kGos; g++) {
      SPAWN_WG(&wg, [&] {
        for (; !stop; go_yield()) turns++;
      });
    }
    go_yield();
    int64_t before = turns;
    for (int i = 0; i < kNew; i++) SPAWN_WG(&fresh, [] {});
    go_wg_wait(&fresh);
    EXPECT_LT(turns - before, 4 * kNew);
    stop = true;
    go_wg_wait(&wg);
  });
}

TEST(Yield, AloneReturns) {
  RunGo([] {
    for (int i = 0; i < 10000; i++) go_yield();
    for (int i = 0; i < 10000; i++) (void)go_checkpoint();
  });
}

// ---- Goroutines wired to their thread.

// Go: TestYieldLocked (runtime/proc_test.go).
TEST(LockThread, YieldsAndSleepsOnItsThread) {
  RunGo([] {
    Procs procs(2);
    Chan<Unit> done(0);
    SPAWN([done] {
      go_lock_thread();
      int tid = ThreadId();
      for (int i = 0; i < 20; i++) {
        go_yield();
        EXPECT_EQ(ThreadId(), tid);
        (void)go_sleep(nullptr, 100 * GO_US);
        EXPECT_EQ(ThreadId(), tid);
      }
      done.Close();  // and ends locked
    });
    EXPECT_FALSE(done.Recv(nullptr));
  });
}

// Go: TestBlockLocked (runtime/proc_test.go).
TEST(LockThread, BlocksOnChannels) {
  for (int procs_n : {1, 2}) {
    RunGo([procs_n] {
      Procs procs(procs_n);
      constexpr int n = 500;
      Chan<int> c(0);
      SPAWN([c] {
        go_lock_thread();
        int tid = ThreadId();
        for (int i = 0; i < n; i++) c.Send(i);
        EXPECT_EQ(ThreadId(), tid);
        go_unlock_thread();
      });
      for (int i = 0; i < n; i++) EXPECT_EQ(c.Take(), i);
    });
  }
}

TEST(LockThread, TwoLockedPingPong) {
  RunGo([] {
    Procs procs(2);
    constexpr int n = Rounds(2000);
    Chan<int> there(0), back(0);
    go_wg wg{};
    SPAWN_WG(&wg, [&] {
      go_lock_thread();
      int tid = ThreadId();
      for (int i = 0; i < n; i++) {
        there.Send(i);
        EXPECT_EQ(back.Take(), i);
      }
      EXPECT_EQ(ThreadId(), tid);
    });
    SPAWN_WG(&wg, [&] {
      go_lock_thread();
      int tid = ThreadId();
      for (int i = 0; i < n; i++) back.Send(there.Take());
      EXPECT_EQ(ThreadId(), tid);
    });
    go_wg_wait(&wg);
  });
}

// Go: TestLockOSThreadNesting (runtime/proc_test.go): as many unlocks as locks; more have no
// effect.
TEST(LockThread, Nests) {
  RunGo([] {
    Procs procs(4);
    go_wg busy{}, wg{};
    std::atomic<bool> stop{false};
    // Others to run on any thread that is free.
    for (int i = 0; i < 8; i++) {
      SPAWN_WG(&busy, [&] {
        while (!stop) go_yield();
      });
    }
    SPAWN_WG(&wg, [] {
      go_unlock_thread();  // not locked: no effect
      go_lock_thread();
      int tid = ThreadId();
      go_lock_thread();
      go_lock_thread();
      for (int locks = 3; locks > 0; locks--) {
        for (int i = 0; i < 300; i++) {
          go_yield();
          EXPECT_EQ(ThreadId(), tid) << "with " << locks << " locks";
        }
        go_unlock_thread();
      }
      go_unlock_thread();
      go_lock_thread();
      tid = ThreadId();
      for (int i = 0; i < 300; i++) {
        go_yield();
        EXPECT_EQ(ThreadId(), tid) << "after an unlock too many";
      }
      go_unlock_thread();
      for (int i = 0; i < 300; i++) go_yield();
    });
    go_wg_wait(&wg);
    stop = true;
    go_wg_wait(&busy);
  });
}

// Nothing else runs on a thread that a goroutine is wired to, and what it starts is not wired.
TEST(LockThread, NobodyElseRunsThere) {
  RunGo([] {
    Procs procs(4);
    go_wg locked{}, wg{};
    std::atomic<int> children{0};
    SPAWN_WG(&locked, [&] {
      go_lock_thread();
      int tid = ThreadId();
      for (int i = 0; i < 200; i++) {
        SPAWN_WG(&wg, [&, tid] {
          for (int j = 0; j < 3; j++) {
            EXPECT_NE(ThreadId(), tid);
            go_yield();
          }
          children++;
        });
        if (i % 10 == 0) go_yield();
      }
      go_wg_wait(&wg);
      EXPECT_EQ(ThreadId(), tid);
    });
    go_wg_wait(&locked);
    EXPECT_EQ(children, 200);
  });
}

// Go: TestLockOSThreadExit (runtime/proc_test.go): the thread of a goroutine that ends while
// locked ends.
TEST(LockThread, EndingLockedEndsTheThread) {
  RunGo([] {
    Procs procs(2);
    for (int i = 0; i < 10; i++) {
      go_wg wg{};
      int tid = 0;
      SPAWN_WG(&wg, [&, i] {
        go_lock_thread();
        if (i % 2 != 0) go_lock_thread();
        go_yield();
        tid = ThreadId();
        if (i % 3 == 0) go_exit();
      });
      go_wg_wait(&wg);
      EXPECT_NE(tid, static_cast<int>(getpid()));
      Until([&] { return !ThreadExists(tid); });
    }
  });
}

#if !defined(_WIN32)
// Go: TestLockOSThreadAvoidsStatePropagation (runtime/proc_test.go): what a wired goroutine did to
// its thread is seen by nobody else, also not by threads made on its behalf. Here: its signal
// mask.
bool Usr2Blocked() {
  sigset_t set;
  pthread_sigmask(SIG_SETMASK, nullptr, &set);
  return sigismember(&set, SIGUSR2) != 0;
}
TEST(LockThread, StateOfTheThreadStaysThere) {
  RunGo([] {
    Procs procs(4);
    std::atomic<int> seen{0};
    EXPECT_FALSE(Usr2Blocked());
    for (int round = 0; round < 5; round++) {
      go_wg outer{};
      SPAWN_WG(&outer, [&] {
        go_lock_thread();
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR2);
        pthread_sigmask(SIG_BLOCK, &set, nullptr);
        go_wg wg{};
        for (int i = 0; i < 20; i++) {
          SPAWN_WG(&wg, [&] {
            go_lock_thread();  // each on a thread of its own, most of them new
            seen += Usr2Blocked();
            go_yield();
            (void)go_sleep(nullptr, GO_MS);
            seen += Usr2Blocked();
          });
        }
        go_wg_wait(&wg);
        EXPECT_TRUE(Usr2Blocked());
      });
      go_wg_wait(&outer);
      seen += Usr2Blocked();
    }
    EXPECT_EQ(seen, 0);
  });
}
#endif

// The pinned option: as if it began with go_lock_thread().
TEST(LockThread, PinnedOption) {
  RunGo([] {
    Procs procs(2);
    go_wg wg{};
    go_wg_add(&wg, 1);
    go_spawn_opts o{};
    o.pinned = true;
    int tid = 0;
    EXPECT_EQ(SpawnOptAt(GO_SITE_("pinned"), o,
                         [&] {
                           tid = ThreadId();
                           for (int i = 0; i < 100; i++) {
                             go_yield();
                             EXPECT_EQ(ThreadId(), tid);
                           }
                           (void)go_sleep(nullptr, GO_MS);
                           EXPECT_EQ(ThreadId(), tid);
                           go_wg_done(&wg);
                         }),
              0);
    go_wg_wait(&wg);
    Until([&] { return !ThreadExists(tid); });
  });
}

// ---- Work conservation.

// Go: TestGoroutineParallelism (runtime/proc_test.go): P goroutines that spin until each has had
// its turn are all run at the same time.
void Parallel(int n, int turns) {
  Procs procs(n);
  std::atomic<int> turn{0};
  go_wg wg{};
  for (int p = 0; p < n; p++) {
    SPAWN_WG(&wg, [&, p] {
      for (int t = 0; t < turns; t++) {
        // A busy wait; the machine may have fewer CPUs than there are Ps.
        while (turn.load() != t * n + p) sched_yield();
        turn++;
      }
    });
  }
  go_wg_wait(&wg);
  EXPECT_EQ(turn, n * turns);
}

TEST(Parallelism, SpinnersRunTogether) {
  RunGo([] {
    for (int i = 0; i < 10; i++) Parallel(4, 200);
  });
}

// Go: TestGoroutineParallelism2: the same after threads were idle and parked.
TEST(Parallelism, SpinnersRunTogetherAfterIdling) {
  RunGo([] {
    for (int i = 0; i < 5; i++) {
      Parallel(4, 50);
      (void)go_sleep(nullptr, 5 * GO_MS);
      go_wg wg{};
      for (int j = 0; j < 4; j++) SPAWN_WG(&wg, [] { (void)go_sleep(nullptr, GO_MS); });
      go_wg_wait(&wg);
    }
  });
}

// Each spinner is started by the one before: a wake-up must not be lost when it comes from a busy
// P.
TEST(Parallelism, ChainOfSpinners) {
  RunGo([] {
    constexpr int n = 4;
    Procs procs(n);
    for (int round = 0; round < 50; round++) {
      std::atomic<int> here{0};
      go_wg wg{};
      auto spin = [&here] {
        here++;
        while (here.load() < n) sched_yield();
      };
      SPAWN_WG(&wg, [&] {
        SPAWN_WG(&wg, [&] {
          SPAWN_WG(&wg, [&] {
            SPAWN_WG(&wg, spin);
            spin();
          });
          spin();
        });
        spin();
      });
      go_wg_wait(&wg);
    }
  });
}

// ---- Fairness.

// Go: TestTimerFairness (runtime/proc_test.go): two senders that are always ready do not keep a
// timer from being seen.
void TimerFairness(bool with_syscalls) {
  RunGo([with_syscalls] {
    for (int procs_n : {1, 2}) {
      Procs procs(procs_n);
      Chan<Unit> timer(0), c(0), done(0);
      go_wg wg{};
      SPAWN_WG(&wg, [&] {
        (void)go_sleep(nullptr, 20 * GO_MS);
        timer.Close();
      });
      for (int i = 0; i < 2; i++) {
        SPAWN_WG(&wg, [&] {
          Unit u{};
          char buf;
          for (;;) {
            go_case k[] = {SendCase(c, &u), RecvCase(done)};
            if (Select(k) == 1) return;
            if (with_syscalls && read(0, &buf, 0) < 0) continue;
          }
        });
      }
      int64_t n = 0;
      for (;; n++) {
        go_case k[] = {RecvCase(timer), RecvCase(c)};
        if (Select(k) == 0) break;
      }
      EXPECT_GT(n, 0);
      done.Close();
      go_wg_wait(&wg);
    }
  });
}
TEST(Fairness, TimersAgainstBusySenders) { TimerFairness(false); }
// Go: TestTimerFairness2: with a system call in the loop.
TEST(Fairness, TimersAgainstBusySendersWithSyscalls) { TimerFairness(true); }

// Go: TestPingPongHog (runtime/proc_test.go): two pairs on one P. The pair that wakes each other
// at once, through the slot for the next goroutine, does not starve the pair that yields in
// between.
TEST(Fairness, PingPongPairsOnOneP) {
  RunGo([] {
    Procs procs(1);
    bool fair = false;
    int64_t hog = 0, light = 0;
    for (int attempt = 0; attempt < 3 && !fair; attempt++) {
      std::atomic<bool> stop{false};
      hog = light = 0;
      go_wg wg{};
      auto pair = [&](int64_t *count, bool hogging) {
        Chan<int> there(0), back(0);
        SPAWN_WG(&wg, [&stop, there, back, count, hogging] {
          // The hog burns a little between its messages.
          for (volatile int burn = 0; !stop; burn = 0) {
            while (hogging && burn < 1000) burn = burn + 1;
            there.Send(1);
            (void)back.Take();
            ++*count;
          }
          there.Close();
        });
        SPAWN_WG(&wg, [there, back] {
          while (there.Recv(nullptr)) back.Send(1);
        });
      };
      pair(&hog, true);
      pair(&light, false);
      (void)go_sleep(nullptr, 200 * GO_MS);
      stop = true;
      go_wg_wait(&wg);
      fair = light * 20 > hog && hog * 200 > light;
    }
    EXPECT_TRUE(fair) << "hog " << hog << ", light " << light;
  });
}

// Go: TestPreemptionAfterSyscall (runtime/proc_test.go): goroutines in short unwrapped system
// calls on two Ps.
TEST(Fairness, BlockingCallsOnEveryP) {
  RunGo([] {
    Procs procs(2);
    for (int us : {10, 100, 1000}) {
      go_wg wg{};
      for (int i = 0; i < 8; i++) {
        SPAWN_WG(&wg, [us] {
          for (int j = 0; j < 20; j++) {
            usleep(static_cast<useconds_t>(us));
            go_yield();
          }
        });
      }
      go_wg_wait(&wg);
    }
  });
}

// ---- Counting.

TEST(Count, LiveGoroutines) {
  RunGo([] {
    Until([] { return go_count() == 1; });
    Chan<Unit> stop(0);
    go_wg wg{};
    for (int i = 1; i <= 100; i++) {
      SPAWN_WG(&wg, [&] { (void)stop.Recv(nullptr); });
      EXPECT_EQ(go_count(), i + 1);
    }
    stop.Close();
    go_wg_wait(&wg);
    Until([] { return go_count() == 1; });
  });
  Until([] { return go_count() == 0; });
}

TEST(Count, IdsAreUnique) {
  RunGo([] {
    Procs procs(4);
    constexpr int n = Rounds(5000);
    Chan<uint64_t> ids(n);
    go_wg wg{};
    for (int i = 0; i < n; i++) {
      SPAWN_WG(&wg, [&] {
        uint64_t id = go_id();
        go_yield();
        EXPECT_EQ(go_id(), id);
        ids.Send(id);
      });
    }
    go_wg_wait(&wg);
    std::vector<uint64_t> all;
    for (int i = 0; i < n; i++) all.push_back(ids.Take());
    std::sort(all.begin(), all.end());
    EXPECT_GT(all.front(), 0u);
    EXPECT_EQ(std::adjacent_find(all.begin(), all.end()), all.end());
  });
}

// ---- GOMAXPROCS.

TEST(ProcsCount, SetReturnsOldAndAsks) {
  int before = go_procs(0);
  EXPECT_GE(before, 1);
  EXPECT_EQ(go_procs(3), before);
  EXPECT_EQ(go_procs(0), 3);
  EXPECT_EQ(go_procs(-7), 3);
  EXPECT_EQ(go_procs(5000), 3);
  EXPECT_EQ(go_procs(0), 1024) << "more than 1024 count as 1024";
  EXPECT_EQ(go_procs(before), 1024);
  EXPECT_EQ(go_procs(0), before);
  EXPECT_GE(go_cpus(), 1);
}

// Go: TestBigGOMAXPROCS (runtime/proc_test.go).
TEST(ProcsCount, Thousand) {
  RunGo([] {
    Procs procs(1024);
    EXPECT_EQ(go_procs(0), 1024);
    go_wg wg{};
    std::atomic<int> n{0};
    Chan<int> c(0);
    constexpr int kGos = Goroutines(2048) / 2;
    for (int i = 0; i < kGos; i++) {
      SPAWN_WG(&wg, [&] {
        c.Send(1);
        go_yield();
        n++;
      });
    }
    for (int i = 0; i < kGos; i++) EXPECT_EQ(c.Take(), 1);
    go_wg_wait(&wg);
    EXPECT_EQ(n, kGos);
  });
}

// Go: TestStopTheWorldDeadlock (runtime/proc_test.go): changing GOMAXPROCS under load; nothing is
// lost: neither runnable goroutines of the Ps that go, nor their timers.
TEST(ProcsCount, UpAndDownUnderLoad) {
  RunGo([] {
    int before = go_procs(0);
    std::atomic<bool> stop{false};
    std::atomic<int64_t> spawned{0}, ended{0}, slept{0};
    go_wg wg{};
    for (int i = 0; i < 4; i++) {
      SPAWN_WG(&wg, [&] {
        while (!stop) {
          go_wg batch{};
          for (int j = 0; j < 50; j++) {
            spawned++;
            SPAWN_WG(&batch, [&, j] {
              for (int y = 0; y < j % 4; y++) go_yield();
              ended++;
            });
          }
          go_wg_wait(&batch);
        }
      });
      SPAWN_WG(&wg, [&] {
        while (!stop) {
          (void)go_sleep(nullptr, 300 * GO_US);
          slept++;
        }
      });
    }
    static const int kSteps[] = {1, 4, 2, 16, 1, 3, 64, 5, 1, 2};
    for (int round = 0; round < Rounds(100); round++) {
      int n = kSteps[round % 10];
      (void)go_procs(n);
      EXPECT_EQ(go_procs(0), n);
      if (round % 3 == 0) (void)go_sleep(nullptr, GO_MS);
      go_yield();
    }
    stop = true;
    go_wg_wait(&wg);
    (void)go_procs(before);
    EXPECT_EQ(spawned.load(), ended.load());
    EXPECT_GT(slept.load(), 0);
  });
}

// Lowering takes effect: with one P, two goroutines never run at the same moment, as long as
// neither stays away from golib for long.
TEST(ProcsCount, LoweringIsReal) {
  RunGo([] {
    Procs procs(4);
    go_wg warm{};
    for (int i = 0; i < 100; i++) SPAWN_WG(&warm, [] { go_yield(); });
    go_wg_wait(&warm);
    (void)go_procs(1);
    (void)go_sleep(nullptr, 20 * GO_MS);  // those that were in user code have come back
    std::atomic<int> running{0}, overlaps{0};
    go_wg wg{};
    constexpr int kGos = 8, kEach = Rounds(2000);
    uint64_t retaken = StatsNow().retakes;
    for (int i = 0; i < kGos; i++) {
      SPAWN_WG(&wg, [&] {
        for (int j = 0; j < kEach; j++) {
          if (++running > 1) overlaps++;
          for (volatile int k = 0; k < 200; k = k + 1) {}
          running--;
          go_yield();
        }
      });
    }
    go_wg_wait(&wg);
    // A stretch of user code that the kernel interrupts for over 10 ms loses the P, and overlaps with others' for as
    // long as the kernel likes.
    if (StatsNow().retakes == retaken) {
      EXPECT_EQ(overlaps, 0);
    }
  });
}

// Several change it at once: the last one wins, and it is one of theirs.
TEST(ProcsCount, ManyChangers) {
  RunGo([] {
    int before = go_procs(0);
    go_wg wg{};
    for (int i = 1; i <= 4; i++) {
      SPAWN_WG(&wg, [i] {
        for (int j = 0; j < 50; j++) {
          int old = go_procs(i);
          EXPECT_TRUE(old >= 1 && old <= 1024) << old;
          go_yield();
        }
      });
    }
    go_wg_wait(&wg);
    int now = go_procs(0);
    EXPECT_TRUE(now >= 1 && now <= 4) << now;
    (void)go_procs(before);
  });
}

// By a goroutine that is wired to its thread: its own P may be the one that goes.
TEST(ProcsCount, FromALockedGoroutine) {
  RunGo([] {
    int before = go_procs(0);
    go_wg wg{};
    SPAWN_WG(&wg, [] {
      go_lock_thread();
      int tid = ThreadId();
      for (int i = 0; i < 100; i++) {
        (void)go_procs(1 + i * 7 % 5);
        go_yield();
        EXPECT_EQ(ThreadId(), tid);
        go_wg inner{};
        for (int j = 0; j < 5; j++) SPAWN_WG(&inner, [] { go_yield(); });
        go_wg_wait(&inner);
        EXPECT_EQ(ThreadId(), tid);
      }
    });
    go_wg_wait(&wg);
    (void)go_procs(before);
  });
}

TEST(ProcsCount, FromPlainThreads) {
  int before = go_procs(0);
  std::atomic<bool> stop{false};
  std::thread changer([&] {
    for (int i = 0; !stop; i++) (void)go_procs(1 + i % 5);
  });
  RunGo([] {
    go_wg wg{};
    std::atomic<int> n{0};
    constexpr int kGos = Rounds(5000);
    for (int i = 0; i < kGos; i++) {
      SPAWN_WG(&wg, [&] {
        go_yield();
        n++;
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(n, kGos);
  });
  stop = true;
  changer.join();
  (void)go_procs(before);
}

}  // namespace
