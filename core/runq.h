/* core/runq.h: a P's queues of runnable goroutines.
 *
 * Three parts, all filled and emptied by the owner (the M that holds the P), emptied by thieves too:
 *  - next: the goroutine made ready last; runs first, in the time slice of whoever readied it.
 *  - ring: goroutines that have run before, first in first out. Owner adds at the tail; owner and
 *    thieves take at the head.
 *  - fresh: goroutines that have not run yet. The owner takes the newest (its memory is warm, and a
 *    tree of spawns is walked depth first, with few stacks), thieves take the oldest half. One word holds
 *    head, tail and a version, so that every change is one compare-and-swap.
 *
 * Invariants: every goroutine put in is got out exactly once, by the owner or by one thief. ring slots in [head, tail)
 * hold goroutines, tail - head <= GO_RUNQ_CAP_; the same for fresh.
 * go_runq_empty_ is never true for a queue that held something throughout the call.
 *
 * `solo`: no thief exists, and none can appear before the owner's next call: then the owner needs no
 * locked instruction. Who changes it: go_procs_ (core/procs.c), on the owner's behalf.
 *
 * Written against core/atomic.h only: tests/models/runq_model_test.cc checks it with Relacy.
 * Go: runtime/proc.go runqput, runqget, runqgrab. Departures: fresh; solo.
 */
#ifndef GOLIB_CORE_RUNQ_H_
#define GOLIB_CORE_RUNQ_H_

#include <stddef.h>

#include "core/atomic.h"

#if !defined(GO_RUNQ_CAP_)
#define GO_RUNQ_CAP_ 256u /* a power of two, at most 2^15 */
#endif

/* What is planted here must be found by the model: see tests/models. */
#if !defined(GO_RUNQ_BUG_)
#define GO_RUNQ_BUG_ 0
#endif

typedef struct go_runq_ {
  go_a32 head;  /* owner and thieves advance it by compare-and-swap */
  go_a32 tail;  /* the owner stores it; release publishes the slots before it */
  go_aptr next; /* owner and thieves exchange it */
  go_a64 fresh; /* version << 32 | tail << 16 | head */
  go_aptr ring[GO_RUNQ_CAP_];
  go_aptr fresh_ring[GO_RUNQ_CAP_];
} go_runq_;

static inline uint32_t go_fresh_head_(uint64_t w) { return (uint32_t)w & 0xffffu; }
static inline uint32_t go_fresh_tail_(uint64_t w) { return (uint32_t)(w >> 16) & 0xffffu; }
static inline uint32_t go_fresh_len_(uint64_t w) {
  return (go_fresh_tail_(w) - go_fresh_head_(w)) & 0xffffu;
}
static inline uint64_t go_fresh_word_(uint64_t old, uint32_t head, uint32_t tail) {
  return ((old >> 32) + (GO_RUNQ_BUG_ == 2 ? 0 : 1)) << 32 | (uint64_t)(tail & 0xffffu) << 16 |
         (head & 0xffffu);
}

/* Adds at the tail. Owner only. false: the ring is full. */
static inline bool go_ring_put_(go_runq_ *q, void *g) {
  uint32_t h = go_ld_acq(&q->head); /* pairs with a taker's CAS: its slot may be written again */
  uint32_t t = go_ld_rlx(&q->tail);
  if (t - h >= GO_RUNQ_CAP_) {
    return false;
  }
  go_st_rlx(&q->ring[t % GO_RUNQ_CAP_], g);
  if (GO_RUNQ_BUG_ == 5) {
    go_st_rlx(&q->tail, t + 1);
  } else {
    go_st_rel(&q->tail, t + 1); /* pairs with go_ring_steal_: publishes the slot */
  }
  return true;
}

/* Takes at the head. Owner only. NULL: empty. */
static inline void *go_ring_get_(go_runq_ *q, bool solo) {
  uint32_t h = go_ld_acq(&q->head);
  for (;;) {
    if (h == go_ld_rlx(&q->tail)) {
      return NULL;
    }
    void *g = go_ld_rlx(&q->ring[h % GO_RUNQ_CAP_]);
    if (solo || GO_RUNQ_BUG_ == 1) {
      go_st_rlx(&q->head, h + 1);
      return g;
    }
    if (go_cas_ar(&q->head, &h, h + 1)) {
      return g;
    }
  }
}

/* What go_ring_get_ would return after `skip` others, or NULL: a hint, for prefetching. Owner only. */
static inline void *go_ring_peek_(go_runq_ *q, uint32_t skip) {
  uint32_t h = go_ld_rlx(&q->head) + skip;
  return (int32_t)(go_ld_rlx(&q->tail) - h) > 0 ? go_ld_rlx(&q->ring[h % GO_RUNQ_CAP_]) : NULL;
}

/* Takes the older half of the ring into out (room for GO_RUNQ_CAP_/2). Owner (for overflow) and
 * thieves. Returns how many. */
