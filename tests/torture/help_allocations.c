/* Allocations: wrapped by the linker (--wrap, see torture.cmake), counted, failed, and remembered
 * until they are given back.
 *
 * An allocation is whatever the library asks for and may not get: memory of the C library, a
 * mapping, a thread, a descriptor, a place in epoll's set, a ring, and a piece or node of its own
 * pools, from which the data path lives. The library itself has no seam for this: the references of
 * its objects lead here. Objects of the simulated world are compiled with other names, as that
 * world is the test's and not the library's.
 *
 * What was got is kept in one table, with its kind and number, so that a leak is named exactly;
 * pieces of pools are accounted by the pools. Everything is under one lock: a worker's allocations
 * are a few a turn. All is O(1), but for allocations_out.
 */
#include "torture/help_allocations.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "buf/nodes.h"
#include "buf/pool.h"

/* Of what may be out at once: the largest scenario has some dozens. */
#define PLACES 4096

enum kind {
    KIND_MEMORY,
    KIND_MAPPING,
    KIND_THREAD,
    KIND_DESCRIPTOR,
    KIND_RING,
};

static const char *const kind_names[] = {"memory", "mapping", "thread", "descriptor", "ring"};

struct place {
    uintptr_t what; /* an address, a descriptor + 1, a thread; 0: the place is free */
    enum kind kind;
    const char *call;
    uint32_t number; /* when it was got, as allocations count */
};

static struct {
    pthread_mutex_t lock;
    struct place places[PLACES];
    uint32_t out;
    bool armed;
    bool relented;
    bool failed;
    bool enters; /* only those count */
    enum fail_mode mode;
    uint32_t point;
    uint32_t count;
    char what[96];
} the = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local bool counted = true;

/* ------------------------------------------------------------------------------------ the table */

static uint32_t place_after(uint32_t at)
{
    return (at + 1) % PLACES;
}

static uint32_t place_for(uintptr_t what, enum kind kind)
{
    uint64_t hash = (what + kind) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(hash >> 40) % PLACES;
}

/* Its place, or the free one where it would stand. */
static uint32_t find(uintptr_t what, enum kind kind)
{
    uint32_t at = place_for(what, kind);
    while (the.places[at].what != 0 &&
           (the.places[at].what != what || the.places[at].kind != kind)) {
        at = place_after(at); /* the table is never full: remember() sees to that */
    }
    return at;
}

static void remember(uintptr_t what, enum kind kind, const char *call)
{
    pthread_mutex_lock(&the.lock);
    if (the.out == PLACES / 2) {
        fputs("torture: more is out than the table holds\n", stderr);
        abort();
    }
    uint32_t at = find(what, kind);
    the.out += the.places[at].what == 0 ? 1 : 0;
    the.places[at] = (struct place){what, kind, call, the.count};
    pthread_mutex_unlock(&the.lock);
}

/* Takes it out, and moves those up that stood behind it for want of their place. */
static void forget(uintptr_t what, enum kind kind)
{
    pthread_mutex_lock(&the.lock);
    uint32_t hole = find(what, kind);
    if (the.places[hole].what != 0) {
        the.out--;
        uint32_t at = place_after(hole);
        while (the.places[at].what != 0) {
            uint32_t home = place_for(the.places[at].what, the.places[at].kind);
            bool stays = hole <= at ? hole < home && home <= at : hole < home || home <= at;
            if (!stays) {
                the.places[hole] = the.places[at];
                hole = at;
            }
            at = place_after(at);
        }
        the.places[hole].what = 0;
    }
    pthread_mutex_unlock(&the.lock);
}

uint32_t allocations_out(char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    pthread_mutex_lock(&the.lock);
    for (uint32_t i = 0; i < PLACES && used < bytes; i++) {
        const struct place *place = &the.places[i];
        if (place->what != 0) {
            int more = snprintf(text + used, bytes - used, "  a %s of %s, number %u\n",
                                kind_names[place->kind], place->call, place->number);
            used += more > 0 ? (size_t)more : 0;
        }
    }
    uint32_t out = the.out;
    pthread_mutex_unlock(&the.lock);
    return out;
}

