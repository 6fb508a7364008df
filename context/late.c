/* context/late.c: what cannot be done where it falls due: callbacks for which no goroutine could be started,
 * and contexts with values whose last reference went on g0, in a timer's function, where users' code
 * must not run. Both want goroutines. When none is to be had, a timer tries again; when that cannot be had
 * either, the next call of go_ctx_cancel or go_ctx_after does.
 */
#include "context/ctx.h"
#include "core/timer.h"

#define RETRY_AFTER GO_MS

static struct {
  go_a32 lock;
  go_a32 armed;          /* 1: somebody owns tm */
  go_a32 some;           /* 1: there may be something; stored under lock, read by anybody */
  go_ctx *dead;          /* under lock, linked by next */
  go_ctx_after_ *afters; /* likewise */
  go_tm_ tm;
} late;

/* ---- doing it ---- */

static void dispose_all(void *arg) {
  (void)arg;
  go_lock_(&late.lock);
  go_ctx *c = late.dead;
  late.dead = NULL;
  go_unlock_(&late.lock);
  while (c != NULL) {
    go_ctx *next = c->next;
    go_ctx_unref(go_ctx_dispose_(c));
    c = next;
  }
}

static void put_after(go_ctx_after_ *a) {
  go_lock_(&late.lock);
  a->next = late.afters;
  late.afters = a;
  go_st_rlx(&late.some, 1u);
  go_unlock_(&late.lock);
}

static bool start_afters(go_ctx_after_ *list) {
  bool all = true;
  while (list != NULL) {
    go_ctx_after_ *a = list;
    list = a->next;
    if (!go_ctx_start_after_(a)) {
      put_after(a);
      all = false;
    }
  }
  return all;
}

/* Whether nothing is left. */
static bool try_all(void) {
  go_spawn_ how = {.site = "go_ctx_unref@"};
  go_lock_(&late.lock);
  go_ctx_after_ *afters = late.afters;
  bool dead = late.dead != NULL;
  late.afters = NULL;
  go_st_rlx(&late.some, dead ? 1u : 0u);
  go_unlock_(&late.lock);
  bool all = start_afters(afters);
  return (!dead || go_spawn_with_(&how, dispose_all, NULL, 0) == 0) && all;
}

/* ---- when ---- */

static void retry_later(void);

/* m NULL: the scheduler stops; what is left then waits for go_ctx_late_poke_. */
static void on_retry(go_m_ *m, void *arg, uint32_t seq) {
  (void)arg;
  (void)seq;
  go_st_rel(&late.armed, 0u);
  if (!try_all() && m != NULL) {
    retry_later();
  }
}

static void retry_later(void) {
  uint32_t none = 0;
  if (!go_cas_ar(&late.armed, &none, 1u)) {
    return;
  }
  late.tm = (go_tm_){.when = go_os_now_() + RETRY_AFTER, .kind = GO_TM_TOLD_, .fn = on_retry};
  int why;
  go_m_ *m = go_tm_enter_(&why);
  if (m != NULL) {
    (void)go_tm_add_(m, &late.tm); /* does not fail */
  } else {
    go_st_rel(&late.armed, 0u);
  }
}

void go_ctx_late_after_(go_ctx_after_ *a) {
  put_after(a);
  retry_later();
}

void go_ctx_late_dispose_(go_ctx *c) {
  go_ctx_leave_(c); /* its links are free then */
  go_lock_(&late.lock);
  c->next = late.dead;
  late.dead = c;
  go_st_rlx(&late.some, 1u);
  go_unlock_(&late.lock);
  if (!try_all()) {
    retry_later();
  }
}

void go_ctx_late_poke_(void) {
  if (GO_UNLIKELY_(go_ld_rlx(&late.some) != 0) && go_ld_rlx(&late.armed) == 0 && !try_all()) {
    retry_later();
  }
}
