/* debug/view.c: see debug/view.h. One thread at a time: that of debug/serve.c. */
#include "debug/view.h"

#include <golib/debug.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/look.h"
#include "core/sched.h"

static void key(go_text_ *t, const char *before, const char *name) {
  go_text_str_(t, before);
  go_text_str_(t, "\"");
  go_text_str_(t, name);
  go_text_str_(t, "\":");
}

/* ---- statistics ---- */

enum kind { I64, I32 };

typedef struct number {
  const char *name;
  size_t at;
  enum kind kind;
} number;

#define LONG(name) \
  { #name, offsetof(go_stats, name), I64 }
#define INT(name) \
  { #name, offsetof(go_stats, name), I32 }

/* Unsigned ones count up from 0, and do not come to 2^63. */
static const number numbers[] = {
    LONG(goroutines),     LONG(not_started), LONG(runnable),        LONG(running),
    LONG(waiting),        LONG(blocking),    LONG(goroutines_max),  LONG(spawned),
    LONG(ended),          LONG(parks),       LONG(turns),           LONG(steals),
    LONG(stolen),         LONG(retakes),     LONG(switches),        INT(procs),
    INT(procs_idle),      LONG(queued),      LONG(queued_global),   LONG(timers),
    INT(threads),         INT(threads_max),  INT(threads_spinning), INT(threads_blocking),
    INT(threads_waiting), LONG(descriptors), LONG(polls),           LONG(polled),
    LONG(stacks),         LONG(stacks_max),  LONG(stacks_free),     LONG(stack_bytes_reserved),
    LONG(latency_count),  LONG(latency_sum), LONG(latency_max),
};

static int64_t value(const go_stats *s, const number *n) {
  int64_t v;
  int32_t small;
  if (n->kind == I32) {
    memcpy(&small, (const char *)s + n->at, sizeof small);
    return small;
  }
  memcpy(&v, (const char *)s + n->at, sizeof v);
  return v;
}

static void put_queues(go_text_ *t) {
  key(t, ",", "queues");
  go_text_str_(t, "[");
  uint32_t n = go_ld_acq(&GO_S->running) != 0 ? go_ld_acq(&GO_S->procs) : 0;
  for (uint32_t i = 0; i < n; i++) {
    go_text_str_(t, i > 0 ? "," : "");
    go_text_u64_(t, go_runq_len_(&GO_S->all_p[i]->q));
  }
  go_text_str_(t, "]");
}

static void put_process(go_text_ *t) {
  char name[64];
  int64_t pid = go_os_process_(name, sizeof name);
  key(t, "{", "golib");
  go_text_json_(t, go_version(), strlen(go_version()));
  key(t, ",", "program");
  go_text_json_(t, name, strlen(name));
  key(t, ",", "pid");
  go_text_i64_(t, pid);
  key(t, ",", "now");
  go_text_i64_(t, go_os_now_());
}

void go_view_stats_(go_text_ *t) {
  go_stats s;
  go_stats_read(&s);
  put_process(t);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    key(t, ",", numbers[i].name);
    go_text_i64_(t, value(&s, &numbers[i]));
  }
  put_queues(t);
  key(t, ",", "latency");
  for (int i = 0; i < GO_LATENCY_BUCKETS; i++) {
    go_text_str_(t, i > 0 ? "," : "[");
    go_text_u64_(t, s.latency[i]);
  }
  key(t, "],", "latency_bounds"); /* of all but the last, which has none */
  for (int i = 0; i < GO_LATENCY_BUCKETS - 1; i++) {
    go_text_str_(t, i > 0 ? "," : "[");
    go_text_i64_(t, GO_LATENCY_BOUND(i));
  }
  go_text_str_(t, "]}\n");
}

/* ---- names of functions ---- */

/* All that go_os_symbols_ and go_dump write into a file, after what is in t. */
static void read_file(go_text_ *t, intptr_t file) {
  ptrdiff_t n;
  int64_t at = 0;
  do {
    char *to = go_text_room_(t, 1 << 16);
    n = to != NULL ? go_os_file_read_(file, to, 1 << 16, at) : -1;
    if (n > 0) {
      t->n += (size_t)n;
      at += n;
    }
  } while (n > 0);
}

/* Looking a name up takes as long as reading a file's table of symbols: they are kept, but not for ever, as libraries may
 * come and go. */
#define NAMES 4096u
#define NAMES_KEPT GO_MIN

static struct {
  struct {
    void *pc;
    char *text;
  } at[NAMES];
  uint32_t n;
  int64_t since;
} names;

static void forget_names(void) {
  for (uint32_t i = 0; i < NAMES; i++) {
    free(names.at[i].text);
    names.at[i].pc = NULL;
    names.at[i].text = NULL;
  }
  names.n = 0;
  names.since = go_os_now_();
}

void go_view_fini_(void) { forget_names(); }

static uint64_t mix(uint64_t h, uint64_t v) {
  h = (h ^ v) * 11400714819323198485u;
  return h ^ h >> 29;
}

/* Where it is, or would be. */
static uint32_t place_of(void *pc) {
  uint32_t i = (uint32_t)(mix(1, (uint64_t)(uintptr_t)pc) >> 32) % NAMES;
  while (names.at[i].pc != NULL && names.at[i].pc != pc) {
    i = (i + 1) % NAMES;
  }
  return i;
}

/* Lines "  text\n", one for each of pcs. */
static void keep_names(const go_text_ *t, void *const *pcs, int n) {
  const char *s = t->s, *end = t->s + t->n;
  for (int i = 0; i < n && s < end; i++) {
    const char *nl = memchr(s, '\n', (size_t)(end - s));
    if (nl == NULL) {
      return;
    }
    s += strspn(s, " ");
    uint32_t at = place_of(pcs[i]);
    char *copy = names.at[at].pc == NULL ? malloc((size_t)(nl - s) + 1) : NULL;
    if (copy != NULL) {
      memcpy(copy, s, (size_t)(nl - s));
      copy[nl - s] = '\0';
      names.at[at].pc = pcs[i];
      names.at[at].text = copy;
      names.n++;
    }
    s = nl + 1;
  }
}

static void look_up(void *const *pcs, int n) {
  void *new_pcs[GO_LOOK_PCS_];
  int nnew = 0;
  if (names.n + GO_LOOK_PCS_ > NAMES / 4 * 3 || go_os_now_() - names.since > NAMES_KEPT) {
    forget_names();
  }
  for (int i = 0; i < n; i++) {
    if (pcs[i] != NULL && names.at[place_of(pcs[i])].pc == NULL) {
      new_pcs[nnew++] = pcs[i];
    }
  }
  intptr_t file;
  if (nnew == 0 || go_os_temp_file_(&file) != 0) {
    return;
  }
  go_text_ t = {.s = NULL};
  go_os_symbols_((int)file, new_pcs, nnew);
  read_file(&t, file);
  (void)go_os_file_close_(file);
  if (!t.failed && t.n > 0) {
    keep_names(&t, new_pcs, nnew);
  }
  go_text_free_(&t);
}

static void put_stack(go_text_ *t, void *const *pcs, int n) {
  look_up(pcs, n);
  go_text_str_(t, "[");
  for (int i = 0; i < n; i++) {
    const char *text = names.at[place_of(pcs[i])].text;
    go_text_str_(t, i > 0 ? "," : "");
    go_text_json_(t, text != NULL ? text : "?", text != NULL ? strlen(text) : 1);
  }
  go_text_str_(t, "]");
}

/* ---- goroutines ---- */

/* Of stacks, and of groups, that are told apart; what comes later has none, or belongs to the last group. */
#define KINDS 4096

typedef struct stack {
  uint64_t hash;
  int n;
  void *pcs[GO_LOOK_PCS_];
} stack;

typedef struct group {
  const char *state, *site;
  int stack; /* -1: none */
  bool thread, leaked, others;
  int64_t count, longest;
} group;

/* A list that grows, and an index from a hash to the number in it. */
typedef struct table {
  char *items;
  int n, cap;
  size_t size;
  int16_t index[2 * KINDS]; /* number + 1; 0: free */
} table;

typedef struct view {
  table stacks, groups;
  go_text_ *t; /* goroutines one by one */
  int64_t limit, listed, total;
  bool failed;
  go_look_ look;
} view;

static void *item(const table *b, int i) { return b->items + (size_t)i * b->size; }

/* The number of what `same` finds, or of a new item, which *ret_new says; -1: there is no room. */
static int find(table *b, uint64_t hash, bool (*same)(const void *item, const void *what),
                const void *what, bool *ret_new) {
  uint32_t at = (uint32_t)(hash >> 32) % (2 * KINDS);
  for (; b->index[at] != 0; at = (at + 1) % (2 * KINDS)) {
    if (same(item(b, b->index[at] - 1), what)) {
      return b->index[at] - 1;
    }
  }
  if (b->n == KINDS) {
    return -1;
  }
  if (b->n == b->cap) {
    int cap = b->cap > 0 ? 2 * b->cap : 64;
    char *items = realloc(b->items, (size_t)cap * b->size);
    if (items == NULL) {
      return -1;
    }
    b->items = items;
    b->cap = cap;
  }
  *ret_new = true;
  b->index[at] = (int16_t)(b->n + 1);
  return b->n++;
}

static bool same_stack(const void *item, const void *what) {
  const stack *a = item, *b = what;
  return a->hash == b->hash && a->n == b->n &&
         memcmp(a->pcs, b->pcs, (size_t)a->n * sizeof *a->pcs) == 0;
}

static bool same_group(const void *item, const void *what) {
  const group *a = item, *b = what;
  return a->state == b->state && a->site == b->site && a->stack == b->stack &&
         a->thread == b->thread && a->leaked == b->leaked && !a->others;
}

static int stack_of(view *v, const go_look_ *k) {
  stack s = {.hash = (uint64_t)k->npcs, .n = k->npcs};
  bool is_new = false;
  if (k->npcs == 0) {
    return -1;
  }
  memcpy(s.pcs, k->pcs, sizeof s.pcs);
  for (int i = 0; i < s.n; i++) {
    s.hash = mix(s.hash, (uint64_t)(uintptr_t)s.pcs[i]);
  }
  int i = find(&v->stacks, s.hash, same_stack, &s, &is_new);
  if (is_new) {
    memcpy(item(&v->stacks, i), &s, sizeof s);
  }
  return i;
}

static void count_in(view *v, const go_look_ *k, int stack_number) {
  group g = {.state = k->state, .site = k->seen.site, .stack = stack_number, .longest = -1};
  g.thread = k->seen.thread;
  g.leaked = k->leaked;
  bool is_new = false;
  uint64_t h = mix(mix(mix(7, (uint64_t)(uintptr_t)g.state), (uint64_t)(uintptr_t)g.site),
                   (uint64_t)(g.stack + 1) * 4 + (uint64_t)g.thread * 2 + (uint64_t)g.leaked);
  int i = find(&v->groups, h, same_group, &g, &is_new);
  if (i < 0 && v->groups.n == 0) {
    v->failed = true;
    return;
  }
  group *to = item(&v->groups, i >= 0 ? i : v->groups.n - 1);
  if (is_new) {
    *to = g;
  }
  to->others = to->others || i < 0;
  to->count++;
  to->longest = k->waits > to->longest ? k->waits : to->longest;
}

/* Of "worker@reader.c:31": "spawned":"worker","at":"reader.c:31". */
static void put_site(go_text_ *t, const char *site) {
  const char *s = site != NULL ? site : "";
  const char *at = strchr(s, '@');
  size_t n = at != NULL ? (size_t)(at - s) : strlen(s);
  key(t, ",", "spawned");
  go_text_json_(t, s, n);
  key(t, ",", "at");
  go_text_json_(t, s + n + (at != NULL), strlen(s + n + (at != NULL)));
}

static void put_number(go_text_ *t, const char *name, int64_t v) {
  key(t, ",", name);
  go_text_i64_(t, v);
}

static void put_one(view *v, const go_look_ *k, int stack_number) {
  const go_seen_ *s = &k->seen;
  key(v->t, v->listed > 0 ? ",\n{" : "\n{", "id");
  go_text_u64_(v->t, s->id);
  key(v->t, ",", "name");
  go_text_json_(v->t, s->name, strlen(s->name));
  key(v->t, ",", "state");
  go_text_json_(v->t, k->state, strlen(k->state));
  put_site(v->t, s->site);
  put_number(v->t, "waits", k->waits);
  put_number(v->t, "stack", stack_number);
  go_text_str_(v->t, s->thread ? ",\"thread\":true" : "");
  go_text_str_(v->t, s->locked ? ",\"locked\":true" : "");
  go_text_str_(v->t, k->leaked ? ",\"leaked\":true" : "");
  go_text_str_(v->t, "}");
}

static void add_one(void *arg, const go_look_ *k) {
  view *v = arg;
  int n = stack_of(v, k);
  count_in(v, k, n);
  if (v->listed < v->limit) {
    put_one(v, k, n);
    v->listed++;
  }
  v->total++;
}

static void put_group(go_text_ *t, const group *g) {
  key(t, "{", "state");
  go_text_json_(t, g->others ? "others" : g->state, strlen(g->others ? "others" : g->state));
  put_site(t, g->others ? "" : g->site);
  put_number(t, "count", g->count);
  put_number(t, "longest", g->longest);
  put_number(t, "stack", g->others ? -1 : g->stack);
  go_text_str_(t, g->thread ? ",\"thread\":true" : "");
  go_text_str_(t, g->leaked ? ",\"leaked\":true" : "");
  go_text_str_(t, "}");
}

static void put_tables(go_text_ *t, const view *v) {
  key(t, "],\n", "groups");
  for (int i = 0; i < v->groups.n; i++) {
    go_text_str_(t, i > 0 ? ",\n" : "[\n");
    put_group(t, item(&v->groups, i));
  }
  key(t, v->groups.n > 0 ? "],\n" : "[],\n", "stacks");
  for (int i = 0; i < v->stacks.n; i++) {
    const stack *s = item(&v->stacks, i);
    go_text_str_(t, i > 0 ? ",\n" : "[\n");
    put_stack(t, s->pcs, s->n);
  }
  go_text_str_(t, v->stacks.n > 0 ? "]" : "[]");
  put_number(t, "total", v->total);
  go_text_str_(t, v->listed < v->total ? ",\"complete\":false" : ",\"complete\":true");
  go_text_str_(t, "}\n");
}

void go_view_goroutines_(go_text_ *t, int64_t limit, bool leaks) {
  view *v = calloc(1, sizeof *v);
  if (v == NULL) {
    t->failed = true;
    return;
  }
  v->stacks.size = sizeof(stack);
  v->groups.size = sizeof(group);
  v->t = t;
  v->limit = limit;
  put_process(t);
  key(t, ",", "goroutines");
  go_text_str_(t, "[");
  go_look_all_(leaks, &v->look, add_one, v);
  put_tables(t, v);
  t->failed = t->failed || v->failed;
  free(v->stacks.items);
  free(v->groups.items);
  free(v);
}

void go_view_dump_(go_text_ *t) {
  intptr_t file;
  if (go_os_temp_file_(&file) != 0) {
    t->failed = true;
    return;
  }
  go_dump((int)file);
  read_file(t, file);
  (void)go_os_file_close_(file);
}
