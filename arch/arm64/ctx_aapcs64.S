/* arch/arm64/ctx_aapcs64.S: switching between computations, the procedure call standard for 64-bit
 * Arm as Linux and the BSDs (ELF) and macOS (Mach-O) use it.
 *
 * Saved: x19 to x28, x29 (frame pointer), x30 (return address), sp, d8 to d15 (of v8 to v15 the
 * lower halves), FPCR: all that the convention makes the callee keep. FPSR (the exception flags), all
 * other vector and predicate registers belong to the caller of go_arch_switch_. x18 is the platform's
 * and is not touched. Not supported: SME's ZA array alive across a switch, -fsanitize=shadow-call-stack.
 *
 * A suspended computation; frame.h names the offsets:
 *
 *     higher addresses
 *          | frame of go_arch_switch_'s caller    |
 *   +176   +--------------------------------------+  the stack pointer after the switch
 *   +160   | FPCR, and 8 bytes of nothing         |
 *    +96   | d8 to d15                            |
 *    +16   | x19 to x28                           |
 *     +8   | x30: return address into the caller  |
 *     +0   | x29        <- looks like a frame     |  <- ctx->sp
 *          +--------------------------------------+
 *     lower addresses: nothing; there is no red zone
 *
 * Between saving and restoring, the stack pointer changes from one such frame to another, and
 * unwind information that is relative to the stack pointer holds at every instruction of both.
 *
 * Writing FPCR is slow, comparing is not: it is loaded only when it differs.
 *
 * go_arch_switch_ leaves by `ret`, as arch/amd64 does, for the return predictor's sake.
 *
 * Pointer authentication (-mbranch-protection=standard or pac-ret, which golib is compiled with on
 * Linux). A return address lies in memory signed, with the stack pointer that it returns with as
 * the modifier, and is authenticated before it is used: what compilers do in every function. It is
 * the same here, and never traps wrongly:
 *  - stacks never move, so the stack pointer is the same at both ends, though not the thread;
 *  - the keys are the process's (Linux makes them at exec and copies them to threads and forks), so
 *    that a goroutine may go on on another thread. A thread that makes itself new ones
 *    (PR_PAC_RESET_KEYS) cannot run goroutines, as it could not return from its callers either;
 *  - go_arch_ctx_init_ signs the address at which a new context starts, for its stack's top;
 *  - go_arch_backtrace_ and unwinders strip or check the signature (.cfi_negate_ra_state).
 * On a processor without it these instructions are hints that do nothing.
 *
 * Guarded control stacks (GCS) are not supported, and the property note below does not claim them:
 * the linker then leaves the mark off the whole program.
 */
#include "frame.h"

/* ---- what differs between ELF and Mach-O ----
 *
 * Macros of the assembler's, not the preprocessor's: Apple's takes ';' for a comment. */

#if defined(__APPLE__)
#define SYM(name) _##name
    .macro VISIBILITY name
    .globl \name
    .private_extern \name
    .endm
    .macro END name
    .cfi_endproc
    .endm
    .macro ADDRESS reg, name
    adrp    \reg, \name@PAGE
    add     \reg, \reg, \name@PAGEOFF
    .endm
#else
#define SYM(name) name
    .macro VISIBILITY name
    .globl \name
    .hidden \name
    .type \name, %function
    .endm
    .macro END name
    .cfi_endproc
    .size \name, . - \name
    .endm
    .macro ADDRESS reg, name
    adrp    \reg, \name
    add     \reg, \reg, :lo12:\name
    .endm
#endif

/* By their numbers as hints, which older assemblers know as well. */
#define BTI_C hint #34

#if defined(__ARM_FEATURE_PAC_DEFAULT) && !defined(__APPLE__)
    .macro SIGN_RETURN              /* paciasp */
    hint    #25
    .cfi_negate_ra_state
    .endm
    .macro CHECK_RETURN             /* autiasp */
    hint    #29
    .cfi_negate_ra_state
    .endm
    .macro RETURN_IS_SIGNED
    .cfi_negate_ra_state
    .endm
    .macro SIGN_X17_FOR_X16         /* pacia1716 */
    hint    #8
    .endm
#else
    .macro SIGN_RETURN
    .endm
    .macro CHECK_RETURN
    .endm
    .macro RETURN_IS_SIGNED
    .endm
    .macro SIGN_X17_FOR_X16
    .endm
#endif

    .macro ENTER name
    VISIBILITY \name
    .p2align 4
\name:
    .cfi_startproc
    BTI_C
    .endm

