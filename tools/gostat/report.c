/* report.c: see report.h. What comes from the program may be anything: numbers are only printed, and text is filtered. */
#include "report.h"

#include <golib/base.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const sorting_names[SORTINGS] = {"count", "longest", "state", "name"};
const char *const grouping_names[GROUPINGS] = {"stack", "site", "state", "none"};

void sample_free(sample *s) {
  json_free(s->stats);
  json_free(s->groups);
  free(s->stats_text);
  free(s->groups_text);
  *s = (sample){.error = 0};
}

/* ---- text ---- */

void text_free(text *t) {
  free(t->s);
  *t = (text){.s = NULL};
}

void text_add(text *t, const char *s, size_t n) {
  if (t->cap - t->n < n) {
    size_t cap = 2 * (t->cap + n);
    char *more = realloc(t->s, cap);
    if (more == NULL) return; /* then there is a piece missing on the screen */
    t->s = more;
    t->cap = cap;
  }
  memcpy(t->s + t->n, s, n);
  t->n += n;
}

/* Bytes of the UTF-8 sequence that s begins with, and is to be shown; 0: it is none, or a control. */
static size_t shown(const unsigned char *s) {
  if (s[0] < 0x80) return s[0] >= ' ' && s[0] != 0x7f;
  size_t n = s[0] >= 0xc2 && s[0] < 0xe0   ? 2
             : (s[0] & 0xf0) == 0xe0       ? 3
             : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                           : 0;
  for (size_t i = 1; i < n; i++) {
    if ((s[i] & 0xc0) != 0x80) return 0;
  }
  return n == 2 && s[0] == 0xc2 && s[1] < 0xa0 ? 0 : n;
}

void text_line(text *t, int columns, const char *s) {
  for (int at = 0; *s != '\0' && (columns <= 0 || at < columns); at++) {
    size_t n = shown((const unsigned char *)s);
    text_add(t, n > 0 ? s : "?", n > 0 ? n : 1);
    s += n > 0 ? n : 1;
  }
  text_add(t, "\n", 1);
}

/* One line of at most some hundred bytes. */
static __attribute__((format(printf, 2, 3))) void line(text *t, const char *fmt, ...);
static int width; /* of lines, set by who is called from outside */

static void line(text *t, const char *fmt, ...) {
  char s[1024];
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(s, sizeof s, fmt, ap);
  va_end(ap);
  text_line(t, width, s);
}

/* ---- numbers ---- */

/* Several in one call of printf. */
static char *slot(void) {
  static char slots[16][32];
  static unsigned next;
  return slots[next++ % 16];
}

static const char *many(int64_t n) {
  char *s = slot();
  if (n < 100000) {
    snprintf(s, 32, "%" PRId64, n);
  } else {
    static const char units[] = "kMGTPE";
    double v = (double)n / 1000;
    int u = 0;
    for (; v >= 1000 && u < 5; u++) v /= 1000;
    snprintf(s, 32, "%.1f%c", v, units[u]);
  }
  return s;
}

static const char *bytes(int64_t n) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  char *s = slot();
  double v = (double)n;
  int u = 0;
  for (; v >= 1024 && u < 5; u++) v /= 1024;
  snprintf(s, 32, v < 10 && u > 0 ? "%.1f %s" : "%.0f %s", v, units[u]);
  return s;
}

static const char *duration(int64_t ns) {
  char *s = slot();
  if (ns < 0) {
    snprintf(s, 32, "-");
  } else if (ns < GO_US) {
    snprintf(s, 32, "%" PRId64 " ns", ns);
  } else if (ns < GO_MS) {
    snprintf(s, 32, "%.1f us", (double)ns / (double)GO_US);
  } else if (ns < GO_SEC) {
    snprintf(s, 32, "%.1f ms", (double)ns / (double)GO_MS);
  } else if (ns < 120 * GO_SEC) {
    snprintf(s, 32, "%.1f s", (double)ns / (double)GO_SEC);
  } else if (ns < 7200 * GO_SEC) {
    snprintf(s, 32, "%" PRId64 " min", ns / (60 * GO_SEC));
  } else {
    snprintf(s, 32, "%.1f h", (double)ns / (3600.0 * (double)GO_SEC));
  }
  return s;
}

/* "count what", or "count what (n/s)". */
static const char *rate(const json *now, const json *before, const char *key) {
  char *s = slot();
  int64_t n = json_number(now, key);
  int64_t ns = before != NULL ? json_number(now, "now") - json_number(before, "now") : 0;
  if (ns <= 0) return many(n);
  double per = (double)(n - json_number(before, key)) * (double)GO_SEC / (double)ns;
  snprintf(s, 32, "%s (%s/s)", many(n), many(per > 0 ? (int64_t)(per + 0.5) : 0));
  return s;
}

/* ---- the head ---- */

static int64_t bound(const json *s, size_t i) {
  return json_at(json_get(s, "latency_bounds"), i)->number;
}

