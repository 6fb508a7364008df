/* tests/models/fdmu_model_test.cc: net/fdmu.h: users and closers of one socket. The descriptor is open while anybody is
 * inside, and is closed once; nobody waits for ever; the memory may go as soon as close has returned and the users have. */
#include "tests/models/goroutines.h"

static int planted;
#define GO_FDMU_BUG_ planted
enum { GO_ECLOSED = -10 };

#include "net/fdmu.h"

namespace {

using model::bound;
using model::finds;
using model::holds;
using model::random;

struct sock {
  go_fdmu_ mu;
  rl::var<int> fd;   /* 1: open. Users read it; who closes it writes */
  rl::var<int> turn; /* of readers: theirs alone */
  rl::var<int> closed;
  void init() {
    go_st_rlx(&mu.word, 0u);
    go_st_rlx(&mu.lock, 0u);
    for (int dir = 0; dir < 2; dir++) mu.head[dir] = mu.tail[dir] = NULL;
    mu.closer = NULL;
    mu.done = false;
    fd($) = 1;
    turn($) = 0;
    closed($) = 0;
  }
  void destroy() {
    assert(fd($) == 1);
    fd($) = 0;
    closed($) = closed($) + 1;
  }
  int use(go_ctx *ctx, int dir) {
    int r = go_fdmu_lock_(ctx, &mu, dir, 0);
    if (r != 0) {
      return r;
    }
    assert(fd($) == 1);
    if (dir == 0) turn($) = turn($) + 1;
    if (go_fdmu_unlock_(&mu, dir)) {
      destroy();
      go_fdmu_done_(&mu);
    }
    return 0;
  }
  void look() {
    if (!go_fdmu_ref_(&mu)) {
      return;
    }
    assert(fd($) == 1);
    if (go_fdmu_unref_(&mu)) {
      destroy();
      go_fdmu_done_(&mu);
    }
  }
  bool close() {
    if (!go_fdmu_close_(&mu)) {
      return false;
    }
    if (planted != 2 ? go_fdmu_unref_(&mu) : go_fdmu_last_(go_ld_acq(&mu.word))) {
      destroy();
    } else {
      go_fdmu_wait_done_(&mu, 0);
    }
    assert(fd($) == 0);
    return true;
  }
};

/* Readers take turns; nobody closes. */
template <int Readers, int Rounds>
struct turns : rl::test_suite<turns<Readers, Rounds>, Readers> {
  model::world w;
  sock s;
  void before() {
    w.init();
    s.init();
  }
  void thread(unsigned) {
    for (int i = 0; i < Rounds; i++) assert(s.use(NULL, 0) == 0);
  }
  void after() { assert(s.turn($) == Readers * Rounds); }
};

/* Two readers, a writer or one who only looks, and one who closes. */
template <int Users>
struct closing : rl::test_suite<closing<Users>, Users + 1> {
  model::world w;
  sock s;
  void before() {
    w.init();
    s.init();
  }
  void thread(unsigned i) {
    if (i == Users) {
      assert(s.close());
    } else if (i == 2) {
      s.look();
    } else {
      int r = s.use(NULL, 0);
      assert(r == 0 || r == GO_ECLOSED);
    }
  }
  void after() {
    assert(s.closed($) == 1);
    assert(!s.close());
  }
};

/* Of two who close, one does, and waits for the reader. */
struct twice : rl::test_suite<twice, 3> {
  model::world w;
  sock s;
  rl::atomic<int> won;
  void before() {
    w.init();
    s.init();
    won.store(0, rl::mo_relaxed, $);
  }
  void thread(unsigned i) {
    if (i == 0) {
      (void)s.use(NULL, 1);
    } else if (s.close()) {
      won.fetch_add(1, rl::mo_relaxed, $);
    }
  }
  void after() { assert(won.load(rl::mo_relaxed, $) == 1 && s.closed($) == 1); }
};

/* One of three readers may be cancelled, as it waits or as its turn comes. */
struct cancelled : rl::test_suite<cancelled, 4> {
  model::world w;
  sock s;
  go_ctx ctx;
  void before() {
    w.init();
    s.init();
    go_st_rlx(&ctx.c.lock, 0u);
    go_st_rlx(&ctx.c.err, 0u);
    ctx.c.head = NULL;
  }
  void thread(unsigned i) {
    if (i == 3) {
      assert(go_cancel_fire_(go_m_get_(), &ctx.c, GO_ECANCELED));
      return;
    }
    int r = s.use(i == 0 ? &ctx : NULL, 0);
    assert(r == 0 || (i == 0 && r == GO_ECANCELED));
  }
};

} /* namespace */

int main() {
  holds<turns<2, 2>>("two take turns", bound(3));
  holds<turns<3, 2>>("three take turns", random(100000));
  finds<turns<3, 2>>(planted, 1, "a waiter does not say that it waits", random(100000));
  holds<closing<2>>("closing", bound(3));
  holds<closing<3>>("closing", random(200000));
  finds<closing<3>>(planted, 2, "the closer is not counted", random(200000));
  holds<twice>("two close", bound(3));
  holds<twice>("two close", random(100000));
  holds<cancelled>("a context", bound(2));
  holds<cancelled>("a context", random(200000));
  return model::finish();
}
