/* os/windows/symbols.c: names for code addresses, in a process that is going down.
 *
 * dbghelp takes locks, allocates, and does not read what gcc writes. So the symbol tables that are in the files of
 * programs (until they are stripped) are read here, of the function that the unwind tables say the address is in; for
 * other addresses there is the file's name and the place in it. Nothing is allocated; the loader's lock is taken for the
 * file's name only.
 */
#include <errno.h>
#include <string.h>

#include "os/windows/windows.h"

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

/* ---- symbol tables ---- */

static bool read_at(HANDLE h, uint64_t at, void *buf, size_t size) {
  OVERLAPPED o = {.Offset = (DWORD)at, .OffsetHigh = (DWORD)(at >> 32)};
  DWORD n = 0;
  return ReadFile(h, buf, (DWORD)size, &n, &o) && n == size;
}

typedef struct table {
  HANDLE file;
  uint64_t symbols, strings;
  uint32_t n;
} table;

static bool find_table(table *t) {
  IMAGE_DOS_HEADER dos;
  DWORD magic;
  IMAGE_FILE_HEADER head;
  if (!read_at(t->file, 0, &dos, sizeof dos) || dos.e_magic != IMAGE_DOS_SIGNATURE ||
      !read_at(t->file, (uint64_t)dos.e_lfanew, &magic, sizeof magic) ||
      magic != IMAGE_NT_SIGNATURE ||
      !read_at(t->file, (uint64_t)dos.e_lfanew + sizeof magic, &head, sizeof head) ||
      head.PointerToSymbolTable == 0) {
    return false;
  }
  t->symbols = head.PointerToSymbolTable;
  t->n = head.NumberOfSymbols;
  t->strings = t->symbols + (uint64_t)t->n * IMAGE_SIZEOF_SYMBOL;
  return true;
}

/* Which section of the image an address of it is in, and where that begins. Counted from 1; 0: none. */
static int section_of(const char *image, uint32_t rva, uint32_t *ret_start) {
  const IMAGE_DOS_HEADER *dos = (const void *)image;
  const IMAGE_NT_HEADERS *nt = (const void *)(image + dos->e_lfanew);
  const IMAGE_SECTION_HEADER *s = IMAGE_FIRST_SECTION(nt);
  for (int i = 0; i < nt->FileHeader.NumberOfSections; i++) {
    if (rva >= s[i].VirtualAddress && rva - s[i].VirtualAddress < s[i].Misc.VirtualSize) {
      *ret_start = s[i].VirtualAddress;
      return i + 1;
    }
  }
  return 0;
}

static void name_of(const table *t, const IMAGE_SYMBOL *s, char *ret, size_t size) {
  memset(ret, 0, size);
  if (s->N.Name.Short != 0) {
    memcpy(ret, s->N.ShortName, sizeof s->N.ShortName);
    return;
  }
  DWORD n = 0;
  OVERLAPPED o = {.Offset = (DWORD)(t->strings + s->N.Name.Long)};
  (void)ReadFile(t->file, ret, (DWORD)size - 1, &n, &o);
}

/* The symbol at that place of a section. */
static bool find_symbol(const table *t, int section, uint32_t value, char *ret, size_t size) {
  char some[64 * IMAGE_SIZEOF_SYMBOL];
  IMAGE_SYMBOL s;
  uint32_t skip = 0;
  for (uint32_t i = 0; i < t->n;) {
    uint32_t k = t->n - i < 64 ? t->n - i : 64;
    if (!read_at(t->file, t->symbols + (uint64_t)i * IMAGE_SIZEOF_SYMBOL, some,
                 (size_t)k * IMAGE_SIZEOF_SYMBOL)) {
      return false;
    }
    for (uint32_t j = 0; j < k; j++) {
      if (skip > 0) { /* belongs to the one before */
        skip--;
        continue;
      }
      memcpy(&s, some + (size_t)j * IMAGE_SIZEOF_SYMBOL, IMAGE_SIZEOF_SYMBOL);
      skip = s.NumberOfAuxSymbols;
      if (s.SectionNumber == section && s.Value == value && s.Type == 0x20) {
        name_of(t, &s, ret, size);
        return true;
      }
    }
    i += k;
  }
  return false;
}

/* "name+0x1c", if it can be found. Return addresses lie behind the call, so perhaps behind the
 * function, too: the byte before is looked up. */
static bool put_symbol(out *o, const wchar_t *path, uintptr_t pc) {
  ULONG64 image = 0;
  const RUNTIME_FUNCTION *f = RtlLookupFunctionEntry(pc - 1, &image, NULL);
  uint32_t start;
  int section = f != NULL ? section_of((const char *)(uintptr_t)image, f->BeginAddress, &start) : 0;
  if (section == 0) {
    return false;
  }
  table t = {.file = CreateFileW(path, GENERIC_READ,
                                 FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                                 OPEN_EXISTING, 0, NULL)};
  char name[160];
  if (t.file == INVALID_HANDLE_VALUE) {
    return false;
  }
  bool found =
      find_table(&t) && find_symbol(&t, section, f->BeginAddress - start, name, sizeof name);
  (void)CloseHandle(t.file);
  if (found) {
    put(o, name);
    put(o, "+");
    put_hex(o, pc - (uintptr_t)image - f->BeginAddress);
  }
  return found;
}

static void put_module(out *o, const wchar_t *path, uintptr_t offset) {
  const wchar_t *base = path;
  for (const wchar_t *p = path; *p != 0; p++) {
    if (*p == L'\\' || *p == L'/') base = p + 1;
  }
  put(o, " (");
  for (; *base != 0; base++) {
    char c[2] = {*base < 128 ? (char)*base : '?', 0};
    put(o, c);
  }
  put(o, "+");
  put_hex(o, offset);
  put(o, ")");
}

void go_os_symbols_(int fd, void *const *pcs, int n) {
  GO_KEEP_ERRORS_BEGIN();
  for (int i = 0; i < n; i++) {
    uintptr_t pc = (uintptr_t)pcs[i];
    wchar_t path[260];
    HMODULE module = NULL;
    out o = {.n = 0};
    put(&o, "  ");
    bool known = GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS |
                                        GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                                    (const wchar_t *)(pc - 1), &module) &&
                 GetModuleFileNameW(module, path, 259) > 0;
    path[259] = 0;
    if (!known || !put_symbol(&o, path, pc)) put_hex(&o, pc);
    if (known) put_module(&o, path, pc - (uintptr_t)module);
    o.text[o.n++] = '\n';
    go_os_write_(fd, o.text, o.n);
  }
  GO_KEEP_ERRORS_END();
}
