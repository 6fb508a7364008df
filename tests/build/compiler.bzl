"""compiler: a file that names the C compiler of the target platform, for tests that call it."""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

def _impl(ctx):
    toolchain = find_cpp_toolchain(ctx)
    out = ctx.actions.declare_file(ctx.attr.name + ".txt")
    ctx.actions.write(out, toolchain.compiler_executable + "\n")
    return [DefaultInfo(files = depset([out]), runfiles = ctx.runfiles([out], transitive_files = toolchain.all_files))]

compiler = rule(
    implementation = _impl,
    attrs = {
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
    incompatible_use_toolchain_transition = True,
)
