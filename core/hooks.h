/* core/hooks.h: where the scheduler calls what go_set_hooks has set. */
#ifndef GOLIB_CORE_HOOKS_H_
#define GOLIB_CORE_HOOKS_H_

#include <golib/debug.h>

#include "core/sched.h"

extern go_aptr go_hooks_set_; /* const go_hooks *, or NULL */

static inline const go_hooks *go_hooks_(void) {
  return (const go_hooks *)go_ld_acq(&go_hooks_set_); /* pairs with go_set_hooks */
}

/* On g0: m->cur is about to run. It comes back here and nowhere else: no direct switch in between. */
void go_hook_in_(go_m_ *m, const go_hooks *h);
/* On g0: m's goroutine has come back, and is not off its stack officially: m->prev or m->dead is it. */
void go_hook_out_(go_m_ *m);
/* g is about to be queued for the first time. */
void go_hook_spawn_(go_m_ *m, go_g_ *g);

#endif /* GOLIB_CORE_HOOKS_H_ */
