/* Dispatch: cuts frames off received bytes and hands them to the program, in batches.
 *
 * All frames of a run of bytes are decoded where they lie. Before a batch is handed over, room for
 * replies of about its own size is reserved in one slab, so that a handler that answers each
 * message finds it in one place and one send takes it. Dispatch stops, and the rest waits, when the
 * connection is blocked:
 *
 *   HIGH   more than send_high_bytes are queued: until less than send_low_bytes are
 *   SPACE  the pool has no room for replies: until it has
 *   AGAIN  the connection has had its share of this turn: until the next
 *   WINDOW, KEPT  too much is kept and not answered (keep.c): until some of it is
 *   PAUSED  the program wants none: until it does
 *
 * so that a message is handed over only when an answer of its size can be queued. The callback may
 * close this connection or any other; the state is looked at anew after each batch.
 *
 * O(bytes decoded); nothing is allocated, and no lock or atomic is touched, per message.
 */
#include "base/assert.h"
#include "core/core.h"

static bool share_used(struct berth_conn *conn)
{
    const struct worker *worker = conn->worker;
    if (conn->turn != (uint16_t)worker->turn) {
        conn->turn = (uint16_t)worker->turn;
        conn->turn_bytes = 0;
        conn->turn_messages = 0;
        return false;
    }
    const struct berth_config *config = &worker->server->config;
    return conn->turn_bytes >= config->turn_bytes || conn->turn_messages >= config->turn_messages;
}

/* Whether messages must wait; notes why, so that what ends the wait finds the connection. */
bool dispatch_blocked(struct berth_conn *conn)
{
    struct worker *worker = conn->worker;
    if ((conn->flags & CF_BLOCKED) != 0) {
        return true;
    }
    if (conn->out.bytes > worker->server->config.send_high_bytes) {
        conn->flags |= CF_BLOCKED_HIGH;
        worker->sends_awaited = true;
        STAT_ADD(worker, send_pauses, 1);
        RECORD(worker, conn, PAUSED, 0, BERTH_PAUSE_QUEUE);
        return true;
    }
    if (BERTH_UNLIKELY(keep_blocked(conn))) {
        return true;
    }
    if (share_used(conn)) {
        conn->flags |= CF_AGAIN;
        WATCH(worker, conn, PAUSED, 0, BERTH_PAUSE_SHARE);
        row_push(&worker->again, conn->slot.number);
        return true;
    }
    return false;
}

/* How long somebody may wait for pool space with nobody giving any back, before the connection
 * that holds most is closed: long enough for a send over a bad line, short enough to live with. */
#define SPACE_PATIENCE_MS 1000

void dispatch_patience_start(struct worker *worker)
{
    wheel_set(&worker->wheel, &worker->space_timer, worker->now_ns + SPACE_PATIENCE_MS * NS_PER_MS);
}

/* Makes the connection wait until the pool has room. */
void dispatch_block_for_space(struct berth_conn *conn)
{
    struct worker *worker = conn->worker;
    if (row_link_is_in(&conn->held)) {
        return; /* it waits already, and is looked at when that ends */
    }
    conn->flags |= CF_BLOCKED_SPACE;
    RECORD(worker, conn, PAUSED, 0, BERTH_PAUSE_POOL);
    row_push(&worker->short_of, conn->slot.number);
    deadline_reading(conn);
    if (!wheel_is_set(&worker->space_timer)) {
        dispatch_patience_start(worker);
    }
}

static void resume(struct berth_conn *conn)
{
    if ((conn->flags & CF_BLOCKED_SPACE) != 0) {
        RECORD(conn->worker, conn, RESUMED, 0, BERTH_PAUSE_POOL);
    }
    conn->flags &= ~(CF_AGAIN | CF_BLOCKED_SPACE);
    send_drained(conn);
    receive_resume(conn);
}

/* At the beginning of a turn: those that used up their share of the last one, and, if the pool has
 * room again, those that waited for it. Each once. */
void dispatch_resume_waiting(struct worker *worker)
{
    for (uint32_t left = worker->again.count; left > 0; left--) {
        resume(&worker->conns[row_take(&worker->again)]);
    }
    uint32_t left = worker->short_of.count;
    if (left == 0) {
        return;
    }
    for (; left > 0 && chain_can(&worker->pool, SLAB_SMALLEST); left--) {
        struct berth_conn *conn = &worker->conns[row_take(&worker->short_of)];
        resume(conn);
        if ((conn->flags & CF_BLOCKED_SPACE) == 0) {
            dispatch_patience_start(worker); /* one that waited was served: there is hope */
        }
    }
    if (worker->short_of.count == 0) {
        wheel_cancel(&worker->wheel, &worker->space_timer);
    }
}

/* Returns how many were handed over: all, unless the program wants no more for now. */
static uint32_t call(struct berth_conn *conn, uint32_t count)
{
    uint32_t handed = count;
    struct worker *worker = conn->worker;
    const struct berth_protocol *protocol = &conn->speaker->protocol;
    worker->batch_conn = conn;
    worker->batch_next = worker->batch;
    worker->batch_end = worker->batch + count;
    worker->batch_chain = keep_reply_chain(conn);
    run_begin(worker);
    if (protocol->on_messages != NULL) {
        protocol->on_messages(conn, worker->batch, count);
    } else if (protocol->on_message != NULL) {
        for (uint32_t i = 0; i < handed && (conn->flags & CF_CLOSE) == 0; i++) {
            protocol->on_message(conn, &worker->batch[i]);
            if (BERTH_UNLIKELY((conn->flags & CF_PAUSED) != 0)) {
                handed = i + 1;
            }
        }
    }
    run_end(worker);
    worker->batch_conn = NULL;
    return handed;
}

