/* os/posix/fault.c: signals for bad memory accesses, and the stacks that their handler runs on. */
#include "posix.h"

#include <signal.h>
#include <sys/mman.h>

#include "core/atomic.h"

/* ---- the handler ---- */

static const int signals[] = {SIGSEGV, SIGBUS};
enum { SIGNALS = sizeof signals / sizeof signals[0] };

/* What was there before us, written before our handler is installed. in_place: our handler is
 * installed, or was replaced by one that may still call it: `before` must stay as it is then. Under
 * `lock`, but for reading `before` in the handler. */
static struct sigaction before[SIGNALS];
static bool in_place[SIGNALS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The function, as an integer because object and function pointers are not convertible; 0: none. */
static go_a64 handler_fn;

/* Whether an access has caused it, not kill or its like. Those have codes from SI_USER on: downwards from 0 on
 * Linux, upwards from 0x10001 on BSDs and macOS. */
static bool is_access(const siginfo_t *info) {
  return info->si_code > 0 && (SI_USER <= 0 || info->si_code < SI_USER);
}

/* Lets the signal have its default effect, which ends the process with the right address in its
 * core. */
static void default_action(int sig, const siginfo_t *info) {
  struct sigaction dfl = {.sa_handler = SIG_DFL};
  sigaction(sig, &dfl, NULL);
  /* The access is made again when we return. But if somebody sent the signal there was none: send
   * it again, to arrive when we return. */
  if (!is_access(info)) raise(sig);
}

/* As if the earlier handler had been called by the kernel. Our own return undoes changes of the
 * mask. */
static void chain(int sig, siginfo_t *info, void *context, const struct sigaction *old) {
  if (!(old->sa_flags & SA_SIGINFO)) {
    /* An ignored signal is not ignored when it comes from an access. */
    if (old->sa_handler == SIG_IGN && !is_access(info)) return;
    if (old->sa_handler == SIG_IGN || old->sa_handler == SIG_DFL) {
      default_action(sig, info);
      return;
    }
  }
  pthread_sigmask(SIG_BLOCK, &old->sa_mask, NULL);
  if (old->sa_flags & SA_NODEFER) {
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, sig);
    pthread_sigmask(SIG_UNBLOCK, &one, NULL);
  }
  if (old->sa_flags & SA_SIGINFO) {
    old->sa_sigaction(sig, info, context);
  } else {
    old->sa_handler(sig);
  }
}

/* The signal stays blocked meanwhile (no SA_NODEFER): a fault in fn must end the process, not
 * start over. */
static void on_signal(int sig, siginfo_t *info, void *context) {
  GO_KEEP_ERRNO_BEGIN();
  bool (*fn)(void *, void *) =
      (bool (*)(void *, void *))(uintptr_t)go_ld_acq(&handler_fn); /* go_os_on_fault_ */
  if (fn == NULL || !is_access(info) || !fn(info->si_addr, context))
    chain(sig, info, context, &before[sig == SIGSEGV ? 0 : 1]);
  GO_KEEP_ERRNO_END();
}

static bool is_ours(const struct sigaction *sa) {
  return (sa->sa_flags & SA_SIGINFO) && sa->sa_sigaction == on_signal;
}

int go_os_on_fault_(bool (*fn)(void *addr, void *context)) {
  GO_KEEP_ERRNO_BEGIN();
  int err = 0;
  pthread_mutex_lock(&lock);
  go_st_rel(&handler_fn, (uintptr_t)fn); /* pairs with on_signal */
  for (int i = 0; i < SIGNALS && err == 0; i++) {
    if (in_place[i]) continue;
    struct sigaction sa = {.sa_flags = SA_SIGINFO | SA_ONSTACK};
    sa.sa_sigaction = on_signal;
    sigemptyset(&sa.sa_mask);
    if (sigaction(signals[i], NULL, &before[i]) != 0 || sigaction(signals[i], &sa, NULL) != 0) {
      err = errno;
    } else {
      in_place[i] = true;
    }
  }
  pthread_mutex_unlock(&lock);
  GO_KEEP_ERRNO_END();
  return -err;
}

void go_os_off_fault_(void) {
  GO_KEEP_ERRNO_BEGIN();
  pthread_mutex_lock(&lock);
  go_st_rel(&handler_fn, 0); /* pairs with on_signal, which only chains from now on */
  for (int i = 0; i < SIGNALS; i++) {
    struct sigaction now;
    if (in_place[i] && sigaction(signals[i], NULL, &now) == 0 && is_ours(&now))
      in_place[i] = sigaction(signals[i], &before[i], NULL) != 0;
  }
  pthread_mutex_unlock(&lock);
  GO_KEEP_ERRNO_END();
}

/* ---- alternate stacks ----
 *
 *   map:  | guard page | stack of alt_size() |
 */

static size_t alt_size(void) {
  size_t page = go_os_page_();
  return ((64 << 10) + go_posix_signal_frame_() + page - 1) & ~(page - 1);
}

int go_os_fault_stack_(void **ret) {
  GO_KEEP_ERRNO_BEGIN();
  int err = 0;
  void *stack = NULL;
  stack_t now;
  if (sigaltstack(NULL, &now) != 0 || (now.ss_flags & SS_DISABLE)) {
    size_t page = go_os_page_(), size = alt_size();
    char *map = mmap(NULL, page + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
      err = ENOMEM;
    } else {
      stack = map + page;
      stack_t mine = {.ss_sp = stack, .ss_size = size};
      go_os_guard_(map, page, NULL); /* better without than not at all */
      if (sigaltstack(&mine, NULL) != 0) {
        munmap(map, page + size);
        stack = NULL;
        err = ENOMEM;
      }
    }
  }
  if (err == 0) *ret = stack;
  GO_KEEP_ERRNO_END();
  return -err;
}

void go_os_fault_stack_free_(void *stack) {
  if (stack == NULL) return;
  GO_KEEP_ERRNO_BEGIN();
  stack_t now, none = {.ss_flags = SS_DISABLE};
  /* Somebody may have put another in its place since. */
  if (sigaltstack(NULL, &now) == 0 && now.ss_sp == stack) sigaltstack(&none, NULL);
  size_t page = go_os_page_();
  char *map = (char *)stack - page;
  if (!go_os_guard_is_cheap_()) go_os_unguard_(map, page);
  munmap(map, page + alt_size());
  GO_KEEP_ERRNO_END();
}
