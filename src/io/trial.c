/* The self-test of the io_uring backend: what uring.c needs, on the running kernel.
 *
 * Kernel versions say little: a feature may be compiled out, forbidden by a seccomp filter or a
 * sysctl, or broken in one release. So each is used once, through io.h itself, in a small exchange
 * over loopback between two sockets of one io. A step that fails, or is not done in time, names
 * itself, and the features that may be at fault.
 *
 * The trial owns everything it opens and closes all of it on every way out. If the kernel forgets
 * an operation, the sockets cannot be joined; they are then taken down by force, and the memory
 * that the kernel knew is unmapped, so that a late write goes nowhere. It takes a few milliseconds
 * and about ten descriptors, and TRIAL_NS and JOIN_NS at most.
 */
#include "io/trial.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/thread.h"
#include "io/backend.h"
#include "io/uring.h"

#define MILLISECOND_NS UINT64_C(1000000)
#define TRIAL_NS       (1000 * MILLISECOND_NS) /* the whole trial; it needs about 3 ms */
#define JOIN_NS        (300 * MILLISECOND_NS)  /* its ending, if it has failed */
#define QUIET_NS       (2 * MILLISECOND_NS)    /* a wait in which nothing may happen */
#define FULL_NS        (100 * MILLISECOND_NS)  /* until what fills a socket has arrived */

#define BUFFER_BYTES 64
#define BUFFER_COUNT 4
#define SHORT_BYTES  24                                /* fits one buffer */
#define LONG_BYTES   (BUFFER_BYTES * 3 / 2)            /* takes two */
#define FLOOD_BYTES  (BUFFER_BYTES * BUFFER_COUNT * 3) /* three times what all buffers hold */
#define STREAM_BYTES (SHORT_BYTES + LONG_BYTES + FLOOD_BYTES)
#define FULL_BYTES   4096 /* of a send that fills the socket */
#define COMPLETIONS  8
#define NOT_YET      INT32_MAX

/* The two ends of the connection; their number is the slot of their tokens. */
enum { CLIENT, SERVER, ENDS };

struct end {
    int sock;
    int32_t connected; /* results, NOT_YET before */
    int32_t sent;
    int32_t ended; /* of the receive, when without bytes */
    bool receiving;
    uint32_t received; /* bytes of the stream so far */
};

struct trial {
    struct io_listener listener;
    struct io *io;
    uint8_t *buffers;
    struct end ends[ENDS];
    int32_t accepted;
    bool holding; /* keep leases */
    uint16_t held[BUFFER_COUNT];
    uint32_t held_count;
    bool wrong; /* bytes came out of order, or something unasked for came */
    uint32_t features_off;
    uint64_t deadline_ns;
    int error;                  /* of the failed step: a negative errno, or 0 */
    struct uring_fault opening; /* the part of the first step that failed */
    uint8_t stream[STREAM_BYTES];
    uint8_t full[FULL_BYTES];
};

/* ---------------------------------------------------------------------------------- the exchange
 */

static void take_bytes(struct trial *t, struct end *e, const struct io_completion *c)
{
    uint32_t bytes = (uint32_t)c->result;
    if (bytes > STREAM_BYTES - e->received ||
        memcmp(c->data, t->stream + e->received, bytes) != 0) {
        t->wrong = true;
    } else {
        e->received += bytes;
    }
    e->receiving = (c->flags & IO_MORE) != 0;
    if (t->holding) {
        t->held[t->held_count++] = c->lease;
    } else {
        io_lease_return(t->io, c->lease);
    }
}

static void take(struct trial *t, const struct io_completion *c)
{
    struct end *e = &t->ends[io_token_slot(c->token)];
    switch (io_token_op(c->token)) {
    case IO_ACCEPT:
        t->accepted = c->result;
        if (c->result >= 0) {
            t->ends[SERVER].sock = c->result;
        }
        return;
    case IO_CONNECT:
        e->connected = c->result;
        return;
    case IO_SEND:
        e->sent = c->result;
        return;
    case IO_RECEIVE:
        if ((c->flags & IO_LEASE) != 0) {
            take_bytes(t, e, c);
        } else {
            e->receiving = false;
            e->ended = c->result;
        }
        return;
    }
    BERTH_UNREACHABLE();
}

