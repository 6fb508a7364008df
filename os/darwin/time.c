/* os/darwin/time.c: waiting on a word, the clock, random bits.
 *
 * macOS 14.4 has public calls for waiting on a word, os_sync_wait_on_address and its kin. They are looked up
 * when the program runs, so that it also runs on an older system, and can be built with older headers; there
 * os/darwin/lot.c does it. Not used: __ulock_wait, which is the same on older systems, but private to Apple: it may
 * change, and app stores refuse programs that call it.
 */
#include "darwin.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

const char go_os_name_[] = "darwin";

/* Of the system's <os/os_sync_wait_on_address.h>, and <os/clock.h>. */
enum { SYNC_NONE = 0, CLOCK_MACH_ABSOLUTE = 32 };
typedef int wait_fn(void *addr, uint64_t value, size_t size, uint32_t flags);
typedef int wait_timeout_fn(void *addr, uint64_t value, size_t size, uint32_t flags, uint32_t clock,
                            uint64_t ns);
typedef int wake_fn(void *addr, size_t size, uint32_t flags);

/* All of them, or all NULL; written by look_up only. */
static wait_fn *sync_wait;
static wait_timeout_fn *sync_wait_timeout;
static wake_fn *sync_wake_any, *sync_wake_all;

static void look_up(void) {
  wait_fn *wait = (wait_fn *)(uintptr_t)dlsym(RTLD_DEFAULT, "os_sync_wait_on_address");
  sync_wait_timeout =
      (wait_timeout_fn *)(uintptr_t)dlsym(RTLD_DEFAULT, "os_sync_wait_on_address_with_timeout");
  sync_wake_any = (wake_fn *)(uintptr_t)dlsym(RTLD_DEFAULT, "os_sync_wake_by_address_any");
  sync_wake_all = (wake_fn *)(uintptr_t)dlsym(RTLD_DEFAULT, "os_sync_wake_by_address_all");
  if (sync_wait_timeout != NULL && sync_wake_any != NULL && sync_wake_all != NULL) sync_wait = wait;
  if (sync_wait == NULL) pthread_atfork(NULL, NULL, go_lot_forked_);
}

static bool has_sync(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, look_up);
  return sync_wait != NULL;
}

/* mach_absolute_time in ns: it stands still while the system sleeps, as all time-outs do. */
int64_t go_os_now_(void) { return (int64_t)clock_gettime_nsec_np(CLOCK_UPTIME_RAW); }

/* >= 0: woken, or the value differs. ns: not 0. */
static int sync_once(uint32_t *addr, uint32_t val, int64_t ns) {
  if (ns < 0) return sync_wait(addr, val, sizeof *addr, SYNC_NONE);
  return sync_wait_timeout(addr, val, sizeof *addr, SYNC_NONE, CLOCK_MACH_ABSOLUTE, (uint64_t)ns);
}

/* EFAULT: the system could not look at the word now, as it may be paged out: tried again, as EINTR is. */
static int sync_sleep(uint32_t *addr, uint32_t val, int64_t ns) {
  int64_t now = ns >= 0 ? go_os_now_() : 0;
  int64_t until = ns < 0 || ns > INT64_MAX - now ? INT64_MAX : now + ns;
  for (;;) {
    int64_t left = until == INT64_MAX ? -1 : until - now;
    if (until != INT64_MAX && left <= 0)
      return __atomic_load_n(addr, __ATOMIC_RELAXED) == val ? -ETIMEDOUT : 0;
    if (sync_once(addr, val, left) >= 0 ||
        (errno != EINTR && errno != EFAULT && errno != ETIMEDOUT))
      return 0;
    if (until != INT64_MAX) now = go_os_now_();
  }
}

int go_os_futex_wait_(uint32_t *addr, uint32_t val, int64_t ns) {
  if (!has_sync()) return go_lot_wait_(addr, val, ns);
  GO_KEEP_ERRNO_BEGIN();
  int r = sync_sleep(addr, val, ns);
  GO_KEEP_ERRNO_END();
  return r;
}

/* Fails with ENOENT when nobody waits. */
void go_os_futex_wake_(uint32_t *addr, int n) {
  if (!has_sync()) {
    go_lot_wake_(addr, n);
    return;
  }
  GO_KEEP_ERRNO_BEGIN();
  if (n == INT32_MAX) {
    sync_wake_all(addr, sizeof *addr, SYNC_NONE);
  } else {
    while (n-- > 0 && sync_wake_any(addr, sizeof *addr, SYNC_NONE) >= 0) {}
  }
  GO_KEEP_ERRNO_END();
}

uint64_t go_os_random_(void) {
  uint64_t x;
  arc4random_buf(&x, sizeof x);
  return x;
}
