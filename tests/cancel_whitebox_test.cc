// core/cancel.c, and what blocks with a context: channels, select, sleep, mutex, wait group; from
// goroutines and from plain threads. The contexts here are only what core sees of one.

#include <gtest/gtest.h>

extern "C" {
#include "core/sched.h"
}

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

struct Ctx {
  go_cancel_ c{};

  go_ctx *get() { return reinterpret_cast<go_ctx *>(&c); }
  bool Fire(int err = GO_ECANCELED) { return go_cancel_fire_(go_enter_(), &c, err); }
  // Everybody who waited has taken himself off.
  bool Nobody() {
    go_lock_(&c.lock);
    bool none = c.head == nullptr;
    go_unlock_(&c.lock);
    return none;
  }
  int Waiters() {
    int n = 0;
    go_lock_(&c.lock);
    for (go_cancel_wait_ *w = c.head; w != nullptr; w = w->next) n++;
    go_unlock_(&c.lock);
    return n;
  }
};

// Nothing in the buffer, nobody in a queue.
void ExpectQuiet(const Chan<int> &c) {
  int v = 7;
  EXPECT_EQ(c.Len(), 0u);
  EXPECT_EQ(c.TryRecv(&v), GO_EAGAIN) << "a sender is left";
  if (c.Cap() == 0) {
    EXPECT_EQ(c.TrySend(v), GO_EAGAIN) << "a receiver is left";
  } else {  // a receiver that is left would take it
    EXPECT_EQ(c.TrySend(v), 0);
    EXPECT_EQ(c.Len(), 1u);
    EXPECT_EQ(c.TryRecv(&v), 0);
  }
}

// ---- The list.

TEST(CancelList, AddsAndDeletesAnywhere) {
  for (int remove = 0; remove < 3; remove++) {
    Ctx ctx;
    go_cancel_wait_ w[3];
    go_g_ g{};
    for (auto &x : w) ASSERT_TRUE(go_cancel_add_(ctx.get(), &x, &g, 0));
    EXPECT_EQ(ctx.Waiters(), 3);
    go_cancel_del_(ctx.get(), &w[remove]);
    EXPECT_EQ(ctx.Waiters(), 2);
    for (go_cancel_wait_ *x = ctx.c.head, *prev = nullptr; x != nullptr; prev = x, x = x->next)
      EXPECT_EQ(x->prev, prev);
    for (int i = 0; i < 3; i++) {
      if (i != remove) go_cancel_del_(ctx.get(), &w[i]);
    }
    EXPECT_TRUE(ctx.Nobody());
  }
}

TEST(CancelList, NoContextIsNever) {
  go_cancel_wait_ w;
  go_g_ g{};
  EXPECT_EQ(go_cancel_err_(nullptr), 0);
  EXPECT_TRUE(go_cancel_add_(nullptr, &w, &g, 0));
  go_cancel_del_(nullptr, &w);
}

TEST(CancelList, TheFirstCodeStays) {
  Ctx ctx;
  EXPECT_EQ(go_cancel_err_(ctx.get()), 0);
  EXPECT_TRUE(ctx.Fire(GO_ETIMEDOUT));
  EXPECT_FALSE(ctx.Fire(GO_ECANCELED));
  EXPECT_EQ(go_cancel_err_(ctx.get()), GO_ETIMEDOUT);
  go_cancel_wait_ w;
  go_g_ g{};
  EXPECT_FALSE(go_cancel_add_(ctx.get(), &w, &g, 0));
  EXPECT_TRUE(ctx.Nobody());
}

// ---- All calls that block, in a state in which they do.

