#!/bin/sh
# install_test.sh INSTALL COMPILER APP...: what `bazel run //:install -- ...` does. $GOLIB_RUN: see tools/emu.
set -eu
install=$PWD/$1
read -r cc <"$2"
shift 2
work=${TEST_TMPDIR:-$(mktemp -d)}/install
mkdir -p "$work/app"
cp "$@" "$work/app"
cd "$work"
unset DESTDIR

# `bazel run` has the tarball beside the program; a test has it among its own files.
ln -s "$install" install
ln -s "$TEST_SRCDIR" install.runfiles
install=$work/install

fail() {
  echo "FAIL: $*"
  exit 1
}

# builds WHAT MAKE-ARGUMENT...: the program says what it should.
builds() {
  what=$1
  shift
  if ! command -v make >/dev/null 2>&1 || ! command -v pkg-config >/dev/null 2>&1; then
    echo "SKIPPED: $what: no make or no pkg-config on this machine"
    return
  fi
  make -s -C app clean
  make -s -C app "CC=$cc" CFLAGS=-O2 "$@" || fail "$what: make"
  # shellcheck disable=SC2086
  [ "$(${GOLIB_RUN:-} app/app)" = "sum 285" ] || fail "$what: the program does not work"
  echo "ok: $what"
}

# refuses WHY ARGUMENT...: says so, and leaves with 1.
refuses() {
  why=$1
  shift
  # shellcheck disable=SC2086
  if $install "$@" >out 2>&1; then fail "$* is not refused"; fi
  grep -q -- "$why" out || { cat out; fail "$* is refused, but without '$why'"; }
  echo "ok: refused: $*"
}

# Into a prefix; twice is as good as once.
"$install" --prefix="$work/opt" >out
"$install" --prefix "$work/opt" >out
for f in include/golib/golib.h lib/libgolib.a lib/libgolib.so.0 lib/pkgconfig/golib.pc share/doc/golib/LICENSE; do
  [ -r "opt/$f" ] || fail "no $f"
done
[ "$(readlink opt/lib/libgolib.so)" = libgolib.so.0 ] || fail "libgolib.so is no link"
grep -qx "prefix=$work/opt" opt/lib/pkgconfig/golib.pc || fail "golib.pc does not know its prefix"
LD_LIBRARY_PATH=$work/opt/lib builds "--prefix" GOLIB="$work/opt"

# It lists what it has put there, no more and no less, and takes away all that and no other file.
(cd opt && find "$PWD" ! -type d | LC_ALL=C sort) >found
LC_ALL=C sort opt/share/golib/installed.txt | diff - found || fail "the list and the files differ"
echo mine >opt/lib/mine
"$install" --uninstall --prefix="$work/opt" >out
[ "$(find opt ! -type d)" = opt/lib/mine ] || fail "left: $(find opt ! -type d)"
[ -z "$(find opt -name golib)" ] || fail "folders of golib's are left"
echo "ok: --uninstall"

# What an older version had and this one has not goes away.
"$install" --prefix="$work/opt" >out
echo "$work/opt/include/golib/old.h" >>opt/share/golib/installed.txt
touch opt/include/golib/old.h
"$install" --prefix="$work/opt" >out
[ ! -e opt/include/golib/old.h ] || fail "a header of an older version is left"
echo "ok: over an older version"

# For who makes packages, with libraries elsewhere.
DESTDIR=$work/stage "$install" --prefix=/usr --libdir=lib/triplet >out
"$install" --prefix=/usr --libdir=/usr/lib/triplet --destdir="$work/other" >out
diff -r stage other || fail "DESTDIR and --destdir differ"
[ -r stage/usr/lib/triplet/libgolib.a ] || fail "--libdir is not minded"
grep -qx 'prefix=/usr' stage/usr/lib/triplet/pkgconfig/golib.pc || fail "golib.pc: not the prefix"
grep -qx 'libdir=/usr/lib/triplet' stage/usr/lib/triplet/pkgconfig/golib.pc || fail "golib.pc: not the libdir"
grep -qx /usr/lib/triplet/libgolib.a stage/usr/share/golib/installed.txt || fail "the list has DESTDIR in it"
if command -v cmake >/dev/null 2>&1; then
  if ! { cmake -S app -B build -DCMAKE_C_COMPILER="$cc" -DCMAKE_PREFIX_PATH="$work/stage/usr" \
    -Dgolib_DIR="$work/stage/usr/lib/triplet/cmake/golib" && cmake --build build --target app_static; } >cmake.log 2>&1; then
    cat cmake.log
    fail "CMake with another libdir"
  fi
  # shellcheck disable=SC2086
  [ "$(${GOLIB_RUN:-} build/app_static)" = "sum 285" ] || fail "CMake with another libdir: the program does not work"
fi
"$install" --uninstall --prefix=/usr --destdir="$work/other" >out
[ -z "$(find other ! -type d)" ] || fail "left: $(find other ! -type d)"
echo "ok: DESTDIR and --libdir"

# Relative to where `bazel run` was called.
(cd / && BUILD_WORKING_DIRECTORY=$work "$install" --prefix=relative/to) >out
[ -r relative/to/lib/libgolib.a ] || fail "a relative prefix is not relative to the caller"
echo "ok: a relative prefix"

# What it cannot do.
refuses 'unknown: --prefixes' --prefixes=/tmp
refuses 'which folder' --prefix
refuses 'nothing was installed' --uninstall --prefix="$work/nowhere"
: >file
refuses "cannot write to $work/file/" --prefix="$work/file"
mkdir closed
chmod 555 closed
if [ "$(id -u)" != 0 ]; then
  drop=
else # who may write everywhere, unless told not to
  drop='setpriv --bounding-set=-dac_override,-dac_read_search'
fi
# shellcheck disable=SC2086
if $drop touch closed/file 2>/dev/null || ! $drop true 2>/dev/null; then
  echo "SKIPPED: root may write everywhere"
else
  install="$drop $install"
  refuses 'cannot write to .*Permission denied' --prefix="$work/closed"
  refuses 'as root: sudo ' --prefix="$work/closed"
  [ -z "$(ls closed)" ] || fail "something was put there all the same"
fi
