/* golib/bufio.h: buffered reading and writing, of connections and of whatever else has bytes.
 *
 *   go_reader r;
 *   go_writer w;
 *   char in[4096], out[4096], *line;
 *   int e = go_reader_init(&r, conn, in, sizeof in);         // (&r, conn, NULL, 0) allocates a buffer
 *   if (e == 0) e = go_writer_init(&w, conn, out, sizeof out);
 *   while (e == 0 && go_reader_read_line(ctx, &r, &line) >= 0) {
 *     go_writer_printf(ctx, &w, "you said %s\n", line);      // the flush tells of its errors, too
 *     e = go_writer_flush(ctx, &w);
 *   }
 *
 * Both live in the caller's storage, and may be copied or moved as long as one copy only is used. Each belongs to one
 * goroutine at a time; a reader and a writer of the same connection are independent of each other. They do not
 * keep the connection: it must live as long as they are used.
 *
 * Instead of a connection a function may be given (_init_fn): for files, TLS libraries, decompressors, tests.
 *
 * All functions that take a ctx suspend while the connection, or the function, does; what is in the buffer, or fits into it,
 * needs no wait and is served also when ctx is done. Besides the errors that they name they return those of go_read
 * and go_writev, or what the function returned. Using one that was not initialised, or was reset to NULL, panics. From any
 * thread.
 * Go: package bufio.
 */
#ifndef GOLIB_BUFIO_H_
#define GOLIB_BUFIO_H_

#include <golib/base.h>
#include <golib/net.h>

#include <stdarg.h>

GO_EXTERN_C_BEGIN_

/* ---- reading ---- */

/* Where bytes come from, when not from a connection: like go_read it puts up to n bytes (n > 0) into buf, waits while there
 * are none, and returns how many; 0 (or GO_EEOF): the end; or another negative code, which is handed on. More than n panics. */
typedef ptrdiff_t (*go_read_fn)(go_ctx *ctx, void *arg, void *buf, size_t n);

/* States: not initialised (all-zero), ready. There is no state of failure: an error is returned once, nothing that was
 * buffered is lost by it, and the next call tries anew. The end of the stream is such an error. */
typedef struct go_reader {
  unsigned char *buf_;
  size_t size_, max_;
  size_t r_, w_; /* buffered: buf_[r_..w_) */
  int last_;     /* what go_reader_unread_byte gives back, or -1 */
  bool owned_;   /* buf_ is from malloc */
  go_read_fn fn_;
  void *arg_;
  void *reserved_[2];
} go_reader;

/* Makes a reader of c with a buffer of `size` bytes at buf, which must live as long; or of one that is allocated, for buf
 * NULL: size 0 is then 4,096, and less than 16 counts as 16. 0; GO_EINVAL: c is NULL, less than 16 bytes at buf, or more than
 * PTRDIFF_MAX; GO_ENOMEM. Never suspends. Go: bufio.NewReaderSize. */
GO_API GO_NODISCARD int go_reader_init(go_reader *r, go_conn *c, void *buf, size_t size);
/* The same for fn(ctx, arg, ...). fn NULL: GO_EINVAL. */
GO_API GO_NODISCARD int go_reader_init_fn(go_reader *r, go_read_fn fn, void *arg, void *buf,
                                          size_t size);
/* Goes on with another source (NULL: none, for now), and the same buffer, whose contents are forgotten. Never suspend.
 * Go: Reader.Reset. */
GO_API void go_reader_reset(go_reader *r, go_conn *c);
GO_API void go_reader_reset_fn(go_reader *r, go_read_fn fn, void *arg);
/* Frees the buffer if it was allocated. Makes it all-zero, on which it has no effect. Never suspends. */
GO_API void go_reader_fini(go_reader *r);

/* Lets the buffer grow, when a line, or a peek, needs it, up to max bytes; at first it stays as it is. A buffer of the caller's
 * is left then for one that is allocated. The calls below then also return GO_ENOMEM. */
