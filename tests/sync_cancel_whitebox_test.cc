// The reader-writer mutex, condition variables and semaphores with a context: from goroutines and from plain
// threads. The contexts here are only what core sees of one. (Mutex and wait group: cancel_whitebox_test.cc.)

#include <gtest/gtest.h>

extern "C" {
#include "core/sched.h"
}

#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/cancel.h"

using namespace golib_test;

namespace {

using Ctx = BareCtx;

// Objects in a state in which every call blocks.
struct World {
  go_rwmutex read{}, written{};  // locked so
  go_mutex mu{};
  go_cond cond{};
  go_sem sem = GO_SEM_INIT(4);
  World() {
    go_rwmutex_rlock(&read);
    go_rwmutex_lock(&written);
    EXPECT_TRUE(go_sem_try_acquire(&sem, 3));
  }
  // Whoever waited has left nothing behind.
  void Check() {
    EXPECT_TRUE(go_rwmutex_tryrlock(&read)) << "a writer is left";
    go_rwmutex_runlock(&read);
    go_rwmutex_runlock(&read);
    go_rwmutex_unlock(&written);
    for (go_rwmutex *rw : {&read, &written}) {
      EXPECT_TRUE(go_rwmutex_trylock(rw));
      go_rwmutex_unlock(rw);
      EXPECT_EQ(rw->readers_head_, nullptr);
      EXPECT_EQ(rw->writers_head_, nullptr);
    }
    EXPECT_TRUE(go_mutex_trylock(&mu));
    go_mutex_unlock(&mu);
    EXPECT_EQ(cond.head_, nullptr);
    EXPECT_EQ(cond.waiters_, 0u);
    EXPECT_TRUE(go_sem_try_acquire(&sem, 1));
    EXPECT_FALSE(go_sem_try_acquire(&sem, 1));
    go_sem_release(&sem, 4);
    EXPECT_EQ(sem.used_, 0);
    EXPECT_EQ(sem.head_, nullptr);
  }
};

int CondWait(go_ctx *ctx, World &w) {
  go_mutex_lock(&w.mu);
  int rc = go_cond_wait_ctx(ctx, &w.cond, &w.mu);
  EXPECT_FALSE(go_mutex_trylock(&w.mu)) << "locked, whatever it returned";
  go_mutex_unlock(&w.mu);
  return rc;
}

struct Blocking {
  const char *name;
  int (*call)(go_ctx *, World &);
};
const Blocking kCalls[] = {
    {"lock of a read-locked one",
     [](go_ctx *c, World &w) { return go_rwmutex_lock_ctx(c, &w.read); }},
    {"lock of a locked one",
     [](go_ctx *c, World &w) { return go_rwmutex_lock_ctx(c, &w.written); }},
    {"rlock of a locked one",
     [](go_ctx *c, World &w) { return go_rwmutex_rlock_ctx(c, &w.written); }},
    {"cond", CondWait},
    {"sem", [](go_ctx *c, World &w) { return go_sem_acquire(c, &w.sem, 2); }},
    {"more than the semaphore has",
     [](go_ctx *c, World &w) { return go_sem_acquire(c, &w.sem, 5); }},
};

// Runs f on a goroutine, or on a plain thread, and waits for it.
void On(bool goroutine, const std::function<void()> &f) {
  if (goroutine) {
    RunGo(f);
  } else {
    std::thread(f).join();
  }
}

class SyncCancel : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Goroutine, SyncCancel, testing::Bool());

TEST_P(SyncCancel, DoneAlready) {
  On(GetParam(), [] {
    for (int err : {GO_ECANCELED, GO_ETIMEDOUT}) {
      for (const Blocking &b : kCalls) {
        World w;
        Ctx ctx;
        EXPECT_TRUE(ctx.Fire(err));
        EXPECT_EQ(b.call(ctx.get(), w), err) << b.name;
        EXPECT_EQ(ctx.Waiters(), 0) << b.name;
        w.Check();
      }
    }
  });
}

