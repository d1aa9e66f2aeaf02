/* The fault-injecting backend: an io whose kernel is another io, and a plan of faults.
 *
 * Operations: those of io.h. Starting one starts its like on the inner io, cut short or not at all
 * if the plan says so. A reap hands out what is known already, reaps the inner io, notes what that
 * brought, and hands out again. Nothing is lost on the way: what does not fit into the caller's
 * array, or finds no receive buffer, waits with its socket for the next reap.
 *
 * Sockets: one of ours is one of the inner io's, whose number struct io_sock calls fd, or none: a
 * connect that the plan refuses never gets there. Our operation on a socket is over only when the
 * inner one is, so that a close may follow (law 5).
 *
 * Bytes are received into the inner io's own buffers and copied into ours, in as many pieces as it
 * takes. Each inner receive is for one buffer, and the next begins when the last was handed out, so
 * a socket holds one inner buffer at most. There is one for each socket (up to the most that an io
 * has), so none of them waits for another that nobody reads. A returned buffer of ours is
 * overwritten at once, so that a caller that reads it too late sees it.
 *
 * The io owns the inner io, its buffers, and a struct beside each socket, all made at open. An
 * operation costs O(1) beside the inner io's and the copy; a reap, O(completions).
 */
#include "io/fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/memory.h"
#include "io/backend.h"

/* Inner receives bring no more than a page: small enough for one a socket. */
#define INNER_BYTES 4096
/* The most buffers that an io may have (io.h). */
#define INNER_BUFFERS_MAX 32768

/* Completions of the inner io that are fetched at once; the rest wait there. */
#define INNER_BATCH 64

/* For how many turns a cancel is held back: loopback needs one or two. */
#define LATE_TURNS 3

/* What a returned buffer is overwritten with. */
#define RETURNED_BYTE 0xdb

/* fault_sock.flags */
#define FAULT_RESULT   0x01u /* `result` of the send or the connect is to be handed out */
#define FAULT_KILLS    0x02u /* ... and it ends the connection */
#define FAULT_ENDED    0x04u /* the inner receive has ended with `end` */
#define FAULT_DEAD     0x08u /* an error has ended the connection */
#define FAULT_CANCEL   0x10u /* our receive was cancelled */
#define FAULT_NATURAL  0x20u /* ... and bytes that are there come all the same */
#define FAULT_LATE_IN  0x40u /* the cancel of our receive or connect is held back */
#define FAULT_LATE_OUT 0x80u /* the cancel of our send is */

/* Beside each struct io_sock. */
struct fault_sock {
    struct link ready; /* in fault_io.ready: something is to be handed out, or looked at */
    struct link late;  /* in fault_io.late: a cancel is held back */
    uint64_t late_turn;
    const uint8_t *bytes; /* received and not handed out; in the inner buffer `lease` */
    uint32_t bytes_count;
    uint16_t lease;
    uint16_t flags;
    int32_t end;
    int32_t result;
};

struct fault_io {
    struct io io;
    struct io *inner;
    struct fault_dice dice;
    uint8_t *block; /* the inner io's receive buffers */
    size_t block_bytes;
    struct fault_sock *socks; /* socks_max of them */
    uint16_t *leases_free;    /* a stack of our free receive buffers */
    uint32_t leases_count;
    uint32_t *leases_bytes; /* how much of each was used */
    bool dry;               /* the caller held all of them when this reap began */
    bool gave_nothing;      /* the last reap: two in vain in a row are against the rule (io.h) */
    bool cut;               /* a send since the last reap was, so it must not be late */
    struct list ready;
    struct list late;
    uint64_t turn;
    uint64_t accepts_late_turn; /* when the cancel of the accepts is passed on; 0: none is */
    uint8_t accepts_ready;      /* a bit for each accept whose result is to be handed out */
    uint8_t accept_listeners[IO_ACCEPTS_MAX];
    int32_t accept_results[IO_ACCEPTS_MAX]; /* an inner socket, or a negative errno */
    struct io_completion batch[INNER_BATCH];
};

static struct fault_io *self(struct io *io)
{
    return (struct fault_io *)io;
}

struct io *fault_inner(struct io *io)
{
    return self(io)->inner;
}

int fault_inner_sock(const struct io *io, int sock)
{
    return io->socks[sock].fd;
}

