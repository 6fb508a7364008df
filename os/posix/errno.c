/* os/posix/errno.c: errno of the thread that runs this. */
#include <errno.h>
#include <string.h>

#include "core/os.h"

/* Not inlined, not pure: the caller may have been on another thread a moment ago. */
__attribute__((noinline)) int go_os_errno_(void) {
  __asm__ volatile("" ::: "memory");
  return errno;
}

const char *go_os_error_text_(int err) { return strerror(err); }
