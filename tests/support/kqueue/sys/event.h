/* tests/support/kqueue/sys/event.h: stands in for the header of macOS, see ../kqueue.c.
 *
 * Names and meanings are those of the manual page kqueue(2); numbers are macOS's. Only what poll/kqueue uses.
 */
#ifndef GOLIB_TESTS_SUPPORT_KQUEUE_SYS_EVENT_H_
#define GOLIB_TESTS_SUPPORT_KQUEUE_SYS_EVENT_H_

#include <stdint.h>
#include <time.h>

#define EVFILT_READ (-1)
#define EVFILT_WRITE (-2)
#define EVFILT_TIMER (-7)
#define EVFILT_USER (-10)

#define EV_ADD 0x0001
#define EV_DELETE 0x0002
#define EV_ONESHOT 0x0010
#define EV_CLEAR 0x0020
#define EV_RECEIPT 0x0040
#define EV_OOBAND 0x2000
#define EV_ERROR 0x4000
#define EV_EOF 0x8000

#define NOTE_TRIGGER 0x01000000
#define NOTE_NSECONDS 0x00000004
#define NOTE_CRITICAL 0x00000020

struct kevent {
  uintptr_t ident;
  int16_t filter;
  uint16_t flags;
  uint32_t fflags;
  intptr_t data;
  void *udata;
};

#define EV_SET(kevp, a, b, c, d, e, f) \
  (*(kevp) = (struct kevent){          \
       .ident = (a), .filter = (b), .flags = (c), .fflags = (d), .data = (e), .udata = (f)})

#ifdef __cplusplus
extern "C" {
#endif
int kqueue(void);
int kevent(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
           const struct timespec *timeout);
/* As the kernel does when a kqueue is closed: frees what belongs to it. */
int standin_close(int fd);
#ifdef __cplusplus
}
#endif

#define close(fd) standin_close(fd)

#endif /* GOLIB_TESTS_SUPPORT_KQUEUE_SYS_EVENT_H_ */