static void make_ready(struct fault_io *f, uint32_t sock)
{
    if (!link_is_in(&f->socks[sock].ready)) {
        list_push(&f->ready, &f->socks[sock].ready);
    }
}

static uint64_t token_of(const struct fault_io *f, enum io_op op, uint32_t sock)
{
    return io_token(op, f->io.socks[sock].generation, sock);
}

/* Whether the inner io is at work on it. */
static bool inner_flies(const struct fault_io *f, uint32_t sock, enum io_op op)
{
    int inner = f->io.socks[sock].fd;
    return inner >= 0 && io_in_flight(f->inner, inner, op);
}

/* ------------------------------------------------------------------------------- open and close */

static void free_parts(struct fault_io *f)
{
    memory_release(f->block, f->block_bytes);
    free(f->socks);
    free(f->leases_free);
    free(f->leases_bytes);
}

static int open_inner(struct fault_io *f, const struct fault_setup *setup)
{
    const struct io_config *ours = &f->io.config;
    struct io_config config = *ours;
    config.world = setup->world;
    config.receive_bytes = ours->receive_bytes < INNER_BYTES ? ours->receive_bytes : INNER_BYTES;
    config.receive_count = 1;
    while (config.receive_count < ours->socks_max && config.receive_count < INNER_BUFFERS_MAX) {
        config.receive_count *= 2;
    }
    f->block_bytes = (size_t)config.receive_count * config.receive_bytes;
    f->block = memory_reserve(f->block_bytes);
    if (f->block == NULL) {
        return -ENOMEM;
    }
    config.receive_base = f->block;
    return io_open(setup->inner, &config, &f->inner);
}

static int open_io(struct io *io)
{
    struct fault_io *f = self(io);
    struct fault_setup *setup = io->config.world;
    BERTH_ASSERT(setup != NULL && setup->inner != NULL);
    f->socks = calloc(io->config.socks_max, sizeof *f->socks);
    f->leases_free = calloc(io->config.receive_count, sizeof *f->leases_free);
    f->leases_bytes = calloc(io->config.receive_count, sizeof *f->leases_bytes);
    bool memory = f->socks != NULL && f->leases_free != NULL && f->leases_bytes != NULL;
    int result = memory ? open_inner(f, setup) : -ENOMEM;
    if (result < 0) {
        free_parts(f);
        return result;
    }
    while (f->leases_count < io->config.receive_count) { /* number 0 on top */
        f->leases_free[f->leases_count] =
            (uint16_t)(io->config.receive_count - 1 - f->leases_count);
        f->leases_count++;
    }
    list_init(&f->ready);
    list_init(&f->late);
    fault_dice_init(&f->dice, &setup->plan, &setup->counts, setup->seed,
                    atomic_fetch_add(&setup->ios, 1));
    io_random_seed(io, io_random(f->inner));
    io->now_ns = io_now(f->inner);
    return 0;
}

static void close_io(struct io *io)
{
    struct fault_io *f = self(io);
    io_close_all(f->inner);
    free_parts(f);
}

/* -------------------------------------------------------------------------------------- accepts */

static void accept_done(struct fault_io *f, uint32_t accept, int32_t result)
{
    f->accept_results[accept] = result;
    f->accepts_ready |= (uint8_t)(1u << accept);
}

static void pass_on_accepts_cancel(struct fault_io *f)
{
    f->accepts_late_turn = 0;
    io_cancel_accepts(f->inner);
}

static void start_accept(struct io *io, uint32_t accept)
{
    struct fault_io *f = self(io);
    if (f->accepts_late_turn != 0) {
        pass_on_accepts_cancel(f); /* it was not meant for this one */
    }
    int error = fault_dice_error(&f->dice, IO_ACCEPT, FAULT_AT_START, io->now_ns);
    if (error != 0) {
        accept_done(f, accept, -error);
    } else {
        io_accept(f->inner, io_token(IO_ACCEPT, 0, accept));
    }
}

static void cancel_accepts(struct io *io)
{
    struct fault_io *f = self(io);
    if (f->accepts_late_turn != 0) {
        return;
    }
    if (fault_dice_chance(&f->dice, f->dice.plan->cancel_late)) {
        f->accepts_late_turn = f->turn + LATE_TURNS;
        fault_count(&f->dice.counts->cancels_late);
    } else {
        pass_on_accepts_cancel(f);
    }
}

