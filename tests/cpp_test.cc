// golib.hpp: goroutines, channels, select, sync, contexts, timers, scopes. (Exceptions: cpp_exception_test.cc.)

#include <gtest/gtest.h>
#include <golib/golib.hpp>

#include <map>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "tests/support/golib_test.h"
#include "tests/support/tsan_exceptions.h"

using namespace std::chrono_literals;
using golib_test::Goroutines;
using golib_test::Procs;
using golib_test::Rounds;
using golib_test::Until;

namespace {

// Counts how many live, and how many were ever made; knows who it is wherever it is moved.
struct Counted {
  static inline std::atomic<int> live{0}, made{0};
  static void Reset() { live = made = 0; }
  explicit Counted(int n) : v(n), self(this) { Count(); }
  Counted(const Counted &o) : v(o.v), self(this) { Count(); }
  Counted(Counted &&o) noexcept : v(std::exchange(o.v, -1)), self(this) { Count(); }
  Counted &operator=(const Counted &o) {
    v = o.v;
    return *this;
  }
  Counted &operator=(Counted &&o) noexcept {
    v = std::exchange(o.v, -1);
    return *this;
  }
  ~Counted() {
    EXPECT_EQ(self, this) << "moved by its bytes, or destroyed twice";
    self = nullptr;
    live--;
  }
  int v;
  Counted *self;

 private:
  void Count() {
    live++;
    made++;
  }
};

class Cpp : public testing::Test {
 protected:
  void SetUp() override { Counted::Reset(); }
  void TearDown() override { EXPECT_EQ(Counted::live, 0) << "leaked, or destroyed twice"; }
};
class CppSpawn : public Cpp {};
class CppChan : public Cpp {};
class CppSelect : public Cpp {};
class CppSync : public Cpp {};
class CppContext : public Cpp {};
class CppTime : public Cpp {};
class CppScope : public Cpp {};
class CppRun : public Cpp {};

// The code that f throws; 0: none.
template <class F>
std::error_code Thrown(F &&f) {
  try {
    f();
  } catch (const go::error &e) {
    return e.code();
  }
  return {};
}
// The text of the panic that f throws.
template <class F>
std::string Panic(F &&f) {
  try {
    f();
  } catch (const go::panic_error &e) {
    return e.what();
  }
  return "(none)";
}

// ---- Errors.

TEST(CppError, CodesTextsAndConditions) {
  std::error_code closed = go::errc::closed;
  EXPECT_EQ(closed.value(), GO_ECLOSED);
  EXPECT_STREQ(closed.category().name(), "golib");
  EXPECT_EQ(closed.message(), go_strerror(GO_ECLOSED));
  EXPECT_EQ(std::error_code(go::errc::canceled), std::errc::operation_canceled);
  EXPECT_EQ(std::error_code(go::errc::timed_out), std::errc::timed_out);
  EXPECT_EQ(std::error_code(go::errc::no_memory), std::errc::not_enough_memory);
  EXPECT_EQ(std::error_code(go::errc::again), std::errc::resource_unavailable_try_again);
  EXPECT_NE(closed, std::errc::operation_canceled);
  go::error e(GO_ETIMEDOUT, "here");
  EXPECT_EQ(e.code(), go::errc::timed_out);
  EXPECT_EQ(std::string(e.what()).rfind("here: ", 0), 0u) << e.what();
  static_assert(std::is_base_of_v<std::system_error, go::error>);
}

// ---- Spawning.

TEST_F(CppSpawn, FunctionsLambdasMembersAndArguments) {
  struct Object {
    int v = 0;
    void Add(int n) { v += n; }
  };
  go::run([] {
    go::wait_group wg;
    Object o;
    std::atomic<int> sum{0};
    wg.spawn([&] { sum += 1; });
    wg.spawn([](std::atomic<int> *s, int n, std::unique_ptr<int> p) { *s += n + *p; }, &sum, 10,
             std::make_unique<int>(100));
    wg.spawn(&Object::Add, &o, 7);
    wg.spawn([](std::atomic<int> &s) { s += 1000; }, std::ref(sum));
    wg.wait();
    EXPECT_EQ(sum, 1111);
    EXPECT_EQ(o.v, 7);
  });
}

TEST_F(CppSpawn, ArgumentsAreCopiedOrMovedOnceAndDestroyed) {
  go::run([] {
    go::wait_group wg;
    Counted c(5);
    wg.spawn([](Counted &&mine, const Counted &given) { EXPECT_EQ(mine.v + given.v, 11); }, c,
             Counted(6));
    wg.wait();
    EXPECT_EQ(Counted::live, 1);
    EXPECT_EQ(c.v, 5);
  });
}

TEST_F(CppSpawn, LargeOverAlignedAndThrowingCaptures) {
  struct Large {
    char b[20000];
    Counted c;
  };
  struct alignas(64) Aligned {
    double d[8];
  };
  struct Throwing {  // may throw when moved: so it is not moved into the goroutine
    Throwing() = default;
    Throwing(Throwing &&) noexcept(false) {}
    Counted c{3};
  };
  go::run([] {
    go::wait_group wg;
    auto large = [l = Large{{1}, Counted(2)}] { EXPECT_EQ(l.b[0] + l.c.v, 3); };
    wg.spawn(std::move(large));
    wg.spawn([a = Aligned{{1.5}}] {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(&a) % 64, 0u);
      EXPECT_EQ(a.d[0], 1.5);
    });
    wg.spawn([t = Throwing()] { EXPECT_EQ(t.c.v, 3); });
    wg.wait();
  });
}

