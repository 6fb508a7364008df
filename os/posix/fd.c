/* os/posix/fd.c: descriptors that others have opened. */
#include "posix.h"

#include <fcntl.h>
#include <golib/block.h>
#include <limits.h>
#include <poll.h>

#ifndef POLLRDHUP
#define POLLRDHUP 0 /* Linux only; others say POLLIN when the stream ends */
#endif

/* A descriptor is an int; other numbers are none. */
static int fd_of(intptr_t fd) { return fd < 0 || fd > INT_MAX ? -1 : (int)fd; }

int go_os_fd_poll_(intptr_t fd, int events) {
  GO_KEEP_ERRNO_BEGIN();
  struct pollfd p = {.fd = fd_of(fd)};
  int n, r = 0;
  if (events & GO_FD_READ) p.events |= POLLIN | POLLRDHUP;
  if (events & GO_FD_WRITE) p.events |= POLLOUT;
  do {
    n = poll(&p, 1, 0);
  } while (n < 0 && errno == EINTR);
  if (n < 0) {
    r = -errno;
  } else if (p.fd < 0 || (p.revents & POLLNVAL)) {
    r = -EBADF;
  } else if (p.revents & (POLLERR | POLLHUP)) {
    r = events; /* whoever tries will learn of it */
  } else {
    if (p.revents & (POLLIN | POLLRDHUP)) r |= GO_FD_READ;
    if (p.revents & POLLOUT) r |= GO_FD_WRITE;
  }
  GO_KEEP_ERRNO_END();
  return r;
}

void go_os_fd_close_(intptr_t fd) { (void)go_os_file_close_(fd); }

int go_os_fd_dup_(intptr_t fd, intptr_t *ret) {
  GO_KEEP_ERRNO_BEGIN();
  int copy = fcntl(fd_of(fd), F_DUPFD_CLOEXEC, 0);
  int r = copy >= 0 ? 0 : -errno;
  if (r == 0) *ret = copy;
  GO_KEEP_ERRNO_END();
  return r;
}
