/* Received bytes: from a lease to dispatch, and when to receive at all.
 *
 * Bytes are worked on where the system put them. Only what cannot be handed over yet is copied: the
 * beginning of a frame whose rest has not come, or whole frames while the connection is blocked
 * (dispatch.c says when). The copy is a piece of the worker's pool that doubles as bytes arrive,
 * so a declared length never allocates. The lease goes back before this returns, unless large
 * pieces of it are sent from there (lend.c).
 *
 * Receiving stops, by a cancel, while a blocked connection holds more than one receive's worth of
 * input, and starts again when it holds less. One that waits for kept messages to be answered is
 * not read ahead at all: how long that takes is the program's, and thousands of them would fill the
 * pool. A receive that found no buffer is parked, first
 * come first served, and started again when buffers are free, no more than there are, each for one.
 *
 * O(bytes) for what is copied, else O(1) beside dispatch.
 */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "core/core.h"

/* ----------------------------------------------------------------------------------- the copy */

void input_drop(struct berth_conn *conn)
{
    if (conn->input != NULL) {
        pool_give(&conn->worker->pool, conn->input);
        conn->input = NULL;
    }
}

static uint8_t *input_at(struct input *input)
{
    return (uint8_t *)(input + 1) + input->start;
}

/* A piece of the pool with room for so many bytes, within the share of it that input may have. */
static struct input *input_piece(struct pool *pool, size_t bytes)
{
    size_t inputs = pool->used - pool->chains;
    size_t wanted = sizeof(struct input) + bytes;
    size_t got = 0;
    struct input *input =
        inputs + wanted <= POOL_SHARE(pool->bytes) ? pool_take(pool, wanted, &got) : NULL;
    if (input != NULL) {
        *input = (struct input){.size = (uint32_t)(got - sizeof *input)};
    }
    return input;
}

/* Room for `count` more bytes behind what is held. false when memory is out, with the connection
 * closed; others that held more may have been closed to avoid that. */
static bool input_grow(struct berth_conn *conn, uint32_t count)
{
    struct worker *worker = conn->worker;
    struct input *held = conn->input;
    if (held != NULL && held->start > 0) {
        memmove(held + 1, input_at(held), held->bytes);
        held->start = 0;
        if (held->size - held->bytes >= count) {
            return true;
        }
    }
    size_t wanted = (size_t)input_bytes(conn) + count;
    struct input *piece = input_piece(&worker->pool, wanted);
    while (piece == NULL) {
        close_largest_input(conn); /* frees at least one piece, or closes this connection */
        if (conn->state != CONN_OPEN) {
            return false;
        }
        piece = input_piece(&worker->pool, wanted);
    }
    if (held != NULL) {
        piece->bytes = held->bytes;
        piece->partial = held->partial;
        memcpy(piece + 1, held + 1, held->bytes);
        pool_give(&worker->pool, held);
    }
    conn->input = piece;
    return true;
}

static bool input_append(struct berth_conn *conn, const uint8_t *bytes, uint32_t count)
{
    const struct input *held = conn->input;
    bool fits = held != NULL && held->size - (held->start + held->bytes) >= count;
    if (!fits && !input_grow(conn, count)) {
        return false;
    }
    memcpy(input_at(conn->input) + conn->input->bytes, bytes, count);
    conn->input->bytes += count;
    STAT_ADD(conn->worker, bytes_copied_in, count);
    return true;
}

/* Hands over what can be of the bytes held. */
static void input_dispatch(struct berth_conn *conn)
{
    struct input *input = conn->input;
    struct partial partial = input->partial;
    size_t used = dispatch_bytes(conn, input_at(input), input->bytes, &partial);
    if (conn->state != CONN_OPEN) {
        return; /* closed meanwhile, and the input dropped */
    }
    input->partial = partial;
    input->start += (uint32_t)used;
    input->bytes -= (uint32_t)used;
    if (input->bytes == 0) {
        input_drop(conn);
    }
}

/* -------------------------------------------------------------------------------- bytes arrive */

/* The end of the frame that is held in part, as far as it is known, else all of it. */
static uint32_t bytes_for_frame(const struct berth_conn *conn, uint32_t count)
{
    enum berth_framing_kind kind = conn->speaker->protocol.framing.kind;
    bool exact = kind != BERTH_FRAMING_DELIMITER && kind != BERTH_FRAMING_CUSTOM;
    if (!exact) {
        return count;
    }
    /* What is held and not blocked was looked at, and its frame goes on. */
    const struct input *held = conn->input;
    BERTH_ASSERT(held->partial.need > held->bytes);
    uint32_t missing = held->partial.need - held->bytes;
    return missing < count ? missing : count;
}

static void bytes_arrived(struct berth_conn *conn, const uint8_t *bytes, uint32_t count)
{
    while (count > 0 && conn->state == CONN_OPEN && (conn->flags & CF_CLOSE) == 0) {
        uint32_t used;
        if (dispatch_blocked(conn)) {
            used = count;
            (void)input_append(conn, bytes, used);
        } else if (input_bytes(conn) == 0) {
            struct partial partial = {0};
            used = (uint32_t)dispatch_bytes(conn, bytes, count, &partial);
            if (used < count) { /* then it was not closed */
                if (input_append(conn, bytes + used, count - used)) {
                    conn->input->partial = partial;
                }
                used = count;
            }
        } else {
            used = bytes_for_frame(conn, count);
            if (input_append(conn, bytes, used)) {
                input_dispatch(conn);
            }
        }
        bytes += used;
        count -= used;
    }
}

