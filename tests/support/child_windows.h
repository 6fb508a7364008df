// tests/support/child_windows.h: part of child.h: children are this test anew.
#ifndef GOLIB_TESTS_SUPPORT_CHILD_WINDOWS_H_
#define GOLIB_TESTS_SUPPORT_CHILD_WINDOWS_H_

namespace golib_test {

// abort's own status, 3, is one that tests use as well.
inline constexpr int kAborted = 134;

// GoogleTest starts a thread as soon as an expectation fails, as those do that are not this child's part. It waits for
// other threads' end; golib would take it for one that may wake a goroutine.
extern "C" NTSYSAPI LONG NTAPI NtGetNextThread(HANDLE process, HANDLE thread, ACCESS_MASK access,
                                               ULONG attributes, ULONG flags, HANDLE *next);
inline void EndOtherThreads() {
  HANDLE thread = nullptr, next;
  while (NtGetNextThread(GetCurrentProcess(), thread, THREAD_ALL_ACCESS, 0, 0, &next) == 0) {
    if (thread != nullptr) CloseHandle(thread);
    thread = next;
    if (GetThreadId(thread) == GetCurrentThreadId()) continue;
    TerminateThread(thread, 0);
    WaitForSingleObject(thread, INFINITE);
  }
  if (thread != nullptr) CloseHandle(thread);
}

inline void PrepareChild() {
  EndOtherThreads();
  // No window, no report that waits for somebody.
  SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);
  signal(SIGABRT, [](int) { _exit(kAborted); });
}

// What the program that ended with that status would have died of elsewhere, or 0.
inline int SignalOf(DWORD status) {
  switch (status) {
    case kAborted: return SIGABRT;
    case 0xC0000354:  // STATUS_DEBUGGER_INACTIVE: Wine asks for its debugger whatever the error mode, and had none
    case EXCEPTION_ACCESS_VIOLATION:
    case EXCEPTION_STACK_OVERFLOW: return SIGSEGV;
    case EXCEPTION_ILLEGAL_INSTRUCTION: return SIGILL;
    default: return 0;
  }
}

// Not here: a process may reserve all addresses, but Wine then hangs. See SKIP_IF_ADDRESS_SPACE_IS_UNLIMITED.
inline void LimitAddressSpace(size_t) { CHILD_CHECK(false); }

template <class F>
ChildResult StartChild(int number, F) {
  ChildResult r;
  char path[MAX_PATH];
  GetModuleFileNameA(nullptr, path, sizeof path);
  std::string command = "child " + PrepareNewChild(number);
  SECURITY_ATTRIBUTES inherited = {sizeof inherited, nullptr, TRUE};
  STARTUPINFOA start = {};
  PROCESS_INFORMATION process = {};
  HANDLE out;
  CreatePipe(&out, &start.hStdError, &inherited, 0);
  SetHandleInformation(out, HANDLE_FLAG_INHERIT, 0);
  start.cb = sizeof start;
  start.dwFlags = STARTF_USESTDHANDLES;
  start.hStdOutput = CreateFileA("NUL", GENERIC_WRITE, 0, &inherited, OPEN_EXISTING, 0, nullptr);
  BOOL ok = CreateProcessA(path, &command[0], nullptr, nullptr, TRUE, 0, nullptr, nullptr, &start,
                           &process);
  EXPECT_TRUE(ok) << "CreateProcess: " << GetLastError();
  UnsetEnv(kChildEnv);
  CloseHandle(start.hStdOutput);
  CloseHandle(start.hStdError);
  char buf[4096];
  DWORD n;
  while (ok && ReadFile(out, buf, sizeof buf, &n, nullptr) && n > 0) r.err.append(buf, n);
  CloseHandle(out);
  if (!ok) return r;
  DWORD status = 0;
  WaitForSingleObject(process.hProcess, INFINITE);
  GetExitCodeProcess(process.hProcess, &status);
  CloseHandle(process.hProcess);
  CloseHandle(process.hThread);
  r.signal = SignalOf(status);
  if (r.signal == 0) r.code = static_cast<int>(status);
  // Lines end in a carriage return as well where the C library wrote them.
  std::string plain;
  for (char c : r.err) {
    if (c != '\r') plain += c;
  }
  r.err = plain;
  return r;
}

}  // namespace golib_test

#endif  // GOLIB_TESTS_SUPPORT_CHILD_WINDOWS_H_
