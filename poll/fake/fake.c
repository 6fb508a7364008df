/* poll/fake/fake.c: a poller for tests, which reports what it is told to: see fake.h.
 *
 * Built on core/os.h alone, so it runs wherever core does. All state is under `guard`, a spin lock
 * that is held for a few instructions; a wait sleeps on `changes`, which every call that could end
 * it increments.
 */
#include "poll/fake/fake.h"

#include "core/atomic.h"
#include "core/os.h"
#include "core/poll.h"

enum {
  EPERM_ = 1,
  EEXIST_ = 17,
  ENOENT_ = 2
}; /* the same on all systems; only os/ knows errno.h */

typedef struct event {
  uint64_t key;
  int64_t result, due;
  uint32_t events;
} event;

const char go_poll_name_[] = "fake";

static go_a32 guard;
static go_a32 changes;

static event queue[GO_FAKE_EVENTS_]; /* in the order of the calls */
static int queued;
static bool has_key[GO_FAKE_HANDLES_];
static uint64_t keys[GO_FAKE_HANDLES_];
static int add_code;
static bool hold, break_pending;
static int64_t late; /* ns */
static int64_t alarm_at = INT64_MAX;
static bool went_off; /* and was seen by a drain */
static go_fake_poll_counts_ counts;

static void enter(void) {
  uint32_t open;
  do {
    open = 0;
    if (go_cas_acq(&guard, &open, 1)) return; /* pairs with leave */
    go_os_yield_();
  } while (true);
}

static void leave(void) { go_st_rel(&guard, 0); } /* pairs with enter */

static void changed(void) {
  go_add_ar(&changes, 1); /* pairs with the load in go_poll_wait_ */
  go_os_futex_wake_(&changes.v, 1);
}

/* ---- the test's side ---- */

bool go_fake_poll_event_(uint64_t key, uint32_t events, int64_t result, int64_t delay_ns) {
  int64_t due = delay_ns > 0 ? go_os_now_() + delay_ns : 0;
  enter();
  bool room = queued < GO_FAKE_EVENTS_;
  if (room) queue[queued++] = (event){key, result, due, events};
  leave();
  changed();
  return room;
}

void go_fake_poll_hold_breaks_(bool on) {
  enter();
  hold = on;
  leave();
  changed();
}

void go_fake_poll_come_back_late_(int64_t ns) {
  enter();
  late = ns;
  leave();
}

void go_fake_poll_fail_add_(int code) {
  enter();
  add_code = code;
  leave();
}

bool go_fake_poll_key_(intptr_t handle, uint64_t *ret_key) {
  bool found = false;
  enter();
  if (handle >= 0 && handle < GO_FAKE_HANDLES_ && has_key[handle]) {
    found = true;
    *ret_key = keys[handle];
  }
  leave();
  return found;
}

go_fake_poll_counts_ go_fake_poll_counts_now_(void) {
  enter();
  go_fake_poll_counts_ c = counts;
  c.alarm = alarm_at;
  leave();
  return c;
}

bool go_fake_poll_readable_(void) {
  int64_t now = go_os_now_();
  enter();
  bool is = (break_pending && !hold) || (!went_off && alarm_at <= now);
  for (int i = 0; i < queued; i++) is = is || queue[i].due <= now;
  leave();
  return is;
}

/* ---- core's side ---- */

int go_poll_init_(void) {
  enter();
  queued = add_code = 0;
  hold = break_pending = false;
  late = 0;
  counts = (go_fake_poll_counts_){0};
  alarm_at = INT64_MAX;
  went_off = false;
  for (int i = 0; i < GO_FAKE_HANDLES_; i++) has_key[i] = false;
  leave();
  return 0;
}

void go_poll_fini_(void) {}

int go_poll_add_(intptr_t handle, uint64_t key) {
  int rc = 0;
  enter();
  if (add_code != 0) {
    rc = add_code;
  } else if (handle < 0 || handle >= GO_FAKE_HANDLES_) {
    rc = -EPERM_;
  } else if (has_key[handle]) {
    rc = -EEXIST_;
  } else {
    has_key[handle] = true;
    keys[handle] = key;
  }
  leave();
  return rc;
}

int go_poll_del_(intptr_t handle) {
  int rc = -ENOENT_;
  enter();
  if (handle >= 0 && handle < GO_FAKE_HANDLES_ && has_key[handle]) {
    has_key[handle] = false;
    rc = 0;
  }
  leave();
  return rc;
}

/* Takes the event that was due first, or tells when there will be one. Under guard. */
static bool take_event(int64_t now, event *ret, int64_t *ret_next) {
  int first = -1;
  for (int i = 0; i < queued; i++)
    if (first < 0 || queue[i].due < queue[first].due) first = i;
  if (first < 0) return false;
  if (queue[first].due > now) {
    if (queue[first].due < *ret_next) *ret_next = queue[first].due;
    return false;
  }
  *ret = queue[first];
  queued--;
  for (int i = first; i < queued; i++) queue[i] = queue[i + 1];
  return true;
}

/* Hands over all that is due. Core is called without the guard: it may call us. */
static int hand_over(int64_t *ret_next) {
  int n = 0;
  event e;
  for (;;) {
    int64_t now = go_os_now_();
    enter();
    bool one = n < GO_FAKE_EVENTS_ && take_event(now, &e, ret_next);
    leave();
    if (!one) return n;
    go_poll_event_(e.key, e.events, e.result);
    n++;
  }
}

int go_poll_wait_(int64_t ns) {
  int64_t now = go_os_now_();
  int64_t until = ns < 0 || ns > INT64_MAX - now ? INT64_MAX : now + ns;
  enter();
  if (ns == 0) {
    counts.looks++;
  } else {
    counts.waits++;
    counts.last_ns = ns;
  }
  counts.waiting++;
  leave();
  int n;
  for (;;) {
    uint32_t before = go_ld_acq(&changes); /* pairs with changed */
    int64_t next = until;
    n = hand_over(&next);
    enter();
    bool broken = ns != 0 && break_pending && !hold;
    if (broken) break_pending = false;
    counts.broken += broken;
    leave();
    now = go_os_now_();
    if (n == 0 && broken) n = GO_POLL_BROKEN_;
    if (n != 0 || now >= until) break;
    go_os_futex_wait_(&changes.v, before, next == INT64_MAX ? -1 : next > now ? next - now : 0);
  }
  enter();
  counts.waiting--;
  int64_t until_back = n == GO_POLL_BROKEN_ ? go_os_now_() + late : 0;
  leave();
  while (go_os_now_() < until_back) go_os_yield_();
  return n;
}

/* Not async-signal-safe, unlike its brothers: tests do not break from signal handlers. */
void go_poll_break_(void) {
  enter();
  break_pending = true;
  counts.breaks++;
  leave();
  changed();
}

/* ---- for a foreign loop ---- */

int go_poll_handle_(intptr_t *ret) {
  *ret = GO_FAKE_HANDLES_;
  return 0;
}

int go_poll_drain_(void) {
  int64_t next = INT64_MAX;
  int n = hand_over(&next);
  enter();
  counts.drains++;
  if (!hold) break_pending = false;
  went_off = went_off || alarm_at <= go_os_now_();
  leave();
  return n;
}

void go_poll_alarm_(int64_t when) {
  enter();
  alarm_at = when;
  went_off = false;
  leave();
}
