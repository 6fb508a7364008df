# Cuts the C blocks out of a Markdown page, for the compiler; with -v lang=cpp the C++ ones, into .cc files.
#
#   awk -v page=docs/tls.md -v stem=DIR/tls -v programs=2 -v fragments=1 -f extract.awk docs/tls.md
#
# A block that opens with ```c is a program: STEM_1.c, STEM_2.c, ...; what it prints is in the next
# fenced block when that opens with ```text, and goes to STEM_1.out, ... under a first line that says
# how to compare: "exact", "sorted" (`<!-- any order -->` stands before it), or "any" (there is none).
#
# `<!-- fragment -->` before a block makes it statements of a function: STEM_fragment_1.c, ...; what stands
# in the comment after the word comes before that function. `<!-- fragment: file -->` makes it
# declarations. Fragments are compiled only.
#
# It is an error when the page does not have as many programs and fragments as the caller says.


function close_program() { # without an output block
  if (last_program == 0) return
  print "any" > (stem "_" last_program ".out")
  last_program = 0
}

function headers(file) {
  if (lang == "cpp") {
    print "#pragma GCC diagnostic ignored \"-Wunused-function\"\n#include <golib/golib.hpp>" > file
    print "#include <cstdio>\n#include <stdexcept>\n#include <string>\n#include <vector>" > file
    return
  }
  print "#pragma GCC diagnostic ignored \"-Wunused-function\"" > file
  print "#include <errno.h>\n#include <golib/golib.h>\n#include <inttypes.h>\n#include <stdio.h>" > file
  print "#include <stdlib.h>\n#include <string.h>" > file
}

function begin_fragment() {
  file = stem "_fragment_" ++fragment "." ext
  headers(file)
  printf "%s", hidden > file
  if (kind == "statements") print "GO_UNUSED static int fragment_(void) {" > file
  printf "#line %d \"%s\"\n", NR + 1, page > file
}

function end_fragment() {
  if (kind == "statements") print "  return 0;\n}" > file
}

BEGIN {
  how = "exact"; kind = "program"
  if (lang == "") lang = "c"
  ext = lang == "cpp" ? "cc" : "c"
}

in_block == "code" && /^```/ {
  if (kind == "program") last_program = program; else end_fragment()
  close(file)
  in_block = ""; kind = "program"; hidden = ""; how = "exact"
  next
}
in_block == "text" && /^```/ { close(stem "_" last_program ".out"); last_program = 0; in_block = ""; next }
in_block != "" && /^```/ { in_block = ""; next }
in_block == "code" { print > file; next }
in_block == "text" { print > (stem "_" last_program ".out"); next }
in_block != "" { next }

# Outside of blocks. A comment counts for the block that follows it, blank lines between.
in_comment { 
  if (/-->/) in_comment = 0; else hidden = hidden $0 "\n"
  next
}
/^<!-- any order -->$/ { how = "sorted"; next }
/^<!-- fragment: file -->$/ { kind = "file"; next }
/^<!-- fragment -->$/ { kind = "statements"; next }
/^<!-- fragment$/ { kind = "statements"; in_comment = 1; next }
/^<!-- fragment: file$/ { kind = "file"; in_comment = 1; next }

$0 == "```" lang {
  close_program()
  in_block = "code"
  if (kind == "program") {
    file = stem "_" ++program "." ext
    printf "#line %d \"%s\"\n", NR + 1, page > file
  } else {
    begin_fragment()
  }
  next
}
/^```text$/ && last_program != 0 { in_block = "text"; print how > (stem "_" last_program ".out"); next }
/^```/ { close_program(); in_block = "other"; next }
/[^ \t]/ && how != "exact" { how = "exact" }
/[^ \t]/ && kind != "program" {
  printf "%s:%d: no block after <!-- fragment -->\n", page, NR > "/dev/stderr"
  bad = 1
  exit
}

END {
  close_program()
  if (in_block != "") { printf "%s: a block without end\n", page > "/dev/stderr"; bad = 1 }
  if (program + 0 != programs || fragment + 0 != fragments) {
    printf "%s has %d programs and %d fragments: say so in tests/docs/BUILD.bazel\n",
      page, program, fragment > "/dev/stderr"
    bad = 1
  }
  exit bad
}
