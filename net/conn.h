/* net/conn.h: connections, for the files of net/. */
#ifndef GOLIB_NET_CONN_H_
#define GOLIB_NET_CONN_H_

#include "net/sock.h"

struct go_conn {
  go_sock_ s; /* first */
  /* The peer of an accepted connection, which the system forgets when it is reset; family NONE: ask. Constant. */
  uint8_t remote_family;
  uint16_t remote_port;
  uint32_t remote_zone;
  uint8_t remote_ip[16];
};

/* Makes a connection of io, whose peer is *remote, if that is known and IP. On failure (GO_ENOMEM) io is closed. */
int go_conn_new_(const go_io_ *io, const go_addr *remote, go_conn **ret);
/* TCP as go_dial and go_accept hand it out: no delay, keepalive. */
void go_conn_options_(go_io_ *io);

/* Connects to one address, numeric, with its port: 0, or as go_dial. At the instant `until` it gives up with GO_ETIMEDOUT;
 * 0: never. packets: UDP, unixgram. Suspends. */
int go_dial_one_(go_ctx *ctx, bool packets, const go_addr *a, int64_t until, go_conn **ret);

#endif /* GOLIB_NET_CONN_H_ */
