/* os/windows/cxx.c: what the C++ runtime keeps per thread. */
#include "core/os.h"

/* Itanium C++ ABI, 2.2.2, as mingw-w64's runtimes have it: struct { __cxa_exception *caughtExceptions; unsigned
 * uncaughtExceptions; }. Weak: C programs have no C++ runtime. */
__attribute__((weak)) void *__cxa_get_globals(void);

go_os_cxx_state_ *go_os_cxx_(void) {
  return __cxa_get_globals != NULL ? (go_os_cxx_state_ *)__cxa_get_globals() : NULL;
}
