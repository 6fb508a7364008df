/* app: squares by ten goroutines, added up. Built by make or by CMake, see beside it. */
#include <golib/golib.h>
#include <stdio.h>

GO_CHAN_TYPE(intchan, int);

GO_FUNC(square, (int, i), (intchan, out)) { intchan_send(out, i * i); }

GO_MAIN(argc, argv) {
  (void)argc, (void)argv;
  intchan ch = intchan_new(0);
  for (int i = 0; i < 10; i++) {
    if (GO(square, i, ch) != 0) return 1;
  }
  int sum = 0;
  for (int i = 0; i < 10; i++) {
    int v = 0;
    intchan_recv(ch, &v);
    sum += v;
  }
  intchan_unref(ch);
  printf("sum %d\n", sum);
  return 0;
}
