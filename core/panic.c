/* core/panic.c: deferred calls, panics, go_try, go_exit.
 *
 * Deferred calls are records in the frames that defer, linked from the goroutine, innermost first. A block
 * that ends normally runs its own by the cleanup attribute. A panic runs them from the list, on top of
 * the stack; the frames themselves are left behind: by go_arch_unwind_ to the innermost go_try, or for good
 * when the goroutine ends.
 *
 * The panic of a scope's task (GO_G_TASK_) is told to nobody here: the scope keeps it, in the outermost
 * deferred call.
 *
 * C++. Leaving frames behind skips destructors. So in a program that has registered with go_cxx_enable_, a panic
 * and go_exit become exceptions when there is a C++ frame on the stack to pass: deferred calls of the C frames inside
 * of it run from the list, as ever; from there on frames are unwound, and run what is theirs. go_try, and the
 * function that every goroutine begins with, call through call_, which catches. The list is then as it was
 * there, unless an exception passed C frames that had deferred and were not compiled for it: that is found.
 *
 * Owner of everything here: the goroutine (or plain thread) itself.
 * Go: runtime/panic.go. Departure: an uncaught panic ends its goroutine, not the process.
 */
#include <golib/defer.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <golib/cxx.h>
#include <golib/go.h>

#include "core/out.h"
#include "core/sched.h"

/* A go_try in progress; on its frame. */
typedef struct go_try_ {
  struct go_try_ *up;
  struct go_panic_ *panics; /* those in progress outside */
  go_defer_rec_ *defers;    /* the boundary: what was deferred outside */
  go_arch_ctx_ mark;
  go_panic_info info;   /* filled in by the panic */
  uint16_t nopreempt;   /* sections that were open outside */
  bool guarded, thrown; /* called through call_; an exception came */
} go_try_;

/* A panic in progress; on the frame of go_panic. */
typedef struct go_panic_ {
  struct go_panic_ *up;     /* the one whose deferred call panicked again */
  const void *frame;        /* of go_panic: backtraces begin with who called it. NULL: none */
  const go_thrown_ *thrown; /* it came as an exception, and has its backtrace there; or NULL */
  go_panic_info info;
} go_panic_;

void go_cxx_enable_(const go_cxx_ *c) { go_st_rel(&go_cxx_registered_, (void *)(uintptr_t)c); }

go_aptr go_cxx_registered_;

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

/* Where it was raised. The stack is still there: a panic leaves frames only when it is caught. */
static int trace(const go_g_ *g, const go_panic_ *p, void **ret_pcs) {
  if (p->thrown != NULL) {
    memcpy(ret_pcs, p->thrown->pcs, (size_t)p->thrown->n * sizeof *ret_pcs);
    return p->thrown->n;
  }
  return p->frame == NULL
             ? 0
             : go_arch_backtrace_fp_(p->frame, p->frame, g->stack_top, ret_pcs, GO_PANIC_PCS_);
}

static void end_report(go_out_ *o, void *const *pcs, int n) {
  go_out_str_(o, "\n");
  go_out_flush_(o);
  go_os_symbols_(2, pcs, n);
}

/* The default handler: message, goroutine, backtrace. */
static void report(const go_g_ *g, const go_panic_ *p) {
  void *pcs[GO_PANIC_PCS_];
  go_out_ o;
  go_out_init_(&o, 2);
  go_out_str_(&o, "golib: ");
  print_chain(&o, p);
  go_out_str_(&o, "\n  in ");
  go_out_goroutine_(&o, g);
  end_report(&o, pcs, trace(g, p, pcs));
}

/* The same for a goroutine that is gone. */
static void report_kept(const go_panic_kept_ *k) {
  go_out_ o;
  go_out_init_(&o, 2);
  go_out_str_(&o, "golib: panic: ");
  go_out_str_(&o, k->info.text);
  go_out_str_(&o, "\n  in goroutine ");
  go_out_u64_(&o, k->info.goroutine);
  if (k->info.name[0] != '\0') {
    go_out_str_(&o, " \"");
    go_out_str_(&o, k->info.name);
    go_out_str_(&o, "\"");
  }
  if (k->info.site[0] != '\0') {
    go_out_str_(&o, " ");
    go_out_site_(&o, k->info.site);
  }
  go_out_str_(&o, ", a task that nobody joined");
  end_report(&o, k->pcs, k->n);
}

/* A panic of the handler itself is reported as well, and ends there. */
static void call_handler(void *info) {
  void (*fn)(const go_panic_info *) =
      (void (*)(const go_panic_info *))(uintptr_t)go_ld_acq(&handler);
  fn(info);
}

/* One of p and k is not NULL. */
static void tell(const go_g_ *g, const go_panic_ *p, const go_panic_kept_ *k) {
  go_panic_ second = {.up = NULL};
  const go_panic_info *info = p != NULL ? &p->info : &k->info;
  bool has_handler = go_ld_acq(&handler) != NULL;
  if (has_handler && go_try(call_handler, (void *)(uintptr_t)info, &second.info) == 0) {
    return;
  }
  if (p != NULL) {
    report(g, p);
  } else {
    report_kept(k);
  }
  if (has_handler) {
    report(g, &second);
  }
}

