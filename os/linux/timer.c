/* os/linux/timer.c: timers to sleep on: timerfds. */
#include "linux.h"

#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

int go_posix_timer_open_(void) {
  int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

void go_posix_timer_set_(int fd, int64_t ns) {
  struct itimerspec at = {.it_value = {ns / GO_NS_PER_S_, ns % GO_NS_PER_S_}};
  timerfd_settime(fd, 0, &at, NULL);
}

int go_posix_timer_wait_(int fd) {
  uint64_t times;
  return read(fd, &times, sizeof times) < 0 ? -1 : 0;
}
