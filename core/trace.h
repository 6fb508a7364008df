/* core/trace.h: where the scheduler tells a trace what happens; golib/debug.h for users. */
#ifndef GOLIB_CORE_TRACE_H_
#define GOLIB_CORE_TRACE_H_

#include "core/g.h"

/* 1: a trace is being written. While it is, Ps have GO_WATCH_TRACE_, and goroutines switch by way of g0 only. */
extern go_a32 go_trace_on_;
static inline bool go_tracing_(void) { return GO_UNLIKELY_(go_ld_rlx(&go_trace_on_) != 0); }

/* m, with a P, is about to run m->cur, or goes on with it. */
void go_trace_in_(go_m_ *m);
/* The same after its P was taken away while it ran on. */
void go_trace_again_(go_m_ *m);
/* p was taken away from whoever ran on it, and is the caller's. */
void go_trace_retake_(go_p_ *p);
/* m->traced is set: its goroutine has left the P. On g0, before it is off its stack officially; */
void go_trace_out_(go_m_ *m);
/* or on its own stack, into foreign code. */
void go_trace_out_foreign_(go_m_ *m);
/* g becomes runnable for the first time, or again, by m (NULL: nobody known). Timed already. */
void go_trace_ready_(go_m_ *m, const go_g_ *g);
/* p has taken n goroutines from another. */
void go_trace_steal_(go_m_ *m, const go_p_ *from, uint32_t n);
/* The scheduler stops: ends a trace. */
void go_trace_fini_(void);

#endif /* GOLIB_CORE_TRACE_H_ */
