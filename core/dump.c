/* core/dump.c: what a program can say about its goroutines when it is stuck, or about to die. */
#include <golib/debug.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/out.h"
#include "core/sched.h"
#include "core/stack.h"

static const char *const reasons[] = {
#define TEXT(name, text) text,
    GO_WAIT_REASONS_(TEXT)
#undef TEXT
};

static const char *state_text(const go_seen_ *seen) {
  switch (seen->state) {
    case GO_G_FRESH_: return "not started";
    case GO_G_RUNNABLE_: return "runnable";
    case GO_G_RUNNING_: return seen->foreign ? "blocking call" : "running";
    case GO_G_WAITING_:
      return reasons[seen->reason < sizeof reasons / sizeof *reasons ? seen->reason : 0];
    default: return "dead";
  }
}

static void dump_one(go_g_ *g, void *arg) {
  go_out_ *o = arg;
  go_seen_ seen;
  if (!go_see_(g, &seen)) {
    return;
  }
  go_out_seen_(o, &seen);
  go_out_str_(o, " [");
  go_out_str_(o, state_text(&seen));
  go_out_str_(o, seen.locked ? ", locked to thread]\n" : "]\n");
  go_out_flush_(o);
}

void go_dump_all_(int fd) {
  go_out_ o;
  go_out_init_(&o, fd);
  go_each_g_(dump_one, &o);
}

void go_dump(int fd) { go_dump_all_(fd); }

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
  pcs[0] = pc;
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
