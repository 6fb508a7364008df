/* os/windows/system.c: one fence for all threads, and looking at memory. */
#include <errno.h>

#include "os/windows/windows.h"

bool go_os_fence_init_(void) { return true; }

bool go_os_fence_all_(void) {
  FlushProcessWriteBuffers();
  return true;
}

/* Not written. */
int go_os_each_writable_(bool (*f)(void *arg, uintptr_t lo, uintptr_t hi), void *arg) {
  (void)f;
  (void)arg;
  return -ENOSYS;
}

bool go_os_peek_(void *to, const void *from, size_t n) {
  GO_KEEP_ERRORS_BEGIN();
  SIZE_T done = 0;
  bool ok = ReadProcessMemory(GetCurrentProcess(), from, to, n, &done) && done == n;
  GO_KEEP_ERRORS_END();
  return ok;
}

/* There are none that a process sends another. */
int go_os_on_signal_(int sig, void (*fn)(void *context)) {
  (void)sig;
  (void)fn;
  return -EINVAL;
}

void go_os_off_signal_(void) {}

const int go_os_dump_signal_ = 0;
