/* golib inside a program that has an event loop of its own: poll(2) here, which serves a pipe, while
 * goroutines use timers and channels. Everything runs on one thread.
 *
 *   golib's descriptor | readable while goroutines can run, or a timer is due: go_step
 *   the pipe           | the loop reads it and hands what it has read to a goroutine
 */
#include <golib/golib.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

GO_CHAN_TYPE(sizes, ptrdiff_t);

static int pipe_fds[2];
static sizes from_pipe;
static int running = 3; /* goroutines; only this thread touches it */

/* Writes something every 2 ms, as another process might. */
GO_FUNC(feeder) {
  for (int i = 0; i < 5; i++) {
    (void)go_sleep(NULL, 2 * GO_MS);
    if (write(pipe_fds[1], "0123456789", 10) != 10) break;
  }
  close(pipe_fds[1]);
  running--;
}

GO_FUNC(adder) {
  ptrdiff_t n, bytes = 0;
  while (sizes_recv(from_pipe, &n)) bytes += n;
  printf("%td bytes from the pipe\n", bytes);
  running--;
}

GO_FUNC(ticker) {
  for (int i = 1; i <= 3; i++) {
    (void)go_sleep(NULL, GO_MS);
    printf("tick %d\n", i);
  }
  running--;
}

/* Room for all that is ever read: the loop must not wait. */
static void on_pipe(struct pollfd *p) {
  char buf[64];
  ssize_t n = read(p->fd, buf, sizeof buf);
  if (n > 0) {
    if (sizes_try_send(from_pipe, n) != 0) fputs("the goroutine is too slow\n", stderr);
  } else {
    sizes_close(from_pipe);
    p->fd = -1; /* poll skips it */
  }
}

int main(void) {
  go_config config = {.embedded = true};
  if (go_init(&config) != 0 || pipe(pipe_fds) != 0) return 1;
  from_pipe = sizes_new(100);
  if (from_pipe == NULL || GO(feeder) != 0 || GO(adder) != 0 || GO(ticker) != 0) return 1;

  struct pollfd fds[] = {
      {.fd = go_wake_fd(), .events = POLLIN},
      {.fd = pipe_fds[0], .events = POLLIN},
  };
  while (running > 0) {
    if (poll(fds, 2, -1) < 0) continue; /* a signal */
    if (fds[1].revents != 0) on_pipe(&fds[1]);
    if (fds[0].revents != 0 && go_step(16) < 0) return 1;
  }
  sizes_unref(from_pipe);
  close(pipe_fds[0]);
  return go_shutdown(GO_FOREVER);
}