TEST_F(CppSpawn, NoHeapForWhatFits) {
  // Moved straight into the goroutine: exactly the moves of one closure, and alive at one place only.
  go::run([] {
    go::wait_group wg;
    wg.spawn([c = Counted(1)] { EXPECT_EQ(c.v, 1); });
    wg.wait();
  });
  EXPECT_LE(Counted::made, 4);
}

TEST_F(CppSpawn, Options) {
  go::run([] {
    go::chan<std::string> names;
    go::options o;
    o.name = "reader";
    o.stack_size = 64 << 10;
    o.pinned = true;
    go::spawn(o, [=, c = Counted(1)] {
      auto r = go::try_([] { go_panic("who am I"); });
      names.send(r.info().name);
    });
    EXPECT_EQ(names.recv(), "reader");
    o.stack_size = 1;
    EXPECT_EQ(Thrown([&] { go::spawn(o, [c = Counted(1)] {}); }), go::errc::invalid);
    std::error_code ec;
    EXPECT_TRUE(go::try_spawn(ec, [=] { names.send("tried"); }));
    EXPECT_EQ(names.recv(), "tried");
    // The goroutine that was not started: its captures are gone, once.
    Until([] { return Counted::live == 0; });
  });
}

TEST_F(CppSpawn, TheSiteNamesTheFunctionOrThePlace) {
  go::run([] {
    go::chan<std::string> sites;
    auto tell = [=] { sites.send(go::try_([] { go_panic("x"); }).info().site); };
    go::spawn(tell);
    std::optional<std::string> s = sites.recv();
    EXPECT_TRUE(s && (s->find("ambda") != s->npos)) << s.value_or("");
    go::spawn(GO_HERE, tell);
    const std::string line = "cpp_test.cc:" + std::to_string(__LINE__ - 1);
    s = sites.recv();
    EXPECT_TRUE(s && s->find(line) != s->npos) << s.value_or("");
  });
}

TEST_F(CppSpawn, FromAPlainThread) {
  go::wait_group wg;
  std::atomic<int> n{0};
  for (int i = 0; i < 100; i++) wg.spawn([&n, c = Counted(i)] { n += c.v; });
  wg.wait();
  EXPECT_EQ(n, 4950);
}

TEST_F(CppSpawn, Many) {
  go::run([] {
    Procs procs(4);
    go::wait_group wg;
    std::atomic<int> n{0};
    for (int i = 0; i < Goroutines(20000); i++) {
      wg.spawn([&n, c = Counted(i), p = std::make_unique<int>(1)] {
        if (c.v % 3 == 0) go::yield();
        n += *p;
      });
    }
    wg.wait();
    EXPECT_EQ(n, Goroutines(20000));
  });
}

// ---- Channels.

template <class T>
class CppChanOf : public Cpp {};
struct Relocatable {  // moved by its bytes, because it says so
  explicit Relocatable(int n) : p(new int(n)) { Counted::live++; }
  Relocatable(Relocatable &&o) noexcept : p(std::exchange(o.p, nullptr)) { Counted::live++; }
  Relocatable &operator=(Relocatable &&o) noexcept {
    std::swap(p, o.p);
    return *this;
  }
  ~Relocatable() {
    delete p;
    Counted::live--;
  }
  int *p;
};
struct alignas(32) Wide {
  int v;
};
struct MoveOnlyNoAssign {
  explicit MoveOnlyNoAssign(int n) : c(n) {}
  MoveOnlyNoAssign(MoveOnlyNoAssign &&) = default;
  MoveOnlyNoAssign &operator=(MoveOnlyNoAssign &&) = delete;
  Counted c;
};

template <class T>
T Make(int n);
template <>
int Make(int n) {
  return n;
}
template <>
std::string Make(int n) {
  return std::string(static_cast<size_t>(n % 40), 'x') + "#" + std::to_string(n);
}
template <>
std::unique_ptr<int> Make(int n) {
  return std::make_unique<int>(n);
}
template <>
std::shared_ptr<int> Make(int n) {
  return std::make_shared<int>(n);
}
template <>
std::vector<int> Make(int n) {
  return std::vector<int>(1, n);
}
template <>
Counted Make(int n) {
  return Counted(n);
}
template <>
Relocatable Make(int n) {
  return Relocatable(n);
}
template <>
Wide Make(int n) {
  return Wide{n};
}
template <>
MoveOnlyNoAssign Make(int n) {
  return MoveOnlyNoAssign(n);
}
int Value(int v) { return v; }
int Value(const std::string &s) { return std::stoi(s.substr(s.find('#') + 1)); }
int Value(const std::unique_ptr<int> &p) { return p ? *p : -1; }
int Value(const std::shared_ptr<int> &p) { return p ? *p : -1; }
int Value(const std::vector<int> &v) { return v.at(0); }
int Value(const Counted &c) { return c.v; }
int Value(const Relocatable &r) { return r.p != nullptr ? *r.p : -1; }
int Value(const Wide &w) { return w.v; }
int Value(const MoveOnlyNoAssign &m) { return m.c.v; }

}  // namespace

template <>
struct go::is_relocatable<Relocatable> : std::true_type {};