// A context that is done wins over what could go at once. Go: TestWeightedAcquireCanceled
// (semaphore_test.go).
TEST_P(SyncCancel, DoneAlreadyWinsOverReady) {
  On(GetParam(), [] {
    Ctx ctx;
    EXPECT_TRUE(ctx.Fire());
    go_rwmutex rw{};
    EXPECT_EQ(go_rwmutex_lock_ctx(ctx.get(), &rw), GO_ECANCELED);
    EXPECT_EQ(go_rwmutex_rlock_ctx(ctx.get(), &rw), GO_ECANCELED);
    EXPECT_TRUE(go_rwmutex_trylock(&rw));
    go_rwmutex_unlock(&rw);
    go_sem sem = GO_SEM_INIT(1);
    EXPECT_EQ(go_sem_acquire(ctx.get(), &sem, 1), GO_ECANCELED);
    EXPECT_EQ(go_sem_acquire(ctx.get(), &sem, 0), GO_ECANCELED);
    EXPECT_TRUE(go_sem_try_acquire(&sem, 1));
  });
}

TEST_P(SyncCancel, ReadyGoes) {
  On(GetParam(), [] {
    Ctx ctx;
    go_rwmutex rw{};
    EXPECT_EQ(go_rwmutex_rlock_ctx(ctx.get(), &rw), 0);
    EXPECT_EQ(go_rwmutex_rlock_ctx(ctx.get(), &rw), 0);
    go_rwmutex_runlock(&rw);
    go_rwmutex_runlock(&rw);
    EXPECT_EQ(go_rwmutex_lock_ctx(ctx.get(), &rw), 0);
    go_rwmutex_unlock(&rw);
    go_sem sem = GO_SEM_INIT(2);
    EXPECT_EQ(go_sem_acquire(ctx.get(), &sem, 2), 0);
    EXPECT_EQ(go_sem_acquire(ctx.get(), &sem, 0), 0);
    EXPECT_EQ(ctx.Waiters(), 0);
  });
}

TEST_P(SyncCancel, WhileWaiting) {
  On(GetParam(), [] {
    for (int err : {GO_ECANCELED, GO_ETIMEDOUT}) {
      for (const Blocking &b : kCalls) {
        World w;
        Ctx ctx;
        std::thread canceller([&] {
          Until([&] { return ctx.Waiters() == 1; });  // it waits, or is about to
          EXPECT_TRUE(ctx.Fire(err));
        });
        int rc = b.call(ctx.get(), w);
        Until([&] { return go_cancel_err_(ctx.get()) != 0; });
        canceller.join();
        EXPECT_EQ(rc, err) << b.name;
        EXPECT_EQ(ctx.Waiters(), 0) << b.name;
        w.Check();
      }
    }
  });
}

// Served while it waits with a context that never ends.
TEST_P(SyncCancel, ServedWhileWaiting) {
  On(GetParam(), [] {
    World w;
    Ctx ctx;
    std::atomic<int> step{0};
    std::thread server([&] {
      auto waits = [&](int n) { Until([&] { return step == n && ctx.Waiters() == 1; }); };
      waits(1);
      go_rwmutex_runlock(&w.read);
      waits(2);
      go_rwmutex_unlock(&w.written);
      waits(3);
      go_cond_signal(&w.cond);
      waits(4);
      go_sem_release(&w.sem, 3);
    });
    step = 1;
    EXPECT_EQ(go_rwmutex_lock_ctx(ctx.get(), &w.read), 0);
    step = 2;
    EXPECT_EQ(go_rwmutex_rlock_ctx(ctx.get(), &w.written), 0);
    step = 3;
    EXPECT_EQ(CondWait(ctx.get(), w), 0);
    step = 4;
    EXPECT_EQ(go_sem_acquire(ctx.get(), &w.sem, 4), 0);
    EXPECT_EQ(ctx.Waiters(), 0);
    server.join();
    go_rwmutex_unlock(&w.read);
    go_rwmutex_runlock(&w.written);
    EXPECT_FALSE(go_sem_try_acquire(&w.sem, 1));
  });
}

