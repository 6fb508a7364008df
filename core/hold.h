/* core/hold.h: holding on to a P, and having it taken: the two words between an M and sysmon (core/sysmon.c).
 *
 * While an M uses its P, `in` is 1; in user code it is 0, and then sysmon may take the P away. Both are plain stores,
 * without a fence, since they come with every call. sysmon, which looks some hundred times a second at most, pays for both
 * sides: go_os_fence_all_ has every thread that runs pass a fence.
 *
 *   M:       1. in = 1        2. looks at asked: NO? then it has its P until    3. in = 0
 *   sysmon:  1. asked = ASKED   2. a fence on all threads   3. looks at in: 0?   4. asked: ASKED -> TAKEN
 * The fence falls before the M's step 2, which then sees that it was asked; or after it, hence after its step 1, which
 * is seen in step 3 then.
 *
 *   asked   state                                       who changes it, to what
 *   NO      the P, if it has one, is the M's            sysmon: ASKED
 *   ASKED   the same; sysmon is about to decide         sysmon: TAKEN, or NO if it sees it inside; the M, back inside: NO
 *   TAKEN   the P is sysmon's; the M does not know      the M: LOST
 *   LOST    the M has no P, and knows                   the M: NO, when it has one again or needs none
 * All changes out of ASKED are compare-and-swaps: one of the two wins.
 *
 * FENCED is a bit of asked that stays. It is for systems without such a fence: the M always takes the slow half, which has
 * one. So the fast half does not pay for them.
 *
 * `in` nests: whoever leaves puts back what was there. Written against core/atomic.h only:
 * tests/models/hold_model_test.cc checks it with Relacy. Why so: docs/design/0009-a-hogs-p-is-taken-away.md.
 */
#ifndef GOLIB_CORE_HOLD_H_
#define GOLIB_CORE_HOLD_H_

#include "core/atomic.h"

/* What is planted here must be found by the model: see tests/models. */
#if !defined(GO_HOLD_BUG_)
#define GO_HOLD_BUG_ 0
#endif

typedef struct go_holding_ {
  go_a32 in;
  go_a32 asked;
} go_holding_;

enum go_asked_ { GO_ASKED_NO_, GO_ASKED_, GO_ASKED_TAKEN_, GO_ASKED_LOST_ };
#define GO_ASKED_STATE_ 3u
#define GO_ASKED_FENCED_ 4u

/* ---- the M ---- */

/* Steps 1 and 2. true: the P, if any, is ours until go_hold_leave_. false: go_hold_answer_ tells. */
static inline bool go_hold_enter_(go_holding_ *h, uint32_t *ret_was) {
  *ret_was = go_ld_rlx(&h->in);
  go_st_rlx(&h->in, 1u);
  go_fence_light_(); /* pairs with go_hold_ask_, and the fence on all threads after it */
  return go_ld_rlx(&h->asked) == GO_ASKED_NO_;
}

/* Between go_hold_enter_ and go_hold_leave_: NO: the P is ours. TAKEN, LOST: it is not. */
static inline uint32_t go_hold_answer_(go_holding_ *h) {
  uint32_t a = go_ld_rlx(&h->asked);
  if ((a & GO_ASKED_FENCED_) && GO_HOLD_BUG_ != 5) {
    go_fence_sc();
    a = go_ld_rlx(&h->asked);
  }
  while ((a & GO_ASKED_STATE_) == GO_ASKED_) {
    if (GO_HOLD_BUG_ == 3) {
      go_st_rlx(&h->asked, a & ~GO_ASKED_STATE_);
      return GO_ASKED_NO_;
    }
    if (go_cas_acq(&h->asked, &a, a & ~GO_ASKED_STATE_)) {
      return GO_ASKED_NO_;
    }
  }
  return a & GO_ASKED_STATE_;
}

/* Step 3: pairs with go_hold_is_out_: whoever gets the P sees what we did with it. */
static inline void go_hold_leave_(go_holding_ *h, uint32_t was) {
  if (GO_HOLD_BUG_ == 4) {
    go_st_rlx(&h->in, was);
  } else {
    go_st_rel(&h->in, was);
  }
}

/* TAKEN -> LOST, LOST -> NO: sysmon does not touch it then. */
static inline void go_hold_set_(go_holding_ *h, uint32_t state) {
  go_st_rlx(&h->asked, (go_ld_rlx(&h->asked) & GO_ASKED_FENCED_) | state);
}

/* ---- sysmon ---- */

/* Step 1. false: not to be asked now. Step 2, a fence on all threads, follows. */
static inline bool go_hold_ask_(go_holding_ *h) {
  uint32_t a = go_ld_acq(&h->asked);
  return (a & GO_ASKED_STATE_) == GO_ASKED_NO_ && go_cas_ar(&h->asked, &a, a | GO_ASKED_);
}

/* Step 3. If go_hold_take_ says so later, nothing of the M's has changed in between. */
static inline bool go_hold_is_out_(go_holding_ *h) {
  return GO_HOLD_BUG_ == 2 || go_ld_acq(&h->in) == 0;
}

/* Step 4. false: the M has come back. */
static inline bool go_hold_take_(go_holding_ *h) {
  uint32_t a = go_ld_rlx(&h->asked);
  return (a & GO_ASKED_STATE_) == GO_ASKED_ && go_cas_ar(&h->asked, &a, a + 1);
}

/* Instead of step 4. */
static inline void go_hold_withdraw_(go_holding_ *h) {
  uint32_t a = go_ld_rlx(&h->asked);
  if ((a & GO_ASKED_STATE_) == GO_ASKED_) {
    (void)go_cas_rlx(&h->asked, &a, a & ~GO_ASKED_STATE_);
  }
}

#endif /* GOLIB_CORE_HOLD_H_ */
