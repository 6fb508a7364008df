/* tests/models/ctx_model_test.cc: context/context.c and context/deadline.c themselves: references, holds of a
 * timer, leaving, and several who cancel one tree. Contexts are allocated by the model, which finds out who
 * touches one that is freed, and whether all are.
 */
#include "tests/models/futex.h"

static int planted;
#define GO_CTX_BUG_ planted

/* In place of golib/context.h, golib/time.h, golib/defer.h, core/sched.h, core/chan.h and core/timer.h. */
#define GOLIB_CONTEXT_H_
#define GOLIB_TIME_H_
#define GOLIB_DEFER_H_
#define GOLIB_CORE_SCHED_H_
#define GOLIB_CORE_CHAN_H_
#define GOLIB_CORE_TIMER_H_
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wc++20-extensions"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wunused-function"

#include "core/cancel.h"
#include "core/lock.h"

typedef int64_t go_nsec;
#define GO_FOREVER INT64_MAX
enum { GO_ECANCELED = -1, GO_ETIMEDOUT = -2 };

struct go_g_ {
  go_a32 claim;
  void *claimed_by;
};
typedef struct go_m_ {
  go_g_ *cur;
} go_m_;
typedef struct go_ctx go_ctx;
struct go_chan {
  go_a32 closed;
};
typedef struct go_tm_ {
  int64_t when;
  int kind;
  void (*fn)(go_m_ *, void *, uint32_t);
  void *arg;
} go_tm_;
enum { GO_TM_TOLD_ };

namespace model {
struct world {
  go_m_ m;
  go_g_ g;
  go_a32 tm_lock;
  go_tm_ *heap; /* one timer, under tm_lock: it points at memory that is there */
  rl::atomic<int> live;
  world();
  void init() {
    m.cur = &g;
    go_st_rlx(&tm_lock, 0u);
    heap = NULL;
    live.store(0, rl::mo_relaxed, $);
  }
};
static world *the_world;
inline world::world() { the_world = this; }
} /* namespace model */

static inline go_m_ *go_m_get_() { return &model::the_world->m; }
static inline go_m_ *go_tm_enter_(int *) { return go_m_get_(); }
static inline bool go_forked_() { return false; }
static inline bool go_claim_(go_g_ *, uint32_t) { return false; }
static inline void go_ready_(go_m_ *, go_g_ *) {}
static inline go_nsec go_now() { return 0; }
[[noreturn]] static inline void go_fatal_(const char *) {
  assert(!"fatal");
  __builtin_unreachable();
}
[[noreturn]] static inline void go_panic(const char *text) { go_fatal_(text); }
static inline go_chan *go_chan_new(size_t, size_t) { return NULL; }
static inline void go_chan_unref(go_chan *) {}
static inline void go_chan_close(go_chan *) {}
static bool go_tm_del_(go_tm_ *tm) {
  go_lock_(&model::the_world->tm_lock);
  bool was = model::the_world->heap == tm;
  if (was) {
    model::the_world->heap = NULL;
  }
  go_unlock_(&model::the_world->tm_lock);
  return was;
}
static int go_tm_add_(go_m_ *, go_tm_ *tm) {
  go_lock_(&model::the_world->tm_lock);
  model::the_world->heap = tm;
  go_unlock_(&model::the_world->tm_lock);
  return 0;
}

/* golib/context.h */
static go_ctx *go_ctx_with_cancel(go_ctx *);
static go_ctx *go_ctx_with_deadline(go_ctx *, go_nsec);
static go_ctx *go_ctx_ref(go_ctx *);
static void go_ctx_unref(go_ctx *);
static int go_ctx_err(const go_ctx *);
static go_nsec go_ctx_deadline(const go_ctx *);

/* core/sched.h; nobody waits here: see cancel_model_test.cc */
enum { GO_G_RUNNING_ };
static inline void go_set_state_(go_g_ *, int) {}
static inline go_m_ *go_park_(go_m_ *) { __builtin_unreachable(); }

#include "core/cancel.c"

#include "context/ctx.h"

static go_ctx *get_mem(size_t size) {
  go_ctx_timed_ *t = new go_ctx_timed_; /* the largest, always */
  (void)size;
  go_ctx *c = &t->c;
  go_st_rlx(&c->cancel.lock, 0u);
  go_st_rlx(&c->cancel.err, 0u);
  c->cancel.head = NULL;
  c->cause = 0;
  c->linked = false;
  c->parent = c->values = c->next = c->prev = c->children = NULL;
  c->afters = NULL;
  go_st_rlx(&c->done, (void *)NULL);
  t->tm = go_tm_();
  model::the_world->live.fetch_add(1, rl::mo_relaxed, $);
  return c;
}
static void free_mem(go_ctx *c) {
  model::the_world->live.fetch_sub(1, rl::mo_relaxed, $);
  delete (go_ctx_timed_ *)c;
}

#include "context/context.c"
#include "context/deadline.c"

bool go_ctx_take_afters_(go_ctx *, go_ctx_after_ **, int) { return false; }
void go_ctx_start_afters_(go_ctx_after_ *) {}
void go_ctx_late_dispose_(go_ctx *) {}
void go_ctx_late_poke_(void) {}

