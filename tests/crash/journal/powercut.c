/* Writes down, in order, what a process asks of the files under one directory, so that a test can tell what a power cut would leave.
 *
 *   POWERCUT_ROOT   the directory, absolute
 *   POWERCUT_LOG    the log: one record for each call that succeeded
 *   POWERCUT_FAULT  optional: while this file exists, calls that change a file under the root fail with the errno that is its content
 *
 * A record: op (1 byte), inode (8), number (8), two lengths (4 each), path, second path or data. Native byte order. Nothing else of
 * libc is touched; a process that forks is not followed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 'w', TRUNCATE = 't', SYNC = 's', CREATE = 'c', UNLINK = 'u', RENAME = 'r', MAKEDIR = 'm' };

#define REAL(type, name, ...) \
    static type (*real_##name)(__VA_ARGS__); \
    if (!real_##name) real_##name = dlsym(RTLD_NEXT, #name)

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static const char *root, *fault;
static size_t root_length;
static int log_descriptor = -1;

__attribute__((constructor)) static void begin(void) {
    REAL(int, open, const char *, int, ...);
    root = getenv("POWERCUT_ROOT");
    fault = getenv("POWERCUT_FAULT");
    const char *log = getenv("POWERCUT_LOG");
    if (!root || !log) return;
    root_length = strlen(root);
    int opened = real_open(log, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    log_descriptor = fcntl(opened, F_DUPFD_CLOEXEC, 500); /* out of the way */
    close(opened);
}

static int inside(const char *path) {
    return log_descriptor >= 0 && path && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

static int name_of(int descriptor, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, size - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return inside(path);
}

static uint64_t inode_of(int descriptor) {
    struct stat status;
    return fstat(descriptor, &status) ? 0 : status.st_ino;
}

static uint64_t inode_at(const char *path) {
    struct stat status;
    return lstat(path, &status) ? 0 : status.st_ino;
}

static void note(char op, uint64_t inode, uint64_t number, const char *path, const void *data, size_t size) {
    uint32_t lengths[2] = {path ? strlen(path) : 0, size};
    char head[25];
    head[0] = op;
    memcpy(head + 1, &inode, 8);
    memcpy(head + 9, &number, 8);
    memcpy(head + 17, lengths, 8);
    struct iovec parts[3] = {{head, 25}, {(void *)path, lengths[0]}, {(void *)data, size}};
    if (writev(log_descriptor, parts, 3) < 0) abort();
}

static int fails(const char *path) {
    if (!fault || !inside(path)) return 0;
    int descriptor, number = 0;
    char text[16] = {0};
    REAL(int, open, const char *, int, ...);
    if ((descriptor = real_open(fault, O_RDONLY | O_CLOEXEC)) < 0) return 0;
    if (read(descriptor, text, sizeof text - 1) > 0) number = atoi(text);
    close(descriptor);
    if (number) errno = number;
    return number != 0;
}

static int open_noted(int (*really)(const char *, int, ...), const char *path, int flags, mode_t mode) {
    if (!inside(path)) return really(path, flags, mode);
    /* A file that is there opens on a disk that fails later, unless that is read-only. */
    int changes = flags & O_TRUNC || (flags & O_CREAT && !inode_at(path));
    if (flags & (O_CREAT | O_WRONLY | O_RDWR | O_TRUNC) && fails(path) && (changes || errno == EROFS)) return -1;
    pthread_mutex_lock(&order);
    uint64_t before = inode_at(path);
    int descriptor = really(path, flags, mode);
    if (descriptor >= 0 && flags & O_CREAT && !before) note(CREATE, inode_of(descriptor), 0, path, 0, 0);
    if (descriptor >= 0 && flags & O_TRUNC) note(TRUNCATE, inode_of(descriptor), 0, path, 0, 0);
    pthread_mutex_unlock(&order);
    return descriptor;
}

static mode_t mode_in(int flags, va_list rest) { return flags & O_CREAT ? (mode_t)va_arg(rest, int) : 0; }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(int, name, const char *, int, ...); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = mode_in(flags, rest); \
        va_end(rest); \
        return open_noted(real_##name, path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name, plain) \
    int name(int directory, const char *path, int flags, ...) { \
        REAL(int, name, int, const char *, int, ...); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = mode_in(flags, rest); \
        va_end(rest); \
        if (inside(path)) return plain(path, flags, mode); \
        return real_##name(directory, path, flags, mode); \
    }
OPENAT(openat, open)
OPENAT(openat64, open64)

static ssize_t wrote(int descriptor, const void *data, ssize_t size, off_t offset, int at_offset) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off_t);
    REAL(ssize_t, write, int, const void *, size_t);
    char path[4096];
    if (log_descriptor < 0 || !name_of(descriptor, path, sizeof path))
        return at_offset ? real_pwrite64(descriptor, data, size, offset) : real_write(descriptor, data, size);
    if (fails(path)) return -1;
    pthread_mutex_lock(&order);
    if (!at_offset) offset = fcntl(descriptor, F_GETFL) & O_APPEND ? lseek(descriptor, 0, SEEK_END) : lseek(descriptor, 0, SEEK_CUR);
    ssize_t done = at_offset ? real_pwrite64(descriptor, data, size, offset) : real_write(descriptor, data, size);
    if (done > 0) note(WRITE, inode_of(descriptor), offset, path, data, done);
    pthread_mutex_unlock(&order);
    return done;
}

