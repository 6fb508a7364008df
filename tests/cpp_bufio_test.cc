// go::reader and go::writer: what C++ adds to bufio_test.cc.

#include <golib/golib.hpp>

#include <string>
#include <system_error>
#include <thread>

#include "tests/support/net.h"

using golib_test::NetTest;
using golib_test::Pair;
using golib_test::ReadAll;
using golib_test::RunGo;
using golib_test::Write;

namespace {

struct Text {
  std::string s;
  int err = 0;
  static ptrdiff_t Give(go_ctx *, void *arg, void *buf, size_t n) {
    auto *t = static_cast<Text *>(arg);
    if (t->s.empty()) return t->err;
    n = std::min(n, t->s.size());
    memcpy(buf, t->s.data(), n);
    t->s.erase(0, n);
    return static_cast<ptrdiff_t>(n);
  }
  static ptrdiff_t Take(go_ctx *, void *arg, const void *buf, size_t n) {
    auto *t = static_cast<Text *>(arg);
    if (t->err != 0) return t->err;
    t->s.append(static_cast<const char *>(buf), n);
    return static_cast<ptrdiff_t>(n);
  }
};

template <class F>
int CodeOf(F f) {
  try {
    f();
  } catch (const go::error &e) {
    return e.code().value();
  }
  return 0;
}

class CppBufio : public NetTest {};

TEST_F(CppBufio, LinesOverAConnection) {
  RunGo([] {
    Pair p;
    go::wait_group wg;
    wg.spawn([c = p.b.get()] {
      go::reader r(c);
      go::writer w(c);
      while (auto line = r.read_line()) {
        w.printf("%zu ", line->size());
        w.write(*line);
        w.putc('\n');
        if (r.buffered().empty()) w.flush();
      }
      w.flush();
      EXPECT_EQ(go_conn_shutdown(c, GO_SHUT_WR), 0);
    });
    EXPECT_EQ(Write(p.a, "one\r\n\nthree"), 11);
    EXPECT_EQ(go_conn_shutdown(p.a, GO_SHUT_WR), 0);
    EXPECT_EQ(ReadAll(p.a), "3 one\n0 \n5 three\n");
    wg.wait();
  });
}

TEST_F(CppBufio, AllWaysToRead) {
  Text t;
  t.s = "line\nkey=value;0123456789rest";
  go::reader r(Text::Give, &t, 64);
  EXPECT_EQ(r.read_line(), "line");
  EXPECT_EQ(r.read_until('='), "key=");
  EXPECT_EQ(r.peek(5), "value");
  EXPECT_FALSE(r.unread_byte());
  EXPECT_EQ(r.read_byte(), 'v');
  EXPECT_TRUE(r.unread_byte());
  EXPECT_TRUE(r.discard(6));
  char buf[10];
  EXPECT_TRUE(r.read_full(buf, 10));
  EXPECT_EQ(std::string(buf, 10), "0123456789");
  EXPECT_EQ(r.buffered(), "rest");
  EXPECT_EQ(r.read(buf, 10), 4u);
  // The end is none of the errors, where there is another way to say it.
  EXPECT_EQ(r.read(buf, 10), 0u);
  EXPECT_EQ(r.read_line(), std::nullopt);
  EXPECT_EQ(r.read_until('x'), std::nullopt);
  EXPECT_EQ(r.read_byte(), std::nullopt);
  EXPECT_EQ(r.peek(3), "");
  EXPECT_FALSE(r.read_full(buf, 1));
  EXPECT_FALSE(r.discard(1));
  std::error_code ec;
  EXPECT_EQ(r.read_line({}, ec), std::nullopt);
  EXPECT_EQ(ec, go::errc::eof);
  EXPECT_EQ(r.read_until({}, 'x', ec), std::nullopt);
  EXPECT_EQ(ec, go::errc::eof);
  EXPECT_EQ(r.read_byte({}, ec), std::nullopt);
  EXPECT_EQ(ec, go::errc::eof);
  EXPECT_FALSE(r.read_full({}, buf, 1, ec));
  EXPECT_EQ(ec, go::errc::eof);
  EXPECT_FALSE(r.discard({}, 1, ec));
  EXPECT_EQ(ec, go::errc::eof);
  EXPECT_EQ(r.read({}, buf, 1, ec), 0u);
  EXPECT_FALSE(ec);
  EXPECT_EQ(r.peek({}, 1, ec), "");
  EXPECT_FALSE(ec);
}

TEST_F(CppBufio, ErrorsOfReading) {
  Text t;
  t.s = "0123456789abcdefg";
  go::reader r(Text::Give, &t, 16);
  std::error_code ec;
  EXPECT_EQ(CodeOf([&] { (void)r.read_line(); }), GO_ETOOLONG);
  EXPECT_EQ(r.read_line({}, ec), std::nullopt);
  EXPECT_EQ(ec, go::errc::too_long);
  EXPECT_EQ(CodeOf([&] { (void)r.peek(17); }), GO_ETOOLONG);
  EXPECT_EQ(CodeOf([&] { (void)r.read_until('!'); }), GO_ETOOLONG);
  r.set_max(100);
  EXPECT_EQ(CodeOf([&] { (void)r.read_until('!'); }), GO_ETRUNCATED);
  EXPECT_EQ(r.read_until({}, '!', ec), std::nullopt);
  EXPECT_EQ(ec, go::errc::truncated);
  char buf[32];
  EXPECT_EQ(CodeOf([&] { (void)r.read_full(buf, 32); }), GO_ETRUNCATED);
  t.err = -ECONNRESET;
  EXPECT_EQ(CodeOf([&] { (void)r.read(buf, 1); }), -ECONNRESET);
  EXPECT_EQ(CodeOf([&] { (void)r.read_byte(); }), -ECONNRESET);
  EXPECT_EQ(CodeOf([&] { (void)r.discard(1); }), -ECONNRESET);
  EXPECT_EQ(r.read({}, buf, 1, ec), 0u);
  EXPECT_EQ(ec, std::errc::connection_reset);
  Text other;
  other.s = "other\n";
  r.reset(Text::Give, &other);
  EXPECT_EQ(r.read_line(), "other");
}

TEST_F(CppBufio, ErrorsOfWriting) {
  Text t;
  go::writer w(Text::Take, &t, 16);
  w.write("0123");
  EXPECT_EQ(w.buffered(), 4u);
  EXPECT_EQ(w.available(), 12u);
  w.flush();
  w.printf("%s", "a text that is larger than the buffer");
  w.putc('!');
  w.flush();
  EXPECT_EQ(t.s, "0123a text that is larger than the buffer!");
  t.err = -ENOSPC;
  w.putc('x');
  EXPECT_FALSE(w.err());
  EXPECT_EQ(CodeOf([&] { w.flush(); }), -ENOSPC);
  EXPECT_EQ(w.err(), std::errc::no_space_on_device);
  t.err = 0;
  std::error_code ec;
  EXPECT_EQ(CodeOf([&] { w.write("x"); }), -ENOSPC);
  EXPECT_EQ(CodeOf([&] { w.putc('x'); }), -ENOSPC);
  EXPECT_EQ(CodeOf([&] { w.printf("x"); }), -ENOSPC);
  EXPECT_EQ(CodeOf([&] { w.printf(nullptr, "x"); }), -ENOSPC);
  EXPECT_FALSE(w.write({}, "x", ec));
  EXPECT_EQ(ec.value(), -ENOSPC);
  EXPECT_FALSE(w.flush({}, ec));
  EXPECT_EQ(ec.value(), -ENOSPC);
  w.reset(Text::Take, &t);
  EXPECT_TRUE(w.write({}, ".", ec));
  EXPECT_TRUE(w.flush({}, ec));
  EXPECT_FALSE(ec);
  EXPECT_EQ(t.s.back(), '.');
  EXPECT_EQ(CodeOf([] { go::writer none(nullptr, nullptr); }), GO_EINVAL);
  EXPECT_EQ(CodeOf([] { go::reader none(nullptr, nullptr); }), GO_EINVAL);
}

TEST_F(CppBufio, Contexts) {
  RunGo([] {
    Pair p;
    go::reader r(p.a);
    go::writer w(p.a, 4);
    auto ctx = go::with_cancel({});
    ctx.cancel();
    std::error_code ec;
    EXPECT_EQ(r.read_line(ctx, ec), std::nullopt);
    EXPECT_EQ(ec, go::errc::canceled);
    EXPECT_EQ(CodeOf([&] { (void)r.read_line(ctx); }), GO_ECANCELED);
    EXPECT_EQ(CodeOf([&] { w.write(ctx, "12345"); }), GO_ECANCELED);
    w.reset(p.a);
    EXPECT_EQ(CodeOf([&] { w.printf(ctx.get(), "%d", 12345); }), GO_ECANCELED);
  });
}

}  // namespace
