// A goroutine that is stopped in the middle of its code finds every register as it was: integers and flags, all lanes of
// all vector registers that the processor has, masks, x87, control and status words, and the red zone. The registers are set,
// kept in a loop until somebody says so, and stored within one piece of assembly: no compiler moves them.
#include <cstring>

#include "tests/support/golib_test.h"
#include "tests/support/hogs.h"
#include "tests/support/system.h"

using namespace golib_test;

#if defined(__x86_64__) || defined(__aarch64__)

namespace {

#if defined(__x86_64__)

struct Regs {
  alignas(64) unsigned char zmm[32][64];
  uint64_t k[8];
  uint64_t r[12];     // rax rbx rcx rdx rsi r8-r14
  uint64_t zone[16];  // the red zone, which Windows has not
  long double x87[8];
  uint32_t mxcsr;
  uint16_t x87cw, x87sw;
  uint64_t flags;
};
enum Kind { kBase, kAvx, kAvx512 };
const char *const kNames[] = {"xmm", "ymm", "zmm"};
constexpr size_t kWidth[] = {16, 32, 64};

bool Has(Kind k) {
  __builtin_cpu_init();
  return k == kBase || (k == kAvx && __builtin_cpu_supports("avx2")) ||
         (k == kAvx512 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"));
}

#define XMM_(op, i) op(i)
#define ALL16(op)                                                                                \
  op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) \
      op(15)
#define ALL32(op)                                                                            \
  ALL16(op)                                                                                  \
  op(16) op(17) op(18) op(19) op(20) op(21) op(22) op(23) op(24) op(25) op(26) op(27) op(28) \
      op(29) op(30) op(31)
#define ALL8(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7)
#define LOAD_X(i) "movups " #i "*64(%%rdi), %%xmm" #i "\n\t"
#define SAVE_X(i) "movups %%xmm" #i ", " #i "*64(%%r15)\n\t"
#define LOAD_Y(i) "vmovups " #i "*64(%%rdi), %%ymm" #i "\n\t"
#define SAVE_Y(i) "vmovups %%ymm" #i ", " #i "*64(%%r15)\n\t"
#define LOAD_Z(i) "vmovups " #i "*64(%%rdi), %%zmm" #i "\n\t"
#define SAVE_Z(i) "vmovups %%zmm" #i ", " #i "*64(%%r15)\n\t"
#define LOAD_K(i) "kmovq 2048+" #i "*8(%%rdi), %%k" #i "\n\t"
#define SAVE_K(i) "kmovq %%k" #i ", 2048+" #i "*8(%%r15)\n\t"
#define LOAD_F(i) "fldt 2336+16*(7-" #i ")(%%rdi)\n\t"
#define SAVE_F(i) "fstpt 2336+16*" #i "(%%r15)\n\t"
#define LOAD_S(i) "movq 2208+" #i "*8(%%rdi), %%rax\n\tmovq %%rax, -128+" #i "*8(%%rsp)\n\t"
#define SAVE_S(i) "movq -128+" #i "*8(%%rsp), %%rax\n\tmovq %%rax, 2208+" #i "*8(%%r15)\n\t"
static_assert(offsetof(Regs, k) == 2048 && offsetof(Regs, r) == 2112 &&
                  offsetof(Regs, zone) == 2208 && offsetof(Regs, x87) == 2336 &&
                  offsetof(Regs, mxcsr) == 2464 && offsetof(Regs, x87cw) == 2468 &&
                  offsetof(Regs, flags) == 2472,
              "the assembly's");

// rdi: what is loaded, and the flag after it; r15: where to. SSE's and x87's state is put back at the end.
#define KEEP(vectors_in, vectors_out) \
  __asm__ volatile(                                                                         \
      "subq $256, %%rsp\n\t"                                                                \
      "stmxcsr 128(%%rsp)\n\t"                                                              \
      "fnstcw 132(%%rsp)\n\t"                                                               \
      "fninit\n\t" ALL8(LOAD_F) "fldcw 2468(%%rdi)\n\t"                                     \
      "ldmxcsr 2464(%%rdi)\n\t" vectors_in ALL16(LOAD_S)                                    \
      "movq 2112(%%rdi), %%rax\n\tmovq 2120(%%rdi), %%rbx\n\tmovq 2128(%%rdi), %%rcx\n\t"   \
      "movq 2136(%%rdi), %%rdx\n\tmovq 2144(%%rdi), %%rsi\n\tmovq 2152(%%rdi), %%r8\n\t"    \
      "movq 2160(%%rdi), %%r9\n\tmovq 2168(%%rdi), %%r10\n\tmovq 2176(%%rdi), %%r11\n\t"    \
      "movq 2184(%%rdi), %%r12\n\tmovq 2192(%%rdi), %%r13\n\tmovq 2200(%%rdi), %%r14\n"     \
      "1:\n\t"                                                                              \
      "cmpl $0x7fffffff, 2496(%%rdi)\n\t" /* overflows with the flag down: OF, SF and CF */ \
      "jne 1b\n\t"                                                                          \
      "movq %%rax, 2112(%%r15)\n\tmovq %%rbx, 2120(%%r15)\n\tmovq %%rcx, 2128(%%r15)\n\t"   \
      "movq %%rdx, 2136(%%r15)\n\tmovq %%rsi, 2144(%%r15)\n\tmovq %%r8, 2152(%%r15)\n\t"    \
      "movq %%r9, 2160(%%r15)\n\tmovq %%r10, 2168(%%r15)\n\tmovq %%r11, 2176(%%r15)\n\t"    \
      "movq %%r12, 2184(%%r15)\n\tmovq %%r13, 2192(%%r15)\n\tmovq %%r14, 2200(%%r15)\n\t"   \
      "stmxcsr 2464(%%r15)\n\tfnstcw 2468(%%r15)\n\tfnstsw 2470(%%r15)\n\t" ALL16(SAVE_S)   \
          vectors_out ALL8(SAVE_F) "fninit\n\tfldcw 132(%%rsp)\n\t"                         \
      "ldmxcsr 128(%%rsp)\n\t"                                                              \
      "addq $256, %%rsp\n\t"                                                                \
      : "+D"(in), "+r"(to)                                                                  \
      :                                                                                     \
      : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "memory", "cc")

struct Task {
  Regs in;
  alignas(64) std::atomic<uint32_t> flag;
  Regs out;
};
static_assert(offsetof(Task, flag) == 2496, "the assembly's");

__attribute__((noinline)) void Keep(Task *t, Kind kind) {
  Regs *in = &t->in;
  register Regs *to __asm__("r15") = &t->out;
  if (kind == kAvx512) {
    KEEP(ALL32(LOAD_Z) ALL8(LOAD_K), ALL32(SAVE_Z) ALL8(SAVE_K));
  } else if (kind == kAvx) {
    KEEP(ALL16(LOAD_Y), ALL16(SAVE_Y));
  } else {
    KEEP(ALL16(LOAD_X), ALL16(SAVE_X));
  }
}

void Fill(Regs *r, Rng *rng) {
  unsigned char *p = reinterpret_cast<unsigned char *>(r);
  for (size_t i = 0; i < offsetof(Regs, x87); i++) p[i] = static_cast<unsigned char>(rng->Next());
  for (long double &x : r->x87) x = static_cast<long double>(rng->Next()) / 3;
  r->mxcsr = 0x1f80 | static_cast<uint32_t>(rng->Below(4) << 13);  // rounding
  r->mxcsr |= static_cast<uint32_t>(rng->Below(2) << 15) | static_cast<uint32_t>(rng->Below(64));
  r->x87cw = static_cast<uint16_t>(0x7f | rng->Below(4) << 10 | 0x300);
}

void Check(const Task &t, Kind kind) {
  int n = kind == kAvx512 ? 32 : 16;
  for (int i = 0; i < n; i++) {
    EXPECT_EQ(memcmp(t.in.zmm[i], t.out.zmm[i], kWidth[kind]), 0) << kNames[kind] << i;
  }
  if (kind == kAvx512) {
    EXPECT_EQ(memcmp(t.in.k, t.out.k, sizeof t.in.k), 0) << "masks";
  }
  EXPECT_EQ(memcmp(t.in.r, t.out.r, sizeof t.in.r), 0) << "integers";
  EXPECT_TRUE(kWindows || memcmp(t.in.zone, t.out.zone, sizeof t.in.zone) == 0) << "red zone";
  for (int i = 0; i < 8; i++) EXPECT_EQ(memcmp(&t.in.x87[i], &t.out.x87[i], 10), 0) << "st" << i;
  EXPECT_EQ(t.in.mxcsr, t.out.mxcsr);
  EXPECT_EQ(t.in.x87cw, t.out.x87cw);
  EXPECT_EQ(t.out.x87sw & 0x3800, 0) << "top of the x87 stack";
}

#else

struct Regs {
  alignas(16) unsigned char v[32][16];
  uint64_t r[12];  // x8-x17, x28, x30
  uint64_t fpcr, fpsr;
};
enum Kind { kBase };
bool Has(Kind) { return true; }
struct Task {
  Regs in;
  alignas(64) std::atomic<uint32_t> flag;
  Regs out;
};
static_assert(offsetof(Task, flag) == 640 && offsetof(Regs, r) == 512 &&
                  offsetof(Regs, fpcr) == 608,
              "");

#define PAIRS(op)                                                                          \
  op(0, 1) op(2, 3) op(4, 5) op(6, 7) op(8, 9) op(10, 11) op(12, 13) op(14, 15) op(16, 17) \
      op(18, 19) op(20, 21) op(22, 23) op(24, 25) op(26, 27) op(28, 29) op(30, 31)
#define LOAD_V(a, b) "ldp q" #a ", q" #b ", [x0, #" #a "*16]\n\t"
#define SAVE_V(a, b) "stp q" #a ", q" #b ", [x1, #" #a "*16]\n\t"

__attribute__((noinline)) void Keep(Task *t, Kind) {
  register Regs *in __asm__("x0") = &t->in;
  register Regs *to __asm__("x1") = &t->out;
  __asm__ volatile(
      "mrs x4, fpcr\n\tmrs x5, fpsr\n\t"
      "ldr x3, [x0, #608]\n\tmsr fpcr, x3\n\tldr x3, [x0, #616]\n\tmsr fpsr, x3\n\t" PAIRS(LOAD_V)
      "add x2, x0, #512\n\t"
      "ldp x8, x9, [x2]\n\tldp x10, x11, [x2, #16]\n\tldp x12, x13, [x2, #32]\n\t"
      "ldp x14, x15, [x2, #48]\n\tldp x16, x17, [x2, #64]\n\tldp x28, x30, [x2, #80]\n\t"
      "mov w3, #0x7fffffff\n"
      "1:\n\tldr w2, [x0, #640]\n\tcmp w2, w3\n\tb.ne 1b\n\t"
      "add x2, x1, #512\n\t"
      "stp x8, x9, [x2]\n\tstp x10, x11, [x2, #16]\n\tstp x12, x13, [x2, #32]\n\t"
      "stp x14, x15, [x2, #48]\n\tstp x16, x17, [x2, #64]\n\tstp x28, x30, [x2, #80]\n\t" PAIRS(SAVE_V)
      "mrs x3, fpcr\n\tstr x3, [x1, #608]\n\tmrs x3, fpsr\n\tstr x3, [x1, #616]\n\t"
      "msr fpcr, x4\n\tmsr fpsr, x5\n\t"
      : "+r"(in), "+r"(to)
      :
      : "x2", "x3", "x4", "x5", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
        "x28", "x30", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12",
        "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25",
        "v26", "v27", "v28", "v29", "v30", "v31", "memory", "cc");
}

void Fill(Regs *r, Rng *rng) {
  unsigned char *p = reinterpret_cast<unsigned char *>(r);
  for (size_t i = 0; i < offsetof(Regs, fpcr); i++) p[i] = static_cast<unsigned char>(rng->Next());
  r->fpcr = rng->Below(4) << 22;  // rounding
  r->fpsr = rng->Below(32);
}

void Check(const Task &t, Kind) {
  for (int i = 0; i < 32; i++) EXPECT_EQ(memcmp(t.in.v[i], t.out.v[i], 16), 0) << "v" << i;
  EXPECT_EQ(memcmp(t.in.r, t.out.r, sizeof t.in.r), 0) << "integers";
  EXPECT_EQ(t.in.fpcr, t.out.fpcr);
  EXPECT_EQ(t.in.fpsr, t.out.fpsr);
}

#endif

// Three at a time, on fewer Ps, so that each is stopped while the others have their own values in the registers; and
// where there are two Ps, they also change threads.
void Lanes(Kind kind, int procs) {
  go_config cfg{};
  cfg.procs = procs;
  cfg.preempt = GO_PREEMPT_SWITCH;
  int r = go_init(&cfg);
  if (r == GO_ENOSYS) GTEST_SKIP() << "nothing is stopped in this kind of build";
  ASSERT_EQ(r, 0);
  RunGo([&] {
    Rng rng(static_cast<uint64_t>(kind) + 1);
    std::vector<Task> tasks(4);
    uint64_t stops = 0;
    for (int round = 0; round < 5 || (stops < 20 && round < 100); round++) {
      go_wg wg{};
      for (Task &t : tasks) {
        Fill(&t.in, &rng);
        t.flag = 0x80000000;
        SPAWN_WG(&wg, [&t, kind] { Keep(&t, kind); });
      }
      uint64_t before = StatsNow().switches;
      // Who has lost its P is stopped once more at most: all may have, on a machine that does other things.
      for (go_nsec end = go_now() + 500 * GO_MS;
           StatsNow().switches < before + 8 && go_now() < end;) {
        EXPECT_EQ(go_sleep(nullptr, 10 * GO_MS), 0);
      }
      stops += StatsNow().switches - before;
      for (Task &t : tasks) t.flag = 0x7fffffff;
      go_wg_wait(&wg);
      for (const Task &t : tasks) Check(t, kind);
    }
    EXPECT_GE(stops, 20u);
  });
  EXPECT_EQ(go_shutdown(GO_FOREVER), 0);
}

TEST(Lanes, Base) {
  for (int procs : {1, 2}) Lanes(kBase, procs);
}

#if defined(__x86_64__)
TEST(Lanes, Avx) {
  if (!Has(kAvx)) GTEST_SKIP() << "the processor has no AVX2";
  for (int procs : {1, 2}) Lanes(kAvx, procs);
}

TEST(Lanes, Avx512) {
  if (!Has(kAvx512)) GTEST_SKIP() << "the processor has no AVX-512";
  for (int procs : {1, 2}) Lanes(kAvx512, procs);
}
#endif

}  // namespace

#endif
