/* tests/models/runq_model_test.cc: a P's queues (core/runq.h), with an owner and thieves. */
#include "tests/models/model.h"

static int planted;
#define GO_RUNQ_BUG_ planted
#define GO_RUNQ_CAP_ 4u
#include "core/runq.h"

namespace {

using model::bound;
using model::finds;
using model::full;
using model::holds;
using model::random;

/* What is queued; that each is taken once, by somebody who sees what was written before. */
template <int N>
struct items {
  struct item {
    rl::var<int> id;
    rl::var<int> taken;
  };
  item all[N];
  go_runq_ q;

  /* The indices start just before they wrap around. */
  void init() {
    go_st_rlx(&q.head, 0xffffffffu);
    go_st_rlx(&q.tail, 0xffffffffu);
    go_st_rlx(&q.next, (void *)NULL);
    go_st_rlx(&q.fresh, (uint64_t)0xfffffffffffffffful);
    for (unsigned i = 0; i < GO_RUNQ_CAP_; i++) {
      go_st_rlx(&q.ring[i], (void *)NULL);
      go_st_rlx(&q.fresh_ring[i], (void *)NULL);
    }
    for (item &i : all) {
      i.taken($) = 0;
    }
  }
  void *make(int id) {
    all[id].id($) = id;
    return &all[id];
  }
  int take(void *g) {
    item *i = (item *)g;
    assert(i >= all && i < all + N);
    assert(i->taken($) == 0);
    i->taken($) = 1;
    return i->id($);
  }
  /* A batch, oldest first. */
  void take(void **out, uint32_t n) {
    for (uint32_t i = 0, last = 0; i < n; i++) {
      int id = take(out[i]);
      assert(i == 0 || id > (int)last);
      last = (uint32_t)id;
    }
  }
  void drain() {
    void *g;
    while ((g = go_next_get_(&q, false)) != NULL || (g = go_ring_get_(&q, false)) != NULL ||
           (g = go_fresh_get_(&q, false)) != NULL) {
      take(g);
    }
    assert(go_runq_empty_(&q));
    for (item &i : all) {
      assert(i.taken($) == 1);
    }
  }
};

/* First in, first out; more than fit, so that the owner moves half of them elsewhere. */
template <int Threads>
struct ring : rl::test_suite<ring<Threads>, Threads> {
  items<6> s;

  void before() { s.init(); }
  void after() { s.drain(); }
  void put(int id) {
    void *g = s.make(id);
    if (!go_ring_put_(&s.q, g)) {
      void *out[GO_RUNQ_CAP_ / 2];
      s.take(out, go_ring_steal_(&s.q, out));
      if (!go_ring_put_(&s.q, g)) {
        s.take(g);
      }
    }
  }
  void thread(unsigned i) {
    if (i > 0) {
      void *out[GO_RUNQ_CAP_ / 2];
      s.take(out, go_ring_steal_(&s.q, out));
      return;
    }
    put(0);
    put(1);
    void *g = go_ring_get_(&s.q, false);
    int last = g != NULL ? s.take(g) : -1;
    for (int id = 2; id < 6; id++) {
      put(id);
    }
    for (int n = 0; n < 2 && (g = go_ring_get_(&s.q, false)) != NULL; n++) {
      int id = s.take(g);
      assert(id > last);
      last = id;
    }
  }
};

/* Small enough for searching everything. */
struct small_ring : rl::test_suite<small_ring, 2> {
  items<2> s;
  void before() { s.init(); }
  void after() { s.drain(); }
  void thread(unsigned i) {
    void *out[GO_RUNQ_CAP_ / 2];
    if (i > 0) {
      s.take(out, go_ring_steal_(&s.q, out));
      return;
    }
    assert(go_ring_put_(&s.q, s.make(0)));
    assert(go_ring_put_(&s.q, s.make(1)));
    void *g = go_ring_get_(&s.q, false);
    if (g != NULL) {
      s.take(g);
    }
  }
};

/* The owner takes the newest, thieves the oldest half. Head and tail return to what they were. */
template <int Threads>
struct fresh : rl::test_suite<fresh<Threads>, Threads> {
  items<6> s;

