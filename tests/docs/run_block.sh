#!/bin/sh
# run_block.sh PROGRAM FILE: the program ends well and prints what FILE says: its first line tells how
# to compare (extract.awk), the rest is the output. $GOLIB_RUN: an emulator, see tools/emu.
set -u
got=$TEST_TMPDIR/got
# shellcheck disable=SC2086
timeout 60 ${GOLIB_RUN:-} "$1" >"$got" || { echo "exit status $?"; exit 1; }
case $(head -n 1 "$2") in
exact) tail -n +2 "$2" | diff - "$got" ;;
sorted)
  sort "$got" >"$got.sorted"
  tail -n +2 "$2" | sort | diff - "$got.sorted"
  ;;
esac
