/* What tls_test.py must refuse (bad_...), and what it must let pass. */
#include <errno.h>

static _Thread_local int own;
extern _Thread_local int others;

int bad_static_tls(void);
int bad_extern_tls(int n);
int bad_errno(void);
int bad_address(int **ret);
int fine(int n);
int fine_stack_protector(void (*fill)(char *));

int bad_static_tls(void) { return own++; }
int bad_extern_tls(int n) { return others += n; }
int bad_errno(void) { return errno; }
int bad_address(int **ret) {
  *ret = &own;
  return 0;
}
int fine(int n) { return n + 1; }
int fine_stack_protector(void (*fill)(char *)) {
  char buffer[64];
  fill(buffer);
  return buffer[3];
}
