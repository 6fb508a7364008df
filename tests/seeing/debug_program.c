/* debug_program [abort]: goroutines to look at with a debugger, which stops at stop_here. */
#include <golib/golib.h>
#include <stdlib.h>
#include <string.h>

GO_CHAN_TYPE(intchan, int);

static volatile int kept;

__attribute__((noinline)) static void inner_wait(intchan c, int depth) {
  int v = 0;
  if (depth > 0) {
    inner_wait(c, depth - 1);
  } else {
    (void)intchan_recv(c, &v);
  }
  kept += v; /* no tail call */
}

GO_FUNC(reader, (int, id), (intchan, c)) {
  go_set_name("reader");
  inner_wait(c, 2 + 0 * id);
  kept++;
}

GO_FUNC(sleeper, (go_nsec, d)) {
  (void)go_sleep(NULL, d);
  kept++;
}

GO_FUNC(never_run, (int, x)) { kept += x; }

void stop_here(void);
__attribute__((noinline)) void stop_here(void) { kept++; }

static int waiting(void) {
  go_stats s;
  go_stats_read(&s);
  return (int)s.waiting;
}

GO_MAIN(argc, argv) {
  intchan c = intchan_new(0);
  go_set_name("main");
  for (int i = 0; i < 3; i++) {
    (void)GO(reader, i, c);
  }
  (void)GO(sleeper, GO_HOUR);
  while (waiting() != 4) {
    go_yield();
  }
  (void)GO(never_run, 1);
  stop_here();
  if (argc > 1 && strcmp(argv[1], "abort") == 0) {
    abort();
  }
  return 0;
}
