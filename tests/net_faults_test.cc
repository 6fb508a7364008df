// What the system does to sockets once in a while: calls that are interrupted, do only a part, or fail. The calls of libc that
// golib makes are defined here, in libc's place, and fail on demand.

#include <dlfcn.h>
#include <fcntl.h>
#include <golib/golib.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <vector>

#include "tests/support/net.h"

namespace {

enum Call { kAccept, kConnect, kRead, kSend, kSendfile, kSocket, kWatch, kClose, kCalls };

// After `pass` calls the next `left` fail with `err`.
struct Plan {
  std::atomic<int> pass{0}, left{0}, err{0};
} plans[kCalls];
std::atomic<bool> interrupt{
    false};                      // every third call of each kind, but socket, comes back with EINTR
std::atomic<size_t> at_most{0};  // bytes of one send; 0: as many as it likes
std::atomic<unsigned> calls{0};

void Fail(Call c, int err, int times = 1, int pass = 0) {
  plans[c].err = err;
  plans[c].pass = pass;
  plans[c].left = times;
}

// Whether the call fails, with errno set.
bool Fails(Call c) {
  for (int n = plans[c].left; n > 0 && --plans[c].pass < 0;) {
    if (plans[c].left.compare_exchange_weak(n, n - 1)) {
      errno = plans[c].err;
      return true;
    }
  }
  if (interrupt && c != kSocket && c != kWatch && calls++ % 3 == 0) {
    errno = EINTR;
    return true;
  }
  return false;
}

size_t Cut(size_t n) {
  size_t most = at_most;
  return most != 0 && most < n ? most : n;
}

template <class F>
F *Real(const char *name) {
  return reinterpret_cast<F *>(dlsym(RTLD_NEXT, name));
}
// Found before golib runs: dlsym takes locks and stack.
struct {
  decltype(&::accept4) accept4 = Real<decltype(::accept4)>("accept4");
  decltype(&::connect) connect = Real<decltype(::connect)>("connect");
  decltype(&::recv) recv = Real<decltype(::recv)>("recv");
  decltype(&::readv) readv = Real<decltype(::readv)>("readv");
  decltype(&::recvmsg) recvmsg = Real<decltype(::recvmsg)>("recvmsg");
  decltype(&::send) send = Real<decltype(::send)>("send");
  decltype(&::sendmsg) sendmsg = Real<decltype(::sendmsg)>("sendmsg");
  decltype(&::sendfile) sendfile = Real<decltype(::sendfile)>("sendfile");
  decltype(&::socket) socket = Real<decltype(::socket)>("socket");
  decltype(&::epoll_ctl) epoll_ctl = Real<decltype(::epoll_ctl)>("epoll_ctl");
  decltype(&::close) close = Real<decltype(::close)>("close");
  long (*syscall)(long, ...) = Real<long(long, ...)>("syscall");
} const real;

}  // namespace

