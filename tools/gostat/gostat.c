/* gostat: what a golib program does, as top shows processes.
 *
 * The program serves a socket by go_debug_listen, or because it was started with GOLIB_DEBUG=listen=PATH; see
 * docs/debugging.md. gostat is written with golib itself: what it waits for, keys, signals, the time and answers, comes by
 * channels, to one goroutine that owns the screen; so a program that does not answer does not keep it from quitting. */
#include <fcntl.h>
#include <golib/golib.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch.h"
#include "report.h"
#include "term.h"

GO_CHAN_TYPE(intchan, int);
GO_CHAN_TYPE(samplechan, sample);

enum { ONE_BY_ONE_MOST = 2000 };

typedef enum mode { WATCH, ONCE, JSON, DUMP, TRACE } mode;

typedef struct options {
  mode mode;
  go_nsec every;
  double seconds; /* of a trace */
  const char *where;
  bool leaks;
  look look;
} options;

/* ---- asking ---- */

static char *goroutines_path(const options *o) {
  static char path[80];
  snprintf(path, sizeof path, "/goroutines.json?limit=%d%s",
           o->look.group == ONE_BY_ONE ? ONE_BY_ONE_MOST : 0, o->leaks ? "&leaks=1" : "");
  return path;
}

static sample take_sample(go_ctx *ctx, source *from, const char *path) {
  sample s = {.error = 0};
  size_t n, m;
  s.error = fetch(ctx, from, "/stats.json", &s.stats_text, &n);
  if (s.error == 0) s.error = fetch(ctx, from, path, &s.groups_text, &m);
  if (s.error == 0) {
    s.stats = json_read(s.stats_text, n);
    s.groups = json_read(s.groups_text, m);
    if (s.stats == NULL || s.groups == NULL) s.error = 1;
  }
  if (s.error != 0) {
    int error = s.error;
    sample_free(&s);
    s.error = error;
  }
  return s;
}

static int complain(const options *o, int r) {
  fprintf(stderr, "gostat: %s: %s\n", o->where, fetch_error(r));
  return 1;
}

/* ---- without a screen ---- */

static int show_raw(const options *o, source *from, const char *path) {
  char *s;
  size_t n;
  int r = fetch(NULL, from, path, &s, &n);
  if (r != 0) return complain(o, r);
  bool good = term_write(s, n);
  free(s);
  return good ? 0 : 1;
}

static int show_json(const options *o, source *from) {
  char *stats, *groups;
  size_t n, m;
  int r = fetch(NULL, from, "/stats.json", &stats, &n);
  if (r != 0) return complain(o, r);
  r = fetch(NULL, from, goroutines_path(o), &groups, &m);
  if (r == 0) {
    bool good = term_write("{\"stats\":", 9) && term_write(stats, n) &&
                term_write(",\"goroutines\":", 14) && term_write(groups, m) && term_write("}\n", 2);
    r = good ? 0 : -EPIPE;
    free(groups);
  }
  free(stats);
  return r != 0 ? complain(o, r) : 0;
}

/* Reports, one after the other, on what is no screen. */
static int show_plain(const options *o, source *from) {
  sample before = {.error = 0};
  for (int i = 0;; i++) {
    sample now = take_sample(NULL, from, goroutines_path(o));
    if (now.error != 0) {
      sample_free(&before);
      return complain(o, now.error);
    }
    text t = {.s = NULL};
    if (i > 0) text_add(&t, "\n", 1);
    report_head(&t, &o->look, &now, i > 0 ? &before : NULL);
    text_add(&t, "\n", 1);
    (void)report_table(&t, &o->look, &now, 0, -1);
    bool good = term_write(t.s, t.n);
    text_free(&t);
    sample_free(&before);
    before = now;
    if (o->mode == ONCE || !good) break;
    (void)go_sleep(NULL, o->every);
  }
  sample_free(&before);
  return 0;
}

/* ---- with a screen ---- */

typedef struct screen {
  options *o;
  source from;
  intchan keys, signals;
  samplechan answers;
  go_ctx *ctx; /* of questions */
  bool asking, paused, quit;
  bool stopped; /* by SIGTSTP: the terminal is another's */
  int error;    /* of the last answer */
  sample now, before;
  size_t top, nrows;
  int columns, rows;
} screen;

static int signal_pipe[2];

static void on_signal(int sig) {
  int e = errno;
  char c = (char)sig;
  ssize_t n = write(signal_pipe[1], &c, 1);
  (void)n; /* full: then there is one on its way */
  errno = e;
}

