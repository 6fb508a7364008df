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
#include <fcntl.h>
#include <io.h>
#include <process.h>
#include <sys/stat.h>
#include <unistd.h>
#include <windows.h>
// These after windows.h.
#include <psapi.h>
#include <tlhelp32.h>
#include <ws2tcpip.h>

#else

#include <dirent.h>
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
#if defined(__linux__)
#include <sys/syscall.h>
#endif

#endif

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>
#include <string>

namespace golib_test {

#if defined(_WIN32)
inline constexpr bool kWindows = true;
using Socket = SOCKET;
inline void CloseSocket(Socket s) { closesocket(s); }
inline constexpr int kNoSignal = 0;
#else
inline constexpr bool kWindows = false;
using Socket = int;
inline void CloseSocket(Socket s) { close(s); }
#if defined(MSG_NOSIGNAL)
inline constexpr int kNoSignal = MSG_NOSIGNAL;
#else
inline constexpr int kNoSignal = 0;
#endif
#endif
// Blocking reads of it fail when they have taken that long.
inline void SetPatience(Socket s, int seconds) {
#if defined(_WIN32)
  DWORD patience = static_cast<DWORD>(seconds) * 1000;
#else
  timeval patience = {seconds, 0};
#endif
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, reinterpret_cast<char *>(&patience), sizeof patience);
}

// Wine, whose sockets do not reset a connection that is closed with linger 0 before they end it, and at times forget a
// pending send on one that was reset (version 8; seen with plain Winsock calls as well).
inline bool OnWine() {
#if defined(_WIN32)
  return GetProcAddress(GetModuleHandleA("ntdll.dll"), "wine_get_version") != nullptr;
#else
  return false;
#endif
}

// Of the thread that runs, as the system numbers them; and whether there is one with that number.
inline int ThreadId() {
#if defined(_WIN32)
  return static_cast<int>(GetCurrentThreadId());
#elif defined(__linux__)
  return static_cast<int>(syscall(SYS_gettid));
#else
  return -1;
#endif
}
inline bool ThreadExists(int id) {
#if defined(_WIN32)
  HANDLE h = OpenThread(SYNCHRONIZE, FALSE, static_cast<DWORD>(id));
  bool ended = h == nullptr || WaitForSingleObject(h, 0) == WAIT_OBJECT_0;
  if (h != nullptr) CloseHandle(h);
  return !ended;
#else
  return access(("/proc/self/task/" + std::to_string(id)).c_str(), F_OK) == 0;
#endif
}
// How many threads this process has.
inline int ThreadCount() {
#if defined(_WIN32)
  HANDLE all = CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0);
  THREADENTRY32 e = {};
  e.dwSize = sizeof e;
  int n = 0;
  for (BOOL ok = Thread32First(all, &e); ok; ok = Thread32Next(all, &e)) {
    if (e.th32OwnerProcessID == GetCurrentProcessId()) n++;
  }
  CloseHandle(all);
  return n;
#else
  struct stat st;
  return stat("/proc/self/task", &st) == 0 ? static_cast<int>(st.st_nlink) - 2 : -1;
#endif
}
// How many of them have that name.
inline int ThreadsNamed(const std::string &name) {
  int n = 0;
#if defined(_WIN32)
  using Describe = HRESULT(WINAPI *)(HANDLE, wchar_t **);
  auto describe = reinterpret_cast<Describe>(reinterpret_cast<void *>(
      GetProcAddress(GetModuleHandleA("kernelbase.dll"), "GetThreadDescription")));
  HANDLE all = CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0);
  THREADENTRY32 e = {};
  e.dwSize = sizeof e;
  for (BOOL ok = Thread32First(all, &e); ok; ok = Thread32Next(all, &e)) {
    if (e.th32OwnerProcessID != GetCurrentProcessId()) continue;
    HANDLE h = OpenThread(THREAD_QUERY_LIMITED_INFORMATION, FALSE, e.th32ThreadID);
    wchar_t *text = nullptr;
    if (h != nullptr && describe != nullptr && SUCCEEDED(describe(h, &text))) {
      n += std::wstring(text) == std::wstring(name.begin(), name.end());
      LocalFree(text);
    }
    if (h != nullptr) CloseHandle(h);
  }
  CloseHandle(all);
