/* core/utimer.c: go_timer. Who may touch it, and when: core/tm_home.h. Go: time.AfterFunc, time.Timer.
 *
 * Departures: the timer is in the caller's memory. A timer that fires has its goroutine before it counts
 * as fired (core/timer.c, fire_spawn), so firing does not fail.
 */
#include <golib/defer.h>
#include <golib/time.h>

#include "core/timer.h"

#undef go_timer_start

_Static_assert(sizeof(go_timer) == 80, "part of the ABI");
_Static_assert(sizeof(go_utimer_) == 80, "the same memory");
_Static_assert(_Alignof(go_utimer_) <= _Alignof(go_timer), "the same memory");

static go_tm_ *tm_of(go_timer *t) { return (go_tm_ *)(void *)t; }

go_m_ *go_tm_enter_(int *ret_err) {
  go_m_ *m = go_enter_();
  if (GO_UNLIKELY_(m->p == NULL)) { /* a plain thread: is anybody there? */
    int r = go_start_();
    if (r != 0) {
      *ret_err = r;
      return NULL;
    }
  }
  return m;
}

int go_timer_start_site_(const char *site, go_timer *t, go_nsec d, void (*fn)(void *), void *arg) {
  if (GO_UNLIKELY_(t == NULL)) {
    go_panic("go_timer_start of a NULL timer");
  }
  if (GO_UNLIKELY_(fn == NULL)) {
    go_fatal_("go_timer_start of a NULL function");
  }
  int err;
  go_m_ *m = go_tm_enter_(&err);
  if (GO_UNLIKELY_(m == NULL)) {
    return err;
  }
  go_timer_what_ what = {fn, arg, site};
  if (GO_UNLIKELY_(go_tm_arm_(m, tm_of(t), go_tm_when_(d), &what, true) == GO_TM_MISUSE_)) {
    go_panic("go_timer_start of an active timer");
  }
  return 0;
}

int go_timer_start(go_timer *t, go_nsec d, void (*fn)(void *), void *arg) {
  return go_timer_start_site_(NULL, t, d, fn, arg);
}

bool go_timer_stop(go_timer *t) {
  if (GO_UNLIKELY_(t == NULL)) {
    go_panic("go_timer_stop of a NULL timer");
  }
  return go_tm_del_(tm_of(t));
}

bool go_timer_reset(go_timer *t, go_nsec d) {
  if (GO_UNLIKELY_(t == NULL)) {
    go_panic("go_timer_reset of a NULL timer");
  }
  int err;
  go_m_ *m = go_tm_enter_(&err);
  if (GO_UNLIKELY_(m == NULL)) {
    go_fatal_("go_timer_reset: the scheduler cannot be started: %s", go_strerror(err));
  }
  enum go_tm_armed_ r = go_tm_arm_(m, tm_of(t), go_tm_when_(d), NULL, false);
  if (GO_UNLIKELY_(r == GO_TM_MISUSE_)) {
    go_panic("go_timer_reset of a timer that was never started");
  }
  return r == GO_TM_WAS_ARMED_;
}