/* Below which time that part of them was; the last bucket has no bound: the longest. */
static int64_t below(const json *s, double part) {
  const json *list = json_get(s, "latency");
  int64_t all = json_number(s, "latency_count"), seen = 0;
  size_t i = 0;
  for (const json *b = list->first; b != NULL; b = b->next, i++) {
    seen += b->number;
    if (seen > 0 && (double)seen >= part * (double)all) break;
  }
  int64_t longest = json_number(s, "latency_max");
  return i + 1 < list->count && bound(s, i) < longest ? bound(s, i) : longest;
}

static void histogram(text *t, const json *s) {
  static const char shades[] = " .:-=+*#%@";
  char bars[65];
  size_t n = 0;
  for (const json *b = json_get(s, "latency")->first; b != NULL && n < 64; b = b->next) {
    int log = 0;
    for (int64_t v = b->number; v > 0 && log < 18; v /= 2) log++;
    bars[n++] = shades[(log + 1) / 2];
  }
  bars[n] = '\0';
  line(t, "            128 ns [%s] 137 s", bars);
}

void report_head(text *t, const look *l, const sample *now, const sample *before) {
  const json *s = json_root(now->stats);
  const json *b = before != NULL && before->stats != NULL ? json_root(before->stats) : NULL;
  if (b != NULL && json_number(b, "pid") != json_number(s, "pid")) b = NULL;
  width = l->columns;
  line(t, "%s, process %" PRId64 ", golib %s", json_text(s, "program"), json_number(s, "pid"),
       json_text(s, "golib"));
  line(t,
       "goroutines  %s: %s running, %s runnable, %s waiting, %s blocking, %s not started; most %s",
       many(json_number(s, "goroutines")), many(json_number(s, "running")),
       many(json_number(s, "runnable")), many(json_number(s, "waiting")),
       many(json_number(s, "blocking")), many(json_number(s, "not_started")),
       many(json_number(s, "goroutines_max")));
  line(t, "so far      started %s, ended %s, waits %s, turns %s", rate(s, b, "spawned"),
       rate(s, b, "ended"), rate(s, b, "parks"), rate(s, b, "turns"));
  line(t, "            steals %s, retakes %s, switches %s, events %s", rate(s, b, "steals"),
       rate(s, b, "retakes"), rate(s, b, "switches"), rate(s, b, "polled"));
  line(t, "Ps          %s, %s idle; queued %s, in the global queue %s; timers %s, descriptors %s",
       many(json_number(s, "procs")), many(json_number(s, "procs_idle")),
       many(json_number(s, "queued")), many(json_number(s, "queued_global")),
       many(json_number(s, "timers")), many(json_number(s, "descriptors")));
  line(t, "threads     %s: %s spinning, %s blocking; most %s; others waiting %s",
       many(json_number(s, "threads")), many(json_number(s, "threads_spinning")),
       many(json_number(s, "threads_blocking")), many(json_number(s, "threads_max")),
       many(json_number(s, "threads_waiting")));
  line(t, "stacks      %s, most %s, at rest %s; %s reserved", many(json_number(s, "stacks")),
       many(json_number(s, "stacks_max")), many(json_number(s, "stacks_free")),
       bytes(json_number(s, "stack_bytes_reserved")));
  int64_t n = json_number(s, "latency_count");
  line(t, "late        mean %s, half below %s, 99 %% below %s, longest %s",
       duration(n > 0 ? json_number(s, "latency_sum") / n : -1),
       duration(n > 0 ? below(s, 0.5) : -1), duration(n > 0 ? below(s, 0.99) : -1),
       duration(n > 0 ? json_number(s, "latency_max") : -1));
  histogram(t, s);
}

/* ---- the table ---- */

typedef struct row {
  const char *state, *spawned, *at, *name;
  int64_t count, longest, id;
  bool leaked;
  const json *stack; /* of rows per stack, or NULL */
} row;

static int by_text(const char *a, const char *b) { return strcmp(a, b); }

static int by_number(int64_t a, int64_t b) { return a < b ? 1 : a > b ? -1 : 0; }

static int compare(const row *a, const row *b, sorting s) {
  switch (s) {
    case BY_COUNT: return by_number(a->count, b->count);
    case BY_WAIT: return by_number(a->longest, b->longest);
    case BY_STATE: return by_text(a->state, b->state);
    default: return by_text(a->spawned, b->spawned);
  }
}

static sorting sort_first;

/* The others decide where the first does not: rows stay where they are from look to look. */
static int compare_rows(const void *x, const void *y) {
  const row *a = x, *b = y;
  int c = compare(a, b, sort_first);
  for (sorting s = 0; c == 0 && s < SORTINGS; s++) {
    c = s != BY_WAIT || sort_first == BY_WAIT ? compare(a, b, s) : 0;
  }
  if (c == 0) c = by_text(a->at, b->at);
  return c != 0 ? c : by_number(b->id, a->id);
}

