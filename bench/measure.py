"""The programs of benchmarks: how they are built, run, and what their line says."""

import argparse
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time

BENCH = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(BENCH)
CACHE = os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "golib", "bench"
)
LINE = re.compile(r"name=(\S+) procs=(\d+) n=(\d+) ns_per_op=([0-9.]+)(?: extra=(\S+))?$")


def say(text):
    print(text, file=sys.stderr, flush=True)


class Program:
    """One program: golib's or a peer's; part: which table of it ("torture"). table: {benchmark: default n}."""

    def __init__(self, name, path, part=None):
        self.name = name
        self.path = path
        self.command = [path] + ([part] if part else [])
        self.failures = 0
        listed = subprocess.run(
            self.command + ["--list"], check=True, capture_output=True, text=True
        )
        self.table = {}
        for line in listed.stdout.splitlines():
            bench, n, _ = line.split()
            self.table[bench] = int(n)

    def run(self, bench, procs, n, width=None, env=None, timeout=120):
        """Runs a benchmark once. Returns {"ns_per_op": ..., extra key: ...}; None if it failed."""
        arguments = [bench, str(procs), str(n)] + ([str(width)] if width else [])
        command = self.command + arguments
        what = "%s %s" % (self.name, " ".join(arguments))
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=timeout,
                env={**os.environ, **(env or {})},
            )
        except subprocess.TimeoutExpired:
            return self._failed("%s: not done after %d s" % (what, timeout))
        line = LINE.match(done.stdout.strip())
        if done.returncode != 0 or not line:
            why = (done.stderr.strip().splitlines() or [""])[0]
            return self._failed("%s: status %d %s" % (what, done.returncode, why))
        values = {"ns_per_op": float(line.group(4))}
        for pair in (line.group(5) or "").split(","):
            if pair:
                key, value = pair.split(":")
                values[key] = float(value)
        say("%s: %.1f ns" % (what, values["ns_per_op"]))
        return values

    def _failed(self, why):
        self.failures += 1
        say("FAILED " + why)
        return None


def scaled(bench, n, scale):
    """A benchmark's size made smaller (or larger), as its nature allows."""
    if bench == "forkjoin":  # each step is 1.6 times the work
        while scale < 0.7 and n > 14:
            n, scale = n - 1, scale * 1.618
        return n
    if bench == "skynet":  # powers of ten
        while scale < 0.4 and n > 1000:
            n, scale = n // 10, scale * 10
        return n
    return max(int(n * scale), min(n, 1000))


# ---- building --------------------------------------------------------------


