/* context/after.c: callbacks in goroutines of their own when a context is done. See context/ctx.h.
 *
 * Who stops and who starts compete for `state`; the winner has the list's ref of the callback, and its ref of
 * the context. Winner and taking it out of the list are two steps for the one who stops: the other drops
 * from the list what is stopped already.
 */
#include <golib/context.h>

#include <stdlib.h>

#include "context/ctx.h"

#undef go_ctx_after

static void put_refs(go_ctx_after_ *a, uint32_t n) {
  if (go_sub_ar(&a->refs, n) == n) { /* acquire: the other one is through with it */
    free(a);
  }
}

static int start(const char *site, void (*fn)(void *), void *arg) {
  go_spawn_ how = {.site = site};
  return go_spawn_with_(&how, fn, arg, 0);
}

static bool win(go_ctx_after_ *a, uint32_t state) {
  uint32_t waits = GO_CTX_WAITS_;
  return go_cas_ar(&a->state, &waits, state);
}

/* ---- when the context is done ---- */

/* The lock of a->ctx is held. */
static void take_out(go_ctx_after_ *a) {
  a->listed = false;
  if (a->prev != NULL) {
    a->prev->next = a->next;
  } else {
    a->ctx->afters = a->next;
  }
  if (a->next != NULL) {
    a->next->prev = a->prev;
  }
}

bool go_ctx_take_afters_(go_ctx *c, go_ctx_after_ **list, int n) {
  for (int i = 0; i < n && c->afters != NULL; i++) {
    go_ctx_after_ *a = c->afters;
    take_out(a);
    if (win(a,
            GO_CTX_STARTED_)) { /* else it is in go_ctx_after_stop, and may be gone once we unlock */
      a->next = *list;
      *list = a;
    }
  }
  return c->afters != NULL;
}

bool go_ctx_start_after_(go_ctx_after_ *a) {
  if (start(a->site, a->fn, a->arg) != 0) {
    return false;
  }
  go_ctx *c = a->ctx;
  put_refs(a, 1);
  go_ctx_unref(c);
  return true;
}

void go_ctx_start_afters_(go_ctx_after_ *list) {
  while (list != NULL) {
    go_ctx_after_ *a = list;
    list = a->next;
    if (!go_ctx_start_after_(a)) {
      go_ctx_late_after_(a);
    }
  }
}

/* ---- from outside ---- */

/* False: c is done. */
static bool enlist(go_ctx *c, go_ctx_after_ *a, go_ctx_stop *ret_stop) {
  go_lock_(&c->cancel.lock);
  bool open = go_ld_rlx(&c->cancel.err) == 0;
  if (open) {
    a->listed = true;
    a->next = c->afters;
    if (a->next != NULL) {
      a->next->prev = a;
    }
    c->afters = a;
    if (ret_stop != NULL) { /* before it can be started */
      ret_stop->p_ = a;
    }
  }
  go_unlock_(&c->cancel.lock);
  return open;
}

static int start_now(const char *site, void (*fn)(void *), void *arg, go_ctx_stop *ret_stop) {
  int r = start(site, fn, arg);
  if (r == 0 && ret_stop != NULL) {
    ret_stop->p_ = NULL;
  }
  return r;
}

int go_ctx_after_site_(const char *site, go_ctx *c, void (*fn)(void *), void *arg,
                       go_ctx_stop *ret_stop) {
  if (fn == NULL) {
    go_fatal_("go_ctx_after of a NULL function");
  }
  go_ctx_late_poke_();
  if (go_ctx_err(c) != 0) {
    return start_now(site, fn, arg, ret_stop);
  }
  go_ctx_after_ *a = calloc(1, sizeof *a);
  if (a == NULL) {
    return GO_ENOMEM;
  }
  go_st_rlx(&a->refs, ret_stop != NULL ? 2u : 1u);
  a->fn = fn;
  a->arg = arg;
  a->site = site;
  if (go_ctx_none_(c)) { /* never starts; can be stopped, once */
    if (ret_stop != NULL) {
      ret_stop->p_ = a;
    } else {
      free(a);
    }
    return 0;
  }
  a->ctx = go_ctx_ref(c);
  if (!enlist(c, a, ret_stop)) {
    go_ctx_unref(a->ctx);
    free(a);
    return start_now(site, fn, arg, ret_stop);
  }
  return 0;
}

int go_ctx_after(go_ctx *c, void (*fn)(void *), void *arg, go_ctx_stop *ret_stop) {
  return go_ctx_after_site_(NULL, c, fn, arg, ret_stop);
}

/* Won against the canceller. */
static void stop_it(go_ctx_after_ *a) {
  go_ctx *c = a->ctx;
  if (c != NULL) {
    go_lock_(&c->cancel.lock);
    if (a->listed) {
      take_out(a);
    }
    go_unlock_(&c->cancel.lock);
  }
}

bool go_ctx_after_stop(go_ctx_stop *stop) {
  go_ctx_after_ *a = stop != NULL ? go_xchg_ar((go_aptr *)(void *)&stop->p_, NULL) : NULL;
  if (a == NULL) {
    return false;
  }
  if (!win(a, GO_CTX_STOPPED_)) {
    put_refs(a, 1);
    return false;
  }
  stop_it(a);
  go_ctx *c = a->ctx;
  put_refs(a, 2); /* ours, and the one that starting it would have used up */
  go_ctx_unref(c);
  return true;
}
