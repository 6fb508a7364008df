/* arch/amd64/arch_win64.c: what of core/arch.h needs no assembly, on Windows: walking stacks.
 *
 * Frames do not begin with a frame pointer here; they are described by tables. So there is no walking from a frame
 * pointer on, but from registers: those of a suspended computation, of a fault, or our own.
 */
#define WIN32_LEAN_AND_MEAN
#include "core/arch.h"

#include <stdbool.h>
#include <string.h>
#include <windows.h>

#include "frame_win64.h"

/* The frame of ctx_win64.S in C, to hold its offsets to it. */
struct frame {
  uint32_t mxcsr;
  uint16_t x87cw, pad;
  const void *base, *limit, *dealloc;
  M128A xmm[10];
  uint64_t rsi, rdi, r12, r13, r14, r15, rbx, handlers, rbp, rip;
};
_Static_assert(offsetof(struct frame, mxcsr) == GO_FRAME_MXCSR_, "frame_win64.h");
_Static_assert(offsetof(struct frame, x87cw) == GO_FRAME_X87CW_, "frame_win64.h");
_Static_assert(offsetof(struct frame, base) == GO_FRAME_BASE_, "frame_win64.h");
_Static_assert(offsetof(struct frame, limit) == GO_FRAME_LIMIT_, "frame_win64.h");
_Static_assert(offsetof(struct frame, dealloc) == GO_FRAME_DEALLOC_, "frame_win64.h");
_Static_assert(offsetof(struct frame, xmm) == GO_FRAME_XMM_, "frame_win64.h");
_Static_assert(offsetof(struct frame, rsi) == GO_FRAME_RSI_, "frame_win64.h");
_Static_assert(offsetof(struct frame, rdi) == GO_FRAME_RDI_, "frame_win64.h");
_Static_assert(offsetof(struct frame, r12) == GO_FRAME_R12_, "frame_win64.h");
_Static_assert(offsetof(struct frame, r13) == GO_FRAME_R13_, "frame_win64.h");
_Static_assert(offsetof(struct frame, r14) == GO_FRAME_R14_, "frame_win64.h");
_Static_assert(offsetof(struct frame, r15) == GO_FRAME_R15_, "frame_win64.h");
_Static_assert(offsetof(struct frame, rbx) == GO_FRAME_RBX_, "frame_win64.h");
_Static_assert(offsetof(struct frame, handlers) == GO_FRAME_HANDLERS_, "frame_win64.h");
_Static_assert(offsetof(struct frame, rbp) == GO_FRAME_RBP_, "frame_win64.h");
_Static_assert(offsetof(struct frame, rip) == GO_FRAME_RIP_, "frame_win64.h");
_Static_assert(sizeof(struct frame) == GO_FRAME_SIZE_, "frame_win64.h");
_Static_assert(GO_FRAME_SIZE_ + GO_START_FRAME_ + 8 <= GO_ARCH_FRAME_MAX_,
               "core leaves room for it");
_Static_assert(offsetof(go_arch_ctx_, sp) == 0, "ctx_win64.S");
_Static_assert(GO_TEB_HANDLERS_ == offsetof(NT_TIB, ExceptionList), "frame_win64.h");
_Static_assert(GO_TEB_BASE_ == offsetof(NT_TIB, StackBase), "frame_win64.h");
_Static_assert(GO_TEB_LIMIT_ == offsetof(NT_TIB, StackLimit), "frame_win64.h");

const char go_arch_name_[] = "amd64";

void go_arch_start_(void);
EXCEPTION_DISPOSITION go_arch_unhandled_(EXCEPTION_RECORD *record, void *frame, CONTEXT *context,
                                         void *dispatcher);

/* At the bottom of a stack, for an exception that nobody has caught: what the system does at the bottom of a thread. The
 * program's filter may continue; C++ runtimes do so for an exception of theirs, and then call std::terminate. */
EXCEPTION_DISPOSITION go_arch_unhandled_(EXCEPTION_RECORD *record, void *frame, CONTEXT *context,
                                         void *dispatcher) {
  (void)frame;
  (void)dispatcher;
  if (record->ExceptionFlags & (EXCEPTION_UNWINDING | EXCEPTION_EXIT_UNWIND)) {
    return ExceptionContinueSearch;
  }
  EXCEPTION_POINTERS both = {record, context};
  if (UnhandledExceptionFilter(&both) == EXCEPTION_CONTINUE_EXECUTION) {
    return ExceptionContinueExecution;
  }
  (void)TerminateProcess(GetCurrentProcess(), record->ExceptionCode);
  return ExceptionContinueSearch;
}

