/* core/arch.h: what core asks of a processor architecture and its calling convention.
 *
 * Defined by exactly one of arch/amd64, arch/arm64, in assembly. Core calls these; nothing else does.
 * None of them suspends, allocates, or touches thread-local storage. Implementations follow these rules:
 *  - All registers that the calling convention makes the callee save are saved, and the floating-point
 *    control state that is part of it (amd64: MXCSR control bits and x87 control word; arm64: FPCR).
 *  - Every entry point starts with the platform's landing pad (endbr64, bti c).
 *  - Each function has unwind information. The frame of an entry function is marked as outermost (return
 *    address undefined, frame pointer 0) so that unwinders and profilers stop there.
 *  - Symbols are hidden; the file marks its stack as not executable.
 */
#ifndef GOLIB_CORE_ARCH_H_
#define GOLIB_CORE_ARCH_H_

#include <stddef.h>
#include <stdint.h>

/* A suspended computation: its stack pointer; its registers lie on its stack. Owner: whoever may
 * switch to it next. */
typedef struct go_arch_ctx_ {
  void *sp;
} go_arch_ctx_;

/* Bytes below a stack top that a context made by go_arch_ctx_init_ may use at first. */
#define GO_ARCH_FRAME_MAX_ 512

/* Saves the running computation in *from and continues *to. When somebody switches back, returns
 * that call's `arg` (the first entry gets it as entry's argument). `from` may be written before `to` is
 * left, and is complete when the next instruction of `to` runs. Called on goroutine stacks and on
 * thread stacks (g0). */
void *go_arch_switch_(go_arch_ctx_ *from, const go_arch_ctx_ *to, void *arg);

/* Makes *c a computation that calls entry(arg of the first switch to it) on the empty stack that ends at
 * `top` (16-byte aligned). Floating-point control starts with the platform's default. entry never returns.
 * low: the stack's lowest address; limit: what go_os_stack_ready_ returned. Systems that keep a thread's stack in
 * mind are told of both at each switch; others do not look at them. */
void go_arch_ctx_init_(go_arch_ctx_ *c, void *top, void (*entry)(void *), const void *low,
                       const void *limit);

/* Leaves everything that is on the current stack behind and calls entry(arg) at `top` of the very stack it runs on.
 * Never returns. */
_Noreturn void go_arch_restart_(void *top, void (*entry)(void *), void *arg);

/* Calls fn(arg) on the current stack and returns 0; or 1 when go_arch_unwind_(mark) was called in it,
 * with the callee-saved registers and control words as they were at the call. */
int go_arch_call_(go_arch_ctx_ *mark, void (*fn)(void *), void *arg);
/* Ends the go_arch_call_ that filled in mark and is still active on this stack. */
_Noreturn void go_arch_unwind_(const go_arch_ctx_ *mark);

/* A hint in a spin loop: some tens of cycles, frees the other hyperthread. */
void go_arch_relax_(void);

/* Return addresses of the computation suspended in *c (c NULL: of the caller), innermost first, by
 * frame pointers, reading only [lo, hi) of its stack. Returns how many of at most n were found.
 * Async-signal-safe. */
int go_arch_backtrace_(const go_arch_ctx_ *c, const void *lo, const void *hi, void **ret_pcs,
                       int n);

/* The same from a frame on, which is one of the caller's or of who called it (__builtin_frame_address), or what
 * go_os_fault_regs_ gave for that of a fault; its own PC is not among them. Async-signal-safe. */
int go_arch_backtrace_fp_(const void *frame, const void *lo, const void *hi, void **ret_pcs, int n);

/* "amd64", "arm64". */
extern const char go_arch_name_[];

#endif /* GOLIB_CORE_ARCH_H_ */
