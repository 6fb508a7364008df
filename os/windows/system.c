/* os/windows/system.c: one fence for all threads, and looking at memory. */
#include <errno.h>

#include "os/windows/windows.h"

bool go_os_fence_init_(void) { return true; }

bool go_os_fence_all_(void) {
  FlushProcessWriteBuffers();
  return true;
}

/* Committed memory that can be written: the program's own, and its modules' data. Not sections that are mapped, which others
 * may share; nor guards of threads' stacks, which looking would set off. */
static bool is_own(const MEMORY_BASIC_INFORMATION *m) {
  const DWORD writable =
      PAGE_READWRITE | PAGE_WRITECOPY | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY;
  return m->State == MEM_COMMIT && m->Type != MEM_MAPPED && (m->Protect & writable) != 0 &&
         (m->Protect & PAGE_GUARD) == 0;
}

int go_os_each_writable_(bool (*f)(void *arg, uintptr_t lo, uintptr_t hi), void *arg) {
  GO_KEEP_ERRORS_BEGIN();
  MEMORY_BASIC_INFORMATION m;
  bool on = true;
  for (uintptr_t at = 0; on && VirtualQuery((const void *)at, &m, sizeof m) == sizeof m;) {
    uintptr_t start = (uintptr_t)m.BaseAddress, end = start + m.RegionSize;
    if (end <= at) {
      break;
    }
    on = !is_own(&m) || f(arg, start, end);
    at = end;
  }
  GO_KEEP_ERRORS_END();
  return 0;
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
