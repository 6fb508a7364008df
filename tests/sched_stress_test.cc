// The scheduler under load: storms of goroutines that start, yield, sleep, lock, panic and end.

#include <fcntl.h>
#include <unistd.h>

#include <thread>

#include "tests/support/golib_test.h"
#include "tests/support/system.h"

using namespace golib_test;

namespace {

// The usual stacks: tools/emu gives emulated programs smaller ones.
[[maybe_unused]] const int kUsual = UnsetEnv("GOLIB_STACK");

// Bursts of goroutines from several places, of several depths: as many end as were started.
TEST(SpawnStress, Storm) {
  RunGo([] {
    go_nsec end = StressEnd();
    std::atomic<int64_t> started{0}, ended{0};
    go_wg wg{};
    for (uint64_t w = 0; w < 4; w++) {
      SPAWN_WG(&wg, [&, w] {
        Rng rng(w);
        while (go_now() < end) {
          go_wg burst{};
          uint32_t n = 1 + rng.Below(Goroutines(1000) / 2);
          for (uint32_t i = 0; i < n; i++) {
            started++;
            uint32_t kind = rng.Below(8);
            SPAWN_WG(&burst, [&, kind] {
              if (kind == 0) go_yield();
              if (kind == 1) {
                started++;
                SPAWN_WG(&burst, [&] { ended++; });
              }
              ended++;
            });
          }
          go_wg_wait(&burst);
        }
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(started.load(), ended.load());
    Until([] { return go_count() == 1; });
  });
}

// Arguments of all sizes survive the storm.
TEST(SpawnStress, Copies) {
  RunGo([] {
    go_nsec end = StressEnd();
    static std::atomic<int64_t> good, bad;
    good = bad = 0;
    int64_t started = 0;
    Rng rng(77);
    struct Header {
      size_t size;
      uint8_t seed;
    };
    std::vector<uint8_t> bytes(4096);
    while (go_now() < end) {
      for (int i = 0; i < 200; i++) {
        size_t size = sizeof(Header) + rng.Below(rng.Below(10) == 0 ? 4000 : 120);
        Header h{size, static_cast<uint8_t>(rng.Next())};
        for (size_t b = sizeof h; b < size; b++) bytes[b] = static_cast<uint8_t>(h.seed + b);
        memcpy(bytes.data(), &h, sizeof h);
        go_spawn_opts o{};
        o.stack_size = i % 5 == 0 ? static_cast<size_t>(32) << 10 : 0;
        o.name = i % 7 == 0 ? "named" : nullptr;
        MustStart(go_spawn_opt(
            &o,
            [](void *p) {
              Header head;
              memcpy(&head, p, sizeof head);
              const uint8_t *b = static_cast<uint8_t *>(p);
              go_yield();
              bool ok = true;
              for (size_t j = sizeof head; j < head.size; j++)
                ok = ok && b[j] == static_cast<uint8_t>(head.seed + j);
              ++(ok ? good : bad);
            },
            bytes.data(), size));
        started++;
      }
      Until([&] { return good + bad == started; });
    }
    EXPECT_EQ(bad, 0);
    EXPECT_EQ(good, started);
  });
}

TEST(SleepStress, Storm) {
  RunGo([] {
    go_nsec end = StressEnd();
    constexpr int kSleepers = Goroutines(500);
    std::atomic<int64_t> naps{0};
    std::atomic<int> early{0};
    go_wg wg{};
    for (int s = 0; s < kSleepers; s++) {
      SPAWN_WG(&wg, [&, s] {
        Rng rng(static_cast<uint64_t>(s));
        while (go_now() < end) {
          go_nsec d = rng.Below(3) == 0 ? rng.Below(5000) * GO_US : rng.Below(300) * GO_US;
          go_nsec t0 = go_now();
          (void)go_sleep(nullptr, d);
          if (go_now() - t0 < d) early++;
          naps++;
        }
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(early, 0);
    EXPECT_GT(naps.load(), 0);
  });
}

TEST(YieldStress, Storm) {
  RunGo([] {
    go_nsec end = StressEnd();
    std::atomic<int64_t> yields{0};
    go_wg wg{};
    for (int g = 0; g < 100; g++) {
      SPAWN_WG(&wg, [&] {
        int64_t n = 0;
        // Locals that must be what they were after each switch.
        uint64_t a = 1, b = 2, c = 3;
        double x = 0.5;
        while (go_now() < end) {
          for (int i = 0; i < 20; i++, n++) {
            go_yield();
            a += 1, b += 2, c += 3, x += 0.5;
          }
        }
        uint64_t u = static_cast<uint64_t>(n);
        EXPECT_TRUE(a == 1 + u && b == 2 + 2 * u && c == 3 + 3 * u &&
                    x == 0.5 + 0.5 * static_cast<double>(n));
        yields += n;
      });
    }
    go_wg_wait(&wg);
    EXPECT_GT(yields.load(), 0);
  });
}

TEST(SyncStress, MutexAndWaitGroup) {
  RunGo([] {
    go_nsec end = StressEnd();
    constexpr int kMutexes = 4;
    go_mutex mu[kMutexes] = {};
    int64_t guarded[kMutexes] = {};
    std::atomic<int64_t> total{0};
    go_wg wg{};
    for (uint64_t g = 0; g < 16; g++) {
      SPAWN_WG(&wg, [&, g] {
        Rng rng(g);
        int64_t n = 0;
        while (n % 32 != 0 || go_now() < end) {
          uint32_t m = rng.Below(kMutexes);
          switch (rng.Below(4)) {
            case 0:
              if (!go_mutex_trylock(&mu[m])) {
                go_yield();
                continue;
              }
              break;
            case 1:
              if (go_mutex_lock_ctx(nullptr, &mu[m]) != 0) continue;
              break;
            default: go_mutex_lock(&mu[m]);
          }
          int64_t seen = guarded[m];
          if (rng.Below(50) == 0) go_yield();
          if (rng.Below(1000) == 0) (void)go_sleep(nullptr, 50 * GO_US);
          guarded[m] = seen + 1;
          go_mutex_unlock(&mu[m]);
          n++;
          if (rng.Below(20) == 0) {
            go_wg little{};
            for (int i = 0; i < 3; i++) SPAWN_WG(&little, [] { go_yield(); });
            go_wg_wait(&little);
          }
        }
        total += n;
      });
    }
    go_wg_wait(&wg);
    int64_t sum = 0;
    for (int64_t v : guarded) sum += v;
    EXPECT_EQ(sum, total);
  });
}

// One mutex and one channel between goroutines and plain threads.
TEST(SyncStress, ThreadsMixedIn) {
  go_nsec end = StressEnd();
  go_mutex mu{};
  int64_t guarded = 0;
  std::atomic<int64_t> total{0};
  go_wg wg{};
  constexpr int kThreads = 3, kGos = 6;
  go_wg_add(&wg, kThreads + kGos);
  auto work = [&](uint64_t seed) {
    Rng rng(seed);
    int64_t n = 0;
    while (n % 32 != 0 || go_now() < end) {
      go_mutex_lock(&mu);
      guarded++;
      if (rng.Below(100) == 0) go_yield();
      go_mutex_unlock(&mu);
      n++;
      if (rng.Below(200) == 0) (void)go_sleep(nullptr, 20 * GO_US);
      if (rng.Below(100) == 0) {
        go_wg little{};
        SPAWN_WG(&little, [] {});
        go_wg_wait(&little);
      }
    }
    total += n;
    go_wg_done(&wg);
  };
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < kThreads; t++) threads.emplace_back(work, t);
  for (uint64_t g = 0; g < kGos; g++) SPAWN([&work, g] { work(100 + g); });
  go_wg_wait(&wg);
  for (auto &t : threads) t.join();
  EXPECT_EQ(guarded, total);
}

// GOMAXPROCS goes up and down under everything at once.
TEST(ProcsStress, UpAndDown) {
  RunGo([] {
    int before = go_procs(0);
    go_nsec end = StressEnd();
    std::atomic<int64_t> sent{0}, received{0}, started{0}, ended{0}, naps{0};
    Chan<int> c(3);
    go_wg wg{}, senders{};
    for (uint64_t i = 0; i < 4; i++) {
      SPAWN_WG(&senders, [&] {
        while (go_now() < end) {
          c.Send(1);
          sent++;
        }
      });
      SPAWN_WG(&wg, [&] {
        while (c.Recv(nullptr)) received++;
      });
      SPAWN_WG(&wg, [&] {
        while (go_now() < end) {
          go_wg burst{};
          for (int j = 0; j < 30; j++) {
            started++;
            SPAWN_WG(&burst, [&] {
              go_yield();
              ended++;
            });
          }
          go_wg_wait(&burst);
        }
      });
      SPAWN_WG(&wg, [&, i] {
        Rng rng(i);
        while (go_now() < end) {
          (void)go_sleep(nullptr, rng.Below(1000) * GO_US);
          naps++;
        }
      });
    }
    SPAWN_WG(&wg, [&] {
      Rng rng(31);
      while (go_now() < end) {
        int n = rng.Below(20) == 0 ? 100 : 1 + static_cast<int>(rng.Below(8));
        (void)go_procs(n);
        if (rng.Below(3) == 0) (void)go_sleep(nullptr, rng.Below(2000) * GO_US);
        go_yield();
      }
    });
    go_wg_wait(&senders);
    c.Close();
    go_wg_wait(&wg);
    (void)go_procs(before);
    EXPECT_EQ(sent.load(), received.load());
    EXPECT_EQ(started.load(), ended.load());
    EXPECT_GT(naps.load(), 0);
  });
}

// Goroutines wired to threads come and go among the others.
TEST(LockThreadStress, ComeAndGo) {
  RunGo([] {
    go_nsec end = StressEnd();
    go_wg wg{};
    std::atomic<int64_t> n{0};
    std::atomic<int> moved{0};
    Chan<int> c(0);
    for (uint64_t w = 0; w < 3; w++) {
      SPAWN_WG(&wg, [&, w] {
        Rng rng(w);
        while (go_now() < end) {
          go_wg burst{};
          for (int i = 0; i < 5; i++) {
            SPAWN_WG(&burst, [&, seed = rng.Next()] {
              Rng mine(seed);
              go_lock_thread();
              pthread_t self = pthread_self();
              for (uint32_t j = mine.Below(10); j > 0; j--) {
                switch (mine.Below(4)) {
                  case 0: go_yield(); break;
                  case 1: (void)go_sleep(nullptr, mine.Below(200) * GO_US); break;
                  case 2: (void)c.TrySend(1); break;
                  default: (void)c.TryRecv(nullptr);
                }
                if (!pthread_equal(self, pthread_self())) moved++;
              }
              if (mine.Below(2) == 0) go_unlock_thread();
              n++;
              if (mine.Below(10) == 0) go_exit();
            });
            SPAWN_WG(&burst, [] {
              for (int j = 0; j < 5; j++) go_yield();
            });
          }
          go_wg_wait(&burst);
        }
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(moved, 0);
    EXPECT_GT(n.load(), 0);
  });
}

// Hogs and unannounced blocking calls on every P: the others get on.
TEST(HogStress, OthersGetOn) {
  RunGo([] {
    go_nsec end = StressEnd();
    go_wg wg{};
    std::atomic<int64_t> progress{0}, hogged{0}, blocked{0};
    int procs = go_procs(0);
    for (int i = 0; i < procs; i++) {
      SPAWN_WG(&wg, [&] {
        while (go_now() < end) {
          for (go_nsec until = go_now() + 20 * GO_MS; go_now() < until;) {}
          hogged++;
          go_yield();
        }
      });
      SPAWN_WG(&wg, [&] {
        while (go_now() < end) {
          usleep(20000);
          blocked++;
          go_yield();
        }
      });
    }
    for (int i = 0; i < 4; i++) {
      SPAWN_WG(&wg, [&] {
        while (go_now() < end) {
          (void)go_sleep(nullptr, GO_MS);
          progress++;
        }
      });
    }
    go_wg_wait(&wg);
    EXPECT_GT(progress.load(), 0);
    EXPECT_GT(hogged.load(), 0);
    EXPECT_GT(blocked.load(), 0);
  });
}

// go_run from many threads, all the time.
TEST(RunStress, FromManyThreads) {
  go_nsec end = StressEnd();
  std::atomic<int64_t> n{0}, expected{0};
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 6; t++) {
    threads.emplace_back([&, t] {
      Rng rng(t);
      while (go_now() < end) {
        int64_t m = 1 + rng.Below(10);
        expected += m;
        RunGo([&] {
          go_wg wg{};
          for (int64_t i = 0; i < m; i++) {
            SPAWN_WG(&wg, [&] {
              go_yield();
              n++;
            });
          }
          go_wg_wait(&wg);
        });
      }
    });
  }
  for (auto &t : threads) t.join();
  EXPECT_EQ(n.load(), expected.load());
}

// Start, work, shut down, again and again.
TEST(RunStress, Shutdown) {
  go_nsec end = StressEnd();
  int rounds = 0;
  while (go_now() < end) {
    std::atomic<int> n{0};
    RunGo([&] {
      for (int i = 0; i < 50; i++) {
        SPAWN([&, i] {
          if (i % 5 == 0) (void)go_sleep(nullptr, 100 * GO_US);
          if (i % 7 == 0) go_lock_thread();
          go_yield();
          n++;
        });
      }
    });
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
    EXPECT_EQ(n, 50);
    rounds++;
  }
  EXPECT_GT(rounds, 0);
}

// Dumps are written while everything moves.
TEST(DumpStress, WhileEverythingMoves) {
  go_nsec end = StressEnd();
  int null = open("/dev/null", O_WRONLY);
  std::atomic<int64_t> dumps{0}, started{0}, ended{0};
  std::thread dumper([&] {
    while (go_now() < end) {
      go_dump(null);
      dumps++;
    }
  });
  RunGo([&] {
    go_wg wg{};
    for (uint64_t w = 0; w < 3; w++) {
      SPAWN_WG(&wg, [&, w] {
        Rng rng(w);
        while (go_now() < end) {
          go_wg burst{};
          go_mutex mu{};
          Chan<int> c(0);
          for (int i = 0; i < 20; i++) {
            started++;
            SPAWN_WG(&burst, [&, c, kind = rng.Below(5)] {
              if (kind == 0) go_set_name("named while dumped");
              if (kind == 1) (void)go_sleep(nullptr, 20 * GO_US);
              if (kind == 2) (void)c.TrySend(1);
              if (kind == 3) go_yield();
              go_mutex_lock(&mu);
              if (kind == 4) go_set_name("other");
              go_mutex_unlock(&mu);
              ended++;
            });
          }
          if (rng.Below(10) == 0) go_dump(null);
          go_wg_wait(&burst);
        }
      });
    }
    go_wg_wait(&wg);
  });
  dumper.join();
  close(null);
  EXPECT_EQ(started.load(), ended.load());
  EXPECT_GT(dumps.load(), 0);
}

// Panics, exits, deferred calls and tries, everywhere.
TEST(PanicStress, Everywhere) {
  static std::atomic<int64_t> handled;
  handled = 0;
  go_set_panic_handler([](const go_panic_info *) { handled++; });
  RunGo([] {
    go_nsec end = StressEnd();
    static std::atomic<int64_t> defers;
    defers = 0;
    std::atomic<int64_t> expected_defers{0}, expected_panics{0}, caught{0}, expected_caught{0};
    go_wg wg{};
    for (uint64_t w = 0; w < 4; w++) {
      SPAWN_WG(&wg, [&, w] {
        Rng rng(w);
        while (go_now() < end) {
          go_wg burst{};
          for (int i = 0; i < 50; i++) {
            uint32_t kind = rng.Below(5);
            expected_defers += 2;
            if (kind == 1) expected_panics++;
            if (kind == 2) expected_caught++;
            SPAWN_WG(&burst, [&, kind] {
              auto count = [](void *) { defers++; };
              auto count_late = [](void *) {
                go_yield();
                defers++;
              };
              GO_DEFER(count, nullptr);
              GO_DEFER(count_late, nullptr);
              switch (kind) {
                case 0: go_exit();
                case 1: go_panic("stress");
                case 2:
                  if (Panics([] {
                        GO_DEFER([](void *) { go_yield(); }, nullptr);
                        go_panic("caught");
                      }))
                    caught++;
                  break;
                default: go_yield();
              }
            });
          }
          go_wg_wait(&burst);
        }
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(defers.load(), expected_defers.load());
    EXPECT_EQ(handled.load(), expected_panics.load());
    EXPECT_EQ(caught.load(), expected_caught.load());
  });
  go_set_panic_handler(nullptr);
}

__attribute__((noinline)) int Deep(uint32_t levels) {
  volatile char frame[256];
  frame[0] = 1;
  if (levels % 32 == 0) go_yield();
  return levels == 0 ? 0 : Deep(levels - 1) + frame[0];
}
// Stacks of all depths and sizes, used and given back.
TEST(StackStress, AllDepths) {
  RunGo([] {
    go_nsec end = StressEnd();
    go_wg wg{};
    std::atomic<int> bad{0};
    for (uint64_t w = 0; w < 4; w++) {
      SPAWN_WG(&wg, [&, w] {
        Rng rng(w);
        while (go_now() < end) {
          go_wg burst{};
          for (int i = 0; i < 20; i++) {
            go_spawn_opts o{};
            uint32_t depth =
                rng.Below(10) == 0 ? rng.Below(kSanitized ? 200 : 10000) : rng.Below(20);
            if (rng.Below(4) == 0) {
              o.stack_size = static_cast<size_t>(32 << 10) << rng.Below(3);
              depth %= 20;
            }
            go_wg_add(&burst, 1);
            int rc = SpawnOptAt(GO_SITE_("deep"), o, [&burst, &bad, depth] {
              if (Deep(depth) != static_cast<int>(depth)) bad++;
              go_wg_done(&burst);
            });
            if (rc != 0) {
              ADD_FAILURE() << go_strerror(rc);
              go_wg_done(&burst);
            }
          }
          go_wg_wait(&burst);
        }
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(bad, 0);
  });
}

}  // namespace
