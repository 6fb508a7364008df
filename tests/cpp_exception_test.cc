// golib.hpp: exceptions and panics, how they meet, and what a goroutine that handles some takes along when it
// suspends.

#include <gtest/gtest.h>
#include <golib/golib.hpp>

#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/support/golib_test.h"
#include "tests/support/tsan_exceptions.h"

using namespace std::chrono_literals;
using golib_test::Goroutines;
using golib_test::Procs;
using golib_test::Rounds;

namespace {

// What happened, in order.
std::string g_trace;
struct Leaves {  // says so when it is destroyed
  explicit Leaves(char n) : c(n) {}
  ~Leaves() { g_trace += c; }
  char c;
};
void Say(void *p) { g_trace += *static_cast<const char *>(p); }

struct Alive {
  static inline std::atomic<int> n{0};
  Alive() { n++; }
  Alive(const Alive &) { n++; }
  ~Alive() { n--; }
};

// An exception that is counted as long as it lives.
struct Error : std::runtime_error {
  explicit Error(int n) : std::runtime_error("error " + std::to_string(n)), v(n) {}
  int v;
  Alive alive;
};

struct Handled {
  std::atomic<int> n{0};
  std::string text, type;
  go_panic_info info{};
} g_handled;
void Handler(const go_panic_info *info) {
  static std::mutex m;
  const std::lock_guard l(m);
  g_handled.info = *info;
  g_handled.text = info->text;
  g_handled.type = "none";
  if (std::exception_ptr e = std::current_exception()) {
    try {
      std::rethrow_exception(e);
    } catch (const Error &) {
      g_handled.type = "Error";
    } catch (const go::panic_error &) {
      g_handled.type = "panic_error";
    } catch (...) {
      g_handled.type = "another";
    }
  }
  g_handled.n++;
}

class CppException : public testing::Test {
 protected:
  void SetUp() override {
    g_trace.clear();
    g_handled.n = 0;
    go_set_panic_handler(Handler);
  }
  void TearDown() override {
    go_set_panic_handler(nullptr);
    EXPECT_EQ(Alive::n, 0);
  }
  // Runs f as a goroutine that nobody asks for its end, and waits for that.
  template <class F>
  void InGoroutine(F f) {
    go::run([&] {
      go::wait_group wg;
      wg.spawn(f);
      wg.wait();
    });
  }
};
class CppPanic : public CppException {};
class CppExit : public CppException {};
class CppSwitch : public CppException {};
class CppScopes : public CppException {};

// ---- An exception ends a goroutine.

TEST_F(CppException, IsThePanicOfItsGoroutine) {
  InGoroutine([] {
    go_set_name("thrower");
    Leaves a('a');
    throw Error(4);
  });
  EXPECT_EQ(g_trace, "a");
  EXPECT_EQ(g_handled.n, 1);
  EXPECT_EQ(g_handled.text, "error 4");
  EXPECT_EQ(g_handled.type, "Error") << "the handler has it as the current exception";
  EXPECT_STREQ(g_handled.info.name, "thrower");
  EXPECT_NE(g_handled.info.goroutine, 0u);
  EXPECT_EQ(g_handled.info.value, nullptr);
}

TEST_F(CppException, OfAnyType) {
  InGoroutine([] { throw 42; });
  EXPECT_EQ(g_handled.text, "exception of type int");
  InGoroutine([] { throw std::string("x"); });
  EXPECT_NE(g_handled.text.find("basic_string"), std::string::npos) << g_handled.text;
  InGoroutine([] { throw std::runtime_error(std::string(1000, 'l')); });
  EXPECT_EQ(g_handled.text, std::string(255, 'l'));
}

// Goroutines that were started by the C API, with C++ in them.
TEST_F(CppException, InGoroutinesOfTheCApi) {
  go::run([] {
    go_wg wg{};
    go_wg_add(&wg, 1);
    static go_wg *done;
    done = &wg;
    auto fn = +[](void *) {
      struct D {
        ~D() { go_wg_done(done); }
      } d;
      throw Error(1);
    };
    EXPECT_EQ(go_spawn(fn, nullptr), 0);
    go_wg_wait(&wg);
  });
  go::run([] { golib_test::Until([] { return g_handled.n == 1; }); });
  EXPECT_EQ(g_handled.text, "error 1");
}

TEST_F(CppException, OthersGoOn) {
  go::run([] {
    Procs procs(4);
    go::wait_group wg;
    std::atomic<int> survivors{0};
    for (int i = 0; i < Rounds(2000); i++) {
      wg.spawn([i, a = Alive()] {
        if (i % 2 == 0) go::yield();
        throw Error(i);
      });
      wg.spawn([&] {
        go::yield();
        survivors++;
      });
    }
    wg.wait();
    EXPECT_EQ(survivors, Rounds(2000));
    EXPECT_EQ(g_handled.n, Rounds(2000));
  });
}

TEST_F(CppException, TheHandlerMaySuspendThrowAndExit) {
  go_set_panic_handler([](const go_panic_info *) {
    go::yield();
    g_handled.n++;
    if (g_handled.n == 2) go::exit();
  });
  InGoroutine([] { throw Error(1); });
  InGoroutine([] { throw Error(2); });
  EXPECT_EQ(g_handled.n, 2);
  go_set_panic_handler([](const go_panic_info *) {
    g_handled.n++;
    throw Error(3);  // is printed, and ends there
  });
  testing::internal::CaptureStderr();
  InGoroutine([] { throw Error(1); });
  std::string printed = testing::internal::GetCapturedStderr();
  EXPECT_EQ(g_handled.n, 3);
  EXPECT_NE(printed.find("error 1"), std::string::npos) << printed;
  EXPECT_NE(printed.find("error 3"), std::string::npos) << printed;
}

// go_run's goroutine: the C function tells, go::run gives the exception on.
TEST_F(CppException, OutOfRun) {
  EXPECT_EQ(go_run([](void *) { throw Error(1); }, nullptr), GO_EPANIC);
  EXPECT_EQ(g_handled.n, 1);
  try {
    go::run([] { throw Error(5); });
    ADD_FAILURE();
  } catch (const Error &e) {
    EXPECT_EQ(e.v, 5);
  }
  EXPECT_THROW(go::run([] { go_panic("c"); }), go::panic_error);
  EXPECT_EQ(g_handled.n, 1) << "who has it is not told";
}

// ---- Panics are exceptions.

TEST_F(CppPanic, OfTheCApiAreCaught) {
  go::run([] {
    try {
      Leaves a('a');
      go_panic("number %d", 7);
    } catch (const go::panic_error &e) {
      g_trace += e.what();
      EXPECT_EQ(e.info().goroutine, go_id());
    }
    static int value;
    try {
      go_panic_value(&value, "an int");
    } catch (const std::exception &e) {
      EXPECT_STREQ(e.what(), "an int");
      EXPECT_EQ(dynamic_cast<const go::panic_error &>(e).value(), &value);
    }
    try {
      go::panic(std::string(1000, 'p'));
    } catch (const go::panic_error &e) {
      EXPECT_EQ(std::string(e.what()), std::string(255, 'p'));
    }
    go_wg wg{};
    EXPECT_THROW(go_wg_done(&wg), go::panic_error);
    go_chan *c = go_chan_new(1, 0);
    go_chan_close(c);
    EXPECT_THROW(go_chan_close(c), go::panic_error);
    EXPECT_THROW(go_chan_send(c, "x"), go::panic_error);
    go_case k = {c, const_cast<char *>("x"), GO_SEND, false};
    EXPECT_THROW(go_select(nullptr, &k, 1), go::panic_error);
    EXPECT_THROW(go_select_try(&k, 1), go::panic_error);
    go_chan_unref(c);
  });
  EXPECT_EQ(g_trace, "anumber 7");
  EXPECT_EQ(g_handled.n, 0);
}

// A parked sender whose channel is closed by another thread.
TEST_F(CppPanic, OnAnotherThread) {
  go::run([] {
    Procs procs(4);
    for (int i = 0; i < Rounds(300); i++) {
      go_chan *c = go_chan_new(1, 0);
      go::wait_group wg;
      wg.spawn([c] {
        Alive a;
        EXPECT_THROW(go_chan_send(c, "x"), go::panic_error);
      });
      if (i % 2 == 0) go::yield();
      go_chan_close(c);
      wg.wait();
      go_chan_unref(c);
    }
  });
}

TEST_F(CppPanic, EndsAGoroutineWithDestructors) {
  InGoroutine([] {
    Leaves a('a');
    {
      Leaves b('b');
      go_panic("end");
    }
  });
  EXPECT_EQ(g_trace, "ba");
  EXPECT_EQ(g_handled.text, "end");
  EXPECT_EQ(g_handled.type, "panic_error");
}

TEST_F(CppPanic, OnPlainThreads) {
  try {
    Leaves a('a');
    go_panic("thread");
  } catch (const go::panic_error &e) {
    EXPECT_STREQ(e.what(), "thread");
    EXPECT_EQ(e.info().goroutine, 0u);
  }
  EXPECT_EQ(g_trace, "a");
}

// GO_DEFER in C++: in order with destructors.
TEST_F(CppPanic, DefersAndDestructorsInOrder) {
  static char one[] = "1", two[] = "2", three[] = "3";
  go::run([] {
    try {
      GO_DEFER(Say, one);
      Leaves a('a');
      [] {
        GO_DEFER(Say, two);
        Leaves b('b');
        GO_DEFER(Say, three);
        go_panic("x");
      }();
    } catch (const go::panic_error &) {
      g_trace += '!';
    }
  });
  EXPECT_EQ(g_trace, "3b2a1!");
  InGoroutine([] {
    GO_DEFER(Say, one);
    Leaves a('a');
    throw Error(1);
  });
  EXPECT_EQ(g_trace, "3b2a1!a1");
}

// As C code does it: records on the list, in frames without a cleanup that an exception would run.
// (ThreadSanitizer would add one.)
#define LIKE_C __attribute__((noinline, no_sanitize("thread")))
char g_one[] = "1", g_two[] = "2", g_three[] = "3";
LIKE_C void Defers(void (*fn)(void *), void *arg, void (*body)()) {
  go_defer_rec_ rec = {nullptr, fn, arg};
  go_defer_push_(&rec);
  body();
  go_defer_run_(&rec);
}
LIKE_C void First() { go_panic("first"); }
LIKE_C void Exits() { go_exit(); }
LIKE_C void SayTwoAndPanic() { Defers(Say, g_two, First); }
LIKE_C void SayTwoAndExit() { Defers(Say, g_two, Exits); }
LIKE_C void SayThreeAndPanic() { Defers(Say, g_three, First); }
void Second(void *) { go_panic("second"); }
LIKE_C void PanicAgain() { Defers(Second, nullptr, SayThreeAndPanic); }
void Throw8(void *) { throw Error(8); }
void CatchesAndYields(void *) {
  EXPECT_THROW(go_panic("inner"), go::panic_error);
  go::yield();
}
void ExitsDeferred(void *) { go_exit(); }
LIKE_C void ExitInADefer() { Defers(ExitsDeferred, nullptr, First); }

TEST_F(CppPanic, DefersOfCFramesInsideRun) {
  go::run([] {
    try {
      Leaves a('a');
      Defers(Say, g_one, SayTwoAndPanic);
    } catch (const go::panic_error &) {
      g_trace += '!';
    }
    // One that panics itself: the newer panic goes on, and the rest is run.
    try {
      Defers(Say, g_one, PanicAgain);
    } catch (const go::panic_error &e) {
      g_trace += e.what();
    }
    // One that throws.
    try {
      Defers(Throw8, nullptr, First);
    } catch (const go::panic_error &e) {
      g_trace += e.what();
    }
    // One that catches, and suspends, does not disturb.
    try {
      Defers(CatchesAndYields, nullptr, First);
    } catch (const go::panic_error &e) {
      g_trace += e.what();
    }
  });
  EXPECT_EQ(g_trace, "21a!31seconderror 8first");
}

// ---- go_try and go::try_.

TEST_F(CppPanic, TheCBoundaryCatchesExceptions) {
  go::run([] {
    go_panic_info info{};
    Leaves o('o');
    EXPECT_EQ(go_try(
                  [](void *) {
                    Leaves a('a');
                    throw Error(3);
                  },
                  nullptr, &info),
              GO_EPANIC);
    EXPECT_STREQ(info.text, "error 3");
    EXPECT_EQ(info.goroutine, go_id());
    EXPECT_EQ(go_try([](void *) { Leaves b('b'); }, nullptr, &info), 0);
    EXPECT_EQ(go_try(
                  [](void *) {
                    Leaves c('c');
                    go_panic("p");
                  },
                  nullptr, nullptr),
              GO_EPANIC);
  });
  EXPECT_EQ(g_trace, "abco");
}

TEST_F(CppPanic, TryGivesTheOriginalOn) {
  go::run([] {
    auto good = go::try_([] { return std::make_unique<int>(5); });
    EXPECT_TRUE(good.ok() && good);
    EXPECT_EQ(*good.get(), 5);
    EXPECT_EQ(good.exception(), nullptr);
    auto bad = go::try_([]() -> int { throw Error(6); });
    EXPECT_FALSE(bad);
    EXPECT_STREQ(bad.what(), "error 6");
    try {
      bad.get();
      ADD_FAILURE();
    } catch (const Error &e) {
      EXPECT_EQ(e.v, 6);
    }
    auto panic = go::try_([] { go_panic("p %d", 1); });
    EXPECT_STREQ(panic.what(), "p 1");
    EXPECT_THROW(panic.get(), go::panic_error);
    int x = 0;
    EXPECT_EQ(&go::try_([&]() -> int & { return x; }).get(), &x);
    // Nested, and on another thread.
    auto outer = go::try_([] {
      auto inner = go::try_([] { throw Error(1); });
      EXPECT_STREQ(inner.what(), "error 1");
      throw Error(2);
    });
    std::thread([e = outer.exception()] { EXPECT_THROW(std::rethrow_exception(e), Error); }).join();
  });
}

TEST_F(CppPanic, ManyTimes) {
  go::run([] {
    for (int i = 0; i < Rounds(5000); i++) {
      try {
        Alive a;
        go_panic("%d", i);
      } catch (const go::panic_error &e) {
        if (std::stoi(e.what()) != i) ADD_FAILURE() << e.what();
      }
    }
  });
}

// ---- go_exit.

TEST_F(CppExit, RunsDestructorsAndPassesCatchClauses) {
  InGoroutine([] {
    Leaves a('a');
    try {
      Leaves b('b');
      go::exit();
    } catch (const std::exception &) {
      g_trace += '!';
    } catch (...) {
      g_trace += 'c';
      throw;
    }
  });
  EXPECT_EQ(g_trace, "bca");
  EXPECT_EQ(g_handled.n, 0);
}

TEST_F(CppExit, PassesTheBoundaries) {
  static char one[] = "1";
  InGoroutine([] {
    Leaves a('a');
    auto r = go::try_([] {
      Leaves b('b');
      go_panic_info info;
      (void)go_try(
          [](void *) {
            GO_DEFER(Say, one);
            Leaves c('c');
            go_exit();
          },
          nullptr, &info);
      g_trace += '!';
    });
    g_trace += '!';
  });
  EXPECT_EQ(g_trace, "c1ba");
}

TEST_F(CppExit, DefersOfCFrames) {
  InGoroutine([] {
    Leaves a('a');
    Defers(Say, g_one, SayTwoAndExit);
    g_trace += '!';
  });
  EXPECT_EQ(g_trace, "21a");
}

// A deferred call that exits ends the panic in progress.
TEST_F(CppExit, InADeferredCall) {
  InGoroutine([] {
    Leaves a('a');
    Defers(Say, g_one, ExitInADefer);
  });
  EXPECT_EQ(g_trace, "1a");
  EXPECT_EQ(g_handled.n, 0);
}

TEST_F(CppExit, InOnceTaskAndRun) {
  go::run([] {
    go::once o;
    go::wait_group wg;
    wg.spawn([&] {
      Alive a;
      o.call([] { go::exit(); });
      ADD_FAILURE();
    });
    wg.wait();
    o.call([] { ADD_FAILURE() << "done already"; });
    go_once raw{};
    wg.spawn([&] {
      Alive a;
      go_once_do(
          &raw, [](void *) { go_exit(); }, nullptr);
      ADD_FAILURE();
    });
    wg.wait();
    go_once_do(
        &raw, [](void *) { ADD_FAILURE(); }, nullptr);

    go::scope s;
    auto t = s.spawn([] { go::exit(); });
    try {
      t.join();
      ADD_FAILURE();
    } catch (const go::error &e) {
      EXPECT_EQ(e.code(), go::errc::canceled);
    }
    EXPECT_FALSE(s.ctx().done()) << "no error";
  });
  EXPECT_THROW(go::run([] { go::exit(); }), go::error);
}

TEST_F(CppExit, OfMany) {
  go::run([] {
    Procs procs(4);
    go::wait_group wg;
    for (int i = 0; i < Goroutines(5000); i++) {
      wg.spawn([i, a = Alive()] {
        Alive b;
        if (i % 2 == 0) go::yield();
        if (i % 3 == 0) go::exit();
      });
    }
    wg.wait();
  });
}

// ---- Once and others that call back.

TEST_F(CppException, OutOfOnce) {
  go::run([] {
    go::once o;
    EXPECT_THROW(o.call([] { throw Error(1); }), Error);
    EXPECT_NO_THROW(o.call([] { throw Error(2); }));
    go_once raw{};
    EXPECT_THROW(go_once_do(
                     &raw, [](void *) { throw Error(3); }, nullptr),
                 go::panic_error)
        << "the C function does not give the original on";
    EXPECT_NO_THROW(go_once_do(
        &raw, [](void *) { throw Error(4); }, nullptr))
        << "it is done";
  });
}

TEST_F(CppException, OutOfBlockingAndOffload) {
  go::run([] {
    EXPECT_EQ(go::blocking([] { return 4; }), 4);
    EXPECT_EQ(*go::offload([] { return std::make_unique<int>(5); }), 5);
    EXPECT_THROW(go::blocking([] { throw Error(1); }), Error);
    EXPECT_THROW(go::offload([] { throw Error(2); }), Error);
    EXPECT_THROW(go::blocking([] { go_panic("b"); }), go::panic_error);
    EXPECT_THROW(go::offload([] { go_panic("o"); }), go::panic_error);
    EXPECT_THROW(go_blocking([](void *) { throw Error(3); }, nullptr), go::panic_error);
    int rc = 0;
    EXPECT_THROW(rc = go_offload(
                     nullptr, [](void *) { throw Error(4); }, nullptr),
                 go::panic_error);
    EXPECT_EQ(rc, 0) << "it did not return";
    auto ctx = go::with_cancel({});
    ctx.cancel();
    EXPECT_THROW(go::offload(ctx, [] { ADD_FAILURE(); }), go::error);
    go::wait_group wg;
    wg.spawn([] {
      Alive a;
      go::blocking([] { go::exit(); });
      ADD_FAILURE();
    });
    wg.wait();
    go::yield();  // the P is back
  });
}

TEST_F(CppException, InTimersAndWhenDone) {
  go::run([] {
    go::timer t(0s, [a = Alive()] { throw Error(1); });
    golib_test::Until([] { return g_handled.n == 1; });
    auto ctx = go::with_cancel({});
    go::when_done d(ctx, [a = Alive()] { throw Error(2); });
    ctx.cancel();
    golib_test::Until([] { return g_handled.n == 2; });
    EXPECT_EQ(g_handled.text, "error 2");
  });
  go::run([] { golib_test::Until([] { return Alive::n == 0; }); });
}

// ---- Scopes.

TEST_F(CppScopes, JoinAndWaitThrowTheOriginal) {
  go::run([] {
    Procs procs(2);
    go::scope s;
    auto t = s.spawn([]() -> int { throw Error(7); });
    for (int i = 0; i < 2; i++) {
      try {
        t.join();
        ADD_FAILURE();
      } catch (const Error &e) {
        EXPECT_EQ(e.v, 7);
      }
    }
    EXPECT_TRUE(s.ctx().done()) << "cancels the others";
    EXPECT_EQ(s.ctx().cause(), GO_EPANIC);
    EXPECT_THROW(s.wait(), Error);
    std::error_code ec;
    EXPECT_FALSE(s.wait(ec));
    EXPECT_EQ(ec, go::errc::panicked);
    auto p = s.spawn([] { go_panic("c"); });
    EXPECT_THROW(p.join(), go::panic_error);
  });
  EXPECT_EQ(g_handled.n, 0) << "who joins is told, nobody else";
}

TEST_F(CppScopes, WhatNobodyAsksForIsTold) {
  go::run([] {
    go::scope s;
    (void)s.spawn([] { throw Error(9); });
  });
  EXPECT_EQ(g_handled.n, 1);
  EXPECT_EQ(g_handled.text, "error 9");
}

TEST_F(CppScopes, AnExceptionLeavesTheBlockAfterItsTasks) {
  go::run([] {
    std::atomic<bool> ended{false};
    try {
      go::scope s;
      (void)s.spawn([&, ctx = s.ctx(), a = Alive()] {
        std::error_code ec;
        (void)go::sleep_for(ctx, 1h, ec);  // cancelled by the exception
        go::yield();
        EXPECT_EQ(ec, go::errc::canceled);
        ended = true;
      });
      throw Error(1);
    } catch (const Error &) {
      EXPECT_TRUE(ended);
    }
  });
}

// Through nested scopes, up to the one who catches; each joins on the way.
int Nested(int depth, std::atomic<int> &joined) {
  go::scope s;
  auto t = s.spawn([&, depth] {
    if (depth == 0) throw Error(depth);
    int r = Nested(depth - 1, joined);
    return r + 1;
  });
  (void)s.spawn([&, ctx = s.ctx()] {
    std::error_code ec;
    (void)go::sleep_for(ctx, 1h, ec);
    joined++;
  });
  return t.join();
}
TEST_F(CppScopes, Nested) {
  go::run([] {
    Procs procs(4);
    for (int i = 0; i < Rounds(50); i++) {
      std::atomic<int> joined{0};
      EXPECT_THROW(Nested(5, joined), Error);
      EXPECT_EQ(joined, 6);
    }
  });
}

TEST_F(CppScopes, ExitLeavesTheBlockAfterItsTasks) {
  std::atomic<int> n{0};
  InGoroutine([&] {
    go::scope s;
    for (int i = 0; i < 10; i++) {
      (void)s.spawn([&] {
        go::yield();
        n++;
      });
    }
    go::exit();
  });
  EXPECT_EQ(n, 10);
}

// A scope of the C API in a C++ frame, and a task of it that throws.
int Throws(void *) { throw Error(1); }
TEST_F(CppScopes, OfTheCApi) {
  go::run([] {
    EXPECT_THROW(
        {
          GO_SCOPE(s, nullptr) {
            go_task *t = go_scope_spawn(&s, Throws, nullptr);
            EXPECT_EQ(go_task_join(t), GO_EPANIC);
            EXPECT_STREQ(go_task_panic(t)->text, "error 1");
            throw Error(2);
          }
},
        Error);
});
EXPECT_EQ(g_handled.n, 0);
}

// ---- Suspending with exceptions in hand.

// Suspends in a catch block, in nested ones, and while a destructor is called by an exception; `throw;` gives on what
// was caught, and the counts are the goroutine's own.
void Wander(int id, int depth, const go::chan<int> &c) {
  std::exception_ptr outside = std::current_exception();
  EXPECT_EQ(std::uncaught_exceptions(), 0);
  try {
    struct InFlight {
      const go::chan<int> &c;
      ~InFlight() {
        EXPECT_EQ(std::uncaught_exceptions(), 1);
        go::yield();
        (void)c.try_send(1);
        (void)c.try_recv();
        EXPECT_EQ(std::uncaught_exceptions(), 1);
      }
    } in_flight{c};
    throw Error(id);
  } catch (const Error &e) {
    EXPECT_EQ(std::uncaught_exceptions(), 0);
    go::yield();
    EXPECT_EQ(e.v, id);
    if (depth > 0) Wander(id + 1000, depth - 1, c);
    std::exception_ptr now = std::current_exception();
    go::yield();
    EXPECT_EQ(std::current_exception(), now);
    try {
      go::yield();
      throw;
    } catch (const Error &again) {
      EXPECT_EQ(&again, &e);
      if (id % 5 == 0) go::sleep_for(1us);
      EXPECT_EQ(again.v, id);
    }
    go::yield();
    EXPECT_EQ(std::current_exception(), now);
  }
  EXPECT_EQ(std::current_exception(), outside);
  EXPECT_EQ(std::uncaught_exceptions(), 0);
}

TEST_F(CppSwitch, InCatchBlocksAndDestructors) {
  go::run([] {
    Procs procs(8);
    go::chan<int> c(2);
    go::wait_group wg;
    for (int i = 0; i < Goroutines(Rounds(1000)); i++) {
      wg.spawn([i, &c] {
        for (int k = 0; k < 3; k++) Wander(i, i % 4, c);
      });
    }
    wg.wait();
  });
}

// Goroutines without exceptions see none of those of others that run on the same thread.
TEST_F(CppSwitch, OthersSeeNone) {
  go::run([] {
    Procs procs(2);
    go::wait_group wg;
    std::atomic<bool> stop{false};
    for (int i = 0; i < 4; i++) {
      wg.spawn([&] {
        while (!stop) {
          EXPECT_EQ(std::current_exception(), nullptr);
          EXPECT_EQ(std::uncaught_exceptions(), 0);
          go::yield();
        }
      });
    }
    for (int i = 0; i < Rounds(1000); i++) {
      go::wait_group one;
      one.spawn([] {
        try {
          throw Error(1);
        } catch (...) {
          go::yield();
        }
      });
      one.wait();
    }
    stop = true;
    wg.wait();
  });
}

// A fresh goroutine may begin on the stack, and thread, of one that ended within a catch block.
TEST_F(CppSwitch, AfterOneThatEndedInACatchBlock) {
  go::run([] {
    go::wait_group wg;
    for (int i = 0; i < Rounds(500); i++) {
      wg.spawn([i] {
        EXPECT_EQ(std::current_exception(), nullptr);
        EXPECT_EQ(std::uncaught_exceptions(), 0);
        try {
          throw Error(i);
        } catch (...) {
          if (i % 2 == 0) go::exit();
          go_panic("in a catch block");
        }
      });
    }
    wg.wait();
    EXPECT_EQ(g_handled.n, Rounds(500) / 2);
  });
}

// A thread that calls golib while it handles an exception still has it afterwards.
TEST_F(CppSwitch, OnPlainThreads) {
  try {
    throw Error(1);
  } catch (const Error &) {
    go::run([] { EXPECT_EQ(std::current_exception(), nullptr); });
    EXPECT_NE(std::current_exception(), nullptr);
    EXPECT_THROW(throw, Error);
  }
}

// The objects of exceptions may suspend when they go.
TEST_F(CppSwitch, InTheExceptionsDestructor) {
  struct Slow {
    Slow() = default;
    Slow(const Slow &) = default;
    ~Slow() { go::yield(); }
    Alive alive;
  };
  go::run([] {
    Procs procs(4);
    go::wait_group wg;
    for (int i = 0; i < Goroutines(Rounds(1000)); i++) {
      wg.spawn([] {
        try {
          throw Slow();
        } catch (const Slow &) {}
        EXPECT_EQ(std::current_exception(), nullptr);
      });
    }
    wg.wait();
  });
}

}  // namespace
