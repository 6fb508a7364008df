/* golib/chan.h: channels.
 *
 * A channel carries elements of one size. With capacity 0 a send completes when a receiver has taken
 * the element; else when it is in the buffer. Waiters are served first come, first served, and an
 * element given to a waiting receiver cannot be taken by another. Closing says that nothing more will
 * be sent: what is buffered can still be received.
 *
 * A channel is shared and counted: whoever keeps a pointer to it beyond the life of another holder's takes
 * a reference. Closing and unreferencing are two things: neither implies the other.
 *
 * A NULL channel blocks for ever on send and receive and is never ready in a select.
 *
 * Memory model: a send happens before the receive of its element completes; the k-th receive on a
 * channel of capacity c happens before the (k+c)-th send completes; closing happens before a
 * receive that returns because of it. Go: chan, and the Go memory model.
 *
 * All functions work from goroutines and from plain threads.
 */
#ifndef GOLIB_CHAN_H_
#define GOLIB_CHAN_H_

#include <golib/base.h>
#include <golib/macros.h>

GO_EXTERN_C_BEGIN_

typedef struct go_chan go_chan;

/* Makes a channel with one reference. elem_size may be 0 (signals). Returns NULL when memory is short or
 * the size in bytes overflows or exceeds PTRDIFF_MAX. Go: make(chan T, cap). */
GO_API GO_NODISCARD go_chan *go_chan_new(size_t elem_size, size_t cap);
/* The same; destroy(element) is called for every buffered element that nobody received, when the
 * last reference goes, on the thread that drops it. An element received into NULL counts as received. */
GO_API GO_NODISCARD go_chan *go_chan_new_destroy(size_t elem_size, size_t cap,
                                                 void (*destroy)(void *));

/* Sends a copy of *v. Suspends while there is neither room nor a receiver. Panics when the channel is closed,
 * before or during the wait. Go: c <- v. */
GO_API void go_chan_send(go_chan *c, const void *v);
/* Receives into *v (NULL: discards it). Suspends while there is nothing. Returns true; false when
 * the channel is closed and drained, with *v zeroed. Go: v, ok := <-c. */
GO_API bool go_chan_recv(go_chan *c, void *v);

/* As above, but never panic and end with ctx. Return 0, GO_ECLOSED (recv: *v zeroed), GO_ECANCELED,
 * GO_ETIMEDOUT. A ctx that is done already wins over a channel that is ready. Suspend. */
GO_API GO_NODISCARD int go_chan_send_ctx(go_ctx *ctx, go_chan *c, const void *v);
GO_API GO_NODISCARD int go_chan_recv_ctx(go_ctx *ctx, go_chan *c, void *v);

/* Never suspend. Return 0, GO_EAGAIN (would wait), GO_ECLOSED (recv: *v zeroed). A channel that was
 * ready throughout the call is never reported as not ready. Go: select with default. */
GO_API GO_NODISCARD int go_chan_try_send(go_chan *c, const void *v);
GO_API GO_NODISCARD int go_chan_try_recv(go_chan *c, void *v);

/* Closes. Waiting receivers return false, waiting senders panic. Panics when c is NULL or closed already.
 * Never suspends. Go: close. */
GO_API void go_chan_close(go_chan *c);

/* Elements buffered now, and the capacity; 0 for NULL. Go: len, cap. */
GO_API size_t go_chan_len(const go_chan *c);
GO_API size_t go_chan_cap(const go_chan *c);

/* Take and drop a reference; NULL accepted. _ref returns its argument. Dropping the last one frees
 * the channel; when goroutines still wait on it they can never wake: they are reported as leaked
 * on stderr and the channel stays. */
GO_API go_chan *go_chan_ref(go_chan *c);
GO_API void go_chan_unref(go_chan *c);