void go_panic_tell_(const go_panic_kept_ *k) { tell(go_enter_()->cur, NULL, k); }

bool go_panic_keep_(const go_g_ *g, go_panic_kept_ *ret) {
  if (g->panics == NULL) {
    return false;
  }
  ret->info = g->panics->info;
  ret->n = trace(g, g->panics, ret->pcs);
  return true;
}

/* ---- panicking ---- */

static void describe(go_panic_info *info, const go_g_ *g) {
  info->goroutine = g->id;
  info->site = g->site != NULL ? g->site : "";
  if (g->name != NULL) {
    memcpy(info->name, g->name, GO_NAME_SIZE_);
  }
}

static _Noreturn void uncaught(go_g_ *g, go_panic_ *p) {
  if (!(g->flags & GO_G_TASK_)) {
    tell(g, p, NULL);
  }
  if (go_is_plain_thread_(g)) {
    go_fatal_("panic on a thread outside go_try: %s", p->info.text);
  }
  if (g->flags & GO_G_FIRST_) {
    exit(2);
  }
  g->flags |= GO_G_PANICKED_;
  g->panics = NULL; /* the G will be used again */
  go_end_(go_m_get_());
}

/* ---- through C++ ---- */

_Static_assert(GO_THROWN_PCS_ <= GO_PANIC_PCS_, "see trace");

/* Whether an exception would be caught in golib: then there is one to throw if frames ask for it. */
static bool is_guarded(const go_g_ *g) {
  return g->tries != NULL ? g->tries->guarded
                          : (g->flags & GO_G_GUARDED_) || go_is_plain_thread_(g);
}

static void copy_thrown(void *to, const go_thrown_ *x) { *(go_thrown_ *)to = *x; }

/* Deferred calls of frames between here and the one with stack pointer `frame`. No exception passes us: *t is what is
 * to be thrown then, and the value whether that is a panic, both changed by a deferred call that panics, or exits. */
static bool run_defers_inside(go_g_ *g, const go_cxx_ *c, const char *frame, bool panics,
                              go_thrown_ *t) {
  const char *here = __builtin_frame_address(0);
  for (;;) {
    go_defer_rec_ *d = g->defers;
    const go_defer_rec_ *until = g->tries != NULL ? g->tries->defers : NULL;
    if (d == until || (const char *)d < here || (const char *)d >= frame) {
      return panics;
    }
    g->defers = d->next_;
    int how = c->call_(d->fn_, d->arg_, copy_thrown, t);
    panics = how == GO_CALL_THREW_ || (panics && how != GO_CALL_EXIT_);
  }
}

/* A panic, or with p NULL go_exit, goes on as an exception if there are C++ frames to pass; else returns. */
static void throw_it(go_g_ *g, go_panic_ *p, const void *from) {
  const go_cxx_ *c = go_ld_acq(&go_cxx_registered_);
  const char *frame = NULL;
  if (c != NULL && is_guarded(g)) {
    frame = c->frame_ != NULL ? c->frame_(from) : go_os_cxx_frame_(from, (uintptr_t)c->call_);
  }
  if (frame == NULL) {
    return;
  }
  go_thrown_ t;
  if (p != NULL) {
    t.info = p->info;
    if (p->thrown != NULL) {
      t.n = trace(g, p, t.pcs);
    } else {
      t.n = go_arch_backtrace_fp_(p->frame, p->frame, g->stack_top, t.pcs, GO_THROWN_PCS_);
    }
    p->up = g->panics;
    g->panics = p; /* for deferred calls that ask */
  }
  bool panics = run_defers_inside(g, c, frame, p != NULL, &t);
  if (p != NULL && g->panics == p) {
    g->panics = p->up;
  }
  c->throw_(panics ? &t : NULL);
}

/* An exception has arrived where g->defers was `defers`. */
static void check_defers(const go_g_ *g, const go_defer_rec_ *defers) {
  if (g->defers != defers) {
    go_fatal_(
        "a C++ exception has passed a C function with deferred calls, which is to be compiled with "
        "-fexceptions");
  }
}

/* What was thrown: a panic, or some exception, which does not know where (site NULL). */
static void take_info(go_panic_info *to, const go_thrown_ *x) {
  *to = x->info;
  if (to->site == NULL) {
    describe(to, go_enter_()->cur);
  }
}

static void caught_in_try(void *to, const go_thrown_ *x) {
  go_try_ *t = to;
  take_info(&t->info, x);
  t->thrown = true;
}

typedef struct call {
  void (*fn)(void *);
  void *arg;
  go_try_ *t;
} call;

