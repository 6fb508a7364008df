// Deferred calls, panics, go_try, go_exit, and how they meet.

#include <algorithm>
#include <cstdio>

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

// What happened, in order. Plain bytes: nothing here has a destructor that a panic could skip.
struct Trace {
  char text[256];
  std::atomic<int> n;
  void Add(char c) {
    size_t at = static_cast<size_t>(n++);
    if (at < sizeof text) text[at] = c;
  }
  std::string str() {
    return std::string(text, std::min(static_cast<size_t>(n.load()), sizeof text));
  }
};
Trace g_trace;
void Reset() {
  g_trace.n = 0;
  memset(g_trace.text, 0, sizeof g_trace.text);
}
void Note(void *p) { g_trace.Add(*static_cast<const char *>(p)); }
#define DEFER_NOTE(letter)             \
  char GO_UNIQUE_(letter_)[] = letter; \
  GO_DEFER(Note, GO_UNIQUE_(letter_))
void Say(char c) { g_trace.Add(c); }

class Defer : public testing::Test {
 protected:
  void SetUp() override { Reset(); }
};
class Panic : public Defer {};
class Exit : public Defer {
 protected:
  // Runs f as a goroutine of its own and waits until it has ended.
  template <class F>
  void InGoroutine(F f) {
    RunGo([&f] {
      go_wg wg{};
      SPAWN_WG(&wg, [&f] { f(); });
      go_wg_wait(&wg);
    });
  }
};

// ---- GO_DEFER.

TEST_F(Defer, LastFirstAtTheEndOfTheBlock) {
  RunGo([] {
    {
      DEFER_NOTE("1");
      DEFER_NOTE("2");
      DEFER_NOTE("3");
      Say('x');
    }
    Say('y');
  });
  EXPECT_EQ(g_trace.str(), "x321y");
}

int ReturnsEarly(bool early) {
  DEFER_NOTE("a");
  if (early) {
    DEFER_NOTE("b");
    return 1;
  }
  DEFER_NOTE("c");
  return 2;
}
TEST_F(Defer, OnReturn) {
  RunGo([] {
    EXPECT_EQ(ReturnsEarly(true), 1);
    Say('|');
    EXPECT_EQ(ReturnsEarly(false), 2);
  });
  EXPECT_EQ(g_trace.str(), "ba|ca");
}

TEST_F(Defer, OnBreakContinueAndGoto) {
  RunGo([] {
    for (int i = 0; i < 3; i++) {
      DEFER_NOTE("d");
      if (i == 0) continue;
      Say('0');
      if (i == 1) break;
    }
    Say('|');
    int twice = 0;
  again : {
    DEFER_NOTE("g");
    if (++twice < 2) goto again;
    goto out;
  }
  out:
    Say('e');
  });
  EXPECT_EQ(g_trace.str(), "d0d|gge");
}

TEST_F(Defer, InALoopBody) {
  RunGo([] {
    for (int i = 0; i < 100000; i++) {
      GO_DEFER([](void *) {}, nullptr);
    }
  });
}

TEST_F(Defer, MaySuspend) {
  RunGo([] {
    static Chan<int> *out;
    Chan<int> c(0);
    out = &c;
    go_wg wg{};
    SPAWN_WG(&wg, [] {
      GO_DEFER([](void *) { out->Send(2); }, nullptr);
      GO_DEFER([](void *) { go_yield(); }, nullptr);
      GO_DEFER([](void *) { (void)go_sleep(nullptr, GO_MS); }, nullptr);
      out->Send(1);
    });
    EXPECT_EQ(c.Take(), 1);
    EXPECT_EQ(c.Take(), 2);
    go_wg_wait(&wg);
  });
}

TEST_F(Defer, OnAPlainThread) {
  {
    DEFER_NOTE("p");
    Say('x');
  }
  EXPECT_EQ(g_trace.str(), "xp");
  EXPECT_EQ(ReturnsEarly(true), 1);
  EXPECT_EQ(g_trace.str(), "xpba");
}

// ---- Panic and go_try.

