/* golib/golib.hpp: golib for C++17. Header-only, on top of the C headers, which may be used beside it.
 *
 *   go::chan<std::string> lines(16);
 *   go::spawn([=]() mutable { lines.send("hello"); lines.close(); });
 *   for (std::string s : lines) std::cout << s;
 *
 * Handles (chan, context, task) are cheap to copy or move and count references; everything else lives where it
 * is declared and stays there. "Suspends" and "from any thread" are as in the C headers.
 *
 * Errors. What can fail in a correct program throws go::error, a std::system_error with golib's code
 * in go::category(). Calls that end with a context have a twin with a std::error_code & as last argument,
 * which does not throw. Misuse that Go answers with a panic is a panic here.
 *
 * Panics are exceptions. go::panic, and a panic of the C API that meets a C++ frame, throws go::panic_error:
 * destructors run, catch clauses catch. And an exception that leaves a goroutine's function is that goroutine's
 * panic, with what() as its text. The end of a goroutine, go_try, go::try_, go::run and tasks are where both are
 * caught; the last three give the original exception to whoever asks for the result, on whatever thread.
 *
 * go::exit (and go_exit) is an exception as well, of a type without a name: a catch (...) that does not throw it on
 * ends the program. As with every exception, what passes a noexcept function ends the program.
 *
 * C functions on the way are passed over, as C++ always does; one that has deferred calls (GO_DEFER) and calls
 * back into C++ has to be compiled with -fexceptions, which is checked. C functions between a panic and the
 * first C++ frame need nothing: their deferred calls run.
 *
 * A goroutine may suspend anywhere, also in a catch block and in a destructor that an exception has called, and
 * resume on another thread: what C++ keeps per thread about exceptions goes with the goroutine.
 *
 * Without exceptions (-fno-exceptions): what would throw panics as in C, and a panic skips destructors.
 */
#ifndef GOLIB_GOLIB_HPP_
#define GOLIB_GOLIB_HPP_

#include <golib/block.h>
#include <golib/context.h>
#include <golib/cxx.h>
#include <golib/golib.h>
#include <golib/scope.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>

#if defined(__cpp_exceptions)
#define GO_EXCEPTIONS_ 1
#define GO_CXX_MODE_ with_exceptions
#include <cxxabi.h>
#include <unwind.h>
#else
#define GO_EXCEPTIONS_ 0
#define GO_CXX_MODE_ without_exceptions
#endif

namespace go {

/* golib's codes, and those of the system (as -errno), in an std::error_code. */
enum class errc {
  again = GO_EAGAIN,
  invalid = GO_EINVAL,
  no_memory = GO_ENOMEM,
  canceled = GO_ECANCELED,
  timed_out = GO_ETIMEDOUT,
  busy = GO_EBUSY,
  closed = GO_ECLOSED,
  panicked = GO_EPANIC,
  deadlock = GO_EDEADLK,
  not_a_goroutine = GO_ENOTGO,
  eof = GO_EEOF,
  truncated = GO_ETRUNCATED,
  too_long = GO_ETOOLONG,
};

}  // namespace go

template <>
struct std::is_error_code_enum<go::errc> : std::true_type {};

namespace go {

/* Programs may mix files with and without exceptions: what they inline differs, and so do the names. */
inline namespace GO_CXX_MODE_ {

/* ---- errors ---- */

namespace detail {
class category_type final : public std::error_category {
 public:
  const char *name() const noexcept override { return "golib"; }
  std::string message(int code) const override { return go_strerror(code); }
  /* So that code == std::errc::operation_canceled and its like hold. */
  std::error_condition default_error_condition(int code) const noexcept override {
    return code < 0 && code > GO_ECLOSED ? std::error_condition(-code, std::generic_category())
                                         : std::error_condition(code, *this);
  }
};
}  // namespace detail

/* The category of golib's codes: value() is what the C function returned. */
inline const std::error_category &category() noexcept {
  static const detail::category_type c;
  return c;
}

inline std::error_code make_error_code(errc e) noexcept {
  return {static_cast<int>(e), category()};
}

/* What fails in a correct program: code() is golib's, what() begins with the call's name. */
class error : public std::system_error {
 public:
  error(int code, const char *what) : std::system_error(code, category(), what) {}
};

/* Where in the source something is started, for reports: go::spawn(GO_HERE, f). */
struct site {
  const char *text;
  constexpr explicit site(const char *t) noexcept : text(t) {}
};
#define GO_HERE (::go::site(GO_SITE_("go::spawn")))

/* ---- panics ---- */

#if GO_EXCEPTIONS_
/* A panic on its way. Copies are cheap enough, and never throw. */
class panic_error : public std::exception {
 public:
  explicit panic_error(const go_thrown_ &t) noexcept : t_(t) {}
  explicit panic_error(const go_panic_info &info) noexcept : t_() { t_.info = info; }
  const char *what() const noexcept override { return t_.info.text; }
  /* What go_panic_value was given, or nullptr. */
  void *value() const noexcept { return t_.info.value; }
  /* Text, value, and the goroutine that panicked. */
  const go_panic_info &info() const noexcept { return t_.info; }
  const go_thrown_ &thrown_() const noexcept { return t_; }

 private:
  go_thrown_ t_;
};
#endif

/* Panics. Goroutine or, inside of a try block or go::try_, thread. Go: panic. */
[[noreturn]] inline void panic(std::string_view text) {
  go_panic("%.*s", static_cast<int>(text.size() < 255 ? text.size() : 255), text.data());
}

/* Ends the calling goroutine: destructors and deferred calls run. Go: runtime.Goexit. */
[[noreturn]] inline void exit() { go_exit(); }

namespace detail {

#if GO_EXCEPTIONS_

/* What go_exit throws. Thrown as a temporary, so there is one: when it goes before it has arrived at the end of
 * its goroutine, somebody has swallowed it. */
class exiting {
 public:
  exiting() noexcept = default;
  exiting(const exiting &o) noexcept { o.arrived_ = true; }
  exiting &operator=(const exiting &) = delete;
  ~exiting() {
    if (!arrived_) go_panic("go_exit was caught by a catch (...) that does not throw it on");
  }
  void arrive() const noexcept { arrived_ = true; }

 private:
  mutable bool arrived_ = false;
};

inline void put_text(char (&to)[sizeof(go_panic_info::text)], const char *text) noexcept {
  std::snprintf(to, sizeof to, "%s", text != nullptr ? text : "");
}

/* The exception that is being handled, of a type that has no what(). */
inline void put_type(char (&to)[sizeof(go_panic_info::text)]) noexcept {
  const std::type_info *type = abi::__cxa_current_exception_type();
  int status = -1;
  char *name =
      type != nullptr ? abi::__cxa_demangle(type->name(), nullptr, nullptr, &status) : nullptr;
  std::snprintf(to, sizeof to, "exception of type %s",
                name != nullptr   ? name
                : type != nullptr ? type->name()
                                  : "not of C++");
  std::free(name);
}

using caught_fn = void (*)(void *, const go_thrown_ *);

/* The handler of panics runs here, and may call go_exit. */
inline int tell(caught_fn caught, void *to, const go_thrown_ &t) {
  try {
    caught(to, &t);
  } catch (const exiting &e) {
    e.arrive();
  }
  return GO_CALL_THREW_;
}

/* See go_cxx_. Here all exceptions of a goroutine end. */
inline int call(void (*fn)(void *), void *arg, caught_fn caught, void *to) {
  go_thrown_ t{};
  int how = GO_CALL_THREW_;
  try {
    fn(arg);
    return GO_CALL_RETURNED_;
  } catch (const exiting &e) {
    e.arrive();
    return GO_CALL_EXIT_;
#if defined(__GLIBCXX__)
  } catch (abi::__forced_unwind &) { /* the thread is cancelled: not ours */
    throw;
#endif
  } catch (const panic_error &e) {
    how = tell(caught, to, e.thrown_());
  } catch (const std::exception &e) {
    put_text(t.info.text, e.what());
    how = tell(caught, to, t);
  } catch (...) {
    put_type(t.info.text);
    how = tell(caught, to, t);
  }
  return how;
}

#if defined(__SEH__)
inline constexpr auto first_frame = nullptr; /* frames are described by the system's tables */
#else
struct frame_search {
  _Unwind_Word from, found;
};

inline _Unwind_Reason_Code look_at_frame(_Unwind_Context *c, void *arg) {
  auto *s = static_cast<frame_search *>(arg);
  _Unwind_Word sp = _Unwind_GetCFA(c); /* this frame's, where it calls the next */
  if (sp <= s->from || _Unwind_GetLanguageSpecificData(c) == 0) return _URC_NO_REASON;
  s->found = sp;
  return _URC_NORMAL_STOP;
}

inline void *first_frame(const void *from) {
  frame_search s{reinterpret_cast<_Unwind_Word>(from), 0};
  _Unwind_Backtrace(look_at_frame, &s);
  return reinterpret_cast<void *>(s.found);
}
#endif

inline void raise(const go_thrown_ *what) {
  if (what != nullptr) throw panic_error(*what);
  throw exiting();
}

inline constexpr go_cxx_ cxx = {call, first_frame, raise};
/* Before any code of a file that includes this runs. */
inline const bool enabled = (go_cxx_enable_(&cxx), true);

#endif  // GO_EXCEPTIONS_

[[noreturn]] inline void fail(int code, const char *what) {
#if GO_EXCEPTIONS_
  throw error(code, what);
#else
  go_panic("%s: %s", what, go_strerror(code));
#endif
}

inline void check(int code, const char *what) {
  if (code < 0) fail(code, what);
}

inline bool set(std::error_code &ec, int code) noexcept {
  if (code < 0) {
    ec.assign(code, category());
  } else {
    ec.clear();
  }
  return code >= 0;
}

/* ---- what a function did, to be repeated elsewhere ---- */

template <class T>
struct slot {
  std::optional<T> v;
  template <class F>
  void fill(F &f) {
    v.emplace(f());
  }
  bool full() const noexcept { return v.has_value(); }
  T &get() noexcept { return *v; }
  T take() { return std::move(*v); }
};
template <class T>
struct slot<T &> {
  T *v = nullptr;
  template <class F>
  void fill(F &f) {
    v = std::addressof(f());
  }
  bool full() const noexcept { return v != nullptr; }
  T &get() noexcept { return *v; }
  T &take() noexcept { return *v; }
};
template <>
struct slot<void> {
  bool v = false;
  template <class F>
  void fill(F &f) {
    f();
    v = true;
  }
  bool full() const noexcept { return v; }
  void get() noexcept {}
  void take() noexcept {}
};

/* Runs f where no exception may leave it, and its result, exception or go_exit is had later. */
template <class T>
class captured {
 public:
  template <class F>
  void run(F &f) noexcept {
#if GO_EXCEPTIONS_
    try {
      slot_.fill(f);
    } catch (const exiting &e) {
      e.arrive();
      exited_ = true;
    } catch (...) {
      error_ = std::current_exception();
    }
#else
    slot_.fill(f);
#endif
  }
  T take() {
#if GO_EXCEPTIONS_
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    if (exited_) go_exit();
#endif
    return slot_.take();
  }
  bool full() const noexcept { return slot_.full(); }
#if GO_EXCEPTIONS_
  bool failed() const noexcept { return error_ != nullptr; }
#endif

 private:
  slot<T> slot_;
#if GO_EXCEPTIONS_
  std::exception_ptr error_;
  bool exited_ = false;
#endif
};

/* A function that C calls with a pointer to f. */
template <class F>
void call_ref(void *f) {
  (*static_cast<F *>(f))();
}

/* ---- time ---- */

constexpr go_nsec sub_sat(go_nsec a, go_nsec b) noexcept {
  go_nsec r = 0;
  return !__builtin_sub_overflow(a, b, &r) ? r : b < 0 ? INT64_MAX : INT64_MIN;
}

/* Nanoseconds of any duration: rounded up, so that nothing ends early; beyond 292 years GO_FOREVER. A NaN is 0. */
template <class Rep, class Period>
constexpr go_nsec nsec_of(std::chrono::duration<Rep, Period> d) noexcept {
  static_assert(std::is_arithmetic_v<Rep>, "a duration that counts in an arithmetic type");
  using scale = std::ratio_divide<Period, std::nano>;
  if constexpr (std::chrono::treat_as_floating_point_v<Rep>) {
    const long double ns = static_cast<long double>(d.count()) * scale::num / scale::den;
    if (!(ns > -9.2e18L)) return ns != ns ? 0 : INT64_MIN;
    if (ns > 9.2e18L) return INT64_MAX;
    const auto whole = static_cast<go_nsec>(ns);
    return whole < ns ? whole + 1 : whole;
  } else {
    using count = std::conditional_t<std::is_unsigned_v<Rep>, std::uintmax_t, std::intmax_t>;
    const count n = d.count(), whole = n / scale::den, rest = n % scale::den;
    const long double part = static_cast<long double>(rest) * scale::num / scale::den;
    const auto cut = static_cast<go_nsec>(part);
    go_nsec r = 0;
    if (__builtin_mul_overflow(whole, scale::num, &r) ||
        __builtin_add_overflow(r, cut + (cut < part ? 1 : 0), &r)) {
      return n < count(0) ? INT64_MIN : INT64_MAX;
    }
    return r;
  }
}

}  // namespace detail

/* The clock of golib: go_now(). Go: time.Now. */
struct clock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<clock>;
  static constexpr bool is_steady = true;
  static time_point now() noexcept { return time_point(duration(go_now())); }
};

namespace detail {
/* From now until t, by t's clock. */
template <class Clock, class D>
go_nsec nsec_until(std::chrono::time_point<Clock, D> t) {
  return sub_sat(nsec_of(t.time_since_epoch()), nsec_of(Clock::now().time_since_epoch()));
}
template <class D>
go_nsec instant_of(std::chrono::time_point<clock, D> t) noexcept {
  return nsec_of(t.time_since_epoch());
}
/* On golib's clock. */
template <class Clock, class D>
go_nsec instant_of(std::chrono::time_point<Clock, D> t) {
  const go_nsec d = nsec_until(t), now = go_now();
  go_nsec r = 0;
  return __builtin_add_overflow(now, d, &r) ? (d < 0 ? INT64_MIN : GO_FOREVER) : r;
}
}  // namespace detail

/* ---- channels ---- */

/* Whether a T may be moved by copying its bytes and forgetting the original: such elements travel without
 * memory of their own. True for what is trivially copyable, the standard smart pointers and golib's handles; specialise
 * it for types of yours. */
template <class T>
struct is_relocatable : std::is_trivially_copyable<T> {};
template <class T>
struct is_relocatable<std::unique_ptr<T>> : std::true_type {};
template <class T>
struct is_relocatable<std::shared_ptr<T>> : std::true_type {};
template <class T>
struct is_relocatable<std::weak_ptr<T>> : std::true_type {};

/* An element that says only that it came. */
struct unit {};

namespace detail {

/* How a T lies in a channel: as bytes, as itself (moved there by its bytes), or as a pointer to one on the heap. */
template <class T>
inline constexpr bool as_bytes = std::is_trivially_copyable_v<T> && alignof(T) <= 16;
template <class T>
inline constexpr bool as_self = is_relocatable<T>::value && alignof(T) <= 16;

template <class T>
void destroy_self(void *p) {
  static_cast<T *>(p)->~T();
}
template <class T>
void destroy_boxed(void *p) {
  delete *static_cast<T **>(p);
}

/* A T on its way into a channel: data() for the C functions, then sent() when they have taken it, else it is moved
 * back to where it came from. */
template <class T>
class outgoing {
 public:
  static_assert(!std::is_const_v<T> && !std::is_reference_v<T> && std::is_move_constructible_v<T>,
                "a channel's elements are movable objects");
  explicit outgoing(T &&from) : from_(std::addressof(from)) { make(std::move(from)); }
  explicit outgoing(const T &from) : from_(nullptr) { make(from); }
  outgoing(const outgoing &) = delete;
  outgoing &operator=(const outgoing &) = delete;
  ~outgoing() {
    if (data_ == nullptr) return;
    if (from_ != nullptr) give_back(*get());
    drop();
  }
  const void *data() noexcept {
    if constexpr (as_self<T>) {
      return data_;
    } else {
      return &data_;
    }
  }
  void sent() noexcept { data_ = nullptr; }

