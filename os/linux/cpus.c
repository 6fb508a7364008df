/* os/linux/cpus.c: how many CPUs the process may use: affinity and cgroup quotas. */
#include "linux.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- affinity ---- */

/* The kernel rejects sets that are smaller than its own idea of the number of CPUs, which nothing
 * tells. */
static int affinity_cpus(void) {
  for (int bits = 1024; bits <= 1 << 20; bits *= 2) {
    cpu_set_t *set = CPU_ALLOC(bits);
    if (set == NULL) break;
    size_t size = CPU_ALLOC_SIZE(bits);
    int rc = sched_getaffinity(0, size, set);
    int err = errno;
    int n = rc == 0 ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    if (rc == 0) return n;
    if (err != EINVAL) break;
  }
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 && n < INT_MAX ? (int)n : 1;
}

/* ---- files ---- */

/* root + a + b as a new string. NULL without memory. */
static char *join(const char *root, const char *a, const char *b) {
  size_t n = strlen(root) + strlen(a) + strlen(b) + 1;
  char *s = malloc(n);
  if (s != NULL) snprintf(s, n, "%s%s%s", root, a, b);
  return s;
}

/* The whole file as a new string; NULL if there is none. Files in /proc do not tell their size. */
static char *read_file(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return NULL;
  size_t cap = 4096, len = 0;
  char *s = malloc(cap);
  while (s != NULL) {
    ssize_t n = read(fd, s + len, cap - len - 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    len += (size_t)n;
    if (cap - len < 2) {
      char *more = realloc(s, cap *= 2);
      if (more == NULL) {
        free(s);
        s = NULL;
        break;
      }
      s = more;
    }
  }
  close(fd);
  if (s != NULL) s[len] = 0;
  return s;
}

static char *read_below(const char *root, const char *dir, const char *name) {
  char *path = join(root, dir, name);
  char *text = path != NULL ? read_file(path) : NULL;
  free(path);
  return text;
}

/* ---- one cgroup ---- */

static int cpus_for(long long quota, long long period) {
  if (quota <= 0 || period <= 0) return 0;
  long long n = quota / period + (quota % period != 0);
  return n > INT_MAX ? 0 : (int)n;
}

/* cpu.max holds "QUOTA PERIOD" or "max PERIOD". */
static int quota_v2(const char *root, const char *dir) {
  char *text = read_below(root, dir, "/cpu.max");
  long long quota, period;
  int n = 0;
  if (text != NULL && sscanf(text, "%lld %lld", &quota, &period) == 2) n = cpus_for(quota, period);
  free(text);
  return n;
}

/* cpu.cfs_quota_us holds the quota, or -1. */
static int quota_v1(const char *root, const char *dir) {
  char *quota = read_below(root, dir, "/cpu.cfs_quota_us");
  char *period = quota != NULL ? read_below(root, dir, "/cpu.cfs_period_us") : NULL;
  int n = 0;
  if (period != NULL) n = cpus_for(strtoll(quota, NULL, 10), strtoll(period, NULL, 10));
  free(quota);
  free(period);
  return n;
}

/* ---- the way from our cgroup up to where the hierarchy is mounted ---- */

static int least(int a, int b) { return a == 0 || (b != 0 && b < a) ? b : a; }

/* A child's quota may be larger than what an ancestor leaves it, so all count. `dir` is cut up as
 * we go. */
static int walk_up(const char *root, char *dir, size_t mount_len,
                   int (*quota)(const char *, const char *)) {
  int n = 0;
  for (;;) {
    n = least(n, quota(root, dir));
    char *slash = strrchr(dir, '/');
    if (slash == NULL || (size_t)(slash - dir) < mount_len) return n;
    *slash = 0;
  }
}

/* Where in a comma-separated list an item is. */
static bool has_item(const char *list, const char *item) {
  size_t n = strlen(item);
  for (const char *p = list; (p = strstr(p, item)) != NULL; p += n)
    if ((p == list || p[-1] == ',') && (p[n] == 0 || p[n] == ',')) return true;
  return false;
}

/* The line of /proc/self/cgroup, "ID:CONTROLLERS:PATH", for the hierarchy that v1's cpu controller
 * is in, or for v2, whose list is empty. The path as a new string. */
static char *own_path(const char *cgroups, bool v2) {
  for (const char *line = cgroups; *line != 0;) {
    const char *end = strchrnul(line, '\n');
    const char *list = memchr(line, ':', (size_t)(end - line));
    const char *path = list != NULL ? memchr(list + 1, ':', (size_t)(end - list - 1)) : NULL;
    if (path != NULL) {
      char *controllers = strndup(list + 1, (size_t)(path - list - 1));
      bool ours = controllers != NULL && (v2 ? *controllers == 0 : has_item(controllers, "cpu"));
      free(controllers);
      if (ours) return strndup(path + 1, (size_t)(end - path - 1));
    }
    line = *end != 0 ? end + 1 : end;
  }
  return NULL;
}

/* Paths in mountinfo have \ooo for white space and backslashes. */
static void unescape(char *s) {
  char *out = s;
  while (*s != 0) {
    if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
        s[3] <= '7') {
      *out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
      s += 4;
    } else {
      *out++ = *s++;
    }
  }
  *out = 0;
}

