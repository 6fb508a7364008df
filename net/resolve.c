/* net/resolve.c: go_resolve.
 *
 * A look-up is a job in a pool of its own (so that slow name servers do not use up go_offload's threads, nor files those of
 * names), and a list of those who wait for it. While it is in the table, whoever wants the same name joins it. Its answer
 * belongs to it, and everybody copies; so a waiter may leave at any time.
 *
 * refs: one of the job, from its being put to its end; one of each waiter. Under lock are the table, refs, and the lists of
 * waiters. A look-up leaves the table when it has ended, with all its waiters; or when the last waiter leaves and it is
 * still queued. Its answer is stored before that, and read after. Locks: this one, then the pool's.
 * Go: net/lookup.go, internal/singleflight.
 */
#include <golib/net.h>

#include <stdlib.h>
#include <string.h>

#include "core/pool.h"
#include "net/addr.h"
#include "net/names.h"
#include "sync/wait.h"

#define THREADS 8
#define NAME_MAX_ 255 /* bytes of a name in DNS */
#define BUCKETS 64

static go_pool_ pool = {.name = "golib-names", .max = THREADS};

typedef struct lookup {
  go_job_ job;         /* first */
  struct lookup *next; /* in its bucket */
  void *head, *tail;   /* who waits: go_sync_wait_ */
  uint32_t refs;
  int err;
  go_addr *at; /* the answer */
  size_t n, room;
  char host[]; /* constant */
} lookup;

static go_a32 lock;
static lookup *table[BUCKETS];

static go_aptr resolver; /* go_resolver_, or NULL */

void go_resolver_set_(go_resolver_ r) { go_st_rel(&resolver, (void *)(uintptr_t)r); }

/* ---- the table; lock is held ---- */

static lookup **bucket_of(const char *host) {
  uint32_t h = 2166136261u; /* FNV-1a */
  for (const char *p = host; *p != '\0'; p++) {
    h = (h ^ (uint8_t)*p) * 16777619u;
  }
  return &table[(h ^ (h >> 16)) % BUCKETS];
}

static lookup *find(const char *host) {
  lookup *l = *bucket_of(host);
  while (l != NULL && strcmp(l->host, host) != 0) {
    l = l->next;
  }
  return l;
}

static void enter(lookup *l) {
  lookup **b = bucket_of(l->host);
  l->next = *b;
  *b = l;
}

static void take_out(lookup *l) {
  lookup **at = bucket_of(l->host);
  while (*at != l) {
    at = &(*at)->next;
  }
  *at = l->next;
}

static go_sync_list_ list_of(lookup *l) { return (go_sync_list_){&l->head, &l->tail}; }

/* ---- a look-up's life ---- */

static void release(lookup *l) {
  free(l->at);
  free(l);
}

static void unref(lookup *l) {
  go_lock_(&lock);
  bool last = --l->refs == 0;
  go_unlock_(&lock);
  if (last) {
    release(l);
  }
}

/* It has its answer; the job's ref is still to be dropped. */
static void answer(lookup *l, int err) {
  go_sync_woken_ woken = {NULL, NULL};
  l->err = err;
  go_lock_(&lock);
  take_out(l);
  (void)go_sync_get_all_(list_of(l), &woken);
  go_unlock_(&lock);
  go_sync_ready_all_(go_m_get_(), &woken);
}

static void finish(lookup *l, int err) {
  answer(l, err);
  unref(l);
}

