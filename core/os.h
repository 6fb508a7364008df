/* core/os.h: what core asks of an operating system.
 *
 * Defined by exactly one of os/linux, os/darwin, os/windows, the first two with os/posix. Called from core and sync on
 * thread stacks and on goroutine stacks of any size unless said otherwise; never with a core lock
 * held unless said "any lock". Nothing here suspends a goroutine; errors are negative codes (-errno,
 * mapped on Windows). No function changes errno for its caller in a way that matters: none reports
 * through it.
 */
#ifndef GOLIB_CORE_OS_H_
#define GOLIB_CORE_OS_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- threads ---- */

/* A handle to a thread started here; opaque to core. */
typedef struct go_os_thread_ {
  uintptr_t handle;
} go_os_thread_;

/* Starts fn(arg) on a new thread with a stack of at least 256 KiB and all signals that the process does not
 * need for itself blocked as they are in the caller. Returns 0, -EAGAIN, -ENOMEM. */
int go_os_thread_start_(go_os_thread_ *ret, void (*fn)(void *), void *arg);
/* The same with a stack for code that was not written for small ones: 8 MiB. */
int go_os_thread_start_large_(go_os_thread_ *ret, void (*fn)(void *), void *arg);
/* Waits for its end and frees the handle. */
void go_os_thread_join_(go_os_thread_ *t);
/* Frees the handle of a thread that nobody will join. */
void go_os_thread_detach_(go_os_thread_ *t);
/* Names the calling thread for debuggers and ps; at most 15 bytes are kept. */
void go_os_thread_name_(const char *name);
/* Has the system wake the calling thread as exactly as it can, where it would else gather wake-ups to save
 * power (Linux: a timer slack of 50 us). */
void go_os_thread_exact_(void);
/* Lets other threads run. Any lock. */
void go_os_yield_(void);
/* Calls fn(arg) when the calling thread ends (not the process). At most once a thread. 0 or -ENOMEM. */
int go_os_at_thread_exit_(void (*fn)(void *), void *arg);
/* Calls child() in the child of every fork from now on, on the thread that forked, before fork returns there.
 * Once a process. 0 or -ENOMEM. */
int go_os_at_fork_(void (*child)(void));
/* Threads of this process, as the system counts them less those that sanitizers keep for
 * themselves; -1 if that cannot be told. */
int go_os_thread_count_(void);
/* CPUs that the process may use: its affinity, and the CPU quota of its cgroup and all
 * ancestors, rounded up; at least 1. */
int go_os_cpus_(void);

/* What C++ keeps per thread: the exceptions being handled, innermost first, and how many are on
 * their way. */
typedef struct go_os_cxx_state_ {
  void *caught;
  unsigned uncaught;
} go_os_cxx_state_;
/* The calling thread's, at the same place as long as it lives; NULL when the program has no C++ in it. */
go_os_cxx_state_ *go_os_cxx_(void);

/* Where golib/cxx.h's frame_ is NULL, what it would find. try_fn: the address of a C++ function with a try block. */
void *go_os_cxx_frame_(const void *from, uintptr_t try_fn);

/* ---- one fence for all threads ---- */

/* Whether go_os_fence_all_ will work; makes it ready. Cheap while the process has one thread. */
bool go_os_fence_init_(void);
/* Every other thread of the process passes a full memory fence, or is not running, between the call and its return. No
 * signal, and no effect that such a thread could see. Takes some microseconds, the first time tens of
 * milliseconds if the process had several threads at go_os_fence_init_. false: the system refuses. */
bool go_os_fence_all_(void);

/* ---- waiting ---- */

/* Blocks the thread while *addr == val, for at most ns nanoseconds (negative: for ever). Returns 0
 * after a wake or when the value differs (also spuriously), -ETIMEDOUT. EINTR is retried. */
int go_os_futex_wait_(uint32_t *addr, uint32_t val, int64_t ns);
/* Wakes up to n threads that wait on addr. Any lock. Async-signal-safe where the platform allows. */
void go_os_futex_wake_(uint32_t *addr, int n);
/* A thread's sleep, whose end others set. To wake a thread that sleeps on a futex takes many microseconds when its
 * processor sleeps as well; to set a time costs the system call, and wakes nobody before. */
typedef struct go_os_timer_ {
  intptr_t handle;
} go_os_timer_;
/* 0, -EMFILE, -ENFILE, -ENOMEM. */
int go_os_timer_open_(go_os_timer_ *ret);
void go_os_timer_close_(go_os_timer_ *t);
/* It goes off ns (more than 0) from now, and not when it was to before. Any thread, any lock. */
void go_os_timer_set_(go_os_timer_ *t, int64_t ns);
/* Sleeps until it has gone off since the last call, or a while where the system fails. One thread. */
void go_os_timer_wait_(go_os_timer_ *t);
/* The monotonic clock, in ns. Any lock. Async-signal-safe. */
int64_t go_os_now_(void);
/* 64 bits from the system's random source. Never fails (falls back to the clock). */
uint64_t go_os_random_(void);

/* ---- files; all block the thread; EINTR is retried ---- */

