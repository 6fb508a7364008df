// What the tests of GO_PREEMPT_SWITCH share. Goroutines that may be stopped call no EXPECT_: GoogleTest, which is part of
// the program, has locks.
#ifndef GOLIB_TESTS_SUPPORT_SWITCH_H_
#define GOLIB_TESTS_SUPPORT_SWITCH_H_

#include <golib/golib.h>

#include <atomic>

#include "tests/support/golib_test.h"
#include "tests/support/hogs.h"

namespace golib_test {

inline uint64_t Switches() { return StatsNow().switches; }
inline uint64_t Retakes() { return StatsNow().retakes; }

#if defined(GOLIB_TEST_TSAN_)
#define RAW __attribute__((no_sanitize("thread"), noinline, unused))
#else
#define RAW __attribute__((noinline, unused))
#endif

// Until it is told to stop: no call of golib, nor of anybody else, TSan included, which would be at work nearly all the time.
RAW static void Spin(const std::atomic<bool> &stop) {
  const volatile bool *p = reinterpret_cast<const volatile bool *>(&stop);
  while (!*p) {}
}
RAW static void SpinFor(int n, const std::atomic<bool> &stop) {
  const volatile bool *p = reinterpret_cast<const volatile bool *>(&stop);
  for (volatile int k = 0; k < n && !*p; k = k + 1) {}
}

inline constexpr go_nsec kPatience = 60 * GO_SEC;

// Sleeps until pred() holds, or for very long. Returns whether it does.
template <class Pred>
bool Within(Pred pred) {
  for (go_nsec end = go_now() + kPatience; !pred() && go_now() < end;)
    (void)go_sleep(nullptr, 5 * GO_MS);
  return pred();
}

class Switch : public testing::Test {
 protected:
  // False: nothing is stopped in this kind of build.
  bool Init(int procs, int preempt = GO_PREEMPT_SWITCH, int signal = 0) {
    go_config cfg{};
    cfg.procs = procs;
    cfg.preempt = GO_PREEMPT_SWITCH;
    int r = go_init(&cfg);
    if (r == GO_ENOSYS) return false;
    EXPECT_EQ(r, 0) << go_strerror(r);
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
    cfg.preempt = preempt;
    cfg.preempt_signal = signal;
    r = go_init(&cfg);
    EXPECT_EQ(r, 0) << go_strerror(r);
    return r == 0;
  }
  void TearDown() override { EXPECT_EQ(go_shutdown(GO_FOREVER), 0); }
};

#define INIT(...) \
  if (!Init(__VA_ARGS__)) GTEST_SKIP() << "nothing is stopped in this kind of build"

// How often it was stopped, and how often it lost its P instead.
struct Seen {
  uint64_t switches, retakes;
};
// A goroutine that spins on one P beside another that sleeps, until it has been stopped twice, or, without want_switch, has
// lost its P.
template <class F>
Seen HogOnce(const go_spawn_opts &o, F &f, bool want_switch) {
  std::atomic<bool> stop{false}, began{false}, ended{false};
  Seen before{Switches(), Retakes()}, now{};
  MustStart(SpawnOptAt("hog", o, [&] {
    f(stop, began);
    ended = true;
  }));
  EXPECT_TRUE(Within([&] { return began.load(); }));
  EXPECT_TRUE(Within([&] {
    now = {Switches() - before.switches, Retakes() - before.retakes};
    return (want_switch && now.switches >= 2) || now.retakes >= 1;
  }));
  stop = true;
  EXPECT_TRUE(Within([&] { return ended.load(); }));
  return {Switches() - before.switches, now.retakes};
}
// The machine may have stopped its thread where it may not be stopped, so that it lost its P, and is not asked again: once more.
template <class F>
Seen Hog(const go_spawn_opts &o, F f, bool want_switch) {
  Seen seen = HogOnce(o, f, want_switch);
  for (int i = 0; i < 50 && want_switch && seen.switches < 2; i++)
    seen = HogOnce(o, f, want_switch);
  return seen;
}
template <class F>
Seen Hog(F f, bool want_switch) {
  return Hog(go_spawn_opts{}, f, want_switch);
}
inline void JustSpin(const std::atomic<bool> &stop, std::atomic<bool> &began) {
  began = true;
  Spin(stop);
}

}  // namespace golib_test

#endif  // GOLIB_TESTS_SUPPORT_SWITCH_H_
