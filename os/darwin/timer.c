/* os/darwin/timer.c: timers to sleep on, each a kernel queue with one event. */
#include "darwin.h"

#include <sys/event.h>
#include <time.h>
#include <unistd.h>

#define A_WHILE (10 * 1000 * 1000) /* ns */

int go_os_timer_open_(go_os_timer_ *ret) {
  GO_KEEP_ERRNO_BEGIN();
  int fd = kqueue(); /* closed on exec, and not there in a forked child */
  int r = fd < 0 ? -errno : 0;
  ret->handle = fd;
  GO_KEEP_ERRNO_END();
  return r;
}

void go_os_timer_close_(go_os_timer_ *t) {
  GO_KEEP_ERRNO_BEGIN();
  close((int)t->handle);
  GO_KEEP_ERRNO_END();
}

/* Adding it again sets the new time. */
void go_os_timer_set_(go_os_timer_ *t, int64_t ns) {
  GO_KEEP_ERRNO_BEGIN();
  struct kevent e;
  EV_SET(&e, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_NSECONDS, ns, NULL);
  kevent((int)t->handle, &e, 1, NULL, 0, NULL);
  GO_KEEP_ERRNO_END();
}

void go_os_timer_wait_(go_os_timer_ *t) {
  GO_KEEP_ERRNO_BEGIN();
  struct kevent e;
  int n;
  do {
    n = kevent((int)t->handle, NULL, 0, &e, 1, NULL);
  } while (n < 0 && errno == EINTR);
  if (n < 0) { /* the program has closed what is not its own */
    nanosleep(&(struct timespec){0, A_WHILE}, NULL);
  }
  GO_KEEP_ERRNO_END();
}
