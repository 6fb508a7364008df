/* core/globq.h: the global run queue: a first-in-first-out list under a lock.
 *
 * Items are linked by go_globq_link_(item) and go_globq_set_link_(item, next), which the includer
 * defines before; the link belongs to the queue while the item is in it. n can be read without the lock; 0 then is a
 * hint, except after the fence of core/idle.h.
 * tests/models/globq_model_test.cc checks it.
 */
#ifndef GOLIB_CORE_GLOBQ_H_
#define GOLIB_CORE_GLOBQ_H_

#include <stddef.h>

#include "core/lock.h"

#if !defined(GO_GLOBQ_BUG_)
#define GO_GLOBQ_BUG_ 0
#endif

typedef struct go_globq_ {
  GO_VAR(void *) head;
  GO_VAR(void *) tail;
  go_a32 n;
} go_globq_;

/* Appends first..last, n items linked already. */
static inline void go_globq_put_(go_globq_ *q, go_a32 *lock, void *first, void *last, uint32_t n) {
  go_globq_set_link_(last, NULL);
  if (GO_GLOBQ_BUG_ != 1) {
    go_lock_(lock);
  }
  if (go_get(q->tail) != NULL) {
    go_globq_set_link_(go_get(q->tail), first);
  } else {
    go_set(q->head, first);
  }
  go_set(q->tail, last);
  go_st_sc(&q->n, go_ld_rlx(&q->n) + n);
  if (GO_GLOBQ_BUG_ != 1) {
    go_unlock_(lock);
  }
}

/* Takes the caller's share, n / procs + 1 but at most max, from the front. Returns the first, *ret_n
 * how many; they stay linked. */
static inline void *go_globq_get_(go_globq_ *q, go_a32 *lock, uint32_t procs, uint32_t max,
                                  uint32_t *ret_n) {
  *ret_n = 0;
  uint32_t n = go_ld_rlx(&q->n);
  if (n == 0) {
    return NULL;
  }
  go_lock_(lock);
  if (GO_GLOBQ_BUG_ != 2) {
    n = go_ld_rlx(&q->n);
  }
  uint32_t take = n / procs + 1;
  take = take < max ? take : max;
  take = take < n ? take : n;
  void *first = go_get(q->head);
  if (take > 0) {
    void *last = first;
    for (uint32_t i = 1; i < take; i++) {
      last = go_globq_link_(last);
    }
    go_set(q->head, go_globq_link_(last));
    if (go_get(q->head) == NULL) {
      go_set(q->tail, (void *)NULL);
    }
    go_st_sc(&q->n, n - take);
  }
  go_unlock_(lock);
  *ret_n = take;
  return take > 0 ? first : NULL;
}

#endif /* GOLIB_CORE_GLOBQ_H_ */
