/* core/error.c: names and texts of error codes. */
#include <golib/base.h>
#include <golib/go.h>

#include <limits.h>

#include "core/os.h"

const char *go_strerror(int code) {
  switch (code) {
#define TEXT(name, value, text) \
  case name: return text;
    GO_ERRORS(TEXT)
#undef TEXT
    default: return code >= 0 ? "success" : go_os_error_text_(code == INT_MIN ? code : -code);
  }
}

const char *go_error_name(int code) {
  switch (code) {
#define NAME(name, value, text) \
  case name: return #name;
    GO_ERRORS(NAME)
#undef NAME
    default: return NULL;
  }
}

int go_errno(void) { return go_os_errno_(); }

const char *go_version(void) { return GO_VERSION; }
