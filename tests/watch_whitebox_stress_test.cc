// Threads that run goroutines are asked for their stacks all the time, whatever they are in: users' code, libc with its locks held,
// golib, the middle of a switch; while goroutines are stopped asynchronously by the same signal. Nothing is lost, and what is seen is true.
#include <unistd.h>

#include <csetjmp>
#include <thread>

extern "C" {
#include "core/stack.h"
#include "core/watch.h"
}
#include "core/sched.h"
#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

// Before golib starts. The environment's own wins. The watchdog is there, and has nothing to say.
const bool kSet = setenv("GOLIB_RETAKE", "200", 0) == 0 &&
                  setenv("GOLIB_PREEMPT", "switch", 0) == 0 &&
                  setenv("GOLIB_WATCHDOG", "1000000000", 0) == 0;

struct World {
  Chan<int> c{8}, d{0};
  std::atomic<bool> stop{false};
  std::atomic<int64_t> sent{0}, received{0}, started{0}, ended{0};
  go_wg wg{};
};

std::atomic<uint64_t> spinner_id;
extern "C" __attribute__((noinline)) void WatchSpins(const std::atomic<bool> *stop) {
  for (int k = 0; k < 100 && !stop->load(std::memory_order_relaxed); k++) {
    for (int i = 0; i < 10000; i++) __asm__ volatile("");
  }
  __asm__ volatile("");
}

// As deep as the smallest stack allows.
__attribute__((noinline)) int Deep(int n) {
  volatile char here[64];
  here[0] = static_cast<char>(n);
  return n == 0 ? 0 : Deep(n - 1) + here[0] * 0;
}

void Step(World &w, Rng &rng) {
  switch (rng.Below(7)) {
    case 0:
      w.sent++;
      (rng.Below(2) == 0 ? w.c : w.d).Send(1);
      break;
    case 1: {
      w.started++;
      go_spawn_opts o{};
      o.stack_size = rng.Below(2) == 0 && !kSanitized ? 16384 : 0;
      auto f = [&w] {
        (void)Deep(20);
        w.ended++;
      };
      go_wg_add(&w.wg, 1);
      if (SpawnOptAt("started", o, [&w, f] {
            f();
            go_wg_done(&w.wg);
          }) != 0)
        abort();
      break;
    }
    case 2: {
      char *p = static_cast<char *>(malloc(rng.Below(5000) + 1));
      *p = 1;
      free(p);
      break;
    }
    case 3:
      if (!Panics([] { go_panic("x"); })) abort();
      break;
    case 4: try { throw 5;
      } catch (int) {}
      break;
    case 5: (void)go_sleep(nullptr, rng.Below(20000)); break;
    default:
      for (volatile int i = 0; i < 10000; i = i + 1) {}
      break;
  }
}

void Work(World &w, uint64_t seed) {
  Rng rng(seed);
  while (!w.stop) Step(w, rng);
}

// Who has a P, one after the other.
go_m_ *Next(uint32_t i) {
  const go_p_ *p = GO_S->all_p[i % go_ld_acq(&GO_S->np_made)];
  return static_cast<go_m_ *>(go_ld_acq(const_cast<go_aptr *>(&p->m)));  // its memory stays
}

struct Seen {
  uint64_t asked = 0, answered = 0, of_none = 0, deep = 0, spinner = 0, wrong = 0;
};

void Check(const go_watched_ *a, Seen *s) {
  s->answered++;
  s->of_none += a->id == 0;
  s->deep += a->n > 1;
  s->wrong += (a->id == 0) != (a->n == 0) || a->n < 0 || a->n > GO_LOOK_PCS_;
  for (int i = 0; i < a->n; i++) s->wrong += a->pcs[i] == nullptr;
  if (a->id == spinner_id && a->id != 0) {
    auto pc = reinterpret_cast<uintptr_t>(a->pcs[0]);
    auto fn = reinterpret_cast<uintptr_t>(WatchSpins);
    s->spinner += pc > fn && pc - fn < 256;
  }
}

// A thread of its own, as sysmon is. Until `end`, and until it has met the spinner, which shares its P with others (TSan's functions
// are in it, too).
void Ask(go_nsec end, Seen *s, std::atomic<bool> *done) {
  for (uint32_t i = 0;
       go_os_now_() < end || (!kTsan && s->spinner == 0 && go_os_now_() < end + 60 * GO_SEC); i++) {
    go_m_ *m = Next(i);
    if (m == nullptr || go_watch_ask_(m) != 0) continue;
    s->asked++;
    if (i % 16 == 0) {
      go_watch_withdraw_(m);
      continue;
    }
    const go_watched_ *a = nullptr;
    for (go_nsec until = go_os_now_() + 2 * GO_MS; a == nullptr && go_os_now_() < until;)
      a = go_watch_answered_();
    if (a != nullptr) {
      Check(a, s);
    } else {
      go_watch_withdraw_(m);
    }
  }
  *done = true;
}

TEST(WatchStress, StacksOfAll) {
  ASSERT_TRUE(kSet);
  RunGo([] {
    World w;
    Seen seen;
    SPAWN_WG(&w.wg, [&w] {
      spinner_id = go_id();
      while (!w.stop) {
        WatchSpins(&w.stop);
        go_yield();  // who has lost its P has one again
      }
    });
    for (uint64_t i = 0; i < 6; i++) SPAWN_WG(&w.wg, [&w, i] { Work(w, 4711 + i); });
    go_wg receivers{};
    for (const Chan<int> &c : {w.c, w.d}) {
      SPAWN_WG(&receivers, [&w, c] {
        for (int v; c.Recv(&v);) w.received++;
      });
    }
    std::atomic<bool> done{false};
    std::thread asker(Ask, StressEnd(), &seen, &done);
    while (!done) (void)go_sleep(nullptr, 5 * GO_MS);
    w.stop = true;
    go_wg_wait(&w.wg);
    go_blocking([](void *t) { static_cast<std::thread *>(t)->join(); }, &asker);
    w.c.Close();
    w.d.Close();
    go_wg_wait(&receivers);
    EXPECT_EQ(w.sent, w.received);
    EXPECT_EQ(w.started, w.ended);
    EXPECT_EQ(seen.wrong, 0u);
    EXPECT_GT(seen.answered, 0u) << "of " << seen.asked;
    EXPECT_GT(seen.deep, 0u);
    if (!kTsan) {
      EXPECT_GT(seen.spinner, 0u) << "of " << seen.answered;
    }
    std::printf(
        "asked %llu, answered %llu, of none %llu, deep %llu, spinner %llu\n",
        static_cast<unsigned long long>(seen.asked), static_cast<unsigned long long>(seen.answered),
        static_cast<unsigned long long>(seen.of_none), static_cast<unsigned long long>(seen.deep),
        static_cast<unsigned long long>(seen.spinner));
  });
}

}  // namespace
