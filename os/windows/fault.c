/* os/windows/fault.c: exceptions for bad memory accesses, and the stacks that their handler runs on.
 *
 * The handler is a vectored one: asked before all others, on the stack that the exception happened on. Of one that has
 * overflowed there are two pages left. So it goes over to a stack of the thread's own, as if to another goroutine.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/arch.h"
#include "core/atomic.h"
#include "os/windows/windows.h"

#define ALT_BYTES ((size_t)64 << 10)

/* At the lowest address of an alternate stack. */
typedef struct alt {
  go_arch_ctx_ ctx, back;
  bool busy; /* by the thread itself */
} alt;

/* The handler, 0: none; and how it is registered. `lock` for the latter. */
static go_a64 handler_fn;
static void *registered;
static SRWLOCK lock = SRWLOCK_INIT;

static go_a32 alt_slot; /* plus 1; 0: none yet */

typedef struct job {
  alt *a;
  void *addr;
  CONTEXT *context;
  bool again;
} job;

static bool call_handler(void *addr, CONTEXT *context) {
  bool (*fn)(void *, void *) =
      (bool (*)(void *, void *))(uintptr_t)go_ld_acq(&handler_fn); /* go_os_on_fault_ */
  return fn != NULL && fn(addr, context);
}

static void on_alt(void *p) {
  job *j = p;
  go_arch_ctx_ gone;
  j->again = call_handler(j->addr, j->context);
  (void)go_arch_switch_(&gone, &j->a->back, NULL);
}

/* NULL: it has none, or runs on it: then what has gone wrong is the handler. */
static alt *own_alt(void) {
  uint32_t s = go_ld_acq(&alt_slot); /* pairs with make_slot */
  return s != 0 ? TlsGetValue(s - 1) : NULL;
}

static bool ask(void *addr, CONTEXT *context) {
  alt *a = own_alt();
  if (a == NULL || a->busy) {
    return a == NULL && call_handler(addr, context);
  }
  job j = {a, addr, context, false};
  a->busy = true;
  go_arch_ctx_init_(&a->ctx, (char *)a + ALT_BYTES, on_alt, a, a);
  (void)go_arch_switch_(&a->back, &a->ctx, &j);
  a->busy = false;
  return j.again;
}

/* The lowest address of the stack that the thread runs on. */
static void *lowest(void) { return (void *)__readgsqword(0x1478); /* DeallocationStack */ }

static LONG CALLBACK on_exception(EXCEPTION_POINTERS *x) {
  const EXCEPTION_RECORD *r = x->ExceptionRecord;
  void *addr = r->NumberParameters >= 2 ? (void *)r->ExceptionInformation[1] : NULL;
  switch (r->ExceptionCode) {
    case EXCEPTION_STACK_OVERFLOW: addr = lowest(); break;
    case EXCEPTION_ACCESS_VIOLATION:
    case EXCEPTION_IN_PAGE_ERROR: break;
    default: return EXCEPTION_CONTINUE_SEARCH;
  }
  GO_KEEP_ERRORS_BEGIN();
  bool again = ask(addr, x->ContextRecord);
  GO_KEEP_ERRORS_END();
  return again ? EXCEPTION_CONTINUE_EXECUTION : EXCEPTION_CONTINUE_SEARCH;
}

int go_os_on_fault_(bool (*fn)(void *addr, void *context)) {
  GO_KEEP_ERRORS_BEGIN();
  AcquireSRWLockExclusive(&lock);
  go_st_rel(&handler_fn, (uintptr_t)fn); /* pairs with call_handler */
  if (registered == NULL) {
    registered = AddVectoredExceptionHandler(1, on_exception);
  }
  int r = registered != NULL ? 0 : -ENOMEM;
  ReleaseSRWLockExclusive(&lock);
  GO_KEEP_ERRORS_END();
  return r;
}

void go_os_off_fault_(void) {
  GO_KEEP_ERRORS_BEGIN();
  AcquireSRWLockExclusive(&lock);
  go_st_rel(&handler_fn, 0); /* pairs with call_handler */
  if (registered != NULL) {
    (void)RemoveVectoredExceptionHandler(registered);
    registered = NULL;
  }
  ReleaseSRWLockExclusive(&lock);
  GO_KEEP_ERRORS_END();
}

/* go_arch_backtrace_fp_ walks from registers here: it gets them all, marked by the lowest bit. */
void go_os_fault_regs_(const void *context, void **ret_pc, void **ret_sp, void **ret_fp) {
  const CONTEXT *c = context;
  *ret_pc = (void *)(uintptr_t)c->Rip;
  *ret_sp = (void *)(uintptr_t)c->Rsp;
  *ret_fp = (void *)((uintptr_t)c | 1);
}

/* ---- alternate stacks ---- */

static uint32_t make_slot(void) {
  uint32_t s = go_ld_acq(&alt_slot); /* pairs with the exchange below */
  DWORD index = s == 0 ? TlsAlloc() : 0;
  if (s != 0 || index == TLS_OUT_OF_INDEXES) {
    return s;
  }
  if (!go_cas_ar(&alt_slot, &s, index + 1)) { /* another thread was faster */
    TlsFree(index);
    return s;
  }
  return index + 1;
}

int go_os_fault_stack_(void **ret) {
  GO_KEEP_ERRORS_BEGIN();
  int r = 0;
  void *stack = NULL;
  uint32_t s = make_slot();
  if (s == 0) {
    r = -ENOMEM;
  } else if (TlsGetValue(s - 1) == NULL) {
    stack = VirtualAlloc(NULL, ALT_BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (stack == NULL || !TlsSetValue(s - 1, stack)) {
      r = -ENOMEM;
    }
  }
  if (r == 0) {
    *ret = stack;
  } else if (stack != NULL) {
    (void)VirtualFree(stack, 0, MEM_RELEASE);
  }
  GO_KEEP_ERRORS_END();
  return r;
}

void go_os_fault_stack_free_(void *stack) {
  if (stack == NULL) {
    return;
  }
  GO_KEEP_ERRORS_BEGIN();
  uint32_t s = go_ld_acq(&alt_slot); /* pairs with make_slot */
  if (s != 0 && TlsGetValue(s - 1) == stack) {
    (void)TlsSetValue(s - 1, NULL);
  }
  (void)VirtualFree(stack, 0, MEM_RELEASE);
  GO_KEEP_ERRORS_END();
}
