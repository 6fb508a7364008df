/* os/windows/thread.c: threads. */
#include <errno.h>
#include <process.h>
#include <stdlib.h>
#include <string.h>

#include "os/windows/windows.h"

enum { STACK_BYTES = 256 << 10, LARGE_STACK_BYTES = 8 << 20 };

/* ---- start, join, detach ---- */

typedef struct start {
  void (*fn)(void *);
  void *arg;
} start;

static unsigned __stdcall run(void *p) {
  start s = *(start *)p;
  free(p);
  s.fn(s.arg);
  return 0;
}

static int start_thread(go_os_thread_ *ret, void (*fn)(void *), void *arg, unsigned size) {
  GO_KEEP_ERRORS_BEGIN();
  int r = -ENOMEM;
  start *s = malloc(sizeof *s);
  if (s != NULL) {
    *s = (start){fn, arg};
    uintptr_t h = _beginthreadex(NULL, size, run, s, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    if (h != 0) {
      ret->handle = h;
      r = 0;
    } else {
      r = errno == EAGAIN ? -EAGAIN : -ENOMEM;
      free(s);
    }
  }
  GO_KEEP_ERRORS_END();
  return r;
}

int go_os_thread_start_(go_os_thread_ *ret, void (*fn)(void *), void *arg) {
  return start_thread(ret, fn, arg, STACK_BYTES);
}

int go_os_thread_start_large_(go_os_thread_ *ret, void (*fn)(void *), void *arg) {
  return start_thread(ret, fn, arg, LARGE_STACK_BYTES);
}

void go_os_thread_join_(go_os_thread_ *t) {
  (void)WaitForSingleObject((HANDLE)t->handle, INFINITE);
  (void)CloseHandle((HANDLE)t->handle);
}

void go_os_thread_detach_(go_os_thread_ *t) { (void)CloseHandle((HANDLE)t->handle); }

void go_os_thread_name_(const char *name) {
  GO_KEEP_ERRORS_BEGIN();
  wchar_t wide[16];
  int n = 0;
  for (; n < 15 && name[n] != '\0'; n++) {
    wide[n] = (unsigned char)name[n];
  }
  wide[n] = 0;
  HRESULT(WINAPI * set)(HANDLE, const wchar_t *); /* Windows 10 1607 */
  void *f = go_windows_function_(L"kernelbase.dll", "SetThreadDescription");
  if (f != NULL) {
    memcpy(&set, &f, sizeof set);
    (void)set(GetCurrentThread(), wide);
  }
  GO_KEEP_ERRORS_END();
}

/* Exactness is the timer's that is waited on, here: poll/iocp. */
void go_os_thread_exact_(void) {}

void go_os_yield_(void) { (void)SwitchToThread(); }

/* ---- the end of a thread ---- */

typedef struct at_exit {
  void (*fn)(void *);
  void *arg;
} at_exit;

static DWORD exit_slot = FLS_OUT_OF_INDEXES;

static void WINAPI at_exit_run(void *p) {
  if (p != NULL) {
    at_exit copy = *(at_exit *)p;
    free(p);
    copy.fn(copy.arg);
  }
}

static BOOL CALLBACK make_exit_slot(PINIT_ONCE once, void *param, void **context) {
  (void)once;
  (void)param;
  (void)context;
  /* Threads call back into us when they end: in a DLL we must not be unloaded before that. */
  HMODULE self;
  (void)GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                           (LPCWSTR)(uintptr_t)at_exit_run, &self);
  exit_slot = FlsAlloc(at_exit_run);
  return TRUE;
}

int go_os_at_thread_exit_(void (*fn)(void *), void *arg) {
  static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
  GO_KEEP_ERRORS_BEGIN();
  (void)InitOnceExecuteOnce(&once, make_exit_slot, NULL, NULL);
  at_exit *e = exit_slot != FLS_OUT_OF_INDEXES ? malloc(sizeof *e) : NULL;
  int r = -ENOMEM;
  if (e != NULL) {
    *e = (at_exit){fn, arg};
    r = FlsSetValue(exit_slot, e) ? 0 : -ENOMEM;
    if (r != 0) {
      free(e);
    }
  }
  GO_KEEP_ERRORS_END();
  return r;
}

/* There is no fork. */
int go_os_at_fork_(void (*child)(void)) {
  (void)child;
  return 0;
}

/* ---- how many ---- */

NTSYSAPI LONG NTAPI NtGetNextThread(HANDLE process, HANDLE thread, ACCESS_MASK access,
                                    ULONG attributes, ULONG flags, HANDLE *next);

/* Threads of the system's own pool are among them: it has some in every process for its first half a minute. */
int go_os_thread_count_(void) {
  GO_KEEP_ERRORS_BEGIN();
  int n = 0;
  HANDLE thread = NULL, next;
  while (NtGetNextThread(GetCurrentProcess(), thread, THREAD_QUERY_LIMITED_INFORMATION, 0, 0,
                         &next) == 0) {
    if (thread != NULL) {
      (void)CloseHandle(thread);
    }
    thread = next;
    DWORD code;
    if (!GetExitCodeThread(thread, &code) || code == STILL_ACTIVE) {
      n++;
    }
  }
  if (thread != NULL) {
    (void)CloseHandle(thread);
  }
  GO_KEEP_ERRORS_END();
  return n > 0 ? n : -1;
}

/* ---- how many CPUs ---- */

static int affinity_cpus(void) {
  DWORD_PTR mine = 0, all = 0;
  int n = 0;
  if (GetActiveProcessorGroupCount() <= 1 &&
      GetProcessAffinityMask(GetCurrentProcess(), &mine, &all) && mine != 0) {
    n = __builtin_popcountll(mine);
  } else { /* 0: the process has threads in several groups */
    n = (int)GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
  }
  return n > 0 ? n : 1;
}

/* What the process's job may use at most, in CPUs, rounded up; 0: no limit. */
static int job_cpus(void) {
  JOBOBJECT_CPU_RATE_CONTROL_INFORMATION info;
  if (!QueryInformationJobObject(NULL, JobObjectCpuRateControlInformation, &info, sizeof info,
                                 NULL)) {
    return 0;
  }
  const DWORD capped = JOB_OBJECT_CPU_RATE_CONTROL_ENABLE | JOB_OBJECT_CPU_RATE_CONTROL_HARD_CAP;
  if ((info.ControlFlags & capped) != capped || info.CpuRate == 0) {
    return 0;
  }
  uint64_t all = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
  return (int)((all * info.CpuRate + 9999) / 10000); /* of 10000, for all together */
}

int go_os_cpus_(void) {
  GO_KEEP_ERRORS_BEGIN();
  int n = affinity_cpus(), job = job_cpus();
  GO_KEEP_ERRORS_END();
  return job > 0 && job < n ? job : n;
}
