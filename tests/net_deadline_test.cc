// Deadlines and contexts of connections and listeners. Go: net/timeout_test.go.

#include <golib/golib.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/net.h"

using golib_test::Conn;
using golib_test::Dial;
using golib_test::kWindows;
using golib_test::Listener;
using golib_test::Local;
using golib_test::NetTest;
using golib_test::Pair;
using golib_test::Procs;
using golib_test::ReadN;
using golib_test::Rng;
using golib_test::Rounds;
using golib_test::RunGo;
using golib_test::Settle;
using golib_test::ThreadCount;
using golib_test::Until;
using golib_test::Write;

namespace {

class NetDeadline : public NetTest {};

// A peer that cannot be connected to, as its queue is full. The system counts one more than it was told.
class FullListener {
 public:
  FullListener() : l_(local_.net, local_.addr.c_str(), &Opts()) {
    for (;;) {
      go_ctx *ctx = go_ctx_with_timeout(nullptr, kWindows ? 100 * GO_MS : 5 * GO_MS);
      go_conn *c = nullptr;
      int r = Dial(ctx, &c);
      go_ctx_unref(ctx);
      if (r != 0) {
        EXPECT_EQ(r, GO_ETIMEDOUT);
        return;
      }
      queued_.push_back(Conn(c));
    }
  }
  int Dial(go_ctx *ctx, go_conn **ret) const {
    return go_dial(ctx, local_.net, l_.Addr().c_str(), ret);
  }
  Conn Accept() const { return l_.Accept(); }

