/* os/windows/fd.c: descriptors that others have opened: sockets. */
#include <golib/block.h>

#include <errno.h>

#include "os/windows/windows.h"

int go_os_fd_poll_(intptr_t fd, int events) {
  GO_KEEP_ERRORS_BEGIN();
  WSAPOLLFD p = {.fd = (SOCKET)fd};
  int r = 0;
  if (events & GO_FD_READ) p.events |= POLLRDNORM;
  if (events & GO_FD_WRITE) p.events |= POLLWRNORM;
  int n = WSAPoll(&p, 1, 0);
  if (n < 0 || (p.revents & POLLNVAL)) {
    int err = n < 0 ? WSAGetLastError() : WSAENOTSOCK;
    r = err == WSAENOTSOCK || err == WSANOTINITIALISED ? -EBADF
                                                       : go_windows_error_((unsigned long)err);
  } else if (p.revents & (POLLERR | POLLHUP)) {
    r = events; /* whoever tries will learn of it */
  } else {
    if (p.revents & POLLRDNORM) r |= GO_FD_READ;
    if (p.revents & POLLWRNORM) r |= GO_FD_WRITE;
  }
  GO_KEEP_ERRORS_END();
  return r;
}

int go_os_fd_dup_(intptr_t fd, intptr_t *ret) {
  GO_KEEP_ERRORS_BEGIN();
  WSAPROTOCOL_INFOW info;
  SOCKET s = INVALID_SOCKET;
  if (WSADuplicateSocketW((SOCKET)fd, GetCurrentProcessId(), &info) == 0) {
    s = WSASocketW(FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, &info, 0,
                   WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
  }
  int err = s == INVALID_SOCKET ? WSAGetLastError() : 0;
  int r = err == WSAENOTSOCK ? -EBADF : err != 0 ? go_windows_error_((unsigned long)err) : 0;
  if (r == 0) *ret = (intptr_t)s;
  GO_KEEP_ERRORS_END();
  return r;
}

void go_os_fd_close_(intptr_t fd) {
  GO_KEEP_ERRORS_BEGIN();
  (void)closesocket((SOCKET)fd);
  GO_KEEP_ERRORS_END();
}
