/* cond: a bounded queue, one mutex and two condition variables, between a producer and consumers. */
#include <golib/golib.h>
#include <stdio.h>

enum { CAPACITY = 4, ITEMS = 20, CONSUMERS = 3, END = -1 };

typedef struct queue {
  go_mutex mu; /* guards all of it: 0 <= count <= CAPACITY */
  go_cond not_full, not_empty;
  int item[CAPACITY];
  int head, count;
} queue;

static void push(queue *q, int v) {
  go_mutex_lock(&q->mu);
  while (q->count == CAPACITY) go_cond_wait(&q->not_full, &q->mu);
  q->item[(q->head + q->count++) % CAPACITY] = v;
  go_mutex_unlock(&q->mu);
  go_cond_signal(&q->not_empty);
}

static int pop(queue *q) {
  go_mutex_lock(&q->mu);
  while (q->count == 0) go_cond_wait(&q->not_empty, &q->mu);
  int v = q->item[q->head];
  q->head = (q->head + 1) % CAPACITY;
  q->count--;
  go_mutex_unlock(&q->mu);
  go_cond_signal(&q->not_full);
  return v;
}

GO_FUNC(consume, (queue *, q), (int *, sum)) {
  for (int v; (v = pop(q)) != END;) *sum += v;
}

GO_MAIN(argc, argv) {
  queue q = {.count = 0}; /* all zero: ready */
  int sum[CONSUMERS] = {0}, total = 0, started = 0;
  go_wg wg = {0};
  while (started < CONSUMERS && GO_WG(&wg, consume, &q, &sum[started]) == 0) started++;
  if (started == 0) return 1;

  for (int i = 1; i <= ITEMS; i++) push(&q, i);
  printf("pushed 1 to %d through %d places\n", ITEMS, CAPACITY);
  for (int i = 0; i < started; i++) push(&q, END); /* one each */
  go_wg_wait(&wg);

  for (int i = 0; i < started; i++) total += sum[i];
  printf("popped a total of %d\n", total);
  return total == ITEMS * (ITEMS + 1) / 2 ? 0 : 1;
}