/* Hands out one accept's result; a client becomes a socket of ours, or goes. */
static void give_accept(struct fault_io *f, uint32_t accept)
{
    struct io *io = &f->io;
    int32_t inner = f->accept_results[accept];
    f->accepts_ready &= (uint8_t) ~(1u << accept);
    if (inner >= 0 && f->accepts_late_turn != 0) {
        fault_count(&f->dice.counts->cancels_lost);
    }
    if (inner < 0) {
        io_complete_accept(io, accept, inner, 0);
        return;
    }
    int error = fault_dice_error(&f->dice, IO_ACCEPT, FAULT_AT_RESULT, io->now_ns);
    uint32_t sock = SOCK_NONE;
    if (error == 0) {
        fault_dice_pass(&f->dice, IO_ACCEPT);
        sock = io_sock_open(io, inner);
    }
    if (sock != SOCK_NONE) {
        f->socks[sock] = (struct fault_sock){.flags = 0};
        io_complete_accept(io, accept, (int32_t)sock, f->accept_listeners[accept]);
    } else {
        io_close(f->inner, inner, true);
        io_complete_accept(io, accept, error != 0 ? -error : -ENFILE, 0);
    }
}

/* ---------------------------------------------------------------------- the end of a connection */

static void drop_bytes(struct fault_io *f, uint32_t sock)
{
    struct fault_sock *s = &f->socks[sock];
    if (s->bytes_count > 0) {
        s->bytes_count = 0;
        io_lease_return(f->inner, s->lease);
    }
}

/* An error has ended the connection: the inner one is ended too, and its operations with it. */
static void end_connection(struct fault_io *f, uint32_t sock)
{
    struct fault_sock *s = &f->socks[sock];
    s->flags |= FAULT_DEAD;
    fault_count(&f->dice.counts->connections_ended);
    drop_bytes(f, sock);
    io_shutdown(f->inner, f->io.socks[sock].fd, IO_SHUTDOWN_BOTH);
}

static void shut_down(struct io *io, uint32_t sock, enum io_shutdown how)
{
    struct fault_io *f = self(io);
    if (io->socks[sock].fd >= 0) {
        io_shutdown(f->inner, io->socks[sock].fd, how);
    }
}

static void close_sock(struct io *io, uint32_t sock, bool reset)
{
    struct fault_io *f = self(io);
    struct fault_sock *s = &f->socks[sock];
    /* The system would reset a socket that is closed with bytes unread; it gave us these. */
    bool resets = reset || s->bytes_count > 0 || (s->flags & FAULT_DEAD) != 0;
    drop_bytes(f, sock);
    if (link_is_in(&s->ready)) {
        list_remove(&f->ready, &s->ready);
    }
    BERTH_ASSERT(!link_is_in(&s->late)); /* what it would cancel is over */
    if (io->socks[sock].fd >= 0) {
        io_close(f->inner, io->socks[sock].fd, resets);
    }
}

/* ------------------------------------------------------------------------------ connect and send
 */

static int start_connect(struct io *io, const struct berth_address *remote,
                         const struct berth_address *local)
{
    struct fault_io *f = self(io);
    int error = fault_dice_error(&f->dice, IO_CONNECT, FAULT_AT_START, io->now_ns);
    if (error != 0) {
        return -error;
    }
    uint32_t sock = io_sock_open(io, -1);
    if (sock == SOCK_NONE) {
        return -ENFILE;
    }
    f->socks[sock] = (struct fault_sock){.flags = 0};
    error = fault_dice_error(&f->dice, IO_CONNECT, FAULT_AT_RESULT, io->now_ns);
    if (error != 0) {
        f->socks[sock].result = -error;
        f->socks[sock].flags = FAULT_RESULT;
        make_ready(f, sock);
        return (int)sock;
    }
    fault_dice_pass(&f->dice, IO_CONNECT);
    int inner = io_connect(f->inner, remote, local, token_of(f, IO_CONNECT, sock));
    if (inner < 0) {
        io_sock_free(io, sock);
        return inner;
    }
    io->socks[sock].fd = inner;
    return (int)sock;
}

