/* preempt/signal/signal.c: stopping a goroutine by a signal to its thread, on Linux.
 *
 * The kernel has saved all that the thread had in its registers on the stack that the handler runs on, and sigreturn
 * puts it back, on whatever thread that is called. So a handler that runs on the goroutine's own stack can switch away from
 * it, and return when the goroutine is resumed. But a signal for which there is no room on the stack kills
 * the process, and whether there is can only be seen when it has come. So each request comes twice:
 *
 *   1. On the alternate stack, where there always is room: is it the program's code, may the goroutine be stopped, is
 *      there room on its stack? Else it is refused. Then the handler sends the signal again, which waits since it is blocked,
 *      switches the alternate stack off, and leaves such that sigreturn blocks all other signals.
 *   2. Hence at the very same instruction, but on the goroutine's stack. Alternate stack and mask are put back, the goroutine
 *      is switched away from; when it comes back, on what may be another thread, the frame gets that thread's mask and alternate
 *      stack (sigreturn sets both from it), and errno is put back.
 *
 * Rejected: making the thread call a function of ours by changing its registers in the handler (Go): then we have to save all
 * vector registers, and on arm64 no register is free to come back by. Copying the frame to the other
 * stack: it has pointers into itself, and parts that newer processors add.
 *
 * Whose code it is: see program.c. The mask must be what it was when the thread began to run goroutines: in a handler of
 * another signal, which has its own signal blocked, nothing is stopped.
 *
 * To look at a thread the same signal is sent with another value. The handler tells core where the thread was, on the
 * alternate stack, and that is all: it may have interrupted anything. Standard signals do not queue up: of two that are sent at about
 * the same time one may be lost, and whoever is left with `step` set goes on with step 2, whatever the second was sent for.
 *
 * t->own: the thread's own. Nothing here may be instrumented by TSan: it may have interrupted TSan's own functions; and TSan's
 * sigaction would put our signals off to where they are of no use, hence the system call.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <golib/base.h>

#include "core/preempt.h"
#include "program.h"

typedef struct own {
  uint64_t mask; /* when it began to run goroutines */
  uint64_t step; /* 1: the second signal is to come, at */
  uint64_t pc, sp;
  uint64_t alt_sp, alt_size, alt_flags; /* the alternate stack meanwhile */
  uint64_t unblocked;                   /* the signal was blocked before */
} own;
_Static_assert(sizeof(own) <= sizeof(((go_preempt_thread_ *)NULL)->own), "core/preempt.h");

static int the_signal;
static bool installed;
static struct sigaction before; /* the handler of the program; written before ours is installed */
static char to_switch, to_look; /* their addresses mark signals of ours */
static size_t room;             /* that a stop needs on the goroutine's stack */

RAW static own *own_of(go_preempt_thread_ *t) { return (own *)(void *)t->own; }

/* ---- the system, without errno, and without instruments ---- */

RAW static int set_mask(int how, const uint64_t *set, uint64_t *ret_old) {
  return (int)syscall(SYS_rt_sigprocmask, how, set, ret_old, sizeof *set);
}

RAW static int send(uintptr_t thread, void *what) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  info.si_signo = the_signal;
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value.sival_ptr = what;
  return (int)syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)thread, the_signal, &info);
}

/* Never inlined: the thread may be another than before, and the compiler thinks that errno's address does not change. */
RAW __attribute__((noinline)) static int get_errno(void) {
  __asm__ volatile("" ::: "memory");
  return errno;
}
RAW __attribute__((noinline)) static void set_errno(int e) {
  __asm__ volatile("" ::: "memory");
  errno = e;
}

/* ---- the interrupted code ---- */

