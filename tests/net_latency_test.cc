// How long a server takes to answer who asks now and then, while it has nothing else to do, or much. The bounds are generous:
// they tell a poller that is looked at in time from one that is not. Numbers: //bench:net.
//
// The client is this thread, which blocks in the system's calls, so that it neither needs a P nor makes the server's poller
// look.

#include <golib/golib.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "tests/support/net.h"

using golib_test::Conn;
using golib_test::Listener;
using golib_test::NetTest;
using golib_test::Rounds;
using golib_test::RunGo;

namespace {

// A connection that knows nothing of golib.
class Client {
 public:
  explicit Client(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, reinterpret_cast<char *>(&on), sizeof on);
    golib_test::SetPatience(fd_, 60);  // for a server that never answers
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr *>(&a), sizeof a), 0) << strerror(errno);
  }
  Client(const Client &) = delete;
  Client &operator=(const Client &) = delete;
  ~Client() { golib_test::CloseSocket(fd_); }
  // Asks once. How long it takes, or -1.
  go_nsec Ask() {
    char c = 'x';
    go_nsec start = go_now();
    if (send(fd_, &c, 1, golib_test::kNoSignal) != 1 || recv(fd_, &c, 1, 0) != 1) return -1;
    return go_now() - start;
  }

 private:
  golib_test::Socket fd_;
};

class NetLatency : public NetTest {
 protected:
  // The median, with so many goroutines that compute and yield, and so many Ps.
  go_nsec Median(int procs, int hogs) {
    int before = go_procs(procs);
    std::atomic<bool> stop{false};
    std::atomic<int> port{0};
    std::vector<go_nsec> took;
    std::thread server([&] {
      RunGo([&] {
        Listener l;
        go_addr a{};
        EXPECT_EQ(go_listener_addr(l, &a), 0);
        go_wg wg{};
        for (int i = 0; i < hogs; i++) {
          SPAWN_WG(&wg, [&stop] {
            while (!stop) {
              for (go_nsec until = go_now() + 2 * GO_US; go_now() < until;) {}
              go_yield();
            }
          });
        }
        port = a.port;
        Conn c = l.Accept();
        char byte;
        while (go_read(nullptr, c, &byte, 1) == 1 && go_write(nullptr, c, &byte, 1) == 1) {}
        stop = true;
        go_wg_wait(&wg);
      });
    });
    while (port == 0) sched_yield();
    {
      Client c(static_cast<uint16_t>(port));
      for (int i = 0; i < Rounds(100); i++) {
        usleep(2000);  // it has nothing to do meanwhile: that is what is asked about
        took.push_back(c.Ask());
        EXPECT_GE(took.back(), 0);
      }
    }
    server.join();
    go_procs(before);
    std::sort(took.begin(), took.end());
    return took[took.size() / 2];
  }

  // Whether the median is less than that, once in a while: the machine may be busy with other things.
  bool Within(int procs, int hogs, go_nsec bound) {
    for (int i = 0; i < 10; i++) {
      go_nsec median = Median(procs, hogs);
      if (median >= 0 && median < bound) return true;
      printf("attempt %d: %lld us\n", i, static_cast<long long>(median / GO_US));
    }
    return false;
  }
};

TEST_F(NetLatency, Idle) {
  // One that looks every 10 ms takes 5.
  EXPECT_TRUE(Within(1, 0, 3 * GO_MS));
  EXPECT_TRUE(Within(2, 0, 3 * GO_MS));
}

// Somebody computes all the time, and yields: the poller is looked at all the same, and not only when the P has
// nothing else to do, which is never.
TEST_F(NetLatency, OneHog) {
  EXPECT_TRUE(Within(1, 1, 10 * GO_MS));
  EXPECT_TRUE(Within(2, 1, 10 * GO_MS));
}

// Many are runnable at any moment.
TEST_F(NetLatency, ManyRunnable) {
  EXPECT_TRUE(Within(1, 100, 50 * GO_MS));
  EXPECT_TRUE(Within(2, 100, 50 * GO_MS));
}

}  // namespace
