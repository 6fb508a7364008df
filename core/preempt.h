/* core/preempt.h: what core asks of a way to interrupt a running thread.
 *
 * To be defined by one of preempt/signal and preempt/suspend when asynchronous switching is written; core does not
 * call it yet. Stated here because the state that it needs is laid out already: see go_m_.
 */
#ifndef GOLIB_CORE_PREEMPT_H_
#define GOLIB_CORE_PREEMPT_H_

#include <stdint.h>

/* Interrupts the thread and calls go_preempt_point_(context) on the stack that it is running on. From
 * sysmon only. Returns 0 or a negative code when the thread is gone. */
int go_preempt_thread_(uintptr_t thread);

#endif /* GOLIB_CORE_PREEMPT_H_ */
