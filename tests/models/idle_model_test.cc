/* tests/models/idle_model_test.cc: who wakes whom when work appears (core/idle.h), on the real
 * queues.
 *
 * The functions around the counters are those of core/sched.c and core/proc.c, under the same
 * names, without timers and poller. Each piece of work runs until all of them have begun, each on a
 * P of its own. So when work is queued, a P idle and nobody about to find both, the model has a
 * deadlock, which Relacy reports.
 */
#include "tests/models/futex.h"

static int planted;
#define GO_IDLE_BUG_ planted
#define GO_RUNQ_CAP_ 2u
#include "core/idle.h"
#include "core/lock.h"
#include "core/runq.h"

namespace {
struct work {
  rl::var<void *> link;
};
} /* namespace */

static inline void *go_globq_link_(void *g) { return ((work *)g)->link($); }
static inline void go_globq_set_link_(void *g, void *next) { ((work *)g)->link($) = next; }
#include "core/globq.h"

namespace {

using model::bound;
using model::finds;
using model::holds;
using model::random;

enum bugs {
  NO_FENCE = 1,      /* core/idle.h */
  WEAK_LOADS = 2,    /* core/idle.h */
  LOOK_FIRST = 3,    /* the second look comes before the end of spinning */
  END_LATE = 4,      /* a waker that finds no idle P takes back its claim to spin after unlocking */
  HANDOFF = 5,       /* a P goes idle without a look round */
  ONLY_ONE = 6,      /* the last spinner that finds work wakes nobody */
  ONLY_SPINNERS = 7, /* an M that did not spin goes to sleep without a second look */
  RING = 8,          /* no fence between what moves into the ring and the look for idle Ps */
  BATCH = 9,         /* what came with the first out of the global queue is not announced */
  YIELD = 10,        /* who yields queues up without a look for idle Ps */
  YIELD_RING = 11,   /* or without a fence before it */
};

enum { NOBODY = -1 };

/* Ps [0, Busy) are held for ever by those who submit. Ms [0, Ms) hold a P each; then there are
 * Spares, not started yet. The queues of the latter's Ps matter only where there are batches. */
template <int Busy, int Ms, int Spares, bool Batches = false>
struct sched {
  enum { Queues = Busy + (Batches ? Ms : 0) };
  struct m_ {
    int id;
    bool spinning; /* own; handed over with the note, like p */
    int p;
    bool shy;
    model::event note, finish;
  };

  go_a32 lock;
  go_idle_ idle;
  go_globq_ q;
  go_runq_ runq[Queues];
  m_ m[Ms + Spares];
  work all[3];
  /* Under lock. */
  rl::var<int> idle_p[Ms], nidle_p;
  rl::var<int> idle_m[Ms + Spares], nidle_m;
  rl::var<int> started;
  /* The end of the model. */
  rl::atomic<int> begun, over;
  model::event finish; /* of what runs on P 0 */
  int total;

  void init(int n) {
    total = n;
    go_st_rlx(&lock, 0u);
    go_st_rlx(&idle.np, 0u);
    go_st_rlx(&idle.nspinning, 0u);
    go_set(q.head, (void *)NULL);
    go_set(q.tail, (void *)NULL);
    go_st_rlx(&q.n, 0u);
    for (go_runq_ &r : runq) {
      go_st_rlx(&r.head, 0u);
      go_st_rlx(&r.tail, 0u);
      go_st_rlx(&r.next, (void *)NULL);
      go_st_rlx(&r.fresh, (uint64_t)0);
    }
    for (int i = 0; i < Ms + Spares; i++) {
      m[i].id = i;
      m[i].spinning = m[i].shy = false;
      m[i].p = i < Ms ? Busy + i : NOBODY;
    }
    nidle_p($) = 0;
    nidle_m($) = 0;
    started($) = Ms;
    begun.store(0, rl::mo_relaxed, $);
    over.store(0, rl::mo_relaxed, $);
  }

  /* ---- core/proc.c ---- */

