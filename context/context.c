/* context/context.c: the tree of contexts: making, cancelling and ending them. See context/ctx.h.
 * Go: context/context.go. Departures: counted, so that a context that nobody refers to leaves its parent
 * without being cancelled; every context can be cancelled, those that only carry a value as well.
 */
#include <golib/context.h>

#include <stdlib.h>
#include <string.h>

#include <golib/defer.h>

#include "context/ctx.h"
#include "core/chan.h"

/* What is planted here must be found by tests/models/ctx_model_test.cc, which compiles this file. */
#if !defined(GO_CTX_BUG_)
#define GO_CTX_BUG_ 0
#endif

#define BATCH 64 /* callbacks that are taken before others get the lock */

#if !defined(GO_RELACY)
static go_ctx *get_mem(size_t size) { return (go_ctx *)calloc(1, size); }
static void free_mem(go_ctx *c) { free(c); }
#endif

go_ctx *go_ctx_background(void) { return (go_ctx *)(uintptr_t)&go_cancel_background_; }

/* ---- references ---- */

go_ctx *go_ctx_ref(go_ctx *c) {
  if (!go_ctx_none_(c)) {
    (void)go_add_rlx(&c->refs, 1u);
  }
  return c;
}

bool go_ctx_try_ref_(go_ctx *c) {
  uint32_t n = go_ld_rlx(&c->refs);
  while (n != 0) {
    if (GO_CTX_BUG_ == 1) {
      (void)go_add_rlx(&c->refs, 1u);
      return true;
    }
    if (go_cas_rlx(&c->refs, &n, n + 1)) {
      return true;
    }
  }
  return false;
}

void go_ctx_unhold_(go_ctx *c) {
  if (go_sub_ar(&c->holds, 1u) == 1) { /* acquire: all that others did comes before */
    free_mem(c);
  }
}

/* On g0, where a timer fires: nothing there may wait, and destroy is users' code. */
static bool must_be_late(const go_ctx *c) {
  go_m_ *m = go_m_get_();
  return c->values != NULL && m != NULL && m->cur == NULL;
}

void go_ctx_unref(go_ctx *c) {
  while (!go_ctx_none_(c) && go_sub_ar(&c->refs, 1u) == 1) {
    if (must_be_late(c)) {
      go_ctx_late_dispose_(c);
      return;
    }
    c = go_ctx_dispose_(c);
  }
}

/* ---- the tree ---- */

/* The lock of c's parent is held. */
static void take_out(go_ctx *c) {
  c->linked = false;
  if (c->prev != NULL) {
    c->prev->next = c->next;
  } else {
    c->parent->children = c->next;
  }
  if (c->next != NULL) {
    c->next->prev = c->prev;
  }
}

void go_ctx_leave_(go_ctx *c) {
  if (c->parent == NULL) {
    return;
  }
  go_lock_(&c->parent->cancel.lock);
  if (c->linked) {
    take_out(c);
  }
  go_unlock_(&c->parent->cancel.lock);
}

/* The parent's lock is held. */
static void join(go_ctx *c, go_ctx *parent) {
  c->linked = true;
  c->prev = NULL;
  c->next = parent->children;
  if (c->next != NULL) {
    c->next->prev = c;
  }
  parent->children = c;
}

void go_ctx_link_(go_ctx *c) {
  go_ctx *parent = c->parent;
  if (parent == NULL) {
    return;
  }
  go_lock_(&parent->cancel.lock);
  int err = -(int)go_ld_rlx(&parent->cancel.err); /* under the lock it is final */
  int cause = err != 0 ? parent->cause : 0;
  if (err == 0) {
    join(c, parent);
  }
  go_unlock_(&parent->cancel.lock);
  if (err != 0) {
    go_ctx_end_(go_m_get_(), c, err, cause);
  } else if (go_ld_acq(&c->cancel.err) != 0) { /* its deadline came before: see go_ctx_end_ */
    go_ctx_leave_(c);
  }
}

go_ctx *go_ctx_make_(go_ctx *parent, size_t size, uint8_t kind) {
  go_ctx *c = get_mem(size);
  if (c == NULL) {
    return NULL;
  }
  go_st_rlx(&c->refs, 1u);
  go_st_rlx(&c->holds, 1u);
  c->kind = kind;
  c->deadline = GO_FOREVER;
  if (!go_ctx_none_(parent)) {
    c->parent = go_ctx_ref(parent);
    c->values = parent->values;
    c->deadline = parent->deadline;
  }
  return c;
}

go_ctx *go_ctx_dispose_(go_ctx *c) {
  go_ctx_leave_(c);
  go_ctx_disarm_(c);
  if (c->cancel.head != NULL) {
    go_fatal_("go_ctx_unref: the last reference goes while somebody waits with this context");
  }
  go_chan_unref((go_chan *)go_ld_rlx(&c->done));
  if (c->kind == GO_CTX_VALUE_) {
    go_ctx_value_ *v = (go_ctx_value_ *)c;
    if (v->destroy != NULL) {
      v->destroy(v->val);
    }
  }
  go_ctx *parent = c->parent;
  go_ctx_unhold_(c);
  return parent;
}

/* ---- cancelling ---- */

/* Lock held. */
static void close_done(go_ctx *c) {
  go_chan *done = (go_chan *)go_ld_rlx(&c->done);
  if (done == NULL) {
    return;
  }
  if (go_ld_acq(&done->closed) != 0) {
    go_fatal_("the channel of go_ctx_done was closed by somebody else");
  }
  go_chan_close(done);
}

