/* tests/models/netpoll_model_test.cc: core/netpoll.c itself: events, deadlines, contexts and closing end waits; the
 * goroutines are threads of the model, and so are the poller and the timers. */
#define GOLIB_BASE_H_
#define GO_FOREVER INT64_MAX
#include "tests/models/goroutines.h"

static int planted;
#define GO_PD_BUG_ planted

enum { GO_ECLOSED = -10, GO_ETIMEDOUT = -11, GO_EAGAIN = -12, GO_ENOMEM = -13 };
enum { GO_WAIT_READ_, GO_WAIT_WRITE_, GO_WAIT_ACCEPT_, GO_WAIT_CONNECT_, GO_WAIT_FD_ };
enum { GO_POLL_IN_ = 1, GO_POLL_OUT_ = 2, GO_POLL_ERR_ = 4, GO_POLL_HUP_ = 8, GO_POLL_PRI_ = 16 };
#define GOLIB_CORE_POLL_H_

/* A timer fires once it is armed, whenever the thread that plays the clock gets to it. */
struct go_tm_ {
  int64_t when;
  void (*fn)(go_m_ *, void *, uint32_t);
  void *arg;
  uint32_t seq;
  go_a32 armed;
};
static inline bool go_tm_move_in_(go_m_ *, go_tm_ *tm, int64_t) {
  go_st_rel(&tm->armed, 1u);
  return false;
}
static inline void go_tm_wake_(int64_t) {}
static inline int go_tm_add_(go_m_ *, go_tm_ *tm) {
  go_st_rel(&tm->armed, 1u);
  return 0;
}
static inline bool go_tm_del_(go_tm_ *tm) { return go_xchg_ar(&tm->armed, 0u) != 0; }
static inline void go_polled_(go_g_ *g) {
  if (g != NULL) {
    go_ready_(go_m_get_(), g);
  }
}

#include "core/netpoll.c"

