#!/usr/bin/env python3
"""Shows how costs grow: with the number of goroutines, of channels in a select, of Ps."""

import os
import sys

import measure
import report


def decades(low, high):
    return [10**e for e in range(low, high + 1)]


class Sweep:
    """One benchmark, one thing that grows ("n", "width" or "procs"), and what is read."""

    def __init__(self, group, bench, grows, steps, metric="ns_per_op", unit="ns"):
        self.group = group
        self.bench = bench
        self.grows = grows
        self.steps = steps
        self.metric = metric.split("+")
        self.unit = unit

    def value(self, line):
        return sum(line[m] for m in self.metric if m in line)


CPUS = list(range(1, (os.cpu_count() or 1) + 1))
MEMORY = "bytes_per_task+table_bytes_per_task"
SWEEPS = [
    Sweep("spawn", "spawn", "width", decades(2, 6)),
    Sweep("yield", "yield", "width", decades(2, 6)),
    Sweep("idle", "idle", "n", decades(2, 6)),
    Sweep("idle", "idle", "n", decades(2, 6), MEMORY, "B"),
    Sweep("select", "selectn", "width", [1, 2, 4, 8, 16, 32, 64]),
] + [
    Sweep("procs", bench, "procs", CPUS)
    for bench in ("spawn", "yield1k", "chanmpmc", "mutex", "skynet", "forkjoin")
]
MEANING = {"n": "goroutines", "width": "at a time", "procs": "P"}


def size(sweep, step, program, golib, options):
    """(procs, n, width) of one run."""
    table = golib.table if program.name == "go" else program.table
    n = measure.scaled(sweep.bench, table[sweep.bench], options.scale)
    if sweep.grows == "procs":
        return step, n, None
    if sweep.grows == "n":
        return options.procs, step, None
    return options.procs, max(n, step), step


def collect(found, sweeps, options):
    """{(benchmark, what grows, step, program): [line of each run]}, for all sweeps to read."""
    lines = {}
    for sweep in sweeps:
        for step in sweep.steps:
            key = (sweep.bench, sweep.grows, step)
            if key + ("golib",) in lines:
                continue
            for _ in range(options.runs):
                for program in found:
                    if sweep.bench not in program.table:
                        continue
                    procs, n, width = size(sweep, step, program, found[0], options)
                    line = program.run(sweep.bench, procs, n, width, timeout=options.timeout)
                    lines.setdefault(key + (program.name,), []).append(line)
    return lines


def row(sweep, step, lines, names):
    cells = []
    for name in names:
        results = lines.get((sweep.bench, sweep.grows, step, name), [])
        values = [sweep.value(v) for v in results if v]
        cells.append((measure.median(values), min(values, default=None), max(values, default=None)))
    return cells


def print_sweep(sweep, lines, names):
    header = ["%s [%s] %s" % (sweep.bench, sweep.unit, MEANING[sweep.grows])]
    for name in names:
        header += [name, "min..max"]
    rows = []
    for step in sweep.steps:
        cells = ["{:,}".format(step)]
        for middle, low, high in row(sweep, step, lines, names):
            spread = (
                "%s..%s" % (report.number(low), report.number(high)) if middle is not None else ""
            )
            cells += [report.number(middle), spread]
        rows.append(cells)
    print(report.text(header, rows) + "\n")


def write_file(folder, sweeps, lines, names):
    os.makedirs(folder, exist_ok=True)
    rows = []
    for sweep in sweeps:
        for step in sweep.steps:
            for name, figures in zip(names, row(sweep, step, lines, names)):
                if figures[0] is not None:
                    rows.append([sweep.bench, sweep.grows, step, sweep.unit, name, *figures])
    header = ["benchmark", "grows", "step", "unit", "program", "median", "min", "max"]
    report.write_csv(os.path.join(folder, "scale.csv"), header, rows)


def parse():
    parser = measure.arguments(__doc__, runs=3)
    groups = list(dict.fromkeys(s.group for s in SWEEPS))
    parser.add_argument("--sweep", help="a,b,... of %s (default: all)" % ", ".join(groups))
    parser.add_argument(
        "--procs", type=int, default=1, help="Ps, where they do not grow (default: 1)"
    )
    options = parser.parse_args()
    chosen = options.sweep.split(",") if options.sweep else groups
    unknown = [g for g in chosen if g not in groups]
    if unknown:
        parser.error("no sweep " + ", ".join(unknown))
    return options, [s for s in SWEEPS if s.group in chosen]


def main():
    options, sweeps = parse()
    found = measure.programs(options)
    names = [p.name for p in found]
    print("%s. Medians of %d runs.\n" % (measure.machine(found), options.runs))
    lines = collect(found, sweeps, options)
    for sweep in sweeps:
        print_sweep(sweep, lines, names)
    if options.out:
        write_file(options.out, sweeps, lines, names)
    return 1 if found[0].failures else 0


if __name__ == "__main__":
    sys.exit(main())
