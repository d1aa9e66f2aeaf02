/* The io_uring backend.
 *
 * One ring per io. Sockets are plain descriptors. A receive is one multishot operation that goes on
 * until it ends (on a kernel without, one operation for each piece; its caller starts the next, by
 * law 9), with buffers chosen by the kernel from one ring that all sockets share, so an idle
 * connection holds none. A send is one SEND, or one SENDMSG for several spans. Shutting down,
 * closing and naming are plain system calls.
 *
 * Starting an operation writes a submission queue entry; nothing reaches the kernel before the next
 * reap, except when the queue is full, or io_flush asks for it. A reap is one io_uring_enter, which
 * submits, waits and runs the kernel's deferred work, and one walk over the completion queue.
 * Events for which the caller's array has no room stay in the queue for the next reap.
 *
 * Each operation carries kind, place and generation of its socket as user data. io.c keeps what is
 * in flight; an event that matches nothing is dropped and counted, and its buffer goes back.
 *
 * uring_queue.c has the ring itself, uring_accept.c the accepts, uring_look.c what the kernel does
 * not tell, uring_rest.c the receives of sockets that are idle. Everything is O(1) an operation.
 */
#include "io/uring.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"

/* How long an open waits for memory: 200 ms. */
#define OPEN_TRIES    40
#define OPEN_PAUSE_NS 5000000

/* ------------------------------------------------------------------------------ open and close */

/* The kernel takes rings apart some 40 ms after their close, and counts their memory until then: of
 * a self-test, or of a server before this one. */
static int open_patiently(struct uring *u)
{
    struct uring_fault fault;
    int result = uring_queue_open(u, &fault);
    for (uint32_t i = 0; i < OPEN_TRIES && result == -ENOMEM; i++) {
        (void)nanosleep(&(struct timespec){.tv_nsec = OPEN_PAUSE_NS}, NULL);
        result = uring_queue_open(u, &fault);
    }
    return result;
}

static int ring_open(struct io *io)
{
    struct uring *u = uring_of(io);
    int result = open_patiently(u);
    if (result < 0) {
        return result;
    }
    atomic_init(&u->wake_asked, false);
    u->rest_due_ns = IO_FOREVER;
    u->timer_ns = IO_FOREVER;
    bool multishot = (io->config.features_off & IO_FEATURE_MULTISHOT_RECEIVE) == 0;
    u->receive_once = multishot ? 0 : SOCK_ONCE;
    for (uint32_t i = 0; i < io->config.listeners_count; i++) {
        /* Accepted sockets inherit it: a system call less for each. Ours have it already; this is
         * for one that another program handed over. */
        socket_prepare(io->listeners[i].id);
        socket_limit(io->listeners[i].id, &io->config);
    }
    io_clock_read(io);
    uint64_t seed = io->now_ns;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed) {
        seed ^= (uintptr_t)io; /* early in a boot; it is for spreading only */
    }
    io_random_seed(io, seed);
    return 0;
}

static void ring_close(struct io *io)
{
    uring_queue_close(uring_of(io));
}

int uring_open_many(const struct io_config *config, uint32_t count, struct uring_fault *fault)
{
    struct uring *all = calloc(count, sizeof *all);
    if (all == NULL) {
        *fault = (struct uring_fault){.step = "memory for rings"};
        return -ENOMEM;
    }
    int result = 0;
    uint32_t opened = 0;
    while (opened < count && result == 0) {
        all[opened].io.config = *config;
        result = uring_queue_open(&all[opened], fault);
        opened += result == 0 ? 1 : 0;
    }
    while (opened > 0) {
        uring_queue_close(&all[--opened]);
    }
    free(all);
    return result;
}

int uring_ring_fd_error(const struct io *io)
{
    return ((const struct uring *)io)->ring_fd_error;
}

/* -------------------------------------------------------------------------------------- starts */

static uint64_t sock_code(const struct io *io, enum uring_kind kind, uint32_t sock)
{
    return uring_code(kind, 0, io->socks[sock].generation, sock);
}

