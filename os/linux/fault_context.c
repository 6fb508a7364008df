/* os/linux/fault_context.c: what a signal context says about the computation that it interrupted. */
#include <stdint.h>
#include <ucontext.h>

#include "core/os.h"

#if defined(__x86_64__)
static uintptr_t pc_of(const ucontext_t *u) { return (uintptr_t)u->uc_mcontext.gregs[REG_RIP]; }
static uintptr_t fp_of(const ucontext_t *u) { return (uintptr_t)u->uc_mcontext.gregs[REG_RBP]; }
#elif defined(__aarch64__)
static uintptr_t pc_of(const ucontext_t *u) { return (uintptr_t)u->uc_mcontext.pc; }
static uintptr_t fp_of(const ucontext_t *u) { return (uintptr_t)u->uc_mcontext.regs[29]; }
#endif

/* A frame record is {caller's frame pointer, return address} on both. */
int go_os_fault_backtrace_(void *context, const void *lo, const void *hi, void **ret_pcs, int n) {
  const ucontext_t *u = context;
  uintptr_t fp = fp_of(u), low = (uintptr_t)lo;
  int got = 0;
  if (n > 0) {
    ret_pcs[got++] = (void *)pc_of(u);
  }
  while (got < n && fp % sizeof fp == 0 && fp >= low && fp < (uintptr_t)hi - 2 * sizeof fp) {
    const uintptr_t *record = (const uintptr_t *)fp;
    ret_pcs[got++] = (void *)record[1];
    low = fp + 1; /* frames only go up */
    fp = record[0];
  }
  return got;
}
