/* core/preempt.h: what core asks of a way to interrupt a running thread: to have it run another goroutine, or to see where it is.
 *
 * Defined by exactly one of preempt/signal, preempt/suspend and preempt/none. core/sysmon.c asks for a
 * switch where it would else take the P away; the backend stops the thread, finds out whether it is in the program's own
 * code and may be stopped there (go_preempt_may_), and has the goroutine call go_preempt_switch_ on its own stack, with all of
 * its registers kept aside. When that returns, maybe on another thread, the goroutine goes on where it was.
 * Whatever does not go smoothly is refused, and the P is taken away as always.
 *
 * The watchdog (core/watch.c) only wants to see the stack of a goroutine that runs. That can be done wherever it is, and in
 * programs in which nothing may be stopped; and it is made ready only where there is a watchdog.
 *
 * The thread looks itself (a signal's handler on it), or sysmon does while the system has it suspended. It is the same to
 * core: nothing of the thread's changes meanwhile. It may hold any lock then, so whoever looks takes none.
 */
#ifndef GOLIB_CORE_PREEMPT_H_
#define GOLIB_CORE_PREEMPT_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/atomic.h"

/* What has become of a request. ASKED is stored by sysmon; DONE, REFUSED by who has looked at the thread. */
enum go_preempt_state_ { GO_PREEMPT_DONE_, GO_PREEMPT_ASKED_, GO_PREEMPT_REFUSED_ };

/* A thread that runs goroutines, as the backend sees it. Part of an M; owner: the thread, unless said otherwise. */
typedef struct go_preempt_thread_ {
  uintptr_t
      id; /* the system's name for it; 0: cannot be asked. Read by sysmon, under sched.lock or while asking */
  go_a32 state;    /* enum go_preempt_state_ */
  go_a32 asking;   /* 1: sysmon is about it, and the thread does not leave. Set under sched.lock */
  uint64_t own[8]; /* the backend's */
} go_preempt_thread_;

/* ---- defined by the backend ---- */

/* Makes ready, once while the scheduler is up; sig: the signal to use, 0: its own choice. 0; GO_ENOSYS: cannot be done in
 * this program, on this system, in this kind of build; GO_EINVAL: no signal that can be used. */
int go_preempt_init_(int sig);
/* The same for go_preempt_look_ alone; either may be called first, with the same sig. GO_ENOSYS: cannot be done on this system: nothing
 * is looked at then, and the watchdog says that it cannot see the stack (preempt/none). GO_EINVAL as above. */
int go_preempt_watch_(int sig);
/* Undoes both; no thread runs goroutines any more. */
void go_preempt_fini_(void);
/* On the thread, before it runs goroutines: fills *t in. If ready, it sees to it that the thread can be interrupted;
 * if not, the thread is left as it is, and can be asked later as far as it can be interrupted. */
void go_preempt_enter_(go_preempt_thread_ *t, bool ready);
/* On the thread, when it has stopped to run goroutines, and t->id is 0: as it was. */
void go_preempt_leave_(go_preempt_thread_ *t);
/* Interrupts a thread, which does not leave before this returns (t->asking). The caller, sysmon, holds no lock: the system
 * may take its time. 0, and t->state tells what has come of it, or will; or a negative code: nothing. */
int go_preempt_ask_(go_preempt_thread_ *t);
/* The caller holds sched.lock, so that the thread does not leave. To have go_preempt_saw_ called, by this thread or by that: 0 does not promise that it will be. The thread goes on where
 * it was, but that a call which blocks may be interrupted, as by any signal with SA_RESTART. */
int go_preempt_look_(go_preempt_thread_ *t);

/* ---- defined by core (core/switch.c), async-signal-safe, without locks ---- */

/* The calling thread's, if it runs goroutines; else NULL. */
go_preempt_thread_ *go_preempt_mine_(void);
/* The thread, the caller or a suspended one, was interrupted in the program's own code, with this stack pointer: whether it
 * runs a goroutine, on that goroutine's stack, with `room` bytes left below, that may be stopped now. */
bool go_preempt_may_(const go_preempt_thread_ *t, const void *sp, size_t room);
/* By the thread, on the goroutine's stack, after go_preempt_may_ of the same interruption. Others run; returns on the thread that the
 * goroutine resumes on. */
void go_preempt_switch_(void);
/* (core/watch.c) The thread stands still, or is the caller, interrupted there; fp: for go_arch_backtrace_fp_. */
void go_preempt_saw_(go_preempt_thread_ *t, const void *pc, const void *sp, const void *fp);

#endif /* GOLIB_CORE_PREEMPT_H_ */
