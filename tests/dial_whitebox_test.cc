// go_dial: names, several addresses, Happy Eyeballs, deadlines; with a resolver of the test's own, over loopback.
#include <arpa/inet.h>
#include <fcntl.h>
#include <golib/golib.h>
#include <golib/net.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

extern "C" {
#include "net/names.h"
}
#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

// "1.2.3.4,::1,..." in that order.
int ListResolver(const char *host, void (*each)(void *, int, const uint8_t *, uint32_t),
                 void *arg) {
  std::string rest = host;
  for (size_t at = 0; at != std::string::npos && at < rest.size();) {
    size_t end = rest.find(',', at);
    std::string one = rest.substr(at, end == std::string::npos ? end : end - at);
    for (char &c : one) c = c == '_' ? ':' : c;  // a name has no colons
    uint8_t ip[16];
    bool six = one.find(':') != std::string::npos;
    if (inet_pton(six ? AF_INET6 : AF_INET, one.c_str(), ip) == 1) each(arg, six ? 6 : 4, ip, 0);
    at = end == std::string::npos ? end : end + 1;
  }
  return 0;
}

int Descriptors() {
  int n = 0;
  for (int i = 0; i < 1024; i++) n += fcntl(i, F_GETFD) >= 0;
  return n;
}

socklen_t Loopback(bool six, uint16_t port, sockaddr_storage *ret) {
  memset(ret, 0, sizeof *ret);
  if (six) {
    auto *a = reinterpret_cast<sockaddr_in6 *>(ret);
    a->sin6_family = AF_INET6;
    a->sin6_port = htons(port);
    a->sin6_addr = in6addr_loopback;
    return sizeof *a;
  }
  auto *a = reinterpret_cast<sockaddr_in *>(ret);
  a->sin_family = AF_INET;
  a->sin_port = htons(port);
  a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return sizeof *a;
}

