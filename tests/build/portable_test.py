#!/usr/bin/env python3
"""portable_test.py FILE...: portable code does not ask which system or processor it is compiled for.

That is for the backends, in arch/, os/, poll/ and preempt/, which Bazel picks. Portable code may ask
about compilers and sanitizers. It includes C's own headers, golib's, and those of sanitizers.
"""

import re
import sys

PLATFORM = re.compile(
    r"\b(_WIN32|_WIN64|WIN32|WINNT|__CYGWIN__|__MINGW(?:32|64)__"
    r"|__linux__|__linux|linux|__gnu_linux__|__ANDROID__"
    r"|__APPLE__|__MACH__|TARGET_OS_\w+"
    r"|__(?:FreeBSD|NetBSD|OpenBSD|DragonFly)__|__sun|__unix__|__unix|unix|_POSIX_VERSION"
    r"|__x86_64__|__x86_64|__amd64__|__amd64|_M_X64|_M_AMD64|__i386__|__i386|_M_IX86"
    r"|__aarch64__|_M_ARM64|__arm__|_M_ARM|__ARM_\w+|__riscv\w*|__powerpc\w*|__s390x?__|__mips\w*"
    r"|__SSE\w*__|__AVX\w*__|__GLIBC__|__BIONIC__)\b")
CONDITION = re.compile(r"^\s*#\s*(?:if|ifdef|ifndef|elif)\b")
INCLUDE = re.compile(r"^\s*#\s*include\s*<([^>]+)>")

STANDARD = {h + ".h" for h in (
    "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign "
    "stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath time uchar wchar "
    "wctype").split()}
# The compilers' own, for golib.hpp: what C++ does about exceptions.
STANDARD |= {"cxxabi.h", "unwind.h"}
CPP = re.compile(r"^[a-z_]+$")


def problems(name, text):
    # A directive goes on over lines that end in a backslash.
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group(0).count("\n"), text, flags=re.S)
    at = 1
    for line in re.split(r"(?<!\\)\n", text):
        if CONDITION.match(line):
            m = PLATFORM.search(line)
            if m:
                yield at, "asks for a platform: %s" % m.group(1)
        m = INCLUDE.match(line)
        if m:
            h = m.group(1)
            if not (h in STANDARD or h.startswith(("golib/", "sanitizer/", "valgrind/", "relacy/"))
                    or CPP.match(h)):
                yield at, "includes a system header: <%s>" % h
        at += 1 + line.count("\n")


def selftest():
    bad = ["#ifdef _WIN32\n", "#if defined(__GNUC__) && \\\n  defined(__linux__)\n", "# elif __aarch64__\n",
           "#include <unistd.h>\n", "#ifndef __APPLE__ /* x */\n"]
    good = ["#ifdef __clang__\n", "/* #ifdef _WIN32 */\n", "#include <stdint.h>\n", "#include <golib/go.h>\n",
            "#if defined(__SANITIZE_THREAD__)\n", "#ifdef __cplusplus\n#include <initializer_list>\n#endif\n",
            "/*\n#ifdef __linux__\n*/\n", "int linux;\n"]
    for t in bad:
        assert list(problems("t", t)), "wrongly allowed: " + t
    for t in good:
        assert not list(problems("t", t)), "wrongly refused: " + t


def main(files):
    selftest()
    failed = 0
    for name in files:
        with open(name, encoding="utf-8") as f:
            for line, what in problems(name, f.read()):
                failed += 1
                print("FAIL: %s:%d: %s" % (name, line, what))
    if failed:
        print("What depends on the platform belongs in arch/, os/, poll/ or preempt/ (CONTRIBUTING.md).")
    print("%d files, %d problems" % (len(files), failed))
    return 1 if failed or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
