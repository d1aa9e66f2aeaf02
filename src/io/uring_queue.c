/* The ring of the io_uring backend: opening and closing it, places for operations, and the one
 * system call of a turn.
 *
 * The submission queue is finite and the kernel may refuse to take from it for a while (EAGAIN or
 * EBUSY, when it has no memory). An operation that then finds no place waits in `spill`, an array
 * long enough for everything that can be started; it is address space only until it is needed.
 * Order is kept: while anything waits there, all that follows waits behind it.
 *
 * Receive buffers belong to the caller; this file lends them to the kernel through a ring of
 * descriptors of its own. Records and names are lent from fixed arrays until the kernel has
 * consumed the operation. The eventfd always has one read in flight, so a wake costs the waker one
 * write at most, and the worker no system call.
 *
 * An operation costs O(1) and no system call; a turn costs one io_uring_enter.
 */
#include "io/uring.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/memory.h"

/* The worst case of a socket while the kernel takes nothing: for each direction an old operation's
 * cancel, a new operation, and its cancel; rounded up. */
#define SPILL_PER_SOCK 8
/* All listeners' polls, accepts with their cancels, the eventfd's read, and as much again. */
#define SPILL_FIXED 256

/* How long a turn pauses when the kernel refuses to take anything and has nothing to give, so
 * that waiting for its memory does not burn a processor. */
#define REFUSED_PAUSE_NS 1000000

/* Closing waits for two or three events that come at once; this bounds a kernel that forgot one. */
#define CLOSE_TRIES   100
#define CLOSE_WAIT_NS 10000000

/* No event is lost on overflow; arguments are read at submission. A kernel with a buffer ring has
 * both. */
#define FEATURES (IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE)

/* Notes the step at which an open failed; returns `result`. */
static int failed(struct uring_fault *fault, const char *step, int result)
{
    *fault = (struct uring_fault){.step = step};
    return result;
}

/* ------------------------------------------------------------------------------ open and close */

/* What an older kernel refuses with EINVAL, as it knows no such flag. */
#define SETUP_FEATURES (IO_FEATURE_SUBMIT_ALL | IO_FEATURE_SINGLE_ISSUER | IO_FEATURE_DEFER_TASKRUN)

static uint32_t setup_flags(uint32_t off)
{
    uint32_t flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    flags |= (off & IO_FEATURE_SUBMIT_ALL) == 0 ? IORING_SETUP_SUBMIT_ALL : 0;
    flags |= (off & IO_FEATURE_SINGLE_ISSUER) == 0 ? IORING_SETUP_SINGLE_ISSUER : 0;
    if ((off & (IO_FEATURE_SINGLE_ISSUER | IO_FEATURE_DEFER_TASKRUN)) == 0) {
        return flags | IORING_SETUP_DEFER_TASKRUN; /* for a single issuer only */
    }
    /* The next best, Linux 5.19: the kernel does its part whenever the worker makes a system call,
     * and does not interrupt it for that. */
    return flags | IORING_SETUP_COOP_TASKRUN;
}

static int open_ring(struct uring *u, struct uring_fault *fault)
{
    uint32_t off = u->io.config.features_off;
    if ((off & IO_FEATURES_NEEDED) != 0) {
        return failed(fault, "features that are off", -EOPNOTSUPP);
    }
    struct io_uring_params params = {.flags = setup_flags(off), .cq_entries = URING_CQ_ENTRIES};
    int result = io_uring_queue_init_params(URING_SQ_ENTRIES, &u->ring, &params);
    if (result < 0) {
        (void)failed(fault, "io_uring_setup", result);
        fault->suspects = result == -EINVAL ? SETUP_FEATURES : 0;
        return result;
    }
    if ((params.features & FEATURES) != FEATURES) {
        io_uring_queue_exit(&u->ring);
        return failed(fault, "io_uring_setup: features", -EOPNOTSUPP);
    }
    /* Spares the kernel a look into the descriptor table at each enter. A thread may have 16 of
     * these; one that has more rings goes without. */
    if ((off & IO_FEATURE_RING_FD) == 0) {
        int registered = io_uring_register_ring_fd(&u->ring); /* Linux 5.18 */
        u->ring_fd_error = registered < 0 ? registered : 0;
    }
    /* The queues are shared with the kernel, and would be with a child of fork. */
    (void)io_uring_ring_dontfork(&u->ring);
    return 0;
}

