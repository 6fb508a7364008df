/* poll/ready/ready.h: addresses as the system has them. */
#ifndef GOLIB_POLL_READY_READY_H_
#define GOLIB_POLL_READY_READY_H_

#include <sys/socket.h>

#include "core/io.h"

/* The system's form of a, for a socket of that family: an IPv4 address for an IPv6 socket is mapped. Returns its
 * length; 0: it is none for that family. */
socklen_t go_ready_to_sys_(int family, const go_addr *a, struct sockaddr_storage *ret);
/* And back; mapped ones become IPv4. Fills all but the text. */
void go_ready_from_sys_(const struct sockaddr_storage *s, socklen_t len, go_addr *ret);

#endif /* GOLIB_POLL_READY_READY_H_ */
