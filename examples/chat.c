/* chat: people talk in rooms, by lines of text.
 *
 *   chat 127.0.0.1:7000        and, for each who talks: nc 127.0.0.1 7000
 *
 * Each client has two goroutines: one reads its lines, one writes what it is to see. Between them is a queue of bounded
 * length, so that a client that does not read holds up nobody: when its queue is full it is disconnected, and the others are
 * told. SIGTERM or SIGINT: everybody is told, and has a few seconds to receive it. */
#include <ctype.h>
#include <getopt.h>
#include <golib/golib.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: chat [OPTION]... ADDRESS\n"
    "ADDRESS is host:port, [ipv6]:port, :port (all interfaces; port 0: a free one, which is "
    "printed), or the path of a\n"
    "Unix socket (with a slash in it).\n"
    "  -m, --max N    clients at a time; more are turned away (1000)\n"
    "  -q, --queue N  messages that may wait for a client before it is disconnected (256)\n"
    "  -h, --help     print this\n";

static const char commands[] =
    "/join ROOM  go to another room    /names  who is here    /rooms  where people are\n"
    "/quit       leave                 /help   this";

static struct { long max, queue; } config = {.max = 1000, .queue = 256};

#define LOBBY "lobby"
enum { NAME = 20, LINE = 1000 }; /* longest name of a person or a room; longest line */

static int complain(const char *what, int code) {
  fprintf(stderr, "chat: %s: %s\n", what, go_strerror(code));
  return 1;
}

/* ---- messages: one text for all who get it ---- */

typedef struct message {
  atomic_int refs;
  size_t size;
  char text[];
} message;

static void message_unref(message *m) {
  if (m != NULL && atomic_fetch_sub(&m->refs, 1) == 1) free(m);
}
static void message_destroy(void *p) { message_unref(*(message **)p); }

GO_CHAN_TYPE(queue, message *);

/* Formats a line; NULL: no memory. */
static message *message_of(const char *fmt, va_list args) {
  va_list again;
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, fmt, again);
  va_end(again);
  message *m = n < 0 ? NULL : malloc(sizeof *m + (size_t)n + 2);
  if (m == NULL) return NULL;
  atomic_init(&m->refs, 1);
  m->size = (size_t)n + 1;
  vsnprintf(m->text, (size_t)n + 1, fmt, args);
  m->text[n] = '\n';
  return m;
}

/* ---- clients and rooms ---- */

typedef struct client {
  struct client *next; /* of all */
  go_conn *conn;
  go_ctx *ctx;         /* ends both of its goroutines; its cause says why */
  queue out;           /* closed: nothing more comes, what is in it is written still */
  char name[NAME + 1]; /* "": it has told none yet, and is in no room */
  char room[NAME + 1];
  bool dropped; /* its queue was full */
} client;

typedef struct server {
  go_ctx *soft; /* ends accepting */
  go_ctx *hard; /* ends clients */
  go_listener *listener;
  go_sem slots;
  go_wg clients;
  go_mutex lock; /* guards the rest, and the names and rooms of those in the list */
  client *all;   /* who has a name */
  bool stopping;
} server;

/* m to c: never waits. False: its queue is full, or closed. */
static bool give(client *c, message *m) {
  atomic_fetch_add(&m->refs, 1);
  if (queue_try_send(c->out, m) == 0) return true;
  message_unref(m);
  return false;
}

/* To everybody in the room, or, NULL, on the server. Who does not keep up is disconnected: its reader ends, and
 * says good-bye for it. s->lock is held. */
static void tell_room_v(server *s, const char *room, const char *fmt, va_list args) {
  message *m = message_of(fmt, args);
  if (m == NULL) return; /* a message is lost, not the server */
  for (client *c = s->all; c != NULL; c = c->next) {
    if (room != NULL && strcmp(c->room, room) != 0) continue;
    if (!give(c, m) && !s->stopping) {
      c->dropped = true;
      go_ctx_cancel(c->ctx);
    }
  }
  message_unref(m);
}

GO_PRINTF(3, 4) static void tell_room(server *s, const char *room, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  tell_room_v(s, room, fmt, args);
  va_end(args);
}

