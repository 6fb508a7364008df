#!/bin/sh
# expect.sh PROGRAM FILE [sorted] [STATUS]: the program exits with the status (0 unless said otherwise) and
# prints what the file says, with `sorted` in any order. $GOLIB_RUN: an emulator, see tools/emu.
set -u
program=$1 want=$2 order=as_is status=0
shift 2
for arg; do
  case $arg in
  sorted) order=sorted ;;
  *) status=$arg ;;
  esac
done
got=$TEST_TMPDIR/got
# shellcheck disable=SC2086
${GOLIB_RUN:-} "$program" >"$got"
code=$?
[ "$code" -eq "$status" ] || { echo "$program: exit status $code"; exit 1; }
if [ "$order" = sorted ]; then
  sort "$got" >"$got.sorted"
  sort "$want" >"$got.want"
  diff "$got.want" "$got.sorted"
else
  diff "$want" "$got"
fi
