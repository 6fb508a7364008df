/* debug/http.h: as much of HTTP/1.1 (RFC 9112) as a page for looking needs: GET and HEAD, without bodies. What can be
 * understood in two ways is refused. */
#ifndef GOLIB_DEBUG_HTTP_H_
#define GOLIB_DEBUG_HTTP_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <golib/base.h>

#define GO_HTTP_HEAD_MAX_ 8192 /* bytes of a request */

typedef struct go_http_ {
  const char *path, *query; /* query: "" if there is none; both end with a 0 byte */
  const char *host;         /* of the field Host; "" if there is none */
  bool head;                /* HEAD */
  bool keep;                /* another request may follow */
  bool foreign;             /* a browser says that another site's page asks */
} go_http_;

enum { GO_HTTP_MORE_ = 0, GO_HTTP_OK_ = 200 };

/* Parses the request at s, of which n bytes have come; writes into it. GO_HTTP_MORE_: it is not complete; GO_HTTP_OK_: *ret
 * is filled in, and *ret_used bytes are done with; else the status of an answer, after which the connection is to end. *ret is
 * valid as long as s is. */
int go_http_parse_(char *s, size_t n, go_http_ *ret, size_t *ret_used);

const char *go_http_reason_(int status);

/* The value of "key=value&..." as a number from lo to hi, in thousandths: *ret_milli, which else stays. False: it is there,
 * and is none. */
bool go_http_number_(const char *query, const char *key, int64_t lo, int64_t hi,
                     int64_t *ret_milli);

typedef struct go_http_addr_ {
  int family;     /* 4, 6 */
  uint8_t ip[16]; /* in network order */
  bool has_port;
  uint16_t port;
} go_http_addr_;

/* "localhost:80", "127.0.0.1", "[::1]:0": whether it names this machine's loopback. */
bool go_http_loopback_(const char *s, go_http_addr_ *ret);

#endif /* GOLIB_DEBUG_HTTP_H_ */
