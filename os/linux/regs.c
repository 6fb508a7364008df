/* os/linux/regs.c: what a signal handler finds on its stack. */
#include <sys/auxv.h>
#include <ucontext.h>

#include "linux.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51 /* Linux 5.14 */
#endif

/* 3 KiB with AVX-512, 11 KiB with AMX, up to 17 KiB with SVE. */
size_t go_posix_signal_frame_(void) {
  size_t frame = getauxval(AT_MINSIGSTKSZ);
  return frame != 0 ? frame : 20 << 10; /* it does not tell */
}

void go_os_fault_regs_(const void *context, void **ret_pc, void **ret_sp, void **ret_fp) {
  const mcontext_t *m = &((const ucontext_t *)context)->uc_mcontext;
#if defined(__x86_64__)
  *ret_pc = (void *)m->gregs[REG_RIP];
  *ret_sp = (void *)m->gregs[REG_RSP];
  *ret_fp = (void *)m->gregs[REG_RBP];
#elif defined(__aarch64__)
  *ret_pc = (void *)m->pc;
  *ret_sp = (void *)m->sp;
  *ret_fp = (void *)m->regs[29];
#else
#error "which registers?"
#endif
}
