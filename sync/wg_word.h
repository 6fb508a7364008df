/* sync/wg_word.h: the lock-free half of a wait group: one word with the counter and whether anybody waits.
 *
 * Word: bit 0 set: waiters are in the list (set under the lock by a waiter that saw a counter > 0);
 * bits 1..32: the counter. The change that takes the counter to 0 with bit 0 set clears the word
 * in the same step, and its author wakes everybody: so nobody touches the wait group after the last waiter
 * may have gone. A waiter that gives up, and is the last in the list, clears bit 0, or
 * stays when that author is on its way. tests/models/wg_model_test.cc checks it.
 */
#ifndef GOLIB_SYNC_WG_WORD_H_
#define GOLIB_SYNC_WG_WORD_H_

#include "core/atomic.h"

#if !defined(GO_WG_BUG_)
#define GO_WG_BUG_ 0
#endif

#define GO_WG_WAITERS_ 1ull
#define GO_WG_MAX_ 0x7fffffffll

/* How an addition went. */
enum go_wg_add_ { GO_WG_OK_, GO_WG_WAKE_, GO_WG_NEGATIVE_, GO_WG_OVERFLOW_ };

static inline int64_t go_wg_count_(uint64_t word) { return (int64_t)(word >> 1); }

static inline int go_wg_word_add_(go_a64 *state, int delta) {
  uint64_t old = go_ld_rlx(state);
  for (;;) {
    int64_t n = go_wg_count_(old) + delta;
    if (n < 0) {
      return GO_WG_NEGATIVE_;
    }
    if (n > GO_WG_MAX_) {
      return GO_WG_OVERFLOW_;
    }
    bool wake = n == 0 && (old & GO_WG_WAITERS_);
    uint64_t to = wake ? 0 : (uint64_t)n << 1 | (old & GO_WG_WAITERS_);
    if (GO_WG_BUG_ == 1 && wake) {
      to = GO_WG_WAITERS_;
    }
    if (GO_WG_BUG_ == 4
            ? go_cas_rlx(state, &old, to)
            : go_cas_ar(state, &old, to)) { /* release: a waiter sees what was done before */
      return wake ? GO_WG_WAKE_ : GO_WG_OK_;
    }
  }
}

/* A waiter, under the lock: true when it has to wait (bit 0 is set now), false when the counter is 0. */
static inline bool go_wg_word_wait_(go_a64 *state) {
  uint64_t old = go_ld_acq(state);
  for (;;) {
    if (go_wg_count_(old) == 0) {
      (void)go_ld_acq(state); /* pairs with the release of the last addition */
      return false;
    }
    if (GO_WG_BUG_ == 3) {
      go_st_rel(state, old | GO_WG_WAITERS_);
      return true;
    }
    if ((old & GO_WG_WAITERS_) || go_cas_ar(state, &old, old | GO_WG_WAITERS_)) {
      return true;
    }
  }
}

/* A waiter that gives up, under the lock; the list is empty without it. true: bit 0 is clear now. false: it was,
 * so whoever has taken the counter to 0 is on the way to the list, and has to find a waiter there. */
static inline bool go_wg_word_leave_(go_a64 *state) {
  uint64_t old = go_ld_rlx(state);
  while (old & GO_WG_WAITERS_) {
    if (GO_WG_BUG_ == 2 || go_cas_ar(state, &old, old & ~GO_WG_WAITERS_)) {
      return true;
    }
  }
  return GO_WG_BUG_ == 2;
}

#endif /* GOLIB_SYNC_WG_WORD_H_ */
