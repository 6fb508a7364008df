/* golib/time.h: the clock, timers, tickers. (Units and GO_FOREVER: golib/base.h. Sleeping: golib/go.h.)
 *
 *   static void give_up(void *conn) { ... }        // a goroutine of its own: it may block
 *   go_timer t = {0};
 *   int r = go_timer_start(&t, 3 * GO_SEC, give_up, conn);
 *   ...
 *   if (go_timer_stop(&t)) ...                     // give_up has not run, and will not
 *
 *   go_ticker *beat = go_ticker_new(GO_SEC);
 *   while (go_chan_recv(go_ticker_chan(beat), NULL)) ...
 *
 * Nothing fires early; how late depends on how busy the Ps are: well under a millisecond while one is idle. Instants that lie
 * too far ahead for the clock count as its last; GO_FOREVER is never. Timers that can fire keep the
 * program from being reported as asleep for ever. go_shutdown stops them all.
 *
 * All functions may be called from goroutines and plain threads, several at a time, and never suspend.
 */
#ifndef GOLIB_TIME_H_
#define GOLIB_TIME_H_

#include <golib/base.h>
#include <golib/chan.h>

GO_EXTERN_C_BEGIN_

/* The monotonic clock in ns: never goes back, says nothing about the date. Go: time.Now. */
GO_API go_nsec go_now(void);

/* Starts a function when its time has come. Lives in the caller's storage, must not be copied or moved. States:
 * idle (all-zero is one way), active (started or reset, and not fired or stopped since). Its memory may go, or
 * be used for something else, when the timer is idle and no call on it is in progress but the one that
 * started or reset it: so fn may free it. Go: time.Timer of time.AfterFunc. */
typedef struct go_timer {
  go_nsec when_;
  void (*fn_)(void *);
  void *arg_, *heap_, *next_, *prev_;
  uint32_t seq_, at_, kind_, pad_;
  const char *site_;
  void *reserved_;
} go_timer;

/* Calls fn(arg) in a goroutine of its own, d ns from now; at once for d <= 0. The timer must be idle:
 * panics when it is active. Allocates nothing. When there is no memory for the goroutine at that time
 * it is tried again every millisecond, the timer being active meanwhile; go_config.max_goroutines does
 * not hold it up. Returns 0; GO_ENOMEM or GO_EAGAIN when the scheduler was not running and cannot be
 * started. fn NULL is a fatal error. Go: time.AfterFunc. */
GO_API GO_NODISCARD int go_timer_start(go_timer *t, go_nsec d, void (*fn)(void *), void *arg);

/* Makes it idle. Returns true when it was active: fn will not be called. False: it was idle, which
 * includes that fn's goroutine has been started; this does not wait for it. Go: Timer.Stop. */
GO_API bool go_timer_stop(go_timer *t);

/* Makes it active, to fire d ns from now as go_timer_start said last; at once for d <= 0. Returns true when
 * it was active: fn will not be called for what was set before. False: it was idle; fn may be running
 * for what was set before, and then may run twice at the same time. Panics when it was never started. Cannot
 * fail for want of memory. Go: Timer.Reset. */
GO_API bool go_timer_reset(go_timer *t, go_nsec d);

/* A new channel of capacity 1 that receives one go_nsec d ns from now, at once for d <= 0: the instant it was due.
 * To be dropped by go_chan_unref, fired or not; its timer goes with the last reference. NULL when memory is short.
 * Go: time.After. */
GO_API GO_NODISCARD go_chan *go_after(go_nsec d);

/* Sends on a channel every period. Go: time.Ticker. */
typedef struct go_ticker go_ticker;

/* A ticker whose channel, of capacity 1, receives a go_nsec after each period: the instant it was due.
 * Ticks that nobody takes in time are dropped, all but the first; the instants stay multiples of
 * the period from now. Panics when period <= 0. NULL when memory is short. Go: time.NewTicker. */
GO_API GO_NODISCARD go_ticker *go_ticker_new(go_nsec period);
/* Its channel, always the same, and the ticker's: use go_chan_ref to keep it for longer. Go: Ticker.C. */
GO_API go_chan *go_ticker_chan(go_ticker *t);
/* Begins anew with another period, also after a stop: the next tick comes a period from now, and none of
 * before is received. Panics when period <= 0. Cannot fail for want of memory. Go: Ticker.Reset. */
GO_API void go_ticker_reset(go_ticker *t, go_nsec period);
/* No more ticks, not even one that was sent and not received. Does not close the channel. Go: Ticker.Stop. */
GO_API void go_ticker_stop(go_ticker *t);
/* Stops it and drops it, and its reference to the channel. NULL accepted. */
GO_API void go_ticker_free(go_ticker *t);

/* What the macro below calls: go_timer_start, with the site for reports on the goroutine. */
GO_API GO_NODISCARD int go_timer_start_site_(const char *site, go_timer *t, go_nsec d,
                                             void (*fn)(void *), void *arg);

GO_EXTERN_C_END_

/* The function records where it was called when it is called by name. */
#define go_timer_start(t, d, fn, arg) go_timer_start_site_(GO_SITE_(#fn), (t), (d), (fn), (arg))

#endif /* GOLIB_TIME_H_ */