/* ---- the frame ---- */

    /* Where a frame that begins at sp keeps the caller's registers. */
    .macro CFI_FRAME
    .cfi_def_cfa sp, GO_FRAME_SIZE_
    .cfi_offset x29, GO_FRAME_X29_ - GO_FRAME_SIZE_
    .cfi_offset x30, GO_FRAME_X30_ - GO_FRAME_SIZE_
    .cfi_offset x19, GO_FRAME_X19_ - GO_FRAME_SIZE_
    .cfi_offset x20, GO_FRAME_X19_ + 8 - GO_FRAME_SIZE_
    .cfi_offset x21, GO_FRAME_X21_ - GO_FRAME_SIZE_
    .cfi_offset x22, GO_FRAME_X21_ + 8 - GO_FRAME_SIZE_
    .cfi_offset x23, GO_FRAME_X23_ - GO_FRAME_SIZE_
    .cfi_offset x24, GO_FRAME_X23_ + 8 - GO_FRAME_SIZE_
    .cfi_offset x25, GO_FRAME_X25_ - GO_FRAME_SIZE_
    .cfi_offset x26, GO_FRAME_X25_ + 8 - GO_FRAME_SIZE_
    .cfi_offset x27, GO_FRAME_X27_ - GO_FRAME_SIZE_
    .cfi_offset x28, GO_FRAME_X27_ + 8 - GO_FRAME_SIZE_
    .cfi_offset d8, GO_FRAME_D8_ - GO_FRAME_SIZE_
    .cfi_offset d9, GO_FRAME_D8_ + 8 - GO_FRAME_SIZE_
    .cfi_offset d10, GO_FRAME_D10_ - GO_FRAME_SIZE_
    .cfi_offset d11, GO_FRAME_D10_ + 8 - GO_FRAME_SIZE_
    .cfi_offset d12, GO_FRAME_D12_ - GO_FRAME_SIZE_
    .cfi_offset d13, GO_FRAME_D12_ + 8 - GO_FRAME_SIZE_
    .cfi_offset d14, GO_FRAME_D14_ - GO_FRAME_SIZE_
    .cfi_offset d15, GO_FRAME_D14_ + 8 - GO_FRAME_SIZE_
    .endm

    /* All are the caller's again. */
    .macro CFI_NO_FRAME
    .cfi_def_cfa sp, 0
    .cfi_restore x29
    .cfi_restore x30
    .cfi_restore x19
    .cfi_restore x20
    .cfi_restore x21
    .cfi_restore x22
    .cfi_restore x23
    .cfi_restore x24
    .cfi_restore x25
    .cfi_restore x26
    .cfi_restore x27
    .cfi_restore x28
    .cfi_restore d8
    .cfi_restore d9
    .cfi_restore d10
    .cfi_restore d11
    .cfi_restore d12
    .cfi_restore d13
    .cfi_restore d14
    .cfi_restore d15
    .endm

    /* Makes a frame. Leaves FPCR in x3. Until all is stored, what is not is still in its register, and
     * one rule at a time says so. */
    .macro SAVE
    stp     x29, x30, [sp, #-GO_FRAME_SIZE_]!
    .cfi_def_cfa_offset GO_FRAME_SIZE_
    .cfi_offset x29, GO_FRAME_X29_ - GO_FRAME_SIZE_
    .cfi_offset x30, GO_FRAME_X30_ - GO_FRAME_SIZE_
    mrs     x3, fpcr
    stp     x19, x20, [sp, #GO_FRAME_X19_]
    stp     x21, x22, [sp, #GO_FRAME_X21_]
    stp     x23, x24, [sp, #GO_FRAME_X23_]
    stp     x25, x26, [sp, #GO_FRAME_X25_]
    stp     x27, x28, [sp, #GO_FRAME_X27_]
    stp     d8, d9, [sp, #GO_FRAME_D8_]
    stp     d10, d11, [sp, #GO_FRAME_D10_]
    stp     d12, d13, [sp, #GO_FRAME_D12_]
    stp     d14, d15, [sp, #GO_FRAME_D14_]
    str     x3, [sp, #GO_FRAME_FPCR_]
    CFI_FRAME
    .endm

    /* Leaves the frame at sp, which is that of another computation, or of an outer call, and returns from
     * it. x3: FPCR as it is now. */
    .macro RESTORE_AND_RETURN
    ldr     x4, [sp, #GO_FRAME_FPCR_]
    ldp     x19, x20, [sp, #GO_FRAME_X19_]
    ldp     x21, x22, [sp, #GO_FRAME_X21_]
    ldp     x23, x24, [sp, #GO_FRAME_X23_]
    ldp     x25, x26, [sp, #GO_FRAME_X25_]
    ldp     x27, x28, [sp, #GO_FRAME_X27_]
    ldp     d8, d9, [sp, #GO_FRAME_D8_]
    ldp     d10, d11, [sp, #GO_FRAME_D10_]
    ldp     d12, d13, [sp, #GO_FRAME_D12_]
    ldp     d14, d15, [sp, #GO_FRAME_D14_]
    cmp     x3, x4
    b.ne    3f
1:  ldp     x29, x30, [sp], #GO_FRAME_SIZE_
    .cfi_remember_state
    CFI_NO_FRAME
    CHECK_RETURN
    ret
    .cfi_restore_state
3:  msr     fpcr, x4
    b       1b
    .endm

    .text

/* void *go_arch_switch_(go_arch_ctx_ *from: x0, const go_arch_ctx_ *to: x1, void *arg: x2) */
    ENTER   SYM(go_arch_switch_)
    SIGN_RETURN
    SAVE
    ldr     x1, [x1]                /* before *from is written: from may be to */
    mov     x4, sp
    str     x4, [x0]
    mov     x0, x2
    mov     sp, x1
    RESTORE_AND_RETURN
    END     SYM(go_arch_switch_)

/* Bottom of every stack: calls x19(x0). Reached by the first switch to a context, whose argument is in
 * x0 as it returns it, and by go_arch_restart_, with x29 0. Unwinders end here: the return address is
 * undefined, the frame pointer 0. The nop belongs to the function because unwinders look up
 * the address before a return address, which for a context that never ran is the label. */
    VISIBILITY SYM(go_arch_start_)
    VISIBILITY SYM(go_arch_start_ret_)
    .p2align 4
    .cfi_startproc
    .cfi_undefined x30
    nop
SYM(go_arch_start_):
    BTI_C
    blr     x19
SYM(go_arch_start_ret_):
    brk     #1
    END     SYM(go_arch_start_)

/* void go_arch_ctx_init_(go_arch_ctx_ *c: x0, void *top: x1, void (*entry)(void *): x2)
 * In assembly because the stack may still be poisoned for code that a sanitizer instruments. */
    ENTER   SYM(go_arch_ctx_init_)
    ADDRESS x17, SYM(go_arch_start_)
    mov     x16, x1
    SIGN_X17_FOR_X16
    sub     x1, x1, #GO_FRAME_SIZE_
    stp     xzr, x17, [x1, #GO_FRAME_X29_]
    stp     x2, xzr, [x1, #GO_FRAME_X19_]
    stp     xzr, xzr, [x1, #GO_FRAME_X21_]
    stp     xzr, xzr, [x1, #GO_FRAME_X23_]
    stp     xzr, xzr, [x1, #GO_FRAME_X25_]
    stp     xzr, xzr, [x1, #GO_FRAME_X27_]
    stp     xzr, xzr, [x1, #GO_FRAME_D8_]
    stp     xzr, xzr, [x1, #GO_FRAME_D10_]
    stp     xzr, xzr, [x1, #GO_FRAME_D12_]
    stp     xzr, xzr, [x1, #GO_FRAME_D14_]
    stp     xzr, xzr, [x1, #GO_FRAME_FPCR_] /* 0: as the kernel gives it to a new thread */
    str     x1, [x0]
    ret
    END     SYM(go_arch_ctx_init_)

/* void go_arch_restart_(void *top: x0, void (*entry)(void *): x1, void *arg: x2) */
    ENTER   SYM(go_arch_restart_)
    .cfi_undefined x30              /* nothing of the caller is left when sp moves */
    mov     sp, x0
    mov     x29, xzr
    mov     x30, xzr
    mov     x19, x1
    mov     x0, x2
    mrs     x3, fpcr
    cbnz    x3, 3f
1:  b       SYM(go_arch_start_)
3:  msr     fpcr, xzr
    b       1b
    END     SYM(go_arch_restart_)

/* int go_arch_call_(go_arch_ctx_ *mark: x0, void (*fn)(void *): x1, void *arg: x2)
 * Makes the same frame as go_arch_switch_ (mark->sp), and points x29 to it for those who walk by it. */
    ENTER   SYM(go_arch_call_)
    SIGN_RETURN
    SAVE
    mov     x29, sp
    str     x29, [x0]
    mov     x0, x2
    blr     x1
    mov     w0, #0                  /* fn kept all registers that it had to keep */
    ldp     x29, x30, [sp], #GO_FRAME_SIZE_
    CFI_NO_FRAME
    CHECK_RETURN
    ret
    END     SYM(go_arch_call_)

/* void go_arch_unwind_(const go_arch_ctx_ *mark: x0) */
    ENTER   SYM(go_arch_unwind_)
    mrs     x3, fpcr
    ldr     x1, [x0]
    mov     w0, #1
    mov     sp, x1                  /* from here on this is the frame of go_arch_call_ */
    CFI_FRAME
    RETURN_IS_SIGNED
    RESTORE_AND_RETURN
    END     SYM(go_arch_unwind_)

/* void go_arch_relax_(void)
 * `yield` does nothing on most processors. `isb` waits until the pipeline is empty: 10 to 60 cycles. */
    ENTER   SYM(go_arch_relax_)
    isb
    ret
    END     SYM(go_arch_relax_)

#if defined(__APPLE__)
    .subsections_via_symbols
#else
    .section .note.GNU-stack, "", %progbits

/* GNU_PROPERTY_AARCH64_FEATURE_1_AND = BTI, and PAC if returns are signed. */
    .section .note.gnu.property, "a", %note
    .balign 8
    .long   4                       /* name size */
    .long   16                      /* descriptor size */
    .long   5                       /* NT_GNU_PROPERTY_TYPE_0 */
    .asciz  "GNU"
    .long   0xc0000000              /* GNU_PROPERTY_AARCH64_FEATURE_1_AND */
    .long   4
#if defined(__ARM_FEATURE_PAC_DEFAULT)
    .long   3                       /* BTI, PAC */
#else
    .long   1                       /* BTI */
#endif
    .long   0
#endif
