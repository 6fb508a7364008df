/* hello: five goroutines greet over one channel, in whatever order they come to run. */
#include <golib/golib.h>
#include <stdio.h>

typedef struct greeting {
  char text[32];
} greeting;

GO_CHAN_TYPE(greetings, greeting);

GO_FUNC(greet, (int, i), (greetings, out)) {
  greeting g;
  snprintf(g.text, sizeof g.text, "hello from goroutine %d", i);
  greetings_send(out, g);
}

GO_MAIN(argc, argv) {
  enum { N = 5 };
  greetings ch = greetings_new(0);
  if (ch == NULL) return 1;

  go_wg wg = {0};
  int started = 0;
  while (started < N && GO_WG(&wg, greet, started, ch) == 0) started++;

  greeting g;
  for (int i = 0; i < started && greetings_recv(ch, &g); i++) puts(g.text);

  go_wg_wait(&wg); /* now nobody else uses the channel */
  greetings_unref(ch);
  return started == N ? 0 : 1;
}
