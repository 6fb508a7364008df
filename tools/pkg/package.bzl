"""golib_tarball: what a user without Bazel unpacks: headers, libraries, pkg-config and CMake files."""

def _impl(ctx):
    top = "golib-" + ctx.attr.version
    out = ctx.actions.declare_file(top + ".tar.gz")
    put, links = [], []  # (file, path in the tarball, mode)

    for f in ctx.files.headers:
        path = f.short_path
        put.append((f, path[path.rfind("include/"):], "644"))
    for template, path in ctx.attr.templates.items():
        filled = ctx.actions.declare_file(ctx.label.name + "_files/" + path)
        ctx.actions.expand_template(
            template = template.files.to_list()[0],
            output = filled,
            substitutions = {"@VERSION@": ctx.attr.version, "@SOVERSION@": ctx.attr.soversion},
        )
        put.append((filled, path, "644"))
    put.append((ctx.file.archive, "lib/libgolib.a", "644"))
    if ctx.file.shared:
        put.append((ctx.file.shared, "lib/libgolib.so." + ctx.attr.soversion, "755"))
        links.append("ln -s libgolib.so.%s \"$d/lib/libgolib.so\"" % ctx.attr.soversion)
    put.append((ctx.file.license, "share/doc/golib/LICENSE", "644"))
    steps = ["install -D -m %s '%s' \"$d/%s\"" % (mode, f.path, path) for f, path, mode in put]

    # Sorted, owned by nobody in particular and dated 1980: the same bytes wherever it is made.
    ctx.actions.run_shell(
        command = "\n".join(
            ["set -eu", "w=$(mktemp -d)", "d=$w/%s" % top, "mkdir \"$d\"", "umask 022"] + steps + links + [
                "tar --format=ustar --sort=name --mtime=1980-01-01T00:00:00Z --owner=0 --group=0 " +
                "--numeric-owner --mode=u+rwX,go+rX,go-w -C \"$w\" -cf - %s | gzip -9n > '%s'" % (top, out.path),
                "rm -rf \"$w\"",
            ],
        ),
        inputs = [f for f, _, _ in put],
        outputs = [out],
        mnemonic = "GolibTarball",
        progress_message = "Packing %s" % out.short_path,
        use_default_shell_env = True,
    )
    return [DefaultInfo(files = depset([out]))]

golib_tarball = rule(
    implementation = _impl,
    attrs = {
        "archive": attr.label(allow_single_file = [".a"], mandatory = True),
        "headers": attr.label_list(allow_files = True),
        "license": attr.label(allow_single_file = True),
        "shared": attr.label(allow_single_file = True),
        "soversion": attr.string(mandatory = True),
        "templates": attr.label_keyed_string_dict(allow_files = True),
        "version": attr.string(mandatory = True),
    },
)