/* One turn; false when the time is up. */
static bool turn(struct trial *t)
{
    struct io_completion completions[COMPLETIONS];
    uint32_t count = io_reap(t->io, completions, COMPLETIONS, t->deadline_ns);
    for (uint32_t i = 0; i < count; i++) {
        take(t, &completions[i]);
    }
    return !t->wrong && io_now(t->io) < t->deadline_ns;
}

static bool failed(struct trial *t, int error)
{
    t->error = error;
    return false;
}

static void receive(struct trial *t, int end)
{
    t->ends[end].receiving = true;
    t->ends[end].ended = NOT_YET;
    io_receive(t->io, t->ends[end].sock, io_token(IO_RECEIVE, 0, (uint32_t)end));
}

/* Sends bytes of the stream from `first` on in `count` equal spans, from one end to the other. The
 * sending itself must take all: it is far less than any socket buffer. */
static bool send_part(struct trial *t, int from, uint32_t first, uint32_t bytes, uint32_t count)
{
    struct io_span spans[IO_SPANS_MAX];
    BERTH_ASSERT(count <= IO_SPANS_MAX && bytes % count == 0);
    for (uint32_t i = 0; i < count; i++) {
        spans[i].data = t->stream + first + i * (bytes / count);
        spans[i].size = bytes / count;
    }
    struct end *e = &t->ends[from];
    e->sent = NOT_YET;
    io_send(t->io, e->sock, spans, count, io_token(IO_SEND, 0, (uint32_t)from));
    while (e->sent == NOT_YET) {
        if (!turn(t)) {
            return false;
        }
    }
    return e->sent == (int32_t)bytes || failed(t, e->sent < 0 ? e->sent : 0);
}

static bool wait_received(struct trial *t, int end, uint32_t bytes)
{
    struct end *e = &t->ends[end];
    while (e->received < bytes) {
        if (!e->receiving && e->ended != NOT_YET) {
            return failed(t, e->ended);
        }
        if (!e->receiving) {
            receive(t, end); /* law 9 */
        }
        if (!turn(t)) {
            return false;
        }
    }
    return true;
}

/* ------------------------------------------------------------------------------------- the steps
 */

static bool step_open(struct trial *t)
{
    struct io_config config = {
        .socks_max = ENDS,
        .listeners = &t->listener,
        .listeners_count = 1,
        .receive_base = t->buffers,
        .receive_bytes = BUFFER_BYTES,
        .receive_count = BUFFER_COUNT,
        .features_off = t->features_off,
    };
    int result = io_open(&io_backend_uring, &config, &t->io);
    if (result < 0) {
        t->io = NULL;
        t->opening.step = "opening a ring"; /* if it works now */
        (void)uring_open_many(&config, 1, &t->opening);
        return failed(t, result);
    }
    t->deadline_ns = io_now(t->io) + TRIAL_NS;
    return true;
}

static bool step_ring_fd(struct trial *t)
{
    int error = uring_ring_fd_error(t->io);
    return error == 0 || failed(t, error);
}

static bool step_wake(struct trial *t)
{
    for (int i = 0; i < 2; i++) { /* twice: the second needs the read to have been armed again */
        io_wake(t->io);
        if (!turn(t)) {
            return false;
        }
    }
    return true;
}

static bool step_wait(struct trial *t)
{
    uint64_t until = io_now(t->io) + QUIET_NS;
    struct io_completion completion;
    uint32_t turns = 0;
    while (io_now(t->io) < until) {
        if (io_reap(t->io, &completion, 1, until) != 0 || ++turns > COMPLETIONS) {
            return failed(t, 0); /* something came unasked, or the wait does not wait */
        }
    }
    return true;
}

static bool step_accept_cancel(struct trial *t)
{
    t->accepted = NOT_YET;
    io_accept(t->io, io_token(IO_ACCEPT, 0, SERVER));
    struct io_completion completion;
    if (io_reap(t->io, &completion, 1, 0) != 0) { /* armed now; nobody connects yet */
        return failed(t, completion.result);
    }
    io_cancel_accepts(t->io);
    while (t->accepted == NOT_YET) {
        if (!turn(t)) {
            return false;
        }
    }
    return t->accepted == -ECANCELED || failed(t, t->accepted);
}

