// What golib writes to a descriptor: go_dump and its kin.
#ifndef GOLIB_TESTS_SUPPORT_DUMP_H_
#define GOLIB_TESTS_SUPPORT_DUMP_H_

#include <gtest/gtest.h>

#include <golib/golib.h>

#include <string>

#include "tests/support/system.h"

namespace golib_test {

// What f(fd) writes.
template <class F>
std::string Written(F f) {
  int fd = TempFile();
  EXPECT_GE(fd, 0);
  f(fd);
  std::string all;
  char buf[4096];
  lseek(fd, 0, SEEK_SET);
  for (ssize_t n; (n = read(fd, buf, sizeof buf)) > 0;) all.append(buf, static_cast<size_t>(n));
  close(fd);
  return all;
}

inline std::string Dump() { return Written(go_dump); }

inline bool Has(const std::string &s, const std::string &what) {
  return s.find(what) != std::string::npos;
}

}  // namespace golib_test

#endif  // GOLIB_TESTS_SUPPORT_DUMP_H_
