/* core/local.c: values of a goroutine's own.
 *
 * A key is an index and a generation, which is odd while the key exists. Each goroutine that has set a
 * value has an array of slots, grown on demand, which remember for which generation they were
 * set: so a key that takes a deleted one's place finds nothing, and deleting touches no goroutine.
 *
 * `lock` protects the free indices, and who makes and deletes keys. Readers take no lock: they read generation,
 * destructor, generation.
 */
#include <golib/local.h>

#include <stdlib.h>
#include <string.h>

#include "core/sched.h"

typedef struct go_local_slot_ {
  void *value;
  uint32_t gen; /* of the key that it was set for; 0: never */
} slot;

#define SLOTS_MIN 8u   /* at first, */
#define SLOTS_KEEP 32u /* and how many a G keeps when its goroutine has ended */

static go_a32 lock;
static struct {
  go_a32 gen;      /* stored under lock */
  go_aptr destroy; /* stored under lock, while gen is even */
} keys[GO_LOCAL_KEYS];
static uint16_t unused[GO_LOCAL_KEYS]; /* indices of deleted keys */
static uint32_t nunused, nmade;

static inline uint32_t index_of(go_local k) { return (uint32_t)k.key_; }
static inline uint32_t gen_of(go_local k) { return (uint32_t)(k.key_ >> 32); }

static inline bool exists(uint32_t i, uint32_t gen) {
  return i < GO_LOCAL_KEYS && (gen & 1) && go_ld_acq(&keys[i].gen) == gen;
}

/* ---- keys ---- */

int go_local_new(go_local *ret, void (*destroy)(void *)) {
  go_lock_(&lock);
  if (nunused == 0 && nmade == GO_LOCAL_KEYS) {
    go_unlock_(&lock);
    return GO_EAGAIN;
  }
  uint32_t i = nunused > 0 ? unused[--nunused] : nmade++;
  uint32_t gen = go_ld_rlx(&keys[i].gen) + 1;
  go_st_rel(&keys[i].destroy, (void *)(uintptr_t)destroy); /* pairs with destructor_of */
  go_st_rel(&keys[i].gen, gen);
  go_unlock_(&lock);
  ret->key_ = (uint64_t)gen << 32 | i;
  return 0;
}

int go_local_delete(go_local key) {
  uint32_t i = index_of(key), gen = gen_of(key);
  go_lock_(&lock);
  bool ok = exists(i, gen);
  if (ok) {
    go_st_rel(&keys[i].gen, gen + 1);
    unused[nunused++] = (uint16_t)i;
  }
  go_unlock_(&lock);
  return ok ? 0 : GO_EINVAL;
}

/* NULL: none, or the key is gone. */
static void (*destructor_of(uint32_t i, uint32_t gen))(void *) {
  if (!exists(i, gen)) {
    return NULL;
  }
  void *fn = go_ld_acq(&keys[i].destroy); /* a later key's comes with a later generation */
  return exists(i, gen) ? (void (*)(void *))(uintptr_t)fn : NULL;
}

/* ---- values ---- */

/* Whom the caller speaks of: itself, or the goroutine that a hook is about. NULL: nobody. */
static inline go_g_ *me(const go_m_ *m) {
  return GO_UNLIKELY_(m->hook_g != NULL) ? m->hook_g : m->cur;
}

static int make_room(go_extra_ *x, uint32_t i) {
  uint32_t n = x->nlocals > 0 ? x->nlocals : SLOTS_MIN;
  while (n <= i) {
    n *= 2;
  }
  slot *s = realloc(x->locals, n * sizeof *s);
  if (s == NULL) {
    return GO_ENOMEM;
  }
  memset(s + x->nlocals, 0, (n - x->nlocals) * sizeof *s);
  x->locals = s;
  x->nlocals = n;
  return 0;
}

int go_local_set(go_local key, void *value) {
  uint32_t i = index_of(key), gen = gen_of(key);
  go_g_ *g = me(go_enter_());
  if (g == NULL || go_get_state_(g) == GO_G_DEAD_) {
    return GO_ENOTGO;
  }
  if (!exists(i, gen)) {
    return GO_EINVAL;
  }
  go_extra_ *x = go_extra_of_(g);
  if (x == NULL || i >= x->nlocals) {
    if (value == NULL) {
      return 0;
    }
    x = go_extra_make_(g);
    if (x == NULL || make_room(x, i) != 0) {
      return GO_ENOMEM;
    }
  }
  x->locals[i] = (slot){value, gen};
  return 0;
}

void *go_local_get(go_local key) {
  uint32_t i = index_of(key), gen = gen_of(key);
  const go_m_ *m = go_m_get_();
  const go_g_ *g = m != NULL ? me(m) : NULL;
  const go_extra_ *x = g != NULL ? go_extra_of_(g) : NULL;
  if (x == NULL || i >= x->nlocals || x->locals[i].gen != gen || !exists(i, gen)) {
    return NULL;
  }
  return x->locals[i].value;
}

/* ---- the end ---- */

/* Takes the next value that has a destructor out. */
static bool take(go_extra_ *x, void (**ret_fn)(void *), void **ret_value) {
  while (x->at < x->nlocals) {
    uint32_t i = x->at++;
    slot *s = &x->locals[i];
    void (*fn)(void *) = s->value != NULL ? destructor_of(i, s->gen) : NULL;
    if (fn != NULL) {
      *ret_fn = fn;
      *ret_value = s->value;
      s->value = NULL;
      return true;
    }
  }
  return false;
}

/* Drops what is left; the next goroutine of this G begins with nothing. */
static void drop(go_extra_ *x) {
  if (x->nlocals > SLOTS_KEEP) {
    free(x->locals);
    x->locals = NULL;
    x->nlocals = 0;
  } else if (x->nlocals > 0) {
    memset(x->locals, 0, x->nlocals * sizeof *x->locals);
  }
  x->at = x->rounds = 0;
  x->found = false;
}

/* A destructor that panics, or calls go_exit, comes here again by go_end_, and the rest follows: so where we
 * are is kept in the extra part. */
go_m_ *go_local_end_(go_g_ *g) {
  go_extra_ *x = go_extra_of_(g);
  void (*fn)(void *);
  void *value;
  while (x->rounds < GO_LOCAL_ROUNDS) {
    if (take(x, &fn, &value)) {
      x->found = true;
      fn(value);
      continue;
    }
    if (!x->found) {
      break;
    }
    x->found = false;
    x->at = 0;
    x->rounds++;
  }
  drop(x);
  return go_m_get_();
}

go_extra_ *go_extra_make_(go_g_ *g) {
  if (g->name == NULL) {
    go_extra_ *x = calloc(1, sizeof *x);
    g->name = x != NULL ? x->name : NULL;
  }
  return go_extra_of_(g);
}

void go_extra_free_(go_g_ *g) {
  go_extra_ *x = go_extra_of_(g);
  if (x != NULL) {
    free(x->locals);
    free(x);
    g->name = NULL;
  }
}
