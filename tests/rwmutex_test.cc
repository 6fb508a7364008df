// The reader-writer mutex.

#include <thread>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

// So many read locks without a writer bring the slots into use (sync/rwmutex.c).
constexpr int kHot = 2500;
void ReadALot(go_rwmutex *rw) {
  for (int i = 0; i < kHot; i++) {
    go_rwmutex_rlock(rw);
    go_rwmutex_runlock(rw);
  }
}

// Free for everybody.
void ExpectFree(go_rwmutex *rw) {
  ASSERT_TRUE(go_rwmutex_trylock(rw));
  go_rwmutex_unlock(rw);
  ASSERT_TRUE(go_rwmutex_tryrlock(rw));
  go_rwmutex_runlock(rw);
}

// Go: TestParallelReaders (sync/rwmutex_test.go): all readers have it at once, on however many Ps.
TEST(RWMutex, ParallelReaders) {
  RunGo([] {
    for (int procs_n : {1, 2, 4}) {
      for (int readers : {1, 3, 10, 100}) {
        Procs procs(procs_n);
        go_rwmutex rw{};
        go_wg inside{}, leave{}, wg{};
        go_wg_add(&inside, readers);
        go_wg_add(&leave, 1);
        for (int i = 0; i < readers; i++) {
          SPAWN_WG(&wg, [&] {
            go_rwmutex_rlock(&rw);
            go_wg_done(&inside);
            go_wg_wait(&leave);
            go_rwmutex_runlock(&rw);
          });
        }
        go_wg_wait(&inside);  // hangs if one keeps another out
        EXPECT_FALSE(go_rwmutex_trylock(&rw));
        EXPECT_TRUE(go_rwmutex_tryrlock(&rw));
        go_rwmutex_runlock(&rw);
        go_wg_done(&leave);
        go_wg_wait(&wg);
        ExpectFree(&rw);
      }
    }
  });
}

// Go: HammerRWMutex (sync/rwmutex_test.go): the sum of 1 per reader and 10000 per writer shows who is in.
void Hammer(int procs_n, int readers, int rounds) {
  Procs procs(procs_n);
  go_rwmutex rw{};
  std::atomic<int> activity{0}, bad{0};
  go_wg wg{};
  auto reader = [&, rounds] {
    for (int i = 0; i < rounds; i++) {
      if (i % 3 != 0 || !go_rwmutex_tryrlock(&rw)) go_rwmutex_rlock(&rw);
      int n = ++activity;
      if (n < 1 || n >= 10000) bad++;
      if (i % 61 == 0) go_yield();
      --activity;
      go_rwmutex_runlock(&rw);
    }
  };
  auto writer = [&, rounds] {
    for (int i = 0; i < rounds; i++) {
      if (i % 3 != 0 || !go_rwmutex_trylock(&rw)) go_rwmutex_lock(&rw);
      int n = activity += 10000;
      if (n != 10000) bad++;
      if (i % 61 == 0) go_yield();
      activity -= 10000;
      go_rwmutex_unlock(&rw);
    }
  };
  SPAWN_WG(&wg, writer);
  for (int i = 0; i < readers / 2; i++) SPAWN_WG(&wg, reader);
  SPAWN_WG(&wg, writer);
  for (int i = readers / 2; i < readers; i++) SPAWN_WG(&wg, reader);
  go_wg_wait(&wg);
  EXPECT_EQ(bad, 0);
  EXPECT_EQ(activity, 0);
  ExpectFree(&rw);
}
TEST(RWMutex, Hammer) {
  RunGo([] {
    constexpr int n = Rounds(3000);
    for (int procs_n : {1, 2, 4, 10}) {
      for (int readers : {1, 3, 10}) Hammer(procs_n, readers, n);
    }
    Hammer(10, Goroutines(3000), 5);
    Hammer(4, 5, 10 * n);
  });
}

