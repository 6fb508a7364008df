/* timeout: waits for an answer, but not for ever: a goroutine that sleeps and then sends is a clock
 * that select can wait for. */
#include <golib/golib.h>
#include <stdio.h>

GO_CHAN_TYPE(intchan, int);

/* `out` has room for the value, so the send never waits and the goroutine ends even when nobody
 * receives any more. */
GO_FUNC(send_later, (go_nsec, delay), (int, value), (intchan, out)) {
  go_sleep(NULL, delay);
  intchan_send(out, value);
  intchan_unref(out);
}

/* A channel that gets `value` after `delay`, or NULL. It may outlive the caller's interest in it:
 * the goroutine has a reference of its own. */
static intchan later(go_nsec delay, int value) {
  intchan ch = intchan_new(1);
  if (ch == NULL) return NULL;
  if (GO(send_later, delay, value, intchan_ref(ch)) == 0) return ch;
  intchan_unref(ch);
  intchan_unref(ch);
  return NULL;
}

/* Waits for somebody who answers 42 after `delay`, for at most `limit`. */
static int ask(go_nsec delay, go_nsec limit) {
  int n = GO_ENOMEM;
  intchan answer = later(delay, 42), clock = later(limit, GO_ETIMEDOUT);
  if (answer != NULL && clock != NULL)
    GO_SELECT(NULL, intchan_recv_case(answer, &n), intchan_recv_case(clock, &n));
  intchan_unref(answer);
  intchan_unref(clock);
  return n;
}

GO_MAIN(argc, argv) {
  int quick = ask(10 * GO_MS, 2 * GO_SEC);
  printf("quick: %d\n", quick);
  int slow = ask(2 * GO_SEC, 10 * GO_MS);
  printf("slow: %s\n", go_strerror(slow));
  return quick == 42 && slow == GO_ETIMEDOUT ? 0 : 1;
}
