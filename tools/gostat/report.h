/* report.h: what is shown, as lines of text. */
#ifndef GOSTAT_REPORT_H_
#define GOSTAT_REPORT_H_

#include <stdbool.h>
#include <stddef.h>

#include "json.h"

/* One look at a program. Zero is none. */
typedef struct sample {
  char *stats_text, *groups_text; /* what the documents point into */
  json_doc *stats, *groups;       /* /stats.json, /goroutines.json */
  int error;                      /* of fetch, then there is nothing */
} sample;

void sample_free(sample *s);

typedef enum sorting { BY_COUNT, BY_WAIT, BY_STATE, BY_NAME, SORTINGS } sorting;
typedef enum grouping { PER_STACK, PER_SITE, PER_STATE, ONE_BY_ONE, GROUPINGS } grouping;
extern const char *const sorting_names[SORTINGS], *const grouping_names[GROUPINGS];

typedef struct look {
  sorting sort;
  grouping group;
  int columns; /* lines are cut to so many; 0: they are not */
  bool colours;
} look;

/* Text that grows; all-zero: empty. */
typedef struct text {
  char *s;
  size_t n, cap;
} text;

void text_free(text *t);
void text_add(text *t, const char *s, size_t n);
/* A line, without what could do something to the terminal, cut to columns (0: not). */
void text_line(text *t, int columns, const char *s);

/* Lines about the program as a whole; rates if there is a look from before (NULL: none). */
void report_head(text *t, const look *l, const sample *now, const sample *before);
/* The table's head, and then its lines, from the row `from` on, at most `rows` (negative: all). Returns how many there are. */
size_t report_table(text *t, const look *l, const sample *now, size_t from, long rows);

#endif /* GOSTAT_REPORT_H_ */
