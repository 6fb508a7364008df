/* tests/models/lock_model_test.cc: the short lock, and reading without it (core/lock.h). */
#include "tests/models/model.h"

static int planted;
#define GO_LOCK_BUG_ planted
#include "core/lock.h"

namespace {

using model::bound;
using model::finds;
using model::full;
using model::holds;
using model::random;

enum bugs {
  NO_VERSION = 1,  /* core/lock.h */
  NO_RELEASE = 2,  /* core/lock.h */
  WEAK_FIELDS = 3, /* the holder does not release what is read without the lock */
  ONE_LOOK = 4,    /* the reader does not look at the word again */
};

static void set(go_a32 *field, uint32_t v) {
  if (planted == WEAK_FIELDS) {
    go_st_rlx(field, v);
  } else {
    go_st_rel(field, v);
  }
}
static bool same(go_a32 *lock, uint32_t seen) {
  return planted == ONE_LOOK ? !(seen & 1) : go_read_same_(lock, seen);
}

template <int Threads, int Rounds>
struct exclusion : rl::test_suite<exclusion<Threads, Rounds>, Threads> {
  go_a32 lock;
  rl::var<int> count;
  int expected; /* of threads that have come in */

  void before() {
    go_st_rlx(&lock, 0u);
    count($) = 0;
    expected = 0;
  }
  void after() { assert(count($) == expected && (go_ld_rlx(&lock) & 1) == 0); }
  void thread(unsigned i) {
    for (int n = 0; n < Rounds; n++) {
      if (i == 0) {
        if (!go_trylock_(&lock)) {
          continue;
        }
      } else {
        go_lock_(&lock);
      }
      count($) = count($) + 1;
      expected++;
      go_unlock_(&lock);
    }
  }
};

/* Two fields change together. */
struct pair : rl::test_suite<pair, 2> {
  go_a32 lock, x, y;
  void before() {
    go_st_rlx(&lock, 0u);
    go_st_rlx(&x, 0u);
    go_st_rlx(&y, 0u);
  }
  void thread(unsigned i) {
    if (i == 0) {
      for (uint32_t n = 1; n <= 2; n++) {
        go_lock_(&lock);
        set(&x, n);
        set(&y, n);
        go_unlock_(&lock);
      }
      return;
    }
    uint32_t seen = go_read_begin_(&lock);
    uint32_t a = go_ld_acq(&x), b = go_ld_acq(&y);
    assert(!same(&lock, seen) || a == b);
  }
};

/* An element goes from one channel to another and back, and is in one of them, or in both, at all
 * times. A select that finds neither ready must notice that its looks do not fit together. */
struct channels : rl::test_suite<channels, 2> {
  struct channel {
    go_a32 lock, count;
  } a, b;
  void before() {
    go_st_rlx(&a.lock, 0u);
    go_st_rlx(&b.lock, 0u);
    go_st_rlx(&a.count, 1u);
    go_st_rlx(&b.count, 0u);
  }
  static void put(channel &c, uint32_t n) {
    go_lock_(&c.lock);
    set(&c.count, n);
    go_unlock_(&c.lock);
  }
  void thread(unsigned i) {
    if (i == 0) {
      put(b, 1);
      put(a, 0);
      put(a, 1);
      put(b, 0);
      return;
    }
    uint32_t seen_a = go_read_begin_(&a.lock);
    bool none = go_ld_acq(&a.count) == 0;
    uint32_t seen_b = go_read_begin_(&b.lock);
    none = none && go_ld_acq(&b.count) == 0;
    assert(!none || !same(&a.lock, seen_a) || !same(&b.lock, seen_b));
  }
};

} /* namespace */

int main() {
  holds<exclusion<2, 2>>("two", full());
  holds<exclusion<3, 1>>("three", bound(4));
  holds<exclusion<3, 2>>("three, twice each", random(150000));
  holds<pair>("two fields", full());
  holds<pair>("two fields", random(200000));
  holds<channels>("two channels", full());
  holds<channels>("two channels", random(200000));
  finds<pair>(planted, NO_VERSION, "unlocking brings the old word back", random(100000));
  finds<exclusion<3, 1>>(planted, NO_RELEASE, "unlocking publishes nothing", random(100000));
  finds<channels>(planted, WEAK_FIELDS, "fields are read before the lock's word is seen",
                  random(100000));
  finds<channels>(planted, ONE_LOOK, "a select that looks once", random(100000));
  return model::finish();
}
