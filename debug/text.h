/* debug/text.h: text that grows. A failed one stays so, and is all that needs to be looked at in the end. */
#ifndef GOLIB_DEBUG_TEXT_H_
#define GOLIB_DEBUG_TEXT_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <golib/base.h>

/* All-zero: empty. */
typedef struct go_text_ {
  char *s; /* no 0 byte at the end; NULL: nothing yet */
  size_t n, cap;
  bool failed; /* no memory */
} go_text_;

void go_text_free_(go_text_ *t);
/* Room for n bytes more, which the caller fills in and counts; NULL: it has failed. */
char *go_text_room_(go_text_ *t, size_t n);
void go_text_add_(go_text_ *t, const char *s, size_t n);
void go_text_str_(go_text_ *t, const char *s);
void go_text_u64_(go_text_ *t, uint64_t v);
void go_text_i64_(go_text_ *t, int64_t v);
/* As a string of JSON; what is no UTF-8 becomes U+FFFD. */
void go_text_json_(go_text_ *t, const char *s, size_t n);

#endif /* GOLIB_DEBUG_TEXT_H_ */
