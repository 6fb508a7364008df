/* scope_channel: a producer and a consumer in one scope. Both take the scope's context: if one of them
 * fails, or cannot be started, the other does not wait for it for ever. */
#include <golib/golib.h>
#include <stdio.h>

GO_CHAN_TYPE(intchan, int);

GO_TASK(producer, (go_ctx *, ctx), (intchan, out)) {
  for (int i = 0; i < 10; i++) {
    int err = intchan_send_ctx(ctx, out, i);
    if (err != 0) return err;
  }
  intchan_close(out); /* no more comes */
  return 0;
}

GO_TASK(consumer, (go_ctx *, ctx), (intchan, in), (int *, total)) {
  int v, err;
  while ((err = intchan_recv_ctx(ctx, in, &v)) == 0) *total += v;
  return err == GO_ECLOSED ? 0 : err;
}

GO_MAIN(argc, argv) {
  intchan numbers = intchan_new(0);
  if (numbers == NULL) return 1;
  int total = 0, err = 0;
  GO_SCOPE (s, NULL) {
    go_ctx *ctx = go_scope_ctx(&s);
    (void)GO_IN(&s, producer, ctx, numbers);
    (void)GO_IN(&s, consumer, ctx, numbers, &total);
    err = go_scope_wait(&s);
  } /* both have ended, whatever happened */
  intchan_unref(numbers);
  if (err != 0) {
    fprintf(stderr, "scope_channel: %s\n", go_strerror(err));
    return 1;
  }
  printf("sum 0..10 = %d\n", total);
  return total == 45 ? 0 : 1;
}
