// Stack overflows, faults that are not ours, and running out of things.

#include <golib/golib.h>
#include <unistd.h>
#if !defined(_WIN32)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <regex>
#include <thread>
#include <vector>

#include "tests/support/child.h"
#include "tests/support/golib_test.h"

using golib_test::ChildResult;
using golib_test::kAsan;
using golib_test::kSanitized;
using golib_test::kTsan;
using golib_test::RunChild;

namespace {

// The usual stacks: tools/emu gives emulated programs smaller ones.
[[maybe_unused]] const int kUsual = golib_test::UnsetEnv("GOLIB_STACK");

int RunMain(int (*fn)(int, char **)) { return go_main(fn, 0, nullptr); }

// ---- Go: TestStackOverflow (runtime/crash_test.go).

__attribute__((noinline)) int Endless(int n) {
  volatile char frame[256];
  frame[0] = static_cast<char>(n);
  return n < 0 ? 0 : Endless(n + 1) + frame[0];
}

GO_FUNC(overflows) {
  go_set_name("deep one");
  (void)Endless(0);
}

// The report: number, name, size, where it was started; then an abort.
void ExpectOverflow(const ChildResult &r, const std::string &pattern) {
  EXPECT_EQ(r.signal, SIGABRT) << r;
  EXPECT_TRUE(std::regex_search(r.err, std::regex(pattern))) << r;
}

const char *DefaultSize() { return kTsan || kAsan ? "1 MiB" : "64 MiB"; }

TEST(StackOverflow, IsReportedByName) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      CHILD_CHECK(GO(overflows) == 0);
      (void)go_sleep(nullptr, GO_HOUR);
      return 0;
    });
  });
  ExpectOverflow(r, std::string("golib: stack overflow: goroutine [0-9]+ \"deep one\" exceeded ") +
                        DefaultSize() +
                        " \\(spawned at overflows@.*stack_crash_test\\.cc:[0-9]+\\)");
}

TEST(StackOverflow, InMain) {
  ChildResult r = RunChild([] { return RunMain([](int, char **) { return Endless(0); }); });
  ExpectOverflow(r, std::string("golib: stack overflow: goroutine 1 .*exceeded ") + DefaultSize());
}

TEST(StackOverflow, InMainOnTheMainThread) {
  ChildResult r = RunChild([] {
    go_config cfg{};
    cfg.main_thread = true;
    CHILD_CHECK(go_init(&cfg) == 0);
    return RunMain([](int, char **) { return Endless(0); });
  });
  ExpectOverflow(r, "golib: stack overflow: goroutine 1 ");
}

TEST(StackOverflow, OfSmallStacks) {
  struct {
    size_t size;
    const char *text;
  } rows[] = {{16 << 10, golib_test::kWindows ? "128 KiB" : "16 KiB"},  // room for the report
              {64 << 10, golib_test::kWindows ? "128 KiB" : "64 KiB"},
              {2 << 20, "2 MiB"},
              {4 << 20, "4 MiB"},
              {100 << 20, "128 MiB"}};
  for (const auto &row : rows) {
    if (kSanitized && row.size > (1 << 20)) continue;
    ChildResult r = RunChild([&row] {
      static go_spawn_opts o;
      o.stack_size = row.size;
      o.name = "sized";
      return RunMain([](int, char **) {
        CHILD_CHECK(go_spawn_opt(
                        &o, [](void *) { (void)Endless(0); }, nullptr, 0) == 0);
        (void)go_sleep(nullptr, GO_HOUR);
        return 0;
      });
    });
    ExpectOverflow(
        r, std::string("golib: stack overflow: goroutine [0-9]+ \"sized\" exceeded ") + row.text);
  }
}

// Frames of a page and more: the guard is hit, not stepped over.
template <size_t Size>
__attribute__((noinline)) int EndlessWide(int n) {
  volatile char frame[Size];
  frame[0] = static_cast<char>(n);
  return n < 0 ? 0 : EndlessWide<Size>(n + 1) + frame[0];
}
TEST(StackOverflow, WithWideFrames) {
  if (kSanitized) GTEST_SKIP() << "frames are instrumented";
  int (*forms[])(int) = {EndlessWide<4096>, EndlessWide<16384>, EndlessWide<50000>};
  for (auto f : forms) {
    ChildResult r = RunChild([f] {
      static int (*form)(int);
      form = f;
      return RunMain([](int, char **) { return form(0); });
    });
    ExpectOverflow(r, "golib: stack overflow: goroutine 1 .*exceeded 64 MiB");
  }
}

// Neighbours are not hurt before the report: they write their stacks all the time and check them.
TEST(StackOverflow, HurtsNobodyElse) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      for (int i = 0; i < 20; i++) {
        CHILD_CHECK(go_spawn(
                        [](void *) {
                          volatile char mine[4096];
                          for (char n = 0;; n++) {
                            for (volatile char &c : mine) c = n;
                            go_yield();
                            for (volatile char &c : mine) CHILD_CHECK(c == n);
                          }
                        },
                        nullptr) == 0);
      }
      for (int i = 0; i < 100; i++) go_yield();
      CHILD_CHECK(GO(overflows) == 0);
      for (;;) go_yield();
      return 0;
    });
  });
  ExpectOverflow(r, "golib: stack overflow: goroutine [0-9]+ \"deep one\"");
}

