/* core/select.c: select.
 *
 * Three steps, as few locks as possible:
 *  1. Look at all cases without locks, pick one of those that look ready with equal chance, lock its
 *     channel and try. Most selects end here.
 *  2. Nothing looks ready: a non-blocking select may only say so when there was a moment at which no case
 *     was ready. Each look is consistent by itself (the lock word was even), and when no lock word
 *     has changed by the time that all have been looked at, all looks held at that moment.
 *  3. A blocking select locks all channels (by address, each once), looks again, queues on all, unlocks
 *     and parks. Whoever wins its claim serves it; it then takes its other waiters out, one lock at a time.
 *
 * Go: runtime/select.go selectgo. Departures: steps 1 and 2 (Go locks all channels always).
 */
#include <golib/select.h>

#include <stdlib.h>

#include <golib/defer.h>

#include "core/chan.h"

#define SMALL 8
#define CASES_MAX 65535

/* What a blocking select needs per case; on the stack for small ones. */
typedef struct sel {
  go_case *cases;
  int n;
  go_on_select_ on; /* distinct channels, for locking */
  go_waiter_ *w;
} sel;

static inline uint32_t below(go_m_ *m, uint32_t n) {
  return (uint32_t)(((go_rand_(&m->rng) >> 32) * n) >> 32);
}

static int finish(go_case *k, int i, int r) {
  if (k->op == GO_SEND) {
    if (GO_UNLIKELY_(r == GO_OP_CLOSED_)) {
      go_panic("send on closed channel");
    }
  } else {
    k->ok = r == GO_OP_DONE_;
  }
  return i;
}

static inline int op_locked(go_case *k, go_g_ **ret_wake) {
  return k->op == GO_SEND ? go_send_locked_(k->ch, k->val, ret_wake)
                          : go_recv_locked_(k->ch, k->val, ret_wake);
}

/* GO_OP_WAIT_: somebody was faster. */
static int try_case(go_case *k) {
  go_g_ *g = NULL;
  go_lock_(&k->ch->lock);
  int r = op_locked(k, &g);
  go_unlock_(&k->ch->lock);
  if (g != NULL) {
    go_ready_(go_m_get_(), g);
  }
  return r;
}

/* Step 1. The index of the case that went, or GO_EAGAIN. *ret_sure: step 2 has succeeded as well. seen: room for n
 * lock words, or NULL (then never sure). */
static int look(go_m_ *m, go_case *cases, int n, uint32_t *seen, bool *ret_sure) {
  for (int attempt = 0; attempt < 4; attempt++) {
    int pick = -1;
    uint32_t ready = 0;
    for (int i = 0; i < n; i++) {
      go_chan *c = cases[i].ch;
      if (c == NULL) {
        continue;
      }
      if (seen != NULL) {
        seen[i] = go_read_begin_(&c->lock);
      }
      if (go_looks_ready_(c, cases[i].op) && (++ready == 1 || below(m, ready) == 0)) {
        pick = i;
      }
    }
    if (pick >= 0) {
      int r = try_case(&cases[pick]);
      if (r != GO_OP_WAIT_) {
        return finish(&cases[pick], pick, r);
      }
      continue;
    }
    bool sure = seen != NULL;
    for (int i = 0; sure && i < n; i++) {
      sure = cases[i].ch == NULL || go_read_same_(&cases[i].ch->lock, seen[i]);
    }
    *ret_sure = sure;
    if (sure || seen == NULL) {
      return GO_EAGAIN;
    }
  }
  return GO_EAGAIN;
}

/* ---- with all locks ---- */

static void sort_locks(go_chan **v, int n) {
  /* Heapsort for many, insertion for few: no allocation, no bad case. */
  if (n <= SMALL) {
    for (int i = 1; i < n; i++) {
      go_chan *c = v[i];
      int k = i;
      for (; k > 0 && (uintptr_t)v[k - 1] > (uintptr_t)c; k--) {
        v[k] = v[k - 1];
      }
      v[k] = c;
    }
    return;
  }
  for (int end = n, start = n / 2; end > 1;) {
    go_chan *c;
    if (start > 0) {
      c = v[--start];
    } else {
      c = v[--end];
      v[end] = v[0];
    }
    int at = start;
    for (int child = at * 2 + 1; child < end; child = at * 2 + 1) {
      if (child + 1 < end && (uintptr_t)v[child + 1] > (uintptr_t)v[child]) {
        child++;
      }
      if ((uintptr_t)v[child] <= (uintptr_t)c) {
        break;
      }
      v[at] = v[child];
      at = child;
    }
    v[at] = c;
  }
}

static void collect_locks(sel *s) {
  int n = 0;
  for (int i = 0; i < s->n; i++) {
    if (s->cases[i].ch != NULL) {
      s->on.chans[n++] = s->cases[i].ch;
    }
  }
  sort_locks(s->on.chans, n);
  int distinct = 0;
  for (int i = 0; i < n; i++) {
    if (distinct == 0 || s->on.chans[distinct - 1] != s->on.chans[i]) {
      s->on.chans[distinct++] = s->on.chans[i];
    }
  }
  s->on.n = distinct;
}

static void lock_all(sel *s) {
  for (int i = 0; i < s->on.n; i++) {
    go_lock_(&s->on.chans[i]->lock);
  }
}

static void unlock_all(sel *s) {
  for (int i = s->on.n; i-- > 0;) {
    go_unlock_(&s->on.chans[i]->lock);
  }
}

/* All locks held. A random one of those that can go, done; or GO_EAGAIN. A queue may hold only waiters
 * that are served already: then what looks ready is not, and another is tried. */
