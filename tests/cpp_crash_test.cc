// golib.hpp: exceptions that end the process, and what is printed.

#include <golib/golib.hpp>

#include <csignal>
#include <stdexcept>
#include <thread>

#include "tests/support/child.h"

using golib_test::ChildResult;
using golib_test::RunChild;

namespace {

template <class F>
int Main(F f) {
  return go::main(0, nullptr, f);
}

struct Leaves {
  const char *what;
  ~Leaves() { fprintf(stderr, "left %s\n", what); }
};

// An exception that leaves the first goroutine's function is its panic: status 2, after destructors.
TEST(CppCrash, ExceptionInMain) {
  ChildResult r = RunChild([] {
    return Main([]() -> int {
      Leaves l{"main"};
      throw std::runtime_error("main gives up");
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("golib: panic: main gives up")) << r;
  EXPECT_TRUE(r.Said("goroutine 1")) << r;
  EXPECT_EQ(r.Count("left main"), 1) << r;
}

TEST(CppCrash, PanicInMain) {
  ChildResult r = RunChild([] {
    return Main([]() -> int {
      Leaves l{"main"};
      go_panic("main gives up: %d", 7);
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("golib: panic: main gives up: 7")) << r;
  EXPECT_EQ(r.Count("left main"), 1) << r;
}

// Elsewhere it is printed, and the program goes on.
TEST(CppCrash, ExceptionInAnotherGoroutine) {
  ChildResult r = RunChild([] {
    return Main([] {
      go::wait_group wg;
      wg.spawn([] {
        go_set_name("worker");
        throw std::runtime_error("gives up");
      });
      wg.spawn([] { throw 1.5; });
      wg.wait();
      fprintf(stderr, "main went on\n");
      return 5;
    });
  });
  EXPECT_EQ(r.code, 5) << r;
  EXPECT_TRUE(r.Said("golib: panic: gives up")) << r;
  EXPECT_TRUE(r.Said("\"worker\"")) << r;
  EXPECT_TRUE(r.Said("exception of type double")) << r;
  EXPECT_TRUE(r.Said("main went on")) << r;
}

// What was thrown as a panic still knows where.
__attribute__((noinline)) void PanicsHere() { go_panic("deep"); }
TEST(CppCrash, PanicsHaveABacktrace) {
  ChildResult r = RunChild([] {
    return Main([] {
      go::wait_group wg;
      wg.spawn([] {
        PanicsHere();
        fprintf(stderr, "not reached\n");
      });
      wg.wait();
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_TRUE(r.Said("golib: panic: deep")) << r;
  EXPECT_TRUE(r.Said("+0x")) << r;
}

TEST(CppCrash, ExitSwallowedByACatch) {
  ChildResult r = RunChild([] {
    return Main([] {
      go::wait_group wg;
      wg.spawn([] {
        try {
          go::exit();
        } catch (...) {}
        fprintf(stderr, "went on\n");
      });
      wg.wait();
      return 0;
    });
  });
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said("go_exit was caught by a catch (...)")) << r;
  EXPECT_FALSE(r.Said("went on")) << r;
}

TEST(CppCrash, ThroughNoexcept) {
  ChildResult r = RunChild([] {
    return Main([] {
      []() noexcept { go_panic("no way out"); }();
      return 0;
    });
  });
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said("no way out")) << r;
}

TEST(CppCrash, PanicOnAThreadThatNobodyCatches) {
  ChildResult r = RunChild([] {
    std::thread([] { go::chan<int>(nullptr).close(); }).join();
    return 0;
  });
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said("close of nil channel")) << r;
}

// A C function that has deferred a call, compiled without -fexceptions, calls back into C++.
__attribute__((noinline, no_sanitize("thread"))) void LikeC(void (*body)()) {
  go_defer_rec_ rec = {nullptr, [](void *) {}, nullptr};
  go_defer_push_(&rec);
  body();
  go_defer_run_(&rec);
}
TEST(CppCrash, ExceptionThroughDeferredCallsOfC) {
  ChildResult r = RunChild([] {
    return Main([] {
      go::wait_group wg;
      wg.spawn([] { LikeC([] { throw std::runtime_error("x"); }); });
      wg.wait();
      return 0;
    });
  });
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said("-fexceptions")) << r;
  r = RunChild([] {
    return Main([] {
      (void)go::try_([] { LikeC([] { throw std::runtime_error("x"); }); });
      return 0;
    });
  });
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said("-fexceptions")) << r;
}

TEST(CppCrash, UnlockOfAnUnlockedMutex) {
  ChildResult r = RunChild([] {
    return Main([] {
      go::mutex m;
      m.unlock();
      return 0;
    });
  });
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(r.Said("unlocked mutex")) << r;
}

// All wait for ever: as in C.
TEST(CppCrash, Deadlock) {
  SKIP_IF_DEADLOCKS_GO_UNSEEN();
  ChildResult r = RunChild([] {
    return Main([] {
      (void)go::chan<std::string>().recv();
      return 0;
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("chan receive")) << r;
}

}  // namespace
