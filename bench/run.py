#!/usr/bin/env python3
"""Runs golib's benchmarks beside those of its peers and prints golib ÷ Go against the targets.

Every benchmark runs on all programs in turn, A B A B ..., so that a machine that gets slower or
faster meanwhile does so for all. The ratio is the median of the ratios of neighbouring runs.
"""

import os
import sys

import measure
import report


class Row:
    """A line of the table: what is read from a benchmark's output, and how good it should be.

    targets: per number of Ps, for golib ÷ Go; limit: for golib's own value, whatever Go's is.
    """

    def __init__(self, bench, targets=None, metric="ns_per_op", label=None, unit="ns", limit=None):
        self.bench = bench
        self.label = label or bench
        self.metric = metric.split("+")
        self.unit = unit
        self.targets = targets or {}
        self.limit = limit

    def value(self, line):
        return sum(line[m] for m in self.metric if m in line)

    def target(self, procs):
        """Given for one P and for more."""
        return self.targets.get(min(procs, 2))


def both(ratio):
    return {1: ratio, 2: ratio}


MEMORY = "bytes_per_task+table_bytes_per_task"
ROWS = [
    Row("spawn", {1: 0.20, 2: 0.30}),
    Row("yield", both(0.20)),
    Row("yield1k", both(0.20)),
    Row("pingpong", {1: 0.28, 2: 0.30}),
    Row("chanbuf", both(0.35)),
    Row("chanmpmc", both(0.35)),
    Row("chanseq", both(0.28)),
    Row("select2", both(0.35)),
    Row("selectdef", both(0.25)),
    Row("selectn"),
    Row("mutex", both(0.90)),
    Row("skynet", both(0.15)),
    Row("primes", {1: 0.40, 2: 0.50}),
    Row("forkjoin", {1: 0.35, 2: 0.40}),
    Row("timerchurn", both(0.25)),
    Row("echo", both(0.75)),
    Row("echo1k", both(0.75)),
    Row("sleep", both(0.35), "cpu_ms", "sleep: CPU", "ms"),
    Row("sleep", None, "mean_late_us", "sleep: lateness", "µs", limit=1000),
    Row("idle", both(1.00)),
    Row("idle", None, MEMORY, "idle: memory", "B", limit=8.9 * 1024),
    Row("idle256k", None, MEMORY, "idle256k: memory", "B", limit=4.9 * 1024),
]

# Benchmarks that are another one in another environment, for golib alone.
VARIANTS = {"idle256k": ("idle", {"GOLIB_STACK": "256K"})}


def run_one(program, golib, bench, procs, options):
    """One run of one program; None where it has no such benchmark or fails."""
    name, env = VARIANTS.get(bench, (bench, None))
    if name not in program.table or (env and program is not golib):
        return None
    table = golib.table if program.name == "go" else program.table
    n = measure.scaled(name, table[name], options.scale)
    return program.run(name, procs, n, env=env, timeout=options.timeout)


def collect(found, benches, options):
    """{(benchmark, procs, program): [values of run 1, of run 2, ...]}, None for a failed run."""
    lines = {}
    for bench in benches:
        for procs in options.procs:
            for _ in range(options.runs):
                for program in found:
                    line = run_one(program, found[0], bench, procs, options)
                    lines.setdefault((bench, procs, program.name), []).append(line)
    return lines


def summary(row, procs, lines, peers):
    """A Row's figures at one number of Ps."""

    def values(program):
        return [row.value(v) if v else None for v in lines.get((row.bench, procs, program), [])]

    def middle(program):
        return measure.median([v for v in values(program) if v is not None])

    ratios = [a / b for a, b in zip(values("golib"), values("go")) if a is not None and b]
    result = {"label": row.label, "procs": procs, "unit": row.unit, "golib": middle("golib")}
    result.update({p: middle(p) for p in peers})
    result["ratio"] = measure.median(ratios)
    result["low"], result["high"] = (min(ratios), max(ratios)) if ratios else (None, None)
    result["target"], result["limit"] = row.target(procs), row.limit
    result["met"] = None
    if row.limit and result["golib"] is not None:
        result["met"] = result["golib"] <= row.limit
    elif result["target"] and result["ratio"] is not None:
        result["met"] = result["ratio"] <= result["target"]
    return result


