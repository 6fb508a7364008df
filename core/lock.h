/* core/lock.h: the short lock, a spin lock whose word is also a version (a sequence lock).
 *
 * Word: bit 0 is set while it is held; every unlock adds one, so the word of an unlocked lock
 * changes with every critical section. A reader that sees the same even word before and after
 * reading has read one consistent state (used by the lock-free looks at channels).
 *
 * For critical sections of some tens of instructions that neither suspend, nor call users' code, nor
 * wait for anything. All-zero is unlocked. Taken by goroutines, g0s and plain threads; never in a
 * signal handler. Lock order: docs/HACKING.md: context, channel (by address), mutex, wait group,
 * timers, sched, stack depot, G slabs. Whoever waits long gives its CPU away: the holder may have
 * been descheduled.
 */
#ifndef GOLIB_CORE_LOCK_H_
#define GOLIB_CORE_LOCK_H_

#include "core/atomic.h"

#if !defined(GO_LOCK_BUG_)
#define GO_LOCK_BUG_ 0
#endif

#define GO_LIKELY_(x) __builtin_expect(!!(x), 1)
#define GO_UNLIKELY_(x) __builtin_expect(!!(x), 0)

#if defined(GO_RELACY)
static inline void go_lock_slow_(go_a32 *l) {
  rl::yield(1, $);
  while (go_or_ar(l, 1u) & 1) {
    rl::yield(1, $);
  }
}
#else
void go_lock_slow_(go_a32 *l);
/* Waits a little, longer with every try: for whoever waits for a few instructions of another thread. */
void go_backoff_(uint32_t tries);
#endif

/* Pairs with go_unlock_: what the last holder wrote is visible. */
static inline void go_lock_(go_a32 *l) {
  if (GO_UNLIKELY_(go_or_ar(l, 1u) & 1)) {
    go_lock_slow_(l);
  }
}

static inline bool go_trylock_(go_a32 *l) { return !(go_ld_rlx(l) & 1) && !(go_or_ar(l, 1u) & 1); }

/* The caller holds it: nobody else writes the word. */
static inline void go_unlock_(go_a32 *l) {
  uint32_t v = GO_LOCK_BUG_ == 1 ? go_ld_rlx(l) - 1 : go_ld_rlx(l) + 1;
  if (GO_LOCK_BUG_ == 2) {
    go_st_rlx(l, v);
  } else {
    go_st_rel(l, v);
  }
}

/* Optimistic reading: v = go_read_begin_(l); read with acquire loads what holders of the lock store with
 * release; go_read_same_(l, v) tells whether there was a moment at which all that was read was so.
 * tests/models/lock_model_test.cc checks it. */
static inline uint32_t go_read_begin_(go_a32 *l) { return go_ld_acq(l); }
static inline bool go_read_same_(go_a32 *l, uint32_t v) { return !(v & 1) && go_ld_acq(l) == v; }

#endif /* GOLIB_CORE_LOCK_H_ */
