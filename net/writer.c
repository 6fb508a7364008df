/* net/writer.c: buffered writing.
 *
 * Destination: fn_, or, NULL, the connection arg_; both NULL: none.
 * Invariants: n_ <= size_; buffered, and not sent, is buf_[0..n_). err_ != 0 exactly when the writer has failed, and limit_ is
 * 0 then, else size_ (so that the fast path needs one comparison).
 * Go: bufio/bufio.go.
 */
#include <golib/bufio.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/sched.h"

#define SIZE_DEFAULT 4096

/* ---- making ---- */

/* fn NULL: at the connection arg. */
static void aim(go_writer *w, go_write_fn fn, void *arg) {
  w->n_ = 0;
  w->err_ = 0;
  w->limit_ = w->size_;
  w->fn_ = fn;
  w->arg_ = arg;
}

/* As go_writer_init_fn, and aim. */
static int init(go_writer *w, go_write_fn fn, void *arg, void *buf, size_t size) {
  if (size > PTRDIFF_MAX || (buf != NULL && size == 0)) {
    return GO_EINVAL;
  }
  bool owned = buf == NULL;
  if (owned) {
    size = size == 0 ? SIZE_DEFAULT : size;
    buf = malloc(size);
    if (buf == NULL) {
      return GO_ENOMEM;
    }
  }
  *w = (go_writer){.buf_ = buf, .size_ = size, .owned_ = owned};
  aim(w, fn, arg);
  return 0;
}

int go_writer_init(go_writer *w, go_conn *c, void *buf, size_t size) {
  return c == NULL ? GO_EINVAL : init(w, NULL, c, buf, size);
}

int go_writer_init_fn(go_writer *w, go_write_fn fn, void *arg, void *buf, size_t size) {
  return fn == NULL ? GO_EINVAL : init(w, fn, arg, buf, size);
}

void go_writer_reset_fn(go_writer *w, go_write_fn fn, void *arg) {
  aim(w, fn, fn != NULL ? arg : NULL);
}

void go_writer_reset(go_writer *w, go_conn *c) { aim(w, NULL, c); }

void go_writer_fini(go_writer *w) {
  if (w->owned_) {
    free(w->buf_);
  }
  *w = (go_writer){.buf_ = NULL};
}

size_t go_writer_buffered(const go_writer *w) { return w->n_; }
size_t go_writer_available(const go_writer *w) { return w->size_ - w->n_; }
int go_writer_err(const go_writer *w) { return w->err_; }

/* ---- the destination ---- */

static int fail(go_writer *w, int e) {
  w->err_ = e;
  w->limit_ = 0;
  return e;
}

/* Ready, or the code of the failure. */
static int check(const go_writer *w) {
  if (GO_UNLIKELY_(w->size_ == 0 || (w->fn_ == NULL && w->arg_ == NULL))) {
    go_panic("go_writer: it was not initialised, or was reset to NULL");
  }
  return w->err_;
}

/* The first n bytes of the buffer are sent. */
static void sent(go_writer *w, size_t n) {
  w->n_ -= n;
  if (w->n_ > 0) {
    memmove(w->buf_, w->buf_ + n, w->n_);
  }
}

/* Has the function take all n bytes: 0 or a code. *done: how many it took. */
static int give(go_ctx *ctx, go_writer *w, const unsigned char *buf, size_t n, size_t *done) {
  for (*done = 0; *done < n;) {
    ptrdiff_t r = w->fn_(ctx, w->arg_, buf + *done, n - *done);
    if (r <= 0) {
      return r == 0 ? -EIO : (int)r;
    }
    if ((size_t)r > n - *done) {
      go_panic("go_writer: its function has taken more than there was");
    }
    *done += (size_t)r;
  }
  return 0;
}

/* Sends the buffer, then n bytes at buf, in one go if possible. */
static int send_conn(go_ctx *ctx, go_writer *w, const void *buf, size_t n) {
  go_iovec v[2] = {{w->buf_, w->n_}, {(void *)(uintptr_t)buf, n}};
  ptrdiff_t r = w->n_ > 0 ? go_writev(ctx, (go_conn *)w->arg_, v, n > 0 ? 2 : 1)
                          : go_write(ctx, (go_conn *)w->arg_, buf, n);
  if (w->n_ > 0) {
    sent(w, w->n_ - v[0].len);
  }
  return r < 0 ? fail(w, (int)r) : 0;
}

