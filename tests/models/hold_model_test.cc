/* tests/models/hold_model_test.cc: taking a P from an M that is in user code (core/hold.h).
 *
 * The P is plain data: whoever has it changes it, so two that think they do are a race, which Relacy reports; and so is an
 * M that gets the P without seeing what the other did with it. The fence on all threads is one on each side here
 * (core/atomic.h, go_fence_light_).
 */
static int planted;
static int no_light_fence;
#define GO_HOLD_BUG_ planted
#define GO_NO_LIGHT_FENCE_ (no_light_fence || planted == 6)
#include "tests/models/model.h"

#include "core/hold.h"

using model::bound;
using model::finds;
using model::holds;
using model::random;

namespace {

enum {
  NO_HEAVY_FENCE = 1, /* sysmon looks at once */
  NOT_OUT = 2,        /* takes it without looking */
  ANSWER = 3,         /* the M comes back by a store */
  WEAK_LEAVE = 4,     /* what the M did may be seen late */
  NO_OWN_FENCE = 5,   /* FENCED, and no fence */
  NO_LIGHT_FENCE = 6, /* the M looks before it says that it is inside */
  WITHDRAW = 7,       /* sysmon takes back what was decided */
};

/* An M that calls golib Calls times, and a sysmon that tries to take its P Tries times, for another M to use. */
template <int Calls, int Tries, bool Fenced>
struct one_p : rl::test_suite<one_p<Calls, Tries, Fenced>, 2> {
  go_holding_ h;
  rl::var<int> p;
  rl::var<int> uses; /* of the M */
  int taken;

  void before() {
    h.in.store(0, rl::mo_relaxed, $);
    h.asked.store(Fenced ? GO_ASKED_FENCED_ : 0u, rl::mo_relaxed, $);
    p($) = 0;
    uses($) = 0;
    taken = 0;
  }
  void use() { p($) = p($) + 1; }

  /* core/sched.h go_hold_, and core/sched.c go_hold_slow_. Returns whether it has the P. */
  bool hold(uint32_t *was) {
    if (go_hold_enter_(&h, was)) {
      return true;
    }
    uint32_t asked = go_hold_answer_(&h);
    if (asked == GO_ASKED_TAKEN_) {
      go_hold_set_(&h, GO_ASKED_LOST_);
    }
    return asked == GO_ASKED_NO_;
  }
  void m() {
    for (int i = 0; i < Calls; i++) {
      uint32_t was, nested;
      if (hold(&was)) {
        use();
        RL_ASSERT(hold(&nested)); /* go_ready_ in what spawns, and the like */
        use();
        go_hold_leave_(&h, nested);
        use();
      }
      go_hold_leave_(&h, was);
    }
  }
  /* core/sysmon.c retake and take. */
  void sysmon() {
    for (int i = 0; i < Tries && taken == 0; i++) {
      if (!go_hold_ask_(&h)) {
        continue;
      }
      if (planted != NO_HEAVY_FENCE) {
        go_fence_sc();
      }
      if (go_hold_is_out_(&h) && go_hold_take_(&h)) {
        taken = 1;
        use();
        if (planted == WITHDRAW) {
          h.asked.store(GO_ASKED_NO_, rl::mo_relaxed, $);
        }
        use();
      } else {
        go_hold_withdraw_(&h);
      }
    }
  }
  void thread(unsigned i) {
    if (i == 0) {
      m();
    } else {
      sysmon();
    }
  }
  void after() {
    uint32_t a = h.asked.load(rl::mo_relaxed, $);
    RL_ASSERT((a & GO_ASKED_STATE_) != GO_ASKED_); /* nobody is asked for ever */
    RL_ASSERT(((a & GO_ASKED_STATE_) == GO_ASKED_NO_) == (taken == 0));
    RL_ASSERT(((a & GO_ASKED_FENCED_) != 0) == Fenced);
  }
};

/* The M comes back: with LOST it takes the P again when the other has let go of it, and may lose it again. */
struct again : rl::test_suite<again, 2> {
  go_holding_ h;
  rl::var<int> p;
  go_a32 idle; /* 1: sysmon's side has made the P idle */

  void before() {
    h.in.store(0, rl::mo_relaxed, $);
    h.asked.store(GO_ASKED_NO_, rl::mo_relaxed, $);
    idle.store(0, rl::mo_relaxed, $);
    p($) = 0;
  }
  void m() {
    for (int i = 0; i < 3; i++) {
      uint32_t was, one = 1;
      uint32_t asked = GO_ASKED_NO_;
      if (!go_hold_enter_(&h, &was) && (asked = go_hold_answer_(&h)) == GO_ASKED_TAKEN_) {
        go_hold_set_(&h, asked = GO_ASKED_LOST_);
      }
      if (asked == GO_ASKED_LOST_ && go_cas_ar(&idle, &one, 0u)) {
        go_hold_set_(&h, asked = GO_ASKED_NO_);
      }
      if (asked == GO_ASKED_NO_) {
        p($) = p($) + 1;
      }
      go_hold_leave_(&h, was);
    }
  }
  void sysmon() {
    for (int i = 0; i < 2; i++) {
      if (!go_hold_ask_(&h)) {
        continue;
      }
      go_fence_sc();
      if (go_hold_is_out_(&h) && go_hold_take_(&h)) {
        p($) = p($) + 1;
        go_st_rel(&idle, 1u);
      } else {
        go_hold_withdraw_(&h);
      }
    }
  }
  void thread(unsigned i) {
    if (i == 0) {
      m();
    } else {
      sysmon();
    }
  }
};

} /* namespace */

int main() {
  typedef one_p<2, 2, false> plain;
  typedef one_p<2, 2, true> fenced;
  holds<plain>("one P", bound(3));
  holds<plain>("one P", random(200000));
  holds<again>("comes back", bound(3));
  holds<again>("comes back", random(200000));
  no_light_fence = 1; /* the system has none: the M has its own */
  holds<fenced>("without a fence on all threads", bound(3));
  holds<fenced>("without a fence on all threads", random(200000));
  finds<fenced>(planted, NO_OWN_FENCE, "no fence at all", random(200000));
  no_light_fence = 0;
  finds<plain>(planted, NO_HEAVY_FENCE, "sysmon looks at once", random(200000));
  finds<plain>(planted, NOT_OUT, "taken from inside", random(200000));
  finds<plain>(planted, ANSWER, "both win", random(200000));
  finds<plain>(planted, WEAK_LEAVE, "what was done is seen late", random(200000));
  finds<plain>(planted, NO_LIGHT_FENCE, "the M looks too early", random(200000));
  finds<plain>(planted, WITHDRAW, "taken back", random(200000));
  return model::finish();
}
