/* poll/epoll/epoll.c: the poller of Linux.
 *
 * Every descriptor is registered once, edge-triggered, for both directions; its events carry core's
 * key.
 *
 * Breaking off a wait takes a flag and an eventfd. The flag is the truth; the eventfd only wakes:
 *
 *   go_poll_break_              go_poll_wait_
 *   1 flag: 0 -> 1, or stop     1 flag: 1 -> 0? then look only, do not wait
 *   2 write the eventfd         2 epoll_wait
 *                               3 eventfd reported: flag 1 -> 0? then return; else go on waiting
 *
 * No break is lost: if (1) on the left comes before (1) on the right, the flag is seen there; if
 * after, the write (2) comes during or before the wait and ends it. An event whose flag was
 * consumed already (between 1 and 2 on the left) is ignored. The eventfd is registered
 * edge-triggered: each write is an edge, so it never needs to be read, which saves a system call
 * for each break.
 *
 * A foreign loop waits on the epoll descriptor itself, which is readable while there is an event to
 * fetch. The alarm is a timerfd, registered like the eventfd: what it reports is ignored, for its use
 * is over when the loop has woken up.
 */
#include "core/poll.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "core/atomic.h"
#include "core/os.h"

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441 /* Linux 5.11; the same number on all processors */
#endif
_Static_assert(sizeof(long) == 8, "struct timespec is taken to be the kernel's 64-bit one");

/* Sanitizers see libc's calls, but not the raw one below: what is registered happens before its
 * events. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GO_TSAN_ 1
#endif
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define WRITTEN_BY_KERNEL(p, size) __msan_unpoison(p, size)
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(GO_TSAN_)
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#define BEFORE_EVENTS() __tsan_release(&epfd)
#define AFTER_EVENTS() __tsan_acquire(&epfd)
#else
#define BEFORE_EVENTS() ((void)0)
#define AFTER_EVENTS() ((void)0)
#endif
#ifndef WRITTEN_BY_KERNEL
#define WRITTEN_BY_KERNEL(p, size) ((void)0)
#endif

const char go_poll_name_[] = "epoll";

#define NS_PER_S 1000000000
#define NS_PER_MS 1000000

/* 1.5 KiB of stack; what does not fit is reported by the next call. */
enum { EVENTS = 128 };

/* The key of the eventfd and the timerfd. */
static const uint64_t break_key = UINT64_MAX;

static int epfd = -1, break_fd = -1;
static go_a32 alarm_fd;  /* plus 1; 0: none yet */
static int64_t alarm_at; /* INT64_MAX: it is not set */
static bool has_pwait2;
static go_a32 break_flag;

/* ---- set-up ---- */

static long pwait2(struct epoll_event *events, int n, const struct timespec *timeout) {
  return syscall(SYS_epoll_pwait2, epfd, events, n, timeout, NULL,
                 (size_t)8 /* bytes of a kernel sigset */);
}

int go_poll_init_(void) {
  const int errno_before = errno;
  int err = 0;
  epfd = epoll_create1(EPOLL_CLOEXEC);
  break_fd = epfd >= 0 ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
  struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.u64 = break_key};
  if (break_fd < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, break_fd, &ev) != 0) {
    err = errno;
    go_poll_fini_();
  } else {
    /* Fails with ENOSYS on an old kernel, with EPERM or ENOSYS under a filter that does not know
     * it. */
    struct epoll_event none[1];
    has_pwait2 = pwait2(none, 1, &(struct timespec){0, 0}) >= 0;
    go_st_rlx(&break_flag, 0);
    alarm_at = INT64_MAX;
  }
  errno = errno_before;
  return -err;
}

void go_poll_fini_(void) {
  const int errno_before = errno;
  if (go_ld_acq(&alarm_fd) != 0) close((int)go_ld_rlx(&alarm_fd) - 1);
  go_st_rlx(&alarm_fd, 0);
  alarm_at = INT64_MAX;
  if (break_fd >= 0) close(break_fd);
  if (epfd >= 0) close(epfd);
  epfd = break_fd = -1;
  errno = errno_before;
}

/* ---- waiting ---- */

