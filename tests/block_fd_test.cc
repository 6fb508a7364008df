// go_fd_wait: waiting for descriptors of others.
#include <fcntl.h>
#include <golib/golib.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

const int kBoth = GO_FD_READ | GO_FD_WRITE;

struct Pair {
  int a, b;
  Pair() {
    int s[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    a = s[0];
    b = s[1];
  }
  ~Pair() {
    close(a);
    if (b >= 0) close(b);
  }
  // Until a cannot be written.
  void Fill() const {
    char big[4096] = {};
    while (send(a, big, sizeof big, MSG_DONTWAIT) > 0) {}
  }
  void Drain() const {
    char big[4096];
    while (recv(b, big, sizeof big, MSG_DONTWAIT) > 0) {}
  }
};

int Descriptors() {
  int n = 0;
  for (int i = 0; i < 1024; i++) n += fcntl(i, F_GETFD) >= 0;
  return n;
}

class FdWait : public testing::TestWithParam<bool> {
 protected:
  static void On(const std::function<void()> &f) {
    if (GetParam()) {
      RunGo(f);
    } else {
      f();
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Goroutine, FdWait, testing::Bool());

TEST_P(FdWait, ReadyAlready) {
  On([] {
    Pair p;
    EXPECT_EQ(go_fd_wait(nullptr, p.a, GO_FD_WRITE), GO_FD_WRITE);
    EXPECT_EQ(go_fd_wait(nullptr, p.a, kBoth), GO_FD_WRITE);
    EXPECT_EQ(write(p.b, "x", 1), 1);
    EXPECT_EQ(go_fd_wait(nullptr, p.a, GO_FD_READ), GO_FD_READ);
    EXPECT_EQ(go_fd_wait(nullptr, p.a, kBoth), kBoth);
    EXPECT_EQ(go_fd_wait(nullptr, p.a, kBoth), kBoth);  // it says what is, not what changes
  });
}

TEST_P(FdWait, UntilReadable) {
  On([] {
    Pair p;
    for (int events : {static_cast<int>(GO_FD_READ), kBoth}) {
      for (int i = 0; i < 20; i++) {
        p.Fill();  // not writable
        go_wg wg{};
        SPAWN_WG(&wg, [&] {
          Settle();
          EXPECT_EQ(write(p.b, "x", 1), 1);
        });
        EXPECT_EQ(go_fd_wait(nullptr, p.a, events), GO_FD_READ);
        char c;
        EXPECT_EQ(read(p.a, &c, 1), 1);
        go_wg_wait(&wg);
      }
    }
  });
}

TEST_P(FdWait, UntilWritable) {
  On([] {
    Pair p;
    for (int events : {static_cast<int>(GO_FD_WRITE), kBoth}) {
      for (int i = 0; i < 20; i++) {
        p.Fill();
        go_wg wg{};
        SPAWN_WG(&wg, [&] {
          Settle();
          p.Drain();
        });
        EXPECT_EQ(go_fd_wait(nullptr, p.a, events), GO_FD_WRITE);
        go_wg_wait(&wg);
      }
    }
  });
}

TEST_P(FdWait, HangUp) {
  On([] {
    for (int events : {static_cast<int>(GO_FD_READ), kBoth}) {
      Pair p;
      p.Fill();
      go_wg wg{};
      SPAWN_WG(&wg, [&] {
        Settle();
        close(p.b);
        p.b = -1;
      });
      EXPECT_EQ(go_fd_wait(nullptr, p.a, events), events);
      EXPECT_EQ(go_fd_wait(nullptr, p.a, events), events);
      go_wg_wait(&wg);
    }
  });
}

// The descriptor stays as it is, and nothing stays registered.
TEST_P(FdWait, LeavesNothingBehind) {
  On([] {
    Pair p;
    EXPECT_EQ(fcntl(p.a, F_GETFL) & O_NONBLOCK, 0);
    EXPECT_EQ(go_sleep(nullptr, GO_US), 0);  // whatever golib opens for itself is open
    Pair other;
    go_wg wg{};
    SPAWN_WG(&wg, [&] { EXPECT_EQ(write(other.b, "x", 1), 1); });
    EXPECT_EQ(go_fd_wait(nullptr, other.a, GO_FD_READ), GO_FD_READ);
    go_wg_wait(&wg);
    const int before = Descriptors();
    for (int i = 0; i < 100; i++) {
      SPAWN_WG(&wg, [&] { EXPECT_EQ(write(p.b, "x", 1), 1); });
      EXPECT_EQ(go_fd_wait(nullptr, p.a, GO_FD_READ), GO_FD_READ);
      char c;
      EXPECT_EQ(read(p.a, &c, 1), 1);
      go_wg_wait(&wg);
    }
    EXPECT_EQ(Descriptors(), before);
    EXPECT_EQ(fcntl(p.a, F_GETFL) & O_NONBLOCK, 0);
  });
}

// Several for one descriptor, and an event loop of its owner's besides.
TEST_P(FdWait, ManyForOne) {
  On([] {
    Pair p;
    int ep = epoll_create1(0);
    epoll_event ev{};
    ev.events = EPOLLIN;
    EXPECT_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, p.a, &ev), 0);
    p.Fill();
    std::atomic<int> readers{0}, writers{0};
    go_wg wg{};
    for (int i = 0; i < 10; i++) {
      SPAWN_WG(&wg, [&] {
        EXPECT_EQ(go_fd_wait(nullptr, p.a, GO_FD_READ), GO_FD_READ);
        readers++;
      });
      SPAWN_WG(&wg, [&] {
        EXPECT_EQ(go_fd_wait(nullptr, p.a, GO_FD_WRITE), GO_FD_WRITE);
        writers++;
      });
    }
    Settle();
    EXPECT_EQ(readers + writers, 0);
    EXPECT_EQ(write(p.b, "x", 1), 1);
    Until([&] { return readers == 10; });
    EXPECT_EQ(writers.load(), 0);
    p.Drain();
    go_wg_wait(&wg);
    EXPECT_EQ(epoll_wait(ep, &ev, 1, 0), 1);
    close(ep);
  });
}

// Somebody else takes what it was woken for: it goes on waiting.
TEST_P(FdWait, AtOnceOrLater) {
  On([] {
    Pair p;
    std::atomic<int> got{0};
    constexpr int kN = 200;
    go_wg wg{};
    for (int i = 0; i < 4; i++) {
      SPAWN_WG(&wg, [&] {
        for (;;) {
          EXPECT_EQ(go_fd_wait(nullptr, p.a, GO_FD_READ), GO_FD_READ);
          char c;
          ssize_t n = recv(p.a, &c, 1, MSG_DONTWAIT);
          if (n == 0) break;
          if (n == 1) got++;
        }
      });
    }
    for (int i = 0; i < kN; i++) {
      EXPECT_EQ(write(p.b, "xy", 1 + i % 2), 1 + i % 2);
      go_yield();
    }
    shutdown(p.b, SHUT_WR);
    go_wg_wait(&wg);
    EXPECT_EQ(got.load(), kN + kN / 2);
  });
}

TEST_P(FdWait, Files) {
  On([] {
    FILE *f = tmpfile();
    EXPECT_EQ(go_fd_wait(nullptr, fileno(f), GO_FD_READ), GO_FD_READ);
    EXPECT_EQ(go_fd_wait(nullptr, fileno(f), kBoth), kBoth);
    fclose(f);
    int null = open("/dev/null", O_RDWR);
    EXPECT_EQ(go_fd_wait(nullptr, null, kBoth), kBoth);
    close(null);
  });
}

TEST_P(FdWait, Contexts) {
  On([] {
    Pair p;
    go_ctx *ctx = go_ctx_with_timeout(nullptr, GO_MS);
    EXPECT_EQ(go_fd_wait(ctx, p.a, GO_FD_READ), GO_ETIMEDOUT);
    EXPECT_EQ(go_fd_wait(ctx, p.a, GO_FD_WRITE), GO_ETIMEDOUT);  // though it is ready
    go_ctx_unref(ctx);
    ctx = go_ctx_with_cancel(nullptr);
    go_wg wg{};
    SPAWN_WG(&wg, [&] {
      Settle();
      go_ctx_cancel(ctx);
    });
    p.Fill();
    EXPECT_EQ(go_fd_wait(ctx, p.a, kBoth), GO_ECANCELED);
    go_wg_wait(&wg);
    go_ctx_unref(ctx);
  });
}

// Its owner closes it meanwhile, which is illegal: but nobody else is hit. The wait is for the thing, not the number, which
// may be another's by then.
TEST_P(FdWait, ClosedByItsOwner) {
  On([] {
    int old[2], fresh[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, old), 0);
    go_ctx *ctx = go_ctx_with_cancel(nullptr);
    std::atomic<int> ended{0};
    go_wg wg{};
    const int number = old[0];
    int other[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, other), 0);
    go_ctx *soon = go_ctx_with_timeout(nullptr, GO_MS);
    EXPECT_EQ(go_fd_wait(soon, number, GO_FD_READ), GO_ETIMEDOUT);
    go_ctx_unref(soon);  // what golib opens for itself is open
    const int before = Descriptors();
    SPAWN_WG(&wg, [&] {
      EXPECT_EQ(go_fd_wait(nullptr, number, GO_FD_READ), GO_FD_READ);
      ended++;
    });
    SPAWN_WG(&wg, [&] {
      EXPECT_EQ(go_fd_wait(ctx, other[0], GO_FD_READ), GO_ECANCELED);
      ended++;
    });
    Until([&] { return Descriptors() == before + 2; });  // each has its own by now
    close(number);
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fresh), 0);
    EXPECT_EQ(fresh[0], number);
    EXPECT_EQ(write(fresh[1], "x", 1), 1);
    EXPECT_EQ(go_fd_wait(nullptr, fresh[0], GO_FD_READ), GO_FD_READ);
    Settle();
    EXPECT_EQ(ended, 0);
    EXPECT_EQ(write(old[1], "x", 1), 1);
    Until([&] { return ended == 1; });
    close(other[0]);
    Settle();
    go_ctx_cancel(ctx);
    go_wg_wait(&wg);
    char c;
    EXPECT_EQ(read(fresh[0], &c, 1), 1);
    go_ctx_unref(ctx);
    for (int fd : {fresh[0], fresh[1], old[1], other[1]}) close(fd);
  });
}

