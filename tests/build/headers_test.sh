#!/bin/sh
# headers_test.sh VERSION HEADER...: compiles each public header alone (and twice, for its guard), with
# every compiler that is here.
set -u
version=$1
shift
work=${TEST_TMPDIR:-$(mktemp -d)}
failed=0 compiled=0

# compiles LANGUAGE STANDARD COMPILER HEADER [FLAG]
compiles() {
  command -v "$3" >/dev/null 2>&1 || return 0
  name=golib/${4##*/}
  compiled=$((compiled + 1))
  printf '#include <%s>\n#include <%s>\nextern int x;\n' "$name" "$name" >"$work/h.$1"
  if ! "$3" "-std=$2" -Wall -Wextra -Wpedantic -Wshadow -Werror -fsyntax-only \
    ${5:+"$5"} -I"${4%/golib/*}" "$work/h.$1" >"$work/log" 2>&1; then
    echo "FAIL: <$name> does not compile alone as $2 with $3 ${5:-}:"
    cat "$work/log"
    failed=$((failed + 1))
  fi
}

for header in "$@"; do
  for cc in gcc clang; do
    case $header in *.hpp) ;; *) compiles c c11 $cc "$header" ;; esac
  done
  for cxx in g++ clang++; do
    compiles cc c++17 $cxx "$header"
    case $header in *.hpp) compiles cc c++17 $cxx "$header" -fno-exceptions ;; esac
  done
  case $header in
  */base.h)
    if ! grep -q "^#define GO_VERSION \"$version\"\$" "$header"; then
      echo "FAIL: GO_VERSION in $header is not \"$version\", which bazel/version.bzl says"
      failed=$((failed + 1))
    fi
    ;;
  esac
done
echo "$compiled compilations of $# headers, $failed failed"
[ "$compiled" -gt 0 ] && [ "$failed" = 0 ]
