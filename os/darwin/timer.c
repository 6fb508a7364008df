/* os/darwin/timer.c: timers to sleep on, each a kernel queue with one event. */
#include "darwin.h"

#include <sys/event.h>
#include <time.h>

int go_posix_timer_open_(void) {
  int fd = kqueue(); /* closed on exec, and not there in a forked child */
  return fd < 0 ? -errno : fd;
}

/* Adding it again sets the new time. */
void go_posix_timer_set_(int fd, int64_t ns) {
  struct kevent e;
  EV_SET(&e, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_NSECONDS, ns, NULL);
  kevent(fd, &e, 1, NULL, 0, NULL);
}

int go_posix_timer_wait_(int fd) {
  struct kevent e;
  return kevent(fd, NULL, 0, &e, 1, NULL) < 0 ? -1 : 0;
}
