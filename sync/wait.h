/* sync/wait.h: a first-in-first-out list of goroutines and threads that wait for a sync object.
 *
 * Node: on the waiter's stack; in the list under the object's lock; taken out by the waker, who wins the
 * claim where a context may end the wait as well.
 */
#ifndef GOLIB_SYNC_WAIT_H_
#define GOLIB_SYNC_WAIT_H_

#include "core/arch.h"
#include "core/sched.h"

typedef struct go_sync_wait_ {
  struct go_sync_wait_ *next, *prev;
  go_g_ *g;
  uint32_t seq;
  bool multi;  /* a context may end the wait: needs go_claim_ */
  bool listed; /* under the object's lock */
  bool handed; /* mutex: it is ours already */
  int64_t since;
} go_sync_wait_;

/* The head and tail words of a public struct. */
typedef struct go_sync_list_ {
  void **head, **tail;
} go_sync_list_;

static inline void go_sync_put_(go_sync_list_ l, go_sync_wait_ *w, bool front) {
  go_sync_wait_ *head = (go_sync_wait_ *)*l.head, *tail = (go_sync_wait_ *)*l.tail;
  w->listed = true;
  w->prev = front ? NULL : tail;
  w->next = front ? head : NULL;
  if (w->prev != NULL) {
    w->prev->next = w;
  } else {
    *l.head = w;
  }
  if (w->next != NULL) {
    w->next->prev = w;
  } else {
    *l.tail = w;
  }
}

static inline void go_sync_del_(go_sync_list_ l, go_sync_wait_ *w) {
  if (!w->listed) {
    return;
  }
  w->listed = false;
  if (w->prev != NULL) {
    w->prev->next = w->next;
  } else {
    *l.head = w->next;
  }
  if (w->next != NULL) {
    w->next->prev = w->prev;
  } else {
    *l.tail = w->prev;
  }
}

/* Whether w, which was taken out, is still waiting: then it is the caller's to ready. */
static inline bool go_sync_claim_(go_sync_wait_ *w) {
  if (!w->multi) {
    return true;
  }
  bool ours = go_claim_(w->g, w->seq);
  if (ours) {
    w->g->claimed_by = w;
  }
  return ours;
}

/* Takes out the first whose wait is still open, claimed. NULL: none. */
static inline go_sync_wait_ *go_sync_get_(go_sync_list_ l) {
  for (go_sync_wait_ *w; (w = (go_sync_wait_ *)*l.head) != NULL;) {
    go_sync_del_(l, w);
    if (go_sync_claim_(w)) {
      return w;
    }
  }
  return NULL;
}

/* Waiters that have been taken out, oldest first, to be readied once the object's lock is free: the object may be gone
 * by then, and each waiter is when its turn has come. */
typedef struct go_sync_woken_ {
  go_sync_wait_ *first, *last;
} go_sync_woken_;

static inline void go_sync_woken_add_(go_sync_woken_ *l, go_sync_wait_ *w) {
  w->next = NULL;
  if (l->first == NULL) {
    l->first = w;
  } else {
    l->last->next = w;
  }
  l->last = w;
}

/* Takes out all whose waits are still open. Returns how many. */
static inline uint32_t go_sync_get_all_(go_sync_list_ l, go_sync_woken_ *woken) {
  uint32_t n = 0;
  for (go_sync_wait_ *w; (w = go_sync_get_(l)) != NULL; n++) {
    go_sync_woken_add_(woken, w);
  }
  return n;
}

static inline void go_sync_ready_all_(go_m_ *m, const go_sync_woken_ *l) {
  for (go_sync_wait_ *w = l->first, *next; w != NULL; w = next) {
    next = w->next;
    go_ready_(m, w->g);
  }
}

/* Locks spin so often before they wait, */
#define GO_SYNC_SPINS_ 4
/* if that may pay: the holder can run on another P, and nothing else wants ours. */
static inline bool go_sync_may_spin_(const go_m_ *m) {
  return go_ld_rlx(&GO_S->procs) != 1 && (m->p == NULL || go_runq_empty_(&m->p->q));
}
static inline void go_sync_spin_(void) {
  for (int i = 0; i < 8; i++) {
    go_arch_relax_();
  }
}
/* Who has waited for longer is handed the lock. */
#define GO_SYNC_STARVES_AFTER_ GO_MS

/* Waits until woken, or ctx is done. The node is in its list, go_prepark_ has been called, the object's
 * lock is free. Returns whether it was woken; false: the caller takes the node out. */
static inline bool go_sync_park_(go_m_ *m, go_ctx *ctx, go_sync_wait_ *w) {
  if (w->multi) {
    return !go_cancel_park_(m, ctx, w->seq);
  }
  (void)go_park_(m);
  return true;
}

/* sync/mutex.c, for condition variables: unlocks, as a step of the caller's going to sleep. It has called go_prepark_,
 * so nothing may suspend here. */
struct go_mutex;
void go_mutex_unlock_parking_(go_m_ *m, struct go_mutex *mu);
bool go_mutex_is_locked_(struct go_mutex *mu);

#endif /* GOLIB_SYNC_WAIT_H_ */
