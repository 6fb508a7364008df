// The poller of the system, and poll/kqueue on Linux (tests/BUILD.bazel): readiness, time-outs, breaks.
// Core's side of the contract, go_poll_event_, is defined here: the test links nothing of core.
#if defined(__linux__)

extern "C" {
#define _Noreturn [[noreturn]]
#include "core/os.h"
#include "core/poll.h"
#undef _Noreturn
}

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace {
struct Event {
  uint64_t key;
  uint32_t events;
};
std::vector<Event> events;  // of the thread that waits
}  // namespace

extern "C" __attribute__((visibility("hidden"))) void go_poll_event_(uint64_t key, uint32_t ev,
                                                                     int64_t result) {
  EXPECT_EQ(result, 0);
  events.push_back({key, ev});
}

namespace {

constexpr int64_t kMs = 1000000;

#if defined(GOLIB_TEST_KQUEUE)
constexpr bool kKqueue = true;
#else
constexpr bool kKqueue = false;
#endif

class Poll : public testing::Test {
 protected:
  void SetUp() override {
    errno = 5;
    ASSERT_EQ(go_poll_init_(), 0);
    EXPECT_EQ(errno, 5);
    events.clear();
  }
  void TearDown() override {
    for (int fd : fds_) close(fd);
    go_poll_fini_();
  }
  // Two ends of a connection.
  void Pair(int fds[2]) {
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    fds_.push_back(fds[0]);
    fds_.push_back(fds[1]);
  }
  int64_t Timed(int64_t ns) {
    int64_t t = go_os_now_();
    EXPECT_LE(go_poll_wait_(ns), 0);
    return go_os_now_() - t;
  }
  // Waits until events of key have told all of `wanted`, each once at least; they may come one by one. What they told
  // is in told_.
  void WaitFor(uint64_t key, uint32_t wanted) {
    for (told_ = 0; (told_ & wanted) != wanted;) {
      events.clear();
      ASSERT_GT(go_poll_wait_(-1), 0);
      for (const Event &e : events) {
        EXPECT_EQ(e.key, key);
        told_ |= e.events;
      }
    }
  }
  uint32_t told_ = 0;
  std::vector<int> fds_;
};

TEST_F(Poll, LookAtNothing) {
  EXPECT_EQ(go_poll_wait_(0), 0);
  EXPECT_TRUE(events.empty());
}

TEST_F(Poll, EventsCarryKeysAndComeOncePerEdge) {
  int a[2];
  Pair(a);
  ASSERT_EQ(go_poll_add_(a[0], 0x8000000000000042), 0);
  EXPECT_EQ(go_poll_wait_(0), 1);  // writable
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].key, 0x8000000000000042u);
  EXPECT_EQ(events[0].events, uint32_t(GO_POLL_OUT_));
  EXPECT_EQ(go_poll_wait_(0), 0);
  ASSERT_EQ(write(a[1], "x", 1), 1);
  EXPECT_EQ(go_poll_wait_(-1), 1);
  EXPECT_TRUE(events[1].events & GO_POLL_IN_);
  EXPECT_FALSE(events[1].events & (GO_POLL_ERR_ | GO_POLL_HUP_));
  EXPECT_EQ(go_poll_wait_(0), 0);  // not read, but no new edge either
  ASSERT_EQ(write(a[1], "y", 1), 1);
  EXPECT_EQ(go_poll_wait_(0), 1);
}

TEST_F(Poll, ShutdownIsForReadersCloseForBoth) {
  int a[2];
  Pair(a);
  ASSERT_EQ(go_poll_add_(a[0], 1), 0);
  go_poll_wait_(0);
  shutdown(a[1], SHUT_WR);
  WaitFor(1, GO_POLL_IN_ | GO_POLL_HUP_);
  EXPECT_FALSE(told_ & GO_POLL_ERR_);
  close(a[1]);
  fds_.pop_back();
  WaitFor(1, GO_POLL_IN_ | GO_POLL_OUT_ | GO_POLL_HUP_);
}