static int flush_fn(go_ctx *ctx, go_writer *w) {
  size_t done;
  int e = give(ctx, w, w->buf_, w->n_, &done);
  sent(w, done);
  return e != 0 ? fail(w, e) : 0;
}

int go_writer_flush(go_ctx *ctx, go_writer *w) {
  int e = check(w);
  if (e != 0 || w->n_ == 0) {
    return e;
  }
  return w->fn_ == NULL ? send_conn(ctx, w, NULL, 0) : flush_fn(ctx, w);
}

/* ---- writing ---- */

/* It fits. */
static void put(go_writer *w, const void *buf, size_t n) {
  if (n > 0) {
    memcpy(w->buf_ + w->n_, buf, n);
    w->n_ += n;
  }
}

/* To a function: n does not fit. Fills the buffer up and flushes it, until the rest fits; what is as large as the buffer is not
 * copied. */
static int write_fn(go_ctx *ctx, go_writer *w, const unsigned char *buf, size_t n) {
  while (n > w->size_ - w->n_) {
    size_t done;
    int e;
    if (w->n_ == 0) {
      e = give(ctx, w, buf, n, &done);
    } else {
      done = w->size_ - w->n_;
      put(w, buf, done);
      e = flush_fn(ctx, w);
    }
    if (e != 0) {
      return fail(w, e);
    }
    buf += done;
    n -= done;
  }
  put(w, buf, n);
  return 0;
}

ptrdiff_t go_writer_write(go_ctx *ctx, go_writer *w, const void *buf, size_t n) {
  if (n > PTRDIFF_MAX) {
    return GO_EINVAL;
  }
  int e = check(w);
  if (e != 0) {
    return e;
  }
  if (n <= w->size_ - w->n_) {
    put(w, buf, n);
  } else {
    e = w->fn_ == NULL ? send_conn(ctx, w, buf, n) : write_fn(ctx, w, buf, n);
  }
  return e != 0 ? e : (ptrdiff_t)n;
}

ptrdiff_t go_writer_puts(go_ctx *ctx, go_writer *w, const char *s) {
  return go_writer_write(ctx, w, s, strlen(s));
}

int go_writer_putc_slow_(go_ctx *ctx, go_writer *w, char c) {
  int e = go_writer_flush(ctx, w); /* the buffer is full, or it has failed */
  if (e != 0) {
    return e;
  }
  put(w, &c, 1);
  return 0;
}

/* ---- formatting ---- */

/* The text is n bytes long, more than the buffer. */
static ptrdiff_t print_large(go_ctx *ctx, go_writer *w, size_t n, const char *fmt, va_list args) {
  char *text = malloc(n + 1);
  if (text == NULL) {
    return GO_ENOMEM;
  }
  ptrdiff_t r =
      vsnprintf(text, n + 1, fmt, args) == (int)n ? go_writer_write(ctx, w, text, n) : GO_EINVAL;
  free(text);
  return r;
}

/* Into the free part of the buffer. Returns the text's length; it is there if that is less than what is free, as printf adds a
 * 0 byte. */
static int print(go_writer *w, const char *fmt, va_list args) {
  return vsnprintf((char *)w->buf_ + w->n_, w->size_ - w->n_, fmt, args);
}

ptrdiff_t go_writer_vprintf(go_ctx *ctx, go_writer *w, const char *fmt, va_list args) {
  int e = check(w);
  if (e != 0) {
    return e;
  }
  va_list again;
  va_copy(again, args);
  int n = print(w, fmt, args);
  ptrdiff_t r = n;
  if (n < 0) {
    r = GO_EINVAL;
  } else if ((size_t)n < w->size_ - w->n_) {
    w->n_ += (size_t)n;
  } else {
    r = print_large(ctx, w, (size_t)n, fmt, again);
  }
  va_end(again);
  return r;
}

ptrdiff_t go_writer_printf(go_ctx *ctx, go_writer *w, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  ptrdiff_t r = go_writer_vprintf(ctx, w, fmt, args);
  va_end(args);
  return r;
}
