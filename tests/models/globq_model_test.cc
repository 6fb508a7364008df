/* tests/models/globq_model_test.cc: the global queue (core/globq.h): batches in, shares out. */
#include "tests/models/model.h"

static int planted;
#define GO_GLOBQ_BUG_ planted

namespace {
struct item {
  rl::var<void *> link;
  rl::var<int> id;
  rl::var<int> taken;
};
} /* namespace */

static inline void *go_globq_link_(void *g) { return ((item *)g)->link($); }
static inline void go_globq_set_link_(void *g, void *next) { ((item *)g)->link($) = next; }
#include "core/globq.h"

namespace {

using model::bound;
using model::finds;
using model::full;
using model::holds;
using model::random;

template <int N>
struct queue {
  item all[N];
  go_globq_ q;
  go_a32 lock;

  void init() {
    go_set(q.head, (void *)NULL);
    go_set(q.tail, (void *)NULL);
    go_st_rlx(&q.n, 0u);
    go_st_rlx(&lock, 0u);
    for (item &i : all) {
      i.taken($) = 0;
    }
  }
  void put(int first, int n) {
    for (int i = first; i < first + n; i++) {
      all[i].id($) = i;
      if (i > first) {
        go_globq_set_link_(&all[i - 1], &all[i]);
      }
    }
    go_globq_put_(&q, &lock, &all[first], &all[first + n - 1], (uint32_t)n);
  }
  /* A share for one of procs, at most max; what one producer put comes out in its order. */
  uint32_t get(uint32_t procs, uint32_t max) {
    uint32_t n;
    void *g = go_globq_get_(&q, &lock, procs, max, &n);
    assert(n <= max && (n > 0) == (g != NULL));
    int last[2] = {-1, -1};
    for (uint32_t i = 0; i < n; i++) {
      item *it = (item *)g;
      void *next = i + 1 < n ? go_globq_link_(it) : NULL; /* ours: nobody else touches it */
      assert(it->taken($) == 0);
      it->taken($) = 1;
      int id = it->id($);
      assert(id > last[id >= N / 2]);
      last[id >= N / 2] = id;
      go_globq_set_link_(it, NULL);
      g = next;
    }
    return n;
  }
  void check() {
    while (get(1, N) != 0) {}
    assert(go_ld_rlx(&q.n) == 0);
    assert(go_get(q.head) == NULL && go_get(q.tail) == NULL);
    for (item &i : all) {
      assert(i.taken($) == 1);
    }
  }
};

struct small : rl::test_suite<small, 2> {
  queue<2> q;
  void before() { q.init(); }
  void after() { q.check(); }
  void thread(unsigned i) {
    if (i == 0) {
      q.put(0, 1);
      q.put(1, 1);
    } else {
      q.get(1, 2);
    }
  }
};

struct batches : rl::test_suite<batches, 4> {
  queue<6> q;
  void before() { q.init(); }
  void after() { q.check(); }
  void thread(unsigned i) {
    switch (i) {
      case 0:
        q.put(0, 2);
        q.put(2, 1);
        break;
      case 1: q.put(3, 3); break;
      case 2:
        q.get(2, 1);
        q.get(2, 4);
        break;
      default: q.get(2, 4); q.get(1, 2);
    }
  }
};

} /* namespace */

int main() {
  holds<small>("one at a time", full());
  holds<batches>("batches", bound(2));
  holds<batches>("batches", random(200000));
  finds<batches>(planted, 1, "putting without the lock", random(100000));
  finds<batches>(planted, 2, "the share is computed before locking", random(100000));
  return model::finish();
}
