/* os/darwin/symbols.c: names for code addresses, in a process that is going down.
 *
 * dladdr and backtrace_symbols take dyld's lock, which the very thread that crashed, or one it waits for, may hold;
 * and they know no local symbols. So what dyld keeps for debuggers is read here: a list of images, each of them
 * a Mach-O file in memory, with its symbol table. No locks, no malloc.
 */
#include <mach-o/loader.h>
#include <mach-o/nlist.h>
#include <mach/mach.h>
#include <stdint.h>
#include <string.h>

#include "darwin.h"

/* The beginning of dyld's list, which is an interface for debuggers and does not change: <mach-o/dyld_images.h>. */
typedef struct image {
  const struct mach_header_64 *header;
  const char *path;
  uintptr_t changed;
} image;
typedef struct all_images {
  uint32_t version, count;
  const image *images; /* NULL while dyld changes it */
} all_images;

/* ---- a line of output ---- */

typedef struct out {
  size_t n;
  char text[256];
} out;

static void put(out *o, const char *s) {
  /* One byte is kept for the newline. */
  while (*s != 0 && o->n < sizeof o->text - 1) o->text[o->n++] = *s++;
}

static void put_hex(out *o, uintptr_t x) {
  char digits[2 + 16 + 1], *p = digits + sizeof digits;
  *--p = 0;
  do {
    *--p = "0123456789abcdef"[x % 16];
    x /= 16;
  } while (x != 0);
  *--p = 'x';
  *--p = '0';
  put(o, p);
}

/* ---- one image ---- */

/* What its load commands tell. Addresses in the file differ from those in memory by `slide`. */
typedef struct tables {
  uintptr_t slide;
  const struct nlist_64 *symbols;
  uint32_t count;
  const char *strings;
} tables;

typedef void command_fn(const struct load_command *lc, void *arg);

static void each_command(const struct mach_header_64 *h, command_fn *fn, void *arg) {
  const char *p = (const char *)(h + 1), *end = p + h->sizeofcmds;
  for (uint32_t i = 0; i < h->ncmds && p < end; i++) {
    const struct load_command *lc = (const struct load_command *)(const void *)p;
    fn(lc, arg);
    p += lc->cmdsize;
  }
}

typedef struct commands {
  const struct segment_command_64 *text, *linkedit;
  const struct symtab_command *symtab;
  uint64_t end; /* of the code: as the file counts */
} commands;

static void note_command(const struct load_command *lc, void *arg) {
  commands *c = arg;
  if (lc->cmd == LC_SYMTAB) {
    c->symtab = (const struct symtab_command *)(const void *)lc;
  } else if (lc->cmd == LC_SEGMENT_64) {
    const struct segment_command_64 *s = (const struct segment_command_64 *)(const void *)lc;
    if (strcmp(s->segname, SEG_TEXT) == 0) c->text = s;
    if (strcmp(s->segname, SEG_LINKEDIT) == 0) c->linkedit = s;
  }
}

static bool holds(const struct mach_header_64 *h, uintptr_t pc, commands *c) {
  *c = (commands){NULL, NULL, NULL, 0};
  if (h == NULL || h->magic != MH_MAGIC_64 || pc < (uintptr_t)h) return false;
  each_command(h, note_command, c);
  return c->text != NULL && pc - (uintptr_t)h < c->text->vmsize;
}

static bool read_tables(const struct mach_header_64 *h, const commands *c, tables *ret) {
  if (c->symtab == NULL || c->linkedit == NULL) return false;
  ret->slide = (uintptr_t)h - (uintptr_t)c->text->vmaddr;
  const char *file =
      (const char *)(ret->slide + (uintptr_t)c->linkedit->vmaddr - c->linkedit->fileoff);
  ret->symbols = (const struct nlist_64 *)(const void *)(file + c->symtab->symoff);
  ret->count = c->symtab->nsyms;
  ret->strings = file + c->symtab->stroff;
  return true;
}

/* The last one in a section that does not come after pc: symbols have no size. */
static const struct nlist_64 *find_function(const tables *t, uint64_t pc) {
  const struct nlist_64 *best = NULL;
  for (uint32_t i = 0; i < t->count; i++) {
    const struct nlist_64 *s = &t->symbols[i];
    if (!(s->n_type & N_STAB) && (s->n_type & N_TYPE) == N_SECT && s->n_value <= pc &&
        (best == NULL || s->n_value > best->n_value))
      best = s;
  }
  return best;
}

/* ---- all of them ---- */

static const all_images *images_of_dyld(void) {
  struct task_dyld_info info;
  mach_msg_type_number_t count = TASK_DYLD_INFO_COUNT;
  if (task_info(mach_task_self(), TASK_DYLD_INFO, (task_info_t)&info, &count) != KERN_SUCCESS)
    return NULL;
  return (const all_images *)info.all_image_info_addr;
}

static const image *find_image(const all_images *all, uintptr_t pc, commands *c) {
  const image *v = all != NULL ? all->images : NULL;
  for (uint32_t i = 0; v != NULL && i < all->count; i++)
    if (holds(v[i].header, pc, c)) return &v[i];
  return NULL;
}

/* "name+0x1c (file+0x3f40)". Return addresses lie behind the call, so perhaps behind the function, too: the byte
 * before is looked up. */
static void put_line(out *o, const all_images *all, uintptr_t pc) {
  commands c;
  tables t;
  const image *im = find_image(all, pc - 1, &c);
  const struct nlist_64 *s = NULL;
  if (im != NULL && read_tables(im->header, &c, &t)) s = find_function(&t, pc - 1 - t.slide);
  if (s != NULL) {
    const char *name = t.strings + s->n_un.n_strx;
    put(o, name[0] == '_' ? name + 1 : name); /* C's names have one in front */
    put(o, "+");
    put_hex(o, pc - t.slide - s->n_value);
  } else {
    put_hex(o, pc);
  }
  if (im != NULL) {
    const char *base = im->path != NULL ? strrchr(im->path, '/') : NULL;
    put(o, " (");
    put(o, base != NULL ? base + 1 : "?");
    put(o, "+");
    put_hex(o, pc - (uintptr_t)im->header);
    put(o, ")");
  }
}

void go_os_symbols_(int fd, void *const *pcs, int n) {
  GO_KEEP_ERRNO_BEGIN();
  const all_images *all = images_of_dyld();
  for (int i = 0; i < n; i++) {
    out o = {.n = 0};
    put(&o, "  ");
    put_line(&o, all, (uintptr_t)pcs[i]);
    o.text[o.n++] = '\n';
    go_os_write_(fd, o.text, o.n);
  }
  GO_KEEP_ERRNO_END();
}
