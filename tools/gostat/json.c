/* json.c: see json.h. Nodes come from blocks, which are freed together; strings stay where they are, unescaped in place. */
#include "json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 16, BLOCK = 256 };

typedef struct block {
  struct block *next;
  size_t used;
  json nodes[BLOCK];
} block;

struct json_doc {
  block *blocks;
  json *root;
};

typedef struct reader {
  json_doc *d;
  char *p, *end; /* there is a 0 byte at the end */
} reader;

static const json nothing = {.type = JSON_NULL, .text = ""};

static json *new_node(json_doc *d, json_type type) {
  if (d->blocks == NULL || d->blocks->used == BLOCK) {
    block *b = malloc(sizeof *b);
    if (b == NULL) return NULL;
    b->next = d->blocks;
    b->used = 0;
    d->blocks = b;
  }
  json *j = &d->blocks->nodes[d->blocks->used++];
  *j = (json){.type = type, .text = ""};
  return j;
}

static void space(reader *r) {
  while (r->p < r->end && strchr(" \t\r\n", *r->p) != NULL && *r->p != '\0') r->p++;
}

static bool take(reader *r, const char *word) {
  size_t n = strlen(word);
  if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0) return false;
  r->p += n;
  return true;
}

static int hex4(const char *s) {
  int v = 0;
  for (int i = 0; i < 4; i++) {
    char c = s[i];
    int d = c >= '0' && c <= '9'   ? c - '0'
            : c >= 'a' && c <= 'f' ? c - 'a' + 10
            : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                   : -1;
    if (d < 0) return -1; /* also the 0 byte at the end */
    v = v * 16 + d;
  }
  return v;
}

/* Of the plane that four digits can name; halves of pairs become U+FFFD each. */
static char *put_utf8(char *to, int c) {
  if (c >= 0xd800 && c < 0xe000) c = 0xfffd;
  if (c < 0x80) {
    *to++ = (char)c;
  } else if (c < 0x800) {
    *to++ = (char)(0xc0 | c >> 6);
    *to++ = (char)(0x80 | (c & 0x3f));
  } else {
    *to++ = (char)(0xe0 | c >> 12);
    *to++ = (char)(0x80 | (c >> 6 & 0x3f));
    *to++ = (char)(0x80 | (c & 0x3f));
  }
  return to;
}

/* After the backslash. */
static bool escape(reader *r, char **to) {
  static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
  char c = *r->p++;
  if (c == 'u') {
    int v = hex4(r->p);
    if (v < 0) return false;
    r->p += 4;
    *to = put_utf8(*to, v != 0 ? v : 0xfffd);
    return true;
  }
  const char *at = c != '\0' ? strchr(from, c) : NULL;
  if (at != NULL) *(*to)++ = into[at - from];
  return at != NULL;
}

static const char *string(reader *r) {
  if (!take(r, "\"")) return NULL;
  char *start = r->p, *to = start;
  while (r->p < r->end && *r->p != '"') {
    if ((unsigned char)*r->p < ' ') return NULL;
    if (*r->p != '\\') {
      *to++ = *r->p++;
      continue;
    }
    r->p++;
    if (!escape(r, &to)) return NULL;
  }
  if (r->p >= r->end) return NULL;
  r->p++;
  *to = '\0';
  return start;
}

static json *number(reader *r) {
  char *end;
  json *j = new_node(r->d, JSON_NUMBER);
  if (j == NULL || strchr("-0123456789", *r->p) == NULL || *r->p == '\0') return NULL;
  errno = 0;
  j->number = strtoll(r->p, &end, 10);
  if (end == r->p) return NULL;
  r->p = end;
  while (r->p < r->end && *r->p != '\0' && strchr(".eE+-0123456789", *r->p) != NULL) r->p++;
  return j;
}

static json *value(reader *r, int depth);

static json *members(reader *r, json_type type, const char *close, int depth) {
  json *j = new_node(r->d, type), **last = j != NULL ? &j->first : NULL;
  space(r);
  if (j == NULL || depth == 0 || take(r, close)) return depth > 0 ? j : NULL;
  do {
    const char *key = NULL;
    space(r);
    if (type == JSON_OBJECT) {
      key = string(r);
      space(r);
      if (key == NULL || !take(r, ":")) return NULL;
    }
    json *v = value(r, depth - 1);
    if (v == NULL) return NULL;
    v->key = key;
    *last = v;
    last = &v->next;
    j->count++;
    space(r);
  } while (take(r, ","));
  return take(r, close) ? j : NULL;
}

static json *constant(reader *r) {
  bool yes = take(r, "true");
  json_type type = yes || take(r, "false") ? JSON_BOOL : JSON_NULL;
  if (type == JSON_NULL && !take(r, "null")) return NULL;
  json *j = new_node(r->d, type);
  if (j != NULL) j->number = yes;
  return j;
}

static json *value(reader *r, int depth) {
  space(r);
  if (take(r, "{")) return members(r, JSON_OBJECT, "}", depth);
  if (take(r, "[")) return members(r, JSON_LIST, "]", depth);
  if (r->p < r->end && *r->p == '"') {
    const char *s = string(r);
    json *j = s != NULL ? new_node(r->d, JSON_STRING) : NULL;
    if (j != NULL) j->text = s;
    return j;
  }
  if (r->p < r->end && strchr("tfn", *r->p) != NULL) return constant(r);
  return r->p < r->end ? number(r) : NULL;
}

json_doc *json_read(char *text, size_t n) {
  json_doc *d = calloc(1, sizeof *d);
  if (d == NULL) return NULL;
  reader r = {d, text, text + n};
  d->root = value(&r, DEPTH);
  space(&r);
  if (d->root == NULL || r.p != r.end) {
    json_free(d);
    return NULL;
  }
  return d;
}

const json *json_root(const json_doc *d) { return d->root; }

void json_free(json_doc *d) {
  if (d == NULL) return;
  for (block *b = d->blocks, *next; b != NULL; b = next) {
    next = b->next;
    free(b);
  }
  free(d);
}

const json *json_get(const json *j, const char *key) {
  if (j->type == JSON_OBJECT) {
    for (const json *m = j->first; m != NULL; m = m->next) {
      if (strcmp(m->key, key) == 0) return m;
    }
  }
  return &nothing;
}

int64_t json_number(const json *j, const char *key) { return json_get(j, key)->number; }

const char *json_text(const json *j, const char *key) { return json_get(j, key)->text; }

const json *json_at(const json *j, size_t i) {
  const json *m = j->type == JSON_LIST ? j->first : NULL;
  while (m != NULL && i-- > 0) m = m->next;
  return m != NULL ? m : &nothing;
}