/* One frame up. false: there is none, or the stack is left. */
static bool step_up(CONTEXT *c, uintptr_t lo, uintptr_t hi) {
  ULONG64 image, establisher;
  void *handler_data;
  if (c->Rsp < lo || c->Rsp >= hi || hi - c->Rsp < sizeof(uintptr_t)) {
    return false;
  }
  RUNTIME_FUNCTION *f = RtlLookupFunctionEntry(c->Rip, &image, NULL);
  if (f == NULL) { /* a leaf function: its return address is all that it has on the stack */
    c->Rip = *(const uintptr_t *)c->Rsp;
    c->Rsp += sizeof(uintptr_t);
  } else {
    (void)RtlVirtualUnwind(UNW_FLAG_NHANDLER, image, c->Rip, f, c, &handler_data, &establisher,
                           NULL);
  }
  return c->Rip != 0 && c->Rsp <= hi;
}

/* Return addresses above `from`, which lies on the stack, or all (NULL). */
static int walk(CONTEXT *c, uintptr_t from, uintptr_t lo, uintptr_t hi, void **ret_pcs, int n) {
  int found = 0;
  ULONG64 image;
  const RUNTIME_FUNCTION *start =
      RtlLookupFunctionEntry((ULONG64)(uintptr_t)go_arch_start_, &image, NULL);
  while (found < n) {
    uintptr_t before = c->Rsp;
    if (!step_up(c, lo, hi) || c->Rsp <= before) {
      break;
    }
    if (c->Rsp <= from) {
      continue;
    }
    ULONG64 base;
    if (start != NULL && RtlLookupFunctionEntry(c->Rip, &base, NULL) == start) {
      break; /* the entry stub, which no reader wants to see */
    }
    ret_pcs[found++] = (void *)(uintptr_t)c->Rip;
  }
  return found;
}

/* frame: an address in an active frame of this stack, whose caller is the first to be told; or, with the lowest bit set, a
 * CONTEXT: go_os_fault_regs_. */
__attribute__((noinline)) int go_arch_backtrace_fp_(const void *frame, const void *lo,
                                                    const void *hi, void **ret_pcs, int n) {
  CONTEXT c;
  if ((uintptr_t)frame & 1) {
    memcpy(&c, (const char *)frame - 1, sizeof c);
    return walk(&c, 0, (uintptr_t)lo, (uintptr_t)hi, ret_pcs, n);
  }
  RtlCaptureContext(&c);
  return walk(&c, (uintptr_t)frame, c.Rsp, (uintptr_t)hi, ret_pcs, n);
}

__attribute__((noinline)) int go_arch_backtrace_(const go_arch_ctx_ *c, const void *lo,
                                                 const void *hi, void **ret_pcs, int n) {
  CONTEXT regs;
  if (c == NULL) {
    return go_arch_backtrace_fp_(__builtin_frame_address(0), lo, hi, ret_pcs, n);
  }
  /* Where go_arch_switch_ returns to; registers that it does not keep are of no use to its caller. */
  const struct frame *f = c->sp;
  if ((uintptr_t)f < (uintptr_t)lo || (uintptr_t)f >= (uintptr_t)hi || n < 1) {
    return 0;
  }
  memset(&regs, 0, sizeof regs);
  regs.ContextFlags = CONTEXT_FULL;
  regs.Rip = f->rip;
  regs.Rsp = (uintptr_t)f + GO_FRAME_SIZE_;
  regs.Rbp = f->rbp;
  regs.Rbx = f->rbx;
  regs.Rsi = f->rsi;
  regs.Rdi = f->rdi;
  regs.R12 = f->r12;
  regs.R13 = f->r13;
  regs.R14 = f->r14;
  regs.R15 = f->r15;
  memcpy(&regs.Xmm6, f->xmm, sizeof f->xmm);
  if (f->rip == (uintptr_t)go_arch_start_) { /* it has never run */
    return 0;
  }
  ret_pcs[0] = (void *)(uintptr_t)f->rip;
  return 1 + walk(&regs, 0, (uintptr_t)lo, (uintptr_t)hi, ret_pcs + 1, n - 1);
}
