/* os/posix/serve.c: sockets for debug/.
 *
 * A Unix socket gets its permissions from the umask, which is the process's and not ours to change; chmod after
 * bind comes too late for who was quicker. So it is bound in a new directory that nobody else may enter, and moved to its
 * place when it is as it shall be.
 *
 * The move is a link(2), which fails where something is already, so of two programs that come at a time one wins. A
 * socket that nobody answers is renamed into our directory first and looked at there again: if it is another by
 * now, of a program that was quicker, it goes back.
 */
#include "posix.h"

#include <fcntl.h>
#include <golib/block.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

#if defined(MSG_NOSIGNAL)
#define SEND_FLAGS MSG_NOSIGNAL
#else
#define SEND_FLAGS 0 /* SO_NOSIGPIPE: see ours */
#endif

/* A descriptor is an int; other numbers are none. */
static int fd_of(intptr_t fd) { return fd < 0 || fd > INT_MAX ? -1 : (int)fd; }

/* Closes what is not to be had. Returns a code. */
static int drop(int fd) {
  int err = -errno;
  (void)close(fd);
  return err;
}

/* Neither waited for nor inherited: 0, or a code, and it is closed. */
static int ours(int fd) {
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0) return drop(fd);
#if defined(SO_NOSIGPIPE)
  int on = 1;
  (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
  return 0;
}

static int new_socket(int domain) {
#if defined(SOCK_CLOEXEC)
  int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0);
#else
  int fd = socket(domain, SOCK_STREAM, 0);
#endif
  if (fd < 0) return -errno;
  int r = ours(fd);
  return r != 0 ? r : fd;
}

/* ---- Unix sockets ---- */

typedef struct place {
  char dir[sizeof((struct sockaddr_un *)0)->sun_path]; /* ours alone */
  char bound[sizeof((struct sockaddr_un *)0)->sun_path];
  char old[sizeof((struct sockaddr_un *)0)->sun_path];
} place;

/* 0 or -ENAMETOOLONG. */
static int address(const char *path, struct sockaddr_un *ret) {
  memset(ret, 0, sizeof *ret);
  ret->sun_family = AF_UNIX;
  if (strlen(path) >= sizeof ret->sun_path) return -ENAMETOOLONG;
  memcpy(ret->sun_path, path, strlen(path) + 1);
  return 0;
}

static int make_place(const char *path, place *p) {
  size_t room = sizeof p->dir;
  int n = snprintf(p->dir, room, "%s.XXXXXX", path);
  if (n < 0 || (size_t)n + 2 >= room) return -ENAMETOOLONG;
  if (mkdtemp(p->dir) == NULL) return -errno;
  memcpy(p->bound, p->dir, room);
  memcpy(p->old, p->dir, room);
  memcpy(p->bound + n, "/s", 3);
  memcpy(p->old + n, "/o", 3);
  return 0;
}

/* A socket that listens at p->bound, for this user. */
static int bind_there(const place *p, go_os_file_id_ *ret_id) {
  struct sockaddr_un a;
  struct stat st;
  int r = address(p->bound, &a);
  int fd = r == 0 ? new_socket(AF_UNIX) : r;
  if (fd < 0) return fd;
  if (bind(fd, (const struct sockaddr *)&a, sizeof a) != 0 || chmod(p->bound, 0600) != 0 ||
      listen(fd, BACKLOG) != 0 || lstat(p->bound, &st) != 0) {
    return drop(fd);
  }
  *ret_id = (go_os_file_id_){(uint64_t)st.st_dev, (uint64_t)st.st_ino};
  return fd;
}

/* Whether a program answers at path; one whose queue of connections is full does too. */
static bool answers(const char *path) {
  struct sockaddr_un a;
  int fd = address(path, &a) == 0 ? new_socket(AF_UNIX) : -1;
  if (fd < 0) return true; /* not known: leave it alone */
  bool none = connect(fd, (const struct sockaddr *)&a, sizeof a) != 0 &&
              (errno == ECONNREFUSED || errno == ENOENT);
  (void)close(fd);
  return !none;
}

static bool is_own_socket(const char *path, struct stat *ret) {
  return lstat(path, ret) == 0 && S_ISSOCK(ret->st_mode) && ret->st_uid == geteuid();
}

/* Takes what nobody listens on out of the way: 0, -EAGAIN: something has changed meanwhile, or -EADDRINUSE. */
static int take_away(const char *path, const place *p) {
  struct stat before, taken;
  if (!is_own_socket(path, &before)) return errno == ENOENT ? -EAGAIN : -EADDRINUSE;
  if (answers(path)) return -EADDRINUSE;
  if (rename(path, p->old) != 0) return errno == ENOENT ? -EAGAIN : -errno;
  bool same = lstat(p->old, &taken) == 0 && taken.st_ino == before.st_ino &&
              taken.st_dev == before.st_dev && !answers(p->old);
  int put_back = same ? 0 : link(p->old, path);
  (void)put_back; /* if somebody was quicker again, it is his now */
  (void)unlink(p->old);
  return same ? 0 : -EADDRINUSE;
}

