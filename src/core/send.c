/* Sending: replies and messages into the connection's chain, and the one send that empties it.
 *
 * A reply is written where it will be sent from: header, then the program's bytes, in a slab of the
 * chain. Nothing is sent at that moment; the connection is put on the worker's list, and at the end
 * of the turn one send takes all that was queued (the largest effect on speed there is); or before,
 * when the replies of a turn are so many bytes that they would be out of the cache by then. What
 * the system took of it is dropped when the send completes, the rest follows, always one send in
 * flight. Below the low mark a blocked connection goes on.
 *
 * Most replies are of one batch, one behind the other, and fit into the room that dispatch reserved
 * for them: a run. In a run a reply is its header and a pointer moved on; whatever else puts
 * something into the chain ends the run first.
 *
 * A queued message costs O(its bytes) to copy and O(1) beside; a send O(slabs).
 */
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "core/core.h"

/* ------------------------------------------------------------------------------------- queueing */

/* In front of a message in a run: the length alone. */
#define RUN_HEADER_BYTES 4u

static void *refuse(int *err, int code)
{
    if (err != NULL) {
        *err = code;
    }
    return NULL;
}

static void *exceeded(struct berth_conn *conn, int *err)
{
    conn->flags |= CF_EXCEEDED;
    conn->worker->sends_awaited = true;
    return refuse(err, BERTH_E_WOULD_EXCEED);
}

/* The pool has no piece. With something queued, a send's completion will say that there is room. */
static void *pool_short(struct berth_conn *conn, int *err)
{
    if (conn->out.bytes == 0) {
        dispatch_block_for_space(conn);
    }
    return exceeded(conn, err);
}

/* The batch's next replies go into what is left of the last slab, as far as the queue may grow: not
 * behind kept messages, whose replies are counted one by one, and not in a framing that has more
 * than four bytes in front. */
void run_begin(struct worker *worker)
{
    struct berth_conn *conn = worker->batch_conn;
    struct slab *slab = conn->out.last;
    BERTH_ASSERT(worker->run.conn == NULL);
    if (worker->batch_chain != &conn->out || slab == NULL || slab->outside ||
        conn->speaker->fast == FAST_NONE || (conn->flags & CF_CLOSE) != 0) {
        return;
    }
    uint32_t most = worker->server->config.send_max_bytes;
    BERTH_ASSERT(conn->out.bytes <= most); /* else nothing would have been handed over */
    uint32_t left = slab->size - slab->used;
    uint32_t allowed = most - conn->out.bytes;
    uint8_t *at = slab_bytes(slab) + slab->used;
    worker->run = (struct run){conn, at, at + (left < allowed ? left : allowed)};
}

/* What a run of this connection has written, and its queue does not count yet. */
uint32_t run_bytes(const struct berth_conn *conn)
{
    const struct run *run = &conn->worker->run;
    struct slab *slab = conn->out.last;
    return run->conn != conn ? 0 : (uint32_t)(run->at - (slab_bytes(slab) + slab->used));
}

/* What was written counts as queued. O(1), also when there is no run. */
void run_end(struct worker *worker)
{
    struct berth_conn *conn = worker->run.conn;
    if (conn != NULL) {
        uint32_t bytes = run_bytes(conn);
        conn->out.last->used += bytes;
        conn->out.bytes += bytes;
        worker->run.conn = NULL;
    }
}

/* Room for one framed message of `size` bytes in a chain of the connection, header and delimiter
 * written; but for the last `outside` bytes, which the caller queues. */
static void *frame_space(struct berth_conn *conn, struct chain *chain, size_t size, size_t outside,
                         int *err)
{
    struct worker *worker = conn->worker;
    const struct speaker *speaker = conn->speaker;
    const struct berth_framing *framing = &speaker->protocol.framing;
    uint8_t header[BERTH_HEADER_BYTES_MAX];
    uint32_t header_bytes = RUN_HEADER_BYTES;
    uint32_t trailer_bytes = 0;
    if (BERTH_UNLIKELY(size > BERTH_MESSAGE_BYTES_LIMIT)) {
        return refuse(err, BERTH_E_TOO_LARGE);
    }
    if (BERTH_UNLIKELY(speaker->fast == FAST_NONE)) {
        int result = berth_frame_header(framing, (uint32_t)size, header);
        if (result < 0) {
            return refuse(err, result);
        }
        header_bytes = (uint32_t)result;
        trailer_bytes = framing->kind == BERTH_FRAMING_DELIMITER ? framing->delimiter_bytes : 0;
    }
    uint32_t bytes = header_bytes + (uint32_t)size + trailer_bytes;
    uint32_t most = worker->server->config.send_max_bytes;
    if (BERTH_UNLIKELY(bytes > most || bytes + SLAB_HEAD > POOL_SHARE(worker->pool.bytes))) {
        return refuse(err, BERTH_E_TOO_LARGE);
    }
    uint64_t waits = chain == &conn->out ? 0 : chain->bytes; /* for an earlier reply */
    if (BERTH_UNLIKELY(conn->out.bytes + waits > most - bytes)) {
        return exceeded(conn, err);
    }
    if (BERTH_UNLIKELY(bytes == 0)) {
        return refuse(err, BERTH_E_FRAME); /* nothing would be on the wire */
    }
    uint8_t *at = chain_space(chain, &worker->pool, bytes - (uint32_t)outside);
    if (BERTH_UNLIKELY(at == NULL)) {
        return pool_short(conn, err);
    }
    if (speaker->fast != FAST_NONE) {
        store32(at, (uint32_t)size, speaker->fast == FAST_BIG_32);
    } else {
        memcpy(at, header, header_bytes);
        memcpy(at + header_bytes + size, framing->delimiter, trailer_bytes);
    }
    return at + header_bytes;
}

