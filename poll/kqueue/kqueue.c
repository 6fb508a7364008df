/* poll/kqueue/kqueue.c: the poller of macOS and the BSDs.
 *
 * Every descriptor is registered once, for reading and for writing, which are two registrations here, each with
 * EV_CLEAR: told once for each change. Both carry core's key, which has a generation, as their udata. So
 * events of the two directions come one by one, and not in a fixed order.
 *
 * What comes with them: EV_EOF of the reading side, the stream ends (the peer's shutdown, or a hang-up); of the
 * writing side, nothing can be written any more; fflags, the socket's error; EV_OOBAND, there is urgent data on the way,
 * at which a read stops for a moment. Where something can be read or has ended, core is told with that event, and
 * remembers it (go_pd_more_), though later events of the other direction do not repeat it.
 *
 * Where the kernel refuses one of the directions, that one counts as hung up: macOS does so for the writing end of a
 * pipe that nobody reads any more. Whoever waits has to be woken to learn of it, so an event of our own (EVFILT_USER)
 * with the same key is triggered at once.
 *
 * Breaking off a wait takes a flag and another event of our own. The flag is the truth; the event only wakes. This is the
 * protocol of poll/epoll, with NOTE_TRIGGER in place of the write to an eventfd:
 *
 *   go_poll_break_              go_poll_wait_
 *   1 flag: 0 -> 1, or stop     1 flag: 1 -> 0? then look only, do not wait
 *   2 trigger the event         2 kevent
 *                               3 break event reported: flag 1 -> 0? then return; else go on waiting
 *
 * A foreign loop waits on the kqueue itself, which is readable while there is an event to fetch. The alarm is a timer in
 * it; what it reports is ignored, for its use is over when the loop has woken up.
 */
#include "core/poll.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/event.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/atomic.h"
#include "core/os.h"

_Static_assert(sizeof(void *) == sizeof(uint64_t), "keys travel as pointers");

/* ThreadSanitizer may not know kevent: what is registered happens before its events. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GO_TSAN_ 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(GO_TSAN_)
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#define BEFORE_EVENTS() __tsan_release(&kq)
#define AFTER_EVENTS() __tsan_acquire(&kq)
#else
#define BEFORE_EVENTS() ((void)0)
#define AFTER_EVENTS() ((void)0)
#endif

#ifndef EV_OOBAND
#define EV_OOBAND 0 /* macOS only */
#endif
#ifndef NOTE_CRITICAL
#define NOTE_CRITICAL 0 /* macOS only: not to be put off to save power */
#endif

const char go_poll_name_[] = "kqueue";

#define NS_PER_S 1000000000

/* 4 KiB of stack; what does not fit is reported by the next call. */
enum { EVENTS = 128 };

/* Longer waits are cut in pieces: the kernel refuses a time-out of more than some years. */
static const int64_t longest = (int64_t)1000000 * NS_PER_S;

/* The key of our own events that only wake: the break and the alarm. */
static const uint64_t break_key = UINT64_MAX;

/* Identifiers of EVFILT_USER: the break's, and of a descriptor one of whose directions was refused. */
#define BREAK_IDENT 0u
#define USER_IDENT(handle) ((uintptr_t)(handle) + 1)

static int kq = -1;
static go_a32 break_flag;
static int64_t alarm_at; /* INT64_MAX: it is not set */

static struct kevent change(uintptr_t ident, int filter, int flags, uint32_t fflags, int64_t data,
                            uint64_t key) {
  struct kevent ev;
  EV_SET(&ev, ident, (int16_t)filter, (uint16_t)flags, fflags, data, (void *)(uintptr_t)key);
  return ev;
}

/* Makes n changes, each of which says EV_RECEIPT, and only that: events stay. Afterwards changes[i].data is the
 * errno of change i. 0 or an errno. */
static int apply(struct kevent *changes, int n) {
  static const struct timespec now = {0, 0};
  int got;
  do {
    got = kevent(kq, changes, n, changes, n, &now);
  } while (got < 0 && errno == EINTR);
  return got == n ? 0 : got < 0 ? errno : EIO;
}

static int apply_one(struct kevent ev) {
  ev.flags |= EV_RECEIPT;
  int err = apply(&ev, 1);
  return err != 0 ? err : (int)ev.data;
}

/* ---- set-up ---- */

