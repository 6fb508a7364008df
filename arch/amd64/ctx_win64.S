/* arch/amd64/ctx_win64.S: switching between computations, Windows' calling convention.
 *
 * Saved: rbx rbp rdi rsi r12 r13 r14 r15 rsp, xmm6 to xmm15, the control bits of MXCSR, the x87 control word: all
 * that the convention makes the callee keep. And four words of the thread's environment block: the stack's base,
 * how far down it is committed, its lowest address; and the list of exception handlers, which Windows does not use on
 * x86-64, but Wine does.
 * How many bytes are kept for the handler of an overflow (GuaranteedStackBytes) is a setting of the thread, and stays.
 *
 * A suspended computation is as frame_win64.h has it. The same ways as in ctx_sysv.S: leaving by `ret`, comparing
 * control words before they are loaded.
 *
 * Unwind information is Windows' (.seh_): relative to the stack pointer, so it holds on both sides of a switch. At the
 * bottom of a stack lies a return address of 0, one word below the stack's base: there unwinders stop. An exception
 * that nobody has caught meets go_arch_unhandled_ there, as it meets the system's handler at the bottom of a thread.
 *
 * Frames of at most 4 KiB are not probed by compilers, larger ones are (__chkstk): with the right bounds in the TEB that
 * works as on a thread's own stack.
 */
#include "frame_win64.h"

#define ENTER(name)      \
    .globl name;         \
    .def name; .scl 2; .type 32; .endef; \
    .balign 16;          \
    .seh_proc name;      \
name:                    \
    endbr64

/* The frame begins `at` bytes above the stack pointer. */
#define SAVE(at)                                            \
    movq    %rbp, at + GO_FRAME_RBP_(%rsp);                 \
    .seh_savereg %rbp, at + GO_FRAME_RBP_;                  \
    movq    %rbx, at + GO_FRAME_RBX_(%rsp);                 \
    .seh_savereg %rbx, at + GO_FRAME_RBX_;                  \
    movq    %rdi, at + GO_FRAME_RDI_(%rsp);                 \
    .seh_savereg %rdi, at + GO_FRAME_RDI_;                  \
    movq    %rsi, at + GO_FRAME_RSI_(%rsp);                 \
    .seh_savereg %rsi, at + GO_FRAME_RSI_;                  \
    movq    %r12, at + GO_FRAME_R12_(%rsp);                 \
    .seh_savereg %r12, at + GO_FRAME_R12_;                  \
    movq    %r13, at + GO_FRAME_R13_(%rsp);                 \
    .seh_savereg %r13, at + GO_FRAME_R13_;                  \
    movq    %r14, at + GO_FRAME_R14_(%rsp);                 \
    .seh_savereg %r14, at + GO_FRAME_R14_;                  \
    movq    %r15, at + GO_FRAME_R15_(%rsp);                 \
    .seh_savereg %r15, at + GO_FRAME_R15_;                  \
    SAVE_XMM(6, at); SAVE_XMM(7, at); SAVE_XMM(8, at); SAVE_XMM(9, at); SAVE_XMM(10, at);     \
    SAVE_XMM(11, at); SAVE_XMM(12, at); SAVE_XMM(13, at); SAVE_XMM(14, at); SAVE_XMM(15, at); \
    .seh_endprologue;                                       \
    stmxcsr at + GO_FRAME_MXCSR_(%rsp);                     \
    fnstcw  at + GO_FRAME_X87CW_(%rsp)

#define SAVE_XMM(n, at)                                     \
    movaps  %xmm##n, at + GO_FRAME_XMM_ + 16 * (n - 6)(%rsp); \
    .seh_savexmm %xmm##n, at + GO_FRAME_XMM_ + 16 * (n - 6)

#define LOAD_XMM(n) movaps GO_FRAME_XMM_ + 16 * (n - 6)(%rsp), %xmm##n

#define RESTORE()                        \
    LOAD_XMM(6); LOAD_XMM(7); LOAD_XMM(8); LOAD_XMM(9); LOAD_XMM(10);      \
    LOAD_XMM(11); LOAD_XMM(12); LOAD_XMM(13); LOAD_XMM(14); LOAD_XMM(15);  \
    movq    GO_FRAME_R12_(%rsp), %r12;   \
    movq    GO_FRAME_R13_(%rsp), %r13;   \
    movq    GO_FRAME_R14_(%rsp), %r14;   \
    movq    GO_FRAME_R15_(%rsp), %r15;   \
    movq    GO_FRAME_RSI_(%rsp), %rsi;   \
    movq    GO_FRAME_RDI_(%rsp), %rdi;   \
    movq    GO_FRAME_RBX_(%rsp), %rbx;   \
    movq    GO_FRAME_RBP_(%rsp), %rbp;   \
    addq    $GO_FRAME_RIP_, %rsp;        \
    ret

    .text

