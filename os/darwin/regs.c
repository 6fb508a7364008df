/* os/darwin/regs.c: what a signal handler finds on its stack. */
#include <signal.h>
#include <sys/ucontext.h>

#include "darwin.h"

size_t go_posix_signal_frame_(void) { return MINSIGSTKSZ; }

void go_os_fault_regs_(const void *context, void **ret_pc, void **ret_sp, void **ret_fp) {
  const _STRUCT_MCONTEXT64 *m = ((const ucontext_t *)context)->uc_mcontext;
#if defined(__x86_64__)
  *ret_pc = (void *)m->__ss.__rip;
  *ret_sp = (void *)m->__ss.__rsp;
  *ret_fp = (void *)m->__ss.__rbp;
#elif defined(__aarch64__)
  /* By macros: with pointer authentication (arm64e) they are signed. */
  *ret_pc = (void *)__darwin_arm_thread_state64_get_pc(m->__ss);
  *ret_sp = (void *)__darwin_arm_thread_state64_get_sp(m->__ss);
  *ret_fp = (void *)__darwin_arm_thread_state64_get_fp(m->__ss);
#else
#error "which registers?"
#endif
}
