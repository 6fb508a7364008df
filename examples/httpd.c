/* httpd: an HTTP/1.1 server to start from: one goroutine per connection, written as straight code.
 *
 *   httpd [-n CONNECTIONS] [-t SECONDS] [-i SECONDS] [-g SECONDS] [-d SOCKET|localhost:PORT] [ADDRESS [FOLDER]]
 *
 * GET /hello says hello, POST /echo answers with what was sent, all else are the files of FOLDER. SIGTERM and SIGINT
 * end it: no more connections are taken, those that wait for a request are closed, and requests that have begun are
 * answered, for which there are -g seconds.
 *
 * -d: what it does can be looked at, by gostat SOCKET, or in a browser at http://localhost:PORT (docs/debugging.md).
 *
 * What it is careful about: lengths and numbers of all that a client sends; that a request is understood in
 * one way only (RFC 9112), or refused; clients that send slowly (-t: for a whole request) or do not read
 * (-t as well) or stay for long (-i: between requests); more than -n connections, which wait until others have gone; paths that lead
 * out of FOLDER. Symbolic links are followed: put none there that leads where it should not. */
#include <errno.h>
#include <fcntl.h>
#include <golib/golib.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
  MOST_LINE = 8 << 10,  /* bytes of one line */
  MOST_HEAD = 16 << 10, /* bytes of all lines */
  MOST_FIELDS = 100,
  MOST_BODY = 1 << 20,
  CHUNK = 256 << 10, /* of a file, for which a client has -t seconds */
};

/* Requests that are on their way when the server is told to end are still answered. */
#define LAST_CALL (100 * GO_MS)

/* ---- what there is ---- */

typedef struct server {
  const char *folder; /* NULL: no files */
  const char *debug;  /* what go_debug_listen listens on; NULL: nothing */
  int64_t connections;
  go_nsec timeout, idle, grace;
  go_ctx *stop;  /* cancelled when no new requests are wanted */
  go_sem free;   /* connections that may still come */
  go_wg serving; /* connections */
} server;

typedef struct field {
  const char *name, *value;
} field;

typedef struct request {
  char head[MOST_HEAD]; /* what the pointers point into */
  size_t used;
  const char *method;
  char *target; /* as it was sent, then: the decoded path */
  field fields[MOST_FIELDS];
  int nfields;
  bool http_1_0, keep, head_only, expects;
  int64_t length; /* of the body; -1: in chunks */
  char *body;
  size_t body_size;
} request;

typedef struct connection {
  server *s;
  go_conn *c;
  go_reader in;
  go_writer out;
  request q;
  time_t date_at;
  char date[40];
  char in_buf[MOST_LINE], out_buf[4096];
} connection;

/* Value of a step in the life of a connection: go on, or a status code of HTTP to end it with, or GONE. */
enum { OK = 0, GONE = -1 };

/* ---- answering ---- */