static int pass_locked(go_m_ *m, sel *s, go_g_ **ret_wake, int *ret_r) {
  for (;;) {
    int pick = -1;
    uint32_t ready = 0;
    for (int i = 0; i < s->n; i++) {
      go_case *k = &s->cases[i];
      if (k->ch != NULL && go_looks_ready_(k->ch, k->op) &&
          (++ready == 1 || below(m, ready) == 0)) {
        pick = i;
      }
    }
    if (pick < 0) {
      return GO_EAGAIN;
    }
    *ret_r = op_locked(&s->cases[pick], ret_wake);
    if (*ret_r != GO_OP_WAIT_) {
      return pick;
    }
  }
}

static void queue_all(sel *s, go_g_ *g, uint32_t seq) {
  for (int i = 0; i < s->n; i++) {
    go_case *k = &s->cases[i];
    if (k->ch != NULL) {
      s->w[i] = (go_waiter_){.g = g, .elem = k->val, .seq = seq, .multi = true};
      go_waitq_put_(go_queue_of_(k->ch, k->op), &s->w[i]);
    }
  }
}

/* Afterwards nobody refers to our waiters. Returns the index of the one that was served, or -1. */
static int unqueue_all(sel *s, const void *served) {
  int which = -1;
  for (int i = 0; i < s->n; i++) {
    go_case *k = &s->cases[i];
    if (k->ch == NULL) {
      continue;
    }
    if (served == &s->w[i]) {
      which = i; /* its server took it out */
      continue;
    }
    go_lock_(&k->ch->lock);
    go_waitq_del_(go_queue_of_(k->ch, k->op), &s->w[i]);
    go_unlock_(&k->ch->lock);
  }
  return which;
}

static int wait_for_one(go_m_ *m, go_ctx *ctx, sel *s, int *ret_r) {
  go_g_ *g = m->cur;
  uint32_t seq = go_claim_open_(g);
  go_cancel_wait_ cw;
  g->claimed_by = ctx == NULL ? go_waits_on_(&s->on, GO_ON_SELECT_) : NULL;
  go_prepark_(m, s->on.n == 0 ? GO_WAIT_SELECT_NONE_ : GO_WAIT_SELECT_);
  queue_all(s, g, seq);
  unlock_all(s);
  bool listed = go_cancel_add_(ctx, &cw, g, seq);
  if (!listed && go_claim_(g, seq)) { /* ctx is done, and nobody has served us yet */
    g->claimed_by = NULL;
    go_set_state_(g, GO_G_RUNNING_);
  } else {
    (void)go_park_(m);
  }
  if (listed) {
    go_cancel_del_(ctx, &cw);
  }
  int i = unqueue_all(s, g->claimed_by);
  if (i < 0) {
    return go_cancel_err_(ctx);
  }
  *ret_r = s->w[i].ok ? GO_OP_DONE_ : GO_OP_CLOSED_;
  return i;
}

/* *ret_r: how the case went whose index is returned, for finish. */
static int select_locked(go_m_ *m, go_ctx *ctx, sel *s, bool wait, int *ret_r) {
  go_g_ *g = NULL;
  collect_locks(s);
  lock_all(s);
  int i = pass_locked(m, s, &g, ret_r);
  if (i < 0 && wait) {
    return wait_for_one(m, ctx, s, ret_r);
  }
  unlock_all(s);
  if (g != NULL) {
    go_ready_(m, g);
  }
  return i;
}

static __attribute__((noinline)) int select_large(go_m_ *m, go_ctx *ctx, go_case *cases, int n,
                                                  bool wait) {
  sel s = {.cases = cases, .n = n};
  s.w = malloc((size_t)n * (sizeof *s.w + sizeof *s.on.chans));
  if (s.w == NULL) {
    return GO_ENOMEM;
  }
  s.on.chans = (go_chan **)(void *)(s.w + n);
  int r;
  int i = select_locked(m, ctx, &s, wait, &r);
  free(s.w); /* before finish: it may panic */
  return i < 0 ? i : finish(&cases[i], i, r);
}

static int select_slow(go_m_ *m, go_ctx *ctx, go_case *cases, int n, bool wait) {
  if (n > SMALL) {
    return select_large(m, ctx, cases, n, wait);
  }
  go_waiter_ w[SMALL];
  go_chan *locks[SMALL];
  sel s = {.cases = cases, .n = n, .w = w, .on.chans = locks};
  int r;
  int i = select_locked(m, ctx, &s, wait, &r);
  return i < 0 ? i : finish(&cases[i], i, r);
}

static void check(const go_case *cases, int n) {
  if (GO_UNLIKELY_(n < 0 || n > CASES_MAX || (n > 0 && cases == NULL))) {
    go_panic("select of %d cases", n);
  }
}

int go_select(go_ctx *ctx, go_case *cases, int n) {
  check(cases, n);
  int err = go_cancel_err_(ctx);
  if (err != 0) {
    return err;
  }
  go_m_ *m = go_m_get_();
  if (GO_UNLIKELY_(m == NULL) && (m = go_attach_unless_forked_slow_()) == NULL) {
    return GO_EFORKED;
  }
  bool sure;
  int i = look(m, cases, n, NULL, &sure);
  return i >= 0 ? i : select_slow(m, ctx, cases, n, true);
}

int go_select_try(go_case *cases, int n) {
  check(cases, n);
  uint32_t seen[SMALL * 4];
  go_m_ *m = go_m_get_();
  if (GO_UNLIKELY_(m == NULL) && (m = go_attach_unless_forked_slow_()) == NULL) {
    return GO_EFORKED;
  }
  bool sure = false;
  int i = look(m, cases, n, n <= SMALL * 4 ? seen : NULL, &sure);
  return i >= 0 || sure ? i : select_slow(m, NULL, cases, n, false);
}