// A crowd that waits for everything at once, goroutines and threads, and one shot.
TEST(SyncCancelCrowd, AllWake) {
  World w;
  Ctx ctx;
  constexpr int kCopies = kTsan ? 10 : 50;
  std::vector<std::thread> threads;
  for (const Blocking &b : kCalls) {
    threads.emplace_back(
        [&] { EXPECT_EQ(b.call(ctx.get(), w), GO_ECANCELED) << "thread: " << b.name; });
  }
  RunGo([&] {
    Procs procs(4);
    go_wg wg{};
    int n = static_cast<int>(threads.size());
    for (const Blocking &b : kCalls) {
      for (int i = 0; i < kCopies; i++, n++) {
        SPAWN_WG(&wg, [&] { EXPECT_EQ(b.call(ctx.get(), w), GO_ECANCELED) << b.name; });
      }
    }
    Until([&] { return ctx.Waiters() == n; });
    EXPECT_TRUE(ctx.Fire());
    go_wg_wait(&wg);
  });
  for (auto &t : threads) t.join();
  EXPECT_EQ(ctx.Waiters(), 0);
  w.Check();
}

// ---- What a waiter that gives up leaves to others.

// Readers that waited for a waiting writer alone go on when it gives up.
TEST(SyncCancelLeaves, ReadersBehindAWriter) {
  RunGo([] {
    for (int procs_n : {1, 4}) {
      Procs procs(procs_n);
      go_rwmutex rw{};
      Ctx ctx;
      go_wg wg{}, readers{};
      go_rwmutex_rlock(&rw);
      SPAWN_WG(&wg, [&] { EXPECT_EQ(go_rwmutex_lock_ctx(ctx.get(), &rw), GO_ECANCELED); });
      Until([&] { return ctx.Waiters() == 1; });
      std::atomic<int> in{0};
      for (int i = 0; i < 10; i++) {
        SPAWN_WG(&readers, [&] {
          go_rwmutex_rlock(&rw);
          in++;
          go_rwmutex_runlock(&rw);
        });
      }
      Settle();
      EXPECT_EQ(in, 0);
      EXPECT_TRUE(ctx.Fire());
      go_wg_wait(&readers);  // though we have not unlocked
      go_wg_wait(&wg);
      EXPECT_TRUE(go_rwmutex_tryrlock(&rw));
      go_rwmutex_runlock(&rw);
      go_rwmutex_runlock(&rw);
      EXPECT_TRUE(go_rwmutex_trylock(&rw));
    }
  });
}

// But not when another writer waits still.
TEST(SyncCancelLeaves, ReadersBehindTwoWriters) {
  RunGo([] {
    Procs procs(4);
    go_rwmutex rw{};
    Ctx first, second;
    go_wg wg{}, readers{};
    go_rwmutex_rlock(&rw);
    SPAWN_WG(&wg, [&] { EXPECT_EQ(go_rwmutex_lock_ctx(first.get(), &rw), GO_ECANCELED); });
    Until([&] { return first.Waiters() == 1; });
    SPAWN_WG(&wg, [&] {
      EXPECT_EQ(go_rwmutex_lock_ctx(second.get(), &rw), 0);
      go_rwmutex_unlock(&rw);
    });
    Until([&] { return second.Waiters() == 1; });
    SPAWN_WG(&readers, [&] {
      go_rwmutex_rlock(&rw);
      go_rwmutex_runlock(&rw);
    });
    EXPECT_TRUE(first.Fire());
    Until([&] { return first.Waiters() == 0; });
    EXPECT_FALSE(go_rwmutex_tryrlock(&rw));
    go_rwmutex_runlock(&rw);
    go_wg_wait(&wg);
    go_wg_wait(&readers);
    EXPECT_TRUE(go_rwmutex_trylock(&rw));
  });
}