/* void *go_arch_switch_(go_arch_ctx_ *from: rcx, const go_arch_ctx_ *to: rdx, void *arg: r8) */
ENTER(go_arch_switch_)
    subq    $GO_FRAME_RIP_, %rsp
    .seh_stackalloc GO_FRAME_RIP_
    SAVE(0)
    movq    %gs:GO_TEB_BASE_, %rax
    movq    %gs:GO_TEB_LIMIT_, %r9
    movq    %gs:GO_TEB_DEALLOC_, %r10
    movq    %gs:GO_TEB_HANDLERS_, %r11
    movq    %rax, GO_FRAME_BASE_(%rsp)
    movq    %r9, GO_FRAME_LIMIT_(%rsp)
    movq    %r10, GO_FRAME_DEALLOC_(%rsp)
    movq    %r11, GO_FRAME_HANDLERS_(%rsp)
    movq    (%rdx), %rdx            /* before *from is written: from may be to */
    movl    GO_FRAME_MXCSR_(%rsp), %r11d
    movzwl  GO_FRAME_X87CW_(%rsp), %r10d
    movq    %rsp, (%rcx)

    movq    GO_FRAME_BASE_(%rdx), %rax
    movq    GO_FRAME_LIMIT_(%rdx), %r9
    movq    GO_FRAME_DEALLOC_(%rdx), %rcx
    movq    %rdx, %rsp
    movq    %rax, %gs:GO_TEB_BASE_
    movq    %r9, %gs:GO_TEB_LIMIT_
    movq    %rcx, %gs:GO_TEB_DEALLOC_
    movq    GO_FRAME_HANDLERS_(%rsp), %r9
    movq    %r9, %gs:GO_TEB_HANDLERS_
    movq    %r8, %rax
    xorl    GO_FRAME_MXCSR_(%rsp), %r11d
    testl   $~GO_MXCSR_FLAGS_, %r11d
    jne     3f
1:  cmpw    GO_FRAME_X87CW_(%rsp), %r10w
    jne     4f
2:  RESTORE()
3:  ldmxcsr GO_FRAME_MXCSR_(%rsp)
    jmp     1b
4:  fldcw   GO_FRAME_X87CW_(%rsp)
    jmp     2b
    .seh_endproc

/* Bottom of every stack: calls r12(rax). Reached by the first switch to a context, and by go_arch_restart_, with rsp
 * 16-byte aligned and GO_START_FRAME_ bytes below a return address of 0. */
    .globl  go_arch_start_
    .def go_arch_start_; .scl 2; .type 32; .endef
    .balign 16
    .seh_proc go_arch_start_
go_arch_start_:
    .seh_stackalloc GO_START_FRAME_
    .seh_handler go_arch_unhandled_, @except
    .seh_endprologue
    endbr64
    movq    %rax, %rcx
    call    *%r12
    ud2
    .seh_endproc

/* void go_arch_ctx_init_(go_arch_ctx_ *c: rcx, void *top: rdx, void (*entry)(void *): r8, const void *low: r9,
 *                        const void *limit: 40(rsp)) */
ENTER(go_arch_ctx_init_)
    .seh_endprologue
    movq    40(%rsp), %r10
    leaq    -(GO_FRAME_SIZE_ + GO_START_FRAME_ + 8)(%rdx), %r11
    movabsq $(GO_X87CW_DEFAULT_ << 32 | GO_MXCSR_DEFAULT_), %rax
    movq    %rax, GO_FRAME_MXCSR_(%r11)
    movq    %rdx, GO_FRAME_BASE_(%r11)
    movq    %r10, GO_FRAME_LIMIT_(%r11)
    movq    %r9, GO_FRAME_DEALLOC_(%r11)
    movq    %r8, GO_FRAME_R12_(%r11)
    movq    $GO_NO_HANDLERS_, GO_FRAME_HANDLERS_(%r11)
    xorl    %eax, %eax
    movq    %rax, GO_FRAME_RSI_(%r11)
    movq    %rax, GO_FRAME_RDI_(%r11)
    movq    %rax, GO_FRAME_R13_(%r11)
    movq    %rax, GO_FRAME_R14_(%r11)
    movq    %rax, GO_FRAME_R15_(%r11)
    movq    %rax, GO_FRAME_RBX_(%r11)
    movq    %rax, GO_FRAME_RBP_(%r11)
    movq    %rax, -8(%rdx)
    leaq    go_arch_start_(%rip), %rax
    movq    %rax, GO_FRAME_RIP_(%r11)
    movq    %r11, (%rcx)
    ret
    .seh_endproc

