/* poll/iocp/iocp.c: the poller of Windows.
 *
 * There is one completion port. What is started on a socket that is attached to it sends a packet when it is done, which
 * names its op.
 *
 * Breaking off a wait takes a flag and a packet. The flag is the truth; the packet only wakes:
 *
 *   go_poll_break_              go_poll_wait_
 *   1 flag: 0 -> 1, or stop     1 flag: 1 -> 0? then look only, do not wait
 *   2 post a packet             2 wait
 *                               3 packet came: flag 1 -> 0? then return; else go on waiting
 *
 * No break is lost: if (1) on the left comes before (1) on the right, the flag is seen there; if after, the packet comes
 * during the wait, or lies there already. A mere look (ns == 0) may take the packet and leaves the flag: the next
 * wait sees it in step 1.
 *
 * Time. The port counts milliseconds, and wakes when the system's clock ticks: every 15.6 ms unless somebody has asked for
 * more. So for waits with an end there is a timer of high resolution that sends a packet as well (a wait completion packet,
 * which the system's own thread pool is made of). Where one of these is missing (before Windows 10 1803; Wine) the wait is
 * rounded up to milliseconds.
 */
#include "poll/iocp/iocp.h"

#include <errno.h>
#include <string.h>

#include "core/poll.h"

const char go_poll_name_[] = "iocp";

#define NS_PER_MS 1000000

/* 4 KiB of stack; what does not fit is reported by the next call. */
enum { PACKETS = 128 };

enum { KEY_OP = 1, KEY_BREAK, KEY_TIMER };

static HANDLE port;
static go_a32 break_flag;
static bool winsock;

HANDLE go_iocp_port_(void) { return port; }

int go_iocp_attach_(HANDLE h) {
  return CreateIoCompletionPort(h, port, KEY_OP, 0) != NULL ? 0 : go_windows_error_(GetLastError());
}

/* ---- the timer ---- */

#ifndef CREATE_WAITABLE_TIMER_HIGH_RESOLUTION
#define CREATE_WAITABLE_TIMER_HIGH_RESOLUTION 2
#endif

/* Waits that are longer than this sleep by the port's clock first, and by the timer for the rest. */
#define LONG_MS 100
#define REST_MS 40

typedef LONG(NTAPI *create_packet_fn)(HANDLE *, ACCESS_MASK, void *);
typedef LONG(NTAPI *associate_fn)(HANDLE, HANDLE, HANDLE, void *, void *, LONG, ULONG_PTR,
                                  BOOLEAN *);
typedef LONG(NTAPI *cancel_fn)(HANDLE, BOOLEAN);

static HANDLE timer, packet; /* NULL: there is none */
static associate_fn associate;
static cancel_fn cancel;

static void look_up(const char *name, void *ret) {
  void *f = go_windows_function_(L"ntdll.dll", name);
  memcpy(ret, &f, sizeof f);
}

static void make_timer(void) {
  create_packet_fn create;
  look_up("NtCreateWaitCompletionPacket", &create);
  look_up("NtAssociateWaitCompletionPacket", &associate);
  look_up("NtCancelWaitCompletionPacket", &cancel);
  if (create == NULL || associate == NULL || cancel == NULL) {
    return;
  }
  timer =
      CreateWaitableTimerExW(NULL, NULL, CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, TIMER_ALL_ACCESS);
  if (timer != NULL && create(&packet, GENERIC_ALL, NULL) != 0) {
    packet = NULL;
    (void)CloseHandle(timer);
    timer = NULL;
  }
}

/* false: there is no timer, or it did not work. */
static bool set_timer(int64_t ns) {
  LARGE_INTEGER at = {.QuadPart = -(ns / 100 + (ns % 100 != 0))};
  BOOLEAN already;
  return timer != NULL && SetWaitableTimer(timer, &at, 0, NULL, NULL, FALSE) &&
         associate(packet, port, timer, (void *)(uintptr_t)KEY_TIMER, NULL, 0, 0, &already) == 0;
}

/* Also takes its packet out of the port, if it has fired meanwhile. */
static void unset_timer(void) { (void)cancel(packet, TRUE); }

/* ---- set-up ---- */

int go_poll_init_(void) {
  WSADATA data;
  GO_KEEP_ERRORS_BEGIN();
  int err = WSAStartup(MAKEWORD(2, 2), &data);
  int r = err != 0 ? go_windows_error_((unsigned long)err) : 0;
  winsock = r == 0;
  if (r == 0) {
    port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
    r = port != NULL ? 0 : go_windows_error_(GetLastError());
  }
  if (r == 0) {
    make_timer();
    go_st_rlx(&break_flag, 0);
  } else {
    go_poll_fini_();
  }
  GO_KEEP_ERRORS_END();
  return r;
}

