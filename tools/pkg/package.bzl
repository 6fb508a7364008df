"""golib_tarball: what a user without Bazel unpacks: headers, libraries, pkg-config and CMake files.

golib_install: a program that puts the same below a --prefix. golib_deb: the same as Debian packages.
"""

def _link_flags(golib):
    """What a program that links libgolib.a has to link besides."""
    flags = []
    for linker_input in golib[CcInfo].linking_context.linker_inputs.to_list():
        flags += [f for f in linker_input.user_link_flags if f not in flags]
    return " ".join(flags)

def _tarball_impl(ctx):
    top = "golib-%s-%s" % (ctx.attr.version, ctx.attr.platform)
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
            substitutions = {
                "@LIBS@": _link_flags(ctx.attr.archive),
                "@SOVERSION@": ctx.attr.soversion,
                "@VERSION@": ctx.attr.version,
            },
        )
        put.append((filled, path, "644"))
    put.append((ctx.file.archive, "lib/libgolib.a", "644"))
    for f in ctx.files.shared:
        if f.basename.endswith(".dll"):
            put.append((f, "bin/" + f.basename, "755"))
        elif f.basename.endswith(".dll.a"):
            put.append((f, "lib/" + f.basename, "644"))
        else:
            put.append((f, "lib/" + f.basename, "755"))
            links.append("ln -s %s \"$d/lib/libgolib.so\"" % f.basename)
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
    implementation = _tarball_impl,
    attrs = {
        "archive": attr.label(allow_single_file = [".a"], mandatory = True, providers = [CcInfo]),
        "headers": attr.label_list(allow_files = True),
        "license": attr.label(allow_single_file = True),
        "platform": attr.string(mandatory = True),
        "shared": attr.label_list(allow_files = True),
        "soversion": attr.string(mandatory = True),
        "templates": attr.label_keyed_string_dict(allow_files = True),
        "version": attr.string(mandatory = True),
    },
)

def _install_impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.expand_template(
        template = ctx.file.script,
        output = out,
        substitutions = {"@TARBALL@": ctx.workspace_name + "/" + ctx.file.tarball.short_path},
        is_executable = True,
    )
    return [DefaultInfo(executable = out, runfiles = ctx.runfiles([ctx.file.tarball]))]

golib_install = rule(
    implementation = _install_impl,
    attrs = {
        "script": attr.label(allow_single_file = True, mandatory = True),
        "tarball": attr.label(allow_single_file = True, mandatory = True),
    },
    executable = True,
)

def _deb_impl(ctx):
    names = ["libgolib" + ctx.attr.soversion, "libgolib-dev"]
    outs = [ctx.actions.declare_file("%s_%s_%s.deb" % (n, ctx.attr.version, ctx.attr.arch)) for n in names]
    ctx.actions.run_shell(
        command = "sh \"$@\"",
        arguments = [
            ctx.file.script.path,
            ctx.file.install.path,
            ctx.file.tarball.path,
            ctx.attr.version,
            ctx.attr.soversion,
            ctx.attr.arch,
        ] + [f.path for f in outs],
        inputs = [ctx.file.script, ctx.file.install, ctx.file.tarball],
        outputs = outs,
        mnemonic = "GolibDeb",
        progress_message = "Packing %s for Debian" % ctx.label,
        use_default_shell_env = True,
    )
    return [DefaultInfo(files = depset(outs))]

golib_deb = rule(
    implementation = _deb_impl,
    attrs = {
        "arch": attr.string(mandatory = True),
        "install": attr.label(allow_single_file = True, mandatory = True),
        "script": attr.label(allow_single_file = True, mandatory = True),
        "soversion": attr.string(mandatory = True),
        "tarball": attr.label(allow_single_file = True, mandatory = True),
        "version": attr.string(mandatory = True),
    },
)
