/* core/serve.h: what core asks of debug/, the only part above it that it calls: starting and stopping are core's, and
 * GOLIB_DEBUG=listen=PATH is to work in every program. */
#ifndef GOLIB_CORE_SERVE_H_
#define GOLIB_CORE_SERVE_H_

/* Starts to serve at a Unix socket: the scheduler is being started. "%p" in path stands for the process's number. 0; errors
 * as go_debug_listen. */
int go_serve_begin_(const char *path);
/* Ends it, if it is on. No goroutine lives. The caller may hold init_lock. */
void go_serve_end_(void);

#endif /* GOLIB_CORE_SERVE_H_ */
