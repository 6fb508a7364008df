/* poll/iocp/addr.c: addresses between their two forms. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poll/iocp/iocp.h"

#include <afunix.h>
#include <netioapi.h>

_Static_assert(sizeof(((struct sockaddr_un *)0)->sun_path) <= sizeof(((go_addr *)0)->path),
               "a path fits");

static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static int to_ip4(const go_addr *a, struct sockaddr_in *s) {
  s->sin_family = AF_INET;
  s->sin_port = htons(a->port);
  memcpy(&s->sin_addr, a->ip, 4);
  return sizeof *s;
}

static int to_ip6(const go_addr *a, struct sockaddr_in6 *s) {
  s->sin6_family = AF_INET6;
  s->sin6_port = htons(a->port);
  if (a->family == GO_ADDR_IP4) {
    static const unsigned char any[4];
    if (memcmp(a->ip, any, 4) != 0) { /* 0.0.0.0 stays "any" */
      memcpy(&s->sin6_addr, mapped, sizeof mapped);
      memcpy((char *)&s->sin6_addr + sizeof mapped, a->ip, 4);
    }
  } else {
    memcpy(&s->sin6_addr, a->ip, 16);
    s->sin6_scope_id = a->zone;
  }
  return sizeof *s;
}

static int to_unix(const go_addr *a, struct sockaddr_un *s) {
  s->sun_family = AF_UNIX;
  if (a->path_len >= sizeof s->sun_path) {
    return 0;
  }
  memcpy(s->sun_path, a->path, a->path_len);
  return (int)sizeof *s; /* shorter ones are not taken */
}

int go_iocp_to_sys_(int family, const go_addr *a, struct sockaddr_storage *ret) {
  memset(ret, 0, sizeof *ret);
  switch (family) {
    case GO_ADDR_IP4:
      return a->family == GO_ADDR_IP4 ? to_ip4(a, (struct sockaddr_in *)(void *)ret) : 0;
    case GO_ADDR_IP6:
      return a->family == GO_ADDR_IP4 || a->family == GO_ADDR_IP6
                 ? to_ip6(a, (struct sockaddr_in6 *)(void *)ret)
                 : 0;
    case GO_ADDR_UNIX:
      return a->family == GO_ADDR_UNIX ? to_unix(a, (struct sockaddr_un *)(void *)ret) : 0;
    default: return 0;
  }
}

static void from_ip6(const struct sockaddr_in6 *s, go_addr *ret) {
  ret->port = ntohs(s->sin6_port);
  if (memcmp(&s->sin6_addr, mapped, sizeof mapped) == 0) {
    ret->family = GO_ADDR_IP4;
    memset(ret->ip, 0, sizeof ret->ip);
    memcpy(ret->ip, (const char *)&s->sin6_addr + sizeof mapped, 4);
    return;
  }
  ret->family = GO_ADDR_IP6;
  ret->zone = s->sin6_scope_id;
  memcpy(ret->ip, &s->sin6_addr, 16);
}

static void from_unix(const struct sockaddr_un *s, int len, go_addr *ret) {
  size_t n = len > (int)offsetof(struct sockaddr_un, sun_path)
                 ? (size_t)len - offsetof(struct sockaddr_un, sun_path)
                 : 0;
  n = n > sizeof s->sun_path ? sizeof s->sun_path : n;
  n = strnlen(s->sun_path, n);
  ret->family = GO_ADDR_UNIX;
  ret->path_len = (uint8_t)n;
  memset(ret->path, 0, sizeof ret->path);
  memcpy(ret->path, s->sun_path, n);
}

void go_iocp_from_sys_(const struct sockaddr_storage *s, int len, go_addr *ret) {
  ret->path_len = 0;
  ret->port = 0;
  ret->zone = 0;
  ret->text[0] = '\0';
  ret->family = GO_ADDR_NONE;
  if (len < (int)sizeof s->ss_family) {
    return;
  }
  if (s->ss_family == AF_INET) {
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)s;
    ret->family = GO_ADDR_IP4;
    ret->port = ntohs(in->sin_port);
    memset(ret->ip, 0, sizeof ret->ip);
    memcpy(ret->ip, &in->sin_addr, 4);
  } else if (s->ss_family == AF_INET6) {
    from_ip6((const struct sockaddr_in6 *)(const void *)s, ret);
  } else if (s->ss_family == AF_UNIX) {
    from_unix((const struct sockaddr_un *)(const void *)s, len, ret);
  }
}

uint32_t go_io_zone_(const char *name) {
  char *end;
  unsigned long n = strtoul(name, &end, 10);
  if (end != name && *end == '\0') {
    return (uint32_t)n;
  }
  GO_KEEP_ERRORS_BEGIN();
  n = if_nametoindex(name);
  GO_KEEP_ERRORS_END();
  return (uint32_t)n;
}

/* Numbers are what addresses are written with on this system. */
void go_io_zone_name_(uint32_t zone, char *buf, size_t size) {
  (void)snprintf(buf, size, "%u", (unsigned)zone);
}

void go_io_unlink_(const go_addr *a) {
  if (a->path_len > 0 && a->path[0] != '\0') {
    char path[sizeof a->path + 1];
    memcpy(path, a->path, a->path_len);
    path[a->path_len] = '\0';
    GO_KEEP_ERRORS_BEGIN();
    wchar_t *wide = go_windows_wide_(path);
    if (wide != NULL) {
      (void)DeleteFileW(wide);
    }
    free(wide);
    GO_KEEP_ERRORS_END();
  }
}
