/* golib/golib.h: everything. One header per noun exists as well. */
#ifndef GOLIB_GOLIB_H_
#define GOLIB_GOLIB_H_

#include <golib/base.h>
#include <golib/block.h>
#include <golib/bufio.h>
#include <golib/chan.h>
#include <golib/context.h>
#include <golib/debug.h>
#include <golib/defer.h>
#include <golib/file.h>
#include <golib/go.h>
#include <golib/local.h>
#include <golib/net.h>
#include <golib/runtime.h>
#include <golib/scope.h>
#include <golib/select.h>
#include <golib/sync.h>
#include <golib/test.h>
#include <golib/time.h>

#endif /* GOLIB_GOLIB_H_ */
