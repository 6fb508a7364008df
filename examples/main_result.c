/* main_result: errors on their way out: from a task, to the scope, to main, to the exit status.
 *
 *   ./bazelw run //examples:main_result              sum = 23
 *   ./bazelw run //examples:main_result -- 3 abc 4   Error: abc: invalid argument, and exit status 1
 */
#include <golib/golib.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST = 100 };

GO_TASK(parse, (const char *, text), (int64_t *, ret)) {
  char *end;
  long long n = strtoll(text, &end, 10);
  if (end == text || *end != '\0') {
    fprintf(stderr, "Error: %s: %s\n", text, go_strerror(GO_EINVAL));
    return GO_EINVAL;
  }
  *ret = n;
  return 0;
}

/* Returns 0 or the first error. */
static int parse_all(char **texts, int n, int64_t *ret_numbers) {
  int err = 0;
  GO_SCOPE (s, NULL) {
    for (int i = 0; i < n; i++) (void)GO_IN(&s, parse, texts[i], &ret_numbers[i]);
    err = go_scope_wait(&s); /* also why a task could not be started */
  }
  return err;
}

GO_MAIN(argc, argv) {
  char *some[] = {"3", "1", "4", "1", "5", "9"};
  char **texts = argc > 1 ? argv + 1 : some;
  int n = argc > 1 ? argc - 1 : (int)(sizeof some / sizeof *some);
  int64_t numbers[MOST], sum = 0;
  if (n > MOST) n = MOST;

  int err = parse_all(texts, n, numbers);
  if (err != 0) return 1;
  for (int i = 0; i < n; i++) sum += numbers[i];
  printf("sum = %" PRId64 "\n", sum);
  return 0;
}
