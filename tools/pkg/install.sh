#!/bin/sh
# Puts golib below a folder:
#
#   bazel run //:install -- [--prefix=DIR] [--libdir=DIR] [--destdir=DIR] [--uninstall]
#
#   --prefix=DIR   headers in DIR/include, libraries in DIR/lib and so on (/usr/local)
#   --libdir=DIR   libraries there instead; relative to the prefix unless it begins with / (lib)
#   --destdir=DIR  everything below DIR, for who makes packages; DESTDIR in the environment is the same
#   --uninstall    removes what PREFIX/share/golib/installed.txt lists, which installing writes
#
# Where only root may write: build //:install, then run bazel-bin/tools/pkg/install with sudo.
set -eu

tarball=$0.runfiles/@TARBALL@
prefix=/usr/local libdir=lib destdir=${DESTDIR:-} uninstall=

die() { echo "install: $*" >&2; exit 1; }
usage() { sed -n '2,11s/^# \{0,1\}//p' "$0"; }

while [ $# -gt 0 ]; do
  case $1 in
  --prefix | --libdir | --destdir | --tarball)
    [ $# -gt 1 ] || die "$1: which folder?"
    option=$1 value=$2
    shift
    ;;
  *=*) option=${1%%=*} value=${1#*=} ;;
  *) option=$1 value= ;;
  esac
  shift
  case $option in
  --prefix) prefix=$value ;;
  --libdir) libdir=$value ;;
  --destdir) destdir=$value ;;
  --tarball) tarball=$value ;; # another than Bazel built
  --uninstall) uninstall=1 ;;
  -h | --help) usage; exit ;;
  *) usage >&2; die "unknown: $option" ;;
  esac
done

# `bazel run` changes folders.
absolute() {
  case $1 in
  /*) echo "$1" ;;
  *) echo "${BUILD_WORKING_DIRECTORY:-$PWD}/$1" ;;
  esac
}
[ -n "$prefix" ] && [ -n "$libdir" ] || die "a prefix or libdir of no name"
prefix=$(absolute "$prefix")
[ "$prefix" = / ] || prefix=${prefix%/}
case $libdir in /*) ;; *) libdir=${prefix%/}/$libdir ;; esac
[ -z "$destdir" ] || destdir=$(absolute "${destdir%/}")
list=${prefix%/}/share/golib/installed.txt

# What was installed before, and what golib alone has folders for.
remove() {
  while read -r f; do
    case $f in
    /*) rm -f "$destdir$f" || die "cannot remove $destdir$f" ;;
    esac
  done <"$1"
  sed 's|/[^/]*$||' "$1" | sort -ur | while read -r d; do
    case $d in */golib) rmdir "$destdir$d" 2>/dev/null || true ;; esac
  done
}

if [ -n "$uninstall" ]; then
  [ -r "$destdir$list" ] || die "$destdir$list is not there: nothing was installed with --prefix=$prefix"
  copy=$(mktemp)
  cat "$destdir$list" >"$copy"
  remove "$copy"
  rm -f "$copy"
  echo "golib is gone from $destdir$prefix"
  exit
fi

[ -r "$tarball" ] || die "no $tarball: build //:install first"
w=$(mktemp -d)
trap 'rm -rf "$w"' EXIT
trap 'exit 1' INT TERM
tar xzf "$tarball" -C "$w"
for top in "$w"/golib-*; do :; done

# The tarball's files look for each other; installed ones know where they are, and CMake's find their prefix.
sed -i -e "s|^prefix=.*|prefix=$prefix|" -e "s|^libdir=.*|libdir=$libdir|" "$top/lib/pkgconfig/golib.pc"
case $libdir in
"$prefix"/*) up='${CMAKE_CURRENT_LIST_DIR}/../..'$(echo "${libdir#"$prefix"}" | sed 's|//*[^/]*|/..|g') ;;
*) up=$prefix ;;
esac
sed -i "s|(_golib_prefix \"[^\"]*\"|(_golib_prefix \"$up\"|" "$top/lib/cmake/golib/golib-config.cmake"

# Each file: where it is, a tab, where it goes.
(
  cd "$top"
  find . -type f -o -type l | sort | while read -r f; do
    f=${f#./}
    case $f in
    lib/*) printf '%s\t%s\n' "$f" "$libdir/${f#lib/}" ;;
    *) printf '%s\t%s\n' "$f" "${prefix%/}/$f" ;;
    esac
  done
) >"$w/files"
cut -f2 "$w/files" >"$w/list"
echo "$list" >>"$w/list"

# All folders first: so that nothing is half installed where only some may be written.
umask 022
sed 's|/[^/]*$||' "$w/list" | sort -u >"$w/folders"
while read -r d; do
  if ! mkdir -p "$destdir$d" 2>"$w/error" || [ ! -w "$destdir$d" ]; then
    why=$(sed 's/.*: //' "$w/error")
    die "cannot write to $destdir$d: ${why:-Permission denied}
install: name another --prefix, or run this again as root: sudo $0 --prefix=$prefix"
  fi
done <"$w/folders"

if [ -r "$destdir$list" ]; then # an older version may have had other files
  cat "$destdir$list" >"$w/old"
  grep -vxFf "$w/list" "$w/old" >"$w/stale" || true
  remove "$w/stale"
fi
while IFS='	' read -r from to; do
  # A new file, not new bytes in the old one: programs that run may have it mapped.
  rm -f "$destdir$to"
  cp -P --preserve=mode,timestamps "$top/$from" "$destdir$to"
done <"$w/files"
cp "$w/list" "$destdir$list"
echo "golib is in $destdir$prefix; to take it away again: --uninstall --prefix=$prefix${destdir:+ --destdir=$destdir}"