/* What lies below `top` in `path`: "/b" for "/a" and "/a/b", "" for "/a" and "/a"; NULL if not
 * below it. */
static const char *below(const char *top, const char *path) {
  if (strcmp(top, "/") == 0) return strcmp(path, "/") == 0 ? "" : path;
  size_t n = strlen(top);
  if (strncmp(top, path, n) != 0 || (path[n] != 0 && path[n] != '/')) return NULL;
  return path + n;
}

/* One line of mountinfo: "ID PARENT DEV ROOT MOUNT OPTIONS [TAGS...] - TYPE SOURCE SUPEROPTIONS".
 * Cut up here. */
static int mount_cpus(const char *root, char *line, const char *v1_path, const char *v2_path) {
  char *rest = strstr(line, " - ");
  if (rest == NULL) return 0;
  *rest = 0;
  char *save, *field[5];
  for (int i = 0; i < 5; i++)
    if ((field[i] = strtok_r(i == 0 ? line : NULL, " ", &save)) == NULL) return 0;
  char *type = strtok_r(rest + 3, " ", &save);
  char *source = strtok_r(NULL, " ", &save);
  char *options = strtok_r(NULL, " ", &save);
  if (type == NULL || source == NULL) return 0;

  bool v2 = strcmp(type, "cgroup2") == 0;
  if (!v2 && (strcmp(type, "cgroup") != 0 || options == NULL || !has_item(options, "cpu")))
    return 0;
  const char *path = v2 ? v2_path : v1_path;
  if (path == NULL) return 0;
  unescape(field[3]);
  unescape(field[4]);
  const char *rel = below(field[3], path);
  /* Mounted in a container without a namespace of its own, another part may be what we see: look at
   * its top, which is the container's own group more often than not. */
  if (rel == NULL || strstr(rel, "/..") != NULL) rel = "";
  char *dir = join("", field[4], rel);
  if (dir == NULL) return 0;
  int n = walk_up(root, dir, strlen(field[4]), v2 ? quota_v2 : quota_v1);
  free(dir);
  return n;
}

int go_os_cgroup_cpus_(const char *root) {
  int n = 0;
  char *cgroups = read_below(root, "/proc/self", "/cgroup");
  char *mounts = cgroups != NULL ? read_below(root, "/proc/self", "/mountinfo") : NULL;
  if (mounts != NULL) {
    char *v1_path = own_path(cgroups, false), *v2_path = own_path(cgroups, true);
    for (char *line = mounts; *line != 0;) {
      char *end = strchrnul(line, '\n');
      char *next = *end != 0 ? end + 1 : end;
      *end = 0;
      n = least(n, mount_cpus(root, line, v1_path, v2_path));
      line = next;
    }
    free(v1_path);
    free(v2_path);
  }
  free(cgroups);
  free(mounts);
  return n;
}

int go_os_cpus_(void) {
  GO_KEEP_ERRNO_BEGIN();
  int n = least(affinity_cpus(), go_os_cgroup_cpus_(""));
  GO_KEEP_ERRNO_END();
  return n > 0 ? n : 1;
}