/* The kernel fills as many buffers as it has before the turn that empties them begins. More than
 * fit the cache cost more than receives that find none and wait. So it has half of them, and fewer
 * while they come back full of more than RING_BYTES; what is kept for long, because it is sent
 * from, is made up for out of the other half. */
#define RING_BYTES (1024u * 1024)

static void buffer_add(struct uring *u, uint16_t lease)
{
    io_uring_buf_ring_add(u->buffers, io_lease_data(&u->io, lease), u->io.config.receive_bytes,
                          lease, u->buffers_mask, u->buffers_added);
    u->buffers_added++;
    u->ring_count++;
}

/* Sees how many the kernel is to have, and gives them to it. */
static void balance(struct uring *u)
{
    uint32_t share = io_leases_part(&u->io.config, URING_RING_PART);
    uint32_t fit = BERTH_LIKELY((uint64_t)share * u->receive_bytes <= RING_BYTES)
                       ? share
                       : RING_BYTES / u->receive_bytes;
    u->ring_most = fit > 0 ? fit : 1;
    while (BERTH_UNLIKELY(u->ring_count < u->ring_most && u->spares_count > 0)) {
        buffer_add(u, u->spares[--u->spares_count]);
    }
}

void uring_buffer_give(struct uring *u, uint16_t lease)
{
    if (BERTH_LIKELY(u->ring_count < u->ring_most)) {
        buffer_add(u, lease);
    } else {
        u->spares[u->spares_count++] = lease;
    }
}

static int open_buffers(struct uring *u, struct uring_fault *fault)
{
    const struct io_config *config = &u->io.config;
    u->buffers_bytes = config->receive_count * sizeof(struct io_uring_buf);
    u->buffers_mask = io_uring_buf_ring_mask(config->receive_count);
    u->buffers = memory_reserve(u->buffers_bytes); /* the kernel wants whole pages */
    if (u->buffers == NULL) {
        return failed(fault, "memory for the buffer ring", -ENOMEM);
    }
    memory_name(u->buffers, u->buffers_bytes, "berth: buffer ring");
    struct io_uring_buf_reg reg = {.ring_addr = (uintptr_t)u->buffers,
                                   .ring_entries = config->receive_count};
    int result = io_uring_register_buf_ring(&u->ring, &reg, 0); /* Linux 5.19 */
    if (result < 0) {
        memory_release(u->buffers, u->buffers_bytes);
        return failed(fault, "io_uring_register: buffer ring", result);
    }
    io_uring_buf_ring_init(u->buffers);
    u->ring_most = io_leases_part(config, URING_RING_PART);
    for (uint32_t i = 0; i < config->receive_count; i++) {
        uring_buffer_give(u, (uint16_t)i);
    }
    return 0;
}

static void close_buffers(struct uring *u)
{
    (void)io_uring_unregister_buf_ring(&u->ring, 0);
    memory_release(u->buffers, u->buffers_bytes);
}

static size_t spill_max(const struct io_config *config)
{
    return (size_t)config->socks_max * SPILL_PER_SOCK + SPILL_FIXED;
}

size_t uring_reserves(const struct io_config *config)
{
    return memory_pages(config->receive_count * sizeof(struct io_uring_buf)) +
           memory_pages(spill_max(config) * sizeof(struct io_uring_sqe));
}

static int open_memory(struct uring *u, struct uring_fault *fault)
{
    u->spill_max = (uint32_t)spill_max(&u->io.config);
    u->spill_bytes = (size_t)u->spill_max * sizeof *u->spill;
    u->spill = memory_reserve(u->spill_bytes);
    u->spares = malloc(u->io.config.receive_count * sizeof *u->spares);
    u->records = calloc(URING_RECORDS, sizeof *u->records);
    u->names = calloc(URING_NAMES, sizeof *u->names);
    if (u->spill == NULL || u->spares == NULL || u->records == NULL || u->names == NULL) {
        return failed(fault, "memory for the ring's queues", -ENOMEM);
    }
    memory_name(u->spill, u->spill_bytes, "berth: operations, uring");
    return 0;
}