/* What was cut off the front of some bytes. */
struct batch {
    uint32_t messages; /* in worker.batch */
    size_t bytes;      /* that they cover */
    struct berth_frame frame;
    enum berth_frame_verdict verdict; /* on what comes behind them */
    uint32_t scanned;                 /* of that, as struct partial has it */
};

/* Room for replies of about the size of what they answer. */
static bool reserve(struct berth_conn *conn, const struct batch *batch)
{
    uint32_t bytes = (uint32_t)batch->bytes + batch->messages * REPLY_EXTRA;
    return chain_reserve(keep_reply_chain(conn), &conn->worker->pool, bytes) == 0;
}

/* Those that the program did not want are cut again when it does. */
static void take_back(struct berth_conn *conn, const uint8_t *bytes, uint32_t handed,
                      struct batch *batch)
{
    const struct berth_message *next = &conn->worker->batch[handed];
    STAT_ADD(conn->worker, messages_in, 0 - (uint64_t)(batch->messages - handed));
    batch->messages = handed;
    batch->bytes = (size_t)(next->data - next->header_bytes - bytes);
    batch->verdict = BERTH_FRAME_READY;
    batch->scanned = 0;
}

static void deliver(struct berth_conn *conn, const uint8_t *bytes, struct batch *batch)
{
    struct worker *worker = conn->worker;
    uint64_t queued = worker->messages_out - worker->others_out;
    uint32_t queued_bytes = conn->out.bytes;
    STAT_ADD(worker, messages_in, batch->messages);
    conn->turn_bytes += (uint32_t)batch->bytes;
    conn->turn_messages += batch->messages;
    if (WATCHES(worker, MESSAGE)) {
        watch_batch(conn, batch->messages);
    }
    RECORD(worker, conn, DELIVERED, batch->messages, batch->bytes);
    WATCH(worker, conn, THREAD, batch->messages, BERTH_CALLBACK_MESSAGES);
    deadline_messages_ended(conn);
    uint32_t handed = call(conn, batch->messages);
    if (BERTH_UNLIKELY(handed < batch->messages)) {
        take_back(conn, bytes, handed, batch);
    }
    if (conn->out.bytes > 0) {
        worker->warm += conn->out.bytes - queued_bytes;
        attend(conn);
    }
    queued = worker->messages_out - worker->others_out - queued;
    if (queued > 0) {
        WATCH(worker, conn, QUEUED, queued, conn->out.bytes - queued_bytes);
    }
}

/* Cuts a batch of at most `max` messages off the front. A frame that is larger than what a batch
 * looks at is cut alone. */
static void cut(struct berth_conn *conn, const uint8_t *bytes, size_t count, uint32_t max,
                size_t scanned, struct batch *batch)
{
    struct worker *worker = conn->worker;
    const struct berth_framing *framing = &conn->speaker->protocol.framing;
    size_t look = count < BATCH_BYTES ? count : BATCH_BYTES;
    size_t messages = berth_frame_cut(framing, bytes, look, &scanned, worker->batch, max,
                                      &batch->bytes, &batch->frame, &batch->verdict);
    if (messages == 0 && batch->verdict == BERTH_FRAME_NEED && look < count) {
        messages = berth_frame_cut(framing, bytes, count, &scanned, worker->batch, 1, &batch->bytes,
                                   &batch->frame, &batch->verdict);
    }
    batch->messages = (uint32_t)messages;
    batch->scanned = (uint32_t)scanned;
}

/* Cuts a batch and hands it over, or one message if there is room for the replies to one only.
 * false if that has to wait. */
static bool cut_and_deliver(struct berth_conn *conn, const uint8_t *bytes, size_t count,
                            struct partial *partial, struct batch *batch)
{
    struct worker *worker = conn->worker;
    uint32_t room = keep_room(conn);
    cut(conn, bytes, count, room < BATCH_MESSAGES ? room : BATCH_MESSAGES, partial->scanned, batch);
    if (batch->messages > 1 && !reserve(conn, batch)) {
        cut(conn, bytes, count, 1, partial->scanned, batch);
    }
    if (batch->messages > 0 && !reserve(conn, batch)) {
        dispatch_block_for_space(conn);
        return false;
    }
    if (batch->messages > 0) {
        deliver(conn, bytes, batch);
        chain_trim(worker->batch_chain, &worker->pool); /* a kept message may have taken it along */
    }
    partial->scanned = batch->scanned;
    return true;
}

/* Hands over the whole messages at the front of `bytes`, which it borrows, as long as nothing
 * blocks. Returns how many bytes are done with; all of them when the connection was closed.
 * `partial` is of the first frame, and afterwards of the first of those bytes that are left. */
size_t dispatch_bytes(struct berth_conn *conn, const uint8_t *bytes, size_t count,
                      struct partial *partial)
{
    size_t done = 0;
    while (done < count && !dispatch_blocked(conn)) {
        struct batch batch;
        if (!cut_and_deliver(conn, bytes + done, count - done, partial, &batch)) {
            return done;
        }
        done += batch.bytes;
        BERTH_ASSERT(conn->state == CONN_OPEN); /* a callback can only ask for the close */
        if ((conn->flags & CF_CLOSE) != 0) {
            return count;
        }
        if (batch.verdict == BERTH_FRAME_BAD) {
            close_refused(conn, &batch.frame);
            return count;
        }
        if (batch.verdict == BERTH_FRAME_NEED && (batch.messages == 0 || done == count)) {
            partial->need = batch.frame.need_bytes;
            if (WATCHES(conn->worker, MESSAGE_PARTIAL) && done < count) {
                watch_partial(conn, bytes + done, count - done, partial->need);
            }
            break;
        }
    }
    return done;
}