GO_API void go_reader_set_max(go_reader *r, size_t max);

/* How many bytes are buffered; *ret (NULL: not wanted) points at them, until the next call. Never suspends.
 * Go: Reader.Buffered. */
GO_API size_t go_reader_buffered(const go_reader *r, const char **ret);

/* Reads up to n bytes: what is buffered, else what one call of the source gives, which goes past the buffer if n is not less than
 * its size. Returns how many; 0: the end, or n is 0. Go: Reader.Read. */
GO_API GO_NODISCARD ptrdiff_t go_reader_read(go_ctx *ctx, go_reader *r, void *buf, size_t n);
/* Reads n bytes: returns n, or a code; then some may have been read. GO_EEOF: the stream has ended, with nothing read;
 * GO_ETRUNCATED: after some; GO_EINVAL: n is above PTRDIFF_MAX. Go: io.ReadFull. */
GO_API GO_NODISCARD ptrdiff_t go_reader_read_full(go_ctx *ctx, go_reader *r, void *buf, size_t n);

/* Looks at the next n bytes without reading them: *ret points at them, until the next call. Returns n, or fewer, also 0, when the
 * stream ends before. GO_ETOOLONG: the buffer is smaller. Go: Reader.Peek. */
GO_API GO_NODISCARD ptrdiff_t go_reader_peek(go_ctx *ctx, go_reader *r, size_t n, const char **ret);
/* Skips n bytes. Errors as go_reader_read_full. Go: Reader.Discard. */
GO_API GO_NODISCARD ptrdiff_t go_reader_discard(go_ctx *ctx, go_reader *r, size_t n);

/* Reads up to and including the byte delim. Returns how many bytes; *ret points at them, until the next call. After an error all
 * of them are still buffered: with a new deadline, say, or after go_reader_set_max, the same call goes on. GO_EEOF: the stream
 * has ended, and nothing is buffered; GO_ETRUNCATED: it has ended without delim; GO_ETOOLONG: the buffer is full
 * without delim. Go: Reader.ReadSlice. */
GO_API GO_NODISCARD ptrdiff_t go_reader_read_until(go_ctx *ctx, go_reader *r, char delim,
                                                   char **ret);
/* Reads a line, which ends in "\n" or "\r\n", or is the last one and ends with the stream. Returns its length without the end;
 * *ret is the text, until the next call, with a 0 byte behind (it may contain others). Errors as go_reader_read_until, without
 * GO_ETRUNCATED. Go: Reader.ReadLine. */
GO_API GO_NODISCARD ptrdiff_t go_reader_read_line(go_ctx *ctx, go_reader *r, char **ret);

/* Reads a byte, 0 to 255, or returns a code: GO_EEOF... Go: Reader.ReadByte. */
static inline int go_reader_read_byte(go_ctx *ctx, go_reader *r);
/* Makes the last byte that was read the next one to be read. Only one can be taken back. GO_EINVAL: there is none, or it is gone,
 * by a peek, a discard, or a read_until or read_line that failed. Never suspends. Go: Reader.UnreadByte. */
GO_API int go_reader_unread_byte(go_reader *r);

GO_API int go_reader_read_byte_slow_(go_ctx *ctx, go_reader *r);
static inline int go_reader_read_byte(go_ctx *ctx, go_reader *r) {
  return r->r_ < r->w_ ? (r->last_ = r->buf_[r->r_++]) : go_reader_read_byte_slow_(ctx, r);
}

/* ---- writing ---- */

/* Where bytes go to, when not to a connection: takes some of the n bytes (n > 0) at buf, waits while it can take none, and
 * returns how many, or a negative code. It is called again for the rest. 0 counts as -EIO; more than n panics. */
typedef ptrdiff_t (*go_write_fn)(go_ctx *ctx, void *arg, const void *buf, size_t n);

