#!/bin/sh
# switch_link_test.sh TARBALL PROGRAM: goroutines are stopped in the middle of their code however the program is linked, unless
# libc's code cannot be told from its own; and the watchdog names who computes in any case. $GOLIB_RUN, $GOLIB_CROSS: see tools/emu.
set -eu
tarball=$PWD/$1
program=$PWD/$2
work=${TEST_TMPDIR:-$(mktemp -d)}/link
mkdir -p "$work"
cd "$work"
tar xzf "$tarball"
prefix=$(echo "$work"/golib-*)
cc=${GOLIB_CROSS:-}gcc

# check WANTED FLAGS... (The report may be of any goroutine that was slow, and of anywhere in it: in the linkage table, on its way from
# lock to go_mutex_lock, it has no name.)
check() {
  wanted=$1
  shift
  "$cc" -std=c11 -O2 -fno-omit-frame-pointer -I"$prefix/include" -o program "$program" "$@" -pthread
  # shellcheck disable=SC2086
  out=$(LD_LIBRARY_PATH=$prefix/lib GOLIB_WATCHDOG=5 timeout 120 ${GOLIB_RUN:-} ./program 2>report) || { echo "FAIL: $*: exit status $?"; exit 1; }
  [ "$out" = "$wanted" ] || { echo "FAIL: $*: printed '$out'"; exit 1; }
  grep -A 2 "^golib: watchdog: goroutine .* ms:$" report | grep -q "^  \(go_mutex_\|.* (program+\)" || { echo "FAIL: $*: no stack:"; cat report; exit 1; }
  echo "ok: $*"
}

a=$prefix/lib/libgolib.a
check stopped -pie -fPIE "$a"
check stopped -no-pie -fno-pie "$a"
check stopped -flto "$a"
check stopped -flto -no-pie -fno-pie "$a"
check stopped -ffunction-sections -Wl,--gc-sections "$a"
check stopped -pie -fPIE -L"$prefix/lib" -lgolib
check stopped -no-pie -fno-pie -flto -L"$prefix/lib" -lgolib
check "not possible
not stopped" -static "$a"
check "not possible
not stopped" -static-pie -fPIE "$a"
