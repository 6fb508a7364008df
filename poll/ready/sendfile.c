/* poll/ready/sendfile.c: core/io.h's sendfile.
 *
 * Linux: unlike send, sendfile raises SIGPIPE on a broken connection. So the signal is blocked for this thread
 * meanwhile, and the one that we have caused is taken: nobody else's, for one that was pending before stays.
 * Elsewhere the calls differ from system to system, and the file is read and sent.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "poll/ready/ready.h"

#if defined(__linux__)

#include <signal.h>
#include <sys/sendfile.h>
#include <time.h>

/* More is cut short by the system. */
#define CHUNK ((size_t)1 << 30)

static void take_sigpipe(const sigset_t *pipe) {
  static const struct timespec now = {0, 0};
  while (sigtimedwait(pipe, NULL, &now) < 0 && errno == EINTR) {}
}

static bool is_pending(void) {
  sigset_t pending;
  return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
}

/* Not inlined: see poll/ready/ready.c. */
static __attribute__((noinline)) ptrdiff_t sys_sendfile(int fd, int file, int64_t offset,
                                                        size_t n) {
  sigset_t pipe, before;
  off_t at = (off_t)offset;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  (void)pthread_sigmask(SIG_BLOCK, &pipe, &before);
  bool was_pending = is_pending();
  ptrdiff_t r;
  do {
    r = sendfile(fd, file, &at, n < CHUNK ? n : CHUNK);
  } while (r < 0 && errno == EINTR);
  if (r < 0) {
    r = errno == ESPIPE ? GO_EINVAL : -errno;
  }
  if (!was_pending) { /* also after it has sent a part */
    take_sigpipe(&pipe);
  }
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  return r;
}

typedef struct part {
  intptr_t file;
  int64_t offset;
  size_t n;
} part;

static ptrdiff_t try_sendfile(go_io_ *io, void *arg) {
  const part *p = (const part *)arg;
  return sys_sendfile((int)io->fd, (int)p->file, p->offset, p->n);
}

ptrdiff_t go_io_sendfile_(go_ctx *ctx, go_io_ *io, intptr_t file, int64_t offset, size_t n) {
  part p = {file, offset, n};
  return go_ready_do_(ctx, io, GO_PD_WRITE_, GO_PD_WRITES_, try_sendfile, &p);
}

#else

#define CHUNK ((size_t)64 << 10)

static __attribute__((noinline)) ptrdiff_t sys_pread(int file, void *buf, size_t n,
                                                     int64_t offset) {
  ptrdiff_t r;
  do {
    r = pread(file, buf, n, (off_t)offset);
  } while (r < 0 && errno == EINTR);
  return r < 0 ? -errno : r;
}

ptrdiff_t go_io_sendfile_(go_ctx *ctx, go_io_ *io, intptr_t file, int64_t offset, size_t n) {
  void *buf = malloc(CHUNK);
  if (buf == NULL) {
    return GO_ENOMEM;
  }
  ptrdiff_t r = sys_pread((int)file, buf, n < CHUNK ? n : CHUNK, offset);
  if (r > 0) {
    r = go_io_write_(ctx, io, buf, (size_t)r); /* what does not fit is read again */
  }
  free(buf);
  return r;
}

#endif
