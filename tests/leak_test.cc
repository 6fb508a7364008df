// Goroutines that nothing can wake any more, as go_test_leaks and go_dump tell of them. In a process of its own: what earlier
// tests have left in memory may look like an address of a channel, which is then taken to be in use.

#include <golib/golib.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

#include "tests/support/child.h"
#include "tests/support/dump.h"
#include "tests/support/golib_test.h"
#include "tests/support/system.h"

using golib_test::Dump;
using golib_test::Has;
using golib_test::RunGo;
using golib_test::Until;
using golib_test::Written;

namespace {

extern "C" {
__attribute__((noinline)) void leak_test_waits(void *p) {
  go_set_name("waiter");
  (void)go_chan_recv(static_cast<go_chan *>(p), nullptr);
  __asm__ volatile("");
}
__attribute__((noinline)) void leak_test_outer(void *p) {
  leak_test_waits(p);
  __asm__ volatile("");
}
}

std::string Leaks(int expected) {
  return Written([&](int fd) { EXPECT_EQ(go_test_leaks(fd), expected); });
}

// Starts a goroutine that waits on a channel whose address nobody else keeps.
__attribute__((noinline)) void LeakOne(void (*fn)(void *)) {
  go_chan *c = go_chan_new(sizeof(int), 0);
  EXPECT_EQ(go_spawn(fn, c), 0);
}
// Overwrites what calls have left on the stack and in registers.
__attribute__((noinline)) void Scrub() {
  volatile char a[4096];
  for (size_t i = 0; i < sizeof a; i++) a[i] = 0;
}

int CountOf(const std::string &s, const std::string &what) {
  int n = 0;
  for (size_t at = 0; (at = s.find(what, at)) != std::string::npos; at++) n++;
  return n;
}

// Under Wine what threads that wait have had in registers, and what their system calls have left on stacks of Wine's, lies in memory
// that is the program's; it may be an address of ours. So all of golib's threads get something else to do.
void ScrubThreads() {
  if (!golib_test::OnWine()) return;
  go_wg wg{};
  for (int i = 0; i < 16; i++) {
    SPAWN_WG(&wg, [] {
      go_blocking([](void *) { usleep(5000); }, nullptr);
      Scrub();
    });
  }
  go_wg_wait(&wg);
}

constexpr char kOnWine[] = "Wine has kept an address";

// Waits until n are found to be leaked. False: under Wine, where that does not help always.
bool AllLeaked(int n, std::string *ret) {
  int tries = 0;
  bool all = false;
  Until([&] {
    ScrubThreads();
    *ret = Leaks(n);
    all = CountOf(*ret, "leaked") == n;
    return all || (golib_test::OnWine() && ++tries == 30);
  });
  return all;
}

#define SKIP_IF_NO_LEAKS_ARE_FOUND()                                                               \
  if (golib_test::kSanitized || golib_test::Emulated())                                            \
  GTEST_SKIP() << "sanitizers and emulators keep addresses of their own: golib does not look for " \
                  "leaks there"

// Goroutines that nothing can wake: told of by go_test_leaks and go_dump. They stay until the process ends.
TEST(Leaked, ForEver) {
  SKIP_IF_NO_LEAKS_ARE_FOUND();
  RunGo([] {
    SPAWN([] {  // on a stack of its own, which ends
      LeakOne(leak_test_outer);
      // Two that wait for each other's channels.
      struct Pair {
        go_chan *mine, *others;
      };
      Pair p = {go_chan_new(sizeof(int), 0), go_chan_new(sizeof(int), 0)};
      Pair q = {p.others, p.mine};
      auto wait = [](void *a) {
        Pair mine = *static_cast<Pair *>(a);
        (void)go_chan_recv(mine.mine, nullptr);
        int v = 1;
        go_chan_send(mine.others, &v);
      };
      EXPECT_EQ(go_spawn_copy(wait, &p, sizeof p), 0);
      EXPECT_EQ(go_spawn_copy(wait, &q, sizeof q), 0);
      // A select over two channels, and a sender into a full buffer.
      EXPECT_EQ(go_spawn(
                    [](void *) {
                      go_case k[2] = {};
                      k[0].ch = go_chan_new(sizeof(int), 0);
                      k[1].ch = go_chan_new(sizeof(int), 0);
                      (void)go_select(nullptr, k, 2);
                    },
                    nullptr),
                0);
      EXPECT_EQ(go_spawn(
                    [](void *) {
                      go_chan *c = go_chan_new(sizeof(int), 1);
                      int v = 1;
                      go_chan_send(c, &v);
                      go_chan_send(c, &v);
                    },
                    nullptr),
                0);
      p = q = Pair{};
    });
    Scrub();
    std::string s;
    if (!AllLeaked(5, &s)) GTEST_SKIP() << kOnWine;
    EXPECT_EQ(CountOf(s, "leaked"), 5) << s;
    EXPECT_EQ(CountOf(s, "leaked?"), 0) << s;
    EXPECT_TRUE(Has(s, "[select")) << s;
    EXPECT_TRUE(Has(s, "[chan send")) << s;
    s = Dump();
    EXPECT_EQ(CountOf(s, "leaked"), 5) << s;
    // A thread that runs meanwhile might know better.
    std::atomic<bool> stop{false};
    std::thread busy([&] {
      while (!stop) sched_yield();
    });
    s = Dump();
    stop = true;
    busy.join();
    EXPECT_EQ(CountOf(s, "leaked?"), 5) << s;
  });
}

// 3,000 that wait on one channel, which another of them holds.
constexpr int kMany = 3000, kAll = kMany + 5;  // ForEver's are still there

TEST(Leaked, Many) {
  SKIP_IF_NO_LEAKS_ARE_FOUND();
  RunGo([] {
    SPAWN([] {
      go_chan *c = go_chan_new(sizeof(int), 0);
      for (int i = 0; i < kMany; i++) EXPECT_EQ(go_spawn(leak_test_waits, c), 0);
    });
    Scrub();
    std::string s;
    if (!AllLeaked(kAll, &s)) GTEST_SKIP() << kOnWine;
  });
}

}  // namespace
