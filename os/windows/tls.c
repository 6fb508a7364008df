/* os/windows/tls.c: the thread's M: stands for core/tls.c.
 *
 * A thread-local variable costs a call and a look-up with gcc, which has no native ones here. A slot of the system's
 * costs two loads: the first 64 lie in the thread's environment block, as compilers and other runtimes rely on, and
 * so TlsGetValue is not needed, which sets the thread's last error to 0.
 */
#include <stdlib.h>

#include "core/atomic.h"
#include "os/windows/windows.h"

#define TEB_SLOTS 0x1480 /* TlsSlots */
#define SLOTS 64u

struct go_m_;
struct go_m_ *go_m_get_(void);
void go_m_set_(struct go_m_ *m);

static go_a32 slot; /* plus 1; 0: none yet */

static uint32_t make_slot(void) {
  DWORD index = TlsAlloc();
  if (index >= SLOTS) { /* somebody else has taken them all; before anything could be run */
    static const char text[] = "golib: fatal: no thread-local slot is left\n";
    go_os_write_(2, text, sizeof text - 1);
    go_os_abort_();
  }
  uint32_t none = 0;
  if (!go_cas_ar(&slot, &none, index + 1)) { /* another thread was faster */
    TlsFree(index);
    return none;
  }
  return index + 1;
}

__attribute__((noinline)) struct go_m_ *go_m_get_(void) {
  __asm__ volatile("" ::: "memory"); /* never pure in the compiler's eyes */
  uint32_t s = go_ld_acq(&slot);     /* pairs with make_slot */
  return s != 0 ? (struct go_m_ *)__readgsqword(TEB_SLOTS + (s - 1) * 8) : NULL;
}

__attribute__((noinline)) void go_m_set_(struct go_m_ *m) {
  uint32_t s = go_ld_acq(&slot); /* pairs with make_slot */
  if (s == 0) {
    s = make_slot();
  }
  __writegsqword(TEB_SLOTS + (s - 1) * 8, (uintptr_t)m);
  __asm__ volatile("" ::: "memory");
}