TEST_F(Panic, TryReturnsZeroWithoutOne) {
  RunGo([] {
    go_panic_info info;
    memset(&info, 0x77, sizeof info);
    char before = info.text[0];
    EXPECT_EQ(go_try([](void *) { Say('x'); }, nullptr, &info), 0);
    EXPECT_EQ(info.text[0], before) << "untouched";
    EXPECT_EQ(go_try([](void *) { Say('y'); }, nullptr, nullptr), 0);
  });
  EXPECT_EQ(g_trace.str(), "xy");
}

TEST_F(Panic, CarriesItsMessage) {
  RunGo([] {
    Caught c = Catch([] { go_panic("number %d, text %s", 42, "abc"); });
    EXPECT_EQ(c.rc, GO_EPANIC);
    EXPECT_EQ(c.text(), "number 42, text abc");
    EXPECT_EQ(c.info.value, nullptr);
    EXPECT_EQ(c.info.goroutine, go_id());
    EXPECT_STREQ(c.info.name, "");
    EXPECT_NE(c.info.site, nullptr);
  });
}

TEST_F(Panic, CarriesItsValue) {
  RunGo([] {
    static int value;
    Caught c = Catch([] { go_panic_value(&value, "an int"); });
    EXPECT_EQ(c.rc, GO_EPANIC);
    EXPECT_EQ(c.info.value, &value);
    EXPECT_EQ(c.text(), "an int");
  });
}

TEST_F(Panic, LongMessagesAreCut) {
  RunGo([] {
    static char lots[2000];
    memset(lots, 'm', sizeof lots - 1);
    Caught c = Catch([] { go_panic("%s", lots); });
    EXPECT_EQ(c.rc, GO_EPANIC);
    size_t n = strnlen(c.info.text, sizeof c.info.text);
    EXPECT_LT(n, sizeof c.info.text) << "ends with a NUL";
    EXPECT_GT(n, 200u);
    EXPECT_EQ(c.text(), std::string(n, 'm'));
  });
}

TEST_F(Panic, TellsWhereTheGoroutineWasStarted) {
  RunGo([] {
    static Chan<go_panic_info> *out;
    Chan<go_panic_info> infos(0);
    out = &infos;
    auto worker = +[](void *) {
      Caught c = Catch([] { go_panic("where"); });
      out->Send(c.info);
    };
    EXPECT_EQ(go_spawn(worker, nullptr), 0);
    int line = __LINE__ - 1;
    go_panic_info info = infos.Take();
    std::string site = info.site;
    EXPECT_EQ(site.rfind("worker@", 0), 0u) << site;
    EXPECT_NE(site.find("panic_test.cc:" + std::to_string(line)), std::string::npos) << site;
  });
}

int Deep(int n) {
  if (n < 0) return 0;
  DEFER_NOTE("d");
  if (n == 0) go_panic("bottom");
  return Deep(n - 1) + 1;
}
TEST_F(Panic, RunsTheDefersOfAllFrames) {
  RunGo([] {
    EXPECT_TRUE(Panics([] {
      DEFER_NOTE("o");
      (void)Deep(4);
      Say('!');
    }));
    Say('.');
  });
  EXPECT_EQ(g_trace.str(), "dddddo.");
}

TEST_F(Panic, OnlyTheDefersInsideTheTry) {
  RunGo([] {
    DEFER_NOTE("z");
    EXPECT_TRUE(Panics([] {
      DEFER_NOTE("i");
      go_panic("x");
    }));
    Say('|');
  });
  EXPECT_EQ(g_trace.str(), "i|z");
}

TEST_F(Panic, TriesNest) {
  RunGo([] {
    Caught outer = Catch([] {
      DEFER_NOTE("o");
      Caught inner = Catch([] {
        DEFER_NOTE("i");
        go_panic("inner");
      });
      Say(inner.text() == "inner" ? '+' : '-');
      (void)Catch([] { Say('n'); });
      go_panic("outer");
    });
    EXPECT_EQ(outer.text(), "outer");
  });
  EXPECT_EQ(g_trace.str(), "i+no");
}