 private:
  template <class U>
  void make(U &&from) {
    if constexpr (as_self<T>) {
      data_ = ::new (static_cast<void *>(room_)) T(std::forward<U>(from));
    } else {
      data_ = new T(std::forward<U>(from));
    }
  }
  T *get() noexcept { return data_; }
  void give_back(T &t) {
    if constexpr (std::is_move_assignable_v<T>) {
      *from_ = std::move(t);
    } else {
      from_->~T();
      ::new (static_cast<void *>(from_)) T(std::move(t));
    }
  }
  void drop() {
    if constexpr (as_self<T>) {
      data_->~T();
    } else {
      delete data_;
    }
  }
  T *from_, *data_ = nullptr;
  alignas(T) unsigned char room_[as_self<T> ? sizeof(T) : 1];
};

/* A T that is its bytes: where it lies. */
template <class T>
class outgoing_bytes {
 public:
  explicit outgoing_bytes(const T &from) noexcept : from_(std::addressof(from)) {}
  const void *data() const noexcept { return from_; }
  void sent() noexcept {}

 private:
  const T *from_;
};
template <class T>
using out = std::conditional_t<as_bytes<T>, outgoing_bytes<T>, outgoing<T>>;

/* Room for a T out of a channel. take() exactly when one came. */
template <class T>
class in {
 public:
  void *data() noexcept {
    if constexpr (as_self<T>) {
      return room_;
    } else {
      return &box_;
    }
  }
  std::optional<T> take() {
    if constexpr (as_self<T>) {
      struct end {
        T *p;
        ~end() { p->~T(); }
      } e{std::launder(reinterpret_cast<T *>(room_))};
      return std::optional<T>(std::move(*e.p));
    } else {
      std::unique_ptr<T> box(box_);
      return std::optional<T>(std::move(*box));
    }
  }

 private:
  T *box_ = nullptr;
  alignas(T) unsigned char room_[as_self<T> ? sizeof(T) : 1];
};

}  // namespace detail

class context;

/* A channel of Ts: any type that can be moved. A handle: copies are the same channel, which goes with the last
 * one; elements that nobody has received are destroyed then. A moved-from handle, and chan(nullptr), is the nil
 * channel: it blocks for ever and is never ready in a select. Methods are const as they leave the handle
 * alone. Not more than 2^32-1 handles. Go: chan. */
template <class T>
class chan {
 public:
  using value_type = T;

  /* A new channel. Throws go::error (no_memory). Go: make(chan T, cap). */
  chan() : chan(static_cast<std::size_t>(0)) {}
  template <class N, std::enable_if_t<std::is_integral_v<N>, int> = 0>
  explicit chan(N cap) : c_(make(static_cast<std::size_t>(cap))) {
    if (c_ == nullptr) detail::fail(GO_ENOMEM, "go::chan");
  }
  template <class N, std::enable_if_t<std::is_same_v<N, std::nullptr_t>, int> = 0>
  chan(N) noexcept : c_(nullptr) {}
  chan(const chan &o) noexcept : c_(go_chan_ref(o.c_)) {}
  chan(chan &&o) noexcept : c_(std::exchange(o.c_, nullptr)) {}
  chan &operator=(chan o) noexcept {
    std::swap(c_, o.c_);
    return *this;
  }
  ~chan() { go_chan_unref(c_); }

  /* A handle on a channel of the C API with elements of sizeof(T) bytes; it takes over one reference. */
  static chan adopt(go_chan *c) noexcept {
    static_assert(detail::as_self<T>, "a C channel has the elements' bytes");
    chan r(nullptr);
    r.c_ = c;
    return r;
  }
  go_chan *get() const noexcept { return c_; }
  explicit operator bool() const noexcept { return c_ != nullptr; }
  friend bool operator==(const chan &a, const chan &b) noexcept { return a.c_ == b.c_; }
  friend bool operator!=(const chan &a, const chan &b) noexcept { return a.c_ != b.c_; }

  /* Sends v. Panics when the channel is closed, before or during the wait. An rvalue that could not be sent keeps
   * its value. Suspends. Go: c <- v. */
  void send(const T &v) const { must_send(detail::out<T>(v)); }
  void send(T &&v) const { must_send(detail::out<T>(std::move(v))); }
  /* The same until ctx is done: throws go::error (canceled, timed_out; closed instead of a panic). */
  void send(const context &ctx, const T &v) const;
  void send(const context &ctx, T &&v) const;
  /* The same without throwing: true when it was sent, else ec says why not. */
  bool send(const context &ctx, const T &v, std::error_code &ec) const;
  bool send(const context &ctx, T &&v, std::error_code &ec) const;
  /* Sends if that needs no wait: else false, and ec is again or closed. */
  bool try_send(const T &v, std::error_code &ec) const { return may_send(detail::out<T>(v), ec); }
  bool try_send(T &&v, std::error_code &ec) const {
    return may_send(detail::out<T>(std::move(v)), ec);
  }
  bool try_send(const T &v) const {
    std::error_code ec;
    return try_send(v, ec);
  }
  bool try_send(T &&v) const {
    std::error_code ec;
    return try_send(std::move(v), ec);
  }

