// tests/support/system.h: what tests need of the system, where it has it: sockets, files, processes. Code that only
// some systems can compile stands in tests between #if !defined(_WIN32) and #endif.
#ifndef GOLIB_TESTS_SUPPORT_SYSTEM_H_
#define GOLIB_TESTS_SUPPORT_SYSTEM_H_

#if defined(_WIN32)

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <winsock2.h>
// winsock2.h goes before windows.h, ws2tcpip.h after winsock2.h.
#include <io.h>
#include <process.h>
#include <windows.h>
#include <ws2tcpip.h>

#else

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

#endif

#include <cstdlib>
#include <string>

namespace golib_test {

#if defined(_WIN32)
inline constexpr bool kWindows = true;
using Socket = SOCKET;
inline void CloseSocket(Socket s) { closesocket(s); }
#else
inline constexpr bool kWindows = false;
using Socket = int;
inline void CloseSocket(Socket s) { close(s); }
#endif

// Wine, whose sockets do not reset a connection that is closed with linger 0 before they end it, and at times forget a
// pending send on one that was reset (version 8; seen with plain Winsock calls as well).
inline bool OnWine() {
#if defined(_WIN32)
  return GetProcAddress(GetModuleHandleA("ntdll.dll"), "wine_get_version") != nullptr;
#else
  return false;
#endif
}

// A path for a file of the test's own, short enough for a Unix socket.
inline std::string TempPath(const char *name) {
  const char *dir = std::getenv("TEST_TMPDIR");
  std::string d = dir != nullptr ? dir : "";
#if defined(_WIN32)
  char temp[MAX_PATH + 1] = ".";
  if (d.empty() || d.size() >= 60) {
    d = GetTempPathA(sizeof temp, temp) > 0 ? std::string(temp) : ".";
  }
  return d + "/golib_" + std::to_string(_getpid()) + name;
#else
  if (d.empty() || d.size() >= 60) d = "/tmp";
  return d + "/golib_" + std::to_string(getpid()) + name;
#endif
}

}  // namespace golib_test

#endif  // GOLIB_TESTS_SUPPORT_SYSTEM_H_