// Everything that can be waited for: counters, timers, pipes without a reader, other pollers, folders.
TEST_P(FdWait, KindsOfDescriptors) {
  On([] {
    uint64_t n = 1;
    int e = eventfd(0, EFD_CLOEXEC);
    EXPECT_EQ(go_fd_wait(nullptr, e, kBoth), GO_FD_WRITE);
    go_wg wg{};
    SPAWN_WG(&wg, [&] { EXPECT_EQ(write(e, &n, sizeof n), 8); });
    EXPECT_EQ(go_fd_wait(nullptr, e, GO_FD_READ), GO_FD_READ);
    go_wg_wait(&wg);
    int t = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    itimerspec at = {{0, 0}, {0, 2000000}};
    EXPECT_EQ(timerfd_settime(t, 0, &at, nullptr), 0);
    EXPECT_EQ(go_fd_wait(nullptr, t, GO_FD_READ), GO_FD_READ);
    int ep = epoll_create1(EPOLL_CLOEXEC);
    epoll_event ev{};
    ev.events = EPOLLIN;
    EXPECT_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, t, &ev), 0);
    EXPECT_EQ(go_fd_wait(nullptr, ep, GO_FD_READ), GO_FD_READ);
    int p[2];
    ASSERT_EQ(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
    char big[65536] = {};
    while (write(p[1], big, sizeof big) > 0) {}
    SPAWN_WG(&wg, [&] {
      Settle();
      close(p[0]);
    });
    EXPECT_EQ(go_fd_wait(nullptr, p[1], GO_FD_WRITE), GO_FD_WRITE);  // trying would say EPIPE
    go_wg_wait(&wg);
    int d = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    EXPECT_EQ(go_fd_wait(nullptr, d, GO_FD_READ), GO_FD_READ);
    for (int fd : {e, t, ep, p[1], d}) close(fd);
  });
}

TEST_P(FdWait, Errors) {
  On([] {
    Pair p;
    for (int bad : {0, 4, -1, 8 | GO_FD_READ}) EXPECT_EQ(go_fd_wait(nullptr, p.a, bad), GO_EINVAL);
    EXPECT_EQ(go_fd_wait(nullptr, -1, GO_FD_READ), -EBADF);
    EXPECT_EQ(go_fd_wait(nullptr, 1000000, GO_FD_READ), -EBADF);
    EXPECT_EQ(go_fd_wait(nullptr, INTPTR_MAX, GO_FD_READ), -EBADF);
    EXPECT_EQ(go_fd_wait(nullptr, (intptr_t{1} << 32) | p.a, GO_FD_READ), -EBADF);
    rlimit old{}, none{};
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = old;
    none.rlim_cur = 3;
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    int r2 = go_fd_wait(nullptr, p.a, GO_FD_READ);
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    EXPECT_EQ(r2, -EMFILE);
  });
}

}  // namespace
