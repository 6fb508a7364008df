/* net/reader.c: buffered reading.
 *
 * Invariants: r_ <= w_ <= size_ <= PTRDIFF_MAX; buffered is buf_[r_..w_). last_ is the byte that was read last, whose place is
 * buf_[r_ - 1] (where read_line, or the user, may have put something else), or buf_[0] of an empty buffer with r_ == 0; or -1.
 * So what moves bytes that are buffered sets it to -1.
 * There is no pending error: the source gives either bytes or an error, and a call that meets an error returns it.
 * Go: bufio/bufio.go, which departs in that: its errors may come with bytes, and its ReadSlice consumes what it cannot finish.
 */
#include <golib/bufio.h>

#include <stdlib.h>
#include <string.h>

#include "core/sched.h"

#define SIZE_DEFAULT 4096
#define SIZE_MIN 16 /* Go: minReadBufferSize */

static ptrdiff_t read_conn(go_ctx *ctx, void *arg, void *buf, size_t n) {
  return go_read(ctx, (go_conn *)arg, buf, n);
}

/* ---- making ---- */

int go_reader_init_fn(go_reader *r, go_read_fn fn, void *arg, void *buf, size_t size) {
  if (fn == NULL || size > PTRDIFF_MAX || (buf != NULL && size < SIZE_MIN)) {
    return GO_EINVAL;
  }
  bool owned = buf == NULL;
  if (owned) {
    size = size == 0 ? SIZE_DEFAULT : size < SIZE_MIN ? SIZE_MIN : size;
    buf = malloc(size);
    if (buf == NULL) {
      return GO_ENOMEM;
    }
  }
  *r = (go_reader){.buf_ = buf, .size_ = size, .max_ = size, .owned_ = owned};
  go_reader_reset_fn(r, fn, arg);
  return 0;
}

int go_reader_init(go_reader *r, go_conn *c, void *buf, size_t size) {
  return go_reader_init_fn(r, c != NULL ? read_conn : NULL, c, buf, size);
}

void go_reader_reset_fn(go_reader *r, go_read_fn fn, void *arg) {
  r->r_ = r->w_ = 0;
  r->last_ = -1;
  r->fn_ = fn;
  r->arg_ = arg;
}

void go_reader_reset(go_reader *r, go_conn *c) {
  go_reader_reset_fn(r, c != NULL ? read_conn : NULL, c);
}

void go_reader_fini(go_reader *r) {
  if (r->owned_) {
    free(r->buf_);
  }
  *r = (go_reader){.buf_ = NULL};
}

void go_reader_set_max(go_reader *r, size_t max) {
  r->max_ = max > PTRDIFF_MAX ? PTRDIFF_MAX : max;
}

size_t go_reader_buffered(const go_reader *r, const char **ret) {
  if (ret != NULL) {
    *ret = (const char *)r->buf_ + r->r_;
  }
  return r->w_ - r->r_;
}

/* ---- the source ---- */

static void check(const go_reader *r) {
  if (GO_UNLIKELY_(r->fn_ == NULL || r->size_ == 0)) {
    go_panic("go_reader: it was not initialised, or was reset to NULL");
  }
}

static ptrdiff_t ask(go_ctx *ctx, go_reader *r, void *buf, size_t n) {
  ptrdiff_t got = r->fn_(ctx, r->arg_, buf, n);
  if (GO_UNLIKELY_(got > 0 && (size_t)got > n)) {
    go_panic("go_reader: its function has read more than it was asked for");
  }
  return got == GO_EEOF ? 0 : got;
}

/* Everything buffered moves to the front. */
static void slide(go_reader *r) {
  if (r->r_ > 0) {
    memmove(r->buf_, r->buf_ + r->r_, r->w_ - r->r_);
    r->w_ -= r->r_;
    r->r_ = 0;
  }
}

/* The buffer is full. */
static int grow(go_reader *r) {
  if (r->size_ >= r->max_) {
    return GO_ETOOLONG;
  }
  size_t size = r->size_ > r->max_ / 2 ? r->max_ : r->size_ * 2;
  unsigned char *buf = realloc(r->owned_ ? r->buf_ : NULL, size);
  if (buf == NULL) {
    return GO_ENOMEM;
  }
  if (!r->owned_) {
    memcpy(buf, r->buf_, r->w_);
  }
  r->buf_ = buf;
  r->size_ = size;
  r->owned_ = true;
  return 0;
}

/* Gets more into the buffer, once: 0; GO_EEOF, GO_ETOOLONG, GO_ENOMEM, or the source's. Go: Reader.fill. */
static int fill(go_ctx *ctx, go_reader *r) {
  check(r);
  slide(r);
  if (r->w_ == r->size_) {
    int e = grow(r);
    if (e != 0) {
      return e;
    }
  }
  ptrdiff_t n = ask(ctx, r, r->buf_ + r->w_, r->size_ - r->w_);
  if (n <= 0) {
    return n == 0 ? GO_EEOF : (int)n;
  }
  r->w_ += (size_t)n;
  return 0;
}

/* ---- bytes ---- */