ssize_t write(int descriptor, const void *data, size_t size) { return wrote(descriptor, data, size, 0, 0); }
ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset) { return wrote(descriptor, data, size, offset, 1); }
ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t offset) { return wrote(descriptor, data, size, offset, 1); }

#define ON_DESCRIPTOR(name, op, number, ...) \
    { \
        char path[4096]; \
        if (log_descriptor < 0 || !name_of(descriptor, path, sizeof path)) return real_##name(__VA_ARGS__); \
        if (fails(path)) return -1; \
        pthread_mutex_lock(&order); \
        int done = real_##name(__VA_ARGS__); \
        if (!done) note(op, inode_of(descriptor), number, path, 0, 0); \
        pthread_mutex_unlock(&order); \
        return done; \
    }

int ftruncate(int descriptor, off_t size) {
    REAL(int, ftruncate, int, off_t);
    ON_DESCRIPTOR(ftruncate, TRUNCATE, size, descriptor, size)
}
int ftruncate64(int descriptor, off64_t size) {
    REAL(int, ftruncate64, int, off64_t);
    ON_DESCRIPTOR(ftruncate64, TRUNCATE, size, descriptor, size)
}
int fsync(int descriptor) {
    REAL(int, fsync, int);
    ON_DESCRIPTOR(fsync, SYNC, 0, descriptor)
}
int fdatasync(int descriptor) {
    REAL(int, fdatasync, int);
    ON_DESCRIPTOR(fdatasync, SYNC, 0, descriptor)
}

#define ON_PATH(name, op, inode, other, length, ...) \
    { \
        if (!inside(path)) return real_##name(__VA_ARGS__); \
        if (fails(path)) return -1; \
        pthread_mutex_lock(&order); \
        int done = real_##name(__VA_ARGS__); \
        if (!done) note(op, inode, 0, path, other, length); \
        pthread_mutex_unlock(&order); \
        return done; \
    }

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    ON_PATH(unlink, UNLINK, 0, 0, 0, path)
}
int rmdir(const char *path) {
    REAL(int, rmdir, const char *);
    ON_PATH(rmdir, UNLINK, 0, 0, 0, path)
}
int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    ON_PATH(mkdir, MAKEDIR, inode_at(path), 0, 0, path, mode)
}
int rename(const char *path, const char *target) {
    REAL(int, rename, const char *, const char *);
    ON_PATH(rename, RENAME, 0, target, strlen(target), path, target)
}
