// golib.hpp: everything at once, for a while: elements with destructors through channels and selects under
// cancellation, exceptions through scopes, and goroutines that suspend with exceptions in hand.

#include <gtest/gtest.h>
#include <golib/golib.hpp>

#include <stdexcept>

#include "tests/support/golib_test.h"
#include "tests/support/tsan_exceptions.h"

using namespace std::chrono_literals;

namespace {

struct Counted {
  static inline std::atomic<int64_t> live{0};
  explicit Counted(int n) : v(n), self(this) { live++; }
  Counted(const Counted &o) : v(o.v), self(this) { live++; }
  Counted(Counted &&o) noexcept : v(std::exchange(o.v, -1)), self(this) { live++; }
  Counted &operator=(Counted &&o) noexcept {
    v = std::exchange(o.v, -1);
    return *this;
  }
  Counted &operator=(const Counted &o) = default;
  ~Counted() {
    if (self != this) ADD_FAILURE() << "moved by its bytes, or destroyed twice";
    live--;
  }
  int v;
  Counted *self;
};

struct Error : std::runtime_error {
  explicit Error(int n) : std::runtime_error("stress"), c(n) {}
  Counted c;
};

// A tree of scopes whose leaves may throw: what was thrown comes out, everything else is gone.
int Tree(const go::context &parent, golib_test::Rng &&rng, int depth) {
  go::scope s(parent);
  Counted c(depth);
  std::array<go::task<int>, 3> t;
  for (auto &one : t) {
    one = s.spawn(
        [ctx = s.ctx(), depth, r = golib_test::Rng(rng.Next()), mine = Counted(1)]() mutable {
          if (depth > 0) return Tree(ctx, std::move(r), depth - 1);
          if (r.Below(4) == 0) go::yield();
          if (r.Below(20) == 0) throw Error(7);
          if (r.Below(20) == 0) go_panic("seven");
          return 1;
        });
  }
  int sum = 0;
  for (auto &one : t) sum += one.join();
  return sum;
}

void RunTrees(go_nsec end, uint64_t seed, std::atomic<int64_t> *done) {
  golib_test::Rng rng(seed);
  while (go_now() < end) {
    try {
      EXPECT_EQ(Tree({}, golib_test::Rng(rng.Next()), 2), 27);
    } catch (const Error &e) {
      EXPECT_EQ(e.c.v, 7);
      go::yield();
      EXPECT_EQ(std::uncaught_exceptions(), 0);
    } catch (const go::panic_error &e) {
      EXPECT_STREQ(e.what(), "seven");
    }
    (*done)++;
  }
}

// Sends and receives that are cancelled all the time; counts must come out even.
struct Traffic {
  go::chan<Counted> a{0}, b{3};
  std::atomic<int64_t> sent{0}, got{0};

  void Send(go_nsec end, uint64_t seed) {
    golib_test::Rng rng(seed);
    while (go_now() < end) {
      const int n = static_cast<int>(rng.Below(1000));
      Counted v(n);
      auto ctx = go::with_timeout({}, std::chrono::microseconds(rng.Below(30)));
      std::error_code ec;
      bool ok = false;
      switch (rng.Below(3)) {
        case 0: ok = a.send(ctx, std::move(v), ec); break;
        case 1: ok = b.try_send(std::move(v), ec); break;
        default:
          ok = go::select(ctx, ec, go::send(a, std::move(v)), go::send(b, std::move(v))) >= 0;
      }
      if (ok) {
        sent++;
      } else {
        EXPECT_EQ(v.v, n) << ec.message();
        go::yield();
      }
    }
  }
  void Receive(const go::context &ctx, uint64_t seed) {
    golib_test::Rng rng(seed);
    while (!ctx.done()) {
      std::error_code ec;
      std::optional<Counted> v;
      auto t = go::with_timeout(ctx, std::chrono::microseconds(rng.Below(30)));
      switch (rng.Below(3)) {
        case 0: v = a.recv(t, ec); break;
        case 1: v = b.try_recv(); break;
        default: (void)go::select(t, ec, go::recv(a, v), go::recv(b, v));
      }
      if (v) {
        EXPECT_GE(v->v, 0);
        got++;
      } else {
        go::yield();
      }
    }
  }
};

// Handles an exception, suspends at every step, passes it on.
void Carry(go_nsec end, uint64_t seed, const go::chan<int> &baton) {
  golib_test::Rng rng(seed);
  while (go_now() < end) {
    const int n = static_cast<int>(rng.Below(1000000));
    try {
      try {
        struct Suspends {
          ~Suspends() {
            go::yield();
            EXPECT_EQ(std::uncaught_exceptions(), 1);
          }
        } s;
        throw Error(n);
      } catch (const Error &) {
        std::error_code ec;
        if (!baton.try_send(n, ec)) (void)baton.try_recv();
        go::yield();
        EXPECT_EQ(std::uncaught_exceptions(), 0);
        throw;
      }
    } catch (const Error &e) {
      go::yield();
      EXPECT_EQ(e.c.v, n);
    }
    EXPECT_EQ(std::current_exception(), nullptr);
  }
}

TEST(CppStress, Everything) {
  go::run([] {
    const go_nsec end = golib_test::StressEnd();
    std::atomic<int64_t> trees{0};
    Traffic traffic;
    go::chan<int> baton(2);
    auto ctx = go::with_cancel({});
    go::wait_group senders, all;
    for (uint64_t i = 0; i < 4; i++) {
      all.spawn(RunTrees, end, i, &trees);
      senders.spawn([&, i] { traffic.Send(end, 100 + i); });
      all.spawn([&, i] { traffic.Receive(ctx, 200 + i); });
      all.spawn([&, i] { Carry(end, 300 + i, baton); });
    }
    senders.wait();
    ctx.cancel();
    all.wait();
    EXPECT_EQ(traffic.sent, traffic.got + static_cast<int64_t>(traffic.b.size()));
    EXPECT_GT(trees, 0);
    EXPECT_GT(traffic.got, 0);
  });
  EXPECT_EQ(Counted::live, 0);
}

}  // namespace