/* To c alone, by its own reader, which may wait for room. */
GO_PRINTF(2, 3) static void tell(client *c, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  message *m = message_of(fmt, args);
  va_end(args);
  if (m != NULL && queue_send_ctx(c->ctx, c->out, m) != 0) message_unref(m);
}

static client *find(server *s, const char *name) {
  client *c = s->all;
  while (c != NULL && strcmp(c->name, name) != 0) c = c->next;
  return c;
}

/* From now on it is told what concerns everybody. */
static void attach(server *s, client *c) {
  go_mutex_lock(&s->lock);
  c->next = s->all;
  s->all = c;
  go_mutex_unlock(&s->lock);
}

static void detach(server *s, client *c) {
  go_mutex_lock(&s->lock);
  client **at = &s->all;
  while (*at != c) at = &(*at)->next;
  *at = c->next;
  if (c->name[0] != '\0' && !s->stopping) {
    tell_room(s, c->room, "* %s %s", c->name,
              c->dropped ? "was too slow and has been disconnected" : "has left");
  }
  go_mutex_unlock(&s->lock);
}

/* False: the name is taken. */
static bool enter(server *s, client *c, const char *name) {
  go_mutex_lock(&s->lock);
  bool is_free = find(s, name) == NULL;
  if (is_free) {
    snprintf(c->name, sizeof c->name, "%s", name);
    snprintf(c->room, sizeof c->room, "%s", LOBBY);
    tell_room(s, c->room, "* %s has joined %s", c->name, c->room);
  }
  go_mutex_unlock(&s->lock);
  return is_free;
}

static void join(server *s, client *c, const char *room) {
  go_mutex_lock(&s->lock);
  tell_room(s, c->room, "* %s has gone to %s", c->name, room);
  snprintf(c->room, sizeof c->room, "%s", room);
  tell_room(s, c->room, "* %s has joined %s", c->name, c->room);
  go_mutex_unlock(&s->lock);
}

static void say(server *s, client *c, const char *text) {
  go_mutex_lock(&s->lock);
  tell_room(s, c->room, "%s: %s", c->name, text);
  go_mutex_unlock(&s->lock);
}

/* Who is in c's room; or, by room, everybody. Told after the lock: this client may be slow. */
static void list(server *s, client *c, bool rooms) {
  char *text = NULL;
  size_t size = 0;
  FILE *f = open_memstream(&text, &size);
  if (f == NULL) return;
  go_mutex_lock(&s->lock);
  for (client *o = s->all; o != NULL; o = o->next) {
    if (rooms) {
      if (o->room[0] != '\0') fprintf(f, " %s(%s)", o->room, o->name);
    } else if (strcmp(o->room, c->room) == 0) {
      fprintf(f, " %s", o->name);
    }
  }
  go_mutex_unlock(&s->lock);
  if (fclose(f) == 0) tell(c, "*%s", text);
  free(text);
}

/* ---- what clients type ---- */

static bool is_name(const char *s) {
  size_t n = strlen(s);
  for (size_t i = 0; i < n; i++) {
    if (!isalnum((unsigned char)s[i]) && s[i] != '-' && s[i] != '_') return false;
  }
  return n >= 1 && n <= NAME;
}

/* What could play tricks on others' terminals becomes a '?'. */
static void clean(char *s, size_t n) {
  for (size_t i = 0; i < n; i++) {
    unsigned char ch = (unsigned char)s[i];
    if ((ch < ' ' && ch != '\t') || ch == 0x7f) s[i] = '?';
  }
}

/* False: it wants to leave. */
static bool obey(server *s, client *c, char *line) {
  if (strncmp(line, "/join ", 6) == 0) {
    if (is_name(line + 6)) {
      join(s, c, line + 6);
    } else {
      tell(c, "* names of rooms have 1 to %d letters, digits, - or _", NAME);
    }
  } else if (strcmp(line, "/names") == 0 || strcmp(line, "/rooms") == 0) {
    list(s, c, line[1] == 'r');
  } else if (strcmp(line, "/quit") == 0) {
    return false;
  } else if (line[0] == '/') {
    tell(c, "%s", commands);
  } else if (line[0] != '\0') {
    say(s, c, line);
  }
  return true;
}

