/* os/windows/time.c: waiting on addresses, the clock, random bits. */
#include <errno.h>
#include <limits.h>

#include "core/atomic.h"
#include "os/windows/windows.h"

#include <ntsecapi.h> /* RtlGenRandom */

const char go_os_name_[] = "windows";

#define NS_PER_S 1000000000

/* QueryPerformanceFrequency is constant since the system was started; it cannot fail. */
static int64_t frequency(void) {
  static go_a64 known; /* racing writers write the same */
  uint64_t f = go_ld_rlx(&known);
  if (f == 0) {
    LARGE_INTEGER now;
    QueryPerformanceFrequency(&now);
    f = (uint64_t)now.QuadPart;
    go_st_rlx(&known, f);
  }
  return (int64_t)f;
}

int64_t go_os_now_(void) {
  LARGE_INTEGER now;
  int64_t f = frequency();
  QueryPerformanceCounter(&now);
  return now.QuadPart / f * NS_PER_S + now.QuadPart % f * NS_PER_S / f;
}

/* WaitOnAddress counts milliseconds; what it is made of counts units of 100 ns. */
NTSYSAPI NTSTATUS NTAPI RtlWaitOnAddress(const void *addr, const void *value, size_t size,
                                         const LARGE_INTEGER *timeout);
NTSYSAPI void NTAPI RtlWakeAddressSingle(const void *addr);
NTSYSAPI void NTAPI RtlWakeAddressAll(const void *addr);
#define TIMED_OUT ((NTSTATUS)0x102)

int go_os_futex_wait_(uint32_t *addr, uint32_t val, int64_t ns) {
  GO_KEEP_ERRORS_BEGIN();
  LARGE_INTEGER t = {.QuadPart = 0};
  int64_t units = ns / 100 + (ns % 100 != 0);
  t.QuadPart = -units; /* from now on */
  NTSTATUS s = RtlWaitOnAddress(addr, &val, sizeof val, ns >= 0 ? &t : NULL);
  GO_KEEP_ERRORS_END();
  return s == TIMED_OUT ? -ETIMEDOUT : 0;
}

/* The address is a name: the memory may be gone. */
void go_os_futex_wake_(uint32_t *addr, int n) {
  if (n == INT_MAX) {
    RtlWakeAddressAll(addr);
    return;
  }
  for (; n > 0; n--) {
    RtlWakeAddressSingle(addr);
  }
}

uint64_t go_os_random_(void) {
  uint64_t x;
  GO_KEEP_ERRORS_BEGIN();
  if (!RtlGenRandom(&x, sizeof x)) {
    x = (uint64_t)go_os_now_() + (uintptr_t)&x + (uintptr_t)go_os_name_;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    x ^= x >> 31;
  }
  GO_KEEP_ERRORS_END();
  return x;
}