/* Makes c alone done, if it is not yet. */
static void end_one(go_m_ *m, go_ctx *c, int err, int cause) {
  go_ctx_after_ *afters = NULL;
  if (!go_cancel_begin_(&c->cancel, err)) {
    return;
  }
  c->cause = cause;
  close_done(c);
  bool more = go_ctx_take_afters_(c, &afters, BATCH);
  go_cancel_end_(m, &c->cancel);
  while (more) {
    go_lock_(&c->cancel.lock);
    more = go_ctx_take_afters_(c, &afters, BATCH);
    go_unlock_(&c->cancel.lock);
  }
  go_ctx_disarm_(c);
  go_ctx_start_afters_(afters);
}

/* c is done. Takes a child whose part of the tree is done out of its list (NULL: none), and returns the first that is
 * left, counted; NULL: there is none, and will be none. */
static go_ctx *next_child(go_ctx *c, go_ctx *finished) {
  go_lock_(&c->cancel.lock);
  if (finished != NULL && finished->linked) { /* else another walker was faster */
    take_out(finished);
  }
  go_ctx *child;
  while ((child = c->children) != NULL && !go_ctx_try_ref_(child)) {
    take_out(child); /* has ended, and so has no children itself */
  }
  go_unlock_(&c->cancel.lock);
  return child;
}

/* c leaves its parent after it is done. If that is before go_ctx_link_ puts it there, go_ctx_link_ sees that it
 * is done, as it takes the parent's lock later. */
void go_ctx_end_(go_m_ *m, go_ctx *c, int err, int cause) {
  end_one(m, c, err, cause);
  if (GO_CTX_BUG_ == 2) {
    go_ctx_leave_(c);
  }
  go_ctx *at = c, *child = next_child(at, NULL);
  while (child != NULL || at != c) {
    if (child != NULL) {
      end_one(m, child, -(int)go_ld_rlx(&at->cancel.err), at->cause);
      at = child;
      child = next_child(at, NULL);
    } else {
      go_ctx *finished = at;
      at = at->parent;
      child = next_child(at, finished);
      go_ctx_unref(finished);
    }
  }
  go_ctx_leave_(c);
}

void go_ctx_cancel_cause(go_ctx *c, int cause) {
  go_ctx_late_poke_();
  if (!go_ctx_none_(c)) {
    (void)go_ctx_ref(c); /* who is woken may drop what the caller believes to have */
    go_ctx_end_(go_m_get_(), c, GO_ECANCELED, cause != 0 ? cause : GO_ECANCELED);
    go_ctx_unref(c);
  }
}

void go_ctx_cancel(go_ctx *c) { go_ctx_cancel_cause(c, GO_ECANCELED); }

/* ---- making ---- */

go_ctx *go_ctx_with_cancel(go_ctx *parent) {
  go_ctx *c = go_ctx_make_(parent, sizeof *c, GO_CTX_PLAIN_);
  if (c != NULL) {
    go_ctx_link_(c);
  }
  return c;
}

go_ctx *go_ctx_with_value(go_ctx *parent, const void *key, void *val, void (*destroy)(void *)) {
  if (key == NULL) {
    go_panic("go_ctx_with_value: the key is NULL");
  }
  go_ctx *c = go_ctx_make_(parent, sizeof(go_ctx_value_), GO_CTX_VALUE_);
  if (c == NULL) {
    return NULL;
  }
  go_ctx_value_ *v = (go_ctx_value_ *)c;
  v->key = key;
  v->val = val;
  v->destroy = destroy;
  c->values = c;
  go_ctx_link_(c);
  return c;
}

/* A root of its own, as far as cancelling goes: not linked. It keeps what has values only. */
go_ctx *go_ctx_without_cancel(go_ctx *parent) {
  go_ctx *values = go_ctx_none_(parent) ? NULL : parent->values;
  go_ctx *c = go_ctx_make_(values, sizeof *c, GO_CTX_PLAIN_);
  if (c != NULL) {
    c->deadline = GO_FOREVER;
  }
  return c;
}

/* ---- asking ---- */

static go_ctx *mut(const go_ctx *c) { return (go_ctx *)(uintptr_t)c; }

int go_ctx_err(const go_ctx *c) { return go_cancel_err_(mut(c)); }

int go_ctx_cause(const go_ctx *c) { return go_cancel_err_(mut(c)) != 0 ? c->cause : 0; }

go_nsec go_ctx_deadline(const go_ctx *c) { return go_ctx_none_(c) ? GO_FOREVER : c->deadline; }

void *go_ctx_value(const go_ctx *c, const void *key) {
  const go_ctx *at = go_ctx_none_(c) ? NULL : c->values;
  while (at != NULL) {
    const go_ctx_value_ *v = (const go_ctx_value_ *)at;
    if (v->key == key) {
      return v->val;
    }
    at = at->parent != NULL ? at->parent->values : NULL;
  }
  return NULL;
}

/* c is open or done when the channel appears: it is closed before anybody sees it, or by end_one. */
static go_chan *done_slow(go_ctx *c) {
  go_chan *fresh = go_chan_new(0, 0);
  if (fresh == NULL) {
    return NULL;
  }
  go_lock_(&c->cancel.lock);
  go_chan *done = (go_chan *)go_ld_rlx(&c->done);
  if (done == NULL) {
    done = fresh;
    fresh = NULL;
    if (go_ld_rlx(&c->cancel.err) != 0) {
      go_chan_close(done);
    }
    go_st_rel(&c->done, (void *)done); /* pairs with go_ctx_done */
  }
  go_unlock_(&c->cancel.lock);
  go_chan_unref(fresh);
  return done;
}

go_chan *go_ctx_done(go_ctx *c) {
  if (go_ctx_none_(c)) {
    return NULL;
  }
  go_chan *done = (go_chan *)go_ld_acq(&c->done); /* pairs with done_slow */
  return GO_LIKELY_(done != NULL) ? done : done_slow(c);
}
