#!/usr/bin/env python3
"""trace_format_test.py PROGRAM RETAKE_PROGRAM: what a trace says is well-formed, and can have happened.

The format is Chrome's Trace Event Format, which Perfetto reads too. Beyond it: a P runs one goroutine at a
time, a goroutine runs on one P at a time and does not wait meanwhile, and who is woken runs afterwards.
"""

import collections
import json
import os
import subprocess
import sys
import tempfile

KEYS = {  # phase: keys that it must have, and may have, besides ph, pid, tid
    "X": ({"name", "cat", "ts", "dur", "args"}, set()),
    "B": ({"name", "cat", "ts"}, set()),
    "E": ({"ts"}, set()),
    "i": ({"name", "cat", "ts", "s"}, {"args"}),
    "s": ({"name", "cat", "ts", "id"}, set()),
    "f": ({"name", "cat", "ts", "id", "bp"}, set()),
    "M": ({"name", "args"}, set()),
}
PROCESSORS, GOROUTINES, THREADS = 1, 2, 3
WAITS = {"chan receive", "chan send", "select", "sleep", "wait group", "blocking call", "runnable"}
problems = []


def need(ok, *what):
    if not ok:
        problems.append(" ".join(str(w) for w in what))


def ns(us):
    return round(us * 1000)


def check_shape(e):
    need(isinstance(e, dict) and e.get("ph") in KEYS, "unknown phase:", e)
    must, may = KEYS[e["ph"]]
    keys = set(e) - {"ph", "pid", "tid"}
    need(must <= keys and keys <= must | may, "keys of", e)
    for k in ("pid", "tid"):
        need(type(e.get(k)) is int and e[k] >= 0, k, e)
    need(e["pid"] in (PROCESSORS, GOROUTINES, THREADS), "pid", e)
    for k in ("ts", "dur"):
        if k in e:
            need(type(e[k]) in (int, float) and e[k] >= 0, k, e)
    for k in ("name", "cat", "id"):
        if k in e:
            need(isinstance(e[k], str), k, e)
    if e["ph"] == "M":
        need(e["name"] in ("process_name", "thread_name") and isinstance(e["args"].get("name"), str), e)
    if e["ph"] == "i":
        need(e["s"] == "t", e)


def no_overlap(spans, what):
    spans.sort()
    for a, b in zip(spans, spans[1:]):
        need(a[1] <= b[0] + 1, what, "overlap:", a, b)  # digits are cut off


def check_times(events):
    of_p, of_g = collections.defaultdict(list), collections.defaultdict(list)
    for e in events:
        if e["ph"] == "X":
            span = (ns(e["ts"]), ns(e["ts"]) + ns(e["dur"]), e["name"])
            if e["pid"] == PROCESSORS:
                of_p[e["tid"]].append(span)
                of_g[e["args"]["g"]].append(span)
            else:
                need(e["pid"] == GOROUTINES and e["name"] in WAITS, e)
                of_g[e["tid"]].append(span)
    for p, spans in of_p.items():
        no_overlap(spans, f"turns on P{p}")
    for g, spans in of_g.items():
        no_overlap(spans, f"turns and waits of G{g}")
    return of_g


def check_regions(events):
    """Begin and end nest, per track; waits lie within one region or outside. Returns names, and those still open."""
    tracks = collections.defaultdict(list)
    for i, e in enumerate(events):
        if e["ph"] in "BE":
            tracks[e["pid"], e["tid"]].append((ns(e["ts"]), i, e))
    names, still = collections.Counter(), []
    for track, list_ in tracks.items():
        stack = []
        for _, _, e in sorted(list_, key=lambda x: x[:2]):
            if e["ph"] == "B":
                stack.append(e["name"])
                names[e["name"]] += 1
            elif stack:
                stack.pop()
            else:
                need(False, "end without a beginning on", track, e)
        still += stack
    return names, still


def check_flows(events):
    starts, ends = {}, set()
    for e in events:
        if e["ph"] == "s":
            need(e["id"] not in starts, "two starts of", e["id"])
            starts[e["id"]] = e["ts"]
    for e in events:
        if e["ph"] == "f":
            need(e["bp"] == "e" and e["id"] not in ends, "end", e)
            ends.add(e["id"])
            need(e["id"] in starts and ns(starts[e["id"]]) <= ns(e["ts"]), "end before its start", e)
    return len(ends)


def traced(program, procs):
    """The events of a run of the program, whose shape is right; None if it is not."""
    path = os.path.join(os.environ.get("TEST_TMPDIR") or tempfile.mkdtemp(), "trace.json")
    emulator = os.environ.get("GOLIB_RUN", "").split()
    subprocess.run(emulator + [program, path], check=True, env=dict(os.environ, GOMAXPROCS=procs))
    with open(path, encoding="utf-8") as f:
        trace = json.load(f)
    need(set(trace) == {"displayTimeUnit", "traceEvents", "otherData"}, set(trace))
    need(trace["otherData"] == {"source": "golib", "dropped": "0"}, trace["otherData"])
    events = trace["traceEvents"]
    for e in events:
        check_shape(e)
    print(f"{os.path.basename(program)}, GOMAXPROCS={procs}: {len(events)} events")
    return None if problems else events


