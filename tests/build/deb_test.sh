#!/bin/sh
# deb_test.sh COMPILER APP.c PACKAGE.deb...: the packages unpacked into a folder are what a program needs. $GOLIB_RUN: see
# tools/emu.
set -eu
read -r cc <"$1"
app=$PWD/$2
shift 2
work=${TEST_TMPDIR:-$(mktemp -d)}/deb
mkdir -p "$work/root"

fail() {
  echo "FAIL: $*"
  exit 1
}

owners=
for deb in "$@"; do
  name=$(dpkg-deb --field "$deb" Package)
  dpkg-deb --info "$deb"
  dpkg-deb --contents "$deb" >"$work/contents"
  ! grep -vE '^[^ ]+ +root/root ' "$work/contents" || fail "$name: not all is root's"
  # Two packages of the same file would not go together.
  files=$(dpkg-deb --fsys-tarfile "$deb" | tar tf - | grep -v '/$' | sort)
  for f in $files; do
    case " $owners " in *" $f "*) fail "$f is in two packages" ;; esac
    owners="$owners $f"
  done
  case $name in
  libgolib0)
    [ "$(echo "$files" | grep -c '\.so\.0$')" = 1 ] || fail "libgolib0 has no shared library"
    dpkg-deb --field "$deb" Depends | grep -qE '^libc6 \(>= 2\.[0-9]+\)$' || fail "libgolib0 does not ask for its C library"
    ;;
  libgolib-dev)
    dpkg-deb --field "$deb" Depends | grep -q 'libgolib0 (= ' || fail "libgolib-dev does not ask for libgolib0"
    ;;
  *) fail "what is $name?" ;;
  esac
  dpkg-deb --extract "$deb" "$work/root"
  (cd "$work/root" && dpkg-deb --ctrl-tarfile "$OLDPWD/$deb" | tar xOf - ./md5sums | md5sum -c --quiet) || fail "$name: md5sums"
done
[ $# = 2 ] || fail "$# packages"

cd "$work"
libdir=$(echo root/usr/lib/*-linux-gnu)
export PKG_CONFIG_LIBDIR="$work/$libdir/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$work/root"
# shellcheck disable=SC2046
"$cc" -o shared "$app" $(pkg-config --cflags --libs golib)
# shellcheck disable=SC2046
"$cc" -o static -static "$app" $(pkg-config --static --cflags --libs golib)
# shellcheck disable=SC2086
[ "$(LD_LIBRARY_PATH=$work/$libdir ${GOLIB_RUN:-} ./shared)" = "sum 285" ] || fail "the program does not work"
# shellcheck disable=SC2086
[ "$(${GOLIB_RUN:-} ./static)" = "sum 285" ] || fail "the static program does not work"
echo "ok: built and run with what is in the packages"