namespace {

using Elements = testing::Types<int, std::string, std::unique_ptr<int>, std::shared_ptr<int>,
                                std::vector<int>, Counted, Relocatable, Wide, MoveOnlyNoAssign>;
struct ElementNames {
  template <class T>
  static std::string GetName(int i) {
    const char *names[] = {"int",    "string",      "unique_ptr",  "shared_ptr", "vector",
                           "object", "relocatable", "overaligned", "move_only"};
    return names[i];
  }
};
TYPED_TEST_SUITE(CppChanOf, Elements, ElementNames);

TYPED_TEST(CppChanOf, SendAndReceiveBufferedAndNot) {
  using T = TypeParam;
  go::run([] {
    for (int cap : {0, 1, 7}) {
      go::chan<T> c(cap);
      EXPECT_EQ(c.capacity(), static_cast<size_t>(cap));
      go::spawn([c] {
        for (int i = 0; i < 50; i++) c.send(Make<T>(i));
        c.close();
      });
      int want = 0;
      for (T v : c) EXPECT_EQ(Value(v), want++);
      EXPECT_EQ(want, 50);
      EXPECT_FALSE(c.recv().has_value());
    }
  });
}

TYPED_TEST(CppChanOf, WhatNobodyReceivesIsDestroyed) {
  using T = TypeParam;
  go::run([] {
    go::chan<T> c(10);
    for (int i = 0; i < 10; i++) c.send(Make<T>(i));
    EXPECT_EQ(Value(*c.recv()), 0);
    c.close();
    EXPECT_EQ(c.size(), 9u);
  });
}

TYPED_TEST(CppChanOf, WhatIsNotSentStaysWhereItWas) {
  using T = TypeParam;
  go::run([] {
    go::chan<T> c(1);
    std::error_code ec;
    T v = Make<T>(1);
    EXPECT_TRUE(c.try_send(std::move(v), ec));
    EXPECT_FALSE(ec);
    T w = Make<T>(2);
    EXPECT_FALSE(c.try_send(std::move(w), ec));
    EXPECT_EQ(ec, go::errc::again);
    EXPECT_EQ(Value(w), 2);

    auto ctx = go::with_cancel({});
    ctx.cancel();
    EXPECT_FALSE(c.send(ctx, std::move(w), ec));
    EXPECT_EQ(ec, go::errc::canceled);
    EXPECT_EQ(Value(w), 2);
    EXPECT_EQ(Thrown([&] { c.send(ctx, std::move(w)); }), go::errc::canceled);
    EXPECT_EQ(Value(w), 2);

    c.close();
    EXPECT_FALSE(c.try_send(std::move(w), ec));
    EXPECT_EQ(ec, go::errc::closed);
    EXPECT_EQ(Panic([&] { c.send(std::move(w)); }), "send on closed channel");
    EXPECT_EQ(Value(w), 2);
    EXPECT_EQ(Value(*c.try_recv()), 1);
    EXPECT_FALSE(c.try_recv(ec));
    EXPECT_EQ(ec, go::errc::closed);
  });
}

// A send that is cancelled at the very moment that somebody receives: the element is in one place, exactly.
TYPED_TEST(CppChanOf, CancelledInFlightIsNeitherLostNorDoubled) {
  using T = TypeParam;
  go::run([] {
    Procs procs(4);
    for (int i = 0; i < Rounds(300); i++) {
      go::chan<T> c;
      auto ctx = go::with_cancel({});
      go::wait_group wg;
      std::atomic<int> sent{0}, kept{0}, got{0}, none{0};
      wg.spawn([&] {
        T v = Make<T>(i);
        std::error_code ec;
        if (c.send(ctx, std::move(v), ec)) {
          sent++;
        } else {
          EXPECT_EQ(ec, go::errc::canceled);
          EXPECT_EQ(Value(v), i);
          kept++;
        }
      });
      wg.spawn([&] {
        std::error_code ec;
        if (auto v = c.recv(ctx, ec)) {
          EXPECT_EQ(Value(*v), i);
          got++;
        } else {
          none++;
        }
      });
      wg.spawn([&] { ctx.cancel(); });
      wg.wait();
      EXPECT_EQ(sent, got);
      EXPECT_EQ(kept, none);
      EXPECT_EQ(sent + kept, 1);
    }
  });
}

// Parked senders when the channel is closed: their elements come back to them.
TYPED_TEST(CppChanOf, ClosedUnderParkedSenders) {
  using T = TypeParam;
  go::run([] {
    Procs procs(2);
    go::chan<T> c;
    go::wait_group wg;
    std::atomic<int> panics{0};
    for (int i = 0; i < 20; i++) {
      wg.spawn([&, i] {
        T v = Make<T>(i);
        if (Panic([&] { c.send(std::move(v)); }) == "send on closed channel") panics++;
        EXPECT_EQ(Value(v), i);
      });
    }
    for (int i = 0; i < 30; i++) go::yield();
    c.close();
    wg.wait();
    EXPECT_EQ(panics, 20);
  });
}

TYPED_TEST(CppChanOf, ManyToMany) {
  using T = TypeParam;
  go::run([] {
    Procs procs(4);
    go::chan<T> c(3);
    go::wait_group senders, receivers;
    std::atomic<long> sum{0};
    const int n = Rounds(500);
    for (int s = 0; s < 4; s++) {
      senders.spawn([&] {
        for (int i = 0; i < n; i++) c.send(Make<T>(i));
      });
      receivers.spawn([&] {
        for (const T &v : c) sum += Value(v);
      });
    }
    senders.wait();
    c.close();
    receivers.wait();
    EXPECT_EQ(sum, 4L * n * (n - 1) / 2);
  });
}

TYPED_TEST(CppChanOf, InSelects) {
  using T = TypeParam;
  go::run([] {
    go::chan<T> a(1), b;
    std::optional<T> v;
    T x = Make<T>(1), y = Make<T>(2);
    EXPECT_EQ(go::select(go::send(a, std::move(x)), go::send(b, std::move(y))), 0);
    EXPECT_EQ(Value(y), 2) << "was not sent";
    EXPECT_EQ(go::select(go::recv(b, v), go::recv(a, v)), 1);
    EXPECT_EQ(Value(*v), 1);
    EXPECT_EQ(go::select(go::recv(a, v), go::send(b, std::move(y)), go::otherwise()), 2);
    EXPECT_EQ(Value(y), 2);
    // The same value in several cases goes with the one that goes.
    T w = Make<T>(4);
    EXPECT_EQ(go::select(go::send(b, std::move(w)), go::send(a, std::move(w))), 1);
    EXPECT_EQ(Value(*a.recv()), 4);
    go::wait_group wg;
    wg.spawn([b] {
      T z = Make<T>(3);
      EXPECT_EQ(go::select(go::send(b, std::move(z))), 0);
    });
    go::select(go::recv(a, [](std::optional<T>) { ADD_FAILURE(); }),
               go::recv(b, [](std::optional<T> z) { EXPECT_EQ(Value(*z), 3); }));
    wg.wait();
    a.close();
    EXPECT_EQ(go::select(go::recv(a, v)), 0);
    EXPECT_FALSE(v.has_value());
    EXPECT_EQ(Panic([&] { go::select(go::send(a, std::move(y))); }), "send on closed channel");
    EXPECT_EQ(Value(y), 2);
  });
}

TEST_F(CppChan, LvaluesAreCopied) {
  go::run([] {
    go::chan<Counted> c(4);
    Counted v(7);
    c.send(v);
    EXPECT_TRUE(c.try_send(v));
    std::error_code ec;
    EXPECT_TRUE(c.send(go::context(), v, ec));
    EXPECT_EQ(go::select(go::send(c, v)), 0);
    EXPECT_FALSE(c.try_send(v));
    EXPECT_EQ(v.v, 7);
    EXPECT_EQ(c.recv()->v, 7);
    EXPECT_EQ(Counted::live, 4);
  });
}

TEST_F(CppChan, HandlesAreTheSameChannel) {
  go::run([] {
    go::chan<int> a(1), b = a, c;
    EXPECT_EQ(a, b);
    EXPECT_NE(a, c);
    b.send(1);
    c = std::move(b);
    EXPECT_FALSE(b);  // NOLINT: a moved-from handle is nil
    EXPECT_EQ(c.recv(), 1);
    go::chan<int> nil = nullptr;
    EXPECT_FALSE(nil);
    EXPECT_EQ(nil.size() + nil.capacity(), 0u);
    EXPECT_FALSE(nil.try_send(1));
    std::error_code ec;
    EXPECT_FALSE(nil.recv(go::with_timeout({}, 1ms), ec));
    EXPECT_EQ(ec, go::errc::timed_out);
    EXPECT_EQ(go::select(go::recv(nil), go::otherwise()), 1);
    EXPECT_EQ(Panic([&] { nil.close(); }), "close of nil channel");
  });
}

TEST_F(CppChan, CloseTwiceIsAPanic) {
  go::run([] {
    go::chan<int> c;
    c.close();
    EXPECT_EQ(Panic([&] { c.close(); }), "close of closed channel");
  });
}

// Handles to channels through channels, and a channel that is dropped with channels in it.
TEST_F(CppChan, OfChannels) {
  go::run([] {
    go::chan<go::chan<Counted>> c(3);
    for (int i = 0; i < 3; i++) {
      go::chan<Counted> one(1);
      one.send(Counted(i));
      c.send(std::move(one));
    }
    EXPECT_EQ(c.recv()->recv()->v, 0);
    EXPECT_EQ(Counted::live, 2);
  });
}

TEST_F(CppChan, WithTheCApi) {
  go::run([] {
    go_chan *raw = go_chan_new(sizeof(int), 1);
    auto c = go::chan<int>::adopt(go_chan_ref(raw));
    int v = 4;
    go_chan_send(raw, &v);
    EXPECT_EQ(c.recv(), 4);
    c.send(5);
    EXPECT_TRUE(go_chan_recv(c.get(), &v));
    EXPECT_EQ(v, 5);
    go_chan_unref(raw);
  });
}

TEST_F(CppChan, RecvWithAContext) {
  go::run([] {
    go::chan<std::string> c(1);
    auto ctx = go::with_timeout({}, 1ms);
    EXPECT_EQ(Thrown([&] { (void)c.recv(ctx); }), go::errc::timed_out);
    c.send("left");
    EXPECT_EQ(Thrown([&] { (void)c.recv(ctx); }), go::errc::timed_out) << "a done context wins";
    c.close();
    EXPECT_EQ(c.recv({}), "left");
    EXPECT_FALSE(c.recv({})) << "closed is no error";
    std::error_code ec;
    EXPECT_FALSE(c.recv({}, ec));
    EXPECT_EQ(ec, go::errc::closed);
  });
}

TEST_F(CppChan, FromPlainThreads) {
  go::chan<std::string> c;
  std::thread t([c] {
    for (int i = 0; i < 100; i++) c.send(std::to_string(i));
    c.close();
  });
  int n = 0;
  for (std::string s : c) EXPECT_EQ(s, std::to_string(n++));
  EXPECT_EQ(n, 100);
  t.join();
}

// ---- Select.

TEST_F(CppSelect, HandlersOfAllKinds) {
  go::run([] {
    go::chan<int> a(1), b(1);
    int which = -1;
    a.send(3);
    EXPECT_EQ(go::select(go::recv(a, [&](std::optional<int> v) { which = *v; }), go::recv(b)), 0);
    EXPECT_EQ(which, 3);
    EXPECT_EQ(go::select(go::recv(a), go::send(b, 9, [&] { which = 1; })), 1);
    EXPECT_EQ(which, 1);
    EXPECT_EQ(go::select(go::recv(a, [] {}), go::send(b, 9), go::otherwise([&] { which = 2; })), 2);
    EXPECT_EQ(which, 2);
    auto handler = [&] { which = 8; };  // an lvalue
    EXPECT_EQ(go::select(go::recv(a), go::recv(b, handler)), 1);
    EXPECT_EQ(which, 8);
  });
}

TEST_F(CppSelect, EachReadyCaseHasAChance) {
  go::run([] {
    go::chan<int> a(1), b(1), c(1);
    int went[3] = {};
    for (int i = 0; i < 3000; i++) {
      (void)a.try_send(1);
      (void)b.try_send(1);
      (void)c.try_send(1);
      went[go::select(go::recv(a), go::recv(b), go::recv(c))]++;
    }
    for (int n : went) EXPECT_GT(n, 800);
  });
}

TEST_F(CppSelect, WithAContext) {
  go::run([] {
    go::chan<int> c;
    auto ctx = go::with_timeout({}, 1ms);
    std::error_code ec;
    EXPECT_EQ(go::select(ctx, ec, go::recv(c)), GO_ETIMEDOUT);
    EXPECT_EQ(ec, go::errc::timed_out);
    EXPECT_EQ(Thrown([&] { go::select(ctx, go::recv(c)); }), go::errc::timed_out);
    EXPECT_EQ(go::select(go::recv(c), go::recv(ctx.done_chan())), 1);
    EXPECT_EQ(Thrown([&] { go::select(ctx); }), go::errc::timed_out);
    go::spawn([c] { c.send(1); });
    EXPECT_EQ(go::select(go::context(), ec, go::recv(c)), 0);
    EXPECT_FALSE(ec);
  });
}

TEST_F(CppSelect, AnExceptionOfAHandlerPasses) {
  go::run([] {
    go::chan<Counted> c(1);
    c.send(Counted(1));
    EXPECT_THROW(
        go::select(go::recv(c, [](std::optional<Counted>) { throw std::runtime_error("x"); })),
        std::runtime_error);
  });
}

// Elements that go through selects under cancellation.
TEST_F(CppSelect, NothingIsLostOrDoubled) {
  go::run([] {
    Procs procs(4);
    go::chan<Counted> a, b(2);
    go::wait_group wg;
    std::atomic<int> sent{0}, got{0};
    auto ctx = go::with_cancel({});
    for (int i = 0; i < 4; i++) {
      wg.spawn([&] {
        for (int k = 0; k < Rounds(2000); k++) {
          Counted v(k);
          std::error_code ec;
          auto t = go::with_timeout({}, std::chrono::microseconds(k % 20));
          if (go::select(t, ec, go::send(a, std::move(v)), go::send(b, std::move(v))) >= 0) {
            sent++;
          } else {
            EXPECT_EQ(v.v, k);
          }
        }
      });
      wg.spawn([&] {
        std::error_code ec;
        std::optional<Counted> v;
        while (go::select(ctx, ec, go::recv(a, v), go::recv(b, v)) >= 0) got++;
      });
    }
    Until([&] { return sent > 10; });
    ctx.cancel();
    wg.wait();
    EXPECT_EQ(sent, got + static_cast<int>(b.size()));
  });
}

// ---- Mutexes and their kin.

TEST_F(CppSync, MutexesAreLockable) {
  go::run([] {
    Procs procs(4);
    go::mutex a, b;
    go::wait_group wg;
    int n = 0;
    for (int i = 0; i < 8; i++) {
      wg.spawn([&, i] {
        for (int k = 0; k < Rounds(1000); k++) {
          if (i % 2 == 0) {
            std::scoped_lock l(a, b);
            n++;
          } else {
            std::lock_guard l(b);
            std::unique_lock m(a, std::defer_lock);
            if (m.try_lock()) n += 0;
            n++;
          }
        }
      });
    }
    wg.wait();
    EXPECT_EQ(n, 8 * Rounds(1000));
    a.lock();
    EXPECT_FALSE(a.try_lock());
    EXPECT_FALSE(a.try_lock_for(1ms));
    EXPECT_FALSE(a.try_lock_until(go::clock::now() + 1ms));
    EXPECT_FALSE(a.try_lock_until(std::chrono::steady_clock::now() - 1s));
    EXPECT_EQ(Thrown([&] { a.lock(go::with_timeout({}, 1ms)); }), go::errc::timed_out);
    std::error_code ec;
    EXPECT_FALSE(a.lock(go::with_timeout({}, 0ms), ec));
    a.unlock();
    EXPECT_TRUE(a.lock({}, ec));
    a.unlock();
    std::unique_lock l(a, 1s);
    EXPECT_TRUE(l.owns_lock());
  });
}

TEST_F(CppSync, RwmutexesAreShared) {
  go::run([] {
    go::rwmutex m;
    {
      std::shared_lock a(m), b(m);
      EXPECT_FALSE(m.try_lock());
      EXPECT_FALSE(m.try_lock_for(1ms));
      EXPECT_EQ(Thrown([&] { m.lock(go::with_timeout({}, 1ms)); }), go::errc::timed_out);
      EXPECT_TRUE(m.try_lock_shared());
      m.unlock_shared();
    }
    std::unique_lock l(m);
    EXPECT_FALSE(m.try_lock_shared());
    EXPECT_FALSE(m.try_lock_shared_for(1ms));
    EXPECT_FALSE(m.try_lock_shared_until(go::clock::now()));
    std::error_code ec;
    EXPECT_FALSE(m.lock_shared(go::with_timeout({}, 1ms), ec));
    EXPECT_EQ(Thrown([&] { m.lock_shared(go::with_timeout({}, 1ms)); }), go::errc::timed_out);
  });
}

TEST_F(CppSync, Cond) {
  go::run([] {
    go::mutex m;
    go::cond c;
    int stage = 0;
    go::wait_group wg;
    wg.spawn([&] {
      std::unique_lock l(m);
      c.wait(l, [&] { return stage == 1; });
      stage = 2;
      c.notify_all();
    });
    {
      std::unique_lock l(m);
      stage = 1;
      c.notify_one();
      while (stage != 2) c.wait(l);
      EXPECT_EQ(c.wait_for(l, 1ms), std::cv_status::timeout);
      EXPECT_TRUE(l.owns_lock());
      EXPECT_FALSE(m.try_lock());
      EXPECT_FALSE(c.wait_for(l, 1ms, [] { return false; }));
      EXPECT_TRUE(c.wait_for(l, 1ms, [] { return true; }));
      EXPECT_EQ(c.wait_until(l, std::chrono::system_clock::now() + 1ms), std::cv_status::timeout);
      EXPECT_FALSE(c.wait_until(l, go::clock::now() + 1ms, [] { return false; }));
      std::error_code ec;
      auto ctx = go::with_timeout({}, 1ms);
      EXPECT_FALSE(c.wait(ctx, l, ec));
      EXPECT_EQ(ec, go::errc::timed_out);
      EXPECT_FALSE(c.wait(
          ctx, l, [] { return false; }, ec));
      EXPECT_TRUE(c.wait(
          ctx, l, [] { return true; }, ec));
      EXPECT_EQ(Thrown([&] { c.wait(ctx, l); }), go::errc::timed_out);
      EXPECT_EQ(Thrown([&] { c.wait(ctx, l, [] { return false; }); }), go::errc::timed_out);
      EXPECT_TRUE(l.owns_lock());
    }
    wg.wait();
  });
}

TEST_F(CppSync, WaitGroup) {
  go::run([] {
    go::wait_group wg;
    wg.add(2);
    EXPECT_FALSE(wg.wait_for(1ms));
    EXPECT_EQ(Thrown([&] { wg.wait(go::with_timeout({}, 1ms)); }), go::errc::timed_out);
    go::spawn([&] { wg.done(); });
    wg.done();
    wg.wait();
    EXPECT_TRUE(wg.wait_for(1ms));
    std::error_code ec;
    EXPECT_TRUE(wg.wait({}, ec));
    EXPECT_NE(Panic([&] { wg.done(); }).find("negative"), std::string::npos);
  });
}

TEST_F(CppSync, WaitGroupCountsWhatCouldNotStart) {
  go::run([] {
    go::wait_group wg;
    wg.spawn([&] { go::exit(); });
    wg.spawn([c = Counted(1)] { go::yield(); });
    wg.wait();
    EXPECT_EQ(Counted::live, 0) << "captures are gone before it is done";
  });
}

TEST_F(CppSync, Once) {
  go::run([] {
    Procs procs(4);
    go::once o;
    go::wait_group wg;
    std::atomic<int> n{0};
    for (int i = 0; i < 10; i++) {
      wg.spawn([&] {
        o.call([&] {
          go::yield();
          n++;
        });
        EXPECT_EQ(n, 1);
      });
    }
    wg.wait();
  });
}

TEST_F(CppSync, Semaphore) {
  go::run([] {
    go::semaphore s(3);
    s.acquire(2);
    EXPECT_TRUE(s.try_acquire());
    EXPECT_FALSE(s.try_acquire());
    EXPECT_FALSE(s.try_acquire_for(1ms));
    EXPECT_EQ(Thrown([&] { s.acquire(go::with_timeout({}, 1ms)); }), go::errc::timed_out);
    std::error_code ec;
    EXPECT_FALSE(s.acquire(go::with_timeout({}, 1ms), 2, ec));
    s.release(3);
    EXPECT_TRUE(s.try_acquire_for(1ms, 3));
    s.release(3);
    EXPECT_NE(Panic([&] { s.release(1); }), "(none)");
  });
}

// ---- Contexts.

TEST_F(CppContext, CancelledWithItsOwner) {
  go::run([] {
    go::context copy;
    EXPECT_FALSE(copy.done());
    {
      auto ctx = go::with_cancel({});
      copy = ctx;
      EXPECT_FALSE(ctx.err());
      EXPECT_NO_THROW(ctx.check());
      go::owned_context moved = std::move(ctx);
      EXPECT_FALSE(copy.done());
    }
    EXPECT_EQ(copy.err(), go::errc::canceled);
    EXPECT_EQ(Thrown([&] { copy.check(); }), go::errc::canceled);
    EXPECT_EQ(copy.cause(), GO_ECANCELED);
    auto other = go::with_cancel(copy);
    EXPECT_TRUE(other.done());
  });
}

TEST_F(CppContext, DeadlinesOfAllClocks) {
  go::run([] {
    auto parent = go::with_cancel({});
    EXPECT_EQ(parent.deadline(), go::clock::time_point::max());
    auto t = go::clock::now() + 1h;
    EXPECT_EQ(go::with_deadline(parent, t).deadline(), t);
    auto s = go::with_deadline(parent, std::chrono::system_clock::now() + 1h).deadline() - t;
    EXPECT_LT(std::chrono::abs(s), 1min);
    EXPECT_TRUE(go::with_deadline(parent, std::chrono::steady_clock::now() - 1s).done());
    EXPECT_TRUE(go::with_timeout(parent, -5s).done());
    auto ctx = go::with_timeout(parent, 1ms);
    EXPECT_FALSE(ctx.done_chan().recv());
    EXPECT_EQ(ctx.err(), go::errc::timed_out);
    parent.cancel(77);
    EXPECT_EQ(parent.cause(), 77);
  });
}

TEST_F(CppContext, Values) {
  static go::context_key<std::string> name, other;
  static go::context_key<Counted> counted;
  go::run([] {
    auto parent = go::with_cancel({});
    auto a = go::with_value(parent, name, std::string("ann"));
    auto b = go::with_value(a, counted, Counted(3));
    ASSERT_NE(b.value(name), nullptr);
    EXPECT_EQ(*b.value(name), "ann");
    EXPECT_EQ(b.value(counted)->v, 3);
    EXPECT_EQ(b.value(other), nullptr);
    auto c = go::without_cancel(b);
    parent.cancel();
    EXPECT_TRUE(b.done());
    EXPECT_FALSE(c.done());
    EXPECT_EQ(*c.value(name), "ann");
  });
}

TEST_F(CppContext, WhenDone) {
  go::run([] {
    go::wait_group wg;
    auto ctx = go::with_cancel({});
    wg.add();
    go::when_done d(ctx, [&wg, c = Counted(1)] { wg.done(); });
    {
      go::when_done never(ctx, [c = Counted(2)] { ADD_FAILURE(); });
    }
    EXPECT_EQ(Counted::live, 1);
    ctx.cancel();
    wg.wait();
    EXPECT_FALSE(d.stop());
    wg.add();
    go::when_done at_once(ctx, [&] { wg.done(); });
    wg.wait();
  });
  Until([] { return Counted::live == 0; });
}

// ---- Time.

TEST(CppDuration, Conversions) {
  using go::detail::nsec_of;
  using std::chrono::duration;
  EXPECT_EQ(nsec_of(1ns), 1);
  EXPECT_EQ(nsec_of(3us), 3000);
  EXPECT_EQ(nsec_of(-2s), -2 * GO_SEC);
  EXPECT_EQ(nsec_of(24h), 24 * GO_HOUR);
  EXPECT_EQ(nsec_of(std::chrono::hours::max()), GO_FOREVER);
  EXPECT_EQ(nsec_of(std::chrono::hours::min()), INT64_MIN);
  EXPECT_EQ(nsec_of(std::chrono::nanoseconds::max()), GO_FOREVER);
  EXPECT_EQ(nsec_of(duration<uint64_t>(~uint64_t{0})), GO_FOREVER);
  EXPECT_EQ(nsec_of(duration<uint64_t, std::pico>(~uint64_t{0})), 18446744073709552);
  EXPECT_EQ(nsec_of(duration<int, std::pico>(1)), 1) << "rounded up";
  EXPECT_EQ(nsec_of(duration<int, std::pico>(1001)), 2);
  EXPECT_EQ(nsec_of(duration<int, std::pico>(-1)), 0);
  EXPECT_EQ(nsec_of(duration<int, std::ratio<1, 3>>(1)), 333333334);
  EXPECT_EQ(nsec_of(duration<int64_t, std::ratio<1, 3>>(INT64_MAX)), GO_FOREVER);
  EXPECT_EQ(nsec_of(duration<double>(1.5)), 3 * GO_SEC / 2);
  EXPECT_EQ(nsec_of(duration<double>(1e300)), GO_FOREVER);
  EXPECT_EQ(nsec_of(duration<double>(-1e300)), INT64_MIN);
  EXPECT_EQ(nsec_of(duration<double>(std::numeric_limits<double>::quiet_NaN())), 0);
  EXPECT_EQ(nsec_of(duration<float, std::nano>(0.25f)), 1);
  static_assert(nsec_of(2ms) == 2 * GO_MS);
}

TEST_F(CppTime, Sleep) {
  go::run([] {
    auto t = go::clock::now();
    go::sleep_for(2ms);
    go::sleep_until(t + 4ms);
    EXPECT_GE(go::clock::now() - t, 4ms);
    auto s = std::chrono::system_clock::now() + 2ms;
    go::sleep_until(s);
    EXPECT_GE(std::chrono::system_clock::now(), s);
    go::sleep_until(std::chrono::steady_clock::time_point::min());
    go::sleep_for(-1s);
    auto ctx = go::with_timeout({}, 1ms);
    std::error_code ec;
    EXPECT_FALSE(go::sleep_for(ctx, std::chrono::hours::max(), ec));
    EXPECT_EQ(ec, go::errc::timed_out);
    EXPECT_FALSE(go::sleep_until(ctx, std::chrono::system_clock::time_point::max(), ec));
    EXPECT_EQ(Thrown([&] { go::sleep_for(ctx, 1h); }), go::errc::timed_out);
    EXPECT_EQ(Thrown([&] { go::sleep_until(ctx, go::clock::time_point::max()); }),
              go::errc::timed_out);
    EXPECT_TRUE(go::sleep_for({}, 1us, ec));
  });
}

TEST_F(CppTime, Timers) {
  go::run([] {
    go::wait_group wg;
    wg.add();
    {
      go::timer t(1ms, [&wg, c = Counted(1)] { wg.done(); });
      wg.wait();
      EXPECT_FALSE(t.stop());
      wg.add();
      EXPECT_FALSE(t.reset(1ms));
      wg.wait();
      EXPECT_FALSE(t.reset(1h));
      EXPECT_TRUE(t.reset(2h));
      EXPECT_TRUE(t.stop());
      EXPECT_FALSE(t.stop());
      wg.add();
      EXPECT_FALSE(t.reset(0s));
      wg.wait();
    }
    {
      go::timer never(1h, [c = Counted(2)] { ADD_FAILURE(); });
    }
  });
  Until([] { return Counted::live == 0; });  // the goroutine may outlive its timer
}

// Timers that go while they fire.
TEST_F(CppTime, TimersThatGoAsTheyFire) {
  go::run([] {
    Procs procs(4);
    std::atomic<int> fired{0};
    for (int i = 0; i < Rounds(2000); i++) {
      go::timer t(std::chrono::microseconds(i % 5), [&fired, c = Counted(i)] { fired++; });
      if (i % 3 == 0) go::yield();
      if (i % 7 == 0) t.reset(0us);
    }
    Until([] { return Counted::live == 0; });
  });
}

TEST_F(CppTime, AfterAndTicker) {
  go::run([] {
    auto before = go::clock::now();
    auto t = go::after(2ms).recv();
    ASSERT_TRUE(t);
    EXPECT_GE(*t - before, 2ms);
    go::chan<go::clock::time_point> c;
    {
      go::ticker k(1ms);
      c = k.channel();
      auto first = c.recv(), second = c.recv();
      EXPECT_GE(*second - *first, 1ms);
      k.reset(1h);
      k.stop();
    }
    EXPECT_FALSE(c.try_recv());
    EXPECT_NE(Panic([] { go::ticker bad(0s); }), "(none)");
  });
}

// ---- Scopes.

TEST_F(CppScope, TasksReturnValues) {
  go::run([] {
    int x = 20;
    go::scope s;
    auto a = s.spawn([&] { return x + 1; });
    auto b = s.spawn([](std::unique_ptr<int> p) { return p; }, std::make_unique<int>(4));
    auto c = s.spawn([&]() -> int & { return x; });
    auto d = s.spawn([] {});
    auto e = s.spawn([] { return Counted(9); });
    EXPECT_EQ(a.join(), 21);
    EXPECT_EQ(a.join(), 21) << "any number of times";
    EXPECT_EQ(*std::move(b).join(), 4);
    EXPECT_EQ(&c.join(), &x);
    d.join();
    EXPECT_EQ(e.join().v, 9);
    EXPECT_EQ(s.spawn([] { return 5; }).join(), 5);
  });
}

TEST_F(CppScope, JoinsInItsDestructor) {
  go::run([] {
    std::atomic<int> n{0};
    go::task<int> last;
    {
      go::scope s;
      for (int i = 0; i < 100; i++) {
        (void)s.spawn([&n, c = Counted(i)] {
          go::yield();
          n++;
        });
      }
      last = s.spawn([] {
        go::yield();
        return 6;
      });
    }
    EXPECT_EQ(n, 100);
    EXPECT_EQ(Counted::live, 0);
    EXPECT_EQ(last.join(), 6) << "the result outlives the scope";
    EXPECT_EQ(Thrown([] { go::task<int>().join(); }), go::errc::invalid);
  });
}

TEST_F(CppScope, NestedLimitedAndCancelled) {
  go::run([] {
    Procs procs(4);
    std::atomic<int> now{0}, most{0}, all{0};
    go::scope s;
    s.limit(3);
    for (int i = 0; i < 50; i++) {
      (void)s.spawn([&] {
        int n = ++now;
        for (int m = most; n > m && !most.compare_exchange_weak(m, n);) {}
        go::scope inner;
        for (int k = 0; k < 3; k++) (void)inner.spawn([&] { all++; });
        inner.wait();
        now--;
      });
    }
    s.wait();
    EXPECT_EQ(all, 150);
    EXPECT_LE(most, 3);
    auto waits = s.spawn([ctx = s.ctx()] {
      std::error_code ec;
      (void)go::sleep_for(ctx, 1h, ec);
      return ec;
    });
    EXPECT_FALSE(s.ctx().done());
    s.cancel();
    EXPECT_EQ(waits.join(), go::errc::canceled);
    std::error_code ec;
    EXPECT_TRUE(s.wait(ec)) << "no error of the scope";
  });
}

TEST_F(CppScope, UnderAContext) {
  go::run([] {
    auto ctx = go::with_timeout({}, 1ms);
    go::scope s(ctx);
    auto t = s.spawn([c = s.ctx()] {
      std::error_code ec;
      (void)go::sleep_for(c, 1h, ec);
      return ec;
    });
    EXPECT_EQ(t.join(), go::errc::timed_out);
  });
}

TEST_F(CppScope, OnAPlainThread) {
  go::scope s;
  auto t = s.spawn([] { return go_id(); });
  EXPECT_NE(t.join(), 0u);
}

// ---- From outside.

TEST_F(CppRun, ReturnsTheResult) {
  EXPECT_EQ(go::run([] { return 7; }), 7);
  EXPECT_EQ(*go::run([] { return std::make_unique<int>(8); }), 8);
  int x = 0;
  int &r = go::run([&]() -> int & { return x; });
  EXPECT_EQ(&r, &x);
  go::run([&] { EXPECT_EQ(Thrown([] { go::run([] {}); }), go::errc::deadlock); });
}

TEST_F(CppRun, Main) {
  char name[] = "prog";
  char *argv[] = {name, nullptr};
  EXPECT_EQ(go::main(1, argv, [&](int argc, char **v) { return argc == 1 && v == argv ? 5 : 6; }),
            5);
  EXPECT_EQ(go::main(1, argv, [] { return 4; }), 4);
}

TEST_F(CppRun, Defer) {
  std::string s;
  {
    go::defer a([&] { s += "a"; });
    go::defer b([&] { s += "b"; });
    s += "x";
  }
  EXPECT_EQ(s, "xba");
}

}  // namespace
