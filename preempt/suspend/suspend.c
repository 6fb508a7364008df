/* preempt/suspend/suspend.c: stopping a goroutine by suspending its thread, on Windows.
 *
 * sysmon does it all, while the system has the thread suspended: it gets its PC and stack pointer, looks whether that is the program's
 * code and the goroutine may be stopped there, sets the PC to go_suspend_entry_ (entry_amd64.S), and lets it go on. Nothing else of the
 * thread is changed, nothing is written to its stack: it pushes everything there itself, so that the stack grows as it always
 * does. The interrupted PC waits in t->own; until the thread has fetched it, its PC is in golib's own code, and whoever asks
 * again is refused.
 *
 * A suspended thread may hold any lock, the heap's and the loader's among them. So between SuspendThread and ResumeThread
 * nothing is called but the system itself, and what is known to take none. It is not sched.lock that keeps the thread from ending meanwhile
 * (core/preempt.h): to suspend one that the system does not run takes until it does.
 *
 * Who is in a call of the system has the PC in a library, and is refused. One for whom the system is about to deliver an exception may seem to
 * be at the instruction that caused it: the system says so when it is asked (CONTEXT_EXCEPTION_REQUEST).
 *
 * ExitProcess ends all other threads first. If sysmon goes while it has the caller suspended, nobody is left to resume that one, and
 * the process hangs. exit() and a return from main are waited for (at_end). What ends the process without them
 * (ExitProcess, _exit) in a goroutine that has been in user code for 10 ms has a window of some microseconds left.
 *
 * Rejected: saving the registers in a CONTEXT by GetThreadContext, with all states that the processor has, and NtContinue
 * to go on (they need memory, know fewer states than the processor under emulators, and the thread's stack would be written to
 * from outside); writing a return address onto the stack, as Go does (below it may lie the guard page, which only the thread's own
 * accesses move); QueueUserAPC2 with special APCs, which are like signals (Windows 11 only, and a stack without room
 * is found out too late).
 *
 * t->own: the thread's; `pc` is written by sysmon while it is suspended.
 */
#define WIN32_LEAN_AND_MEAN
#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include <golib/base.h>

#include "core/preempt.h"
#include "frame.h"
#include "program.h"

typedef struct own {
  HANDLE thread;
  uint64_t pc; /* where it was interrupted; 0: it has fetched it */
} own;
_Static_assert(sizeof(own) <= sizeof(((go_preempt_thread_ *)NULL)->own), "core/preempt.h");

/* entry_amd64.S's; and what it calls. */
extern uint64_t go_suspend_area_;
void go_suspend_entry_(void);
void go_suspend_stopped_(uint64_t *ret_pc);

uint64_t go_suspend_area_; /* bytes of all that xsave saves; written before anybody is asked */

static size_t room; /* that a stop needs on the goroutine's stack */

/* While a thread is suspended; and `ended` is set under it: nobody is any more. */
static SRWLOCK suspending = SRWLOCK_INIT;
static bool ended;

BOOLEAN NTAPI RtlDllShutdownInProgress(void);

static own *own_of(go_preempt_thread_ *t) { return (own *)(void *)t->own; }

/* ---- on the thread ---- */

/* Never inlined: the thread may be another than before. */
__attribute__((noinline)) static int get_errno(void) { return errno; }
__attribute__((noinline)) static void set_errno(int e) { errno = e; }

void go_suspend_stopped_(uint64_t *ret_pc) {
  own *o = own_of(go_preempt_mine_());
  DWORD last_error = GetLastError();
  int e = get_errno();
  *ret_pc = o->pc;
  o->pc = 0;
  go_preempt_switch_(); /* from here on o may be another thread's */
  set_errno(e);
  SetLastError(last_error);
}

/* ---- on sysmon's ---- */

#define BUSY (CONTEXT_EXCEPTION_ACTIVE | CONTEXT_SERVICE_ACTIVE)

static bool in_user_code(const CONTEXT *c) {
  return !(c->ContextFlags & CONTEXT_EXCEPTION_REPORTING) || !(c->ContextFlags & BUSY);
}

