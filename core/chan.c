/* core/chan.c: channels. Invariants: core/chan.h. Go: runtime/chan.go.
 *
 * The lock is held for some tens of instructions; an element goes straight to a waiting receiver,
 * or from a waiting sender. Waiters that wait for one thing need no claim: whoever dequeues them under the
 * lock is the only one.
 */
#include "core/chan.h"

#include <stdlib.h>

#include <golib/defer.h>

#include "core/out.h"

go_chan *go_chan_alloc_(size_t elem_size, size_t cap, size_t extra, void **ret_extra) {
  size_t bytes, all;
  if (elem_size > UINT32_MAX || __builtin_mul_overflow(elem_size, cap, &bytes) ||
      bytes > PTRDIFF_MAX - sizeof(go_chan) - extra - 15) {
    return NULL;
  }
  all = extra == 0 ? bytes : ((bytes + 15) & ~(size_t)15) + extra;
  go_chan *c = malloc(sizeof *c + all);
  if (c == NULL) {
    return NULL;
  }
  memset(c, 0, sizeof *c);
  go_st_rlx(&c->refs, 1u);
  c->elem_size = (uint32_t)elem_size;
  c->cap = cap;
  if (extra != 0) {
    *ret_extra = memset(c->buf + all - extra, 0, extra);
  }
  return c;
}

go_chan *go_chan_new_destroy(size_t elem_size, size_t cap, void (*destroy)(void *)) {
  go_chan *c = go_chan_alloc_(elem_size, cap, 0, NULL);
  if (c != NULL) {
    c->destroy = destroy;
  }
  return c;
}

go_chan *go_chan_new(size_t elem_size, size_t cap) {
  return go_chan_new_destroy(elem_size, cap, NULL);
}

go_chan *go_chan_ref(go_chan *c) {
  if (c != NULL) {
    (void)go_add_rlx(&c->refs, 1u);
  }
  return c;
}

static void report_leak(go_chan *c) {
  go_out_ o;
  go_out_init_(&o, 2);
  go_lock_(&c->lock);
  for (int op = GO_RECV; op <= GO_SEND; op++) {
    for (go_waiter_ *w = go_ld_rlx(&go_queue_of_(c, op)->head); w != NULL; w = w->next) {
      go_out_str_(&o,
                  "golib: leak: the last reference to a channel is gone, and so nothing wakes ");
      go_out_goroutine_(&o, w->g);
      go_out_str_(&o, op == GO_SEND ? " [chan send]\n" : " [chan receive]\n");
      go_out_flush_(&o);
    }
  }
  go_unlock_(&c->lock);
}

static void free_chan(go_chan *c) {
  if (c->destroy != NULL) {
    for (uint64_t n = go_ld_rlx(&c->count); n > 0; n--) {
      c->destroy(go_slot_(c, c->head));
      c->head = c->head + 1 == c->cap ? 0 : c->head + 1;
    }
  }
  free(c);
}

void go_chan_unref(go_chan *c) {
  if (c == NULL || go_sub_ar(&c->refs, 1u) != 1) { /* acquire: all that others did comes before */
    return;
  }
  if (c->ticker != NULL) {
    go_ticker_gone_(c->ticker);
  }
  if (go_ld_acq(&c->recvq.head) != NULL || go_ld_acq(&c->sendq.head) != NULL) {
    report_leak(c);
    return;
  }
  free_chan(c);
}

size_t go_chan_len(const go_chan *c) { return c == NULL ? 0 : (size_t)go_ld_acq(&c->count); }

size_t go_chan_cap(const go_chan *c) { return c == NULL ? 0 : (size_t)c->cap; }

/* ---- under the lock ---- */

static inline void buf_put(go_chan *c, const void *v) {
  go_copy_(c, go_slot_(c, c->tail), v);
  c->tail = c->tail + 1 == c->cap ? 0 : c->tail + 1;
}

static inline void buf_get(go_chan *c, void *v) {
  if (v != NULL) {
    go_copy_(c, v, go_slot_(c, c->head));
  }
  c->head = c->head + 1 == c->cap ? 0 : c->head + 1;
}

int go_send_locked_(go_chan *c, const void *v, go_g_ **ret_wake) {
  if (GO_UNLIKELY_(go_ld_rlx(&c->closed) != 0)) {
    return GO_OP_CLOSED_;
  }
  uint64_t n = go_ld_rlx(&c->count);
  if (n == 0 && go_ld_rlx(&c->recvq.head) != NULL) {
    go_waiter_ *w = go_waitq_get_(&c->recvq);
    if (w != NULL) {
      if (w->elem != NULL) {
        go_copy_(c, w->elem, v);
      }
      w->ok = true;
      *ret_wake = w->g;
      return GO_OP_DONE_;
    }
  }
  if (n < c->cap) {
    buf_put(c, v);
    go_st_rel(&c->count, n + 1);
    return GO_OP_DONE_;
  }
  return GO_OP_WAIT_;
}