static void close_handle(HANDLE *h) {
  if (*h != NULL) {
    (void)CloseHandle(*h);
    *h = NULL;
  }
}

void go_poll_fini_(void) {
  GO_KEEP_ERRORS_BEGIN();
  go_iocp_afd_fini_();
  close_handle(&packet);
  close_handle(&timer);
  close_handle(&port);
  if (winsock) {
    (void)WSACleanup();
  }
  winsock = false;
  GO_KEEP_ERRORS_END();
}

/* ---- waiting ---- */

/* Most waits find no break: look before writing to a cache line that others want. */
static bool take_break(void) {
  return go_ld_rlx(&break_flag) != 0 && go_xchg_ar(&break_flag, 0) != 0;
}

static int get_packets(OVERLAPPED_ENTRY *packets, DWORD ms) {
  ULONG n = 0;
  return GetQueuedCompletionStatusEx(port, packets, PACKETS, &n, ms, FALSE) ? (int)n : 0;
}

/* ns as in go_poll_wait_; may return early. */
static int wait_once(OVERLAPPED_ENTRY *packets, int64_t ns) {
  if (ns <= 0) {
    return get_packets(packets, ns < 0 ? INFINITE : 0);
  }
  int64_t ms = ns / NS_PER_MS + (ns % NS_PER_MS != 0);
  if (timer == NULL) {
    return get_packets(packets, ms < INFINITE - 1 ? (DWORD)ms : INFINITE - 1);
  }
  if (ms > LONG_MS) {
    ms -= REST_MS;
    return get_packets(packets, ms < INFINITE - 1 ? (DWORD)ms : INFINITE - 1);
  }
  if (!set_timer(ns)) {
    return get_packets(packets, (DWORD)ms);
  }
  int n = get_packets(packets, INFINITE);
  unset_timer();
  return n;
}

/* The op may be gone as soon as it is marked. */
static void finish(go_iocp_op_ *op) {
  if (op->then != NULL) {
    op->then(op);
    return;
  }
  uint64_t key = op->key;
  uint32_t events = op->events;
  go_st_rel(&op->done, 1u); /* pairs with is_done in poll/iocp/io.c */
  go_poll_event_(key, events, 0);
}

/* Returns how many were operations. */
static int hand_over(const OVERLAPPED_ENTRY *packets, int n, bool look, bool *ret_broken) {
  int ops = 0;
  for (int i = 0; i < n; i++) {
    if (packets[i].lpCompletionKey == KEY_OP) {
      finish((go_iocp_op_ *)(void *)packets[i].lpOverlapped);
      ops++;
    } else if (packets[i].lpCompletionKey == KEY_BREAK && !look && take_break()) { /* step 3 */
      *ret_broken = true;
    }
  }
  return ops;
}

int go_poll_wait_(int64_t ns) {
  GO_KEEP_ERRORS_BEGIN();
  int64_t until = 0;
  bool broken = ns != 0 && take_break(); /* step 1 */
  if (broken) ns = 0;
  if (ns > 0) {
    int64_t start = go_os_now_();
    until = ns > INT64_MAX - start ? INT64_MAX : start + ns;
  }
  bool look = ns == 0;
  int handed_over = 0;
  for (;;) {
    OVERLAPPED_ENTRY packets[PACKETS];
    handed_over += hand_over(packets, wait_once(packets, ns), look, &broken);
    if (handed_over > 0 || broken || look) break;
    if (ns > 0) {
      ns = until - go_os_now_();
      if (ns <= 0) break;
    }
  }
  GO_KEEP_ERRORS_END();
  return handed_over == 0 && broken ? GO_POLL_BROKEN_ : handed_over;
}

void go_poll_break_(void) {
  /* An exchange rather than a compare-and-swap: whoever finds the flag set has to publish what it
   * did before, too, to the wait that takes the flag (take_break). */
  if (go_xchg_ar(&break_flag, 1) != 0) return;
  GO_KEEP_ERRORS_BEGIN();
  (void)PostQueuedCompletionStatus(port, 0, KEY_BREAK, NULL);
  GO_KEEP_ERRORS_END();
}

/* ---- for a foreign loop ---- */

/* A port is nothing that another loop could wait on: it looks by go_step, as often as go_step_wait says. */
int go_poll_handle_(intptr_t *ret) {
  (void)ret;
  return -ENOTSUP;
}

int go_poll_drain_(void) {
  int all = 0, n;
  do {
    n = go_poll_wait_(0);
    all += n;
  } while (n >= PACKETS - 2); /* there may be more */
  (void)take_break();         /* after the fetching: see poll/epoll */
  return all;
}

void go_poll_alarm_(int64_t when) { (void)when; }
