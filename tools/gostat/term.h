/* term.h: the terminal, which is to be as it was on every way out. */
#ifndef GOSTAT_TERM_H_
#define GOSTAT_TERM_H_

#include <stdbool.h>
#include <stddef.h>

/* Whether stdin and stdout are a terminal that can move its cursor. */
bool term_is_smart(void);
/* To be called first of all, before golib looks at signals. */
void term_init(void);
/* Takes it: keys come one by one and unseen, on a screen of its own. False: it cannot be. Whatever ends the process
 * from then on, but SIGKILL, gives it back first. */
bool term_take(void);
/* Gives it back. Any number of times; async-signal-safe. */
void term_give_back(void);
void term_size(int *ret_columns, int *ret_rows);
/* Writes all of it to stdout, as far as it goes: false if it does not. */
bool term_write(const char *s, size_t n);

#endif /* GOSTAT_TERM_H_ */
