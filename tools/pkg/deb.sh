#!/bin/sh
# deb.sh INSTALL TARBALL VERSION SOVERSION ARCH LIBRARY.deb DEV.deb: Debian packages of what is in the tarball.
#
# The shared library in one, by its soname, and in the other what is needed to compile: as Debian has libraries. The
# bytes depend on nothing but the tarball.
set -eu
install=$1 tarball=$2 version=$3 soversion=$4 arch=$5 library=$6 dev=$7
case $arch in
amd64) triplet=x86_64-linux-gnu ;;
arm64) triplet=aarch64-linux-gnu ;;
*) echo "deb.sh: what is Debian's name for $arch?" >&2; exit 1 ;;
esac
export LC_ALL=C SOURCE_DATE_EPOCH=315532800
umask 022
w=$(mktemp -d)
trap 'rm -rf "$w"' EXIT

sh "$install" --tarball="$tarball" --prefix=/usr --libdir="lib/$triplet" --destdir="$w/dev" >/dev/null
rm -r "$w/dev/usr/share/golib" # dpkg knows what is installed
lib=usr/lib/$triplet/libgolib.so.$soversion
mkdir -p "$w/library/usr/lib/$triplet"
mv "$w/dev/$lib" "$w/library/$lib"

# The oldest C library that has all the versions of symbols that are asked for.
libc=$(grep -aoE 'GLIBC_2\.[0-9]+' "$w/library/$lib" | sed 's/GLIBC_//' | sort -t. -k2n | tail -n 1)
[ -n "$libc" ] || { echo "deb.sh: $lib needs no C library?" >&2; exit 1; }

# pack FOLDER NAME SECTION DEPENDS SUMMARY DETAILS FILE
pack() {
  doc=$1/usr/share/doc
  mkdir -p "$1/DEBIAN" "$doc/$2"
  if [ -d "$doc/golib" ]; then
    mv "$doc/golib/LICENSE" "$doc/$2/copyright"
    rmdir "$doc/golib"
    cp "$doc/$2/copyright" "$w/copyright"
  else
    cp "$w/copyright" "$doc/$2/copyright"
  fi
  cat >"$1/DEBIAN/control" <<CONTROL
Package: $2
Source: golib
Version: $version
Architecture: $arch
Multi-Arch: same
Section: $3
Priority: optional
Maintainer: golib's authors <golib@localhost>
Installed-Size: $(find "$1/usr" -type f -printf '%s\n' | awk '{ n += int(($1 + 1023) / 1024) } END { print n }')
Depends: $4
Description: $5
 $6
CONTROL
  (cd "$1" && find usr -type f | sort | xargs md5sum >DEBIAN/md5sums)
  find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  dpkg-deb --root-owner-group -Zxz --build "$1" "$7" >/dev/null
}

about='Goroutines, channels, select, contexts, timers and sockets: Go'\''s concurrency for C programs.'
pack "$w/dev" libgolib-dev libdevel "libgolib$soversion (= $version), libc6-dev" \
  "Goroutines for C: headers and static library" "$about" "$dev"
echo "activate-noawait ldconfig" >"$w/triggers"
mkdir -p "$w/library/DEBIAN"
mv "$w/triggers" "$w/library/DEBIAN/triggers"
echo "libgolib $soversion libgolib$soversion (>= $version)" >"$w/library/DEBIAN/shlibs"
pack "$w/library" "libgolib$soversion" libs "libc6 (>= $libc)" "Goroutines for C: shared library" "$about" "$library"
