/* tests/models/rwmutex_model_test.cc: sync/rwmutex.c itself, with goroutines that are threads of
 * the model. Reading is hot from the start: slots come into use at once.
 */
#include "tests/models/goroutines.h"

#define GO_RW_ROWS_ 2 /* threads share them */
#define GO_RW_COLS_ 1
#include "sync/rw_slots.h"

static int planted;
#define GO_RWMUTEX_BUG_ planted
#define GO_RW_HOT_ READS    /* every read lock by the word but the first */
static go_rw_slots_ *table; /* set anew in each run */
#define GO_RW_TABLE_ table

struct go_rwmutex {
  go_a64 state_;
  void *readers_head_ = NULL, *readers_tail_ = NULL;
  void *writers_head_ = NULL, *writers_tail_ = NULL;
  go_rwmutex() : state_(0ull) {}
};
#include "sync/rwmutex.c"

namespace {

using model::bound;
using model::finds;
using model::holds;
using model::random;

/* What the rwmutex protects, with it in it: gone when the last user has unlocked. */
struct object {
  go_rwmutex rw;
  rl::var<int> value; /* Relacy reports a write that meets a read */
  rl::atomic<int> users;
  explicit object(int n) : value(0), users(n) {}

  void read() { (void)value($); }
  void write() { value($) = value($) + 1; }
  /* Called while it is held: who is last has seen all others leave, or about to. */
  bool last() { return users.fetch_sub(1, rl::mo_acq_rel, $) == 1; }
};

template <int Threads>
struct world {
  model::world w;
  go_p_ p[Threads];
  go_rw_slots_ slots;
  go_ctx ctx;
  object *o;

  void init(bool hot) {
    w.init();
    go_st_rlx(&w.procs, 2u);
    for (int i = 0; i < Threads; i++) {
      p[i].id = (uint32_t)i;
      w.m[i].p = &p[i];
    }
    for (auto &row : slots.at) {
      for (auto &slot : row) {
        go_st_rlx(&slot, (void *)NULL);
      }
    }
    table = &slots;
    go_st_rlx(&ctx.c.lock, 0u);
    go_st_rlx(&ctx.c.err, 0u);
    ctx.c.head = NULL;
    o = new object(Threads);
    go_st_rlx(&o->rw.state_, hot ? BIAS : READ);
  }
  void read() {
    go_rwmutex_rlock(&o->rw);
    o->read();
    go_rwmutex_runlock(&o->rw);
  }
  void write() {
    go_rwmutex_lock(&o->rw);
    o->write();
    go_rwmutex_unlock(&o->rw);
  }
  void done() {
    assert(table->at[0][0].load(rl::mo_relaxed, $) == NULL);
    assert(table->at[1][0].load(rl::mo_relaxed, $) == NULL);
    uint64_t s = go_ld_rlx(&o->rw.state_);
    assert(!(s & ~(READS | BIAS)));
    assert(o->rw.readers_head_ == NULL && o->rw.writers_head_ == NULL);
    delete o;
  }
};

/* Threads below Writers write, the others read. */
template <int Writers, int Readers, int Rounds, bool Hot = false>
struct mixed : rl::test_suite<mixed<Writers, Readers, Rounds, Hot>, Writers + Readers> {
  world<Writers + Readers> w;
  void before() { w.init(Hot); }
  void thread(unsigned i) {
    for (int round = 0; round < Rounds; round++) {
      if (i < Writers) {
        w.write();
      } else {
        w.read();
      }
    }
  }
  void after() { w.done(); }
};

/* The last user frees it: nobody may touch it after his unlock. */
template <int Writers, int Readers, bool Hot>
struct freed : rl::test_suite<freed<Writers, Readers, Hot>, Writers + Readers> {
  world<Writers + Readers> w;
  rl::var<int> users;
  void before() {
    w.init(Hot);
    users($) = Writers;
  }
  void thread(unsigned i) {
    if (i >= Writers) { /* all readers before all writers */
      w.read();
      (void)w.o->users.fetch_sub(1, rl::mo_release, $);
      return;
    }
    go_rwmutex_lock(&w.o->rw);
    w.o->write();
    users($) = users($) - 1;
    bool last = users($) == 0;
    go_rwmutex_unlock(&w.o->rw);
    if (last) {
      while (w.o->users.load(rl::mo_acquire, $) != Writers) {
        rl::yield(1, $);
      }
      w.done();
    }
  }
};

/* A read lock that another thread undoes, which is on another P; a writer waits meanwhile. */
struct passed_on : rl::test_suite<passed_on, 4> {
  world<4> w;
  model::event locked;
  void before() { w.init(true); }
  void thread(unsigned i) {
    if (i == 0) {
      go_rwmutex_rlock(&w.o->rw);
      w.o->read();
      locked.post();
    } else if (i == 1) {
      locked.wait();
      w.o->read();
      go_rwmutex_runlock(&w.o->rw);
    } else if (i == 2) {
      w.write();
    } else {
      w.read();
    }
  }
  void after() { w.done(); }
};

/* Thread 0 only tries, first to write, then to read. */
template <bool Hot>
struct trying : rl::test_suite<trying<Hot>, 3> {
  world<3> w;
  void before() { w.init(Hot); }
  void thread(unsigned i) {
    if (i > 0) {
      w.read();
      w.write();
      return;
    }
    if (go_rwmutex_trylock(&w.o->rw)) {
      w.o->write();
      go_rwmutex_unlock(&w.o->rw);
    }
    if (go_rwmutex_tryrlock(&w.o->rw)) {
      w.o->read();
      go_rwmutex_runlock(&w.o->rw);
    }
  }
  void after() { w.done(); }
};

/* Thread 0 cancels; thread 1, a writer or reader, gives up with the context; the others wait without. */
template <bool Writer, int Writers, int Readers>
struct cancelled : rl::test_suite<cancelled<Writer, Writers, Readers>, 2 + Writers + Readers> {
  world<2 + Writers + Readers> w;
  void before() { w.init(false); }
  void thread(unsigned i) {
    if (i == 0) {
      assert(go_cancel_fire_(go_m_get_(), &w.ctx.c, GO_ECANCELED));
    } else if (i > 1) {
      if (i < 2 + Writers) {
        w.write();
      } else {
        w.read();
      }
    } else if (Writer && go_rwmutex_lock_ctx(&w.ctx, &w.o->rw) == 0) {
      w.o->write();
      go_rwmutex_unlock(&w.o->rw);
    } else if (!Writer && go_rwmutex_rlock_ctx(&w.ctx, &w.o->rw) == 0) {
      w.o->read();
      go_rwmutex_runlock(&w.o->rw);
    }
  }
  void after() { w.done(); }
};

} /* namespace */

