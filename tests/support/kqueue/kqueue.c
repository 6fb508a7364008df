/* tests/support/kqueue/kqueue.c: kqueue and kevent over epoll, eventfd and timerfd, so that poll/kqueue runs on Linux.
 *
 * A kqueue is an epoll instance, and four descriptors in it:
 *
 *   kqueue --+-- readers   an epoll with the descriptors of EVFILT_READ, edge-triggered
 *            +-- writers   the same of EVFILT_WRITE
 *            +-- users     an eventfd: some EVFILT_USER is triggered
 *            +-- timers    a timerfd per EVFILT_TIMER
 *
 * Two inner epolls, because one descriptor in one epoll is told about both directions at once, which would hide
 * that a kqueue tells them one by one. What is closed leaves by itself, as there.
 *
 * Faithful: EV_ADD of what is there changes it; EV_DELETE of what is not there is ENOENT; EV_CLEAR; EV_RECEIPT, after
 * which no events are fetched; EV_EOF with an error in fflags; EV_OOBAND; the kqueue itself can be polled;
 * time-outs in nanoseconds, and EINVAL for those of more than 100000000 s; EPIPE for EVFILT_WRITE of a pipe that
 * nobody reads. Different: events have no ident and no count of bytes (poll/kqueue does not look at them), EV_ADD
 * is always with EV_CLEAR, and a timer is one-shot.
 *
 * Signal handlers trigger events: so signals are blocked while the lock is held.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/event.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#undef close

enum { USERS = 64, TIMERS = 4, KQUEUES = 16, FETCH = 64 };

typedef struct user {
  bool there, triggered;
  uintptr_t ident;
  void *udata;
} user;

typedef struct timer {
  int fd; /* plus 1; 0: none */
  uintptr_t ident;
  void *udata;
} timer;

typedef struct queue {
  int fd; /* plus 1; 0: free */
  int readers, writers, users;
  user user[USERS];
  timer timer[TIMERS];
} queue;

static queue queues[KQUEUES]; /* under lock, as all below */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void enter(sigset_t *before) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, before);
  pthread_mutex_lock(&lock);
}

static void leave(const sigset_t *before) {
  pthread_mutex_unlock(&lock);
  pthread_sigmask(SIG_SETMASK, before, NULL);
}

static queue *find(int fd) {
  for (int i = 0; i < KQUEUES; i++)
    if (queues[i].fd == fd + 1) return &queues[i];
  return NULL;
}

/* ---- making and closing ---- */

static bool put_in(int outer, int fd) {
  struct epoll_event ev = {.events = EPOLLIN};
  return fd >= 0 && epoll_ctl(outer, EPOLL_CTL_ADD, fd, &ev) == 0;
}

int kqueue(void) {
  sigset_t before;
  int fd = epoll_create1(0); /* inherited by programs, unless the user says otherwise */
  if (fd < 0) return -1;
  enter(&before);
  queue *q = find(fd);
  if (q == NULL) q = find(-1);
  if (q == NULL) abort();
  memset(q, 0, sizeof *q);
  q->fd = fd + 1;
  q->readers = epoll_create1(EPOLL_CLOEXEC);
  q->writers = epoll_create1(EPOLL_CLOEXEC);
  q->users = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (!put_in(fd, q->readers) || !put_in(fd, q->writers) || !put_in(fd, q->users)) abort();
  leave(&before);
  return fd;
}

int standin_close(int fd) {
  sigset_t before;
  enter(&before);
  queue *q = fd >= 0 ? find(fd) : NULL;
  if (q != NULL) {
    close(q->readers);
    close(q->writers);
    close(q->users);
    for (int i = 0; i < TIMERS; i++)
      if (q->timer[i].fd != 0) close(q->timer[i].fd - 1);
    q->fd = 0;
  }
  leave(&before);
  return close(fd);
}

/* ---- changes: 0 or an errno ---- */

static bool is_broken_pipe(int fd) {
  struct stat st;
  struct pollfd p = {.fd = fd, .events = POLLOUT};
  return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && poll(&p, 1, 0) == 1 &&
         (p.revents & POLLERR) != 0;
}