  void go_p_put_idle_(int p) {
    int n = nidle_p($);
    idle_p[n]($) = p;
    nidle_p($) = n + 1;
    go_idle_p_(&idle, 1);
  }
  int go_p_get_idle_() {
    int n = nidle_p($);
    if (n == 0) {
      return NOBODY;
    }
    nidle_p($) = n - 1;
    go_idle_p_(&idle, -1);
    return idle_p[n - 1]($);
  }
  m_ *get_idle_m() {
    int n = nidle_m($);
    if (n == 0) {
      return NULL;
    }
    nidle_m($) = n - 1;
    return &m[idle_m[n - 1]($)];
  }
  void go_m_start_(int p, bool spinning) {
    go_lock_(&lock);
    int n = started($);
    started($) = n + 1;
    go_unlock_(&lock);
    if (n >= Ms + Spares) {
      end(); /* no matter: some others are still on their way to sleep */
      return;
    }
    m[n].spinning = spinning;
    m[n].p = p;
    m[n].note.post();
  }
  void go_p_handoff_(int p) {
    go_lock_(&lock);
    if (go_ld_rlx(&q.n) == 0) {
      go_p_put_idle_(p);
      go_unlock_(&lock);
      if (planted != HANDOFF) {
        go_idle_look_();
        if (work_anywhere()) {
          go_wake_();
        }
      }
      return;
    }
    m_ *to = get_idle_m();
    go_unlock_(&lock);
    if (to == NULL) {
      go_m_start_(p, false);
      return;
    }
    to->spinning = false;
    to->p = p;
    to->note.post();
  }

  /* ---- core/sched.c ---- */

  void wake_slow() {
    if (!go_idle_begin_one_(&idle)) {
      return;
    }
    go_lock_(&lock);
    int p = go_p_get_idle_();
    m_ *to = p != NOBODY ? get_idle_m() : NULL;
    if (p == NOBODY && planted != END_LATE) {
      (void)go_idle_end_(&idle);
    }
    go_unlock_(&lock);
    if (to != NULL) {
      to->spinning = true;
      to->p = p;
      to->note.post();
    } else if (p != NOBODY) {
      go_m_start_(p, true);
    } else if (planted == END_LATE) {
      (void)go_idle_end_(&idle);
    }
  }
  void go_wake_() {
    if (go_idle_wanted_(&idle)) {
      wake_slow();
    }
  }
  bool work_anywhere() {
    if (go_ld_sc(&q.n) != 0) {
      return true;
    }
    for (go_runq_ &r : runq) {
      if (!go_runq_empty_(&r)) {
        return true;
      }
    }
    return false;
  }
  bool acquire_idle(m_ &me) {
    go_lock_(&lock);
    int p = go_p_get_idle_();
    go_unlock_(&lock);
    me.p = p;
    return p != NOBODY;
  }
  bool give_p_back(m_ &me) {
    bool was_spinning = me.spinning;
    go_lock_(&lock);
    if (go_ld_rlx(&q.n) != 0) {
      go_unlock_(&lock);
      return true;
    }
    go_p_put_idle_(me.p);
    me.p = NOBODY;
    go_unlock_(&lock);
    bool work = planted == LOOK_FIRST && work_anywhere();
    if (was_spinning) {
      me.spinning = false;
      (void)go_idle_end_(&idle);
    }
    if (planted == LOOK_FIRST || (!was_spinning && planted == ONLY_SPINNERS)) {
      return work && acquire_idle(me);
    }
    return second_look(me, was_spinning);
  }
  bool second_look(m_ &me, bool was_spinning) {
    go_idle_look_();
    if (work_anywhere() && acquire_idle(me)) {
      if (was_spinning) {
        me.spinning = true;
        go_idle_begin_(&idle);
      }
      return true;
    }
    return false;
  }
  void ring_put(int p, void *g) { assert(go_ring_put_(&runq[p], g)); }
  void *global_get(int p, uint32_t max) {
    uint32_t n;
    void *first = go_globq_get_(&q, &lock, 1, max, &n);
    void *rest = n > 1 ? go_globq_link_(first) : NULL;
    for (uint32_t i = 1; i < n; i++) {
      void *next = i + 1 < n ? go_globq_link_(rest) : NULL;
      ring_put(p, rest);
      rest = next;
    }
    if (n > 1 && planted != BATCH) { /* for a moment they could not be seen */
      go_idle_look_();
      go_wake_();
    }
    return first;
  }
  void *find(m_ &me) {
    void *g = Batches ? go_ring_get_(&runq[me.p], false) : NULL;
    if (g == NULL) {
      g = global_get(me.p, Batches ? 2 : 1);
    }
    if (g != NULL) {
      return g;
    }
    if (!me.spinning) {
      if (!me.shy && rl::rand(2) == 0) { /* how many others spin decides: may be so, may be not */
        me.shy = true;
        return NULL;
      }
      me.spinning = true;
      go_idle_begin_(&idle);
    }
    void *out[GO_RUNQ_CAP_ / 2];
    for (go_runq_ &r : runq) {
      if (go_ring_steal_(&r, out) != 0 || go_fresh_steal_(&r, out, 1) != 0 ||
          (out[0] = go_next_get_(&r, false)) != NULL) {
        return out[0];
      }
    }
    return NULL;
  }
  void found_work(m_ &me) {
    if (me.spinning) {
      me.spinning = false;
      if (go_idle_end_(&idle) && planted != ONLY_ONE) {
        go_wake_();
      }
    }
  }
  void sleep_m(m_ &me) {
    go_lock_(&lock);
    int n = nidle_m($);
    idle_m[n]($) = me.id;
    nidle_m($) = n + 1;
    go_unlock_(&lock);
    me.note.wait();
  }

