#!/usr/bin/env python3
"""text_test.py [--expect-bad] OBJECT...: each of golib's objects says where its code is (core/text.h).

What it says covers .text and .text.unlikely: there must be no other code in it, and no bytecode of a compiler that
decides later. With --expect-bad the objects are planted ones, of which none may pass.
"""

import os
import re
import subprocess
import sys

TOOLS = os.environ.get("GOLIB_CROSS", "")
RANGES = "golib_text_ranges"
COVERED = {".text", ".text.unlikely"}
# [ 1] .text PROGBITS 0000000000000000 000040 000123 00 AX 0 0 16
SECTION = re.compile(r"^\s*\[\s*\d+\]\s+(\S+)\s+(\S+)\s+[0-9a-f]+\s+[0-9a-f]+\s+([0-9a-f]+)\s+[0-9a-f]+\s+(\S*)\s+\d+\s+\d+\s+\d+$")


def members(f):
    """Yields (name, lines) for an object, or for each in an archive."""
    out = subprocess.run([TOOLS + "readelf", "-SW", f], check=True, text=True, stdout=subprocess.PIPE).stdout
    name, lines = f, []
    for line in out.splitlines():
        if line.startswith("File: "):
            if lines:
                yield name, lines
            name, lines = line[len("File: "):], []
        elif line:
            lines.append(line)
    yield name, lines


def problems(lines):
    code, said = [], 0
    for line in lines:
        m = SECTION.match(line)
        if not m:
            continue
        name, _, size, flags = m.groups()
        if name == RANGES:
            said = int(size, 16)
        elif name.startswith(".gnu.lto_"):
            return ["is compiled for link-time optimisation"]
        elif "X" in flags and int(size, 16) != 0:
            code.append(name)
    found = ["has code in " + name for name in code if name not in COVERED]
    if code and said == 0:
        found.append("does not say where its code is")
    if said % 8 != 0:
        found.append("says half of it")
    return sorted(set(found))


def main(args):
    bad = args[:1] == ["--expect-bad"]
    files = [a for a in args[bad:] if a.endswith((".o", ".a"))]
    failed, n = False, 0
    for name, lines in (m for f in files for m in members(f)):
        n += 1
        found = problems(lines)
        failed |= bool(found) != bad
        for p in found or (["passes"] if bad else []):
            print("%s%s %s" % ("FAIL: " if bool(found) != bad else "", name, p))
    if n == 0:
        sys.exit("FAIL: no objects")
    if failed:
        sys.exit(1)
    print("ok: %d objects" % n)


main(sys.argv[1:])