/* void go_arch_restart_(void *top: rcx, void (*entry)(void *): rdx, void *arg: r8)
 * On the same stack, whose limit and lowest address hold; only the base may be another. */
ENTER(go_arch_restart_)
    .seh_endprologue
    leaq    -(GO_START_FRAME_ + 8)(%rcx), %rsp
    xorl    %ebp, %ebp
    movq    %rbp, -8(%rcx)
    movq    %rcx, %gs:GO_TEB_BASE_
    movq    $GO_NO_HANDLERS_, %gs:GO_TEB_HANDLERS_
    movq    %rdx, %r12
    stmxcsr (%rsp)
    fnstcw  4(%rsp)
    movl    (%rsp), %ecx
    andl    $~GO_MXCSR_FLAGS_, %ecx
    cmpl    $GO_MXCSR_DEFAULT_, %ecx
    jne     3f
1:  cmpw    $GO_X87CW_DEFAULT_, 4(%rsp)
    jne     4f
2:  movq    %r8, %rax
    jmp     go_arch_start_
3:  movl    $GO_MXCSR_DEFAULT_, (%rsp)
    ldmxcsr (%rsp)
    jmp     1b
4:  movw    $GO_X87CW_DEFAULT_, 4(%rsp)
    fldcw   4(%rsp)
    jmp     2b
    .seh_endproc

/* int go_arch_call_(go_arch_ctx_ *mark: rcx, void (*fn)(void *): rdx, void *arg: r8)
 * Makes the same frame as go_arch_switch_ (mark->sp), above the room for fn's arguments. */
ENTER(go_arch_call_)
    subq    $(32 + GO_FRAME_RIP_), %rsp
    .seh_stackalloc 32 + GO_FRAME_RIP_
    SAVE(32)
    leaq    32(%rsp), %rax
    movq    %rax, (%rcx)
    movq    %r8, %rcx
    movq    %gs:GO_TEB_HANDLERS_, %rax
    movq    %rax, 32 + GO_FRAME_HANDLERS_(%rsp)
    call    *%rdx
    xorl    %eax, %eax              /* fn kept all registers that it had to keep */
    movq    32 + GO_FRAME_RBP_(%rsp), %rbp
    addq    $(32 + GO_FRAME_RIP_), %rsp
    ret
    .seh_endproc

/* void go_arch_unwind_(const go_arch_ctx_ *mark: rcx)
 * The stack is the same, and what of it is committed has not become less: the TEB's words about it are left alone. */
ENTER(go_arch_unwind_)
    subq    $GO_FRAME_RIP_, %rsp
    .seh_stackalloc GO_FRAME_RIP_
    .seh_endprologue
    stmxcsr (%rsp)
    fnstcw  4(%rsp)
    movl    (%rsp), %r11d
    movzwl  4(%rsp), %r10d
    movq    (%rcx), %rsp            /* from here on this is the frame of go_arch_call_ */
    movq    GO_FRAME_HANDLERS_(%rsp), %rax
    movq    %rax, %gs:GO_TEB_HANDLERS_
    xorl    GO_FRAME_MXCSR_(%rsp), %r11d
    testl   $~GO_MXCSR_FLAGS_, %r11d
    jne     3f
1:  cmpw    GO_FRAME_X87CW_(%rsp), %r10w
    jne     4f
2:  movl    $1, %eax
    RESTORE()
3:  ldmxcsr GO_FRAME_MXCSR_(%rsp)
    jmp     1b
4:  fldcw   GO_FRAME_X87CW_(%rsp)
    jmp     2b
    .seh_endproc

/* void go_arch_relax_(void) */
ENTER(go_arch_relax_)
    .seh_endprologue
    pause
    ret
    .seh_endproc
