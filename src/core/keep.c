/* Kept messages: beyond their callback, answered or released later, from any thread.
 *
 * A kept message is one piece of the worker's pool that holds a copy of the message and the room
 * for its reply, so that a reply needs no memory and cannot fail; framed where it lies, the piece
 * itself is lent to the connection's chain, and goes back to the pool when it is sent. From keep to
 * the reply or release it belongs to the program; those post its letter to the worker, and from
 * then on it is the worker's.
 *
 * Replies leave in the order of their messages. Each connection has a window, a ring of the kept
 * messages that have no answer yet, oldest first. A reply to a later message waits in the chain of
 * the newest kept one; when the oldest is answered or released, its reply and what waited behind it
 * move to the connection's own chain, O(1) each. The window counts messages and bytes; when it has
 * window_messages or more than window_bytes, nothing more is handed over until some are answered.
 * All connections of a worker together, replies behind included, may hold KEPT_SHARE of its pool,
 * beyond which they wait for each other; both are soft by one batch, what is kept up to KEPT_MOST.
 *
 * A connection that ends leaves its kept messages to the program, which still has to let go of
 * them. O(1) each, beside the copy.
 */
#include <string.h>

#include "base/assert.h"
#include "core/core.h"

/* Of a worker's pool. The rest is for replies and for messages in parts, which must go on for kept
 * messages to be answered at all. */
#define KEPT_SHARE(bytes) ((bytes) / 4)

/* What the last batch may go beyond that: the eighth between this and POOL_SHARE is for messages in
 * parts alone, or connections would be closed for want of it while the program is slow. */
#define KEPT_MOST(bytes) ((bytes) / 8 * 3)

/* What one connection's window may hold at the very most, so that this, send_max_bytes and
 * post_bytes together can be counted in 32 bits. */
#define WINDOW_MOST (UINT32_C(1) << 30)

struct kept {
    struct berth_kept open; /* what the program sees */
    struct slab_ref ref;    /* the reply, once it is queued */
    struct mail mail;
    struct worker *worker;
    const struct speaker *speaker;
    struct kept *next;   /* in the window: the next newer one; of the newest, the oldest */
    struct chain behind; /* replies to later messages */
    uint8_t *frame;      /* of the reply */
    uint32_t frame_bytes;
    uint32_t piece_bytes;
    uint32_t behind_count; /* replies in `behind` */
    uint32_t behind_held;  /* of the pool by them, as far as the worker has counted it */
    bool in_window;        /* its message is unanswered, and its connection lives */
    bool ended;            /* the program has let go of it */
};

/* ------------------------------------------------------------------------------------ the window
 */

static struct kept *oldest(const struct berth_conn *conn)
{
    return conn->window_last == NULL ? NULL : conn->window_last->next;
}

static void window_push(struct berth_conn *conn, struct kept *kept)
{
    if (conn->window_last == NULL) {
        kept->next = kept;
    } else {
        kept->next = conn->window_last->next;
        conn->window_last->next = kept;
    }
    conn->window_last = kept;
    conn->window_count++;
    conn->window_bytes += kept->piece_bytes;
    kept->in_window = true;
}

static void window_pop(struct berth_conn *conn)
{
    struct kept *first = oldest(conn);
    BERTH_ASSERT(first != NULL);
    if (first->next == first) {
        conn->window_last = NULL;
    } else {
        conn->window_last->next = first->next;
    }
    conn->window_count = (uint16_t)(conn->window_count - 1 - first->behind_count);
    conn->window_bytes -= first->piece_bytes + first->behind.bytes;
    conn->worker->behind_bytes -= first->behind_held;
    first->in_window = false;
}

/* Where a reply goes now: to the wire, or behind a message that is not answered yet. */
struct chain *keep_reply_chain(struct berth_conn *conn)
{
    return conn->window_last == NULL ? &conn->out : &conn->window_last->behind;
}

/* A reply was written to keep_reply_chain, where it waits. */
void keep_reply_queued(struct berth_conn *conn, uint32_t bytes)
{
    struct kept *last = conn->window_last;
    BERTH_ASSERT(last != NULL);
    conn->worker->behind_bytes -= last->behind_held; /* a reservation may be gone meanwhile */
    conn->worker->behind_bytes += last->behind.held;
    last->behind_held = last->behind.held;
    last->behind_count++;
    conn->window_count++;
    conn->window_bytes += bytes;
}

/* How many more messages the window takes. */
uint32_t keep_room(const struct berth_conn *conn)
{
    uint32_t most = conn->worker->server->config.window_messages;
    return most > conn->window_count ? most - conn->window_count : 0;
}

static bool window_full(const struct berth_conn *conn)
{
    return keep_room(conn) == 0 || conn->window_bytes > conn->worker->server->config.window_bytes;
}

static bool worker_full(const struct worker *worker)
{
    return worker->kept_bytes + worker->behind_bytes > KEPT_SHARE(worker->pool.bytes);
}

