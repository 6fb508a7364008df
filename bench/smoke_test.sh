#!/bin/sh
# Runs every benchmark with little work, on one P and on two, and checks status and line. Keeps them
# alive; says nothing about speed. $GOLIB_RUN: an emulator, see tools/emu.
set -eu

bench=$1
failed=0
ran=0

# Enough for every width, and a power of ten for skynet. Of torture most are ticks or milliseconds.
size() {
  case $1 in
  forkjoin) echo 20 ;;
  primes) echo 50 ;;
  torture\ idle) echo 1 ;;
  torture\ select) echo 1000 ;;
  torture\ *) echo 20 ;;
  *) echo 1000 ;;
  esac
}

# After name and procs.
rest='n=[0-9]+ ns_per_op=[0-9]+[.][0-9]+( extra=[a-z_0-9]+:-?[0-9.]+(,[a-z_0-9]+:-?[0-9.]+)*)?'

# try NAME PROCS, try "torture NAME" PROCS
try() {
  ran=$((ran + 1))
  pattern="name=${1#torture } procs=$2 $rest"
  # shellcheck disable=SC2086
  if ! out=$(${GOLIB_RUN:-} "$bench" $1 "$2" "$(size "$1")"); then
    echo "FAIL $1 procs=$2: status"
  elif ! printf '%s\n' "$out" | grep -Eqx "$pattern" || [ "$(printf '%s\n' "$out" | wc -l)" != 1 ]; then
    echo "FAIL $1 procs=$2: $out"
  else
    return 0
  fi
  failed=$((failed + 1))
}

for name in $(${GOLIB_RUN:-} "$bench" --list | cut -d' ' -f1); do
  try "$name" 1
  try "$name" 2
done
for name in $(${GOLIB_RUN:-} "$bench" torture --list | cut -d' ' -f1); do
  try "torture $name" 1
  try "torture $name" 2
done
ran=$((ran + 1))
if ${GOLIB_RUN:-} "$bench" no-such-benchmark 2>/dev/null || ${GOLIB_RUN:-} "$bench" spawn 1 x 2>/dev/null; then
  echo "FAIL: a wrong argument is accepted"
  failed=$((failed + 1))
fi
echo "$((ran - failed)) passed, $failed failed"
[ "$failed" = 0 ] && [ "$ran" -gt 0 ]
