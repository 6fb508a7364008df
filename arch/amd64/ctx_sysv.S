/* arch/amd64/ctx_sysv.S: switching between computations, System V calling convention (Linux, macOS, BSD).
 *
 * Saved: rbx rbp r12 r13 r14 r15 rsp, the control bits of MXCSR, the x87 control word: all that the
 * convention makes the callee keep. The direction flag is clear at every call. Everything else
 * (vector and mask registers, the exception flags of MXCSR) belongs to the caller of
 * go_arch_switch_.
 *
 * A suspended computation; frame_sysv.h names the offsets:
 *
 *     higher addresses
 *          | frame of go_arch_switch_'s caller    |
 *    +64   +--------------------------------------+  the stack pointer after the switch
 *    +56   | return address into the caller       |
 *    +48   | rbp        <- looks like a frame     |
 *    +40   | rbx                                  |
 *    +32   | r15                                  |
 *    +24   | r14                                  |
 *    +16   | r13                                  |
 *     +8   | r12                                  |
 *     +0   | MXCSR (4) | x87 control word (2) | - |  <- ctx->sp
 *          +--------------------------------------+
 *     lower addresses: nothing; the red zone is not used here
 *
 * Between saving and restoring, the stack pointer changes from one such frame to another, and
 * unwind information that is relative to the stack pointer holds at every instruction of both.
 *
 * ldmxcsr and fldcw are slow (they wait for the arithmetic before them), comparing is not: control
 * words are loaded only when they differ.
 *
 * go_arch_switch_ leaves by `ret`, though it returns to another computation than the one that
 * called it. Where both were suspended by the same call instruction, which is the rule (core has
 * one park function), the processor's return predictor guesses the right address. An indirect jump
 * (`pop rcx; jmp *rcx`) would leave the predictor with one address too many, so that every return
 * after it is predicted wrongly. One way on a 2.6 GHz Xeon: 2.7 ns by `ret`, 10.7 ns by a jump
 * where both sides run the same code; 11 ns by either where the function that both call was called
 * from different places. Loading the control words without comparing: 4.2 ns at best, 50 at worst.
 *
 * Shadow stacks (SHSTK) are not supported, and the property note below does not claim them: the
 * linker then leaves the mark off the whole program.
 */
#include "frame_sysv.h"

/* What differs between Mach-O and ELF: C's names, and what is said about symbols. */
#if defined(__APPLE__)
#define SYM(name) _##name
#define HIDDEN(name)     \
    .globl name;         \
    .private_extern name
#define SIZE(name)
#else
#define SYM(name) name
#define HIDDEN(name)     \
    .globl name;         \
    .hidden name;        \
    .type name, @function
#define SIZE(name) .size name, . - name
#endif

#define ENTER(name)      \
    HIDDEN(SYM(name));   \
    .balign 16;          \
SYM(name):               \
    .cfi_startproc;      \
    endbr64

#define LEAVE(name)      \
    .cfi_endproc;        \
    SIZE(SYM(name))

    .text

/* void *go_arch_switch_(go_arch_ctx_ *from: rdi, const go_arch_ctx_ *to: rsi, void *arg: rdx) */
ENTER(go_arch_switch_)
    subq    $GO_FRAME_RIP_, %rsp
    .cfi_adjust_cfa_offset GO_FRAME_RIP_
    movq    %rbp, GO_FRAME_RBP_(%rsp)
    .cfi_rel_offset rbp, GO_FRAME_RBP_
    movq    %rbx, GO_FRAME_RBX_(%rsp)
    .cfi_rel_offset rbx, GO_FRAME_RBX_
    movq    %r15, GO_FRAME_R15_(%rsp)
    .cfi_rel_offset r15, GO_FRAME_R15_
    movq    %r14, GO_FRAME_R14_(%rsp)
    .cfi_rel_offset r14, GO_FRAME_R14_
    movq    %r13, GO_FRAME_R13_(%rsp)
    .cfi_rel_offset r13, GO_FRAME_R13_
    movq    %r12, GO_FRAME_R12_(%rsp)
    .cfi_rel_offset r12, GO_FRAME_R12_
    stmxcsr GO_FRAME_MXCSR_(%rsp)
    fnstcw  GO_FRAME_X87CW_(%rsp)
    movq    (%rsi), %rsi            /* before *from is written: from may be to */
    movl    GO_FRAME_MXCSR_(%rsp), %ecx
    movzwl  GO_FRAME_X87CW_(%rsp), %r8d
    movq    %rdx, %rax
    movq    %rsp, (%rdi)

    movq    %rsi, %rsp
    xorl    GO_FRAME_MXCSR_(%rsp), %ecx
    testl   $~GO_MXCSR_FLAGS_, %ecx
    jne     3f