/* Of a line that is too long the rest is of no interest. */
static ptrdiff_t skip_line(client *c, go_reader *in) {
  char *rest;
  ptrdiff_t n;
  while ((n = go_reader_read_until(c->ctx, in, '\n', &rest)) == GO_ETOOLONG) {
    n = go_reader_discard(c->ctx, in, go_reader_buffered(in, NULL)); /* needs no wait */
    if (n < 0) break;
  }
  return n;
}

/* The next line, cleaned; NULL: no more. */
static char *next_line(client *c, go_reader *in) {
  for (;;) {
    char *line;
    ptrdiff_t n = go_reader_read_line(c->ctx, in, &line);
    if (n >= 0 && n <= LINE) {
      clean(line, (size_t)n);
      return line;
    }
    if (n < 0 && n != GO_ETOOLONG) return NULL;
    tell(c, "* too long: lines have at most %d bytes", LINE);
    if (n == GO_ETOOLONG && skip_line(c, in) < 0) return NULL;
  }
}

/* False: it has left before it had a name. */
static bool introduce(server *s, client *c, go_reader *in) {
  tell(c, "* your name?");
  for (char *line; (line = next_line(c, in)) != NULL;) {
    if (!is_name(line)) {
      tell(c, "* names have 1 to %d letters, digits, - or _; your name?", NAME);
    } else if (!enter(s, c, line)) {
      tell(c, "* %s is taken; your name?", line);
    } else {
      return true;
    }
  }
  return false;
}

static void talk(server *s, client *c) {
  go_reader in;
  char buf[LINE + 2]; /* and "\r\n" */
  if (go_reader_init(&in, c->conn, buf, sizeof buf) != 0) return;
  if (introduce(s, c, &in)) {
    for (char *line; (line = next_line(c, &in)) != NULL;) {
      if (!obey(s, c, line)) break;
    }
  }
  go_reader_fini(&in);
}

/* ---- a client's goroutines ---- */

/* Writes what is queued, and sends it when there is nothing more for the moment. Until the queue is closed and empty, or
 * the client cannot be written to. */
static int write_queue(client *c, go_writer *out) {
  for (;;) {
    message *m;
    int e = queue_try_recv(c->out, &m);
    if (e == GO_EAGAIN) {
      e = go_writer_flush(c->ctx, out);
      if (e == 0) e = queue_recv_ctx(c->ctx, c->out, &m);
    }
    if (e != 0) return e == GO_ECLOSED ? go_writer_flush(c->ctx, out) : e;
    e = go_writer_write(c->ctx, out, m->text, m->size) < 0 ? go_writer_err(out) : 0;
    message_unref(m);
    if (e != 0) return e;
  }
}

GO_FUNC(writer, (client *, c)) {
  go_writer out;
  if (go_writer_init(&out, c->conn, NULL, 0) == 0) {
    (void)write_queue(c, &out);
    go_writer_fini(&out);
  }
  go_ctx_cancel(c->ctx); /* the reader has nobody to read for */
}

/* Reads; then lets the writer finish, for some seconds. */
static void serve(server *s, client *c) {
  go_wg writing = {0};
  if (GO_WG(&writing, writer, c) != 0) return;
  attach(s, c);
  talk(s, c);
  detach(s, c);
  queue_close(c->out);
  go_ctx *patience = go_ctx_with_timeout(c->ctx, 5 * GO_SEC);
  if (patience == NULL || go_wg_wait_ctx(patience, &writing) != 0) go_ctx_cancel(c->ctx);
  go_ctx_unref(patience);
  go_wg_wait(&writing);
}

GO_FUNC(connection, (server *, s), (go_conn *, conn)) {
  client c = {.conn = conn};
  c.ctx = go_ctx_with_cancel(s->hard);
  c.out = queue_new_destroy((size_t)config.queue, message_destroy);
  if (c.ctx != NULL && c.out != NULL) serve(s, &c);
  queue_unref(c.out);
  go_ctx_unref(c.ctx);
  go_conn_unref(conn);
  go_sem_release(&s->slots, 1);
}

/* ---- the server ---- */

