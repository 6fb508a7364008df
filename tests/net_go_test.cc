// What Go's tests of net, internal/poll and os ask for and no other file has: sizes, allocations, crowds, signals.

#include <errno.h>
#include <fcntl.h>
#include <golib/golib.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <vector>

#include "tests/support/net.h"

using golib_test::Conn;
using golib_test::Dial;
using golib_test::kSanitized;
using golib_test::Listener;
using golib_test::NetTest;
using golib_test::Pair;
using golib_test::Procs;
using golib_test::ReadAll;
using golib_test::ReadN;
using golib_test::Rounds;
using golib_test::RunGo;
using golib_test::Settle;
using golib_test::Until;
using golib_test::Write;

// ---- allocations are counted: glibc's own names for them allow it.

namespace {
std::atomic<int> allocations{0};
}  // namespace

#if defined(__GLIBC__) && !defined(GOLIB_TEST_TSAN_) && !defined(GOLIB_TEST_ASAN_)
#define COUNTS_ALLOCATIONS 1
extern "C" {
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *malloc(size_t n) noexcept {
  allocations++;
  return __libc_malloc(n);
}
void *calloc(size_t n, size_t size) noexcept {
  allocations++;
  return __libc_calloc(n, size);
}
void *realloc(void *p, size_t n) noexcept {
  allocations++;
  return __libc_realloc(p, n);
}
}
#endif