1:  cmpw    GO_FRAME_X87CW_(%rsp), %r8w
    jne     4f
2:  movq    GO_FRAME_R12_(%rsp), %r12
    movq    GO_FRAME_R13_(%rsp), %r13
    movq    GO_FRAME_R14_(%rsp), %r14
    movq    GO_FRAME_R15_(%rsp), %r15
    movq    GO_FRAME_RBX_(%rsp), %rbx
    movq    GO_FRAME_RBP_(%rsp), %rbp
    .cfi_remember_state
    .cfi_restore r12
    .cfi_restore r13
    .cfi_restore r14
    .cfi_restore r15
    .cfi_restore rbx
    .cfi_restore rbp
    addq    $GO_FRAME_RIP_, %rsp
    .cfi_adjust_cfa_offset -GO_FRAME_RIP_
    ret
    .cfi_restore_state
3:  ldmxcsr GO_FRAME_MXCSR_(%rsp)
    jmp     1b
4:  fldcw   GO_FRAME_X87CW_(%rsp)
    jmp     2b
LEAVE(go_arch_switch_)

/* Bottom of every stack: calls r12(rax). Reached by the first switch to a context, and by
 * go_arch_restart_, with rbp 0 and rsp 16-byte aligned. Unwinders end here: the return address is
 * undefined, the frame pointer 0. The nop belongs to the function because unwinders look up
 * the address before a return address, which for a context that never ran is the label. */
    HIDDEN(SYM(go_arch_start_))
    HIDDEN(SYM(go_arch_start_ret_))
    .balign 16
    .cfi_startproc
    .cfi_def_cfa rsp, 8
    .cfi_undefined rip
    nop
SYM(go_arch_start_):
    endbr64
    movq    %rax, %rdi
    call    *%r12
SYM(go_arch_start_ret_):
    ud2
LEAVE(go_arch_start_)

/* void go_arch_ctx_init_(go_arch_ctx_ *c: rdi, void *top: rsi, void (*entry)(void *): rdx)
 * In assembly because the stack may still be poisoned for code that a sanitizer instruments. */
ENTER(go_arch_ctx_init_)
    leaq    -GO_FRAME_SIZE_(%rsi), %rsi
    movabsq $(GO_X87CW_DEFAULT_ << 32 | GO_MXCSR_DEFAULT_), %rax
    movq    %rax, GO_FRAME_MXCSR_(%rsi)
    movq    %rdx, GO_FRAME_R12_(%rsi)
    xorl    %eax, %eax
    movq    %rax, GO_FRAME_R13_(%rsi)
    movq    %rax, GO_FRAME_R14_(%rsi)
    movq    %rax, GO_FRAME_R15_(%rsi)
    movq    %rax, GO_FRAME_RBX_(%rsi)
    movq    %rax, GO_FRAME_RBP_(%rsi)
    leaq    SYM(go_arch_start_)(%rip), %rax
    movq    %rax, GO_FRAME_RIP_(%rsi)
    movq    %rsi, (%rdi)
    ret
LEAVE(go_arch_ctx_init_)

/* void go_arch_restart_(void *top: rdi, void (*entry)(void *): rsi, void *arg: rdx) */
ENTER(go_arch_restart_)
    .cfi_undefined rip              /* nothing of the caller is left when rsp moves */
    movq    %rdi, %rsp
    .cfi_def_cfa rsp, 8
    xorl    %ebp, %ebp
    movq    %rsi, %r12
    stmxcsr -8(%rsp)
    fnstcw  -4(%rsp)
    movl    -8(%rsp), %ecx
    andl    $~GO_MXCSR_FLAGS_, %ecx
    cmpl    $GO_MXCSR_DEFAULT_, %ecx
    jne     3f
1:  cmpw    $GO_X87CW_DEFAULT_, -4(%rsp)
    jne     4f
2:  movq    %rdx, %rax
    jmp     SYM(go_arch_start_)
3:  movl    $GO_MXCSR_DEFAULT_, -8(%rsp)
    ldmxcsr -8(%rsp)
    jmp     1b
4:  movw    $GO_X87CW_DEFAULT_, -4(%rsp)
    fldcw   -4(%rsp)
    jmp     2b
LEAVE(go_arch_restart_)

/* int go_arch_call_(go_arch_ctx_ *mark: rdi, void (*fn)(void *): rsi, void *arg: rdx)
 * Makes the same frame as go_arch_switch_ (mark->sp), and a frame pointer for those who walk by it.
 * */
