/* poll/iocp/iocp.h: what the files of this directory share.
 *
 * An op is an operation that the system has been given. Who owns it:
 *
 *   state      how it comes                     who may touch it
 *   free       at first, and after `done`       who starts it next: one at a time, a reader or a writer of its socket
 *   running    given to the system              nobody: the system writes into it, and into the buffers
 *   done       its packet was taken from the    who started it
 *              port, or it was done at once
 *
 * `done` is stored by go_poll_wait_, with release, as the last that it does to an op: whoever reads it may free the op.
 * An operation is never left behind: who stops waiting calls it off (CancelIoEx) and waits for its packet.
 */
#ifndef GOLIB_POLL_IOCP_IOCP_H_
#define GOLIB_POLL_IOCP_IOCP_H_

#include "os/windows/windows.h"
/* */
#include <ws2tcpip.h>

#include <mswsock.h>

#include "core/atomic.h"
#include "core/io.h"

typedef struct go_iocp_op_ {
  OVERLAPPED ov; /* first: a packet names it */
  uint64_t key;  /* what core is told when it is done */
  uint32_t events;
  go_a32 done;
  void (*then)(struct go_iocp_op_ *); /* NULL; or called instead of all this, by the poller */
} go_iocp_op_;

/* The port; valid while the poller is. */
HANDLE go_iocp_port_(void);
/* Has operations on a handle tell the port. 0 or a negative code. */
int go_iocp_attach_(HANDLE h);

/* poll/iocp/afd.c. Frees what go_poll_add_ has left behind; nobody waits in the poller or will. */
void go_iocp_afd_fini_(void);

/* The system's form of a, for a socket of that family: an IPv4 address for an IPv6 socket is mapped. Returns its
 * length; 0: it is none for that family. */
int go_iocp_to_sys_(int family, const go_addr *a, struct sockaddr_storage *ret);
/* And back; mapped ones become IPv4. Fills all but the text. */
void go_iocp_from_sys_(const struct sockaddr_storage *s, int len, go_addr *ret);

/* NT's, which winternl.h and winsock2.h do not both have. */
#define GO_NT_PENDING_ ((LONG)0x103)
#define GO_NT_CANCELLED_ ((LONG)0xC0000120)

#endif /* GOLIB_POLL_IOCP_IOCP_H_ */
