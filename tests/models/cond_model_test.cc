/* tests/models/cond_model_test.cc: sync/cond.c itself on sync/mutex.c, with goroutines that are threads
 * of the model. The rule: a signal given while somebody waits makes one wait return 0. */
#include "tests/models/goroutines.h"

static int planted;
#define GO_COND_BUG_ planted

struct go_mutex {
  go_a32 state_;
  void *head_ = NULL, *tail_ = NULL;
  go_mutex() : state_(0u) {}
};
struct go_cond {
  go_a32 lock_, waiters_;
  void *head_ = NULL, *tail_ = NULL;
  go_aptr self_;
  go_cond() : lock_(0u), waiters_(0u), self_((void *)NULL) {}
};
#include "sync/mutex.c"

#include "sync/cond.c" /* statics of the same names differ in their parameters */

namespace {

using model::bound;
using model::finds;
using model::holds;
using model::random;

/* The others take `Each` tokens one by one; thread 0 puts them in, one signal each, or, with Broadcast, one for each
 * at a time. With Locked, it tells under the mutex. */
template <int Takers, int Each, bool Broadcast, bool Locked>
struct tokens : rl::test_suite<tokens<Takers, Each, Broadcast, Locked>, Takers + 1> {
  model::world w;
  go_mutex mu;
  go_cond c;
  rl::var<int> n; /* protected by mu */
  void before() {
    w.init();
    n($) = 0;
  }
  void put(int how_many) {
    go_mutex_lock(&mu);
    n($) = n($) + how_many;
    if (Locked) {
      tell();
    }
    go_mutex_unlock(&mu);
    if (!Locked) {
      tell();
    }
  }
  void tell() {
    if (Broadcast) {
      go_cond_broadcast(&c);
    } else {
      go_cond_signal(&c);
    }
  }
  void take() {
    go_mutex_lock(&mu);
    while (n($) == 0) {
      go_cond_wait(&c, &mu);
    }
    n($) = n($) - 1;
    go_mutex_unlock(&mu);
  }
  void thread(unsigned i) {
    for (int k = 0; k < Each; k++) {
      if (i > 0) {
        take();
      } else if (Broadcast) {
        put(Takers);
      } else {
        for (int j = 0; j < Takers; j++) {
          put(1);
        }
      }
    }
  }
};

/* Thread 0 gives one signal, when two wait; thread 1 cancels the wait of thread 2. Then either thread 2 was
 * signalled, returns 0, and passes the signal on, or it was not, and thread 3 was. */
struct cancelled : rl::test_suite<cancelled, 4> {
  model::world w;
  go_ctx ctx;
  go_mutex mu;
  go_cond c;
  rl::var<int> waiting; /* protected by mu, as what follows */
  rl::var<int> signals;
  void before() {
    w.init();
    go_st_rlx(&ctx.c.lock, 0u);
    go_st_rlx(&ctx.c.err, 0u);
    ctx.c.head = NULL;
    waiting($) = 0;
    signals($) = 0;
  }
  void thread(unsigned i) {
    if (i == 1) {
      assert(go_cancel_fire_(go_m_get_(), &ctx.c, GO_ECANCELED));
      return;
    }
    go_mutex_lock(&mu);
    if (i == 0) {
      while (waiting($) < 2) {
        go_mutex_unlock(&mu);
        rl::yield(1, $);
        go_mutex_lock(&mu);
      }
      signals($) = 1;
      go_cond_signal(&c);
    } else if (i == 2) {
      waiting($) = waiting($) + 1;
      int r = go_cond_wait_ctx(&ctx, &c, &mu);
      if (r == 0) {
        assert(signals($) == 1);
        go_cond_signal(&c);
      } else {
        assert(r == GO_ECANCELED);
      }
    } else {
      waiting($) = waiting($) + 1;
      go_cond_wait(&c, &mu);
      assert(signals($) == 1);
    }
    go_mutex_unlock(&mu);
  }
  void after() {
    assert(c.head_ == NULL);
    assert(go_ld_rlx(&c.waiters_) == 0);
  }
};

} /* namespace */

int main() {
  holds<tokens<1, 1, false, false>>("one", bound(4));
  holds<tokens<1, 2, false, false>>("one, twice", bound(3));
  holds<tokens<2, 2, false, false>>("two, twice", random(150000));
  holds<tokens<2, 2, false, true>>("two, signals under the mutex", random(150000));
  holds<tokens<3, 1, true, false>>("broadcast", random(150000));
  holds<cancelled>("one of two is cancelled", random(300000));
  finds<tokens<1, 1, false, false>>(planted, 1, "unlocks before it is in the list", random(100000));
  finds<cancelled>(planted, 2, "who was signalled gives up", random(100000));
  finds<tokens<2, 2, false, false>>(planted, 3, "says that the list is empty after unlocking it",
                                    random(100000));
  return model::finish();
}