 private:
  static const go_listen_opts &Opts() {
    static go_listen_opts o;
    o.backlog = 1;
    return o;
  }
  const Local local_{"full"};
  Listener l_;
  std::vector<Conn> queued_;
};

constexpr ptrdiff_t kBig = 64 << 20;

// Go: TestReadTimeout, TestReadTimeoutMustNotReturn's other half: at least as late as it was set to.
TEST_F(NetDeadline, Read) {
  RunGo([] {
    Pair p;
    char c;
    for (go_nsec d : {GO_NS, GO_US, 100 * GO_US, GO_MS, 20 * GO_MS}) {
      go_nsec when = go_now() + d;
      EXPECT_EQ(go_conn_set_read_deadline(p.a, when), 0);
      EXPECT_EQ(go_read(nullptr, p.a, &c, 1), GO_ETIMEDOUT);
      EXPECT_GE(go_now(), when);
      EXPECT_EQ(go_read(nullptr, p.a, &c, 1), GO_ETIMEDOUT);  // sticky
    }
    EXPECT_EQ(Write(p.b, "xy"), 2);
    EXPECT_EQ(go_read(nullptr, p.a, &c, 1), GO_ETIMEDOUT);  // data or not
    EXPECT_EQ(go_read(nullptr, p.a, &c, 0), GO_ETIMEDOUT);
    EXPECT_EQ(Write(p.a, "z"), 1);  // writing has a deadline of its own
    EXPECT_EQ(go_conn_set_read_deadline(p.a, 0), 0);
    EXPECT_EQ(ReadN(p.a, 2), "xy");
  });
}

// Go: TestWriteTimeout.
TEST_F(NetDeadline, Write) {
  RunGo([] {
    Pair p;
    std::string big(kBig, 'x');
    EXPECT_EQ(go_conn_set_write_deadline(p.a, go_now() + 10 * GO_MS), 0);
    EXPECT_EQ(Write(p.a, big), GO_ETIMEDOUT);
    EXPECT_EQ(Write(p.a, "x"), GO_ETIMEDOUT);
    EXPECT_EQ(go_write(nullptr, p.a, "", 0), GO_ETIMEDOUT);
    EXPECT_EQ(Write(p.b, "y"), 1);
    EXPECT_EQ(ReadN(p.a, 1), "y");
    EXPECT_EQ(go_conn_set_deadline(p.a, -1), 0);  // long past
    char c;
    EXPECT_EQ(go_read(nullptr, p.a, &c, 1), GO_ETIMEDOUT);
    EXPECT_EQ(Write(p.a, "x"), GO_ETIMEDOUT);
    EXPECT_EQ(go_conn_set_deadline(p.a, GO_FOREVER), 0);  // as good as none
    EXPECT_EQ(Write(p.b, "z"), 1);
    EXPECT_EQ(ReadN(p.a, 1), "z");
  });
}

// Go: TestAcceptTimeout.
TEST_F(NetDeadline, Accept) {
  RunGo([] {
    Listener l;
    go_conn *c = nullptr;
    EXPECT_EQ(go_listener_set_deadline(l, go_now() + 5 * GO_MS), 0);
    EXPECT_EQ(go_accept(nullptr, l, &c), GO_ETIMEDOUT);
    Conn d = Dial("tcp", l.Addr());
    EXPECT_EQ(go_accept(nullptr, l, &c), GO_ETIMEDOUT);
    EXPECT_EQ(go_listener_set_deadline(l, 0), 0);
    Conn s = l.Accept();
  });
}

// Go: TestReadTimeoutUnblocksRead, TestAcceptTimeoutMustReturn: set while others wait.
TEST_F(NetDeadline, SetWhileBlocked) {
  RunGo([] {
    for (int round = 0; round < Rounds(50); round++) {
      Pair p;
      Listener l;
      std::string big(kBig, 'x');
      go_wg wg{};
      SPAWN_WG(&wg, [&] {
        char c;
        EXPECT_EQ(go_read(nullptr, p.a, &c, 1), GO_ETIMEDOUT);
      });
      SPAWN_WG(&wg, [&] { EXPECT_EQ(Write(p.a, big), GO_ETIMEDOUT); });
      SPAWN_WG(&wg, [&] {
        go_conn *c = nullptr;
        EXPECT_EQ(go_accept(nullptr, l, &c), GO_ETIMEDOUT);
      });
      if (round % 2 == 0) Settle();
      go_nsec when = round % 3 == 0 ? 1 : go_now() + round * 100 * GO_US;
      EXPECT_EQ(go_conn_set_deadline(p.a, when), 0);
      EXPECT_EQ(go_listener_set_deadline(l, when), 0);
      go_wg_wait(&wg);
    }
  });
}

// A deadline that is moved to later, or taken away, while somebody waits does not wake him; moved to earlier, it does.
// Go: TestReadTimeoutMustNotReturn, TestWriteTimeoutMustNotReturn, TestReadWriteProlongedTimeout.
TEST_F(NetDeadline, Moved) {
  RunGo([] {
    Pair p;
    std::atomic<bool> done{false};
    go_wg wg{};
    char c;
    EXPECT_EQ(go_conn_set_read_deadline(p.a, go_now() + 3 * GO_SEC), 0);
    SPAWN_WG(&wg, [&] {
      EXPECT_EQ(ReadN(p.a, 1), "x");
      done = true;
    });
    Settle();
    for (int i = 0; i < 20; i++) {  // always moved on before it is over
      EXPECT_EQ(go_conn_set_read_deadline(p.a, go_now() + 3 * GO_SEC), 0);
      (void)go_sleep(nullptr, GO_MS);
    }
    EXPECT_EQ(go_conn_set_read_deadline(p.a, 0), 0);
    (void)go_sleep(nullptr, 5 * GO_MS);
    EXPECT_FALSE(done);
    EXPECT_EQ(Write(p.b, "x"), 1);
    go_wg_wait(&wg);
    EXPECT_EQ(go_conn_set_read_deadline(p.a, go_now() + GO_HOUR), 0);
    SPAWN_WG(&wg, [&] { EXPECT_EQ(go_read(nullptr, p.a, &c, 1), GO_ETIMEDOUT); });
    Settle();
    EXPECT_EQ(go_conn_set_read_deadline(p.a, go_now() + 5 * GO_MS), 0);
    go_wg_wait(&wg);
    // Later again, with the timer already in place: it fires too early for this one, and goes on.
    go_nsec when = go_now() + 30 * GO_MS;
    EXPECT_EQ(go_conn_set_read_deadline(p.a, go_now() + 2 * GO_MS), 0);
    SPAWN_WG(&wg, [&] {
      go_nsec set = when;
      ptrdiff_t r = go_read(nullptr, p.a, &c, 1);
      EXPECT_EQ(r, GO_ETIMEDOUT);
      (void)set;
    });
    EXPECT_EQ(go_conn_set_read_deadline(p.a, when), 0);
    go_wg_wait(&wg);
  });
}

// Go: TestReadTimeoutFluctuation, TestVariousDeadlines1Proc, 4Proc.
TEST_F(NetDeadline, Various) {
  for (int procs : {1, 4}) {
    Procs set(procs);
    RunGo([] {
      Pair p;
      char c;
      Rng rng(7);
      for (int i = 0; i < Rounds(300); i++) {
        go_nsec when = go_now() + rng.Below(2000) * GO_US;
        EXPECT_EQ(go_conn_set_read_deadline(p.a, when), 0);
        EXPECT_EQ(go_read(nullptr, p.a, &c, 1), GO_ETIMEDOUT);
        EXPECT_GE(go_now(), when);
      }
    });
  }
}

// Go: TestConcurrentSetDeadline, TestReadWriteDeadlineRace.
TEST_F(NetDeadline, SetByMany) {
  RunGo([] {
    Pair p;
    std::atomic<bool> stop{false};
    go_wg wg{}, setters{};
    for (int i = 0; i < 4; i++) {
      SPAWN_WG(&setters, [&, i] {
        Rng rng(static_cast<uint64_t>(i));
        while (!stop) {
          EXPECT_EQ(go_conn_set_deadline(p.a, go_now() + rng.Below(500) * GO_US), 0);
          go_yield();
        }
      });
    }
    SPAWN_WG(&wg, [&] {
      char c;
      for (int i = 0; i < Rounds(1000); i++) EXPECT_EQ(go_read(nullptr, p.a, &c, 1), GO_ETIMEDOUT);
    });
    SPAWN_WG(&wg, [&] {
      std::string big(kBig, 'x');
      for (int i = 0; i < Rounds(1000); i++) EXPECT_EQ(Write(p.a, big), GO_ETIMEDOUT);
    });
    go_wg_wait(&wg);
    stop = true;
    go_wg_wait(&setters);
  });
}

// What came while a call timed out is there for the next one.
TEST_F(NetDeadline, NothingIsLost) {
  RunGo([] {
    Pair p;
    const int n = Rounds(2000);
    go_wg wg{};
    SPAWN_WG(&wg, [&] {
      for (int i = 0; i < n; i++) {
        EXPECT_EQ(Write(p.b, std::string(1, static_cast<char>(i))), 1);
        if (i % 3 == 0) (void)go_sleep(nullptr, 50 * GO_US);
      }
    });
    for (int i = 0; i < n;) {
      char buf[16];
      EXPECT_EQ(go_conn_set_read_deadline(p.a, go_now() + 30 * GO_US), 0);
      ptrdiff_t r = go_read(nullptr, p.a, buf, sizeof buf);
      ASSERT_TRUE(r > 0 || r == GO_ETIMEDOUT) << r;
      for (ptrdiff_t k = 0; k < r; k++, i++) EXPECT_EQ(buf[k], static_cast<char>(i));
    }
    go_wg_wait(&wg);
  });
}

// ---- contexts

// Every call that waits ends when its context is cancelled, and works again with another.
TEST_F(NetDeadline, CancelEveryCall) {
  RunGo([] {
    Pair p;
    Listener l;
    FullListener full;
    go_conn *u = nullptr;
    ASSERT_EQ(go_packet_listen(nullptr, "udp", "127.0.0.1:0", &u), 0);
    std::string big(kBig, 'x');
    for (int round = 0; round < Rounds(30); round++) {
      go_ctx *ctx = go_ctx_with_cancel(nullptr);
      go_wg wg{};
      auto each = [&](auto f) { SPAWN_WG(&wg, [f, ctx] { EXPECT_EQ(f(ctx), GO_ECANCELED); }); };
      char c;
      go_iovec r = {&c, 1};
      each([&](go_ctx *x) { return go_read(x, p.a, &c, 1); });
      each([&](go_ctx *x) { return go_readv(x, p.b, &r, 1); });
      each([&](go_ctx *x) { return go_read(x, p.a, &c, 1); });  // waits for its turn
      each([&](go_ctx *x) { return go_recvfrom(x, u, &c, 1, nullptr, nullptr); });
      each([&](go_ctx *x) {
        go_conn *s = nullptr;
        return go_accept(x, l, &s);
      });
      each([&](go_ctx *x) {
        go_conn *s = nullptr;
        return full.Dial(x, &s);
      });
      if (round % 2 == 0) Settle();
      go_ctx_cancel(ctx);
      go_wg_wait(&wg);
      go_ctx_unref(ctx);
    }
    Pair q;
    go_ctx *ctx = go_ctx_with_timeout(nullptr, 10 * GO_MS);
    go_iovec w = {&big[0], big.size()};
    EXPECT_EQ(go_write(ctx, q.a, big.data(), big.size()), GO_ETIMEDOUT);
    EXPECT_EQ(go_writev(ctx, q.a, &w, 1), GO_ETIMEDOUT);
    EXPECT_EQ(Write(q.b, "x"), 1);
    char c;
    EXPECT_EQ(go_read(ctx, q.a, &c, 1), GO_ETIMEDOUT);  // done: wins over data
    EXPECT_EQ(go_read(nullptr, q.a, &c, 1), 1);
    EXPECT_EQ(Write(p.b, "y"), 1);
    EXPECT_EQ(ReadN(p.a, 1), "y");
    go_ctx_unref(ctx);
    go_conn_unref(u);
  });
}

// Go: TestDialTimeout, TestDialCancel. And the queue of a Unix listener: who waits for a place gets it.
TEST_F(NetDeadline, Dial) {
  RunGo([] {
    FullListener full;
    go_conn *c = nullptr;
    go_ctx *ctx = go_ctx_with_timeout(nullptr, 20 * GO_MS);
    EXPECT_EQ(full.Dial(ctx, &c), GO_ETIMEDOUT);
    EXPECT_EQ(full.Dial(ctx, &c), GO_ETIMEDOUT);
    go_ctx_unref(ctx);
    go_wg wg{};
    SPAWN_WG(&wg, [&] {
      go_conn *d = nullptr;
      EXPECT_EQ(full.Dial(nullptr, &d), 0);
      go_conn_unref(d);
    });
    Settle();
    { Conn s = full.Accept(); }
    go_wg_wait(&wg);
  });
}

// Those who wait for what never comes are goroutines, not threads; and closing wakes them all.
TEST_F(NetDeadline, AThousandAcceptsForEver) {
  RunGo([] {
    constexpr int kListeners = 200, kEach = 5;
    std::vector<std::unique_ptr<Listener>> listeners;
    const int before = ThreadCount();
    std::atomic<int> begun{0}, closed{0};
    go_wg wg{};
    for (int i = 0; i < kListeners; i++) {
      listeners.push_back(std::make_unique<Listener>());
      for (int k = 0; k < kEach; k++) {
        SPAWN_WG(&wg, [&, l = listeners.back().get()] {
          begun++;
          go_conn *c = nullptr;
          EXPECT_EQ(go_accept(nullptr, *l, &c), GO_ECLOSED);
          closed++;
        });
      }
    }
    Until([&] { return begun == kListeners * kEach; });
    Settle();
    EXPECT_LT(ThreadCount(), before + 20);
    EXPECT_EQ(closed, 0);
    for (auto &l : listeners) EXPECT_EQ(go_listener_close(*l), 0);
    go_wg_wait(&wg);
    EXPECT_EQ(closed, kListeners * kEach);
  });
}

// The same without anybody who closes: a context ends them.
TEST_F(NetDeadline, AThousandAcceptsCancelled) {
  RunGo([] {
    constexpr int kEach = 5;
    go_ctx *ctx = go_ctx_with_cancel(nullptr);
    std::vector<std::unique_ptr<Listener>> listeners;
    go_wg wg{};
    for (int i = 0; i < 1000; i++) {
      if (i % kEach == 0) listeners.push_back(std::make_unique<Listener>());
      SPAWN_WG(&wg, [&, l = listeners.back().get()] {
        go_conn *c = nullptr;
        EXPECT_EQ(go_accept(ctx, *l, &c), GO_ECANCELED);
      });
    }
    Settle();
    go_ctx_cancel(ctx);
    go_wg_wait(&wg);
    go_ctx_unref(ctx);
    // They can be used yet.
    for (auto &l : listeners) {
      Conn c = Dial("tcp", l->Addr()), s = l->Accept();
      EXPECT_EQ(Write(c, "x"), 1);
      EXPECT_EQ(ReadN(s, 1), "x");
    }
  });
}

// TCP: connections beyond the queue are not answered, and connecting takes seconds.
TEST_F(NetDeadline, DialTcp) {
  RunGo([] {
    go_listen_opts o{};
    o.backlog = 1;
    Listener l("tcp", "127.0.0.1:0", &o);
    std::vector<Conn> queued;
    int r = 0;
    for (int i = 0; i < 100 && r == 0; i++) {
      go_ctx *ctx = go_ctx_with_timeout(nullptr, 50 * GO_MS);
      go_conn *c = nullptr;
      r = go_dial(ctx, "tcp", l.Addr().c_str(), &c);
      if (r == 0) queued.push_back(Conn(c));
      go_ctx_unref(ctx);
    }
    EXPECT_EQ(r, GO_ETIMEDOUT);
    go_ctx *ctx = go_ctx_with_cancel(nullptr);
    go_wg wg{};
    SPAWN_WG(&wg, [&] {
      go_conn *c = nullptr;
      EXPECT_EQ(go_dial(ctx, "tcp", l.Addr().c_str(), &c), GO_ECANCELED);
    });
    Settle();
    go_ctx_cancel(ctx);
    go_wg_wait(&wg);
    go_ctx_unref(ctx);
  });
}

// Go: TestCancelAfterDial: a cancel that comes too late harms nobody.
TEST_F(NetDeadline, CancelAfterDial) {
  RunGo([] {
    Listener l;
    go_ctx *ctx = go_ctx_with_cancel(nullptr);
    go_conn *c = nullptr;
    ASSERT_EQ(go_dial(ctx, "tcp", l.Addr().c_str(), &c), 0);
    go_ctx_cancel(ctx);
    go_ctx_unref(ctx);
    Conn s = l.Accept();
    EXPECT_EQ(Write(c, "x"), 1);
    EXPECT_EQ(ReadN(s, 1), "x");
    go_conn_unref(c);
  });
}

}  // namespace
