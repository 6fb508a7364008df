/* core/utf8.h: what is UTF-8, for those who write JSON. */
#ifndef GOLIB_CORE_UTF8_H_
#define GOLIB_CORE_UTF8_H_

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the UTF-8 sequence at s (RFC 3629), at most n, which is not 0; 0: it is none. No byte is read behind one that
 * does not go on with it, so a string with a zero at its end needs no n. */
static inline size_t go_utf8_sequence_(const unsigned char *s, size_t n) {
  if (s[0] < 0x80) {
    return 1;
  }
  size_t len = s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : 4;
  if (s[0] < 0xc2 || s[0] > 0xf4 || len > n) {
    return 0;
  }
  for (size_t i = 1; i < len; i++) {
    if ((s[i] & 0xc0) != 0x80) {
      return 0;
    }
  }
  bool bad = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) ||
             (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90);
  return bad ? 0 : len;
}

#endif /* GOLIB_CORE_UTF8_H_ */
