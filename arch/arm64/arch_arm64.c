/* arch/arm64/arch_arm64.c: what of core/arch.h needs no assembly: walking stacks by frame pointers.
 * */
#include "core/arch.h"

#include <stdbool.h>

#include "frame.h"

/* The frame of ctx_aapcs64.S in C, to hold its offsets to it. */
struct frame {
  uint64_t x29;
  void *x30;
  uint64_t x19, x20, x21, x22, x23, x24, x25, x26, x27, x28;
  uint64_t d8, d9, d10, d11, d12, d13, d14, d15;
  uint64_t fpcr, pad;
};
_Static_assert(offsetof(struct frame, x29) == GO_FRAME_X29_, "frame.h");
_Static_assert(offsetof(struct frame, x30) == GO_FRAME_X30_, "frame.h");
_Static_assert(offsetof(struct frame, x19) == GO_FRAME_X19_, "frame.h");
_Static_assert(offsetof(struct frame, x21) == GO_FRAME_X21_, "frame.h");
_Static_assert(offsetof(struct frame, x23) == GO_FRAME_X23_, "frame.h");
_Static_assert(offsetof(struct frame, x25) == GO_FRAME_X25_, "frame.h");
_Static_assert(offsetof(struct frame, x27) == GO_FRAME_X27_, "frame.h");
_Static_assert(offsetof(struct frame, d8) == GO_FRAME_D8_, "frame.h");
_Static_assert(offsetof(struct frame, d10) == GO_FRAME_D10_, "frame.h");
_Static_assert(offsetof(struct frame, d12) == GO_FRAME_D12_, "frame.h");
_Static_assert(offsetof(struct frame, d14) == GO_FRAME_D14_, "frame.h");
_Static_assert(offsetof(struct frame, fpcr) == GO_FRAME_FPCR_, "frame.h");
_Static_assert(sizeof(struct frame) == GO_FRAME_SIZE_ && GO_FRAME_SIZE_ % 16 == 0, "frame.h");
_Static_assert(GO_FRAME_SIZE_ <= GO_ARCH_FRAME_MAX_, "core leaves room for it");
_Static_assert(offsetof(go_arch_ctx_, sp) == 0, "ctx_aapcs64.S");

/* The words of other people's frames are none that a sanitizer would let us read. */
#if defined(__clang__)
#define GO_RAW_STACK_                                                     \
  __attribute__((no_sanitize("address", "thread", "memory", "undefined"), \
                 disable_sanitizer_instrumentation))
#else
#define GO_RAW_STACK_ __attribute__((no_sanitize("address", "thread", "undefined")))
#endif

const char go_arch_name_[] = "arm64";

extern const char go_arch_start_[], go_arch_start_ret_[];

/* The return address is of the entry stub, which no reader wants to see. */
GO_RAW_STACK_ static bool is_bottom(const void *pc) {
  return pc == go_arch_start_ || pc == go_arch_start_ret_;
}

/* A return address without its signature, if the code that stored it signs (xpaclri, by its number as a
 * hint: nothing on a processor without pointer authentication). */
static inline void *strip(uintptr_t word) {
  register uintptr_t lr __asm__("x30") = word;
  __asm__("hint #7" : "+r"(lr));
  return (void *)lr;
}

/* A frame pointer points to { caller's frame pointer, return address }. Code without frame pointers
 * leaves anything at all in x29: whatever comes, only aligned words within [lo, hi) are read, and
 * each step goes up. */
GO_RAW_STACK_
int go_arch_backtrace_fp_(const void *frame, const void *lo, const void *hi, void **ret_pcs,
                          int n) {
  uintptr_t fp = (uintptr_t)frame, low = (uintptr_t)lo, high = (uintptr_t)hi;
  int found = 0;
  while (found < n && fp % sizeof(uintptr_t) == 0 && fp >= low && fp < high &&
         high - fp >= 2 * sizeof(uintptr_t)) {
    const uintptr_t *words = (const uintptr_t *)fp;
    void *pc = strip(words[1]);
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
  const char *fp = c != NULL ? (const char *)c->sp + GO_FRAME_X29_ : __builtin_frame_address(0);
  return go_arch_backtrace_fp_(fp, lo, hi, ret_pcs, n);
}
