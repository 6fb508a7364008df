/* golib/net.h: TCP, UDP and Unix sockets for goroutines.
 *
 * One goroutine per connection, written as straight code. A call that has to wait suspends its goroutine
 * only; a plain thread may call the same functions and blocks.
 *
 * Networks are named as in Go: "tcp", "tcp4", "tcp6", "unix" for streams, "udp", "udp4", "udp6", "unixgram" for
 * packets. An address is "host:port", "[ipv6]:port", "[fe80::1%eth0]:port", ":port" (all interfaces, or for dialling
 * the local host) or a path; on Linux "@name" is an abstract Unix address. Names are looked up by go_resolve.
 *
 * Errors that every call may return, besides those listed at it:
 *   GO_ECLOSED    the connection or listener was closed, before or meanwhile
 *   GO_ETIMEDOUT  a deadline has passed: that of the connection, which stays until another is set, or ctx's
 *   GO_ECANCELED  ctx was cancelled; a ctx that is done already wins over everything
 *   GO_EFORKED    in the child of a fork
 *   system errors -ECONNRESET, -EPIPE, -ECONNREFUSED, -EMFILE...
 * A broken connection never raises SIGPIPE.
 *
 * Lifetime: go_dial, go_accept, go_listen and go_conn_dup give one reference. go_conn_close ends the connection for
 * all who use it; go_conn_unref gives a reference back, and the last one closes what is still open:
 *
 *   go_conn *c;
 *   if (go_dial(ctx, "tcp", "127.0.0.1:7", &c) == 0) {
 *     char buf[64];
 *     if (go_write(ctx, c, "hello", 5) == 5) (void)go_read(ctx, c, buf, sizeof buf);
 *     go_conn_unref(c);
 *   }
 */
#ifndef GOLIB_NET_H_
#define GOLIB_NET_H_

#include <golib/base.h>

GO_EXTERN_C_BEGIN_

/* ---- addresses ---- */

enum go_addr_family { GO_ADDR_NONE = 0, GO_ADDR_UNIX = 1, GO_ADDR_IP4 = 4, GO_ADDR_IP6 = 6 };

/* An address: plain data, to be copied and compared field by field; the same on all systems. Made by the functions
 * below, or by hand: then `text` is empty, and go_addr_str says so. */
typedef struct go_addr {
  uint8_t family;   /* enum go_addr_family */
  uint8_t path_len; /* Unix: bytes of path; an unnamed one has 0 */
  uint16_t port;
  uint32_t zone;  /* IPv6, link-local: the interface's number, or 0 */
  uint8_t ip[16]; /* IPv4: the first four; network order */
  char path[108]; /* Unix: not terminated; abstract ones begin with a 0 byte */
  char text[116]; /* "127.0.0.1:8080", "[::1]:80", "/run/x.sock", "@abstract" */
} go_addr;

/* Its text, which lives in *a: "127.0.0.1:8080". NULL: "". */
GO_API const char *go_addr_str(const go_addr *a);
/* Parses a numeric address of that network. Never suspends, asks nobody. GO_EINVAL: not numeric, no port, not of
 * that network, unknown network; -ENAMETOOLONG: a path that does not fit. Go: net/netip.ParseAddrPort. */
GO_API GO_NODISCARD int go_addr_parse(const char *net, const char *addr, go_addr *ret);

/* What go_resolve found, in the order in which they should be tried; port 0. */
typedef struct go_addrs {
  size_t n;
  const go_addr *at;
} go_addrs;

/* Looks a host's addresses up, as the system is set up to (/etc/hosts, DNS...), on a small pool of threads; numeric ones,
 * "127.0.0.1", "::1", "fe80::1%eth0", need none. Who asks for the same name at the same time gets the same
 * answer. A ctx that is done abandons the look-up, which may go on for a while without anybody; go_shutdown waits
 * for it. The caller frees *ret by go_addrs_free. GO_EINVAL: host is NULL or empty; GO_ENOHOST: no such host, or it has no
 * address; GO_EDNS: no server has answered; GO_ENOMEM, GO_EAGAIN: no thread; GO_ECANCELED, GO_ETIMEDOUT; GO_EFORKED.
 * Suspends. Go: net.Resolver.LookupIPAddr. */
GO_API GO_NODISCARD int go_resolve(go_ctx *ctx, const char *host, go_addrs **ret);
/* NULL: nothing. */
GO_API void go_addrs_free(go_addrs *a);

/* ---- listening ---- */

typedef struct go_listener go_listener;
typedef struct go_conn go_conn;

/* How to listen; all-zero is the default. */
typedef struct go_listen_opts {
  int backlog; /* 0: what the system allows */
  bool
      reuse_port; /* several sockets, of several processes too, share the port: the system spreads connections */
  bool keep_path; /* "unix": leave the socket's file behind when the listener is closed */
  void *reserved[4];
} go_listen_opts;

