/* core/atomic.h: the only atomics in golib.
 *
 * Everything that is written lock-free uses these types and operations, so that the model checker can
 * take their place: with GO_RELACY defined the same sources compile as C++ against Relacy, where
 * each operation is a point at which the simulated threads may be interleaved.
 *
 * The memory order is in the operation's name: rlx, acq, rel, ar (acquire and release), sc.
 * A load or store without partner comment is a bug in the comment.
 *
 *   go_a32 go_a64 go_aptr   atomic words;  go_ld_ go_st_ go_xchg_ go_add_ go_sub_ go_or_ go_and_ go_cas_
 *   GO_VAR(T)               plain data that an atomic protects; go_get(x), go_set(x, v)
 *
 * go_add_ and its kin return the old value. go_cas_(p, &old, new) is strong; on failure it loads
 * what is there into old: acquired if success would have acquired, so that loops may rely on it.
 */
#ifndef GOLIB_CORE_ATOMIC_H_
#define GOLIB_CORE_ATOMIC_H_

#include <stdbool.h>
#include <stdint.h>

#if defined(GO_RELACY)

#include <relacy/relacy.hpp>

typedef rl::atomic<uint32_t> go_a32;
typedef rl::atomic<uint64_t> go_a64;
typedef rl::atomic<void *> go_aptr;
#define GO_VAR(T) rl::var<T>
#define go_get(x) ((x)($))
#define go_set(x, val) ((x)($) = (val))

/* Relacy orders sc stores with sc loads and fences with fences, but not a store or exchange with a later
 * fence, which C11 does: a load after the fence sees the store. Here the store tells the fences of
 * the simulation about itself. (And about what came before it, as on every CPU that golib knows.) */
template <typename T>
static inline T go_relacy_sc_(T v) {
  rl::context &c = rl::ctx();
  for (int i = 0; i < c.get_thread_count(); i++) {
    rl::timestamp_t seen = c.threadx_->acq_rel_order_[i];
    if (c.seq_cst_fence_order_[i] < seen) {
      c.seq_cst_fence_order_[i] = seen;
    }
  }
  return v;
}

#define go_ld_rlx(p) (p)->load(rl::mo_relaxed, $)
#define go_ld_acq(p) (p)->load(rl::mo_acquire, $)
#define go_ld_sc(p) (p)->load(rl::mo_seq_cst, $)
#define go_st_rlx(p, x) (p)->store((x), rl::mo_relaxed, $)
#define go_st_rel(p, x) (p)->store((x), rl::mo_release, $)
#define go_st_sc(p, x) ((p)->store((x), rl::mo_seq_cst, $), go_relacy_sc_(0))
#define go_xchg_acq(p, x) (p)->exchange((x), rl::mo_acquire, $)
#define go_xchg_ar(p, x) (p)->exchange((x), rl::mo_acq_rel, $)
#define go_xchg_sc(p, x) go_relacy_sc_((p)->exchange((x), rl::mo_seq_cst, $))
#define go_add_rlx(p, x) (p)->fetch_add((x), rl::mo_relaxed, $)
#define go_add_ar(p, x) (p)->fetch_add((x), rl::mo_acq_rel, $)
#define go_add_sc(p, x) go_relacy_sc_((p)->fetch_add((x), rl::mo_seq_cst, $))
#define go_sub_ar(p, x) (p)->fetch_sub((x), rl::mo_acq_rel, $)
#define go_sub_sc(p, x) go_relacy_sc_((p)->fetch_sub((x), rl::mo_seq_cst, $))
#define go_or_ar(p, x) (p)->fetch_or((x), rl::mo_acq_rel, $)
#define go_and_ar(p, x) (p)->fetch_and((x), rl::mo_acq_rel, $)
#define GO_CAS_(p, old, x, mo, failed) \
  (p)->compare_exchange_strong(*(old), (x), rl::mo, $, rl::failed, $)
#define go_cas_rlx(p, old, x) GO_CAS_(p, old, x, mo_relaxed, mo_relaxed)
#define go_cas_acq(p, old, x) GO_CAS_(p, old, x, mo_acquire, mo_acquire)
#define go_cas_rel(p, old, x) GO_CAS_(p, old, x, mo_release, mo_relaxed)
#define go_cas_ar(p, old, x) GO_CAS_(p, old, x, mo_acq_rel, mo_acquire)
#define go_cas_sc(p, old, x) go_relacy_sc_(GO_CAS_(p, old, x, mo_seq_cst, mo_acquire))
#define go_fence_sc() rl::atomic_thread_fence(rl::mo_seq_cst, $)
#if !defined(GO_NO_LIGHT_FENCE_) /* which a model may plant */
#define GO_NO_LIGHT_FENCE_ 0
#endif
#define go_fence_light_() (GO_NO_LIGHT_FENCE_ ? (void)0 : go_fence_sc())

