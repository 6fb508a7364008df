// core/arch.h: switching, restarting, non-local exits, walking stacks.
extern "C" {
#define _Noreturn [[noreturn]]
#include "core/arch.h"
#undef _Noreturn
}

#include <fenv.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#if !defined(_WIN32)
#include <ucontext.h>
#include <unwind.h>
#endif

#include <cstdint>
#include <string>
#include <vector>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace {

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif

#if defined(__SANITIZE_ADDRESS__)
#define ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN 1
#endif
#endif
#ifdef ASAN
extern "C" void __asan_unpoison_memory_region(const volatile void *p, size_t size);
#define UNPOISON(p, size) __asan_unpoison_memory_region(p, size)
#else
#define UNPOISON(p, size) ((void)0)
#endif

// A stack of its own.
struct Stack {
  static constexpr size_t kSize = 256 << 10;
  char *lo;
  Stack()
      : lo(static_cast<char *>(
            mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {}
  ~Stack() {
    UNPOISON(lo, kSize);  // frames that never returned
    munmap(lo, kSize);
  }
  void *top() { return lo + kSize; }
};

struct Pair {
  go_arch_ctx_ main, other;
  Stack stack;
  std::vector<intptr_t> log;
  void *got = nullptr;
};

void *Int(intptr_t x) { return reinterpret_cast<void *>(x); }
intptr_t Int(void *x) { return reinterpret_cast<intptr_t>(x); }

Pair *the_pair;

void Echo(void *arg) {
  Pair *p = the_pair;
  for (;;) {
    p->log.push_back(Int(arg));
    arg = go_arch_switch_(&p->other, &p->main, Int(Int(arg) * 10));
  }
}

class Arch : public testing::Test {
 protected:
  void SetUp() override {
    the_pair = &pair_;
    memset(&pair_.main, 0, sizeof pair_.main);
  }
  void Make(void (*entry)(void *)) {
    go_arch_ctx_init_(&pair_.other, pair_.stack.top(), entry, pair_.stack.lo, pair_.stack.lo);
  }
  void *Go(void *arg) { return go_arch_switch_(&pair_.main, &pair_.other, arg); }
  Pair pair_;
};

TEST_F(Arch, HasAName) { EXPECT_NE(std::string(go_arch_name_), ""); }

TEST_F(Arch, ArgumentsTravelBothWays) {
  Make(Echo);
  for (intptr_t i = 1; i <= 5; i++) EXPECT_EQ(Int(Go(Int(i))), i * 10);
  EXPECT_EQ(pair_.log, (std::vector<intptr_t>{1, 2, 3, 4, 5}));
}

TEST_F(Arch, NewContextFitsInTheFrame) {
  char *top = static_cast<char *>(pair_.stack.top());
  memset(top - 4096, 0xa5, 4096);
  Make(Echo);
  EXPECT_GE(static_cast<char *>(pair_.other.sp), top - GO_ARCH_FRAME_MAX_);
  for (char *p = top - 4096; p < top - GO_ARCH_FRAME_MAX_; p++) ASSERT_EQ(*p, char(0xa5));
}

TEST_F(Arch, EntryStackIsAligned) {
  // As after a call: 16-byte aligned vector spills of the compiler rely on it.
  Make([](void *) {
    alignas(16) volatile char local[16];
    local[0] = 1;
    intptr_t off = reinterpret_cast<uintptr_t>(__builtin_frame_address(0)) % 16;
    go_arch_switch_(&the_pair->other, &the_pair->main,
                    Int(off + (reinterpret_cast<uintptr_t>(local) % 16) * 100));
  });
  EXPECT_EQ(Int(Go(nullptr)), 0);
}

#if defined(__x86_64__)
// All callee-saved registers, through a switch to somebody who overwrites them.
void Clobber(void *) {
  for (;;) {
    asm volatile("mov $-1,%%rbx; mov $-1,%%r12; mov $-1,%%r13; mov $-1,%%r14; mov $-1,%%r15" ::
                     : "rbx", "r12", "r13", "r14", "r15");
    go_arch_switch_(&the_pair->other, &the_pair->main, nullptr);
  }
}

// Loads the registers from in, switches, stores them to out.
extern "C" void SwitchWithRegisters(go_arch_ctx_ *from, go_arch_ctx_ *to, const uint64_t *in,
                                    uint64_t *out);
asm(R"(
    .text
    .type SwitchWithRegisters, @function
SwitchWithRegisters:
    push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15
    push %rcx
    mov 0(%rdx), %rbx; mov 8(%rdx), %rbp; mov 16(%rdx), %r12
    mov 24(%rdx), %r13; mov 32(%rdx), %r14; mov 40(%rdx), %r15
    call go_arch_switch_
    pop %rcx
    mov %rbx, 0(%rcx); mov %rbp, 8(%rcx); mov %r12, 16(%rcx)
    mov %r13, 24(%rcx); mov %r14, 32(%rcx); mov %r15, 40(%rcx)
    pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx
    ret
    .size SwitchWithRegisters, . - SwitchWithRegisters
)");

TEST_F(Arch, CalleeSavedRegistersSurvive) {
  Make(Clobber);
  uint64_t in[6] = {11, 22, 33, 44, 55, 66}, out[6] = {};
  for (int i = 0; i < 3; i++) {
    SwitchWithRegisters(&pair_.main, &pair_.other, in, out);
    for (int k = 0; k < 6; k++) EXPECT_EQ(out[k], in[k]) << k;
  }
}
#elif defined(__aarch64__)
// The same: x19 to x28, d8 to d15, x29.
void Clobber(void *) {
  for (;;) {
    asm volatile(
        "mov x19, #-1; mov x20, #-1; mov x21, #-1; mov x22, #-1; mov x23, #-1\n\t"
        "mov x24, #-1; mov x25, #-1; mov x26, #-1; mov x27, #-1; mov x28, #-1\n\t"
        "fmov d8, #-1.0; fmov d9, #-1.0; fmov d10, #-1.0; fmov d11, #-1.0\n\t"
        "fmov d12, #-1.0; fmov d13, #-1.0; fmov d14, #-1.0; fmov d15, #-1.0" ::
            : "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "d8", "d9",
              "d10", "d11", "d12", "d13", "d14", "d15");
    go_arch_switch_(&the_pair->other, &the_pair->main, nullptr);
  }
}

extern "C" void SwitchWithRegisters(go_arch_ctx_ *from, go_arch_ctx_ *to, const uint64_t *in,
                                    uint64_t *out) asm("SwitchWithRegisters");
asm(R"(
    .text
    .p2align 2
SwitchWithRegisters:
    stp x29, x30, [sp, #-176]!
    mov x29, sp
    stp x19, x20, [sp, #16]
    stp x21, x22, [sp, #32]
    stp x23, x24, [sp, #48]
    stp x25, x26, [sp, #64]
    stp x27, x28, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    str x3, [sp, #160]
    ldp x19, x20, [x2]
    ldp x21, x22, [x2, #16]
    ldp x23, x24, [x2, #32]
    ldp x25, x26, [x2, #48]
    ldp x27, x28, [x2, #64]
    ldp d8, d9, [x2, #80]
    ldp d10, d11, [x2, #96]
    ldp d12, d13, [x2, #112]
    ldp d14, d15, [x2, #128]
)"
#if defined(__APPLE__)
    "bl _go_arch_switch_\n"
#else
    "bl go_arch_switch_\n"
#endif
    R"(
    ldr x3, [sp, #160]
    stp x19, x20, [x3]
    stp x21, x22, [x3, #16]
    stp x23, x24, [x3, #32]
    stp x25, x26, [x3, #48]
    stp x27, x28, [x3, #64]
    stp d8, d9, [x3, #80]
    stp d10, d11, [x3, #96]
    stp d12, d13, [x3, #112]
    stp d14, d15, [x3, #128]
    mov x4, sp
    sub x4, x29, x4
    str x4, [x3, #144]
    ldp x19, x20, [sp, #16]
    ldp x21, x22, [sp, #32]
    ldp x23, x24, [sp, #48]
    ldp x25, x26, [sp, #64]
    ldp x27, x28, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    ldp x29, x30, [sp], #176
    ret
)");

TEST_F(Arch, CalleeSavedRegistersSurvive) {
  Make(Clobber);
  uint64_t in[19], out[19] = {};
  for (uint64_t k = 0; k < 18; k++) in[k] = 0x0101010101010101 * (k + 1);
  in[18] = 0;  // how far x29 was from where it was
  for (int i = 0; i < 3; i++) {
    SwitchWithRegisters(&pair_.main, &pair_.other, in, out);
    for (int k = 0; k < 19; k++) EXPECT_EQ(out[k], in[k]) << k;
  }
}
#endif

// ---- floating-point control

TEST_F(Arch, RoundingModeBelongsToTheContext) {
  Make([](void *) {
    for (;;) {
      intptr_t mine = fegetround();
      fesetround(FE_DOWNWARD);
      go_arch_switch_(&the_pair->other, &the_pair->main, Int(mine));
    }
  });
  ASSERT_EQ(fesetround(FE_UPWARD), 0);
  EXPECT_EQ(Int(Go(nullptr)), FE_TONEAREST);  // a new context has the default, whoever makes it
  EXPECT_EQ(fegetround(), FE_UPWARD);
  EXPECT_EQ(Int(Go(nullptr)), FE_DOWNWARD);
  EXPECT_EQ(fegetround(), FE_UPWARD);
  fesetround(FE_TONEAREST);
}

#if defined(__x86_64__)
TEST_F(Arch, FlushToZeroBelongsToTheContext) {
  Make([](void *) {
    _mm_setcsr(_mm_getcsr() | 0x8040);
    for (;;)
      go_arch_switch_(&the_pair->other, &the_pair->main, Int(static_cast<intptr_t>(_mm_getcsr())));
  });
  EXPECT_EQ(Int(Go(nullptr)) & 0xffc0, 0x9fc0);
  EXPECT_EQ(_mm_getcsr() & 0xffc0u, 0x1f80u);
  EXPECT_EQ(Int(Go(nullptr)) & 0xffc0, 0x9fc0);
  EXPECT_EQ(_mm_getcsr() & 0xffc0u, 0x1f80u);
}
#elif defined(__aarch64__)
uint64_t Fpcr() {
  uint64_t x;
  asm volatile("mrs %0, fpcr" : "=r"(x));
  return x;
}

// FZ and DN.
TEST_F(Arch, FlushToZeroBelongsToTheContext) {
  Make([](void *) {
    asm volatile("msr fpcr, %0" ::"r"(Fpcr() | 3 << 24));
    for (;;) go_arch_switch_(&the_pair->other, &the_pair->main, Int(static_cast<intptr_t>(Fpcr())));
  });
  EXPECT_EQ(Int(Go(nullptr)), 3 << 24);
  EXPECT_EQ(Fpcr(), 0u);
  EXPECT_EQ(Int(Go(nullptr)), 3 << 24);
  EXPECT_EQ(Fpcr(), 0u);
}
#endif

// ---- go_arch_restart_

struct Restart {
  int rounds = 0;
  std::vector<void *> frames;
};
Restart *the_restart;

void Again(void *arg) {
  the_restart->frames.push_back(__builtin_frame_address(0));
  the_restart->rounds++;
  EXPECT_EQ(Int(arg), the_restart->rounds);
  EXPECT_EQ(fegetround(), FE_TONEAREST);
  if (the_restart->rounds == 3) go_arch_switch_(&the_pair->other, &the_pair->main, Int(77));
  fesetround(FE_TOWARDZERO);
  go_arch_restart_(the_pair->stack.top(), Again, Int(the_restart->rounds + 1));
}

TEST_F(Arch, RestartUsesTheSameStackFromItsTop) {
  Restart r;
  the_restart = &r;
  Make(Again);
  EXPECT_EQ(Int(Go(Int(1))), 77);
  ASSERT_EQ(r.rounds, 3);
  EXPECT_EQ(r.frames[0], r.frames[1]);
  EXPECT_EQ(r.frames[1], r.frames[2]);
}

// ---- go_arch_call_, go_arch_unwind_

struct Try {
  go_arch_ctx_ mark;
  int depth = 0;
  volatile int reached = 0;
};

[[maybe_unused]] __attribute__((noinline)) void Deep(Try *t, int n) {
  volatile char room[100];
  room[0] = static_cast<char>(n);
  t->depth = n;
  if (n == 0) go_arch_unwind_(&t->mark);
  if (n > 0) Deep(t, n - 1);
  t->reached = 1 + room[0];
}

#ifndef SANITIZED  // sanitizers keep their own count of calls, which core tells about such jumps
TEST_F(Arch, UnwindEndsTheCall) {
  static Try t;
  volatile int before = 42;
  fesetround(FE_UPWARD);
  int rc = go_arch_call_(
      &t.mark,
      [](void *p) {
        fesetround(FE_DOWNWARD);
        Deep(static_cast<Try *>(p), 20);
      },
      &t);
  EXPECT_EQ(rc, 1);
  EXPECT_EQ(fegetround(), FE_UPWARD);
  EXPECT_EQ(t.depth, 0);
  EXPECT_EQ(t.reached, 0);
  EXPECT_EQ(before, 42);
  fesetround(FE_TONEAREST);
}
#endif

TEST_F(Arch, CallReturnsZero) {
  Try t;
  EXPECT_EQ(go_arch_call_(
                &t.mark, [](void *p) { static_cast<Try *>(p)->depth = 7; }, &t),
            0);
  EXPECT_EQ(t.depth, 7);
}

TEST_F(Arch, ExceptionsPassThroughACall) {
  go_arch_ctx_ mark;
  int caught = 0;
  try {
    go_arch_call_(
        &mark, [](void *) { throw 5; }, nullptr);
  } catch (int x) {
    caught = x;
  }
  EXPECT_EQ(caught, 5);
}

// ---- backtraces

// A function with a frame, whatever the options.
#define FRAME __attribute__((noinline))
void *volatile sink;
#define HAS_FRAME() (sink = __builtin_frame_address(0))

void *pcs[64];
int found;

FRAME void Level(int n) {
  HAS_FRAME();
  if (n > 0) {
    Level(n - 1);
    asm volatile("");
    return;
  }
  found = go_arch_backtrace_(nullptr, the_pair->stack.lo, the_pair->stack.top(), pcs, 64);
  go_arch_switch_(&the_pair->other, &the_pair->main, nullptr);
  asm volatile("");
}

FRAME void LevelEntry(void *) {
  HAS_FRAME();
  Level(5);
  asm volatile("");
}

TEST_F(Arch, BacktraceOfTheCallerAndOfTheSuspended) {
  Make(LevelEntry);
  Go(nullptr);
  // Level six times, LevelEntry; the entry stub below it is left out.
  EXPECT_EQ(found, 7);
  EXPECT_EQ(pcs[1], pcs[2]);
  EXPECT_EQ(pcs[2], pcs[5]);
  EXPECT_NE(pcs[5], pcs[6]);
  void *theirs[64];
  int n = go_arch_backtrace_(&pair_.other, pair_.stack.lo, pair_.stack.top(), theirs, 64);
  ASSERT_EQ(n, 7);
  EXPECT_NE(theirs[0], pcs[0]);
  for (int i = 1; i < 7; i++) EXPECT_EQ(theirs[i], pcs[i]) << i;
}

TEST_F(Arch, BacktraceStopsAtItsLimit) {
  Make(LevelEntry);
  Go(nullptr);
  void *theirs[64];
  EXPECT_EQ(go_arch_backtrace_(&pair_.other, pair_.stack.lo, pair_.stack.top(), theirs, 3), 3);
  EXPECT_EQ(go_arch_backtrace_(&pair_.other, pair_.stack.lo, pair_.stack.top(), theirs, 0), 0);
  // A context that lies outside of the bounds is not read at all.
  EXPECT_EQ(go_arch_backtrace_(&pair_.other, pair_.stack.lo, pair_.stack.lo + 4096, theirs, 64), 0);
}

TEST_F(Arch, BacktraceOfANewContextIsEmpty) {
  Make(LevelEntry);
  void *theirs[4];
  EXPECT_EQ(go_arch_backtrace_(&pair_.other, pair_.stack.lo, pair_.stack.top(), theirs, 4), 0);
}

TEST_F(Arch, BacktraceBearsGarbageInTheFramePointer) {
  uintptr_t words[8];
  void *theirs[8];
  auto walk = [&] { return go_arch_backtrace_fp_(words, words, words + 8, theirs, 8); };
  words[1] = 0x1111;
  for (uintptr_t bad :
       {uintptr_t(0), uintptr_t(1), ~uintptr_t(0), ~uintptr_t(7),
        reinterpret_cast<uintptr_t>(words), reinterpret_cast<uintptr_t>(words + 1),
        reinterpret_cast<uintptr_t>(words + 7), reinterpret_cast<uintptr_t>(words + 8),
        reinterpret_cast<uintptr_t>(words) + 17}) {
    words[0] = bad;
    EXPECT_EQ(walk(), 1) << bad;
    EXPECT_EQ(theirs[0], reinterpret_cast<void *>(0x1111));
  }
  words[0] = reinterpret_cast<uintptr_t>(words + 6);  // the last place that is whole
  words[6] = 0;
  words[7] = 0x2222;
  EXPECT_EQ(walk(), 2);
  EXPECT_EQ(theirs[1], reinterpret_cast<void *>(0x2222));
}

// ---- unwinding by the tables, as debuggers, profilers and C++ exceptions do

struct Trace {
  uintptr_t pc[64];
  int n;
};

_Unwind_Reason_Code Step(struct _Unwind_Context *c, void *p) {
  auto *t = static_cast<Trace *>(p);
  if (t->n == 64) return _URC_END_OF_STACK;
  int before = 0;
  uintptr_t pc = _Unwind_GetIPInfo(c, &before);
  if (pc != 0) t->pc[t->n++] = before ? pc : pc - 1;
  return _URC_NO_REASON;
}

TEST_F(Arch, UnwinderStopsAtTheBottom) {
  static Trace t;
  static _Unwind_Reason_Code end;
  t.n = 0;
  Make([](void *) {
    end = _Unwind_Backtrace(Step, &t);
    go_arch_switch_(&the_pair->other, &the_pair->main, nullptr);
  });
  Go(nullptr);
  EXPECT_EQ(end, _URC_END_OF_STACK);
  EXPECT_GE(t.n, 1);
  EXPECT_LE(t.n, 3);  // the function, and perhaps the stub
}

#if defined(__x86_64__) && defined(__linux__) && !defined(SANITIZED)
// Steps through all of golib's assembly, one instruction at a time, and unwinds at each: the next
// frame has to be one of the two that are known to call it.
int stepped, unwound_wrongly, unwound_past_the_bottom;
uintptr_t first_wrong;
uintptr_t side_main, side_other;  // a return address in each caller

bool In(uintptr_t pc, const void *fn, size_t size) {
  return pc - reinterpret_cast<uintptr_t>(fn) < size;
}

bool InAssembly(uintptr_t pc) {
  return In(pc, reinterpret_cast<void *>(&go_arch_switch_), 0x80) ||
         In(pc, reinterpret_cast<void *>(&go_arch_call_), 0x30);
}

void OnStep(int, siginfo_t *, void *context) {
  // The test's own assembly has no tables.
  if (!InAssembly(
          static_cast<uintptr_t>(static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_RIP])))
    return;
  Trace t;
  t.n = 0;
  _Unwind_Backtrace(Step, &t);
  for (int i = 0; i < t.n; i++) {
    if (!InAssembly(t.pc[i])) continue;
    stepped++;
    uintptr_t caller = i + 1 < t.n ? t.pc[i + 1] : 0;
    bool right = caller - (side_main - 256) < 512 || caller - (side_other - 256) < 512;
    if (!right && unwound_wrongly++ == 0) first_wrong = t.pc[i];
    if (t.n == 64) unwound_past_the_bottom++;
    return;
  }
}

// Sets and clears the flag that makes the processor stop after each instruction.
extern "C" void StepOn();
extern "C" void StepOff();
asm(R"(
    .text
    .type StepOn, @function
StepOn:
    pushfq; orq $0x100, (%rsp); popfq
    ret
    .size StepOn, . - StepOn
    .type StepOff, @function
StepOff:
    pushfq; andq $~0x100, (%rsp); popfq
    ret
    .size StepOff, . - StepOff
)");

__attribute__((noinline)) void OtherSide(void *) {
  side_other = reinterpret_cast<uintptr_t>(&OtherSide);
  for (;;) go_arch_switch_(&the_pair->other, &the_pair->main, nullptr);
}

__attribute__((noinline)) void MainSide() {
  side_main = reinterpret_cast<uintptr_t>(&MainSide);
  go_arch_ctx_ mark;
  the_pair->got = go_arch_switch_(&the_pair->main, &the_pair->other, nullptr);
  StepOn();
  the_pair->got = go_arch_switch_(&the_pair->main, &the_pair->other, nullptr);
  go_arch_call_(
      &mark, [](void *) {}, nullptr);
  StepOff();
  asm volatile("");
}

TEST_F(Arch, EveryInstructionCanBeUnwound) {
  struct sigaction sa = {}, old;
  sa.sa_flags = SA_SIGINFO;
  sa.sa_sigaction = OnStep;
  ASSERT_EQ(sigaction(SIGTRAP, &sa, &old), 0);
  Make(OtherSide);
  Trace warm;  // the unwinder allocates the first time
  warm.n = 0;
  _Unwind_Backtrace(Step, &warm);
  MainSide();
  sigaction(SIGTRAP, &old, nullptr);
  if (stepped == 0) GTEST_SKIP() << "an emulator without single-stepping";
  EXPECT_GT(stepped, 60);
  EXPECT_EQ(unwound_past_the_bottom, 0);
  EXPECT_EQ(unwound_wrongly, 0) << "first at go_arch_switch_+" << std::hex
                                << first_wrong - reinterpret_cast<uintptr_t>(&go_arch_switch_);
}
#endif

TEST_F(Arch, RelaxReturns) { go_arch_relax_(); }

}  // namespace
