/* Accepting on io_uring.
 *
 * One listening socket, which is the rule: each accept in flight is one IORING_OP_ACCEPT. The
 * kernel wakes one of all those waiting, over all workers, for each connection, and a connection
 * costs no system call of its own.
 *
 * Several: an accept in flight is a permit to take one connection from whichever comes first. Tied
 * to one socket it would be stranded while clients wait at another, so here the accepts belong to
 * this file. While any is in flight, each listening socket has a poll in flight; one that fires
 * marks its socket ready, and ready sockets are asked in turn with accept4 until they have nobody
 * or no accept is left. A poll checks the level when it is armed, so nobody is overlooked between.
 *
 * The polls are not exclusive. An exclusive wake-up that reaches a worker whose last accept has
 * just been used is lost, and its client waits until the next one comes, though other workers have
 * accepts in flight. The price is that with several listeners a connection wakes every worker that
 * wants one; those who come late pay an accept4 and a poll.
 *
 * All is O(1) a turn, and O(1) for each connection.
 */
#include "io/uring.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/assert.h"

static uint64_t accept_code(const struct uring *u, uint32_t accept)
{
    return uring_code(URING_ACCEPT, 0, u->accept_generation[accept], accept);
}

static bool several_listeners(const struct uring *u)
{
    return u->io.config.listeners_count > 1;
}

void uring_accept(struct io *io, uint32_t accept)
{
    struct uring *u = (struct uring *)io;
    u->accept_generation[accept]++;
    u->accepts_cancelled &= (uint8_t) ~(1u << accept);
    if (several_listeners(u)) {
        return; /* the next turn arms the polls */
    }
    struct io_uring_sqe *sqe = uring_sqe(u);
    io_uring_prep_accept(sqe, io->listeners[0].id, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    sqe->user_data = accept_code(u, accept);
}

void uring_cancel_accepts(struct io *io)
{
    struct uring *u = (struct uring *)io;
    for (uint32_t i = 0; i < IO_ACCEPTS_MAX; i++) {
        uint8_t bit = (uint8_t)(1u << i);
        if ((io->accepts_busy & bit) == 0 || (u->accepts_cancelled & bit) != 0) {
            continue;
        }
        u->accepts_cancelled |= bit;
        if (!several_listeners(u)) {
            uring_cancel_code(u, accept_code(u, i));
        }
    }
}

bool uring_accept_cancelling(const struct uring *u, uint64_t code)
{
    uint32_t accept = uring_code_place(code);
    return accept < IO_ACCEPTS_MAX && code == accept_code(u, accept) &&
           (u->io.accepts_busy & u->accepts_cancelled & (1u << accept)) != 0;
}

/* Completes an accept with a descriptor or a negative errno. The descriptor inherited TCP_NODELAY
 * from its listening socket, so it needs no system call here. */
static void complete(struct uring *u, uint32_t accept, int32_t result, uint32_t listener)
{
    if (result >= 0) {
        uint32_t sock = io_sock_open(&u->io, result);
        if (sock == SOCK_NONE) {
            socket_close(result, false);
            result = -ENFILE;
        } else {
            result = (int32_t)sock;
        }
    }
    io_complete_accept(&u->io, accept, result, (uint8_t)listener);
}

bool uring_accept_event(struct uring *u, uint64_t code, int32_t result)
{
    uint32_t accept = uring_code_place(code);
    if (accept >= IO_ACCEPTS_MAX || code != accept_code(u, accept) ||
        (u->io.accepts_busy & (1u << accept)) == 0) {
        if (result >= 0) {
            socket_close(result, false);
        }
        return false;
    }
    complete(u, accept, result, 0);
    return true;
}

/* -------------------------------------------------------------------------- several listeners */

void uring_listener_event(struct uring *u, uint32_t listener, int32_t result)
{
    BERTH_ASSERT(listener < u->io.config.listeners_count);
    uint64_t bit = UINT64_C(1) << listener;
    u->listeners_armed &= ~bit;
    if (result != -ECANCELED) {
        u->listeners_ready |= bit; /* a failed poll too: accept4 then says what is wrong */
    }
}

bool uring_accepts_arm(struct uring *u)
{
    if (u->io.accepts_busy == 0 || !several_listeners(u)) {
        return true;
    }
    uint64_t all = UINT64_MAX >> (IO_LISTENERS_MAX - u->io.config.listeners_count);
    uint64_t quiet = all & ~(u->listeners_armed | u->listeners_ready);
    while (quiet != 0) {
        uint32_t listener = (uint32_t)__builtin_ctzll(quiet);
        struct io_uring_sqe *sqe = uring_sqe(u);
        io_uring_prep_poll_add(sqe, u->io.listeners[listener].id, POLLIN);
        sqe->user_data = uring_code(URING_LISTENER, 0, 0, listener);
        quiet &= quiet - 1;
    }
    u->listeners_armed |= all & ~u->listeners_ready;
    return u->listeners_ready == 0 && (u->io.accepts_busy & u->accepts_cancelled) == 0;
}

/* The ready listener whose turn it is. */
static uint32_t next_ready(struct uring *u)
{
    uint64_t later = u->listeners_ready & (UINT64_MAX << u->listener_next);
    uint32_t listener = (uint32_t)__builtin_ctzll(later != 0 ? later : u->listeners_ready);
    u->listener_next = (uint8_t)((listener + 1) % IO_LISTENERS_MAX);
    return listener;
}

static void take_one(struct uring *u, uint32_t accept)
{
    uint32_t listener = next_ready(u);
    int result = -ENFILE; /* with no place for it, the client is better off in the backlog */
    if (u->io.socks_open < u->io.config.socks_max) {
        int fd = accept4(u->io.listeners[listener].id, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        result = fd >= 0 ? fd : -errno;
    }
    if (result == -EAGAIN) {
        u->listeners_ready &= ~(UINT64_C(1) << listener); /* the next turn arms its poll */
    } else if (result != -EINTR) {
        complete(u, accept, result, listener);
    }
}

void uring_accepts_take(struct uring *u)
{
    struct io *io = &u->io;
    if (!several_listeners(u)) {
        return;
    }
    uint8_t cancelled;
    while ((cancelled = io->accepts_busy & u->accepts_cancelled) != 0 && io_room(io)) {
        complete(u, (uint32_t)__builtin_ctz(cancelled), -ECANCELED, 0);
    }
    while (io->accepts_busy != 0 && u->listeners_ready != 0 && io_room(io)) {
        take_one(u, (uint32_t)__builtin_ctz(io->accepts_busy));
    }
    u->accepts_first = io->accepts_busy != 0 && u->listeners_ready != 0;
}