// Go: repanic: what was caught can be thrown on.
TEST_F(Panic, CanBePassedOn) {
  RunGo([] {
    static int value;
    Caught outer = Catch([] {
      static Caught inner;
      inner = Catch([] { go_panic_value(&value, "first"); });
      go_panic_value(inner.info.value, inner.info.text);
    });
    EXPECT_EQ(outer.info.value, &value);
    EXPECT_EQ(outer.text(), "first");
  });
}

// After a caught panic the goroutine is as good as new, any number of times.
TEST_F(Panic, ManyTimes) {
  RunGo([] {
    for (int i = 0; i < Rounds(50000); i++) {
      go_panic_info info;
      int rc = go_try([](void *p) { go_panic("%d", *static_cast<int *>(p)); }, &i, &info);
      if (rc != GO_EPANIC || atoi(info.text) != i) {
        ADD_FAILURE() << rc << " " << info.text;
        break;
      }
    }
  });
}

// Callee-saved registers and locals are what they were at go_try.
TEST_F(Panic, LocalsSurvive) {
  RunGo([] {
    uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7;
    double x = 0.5, y = 1.5;
    for (int i = 0; i < 1000; i++) {
      bool caught = Panics([] { go_panic("x"); });
      a += b;
      c += d;
      e += f;
      g += caught ? 1 : 0;
      x += y;
    }
    EXPECT_EQ(a, 2001u);
    EXPECT_EQ(c, 4003u);
    EXPECT_EQ(e, 6005u);
    EXPECT_EQ(g, 1007u);
    EXPECT_EQ(x, 1500.5);
  });
}

TEST_F(Panic, AcrossSuspensions) {
  RunGo([] {
    Procs procs(4);
    static Chan<int> *to;
    Chan<int> c(0);
    to = &c;
    go_wg wg{};
    std::atomic<int> caught{0};
    for (int i = 0; i < 50; i++) {
      SPAWN_WG(&wg, [&caught] {
        Caught k = Catch([] {
          GO_DEFER([](void *) { go_yield(); }, nullptr);
          int v = to->Take();
          go_yield();
          go_panic("%d", v);
        });
        caught += atoi(k.info.text);
      });
    }
    for (int i = 0; i < 50; i++) c.Send(i);
    go_wg_wait(&wg);
    EXPECT_EQ(caught, 1225);
  });
}

// Go: TestPanicDeadlockGosched, TestPanicDeadlockSyscall (runtime/crash_test.go): a deferred
// function that yields, sleeps or communicates while its goroutine panics; the panic goes on
// afterwards.
TEST_F(Panic, DefersMaySuspendWhilePanicking) {
  RunGo([] {
    static Chan<int> *out;
    Chan<int> c(0);
    out = &c;
    go_wg wg{};
    SPAWN_WG(&wg, [] {
      EXPECT_TRUE(Panics([] {
        GO_DEFER([](void *) { out->Send(3); }, nullptr);
        GO_DEFER([](void *) { (void)go_sleep(nullptr, GO_MS); }, nullptr);
        GO_DEFER([](void *) { go_yield(); }, nullptr);
        go_panic("x");
      }));
      out->Send(4);
    });
    EXPECT_EQ(c.Take(), 3);
    EXPECT_EQ(c.Take(), 4);
    go_wg_wait(&wg);
  });
}

// Go: TestRecursivePanic (runtime/crash_test.go): a panic in a deferred call replaces the one in
// progress; each deferred call runs once.
TEST_F(Panic, InADeferredCall) {
  RunGo([] {
    Caught c = Catch([] {
      DEFER_NOTE("1");
      GO_DEFER(
          [](void *) {
            Say('p');
            go_panic("second");
          },
          nullptr);
      DEFER_NOTE("2");
      go_panic("first");
    });
    EXPECT_EQ(c.rc, GO_EPANIC);
    EXPECT_EQ(c.text(), "second");
  });
  EXPECT_EQ(g_trace.str(), "2p1");
}

