/* Interrupts system calls (F19): loaded in front of the C library and liburing, it lets every third
 * call that may be interrupted fail with EINTR, as a signal at the worst moment would, before
 * anything is done. How many it were is said at the end.
 */
#include <dlfcn.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVERY 3

static atomic_ulong calls;
static atomic_ulong interrupts;

static int interrupt(void)
{
    if ((atomic_fetch_add(&calls, 1) + 1) % EVERY != 0) {
        return 0;
    }
    atomic_fetch_add(&interrupts, 1);
    return 1;
}

/* Programs end through exit, with nobody left who might be interrupted. */
__attribute__((destructor)) static void say(void)
{
    fprintf(stderr, "interrupted %lu of %lu calls\n", (unsigned long)atomic_load(&interrupts),
            (unsigned long)atomic_load(&calls));
}

/* name, its arguments with and without types; WRAP returns -1 with errno, WRAP_RING -EINTR */
#define NEXT(type, name, typed, plain)                                                             \
    static type(*next) typed;                                                                      \
    if (next == NULL) {                                                                            \
        void *found = dlsym(RTLD_NEXT, #name);                                                     \
        next = __extension__(type(*) typed) found;                                                 \
    }

/* The symbol is the library's, the name one that its headers do not declare. */
#define WRAP(type, name, typed, plain)                                                             \
    type interrupted_##name typed __asm__(#name);                                                  \
    type interrupted_##name typed                                                                  \
    {                                                                                              \
        NEXT(type, name, typed, plain)                                                             \
        if (interrupt()) {                                                                         \
            errno = EINTR;                                                                         \
            return -1;                                                                             \
        }                                                                                          \
        return next plain;                                                                         \
    }

#define WRAP_RING(name, typed, plain)                                                              \
    int interrupted_##name typed __asm__(#name);                                                   \
    int interrupted_##name typed                                                                   \
    {                                                                                              \
        NEXT(int, name, typed, plain)                                                              \
        return interrupt() ? -EINTR : next plain;                                                  \
    }

WRAP(int, accept4, (int fd, struct sockaddr *name, socklen_t *bytes, int flags),
     (fd, name, bytes, flags))
WRAP(ssize_t, recv, (int fd, void *data, size_t count, int flags), (fd, data, count, flags))
WRAP(ssize_t, send, (int fd, const void *data, size_t count, int flags), (fd, data, count, flags))
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
WRAP(int, epoll_wait, (int fd, struct epoll_event *events, int max, int timeout),
     (fd, events, max, timeout))
WRAP(int, poll, (struct pollfd * fds, nfds_t count, int timeout), (fds, count, timeout))

WRAP_RING(io_uring_submit, (struct io_uring * ring), (ring))
WRAP_RING(io_uring_submit_and_wait, (struct io_uring * ring, unsigned count), (ring, count))
WRAP_RING(io_uring_submit_and_get_events, (struct io_uring * ring), (ring))