namespace {

using model::bound;
using model::finds;
using model::holds;
using model::random;

struct one_pd {
  model::world w;
  pd_full f;
  uint64_t key;
  void init() {
    w.init();
    w.now = 1;
    memset(&f.gen, 0, sizeof f.gen);
    f.index = 0;
    for (int dir = 0; dir < 2; dir++) {
      f.sides[dir].of = NULL;
      go_st_rlx(&f.sides[dir].tm.armed, 0u);
    }
    go_st_rlx(&f.pd.lock, 0u);
    key = reset(&f);
  }
  uint32_t gen() const { return (uint32_t)(key >> 32); }
  int wait(go_ctx *ctx = NULL) { return go_pd_wait_(ctx, &f.pd, GO_PD_READ_, GO_PD_READS_); }
  /* The clock: fires a timer that is armed, once. */
  bool fire(int dir) {
    go_tm_ *tm = &f.sides[dir].tm;
    if (go_xchg_ar(&tm->armed, 0u) == 0) {
      return false;
    }
    tm->fn(go_m_get_(), tm->arg, 0);
    return true;
  }
};

/* One sends `N` bytes, each with an event; another reads them as a backend does: check, try, wait. */
template <int N>
struct bytes : rl::test_suite<bytes<N>, 2> {
  one_pd p;
  go_a32 sent;
  void before() {
    p.init();
    go_st_rlx(&sent, 0u);
  }
  void thread(unsigned i) {
    if (i == 0) {
      for (uint32_t n = 1; n <= N; n++) {
        go_st_rel(&sent, n);
        event(&p.f, p.gen(), GO_POLL_IN_);
      }
      return;
    }
    for (uint32_t got = 0; got < N;) {
      assert(go_pd_check_(&p.f.pd, GO_PD_READ_) == 0);
      uint32_t n = go_ld_acq(&sent);
      if (n > got) {
        got = n;
        continue;
      }
      assert(p.wait() == 0);
    }
  }
};

/* As above, but a read that found all there was does not try before it waits again ("drained"), unless the end has
 * been seen: the end comes together with the last byte, or alone. */
template <bool Together>
struct drained : rl::test_suite<drained<Together>, 2> {
  one_pd p;
  go_a32 state; /* bytes, and 8: the end */
  void before() {
    p.init();
    go_st_rlx(&state, 0u);
  }
  void thread(unsigned i) {
    if (i == 0) {
      go_st_rel(&state, 1u);
      if (!Together) {
        event(&p.f, p.gen(), GO_POLL_IN_);
      }
      go_st_rel(&state, 9u);
      event(&p.f, p.gen(), GO_POLL_IN_ | GO_POLL_HUP_);
      return;
    }
    bool skip = false;
    for (uint32_t got = 0;;) {
      if (skip) {
        assert(p.wait() == 0);
      }
      assert(go_pd_check_(&p.f.pd, GO_PD_READ_) == 0);
      uint32_t s = go_ld_acq(&state);
      if ((s & 7) > got) {
        got = s & 7;
        skip = planted == 5 || !go_pd_more_(&p.f.pd);
      } else if (s & 8) {
        return;
      } else {
        skip = true;
      }
    }
  }
};

/* An event and a context at the same time: one of them ends the wait; an event that did not is there for the next. And
 * the goroutine is woken once: its next wait is ended by the next event only. */
struct cancelled : rl::test_suite<cancelled, 3> {
  one_pd p;
  go_ctx ctx;
  go_a32 again, sent;
  void before() {
    p.init();
    go_st_rlx(&ctx.c.lock, 0u);
    go_st_rlx(&ctx.c.err, 0u);
    ctx.c.head = NULL;
    go_st_rlx(&again, 0u);
    go_st_rlx(&sent, 0u);
  }
  void thread(unsigned i) {
    if (i == 0) {
      event(&p.f, p.gen(), GO_POLL_IN_);
      while (go_ld_acq(&again) == 0) {
        rl::yield(1, $);
      }
      go_st_rel(&sent, 1u);
      event(&p.f, p.gen(), GO_POLL_IN_);
    } else if (i == 1) {
      assert(go_cancel_fire_(go_m_get_(), &ctx.c, GO_ECANCELED));
    } else {
      int r = p.wait(&ctx);
      assert(r == 0 || r == GO_ECANCELED);
      if (r != 0) {
        assert(p.wait() == 0);
      }
      go_st_rel(&again, 1u);
      assert(p.wait() == 0);
      assert(go_ld_acq(&sent) == 1);
    }
  }
};

/* An event, and closing: it wins in the end. */
struct ends : rl::test_suite<ends, 3> {
  one_pd p;
  void before() { p.init(); }
  void thread(unsigned i) {
    if (i == 0) {
      event(&p.f, p.gen(), GO_POLL_IN_ | GO_POLL_OUT_);
    } else if (i == 1) {
      go_pd_evict_(&p.f.pd);
    } else {
      int r = p.wait();
      assert(r == 0 || r == GO_ECLOSED);
      while (r == 0) {
        r = p.wait();
      }
      assert(r == GO_ECLOSED);
      assert(go_pd_check_(&p.f.pd, GO_PD_READ_) == GO_ECLOSED);
    }
  }
};

/* The deadline is set while somebody waits, or before, and moved; the clock goes on. */
struct deadline : rl::test_suite<deadline, 3> {
  one_pd p;
  go_a32 over;
  void before() {
    p.init();
    go_st_rlx(&over, 0u);
  }
  void thread(unsigned i) {
    if (i == 0) {
      assert(go_pd_deadline_(&p.f.pd, GO_PD_FOR_READ_ | GO_PD_FOR_WRITE_, 100 * GO_MS) == 0);
      assert(go_pd_deadline_(&p.f.pd, GO_PD_FOR_READ_, 5 * GO_MS) == 0);
    } else if (i == 1) {
      for (int n = 0; go_ld_acq(&over) == 0; n++) {
        p.w.now += n > 3 ? 200 * GO_MS : GO_MS;
        if (!p.fire(GO_PD_READ_)) {
          rl::yield(1, $);
        }
      }
    } else {
      assert(p.wait() == GO_ETIMEDOUT);
      go_st_rel(&over, 1u);
    }
  }
};

/* A late event of a registration that is over, while the next user waits: he returns only for his own. */
struct late : rl::test_suite<late, 3> {
  one_pd p;
  go_a32 sent, next;
  uint64_t new_key;
  void before() {
    p.init();
    go_st_rlx(&sent, 0u);
    go_st_rlx(&next, 0u);
  }
  void thread(unsigned i) {
    if (i == 0) {
      event(&p.f, p.gen(), GO_POLL_IN_);
    } else if (i == 1) {
      end_generation(&p.f);
      new_key = reset(&p.f);
      go_st_rel(&next, 1u);
      assert(p.wait() == 0);
      assert(go_ld_acq(&sent) == 1);
    } else {
      while (go_ld_acq(&next) == 0) {
        rl::yield(1, $);
      }
      go_st_rel(&sent, 1u);
      event(&p.f, (uint32_t)(new_key >> 32), GO_POLL_IN_);
    }
  }
};

} /* namespace */

int main() {
  holds<bytes<2>>("bytes", bound(3));
  holds<bytes<3>>("bytes", random(100000));
  finds<bytes<2>>(planted, 2, "an event that nobody waits for is forgotten", random(100000));
  holds<drained<true>>("the end comes with the last byte", bound(4));
  holds<drained<false>>("the end comes later", bound(3));
  holds<drained<false>>("the end comes later", random(100000));
  finds<drained<true>>(planted, 5, "no try although the end was seen", random(100000));
  holds<cancelled>("a context", bound(2));
  holds<cancelled>("a context", random(100000));
  finds<cancelled>(planted, 1, "an event does not claim", random(100000));
  holds<ends>("closing", bound(2));
  holds<ends>("closing", random(100000));
  holds<deadline>("deadlines", random(100000));
  finds<deadline>(planted, 3, "set while somebody waits, but not armed", random(100000));
  holds<late>("late events", bound(2));
  holds<late>("late events", random(100000));
  finds<late>(planted, 4, "generations are not compared", random(100000));
  return model::finish();
}