/* Moves p->bound to path. File systems without hard links have a rename, which asks nobody: looked at before. */
static int move_to(const char *path, const place *p) {
  struct stat st;
  if (link(p->bound, path) == 0) {
    (void)unlink(p->bound);
    return 0;
  }
  if (errno == EEXIST) return -EEXIST;
  if (errno != EPERM && errno != ENOTSUP && errno != EMLINK) return -errno;
  if (lstat(path, &st) == 0) return -EEXIST;
  return rename(p->bound, path) == 0 ? 0 : -errno;
}

static int put_in_place(const char *path, const place *p) {
  for (int tries = 0; tries < 10; tries++) {
    int r = move_to(path, p);
    if (r != -EEXIST) return r;
    errno = 0;
    r = take_away(path, p);
    if (r != 0 && r != -EAGAIN) return r;
  }
  return -EADDRINUSE;
}

int go_os_serve_unix_(const char *path, intptr_t *ret, go_os_file_id_ *ret_id) {
  GO_KEEP_ERRNO_BEGIN();
  place p;
  go_os_file_id_ id;
  int r = make_place(path, &p);
  if (r == 0) {
    int fd = bind_there(&p, &id);
    r = fd < 0 ? fd : put_in_place(path, &p);
    if (r == 0) {
      *ret = fd;
      *ret_id = id;
    } else if (fd >= 0) {
      (void)close(fd);
    }
    (void)unlink(p.bound);
    (void)rmdir(p.dir);
  }
  GO_KEEP_ERRNO_END();
  return r;
}

void go_os_serve_end_(const char *path, const go_os_file_id_ *id) {
  GO_KEEP_ERRNO_BEGIN();
  struct stat st;
  if (lstat(path, &st) == 0 && (uint64_t)st.st_dev == id->dev && (uint64_t)st.st_ino == id->ino) {
    (void)unlink(path);
  }
  GO_KEEP_ERRNO_END();
}

/* ---- TCP ---- */

static socklen_t tcp_address(int family, const uint8_t *ip, uint16_t port,
                             struct sockaddr_storage *ret) {
  memset(ret, 0, sizeof *ret);
  if (family == 6) {
    struct sockaddr_in6 *a = (struct sockaddr_in6 *)ret;
    a->sin6_family = AF_INET6;
    a->sin6_port = htons(port);
    memcpy(&a->sin6_addr, ip, 16);
    return sizeof *a;
  }
  struct sockaddr_in *a = (struct sockaddr_in *)ret;
  a->sin_family = AF_INET;
  a->sin_port = htons(port);
  memcpy(&a->sin_addr, ip, 4);
  return sizeof *a;
}

static int listen_tcp(int fd, const struct sockaddr_storage *a, socklen_t n, uint16_t *port) {
  struct sockaddr_storage got;
  int on = 1;
  (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  socklen_t size = sizeof got;
  if (bind(fd, (const struct sockaddr *)a, n) != 0 || listen(fd, BACKLOG) != 0 ||
      getsockname(fd, (struct sockaddr *)&got, &size) != 0) {
    return drop(fd);
  }
  *port = ntohs(got.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&got)->sin6_port
                                          : ((struct sockaddr_in *)&got)->sin_port);
  return fd;
}

int go_os_serve_tcp_(int family, const uint8_t *ip, uint16_t *port, intptr_t *ret) {
  GO_KEEP_ERRNO_BEGIN();
  struct sockaddr_storage a;
  socklen_t n = tcp_address(family, ip, *port, &a);
  int fd = new_socket(a.ss_family);
  if (fd >= 0) fd = listen_tcp(fd, &a, n, port);
  if (fd >= 0) *ret = fd;
  GO_KEEP_ERRNO_END();
  return fd < 0 ? fd : 0;
}

/* ---- connections ---- */

/* The permissions of the socket say the same, where the system looks at them; root passes both. */
static bool is_mine(int fd) {
#if defined(SO_PEERCRED)
  struct ucred c;
  socklen_t n = sizeof c;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n) != 0) return false;
  uid_t uid = c.uid;
#else
  uid_t uid;
  gid_t gid;
  if (getpeereid(fd, &uid, &gid) != 0) return false;
#endif
  return uid == geteuid() || uid == 0;
}

int go_os_accept_(intptr_t fd, bool mine, intptr_t *ret) {
  GO_KEEP_ERRNO_BEGIN();
  int c;
  do {
#if defined(SOCK_CLOEXEC)
    c = accept4(fd_of(fd), NULL, NULL, SOCK_CLOEXEC);
#else
    c = accept(fd_of(fd), NULL, NULL);
#endif
  } while (c < 0 && (errno == EINTR || errno == ECONNABORTED));
  int r = c < 0 ? -errno : ours(c);
  if (r == 0 && mine && !is_mine(c)) {
    (void)close(c);
    r = -EACCES;
  }
  if (r == 0) *ret = c;
  GO_KEEP_ERRNO_END();
  return r == -EWOULDBLOCK ? -EAGAIN : r;
}

