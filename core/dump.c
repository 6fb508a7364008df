/* core/dump.c: what a program can say about its goroutines when it is stuck, or about to die.
 *
 * A dump takes no lock and stops nobody. What it reads of a goroutine may change meanwhile: each line is
 * of one life (go_see_), and a backtrace is dropped when the wait that it was taken in is over. Reading a
 * stack is safe at any time, as stacks stay mapped and only what lies above a stack pointer of theirs is read.
 *
 * Stacks that were printed shortly before are referred to, so that a thousand goroutines of one kind are
 * a thousand lines and not ten thousand.
 */
#include <golib/debug.h>
#include <golib/go.h>
#include <golib/test.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/leaks.h"
#include "core/look.h"
#include "core/out.h"
#include "core/sched.h"
#include "core/stack.h"

#define PCS GO_LOOK_PCS_
#define STACKS 32

/* Debugger scripts know it by this name: tools/gdb. */
static const char *const go_wait_texts_[] = {
#define TEXT(name, text) text,
    GO_WAIT_REASONS_(TEXT)
#undef TEXT
};

const char *go_state_text_(uint8_t state, uint8_t reason, bool foreign) {
  switch (state) {
    case GO_G_FRESH_:
    case GO_G_TIMED_FRESH_: return "not started";
    case GO_G_RUNNABLE_:
    case GO_G_TIMED_: return "runnable";
    case GO_G_RUNNING_: return foreign ? "blocking call" : "running";
    case GO_G_WAITING_:
      return go_wait_texts_[reason < sizeof go_wait_texts_ / sizeof *go_wait_texts_ ? reason : 0];
    default: return "dead";
  }
}

typedef struct dumping {
  go_out_ o;
  int64_t now;
  const go_m_ *m;      /* the calling thread's, or NULL */
  const void *context; /* of the signal that asks, or NULL */
  const go_leaks_ *leaks;
  bool skip_self;
  int listed;
  uint32_t nstacks;
  struct {
    uint64_t hash, id;
  } stacks[STACKS]; /* printed last */
} dumping;

/* ---- backtraces ---- */

static int of_self(const dumping *d, const char *low, const char *high, void **pcs) {
  if (d->context == NULL) {
    return go_arch_backtrace_(NULL, low, high, pcs, PCS);
  }
  void *sp, *fp;
  go_os_fault_regs_(d->context, &pcs[0], &sp, &fp);
  if ((const char *)sp < low || (const char *)sp >= high) {
    return 0; /* interrupted on another stack */
  }
  pcs[0] = (char *)pcs[0] + 1; /* no return address, which lies behind the call */
  return 1 + go_arch_backtrace_fp_(fp, low, high, pcs + 1, PCS - 1);
}

/* Return addresses of g, as it was seen; 0: it runs, or has run meanwhile. */
static int trace(const dumping *d, const go_g_ *g, const go_seen_ *s, void **pcs) {
  if (s->stack_top == NULL) {
    return 0;
  }
  const char *low = go_stack_low_(s->stack_class, s->stack_top);
  const char *high = go_stack_high_(s->stack_class, s->stack_top);
  if (d->m != NULL && g == d->m->cur) {
    return of_self(d, low, high, pcs);
  }
  const char *sp = s->sp;
  if (sp < low || sp >= high) {
    return 0;
  }
  if (s->foreign) { /* where it went in: that part of its stack stays as it is until it comes back */
    pcs[0] = (void *)(uintptr_t)s->entry_pc;
    int n = 1 + go_arch_backtrace_fp_(sp, sp, high, pcs + 1, PCS - 1);
    go_seen_ now;
    return go_see_(g, &now) && now.id == s->id && now.foreign && now.sp == sp ? n : 0;
  }
  if (s->on_cpu || s->state != GO_G_WAITING_) {
    return 0;
  }
  int n = go_arch_backtrace_(&(const go_arch_ctx_){(void *)(uintptr_t)sp}, sp, high, pcs, PCS);
  return go_still_waits_(g, s) ? n : 0;
}

static uint64_t hash_of(void *const *pcs, int n) {
  uint64_t h = (uint64_t)n;
  for (int i = 0; i < n; i++) {
    h = (h ^ (uint64_t)(uintptr_t)pcs[i]) * 11400714819323198485u;
    h ^= h >> 29;
  }
  return h;
}

