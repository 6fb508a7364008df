// go_after: a channel that receives one instant.

#include <algorithm>
#include <thread>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

// A go_after that lets go by itself.
struct After {
  explicit After(go_nsec d) : c(go_after(d)) { EXPECT_NE(c, nullptr); }
  ~After() { go_chan_unref(c); }
  After(const After &) = delete;
  After &operator=(const After &) = delete;
  go_nsec Take() const {
    go_nsec v = -1;
    EXPECT_TRUE(go_chan_recv(c, &v));
    return v;
  }
  go_chan *c;
};

// Go: TestAfter, TestAfterTimes (time/sleep_test.go): never early; the value is the instant that it
// was due, also when it is taken late.
TEST(After, NeverEarly) {
  RunGo([] {
    for (go_nsec d : {GO_NS, GO_US, 100 * GO_US, GO_MS, 5 * GO_MS}) {
      go_nsec before = go_now();
      After a(d);
      go_nsec after = go_now();
      if (d == GO_MS) {
        (void)go_sleep(nullptr, 5 * GO_MS);
      }
      go_nsec v = a.Take();
      EXPECT_GE(v, before + d);
      EXPECT_LE(v, after + d);
      EXPECT_GE(go_now(), v);
      EXPECT_EQ(go_chan_try_recv(a.c, nullptr), GO_EAGAIN);  // one, and it stays open
    }
  });
}

TEST(After, AtOnce) {
  RunGo([] {
    for (go_nsec d : {go_nsec{0}, go_nsec{-1}, INT64_MIN}) {
      go_nsec before = go_now();
      After a(d);
      go_nsec v = a.Take();
      EXPECT_GE(v, before);
      EXPECT_LE(v, go_now());
    }
  });
}

TEST(After, IsAChannelOfCapacityOne) {
  RunGo([] {
    After a(GO_HOUR), b(0);
    EXPECT_EQ(go_chan_cap(a.c), 1u);
    EXPECT_EQ(go_chan_len(a.c), 0u);
    Until([&] { return go_chan_len(b.c) == 1; });
  });
}

// Go: TestOverflowSleep (time/sleep_test.go).
TEST(After, LongestNeverCome) {
  RunGo([] {
    After a(GO_FOREVER), b(GO_FOREVER - 1), c(GO_FOREVER - go_now() + 1), soon(2 * GO_MS);
    go_case k[] = {RecvCase(a.c), RecvCase(b.c), RecvCase(c.c), RecvCase(soon.c)};
    EXPECT_EQ(Select(k), 3);
  });
}

// Go: TestAfterQueuing (time/sleep_test.go): thirteen in disorder come in the order of their times,
// unless the machine pauses: then once more, slower.
bool ComeInOrder(go_nsec delta) {
  static const int kSlots[] = {5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0};
  Chan<int> came(13);
  for (int slot : kSlots) {
    SPAWN([came, slot, delta] {
      After a(slot * delta);
      (void)a.Take();
      came.Send(slot);
    });
  }
  std::vector<int> order;
  for (size_t i = 0; i < 13; i++) order.push_back(came.Take());
  return std::is_sorted(order.begin(), order.end());
}
TEST(After, ComeInOrder) {
  RunGo([] {
    bool ok = false;
    for (go_nsec delta : {10 * GO_MS, 30 * GO_MS, 100 * GO_MS, 300 * GO_MS}) {
      ok = ok || ComeInOrder(delta);
    }
    EXPECT_TRUE(ok);
  });
}

// Go: TestTimerFairness (runtime/proc_test.go): senders that are always ready do not keep a select
// from its time-out.
TEST(After, NotStarvedInASelect) {
  RunGo([] {
    Procs procs(1);
    Chan<int> c(0);
    std::atomic<bool> stop{false};
    go_wg wg{};
    for (int i = 0; i < 2; i++) {
      SPAWN_WG(&wg, [&] {
        while (!stop) c.Send(1);
      });
    }
    After end(20 * GO_MS);
    for (;;) {
      int v;
      go_case k[] = {RecvCase(c, &v), RecvCase(end.c)};
      if (Select(k) == 1) break;
    }
    stop = true;
    SPAWN([c] {
      while (c.Recv(nullptr)) {}
    });
    go_wg_wait(&wg);
    c.Close();
  });
}

// As the time-out of a select, dropped before it comes, a hundred thousand times.
TEST(After, DroppedBeforeItComes) {
  RunGo([] {
    Procs procs(4);
    go_wg wg{};
    for (int g = 0; g < 4; g++) {
      SPAWN_WG(&wg, [] {
        Chan<int> c(1);
        for (int i = Rounds(25000); i > 0; i--) {
          c.Send(i);
          After late(GO_HOUR);
          int v = 0;
          go_case k[] = {RecvCase(c, &v), RecvCase(late.c)};
          EXPECT_EQ(Select(k), 0);
        }
      });
    }
    go_wg_wait(&wg);
  });
}

// Dropped just when it comes: by the last reference, here or on the way.
TEST(After, DroppedWhenItComes) {
  RunGo([] {
    Procs procs(4);
    go_wg wg{};
    std::atomic<int> came{0}, early{0};
    for (int g = 0; g < 4; g++) {
      SPAWN_WG(&wg, [&, g] {
        Rng rng(static_cast<uint64_t>(g));
        for (int i = Rounds(10000); i > 0; i--) {
          After a(rng.Below(30) * GO_US);
          switch (rng.Below(4)) {
            case 0: go_yield(); break;
            case 1: (void)go_sleep(nullptr, rng.Below(30) * GO_US); break;
            case 2: {
              go_nsec v = a.Take();
              if (v > go_now()) early++;
              came++;
              break;
            }
            default: break;
          }
        }
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(early, 0);
    EXPECT_GT(came, 0);
  });
}

// Shared: whoever lets go last.
TEST(After, Shared) {
  RunGo([] {
    Procs procs(4);
    for (int i = Rounds(2000); i > 0; i--) {
      go_chan *c = go_after(i % 20 * GO_US);
      go_wg wg{};
      std::atomic<int> got{0};
      for (int g = 0; g < 3; g++) {
        SPAWN_WG(&wg, [c = go_chan_ref(c), &got, g] {
          if (g == 0) {
            EXPECT_TRUE(go_chan_recv(c, nullptr));
            got++;
          }
          go_chan_unref(c);
        });
      }
      go_chan_unref(c);
      go_wg_wait(&wg);
      EXPECT_EQ(got, 1);
    }
  });
}

TEST(After, FromPlainThreads) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([] {
      for (int k = 0; k < 50; k++) {
        After dropped(GO_HOUR), a(k * 10 * GO_US);
        go_nsec v = a.Take();
        EXPECT_LE(v, go_now());
      }
    });
  }
  for (auto &t : threads) t.join();
}

// Last: it stops the scheduler.
TEST(AfterShutdown, LivesThroughIt) {
  After a(GO_HOUR);
  ASSERT_EQ(go_shutdown(GO_FOREVER), 0);
  After b(GO_MS);
  (void)b.Take();
  ASSERT_EQ(go_shutdown(GO_FOREVER), 0);
}

}  // namespace