#else

/* Structs, so that a plain access to an atomic word does not compile by accident. */
typedef struct go_a32 {
  uint32_t v;
} go_a32;
typedef struct go_a64 {
  uint64_t v;
} go_a64;
typedef struct go_aptr {
  void *v;
} go_aptr;
#define GO_VAR(T) T
#define go_get(x) (x)
#define go_set(x, val) ((x) = (val))

#define go_ld_rlx(p) __atomic_load_n(&(p)->v, __ATOMIC_RELAXED)
#define go_ld_acq(p) __atomic_load_n(&(p)->v, __ATOMIC_ACQUIRE)
#define go_ld_sc(p) __atomic_load_n(&(p)->v, __ATOMIC_SEQ_CST)
#define go_st_rlx(p, x) __atomic_store_n(&(p)->v, (x), __ATOMIC_RELAXED)
#define go_st_rel(p, x) __atomic_store_n(&(p)->v, (x), __ATOMIC_RELEASE)
#define go_st_sc(p, x) __atomic_store_n(&(p)->v, (x), __ATOMIC_SEQ_CST)
#define go_xchg_acq(p, x) __atomic_exchange_n(&(p)->v, (x), __ATOMIC_ACQUIRE)
#define go_xchg_ar(p, x) __atomic_exchange_n(&(p)->v, (x), __ATOMIC_ACQ_REL)
#define go_xchg_sc(p, x) __atomic_exchange_n(&(p)->v, (x), __ATOMIC_SEQ_CST)
#define go_add_rlx(p, x) __atomic_fetch_add(&(p)->v, (x), __ATOMIC_RELAXED)
#define go_add_ar(p, x) __atomic_fetch_add(&(p)->v, (x), __ATOMIC_ACQ_REL)
#define go_add_sc(p, x) __atomic_fetch_add(&(p)->v, (x), __ATOMIC_SEQ_CST)
#define go_sub_ar(p, x) __atomic_fetch_sub(&(p)->v, (x), __ATOMIC_ACQ_REL)
#define go_sub_sc(p, x) __atomic_fetch_sub(&(p)->v, (x), __ATOMIC_SEQ_CST)
#define go_or_ar(p, x) __atomic_fetch_or(&(p)->v, (x), __ATOMIC_ACQ_REL)
#define go_and_ar(p, x) __atomic_fetch_and(&(p)->v, (x), __ATOMIC_ACQ_REL)
#define GO_CAS_(p, old, x, mo, failed) \
  __atomic_compare_exchange_n(&(p)->v, (old), (x), false, (mo), (failed))
#define go_cas_rlx(p, old, x) GO_CAS_(p, old, x, __ATOMIC_RELAXED, __ATOMIC_RELAXED)
#define go_cas_acq(p, old, x) GO_CAS_(p, old, x, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)
#define go_cas_rel(p, old, x) GO_CAS_(p, old, x, __ATOMIC_RELEASE, __ATOMIC_RELAXED)
#define go_cas_ar(p, old, x) GO_CAS_(p, old, x, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#define go_cas_sc(p, old, x) GO_CAS_(p, old, x, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)
/* StoreLoad between two atomic accesses. Orders atomics only: no plain data is published by it alone, so
 * ThreadSanitizer, which does not see fences, loses nothing (and gcc's warning about it is moot). */
#if defined(__SANITIZE_THREAD__) && defined(__GNUC__) && !defined(__clang__)
#define go_fence_sc()                             \
  do {                                            \
    _Pragma("GCC diagnostic push");               \
    _Pragma("GCC diagnostic ignored \"-Wtsan\""); \
    __atomic_thread_fence(__ATOMIC_SEQ_CST);      \
    _Pragma("GCC diagnostic pop");                \
  } while (0)
#else
#define go_fence_sc() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif
/* A fence that costs nothing here: the thread that needs it runs go_os_fence_all_. In the model, which knows no such thing,
 * both have a fence. */
#define go_fence_light_() __atomic_signal_fence(__ATOMIC_SEQ_CST)

#endif

#endif /* GOLIB_CORE_ATOMIC_H_ */
