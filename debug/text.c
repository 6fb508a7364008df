/* debug/text.c: see debug/text.h. */
#include "debug/text.h"

#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"

void go_text_free_(go_text_ *t) {
  free(t->s);
  *t = (go_text_){.s = NULL};
}

char *go_text_room_(go_text_ *t, size_t n) {
  if (!t->failed && t->cap - t->n < n) {
    size_t cap = t->cap < 4096 ? 4096 : t->cap;
    while (cap - t->n < n && cap <= SIZE_MAX / 4) {
      cap *= 2;
    }
    char *s = cap - t->n < n ? NULL : realloc(t->s, cap);
    t->failed = s == NULL;
    if (s != NULL) {
      t->s = s;
      t->cap = cap;
    }
  }
  return t->failed ? NULL : t->s + t->n;
}

void go_text_add_(go_text_ *t, const char *s, size_t n) {
  char *to = go_text_room_(t, n);
  if (to != NULL && n > 0) {
    memcpy(to, s, n);
    t->n += n;
  }
}

void go_text_str_(go_text_ *t, const char *s) { go_text_add_(t, s, strlen(s)); }

void go_text_u64_(go_text_ *t, uint64_t v) {
  char digits[20], *p = digits + sizeof digits;
  do {
    *--p = (char)('0' + v % 10);
    v /= 10;
  } while (v != 0);
  go_text_add_(t, p, (size_t)(digits + sizeof digits - p));
}

void go_text_i64_(go_text_ *t, int64_t v) {
  if (v < 0) {
    go_text_str_(t, "-");
  }
  go_text_u64_(t, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

static void escaped(go_text_ *t, unsigned char c) {
  static const char hex[] = "0123456789abcdef";
  if (c == '"' || c == '\\') {
    go_text_add_(t, (const char[]){'\\', (char)c}, 2);
  } else {
    go_text_add_(t, (const char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
  }
}

void go_text_json_(go_text_ *t, const char *s, size_t n) {
  go_text_str_(t, "\"");
  for (size_t i = 0; i < n;) {
    unsigned char c = (unsigned char)s[i];
    size_t len = go_utf8_sequence_((const unsigned char *)s + i, n - i);
    if (len == 0) {
      go_text_str_(t, "\\ufffd");
      len = 1;
    } else if (c < ' ' || c == '"' || c == '\\' || c == 0x7f) {
      escaped(t, c);
    } else {
      go_text_add_(t, s + i, len);
    }
    i += len;
  }
  go_text_str_(t, "\"");
}