  /* Receives; nothing when the channel is closed and drained. Suspends. Go: v, ok := <-c. */
  std::optional<T> recv() const {
    detail::in<T> i;
    if (!go_chan_recv(c_, i.data())) return std::nullopt;
    return i.take();
  }
  /* The same until ctx is done: throws go::error (canceled, timed_out). */
  std::optional<T> recv(const context &ctx) const;
  /* The same without throwing: nothing and ec closed, canceled or timed_out. */
  std::optional<T> recv(const context &ctx, std::error_code &ec) const;
  /* Receives if that needs no wait: else nothing, and ec is again or closed. */
  std::optional<T> try_recv(std::error_code &ec) const {
    detail::in<T> i;
    if (!detail::set(ec, go_chan_try_recv(c_, i.data()))) return std::nullopt;
    return i.take();
  }
  std::optional<T> try_recv() const {
    std::error_code ec;
    return try_recv(ec);
  }

  /* Closes: what was sent can still be received. Panics when it is closed already, or nil. Go: close. */
  void close() const { go_chan_close(c_); }
  std::size_t size() const noexcept { return go_chan_len(c_); }
  std::size_t capacity() const noexcept { return go_chan_cap(c_); }

  /* for (T v : c): receives until the channel is closed and drained. Each element is moved out. */
  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using pointer = T *;
    using reference = T;
    iterator() noexcept = default;
    explicit iterator(const chan &c) : c_(&c), v_(c.recv()) {}
    T operator*() { return std::move(*v_); }
    T *operator->() { return &*v_; }
    iterator &operator++() {
      v_.reset();
      if (std::optional<T> next = c_->recv()) v_.emplace(std::move(*next));
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator &a, const iterator &b) noexcept {
      return a.v_.has_value() == b.v_.has_value();
    }
    friend bool operator!=(const iterator &a, const iterator &b) noexcept { return !(a == b); }

   private:
    const chan *c_ = nullptr;
    std::optional<T> v_;
  };
  iterator begin() const { return iterator(*this); }
  iterator end() const noexcept { return iterator(); }

 private:
  static go_chan *make(std::size_t cap) {
    if constexpr (detail::as_bytes<T>) {
      return go_chan_new(sizeof(T), cap);
    } else if constexpr (detail::as_self<T>) {
      return go_chan_new_destroy(sizeof(T), cap, detail::destroy_self<T>);
    } else {
      return go_chan_new_destroy(sizeof(T *), cap, detail::destroy_boxed<T>);
    }
  }
  template <class Out>
  void must_send(Out &&o) const {
    if (go_chan_send_ctx(nullptr, c_, o.data()) != 0) go_panic("send on closed channel");
    o.sent();
  }
  template <class Out>
  bool may_send(Out &&o, std::error_code &ec) const {
    if (!detail::set(ec, go_chan_try_send(c_, o.data()))) return false;
    o.sent();
    return true;
  }
  template <class Out>
  int send_ctx(go_ctx *ctx, Out &&o) const {
    const int r = go_chan_send_ctx(ctx, c_, o.data());
    if (r == 0) o.sent();
    return r;
  }

  go_chan *c_;
};

template <class T>
struct is_relocatable<chan<T>> : std::true_type {};

/* ---- contexts ---- */

/* A key for values in contexts: make one static object per kind of value. */
template <class T>
class context_key {
 public:
  constexpr context_key() noexcept = default;
  context_key(const context_key &) = delete;
  context_key &operator=(const context_key &) = delete;

 private:
  char unused_ = 0; /* objects have addresses of their own */
};

/* Carries cancellation, a deadline, values. A handle: copies are the same context. context() is the root, which
 * is never done. Go: context.Context. */
class context {
 public:
  context() noexcept : c_(nullptr) {}
  context(const context &o) noexcept : c_(go_ctx_ref(o.c_)) {}
  context(context &&o) noexcept : c_(std::exchange(o.c_, nullptr)) {}
  context &operator=(context o) noexcept {
    std::swap(c_, o.c_);
    return *this;
  }
  ~context() { go_ctx_unref(c_); }

  /* Takes over a reference; nullptr: the root. */
  static context adopt(go_ctx *c) noexcept {
    context r;
    r.c_ = c;
    return r;
  }
  go_ctx *get() const noexcept { return c_; }
  friend bool operator==(const context &a, const context &b) noexcept { return a.c_ == b.c_; }
  friend bool operator!=(const context &a, const context &b) noexcept { return a.c_ != b.c_; }

  /* Makes it and its descendants done. The root cannot be cancelled. Go: CancelFunc, CancelCauseFunc. */
  void cancel() const noexcept { go_ctx_cancel(c_); }
  void cancel(int cause) const noexcept { go_ctx_cancel_cause(c_, cause); }

  bool done() const noexcept { return go_ctx_err(c_) != 0; }
  /* Nothing while it is open; then canceled or timed_out. Go: Context.Err. */
  std::error_code err() const noexcept {
    std::error_code ec;
    detail::set(ec, go_ctx_err(c_));
    return ec;
  }
  /* Throws go::error (canceled, timed_out) when it is done: for long loops. */
  void check() const { detail::check(go_ctx_err(c_), "go::context"); }
  /* 0 while it is open; then what cancel was given, or golib's code. Go: context.Cause. */
  int cause() const noexcept { return go_ctx_cause(c_); }
  /* When it will be done at the latest: time_point::max() if that is not known. */
  clock::time_point deadline() const noexcept {
    return clock::time_point(clock::duration(go_ctx_deadline(c_)));
  }
  /* Closed when it is done: for select. The root's is nil. Throws go::error (no_memory). Go: Context.Done. */
  chan<unit> done_chan() const {
    go_chan *c = go_ctx_done(c_);
    if (c == nullptr && c_ != nullptr && c_ != go_ctx_background()) {
      detail::fail(GO_ENOMEM, "go::context::done_chan");
    }
    return chan<unit>::adopt(go_chan_ref(c));
  }
  /* The value that with_value gave it or an ancestor; nullptr: none. Valid while the context lives. */
  template <class T>
  const T *value(const context_key<T> &key) const noexcept {
    return static_cast<const T *>(go_ctx_value(c_, &key));
  }

 private:
  go_ctx *c_;
};

template <>
struct is_relocatable<context> : std::true_type {};

/* A context that is cancelled when this object goes: what is started under it does not outlive the block
 * unnoticed. Also as context::cancel, copies live on. */
class owned_context : public context {
 public:
  explicit owned_context(context c) noexcept : context(std::move(c)) {}
  owned_context(owned_context &&) noexcept = default;
  owned_context &operator=(owned_context &&o) noexcept {
    cancel();
    context::operator=(std::move(o));
    return *this;
  }
  owned_context(const owned_context &) = delete;
  owned_context &operator=(const owned_context &) = delete;
  ~owned_context() { cancel(); }
};

namespace detail {
inline owned_context made(go_ctx *c, const char *what) {
  if (c == nullptr) fail(GO_ENOMEM, what);
  return owned_context(context::adopt(c));
}
template <class T>
void delete_value(void *p) {
  delete static_cast<T *>(p);
}
}  // namespace detail

/* Children of a context, cancelled when the object goes. All throw go::error (no_memory).
 * Go: context.WithCancel, WithTimeout, WithDeadline. */
[[nodiscard]] inline owned_context with_cancel(const context &parent) {
  return detail::made(go_ctx_with_cancel(parent.get()), "go::with_cancel");
}
template <class Rep, class Period>
[[nodiscard]] owned_context with_timeout(const context &parent,
                                         std::chrono::duration<Rep, Period> d) {
  return detail::made(go_ctx_with_timeout(parent.get(), detail::nsec_of(d)), "go::with_timeout");
}
template <class Clock, class D>
[[nodiscard]] owned_context with_deadline(const context &parent,
                                          std::chrono::time_point<Clock, D> t) {
  return detail::made(go_ctx_with_deadline(parent.get(), detail::instant_of(t)),
                      "go::with_deadline");
}
/* A child that carries a value under key as well. Go: WithValue. */
template <class T>
[[nodiscard]] context with_value(const context &parent, const context_key<T> &key, T value) {
  auto box = std::make_unique<T>(std::move(value));
  go_ctx *c = go_ctx_with_value(parent.get(), &key, box.get(), detail::delete_value<T>);
  if (c == nullptr) detail::fail(GO_ENOMEM, "go::with_value");
  box.release();
  return context::adopt(c);
}
/* A child with the parent's values, but neither its end nor its deadline. Go: WithoutCancel. */
[[nodiscard]] inline context without_cancel(const context &parent) {
  return detail::made(go_ctx_without_cancel(parent.get()), "go::without_cancel");
}

template <class T>
void chan<T>::send(const context &ctx, const T &v) const {
  detail::check(send_ctx(ctx.get(), detail::out<T>(v)), "go::chan::send");
}
template <class T>
void chan<T>::send(const context &ctx, T &&v) const {
  detail::check(send_ctx(ctx.get(), detail::out<T>(std::move(v))), "go::chan::send");
}
template <class T>
bool chan<T>::send(const context &ctx, const T &v, std::error_code &ec) const {
  return detail::set(ec, send_ctx(ctx.get(), detail::out<T>(v)));
}
template <class T>
bool chan<T>::send(const context &ctx, T &&v, std::error_code &ec) const {
  return detail::set(ec, send_ctx(ctx.get(), detail::out<T>(std::move(v))));
}
template <class T>
std::optional<T> chan<T>::recv(const context &ctx, std::error_code &ec) const {
  detail::in<T> i;
  if (!detail::set(ec, go_chan_recv_ctx(ctx.get(), c_, i.data()))) return std::nullopt;
  return i.take();
}
template <class T>
std::optional<T> chan<T>::recv(const context &ctx) const {
  std::error_code ec;
  std::optional<T> v = recv(ctx, ec);
  if (ec && ec != errc::closed) detail::fail(ec.value(), "go::chan::recv");
  return v;
}

/* ---- goroutines ---- */

/* How a goroutine is started. */
struct options {
  const char *name = nullptr; /* for dumps and reports; copied, 31 bytes are kept */
  std::size_t stack_size = 0; /* bytes, 16 KiB to 1 GiB; 0: the program's */
  bool pinned = false;        /* stays on one thread of its own */
};

