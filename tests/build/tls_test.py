#!/usr/bin/env python3
"""tls_test.py [--expect-bad] OBJECT...: no code holds a thread-local's address, or errno's, across a switch.

A goroutine may resume on another thread, and compilers keep the address of a thread-local in a register
across calls. So golib's own thread-locals are read in core/tls.c only, by functions that are not
inlined, and errno only by backends, which never suspend (docs: "Thread-local state and errno").

Disassembles the objects, and names the function and the object of each violation. With --expect-bad
the objects are planted ones: the check must refuse every function in them whose name says bad_.
"""

import os
import re
import subprocess
import sys

# Where thread-locals live.
ACCESSORS = re.compile(r"(^|/)core/_objs/core/tls\.")
# Who may look at errno: the accessors (go_errno) and code that talks to the system and cannot suspend. (In preempt the handler of
# a signal does, and reads it by functions of its own.)
ERRNO = re.compile(r"(^|/)(os|poll|preempt|net)/")

ERRNO_CALL = re.compile(r"\b(__errno_location|__error|_errno|___errno)\b")
SEGMENT = re.compile(r"%(?:fs|gs):(?!0x28\b)|\btpidr(?:ro)?_el0\b")
RELOCATION = re.compile(r"\bR_(?:X86_64|AARCH64)_\S*(?:TPOFF|TLS|DTPMOD)\S*|\b__tls_get_addr\b")
# The target's tools, where it is not this machine: see tools/emu.
TOOLS = os.environ.get("GOLIB_CROSS", "")
FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")


def violations(obj):
    """Yields (function, why) for one object."""
    out = subprocess.run([TOOLS + "objdump", "-drw", "--no-show-raw-insn", obj], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    function, seen = "?", set()
    for line in out.splitlines():
        m = FUNCTION.match(line)
        if m:
            function = m.group(1)
            continue
        found = []
        if not ACCESSORS.search(obj):
            m = SEGMENT.search(line) or RELOCATION.search(line)
            if m:
                found.append("uses a thread-local (%s)" % " ".join(line.split(":", 1)[-1].split()))
            if not ERRNO.search(obj) and ERRNO_CALL.search(line):
                found.append("uses errno")
        for why in found:
            if (function, why.split(" (")[0]) not in seen:
                seen.add((function, why.split(" (")[0]))
                yield function, why


def functions(obj):
    out = subprocess.run([TOOLS + "nm", "--defined-only", obj], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    return {f[-1] for f in (line.split() for line in out.splitlines()) if len(f) == 3 and f[1] in "tT"}


def selftest(objects):
    planted, caught = set(), set()
    for obj in objects:
        planted |= functions(obj)
        for function, why in violations(obj):
            print("caught %s: %s" % (function, why))
            caught.add(function)
    want = {f for f in planted if f.startswith("bad_")}
    if not want or want == planted or caught != want:
        print("FAIL: planted %s, caught %s" % (sorted(planted), sorted(caught)))
        return 1
    return 0


def main(args):
    if args[:1] == ["--expect-bad"]:
        return selftest([a for a in args[1:] if a.endswith((".o", ".a"))])
    failed = 0
    for obj in args:
        for function, why in violations(obj):
            failed += 1
            print("FAIL: %s in %s %s" % (function, obj, why))
    if failed:
        print("Thread-locals are read in core/tls.c by noinline functions; errno in os/, poll/ and net/.")
    if not args:
        print("FAIL: no objects")
        failed = 1
    print("%d objects, %d violations" % (len(args), failed))
    return 1 if failed else 0


if __name__ == "__main__":
    os.environ["LC_ALL"] = "C"
    sys.exit(main(sys.argv[1:]))
