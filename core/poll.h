/* core/poll.h: what core asks of a network poller.
 *
 * Defined by exactly one of poll/epoll, poll/kqueue, poll/iocp (and poll/fake for tests). It is
 * written in terms of operations, so that readiness backends ("try, wait until ready, try again")
 * and completion backends ("submit, wait until done") both fit: core only waits for, and wakes up,
 * the things that complete.
 *
 * One poller a process. go_poll_wait_ is called by one thread at a time (core's `poller` role); the
 * others may be called by any thread at the same time as it.
 */
#ifndef GOLIB_CORE_POLL_H_
#define GOLIB_CORE_POLL_H_

#include <stdbool.h>
#include <stdint.h>

/* Sets the poller up. Once, before all others. 0 or a negative code. */
int go_poll_init_(void);
/* Frees it. Nobody waits in it or will. */
void go_poll_fini_(void);

/* Waits for events for at most `ns` nanoseconds (0: looks only; negative: until one comes or a
 * break), with the resolution of the system's timers, not of milliseconds. Returns how many events
 * it handed over to go_poll_event_; without any, GO_POLL_BROKEN_ after a break, 0 when the time is up. By the clock these
 * cannot be told apart: a thread may come back late. Called on a thread's own stack
 * (g0) without a P when ns != 0. */
enum { GO_POLL_BROKEN_ = -1 };
int go_poll_wait_(int64_t ns);

/* Makes the go_poll_wait_ that is going on, or else the next one that would wait, return soon.
 * Calls before that return count once. Any thread, any lock, async-signal-safe. */
void go_poll_break_(void);

/* For a foreign event loop, which waits in our place (core/step.c): it calls go_poll_wait_ only after
 * go_poll_drain_, if at all. All of these on one thread at a time, but go_poll_handle_. */

/* What the loop waits on for reading: readable when an event has come, a break is pending, or the alarm has
 * gone off, until go_poll_drain_. Any thread. 0 or a negative code. */
int go_poll_handle_(intptr_t *ret);
/* Hands over all events that have come, as go_poll_wait_(0) does, and takes the break as well: what led to it
 * must be looked at afterwards. Returns how many events. */
int go_poll_drain_(void);
/* Makes the handle readable at `when`, at once if that is past; INT64_MAX: never. Replaces the alarm before. */
void go_poll_alarm_(int64_t when);

/* Core's side: called by the backend inside go_poll_wait_, once for each thing that has become
 * ready or done. `key` is what it was registered with. */
void go_poll_event_(uint64_t key, uint32_t events, int64_t result);

/* Whoever waits to read is woken by IN, whoever waits to write by OUT: errors and hang-ups set
 * both, the other side's shutdown and urgent data (PRI) set IN. ERR, HUP and PRI only tell more: each is
 * in every event of the handle for as long as it is so. */
enum { GO_POLL_IN_ = 1, GO_POLL_OUT_ = 2, GO_POLL_ERR_ = 4, GO_POLL_HUP_ = 8, GO_POLL_PRI_ = 16 };

/* Registers a handle once, for both directions, edge-triggered; events name
 * `key`, which is not UINT64_MAX. What is ready already is reported as an edge. 0 or a negative
 * code (-EPERM: cannot be polled). Where there are no edges (poll/iocp) IN and OUT are reported once each; there sockets of
 * net's are not registered, and only go_fd_wait's come here. */
int go_poll_add_(intptr_t handle, uint64_t key);
/* Undoes it, before the handle is closed. Events that are in flight may still come: the key carries
 * a generation, and core drops those that are stale. */
int go_poll_del_(intptr_t handle);

extern const char go_poll_name_[];

#endif /* GOLIB_CORE_POLL_H_ */
