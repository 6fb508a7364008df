/* core/chan.h: channels, as chan.c and select.c see them.
 *
 * Invariants, under lock (Go: runtime/chan.go):
 *  - At least one of sendq and recvq is empty, except for waiters of one select on both.
 *  - Buffered: count > 0 implies recvq is empty; count < cap implies sendq is empty. (Up to waiters of selects whose
 *    claim is gone: they are dropped by whoever meets them.)
 *  - closed: both are empty. It never becomes open again.
 * What go_looks_ready_ reads is atomic, and stored with release, so that it can be read without the lock: who
 * sees a value of a critical section sees the lock word odd or advanced after it. One consistent look needs the same
 * even lock word before and after (core/lock.h).
 *
 * Do not ready a goroutine that could need this lock while holding it? It may be done here: readying never
 * waits, and who wakes spins for a few instructions at most. Yet the lock is dropped first, so that it
 * need not.
 */
#ifndef GOLIB_CORE_CHAN_H_
#define GOLIB_CORE_CHAN_H_

#include <golib/chan.h>

#include <string.h>

#include "core/sched.h"

/* One waiting operation; on the waiter's own stack. In a queue: under the channel's lock. Taken out
 * of it by whoever serves it (or by the waiter): from then on the server's until go_ready_. */
typedef struct go_waiter_ {
  struct go_waiter_ *next, *prev;
  go_g_ *g;
  void *elem;   /* where to take from or to put to; NULL: nowhere */
  uint32_t seq; /* multi: number of the wait */
  bool multi;   /* others may end the same wait: needs go_claim_ */
  bool queued;  /* in the queue; under lock */
  bool ok;      /* served by a counterpart; false: by close */
} go_waiter_;

typedef struct go_waitq_ {
  go_aptr head; /* go_waiter_ * */
  go_waiter_ *tail;
} go_waitq_;

/* What a goroutine waits on that nothing else can wake: in its claimed_by, whose low bits say which of the two
 * it is, from go_prepark_ until somebody wins the claim. Who looks for leaks reads it. NULL: a context may end
 * the wait. */
enum { GO_ON_CHAN_ = 1, GO_ON_SELECT_ = 2 };
typedef struct go_on_select_ {
  go_chan **chans; /* distinct, by address */
  int n;
} go_on_select_;
static inline void *go_waits_on_(const void *p, unsigned kind) {
  return (void *)((uintptr_t)p + kind);
}

struct go_chan {
  go_a32 lock;
  go_a32 refs;
  go_a32 closed;
  uint32_t elem_size;
  go_a64 count; /* elements in the buffer */
  uint64_t cap;
  uint64_t head, tail; /* next slot to take from, to put to */
  go_waitq_ recvq, sendq;
  void (*destroy)(void *);
  struct go_ticker *ticker; /* sends on it; or NULL. See core/timer.h */
  _Alignas(16) char buf[];
};

static inline void go_waitq_put_(go_waitq_ *q, go_waiter_ *w) {
  w->next = NULL;
  w->queued = true;
  if (go_ld_rlx(&q->head) == NULL) {
    w->prev = NULL;
    go_st_rel(&q->head, (void *)w);
  } else {
    w->prev = q->tail;
    q->tail->next = w;
  }
  q->tail = w;
}

static inline void go_waitq_del_(go_waitq_ *q, go_waiter_ *w) {
  if (!w->queued) {
    return;
  }
  w->queued = false;
  if (w->prev != NULL) {
    w->prev->next = w->next;
  } else {
    go_st_rel(&q->head, (void *)w->next);
  }
  if (w->next != NULL) {
    w->next->prev = w->prev;
  } else {
    q->tail = w->prev;
  }
}

/* Takes the first waiter that can still be served, and wins its claim. */
static inline go_waiter_ *go_waitq_get_(go_waitq_ *q) {
  for (;;) {
    go_waiter_ *w = go_ld_rlx(&q->head);
    if (w == NULL) {
      return NULL;
    }
    w->queued = false;
    go_st_rel(&q->head, (void *)w->next);
    if (w->next != NULL) {
      w->next->prev = NULL;
    }
    if (GO_UNLIKELY_(w->multi)) {
      if (!go_claim_(w->g, w->seq)) {
        continue; /* served elsewhere; it takes itself out, or finds itself out */
      }
      w->g->claimed_by = w;
    }
    return w;
  }
}

/* Makes a channel with `extra` zeroed bytes, aligned, behind its buffer: *ret_extra. */
go_chan *go_chan_alloc_(size_t elem_size, size_t cap, size_t extra, void **ret_extra);

/* A reference, unless the last one has just gone. The caller knows that the memory is there. */
static inline bool go_chan_try_ref_(go_chan *c) {
  uint32_t n = go_ld_rlx(&c->refs);
  while (n != 0) {
    if (go_cas_rlx(&c->refs, &n, n + 1)) {
      return true;
    }
  }
  return false;
}

/* The channel's last reference has gone: afterwards t does not find it. */
void go_ticker_gone_(struct go_ticker *t);

static inline char *go_slot_(go_chan *c, uint64_t i) { return c->buf + i * c->elem_size; }

static inline void go_copy_(const go_chan *c, void *to, const void *from) {
  if (GO_LIKELY_(c->elem_size == 8)) {
    memcpy(to, from, 8);
  } else if (c->elem_size == 4) {
    memcpy(to, from, 4);
  } else if (c->elem_size != 0) { /* signals may come with a NULL pointer */
    memcpy(to, from, c->elem_size);
  }
}

/* How an attempt under the lock went. */
enum go_try_op_ {
  GO_OP_DONE_,   /* done; *ret_wake, if set, is to be readied after unlocking */
  GO_OP_CLOSED_, /* the channel is closed: recv has zeroed its target */
  GO_OP_WAIT_,   /* cannot go now */
};

/* Lock held. */
int go_send_locked_(go_chan *c, const void *v, go_g_ **ret_wake);
int go_recv_locked_(go_chan *c, void *v, go_g_ **ret_wake);

/* Without the lock, between go_read_begin_ and go_read_same_: whether an operation could go (also by
 * finding the channel closed). */
static inline bool go_looks_ready_(go_chan *c, int op) {
  if (go_ld_acq(&c->closed) != 0) {
    return true;
  }
  if (op == GO_SEND) {
    return c->cap > 0 ? go_ld_acq(&c->count) < c->cap : go_ld_acq(&c->recvq.head) != NULL;
  }
  return c->cap > 0 ? go_ld_acq(&c->count) > 0 : go_ld_acq(&c->sendq.head) != NULL;
}

static inline go_waitq_ *go_queue_of_(go_chan *c, int op) {
  return op == GO_SEND ? &c->sendq : &c->recvq;
}

#endif /* GOLIB_CORE_CHAN_H_ */