/* --------------------------------------------------------------------------- counting and failing
 */

void allocations_arm(enum fail_mode mode, uint32_t point)
{
    pthread_mutex_lock(&the.lock);
    the.armed = true;
    the.relented = false;
    the.failed = false;
    the.enters = false;
    the.mode = mode;
    the.point = point;
    the.count = 0;
    the.what[0] = '\0';
    pthread_mutex_unlock(&the.lock);
}

void allocations_are_enters(bool yes)
{
    pthread_mutex_lock(&the.lock);
    the.enters = yes;
    pthread_mutex_unlock(&the.lock);
}

void allocations_relent(void)
{
    pthread_mutex_lock(&the.lock);
    the.relented = true;
    pthread_mutex_unlock(&the.lock);
}

uint32_t allocations_disarm(void)
{
    pthread_mutex_lock(&the.lock);
    the.armed = false;
    uint32_t count = the.count;
    pthread_mutex_unlock(&the.lock);
    return count;
}

uint32_t allocations_count(void)
{
    pthread_mutex_lock(&the.lock);
    uint32_t count = the.count;
    pthread_mutex_unlock(&the.lock);
    return count;
}

bool allocations_failed(void)
{
    pthread_mutex_lock(&the.lock);
    bool failed = the.failed;
    pthread_mutex_unlock(&the.lock);
    return failed;
}

static bool still_fails(void)
{
    return the.armed && the.failed && the.mode == FAIL_ON && !the.relented;
}

bool allocations_fail(void)
{
    pthread_mutex_lock(&the.lock);
    bool fails = still_fails();
    pthread_mutex_unlock(&the.lock);
    return fails;
}

enum fail_mode allocations_mode(void)
{
    return the.mode;
}

void allocations_begin(void)
{
    memset(the.places, 0, sizeof the.places);
    the.out = 0;
}

const char *allocations_what(void)
{
    return the.what;
}

bool allocations_counted(bool yes)
{
    bool before = counted;
    counted = yes;
    return before;
}

/* One more: whether it is to fail. */
static bool one_more(const char *call, size_t bytes, bool enter)
{
    if (!counted) {
        return false;
    }
    pthread_mutex_lock(&the.lock);
    bool now = false;
    if (the.armed && the.enters == enter) {
        the.count++;
        bool here = the.mode != FAIL_NONE && the.count == the.point && !the.relented;
        if (here) {
            the.failed = true;
            (void)snprintf(the.what, sizeof the.what, "%s of %zu bytes, number %u", call, bytes,
                           the.count);
        }
        now = here || still_fails();
    }
    pthread_mutex_unlock(&the.lock);
    return now;
}

static bool fails(const char *call, size_t bytes)
{
    return one_more(call, bytes, false);
}

/* ---------------------------------------------------------------------------------------- memory
 */

#define WRAP(result, name, parameters)                                                             \
    result __real_##name parameters;                                                               \
    result __wrap_##name parameters;                                                               \
    result __wrap_##name parameters

static void *got(void *memory, const char *call)
{
    if (memory != NULL && counted) {
        remember((uintptr_t)memory, KIND_MEMORY, call);
    }
    return memory;
}

static bool out_of_memory(const char *call, size_t bytes)
{
    bool now = fails(call, bytes);
    if (now) {
        errno = ENOMEM;
    }
    return now;
}

WRAP(void *, malloc, (size_t bytes))
{
    return out_of_memory("malloc", bytes) ? NULL : got(__real_malloc(bytes), "malloc");
}

WRAP(void *, calloc, (size_t count, size_t bytes))
{
    return out_of_memory("calloc", count * bytes) ? NULL
                                                  : got(__real_calloc(count, bytes), "calloc");
}

WRAP(void *, aligned_alloc, (size_t alignment, size_t bytes))
{
    return out_of_memory("aligned_alloc", bytes)
               ? NULL
               : got(__real_aligned_alloc(alignment, bytes), "aligned_alloc");
}

