/* tests/models/futex.h: the system's sleeping and waking, for models. */
#ifndef GOLIB_TESTS_MODELS_FUTEX_H_
#define GOLIB_TESTS_MODELS_FUTEX_H_

#include "tests/models/model.h"

namespace model {

/* Posted at most once between two waits; posting may come first. */
class event {
 public:
  event() { s_.init(false, 0, 1, $); }
  ~event() { s_.deinit($); }
  bool post() { /* false: it was posted already */
    unsigned before;
    return s_.post(1, before, $);
  }
  void wait() { s_.wait(false, false, $); }

 private:
  struct tag;
  rl::semaphore<tag> s_;
};

/* Compare and block, as one step. Waking goes by the address, and does not touch what is there. */
template <int Threads>
class futex {
 public:
  enum { TIMED_OUT = -110 };

  /* May come back for no reason (once), and, when timed, without having been woken. */
  int wait(go_a32 *addr, uint32_t val, bool timed) {
    place &me = places_[rl::thread_index()];
    lock_.lock($);
    if (go_ld_rlx(addr) != val) {
      lock_.unlock($);
      return 0;
    }
    me.addr = addr;
    lock_.unlock($);
    bool interrupted = me.interrupts < 1 && rl::rand(2) == 0;
    me.interrupts += interrupted;
    bool timed_out = !interrupted && timed && rl::rand(2) == 0;
    if (interrupted || timed_out) {
      lock_.lock($);
      bool asleep = me.addr != NULL;
      me.addr = NULL;
      lock_.unlock($);
      if (asleep) {
        return interrupted ? 0 : TIMED_OUT;
      }
    }
    me.woken.wait();
    return 0;
  }

  void wake(go_a32 *addr) {
    lock_.lock($);
    for (place &p : places_) {
      if (p.addr == addr) {
        p.addr = NULL;
        p.woken.post();
        break;
      }
    }
    lock_.unlock($);
  }

 private:
  struct place {
    go_a32 *addr = NULL; /* under lock_ */
    int interrupts = 0;
    event woken;
  };
  rl::mutex lock_;
  place places_[Threads];
};

} /* namespace model */

#endif /* GOLIB_TESTS_MODELS_FUTEX_H_ */
