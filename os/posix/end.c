/* os/posix/end.c: last words. */
#include "posix.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

void go_os_write_(int fd, const char *text, size_t size) {
  GO_KEEP_ERRNO_BEGIN();
  while (size > 0) {
    ssize_t n = write(fd, text, size);
    if (n > 0) {
      text += n;
      size -= (size_t)n;
    } else if (n < 0 && errno == EAGAIN) {
      /* Standard error may be somebody's non-blocking pipe: give the reader a second for each
       * piece. */
      struct pollfd p = {.fd = fd, .events = POLLOUT};
      int rc = poll(&p, 1, 1000);
      if (rc == 0 || (rc < 0 && errno != EINTR)) break;
    } else if (n == 0 || errno != EINTR) {
      break;
    }
  }
  GO_KEEP_ERRNO_END();
}

/* abort, not a bare signal: a program's crash reporter may have a handler for SIGABRT, and abort
 * ends the process when that handler returns. */
void go_os_abort_(void) { abort(); }
