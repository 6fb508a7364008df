/* main_exitcode: the value of GO_MAIN's body is the exit status: here 1, as some tasks fail.
 *
 * A task's value is an int of its own choice; the scope takes the first that is not 0 for its error. Here
 * that does not matter, as nobody asks for it. */
#include <golib/golib.h>
#include <stdio.h>

enum { N = 5, FAILED = 1 };

GO_TASK(run_task, (int, id)) { return id % 2 == 0 ? 0 : FAILED; }

GO_MAIN(argc, argv) {
  int failures = 0;
  GO_SCOPE (s, NULL) {
    go_task *tasks[N];
    for (int id = 0; id < N; id++) tasks[id] = GO_IN(&s, run_task, id);
    for (int id = 0; id < N; id++) {
      int r = go_task_join(tasks[id]);
      printf("  task %d: %s\n", id, r == 0 ? "ok" : "FAIL");
      failures += r != 0;
    }
  }
  printf("%d/%d tasks passed\n", N - failures, N);
  return failures == 0 ? 0 : 1;
}
