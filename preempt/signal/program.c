/* preempt/signal/program.c: which code is the program's own.
 *
 * That is what lies in the executable, less golib's own functions if they are linked into it (core/text.h). Where libc is
 * linked into it as well, it cannot be told apart, and nothing may be stopped; that is so without a dynamic linker
 * (PT_INTERP). The same holds for clang's sanitizers, which are linked statically.
 */
#include "program.h"

#include <elf.h>
#include <link.h>
#include <stdlib.h>

#include <golib/base.h>

#include "core/preempt.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define GO_STATIC_SANITIZER_ 1
#endif
#endif
#if defined(GO_STATIC_SANITIZER_)
enum { STATIC_SANITIZER = 1 };
#else
enum { STATIC_SANITIZER = 0 };
#endif

typedef struct range {
  uintptr_t lo, hi;
} range;

enum { SEGMENTS = 8, RANGES = 512 };

/* Written before the handler is installed. */
static range segments[SEGMENTS], ours[RANGES]; /* ours: sorted, apart from each other */
static int nsegments, nours;

/* Distances from the words themselves, in pairs. */
extern const int32_t __start_golib_text_ranges[] __attribute__((weak, visibility("hidden")));
extern const int32_t __stop_golib_text_ranges[] __attribute__((weak, visibility("hidden")));

RAW static bool within(uintptr_t pc, range r) { return pc >= r.lo && pc < r.hi; }

RAW bool go_program_owns_(uintptr_t pc) {
  bool in = false;
  for (int i = 0; i < nsegments; i++) {
    in = in || within(pc, segments[i]);
  }
  if (!in) {
    return false;
  }
  int lo = 0, hi = nours; /* the first range that ends after pc is in [lo, hi] */
  while (lo < hi) {
    int mid = (lo + hi) / 2;
    if (ours[mid].hi <= pc) {
      lo = mid + 1;
    } else {
      hi = mid;
    }
  }
  return lo == nours || pc < ours[lo].lo;
}

static uintptr_t place(const int32_t *word) { return (uintptr_t)word + (uintptr_t)(intptr_t)*word; }

static int by_start(const void *a, const void *b) {
  uintptr_t x = ((const range *)a)->lo, y = ((const range *)b)->lo;
  return (x > y) - (x < y);
}

/* Sorts them, and makes one of those that touch. */
static int find_ours(void) {
  int n = 0;
  for (const int32_t *w = __start_golib_text_ranges; w != __stop_golib_text_ranges; w += 2) {
    range r = {place(w), place(w + 1)};
    if (r.lo < r.hi) {
      if (n == RANGES) {
        return GO_ENOSYS;
      }
      ours[n++] = r;
    }
  }
  qsort(ours, (size_t)n, sizeof ours[0], by_start);
  nours = 0;
  for (int i = 0; i < n; i++) {
    if (nours > 0 && ours[i].lo <= ours[nours - 1].hi) {
      ours[nours - 1].hi = ours[i].hi > ours[nours - 1].hi ? ours[i].hi : ours[nours - 1].hi;
    } else {
      ours[nours++] = ours[i];
    }
  }
  return nours > 0 ? 0 : GO_ENOSYS;
}

/* The first object is the executable. */
static int find_segments(struct dl_phdr_info *o, size_t size, void *arg) {
  bool *is_static = arg;
  (void)size;
  nsegments = 0;
  for (int i = 0; i < o->dlpi_phnum; i++) {
    const ElfW(Phdr) *h = &o->dlpi_phdr[i];
    if (h->p_type == PT_INTERP) {
      *is_static = false;
    } else if (h->p_type == PT_LOAD && (h->p_flags & PF_X) && nsegments < SEGMENTS) {
      uintptr_t lo = o->dlpi_addr + h->p_vaddr;
      segments[nsegments++] = (range){lo, lo + h->p_memsz};
    }
  }
  return 1;
}

/* Without our own functions in it the section has been lost, or golib was built without it. */
static bool is_known(int (*fn)(void)) {
  uintptr_t pc = (uintptr_t)fn;
  for (int i = 0; i < nours; i++) {
    if (within(pc, ours[i])) {
      return true;
    }
  }
  return false;
}

int go_program_find_(void) {
  bool is_static = true;
  (void)dl_iterate_phdr(find_segments, &is_static);
  if (is_static || STATIC_SANITIZER || nsegments == 0 || find_ours() != 0) {
    return GO_ENOSYS;
  }
  return is_known(go_program_find_) ? 0 : GO_ENOSYS;
}
