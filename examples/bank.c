/* bank: goroutines move money between accounts under a mutex; none is made or lost. */
#include <golib/golib.h>
#include <stdio.h>

enum { ACCOUNTS = 10, TELLERS = 50, TRANSFERS = 1000, OPENING = 100 };

typedef struct bank {
  go_mutex mu; /* guards balance: its sum is ACCOUNTS * OPENING and no account is below 0 */
  int balance[ACCOUNTS];
} bank;

static void transfer(bank *b, int from, int to, int amount) {
  go_mutex_lock(&b->mu);
  if (b->balance[from] >= amount) {
    b->balance[from] -= amount;
    b->balance[to] += amount;
  }
  go_mutex_unlock(&b->mu);
}

GO_FUNC(teller, (bank *, b), (unsigned, seed)) {
  for (int i = 0; i < TRANSFERS; i++) {
    seed = seed * 1103515245u + 12345u;
    unsigned r = seed >> 16;
    transfer(b, (int)(r % ACCOUNTS), (int)(r / ACCOUNTS % ACCOUNTS), (int)(r % 7));
  }
}

GO_MAIN(argc, argv) {
  bank b = {.mu = {0}}; /* a mutex and a wait group are ready when all zero */
  for (int i = 0; i < ACCOUNTS; i++) b.balance[i] = OPENING;

  go_wg wg = {0};
  int err = 0;
  for (unsigned i = 0; i < TELLERS && err == 0; i++)
    err = GO_WG(&wg, teller, &b, i); /* &b: a goroutine's stack never moves */
  go_wg_wait(&wg);
  if (err != 0) return 1;

  int sum = 0;
  for (int i = 0; i < ACCOUNTS; i++) sum += b.balance[i];
  printf("%d transfers, %d in the bank\n", TELLERS * TRANSFERS, sum);
  return sum == ACCOUNTS * OPENING ? 0 : 1;
}
