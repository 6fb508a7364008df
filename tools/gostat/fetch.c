/* fetch.c: see fetch.h. */
#include "fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST = 1 << 30, BAD_ANSWER = 1 };

source source_of(const char *where) {
  bool tcp = strchr(where, '/') == NULL && strrchr(where, ':') != NULL;
  return (source){.net = tcp ? "tcp" : "unix", .addr = where};
}

void source_close(source *s) {
  if (s->c == NULL) return;
  go_reader_fini(&s->in);
  go_conn_unref(s->c);
  s->c = NULL;
}

static int connect_to(go_ctx *ctx, source *s) {
  int r = go_dial(ctx, s->net, s->addr, &s->c);
  if (r != 0) return r;
  r = go_reader_init(&s->in, s->c, NULL, 1 << 16);
  if (r != 0) {
    go_conn_unref(s->c);
    s->c = NULL;
  }
  return r;
}

/* Returns the status, BAD_ANSWER, or a code. */
static int read_head(go_ctx *ctx, source *s, size_t *ret_size, bool *ret_close) {
  char *line;
  int status = 0;
  long long size = -1;
  ptrdiff_t n = go_reader_read_line(ctx, &s->in, &line);
  if (n < 0) return (int)n;
  if (sscanf(line, "HTTP/1.%*d %d", &status) != 1 || status < 200 || status > 599)
    return BAD_ANSWER;
  while ((n = go_reader_read_line(ctx, &s->in, &line)) > 0) {
    if (strncasecmp(line, "Content-Length:", 15) == 0) size = strtoll(line + 15, NULL, 10);
    if (strcasecmp(line, "Connection: close") == 0) *ret_close = true;
  }
  if (n < 0) return (int)n;
  if (size < 0 || size > MOST) return BAD_ANSWER;
  *ret_size = (size_t)size;
  return status;
}

static int ask(go_ctx *ctx, source *s, const char *path, char **ret, size_t *ret_size) {
  char request[512];
  bool close = false;
  int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
  ptrdiff_t w = go_write(ctx, s->c, request, (size_t)n);
  if (w < 0) return (int)w;
  size_t size = 0;
  int status = read_head(ctx, s, &size, &close);
  if (status < 200) return status;
  char *body = malloc(size + 1);
  if (body == NULL) return GO_ENOMEM;
  ptrdiff_t r = size > 0 ? go_reader_read_full(ctx, &s->in, body, size) : 0;
  if (r < 0 || status != 200) {
    free(body);
    return r < 0 ? (int)r : status;
  }
  if (close) source_close(s);
  body[size] = '\0';
  *ret = body;
  *ret_size = size;
  return 0;
}

/* A connection that has been idle may have been closed: then once more, with a new one. */
int fetch(go_ctx *ctx, source *s, const char *path, char **ret, size_t *ret_size) {
  for (bool old = s->c != NULL;; old = false) {
    int r = s->c != NULL ? 0 : connect_to(ctx, s);
    if (r == 0) r = ask(ctx, s, path, ret, ret_size);
    if (r != 0) source_close(s);
    if (r >= 0 || !old || go_ctx_err(ctx) != 0) return r;
  }
}

const char *fetch_error(int r) {
  static char text[64];
  if (r < 0) return go_strerror(r);
  if (r < 200) return "that is no golib program";
  snprintf(text, sizeof text, "it answered with status %d", r);
  return text;
}
