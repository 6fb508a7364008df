/* os/darwin/thread.c: what of threads is macOS's, and CPUs. */
#include <libproc.h>
#include <limits.h>
#include <mach/mach.h>
#include <mach/thread_policy.h>
#include <string.h>
#include <sys/proc_info.h>
#include <unistd.h>

#include "darwin.h"

enum { STACK_BYTES = 256 << 10, LARGE_STACK_BYTES = 8 << 20 };

/* Thread-locals lie elsewhere (dyld allocates them at the first touch). */
int go_posix_stack_size_(pthread_attr_t *attr, bool large) {
#if defined(GO_ASAN_) || defined(GO_TSAN_)
  /* Instrumented code and the sanitizers' own needs are several times larger. */
  return large ? pthread_attr_setstacksize(attr, LARGE_STACK_BYTES) : 0;
#else
  return pthread_attr_setstacksize(attr, large ? LARGE_STACK_BYTES : STACK_BYTES);
#endif
}

void go_os_thread_name_(const char *name) {
  char text[16]; /* as on the other systems */
  strncpy(text, name, sizeof text - 1);
  text[sizeof text - 1] = 0;
  GO_KEEP_ERRNO_BEGIN();
  pthread_setname_np(text);
  GO_KEEP_ERRNO_END();
}

/* Threads have a "latency quality of service"; tier 0 is the one whose timers are not put off. */
void go_os_thread_exact_(void) {
  thread_latency_qos_policy_data_t exact = {.thread_latency_qos_tier = LATENCY_QOS_TIER_0};
  (void)thread_policy_set(pthread_mach_thread_np(pthread_self()), THREAD_LATENCY_QOS_POLICY,
                          (thread_policy_t)&exact, THREAD_LATENCY_QOS_POLICY_COUNT);
}

/* Those of Apple's libraries (libdispatch) count as well: as long as there are any, no deadlock is reported. */
int go_os_thread_count_(void) {
  GO_KEEP_ERRNO_BEGIN();
  struct proc_taskinfo info;
  int n = proc_pidinfo(getpid(), PROC_PIDTASKINFO, 0, &info, sizeof info);
  GO_KEEP_ERRNO_END();
  return n == (int)sizeof info && info.pti_threadnum > 0 ? info.pti_threadnum : -1;
}

/* There are no affinities to CPUs, and no quotas. */
int go_os_cpus_(void) {
  GO_KEEP_ERRNO_BEGIN();
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  GO_KEEP_ERRNO_END();
  return n > 0 && n < INT_MAX ? (int)n : 1;
}
