/* core/text_coff.h: core/text.h for Windows' object files.
 *
 * The section is .rdata$golib_text_m, and what it says are distances from the beginning of the file that the object is
 * linked into. Linkers put what comes behind the $ in order: preempt/suspend/program.c has one with an a and one with a z.
 * The code refers to it, so that linkers that drop what nobody refers to keep it.
 * .text alone: functions that are seldom run are behind the program's code (program.c), and nothing is stopped there.
 *
 * clang's assembler has no subsections here: its objects say nothing, so nothing is stopped in a program of theirs.
 */
#ifndef GOLIB_CORE_TEXT_COFF_H_
#define GOLIB_CORE_TEXT_COFF_H_

/* clang-format off */
#if defined(__clang__)
#elif defined(__ASSEMBLER__)
    .text   8191
.Lgo_text_end_:
    .rva    .Lgo_text_range_
    .section .rdata$golib_text_m, "dr"
    .balign 8
.Lgo_text_range_:
    .rva    .text
    .rva    .Lgo_text_end_
    .text
#else
__asm__(
    "  .text 8191\n"
    ".Lgo_text_end_:\n"
    "  .rva .Lgo_text_range_\n"
    "  .section .rdata$golib_text_m, \"dr\"\n"
    "  .balign 8\n"
    ".Lgo_text_range_:\n"
    "  .rva .text\n"
    "  .rva .Lgo_text_end_\n"
    "  .text\n");
#endif
/* clang-format on */

#endif /* GOLIB_CORE_TEXT_COFF_H_ */
