/* fetch.h: asking the program that is looked at. */
#ifndef GOSTAT_FETCH_H_
#define GOSTAT_FETCH_H_

#include <golib/golib.h>

/* One connection, kept between questions. */
typedef struct source {
  const char *net, *addr;
  go_conn *c;
  go_reader in;
} source;

/* "/run/app.sock", or "localhost:6060". */
source source_of(const char *where);
void source_close(source *s);

/* GET path. *ret, from malloc, has *ret_size bytes and a 0 byte behind. 0; a code; or a status of HTTP that is not 200.
 * Suspends. */
int fetch(go_ctx *ctx, source *s, const char *path, char **ret, size_t *ret_size);
const char *fetch_error(int r);

#endif /* GOSTAT_FETCH_H_ */
