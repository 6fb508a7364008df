/* golib/file.h: files of the file system.
 *
 *   void *text;
 *   size_t size;
 *   int r = go_file_read_all(ctx, "/etc/hosts", &text, &size);
 *   if (r == 0) { ...; free(text); }
 *
 * Reading and writing such a file blocks a thread, whatever is done; so each call is made on a thread of go_offload's
 * pool, while the goroutine waits, and by plain threads themselves. A context therefore ends a call only until its turn
 * in the pool has come; then nothing was done. Sockets, pipes and terminals are not for these calls (a read may take a
 * thread of the pool for ever): golib/net.h, and go_fd_wait.
 *
 * A file is what the system calls so: a descriptor (Windows: a handle). Any number of goroutines may use one at a time, as
 * the system allows; closing it while others use it is illegal.
 * All functions suspend, and may be called from any thread. Besides the errors that they name they return the system's, and
 * those of go_offload: GO_ECANCELED, GO_ETIMEDOUT, GO_EAGAIN, GO_ENOMEM, GO_EFORKED. Go: package os.
 */
#ifndef GOLIB_FILE_H_
#define GOLIB_FILE_H_

#include <golib/base.h>

GO_EXTERN_C_BEGIN_

/* How a file is opened: at least one of the first two. */
enum go_file_flags {
  GO_FILE_READ = 1,
  GO_FILE_WRITE = 2,
  GO_FILE_APPEND = 4,     /* writes go to the end */
  GO_FILE_CREATE = 8,     /* it is made if it does not exist */
  GO_FILE_EXCLUSIVE = 16, /* with CREATE: -EEXIST if it exists */
  GO_FILE_TRUNCATE = 32   /* with WRITE: it is emptied */
};

/* Opens path. mode: the permissions of a new file, 0644 as a rule, less the process's umask. The file is closed in programs
 * that are executed. Returns 0; GO_EINVAL: path NULL or flags that make no sense; -ENOENT, -EACCES... Go: os.OpenFile. */
GO_API GO_NODISCARD int go_file_open(go_ctx *ctx, const char *path, int flags, unsigned mode,
                                     intptr_t *ret_file);

/* Reads up to n bytes from the file's position, which moves. Returns how many, 0: the end (or n is 0); or a
 * code. Go: File.Read. */
GO_API GO_NODISCARD ptrdiff_t go_file_read(go_ctx *ctx, intptr_t file, void *buf, size_t n);
/* The same from offset `at` (negative: GO_EINVAL); the position stays. Go: File.ReadAt. */
GO_API GO_NODISCARD ptrdiff_t go_file_pread(go_ctx *ctx, intptr_t file, void *buf, size_t n,
                                            int64_t at);

/* Writes all n bytes at the file's position, which moves (with GO_FILE_APPEND: at its end). Returns n, or a code; some may
 * have been written then. Go: File.Write. */
GO_API GO_NODISCARD ptrdiff_t go_file_write(go_ctx *ctx, intptr_t file, const void *buf, size_t n);
/* The same at offset `at` (negative: GO_EINVAL); the position stays. Go: File.WriteAt. */
GO_API GO_NODISCARD ptrdiff_t go_file_pwrite(go_ctx *ctx, intptr_t file, const void *buf, size_t n,
                                             int64_t at);

/* Its size in bytes, or a code. Go: File.Stat. */
GO_API GO_NODISCARD int64_t go_file_size(go_ctx *ctx, intptr_t file);
/* Returns when what was written is on the disk. Go: File.Sync. */
GO_API GO_NODISCARD int go_file_sync(go_ctx *ctx, intptr_t file);
/* Closes it, in any case: it takes no context, and without a thread the calling one does it. Returns 0, or what writing
 * something delayed has failed with (-EIO, -ENOSPC...); -EBADF if it was not open. Go: File.Close. */
GO_API int go_file_close(intptr_t file);

/* Reads a whole file into memory from malloc, for the caller to free. *ret_size (NULL: not wanted) is its size; a 0 byte
 * follows, which does not count. Also for files that grow meanwhile, or do not tell their size (/proc). Go: os.ReadFile. */
GO_API GO_NODISCARD int go_file_read_all(go_ctx *ctx, const char *path, void **ret_data,
                                         size_t *ret_size);
/* Makes the file contain just the n bytes at data; it is made with `mode` if it does not exist. Not at once: a crash in
 * between may leave it empty or cut. Go: os.WriteFile. */
GO_API GO_NODISCARD int go_file_write_all(go_ctx *ctx, const char *path, const void *data, size_t n,
                                          unsigned mode);

GO_EXTERN_C_END_

#endif /* GOLIB_FILE_H_ */
