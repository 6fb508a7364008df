#!/usr/bin/env python3
"""exports_test.py LIST ARCHIVE SHARED HEADER...: what libraries export is what LIST names.

Four sets have to be the same: the list, what the public headers declare as GO_API, the symbols that
golib's objects offer to other files (default visibility), and the dynamic symbols of the shared library.
"""

import os
import re
import subprocess
import sys


def visible_names(table, file):
    """Names that the file defines, in one of its symbol tables, for other files to use."""
    out = subprocess.run(["readelf", "-W", table, file], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    names = set()
    for line in out.splitlines():
        # Num: Value Size Type Bind Vis Ndx Name
        f = line.split()
        if (len(f) >= 8 and f[4] in ("GLOBAL", "WEAK", "UNIQUE") and f[5] in ("DEFAULT", "PROTECTED")
                and f[6] != "UND"):
            names.add(f[7].split("@")[0])
    return names


def declared(header):
    """Names that a header declares as GO_API: functions, and variables."""
    with open(header, encoding="utf-8") as f:
        text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", f.read(), flags=re.S)
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", " ", text, flags=re.M)
    return set(re.findall(r"\bGO_API\b[^;{]*?\b(go_\w+)\s*[(\[;]", text))


def main(listed_file, archive, shared, *headers):
    with open(listed_file) as f:
        lines = f.read().split()
    listed = set(lines)
    problems = []
    if lines != sorted(listed):
        problems.append("the list is not sorted, or names something twice")
    visible, exported = visible_names("--syms", archive), visible_names("--dyn-syms", shared)
    public = set().union(*map(declared, headers))
    for name in sorted(public - visible):
        problems.append("%s is declared in a public header, but not defined" % name)
    for name in sorted(listed & visible - public):
        problems.append("%s is listed and defined, but no public header declares it as GO_API" % name)
    for name in sorted(visible | listed):
        if not name.startswith("go_"):
            problems.append("%s is visible to users, but does not start with go_ (static? hidden?)" % name)
        elif name not in listed:
            problems.append("%s is marked GO_API, or not hidden, but not listed" % name)
        elif name not in visible:
            problems.append("%s is listed, but not defined, or not marked GO_API" % name)
    for name in sorted(exported ^ listed):
        if name in exported:
            problems.append("%s is exported by the shared library, but not listed" % name)
        elif name in visible:
            problems.append("%s is listed, but the shared library does not export it" % name)
    if problems:
        print("core/exports.txt and the libraries differ:")
        print("\n".join("  " + p for p in problems))
        print("If the list is what has to change: ./tools/pkg/update_exports")
        return 1
    print("%d exports" % len(listed))
    return 0


if __name__ == "__main__":
    os.environ["LC_ALL"] = "C"
    sys.exit(main(*sys.argv[1:]))
