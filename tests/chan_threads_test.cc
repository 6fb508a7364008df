// Plain threads and goroutines on the same channels, wait groups and mutexes.

#include <thread>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

TEST(Threads, NoGoroutineAtAll) {
  Chan<int> c(0);
  std::thread sender([&] {
    for (int i = 0; i < 1000; i++) c.Send(i);
    c.Close();
  });
  int n = 0;
  for (int v; c.Recv(&v); n++) EXPECT_EQ(v, n);
  EXPECT_EQ(n, 1000);
  sender.join();
  EXPECT_EQ(go_id(), 0u) << "a plain thread has no number";
}

TEST(Threads, ThreadSendsGoroutineReceives) {
  for (size_t cap : {0u, 1u, 16u}) {
    Chan<int> c(cap);
    std::thread sender([&] {
      for (int i = 0; i < 2000; i++) c.Send(i);
      c.Close();
    });
    RunGo([&] {
      int n = 0;
      for (int v; c.Recv(&v); n++) EXPECT_EQ(v, n);
      EXPECT_EQ(n, 2000);
    });
    sender.join();
  }
}

TEST(Threads, GoroutineSendsThreadReceives) {
  for (size_t cap : {0u, 1u, 16u}) {
    Chan<int> c(cap);
    std::thread receiver([&] {
      int n = 0;
      for (int v; c.Recv(&v); n++) EXPECT_EQ(v, n);
      EXPECT_EQ(n, 2000);
    });
    RunGo([&] {
      for (int i = 0; i < 2000; i++) c.Send(i);
      c.Close();
    });
    receiver.join();
  }
}

// Everybody on the same channels: sums balance, FIFO per sender.
TEST(Threads, MixedCrowd) {
  constexpr int kThreads = 4, kGos = 8, kEach = Rounds(4000);
  for (size_t cap : {0u, 3u}) {
    Chan<int64_t> c(cap);
    std::atomic<int64_t> sent{0}, received{0};
    go_wg senders{}, receivers{};
    auto send = [&](int who) {
      for (int i = 0; i < kEach; i++) {
        int64_t v = static_cast<int64_t>(who) * kEach + i;
        c.Send(v);
        sent += v;
      }
      go_wg_done(&senders);
    };
    auto receive = [&] {
      std::vector<int> last(kThreads + kGos, -1);
      for (int64_t v; c.Recv(&v);) {
        received += v;
        size_t who = static_cast<size_t>(v / kEach);
        EXPECT_LT(last[who], static_cast<int>(v % kEach)) << "out of order";
        last[who] = static_cast<int>(v % kEach);
      }
      go_wg_done(&receivers);
    };
    go_wg_add(&senders, kThreads + kGos);
    go_wg_add(&receivers, kThreads + kGos);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; t++) {
      threads.emplace_back([&, t] { send(t); });
      threads.emplace_back([&] { receive(); });
    }
    RunGo([&] {
      Procs procs(4);
      for (int g = 0; g < kGos; g++) {
        SPAWN([&, g] { send(kThreads + g); });
        SPAWN([&] { receive(); });
      }
      go_wg_wait(&senders);
      c.Close();
      go_wg_wait(&receivers);
    });
    for (auto &t : threads) t.join();
    EXPECT_EQ(sent.load(), received.load());
  }
}

TEST(Threads, Select) {
  Chan<int> a(0), b(0), stop(0);
  std::atomic<int> sum{0};
  std::thread selecter([&] {
    for (;;) {
      int v = 0;
      go_case k[] = {RecvCase(a, &v), RecvCase(b, &v), RecvCase(stop)};
      if (Select(k) == 2) return;
      sum += v;
    }
  });
  std::thread pusher([&] {
    for (int i = 0; i < 1000; i++) {
      int v = 1;
      go_case k[] = {SendCase(a, &v), SendCase(b, &v)};
      (void)Select(k);
    }
  });
  RunGo([&] {
    for (int i = 0; i < 1000; i++) (i % 2 != 0 ? a : b).Send(10);
  });
  pusher.join();
  stop.Close();
  selecter.join();
  EXPECT_EQ(sum, 11000);
}

TEST(Threads, TryForms) {
  Chan<int> c(1);
  int v = 0;
  EXPECT_EQ(c.TryRecv(&v), GO_EAGAIN);
  EXPECT_EQ(c.TrySend(1), 0);
  EXPECT_EQ(c.TrySend(2), GO_EAGAIN);
  go_case k[] = {RecvCase(c, &v)};
  EXPECT_EQ(SelectTry(k), 0);
  EXPECT_EQ(v, 1);
  EXPECT_EQ(SelectTry(k), GO_EAGAIN);
}

