/* core/panic.c: deferred calls, panics, go_try, go_exit.
 *
 * Deferred calls are records in the frames that defer, linked from the goroutine, innermost first. A block
 * that ends normally runs its own by the cleanup attribute. A panic runs them from the list, on top of
 * the stack; the frames themselves are left behind: by go_arch_unwind_ to the innermost go_try, or for good
 * when the goroutine ends.
 *
 * Owner of everything here: the goroutine (or plain thread) itself.
 * Go: runtime/panic.go. Departure: an uncaught panic ends its goroutine, not the process.
 */
#include <golib/defer.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <golib/go.h>

#include "core/out.h"
#include "core/sched.h"

/* A go_try in progress; on its frame. */
typedef struct go_try_ {
  struct go_try_ *up;
  struct go_panic_ *panics; /* those in progress outside */
  go_defer_rec_ *defers;    /* the boundary: what was deferred outside */
  go_arch_ctx_ mark;
  go_panic_info info; /* filled in by the panic */
} go_try_;

/* A panic in progress; on the frame of go_panic. */
typedef struct go_panic_ {
  struct go_panic_ *up; /* the one whose deferred call panicked again */
  go_panic_info info;
} go_panic_;

static go_aptr handler; /* void (*)(const go_panic_info *) */

void go_set_panic_handler(void (*fn)(const go_panic_info *)) {
  go_st_rel(&handler, (void *)(uintptr_t)fn);
}

void go_defer_push_(go_defer_rec_ *d) {
  go_g_ *g = go_enter_()->cur;
  d->next_ = g->defers;
  g->defers = d;
}

void go_defer_run_(go_defer_rec_ *d) {
  go_g_ *g = go_enter_()->cur;
  g->defers = d->next_;
  d->fn_(d->arg_);
}

static void run_defers(go_g_ *g, const go_defer_rec_ *until) {
  while (g->defers != until) {
    go_defer_rec_ *d = g->defers;
    g->defers = d->next_;
    d->fn_(d->arg_);
  }
}

/* ---- reports ---- */

static void print_chain(go_out_ *o, const go_panic_ *p) {
  if (p->up != NULL) {
    print_chain(o, p->up);
    go_out_str_(o, "\n  then ");
  }
  go_out_str_(o, "panic: ");
  go_out_str_(o, p->info.text);
}

/* The default handler: message, goroutine, backtrace. */
static void report(go_g_ *g, const go_panic_ *p) {
  void *pcs[32];
  go_out_ o;
  go_out_init_(&o, 2);
  go_out_str_(&o, "golib: ");
  print_chain(&o, p);
  go_out_str_(&o, "\n  in ");
  go_out_goroutine_(&o, g);
  go_out_str_(&o, "\n");
  go_out_flush_(&o);
  const char *low = g->stack_top != NULL ? g->stack_top - ((size_t)1 << g->stack_class) : NULL;
  int n = go_arch_backtrace_(NULL, low, g->stack_top, pcs, 32);
  go_os_symbols_(2, pcs, n);
}

/* A panic of the handler itself is reported as well, and ends there. */
static void call_handler(void *info) {
  void (*fn)(const go_panic_info *) =
      (void (*)(const go_panic_info *))(uintptr_t)go_ld_acq(&handler);
  fn(info);
}

static void tell(go_g_ *g, go_panic_ *p) {
  go_panic_info second;
  if (go_ld_acq(&handler) == NULL) {
    report(g, p);
  } else if (go_try(call_handler, &p->info, &second) != 0) {
    report(g, p);
    go_panic_ in_handler = {NULL, second};
    report(g, &in_handler);
  }
}

/* ---- panicking ---- */

static void describe(go_panic_ *p, const go_g_ *g) {
  p->info.goroutine = g->id;
  p->info.site = g->site != NULL ? g->site : "";
  if (g->name != NULL) {
    memcpy(p->info.name, g->name, GO_NAME_SIZE_);
  }
}

static _Noreturn void uncaught(go_g_ *g, go_panic_ *p) {
  tell(g, p);
  if (go_is_thread_(g)) {
    go_fatal_("panic on a thread outside go_try: %s", p->info.text);
  }
  if (g->flags & GO_G_FIRST_) {
    exit(2);
  }
  g->flags |= GO_G_PANICKED_;
  g->panics = NULL; /* the G will be used again */
  go_end_(go_m_get_());
}

static _Noreturn void panic(go_panic_ *p) {
  go_g_ *g = go_enter_()->cur;
  describe(p, g);
  p->up = g->panics;
  g->panics = p;
  run_defers(g, g->tries != NULL ? g->tries->defers : NULL);
  go_try_ *t = g->tries;
  if (t == NULL) {
    uncaught(g, p);
  }
  t->info = p->info; /* p lies on the stack that is left behind now */
  g->panics = t->panics;
  g->tries = t->up;
  go_arch_unwind_(&t->mark);
}

void go_panic(const char *fmt, ...) {
  go_panic_ p;
  memset(&p, 0, sizeof p);
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(p.info.text, sizeof p.info.text, fmt, ap);
  va_end(ap);
  panic(&p);
}

void go_panic_value(void *value, const char *text) {
  go_panic_ p;
  memset(&p, 0, sizeof p);
  p.info.value = value;
  (void)snprintf(p.info.text, sizeof p.info.text, "%s", text != NULL ? text : "");
  panic(&p);
}

int go_try(void (*fn)(void *), void *arg, go_panic_info *ret_info) {
  go_g_ *g = go_enter_()->cur; /* the G stays the same, whatever thread fn comes back on */
  go_try_ t = {.up = g->tries, .panics = g->panics, .defers = g->defers};
  g->tries = &t;
  if (go_arch_call_(&t.mark, fn, arg) == 0) {
    g->tries = t.up;
    return 0;
  }
  if (ret_info != NULL) {
    *ret_info = t.info;
  }
  return GO_EPANIC;
}

void go_exit(void) {
  go_g_ *g = go_enter_()->cur;
  if (go_is_thread_(g)) {
    go_fatal_("go_exit on a plain thread");
  }
  g->flags |= GO_G_DYING_;
  g->tries = NULL; /* nothing stops it any more, a panic of a deferred call neither */
  g->panics = NULL;
  run_defers(g, NULL);
  go_end_(go_m_get_());
}
