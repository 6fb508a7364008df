/* os/darwin/cxx.c: what the C++ runtime keeps per thread. */
#include <dlfcn.h>

#include "darwin.h"

/* Itanium C++ ABI, 2.2.2, as in os/linux/cxx.c. Looked up when the program runs: a weak reference to a symbol
 * that no library on the command line has is an error to Apple's linker. A C++ runtime that is linked statically
 * with hidden symbols is not found. */
typedef void *globals_fn(void);
static globals_fn *globals;

static void look_up(void) {
  globals = (globals_fn *)(uintptr_t)dlsym(RTLD_DEFAULT, "__cxa_get_globals");
}

go_os_cxx_state_ *go_os_cxx_(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, look_up);
  return globals != NULL ? (go_os_cxx_state_ *)globals() : NULL;
}
