// Profilers and debuggers unwind goroutines' stacks wherever they are interrupted: in users' code, in the scheduler, in
// the middle of a switch. The unwinder of the C++ runtime stands for them: it reads the same tables (CFI).

#include <golib/golib.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unwind.h>

#include <atomic>

extern "C" {
#include "core/arch.h"
}
#include "tests/support/golib_test.h"

using golib_test::Chan;
using golib_test::RunGo;

extern "C" const char go_arch_start_[], go_arch_start_ret_[];

namespace {

struct Walk {
  int n = 0;
  uintptr_t last = 0;
  bool body = false;  // ProfileBody is in it
};

std::atomic<int64_t> samples, goroutine_samples, with_body, broken, in_switch;
std::atomic<uintptr_t> broken_pc;

extern "C" __attribute__((noinline)) void ProfileBody(go_chan *in, go_chan *out,
                                                      std::atomic<bool> *stop) {
  int v = 0;
  while (!*stop) {
    go_chan_send(out, &v);
    if (!go_chan_recv(in, &v)) break;
    go_yield();
    for (volatile int i = 0; i < 50; i++) {}
  }
  __asm__ volatile("");
}

_Unwind_Reason_Code Step(_Unwind_Context *c, void *arg) {
  Walk *w = static_cast<Walk *>(arg);
  if (_Unwind_GetIP(c) == 0) return _URC_NO_REASON;  // beyond the outermost
  w->last = _Unwind_GetIP(c);
  w->body = w->body || _Unwind_FindEnclosingFunction(reinterpret_cast<void *>(w->last)) ==
                           reinterpret_cast<void *>(ProfileBody);
  return ++w->n < 200 ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

// From a handler: up to the end of the stack that was interrupted.
void Unwind(void *context) {
  Walk w;
  _Unwind_Reason_Code end = _Unwind_Backtrace(Step, &w);
  samples++;
  bool goroutine = w.last >= reinterpret_cast<uintptr_t>(go_arch_start_) - 1 &&
                   w.last <= reinterpret_cast<uintptr_t>(go_arch_start_ret_);
  goroutine_samples += goroutine;
  with_body += goroutine && w.body;
#if defined(__x86_64__)
  uintptr_t pc =
      static_cast<uintptr_t>(static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_RIP]);
#else
  uintptr_t pc = 0;
  (void)context;
#endif
  uintptr_t at = pc - reinterpret_cast<uintptr_t>(go_arch_switch_);
  in_switch += at < 160;
  if (end != _URC_END_OF_STACK || w.n >= 200 || w.n < 3) {
    broken++;
    broken_pc = pc;
  }
}

struct Handler {
  struct sigaction old;
  int sig;
  Handler(int s, void (*f)(int, siginfo_t *, void *)) : sig(s) {
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_sigaction = f;
    sa.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigaction(sig, &sa, &old);
    samples = goroutine_samples = with_body = broken = in_switch = 0;
  }
  ~Handler() { sigaction(sig, &old, nullptr); }
};

#define SKIP_SANITIZERS()                                                       \
  if (golib_test::kSanitized) {                                                 \
    GTEST_SKIP() << "sanitizers delay signals, and have frames without tables"; \
  }

TEST(Profile, SigprofInARunningProgram) {
  SKIP_SANITIZERS();
  Handler h(SIGPROF, [](int, siginfo_t *, void *c) { Unwind(c); });
  itimerval every = {{0, 1000}, {0, 1000}}, none = {{0, 0}, {0, 0}};
  RunGo([&] {
    std::atomic<bool> stop{false};
    go_wg wg{};
    for (int g = 0; g < 4; g++) {
      SPAWN_WG(&wg, [&] {
        while (!stop) {
          Chan<int> c(0);
          go_wg one{};
          SPAWN_WG(&one, [c] { c.Send(1); });
          (void)c.Take();
          go_wg_wait(&one);
          go_yield();
        }
      });
    }
    setitimer(ITIMER_PROF, &every, nullptr);
    golib_test::Until([] { return goroutine_samples >= 20; });
    setitimer(ITIMER_PROF, &none, nullptr);
    stop = true;
    go_wg_wait(&wg);
  });
  EXPECT_EQ(broken, 0) << "at " << std::hex << broken_pc;
  EXPECT_GE(goroutine_samples, 20);
}

#if defined(__x86_64__)

std::atomic<int> steps_left;

// Stops after every single instruction: of the goroutines, the scheduler, the switch. In an embedded scheduler: no other
// thread takes the P from one that is so slow, and none is started, during which the C library blocks signals.
TEST(Profile, AtEveryInstruction) {
  SKIP_SANITIZERS();
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
  go_config cfg{};
  cfg.embedded = true;
  ASSERT_EQ(go_init(&cfg), 0);
  std::atomic<bool> stop{false};
  Chan<int> a(1), b(1);
  SPAWN([&] { ProfileBody(a.get(), b.get(), &stop); });
  SPAWN([&] { ProfileBody(b.get(), a.get(), &stop); });
  for (int i = 0; i < 20; i++) (void)!go_step(10);
  {
    Handler h(SIGTRAP, [](int, siginfo_t *, void *c) {
      Unwind(c);
      if (--steps_left <= 0) static_cast<ucontext_t *>(c)->uc_mcontext.gregs[REG_EFL] &= ~0x100;
    });
    steps_left = 30000;
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
    while (steps_left > 0) (void)!go_step(10);
  }
  stop = true;
  while (go_count() > 0) {
    (void)b.TryRecv(nullptr);
    (void)b.TrySend(1);
    (void)a.TryRecv(nullptr);
    (void)a.TrySend(1);
    (void)!go_step(10);
  }
  EXPECT_EQ(broken, 0) << "at " << std::hex << broken_pc;
  EXPECT_GE(samples, 30000);
  EXPECT_GT(in_switch, 100);
  EXPECT_GT(with_body, samples / 10);
}

#endif

}  // namespace
