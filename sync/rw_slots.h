/* sync/rw_slots.h: where readers of rwmutexes are counted when reading is frequent and parallel.
 *
 * A slot holds NULL or the rwmutex that one reader has. Its row belongs to a P (or a plain thread), so that readers
 * on different Ps write different cache lines; that is for speed only: anybody may change any slot, by
 * compare-and-swap. What the slots mean: sync/rwmutex.c.
 */
#ifndef GOLIB_SYNC_RW_SLOTS_H_
#define GOLIB_SYNC_RW_SLOTS_H_

#include "core/sched.h"

#if !defined(GO_RW_ROWS_)
#define GO_RW_ROWS_ 64
#define GO_RW_COLS_ 8 /* a row is a cache line */
#endif

typedef struct go_rw_slots_ {
  _Alignas(GO_CACHE_LINE_) go_aptr at[GO_RW_ROWS_][GO_RW_COLS_];
} go_rw_slots_;

/* An rwmutex has two slots in each row, so that one read lock that is held for long does not take the place of all. */
static inline uint32_t go_rw_col_(const void *rw) {
  return (uint32_t)(((uint64_t)(uintptr_t)rw * 0x9e3779b97f4a7c15u) >> 61) % GO_RW_COLS_;
}
static inline uint32_t go_rw_other_(uint32_t col) { return (col ^ 1) % GO_RW_COLS_; }

static inline go_aptr *go_rw_row_(go_rw_slots_ *t, const go_m_ *m) {
  const go_p_ *p = m->p;
  uint32_t row = p != NULL ? p->id : (uint32_t)((uintptr_t)m / sizeof(go_m_));
  return t->at[row % GO_RW_ROWS_];
}

static inline bool go_rw_slot_set_(go_aptr *slot, void *rw) {
  void *none = NULL;
  return go_ld_rlx(slot) == NULL && go_cas_sc(slot, &none, rw);
}

/* Puts rw into a free slot, in one order with all other sc accesses. NULL: none is free. */
static inline go_aptr *go_rw_slot_put_(go_rw_slots_ *t, const go_m_ *m, void *rw) {
  go_aptr *row = go_rw_row_(t, m);
  uint32_t col = go_rw_col_(rw), other = go_rw_other_(col);
  return go_rw_slot_set_(&row[col], rw)     ? &row[col]
         : go_rw_slot_set_(&row[other], rw) ? &row[other]
                                            : NULL;
}

/* Takes rw out of the slot, if it is there: what was done before is visible to who finds it gone. */
static inline bool go_rw_slot_clear_(go_aptr *slot, void *rw) {
  return go_ld_sc(slot) == rw && go_cas_ar(slot, &rw, NULL);
}

/* Takes rw out of one slot of m's row. */
static inline bool go_rw_slot_get_(go_rw_slots_ *t, const go_m_ *m, void *rw) {
  go_aptr *row = go_rw_row_(t, m);
  uint32_t col = go_rw_col_(rw);
  return go_rw_slot_clear_(&row[col], rw) || go_rw_slot_clear_(&row[go_rw_other_(col)], rw);
}

/* Takes rw out of at most `max` slots, wherever they are. Returns how many. */
static inline uint32_t go_rw_slots_take_(go_rw_slots_ *t, void *rw, uint32_t max) {
  uint32_t n = 0, col = go_rw_col_(rw), other = go_rw_other_(col);
  for (uint32_t i = 0; i < GO_RW_ROWS_ && n < max; i++) {
    n += go_rw_slot_clear_(&t->at[i][col], rw);
    if (other != col && n < max) {
      n += go_rw_slot_clear_(&t->at[i][other], rw);
    }
  }
  return n;
}

#endif /* GOLIB_SYNC_RW_SLOTS_H_ */
