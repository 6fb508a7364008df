#!/bin/sh
# dist_test.sh TARBALL PROGRAM: unpacks the tarball and builds and runs the program as users do.
# $GOLIB_RUN, $GOLIB_CROSS: an emulator and compilers for another platform, see tools/emu.
set -eu
tarball=$PWD/$1
program=$PWD/$2
work=${TEST_TMPDIR:-$(mktemp -d)}/dist
mkdir -p "$work"
cd "$work"
tar xzf "$tarball"
prefix=$(echo "$work"/golib-*)
cc=${GOLIB_CROSS:-}gcc
for f in include/golib/golib.h lib/libgolib.a lib/libgolib.so lib/libgolib.so.0 \
  lib/pkgconfig/golib.pc lib/cmake/golib/golib-config.cmake share/doc/golib/LICENSE; do
  [ -e "$prefix/$f" ] || { echo "FAIL: no $f in the tarball"; exit 1; }
done
if ! readelf -d "$prefix/lib/libgolib.so" | grep -q 'SONAME.*\[libgolib\.so\.0\]'; then
  echo "FAIL: the shared library's soname is not libgolib.so.0"
  exit 1
fi

# runs WHAT PROGRAM: it must succeed and say so.
runs() {
  # shellcheck disable=SC2086
  out=$(${GOLIB_RUN:-} "$2") || { echo "FAIL: $1: exit status $?"; exit 1; }
  [ "$out" = "sum 285" ] || { echo "FAIL: $1: printed '$out'"; exit 1; }
  echo "ok: $1"
}

if command -v pkg-config >/dev/null 2>&1; then
  export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"
  # shellcheck disable=SC2046
  "$cc" -o shared "$program" $(pkg-config --cflags --libs golib)
  LD_LIBRARY_PATH=$prefix/lib runs "pkg-config, shared" ./shared
  # shellcheck disable=SC2046
  "$cc" -o static -static "$program" $(pkg-config --static --cflags --libs golib)
  runs "pkg-config, static" ./static
else
  echo "SKIPPED: no pkg-config on this machine"
fi

if command -v cmake >/dev/null 2>&1; then
  cat >CMakeLists.txt <<CMAKE
cmake_minimum_required(VERSION 3.13)
project(consumer C)
find_package(golib $(sed -n 's/^Version: //p' "$prefix/lib/pkgconfig/golib.pc") REQUIRED)
add_executable(with_shared $program)
target_link_libraries(with_shared golib::golib)
add_executable(with_static $program)
target_link_libraries(with_static golib::golib_static)
CMAKE
  # shellcheck disable=SC2046
  cmake -S . -B build -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" \
    $([ -z "${GOLIB_RUN:-}" ] || echo -DCMAKE_SYSTEM_NAME=Linux) >cmake.log 2>&1 &&
    cmake --build build >>cmake.log 2>&1 || { cat cmake.log; echo "FAIL: CMake"; exit 1; }
  runs "CMake, shared" build/with_shared
  runs "CMake, static" build/with_static
else
  echo "SKIPPED: no cmake on this machine"
fi
