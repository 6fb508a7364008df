/* tour: counts the lines, words and bytes of files as wc does, in a pipeline of goroutines.
 *
 *            names             chunks              tallies
 *   walker --------> readers ---------> counters -----------> collector
 *                       |   failures                          ^   ^
 *                       +-------------------------------------+   |
 *                                            finish --------------+ done
 *
 *   ./bazelw run //examples:tour              the documents of this repository
 *   ./bazelw run //examples:tour -- FILE...   files of yours
 *
 * Bytes and lines (newline characters) are wc's. A word is a longest run of bytes that are not
 * white space in the C locale, as POSIX has it. (Some versions of wc do not count a run in which
 * no byte can be printed.) A file that cannot be read is reported on stderr, left out of the list
 * and of the total, and makes the exit status 1.
 */
#define _POSIX_C_SOURCE 200809L /* chdir, glob */
#include <glob.h>
#include <golib/golib.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READERS = 4, COUNTERS = 4, CHUNK_SIZE = 64 * 1024 };

typedef struct counts {
  uint64_t lines, words, bytes;
} counts;

typedef struct file { /* the collector alone writes to it */
  const char *path;
  counts n;
  int error; /* 0 or a negative code */
} file;

typedef struct chunk { /* the reader allocates it, the counter that receives it frees it */
  file *of;
  bool in_word; /* the byte before it belongs to a word */
  size_t size;
  unsigned char bytes[CHUNK_SIZE];
} chunk;

typedef struct tally {
  file *of;
  counts n;
} tally;

typedef struct failure {
  file *of;
  int error;
} failure;

GO_CHAN_TYPE(filechan, file *);
GO_CHAN_TYPE(chunkchan, chunk *);
GO_CHAN_TYPE(tallychan, tally);
GO_CHAN_TYPE(failurechan, failure);
GO_CHAN_TYPE(donechan, char);

