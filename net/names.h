/* net/names.h: looking names up, as net sees it. */
#ifndef GOLIB_NET_NAMES_H_
#define GOLIB_NET_NAMES_H_

#include <golib/net.h>

/* go_resolve of a name that is not terminated, as in "name:port". */
int go_resolve_part_(go_ctx *ctx, const char *host, size_t len, go_addrs **ret);

/* As go_os_resolve_, which it stands for; NULL: that one. For tests, which have names of their own. */
typedef int (*go_resolver_)(const char *host, void (*each)(void *, int, const uint8_t *, uint32_t),
                            void *arg);
void go_resolver_set_(go_resolver_ r);

#endif /* GOLIB_NET_NAMES_H_ */
