"""One library out of many: a static archive with every object of its parts."""

load("@bazel_tools//tools/build_defs/cc:action_names.bzl", "ACTION_NAMES")
load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

def _objects(linker_inputs):
    """The objects of every part, position independent ones where there are any."""
    objects, seen, pic = [], {}, False
    for linker_input in linker_inputs:
        for library in linker_input.libraries:
            if library.pic_objects:
                pic = True
            for f in library.pic_objects or library.objects or []:
                if f.path not in seen:
                    seen[f.path] = True
                    objects.append(f)
    return objects, pic

def _impl(ctx):
    parts = cc_common.merge_cc_infos(cc_infos = [d[CcInfo] for d in ctx.attr.parts])
    linker_inputs = parts.linking_context.linker_inputs.to_list()
    objects, pic = _objects(linker_inputs)

    toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    archive = ctx.actions.declare_file("lib%s.a" % ctx.label.name)
    variables = cc_common.create_link_variables(
        feature_configuration = features,
        cc_toolchain = toolchain,
        output_file = archive.path,
        is_using_linker = False,
    )
    action = ACTION_NAMES.cpp_link_static_library
    args = ctx.actions.args()
    args.add_all(cc_common.get_memory_inefficient_command_line(
        feature_configuration = features,
        action_name = action,
        variables = variables,
    ))
    args.add_all(objects)
    ctx.actions.run(
        executable = cc_common.get_tool_for_action(feature_configuration = features, action_name = action),
        arguments = [args],
        env = cc_common.get_environment_variables(
            feature_configuration = features,
            action_name = action,
            variables = variables,
        ),
        inputs = depset(objects, transitive = [toolchain.all_files]),
        outputs = [archive],
        mnemonic = "CppArchive",
        progress_message = "Merging %s" % archive.short_path,
    )

    # Whoever depends on this rule links the merged archive, the one that is shipped (the parts
    # call each other both ways, which separate archives could not do), and sees the public
    # headers only.
    flags = []
    for linker_input in linker_inputs:
        flags += [f for f in linker_input.user_link_flags if f not in flags]
    library = cc_common.create_library_to_link(
        actions = ctx.actions,
        feature_configuration = features,
        cc_toolchain = toolchain,
        static_library = None if pic else archive,
        pic_static_library = archive if pic else None,
    )
    linking_context = cc_common.create_linking_context(
        linker_inputs = depset([cc_common.create_linker_input(
            owner = ctx.label,
            libraries = depset([library]),
            user_link_flags = depset(flags),
        )]),
    )
    return [
        CcInfo(
            compilation_context = ctx.attr.public[CcInfo].compilation_context,
            linking_context = linking_context,
        ),
        DefaultInfo(files = depset([archive])),
        OutputGroupInfo(objects = depset(objects)),
    ]

merged_cc_library = rule(
    implementation = _impl,
    attrs = {
        "parts": attr.label_list(providers = [CcInfo], mandatory = True),
        "public": attr.label(providers = [CcInfo], mandatory = True),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
    incompatible_use_toolchain_transition = True,
)
