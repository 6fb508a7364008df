// Buffered readers and writers: on functions, which give and take as the test likes, and on connections. What runs
// out of memory: bufio_crash_test.cc. Go: bufio/bufio_test.go, testing/iotest, io/io_test.go.

#include <golib/golib.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "tests/support/net.h"

using golib_test::Catch;
using golib_test::Conn;
using golib_test::Listener;
using golib_test::NetTest;
using golib_test::Pair;
using golib_test::Panics;
using golib_test::ReadAll;
using golib_test::Rng;
using golib_test::Rounds;
using golib_test::RunGo;
using golib_test::Write;

namespace {

template <class T>
void Ignore(T) {}

// Gives data in pieces, then the end, or an error, once or for ever.
struct Source {
  std::string data;
  std::function<size_t(size_t)> piece = [](size_t n) { return n; };  // how many of n it gives
  int err = 0;                                                       // instead of the end
  size_t at = 0;
  int calls = 0;
  size_t asked = 0;

  static ptrdiff_t Read(go_ctx *, void *arg, void *buf, size_t n) {
    auto *s = static_cast<Source *>(arg);
    EXPECT_GT(n, 0u);
    s->calls++;
    s->asked = n;
    size_t give = std::min(std::max<size_t>(s->piece(n), 1), s->data.size() - s->at);
    if (give == 0) return s->err;
    memcpy(buf, s->data.data() + s->at, give);
    s->at += give;
    return static_cast<ptrdiff_t>(give);
  }
};

// Takes bytes in pieces, then fails.
struct Sink {
  std::string data;
  std::vector<size_t> calls;  // how many bytes it was offered
  std::function<size_t(size_t)> piece = [](size_t n) { return n; };
  size_t room = SIZE_MAX;
  int err = -ENOSPC;