static bool may_send(const struct berth_conn *conn)
{
    return conn->state == CONN_OPEN && (conn->flags & CF_CLOSE) == 0;
}

/* A message that is no reply has been queued. */
static void sent_one(struct berth_conn *conn, size_t size)
{
    conn->worker->messages_out++;
    if (conn->worker->batch_conn != conn) {
        attend(conn); /* inside its own batch, dispatch does it once */
        conn->worker->others_out++;
        WATCH(conn->worker, conn, QUEUED, 1, size);
    }
}

void *berth_send_space(struct berth_conn *conn, size_t size, int *err)
{
    if (BERTH_UNLIKELY(!may_send(conn))) {
        return refuse(err, BERTH_E_CLOSED);
    }
    BERTH_ASSERT(worker_current() == conn->worker);
    run_end(conn->worker);
    void *at = frame_space(conn, &conn->out, size, 0, err);
    if (at != NULL) {
        sent_one(conn, size);
    }
    return at;
}

/* Whether the message can be answered now: BERTH_OK, or why not. */
static int may_reply(const struct berth_conn *conn, const struct berth_message *message)
{
    const struct worker *worker = conn->worker;
    if (!may_send(conn)) {
        return BERTH_E_CLOSED;
    }
    bool current =
        worker->batch_conn == conn && message >= worker->batch_next && message < worker->batch_end;
    return current ? BERTH_OK : BERTH_E_STATE;
}

/* A reply has been queued, alone, in a chain that had so many bytes before. What comes behind it
 * may be in a run again. */
static void replied(struct berth_conn *conn, const struct berth_message *message, uint32_t before)
{
    struct worker *worker = conn->worker;
    worker->batch_next = message + 1;
    worker->messages_out++;
    if (worker->batch_chain != &conn->out) {
        keep_reply_queued(conn, worker->batch_chain->bytes - before);
    }
    run_begin(worker);
}

/* A reply that is not in a run: the first of its batch, or one for which the reserved room is too
 * small. */
BERTH_COLD static void *reply_alone(struct berth_conn *conn, const struct berth_message *message,
                                    size_t size, int *err)
{
    struct worker *worker = conn->worker;
    int may = may_reply(conn, message);
    if (may != BERTH_OK) {
        return refuse(err, may);
    }
    run_end(worker);
    struct chain *chain = worker->batch_chain;
    uint32_t before = chain->bytes;
    void *at = frame_space(conn, chain, size, 0, err);
    if (at != NULL) {
        replied(conn, message, before);
    }
    return at;
}

void *berth_reply_space(struct berth_conn *conn, const struct berth_message *message, size_t size,
                        int *err)
{
    struct worker *worker = conn->worker;
    struct run *run = &worker->run;
    size_t room = (size_t)(run->end - run->at);
    if (BERTH_UNLIKELY(run->conn != conn || message < worker->batch_next ||
                       message >= worker->batch_end || size > room ||
                       room - size < RUN_HEADER_BYTES)) {
        return reply_alone(conn, message, size, err);
    }
    uint8_t *at = run->at;
    store32(at, (uint32_t)size, conn->speaker->fast == FAST_BIG_32);
    run->at = at + RUN_HEADER_BYTES + size;
    worker->batch_next = message + 1;
    worker->messages_out++;
    return at + RUN_HEADER_BYTES;
}

/* --------------------------------------------------------------------------- messages in pieces */

/* The bytes of all pieces, or one more than a message can have. */
static size_t bytes_of(const struct berth_piece *pieces, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].size > BERTH_MESSAGE_BYTES_LIMIT - bytes) {
            return (size_t)BERTH_MESSAGE_BYTES_LIMIT + 1;
        }
        bytes += pieces[i].size;
    }
    return bytes;
}

