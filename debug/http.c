/* debug/http.c: see debug/http.h. */
#include "debug/http.h"

#include <string.h>

/* ---- words ---- */

static bool same(const char *a, const char *b, size_t n) {
  for (size_t i = 0; i < n; i++) {
    char x = a[i], y = b[i];
    x = (char)(x >= 'A' && x <= 'Z' ? x + 32 : x);
    y = (char)(y >= 'A' && y <= 'Z' ? y + 32 : y);
    if (x != y) {
      return false;
    }
  }
  return true;
}

static bool is(const char *s, const char *word) {
  return strlen(s) == strlen(word) && same(s, word, strlen(word));
}

/* Whether a list like "close, TE" has the word. */
static bool lists(const char *s, const char *word) {
  size_t want = strlen(word);
  while (*s != '\0') {
    s += strspn(s, " \t,");
    size_t n = strcspn(s, ","), used = n;
    while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t')) {
      n--;
    }
    if (n == want && same(s, word, n)) {
      return true;
    }
    s += used;
  }
  return false;
}

static bool is_token(const char *s) {
  static const char others[] = "!#$%&'*+-.^_`|~";
  for (const char *p = s; *p != '\0'; p++) {
    bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
    if (!letter && strchr(others, *p) == NULL) {
      return false;
    }
  }
  return *s != '\0';
}

/* ---- the head ---- */

typedef struct head {
  char *next, *end;
  bool http_1_0, close, keep_alive;
  int hosts;
} head;

/* How many bytes up to and including the empty line; 0: it has not come. */
static size_t head_size(const char *s, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (s[i] == '\n' &&
        ((i + 1 < n && s[i + 1] == '\n') || (i + 2 < n && s[i + 1] == '\r' && s[i + 2] == '\n'))) {
      return i + (s[i + 1] == '\n' ? 2 : 3);
    }
  }
  return 0;
}

