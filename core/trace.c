/* core/trace.c: what happens, as a file for Perfetto and chrome://tracing (docs/tracing.md).
 *
 * Cost when off: a flag per P that wakers and spawners look at anyway (go_p_.watch), and one load on g0. While a
 * trace is on, goroutines switch by way of g0 only, as with hooks (core/hooks.c), where execute tells of the
 * beginning and the end of each turn; so the switch itself knows nothing of traces.
 *
 * Each P, and all threads without one together, have a buffer of records: a chunk under a short lock that is nearly
 * always free. A full chunk goes to the writer, a plain thread, which makes JSON of it; so nobody waits for a file.
 * Chunks come from the system, not from malloc, as records are made where other locks are held. When the
 * writer is too slow and CHUNKS_MAX are under way, records are dropped and counted.
 *
 * A turn is one record, made at its end. Its goroutine remembers when it stopped running and why (paused), and who
 * woke it says when (g->since, state TIMED), so the record of the next turn tells of the wait before it.
 * A P that is taken from a goroutine that runs on is told of by sysmon, which ends its turn; when the goroutine comes back
 * to a P without having gone away, another turn begins.
 *
 * Locks: a buffer's, and chunk_lock under it: the last of all, as records are made anywhere.
 */
#include "core/trace.h"
#include "core/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <golib/block.h>
#include <golib/debug.h>

#include "core/out.h"
#include "core/sched.h"

#define CHUNK_BYTES ((size_t)64 << 10)
#define CHUNKS_MAX 1024u
#define TEXT_MAX 240u

go_a32 go_trace_on_;

/* Why a turn ended, beside enum go_wait_reason_. */
enum { RUNNING = 251, ENDED, YIELDED, RETAKEN, FOREIGN };

enum rec_type { RUN, SPAWN, READY, STEAL, BEGIN, END, LOG, NAME };

typedef struct rec {
  uint16_t size; /* with text */
  uint8_t type;
  uint8_t reason;      /* why the turn ended */
  uint8_t wait_reason; /* what the goroutine waited for before */
  uint8_t thread;      /* track is a thread's number, not a P's */
  uint32_t track;
  int64_t ts, dur;   /* ns since the trace began */
  uint64_t g;        /* whom it is about */
  uint64_t other;    /* STEAL: P */
  int64_t wait_from; /* RUN: since when it had waited; -1: not known */
  int64_t woken;     /* RUN: when it was woken; -1: not known */
} rec;               /* its text follows, and a 0 byte */

static const char *text_of(const rec *r) { return (const char *)(r + 1); }

typedef struct chunk {
  struct chunk *next;
  size_t used;
  _Alignas(8) char data[];
} chunk;

typedef struct buffer {
  go_a32 lock;
  bool open; /* a trace is on: under lock, like the rest */
  chunk *now;
} buffer;

static buffer buffers[GO_PROCS_MAX_ + 1]; /* the last one: who has no P */

/* OFF -> BUSY -> ON by go_trace_start, ON -> BUSY -> OFF by go_trace_stop; BUSY belongs to who has set it. */
enum { OFF, BUSY, ON };

static struct {
  go_a32 state;
  go_a32 chunk_lock;
  chunk *full, **full_end; /* for the writer, oldest first; under chunk_lock, like */
  chunk *free;
  uint32_t nchunks; /* that exist */
  go_a64 dropped;
  go_a32 quit;
  go_a32 nthreads; /* numbers that threads have got */
  go_a64 session;  /* traces begun so far */
  go_a64 start;    /* when it began; the end of one trace may see the next one's */
  int fd;
  go_note_ note;
  go_os_thread_ writer;
} trace;

/* ---- records ---- */

static chunk *new_chunk(void) {
  go_lock_(&trace.chunk_lock);
  chunk *c = trace.free;
  bool make = c == NULL && trace.nchunks < CHUNKS_MAX;
  if (c != NULL) {
    trace.free = c->next;
  }
  trace.nchunks += make;
  go_unlock_(&trace.chunk_lock);
  if (make && (c = go_os_reserve_(CHUNK_BYTES, CHUNK_BYTES)) == NULL) {
    go_lock_(&trace.chunk_lock);
    trace.nchunks--;
    go_unlock_(&trace.chunk_lock);
  }
  if (c != NULL) {
    c->next = NULL;
    c->used = 0;
  }
  return c;
}

