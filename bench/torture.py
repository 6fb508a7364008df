#!/usr/bin/env python3
"""The figures of docs/torture.md: what hogs, blocking calls and bursts do to others, golib beside Go, with targets.

Exits with 1 when a target is missed by far: by as much as the libraries miss it that golib was made instead of. Other work
on the machine shows; the medians and the best of the runs are printed.
"""

import os
import subprocess
import sys

import measure
import net
import report


class Row:
    """A figure. target: what it shall be, far: what it must not be; at least (up) or at most."""

    def __init__(self, label, bench, key, unit, target, far, up=False, procs=(1, 2)):
        self.label, self.bench, self.key, self.unit = label, bench, key, unit
        self.target, self.far, self.up, self.procs = target, far, up, procs

    def within(self, value, bound):
        return value >= bound if self.up else value <= bound

    def best(self, values):
        return max(values) if self.up else min(values)


ROWS = [
    Row("ticks beside a hog", "hog", "ticks", "of 300", 250, 125, up=True, procs=(1,)),
    Row("ticks beside 4 hogs", "hogs", "ticks", "of 300", 200, 100, up=True),
    Row("ticks beside hogs in libc", "libc", "ticks", "of 300", 200, 100, up=True, procs=(1,)),
    Row("ticks beside malloc, fprintf", "malloc", "ticks", "of 300", 200, 100, up=True, procs=(1,)),
    Row("20 calls that block 100 ms", "sidebyside", "wall_ms", "ms", 120, 500),
    Row("sleep of 20 ms, all in go_blocking", "blocking", "woke_ms", "ms", 25, 200),
    Row("sleep of 20 ms, all in system calls", "syscall", "woke_ms", "ms", 40, 200),
    Row("sleep of 1 ms: late, median", "sleep", "median_late_us", "us", 100, 1000),
    Row("sleep of 1 ms: late, p99", "sleep", "p99_late_us", "us", 300, 2900),
    Row("CPU time on one P of two", "procs", "cpu_percent", "%", 102, 115, procs=(1,)),
    Row("select: chi-square, 2 degrees", "select", "chi_square", "", 41.4, 41.4, procs=(1,)),
    Row("idle for 5 s: wake-ups", "idle", "wakeups", "", 0, 20),
    Row("idle server, answer: p99", "server", "p99", "us", 300, 5000, procs=(1,)),
]
SERVED = 200  # requests, one every 20 ms


def probe(program, client, procs, scale):
    """What a server of the program's answers to who asks now and then: {"p99": us, ...}."""
    with net.Server([program.path, "httpd"], procs) as s:
        n = str(max(20, int(SERVED * scale)))
        done = subprocess.run(
            [client, "probe", s.port, n, "20000"], stdout=subprocess.PIPE, text=True, timeout=120, check=True
        )
    return {k: float(v) for k, v in (p.split(":") for p in done.stdout.strip().split(","))}


def run(program, row, procs, client, options):
    if row.bench == "server":
        return probe(program, client, procs, options.scale)
    if row.bench not in program.table:
        return None
    return program.run(row.bench, procs, program.table[row.bench], timeout=options.timeout)


def collect(found, rows, client, options):
    """{(bench, procs, program): [{key: value}, ...]}; a benchmark that several rows are of runs once."""
    lines = {}
    for _ in range(options.runs):
        for bench, procs in dict.fromkeys((r.bench, p) for r in rows for p in r.procs):
            row = next(r for r in rows if r.bench == bench)
            for program in found:
                values = run(program, row, procs, client, options)
                if values:
                    lines.setdefault((bench, procs, program.name), []).append(values)
    return lines


def cells(row, procs, lines, peers):
    """The line of the table, and how it stands: True: met, False: missed, None: by far, or failed."""

    def values(name):
        return [v[row.key] for v in lines.get((row.bench, procs, name), [])]

    def middle(name):
        return report.number(measure.median(values(name)))

    ours = values("golib")
    if not ours:
        return [row.label, str(procs), row.unit, "failed", ""] + [""] * len(peers) + ["", "FAILED"], None
    value = measure.median(ours)
    met = True if row.within(value, row.target) else False if row.within(value, row.far) else None
    target = ("≥ " if row.up else "≤ ") + report.number(row.target)
    mark = {True: "met", False: "missed", None: "FAR"}[met]
    best = report.number(row.best(ours))
    return [row.label, str(procs), row.unit, middle("golib"), best, *[middle(p) for p in peers], target, mark], met


def parse():
    parser = measure.arguments(__doc__, runs=3)
    parser.add_argument("--bench", help="a,b,...: only these; server is one (default: all)")
    parser.add_argument("--markdown", action="store_true", help="the table in Markdown")
    return parser.parse_args()


def main():
    options = parse()
    known = list(dict.fromkeys(r.bench for r in ROWS))
    chosen = options.bench.split(",") if options.bench else known
    unknown = [b for b in chosen if b not in known]
    if unknown:
        sys.exit("no benchmark %s; there are %s" % (", ".join(unknown), " ".join(known)))
    rows = [r for r in ROWS if r.bench in chosen]
    found = measure.programs(options, "torture")
    client = measure.build_peer("client") if "server" in chosen else None
    lines = collect(found, rows, client, options)
    peers = [p.name for p in found[1:]]
    table, marks = [], []
    for row in rows:
        for procs in row.procs:
            line, met = cells(row, procs, lines, peers)
            table.append(line)
            marks.append(met)
    header = ["what", "P", "unit", "golib", "best", *peers, "target", "mark"]
    print("%s. Medians of %d runs each, in turn.\n" % (measure.machine(found), options.runs))
    print((report.markdown if options.markdown else report.text)(header, table))
    far = marks.count(None)
    print("\nTargets: %d met, %d missed, %d by far." % (marks.count(True), marks.count(False), far))
    if options.out:
        os.makedirs(options.out, exist_ok=True)
        report.write_csv(os.path.join(options.out, "torture.csv"), header, table)
    return 1 if far or found[0].failures else 0


if __name__ == "__main__":
    sys.exit(main())