static bool step_connect(struct trial *t)
{
    t->accepted = NOT_YET;
    io_accept(t->io, io_token(IO_ACCEPT, 0, SERVER));
    int sock =
        io_connect(t->io, &t->listener.address, NULL, io_token(IO_CONNECT, 0, (uint32_t)CLIENT));
    if (sock < 0) {
        return failed(t, sock);
    }
    t->ends[CLIENT].sock = sock;
    while (t->accepted == NOT_YET || t->ends[CLIENT].connected == NOT_YET) {
        if (!turn(t)) {
            return false;
        }
    }
    if (t->ends[CLIENT].connected != 0) {
        return failed(t, t->ends[CLIENT].connected);
    }
    return t->accepted >= 0 || failed(t, t->accepted);
}

static bool step_send(struct trial *t)
{
    receive(t, CLIENT);
    receive(t, SERVER);
    return send_part(t, CLIENT, 0, SHORT_BYTES, 1) && send_part(t, SERVER, 0, SHORT_BYTES, 1) &&
           wait_received(t, CLIENT, SHORT_BYTES) && wait_received(t, SERVER, SHORT_BYTES);
}

static bool step_spans(struct trial *t)
{
    return send_part(t, CLIENT, SHORT_BYTES, LONG_BYTES, 3) &&
           send_part(t, SERVER, SHORT_BYTES, LONG_BYTES, 3) &&
           wait_received(t, CLIENT, SHORT_BYTES + LONG_BYTES) &&
           wait_received(t, SERVER, SHORT_BYTES + LONG_BYTES);
}

static void give_back(struct trial *t)
{
    while (t->held_count > 0) {
        io_lease_return(t->io, t->held[--t->held_count]);
    }
}

/* All buffers are held until a receive ends for want of one; the rest must come, in order, after
 * they are given back. */
static bool step_no_buffer(struct trial *t)
{
    struct end *e = &t->ends[SERVER];
    t->holding = true;
    if (!send_part(t, CLIENT, SHORT_BYTES + LONG_BYTES, FLOOD_BYTES, 1)) {
        return false;
    }
    while (e->received < STREAM_BYTES) {
        if (e->ended != NOT_YET && e->ended != -ENOBUFS) {
            return failed(t, e->ended);
        }
        if (!e->receiving) {
            if (e->ended == -ENOBUFS) {
                give_back(t);
            }
            receive(t, SERVER);
        }
        if (!turn(t)) {
            return false;
        }
    }
    t->holding = false;
    give_back(t);
    struct io_stats stats;
    io_stats(t->io, &stats);
    return stats.no_buffer > 0 || failed(t, 0);
}

static bool step_cancel(struct trial *t)
{
    struct end *e = &t->ends[CLIENT];
    if (!e->receiving) {
        receive(t, CLIENT);
    }
    io_cancel(t->io, e->sock, IO_RECEIVE);
    while (e->receiving) {
        if (!turn(t)) {
            return false;
        }
    }
    return e->ended == -ECANCELED || failed(t, e->ended);
}

/* What arrived at the client, read past io: it does not receive. Acknowledged at once, as the
 * system would do it 40 ms later, and the sender's socket is full until then. */
static uint64_t arrived(const struct trial *t)
{
    int fd = t->io->socks[t->ends[CLIENT].sock].fd;
    const int now = 1;
    ssize_t bytes = recv(fd, NULL, INT_MAX, MSG_TRUNC | MSG_DONTWAIT);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &now, sizeof now);
    return bytes > 0 ? (uint64_t)bytes : 0;
}

/* One short turn; the bytes of the send that was done in it, if one was. */
static uint64_t turn_sent(struct trial *t)
{
    struct end *e = &t->ends[SERVER];
    bool waits = e->sent == NOT_YET;
    struct io_completion done[COMPLETIONS];
    uint32_t count = io_reap(t->io, done, COMPLETIONS, io_now(t->io) + QUIET_NS);
    for (uint32_t i = 0; i < count; i++) {
        take(t, &done[i]);
    }
    return waits && e->sent != NOT_YET && e->sent > 0 ? (uint64_t)e->sent : 0;
}

