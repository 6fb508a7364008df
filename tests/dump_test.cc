// go_dump: what it says of each goroutine, from where it may be called; go_test_leaks.

#include <fcntl.h>
#include <golib/golib.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

#include "tests/support/dump.h"
#include "tests/support/golib_test.h"

using golib_test::Chan;
using golib_test::Dump;
using golib_test::Has;
using golib_test::RunGo;
using golib_test::Unit;
using golib_test::Until;
using golib_test::Written;

namespace {

// The entry of the goroutine whose first line has `what` in it.
std::string Entry(const std::string &dump, const std::string &what) {
  size_t at = 0;
  while (at < dump.size()) {
    size_t end = at;
    do {
      end = dump.find('\n', end);
      end = end == std::string::npos ? dump.size() : end + 1;
    } while (end < dump.size() && dump[end] == ' ');
    std::string e = dump.substr(at, end - at);
    if (Has(e.substr(0, e.find('\n')), what)) return e;
    at = end;
  }
  return "";
}

go_wg blockers;

// Functions of a known name, which keep their frames.
extern "C" {
__attribute__((noinline)) void dump_test_waits(void *p) {
  go_set_name("waiter");
  (void)go_chan_recv(static_cast<go_chan *>(p), nullptr);
  __asm__ volatile("");
}
__attribute__((noinline)) void dump_test_outer(void *p) {
  dump_test_waits(p);
  __asm__ volatile("");
}
__attribute__((noinline)) void dump_test_blocks(void *p) {
  go_set_name("blocker");
  go_blocking(
      [](void *q) {
        char c;
        EXPECT_EQ(read(*static_cast<int *>(q), &c, 1), 1);
      },
      p);
  go_wg_done(&blockers);
  __asm__ volatile("");
}
__attribute__((noinline)) void dump_test_blocks_pair(void *p) {
  go_set_name("begun");
  go_blocking_begin();
  char c;
  EXPECT_EQ(read(*static_cast<int *>(p), &c, 1), 1);
  go_blocking_end();
  go_wg_done(&blockers);
  __asm__ volatile("");
}
__attribute__((noinline)) void dump_test_dumps(std::string *ret) {
  *ret = Dump();
  __asm__ volatile("");
}
}

// Waits until the dump says `what` of `who`.
std::string UntilSaid(const std::string &who, const std::string &what) {
  std::string e;
  Until([&] {
    e = Entry(Dump(), who);
    return Has(e, what);
  });
  return e;
}

TEST(Dump, BacktraceOfWhoWaits) {
  RunGo([] {
    Chan<int> c(0);
    EXPECT_EQ(go_spawn(dump_test_outer, c.get()), 0);
    std::string e = UntilSaid("\"waiter\"", "[chan receive");
    EXPECT_TRUE(Has(e, "dump_test_waits+")) << e;
    EXPECT_TRUE(Has(e, "dump_test_outer+")) << e;
    EXPECT_LT(e.find("dump_test_waits+"), e.find("dump_test_outer+"));
    EXPECT_TRUE(Has(e, "dump_test.cc:")) << e;
    c.Send(1);
    Until([] { return go_count() == 1; });
  });
}

// "since when": not shorter than it has been so, and not in the wrong unit.
TEST(Dump, SinceWhen) {
  RunGo([] {
    Chan<int> c(0);
    EXPECT_EQ(go_spawn(dump_test_waits, c.get()), 0);
    UntilSaid("\"waiter\"", "[chan receive");
    (void)go_sleep(nullptr, 30 * GO_MS);
    std::string e = Entry(Dump(), "\"waiter\"");
    size_t at = e.find("[chan receive, ");
    EXPECT_NE(at, std::string::npos) << e;
    int n = at != std::string::npos ? atoi(e.c_str() + at + 15) : 0;
    EXPECT_GE(n, 30) << e;
    EXPECT_LT(n, 100000) << e;
    EXPECT_TRUE(Has(e, " ms") || Has(e, " s")) << e;
    c.Send(1);
    Until([] { return go_count() == 1; });
  });
  // A thread that has slept long does not take its goroutines to have waited that long.
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  RunGo([] {
    Chan<int> c(0);
    EXPECT_EQ(go_spawn(dump_test_waits, c.get()), 0);
    std::string e;
    bool young = false;
    go_nsec start = go_now();
    Until([&] {
      e = Entry(Dump(), "\"waiter\"");
      size_t at = e.find("[chan receive, ");
      int64_t ms = at != std::string::npos ? atoi(e.c_str() + at + 15) : 0;
      young = ms * GO_MS <= go_now() - start + 100 * GO_MS;
      return Has(e, "[chan receive");
    });
    EXPECT_TRUE(young) << e;
    c.Send(1);
    Until([] { return go_count() == 1; });
  });
}

TEST(Dump, WhoCalls) {
  RunGo([] {
    go_set_name("caller");
    std::string d;
    dump_test_dumps(&d);
    std::string e = Entry(d, "\"caller\"");
    EXPECT_TRUE(Has(e, "[running]")) << e;
    EXPECT_TRUE(Has(e, "dump_test_dumps+")) << e;
  });
}

TEST(Dump, BlockingCalls) {
  RunGo([] {
    int a[2], b[2];
    ASSERT_EQ(golib_test::OpenPipe(a), 0);
    ASSERT_EQ(golib_test::OpenPipe(b), 0);
    go_wg_add(&blockers, 2);
    EXPECT_EQ(go_spawn(dump_test_blocks, &a[0]), 0);
    EXPECT_EQ(go_spawn(dump_test_blocks_pair, &b[0]), 0);
    std::string e = UntilSaid("\"blocker\"", "[blocking call");
    EXPECT_TRUE(Has(e, "dump_test_blocks+")) << e;
    e = UntilSaid("\"begun\"", "[blocking call");
    EXPECT_TRUE(Has(e, "dump_test_blocks_pair+")) << e;
    EXPECT_EQ(write(a[1], "x", 1), 1);
    EXPECT_EQ(write(b[1], "x", 1), 1);
    go_wg_wait(&blockers);
    for (int fd : {a[0], a[1], b[0], b[1]}) close(fd);
  });
}

TEST(Dump, EqualStacksAreShownOnce) {
  RunGo([] {
    Chan<int> c(0);
    for (int i = 0; i < 50; i++) EXPECT_EQ(go_spawn(dump_test_outer, c.get()), 0);
    std::string d;
    auto count = [&](const std::string &what) {
      int n = 0;
      for (size_t at = 0; (at = d.find(what, at)) != std::string::npos; at++) n++;
      return n;
    };
    Until([&] {
      d = Dump();
      return count("\"waiter\"") == 50 && count("[chan receive") == 50;
    });
    EXPECT_EQ(count("dump_test_waits+"), 1) << d;
    EXPECT_EQ(count("  same stack as goroutine "), 49) << d;
    c.Close();
    Until([] { return go_count() == 1; });
  });
}

#if !defined(_WIN32)
// In a handler that interrupts anything.
int signal_fd;
TEST(Dump, InASignalHandler) {
  static std::atomic<int> dumps;
  dumps = 0;
  signal_fd = open("/dev/null", O_WRONLY);
  struct sigaction sa = {};
  struct sigaction old;
  sa.sa_handler = [](int) {
    go_dump(signal_fd);
    dumps++;
  };
  sa.sa_flags = SA_RESTART;  // on the stack that was interrupted
  sigaction(SIGUSR1, &sa, &old);
  RunGo([] {
    std::atomic<bool> stop{false};
    go_wg wg{};
    Chan<int> c(0), d(3);
    for (int g = 0; g < 4; g++) {
      SPAWN_WG(&wg, [&, c, d] {
        while (!stop) {
          (void)c.TrySend(1);
          (void)d.TrySend(1);
          (void)d.TryRecv(nullptr);
          go_wg one{};
          SPAWN_WG(&one, [] { go_yield(); });
          go_wg_wait(&one);
        }
      });
    }
    pthread_t self = pthread_self();
    std::thread([&] {
      for (int i = 0; i < golib_test::Rounds(50); i++) {
        int before = dumps;
        pthread_kill(self, SIGUSR1);
        while (dumps == before) sched_yield();
      }
      stop = true;
    }).join();
    go_wg_wait(&wg);
  });
  sigaction(SIGUSR1, &old, nullptr);
  close(signal_fd);
  EXPECT_GE(dumps, golib_test::Rounds(50));
}
#endif

// ---- go_test_leaks

std::string Leaks(int expected) {
  return Written([&](int fd) { EXPECT_EQ(go_test_leaks(fd), expected); });
}

class Leak : public testing::Test {
 protected:
  void SetUp() override { EXPECT_EQ(go_shutdown(GO_FOREVER), 0); }
};

TEST_F(Leak, NoneLeft) {
  EXPECT_EQ(go_test_leaks(2), 0);  // not even started
  RunGo([] {
    EXPECT_EQ(Leaks(0), "");
    go_wg wg{};
    for (int i = 0; i < 100; i++) SPAWN_WG(&wg, [] { go_yield(); });
    go_wg_wait(&wg);
    EXPECT_EQ(Leaks(0), "");  // those on their last instructions included
  });
  EXPECT_EQ(go_test_leaks(-1), 0);
}

TEST_F(Leak, AliveIsNotLeaked) {
  RunGo([] {
    Chan<int> c(0);
    EXPECT_EQ(go_spawn(dump_test_outer, c.get()), 0);
    UntilSaid("\"waiter\"", "[chan receive");
    EXPECT_EQ(go_test_leaks(-1), 1);
    std::string s = Leaks(1);
    EXPECT_TRUE(Has(s, "golib: goroutines that are still alive:\n")) << s;
    EXPECT_TRUE(Has(s, "\"waiter\"")) << s;
    EXPECT_TRUE(Has(s, "dump_test_waits+")) << s;
    EXPECT_FALSE(Has(s, "leaked")) << s;
    c.Send(1);
    EXPECT_EQ(Leaks(0), "");
  });
}

go_chan *global;
TEST_F(Leak, KnownToSomebody) {
  RunGo([] {
    // To a global variable, to memory that was allocated, to a goroutine that waits for something else.
    global = go_chan_new(sizeof(int), 0);
    go_chan **heap = static_cast<go_chan **>(malloc(sizeof *heap));
    *heap = go_chan_new(sizeof(int), 0);
    go_chan *wake = go_chan_new(sizeof(int), 0);
    EXPECT_EQ(go_spawn(dump_test_waits, global), 0);
    EXPECT_EQ(go_spawn(dump_test_waits, *heap), 0);
    struct Two {
      go_chan *wake, *other;
    };
    Two two = {wake, go_chan_new(sizeof(int), 0)};
    EXPECT_EQ(go_spawn(dump_test_waits, two.other), 0);
    EXPECT_EQ(go_spawn_copy(
                  [](void *p) {
                    Two t = *static_cast<Two *>(p);
                    (void)go_chan_recv(t.wake, nullptr);
                    int v = 1;
                    go_chan_send(t.other, &v);
                    go_chan_unref(t.other);
                  },
                  &two, sizeof two),
              0);
    two.other = nullptr;
    std::string s;
    Until([&] {
      s = Dump();
      return s.find("[chan receive") != s.rfind("[chan receive");
    });
    s = Leaks(4);
    EXPECT_FALSE(Has(s, "leaked")) << s;
    int v = 1;
    go_chan_send(global, &v);
    go_chan_send(*heap, &v);
    go_chan_send(wake, &v);
    EXPECT_EQ(go_test_leaks(2), 0);
    go_chan_unref(global);
    go_chan_unref(*heap);
    go_chan_unref(wake);
    global = *heap =
        nullptr;  // or the next channels, which may get the same addresses, are known, too
    free(heap);
  });
}

}  // namespace