static inline uint32_t go_ring_steal_(go_runq_ *q, void **out) {
  uint32_t h = go_ld_acq(&q->head);
  for (;;) {
    uint32_t t = go_ld_acq(&q->tail); /* pairs with go_ring_put_ */
    uint32_t n = t - h;
    n -= n / 2;
    if (n == 0) {
      return 0;
    }
    if (n > GO_RUNQ_CAP_ / 2) { /* head and tail were read at different times */
      h = go_ld_acq(&q->head);
      continue;
    }
    for (uint32_t i = 0; i < n; i++) {
      out[i] = go_ld_rlx(&q->ring[(h + i) % GO_RUNQ_CAP_]);
    }
    if (go_cas_ar(&q->head, &h, h + n)) { /* nobody took, so nobody wrote, what was copied */
      return n;
    }
  }
}

/* Adds the newest. Owner only. false: full. */
static inline bool go_fresh_put_(go_runq_ *q, void *g, bool solo) {
  uint64_t w = go_ld_acq(&q->fresh);
  if (go_fresh_len_(w) >= GO_RUNQ_CAP_) {
    return false;
  }
  uint32_t t = go_fresh_tail_(w); /* only the owner moves the tail */
  go_st_rlx(&q->fresh_ring[t % GO_RUNQ_CAP_], g);
  if (solo) {
    go_st_rel(&q->fresh, go_fresh_word_(w, go_fresh_head_(w), t + 1));
    return true;
  }
  while (!go_cas_sc(&q->fresh, &w, go_fresh_word_(w, go_fresh_head_(w), t + 1))) {}
  return true;
}

/* Takes the newest. Owner only. NULL: empty. */
static inline void *go_fresh_get_(go_runq_ *q, bool solo) {
  uint64_t w = go_ld_acq(&q->fresh);
  while (go_fresh_len_(w) != 0) {
    uint32_t t = go_fresh_tail_(w) - 1;
    void *g = go_ld_rlx(&q->fresh_ring[t % GO_RUNQ_CAP_]);
    uint64_t to = go_fresh_word_(w, go_fresh_head_(w), t);
    if (solo) {
      go_st_rel(&q->fresh, to);
      return g;
    }
    if (go_cas_ar(&q->fresh, &w, to)) {
      return g;
    }
  }
  return NULL;
}

/* Takes the oldest `max` at most, and at most the older half rounded up, into out. Anybody. */
static inline uint32_t go_fresh_steal_(go_runq_ *q, void **out, uint32_t max) {
  uint64_t w = go_ld_acq(&q->fresh); /* pairs with go_fresh_put_: the slots */
  for (;;) {
    uint32_t n = go_fresh_len_(w);
    n -= n / 2;
    if (n > max) {
      n = max;
    }
    if (n == 0) {
      return 0;
    }
    uint32_t h = go_fresh_head_(w);
    for (uint32_t i = 0; i < n; i++) {
      out[i] = go_ld_rlx(&q->fresh_ring[(h + i) % GO_RUNQ_CAP_]);
    }
    /* The version makes this fail when the owner took and put back anything meanwhile. */
    if (go_cas_ar(&q->fresh, &w, go_fresh_word_(w, h + n, go_fresh_tail_(w)))) {
      return n;
    }
  }
}

/* Puts g in front; returns what stood there, to be put into the ring. Owner only. The exchange is also the
 * fence between making work visible and looking for idle Ps (core/sched.c, "waking"). */
static inline void *go_next_put_(go_runq_ *q, void *g, bool solo) {
  if (solo) {
    void *old = go_ld_rlx(&q->next);
    go_st_rlx(&q->next, g);
    return old;
  }
  return go_xchg_sc(&q->next, g);
}

/* Takes it. Owner, and thieves in their last resort. NULL: none. */
static inline void *go_next_get_(go_runq_ *q, bool solo) {
  void *g = go_ld_rlx(&q->next);
  if (g == NULL) {
    return NULL;
  }
  if (solo || GO_RUNQ_BUG_ == 3) {
    go_st_rlx(&q->next, (void *)NULL);
    return g;
  }
  return go_xchg_ar(&q->next, (void *)NULL);
}

/* Whether nothing is in any part. Anybody. */
static inline bool go_runq_empty_(go_runq_ *q) {
  for (;;) {
    uint32_t h = go_ld_acq(&q->head);
    uint32_t t = go_ld_acq(&q->tail);
    uint64_t f = go_ld_acq(&q->fresh);
    if (h != t || go_fresh_len_(f) != 0 || go_ld_acq(&q->next) != NULL) {
      return false;
    }
    /* While we looked at one part the owner may have taken the last out of it and put something into
     * another: next moves into the ring when another comes, and a spawn may come before next is
     * taken. Tail and version say that ring and fresh stayed empty until next was seen so. */
    if (GO_RUNQ_BUG_ == 4 || (t == go_ld_acq(&q->tail) && f == go_ld_acq(&q->fresh))) {
      return true;
    }
  }
}

/* About how many there are. From any thread. */
static inline uint32_t go_runq_len_(go_runq_ *q) {
  uint32_t n = go_ld_rlx(&q->tail) - go_ld_rlx(&q->head);
  return (n <= GO_RUNQ_CAP_ ? n : 0) + go_fresh_len_(go_ld_rlx(&q->fresh)) +
         (go_ld_rlx(&q->next) != NULL);
}

#endif /* GOLIB_CORE_RUNQ_H_ */
