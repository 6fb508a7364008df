"""How golib's parts are compiled, and the parts that are not written yet."""

load("@rules_cc//cc:defs.bzl", "cc_library")

# The build that users get is the build that is tested and measured: optimised, with debug
# information, unless they ask for -c dbg.
GOLIB_OPT_COPTS = select({
    "//platforms:dbg": ["-g"],
    "//conditions:default": ["-O2", "-g"],
})

GOLIB_WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wshadow",
]

GOLIB_C_WARNINGS = GOLIB_WARNINGS + [
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-Werror=int-conversion",
    "-Werror=incompatible-pointer-types",
]

GOLIB_COPTS = ["-std=c11"] + GOLIB_C_WARNINGS + GOLIB_OPT_COPTS + [
    "-fvisibility=hidden",
    "-fno-omit-frame-pointer",
    "-fno-lto",
] + select({
    # So that golib's own code can be told from the program's: see the header.
    "//platforms:windows": ["-include", "core/text_coff.h"],
    "//conditions:default": ["-include", "core/text.h"],
}) + select({
    "//platforms:linux": ["-fstack-clash-protection"],
    "//conditions:default": [],
}) + select({
    "//platforms:amd64": ["-fcf-protection"],
    # Landing pads, and signed return addresses: hints, which older processors skip.
    "//platforms:linux_on_arm64": ["-mbranch-protection=standard"],
    "//conditions:default": [],
})

def golib_part(name, srcs, hdrs = [], copts = [], deps = [], visibility = ["//:__pkg__"], **kwargs):
    """One part (core, sync, a backend, ...) of //:golib: a cc_library with golib's options.

    Symbols are hidden unless GO_API marks them, so parts have to end up in one file: linkstatic
    keeps Bazel from making a shared library of each.
    """
    cc_library(
        name = name,
        srcs = srcs,
        hdrs = hdrs,
        copts = GOLIB_COPTS + copts,
        linkstatic = True,
        visibility = visibility,
        deps = ["//include"] + deps,
        **kwargs
    )

def _unwritten_impl(ctx):
    fail("golib: %s (%s) is not written yet; see SUPPORTED_PLATFORMS.md" %
         (ctx.label.package, ctx.attr.what))

_unwritten_part = rule(
    implementation = _unwritten_impl,
    attrs = {"what": attr.string(mandatory = True)},
)

def unwritten_part(name, what, visibility = ["//:__pkg__"]):
    """Stands where a part will be: a build that needs it stops with one sentence that says so."""
    _unwritten_part(
        name = name,
        what = what,
        tags = ["manual"],
        visibility = visibility,
    )