// Go: TestAllocCancelDoesntStarve (semaphore_test.go): a large one that waits in front gives up; the
// small one behind it, for which there is enough, goes on.
TEST(SyncCancelLeaves, SmallBehindALarge) {
  RunGo([] {
    for (int procs_n : {1, 4}) {
      Procs procs(procs_n);
      go_sem sem = GO_SEM_INIT(10);
      Ctx ctx;
      go_wg wg{};
      EXPECT_EQ(go_sem_acquire(nullptr, &sem, 1), 0);
      SPAWN_WG(&wg, [&] { EXPECT_EQ(go_sem_acquire(ctx.get(), &sem, 10), GO_ECANCELED); });
      Until([&] { return ctx.Waiters() == 1; });
      std::atomic<bool> got{false};
      SPAWN_WG(&wg, [&] {
        EXPECT_EQ(go_sem_acquire(nullptr, &sem, 5), 0);
        got = true;
      });
      Settle();
      EXPECT_FALSE(got);
      EXPECT_TRUE(ctx.Fire());
      go_wg_wait(&wg);
      EXPECT_EQ(sem.used_, 6);
    }
  });
}

// Go: TestWeightedDoesntBlockIfTooBig (semaphore_test.go): who wants more than there is waits for its
// context, in nobody's way.
TEST(SyncCancelLeaves, TooLargeBlocksNobody) {
  RunGo([] {
    Procs procs(4);
    go_sem sem = GO_SEM_INIT(2);
    Ctx ctx;
    go_wg wg{}, others{};
    SPAWN_WG(&wg, [&] { EXPECT_EQ(go_sem_acquire(ctx.get(), &sem, 3), GO_ETIMEDOUT); });
    Until([&] { return ctx.Waiters() == 1; });
    EXPECT_TRUE(go_sem_try_acquire(&sem, 1));
    for (int i = 0; i < 4; i++) {
      SPAWN_WG(&others, [&] {
        for (int k = 0; k < 100; k++) {
          EXPECT_EQ(go_sem_acquire(nullptr, &sem, 1), 0);
          go_yield();
          go_sem_release(&sem, 1);
        }
      });
    }
    go_wg_wait(&others);
    EXPECT_TRUE(ctx.Fire(GO_ETIMEDOUT));
    go_wg_wait(&wg);
    EXPECT_EQ(sem.used_, 1);
  });
}

// Signals are not lost to those who have given up, wherever in the list they stood.
TEST(SyncCancelLeaves, SignalsToThoseWhoStay) {
  RunGo([] {
    Procs procs(4);
    go_mutex mu{};
    go_cond c{};
    Ctx ctx;
    constexpr int n = 60;
    std::atomic<int> signalled{0}, cancelled{0};
    go_wg wg{};
    std::atomic<int> waiting{0};
    for (int i = 0; i < n; i++) {
      SPAWN_WG(&wg, [&, i] {
        go_mutex_lock(&mu);
        waiting++;
        int rc = go_cond_wait_ctx(i % 3 == 0 ? nullptr : ctx.get(), &c, &mu);
        (rc == 0 ? signalled : cancelled)++;
        go_mutex_unlock(&mu);
      });
    }
    Until([&] { return waiting == n; });
    go_mutex_lock(&mu);
    go_mutex_unlock(&mu);
    EXPECT_TRUE(ctx.Fire());
    for (int i = 0; i < n / 3; i++) go_cond_signal(&c);
    go_wg_wait(&wg);
    EXPECT_EQ(signalled, n / 3);
    EXPECT_EQ(cancelled, n - n / 3);
    EXPECT_EQ(c.head_, nullptr);
  });
}

// ---- Races: the context against the counterpart, again and again.

// Two parties besides the main one, goroutines or threads that live for all rounds.
class Party {
 public:
  explicit Party(bool goroutine) {
    auto body = [this] {
      for (;;) {
        std::function<void()> *f = in_.Take();
        if (f == nullptr) break;
        (*f)();
        out_.Send(Unit{});
      }
    };
    if (goroutine) {
      SPAWN_WG(&wg_, body);
    } else {
      thread_ = std::thread(body);
    }
  }
  ~Party() {
    in_.Close();
    go_wg_wait(&wg_);
    if (thread_.joinable()) thread_.join();
  }
  void Start(std::function<void()> f) {
    f_ = std::move(f);
    in_.Send(&f_);
  }
  void Wait() { (void)out_.Take(); }