/* One system call. ns as in go_poll_wait_. */
static int wait_once(struct epoll_event *events, int64_t ns) {
  if (has_pwait2) {
    struct timespec ts = {.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
    long n = pwait2(events, EVENTS, ns < 0 ? NULL : &ts);
    if (n > 0) WRITTEN_BY_KERNEL(events, (size_t)n * sizeof events[0]);
    return (int)n;
  }
  /* Rounded up, so as not to return early and spin. */
  int64_t ms = ns < 0 ? -1 : ns / NS_PER_MS + (ns % NS_PER_MS != 0);
  return epoll_wait(epfd, events, EVENTS, ms > INT_MAX ? INT_MAX : (int)ms);
}

/* An error or a hang-up is for readers and writers alike, who find out what it is by trying; the
 * other side's shutdown is for readers. */
static uint32_t translate(uint32_t e) {
  uint32_t r = 0;
  if (e & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) r |= GO_POLL_IN_;
  if (e & (EPOLLOUT | EPOLLHUP | EPOLLERR)) r |= GO_POLL_OUT_;
  if (e & EPOLLERR) r |= GO_POLL_ERR_;
  if (e & (EPOLLHUP | EPOLLRDHUP)) r |= GO_POLL_HUP_;
  if (e & EPOLLPRI) r |= GO_POLL_PRI_;
  return r;
}

/* Most waits find no break: look before writing to a cache line that others want. */
static bool take_break(void) {
  return go_ld_rlx(&break_flag) != 0 && go_xchg_ar(&break_flag, 0) != 0;
}

int go_poll_wait_(int64_t ns) {
  const int errno_before = errno;
  /* Reckoned only when there is something to count down. */
  int64_t until = 0;
  bool broken = ns != 0 && take_break(); /* step 1 */
  if (broken) ns = 0;
  if (ns > 0) {
    int64_t start = go_os_now_();
    until = ns > INT64_MAX - start ? INT64_MAX : start + ns;
  }
  bool look = ns == 0;
  int handed_over = 0;
  for (;;) {
    struct epoll_event events[EVENTS];
    int n = wait_once(events, ns);
    AFTER_EVENTS();
    for (int i = 0; i < n; i++) {
      if (events[i].data.u64 != break_key) {
        go_poll_event_(events[i].data.u64, translate(events[i].events), 0);
        handed_over++;
      } else if (!look && take_break()) { /* step 3 */
        broken = true;                    /* a mere look leaves it to the next wait */
      }
    }
    if (n < 0 && errno != EINTR) {
      static const char text[] =
          "golib: epoll_wait failed: its descriptor was closed by somebody else\n";
      go_os_write_(STDERR_FILENO, text, sizeof text - 1);
      go_os_abort_();
    }
    if (handed_over > 0 || broken || look || n == 0) break;
    /* A signal, or the late wake-up of a break that was taken before. The clock is looked at even
     * if nothing is counted down: ThreadSanitizer puts a signal's handler off to the next call of
     * libc. */
    int64_t now = go_os_now_();
    if (ns > 0) {
      ns = until - now;
      if (ns <= 0) break;
    }
  }
  errno = errno_before;
  return handed_over == 0 && broken ? GO_POLL_BROKEN_ : handed_over;
}

void go_poll_break_(void) {
  /* An exchange rather than a compare-and-swap: whoever finds the flag set has to publish what it
   * did before, too, to the wait that takes the flag (take_break), and a failed compare-and-swap
   * publishes nothing. */
  if (go_xchg_ar(&break_flag, 1) != 0) return;
  const int errno_before = errno;
  const uint64_t one = 1;
  /* EAGAIN after 2^64 breaks at most. */
  while (write(break_fd, &one, sizeof one) < 0 && errno == EINTR) {}
  errno = errno_before;
}

/* ---- for a foreign loop ---- */

static int make_alarm(void) {
  struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.u64 = break_key};
  int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (fd < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev) != 0) {
    int err = errno;
    if (fd >= 0) close(fd);
    return -err;
  }
  uint32_t none = 0;
  if (!go_cas_ar(&alarm_fd, &none, (uint32_t)fd + 1)) close(fd); /* another thread was faster */
  return 0;
}

int go_poll_handle_(intptr_t *ret) {
  const int errno_before = errno;
  int rc = go_ld_acq(&alarm_fd) != 0 ? 0 : make_alarm(); /* pairs with make_alarm */
  if (rc == 0) *ret = epfd;
  errno = errno_before;
  return rc;
}

int go_poll_drain_(void) {
  int all = 0, n;
  do {
    n = go_poll_wait_(0);
    all += n;
  } while (n >= EVENTS - 2); /* there may be more */
  /* After the fetching: a break whose write was fetched just now must not leave its flag behind, or the
   * next would not write. One that comes in between costs a wake-up for nothing. */
  (void)take_break();
  return all;
}

void go_poll_alarm_(int64_t when) {
  if (go_ld_acq(&alarm_fd) == 0) return;
  if (when == alarm_at && (when == INT64_MAX || when > go_os_now_()))
    return; /* it is set, and has not gone off */
  const int errno_before = errno;
  struct itimerspec at = {{0, 0}, {0, 0}};
  if (when != INT64_MAX) {
    int64_t ns = when > 0 ? when : 1; /* 0 would disarm */
    at.it_value = (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
  }
  timerfd_settime((int)go_ld_rlx(&alarm_fd) - 1, TFD_TIMER_ABSTIME, &at, NULL);
  alarm_at = when;
  errno = errno_before;
}

/* ---- registering ---- */

int go_poll_add_(intptr_t handle, uint64_t key) {
  const int errno_before = errno;
  struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
                           .data.u64 = key};
  BEFORE_EVENTS();
  int rc = epoll_ctl(epfd, EPOLL_CTL_ADD, (int)handle, &ev) == 0 ? 0 : -errno;
  errno = errno_before;
  return rc;
}

int go_poll_del_(intptr_t handle) {
  const int errno_before = errno;
  struct epoll_event ev = {0}; /* kernels before 2.6.9 wanted one; so does valgrind */
  int rc = epoll_ctl(epfd, EPOLL_CTL_DEL, (int)handle, &ev) == 0 ? 0 : -errno;
  errno = errno_before;
  return rc;
}
