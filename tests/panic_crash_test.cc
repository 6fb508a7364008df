// Panics and misuse that end the process, and what is printed.

#include <golib/golib.h>

#include <csignal>
#include <thread>

#include "tests/support/child.h"

using golib_test::ChildResult;
using golib_test::RunChild;

namespace {

int RunMain(int (*fn)(int, char **)) { return go_main(fn, 0, nullptr); }

// Died loudly: by an abort, or with Go's exit status for fatal errors.
bool Died(const ChildResult &r) { return r.signal == SIGABRT || r.code == 2; }

GO_FUNC(worker_that_panics, (int, n)) {
  go_set_name("worker");
  go_panic("worker %d gives up", n);
}

// A panic in the first goroutine ends the process with status 2.
TEST(PanicCrash, InMain) {
  ChildResult r = RunChild(
      [] { return RunMain([](int, char **) -> int { go_panic("main gives up: %d", 7); }); });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("main gives up: 7")) << r;
  EXPECT_TRUE(r.Said("goroutine 1")) << r;
}

// Its deferred calls run before that.
TEST(PanicCrash, InMainRunsDefers) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) -> int {
      GO_DEFER([](void *) { fprintf(stderr, "deferred call ran\n"); }, nullptr);
      go_panic("main gives up");
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_EQ(r.Count("deferred call ran"), 1) << r;
}

// Status 2 also when the program's own handler is told.
TEST(PanicCrash, InMainWithHandler) {
  ChildResult r = RunChild([] {
    go_set_panic_handler([](const go_panic_info *i) { fprintf(stderr, "handler: %s\n", i->text); });
    return RunMain([](int, char **) -> int { go_panic("main gives up"); });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("handler: main gives up")) << r;
}

// A panic elsewhere is printed with message, name and spawn site, and the program goes on.
TEST(PanicCrash, InAnotherGoroutine) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      go_wg wg{};
      CHILD_CHECK(GO_WG(&wg, worker_that_panics, 3) == 0);
      go_wg_wait(&wg);
      CHILD_CHECK(GO(worker_that_panics, 4) == 0);
      while (go_count() > 1) go_yield();
      return 5;
    });
  });
  EXPECT_EQ(r.code, 5) << r;
  EXPECT_TRUE(r.Said("worker 3 gives up")) << r;
  EXPECT_TRUE(r.Said("worker 4 gives up")) << r;
  EXPECT_TRUE(r.Said("\"worker\"")) << r;
  EXPECT_TRUE(r.Said("worker_that_panics@")) << r;
  EXPECT_TRUE(r.Said("panic_crash_test.cc:")) << r;
}

// A panic in the handler is printed and goes no further.
TEST(PanicCrash, InTheHandler) {
  ChildResult r = RunChild([] {
    go_set_panic_handler([](const go_panic_info *) { go_panic("the handler gives up"); });
    return RunMain([](int, char **) {
      go_wg wg{};
      for (int i = 0; i < 3; i++) CHILD_CHECK(GO_WG(&wg, worker_that_panics, i) == 0);
      go_wg_wait(&wg);
      return 6;
    });
  });
  EXPECT_EQ(r.code, 6) << r;
  EXPECT_EQ(r.Count("the handler gives up"), 3) << r;
}

