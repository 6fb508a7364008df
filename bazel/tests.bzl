"""How golib's tests, benchmarks, examples and models are built."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_test")
load(":golib.bzl", "GOLIB_C_WARNINGS", "GOLIB_OPT_COPTS", "GOLIB_WARNINGS")

_GTEST = [
    "//tests/support",
    "@com_google_googletest//:gtest_main",
]

# The headers of golib's insides, for white-box tests.
_INTERNALS = [
    "//context:internal_hdrs",
    "//core:contracts",
    "//core:internal_hdrs",
    "//debug:internal_hdrs",
    "//net:internal_hdrs",
    "//sync:internal_hdrs",
]

# C11's keywords in golib's internal headers, for C++.
_C11_IN_CXX = [
    "-D_Noreturn=[[noreturn]]",
    "-D_Static_assert=static_assert",
    "-D_Alignas=alignas",
    "-D_Alignof=alignof",
    "-D_Thread_local=thread_local",
]

_C_PROGRAM = ["-std=gnu11"] + GOLIB_C_WARNINGS + GOLIB_OPT_COPTS

# Optimised enough that compilers keep things in registers across calls, as they do in users' programs; -O2
# takes half as long again to compile.
_CXX_TEST_OPT = select({
    "//platforms:dbg": ["-g"],
    "//conditions:default": ["-O1", "-g"],
})

# musl comes with no C++ library of its own on Debian, and glibc's does not go with it.
_HAS_CXX = select({
    "//platforms:on_musl": ["@platforms//:incompatible"],
    "//conditions:default": [],
})

def _is_c(srcs):
    for s in srcs:
        if s.endswith(".cc"):
            return False
    return True

def golib_test(name, srcs, size = "small", deps = [], copts = [], golib = "//:golib", target_compatible_with = [], **kwargs):
    """One test program: with GoogleTest's main for .cc files, a C program with its own for .c.

    Bazel gives every test a process of its own, so a test file may change the runtime's settings.
    """
    c = _is_c(srcs)
    cc_test(
        name = name,
        size = size,
        srcs = srcs,
        copts = (_C_PROGRAM if c else GOLIB_WARNINGS + _CXX_TEST_OPT) + copts,
        linkstatic = True,
        target_compatible_with = target_compatible_with + ([] if c else _HAS_CXX),
        deps = [golib] + ([] if c else _GTEST) + deps,
        **kwargs
    )

def golib_whitebox_test(name, srcs, deps = [], copts = [], **kwargs):
    """A test that includes internal headers ("core/runq.h") and calls internal functions."""
    golib_test(
        name = name,
        srcs = srcs,
        copts = ([] if _is_c(srcs) else _C11_IN_CXX) + copts,
        deps = _INTERNALS + deps,
        **kwargs
    )

STRESS_PROCS = [1, 2, 8]

def golib_stress_test(name, srcs, size = "medium", tags = [], rule = golib_test, **kwargs):
    """The same test with one, two and eight processors: NAME_p1, NAME_p2, NAME_p8 and the suite NAME."""
    for procs in STRESS_PROCS:
        rule(
            name = "%s_p%d" % (name, procs),
            size = size,
            srcs = srcs,
            env = {"GOMAXPROCS": str(procs)},
            tags = tags + ["stress"],
            **kwargs
        )
    native.test_suite(
        name = name,
        tags = ["stress"],
        tests = [":%s_p%d" % (name, procs) for procs in STRESS_PROCS],
    )

def golib_tests(files, deps = {}, settings = {}, linux_only = [], not_windows = []):
    """One test per file; the end of a file's name says which kind it is.

    foo_test.cc            GoogleTest, on the public API
    foo_test.c             a C program, on the public API
    foo_whitebox_test.cc   may include internal headers
    foo_fake_poll_test.cc  white-box, on poll/fake instead of the system's poller
    foo_crash_test.cc      starts programs that are meant to die
    foo_stress_test.cc     runs for $GOLIB_STRESS_SECONDS, with GOMAXPROCS=1, 2 and 8
    foo_whitebox_stress_test.cc  both

    Args:
      files: the test files.
      deps: test name to the deps it needs besides, such as Abseil's.
      settings: test name to other attributes ({"size": "medium"}).
      linux_only: names of tests that call what only Linux has.
      not_windows: names of tests that cannot be built for Windows, or do not pass there.
    """
    for f in files:
        name = f[:f.rfind(".")]
        args = dict(settings.get(name, {}))
        if name in linux_only:
            args["target_compatible_with"] = ["@platforms//os:linux"]
        elif name in not_windows:
            args["target_compatible_with"] = select({
                "//platforms:windows": ["@platforms//os:linux"],  # another than the target
                "//conditions:default": [],
            })
        more = deps.get(name, [])
        rule = golib_test
        if "_fake_poll_" in name:
            rule = golib_whitebox_test
            args["golib"] = "//:golib_fake_poll"
            more = more + ["//poll/fake:hdrs"]
        elif "_whitebox_" in name:
            rule = golib_whitebox_test
        if name.endswith("_stress_test"):
            golib_stress_test(name = name, srcs = [f], deps = more, rule = rule, **args)
        else:
            if name.endswith("_crash_test"):
                args["tags"] = args.get("tags", []) + ["crash"]
            rule(name = name, srcs = [f], deps = more, **args)

def golib_binary(name, srcs, copts = [], deps = [], target_compatible_with = [], **kwargs):
    """A program that uses golib as its users do: an example, a benchmark."""
    c = _is_c(srcs)
    cc_binary(
        name = name,
        srcs = srcs,
        copts = (_C_PROGRAM if c else GOLIB_WARNINGS + GOLIB_OPT_COPTS) + copts,
        linkstatic = True,
        target_compatible_with = target_compatible_with + ([] if c else _HAS_CXX),
        deps = ["//:golib"] + deps,
        **kwargs
    )

# Relacy replaces operator delete, but not the one with a size; destructors mark what is gone, for
# whoever touches it later, which is not a dead store; and it jumps between stacks.
_RELACY = [
    "-fno-sized-deallocation",
    "-fno-lifetime-dse",
    "-U_FORTIFY_SOURCE",
]

def golib_model(name, srcs, size = "medium", deps = [], copts = [], **kwargs):
    """A model check: golib's lock-free code compiled against Relacy's atomics, linking nothing of golib.

    Built and run under --config=relacy only.
    """
    cc_test(
        name = name,
        size = size,
        srcs = srcs,
        copts = ["-std=c++17", "-DGO_RELACY=1", "-O1"] + _RELACY + GOLIB_WARNINGS + _C11_IN_CXX + copts,
        linkstatic = True,
        tags = ["relacy"],
        target_compatible_with = select({
            "//platforms:relacy": [],
            "//conditions:default": ["@platforms//:incompatible"],
        }),
        deps = [
            "//context:internal_hdrs",
            "//context:model_srcs",
            "//core:contracts",
            "//core:internal_hdrs",
            "//core:model_srcs",
            "//net:internal_hdrs",
            "//sync:internal_hdrs",
            "//sync:model_srcs",
        ] + deps,
        **kwargs
    )