static int start_connect(struct io *io, const struct berth_address *remote,
                         const struct berth_address *local)
{
    struct uring *u = uring_of(io);
    if (io->socks_open == io->config.socks_max) {
        return -ENFILE;
    }
    struct sockaddr_storage *name = uring_name(u);
    if (name == NULL) {
        return -ENOBUFS;
    }
    socklen_t bytes;
    int fd = socket_for_connect(remote, local, name, &bytes);
    if (fd < 0) {
        u->names_used--;
        return fd;
    }
    socket_limit(fd, &io->config);
    uint32_t sock = io_sock_open(io, fd);
    struct io_uring_sqe *sqe = uring_sqe(u);
    io_uring_prep_connect(sqe, fd, (struct sockaddr *)name, bytes);
    sqe->user_data = sock_code(io, URING_CONNECT, sock);
    return (int)sock;
}

static void start_poll(struct uring *u, uint32_t sock)
{
    struct io_sock *s = &u->io.socks[sock];
    s->backend_flags ^= URING_REST | URING_RESTS;
    struct io_uring_sqe *sqe = uring_sqe(u);
    io_uring_prep_poll_add(sqe, s->fd, POLLIN | POLLRDHUP);
    sqe->user_data = sock_code(&u->io, URING_POLL, sock);
}

static void start_receive(struct io *io, uint32_t sock)
{
    struct uring *u = uring_of(io);
    struct io_sock *s = &io->socks[sock];
    s->backend_flags &= (uint8_t) ~(URING_CANCELLING_RECEIVE | URING_QUIET | URING_REST);
    struct io_uring_sqe *sqe = uring_sqe(u);
    if (((s->flags | u->receive_once) & SOCK_ONCE) != 0) {
        io_uring_prep_recv(sqe, s->fd, NULL, io->config.receive_bytes, 0);
    } else {
        io_uring_prep_recv_multishot(sqe, s->fd, NULL, 0, 0); /* Linux 6.0 */
        uring_rest_begin(u, sock);
    }
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    sqe->user_data = sock_code(io, URING_RECEIVE, sock);
}

static uint8_t cancelling_flag(enum uring_kind kind)
{
    return kind == URING_SEND ? URING_CANCELLING_SEND : URING_CANCELLING_RECEIVE;
}

static void cancel(struct io *io, uint32_t sock, enum io_op op)
{
    struct io_sock *s = &io->socks[sock];
    bool rests = (s->backend_flags & URING_RESTS) != 0;
    enum uring_kind kind = op == IO_SEND      ? URING_SEND
                           : op == IO_CONNECT ? URING_CONNECT
                           : rests            ? URING_POLL
                                              : URING_RECEIVE;
    if ((s->backend_flags & cancelling_flag(kind)) == 0) {
        s->backend_flags |= cancelling_flag(kind);
        uring_cancel_code(uring_of(io), sock_code(io, kind, sock));
    }
}

static void sock_close(struct io *io, uint32_t sock, bool reset)
{
    socket_close(io->socks[sock].fd, reset);
}

static void lease_return(struct io *io, uint16_t lease)
{
    uring_buffer_give(uring_of(io), lease);
}

static void wake(struct io *io)
{
    struct uring *u = uring_of(io);
    /* While a wake is on its way, another needs none. The exchange here and the one that clears it
     * order what the waker wrote before what the worker reads after its reap. */
    if (!atomic_exchange(&u->wake_asked, true)) {
        int saved = errno; /* may be in a signal handler */
        uint64_t one = 1;
        (void)!write(u->wake_fd, &one, sizeof one);
        errno = saved;
    }
}

static void arm_wake(struct uring *u)
{
    if (!u->wake_armed) {
        struct io_uring_sqe *sqe = uring_sqe(u);
        io_uring_prep_read(sqe, u->wake_fd, &u->wake_count, sizeof u->wake_count, 0);
        sqe->user_data = uring_code(URING_WAKE, 0, 0, 0);
        u->wake_armed = true;
    }
}

/* -------------------------------------------------------------------------------------- events */