struct World {
  Chan<int> empty{0}, full{1};
  go_wg wg{};
  go_mutex mu{};
  World() {
    full.Send(1);
    go_wg_add(&wg, 1);
    go_mutex_lock(&mu);
  }
  // Whoever waited has left nothing behind.
  void Check() {
    ExpectQuiet(empty);
    int v = 0;
    EXPECT_EQ(full.Len(), 1u);
    EXPECT_EQ(full.TryRecv(&v), 0);
    EXPECT_EQ(v, 1);
    ExpectQuiet(full);
    go_mutex_unlock(&mu);
    EXPECT_TRUE(go_mutex_trylock(&mu));
    go_mutex_unlock(&mu);
    go_wg_done(&wg);
    go_wg_wait(&wg);
    go_wg_add(&wg, 1);  // and again
    go_wg_done(&wg);
    go_wg_wait(&wg);
  }
};

struct Blocking {
  const char *name;
  int (*call)(go_ctx *, World &);
};

const Blocking kCalls[] = {
    {"recv",
     [](go_ctx *c, World &w) {
       int v = 5;
       int rc = go_chan_recv_ctx(c, w.empty.get(), &v);
       EXPECT_EQ(v, 5) << "touched without an element";
       return rc;
     }},
    {"recv into nothing",
     [](go_ctx *c, World &w) { return go_chan_recv_ctx(c, w.empty.get(), nullptr); }},
    {"send",
     [](go_ctx *c, World &w) {
       int v = 3;
       return go_chan_send_ctx(c, w.empty.get(), &v);
     }},
    {"send to a full buffer",
     [](go_ctx *c, World &w) {
       int v = 3;
       return go_chan_send_ctx(c, w.full.get(), &v);
     }},
    {"recv from NULL",
     [](go_ctx *c, World &) {
       int v;
       return go_chan_recv_ctx(c, nullptr, &v);
     }},
    {"send to NULL",
     [](go_ctx *c, World &) {
       int v = 3;
       return go_chan_send_ctx(c, nullptr, &v);
     }},
    {"select",
     [](go_ctx *c, World &w) {
       int v = 3, in = 5;
       go_case k[] = {RecvCase(w.empty, &in), SendCase(w.full, &v), RecvCase(nullptr),
                      SendCase(w.empty, &v)};
       int rc = go_select(c, k, 4);
       EXPECT_EQ(in, 5);
       return rc;
     }},
    {"select of many",
     [](go_ctx *c, World &w) {
       int v = 3;
       go_case k[20];
       for (go_case &x : k) x = SendCase(w.full, &v);
       return go_select(c, k, 20);
     }},
    {"select of NULLs",
     [](go_ctx *c, World &) {
       int v = 3;
       go_case k[] = {RecvCase(nullptr), SendCase(nullptr, &v)};
       return go_select(c, k, 2);
     }},
    {"select of nothing", [](go_ctx *c, World &) { return go_select(c, nullptr, 0); }},
    {"sleep", [](go_ctx *c, World &) { return go_sleep(c, GO_HOUR); }},
    {"sleep for ever", [](go_ctx *c, World &) { return go_sleep(c, GO_FOREVER); }},
    {"wait group", [](go_ctx *c, World &w) { return go_wg_wait_ctx(c, &w.wg); }},
    {"mutex", [](go_ctx *c, World &w) { return go_mutex_lock_ctx(c, &w.mu); }},
    {"wait_done", [](go_ctx *c, World &) { return go_wait_done_(c, GO_WAIT_SELECT_); }},
};

// Runs f on a goroutine, or on a plain thread, and waits for it.
void On(bool goroutine, const std::function<void()> &f) {
  if (goroutine) {
    RunGo(f);
  } else {
    std::thread(f).join();
  }
}

class Cancel : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Goroutine, Cancel, testing::Bool());

TEST_P(Cancel, DoneAlready) {
  On(GetParam(), [] {
    for (int err : {GO_ECANCELED, GO_ETIMEDOUT}) {
      for (const Blocking &b : kCalls) {
        World w;
        Ctx ctx;
        EXPECT_TRUE(ctx.Fire(err));
        EXPECT_EQ(b.call(ctx.get(), w), err) << b.name;
        EXPECT_TRUE(ctx.Nobody()) << b.name;
        w.Check();
      }
    }
  });
}

