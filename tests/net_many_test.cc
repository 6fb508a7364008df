// Thousands of connections.

#include <golib/golib.h>

#include <atomic>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/support/net.h"

using golib_test::Conn;
using golib_test::Dial;
using golib_test::kSanitized;
using golib_test::kTsan;
using golib_test::Listener;
using golib_test::Local;
using golib_test::NetTest;
using golib_test::OpenFilesAllowed;
using golib_test::ReadN;
using golib_test::RunGo;
using golib_test::Until;
using golib_test::Write;

namespace {

// As many as wanted, or as the limit of descriptors allows: two for each.
int Connections(int want) {
  want = kTsan ? 500 : want;
  int most = (OpenFilesAllowed() - 100) / 2;
  return want < most ? want : most;
}

class NetMany : public NetTest {};

// A storm of dials at once; then all are open, and each is used.
TEST_F(NetMany, AtOnce) {
  const int n = Connections(5000);
  RunGo([n] {
    Listener l;
    std::string addr = l.Addr();
    std::atomic<int> open{0};
    go_wg servers{}, clients{}, all{};
    go_wg_add(&all, 1);
    SPAWN_WG(&servers, [&] {
      for (int i = 0; i < n; i++) {
        SPAWN_WG(&servers, [c = l.Accept()] {
          char buf[16];
          ptrdiff_t r;
          while ((r = go_read(nullptr, c, buf, sizeof buf)) > 0) {
            if (go_write(nullptr, c, buf, static_cast<size_t>(r)) != r) break;
          }
          EXPECT_EQ(r, 0);
        });
      }
    });
    for (int i = 0; i < n; i++) {
      SPAWN_WG(&clients, [&, i] {
        Conn c = Dial("tcp", addr);
        open++;
        go_wg_wait(&all);
        std::string s = std::to_string(i);
        for (int k = 0; k < 3; k++) {
          ASSERT_EQ(Write(c, s), static_cast<ptrdiff_t>(s.size()));
          ASSERT_EQ(ReadN(c, s.size()), s);
        }
      });
    }
    Until([&] { return open == n; });
    go_wg_done(&all);
    go_wg_wait(&clients);
    go_wg_wait(&servers);
  });
  if (!kTsan && n < 5000) {
    printf("SKIPPED: only %d connections: the limit on open files is too low for more\n", n);
    GTEST_SKIP() << "only " << n << " connections: the limit on open files is too low for more";
  }
}

// Connections that are opened and closed as fast as can be: no descriptor, no goroutine stays.
TEST_F(NetMany, InARow) {
  const int n = kSanitized ? 300 : golib_test::Many(3000);
  RunGo([n] {
    const Local local("row");
    Listener l(local.net, local.addr.c_str());
    std::string addr = l.Addr();
    go_wg wg{};
    for (int t = 0; t < 4; t++) {
      SPAWN_WG(&wg, [&, n] {
        for (int i = 0; i < n; i++) {
          Conn c = Dial(local.net, addr);
          EXPECT_EQ(Write(c, "x"), 1);
        }
      });
      SPAWN_WG(&wg, [&, n] {
        for (int i = 0; i < n; i++) {
          Conn c = l.Accept();
          EXPECT_EQ(ReadN(c, 1), "x");
        }
      });
    }
    go_wg_wait(&wg);
  });
}

}  // namespace
