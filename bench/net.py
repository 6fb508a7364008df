#!/usr/bin/env python3
"""Measures golib's network beside others': echo, HTTP under load, memory of idle connections, latency of an idle and of a
busy server.

Peers: go (a handler on net.Conn like golib's), nethttp (Go's net/http), epoll (a loop without anything else), libuv. All run
in turn. CPU time is the server's; the client is another process: wrk (-t1), and a smaller one where wrk would be the limit.
"""

import os
import re
import resource
import shutil
import subprocess
import sys
import time

import measure
from measure import say

TICK = os.sysconf("SC_CLK_TCK")
CONNECTIONS = 5000  # idle ones
HOGS = {"idle": 0, "1 hog": 1, "100 hogs": 100}


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(pid):
    """Resident bytes, page tables included."""
    with open("/proc/%d/status" % pid) as f:
        found = re.findall(r"^(?:VmRSS|VmPTE):\s+(\d+) kB", f.read(), re.M)
    return 1024 * sum(map(int, found))


class Server:
    """A server that runs."""

    def __init__(self, command, procs, hogs=0, env=None):
        arguments = [str(procs), "0"] + ([str(hogs)] if hogs else [])
        self.process = subprocess.Popen(
            command + arguments, stdout=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}
        )
        self.pid = self.process.pid
        self.port = self.process.stdout.readline().split()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Bench:
    def __init__(self, options, paths):
        self.options = options
        self.paths = paths
        self.servers = {
            name: [path, "httpd"] for name, path in paths.items() if name not in ("client", "wrk")
        }
        if "go" in paths:
            self.servers["nethttp"] = [paths["go"], "nethttpd"]

    def output(self, *command):
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=120, check=True)
        return done.stdout

    # Each measurement returns {name of a value: value}.

    def echo(self, name, bench, procs):
        n = str(int(200000 * self.options.scale))
        line = measure.LINE.match(self.output(self.paths[name], bench, str(procs), n).strip())
        cpu = re.search(r"cpu_ns_per_op:([0-9.]+)", line.group(5))
        return {"ns": float(line.group(4)), "CPU ns": float(cpu.group(1))}

    def load(self, name, client, connections, procs):
        seconds = max(0.3, self.options.scale)
        with Server(self.servers[name], procs) as s:
            before = cpu_seconds(s.pid)
            if client == "wrk":
                url = "http://127.0.0.1:%s/" % s.port
                # wrk takes whole seconds
                duration = "-d%d" % max(1, round(seconds))
                said = self.output(self.paths["wrk"], "-t1", "-c%d" % connections, duration, url)
                if "Socket errors" in said or "Non-2xx" in said:
                    raise RuntimeError("%s: %s" % (name, said))
            else:
                said = self.output(
                    self.paths["client"], "load", s.port, str(connections), "%.2f" % seconds
                )
            n, took = re.search(r"(\d+) requests in ([0-9.]+) ?s", said).groups()
            used = cpu_seconds(s.pid) - before
        return {"requests/s": float(n) / float(took), "CPU us": used * 1e6 / float(n)}

    def held(self, name, env):
        with Server(self.servers[name], 1, env=env) as s:
            self.output(self.paths["client"], "probe", s.port, "5", "1000")
            before = memory(s.pid)
            holder = subprocess.Popen(
                [self.paths["client"], "hold", s.port, str(CONNECTIONS)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            if holder.stdout.readline() != "held\n":
                raise RuntimeError("%d connections cannot be had" % CONNECTIONS)
            time.sleep(0.2)  # the last ones come to wait again
            per = (memory(s.pid) - before) / CONNECTIONS
            holder.communicate()
        return {"bytes": per}

    def probe(self, name, hogs, procs):
        n = max(20, int(100 * self.options.scale))
        with Server(self.servers[name], procs, hogs) as s:
            said = self.output(self.paths["client"], "probe", s.port, str(n), "20000")
        return {k + " us": float(v) for k, v in (p.split(":") for p in said.strip().split(","))}


def rows(bench, options):
    """[(label, {peer: its measurement})]"""
    names = [n for n in ("golib", "go", "nethttp", "epoll", "libuv") if n in bench.servers]
    loops = [n for n in names if n != "nethttp"]
    clients = (["wrk"] if "wrk" in bench.paths else []) + ["load"]
    result = []
    for what in ("echo", "echo1k") if "echo" in options.parts else ():
        for procs in options.procs:
            label = "%s P=%d" % (what, procs)
            ways = {n: (n, what) for n in loops}
            if "epoll" in loops and procs > 1:  # its threads meet, as those of the others do
                ways["epoll apart"] = ("epoll", what + "_apart")
            result.append(
                (label, {k: lambda w=w, p=procs: bench.echo(*w, p) for k, w in ways.items()})
            )
    for client in clients if "http" in options.parts else ():
        for procs in options.procs:
            for c in (64, 1000) if client == "wrk" else (64,):
                label = "http P=%d, %s -c%d" % (procs, client, c)
                result.append(
                    (
                        label,
                        {
                            n: lambda n=n, k=client, c=c, p=procs: bench.load(n, k, c, p)
                            for n in names
                        },
                    )
                )
    if "memory" in options.parts:
        measurements = {n: lambda n=n: bench.held(n, None) for n in names}
        measurements["golib 256K"] = lambda: bench.held("golib", {"GOLIB_STACK": "256K"})
        result.append(("memory of %d connections" % CONNECTIONS, measurements))
    for what, hogs in HOGS.items() if "latency" in options.parts else ():
        for procs in options.procs if hogs else options.procs[:1]:
            label = "latency P=%d, %s" % (procs, what)
            asked = [n for n in names if n in ("golib", "go") or not hogs and n == "epoll"]
            result.append(
                (label, {n: lambda n=n, h=hogs, p=procs: bench.probe(n, h, p) for n in asked})
            )
    return result


def collect(measurements, runs):
    """{peer: {value: [of run 1, ...]}}"""
    found = {}
    for _ in range(runs):
        for name, measurement in measurements.items():
            for key, value in measurement().items():
                found.setdefault(name, {}).setdefault(key, []).append(value)
    return found


def number(v):
    return "%.0f" % v if v >= 100 else "%.3g" % v


def ratio(found, key, peer):
    """Of golib to the peer: median of neighbouring runs."""
    if peer not in found or key not in found[peer] or peer == "golib":
        return ""
    pairs = zip(found["golib"][key], found[peer][key])
    ratios = [a / b for a, b in pairs if b]
    return "%.2f" % measure.median(ratios) if ratios else ""


def print_table(label, found):
    for key in next(iter(found.values())):
        cells = []
        for name, values in found.items():
            r = ratio(found, key, name)
            cells.append("%s %s%s" % (name, number(measure.median(values[key])), r and " (%s)" % r))
        print("| %s | %s | %s |" % (label, key, ", ".join(cells)), flush=True)


def build(options):
    """{name: path} of the programs, built; and where this is measured."""
    programs = measure.programs(options)
    found = {p.name: p.path for p in programs}
    found["client"] = measure.build_peer("client")
    if shutil.which("wrk"):
        found["wrk"] = "wrk"
    else:
        say("without wrk, which is not installed")
    return found, measure.machine(programs)


def parse():
    parser = measure.arguments(__doc__, runs=2, peers="go,epoll,libuv")
    parser.add_argument("--procs", default="1,2", help="default: 1,2")
    parser.add_argument("--parts", default="echo,http,memory,latency", help="default: all")
    options = parser.parse_args()
    options.procs = [int(p) for p in options.procs.split(",")]
    options.parts = options.parts.split(",")
    return options


def main():
    options = parse()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < CONNECTIONS + 100:
        sys.exit("%d connections need more open files than %d" % (CONNECTIONS, hard))
    paths, machine = build(options)
    bench = Bench(options, paths)
    failed = 0
    print("%s. Medians of %d runs each, in turn; golib's divided by the peer's.\n" % (machine, options.runs))
    print("| measurement | value | |\n| :-- | :-- | :-- |")
    for label, measurements in rows(bench, options):
        try:
            print_table(label, collect(measurements, options.runs))
        except (RuntimeError, subprocess.SubprocessError, OSError, AttributeError) as e:
            failed += 1
            print("FAILED %s: %s" % (label, e), flush=True)
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