/* Sends until the socket is full, then reads: what the kernel says that it took has to arrive. */
static bool step_full(struct trial *t)
{
    struct end *e = &t->ends[SERVER];
    struct io_span span = {.data = t->full, .size = FULL_BYTES};
    const int least = 1;
    (void)setsockopt(t->io->socks[e->sock].fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
    uint64_t sent = 0;
    uint64_t there = 0;
    do {
        e->sent = NOT_YET;
        io_send(t->io, e->sock, &span, 1, io_token(IO_SEND, 0, SERVER));
        sent += turn_sent(t);
    } while (e->sent == FULL_BYTES);
    uint64_t until_ns = io_now(t->io) + FULL_NS;
    while ((e->sent == NOT_YET || there < sent) && io_now(t->io) < until_ns) {
        there += arrived(t);
        sent += turn_sent(t);
    }
    if (e->sent < 0) {
        return failed(t, e->sent);
    }
    return !t->wrong && e->sent != NOT_YET && there + arrived(t) == sent;
}

static bool step_end(struct trial *t)
{
    struct end *e = &t->ends[CLIENT];
    receive(t, CLIENT);
    io_shutdown(t->io, t->ends[SERVER].sock, IO_SHUTDOWN_SEND);
    while (e->receiving) {
        if (!turn(t)) {
            return false;
        }
    }
    return e->ended == 0 || failed(t, e->ended);
}

/* When the kernel does its part may show in any step. */
#define WORK IO_FEATURE_DEFER_TASKRUN
/* Whatever has to do with receiving. */
#define RECEIVING (IO_FEATURE_MULTISHOT_RECEIVE | WORK)

static const struct {
    const char *name;
    uint32_t suspects;
    bool (*run)(struct trial *t);
} steps[] = {
    {"opening a ring", 0, step_open}, /* the backend names its failures */
    {"io_uring_register: ring descriptor", IO_FEATURE_RING_FD, step_ring_fd},
    {"io_uring wake", WORK, step_wake},
    {"io_uring wait until a deadline", WORK, step_wait},
    {"io_uring accept and its cancel", WORK, step_accept_cancel},
    {"io_uring connect and accept", WORK, step_connect},
    {"io_uring send and receive", RECEIVING, step_send},
    {"io_uring send of several spans", RECEIVING, step_spans},
    {"io_uring receive without a free buffer", RECEIVING, step_no_buffer},
    {"io_uring cancel of a receive", RECEIVING, step_cancel},
    {"io_uring send to a full socket", IO_FEATURE_QUICK_SEND, step_full},
    {"io_uring end of stream", RECEIVING, step_end},
};

/* ---------------------------------------------------------------------------- the trial's ending
 */

static bool busy(const struct trial *t)
{
    if (t->io->accepts_busy != 0) {
        return true;
    }
    for (int i = 0; i < ENDS; i++) {
        int sock = t->ends[i].sock;
        if (sock >= 0 && (t->io->socks[sock].flags & SOCK_IN_FLIGHT) != 0) {
            return true;
        }
    }
    return false;
}

/* Joins what is in flight. What the kernel never completes is struck off by force. */
static void join(struct trial *t)
{
    io_cancel_accepts(t->io);
    for (int i = 0; i < ENDS; i++) {
        if (t->ends[i].sock >= 0) {
            io_shutdown(t->io, t->ends[i].sock, IO_SHUTDOWN_BOTH);
            io_cancel(t->io, t->ends[i].sock, IO_CONNECT);
            io_cancel(t->io, t->ends[i].sock, IO_RECEIVE);
            io_cancel(t->io, t->ends[i].sock, IO_SEND);
        }
    }
    io_clock_read(t->io);
    t->deadline_ns = io_now(t->io) + JOIN_NS;
    while (busy(t) && io_now(t->io) < t->deadline_ns) {
        (void)turn(t);
    }
    t->io->accepts_busy = 0;
}

static void end_trial(struct trial *t)
{
    if (t->io != NULL) {
        t->holding = false;
        give_back(t);
        join(t);
        for (int i = 0; i < ENDS; i++) {
            if (t->ends[i].sock >= 0) {
                t->io->socks[t->ends[i].sock].flags = SOCK_OPEN;
                io_close(t->io, t->ends[i].sock, true);
            }
        }
        io_close_all(t->io);
    }
    if (t->listener.id >= 0) {
        io_listener_close(&io_backend_uring, NULL, &t->listener);
    }
    memory_release(t->buffers, BUFFER_COUNT * BUFFER_BYTES);
}

/* ---------------------------------------------------------------------------------------- running
 */

static bool begin_trial(struct trial *t, uint32_t features_off)
{
    *t = (struct trial){.listener.id = -1, .accepted = NOT_YET, .features_off = features_off};
    for (int i = 0; i < ENDS; i++) {
        t->ends[i] =
            (struct end){.sock = -1, .connected = NOT_YET, .sent = NOT_YET, .ended = NOT_YET};
    }
    for (uint32_t i = 0; i < STREAM_BYTES; i++) {
        t->stream[i] =
            (uint8_t)(i * 7 + i / 251); /* no run of it repeats within a buffer's length */
    }
    t->buffers = memory_reserve(BUFFER_COUNT * BUFFER_BYTES);
    if (t->buffers == NULL) {
        return failed(t, -ENOMEM);
    }
    struct berth_address loopback = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}};
    int result = io_listen(&io_backend_uring, NULL, &loopback, ENDS, &t->listener);
    if (result < 0) {
        t->listener.id = -1;
        return failed(t, result);
    }
    return true;
}

