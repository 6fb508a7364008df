/* net/addr.h: networks by name, addresses as text. */
#ifndef GOLIB_NET_ADDR_H_
#define GOLIB_NET_ADDR_H_

#include <golib/net.h>

/* What "tcp4" and its kin mean. */
typedef struct go_net_ {
  uint8_t family; /* the only one, or NONE: IPv4 and IPv6 */
  bool packets;
} go_net_;

/* GO_EINVAL: no such network. */
int go_net_parse_(const char *net, go_net_ *ret);
/* Whether an address of that family can be used on it. */
bool go_net_takes_(const go_net_ *net, int family);

/* Fills a's text. */
void go_addr_put_text_(go_addr *a);
/* A host without a port: "127.0.0.1", "::1", "fe80::1%eth0": whether it is numeric. The text stays empty. */
bool go_addr_parse_ip_(const char *host, size_t len, go_addr *ret);

/* "host:port" taken apart; the host without brackets, a port is a number. */
typedef struct go_hostport_ {
  const char *host;
  size_t host_len; /* 0: none */
  uint16_t port;
} go_hostport_;
/* 0 or GO_EINVAL. */
int go_hostport_parse_(const char *addr, go_hostport_ *ret);
/* A Unix path, "@abstract": 0, GO_EINVAL (empty), -ENAMETOOLONG. With text. */
int go_addr_parse_unix_(const char *path, go_addr *ret);
/* Any address of that family: 0.0.0.0, ::, without text. */
void go_addr_any_(int family, uint16_t port, go_addr *ret);

#endif /* GOLIB_NET_ADDR_H_ */
