/* os/posix/file.c: files. */
#include "posix.h"

#include <fcntl.h>
#include <golib/file.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_flags(int flags) {
  int f = O_CLOEXEC;
  f |= !(flags & GO_FILE_WRITE) ? O_RDONLY : flags & GO_FILE_READ ? O_RDWR : O_WRONLY;
  if (flags & GO_FILE_APPEND) f |= O_APPEND;
  if (flags & GO_FILE_CREATE) f |= O_CREAT;
  if (flags & GO_FILE_EXCLUSIVE) f |= O_EXCL;
  if (flags & GO_FILE_TRUNCATE) f |= O_TRUNC;
  return f;
}

/* macOS refuses more than INT_MAX bytes at a time; Linux cuts them short itself. */
#define CHUNK ((size_t)1 << 30)

static size_t at_most(size_t n) { return n < CHUNK ? n : CHUNK; }

/* A descriptor is an int; other numbers are none. */
static int fd_of(intptr_t file) { return file < 0 || file > INT_MAX ? -1 : (int)file; }

int go_os_file_open_(const char *path, int flags, unsigned mode, intptr_t *ret) {
  GO_KEEP_ERRNO_BEGIN();
  int fd, err = 0;
  do {
    fd = open(path, open_flags(flags), (mode_t)mode & 07777);
  } while (fd < 0 && errno == EINTR);
  if (fd >= 0) {
    *ret = fd;
  } else {
    err = -errno;
  }
  GO_KEEP_ERRNO_END();
  return err;
}

ptrdiff_t go_os_file_read_(intptr_t file, void *buf, size_t n, int64_t at) {
  GO_KEEP_ERRNO_BEGIN();
  ptrdiff_t r;
  do {
    r = at < 0 ? read(fd_of(file), buf, at_most(n)) : pread(fd_of(file), buf, at_most(n), at);
  } while (r < 0 && errno == EINTR);
  if (r < 0) r = -errno;
  GO_KEEP_ERRNO_END();
  return r;
}

ptrdiff_t go_os_file_write_(intptr_t file, const void *buf, size_t n, int64_t at) {
  GO_KEEP_ERRNO_BEGIN();
  ptrdiff_t r;
  do {
    r = at < 0 ? write(fd_of(file), buf, at_most(n)) : pwrite(fd_of(file), buf, at_most(n), at);
  } while (r < 0 && errno == EINTR);
  if (r < 0) r = -errno;
  GO_KEEP_ERRNO_END();
  return r;
}

/* After EINTR the descriptor is closed, and may be another's already. */
int go_os_file_close_(intptr_t file) {
  GO_KEEP_ERRNO_BEGIN();
  int r = close(fd_of(file)) == 0 || errno == EINTR ? 0 : -errno;
  GO_KEEP_ERRNO_END();
  return r;
}

int64_t go_os_file_size_(intptr_t file) {
  GO_KEEP_ERRNO_BEGIN();
  struct stat st;
  int64_t r = fstat(fd_of(file), &st) == 0 ? (int64_t)st.st_size : -errno;
  GO_KEEP_ERRNO_END();
  return r;
}

/* macOS: fsync leaves the data in the disk's cache. Not every file system can do better. */
static int sync_once(int fd) {
#if defined(F_FULLFSYNC)
  if (fcntl(fd, F_FULLFSYNC) == 0) return 0;
  if (errno == EINTR || errno == EBADF) return -1;
#endif
  return fsync(fd);
}

int go_os_file_sync_(intptr_t file) {
  GO_KEEP_ERRNO_BEGIN();
  int r;
  do {
    r = sync_once(fd_of(file));
  } while (r != 0 && errno == EINTR);
  if (r != 0) r = -errno;
  GO_KEEP_ERRNO_END();
  return r;
}
