/* core/lock.c: the slow half of core/lock.h. */
#include "core/lock.h"

#include "core/arch.h"
#include "core/os.h"
#include "core/sched.h"

/* Critical sections take tens of nanoseconds: spin for a few microseconds, then assume that the holder
 * has lost its CPU and give ours away; after that sleep, so that a low-priority holder gets to run
 * even under real-time waiters. */
void go_backoff_(uint32_t tries) {
  uint32_t never = 0;
  if (tries < 40) {
    for (uint32_t i = 0; i <= tries / 4; i++) {
      go_arch_relax_();
    }
  } else if (tries < 80) {
    go_os_yield_();
  } else {
    (void)go_os_futex_wait_(&never, 0, 50000); /* nobody wakes: a sleep */
  }
}

/* Pauses before the second try. Two CPUs that take turns at a lock move its cache line, and all that it protects,
 * with every turn; who stays away for some microseconds lets the other do many turns at a fraction of the cost
 * (chanmpmc at P = 2: 200 ns an item without, 40 with it). */
#define STAY_AWAY 64

void go_lock_slow_(go_a32 *l) {
  for (int i = 0; i < STAY_AWAY; i++) {
    go_arch_relax_();
  }
  for (uint32_t tries = 0; !go_trylock_(l); tries++) {
    if (go_forked_()) { /* its holder is not here */
      go_forked_fatal_(__builtin_return_address(0));
    }
    go_backoff_(tries);
  }
}