int main() {
  holds<mixed<1, 1, 1>>("a writer and a reader", bound(4));
  holds<mixed<1, 1, 2>>("twice each", bound(3));
  holds<mixed<1, 1, 2, true>>("twice each, slots in use", bound(3));
  holds<mixed<2, 1, 2>>("two writers and a reader", random(100000));
  holds<mixed<1, 2, 2>>("a writer and two readers", random(100000));
  holds<mixed<1, 2, 2, true>>("a writer and two readers, slots in use", random(150000));
  holds<mixed<2, 2, 2, true>>("two and two, slots in use", random(150000));
  holds<mixed<1, 3, 2, true>>("a writer and three readers, slots in use", random(100000));
  holds<freed<2, 1, false>>("freed by the last", random(100000));
  holds<freed<2, 2, true>>("freed by the last, slots in use", random(100000));
  holds<passed_on>("unlocked by another", random(150000));
  holds<trying<false>>("one tries", random(100000));
  holds<trying<true>>("one tries, slots in use", random(100000));
  holds<cancelled<true, 1, 1>>("a writer gives up", random(150000));
  holds<cancelled<true, 1, 2>>("a writer gives up, two readers", random(100000));
  holds<cancelled<false, 2, 1>>("a reader gives up", random(100000));
  finds<mixed<1, 2, 2, true>>(planted, 1, "a reader in a slot does not look again", random(100000));
  finds<mixed<1, 2, 2, true>>(planted, 2, "a reader whose slot was taken locks once more",
                              random(100000));
  finds<cancelled<true, 1, 2>>(planted, 3, "a writer that gives up lets no reader in",
                               random(100000));
  finds<mixed<2, 1, 2>>(planted, 4, "a woken writer that waits again still counts as one",
                        random(100000));
  finds<mixed<1, 2, 2, true>>(planted, 5, "a writer looks at the slots before BIAS is gone",
                              random(100000));
  finds<mixed<1, 2, 2>>(planted, 6, "the last reader wakes no writer", random(100000));
  return model::finish();
}
