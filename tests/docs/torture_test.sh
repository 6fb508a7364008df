#!/bin/sh
# torture_test.sh PAGE TEST_FILE...: the tests that docs/torture.md names, `file:Suite.Name`, exist; and no row is without one.
set -eu
page=$1
shift
failed=0 n=0
# shellcheck disable=SC2016
for name in $(grep -o '`[a-z_0-9]*_test:[A-Za-z]*\.[A-Za-z]*`' "$page" | tr -d '`'); do
  n=$((n + 1))
  test=${name#*:}
  file=
  for f in "$@"; do
    case $f in */"${name%%:*}.cc") file=$f ;; esac
  done
  if [ -z "$file" ] || ! grep -qE "^TEST(_F|_P)?\\(${test%.*}, ${test#*.}\\)" "$file"; then
    echo "there is no $name"
    failed=1
  fi
done
if grep '^|' "$page" | grep -vE '^\| (case|:--) ' | grep -v '_test:'; then
  echo "rows without a test"
  failed=1
fi
echo "$n tests"
[ "$n" -ge 30 ] && [ $failed = 0 ]