static int catch_signals(void) {
  static const int signals[] = {SIGWINCH, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT};
  if (pipe(signal_pipe) != 0) return -errno;
  for (int i = 0; i < 2; i++) {
    (void)fcntl(signal_pipe[i], F_SETFD, FD_CLOEXEC);
    (void)fcntl(signal_pipe[i], F_SETFL, O_NONBLOCK);
  }
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&a.sa_mask);
    if (sigaction(signals[i], &a, NULL) != 0) return -errno;
  }
  return 0;
}

/* Bytes from fd, one by one; then -1. Until ctx is done. The descriptor itself is left as it is: others have it too. */
GO_FUNC(read_bytes, (go_ctx *, ctx), (int, fd), (intchan, to)) {
  unsigned char buf[64];
  while (go_fd_wait(ctx, fd, GO_FD_READ) >= 0) {
    ssize_t n = read(fd, buf, sizeof buf);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) break;
    for (ssize_t i = 0; i < n; i++) {
      if (intchan_send_ctx(ctx, to, buf[i]) != 0) return;
    }
  }
  (void)!intchan_send_ctx(ctx, to, -1);
}

GO_FUNC(ask, (screen *, s), (const char *, path)) {
  samplechan_send(s->answers, take_sample(s->ctx, &s->from, path));
}

static void refresh(screen *s) {
  if (!s->asking && GO(ask, s, goroutines_path(s->o)) == 0) s->asking = true;
}

static void status_line(text *t, const screen *s) {
  char line[512];
  const look *l = &s->o->look;
  if (s->error != 0) {
    snprintf(line, sizeof line, "%s: %s", s->o->where, fetch_error(s->error));
  } else {
    snprintf(line, sizeof line,
             "%sq quit  s sort: %s  g group by: %s  p pause  d dump  l leaks: %s  +- every %g s  "
             "%zu rows",
             s->paused ? "[paused] " : "", sorting_names[l->sort], grouping_names[l->group],
             s->o->leaks ? "yes" : "no", (double)s->o->every / (double)GO_SEC, s->nrows);
  }
  text_line(t, s->columns, line);
  t->n--;
}

/* Lines end with "erase to the end"; so nothing is blank in between, and nothing flickers. */
static void draw(screen *s) {
  text lines = {.s = NULL}, out = {.s = NULL};
  term_size(&s->columns, &s->rows);
  s->o->look.columns = s->columns;
  if (s->now.stats != NULL) {
    report_head(&lines, &s->o->look, &s->now, &s->before);
    text_add(&lines, "\n", 1);
    long room = s->rows - 12 > 0 ? s->rows - 12 : 0;
    s->nrows = report_table(&lines, &s->o->look, &s->now, s->top, room);
  }
  text_add(&out, "\033[H", 3);
  size_t at = 0;
  for (int row = 0; row + 1 < s->rows; row++) {
    const char *nl = at < lines.n ? memchr(lines.s + at, '\n', lines.n - at) : NULL;
    size_t end = nl != NULL ? (size_t)(nl - lines.s) : at;
    if (nl != NULL) text_add(&out, lines.s + at, end - at);
    text_add(&out, "\033[K\n", 4);
    at = nl != NULL ? end + 1 : lines.n;
  }
  status_line(&out, s);
  text_add(&out, "\033[K\033[J", 6);
  s->quit = s->quit || !term_write(out.s, out.n);
  text_free(&lines);
  text_free(&out);
}

static void got_answer(screen *s, sample answer) {
  s->asking = false;
  s->error = answer.error;
  if (answer.error == 0) {
    sample_free(&s->before);
    s->before = s->now;
    s->now = answer;
  }
}

/* The dump goes where the terminal keeps it, not on our screen. */
static void dump(screen *s) {
  while (s->asking) { /* the connection is the other's so long */
    sample answer;
    (void)samplechan_recv(s->answers, &answer);
    got_answer(s, answer);
  }
  char *all = NULL;
  size_t n = 0;
  int r = fetch(s->ctx, &s->from, "/goroutines.txt", &all, &n);
  term_give_back();
  if (r != 0) (void)complain(s->o, r);
  text t = {.s = NULL};
  for (char *p = all, *nl; r == 0 && (nl = strchr(p, '\n')) != NULL; p = nl + 1) {
    *nl = '\0';
    text_line(&t, 0, p);
  }
  text_line(&t, 0, "-- a key goes on --");
  (void)term_write(t.s, t.n);
  text_free(&t);
  free(all);
  int key, sig;
  switch (GO_SELECT(NULL, intchan_recv_case(s->keys, &key), intchan_recv_case(s->signals, &sig))) {
    case 0: s->quit = key < 0; break;
    default: s->quit = sig != SIGWINCH && sig != SIGCONT; break;
  }
  s->quit = s->quit || !term_take();
}