static void hand_over(chunk *c) {
  go_lock_(&trace.chunk_lock);
  c->next = NULL;
  *trace.full_end = c;
  trace.full_end = &c->next;
  go_unlock_(&trace.chunk_lock);
  go_note_wake_(&trace.note);
}

/* NULL is as short as "". */
static size_t length(const char *text) {
  const char *end = text != NULL ? memchr(text, '\0', TEXT_MAX) : NULL;
  return text == NULL ? 0 : end == NULL ? TEXT_MAX : (size_t)(end - text);
}

static void put(const go_m_ *m, rec r, const char *text) {
  buffer *b = &buffers[m != NULL && m->p != NULL ? m->p->id : GO_PROCS_MAX_];
  size_t len = length(text);
  size_t size = (sizeof r + len + 1 + 7) & ~(size_t)7;
  chunk *full = NULL;
  go_lock_(&b->lock);
  if (b->open && (b->now == NULL || b->now->used + size > CHUNK_BYTES - sizeof(chunk))) {
    full = b->now;
    b->now = new_chunk();
  }
  if (b->open && b->now != NULL) {
    r.size = (uint16_t)size;
    char *to = b->now->data + b->now->used;
    b->now->used += size;
    memcpy(to, &r, sizeof r);
    memcpy(to + sizeof r, text != NULL ? text : "", len);
    to[sizeof r + len] = '\0';
  } else if (b->open) {
    (void)go_add_rlx(&trace.dropped, (uint64_t)1);
  }
  go_unlock_(&b->lock);
  if (full != NULL) {
    hand_over(full);
  }
}

static int64_t start_time(void) { return (int64_t)go_ld_rlx(&trace.start); }
static int64_t ts_now(void) { return go_os_now_() - start_time(); }

/* Where m is, as a track. */
static rec on(go_m_ *m, uint8_t type, int64_t ts) {
  rec r = {.type = type, .ts = ts, .wait_from = -1, .woken = -1};
  if (m != NULL && m->p != NULL) {
    r.track = m->p->id;
  } else {
    r.thread = 1;
    if (m != NULL && m->trace_no == 0) {
      m->trace_no = go_add_rlx(&trace.nthreads, 1u) + 1;
    }
    r.track = m != NULL ? m->trace_no : 0;
  }
  return r;
}

/* ---- turns ---- */

/* When and why a goroutine stopped running, with the number of the trace: another's means nothing. */
static int64_t pause_of(int64_t ts, uint8_t reason) {
  return (int64_t)((uint64_t)ts << 16 | (go_ld_rlx(&trace.session) & 0xff) << 8 | reason);
}
static bool is_pause(int64_t p) {
  return p != 0 && ((uint64_t)p >> 8 & 0xff) == (go_ld_rlx(&trace.session) & 0xff);
}

/* shown.m while the turn is read by whoever ends it: nothing there may be changed. */
#define ENDING ((void *)&trace)

/* The turn that p is in is over: m's own, or that of an M that has lost p. Unless another ends it: a trace that stops. */
static void end_turn(go_m_ *m, go_p_ *p, int64_t now, uint8_t reason) {
  go_turn_ *t = &p->shown;
  void *was = go_ld_rlx(&t->m);
  if (was == NULL || was == ENDING || !go_cas_ar(&t->m, &was, ENDING)) {
    return;
  }
  char name[GO_NAME_SIZE_];
  rec r = {.type = RUN, .reason = reason, .wait_reason = t->wait_reason};
  r.track = p->id;
  r.ts = t->at;
  r.dur = now > t->at ? now - t->at : 0;
  r.g = t->g;
  r.wait_from = t->wait_from;
  r.woken = t->woken;
  memcpy(name, t->name, sizeof name);
  go_st_rel(&t->m, NULL); /* pairs with go_trace_in_, which may write now */
  put(m, r, name);
}