int go_poll_init_(void) {
  const int errno_before = errno;
  int err = 0;
  kq = kqueue();
  if (kq < 0 || fcntl(kq, F_SETFD, FD_CLOEXEC) != 0) {
    err = errno;
  } else {
    err = apply_one(change(BREAK_IDENT, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, break_key));
  }
  if (err != 0) {
    go_poll_fini_();
  } else {
    go_st_rlx(&break_flag, 0);
    alarm_at = INT64_MAX;
  }
  errno = errno_before;
  return -err;
}

void go_poll_fini_(void) {
  const int errno_before = errno;
  if (kq >= 0) close(kq);
  kq = -1;
  errno = errno_before;
}

/* ---- waiting ---- */

/* One system call. ns as in go_poll_wait_, but it may return early. */
static int wait_once(struct kevent *events, int64_t ns) {
  if (ns < 0) return kevent(kq, NULL, 0, events, EVENTS, NULL);
  if (ns > longest) ns = longest;
  struct timespec ts = {.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
  return kevent(kq, NULL, 0, events, EVENTS, &ts);
}

/* An error or a hang-up is for readers and writers alike, who find out what it is by trying; the
 * end of what can be read is for readers. */
static uint32_t translate(const struct kevent *ev) {
  bool eof = (ev->flags & EV_EOF) != 0;
  if (ev->filter == EVFILT_USER) return GO_POLL_IN_ | GO_POLL_OUT_ | GO_POLL_HUP_;
  uint32_t r = ev->filter == EVFILT_READ ? GO_POLL_IN_ : GO_POLL_OUT_;
  if (eof) r |= GO_POLL_HUP_;
  if (eof && ev->filter == EVFILT_WRITE) r |= GO_POLL_IN_;
  if (eof && ev->fflags != 0) r |= GO_POLL_IN_ | GO_POLL_OUT_ | GO_POLL_ERR_;
  if (ev->filter == EVFILT_READ && (ev->flags & EV_OOBAND)) r |= GO_POLL_PRI_;
  return r;
}

/* Most waits find no break: look before writing to a cache line that others want. */
static bool take_break(void) {
  return go_ld_rlx(&break_flag) != 0 && go_xchg_ar(&break_flag, 0) != 0;
}

/* Hands n events over. Returns how many were others'; *ret_broken: one was the break's or the alarm's. */
static int hand_over(const struct kevent *events, int n, bool *ret_broken) {
  int handed_over = 0;
  *ret_broken = false;
  for (int i = 0; i < n; i++) {
    uint64_t key = (uint64_t)(uintptr_t)events[i].udata;
    if (key == break_key) {
      *ret_broken = true;
    } else {
      go_poll_event_(key, translate(&events[i]), 0);
      handed_over++;
    }
  }
  return handed_over;
}

static void closed_by_others(void) {
  static const char text[] = "golib: kevent failed: its descriptor was closed by somebody else\n";
  go_os_write_(STDERR_FILENO, text, sizeof text - 1);
  go_os_abort_();
}

/* Fetches once. What go_poll_wait_ returns, if *ret_done. A mere look leaves a break to the next wait. */
static int fetch(int64_t ns, bool look, bool *ret_done) {
  struct kevent events[EVENTS];
  bool broken;
  int n = wait_once(events, ns);
  if (n < 0 && errno != EINTR) closed_by_others();
  AFTER_EVENTS();
  int handed_over = hand_over(events, n, &broken);
  broken = broken && !look && take_break(); /* step 3 */
  *ret_done = handed_over > 0 || broken || look;
  return handed_over == 0 && broken ? GO_POLL_BROKEN_ : handed_over;
}

int go_poll_wait_(int64_t ns) {
  const int errno_before = errno;
  bool before = ns != 0 && take_break(); /* step 1 */
  if (before) ns = 0;
  bool look = ns == 0, done;
  int64_t until = INT64_MAX; /* reckoned only when there is something to count down */
  if (ns > 0) {
    int64_t start = go_os_now_();
    until = ns > INT64_MAX - start ? INT64_MAX : start + ns;
  }
  int handed_over = fetch(ns, look, &done);
  while (!done) {
    /* A signal, a piece of a long wait, or the late wake-up of a break that was taken before. The clock is looked
     * at even if nothing is counted down: ThreadSanitizer puts a signal's handler off to the next call of libc. */
    int64_t now = go_os_now_();
    if (ns > 0 && now >= until) break;
    handed_over = fetch(ns > 0 ? until - now : ns, false, &done);
  }
  errno = errno_before;
  return handed_over == 0 && before ? GO_POLL_BROKEN_ : handed_over;
}

void go_poll_break_(void) {
  /* An exchange rather than a compare-and-swap: whoever finds the flag set has to publish what it
   * did before, too, to the wait that takes the flag (take_break), and a failed compare-and-swap
   * publishes nothing. */
  if (go_xchg_ar(&break_flag, 1) != 0) return;
  const int errno_before = errno;
  struct kevent ev = change(BREAK_IDENT, EVFILT_USER, 0, NOTE_TRIGGER, 0, break_key);
  while (kevent(kq, &ev, 1, NULL, 0, NULL) < 0 && errno == EINTR) {}
  errno = errno_before;
}

/* ---- for a foreign loop ---- */

int go_poll_handle_(intptr_t *ret) {
  *ret = kq;
  return 0;
}

int go_poll_drain_(void) {
  int all = 0, n;
  do {
    n = go_poll_wait_(0);
    all += n;
  } while (n >= EVENTS - 2); /* there may be more */
  /* After the fetching: a break whose event was fetched just now must not leave its flag behind, or the
   * next would not trigger. One that comes in between costs a wake-up for nothing. */
  (void)take_break();
  return all;
}

/* Timers are relative: those for an instant need a clock that is not everywhere. One that is too far off goes off
 * early, and is set again by whoever that wakes up. */
void go_poll_alarm_(int64_t when) {
  int64_t now = go_os_now_();
  if (when == alarm_at && (when == INT64_MAX || when > now))
    return; /* it is set, and has not gone off */
  const int errno_before = errno;
  struct kevent ev = change(0, EVFILT_TIMER, EV_DELETE, 0, 0, break_key);
  (void)apply_one(
      ev); /* also one that has gone off and was not fetched yet; ENOENT: there was none */
  alarm_at = when;
  if (when != INT64_MAX) {
    int64_t ns = when > now ? when - now : 1; /* 1: at once */
    if (ns > longest) {
      ns = longest;
      alarm_at = now; /* so as to be set again */
    }
    (void)apply_one(
        change(0, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_NSECONDS | NOTE_CRITICAL, ns, break_key));
  }
  errno = errno_before;
}

/* ---- registering ---- */

/* 0, or why it cannot be polled: an errno. Files are always ready; a kqueue tells when their end is reached, instead. */
static int pollable(int fd) {
  struct stat st;
  if (fstat(fd, &st) != 0) return errno;
  return S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) ? EPERM : 0;
}