bool uring_nudge(struct uring *u, uint32_t sock)
{
    struct io_sock *s = &u->io.socks[sock];
    BERTH_ASSERT((s->backend_flags & URING_RESTS) == 0);
    if ((s->backend_flags & (URING_CANCELLING_RECEIVE | URING_NUDGED)) != 0) {
        return false;
    }
    s->backend_flags |= URING_NUDGED;
    uring_cancel_code(u, sock_code(&u->io, URING_RECEIVE, sock));
    return true;
}

/* Whether it is cancelled for uring_nudge only. That is over with this. */
static bool was_nudged(struct io_sock *s)
{
    uint8_t flags = s->backend_flags & (URING_NUDGED | URING_CANCELLING_RECEIVE);
    s->backend_flags &= (uint8_t)~URING_NUDGED;
    return flags == URING_NUDGED;
}

static void receive_event(struct uring *u, const struct io_uring_cqe *cqe)
{
    struct io *io = &u->io;
    uint32_t sock = uring_code_place(cqe->user_data);
    bool buffer = (cqe->flags & IORING_CQE_F_BUFFER) != 0;
    uint16_t lease = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    BERTH_ASSERT(!buffer || lease < io->config.receive_count);
    if (BERTH_LIKELY(buffer)) {
        uring_buffer_taken(u, cqe->res > 0 ? (uint32_t)cqe->res : 0);
    }
    bool known = uring_matches(io, cqe->user_data, SOCK_RECEIVE);
    if (BERTH_LIKELY(known && cqe->res > 0 && buffer)) {
        /* Without MORE though with bytes: the completion queue was full (law 9). */
        bool more = (cqe->flags & IORING_CQE_F_MORE) != 0;
        io->socks[sock].backend_flags &= (uint8_t)~URING_QUIET;
        if (BERTH_LIKELY(more)) {
            uring_heard(u, sock);
        }
        io_complete_bytes(io, sock, lease, (uint32_t)cqe->res, more);
        return;
    }
    if (buffer) {
        uring_buffer_give(u, lease); /* chosen before the kernel knew that there was nothing */
    }
    if (known && cqe->res == -ECANCELED && was_nudged(&io->socks[sock])) {
        if ((io->socks[sock].backend_flags & URING_REST) != 0) {
            start_poll(u, sock);
        } else {
            start_receive(io, sock);
        }
    } else if (known) {
        io_complete_receive_end(io, sock, cqe->res > 0 ? -EIO : cqe->res);
    } else {
        io->stats.stale++;
    }
}

/* Something is there for a socket at rest. */
static void poll_event(struct uring *u, const struct io_uring_cqe *cqe)
{
    uint32_t sock = uring_code_place(cqe->user_data);
    if (!uring_matches(&u->io, cqe->user_data, SOCK_RECEIVE)) {
        u->io.stats.stale++;
        return;
    }
    struct io_sock *s = &u->io.socks[sock];
    s->backend_flags &= (uint8_t)~URING_RESTS;
    if ((s->backend_flags & URING_CANCELLING_RECEIVE) != 0) {
        io_complete_receive_end(&u->io, sock, -ECANCELED);
    } else {
        start_receive(&u->io, sock); /* which finds out what it is, also if the poll failed */
    }
}

static void connect_event(struct uring *u, const struct io_uring_cqe *cqe)
{
    if (uring_matches(&u->io, cqe->user_data, SOCK_CONNECT)) {
        u->io.socks[uring_code_place(cqe->user_data)].backend_flags = 0;
        io_complete_connect(&u->io, uring_code_place(cqe->user_data), cqe->res < 0 ? cqe->res : 0);
    } else {
        u->io.stats.stale++;
    }
}

/* A cancel that did not find its target. Usually the target has completed. But a multishot receive
 * that has just had its fill of one turn waits in the kernel's own work list, where a cancel does
 * not look; it would go on, and its join would never come. So the cancel is repeated while the
 * target is in flight. */