void go_trace_in_(go_m_ *m) {
  go_p_ *p = m->p;
  go_g_ *g = m->cur;
  go_turn_ *t = &p->shown;
  int64_t now = ts_now();
  if (go_ld_acq(&t->m) != NULL) { /* pairs with end_turn */
    end_turn(m, p, now, RETAKEN);
    if (go_ld_acq(&t->m) != NULL) { /* another is about it still: this turn is not shown */
      return;
    }
  }
  bool paused = !m->first_turn && is_pause(g->paused);
  t->g = g->id;
  t->at = now;
  t->wait_from = paused ? (int64_t)((uint64_t)g->paused >> 16) : -1;
  t->wait_reason = paused ? (uint8_t)g->paused : 0;
  t->woken = m->woken != 0 ? m->woken - start_time() : -1;
  memcpy(t->name, g->name != NULL ? g->name : "", g->name != NULL ? GO_NAME_SIZE_ : 1);
  go_st_rel(&t->m, (void *)m); /* pairs with end_turn, called by go_trace_stop */
  m->traced = p;
  go_ticks_set_(p, 0); /* back to g0 at the next switch */
}

static void leave(go_m_ *m, go_g_ *g, uint8_t reason) {
  go_p_ *p = m->traced;
  int64_t now = ts_now();
  m->traced = NULL;
  if (reason != ENDED) {
    g->paused = pause_of(now, reason);
  }
  if (go_ld_rlx(&p->shown.m) == m && m->p == p) { /* else whoever has it has ended the turn */
    end_turn(m, p, now, reason);
  }
}

void go_trace_again_(go_m_ *m) {
  m->cur->paused = 0; /* it ran on meanwhile */
  m->woken = 0;
  m->first_turn = false;
  go_trace_in_(m);
}

void go_trace_retake_(go_p_ *p) { end_turn(go_m_get_(), p, ts_now(), RETAKEN); }

void go_trace_out_(go_m_ *m) {
  if (m->dead != NULL) {
    leave(m, m->dead, ENDED);
  } else {
    leave(m, m->prev, m->requeue == m->prev ? (uint8_t)YIELDED : m->prev->reason);
  }
}

void go_trace_out_foreign_(go_m_ *m) { leave(m, m->cur, FOREIGN); }

/* ---- other events ---- */

/* Who calls: m's goroutine, or the thread itself. */
static uint64_t caller(const go_m_ *m) {
  return m != NULL && m->cur != NULL && !go_is_plain_thread_(m->cur) ? m->cur->id : 0;
}

void go_trace_ready_(go_m_ *m, const go_g_ *g) {
  bool fresh = go_get_state_(g) == GO_G_TIMED_FRESH_;
  rec r = on(m, fresh ? SPAWN : READY, g->since - start_time());
  r.g = g->id;
  r.other = caller(m);
  put(m, r, fresh ? g->site : NULL);
}

void go_trace_steal_(go_m_ *m, const go_p_ *from, uint32_t n) {
  rec r = on(m, STEAL, ts_now());
  r.g = n;
  r.other = from->id;
  put(m, r, NULL);
}

/* ---- users' marks ---- */

static void mark(go_m_ *m, uint8_t type, const char *text) {
  rec r = on(m, type, ts_now());
  r.g = caller(m);
  put(m, r, text);
}

void go_trace_region_begin(const char *name) {
  if (!go_tracing_() || go_forked_()) {
    return;
  }
  go_m_ *m = go_enter_();
  go_g_ *g = m->cur;
  go_extra_ *e = go_extra_make_(g);
  if (e == NULL) { /* out of memory: it is left out */
    return;
  }
  uint64_t session = go_ld_rlx(&trace.session);
  if (e->regions_in != session || e->regions_of != g->id) {
    e->regions_in = session;
    e->regions_of = g->id;
    e->regions = 0;
  }
  e->regions++;
  mark(m, BEGIN, name != NULL ? name : "");
}

