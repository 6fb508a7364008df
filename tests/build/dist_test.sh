#!/bin/sh
# dist_test.sh TARBALL SYSTEM COMPILER APP...: unpacks the tarball and builds and runs the program of examples/no_bazel as
# users do: by hand, by make, by CMake. The compiler, which the file COMPILER names, and $GOLIB_RUN, an emulator
# (tools/emu), may be for another platform.
set -eu
tarball=$PWD/$1
system=$2
read -r cc <"$3"
case $cc in
external/*) cc=$PWD/../${cc#external/} ;; # among this test's files
esac
shift 3
work=${TEST_TMPDIR:-$(mktemp -d)}/dist
mkdir -p "$work/app"
cp "$@" "$work/app"
cd "$work"
tar xzf "$tarball"
prefix=$(echo "$work"/golib-*)

fail() {
  echo "FAIL: $*"
  exit 1
}

# Exactly these, besides headers.
{
  echo lib/cmake/golib/golib-config-version.cmake
  echo lib/cmake/golib/golib-config.cmake
  echo lib/libgolib.a
  echo lib/pkgconfig/golib.pc
  echo share/doc/golib/LICENSE
  case $system in
  linux) printf '%s\n' lib/libgolib.so lib/libgolib.so.0 ;;
  windows) printf '%s\n' bin/libgolib-0.dll lib/libgolib.dll.a ;;
  esac
} | LC_ALL=C sort >want
(cd "$prefix" && find . ! -type d ! -path './include/golib/*.h*' | sed 's|^\./||' | LC_ALL=C sort) >got
diff want got || fail "the tarball has other files than it should (< should, > does)"
for h in golib.h golib.hpp base.h; do
  [ -r "$prefix/include/golib/$h" ] || fail "no include/golib/$h"
done
[ -z "$(find "$prefix" -perm -022 ! -type l)" ] || fail "others than the owner may write"
case $system in
linux)
  readelf -d "$prefix/lib/libgolib.so" | grep -q 'SONAME.*\[libgolib\.so\.0\]' ||
    fail "the shared library's soname is not libgolib.so.0"
  ;;
esac

# runs WHAT PROGRAM: it must succeed and say so. Nothing runs programs for macOS.
runs() {
  [ -s "$2" ] || fail "$1: no program"
  if [ "$system" = macos ]; then
    [ "$(od -An -tx4 -N4 "$2" | tr -d ' ')" = feedfacf ] || fail "$1: not a program for macOS"
    echo "linked: $1"
    return
  fi
  # shellcheck disable=SC2086
  out=$(${GOLIB_RUN:-} "$2" | tr -d '\r') || fail "$1: exit status $?"
  [ "$out" = "sum 285" ] || fail "$1: printed '$out'"
  echo "ok: $1"
}

exe=
if [ "$system" = windows ]; then
  exe=.exe
  export WINEPATH="$prefix/bin"
fi
export LD_LIBRARY_PATH="$prefix/lib"

if ! command -v pkg-config >/dev/null 2>&1; then
  echo "SKIPPED: no pkg-config on this machine"
else
  export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"
  # shellcheck disable=SC2046
  "$cc" -o "shared$exe" app/app.c $(pkg-config --cflags --libs golib)
  runs "pkg-config" "./shared$exe"
  if [ "$system" != macos ]; then # which has no static programs
    # shellcheck disable=SC2046
    "$cc" -o "static$exe" -static app/app.c $(pkg-config --static --cflags --libs golib)
    (
      unset LD_LIBRARY_PATH WINEPATH
      runs "pkg-config, static" "./static$exe"
    )
  fi
  unset PKG_CONFIG_PATH

  if command -v make >/dev/null 2>&1; then
    make="make -s -C app CC=$cc GOLIB=$prefix CFLAGS=-O2"
    $make
    runs "make" "app/app$exe"
    if [ "$system" != macos ]; then
      $make clean
      $make STATIC=1
      (
        unset LD_LIBRARY_PATH WINEPATH
        runs "make, libgolib.a" "app/app$exe"
      )
    fi
    $make clean
  else
    echo "SKIPPED: no make on this machine"
  fi
fi

if command -v cmake >/dev/null 2>&1; then
  set -- -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" -DCMAKE_FIND_ROOT_PATH="$prefix"
  case $system in
  linux) [ -z "${GOLIB_RUN:-}" ] || set -- "$@" -DCMAKE_SYSTEM_NAME=Linux ;;
  macos) set -- "$@" -DCMAKE_SYSTEM_NAME=Darwin ;;
  windows) set -- "$@" -DCMAKE_SYSTEM_NAME=Windows ;;
  esac
  if ! { cmake -S app -B build "$@" && cmake --build build; } >cmake.log 2>&1; then
    cat cmake.log
    fail "CMake"
  fi
  runs "CMake" "build/app$exe"
  (
    unset LD_LIBRARY_PATH WINEPATH
    runs "CMake, libgolib.a" "build/app_static$exe"
  )
else
  echo "SKIPPED: no cmake on this machine"
fi
