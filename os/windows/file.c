/* os/windows/file.c: files, which are handles. */
#include <golib/file.h>

#include <errno.h>
#include <stdlib.h>

#include "os/windows/windows.h"

/* More is asked for in pieces. */
#define CHUNK ((size_t)1 << 30)

static DWORD access_of(int flags) {
  DWORD a = flags & GO_FILE_READ ? GENERIC_READ : 0;
  if (flags & GO_FILE_WRITE) {
    /* Without the right to write anywhere else, writes go to the end. */
    a |= flags & GO_FILE_APPEND ? FILE_APPEND_DATA | FILE_WRITE_ATTRIBUTES | SYNCHRONIZE
                                : GENERIC_WRITE;
  }
  return a;
}

static DWORD disposition_of(int flags) {
  if (flags & GO_FILE_CREATE) {
    return flags & GO_FILE_EXCLUSIVE ? CREATE_NEW : OPEN_ALWAYS;
  }
  return OPEN_EXISTING;
}

/* A directory opens with a right that only makes sense for it; others look at it as at a file. */
static bool is_directory(HANDLE h) {
  BY_HANDLE_FILE_INFORMATION info;
  return GetFileInformationByHandle(h, &info) &&
         (info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
}

/* Emptied here, not by CREATE_ALWAYS or TRUNCATE_EXISTING: the first replaces attributes and fails for hidden files,
 * the second does not go with appending. */
static bool empty(HANDLE h) {
  FILE_END_OF_FILE_INFO end = {.EndOfFile = {.QuadPart = 0}};
  return SetFileInformationByHandle(h, FileEndOfFileInfo, &end, sizeof end);
}

static int open_wide(const wchar_t *path, int flags, unsigned mode, intptr_t *ret) {
  const DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
  /* Of permissions there is one here: whether it may be written. */
  DWORD attributes =
      (flags & GO_FILE_CREATE) && !(mode & 0200) ? FILE_ATTRIBUTE_READONLY : FILE_ATTRIBUTE_NORMAL;
  bool truncate = (flags & GO_FILE_TRUNCATE) && (flags & GO_FILE_WRITE);
  DWORD access = access_of(flags) | (truncate ? FILE_WRITE_DATA : 0);
  HANDLE h = CreateFileW(path, access, share, NULL, disposition_of(flags), attributes, NULL);
  if (h == INVALID_HANDLE_VALUE) {
    DWORD err = GetLastError();
    DWORD is = err == ERROR_ACCESS_DENIED ? GetFileAttributesW(path) : INVALID_FILE_ATTRIBUTES;
    bool directory = is != INVALID_FILE_ATTRIBUTES && (is & FILE_ATTRIBUTE_DIRECTORY) != 0;
    return directory ? -EISDIR : go_windows_error_(err);
  }
  if (truncate && !empty(h)) {
    int r = go_windows_error_(GetLastError());
    (void)CloseHandle(h);
    return is_directory(h) ? -EISDIR : r;
  }
  *ret = (intptr_t)h;
  return 0;
}

int go_os_file_open_(const char *path, int flags, unsigned mode, intptr_t *ret) {
  GO_KEEP_ERRORS_BEGIN();
  wchar_t *wide = go_windows_wide_(path);
  int r = wide != NULL ? open_wide(wide, flags, mode, ret) : -ENOENT;
  free(wide);
  GO_KEEP_ERRORS_END();
  return r;
}

/* Reading and writing at an offset moves the position of a handle all the same: put it back. Two threads that use it
 * both ways at a time may see the other's. */
static bool position(HANDLE h, int64_t set, int64_t *ret) {
  LARGE_INTEGER to = {.QuadPart = set}, now;
  if (!SetFilePointerEx(h, to, &now, ret != NULL ? FILE_CURRENT : FILE_BEGIN)) {
    return false;
  }
  if (ret != NULL) {
    *ret = now.QuadPart;
  }
  return true;
}

static ptrdiff_t transfer(HANDLE h, void *buf, size_t n, int64_t at, bool writes) {
  int64_t before = 0;
  OVERLAPPED o = {0}, *where = NULL;
  if (at >= 0) {
    o.Offset = (DWORD)at;
    o.OffsetHigh = (DWORD)(at >> 32);
    where = &o;
    if (!position(h, 0, &before)) {
      return go_windows_error_(GetLastError());
    }
  }
  DWORD done = 0, size = (DWORD)(n < CHUNK ? n : CHUNK);
  BOOL ok = writes ? WriteFile(h, buf, size, &done, where) : ReadFile(h, buf, size, &done, where);
  DWORD err = ok ? 0 : GetLastError();
  if (at >= 0) {
    (void)position(h, before, NULL);
  }
  if (ok || (!writes && (err == ERROR_HANDLE_EOF || err == ERROR_BROKEN_PIPE))) {
    return (ptrdiff_t)done;
  }
  return err == ERROR_ACCESS_DENIED ? -EBADF : go_windows_error_(err);
}

ptrdiff_t go_os_file_read_(intptr_t file, void *buf, size_t n, int64_t at) {
  GO_KEEP_ERRORS_BEGIN();
  ptrdiff_t r = transfer((HANDLE)file, buf, n, at, false);
  if (r == -EINVAL && is_directory((HANDLE)file)) {
    r = -EISDIR;
  }
  GO_KEEP_ERRORS_END();
  return r;
}

ptrdiff_t go_os_file_write_(intptr_t file, const void *buf, size_t n, int64_t at) {
  GO_KEEP_ERRORS_BEGIN();
  ptrdiff_t r = transfer((HANDLE)file, (void *)(uintptr_t)buf, n, at, true);
  GO_KEEP_ERRORS_END();
  return r;
}

/* Handles have 31 bits. What is negative stands for the process itself and its like, and closes without an error. */
int go_os_file_close_(intptr_t file) {
  if (file <= 0 || file > INT32_MAX) {
    return -EBADF;
  }
  GO_KEEP_ERRORS_BEGIN();
  int r = CloseHandle((HANDLE)file) ? 0 : go_windows_error_(GetLastError());
  GO_KEEP_ERRORS_END();
  return r;
}

int64_t go_os_file_size_(intptr_t file) {
  GO_KEEP_ERRORS_BEGIN();
  LARGE_INTEGER size;
  int64_t r =
      GetFileSizeEx((HANDLE)file, &size) ? size.QuadPart : go_windows_error_(GetLastError());
  GO_KEEP_ERRORS_END();
  return r;
}

int go_os_file_sync_(intptr_t file) {
  GO_KEEP_ERRORS_BEGIN();
  int r = FlushFileBuffers((HANDLE)file) ? 0 : go_windows_error_(GetLastError());
  GO_KEEP_ERRORS_END();
  return r;
}