static bool is_same(const go_addr *a, const go_addr *b) {
  return a->family == b->family && a->zone == b->zone && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

static bool make_room(lookup *l) {
  if (l->n < l->room) {
    return true;
  }
  size_t room = l->room != 0 ? 2 * l->room : 8;
  go_addr *at = realloc(l->at, room * sizeof *at);
  if (at == NULL) {
    return false;
  }
  l->at = at;
  l->room = room;
  return true;
}

/* One more address, unless it is there. */
static void add(void *arg, int family, const uint8_t *ip, uint32_t zone) {
  lookup *l = arg;
  go_addr a = {.family = family == 4 ? GO_ADDR_IP4 : GO_ADDR_IP6, .zone = zone};
  memcpy(a.ip, ip, family == 4 ? 4 : 16);
  for (size_t i = 0; i < l->n; i++) {
    if (is_same(&l->at[i], &a)) {
      return;
    }
  }
  if (!make_room(l)) {
    l->err = GO_ENOMEM;
    return;
  }
  go_addr_put_text_(&a);
  l->at[l->n++] = a;
}

static void run(go_job_ *job) {
  lookup *l = (lookup *)(void *)job;
  go_resolver_ r = (go_resolver_)(uintptr_t)go_ld_acq(&resolver);
  int err = (r != NULL ? r : go_os_resolve_)(l->host, add, l);
  finish(l, err != 0 ? err : l->err != 0 ? l->err : l->n == 0 ? GO_ENOHOST : 0);
}

static void fail(go_job_ *job, int err) { finish((lookup *)(void *)job, err); }

static lookup *make(const char *host) {
  size_t n = strlen(host) + 1;
  lookup *l = calloc(1, sizeof *l + n);
  if (l != NULL) {
    l->job.run = run;
    l->job.fail = fail;
    memcpy(l->host, host, n);
  }
  return l;
}

/* ---- waiting for it ---- */

/* The waiter has left the list. */
static void abandon(lookup *l, go_sync_wait_ *w) {
  go_lock_(&lock);
  go_sync_del_(list_of(l), w);
  l->refs--;
  if (l->head == NULL && l->refs != 0 && go_pool_take_back_(&pool, &l->job)) {
    take_out(l);
    l->refs--;
  }
  bool last = l->refs == 0;
  go_unlock_(&lock);
  if (last) {
    release(l);
  }
}

/* The one in the table, or `fresh`, which is put there. The caller waits for it from now on. */
static lookup *join(const char *host, lookup *fresh, go_sync_wait_ *w) {
  go_lock_(&lock);
  lookup *l = find(host);
  if (l == NULL) {
    l = fresh;
    l->refs = 1;
    enter(l);
  }
  l->refs++;
  go_sync_put_(list_of(l), w, false);
  go_unlock_(&lock);
  return l;
}

static int copy(const lookup *l, go_addrs **ret) {
  if (l->err != 0) {
    return l->err;
  }
  go_addrs *a = malloc(sizeof *a + l->n * sizeof *l->at);
  if (a == NULL) {
    return GO_ENOMEM;
  }
  memcpy(a + 1, l->at, l->n * sizeof *l->at);
  a->n = l->n;
  a->at = (const go_addr *)(const void *)(a + 1);
  *ret = a;
  return 0;
}

static int look_up(go_ctx *ctx, const char *host, go_addrs **ret) {
  lookup *fresh = make(host);
  int r = fresh == NULL ? GO_ENOMEM : go_start_();
  if (r != 0) {
    free(fresh);
    return r;
  }
  go_m_ *m = go_enter_();
  go_sync_wait_ w = {.g = m->cur, .seq = go_claim_open_(m->cur), .multi = true};
  go_prepark_(m, GO_WAIT_RESOLVE_);
  lookup *l = join(host, fresh, &w);
  if (l != fresh) {
    free(fresh);
  } else if ((r = go_pool_put_(&pool, &l->job)) != 0) {
    answer(l, r); /* for us, too */
    go_lock_(&lock);
    l->refs--; /* ours is left */
    go_unlock_(&lock);
  }
  if (!go_sync_park_(m, ctx, &w)) {
    abandon(l, &w);
    return go_cancel_err_(ctx);
  }
  r = copy(l, ret);
  unref(l);
  return r;
}

/* ---- numeric ones ---- */

static int only(const go_addr *a, go_addrs **ret) {
  const lookup l = {.at = (go_addr *)(uintptr_t)a, .n = 1};
  return copy(&l, ret);
}

int go_resolve(go_ctx *ctx, const char *host, go_addrs **ret) {
  if (host == NULL || host[0] == '\0' || ret == NULL) {
    return GO_EINVAL;
  }
  int r = go_forked_() ? GO_EFORKED : go_cancel_err_(ctx);
  if (r != 0) {
    return r;
  }
  size_t len = strlen(host);
  go_addr a;
  if (len <= NAME_MAX_ && go_addr_parse_ip_(host, len, &a)) {
    go_addr_put_text_(&a);
    return only(&a, ret);
  }
  return len > NAME_MAX_ ? GO_ENOHOST : look_up(ctx, host, ret);
}

int go_resolve_part_(go_ctx *ctx, const char *host, size_t len, go_addrs **ret) {
  char name[NAME_MAX_ + 1];
  if (len > NAME_MAX_) {
    return GO_ENOHOST;
  }
  memcpy(name, host, len);
  name[len] = '\0';
  return go_resolve(ctx, name, ret);
}

void go_addrs_free(go_addrs *a) { free(a); }