/* isspace() of the C locale. */
static bool is_space(unsigned char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static void add(counts *sum, const counts *n) {
  sum->lines += n->lines;
  sum->words += n->words;
  sum->bytes += n->bytes;
}

/* Names the files. */
GO_FUNC(walker, (file *, files), (size_t, n), (filechan, out)) {
  for (size_t i = 0; i < n; i++) filechan_send(out, &files[i]);
  filechan_close(out);
}

/* Sends a file on in chunks. Returns 0 or a negative code.
 *
 * go_errno(), not errno: a send may move this goroutine to another thread, whose errno is another
 * variable, while the compiler still holds the address of the first. */
static int read_file(file *f, chunkchan out) {
  FILE *in = fopen(f->path, "rb");
  if (in == NULL) return -go_errno();

  int err = 0;
  bool in_word = false;
  for (;;) {
    chunk *c = malloc(sizeof *c);
    if (c == NULL) {
      err = GO_ENOMEM;
      break;
    }
    c->of = f;
    c->in_word = in_word;
    c->size = fread(c->bytes, 1, CHUNK_SIZE, in);
    if (ferror(in)) err = -go_errno();
    if (err != 0 || c->size == 0) {
      free(c);
      break;
    }
    in_word = !is_space(c->bytes[c->size - 1]);
    chunkchan_send(out, c); /* the receiver's from here on */
  }
  fclose(in);
  return err;
}

GO_FUNC(reader, (filechan, in), (chunkchan, out), (failurechan, failures)) {
  file *f;
  while (filechan_recv(in, &f)) {
    int err = read_file(f, out);
    if (err != 0) failurechan_send(failures, (failure){f, err});
  }
}

/* A word counts where it starts: so each chunk is counted on its own, and the tallies of a file
 * may be added in any order. */
static counts count(const chunk *c) {
  counts n = {.bytes = c->size};
  bool in_word = c->in_word;
  for (size_t i = 0; i < c->size; i++) {
    bool word = !is_space(c->bytes[i]);
    n.lines += c->bytes[i] == '\n';
    n.words += word && !in_word;
    in_word = word;
  }
  return n;
}

GO_FUNC(counter, (chunkchan, in), (tallychan, out)) {
  chunk *c;
  while (chunkchan_recv(in, &c)) {
    tally t = {c->of, count(c)};
    free(c);
    tallychan_send(out, t);
  }
}

/* Closes each channel when the last goroutine that sends on it has ended. */
GO_FUNC(finish, (go_wg *, readers), (chunkchan, chunks), (go_wg *, counters), (donechan, done)) {
  go_wg_wait(readers);
  chunkchan_close(chunks);
  go_wg_wait(counters);
  donechan_close(done);
}

static void collect(tallychan tallies, failurechan failures, donechan done) {
  tally t;
  failure e;
  for (;;) {
    switch (GO_SELECT(NULL, tallychan_recv_case(tallies, &t), failurechan_recv_case(failures, &e),
                      donechan_recv_case(done, NULL))) {
      case 0: add(&t.of->n, &t.n); break;
      case 1:
        fprintf(stderr, "tour: %s: %s\n", e.of->path, go_strerror(e.error));
        e.of->error = e.error;
        break;
      default: return; /* closed; the others have no buffer, so nothing is left in them */
    }
  }
}

static void must(bool ok) {
  if (ok) return;
  fputs("tour: out of memory\n", stderr);
  exit(1);
}

/* Counts the n files. */
static void tour(file *files, size_t n) {
  filechan names = filechan_new(0);
  chunkchan chunks = chunkchan_new(COUNTERS);
  tallychan tallies = tallychan_new(0);
  failurechan failures = failurechan_new(0);
  donechan done = donechan_new(0);
  must(names != NULL && chunks != NULL && tallies != NULL && failures != NULL && done != NULL);

  go_wg readers = {0}, counters = {0}, others = {0};
  for (int i = 0; i < READERS; i++) must(GO_WG(&readers, reader, names, chunks, failures) == 0);
  for (int i = 0; i < COUNTERS; i++) must(GO_WG(&counters, counter, chunks, tallies) == 0);
  must(GO_WG(&others, finish, &readers, chunks, &counters, done) == 0);
  must(GO_WG(&others, walker, files, n, names) == 0);
  collect(tallies, failures, done);
  go_wg_wait(&others);

  filechan_unref(names);
  chunkchan_unref(chunks);
  tallychan_unref(tallies);
  failurechan_unref(failures);
  donechan_unref(done);
}

static void print_line(int width, const counts *n, const char *name) {
  printf("%*" PRIu64 " %*" PRIu64 " %*" PRIu64 " %s\n", width, n->lines, width, n->words, width,
         n->bytes, name);
}

/* Prints as wc does: in the order of the names, in columns as wide as the total needs. Returns
 * whether every file was read and every line written. */
static bool print(const file *files, size_t n) {
  bool ok = true;
  counts sum = {0};
  for (size_t i = 0; i < n; i++) {
    if (files[i].error == 0) add(&sum, &files[i].n);
    ok = ok && files[i].error == 0;
  }
  int width = snprintf(NULL, 0, "%" PRIu64, sum.bytes); /* its digits */
  for (size_t i = 0; i < n; i++)
    if (files[i].error == 0) print_line(width, &files[i].n, files[i].path);
  if (n > 1) print_line(width, &sum, "total");
  return fflush(stdout) == 0 && ok;
}

/* Adds to *g the Markdown files in and up to three folders below this one. */
static void find_documents(glob_t *g) {
  static const char *const patterns[] = {"*.md", "*/*.md", "*/*/*.md", "*/*/*/*.md"};
  for (int i = 0; i < 4; i++) {
    int err = glob(patterns[i], i > 0 ? GLOB_APPEND : 0, NULL, g);
    must(err == 0 || err == GLOB_NOMATCH);
  }
}

GO_MAIN(argc, argv) {
  /* bazel run starts a program in a folder of its own and says where the user is. */
  const char *home = getenv(argc > 1 ? "BUILD_WORKING_DIRECTORY" : "BUILD_WORKSPACE_DIRECTORY");
  if (home != NULL && chdir(home) != 0) {
    fprintf(stderr, "tour: %s: %s\n", home, go_strerror(-go_errno()));
    return 1;
  }
  glob_t found = {0};
  if (argc == 1) find_documents(&found);
  size_t n = argc > 1 ? (size_t)argc - 1 : found.gl_pathc;
  char **paths = argc > 1 ? argv + 1 : found.gl_pathv;

  file *files = calloc(n + 1, sizeof *files);
  must(files != NULL);
  size_t used = 0;
  for (size_t i = 0; i < n; i++)
    if (argc > 1 || strncmp(paths[i], "bazel-", 6) != 0) files[used++].path = paths[i];
  if (used == 0) fputs("usage: tour FILE...\n", stderr);
  tour(files, used);
  bool ok = print(files, used) && used > 0;
  free(files);
  globfree(&found);
  return ok ? 0 : 1;
}