/* Of the pool, by replies that wait for an answer. O(messages kept). */
uint64_t keep_behind_bytes(const struct berth_conn *conn)
{
    uint64_t bytes = 0;
    const struct kept *kept = conn->window_last;
    while (kept != NULL) {
        bytes += kept->behind.held;
        kept = kept->next == conn->window_last ? NULL : kept->next;
    }
    return bytes;
}

/* Whether messages must wait because too much is kept; notes why. */
bool keep_blocked(struct berth_conn *conn)
{
    struct worker *worker = conn->worker;
    if (BERTH_LIKELY(worker->kept_bytes == 0)) { /* then nothing waits behind it either */
        return false;
    }
    if (window_full(conn)) {
        conn->flags |= CF_BLOCKED_WINDOW;
        STAT_ADD(worker, window_pauses, 1);
        RECORD(worker, conn, PAUSED, 0, BERTH_PAUSE_WINDOW);
        return true;
    }
    if (worker_full(worker)) {
        conn->flags |= CF_BLOCKED_KEPT;
        RECORD(worker, conn, PAUSED, 0, BERTH_PAUSE_KEPT);
        row_push(&worker->kept_full, conn->slot.number);
        return true;
    }
    return false;
}

/* Whether somebody waits for others to be answered, and need not any more. */
bool keep_may_resume(const struct worker *worker)
{
    return worker->kept_full.count > 0 && !worker_full(worker);
}

void keep_resume_waiting(struct worker *worker)
{
    while (keep_may_resume(worker)) {
        struct berth_conn *conn = &worker->conns[row_take(&worker->kept_full)];
        conn->flags &= ~CF_BLOCKED_KEPT;
        RECORD(worker, conn, RESUMED, 0, BERTH_PAUSE_KEPT);
        conn_again(conn);
    }
}

/* ------------------------------------------------------------------------------------------ keep
 */

static struct berth_kept *refuse(int *err, int code)
{
    if (err != NULL) {
        *err = code;
    }
    return NULL;
}

/* A piece for what is kept and `bytes` behind it. What it takes is known when it is there. */
static struct kept *take(struct berth_conn *conn, size_t bytes)
{
    struct worker *worker = conn->worker;
    struct pool *pool = &worker->pool;
    size_t got = 0;
    struct kept *kept = pool_take(pool, sizeof *kept + bytes, &got);
    if (kept == NULL) {
        return NULL;
    }
    if (worker->kept_bytes + got > KEPT_MOST(pool->bytes) ||
        conn->window_bytes + (uint64_t)got > WINDOW_MOST ||
        pool->used - pool->chains > POOL_SHARE(pool->bytes)) {
        pool_give(pool, kept);
        return NULL;
    }
    *kept = (struct kept){.worker = worker, .speaker = conn->speaker, .piece_bytes = (uint32_t)got};
    kept->mail.kind = MAIL_KEPT;
    worker->kept_bytes += got;
    return kept;
}

static void give(struct kept *kept)
{
    struct worker *worker = kept->worker;
    worker->kept_bytes -= kept->piece_bytes;
    pool_give(&worker->pool, kept);
}

/* Replies to the rest of the batch will wait behind this message: the room that dispatch reserved
 * for them goes with it, or other room, if some of that is used. */
static bool reserve_behind(struct worker *worker, struct kept *kept,
                           const struct berth_message *message)
{
    const struct berth_message *last = worker->batch_end - 1;
    size_t rest = (size_t)(last - message);
    if (rest == 0) {
        chain_trim(worker->batch_chain, &worker->pool);
        return true;
    }
    size_t bytes = (size_t)(last->data + last->size - (message->data + message->size));
    chain_pass(worker->batch_chain, &kept->behind);
    if (chain_reserve(&kept->behind, &worker->pool, (uint32_t)(bytes + rest * REPLY_EXTRA)) == 0) {
        return true;
    }
    chain_pass(&kept->behind, worker->batch_chain);
    return false;
}

struct berth_kept *berth_keep(struct berth_conn *conn, const struct berth_message *message,
                              size_t reply_bytes, int *err)
{
    struct worker *worker = conn->worker;
    BERTH_ASSERT(worker_current() == worker);
    if (conn->state != CONN_OPEN || (conn->flags & CF_CLOSE) != 0) {
        return refuse(err, BERTH_E_CLOSED);
    }
    if (worker->batch_conn != conn || message < worker->batch || message >= worker->batch_end) {
        return refuse(err, BERTH_E_STATE);
    }
    size_t header = conn->speaker->fast != FAST_NONE ? 4 : BERTH_HEADER_BYTES_MAX;
    size_t bytes = header + BERTH_DELIMITER_BYTES_MAX + message->size;
    if (reply_bytes > BERTH_MESSAGE_BYTES_LIMIT ||
        sizeof(struct kept) + bytes + reply_bytes > KEPT_SHARE(worker->pool.bytes)) {
        return refuse(err, BERTH_E_TOO_LARGE);
    }
    run_end(worker);
    bool ended = message < worker->batch_next; /* answered already, and only looked at later */
    struct kept *kept = take(conn, bytes + reply_bytes);
    if (kept != NULL && !ended && !reserve_behind(worker, kept, message)) {
        give(kept);
        kept = NULL;
    }
    if (kept == NULL) {
        conn->flags |= CF_EXCEEDED;
        dispatch_block_for_space(conn);
        return refuse(err, BERTH_E_WOULD_EXCEED);
    }
    uint8_t *reply = (uint8_t *)kept + sizeof *kept + header;
    uint8_t *data = reply + reply_bytes + BERTH_DELIMITER_BYTES_MAX;
    if (message->size > 0) {
        memcpy(data, message->data, message->size);
    }
    kept->open = (struct berth_kept){
        .message = {.data = data, .size = message->size},
        .conn = berth_conn_handle(conn),
        .reply = reply,
        .reply_bytes = (uint32_t)reply_bytes,
    };
    if (!ended) {
        worker->batch_next = message + 1;
        window_push(conn, kept);
        worker->batch_chain = &kept->behind;
    }
    STAT_ADD(worker, messages_kept, 1);
    WATCH(worker, conn, KEPT, 1, message->size);
    return &kept->open;
}