namespace detail {

/* What a goroutine is called when nobody says: the type of its function, "main()::<lambda()>". */
template <class F>
constexpr std::string_view type_text() noexcept {
  std::string_view s = __PRETTY_FUNCTION__;
  const std::size_t at = s.find("F = ");
  s.remove_prefix(at == s.npos ? 0 : at + 4);
  const std::size_t end = s.find_last_of(";]");
  const std::size_t first = s.find(';');
  return s.substr(0, first != s.npos ? first : end);
}
template <class F>
struct type_site {
  static constexpr auto make() noexcept {
    constexpr std::string_view s = type_text<F>();
    std::array<char, s.size() + 1> a{};
    for (std::size_t i = 0; i < s.size(); i++) a[i] = s[i];
    return a;
  }
  static constexpr auto text = make();
};

/* A function and its arguments, as they lie in the goroutine. */
template <class F, class... A>
class closure {
 public:
  template <class G, class... B>
  explicit closure(G &&f, B &&...args) : f_(std::forward<G>(f)), args_(std::forward<B>(args)...) {}
  decltype(auto) operator()() {
    return std::apply(
        [this](A &...args) -> decltype(auto) {
          return std::invoke(std::move(f_), std::move(args)...);
        },
        args_);
  }

 private:
  F f_;
  std::tuple<A...> args_;
};
template <class F>
class closure<F> {
 public:
  template <class G>
  explicit closure(std::in_place_t, G &&f) : f_(std::forward<G>(f)) {}
  decltype(auto) operator()() { return std::invoke(std::move(f_)); }

 private:
  F f_;
};
template <class F, class... A>
auto close_over(F &&f, A &&...args) {
  using C = closure<std::decay_t<F>, std::decay_t<A>...>;
  static_assert(std::is_invocable_v<std::decay_t<F>, std::decay_t<A>...>,
                "the function cannot be called with these arguments");
  if constexpr (sizeof...(A) == 0) {
    return C(std::in_place, std::forward<F>(f));
  } else {
    return C(std::forward<F>(f), std::forward<A>(args)...);
  }
}

/* On the heap, for what cannot be moved into the goroutine without failing, or lie there. */
template <class C>
struct boxed {
  std::unique_ptr<C> c;
  decltype(auto) operator()() { return (*c)(); }
};

template <class C>
void run_closure(void *p) {
  struct end {
    C *c;
    ~end() { c->~C(); }
  } e{static_cast<C *>(p)};
  (*e.c)();
}
template <class C>
void make_closure(void *to, void *from) {
  ::new (to) C(std::move(*static_cast<C *>(from)));
}

/* Moves c into a new goroutine. Returns the code. */
template <class C>
int start(const char *where, const options *o, C &&c, void (*on_end)(void *) = nullptr,
          void *end_arg = nullptr) {
  if constexpr (!std::is_nothrow_move_constructible_v<C> || (alignof(C) > 16)) {
    return start(where, o, boxed<C>{std::make_unique<C>(std::move(c))}, on_end, end_arg);
  } else {
    go_spawn_opts opts{};
    go_making_ m{where,           nullptr,           run_closure<C>, sizeof(C),
                 make_closure<C>, std::addressof(c), on_end,         end_arg};
    if (o != nullptr) {
      opts.name = o->name;
      opts.stack_size = o->stack_size;
      opts.pinned = o->pinned;
      m.opts = &opts;
    }
    return go_spawn_make_(&m);
  }
}

template <class T>
inline constexpr bool is_how =
    std::is_same_v<std::decay_t<T>, options> || std::is_same_v<std::decay_t<T>, site>;

template <class F>
constexpr const char *site_of() noexcept {
  return type_site<std::decay_t<F>>::text.data();
}

}  // namespace detail

/* Starts f(args...) as a goroutine. f and args are moved or copied into it, as with std::thread, without
 * memory of their own unless they are larger than half the stack, and destroyed when it ends. The result is
 * dropped; an exception is the goroutine's panic. Throws go::error (no_memory, again; with options also invalid).
 * Never suspends. Go: the go statement. */
template <class F, class... A, std::enable_if_t<!detail::is_how<F>, int> = 0>
void spawn(F &&f, A &&...args) {
  detail::check(detail::start(detail::site_of<F>(), nullptr,
                              detail::close_over(std::forward<F>(f), std::forward<A>(args)...)),
                "go::spawn");
}
template <class F, class... A>
void spawn(const options &o, F &&f, A &&...args) {
  detail::check(detail::start(detail::site_of<F>(), &o,
                              detail::close_over(std::forward<F>(f), std::forward<A>(args)...)),
                "go::spawn");
}
template <class F, class... A>
void spawn(site where, F &&f, A &&...args) {
  detail::check(detail::start(where.text, nullptr,
                              detail::close_over(std::forward<F>(f), std::forward<A>(args)...)),
                "go::spawn");
}
/* The same without throwing go::error: false, and ec says why. */
template <class F, class... A>
bool try_spawn(std::error_code &ec, F &&f, A &&...args) {
  return detail::set(
      ec, detail::start(detail::site_of<F>(), nullptr,
                        detail::close_over(std::forward<F>(f), std::forward<A>(args)...)));
}

/* Lets others run first. Suspends. Go: runtime.Gosched. */
inline void yield() { go_yield(); }
/* Yields if the scheduler wants the processor for others. Suspends. */
inline bool checkpoint() { return go_checkpoint(); }

/* Sleep. With a context: throws go::error (canceled, timed_out) when that is done before, or says so in ec.
 * duration::max() is for ever. Suspend. Go: time.Sleep. */
template <class Rep, class Period>
void sleep_for(std::chrono::duration<Rep, Period> d) {
  detail::check(go_sleep(nullptr, detail::nsec_of(d)), "go::sleep_for");
}
template <class Rep, class Period>
void sleep_for(const context &ctx, std::chrono::duration<Rep, Period> d) {
  detail::check(go_sleep(ctx.get(), detail::nsec_of(d)), "go::sleep_for");
}
template <class Rep, class Period>
bool sleep_for(const context &ctx, std::chrono::duration<Rep, Period> d, std::error_code &ec) {
  return detail::set(ec, go_sleep(ctx.get(), detail::nsec_of(d)));
}
/* Until t by its own clock, also when that is set meanwhile. */
template <class Clock, class D>
bool sleep_until(const context &ctx, std::chrono::time_point<Clock, D> t, std::error_code &ec) {
  int r = go_ctx_err(ctx.get());
  for (go_nsec d; r == 0 && (d = detail::nsec_until(t)) > 0;) r = go_sleep(ctx.get(), d);
  return detail::set(ec, r);
}
template <class Clock, class D>
void sleep_until(const context &ctx, std::chrono::time_point<Clock, D> t) {
  std::error_code ec;
  if (!sleep_until(ctx, t, ec)) detail::fail(ec.value(), "go::sleep_until");
}
template <class Clock, class D>
void sleep_until(std::chrono::time_point<Clock, D> t) {
  sleep_until(context(), t);
}

/* ---- deferred calls and go::try_ ---- */

/* Calls a function at the end of the block, however that is left: go::defer d([&] { ... }); */
template <class F>
class [[nodiscard]] defer {
 public:
  explicit defer(F f) : f_(std::move(f)) {}
  defer(const defer &) = delete;
  defer &operator=(const defer &) = delete;
  ~defer() noexcept(noexcept(std::declval<F &>()())) { f_(); }

 private:
  F f_;
};

/* How a function ended: with a value, or by an exception or a panic. */
template <class T>
class outcome {
 public:
  bool ok() const noexcept { return rc_ == 0; }
  explicit operator bool() const noexcept { return ok(); }
  /* The value, or the original exception is thrown, or the panic goes on. Once. */
  T get() {
    if (!ok()) go_on();
    return slot_.take();
  }
  /* Of the panic or the exception: its text, and where. */
  const go_panic_info &info() const noexcept { return info_; }
  const char *what() const noexcept { return info_.text; }
#if GO_EXCEPTIONS_
  /* Not null when it did not end well. */
  std::exception_ptr exception() const {
    return !ok() && !error_ ? std::make_exception_ptr(panic_error(info_)) : error_;
  }
#endif

  /* Of go::try_. */
  template <class F>
  void run_(F &f) {
    auto body = [this, &f] { fill(f); };
    rc_ = go_try(detail::call_ref<decltype(body)>, &body, &info_);
  }

 private:
  template <class F>
  void fill(F &f) {
#if GO_EXCEPTIONS_
    try {
      slot_.fill(f);
    } catch (const detail::exiting &) {
      throw;
    } catch (...) {
      error_ = std::current_exception();
      throw;
    }
#else
    slot_.fill(f);
#endif
  }
  [[noreturn]] void go_on() {
#if GO_EXCEPTIONS_
    std::rethrow_exception(exception());
#else
    go_panic_value(info_.value, info_.text);
#endif
  }
  detail::slot<T> slot_;
  go_panic_info info_{};
  int rc_ = 0;
#if GO_EXCEPTIONS_
  std::exception_ptr error_;
#endif
};

/* Calls f(): the boundary that panics and exceptions do not cross. go::exit does. Go: recover. */
template <class F>
auto try_(F &&f) {
  outcome<std::invoke_result_t<F &>> r;
  r.run_(f);
  return r;
}

/* ---- select ---- */

namespace detail {

struct nothing {
  template <class... A>
  void operator()(A &&...) const noexcept {}
};

/* One value may stand in several cases of a select, of which one goes: they share what is on its way. */
struct shared_out {
  const void *from; /* NULL: of nobody */
  const void *type;
  void *out;
};
template <class T, class F>
class recv_case {
 public:
  recv_case(const chan<T> &c, F f) : c_(c.get()), f_(std::forward<F>(f)) {}
  recv_case(const recv_case &) = delete;
  recv_case &operator=(const recv_case &) = delete;
  go_case make(shared_out *) noexcept { return {c_, in_.data(), GO_RECV, false}; }
  void sent() noexcept {}
  void give_back() noexcept {}
  void went(bool ok) {
    std::optional<T> v = ok ? in_.take() : std::optional<T>();
    if constexpr (std::is_same_v<std::remove_reference_t<F>, std::optional<T>>) {
      f_.reset();
      if (v) f_.emplace(std::move(*v));
    } else if constexpr (std::is_invocable_v<F &, std::optional<T>>) {
      f_(std::move(v));
    } else {
      f_();
    }
  }

