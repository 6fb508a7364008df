/* core/sanitize.h: what the sanitizers must be told about stacks and switches.
 *
 * Every hook is empty in an ordinary build. GO_TAKEOVER_ says whether a goroutine may start on the stack
 * that another has just ended on without a switch: the sanitizers keep state per stack (ASan's
 * poisoned frames, TSan's call stack) that only a switch resets.
 */
#ifndef GOLIB_CORE_SANITIZE_H_
#define GOLIB_CORE_SANITIZE_H_

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GO_TSAN_ 1
#endif
#if __has_feature(address_sanitizer)
#define GO_ASAN_ 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define GO_TSAN_ 1
#endif
#if defined(__SANITIZE_ADDRESS__)
#define GO_ASAN_ 1
#endif

#if defined(GO_TSAN_)
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
#define GO_NO_TSAN_ __attribute__((no_sanitize("thread"), noinline))
#else
#define GO_NO_TSAN_
#endif

#if defined(GO_ASAN_)
void __sanitizer_start_switch_fiber(void **fake_stack, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake_stack, const void **old_bottom, size_t *old_size);
void __asan_unpoison_memory_region(void const volatile *p, size_t size);
void __lsan_register_root_region(const void *p, size_t size);
void __lsan_unregister_root_region(const void *p, size_t size);
#endif

#if defined(GO_TSAN_) || defined(GO_ASAN_)
#define GO_TAKEOVER_ 0
#define GO_SANITIZED_ 1
#else
#define GO_TAKEOVER_ 1
#define GO_SANITIZED_ 0
#endif

#endif /* GOLIB_CORE_SANITIZE_H_ */
