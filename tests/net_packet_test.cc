// UDP and unixgram sockets.

#include <golib/golib.h>

#include <algorithm>
#include <atomic>
#include <string>

#include "tests/support/net.h"

using golib_test::Conn;
using golib_test::Dial;
using golib_test::NetTest;
using golib_test::RunGo;
using golib_test::Settle;
using golib_test::Write;

#if !defined(_WIN32)
#include <dlfcn.h>

namespace {
std::atomic<int> sends{0};
}  // namespace

// In libc's place: counts.
extern "C" ssize_t sendmsg(int fd, const struct msghdr *msg, int flags) {
  static const auto real =
      reinterpret_cast<ssize_t (*)(int, const struct msghdr *, int)>(dlsym(RTLD_NEXT, "sendmsg"));
  sends++;
  return real(fd, msg, flags);
}
#endif

namespace {

class NetPacket : public NetTest {};

Conn Open(const char *net, const std::string &addr) {
  go_conn *c = nullptr;
  int r = go_packet_listen(nullptr, net, addr.c_str(), &c);
  EXPECT_EQ(r, 0) << net << " " << addr << ": " << go_strerror(r);
  return Conn(c);
}

go_addr LocalOf(go_conn *c) {
  go_addr a{};
  EXPECT_EQ(go_conn_local(c, &a), 0);
  return a;
}

// Go: TestUDPConnSpecificMethods.
TEST_F(NetPacket, BothWays) {
  RunGo([] {
    Conn a = Open("udp", "127.0.0.1:0"), b = Open("udp", "127.0.0.1:0");
    go_addr to = LocalOf(b), from{};
    char buf[100];
    bool cut = true;
    EXPECT_EQ(go_sendto(nullptr, a, "ping", 4, &to), 4);
    EXPECT_EQ(go_recvfrom(nullptr, b, buf, sizeof buf, &from, &cut), 4);
    EXPECT_FALSE(cut);
    EXPECT_EQ(std::string(buf, 4), "ping");
    go_addr own = LocalOf(a);
    EXPECT_STREQ(go_addr_str(&from), go_addr_str(&own));
    EXPECT_EQ(go_sendto(nullptr, b, "pong!", 5, &from), 5);
    EXPECT_EQ(go_read(nullptr, a, buf, sizeof buf), 5);
  });
}

// Go: TestUDPZeroBytePayload: an empty packet is a packet.
TEST_F(NetPacket, Empty) {
  RunGo([] {
    Conn b = Open("udp", "127.0.0.1:0");
    go_addr to = LocalOf(b);
    Conn a = Dial("udp", go_addr_str(&to));
    char buf[10];
    bool cut = true;
    EXPECT_EQ(go_write(nullptr, a, "", 0), 0);
    EXPECT_EQ(go_sendto(nullptr, a, nullptr, 0, nullptr), 0);
    EXPECT_EQ(Write(a, "x"), 1);
    EXPECT_EQ(go_recvfrom(nullptr, b, buf, sizeof buf, nullptr, &cut), 0);
    EXPECT_FALSE(cut);
    EXPECT_EQ(go_read(nullptr, b, buf, sizeof buf), 0);
    EXPECT_EQ(go_read(nullptr, b, buf, sizeof buf), 1);
  });
}

// Go: TestUDPReadSizeError, and sizes that do not fit into a packet.
TEST_F(NetPacket, Sizes) {
  RunGo([] {
    Conn b = Open("udp", "127.0.0.1:0");
    go_addr to = LocalOf(b);
    Conn a = Dial("udp4", go_addr_str(&to));
    char buf[4];
    bool cut = false;
    EXPECT_EQ(Write(a, "too long"), 8);
    EXPECT_EQ(go_recvfrom(nullptr, b, buf, sizeof buf, nullptr, &cut), 4);
    EXPECT_TRUE(cut);
    EXPECT_EQ(Write(a, "long"), 4);
    EXPECT_EQ(go_read(nullptr, b, buf, 0), 0);  // all of it cut off
    EXPECT_EQ(Write(a, std::string(70000, 'x')), -EMSGSIZE);
    std::string big(65507, 'x'), got(65507, ' ');
    EXPECT_EQ(Write(a, big), 65507);
    EXPECT_EQ(go_recvfrom(nullptr, b, &got[0], got.size(), nullptr, &cut), 65507);
    EXPECT_FALSE(cut);
    EXPECT_EQ(got, big);
    go_iovec v[] = {{const_cast<char *>("ab"), 2}, {const_cast<char *>("cd"), 2}};
    EXPECT_EQ(go_writev(nullptr, a, v, 2), 4);
    go_iovec w[] = {{buf, 1}, {buf + 1, 3}};
    EXPECT_EQ(go_readv(nullptr, b, w, 2), 4);
    EXPECT_EQ(std::string(buf, 4), "abcd");
  });
}

TEST_F(NetPacket, Errors) {
  RunGo([] {
    go_conn *c = nullptr;
    EXPECT_EQ(go_packet_listen(nullptr, "tcp", "127.0.0.1:0", &c), GO_EINVAL);
    EXPECT_EQ(go_packet_listen(nullptr, "udp", "127.0.0.1", &c), GO_EINVAL);
    EXPECT_EQ(go_packet_listen(nullptr, "udp", nullptr, &c), GO_EINVAL);
    EXPECT_EQ(go_packet_listen(nullptr, "udp6", "127.0.0.1:0", &c), GO_EINVAL);
    Conn a = Open("udp", "127.0.0.1:0");
    go_addr own = LocalOf(a), six{}, path{};
    EXPECT_EQ(go_packet_listen(nullptr, "udp", go_addr_str(&own), &c), -EADDRINUSE);
    EXPECT_EQ(go_sendto(nullptr, a, "x", 1, nullptr), -EDESTADDRREQ);
    EXPECT_EQ(go_addr_parse("udp6", "[::1]:9", &six), 0);
    EXPECT_EQ(go_sendto(nullptr, a, "x", 1, &six), GO_EINVAL);
    EXPECT_EQ(go_addr_parse("unixgram", "/x", &path), 0);
    EXPECT_EQ(go_sendto(nullptr, a, "x", 1, &path), GO_EINVAL);
    int64_t offset = 0;
    EXPECT_EQ(go_sendfile(nullptr, a, 0, &offset, 1), GO_EINVAL);
    EXPECT_EQ(c, nullptr);
    go_addr peer{};
    EXPECT_EQ(go_conn_remote(a, &peer), -ENOTCONN);
    if (golib_test::kWindows) return;
    // Nobody is there: the next call tells, but on Windows, where golib asks not to be told: who reads would hear of any
    // peer that is gone.
    std::string gone;
    {
      Conn b = Open("udp", "127.0.0.1:0");
      go_addr at = LocalOf(b);
      gone = go_addr_str(&at);
    }
    Conn d = Dial("udp", gone);
    EXPECT_EQ(Write(d, "x"), 1);
    char buf[1];
    EXPECT_EQ(go_read(nullptr, d, buf, 1), -ECONNREFUSED);
  });
}

// Both kinds by one socket: IPv4 peers look like IPv4, and are sent to as such.
TEST_F(NetPacket, AnyAddress) {
  RunGo([] {
    Conn a = Open("udp", ":0");
    go_addr at = LocalOf(a), from{};
    Conn b = Open("udp4", "127.0.0.1:0");
    go_addr to{};
    EXPECT_EQ(go_addr_parse("udp4", ("127.0.0.1:" + std::to_string(at.port)).c_str(), &to), 0);
    char buf[10];
    EXPECT_EQ(go_sendto(nullptr, b, "hi", 2, &to), 2);
    EXPECT_EQ(go_recvfrom(nullptr, a, buf, sizeof buf, &from, nullptr), 2);
    EXPECT_EQ(from.family, GO_ADDR_IP4);
    EXPECT_EQ(go_sendto(nullptr, a, "hello", 5, &from), 5);
    EXPECT_EQ(go_read(nullptr, b, buf, sizeof buf), 5);
  });
}

// Go: TestCloseUnblocksReadUDP.
TEST_F(NetPacket, CloseWakes) {
  RunGo([] {
    Conn a = Open("udp", "127.0.0.1:0");
    go_wg wg{};
    for (int i = 0; i < 2; i++) {
      SPAWN_WG(&wg, [&] {
        char c;
        EXPECT_EQ(go_recvfrom(nullptr, a, &c, 1, nullptr, nullptr), GO_ECLOSED);
      });
    }
    Settle();
    EXPECT_EQ(go_conn_close(a), 0);
    go_wg_wait(&wg);
    EXPECT_EQ(go_sendto(nullptr, a, "x", 1, nullptr), GO_ECLOSED);
  });
}

TEST_F(NetPacket, Deadline) {
  RunGo([] {
    Conn a = Open("udp", "127.0.0.1:0");
    char c;
    go_nsec when = go_now() + 5 * GO_MS;
    EXPECT_EQ(go_conn_set_read_deadline(a, when), 0);
    EXPECT_EQ(go_recvfrom(nullptr, a, &c, 1, nullptr, nullptr), GO_ETIMEDOUT);
    EXPECT_GE(go_now(), when);
  });
}

// All ways to read share what is known of the socket: a wait of one that has failed, and one of another that has taken
// the event of two packets.
TEST_F(NetPacket, WaysToReadMixed) {
  golib_test::Procs one(1);  // both packets are there before the reader runs
  RunGo([] {
    Conn a = Open("udp", "127.0.0.1:0");
    const go_addr at = LocalOf(a);
    Conn b = Dial("udp", go_addr_str(&at));
    for (int i = 0; i < 6; i++) {
      char c = 0;
      go_iovec v{&c, 1};
      auto read = [&](bool vector) {
        return vector ? go_readv(nullptr, a, &v, 1)
                      : go_recvfrom(nullptr, a, &c, 1, nullptr, nullptr);
      };
      EXPECT_EQ(go_conn_set_read_deadline(a, go_now() + GO_MS), 0);
      EXPECT_EQ(read(i & 1), GO_ETIMEDOUT);
      EXPECT_EQ(go_conn_set_read_deadline(a, go_now() + 10 * GO_SEC), 0);
      go_wg wg{};
      SPAWN_WG(&wg, [&] {
        Settle();
        EXPECT_EQ(Write(b, "1"), 1);
        EXPECT_EQ(Write(b, "2"), 1);
      });
      EXPECT_EQ(read(i & 2), 1);
      EXPECT_EQ(c, '1');
      EXPECT_EQ(read(!(i & 2)), 1);
      EXPECT_EQ(c, '2');
      go_wg_wait(&wg);
    }
  });
}

#if !defined(_WIN32)
// A Unix socket's queue holds few packets. Who sends to a full one waits, whether it has dialled or not, and whoever has
// filled it: the system tells only of room for the sender's own; and it waits without trying all the time: each try, though
// it fails, makes the system tell that the sender is ready.
TEST_F(NetPacket, UnixQueueFull) {
  RunGo([] {
    std::string name = "@golib_full_" + std::to_string(getpid());
    Conn to = Open("unixgram", name), other = Open("unixgram", ""), a = Open("unixgram", "");
    Conn dialled = Dial("unixgram", name);
    go_addr at = LocalOf(to);
    int sent = 0;
    EXPECT_EQ(go_conn_set_write_deadline(other, go_now() + 20 * GO_MS), 0);
    ptrdiff_t r;
    while ((r = go_sendto(nullptr, other, "x", 1, &at)) == 1) sent++;
    EXPECT_EQ(r, GO_ETIMEDOUT);
    EXPECT_GT(sent, 0);
    go_wg wg{};
    std::atomic<int> out{0};
    SPAWN_WG(&wg, [&] {
      EXPECT_EQ(go_sendto(nullptr, a, "a", 1, &at), 1);
      out++;
    });
    SPAWN_WG(&wg, [&] {
      EXPECT_EQ(Write(dialled, "d"), 1);
      out++;
    });
    Settle();
    const int before = sends;
    (void)go_sleep(nullptr, 100 * GO_MS);
    EXPECT_LT(sends - before, 100);
    EXPECT_EQ(out, 0);
    go_ctx *ctx = go_ctx_with_timeout(nullptr, 5 * GO_MS);
    EXPECT_EQ(go_conn_set_write_deadline(other, 0), 0);
    EXPECT_EQ(go_sendto(ctx, other, "x", 1, &at), GO_ETIMEDOUT);
    go_ctx_unref(ctx);
    std::string got;
    char c;
    for (int i = 0; i < sent + 2; i++) {
      EXPECT_EQ(go_recvfrom(nullptr, to, &c, 1, nullptr, nullptr), 1);
      got += c;
    }
    std::sort(got.begin(), got.end());
    EXPECT_EQ(got, "ad" + std::string(static_cast<size_t>(sent), 'x'));
    go_wg_wait(&wg);
  });
}

// Go: TestUnixgramZeroBytePayload, TestUnixgramAutobind's kin.
TEST_F(NetPacket, Unix) {
  RunGo([] {
    std::string path = "/tmp/golib_gram_" + std::to_string(getpid());
    struct stat st;
    {
      Conn b = Open("unixgram", path), a = Open("unixgram", path + "a"),
           nameless = Open("unixgram", "");
      go_addr to = LocalOf(b), from{};
      char buf[10];
      EXPECT_EQ(go_sendto(nullptr, a, "abc", 3, &to), 3);
      EXPECT_EQ(go_sendto(nullptr, a, "", 0, &to), 0);
      EXPECT_EQ(go_sendto(nullptr, nameless, "x", 1, &to), 1);
      EXPECT_EQ(go_recvfrom(nullptr, b, buf, sizeof buf, &from, nullptr), 3);
      EXPECT_EQ(std::string(go_addr_str(&from)), path + "a");
      EXPECT_EQ(go_recvfrom(nullptr, b, buf, sizeof buf, &from, nullptr), 0);
      EXPECT_EQ(go_recvfrom(nullptr, b, buf, sizeof buf, &from, nullptr), 1);
      EXPECT_STREQ(go_addr_str(&from), "");
      // A receiver that is full makes the sender wait.
      Conn c = Dial("unixgram", path);
      go_wg wg{};
      SPAWN_WG(&wg, [&] {
        for (int i = 0; i < 1000; i++) EXPECT_EQ(Write(c, "0123456789"), 10);
      });
      for (int i = 0; i < 1000; i++) EXPECT_EQ(go_read(nullptr, b, buf, sizeof buf), 10);
      go_wg_wait(&wg);
    }
    EXPECT_NE(stat(path.c_str(), &st), 0);
    EXPECT_NE(stat((path + "a").c_str(), &st), 0);
  });
}
#endif

}  // namespace
