/* arch/amd64/frame_win64.h: the frame that a suspended computation leaves on its stack where Windows' calling
 * convention holds, for assembly and C.
 *
 * Besides the registers it has what the thread's environment block (TEB) says of the stack: the kernel grows a stack,
 * and unwinders trust frames, within these bounds.
 */
#ifndef GOLIB_ARCH_AMD64_FRAME_WIN64_H_
#define GOLIB_ARCH_AMD64_FRAME_WIN64_H_

#define GO_FRAME_MXCSR_ 0
#define GO_FRAME_X87CW_ 4
#define GO_FRAME_BASE_ 8
#define GO_FRAME_LIMIT_ 16
#define GO_FRAME_DEALLOC_ 24
#define GO_FRAME_XMM_ 32 /* xmm6 to xmm15, 16 bytes each */
#define GO_FRAME_RSI_ 192
#define GO_FRAME_RDI_ 200
#define GO_FRAME_R12_ 208
#define GO_FRAME_R13_ 216
#define GO_FRAME_R14_ 224
#define GO_FRAME_R15_ 232
#define GO_FRAME_RBX_ 240
#define GO_FRAME_HANDLERS_ 248
#define GO_FRAME_RBP_ 256
#define GO_FRAME_RIP_ 264
#define GO_FRAME_SIZE_ 272

/* The frame of go_arch_start_: 32 bytes for the callee's arguments and 8 for the alignment, below a return address of 0. */
#define GO_START_FRAME_ 40

/* TEB, by gs: NT_TIB.ExceptionList, StackBase and StackLimit; DeallocationStack. */
#define GO_TEB_HANDLERS_ 0x00
#define GO_TEB_BASE_ 0x08
#define GO_TEB_LIMIT_ 0x10
#define GO_TEB_DEALLOC_ 0x1478

/* The end of a list of exception handlers. */
#define GO_NO_HANDLERS_ -1

/* MXCSR: the bits below are sticky exception flags, which belong to the caller; only those above
 * are control. Defaults as the C runtime gives them to a new thread. */
#define GO_MXCSR_FLAGS_ 0x3f
#define GO_MXCSR_DEFAULT_ 0x1f80
#define GO_X87CW_DEFAULT_ 0x37f

#endif /* GOLIB_ARCH_AMD64_FRAME_WIN64_H_ */