 private:
  go_chan *c_;
  F f_;
  in<T> in_;
};

template <class T>
inline constexpr char type_tag = 0;

/* Copies: v stays what it is; else it is moved if the case goes. */
template <class T, class F, bool Copies>
class send_case {
 public:
  using from = std::conditional_t<Copies, const T, T>;
  send_case(const chan<T> &c, from &v, F f)
      : c_(c.get()), from_(std::addressof(v)), f_(std::forward<F>(f)) {}
  send_case(const send_case &) = delete;
  send_case &operator=(const send_case &) = delete;
  go_case make(shared_out *shared) {
    if constexpr (Copies) {
      out_ = &own_.emplace(*from_);
    } else {
      while (shared->from != nullptr && (shared->from != from_ || shared->type != &type_tag<T>)) {
        shared++;
      }
      if (shared->from == nullptr) {
        *shared = {from_, &type_tag<T>, &own_.emplace(std::move(*from_))};
      }
      out_ = static_cast<out<T> *>(shared->out);
    }
    return {c_, const_cast<void *>(out_->data()), GO_SEND, false};
  }
  void sent() noexcept { out_->sent(); }
  void give_back() { own_.reset(); }
  void went(bool) { f_(); }

 private:
  go_chan *c_;
  from *from_;
  out<T> *out_ = nullptr;
  std::optional<out<T>> own_;
  F f_;
};

template <class F>
struct default_case {
  F f;
};

template <class T>
struct is_default : std::false_type {};
template <class F>
struct is_default<default_case<F>> : std::true_type {};

/* Selects among the first of the cases in `all`. When their functions are called, what was not sent is back where it
 * came from. */
template <class Tuple, std::size_t... I, class How>
int select_some(Tuple &all, std::index_sequence<I...>, How how) {
  constexpr int n = static_cast<int>(sizeof...(I));
  [[maybe_unused]] std::array<shared_out, sizeof...(I) + 1> shared{};
  std::array<go_case, sizeof...(I) + 1> k{{std::get<I>(all).make(shared.data())...}};
  const int r = how(k.data(), n);
  (void)((static_cast<int>(I) == r && (std::get<I>(all).sent(), true)) || ...);
  (std::get<I>(all).give_back(), ...);
  if (r >= 0) {
    [[maybe_unused]] const bool ok = k[static_cast<std::size_t>(r)].ok;
    (void)((static_cast<int>(I) == r && (std::get<I>(all).went(ok), true)) || ...);
  }
  return r;
}

template <class... C>
int select_wait(go_ctx *ctx, C &...cases) {
  std::tuple<C &...> all(cases...);
  return select_some(all, std::index_sequence_for<C...>(),
                     [ctx](go_case *k, int n) { return go_select(ctx, k, n); });
}

/* The last case is the default. */
template <class Tuple, std::size_t... I>
int select_now(Tuple all, std::index_sequence<I...> cases) {
  const int r = select_some(all, cases, go_select_try);
  if (r != GO_EAGAIN) return r;
  std::get<sizeof...(I)>(all).f();
  return static_cast<int>(sizeof...(I));
}

template <class... C>
inline constexpr bool has_default = (is_default<std::decay_t<C>>::value || ...);
template <class First, class... Rest>
using last_of = std::tuple_element_t<sizeof...(Rest), std::tuple<First, Rest...>>;

}  // namespace detail

/* The cases of a select, to be written in the call of it.
 *   recv(c, f)      f(std::optional<T>): the element, or nothing when c is closed and drained; also f()
 *   recv(c, v)      v, a std::optional<T>, gets the same
 *   recv(c)         the element is dropped
 *   send(c, v, f)   f() when v was sent; an rvalue that was not keeps its value, and may stand in several cases
 *   otherwise(f)    f() when no case can go now; the last one. Go: default */
template <class T, class F>
[[nodiscard]] detail::recv_case<T, F> recv(const chan<T> &c, F &&f) {
  return {c, std::forward<F>(f)};
}
template <class T>
[[nodiscard]] detail::recv_case<T, detail::nothing> recv(const chan<T> &c) {
  return {c, {}};
}
template <class T, class U, class F>
[[nodiscard]] auto send(const chan<T> &c, U &&v, F &&f) {
  if constexpr (std::is_same_v<std::decay_t<U>, T>) {
    return detail::send_case<T, F, !std::is_same_v<U, T>>(c, v, std::forward<F>(f));
  } else {
    static_assert(std::is_same_v<std::decay_t<U>, T>, "convert the value to the channel's type");
  }
}
template <class T, class U>
[[nodiscard]] auto send(const chan<T> &c, U &&v) {
  return go::send(c, std::forward<U>(v), detail::nothing());
}
template <class F>
[[nodiscard]] detail::default_case<F> otherwise(F f) {
  return {std::move(f)};
}
[[nodiscard]] inline detail::default_case<detail::nothing> otherwise() { return {}; }

/* Waits until one of the cases can go, does exactly that one, calls its function, and returns its number, from
 * 0; among several that can go each has the same chance. Panics when the case that goes is a send on a closed
 * channel. Suspends, except with otherwise. Go: select. */
template <class C, class... More,
          std::enable_if_t<!std::is_base_of_v<context, std::decay_t<C>>, int> = 0>
int select(C &&first, More &&...more) {
  if constexpr (detail::is_default<std::decay_t<detail::last_of<C, More...>>>::value) {
    return detail::select_now(std::forward_as_tuple(first, more...),
                              std::make_index_sequence<sizeof...(More)>());
  } else {
    static_assert(!detail::has_default<C, More...>, "otherwise comes last");
    const int r = detail::select_wait(nullptr, first, more...);
    detail::check(r, "go::select");
    return r;
  }
}
/* The same until ctx is done: throws go::error (canceled, timed_out), or returns the negative code and sets ec. */
template <class... C, std::enable_if_t<!detail::has_default<C...>, int> = 0>
int select(const context &ctx, std::error_code &ec, C &&...cases) {
  const int r = detail::select_wait(ctx.get(), cases...);
  detail::set(ec, r);
  return r;
}
template <class... C, std::enable_if_t<!detail::has_default<C...>, int> = 0>
int select(const context &ctx, C &&...cases) {
  const int r = detail::select_wait(ctx.get(), cases...);
  detail::check(r, "go::select");
  return r;
}

/* ---- sync ---- */

namespace detail {
/* f(a context that ends d from now). */
template <class Rep, class Period, class F>
int within(std::chrono::duration<Rep, Period> d, F f) {
  const owned_context ctx = with_timeout(context(), d);
  return f(ctx.get());
}
inline bool in_time(int r, const char *what) {
  if (r != GO_ETIMEDOUT) check(r, what);
  return r == 0;
}
template <class Clock, class D>
std::chrono::nanoseconds left(std::chrono::time_point<Clock, D> t) {
  return std::chrono::nanoseconds(nsec_until(t));
}
}  // namespace detail

/* Lockable and TimedLockable: for std::lock_guard, unique_lock, scoped_lock. May be held across calls that suspend.
 * Go: sync.Mutex. */
class mutex {
 public:
  constexpr mutex() noexcept = default;
  mutex(const mutex &) = delete;
  mutex &operator=(const mutex &) = delete;
  void lock() { go_mutex_lock(&m_); }
  bool try_lock() noexcept { return go_mutex_trylock(&m_); }
  void unlock() { go_mutex_unlock(&m_); }
  /* Throws go::error (canceled, timed_out). */
  void lock(const context &ctx) {
    detail::check(go_mutex_lock_ctx(ctx.get(), &m_), "go::mutex::lock");
  }
  bool lock(const context &ctx, std::error_code &ec) {
    return detail::set(ec, go_mutex_lock_ctx(ctx.get(), &m_));
  }
  template <class Rep, class Period>
  bool try_lock_for(std::chrono::duration<Rep, Period> d) {
    return try_lock() ||
           detail::in_time(
               detail::within(d, [this](go_ctx *c) { return go_mutex_lock_ctx(c, &m_); }),
               "go::mutex::try_lock_for");
  }
  template <class Clock, class D>
  bool try_lock_until(std::chrono::time_point<Clock, D> t) {
    return try_lock_for(detail::left(t));
  }
  go_mutex *native_handle() noexcept { return &m_; }

 private:
  go_mutex m_{};
};

/* SharedMutex: for std::shared_lock as well. Go: sync.RWMutex. */
class rwmutex {
 public:
  constexpr rwmutex() noexcept = default;
  rwmutex(const rwmutex &) = delete;
  rwmutex &operator=(const rwmutex &) = delete;
  void lock() { go_rwmutex_lock(&m_); }
  bool try_lock() noexcept { return go_rwmutex_trylock(&m_); }
  void unlock() { go_rwmutex_unlock(&m_); }
  void lock_shared() { go_rwmutex_rlock(&m_); }
  bool try_lock_shared() noexcept { return go_rwmutex_tryrlock(&m_); }
  void unlock_shared() { go_rwmutex_runlock(&m_); }
  /* Throw go::error (canceled, timed_out). */
  void lock(const context &ctx) {
    detail::check(go_rwmutex_lock_ctx(ctx.get(), &m_), "go::rwmutex::lock");
  }
  bool lock(const context &ctx, std::error_code &ec) {
    return detail::set(ec, go_rwmutex_lock_ctx(ctx.get(), &m_));
  }
  void lock_shared(const context &ctx) {
    detail::check(go_rwmutex_rlock_ctx(ctx.get(), &m_), "go::rwmutex::lock_shared");
  }
  bool lock_shared(const context &ctx, std::error_code &ec) {
    return detail::set(ec, go_rwmutex_rlock_ctx(ctx.get(), &m_));
  }
  template <class Rep, class Period>
  bool try_lock_for(std::chrono::duration<Rep, Period> d) {
    return try_lock() ||
           detail::in_time(
               detail::within(d, [this](go_ctx *c) { return go_rwmutex_lock_ctx(c, &m_); }),
               "go::rwmutex::try_lock_for");
  }
  template <class Clock, class D>
  bool try_lock_until(std::chrono::time_point<Clock, D> t) {
    return try_lock_for(detail::left(t));
  }
  template <class Rep, class Period>
  bool try_lock_shared_for(std::chrono::duration<Rep, Period> d) {
    return try_lock_shared() ||
           detail::in_time(
               detail::within(d, [this](go_ctx *c) { return go_rwmutex_rlock_ctx(c, &m_); }),
               "go::rwmutex::try_lock_shared_for");
  }
  template <class Clock, class D>
  bool try_lock_shared_until(std::chrono::time_point<Clock, D> t) {
    return try_lock_shared_for(detail::left(t));
  }
  go_rwmutex *native_handle() noexcept { return &m_; }

 private:
  go_rwmutex m_{};
};

/* A condition variable for go::mutex. No wake-ups without a notify; longest waiter first. Go: sync.Cond. */
class cond {
 public:
  constexpr cond() noexcept = default;
  cond(const cond &) = delete;
  cond &operator=(const cond &) = delete;
  void notify_one() { go_cond_signal(&c_); }
  void notify_all() { go_cond_broadcast(&c_); }