static void gather(uint8_t *to, const struct berth_piece *pieces, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].size > 0) {
            memcpy(to, pieces[i].data, pieces[i].size);
            to += pieces[i].size;
        }
    }
}

/* A message that holds its own delimiter would arrive as two. */
static int check_delimiter(const struct berth_conn *conn, const void *data, size_t size)
{
    const struct berth_framing *framing = &conn->speaker->protocol.framing;
    if (framing->kind != BERTH_FRAMING_DELIMITER || size > BERTH_MESSAGE_BYTES_LIMIT) {
        return BERTH_OK; /* too large is found where the room is made */
    }
    return berth_frame_message_check(framing, data, (uint32_t)size);
}

/* Queues them as a message in the chain; the last stays where it is if it is `lent`, which this
 * takes. */
static int queue_pieces(struct berth_conn *conn, struct chain *chain,
                        const struct berth_piece *pieces, size_t count, struct lent *lent)
{
    const struct berth_piece *last = &pieces[count - 1];
    size_t bytes = bytes_of(pieces, count);
    int err;
    BERTH_ASSERT(worker_current() == conn->worker);
    run_end(conn->worker);
    uint8_t *at = frame_space(conn, chain, bytes, lent != NULL ? last->size : 0, &err);
    if (at == NULL) {
        if (lent != NULL) {
            lend_drop(lent);
        }
        return err;
    }
    gather(at, pieces, lent != NULL ? count - 1 : count);
    if (lent != NULL) {
        lend_queue(conn, lent, last);
        return BERTH_OK;
    }
    err = check_delimiter(conn, at, bytes); /* here, where it is whole */
    if (err != BERTH_OK) {
        chain_unspace(chain, (uint32_t)bytes + conn->speaker->protocol.framing.delimiter_bytes);
    }
    return err;
}

static bool is_delimited(const struct berth_conn *conn)
{
    return conn->speaker->protocol.framing.kind == BERTH_FRAMING_DELIMITER;
}

int berth_send_pieces(struct berth_conn *conn, const struct berth_piece *pieces, size_t count)
{
    BERTH_ASSERT(count > 0);
    if (!may_send(conn)) {
        return BERTH_E_CLOSED;
    }
    /* In its own batch it would take the room that is reserved for replies. */
    struct lent *lent =
        conn == conn->worker->batch_conn ? NULL : lend_take(conn, &conn->out, &pieces[count - 1]);
    int err = BERTH_OK;
    if (lent == NULL && !is_delimited(conn)) {
        uint8_t *at = berth_send_space(conn, bytes_of(pieces, count), &err);
        if (at != NULL) {
            gather(at, pieces, count);
        }
        return err;
    }
    err = queue_pieces(conn, &conn->out, pieces, count, lent);
    if (err == BERTH_OK) {
        sent_one(conn, bytes_of(pieces, count));
    }
    return err;
}

int berth_reply_pieces(struct berth_conn *conn, const struct berth_message *message,
                       const struct berth_piece *pieces, size_t count)
{
    BERTH_ASSERT(count > 0);
    int err = may_reply(conn, message);
    if (err != BERTH_OK) {
        return err;
    }
    struct chain *chain = conn->worker->batch_chain;
    /* Those behind it need what is left of the reserved room, which a reference would cut off. */
    bool last = message + 1 == conn->worker->batch_end;
    struct lent *lent = last ? lend_take(conn, chain, &pieces[count - 1]) : NULL;
    if (lent == NULL && !is_delimited(conn)) {
        uint8_t *at = berth_reply_space(conn, message, bytes_of(pieces, count), &err);
        if (at != NULL) {
            gather(at, pieces, count);
        }
        return err;
    }
    uint32_t before = chain->bytes;
    err = queue_pieces(conn, chain, pieces, count, lent);
    if (err == BERTH_OK) {
        replied(conn, message, before);
    }
    return err;
}

int berth_send(struct berth_conn *conn, const void *data, size_t size)
{
    if (size >= conn->worker->server->lend_bytes) {
        return berth_send_pieces(conn, &(struct berth_piece){data, size}, 1);
    }
    int err = check_delimiter(conn, data, size);
    void *at = err == BERTH_OK ? berth_send_space(conn, size, &err) : NULL;
    if (at == NULL) {
        return err;
    }
    if (size > 0) {
        memcpy(at, data, size);
    }
    return BERTH_OK;
}

int berth_reply(struct berth_conn *conn, const struct berth_message *message, const void *data,
                size_t size)
{
    if (size >= conn->worker->server->lend_bytes) {
        return berth_reply_pieces(conn, message, &(struct berth_piece){data, size}, 1);
    }
    int err = check_delimiter(conn, data, size);
    void *at = err == BERTH_OK ? berth_reply_space(conn, message, size, &err) : NULL;
    if (at == NULL) {
        return err;
    }
    if (size > 0) {
        memcpy(at, data, size);
    }
    return BERTH_OK;
}