static void turn_away(go_conn *c) {
  static const char full[] = "* the server is full\n";
  (void)go_conn_set_write_deadline(c, go_now() + GO_SEC);
  if (go_write(NULL, c, full, sizeof full - 1) < 0) { /* it is gone already */
  }
  go_conn_unref(c);
}

static int accept_all(server *s) {
  for (;;) {
    go_conn *c;
    int e = go_accept(s->soft, s->listener, &c);
    if (e != 0) return e;
    if (!go_sem_try_acquire(&s->slots, 1)) {
      turn_away(c);
    } else if ((e = GO_WG(&s->clients, connection, s, c)) != 0) {
      (void)complain("a client is turned away", e);
      go_sem_release(&s->slots, 1);
      turn_away(c);
    }
  }
}

/* The last message; then the readers are ended, and the writers have some seconds. */
static void say_good_bye(server *s) {
  go_mutex_lock(&s->lock);
  tell_room(s, NULL, "* the server is stopping");
  s->stopping = true; /* who leaves now need not be mentioned as slow */
  for (client *c = s->all; c != NULL; c = c->next) (void)go_conn_shutdown(c->conn, GO_SHUT_RD);
  go_mutex_unlock(&s->lock);
  go_ctx *patience = go_ctx_with_timeout(s->hard, 6 * GO_SEC);
  if (patience == NULL || go_wg_wait_ctx(patience, &s->clients) != 0) go_ctx_cancel(s->hard);
  go_ctx_unref(patience);
  go_wg_wait(&s->clients);
}

static int serve_all(server *s, const char *addr) {
  go_addr at;
  int e = go_listen(s->soft, strchr(addr, '/') != NULL ? "unix" : "tcp", addr, &s->listener);
  if (e != 0) return complain(addr, e);
  e = go_listener_addr(s->listener, &at);
  if (e == 0) {
    printf("listening on %s\n", go_addr_str(&at));
    fflush(stdout);
    e = accept_all(s);
  }
  go_listener_unref(s->listener);
  say_good_bye(s);
  return e == GO_ECANCELED ? 0 : complain("accept", e);
}

/* Signals that end the program are blocked in all threads; one thread waits for them. */
static sigset_t stop_signals;

static void wait_for_signal(GO_UNUSED void *arg) {
  int sig;
  (void)sigwait(&stop_signals, &sig);
}

GO_FUNC(stop_on_signals, (go_ctx *, soft), (go_ctx *, hard)) {
  go_blocking(wait_for_signal, NULL);
  go_ctx_cancel(soft);
  go_blocking(wait_for_signal, NULL);
  go_ctx_cancel(hard);
}

static int run(GO_UNUSED int argc, char **argv) {
  server s = {.slots = GO_SEM_INIT(config.max)};
  s.hard = go_ctx_with_cancel(NULL);
  s.soft = go_ctx_with_cancel(s.hard);
  if (s.soft == NULL || s.hard == NULL) return complain("start", GO_ENOMEM);
  int e = GO(stop_on_signals, go_ctx_ref(s.soft), go_ctx_ref(s.hard)); /* it keeps them for ever */
  int status = e != 0 ? complain("start", e) : serve_all(&s, argv[0]);
  go_ctx_unref(s.soft);
  go_ctx_unref(s.hard);
  return status;
}

/* ---- arguments ---- */

static bool to_count(const char *text, long *ret) {
  char *end;
  *ret = strtol(text, &end, 10);
  return end != text && *end == '\0' && *ret >= 1 && *ret <= 1000000;
}

int main(int argc, char **argv) {
  static const struct option options[] = {{"max", required_argument, NULL, 'm'},
                                          {"queue", required_argument, NULL, 'q'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
  bool good = true;
  for (int o; (o = getopt_long(argc, argv, "m:q:h", options, NULL)) != -1;) {
    if (o == 'h') {
      fputs(usage, stdout);
      return 0;
    }
    good =
        (o == 'm' || o == 'q') && to_count(optarg, o == 'm' ? &config.max : &config.queue) && good;
  }
  if (!good || optind != argc - 1) {
    fputs(usage, stderr);
    return 2;
  }
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGTERM);
  sigaddset(&stop_signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop_signals, NULL); /* before there are threads: all inherit it */
  return go_main(run, 1, argv + optind);
}
