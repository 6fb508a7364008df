/* For switch_link_test.sh: goroutines that are stopped in the middle of their code, in a program that is linked in some
 * way. Prints "stopped", or "not possible" where go_init says so; then others must get their turns all the same. */
#include <stdio.h>

#include <golib/golib.h>

static volatile int stop;

static void spin(void *arg) {
  volatile unsigned long *n = arg;
  while (!stop) {
    *n = *n + 1;
  }
}

/* In functions of golib's: nothing may be stopped there, and it goes on. */
static void lock(void *arg) {
  go_mutex *mu = arg;
  while (!stop) {
    for (int i = 0; i < 100; i++) {
      go_mutex_lock(mu);
      go_mutex_unlock(mu);
    }
  }
}

static int run(bool can) {
  static unsigned long n[3];
  static go_mutex mu;
  go_wg wg = {0};
  go_stats s;
  int failed = 0;
  for (int i = 0; i < 3; i++) {
    failed |= go_wg_spawn_site_("spin", &wg, spin, &n[i], 0);
    failed |= go_wg_spawn_site_("lock", &wg, lock, &mu, 0);
  }
  go_nsec end = go_now() + 30 * GO_SEC;
  do {
    failed |= go_sleep(NULL, 10 * GO_MS);
    go_stats_read(&s);
  } while (go_now() < end && (can ? s.switches < 10 : s.retakes == 0));
  stop = 1;
  go_wg_wait(&wg);
  puts(s.switches >= 10 ? "stopped" : "not stopped");
  return failed;
}

static int begin(int argc, char **argv) {
  (void)argv;
  return run(argc == 1);
}

int main(void) {
  go_config cfg = {.procs = 1, .preempt = GO_PREEMPT_SWITCH};
  int r = go_init(&cfg);
  if (r == GO_ENOSYS) {
    puts("not possible");
    cfg.preempt = GO_PREEMPT_DEFAULT;
  }
  if ((r != 0 && r != GO_ENOSYS) || (r != 0 && go_init(&cfg) != 0)) {
    return 1;
  }
  return go_main(begin, r == 0 ? 1 : 2, NULL);
}
