/* core/file.c: files, through go_offload's pool: each public call packs its arguments and makes the system's call, or
 * several, on one trip. */
#include <golib/file.h>

#include <stdlib.h>

#include "core/pool.h"

typedef struct op {
  intptr_t file;
  void *buf;
  const void *data;
  size_t n;
  int64_t at;
  const char *path;
  int flags;
  unsigned mode;
  int64_t result;
} op;

/* The trip's own code, or the call's. */
static int64_t go_there(go_ctx *ctx, void (*fn)(void *), op *o) {
  int r = go_offload_(ctx, fn, o);
  return r != 0 ? r : o->result;
}

/* ---- opening and closing ---- */

static bool make_sense(int flags) {
  const int all = GO_FILE_READ | GO_FILE_WRITE | GO_FILE_APPEND | GO_FILE_CREATE |
                  GO_FILE_EXCLUSIVE | GO_FILE_TRUNCATE;
  const int need_write = GO_FILE_APPEND | GO_FILE_TRUNCATE | GO_FILE_CREATE;
  return !(flags & ~all) && (flags & (GO_FILE_READ | GO_FILE_WRITE)) != 0 &&
         (!(flags & need_write) || (flags & GO_FILE_WRITE) != 0) &&
         (!(flags & GO_FILE_EXCLUSIVE) || (flags & GO_FILE_CREATE) != 0);
}

static void do_open(void *arg) {
  op *o = arg;
  o->result = go_os_file_open_(o->path, o->flags, o->mode, &o->file);
}

int go_file_open(go_ctx *ctx, const char *path, int flags, unsigned mode, intptr_t *ret_file) {
  if (path == NULL || ret_file == NULL || !make_sense(flags)) {
    return GO_EINVAL;
  }
  op o = {.path = path, .flags = flags, .mode = mode};
  int r = (int)go_there(ctx, do_open, &o);
  if (r == 0) {
    *ret_file = o.file;
  }
  return r;
}

static void do_close(void *arg) {
  op *o = arg;
  o->result = go_os_file_close_(o->file);
}

int go_file_close(intptr_t file) {
  op o = {.file = file};
  if (go_offload_(NULL, do_close, &o) != 0) {
    do_close(&o);
  }
  return (int)o.result;
}

/* ---- reading and writing ---- */

static void do_read(void *arg) {
  op *o = arg;
  o->result = go_os_file_read_(o->file, o->buf, o->n, o->at);
}

static ptrdiff_t read_at(go_ctx *ctx, intptr_t file, void *buf, size_t n, int64_t at) {
  if ((buf == NULL && n != 0) || n > PTRDIFF_MAX) {
    return GO_EINVAL;
  }
  op o = {.file = file, .buf = buf, .n = n, .at = at};
  return (ptrdiff_t)go_there(ctx, do_read, &o);
}

ptrdiff_t go_file_read(go_ctx *ctx, intptr_t file, void *buf, size_t n) {
  return read_at(ctx, file, buf, n, -1);
}

ptrdiff_t go_file_pread(go_ctx *ctx, intptr_t file, void *buf, size_t n, int64_t at) {
  return at < 0 ? GO_EINVAL : read_at(ctx, file, buf, n, at);
}

/* All of it. */
static int64_t write_whole(intptr_t file, const void *data, size_t n, int64_t at) {
  size_t done = 0;
  do {
    ptrdiff_t r = go_os_file_write_(file, (const char *)data + done, n - done,
                                    at < 0 ? -1 : at + (int64_t)done);
    if (r < 0) {
      return r;
    }
    if (r == 0 && done < n) {
      return -EIO; /* a system that takes nothing and does not say why */
    }
    done += (size_t)r;
  } while (done < n);
  return (int64_t)n;
}

static void do_write(void *arg) {
  op *o = arg;
  o->result = write_whole(o->file, o->data, o->n, o->at);
}

