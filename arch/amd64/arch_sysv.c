/* arch/amd64/arch_sysv.c: what of core/arch.h needs no assembly: walking stacks by frame pointers.
 * */
#include "core/arch.h"

#include <stdbool.h>

#include "frame_sysv.h"

/* The frame of ctx_sysv.S in C, to hold its offsets to it. */
struct frame {
  uint32_t mxcsr;
  uint16_t x87cw, pad;
  uint64_t r12, r13, r14, r15, rbx, rbp;
  void *rip;
};
_Static_assert(offsetof(struct frame, mxcsr) == GO_FRAME_MXCSR_, "frame_sysv.h");
_Static_assert(offsetof(struct frame, x87cw) == GO_FRAME_X87CW_, "frame_sysv.h");
_Static_assert(offsetof(struct frame, r12) == GO_FRAME_R12_, "frame_sysv.h");
_Static_assert(offsetof(struct frame, r13) == GO_FRAME_R13_, "frame_sysv.h");
_Static_assert(offsetof(struct frame, r14) == GO_FRAME_R14_, "frame_sysv.h");
_Static_assert(offsetof(struct frame, r15) == GO_FRAME_R15_, "frame_sysv.h");
_Static_assert(offsetof(struct frame, rbx) == GO_FRAME_RBX_, "frame_sysv.h");
_Static_assert(offsetof(struct frame, rbp) == GO_FRAME_RBP_, "frame_sysv.h");
_Static_assert(offsetof(struct frame, rip) == GO_FRAME_RIP_, "frame_sysv.h");
_Static_assert(sizeof(struct frame) == GO_FRAME_SIZE_, "frame_sysv.h");
_Static_assert(GO_FRAME_SIZE_ <= GO_ARCH_FRAME_MAX_, "core leaves room for it");
_Static_assert(offsetof(go_arch_ctx_, sp) == 0, "ctx_sysv.S");

/* The words of other people's frames are none that a sanitizer would let us read. */
#if defined(__clang__)
#define GO_RAW_STACK_                                                     \
  __attribute__((no_sanitize("address", "thread", "memory", "undefined"), \
                 disable_sanitizer_instrumentation))
#else
#define GO_RAW_STACK_ __attribute__((no_sanitize("address", "thread", "undefined")))
#endif

const char go_arch_name_[] = "amd64";

extern const char go_arch_start_[], go_arch_start_ret_[];

/* The return address is of the entry stub, which no reader wants to see. */
GO_RAW_STACK_ static bool is_bottom(const void *pc) {
  return pc == go_arch_start_ || pc == go_arch_start_ret_;
}

/* A frame pointer points to { caller's frame pointer, return address }. Code without frame pointers
 * leaves anything at all in rbp: whatever comes, only aligned words within [lo, hi) are read, and
 * each step goes up. */
GO_RAW_STACK_
int go_arch_backtrace_fp_(const void *frame, const void *lo, const void *hi, void **ret_pcs,
                          int n) {
  uintptr_t fp = (uintptr_t)frame, low = (uintptr_t)lo, high = (uintptr_t)hi;
  int found = 0;
  while (found < n && fp % sizeof(uintptr_t) == 0 && fp >= low && fp < high &&
         high - fp >= 2 * sizeof(uintptr_t)) {
    const uintptr_t *words = (const uintptr_t *)fp;
    void *pc = (void *)words[1];
    if (pc == NULL || is_bottom(pc)) break;
    ret_pcs[found++] = pc;
    low = fp + 2 * sizeof(uintptr_t);
    fp = words[0];
  }
  return found;
}

GO_RAW_STACK_ __attribute__((noinline)) int go_arch_backtrace_(const go_arch_ctx_ *c,
                                                               const void *lo, const void *hi,
                                                               void **ret_pcs, int n) {
  /* __builtin_frame_address makes the compiler set up a frame here, whatever its options. */
  const char *fp = c != NULL ? (const char *)c->sp + GO_FRAME_RBP_ : __builtin_frame_address(0);
  return go_arch_backtrace_fp_(fp, lo, hi, ret_pcs, n);
}
