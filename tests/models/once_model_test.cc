/* tests/models/once_model_test.cc: sync/once.c itself, with goroutines that are threads of the model. */
#include "tests/models/goroutines.h"

static int planted;
#define GO_ONCE_BUG_ planted

struct go_once {
  go_a32 state_;
  void *head_ = NULL, *tail_ = NULL;
  go_once() : state_(0u) {}
};
#include "sync/once.c"

namespace {

using model::bound;
using model::finds;
using model::full;
using model::holds;
using model::random;

struct object {
  go_once once;
  rl::var<int> made;
  rl::atomic<int> users;
  explicit object(int n) : made(0), users(n) {}
  static void make(void *o) {
    object *me = (object *)o;
    me->made($) = me->made($) + 1;
  }
};

/* Everybody calls, twice with Again; who leaves last frees it. */
template <int Threads, bool Again>
struct all_call : rl::test_suite<all_call<Threads, Again>, Threads> {
  model::world w;
  object *o;
  void before() {
    w.init();
    o = new object(Threads);
  }
  void thread(unsigned) {
    for (int i = 0; i <= Again; i++) {
      go_once_do(&o->once, object::make, o);
      assert(o->made($) == 1);
    }
    if (o->users.fetch_sub(1, rl::mo_acq_rel, $) == 1) {
      delete o;
    }
  }
};

/* Thread 2 comes when one runs it and one waits. When it is back it frees the once: the other two may be on their way
 * back still, but touch it no more. */
struct freed_early : rl::test_suite<freed_early, 3> {
  model::world w;
  object *o;
  bool freed;
  void before() {
    w.init();
    o = new object(1);
    freed = false;
  }
  void thread(unsigned i) {
    if (i < 2) {
      go_once_do(&o->once, object::make, o);
      return;
    }
    uint32_t s;
    while (!((s = go_ld_rlx(&o->once.state_)) & (WAITERS | DONE))) {
      rl::yield(1, $);
    }
    if (s & WAITERS) {
      go_once_do(&o->once, object::make, o);
      freed = true;
      delete o;
    }
  }
  void after() {
    if (!freed) {
      delete o;
    }
  }
};

} /* namespace */

int main() {
  holds<all_call<2, false>>("two", full());
  holds<all_call<2, true>>("two, twice", bound(4));
  holds<all_call<3, false>>("three", bound(3));
  holds<all_call<4, false>>("four", random(150000));
  holds<freed_early>("freed by who comes late", random(150000));
  finds<freed_early>(planted, 1, "says that it is done, then takes the waiters out",
                     random(100000));
  finds<all_call<2, false>>(planted, 2, "done without a look for waiters", random(100000));
  return model::finish();
}
