/* A program in a workspace of its own, which gets golib from another one. */
#include <golib/golib.h>
#include <stdio.h>

GO_CHAN_TYPE(textchan, const char *);

GO_FUNC(greet, (textchan, out)) { textchan_send(out, "hello from a goroutine"); }

GO_MAIN(argc, argv) {
  textchan ch = textchan_new(0);
  if (ch == NULL || GO(greet, ch) != 0) return 1;
  const char *text;
  textchan_recv(ch, &text);
  puts(text);
  textchan_unref(ch);
  return 0;
}