/* Up and down, as arrows come: ESC [ A, of which the first two are not told from other keys here. */
static void scroll(screen *s, long by) {
  long top = (long)s->top + by;
  long most = (long)s->nrows - 1;
  top = top > most ? most : top;
  s->top = top > 0 ? (size_t)top : 0;
}

static void slower(options *o, bool yes) {
  go_nsec every = yes ? 2 * o->every : o->every / 2;
  if (every >= 125 * GO_MS && every <= 64 * GO_SEC) o->every = every;
}

static void on_key(screen *s, int key) {
  look *l = &s->o->look;
  switch (key) {
    case -1:
    case 'q':
    case 'Q': s->quit = true; break;
    case 's': l->sort = (sorting)((l->sort + 1) % SORTINGS); break;
    case 'g':
      l->group = (grouping)((l->group + 1) % GROUPINGS);
      s->top = 0;
      break;
    case 'p': s->paused = !s->paused; break;
    case 'd': dump(s); break;
    case 'l': s->o->leaks = !s->o->leaks; break;
    case 'j':
    case 'B': scroll(s, 1); break;
    case 'k':
    case 'A': scroll(s, -1); break;
    case '+': slower(s->o, true); break;
    case '-': slower(s->o, false); break;
    default: break;
  }
  if (strchr("gl", key) != NULL && key > 0) refresh(s);
}

/* A process of several threads may run on for a little after it has sent itself a SIGSTOP: so what follows waits for SIGCONT. */
static void on_sent(screen *s, int sig) {
  switch (sig) {
    case SIGWINCH: break;
    case SIGTSTP:
      s->stopped = true;
      term_give_back();
      (void)kill(getpid(), SIGSTOP);
      break;
    case SIGCONT: /* also after a SIGSTOP from elsewhere, since when others may have changed the terminal */
      s->stopped = false;
      term_give_back();
      s->quit = !term_take();
      break;
    default: s->quit = true; break;
  }
}

static void run_screen(screen *s, go_ticker *ticker) {
  refresh(s);
  go_nsec every = s->o->every;
  while (!s->quit) {
    int key, sig;
    go_nsec at;
    sample answer;
    go_case ticks = {go_ticker_chan(ticker), &at, GO_RECV, false};
    switch (GO_SELECT(NULL, intchan_recv_case(s->keys, &key), intchan_recv_case(s->signals, &sig),
                      ticks, samplechan_recv_case(s->answers, &answer))) {
      case 0: on_key(s, key); break;
      case 1: on_sent(s, sig); break;
      case 2:
        if (!s->paused) refresh(s);
        break;
      default: got_answer(s, answer); break;
    }
    if (every != s->o->every) go_ticker_reset(ticker, every = s->o->every);
    if (!s->quit && !s->stopped) draw(s);
  }
}

/* 0, or a code. */
static int open_screen(screen *s, go_wg *readers) {
  s->keys = intchan_new(0);
  s->signals = intchan_new(0);
  s->answers = samplechan_new(1);
  s->ctx = go_ctx_with_cancel(NULL);
  if (s->ctx == NULL) return GO_ENOMEM;
  int r = catch_signals();
  if (r == 0) r = GO_WG(readers, read_bytes, s->ctx, 0, s->keys);
  if (r == 0) r = GO_WG(readers, read_bytes, s->ctx, signal_pipe[0], s->signals);
  return r;
}

/* Nobody uses it any more: the readers and the one who asks have been waited for. */
static void close_screen(screen *s, go_wg *readers) {
  go_ctx_cancel(s->ctx);
  while (s->asking) {
    sample answer;
    (void)samplechan_recv(s->answers, &answer);
    got_answer(s, answer);
  }
  go_wg_wait(readers);
  sample_free(&s->now);
  sample_free(&s->before);
  source_close(&s->from);
  intchan_unref(s->keys);
  intchan_unref(s->signals);
  samplechan_unref(s->answers);
  go_ctx_unref(s->ctx);
}