// Many reads between two writes: slots come into use and go out of it again.
TEST(RWMutex, HammerMostlyReads) {
  RunGo([] {
    Procs procs(4);
    go_rwmutex rw{};
    int64_t a = 0, b = 0;  // equal, for readers
    std::atomic<int64_t> bad{0}, writes{0};
    go_wg wg{};
    for (int g = 0; g < 6; g++) {
      SPAWN_WG(&wg, [&, g] {
        for (int i = 0; i < Rounds(60000); i++) {
          if ((i + g * 1000) % 6000 == 0) {
            go_rwmutex_lock(&rw);
            a++;
            go_yield();
            b++;
            writes++;
            go_rwmutex_unlock(&rw);
          } else {
            go_rwmutex_rlock(&rw);
            if (a != b) bad++;
            if (i % 512 == 0) go_yield();  // and perhaps on another P after
            if (a != b) bad++;
            go_rwmutex_runlock(&rw);
          }
        }
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(bad, 0);
    EXPECT_EQ(a, writes);
    ExpectFree(&rw);
  });
}

// Go: TestRWMutex (sync/rwmutex_test.go): what TryLock and TryRLock say in each state.
TEST(RWMutex, TryInEachState) {
  for (bool hot : {false, true}) {
    RunGo([hot] {
      Procs procs(2);
      go_rwmutex rw{};
      if (hot) ReadALot(&rw);
      go_rwmutex_lock(&rw);
      EXPECT_FALSE(go_rwmutex_trylock(&rw));
      EXPECT_FALSE(go_rwmutex_tryrlock(&rw));
      go_rwmutex_unlock(&rw);
      EXPECT_TRUE(go_rwmutex_trylock(&rw));
      EXPECT_FALSE(go_rwmutex_trylock(&rw));
      EXPECT_FALSE(go_rwmutex_tryrlock(&rw));
      go_rwmutex_unlock(&rw);
      if (hot) ReadALot(&rw);
      go_rwmutex_rlock(&rw);
      EXPECT_TRUE(go_rwmutex_tryrlock(&rw));
      EXPECT_FALSE(go_rwmutex_trylock(&rw));
      go_rwmutex_runlock(&rw);
      EXPECT_FALSE(go_rwmutex_trylock(&rw)) << "one reader is left";
      go_rwmutex_runlock(&rw);
      EXPECT_TRUE(go_rwmutex_tryrlock(&rw));
      go_rwmutex_runlock(&rw);
      ExpectFree(&rw);
    });
  }
}

// Go: RWMutex.Lock's contract: a writer that waits keeps new readers out; its unlock lets all readers
// in that came meanwhile, before the next writer.
TEST(RWMutex, TurnsOfReadersAndWriters) {
  RunGo([] {
    for (int procs_n : {1, 4}) {
      Procs procs(procs_n);
      constexpr int kReaders = 20;
      go_rwmutex rw{};
      go_wg wg{}, started{}, inside{}, leave{};
      std::atomic<bool> wrote{false}, wrote_again{false};
      go_rwmutex_rlock(&rw);
      SPAWN_WG(&wg, [&] {
        go_rwmutex_lock(&rw);
        wrote = true;
        go_wg_wait(&started);
        Settle();  // so that the readers, and the next writer, wait for this one
        go_rwmutex_unlock(&rw);
      });
      Until([&] {  // the writer waits: nobody gets in
        if (!go_rwmutex_tryrlock(&rw)) return true;
        go_rwmutex_runlock(&rw);
        return false;
      });
      go_wg_add(&started, kReaders + 1);
      go_wg_add(&inside, kReaders);
      go_wg_add(&leave, 1);
      for (int i = 0; i < kReaders; i++) {
        SPAWN_WG(&wg, [&] {
          go_wg_done(&started);
          go_rwmutex_rlock(&rw);
          EXPECT_TRUE(wrote) << "a reader passed a waiting writer";
          go_wg_done(&inside);
          go_wg_wait(&leave);  // all of them at once
          EXPECT_FALSE(wrote_again) << "a writer beside a reader";
          go_rwmutex_runlock(&rw);
        });
      }
      SPAWN_WG(&wg, [&] {
        go_wg_done(&started);
        go_wg_wait(&inside);  // the readers went first
        go_rwmutex_lock(&rw);
        wrote_again = true;
        go_rwmutex_unlock(&rw);
      });
      EXPECT_FALSE(wrote);
      go_rwmutex_runlock(&rw);
      go_wg_wait(&inside);
      Settle();
      EXPECT_FALSE(wrote_again);
      go_wg_done(&leave);
      go_wg_wait(&wg);
      EXPECT_TRUE(wrote_again);
      ExpectFree(&rw);
    }
  });
}

// Two writers wait and many readers: after the first writer come all the readers, then the second.
TEST(RWMutex, ReadersBetweenTwoWriters) {
  RunGo([] {
    Procs procs(1);  // who waits is known then: whoever is started gets as far as it can
    constexpr int kReaders = 10;
    go_rwmutex rw{};
    go_wg wg{};
    std::string order;
    go_rwmutex_lock(&rw);
    for (int w = 0; w < 2; w++) {
      SPAWN_WG(&wg, [&] {
        go_rwmutex_lock(&rw);
        order += 'W';
        go_rwmutex_unlock(&rw);
      });
    }
    Settle();
    for (int i = 0; i < kReaders; i++) {
      SPAWN_WG(&wg, [&] {
        go_rwmutex_rlock(&rw);
        order += 'r';
        go_yield();
        order += '.';
        go_rwmutex_runlock(&rw);
      });
    }
    Settle();
    EXPECT_EQ(order, "");
    go_rwmutex_unlock(&rw);
    go_wg_wait(&wg);
    EXPECT_EQ(order, std::string(kReaders, 'r') + std::string(kReaders, '.') + "WW");
  });
}

// Go: no side starves. Readers that overlap without a gap let a writer in.
TEST(RWMutex, ReadersDoNotStarveAWriter) {
  RunGo([] {
    for (int procs_n : {1, 2, 4}) {
      Procs procs(procs_n);
      go_rwmutex rw{};
      std::atomic<bool> stop{false};
      go_wg wg{};
      for (int i = 0; i < 8; i++) {
        SPAWN_WG(&wg, [&] {
          while (!stop) {
            go_rwmutex_rlock(&rw);
            go_yield();
            go_yield();
            go_rwmutex_runlock(&rw);
          }
        });
      }
      for (int i = 0; i < 100; i++) {
        go_rwmutex_lock(&rw);  // hangs if it starves
        go_rwmutex_unlock(&rw);
        go_yield();
      }
      stop = true;
      go_wg_wait(&wg);
    }
  });
}

TEST(RWMutex, WritersDoNotStarveAReader) {
  RunGo([] {
    for (int procs_n : {1, 2, 4}) {
      Procs procs(procs_n);
      go_rwmutex rw{};
      std::atomic<bool> stop{false};
      go_wg wg{};
      for (int i = 0; i < 4; i++) {
        SPAWN_WG(&wg, [&] {
          while (!stop) {
            go_rwmutex_lock(&rw);
            go_yield();
            go_rwmutex_unlock(&rw);
          }
        });
      }
      for (int i = 0; i < 100; i++) {
        go_rwmutex_rlock(&rw);
        go_rwmutex_runlock(&rw);
        go_yield();
      }
      stop = true;
      go_wg_wait(&wg);
    }
  });
}

// Go: TestMutexFairness (sync/mutex_test.go), for writers: one that takes it again at once, and one
// that wants it now and then; the hog a goroutine or a plain thread.
void WriterAgainstAHog(bool hog_is_a_thread) {
  go_rwmutex rw{};
  std::atomic<bool> stop{false};
  auto hog = [&] {
    while (!stop) {
      go_rwmutex_lock(&rw);
      (void)go_sleep(nullptr, 100 * GO_US);
      go_rwmutex_unlock(&rw);
    }
  };
  auto other = [&] {
    for (int i = 0; i < 10; i++) {
      (void)go_sleep(nullptr, 100 * GO_US);
      go_rwmutex_lock(&rw);
      go_rwmutex_unlock(&rw);
    }
    stop = true;
  };
  if (hog_is_a_thread) {
    std::thread t(hog);
    RunGo(other);
    t.join();
    return;
  }
  RunGo([&] {
    for (int procs_n : {1, 2}) {
      Procs procs(procs_n);
      stop = false;
      go_wg wg{};
      SPAWN_WG(&wg, hog);
      other();
      go_wg_wait(&wg);
    }
  });
}
TEST(RWMutex, WriterAgainstAHog) { WriterAgainstAHog(false); }
TEST(RWMutex, WriterAgainstAHoggingThread) { WriterAgainstAHog(true); }

// On one P: a writer that was beaten for over 1 ms is handed the lock, and runs at once.
TEST(RWMutex, HandedOverAfterAMillisecond) {
  RunGo([] {
    Procs procs(1);
    go_rwmutex rw{};
    go_wg wg{}, leave{};
    bool has_it = false;
    go_wg_add(&leave, 1);
    go_rwmutex_lock(&rw);
    SPAWN_WG(&wg, [&] {
      go_rwmutex_lock(&rw);
      has_it = true;
      go_wg_wait(&leave);
      go_rwmutex_unlock(&rw);
    });
    Settle();  // it waits
    for (go_nsec until = go_now() + 2 * GO_MS; go_now() < until;) {}
    go_rwmutex_unlock(&rw);  // wakes it,
    go_rwmutex_lock(&rw);    // but we are faster
    EXPECT_FALSE(has_it);
    Settle();  // it finds out, and has had enough
    EXPECT_FALSE(has_it);
    go_rwmutex_unlock(&rw);
    EXPECT_TRUE(has_it) << "not handed over";
    EXPECT_FALSE(go_rwmutex_trylock(&rw));
    EXPECT_FALSE(go_rwmutex_tryrlock(&rw));
    go_wg_done(&leave);
    go_wg_wait(&wg);
    ExpectFree(&rw);
  });
}

// Go: RWMutex: not owned by a goroutine: one may lock it and another unlock it, on another P too.
TEST(RWMutex, UnlockedByAnother) {
  for (bool hot : {false, true}) {
    RunGo([hot] {
      Procs procs(4);
      go_rwmutex rw{};
      if (hot) ReadALot(&rw);
      for (int i = 0; i < 300; i++) {
        go_rwmutex_rlock(&rw);
        SPAWN([&] { go_rwmutex_runlock(&rw); });
        if (i % 50 == 0) {
          go_rwmutex_lock(&rw);
          SPAWN([&] { go_rwmutex_unlock(&rw); });
        }
      }
      go_rwmutex_lock(&rw);  // after the last one has unlocked
      go_rwmutex_unlock(&rw);
    });
  }
  go_rwmutex rw{};  // between a plain thread and a goroutine
  go_rwmutex_rlock(&rw);
  RunGo([&] {
    EXPECT_FALSE(go_rwmutex_trylock(&rw));
    go_rwmutex_runlock(&rw);
    go_rwmutex_lock(&rw);
  });
  EXPECT_FALSE(go_rwmutex_tryrlock(&rw));
  go_rwmutex_unlock(&rw);
  ExpectFree(&rw);
}

// Plain threads and goroutines, reading and writing.
TEST(RWMutex, ThreadsToo) {
  go_rwmutex rw{};
  int64_t value = 0;
  std::atomic<int> bad{0}, writes{0};
  constexpr int kEach = Rounds(5000), kThreads = 4, kGos = 8;
  auto work = [&](int me) {
    for (int i = 0; i < kEach; i++) {
      if ((i + me) % 8 == 0) {
        go_rwmutex_lock(&rw);
        value++;
        go_rwmutex_unlock(&rw);
        writes++;
      } else {
        go_rwmutex_rlock(&rw);
        int64_t seen = value;
        if (i % 64 == 0) go_yield();
        if (seen != value) bad++;
        go_rwmutex_runlock(&rw);
      }
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; i++) threads.emplace_back(work, i);
  RunGo([&] {
    Procs procs(4);
    go_wg wg{};
    for (int i = 0; i < kGos; i++) SPAWN_WG(&wg, [&, i] { work(i); });
    go_wg_wait(&wg);
  });
  for (auto &t : threads) t.join();
  EXPECT_EQ(bad, 0);
  EXPECT_EQ(value, writes);
  ExpectFree(&rw);
}

// Every one of many waiters gets it.
TEST(RWMutex, ManyWaiters) {
  RunGo([] {
    Procs procs(4);
    constexpr int n = Goroutines(2000);
    go_rwmutex rw{};
    int64_t wrote = 0;
    std::atomic<int> read{0};
    go_wg wg{};
    go_rwmutex_lock(&rw);
    for (int i = 0; i < n; i++) {
      SPAWN_WG(&wg, [&, i] {
        if (i % 4 == 0) {
          go_rwmutex_lock(&rw);
          wrote++;
          go_rwmutex_unlock(&rw);
        } else {
          go_rwmutex_rlock(&rw);
          read++;
          go_rwmutex_runlock(&rw);
        }
      });
    }
    Settle();
    EXPECT_EQ(read, 0);
    go_rwmutex_unlock(&rw);
    go_wg_wait(&wg);
    EXPECT_EQ(wrote, n / 4);
    EXPECT_EQ(read, n - n / 4);
    ExpectFree(&rw);
  });
}

// Storage that goes with its last user, and is used again for the next one.
TEST(RWMutex, FreedAfterTheLastUnlock) {
  RunGo([] {
    Procs procs(4);
    for (int i = 0; i < Rounds(2000); i++) {
      struct Shared {
        go_rwmutex rw;
        int users;
      };
      Shared *s = new Shared{};
      s->users = 4;
      if (i % 20 == 0) ReadALot(&s->rw);
      for (int u = 0; u < 4; u++) {
        SPAWN([s] {
          go_rwmutex_rlock(&s->rw);
          int seen = s->users;
          go_rwmutex_runlock(&s->rw);
          EXPECT_GT(seen, 0);
          go_rwmutex_lock(&s->rw);
          bool last = --s->users == 0;
          go_rwmutex_unlock(&s->rw);
          if (last) delete s;
        });
      }
    }
    Until([] { return go_count() == 1; });
  });
}

// More locks than slots, each held by readers that wait meanwhile, so that slots are taken.
TEST(RWMutex, ManyHotLocksAtOnce) {
  RunGo([] {
    Procs procs(4);
    constexpr int kLocks = 100;
    std::vector<go_rwmutex> locks(kLocks);
    for (auto &rw : locks) ReadALot(&rw);
    go_wg wg{}, inside{}, leave{};
    go_wg_add(&leave, 1);
    go_wg_add(&inside, 3 * kLocks);
    for (int g = 0; g < 3; g++) {
      for (auto &rw : locks) {
        go_rwmutex *p = &rw;
        SPAWN_WG(&wg, [&, p] {
          go_rwmutex_rlock(p);
          go_wg_done(&inside);
          go_wg_wait(&leave);
          go_rwmutex_runlock(p);  // on whatever P
        });
      }
    }
    go_wg_wait(&inside);
    for (auto &rw : locks) EXPECT_FALSE(go_rwmutex_trylock(&rw));
    go_wg_done(&leave);
    go_wg_wait(&wg);
    for (auto &rw : locks) ExpectFree(&rw);
  });
}

// The number of Ps changes while readers are in slots.
TEST(RWMutex, HotWhileProcsChange) {
  RunGo([] {
    go_rwmutex rw{};
    std::atomic<bool> stop{false};
    int64_t value = 0;
    go_wg wg{};
    for (int g = 0; g < 4; g++) {
      SPAWN_WG(&wg, [&, g] {
        for (int i = 0; !stop; i++) {
          go_rwmutex_rlock(&rw);
          int64_t seen = value;
          if (i % 32 == 0) go_yield();
          EXPECT_EQ(value, seen);
          go_rwmutex_runlock(&rw);
          if (g == 0 && i % 5000 == 0) {
            go_rwmutex_lock(&rw);
            value++;
            go_rwmutex_unlock(&rw);
          }
        }
      });
    }
    for (int i = 0; i < 30; i++) {
      Procs procs(1 + i % 4);
      Settle();
    }
    stop = true;
    go_wg_wait(&wg);
    ExpectFree(&rw);
  });
}

TEST(RWMutex, CtxFormsWithoutContext) {
  RunGo([] {
    go_rwmutex rw{};
    EXPECT_EQ(go_rwmutex_rlock_ctx(nullptr, &rw), 0);
    EXPECT_EQ(go_rwmutex_rlock_ctx(nullptr, &rw), 0);
    EXPECT_FALSE(go_rwmutex_trylock(&rw));
    go_rwmutex_runlock(&rw);
    go_rwmutex_runlock(&rw);
    EXPECT_EQ(go_rwmutex_lock_ctx(nullptr, &rw), 0);
    EXPECT_FALSE(go_rwmutex_tryrlock(&rw));
    go_rwmutex_unlock(&rw);
    ExpectFree(&rw);
  });
}

}  // namespace