/* Listens on a stream address. "tcp" with no host, or "::", takes IPv4 and IPv6 connections; port 0: one that is free
 * (go_listener_addr). SO_REUSEADDR is set. A Unix path is removed again when the listener is closed. Suspends only to
 * look a name up; of several addresses the first is taken, IPv4 before IPv6. GO_EINVAL: no such network or address;
 * -ENAMETOOLONG: a path that does not fit; as go_resolve, of which GO_ENOHOST also: no address for that network;
 * -EADDRINUSE, -EACCES, -EADDRNOTAVAIL, -EMFILE... Go: net.Listen. */
GO_API GO_NODISCARD int go_listen(go_ctx *ctx, const char *net, const char *addr,
                                  go_listener **ret);
/* The same with options (NULL: none). Go: net.ListenConfig. */
GO_API GO_NODISCARD int go_listen_opt(const go_listen_opts *o, go_ctx *ctx, const char *net,
                                      const char *addr, go_listener **ret);

/* Waits for a connection. Suspends. Any number of goroutines may; each connection goes to one. Connections that are
 * gone before they are accepted are skipped. Without descriptors (-EMFILE, -ENFILE) or memory for one more it tries again,
 * less and less often down to ten times a second, says so on stderr once until it has succeeded again, and
 * loses no connection: it waits for others to be closed. Other errors, which firewalls and their like cause (-EPERM), are
 * returned, and the listener stays of use. TCP: TCP_NODELAY is set, and keepalive every 15 s.
 * Go: net.Listener.Accept. */
GO_API GO_NODISCARD int go_accept(go_ctx *ctx, go_listener *l, go_conn **ret);

/* Until when go_accept may wait, absolute; 0: for ever. As go_conn_set_deadline. */
GO_API GO_NODISCARD int go_listener_set_deadline(go_listener *l, go_nsec when);
/* The address, with the port that was chosen. GO_ECLOSED. Never suspends. */
GO_API GO_NODISCARD int go_listener_addr(go_listener *l, go_addr *ret);
/* Stops listening: wakes all go_accept with GO_ECLOSED, closes the socket when they have left, removes the Unix
 * path. Connections that nobody accepted are reset. GO_ECLOSED: it was closed before. Suspends until the others have
 * left. Go: net.Listener.Close. */
GO_API int go_listener_close(go_listener *l);
/* NULL: nothing. The last unref closes. ref returns l. */
GO_API go_listener *go_listener_ref(go_listener *l);
GO_API void go_listener_unref(go_listener *l);
/* The descriptor, for options: do not close it, nor make it block. GO_ECLOSED. It is valid until the listener is
 * closed. */
GO_API intptr_t go_listener_fd(go_listener *l);

/* ---- connections ---- */

/* Connects. A name is looked up, and its addresses are tried (Happy Eyeballs): those of the first one's family in turn, and
 * beside them those of the other, after 300 ms or when the first ones have failed; who answers first wins. Until ctx's
 * deadline each gets its share of the time, but not less than 2 s. No host is the local one.
 * "udp", "unixgram": sets the peer of go_read and go_write, and nothing is sent.
 * GO_EINVAL: no such network or address; as go_resolve, of which GO_ENOHOST also: no address for that network;
 * -ECONNREFUSED, -EHOSTUNREACH, -ENOENT, GO_ETIMEDOUT...: of the first address; GO_ECANCELED, GO_ETIMEDOUT: ctx is done.
 * Suspends. Go: net.Dialer.DialContext. */
GO_API GO_NODISCARD int go_dial(go_ctx *ctx, const char *net, const char *addr, go_conn **ret);

/* Reads what there is, at most n bytes, and waits while there is nothing. Returns how many; 0: the stream has ended, or
 * n is 0 (returns at once). Suspends. Several readers take turns; reading and writing do not
 * disturb each other. Go: net.Conn.Read. */
GO_API GO_NODISCARD ptrdiff_t go_read(go_ctx *ctx, go_conn *c, void *buf, size_t n);
/* Writes all n bytes: returns n, or an error. After an error part of it may have been sent; to know how much, use
 * go_writev with one entry. Suspends while the peer does not read. Writers take turns: what one call writes
 * is not mixed with another's. n is 0: returns 0. Go: net.Conn.Write. */
GO_API GO_NODISCARD ptrdiff_t go_write(go_ctx *ctx, go_conn *c, const void *buf, size_t n);

typedef struct go_iovec {
  void *base;
  size_t len;
} go_iovec;

/* go_read into n buffers, one after the other. GO_EINVAL: n < 0, or more bytes than PTRDIFF_MAX. */
GO_API GO_NODISCARD ptrdiff_t go_readv(go_ctx *ctx, go_conn *c, const go_iovec *v, int n);
/* go_write of n buffers, any number: returns how many bytes they had, or an error. The entries are advanced by what was
 * written: afterwards they describe what was not. Go: net.Buffers.WriteTo. */
GO_API GO_NODISCARD ptrdiff_t go_writev(go_ctx *ctx, go_conn *c, go_iovec *v, int n);
/* Writes n bytes of a file from *offset on, without copying them through the program where the system can; stops at the
 * end of the file. Returns how many were sent, or an error; *offset is advanced by what was sent in both cases. A slow disk
 * blocks the thread meanwhile. GO_EINVAL: the file cannot be read from so. Go: TCPConn.ReadFrom. */