static const char *reason(int status) {
  static const struct {
    int status;
    const char *text;
  } all[] = {
      {200, "OK"},
      {400, "Bad Request"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {408, "Request Timeout"},
      {413, "Content Too Large"},
      {414, "URI Too Long"},
      {417, "Expectation Failed"},
      {431, "Request Header Fields Too Large"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {503, "Service Unavailable"},
      {505, "HTTP Version Not Supported"},
  };
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    if (all[i].status == status) return all[i].text;
  }
  return "?";
}

/* The client has time to take what follows. */
static void start_writing(connection *x) {
  (void)go_conn_set_write_deadline(x->c, go_now() + x->s->timeout);
}

static const char *date(connection *x) {
  time_t now = time(NULL);
  if (now != x->date_at) {
    struct tm tm;
    x->date_at = now;
    gmtime_r(&now, &tm);
    strftime(x->date, sizeof x->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
  }
  return x->date;
}

/* The lines before a body of that size. What goes wrong here is told by the flush. */
static void answer_head(connection *x, int status, const char *type, int64_t size,
                        const char *more) {
  const char *connection_is = !x->q.keep      ? "Connection: close\r\n"
                              : x->q.http_1_0 ? "Connection: keep-alive\r\n"
                                              : "";
  go_writer_printf(
      NULL, &x->out,
      "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\nContent-Length: %lld\r\n%s%s\r\n", status,
      reason(status), date(x), type, (long long)size, more, connection_is);
}

static int answer(connection *x, int status, const char *type, const void *body, size_t size) {
  answer_head(x, status, type, (int64_t)size, "");
  if (!x->q.head_only) go_writer_write(NULL, &x->out, body, size);
  return OK;
}

/* An answer of a line of text. */
static int complain(connection *x, int status, const char *more) {
  const char *text = reason(status);
  size_t size = strlen(text);
  answer_head(x, status, "text/plain", (int64_t)size + 1, more);
  if (!x->q.head_only) go_writer_printf(NULL, &x->out, "%s\n", text);
  return OK;
}

/* ---- pages: each answers a request completely, and returns OK or GONE ---- */

static int hello(connection *x) { return answer(x, 200, "text/plain", "Hello, World!\n", 14); }

static int echo(connection *x) {
  return answer(x, 200, "application/octet-stream", x->q.body, x->q.body_size);
}

/* A file, looked up on a thread of the pool, because disks are slow. */
typedef struct file {
  const char *folder, *path;
  int fd; /* or -errno */
  int64_t size;
  const char *name; /* the path, or that of the index */
} file;

static int open_at(int folder, const char *path, struct stat *ret) {
  int fd =
      openat(folder, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO has no end to wait for */
  if (fd < 0) return -errno;
  if (fstat(fd, ret) != 0) {
    close(fd);
    return -EIO;
  }
  return fd;
}

static void open_file(void *arg) {
  file *f = arg;
  struct stat st;
  int folder = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  f->fd = -ENOENT;
  f->name = f->path;
  if (folder < 0) return;
  f->fd = open_at(folder, f->path[0] != '\0' ? f->path : ".", &st);
  close(folder);
  if (f->fd >= 0 && S_ISDIR(st.st_mode)) {
    int index = open_at(f->fd, "index.html", &st);
    close(f->fd);
    f->fd = index;
    f->name = "index.html";
  }
  if (f->fd >= 0 && !S_ISREG(st.st_mode)) {
    close(f->fd);
    f->fd = -ENOENT;
  }
  if (f->fd >= 0) f->size = st.st_size;
}

static const char *type_of(const char *name) {
  static const char *const types[][2] = {
      {".html", "text/html; charset=utf-8"},
      {".css", "text/css"},
      {".js", "text/javascript"},
      {".json", "application/json"},
      {".txt", "text/plain; charset=utf-8"},
      {".md", "text/markdown; charset=utf-8"},
      {".png", "image/png"},
      {".jpg", "image/jpeg"},
      {".svg", "image/svg+xml"},
  };
  const char *dot = strrchr(name, '.');
  for (size_t i = 0; dot != NULL && i < sizeof types / sizeof types[0]; i++) {
    if (strcasecmp(dot, types[i][0]) == 0) return types[i][1];
  }
  return "application/octet-stream";
}

/* GONE also if the file has become shorter: the length was promised. */
static int send_file(connection *x, const file *f) {
  answer_head(x, 200, type_of(f->name), f->size, "");
  if (x->q.head_only) return OK;
  start_writing(x);
  if (go_writer_flush(NULL, &x->out) != 0) return GONE;
  for (int64_t at = 0; at < f->size;) {
    start_writing(x);
    int64_t before = at;
    if (go_sendfile(NULL, x->c, f->fd, &at, CHUNK) < 0 || at == before) return GONE;
  }
  return OK;
}

/* No part of the path leads upwards. */
static bool is_inside(const char *path) {
  for (const char *part = path; part != NULL;) {
    const char *end = strchr(part, '/');
    size_t n = end != NULL ? (size_t)(end - part) : strlen(part);
    if (n == 2 && memcmp(part, "..", 2) == 0) return false;
    part = end != NULL ? end + 1 : NULL;
  }
  return true;
}

static int files(connection *x) {
  file f = {.folder = x->s->folder, .path = x->q.target};
  if (f.folder == NULL) return complain(x, 404, "");
  while (*f.path == '/') f.path++;
  if (!is_inside(f.path)) return complain(x, 403, "");
  if (go_offload(NULL, open_file, &f) != 0) return complain(x, 503, "");
  if (f.fd == -EACCES || f.fd == -EPERM) return complain(x, 403, "");
  if (f.fd == -EMFILE || f.fd == -ENFILE) return complain(x, 503, "");
  if (f.fd < 0) return complain(x, 404, "");
  int r = send_file(x, &f);
  close(f.fd);
  return r;
}

static const struct page {
  const char *path; /* NULL: all else */
  int (*show)(connection *x);
  const char *methods, *allow;
} pages[] = {
    {"/hello", hello, " GET HEAD ", "Allow: GET, HEAD\r\n"},
    {"/echo", echo, " POST ", "Allow: POST\r\n"},
    {NULL, files, " GET HEAD ", "Allow: GET, HEAD\r\n"},
};

/* Whether a list like " GET HEAD " has the word. */
static bool has_word(const char *list, const char *word) {
  size_t n = strlen(word);
  const char *at = list;
  while ((at = strstr(at, word)) != NULL) {
    if (at[-1] == ' ' && at[n] == ' ') return true;
    at++;
  }
  return false;
}

static int show(connection *x) {
  static const char known[] = " GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH ";
  const struct page *p = pages;
  while (p->path != NULL && strcmp(p->path, x->q.target) != 0) p++;
  if (!has_word(known, x->q.method)) return complain(x, 501, "");
  if (!has_word(p->methods, x->q.method)) return complain(x, 405, p->allow);
  return p->show(x);
}

/* ---- reading a request: each returns OK, a status, or GONE ---- */

/* What a failure of a read means in the middle of a request. */
static int failed(ptrdiff_t err, int if_long) {
  return err == GO_ETOOLONG ? if_long : err == GO_ETIMEDOUT ? 408 : GONE;
}

/* The next line, copied into the request. */
static int next_line(connection *x, int if_long, char **ret) {
  char *line;
  ptrdiff_t n = go_reader_read_line(NULL, &x->in, &line);
  if (n < 0) return failed(n, if_long);
  if ((size_t)n + 1 > sizeof x->q.head - x->q.used) return 431;
  if (memchr(line, '\0', (size_t)n) != NULL || memchr(line, '\r', (size_t)n) != NULL) return 400;
  *ret = memcpy(x->q.head + x->q.used, line, (size_t)n + 1);
  x->q.used += (size_t)n + 1;
  return OK;
}

static bool is_token(const char *s, size_t n) {
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)s[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL)) return false;
  }
  return n > 0;
}

