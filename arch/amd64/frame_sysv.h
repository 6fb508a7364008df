/* arch/amd64/frame_sysv.h: the frame that a suspended computation leaves on its stack, for assembly and
 * C.
 *
 * What gdb and lldb scripts know about it, too: the frame pointer and the return address lie next
 * to each other as in any frame, so a suspended computation can be walked from (sp + GO_FRAME_RBP_)
 * on.
 */
#ifndef GOLIB_ARCH_AMD64_FRAME_H_
#define GOLIB_ARCH_AMD64_FRAME_H_

#define GO_FRAME_MXCSR_ 0
#define GO_FRAME_X87CW_ 4
#define GO_FRAME_R12_ 8
#define GO_FRAME_R13_ 16
#define GO_FRAME_R14_ 24
#define GO_FRAME_R15_ 32
#define GO_FRAME_RBX_ 40
#define GO_FRAME_RBP_ 48
#define GO_FRAME_RIP_ 56
#define GO_FRAME_SIZE_ 64

/* MXCSR: the bits below are sticky exception flags, which belong to the caller; only those above
 * are control. Defaults as the kernel gives them to a new thread. */
#define GO_MXCSR_FLAGS_ 0x3f
#define GO_MXCSR_DEFAULT_ 0x1f80
#define GO_X87CW_DEFAULT_ 0x37f

#endif /* GOLIB_ARCH_AMD64_FRAME_H_ */