// A context that is done wins over what could go at once, and nothing is done then.
TEST_P(Cancel, DoneAlreadyWinsOverReady) {
  On(GetParam(), [] {
    Ctx ctx;
    EXPECT_TRUE(ctx.Fire());
    Chan<int> c(2);
    c.Send(1);
    int v = 9;
    EXPECT_EQ(go_chan_recv_ctx(ctx.get(), c.get(), &v), GO_ECANCELED);
    EXPECT_EQ(go_chan_send_ctx(ctx.get(), c.get(), &v), GO_ECANCELED);
    go_case k[] = {RecvCase(c, &v), SendCase(c, &v)};
    EXPECT_EQ(go_select(ctx.get(), k, 2), GO_ECANCELED);
    EXPECT_EQ(c.Len(), 1u);
    EXPECT_EQ(v, 9);
    c.Close();
    EXPECT_EQ(go_chan_recv_ctx(ctx.get(), c.get(), &v), GO_ECANCELED);
    EXPECT_EQ(go_chan_send_ctx(ctx.get(), c.get(), &v), GO_ECANCELED);
    EXPECT_EQ(c.TryRecv(&v), 0);
    go_mutex mu{};
    EXPECT_EQ(go_mutex_lock_ctx(ctx.get(), &mu), GO_ECANCELED);
    EXPECT_TRUE(go_mutex_trylock(&mu));
    go_wg wg{};
    EXPECT_EQ(go_wg_wait_ctx(ctx.get(), &wg), GO_ECANCELED);
    EXPECT_EQ(go_sleep(ctx.get(), 0), GO_ECANCELED);
  });
}

// Not done: what can go goes, and nobody is left in the context's list.
TEST_P(Cancel, ReadyGoes) {
  On(GetParam(), [] {
    Ctx ctx;
    Chan<int> c(1);
    int v = 4, got = 0;
    EXPECT_EQ(go_chan_send_ctx(ctx.get(), c.get(), &v), 0);
    EXPECT_EQ(go_chan_recv_ctx(ctx.get(), c.get(), &got), 0);
    EXPECT_EQ(got, 4);
    go_case k[] = {SendCase(c, &v)};
    EXPECT_EQ(go_select(ctx.get(), k, 1), 0);
    c.Close();
    EXPECT_EQ(go_chan_recv_ctx(ctx.get(), c.get(), &got), 0);
    EXPECT_EQ(go_chan_recv_ctx(ctx.get(), c.get(), &got), GO_ECLOSED);
    EXPECT_EQ(go_chan_send_ctx(ctx.get(), c.get(), &v), GO_ECLOSED);
    go_mutex mu{};
    EXPECT_EQ(go_mutex_lock_ctx(ctx.get(), &mu), 0);
    EXPECT_FALSE(go_mutex_trylock(&mu));
    go_wg wg{};
    EXPECT_EQ(go_wg_wait_ctx(ctx.get(), &wg), 0);
    EXPECT_EQ(go_sleep(ctx.get(), 10 * GO_US), 0);
    EXPECT_EQ(go_sleep(ctx.get(), 0), 0);
    EXPECT_TRUE(ctx.Nobody());
  });
}

TEST_P(Cancel, WhileWaiting) {
  On(GetParam(), [] {
    for (int err : {GO_ECANCELED, GO_ETIMEDOUT}) {
      for (const Blocking &b : kCalls) {
        World w;
        Ctx ctx;
        int rc = 0;
        std::thread canceller([&] {
          Until([&] { return ctx.Waiters() == 1; });  // it waits, or is about to
          EXPECT_TRUE(ctx.Fire(err));
        });
        rc = b.call(ctx.get(), w);
        // A goroutine must not block its thread: the canceller may be gone or not.
        Until([&] { return go_cancel_err_(ctx.get()) != 0; });
        canceller.join();
        EXPECT_EQ(rc, err) << b.name;
        EXPECT_TRUE(ctx.Nobody()) << b.name;
        w.Check();
      }
    }
  });
}

