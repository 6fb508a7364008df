/* core/text.h: where golib's own code is in a program that it is linked into statically.
 *
 * Asynchronous switching (core/preempt.h) must not stop golib's own functions, so it has to know them from the
 * program's. The build includes this file into every source of golib (bazel/golib.bzl): each object then says, in the
 * section golib_text_ranges, from where to where its code goes, as distances from the words themselves; and the linker,
 * without a script, defines __start_golib_text_ranges and __stop_golib_text_ranges. An object whose code is elsewhere
 * than in .text and .text.unlikely is refused by //tests/build:text_test; link-time optimisation, which would mix golib's
 * functions with the program's, is off for golib's own objects. Subsection 8191 of a section comes after all else in
 * it, so that is where the end is. Windows: core/text_coff.h.
 */
#ifndef GOLIB_CORE_TEXT_H_
#define GOLIB_CORE_TEXT_H_

/* clang-format off */
#if defined(__ELF__) && defined(__ASSEMBLER__)
    .pushsection .text, 8191
.Lgo_text_end_:
    .popsection
    .pushsection golib_text_ranges, "a", %progbits
    .balign 4
    .long   .text - .
    .long   .Lgo_text_end_ - .
    .popsection
#elif defined(__ELF__)
__asm__(
    "  .pushsection .text, 8191\n"
    ".Lgo_text_end_:\n"
    "  .popsection\n"
    "  .pushsection .text.unlikely, 8191, \"ax\", %progbits\n"
    ".Lgo_cold_end_:\n"
    "  .popsection\n"
    "  .pushsection golib_text_ranges, \"a\", %progbits\n"
    "  .balign 4\n"
    "  .long .text - .\n"
    "  .long .Lgo_text_end_ - .\n"
    "  .long .text.unlikely - .\n"
    "  .long .Lgo_cold_end_ - .\n"
    "  .popsection\n");
#endif
/* clang-format on */

#endif /* GOLIB_CORE_TEXT_H_ */
