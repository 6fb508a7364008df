// What a goroutine's stack looks like while it is stopped in the middle of its code, to those who walk it.
extern "C" {
#include "core/arch.h"
#include "core/sched.h"
#include "core/stack.h"
}
#include "tests/support/golib_test.h"
#include "tests/support/hogs.h"
#include "tests/support/switch.h"
#include "tests/support/system.h"

using namespace golib_test;

namespace {

std::atomic<go_g_ *> counter;

__attribute__((noinline)) int CountsUntil(const std::atomic<bool> &stop) {
  const volatile bool *p = reinterpret_cast<const volatile bool *>(&stop);
  int n = 0;
  while (!*p) n++;
  return n;
}
__attribute__((noinline)) int Caller(const std::atomic<bool> &stop) {
  return 1 + CountsUntil(stop);
}

template <class F>
bool IsIn(void *pc, F f) {
  uintptr_t at = reinterpret_cast<uintptr_t>(pc), lo = reinterpret_cast<uintptr_t>(f);
  return at >= lo && at < lo + 64;
}

// Windows tells by tables how to go on above the stop, at that very instruction.
TEST_F(Switch, AWalkGoesOnWhereItWasStopped) {
  if (!kWindows) GTEST_SKIP() << "frame pointers leave out who was interrupted";
  INIT(1);
  RunGo([] {
    std::atomic<bool> stop{false};
    go_wg wg{};
    SPAWN_WG(&wg, [&] {
      counter = go_m_get_()->cur;
      return Caller(stop);
    });
    void *pcs[64];
    int n = 0;
    // The only P is ours: nobody runs the other one, unless it has lost the P and not been told. Then its state is another.
    EXPECT_TRUE(Within([&] {
      const go_g_ *g = counter;
      if (g == nullptr || go_get_state_(g) != GO_G_RUNNABLE_ || go_ld_acq(&g->on_cpu) != 0) {
        return false;
      }
      n = go_arch_backtrace_(&g->ctx, g->ctx.sp, go_stack_high_(g->stack_class, g->stack_top), pcs,
                             64);
      return true;
    }));
    int at = 0;
    while (at < n && !IsIn(pcs[at], CountsUntil)) at++;
    EXPECT_LT(at + 1, n) << n << " frames";
    EXPECT_TRUE(at + 1 < n && IsIn(pcs[at + 1], Caller));
    stop = true;
    go_wg_wait(&wg);
  });
}

}  // namespace
