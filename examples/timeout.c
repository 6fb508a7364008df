/* timeout: asks a question, but does not wait for ever: a context with a deadline ends the wait, and
 * tells those who work on the answer that nobody wants it any more. */
#include <golib/golib.h>
#include <stdio.h>

GO_CHAN_TYPE(intchan, int);

/* Takes `delay` to find out. `out` has room for the answer, so that sending it never waits. It may outlive the
 * one who asks, and so has references of its own. */
GO_FUNC(find_out, (go_ctx *, ctx), (go_nsec, delay), (intchan, out)) {
  if (go_sleep(ctx, delay) == 0) intchan_send(out, 42);
  intchan_unref(out);
  go_ctx_unref(ctx);
}

/* The answer, or a negative code: GO_ETIMEDOUT when there is none within `limit`. */
static int ask(go_nsec delay, go_nsec limit) {
  int answer, rc = GO_ENOMEM;
  go_ctx *ctx = go_ctx_with_timeout(NULL, limit);
  intchan out = intchan_new(1);
  if (ctx != NULL && out != NULL) {
    rc = GO(find_out, go_ctx_ref(ctx), delay, intchan_ref(out));
    if (rc != 0) { /* nobody has taken them */
      go_ctx_unref(ctx);
      intchan_unref(out);
    } else {
      rc = intchan_recv_ctx(ctx, out, &answer);
    }
  }
  intchan_unref(out);
  go_ctx_unref(ctx);
  return rc == 0 ? answer : rc;
}

GO_MAIN(argc, argv) {
  int quick = ask(10 * GO_MS, 2 * GO_SEC);
  printf("quick: %d\n", quick);
  int slow = ask(2 * GO_SEC, 10 * GO_MS);
  printf("slow: %s\n", go_strerror(slow));
  return quick == 42 && slow == GO_ETIMEDOUT ? 0 : 1;
}
