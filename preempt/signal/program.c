/* preempt/signal/program.c: which code is the program's own.
 *
 * That is what lies in the executable, less golib's own functions if they are linked into it (core/text.h), and less the linkage
 * tables: whose call is on its way in there cannot be told, and golib's calls of libc go through them as well. Where libc is
 * linked into it as well, it cannot be told apart, and nothing may be stopped; that is so without a dynamic linker
 * (PT_INTERP). The same holds for clang's sanitizers, which are linked statically.
 */
#include "program.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

enum { SECTIONS = 16, HEADERS = 32, RANGES = 512 };

/* Written before the handler is installed. */
static range sections[SECTIONS], ours[RANGES]; /* ours: sorted, apart from each other */
static int nsections, nours;

/* Distances from the words themselves, in pairs. */
extern const int32_t __start_golib_text_ranges[] __attribute__((weak, visibility("hidden")));
extern const int32_t __stop_golib_text_ranges[] __attribute__((weak, visibility("hidden")));

RAW static bool within(uintptr_t pc, range r) { return pc >= r.lo && pc < r.hi; }

RAW bool go_program_owns_(uintptr_t pc) {
  bool in = false;
  for (int i = 0; i < nsections; i++) {
    in = in || within(pc, sections[i]);
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

static bool read_at(int fd, void *buf, size_t size, uint64_t at) {
  return pread(fd, buf, size, (off_t)at) == (ssize_t)size;
}

/* Whether the file is what was loaded: it is the loader's own when that was started by its name. */
static bool is_file_of(int fd, const ElfW(Ehdr) * eh, const struct dl_phdr_info *o) {
  ElfW(Phdr) ph[HEADERS];
  size_t n = eh->e_phnum;
  return memcmp(eh->e_ident, ELFMAG, SELFMAG) == 0 && n == o->dlpi_phnum && n <= HEADERS &&
         read_at(fd, ph, n * sizeof ph[0], eh->e_phoff) &&
         memcmp(ph, o->dlpi_phdr, n * sizeof ph[0]) == 0;
}

/* .plt, .plt.got, .plt.sec, .iplt: of calls into shared libraries. */
static bool is_linkage(int fd, const ElfW(Shdr) * names, const ElfW(Shdr) * sh) {
  char name[5] = "";
  return !read_at(fd, name, sizeof name, names->sh_offset + sh->sh_name) ||
         memcmp(name, ".plt", 4) == 0 || memcmp(name, ".iplt", 5) == 0;
}

static void find_code(int fd, const struct dl_phdr_info *o) {
  ElfW(Ehdr) eh;
  ElfW(Shdr) names, sh;
  if (!read_at(fd, &eh, sizeof eh, 0) || !is_file_of(fd, &eh, o) || eh.e_shoff == 0 ||
      !read_at(fd, &names, sizeof names, eh.e_shoff + (uint64_t)eh.e_shstrndx * sizeof names)) {
    return;
  }
  for (unsigned i = 0; i < eh.e_shnum && nsections < SECTIONS; i++) {
    if (read_at(fd, &sh, sizeof sh, eh.e_shoff + (uint64_t)i * sizeof sh) &&
        (sh.sh_flags & SHF_EXECINSTR) && (sh.sh_flags & SHF_ALLOC) &&
        !is_linkage(fd, &names, &sh)) {
      uintptr_t lo = o->dlpi_addr + sh.sh_addr;
      sections[nsections++] = (range){lo, lo + sh.sh_size};
    }
  }
}

/* The first object is the executable. */
static int find_sections(struct dl_phdr_info *o, size_t size, void *arg) {
  bool *is_static = arg;
  (void)size;
  for (int i = 0; i < o->dlpi_phnum; i++) {
    *is_static = *is_static && o->dlpi_phdr[i].p_type != PT_INTERP;
  }
  nsections = 0;
  int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    find_code(fd, o);
    close(fd);
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
  bool is_static = true; /* until an interpreter is found */
  (void)dl_iterate_phdr(find_sections, &is_static);
  if (is_static || STATIC_SANITIZER || nsections == 0 || find_ours() != 0) {
    return GO_ENOSYS;
  }
  return is_known(go_program_find_) ? 0 : GO_ENOSYS;
}
