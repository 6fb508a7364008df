/* tests/build/bti_test.c: golib with landing pads enforced: indirect calls in it, and into it, arrive at one. 64-bit
 * Arm only; skipped where the processor has none.
 *
 * A system whose C library was built with them does this for all programs (Fedora, Ubuntu); here the program does it
 * for itself, once the start files, which may have none, have run.
 */
#include <golib/golib.h>

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/arch.h"

/* Not a landing pad. */
void no_pad(void);
__asm__(
    ".text\n"
    ".type no_pad, %function\n"
    "no_pad: ret\n"
    ".size no_pad, . - no_pad\n");

#define BTI_C 0xd503245fu

/* Nothing calls the functions in assembly indirectly, yet they promise a landing pad. */
static int pads_of_assembly(void) {
  uintptr_t all[] = {(uintptr_t)go_arch_switch_,  (uintptr_t)go_arch_ctx_init_,
                     (uintptr_t)go_arch_restart_, (uintptr_t)go_arch_call_,
                     (uintptr_t)go_arch_unwind_,  (uintptr_t)go_arch_relax_};
  for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++) {
    if (*(const uint32_t *)all[i] != BTI_C) return 5 + (int)i;
  }
  return 0;
}

#define ENFORCE 0x10 /* PROT_BTI */

extern const char __executable_start[], etext[];

/* From now on, on all of the program's own code. */
static int enforce(void) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t from = (uintptr_t)&__executable_start & ~(page - 1);
  uintptr_t to = ((uintptr_t)&etext + page - 1) & ~(page - 1);
  return mprotect((void *)from, to - from, PROT_READ | PROT_EXEC | ENFORCE);
}

static int is_enforced(void) {
  pid_t pid = fork();
  if (pid == 0) {
    void (*volatile jump)(void) = no_pad;
    jump();
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGILL;
}

static void worker(void *arg) {
  go_chan *c = arg;
  for (int i = 0; i < 100; i++) {
    go_chan_send(c, &i);
    go_yield();
  }
  go_chan_close(c);
}

static void panics(void *arg) {
  (void)arg;
  go_panic("on purpose");
}

static void nothing(void *arg) { (void)arg; }

static int run(int argc, char **argv) {
  (void)argc;
  (void)argv;
  go_chan *c = go_chan_new(sizeof(int), 3);
  int v, sum = 0;
  if (c == NULL || go_spawn(worker, c) != 0) return 1;
  while (go_chan_recv(c, &v)) sum += v;
  go_chan_unref(c);
  for (int i = 0; i < 1000; i++) {
    if (go_spawn(nothing, NULL) != 0) return 1;
  }
  if (go_try(panics, NULL, NULL) == 0) return 2;
  if (go_sleep(NULL, GO_MS) != 0) return 3;
  return sum == 4950 ? 0 : 4;
}

int main(int argc, char **argv) {
  if (enforce() != 0 || !is_enforced()) {
    printf("SKIPPED: landing pads are not enforced here\n");
    return 0;
  }
  int status = pads_of_assembly();
  status = status != 0 ? status : go_main(run, argc, argv);
  printf("status %d\n", status);
  fflush(stdout);
  _exit(status); /* past the start files */
}