extern "C" {

int accept4(int fd, struct sockaddr *a, socklen_t *n, int flags) {
  return Fails(kAccept) ? -1 : real.accept4(fd, a, n, flags);
}
// Interrupted, it goes on all the same.
int connect(int fd, const struct sockaddr *a, socklen_t n) {
  if (!Fails(kConnect)) return real.connect(fd, a, n);
  if (errno == EINTR) {
    (void)real.connect(fd, a, n);
    errno = EINTR;
  }
  return -1;
}
ssize_t recv(int fd, void *buf, size_t n, int flags) {
  return Fails(kRead) ? -1 : real.recv(fd, buf, n, flags);
}
ssize_t readv(int fd, const struct iovec *v, int n) {
  return Fails(kRead) ? -1 : real.readv(fd, v, n);
}
ssize_t recvmsg(int fd, struct msghdr *msg, int flags) {
  return Fails(kRead) ? -1 : real.recvmsg(fd, msg, flags);
}
ssize_t send(int fd, const void *buf, size_t n, int flags) {
  return Fails(kSend) ? -1 : real.send(fd, buf, Cut(n), flags);
}
ssize_t sendmsg(int fd, const struct msghdr *msg, int flags) {
  if (Fails(kSend)) return -1;
  if (at_most == 0) return real.sendmsg(fd, msg, flags);
  struct msghdr first = *msg;
  struct iovec v = {msg->msg_iov[0].iov_base, Cut(msg->msg_iov[0].iov_len)};
  first.msg_iov = &v;
  first.msg_iovlen = 1;
  return real.sendmsg(fd, &first, flags);
}
ssize_t sendfile(int to, int from, off_t *at, size_t n) noexcept {
  return Fails(kSendfile) ? -1 : real.sendfile(to, from, at, Cut(n));
}
int socket(int domain, int type, int protocol) noexcept {
  return Fails(kSocket) ? -1 : real.socket(domain, type, protocol);
}
int epoll_ctl(int ep, int op, int fd, struct epoll_event *e) noexcept {
  return op == EPOLL_CTL_ADD && Fails(kWatch) ? -1 : real.epoll_ctl(ep, op, fd, e);
}
// Interrupted, it is closed all the same.
int close(int fd) {
  int r = real.close(fd);
  return r == 0 && plans[kClose].left > 0 && Fails(kClose) ? -1 : r;
}
// The most frequent calls come by here.
long syscall(long number, ...) noexcept {
  va_list v;
  va_start(v, number);
  long a[6];
  for (long &x : a) x = va_arg(v, long);
  va_end(v);
  if ((number == SYS_recvfrom || number == SYS_recvmsg) && Fails(kRead)) return -1;
  if (number == SYS_sendto) {
    if (Fails(kSend)) return -1;
    a[2] = static_cast<long>(Cut(static_cast<size_t>(a[2])));
  }
  return real.syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

}  // extern "C"

using golib_test::Conn;
using golib_test::Dial;
using golib_test::Listener;
using golib_test::NetTest;
using golib_test::OpenFds;
using golib_test::Pair;
using golib_test::ReadAll;
using golib_test::ReadN;
using golib_test::Rounds;
using golib_test::RunGo;
using golib_test::Settle;
using golib_test::Write;

namespace {

class NetFaults : public NetTest {
 protected:
  void TearDown() override {
    for (Plan &p : plans) EXPECT_EQ(p.left.exchange(0), 0) << "a failure that did not happen";
    interrupt = false;
    at_most = 0;
    NetTest::TearDown();
  }
};

// What is written on stderr meanwhile.
class Stderr {
 public:
  Stderr() : file_(memfd_create("stderr", MFD_CLOEXEC)), old_(dup(2)) { dup2(file_, 2); }
  ~Stderr() {
    dup2(old_, 2);
    close(old_);
    close(file_);
  }
  int Count(const std::string &what) const {
    std::string s(65536, '\0');
    ssize_t n = pread(file_, &s[0], s.size(), 0);
    s.resize(n > 0 ? static_cast<size_t>(n) : 0);
    int k = 0;
    for (size_t at = s.find(what); at != std::string::npos; at = s.find(what, at + 1)) k++;
    return k;
  }

 private:
  int file_, old_;
};

std::string Data(size_t n) {
  std::string s(n, '\0');
  for (size_t i = 0; i < n; i++) s[i] = static_cast<char>(i * 2654435761u >> 21);
  return s;
}

int FileWith(const std::string &s) {
  int fd = memfd_create("file", MFD_CLOEXEC);
  EXPECT_EQ(write(fd, s.data(), s.size()), static_cast<ssize_t>(s.size()));
  return fd;
}

// One of each call that moves data, from a to b, which is read in two ways.
void MoveData(const Pair &p) {
  const std::string data = Data(500000);
  const auto size = static_cast<ptrdiff_t>(data.size());
  int file = FileWith(data);
  go_wg wg{};
  SPAWN_WG(&wg, [&] {
    EXPECT_EQ(Write(p.a, data), size);
    std::string copy = data;
    go_iovec v[3] = {{&copy[0], 1}, {&copy[1], 0}, {&copy[1], copy.size() - 1}};
    EXPECT_EQ(go_writev(nullptr, p.a, v, 3), size);
    int64_t at = 0;
    EXPECT_EQ(go_sendfile(nullptr, p.a, file, &at, data.size() + 1), size);
    EXPECT_EQ(at, size);
    EXPECT_EQ(go_conn_shutdown(p.a, GO_SHUT_WR), 0);
  });
  EXPECT_TRUE(ReadN(p.b, data.size()) == data);
  std::string got;
  for (ptrdiff_t r = 1; r > 0;) {
    char x[1000], y[3000];
    go_iovec v[2] = {{x, sizeof x}, {y, sizeof y}};
    r = go_readv(nullptr, p.b, v, 2);
    EXPECT_GE(r, 0);
    if (r <= 0) break;
    size_t n = static_cast<size_t>(r), first = n < sizeof x ? n : sizeof x;
    got.append(x, first);
    got.append(y, n - first);
  }
  EXPECT_TRUE(got == data + data);
  go_wg_wait(&wg);
  close(file);
}

// ---- interrupted, or in part

// Go: internal/poll ignoringEINTR, TestSpuriousConnect...
TEST_F(NetFaults, Interrupted) {
  RunGo([] {
    interrupt = true;
    for (int i = 0; i < Rounds(20); i++) {
      MoveData(Pair());
      MoveData(Pair("unix", ("@golib_eintr_" + std::to_string(getpid())).c_str()));
      go_conn *u = nullptr;
      ASSERT_EQ(go_packet_listen(nullptr, "udp", "127.0.0.1:0", &u), 0);
      go_addr a;
      EXPECT_EQ(go_conn_local(u, &a), 0);
      Conn to(u), from = Dial("udp", go_addr_str(&a));
      char c = 0;
      EXPECT_EQ(Write(from, "x"), 1);
      EXPECT_EQ(go_recvfrom(nullptr, to, &c, 1, &a, nullptr), 1);
      EXPECT_EQ(go_sendto(nullptr, to, "y", 1, &a), 1);
      EXPECT_EQ(go_read(nullptr, from, &c, 1), 1);
      EXPECT_EQ(c, 'y');
    }
  });
}

TEST_F(NetFaults, OnlyInParts) {
  RunGo([] {
    for (size_t most : {size_t{4000}, size_t{100001}, size_t{499999}}) {
      at_most = most;
      MoveData(Pair());
      MoveData(Pair("unix", ("@golib_parts_" + std::to_string(getpid())).c_str()));
      interrupt = true;
      MoveData(Pair());
      interrupt = false;
    }
  });
}

// The number is free after it: closing twice would hit another's.
TEST_F(NetFaults, CloseInterrupted) {
  RunGo([] {
    const int before = OpenFds();
    Pair p;
    Fail(kClose, EINTR, 2);
    EXPECT_EQ(go_conn_close(p.a), 0);
    EXPECT_EQ(go_conn_close(p.b), 0);
    EXPECT_EQ(OpenFds(), before);
  });
}

// ---- accepting

// Go: TestAcceptIgnoreAbortedConnRequest, and what accept(2) says of errors that belong to the connection.
TEST_F(NetFaults, AcceptSkipsWhatIsLost) {
  RunGo([] {
    Listener l;
    for (int err : {ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH,
                    ENETUNREACH}) {
      Conn c = Dial("tcp", l.Addr());
      Fail(kAccept, err, 3);
      Conn s = l.Accept();
      EXPECT_EQ(Write(c, "x"), 1);
      EXPECT_EQ(ReadN(s, 1), "x");
    }
  });
}

// Its caller decides; the listener is as good as before.
TEST_F(NetFaults, AcceptReturnsTheRest) {
  RunGo([] {
    Listener l;
    Conn c = Dial("tcp", l.Addr());
    for (int err : {EPERM, EIO}) {
      go_conn *s = nullptr;
      Fail(kAccept, err);
      EXPECT_EQ(go_accept(nullptr, l, &s), -err);
      EXPECT_EQ(s, nullptr);
    }
    Conn s = l.Accept();
    EXPECT_EQ(Write(c, "x"), 1);
    EXPECT_EQ(ReadN(s, 1), "x");
  });
}

TEST_F(NetFaults, AcceptWaitsForWhatIsShort) {
  static const struct {
    Call call;
    int err;
    const char *text;
  } cases[] = {
      {kAccept, EMFILE, "go_accept: no descriptor"}, {kAccept, ENFILE, "go_accept: no descriptor"},
      {kAccept, ENOBUFS, "go_accept: no memory"},    {kAccept, ENOMEM, "go_accept: no memory"},
      {kWatch, ENOMEM, "go_accept: no memory"},      {kWatch, ENOSPC, "go_accept: the poller"},
  };
  for (const auto &k : cases) {
    RunGo([&] {
      Stderr said;
      Listener l;
      Conn first = Dial("tcp", l.Addr()), second = Dial("tcp", l.Addr());
      EXPECT_EQ(Write(first, "1"), 1);
      EXPECT_EQ(Write(second, "2"), 1);
      Fail(k.call, k.err, 4);
      Conn a = l.Accept(), b = l.Accept();
      EXPECT_EQ(ReadN(a, 1), "1") << "none is lost";
      EXPECT_EQ(ReadN(b, 1), "2");
      EXPECT_EQ(said.Count(k.text), 1) << k.text;
      // And once more, when it happens again.
      Conn third = Dial("tcp", l.Addr());
      Fail(k.call, k.err, 2);
      Conn c = l.Accept();
      EXPECT_EQ(said.Count(k.text), 2) << k.text;
      go_addr far, near;
      EXPECT_EQ(go_conn_remote(c, &far), 0);
      EXPECT_EQ(go_conn_local(third, &near), 0);
      EXPECT_STREQ(go_addr_str(&far), go_addr_str(&near));
    });
  }
}

// A connection that waits for the poller goes with its listener.
TEST_F(NetFaults, CloseWithAConnectionInHand) {
  RunGo([] {
    Stderr said;
    Listener l;
    Conn c = Dial("tcp", l.Addr());
    Fail(kWatch, ENOSPC, 1 << 20);
    go_conn *s = nullptr;
    EXPECT_EQ(go_listener_set_deadline(l, go_now() + 20 * GO_MS), 0);
    EXPECT_EQ(go_accept(nullptr, l, &s), GO_ETIMEDOUT);
    Fail(kWatch, 0, 0);
    EXPECT_EQ(go_listener_close(l), 0);
    char b;
    ptrdiff_t r = go_read(nullptr, c, &b, 1);
    EXPECT_TRUE(r == 0 || r == -ECONNRESET) << r;
  });
}

// ---- making sockets

TEST_F(NetFaults, NoSocket) {
  RunGo([] {
    Listener l;
    const std::string addr = l.Addr();
    const int before = OpenFds();
    go_conn *c = nullptr;
    go_listener *other = nullptr;
    for (Call call : {kSocket, kWatch}) {
      for (int err : {EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES}) {
        Fail(call, err);
        EXPECT_EQ(go_dial(nullptr, "tcp", addr.c_str(), &c), -err);
        Fail(call, err);
        EXPECT_EQ(go_listen(nullptr, "tcp", "127.0.0.1:0", &other), -err);
        Fail(call, err);
        EXPECT_EQ(go_packet_listen(nullptr, "udp", "127.0.0.1:0", &c), -err);
        EXPECT_EQ(OpenFds(), before);
      }
    }
    EXPECT_EQ(c, nullptr);
    EXPECT_EQ(other, nullptr);
  });
}

// Go: TestListenDualStack without IPv6.
TEST_F(NetFaults, NoIp6) {
  RunGo([] {
    for (int err : {EAFNOSUPPORT, EPERM}) {
      Fail(kSocket, err);
      Listener l("tcp", ":0");
      EXPECT_EQ(l.Addr().compare(0, 8, "0.0.0.0:"), 0) << l.Addr();
    }
    go_listener *l = nullptr;
    Fail(kSocket, EMFILE);
    EXPECT_EQ(go_listen(nullptr, "tcp", ":0", &l), -EMFILE);
  });
}

TEST_F(NetFaults, DupFails) {
  RunGo([] {
    Pair p;
    const int before = OpenFds();
    Fail(kWatch, ENOSPC);
    EXPECT_EQ(go_conn_dup(p.a), nullptr);
    EXPECT_EQ(OpenFds(), before);
    Conn d(go_conn_dup(p.a));
    EXPECT_EQ(Write(d, "x"), 1);
    EXPECT_EQ(ReadN(p.b, 1), "x");
  });
}

TEST_F(NetFaults, ConnectFails) {
  RunGo([] {
    Listener l;
    go_conn *c = nullptr;
    for (int err : {ENETUNREACH, EHOSTUNREACH, EACCES, ETIMEDOUT, ECONNRESET}) {
      Fail(kConnect, err);
      EXPECT_EQ(go_dial(nullptr, "tcp", l.Addr().c_str(), &c), -err);
    }
    Fail(kConnect, EADDRNOTAVAIL, 2);  // for a moment: Go: spuriousENOTAVAIL
    Conn d = Dial("tcp", l.Addr());
    Fail(kConnect, EADDRNOTAVAIL, 3);
    EXPECT_EQ(go_dial(nullptr, "tcp", l.Addr().c_str(), &c), -EADDRNOTAVAIL);
    EXPECT_EQ(c, nullptr);
  });
}

// ---- using them

// The error is its caller's, and what it is worth: the connection may be as good as before.
TEST_F(NetFaults, ReadAndWriteFail) {
  RunGo([] {
    Pair p;
    char c = 0;
    go_iovec v{&c, 1};
    int file = FileWith("file");
    int64_t at = 0;
    for (int err : {ENOBUFS, ENOMEM, EHOSTUNREACH, ETIMEDOUT, ECONNRESET}) {
      Fail(kRead, err);
      EXPECT_EQ(go_read(nullptr, p.b, &c, 1), -err);
      Fail(kRead, err);
      EXPECT_EQ(go_readv(nullptr, p.b, &v, 1), -err);
      Fail(kSend, err);
      EXPECT_EQ(go_write(nullptr, p.a, "x", 1), -err);
      Fail(kSend, err);
      EXPECT_EQ(go_writev(nullptr, p.a, &v, 1), -err);
      EXPECT_EQ(v.len, 1u);
      Fail(kSendfile, err);
      EXPECT_EQ(go_sendfile(nullptr, p.a, file, &at, 4), -err);
      EXPECT_EQ(at, 0);
      EXPECT_EQ(Write(p.a, "y"), 1);
      EXPECT_EQ(ReadN(p.b, 1), "y");
    }
    close(file);
  });
}

// In the middle: what was written until then is told, where it can be.
TEST_F(NetFaults, WriteFailsInTheMiddle) {
  RunGo([] {
    Pair p;
    std::string s = "0123456789";
    at_most = 4;
    go_iovec v[2] = {{&s[0], 6}, {&s[6], 4}};
    Fail(kSend, EIO, 1, 1);
    EXPECT_EQ(go_writev(nullptr, p.a, v, 2), -EIO);
    EXPECT_EQ(v[0].len, 2u);
    EXPECT_EQ(v[0].base, &s[4]);
    EXPECT_EQ(v[1].len, 4u);
    EXPECT_EQ(go_writev(nullptr, p.a, v, 2), 6);
    int file = FileWith(s);
    int64_t at = 1;
    Fail(kSendfile, EIO, 1, 1);
    EXPECT_EQ(go_sendfile(nullptr, p.a, file, &at, 9), -EIO);
    EXPECT_EQ(at, 5);
    EXPECT_EQ(go_sendfile(nullptr, p.a, file, &at, 9), 5);
    Fail(kSend, EIO, 1, 2);
    EXPECT_EQ(Write(p.a, s), -EIO);
    EXPECT_EQ(ReadN(p.b, 27), s + s.substr(1) + s.substr(0, 8));
    close(file);
  });
}

// Go: TestSendfile... with a pipe: it cannot be read from an offset.
TEST_F(NetFaults, SendfileFromWhatIsNoFile) {
  RunGo([] {
    Pair p;
    int fds[2];
    ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
    const int flags = fcntl(fds[0], F_GETFL);
    EXPECT_EQ(write(fds[1], "x", 1), 1);
    int64_t at = 0;
    EXPECT_EQ(go_sendfile(nullptr, p.a, fds[0], &at, 1), GO_EINVAL);
    EXPECT_EQ(at, 0);
    EXPECT_EQ(fcntl(fds[0], F_GETFL), flags);
    close(fds[0]);
    close(fds[1]);
  });
}

}  // namespace
