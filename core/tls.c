/* core/tls.c: all of golib's thread-local storage, and the only code that names it.
 *
 * A goroutine may resume on another thread, and compilers keep the address of a thread-local variable in a
 * register across calls. A call to one of these cannot be looked into, so what it returns is what the
 * thread of that moment has. tests/build checks that no other object refers to a TLS base.
 */
#include "core/sched.h"

/* initial-exec: one load, no call, in the shared library as well. */
static _Thread_local go_m_ *this_m __attribute__((tls_model("initial-exec")));

/* Without TSan: called by a handler that has interrupted anything. */
GO_NO_TSAN_ __attribute__((noinline)) go_m_ *go_m_get_(void) {
  __asm__ volatile("" ::: "memory"); /* never pure in the compiler's eyes */
  return this_m;
}

__attribute__((noinline)) void go_m_set_(go_m_ *m) {
  this_m = m;
  __asm__ volatile("" ::: "memory");
}