static void run(struct trial_result *result)
{
    struct trial t;
    if (!begin_trial(&t, result->features_off)) {
        result->failure = t.buffers == NULL ? "memory for the self-test" : "listen on 127.0.0.1";
    }
    for (size_t i = 0; result->failure == NULL && i < sizeof steps / sizeof steps[0]; i++) {
        if (!steps[i].run(&t)) {
            bool opening = t.io == NULL;
            result->failure = opening ? t.opening.step : steps[i].name;
            result->suspects = opening ? t.opening.suspects : steps[i].suspects;
        }
    }
    result->error = t.error;
    if (result->failure != NULL && t.error == 0 && !t.wrong && io_now(t.io) >= t.deadline_ns) {
        result->error = -ETIMEDOUT;
    }
    end_trial(&t);
}

/* --------------------------------------------------------------------------------- many rings */

struct rings {
    struct trial_result *result;
    uint32_t count;
    uint32_t receive_count;
};

static void *open_rings(void *argument)
{
    struct rings *rings = argument;
    uint8_t nowhere; /* where the buffers begin, of no bytes each */
    struct io_config config = {.socks_max = 1,
                               .receive_base = &nowhere,
                               .receive_count = rings->receive_count,
                               .features_off = rings->result->features_off};
    struct uring_fault fault;
    rings->result->error = uring_open_many(&config, rings->count, &fault);
    rings->result->failure = rings->result->error < 0 ? fault.step : NULL;
    return NULL;
}

/* ------------------------------------------------------------------------------- their threads */

static void *run_thread(void *argument)
{
    run(argument);
    return NULL;
}

/* On a thread of its own: the kernel takes the trial's ring apart some time later, in the thread
 * that made it, and that would interrupt whatever system call the program is in by then. */
static void apart(void *(*body)(void *argument), void *argument, struct trial_result *result)
{
    pthread_t thread;
    int error = thread_start(&thread, "berth-trial", body, argument);
    if (error != 0) {
        result->failure = "a thread for the self-test";
        result->error = -error;
        return;
    }
    pthread_join(thread, NULL);
}

void trial_run(uint32_t features_off, struct trial_result *result)
{
    *result = (struct trial_result){.features_off = features_off};
    apart(run_thread, result, result);
}

void trial_rings(uint32_t rings, uint32_t receive_count, struct trial_result *result)
{
    struct rings all = {.result = result, .count = rings, .receive_count = receive_count};
    apart(open_rings, &all, result);
}