// In the handler for main's own panic.
TEST(PanicCrash, InTheHandlerForMain) {
  ChildResult r = RunChild([] {
    go_set_panic_handler([](const go_panic_info *) { go_panic("the handler gives up"); });
    return RunMain([](int, char **) -> int { go_panic("main gives up"); });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("the handler gives up")) << r;
}

// go_set_panic_handler(NULL) brings the default back.
TEST(PanicCrash, DefaultHandlerAgain) {
  ChildResult r = RunChild([] {
    go_set_panic_handler([](const go_panic_info *) { fprintf(stderr, "mine\n"); });
    go_set_panic_handler(nullptr);
    return RunMain([](int, char **) {
      go_wg wg{};
      CHILD_CHECK(GO_WG(&wg, worker_that_panics, 1) == 0);
      go_wg_wait(&wg);
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
  EXPECT_TRUE(r.Said("worker 1 gives up")) << r;
  EXPECT_FALSE(r.Said("mine")) << r;
}

// Go: TestPanicWhilePanicking, TestDoublePanic (runtime/crash_test.go): a chain of panics ends,
// with the last one named.
TEST(PanicCrash, PanicWhilePanicking) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) -> int {
      GO_DEFER([](void *) { go_panic("third"); }, nullptr);
      GO_DEFER([](void *) { go_panic("second"); }, nullptr);
      go_panic("first");
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("third")) << r;
}

// The report names the whole chain, oldest first, as Go's does.
TEST(PanicCrash, ReportsTheChain) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) -> int {
      GO_DEFER([](void *) { go_panic("third"); }, nullptr);
      GO_DEFER([](void *) { go_panic("second"); }, nullptr);
      GO_DEFER([](void *) { (void)go_try([](void *) { go_panic("caught"); }, nullptr, nullptr); },
               nullptr);
      go_panic("first");
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  size_t a = r.err.find("panic: first"), b = r.err.find("panic: second"),
         c = r.err.find("panic: third");
  EXPECT_LT(a, b) << r;
  EXPECT_LT(b, c) << r;
  EXPECT_NE(c, std::string::npos) << r;
  EXPECT_EQ(r.Count("panic: "), 3) << r;
  EXPECT_FALSE(r.Said("caught")) << r;
}

// The line after the one that names the goroutine.
std::string FirstFrame(const ChildResult &r) {
  size_t at = r.err.find("  in goroutine ");
  at = at == std::string::npos ? at : r.err.find('\n', at);
  if (at == std::string::npos) return "";
  return r.err.substr(at + 1, r.err.find('\n', at + 1) - at - 1);
}

__attribute__((noinline)) int Culprit(int n) { go_panic("culprit %d", n); }
static int value;
__attribute__((noinline)) int ValueCulprit() { go_panic_value(&value, "culprit"); }

// The backtrace begins with who panicked, and not with golib's insides: in main, elsewhere, with deferred
// calls in between, and by go_panic_value.
TEST(PanicCrash, BacktraceBeginsWithTheCulprit) {
  ChildResult r = RunChild([] { return RunMain([](int n, char **) { return Culprit(n); }); });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_NE(FirstFrame(r).find("Culprit"), std::string::npos) << r;
  r = RunChild([] {
    return RunMain([](int n, char **) {
      GO_DEFER([](void *) { go_yield(); }, nullptr);
      return Culprit(n);
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_NE(FirstFrame(r).find("Culprit"), std::string::npos) << r;
  r = RunChild([] { return RunMain([](int, char **) { return ValueCulprit(); }); });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_NE(FirstFrame(r).find("ValueCulprit"), std::string::npos) << r;
  r = RunChild(
      [] { return go_run([](void *) { (void)Culprit(3); }, nullptr) == GO_EPANIC ? 4 : 5; });
  EXPECT_EQ(r.code, 4) << r;
  EXPECT_NE(FirstFrame(r).find("Culprit"), std::string::npos) << r;
}

// A nested panic: with the one that ended the goroutine.
TEST(PanicCrash, BacktraceOfANestedPanic) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) -> int {
      GO_DEFER([](void *) { (void)Culprit(2); }, nullptr);
      go_panic("first");
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_NE(FirstFrame(r).find("Culprit"), std::string::npos) << r;
}

// Misuse that golib finds: with the function that was misused.
TEST(PanicCrash, BacktraceOfMisuse) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      go_chan_close(nullptr);
      return 0;
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_NE(FirstFrame(r).find("go_chan_close"), std::string::npos) << r;
}

// A handler that panics: its panic is reported after the one that it was told of, also when it does so deep in
// deferred calls of its own.
TEST(PanicCrash, InTheHandlersDefers) {
  ChildResult r = RunChild([] {
    go_set_panic_handler([](const go_panic_info *) {
      GO_DEFER([](void *) { go_panic("deferred by the handler"); }, nullptr);
      go_panic("the handler gives up");
    });
    return RunMain([](int, char **) {
      go_wg wg{};
      CHILD_CHECK(GO_WG(&wg, worker_that_panics, 1) == 0);
      go_wg_wait(&wg);
      return 6;
    });
  });
  EXPECT_EQ(r.code, 6) << r;
  EXPECT_EQ(r.Count("deferred by the handler"), 1) << r;
  EXPECT_LT(r.err.find("worker 1 gives up"), r.err.find("deferred by the handler")) << r;
}

// go_exit in the handler for main's panic: main has not returned, and the status is still that of a panic or a
// deadlock report (nobody is left).
TEST(PanicCrash, ExitInTheHandlerForMain) {
  SKIP_IF_DEADLOCKS_GO_UNSEEN();
  ChildResult r = RunChild([] {
    go_set_panic_handler([](const go_panic_info *) { go_exit(); });
    return RunMain([](int, char **) -> int { go_panic("main gives up"); });
  });
  EXPECT_EQ(r.code, 2) << r;
}

// Go: TestPanicDeadlockGosched (runtime/crash_test.go): in main, too, a deferred call may wait for
// others.
TEST(PanicCrash, DefersOfMainMaySuspend) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) -> int {
      GO_DEFER(
          [](void *) {
            go_yield();
            (void)go_sleep(nullptr, GO_MS);
            fprintf(stderr, "slept\n");
          },
          nullptr);
      go_panic("main gives up");
    });
  });
  EXPECT_EQ(r.code, 2) << r;
  EXPECT_TRUE(r.Said("slept")) << r;
  EXPECT_TRUE(r.Said("main gives up")) << r;
}