static int change_fd(int inner, uint32_t events, const struct kevent *c) {
  int fd = (int)c->ident;
  struct epoll_event ev = {.events = events | EPOLLET, .data.ptr = c->udata};
  if (c->flags & EV_DELETE) return epoll_ctl(inner, EPOLL_CTL_DEL, fd, &ev) == 0 ? 0 : errno;
  if (!(c->flags & EV_ADD)) return ENOENT;
  if (c->filter == EVFILT_WRITE && is_broken_pipe(fd)) return EPIPE;
  if (epoll_ctl(inner, EPOLL_CTL_ADD, fd, &ev) == 0) return 0;
  if (errno == EEXIST) return epoll_ctl(inner, EPOLL_CTL_MOD, fd, &ev) == 0 ? 0 : errno;
  return errno == EPERM ? EINVAL : errno;
}

static user *find_user(queue *q, uintptr_t ident, bool there) {
  for (int i = 0; i < USERS; i++)
    if (q->user[i].there == there && (!there || q->user[i].ident == ident)) return &q->user[i];
  return NULL;
}

static int change_user(queue *q, const struct kevent *c) {
  user *u = find_user(q, c->ident, true);
  if (c->flags & EV_DELETE) {
    if (u == NULL) return ENOENT;
    u->there = false;
    return 0;
  }
  if (u == NULL && !(c->flags & EV_ADD)) return ENOENT;
  if (u == NULL) {
    u = find_user(q, 0, false);
    if (u == NULL) return ENOMEM;
    *u = (user){.there = true, .ident = c->ident};
  }
  u->udata = c->udata;
  if (c->fflags & NOTE_TRIGGER) {
    u->triggered = true;
    const uint64_t one = 1;
    if (write(q->users, &one, sizeof one) < 0) return errno;
  }
  return 0;
}

static timer *find_timer(queue *q, uintptr_t ident, bool there) {
  for (int i = 0; i < TIMERS; i++)
    if ((q->timer[i].fd != 0) == there && (!there || q->timer[i].ident == ident))
      return &q->timer[i];
  return NULL;
}

static void drop_timer(timer *t) {
  close(t->fd - 1);
  t->fd = 0;
}

static int change_timer(queue *q, const struct kevent *c) {
  timer *t = find_timer(q, c->ident, true);
  if (c->flags & EV_DELETE) {
    if (t == NULL) return ENOENT;
    drop_timer(t);
    return 0;
  }
  if (!(c->flags & EV_ADD)) return ENOENT;
  if ((c->flags & EV_ONESHOT) == 0 || (c->fflags & NOTE_NSECONDS) == 0)
    abort(); /* others are not done here */
  if (t != NULL) drop_timer(t);
  t = find_timer(q, 0, false);
  int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (t == NULL || fd < 0) abort();
  *t = (timer){.fd = fd + 1, .ident = c->ident, .udata = c->udata};
  int64_t ns = c->data > 0 ? c->data : 1;
  struct itimerspec at = {.it_value = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000}};
  if (timerfd_settime(fd, 0, &at, NULL) != 0 || !put_in(q->fd - 1, fd)) abort();
  return 0;
}

static int change(queue *q, const struct kevent *c) {
  switch (c->filter) {
    case EVFILT_READ: return change_fd(q->readers, EPOLLIN | EPOLLRDHUP | EPOLLPRI, c);
    case EVFILT_WRITE: return change_fd(q->writers, EPOLLOUT, c);
    case EVFILT_USER: return change_user(q, c);
    case EVFILT_TIMER: return change_timer(q, c);
    default: return EINVAL;
  }
}

/* ---- events ---- */

