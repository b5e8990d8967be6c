/* A disk that fails or takes its time when it is told to make something durable. Preloaded into the node by
 * tests/process/faulty_disk.rs; it knows nothing of what it disturbs.
 *
 * FAULTY_DISK_LOG      file that gets a line for each call: its number, what was called, on which file, and how it ended
 * FAULTY_DISK_SPARE    name of a thread whose calls are neither counted nor disturbed
 * FAULTY_DISK_FAIL_AT  number of the one call that fails with EIO, counted from 1 over the life of the process; whoever else has
 *                      the same file open hears of it with its next call
 * FAULTY_DISK_DELAY    "FROM:MS": that call and each one after it take so many milliseconds more; "FROM:MS:ONCE": only it
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static atomic_long calls;

/* Who had the file open when it failed: each of them is told, once, as Linux does. */
static atomic_bool told[1024];

static void tell_the_others(int failed) {
    struct stat wanted, other;
    if (fstat(failed, &wanted)) return;
    for (int fd = 0; fd < 1024; fd++)
        if (fd != failed && !fstat(fd, &other) && other.st_dev == wanted.st_dev && other.st_ino == wanted.st_ino)
            atomic_store(&told[fd], true);
}

static void note(long number, const char *name, int fd, const char *end) {
    const char *log = getenv("FAULTY_DISK_LOG");
    char link[64], path[1024], line[1200];
    if (!log) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    int size = snprintf(line, sizeof line, "%ld %s %s %s\n", number, name, path, end);
    int file = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0) return;
    if (write(file, line, (size_t)size) < 0) { /* the log only helps a reader */ }
    close(file);
}

static int sync_with(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    const char *spare = getenv("FAULTY_DISK_SPARE");
    char thread[16] = "";
    if (spare && !pthread_getname_np(pthread_self(), thread, sizeof thread) && !strcmp(thread, spare)) return real(fd);
    long number = atomic_fetch_add(&calls, 1) + 1;
    const char *fail = getenv("FAULTY_DISK_FAIL_AT"), *delay = getenv("FAULTY_DISK_DELAY");
    long from = 0, ms = 0;
    if (delay && sscanf(delay, "%ld:%ld", &from, &ms) == 2 && number >= from
        && (number == from || !strstr(delay, ":ONCE"))) {
        note(number, name, fd, "slow");
        struct timespec left = { ms / 1000, ms % 1000 * 1000000 };
        while (nanosleep(&left, &left) && errno == EINTR) {}
    }
    bool fails = fail && atol(fail) == number;
    if (fails) tell_the_others(fd);
    if (fails || (fd >= 0 && fd < 1024 && atomic_exchange(&told[fd], false))) {
        note(number, name, fd, "failed");
        errno = EIO;
        return -1;
    }
    note(number, name, fd, "passed");
    return real(fd);
}

int fsync(int fd) { return sync_with("fsync", fd); }
int fdatasync(int fd) { return sync_with("fdatasync", fd); }