// A crowd that waits for everything at once, goroutines and threads, and one shot.
TEST(CancelCrowd, AllWake) {
  World w;
  Ctx ctx;
  constexpr int kCopies = kTsan ? 10 : 50;
  constexpr int kKinds = sizeof kCalls / sizeof kCalls[0];
  std::vector<std::thread> threads;
  for (const Blocking &b : kCalls) {
    threads.emplace_back(
        [&] { EXPECT_EQ(b.call(ctx.get(), w), GO_ECANCELED) << "thread: " << b.name; });
    // Senders and receivers of one channel would find each other.
    if (std::string(b.name).find("recv") == 0) break;
  }
  RunGo([&] {
    Procs procs(4);
    go_wg wg{};
    int n = static_cast<int>(threads.size());
    for (const Blocking &b : kCalls) {
      std::string name = b.name;
      if (name == "send" || name == "select") continue;
      for (int i = 0; i < kCopies; i++, n++) {
        SPAWN_WG(&wg, [&] { EXPECT_EQ(b.call(ctx.get(), w), GO_ECANCELED) << b.name; });
      }
    }
    EXPECT_GT(n, kKinds);
    Until([&] { return ctx.Waiters() == n; });
    EXPECT_TRUE(ctx.Fire());
    go_wg_wait(&wg);
  });
  for (auto &t : threads) t.join();
  EXPECT_TRUE(ctx.Nobody());
  w.Check();
}

// ---- Races: the context against the counterpart. Exactly one of them wins, and both sides agree.

// Three parties at a time, each a goroutine or a thread that lives for all rounds.
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

int RaceRounds(bool goroutine) { return Rounds(goroutine ? 10000 : 2000); }

void Linger(uint32_t n) {
  for (volatile uint32_t i = n; i > 0; i = i - 1) {}
}
// A little, and never the same: so that each side wins some of the races.
void Dawdle(Rng &rng) {
  if (rng.Below(2) == 0) {
    for (uint32_t i = rng.Below(4); i > 0; i--) go_yield();
  }
  Linger(rng.Below(rng.Below(4) == 0 ? 3000 : 200));
}

class CancelRace : public testing::TestWithParam<bool> {
 protected:
  // each(rng, a, b) plays a round with two other parties.
  void Play(const std::function<void(Rng &, Party &, Party &)> &each) {
    auto all = [&] {
      Procs procs(4);
      Rng rng(11);
      Party a(GetParam()), b(GetParam());
      for (int i = RaceRounds(GetParam()); i > 0 && !HasFailure(); i--) each(rng, a, b);
    };
    On(GetParam(), all);
  }
};
INSTANTIATE_TEST_SUITE_P(Goroutine, CancelRace, testing::Bool());

// How the receiver receives: 0 recv, 1 select on two channels; and the sender likewise.
int RecvSomehow(int how, go_ctx *ctx, const Chan<int> &c, const Chan<int> &other, int *v) {
  if (how == 0) return go_chan_recv_ctx(ctx, c.get(), v);
  go_case k[] = {RecvCase(other, v), RecvCase(c, v)};
  int r = go_select(ctx, k, 2);
  return r == 1 ? 0 : r;
}
int SendSomehow(int how, go_ctx *ctx, const Chan<int> &c, const Chan<int> &other, int v) {
  if (how == 0) return go_chan_send_ctx(ctx, c.get(), &v);
  go_case k[] = {SendCase(c, &v), RecvCase(other), SendCase(nullptr, &v)};
  return go_select(ctx, k, 3);
}