/* States: not initialised (all-zero), ready, failed. Failed: after the first error, of which only a context may have been the
 * reason, nothing is written any more, and all calls return that error, until go_writer_reset. So it suffices to look at what
 * the flush returns. */
typedef struct go_writer {
  unsigned char *buf_;
  size_t size_;
  size_t n_;     /* buffered: buf_[0..n_) */
  size_t limit_; /* size_; 0 when failed, or not initialised */
  int err_;
  bool owned_; /* buf_ is from malloc */
  go_write_fn fn_;
  void *arg_;
  void *reserved_[2];
} go_writer;

/* As go_reader_init; buf may have any size but 0. What is written is sent when the buffer is full, and by go_writer_flush: not by
 * itself. Go: bufio.NewWriterSize. */
GO_API GO_NODISCARD int go_writer_init(go_writer *w, go_conn *c, void *buf, size_t size);
GO_API GO_NODISCARD int go_writer_init_fn(go_writer *w, go_write_fn fn, void *arg, void *buf,
                                          size_t size);
/* Goes on with another destination (NULL: none, for now), without the error, and the same buffer, whose contents are
 * forgotten. Never suspend.
 * Go: Writer.Reset. */
GO_API void go_writer_reset(go_writer *w, go_conn *c);
GO_API void go_writer_reset_fn(go_writer *w, go_write_fn fn, void *arg);
/* Frees the buffer if it was allocated; what is in it is not written. Makes it all-zero, on which it has no effect. Never
 * suspends. */
GO_API void go_writer_fini(go_writer *w);

/* How many bytes are buffered, and how many more have room. After an error: what was not sent. Never suspend.
 * Go: Writer.Buffered, Writer.Available. */
GO_API size_t go_writer_buffered(const go_writer *w);
GO_API size_t go_writer_available(const go_writer *w);
/* The error that has put it into the state failed, or 0. Never suspends. */
GO_API int go_writer_err(const go_writer *w);

/* Writes n bytes: returns n, or a code. What does not fit into the buffer is sent together with it, in one go and without
 * a copy, to connections; functions get full buffers, and what is large uncopied. GO_EINVAL: n is above PTRDIFF_MAX (no state
 * of failure). Go: Writer.Write. */
GO_API ptrdiff_t go_writer_write(go_ctx *ctx, go_writer *w, const void *buf, size_t n);
/* The same with a string that ends in a 0 byte. Go: Writer.WriteString. */
GO_API ptrdiff_t go_writer_puts(go_ctx *ctx, go_writer *w, const char *s);
/* Writes a byte: 0 or a code. Go: Writer.WriteByte. */
static inline int go_writer_putc(go_ctx *ctx, go_writer *w, char c);
/* Writes what printf would, of any length. Returns how many bytes, or a code: GO_ENOMEM: text for which there is no room in the
 * buffer is made in memory that is allocated; GO_EINVAL: it cannot be formatted, or has over 2^31-1 bytes (both: no
 * state of failure, nothing was written). Go: fmt.Fprintf. */
GO_API GO_PRINTF(3, 4) ptrdiff_t go_writer_printf(go_ctx *ctx, go_writer *w, const char *fmt, ...);
GO_API GO_PRINTF(3, 0) ptrdiff_t
    go_writer_vprintf(go_ctx *ctx, go_writer *w, const char *fmt, va_list args);
/* Sends what is buffered: 0 or a code. Nothing is sent when nothing is buffered. Go: Writer.Flush. */
GO_API GO_NODISCARD int go_writer_flush(go_ctx *ctx, go_writer *w);

GO_API int go_writer_putc_slow_(go_ctx *ctx, go_writer *w, char c);
static inline int go_writer_putc(go_ctx *ctx, go_writer *w, char c) {
  if (w->n_ < w->limit_) {
    w->buf_[w->n_++] = (unsigned char)c;
    return 0;
  }
  return go_writer_putc_slow_(ctx, w, c);
}

GO_EXTERN_C_END_

#endif /* GOLIB_BUFIO_H_ */