// Something at a port of 127.0.0.1 or ::1, made without golib.
class Port {
 public:
  enum Kind { kListens, kBlackhole, kClosed };
  Port(bool six, Kind kind, uint16_t port = 0) : six_(six) {
    fd_ = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    int one = 1;
    if (six) setsockopt(fd_, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    sockaddr_storage a;
    socklen_t n = Loopback(six, port, &a);
    ok_ = fd_ >= 0 && bind(fd_, reinterpret_cast<sockaddr *>(&a), n) == 0 &&
          (kind == kClosed || listen(fd_, kind == kListens ? 100 : 0) == 0);
    socklen_t got = sizeof a;
    if (ok_ && getsockname(fd_, reinterpret_cast<sockaddr *>(&a), &got) == 0) {
      port_ = ntohs(six ? reinterpret_cast<sockaddr_in6 *>(&a)->sin6_port
                        : reinterpret_cast<sockaddr_in *>(&a)->sin_port);
    }
    if (ok_ && kind == kBlackhole) Fill();
  }
  ~Port() {
    for (int f : fillers_) close(f);
    if (fd_ >= 0) close(fd_);
  }
  Port(const Port &) = delete;
  Port &operator=(const Port &) = delete;
  bool ok() const { return ok_; }
  uint16_t port() const { return port_; }
  // Connections that wait to be accepted.
  int Pending() const {
    int n = 0;
    pollfd p{fd_, POLLIN, 0};
    while (poll(&p, 1, 0) == 1) {
      int c = accept(fd_, nullptr, nullptr);
      if (c < 0) break;
      close(c);
      n++;
    }
    return n;
  }

 private:
  // The queue is full: what comes now is dropped.
  void Fill() {
    for (int i = 0; i < 50; i++) {
      int c = socket(six_ ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
      fillers_.push_back(c);
      sockaddr_storage a;
      socklen_t n = Loopback(six_, port_, &a);
      if (connect(c, reinterpret_cast<sockaddr *>(&a), n) == 0) continue;
      pollfd p{c, POLLOUT, 0};
      if (poll(&p, 1, 200) == 0) return;
    }
    ADD_FAILURE() << "the queue does not get full";
  }
  bool six_, ok_ = false;
  int fd_ = -1;
  uint16_t port_ = 0;
  std::vector<int> fillers_;
};

// The same port on both families.
struct Both {
  std::unique_ptr<Port> six, four;
  Both(Port::Kind k6, Port::Kind k4) {
    for (int i = 0; i < 100; i++) {
      six.reset(new Port(true, k6));
      if (!six->ok()) return;
      four.reset(new Port(false, k4, six->port()));
      if (four->ok()) return;
    }
  }
  bool ok() const { return six && six->ok() && four && four->ok(); }
  std::string At(const char *name) const {
    return std::string(name) + ":" + std::to_string(six->port());
  }
};

#define NEED_BOTH(b) \
  if (!(b).ok()) GTEST_SKIP() << "no IPv6 here"

struct Dialled {
  int rc = 1;
  std::string peer;
};
Dialled Dial(go_ctx *ctx, const std::string &addr, const char *net = "tcp") {
  Dialled d;
  go_conn *c = nullptr;
  d.rc = go_dial(ctx, net, addr.c_str(), &c);
  EXPECT_EQ(d.rc == 0, c != nullptr);
  go_addr a;
  if (c != nullptr && go_conn_remote(c, &a) == 0) d.peer = go_addr_str(&a);
  go_conn_unref(c);
  return d;
}

class Dialling : public testing::TestWithParam<bool> {
 protected:
  Dialling() { go_resolver_set_(ListResolver); }
  ~Dialling() override {
    EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
    go_resolver_set_(nullptr);
  }
  // Nothing is left behind: descriptors, goroutines.
  static void On(const std::function<void()> &f) {
    auto checked = [&] {
      (void)Dial(nullptr, "127.0.0.1:1");  // what golib opens for itself is open
      const int fds = Descriptors();
      Until([] { return go_count() <= (GetParam() ? 1 : 0); });
      f();
      Until(
          [] { return go_count() == (GetParam() ? 1 : 0); });  // they are joined, and about to end
      EXPECT_EQ(Descriptors(), fds);
    };
    if (GetParam()) {
      RunGo(checked);
    } else {
      checked();
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Goroutine, Dialling, testing::Bool());

const char k64[] = "__1,127.0.0.1";

TEST_P(Dialling, Numeric) {
  Port four(false, Port::kListens);
  On([&] {
    std::string at = "127.0.0.1:" + std::to_string(four.port());
    Dialled d = Dial(nullptr, at);
    EXPECT_EQ(d.rc, 0);
    EXPECT_EQ(d.peer, at);
    EXPECT_EQ(Dial(nullptr, at, "tcp4").rc, 0);
    EXPECT_EQ(Dial(nullptr, at, "tcp6").rc, GO_EINVAL);
    EXPECT_EQ(Dial(nullptr, at, "udp").rc, 0);
    EXPECT_EQ(Dial(nullptr, ":" + std::to_string(four.port())).rc, 0);  // the local host
    EXPECT_EQ(Dial(nullptr, "localhost").rc, GO_EINVAL);                // no port
  });
}

TEST_P(Dialling, Arguments) {
  On([] {
    go_conn *c = nullptr;
    EXPECT_EQ(go_dial(nullptr, nullptr, "127.0.0.1:1", &c), GO_EINVAL);
    EXPECT_EQ(go_dial(nullptr, "icmp", "127.0.0.1:1", &c), GO_EINVAL);
    EXPECT_EQ(go_dial(nullptr, "tcp", nullptr, &c), GO_EINVAL);
    EXPECT_EQ(go_dial(nullptr, "tcp", "127.0.0.1:1", nullptr), GO_EINVAL);
    EXPECT_EQ(go_dial(nullptr, "tcp", "name:http", &c), GO_EINVAL);
    EXPECT_EQ(go_dial(nullptr, "tcp", "name:65536", &c), GO_EINVAL);
    EXPECT_EQ(go_dial(nullptr, "unix", "", &c), GO_EINVAL);
    EXPECT_EQ(go_dial(nullptr, "unix", "/nowhere/x.sock", &c), -ENOENT);
    EXPECT_EQ(go_dial(nullptr, "tcp", "nothing:80", &c), GO_ENOHOST);
    EXPECT_EQ(go_dial(nullptr, "tcp6", "127.0.0.1,127.0.0.2:80", &c), GO_ENOHOST);
    EXPECT_EQ(go_dial(nullptr, "tcp", (std::string(300, 'x') + ":80").c_str(), &c), GO_ENOHOST);
    go_ctx *ctx = go_ctx_with_timeout(nullptr, -1);
    EXPECT_EQ(go_dial(ctx, "tcp", "127.0.0.1:1", &c), GO_ETIMEDOUT);
    EXPECT_EQ(go_dial(ctx, "tcp", "__1,127.0.0.1:1", &c), GO_ETIMEDOUT);
    go_ctx_unref(ctx);
    EXPECT_EQ(c, nullptr);
  });
}

// Go: TestDialClosedPortFailFast.
TEST_P(Dialling, Refused) {
  Port closed(false, Port::kClosed);
  On([&] {
    std::string port = ":" + std::to_string(closed.port());
    EXPECT_EQ(Dial(nullptr, "127.0.0.1" + port).rc, -ECONNREFUSED);
    EXPECT_EQ(Dial(nullptr, "127.0.0.1,127.0.0.2" + port).rc, -ECONNREFUSED);
  });
}

// One after the other, the first that answers.
TEST_P(Dialling, SameFamilyInTurn) {
  Port four(false, Port::kListens);
  On([&] {
    std::string port = ":" + std::to_string(four.port());
    Dialled d = Dial(nullptr, "127.0.0.2,127.0.0.3,127.0.0.1,127.0.0.4" + port);
    EXPECT_EQ(d.rc, 0);
    EXPECT_EQ(d.peer, "127.0.0.1" + port);
    d = Dial(nullptr, "127.0.0.2,127.0.0.1" + port, "udp");  // nobody answers: the first
    EXPECT_EQ(d.rc, 0);
    EXPECT_EQ(d.peer, "127.0.0.2" + port);
  });
}

// Go: TestDialerDualStack, TestDialParallel.
TEST_P(Dialling, FirstFamilyWins) {
  Both b(Port::kListens, Port::kListens);
  NEED_BOTH(b);
  On([&] {
    int late = 0;  // the other family is asked after 300 ms, which a busy machine may need
    for (int i = 0; i < 20; i++) {
      go_nsec start = go_now();
      std::string peer = Dial(nullptr, b.At(k64)).peer;
      if (go_now() - start >= 300 * GO_MS) {
        late++;
        continue;
      }
      EXPECT_EQ(peer, b.At("[::1]"));
    }
    EXPECT_GE(b.six->Pending(), 20 - late);
    EXPECT_LE(b.four->Pending(), late);  // was not even asked by the others
    EXPECT_EQ(Dial(nullptr, b.At("127.0.0.1,__1")).peer, b.At("127.0.0.1"));
    EXPECT_EQ(Dial(nullptr, b.At(k64), "tcp4").peer, b.At("127.0.0.1"));
    EXPECT_EQ(Dial(nullptr, b.At(k64), "tcp6").peer, b.At("[::1]"));
  });
}

TEST_P(Dialling, FirstFamilyRefused) {
  Both b(Port::kClosed, Port::kListens);
  NEED_BOTH(b);
  On([&] {
    for (int i = 0; i < 20; i++) EXPECT_EQ(Dial(nullptr, b.At(k64)).peer, b.At("127.0.0.1"));
  });
}

// Go: TestDialerDualStackFDLeak besides: what the loser holds is closed.
TEST_P(Dialling, FirstFamilySilent) {
  Both b(Port::kBlackhole, Port::kListens);
  NEED_BOTH(b);
  On([&] {
    go_nsec start = go_now();
    go_wg wg{};
    for (int i = 0; i < 10; i++) {
      SPAWN_WG(&wg, [&] { EXPECT_EQ(Dial(nullptr, b.At(k64)).peer, b.At("127.0.0.1")); });
    }
    go_wg_wait(&wg);
    EXPECT_GE(go_now() - start, 300 * GO_MS);  // not before
  });
}

TEST_P(Dialling, SecondFamilySilent) {
  Both b(Port::kClosed, Port::kBlackhole);
  NEED_BOTH(b);
  On([&] {
    go_ctx *ctx = go_ctx_with_timeout(nullptr, GO_SEC);
    EXPECT_EQ(Dial(ctx, b.At(k64)).rc, -ECONNREFUSED);  // that of the first
    go_ctx_unref(ctx);
  });
}

TEST_P(Dialling, ErrorOfTheFirst) {
  Both b(Port::kClosed, Port::kClosed);
  NEED_BOTH(b);
  On([&] {
    EXPECT_EQ(Dial(nullptr, b.At(k64)).rc, -ECONNREFUSED);
    // Something that fails otherwise comes second: a broadcast address.
    EXPECT_EQ(Dial(nullptr, b.At("__1,255.255.255.255")).rc, -ECONNREFUSED);
    int other = Dial(nullptr, b.At("255.255.255.255")).rc;
    EXPECT_NE(other, -ECONNREFUSED);
    EXPECT_EQ(Dial(nullptr, b.At("255.255.255.255,__1")).rc, other);
  });
}

// Go: TestDialCancel, TestDialTimeout.
TEST_P(Dialling, ContextEndsIt) {
  Both b(Port::kBlackhole, Port::kBlackhole);
  NEED_BOTH(b);
  On([&] {
    for (const char *names : {"127.0.0.1", "127.0.0.1,127.0.0.1", k64}) {
      go_ctx *late = go_ctx_with_timeout(nullptr, 20 * GO_MS);
      EXPECT_EQ(Dial(late, b.At(names)).rc, GO_ETIMEDOUT);
      go_ctx_unref(late);
      for (go_nsec when : {0 * GO_MS, 10 * GO_MS, 350 * GO_MS}) {
        go_ctx *ctx = go_ctx_with_cancel(nullptr);
        go_wg wg{};
        SPAWN_WG(&wg, [=] {
          (void)go_sleep(nullptr, when);
          go_ctx_cancel(ctx);
        });
        EXPECT_EQ(Dial(ctx, b.At(names)).rc, GO_ECANCELED);
        go_wg_wait(&wg);
        go_ctx_unref(ctx);
      }
    }
  });
}

// Go: TestDialerPartialDeadline's effect: the silent first address leaves time for the second.
TEST_P(Dialling, TimeIsShared) {
  Port hole(false, Port::kBlackhole);
  On([&] {
    int other = socket(AF_INET, SOCK_STREAM, 0);  // listens at 127.0.0.9, same port
    sockaddr_storage a;
    socklen_t n = Loopback(false, hole.port(), &a);
    reinterpret_cast<sockaddr_in *>(&a)->sin_addr.s_addr = htonl(0x7f000009);
    EXPECT_EQ(bind(other, reinterpret_cast<sockaddr *>(&a), n), 0);
    EXPECT_EQ(listen(other, 10), 0);
    go_ctx *ctx = go_ctx_with_timeout(nullptr, 20 * GO_SEC);
    // Each of the ten first would get two seconds, were it not for the second in the list.
    go_nsec start = go_now();
    Dialled d = Dial(
        ctx,
        "127.0.0.1,127.0.0.9,127.0.0.2,127.0.0.3,127.0.0.4,127.0.0.5,127.0.0.6,127.0.0.7,127.0.0.8,"
        "127.0.0.10:" +
            std::to_string(hole.port()));
    EXPECT_EQ(d.rc, 0);
    EXPECT_EQ(d.peer, "127.0.0.9:" + std::to_string(hole.port()));
    EXPECT_GE(go_now() - start, 1900 * GO_MS);
    go_ctx_unref(ctx);
    close(other);
  });
}

// Go: TestCancelAfterDial. And with all that may happen at the same time.
TEST_P(Dialling, Storm) {
  Both ok(Port::kListens, Port::kListens), half(Port::kClosed, Port::kListens),
      hole(Port::kBlackhole, Port::kBlackhole);
  NEED_BOTH(ok);
  NEED_BOTH(half);
  NEED_BOTH(hole);
  On([&] {
    const go_nsec end = go_now() + (kSanitized ? 500 : 1000) * GO_MS;
    std::atomic<bool> stop{false};
    std::thread drain([&] {  // else the queues get full
      while (!stop) {
        (void)(ok.six->Pending() + ok.four->Pending() + half.four->Pending());
        usleep(500);
      }
    });
    go_wg wg{};
    for (uint64_t i = 0; i < 16; i++) {
      SPAWN_WG(&wg, [&, i] {
        Rng rng(i);
        while (go_now() < end) {
          go_ctx *ctx =
              go_ctx_with_timeout(nullptr, rng.Below(rng.Below(2) == 0 ? 400000 : 20000000));
          Both *which[] = {&ok, &half, &hole};
          Both &b = *which[rng.Below(3)];
          int rc = Dial(ctx, b.At(rng.Below(2) == 0 ? k64 : "127.0.0.1,__1")).rc;
          EXPECT_TRUE(rc == 0 || rc == GO_ETIMEDOUT || rc == -ECONNREFUSED) << rc;
          go_ctx_unref(ctx);
        }
      });
    }
    go_wg_wait(&wg);
    stop = true;
    drain.join();
  });
}

}  // namespace