/* Copies of the spans, cut to as many bytes as the plan lets go. Returns how many spans are left.
 */
static uint32_t cut_spans(struct fault_io *f, struct io_span *cut, const struct io_span *spans,
                          uint32_t count)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t space = UINT32_MAX - total; /* the result is one number; law 6 */
        total += spans[i].size < space ? spans[i].size : space;
    }
    uint32_t most = f->dice.plan->send_most;
    most = most == 0 || most > total ? total : most;
    if (fault_dice_chance(&f->dice, f->dice.plan->short_send)) {
        most = fault_dice_part(&f->dice, most);
    }
    if (most < total) {
        fault_count(&f->dice.counts->sends_cut);
        f->cut = true;
    }
    uint32_t used = 0;
    while (used < count && most > 0) {
        cut[used] = spans[used];
        cut[used].size = cut[used].size < most ? cut[used].size : most;
        most -= cut[used].size;
        used++;
    }
    return used;
}

static void start_send(struct io *io, uint32_t sock, const struct io_span *spans, uint32_t count)
{
    struct fault_io *f = self(io);
    struct fault_sock *s = &f->socks[sock];
    int error = EPIPE; /* what the system says of a connection that is over, or never was */
    bool over = (s->flags & FAULT_DEAD) != 0 || io->socks[sock].fd < 0;
    if (!over) {
        error = fault_dice_error(&f->dice, IO_SEND, FAULT_AT_RESULT, io->now_ns);
        s->flags |= error != 0 && fault_error_ends(error) ? FAULT_KILLS : 0;
    }
    if (error != 0) {
        s->result = -error;
        s->flags |= FAULT_RESULT;
        make_ready(f, sock);
        return;
    }
    fault_dice_pass(&f->dice, IO_SEND);
    struct io_span cut[IO_SPANS_MAX];
    uint32_t left = cut_spans(f, cut, spans, count);
    io_send(f->inner, io->socks[sock].fd, cut, left, token_of(f, IO_SEND, sock));
}

/* -------------------------------------------------------------------------------------- cancels */

static void cancel_receive(struct fault_io *f, uint32_t sock)
{
    f->socks[sock].flags |= FAULT_CANCEL;
    if (inner_flies(f, sock, IO_RECEIVE)) {
        io_cancel(f->inner, f->io.socks[sock].fd, IO_RECEIVE);
    } else {
        make_ready(f, sock);
    }
}

static void pass_on_cancels(struct fault_io *f, uint32_t sock)
{
    struct fault_sock *s = &f->socks[sock];
    uint16_t late = s->flags & (FAULT_LATE_IN | FAULT_LATE_OUT);
    list_remove(&f->late, &s->late);
    s->flags &= (uint16_t)~late;
    if ((late & FAULT_LATE_OUT) != 0) {
        io_cancel(f->inner, f->io.socks[sock].fd, IO_SEND);
    }
    if ((late & FAULT_LATE_IN) != 0 && (f->io.socks[sock].flags & SOCK_CONNECT) != 0) {
        io_cancel(f->inner, f->io.socks[sock].fd, IO_CONNECT);
    } else if ((late & FAULT_LATE_IN) != 0) {
        cancel_receive(f, sock);
    }
}

static void cancel(struct io *io, uint32_t sock, enum io_op op)
{
    struct fault_io *f = self(io);
    struct fault_sock *s = &f->socks[sock];
    uint16_t late = op == IO_SEND ? FAULT_LATE_OUT : FAULT_LATE_IN;
    bool known = op == IO_RECEIVE ? (s->flags & FAULT_CANCEL) != 0 : (s->flags & FAULT_RESULT) != 0;
    if (known || (s->flags & late) != 0) {
        return; /* it ends already, or will */
    }
    if (fault_dice_chance(&f->dice, f->dice.plan->cancel_late)) {
        fault_count(&f->dice.counts->cancels_late);
        s->flags |= op == IO_RECEIVE ? late | FAULT_NATURAL : late;
        if (!link_is_in(&s->late)) {
            s->late_turn = f->turn + LATE_TURNS;
            list_push(&f->late, &s->late);
        }
    } else if (op == IO_RECEIVE) {
        cancel_receive(f, sock);
    } else {
        io_cancel(f->inner, io->socks[sock].fd, op);
    }
}