namespace {

class NetGo : public NetTest {};

std::string UnixName(const char *what) {
  return std::string("@golib_") + what + "_" + std::to_string(getpid());
}

// Go: TestTCPReadWriteAllocs.
TEST_F(NetGo, ReadAndWriteDoNotAllocate) {
#if !defined(COUNTS_ALLOCATIONS)
  GTEST_SKIP() << "a sanitizer has the allocator";
#endif
  RunGo([] {
    Pair p;
    char buf[128] = {};
    go_wg wg{};
    constexpr int kN = 2000;
    SPAWN_WG(&wg, [&] {
      char in[128];
      for (int i = 0; i < kN + 100; i++) {
        if (go_read(nullptr, p.b, in, sizeof in) != sizeof in) break;
        if (go_write(nullptr, p.b, in, sizeof in) != sizeof in) break;
      }
    });
    int before = 0;
    for (int i = 0; i < kN + 100; i++) {
      if (i == 100) before = allocations;
      ASSERT_EQ(go_conn_set_deadline(p.a, go_now() + GO_MIN), 0);
      ASSERT_EQ(go_write(nullptr, p.a, buf, sizeof buf), static_cast<ptrdiff_t>(sizeof buf));
      ASSERT_EQ(go_read(nullptr, p.a, buf, sizeof buf), static_cast<ptrdiff_t>(sizeof buf));
    }
    // Other than once for a thread or a P that comes into use.
    EXPECT_LT(allocations - before, 50);
    go_wg_wait(&wg);
  });
}

// Go: TestTCPBig: more than 2 GiB in one write.
TEST_F(NetGo, WriteOfMoreThanTwoGiB) {
  if (kSanitized) GTEST_SKIP() << "slow with a sanitizer";
  const size_t size = (size_t{2} << 30) + 12345;
  void *zeroes = mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(zeroes, MAP_FAILED);
  RunGo([&] {
    Pair p;
    go_wg wg{};
    SPAWN_WG(&wg, [&] {
      EXPECT_EQ(go_write(nullptr, p.a, zeroes, size), static_cast<ptrdiff_t>(size));
      EXPECT_EQ(go_conn_shutdown(p.a, GO_SHUT_WR), 0);
    });
    std::vector<char> buf(1 << 20);
    size_t got = 0;
    for (ptrdiff_t r; (r = go_read(nullptr, p.b, buf.data(), buf.size())) > 0;)
      got += static_cast<size_t>(r);
    EXPECT_EQ(got, size);
    go_wg_wait(&wg);
    // What makes no sense is refused before anything is sent.
    EXPECT_EQ(go_write(nullptr, p.b, zeroes, SIZE_MAX), GO_EINVAL);
    go_iovec v[2] = {{zeroes, PTRDIFF_MAX}, {zeroes, 1}};
    EXPECT_EQ(go_writev(nullptr, p.b, v, 2), GO_EINVAL);
    EXPECT_EQ(go_readv(nullptr, p.b, v, 2), GO_EINVAL);
    EXPECT_EQ(go_readv(nullptr, p.b, v, -1), GO_EINVAL);
  });
  munmap(zeroes, size);
}

// Go: TestTCPStress: small messages to and fro, a goroutine for each direction.
TEST_F(NetGo, SmallMessages) {
  const int n = Rounds(40000);
  RunGo([n] {
    Listener l;
    go_wg wg{};
    SPAWN_WG(&wg, [&] {
      Conn s = l.Accept();
      char m[64];
      for (int i = 0; i < n; i++) {
        ASSERT_EQ(ReadN(s, sizeof m).size(), sizeof m);
        ASSERT_EQ(go_write(nullptr, s, m, sizeof m), static_cast<ptrdiff_t>(sizeof m));
      }
    });
    Conn c = Dial("tcp", l.Addr());
    SPAWN_WG(&wg, [&] {
      for (int i = 0; i < n; i++) ASSERT_EQ(ReadN(c, 64).size(), 64u);
    });
    std::string m(64, 'm');
    for (int i = 0; i < n; i++) ASSERT_EQ(Write(c, m), 64);
    go_wg_wait(&wg);
  });
}

// Go: TestTCPConcurrentAccept.
TEST_F(NetGo, ManyAccept) {
  for (int procs : {1, 4}) {
    Procs set(procs);
    RunGo([] {
      constexpr int kAcceptors = 10, kDials = 200;
      Listener l;
      std::atomic<int> accepted{0}, closed{0};
      go_wg wg{}, dials{};
      for (int i = 0; i < kAcceptors; i++) {
        SPAWN_WG(&wg, [&] {
          go_conn *c = nullptr;
          int r;
          while ((r = go_accept(nullptr, l, &c)) == 0) {
            EXPECT_EQ(ReadN(c, 1), "x");
            accepted++;
            go_conn_unref(c);
          }
          EXPECT_EQ(r, GO_ECLOSED);
          closed++;
        });
      }
      for (int i = 0; i < kDials; i++) {
        SPAWN_WG(&dials, [&] { EXPECT_EQ(Write(Dial("tcp", l.Addr()), "x"), 1); });
      }
      go_wg_wait(&dials);
      Until([&] { return accepted == kDials; });
      EXPECT_EQ(closed, 0);
      EXPECT_EQ(go_listener_close(l), 0);
      go_wg_wait(&wg);
    });
  }
}

// Go: TestDialListenerAddr: what a listener calls itself can be dialled, though it is "any".
TEST_F(NetGo, DialWhereItListens) {
  RunGo([] {
    for (const char *net : {"tcp", "tcp4"}) {
      Listener l(net, ":0");
      Conn c = Dial(net, l.Addr()), s = l.Accept();
      EXPECT_EQ(Write(c, "x"), 1);
      EXPECT_EQ(ReadN(s, 1), "x");
    }
  });
}

// Go: TestUnixConnReadEOF, TestUnixgramConnLocalName's kin.
TEST_F(NetGo, EndOfAUnixStream) {
  RunGo([] {
    Pair p("unix", UnixName("eof").c_str());
    char c;
    EXPECT_EQ(Write(p.a, "x"), 1);
    EXPECT_EQ(go_conn_close(p.a), 0);
    EXPECT_EQ(go_read(nullptr, p.b, &c, 1), 1);
    for (int i = 0; i < 3; i++) EXPECT_EQ(go_read(nullptr, p.b, &c, 1), 0);
    go_iovec v{&c, 1};
    EXPECT_EQ(go_readv(nullptr, p.b, &v, 1), 0);
    go_addr a{};
    a.family = 9;
    EXPECT_EQ(go_conn_local(p.b, &a), 0);
    EXPECT_EQ(a.family, GO_ADDR_UNIX);
  });
}

// Go: TestEPIPE of os: with the default disposition, and of every call that writes.
TEST_F(NetGo, NoSigpipe) {
  struct sigaction dfl = {}, old;
  dfl.sa_handler = SIG_DFL;
  sigaction(SIGPIPE, &dfl, &old);
  int file = memfd_create("file", MFD_CLOEXEC);
  ASSERT_EQ(write(file, "file", 4), 4);
  RunGo([&] {
    std::string x = "x";
    for (const char *net : {"tcp", "unix"}) {
      const std::string addr = net[0] == 't' ? "127.0.0.1:0" : UnixName("pipe");
      for (int call = 0; call < 4; call++) {
        Pair p(net, addr.c_str());
        EXPECT_EQ(go_conn_set_linger(p.b, 0), 0);
        EXPECT_EQ(go_conn_close(p.b), 0);
        for (int i = 0; i < 3; i++) {
          go_iovec v{&x[0], 1};
          int64_t at = 0;
          ptrdiff_t r = call == 0   ? go_write(nullptr, p.a, "x", 1)
                        : call == 1 ? go_writev(nullptr, p.a, &v, 1)
                        : call == 2 ? go_sendto(nullptr, p.a, "x", 1, nullptr)
                                    : go_sendfile(nullptr, p.a, file, &at, 4);
          EXPECT_TRUE(r == -EPIPE || r == -ECONNRESET) << net << " " << call << ": " << r;
        }
      }
    }
    // By one's own doing: what was shut down is not written to.
    Pair p;
    EXPECT_EQ(go_conn_shutdown(p.a, GO_SHUT_WR), 0);
    EXPECT_EQ(Write(p.a, "x"), -EPIPE);
    EXPECT_EQ(ReadAll(p.b), "");
    EXPECT_EQ(Write(p.b, "still"), 5);
    EXPECT_EQ(ReadN(p.a, 5), "still");
    // Packets.
    go_conn *u = nullptr;
    ASSERT_EQ(go_packet_listen(nullptr, "unixgram", UnixName("gram").c_str(), &u), 0);
    Conn gram(u), to = Dial("unixgram", UnixName("gram"));
    EXPECT_EQ(go_conn_close(gram), 0);
    ptrdiff_t r = Write(to, "x");
    EXPECT_TRUE(r == -ECONNREFUSED || r == -ENOTCONN || r == -EPIPE) << r;
  });
  close(file);
  sigaction(SIGPIPE, &old, nullptr);
}

// A blocked SIGPIPE of somebody else's stays pending, and the mask is as it was.
TEST_F(NetGo, SendfileLeavesSignalsAlone) {
  int file = memfd_create("file", MFD_CLOEXEC);
  ASSERT_EQ(write(file, "file", 4), 4);
  RunGo([&] {
    go_lock_thread();
    sigset_t pipe, before, after;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &pipe, &before), 0);
    EXPECT_EQ(pthread_kill(pthread_self(), SIGPIPE), 0);
    Pair p;
    EXPECT_EQ(go_conn_set_linger(p.b, 0), 0);
    EXPECT_EQ(go_conn_close(p.b), 0);
    int64_t at = 0;
    for (int i = 0; i < 3; i++) EXPECT_LT(go_sendfile(nullptr, p.a, file, &at, 4), 0);
    sigset_t pending;
    EXPECT_EQ(sigpending(&pending), 0);
    EXPECT_EQ(sigismember(&pending, SIGPIPE), 1);
    EXPECT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &after), 0);
    EXPECT_EQ(sigismember(&after, SIGPIPE), 1);
    timespec now = {0, 0};
    EXPECT_EQ(sigtimedwait(&pipe, nullptr, &now), SIGPIPE);
    EXPECT_EQ(pthread_sigmask(SIG_SETMASK, &before, nullptr), 0);
    go_unlock_thread();
  });
  close(file);
}

