/* core/ticker.c: timers that send on a channel: go_ticker, and what go_after makes. Protocol: core/timer.h.
 * Go: time.Ticker, time.After; runtime/time.go. Departure: a timer is in a heap whether anybody waits
 * on its channel or not, since here the last reference takes it out.
 */
#include <golib/defer.h>
#include <golib/time.h>

#include "core/timer.h"

/* A channel and its ticker, not armed. NULL: no memory. */
static go_ticker *new_ticker(int64_t period) {
  void *at;
  go_chan *c = go_chan_alloc_(sizeof(go_nsec), 1, sizeof(go_ticker), &at);
  if (c == NULL) {
    return NULL;
  }
  go_ticker *t = at;
  t->tm.kind = GO_TM_TICK_;
  t->tm.arg = c;
  t->period = period;
  c->ticker = t;
  return t;
}

static go_chan *chan_of(const go_ticker *t) { return t->tm.arg; }

/* Puts it into a heap. Returns whether go_tm_wake_(*ret_when) is wanted. */
static bool arm(go_m_ *m, go_ticker *t, go_nsec d, int64_t *ret_when) {
  *ret_when = t->tm.when = go_tm_when_(d);
  return t->tm.when != INT64_MAX && go_tm_put_in_(m, &t->tm);
}

static void start(go_m_ *m, go_ticker *t, go_nsec d) {
  int64_t when;
  if (arm(m, t, d, &when)) {
    go_tm_wake_(when);
  }
}

/* The channel locked. What has been sent, and what is on its way, is not received any more. Returns who waited to
 * send on it himself. */
static go_g_ *halt(go_ticker *t) {
  go_g_ *g = NULL;
  go_chan *c = chan_of(t);
  (void)go_tm_del_(&t->tm);
  t->tm.seq++;
  if (go_ld_rlx(&c->count) != 0) {
    (void)go_recv_locked_(c, NULL, &g);
  }
  return g;
}

void go_tick_end_(go_m_ *m, const go_tick_ *t) {
  go_g_ *g = NULL;
  go_lock_(&t->ch->lock);
  if (t->ch->ticker->tm.seq == t->seq) {
    (void)go_send_locked_(t->ch, &t->when, &g); /* full: the receiver is slow, and misses one */
  }
  go_unlock_(&t->ch->lock);
  if (g != NULL) {
    go_ready_(m, g);
  }
  go_chan_unref(t->ch);
}

void go_ticker_gone_(struct go_ticker *t) { (void)go_tm_del_(&t->tm); }

/* ---- public ---- */

go_chan *go_after(go_nsec d) {
  int err;
  go_m_ *m = go_tm_enter_(&err);
  go_ticker *t = m != NULL ? new_ticker(0) : NULL;
  if (t == NULL) {
    return NULL;
  }
  go_chan *c = chan_of(t);
  start(m, t, d);
  return c;
}

go_ticker *go_ticker_new(go_nsec period) {
  if (period <= 0) {
    go_panic("go_ticker_new of a period that is not positive");
  }
  int err;
  go_m_ *m = go_tm_enter_(&err);
  go_ticker *t = m != NULL ? new_ticker(period) : NULL;
  if (t != NULL) {
    start(m, t, period);
  }
  return t;
}

go_chan *go_ticker_chan(go_ticker *t) {
  if (t == NULL) {
    go_panic("go_ticker_chan of a NULL ticker");
  }
  return chan_of(t);
}

static void wake(go_g_ *g) {
  if (g != NULL) {
    go_ready_(go_m_get_(), g);
  }
}

void go_ticker_reset(go_ticker *t, go_nsec period) {
  if (t == NULL) {
    go_panic("go_ticker_reset of a NULL ticker");
  }
  if (period <= 0) {
    go_panic("go_ticker_reset to a period that is not positive");
  }
  int err;
  int64_t when;
  go_m_ *m = go_tm_enter_(&err);
  if (m == NULL) {
    go_fatal_("go_ticker_reset: the scheduler cannot be started: %s", go_strerror(err));
  }
  go_chan *c = chan_of(t);
  go_lock_(&c->lock);
  go_g_ *g = halt(t);
  t->period = period;
  bool first = arm(m, t, period, &when);
  go_unlock_(&c->lock);
  wake(g);
  if (first) {
    go_tm_wake_(when);
  }
}

void go_ticker_stop(go_ticker *t) {
  if (t == NULL) {
    go_panic("go_ticker_stop of a NULL ticker");
  }
  go_chan *c = chan_of(t);
  go_lock_(&c->lock);
  go_g_ *g = halt(t);
  go_unlock_(&c->lock);
  wake(g);
}

void go_ticker_free(go_ticker *t) {
  if (t != NULL) {
    go_ticker_stop(t);
    go_chan_unref(chan_of(t));
  }
}
