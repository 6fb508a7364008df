/* core/stats.h: what the statistics offer to the rest of core. */
#ifndef GOLIB_CORE_STATS_H_
#define GOLIB_CORE_STATS_H_

#include <golib/debug.h>

/* go_stats_read without looking at every goroutine: not by state. */
void go_stats_sum_(go_stats *s);

#endif /* GOLIB_CORE_STATS_H_ */