int go_recv_locked_(go_chan *c, void *v, go_g_ **ret_wake) {
  uint64_t n = go_ld_rlx(&c->count);
  if (n > 0) {
    buf_get(c, v);
    go_waiter_ *w = go_ld_rlx(&c->sendq.head) != NULL ? go_waitq_get_(&c->sendq) : NULL;
    if (w != NULL) { /* the buffer was full: its element takes the free slot, behind the others */
      buf_put(c, w->elem);
      w->ok = true;
      *ret_wake = w->g;
    } else {
      go_st_rel(&c->count, n - 1);
    }
    return GO_OP_DONE_;
  }
  if (go_ld_rlx(&c->sendq.head) != NULL) {
    go_waiter_ *w = go_waitq_get_(&c->sendq);
    if (w != NULL) {
      if (v != NULL) {
        go_copy_(c, v, w->elem);
      }
      w->ok = true;
      *ret_wake = w->g;
      return GO_OP_DONE_;
    }
  }
  if (go_ld_rlx(&c->closed) != 0) {
    if (v != NULL) {
      memset(v, 0, c->elem_size);
    }
    return GO_OP_CLOSED_;
  }
  return GO_OP_WAIT_;
}

/* ---- waiting ---- */

static _Noreturn void wait_for_ever(uint8_t reason) {
  for (;;) {
    (void)go_enter_(); /* not in a forked child */
    (void)go_wait_done_(NULL, reason);
  }
}

/* Lock held; released. Waits in one queue until served. Returns whether by a counterpart. */
static __attribute__((noinline)) bool wait_one(go_chan *c, int op, void *v) {
  go_m_ *m = go_enter_();
  go_waiter_ w;
  w.g = m->cur;
  w.elem = v;
  w.multi = false;
  w.ok = false;
  w.g->claimed_by = go_waits_on_(c, GO_ON_CHAN_);
  go_prepark_(m, op == GO_SEND ? GO_WAIT_CHAN_SEND_ : GO_WAIT_CHAN_RECV_);
  go_waitq_put_(go_queue_of_(c, op), &w);
  go_unlock_(&c->lock);
  (void)go_park_(m);
  return w.ok;
}

/* The same, or until ctx is done. 0, GO_ECLOSED, or ctx's code. */
static int wait_ctx(go_ctx *ctx, go_chan *c, int op, void *v) {
  go_m_ *m = go_enter_();
  go_waiter_ w = {.g = m->cur, .elem = v, .multi = true, .seq = go_claim_open_(m->cur)};
  w.g->claimed_by = NULL;
  go_prepark_(m, op == GO_SEND ? GO_WAIT_CHAN_SEND_ : GO_WAIT_CHAN_RECV_);
  go_waitq_put_(go_queue_of_(c, op), &w);
  go_unlock_(&c->lock);
  if (!go_cancel_park_(m, ctx, w.seq)) {
    return w.ok ? 0 : GO_ECLOSED;
  }
  go_lock_(&c->lock);
  go_waitq_del_(go_queue_of_(c, op), &w);
  go_unlock_(&c->lock);
  return go_cancel_err_(ctx);
}

/* ---- sending ---- */

static _Noreturn void panic_closed_send(void) { go_panic("send on closed channel"); }

static inline void wake(go_g_ *g) {
  if (g != NULL) {
    go_ready_(go_m_get_(), g);
  }
}

/* The same in a call that may suspend. */
static inline void wake_and_rejoin(go_g_ *g) {
  if (g != NULL) {
    go_m_ *m = go_m_get_();
    go_ready_(m, g);
    if (m != NULL) {
      (void)go_rejoin_(m);
    }
  }
}

void go_chan_send(go_chan *c, const void *v) {
  if (GO_UNLIKELY_(c == NULL)) {
    wait_for_ever(GO_WAIT_CHAN_SEND_NIL_);
  }
  go_g_ *g = NULL;
  go_lock_(&c->lock);
  int r = go_send_locked_(c, v, &g);
  if (GO_LIKELY_(r == GO_OP_DONE_)) {
    go_unlock_(&c->lock);
    wake_and_rejoin(g);
    return;
  }
  if (r == GO_OP_CLOSED_) {
    go_unlock_(&c->lock);
    panic_closed_send();
  }
  if (!wait_one(c, GO_SEND, (void *)(uintptr_t)v)) {
    panic_closed_send();
  }
}

/* One consistent look without the lock: whether op could certainly not go. */
static inline bool surely_waits(go_chan *c, int op) {
  uint32_t seen = go_read_begin_(&c->lock);
  return !go_looks_ready_(c, op) && go_read_same_(&c->lock, seen);
}

static inline int would_wait(void) { return go_forked_() ? GO_EFORKED : GO_EAGAIN; }