  /* ---- the threads of the model ---- */

  void end() {
    over.store(1, rl::mo_release, $);
    for (m_ &each : m) {
      each.note.post();
      each.finish.post();
    }
    finish.post();
  }
  void run(model::event &until) {
    if (begun.fetch_add(1, rl::mo_acq_rel, $) + 1 == total) {
      end();
    }
    until.wait();
  }
  void m_loop(int id) {
    m_ &me = m[id];
    if (id >= Ms) {
      me.note.wait(); /* until it is started */
    }
    while (over.load(rl::mo_acquire, $) == 0) {
      if (me.p == NOBODY) {
        sleep_m(me);
        continue;
      }
      void *g = find(me);
      if (g != NULL) {
        found_work(me);
        run(me.finish);
        return;
      }
      (void)give_p_back(me);
    }
  }
  void go_ready_(int p, int i) {
    void *old = go_next_put_(&runq[p], &all[i], false);
    if (old != NULL) {
      ring_put(p, old);
      if (planted != RING) {
        go_idle_look_();
      }
    }
    go_wake_();
  }
  void spawn(int p, int i) {
    assert(go_fresh_put_(&runq[p], &all[i], false));
    go_wake_();
  }
  /* Goroutine i, which ran on p, lets the next one run. */
  void go_yield_m_(int p, int i) {
    if (go_next_get_(&runq[p], false) == NULL) {
      end(); /* somebody else runs it: nothing to see */
      return;
    }
    ring_put(p, &all[i]);
    if (planted != YIELD && planted != YIELD_RING) {
      go_idle_look_();
    }
    if (planted != YIELD) {
      go_wake_();
    }
    run(finish);
  }
  void go_inject_(int i) {
    go_globq_put_(&q, &lock, &all[i], &all[i], 1);
    go_wake_();
  }
};

enum how { READY, SPAWN, INJECT };

/* One submits, one M is on its way to sleep, another may be started. */
template <how How>
struct one : rl::test_suite<one<How>, 3> {
  sched<1, 1, 1> s;
  void before() { s.init(1); }
  void thread(unsigned i) {
    if (i > 0) {
      s.m_loop((int)i - 1);
    } else if (How == READY) {
      s.go_ready_(0, 0);
    } else if (How == SPAWN) {
      s.spawn(0, 0);
    } else {
      s.go_inject_(0);
    }
  }
};

/* One submits twice; both have to run at the same time. */
struct burst : rl::test_suite<burst, 4> {
  sched<1, 2, 1> s;
  void before() { s.init(2); }
  void thread(unsigned i) {
    if (i > 0) {
      s.m_loop((int)i - 1);
      return;
    }
    s.go_ready_(0, 0);
    s.go_ready_(0, 1);
  }
};

/* The same from outside: one M may take both, and the other's first look comes meanwhile. */
struct batch : rl::test_suite<batch, 4> {
  sched<1, 2, 1, true> s;
  void before() { s.init(2); }
  void thread(unsigned i) {
    if (i > 0) {
      s.m_loop((int)i - 1);
      return;
    }
    s.go_inject_(0);
    s.go_inject_(1);
  }
};

/* Two submit one each. */
struct two : rl::test_suite<two, 5> {
  sched<2, 2, 1> s;
  void before() { s.init(2); }
  void thread(unsigned i) {
    if (i > 1) {
      s.m_loop((int)i - 2);
    } else if (i == 1) {
      s.go_ready_(1, 1);
    } else {
      s.spawn(0, 0);
    }
  }
};

/* M 0 has made its P idle and looks again; it may take it back before one who wants to wake. */
struct in_vain : rl::test_suite<in_vain, 4> {
  sched<2, 2, 0> s;
  void before() {
    s.init(2);
    s.go_p_put_idle_(s.m[0].p);
    s.m[0].p = NOBODY;
  }
  void thread(unsigned i) {
    if (i < 2) {
      s.go_ready_((int)i, (int)i);
      return;
    }
    sched<2, 2, 0>::m_ &me = s.m[i - 2];
    if (i == 2) {
      (void)s.second_look(me, false);
    }
    s.m_loop((int)i - 2);
  }
};

/* One goroutine makes way for another; for a moment the queue is empty. */
struct yield : rl::test_suite<yield, 3> {
  sched<1, 1, 1> s;
  void before() {
    s.init(2);
    (void)go_next_put_(&s.runq[0], &s.all[0], false);
  }
  void thread(unsigned i) {
    if (i > 0) {
      s.m_loop((int)i - 1);
    } else {
      s.go_yield_m_(0, 1);
    }
  }
};

/* M 0 leaves its P to others, because its goroutine is wired to it and sleeps. */
struct handoff : rl::test_suite<handoff, 3> {
  sched<1, 1, 1> s;
  void before() { s.init(1); }
  void thread(unsigned i) {
    switch (i) {
      case 0: s.go_ready_(0, 0); break;
      case 1: s.go_p_handoff_(1); break;
      default: s.m_loop(1);
    }
  }
};

} /* namespace */

