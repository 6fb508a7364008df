/* os/linux/maps.h: reading /proc/self/maps without malloc. */
#ifndef GOLIB_OS_LINUX_MAPS_H_
#define GOLIB_OS_LINUX_MAPS_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct go_os_maps_ {
  int fd; /* the open file; the rest all-zero */
  size_t n, at;
  char buf[512];
} go_os_maps_;

typedef struct go_os_mapping_ {
  uintptr_t start, end;
  uint64_t offset;
  bool writable, shared;
  char path[512]; /* "" if there is none, or it is longer */
} go_os_mapping_;

/* The next line; false at the end of the file. Async-signal-safe. */
bool go_os_maps_next_(go_os_maps_ *r, go_os_mapping_ *ret);

#endif /* GOLIB_OS_LINUX_MAPS_H_ */