// Go: TestRecursivePanic2 and on: a panic that is caught within a deferred call does not disturb
// the one in progress.
TEST_F(Panic, CaughtInADeferredCall) {
  RunGo([] {
    Caught c = Catch([] {
      DEFER_NOTE("1");
      GO_DEFER(
          [](void *) {
            Caught inner = Catch([] {
              DEFER_NOTE("i");
              go_panic("inner");
            });
            Say(inner.text() == "inner" ? '+' : '-');
          },
          nullptr);
      go_panic("outer");
    });
    EXPECT_EQ(c.text(), "outer");
  });
  EXPECT_EQ(g_trace.str(), "i+1");
}

// Caught within go_try, with a deferred call in between that catches, panics, is caught, and panics
// on: Go: TestRepanickedPanic, recover and panic again.
TEST_F(Panic, CaughtAndRaisedAgainInADeferredCall) {
  RunGo([] {
    static int value;
    Caught c = Catch([] {
      DEFER_NOTE("1");
      GO_DEFER(
          [](void *) {
            static Caught inner;
            inner = Catch([] { go_panic_value(&value, "inner"); });
            Say(inner.info.value == &value ? '+' : '-');
            go_panic_value(inner.info.value, inner.info.text);
          },
          nullptr);
      go_panic("outer");
    });
    EXPECT_EQ(c.text(), "inner");
    EXPECT_EQ(c.info.value, &value);
    EXPECT_TRUE(Panics([] { go_panic("again"); })) << "nothing is left in progress";
  });
  EXPECT_EQ(g_trace.str(), "+1");
}

// Three deep: each go_try catches what was raised within it, and only that.
TEST_F(Panic, TriesWithinDefersWithinTries) {
  RunGo([] {
    Caught a = Catch([] {
      GO_DEFER(
          [](void *) {
            Caught b = Catch([] {
              GO_DEFER(
                  [](void *) {
                    Caught c = Catch([] { go_panic("c"); });
                    Say(c.text()[0]);
                  },
                  nullptr);
              go_panic("b");
            });
            Say(b.text()[0]);
          },
          nullptr);
      go_panic("a");
    });
    Say(a.text()[0]);
  });
  EXPECT_EQ(g_trace.str(), "cba");
}

// A panic through mutexes, a wait group and a channel's user, all given back by deferred calls, caught
// twice on its way: nothing stays held, any number of times.
TEST_F(Panic, LeavesNothingHeld) {
  RunGo([] {
    static go_mutex mu[2];
    static go_wg wg;
    memset(mu, 0, sizeof mu);
    memset(&wg, 0, sizeof wg);
    auto unlock = [](void *m) { go_mutex_unlock(static_cast<go_mutex *>(m)); };
    for (int i = 0; i < Rounds(1000); i++) {
      Caught k = Catch([unlock] {
        go_mutex_lock(&mu[0]);
        GO_DEFER(unlock, &mu[0]);
        go_wg_add(&wg, 1);
        GO_DEFER([](void *w) { go_wg_done(static_cast<go_wg *>(w)); }, &wg);
        Caught inner = Catch([unlock] {
          go_mutex_lock(&mu[1]);
          GO_DEFER(unlock, &mu[1]);
          go_yield();
          go_panic("inner");
        });
        go_panic("%s, outer", inner.info.text);
      });
      EXPECT_EQ(k.text(), "inner, outer");
    }
    EXPECT_TRUE(go_mutex_trylock(&mu[0]));
    EXPECT_TRUE(go_mutex_trylock(&mu[1]));
    go_wg_wait(&wg);
  });
}

// A deferred call that panics after a normal return.
TEST_F(Panic, InADeferredCallAfterReturn) {
  RunGo([] {
    Caught c = Catch([] {
      DEFER_NOTE("1");
      GO_DEFER([](void *) { go_panic("late"); }, nullptr);
      DEFER_NOTE("2");
    });
    EXPECT_EQ(c.text(), "late");
  });
  EXPECT_EQ(g_trace.str(), "21");
}

