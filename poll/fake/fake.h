/* poll/fake/fake.h: steers the poller that has no kernel behind it.
 *
 * A test decides what becomes ready, and when, and when a break takes effect: that is where
 * schedulers lose wake-ups. Usable from any thread at any time after go_poll_init_; nothing here
 * suspends.
 */
#ifndef GOLIB_POLL_FAKE_FAKE_H_
#define GOLIB_POLL_FAKE_FAKE_H_

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Lets go_poll_wait_ hand over an event, `delay_ns` from now or at once (0). Events come in the
 * order in which they are due; those without delay first, in the order of the calls. Returns false
 * when too many are outstanding (GO_FAKE_EVENTS_). */
bool go_fake_poll_event_(uint64_t key, uint32_t events, int64_t result, int64_t delay_ns);
enum { GO_FAKE_EVENTS_ = 256 };

/* While held, breaks are remembered and end no wait; releasing them lets one take effect. */
void go_fake_poll_hold_breaks_(bool on);

/* Waits that a break ends return so much later, as the thread may get no processor for as long. 0: at once. */
void go_fake_poll_come_back_late_(int64_t ns);

/* Makes the next go_poll_add_ calls return `code` (0: succeed again). */
void go_fake_poll_fail_add_(int code);

/* The key that a handle is registered with; false if it is not. Handles are numbers below
 * GO_FAKE_HANDLES_. */
bool go_fake_poll_key_(intptr_t handle, uint64_t *ret_key);
enum { GO_FAKE_HANDLES_ = 1024 };

/* Whether the handle of go_poll_handle_, which no system knows, would be readable now. */
bool go_fake_poll_readable_(void);

/* What core has asked for so far. */
typedef struct go_fake_poll_counts_ {
  uint32_t looks;   /* go_poll_wait_(0) */
  uint32_t waits;   /* the others */
  uint32_t breaks;  /* go_poll_break_ */
  uint32_t broken;  /* waits that a break ended */
  uint32_t waiting; /* threads that are in a wait now: 0 or 1, or core is wrong */
  int64_t last_ns;  /* the argument of the latest wait */
  uint32_t drains;  /* go_poll_drain_ */
  int64_t alarm;    /* what the alarm is set to; INT64_MAX: not set */
} go_fake_poll_counts_;
go_fake_poll_counts_ go_fake_poll_counts_now_(void);

#ifdef __cplusplus
}
#endif

#endif /* GOLIB_POLL_FAKE_FAKE_H_ */