/* flags: GO_FILE_... of golib/file.h; mode: permissions of a new file. The file is not inherited by programs that are
 * executed. 0 or a negative code. */
int go_os_file_open_(const char *path, int flags, unsigned mode, intptr_t *ret);
/* At most n bytes from offset `at`, or, if that is negative, from the file's own position, which is moved. How many, 0 at
 * the end; or a negative code. */
ptrdiff_t go_os_file_read_(intptr_t file, void *buf, size_t n, int64_t at);
ptrdiff_t go_os_file_write_(intptr_t file, const void *buf, size_t n, int64_t at);
/* Closes it in any case. */
int go_os_file_close_(intptr_t file);
/* Bytes, or a negative code. */
int64_t go_os_file_size_(intptr_t file);
/* Has the system write it to the disk. */
int go_os_file_sync_(intptr_t file);

/* ---- descriptors that others have opened ---- */

/* Which of events, GO_FD_... of golib/block.h, the descriptor is ready for now: 0 or more. An error or a hang-up counts as
 * ready for all. Or a negative code: -EBADF. Never blocks. */
int go_os_fd_poll_(intptr_t fd, int events);
/* A second descriptor for the same thing, which go_os_fd_close_ closes. 0, -EMFILE, -EBADF. */
int go_os_fd_dup_(intptr_t fd, intptr_t *ret);
void go_os_fd_close_(intptr_t fd);

/* ---- for debug/, which serves on a thread of its own; nothing here blocks unless it says so ---- */

/* Which file it is, whatever its name. */
typedef struct go_os_file_id_ {
  uint64_t dev, ino;
} go_os_file_id_;

/* A Unix socket that listens at path, and that only this user may connect to, at any time. A socket of this user's that was
 * there and where nobody listens any more is replaced. Blocks for a look at the disk. 0; -EADDRINUSE: somebody listens there, or it is
 * no such socket; -ENAMETOOLONG; -ENOTSUP: there is nothing like it here; codes of the file system. */
int go_os_serve_unix_(const char *path, intptr_t *ret, go_os_file_id_ *ret_id);
/* Removes path if it is that file still. Blocks as above. */
void go_os_serve_end_(const char *path, const go_os_file_id_ *id);
/* The same at a TCP port, family 4 or 6; *port 0: any, which is stored there. */
int go_os_serve_tcp_(int family, const uint8_t *ip, uint16_t *port, intptr_t *ret);
/* The next connection; mine: only of this user or root. 0; -EAGAIN: none now; -EACCES: one of somebody else's, which is closed;
 * -EMFILE... */
int go_os_accept_(intptr_t fd, bool mine, intptr_t *ret);
/* How many bytes, -EAGAIN, or another code; 0 from _recv_: the stream has ended. No signal when the other side has gone. */
ptrdiff_t go_os_recv_(intptr_t fd, void *buf, size_t n);
ptrdiff_t go_os_send_(intptr_t fd, const void *buf, size_t n);
/* The other side sees the end of the stream. */
void go_os_end_send_(intptr_t fd);
/* Two ends of a connection, for waking who waits for the other. 0, -EMFILE, -ENOTSUP. */
int go_os_pair_(intptr_t ret[2]);

typedef struct go_os_poll_ {
  intptr_t fd;
  int events,
      ready; /* GO_FD_... of golib/block.h; an error or a hang-up is ready for all, also for events 0 */
} go_os_poll_;
/* Blocks until one of n is ready, for at most ns (negative: for ever). */
void go_os_poll_wait_(go_os_poll_ *fds, int n, int64_t ns);

/* A file without a name, to be read and written as those above. 0 or a code. */
int go_os_temp_file_(intptr_t *ret);
/* The number of this process, and the name of its program ("" if there is none), cut to n bytes. */
int64_t go_os_process_(char *name, size_t n);

/* ---- names ---- */

/* Asks the system for the addresses of a host, as it is set up (/etc/hosts, DNS...), and calls `each` for them, best first:
 * family 4 or 6, 4 or 16 bytes in network order, and the number of the interface of a link-local one or 0. Blocks,
 * for minutes at worst, and needs a large stack. 0; GO_ENOHOST, GO_EDNS, GO_ENOMEM, -errno. */
int go_os_resolve_(const char *host,
                   void (*each)(void *arg, int family, const uint8_t *ip, uint32_t zone),
                   void *arg);

/* ---- memory ---- */

/* size bytes aligned to `align`, a power of two, from the C library; NULL: no memory. */
void *go_os_alloc_(size_t align, size_t size);
void go_os_free_(void *p);
/* Bytes of a page, a power of two. */
size_t go_os_page_(void);
/* Reserves `size` bytes of readable, writable, zero address space, aligned to `align` (a power of
 * two, at least a page) that costs memory only where it is touched: no swap is reserved, no huge
 * pages are used. NULL when the system refuses. */
void *go_os_reserve_(size_t size, size_t align);
/* The same for stacks, of which each is made ready before it is used. */
void *go_os_reserve_stacks_(size_t size, size_t align);
/* Gives a whole reservation back. */
void go_os_release_(void *p, size_t size);
/* Sees to it that a stack can be run on whose lowest address is `low` (of a reservation for stacks), and which is used
 * from `start` downwards: `size` bytes below at once, by anybody, the rest as it grows, frame by frame. Returns down to
 * where that is so now; NULL: no memory. Where the first touch is enough it does nothing. */