namespace {

using model::bound;
using model::finds;
using model::full;
using model::holds;
using model::random;

/* What is in the heap is due. */
void fire() {
  go_lock_(&model::the_world->tm_lock);
  go_tm_ tm = model::the_world->heap != NULL ? *model::the_world->heap : go_tm_();
  model::the_world->heap = NULL;
  go_unlock_(&model::the_world->tm_lock);
  if (tm.fn != NULL) {
    tm.fn(go_m_get_(), tm.arg, 0);
  }
}

struct base {
  model::world w;
  void all_gone() { assert(w.live.load(rl::mo_relaxed, $) == 0); }
};

/* The last reference of a child goes while its parent is cancelled, or goes too. */
struct dropping : rl::test_suite<dropping, 3>, base {
  go_ctx *parent, *child, *other;
  void before() {
    w.init();
    parent = go_ctx_with_cancel(NULL);
    child = go_ctx_with_cancel(parent);
    other = go_ctx_with_cancel(parent);
    (void)go_ctx_ref(parent);
  }
  void thread(unsigned i) {
    if (i == 0) {
      go_ctx_cancel(parent);
      assert(go_ctx_err(other) != 0);
      go_ctx_unref(parent);
      go_ctx_unref(other);
    } else {
      go_ctx_unref(i == 1 ? child : parent);
    }
  }
  void after() { all_gone(); }
};

/* The same, alone. */
struct grabbing : rl::test_suite<grabbing, 2>, base {
  go_ctx *parent, *child;
  void before() {
    w.init();
    parent = go_ctx_with_cancel(NULL);
    child = go_ctx_with_cancel(parent);
  }
  void thread(unsigned i) {
    if (i == 0) {
      go_ctx_cancel(parent);
    } else {
      go_ctx_unref(child);
    }
  }
  void after() {
    go_ctx_unref(parent);
    all_gone();
  }
};

/* Several cancel parts of one tree: whoever is back finds all that is below done, with its parent's cause. */
struct walking : rl::test_suite<walking, 3>, base {
  go_ctx *c[4]; /* 0 - 1 - 2, and 3 below 1 */
  void before() {
    w.init();
    c[0] = go_ctx_with_cancel(NULL);
    c[1] = go_ctx_with_cancel(c[0]);
    c[2] = go_ctx_with_cancel(c[1]);
    c[3] = go_ctx_with_cancel(c[1]);
  }
  void thread(unsigned i) {
    if (i < 2) {
      go_ctx_cancel_cause(c[i], 10 + (int)i);
      for (unsigned k = i; k < 4; k++) {
        assert(go_ctx_err(c[k]) == GO_ECANCELED);
      }
      assert(go_ctx_cause(c[2]) == go_ctx_cause(c[1]));
      assert(go_ctx_cause(c[3]) == go_ctx_cause(c[1]));
    } else {
      go_ctx_cancel(c[0]);
      assert(go_ctx_err(c[3]) == GO_ECANCELED);
    }
  }
  void after() {
    for (int k = 0; k < 4; k++) {
      assert(c[k]->children == NULL);
      go_ctx_unref(c[k]);
    }
    all_gone();
  }
};

/* A child is made while its parent, and the parent's parent, are cancelled. */
struct joining : rl::test_suite<joining, 3>, base {
  go_ctx *top, *parent, *child;
  void before() {
    w.init();
    top = go_ctx_with_cancel(NULL);
    parent = go_ctx_with_cancel(top);
  }
  void thread(unsigned i) {
    if (i == 0) {
      go_ctx_cancel(top);
    } else if (i == 1) {
      go_ctx_cancel(parent);
    } else {
      child = go_ctx_with_cancel(parent);
      if (go_ctx_err(parent) == 0) {
        go_ctx_unref(go_ctx_with_cancel(child));
      }
    }
  }
  void after() {
    assert(go_ctx_err(child) == GO_ECANCELED);
    assert(!child->linked && parent->children == NULL);
    go_ctx_unref(child);
    go_ctx_unref(parent);
    go_ctx_unref(top);
    all_gone();
  }
};

/* A timer fires while the last reference goes, its parent is cancelled, or both. */
template <bool Cancel>
struct timed : rl::test_suite<timed<Cancel>, 3>, base {
  go_ctx *parent, *child;
  void before() {
    w.init();
    parent = go_ctx_with_cancel(NULL);
    child = go_ctx_with_deadline(parent, 1);
    assert(w.heap != NULL);
  }
  void thread(unsigned i) {
    if (i == 0) {
      fire();
    } else if (i == 1) {
      if (Cancel) {
        go_ctx_cancel(parent);
      }
      go_ctx_unref(parent);
    } else {
      go_ctx_unref(child);
    }
  }
  void after() { all_gone(); }
};

} /* namespace */

int main() {
  holds<grabbing>("dropped while cancelled, two", full());
  holds<dropping>("dropped while cancelled", bound(3));
  holds<dropping>("dropped while cancelled", random(100000));
  holds<walking>("three cancel one tree", bound(2));
  holds<walking>("three cancel one tree", random(100000));
  holds<joining>("a child comes late", bound(3));
  holds<joining>("a child comes late", random(100000));
  holds<timed<false>>("a timer, dropped", bound(3));
  holds<timed<true>>("a timer, dropped and cancelled", bound(3));
  holds<timed<true>>("a timer, dropped and cancelled", random(100000));
  finds<grabbing>(planted, 1, "takes a reference without looking whether there is one", bound(3));
  finds<walking>(planted, 2, "leaves before its descendants are done", random(100000));
  finds<timed<true>>(planted, 3, "disarming frees what the timer still holds", random(100000));
  return model::finish();
}