static void put_trace(dumping *d, uint64_t id, void *const *pcs, int n) {
  uint64_t hash = hash_of(pcs, n);
  for (uint32_t i = 0; i < STACKS && i < d->nstacks; i++) {
    if (d->stacks[i].hash == hash) {
      go_out_str_(&d->o, "  same stack as goroutine ");
      go_out_u64_(&d->o, d->stacks[i].id);
      go_out_str_(&d->o, "\n");
      go_out_flush_(&d->o);
      return;
    }
  }
  d->stacks[d->nstacks % STACKS].hash = hash;
  d->stacks[d->nstacks++ % STACKS].id = id;
  go_os_symbols_(d->o.fd, pcs, n);
}

/* ---- the list ---- */

/* For how long it has waited, in ns; -1: it does not, or nobody knows. */
static int64_t waits(const dumping *d, const go_seen_ *s) {
  bool blocked = s->state == GO_G_WAITING_ || s->foreign;
  return !blocked || s->since <= 0 ? -1 : d->now > s->since ? d->now - s->since : 0;
}

static void put_state(dumping *d, const go_g_ *g, const go_seen_ *s) {
  int64_t ns = waits(d, s);
  go_out_str_(&d->o, " [");
  go_out_str_(&d->o, go_state_text_(s->state, s->reason, s->foreign));
  if (ns >= GO_MS) {
    go_out_str_(&d->o, ", ");
    go_out_ns_(&d->o, ns);
  }
  if (s->locked) {
    go_out_str_(&d->o, ", locked to thread");
  }
  if (go_leaks_has_(d->leaks, g, s->id)) {
    go_out_str_(&d->o, go_leaks_certain_(d->leaks) ? ", leaked" : ", leaked?");
  }
  go_out_str_(&d->o, "]\n");
}

static void dump_one(go_g_ *g, void *arg) {
  dumping *d = arg;
  go_seen_ seen;
  void *pcs[PCS];
  if ((d->skip_self && d->m != NULL && d->m->cur == g) || !go_see_(g, &seen)) {
    return;
  }
  d->listed++;
  int n = trace(d, g, &seen, pcs);
  go_out_seen_(&d->o, &seen);
  put_state(d, g, &seen);
  go_out_flush_(&d->o);
  if (n > 0) {
    put_trace(d, seen.id, pcs, n);
  }
}

static void begin(dumping *d, int fd, const void *context) {
  go_out_init_(&d->o, fd);
  d->now = go_os_now_();
  d->m = go_m_get_();
  d->context = context;
  d->leaks = NULL;
  d->skip_self = false;
  d->listed = 0;
  d->nstacks = 0;
}

void go_dump_all_(int fd) {
  dumping d;
  begin(&d, fd, NULL);
  go_each_g_(dump_one, &d);
}

static void dump_with_leaks(int fd, const void *context) {
  dumping d;
  begin(&d, fd, context);
  go_leaks_ *leaks = go_forked_() ? NULL : go_leaks_find_();
  d.leaks = leaks;
  go_each_g_(dump_one, &d);
  go_leaks_free_(leaks);
}

/* ---- the same for others to write ---- */

typedef struct looking {
  dumping d;
  go_look_ *look;
  void (*f)(void *arg, const go_look_ *look);
  void *arg;
} looking;

static void look_at(go_g_ *g, void *arg) {
  looking *l = arg;
  go_look_ *k = l->look;
  if (!go_see_(g, &k->seen)) {
    return;
  }
  const go_seen_ *s = &k->seen;
  k->state = go_state_text_(s->state, s->reason, s->foreign);
  k->waits = waits(&l->d, s);
  k->leaked = go_leaks_has_(l->d.leaks, g, s->id);
  k->npcs = trace(&l->d, g, s, k->pcs);
  l->f(l->arg, k);
}

void go_look_all_(bool leaks, go_look_ *look, void (*f)(void *arg, const go_look_ *look),
                  void *arg) {
  looking l = {.look = look, .f = f, .arg = arg};
  l.d.now = go_os_now_();
  l.d.m = go_m_get_();
  go_leaks_ *found = leaks && !go_forked_() ? go_leaks_find_() : NULL;
  l.d.leaks = found;
  go_each_g_(look_at, &l);
  go_leaks_free_(found);
}

void go_dump(int fd) { dump_with_leaks(fd, NULL); }

void go_dump_on_signal_(void *context) {
  go_os_write_(2, "golib: goroutines:\n", 19);
  dump_with_leaks(2, context);
}

/* ---- what is left at the end of a test ---- */

typedef struct left {
  const go_g_ *self;
  int n;
  bool moving; /* some may be about to end */
} left;

