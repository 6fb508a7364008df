/* core/watch.h: what the watchdog says of a goroutine that is in user code for long, with its stack.
 *
 * Such a goroutine runs: only its thread can read its stack. Where core/preempt.h knows a way, the thread is interrupted and does so
 * (go_preempt_saw_), and sysmon prints what it has found at a later look, or that there is no answer. Nothing waits for it meanwhile.
 * One at a time; all of this is sysmon's, but for what core/watch.c says. */
#ifndef GOLIB_CORE_WATCH_H_
#define GOLIB_CORE_WATCH_H_

#include "core/look.h"

/* Forgets all that was before: the scheduler comes up. */
void go_watch_reset_(void);
/* m's goroutine has been in user code for `ran` ns: to be told of, if it is time for another report. */
void go_watch_tell_(go_m_ *m, int64_t ran, int64_t now);
/* At each look: prints the report if its stack has come, or does not come. */
void go_watch_look_(int64_t now);
/* A report waits for its stack. */
bool go_watch_waits_(void);
/* Prints it without: nobody looks any more. */
void go_watch_end_(void);

/* ---- the request alone: what the above is made of; one asker at a time ---- */

/* Has m's thread look at the stack of the goroutine that it runs. 0: go_watch_answered_ will tell, maybe; GO_ENOSYS: it cannot be done;
 * GO_EBUSY: the thread of an earlier request is at it, GO_EAGAIN: this one cannot be asked. */
int go_watch_ask_(go_m_ *m);
/* The innermost first, as go_os_symbols_ takes them. id: the goroutine's; 0: it ran none. NULL: no answer yet. */
typedef struct go_watched_ {
  uint64_t id;
  int n;
  void *pcs[GO_LOOK_PCS_];
} go_watched_;
const go_watched_ *go_watch_answered_(void);
/* There will be no answer, unless it is being written: that one is nobody's. */
void go_watch_withdraw_(go_m_ *m);

#endif /* GOLIB_CORE_WATCH_H_ */
