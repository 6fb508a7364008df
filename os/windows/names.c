/* os/windows/names.c: addresses of hosts. */
#include <errno.h>
#include <golib/base.h>
#include <stdlib.h>
#include <string.h>

#include "os/windows/windows.h"

#include <ws2tcpip.h>

static int error_of(int eai) {
  switch (eai) {
    case WSAHOST_NOT_FOUND:
    case WSANO_DATA: return GO_ENOHOST;
    case WSA_NOT_ENOUGH_MEMORY: return GO_ENOMEM;
    default: return GO_EDNS; /* WSATRY_AGAIN, and WSANO_RECOVERY, which is a server that fails */
  }
}

static void tell(const ADDRINFOW *a, void (*each)(void *, int, const uint8_t *, uint32_t),
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
  GO_KEEP_ERRORS_BEGIN();
  ADDRINFOW hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *all = NULL;
  WSADATA data;
  int r = GO_ENOHOST; /* of a name that is no UTF-8 */
  wchar_t *wide = go_windows_wide_(host);
  if (wide != NULL && WSAStartup(MAKEWORD(2, 2), &data) == 0) {
    int eai = GetAddrInfoW(wide, NULL, &hints, &all);
    r = eai == 0 ? 0 : error_of(eai);
    for (const ADDRINFOW *a = all; eai == 0 && a != NULL; a = a->ai_next) {
      tell(a, each, arg);
    }
    if (eai == 0) {
      FreeAddrInfoW(all);
    }
    (void)WSACleanup();
  }
  free(wide);
  GO_KEEP_ERRORS_END();
  return r;
}