/* An operation is over: its cancel, if one is held back, has come too late. */
static void forget_late(struct fault_io *f, uint32_t sock, uint16_t late)
{
    struct fault_sock *s = &f->socks[sock];
    if ((s->flags & late) == 0) {
        return;
    }
    fault_count(&f->dice.counts->cancels_lost);
    s->flags &= (uint16_t)~late;
    if ((s->flags & (FAULT_LATE_IN | FAULT_LATE_OUT)) == 0) {
        list_remove(&f->late, &s->late);
    }
}

/* Those held back long enough. */
static void pass_on_late(struct fault_io *f)
{
    if (f->accepts_late_turn != 0 && f->accepts_late_turn <= f->turn) {
        pass_on_accepts_cancel(f);
    }
    while (f->late.count > 0) {
        struct fault_sock *s = LIST_ENTRY(f->late.ring.next, struct fault_sock, late);
        if (s->late_turn > f->turn) {
            return;
        }
        pass_on_cancels(f, (uint32_t)(s - f->socks));
    }
}

/* -------------------------------------------------------------------------------------- receive */

static void start_receive(struct io *io, uint32_t sock)
{
    struct fault_io *f = self(io);
    struct fault_sock *s = &f->socks[sock];
    if (io->socks[sock].fd < 0) {
        s->flags |= FAULT_ENDED;
        s->end = -EIO; /* not connected: no listed error says so */
    }
    make_ready(f, sock); /* bytes may be there; if not, the next reap asks for some */
}

/* Our receive has ended, one way or the other. */
static void receive_over(struct fault_io *f, uint32_t sock)
{
    forget_late(f, sock, FAULT_LATE_IN);
    f->socks[sock].flags &= (uint16_t) ~(FAULT_CANCEL | FAULT_NATURAL);
}

static void end_receive(struct fault_io *f, uint32_t sock, int32_t result)
{
    receive_over(f, sock);
    io_complete_receive_end(&f->io, sock, result);
}

/* How many of the waiting bytes the next piece has. */
static uint32_t piece_bytes(struct fault_io *f, const struct fault_sock *s)
{
    uint32_t could = s->bytes_count;
    could = could < f->io.config.receive_bytes ? could : f->io.config.receive_bytes;
    uint32_t most = f->dice.plan->receive_most;
    uint32_t count = most == 0 || could < most ? could : most;
    if (fault_dice_chance(&f->dice, f->dice.plan->split)) {
        count = fault_dice_part(&f->dice, count);
    }
    if (count < could) {
        fault_count(&f->dice.counts->receives_cut);
    }
    return count;
}

/* Hands out a piece of the waiting bytes; there is a buffer for it. */
static void give_piece(struct fault_io *f, uint32_t sock)
{
    struct io *io = &f->io;
    struct fault_sock *s = &f->socks[sock];
    uint32_t count = piece_bytes(f, s);
    uint16_t lease = f->leases_free[--f->leases_count];
    f->leases_bytes[lease] = count;
    memcpy(io_lease_data(io, lease), s->bytes, count);
    s->bytes += count;
    s->bytes_count -= count;
    if (s->bytes_count == 0) {
        io_lease_return(f->inner, s->lease);
    }
    bool cancelled = (s->flags & FAULT_CANCEL) != 0;
    bool drops = fault_dice_chance(&f->dice, f->dice.plan->drop_more);
    if (cancelled) {
        fault_count(&f->dice.counts->cancels_lost);
    } else if (drops) {
        fault_count(&f->dice.counts->receives_over);
    }
    io_complete_bytes(io, sock, lease, count, !cancelled && !drops);
    if ((io->socks[sock].flags & SOCK_RECEIVE) == 0) {
        receive_over(f, sock);
    } else {
        make_ready(f, sock);
    }
}

/* What comes instead of the waiting bytes, or they. */
static void give_bytes(struct fault_io *f, uint32_t sock)
{
    const struct fault_sock *s = &f->socks[sock];
    if ((s->flags & (FAULT_CANCEL | FAULT_NATURAL)) == FAULT_CANCEL) {
        end_receive(f, sock, -ECANCELED);
        return;
    }
    if (f->leases_count == 0) {
        end_receive(f, sock, -ENOBUFS);
        return;
    }
    int error = fault_dice_error(&f->dice, IO_RECEIVE, FAULT_AT_RESULT, f->io.now_ns);
    if (error == 0) {
        fault_dice_pass(&f->dice, IO_RECEIVE);
        give_piece(f, sock);
        return;
    }
    if (fault_error_ends(error)) {
        end_connection(f, sock);
    }
    end_receive(f, sock, -error);
}

