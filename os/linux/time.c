/* os/linux/time.c: futexes, the clock, random bits. */
#include "linux.h"

#include <limits.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The kernel's own header is not there with every C library (musl). */
#ifndef FUTEX_WAKE_PRIVATE
#define FUTEX_WAKE_PRIVATE (1 | 128)
#define FUTEX_WAIT_BITSET_PRIVATE (9 | 128)
#define FUTEX_BITSET_MATCH_ANY 0xffffffff
#endif

const char go_os_name_[] = "linux";

#define NS_PER_S 1000000000

int64_t go_os_now_(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
  return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

/* FUTEX_WAIT_BITSET rather than FUTEX_WAIT: its time-out is a point on the monotonic clock, so that
 * a wait that a signal interrupts goes on without reckoning, and many signals cannot stretch it. */
int go_os_futex_wait_(uint32_t *addr, uint32_t val, int64_t ns) {
  GO_KEEP_ERRNO_BEGIN();
  struct timespec until, *timeout = NULL;
  if (ns >= 0) {
    int64_t now = go_os_now_();
    int64_t at = ns > INT64_MAX - now ? INT64_MAX : now + ns;
    until.tv_sec = at / NS_PER_S;
    until.tv_nsec = at % NS_PER_S;
    timeout = &until;
  }
  long rc;
  for (;;) {
    rc = syscall(SYS_futex, addr, FUTEX_WAIT_BITSET_PRIVATE, val, timeout, NULL,
                 FUTEX_BITSET_MATCH_ANY);
    if (rc == 0 || errno != EINTR) break;
    (void)go_os_now_(); /* ThreadSanitizer puts a signal's handler off to the next call of libc */
  }
  /* EAGAIN: the value differs. Nothing else can happen with an address of ours. */
  int ret = rc < 0 && errno == ETIMEDOUT ? -ETIMEDOUT : 0;
  GO_KEEP_ERRNO_END();
  return ret;
}

void go_os_futex_wake_(uint32_t *addr, int n) {
  GO_KEEP_ERRNO_BEGIN();
  /* Fails with EFAULT when the memory is gone already, which core's notes may let happen: a waiter
   * that saw the word change without sleeping may free it before this call is made. */
  syscall(SYS_futex, addr, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
  GO_KEEP_ERRNO_END();
}

uint64_t go_os_random_(void) {
  GO_KEEP_ERRNO_BEGIN();
  uint64_t x;
  if (getrandom(&x, sizeof x, GRND_NONBLOCK) != (ssize_t)sizeof x) {
    /* Early at boot, or forbidden by a filter. Mix the clock and where we were loaded. */
    x = (uint64_t)go_os_now_() + (uintptr_t)&x + (uintptr_t)go_os_name_;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    x ^= x >> 31;
  }
  GO_KEEP_ERRNO_END();
  return x;
}