static ptrdiff_t write_at(go_ctx *ctx, intptr_t file, const void *data, size_t n, int64_t at) {
  if ((data == NULL && n != 0) || n > PTRDIFF_MAX ||
      (at > 0 && (uint64_t)n > (uint64_t)(INT64_MAX - at))) {
    return GO_EINVAL;
  }
  op o = {.file = file, .data = data, .n = n, .at = at};
  return (ptrdiff_t)go_there(ctx, do_write, &o);
}

ptrdiff_t go_file_write(go_ctx *ctx, intptr_t file, const void *buf, size_t n) {
  return write_at(ctx, file, buf, n, -1);
}

ptrdiff_t go_file_pwrite(go_ctx *ctx, intptr_t file, const void *buf, size_t n, int64_t at) {
  return at < 0 ? GO_EINVAL : write_at(ctx, file, buf, n, at);
}

/* ---- the rest of a file's life ---- */

static void do_size(void *arg) {
  op *o = arg;
  o->result = go_os_file_size_(o->file);
}

int64_t go_file_size(go_ctx *ctx, intptr_t file) {
  op o = {.file = file};
  return go_there(ctx, do_size, &o);
}

static void do_sync(void *arg) {
  op *o = arg;
  o->result = go_os_file_sync_(o->file);
}

int go_file_sync(go_ctx *ctx, intptr_t file) {
  op o = {.file = file};
  return (int)go_there(ctx, do_sync, &o);
}

/* ---- whole files ---- */

#define READ_MIN 512u

/* Reads until the end into *buf, which has room for cap bytes and grows. Keeps a byte for the 0. */
static int64_t read_rest(intptr_t file, char **buf, size_t cap) {
  size_t n = 0;
  for (;;) {
    ptrdiff_t r = go_os_file_read_(file, *buf + n, cap - 1 - n, -1);
    if (r <= 0) {
      (*buf)[n] = '\0';
      return r < 0 ? r : (int64_t)n;
    }
    n += (size_t)r;
    if (n + 1 == cap) {
      char *more = cap <= SIZE_MAX / 4 ? realloc(*buf, cap * 2) : NULL;
      if (more == NULL) {
        return GO_ENOMEM;
      }
      *buf = more;
      cap *= 2;
    }
  }
}

static void do_read_all(void *arg) {
  op *o = arg;
  o->result = go_os_file_open_(o->path, GO_FILE_READ, 0, &o->file);
  if (o->result != 0) {
    return;
  }
  int64_t size = go_os_file_size_(o->file);
  size_t cap = size > 0 && (uint64_t)size < SIZE_MAX / 4 ? (size_t)size + READ_MIN : READ_MIN;
  char *buf = malloc(cap);
  o->result = buf == NULL ? GO_ENOMEM : read_rest(o->file, &buf, cap);
  (void)go_os_file_close_(o->file);
  if (o->result < 0) {
    free(buf);
    return;
  }
  o->buf = buf;
}

int go_file_read_all(go_ctx *ctx, const char *path, void **ret_data, size_t *ret_size) {
  if (path == NULL || ret_data == NULL) {
    return GO_EINVAL;
  }
  op o = {.path = path};
  int64_t r = go_there(ctx, do_read_all, &o);
  if (r < 0) {
    return (int)r;
  }
  *ret_data = o.buf;
  if (ret_size != NULL) {
    *ret_size = (size_t)r;
  }
  return 0;
}

static void do_write_all(void *arg) {
  op *o = arg;
  const int flags = GO_FILE_WRITE | GO_FILE_CREATE | GO_FILE_TRUNCATE;
  o->result = go_os_file_open_(o->path, flags, o->mode, &o->file);
  if (o->result != 0) {
    return;
  }
  int64_t r = write_whole(o->file, o->data, o->n, -1);
  int closed = go_os_file_close_(o->file);
  o->result = r < 0 ? r : closed;
}

int go_file_write_all(go_ctx *ctx, const char *path, const void *data, size_t n, unsigned mode) {
  if (path == NULL || (data == NULL && n != 0) || n > PTRDIFF_MAX) {
    return GO_EINVAL;
  }
  op o = {.path = path, .data = data, .n = n, .mode = mode};
  return (int)go_there(ctx, do_write_all, &o);
}
