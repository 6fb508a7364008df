/* poll/iocp/afd.c: whether a socket of somebody else is ready: go_fd_wait.
 *
 * Attaching such a socket to our port would keep its owner from ever attaching it to another. What select and WSAPoll ask
 * with leaves it alone: a request to the sockets' driver, \Device\Afd, that ends when the socket is ready. It is no
 * documented interface, but one that event loops have been built on for twenty years, and that emulators have.
 *
 * A request tells once. So IN and OUT are asked for together, and what has not been told yet is asked for again.
 *
 * A registration has a request running, or has told both, or is gone (by go_poll_del_). It is freed when it is gone and none
 * runs. All under `lock`.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/poll.h"
#include "poll/iocp/iocp.h"

#include <winternl.h>

typedef struct afd_handle {
  HANDLE handle;
  ULONG events;
  LONG status;
} afd_handle;

typedef struct afd_poll {
  LARGE_INTEGER timeout;
  ULONG n;
  ULONG exclusive;
  afd_handle handles[1];
} afd_poll;

enum {
  AFD_RECEIVE = 0x1,
  AFD_SEND = 0x4,
  AFD_DISCONNECT = 0x8,
  AFD_ABORT = 0x10,
  AFD_LOCAL_CLOSE = 0x20,
  AFD_ACCEPT = 0x80,
  AFD_CONNECT_FAIL = 0x100,
  AFD_GONE = AFD_ABORT | AFD_LOCAL_CLOSE | AFD_CONNECT_FAIL,
  AFD_FOR_IN = AFD_RECEIVE | AFD_DISCONNECT | AFD_ACCEPT,
};
/* For the packets of requests that were called off. */
#define NS_PER_LOOK 10000000

#define IOCTL_AFD_POLL 0x00012024u

NTSYSAPI NTSTATUS NTAPI NtCancelIoFileEx(HANDLE file, IO_STATUS_BLOCK *which, IO_STATUS_BLOCK *ret);

typedef struct reg {
  go_iocp_op_ op; /* first */
  IO_STATUS_BLOCK iosb;
  afd_poll ask;
  struct reg *next;
  intptr_t handle;
  SOCKET base;
  uint32_t wanted; /* not told yet: GO_POLL_IN_, GO_POLL_OUT_ */
  bool running, gone;
} reg;

static SRWLOCK lock = SRWLOCK_INIT;
static HANDLE afd;
static reg *regs; /* all that are not freed */

/* lock held. */
static int open_afd(void) {
  static const wchar_t name[] = L"\\Device\\Afd\\golib";
  UNICODE_STRING path = {sizeof name - sizeof name[0], sizeof name, (wchar_t *)(uintptr_t)name};
  OBJECT_ATTRIBUTES attributes;
  IO_STATUS_BLOCK iosb;
  if (afd != NULL) {
    return 0;
  }
  InitializeObjectAttributes(&attributes, &path, 0, NULL, NULL);
  HANDLE h;
  if (NtCreateFile(&h, SYNCHRONIZE, &attributes, &iosb, NULL, 0, FILE_SHARE_READ | FILE_SHARE_WRITE,
                   FILE_OPEN, 0, NULL, 0) != 0) {
    return GO_ENOMEM;
  }
  int r = go_iocp_attach_(h);
  if (r != 0) {
    (void)CloseHandle(h);
    return r;
  }
  afd = h;
  return 0;
}

/* lock held. Asks for what is wanted. A packet comes in any case but an error. */
static int start(reg *r) {
  ULONG events = AFD_GONE;
  events |= r->wanted & GO_POLL_IN_ ? AFD_FOR_IN : 0;
  events |= r->wanted & GO_POLL_OUT_ ? AFD_SEND : 0;
  r->ask = (afd_poll){.timeout = {.QuadPart = INT64_MAX}, .n = 1};
  r->ask.handles[0] = (afd_handle){(HANDLE)r->base, events, 0};
  LONG s = NtDeviceIoControlFile(afd, NULL, NULL, r, &r->iosb, IOCTL_AFD_POLL, &r->ask,
                                 sizeof r->ask, &r->ask, sizeof r->ask);
  r->running = s == 0 || s == GO_NT_PENDING_;
  return r->running ? 0 : -EBADF;
}

/* lock held. */
static void free_reg(reg *r) {
  reg **at = &regs;
  while (*at != r) {
    at = &(*at)->next;
  }
  *at = r->next;
  free(r);
}

