"""export_list: a version script out of a list of symbols."""

def _impl(ctx):
    out = ctx.actions.declare_file(ctx.attr.name + ".lds")
    ctx.actions.run_shell(
        command = "{ echo '{ global:'; sed -n 's/^go_[a-zA-Z0-9_]*$/  &;/p' \"$1\"; echo 'local: *; };'; } >\"$2\"",
        arguments = [ctx.file.src.path, out.path],
        inputs = [ctx.file.src],
        outputs = [out],
        mnemonic = "GolibExports",
    )
    return [DefaultInfo(files = depset([out]))]

export_list = rule(
    implementation = _impl,
    attrs = {"src": attr.label(allow_single_file = [".txt"], mandatory = True)},
)