void *go_os_stack_ready_(void *low, void *start, size_t size);
/* Whether go_os_stack_ready_ does nothing; else a stack needs some room below for the report of its overflow. */
extern const bool go_os_stacks_grow_by_touch_;
/* Drops the contents of [p, p+size), whole pages: they read as zero when touched next and
 * cost nothing until then. Guards in the range stay. */
void go_os_decommit_(void *p, size_t size);
/* The same for n ranges of one size, in one system call where there is one for it: several times cheaper a
 * range, as the other CPUs' address caches are flushed once, not n times. */
void go_os_decommit_all_(char *const *starts, uint32_t n, size_t size);
/* Makes accesses to [p, p+size), whole pages, fault. Contents are lost. Returns 0; -ENOMEM when the
 * system's limit of mappings is reached (message in *ret_why, static; ret_why may be NULL). Where guards are not
 * cheap they are counted, so that some mappings are left to the program: undo them before the memory is
 * released, or they count for ever. */
int go_os_guard_(void *p, size_t size, const char **ret_why);
/* Lays guards at n places where guards are cheap, and makes the page at each of pages[] present, as the first
 * touch would: each in one system call where there is one for it. Returns 0, or as go_os_guard_ (some may have
 * been laid then). That a page could not be made present is no error. */
int go_os_guard_all_(char *const *at, size_t size, char *const *pages, uint32_t n,
                     const char **ret_why);
/* Undoes go_os_guard_: the range reads as zero. 0 or a negative code. */
int go_os_unguard_(void *p, size_t size);
/* Whether guards are free of mappings (no limit on their number): Linux 6.13's MADV_GUARD_INSTALL. */
bool go_os_guard_is_cheap_(void);
/* How many may still be laid, without asking the system; SIZE_MAX where it sets no limit. Otherwise
 * *ret_why (static) is what limits it. */
size_t go_os_guards_left_(const char **ret_why);

/* Calls f(arg, lo, hi) for what this process may write and nobody else shares: data, heaps, stacks, as far as it is
 * not empty. f returns false to end it. Async-signal-safe. 0; -ENOSYS when the system does not tell. */
int go_os_each_writable_(bool (*f)(void *arg, uintptr_t lo, uintptr_t hi), void *arg);
/* Copies n bytes at `from`, which others may unmap meanwhile, and which may be guarded. False: not all can be read.
 * Async-signal-safe. */
bool go_os_peek_(void *to, const void *from, size_t n);

/* ---- faults ---- */

/* Asks for `fn(addr, pc_context)` on an alternate stack when a thread touches memory that it must not.
 * fn returns true when the access can be tried again, false when the fault is none of ours: then it
 * goes to the handler that was there before, or to the default. Installed once a process. fn runs
 * in signal context: async-signal-safe calls only. 0 or a negative code. */
int go_os_on_fault_(bool (*fn)(void *addr, void *context));
/* Where the code that the handler's `context` interrupted was: its PC, stack pointer and frame pointer. The stack
 * pointer tells whose stack overflowed when a frame jumped past the guard; the frame pointer is only for
 * go_arch_backtrace_fp_. Async-signal-safe. */
void go_os_fault_regs_(const void *context, void **ret_pc, void **ret_sp, void **ret_fp);
/* Undoes go_os_on_fault_ if nobody has replaced our handler since. */
void go_os_off_fault_(void);
/* Gives the calling thread an alternate stack for faults (*ret, to hand to the twin), unless it
 * has one already. 0 or -ENOMEM. */
int go_os_fault_stack_(void **ret);
void go_os_fault_stack_free_(void *stack);

/* Calls fn(context) when signal sig comes, then the handler that was there before, if it was one. On the alternate
 * stack where there is one; interrupted system calls are restarted. One signal at a time: a second call
 * replaces the first. 0 or -EINVAL: no signal that can be caught. */
int go_os_on_signal_(int sig, void (*fn)(void *context));
/* Undoes it if nobody has replaced our handler since. */
void go_os_off_signal_(void);
/* SIGQUIT; 0 where there is nothing like it. */
extern const int go_os_dump_signal_;

/* errno of the calling thread, read afresh. */
int go_os_errno_(void);
/* The text of a value of errno, as strerror's. */
const char *go_os_error_text_(int err);

/* ---- the end ---- */

/* Writes all of it to file descriptor fd as far as the system takes it. Async-signal-safe. Any lock. */
void go_os_write_(int fd, const char *text, size_t size);
/* Ends the process at once by an abort signal, so that a core dump can be had. Async-signal-safe. */
_Noreturn void go_os_abort_(void);
/* Writes "symbol+offset" lines for return addresses to fd, with two leading spaces each. Best
 * effort; async-signal-safe (no malloc). */
void go_os_symbols_(int fd, void *const *pcs, int n);

extern const char go_os_name_[];

#endif /* GOLIB_CORE_OS_H_ */