void go_trace_region_end(void) {
  if (!go_tracing_() || go_forked_()) {
    return;
  }
  go_m_ *m = go_enter_();
  go_g_ *g = m->cur;
  go_extra_ *e = g->name != NULL ? go_extra_of_(g) : NULL;
  if (e != NULL && e->regions_in == go_ld_rlx(&trace.session) && e->regions_of == g->id &&
      e->regions > 0) {
    e->regions--;
    mark(m, END, NULL);
  }
}

void go_trace_log(const char *fmt, ...) {
  if (!go_tracing_() || go_forked_()) {
    return;
  }
  char text[TEXT_MAX + 1];
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  mark(go_enter_(), LOG, text);
}

/* ---- the writer: records become JSON ---- */

typedef struct json {
  size_t n;
  bool any; /* a comma is due */
  char buf[16384];
} json;

static void flush(json *j) {
  go_os_write_(trace.fd, j->buf, j->n);
  j->n = 0;
}

static void text(json *j, const char *s) {
  for (; *s != '\0'; s++) {
    if (j->n == sizeof j->buf) {
      flush(j);
    }
    j->buf[j->n++] = *s;
  }
}

static void number(json *j, uint64_t v) {
  char s[21], *p = s + sizeof s;
  *--p = '\0';
  do {
    *--p = (char)('0' + v % 10);
    v /= 10;
  } while (v != 0);
  text(j, p);
}

/* Nanoseconds as microseconds with three digits. */
static void micros(json *j, int64_t ns) {
  uint64_t v = ns > 0 ? (uint64_t)ns : 0;
  char s[5] = {'.', (char)('0' + v / 100 % 10), (char)('0' + v / 10 % 10), (char)('0' + v % 10), 0};
  number(j, v / 1000);
  text(j, s);
}

/* The inside of a string. */
static void escaped(json *j, const char *from) {
  const unsigned char *s = (const unsigned char *)from;
  while (*s != '\0') {
    size_t n = go_utf8_sequence_(s, SIZE_MAX);
    char c[8] = {0};
    if (n == 0) {
      text(j, "\\ufffd");
      n = 1;
    } else if (*s == '"' || *s == '\\') {
      c[0] = '\\';
      c[1] = (char)*s;
    } else if (*s < 0x20) {
      text(j, "\\u00");
      c[0] = "0123456789abcdef"[*s >> 4];
      c[1] = "0123456789abcdef"[*s & 15];
    } else {
      memcpy(c, s, n);
    }
    text(j, c);
    s += n;
  }
}

enum { PROCESSORS = 1, GOROUTINES, THREADS };

static void event(json *j, const char *ph, int pid, uint64_t tid) {
  text(j, j->any ? ",\n{\"ph\":\"" : "{\"ph\":\"");
  j->any = true;
  text(j, ph);
  text(j, "\",\"pid\":");
  number(j, (uint64_t)pid);
  text(j, ",\"tid\":");
  number(j, tid);
}

static void key_micros(json *j, const char *key, int64_t ns) {
  text(j, ",\"");
  text(j, key);
  text(j, "\":");
  micros(j, ns);
}

static void key_text(json *j, const char *key, const char *s) {
  text(j, ",\"");
  text(j, key);
  text(j, "\":\"");
  escaped(j, s);
  text(j, "\"");
}

static void key_id(json *j, uint64_t g, int64_t ts) {
  text(j, ",\"id\":\"");
  number(j, g);
  text(j, "@");
  number(j, (uint64_t)ts);
  text(j, "\"");
}

static const char *reason_text(uint8_t reason) {
  switch (reason) {
    case RUNNING: return "running";
    case ENDED: return "end";
    case YIELDED: return "runnable";
    case RETAKEN: return "runs without a P";
    case FOREIGN: return "blocking call";
    default: return go_state_text_(GO_G_WAITING_, reason, false);
  }
}

static void named(json *j, const char *what, int pid, uint64_t tid, const char *before, uint64_t n,
                  const char *after) {
  event(j, "M", pid, tid);
  key_text(j, "name", what);
  text(j, ",\"args\":{\"name\":\"");
  escaped(j, before);
  if (n != UINT64_MAX) {
    number(j, n);
  }
  escaped(j, after);
  text(j, "\"}}");
}

