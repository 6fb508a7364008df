// go_blocking under load: with channels, timers, locked threads, panics, and a changing number of Ps.
#include <golib/golib.h>
#include <unistd.h>

#include "tests/support/golib_test.h"
#include "tests/support/system.h"

using namespace golib_test;

namespace {

void Busy(uint32_t n) {
  for (volatile uint32_t i = n; i > 0; i = i - 1) {}
}

// One step inside; every goroutine does some of all.
void Inside(Rng &rng, const Chan<int> &c) {
  switch (rng.Below(8)) {
    case 0: usleep(rng.Below(50)); break;
    case 1: sched_yield(); break;
    case 2: (void)c.TrySend(1); break;
    case 3: (void)go_sleep(nullptr, rng.Below(20000)); break;
    case 4: go_yield(); break;
    default: Busy(rng.Below(500)); break;
  }
}

void Step(Rng &rng, const Chan<int> &c) {
  struct Arg {
    Rng *rng;
    const Chan<int> *c;
  } a{&rng, &c};
  auto fn = [](void *p) {
    Arg *x = static_cast<Arg *>(p);
    Inside(*x->rng, *x->c);
  };
  auto panics = [](void *p) {
    Inside(*static_cast<Arg *>(p)->rng, *static_cast<Arg *>(p)->c);
    go_panic("on purpose");
  };
  switch (rng.Below(5)) {
    case 0:
      go_blocking_begin();
      Inside(rng, c);
      go_blocking_end();
      break;
    case 1: EXPECT_TRUE(Panics([&] { go_blocking(panics, &a); })); break;
    default: go_blocking(fn, &a); break;
  }
}

TEST(BlockStress, Everything) {
  RunGo([] {
    const go_nsec end = StressEnd();
    const int procs = go_procs(0);
    Chan<int> c(16);
    std::atomic<uint64_t> steps{0};
    go_wg wg{}, drain{};
    SPAWN_WG(&drain, [&] {
      int v;
      while (c.Recv(&v)) go_yield();
    });
    for (int i = 0; i < 24; i++) {
      SPAWN_WG(&wg, [&, i] {
        Rng rng(static_cast<uint64_t>(i) + 1);
        if (i % 6 == 0) go_lock_thread();
        uint64_t id = go_id();
        while (go_now() < end) {
          Step(rng, c);
          EXPECT_EQ(go_id(), id);
          steps++;
          switch (rng.Below(6)) {
            case 0: go_yield(); break;
            case 1: (void)go_sleep(nullptr, rng.Below(50000)); break;
            case 2: c.Send(2); break;
            case 3: {
              go_wg one{};
              SPAWN_WG(&one, [] { go_blocking([](void *) { sched_yield(); }, nullptr); });
              go_wg_wait(&one);
              break;
            }
            default: break;
          }
        }
      });
    }
    SPAWN_WG(&wg, [&] {
      Rng rng(99);
      while (go_now() < end) {
        (void)go_procs(1 + static_cast<int>(rng.Below(4)));
        (void)go_sleep(nullptr, GO_MS);
      }
      (void)go_procs(procs);
    });
    go_wg_wait(&wg);
    c.Close();
    go_wg_wait(&drain);
    EXPECT_GT(steps.load(), 0u);
  });
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
}

// Everything is idle again and again, with a timer now and then: nobody may be forgotten.
TEST(BlockStress, IdleAndBack) {
  RunGo([] {
    const go_nsec end = StressEnd();
    int fds[2];
    EXPECT_EQ(OpenPipe(fds), 0);
    Rng rng(3);
    while (go_now() < end) {
      uint32_t how = rng.Below(3), d = rng.Below(100000);
      go_wg wg{};
      SPAWN_WG(&wg, [&] {
        if (how == 1) (void)go_sleep(nullptr, d);
        char x = 1;
        EXPECT_EQ(write(fds[1], &x, 1), 1);
        if (how == 2) (void)go_sleep(nullptr, d);
      });
      if (rng.Below(2) == 0) go_yield();
      char x = 0;
      go_blocking_begin();
      EXPECT_EQ(read(fds[0], &x, 1), 1);
      go_blocking_end();
      go_wg_wait(&wg);
    }
    close(fds[0]);
    close(fds[1]);
  });
}

}  // namespace