static int watch(options *o, source *from) {
  screen s = {.o = o, .from = *from};
  go_wg readers = {0};
  go_ticker *ticker = go_ticker_new(o->every);
  int r = ticker != NULL ? open_screen(&s, &readers) : GO_ENOMEM;
  if (r != 0) return complain(o, r);
  s.now = take_sample(NULL, &s.from, goroutines_path(o));
  r = s.now.error; /* where it never was it will not be either */
  if (r == 0 && !term_take()) r = -ENOTTY;
  if (r == 0) {
    o->look.colours = true;
    draw(&s);
    run_screen(&s, ticker);
    term_give_back();
  }
  close_screen(&s, &readers);
  go_ticker_free(ticker);
  return r == 0 ? 0 : complain(o, r);
}

/* ---- the program ---- */

static int usage(FILE *to) {
  fprintf(to,
          "usage: gostat [OPTION...] SOCKET|ADDRESS:PORT\n"
          "Shows what a golib program does that was started with GOLIB_DEBUG=listen=SOCKET, or "
          "calls go_debug_listen.\n"
          "  --once           print one report\n"
          "  --json           print what the program tells, as JSON\n"
          "  --dump           print all goroutines with their stacks\n"
          "  --trace SECONDS  print a trace for https://ui.perfetto.dev\n"
          "  --leaks          look for goroutines that nothing can wake\n"
          "  --sort WHAT      count, longest, state or name\n"
          "  --group WHAT     stack, site, state or none\n"
          "  -n SECONDS       how often it looks (1)\n"
          "Keys: q quit, s sort, g group, p pause, d dump, l leaks, + - slower and faster, j k and "
          "arrows scroll.\n"
          "Without a terminal that can move its cursor it prints one report after the other.\n");
  return to == stderr ? 2 : 0;
}

static bool seconds(const char *s, double least, double most, double *ret) {
  char *end;
  double v = s != NULL ? strtod(s, &end) : 0;
  if (s == NULL || *s == '\0' || *end != '\0' || !(v >= least && v <= most)) return false;
  *ret = v;
  return true;
}

static bool choose(const char *s, const char *const *names, int n, int *ret) {
  for (int i = 0; s != NULL && i < n; i++) {
    if (strcmp(s, names[i]) == 0) {
      *ret = i;
      return true;
    }
  }
  return false;
}

/* False: usage. */
static bool option(options *o, char **argv, int *i) {
  const char *a = argv[*i], *value = argv[*i + 1];
  double v;
  int n;
  if (strcmp(a, "--once") == 0) {
    o->mode = ONCE;
  } else if (strcmp(a, "--json") == 0) {
    o->mode = JSON;
  } else if (strcmp(a, "--dump") == 0) {
    o->mode = DUMP;
  } else if (strcmp(a, "--leaks") == 0) {
    o->leaks = true;
  } else if (strcmp(a, "--trace") == 0 && seconds(value, 0.01, 60, &o->seconds)) {
    o->mode = TRACE;
    ++*i;
  } else if (strcmp(a, "-n") == 0 && seconds(value, 0.1, 3600, &v)) {
    o->every = (go_nsec)(v * (double)GO_SEC);
    ++*i;
  } else if (strcmp(a, "--sort") == 0 && choose(value, sorting_names, SORTINGS, &n)) {
    o->look.sort = (sorting)n;
    ++*i;
  } else if (strcmp(a, "--group") == 0 && choose(value, grouping_names, GROUPINGS, &n)) {
    o->look.group = (grouping)n;
    ++*i;
  } else {
    return false;
  }
  return true;
}

static int run(int argc, char **argv) {
  options o = {.every = GO_SEC};
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return usage(stdout);
    if (argv[i][0] != '-' && o.where == NULL) {
      o.where = argv[i];
    } else if (argv[i][0] != '-' || !option(&o, argv, &i)) {
      return usage(stderr);
    }
  }
  if (o.where == NULL) return usage(stderr);
  char path[64];
  source from = source_of(o.where);
  int r;
  switch (o.mode) {
    case JSON: r = show_json(&o, &from); break;
    case DUMP: r = show_raw(&o, &from, "/goroutines.txt"); break;
    case TRACE:
      snprintf(path, sizeof path, "/trace?seconds=%.3f", o.seconds);
      r = show_raw(&o, &from, path);
      break;
    default:
      r = o.mode == WATCH && term_is_smart() ? watch(&o, &from) : show_plain(&o, &from);
      break;
  }
  source_close(&from);
  return r;
}

int main(int argc, char **argv) {
  (void)signal(SIGPIPE, SIG_IGN);
  term_init();
  return go_main(run, argc, argv);
}