def check_everything(program, procs):
    """trace_program.c"""
    events = traced(program, procs)
    if events is None:
        return
    of_g = check_times(events)
    names, still = check_regions(events)
    need(names == {"compute": 40, 'hand over "it"': 40, "for ever": 1}, names)
    need(still == ["for ever"], still)
    need(check_flows(events) > 10, "flows")
    logs = [e["name"] for e in events if e.get("cat") == "log"]
    need(len(logs) == 1 and logs[0].startswith("seven, by ") and logs[0].endswith("caf\u00e9 \x01 \ufffd"), logs)
    waits = {e["name"] for e in events if e.get("cat") == "wait"}
    need({"blocking call", "sleep", "chan receive"} <= waits, waits)
    ended = [e for e in events if e["ph"] == "X" and e["args"].get("then") == "end"]
    need(1 <= len(ended) <= 4, "goroutines that ended:", ended)  # the last ones may be on their way
    tracks = {e["tid"]: e["args"]["name"] for e in events
              if e["ph"] == "M" and e["pid"] == GOROUTINES and e["name"] == "thread_name"}
    need(set(of_g) <= set(tracks), "goroutines without a name:", set(of_g) - set(tracks))
    need(sum("square@" in n for n in tracks.values()) == 3, tracks)
    need({e["tid"] for e in events if e["ph"] == "M" and e["pid"] == PROCESSORS and
          e["name"] == "thread_name"} >= set(range(int(procs))), "Ps without a name")
    need(any(e["ph"] == "X" and e["name"].endswith(" square") for e in events), "names of turns")


def check_retakes(program, procs):
    """trace_retake_program.c: a turn ends where the P is taken, others have that P then, and who lost it comes back."""
    events = traced(program, procs)
    if events is None:
        return
    check_times(events)
    names, still = check_regions(events)
    need(names == {"hog": HOGS * LOSSES} and not still, names, still)
    need(check_flows(events) > 0, "flows")
    turns = [e for e in events if e["ph"] == "X" and e["pid"] == PROCESSORS]
    lost = [e for e in turns if e["args"]["then"] == "runs without a P"]
    marks = [e for e in events if e["ph"] == "i" and e.get("cat") == "retake"]
    at = lambda e: (e["tid"], ns(e["ts"]) + ns(e.get("dur", 0)), e["args"]["g"])
    need(all(m["pid"] == PROCESSORS and m["name"] == "retake" for m in marks), marks)
    need([e[::2] for e in sorted(map(at, lost))] == [e[::2] for e in sorted(map(at, marks))] and
         all(abs(a[1] - b[1]) <= 1 for a, b in zip(sorted(map(at, lost)), sorted(map(at, marks)))),
         "marks of retakes:", lost, marks)
    need(lost, "no retakes")
    by = collections.Counter(e["args"]["g"] for e in lost if e["name"].endswith(" hog"))
    for e in lost:
        if e["name"].endswith(" hog"):
            later = [t for t in turns if t["args"]["g"] == e["args"]["g"] and ns(t["ts"]) >= at(e)[1] - 1 and t is not e]
            need(later, "never back:", e)
    if procs == "1":
        check_one_p(events, turns, lost, by)


def check_one_p(events, turns, lost, by):
    """Each hog loses the P in each of its regions, and then another goroutine has it."""
    need(len(by) == HOGS and min(by.values(), default=0) >= LOSSES, "retakes of the hogs:", by)
    turns = sorted(turns, key=lambda t: t["ts"])
    for e in lost:
        after = turns[turns.index(e) + 1:]
        need(after and after[0]["args"]["g"] != e["args"]["g"], "nobody else had the P after", e)
    for g in by:
        begins, ends = (sorted(ns(e["ts"]) for e in events if e["ph"] == ph and e["tid"] == g) for ph in "BE")
        taken = [ns(e["ts"]) + ns(e["dur"]) for e in lost if e["args"]["g"] == g]
        need(all(any(b <= t <= e for t in taken) for b, e in zip(begins, ends)), "regions of", g, begins, ends, taken)


HOGS, LOSSES = 3, 8  # of trace_retake_program.c


def main(program, retake_program):
    for procs in ("1", "2", "4"):
        if not problems:
            check_everything(program, procs)
    for procs in ("1", "2"):  # with more hogs than Ps some lose theirs
        if not problems:
            check_retakes(retake_program, procs)
    for p in problems[:20]:
        print(p, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