/* Devices that cannot wait. */
static int refusal(int err) {
  return err == EINVAL || err == ENODEV || err == ENOTSUP ? EPERM : err;
}

static int add(int fd, uint64_t key) {
  const int how = EV_ADD | EV_CLEAR | EV_RECEIPT;
  struct kevent both[2] = {change((uintptr_t)fd, EVFILT_READ, how, 0, 0, key),
                           change((uintptr_t)fd, EVFILT_WRITE, how, 0, 0, key)};
  int err = apply(both, 2);
  if (err != 0) return err;
  if (both[0].data == 0 && both[1].data == 0) return 0;
  if (both[0].data != 0 && both[1].data != 0) return refusal((int)both[0].data);
  err = apply_one(change(USER_IDENT(fd), EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, key));
  if (err == 0) err = apply_one(change(USER_IDENT(fd), EVFILT_USER, 0, NOTE_TRIGGER, 0, key));
  return err;
}

/* How many of its registrations there were; *ret_err: why not all. */
static int del(int fd, int *ret_err) {
  const int how = EV_DELETE | EV_RECEIPT;
  struct kevent all[3] = {change((uintptr_t)fd, EVFILT_READ, how, 0, 0, 0),
                          change((uintptr_t)fd, EVFILT_WRITE, how, 0, 0, 0),
                          change(USER_IDENT(fd), EVFILT_USER, how, 0, 0, 0)};
  int n = 0, err = apply(all, 3);
  for (int i = 0; i < 3 && err == 0; i++) n += all[i].data == 0;
  *ret_err = err != 0 ? err : (int)all[0].data;
  return n;
}

int go_poll_add_(intptr_t handle, uint64_t key) {
  const int errno_before = errno;
  BEFORE_EVENTS();
  int ignored, err = pollable((int)handle);
  if (err == 0) {
    err = add((int)handle, key);
    if (err != 0) (void)del((int)handle, &ignored);
  }
  errno = errno_before;
  return -err;
}

int go_poll_del_(intptr_t handle) {
  const int errno_before = errno;
  int err;
  if (handle < 0) {
    err = EBADF; /* USER_IDENT of -1 is the break's */
  } else if (del((int)handle, &err) > 0) {
    err = 0;
  }
  errno = errno_before;
  return -err;
}
