/* bench/http.h: what the HTTP servers that are compared have in common. A request is all up to an empty line; each is
 * answered with the same 13 bytes; those that came in one read are answered with one write. */
#ifndef BENCH_HTTP_H_
#define BENCH_HTTP_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HTTP_ANSWER \
  "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!"

enum { HTTP_INPUT = 4096, HTTP_ANSWERS = 32, HTTP_ANSWER_SIZE = sizeof HTTP_ANSWER - 1 };

/* As many answers as are written at once. */
#define HTTP_TWICE(text) text text
static const char http_answers[] =
    HTTP_TWICE(HTTP_TWICE(HTTP_TWICE(HTTP_TWICE(HTTP_TWICE(HTTP_ANSWER)))));
_Static_assert(sizeof http_answers - 1 == (size_t)HTTP_ANSWERS * HTTP_ANSWER_SIZE, "that many");

/* What was asked for: NAME httpd PROCS PORT [HOGS]. */
typedef struct http_options {
  int procs;
  int port; /* 0: any that is free */
  int hogs; /* goroutines that compute all the time and yield now and then */
} http_options;

/* Whether the program shall be a server. */
static inline bool http_asked(int argc, char **argv, const char *mode, http_options *ret) {
  if (argc < 4 || strcmp(argv[1], mode) != 0) {
    return false;
  }
  *ret = (http_options){atoi(argv[2]), atoi(argv[3]), argc > 4 ? atoi(argv[4]) : 0};
  return true;
}

/* For whoever has started it. */
static inline void http_listening(int port) {
  printf("listening %d\n", port);
  fflush(stdout);
}

typedef struct http_input {
  size_t fill;
  char buf[HTTP_INPUT];
} http_input;

/* Takes the complete requests out of what has come: how many. */
static inline int http_take(http_input *in) {
  char *from = in->buf, *end = in->buf + in->fill, *line = from, *nl;
  int n = 0;
  while ((nl = (char *)memchr(line, '\n', (size_t)(end - line))) != NULL) {
    line = nl + 1;
    if (line - from >= 4 && memcmp(line - 4, "\r\n\r\n", 4) == 0) {
      from = line;
      n++;
    }
  }
  in->fill = (size_t)(end - from);
  if (in->fill > 0 && from != in->buf) {
    memmove(in->buf, from, in->fill);
  }
  return n;
}

#endif /* BENCH_HTTP_H_ */
