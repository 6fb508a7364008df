#!/bin/sh
# all_pages_test.sh "LISTED ..." PAGE...: every page with a C or C++ block is one of those whose blocks are tested.
set -u
listed=" $1 " status=0
shift
for page in "$@"; do
  grep -q '^ *``` *\([cC]\|[cC]++\|cpp\|cc\) *$' "$page" || continue
  page=${page#./}
  case $listed in
  *" $page "*) ;;
  *)
    echo "$page has C or C++ blocks: list it in tests/docs/BUILD.bazel"
    status=1
    ;;
  esac
done
exit $status
