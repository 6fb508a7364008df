/* tests/models/tm_home_model_test.cc: which lock protects a timer (core/tm_home.h).
 *
 * Heaps here are a lock and a number of timers; a timer is what its lock protects, and a word that its
 * owner writes whenever the timer must be his: after a stop that says so, after firing, after an arming
 * that fired. Relacy reports a race if somebody still touches it.
 */
#include "tests/models/model.h"

static int planted;
#define GO_TM_BUG_ planted
#include "core/atomic.h"
#include "core/lock.h"

namespace {

enum bugs {
  NO_LOOK = 1,    /* core/tm_home.h: the home is not looked at again under its lock */
  NO_RELEASE = 2, /* core/tm_home.h: a new home is stored without release */
  TOO_SOON = 3,   /* core/tm_home.h: homeless before it is taken out */
  MOVE_ONE = 4,   /* a heap is moved without the lock that its timers have then */
};

struct go_tm_ {
  go_aptr heap;
  GO_VAR(uint32_t) at;
  GO_VAR(int64_t) when;
  GO_VAR(int) what;
  GO_VAR(int) owned; /* written by whoever may free it */
};

struct go_tm_heap_ {
  go_a32 lock;
  GO_VAR(go_tm_ *) in; /* one timer is enough */
};

enum go_tm_armed_ { GO_TM_WAS_IDLE_, GO_TM_WAS_ARMED_, GO_TM_MISUSE_ };

go_tm_heap_ *never_heap; /* the model's: static state would outlive a run */
#define go_tm_never_ (*never_heap)

inline void touch(go_tm_ *tm) { assert(go_get(tm->owned) == 0); }

inline bool go_tm_put_(go_tm_heap_ *h, go_tm_ *tm, int64_t when) {
  touch(tm);
  assert(go_get(h->in) == NULL);
  go_set(h->in, tm);
  go_set(tm->at, 1u);
  go_set(tm->when, when);
  return true;
}
inline bool go_tm_shift_(go_tm_heap_ *h, go_tm_ *tm, int64_t when) {
  touch(tm);
  assert(go_get(h->in) == tm);
  go_set(tm->when, when);
  return false;
}
inline void go_tm_take_(go_tm_heap_ *h, go_tm_ *tm) {
  touch(tm);
  assert(go_get(h->in) == tm);
  go_set(h->in, (go_tm_ *)NULL);
  go_set(tm->at, 0u);
}
inline bool go_tm_fill_(go_tm_ *tm, const void *what) {
  touch(tm);
  if (what != NULL) {
    go_set(tm->what, 1);
  }
  return go_get(tm->what) != 0;
}

#include "core/tm_home.h"

using model::bound;
using model::finds;
using model::holds;
using model::random;

struct world {
  go_tm_heap_ h[2], never;
  go_tm_ tm;
  rl::atomic<int> armed, ended, fired;

  void init() {
    never_heap = &never;
    for (go_tm_heap_ *x : {&h[0], &h[1], &never}) {
      go_st_rlx(&x->lock, 0u);
      go_set(x->in, (go_tm_ *)NULL);
    }
    go_st_rlx(&tm.heap, (void *)NULL);
    go_set(tm.at, 0u);
    go_set(tm.when, (int64_t)0);
    go_set(tm.what, 1);
    go_set(tm.owned, 0);
    for (rl::atomic<int> *x : {&armed, &ended, &fired}) {
      x->store(0, rl::mo_relaxed, $);
    }
  }
  void own() { go_set(tm.owned, 1); }