/* ----------------------------------------------------------------------- letting go, any thread */

/* Hands it to its worker. Nothing of it may be touched after. */
static int let_go(struct kept *kept)
{
    bool live = remote_is_live(kept->worker, kept->open.conn);
    /* A worker that has ended takes no letters; then it goes with the server's memory. */
    bool taken = worker_post(kept->worker, &kept->mail);
    return live && taken ? BERTH_OK : BERTH_E_STALE;
}

int berth_kept_reply(struct berth_kept *kept, const void *data, size_t size)
{
    struct kept *own = (struct kept *)(void *)kept;
    const struct berth_framing *framing = &own->speaker->protocol.framing;
    if (size > kept->reply_bytes) {
        return BERTH_E_TOO_LARGE;
    }
    if (size > 0 && data != kept->reply) {
        memmove(kept->reply, data, size);
    }
    uint8_t header[BERTH_HEADER_BYTES_MAX];
    int result = berth_frame_message_check(framing, kept->reply, (uint32_t)size);
    if (result == BERTH_OK) {
        result = berth_frame_header(framing, (uint32_t)size, header);
    }
    if (result < 0) {
        return result;
    }
    uint32_t trailer = framing->kind == BERTH_FRAMING_DELIMITER ? framing->delimiter_bytes : 0;
    uint32_t frame_bytes = (uint32_t)result + (uint32_t)size + trailer;
    if (frame_bytes == 0) {
        return BERTH_E_FRAME; /* nothing would be on the wire */
    }
    own->frame = kept->reply - result;
    own->frame_bytes = frame_bytes;
    memcpy(own->frame, header, (size_t)result);
    memcpy(kept->reply + size, framing->delimiter, trailer);
    return let_go(own);
}

void berth_kept_release(struct berth_kept *kept)
{
    (void)let_go((struct kept *)(void *)kept);
}

/* --------------------------------------------------------------------------- back on the worker */

static void reply_sent(struct slab_ref *ref)
{
    give(LIST_ENTRY(ref, struct kept, ref));
}

/* Sends what no longer has to wait. */
static void advance(struct berth_conn *conn)
{
    struct worker *worker = conn->worker;
    struct kept *kept;
    while ((kept = oldest(conn)) != NULL && kept->ended) {
        window_pop(conn);
        struct chain behind = kept->behind;
        if (kept->frame_bytes > 0) {
            worker->messages_out++;
            chain_refer(&conn->out, &worker->pool, &kept->ref, kept->frame, kept->frame_bytes,
                        reply_sent);
        } else {
            give(kept);
        }
        chain_join(&conn->out, &behind, &worker->pool);
    }
}

void keep_arrived(struct worker *worker, struct mail *mail)
{
    struct kept *kept = LIST_ENTRY(mail, struct kept, mail);
    kept->ended = true;
    if (!kept->in_window) {
        give(kept); /* its connection has ended, or it was answered before it was kept */
        return;
    }
    struct berth_conn *conn = conn_of_handle(worker, kept->open.conn);
    BERTH_ASSERT(conn != NULL);
    if (kept->frame_bytes > 0) {
        WATCH(worker, conn, ANSWERED, 1, kept->frame_bytes);
    } else {
        WATCH(worker, conn, RELEASED, 1, 0);
    }
    advance(conn);
    deadline_answered(conn);
    if (conn->state == CONN_DRAINING) {
        close_progress(conn);
    }
    if ((conn->flags & CF_BLOCKED_WINDOW) != 0 && !window_full(conn)) {
        conn->flags &= ~CF_BLOCKED_WINDOW;
        RECORD(worker, conn, RESUMED, 0, BERTH_PAUSE_WINDOW);
        conn_again(conn);
    }
    attend(conn);
    send_drained(conn);
}

/* The connection ends: what it has kept is the program's alone, or nobody's. */
void keep_drop_all(struct berth_conn *conn)
{
    struct worker *worker = conn->worker;
    while (conn->window_last != NULL) {
        struct kept *kept = oldest(conn);
        window_pop(conn);
        chain_clear(&kept->behind, &worker->pool);
        if (kept->ended) {
            give(kept);
        }
    }
}