WRAP(int, posix_memalign, (void **out, size_t alignment, size_t bytes))
{
    if (fails("posix_memalign", bytes)) {
        return ENOMEM;
    }
    int result = __real_posix_memalign(out, alignment, bytes);
    if (result == 0) {
        (void)got(*out, "posix_memalign");
    }
    return result;
}

WRAP(char *, strdup, (const char *text))
{
    return out_of_memory("strdup", strlen(text)) ? NULL : got(__real_strdup(text), "strdup");
}

WRAP(char *, strndup, (const char *text, size_t bytes))
{
    return out_of_memory("strndup", bytes) ? NULL : got(__real_strndup(text, bytes), "strndup");
}

WRAP(void *, realloc, (void *old, size_t bytes))
{
    if (out_of_memory("realloc", bytes)) {
        return NULL;
    }
    uintptr_t before = (uintptr_t)old;
    void *memory = __real_realloc(old, bytes);
    if (memory != NULL) {
        forget(before, KIND_MEMORY);
    }
    return got(memory, "realloc");
}

WRAP(void, free, (void *memory))
{
    if (memory != NULL) {
        forget((uintptr_t)memory, KIND_MEMORY);
    }
    __real_free(memory);
}

WRAP(void *, mmap, (void *at, size_t bytes, int protection, int flags, int fd, off_t offset))
{
    if (out_of_memory("mmap", bytes)) {
        return MAP_FAILED;
    }
    void *mapping = __real_mmap(at, bytes, protection, flags, fd, offset);
    if (mapping != MAP_FAILED && counted) {
        remember((uintptr_t)mapping, KIND_MAPPING, "mmap");
    }
    return mapping;
}

WRAP(int, munmap, (void *at, size_t bytes))
{
    forget((uintptr_t)at, KIND_MAPPING);
    return __real_munmap(at, bytes);
}

/* --------------------------------------------------------------------------------------- threads
 */

WRAP(int, pthread_create,
     (pthread_t * out, const pthread_attr_t *attributes, void *(*run)(void *), void *argument))
{
    if (fails("pthread_create", 0)) {
        return EAGAIN;
    }
    int result = __real_pthread_create(out, attributes, run, argument);
    if (result == 0 && counted) {
        remember((uintptr_t)*out, KIND_THREAD, "pthread_create");
    }
    return result;
}

WRAP(int, pthread_join, (pthread_t thread, void **result))
{
    forget((uintptr_t)thread, KIND_THREAD);
    return __real_pthread_join(thread, result);
}

/* ----------------------------------------------------------------------------------- descriptors
 */

static bool out_of_descriptors(const char *call)
{
    bool now = fails(call, 0);
    if (now) {
        errno = EMFILE;
    }
    return now;
}

static int got_descriptor(int fd, const char *call)
{
    int error = errno;
    if (fd >= 0 && counted) {
        remember((uintptr_t)fd + 1, KIND_DESCRIPTOR, call);
    }
    errno = error;
    return fd;
}

WRAP(int, socket, (int family, int type, int protocol))
{
    return out_of_descriptors("socket")
               ? -1
               : got_descriptor(__real_socket(family, type, protocol), "socket");
}

WRAP(int, accept4, (int fd, struct sockaddr *from, socklen_t *bytes, int flags))
{
    return out_of_descriptors("accept4")
               ? -1
               : got_descriptor(__real_accept4(fd, from, bytes, flags), "accept4");
}

WRAP(int, eventfd, (unsigned value, int flags))
{
    return out_of_descriptors("eventfd") ? -1
                                         : got_descriptor(__real_eventfd(value, flags), "eventfd");
}

WRAP(int, timerfd_create, (int clock, int flags))
{
    return out_of_descriptors("timerfd_create")
               ? -1
               : got_descriptor(__real_timerfd_create(clock, flags), "timerfd_create");
}

WRAP(int, epoll_create1, (int flags))
{
    return out_of_descriptors("epoll_create1")
               ? -1
               : got_descriptor(__real_epoll_create1(flags), "epoll_create1");
}

