/* tests/models/note_model_test.cc: one thread sleeps, another wakes it (core/note.h). */
#include "tests/models/futex.h"

static int planted;
#define GO_NOTE_BUG_ planted
#include "core/lock.h"
#include "core/note.h"

/* The futex of the model that runs now; set anew in each run. */
static model::futex<3> *kernel;

int go_os_futex_wait_(go_a32 *addr, uint32_t val, int64_t ns) {
  return kernel->wait(addr, val, ns >= 0);
}
void go_os_futex_wake_(go_a32 *addr, int) { kernel->wake(addr); }

namespace {

using model::bound;
using model::finds;
using model::full;
using model::holds;
using model::random;

struct with_kernel {
  model::futex<3> f;
  with_kernel() { kernel = &f; }
};

/* The waker writes, then wakes; the sleeper reads, and the note's memory is gone at once. */
struct once : rl::test_suite<once, 2> {
  with_kernel k;
  rl::var<int> data;
  go_note_ *n;

  void before() {
    data($) = 0;
    n = new go_note_;
    go_note_clear_(n);
  }
  void thread(unsigned i) {
    if (i == 0) {
      data($) = 1;
      go_note_wake_(n);
    } else {
      assert(go_note_sleep_(n, -1));
      assert(data($) == 1);
      delete n;
    }
  }
};

/* Sleeps that time out, then one that does not; three rounds with the same note. */
struct again : rl::test_suite<again, 2> {
  with_kernel k;
  rl::var<int> data;
  go_note_ n;
  model::event turn;

  void before() {
    data($) = 0;
    go_note_clear_(&n);
  }
  void thread(unsigned i) {
    for (int round = 1; round <= 3; round++) {
      if (i == 0) {
        data($) = round;
        go_note_wake_(&n);
        if (round < 3) {
          turn.wait();
        }
        continue;
      }
      if (!go_note_sleep_(&n, 1) && !go_note_sleep_(&n, 1)) {
        assert(go_note_sleep_(&n, -1));
      }
      assert(data($) == round);
      if (round < 3) {
        go_note_clear_(&n);
        turn.post();
      }
    }
  }
};

/* A list with a note: many wake, one sleeps until it has got all (core/proc.c, the starter). */
struct many : rl::test_suite<many, 3> {
  with_kernel k;
  go_a32 lock;
  rl::var<int> listed; /* under lock */
  go_note_ n;

  void before() {
    go_st_rlx(&lock, 0u);
    listed($) = 0;
    go_note_clear_(&n);
  }
  void thread(unsigned i) {
    if (i > 0) {
      go_lock_(&lock);
      listed($) = listed($) + 1;
      go_unlock_(&lock);
      go_note_wake_(&n);
      return;
    }
    for (int got = 0; got < 2;) {
      assert(go_note_sleep_(&n, -1));
      go_note_clear_(&n); /* before looking: a later wake-up is not lost */
      go_lock_(&lock);
      got += listed($);
      listed($) = 0;
      go_unlock_(&lock);
    }
  }
};

} /* namespace */

int main() {
  holds<once>("one sleep", full());
  holds<once>("one sleep", random(200000));
  finds<once>(planted, 1, "the waker loads, then stores", random(100000));
  finds<once>(planted, 2, "the sleeper overwrites the wake-up", random(100000));
  finds<once>(planted, 3, "waking publishes nothing", random(100000));

  holds<again>("time-outs and rounds", bound(3));
  holds<again>("time-outs and rounds", random(200000));

  holds<many>("many wake one", bound(3));
  holds<many>("many wake one", random(200000));
  return model::finish();
}