int main() {
  holds<one<READY>>("one is readied", bound(3));
  holds<one<READY>>("one is readied", random(50000));
  holds<one<SPAWN>>("one is spawned", bound(2));
  holds<one<SPAWN>>("one is spawned", random(50000));
  holds<one<INJECT>>("one from outside", bound(2));
  holds<one<INJECT>>("one from outside", random(50000));
  holds<burst>("two at once", random(100000));
  holds<batch>("two from outside", random(100000));
  holds<two>("two submitters", random(100000));
  holds<in_vain>("woken in vain", bound(2, 100000));
  holds<yield>("yield", bound(3));
  holds<yield>("yield", random(50000));
  holds<handoff>("hand-off", random(50000));
  finds<one<READY>>(planted, NO_FENCE, "looks again without a fence", random(100000));
  finds<one<READY>>(planted, WEAK_LOADS, "the submitter looks too early", random(100000));
  finds<one<READY>>(planted, LOOK_FIRST, "looks again before it stops spinning", random(100000));
  finds<in_vain>(planted, END_LATE, "a waker in vain keeps others from waking", bound(2, 300000));
  finds<handoff>(planted, HANDOFF, "hands off a P without a look round", random(100000));
  finds<burst>(planted, ONLY_ONE, "the last spinner wakes nobody", random(100000));
  finds<one<READY>>(planted, ONLY_SPINNERS, "an M that did not spin looks once", random(100000));
  finds<burst>(planted, RING, "what moves into the ring may be seen too late", random(100000));
  finds<batch>(planted, BATCH, "what comes out in a batch is not announced", random(100000));
  finds<yield>(planted, YIELD, "who yields queues up unseen", random(100000));
  finds<yield>(planted, YIELD_RING, "who yields may be seen too late", random(100000));
  return model::finish();
}
