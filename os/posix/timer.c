/* os/posix/timer.c: timers to sleep on, as descriptors of the system's. */
#include "posix.h"

#include <time.h>
#include <unistd.h>

#define A_WHILE (10 * 1000 * 1000) /* ns */

int go_os_timer_open_(go_os_timer_ *ret) {
  GO_KEEP_ERRNO_BEGIN();
  int fd = go_posix_timer_open_();
  ret->handle = fd;
  GO_KEEP_ERRNO_END();
  return fd < 0 ? fd : 0;
}

void go_os_timer_close_(go_os_timer_ *t) {
  GO_KEEP_ERRNO_BEGIN();
  close((int)t->handle);
  GO_KEEP_ERRNO_END();
}

void go_os_timer_set_(go_os_timer_ *t, int64_t ns) {
  GO_KEEP_ERRNO_BEGIN();
  go_posix_timer_set_((int)t->handle, ns);
  GO_KEEP_ERRNO_END();
}

void go_os_timer_wait_(go_os_timer_ *t) {
  GO_KEEP_ERRNO_BEGIN();
  int r;
  do {
    r = go_posix_timer_wait_((int)t->handle);
  } while (r < 0 && errno == EINTR);
  if (r < 0) { /* the program has closed what is not its own */
    nanosleep(&(struct timespec){0, A_WHILE}, NULL);
  }
  GO_KEEP_ERRNO_END();
}
