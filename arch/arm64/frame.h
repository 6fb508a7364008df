/* arch/arm64/frame.h: the frame that a suspended computation leaves on its stack, for assembly and
 * C.
 *
 * What gdb and lldb scripts know about it, too: it begins with a frame record { frame pointer, return
 * address } as any function's, so a suspended computation can be walked from (sp + GO_FRAME_X29_) on.
 */
#ifndef GOLIB_ARCH_ARM64_FRAME_H_
#define GOLIB_ARCH_ARM64_FRAME_H_

#define GO_FRAME_X29_ 0
#define GO_FRAME_X30_ 8
#define GO_FRAME_X19_ 16
#define GO_FRAME_X21_ 32
#define GO_FRAME_X23_ 48
#define GO_FRAME_X25_ 64
#define GO_FRAME_X27_ 80
#define GO_FRAME_D8_ 96
#define GO_FRAME_D10_ 112
#define GO_FRAME_D12_ 128
#define GO_FRAME_D14_ 144
#define GO_FRAME_FPCR_ 160
#define GO_FRAME_SIZE_ 176

#endif /* GOLIB_ARCH_ARM64_FRAME_H_ */