#else
  DIR *d = opendir("/proc/self/task");
  while (dirent *e = d != nullptr ? readdir(d) : nullptr) {
    char path[300], line[32] = "";
    snprintf(path, sizeof path, "/proc/self/task/%s/comm", e->d_name);
    FILE *f = fopen(path, "r");
    if (f == nullptr) continue;
    n += fgets(line, sizeof line, f) != nullptr && name + "\n" == line;
    fclose(f);
  }
  if (d != nullptr) closedir(d);
#endif
  return n;
}
// Bytes of memory that it can hope for: the machine's free memory, and what its memory cgroup leaves.
inline int64_t MemoryAvailable() {
#if defined(_WIN32)
  MEMORYSTATUSEX m = {};
  m.dwLength = sizeof m;
  return GlobalMemoryStatusEx(&m) ? static_cast<int64_t>(m.ullAvailPhys) : 0;
#else
  int64_t available = INT64_MAX;
  if (FILE *f = fopen("/proc/meminfo", "r")) {
    char line[256];
    long long kb;
    while (fgets(line, sizeof line, f) != nullptr) {
      if (sscanf(line, "MemAvailable: %lld kB", &kb) == 1) available = kb * 1024;
    }
    fclose(f);
  }
  if (FILE *f = fopen("/sys/fs/cgroup/memory.max", "r")) {
    long long bytes;
    if (fscanf(f, "%lld", &bytes) == 1 && bytes < available) available = bytes;
    fclose(f);
  }
  return available;
#endif
}
// The memory that it has at the moment, in bytes; 0: not known.
inline size_t ResidentBytes() {
#if defined(_WIN32)
  PROCESS_MEMORY_COUNTERS c = {};
  c.cb = sizeof c;
  return GetProcessMemoryInfo(GetCurrentProcess(), &c, sizeof c) ? c.WorkingSetSize : 0;
#else
  size_t size = 0, resident = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (f == nullptr) return 0;
  if (fscanf(f, "%zu %zu", &size, &resident) != 2) resident = 0;
  fclose(f);
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
#endif
}
// The most memory that the process has had so far, in KiB.
inline long PeakKb() {
#if defined(_WIN32)
  PROCESS_MEMORY_COUNTERS c = {};
  c.cb = sizeof c;
  return GetProcessMemoryInfo(GetCurrentProcess(), &c, sizeof c)
             ? static_cast<long>(c.PeakWorkingSetSize >> 10)
             : -1;
#else
  struct rusage u;
  if (getrusage(RUSAGE_SELF, &u) != 0) return -1;
#if defined(__APPLE__)
  return u.ru_maxrss / 1024;
#else
  return u.ru_maxrss;
#endif
#endif
}

// The processor time of all its threads so far, in ns.
inline int64_t CpuTime() {
#if defined(_WIN32)
  FILETIME begun, ended, kernel, user;
  GetProcessTimes(GetCurrentProcess(), &begun, &ended, &kernel, &user);
  auto ns = [](const FILETIME &t) {
    return static_cast<int64_t>(t.dwHighDateTime) << 32 | t.dwLowDateTime;
  };
  return (ns(kernel) + ns(user)) * 100;
#else
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<int64_t>(t.tv_sec) * 1000000000 + t.tv_nsec;
#endif
}

// How many descriptors this process may have, once it has raised its limit.
inline int OpenFilesAllowed() {
#if defined(_WIN32)
  return 16000;
#else
  struct rlimit lim;
  getrlimit(RLIMIT_NOFILE, &lim);
  lim.rlim_cur = lim.rlim_max;
  setrlimit(RLIMIT_NOFILE, &lim);
  getrlimit(RLIMIT_NOFILE, &lim);
  return lim.rlim_cur > 1000000 ? 1000000 : static_cast<int>(lim.rlim_cur);
#endif
}

// The system's own note of what went wrong last, of each thread: Windows has one besides errno.
inline void SetLastSystemError(int e) {
#if defined(_WIN32)
  SetLastError(static_cast<DWORD>(e));
#else
  errno = e;
#endif
}
// (Never inlined: compilers take errno's address for the same after a switch to another thread.)
__attribute__((noinline, unused)) static int LastSystemError() {
#if defined(_WIN32)
  return static_cast<int>(GetLastError());
#else
  return errno;
#endif
}