// Descriptors that golib did not make are as they were, whatever was done with them: it shares them with others.
TEST_F(NetGo, ForeignDescriptorsStayBlocking) {
  int fds[2], sockets[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
  int file = memfd_create("file", MFD_CLOEXEC);
  std::vector<int> all = {0, 1, 2, fds[0], fds[1], sockets[0], sockets[1], file}, flags;
  for (int fd : all) flags.push_back(fcntl(fd, F_GETFL));
  RunGo([&] {
    Pair p;
    int64_t at = 0;
    char c;
    EXPECT_EQ(go_file_write(nullptr, file, "file", 4), 4);
    EXPECT_EQ(go_sendfile(nullptr, p.a, file, &at, 4), 4);
    EXPECT_EQ(go_file_write(nullptr, fds[1], "x", 1), 1);
    EXPECT_EQ(go_fd_wait(nullptr, fds[0], GO_FD_READ), GO_FD_READ);
    EXPECT_EQ(go_file_read(nullptr, fds[0], &c, 1), 1);
    go_ctx *ctx = go_ctx_with_timeout(nullptr, GO_MS);
    EXPECT_EQ(go_fd_wait(ctx, sockets[0], GO_FD_READ), GO_ETIMEDOUT);
    EXPECT_EQ(go_fd_wait(ctx, fds[0], GO_FD_READ), GO_ETIMEDOUT);
    go_ctx_unref(ctx);
    for (int fd : {0, 1, 2}) {
      ctx = go_ctx_with_timeout(nullptr, GO_MS);
      (void)!go_fd_wait(ctx, fd, GO_FD_READ | GO_FD_WRITE);
      go_ctx_unref(ctx);
    }
  });
  for (size_t i = 0; i < all.size(); i++) EXPECT_EQ(fcntl(all[i], F_GETFL), flags[i]) << all[i];
  for (int fd : {fds[0], fds[1], sockets[0], sockets[1], file}) close(fd);
}

int Threads() {
  struct stat st;
  EXPECT_EQ(stat("/proc/self/task", &st), 0);
  return static_cast<int>(st.st_nlink) - 2;
}

// Go: TestPipeThreads: a hundred who wait for pipes take no hundred threads.
TEST_F(NetGo, WaitingForPipesTakesNoThreads) {
  RunGo([] {
    constexpr int kPipes = 100;
    int fds[kPipes][2];
    std::atomic<int> begun{0};
    std::string got(kPipes, '\0');
    go_wg wg{};
    for (int i = 0; i < kPipes; i++) {
      ASSERT_EQ(pipe2(fds[i], O_CLOEXEC), 0);
      SPAWN_WG(&wg, [&, i] {
        begun++;
        EXPECT_EQ(go_fd_wait(nullptr, fds[i][0], GO_FD_READ), GO_FD_READ);
        EXPECT_EQ(read(fds[i][0], &got[static_cast<size_t>(i)], 1), 1);
      });
    }
    Until([&] { return begun == kPipes; });
    Settle();
    EXPECT_LT(Threads(), 50);
    for (int i = 0; i < kPipes; i++) EXPECT_EQ(write(fds[i][1], "x", 1), 1);
    go_wg_wait(&wg);
    EXPECT_EQ(got, std::string(kPipes, 'x'));
    for (auto &p : fds) {
      close(p[0]);
      close(p[1]);
    }
  });
}

// Calls that are for the other kind of socket do what the system does, or say no.
TEST_F(NetGo, OtherKindsOfSockets) {
  RunGo([] {
    Pair p, u("unix", UnixName("kinds").c_str());
    char c = 0;
    bool truncated = true;
    go_addr from;
    from.family = 9;
    EXPECT_EQ(Write(p.a, "xy"), 2);
    EXPECT_EQ(go_recvfrom(nullptr, p.b, &c, 1, &from, &truncated),
              1);  // of a stream: no packet, no sender
    EXPECT_EQ(from.family, GO_ADDR_NONE);
    EXPECT_FALSE(truncated);
    EXPECT_EQ(go_sendto(nullptr, p.b, "z", 1, nullptr), 1);
    EXPECT_EQ(ReadN(p.a, 1), "z");
    EXPECT_LT(go_conn_set_nodelay(u.a, true), 0);
    EXPECT_LT(go_conn_set_keepalive(u.a, GO_SEC), 0);
    go_conn *d = nullptr;
    ASSERT_EQ(go_packet_listen(nullptr, "udp", "127.0.0.1:0", &d), 0);
    Conn udp(d);
    EXPECT_LT(go_conn_set_nodelay(udp, true), 0);
    EXPECT_EQ(go_conn_shutdown(udp, GO_SHUT_WR), -ENOTCONN);
    int64_t at = 0;
    EXPECT_EQ(go_sendfile(nullptr, udp, 0, &at, 1), GO_EINVAL);
    go_iovec v{&c, 1};
    EXPECT_EQ(go_writev(nullptr, udp, &v, 1), -EDESTADDRREQ);
    EXPECT_EQ(v.len, 1u);
  });
}

// ---- storms

// Connects and closes as fast as they can, some with a reset, on a listener whose queue is short and whose owner takes a
// rest now and then: what cannot be queued waits, or is told so. Nothing is left behind.
TEST_F(NetGo, AcceptStorm) {
  for (const char *net : {"tcp", "unix"}) {
    RunGo([net] {
      go_listen_opts o{};
      o.backlog = 4;
      Listener l(net, net[0] == 't' ? "127.0.0.1:0" : UnixName("storm").c_str(), &o);
      std::string addr = l.Addr();
      std::atomic<int> dialled{0}, late{0}, accepted{0}, with_data{0};
      const int dialers = 30, each = kSanitized ? 2 : 5;
      go_wg wg{}, acceptors{};
      for (int t = 0; t < 2; t++) {
        SPAWN_WG(&acceptors, [&] {
          go_conn *c = nullptr;
          while (go_accept(nullptr, l, &c) == 0) {
            int k = accepted++;
            SPAWN_WG(&acceptors, [&, s = Conn(c)] {
              char b;
              with_data += go_read(nullptr, s, &b, 1) == 1;
            });
            if (k % 50 == 0) (void)go_sleep(nullptr, 5 * GO_MS);
          }
        });
      }
      for (int t = 0; t < dialers; t++) {
        SPAWN_WG(&wg, [&, t] {
          for (int i = 0; i < each; i++) {
            go_ctx *ctx = go_ctx_with_timeout(nullptr, 1500 * GO_MS);
            go_conn *c = nullptr;
            int r = go_dial(ctx, net, addr.c_str(), &c);
            go_ctx_unref(ctx);
            if (r != 0) {
              EXPECT_EQ(r, GO_ETIMEDOUT) << go_strerror(r);
              late++;
              continue;
            }
            dialled++;
            switch ((t + i) % 3) {
              case 0: EXPECT_EQ(go_conn_set_linger(c, 0), 0); break;
              case 1: (void)!go_write(nullptr, c, "x", 1); break;
              default: break;
            }
            go_conn_unref(c);
          }
        });
      }
      go_wg_wait(&wg);
      EXPECT_EQ(dialled + late, dialers * each);
      EXPECT_GT(dialled, 0);
      // Who comes now is served.
      {
        Conn c = Dial(net, addr);
        EXPECT_EQ(Write(c, "x"), 1);
        EXPECT_EQ(ReadAll(c), "");
      }
      EXPECT_EQ(go_listener_close(l), 0);
      go_wg_wait(&acceptors);
      EXPECT_LE(accepted, dialled + late + 1);
      EXPECT_GT(with_data, 0);
    });
  }
}

}  // namespace
