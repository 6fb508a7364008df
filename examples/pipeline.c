/* pipeline: generate -> square -> print and sum, three goroutines joined by two channels. */
#include <golib/golib.h>
#include <inttypes.h>
#include <stdio.h>

GO_CHAN_TYPE(numbers, uint64_t);

GO_FUNC(generate, (uint64_t, last), (numbers, out)) {
  for (uint64_t n = 1; n <= last; n++) numbers_send(out, n);
  numbers_close(out);
}

GO_FUNC(square, (numbers, in), (numbers, out)) {
  uint64_t n;
  while (numbers_recv(in, &n)) numbers_send(out, n * n);
  numbers_close(out);
}

GO_MAIN(argc, argv) {
  numbers naturals = numbers_new(0), squares = numbers_new(0);
  if (naturals == NULL || squares == NULL) return 1;

  go_wg wg = {0};
  if (GO_WG(&wg, generate, 8, naturals) != 0) return 1;
  if (GO_WG(&wg, square, naturals, squares) != 0) return 1;

  uint64_t n, sum = 0;
  while (numbers_recv(squares, &n)) {
    printf("%" PRIu64 "\n", n);
    sum += n;
  }
  printf("sum = %" PRIu64 "\n", sum);

  go_wg_wait(&wg);
  numbers_unref(naturals);
  numbers_unref(squares);
  return sum == 204 ? 0 : 1; /* 1+4+9+16+25+36+49+64 */
}
