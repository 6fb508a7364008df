/* core/idle.h: who wakes whom when work appears: two counters and the order in which they are touched.
 *
 *   submitter:  1. puts work where thieves look, with a locked instruction (sc)
 *               2. go_idle_wanted_: some P is idle and nobody spins   3. go_idle_begin_one_, then wakes an M
 *   spinner:    1. finds nothing   2. makes its P idle (go_idle_p_)   3. go_idle_end_
 *               4. looks at all queues again
 * Either step 2 of the submitter sees the P idle and no spinner, and wakes somebody; or step 4 of the spinner
 * comes after step 1 of the submitter and sees the work. A spinner that finds work calls go_idle_end_
 * too and, when it was the last, looks whether another is wanted.
 * tests/models/idle_model_test.cc checks it. Go: runtime/proc.go "Worker thread parking/unparking".
 */
#ifndef GOLIB_CORE_IDLE_H_
#define GOLIB_CORE_IDLE_H_

#include "core/atomic.h"

#if !defined(GO_IDLE_BUG_)
#define GO_IDLE_BUG_ 0
#endif

typedef struct go_idle_ {
  go_a32 np;        /* idle Ps; stored under sched.lock, read by anybody */
  go_a32 nspinning; /* Ms that look for work, or are being woken to */
} go_idle_;

/* After work was published with an sc operation: the loads are ordered after it. */
static inline bool go_idle_wanted_(go_idle_ *i) {
  if (GO_IDLE_BUG_ == 2) {
    return go_ld_acq(&i->np) != 0 && go_ld_acq(&i->nspinning) == 0;
  }
  return go_ld_sc(&i->np) != 0 && go_ld_sc(&i->nspinning) == 0;
}

/* Begins spinning on behalf of the M that the caller is about to wake; false: another is there already. */
static inline bool go_idle_begin_one_(go_idle_ *i) {
  uint32_t none = 0;
  return go_cas_sc(&i->nspinning, &none, 1u);
}

/* Begins spinning for itself. */
static inline void go_idle_begin_(go_idle_ *i) { (void)go_add_sc(&i->nspinning, 1u); }

/* Ends it. Returns whether it was the last. */
static inline bool go_idle_end_(go_idle_ *i) { return go_sub_sc(&i->nspinning, 1u) == 1; }

/* After a P was made idle, and step 3: what is looked at next is looked at after both. */
static inline void go_idle_look_(void) {
  if (GO_IDLE_BUG_ != 1) {
    go_fence_sc();
  }
}

/* Under sched.lock. */
static inline void go_idle_p_(go_idle_ *i, int change) {
  go_st_sc(&i->np, go_ld_rlx(&i->np) + (uint32_t)change);
}

#endif /* GOLIB_CORE_IDLE_H_ */
