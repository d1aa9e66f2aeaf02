/* Linked into berthd and berthload: their allocations are counted, and one fails, or it and all
 * that follow, as the environment says.
 *
 *     BERTH_TORTURE_POINT=N      which fails, counted from 1 and from before main; 0 or none: none
 *     BERTH_TORTURE_ON=1         and all later ones
 *     BERTH_TORTURE_REPORT=FILE  at the end: how many there were, and whether one failed
 *
 * Where no sanitizer has done so, malloc and its like are replaced for the whole process: what the
 * C library and others allocate for the program (a file's buffer, a line, a number's text) counts
 * too. Under a sanitizer, which must have them itself, it is the references of the program's own
 * objects that lead here (--wrap), as it is always for threads, mappings and descriptors.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

static _Atomic bool armed;
static _Atomic bool failed;
static _Atomic uint64_t count;
static uint64_t point;
static bool goes_on;

/* Before main, and as early as anything is: nothing is counted before. */
__attribute__((constructor)) static void arm(void)
{
    const char *which = getenv("BERTH_TORTURE_POINT");
    const char *on = getenv("BERTH_TORTURE_ON");
    point = which == NULL ? 0 : strtoull(which, NULL, 10);
    goes_on = on != NULL && strcmp(on, "1") == 0;
    atomic_store(&armed, true);
}

/* After main, without a word that needs memory. */
__attribute__((destructor)) static void report(void)
{
    atomic_store(&armed, false);
    const char *path = getenv("BERTH_TORTURE_REPORT");
    int fd = path == NULL ? -1 : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return;
    }
    char text[64];
    int bytes = snprintf(text, sizeof text, "%llu %d\n", (unsigned long long)atomic_load(&count),
                         atomic_load(&failed) ? 1 : 0);
    (void)!write(fd, text, (size_t)bytes); /* who reads it sees whether it is whole */
    (void)close(fd);
}

static bool fails(int error)
{
    if (!atomic_load(&armed)) {
        return false;
    }
    uint64_t number = atomic_fetch_add(&count, 1) + 1;
    bool here = point > 0 && (number == point || (goes_on && number > point));
    if (here) {
        atomic_store(&failed, true);
        errno = error;
    }
    return here;
}

/* ---------------------------------------------------------------------------------------- memory
 */

#define WRAP(result, name, parameters)                                                             \
    result __real_##name parameters;                                                               \
    result __wrap_##name parameters;                                                               \
    result __wrap_##name parameters

#ifdef BERTH_TORTURE_WRAPS
#define MEMORY(result, name, parameters) WRAP(result, name, parameters)
#define REAL(name)                       __real_##name
#else
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t items, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
/* The symbol is the C library's, the name one that its headers do not declare. */
#define MEMORY(result, name, parameters)                                                           \
    result failing_##name parameters __asm__(#name);                                               \
    result failing_##name parameters
#define REAL(name) __libc_##name
#endif

MEMORY(void *, malloc, (size_t bytes))
{
    return fails(ENOMEM) ? NULL : REAL(malloc)(bytes);
}

MEMORY(void *, calloc, (size_t items, size_t bytes))
{
    return fails(ENOMEM) ? NULL : REAL(calloc)(items, bytes);
}

MEMORY(void *, realloc, (void *old, size_t bytes))
{
    return fails(ENOMEM) ? NULL : REAL(realloc)(old, bytes);
}

MEMORY(void *, aligned_alloc, (size_t alignment, size_t bytes))
{
    if (fails(ENOMEM)) {
        return NULL;
    }
#ifdef BERTH_TORTURE_WRAPS
    return __real_aligned_alloc(alignment, bytes);
#else
    return __libc_memalign(alignment, bytes);
#endif
}

/* --------------------------------------------------------- mappings, threads, descriptors, files
 */

WRAP(void *, mmap, (void *at, size_t bytes, int protection, int flags, int fd, off_t offset))
{
    return fails(ENOMEM) ? MAP_FAILED : __real_mmap(at, bytes, protection, flags, fd, offset);
}

WRAP(int, pthread_create,
     (pthread_t * out, const pthread_attr_t *attributes, void *(*run)(void *), void *argument))
{
    return fails(EAGAIN) ? EAGAIN : __real_pthread_create(out, attributes, run, argument);
}

WRAP(int, socket, (int family, int type, int protocol))
{
    return fails(EMFILE) ? -1 : __real_socket(family, type, protocol);
}

WRAP(int, eventfd, (unsigned value, int flags))
{
    return fails(EMFILE) ? -1 : __real_eventfd(value, flags);
}

WRAP(int, timerfd_create, (int clock, int flags))
{
    return fails(EMFILE) ? -1 : __real_timerfd_create(clock, flags);
}

WRAP(int, epoll_create1, (int flags))
{
    return fails(EMFILE) ? -1 : __real_epoll_create1(flags);
}

WRAP(int, signalfd, (int fd, const sigset_t *signals, int flags))
{
    return fails(EMFILE) ? -1 : __real_signalfd(fd, signals, flags);
}

WRAP(int, open, (const char *path, int flags, ...))
{
    mode_t mode = 0;
    if ((flags & O_CREAT) != 0) {
        va_list more;
        va_start(more, flags);
        mode = va_arg(more, mode_t);
        va_end(more);
    }
    return fails(EMFILE) ? -1 : __real_open(path, flags, mode);
}

WRAP(FILE *, fopen, (const char *path, const char *mode))
{
    return fails(EMFILE) ? NULL : __real_fopen(path, mode);
}
