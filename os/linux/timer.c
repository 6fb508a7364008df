/* os/linux/timer.c: timers to sleep on, as descriptors. */
#include "linux.h"

#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000
#define A_WHILE (10 * 1000 * 1000) /* ns */

int go_os_timer_open_(go_os_timer_ *ret) {
  GO_KEEP_ERRNO_BEGIN();
  int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
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

void go_os_timer_set_(go_os_timer_ *t, int64_t ns) {
  GO_KEEP_ERRNO_BEGIN();
  struct itimerspec at = {.it_value = {ns / NS_PER_S, ns % NS_PER_S}};
  timerfd_settime((int)t->handle, 0, &at, NULL);
  GO_KEEP_ERRNO_END();
}

void go_os_timer_wait_(go_os_timer_ *t) {
  GO_KEEP_ERRNO_BEGIN();
  uint64_t times;
  ssize_t n;
  do {
    n = read((int)t->handle, &times, sizeof times);
  } while (n < 0 && errno == EINTR);
  if (n < 0) { /* the program has closed what is not its own */
    nanosleep(&(struct timespec){0, A_WHILE}, NULL);
  }
  GO_KEEP_ERRNO_END();
}