static int hex(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

/* "http://host/a%20b?x" becomes "/a b". */
static int decode_target(char *target, char **ret) {
  for (const char *p = target; *p != '\0'; p++) {
    if ((unsigned char)*p <= ' ' || *p == 0x7f) return 400;
  }
  if (strncasecmp(target, "http://", 7) == 0) {
    target = strchr(target + 7, '/');
    if (target == NULL) return 400;
  }
  if (target[0] != '/' && strcmp(target, "*") != 0) return 400;
  target[strcspn(target, "?#")] = '\0';
  *ret = target;
  char *to = target;
  for (const char *from = target; *from != '\0'; from++, to++) {
    *to = *from;
    if (*from == '%') {
      int high = hex(from[1]), low = high >= 0 ? hex(from[2]) : -1;
      if (low < 0 || high + low == 0) return 400;
      *to = (char)(high * 16 + low);
      from += 2;
    }
  }
  *to = '\0';
  return OK;
}

/* "HTTP/1.1" */
static bool is_version(const char *s) {
  return strlen(s) == 8 && memcmp(s, "HTTP/", 5) == 0 && s[5] >= '0' && s[5] <= '9' &&
         s[6] == '.' && s[7] >= '0' && s[7] <= '9';
}

/* "GET /hello HTTP/1.1" */
static int read_request_line(connection *x) {
  request *q = &x->q;
  char *line = NULL;
  int r = next_line(x, 414, &line);
  if (r == OK && line[0] == '\0') r = next_line(x, 414, &line); /* old clients end a body so */
  if (r != OK) return r;
  char *target = strchr(line, ' ');
  char *version = target != NULL ? strchr(target + 1, ' ') : NULL;
  if (version == NULL || !is_token(line, (size_t)(target - line))) return 400;
  *target++ = '\0';
  *version++ = '\0';
  if (!is_version(version)) return 400;
  if (version[5] != '1') return 505;
  q->method = line;
  q->http_1_0 = version[7] == '0';
  q->head_only = strcmp(line, "HEAD") == 0;
  return decode_target(target, &q->target);
}

/* "Host: localhost"; a line that begins with white space would go on with the one before, as was done once. */
static int add_field(request *q, char *line) {
  char *colon = strchr(line, ':');
  if (colon == NULL || !is_token(line, (size_t)(colon - line))) return 400;
  if (q->nfields == MOST_FIELDS) return 431;
  *colon++ = '\0';
  colon += strspn(colon, " \t");
  size_t n = strlen(colon);
  while (n > 0 && strchr(" \t", colon[n - 1]) != NULL) n--;
  colon[n] = '\0';
  q->fields[q->nfields++] = (field){line, colon};
  return OK;
}

/* The value of the only field of that name; NULL: there is none. */
static const char *get_field(const request *q, const char *name, int *ret_count) {
  const char *value = NULL;
  *ret_count = 0;
  for (int i = 0; i < q->nfields; i++) {
    if (strcasecmp(q->fields[i].name, name) == 0) {
      value = q->fields[i].value;
      ++*ret_count;
    }
  }
  return value;
}

/* Whether a list like "close, TE" has the word. */
static bool lists(const char *value, const char *word) {
  size_t n = strlen(word);
  while (value != NULL && *value != '\0') {
    value += strspn(value, " \t,");
    size_t len = strcspn(value, ",");
    while (len > 0 && strchr(" \t", value[len - 1]) != NULL) len--;
    if (len == n && strncasecmp(value, word, n) == 0) return true;
    value += strcspn(value, ",");
  }
  return false;
}

static int parse_length(const char *s, int64_t *ret) {
  size_t n = strlen(s);
  if (n == 0 || strspn(s, "0123456789") != n) return 400;
  if (n > 15) return 413;
  *ret = strtoll(s, NULL, 10);
  return *ret > MOST_BODY ? 413 : OK;
}

/* How long the body is. Two ways to say it, or one said twice, is how requests are smuggled. */
static int find_length(request *q) {
  int lengths, codings;
  const char *length = get_field(q, "Content-Length", &lengths);
  const char *coding = get_field(q, "Transfer-Encoding", &codings);
  if (lengths > 1 || codings > 1 || (lengths > 0 && codings > 0)) return 400;
  if (codings > 0) {
    q->length = -1;
    return q->http_1_0 ? 400 : strcasecmp(coding, "chunked") == 0 ? OK : 501;
  }
  q->length = 0;
  return lengths > 0 ? parse_length(length, &q->length) : OK;
}

static int check_fields(request *q) {
  int n, hosts;
  (void)get_field(q, "Host", &hosts);
  if (hosts > 1 || (hosts == 0 && !q->http_1_0)) return 400;
  int r = find_length(q);
  if (r != OK) return r;
  const char *expect = get_field(q, "Expect", &n);
  q->expects = n > 0 && !q->http_1_0;
  if (q->expects && (n > 1 || strcasecmp(expect, "100-continue") != 0)) return 417;
  bool keep = !q->http_1_0;
  for (int i = 0; i < q->nfields; i++) {
    if (strcasecmp(q->fields[i].name, "Connection") != 0) continue;
    if (lists(q->fields[i].value, "close")) {
      q->keep = false;
      return OK;
    }
    keep = keep || lists(q->fields[i].value, "keep-alive");
  }
  q->keep = keep;
  return OK;
}

static int read_head(connection *x) {
  int r = read_request_line(x);
  for (char *line = NULL; r == OK;) {
    r = next_line(x, 431, &line);
    if (r == OK && line[0] == '\0') return check_fields(&x->q);
    if (r == OK) r = add_field(&x->q, line);
  }
  return r;
}

/* n more bytes of the body. */
static int read_part(connection *x, size_t n) {
  request *q = &x->q;
  if (n > MOST_BODY - q->body_size) return 413;
  char *body = realloc(q->body, q->body_size + n + 1);
  if (body == NULL) return 503;
  q->body = body;
  ptrdiff_t r = go_reader_read_full(NULL, &x->in, body + q->body_size, n);
  if (r < 0) return failed(r, 400);
  q->body_size += n;
  return OK;
}

/* "1a3;name=value" */
static int read_chunk_size(connection *x, size_t *ret) {
  char *line;
  ptrdiff_t n = go_reader_read_line(NULL, &x->in, &line);
  if (n < 0) return failed(n, 400);
  size_t digits = 0, size = 0;
  while (hex(line[digits]) >= 0) {
    size = size * 16 + (size_t)hex(line[digits++]);
    if (size > MOST_BODY) return 413;
  }
  *ret = size;
  line += digits + strspn(line + digits, " \t");
  return digits > 0 && (*line == '\0' || *line == ';') ? OK : 400;
}

/* Fields after the last chunk: nobody wants them. */
static int skip_trailer(connection *x) {
  for (int i = 0; i <= MOST_FIELDS; i++) {
    char *line;
    ptrdiff_t n = go_reader_read_line(NULL, &x->in, &line);
    if (n <= 0) return n == 0 ? OK : failed(n, 431);
  }
  return 431;
}

static int read_chunks(connection *x) {
  for (;;) {
    size_t size;
    char *line;
    int r = read_chunk_size(x, &size);
    if (r != OK || size == 0) return r != OK ? r : skip_trailer(x);
    r = read_part(x, size);
    if (r != OK) return r;
    ptrdiff_t n = go_reader_read_line(NULL, &x->in, &line);
    if (n != 0) return n < 0 ? failed(n, 400) : 400;
  }
}

static int read_body(connection *x) {
  request *q = &x->q;
  if (q->length == 0) return OK;
  if (q->expects && go_reader_buffered(&x->in, NULL) == 0) {
    go_writer_puts(NULL, &x->out, "HTTP/1.1 100 Continue\r\n\r\n");
  }
  return q->length > 0 ? read_part(x, (size_t)q->length) : read_chunks(x);
}

/* ---- connections ---- */

/* Where x->in reads from. Before it may have to wait, what has been answered is sent: in one go, if the requests came in one
 * go, and never held back while the client waits for it. */
static ptrdiff_t fill(go_ctx *ctx, void *arg, void *buf, size_t n) {
  connection *x = arg;
  if (go_writer_buffered(&x->out) > 0) {
    start_writing(x);
    int r = go_writer_flush(NULL, &x->out);
    if (r != 0) return r;
  }
  return go_read(ctx, x->c, buf, n);
}

/* Waits for the first byte of a request. */
static int wait_for_request(connection *x) {
  const char *first;
  if (go_reader_buffered(&x->in, NULL) > 0) return OK;
  (void)go_conn_set_read_deadline(x->c, go_now() + x->s->idle);
  ptrdiff_t n = go_reader_peek(x->s->stop, &x->in, 1, &first);
  if (n == GO_ECANCELED) {
    (void)go_conn_set_read_deadline(x->c, go_now() + LAST_CALL);
    n = go_reader_peek(NULL, &x->in, 1, &first);
  }
  return n == 1 ? OK : GONE;
}

/* One request and its answer: OK, if another may follow. */
static int serve_one(connection *x) {
  request *q = &x->q;
  q->used = 0;
  q->nfields = 0;
  q->keep = q->head_only = q->http_1_0 = false;
  q->body = NULL;
  q->body_size = 0;
  int r = wait_for_request(x);
  if (r != OK) return r;
  (void)go_conn_set_read_deadline(x->c, go_now() + x->s->timeout);
  r = read_head(x);
  if (r == OK) r = read_body(x);
  if (go_ctx_err(x->s->stop) != 0) q->keep = false;
  if (r > 0) { /* where the next request would begin is not known */
    q->keep = false;
    (void)complain(x, r, "");
  } else if (r == OK) {
    r = show(x);
  }
  free(q->body);
  return r == OK && q->keep ? OK : r == GONE ? GONE : 1;
}

/* If we closed with something unread, the system would reset the connection, and the client not see the answer. */
static void say_goodbye(connection *x) {
  start_writing(x);
  if (go_writer_flush(NULL, &x->out) != 0 || go_conn_shutdown(x->c, GO_SHUT_WR) != 0) return;
  (void)go_conn_set_read_deadline(x->c, go_now() + GO_SEC);
  for (int i = 0; i < 256 && go_read(NULL, x->c, x->in_buf, sizeof x->in_buf) > 0; i++) {}
}

static void serve_all(connection *x) {
  int r = OK;
  if (go_reader_init_fn(&x->in, fill, x, x->in_buf, sizeof x->in_buf) != 0 ||
      go_writer_init(&x->out, x->c, x->out_buf, sizeof x->out_buf) != 0) {
    return;
  }
  while (r == OK) r = serve_one(x);
  if (r != GONE) say_goodbye(x);
}

GO_FUNC(serve, (server *, s), (go_conn *, c)) {
  connection *x =
      malloc(sizeof *x); /* too large for small stacks; what is not used stays untouched */
  if (x != NULL) {
    x->s = s;
    x->c = c;
    x->date_at = 0;
    serve_all(x);
    free(x);
  }
  go_conn_unref(c);
  go_sem_release(&s->free, 1);
}

/* Until the server is told to stop, or something is wrong with l: its code. */
static int accept_all(server *s, go_listener *l) {
  for (;;) {
    go_conn *c;
    int r = go_sem_acquire(s->stop, &s->free, 1);
    if (r == 0) r = go_accept(s->stop, l, &c);
    if (r != 0) return r;
    r = GO_WG(&s->serving, serve, s, c);
    if (r != 0) { /* no memory: this client has to come again */
      go_conn_unref(c);
      go_sem_release(&s->free, 1);
    }
  }
}

/* ---- the program ---- */

static sigset_t ends;

static void wait_for_signal(void *arg) { (void)sigwait(&ends, arg); }

GO_FUNC(stop_on_signal, (go_ctx *, stop)) {
  int signal;
  if (go_offload(NULL, wait_for_signal, &signal) == 0) go_ctx_cancel(stop);
  go_ctx_unref(stop);
}

static int usage(void) {
  fprintf(stderr,
          "usage: httpd [-n CONNECTIONS] [-t SECONDS] [-i SECONDS] [-g SECONDS] [-d "
          "SOCKET|localhost:PORT] "
          "[ADDRESS [FOLDER]]\n");
  return 2;
}

static int options(server *s, int argc, char **argv) {
  for (int o; (o = getopt(argc, argv, "n:t:i:g:d:")) != -1;) {
    if (o == 'd') {
      s->debug = optarg;
      continue;
    }
    double v = o != '?' ? atof(optarg) : 0;
    if (!(v > 0 && v < 1e9)) return usage();
    if (o == 'n') s->connections = (int64_t)v;
    if (o == 't') s->timeout = (go_nsec)(v * GO_SEC);
    if (o == 'i') s->idle = (go_nsec)(v * GO_SEC);
    if (o == 'g') s->grace = (go_nsec)(v * GO_SEC);
  }
  return argc - optind > 2 || s->connections < 1 ? usage() : 0;
}

/* Waits for the connections to end: 0, or 1, if some did not. */
static int drain(server *s) {
  go_ctx *patience = go_ctx_with_timeout(NULL, s->grace);
  int r = go_wg_wait_ctx(patience, &s->serving);
  go_ctx_unref(patience);
  printf("%s\n", r == 0 ? "stopped" : "stopped before all requests were answered");
  return r == 0 ? 0 : 1;
}

/* Somebody may want to know why it does not start, so: before all else. */
static int serve_debug(const server *s) {
  if (s->debug == NULL) return 0;
  bool path = strchr(s->debug, '/') != NULL || strchr(s->debug, ':') == NULL;
  int r = path ? go_debug_listen(NULL, s->debug, NULL)
               : go_debug_listen(NULL, NULL, &(go_debug_opts){.http = s->debug});
  if (r != 0) fprintf(stderr, "httpd: %s: %s\n", s->debug, go_strerror(r));
  return r;
}

static int run(int argc, char **argv) {
  static server s = {
      .connections = 10000, .timeout = 10 * GO_SEC, .idle = GO_MIN, .grace = 10 * GO_SEC};
  if (options(&s, argc, argv) != 0) return 2;
  if (serve_debug(&s) != 0) return 1;
  const char *address = optind < argc ? argv[optind] : "127.0.0.1:8080";
  s.folder = optind + 1 < argc ? argv[optind + 1] : NULL;
  s.free = (go_sem)GO_SEM_INIT(s.connections);
  s.stop = go_ctx_with_cancel(NULL);
  go_listener *l;
  go_addr at;
  int r = s.stop == NULL ? GO_ENOMEM : go_listen(NULL, "tcp", address, &l);
  if (r == 0) r = go_listener_addr(l, &at);
  if (r == 0) r = GO(stop_on_signal, go_ctx_ref(s.stop));
  if (r != 0) {
    fprintf(stderr, "httpd: %s: %s\n", address, go_strerror(r));
    return 1;
  }
  printf("listening on %s\n", go_addr_str(&at));
  fflush(stdout);
  r = accept_all(&s, l);
  go_listener_close(l);
  go_listener_unref(l);
  if (r != GO_ECANCELED) fprintf(stderr, "httpd: %s\n", go_strerror(r));
  go_ctx_cancel(s.stop);
  r = drain(&s) != 0 || r != GO_ECANCELED;
  go_ctx_unref(s.stop);
  return r;
}

/* The signals are blocked in all threads, which inherit that from this one: only sigwait takes them. */
int main(int argc, char **argv) {
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, NULL);
  return go_main(run, argc, argv);
}