TEST_P(CancelRace, ReceiverAgainstSender) {
  Chan<int> c(0), other(0);
  int round = 0;
  Play([&](Rng &rng, Party &a, Party &b) {
    Ctx of_recv, of_send;
    int got = -1, recv_rc = 1, send_rc = 1;
    int how_r = static_cast<int>(rng.Below(2)), how_s = static_cast<int>(rng.Below(2));
    bool hit_sender = rng.Below(2) == 0;
    round++;
    a.Start([&] { recv_rc = RecvSomehow(how_r, of_recv.get(), c, other, &got); });
    b.Start([&] { send_rc = SendSomehow(how_s, of_send.get(), c, other, round); });
    Dawdle(rng);
    EXPECT_TRUE((hit_sender ? of_send : of_recv).Fire(GO_ECANCELED));
    (hit_sender ? b : a).Wait();
    EXPECT_TRUE((hit_sender ? of_recv : of_send).Fire(GO_ETIMEDOUT));
    (hit_sender ? a : b).Wait();
    if (recv_rc == 0) {
      EXPECT_EQ(send_rc, 0);
      EXPECT_EQ(got, round);
    } else {
      EXPECT_EQ(recv_rc, hit_sender ? GO_ETIMEDOUT : GO_ECANCELED);
      EXPECT_EQ(send_rc, hit_sender ? GO_ECANCELED : GO_ETIMEDOUT);
      EXPECT_EQ(got, -1);
    }
    EXPECT_TRUE(of_recv.Nobody());
    EXPECT_TRUE(of_send.Nobody());
    ExpectQuiet(c);
    ExpectQuiet(other);
  });
}

// Through a buffer: what was sent is there, what was cancelled is not.
TEST_P(CancelRace, BufferLosesNothing) {
  Chan<int> c(1), other(0);
  int next = 0;  // the next number that a sender gets rid of
  Play([&](Rng &rng, Party &a, Party &b) {
    Ctx ctx;
    int recv_rc = 1, send_rc = 1, got = -1;
    int how_r = static_cast<int>(rng.Below(2)), how_s = static_cast<int>(rng.Below(2));
    bool full = rng.Below(2) == 0;
    if (full) c.Send(next++);
    a.Start([&] { send_rc = SendSomehow(how_s, ctx.get(), c, other, next); });
    b.Start([&] { recv_rc = RecvSomehow(how_r, ctx.get(), c, other, &got); });
    Dawdle(rng);
    EXPECT_TRUE(ctx.Fire());
    a.Wait();
    b.Wait();
    if (send_rc == 0) next++;
    EXPECT_TRUE(send_rc == 0 || send_rc == GO_ECANCELED);
    EXPECT_TRUE(recv_rc == 0 || recv_rc == GO_ECANCELED);
    size_t left = static_cast<size_t>((full ? 1 : 0) + (send_rc == 0 ? 1 : 0)) -
                  static_cast<size_t>(recv_rc == 0 ? 1 : 0);
    EXPECT_EQ(c.Len(), left);
    int expect = next - static_cast<int>(left), v = -1;
    EXPECT_EQ(got, recv_rc == 0 ? expect - 1 : -1);
    while (c.TryRecv(&v) == 0) EXPECT_EQ(v, expect++);
    EXPECT_EQ(expect, next);
    EXPECT_TRUE(ctx.Nobody());
    ExpectQuiet(c);
  });
}

TEST_P(CancelRace, ReceiverAgainstClose) {
  Play([&](Rng &rng, Party &a, Party &b) {
    Ctx ctx;
    Chan<int> c(0), other(0);
    int got = 5, rc = 1;
    a.Start([&] { rc = go_chan_recv_ctx(ctx.get(), c.get(), &got); });
    uint32_t late = rng.Below(500);
    b.Start([&, late] {
      Linger(late);
      c.Close();
    });
    Dawdle(rng);
    EXPECT_TRUE(ctx.Fire());
    a.Wait();
    b.Wait();
    EXPECT_TRUE(rc == GO_ECLOSED || rc == GO_ECANCELED) << rc;
    EXPECT_EQ(got, rc == GO_ECLOSED ? 0 : 5);
    EXPECT_TRUE(ctx.Nobody());
  });
}