static bool translate(bool reader, const struct epoll_event *e, struct kevent *ret) {
  uint32_t any = EPOLLERR | EPOLLHUP | (reader ? EPOLLIN | EPOLLRDHUP : EPOLLOUT);
  if (!(e->events & any)) return false; /* urgent data alone */
  *ret = (struct kevent){
      .filter = reader ? EVFILT_READ : EVFILT_WRITE, .flags = EV_CLEAR, .udata = e->data.ptr};
  if (e->events & (EPOLLERR | EPOLLHUP | (reader ? EPOLLRDHUP : 0))) ret->flags |= EV_EOF;
  if (e->events & EPOLLERR) ret->fflags = ECONNRESET; /* some error */
  if (reader && (e->events & EPOLLPRI)) ret->flags |= EV_OOBAND;
  return true;
}

static int fetch_fds(int inner, bool reader, struct kevent *events, int room) {
  struct epoll_event some[FETCH];
  int got = 0;
  while (got < room) {
    int n = epoll_wait(inner, some, room - got < FETCH ? room - got : FETCH, 0);
    if (n <= 0) break;
    for (int i = 0; i < n; i++) got += translate(reader, &some[i], &events[got]);
  }
  return got;
}

static int fetch_users(queue *q, struct kevent *events, int room) {
  int got = 0;
  uint64_t count;
  if (room == 0 || read(q->users, &count, sizeof count) < 0) return 0;
  for (int i = 0; i < USERS; i++) {
    user *u = &q->user[i];
    if (!u->there || !u->triggered) continue;
    if (got == room) { /* the rest is for the next call */
      count = 1;
      if (write(q->users, &count, sizeof count) < 0) abort();
      break;
    }
    u->triggered = false;
    events[got++] = (struct kevent){
        .ident = u->ident, .filter = EVFILT_USER, .flags = EV_CLEAR, .udata = u->udata};
  }
  return got;
}

static int fetch_timers(queue *q, struct kevent *events, int room) {
  int got = 0;
  for (int i = 0; i < TIMERS && got < room; i++) {
    timer *t = &q->timer[i];
    uint64_t count;
    if (t->fd == 0 || read(t->fd - 1, &count, sizeof count) < 0) continue;
    events[got++] = (struct kevent){.ident = t->ident,
                                    .filter = EVFILT_TIMER,
                                    .flags = EV_ONESHOT,
                                    .data = (intptr_t)count,
                                    .udata = t->udata};
    drop_timer(t);
  }
  return got;
}

static int fetch(queue *q, struct kevent *events, int room) {
  int n = fetch_users(q, events, room);
  n += fetch_fds(q->writers, false, events + n, room - n);
  n += fetch_fds(q->readers, true, events + n, room - n);
  return n + fetch_timers(q, events + n, room - n);
}

/* Waits until the kqueue is readable. -1, 0 or 1, as poll does. */
static int wait_for(int kq, const struct timespec *left) {
  struct pollfd p = {.fd = kq, .events = POLLIN};
  return ppoll(&p, 1, left, NULL);
}

static int64_t now_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int kevent(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
           const struct timespec *timeout) {
  sigset_t before;
  int got = 0;
  if (timeout != NULL && (timeout->tv_sec < 0 || timeout->tv_sec > 100000000)) {
    errno = EINVAL;
    return -1;
  }
  enter(&before);
  queue *q = kq >= 0 ? find(kq) : NULL;
  if (q == NULL) {
    leave(&before);
    errno = EBADF;
    return -1;
  }
  for (int i = 0; i < nchanges; i++) {
    struct kevent c = changes[i];
    int err = change(q, &c);
    if (err == 0 && !(c.flags & EV_RECEIPT)) continue;
    if (got == nevents) {
      leave(&before);
      errno = err;
      return -1;
    }
    c.flags |= EV_ERROR;
    c.data = err;
    events[got++] = c;
  }
  leave(&before);
  if (got > 0 || nevents == 0) return got;
  int64_t until =
      timeout != NULL ? now_ns() + (int64_t)timeout->tv_sec * 1000000000 + timeout->tv_nsec : 0;
  for (;;) {
    enter(&before);
    got = fetch(q, events, nevents);
    leave(&before);
    int64_t ns = timeout != NULL ? until - now_ns() : 0;
    if (got > 0 || (timeout != NULL && ns <= 0)) return got;
    struct timespec left = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    if (wait_for(kq, timeout != NULL ? &left : NULL) < 0) return -1;
  }
}
