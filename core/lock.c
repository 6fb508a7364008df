/* core/lock.c: the slow half of core/lock.h. */
#include "core/lock.h"

#include "core/arch.h"
#include "core/os.h"

/* Critical sections take tens of nanoseconds: spin for a few microseconds, then assume that the holder
 * has lost its CPU and give ours away; after that sleep, so that a low-priority holder gets to run
 * even under real-time waiters. */
void go_lock_slow_(go_a32 *l) {
  for (uint32_t tries = 0;; tries++) {
    uint32_t seen = go_ld_rlx(l);
    if (!(seen & 1) && !(go_or_ar(l, 1u) & 1)) {
      return;
    }
    if (tries < 40) {
      for (uint32_t i = 0; i <= tries / 4; i++) {
        go_arch_relax_();
      }
    } else if (tries < 80) {
      go_os_yield_();
    } else {
      (void)go_os_futex_wait_(&l->v, seen, 50000); /* nobody wakes: a sleep that ends early */
    }
  }
}