 private:
  Chan<std::function<void()> *> in_{1};
  Chan<Unit> out_{1};
  go_wg wg_{};
  std::thread thread_;
  std::function<void()> f_;
};

void Linger(uint32_t n) {
  for (volatile uint32_t i = n; i > 0; i = i - 1) {}
}
void Dawdle(Rng &rng) {
  if (rng.Below(2) == 0) {
    for (uint32_t i = rng.Below(4); i > 0; i--) go_yield();
  }
  Linger(rng.Below(rng.Below(4) == 0 ? 3000 : 200));
}

class SyncCancelRace : public testing::TestWithParam<bool> {
 protected:
  // each(rng, a, b) plays a round with two other parties.
  void Play(const std::function<void(Rng &, Party &, Party &)> &each) {
    On(GetParam(), [&] {
      Procs procs(4);
      Rng rng(17);
      Party a(GetParam()), b(GetParam());
      for (int i = Rounds(GetParam() ? 10000 : 2000); i > 0 && !HasFailure(); i--) each(rng, a, b);
    });
  }
};
INSTANTIATE_TEST_SUITE_P(Goroutine, SyncCancelRace, testing::Bool());

// Two wait, one may be cancelled; one signal. It wakes exactly one of those who have not given up.
TEST_P(SyncCancelRace, SignalIsTakenOrPassedOn) {
  int taken = 0, passed = 0;
  Play([&](Rng &rng, Party &a, Party &b) {
    go_mutex mu{};
    go_cond c{};
    Ctx ctx;
    std::atomic<int> waiting{0}, back{0};
    int rc = 1;
    auto gives_up = [&] {
      go_mutex_lock(&mu);
      waiting++;
      rc = go_cond_wait_ctx(ctx.get(), &c, &mu);
      go_mutex_unlock(&mu);
      back++;
    };
    auto stays = [&] {
      go_mutex_lock(&mu);
      waiting++;
      go_cond_wait(&c, &mu);
      go_mutex_unlock(&mu);
      back++;
    };
    a.Start(gives_up);
    Until([&] { return waiting == 1; });
    b.Start(stays);
    Until([&] { return waiting == 2; });
    go_mutex_lock(&mu);  // both wait
    go_mutex_unlock(&mu);
    bool before = rng.Below(2) == 0;
    if (before) (void)ctx.Fire();
    Dawdle(rng);
    go_cond_signal(&c);
    if (!before) (void)ctx.Fire();
    a.Wait();
    if (rc == 0) {  // it took the signal: so the other one still waits
      EXPECT_EQ(back, 1);
      taken++;
      go_cond_signal(&c);
    } else {
      EXPECT_EQ(rc, GO_ECANCELED);
      passed++;
    }
    b.Wait();  // hangs if the signal was lost
    EXPECT_EQ(ctx.Waiters(), 0);
    EXPECT_EQ(c.head_, nullptr);
  });
  EXPECT_GT(taken, 0);
  EXPECT_GT(passed, 0);
}

// The same with the signal and the shot on different threads.
TEST_P(SyncCancelRace, SignalAgainstTheContext) {
  Play([&](Rng &rng, Party &a, Party &b) {
    go_mutex mu{};
    go_cond c{};
    Ctx ctx;
    std::atomic<bool> waiting{false};
    int rc = 1;
    a.Start([&] {
      go_mutex_lock(&mu);
      waiting = true;
      rc = go_cond_wait_ctx(ctx.get(), &c, &mu);
      go_mutex_unlock(&mu);
    });
    Until([&] { return waiting.load(); });
    go_mutex_lock(&mu);
    go_mutex_unlock(&mu);
    uint32_t late = rng.Below(500);
    b.Start([&, late] {
      Linger(late);
      EXPECT_TRUE(ctx.Fire());
    });
    Dawdle(rng);
    go_cond_signal(&c);
    a.Wait();
    b.Wait();
    EXPECT_TRUE(rc == 0 || rc == GO_ECANCELED) << rc;
    EXPECT_EQ(ctx.Waiters(), 0);
    EXPECT_EQ(c.head_, nullptr);
    EXPECT_TRUE(go_mutex_trylock(&mu));
  });
}