WRAP(int, close, (int fd))
{
    forget((uintptr_t)fd + 1, KIND_DESCRIPTOR);
    return __real_close(fd);
}

/* Each descriptor in the set costs the kernel memory, and a user may have only so many. */
WRAP(int, epoll_ctl, (int set, int what, int fd, struct epoll_event *event))
{
    if (what == EPOLL_CTL_ADD && out_of_memory("epoll_ctl", 0)) {
        return -1;
    }
    return __real_epoll_ctl(set, what, fd, event);
}

WRAP(int, open, (const char *path, int flags, ...))
{
    mode_t mode = 0;
    if ((flags & O_CREAT) != 0) { /* not the library, but what a compiler links in */
        va_list more;
        va_start(more, flags);
        mode = va_arg(more, mode_t);
        va_end(more);
    }
    return out_of_descriptors("open") ? -1 : got_descriptor(__real_open(path, flags, mode), "open");
}

/* --------------------------------------------------------------------------------------- the ring
 */

WRAP(int, io_uring_queue_init_params,
     (unsigned entries, struct io_uring *ring, struct io_uring_params *params))
{
    if (fails("io_uring_queue_init_params", 0)) {
        return -ENOMEM;
    }
    int result = __real_io_uring_queue_init_params(entries, ring, params);
    if (result == 0 && counted) {
        remember((uintptr_t)ring, KIND_RING, "io_uring_queue_init_params");
    }
    return result;
}

WRAP(void, io_uring_queue_exit, (struct io_uring * ring))
{
    forget((uintptr_t)ring, KIND_RING);
    __real_io_uring_queue_exit(ring);
}

WRAP(int, io_uring_register_buf_ring,
     (struct io_uring * ring, struct io_uring_buf_reg *reg, unsigned flags))
{
    return fails("io_uring_register_buf_ring", 0)
               ? -ENOMEM
               : __real_io_uring_register_buf_ring(ring, reg, flags);
}

WRAP(int, io_uring_register_ring_fd, (struct io_uring * ring))
{
    return fails("io_uring_register_ring_fd", 0) ? -ENOMEM : __real_io_uring_register_ring_fd(ring);
}

/* The kernel has no memory for requests, or none for events; nothing was taken. 0: it has. */
static int refusal_of(const char *call)
{
    return !one_more(call, 0, true) ? 0 : the.count % 2 == 0 ? -ENOMEM : -EAGAIN;
}

WRAP(int, io_uring_submit, (struct io_uring * ring))
{
    int refusal = refusal_of("io_uring_submit");
    return refusal != 0 ? refusal : __real_io_uring_submit(ring);
}

WRAP(int, io_uring_submit_and_get_events, (struct io_uring * ring))
{
    int refusal = refusal_of("io_uring_submit_and_get_events");
    return refusal != 0 ? refusal : __real_io_uring_submit_and_get_events(ring);
}

WRAP(int, io_uring_submit_and_wait, (struct io_uring * ring, unsigned count))
{
    int refusal = refusal_of("io_uring_submit_and_wait");
    return refusal != 0 ? refusal : __real_io_uring_submit_and_wait(ring, count);
}

/* ------------------------------------------------------------------------------- the pools' pieces
 */

WRAP(void *, pool_take, (struct pool * pool, size_t bytes, size_t *size))
{
    return fails("pool_take", bytes) ? NULL : __real_pool_take(pool, bytes, size);
}

WRAP(void *, nodes_take, (struct nodes * nodes))
{
    return fails("nodes_take", nodes->node_bytes) ? NULL : __real_nodes_take(nodes);
}

static bool memory_fails(void)
{
    pthread_mutex_lock(&the.lock);
    bool now = still_fails() && !the.enters;
    pthread_mutex_unlock(&the.lock);
    return now;
}

/* What asks beforehand gets the same answer. */
WRAP(bool, pool_can, (struct pool * pool, size_t bytes))
{
    return !(counted && memory_fails()) && __real_pool_can(pool, bytes);
}

WRAP(bool, nodes_can, (const struct nodes *nodes))
{
    return !(counted && memory_fails()) && __real_nodes_can(nodes);
}
