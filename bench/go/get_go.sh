#!/bin/sh
# Prints the path of a Go of the wanted version, fetching Debian sid's into the cache if need be.
#
# Nothing of the system changes: apt gets its own state, lists and source list below the cache
# folder, and the packages are unpacked there, not installed. The mirror is the one that apt uses
# here. GOLIB_GO names a Go to use instead; GOLIB_GO_VERSION another version than 1.27.
set -eu

version=${GOLIB_GO_VERSION:-1.27}
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/golib/go-$version
go=$cache/root/usr/lib/go-$version/bin/go
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

say() { echo "get_go: $*" >&2; }
die() { say "$@"; exit 1; }

# The first Debian mirror among apt's sources. Without package lists apt does not know whose an
# archive is: then the one whose folder is called debian.
# shellcheck disable=SC2016  # apt's own variables
mirror() {
  uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | head -n 1)
  [ -n "$uri" ] || uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/*$' | head -n 1)
  echo "$uri"
}

# apt with its state below $work; sid is read and nothing of it is installed.
apt() {
  command=$1
  shift
  apt-get -qq "$command" -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
    -o Dir::State="$work/state" -o Dir::State::Lists="$work/lists" -o Dir::State::status=/dev/null \
    -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none \
    -o APT::Default-Release= -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false "$@"
}

fetch() {
  uri=$(mirror)
  [ -n "$uri" ] || die "no Debian mirror in apt's sources: run apt-get update, or name a Go $version in GOLIB_GO"
  signed=
  [ ! -e "$keyring" ] || signed="[signed-by=$keyring] "
  mkdir -p "$work/state" "$work/lists/partial" "$work/cache/archives/partial" "$work/debs" "$work/root"
  echo "deb $signed$uri sid main" >"$work/sources.list"
  say "reading sid's package list"
  apt update || return 1
  say "fetching golang-$version-go and golang-$version-src"
  (cd "$work/debs" && apt download "golang-$version-go" "golang-$version-src") || return 1
  for deb in "$work/debs"/*.deb; do
    dpkg -x "$deb" "$work/root" || return 1
  done
}

usable() { [ -x "$1" ] && GOTOOLCHAIN=local "$1" version 2>/dev/null | grep -q "go$version"; }

if [ -n "${GOLIB_GO:-}" ]; then
  echo "$GOLIB_GO"
  exit 0
fi
if usable "$go"; then
  echo "$go"
  exit 0
fi
installed=$(command -v go || true)
if [ -n "$installed" ] && usable "$installed"; then
  echo "$installed"
  exit 0
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
  die "no apt here to fetch Go $version with: name one in GOLIB_GO"
fi

mkdir -p "$cache"
work=$(mktemp -d "$cache/new.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
fetch >"$work/log" || { tail -n 5 "$work/log" >&2; die "Debian sid's Go $version cannot be had: name one in GOLIB_GO"; }
rm -rf "$cache/root"
mv "$work/root" "$cache/root"
usable "$go" || die "$go does not run here"
echo "$go"