// Units that come as the context fires are kept, or are there.
TEST_P(SyncCancelRace, SemaphoreLosesNothing) {
  Play([&](Rng &rng, Party &a, Party &b) {
    go_sem sem = GO_SEM_INIT(3);
    Ctx ctx;
    int rc = 1;
    EXPECT_TRUE(go_sem_try_acquire(&sem, 2));
    auto gives_up = [&] { rc = go_sem_acquire(ctx.get(), &sem, 3); };
    auto stays = [&] { EXPECT_EQ(go_sem_acquire(nullptr, &sem, 2), 0); };
    bool in_front = rng.Below(2) == 0;
    if (in_front) a.Start(gives_up);
    b.Start(stays);
    if (!in_front) a.Start(gives_up);
    Dawdle(rng);
    bool before = rng.Below(2) == 0;
    if (before) (void)ctx.Fire();
    go_sem_release(&sem, 2);
    (void)ctx.Fire();
    a.Wait();
    if (rc == 0) go_sem_release(&sem, 3);
    b.Wait();
    EXPECT_TRUE(rc == 0 || rc == GO_ECANCELED) << rc;
    EXPECT_EQ(sem.used_, 2);
    EXPECT_EQ(sem.head_, nullptr);
    EXPECT_EQ(ctx.Waiters(), 0);
  });
}

// An unlock that wakes a writer who gives up must wake the others; in slots or not.
TEST_P(SyncCancelRace, RWMutexLosesNoWakeUp) {
  go_rwmutex rw{};
  Play([&](Rng &rng, Party &a, Party &b) {
    Ctx ctx;
    int rc = 1;
    bool writer_gives_up = rng.Below(2) == 0, held_by_reader = rng.Below(2) == 0;
    if (rng.Below(16) == 0) {
      for (int i = 0; i < 2500; i++) {
        go_rwmutex_rlock(&rw);
        go_rwmutex_runlock(&rw);
      }
    }
    held_by_reader ? go_rwmutex_rlock(&rw) : go_rwmutex_lock(&rw);
    auto gives_up = [&] {
      if (writer_gives_up) {
        rc = go_rwmutex_lock_ctx(ctx.get(), &rw);
        if (rc == 0) go_rwmutex_unlock(&rw);
      } else {
        rc = go_rwmutex_rlock_ctx(ctx.get(), &rw);
        if (rc == 0) go_rwmutex_runlock(&rw);
      }
    };
    bool writer_stays = rng.Below(2) == 0;
    auto stays = [&] {
      if (writer_stays) {
        go_rwmutex_lock(&rw);
        go_rwmutex_unlock(&rw);
      } else {
        go_rwmutex_rlock(&rw);
        go_rwmutex_runlock(&rw);
      }
    };
    bool in_front = rng.Below(2) == 0;
    if (in_front) a.Start(gives_up);
    b.Start(stays);
    if (!in_front) a.Start(gives_up);
    Dawdle(rng);
    bool before = rng.Below(2) == 0;
    if (before) (void)ctx.Fire();
    held_by_reader ? go_rwmutex_runlock(&rw) : go_rwmutex_unlock(&rw);
    (void)ctx.Fire();
    a.Wait();
    b.Wait();
    EXPECT_TRUE(rc == 0 || rc == GO_ECANCELED) << rc;
    EXPECT_EQ(ctx.Waiters(), 0);
    EXPECT_EQ(rw.readers_head_, nullptr);
    EXPECT_EQ(rw.writers_head_, nullptr);
    if (rng.Below(8) == 0) {
      EXPECT_TRUE(go_rwmutex_trylock(&rw));
      go_rwmutex_unlock(&rw);
    }
  });
}

}  // namespace