static void close_memory(struct uring *u)
{
    memory_release(u->spill, u->spill_bytes);
    free(u->spares);
    free(u->records);
    free(u->names);
}

int uring_queue_open(struct uring *u, struct uring_fault *fault)
{
    if (u->io.config.socks_max > (UINT32_MAX - SPILL_FIXED) / SPILL_PER_SOCK) {
        return failed(fault, "memory for the ring's queues", -ENOMEM);
    }
    int result = open_memory(u, fault);
    if (result < 0) {
        goto no_memory;
    }
    result = open_ring(u, fault);
    if (result < 0) {
        goto no_memory;
    }
    result = open_buffers(u, fault);
    if (result < 0) {
        goto no_buffers;
    }
    u->wake_fd = u->io.config.wake > 0 ? u->io.config.wake : io_wake_open();
    if (u->wake_fd < 0) {
        result = failed(fault, "eventfd", u->wake_fd);
        goto no_eventfd;
    }
    return 0;

no_eventfd:
    close_buffers(u);
no_buffers:
    io_uring_queue_exit(&u->ring);
no_memory:
    close_memory(u);
    return result;
}

/* Takes all events there are, when nothing but the ring's own operations is in flight. */
static void drain_own(struct uring *u)
{
    unsigned head;
    unsigned seen = 0;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&u->ring, head, cqe)
    {
        seen++;
        enum uring_kind kind = uring_code_kind(cqe->user_data);
        if (kind == URING_WAKE) {
            u->wake_armed = false;
        } else if (kind == URING_LISTENER) {
            u->listeners_armed &= ~(UINT64_C(1) << uring_code_place(cqe->user_data));
        } else if (kind == URING_TIMER) {
            uring_timer_event(u);
        }
    }
    io_uring_cq_advance(&u->ring, seen);
}

static void cancel_own(struct uring *u)
{
    if (u->wake_armed) {
        uring_cancel_code(u, uring_code(URING_WAKE, 0, 0, 0));
    }
    for (uint64_t armed = u->listeners_armed; armed != 0; armed &= armed - 1) {
        uint32_t listener = (uint32_t)__builtin_ctzll(armed);
        uring_cancel_code(u, uring_code(URING_LISTENER, 0, 0, listener));
    }
}

void uring_queue_close(struct uring *u)
{
    /* The kernel takes a ring apart some time after the close. Whatever is in flight then keeps its
     * file, and a listening socket its port, so everything is joined here first. */
    u->io.out_max = UINT32_MAX; /* no array to fill: all events fit */
    for (int i = 0; i < CLOSE_TRIES && (u->wake_armed || u->listeners_armed != 0); i++) {
        cancel_own(u);
        io_clock_read(&u->io);
        uring_enter(u, u->io.now_ns + CLOSE_WAIT_NS);
        drain_own(u);
    }
    close_buffers(u);
    io_uring_queue_exit(&u->ring);
    close(u->wake_fd);
    close_memory(u);
}

/* ------------------------------------------------------------------------ places for operations */

/* Shows the kernel the buffers given back since the last time. */
static void publish_buffers(struct uring *u)
{
    balance(u);
    if (u->buffers_added != 0) {
        io_uring_buf_ring_advance(u->buffers, u->buffers_added);
        u->buffers_added = 0;
    }
}

static void submit_early(struct uring *u)
{
    publish_buffers(u);
    int result;
    do {
        u->io.stats.enters++;
        result = io_uring_submit(&u->ring); /* a refusal shows as no place in the queue */
    } while (result == -EINTR);
}