// The two directions are told on their own edges.
TEST_F(Poll, SpaceToWriteIsToldOnce) {
  int a[2];
  Pair(a);
  char buf[65536] = "";
  ASSERT_EQ(go_poll_add_(a[0], 1), 0);
  while (write(a[0], buf, sizeof buf) > 0) {}
  go_poll_wait_(0);
  EXPECT_EQ(go_poll_wait_(0), 0);
  while (read(a[1], buf, sizeof buf) > 0) {}
  events.clear();
  EXPECT_EQ(go_poll_wait_(-1), 1);
  EXPECT_EQ(events[0].events, uint32_t(GO_POLL_OUT_));
  EXPECT_EQ(go_poll_wait_(0), 0);
}

// What a connection that was refused, and one that is reset, tell.
TEST_F(Poll, ErrorsOfSockets) {
  sockaddr_in in = {};
  in.sin_family = AF_INET;
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t len = sizeof in;
  int l = socket(AF_INET, SOCK_STREAM, 0);
  fds_.push_back(l);
  ASSERT_EQ(bind(l, reinterpret_cast<sockaddr *>(&in), len), 0);
  ASSERT_EQ(getsockname(l, reinterpret_cast<sockaddr *>(&in), &len), 0);
  int c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  fds_.push_back(c);
  (void)connect(c, reinterpret_cast<sockaddr *>(&in), len);  // nobody listens
  ASSERT_EQ(go_poll_add_(c, 1), 0);
  WaitFor(1, GO_POLL_IN_ | GO_POLL_OUT_ | GO_POLL_ERR_);
  ASSERT_EQ(go_poll_del_(c), 0);

  ASSERT_EQ(listen(l, 1), 0);
  int d = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  fds_.push_back(d);
  (void)connect(d, reinterpret_cast<sockaddr *>(&in), len);
  int s = accept(l, nullptr, nullptr);
  ASSERT_GE(s, 0);
  ASSERT_EQ(go_poll_add_(d, 2), 0);
  go_poll_wait_(0);
  linger now = {1, 0};
  ASSERT_EQ(setsockopt(s, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
  close(s);  // resets it
  WaitFor(2, GO_POLL_IN_ | GO_POLL_OUT_ | GO_POLL_ERR_ | GO_POLL_HUP_);
}

// Told with what can be read, or when it has come.
TEST_F(Poll, UrgentData) {
  sockaddr_in in = {};
  in.sin_family = AF_INET;
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t len = sizeof in;
  int l = socket(AF_INET, SOCK_STREAM, 0);
  fds_.push_back(l);
  ASSERT_EQ(bind(l, reinterpret_cast<sockaddr *>(&in), len), 0);
  ASSERT_EQ(listen(l, 1), 0);
  ASSERT_EQ(getsockname(l, reinterpret_cast<sockaddr *>(&in), &len), 0);
  int c = socket(AF_INET, SOCK_STREAM, 0);
  fds_.push_back(c);
  ASSERT_EQ(connect(c, reinterpret_cast<sockaddr *>(&in), len), 0);
  int s = accept(l, nullptr, nullptr);
  fds_.push_back(s);
  ASSERT_EQ(go_poll_add_(c, 1), 0);
  go_poll_wait_(0);
  ASSERT_EQ(send(s, "ab!", 3, MSG_OOB), 3);
  ASSERT_EQ(send(s, "cd", 2, 0), 2);
  WaitFor(1, GO_POLL_IN_ | GO_POLL_PRI_);
}

TEST_F(Poll, BrokenPipeIsAnErrorForTheWriter) {
  int p[2];
  ASSERT_EQ(pipe2(p, O_NONBLOCK), 0);
  ASSERT_EQ(go_poll_add_(p[1], 1), 0);
  go_poll_wait_(0);
  close(p[0]);
  WaitFor(1, GO_POLL_OUT_ | GO_POLL_ERR_);
  close(p[1]);
}

// So it is when that had happened before: a kqueue refuses to watch it.
TEST_F(Poll, PipeThatIsBrokenAlready) {
  int p[2];
  ASSERT_EQ(pipe2(p, O_NONBLOCK), 0);
  fds_.push_back(p[1]);
  close(p[0]);
  for (uint64_t key : {7, 8}) {
    ASSERT_EQ(go_poll_add_(p[1], key), 0);
    WaitFor(key, GO_POLL_OUT_ | (kKqueue ? GO_POLL_HUP_ : GO_POLL_ERR_));
    EXPECT_EQ(go_poll_wait_(0), 0);
    ASSERT_EQ(go_poll_del_(p[1]), 0);
  }
}

TEST_F(Poll, DelEndsIt) {
  int a[2];
  Pair(a);
  ASSERT_EQ(go_poll_add_(a[0], 1), 0);
  EXPECT_EQ(go_poll_add_(a[0], 1), kKqueue ? 0 : -EEXIST);
  EXPECT_EQ(go_poll_del_(a[0]), 0);
  EXPECT_EQ(go_poll_del_(a[0]), -ENOENT);
  ASSERT_EQ(write(a[1], "x", 1), 1);
  EXPECT_EQ(go_poll_wait_(0), 0);
}

TEST_F(Poll, WhatCannotBePolledIsRefused) {
  int fd = open("/proc/self/exe", O_RDONLY), null = open("/dev/null", O_RDONLY);
  errno = 5;
  EXPECT_EQ(go_poll_add_(fd, 1), -EPERM);
  EXPECT_EQ(go_poll_add_(null, 1), -EPERM);
  close(null);
  EXPECT_EQ(go_poll_add_(-1, 1), -EBADF);
  EXPECT_EQ(go_poll_del_(-1), -EBADF);
  EXPECT_EQ(errno, 5);
  close(fd);
  errno = 5;
  EXPECT_EQ(go_poll_add_(fd, 1), -EBADF);
  EXPECT_EQ(go_poll_del_(fd), -EBADF);
  EXPECT_EQ(errno, 5);
}

TEST_F(Poll, MoreThanFitInOneCall) {
  std::map<uint64_t, int> seen;
  for (uint64_t i = 0; i < 150; i++) {
    int a[2];
    Pair(a);
    ASSERT_EQ(go_poll_add_(a[0], 2 * i), 0);
    ASSERT_EQ(go_poll_add_(a[1], 2 * i + 1), 0);
  }
  int calls = 0;
  while (go_poll_wait_(0) > 0) calls++;
  EXPECT_GE(calls, 2);
  for (const Event &e : events) seen[e.key]++;
  EXPECT_EQ(seen.size(), 300u);
  for (auto &s : seen) EXPECT_EQ(s.second, 1);
}

TEST_F(Poll, TimesOutNotBeforeNorByMilliseconds) {
  int64_t best = INT64_MAX;
  for (int i = 0; i < 50; i++) {
    int64_t took = Timed(200000);
    EXPECT_GE(took, 200000);
    best = std::min(best, took);
  }
  // epoll_wait would take 1 ms; where epoll_pwait2 is missing it may (an emulator: see tools/emu).
  EXPECT_TRUE(best < 700000 || getenv("GOLIB_TEST_OLD_KERNEL") != nullptr ||
              getenv("GOLIB_RUN") != nullptr)
      << best;
  EXPECT_GE(Timed(3 * kMs + 1), 3 * kMs + 1);
}

TEST_F(Poll, BreakEndsAWait) {
  for (int64_t ns : {int64_t(-1), INT64_MAX, 3600 * 1000 * kMs}) {
    std::thread t([] {
      usleep(3000);
      go_poll_break_();
    });
    EXPECT_EQ(go_poll_wait_(ns), GO_POLL_BROKEN_);
    t.join();
  }
}

TEST_F(Poll, BreaksBeforeAWaitCountOnce) {
  errno = 5;
  for (int i = 0; i < 10; i++) go_poll_break_();
  EXPECT_EQ(go_poll_wait_(-1), GO_POLL_BROKEN_);
  EXPECT_GE(Timed(2 * kMs), 2 * kMs);
  go_poll_break_();
  EXPECT_EQ(go_poll_wait_(-1), GO_POLL_BROKEN_);
  EXPECT_GE(Timed(2 * kMs), 2 * kMs);
  EXPECT_EQ(errno, 5);
}

TEST_F(Poll, ALookDoesNotUseUpABreak) {
  go_poll_break_();
  EXPECT_EQ(go_poll_wait_(0), 0);
  EXPECT_EQ(go_poll_wait_(0), 0);
  EXPECT_LT(Timed(10000 * kMs), 10000 * kMs);
  EXPECT_GE(Timed(2 * kMs), 2 * kMs);
}

TEST_F(Poll, BreakAndEventsTogether) {
  int a[2];
  Pair(a);
  ASSERT_EQ(go_poll_add_(a[0], 9), 0);
  go_poll_break_();
  EXPECT_EQ(go_poll_wait_(-1), 1);
  EXPECT_EQ(events[0].key, 9u);
  EXPECT_GE(Timed(2 * kMs), 2 * kMs);
}

TEST_F(Poll, SignalsNeitherEndNorStretchAWait) {
  struct sigaction sa = {}, old;
  sa.sa_handler = [](int) {};
  sigaction(SIGUSR1, &sa, &old);
  std::atomic<bool> out{false};
  pthread_t self = pthread_self();
  std::thread t([&] {
    while (!out) {
      pthread_kill(self, SIGUSR1);
      usleep(500);
    }
  });
  int64_t took = Timed(30 * kMs);
  out = true;
  t.join();
  sigaction(SIGUSR1, &old, nullptr);
  EXPECT_GE(took, 30 * kMs);
  EXPECT_LT(took, 3000 * kMs);
}

TEST_F(Poll, BreakFromASignalHandlerOfTheWaiter) {
  struct sigaction sa = {}, old;
  sa.sa_handler = [](int) { go_poll_break_(); };
  sigaction(SIGUSR1, &sa, &old);
  pthread_t self = pthread_self();
  std::thread t([&] {
    usleep(3000);
    pthread_kill(self, SIGUSR1);
  });
  EXPECT_EQ(go_poll_wait_(-1), GO_POLL_BROKEN_);
  t.join();
  sigaction(SIGUSR1, &old, nullptr);
}

// What a breaker wrote before its call is seen after the wait that it ends, however many breakers
// there are.
TEST_F(Poll, NoBreakIsLost) {
  constexpr int kThreads = 3, kRounds = 20000;
  std::atomic<uint32_t> asked[kThreads] = {}, seen[kThreads] = {};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; i++)
    threads.emplace_back([&, i] {
      for (uint32_t r = 1; r <= kRounds; r++) {
        asked[i].store(r, std::memory_order_relaxed);
        go_poll_break_();
        for (int spin = 0; seen[i].load(std::memory_order_acquire) < r; spin++)
          if (spin > 50) go_os_yield_();
      }
    });
  for (int waits = 0;; waits++) {
    bool all = true;
    for (int i = 0; i < kThreads; i++) {
      uint32_t a = asked[i].load(std::memory_order_relaxed);
      seen[i].store(a, std::memory_order_release);
      if (a < kRounds) all = false;
    }
    if (all) break;
    if (waits % 3 == 0) go_poll_wait_(0);
    ASSERT_EQ(go_poll_wait_(waits % 2 ? -1 : 3600 * 1000 * kMs), GO_POLL_BROKEN_);
  }
  for (auto &t : threads) t.join();
}

TEST_F(Poll, DescriptorsAreNotInherited) {
  for (int fd = 3; fd < 64; fd++) {
    char path[64], target[64] = "";
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (readlink(path, target, sizeof target - 1) < 0 || strncmp(target, "anon_inode:", 11) != 0)
      continue;
    EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC) << target;
  }
}

// A kernel or a filter that does not know epoll_pwait2.
TEST(PollOld, WorksWithoutPwait2) {
  if (kKqueue || getenv("GOLIB_TEST_OLD_KERNEL") != nullptr) GTEST_SKIP();
  pid_t pid = fork();
  if (pid == 0) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 441, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {sizeof code / sizeof code[0], code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) != 0)
      _exit(77);
    setenv("GOLIB_TEST_OLD_KERNEL", "1", 1);
    unsetenv("XML_OUTPUT_FILE");
    execl("/proc/self/exe", "test", "--gtest_filter=Poll.*", "--gtest_brief=1", nullptr);
    _exit(76);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP() << "no filters here";
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(PollName, IsWhatWasLinked) { EXPECT_STREQ(go_poll_name_, kKqueue ? "kqueue" : "epoll"); }

}  // namespace

#endif  // __linux__
