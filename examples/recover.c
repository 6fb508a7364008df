/* recover: a panic runs the deferred calls of its goroutine and stops at go_try. */
#include <golib/golib.h>
#include <stdio.h>
#include <stdlib.h>

static go_mutex mu; /* guards total */
static long total;

static void unlock(void *m) { go_mutex_unlock(m); }

/* Adds a number in text to the total; panics when it is none. */
static void add(void *text) {
  go_mutex_lock(&mu);
  GO_DEFER(unlock, &mu); /* by return and by panic */
  char *end;
  long n = strtol(text, &end, 10);
  if (end == (char *)text || *end != 0) go_panic("not a number: %s", (char *)text);
  total += n;
}

GO_MAIN(argc, argv) {
  char *input[] = {"1", "20", "x", "300"};
  for (size_t i = 0; i < sizeof input / sizeof *input; i++) {
    go_panic_info info;
    if (go_try(add, input[i], &info) == GO_EPANIC) printf("caught: %s\n", info.text);
  }
  printf("total: %ld\n", total);
  return total == 321 ? 0 : 1;
}