// On a plain thread without go_try a panic is fatal.
TEST(PanicCrash, OnAPlainThread) {
  ChildResult r = RunChild([]() -> int { go_panic("thread gives up"); });
  EXPECT_TRUE(Died(r)) << r;
  EXPECT_TRUE(r.Said("thread gives up")) << r;
}

TEST(PanicCrash, CloseTwiceOnAPlainThread) {
  ChildResult r = RunChild([] {
    go_chan *c = go_chan_new(1, 0);
    go_chan_close(c);
    go_chan_close(c);
    return 0;
  });
  EXPECT_TRUE(Died(r)) << r;
  EXPECT_TRUE(r.Said("close of closed channel")) << r;
}

TEST(PanicCrash, ExitOnAPlainThread) {
  ChildResult r = RunChild([]() -> int { go_exit(); });
  EXPECT_TRUE(Died(r)) << r;
  EXPECT_TRUE(r.Said("go_exit")) << r;
}

// Go: TestGoNil (runtime/proc_test.go): a fatal error, no panic that could be caught.
TEST(PanicCrash, SpawnOfNull) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      (void)go_try([](void *) { (void)!go_spawn(nullptr, nullptr); }, nullptr, nullptr);
      return 0;
    });
  });
  EXPECT_TRUE(Died(r)) << r;
  EXPECT_TRUE(r.Said("go")) << r;
}

// ---- GO_MAIN-like programs.

TEST(MainCrash, ExitStatusIsMainsValue) {
  for (int code : {0, 1, 42}) {
    ChildResult r = RunChild([code] {
      char arg = static_cast<char>(code);
      char *argv[] = {&arg, nullptr};
      return go_main([](int, char **v) { return static_cast<int>(v[0][0]); }, 1, argv);
    });
    EXPECT_EQ(r.code, code) << r;
    EXPECT_EQ(r.err, "") << "a program that ends well says nothing";
  }
}

// Go: when main returns the program ends; nobody waits for the other goroutines, whatever they do.
TEST(MainCrash, MainDoesNotWait) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      CHILD_CHECK(go_spawn([](void *) { (void)go_sleep(nullptr, GO_HOUR); }, nullptr) == 0);
      CHILD_CHECK(go_spawn([](void *) { (void)go_chan_recv(nullptr, nullptr); }, nullptr) == 0);
      CHILD_CHECK(go_spawn(
                      [](void *) {
                        for (;;) go_yield();
                      },
                      nullptr) == 0);
      (void)go_sleep(nullptr, 5 * GO_MS);
      CHILD_CHECK(go_id() == 1);
      return 4;
    });
  });
  EXPECT_EQ(r.code, 4) << r;
  EXPECT_EQ(r.err, "");
}

// go_config.main_thread: the first goroutine runs on the thread that called go_main, always.
TEST(MainCrash, OnTheMainThread) {
  ChildResult r = RunChild([] {
    go_config cfg{};
    cfg.main_thread = true;
    CHILD_CHECK(go_init(&cfg) == 0);
    static std::thread::id main_thread;
    main_thread = std::this_thread::get_id();
    return RunMain([](int, char **) {
      for (int i = 0; i < 100; i++) {
        CHILD_CHECK(std::this_thread::get_id() == main_thread);
        go_wg wg{};
        go_wg_add(&wg, 1);
        CHILD_CHECK(go_spawn([](void *p) { go_wg_done(static_cast<go_wg *>(p)); }, &wg) == 0);
        go_wg_wait(&wg);
        go_yield();
        if (i % 10 == 0) (void)go_sleep(nullptr, 100 * GO_US);
      }
      CHILD_CHECK(go_count() <= 2);
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

}  // namespace
