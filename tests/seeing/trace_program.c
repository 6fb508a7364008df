/* trace_program FILE: something of everything that a trace tells of. */
#include <fcntl.h>
#include <golib/golib.h>
#include <stdio.h>
#include <unistd.h>

GO_CHAN_TYPE(intchan, int);

static void nap(void *arg) {
  (void)arg;
  usleep(2000);
}

GO_FUNC(square, (int, id), (intchan, in), (intchan, out)) {
  int v;
  go_set_name("square");
  while (intchan_recv(in, &v)) {
    go_trace_region_begin("compute");
    for (go_nsec end = go_now() + 50 * GO_US; go_now() < end;) {}
    go_trace_region_begin("hand over \"it\"");
    intchan_send(out, v * v);
    go_trace_region_end();
    go_trace_region_end();
    if (v == 7) {
      go_trace_log("seven, by %d: caf\xc3\xa9 \x01 \xff", id);
    }
  }
}

GO_FUNC(blocker, (int, n)) {
  go_set_name("blocker");
  for (int i = 0; i < n; i++) {
    go_blocking(nap, NULL);
    (void)go_sleep(NULL, GO_MS);
    go_yield();
  }
}

GO_FUNC(waits, (intchan, never)) {
  int v;
  go_trace_region_begin("for ever");
  (void)intchan_recv(never, &v);
}

GO_MAIN(argc, argv) {
  int fd = argc > 1 ? open(argv[1], O_CREAT | O_TRUNC | O_WRONLY, 0666) : -1;
  if (fd < 0 || go_trace_start(fd) != 0) {
    fprintf(stderr, "trace_program FILE\n");
    return 2;
  }
  go_set_name("main");
  go_trace_region_end(); /* none was begun: nothing happens */
  intchan in = intchan_new(2), out = intchan_new(2), never = intchan_new(0);
  go_wg wg = {0};
  for (int i = 0; i < 3; i++) {
    (void)GO_WG(&wg, square, i, in, out);
  }
  (void)GO_WG(&wg, blocker, 3);
  (void)GO(waits, never);
  int v, sum = 0, got = 0;
  for (int i = 0; i < 40; i++) {
    for (int sent = 0; !sent;) {
      switch (GO_SELECT(NULL, intchan_recv_case(out, &v), intchan_send_case(in, &i))) {
        case 0: sum += v, got++; break;
        default: sent = 1;
      }
    }
  }
  for (; got < 40; got++) {
    (void)intchan_recv(out, &v);
    sum += v;
  }
  intchan_close(in);
  go_wg_wait(&wg);
  go_trace_stop();
  close(fd);
  return sum == 20540 ? 0 : 1;
}
