/* os/windows/serve.c: there is no such thing as an owner's socket here that would be worth its name: Unix sockets exist, but
 * their files' permissions are not asked, and a peer's user cannot be told. So debug/ is not served. */
#include <errno.h>

#include "os/windows/windows.h"

int go_os_serve_unix_(const char *path, intptr_t *ret, go_os_file_id_ *ret_id) {
  (void)path, (void)ret, (void)ret_id;
  return -ENOTSUP;
}

void go_os_serve_end_(const char *path, const go_os_file_id_ *id) { (void)path, (void)id; }

int go_os_serve_tcp_(int family, const uint8_t *ip, uint16_t *port, intptr_t *ret) {
  (void)family, (void)ip, (void)port, (void)ret;
  return -ENOTSUP;
}

int go_os_accept_(intptr_t fd, bool mine, intptr_t *ret) {
  (void)fd, (void)mine, (void)ret;
  return -ENOTSUP;
}

ptrdiff_t go_os_recv_(intptr_t fd, void *buf, size_t n) {
  (void)fd, (void)buf, (void)n;
  return -ENOTSUP;
}

ptrdiff_t go_os_send_(intptr_t fd, const void *buf, size_t n) {
  (void)fd, (void)buf, (void)n;
  return -ENOTSUP;
}

void go_os_end_send_(intptr_t fd) { (void)fd; }

int go_os_pair_(intptr_t ret[2]) {
  (void)ret;
  return -ENOTSUP;
}

void go_os_poll_wait_(go_os_poll_ *fds, int n, int64_t ns) {
  (void)n, (void)ns;
  fds->ready = 0;
}

int go_os_temp_file_(intptr_t *ret) {
  (void)ret;
  return -ENOTSUP;
}

int64_t go_os_process_(char *name, size_t n) {
  if (n > 0) {
    name[0] = '\0';
  }
  return (int64_t)GetCurrentProcessId();
}