static void goroutine_name(json *j, const rec *r, const char *name) {
  event(j, r->type == RUN ? "X" : "i", PROCESSORS, r->track);
  text(j, ",\"name\":\"G");
  number(j, r->g);
  if (name[0] != '\0') {
    text(j, " ");
    escaped(j, name);
  }
  text(j, "\"");
}

static void write_turn(json *j, const rec *r) {
  goroutine_name(j, r, text_of(r));
  text(j, ",\"cat\":\"run\"");
  key_micros(j, "ts", r->ts);
  key_micros(j, "dur", r->dur);
  text(j, ",\"args\":{\"g\":");
  number(j, r->g);
  key_text(j, "then", reason_text(r->reason));
  if (r->woken >= 0) {
    key_micros(j, "late_us", r->ts - r->woken);
  }
  text(j, "}}");
  if (r->woken >= 0) {
    event(j, "f", PROCESSORS, r->track);
    text(j, ",\"bp\":\"e\",\"name\":\"wake\",\"cat\":\"wake\"");
    key_micros(j, "ts", r->ts);
    key_id(j, r->g, r->woken);
    text(j, "}");
  }
  if (r->reason == RETAKEN) {
    event(j, "i", PROCESSORS, r->track);
    text(j, ",\"name\":\"retake\",\"cat\":\"retake\",\"s\":\"t\"");
    key_micros(j, "ts", r->ts + r->dur);
    text(j, ",\"args\":{\"g\":");
    number(j, r->g);
    text(j, "}}");
  }
}

static void write_run(json *j, const rec *r) {
  if (r->thread == 0) { /* else it waits still */
    write_turn(j, r);
  }
  if (r->wait_from >= 0 && r->wait_from <= r->ts) {
    event(j, "X", GOROUTINES, r->g);
    key_text(j, "name", reason_text(r->wait_reason));
    text(j, ",\"cat\":\"wait\"");
    key_micros(j, "ts", r->wait_from);
    key_micros(j, "dur", r->ts - r->wait_from);
    text(j, ",\"args\":{");
    if (r->woken >= r->wait_from && r->woken <= r->ts) {
      text(j, "\"woken_us\":");
      micros(j, r->woken);
    }
    text(j, "}}");
  }
}

static int pid_of(const rec *r) { return r->thread ? THREADS : PROCESSORS; }

static void write_ready(json *j, const rec *r) {
  event(j, "i", pid_of(r), r->track);
  text(j, r->type == SPAWN ? ",\"name\":\"start G" : ",\"name\":\"wake G");
  number(j, r->g);
  text(j,
       r->type == SPAWN ? "\",\"cat\":\"spawn\",\"s\":\"t\"" : "\",\"cat\":\"wake\",\"s\":\"t\"");
  key_micros(j, "ts", r->ts);
  text(j, ",\"args\":{\"g\":");
  number(j, r->g);
  text(j, ",\"by\":");
  number(j, r->other);
  text(j, "}}");
  event(j, "s", pid_of(r), r->track);
  text(j, ",\"name\":\"wake\",\"cat\":\"wake\"");
  key_micros(j, "ts", r->ts);
  key_id(j, r->g, r->ts);
  text(j, "}");
}

static void write_site(json *j, const rec *r) {
  char name[TEXT_MAX + 8];
  name[0] = ' ';
  size_t n = length(text_of(r));
  memcpy(name + 1, text_of(r), n + 1);
  named(j, "thread_name", GOROUTINES, r->g, "G", r->g, n > 0 ? name : "");
}

static void write_steal(json *j, const rec *r) {
  event(j, "i", pid_of(r), r->track);
  text(j, ",\"name\":\"steal\",\"cat\":\"steal\",\"s\":\"t\"");
  key_micros(j, "ts", r->ts);
  text(j, ",\"args\":{\"goroutines\":");
  number(j, r->g);
  text(j, ",\"from\":");
  number(j, r->other);
  text(j, "}}");
}

