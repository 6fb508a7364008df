/* preempt/suspend/program.c: which code is the program's own, on Windows.
 *
 * A program has more in its executable here than on Linux: of the C runtime, half is there (mingw-w64's printf holds a
 * lock of the other half, which knows its owner by the thread), and often the C++ runtime and a library of threads as well. How linkers
 * lay it out tells them apart:
 *
 *     .text        the program's objects and libraries, in the order in which they were named; golib among them
 *                  libmingw32, which starts programs; libgcc, libmingwex, winpthreads: compilers name them at the end
 *     .text$...    functions with sections of their own: inline functions and templates of C++, the program's and the C++
 *                  runtime's mixed
 *     .text.*      what is seldom run
 *
 * The callbacks that libmingw32 has the system call for each thread are in the header of every such executable. So the program's
 * own is what lies between the section's beginning and the first of these, less golib's own functions
 * (core/text_coff.h) if they are linked into it. Whoever is behind that is not stopped, and has the P taken away. Where there are no
 * callbacks (another compiler's runtime), or somebody else's lie in the program's part, nothing can be told.
 * (Not by weak symbols: in a library they would be the library's own, and two objects that name one cannot be linked.)
 */
#define WIN32_LEAN_AND_MEAN
#include "program.h"

#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include <golib/base.h>

#include "core/preempt.h"

typedef struct range {
  uintptr_t lo, hi;
} range;

enum { RANGES = 512, RUNTIMES = 2 };

/* Written before anybody is asked. */
static range program, ours[RANGES]; /* ours: sorted, apart from each other */
static int nours;

/* Of the file that golib is linked into: a program, or a library. */
extern const IMAGE_DOS_HEADER __ImageBase;

/* Linkers sort what comes behind the $: these two go around what the objects say. */
#define AT(place) __attribute__((section(".rdata$golib_text_" place), used, aligned(8)))
static const uint32_t first[2] AT("a") = {0, 0};
static const uint32_t last[2] AT("z") = {0, 0};

static bool within(uintptr_t pc, range r) { return pc >= r.lo && pc < r.hi; }

bool go_program_owns_(uintptr_t pc) {
  if (!within(pc, program)) {
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

static int by_start(const void *a, const void *b) {
  uintptr_t x = ((const range *)a)->lo, y = ((const range *)b)->lo;
  return (x > y) - (x < y);
}

/* Pairs of distances from the file's beginning; between them, zeros that the linker may have left. Sorts them, and makes
 * one of those that touch. */
static int find_ours(void) {
  uintptr_t base = (uintptr_t)&__ImageBase;
  int n = 0;
  for (uintptr_t w = (uintptr_t)first; w < (uintptr_t)last; w += sizeof first) {
    uint32_t pair[2];
    memcpy(pair, (const void *)w, sizeof pair);
    if (pair[0] < pair[1]) {
      if (n == RANGES) {
        return GO_ENOSYS;
      }
      ours[n++] = (range){base + pair[0], base + pair[1]};
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

/* The section that has the code; program is all of it. */
static const IMAGE_NT_HEADERS *find_text(uintptr_t base) {
  const IMAGE_DOS_HEADER *dos = (const IMAGE_DOS_HEADER *)base;
  const IMAGE_NT_HEADERS *nt = (const IMAGE_NT_HEADERS *)(base + (uintptr_t)dos->e_lfanew);
  const IMAGE_SECTION_HEADER *s = IMAGE_FIRST_SECTION(nt);
  for (int i = 0; i < nt->FileHeader.NumberOfSections; i++) {
    if (memcmp(s[i].Name, ".text\0\0", sizeof s[i].Name) == 0) {
      program.lo = base + s[i].VirtualAddress;
      program.hi = program.lo + s[i].Misc.VirtualSize;
      return nt;
    }
  }
  return NULL;
}

/* program ends where the runtime begins. Its two callbacks come first in the list; winpthreads, which has one as well, is behind it,
 * unless a program names it itself. */
static int cut_runtime(const IMAGE_NT_HEADERS *nt, uintptr_t base) {
  const IMAGE_DATA_DIRECTORY *d = &nt->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_TLS];
  if (nt->OptionalHeader.NumberOfRvaAndSizes <= IMAGE_DIRECTORY_ENTRY_TLS || d->Size == 0) {
    return GO_ENOSYS;
  }
  const IMAGE_TLS_DIRECTORY *tls = (const IMAGE_TLS_DIRECTORY *)(base + d->VirtualAddress);
  const uintptr_t *callback = (const uintptr_t *)(uintptr_t)tls->AddressOfCallBacks;
  bool any = false;
  for (int i = 0; callback != NULL && callback[i] != 0; i++) {
    if (!within(callback[i], program)) {
      continue;
    }
    if (i >= RUNTIMES) {
      return GO_ENOSYS;
    }
    program.hi = callback[i];
    any = true;
  }
  return any ? 0 : GO_ENOSYS;
}

/* Without our own functions in it the list has been lost, or golib was built without it. */
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
  uintptr_t base = (uintptr_t)GetModuleHandleW(NULL);
  const IMAGE_NT_HEADERS *nt = base != 0 ? find_text(base) : NULL;
  if (nt == NULL || cut_runtime(nt, base) != 0 || find_ours() != 0) {
    return GO_ENOSYS;
  }
  return is_known(go_program_find_) ? 0 : GO_ENOSYS;
}
