/* os/windows/error.c: the system's errors as errno. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os/windows/windows.h"

static const struct {
  unsigned long code;
  int err;
} map[] = {
    {ERROR_FILE_NOT_FOUND, ENOENT},
    {ERROR_PATH_NOT_FOUND, ENOENT},
    {ERROR_INVALID_DRIVE, ENOENT},
    {ERROR_BAD_NETPATH, ENOENT},
    {ERROR_BAD_NET_NAME, ENOENT},
    {ERROR_BAD_PATHNAME, ENOENT},
    {ERROR_INVALID_NAME, ENOENT},
    {ERROR_TOO_MANY_OPEN_FILES, EMFILE},
    {ERROR_ACCESS_DENIED, EACCES},
    {ERROR_SHARING_VIOLATION, EACCES},
    {ERROR_LOCK_VIOLATION, EACCES},
    {ERROR_PRIVILEGE_NOT_HELD, EPERM},
    {ERROR_INVALID_HANDLE, EBADF},
    {ERROR_NOT_ENOUGH_MEMORY, ENOMEM},
    {ERROR_OUTOFMEMORY, ENOMEM},
    {ERROR_COMMITMENT_LIMIT, ENOMEM},
    {ERROR_NO_SYSTEM_RESOURCES, ENOMEM},
    {ERROR_WORKING_SET_QUOTA, ENOMEM},
    {ERROR_MAX_THRDS_REACHED, EAGAIN},
    {ERROR_NO_PROC_SLOTS, EAGAIN},
    {ERROR_FILE_EXISTS, EEXIST},
    {ERROR_ALREADY_EXISTS, EEXIST},
    {ERROR_INVALID_PARAMETER, EINVAL},
    {ERROR_NEGATIVE_SEEK, EINVAL},
    {ERROR_INVALID_FUNCTION, EINVAL},
    {ERROR_NOACCESS, EFAULT},
    {ERROR_BROKEN_PIPE, EPIPE},
    {ERROR_NO_DATA, EPIPE},
    {ERROR_DISK_FULL, ENOSPC},
    {ERROR_HANDLE_DISK_FULL, ENOSPC},
    {ERROR_WRITE_PROTECT, EROFS},
    {ERROR_DIRECTORY, ENOTDIR},
    {ERROR_DIR_NOT_EMPTY, ENOTEMPTY},
    {ERROR_FILENAME_EXCED_RANGE, ENAMETOOLONG},
    {ERROR_NOT_SUPPORTED, ENOTSUP},
    {ERROR_BUSY, EBUSY},
    {ERROR_OPERATION_ABORTED, ECANCELED},
    {ERROR_SEM_TIMEOUT, ETIMEDOUT},
    {ERROR_NETNAME_DELETED, ECONNRESET},
    {ERROR_CONNECTION_ABORTED, ECONNABORTED},
    {ERROR_CONNECTION_REFUSED, ECONNREFUSED},
    {ERROR_PORT_UNREACHABLE, ECONNREFUSED},
    {ERROR_NETWORK_UNREACHABLE, ENETUNREACH},
    {ERROR_HOST_UNREACHABLE, EHOSTUNREACH},
    {ERROR_INVALID_NETNAME, EADDRNOTAVAIL},
    {WSAEINTR, EINTR},
    {WSAEBADF, EBADF},
    {WSAEACCES, EACCES},
    {WSAEFAULT, EFAULT},
    {WSAEINVAL, EINVAL},
    {WSAEMFILE, EMFILE},
    {WSAEWOULDBLOCK, EAGAIN},
    {WSAEINPROGRESS, EINPROGRESS},
    {WSAEALREADY, EALREADY},
    {WSAENOTSOCK, ENOTSOCK},
    {WSAEDESTADDRREQ, EDESTADDRREQ},
    {WSAEMSGSIZE, EMSGSIZE},
    {WSAEPROTOTYPE, EPROTOTYPE},
    {WSAENOPROTOOPT, ENOPROTOOPT},
    {WSAEPROTONOSUPPORT, EPROTONOSUPPORT},
    {WSAESOCKTNOSUPPORT, EPROTONOSUPPORT},
    {WSAEOPNOTSUPP, EOPNOTSUPP},
    {WSAEPFNOSUPPORT, EAFNOSUPPORT},
    {WSAEAFNOSUPPORT, EAFNOSUPPORT},
    {WSAEADDRINUSE, EADDRINUSE},
    {WSAEADDRNOTAVAIL, EADDRNOTAVAIL},
    {WSAENETDOWN, ENETDOWN},
    {WSAENETUNREACH, ENETUNREACH},
    {WSAENETRESET, ENETRESET},
    {WSAECONNABORTED, ECONNABORTED},
    {WSAECONNRESET, ECONNRESET},
    {WSAENOBUFS, ENOBUFS},
    {WSAEISCONN, EISCONN},
    {WSAENOTCONN, ENOTCONN},
    {WSAESHUTDOWN, EPIPE},
    {WSAETIMEDOUT, ETIMEDOUT},
    {WSAECONNREFUSED, ECONNREFUSED},
    {WSAELOOP, ELOOP},
    {WSAENAMETOOLONG, ENAMETOOLONG},
    {WSAEHOSTDOWN, EHOSTUNREACH},
    {WSAEHOSTUNREACH, EHOSTUNREACH},
    {WSASYSNOTREADY, ENETDOWN},
};

int go_windows_error_(unsigned long code) {
  for (size_t i = 0; i < sizeof map / sizeof map[0]; i++) {
    if (map[i].code == code) {
      return -map[i].err;
    }
  }
  return -EIO;
}

void *go_windows_function_(const wchar_t *module, const char *name) {
  HMODULE m = GetModuleHandleW(module);
  FARPROC f = m != NULL ? GetProcAddress(m, name) : NULL;
  void *p;
  memcpy(&p, &f, sizeof p); /* of two kinds of pointers */
  return p;
}