static void call_in_try(void *arg) {
  call *k = arg;
  const go_cxx_ *c = go_ld_acq(&go_cxx_registered_);
  if (c->call_(k->fn, k->arg, caught_in_try, k->t) == GO_CALL_EXIT_) {
    go_exit();
  }
}

static _Noreturn void panic(go_panic_ *p);

void go_call_slow_(void (*fn)(void *), void *arg) {
  const go_cxx_ *c = go_ld_acq(&go_cxx_registered_);
  go_panic_ p = {.frame = __builtin_frame_address(0)};
  go_thrown_ t;
  int how = c->call_(fn, arg, copy_thrown, &t);
  if (how == GO_CALL_EXIT_) {
    go_exit();
  }
  if (how == GO_CALL_THREW_) {
    take_info(&p.info, &t);
    p.thrown = &t;
    panic(&p);
  }
}

/* The exception that ends a goroutine. */
typedef struct last {
  go_g_ *g;
  go_panic_ p;
  go_thrown_ thrown;
} last;

static void caught_at_root(void *to, const go_thrown_ *x) {
  last *l = to;
  check_defers(l->g, NULL);
  l->thrown = *x;
  l->p.thrown = &l->thrown;
  take_info(&l->p.info, x);
  if (!(l->g->flags & GO_G_TASK_)) {
    tell(l->g, &l->p, NULL);
  }
  if (l->g->flags & GO_G_FIRST_) {
    exit(2);
  }
}

bool go_call_root_(go_g_ *g) {
  const go_cxx_ *c = go_ld_acq(&go_cxx_registered_);
  if (GO_LIKELY_(c == NULL)) {
    return false;
  }
  g->flags |= GO_G_GUARDED_;
  last l;
  l.g = g;
  l.p.up = NULL;
  l.p.frame = NULL;
  if (c->call_(g->fn, g->arg, caught_at_root, &l) != GO_CALL_THREW_) {
    return true;
  }
  g->flags |= GO_G_PANICKED_;
  return true;
}

static _Noreturn void panic(go_panic_ *p) {
  if (go_forked_()) {
    go_fatal_("panic in a forked child: %s", p->info.text);
  }
  go_g_ *g = go_enter_()->cur;
  if (p->thrown == NULL) {
    describe(&p->info, g);
  }
  throw_it(g, p, p->frame);
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

__attribute__((noinline)) void go_panic(const char *fmt, ...) {
  go_panic_ p;
  memset(&p, 0, sizeof p);
  p.frame = __builtin_frame_address(0);
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(p.info.text, sizeof p.info.text, fmt, ap);
  va_end(ap);
  panic(&p);
}

__attribute__((noinline)) void go_panic_value(void *value, const char *text) {
  go_panic_ p;
  memset(&p, 0, sizeof p);
  p.frame = __builtin_frame_address(0);
  p.info.value = value;
  (void)snprintf(p.info.text, sizeof p.info.text, "%s", text != NULL ? text : "");
  panic(&p);
}

/* What was raised in it has been taken out of the lists already, unless it came as an exception. */
static int end_try(go_g_ *g, const go_try_ *t) {
  go_set_nopreempt_(g, t->nopreempt); /* those that were left behind are closed */
  if (!t->thrown) {
    return GO_EPANIC;
  }
  check_defers(g, t->defers);
  g->tries = t->up;
  g->panics = t->panics;
  return GO_EPANIC;
}

int go_try(void (*fn)(void *), void *arg, go_panic_info *ret_info) {
  go_m_ *m = go_enter_();
  go_g_ *g = m->cur; /* the G stays the same, whatever thread fn comes back on */
  go_try_ t = {
      .up = g->tries, .panics = g->panics, .defers = g->defers, .nopreempt = go_get_nopreempt_(g)};
  go_os_cxx_state_ exceptions = {NULL, 0};
  if (m->cxx != NULL) {
    exceptions = *m->cxx;
  }
  t.guarded = go_ld_acq(&go_cxx_registered_) != NULL;
  call k = {fn, arg, &t};
  g->tries = &t;
  bool left = go_arch_call_(&t.mark, t.guarded ? call_in_try : fn, t.guarded ? &k : arg) != 0;
  if (!left && !t.thrown) {
    g->tries = t.up;
    return 0;
  }
  if (left && m->cxx != NULL) { /* those that the frames left behind were handling are lost */
    *go_enter_()->cxx = exceptions;
  }
  if (ret_info != NULL) {
    *ret_info = t.info;
  }
  return end_try(g, &t);
}

__attribute__((noinline)) void go_exit(void) {
  go_g_ *g = go_enter_()->cur;
  if (go_is_plain_thread_(g)) {
    go_fatal_("go_exit on a plain thread");
  }
  g->flags |= GO_G_DYING_;
  g->tries = NULL; /* nothing stops it any more, a panic of a deferred call neither */
  g->panics = NULL;
  throw_it(g, NULL, __builtin_frame_address(0));
  run_defers(g, NULL);
  go_end_(go_m_get_());
}