static void cancel_event(struct uring *u, const struct io_uring_cqe *cqe)
{
    uint64_t code = cqe->user_data;
    enum uring_kind kind = uring_code_target(code);
    uint32_t place = uring_code_place(code);
    uint64_t target = uring_code(kind, 0, uring_code_generation(code), place);
    bool again = false;
    if (kind == URING_ACCEPT) {
        again = uring_accept_cancelling(u, target);
    } else if (kind == URING_CONNECT || kind == URING_RECEIVE || kind == URING_POLL ||
               kind == URING_SEND) {
        uint8_t flag = kind == URING_SEND      ? SOCK_SEND
                       : kind == URING_CONNECT ? SOCK_CONNECT
                                               : SOCK_RECEIVE;
        again = uring_matches(&u->io, target, flag) &&
                (u->io.socks[place].backend_flags & cancelling_flag(kind)) != 0;
        if (kind == URING_RECEIVE && uring_matches(&u->io, target, SOCK_OPEN)) {
            u->io.socks[place].backend_flags &= (uint8_t)~URING_NUDGED; /* it has ended by itself */
        }
    }
    if (again) {
        uring_cancel_code(u, target);
    }
}

static void handle(struct uring *u, const struct io_uring_cqe *cqe)
{
    switch (uring_code_kind(cqe->user_data)) {
    case URING_RECEIVE:
        receive_event(u, cqe);
        return;
    case URING_POLL:
        poll_event(u, cqe);
        return;
    case URING_SEND:
        uring_send_event(u, cqe);
        return;
    case URING_CONNECT:
        connect_event(u, cqe);
        return;
    case URING_ACCEPT:
        if (!uring_accept_event(u, cqe->user_data, cqe->res)) {
            u->io.stats.stale++;
        }
        return;
    case URING_CANCEL:
        cancel_event(u, cqe);
        return;
    case URING_WAKE:
        u->wake_armed = false;
        (void)atomic_exchange(&u->wake_asked, false);
        return;
    case URING_LISTENER:
        uring_listener_event(u, uring_code_place(cqe->user_data), cqe->res);
        return;
    case URING_TIMER:
        uring_timer_event(u);
        return;
    }
    BERTH_UNREACHABLE();
}

static void take_events(struct uring *u)
{
    unsigned head;
    unsigned seen = 0;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&u->ring, head, cqe)
    {
        if (BERTH_UNLIKELY(!io_room(&u->io))) {
            break;
        }
        handle(u, cqe); /* yields one completion at most */
        seen++;
    }
    io_uring_cq_advance(&u->ring, seen);
}

static void flush(struct io *io)
{
    uring_flush(uring_of(io));
}

static void reap(struct io *io, uint64_t deadline_ns)
{
    struct uring *u = uring_of(io);
    arm_wake(u);
    uint64_t until_ns = uring_rest(u, uring_look(u, uring_sends_wait(u, deadline_ns)));
    uring_enter(u, uring_accepts_arm(u) ? until_ns : 0);
    io_clock_read(io);
    if (BERTH_UNLIKELY(io_uring_cq_has_overflow(&u->ring))) {
        io->stats.overflows++;
    }
    if (BERTH_UNLIKELY(u->accepts_first)) {
        uring_accepts_take(u);
    }
    bool events_first = u->events_first;
    if (BERTH_LIKELY(!events_first)) {
        uring_sends_take(u);
    }
    take_events(u);
    if (events_first) {
        uring_sends_take(u);
    }
    u->events_first = !events_first && !io_room(io) && io_uring_cq_ready(&u->ring) > 0;
    uring_accepts_take(u);
}

const struct io_backend io_backend_uring = {
    .ops =
        {
            .name = "uring",
            .listen = socket_listen,
            .listener_close = socket_listener_close,
            .listener_halt = socket_listener_halt,
            .listener_resume = socket_listener_resume,
            .struct_bytes = sizeof(struct uring),
            .receives_part = URING_RING_PART,
            .reserves = uring_reserves,
            .open = ring_open,
            .close = ring_close,
            .accept = uring_accept,
            .cancel_accepts = uring_cancel_accepts,
            .connect = start_connect,
            .receive = start_receive,
            .send = uring_send,
            .cancel = cancel,
            .shutdown = socket_shutdown,
            .sock_close = sock_close,
            .name_of = socket_name_of,
            .lease_return = lease_return,
            .flush = flush,
            .reap = reap,
            .wake = wake,
        },
};