static void count_left(go_g_ *g, void *arg) {
  left *l = arg;
  go_seen_ seen;
  if (g != l->self && go_see_(g, &seen)) {
    l->n++;
    l->moving = l->moving || seen.state != GO_G_WAITING_ || seen.on_cpu;
  }
}

static left look(void) {
  const go_m_ *m = go_m_get_();
  left l = {m != NULL ? m->cur : NULL, 0, false};
  go_each_g_(count_left, &l);
  return l;
}

#define ENDING_MAX GO_SEC

int go_test_leaks(int fd) {
  if (go_forked_()) {
    return GO_EFORKED;
  }
  if (go_ld_acq(&GO_S->running) == 0) {
    return 0;
  }
  left l = look();
  for (int64_t until = go_os_now_() + ENDING_MAX; l.moving && go_os_now_() < until; l = look()) {
    (void)go_sleep(NULL, 100 * GO_US);
  }
  if (fd < 0 || l.n == 0) {
    return l.n;
  }
  dumping d;
  begin(&d, fd, NULL);
  d.skip_self = true;
  go_out_str_(&d.o, "golib: goroutines that are still alive:\n");
  go_out_flush_(&d.o);
  go_leaks_ *leaks = go_leaks_find_();
  d.leaks = leaks;
  go_each_g_(dump_one, &d);
  go_leaks_free_(leaks);
  return d.listed;
}

/* ---- the end ---- */

void go_fatal_(const char *fmt, ...) {
  char text[512];
  go_out_ o;
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  go_out_init_(&o, 2);
  go_out_str_(&o, "golib: fatal: ");
  go_out_str_(&o, text);
  go_m_ *m = go_m_get_();
  if (m != NULL && m->cur != NULL && !go_is_plain_thread_(m->cur)) {
    go_out_str_(&o, "\n  in ");
    go_out_goroutine_(&o, m->cur);
  }
  go_out_str_(&o, "\n");
  go_out_flush_(&o);
  if (!go_forked_()) { /* there they are a picture of the parent's */
    go_dump_all_(2);
  }
  go_os_abort_();
}

/* Several threads may find out at the same time: the first reports and ends the process, others wait for that. */
static go_a32 reported;

void go_deadlock_(void) {
  go_out_ o;
  while (go_xchg_ar(&reported, 1u) != 0) {
    (void)go_os_futex_wait_(&reported.v, 1u, -1);
  }
  go_out_init_(&o, 2);
  go_out_str_(&o, go_ld_acq(&GO_S->first_exited) != 0 && go_live_() == 0
                      ? "golib: fatal: no goroutines (main called go_exit) - deadlock!\n"
                      : "golib: fatal: all goroutines are asleep - deadlock!\n");
  go_out_flush_(&o);
  go_dump_all_(2);
  exit(2); /* what was printed before must not be lost in a stdio buffer */
}

/* ---- faults, on the alternate signal stack ---- */

static _Noreturn void overflow(go_g_ *g, void *context) {
  void *pcs[64];
  go_out_ o;
  go_out_init_(&o, 2);
  go_out_str_(&o, "golib: stack overflow: goroutine ");
  go_out_u64_(&o, g->id);
  if (g->name != NULL && g->name[0] != '\0') {
    go_out_str_(&o, " \"");
    go_out_str_(&o, g->name);
    go_out_str_(&o, "\"");
  }
  go_out_str_(&o, " exceeded ");
  go_out_size_(&o, (uint64_t)1 << g->stack_class);
  if (g->site != NULL) {
    go_out_str_(&o, " (");
    go_out_site_(&o, g->site);
    go_out_str_(&o, ")");
  }
  go_out_str_(&o, "\n");
  go_out_flush_(&o);
  void *pc, *sp, *fp;
  go_os_fault_regs_(context, &pc, &sp, &fp);
  pcs[0] = (char *)pc + 1; /* as in of_self: it may be a function's first instruction */
  int n = 1 + go_arch_backtrace_fp_(fp, go_stack_low_(g->stack_class, g->stack_top),
                                    go_stack_high_(g->stack_class, g->stack_top), pcs + 1, 63);
  go_os_symbols_(2, pcs, n);
  go_os_abort_();
}

bool go_on_fault_(void *addr, void *context) {
  go_m_ *m = go_m_get_();
  go_g_ *g = m != NULL ? m->cur : NULL;
  if (g == NULL || g->stack_top == NULL) {
    return false;
  }
  if (go_stack_overflowed_(g, addr)) {
    overflow(g, context);
  }
  return false;
}
