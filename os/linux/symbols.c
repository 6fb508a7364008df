/* os/linux/symbols.c: names for code addresses, in a process that is going down.
 *
 * glibc's backtrace_symbols_fd and dladdr take the loader's lock, which the very thread that
 * crashed, or one it waits for, may hold; and they know exported symbols only, which leaves out
 * most functions of a program that is not linked with -rdynamic. So /proc/self/maps and the symbol
 * tables in the files are read here: open, pread, close and 2 KiB of stack, no locks, no malloc.
 */
#include "linux.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "maps.h"

typedef ElfW(Addr) elf_addr;
typedef ElfW(Ehdr) elf_ehdr;
typedef ElfW(Phdr) elf_phdr;
typedef ElfW(Shdr) elf_shdr;
typedef ElfW(Sym) elf_sym;

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

/* ---- which file an address is mapped from ---- */

static int next_byte(go_os_maps_ *r) {
  if (r->at == r->n) {
    ssize_t n;
    do {
      n = read(r->fd, r->buf, sizeof r->buf);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) return -1;
    r->n = (size_t)n;
    r->at = 0;
  }
  return (unsigned char)r->buf[r->at++];
}

static int hex_field(go_os_maps_ *r, uint64_t *ret) {
  uint64_t x = 0;
  for (;;) {
    int c = next_byte(r);
    if (c >= '0' && c <= '9') {
      x = x << 4 | (uint64_t)(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      x = x << 4 | (uint64_t)(c - 'a' + 10);
    } else {
      *ret = x;
      return c;
    }
  }
}

/* "START-END PERMISSIONS OFFSET DEVICE INODE    PATH". Returns false at the end of the file. */
bool go_os_maps_next_(go_os_maps_ *r, go_os_mapping_ *m) {
  uint64_t start, end, offset;
  int c = hex_field(r, &start);
  if (c < 0) return false;
  hex_field(r, &end);
  for (int i = 0; (c = next_byte(r)) > ' '; i++) {
    if (i == 1) m->writable = c == 'w';
    if (i == 3) m->shared = c == 's';
  }
  hex_field(r, &offset);
  for (int field = 0; field < 2; field++)
    while ((c = next_byte(r)) > ' ') {}
  while (c == ' ') c = next_byte(r);
  size_t n = 0;
  for (; c >= 0 && c != '\n'; c = next_byte(r)) {
    if (n < sizeof m->path) m->path[n] = (char)c;
    n++;
  }
  m->path[n < sizeof m->path ? n : 0] = 0;
  m->start = (uintptr_t)start;
  m->end = (uintptr_t)end;
  m->offset = offset;
  return true;
}

static void find_mapping(uintptr_t pc, go_os_mapping_ *m) {
  go_os_maps_ r = {.fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};
  bool found = false;
  while (r.fd >= 0 && !found && go_os_maps_next_(&r, m)) found = m->start <= pc && pc < m->end;
  if (r.fd >= 0) close(r.fd);
  if (!found) *m = (go_os_mapping_){.start = 0};
}

/* ---- which symbol of a file ---- */

static bool pread_all(int fd, void *buf, size_t size, uint64_t at) {
  char *p = buf;
  while (size > 0) {
    ssize_t n = pread(fd, p, size, (off_t)at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    p += n;
    at += (uint64_t)n;
    size -= (size_t)n;
  }
  return true;
}

/* The address, as the file counts them, of what lies at `offset` of it. */
static bool file_address(int fd, const elf_ehdr *eh, uint64_t offset, elf_addr *ret) {
  for (unsigned i = 0; i < eh->e_phnum; i++) {
    elf_phdr ph;
    if (!pread_all(fd, &ph, sizeof ph, eh->e_phoff + (uint64_t)i * sizeof ph)) return false;
    if (ph.p_type == PT_LOAD && offset >= ph.p_offset && offset - ph.p_offset < ph.p_filesz) {
      *ret = ph.p_vaddr + (offset - ph.p_offset);
      return true;
    }
  }
  return false;
}

/* The full table if the file still has it, or else the one for the loader. */
static bool symbol_table(int fd, const elf_ehdr *eh, elf_shdr *ret_symbols, uint64_t *ret_strings) {
  bool found = false;
  for (unsigned i = 0; i < eh->e_shnum; i++) {
    elf_shdr sh, strings;
    if (!pread_all(fd, &sh, sizeof sh, eh->e_shoff + (uint64_t)i * sizeof sh)) break;
    if (sh.sh_type != SHT_SYMTAB && (sh.sh_type != SHT_DYNSYM || found)) continue;
    if (!pread_all(fd, &strings, sizeof strings,
                   eh->e_shoff + (uint64_t)sh.sh_link * sizeof strings))
      continue;
    *ret_symbols = sh;
    *ret_strings = strings.sh_offset;
    found = true;
    if (sh.sh_type == SHT_SYMTAB) break;
  }
  return found;
}

/* The function that holds addr: its name's place in the file, and where it starts. */
static bool find_function(int fd, const elf_shdr *symbols, elf_addr addr, elf_sym *ret) {
  elf_sym some[32];
  uint64_t left = symbols->sh_size / sizeof some[0], at = symbols->sh_offset;
  while (left > 0) {
    size_t n = left < 32 ? (size_t)left : 32;
    if (!pread_all(fd, some, n * sizeof some[0], at)) return false;
    for (size_t i = 0; i < n; i++) {
      bool code = (some[i].st_info & 0xf) == STT_FUNC || (some[i].st_info & 0xf) == STT_GNU_IFUNC;
      if (code && some[i].st_shndx != SHN_UNDEF && addr >= some[i].st_value &&
          addr - some[i].st_value < some[i].st_size) {
        *ret = some[i];
        return true;
      }
    }
    left -= n;
    at += n * sizeof some[0];
  }
  return false;
}

/* "name+0x1c", if it can be found. Return addresses lie behind the call, so perhaps behind the
 * function, too: the byte before is looked up. */
static bool put_symbol(out *o, const go_os_mapping_ *m, uintptr_t pc) {
  int fd = open(m->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return false;
  elf_ehdr eh;
  elf_addr addr = 0;
  elf_shdr symbols;
  elf_sym sym;
  uint64_t strings = 0;
  bool found = pread_all(fd, &eh, sizeof eh, 0) && memcmp(eh.e_ident, ELFMAG, SELFMAG) == 0 &&
               eh.e_phentsize == sizeof(elf_phdr) && eh.e_shentsize == sizeof(elf_shdr) &&
               file_address(fd, &eh, m->offset + (pc - 1 - m->start), &addr) &&
               symbol_table(fd, &eh, &symbols, &strings) && find_function(fd, &symbols, addr, &sym);
  if (found) {
    char name[160];
    ssize_t n = pread(fd, name, sizeof name - 1, (off_t)(strings + sym.st_name));
    name[n > 0 ? n : 0] = 0;
    put(o, name);
    put(o, "+");
    put_hex(o, addr + 1 - sym.st_value);
  }
  close(fd);
  return found;
}

void go_os_symbols_(int fd, void *const *pcs, int n) {
  GO_KEEP_ERRNO_BEGIN();
  go_os_mapping_ m = {.start = 0};
  for (int i = 0; i < n; i++) {
    uintptr_t pc = (uintptr_t)pcs[i];
    out o = {.n = 0};
    put(&o, "  ");
    if (pc - 1 < m.start || pc - 1 >= m.end) find_mapping(pc - 1, &m);
    bool named = m.path[0] == '/' && put_symbol(&o, &m, pc);
    if (!named) put_hex(&o, pc);
    if (m.path[0] != 0) {
      const char *base = strrchr(m.path, '/');
      put(&o, " (");
      put(&o, base != NULL ? base + 1 : m.path);
      if (m.path[0] == '/') {
        put(&o, "+");
        put_hex(&o, m.offset + (pc - m.start));
      }
      put(&o, ")");
    }
    o.text[o.n++] = '\n';
    go_os_write_(fd, o.text, o.n);
  }
  GO_KEEP_ERRNO_END();
}
