/* preempt/suspend/entry_amd64.S: where a thread goes on whose goroutine is to be stopped.
 *
 * As if an interrupt had come between two instructions: nothing may be changed, flags and vectors included. There is no red
 * zone on Windows, so what lies below the stack pointer is free; suspend.c has seen to it that there is room. The stack then, from
 * its top to its bottom:
 *
 *     ss rsp flags cs rip      what iretq takes; rip comes from suspend.c
 *     rbp rax ... r15          rbp points to the last of them
 *     xsave's area             go_suspend_area_ bytes, at a multiple of 64
 *     32 bytes                 for the callee
 *
 * xsave and xrstor know all registers that the system keeps for a thread, those of processors to come among them. In
 * between they are as a new thread has them: the C code must not meet somebody's rounding, or a full x87 stack.
 *
 * Unwind information: a machine frame, so unwinders go on in the interrupted function, at that very instruction. (Between the first
 * instructions here, and the last ones, they would see nonsense; nothing unwinds there.)
 */
#include "frame.h"

#define PUSH(reg)   \
    pushq   reg;    \
    .seh_pushreg reg

    .section .rdata, "dr"
    .balign 64
initial:                            /* an area that says: all as at the beginning */
    .zero   24
    .long   0x1f80                  /* MXCSR is loaded in any case */
    .zero   GO_XSAVE_MIN_ - 28

    .text
    .globl  go_suspend_entry_
    .def go_suspend_entry_; .scl 2; .type 32; .endef
    .balign 16
    .seh_proc go_suspend_entry_
go_suspend_entry_:
    pushq   $0
    pushq   %rsp
    pushfq
    pushq   $0
    pushq   $0
    .seh_pushframe
    PUSH(%rbp); PUSH(%rax); PUSH(%rcx); PUSH(%rdx); PUSH(%rbx); PUSH(%rsi); PUSH(%rdi)
    PUSH(%r8); PUSH(%r9); PUSH(%r10); PUSH(%r11); PUSH(%r12); PUSH(%r13); PUSH(%r14); PUSH(%r15)
    movq    %rsp, %rbp
    .seh_setframe %rbp, 0
    .seh_endprologue
    cld
    addq    $8, GO_STOPPED_RSP_(%rbp)
    movl    %cs, %eax
    movq    %rax, GO_STOPPED_CS_(%rbp)
    movl    %ss, %eax
    movq    %rax, GO_STOPPED_SS_(%rbp)

    /* Down to the area, touching each page, as the system commits them one by one. */
    movq    %rsp, %rbx
    subq    go_suspend_area_(%rip), %rbx
    andq    $-64, %rbx
1:  subq    $4096, %rsp
    cmpq    %rbx, %rsp
    jb      2f
    orl     $0, (%rsp)
    jmp     1b
2:  leaq    -32(%rbx), %rsp

    xorl    %eax, %eax
    movq    %rax, GO_XSAVE_HEADER_ + 0(%rbx)
    movq    %rax, GO_XSAVE_HEADER_ + 8(%rbx)
    movq    %rax, GO_XSAVE_HEADER_ + 16(%rbx)
    movq    %rax, GO_XSAVE_HEADER_ + 24(%rbx)
    movq    %rax, GO_XSAVE_HEADER_ + 32(%rbx)
    movq    %rax, GO_XSAVE_HEADER_ + 40(%rbx)
    movq    %rax, GO_XSAVE_HEADER_ + 48(%rbx)
    movq    %rax, GO_XSAVE_HEADER_ + 56(%rbx)
    movl    $GO_XSAVE_MASK_LOW_, %eax
    movl    $GO_XSAVE_MASK_HIGH_, %edx
    xsave64 (%rbx)
    xrstor64 initial(%rip)

    leaq    GO_STOPPED_RIP_(%rbp), %rcx
    call    go_suspend_stopped_

    movl    $GO_XSAVE_MASK_LOW_, %eax
    movl    $GO_XSAVE_MASK_HIGH_, %edx
    xrstor64 (%rbx)
    movq    %rbp, %rsp
    popq    %r15
    popq    %r14
    popq    %r13
    popq    %r12
    popq    %r11
    popq    %r10
    popq    %r9
    popq    %r8
    popq    %rdi
    popq    %rsi
    popq    %rbx
    popq    %rdx
    popq    %rcx
    popq    %rax
    popq    %rbp
    iretq
    .seh_endproc