  void before() { s.init(); }
  void after() { s.drain(); }
  void thread(unsigned i) {
    if (i > 0) {
      void *out[GO_RUNQ_CAP_ / 2];
      s.take(out, go_fresh_steal_(&s.q, out, i == 1 ? 1 : GO_RUNQ_CAP_ / 2));
      return;
    }
    bool mine[6] = {};
    int made = 0;
    for (const char *op = "+-++-+++---"; *op != '\0'; op++) {
      if (*op == '+') {
        if (!go_fresh_put_(&s.q, s.make(made), false)) {
          void *out[GO_RUNQ_CAP_ / 2];
          s.take(out, go_fresh_steal_(&s.q, out, GO_RUNQ_CAP_ / 2));
          assert(go_fresh_put_(&s.q, &s.all[made], false));
        }
        made++;
        continue;
      }
      void *g = go_fresh_get_(&s.q, false);
      if (g == NULL) {
        continue;
      }
      int id = s.take(g);
      mine[id] = true;
      for (int newer = id + 1; newer < made; newer++) {
        assert(mine[newer]); /* or it would have come first */
      }
    }
  }
};

struct small_fresh : rl::test_suite<small_fresh, 2> {
  items<2> s;
  void before() {
    s.init();
    assert(go_fresh_put_(&s.q, s.make(0), false));
  }
  void after() { s.drain(); }
  void thread(unsigned i) {
    if (i > 0) {
      void *out[GO_RUNQ_CAP_ / 2];
      s.take(out, go_fresh_steal_(&s.q, out, GO_RUNQ_CAP_ / 2));
      return;
    }
    void *g = go_fresh_get_(&s.q, false);
    if (g != NULL) {
      s.take(g);
    }
    assert(go_fresh_put_(&s.q, s.make(1), false)); /* may write the slot that the thief copies */
    g = go_fresh_get_(&s.q, false);
    if (g != NULL) {
      s.take(g);
    }
  }
};

/* What the owner of a P does when it readies one: the last goes first, the one before queues up. */
template <int N>
void ready(items<N> &s, int id, bool solo) {
  void *old = go_next_put_(&s.q, s.make(id), solo);
  if (old != NULL) {
    assert(go_ring_put_(&s.q, old));
  }
}

struct next : rl::test_suite<next, 3> {
  items<4> s;
  void before() { s.init(); }
  void after() { s.drain(); }
  void thread(unsigned i) {
    if (i > 0) {
      void *g = go_next_get_(&s.q, false);
      if (g != NULL) {
        s.take(g);
      }
      return;
    }
    for (int id = 0; id < 4; id++) {
      ready(s, id, false);
      void *g = id == 1 ? go_next_get_(&s.q, false) : NULL;
      if (g != NULL) {
        s.take(g);
      }
    }
  }
};

/* There is something in one part or another at all times, but the parts change. */
struct never_empty : rl::test_suite<never_empty, 2> {
  items<5> s;
  void before() {
    s.init();
    ready(s, 0, false);
  }
  void after() { s.drain(); }
  void thread(unsigned i) {
    if (i > 0) {
      assert(!go_runq_empty_(&s.q));
      return;
    }
    assert(go_fresh_put_(&s.q, s.make(1), false));
    s.take(go_next_get_(&s.q, false)); /* leaves the fresh one only */
    ready(s, 2, false);
    s.take(go_fresh_get_(&s.q, false)); /* leaves next only */
    ready(s, 3, false);
    s.take(go_next_get_(&s.q, false)); /* leaves 2 only, which has moved from next into the ring */
    assert(go_fresh_put_(&s.q, s.make(4), false));
    s.take(go_ring_get_(&s.q, false)); /* leaves the fresh one only */
  }
};

/* As the scheduler uses it: all parts, what a thief does, and an owner that was alone before. */
struct mixed : rl::test_suite<mixed, 3> {
  items<6> s;
  go_a32 open;

  void before() {
    s.init();
    go_st_rlx(&open, 0u);
  }
  void after() { s.drain(); }
  void pick(bool solo) {
    void *g = go_next_get_(&s.q, solo);
    if (g == NULL) {
      g = go_ring_get_(&s.q, solo);
    }
    if (g == NULL) {
      g = go_fresh_get_(&s.q, solo);
    }
    if (g != NULL) {
      s.take(g);
    }
  }
  void thread(unsigned i) {
    if (i > 0) {
      void *out[GO_RUNQ_CAP_ / 2];
      if (go_ld_acq(&open) == 0) {
        return;
      }
      uint32_t n = go_ring_steal_(&s.q, out);
      if (n == 0) {
        n = go_fresh_steal_(&s.q, out, GO_RUNQ_CAP_ / 2);
      }
      if (n == 0 && (out[0] = go_next_get_(&s.q, false)) != NULL) {
        n = 1;
      }
      s.take(out, n);
      return;
    }
    ready(s, 0, true);
    assert(go_fresh_put_(&s.q, s.make(1), true));
    ready(s, 2, true);
    pick(true);
    go_st_rel(&open, 1u); /* from here on there may be thieves */
    assert(go_fresh_put_(&s.q, s.make(3), false));
    ready(s, 4, false);
    ready(s, 5, false); /* moves 4 */
    for (int n = 0; n < 4; n++) {
      pick(false);
    }
  }
};

} /* namespace */

int main() {
  holds<small_ring>("ring, small", full());
  holds<ring<2>>("ring, one thief", bound(5));
  holds<ring<3>>("ring, two thieves", bound(2));
  holds<ring<3>>("ring, two thieves", random(200000));
  finds<ring<3>>(planted, 1, "the owner takes without compare-and-swap", random(100000));
  finds<ring<3>>(planted, 5, "a slot is not published", random(100000));

  holds<small_fresh>("fresh, small", full());
  holds<fresh<2>>("fresh, one thief", bound(6));
  holds<fresh<3>>("fresh, two thieves", bound(3));
  holds<fresh<3>>("fresh, two thieves", random(200000));
  finds<small_fresh>(planted, 2, "the word has no version", full());
  finds<fresh<3>>(planted, 2, "the word has no version", random(100000));

  holds<next>("next", bound(4));
  holds<next>("next", random(200000));
  finds<next>(planted, 3, "next is taken by a load and a store", random(100000));

  holds<never_empty>("never empty", bound(6));
  holds<never_empty>("never empty", random(200000));
  finds<never_empty>(planted, 4, "each part is looked at once", random(100000));

  holds<mixed>("all parts", bound(3));
  holds<mixed>("all parts", random(200000));
  return model::finish();
}
