/* core/fork.c: golib in the child of a fork.
 *
 * The child has one thread, a copy of the one that forked. golib's other threads are gone, with whatever locks
 * they held and whatever goroutines they ran. So nothing that needs the scheduler can work; what the child
 * may do is exec or _exit, and it must neither hang nor do half of something on the way.
 *
 * It is noticed at no cost: a handler in the child takes the thread's M away and declares the scheduler
 * stopped. Whatever needs either comes by its slow path then, go_attach_slow_ or go_start_, and these look at the
 * flag. So does whoever waits for a short lock, whose holder may be gone. Code that never leaves its own memory
 * (an atomic word, a free lock) works as always.
 * vfork, posix_spawn and clone call no handlers, and the first two need none. Rejected: a page that the
 * kernel wipes on fork (MADV_WIPEONFORK): all fast paths would have to read it.
 */
#include "core/sched.h"

#include "core/out.h"

go_a32 go_forked_flag_; /* stored before the child's only thread goes on: no order is needed */

static void child(void) {
  if (!go_in_use_()) {
    return; /* nothing to lose: it may start a scheduler of its own */
  }
  go_st_rlx(&go_forked_flag_, 1u);
  go_st_rlx(&GO_S->running, 0u);
  go_m_set_(NULL);
}

int go_fork_watch_(void) {
  static bool watched;
  int r = watched ? 0 : go_os_at_fork_(child);
  watched = watched || r == 0;
  return r;
}

void go_forked_fatal_(void *pc) {
  go_out_ o;
  go_out_init_(&o, 2);
  go_out_str_(
      &o,
      "golib: fatal: called in a forked child, where its threads do not exist: only exec and "
      "_exit may follow a fork\n");
  go_out_flush_(&o);
  go_os_symbols_(2, &pc, 1);
  go_os_abort_();
}