  enum go_tm_armed_ arm(int heap, int64_t when, bool idle_only) {
    bool first;
    go_tm_order_ o = {&h[heap], when, idle_only ? (const void *)this : NULL, idle_only};
    enum go_tm_armed_ r = go_tm_home_arm_(&tm, &o, &first);
    if (r != GO_TM_MISUSE_) {
      armed.fetch_add(1, rl::mo_relaxed, $);
    }
    if (r == GO_TM_WAS_ARMED_ && !idle_only) {
      ended.fetch_add(1, rl::mo_relaxed, $);
    }
    return r;
  }
  bool stop() {
    bool was = go_tm_home_stop_(&tm);
    if (was) {
      ended.fetch_add(1, rl::mo_relaxed, $);
    }
    return was;
  }
  /* core/timer.c, fire_call. Returns whether it fired. */
  bool fire(int heap) {
    go_lock_(&h[heap].lock);
    go_tm_ *t = go_get(h[heap].in);
    if (t != NULL) {
      touch(t);
      go_tm_home_leave_(&h[heap], t);
    }
    go_unlock_(&h[heap].lock);
    if (t != NULL) {
      fired.fetch_add(1, rl::mo_relaxed, $);
    }
    return t != NULL;
  }
  /* core/timer.c, go_tm_move_. */
  void move(int from, int to) {
    go_tm_heap_ *a = &h[from], *b = &h[to];
    go_lock_(&a->lock);
    if (planted != MOVE_ONE) {
      go_lock_(&b->lock);
    }
    go_tm_ *t = go_get(a->in);
    if (t != NULL) {
      touch(t);
      go_st_rel(&t->heap, (void *)b);
      go_set(b->in, t);
      go_set(t->at, 1u);
      go_set(a->in, (go_tm_ *)NULL);
    }
    if (planted != MOVE_ONE) {
      go_unlock_(&b->lock);
    }
    go_unlock_(&a->lock);
  }
  /* Everybody has gone: what is left in heaps is armed; and every arming but those has ended once. */
  void settle() {
    bool left = go_get(tm.at) != 0;
    int in = (go_get(h[0].in) != NULL) + (go_get(h[1].in) != NULL);
    assert(in == (left && go_get(tm.at) != GO_TM_NEVER_AT_));
    assert((go_ld_rlx(&tm.heap) != NULL) == left);
    assert(armed.load(rl::mo_relaxed, $) ==
           ended.load(rl::mo_relaxed, $) + fired.load(rl::mo_relaxed, $) + left);
  }
};

/* Two arm the idle timer in heaps of their own; a third stops it. */
struct two_arm : rl::test_suite<two_arm, 3> {
  world w;
  void before() { w.init(); }
  void after() { w.settle(); }
  void thread(unsigned i) {
    if (i == 2) {
      (void)w.stop();
    } else {
      (void)w.arm((int)i, 5 + (int)i, false);
    }
  }
};

/* Two start it: one of them learns that this is misuse. */
struct two_start : rl::test_suite<two_start, 2> {
  world w;
  rl::atomic<int> ok;
  void before() {
    w.init();
    go_set(w.tm.what, 0);
    ok.store(0, rl::mo_relaxed, $);
  }
  void after() {
    w.settle();
    assert(ok.load(rl::mo_relaxed, $) == 1);
  }
  void thread(unsigned i) {
    if (w.arm((int)i, i == 0 ? 5 : INT64_MAX, true) != GO_TM_MISUSE_) {
      ok.fetch_add(1, rl::mo_relaxed, $);
    }
  }
};

/* An armed one is reset, fires, and is stopped. Nobody sees it idle but after one of the latter. */
struct reset_fire_stop : rl::test_suite<reset_fire_stop, 3> {
  world w;
  void before() {
    w.init();
    (void)w.arm(0, 5, true);
  }
  void after() { w.settle(); }
  void thread(unsigned i) {
    switch (i) {
      case 0: (void)w.arm(1, 7, false); break;
      case 1:
        (void)w.fire(0);
        (void)w.fire(1);
        break;
      default: (void)w.stop();
    }
  }
};

/* To and from "never" while others reset and stop: a reset of an armed timer with one stop: the stop
 * always finds it armed. */
struct through_never : rl::test_suite<through_never, 3> {
  world w;
  void before() {
    w.init();
    (void)w.arm(0, INT64_MAX, true);
  }
  void after() { w.settle(); }
  void thread(unsigned i) {
    switch (i) {
      case 0: (void)w.arm(0, 5, false); break;
      case 1:
        (void)w.arm(1, INT64_MAX, false);
        (void)w.arm(1, 9, false);
        break;
      default: assert(w.stop()); /* resets do not make it idle */
    }
  }
};

/* A heap is moved while its timer is reset and stopped. */
struct moved : rl::test_suite<moved, 3> {
  world w;
  void before() {
    w.init();
    (void)w.arm(0, 5, true);
  }
  void after() { w.settle(); }
  void thread(unsigned i) {
    switch (i) {
      case 0: w.move(0, 1); break;
      case 1: (void)w.arm(1, 7, false); break;
      default: (void)w.fire(1);
    }
  }
};
struct moved_reset : rl::test_suite<moved_reset, 2> {
  world w;
  void before() {
    w.init();
    (void)w.arm(0, 5, true);
  }
  void after() { w.settle(); }
  void thread(unsigned i) {
    if (i == 0) {
      w.move(0, 1);
    } else {
      assert(w.arm(1, 7, false) == GO_TM_WAS_ARMED_);
    }
  }
};

/* Moved and stopped: the owner has it then. */
struct moved_stopped : rl::test_suite<moved_stopped, 2> {
  world w;
  void before() {
    w.init();
    (void)w.arm(0, 5, true);
  }
  void after() { w.settle(); }
  void thread(unsigned i) {
    if (i == 0) {
      w.move(0, 1);
    } else {
      assert(w.stop());
      w.own();
    }
  }
};

/* Its memory: who fires it hands it over (the function frees it), even before the call that armed it returns; or the
 * owner stops it, and has it again whatever the stop says. */
struct owner_stops : rl::test_suite<owner_stops, 2> {
  world w;
  void before() {
    w.init();
    (void)w.arm(0, 5, true);
  }
  void after() { w.settle(); }
  void thread(unsigned i) {
    if (i == 0) {
      (void)w.fire(0);
    } else {
      (void)w.stop();
      w.own();
    }
  }
};
struct frees_itself : rl::test_suite<frees_itself, 2> {
  world w;
  void before() { w.init(); }
  void after() { w.settle(); }
  void thread(unsigned i) {
    if (i == 0) {
      (void)w.arm(0, 5, true);
    } else if (w.fire(0)) {
      w.own();
    }
  }
};

} /* namespace */

int main() {
  holds<two_arm>("two arm an idle one", bound(3));
  holds<two_arm>("two arm an idle one", random(100000));
  holds<two_start>("two start it", random(50000));
  holds<reset_fire_stop>("reset, fire, stop", bound(3));
  holds<reset_fire_stop>("reset, fire, stop", random(100000));
  holds<through_never>("through never", bound(3));
  holds<through_never>("through never", random(100000));
  holds<moved>("moved, reset, fired", random(100000));
  holds<moved_reset>("moved, reset", bound(3));
  holds<moved_stopped>("moved, stopped", bound(3));
  holds<owner_stops>("the owner stops it", random(50000));
  holds<frees_itself>("it frees itself", random(50000));
  finds<moved_stopped>(planted, NO_LOOK, "the old home's lock protects nothing", random(100000));
  finds<through_never>(planted, NO_RELEASE, "a new home comes before its state", random(100000));
  finds<owner_stops>(planted, TOO_SOON, "touched after it is homeless", random(100000));
  finds<moved>(planted, MOVE_ONE, "moved without the new home's lock", random(100000));
  return model::finish();
}
