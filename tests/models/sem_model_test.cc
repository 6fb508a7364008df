/* tests/models/sem_model_test.cc: sync/sem.c itself, with goroutines that are threads of the model. */
#include "tests/models/goroutines.h"

static int planted;
#define GO_SEM_BUG_ planted

struct go_sem {
  go_a32 lock_;
  int64_t size_ = 0, used_ = 0;
  void *head_ = NULL, *tail_ = NULL;
  go_sem() : lock_(0u) {}
};
#include "sync/sem.c"

namespace {

using model::bound;
using model::finds;
using model::holds;
using model::random;

/* Thread i wants i+1 of Size units, `Rounds` times; who has all of them is alone. */
template <int Threads, int Size, int Rounds>
struct weights : rl::test_suite<weights<Threads, Size, Rounds>, Threads> {
  model::world w;
  go_sem s;
  rl::var<int> all;
  void before() {
    w.init();
    s.size_ = Size;
    all($) = 0;
  }
  void thread(unsigned i) {
    int64_t n = (int64_t)i + 1 < Size ? (int64_t)i + 1 : Size;
    for (int round = 0; round < Rounds; round++) {
      assert(go_sem_acquire(NULL, &s, n) == 0);
      if (n == Size) {
        all($) = all($) + 1; /* a data race with those who only look, if they get in */
      } else {
        (void)all($);
      }
      go_sem_release(&s, n);
    }
  }
  void after() { assert(s.used_ == 0 && s.head_ == NULL); }
};

/* Of two units, thread 0 gives one back and later the other; thread 1 wants both and may be cancelled, by thread 2;
 * thread 3 wants one and stands behind, or does not. All that is taken is given back. */
struct cancelled : rl::test_suite<cancelled, 4> {
  model::world w;
  go_ctx ctx;
  go_sem s;
  model::event three;
  void before() {
    w.init();
    go_st_rlx(&ctx.c.lock, 0u);
    go_st_rlx(&ctx.c.err, 0u);
    ctx.c.head = NULL;
    s.size_ = 2;
    s.used_ = 2;
  }
  void thread(unsigned i) {
    if (i == 0) {
      go_sem_release(&s, 1);
      three.wait(); /* who got its unit from this release, or from the one who gave up */
      go_sem_release(&s, 1);
    } else if (i == 1) {
      if (go_sem_acquire(&ctx, &s, 2) == 0) {
        go_sem_release(&s, 2);
      }
    } else if (i == 2) {
      assert(go_cancel_fire_(go_m_get_(), &ctx.c, GO_ECANCELED));
    } else {
      assert(go_sem_acquire(NULL, &s, 1) == 0);
      go_sem_release(&s, 1);
      three.post();
    }
  }
  void after() { assert(s.used_ == 0 && s.head_ == NULL); }
};

/* Of two units, thread 0 has one. Thread 1 wants both; thread 2 wants one, but comes later. */
struct in_order : rl::test_suite<in_order, 3> {
  model::world w;
  go_sem s;
  rl::atomic<int> first;
  void before() {
    w.init();
    s.size_ = 2;
    s.used_ = 1;
    first.store(0, rl::mo_relaxed, $);
  }
  bool somebody_waits() {
    go_lock_(&s.lock_);
    bool waits = s.head_ != NULL;
    go_unlock_(&s.lock_);
    return waits;
  }
  void thread(unsigned i) {
    if (i == 0) {
      go_sem_release(&s, 1);
    } else if (i == 1) {
      assert(go_sem_acquire(NULL, &s, 2) == 0);
      first.store(1, rl::mo_relaxed, $);
      go_sem_release(&s, 2);
    } else {
      while (!somebody_waits() && first.load(rl::mo_relaxed, $) == 0) {
        rl::yield(1, $);
      }
      assert(go_sem_acquire(NULL, &s, 1) == 0);
      assert(first.load(rl::mo_relaxed, $) == 1);
      go_sem_release(&s, 1);
    }
  }
  void after() { assert(s.used_ == 0 && s.head_ == NULL); }
};

/* Two that may give up, one that does not. */
struct crowd : rl::test_suite<crowd, 4> {
  model::world w;
  go_ctx ctx;
  go_sem s;
  rl::var<int> inside;
  void before() {
    w.init();
    go_st_rlx(&ctx.c.lock, 0u);
    go_st_rlx(&ctx.c.err, 0u);
    ctx.c.head = NULL;
    s.size_ = 1;
    inside($) = 0;
  }
  void thread(unsigned i) {
    if (i == 0) {
      assert(go_cancel_fire_(go_m_get_(), &ctx.c, GO_ECANCELED));
    } else if (go_sem_acquire(i == 1 ? NULL : &ctx, &s, 1) == 0) {
      inside($) = inside($) + 1;
      go_sem_release(&s, 1);
    }
  }
  void after() { assert(s.used_ == 0 && s.head_ == NULL && inside($) >= 1); }
};

} /* namespace */

int main() {
  holds<weights<2, 1, 2>>("two and one unit", bound(4));
  holds<weights<3, 3, 1>>("three and three units", bound(3));
  holds<weights<3, 3, 2>>("three and three units, twice", random(150000));
  holds<weights<4, 2, 1>>("four and two units", random(150000));
  holds<cancelled>("the first in the list gives up", random(200000));
  holds<in_order>("in order", random(150000));
  holds<crowd>("two may give up", random(200000));
  finds<crowd>(planted, 1, "units for one who has given up", random(100000));
  finds<cancelled>(planted, 2, "who gives up leaves those behind it asleep", random(100000));
  finds<in_order>(planted, 3, "small ones pass a waiter", random(100000));
  return model::finish();
}