// An unlock that wakes a waiter who gives up must wake the other one.
TEST_P(CancelRace, MutexLosesNoWakeUp) {
  go_mutex mu{};
  Play([&](Rng &rng, Party &a, Party &b) {
    Ctx ctx;
    int rc = 1;
    go_mutex_lock(&mu);
    auto gives_up = [&] {
      rc = go_mutex_lock_ctx(ctx.get(), &mu);
      if (rc == 0) go_mutex_unlock(&mu);
    };
    auto waits = [&] {
      go_mutex_lock(&mu);
      go_mutex_unlock(&mu);
    };
    bool in_front = rng.Below(2) == 0;
    if (in_front) a.Start(gives_up);
    b.Start(waits);
    if (!in_front) a.Start(gives_up);
    Dawdle(rng);
    bool before = rng.Below(2) == 0;
    bool fired = before && ctx.Fire();
    go_mutex_unlock(&mu);
    fired = fired || ctx.Fire();
    EXPECT_TRUE(fired);
    a.Wait();
    b.Wait();
    EXPECT_TRUE(rc == 0 || rc == GO_ECANCELED) << rc;
    EXPECT_TRUE(ctx.Nobody());
    EXPECT_TRUE(go_mutex_trylock(&mu));
    go_mutex_unlock(&mu);
    EXPECT_EQ(mu.head_, nullptr);
  });
}

TEST_P(CancelRace, WaitGroupAgainstDone) {
  Play([&](Rng &rng, Party &a, Party &b) {
    auto wg = std::make_unique<go_wg>();  // gone after the round: nobody may touch it late
    *wg = go_wg{};
    Ctx ctx;
    int rc = 1;
    go_wg_add(wg.get(), 1);
    a.Start([&] { rc = go_wg_wait_ctx(ctx.get(), wg.get()); });
    uint32_t late = rng.Below(500);
    b.Start([&, late] {
      Linger(late);
      go_wg_done(wg.get());
    });
    Dawdle(rng);
    EXPECT_TRUE(ctx.Fire(GO_ETIMEDOUT));
    a.Wait();
    b.Wait();
    EXPECT_TRUE(rc == 0 || rc == GO_ETIMEDOUT) << rc;
    EXPECT_TRUE(ctx.Nobody());
    go_wg_wait(wg.get());
    EXPECT_EQ(wg->head_, nullptr);
  });
}

TEST_P(CancelRace, SleepAgainstItsEnd) {
  Play([&](Rng &rng, Party &a, Party &b) {
    Ctx ctx;
    int rc = 1, rc2 = 1;
    go_nsec d = 1 + rng.Below(rng.Below(2) == 0 ? 500 : 5000);
    a.Start([&] { rc = go_sleep(ctx.get(), d); });
    b.Start([&] { rc2 = go_sleep(ctx.get(), GO_FOREVER); });
    Dawdle(rng);
    EXPECT_TRUE(ctx.Fire());
    a.Wait();
    b.Wait();
    EXPECT_TRUE(rc == 0 || rc == GO_ECANCELED) << rc;
    EXPECT_EQ(rc2, GO_ECANCELED);
    EXPECT_TRUE(ctx.Nobody());
  });
}

// Two cancel at once: one wins, and its code is what the waiter gets.
TEST_P(CancelRace, TwoCancellers) {
  Play([&](Rng &rng, Party &a, Party &b) {
    Ctx ctx;
    int rc = 1;
    bool first = false;
    a.Start([&] { rc = go_chan_recv_ctx(ctx.get(), nullptr, nullptr); });
    b.Start([&] { first = ctx.Fire(GO_ETIMEDOUT); });
    Dawdle(rng);
    bool second = ctx.Fire(GO_ECANCELED);
    a.Wait();
    b.Wait();
    EXPECT_NE(first, second);
    EXPECT_EQ(rc, first ? GO_ETIMEDOUT : GO_ECANCELED);
    EXPECT_TRUE(ctx.Nobody());
  });
}

}  // namespace