ENTER(go_arch_call_)
    pushq   %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rbp, 0
    movq    %rsp, %rbp
    .cfi_def_cfa_register rbp
    subq    $GO_FRAME_RBP_, %rsp
    movq    %rbx, GO_FRAME_RBX_(%rsp)
    .cfi_offset rbx, GO_FRAME_RBX_ - GO_FRAME_SIZE_
    movq    %r15, GO_FRAME_R15_(%rsp)
    .cfi_offset r15, GO_FRAME_R15_ - GO_FRAME_SIZE_
    movq    %r14, GO_FRAME_R14_(%rsp)
    .cfi_offset r14, GO_FRAME_R14_ - GO_FRAME_SIZE_
    movq    %r13, GO_FRAME_R13_(%rsp)
    .cfi_offset r13, GO_FRAME_R13_ - GO_FRAME_SIZE_
    movq    %r12, GO_FRAME_R12_(%rsp)
    .cfi_offset r12, GO_FRAME_R12_ - GO_FRAME_SIZE_
    stmxcsr GO_FRAME_MXCSR_(%rsp)
    fnstcw  GO_FRAME_X87CW_(%rsp)
    movq    %rsp, (%rdi)
    movq    %rdx, %rdi
    call    *%rsi
    xorl    %eax, %eax              /* fn kept all registers that it had to keep */
    leave
    .cfi_def_cfa rsp, 8
    .cfi_restore rbp
    .cfi_restore rbx
    .cfi_restore r15
    .cfi_restore r14
    .cfi_restore r13
    .cfi_restore r12
    ret
LEAVE(go_arch_call_)

/* void go_arch_unwind_(const go_arch_ctx_ *mark: rdi) */
ENTER(go_arch_unwind_)
    stmxcsr -8(%rsp)                /* in the red zone of the side that is left behind */
    fnstcw  -4(%rsp)
    movl    -8(%rsp), %ecx
    movzwl  -4(%rsp), %r8d
    movq    (%rdi), %rsp            /* from here on this is the frame of go_arch_call_ */
    .cfi_def_cfa rsp, GO_FRAME_SIZE_
    .cfi_offset rbp, GO_FRAME_RBP_ - GO_FRAME_SIZE_
    .cfi_offset rbx, GO_FRAME_RBX_ - GO_FRAME_SIZE_
    .cfi_offset r15, GO_FRAME_R15_ - GO_FRAME_SIZE_
    .cfi_offset r14, GO_FRAME_R14_ - GO_FRAME_SIZE_
    .cfi_offset r13, GO_FRAME_R13_ - GO_FRAME_SIZE_
    .cfi_offset r12, GO_FRAME_R12_ - GO_FRAME_SIZE_
    xorl    GO_FRAME_MXCSR_(%rsp), %ecx
    testl   $~GO_MXCSR_FLAGS_, %ecx
    jne     3f
1:  cmpw    GO_FRAME_X87CW_(%rsp), %r8w
    jne     4f
2:  movq    GO_FRAME_R12_(%rsp), %r12
    movq    GO_FRAME_R13_(%rsp), %r13
    movq    GO_FRAME_R14_(%rsp), %r14
    movq    GO_FRAME_R15_(%rsp), %r15
    movq    GO_FRAME_RBX_(%rsp), %rbx
    movq    GO_FRAME_RBP_(%rsp), %rbp
    movl    $1, %eax
    .cfi_remember_state
    .cfi_restore r12
    .cfi_restore r13
    .cfi_restore r14
    .cfi_restore r15
    .cfi_restore rbx
    .cfi_restore rbp
    addq    $GO_FRAME_RIP_, %rsp
    .cfi_def_cfa rsp, 8
    ret
    .cfi_restore_state
3:  ldmxcsr GO_FRAME_MXCSR_(%rsp)
    jmp     1b
4:  fldcw   GO_FRAME_X87CW_(%rsp)
    jmp     2b
LEAVE(go_arch_unwind_)

/* void go_arch_relax_(void) */
ENTER(go_arch_relax_)
    pause
    ret
LEAVE(go_arch_relax_)

#if !defined(__APPLE__)
    .section .note.GNU-stack, "", @progbits

/* GNU_PROPERTY_X86_FEATURE_1_AND = IBT. */
    .section .note.gnu.property, "a", @note
    .balign 8
    .long   4                       /* name size */
    .long   16                      /* descriptor size */
    .long   5                       /* NT_GNU_PROPERTY_TYPE_0 */
    .asciz  "GNU"
    .long   0xc0000002              /* GNU_PROPERTY_X86_FEATURE_1_AND */
    .long   4
    .long   1                       /* IBT */
    .long   0
#endif
