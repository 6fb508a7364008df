"""golib's version, and the number in the shared library's soname."""

GOLIB_VERSION = "0.1.0"
GOLIB_SOVERSION = "0"
