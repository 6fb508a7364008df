// go_trace_start and what belongs to it: codes, misuse, and traces while everything moves. What the file says:
// tests/seeing/trace_format_test.py.

#include <fcntl.h>
#include <golib/golib.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

#include "tests/support/golib_test.h"
#include "tests/support/system.h"

using golib_test::Chan;
using golib_test::RunGo;

namespace {

// A file that is gone when it is closed.
struct File {
  int fd = -1;
  File() {
    const char *dir = getenv("TEST_TMPDIR");
    std::string name = std::string(dir != nullptr ? dir : "/tmp") + "/trace_XXXXXX";
    fd = mkstemp(&name[0]);
    EXPECT_GE(fd, 0);
    unlink(name.c_str());
  }
  ~File() { close(fd); }
  std::string Text() const {
    std::string all;
    char buf[4096];
    lseek(fd, 0, SEEK_SET);
    for (ssize_t n; (n = read(fd, buf, sizeof buf)) > 0;) all.append(buf, static_cast<size_t>(n));
    return all;
  }
};

bool Complete(const std::string &s) {
  return s.rfind("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n", 0) == 0 && s.size() > 4 &&
         s.substr(s.size() - 4) == "\"}}\n";
}

TEST(Trace, Codes) {
  File f;
  EXPECT_EQ(go_trace_start(-1), GO_EINVAL);
  go_trace_stop();  // there is none
  EXPECT_EQ(go_trace_start(f.fd), 0);
  EXPECT_EQ(go_trace_start(f.fd), GO_EBUSY);
  go_trace_stop();
  go_trace_stop();
  std::string s = f.Text();
  EXPECT_TRUE(Complete(s)) << s;
}

// Marks without a trace do nothing; ends without a beginning neither.
TEST(Trace, MarksAnywhere) {
  auto marks = [] {
    go_trace_region_end();
    go_trace_region_begin("r");
    go_trace_region_begin(nullptr);
    go_trace_log("%s", std::string(1000, 'x').c_str());
    go_trace_region_end();
    go_trace_region_end();
    go_trace_region_end();
  };
  marks();
  RunGo(marks);
  File f;
  EXPECT_EQ(go_trace_start(f.fd), 0);
  marks();  // a thread's
  RunGo(marks);
  std::thread(marks).join();
  go_trace_stop();
  std::string s = f.Text();
  auto count = [&](const std::string &what) {
    int n = 0;
    for (size_t at = 0; (at = s.find(what, at)) != std::string::npos; at++) n++;
    return n;
  };
  EXPECT_TRUE(Complete(s));
  EXPECT_EQ(count("\"ph\":\"B\""), 6);
  EXPECT_EQ(count("\"ph\":\"E\""), 6);
  EXPECT_EQ(count("\"cat\":\"log\""), 3);
  EXPECT_EQ(count(std::string(240, 'x')), 3);
  EXPECT_EQ(count(std::string(241, 'x')), 0);
}

// A region that was begun in one trace does not end in the next.
TEST(Trace, RegionsOfAnotherTrace) {
  File f, g;
  EXPECT_EQ(go_trace_start(f.fd), 0);
  go_trace_region_begin("first");
  go_trace_stop();
  EXPECT_EQ(go_trace_start(g.fd), 0);
  go_trace_region_end();
  go_trace_stop();
  EXPECT_NE(f.Text().find("\"first\""), std::string::npos);
  EXPECT_EQ(g.Text().find("\"ph\":\"E\""), std::string::npos);
}

TEST(Trace, EndsWithTheScheduler) {
  File f;
  EXPECT_EQ(go_trace_start(f.fd), 0);
  RunGo([] { go_yield(); });
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  EXPECT_TRUE(Complete(f.Text()));
  EXPECT_EQ(go_trace_start(f.fd), 0);
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
}

TEST(Trace, OnAGoroutine) {
  RunGo([] {
    File f;
    for (int i = 0; i < 3; i++) {
      EXPECT_EQ(go_trace_start(f.fd), 0);
      go_wg wg{};
      Chan<int> c(0);
      SPAWN_WG(&wg, [=] { c.Send(1); });
      EXPECT_EQ(c.Take(), 1);
      go_wg_wait(&wg);
      go_trace_stop();
    }
  });
}

// Begun and ended again and again under load, with other numbers of Ps.
TEST(Trace, WhileEverythingMoves) {
  int null = open("/dev/null", O_WRONLY);
  std::atomic<bool> stop{false};
  std::thread tracer([&] {
    for (int i = 0; i < golib_test::Rounds(100); i++) {
      EXPECT_EQ(go_trace_start(null), 0);
      sched_yield();
      if (i % 5 == 0) (void)go_sleep(nullptr, GO_MS);
      go_trace_stop();
    }
    stop = true;
  });
  RunGo([&] {
    go_wg wg{};
    for (int g = 0; g < 6; g++) {
      SPAWN_WG(&wg, [&, g] {
        while (!stop) {
          Chan<int> c(1);
          go_wg one{};
          SPAWN_WG(&one, [=] {
            go_trace_region_begin("r");
            c.Send(1);
            go_trace_region_end();
          });
          (void)c.Take();
          go_trace_log("%d", g);
          if (g == 0) (void)go_sleep(nullptr, 10 * GO_US);
          if (g == 1) go_blocking([](void *) { sched_yield(); }, nullptr);
          if (g == 2) go_yield();
          if (g == 3) {
            go_mutex mu{};
            go_mutex_lock(&mu);
            go_mutex_unlock(&mu);
            go_procs(1 + g % 3);
          }
          go_wg_wait(&one);
        }
      });
    }
    go_wg_wait(&wg);
  });
  tracer.join();
  close(null);
}

// More than can be kept in memory at once goes to the file meanwhile; nobody waits for a file that takes nothing.
TEST(Trace, TooFast) {
  int fds[2];
  ASSERT_EQ(golib_test::OpenPipe(fds), 0);  // takes 64 KiB until it is read
  EXPECT_EQ(go_trace_start(fds[1]), 0);
  constexpr int kLogs = 280000;  // 64 MiB of records and more
  RunGo([] {
    for (int i = 0; i < kLogs; i++) go_trace_log("%0200d", i);
  });
  std::string s;
  std::thread reader([&] {
    char buf[65536];
    for (ssize_t n; (n = read(fds[0], buf, sizeof buf)) > 0;) s.append(buf, static_cast<size_t>(n));
  });
  go_trace_stop();
  close(fds[1]);
  reader.join();
  close(fds[0]);
  EXPECT_TRUE(Complete(s));
  size_t at = s.find("\"dropped\":\"");
  ASSERT_NE(at, std::string::npos);
  EXPECT_GT(atoi(s.c_str() + at + 11), 0);
}

}  // namespace
