"""Goroutines in gdb, of a running program or a core file:

  (gdb) source tools/gdb/golib.py
  (gdb) info goroutines             # all that are alive
  (gdb) goroutine 12 bt             # a backtrace of one; `goroutine all bt` of all
  (gdb) goroutine 12 info locals    # any command of gdb's, such as `info locals`, `frame function f`

Core files are the kernel's: gdb's own `generate-core-file` ends at the first stack guard.

Needs the debug information of golib (build with -g) and of what shall have names. Stacks are unwound by CFI: no
frame pointers needed, and no program that runs.

How: a goroutine that is suspended has its registers on its stack (arch/CPU/frame.h). While a command runs, an
unwinder pretends that the innermost frame of the selected thread was called from there. Nothing is written.
"""

import re

import gdb
from gdb.unwinder import Unwinder

DEAD, FRESH, RUNNABLE, RUNNING, WAITING, TIMED_FRESH, TIMED = range(7)  # enum go_g_state_
STATES = {FRESH: "not started", TIMED_FRESH: "not started", RUNNABLE: "runnable", TIMED: "runnable",
          RUNNING: "running"}
FLAG_THREAD = 1
SLAB_GS = 4096
SWITCH_FRAME = {  # offsets from the saved stack pointer; the stack pointer after the switch
    "i386:x86-64": ({"r12": 8, "r13": 16, "r14": 24, "r15": 32, "rbx": 40, "rbp": 48, "rip": 56}, "rsp", 64, "rip"),
}


def static(file, name):
    """A variable of one of golib's files."""
    for spelling in (name, f"'{file}'::{name}"):
        try:
            return gdb.parse_and_eval(spelling)
        except gdb.error:
            pass
    raise gdb.GdbError(f"{name}: golib is not in this program, or without debug information")


class Goroutine:
    def __init__(self, g):
        self.g = g
        self.id = int(g["id"])
        self.state = int(g["state"])
        self.sp = int(g["ctx"]["sp"])
        self.top = int(g["stack_top"])
        self.low = self.top - (1 << int(g["stack_class"])) if self.top else 0

    def foreign(self):
        return bool(int(self.g["flags"]) & FLAG_THREAD)

    def name(self):
        return self.g["name"].string(errors="replace") if int(self.g["name"]) else ""

    def site(self):
        return self.g["site"].string(errors="replace") if int(self.g["site"]) else "?"

    def what(self):
        if self.state == WAITING:
            return static("dump.c", "go_wait_texts_")[int(self.g["reason"])].string()
        if self.state == RUNNING and self.foreign():
            return "blocking call"
        return STATES[self.state]

    def thread(self):
        """The thread that is on its stack, or None."""
        selected, frame = gdb.selected_thread(), gdb.selected_frame()
        found = None
        for t in gdb.selected_inferior().threads():
            t.switch()
            if self.low <= int(gdb.parse_and_eval("(unsigned long)$sp")) < self.top:
                found = t
                break
        selected.switch()
        frame.select()
        return found

    def suspended(self):
        return self.top != 0 and self.state in (WAITING, RUNNABLE, TIMED) and not self.foreign()

    def line(self):
        name = f' "{self.name()}"' if self.name() else ""
        return f"goroutine {self.id}{name} {self.site()} [{self.what()}]"


def goroutines():
    return sorted(find_goroutines(), key=lambda g: g.id)


def find_goroutines():
    pool = static("spawn.c", "go_g_pool_")
    for i in range(int(pool["nslabs"]["v"])):
        slab = pool["slab"][i]
        last = int(pool["nslabs"]["v"]) - 1 == i
        end = int(pool["bump"] - slab) if last else SLAB_GS  # the rest was never used
        for k in range(end):
            if int(slab[k]["state"]) != DEAD:
                yield Goroutine(slab[k])


class FrameId:
    def __init__(self, sp, pc):
        self.sp, self.pc = sp, pc


class SwitchedTo(Unwinder):
    """Makes the innermost frame look as if called from where goroutine `at` is suspended."""

    def __init__(self):
        super().__init__("golib")
        self.at = None

    def __call__(self, pending):
        if self.at is None:
            return None
        saved, sp_name, size, pc_name = SWITCH_FRAME[pending.architecture().name()]
        sp, pc = pending.read_register(sp_name), pending.read_register(pc_name)
        if (int(sp), int(pc)) != self.innermost:
            return None
        info = pending.create_unwind_info(FrameId(sp, pc))
        word = gdb.lookup_type("unsigned long")
        for register, offset in saved.items():
            value = gdb.Value(self.at + offset).cast(word.pointer()).dereference()
            info.add_saved_register(register, value.cast(pending.read_register(register).type))
        info.add_saved_register(sp_name, gdb.Value(self.at + size).cast(sp.type))
        return info

    def pretend(self, at):
        if at is not None:
            frame = gdb.newest_frame()
            arch = frame.architecture().name()
            if arch not in SWITCH_FRAME:
                raise gdb.GdbError(f"golib: suspended goroutines of {arch} are not known here")
            _, sp_name, _, pc_name = SWITCH_FRAME[arch]
            self.innermost = (int(frame.read_register(sp_name)), int(frame.read_register(pc_name)))
        self.at = at
        gdb.invalidate_cached_frames()


UNWINDER = SwitchedTo()
gdb.unwinder.register_unwinder(None, UNWINDER, replace=True)


def on_goroutine(g, command):
    """What the command prints when the goroutine's frames are the thread's from 1 on; for bt from 0 on."""
    thread = g.thread()
    if thread is not None:
        selected = gdb.selected_thread()
        thread.switch()
        try:
            return gdb.execute(command, to_string=True)
        finally:
            selected.switch()
    if not g.suspended():
        return "  no stack yet\n" if not g.top else "  on its way: no frames\n"
    UNWINDER.pretend(g.sp)
    try:
        gdb.newest_frame().older().select()
        text = gdb.execute(command, to_string=True)
    finally:
        UNWINDER.pretend(None)
    if re.match(r"(bt|backtrace|where)\b", command):  # all from frame 1 on, as frame 0 on
        text = re.sub(r"^#0 .*\n(?:(?!#).*\n)*", "", text)
        text = re.sub(r"^#(\d+) *", lambda m: f"#{int(m[1]) - 1:<3}", text, flags=re.M)
    return text


class InfoGoroutines(gdb.Command):
    """List golib's goroutines."""

    def __init__(self):
        super().__init__("info goroutines", gdb.COMMAND_STACK, gdb.COMPLETE_NONE)

    def invoke(self, _arg, _from_tty):
        for g in goroutines():
            gdb.write(g.line() + "\n")


class GoroutineCommand(gdb.Command):
    """goroutine ID|all [COMMAND]: run a gdb command (default: bt) on the stack of a goroutine, or of all."""

    def __init__(self):
        super().__init__("goroutine", gdb.COMMAND_STACK, gdb.COMPLETE_NONE)

    def invoke(self, arg, _from_tty):
        which, _, command = arg.strip().partition(" ")
        command = command.strip() or "bt"
        if which != "all" and not which.isdigit():
            raise gdb.GdbError("goroutine ID|all [COMMAND]")
        found = False
        for g in goroutines():
            if which == "all" or g.id == int(which):
                found = True
                if which == "all":
                    gdb.write(g.line() + "\n")
                try:
                    gdb.write(on_goroutine(g, command))
                except gdb.error as e:
                    raise gdb.GdbError(f"goroutine {g.id}: {e}")
        if not found:
            raise gdb.GdbError("no goroutines" if which == "all" else f"no goroutine {which}")


InfoGoroutines()
GoroutineCommand()
