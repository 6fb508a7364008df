"""export_list: what a linker wants to know of a list of symbols. import_library: what links with a DLL."""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

_FORMATS = {
    # GNU ld's version script, for ELF.
    "lds": "{ echo '{ global:'; sed -n 's/^go_[a-zA-Z0-9_]*$/  &;/p' \"$1\"; echo 'local: *; };'; }",
    # A module definition, for Windows.
    "def": "{ echo \"LIBRARY $3\"; echo EXPORTS; sed -n 's/^go_[a-zA-Z0-9_]*$/  &/p' \"$1\"; }",
}

def _list_impl(ctx):
    out = ctx.actions.declare_file(ctx.attr.name + "." + ctx.attr.format)
    ctx.actions.run_shell(
        command = _FORMATS[ctx.attr.format] + " >\"$2\"",
        arguments = [ctx.file.src.path, out.path, ctx.attr.library],
        inputs = [ctx.file.src],
        outputs = [out],
        mnemonic = "GolibExports",
    )
    return [DefaultInfo(files = depset([out]))]

export_list = rule(
    implementation = _list_impl,
    attrs = {
        "format": attr.string(values = _FORMATS.keys(), default = "lds"),
        "library": attr.string(),
        "src": attr.label(allow_single_file = [".txt"], mandatory = True),
    },
)

def _import_impl(ctx):
    toolchain = find_cpp_toolchain(ctx)
    ar = toolchain.ar_executable
    if not ar.endswith("ar"):
        fail("golib: no dlltool beside %s" % ar)
    out = ctx.actions.declare_file(ctx.attr.name)

    # --temp-prefix: or members are named after the process.
    ctx.actions.run_shell(
        command = "\"$1\" --deterministic-libraries --temp-prefix=golib --input-def \"$2\" --output-lib \"$3\"",
        arguments = [ar[:-len("ar")] + "dlltool", ctx.file.definition.path, out.path],
        inputs = depset([ctx.file.definition], transitive = [toolchain.all_files]),
        outputs = [out],
        mnemonic = "GolibImportLibrary",
        use_default_shell_env = True,
    )
    return [DefaultInfo(files = depset([out]))]

import_library = rule(
    implementation = _import_impl,
    attrs = {
        "definition": attr.label(allow_single_file = [".def"], mandatory = True),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
    incompatible_use_toolchain_transition = True,
)
