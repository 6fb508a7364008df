#!/usr/bin/env python3
"""debugger_test.py gdb|lldb SCRIPT PROGRAM: a debugger with golib's script shows the goroutines of a program that
runs, and of its core file. Where the debugger is missing, or may not trace, it says so and is skipped.
"""

import glob
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile

FAILED = []


def skip(why):
    print("SKIPPED: " + why)
    sys.exit(0)


def run(*command):
    env = dict(os.environ, GOMAXPROCS="1", LC_ALL="C", HOME=os.environ.get("TEST_TMPDIR", "/tmp"))
    for found in glob.glob("/usr/lib/llvm-*/lib/python3*/*-packages/lldb"):
        env["PYTHONPATH"] = os.path.dirname(found) + ":/usr/lib/python3/dist-packages"  # Debian 12's looks elsewhere
    p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env,
                       stdin=subprocess.DEVNULL, timeout=200, errors="replace")
    return p.stdout


def gdb(program, core, *commands):
    args = ["gdb", "-q", "-nx", "-batch", "-ex", "set auto-load off", "-ex", "source " + SCRIPT]
    if core is None:
        args += ["-ex", "set disable-randomization off", "-ex", "break stop_here", "-ex", "run"]
    for c in commands:
        args += ["-ex", c]
    return run(*args, program, *([core] if core else []))


def lldb(program, core, *commands):
    args = ["lldb", "--no-lldbinit", "-b", "-o", "command script import " + SCRIPT]
    if core is None:
        args += ["-o", "settings set target.disable-aslr false", "-o", "breakpoint set -n stop_here", "-o", "run"]
    for c in commands:
        args += ["-o", c]
    return run(*args, program, *(["-c", core] if core else []))


def expect(out, *patterns):
    for p in patterns:
        if not re.search(p, out, re.M | re.S):
            FAILED.append(p)
            print(f"no {p!r} in:\n{out}\n")


def entry(out, start):
    """What is printed of a goroutine, up to the next."""
    at = re.search(start, out)
    return out[at.start():].split("\ngoroutine ")[0] if at else ""


LISTED = [
    r'^goroutine 1 "main" go_main@ \[running\]$',
    r'^goroutine 2 "reader" reader@.*debug_program\.c:\d+ \[chan receive\]$',
    r'^goroutine 4 "reader" reader@.*debug_program\.c:\d+ \[chan receive\]$',
    r"^goroutine 5 sleeper@.*debug_program\.c:\d+ \[sleep\]$",
    r"^goroutine 6 never_run@.*debug_program\.c:\d+ \[not started\]$",
]


def check_all(out, whole):
    """`goroutine all`; whole: frames without frame pointers as well."""
    expect(out, *LISTED)
    reader = entry(out, 'goroutine 3 "reader"')
    expect(reader, r"go_park_", r"inner_wait\b.*debug_program\.c", r"go_g_entry_")
    if whole:
        expect(reader, r"inner_wait \([^\n]*=0\).*inner_wait \([^\n]*=1\).*inner_wait \([^\n]*=2\).*reader \(")
    expect(entry(out, 'goroutine 1 "main"'), r"stop_here|abort", r"go_g_entry_|go_arch_start_")
    expect(entry(out, "goroutine 5 sleeper"), r"go_park_", r"sleeper")
    expect(entry(out, "goroutine 6 never_run"), r"no stack yet")


def save_core(program, folder):
    """The kernel's core file of the program when it aborts, or None. (gdb's own end at the first stack guard.)"""
    def limit():
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    subprocess.run([program, "abort"], cwd=folder, preexec_fn=limit, check=False, stderr=subprocess.DEVNULL,
                   env=dict(os.environ, GOMAXPROCS="1", GOLIB_STACK="256K"))
    cores = glob.glob(os.path.join(folder, "core*"))
    return cores[0] if cores and os.path.getsize(cores[0]) > 0 else None


def test_gdb(program, core):
    live = gdb(program, None, "info goroutines", "echo ALL\\n", "goroutine all bt", "echo ONE\\n", "goroutine 2 bt 3",
               "goroutine 2 frame function inner_wait", "goroutine 99", "goroutine x", "echo OWN\\n", "bt", "continue")
    expect(live, *LISTED)
    check_all(live.split("\nALL\n")[-1].split("\nONE\n")[0], True)
    expect(live, r"\nONE\n#0 +0x\w+ in .*\n#1 ", r"in inner_wait \(c=", r"no goroutine 99", r"goroutine ID\|all",
           r"\nOWN\n#0  stop_here", r"exited normally")  # and the program is as it was
    if core is not None:
        check_all(gdb(program, core, "goroutine all"), True)


def test_lldb(program, core):
    live = lldb(program, None, "goroutines", "script print('ALL')", "goroutine all", "continue")
    expect(live, *LISTED)
    check_all(live.split("\nALL\n")[-1], False)
    expect(live, r"exited with status = 0")
    expect(lldb(program, None, "goroutine 99"), r"no goroutine 99")  # an error ends it
    expect(lldb(program, None, "goroutine x"), r"goroutine ID\|all")
    if core is not None:
        check_all(lldb(program, core, "goroutine all"), False)


def main(debugger, script, program):
    global SCRIPT
    SCRIPT = os.path.abspath(script)
    program = os.path.abspath(program)
    if shutil.which(debugger) is None:
        skip(f"there is no {debugger}")
    stops = (gdb if debugger == "gdb" else lldb)(program, None)
    if not re.search(r"Breakpoint 1, |stop reason = breakpoint", stops):
        if re.search(r"ptrace|ot permitted|personality|embedded_interpreter", stops):
            skip(f"{debugger} cannot run programs here:\n{stops}")
        sys.exit(f"{debugger} does not stop:\n{stops}")
    core = save_core(program, tempfile.mkdtemp(dir=os.environ.get("TEST_TMPDIR")))
    if core is None:
        print("SKIPPED: core files: the system writes none here")
    (test_gdb if debugger == "gdb" else test_lldb)(program, core)
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
