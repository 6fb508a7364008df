/* net/addr.c: networks by name, addresses to text and back.
 *
 * IPv6 text as RFC 5952 wants it: lower case, the longest run of two or more zero groups left out.
 */
#include "net/addr.h"

#include <stdio.h>
#include <string.h>

#include "core/io.h"

_Static_assert(sizeof(go_addr) == 248, "its size is part of the ABI");

/* ---- networks ---- */

int go_net_parse_(const char *net, go_net_ *ret) {
  static const struct {
    const char *name;
    go_net_ net;
  } nets[] = {
      {"tcp", {GO_ADDR_NONE, false}}, {"tcp4", {GO_ADDR_IP4, false}},
      {"tcp6", {GO_ADDR_IP6, false}}, {"unix", {GO_ADDR_UNIX, false}},
      {"udp", {GO_ADDR_NONE, true}},  {"udp4", {GO_ADDR_IP4, true}},
      {"udp6", {GO_ADDR_IP6, true}},  {"unixgram", {GO_ADDR_UNIX, true}},
  };
  for (size_t i = 0; net != NULL && i < sizeof nets / sizeof *nets; i++) {
    if (strcmp(net, nets[i].name) == 0) {
      *ret = nets[i].net;
      return 0;
    }
  }
  return GO_EINVAL;
}

bool go_net_takes_(const go_net_ *net, int family) {
  return net->family == family ||
         (net->family == GO_ADDR_NONE && (family == GO_ADDR_IP4 || family == GO_ADDR_IP6));
}

/* ---- to text ---- */

static char *put_number(char *out, uint32_t n) {
  char digits[10];
  int i = 0;
  do {
    digits[i++] = (char)('0' + n % 10);
    n /= 10;
  } while (n != 0);
  while (i > 0) {
    *out++ = digits[--i];
  }
  return out;
}

static char *put_ip4(char *out, const uint8_t *ip) {
  for (int i = 0; i < 4; i++) {
    if (i > 0) {
      *out++ = '.';
    }
    out = put_number(out, ip[i]);
  }
  return out;
}

static uint32_t group(const uint8_t *ip, int i) { return (uint32_t)ip[2 * i] << 8 | ip[2 * i + 1]; }

/* The first of the longest runs of zero groups; its length. */
static int zero_run(const uint8_t *ip, int *ret_at) {
  int best = 0;
  for (int i = 0; i < 8; i++) {
    int n = 0;
    while (i + n < 8 && group(ip, i + n) == 0) {
      n++;
    }
    if (n > best) {
      best = n;
      *ret_at = i;
    }
    i += n;
  }
  return best;
}

static char *put_hex(char *out, uint32_t n) {
  static const char hex[] = "0123456789abcdef";
  bool begun = false;
  for (int shift = 12; shift >= 0; shift -= 4) {
    uint32_t digit = (n >> shift) & 15;
    begun = begun || digit != 0 || shift == 0;
    if (begun) {
      *out++ = hex[digit];
    }
  }
  return out;
}

static char *put_ip6(char *out, const uint8_t *ip) {
  int at = 8, n = zero_run(ip, &at);
  if (n < 2) {
    at = 8;
  }
  for (int i = 0; i < 8; i++) {
    if (i == at) {
      *out++ = ':';
      *out++ = ':';
      i += n - 1;
      continue;
    }
    if (i > 0 && out[-1] != ':') {
      *out++ = ':';
    }
    out = put_hex(out, group(ip, i));
  }
  return out;
}

static void fill_unix(go_addr *a) {
  char *out = a->text;
  size_t n = a->path_len <= sizeof a->path ? a->path_len : sizeof a->path;
  if (n > 0 && a->path[0] == '\0') {
    *out++ = '@';
    memcpy(out, a->path + 1, n - 1);
    out[n - 1] = '\0';
  } else {
    memcpy(out, a->path, n);
    out[n] = '\0';
  }
}

void go_addr_put_text_(go_addr *a) {
  char *out = a->text;
  if (a->family == GO_ADDR_UNIX) {
    fill_unix(a);
    return;
  }
  if (a->family == GO_ADDR_IP4) {
    out = put_ip4(out, a->ip);
  } else if (a->family == GO_ADDR_IP6) {
    *out++ = '[';
    out = put_ip6(out, a->ip);
    if (a->zone != 0) {
      *out++ = '%';
      go_io_zone_name_(a->zone, out, 16);
      out += strlen(out);
    }
    *out++ = ']';
  } else {
    *out = '\0';
    return;
  }
  *out++ = ':';
  out = put_number(out, a->port);
  *out = '\0';
}

const char *go_addr_str(const go_addr *a) { return a != NULL ? a->text : ""; }

/* ---- from text ---- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Decimal, at most max, no leading zeros (which some take for octal). Returns the end, or NULL. */
static const char *get_number(const char *s, const char *end, uint32_t max, uint32_t *ret) {
  uint32_t n = 0;
  const char *p = s;
  for (; p < end && is_digit(*p); p++) {
    n = n * 10 + (uint32_t)(*p - '0');
    if (n > max) {
      return NULL;
    }
  }
  if (p == s || (*s == '0' && p - s > 1)) {
    return NULL;
  }
  *ret = n;
  return p;
}