/* One alternative of a select (golib/select.h). Public because the typed channels make them. */
typedef struct go_case {
  go_chan *ch; /* NULL: never ready */
  void *val;   /* GO_SEND: element to send; GO_RECV: where to put it, or NULL */
  int op;      /* GO_SEND or GO_RECV */
  bool ok;     /* set by select for the receive that went: false when the channel was closed */
} go_case;

enum go_case_op { GO_RECV = 0, GO_SEND = 1 };

GO_EXTERN_C_END_

/* GO_CHAN_TYPE(name, T): a channel type of its own for elements of type T, with the functions above
 * under name_..., elements passed by value on send. NULL is the nil channel. */
#define GO_CHAN_TYPE(name, T)                                                                   \
  typedef struct name##_s_ *name;                                                               \
  GO_UNUSED static inline go_chan *name##_chan(name c_) { return (go_chan *)c_; }               \
  GO_UNUSED static inline name name##_from(go_chan *c_) { return (name)c_; }                    \
  GO_UNUSED GO_NODISCARD static inline name name##_new(size_t cap_) {                           \
    return (name)go_chan_new(sizeof(T), cap_);                                                  \
  }                                                                                             \
  GO_UNUSED GO_NODISCARD static inline name name##_new_destroy(size_t cap_,                     \
                                                               void (*destroy_)(void *)) {      \
    return (name)go_chan_new_destroy(sizeof(T), cap_, destroy_);                                \
  }                                                                                             \
  GO_UNUSED static inline void name##_send(name c_, T v_) { go_chan_send((go_chan *)c_, &v_); } \
  GO_UNUSED static inline bool name##_recv(name c_, T *v_) {                                    \
    return go_chan_recv((go_chan *)c_, v_);                                                     \
  }                                                                                             \
  GO_UNUSED GO_NODISCARD static inline int name##_send_ctx(go_ctx *ctx_, name c_, T v_) {       \
    return go_chan_send_ctx(ctx_, (go_chan *)c_, &v_);                                          \
  }                                                                                             \
  GO_UNUSED GO_NODISCARD static inline int name##_recv_ctx(go_ctx *ctx_, name c_, T *v_) {      \
    return go_chan_recv_ctx(ctx_, (go_chan *)c_, v_);                                           \
  }                                                                                             \
  GO_UNUSED GO_NODISCARD static inline int name##_try_send(name c_, T v_) {                     \
    return go_chan_try_send((go_chan *)c_, &v_);                                                \
  }                                                                                             \
  GO_UNUSED GO_NODISCARD static inline int name##_try_recv(name c_, T *v_) {                    \
    return go_chan_try_recv((go_chan *)c_, v_);                                                 \
  }                                                                                             \
  GO_UNUSED static inline void name##_close(name c_) { go_chan_close((go_chan *)c_); }          \
  GO_UNUSED static inline size_t name##_len(name c_) { return go_chan_len((go_chan *)c_); }     \
  GO_UNUSED static inline size_t name##_cap(name c_) { return go_chan_cap((go_chan *)c_); }     \
  GO_UNUSED static inline name name##_ref(name c_) { return (name)go_chan_ref((go_chan *)c_); } \
  GO_UNUSED static inline void name##_unref(name c_) { go_chan_unref((go_chan *)c_); }          \
  GO_UNUSED static inline go_case name##_recv_case(name c_, T *v_) {                            \
    go_case k_;                                                                                 \
    k_.ch = (go_chan *)c_;                                                                      \
    k_.val = v_;                                                                                \
    k_.op = GO_RECV;                                                                            \
    k_.ok = false;                                                                              \
    return k_;                                                                                  \
  }                                                                                             \
  GO_UNUSED static inline go_case name##_send_case(name c_, T *v_) {                            \
    go_case k_;                                                                                 \
    k_.ch = (go_chan *)c_;                                                                      \
    k_.val = v_;                                                                                \
    k_.op = GO_SEND;                                                                            \
    k_.ok = false;                                                                              \
    return k_;                                                                                  \
  }                                                                                             \
  struct name##_s_

#endif /* GOLIB_CHAN_H_ */