ptrdiff_t go_os_recv_(intptr_t fd, void *buf, size_t n) {
  GO_KEEP_ERRNO_BEGIN();
  ptrdiff_t r;
  do {
    r = recv(fd_of(fd), buf, n, 0);
  } while (r < 0 && errno == EINTR);
  if (r < 0) r = errno == EWOULDBLOCK ? -EAGAIN : -errno;
  GO_KEEP_ERRNO_END();
  return r;
}

ptrdiff_t go_os_send_(intptr_t fd, const void *buf, size_t n) {
  GO_KEEP_ERRNO_BEGIN();
  ptrdiff_t r;
  do {
    r = send(fd_of(fd), buf, n, SEND_FLAGS);
  } while (r < 0 && errno == EINTR);
  if (r < 0) r = errno == EWOULDBLOCK ? -EAGAIN : -errno;
  GO_KEEP_ERRNO_END();
  return r;
}

void go_os_end_send_(intptr_t fd) {
  GO_KEEP_ERRNO_BEGIN();
  (void)shutdown(fd_of(fd), SHUT_WR);
  GO_KEEP_ERRNO_END();
}

int go_os_pair_(intptr_t ret[2]) {
  GO_KEEP_ERRNO_BEGIN();
  int fds[2];
#if defined(SOCK_CLOEXEC)
  int r = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0 ? 0 : -errno;
#else
  int r = socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0 ? 0 : -errno;
#endif
  if (r == 0 && (r = ours(fds[0])) != 0) {
    (void)close(fds[1]);
  } else if (r == 0 && (r = ours(fds[1])) != 0) {
    (void)close(fds[0]);
  } else if (r == 0) {
    ret[0] = fds[0];
    ret[1] = fds[1];
  }
  GO_KEEP_ERRNO_END();
  return r;
}

#define MOST 64

void go_os_poll_wait_(go_os_poll_ *fds, int n, int64_t ns) {
  GO_KEEP_ERRNO_BEGIN();
  struct pollfd p[MOST];
  n = n < MOST ? n : MOST;
  for (int i = 0; i < n; i++) {
    int events =
        ((fds[i].events & GO_FD_READ) ? POLLIN : 0) | ((fds[i].events & GO_FD_WRITE) ? POLLOUT : 0);
    p[i] = (struct pollfd){.fd = fd_of(fds[i].fd), .events = (short)events};
    fds[i].ready = 0;
  }
  int64_t ms = ns < 0 ? -1 : ns / 1000000 + (ns % 1000000 != 0);
  int r = poll(p, (nfds_t)n, ms > INT_MAX ? INT_MAX : (int)ms);
  for (int i = 0; r > 0 && i < n; i++) {
    fds[i].ready =
        ((p[i].revents & POLLIN) ? GO_FD_READ : 0) | ((p[i].revents & POLLOUT) ? GO_FD_WRITE : 0);
    if (p[i].revents & (POLLERR | POLLHUP | POLLNVAL)) fds[i].ready = GO_FD_READ | GO_FD_WRITE;
  }
  GO_KEEP_ERRNO_END();
}

/* ---- this process ---- */

/* Memory rather than a disk where the system has that: there may be no directory that we may write to. */
static int unnamed(void) {
#if defined(MFD_CLOEXEC)
  int fd = memfd_create("golib", MFD_CLOEXEC);
  if (fd >= 0) return fd;
#endif
  const char *dir = getenv("TMPDIR");
  char name[1024];
  int n = snprintf(name, sizeof name, "%s/golib.XXXXXX", dir != NULL ? dir : "/tmp");
  int file = n > 0 && (size_t)n < sizeof name ? mkstemp(name) : -1;
  if (file < 0) return file;
  (void)unlink(name);
  (void)fcntl(file, F_SETFD, FD_CLOEXEC);
  return file;
}

int go_os_temp_file_(intptr_t *ret) {
  GO_KEEP_ERRNO_BEGIN();
  int fd = unnamed();
  int r = fd < 0 ? -errno : 0;
  if (fd >= 0) *ret = fd;
  GO_KEEP_ERRNO_END();
  return r;
}

static const char *program(void) {
#if defined(__linux__)
  return program_invocation_short_name;
#else
  return getprogname();
#endif
}

int64_t go_os_process_(char *name, size_t n) {
  const char *all = program() != NULL ? program() : "";
  size_t len = strlen(all);
  len = len < n ? len : n - 1;
  memcpy(name, all, len);
  name[len] = '\0';
  return (int64_t)getpid();
}
