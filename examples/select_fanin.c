/* select_fanin: a fast and a slow producer, merged by select as their values come. */
#include <golib/golib.h>
#include <stdio.h>

GO_CHAN_TYPE(intchan, int);

GO_FUNC(produce, (int, first), (int, end), (go_nsec, pause), (intchan, out)) {
  for (int i = first; i < end; i++) {
    go_sleep(NULL, pause);
    intchan_send(out, i);
  }
}

GO_MAIN(argc, argv) {
  intchan fast = intchan_new(8), slow = intchan_new(4);
  if (fast == NULL || slow == NULL) return 1;

  go_wg wg = {0};
  if (GO_WG(&wg, produce, 0, 6, 5 * GO_MS, fast) != 0) return 1;
  if (GO_WG(&wg, produce, 10, 13, 15 * GO_MS, slow) != 0) return 1;

  for (int i = 0, n; i < 9; i++) {
    switch (GO_SELECT(NULL, intchan_recv_case(fast, &n), intchan_recv_case(slow, &n))) {
      case 0: printf("fast %d\n", n); break;
      case 1: printf("slow %d\n", n); break;
    }
  }

  go_wg_wait(&wg);
  intchan_unref(fast);
  intchan_unref(slow);
  return 0;
}