static row row_of(const json *j, grouping g, const json *stacks) {
  row r = {json_text(j, "state"),
           json_text(j, "spawned"),
           json_text(j, "at"),
           json_text(j, "name"),
           1,
           -1,
           0,
           false,
           NULL};
  r.id = json_number(j, "id");
  r.leaked = json_number(j, "leaked") != 0;
  r.count = g == ONE_BY_ONE ? 1 : json_number(j, "count");
  r.longest = json_number(j, g == ONE_BY_ONE ? "waits" : "longest");
  const char *slash = strrchr(r.at, '/'); /* there is not much room */
  if (slash != NULL) r.at = slash + 1;
  if (g == PER_STATE) r.spawned = r.at = "";
  int64_t stack = json_number(j, "stack");
  if (g == PER_STACK && json_get(j, "stack")->type == JSON_NUMBER && stack >= 0) {
    r.stack = json_at(stacks, (size_t)stack);
  }
  return r;
}

static bool together(const row *a, const row *b) {
  return strcmp(a->state, b->state) == 0 && strcmp(a->spawned, b->spawned) == 0 &&
         strcmp(a->at, b->at) == 0;
}

/* Makes one row of those that belong together, which are neighbours; returns how many are left. */
static size_t merge(row *rows, size_t n) {
  size_t out = 0;
  for (size_t i = 0; i < n; i++) {
    row *last = out > 0 ? &rows[out - 1] : NULL;
    if (last != NULL && together(last, &rows[i])) {
      last->count += rows[i].count;
      last->leaked = last->leaked || rows[i].leaked;
      last->longest = rows[i].longest > last->longest ? rows[i].longest : last->longest;
    } else {
      rows[out++] = rows[i];
    }
  }
  return out;
}

static int compare_kinds(const void *x, const void *y) {
  const row *a = x, *b = y;
  int c = by_text(a->state, b->state);
  if (c == 0) c = by_text(a->spawned, b->spawned);
  return c != 0 ? c : by_text(a->at, b->at);
}

static row *make_rows(const sample *now, const look *l, size_t *ret) {
  const json *list =
      json_get(json_root(now->groups), l->group == ONE_BY_ONE ? "goroutines" : "groups");
  row *rows = calloc(list->count + 1, sizeof *rows);
  size_t n = 0;
  *ret = 0;
  if (rows == NULL || list->type != JSON_LIST) return rows;
  for (const json *j = list->first; j != NULL; j = j->next)
    rows[n++] = row_of(j, l->group, json_get(json_root(now->groups), "stacks"));
  if (l->group == PER_SITE || l->group == PER_STATE) {
    qsort(rows, n, sizeof *rows, compare_kinds);
    n = merge(rows, n);
  }
  sort_first = l->sort;
  qsort(rows, n, sizeof *rows, compare_rows);
  *ret = n;
  return rows;
}

/* "go_park_+0xc8 (p+0xd8e8)", and what it was called by: "in wait_one < reader". All begin in go_park_, which says
 * nothing. */
static void put_frames(char *out, size_t size, const json *stack) {
  size_t n = 0;
  int shown_frames = 0;
  out[0] = '\0';
  for (const json *f = stack != NULL ? stack->first : NULL; f != NULL && shown_frames < 4;
       f = f->next) {
    size_t len = strcspn(f->text, "+ (");
    if (len == 8 && memcmp(f->text, "go_park_", 8) == 0) continue;
    int w = snprintf(out + n, size - n, "%s%.*s", shown_frames == 0 ? "  in " : " < ", (int)len,
                     f->text);
    if (w < 0 || (size_t)w >= size - n) return;
    n += (size_t)w;
    shown_frames++;
  }
}

static void put_row(text *t, const row *r, grouping g) {
  const char *leaked = r->leaked ? " leaked" : "";
  char state[64], frames[256];
  put_frames(frames, sizeof frames, r->stack);
  snprintf(state, sizeof state, "%s%s", r->state, leaked);
  if (g == ONE_BY_ONE) {
    line(t, "%9" PRId64 "  %-22s %9s  %s%s%s %s", r->id, state, duration(r->longest), r->name,
         r->name[0] != '\0' ? " " : "", r->spawned, r->at);
  } else {
    line(t, "%9s  %-22s %9s  %s %s%s", many(r->count), state, duration(r->longest), r->spawned,
         r->at, frames);
  }
}

size_t report_table(text *t, const look *l, const sample *now, size_t from, long rows) {
  size_t n;
  row *all = make_rows(now, l, &n);
  width = l->columns;
  if (l->colours) text_add(t, "\033[7m", 4);
  char head[512];
  snprintf(head, sizeof head, "%9s  %-22s %9s  %-*s", l->group == ONE_BY_ONE ? "number" : "count",
           "state", "longest", l->columns > 45 && l->columns < 400 ? l->columns - 45 : 1,
           l->group == PER_STATE ? "" : "spawned as");
  text_line(t, l->columns, head);
  if (l->colours) {
    t->n--; /* the end of the line, which is not to be coloured */
    text_add(t, "\033[0m\n", 5);
  }
  for (size_t i = from; all != NULL && i < n && rows != 0; i++, rows -= rows > 0)
    put_row(t, &all[i], l->group);
  free(all);
  return n;
}