/* The next line, with a 0 byte for its end. NULL: there is a byte in it that does not belong there. */
static char *next_line(head *h) {
  char *line = h->next, *end = memchr(line, '\n', (size_t)(h->end - line));
  h->next = end + 1;
  if (end > line && end[-1] == '\r') {
    end--;
  }
  *end = '\0';
  for (const char *p = line; p < end; p++) {
    if (((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7f) {
      return NULL;
    }
  }
  return line;
}

/* "GET /stats.json?x HTTP/1.1" */
static int request_line(head *h, go_http_ *q) {
  char *line = next_line(h);
  char *target = line != NULL ? strchr(line, ' ') : NULL;
  char *version = target != NULL ? strchr(target + 1, ' ') : NULL;
  if (version == NULL) {
    return 400;
  }
  *target++ = '\0';
  *version++ = '\0';
  if (!is_token(line) || strlen(version) != 8 || memcmp(version, "HTTP/", 5) != 0 ||
      version[6] != '.') {
    return 400;
  }
  if (version[5] != '1') {
    return 505;
  }
  h->http_1_0 = version[7] == '0';
  q->head = strcmp(line, "HEAD") == 0;
  if (!q->head && strcmp(line, "GET") != 0) {
    return 405;
  }
  if (target[0] != '/') {
    return 400;
  }
  target[strcspn(target, "#")] = '\0';
  char *query = strchr(target, '?');
  if (query != NULL) {
    *query++ = '\0';
  }
  q->path = target;
  q->query = query != NULL ? query : "";
  return GO_HTTP_OK_;
}

/* "Host: localhost" */
static int field(head *h, go_http_ *q, char *line) {
  char *value = strchr(line, ':');
  if (value == NULL) {
    return 400;
  }
  *value++ = '\0';
  if (!is_token(line)) { /* a line that begins with a space would go on with the one before */
    return 400;
  }
  value += strspn(value, " \t");
  for (size_t n = strlen(value); n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t'); n--) {
    value[n - 1] = '\0';
  }
  if (is(line, "Host")) {
    h->hosts++;
    q->host = value;
  } else if (is(line, "Connection")) {
    h->close = h->close || lists(value, "close");
    h->keep_alive = h->keep_alive || lists(value, "keep-alive");
  } else if (is(line, "Sec-Fetch-Site")) {
    q->foreign = q->foreign || !(is(value, "same-origin") || is(value, "none"));
  } else if (is(line, "Transfer-Encoding") || (is(line, "Content-Length") && !is(value, "0"))) {
    return 413; /* no bodies */
  }
  return GO_HTTP_OK_;
}

int go_http_parse_(char *s, size_t n, go_http_ *ret, size_t *ret_used) {
  size_t skip = 0;
  while (skip < n && (s[skip] == '\r' || s[skip] == '\n')) { /* RFC 9112, 2.2 */
    skip++;
  }
  size_t size = head_size(s + skip, n - skip);
  if (size == 0) {
    return n >= GO_HTTP_HEAD_MAX_ ? 431 : GO_HTTP_MORE_;
  }
  head h = {.next = s + skip, .end = s + skip + size};
  *ret = (go_http_){.path = "", .query = "", .host = ""};
  *ret_used = skip + size;
  int r = request_line(&h, ret);
  while (r == GO_HTTP_OK_ && h.next < h.end) {
    char *line = next_line(&h);
    if (line == NULL) {
      return 400;
    }
    if (*line != '\0') {
      r = field(&h, ret, line);
    }
  }
  if (r == GO_HTTP_OK_ && (h.hosts > 1 || (h.hosts == 0 && !h.http_1_0))) {
    return 400;
  }
  ret->keep = h.http_1_0 ? h.keep_alive && !h.close : !h.close;
  return r;
}

const char *go_http_reason_(int status) {
  static const struct {
    int status;
    const char *text;
  } all[] = {
      {200, "OK"},
      {400, "Bad Request"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {409, "Conflict"},
      {413, "Content Too Large"},
      {431, "Request Header Fields Too Large"},
      {503, "Service Unavailable"},
      {505, "HTTP Version Not Supported"},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    if (all[i].status == status) {
      return all[i].text;
    }
  }
  return "?";
}

/* ---- numbers ---- */

/* "2.5": 2500. -1: it is no number, or too long a one. */
static int64_t milli(const char *s, size_t n) {
  int64_t v = 0;
  int places = -1;
  if (n == 0 || n > 12) {
    return -1;
  }
  for (size_t i = 0; i < n; i++) {
    if (s[i] == '.' && places < 0 && i > 0) {
      places = 0;
    } else if (s[i] < '0' || s[i] > '9' || places == 3) {
      return -1;
    } else {
      v = v * 10 + (s[i] - '0');
      places += places >= 0;
    }
  }
  for (places = places < 0 ? 0 : places; places < 3; places++) {
    v *= 10;
  }
  return v;
}

bool go_http_number_(const char *query, const char *key, int64_t lo, int64_t hi,
                     int64_t *ret_milli) {
  size_t len = strlen(key);
  for (const char *s = query; *s != '\0';) {
    size_t n = strcspn(s, "&");
    if (n > len && s[len] == '=' && memcmp(s, key, len) == 0) {
      int64_t v = milli(s + len + 1, n - len - 1);
      if (v < lo || v > hi) {
        return false;
      }
      *ret_milli = v;
      return true;
    }
    s += n + (s[n] == '&');
  }
  return true;
}

/* ---- addresses ---- */

/* Up to `most`, of up to five digits, and moves *s behind; -1: there is none. */
static int32_t small(const char **s, int32_t most) {
  int32_t v = 0;
  const char *p = *s;
  for (; *p >= '0' && *p <= '9' && p - *s < 5; p++) {
    v = v * 10 + (*p - '0');
  }
  bool good = p > *s && v <= most && !(*p >= '0' && *p <= '9');
  *s = p;
  return good ? v : -1;
}

static bool dotted(const char **s, uint8_t *ip) {
  for (int i = 0; i < 4; i++) {
    int32_t v = small(s, 255);
    if (v < 0 || (i < 3 && *(*s)++ != '.')) {
      return false;
    }
    ip[i] = (uint8_t)v;
  }
  return ip[0] == 127;
}

bool go_http_loopback_(const char *s, go_http_addr_ *ret) {
  go_http_addr_ a = {.family = 4, .ip = {127, 0, 0, 1}};
  if (strlen(s) >= 9 && same(s, "localhost", 9)) {
    s += 9;
  } else if (strncmp(s, "[::1]", 5) == 0) {
    a = (go_http_addr_){.family = 6};
    a.ip[15] = 1;
    s += 5;
  } else if (!dotted(&s, a.ip)) {
    return false;
  }
  if (*s == ':') {
    s++;
    int32_t port = small(&s, 65535);
    if (port < 0) {
      return false;
    }
    a.has_port = true;
    a.port = (uint16_t)port;
  }
  *ret = a;
  return *s == '\0';
}
