/* preempt/none/none.c: no way to interrupt a thread: Ps are taken away, goroutines are never stopped. */
#include <golib/base.h>

#include "core/preempt.h"

int go_preempt_init_(int sig) {
  (void)sig;
  return GO_ENOSYS;
}

int go_preempt_watch_(int sig) {
  (void)sig;
  return GO_ENOSYS;
}

void go_preempt_fini_(void) {}

void go_preempt_enter_(go_preempt_thread_ *t, bool ready) {
  (void)ready;
  t->id = 0;
}

void go_preempt_leave_(go_preempt_thread_ *t) { (void)t; }

int go_preempt_ask_(go_preempt_thread_ *t) {
  (void)t;
  return GO_ENOSYS;
}

int go_preempt_look_(go_preempt_thread_ *t) {
  (void)t;
  return GO_ENOSYS;
}