#if defined(__x86_64__)
#define RED_ZONE 128u
RAW static uintptr_t pc_of(const ucontext_t *uc) {
  return (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
}
RAW static uintptr_t sp_of(const ucontext_t *uc) {
  return (uintptr_t)uc->uc_mcontext.gregs[REG_RSP];
}
RAW static uintptr_t fp_of(const ucontext_t *uc) {
  return (uintptr_t)uc->uc_mcontext.gregs[REG_RBP];
}
#elif defined(__aarch64__)
#define RED_ZONE 0u
RAW static uintptr_t pc_of(const ucontext_t *uc) { return (uintptr_t)uc->uc_mcontext.pc; }
RAW static uintptr_t sp_of(const ucontext_t *uc) { return (uintptr_t)uc->uc_mcontext.sp; }
RAW static uintptr_t fp_of(const ucontext_t *uc) { return (uintptr_t)uc->uc_mcontext.regs[29]; }
#else
#error "where do the PC and the stack pointer of this processor lie?"
#endif

/* The kernel's half of uc_sigmask, which is larger. */
RAW static uint64_t mask_of(const ucontext_t *uc) {
  uint64_t m;
  memcpy(&m, &uc->uc_sigmask, sizeof m);
  return m;
}
RAW static void set_mask_of(ucontext_t *uc, uint64_t m) { memcpy(&uc->uc_sigmask, &m, sizeof m); }

RAW static void set_state(go_preempt_thread_ *t, uint32_t state) { go_st_rel(&t->state, state); }

/* sigaltstack of a thread that is on its alternate stack, which the kernel refuses to change then: that goes by the stack
 * pointer, so for the one instruction it is another. No signal may come. (To leave it to sigreturn does not do: since Linux
 * 6.12 that looks at the stack pointer of the handler, not of what it returns to.) */
#if defined(__x86_64__)
RAW static void set_alt_as_if_at(uintptr_t sp, const stack_t *to) {
  register long nr __asm__("rax") = SYS_sigaltstack;
  register const stack_t *new __asm__("rdi") = to;
  register stack_t *old __asm__("rsi") = NULL;
  __asm__ volatile(
      "movq %%rsp, %%r12\n\t"
      "movq %[sp], %%rsp\n\t"
      "syscall\n\t"
      "movq %%r12, %%rsp"
      : "+r"(nr)
      : [sp] "r"(sp), "r"(new), "r"(old)
      : "r12", "rcx", "r11", "memory", "cc");
}
#else
RAW static void set_alt_as_if_at(uintptr_t sp, const stack_t *to) {
  register long nr __asm__("x8") = SYS_sigaltstack;
  register const stack_t *new __asm__("x0") = to;
  register stack_t *old __asm__("x1") = NULL;
  __asm__ volatile(
      "mov x20, sp\n\t"
      "mov sp, %[sp]\n\t"
      "svc 0\n\t"
      "mov sp, x20"
      : "+r"(new)
      : [sp] "r"(sp), "r"(nr), "r"(old)
      : "x20", "memory", "cc");
}
#endif

/* ---- the handler ---- */

RAW static void first(go_preempt_thread_ *t, ucontext_t *uc) {
  const uint64_t all = ~(uint64_t)0;
  own *o = own_of(t);
  o->pc = pc_of(uc);
  o->sp = sp_of(uc);
  if (mask_of(uc) != o->mask || !go_program_owns_(o->pc) ||
      !go_preempt_may_(t, (const void *)o->sp, room) || send(t->id, &to_switch) != 0) {
    set_state(t, GO_PREEMPT_REFUSED_);
    return;
  }
  o->alt_sp = (uintptr_t)uc->uc_stack.ss_sp;
  o->alt_size = uc->uc_stack.ss_size;
  o->alt_flags = (uint64_t)(unsigned)uc->uc_stack.ss_flags;
  o->step = 1;
  (void)set_mask(SIG_SETMASK, &all, NULL);
  uc->uc_stack = (stack_t){.ss_flags = SS_DISABLE};
  set_alt_as_if_at(o->sp, &uc->uc_stack);
  set_mask_of(uc, all & ~((uint64_t)1 << (the_signal - 1)));
}

/* Whether the handler runs right below what it has interrupted. */
RAW static bool is_below(uintptr_t sp) {
  uintptr_t here = (uintptr_t)__builtin_frame_address(0);
  return here < sp && sp - here < room;
}

/* All signals are blocked. */
RAW static void second(go_preempt_thread_ *t, ucontext_t *uc) {
  own *o = own_of(t);
  const uint64_t all = ~(uint64_t)0;
  uint64_t mask = o->mask;
  stack_t alt = {.ss_sp = (void *)(uintptr_t)o->alt_sp, .ss_size = o->alt_size};
  alt.ss_flags = (int)(unsigned)o->alt_flags & ~SS_ONSTACK;
  o->step = 0;
  (void)syscall(SYS_sigaltstack, &alt, NULL);
  bool same = pc_of(uc) == o->pc && sp_of(uc) == o->sp && is_below(o->sp);
  set_state(t, same ? GO_PREEMPT_DONE_ : GO_PREEMPT_REFUSED_);
  (void)set_mask(SIG_SETMASK, &mask, NULL);
  if (same) {
    go_preempt_switch_(); /* from here on t may be another thread's */
  }
  (void)set_mask(SIG_SETMASK, &all, &mask);
  (void)syscall(SYS_sigaltstack, NULL, &alt);
  uc->uc_stack = alt;
  set_mask_of(uc, mask);
}

/* A signal that is none of ours. */
RAW static void chain(int sig, siginfo_t *info, void *context) {
  if (before.sa_flags & SA_SIGINFO) {
    before.sa_sigaction(sig, info, context);
  } else if (before.sa_handler == SIG_DFL) {
    if (sig != SIGURG && sig != SIGCHLD && sig != SIGWINCH && sig != SIGCONT) {
      struct sigaction dfl = {.sa_handler = SIG_DFL};
      sigaction(sig, &dfl, NULL);
      (void)raise(sig); /* comes when we return */
    }
  } else if (before.sa_handler != SIG_IGN) {
    before.sa_handler(sig);
  }
}

RAW static void look(go_preempt_thread_ *t, const ucontext_t *uc) {
  go_preempt_saw_(t, (const void *)pc_of(uc), (const void *)sp_of(uc), (const void *)fp_of(uc));
}

RAW static void on_signal(int sig, siginfo_t *info, void *context) {
  int e = get_errno();
  const void *what = info->si_code == SI_QUEUE ? info->si_value.sival_ptr : NULL;
  go_preempt_thread_ *t = go_preempt_mine_();
  if (t != NULL && t->id == 0) {
    t = NULL; /* it has stopped to run goroutines meanwhile */
  }
  if (t != NULL && what == &to_look) {
    look(t, context);
  }
  if (t != NULL && own_of(t)->step != 0) {
    second(t, context);
  } else if (t != NULL && what == &to_switch) {
    first(t, context);
  }
  if (what != &to_look && what != &to_switch) {
    chain(sig, info, context);
  }
  set_errno(e);
}

/* ---- installing it ---- */

#if defined(GO_TSAN_)

/* What the kernel takes. */
struct kernel_action {
  void *handler;
  unsigned long flags;
  void (*restorer)(void);
  uint64_t mask;
};
#if defined(__x86_64__)
void go_preempt_restore_(void);
__asm__(
    "  .text\n"
    "  .balign 16\n"
    "  .hidden go_preempt_restore_\n"
    "  .type go_preempt_restore_, @function\n"
    "  nop\n" /* unwinders look at the byte before, and know these instructions */
    "go_preempt_restore_:\n"
    "  movq $15, %rax\n"
    "  syscall\n"
    "  .size go_preempt_restore_, . - go_preempt_restore_\n");
#define RESTORER 0x04000000ul
#else
#define RESTORER 0ul
static void go_preempt_restore_(void) {}
#endif

static int install(void) {
  struct kernel_action ours = {.flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | RESTORER}, old;
  void (*fn)(int, siginfo_t *, void *) = on_signal;
  memcpy(&ours.handler, &fn, sizeof fn);
  ours.restorer = go_preempt_restore_;
  if (sigaction(the_signal, NULL, &before) != 0) {
    return -errno;
  }
  return syscall(SYS_rt_sigaction, the_signal, &ours, &old, sizeof ours.mask) != 0 ? -errno : 0;
}

#else

static int install(void) {
  struct sigaction ours = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
  ours.sa_sigaction = on_signal;
  sigemptyset(&ours.sa_mask);
  if (sigaction(the_signal, NULL, &before) != 0) {
    return -errno;
  }
  /* Ours, from before somebody chained to it: he calls us already. */
  if ((before.sa_flags & SA_SIGINFO) && before.sa_sigaction == on_signal) {
    before = (struct sigaction){.sa_handler = SIG_IGN};
  }
  return sigaction(the_signal, &ours, NULL) != 0 ? -errno : 0;
}

#endif

/* The frame that the kernel makes, at most, and ours on top of it. */
static size_t room_needed(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(GO_TSAN_)
  const size_t calls = 16 << 10;
#else
  const size_t calls = 3 << 10;
#endif
  size_t frame = getauxval(AT_MINSIGSTKSZ);
  return RED_ZONE + (frame > 4096 ? frame : 4096) + calls;
}

/* sig: the same each time, or 0. */
static int listen_to(int sig) {
  if (!installed) {
    the_signal = sig != 0 ? sig : SIGURG;
    room = room_needed();
    installed = the_signal != SIGSEGV && the_signal != SIGBUS && install() == 0;
  }
  return installed ? 0 : GO_EINVAL;
}

int go_preempt_init_(int sig) {
  int e = errno;
  int r = go_program_find_();
  if (r == 0) {
    r = listen_to(sig);
  }
  errno = e;
  return r;
}

int go_preempt_watch_(int sig) {
  int e = errno;
  int r = listen_to(sig);
  errno = e;
  return r;
}

static bool is_in_place(void) {
#if defined(GO_TSAN_) /* whose sigaction knows nothing of ours */
  return true;
#else
  struct sigaction now;
  return sigaction(the_signal, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) &&
         now.sa_sigaction == on_signal;
#endif
}

void go_preempt_fini_(void) {
  int e = errno;
  if (installed && is_in_place()) {
    (void)sigaction(the_signal, &before, NULL);
  }
  installed = false;
  errno = e;
}

void go_preempt_enter_(go_preempt_thread_ *t, bool ready) {
  int e = errno;
  own *o = own_of(t);
  memset(o, 0, sizeof *o);
  go_st_rlx(&t->state, (uint32_t)GO_PREEMPT_DONE_);
  t->id = 0;
  if (set_mask(SIG_BLOCK, NULL, &o->mask) == 0) {
    uint64_t bit = ready ? (uint64_t)1 << (the_signal - 1) : 0;
    if ((o->mask & bit) != 0 && set_mask(SIG_UNBLOCK, &bit, NULL) == 0) {
      o->mask &= ~bit;
      o->unblocked = bit;
    }
    t->id = (uintptr_t)syscall(SYS_gettid);
  }
  errno = e;
}

void go_preempt_leave_(go_preempt_thread_ *t) {
  int e = errno;
  if (own_of(t)->unblocked != 0) {
    (void)set_mask(SIG_BLOCK, &own_of(t)->unblocked, NULL);
  }
  errno = e;
}

static int interrupt(const go_preempt_thread_ *t, void *what) {
  int e = errno;
  int r = send(t->id, what) == 0 ? 0 : GO_EAGAIN;
  errno = e;
  return r;
}

int go_preempt_ask_(go_preempt_thread_ *t) { return interrupt(t, &to_switch); }

int go_preempt_look_(go_preempt_thread_ *t) { return interrupt(t, &to_look); }