TEST_F(Panic, OnAPlainThreadInsideTry) {
  Caught c = Catch([] {
    DEFER_NOTE("t");
    go_panic("thread %d", 1);
  });
  EXPECT_EQ(c.rc, GO_EPANIC);
  EXPECT_EQ(c.text(), "thread 1");
  EXPECT_EQ(c.info.goroutine, 0u);
  EXPECT_STREQ(c.info.site, "");
  EXPECT_EQ(g_trace.str(), "t");
}

TEST_F(Panic, OnASmallStack) {
  RunGo([] {
    go_spawn_opts o{};
    o.stack_size = 32 << 10;
    go_wg wg{};
    go_wg_add(&wg, 1);
    EXPECT_EQ(SpawnOptAt("small", o,
                         [&wg] {
                           EXPECT_TRUE(Panics([] { go_panic("%s %d", "small", 1); }));
                           go_wg_done(&wg);
                         }),
              0);
    go_wg_wait(&wg);
  });
}

// ---- The panic handler.

struct Handled {
  std::atomic<int> n{0};
  go_panic_info last{};
};
Handled g_handled;

class Handler : public Defer {
 protected:
  void SetUp() override {
    Defer::SetUp();
    g_handled.n = 0;
    go_set_panic_handler([](const go_panic_info *info) {
      g_handled.last = *info;
      Say('H');
      g_handled.n++;
    });
  }
  void TearDown() override { go_set_panic_handler(nullptr); }
};

TEST_F(Handler, IsToldAndOthersGoOn) {
  RunGo([] {
    go_wg wg{};
    Chan<int> c(0);
    uint64_t id = 0;
    SPAWN_WG(&wg, [&] {
      go_set_name("doomed");
      id = go_id();
      DEFER_NOTE("d");
      go_panic("reason %d", 3);
    });
    SPAWN_WG(&wg, [&] { c.Send(1); });
    EXPECT_EQ(c.Take(), 1);
    go_wg_wait(&wg);
    EXPECT_EQ(g_handled.n, 1);
    EXPECT_STREQ(g_handled.last.text, "reason 3");
    EXPECT_STREQ(g_handled.last.name, "doomed");
    EXPECT_EQ(g_handled.last.goroutine, id);
    EXPECT_NE(std::string(g_handled.last.site).find("panic_test.cc:"), std::string::npos);
  });
  EXPECT_EQ(g_trace.str(), "dH") << "after the deferred calls";
}

TEST_F(Handler, NotToldOfWhatIsCaught) {
  RunGo([] { EXPECT_TRUE(Panics([] { go_panic("x"); })); });
  EXPECT_EQ(g_handled.n, 0);
}

// A panic in go_run's goroutine: the handler is told and go_run says so.
TEST_F(Handler, WithGoRun) {
  EXPECT_EQ(TryRunGo([] { go_panic_value(&g_handled, "value"); }), GO_EPANIC);
  EXPECT_EQ(g_handled.n, 1);
  EXPECT_EQ(g_handled.last.value, &g_handled);
}

TEST_F(Handler, RunsOnTheGoroutineAndMaySuspend) {
  static std::atomic<uint64_t> on;
  static Chan<int> *out;
  on = 0;
  Chan<int> c(0);
  out = &c;
  go_set_panic_handler([](const go_panic_info *) {
    go_yield();
    on = go_id();
    out->Send(1);
  });
  RunGo([&c] {
    std::atomic<uint64_t> id{0};
    go_wg wg{};
    SPAWN_WG(&wg, [&id] {
      id = go_id();
      go_panic("x");
    });
    EXPECT_EQ(c.Take(), 1);
    go_wg_wait(&wg);
    EXPECT_EQ(on, id);
  });
}

// A panic in the handler goes no further. (That it is printed: panic_crash_test.cc.)
TEST_F(Handler, MayPanicItself) {
  go_set_panic_handler([](const go_panic_info *) {
    g_handled.n++;
    go_panic("handler");
  });
  testing::internal::CaptureStderr();
  RunGo([] {
    go_wg wg{};
    for (int i = 0; i < 10; i++) SPAWN_WG(&wg, [] { go_panic("x"); });
    go_wg_wait(&wg);
  });
  (void)testing::internal::GetCapturedStderr();
  EXPECT_EQ(g_handled.n, 10);
}

