/* trace_retake_program FILE: a trace in which goroutines lose their P again and again, and come back by all kinds of calls. */
#include <fcntl.h>
#include <golib/golib.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

GO_CHAN_TYPE(intchan, int);

enum { HOGS = 3, LOSSES = 8 };

static void nothing(void *arg) { (void)arg; }

GO_FUNC(flag, (_Atomic bool *, ran)) { atomic_store(ran, true); }

/* With one P the other runs only if that is taken after we have got it by go_yield. */
static void lose_p(void) {
  _Atomic bool ran = false;
  go_yield();
  (void)GO(flag, &ran);
  while (!atomic_load(&ran)) {}
}

static void come_back(int how, intchan c) {
  static _Atomic bool ran;
  int v = how;
  go_wg wg = {0};
  switch (how % 7) {
    case 0: go_yield(); break;
    case 1: (void)go_sleep(NULL, GO_US); break;
    case 2: go_blocking(nothing, NULL); break;
    case 3: intchan_send(c, v); break;
    case 4: (void)intchan_recv(c, &v); break;
    case 5:
      (void)GO_WG(&wg, flag, &ran);
      go_wg_wait(&wg);
      break;
    default: break; /* by what comes next */
  }
}

GO_FUNC(hog, (intchan, c)) {
  go_set_name("hog");
  for (int i = 0; i < LOSSES; i++) {
    go_trace_region_begin("hog");
    lose_p();
    if (i % 2 == 0) {
      come_back(i, c);
      go_trace_region_end();
    } else {
      go_trace_region_end();
      come_back(i, c);
    }
  }
}

GO_MAIN(argc, argv) {
  int fd = argc > 1 ? open(argv[1], O_CREAT | O_TRUNC | O_WRONLY, 0666) : -1;
  if (fd < 0 || go_trace_start(fd) != 0) {
    fprintf(stderr, "trace_retake_program FILE\n");
    return 2;
  }
  go_wg wg = {0};
  intchan c = intchan_new(HOGS * LOSSES);
  for (int i = 0; i < HOGS * LOSSES / 2; i++) {
    intchan_send(c, i);
  }
  for (int i = 0; i < HOGS; i++) {
    (void)GO_WG(&wg, hog, c);
  }
  go_wg_wait(&wg);
  go_trace_stop();
  intchan_unref(c);
  close(fd);
  return 0;
}