static void write_mark(json *j, const rec *r) {
  event(j,
        r->type == BEGIN ? "B"
        : r->type == END ? "E"
                         : "i",
        r->g != 0 ? GOROUTINES : THREADS, r->g != 0 ? r->g : r->track);
  key_micros(j, "ts", r->ts);
  if (r->type != END) {
    key_text(j, "name", text_of(r));
    text(j, r->type == BEGIN ? ",\"cat\":\"region\"" : ",\"cat\":\"log\",\"s\":\"t\"");
  }
  text(j, "}");
}

static void write_rec(json *j, const rec *r) {
  switch (r->type) {
    case RUN: write_run(j, r); break;
    case SPAWN:
      write_ready(j, r);
      write_site(j, r);
      break;
    case READY: write_ready(j, r); break;
    case STEAL: write_steal(j, r); break;
    case NAME: write_site(j, r); break;
    default: write_mark(j, r); break;
  }
}

static void write_chunk(json *j, const chunk *c) {
  for (size_t at = 0; at < c->used;) {
    const rec *r = (const rec *)(const void *)(c->data + at);
    write_rec(j, r);
    at += r->size;
  }
}

static void write_full(json *j) {
  go_lock_(&trace.chunk_lock);
  chunk *c = trace.full;
  trace.full = NULL;
  trace.full_end = &trace.full;
  go_unlock_(&trace.chunk_lock);
  while (c != NULL) {
    chunk *next = c->next;
    write_chunk(j, c);
    go_lock_(&trace.chunk_lock);
    c->next = trace.free;
    trace.free = c;
    go_unlock_(&trace.chunk_lock);
    c = next;
  }
}

static void write_tracks(json *j) {
  named(j, "process_name", PROCESSORS, 0, "processors", UINT64_MAX, "");
  named(j, "process_name", GOROUTINES, 0, "goroutines", UINT64_MAX, "");
  named(j, "process_name", THREADS, 0, "threads", UINT64_MAX, "");
  for (uint32_t i = 0; i < go_ld_acq(&GO_S->np_made); i++) {
    named(j, "thread_name", PROCESSORS, i, "P", i, "");
  }
}