// What swallows all that is written to it.
inline constexpr const char *kNullDevice = kWindows ? "NUL" : "/dev/null";

// Two ends of a stream that can be waited for: go_fd_wait takes nothing else everywhere. 0, or -1.
inline int OpenSockets(Socket s[2]) {
#if defined(_WIN32)
  WSADATA data;
  WSAStartup(MAKEWORD(2, 2), &data);
  sockaddr_in a = {};
  int n = sizeof a;
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  Socket l = socket(AF_INET, SOCK_STREAM, 0);
  s[0] = socket(AF_INET, SOCK_STREAM, 0);
  bool ok = bind(l, reinterpret_cast<sockaddr *>(&a), n) == 0 && listen(l, 1) == 0 &&
            getsockname(l, reinterpret_cast<sockaddr *>(&a), &n) == 0 &&
            connect(s[0], reinterpret_cast<sockaddr *>(&a), n) == 0;
  s[1] = ok ? accept(l, nullptr, nullptr) : INVALID_SOCKET;
  closesocket(l);
  return s[1] != INVALID_SOCKET ? 0 : -1;
#else
  return socketpair(AF_UNIX, SOCK_STREAM, 0, s);
#endif
}

// The environment of this process, and of those that it starts.
inline int SetEnv(const char *name, const char *value) {
#if defined(_WIN32)
  return _putenv_s(name, value);
#else
  return setenv(name, value, 1);
#endif
}
inline int UnsetEnv(const char *name) {
#if defined(_WIN32)
  return _putenv_s(name, "");
#else
  return unsetenv(name);
#endif
}

// A path for a file of the test's own, short enough for a Unix socket. (A process number alone is not its own: sandboxes that
// have theirs from 1 on may share the folder.)
inline std::string TempPath(const char *name) {
  static const std::string own = "/golib_" + std::to_string(std::random_device()());
  const char *dir = std::getenv("TEST_TMPDIR");
  std::string d = dir != nullptr ? dir : "";
#if defined(_WIN32)
  char temp[MAX_PATH + 1] = ".";
  if (d.empty() || d.size() >= 60) {
    d = GetTempPathA(sizeof temp, temp) > 0 ? std::string(temp) : ".";
  }
  return d + own + name;
#else
  if (d.empty() || d.size() >= 60) d = "/tmp";
  return d + own + name;
#endif
}

// pipe: its two ends are for read and write, and block.
inline int OpenPipe(int fds[2]) {
#if defined(_WIN32)
  return _pipe(fds, 65536, _O_BINARY);
#else
  return pipe(fds);
#endif
}

// A file without a name, open for reading and writing; it goes when it is closed.
inline int TempFile() {
#if defined(_WIN32)
  static int count;
  std::string name = TempPath("_temp") + std::to_string(count++);
  return _open(name.c_str(), _O_RDWR | _O_CREAT | _O_EXCL | _O_TEMPORARY | _O_BINARY,
               _S_IREAD | _S_IWRITE);
#else
  const char *dir = std::getenv("TEST_TMPDIR");
  std::string name = std::string(dir != nullptr ? dir : "/tmp") + "/temp_XXXXXX";
  int fd = mkstemp(&name[0]);
  unlink(name.c_str());
  return fd;
#endif
}
// pread.
inline ptrdiff_t ReadAt(int fd, void *buf, size_t n, int64_t at) {
#if defined(_WIN32)
  OVERLAPPED o = {};
  o.Offset = static_cast<DWORD>(at);
  o.OffsetHigh = static_cast<DWORD>(at >> 32);
  DWORD got = 0;
  HANDLE h = reinterpret_cast<HANDLE>(_get_osfhandle(fd));
  return ReadFile(h, buf, static_cast<DWORD>(n), &got, &o) ? static_cast<ptrdiff_t>(got) : -1;
#else
  return pread(fd, buf, n, at);
#endif
}

}  // namespace golib_test

#endif  // GOLIB_TESTS_SUPPORT_SYSTEM_H_
