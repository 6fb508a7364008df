"""Goroutines in lldb, of a running program or a core file:

  (lldb) command script import tools/lldb/golib.py
  (lldb) goroutines            # all that are alive
  (lldb) goroutine 12          # a backtrace of one; `goroutine all` of all

Needs the debug information of golib (build with -g). A goroutine that is suspended has its registers on its stack
(arch/CPU/frame.h); from there frame pointers are followed, so code without them
(-fomit-frame-pointer) leaves gaps: tools/gdb has none. Where lldb does not find its Python module, as Debian 12's
does not: PYTHONPATH=/usr/lib/llvm-14/lib/python3.11/dist-packages:/usr/lib/python3/dist-packages lldb ...
"""

import lldb

DEAD, FRESH, RUNNABLE, RUNNING, WAITING, TIMED_FRESH, TIMED = range(7)  # enum go_g_state_
STATES = {FRESH: "not started", TIMED_FRESH: "not started", RUNNABLE: "runnable", TIMED: "runnable",
          RUNNING: "running"}
FLAG_THREAD = 1
SLAB_GS = 4096
FRAME_POINTER = {"x86_64": 48}  # offset of { frame pointer, return address } from the saved stack pointer


def static(target, name):
    found = target.FindGlobalVariables(name, 1)
    if found.GetSize() == 0:
        raise RuntimeError(f"{name}: golib is not in this program, or without debug information")
    return found.GetValueAtIndex(0)


def number(value, *path):
    for p in path:
        value = value.GetChildMemberWithName(p)
    return value.GetValueAsUnsigned()


def text_at(target, address):
    """A string; what the program's file has is not in a core file."""
    error = lldb.SBError()
    where = target.ResolveLoadAddress(address)
    for size in (256, 64, 16) if address else ():
        data = target.ReadMemory(where, size, error) if where.GetSection().IsValid() else \
            target.GetProcess().ReadMemory(address, size, error)
        if error.Success():
            return bytes(data).split(b"\0")[0].decode(errors="replace")
    return "?" if address else ""


class Goroutine:
    def __init__(self, target, g):
        self.target, self.process = target, target.GetProcess()
        self.id, self.state, self.reason = number(g, "id"), number(g, "state"), number(g, "reason")
        self.flags, self.sp = number(g, "flags"), number(g, "ctx", "sp")
        self.top = number(g, "stack_top")
        self.low = self.top - (1 << number(g, "stack_class")) if self.top else 0
        self.name = text_at(self.target, number(g, "name"))
        self.site = text_at(self.target, number(g, "site")) or "?"

    def foreign(self):
        return bool(self.flags & FLAG_THREAD)

    def what(self):
        if self.state == WAITING:
            texts = static(self.target, "go_wait_texts_")
            return text_at(self.target, texts.GetChildAtIndex(self.reason).GetValueAsUnsigned())
        if self.state == RUNNING and self.foreign():
            return "blocking call"
        return STATES[self.state]

    def line(self):
        name = f' "{self.name}"' if self.name else ""
        return f"goroutine {self.id}{name} {self.site} [{self.what()}]"

    def thread(self):
        for t in self.process:
            if self.low <= t.GetFrameAtIndex(0).GetSP() < self.top:
                return t
        return None

    def frames(self):
        """Return addresses, by frame pointers."""
        offset = FRAME_POINTER.get(self.target.GetTriple().split("-")[0])
        if offset is None or not self.top or self.foreign() or self.state not in (WAITING, RUNNABLE, TIMED):
            return
        error, fp, low = lldb.SBError(), self.sp + offset, self.sp
        while low <= fp < self.top and fp % 8 == 0:
            pc = self.process.ReadPointerFromMemory(fp + 8, error)
            if error.Fail() or pc == 0:
                return
            yield pc
            low, fp = fp + 16, self.process.ReadPointerFromMemory(fp, error)

    def backtrace(self):
        thread = self.thread()
        if thread is not None:
            return "".join(f"  #{f.GetFrameID():<3}{f}\n" for f in thread)
        lines = []
        for pc in self.frames():
            a = self.target.ResolveLoadAddress(pc - 1)  # the call, not what comes after it
            block = a.GetBlock()
            inlined = block.GetContainingInlinedBlock() if block else None
            entry = a.GetLineEntry()
            while inlined and inlined.IsValid() and inlined.GetInlinedName():
                lines.append((inlined.GetInlinedName(), entry.GetFileSpec().GetFilename(), entry.GetLine()))
                entry = CallSite(inlined)
                inlined = inlined.GetParent().GetContainingInlinedBlock()
            name = a.GetFunction().GetName() or a.GetSymbol().GetName() or hex(pc)
            lines.append((name, entry.GetFileSpec().GetFilename(), entry.GetLine()))
            if name == "go_g_entry_":
                break
        if not lines:
            return "  no stack yet\n" if not self.top else "  on its way: no frames\n"
        return "".join(f"  #{i:<3}{name}" + (f" at {file}:{line}\n" if file else "\n")
                       for i, (name, file, line) in enumerate(lines))


class CallSite:
    """Where an inlined function was called, as a line entry."""

    def __init__(self, block):
        self.file, self.line = block.GetInlinedCallSiteFile(), block.GetInlinedCallSiteLine()

    def GetFileSpec(self):
        return self.file

    def GetLine(self):
        return self.line



def goroutines(target):
    pool = static(target, "go_g_pool_")
    found = []
    for i in range(number(pool, "nslabs", "v")):
        slab = pool.GetChildMemberWithName("slab").GetChildAtIndex(i)
        g_type = slab.GetType().GetPointeeType()
        size, start = g_type.GetByteSize(), slab.GetValueAsUnsigned()
        last = i == number(pool, "nslabs", "v") - 1
        end = number(pool, "bump") if last else start + SLAB_GS * size
        for at in range(start, end, size):
            g = target.CreateValueFromAddress("g", lldb.SBAddress(at, target), g_type)
            if number(g, "state") != DEAD:
                found.append(Goroutine(target, g))
    return sorted(found, key=lambda g: g.id)


def list_command(debugger, _command, result, _internal):
    """List golib's goroutines."""
    try:
        for g in goroutines(debugger.GetSelectedTarget()):
            result.AppendMessage(g.line())
    except RuntimeError as e:
        result.SetError(str(e))


def backtrace_command(debugger, command, result, _internal):
    """goroutine ID|all: a backtrace of a goroutine, or of all."""
    which = command.strip()
    if which != "all" and not which.isdigit():
        result.SetError("goroutine ID|all")
        return
    try:
        chosen = [g for g in goroutines(debugger.GetSelectedTarget()) if which in ("all", str(g.id))]
        for g in chosen:
            result.AppendMessage(g.line() + "\n" + g.backtrace().rstrip("\n"))
        if not chosen:
            result.SetError("no goroutines" if which == "all" else f"no goroutine {which}")
    except RuntimeError as e:
        result.SetError(str(e))


def __lldb_init_module(debugger, _dict):
    debugger.HandleCommand(f"command script add -f {__name__}.list_command goroutines")
    debugger.HandleCommand(f"command script add -f {__name__}.backtrace_command goroutine")