/* A blocked connection may go on: hands over what it holds, and receives again. */
void receive_resume(struct berth_conn *conn)
{
    if (conn->state == CONN_OPEN && input_bytes(conn) > 0 && (conn->flags & CF_CLOSE) == 0 &&
        !dispatch_blocked(conn)) {
        input_dispatch(conn);
        deadline_partial(conn);
    }
    receive_update(conn);
    attend(conn);
}

/* ----------------------------------------------------------------------------- when to receive */

static bool wants_receive(const struct berth_conn *conn)
{
    if ((conn->flags & CF_INPUT_ENDED) != 0) {
        return false;
    }
    if (conn->state != CONN_OPEN) { /* dropped: unread bytes would turn the close into a reset */
        return conn->state != CONN_JOINING;
    }
    return (conn->flags & CF_STOP) == 0 &&
           ((conn->flags & CF_BLOCKED) == 0 ||
            ((conn->flags & (CF_BLOCKED_WINDOW | CF_BLOCKED_KEPT)) == 0 &&
             input_bytes(conn) < conn->worker->server->config.receive_bytes));
}

/* Starts or stops the receive so that it fits the connection's state. Whether one is in flight is
 * kept here and not asked of io: what completes further down in this turn's array is over for io
 * already, and still to come for us. While others wait for a receive buffer, so does this
 * connection, behind them. O(1); cheap to call. */
void receive_update(struct berth_conn *conn)
{
    struct worker *worker = conn->worker;
    BERTH_ASSERT(conn->state >= CONN_OPEN);
    bool wants = wants_receive(conn);
    bool flies = (conn->flags & CF_RECEIVING) != 0;
    bool parked = row_link_is_in(&conn->parked);
    if (wants && !flies && !parked) {
        if (worker->parked.count > 0) {
            row_push(&worker->parked, conn->slot.number);
        } else {
            conn->flags = (conn->flags & ~CF_BROUGHT) | CF_RECEIVING;
            WATCH(worker, conn, RECEIVE_STARTED, 0, 0);
            io_receive(worker->io, conn->sock, conn_token(conn, IO_RECEIVE));
        }
    } else if (!wants && flies && (conn->flags & CF_CANCELLING) == 0) {
        conn->flags |= CF_CANCELLING;
        io_cancel(worker->io, conn->sock, IO_RECEIVE);
    } else if (!wants && parked) {
        row_remove(&worker->parked, conn->slot.number);
    }
    deadline_reading(conn);
}

/* Those that wait for a receive buffer, each for one: if a first took what it can get, the others
 * would have waited for nothing. Half as many as there are buffers, for others receive too. */
void receive_rearm_parked(struct worker *worker)
{
    uint32_t free = (io_leases_free(worker->io) + 1) / 2;
    for (; free > 0 && worker->parked.count > 0; free--) {
        struct berth_conn *conn = &worker->conns[row_take(&worker->parked)];
        conn->flags = (conn->flags & ~CF_BROUGHT) | CF_RECEIVING;
        WATCH(worker, conn, RESUMED, 0, BERTH_PAUSE_BUFFERS);
        WATCH(worker, conn, RECEIVE_STARTED, 0, 0);
        io_receive_once(worker->io, conn->sock, conn_token(conn, IO_RECEIVE));
        deadline_reading(conn);
    }
}

/* Waits for a buffer: behind the others if it has had one since it was started, else in front of
 * them, where it came from. */
static void park(struct berth_conn *conn)
{
    if (!wants_receive(conn)) {
        return;
    }
    if ((conn->flags & CF_BROUGHT) != 0) {
        row_push(&conn->worker->parked, conn->slot.number);
    } else {
        row_push_front(&conn->worker->parked, conn->slot.number);
    }
}

static void receive_ended(struct berth_conn *conn, int32_t result)
{
    switch (-result) {
    case 0:
        conn->flags |= CF_INPUT_ENDED;
        RECORD(conn->worker, conn, PEER_ENDED, 0, 0);
        attend(conn);
        break;
    case ENOBUFS:
        STAT_ADD(conn->worker, receive_parks, 1);
        WATCH(conn->worker, conn, PAUSED, 0, BERTH_PAUSE_BUFFERS);
        park(conn);
        break;
    case ECANCELED:
        attend(conn);
        break;
    default:
        close_failed(conn, result);
        break;
    }
}

void receive_completed(struct berth_conn *conn, const struct io_completion *done)
{
    struct worker *worker = conn->worker;
    if ((done->flags & IO_MORE) == 0) {
        conn->flags &= ~(CF_RECEIVING | CF_CANCELLING);
    }
    if (done->result > 0) {
        conn->flags |= CF_BROUGHT;
        STAT_ADD(worker, bytes_in, done->result);
        STAT_ADD(worker, receives, 1);
        WATCH(worker, conn, RECEIVED, 0, done->result);
        deadline_received(conn);
        lend_begin(worker, done);
        bytes_arrived(conn, done->data, (uint32_t)done->result);
        deadline_partial(conn);
        lend_end(worker);
        if ((done->flags & IO_MORE) != 0 && (conn->flags & CF_BLOCKED) == 0) {
            return; /* the ordinary case: nothing to start or stop */
        }
    } else {
        receive_ended(conn, done->result);
    }
    if (conn->state == CONN_JOINING || (conn->flags & CF_STOP) != 0) {
        attend(conn);
    }
    receive_update(conn);
}