  static ptrdiff_t Take(go_ctx *, void *arg, const void *buf, size_t n) {
    auto *s = static_cast<Sink *>(arg);
    EXPECT_GT(n, 0u);
    s->calls.push_back(n);
    size_t take = std::min(s->piece(n), s->room - s->data.size());
    if (take == 0 && s->room == s->data.size()) return s->err;
    s->data.append(static_cast<const char *>(buf), take);
    return static_cast<ptrdiff_t>(take);
  }
};

// One reader on a Source.
struct Reader {
  Source src;
  go_reader r{};
  explicit Reader(std::string data, size_t size = 0) { Init(std::move(data), size); }
  Reader(std::string data, size_t size, std::function<size_t(size_t)> piece) {
    src.piece = std::move(piece);
    Init(std::move(data), size);
  }
  Reader(const Reader &) = delete;
  Reader &operator=(const Reader &) = delete;
  ~Reader() { go_reader_fini(&r); }
  void Init(std::string data, size_t size) {
    src.data = std::move(data);
    EXPECT_EQ(go_reader_init_fn(&r, Source::Read, &src, nullptr, size), 0);
  }
  operator go_reader *() { return &r; }
};

std::string LineOf(go_reader *r, ptrdiff_t *code = nullptr) {
  char *p = nullptr;
  ptrdiff_t n = go_reader_read_line(nullptr, r, &p);
  if (code != nullptr) *code = n;
  if (n < 0) return "";
  EXPECT_EQ(p[n], '\0');
  return std::string(p, static_cast<size_t>(n));
}
std::string Peeked(go_reader *r, size_t n) {
  const char *p = nullptr;
  ptrdiff_t got = go_reader_peek(nullptr, r, n, &p);
  return got < 0 ? go_error_name(static_cast<int>(got)) : std::string(p, static_cast<size_t>(got));
}
std::string Until(go_reader *r, char delim) {
  char *p = nullptr;
  ptrdiff_t got = go_reader_read_until(nullptr, r, delim, &p);
  return got < 0 ? go_error_name(static_cast<int>(got)) : std::string(p, static_cast<size_t>(got));
}
std::string Buffered(go_reader *r) {
  const char *p = nullptr;
  size_t n = go_reader_buffered(r, &p);
  return std::string(p, n);
}
std::string ReadSome(go_reader *r, size_t n) {
  std::string s(n, '\0');
  ptrdiff_t got = go_reader_read(nullptr, r, s.data(), n);
  EXPECT_GE(got, 0);
  s.resize(static_cast<size_t>(std::max<ptrdiff_t>(got, 0)));
  return s;
}

// Ways to give: all, a byte, half, a random number. Go: iotest.OneByteReader, HalfReader.
std::vector<std::function<size_t(size_t)>> Pieces() {
  auto rng = std::make_shared<Rng>(4);
  return {[](size_t n) { return n; }, [](size_t) { return 1; },
          [](size_t n) { return (n + 1) / 2; },
          [rng](size_t n) { return 1 + rng->Below(static_cast<uint32_t>(n)); }};
}
constexpr size_t kSizes[] = {0, 16, 23, 32, 46, 64, 93, 128, 1024, 4096};

// Ways to read everything, each with something of its own.
std::string AllByByte(go_reader *r) {
  std::string s;
  int c;
  while ((c = go_reader_read_byte(nullptr, r)) >= 0) {
    s += static_cast<char>(c);
    if (s.size() % 3 == 0) {  // takes it back and reads it again
      EXPECT_EQ(go_reader_unread_byte(r), 0);
      EXPECT_EQ(go_reader_unread_byte(r), GO_EINVAL);
      EXPECT_EQ(go_reader_read_byte(nullptr, r), c);
    }
  }
  EXPECT_EQ(c, GO_EEOF);
  return s;
}
std::string AllByLine(go_reader *r) {
  std::string s;
  ptrdiff_t n;
  for (std::string l; l = LineOf(r, &n), n >= 0;) s += l + "\n";
  EXPECT_EQ(n, GO_EEOF);
  return s;
}
std::string AllByUntil(go_reader *r) {
  std::string s;
  char *p = nullptr;
  ptrdiff_t n;
  while ((n = go_reader_read_until(nullptr, r, 'a', &p)) > 0) s.append(p, static_cast<size_t>(n));
  EXPECT_TRUE(n == GO_EEOF || n == GO_ETRUNCATED) << n;
  s += Buffered(r);
  return s;
}
std::string AllByPeek(go_reader *r) {
  std::string s;
  for (size_t i = 1;; i = i % 16 + 1) {
    std::string next = Peeked(r, i);
    if (next.empty()) return s;
    EXPECT_EQ(go_reader_discard(nullptr, r, next.size()), static_cast<ptrdiff_t>(next.size()));
    s += next;
  }
}
std::function<std::string(go_reader *)> AllByRead(size_t n) {
  return [n](go_reader *r) {
    std::string s;
    for (std::string l; l = ReadSome(r, n), !l.empty();) s += l;
    return s;
  };
}

// Go: TestReader.
TEST(Bufio, AllSourcesAllSizesAllWaysToRead) {
  std::string text, line;  // lines of 0, 1, 2... bytes, which the smallest buffer holds
  for (int i = 0; i < 15; i++) {
    text += line + "\n";
    line += static_cast<char>('a' + i);
  }
  std::string texts[] = {"", "\n", text, text + text + text};
  std::function<std::string(go_reader *)> ways[] = {
      AllByByte,    AllByLine,     AllByUntil,    AllByPeek,       AllByRead(1),
      AllByRead(2), AllByRead(15), AllByRead(16), AllByRead(4096), AllByRead(5000)};
  for (auto &piece : Pieces()) {
    for (size_t size : kSizes) {
      for (auto &t : texts) {
        for (auto &way : ways) {
          Reader r(t, size, piece);
          EXPECT_EQ(way(r), t) << "buffer of " << size;
        }
      }
    }
  }
}

TEST(Bufio, InitRefusesNonsense) {
  go_reader r{};
  go_writer w{};
  char buf[16];
  Source s;
  EXPECT_EQ(go_reader_init_fn(&r, nullptr, nullptr, nullptr, 0), GO_EINVAL);
  EXPECT_EQ(go_reader_init_fn(&r, Source::Read, &s, buf, 15), GO_EINVAL);
  EXPECT_EQ(go_reader_init_fn(&r, Source::Read, &s, nullptr, SIZE_MAX), GO_EINVAL);
  EXPECT_EQ(go_reader_init_fn(&r, Source::Read, &s, buf, 16), 0);
  go_reader_fini(&r);
  go_reader_fini(&r);
  EXPECT_EQ(go_writer_init_fn(&w, nullptr, nullptr, nullptr, 0), GO_EINVAL);
  auto never = [](go_ctx *, void *, const void *, size_t) -> ptrdiff_t { return 0; };
  EXPECT_EQ(go_writer_init_fn(&w, never, nullptr, buf, 0), GO_EINVAL);
  EXPECT_EQ(go_writer_init_fn(&w, never, nullptr, nullptr, static_cast<size_t>(PTRDIFF_MAX) + 1),
            GO_EINVAL);
  EXPECT_EQ(go_reader_init(&r, nullptr, buf, 16), GO_EINVAL);
  EXPECT_EQ(go_writer_init(&w, nullptr, buf, 16), GO_EINVAL);
  EXPECT_EQ(go_writer_init_fn(&w, never, nullptr, buf, 1), 0);
  go_writer_fini(&w);
  go_writer_fini(&w);
}

TEST(Bufio, UninitialisedPanics) {
  RunGo([] {
    static go_reader r;
    static go_writer w;
    static char buf[4];
    static char *p;
    static const char *cp;
    EXPECT_EQ(Catch([] { Ignore(go_reader_read_byte(nullptr, &r)); }).text(),
              "go_reader: it was not initialised, or was reset to NULL");
    EXPECT_TRUE(Panics([] { Ignore(go_reader_read(nullptr, &r, buf, 0)); }));
    EXPECT_TRUE(Panics([] { Ignore(go_reader_read(nullptr, &r, buf, 4)); }));
    EXPECT_TRUE(Panics([] { Ignore(go_reader_read_full(nullptr, &r, buf, 4)); }));
    EXPECT_TRUE(Panics([] { Ignore(go_reader_peek(nullptr, &r, 1, &cp)); }));
    EXPECT_TRUE(Panics([] { Ignore(go_reader_discard(nullptr, &r, 1)); }));
    EXPECT_TRUE(Panics([] { Ignore(go_reader_read_until(nullptr, &r, 'x', &p)); }));
    EXPECT_TRUE(Panics([] { Ignore(go_reader_read_line(nullptr, &r, &p)); }));
    EXPECT_EQ(go_reader_buffered(&r, nullptr), 0u);
    EXPECT_EQ(Catch([] { (void)go_writer_putc(nullptr, &w, 'x'); }).text(),
              "go_writer: it was not initialised, or was reset to NULL");
    EXPECT_TRUE(Panics([] { (void)go_writer_write(nullptr, &w, buf, 1); }));
    EXPECT_TRUE(Panics([] { (void)go_writer_printf(nullptr, &w, "x"); }));
    EXPECT_TRUE(Panics([] { Ignore(go_writer_flush(nullptr, &w)); }));
    EXPECT_EQ(go_writer_buffered(&w), 0u);
    EXPECT_EQ(go_writer_available(&w), 0u);
    EXPECT_EQ(go_writer_err(&w), 0);
    // A reset does not make up for it.
    static Source s;
    static Sink sink;
    go_reader_reset_fn(&r, Source::Read, &s);
    go_writer_reset_fn(&w, Sink::Take, &sink);
    EXPECT_TRUE(Panics([] { Ignore(go_reader_read(nullptr, &r, buf, 4)); }));
    EXPECT_TRUE(Panics([] { Ignore(go_reader_peek(nullptr, &r, 1, &cp)); }));
    EXPECT_TRUE(Panics([] { (void)go_writer_putc(nullptr, &w, 'x'); }));
  });
}

// Go: TestNegativeRead, for what C can get wrong.
TEST(Bufio, FunctionsThatOverdoItPanic) {
  RunGo([] {
    static go_reader r;
    static go_writer w;
    auto much = [](go_ctx *, void *, void *, size_t n) { return static_cast<ptrdiff_t>(n + 1); };
    auto more = [](go_ctx *, void *, const void *, size_t n) {
      return static_cast<ptrdiff_t>(n + 1);
    };
    EXPECT_EQ(go_reader_init_fn(&r, much, nullptr, nullptr, 0), 0);
    EXPECT_EQ(go_writer_init_fn(&w, more, nullptr, nullptr, 0), 0);
    EXPECT_EQ(Catch([] { Ignore(go_reader_read_byte(nullptr, &r)); }).text(),
              "go_reader: its function has read more than it was asked for");
    EXPECT_EQ(Catch([] {
                (void)go_writer_putc(nullptr, &w, 'x');
                Ignore(go_writer_flush(nullptr, &w));
              }).text(),
              "go_writer: its function has taken more than there was");
    go_reader_fini(&r);
    go_writer_fini(&w);
  });
}

// ---- reading

// Go: TestUnreadByte, TestReadByte.
TEST(Bufio, UnreadByte) {
  Reader r("Hello, world", 16, [](size_t) { return 1; });
  EXPECT_EQ(go_reader_unread_byte(r), GO_EINVAL);
  for (char c : std::string("Hello, world")) {
    EXPECT_EQ(go_reader_read_byte(nullptr, r), c);
    EXPECT_EQ(go_reader_unread_byte(r), 0);
    EXPECT_EQ(go_reader_unread_byte(r), GO_EINVAL);
    EXPECT_EQ(go_reader_read_byte(nullptr, r), c);
  }
  // The end is not a byte: what came before it can still be taken back. Go does so too.
  EXPECT_EQ(go_reader_read_byte(nullptr, r), GO_EEOF);
  EXPECT_EQ(go_reader_unread_byte(r), 0);
  EXPECT_EQ(go_reader_read_byte(nullptr, r), 'd');
  EXPECT_EQ(go_reader_read_byte(nullptr, r), GO_EEOF);
}

// Bytes above 127 are not negative.
TEST(Bufio, BytesAreUnsigned) {
  Reader r("\xff\x80", 16);
  EXPECT_EQ(go_reader_read_byte(nullptr, r), 0xff);
  EXPECT_EQ(go_reader_unread_byte(r), 0);
  EXPECT_EQ(go_reader_read_byte(nullptr, r), 0xff);
  EXPECT_EQ(Until(r, '\x80'), "\x80");
}

// Go: TestUnreadByteOthers.
TEST(Bufio, UnreadByteAfterOtherCalls) {
  using Read = std::function<char(go_reader *)>;
  std::vector<Read> reads = {
      [](go_reader *r) { return static_cast<char>(go_reader_read_byte(nullptr, r)); },
      [](go_reader *r) { return ReadSome(r, 1)[0]; },
      [](go_reader *r) { return Until(r, '\0').back(); },
      [](go_reader *r) {  // past the buffer
        std::string s(40, '\0');
        ptrdiff_t n = go_reader_read_full(nullptr, r, s.data(), 40);
        EXPECT_EQ(n, 40);
        return s.back();
      }};
  for (auto &read : reads) {
    std::string text;
    for (char c = 'a'; c <= 'z'; c++) text += std::string(&c, 1) + '\0' + std::string(&c, 1);
    Reader r(text + text, 32);
    char first = read(r);
    EXPECT_EQ(go_reader_unread_byte(r), 0);
    EXPECT_EQ(go_reader_read_byte(nullptr, r), static_cast<unsigned char>(first));
    char second = read(r);
    EXPECT_EQ(go_reader_unread_byte(r), 0);
    EXPECT_EQ(Peeked(r, 1), std::string(1, second));
    EXPECT_EQ(go_reader_unread_byte(r), GO_EINVAL);  // peeked
    EXPECT_EQ(go_reader_discard(nullptr, r, 1), 1);
    EXPECT_EQ(go_reader_unread_byte(r), GO_EINVAL);  // skipped
  }
}

// A read of the buffer's size goes past it; taking back then has nothing to go back to but the byte itself.
TEST(Bufio, UnreadByteAfterReadingPastTheBuffer) {
  Reader r(std::string(31, 'x') + "yz", 32, [](size_t n) { return n; });
  EXPECT_EQ(ReadSome(r, 32), std::string(31, 'x') + "y");
  EXPECT_EQ(r.src.calls, 1);
  EXPECT_EQ(go_reader_buffered(r, nullptr), 0u);
  EXPECT_EQ(go_reader_unread_byte(r), 0);
  EXPECT_EQ(Buffered(r), "y");
  EXPECT_EQ(ReadSome(r, 5), "y");  // what is buffered, and nothing more
  EXPECT_EQ(r.src.calls, 1);
  EXPECT_EQ(ReadSome(r, 5), "z");
}

// A line's end is where the 0 byte stands by now; taken back it is itself.
TEST(Bufio, UnreadByteAfterALine) {
  Reader r("one\r\ntwo");
  EXPECT_EQ(LineOf(r), "one");
  EXPECT_EQ(go_reader_unread_byte(r), 0);
  EXPECT_EQ(go_reader_read_byte(nullptr, r), '\n');
  EXPECT_EQ(LineOf(r), "two");
  EXPECT_EQ(go_reader_unread_byte(r), 0);
  EXPECT_EQ(LineOf(r), "o");
}

// A search that fails may have moved what was read.
TEST(Bufio, UnreadByteAfterAFailedSearch) {
  Reader r("abc", 16);
  r.src.err = GO_ETIMEDOUT;
  EXPECT_EQ(go_reader_read_byte(nullptr, r), 'a');
  EXPECT_EQ(Until(r, 'x'), "GO_ETIMEDOUT");
  EXPECT_EQ(go_reader_unread_byte(r), GO_EINVAL);
  EXPECT_EQ(Buffered(r), "bc");
}

// Go: TestPeek, TestPeekThenUnreadRune.
TEST(Bufio, Peek) {
  Reader r("abcdefghijklmnop", 16);
  EXPECT_EQ(Peeked(r, 1), "a");
  EXPECT_EQ(Peeked(r, 4), "abcd");
  EXPECT_EQ(Peeked(r, 0), "");
  EXPECT_EQ(Peeked(r, 17), "GO_ETOOLONG");
  EXPECT_EQ(Peeked(r, SIZE_MAX), "GO_ETOOLONG");
  EXPECT_EQ(ReadSome(r, 3), "abc");
  EXPECT_EQ(Peeked(r, 1), "d");
  EXPECT_EQ(Peeked(r, 2), "de");
  EXPECT_EQ(ReadSome(r, 3), "def");
  EXPECT_EQ(Peeked(r, 4), "ghij");
  EXPECT_EQ(ReadSome(r, 4), "ghij");
  EXPECT_EQ(Peeked(r, 0), "");
  EXPECT_EQ(Peeked(r, 16), "klmnop");  // the end comes before
  EXPECT_EQ(ReadSome(r, 16), "klmnop");
  EXPECT_EQ(Peeked(r, 0), "");
  EXPECT_EQ(Peeked(r, 1), "");
}

// An error is told once, loses nothing, and the next call tries anew. Go: TestPeek's dataAndEOFReader part.
TEST(Bufio, PeekWithAnError) {
  Reader r("abcd", 32);
  r.src.err = -ECONNRESET;
  const char *p = nullptr;
  EXPECT_EQ(go_reader_peek(nullptr, r, 5, &p), -ECONNRESET);
  EXPECT_EQ(p, nullptr);
  EXPECT_EQ(Peeked(r, 4), "abcd");
  EXPECT_EQ(go_reader_peek(nullptr, r, 5, &p), -ECONNRESET);
  r.src.data += "e";
  EXPECT_EQ(Peeked(r, 5), "abcde");
}

// Go: TestReadEmptyBuffer, TestLinesAfterRead, TestReadZero.
TEST(Bufio, TheEnd) {
  Reader r("", 16);
  ptrdiff_t n;
  for (int i = 0; i < 2; i++) {
    EXPECT_EQ(LineOf(r, &n), "");
    EXPECT_EQ(n, GO_EEOF);
    EXPECT_EQ(Until(r, 'x'), "GO_EEOF");
    EXPECT_EQ(ReadSome(r, 1), "");
    EXPECT_EQ(ReadSome(r, 100), "");
    char c;
    EXPECT_EQ(go_reader_read_full(nullptr, r, &c, 1), GO_EEOF);
    EXPECT_EQ(go_reader_read_full(nullptr, r, &c, 0), 0);
    EXPECT_EQ(go_reader_discard(nullptr, r, 1), GO_EEOF);
    EXPECT_EQ(go_reader_discard(nullptr, r, 0), 0);
  }
  int calls = r.src.calls;
  char c;
  EXPECT_EQ(go_reader_read(nullptr, r, &c, 0), 0);  // does not ask
  EXPECT_EQ(r.src.calls, calls);
  // It was the end then; a source that has more later is read on.
  r.src.data = "more\n";
  EXPECT_EQ(LineOf(r), "more");
}

// Go: TestReadAtLeast, TestReadFull (io).
TEST(Bufio, ReadFull) {
  for (auto &piece : Pieces()) {
    for (size_t size : kSizes) {
      std::string text(3000, '\0'), got(3000, '\0');
      for (size_t i = 0; i < text.size(); i++) text[i] = static_cast<char>(i * 7);
      Reader r(text, size, piece);
      EXPECT_EQ(go_reader_read_full(nullptr, r, got.data(), 10), 10);
      EXPECT_EQ(go_reader_read_full(nullptr, r, got.data() + 10, 2000), 2000);
      EXPECT_EQ(go_reader_read_full(nullptr, r, got.data() + 2010, 990), 990);
      EXPECT_EQ(got, text);
      EXPECT_EQ(go_reader_read_full(nullptr, r, got.data(), 1), GO_EEOF);
    }
  }
  Reader r("abc", 16);
  char buf[8];
  EXPECT_EQ(go_reader_read_full(nullptr, r, buf, 4), GO_ETRUNCATED);
  EXPECT_EQ(go_reader_read_full(nullptr, r, buf, 4), GO_EEOF);
  EXPECT_EQ(go_reader_read_full(nullptr, r, buf, SIZE_MAX), GO_EINVAL);
  Reader e("abc", 16);
  e.src.err = GO_ETIMEDOUT;
  EXPECT_EQ(go_reader_read_full(nullptr, e, buf, 4), GO_ETIMEDOUT);
}

// Go: TestReaderDiscard.
TEST(Bufio, Discard) {
  std::string text = "abcdefghijklmnopqrstuvwxyz";
  for (auto &piece : Pieces()) {
    for (size_t n = 0; n <= 27; n++) {
      for (bool peek : {false, true}) {
        Reader r(text, 16, piece);
        if (peek) {
          EXPECT_EQ(Peeked(r, 1), "a");
        }
        ptrdiff_t want = n <= 26 ? static_cast<ptrdiff_t>(n) : ptrdiff_t{GO_ETRUNCATED};
        EXPECT_EQ(go_reader_discard(nullptr, r, n), want);
        EXPECT_EQ(AllByRead(5)(r), n <= 26 ? text.substr(n) : "");
      }
    }
  }
  Reader r("abc", 16);
  r.src.err = -EIO;
  EXPECT_EQ(go_reader_discard(nullptr, r, SIZE_MAX), GO_EINVAL);
  EXPECT_EQ(go_reader_discard(nullptr, r, 2), 2);
  EXPECT_EQ(Buffered(r), "c");
  EXPECT_EQ(go_reader_discard(nullptr, r, 2), -EIO);
}

// What is buffered asks nobody.
TEST(Bufio, AsksOnlyWhenItMust) {
  Reader r("abcdefgh\nijk", 64);
  EXPECT_EQ(go_reader_read_byte(nullptr, r), 'a');
  EXPECT_EQ(r.src.calls, 1);
  EXPECT_EQ(ReadSome(r, 3), "bcd");
  EXPECT_EQ(Peeked(r, 2), "ef");
  EXPECT_EQ(LineOf(r), "efgh");
  EXPECT_EQ(ReadSome(r, 100), "ijk");
  EXPECT_EQ(r.src.calls, 1);
  EXPECT_EQ(ReadSome(r, 100), "");
  EXPECT_EQ(r.src.asked, 100u);  // not into the buffer
  EXPECT_EQ(ReadSome(r, 3), "");
  EXPECT_EQ(r.src.asked, 64u);
}

// Go: TestReadLine, TestReadLineNewlines, TestReadLineNonNilValueOrError.
TEST(Bufio, Lines) {
  struct {
    const char *text;
    std::vector<std::string> lines;
  } cases[] = {
      {"", {}},
      {"\n", {""}},
      {"\r\n", {""}},
      {"\r", {"\r"}},
      {"\r\r\n", {"\r"}},
      {"a", {"a"}},
      {"a\r", {"a\r"}},
      {"a\nb", {"a", "b"}},
      {"a\r\nb\n", {"a", "b"}},
      {"\n\n\n", {"", "", ""}},
      {"b\r\n\r\n\n", {"b", "", ""}},
      {"0123456789abcd\r\n0123456789abcde\nx", {"0123456789abcd", "0123456789abcde", "x"}},
  };
  for (auto &piece : Pieces()) {
    for (auto &c : cases) {
      Reader r(c.text, 16, piece);
      std::vector<std::string> got;
      ptrdiff_t n;
      for (std::string l; l = LineOf(r, &n), n >= 0;) got.push_back(l);
      EXPECT_EQ(n, GO_EEOF);
      EXPECT_EQ(got, c.lines) << c.text;
    }
  }
}

TEST(Bufio, LinesMayContainZeros) {
  Reader r(std::string("a\0b\n\0\n", 6));
  EXPECT_EQ(LineOf(r), std::string("a\0b", 3));
  EXPECT_EQ(LineOf(r), std::string("\0", 1));
}

// Go: TestBufferFull, TestLineTooLong. The bytes stay: they can be looked at, skipped, or given a larger buffer.
TEST(Bufio, TooLong) {
  std::string text = "And now, hello world! It goes on.\nnext\n";
  for (auto &piece : Pieces()) {
    Reader r(text, 16, piece);
    for (int i = 0; i < 2; i++) {
      EXPECT_EQ(Until(r, '!'), "GO_ETOOLONG");
      ptrdiff_t n;
      LineOf(r, &n);
      EXPECT_EQ(n, GO_ETOOLONG);
      EXPECT_EQ(Buffered(r), "And now, hello w");
    }
    EXPECT_EQ(go_reader_discard(nullptr, r, go_reader_buffered(r, nullptr)), 16);
    EXPECT_EQ(Until(r, '!'), "orld!");
    go_reader_set_max(r, 17);
    EXPECT_EQ(LineOf(r), " It goes on.");
    EXPECT_EQ(LineOf(r), "next");
  }
  Reader exact("0123456789abcdef", 16);  // it fits, but not what tells that it is a line
  ptrdiff_t n;
  LineOf(exact, &n);
  EXPECT_EQ(n, GO_ETOOLONG);
}

TEST(Bufio, Truncated) {
  Reader r("one;two", 16);
  EXPECT_EQ(Until(r, ';'), "one;");
  EXPECT_EQ(Until(r, ';'), "GO_ETRUNCATED");
  EXPECT_EQ(Until(r, ';'), "GO_ETRUNCATED");
  EXPECT_EQ(Buffered(r), "two");
  EXPECT_EQ(LineOf(r), "two");
  EXPECT_EQ(Until(r, ';'), "GO_EEOF");
}

// A source's own GO_ETRUNCATED, as a TLS library may have it, is an error: what has come before is no last line. Its GO_EEOF is
// the end.
TEST(Bufio, SourcesThatSpeakOfTheEndThemselves) {
  Reader r("text", 16);
  ptrdiff_t n;
  r.src.err = GO_ETRUNCATED;
  LineOf(r, &n);
  EXPECT_EQ(n, GO_ETRUNCATED);
  EXPECT_EQ(Buffered(r), "text");
  char buf[16];
  EXPECT_EQ(ReadSome(r, 16), "text");
  EXPECT_EQ(go_reader_read(nullptr, r, buf, 16), GO_ETRUNCATED);
  LineOf(r, &n);
  EXPECT_EQ(n, GO_ETRUNCATED);
  r.src.err = GO_EEOF;
  EXPECT_EQ(go_reader_read(nullptr, r, buf, 1), 0);
  EXPECT_EQ(go_reader_read(nullptr, r, buf, 16), 0);
  EXPECT_EQ(go_reader_read_full(nullptr, r, buf, 16), GO_EEOF);
  EXPECT_EQ(Peeked(r, 3), "");
  r.src.data += "more";
  EXPECT_EQ(LineOf(r), "more");
  EXPECT_EQ(go_reader_read_byte(nullptr, r), GO_EEOF);
}

// The buffer grows as far as it may, of the caller's or not, and loses nothing.
TEST(Bufio, Grows) {
  for (auto &piece : Pieces()) {
    for (bool own : {false, true}) {
      Source s;
      s.piece = piece;
      s.data = "short\n" + std::string(999, 'x') + "\n" + std::string(1000, 'y') + "\nend\n";
      go_reader r{};
      std::string buf(16, '#');
      EXPECT_EQ(go_reader_init_fn(&r, Source::Read, &s, own ? nullptr : buf.data(), 16), 0);
      ptrdiff_t n;
      EXPECT_EQ(LineOf(&r), "short");
      LineOf(&r, &n);
      EXPECT_EQ(n, GO_ETOOLONG);
      go_reader_set_max(&r, 100);
      LineOf(&r, &n);
      EXPECT_EQ(n, GO_ETOOLONG);
      EXPECT_EQ(Buffered(&r), std::string(100, 'x'));
      go_reader_set_max(&r, 1000);
      EXPECT_EQ(LineOf(&r), std::string(999, 'x'));
      LineOf(&r, &n);
      EXPECT_EQ(n, GO_ETOOLONG);  // with its end it has 1,001
      go_reader_set_max(&r, SIZE_MAX);
      EXPECT_EQ(Peeked(&r, 1001), std::string(1000, 'y') + "\n");
      EXPECT_EQ(LineOf(&r), std::string(1000, 'y'));
      go_reader_set_max(&r, 0);  // does not shrink
      EXPECT_EQ(LineOf(&r), "end");
      go_reader_fini(&r);
      if (own) continue;
      EXPECT_EQ(buf.size(), 16u);
    }
  }
}

// Go: TestReaderReset.
TEST(Bufio, ReaderReset) {
  Reader r("foo foo", 32);
  EXPECT_EQ(ReadSome(r, 3), "foo");
  Source other;
  other.data = "bar bar";
  go_reader_reset_fn(r, Source::Read, &other);
  EXPECT_EQ(go_reader_buffered(r, nullptr), 0u);
  EXPECT_EQ(go_reader_unread_byte(r), GO_EINVAL);
  EXPECT_EQ(AllByRead(3)(r), "bar bar");
}

// An error between two halves of a line: the same call goes on.
TEST(Bufio, ALineSurvivesErrors) {
  Reader r("first half", 64);
  r.src.err = GO_ETIMEDOUT;
  ptrdiff_t n;
  for (int i = 0; i < 3; i++) {
    LineOf(r, &n);
    EXPECT_EQ(n, GO_ETIMEDOUT);
  }
  r.src.data += ", second half\n";
  EXPECT_EQ(LineOf(r), "first half, second half");
}

// Any mixture of calls gives the bytes in order.
TEST(Bufio, RandomReading) {
  Rng rng(44);
  for (int round = 0; round < Rounds(200); round++) {
    std::string text(rng.Below(5000), '\0');
    for (char &c : text) c = static_cast<char>('a' + rng.Below(26));
    Reader r(text, 16 + rng.Below(100), Pieces()[rng.Below(4)]);
    std::string got;
    while (got.size() < text.size()) {
      size_t n = 1 + rng.Below(200);
      char *p = nullptr;
      std::string buf(n, '\0');
      ptrdiff_t k = 0;
      switch (rng.Below(7)) {
        case 0: got += ReadSome(r, n); break;
        case 1:
          k = go_reader_read_full(nullptr, r, buf.data(), std::min(n, text.size() - got.size()));
          ASSERT_GE(k, 0);
          got += buf.substr(0, static_cast<size_t>(k));
          break;
        case 2: got += static_cast<char>(go_reader_read_byte(nullptr, r)); break;
        case 3:
          if (go_reader_unread_byte(r) == 0) got.pop_back();
          break;
        case 4:
          buf = Peeked(r, 1 + rng.Below(16));
          ASSERT_EQ(buf, text.substr(got.size(), buf.size()));
          break;
        case 5:
          n = std::min(n, text.size() - got.size());
          ASSERT_EQ(go_reader_discard(nullptr, r, n), static_cast<ptrdiff_t>(n));
          got = text.substr(0, got.size() + n);
          break;
        default:
          k = go_reader_read_until(nullptr, r, static_cast<char>('a' + rng.Below(26)), &p);
          if (k > 0) got.append(p, static_cast<size_t>(k));
      }
      ASSERT_EQ(got, text.substr(0, got.size()));
    }
  }
}

// ---- writing

struct Writer {
  Sink sink;
  go_writer w{};
  explicit Writer(size_t size = 0) {
    EXPECT_EQ(go_writer_init_fn(&w, Sink::Take, &sink, nullptr, size), 0);
  }
  Writer(const Writer &) = delete;
  Writer &operator=(const Writer &) = delete;
  ~Writer() { go_writer_fini(&w); }
  operator go_writer *() { return &w; }
};

// Go: TestWriter.
TEST(Bufio, AllSizesAreWritten) {
  std::string text(8192, '\0');
  for (size_t i = 0; i < text.size(); i++) text[i] = static_cast<char>(' ' + i % ('~' - ' '));
  size_t sizes[] = {1, 2, 3, 16, 23, 32, 46, 64, 93, 128, 1024, 4096};
  for (size_t n : {0, 1, 16, 23, 46, 64, 128, 4096, 8192}) {
    for (size_t size : sizes) {
      for (auto &piece : Pieces()) {
        Writer w(size);
        w.sink.piece = piece;
        EXPECT_EQ(go_writer_write(nullptr, w, text.data(), n), static_cast<ptrdiff_t>(n));
        EXPECT_LE(go_writer_buffered(w), size);
        EXPECT_EQ(go_writer_flush(nullptr, w), 0);
        EXPECT_EQ(w.sink.data, text.substr(0, n));
      }
    }
  }
}

// Go: TestWriterSize, Buffered and Available of TestWriter.
TEST(Bufio, BufferedAndAvailable) {
  Writer w(8);
  EXPECT_EQ(go_writer_available(w), 8u);
  EXPECT_EQ(go_writer_puts(nullptr, w, "12345"), 5);
  EXPECT_EQ(go_writer_buffered(w), 5u);
  EXPECT_EQ(go_writer_available(w), 3u);
  EXPECT_EQ(go_writer_puts(nullptr, w, "678"), 3);
  EXPECT_TRUE(w.sink.calls.empty());  // full, and still here
  EXPECT_EQ(go_writer_putc(nullptr, w, '9'), 0);
  EXPECT_EQ(w.sink.data, "12345678");
  EXPECT_EQ(go_writer_buffered(w), 1u);
  EXPECT_EQ(go_writer_flush(nullptr, w), 0);
  EXPECT_EQ(go_writer_flush(nullptr, w), 0);
  EXPECT_EQ(w.sink.data, "123456789");
  EXPECT_EQ(w.sink.calls, (std::vector<size_t>{8, 1}));  // an empty flush sends nothing
  go_writer d{};
  EXPECT_EQ(go_writer_init_fn(&d, Sink::Take, &w.sink, nullptr, 0), 0);
  EXPECT_EQ(go_writer_available(&d), 4096u);
  go_writer_fini(&d);
}

// What is large is not copied, and no call is made for less than a buffer. Go: TestWriterReadFrom's cousin.
TEST(Bufio, LargeWritesGoPastTheBuffer) {
  Writer w(16);
  std::string big(1000, 'b');
  EXPECT_EQ(go_writer_write(nullptr, w, big.data(), 1000), 1000);
  EXPECT_EQ(w.sink.calls, (std::vector<size_t>{1000}));
  EXPECT_EQ(go_writer_puts(nullptr, w, "0123"), 4);
  EXPECT_EQ(go_writer_write(nullptr, w, big.data(), 1000), 1000);
  EXPECT_EQ(w.sink.calls, (std::vector<size_t>{1000, 16, 988}));
  EXPECT_EQ(go_writer_puts(nullptr, w, "0123"), 4);
  EXPECT_EQ(go_writer_write(nullptr, w, big.data(), 20), 20);
  EXPECT_EQ(w.sink.calls, (std::vector<size_t>{1000, 16, 988, 16}));
  EXPECT_EQ(go_writer_buffered(w), 8u);
  EXPECT_EQ(go_writer_write(nullptr, w, big.data(), SIZE_MAX), GO_EINVAL);
  EXPECT_EQ(go_writer_write(nullptr, w, nullptr, 0), 0);
  EXPECT_EQ(go_writer_flush(nullptr, w), 0);
  EXPECT_EQ(w.sink.data, big + "0123" + big + "0123" + std::string(20, 'b'));
}

// Go: TestWriteErrors. The first error stays, whatever is called; buffered is what was not sent.
TEST(Bufio, ErrorsStay) {
  for (auto &piece : Pieces()) {
    Writer w(8);
    w.sink.piece = piece;
    w.sink.room = 3;
    EXPECT_EQ(go_writer_puts(nullptr, w, "12345"), 5);
    EXPECT_EQ(go_writer_err(w), 0);
    EXPECT_EQ(go_writer_flush(nullptr, w), -ENOSPC);
    EXPECT_EQ(w.sink.data, "123");
    EXPECT_EQ(go_writer_buffered(w), 2u);
    w.sink.room = SIZE_MAX;
    size_t calls = w.sink.calls.size();
    EXPECT_EQ(go_writer_flush(nullptr, w), -ENOSPC);
    EXPECT_EQ(go_writer_err(w), -ENOSPC);
    EXPECT_EQ(go_writer_putc(nullptr, w, 'x'), -ENOSPC);
    EXPECT_EQ(go_writer_puts(nullptr, w, "x"), -ENOSPC);
    EXPECT_EQ(go_writer_puts(nullptr, w, ""), -ENOSPC);
    EXPECT_EQ(go_writer_write(nullptr, w, "0123456789", 10), -ENOSPC);
    EXPECT_EQ(go_writer_printf(nullptr, w, "%d", 1), -ENOSPC);
    EXPECT_EQ(go_writer_buffered(w), 2u);
    EXPECT_EQ(w.sink.calls.size(), calls);
    go_writer_reset_fn(w, Sink::Take, &w.sink);
    EXPECT_EQ(go_writer_err(w), 0);
    EXPECT_EQ(go_writer_buffered(w), 0u);
    EXPECT_EQ(go_writer_puts(nullptr, w, "again"), 5);
    EXPECT_EQ(go_writer_flush(nullptr, w), 0);
    EXPECT_EQ(w.sink.data, "123again");
  }
}

TEST(Bufio, ErrorsInTheMiddle) {
  for (size_t room : {0, 1, 7, 8, 9, 20}) {
    Writer w(8);
    w.sink.room = room;
    std::string big(30, 'b');
    EXPECT_EQ(go_writer_puts(nullptr, w, "a"), 1);
    EXPECT_EQ(go_writer_write(nullptr, w, big.data(), 30), -ENOSPC);
    EXPECT_EQ(w.sink.data, ("a" + big).substr(0, room));
  }
  Writer w(1);  // by putc
  w.sink.room = 2;
  EXPECT_EQ(go_writer_putc(nullptr, w, 'a'), 0);
  EXPECT_EQ(go_writer_putc(nullptr, w, 'b'), 0);
  EXPECT_EQ(go_writer_putc(nullptr, w, 'c'), 0);
  EXPECT_EQ(go_writer_putc(nullptr, w, 'd'), -ENOSPC);
  EXPECT_EQ(w.sink.data, "ab");
}

// A function that takes nothing and does not say why. Go: TestWriteErrors, io.ErrShortWrite.
TEST(Bufio, NoProgressIsAnError) {
  Writer w(8);
  w.sink.piece = [](size_t) { return 0; };
  EXPECT_EQ(go_writer_putc(nullptr, w, 'x'), 0);
  EXPECT_EQ(go_writer_flush(nullptr, w), -EIO);
  EXPECT_EQ(go_writer_err(w), -EIO);
}

// Go: TestWriteString, and fmt.Fprintf to a bufio.Writer.
TEST(Bufio, Printf) {
  for (size_t size : {1, 2, 5, 8, 16, 100, 4096}) {
    Writer w(size);
    std::string want;
    for (int i = 0; i < 50; i++) {
      char text[100];
      int n = snprintf(text, sizeof text, "%d %s %05.1f|", i * i * i, "text", i / 3.0);
      EXPECT_EQ(go_writer_printf(nullptr, w, "%d %s %05.1f|", i * i * i, "text", i / 3.0), n);
      want += text;
    }
    EXPECT_EQ(go_writer_printf(nullptr, w, "%s", ""), 0);
    EXPECT_EQ(go_writer_printf(nullptr, w, "%*d", 1 << 20, 7), 1 << 20);
    want += std::string((1 << 20) - 1, ' ') + "7";
    EXPECT_EQ(go_writer_flush(nullptr, w), 0);
    EXPECT_EQ(w.sink.data, want);
  }
}

// Text that just fits, and text that misses by the 0 byte that printf adds.
TEST(Bufio, PrintfAtTheBuffersEnd) {
  for (int n = 0; n <= 20; n++) {
    Writer w(8);
    EXPECT_EQ(go_writer_puts(nullptr, w, "abc"), 3);
    EXPECT_EQ(go_writer_printf(nullptr, w, "%*s", n, ""), n);
    EXPECT_EQ(go_writer_putc(nullptr, w, '.'), 0);
    EXPECT_EQ(go_writer_flush(nullptr, w), 0);
    EXPECT_EQ(w.sink.data, "abc" + std::string(static_cast<size_t>(n), ' ') + ".");
  }
}

TEST(Bufio, PrintfThatFails) {
  if (golib_test::kWindows) GTEST_SKIP() << "printf leaves out what it cannot convert";
  Writer w(64);
  EXPECT_EQ(go_writer_puts(nullptr, w, "a"), 1);
  wchar_t bad[] = {static_cast<wchar_t>(0x7fffffff), 0};
  EXPECT_EQ(go_writer_printf(nullptr, w, "text %ls", bad), GO_EINVAL);
  EXPECT_EQ(go_writer_err(w), 0);
  EXPECT_EQ(go_writer_flush(nullptr, w), 0);
  EXPECT_EQ(w.sink.data, "a");
}

// Go: TestWriterReset.
TEST(Bufio, WriterReset) {
  Writer a(32);
  Sink other;
  EXPECT_EQ(go_writer_puts(nullptr, a, "lost"), 4);
  go_writer_reset_fn(a, Sink::Take, &other);
  EXPECT_EQ(go_writer_puts(nullptr, a, "there"), 5);
  EXPECT_EQ(go_writer_flush(nullptr, a), 0);
  EXPECT_EQ(a.sink.data, "");
  EXPECT_EQ(other.data, "there");
}

TEST(Bufio, RandomWriting) {
  Rng rng(45);
  for (int round = 0; round < Rounds(200); round++) {
    Writer w(1 + rng.Below(100));
    w.sink.piece = Pieces()[rng.Below(4)];
    std::string want;
    for (int i = 0; i < 100; i++) {
      std::string s(rng.Below(rng.Below(4) == 0 ? 500 : 20), static_cast<char>('a' + i % 26));
      switch (rng.Below(4)) {
        case 0:
          ASSERT_EQ(go_writer_putc(nullptr, w, '!'), 0);
          s = "!";
          break;
        case 1:
          ASSERT_EQ(go_writer_printf(nullptr, w, "%s", s.c_str()), (ptrdiff_t)s.size());
          break;
        case 2:
          ASSERT_EQ(go_writer_flush(nullptr, w), 0);
          s = "";
          break;
        default: ASSERT_EQ(go_writer_write(nullptr, w, s.data(), s.size()), (ptrdiff_t)s.size());
      }
      want += s;
      ASSERT_EQ(w.sink.data, want.substr(0, want.size() - go_writer_buffered(w)));
    }
  }
}

// ---- connections

class BufioConn : public NetTest {};

// An echo of lines, in straight code.
TEST_F(BufioConn, Echo) {
  RunGo([] {
    Pair p;
    go_wg wg{};
    SPAWN_WG(&wg, [c = p.b] {
      go_reader r;
      go_writer w;
      char in[64], out[64], *line;
      EXPECT_EQ(go_reader_init(&r, c, in, sizeof in), 0);
      EXPECT_EQ(go_writer_init(&w, c, out, sizeof out), 0);
      ptrdiff_t n;
      while ((n = go_reader_read_line(nullptr, &r, &line)) >= 0) {
        (void)go_writer_printf(nullptr, &w, "%zd %s\n", n, line);
        if (go_reader_buffered(&r, nullptr) == 0) {
          EXPECT_EQ(go_writer_flush(nullptr, &w), 0);
        }
      }
      EXPECT_EQ(n, GO_EEOF);
      EXPECT_EQ(go_writer_flush(nullptr, &w), 0);
      EXPECT_EQ(go_conn_shutdown(c, GO_SHUT_WR), 0);
    });
    std::string out, want;
    for (int i = 0; i < 500; i++) {
      std::string text(static_cast<size_t>(i % 60), 'x');
      out += text + "\r\n";
      want += std::to_string(i % 60) + " " + text + "\n";
    }
    SPAWN_WG(&wg, [c = p.a, &out] {
      EXPECT_EQ(Write(c, out), static_cast<ptrdiff_t>(out.size()));
      EXPECT_EQ(go_conn_shutdown(c, GO_SHUT_WR), 0);
    });
    EXPECT_EQ(ReadAll(p.a), want);
    go_wg_wait(&wg);
  });
}

// The buffer and a block of megabytes leave together, in order; the reader takes them past its buffer.
TEST_F(BufioConn, LargeBlocks) {
  RunGo([] {
    Pair p;
    go_wg wg{};
    const size_t size = static_cast<size_t>(Rounds(8)) << 20;
    std::string big(size, '\0');
    Rng rng(7);
    for (char &c : big) c = static_cast<char>(rng.Next());
    SPAWN_WG(&wg, [c = p.a, &big] {
      go_writer w;
      EXPECT_EQ(go_writer_init(&w, c, nullptr, 0), 0);
      EXPECT_EQ(go_writer_printf(nullptr, &w, "%zu\n", big.size()),
                (ptrdiff_t)std::to_string(big.size()).size() + 1);
      EXPECT_EQ(go_writer_write(nullptr, &w, big.data(), big.size()), (ptrdiff_t)big.size());
      EXPECT_EQ(go_writer_buffered(&w), 0u);
      EXPECT_EQ(go_writer_puts(nullptr, &w, "end"), 3);
      EXPECT_EQ(go_writer_flush(nullptr, &w), 0);
      EXPECT_EQ(go_conn_shutdown(c, GO_SHUT_WR), 0);
      go_writer_fini(&w);
    });
    go_reader r;
    EXPECT_EQ(go_reader_init(&r, p.b, nullptr, 0), 0);
    EXPECT_EQ(LineOf(&r), std::to_string(size));
    std::string got(size, '\0');
    EXPECT_EQ(go_reader_read_full(nullptr, &r, got.data(), size), (ptrdiff_t)size);
    EXPECT_TRUE(got == big);
    EXPECT_EQ(LineOf(&r), "end");
    EXPECT_EQ(go_reader_read_byte(nullptr, &r), GO_EEOF);
    go_wg_wait(&wg);
    go_reader_fini(&r);
  });
}

// In one go: to a packet socket it is one packet.
TEST_F(BufioConn, BufferAndBlockAreSentInOneGo) {
  RunGo([] {
    go_conn *c = nullptr;
    go_addr at{};
    ASSERT_EQ(go_packet_listen(nullptr, "udp", "127.0.0.1:0", &c), 0);
    Conn server(c);
    ASSERT_EQ(go_conn_local(server, &at), 0);
    Conn client = golib_test::Dial("udp", go_addr_str(&at));
    go_writer w;
    EXPECT_EQ(go_writer_init(&w, client, nullptr, 16), 0);
    std::string big(1000, 'b');
    EXPECT_EQ(go_writer_puts(nullptr, &w, "0123"), 4);
    EXPECT_EQ(go_writer_write(nullptr, &w, big.data(), big.size()), 1000);
    EXPECT_EQ(go_writer_buffered(&w), 0u);
    EXPECT_EQ(go_writer_puts(nullptr, &w, "4567"), 4);
    EXPECT_EQ(go_writer_flush(nullptr, &w), 0);
    char buf[2000];
    EXPECT_EQ(go_read(nullptr, server, buf, sizeof buf), 1004);
    EXPECT_EQ(std::string(buf, 1004), "0123" + big);
    EXPECT_EQ(go_read(nullptr, server, buf, sizeof buf), 4);
    go_writer_fini(&w);
  });
}

// A deadline in the middle of a line: what has come is not lost. Without a wait ctx does not matter.
TEST_F(BufioConn, ContextsAndDeadlines) {
  RunGo([] {
    Pair p;
    go_reader r;
    char *line = nullptr;
    EXPECT_EQ(go_reader_init(&r, p.b, nullptr, 0), 0);
    EXPECT_EQ(Write(p.a, "one\nhalf"), 8);
    EXPECT_EQ(LineOf(&r), "one");
    go_ctx *ctx = go_ctx_with_timeout(nullptr, 10 * GO_MS);
    EXPECT_EQ(go_reader_read_line(ctx, &r, &line), GO_ETIMEDOUT);
    go_ctx_unref(ctx);
    EXPECT_EQ(go_conn_set_read_deadline(p.b, 1), 0);
    EXPECT_EQ(go_reader_read_line(nullptr, &r, &line), GO_ETIMEDOUT);
    EXPECT_EQ(go_conn_set_read_deadline(p.b, 0), 0);
    ctx = go_ctx_with_cancel(nullptr);
    go_ctx_cancel(ctx);
    EXPECT_EQ(go_reader_read_line(ctx, &r, &line), GO_ECANCELED);
    EXPECT_EQ(Write(p.a, " a line\ntwo\n"), 12);
    EXPECT_EQ(LineOf(&r), "half a line");
    EXPECT_EQ(go_reader_read_line(ctx, &r, &line), 3) << "needs no wait";
    EXPECT_EQ(go_reader_read_line(ctx, &r, &line), GO_ECANCELED);
    go_writer w;
    EXPECT_EQ(go_writer_init(&w, p.b, nullptr, 8), 0);
    EXPECT_EQ(go_writer_puts(ctx, &w, "12345678"), 8) << "fits";
    EXPECT_EQ(go_writer_putc(ctx, &w, '9'), GO_ECANCELED);
    EXPECT_EQ(go_writer_flush(nullptr, &w), GO_ECANCELED) << "stays";
    EXPECT_EQ(go_writer_buffered(&w), 8u);
    go_ctx_unref(ctx);
    go_writer_fini(&w);
    go_reader_fini(&r);
  });
}

// What a connection has taken of the buffer before the error is known.
TEST_F(BufioConn, ErrorsOfConnections) {
  RunGo([] {
    Pair p;
    go_writer w;
    EXPECT_EQ(go_writer_init(&w, p.a, nullptr, 1 << 16), 0);
    std::string big(64 << 20, 'x');
    EXPECT_EQ(go_writer_puts(nullptr, &w, "sent first"), 10);
    go_reader r;
    EXPECT_EQ(go_reader_init(&r, p.b, nullptr, 0), 0);
    go_ctx *ctx = go_ctx_with_cancel(nullptr);
    go_wg wg{};
    SPAWN_WG(&wg, [&r, ctx] {
      EXPECT_EQ(Peeked(&r, 11), "sent firstx");
      go_ctx_cancel(ctx);
    });
    EXPECT_EQ(go_writer_write(ctx, &w, big.data(), big.size()), GO_ECANCELED);
    go_wg_wait(&wg);
    go_ctx_unref(ctx);
    EXPECT_EQ(go_writer_buffered(&w), 0u);
    go_writer_reset(&w, p.b);
    EXPECT_EQ(go_conn_close(p.b), 0);
    EXPECT_EQ(go_reader_discard(nullptr, &r, 1 << 20), GO_ECLOSED);
    EXPECT_EQ(go_writer_puts(nullptr, &w, "late"), 4);
    EXPECT_EQ(go_writer_flush(nullptr, &w), GO_ECLOSED);
    EXPECT_EQ(go_writer_buffered(&w), 4u);
    EXPECT_EQ(go_writer_write(nullptr, &w, big.data(), big.size()), GO_ECLOSED);
    go_writer_fini(&w);
    go_reader_fini(&r);
  });
}

// One reader and one writer serve one connection after the other.
TEST_F(BufioConn, Reset) {
  RunGo([] {
    go_reader r{};
    go_writer w{};
    char in[32], out[32];
    for (int i = 0; i < 3; i++) {
      Pair p;
      if (i == 0) {
        EXPECT_EQ(go_reader_init(&r, p.b, in, sizeof in), 0);
        EXPECT_EQ(go_writer_init(&w, p.a, out, sizeof out), 0);
      } else {
        go_reader_reset(&r, p.b);
        go_writer_reset(&w, p.a);
      }
      EXPECT_EQ(go_writer_printf(nullptr, &w, "number %d\nleft", i), 13);
      EXPECT_EQ(go_writer_flush(nullptr, &w), 0);
      EXPECT_EQ(LineOf(&r), "number " + std::to_string(i));
    }
    go_reader_reset(&r, nullptr);
    go_writer_reset(&w, nullptr);
    go_writer_reset_fn(&w, nullptr, &w);
    EXPECT_EQ(go_reader_buffered(&r, nullptr), 0u);
    EXPECT_TRUE(Panics([&r] { Ignore(go_reader_read_byte(nullptr, &r)); }));
    EXPECT_TRUE(Panics([&w] { Ignore(go_writer_flush(nullptr, &w)); }));
    go_reader_fini(&r);
    go_writer_fini(&w);
  });
}

// Threads that are no goroutines use them as well.
TEST_F(BufioConn, PlainThreads) {
  const golib_test::Local local("bufio");
  Pair p(local.net, local.addr.c_str());
  go_writer w;
  go_reader r;
  ASSERT_EQ(go_writer_init(&w, p.a, nullptr, 0), 0);
  ASSERT_EQ(go_reader_init(&r, p.b, nullptr, 0), 0);
  EXPECT_EQ(go_writer_puts(nullptr, &w, "hello\n"), 6);
  EXPECT_EQ(go_writer_flush(nullptr, &w), 0);
  EXPECT_EQ(LineOf(&r), "hello");
  go_writer_fini(&w);
  go_reader_fini(&r);
}

// A file, by functions of three lines.
TEST(Bufio, Files) {
  RunGo([] {
    const char *dir = getenv("TEST_TMPDIR");
    std::string path = std::string(dir != nullptr ? dir : "/tmp") + "/golib_bufio_file";
    intptr_t f = -1;
    auto take = [](go_ctx *ctx, void *file, const void *buf, size_t n) {
      return go_file_write(ctx, *static_cast<intptr_t *>(file), buf, n);
    };
    auto give = [](go_ctx *ctx, void *file, void *buf, size_t n) {
      return go_file_read(ctx, *static_cast<intptr_t *>(file), buf, n);
    };
    ASSERT_EQ(go_file_open(nullptr, path.c_str(), GO_FILE_WRITE | GO_FILE_CREATE | GO_FILE_TRUNCATE,
                           0600, &f),
              0);
    go_writer w;
    EXPECT_EQ(go_writer_init_fn(&w, take, &f, nullptr, 64), 0);
    for (int i = 0; i < 100; i++) EXPECT_GT(go_writer_printf(nullptr, &w, "line %d\n", i), 0);
    EXPECT_EQ(go_writer_flush(nullptr, &w), 0);
    go_writer_fini(&w);
    EXPECT_EQ(go_file_close(f), 0);
    ASSERT_EQ(go_file_open(nullptr, path.c_str(), GO_FILE_READ, 0, &f), 0);
    go_reader r;
    EXPECT_EQ(go_reader_init_fn(&r, give, &f, nullptr, 32), 0);
    for (int i = 0; i < 100; i++) EXPECT_EQ(LineOf(&r), "line " + std::to_string(i));
    EXPECT_EQ(go_reader_read_byte(nullptr, &r), GO_EEOF);
    go_reader_fini(&r);
    EXPECT_EQ(go_file_close(f), 0);
    unlink(path.c_str());
  });
}

}  // namespace
