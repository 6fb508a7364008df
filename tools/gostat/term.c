/* term.c: see term.h. */
#include "term.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios before;
static atomic_bool taken;

static const char enter[] =
    "\033[?1049h\033[?25l\033[?7l"; /* its own screen, no cursor, no wrapping */
static const char leave[] = "\033[?7h\033[?25h\033[0m\033[?1049l";

bool term_is_smart(void) {
  const char *term = getenv("TERM");
  return isatty(0) && isatty(1) && term != NULL && term[0] != '\0' && strcmp(term, "dumb") != 0;
}

bool term_write(const char *s, size_t n) {
  while (n > 0) {
    ssize_t w = write(1, s, n);
    if (w < 0 && errno == EAGAIN) { /* somebody else who has this terminal wants it so */
      (void)poll(&(struct pollfd){.fd = 1, .events = POLLOUT}, 1, -1);
    } else if (w < 0 && errno != EINTR) {
      return false;
    } else if (w > 0) {
      s += w;
      n -= (size_t)w;
    }
  }
  return true;
}

void term_give_back(void) {
  if (!atomic_exchange(&taken, false)) return;
  int e = errno;
  (void)term_write(leave, sizeof leave - 1);
  (void)tcsetattr(0, TCSANOW, &before);
  errno = e;
}

/* Of a signal that is a mistake of ours, or of whoever sent it. */
static void on_crash(int sig) {
  term_give_back();
  (void)signal(sig, SIG_DFL);
  (void)raise(sig);
}

void term_init(void) {
  static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGXCPU, SIGTRAP};
  (void)atexit(term_give_back);
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
    (void)signal(signals[i], on_crash);
  }
}

bool term_take(void) {
  struct termios raw;
  if (tcgetattr(0, &before) != 0) return false;
  raw = before;
  raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  atomic_store(&taken, true);
  if (tcsetattr(0, TCSANOW, &raw) != 0 || !term_write(enter, sizeof enter - 1)) {
    term_give_back();
    return false;
  }
  return true;
}

static int from_environment(const char *name, int otherwise) {
  const char *s = getenv(name);
  int n = s != NULL ? atoi(s) : 0;
  return n > 0 && n < 10000 ? n : otherwise;
}

void term_size(int *ret_columns, int *ret_rows) {
  struct winsize w;
  bool known = ioctl(1, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 && w.ws_row > 0;
  *ret_columns = known ? w.ws_col : from_environment("COLUMNS", 80);
  *ret_rows = known ? w.ws_row : from_environment("LINES", 24);
}