/* -------------------------------------------------------------------------------------- sending */

_Static_assert(sizeof(struct chain_span) == sizeof(struct io_span),
               "one is handed on as the other");

/* Whether something goes on when this send of so many bytes is done. */
static bool is_awaited(const struct berth_conn *conn, uint64_t bytes)
{
    const uint32_t waits = CF_BLOCKED | CF_CLOSE | CF_STOP | CF_INPUT_ENDED | CF_EXCEEDED;
    return conn->state != CONN_OPEN || (conn->flags & waits) != 0 || conn->out.bytes > bytes ||
           conn->members != NULL;
}

/* Starts a send of what is queued, if there is something and none is in flight. */
void send_flush(struct berth_conn *conn)
{
    struct worker *worker = conn->worker;
    BERTH_ASSERT((conn->flags & CF_GONE) == 0); /* else it would be JOINING */
    if (conn->out.bytes == 0) {
        return;
    }
    if ((conn->flags & CF_SENDING) != 0) {
        worker->sends_awaited = true;
        return;
    }
    conn->flags |= CF_SENDING;
    struct chain_span queued[IO_SPANS_MAX];
    struct io_span spans[IO_SPANS_MAX];
    uint32_t count =
        chain_spans(&conn->out, queued, IO_SPANS_MAX, worker->server->config.send_bytes);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        spans[i] = (struct io_span){.data = queued[i].data, .size = queued[i].size};
        bytes += queued[i].size;
    }
    worker->sends_awaited |= is_awaited(conn, bytes);
    worker->sends_turn++;
    STAT_ADD(worker, sends, 1);
    WATCH(worker, conn, SEND_STARTED, count, bytes);
    io_send(worker->io, conn->sock, spans, count, conn_token(conn, IO_SEND));
    deadline_send_started(conn);
}

/* In the middle of a turn: sends what has been queued in it since the last time, and leaves all
 * else of the connections to its end. (Whether a send is in flight must not be asked of io here:
 * its completion may stand further down in this turn's array.) */
void send_early(struct worker *worker)
{
    uint32_t at =
        worker->early == 0 ? worker->attend.first : row_behind(&worker->attend, worker->early);
    for (; at != ROW_END; at = row_behind(&worker->attend, at)) {
        struct berth_conn *conn = &worker->conns[at - 1];
        worker->early = at;
        if (conn->state == CONN_OPEN) {
            send_flush(conn);
        }
    }
    worker->warm = 0;
    io_flush(worker->io);
}

void send_completed(struct berth_conn *conn, int32_t result)
{
    struct worker *worker = conn->worker;
    conn->flags &= ~CF_SENDING;
    if (result < 0) {
        close_failed(conn, result);
        return;
    }
    STAT_ADD(worker, bytes_out, result);
    deadline_sent(conn);
    chain_sent(&conn->out, &worker->pool, (uint32_t)result);
    WATCH(worker, conn, SENT, conn->out.bytes, result);
    if (conn->state == CONN_JOINING) {
        attend(conn);
        return; /* what is left is dropped when the connection ends */
    }
    if (conn->state == CONN_DRAINING) {
        close_progress(conn);
    }
    if (BERTH_UNLIKELY(conn->members != NULL)) {
        deliver_drained(conn);
    }
    if (conn->out.bytes > 0 || conn->state == CONN_DRAINING) {
        attend(conn);
    }
    if ((conn->flags & (CF_BLOCKED_HIGH | CF_EXCEEDED)) != 0 &&
        conn->out.bytes <= worker->server->config.send_low_bytes) {
        if ((conn->flags & CF_BLOCKED_HIGH) != 0) {
            RECORD(worker, conn, RESUMED, 0, BERTH_PAUSE_QUEUE);
        }
        conn->flags &= ~CF_BLOCKED_HIGH;
        send_drained(conn);
        receive_resume(conn);
    }
}

/* Tells a program that was refused room that there is some again. */
void send_drained(struct berth_conn *conn)
{
    if ((conn->flags & CF_EXCEEDED) == 0 || conn->state != CONN_OPEN ||
        conn->out.bytes > conn->worker->server->config.send_low_bytes) {
        return;
    }
    conn->flags &= ~CF_EXCEEDED;
    remote_told(conn); /* one on_drained speaks for all that was refused before */
    RECORD(conn->worker, conn, DRAINED, 0, 0);
    if (conn->speaker->protocol.on_drained != NULL && (conn->flags & CF_CLOSE) == 0) {
        WATCH(conn->worker, conn, THREAD, 0, BERTH_CALLBACK_DRAINED);
        conn->speaker->protocol.on_drained(conn);
    }
    attend(conn); /* its end may have waited for this */
}