GO_API GO_NODISCARD ptrdiff_t go_sendfile(go_ctx *ctx, go_conn *c, intptr_t file, int64_t *offset,
                                          size_t n);

/* Until when reading, writing or both may wait: an instant of go_now; 0: for ever (the default). A call that waits
 * at that time, or comes later, returns GO_ETIMEDOUT, data or not, until the deadline is set anew, which
 * also works while others wait. 0 or GO_ECLOSED. Never suspends. Go: net.Conn.SetDeadline. */
GO_API int go_conn_set_deadline(go_conn *c, go_nsec when);
GO_API int go_conn_set_read_deadline(go_conn *c, go_nsec when);
GO_API int go_conn_set_write_deadline(go_conn *c, go_nsec when);

enum go_shut { GO_SHUT_RD = 0, GO_SHUT_WR = 1, GO_SHUT_RDWR = 2 };
/* Ends one direction: the peer reads the end of the stream after GO_SHUT_WR; after GO_SHUT_RD local reads, those that wait
 * too, return what has come, then 0, and what comes later as the system likes (Linux TCP: it can be read).
 * GO_EINVAL: no such direction; -ENOTCONN. Go: TCPConn.CloseWrite, CloseRead. */
GO_API int go_conn_shutdown(go_conn *c, int how);
/* Ends the connection: wakes all who use it with GO_ECLOSED, and closes the socket when they have left: until then
 * its number is not used for another. GO_ECLOSED: it was closed before. Suspends until the others have left. A packet
 * socket's Unix path is removed. Go: net.Conn.Close. */
GO_API int go_conn_close(go_conn *c);
/* NULL: nothing. The last unref closes. ref returns c. */
GO_API go_conn *go_conn_ref(go_conn *c);
GO_API void go_conn_unref(go_conn *c);
/* Another handle to the same connection, with its own deadlines, readers and writers: closing one leaves the other open.
 * shutdown and options are for both. NULL: c is closed, or no descriptor or memory is left.
 * Go: TCPConn.File; Rust: TcpStream::try_clone. */
GO_API GO_NODISCARD go_conn *go_conn_dup(go_conn *c);

/* The addresses of its two ends. GO_ECLOSED; -ENOTCONN: no peer. Never suspend. */
GO_API GO_NODISCARD int go_conn_local(go_conn *c, go_addr *ret);
GO_API GO_NODISCARD int go_conn_remote(go_conn *c, go_addr *ret);

/* TCP: whether small writes are sent at once (the default) or gathered. */
GO_API int go_conn_set_nodelay(go_conn *c, bool on);
/* TCP: asks a silent peer after `idle` whether it still lives, then as often, nine times; 0: never. The default is 15 s.
 * Rounded up to seconds. GO_EINVAL: negative. */
GO_API int go_conn_set_keepalive(go_conn *c, go_nsec idle);
/* TCP: what closing does with data that was not sent yet: seconds < 0: sent in the background (the default);
 * 0: thrown away, and the connection is reset; else closing waits for so long, on Linux with its thread, until it
 * is sent. Go: SetLinger. */
GO_API int go_conn_set_linger(go_conn *c, int seconds);
/* Sizes of the system's buffers. GO_EINVAL: < 1. */
GO_API int go_conn_set_read_buffer(go_conn *c, int bytes);
GO_API int go_conn_set_write_buffer(go_conn *c, int bytes);
/* The descriptor, for other options: do not close it, nor make it block. GO_ECLOSED. It is valid until c is closed. */
GO_API intptr_t go_conn_fd(go_conn *c);

/* ---- packets ---- */

/* A packet socket with that address of its own; "" with "unixgram": without one. Errors as go_listen. Go: net.ListenPacket. */
GO_API GO_NODISCARD int go_packet_listen(go_ctx *ctx, const char *net, const char *addr,
                                         go_conn **ret);
/* Waits for a packet. Returns its size, which may be 0, or n if it had to be cut off, which *ret_truncated tells.
 * ret_from and ret_truncated may be NULL. go_read does the same, silently. Suspends. Go: PacketConn.ReadFrom. */
GO_API GO_NODISCARD ptrdiff_t go_recvfrom(go_ctx *ctx, go_conn *c, void *buf, size_t n,
                                          go_addr *ret_from, bool *ret_truncated);
/* Sends a packet, also an empty one, to `to`; NULL: to the peer of a dialled socket. Returns n. -EMSGSIZE: too large;
 * -EISCONN, -EDESTADDRREQ; GO_EINVAL: an address of another family. Suspends while there is no room.
 * Go: PacketConn.WriteTo. */
GO_API GO_NODISCARD ptrdiff_t go_sendto(go_ctx *ctx, go_conn *c, const void *buf, size_t n,
                                        const go_addr *to);

GO_EXTERN_C_END_

#endif /* GOLIB_NET_H_ */
