/* Preloaded into vibro by faults.py: the n-th call that changes something below one folder fails, or ends the process.
 *
 *   cc -shared -fPIC -O1 -o faults.so faults.c
 *
 * vibro_fault(folder, n, code, lasting): call number n below the folder fails with errno `code`, and with `lasting` every
 * later one that needs room, as on a disk that stays full; code -9 ends the process there with
 * SIGKILL, a write after half of its bytes; another negative code sends that signal and goes on. vibro_calls() tells how many such calls there have been.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[PATH_MAX];
static long at, calls;
static int code, lasting;

void vibro_fault(const char *name, long n, int number, int stays) {
  snprintf(folder, sizeof folder, "%s", name);
  at = n, code = number, lasting = stays;
  __atomic_store_n(&calls, 0, __ATOMIC_SEQ_CST);
}

long vibro_calls(void) { return __atomic_load_n(&calls, __ATOMIC_SEQ_CST); }

static int within(const char *path) {
  size_t length = strlen(folder);
  return length && !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

/* Whether an open file lies below the folder. */
static int of_file(int fd) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  long n = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
  if (n <= 0) return 0;
  path[n] = 0;
  return within(path);
}

static int of_path(int dir, const char *path) {
  if (path[0] == '/') return within(path);
  if (dir != AT_FDCWD) return of_file(dir);
  char here[PATH_MAX];
  return syscall(SYS_getcwd, here, sizeof here) > 0 && within(here);
}

/* 1 if this call is to fail; does not return if it is to end the process. */
static int fails_unless(int frees, int below, int fd, const void *content, size_t size) {
  if (!below) return 0;
  long number = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
  if (lasting ? frees || at < 1 || number < at : number != at) return 0;
  if (code > 0) return errno = code, 1;
  if (code == -SIGKILL && content) syscall(SYS_write, fd, content, size / 2);
  syscall(SYS_kill, getpid(), -code);
  return 0;
}

static int fails(int below, int fd, const void *content, size_t size) {
  return fails_unless(0, below, fd, content, size);
}

static int opens(int dir, const char *path, int flags, mode_t mode) {
  int changes = (flags & (O_CREAT | O_TRUNC)) || (flags & O_ACCMODE) != O_RDONLY;
  if (changes && fails(of_path(dir, path), -1, NULL, 0)) return -1;
  return syscall(SYS_openat, dir, path, flags, mode);
}

static mode_t mode_of(int flags, va_list more) {
  return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(more, mode_t) : 0;
}

#define OPEN(NAME, ...)                    \
  va_list more;                            \
  va_start(more, flags);                   \
  mode_t mode = mode_of(flags, more);      \
  va_end(more);                            \
  return opens(__VA_ARGS__, flags, mode);

int open(const char *path, int flags, ...) { OPEN(open, AT_FDCWD, path) }
int open64(const char *path, int flags, ...) { OPEN(open64, AT_FDCWD, path) }
int openat(int dir, const char *path, int flags, ...) { OPEN(openat, dir, path) }
int openat64(int dir, const char *path, int flags, ...) { OPEN(openat64, dir, path) }

ssize_t write(int fd, const void *content, size_t size) {
  if (fails(of_file(fd), fd, content, size)) return -1;
  return syscall(SYS_write, fd, content, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  if (fails(of_file(fd), fd, NULL, 0)) return -1;
  return syscall(SYS_writev, fd, parts, count);
}

ssize_t pwrite(int fd, const void *content, size_t size, off_t place) {
  if (fails(of_file(fd), fd, NULL, 0)) return -1;
  return syscall(SYS_pwrite64, fd, content, size, place);
}

ssize_t pwrite64(int fd, const void *content, size_t size, off64_t place) {
  if (fails(of_file(fd), fd, NULL, 0)) return -1;
  return syscall(SYS_pwrite64, fd, content, size, place);
}

ssize_t sendfile(int out, int in, off_t *place, size_t size) {
  if (fails(of_file(out), out, NULL, 0)) return -1;
  return syscall(SYS_sendfile, out, in, place, size);
}

ssize_t sendfile64(int out, int in, off64_t *place, size_t size) {
  if (fails(of_file(out), out, NULL, 0)) return -1;
  return syscall(SYS_sendfile, out, in, place, size);
}

ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags) {
  if (fails(of_file(out), out, NULL, 0)) return -1;
  return syscall(SYS_copy_file_range, in, from, out, to, size, flags);
}

#define OF_FILE(NAME, NUMBER) \
  int NAME(int fd) { return fails(of_file(fd), fd, NULL, 0) ? -1 : syscall(NUMBER, fd); }
OF_FILE(fsync, SYS_fsync)
OF_FILE(fdatasync, SYS_fdatasync)

int ftruncate(int fd, off_t size) { return fails(of_file(fd), fd, NULL, 0) ? -1 : syscall(SYS_ftruncate, fd, size); }
int ftruncate64(int fd, off64_t size) { return fails(of_file(fd), fd, NULL, 0) ? -1 : syscall(SYS_ftruncate, fd, size); }

#define OF_PATH(dir, path, ...) (fails(of_path(dir, path), -1, NULL, 0) ? -1 : syscall(__VA_ARGS__))

int truncate(const char *path, off_t size) { return OF_PATH(AT_FDCWD, path, SYS_truncate, path, size); }
int truncate64(const char *path, off64_t size) { return OF_PATH(AT_FDCWD, path, SYS_truncate, path, size); }
int mkdir(const char *path, mode_t mode) { return OF_PATH(AT_FDCWD, path, SYS_mkdirat, AT_FDCWD, path, mode); }
int mkdirat(int dir, const char *path, mode_t mode) { return OF_PATH(dir, path, SYS_mkdirat, dir, path, mode); }
int unlinkat(int dir, const char *path, int flags) {
  return fails_unless(1, of_path(dir, path), -1, NULL, 0) ? -1 : syscall(SYS_unlinkat, dir, path, flags);
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int rename(const char *from, const char *to) {
  return OF_PATH(AT_FDCWD, to, SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}
int renameat(int a, const char *from, int b, const char *to) { return OF_PATH(b, to, SYS_renameat2, a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
  return OF_PATH(b, to, SYS_renameat2, a, from, b, to, flags);
}
int link(const char *from, const char *to) {
  return OF_PATH(AT_FDCWD, to, SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}
int linkat(int a, const char *from, int b, const char *to, int flags) {
  return OF_PATH(b, to, SYS_linkat, a, from, b, to, flags);
}
