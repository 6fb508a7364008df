/* golib/macros.h: the preprocessor work behind GO_FUNC, GO and GO_CHAN_TYPE. Nothing here is for users.
 *
 * Every public macro that can have an empty tail takes all of its arguments as `...`: C11 asks for
 * at least one argument in place of it, and -Wpedantic says so.
 */
#ifndef GOLIB_MACROS_H_
#define GOLIB_MACROS_H_

#define GO_CAT2_(a, b) a##b
#define GO_CAT_(a, b) GO_CAT2_(a, b)
#define GO_UNIQUE_(prefix) GO_CAT_(prefix, __LINE__)

/* GO_PICK_(P, x) is P0_, GO_PICK_(P, x, y...) is PN_ (up to nine arguments). */
#define GO_TAIL_(_1, _2, _3, _4, _5, _6, _7, _8, _9, pick, ...) pick
#define GO_PICK_(p, ...) GO_CAT_(p, GO_TAIL_(__VA_ARGS__, N_, N_, N_, N_, N_, N_, N_, N_, 0_, ~))
#define GO_COUNT_(...) GO_TAIL_(__VA_ARGS__, 9, 8, 7, 6, 5, 4, 3, 2, 1, ~)

/* (type, name) in its four uses. */
#define GO_PARAM2_(type, name) type name
#define GO_PARAM_(pair) GO_PARAM2_ pair
#define GO_FIELD_(pair) GO_PARAM2_ pair;
#define GO_NAME2_(type, name) name
#define GO_NAME_(pair) GO_NAME2_ pair
#define GO_ARG2_(type, name) a_->name
#define GO_ARG_(pair) GO_ARG2_ pair

#define GO_COMMA_() ,
#define GO_EMPTY_()

/* GO_MAP_(m, sep, a, b, ...): m(a) sep() m(b) sep() ..., up to eight. */
#define GO_MAP_(m, sep, ...) GO_CAT_(GO_MAP_, GO_COUNT_(__VA_ARGS__))(m, sep, __VA_ARGS__)
#define GO_MAP_1(m, sep, a) m(a)
#define GO_MAP_2(m, sep, a, ...) m(a) sep() GO_MAP_1(m, sep, __VA_ARGS__)
#define GO_MAP_3(m, sep, a, ...) m(a) sep() GO_MAP_2(m, sep, __VA_ARGS__)
#define GO_MAP_4(m, sep, a, ...) m(a) sep() GO_MAP_3(m, sep, __VA_ARGS__)
#define GO_MAP_5(m, sep, a, ...) m(a) sep() GO_MAP_4(m, sep, __VA_ARGS__)
#define GO_MAP_6(m, sep, a, ...) m(a) sep() GO_MAP_5(m, sep, __VA_ARGS__)
#define GO_MAP_7(m, sep, a, ...) m(a) sep() GO_MAP_6(m, sep, __VA_ARGS__)
#define GO_MAP_8(m, sep, a, ...) m(a) sep() GO_MAP_7(m, sep, __VA_ARGS__)

#endif /* GOLIB_MACROS_H_ */
