/* debug/view.h: what is shown, as JSON. */
#ifndef GOLIB_DEBUG_VIEW_H_
#define GOLIB_DEBUG_VIEW_H_

#include "debug/text.h"

/* go_stats by its names, and what process it is. */
void go_view_stats_(go_text_ *t);
/* Goroutines: all by state, spawn site and stack, and `limit` of them one by one. */
void go_view_goroutines_(go_text_ *t, int64_t limit, bool leaks);
/* go_dump. */
void go_view_dump_(go_text_ *t);
/* Frees what was kept of names of functions. */
void go_view_fini_(void);

/* The page: lines, of which the last is NULL. */
extern const char *const go_view_page_[];

#endif /* GOLIB_DEBUG_VIEW_H_ */
