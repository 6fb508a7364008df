// Which code may be stopped (preempt/signal/program.c): the program's own functions, not golib's, nor libc's, nor the linkage tables, through
// which golib calls libc.
extern "C" {
#include "core/sched.h"
#include "preempt/signal/program.h"
}
#include "tests/support/golib_test.h"

namespace {

extern "C" __attribute__((noinline)) void ProgramOwn() { __asm__ volatile(""); }

template <class F>
uintptr_t Address(F *f) {
  return reinterpret_cast<uintptr_t>(f);
}

uintptr_t LinkageEntry() {
  uintptr_t p;
#if defined(__x86_64__)
  __asm__("leaq getppid@PLT(%%rip), %0" : "=r"(p));
#else
  __asm__("adrp %0, :got:getppid\n\tldr %0, [%0, :got_lo12:getppid]"
          : "=r"(p));  // none that has a name
#endif
  return p;
}

TEST(Program, Owns) {
  int r = go_program_find_();
  if (r == GO_ENOSYS) GTEST_SKIP() << "nothing may be stopped in this build";
  ASSERT_EQ(r, 0);
  EXPECT_TRUE(go_program_owns_(Address(ProgramOwn)));
  EXPECT_FALSE(go_program_owns_(Address(go_program_find_)));
  EXPECT_FALSE(go_program_owns_(Address(go_sleep)));
  EXPECT_FALSE(go_program_owns_(Address(go_m_get_)));
  EXPECT_FALSE(go_program_owns_(LinkageEntry()));
  EXPECT_FALSE(go_program_owns_(0));
  EXPECT_FALSE(go_program_owns_(UINTPTR_MAX));
  void *heap = malloc(1);
  EXPECT_FALSE(go_program_owns_(reinterpret_cast<uintptr_t>(heap)));
  free(heap);
}

}  // namespace