static uint32_t told(const reg *r) {
  if (r->iosb.Status < 0 || r->ask.n < 1) {
    return GO_POLL_IN_ | GO_POLL_OUT_ | GO_POLL_ERR_;
  }
  ULONG e = r->ask.handles[0].events;
  uint32_t t = 0;
  if (e & (AFD_FOR_IN | AFD_GONE)) t |= GO_POLL_IN_;
  if (e & (AFD_SEND | AFD_GONE)) t |= GO_POLL_OUT_;
  if (e & AFD_GONE) t |= GO_POLL_ERR_;
  return t;
}

/* By the poller: the request has ended. */
static void ended(go_iocp_op_ *op) {
  reg *r = (reg *)op;
  AcquireSRWLockExclusive(&lock);
  r->running = false;
  if (r->gone) {
    free_reg(r);
    ReleaseSRWLockExclusive(&lock);
    return;
  }
  uint32_t t = told(r);
  uint64_t key = op->key;
  r->wanted &= ~t;
  if (r->wanted != 0 && start(r) != 0) {
    t |= r->wanted | GO_POLL_ERR_; /* whoever tries will learn of it */
    r->wanted = 0;
  }
  ReleaseSRWLockExclusive(&lock);
  go_poll_event_(key, t, 0);
}

/* The socket below filters that others may have laid over it; what it is not for a handle that is no socket. */
static SOCKET base_of(SOCKET s) {
  SOCKET base = INVALID_SOCKET;
  DWORD n;
  if (WSAIoctl(s, SIO_BASE_HANDLE, NULL, 0, &base, sizeof base, &n, NULL, NULL) != 0) {
    return WSAGetLastError() == WSAENOTSOCK ? INVALID_SOCKET : s; /* emulators may not know it */
  }
  return base;
}

int go_poll_add_(intptr_t handle, uint64_t key) {
  GO_KEEP_ERRORS_BEGIN();
  SOCKET base = base_of((SOCKET)handle);
  reg *r = base != INVALID_SOCKET ? calloc(1, sizeof *r) : NULL;
  int err = base == INVALID_SOCKET ? -EBADF : r == NULL ? GO_ENOMEM : 0;
  if (err == 0) {
    r->op.key = key;
    r->op.then = ended;
    r->handle = handle;
    r->base = base;
    r->wanted = GO_POLL_IN_ | GO_POLL_OUT_;
    AcquireSRWLockExclusive(&lock);
    err = open_afd();
    if (err == 0) {
      r->next = regs;
      regs = r;
      err = start(r);
      if (err != 0) {
        free_reg(r);
      }
    } else {
      free(r);
    }
    ReleaseSRWLockExclusive(&lock);
  }
  GO_KEEP_ERRORS_END();
  return err;
}

int go_poll_del_(intptr_t handle) {
  GO_KEEP_ERRORS_BEGIN();
  AcquireSRWLockExclusive(&lock);
  reg *r = regs;
  while (r != NULL && (r->gone || r->handle != handle)) {
    r = r->next;
  }
  int err = r != NULL ? 0 : -ENOENT;
  if (r != NULL && r->running) {
    IO_STATUS_BLOCK iosb;
    r->gone = true;
    (void)NtCancelIoFileEx(afd, &r->iosb, &iosb); /* it may have ended: its packet is on its way */
  } else if (r != NULL) {
    free_reg(r);
  }
  ReleaseSRWLockExclusive(&lock);
  GO_KEEP_ERRORS_END();
  return err;
}

/* Requests end when the driver's handle is closed, but their packets have no port any more: fetch them first. */
void go_iocp_afd_fini_(void) {
  for (;;) {
    bool running = false;
    AcquireSRWLockExclusive(&lock);
    for (reg *r = regs, *next; r != NULL; r = next) {
      IO_STATUS_BLOCK iosb;
      next = r->next;
      r->gone = true;
      if (r->running) {
        running = true;
        (void)NtCancelIoFileEx(afd, &r->iosb, &iosb);
      } else {
        free_reg(r);
      }
    }
    ReleaseSRWLockExclusive(&lock);
    if (!running) {
      break;
    }
    (void)go_poll_wait_(NS_PER_LOOK);
  }
  if (afd != NULL) {
    (void)CloseHandle(afd);
    afd = NULL;
  }
}
