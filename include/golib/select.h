/* golib/select.h: waiting for the first of several channel operations.
 *
 *   int a, b = 4;
 *   switch (GO_SELECT(NULL, intchan_recv_case(in, &a), intchan_send_case(out, &b))) {
 *     case 0: ...  // received a
 *     case 1: ...  // sent b
 *   }
 */
#ifndef GOLIB_SELECT_H_
#define GOLIB_SELECT_H_

#include <golib/chan.h>

GO_EXTERN_C_BEGIN_

/* Waits until one of the n cases can go, does exactly that one and returns its index; among several that
 * are ready, each with the same chance. Sets cases[i].ok of a receive. The same channel may stand in
 * several cases, for both directions; a select never matches itself. With no case, or only NULL
 * channels, it waits until ctx is done. n is 0 to 65,535.
 * Returns the index, GO_ECANCELED or GO_ETIMEDOUT; a ctx that is done already wins over ready cases.
 * Panics when the case that goes is a send on a closed channel. Suspends. Go: select. */
GO_API int go_select(go_ctx *ctx, go_case *cases, int n);

/* The same without waiting: GO_EAGAIN when there was a moment at which no case was ready. Never suspends.
 * Go: select with default. */
GO_API int go_select_try(go_case *cases, int n);

GO_EXTERN_C_END_

/* GO_SELECT(ctx, case...): go_select over the cases written inline. Use a named array with go_select
 * to read .ok afterwards. */
#if !defined(__cplusplus)
#define GO_SELECT(ctx, ...)                  \
  go_select((ctx), (go_case[]){__VA_ARGS__}, \
            (int)(sizeof((go_case[]){__VA_ARGS__}) / sizeof(go_case)))
#define GO_SELECT_TRY(...) \
  go_select_try((go_case[]){__VA_ARGS__}, (int)(sizeof((go_case[]){__VA_ARGS__}) / sizeof(go_case)))
#else
#include <initializer_list>
/* The temporaries live until the end of the full expression, which the calls are part of. */
static inline int go_select_list_(go_ctx *ctx, std::initializer_list<go_case> l) {
  return go_select(ctx, const_cast<go_case *>(l.begin()), static_cast<int>(l.size()));
}
static inline int go_select_try_list_(std::initializer_list<go_case> l) {
  return go_select_try(const_cast<go_case *>(l.begin()), static_cast<int>(l.size()));
}
#define GO_SELECT(ctx, ...) go_select_list_((ctx), {__VA_ARGS__})
#define GO_SELECT_TRY(...) go_select_try_list_({__VA_ARGS__})
#endif

#endif /* GOLIB_SELECT_H_ */
