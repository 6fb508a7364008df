#!/bin/sh
# expect.sh PROGRAM FILE [sorted]: the program ends well and prints what the file says, with `sorted`
# in any order.
set -u
got=$TEST_TMPDIR/got
"$1" >"$got" || { echo "$1: exit status $?"; exit 1; }
if [ "${3:-}" = sorted ]; then
  sort "$got" >"$got.sorted"
  sort "$2" >"$got.want"
  diff "$got.want" "$got.sorted"
else
  diff "$2" "$got"
fi
