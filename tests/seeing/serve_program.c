/* serve_program SOCKET [HTTP]: a program to look at. Says "listening PORT", then does what stdin says, a line each. */
#include <golib/golib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

GO_CHAN_TYPE(intchan, int);

GO_FUNC(reader, (intchan, c)) {
  int v;
  go_set_name("reader \033[31m\"<b>");
  while (intchan_recv(c, &v)) {}
}

GO_FUNC(sleeper, (go_nsec, d)) { (void)go_sleep(NULL, d); }

GO_FUNC(ticking, (go_nsec, d)) {
  for (;;) {
    (void)go_sleep(NULL, d);
  }
}

/* Every P is busy, and nothing that waits for one gets on by itself. */
GO_FUNC(hog, (int, x)) {
  for (volatile int forever = 1 + 0 * x; forever;) {}
}

GO_FUNC(leaked, (intchan, c)) {
  int v;
  (void)intchan_recv(c, &v);
}

static void next_line(void *arg) {
  char *line = arg;
  if (fgets(line, 64, stdin) == NULL) strcpy(line, "exit");
  line[strcspn(line, "\n")] = '\0';
}

/* On a stack of its own, which is gone with it: nothing of the channel's address stays. */
GO_FUNC(leak, (int, x)) {
  intchan c = intchan_new(0);
  (void)GO(leaked, c);
  (void)x;
}

static int number_of(const char *line) {
  const char *space = strchr(line, ' ');
  return space != NULL ? atoi(space + 1) : 0;
}

/* Returns false at the end. */
static bool obey(const char *line, intchan c) {
  if (strncmp(line, "hogs", 4) == 0) {
    for (int i = 0; i < number_of(line); i++) (void)GO(hog, 0);
  } else if (strncmp(line, "readers", 7) == 0) {
    for (int i = 0; i < number_of(line); i++) (void)GO(reader, c);
  } else if (strcmp(line, "leak") == 0) {
    (void)GO(leak, 0);
  } else if (strcmp(line, "close") == 0) {
    go_debug_close();
  } else if (strcmp(line, "abort") == 0) {
    abort();
  } else if (strcmp(line, "deadlock") == 0) {
    int v;
    (void)intchan_recv(c, &v);
  } else {
    return false;
  }
  return true;
}

GO_MAIN(argc, argv) {
  int port = 0;
  char line[64];
  if (argc > 1) {
    int r = go_debug_listen(NULL, argv[1],
                            &(go_debug_opts){.http = argc > 2 ? argv[2] : NULL, .ret_port = &port});
    if (r != 0) {
      fprintf(stderr, "serve_program: %s: %s\n", argv[1], go_strerror(r));
      return 1;
    }
  }
  intchan c = intchan_new(0);
  for (int i = 0; i < 3; i++) (void)GO(reader, c);
  if (getenv("QUIET") == NULL) {
    (void)GO(sleeper, GO_HOUR);
    (void)GO(ticking, 20 * GO_MS);
  }
  printf("listening %d\n", port);
  fflush(stdout);
  while (go_offload(NULL, next_line, line) == 0 && obey(line, c)) {}
  return 0;
}
