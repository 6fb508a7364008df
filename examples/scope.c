/* scope: a parallel sum. The tasks read `data` and write `sums`, which lie on this goroutine's stack: the
 * scope is not left before they have ended. */
#include <golib/golib.h>
#include <stdio.h>

enum { N = 100, CHUNKS = 4 };

GO_TASK(sum, (const long *, from), (const long *, to), (long *, out)) {
  *out = 0;
  while (from < to) *out += *from++;
  return 0;
}

GO_MAIN(argc, argv) {
  long data[N], sums[CHUNKS], total = 0;
  for (int i = 0; i < N; i++) data[i] = i + 1;

  GO_SCOPE (s, NULL) {
    go_task *tasks[CHUNKS];
    for (int i = 0; i < CHUNKS; i++)
      tasks[i] = GO_IN(&s, sum, data + i * N / CHUNKS, data + (i + 1) * N / CHUNKS, &sums[i]);
    for (int i = 0; i < CHUNKS; i++) {
      if (go_task_join(tasks[i]) != 0) return 1;
      total += sums[i];
    }
  }
  printf("sum 1..=%d = %ld\n", N, total);
  return total == 5050 ? 0 : 1;
}