// A thread may close; waiting goroutines and threads wake.
TEST(Threads, CloseWakesBothKinds) {
  Chan<int> c(0);
  std::atomic<int> woken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([&] {
      if (!c.Recv(nullptr)) woken++;
    });
  }
  go_wg wg{};
  RunGo([&] {
    for (int i = 0; i < 4; i++) {
      SPAWN_WG(&wg, [&] {
        if (!c.Recv(nullptr)) woken++;
      });
    }
    Settle();
  });
  c.Close();
  for (auto &t : threads) t.join();
  go_wg_wait(&wg);
  EXPECT_EQ(woken, 8);
}

// A waiting plain thread that is closed upon panics: within go_try it can say so.
TEST(Threads, PanicsReachGoTry) {
  Chan<int> c(0);
  std::atomic<bool> panicked{false};
  std::thread sender([&] { panicked = Panics([&] { c.Send(1); }); });
  RunGo([&] {
    Settle();
    c.Close();
  });
  sender.join();
  EXPECT_TRUE(panicked);
  EXPECT_TRUE(Panics([&] { c.Close(); }));
}

TEST(Threads, WaitGroup) {
  for (int round = 0; round < 50; round++) {
    go_wg wg{};
    std::atomic<int> done{0};
    go_wg_add(&wg, 8);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) {
      threads.emplace_back([&] {
        done++;
        go_wg_done(&wg);
      });
      SPAWN([&] {
        done++;
        go_wg_done(&wg);
      });
      threads.emplace_back([&] {
        go_wg_wait(&wg);
        EXPECT_EQ(done, 8);
      });
    }
    RunGo([&] {
      go_wg_wait(&wg);
      EXPECT_EQ(done, 8);
    });
    go_wg_wait(&wg);
    EXPECT_EQ(done, 8);
    for (auto &t : threads) t.join();
  }
}

TEST(Threads, Mutex) {
  go_mutex mu{};
  int64_t counter = 0;
  constexpr int kEach = Rounds(20000);
  auto hammer = [&] {
    for (int i = 0; i < kEach; i++) {
      go_mutex_lock(&mu);
      counter++;
      go_mutex_unlock(&mu);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; i++) threads.emplace_back(hammer);
  RunGo([&] {
    Procs procs(4);
    go_wg wg{};
    for (int i = 0; i < 3; i++) SPAWN_WG(&wg, hammer);
    go_wg_wait(&wg);
  });
  for (auto &t : threads) t.join();
  EXPECT_EQ(counter, 6 * kEach);
}

TEST(Threads, SleepAndYield) {
  go_nsec t0 = go_now();
  EXPECT_EQ(go_sleep(nullptr, 5 * GO_MS), 0);
  EXPECT_GE(go_now() - t0, 5 * GO_MS);
  EXPECT_EQ(go_sleep(nullptr, 0), 0);
  EXPECT_EQ(go_sleep(nullptr, -GO_SEC), 0);
  go_yield();
  (void)go_checkpoint();
  go_lock_thread();  // no effect
  go_unlock_thread();
}

// Threads that come and go leave nothing behind that a later one could fall over.
TEST(Threads, ManyShortLived) {
  Chan<int> c(0);
  RunGo([&] {
    Procs procs(2);
    go_wg wg{};
    constexpr int n = Rounds(500);
    SPAWN_WG(&wg, [&] {
      for (int i = 0; i < n; i++) (void)c.Take();
    });
    // The threads are made by a thread: pthread_create from a goroutine is fine too, but joining
    // blocks.
    std::thread([&] {
      for (int i = 0; i < n; i++) std::thread([&, i] { c.Send(i); }).join();
    }).join();
    go_wg_wait(&wg);
  });
}

// go_spawn and go_post from a plain thread.
TEST(Threads, SpawnAndPost) {
  Chan<int> c(4);
  struct Args {
    go_chan *c;
    int v;
  } args{c.get(), 3};
  auto send = [](void *p) {
    Args *a = static_cast<Args *>(p);
    go_chan_send(a->c, &a->v);
  };
  EXPECT_EQ(go_post(send, &args), 0);
  EXPECT_EQ(c.Take(), 3);
  EXPECT_EQ(go_spawn(send, &args), 0);
  EXPECT_EQ(c.Take(), 3);
  EXPECT_EQ(go_spawn_copy(send, &args, sizeof args), 0);
  EXPECT_EQ(c.Take(), 3);
  SPAWN([&] { c.Send(4); });
  EXPECT_EQ(c.Take(), 4);
  Until([] { return go_count() == 0; });
}

}  // namespace