def summaries(lines, benches, options, peers):
    chosen = [r for r in ROWS if r.bench in benches]
    chosen += [Row(b) for b in benches if b not in [r.bench for r in ROWS]]
    return [summary(r, p, lines, peers) for r in chosen for p in options.procs]


def cells(s, peers):
    target = "%.2f" % s["target"] if s["target"] else ""
    if s["limit"]:
        target = "%s %s" % (report.number(s["limit"]), s["unit"])
    spread = "%.2f..%.2f" % (s["low"], s["high"]) if s["ratio"] is not None else ""
    return [
        s["label"],
        str(s["procs"]),
        s["unit"],
        report.number(s["golib"]) or "failed",
        *[report.number(s[p]) for p in peers],
        "%.2f" % s["ratio"] if s["ratio"] is not None else "",
        spread,
        target,
        {None: "", True: "met", False: "missed"}[s["met"]],
    ]


def header(peers):
    return ["benchmark", "P", "unit", "golib", *peers, "golib÷go", "min..max", "target", "mark"]


def intro(found, options):
    runs = "%d runs each, in turn" % options.runs
    if options.scale != 1:
        runs += ", %g of the work" % options.scale
    return "%s. Medians of %s." % (measure.machine(found), runs)


def write_files(folder, title, lines, table, peers):
    os.makedirs(folder, exist_ok=True)
    fields = [
        "label",
        "procs",
        "unit",
        "golib",
        *peers,
        "ratio",
        "low",
        "high",
        "target",
        "limit",
        "met",
    ]
    values = [["" if s[f] is None else s[f] for f in fields] for s in table]
    report.write_csv(os.path.join(folder, "ratios.csv"), fields, values)
    runs = []
    for (bench, procs, program), results in lines.items():
        for i, line in enumerate(results, 1):
            runs += [[bench, procs, program, i, key, v] for key, v in (line or {}).items()]
    names = ["benchmark", "procs", "program", "run", "key", "value"]
    report.write_csv(os.path.join(folder, "runs.csv"), names, runs)
    plotted = [s for s in table if s["ratio"]]
    with open(os.path.join(folder, "ratios.svg"), "w", encoding="utf-8") as f:
        f.write(report.svg(title, plotted))


def parse():
    parser = measure.arguments(__doc__, runs=5)
    parser.add_argument("--bench", help="a,b,...: only these (default: all)")
    parser.add_argument("--procs", default="1,2", help="default: 1,2")
    parser.add_argument("--markdown", action="store_true", help="the table in Markdown")
    options = parser.parse_args()
    options.procs = [int(p) for p in options.procs.split(",")]
    return options


def main():
    options = parse()
    found = measure.programs(options)
    golib, peers = found[0], [p.name for p in found[1:]]
    known = list(golib.table) + list(VARIANTS)
    benches = options.bench.split(",") if options.bench else known
    unknown = [b for b in benches if b not in known]
    if unknown:
        sys.exit("no benchmark %s; there are %s" % (", ".join(unknown), " ".join(known)))
    lines = collect(found, benches, options)
    table = summaries(lines, benches, options, peers)
    rows = [cells(s, peers) for s in table]
    about = intro(found, options)
    print(
        about + "\n\n" + (report.markdown if options.markdown else report.text)(header(peers), rows)
    )
    marks = [s["met"] for s in table if s["met"] is not None]
    print("\nTargets: %d met, %d missed." % (marks.count(True), marks.count(False)))
    if options.out:
        write_files(options.out, "golib and Go", lines, table, peers)
    return 1 if golib.failures else 0


if __name__ == "__main__":
    sys.exit(main())