/* The next step of our receive, if there is one to make. */
static void step_receive(struct fault_io *f, uint32_t sock)
{
    struct fault_sock *s = &f->socks[sock];
    if ((f->io.socks[sock].flags & SOCK_RECEIVE) == 0 || inner_flies(f, sock, IO_RECEIVE)) {
        return;
    }
    if ((s->flags & FAULT_DEAD) != 0) {
        end_receive(f, sock, 0);
    } else if (s->bytes_count > 0) {
        give_bytes(f, sock);
    } else if ((s->flags & FAULT_ENDED) != 0) {
        s->flags &= (uint16_t)~FAULT_ENDED;
        end_receive(f, sock, s->end);
    } else if ((s->flags & FAULT_CANCEL) != 0) {
        end_receive(f, sock, -ECANCELED);
    } else {
        io_receive_once(f->inner, f->io.socks[sock].fd, token_of(f, IO_RECEIVE, sock));
    }
}

static void lease_return(struct io *io, uint16_t lease)
{
    struct fault_io *f = self(io);
    memset(io_lease_data(io, lease), RETURNED_BYTE, f->leases_bytes[lease]);
    f->leases_free[f->leases_count++] = lease;
}

/* ----------------------------------------------------------------------------------------- reap */

/* Hands out the result of a connect or a send. */
static void give_result(struct fault_io *f, uint32_t sock)
{
    struct fault_sock *s = &f->socks[sock];
    bool kills = (s->flags & FAULT_KILLS) != 0;
    s->flags &= (uint16_t) ~(FAULT_RESULT | FAULT_KILLS);
    if ((f->io.socks[sock].flags & SOCK_CONNECT) != 0) {
        forget_late(f, sock, FAULT_LATE_IN);
        io_complete_connect(&f->io, sock, s->result);
        return;
    }
    forget_late(f, sock, FAULT_LATE_OUT);
    io_complete_send(&f->io, sock, s->result);
    if (kills) {
        end_connection(f, sock);
    }
    make_ready(f, sock); /* its receive may have something too: that it is over, for one */
}

/* This reap gave out the last free buffer: the caller will return some before the next. */
static bool must_wait_for_buffer(const struct fault_io *f, uint32_t sock)
{
    const struct fault_sock *s = &f->socks[sock];
    return f->leases_count == 0 && !f->dry && s->bytes_count > 0 &&
           (s->flags & (FAULT_RESULT | FAULT_CANCEL)) == 0;
}

/* Hands out what is known, as far as there is room: a completion for each socket in turn. */
static void give(struct fault_io *f)
{
    while (f->accepts_ready != 0 && io_room(&f->io)) {
        give_accept(f, (uint32_t)__builtin_ctz(f->accepts_ready));
    }
    while (f->ready.count > 0 && io_room(&f->io)) {
        struct fault_sock *s = LIST_ENTRY(list_take(&f->ready), struct fault_sock, ready);
        uint32_t sock = (uint32_t)(s - f->socks);
        if (must_wait_for_buffer(f, sock)) {
            list_push_front(&f->ready, &s->ready);
            return;
        }
        if ((s->flags & FAULT_RESULT) != 0) {
            give_result(f, sock);
        } else {
            step_receive(f, sock);
        }
    }
}

static void note_receive(struct fault_io *f, uint32_t sock, const struct io_completion *done)
{
    struct fault_sock *s = &f->socks[sock];
    if ((done->flags & IO_LEASE) == 0) {
        /* A cancel that we asked for is ours to answer: step_receive does. */
        if (done->result != -ECANCELED || (s->flags & FAULT_CANCEL) == 0) {
            s->flags |= FAULT_ENDED;
            s->end = done->result;
        }
        return;
    }
    if ((s->flags & FAULT_DEAD) != 0) {
        io_lease_return(f->inner, done->lease);
        return;
    }
    BERTH_ASSERT(s->bytes_count == 0);
    s->bytes = done->data;
    s->bytes_count = (uint32_t)done->result;
    s->lease = done->lease;
}

