/* os/posix/signal.c: a signal at which golib says something, for go_config.dump_signal. */
#include "posix.h"

#include <signal.h>

#include "core/atomic.h"

/* Under lock, but for reading in the handler; written before that is installed. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction before;
static int installed;     /* which; 0: none */
static go_a64 handler_fn; /* the function, as an integer; 0: none */

static void on_signal(int sig, siginfo_t *info, void *context) {
  GO_KEEP_ERRNO_BEGIN();
  void (*fn)(void *) = (void (*)(void *))(uintptr_t)go_ld_acq(&handler_fn); /* go_os_on_signal_ */
  if (fn != NULL) fn(context);
  if (before.sa_flags & SA_SIGINFO) {
    before.sa_sigaction(sig, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(sig);
  }
  GO_KEEP_ERRNO_END();
}

static void uninstall(void) {
  struct sigaction now;
  if (installed != 0 && sigaction(installed, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) &&
      now.sa_sigaction == on_signal) {
    sigaction(installed, &before, NULL);
  }
  installed = 0;
}

int go_os_on_signal_(int sig, void (*fn)(void *context)) {
  GO_KEEP_ERRNO_BEGIN();
  pthread_mutex_lock(&lock);
  uninstall();
  struct sigaction sa = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
  sa.sa_sigaction = on_signal;
  sigemptyset(&sa.sa_mask);
  int err = sigaction(sig, NULL, &before);
  /* Ours, from before somebody chained to it: he calls us already. */
  if (err == 0 && (before.sa_flags & SA_SIGINFO) && before.sa_sigaction == on_signal) {
    before = (struct sigaction){.sa_handler = SIG_DFL};
  }
  go_st_rel(&handler_fn, (uintptr_t)fn); /* pairs with on_signal */
  if (err == 0) err = sigaction(sig, &sa, NULL);
  if (err == 0) installed = sig;
  pthread_mutex_unlock(&lock);
  GO_KEEP_ERRNO_END();
  return err == 0 ? 0 : -EINVAL;
}

void go_os_off_signal_(void) {
  GO_KEEP_ERRNO_BEGIN();
  pthread_mutex_lock(&lock);
  go_st_rel(&handler_fn, 0); /* pairs with on_signal, which only chains from now on */
  uninstall();
  pthread_mutex_unlock(&lock);
  GO_KEEP_ERRNO_END();
}

const int go_os_dump_signal_ = SIGQUIT;
