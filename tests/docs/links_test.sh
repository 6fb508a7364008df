#!/bin/sh
# links_test.sh PAGE...: every relative link of a page leads to a file.
set -u
status=0
for page in "$@"; do
  # One link a line, without the anchor; not those into the web, nor C++'s lambdas in blocks.
  links=$(awk '/^```/ { code = !code } !code' "$page" | grep -o '](\([^)# ]*\)[^)]*)' | sed 's/^](//; s/[)#].*$//' | grep -v '^[a-z]*:' | sort -u)
  for link in $links; do
    [ -e "$(dirname "$page")/$link" ] || { echo "$page: no $link"; status=1; }
  done
done
exit $status