int go_chan_try_send(go_chan *c, const void *v) {
  if (c == NULL || surely_waits(c, GO_SEND)) {
    return would_wait();
  }
  go_g_ *g = NULL;
  go_lock_(&c->lock);
  int r = go_send_locked_(c, v, &g);
  go_unlock_(&c->lock);
  wake(g);
  return r == GO_OP_DONE_ ? 0 : r == GO_OP_CLOSED_ ? GO_ECLOSED : would_wait();
}

int go_chan_send_ctx(go_ctx *ctx, go_chan *c, const void *v) {
  int err = go_cancel_err_(ctx);
  if (err != 0) {
    return err;
  }
  if (c == NULL) {
    return go_wait_done_(ctx, GO_WAIT_CHAN_SEND_NIL_);
  }
  go_g_ *g = NULL;
  go_lock_(&c->lock);
  int r = go_send_locked_(c, v, &g);
  if (r == GO_OP_WAIT_) {
    if (go_forked_()) {
      go_unlock_(&c->lock);
      return GO_EFORKED;
    }
    if (ctx == NULL) {
      return wait_one(c, GO_SEND, (void *)(uintptr_t)v) ? 0 : GO_ECLOSED;
    }
    return wait_ctx(ctx, c, GO_SEND, (void *)(uintptr_t)v);
  }
  go_unlock_(&c->lock);
  wake_and_rejoin(g);
  return r == GO_OP_DONE_ ? 0 : GO_ECLOSED;
}

/* ---- receiving ---- */

bool go_chan_recv(go_chan *c, void *v) {
  if (GO_UNLIKELY_(c == NULL)) {
    wait_for_ever(GO_WAIT_CHAN_RECV_NIL_);
  }
  go_g_ *g = NULL;
  go_lock_(&c->lock);
  int r = go_recv_locked_(c, v, &g);
  if (GO_LIKELY_(r != GO_OP_WAIT_)) {
    go_unlock_(&c->lock);
    wake_and_rejoin(g);
    return r == GO_OP_DONE_;
  }
  return wait_one(c, GO_RECV, v);
}

int go_chan_try_recv(go_chan *c, void *v) {
  if (c == NULL || surely_waits(c, GO_RECV)) {
    return would_wait();
  }
  go_g_ *g = NULL;
  go_lock_(&c->lock);
  int r = go_recv_locked_(c, v, &g);
  go_unlock_(&c->lock);
  wake(g);
  return r == GO_OP_DONE_ ? 0 : r == GO_OP_CLOSED_ ? GO_ECLOSED : would_wait();
}

int go_chan_recv_ctx(go_ctx *ctx, go_chan *c, void *v) {
  int err = go_cancel_err_(ctx);
  if (err != 0) {
    return err;
  }
  if (c == NULL) {
    return go_wait_done_(ctx, GO_WAIT_CHAN_RECV_NIL_);
  }
  go_g_ *g = NULL;
  go_lock_(&c->lock);
  int r = go_recv_locked_(c, v, &g);
  if (r == GO_OP_WAIT_) {
    if (go_forked_()) {
      go_unlock_(&c->lock);
      return GO_EFORKED;
    }
    if (ctx == NULL) {
      return wait_one(c, GO_RECV, v) ? 0 : GO_ECLOSED;
    }
    return wait_ctx(ctx, c, GO_RECV, v);
  }
  go_unlock_(&c->lock);
  wake_and_rejoin(g);
  return r == GO_OP_DONE_ ? 0 : GO_ECLOSED;
}

/* ---- closing ---- */

/* Lock held. Takes all waiters that can still be served out, linked by next, oldest first. */
static go_waiter_ *take_all(go_chan *c, go_waitq_ *q, bool zero) {
  go_waiter_ *list = NULL, **end = &list;
  for (go_waiter_ *w; (w = go_waitq_get_(q)) != NULL;) {
    if (zero && w->elem != NULL) {
      memset(w->elem, 0, c->elem_size);
    }
    w->ok = false;
    w->next = NULL;
    *end = w;
    end = &w->next;
  }
  return list;
}

static void wake_all(go_waiter_ *w) {
  while (w != NULL) {
    go_waiter_ *next = w->next; /* w is gone once its goroutine runs */
    wake(w->g);
    w = next;
  }
}

void go_chan_close(go_chan *c) {
  if (c == NULL) {
    go_panic("close of nil channel");
  }
  go_lock_(&c->lock);
  if (go_ld_rlx(&c->closed) != 0) {
    go_unlock_(&c->lock);
    go_panic("close of closed channel");
  }
  go_st_rel(&c->closed, 1u);
  go_waiter_ *receivers = take_all(c, &c->recvq, true);
  go_waiter_ *senders = take_all(c, &c->sendq, false);
  go_unlock_(&c->lock);
  wake_all(receivers);
  wake_all(senders);
}