/* n > 0 bytes are taken out of the buffer, from where they are returned. */
static unsigned char *take(go_reader *r, size_t n) {
  unsigned char *at = r->buf_ + r->r_;
  r->r_ += n;
  r->last_ = at[n - 1];
  return at;
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* From the source to buf, past the buffer, which is empty. */
static ptrdiff_t read_past(go_ctx *ctx, go_reader *r, unsigned char *buf, size_t n) {
  ptrdiff_t got = ask(ctx, r, buf, n);
  if (got > 0) {
    r->r_ = r->w_ = 0; /* what lies before r_ is not what was read last */
    r->last_ = buf[got - 1];
  }
  return got;
}

ptrdiff_t go_reader_read(go_ctx *ctx, go_reader *r, void *buf, size_t n) {
  check(r);
  if (n == 0) {
    return 0;
  }
  if (r->r_ == r->w_) {
    if (n >= r->size_) {
      return read_past(ctx, r, buf, least(n, PTRDIFF_MAX));
    }
    int e = fill(ctx, r);
    if (e != 0) {
      return e == GO_EEOF ? 0 : e;
    }
  }
  n = least(n, r->w_ - r->r_);
  memcpy(buf, take(r, n), n);
  return (ptrdiff_t)n;
}

/* Reading, or skipping, was to do n bytes, and has done so many when the source said e. */
static ptrdiff_t cut_short(size_t done, ptrdiff_t e) {
  if (e != 0) {
    return e;
  }
  return done == 0 ? GO_EEOF : GO_ETRUNCATED;
}

ptrdiff_t go_reader_read_full(go_ctx *ctx, go_reader *r, void *buf, size_t n) {
  if (n > PTRDIFF_MAX) {
    return GO_EINVAL;
  }
  for (size_t done = 0; done < n;) {
    ptrdiff_t got = go_reader_read(ctx, r, (char *)buf + done, n - done);
    if (got <= 0) {
      return cut_short(done, got);
    }
    done += (size_t)got;
  }
  return (ptrdiff_t)n;
}

ptrdiff_t go_reader_peek(go_ctx *ctx, go_reader *r, size_t n, const char **ret) {
  check(r);
  r->last_ = -1;
  while (r->w_ - r->r_ < n) {
    if (n > r->size_ && n > r->max_) {
      return GO_ETOOLONG; /* and does not wait for bytes that it would have no room for */
    }
    int e = fill(ctx, r);
    if (e == GO_EEOF) {
      break;
    }
    if (e != 0) {
      return e;
    }
  }
  *ret = (const char *)r->buf_ + r->r_;
  return (ptrdiff_t)least(n, r->w_ - r->r_);
}

ptrdiff_t go_reader_discard(go_ctx *ctx, go_reader *r, size_t n) {
  if (n > PTRDIFF_MAX) {
    return GO_EINVAL;
  }
  r->last_ = -1;
  for (size_t done = 0;;) {
    size_t now = least(n - done, r->w_ - r->r_);
    r->r_ += now;
    done += now;
    if (done == n) {
      return (ptrdiff_t)n;
    }
    int e = fill(ctx, r);
    if (e != 0) {
      return cut_short(done, e == GO_EEOF ? 0 : e);
    }
  }
}

int go_reader_read_byte_slow_(go_ctx *ctx, go_reader *r) {
  int e = fill(ctx, r);
  return e != 0 ? e : *take(r, 1);
}

int go_reader_unread_byte(go_reader *r) {
  if (r->last_ < 0) {
    return GO_EINVAL;
  }
  if (r->r_ > 0) {
    r->r_--;
  } else {
    r->w_ = 1; /* it was read past the buffer, which is empty */
  }
  r->buf_[r->r_] = (unsigned char)r->last_;
  r->last_ = -1;
  return 0;
}

/* ---- up to a byte ---- */

/* How many bytes there are up to delim, inclusive; or a code: then all is still buffered. GO_EEOF: also after some bytes. */
static ptrdiff_t find(go_ctx *ctx, go_reader *r, char delim) {
  r->last_ = -1;
  for (size_t seen = 0;;) {
    size_t n = r->w_ - r->r_;
    const unsigned char *from = r->buf_ + r->r_ + seen;
    const unsigned char *at = n > seen ? memchr(from, (unsigned char)delim, n - seen) : NULL;
    if (at != NULL) {
      return at - (r->buf_ + r->r_) + 1;
    }
    int e = fill(ctx, r);
    if (e != 0) {
      return e;
    }
    seen = n;
  }
}

ptrdiff_t go_reader_read_until(go_ctx *ctx, go_reader *r, char delim, char **ret) {
  ptrdiff_t n = find(ctx, r, delim);
  if (n > 0) {
    *ret = (char *)take(r, (size_t)n);
  }
  return n == GO_EEOF && r->r_ < r->w_ ? GO_ETRUNCATED : n;
}

ptrdiff_t go_reader_read_line(go_ctx *ctx, go_reader *r, char **ret) {
  ptrdiff_t n = find(ctx, r, '\n');
  if (n == GO_EEOF && r->r_ < r->w_) {
    /* The last line: there was room for more, so there is for the 0. */
    n = (ptrdiff_t)(r->w_ - r->r_);
    *ret = (char *)take(r, (size_t)n);
  } else if (n > 0) {
    *ret = (char *)take(r, (size_t)n);
    n -= n > 1 && (*ret)[n - 2] == '\r' ? 2 : 1;
  } else {
    return n;
  }
  (*ret)[n] = '\0';
  return n;
}
