/* tests/models/mutex_model_test.cc: sync/mutex.c itself, with goroutines that are threads of the
 * model. */
#include "tests/models/goroutines.h"

static int planted;
#define GO_MUTEX_BUG_ planted

struct go_mutex {
  go_a32 state_;
  void *head_ = NULL, *tail_ = NULL;
  go_mutex() : state_(0u) {}
};
#include "sync/mutex.c"

namespace {

using model::bound;
using model::finds;
using model::full;
using model::holds;
using model::random;

/* What the mutex protects, with the mutex in it: gone when the last user has unlocked. */
struct object {
  go_mutex mu;
  rl::var<int> users;
  rl::var<int> count;
  explicit object(int n) : users(n), count(0) {}

  void work() { count($) = count($) + 1; }
  void leave() {
    int left = users($) - 1;
    users($) = left;
    go_mutex_unlock(&mu);
    if (left == 0) {
      delete this;
    }
  }
};

template <int Threads, int Rounds, int Procs = 1>
struct plain : rl::test_suite<plain<Threads, Rounds, Procs>, Threads> {
  model::world w;
  object *o;
  void before() {
    w.init();
    go_st_rlx(&w.procs, (uint32_t)Procs); /* with more than one, a waiter spins for a while */
    o = new object(Threads);
  }
  void thread(unsigned) {
    for (int i = 0; i < Rounds; i++) {
      go_mutex_lock(&o->mu);
      o->work();
      if (i + 1 < Rounds) {
        go_mutex_unlock(&o->mu);
      }
    }
    o->leave();
  }
};

/* Thread 0 only tries. */
struct trying : rl::test_suite<trying, 3> {
  model::world w;
  object *o;
  void before() {
    w.init();
    o = new object(3);
  }
  void thread(unsigned i) {
    if (i > 0 || !go_mutex_trylock(&o->mu)) {
      go_mutex_lock(&o->mu);
    }
    o->work();
    o->leave();
  }
};

/* Thread 0 cancels; thread 1 gives up with the context, then waits without. */
template <int Threads>
struct cancelled : rl::test_suite<cancelled<Threads>, Threads> {
  model::world w;
  go_ctx ctx;
  object *o;
  void before() {
    w.init();
    go_st_rlx(&ctx.c.lock, 0u);
    go_st_rlx(&ctx.c.err, 0u);
    ctx.c.head = NULL;
    o = new object(Threads - 1);
  }
  void thread(unsigned i) {
    if (i == 0) {
      assert(go_cancel_fire_(go_m_get_(), &ctx.c, GO_ECANCELED));
      return;
    }
    if (i > 1) {
      go_mutex_lock(&o->mu);
    } else if (go_mutex_lock_ctx(&ctx, &o->mu) != 0) {
      go_mutex_lock(&o->mu);
    }
    o->work();
    o->leave();
  }
};

} /* namespace */

int main() {
  holds<plain<2, 1>>("two", full());
  holds<plain<2, 2>>("two, twice each", bound(4));
  holds<plain<3, 1>>("three", bound(3));
  holds<plain<3, 2>>("three, twice each", random(150000));
  holds<plain<3, 3>>("three, three times each", random(150000));
  holds<plain<4, 1>>("four", random(150000));
  holds<plain<3, 1, 2>>("three that spin", random(150000));
  holds<trying>("one tries", random(150000));
  holds<cancelled<3>>("cancelled, two", bound(3));
  holds<cancelled<4>>("cancelled, three", random(200000));
  finds<plain<3, 2>>(planted, 1, "gives the guard back, then unlocks", random(100000));
  finds<plain<3, 2>>(planted, 2, "a woken waiter that waits again still counts as one",
                     random(100000));
  finds<plain<3, 2>>(planted, 3, "unlocking publishes nothing", random(100000));
  finds<plain<3, 2>>(planted, 4, "waits without having tried under the guard", random(100000));
  finds<plain<3, 3>>(planted, 5, "unlocks beside a woken waiter that is about to wait again",
                     random(300000));
  return model::finish();
}