struct io_uring_sqe *uring_sqe(struct uring *u)
{
    u->started++;
    if (BERTH_LIKELY(u->spilled == 0)) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
        if (BERTH_LIKELY(sqe != NULL)) {
            return sqe;
        }
        submit_early(u);
        sqe = io_uring_get_sqe(&u->ring);
        if (sqe != NULL) {
            return sqe;
        }
    }
    BERTH_ASSERT(u->spilled < u->spill_max);
    uint32_t place = (uint32_t)(((uint64_t)u->spill_first + u->spilled) % u->spill_max);
    u->spilled++;
    return &u->spill[place];
}

static void unspill(struct uring *u)
{
    while (u->spilled != 0) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
        if (sqe == NULL) {
            return;
        }
        *sqe = u->spill[u->spill_first];
        u->spill_first = (u->spill_first + 1) % u->spill_max;
        u->spilled--;
    }
}

/* Takes back all records and names once nothing refers to them. Must not be called between taking
 * one and filling in the operation that uses it. */
static void settle(struct uring *u)
{
    if (u->spilled == 0 && io_uring_sq_ready(&u->ring) == 0) {
        u->records_used = 0;
        u->names_used = 0;
    }
}

struct uring_record *uring_record(struct uring *u)
{
    if (u->records_used == URING_RECORDS) {
        submit_early(u);
        settle(u);
    }
    return u->records_used < URING_RECORDS ? &u->records[u->records_used++] : NULL;
}

void uring_flush(struct uring *u)
{
    submit_early(u);
    settle(u);
}

struct sockaddr_storage *uring_name(struct uring *u)
{
    if (u->names_used == URING_NAMES) {
        submit_early(u);
        settle(u);
    }
    return u->names_used < URING_NAMES ? &u->names[u->names_used++] : NULL;
}

void uring_cancel_code(struct uring *u, uint64_t code)
{
    struct io_uring_sqe *sqe = uring_sqe(u);
    io_uring_prep_cancel64(sqe, code, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS; /* only a cancel that missed is of interest */
    sqe->user_data = uring_code(URING_CANCEL, uring_code_kind(code), uring_code_generation(code),
                                uring_code_place(code));
}

/* -------------------------------------------------------------------------------------- the turn
 */

static int enter(struct uring *u, uint64_t deadline_ns)
{
    unsigned ready = io_uring_cq_ready(&u->ring);
    if (ready >= u->io.out_max) {
        /* The array will be full without asking for more, which could only overflow. */
        return io_uring_submit(&u->ring);
    }
    if (deadline_ns == 0 || ready != 0 || u->spilled != 0) {
        return io_uring_submit_and_get_events(&u->ring);
    }
    return io_uring_submit_and_wait(&u->ring, 1);
}

void uring_enter(struct uring *u, uint64_t deadline_ns)
{
    if (deadline_ns != 0) {
        uring_timer(u, deadline_ns);
    }
    publish_buffers(u);
    unspill(u);
    u->io.stats.enters++;
    int result = enter(u, deadline_ns);
    settle(u);
    if (BERTH_UNLIKELY(io_uring_sq_ready(&u->ring) != 0) && io_uring_cq_ready(&u->ring) == 0) {
        /* The kernel has not looked for events if it has not taken all. */
        u->io.stats.enters++;
        (void)io_uring_get_events(&u->ring);
    }
    if (BERTH_LIKELY(result >= 0)) {
        return;
    }
    switch (-result) {
    case EINTR: /* a signal; its handler may have had something to say, so the turn ends */
        return;
    case EAGAIN:
    case EBUSY:
    case ENOMEM:
        /* No memory for requests or events. What was not taken stays queued for the next turn; the
         * events that there are make room. */
        if (deadline_ns != 0 && io_uring_cq_ready(&u->ring) == 0) {
            (void)nanosleep(&(struct timespec){.tv_nsec = REFUSED_PAUSE_NS}, NULL);
        }
        return;
    default:
        /* Misuse of the ring (another thread, a child of fork, a closed descriptor) or, EBADR, an
         * event that the kernel lost: an operation would be waited for for ever. */
        BERTH_UNREACHABLE();
    }
}
