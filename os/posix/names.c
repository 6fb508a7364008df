/* os/posix/names.c: addresses of hosts. */
#include "posix.h"

#include <golib/base.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static int error_of(int eai) {
  switch (eai) {
    case EAI_NONAME:
#ifdef EAI_NODATA
    case EAI_NODATA:
#endif
#ifdef EAI_ADDRFAMILY
    case EAI_ADDRFAMILY:
#endif
      return GO_ENOHOST;
    case EAI_MEMORY: return GO_ENOMEM;
    case EAI_SYSTEM: return errno != 0 ? -errno : GO_EDNS;
    default: return GO_EDNS; /* EAI_AGAIN, and EAI_FAIL, which is a server that fails */
  }
}

static void tell(const struct addrinfo *a, void (*each)(void *, int, const uint8_t *, uint32_t),
                 void *arg) {
  if (a->ai_family == AF_INET) {
    struct sockaddr_in in;
    memcpy(&in, a->ai_addr, sizeof in);
    each(arg, 4, (const uint8_t *)&in.sin_addr, 0);
  } else if (a->ai_family == AF_INET6) {
    struct sockaddr_in6 in;
    memcpy(&in, a->ai_addr, sizeof in);
    each(arg, 6, (const uint8_t *)&in.sin6_addr, in.sin6_scope_id);
  }
}

int go_os_resolve_(const char *host,
                   void (*each)(void *arg, int family, const uint8_t *ip, uint32_t zone),
                   void *arg) {
  GO_KEEP_ERRNO_BEGIN();
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *all = NULL;
  int eai = getaddrinfo(host, NULL, &hints, &all);
  int r = eai == 0 ? 0 : error_of(eai);
  for (const struct addrinfo *a = all; eai == 0 && a != NULL; a = a->ai_next) tell(a, each, arg);
  if (eai == 0) freeaddrinfo(all);
  GO_KEEP_ERRNO_END();
  return r;
}
