/* core/tm_home.h: which lock protects a timer; arming and stopping timers that several threads use at the same time.
 *
 * A timer's home (tm->heap) is the heap whose lock protects the timer. tm->at says, under that lock, where it is.
 *
 *   home      at               state
 *   NULL      0                idle: in no heap, and no call is about to put it into one [whoever owns its memory]
 *   h         anything else    armed, in h
 *   never     NEVER            armed for GO_FOREVER: in no heap
 *   any       0, NEVER         as with home NULL, as with home never; some call is on its way to put it into a heap
 *
 *   NULL -> any   by compare-and-swap: whoever arms it
 *   any  -> any   with the lock of the old home held: release, pairs with go_tm_home_lock_
 *   any  -> NULL  the same, when it fires or is stopped
 * So a home is a hint until its lock is held and it is still the home. An armed timer that is armed anew stays where
 * it is: one critical section, nobody sees it idle. Only `never` and calls on their way move a timer by themselves;
 * they leave it in the state that it had.
 *
 * Memory: whoever takes a timer out makes it homeless as the last thing, and who puts it in does not touch it
 * after unlocking. So it may be freed as soon as it was seen idle, or has fired, even before the call that armed it
 * returns.
 *
 * Whoever includes this has defined, of its timers and heaps (tests/models/tm_home_model_test.cc checks
 * the protocol with simpler ones than core/timer.c's):
 *   go_tm_ {go_aptr heap; GO_VAR(uint32_t) at; ...}, go_tm_heap_ {go_a32 lock; ...}, go_tm_never_: the heap `never`
 *   bool go_tm_put_(h, tm, when), bool go_tm_shift_(h, tm, when), void go_tm_take_(h, tm)
 *     puts in, moves in time, takes out; sets at; lock held. The first two say whether it is h's first now
 *   enum go_tm_armed_ {GO_TM_WAS_IDLE_, GO_TM_WAS_ARMED_, GO_TM_MISUSE_}
 *   bool go_tm_fill_(tm, what)
 *     what fires, for a timer that is idle. Lock held. NULL: as before; false: there is no before
 */
#ifndef GOLIB_CORE_TM_HOME_H_
#define GOLIB_CORE_TM_HOME_H_

#include "core/atomic.h"
#include "core/lock.h"

#if !defined(GO_TM_BUG_)
#define GO_TM_BUG_ 0
#endif

#define GO_TM_NEVER_AT_ UINT32_MAX

/* Locks its home and returns that; NULL: it has none. */
static inline go_tm_heap_ *go_tm_home_lock_(go_tm_ *tm) {
  for (;;) {
    go_tm_heap_ *h = (go_tm_heap_ *)go_ld_acq(&tm->heap);
    if (h == NULL) {
      return NULL;
    }
    go_lock_(&h->lock);
    if (GO_TM_BUG_ == 1 || go_ld_acq(&tm->heap) == (void *)h) {
      return h;
    }
    go_unlock_(&h->lock);
  }
}

/* Its home's lock held. */
static inline void go_tm_home_set_(go_tm_ *tm, go_tm_heap_ *h) {
  if (GO_TM_BUG_ == 2) {
    go_st_rlx(&tm->heap, (void *)h);
  } else {
    go_st_rel(&tm->heap, (void *)h);
  }
}

static inline bool go_tm_in_heap_(uint32_t at) { return at != 0 && at != GO_TM_NEVER_AT_; }

/* How to arm a timer. */
typedef struct go_tm_order_ {
  go_tm_heap_ *h;   /* into this one, if it is in none */
  int64_t when;     /* INT64_MAX: never */
  const void *what; /* what fires, if it is idle now; NULL: what it was */
  bool idle_only;   /* misuse if it is armed */
} go_tm_order_;

/* Home locked; released. Out of whatever heap it is in, and armed for never. */
static inline void go_tm_home_never_(go_tm_heap_ *h, go_tm_ *tm) {
  if (go_tm_in_heap_(go_get(tm->at))) {
    go_tm_take_(h, tm);
  }
  go_set(tm->at, GO_TM_NEVER_AT_);
  go_tm_home_set_(tm, &go_tm_never_);
  go_unlock_(&h->lock);
}

/* *ret_first: it is the first of its heap now. */
static inline enum go_tm_armed_ go_tm_home_arm_(go_tm_ *tm, const go_tm_order_ *o,
                                                bool *ret_first) {
  *ret_first = false;
  for (;;) {
    go_tm_heap_ *h = go_tm_home_lock_(tm);
    if (h == NULL) {
      void *none = NULL;
      (void)go_cas_ar(&tm->heap, &none, (void *)(o->when == INT64_MAX ? &go_tm_never_ : o->h));
      continue;
    }
    uint32_t at = go_get(tm->at);
    if (at != 0 && o->idle_only) {
      go_unlock_(&h->lock);
      return GO_TM_MISUSE_;
    }
    if (h == &go_tm_never_ && o->when != INT64_MAX) {
      go_tm_home_set_(tm, o->h);
      go_unlock_(&h->lock);
      continue;
    }
    if (at == 0 && !go_tm_fill_(tm, o->what)) {
      go_tm_home_set_(tm, NULL);
      go_unlock_(&h->lock);
      return GO_TM_MISUSE_;
    }
    if (o->when == INT64_MAX) {
      go_tm_home_never_(h, tm);
    } else {
      *ret_first = go_tm_in_heap_(at) ? go_tm_shift_(h, tm, o->when) : go_tm_put_(h, tm, o->when);
      go_unlock_(&h->lock); /* from here on it may fire, and be gone */
    }
    return at != 0 ? GO_TM_WAS_ARMED_ : GO_TM_WAS_IDLE_;
  }
}

/* Home locked: it fires, or is stopped. */
static inline void go_tm_home_leave_(go_tm_heap_ *h, go_tm_ *tm) {
  if (GO_TM_BUG_ == 3) {
    go_tm_home_set_(tm, NULL);
  }
  if (go_tm_in_heap_(go_get(tm->at))) {
    go_tm_take_(h, tm);
  }
  go_set(tm->at, 0u);
  go_tm_home_set_(tm, NULL);
}

/* Whether it was armed, and so does not fire. */
static inline bool go_tm_home_stop_(go_tm_ *tm) {
  go_tm_heap_ *h = go_tm_home_lock_(tm);
  if (h == NULL) {
    return false;
  }
  bool was_armed = go_get(tm->at) != 0;
  if (was_armed) {
    go_tm_home_leave_(h, tm);
  } /* else some call is about to arm it: that comes after us */
  go_unlock_(&h->lock);
  return was_armed;
}

#endif /* GOLIB_CORE_TM_HOME_H_ */
