#!/bin/sh
# tour_test.sh TOUR FILE...: tour prints what wc prints, for the given files and for awkward ones.
#
# wc counts mapped copies of the files, in which the bytes that are neither white space nor
# printable ASCII are an x: versions of wc differ about words of such bytes, POSIX and tour do not
# tell them from letters. Lines, bytes and all else are as in the originals.
set -u
export LC_ALL=C
tour=$PWD/$1
shift
original=$TEST_TMPDIR/original mapped=$TEST_TMPDIR/mapped
mkdir "$original" "$mapped" || exit 1
for f in "$@"; do cp "$f" "$original/$(echo "$f" | tr / _)" || exit 1; done

cp "$tour" "$original/binary"
: >"$original/empty"
printf 'no newline at the end' >"$original/unfinished"
printf ' \t\n\v\f\r\n' >"$original/blank"
head -c 300000 /dev/zero >"$original/nul"
head -c 200000 /dev/zero | tr '\0' a >"$original/one_word"
# Longer than several chunks; words and blanks of many lengths lie across their ends.
awk 'BEGIN {
  for (i = 0; i < 150000; i++) printf "%s%s", substr("abcdefghijklmnopqrstuvwxyz", 1, i % 23 + 1),
    i % 11 == 0 ? "\n" : i % 7 == 0 ? "  \t" : " "
}' >"$original/big"
# Ends exactly where a chunk ends.
head -c 131072 "$original/big" >"$original/two_chunks"

cd "$original" || exit 1
for f in *; do tr '\000-\010\016-\037\177-\377' x <"$f" >"$mapped/$f"; done
failed=0

# run FILE...: tour, by the emulator if there is one (tools/emu).
run() {
  # shellcheck disable=SC2086
  ${GOLIB_RUN:-} "$tour" "$@"
}

# same FILE...: what wc says, and tour, with several numbers of processors.
same() {
  (cd "$mapped" && wc "$@") >"$TEST_TMPDIR/want"
  for procs in 1 2 8; do
    if ! (export GOMAXPROCS=$procs && run "$@") >"$TEST_TMPDIR/got" || ! diff "$TEST_TMPDIR/want" "$TEST_TMPDIR/got"; then
      echo "FAILED with GOMAXPROCS=$procs: tour $*"
      failed=1
    fi
  done
}
same *
same empty
same big
same big empty big

# A missing file and a folder are reported; the others are counted.
mkdir folder
(export GOMAXPROCS=2 && run unfinished missing folder blank) >"$TEST_TMPDIR/got" 2>"$TEST_TMPDIR/err"
status=$?
(cd "$mapped" && wc unfinished blank) | diff - "$TEST_TMPDIR/got" || failed=1
sort "$TEST_TMPDIR/err" >"$TEST_TMPDIR/err.sorted"
diff - "$TEST_TMPDIR/err.sorted" <<END || failed=1
tour: folder: Is a directory
tour: missing: No such file or directory
END
[ $status = 1 ] || { echo "FAILED: exit status $status, not 1"; failed=1; }

# Without arguments: the Markdown files of the workspace.
mkdir -p workspace/docs/design workspace/bazel-links
echo "a b" | tee workspace/a.md workspace/docs/b.md workspace/docs/design/c.md workspace/bazel-links/d.md >/dev/null
(export BUILD_WORKSPACE_DIRECTORY=$PWD/workspace && run) >"$TEST_TMPDIR/got" || failed=1
diff - "$TEST_TMPDIR/got" <<END || failed=1
 1  2  4 a.md
 1  2  4 docs/b.md
 1  2  4 docs/design/c.md
 3  6 12 total
END
exit $failed