wchar_t *go_windows_wide_(const char *text) {
  int n = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, NULL, 0);
  wchar_t *w = n > 0 ? malloc((size_t)n * sizeof *w) : NULL;
  if (w != NULL) {
    (void)MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, w, n);
  }
  return w;
}

/* Not inlined, not pure: the caller may have been on another thread a moment ago. */
__attribute__((noinline)) int go_os_errno_(void) {
  __asm__ volatile("" ::: "memory");
  return errno;
}

/* The C runtime has texts for its oldest codes only. */
const char *go_os_error_text_(int err) {
  switch (err) {
    case EADDRINUSE: return "address already in use";
    case EADDRNOTAVAIL: return "cannot assign requested address";
    case EAFNOSUPPORT: return "address family not supported";
    case EALREADY: return "operation already in progress";
    case ECANCELED: return "operation canceled";
    case ECONNABORTED: return "connection aborted";
    case ECONNREFUSED: return "connection refused";
    case ECONNRESET: return "connection reset by peer";
    case EDESTADDRREQ: return "destination address required";
    case EHOSTUNREACH: return "no route to host";
    case EINPROGRESS: return "operation in progress";
    case EISCONN: return "socket is connected";
    case ELOOP: return "too many levels of symbolic links";
    case EMSGSIZE: return "message too long";
    case ENETDOWN: return "network is down";
    case ENETRESET: return "connection aborted by network";
    case ENETUNREACH: return "network is unreachable";
    case ENOBUFS: return "no buffer space available";
    case ENOPROTOOPT: return "protocol not available";
    case ENOTCONN: return "socket is not connected";
    case ENOTSOCK: return "not a socket";
    case ENOTSUP: return "not supported";
    case EOPNOTSUPP: return "operation not supported on socket";
    case EPROTO: return "protocol error";
    case EPROTONOSUPPORT: return "protocol not supported";
    case EPROTOTYPE: return "protocol wrong type for socket";
    case ETIMEDOUT: return "connection timed out";
    default: return strerror(err);
  }
}