/* The thread is suspended. */
static bool redirect(go_preempt_thread_ *t) {
  own *o = own_of(t);
  CONTEXT c;
  c.ContextFlags = CONTEXT_CONTROL | CONTEXT_EXCEPTION_REQUEST;
  /* This also waits until it really is suspended. */
  if (!GetThreadContext(o->thread, &c) || !in_user_code(&c) || !go_program_owns_(c.Rip) ||
      !go_preempt_may_(t, (const void *)(uintptr_t)c.Rsp, room)) {
    return false;
  }
  o->pc = c.Rip;
  c.ContextFlags = CONTEXT_CONTROL;
  c.Rip = (uintptr_t)go_suspend_entry_;
  return SetThreadContext(o->thread, &c);
}

int go_preempt_ask_(go_preempt_thread_ *t) {
  bool ok = false;
  AcquireSRWLockExclusive(&suspending);
  if (!ended && SuspendThread(own_of(t)->thread) != (DWORD)-1) {
    ok = redirect(t);
    go_st_rel(&t->state, (uint32_t)(ok ? GO_PREEMPT_DONE_ : GO_PREEMPT_REFUSED_));
    (void)ResumeThread(own_of(t)->thread);
  }
  ReleaseSRWLockExclusive(&suspending);
  return ok ? 0 : GO_EAGAIN;
}

/* ---- threads come and go ---- */

void go_preempt_enter_(go_preempt_thread_ *t, bool ready) {
  const DWORD rights = THREAD_SUSPEND_RESUME | THREAD_GET_CONTEXT | THREAD_SET_CONTEXT;
  DWORD last_error = GetLastError();
  HANDLE self = GetCurrentProcess(), thread;
  own *o = own_of(t);
  (void)ready;
  memset(o, 0, sizeof *o);
  go_st_rlx(&t->state, (uint32_t)GO_PREEMPT_DONE_);
  t->id = 0;
  if (DuplicateHandle(self, GetCurrentThread(), self, &thread, rights, FALSE, 0)) {
    o->thread = thread;
    t->id = GetCurrentThreadId();
  }
  SetLastError(last_error);
}

void go_preempt_leave_(go_preempt_thread_ *t) {
  DWORD last_error = GetLastError();
  if (own_of(t)->thread != NULL) {
    (void)CloseHandle(own_of(t)->thread);
  }
  SetLastError(last_error);
}

/* ---- making ready ---- */

/* The size of what xsave saves; 0: processor or system do not have it. */
static size_t area_size(void) {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) ||
      !__get_cpuid_count(13, 0, &a, &b, &c, &d) || b < GO_XSAVE_MIN_) {
    return 0;
  }
  return b;
}

/* The last of what exit() runs. In a library it runs when there are no other threads any more. */
static void at_end(void) {
  if (!RtlDllShutdownInProgress()) {
    AcquireSRWLockExclusive(&suspending);
    ended = true;
    ReleaseSRWLockExclusive(&suspending);
  }
}

static int prepare(void) {
  static bool done; /* it stays, so once is enough */
  go_suspend_area_ = area_size();
  if (go_suspend_area_ == 0 || go_program_find_() != 0) {
    return GO_ENOSYS;
  }
  room = (size_t)go_suspend_area_ + 64 + GO_STOPPED_SIZE_ + ((size_t)8 << 10);
  done = done || atexit(at_end) == 0;
  return done ? 0 : GO_ENOMEM;
}

int go_preempt_init_(int sig) {
  if (sig != 0) { /* there are none */
    return GO_EINVAL;
  }
  DWORD last_error = GetLastError();
  int e = errno;
  int r = prepare();
  errno = e;
  SetLastError(last_error);
  return r;
}

/* Walking a stack looks up tables under a lock of the system's, which a suspended thread may hold; so nothing is looked at. */
int go_preempt_watch_(int sig) {
  (void)sig;
  return GO_ENOSYS;
}

int go_preempt_look_(go_preempt_thread_ *t) {
  (void)t;
  return GO_ENOSYS;
}

void go_preempt_fini_(void) {}
