// Connections come and go, with everything that can happen to them at the same time.

#include <golib/golib.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/net.h"

using golib_test::Conn;
using golib_test::Dial;
using golib_test::kSanitized;
using golib_test::Listener;
using golib_test::Local;
using golib_test::NetTest;
using golib_test::Pair;
using golib_test::ReadN;
using golib_test::Rng;
using golib_test::RunGo;
using golib_test::StressEnd;
using golib_test::Write;

namespace {

class NetStress : public NetTest {};

void Serve(Conn c) {
  char buf[64];
  ptrdiff_t n;
  while ((n = go_read(nullptr, c, buf, sizeof buf)) > 0) {
    if (go_write(nullptr, c, buf, static_cast<size_t>(n)) != n) break;
  }
}

// Go: TestTCPConcurrentAccept, TestTCPStress: many clients; each message comes back as it was.
TEST_F(NetStress, Echo) {
  RunGo([] {
    Listener l;
    go_wg wg{}, servers{};
    for (int i = 0; i < 3; i++) {
      SPAWN_WG(&servers, [&] {
        go_conn *c = nullptr;
        int r;
        while ((r = go_accept(nullptr, l, &c)) == 0)
          SPAWN_WG(&servers, [s = Conn(c)] { Serve(s); });
        EXPECT_EQ(r, GO_ECLOSED);
      });
    }
    go_nsec end = StressEnd();
    std::string addr = l.Addr();
    for (uint64_t i = 0; i < 40; i++) {
      SPAWN_WG(&wg, [i, end, addr] {
        Rng rng(i);
        while (go_now() < end) {
          Conn c = Dial("tcp", addr);
          for (uint32_t k = rng.Below(200); k > 0 && go_now() < end; k--) {
            std::string s(1 + rng.Below(64), static_cast<char>(rng.Next()));
            ASSERT_EQ(Write(c, s), static_cast<ptrdiff_t>(s.size()));
            ASSERT_EQ(ReadN(c, s.size()), s);
          }
        }
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(go_listener_close(l), 0);
    go_wg_wait(&servers);
  });
}

// Everything ends every wait: data, deadlines, contexts, closing, resets. Nobody hangs, no descriptor is left, and
// what a reader gets is what was sent, in order.
TEST_F(NetStress, EverythingAtOnce) {
  RunGo([] {
    go_nsec end = StressEnd();
    go_wg wg{};
    for (uint64_t i = 0; i < 8; i++) {
      SPAWN_WG(&wg, [i, end] {
        Rng rng(i);
        while (go_now() < end) {
          Pair p;
          std::atomic<bool> over{false};
          go_wg users{};
          go_ctx *ctx = go_ctx_with_cancel(nullptr);
          SPAWN_WG(&users, [&] {  // writes 0, 1, 2...
            unsigned char next = 0;
            char buf[1000];
            for (;;) {
              size_t n = 1 + next % 100u;
              for (size_t k = 0; k < n; k++) buf[k] = static_cast<char>(next + k);
              go_iovec v = {buf, n};
              ptrdiff_t r = go_writev(nullptr, p.a, &v, 1);
              next = static_cast<unsigned char>(next + n - v.len);
              if (r < 0 && r != GO_ETIMEDOUT) break;
              if (r == GO_ETIMEDOUT && over) break;
              if (r == GO_ETIMEDOUT) go_yield();
            }
          });
          for (int reader = 0; reader < 2; reader++) {
            SPAWN_WG(&users, [&] {
              char buf[512];
              for (;;) {
                ptrdiff_t r = go_read(ctx, p.b, buf, sizeof buf);
                for (ptrdiff_t k = 1; k < r; k++) {
                  if (static_cast<char>(buf[k - 1] + 1) != buf[k]) ADD_FAILURE() << "out of order";
                }
                if (r == 0 || (r < 0 && r != GO_ETIMEDOUT)) break;
                if (r == GO_ETIMEDOUT) go_yield();
              }
            });
          }
          SPAWN_WG(&users, [&, seed = rng.Next()] {
            Rng own(seed);
            while (!over) {
              go_nsec d = own.Below(3) == 0 ? 0 : go_now() + own.Below(300) * GO_US;
              (void)go_conn_set_deadline(own.Below(2) == 0 ? p.a : p.b, d);
              (void)go_sleep(nullptr, own.Below(100) * GO_US);
            }
          });
          (void)go_sleep(nullptr, rng.Below(3000) * GO_US);
          switch (rng.Below(4)) {
            case 0: go_ctx_cancel(ctx); break;
            case 1: EXPECT_EQ(go_conn_close(p.b), 0); break;
            case 2:
              EXPECT_EQ(go_conn_set_linger(p.b, 0), 0);
              EXPECT_EQ(go_conn_close(p.b), 0);
              break;
            default: EXPECT_EQ(go_conn_close(p.a), 0); break;
          }
          over = true;
          (void)go_sleep(nullptr, rng.Below(200) * GO_US);
          (void)go_conn_close(p.a);
          (void)go_conn_close(p.b);
          go_wg_wait(&users);
          go_ctx_unref(ctx);
        }
      });
    }
    go_wg_wait(&wg);
  });
}

// Goroutines and plain threads on both ends.
TEST_F(NetStress, ThreadsAndGoroutines) {
  Listener l;
  go_nsec end = StressEnd();
  std::vector<std::thread> threads;
  std::string addr = l.Addr();
  for (int i = 0; i < 3; i++) {
    threads.emplace_back([&] {
      go_conn *c = nullptr;
      while (go_accept(nullptr, l, &c) == 0) Serve(Conn(c));
    });
  }
  RunGo([&] {
    go_wg wg{};
    for (int i = 0; i < 3; i++) {
      SPAWN_WG(&wg, [&] {
        while (go_now() < end) {
          Conn c = Dial("tcp", addr);
          for (int k = 0; k < 100; k++) {
            ASSERT_EQ(Write(c, "ping"), 4);
            ASSERT_EQ(ReadN(c, 4), "ping");
          }
        }
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(go_listener_close(l), 0);
  });
  for (std::thread &t : threads) t.join();
}

// Closing while the descriptor numbers go round: nobody reads from a stranger's connection.
TEST_F(NetStress, NumbersAreUsedAgain) {
  RunGo([] {
    go_nsec end = StressEnd();
    go_wg wg{};
    for (int i = 0; i < 6; i++) {
      SPAWN_WG(&wg, [i, end] {
        char mark = static_cast<char>('a' + i);
        const Local local(std::string("mark") + mark);
        while (go_now() < end) {
          Pair p(local.net, local.addr.c_str());
          go_wg readers{};
          SPAWN_WG(&readers, [&] {
            char buf[16];
            ptrdiff_t r;
            while ((r = go_read(nullptr, p.b, buf, sizeof buf)) > 0) {
              for (ptrdiff_t k = 0; k < r; k++) {
                if (buf[k] != mark) ADD_FAILURE() << "a byte of another connection";
              }
            }
          });
          for (int k = 0; k < 3; k++) EXPECT_EQ(Write(p.a, std::string(8, mark)), 8);
          go_yield();
          EXPECT_EQ(go_conn_close(p.b), 0);
          go_wg_wait(&readers);
        }
      });
    }
    go_wg_wait(&wg);
  });
}

}  // namespace