  void wait(std::unique_lock<mutex> &l) { go_cond_wait(&c_, l.mutex()->native_handle()); }
  template <class Pred>
  void wait(std::unique_lock<mutex> &l, Pred pred) {
    while (!pred()) wait(l);
  }
  /* Until ctx is done as well; the mutex is locked again in any case. Throw go::error (canceled, timed_out); those
   * with ec return false then. */
  bool wait(const context &ctx, std::unique_lock<mutex> &l, std::error_code &ec) {
    return detail::set(ec, go_cond_wait_ctx(ctx.get(), &c_, l.mutex()->native_handle()));
  }
  void wait(const context &ctx, std::unique_lock<mutex> &l) {
    detail::check(go_cond_wait_ctx(ctx.get(), &c_, l.mutex()->native_handle()), "go::cond::wait");
  }
  template <class Pred, std::enable_if_t<std::is_invocable_r_v<bool, Pred &>, int> = 0>
  bool wait(const context &ctx, std::unique_lock<mutex> &l, Pred pred, std::error_code &ec) {
    for (ec.clear(); !pred();) {
      if (!wait(ctx, l, ec)) return pred();
    }
    return true;
  }
  template <class Pred, std::enable_if_t<std::is_invocable_r_v<bool, Pred &>, int> = 0>
  void wait(const context &ctx, std::unique_lock<mutex> &l, Pred pred) {
    std::error_code ec;
    if (!wait(ctx, l, std::move(pred), ec)) detail::fail(ec.value(), "go::cond::wait");
  }
  template <class Rep, class Period>
  std::cv_status wait_for(std::unique_lock<mutex> &l, std::chrono::duration<Rep, Period> d) {
    const int r = detail::within(
        d, [&](go_ctx *c) { return go_cond_wait_ctx(c, &c_, l.mutex()->native_handle()); });
    return detail::in_time(r, "go::cond::wait_for") ? std::cv_status::no_timeout
                                                    : std::cv_status::timeout;
  }
  template <class Rep, class Period, class Pred>
  bool wait_for(std::unique_lock<mutex> &l, std::chrono::duration<Rep, Period> d, Pred pred) {
    if (pred()) return true;
    const owned_context ctx = with_timeout(context(), d);
    std::error_code ec;
    return wait(ctx, l, std::move(pred), ec);
  }
  template <class Clock, class D>
  std::cv_status wait_until(std::unique_lock<mutex> &l, std::chrono::time_point<Clock, D> t) {
    return wait_for(l, detail::left(t));
  }
  template <class Clock, class D, class Pred>
  bool wait_until(std::unique_lock<mutex> &l, std::chrono::time_point<Clock, D> t, Pred pred) {
    return wait_for(l, detail::left(t), std::move(pred));
  }
  go_cond *native_handle() noexcept { return &c_; }

 private:
  go_cond c_{};
};

/* Waits for a number of goroutines. Go: sync.WaitGroup. */
class wait_group {
 public:
  constexpr wait_group() noexcept = default;
  wait_group(const wait_group &) = delete;
  wait_group &operator=(const wait_group &) = delete;
  /* Panic when the counter becomes negative. */
  void add(int n = 1) { go_wg_add(&wg_, n); }
  void done() { go_wg_done(&wg_); }
  void wait() { go_wg_wait(&wg_); }
  /* Throws go::error (canceled, timed_out). */
  void wait(const context &ctx) {
    detail::check(go_wg_wait_ctx(ctx.get(), &wg_), "go::wait_group::wait");
  }
  bool wait(const context &ctx, std::error_code &ec) {
    return detail::set(ec, go_wg_wait_ctx(ctx.get(), &wg_));
  }
  /* False when d was over first. */
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> d) {
    return detail::in_time(detail::within(d, [this](go_ctx *c) { return go_wg_wait_ctx(c, &wg_); }),
                           "go::wait_group::wait_for");
  }
  /* Starts f(args...) as go::spawn does, counted until it has ended and its captures are gone, however that comes
   * about. Go: WaitGroup.Go. */
  template <class F, class... A>
  void spawn(F &&f, A &&...args) {
    auto c = detail::close_over(std::forward<F>(f), std::forward<A>(args)...);
    add(1);
    const int r = detail::start(detail::site_of<F>(), nullptr, std::move(c), count_down, &wg_);
    if (r != 0) {
      done();
      detail::fail(r, "go::wait_group::spawn");
    }
  }
  go_wg *native_handle() noexcept { return &wg_; }

 private:
  static void count_down(void *wg) { go_wg_done(static_cast<go_wg *>(wg)); }
  go_wg wg_{};
};

/* Does something once: the first call runs its function, others wait for it. However that ends it is done; an
 * exception goes to the first caller only. Go: sync.Once. */
class once {
 public:
  constexpr once() noexcept = default;
  once(const once &) = delete;
  once &operator=(const once &) = delete;
  template <class F>
  void call(F &&f) {
    detail::captured<void> what;
    auto body = [&] { what.run(f); };
    go_once_do(&o_, detail::call_ref<decltype(body)>, &body);
    what.take();
  }
  go_once *native_handle() noexcept { return &o_; }

 private:
  go_once o_{};
};

/* Weighted semaphore. Go: golang.org/x/sync/semaphore. */
class semaphore {
 public:
  constexpr explicit semaphore(std::int64_t size) noexcept : s_(GO_SEM_INIT(size)) {}
  semaphore(const semaphore &) = delete;
  semaphore &operator=(const semaphore &) = delete;
  void acquire(std::int64_t n = 1) {
    detail::check(go_sem_acquire(nullptr, &s_, n), "go::semaphore::acquire");
  }
  /* Throws go::error (canceled, timed_out), with nothing taken. */
  void acquire(const context &ctx, std::int64_t n = 1) {
    detail::check(go_sem_acquire(ctx.get(), &s_, n), "go::semaphore::acquire");
  }
  bool acquire(const context &ctx, std::int64_t n, std::error_code &ec) {
    return detail::set(ec, go_sem_acquire(ctx.get(), &s_, n));
  }
  bool try_acquire(std::int64_t n = 1) { return go_sem_try_acquire(&s_, n); }
  template <class Rep, class Period>
  bool try_acquire_for(std::chrono::duration<Rep, Period> d, std::int64_t n = 1) {
    return detail::in_time(
        detail::within(d, [this, n](go_ctx *c) { return go_sem_acquire(c, &s_, n); }),
        "go::semaphore::try_acquire_for");
  }
  /* Panics when more is released than was acquired. */
  void release(std::int64_t n = 1) { go_sem_release(&s_, n); }
  go_sem *native_handle() noexcept { return &s_; }

 private:
  go_sem s_;
};

/* ---- timers ---- */

namespace detail {

/* A function that C calls later, shared by whoever may still start it. */
class later {
 public:
  virtual ~later() = default;
  void ref() noexcept { refs_.fetch_add(1, std::memory_order_relaxed); }
  void unref() noexcept {
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
  /* For C; has a reference. */
  static void run(void *p) {
    struct end {
      later *l;
      ~end() { l->unref(); }
    } e{static_cast<later *>(p)};
    e.l->call();
  }

 private:
  virtual void call() = 0;
  std::atomic<int> refs_{1};
};
template <class F>
class later_of final : public later {
 public:
  template <class G>
  explicit later_of(G &&f) : f_(std::forward<G>(f)) {}

 private:
  void call() override { f_(); }
  F f_;
};
template <class F>
later *make_later(F &&f) {
  return new later_of<std::decay_t<F>>(std::forward<F>(f));
}

}  // namespace detail

/* Calls a function in a goroutine of its own when its time has come; stopped when it goes, without waiting for
 * a function that has been started. Go: time.AfterFunc. */
class timer {
 public:
  /* Throws go::error (no_memory, again). */
  template <class Rep, class Period, class F>
  timer(std::chrono::duration<Rep, Period> d, F &&f) : f_(detail::make_later(std::forward<F>(f))) {
    f_->ref(); /* the timer's, while it is active; its call's then */
    const int r = go_timer_start(&t_, detail::nsec_of(d), detail::later::run, f_);
    if (r != 0) {
      f_->unref();
      f_->unref();
      detail::fail(r, "go::timer");
    }
  }
  timer(const timer &) = delete;
  timer &operator=(const timer &) = delete;
  ~timer() {
    stop();
    f_->unref();
  }
  /* True: it was active, and the function will not be called. Go: Timer.Stop. */
  bool stop() {
    const bool active = go_timer_stop(&t_);
    if (active) f_->unref();
    return active;
  }
  /* Fires d from now. True: it was active. Go: Timer.Reset. */
  template <class Rep, class Period>
  bool reset(std::chrono::duration<Rep, Period> d) {
    f_->ref();
    const bool active = go_timer_reset(&t_, detail::nsec_of(d));
    if (active) f_->unref();
    return active;
  }

 private:
  go_timer t_{};
  detail::later *f_;
};

/* A channel that receives one time_point, d from now. Throws go::error (no_memory). Go: time.After. */
template <class Rep, class Period>
[[nodiscard]] chan<clock::time_point> after(std::chrono::duration<Rep, Period> d) {
  static_assert(sizeof(clock::time_point) == sizeof(go_nsec), "the element is an instant");
  go_chan *c = go_after(detail::nsec_of(d));
  if (c == nullptr) detail::fail(GO_ENOMEM, "go::after");
  return chan<clock::time_point>::adopt(c);
}

/* Sends on its channel every period; what nobody takes in time is dropped. Go: time.Ticker. */
class ticker {
 public:
  /* Panics when the period is not positive. Throws go::error (no_memory). */
  template <class Rep, class Period>
  explicit ticker(std::chrono::duration<Rep, Period> period)
      : t_(go_ticker_new(detail::nsec_of(period))) {
    if (t_ == nullptr) detail::fail(GO_ENOMEM, "go::ticker");
  }
  ticker(const ticker &) = delete;
  ticker &operator=(const ticker &) = delete;
  ~ticker() { go_ticker_free(t_); }
  chan<clock::time_point> channel() const noexcept {
    return chan<clock::time_point>::adopt(go_chan_ref(go_ticker_chan(t_)));
  }
  template <class Rep, class Period>
  void reset(std::chrono::duration<Rep, Period> period) {
    go_ticker_reset(t_, detail::nsec_of(period));
  }
  void stop() { go_ticker_stop(t_); }

 private:
  go_ticker *t_;
};

/* Calls a function in a goroutine of its own when a context is done; not any more when this object is gone.
 * Go: context.AfterFunc. */
class when_done {
 public:
  /* Throws go::error (no_memory, again). */
  template <class F>
  when_done(const context &ctx, F &&f) : f_(detail::make_later(std::forward<F>(f))) {
    const int r = go_ctx_after(ctx.get(), detail::later::run, f_, &stop_);
    if (r != 0) {
      f_->unref();
      detail::fail(r, "go::when_done");
    }
  }
  when_done(const when_done &) = delete;
  when_done &operator=(const when_done &) = delete;
  ~when_done() { stop(); }
  /* True: the function has not been started, and will not be. */
  bool stop() {
    const bool stopped = go_ctx_after_stop(&stop_);
    if (stopped) f_->unref();
    return stopped;
  }

