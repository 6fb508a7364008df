#!/usr/bin/env python3
"""graph_test.py GRAPH: dependencies between golib's packages go one way.

GRAPH is what `bazel query --output=graph` prints for //:golib and the backends.
"""

import re
import sys

BACKENDS = ("arch/", "os/", "poll/", "preempt/")

# What the targets of a package may depend on, besides their own package.
ALLOWED = {
    "include": [],
    "core": ["//include:include"],
    "sync": ["//include:include", "//core:core", "//core:contracts", "//core:internal_hdrs"],
}
ALLOWED["context"] = ALLOWED["sync"] + ["//sync:sync", "//sync:internal_hdrs"]
ALLOWED["debug"] = ["//include:include", "//core:core", "//core:internal_hdrs", "//context:context"]
ALLOWED["net"] = ALLOWED["context"] + ["//context:context", "//context:internal_hdrs"]
BACKEND_ALLOWED = ["//include:include", "//core:contracts"]


def split(label):
    package, _, target = label[2:].partition(":")
    return package, target or package.rsplit("/", 1)[-1]


def wrong(source, target):
    """Why the edge is not allowed, or None."""
    package, _ = split(source)
    other, name = split(target)
    full = "//%s:%s" % (other, name)
    if package == other or package in ("", "platforms", "bazel") or other in ("platforms", "bazel"):
        return None
    if package.startswith(BACKENDS):
        allowed = BACKEND_ALLOWED
        rule = "a backend may depend on //core:contracts and //include only"
        if package.startswith("os/"):
            allowed = allowed + ["//os/posix:hdrs"]
        if package == "poll/iocp":  # the same system's names and errors
            allowed = allowed + ["//os/windows:hdrs"]
    elif package in ALLOWED:
        allowed = ALLOWED[package]
        rule = "%s may depend on: %s" % (package, " ".join(allowed) or "nothing")
    else:
        return "package %s is not in the order of ALLOWED in tests/build/graph_test.py" % package
    return None if full in allowed or full == "//include:headers" and package == "include" else rule


def check(text):
    edges = re.findall(r'^\s*"(//[^"]*)" -> "(//[^"]*)"', text, re.M)
    problems = []
    for source, target in edges:
        why = wrong(source, target)
        if why:
            problems.append("%s -> %s: %s" % (source, target, why))
    return edges, problems


def selftest():
    """The check must see what it is there to see."""
    good = ['"//sync:sync" -> "//core:core"', '"//net:net" -> "//context:context"',
            '"//poll/epoll:epoll" -> "//core:contracts"', '"//os/linux:linux" -> "//os/posix:hdrs"', '"//core:core" -> "//core:contracts"',
            '"//:golib" -> "//os/linux:linux"', '"//core:core" -> "//platforms:amd64"']
    bad = ['"//core:core" -> "//sync:sync"', '"//sync:sync" -> "//context:internal_hdrs"',
           '"//poll/epoll:epoll" -> "//core:internal_hdrs"', '"//poll/epoll:epoll" -> "//os/windows:hdrs"',
           '"//core:core" -> "//os/linux:linux"',
           '"//os/linux:linux" -> "//arch/amd64:amd64"', '"//context:context" -> "//net:net"', '"//core:core" -> "//debug:debug"',
           '"//extra:extra" -> "//core:core"']
    for e in good:
        assert not check(e)[1], "wrongly refused: " + e
    for e in bad:
        assert check(e)[1], "wrongly allowed: " + e


def main(path):
    selftest()
    with open(path) as f:
        edges, problems = check(f.read())
    if not any(split(s)[0] == "sync" and split(t)[0] == "core" for s, t in edges):
        problems.append("sync -> core is not in the graph: is this golib's?")
    if problems:
        print("Dependencies that golib's order does not allow (net, context -> sync -> core -> contracts):")
        print("\n".join("  " + p for p in problems))
        return 1
    print("%d edges" % len(edges))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