// An overflow of a goroutine that was deep before and is again; of one on a stack that was deep
// before.
TEST(StackOverflow, OnAReusedDeepStack) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      for (int i = 0; i < 5; i++) {
        go_wg wg{};
        go_wg_add(&wg, 1);
        CHILD_CHECK(go_spawn(
                        [](void *p) {
                          struct Local {
                            static __attribute__((noinline)) int Deep(int n) {
                              volatile char frame[4096];
                              frame[0] = 1;
                              return n == 0 ? 0 : Deep(n - 1) + frame[0];
                            }
                          };
                          CHILD_CHECK(Local::Deep(kSanitized ? 20 : 4000) >= 0);
                          go_wg_done(static_cast<go_wg *>(p));
                        },
                        &wg) == 0);
        go_wg_wait(&wg);
      }
      CHILD_CHECK(GO(overflows) == 0);
      (void)go_sleep(nullptr, GO_HOUR);
      return 0;
    });
  });
  ExpectOverflow(r, "golib: stack overflow: goroutine [0-9]+ \"deep one\"");
}

// ---- Faults that are none of golib's.

[[noreturn]] void Scream(const void *addr) {
  const char text[] = "the program's own handler\n";
  (void)!write(2, text, sizeof text - 1);
  _exit(addr == reinterpret_cast<void *>(16) ? 42 : 43);
}
char *g_page;
constexpr size_t kPage = 4096;
#if defined(_WIN32)
const void *AddressOf(const EXCEPTION_POINTERS *x) {
  return reinterpret_cast<void *>(x->ExceptionRecord->ExceptionInformation[1]);
}
bool IsFault(const EXCEPTION_POINTERS *x) {
  return x->ExceptionRecord->ExceptionCode == EXCEPTION_ACCESS_VIOLATION;
}
void InstallHandler() {
  AddVectoredExceptionHandler(1, [](EXCEPTION_POINTERS *x) -> LONG {
    if (IsFault(x)) Scream(AddressOf(x));
    return EXCEPTION_CONTINUE_SEARCH;
  });
}
void InstallRepair() {
  AddVectoredExceptionHandler(0, [](EXCEPTION_POINTERS *x) -> LONG {
    if (!IsFault(x)) return EXCEPTION_CONTINUE_SEARCH;
    if (AddressOf(x) != g_page) _exit(44);
    DWORD before;
    VirtualProtect(g_page, kPage, PAGE_READWRITE, &before);
    return EXCEPTION_CONTINUE_EXECUTION;
  });
}
void MakePage() {
  g_page = static_cast<char *>(VirtualAlloc(nullptr, kPage, MEM_COMMIT, PAGE_READWRITE));
}
void ForbidPage() {
  DWORD before;
  VirtualProtect(g_page, kPage, PAGE_NOACCESS, &before);
}
#else
void InstallHandler() {
  struct sigaction sa = {};
  sa.sa_sigaction = [](int, siginfo_t *info, void *) { Scream(info->si_addr); };
  sa.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &sa, nullptr);
  sigaction(SIGBUS, &sa, nullptr);
}
void InstallRepair() {
  struct sigaction sa = {};
  sa.sa_sigaction = [](int, siginfo_t *info, void *) {
    if (static_cast<char *>(info->si_addr) != g_page) _exit(44);
    mprotect(g_page, kPage, PROT_READ | PROT_WRITE);
  };
  sa.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &sa, nullptr);
  sigaction(SIGBUS, &sa, nullptr);
}
void MakePage() {
  g_page = static_cast<char *>(mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}
void ForbidPage() { mprotect(g_page, kPage, PROT_NONE); }
#endif
volatile uintptr_t g_nowhere = 16;  // volatile: the compiler must not know
void WriteToNowhere() { *reinterpret_cast<volatile int *>(g_nowhere) = 1; }

// They go to the handler that was there before golib's.
TEST(Fault, GoesToTheHandlerThatWasThere) {
  ChildResult r = RunChild([] {
    InstallHandler();
    return RunMain([](int, char **) {
      CHILD_CHECK(go_spawn([](void *) { WriteToNowhere(); }, nullptr) == 0);
      (void)go_sleep(nullptr, GO_HOUR);
      return 0;
    });
  });
  EXPECT_EQ(r.code, 42) << r;
  EXPECT_TRUE(r.Said("the program's own handler")) << r;
  EXPECT_FALSE(r.Said("stack overflow")) << r;
}

TEST(Fault, OnAPlainThreadToo) {
  ChildResult r = RunChild([] {
    InstallHandler();
    CHILD_CHECK(go_run([](void *) {}, nullptr) == 0);
    std::thread([] { WriteToNowhere(); }).join();
    return 0;
  });
  EXPECT_EQ(r.code, 42) << r;
}

// A handler installed later is the only one asked.
TEST(Fault, LaterHandlerWins) {
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      InstallHandler();
      WriteToNowhere();
      return 0;
    });
  });
  EXPECT_EQ(r.code, 42) << r;
}

// Without any, the process dies by the signal, as it would without golib.
TEST(Fault, DiesByTheSignal) {
  if (kSanitized) GTEST_SKIP() << "sanitizers have a handler";
  ChildResult r = RunChild([] {
    return RunMain([](int, char **) {
      WriteToNowhere();
      return 0;
    });
  });
  EXPECT_EQ(r.signal, SIGSEGV) << r;
}

// A program that repairs its faults, on goroutine stacks: an old trick of garbage collectors.
TEST(Fault, CanBeRepaired) {
  ChildResult r = RunChild([] {
    InstallRepair();
    return RunMain([](int, char **) {
      MakePage();
      for (int i = 0; i < 10; i++) {
        ForbidPage();
        *g_page = static_cast<char>(i);
        CHILD_CHECK(*g_page == i);
        go_yield();
      }
      return 0;
    });
  });
  EXPECT_EQ(r.code, 0) << r;
}

}  // namespace