 private:
  detail::later *f_;
  go_ctx_stop stop_{};
};

/* ---- scopes ---- */

namespace detail {

/* Whether a scope still is; known to it and its tasks. */
struct scope_life {
  std::atomic<bool> ended{false};
#if GO_EXCEPTIONS_
  std::mutex m; /* for a few instructions */
  std::exception_ptr first;
  void failed(const std::exception_ptr &e) {
    const std::lock_guard<std::mutex> l(m);
    if (!first) first = e;
  }
#endif
};

template <class T>
struct task_state {
  explicit task_state(std::shared_ptr<scope_life> l) : life(std::move(l)) {}
  std::shared_ptr<scope_life> life;
  slot<T> result;
#if GO_EXCEPTIONS_
  std::exception_ptr error;
#endif
  template <class F>
  void run(F &f) {
#if GO_EXCEPTIONS_
    try {
      result.fill(f);
    } catch (const exiting &) {
      throw;
    } catch (...) {
      error = std::current_exception();
      life->failed(error);
      throw;
    }
#else
    result.fill(f);
#endif
  }
};

/* On the heap for the task, who ends it. */
template <class T, class C>
struct task_call {
  std::shared_ptr<task_state<T>> state;
  C c;
  static int run(void *p) {
    const std::unique_ptr<task_call> t(static_cast<task_call *>(p));
    t->state->run(t->c);
    return 0;
  }
};

#if GO_EXCEPTIONS_
[[noreturn]] inline void throw_panic(const go_panic_info *info) {
  throw panic_error(info != nullptr ? *info : go_panic_info{});
}
#else
[[noreturn]] inline void throw_panic(const go_panic_info *info) {
  go_panic("%s", info != nullptr ? info->text : "");
}
#endif

}  // namespace detail

/* A goroutine of a scope, and its result. A handle for one owner: valid as long as somebody needs the result,
 * also after the scope's end. */
template <class T>
class [[nodiscard]] task {
 public:
  task() noexcept = default;
  task(task &&o) noexcept : t_(std::exchange(o.t_, nullptr)), state_(std::move(o.state_)) {}
  task &operator=(task &&o) noexcept {
    release();
    t_ = std::exchange(o.t_, nullptr);
    state_ = std::move(o.state_);
    return *this;
  }
  ~task() { release(); }

  /* Waits until it has ended. Returns a reference to the result, or moves it out of an rvalue; throws the original
   * exception if there was one, panic_error for a panic, go::error (canceled) if it was ended by
   * go::exit. Suspends. */
  decltype(auto) join() & {
    wait();
    return state_->result.get();
  }
  T join() && {
    wait();
    return state_->result.take();
  }
  explicit operator bool() const noexcept { return state_ != nullptr; }

 private:
  friend class scope;
  task(go_task *t, std::shared_ptr<detail::task_state<T>> s) noexcept
      : t_(t), state_(std::move(s)) {}
  bool alive() const noexcept {
    return t_ != nullptr && !state_->life->ended.load(std::memory_order_acquire);
  }
  void release() noexcept {
    if (alive()) go_task_release(t_);
    t_ = nullptr;
  }
  void wait() {
    if (state_ == nullptr) detail::fail(GO_EINVAL, "go::task::join");
    if (alive()) {
      const int r = go_task_join(t_);
#if GO_EXCEPTIONS_
      if (r == GO_EPANIC && !state_->error) detail::throw_panic(go_task_panic(t_));
#else
      if (r == GO_EPANIC) detail::throw_panic(go_task_panic(t_));
#endif
    }
#if GO_EXCEPTIONS_
    if (state_->error) std::rethrow_exception(state_->error);
#endif
    if (!state_->result.full()) detail::fail(GO_ECANCELED, "go::task::join");
  }

  go_task *t_ = nullptr;
  std::shared_ptr<detail::task_state<T>> state_;
};

/* A block that its goroutines do not outlive: a local variable, whose destructor waits for all of them.
 *
 *   go::scope s;
 *   auto a = s.spawn([&] { return fetch(x); });
 *   auto b = s.spawn([&] { return fetch(y); });
 *   use(a.join(), b.join());
 *
 * Tasks may use what was declared before the scope. The first task that an exception or a panic leaves cancels the
 * scope's context, as does an exception that leaves the block. An exception that nobody learns of, by join or wait,
 * is told to the panic handler at the end. Go: errgroup.Group. */
class scope {
 public:
  scope() : scope(context()) {}
  explicit scope(context parent)
      : parent_(std::move(parent)), life_(std::make_shared<detail::scope_life>()) {
#if GO_EXCEPTIONS_
    in_flight_ = std::uncaught_exceptions();
#endif
    go_scope_begin(&s_, parent_.get());
  }
  scope(const scope &) = delete;
  scope &operator=(const scope &) = delete;
  ~scope() {
#if GO_EXCEPTIONS_
    if (std::uncaught_exceptions() > in_flight_) cancel();
#endif
    go_scope_leave_(&s_); /* not go_scope_end, which learns of the error */
    life_->ended.store(true, std::memory_order_release);
  }

  /* Starts f(args...) as a task. Under a limit it suspends until there is room. Throws go::error (no_memory, again;
   * under a limit canceled, timed_out), which is an error of the scope too. Go: errgroup.Group.Go. */
  template <class F, class... A>
  auto spawn(F &&f, A &&...args) {
    auto c = detail::close_over(std::forward<F>(f), std::forward<A>(args)...);
    using C = decltype(c);
    using T = decltype(std::declval<C &>()());
    auto state = std::make_shared<detail::task_state<T>>(life_);
    std::unique_ptr<detail::task_call<T, C>> call(new detail::task_call<T, C>{state, std::move(c)});
    go_task *t = go_scope_spawn_site_(detail::site_of<F>(), &s_, detail::task_call<T, C>::run,
                                      call.get(), 0);
    if (t == nullptr) {
      const int why = go_ctx_cause(go_scope_ctx(&s_));
      detail::fail(why < 0 ? why : GO_ENOMEM, "go::scope::spawn");
    }
    call.release();
    return task<T>(t, std::move(state));
  }
  /* Waits until no task runs, and throws the first exception, if there was one; go::error if a task could not be
   * started. More may be started then. Suspends. Go: errgroup.Group.Wait. */
  void wait() {
    const int r = go_scope_wait(&s_);
    if (r == 0) return;
#if GO_EXCEPTIONS_
    if (r == GO_EPANIC) {
      std::exception_ptr e;
      {
        const std::lock_guard<std::mutex> l(life_->m);
        e = life_->first;
      }
      if (e) std::rethrow_exception(e);
    }
#endif
    if (r == GO_EPANIC) detail::throw_panic(go_scope_panic(&s_));
    detail::fail(r, "go::scope::wait");
  }
  /* The same without throwing: false, and ec is panicked if there was an exception. */
  bool wait(std::error_code &ec) { return detail::set(ec, go_scope_wait(&s_)); }
  /* At most n tasks run at a time; n < 0: no limit. Panics while tasks run. */
  void limit(int n) { go_scope_limit(&s_, n); }
  /* Its own context: done when a task has failed, the block is left by an exception, or the scope has ended. */
  context ctx() { return context::adopt(go_ctx_ref(go_scope_ctx(&s_))); }
  /* Tells all tasks to stop: no error of the scope. */
  void cancel() { go_ctx_cancel(go_scope_ctx(&s_)); }
  go_scope *native_handle() noexcept { return &s_; }

 private:
  context parent_;
  std::shared_ptr<detail::scope_life> life_;
#if GO_EXCEPTIONS_
  int in_flight_ = 0;
#endif
  go_scope s_{};
};

/* ---- code that blocks ---- */

/* Calls f(), which may block its thread, while other goroutines run on. Returns its result; an exception passes.
 * Suspends at the end. */
template <class F>
auto blocking(F &&f) -> std::invoke_result_t<F &> {
  detail::captured<std::invoke_result_t<F &>> what;
  auto body = [&] { what.run(f); };
  go_blocking(detail::call_ref<decltype(body)>, &body);
  return what.take();
}

/* Calls f() on a thread of a pool, with a stack of 8 MiB, while the goroutine waits. Returns its result; an exception
 * passes. ctx ends the wait for a thread, not the call. Throws go::error (canceled, timed_out, again, no_memory).
 * go::exit is fatal there. Suspends. */
template <class F>
auto offload(const context &ctx, F &&f) -> std::invoke_result_t<F &> {
  detail::captured<std::invoke_result_t<F &>> what;
  auto body = [&] { what.run(f); };
  detail::check(go_offload(ctx.get(), detail::call_ref<decltype(body)>, &body), "go::offload");
  return what.take();
}
template <class F>
auto offload(F &&f) -> std::invoke_result_t<F &> {
  return offload(context(), std::forward<F>(f));
}

/* ---- buffered reading and writing ---- */

/* go_reader, with a buffer that is allocated. Text that it returns is in its buffer, until the next call. All but those
 * that say otherwise throw go::error: what the C functions return, besides the end of the stream (closed, timed_out, canceled,
 * too_long, truncated, no_memory, the system's); the forms with an std::error_code & do not, and say eof. Suspend.
 * Go: bufio.Reader. */
class reader {
 public:
  /* c must live as long. size 0: 4,096 bytes. */
  explicit reader(go_conn *c, std::size_t size = 0) {
    detail::check(go_reader_init(&r_, c, nullptr, size), "go::reader");
  }
  reader(go_read_fn fn, void *arg, std::size_t size = 0) {
    detail::check(go_reader_init_fn(&r_, fn, arg, nullptr, size), "go::reader");
  }
  reader(const reader &) = delete;
  reader &operator=(const reader &) = delete;
  ~reader() { go_reader_fini(&r_); }
  void reset(go_conn *c) noexcept { go_reader_reset(&r_, c); }
  void reset(go_read_fn fn, void *arg) noexcept { go_reader_reset_fn(&r_, fn, arg); }
  /* How large the buffer may grow, where a line or a peek needs it. */
  void set_max(std::size_t max) noexcept { go_reader_set_max(&r_, max); }
  std::string_view buffered() const noexcept {
    const char *p = nullptr;
    const std::size_t n = go_reader_buffered(&r_, &p);
    return {p, n};
  }