def _bazel(*arguments):
    bazelw = os.path.join(ROOT, "bazelw")
    done = subprocess.run([bazelw, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError("bazelw %s failed" % " ".join(arguments))
    return done.stdout


def _build_in_tree(target):
    _bazel("build", "//bench:" + target)
    return os.path.join(_bazel("info", "bazel-bin").strip(), "bench", target)


def _output(name):
    os.makedirs(CACHE, exist_ok=True)
    return os.path.join(CACHE, name)


def go_command():
    get = subprocess.run(
        [os.path.join(BENCH, "go", "get_go.sh")], stdout=subprocess.PIPE, text=True
    )
    if get.returncode != 0:
        raise RuntimeError("there is no Go to compare with")
    return get.stdout.strip()


def _build_go():
    path = _output("bench-go")
    env = {
        **os.environ,
        "GOTOOLCHAIN": "local",
        "GOPROXY": "off",
        "GOFLAGS": "-mod=mod",
        "GOWORK": "off",
        "GO111MODULE": "on",
        "GOCACHE": os.path.join(CACHE, "go-cache"),
        "GOPATH": os.path.join(CACHE, "go-path"),
    }
    subprocess.run(
        [go_command(), "build", "-o", path, "."],
        cwd=os.path.join(BENCH, "go"),
        env=env,
        check=True,
    )
    return path


def _build_boost():
    cxx, cc = os.environ.get("CXX", "g++"), os.environ.get("CC", "gcc")
    path, harness = _output("bench-boost"), _output("harness.o")
    source = os.path.join(BENCH, "peers", "boost_fiber.cc")
    include = "#include <boost/fiber/all.hpp>"
    if (
        not shutil.which(cxx)
        or subprocess.run(
            [cxx, "-std=c++17", "-E", "-x", "c++", "-"],
            input=include,
            text=True,
            capture_output=True,
        ).returncode
    ):
        raise RuntimeError("there is no Boost.Fiber (libboost-fiber-dev)")
    subprocess.run(
        [cc, "-std=c11", "-O2", "-I" + ROOT, "-c", os.path.join(BENCH, "harness.c"), "-o", harness],
        check=True,
    )
    libraries = ["-lboost_fiber", "-lboost_context", "-lpthread"]
    subprocess.run(
        [cxx, "-std=c++17", "-O2", "-I" + ROOT, source, harness, "-o", path, *libraries],
        check=True,
    )
    return path


def build_peer(name, include=None, libraries=()):
    """A peer in C, which needs that header."""
    cc = os.environ.get("CC", "gcc")
    path = _output("bench-" + name)
    if include:
        probe = [cc, "-E", "-x", "c", "-"]
        text = "#include <%s>\n" % include
        if not shutil.which(cc) or subprocess.run(probe, input=text.encode(), capture_output=True).returncode:
            raise RuntimeError("there is no %s" % include)
    sources = [os.path.join(BENCH, "peers", name + ".c"), os.path.join(BENCH, "harness.c")]
    options = ["-std=gnu11", "-O2", "-I" + ROOT]
    subprocess.run([cc, *options, *sources, "-o", path, *libraries, "-lpthread"], check=True)
    return path


BUILDERS = {
    "golib": lambda: _build_in_tree("bench"),
    "pthread": lambda: _build_in_tree("pthread"),
    "go": _build_go,
    "boost": _build_boost,
    "epoll": lambda: build_peer("epoll"),
    "libuv": lambda: build_peer("libuv", "uv.h", ["-luv"]),
}


# ---- what the scripts share ------------------------------------------------


def arguments(description, runs, peers="go"):
    """A parser with the options that all scripts have."""
    parser = argparse.ArgumentParser(description=description)
    known = ", ".join(name for name in BUILDERS if name != "golib")
    parser.add_argument("--peers", default=peers, help="of %s (default: %s)" % (known, peers))
    parser.add_argument("--runs", type=int, default=runs, help="default: %d" % runs)
    parser.add_argument("--scale", type=float, default=1.0, help="0.1: a tenth of the work")
    parser.add_argument("--timeout", type=int, default=120, help="seconds a run may take")
    parser.add_argument("--out", help="folder for the files")
    parser.add_argument(
        "--program",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="a program that is built already",
    )
    return parser


def programs(options, part=None):
    """golib's program and those of the peers, built; a peer that cannot be had is left out. part: as Program's."""
    given = dict(p.split("=", 1) for p in options.program)
    given = {name: os.path.abspath(path) for name, path in given.items()}
    # bazel run starts in its own folder.
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    found = [Program("golib", given.get("golib") or BUILDERS["golib"](), part)]
    for name in [p for p in options.peers.split(",") if p]:
        try:
            found.append(Program(name, given.get(name) or BUILDERS[name](), part))
        except (RuntimeError, subprocess.CalledProcessError) as e:
            say("without %s: %s" % (name, e))
    return found


def median(values):
    return statistics.median(values) if values else None


def _first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    except OSError:
        return ""
    return (done.stdout.splitlines() or [""])[0]


def _cpu_model():
    try:
        with open("/proc/cpuinfo") as f:
            for line in f:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def machine(found):
    """One sentence on where and when this was measured."""
    parts = [
        time.strftime("%Y-%m-%d", time.gmtime()),
        "golib " + (_first_line(["git", "rev-parse", "--short", "HEAD"]) or "(no commit)"),
    ]
    if any(p.name == "go" for p in found):
        version = _first_line([go_command(), "version"])
        parts.append("Go " + re.sub(r"^go version go(\S+).*", r"\1", version))
    parts += ["%s, %d CPUs" % (_cpu_model(), os.cpu_count() or 1)]
    parts += ["%s %s" % (platform.system(), platform.release().split("-")[0])]
    return "; ".join(parts)
