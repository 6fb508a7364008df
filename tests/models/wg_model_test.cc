/* tests/models/wg_model_test.cc: the word of a wait group (sync/wg_word.h), with the lock and the list around it as
 * in sync/wg.c. A woken waiter frees the wait group at once.
 */
#include "tests/models/futex.h"

static int planted;
#define GO_WG_BUG_ planted
#include "core/lock.h"
#include "sync/wg_word.h"

namespace {

using model::bound;
using model::finds;
using model::full;
using model::holds;
using model::random;

struct waiter {
  rl::var<waiter *> next;
  rl::var<int> listed;
  rl::var<int> multi;
  go_a32 claim; /* who ends the wait: the waker or a context */
  model::event ready;

  explicit waiter(bool may_be_cancelled) : next(NULL), listed(0), multi(may_be_cancelled), claim(0u) {}
  bool claimed() {
    uint32_t open = 0;
    return go_cas_ar(&claim, &open, 1u);
  }
};

struct group {
  go_a64 word;
  go_a32 lock;
  rl::var<waiter *> head; /* under lock */

  explicit group(unsigned n) : word(0ull), lock(0u), head(NULL) { add((int)n); }

  void add(int delta) {
    int how = go_wg_word_add_(&word, delta);
    assert(how == GO_WG_OK_ || how == GO_WG_WAKE_);
    if (how == GO_WG_WAKE_) {
      wake_all();
    }
  }
  /* Returns whether the counter was 0; false: cancelled. */
  bool wait(bool may_be_cancelled) {
    if (go_wg_count_(go_ld_acq(&word)) == 0) {
      return true;
    }
    waiter *w = new waiter(may_be_cancelled);
    bool done = wait_slow(w);
    delete w;
    return done;
  }

 private:
  void wake_all() {
    waiter *list = NULL;
    go_lock_(&lock);
    while (head($) != NULL) {
      waiter *w = head($);
      del(w);
      if (!w->multi($) || w->claimed()) {
        w->next($) = list;
        list = w;
      }
    }
    go_unlock_(&lock);
    while (list != NULL) {
      waiter *next = list->next($);
      list->ready.post();
      list = next;
    }
  }
  bool wait_slow(waiter *w) {
    go_lock_(&lock);
    if (!go_wg_word_wait_(&word)) {
      go_unlock_(&lock);
      return true;
    }
    put(w);
    go_unlock_(&lock);
    if (w->multi($) && rl::rand(2) == 0 && w->claimed()) {
      return give_up(w);
    }
    w->ready.wait();
    return true;
  }
  bool give_up(waiter *w) {
    go_lock_(&lock);
    bool listed = w->listed($);
    del(w);
    if (listed && head($) == NULL && !go_wg_word_leave_(&word)) {
      w->multi($) = 0; /* the waker is on its way, and shall find us */
      put(w);
      go_unlock_(&lock);
      w->ready.wait();
      return true;
    }
    go_unlock_(&lock);
    return false;
  }
  void put(waiter *w) {
    w->listed($) = 1;
    w->next($) = head($);
    head($) = w;
  }
  void del(waiter *w) {
    if (!w->listed($)) {
      return;
    }
    w->listed($) = 0;
    if (head($) == w) {
      head($) = w->next($);
      return;
    }
    waiter *at = head($);
    while (at->next($) != w) {
      at = at->next($);
    }
    at->next($) = w->next($);
  }
};

/* Threads below Doers call done once, the others wait. The last waiter that is back frees it. */
template <int Doers, int Waiters, bool Cancel>
struct done_and_wait : rl::test_suite<done_and_wait<Doers, Waiters, Cancel>, Doers + Waiters> {
  rl::var<int> work[Doers];
  group *wg;
  rl::atomic<int> users;

  void before() {
    wg = new group(Doers);
    users.store(Waiters, rl::mo_relaxed, $);
    for (auto &w : work) {
      w($) = 0;
    }
  }
  void thread(unsigned i) {
    if (i < Doers) {
      work[i]($) = 1;
      wg->add(-1);
      return;
    }
    if (!wg->wait(Cancel)) {
      assert(Cancel);
      assert(wg->wait(false));
    }
    for (auto &w : work) {
      assert(w($) == 1);
    }
    if (users.fetch_sub(1, rl::mo_acq_rel, $) == 1) {
      delete wg;
    }
  }
};

/* The same wait group, used again by its only waiter. */
struct rounds : rl::test_suite<rounds, 2> {
  rl::var<int> work;
  group *wg;
  model::event go;

  void before() {
    wg = new group(1);
    work($) = 0;
  }
  void thread(unsigned i) {
    for (int round = 1; round <= 2; round++) {
      if (i == 0) {
        if (round > 1) {
          go.wait();
        }
        work($) = round;
        wg->add(-1);
        continue;
      }
      assert(wg->wait(false));
      assert(work($) == round);
      if (round < 2) {
        wg->add(1);
        go.post();
      } else {
        delete wg;
      }
    }
  }
};

} /* namespace */

int main() {
  holds<done_and_wait<1, 1, false>>("one and one", full());
  holds<done_and_wait<2, 1, false>>("two and one", bound(3));
  holds<done_and_wait<2, 2, false>>("two and two", bound(2));
  holds<done_and_wait<2, 2, false>>("two and two", random(300000));
  holds<done_and_wait<1, 1, true>>("cancelled, one and one", bound(4));
  holds<done_and_wait<1, 2, true>>("cancelled, one and two", random(300000));
  holds<done_and_wait<2, 2, true>>("cancelled, two and two", random(300000));
  holds<rounds>("used again", bound(3));
  holds<rounds>("used again", random(300000));
  finds<rounds>(planted, 1, "the waiters' bit stays when the counter gets to 0", random(100000));
  finds<done_and_wait<1, 1, true>>(planted, 2, "the waiters' bit stays when the waiter gives up",
                                   random(100000));
  finds<done_and_wait<2, 1, false>>(planted, 3, "a waiter's bit overwrites a done", random(100000));
  finds<done_and_wait<2, 1, false>>(planted, 4, "a done publishes nothing", random(100000));
  return model::finish();
}
