"""Tests of the C and C++ blocks in Markdown pages: compiled and run (extract.awk says which is what)."""

load("//bazel:tests.bzl", "golib_binary", "golib_test")

def _path(page):
    """//docs:design/x.md is docs/design/x.md."""
    return page.replace(":", "/").lstrip("/")

def page_tests(page, programs = 0, fragments = 0, lang = "c"):
    """One test per program of the page, named PAGE_1_test, ..., and one that compiles its fragments.

    With lang "cpp" for its C++ blocks, PAGE_cc_1_test, ...
    """
    path = _path(page)
    ext = "cc" if lang == "cpp" else "c"
    stem = path[:-len(".md")].replace("/", "_") + ("_cc" if lang == "cpp" else "")
    numbers = range(1, programs + 1)
    fragment_srcs = ["%s_fragment_%d.%s" % (stem, i, ext) for i in range(1, fragments + 1)]
    native.genrule(
        name = stem + "_blocks",
        testonly = True,
        srcs = [page],
        outs = ["%s_%d.%s" % (stem, i, e) for i in numbers for e in [ext, "out"]] + fragment_srcs,
        cmd = ("awk -v lang=%s -v page=%s -v stem=$(RULEDIR)/%s -v programs=%d -v fragments=%d " +
               "-f $(location extract.awk) $<") % (lang, path, stem, programs, fragments),
        tools = ["extract.awk"],
    )
    for i in numbers:
        name = "%s_%d" % (stem, i)
        golib_binary(
            name = name,
            testonly = True,
            srcs = [name + "." + ext],
        )
        native.sh_test(
            name = name + "_test",
            size = "small",
            srcs = ["run_block.sh"],
            args = [
                "$(rootpath :%s)" % name,
                "$(rootpath :%s.out)" % name,
            ],
            data = [
                ":" + name,
                ":%s.out" % name,
            ],
        )
    if fragments:
        golib_test(
            name = stem + "_fragments_test",
            srcs = fragment_srcs + (["empty_main.c"] if lang == "c" else []),  # GoogleTest has a main
        )

def all_pages_test(name, pages):
    """No page with C or C++ blocks is forgotten."""
    native.sh_test(
        name = name,
        size = "small",
        srcs = ["all_pages_test.sh"],
        args = [
            "'%s'" % " ".join([_path(page) for page in pages]),
            "$(rootpaths //docs)",
        ],
        data = ["//docs"],
    )