static void writer_main(void *arg) {
  (void)arg;
  json j;
  j.n = 0;
  j.any = false;
  go_os_thread_name_("golib-trace");
  text(&j, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
  while (go_ld_acq(&trace.quit) == 0) {
    (void)go_note_sleep_(&trace.note, -1);
    go_note_clear_(&trace.note); /* before looking: a later wake-up is not lost */
    go_fence_sc();
    write_full(&j);
  }
  write_full(&j);
  write_tracks(&j);
  text(&j, "\n],\"otherData\":{\"source\":\"golib\",\"dropped\":\"");
  number(&j, go_ld_rlx(&trace.dropped));
  text(&j, "\"}}\n");
  flush(&j);
}

/* ---- beginning and end ---- */

static void set_watch(bool watch) {
  for (uint32_t i = 0; i < go_ld_acq(&GO_S->np_made); i++) {
    go_a32 *w = &GO_S->all_p[i]->watch;
    if (watch) {
      (void)go_or_ar(w, (uint32_t)GO_WATCH_TRACE_);
    } else {
      (void)go_and_ar(w, ~(uint32_t)GO_WATCH_TRACE_);
    }
  }
}

static void set_open(bool open) {
  for (uint32_t i = 0; i <= GO_PROCS_MAX_; i++) {
    buffer *b = &buffers[i];
    go_lock_(&b->lock);
    chunk *c = b->now;
    b->now = NULL;
    b->open = open;
    go_unlock_(&b->lock);
    if (c != NULL) {
      hand_over(c);
    }
  }
}

static void free_chunks(void) {
  while (trace.free != NULL) {
    chunk *next = trace.free->next;
    go_os_release_(trace.free, CHUNK_BYTES);
    trace.free = next;
    trace.nchunks--;
  }
}

static void name_one(go_g_ *g, void *arg) {
  (void)arg;
  go_seen_ seen;
  if (go_see_(g, &seen)) {
    rec r = {.type = NAME, .thread = 1, .g = seen.id, .wait_from = -1, .woken = -1};
    put(NULL, r, seen.site);
  }
}

static int begin(int fd) {
  go_lock_(&trace.chunk_lock);
  trace.full_end = &trace.full;
  go_unlock_(&trace.chunk_lock);
  trace.fd = fd;
  go_st_rlx(&trace.start, (uint64_t)go_os_now_());
  go_st_rlx(&trace.dropped, (uint64_t)0);
  go_st_rel(&trace.quit, 0u);
  (void)go_add_rlx(&trace.session, (uint64_t)1);
  go_note_clear_(&trace.note);
  for (uint32_t i = 0; i < go_ld_acq(&GO_S->np_made); i++) {
    go_st_rlx(&GO_S->all_p[i]->shown.m, NULL);
  }
  int r = go_os_thread_start_(&trace.writer, writer_main, NULL);
  if (r != 0) {
    return r;
  }
  /* The writer wakes nobody: see the deadlock check. Never counted without a thread: it would stand for one that is awake. */
  (void)go_add_sc(&GO_S->npool_idle, 1u);
  set_open(true);
  go_each_g_(name_one, NULL);
  set_watch(true);
  go_st_sc(&go_trace_on_, 1u);
  return 0;
}

int go_trace_start(int fd) {
  if (fd < 0) {
    return GO_EINVAL;
  }
  int r = go_start_();
  if (r != 0) {
    return r;
  }
  uint32_t off = OFF;
  if (!go_cas_ar(&trace.state, &off, (uint32_t)BUSY)) { /* pairs with the end of go_trace_stop */
    return GO_EBUSY;
  }
  r = begin(fd);
  go_st_rel(&trace.state, r == 0 ? (uint32_t)ON : (uint32_t)OFF);
  go_m_ *m = go_m_get_();
  if (m != NULL && m->p != NULL) {
    go_ticks_set_(m->p, 0);
    if (r == 0) {
      m->woken = 0;
      m->first_turn = true;
      go_trace_in_(m);
    }
  }
  return r;
}

/* What goroutines wait for at the end: of those that are seen to go on waiting. */
GO_NO_TSAN_ static void wait_one(go_g_ *g, void *arg) {
  const int64_t *now = arg;
  go_seen_ seen;
  if (!go_see_(g, &seen) || seen.state != GO_G_WAITING_ || seen.on_cpu) {
    return;
  }
  int64_t paused = *(const volatile int64_t *)&g->paused;
  if (is_pause(paused) && go_still_waits_(g, &seen)) {
    rec r = {.type = RUN, .reason = ENDED, .wait_reason = (uint8_t)paused, .thread = 1};
    r.g = seen.id;
    r.ts = *now;
    r.wait_from = (int64_t)((uint64_t)paused >> 16);
    r.woken = -1;
    put(NULL, r, seen.name);
  }
}

static void join_writer(void *arg) {
  (void)arg;
  go_st_rel(&trace.quit, 1u);
  go_note_wake_(&trace.note);
  go_os_thread_join_(&trace.writer);
}

void go_trace_stop(void) {
  uint32_t is = ON;
  if (go_forked_() || !go_cas_ar(&trace.state, &is, (uint32_t)BUSY)) {
    return;
  }
  go_st_sc(&go_trace_on_, 0u);
  set_watch(false);
  int64_t now = ts_now();
  go_each_g_(wait_one, &now);
  for (uint32_t i = 0; i < go_ld_acq(&GO_S->np_made); i++) {
    end_turn(go_m_get_(), GO_S->all_p[i], now, RUNNING);
  }
  set_open(false);
  (void)go_sub_sc(&GO_S->npool_idle, 1u);
  if (go_m_get_() != NULL) {
    go_blocking(join_writer, NULL);
  } else { /* debug/ has threads that golib does not know */
    join_writer(NULL);
  }
  free_chunks();
  go_st_rel(&trace.state, (uint32_t)OFF);
}

void go_trace_fini_(void) { go_trace_stop(); }