static bool get_ip4(const char *s, const char *end, uint8_t *ip) {
  for (int i = 0; i < 4; i++) {
    uint32_t n;
    if (i > 0 && (s == end || *s++ != '.')) {
      return false;
    }
    s = get_number(s, end, 255, &n);
    if (s == NULL) {
      return false;
    }
    ip[i] = (uint8_t)n;
  }
  return s == end;
}

static int hex_digit(char c) {
  return is_digit(c)            ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

/* One group of 1 to 4 digits. Returns the end, or NULL. */
static const char *get_group(const char *s, const char *end, uint32_t *ret) {
  uint32_t n = 0;
  const char *p = s;
  for (; p < end && hex_digit(*p) >= 0; p++) {
    if (p - s == 4) {
      return NULL;
    }
    n = n << 4 | (uint32_t)hex_digit(*p);
  }
  *ret = n;
  return p == s ? NULL : p;
}

/* Groups up to the end, or "::", each of two bytes; the last may be an IPv4 address. */
static bool get_ip6(const char *s, const char *end, uint8_t *ip) {
  uint8_t b[16];
  int n = 0, gap = -1;
  if (end - s >= 2 && s[0] == ':' && s[1] == ':') {
    gap = 0;
    s += 2;
  }
  while (s < end) {
    if (n + 4 <= 16 && get_ip4(s, end, b + n)) {
      n += 4;
      break;
    }
    uint32_t g;
    const char *p = get_group(s, end, &g);
    if (p == NULL || n == 16) {
      return false;
    }
    b[n++] = (uint8_t)(g >> 8);
    b[n++] = (uint8_t)g;
    s = p;
    if (s == end) {
      break;
    }
    if (*s++ != ':' || s == end) {
      return false;
    }
    if (*s == ':') {
      if (gap >= 0) {
        return false;
      }
      gap = n;
      s++;
    }
  }
  if (gap < 0 ? n != 16 : n > 14) {
    return false;
  }
  int before = gap < 0 ? 16 : gap;
  memset(ip, 0, 16);
  memcpy(ip, b, (size_t)before);
  memcpy(ip + 16 - (n - before), b + before, (size_t)(n - before));
  return true;
}

static bool get_zone(const char *s, const char *end, uint32_t *ret) {
  char name[32];
  if (s == end || (size_t)(end - s) >= sizeof name) {
    return false;
  }
  memcpy(name, s, (size_t)(end - s));
  name[end - s] = '\0';
  *ret = go_io_zone_(name);
  return *ret != 0;
}

bool go_addr_parse_ip_(const char *host, size_t len, go_addr *ret) {
  const char *end = host + len;
  go_addr a = {.family = GO_ADDR_IP4};
  if (get_ip4(host, end, a.ip)) {
    *ret = a;
    return true;
  }
  const char *percent = memchr(host, '%', len);
  a.family = GO_ADDR_IP6;
  if (!get_ip6(host, percent != NULL ? percent : end, a.ip) ||
      (percent != NULL && !get_zone(percent + 1, end, &a.zone))) {
    return false;
  }
  *ret = a;
  return true;
}

int go_hostport_parse_(const char *addr, go_hostport_ *ret) {
  const char *colon = strrchr(addr, ':');
  uint32_t port;
  if (colon == NULL) {
    return GO_EINVAL;
  }
  const char *end = colon + 1 + strlen(colon + 1);
  if (get_number(colon + 1, end, 65535, &port) != end) {
    return GO_EINVAL;
  }
  const char *host = addr;
  size_t len = (size_t)(colon - addr);
  if (len >= 2 && host[0] == '[' && colon[-1] == ']') {
    host++;
    len -= 2;
  } else if (memchr(host, ':', len) != NULL || memchr(host, '[', len) != NULL ||
             memchr(host, ']', len) != NULL) {
    return GO_EINVAL; /* an IPv6 address without brackets: where does the port begin? */
  }
  *ret = (go_hostport_){host, len, (uint16_t)port};
  return 0;
}

int go_addr_parse_unix_(const char *path, go_addr *ret) {
  size_t n = strlen(path);
  if (n == 0) {
    return GO_EINVAL;
  }
  if (n > sizeof ret->path) {
    return -ENAMETOOLONG;
  }
  go_addr a = {.family = GO_ADDR_UNIX, .path_len = (uint8_t)n};
  memcpy(a.path, path, n);
  if (a.path[0] == '@') {
    a.path[0] = '\0';
  }
  fill_unix(&a);
  *ret = a;
  return 0;
}

void go_addr_any_(int family, uint16_t port, go_addr *ret) {
  *ret = (go_addr){.family = (uint8_t)family, .port = port};
}

int go_addr_parse(const char *net, const char *addr, go_addr *ret) {
  go_net_ n;
  go_hostport_ hp;
  go_addr a;
  if (addr == NULL || go_net_parse_(net, &n) != 0) {
    return GO_EINVAL;
  }
  if (n.family == GO_ADDR_UNIX) {
    return go_addr_parse_unix_(addr, ret);
  }
  int r = go_hostport_parse_(addr, &hp);
  if (r != 0 || !go_addr_parse_ip_(hp.host, hp.host_len, &a) || !go_net_takes_(&n, a.family)) {
    return GO_EINVAL;
  }
  a.port = hp.port;
  go_addr_put_text_(&a);
  *ret = a;
  return 0;
}