  /* The next line, without its end; nothing: there is no more. Go: Reader.ReadLine. */
  std::optional<std::string_view> read_line(const context &ctx = {}) {
    std::error_code ec;
    return unless_end(read_line(ctx, ec), ec, "go::reader::read_line");
  }
  std::optional<std::string_view> read_line(const context &ctx, std::error_code &ec) {
    char *p = nullptr;
    const std::ptrdiff_t n = go_reader_read_line(ctx.get(), &r_, &p);
    return text(p, n, ec);
  }
  /* What comes up to and including delim; nothing: the stream has ended. Go: Reader.ReadSlice. */
  std::optional<std::string_view> read_until(char delim) { return read_until(context(), delim); }
  std::optional<std::string_view> read_until(const context &ctx, char delim) {
    std::error_code ec;
    return unless_end(read_until(ctx, delim, ec), ec, "go::reader::read_until");
  }
  std::optional<std::string_view> read_until(const context &ctx, char delim, std::error_code &ec) {
    char *p = nullptr;
    const std::ptrdiff_t n = go_reader_read_until(ctx.get(), &r_, delim, &p);
    return text(p, n, ec);
  }
  /* The next n bytes, which stay; fewer at the end of the stream. Go: Reader.Peek. */
  std::string_view peek(std::size_t n) { return peek(context(), n); }
  std::string_view peek(const context &ctx, std::size_t n) {
    std::error_code ec;
    const std::string_view v = peek(ctx, n, ec);
    if (ec) detail::fail(ec.value(), "go::reader::peek");
    return v;
  }
  std::string_view peek(const context &ctx, std::size_t n, std::error_code &ec) {
    const char *p = nullptr;
    const std::ptrdiff_t got = go_reader_peek(ctx.get(), &r_, n, &p);
    return text(p, got, ec).value_or(std::string_view());
  }
  /* What there is, at most n bytes; 0: the end. Go: Reader.Read. */
  std::size_t read(void *buf, std::size_t n) { return read(context(), buf, n); }
  std::size_t read(const context &ctx, void *buf, std::size_t n) {
    std::error_code ec;
    const std::size_t got = read(ctx, buf, n, ec);
    if (ec) detail::fail(ec.value(), "go::reader::read");
    return got;
  }
  std::size_t read(const context &ctx, void *buf, std::size_t n, std::error_code &ec) {
    return count(go_reader_read(ctx.get(), &r_, buf, n), ec);
  }
  /* All n bytes; false: the stream has ended before the first. Go: io.ReadFull. */
  bool read_full(void *buf, std::size_t n) { return read_full(context(), buf, n); }
  bool read_full(const context &ctx, void *buf, std::size_t n) {
    return unless_end(go_reader_read_full(ctx.get(), &r_, buf, n), "go::reader::read_full");
  }
  bool read_full(const context &ctx, void *buf, std::size_t n, std::error_code &ec) {
    return set(go_reader_read_full(ctx.get(), &r_, buf, n), ec);
  }
  /* Skips n bytes; false: the stream has ended before the first. Go: Reader.Discard. */
  bool discard(std::size_t n) { return discard(context(), n); }
  bool discard(const context &ctx, std::size_t n) {
    return unless_end(go_reader_discard(ctx.get(), &r_, n), "go::reader::discard");
  }
  bool discard(const context &ctx, std::size_t n, std::error_code &ec) {
    return set(go_reader_discard(ctx.get(), &r_, n), ec);
  }
  /* The next byte; nothing: the end. Go: Reader.ReadByte. */
  std::optional<unsigned char> read_byte(const context &ctx = {}) {
    const int c = go_reader_read_byte(ctx.get(), &r_);
    if (!unless_end(c, "go::reader::read_byte")) return std::nullopt;
    return static_cast<unsigned char>(c);
  }
  std::optional<unsigned char> read_byte(const context &ctx, std::error_code &ec) {
    const int c = go_reader_read_byte(ctx.get(), &r_);
    if (!detail::set(ec, c)) return std::nullopt;
    return static_cast<unsigned char>(c);
  }
  /* Takes the last byte back; false: there is none. Never suspends. Go: Reader.UnreadByte. */
  bool unread_byte() noexcept { return go_reader_unread_byte(&r_) == 0; }

  go_reader *native_handle() noexcept { return &r_; }

 private:
  static bool set(std::ptrdiff_t n, std::error_code &ec) noexcept {
    return detail::set(ec, n < 0 ? static_cast<int>(n) : 0);
  }
  static std::size_t count(std::ptrdiff_t n, std::error_code &ec) noexcept {
    return set(n, ec) ? static_cast<std::size_t>(n) : 0;
  }
  static std::optional<std::string_view> text(const char *p, std::ptrdiff_t n,
                                              std::error_code &ec) noexcept {
    if (!set(n, ec)) return std::nullopt;
    return std::string_view(p, static_cast<std::size_t>(n));
  }
  static bool unless_end(std::ptrdiff_t n, const char *what) {
    if (n < 0 && n != GO_EEOF) detail::fail(static_cast<int>(n), what);
    return n >= 0;
  }
  static std::optional<std::string_view> unless_end(std::optional<std::string_view> v,
                                                    const std::error_code &ec, const char *what) {
    if (ec && ec != errc::eof) detail::fail(ec.value(), what);
    return v;
  }

  go_reader r_{};
};

/* go_writer, with a buffer that is allocated. What was not flushed is lost when it goes: flush may fail, and destructors have
 * nobody to tell. All throw go::error, that of the first failure ever since, besides the forms with an std::error_code &.
 * Suspend. Go: bufio.Writer. */
class writer {
 public:
  /* c must live as long. size 0: 4,096 bytes. */
  explicit writer(go_conn *c, std::size_t size = 0) {
    detail::check(go_writer_init(&w_, c, nullptr, size), "go::writer");
  }
  writer(go_write_fn fn, void *arg, std::size_t size = 0) {
    detail::check(go_writer_init_fn(&w_, fn, arg, nullptr, size), "go::writer");
  }
  writer(const writer &) = delete;
  writer &operator=(const writer &) = delete;
  ~writer() { go_writer_fini(&w_); }
  void reset(go_conn *c) noexcept { go_writer_reset(&w_, c); }
  void reset(go_write_fn fn, void *arg) noexcept { go_writer_reset_fn(&w_, fn, arg); }
  std::size_t buffered() const noexcept { return go_writer_buffered(&w_); }
  std::size_t available() const noexcept { return go_writer_available(&w_); }
  /* Of the first failure; nothing: there was none. */
  std::error_code err() const noexcept {
    std::error_code ec;
    detail::set(ec, go_writer_err(&w_));
    return ec;
  }

  void write(std::string_view text) { write(context(), text); }
  void write(const context &ctx, std::string_view text) {
    std::error_code ec;
    if (!write(ctx, text, ec)) detail::fail(ec.value(), "go::writer::write");
  }
  bool write(const context &ctx, std::string_view text, std::error_code &ec) {
    return set(go_writer_write(ctx.get(), &w_, text.data(), text.size()), ec);
  }
  void putc(char c) { putc(context(), c); }
  void putc(const context &ctx, char c) {
    detail::check(go_writer_putc(ctx.get(), &w_, c), "go::writer::putc");
  }
  /* With a context: printf(ctx.get(), ...). Also no_memory, and invalid for what cannot be formatted; neither stays. Go: fmt.Fprintf. */
  __attribute__((format(printf, 2, 3))) void printf(const char *fmt, ...) {
    std::va_list args;
    va_start(args, fmt);
    const std::ptrdiff_t n = go_writer_vprintf(nullptr, &w_, fmt, args);
    va_end(args);
    if (n < 0) detail::fail(static_cast<int>(n), "go::writer::printf");
  }
  __attribute__((format(printf, 3, 4))) void printf(go_ctx *ctx, const char *fmt, ...) {
    std::va_list args;
    va_start(args, fmt);
    const std::ptrdiff_t n = go_writer_vprintf(ctx, &w_, fmt, args);
    va_end(args);
    if (n < 0) detail::fail(static_cast<int>(n), "go::writer::printf");
  }
  /* Sends what is buffered. */
  void flush(const context &ctx = {}) {
    detail::check(go_writer_flush(ctx.get(), &w_), "go::writer::flush");
  }
  bool flush(const context &ctx, std::error_code &ec) {
    return detail::set(ec, go_writer_flush(ctx.get(), &w_));
  }

  go_writer *native_handle() noexcept { return &w_; }

 private:
  static bool set(std::ptrdiff_t n, std::error_code &ec) noexcept {
    return detail::set(ec, n < 0 ? static_cast<int>(n) : 0);
  }

  go_writer w_{};
};

/* ---- from outside ---- */

/* Runs f() as a goroutine and waits for it: its result, or its exception. From plain threads, any number of times.
 * Throws go::error (no_memory, again; deadlock on a goroutine; canceled if it was ended by go::exit). */
template <class F>
auto run(F &&f) -> std::invoke_result_t<F &> {
  using T = std::invoke_result_t<F &>;
  detail::slot<T> result;
#if GO_EXCEPTIONS_
  std::exception_ptr error;
  auto body = [&] {
    try {
      result.fill(f);
    } catch (const detail::exiting &) {
      throw;
    } catch (...) {
      error = std::current_exception();
    }
  };
#else
  auto body = [&] { result.fill(f); };
#endif
  detail::check(go_run(detail::call_ref<decltype(body)>, &body), "go::run");
#if GO_EXCEPTIONS_
  if (error) std::rethrow_exception(error);
#endif
  if (!result.full()) detail::fail(GO_ECANCELED, "go::run");
  return result.take();
}

/* int main(int argc, char **argv) { return go::main(argc, argv, [](int, char **) { ...; return 0; }); }
 * Runs f(argc, argv), or f(), as the first goroutine, and returns its int. An exception that leaves f ends the
 * process with status 2. Throws go::error when the scheduler cannot be started. Go: func main. */
template <class F>
int main(int argc, char **argv, F &&f) {
  struct call {
    int argc;
    char **argv;
    std::remove_reference_t<F> *f;
    static int run(int, char **p) {
      call *c = reinterpret_cast<call *>(p);
      if constexpr (std::is_invocable_v<F &, int, char **>) {
        return (*c->f)(c->argc, c->argv);
      } else {
        return (*c->f)();
      }
    }
  } c{argc, argv, std::addressof(f)};
  static_assert(std::is_invocable_r_v<int, F &, int, char **> || std::is_invocable_r_v<int, F &>,
                "go::main runs int f(int, char **) or int f()");
  return go_main(call::run, 0, reinterpret_cast<char **>(&c));
}

}  // namespace GO_CXX_MODE_
}  // namespace go

#endif /* GOLIB_GOLIB_HPP_ */
