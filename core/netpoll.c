/* core/netpoll.c: core's side of the poller contract (core/poll.h).
 *
 * The poller keeps time and breaks sleeps; nothing is registered with it before net exists, so no
 * event can come.
 */
#include "core/poll.h"
#include "core/sched.h"

void go_poll_event_(uint64_t key, uint32_t events, int64_t result) {
  (void)events;
  (void)result;
  go_fatal_("poller event for key %llu, which nobody registered", (unsigned long long)key);
}