/* Keeps what the inner io brought, with its socket or its accept. */
static void note(struct fault_io *f, const struct io_completion *done)
{
    uint32_t place = io_token_slot(done->token);
    switch (io_token_op(done->token)) {
    case IO_ACCEPT:
        f->accept_listeners[place] = done->listener;
        accept_done(f, place, done->result);
        return;
    case IO_CONNECT:
    case IO_SEND:
        f->socks[place].result = done->result;
        f->socks[place].flags |= FAULT_RESULT;
        break;
    case IO_RECEIVE:
        note_receive(f, place, done);
        break;
    }
    BERTH_ASSERT(io_token_generation(done->token) == f->io.socks[place].generation);
    make_ready(f, place);
}

static void copy_stats(struct fault_io *f)
{
    struct io_stats inner;
    io_stats(f->inner, &inner);
    f->io.stats.enters = inner.enters;
    f->io.stats.stale = inner.stale;
    f->io.stats.overflows = inner.overflows;
}

static bool has_work(const struct fault_io *f)
{
    return f->ready.count > 0 || f->accepts_ready != 0 || f->late.count > 0 ||
           f->accepts_late_turn != 0;
}

static void flush(struct io *io)
{
    io_flush(self(io)->inner);
}

static void reap(struct io *io, uint64_t deadline_ns)
{
    struct fault_io *f = self(io);
    f->turn++;
    f->dry = f->leases_count == 0;
    bool empty = fault_dice_chance(&f->dice, f->dice.plan->spurious) && !f->gave_nothing;
    pass_on_late(f);
    if (empty) {
        fault_count(&f->dice.counts->reaps_empty);
    } else {
        give(f);
    }
    bool waits = !empty && io->out_count == 0 && !has_work(f);
    io_sends_may_be_late(f->inner, io->sends_late && !f->cut);
    uint32_t count = io_reap(f->inner, f->batch, INNER_BATCH, waits ? deadline_ns : 0);
    io->now_ns = io_now(f->inner);
    f->cut = false;
    for (uint32_t i = 0; i < count; i++) {
        note(f, &f->batch[i]);
    }
    if (!empty) {
        give(f);
    }
    f->gave_nothing = io->out_count == 0;
    copy_stats(f);
}

static void wake(struct io *io)
{
    io_wake(self(io)->inner);
}

/* ---------------------------------------------------------------------------- what is passed on */

static bool name_of(struct io *io, uint32_t sock, bool peer, struct berth_address *out)
{
    struct fault_io *f = self(io);
    int inner = io->socks[sock].fd;
    if (inner < 0) {
        return false;
    }
    return peer ? io_peer(f->inner, inner, out) : io_local(f->inner, inner, out);
}

static int listen_on(void *world, const struct berth_address *address, int backlog,
                     struct io_listener *out)
{
    const struct fault_setup *setup = world;
    return io_listen(setup->inner, setup->world, address, backlog, out);
}

static void listener_close(void *world, struct io_listener *listener)
{
    const struct fault_setup *setup = world;
    io_listener_close(setup->inner, setup->world, listener);
}

static void listener_halt(void *world, struct io_listener *listener)
{
    const struct fault_setup *setup = world;
    io_listener_halt(setup->inner, setup->world, listener);
}

static int listener_resume(void *world, struct io_listener *listener)
{
    const struct fault_setup *setup = world;
    return io_listener_resume(setup->inner, setup->world, listener);
}

const struct io_backend io_backend_fault = {
    .ops =
        {
            .name = "fault",
            .listen = listen_on,
            .listener_close = listener_close,
            .listener_halt = listener_halt,
            .listener_resume = listener_resume,
            .struct_bytes = sizeof(struct fault_io),
            .open = open_io,
            .close = close_io,
            .accept = start_accept,
            .cancel_accepts = cancel_accepts,
            .connect = start_connect,
            .receive = start_receive,
            .send = start_send,
            .cancel = cancel,
            .shutdown = shut_down,
            .sock_close = close_sock,
            .name_of = name_of,
            .lease_return = lease_return,
            .flush = flush,
            .reap = reap,
            .wake = wake,
        },
};
