/* preempt/suspend/frame.h: what entry_amd64.S leaves on the stack of a goroutine that it has stopped. */
#ifndef GOLIB_PREEMPT_SUSPEND_FRAME_H_
#define GOLIB_PREEMPT_SUSPEND_FRAME_H_

/* Offsets from the frame pointer: 15 registers, and what iretq takes, which unwinders know as a machine frame. */
#define GO_STOPPED_REGS_ 120
#define GO_STOPPED_RIP_ (GO_STOPPED_REGS_ + 0)
#define GO_STOPPED_CS_ (GO_STOPPED_REGS_ + 8)
#define GO_STOPPED_FLAGS_ (GO_STOPPED_REGS_ + 16)
#define GO_STOPPED_RSP_ (GO_STOPPED_REGS_ + 24)
#define GO_STOPPED_SS_ (GO_STOPPED_REGS_ + 32)
#define GO_STOPPED_SIZE_ (GO_STOPPED_REGS_ + 40)

/* The area of xsave: its header, and the control word of SSE; all states but that of protection keys (bit 9), which are
 * the thread's. */
#define GO_XSAVE_HEADER_ 512
#define GO_XSAVE_MIN_ 576
#define GO_XSAVE_MASK_LOW_ 0xfffffdff
#define GO_XSAVE_MASK_HIGH_ 0xffffffff

#endif /* GOLIB_PREEMPT_SUSPEND_FRAME_H_ */