// go_exit in the handler ends the goroutine, as it does anywhere.
TEST_F(Handler, MayExit) {
  go_set_panic_handler([](const go_panic_info *) {
    g_handled.n++;
    go_exit();
  });
  RunGo([] {
    go_wg wg{};
    for (int i = 0; i < 10; i++) SPAWN_WG(&wg, [] { go_panic("x"); });
    go_wg_wait(&wg);
  });
  EXPECT_EQ(g_handled.n, 10);
}

// The handler may start goroutines and wait for them.
TEST_F(Handler, MaySpawn) {
  go_set_panic_handler([](const go_panic_info *) {
    go_wg wg{};
    for (int i = 0; i < 3; i++) SPAWN_WG(&wg, [] { g_handled.n++; });
    go_wg_wait(&wg);
  });
  EXPECT_EQ(TryRunGo([] { go_panic("x"); }), GO_EPANIC);
  EXPECT_EQ(g_handled.n, 3);
}

TEST_F(Handler, ManyAtOnce) {
  go_set_panic_handler([](const go_panic_info *) { g_handled.n++; });
  RunGo([] {
    Procs procs(4);
    go_wg wg{};
    std::atomic<int> survivors{0};
    constexpr int n = Rounds(2000);
    for (int i = 0; i < n; i++) {
      SPAWN_WG(&wg, [] {
        go_yield();
        GO_DEFER([](void *) { go_yield(); }, nullptr);
        go_panic("one of many");
      });
      SPAWN_WG(&wg, [&] {
        go_yield();
        survivors++;
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(survivors, n);
  });
  EXPECT_EQ(g_handled.n, Rounds(2000));
}

// ---- go_exit.

// Go: TestGoexitDefer (runtime/proc_test.go).
TEST_F(Exit, RunsTheDefers) {
  InGoroutine([] {
    DEFER_NOTE("1");
    DEFER_NOTE("2");
    go_exit();
    Say('!');
  });
  EXPECT_EQ(g_trace.str(), "21");
}

__attribute__((noinline)) void ExitsDeep(int n) {
  if (n < 0) return;
  DEFER_NOTE("e");
  if (n == 0) go_exit();
  ExitsDeep(n - 1);
  Say('!');
}
TEST_F(Exit, FromDeepInside) {
  InGoroutine([] { ExitsDeep(3); });
  EXPECT_EQ(g_trace.str(), "eeee");
}

// go_try is no boundary for it.
TEST_F(Exit, PassesThroughTry) {
  InGoroutine([] {
    DEFER_NOTE("o");
    (void)Panics([] {
      DEFER_NOTE("i");
      go_exit();
    });
    Say('!');
  });
  EXPECT_EQ(g_trace.str(), "io");
}

// Go: TestGoexitInPanic (runtime/crash_test.go): go_exit in a deferred call ends the panic in
// progress: the handler is not told, and the rest of the deferred calls run, once.
TEST_F(Exit, InADeferredCallEndsThePanic) {
  g_handled.n = 0;
  go_set_panic_handler([](const go_panic_info *) { g_handled.n++; });
  InGoroutine([] {
    DEFER_NOTE("1");
    GO_DEFER(
        [](void *) {
          Say('x');
          go_exit();
        },
        nullptr);
    DEFER_NOTE("2");
    go_panic("gone");
  });
  go_set_panic_handler(nullptr);
  EXPECT_EQ(g_trace.str(), "2x1");
  EXPECT_EQ(g_handled.n, 0);
}

// Go: TestPanicAfterGoexit (runtime/crash_test.go): a panic in a deferred call of an exiting
// goroutine is a panic.
TEST_F(Exit, PanicWhileExiting) {
  g_handled.n = 0;
  go_set_panic_handler([](const go_panic_info *i) {
    g_handled.last = *i;
    g_handled.n++;
  });
  InGoroutine([] {
    DEFER_NOTE("1");
    GO_DEFER([](void *) { go_panic("while exiting"); }, nullptr);
    go_exit();
  });
  go_set_panic_handler(nullptr);
  EXPECT_EQ(g_trace.str(), "1");
  EXPECT_EQ(g_handled.n, 1);
  EXPECT_STREQ(g_handled.last.text, "while exiting");
}

// Go: TestRecoverInPanicAfterGoexit, TestRecoverBeforePanicAfterGoexit (runtime/crash_test.go):
// catching a panic in a deferred call does not bring an exiting goroutine back.
TEST_F(Exit, CaughtPanicWhileExiting) {
  InGoroutine([] {
    DEFER_NOTE("1");
    GO_DEFER([](void *) { Say(Panics([] { go_panic("caught"); }) ? '+' : '-'); }, nullptr);
    DEFER_NOTE("2");
    go_exit();
    Say('!');
  });
  EXPECT_EQ(g_trace.str(), "2+1");
}

// A go_try outside of the exiting frames: a panic raised by a deferred call while go_exit passes
// through a go_try.
TEST_F(Exit, PanicWhileExitingInsideTry) {
  InGoroutine([] {
    DEFER_NOTE("o");
    (void)Panics([] {
      GO_DEFER([](void *) { (void)Panics([] { go_panic("in between"); }); }, nullptr);
      DEFER_NOTE("i");
      go_exit();
    });
    Say('!');
  });
  EXPECT_EQ(g_trace.str(), "io") << "the goroutine ends";
}

// In a deferred call of a panic that a go_try outside would catch: the goroutine ends all the same,
// with all deferred calls run, once, and nobody is told of a panic.
TEST_F(Exit, InADeferredCallOfAPanicInsideTry) {
  g_handled.n = 0;
  go_set_panic_handler([](const go_panic_info *) { g_handled.n++; });
  InGoroutine([] {
    DEFER_NOTE("o");
    auto exits = [](void *) {
      DEFER_NOTE("x");
      go_exit();
    };
    (void)Panics([exits] {
      DEFER_NOTE("1");
      GO_DEFER(exits, nullptr);
      DEFER_NOTE("2");
      go_panic("gone");
    });
    Say('!');
  });
  go_set_panic_handler(nullptr);
  EXPECT_EQ(g_trace.str(), "2x1o");
  EXPECT_EQ(g_handled.n, 0);
}

// Inside the go_try of a deferred call, during a panic.
TEST_F(Exit, InsideTryInADeferredCallOfAPanic) {
  InGoroutine([] {
    DEFER_NOTE("o");
    GO_DEFER([](void *) { (void)Panics([] { go_exit(); }); }, nullptr);
    go_panic("gone");
  });
  EXPECT_EQ(g_trace.str(), "o");
}

TEST_F(Exit, Twice) {
  InGoroutine([] {
    DEFER_NOTE("1");
    GO_DEFER(
        [](void *) {
          Say('x');
          go_exit();
        },
        nullptr);
    DEFER_NOTE("2");
    go_exit();
  });
  EXPECT_EQ(g_trace.str(), "2x1");
}

TEST_F(Exit, DefersMaySuspend) {
  InGoroutine([] {
    DEFER_NOTE("1");
    GO_DEFER(
        [](void *) {
          go_yield();
          (void)go_sleep(nullptr, GO_MS);
          Say('s');
        },
        nullptr);
    go_exit();
  });
  EXPECT_EQ(g_trace.str(), "s1");
}

TEST_F(Exit, OfManyGoroutines) {
  RunGo([] {
    Procs procs(4);
    go_wg wg{};
    static std::atomic<int> deferred;
    deferred = 0;
    constexpr int n = Goroutines(10000);
    for (int i = 0; i < n; i++) {
      SPAWN_WG(&wg, [i] {
        GO_DEFER([](void *) { deferred++; }, nullptr);
        if (i % 2 == 0) go_yield();
        if (i % 3 == 0) go_exit();
      });
    }
    go_wg_wait(&wg);
    EXPECT_EQ(deferred, n);
  });
}

}  // namespace
