/* The end of a connection: shut down, join, close.
 *
 * An orderly end goes through three steps. DRAINING: nothing is handed to the program any more, and
 * what is queued is sent. LINGERING: our end is shut, and what the peer still sends is read and
 * dropped until it ends its side, because closing a socket with unread bytes resets it, and the
 * reset destroys the last reply on its way. JOINING: what is in flight is cancelled and awaited; a
 * socket is closed only when nothing is (law 5 of io.h). Each send that makes progress and the shut
 * start the linger deadline anew; when it passes the connection is cut. A reset, an error, a stop's
 * deadline go to JOINING at once.
 *
 * on_close comes last, from the end of the turn, never from inside another callback. The slot is
 * free after it. O(1) each, but close_largest, which looks at every connection.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "core/core.h"

static void deadline_start(struct berth_conn *conn)
{
    struct worker *worker = conn->worker;
    uint64_t ms = worker->server->config.linger_timeout_ms;
    wheel_set(&worker->wheel, &conn->timer, worker->now_ns + ms * NS_PER_MS);
}

/* Part of what is queued was sent: the peer has time again for the rest. */
void close_progress(struct berth_conn *conn)
{
    deadline_start(conn);
}

/* No more input: what is held is dropped, and the connection waits for nothing that would bring
 * more messages. */
static void input_over(struct berth_conn *conn)
{
    struct worker *worker = conn->worker;
    input_drop(conn);
    if (row_link_is_in(&conn->held)) {
        row_remove((conn->flags & CF_AGAIN) != 0          ? &worker->again
                   : (conn->flags & CF_BLOCKED_KEPT) != 0 ? &worker->kept_full
                                                          : &worker->short_of,
                   conn->slot.number);
    }
    conn->flags &= ~CF_BLOCKED;
}

/* The first reason is the one that counts. */
static void note_reason(struct berth_conn *conn, enum berth_reason reason, int system)
{
    if (conn->reason == 0) {
        conn->reason = (uint8_t)reason;
        conn->system = (int16_t)system; /* errnos are small */
    }
}

/* Begins an orderly end. */
void close_begin(struct berth_conn *conn, enum berth_reason reason, int system)
{
    BERTH_ASSERT(conn->state == CONN_OPEN);
    note_reason(conn, reason, system);
    RECORD(conn->worker, conn, CLOSING, conn->system, conn->reason);
    conn_move(conn, CONN_DRAINING);
    input_over(conn);
    deadline_start(conn);
    receive_update(conn);
    attend(conn);
}

static bool in_flight(const struct berth_conn *conn)
{
    const struct io *io = conn->worker->io;
    return io_in_flight(io, conn->sock, IO_RECEIVE) || io_in_flight(io, conn->sock, IO_SEND);
}

/* Ends a connection without waiting for anything but what is in flight. */
void close_now(struct berth_conn *conn, enum berth_reason reason, int system, bool reset)
{
    struct worker *worker = conn->worker;
    BERTH_ASSERT(conn->state >= CONN_OPEN);
    if (conn->state == CONN_JOINING) {
        return;
    }
    note_reason(conn, reason, system);
    if (conn->state == CONN_OPEN) {
        RECORD(worker, conn, CLOSING, conn->system, conn->reason);
    }
    RECORD(worker, conn, JOINING, 0, 0);
    conn_move(conn, CONN_JOINING);
    input_over(conn);
    wheel_cancel(&worker->wheel, &conn->timer);
    if (reset) {
        conn->flags |= CF_RESET;
    } else if ((conn->flags & CF_GONE) == 0 && in_flight(conn)) {
        io_shutdown(worker->io, conn->sock, IO_SHUTDOWN_BOTH);
    } /* else the close, which is next, says the same with one system call less */
    receive_update(conn);
    io_cancel(worker->io, conn->sock, IO_SEND);
    worker->sends_awaited = true;
    attend(conn);
}

/* A receive or send ended with an error. After one of our own system's (no memory, say) the peer is
 * still there: only a reset tells it that what it got is not all. */
void close_failed(struct berth_conn *conn, int32_t result)
{
    attend(conn); /* a connection that is JOINING may have waited for just this */
    if (result == -ECANCELED) {
        return;
    }
    bool reset = result == -ECONNRESET || result == -EPIPE;
    /* The system sent again and again what the peer did not acknowledge, for as long as it may; the
     * last two say what it heard meanwhile. */
    bool stalled = result == -ETIMEDOUT || result == -EHOSTUNREACH || result == -ENETUNREACH;
    if (reset && conn->reason == 0) {
        STAT_ADD(conn->worker, resets, 1);
    }
    conn->flags |= CF_INPUT_ENDED | CF_GONE;
    enum berth_reason reason = reset     ? BERTH_REASON_RESET
                               : stalled ? BERTH_REASON_SEND_STALLED
                                         : BERTH_REASON_SYSTEM;
    close_now(conn, reason, -result, !reset);
}

/* The connection is closed for what the peer did: who that was is kept for on_close. */
static struct refusal *keep_account(struct berth_conn *conn)
{
    struct worker *worker = conn->worker;
    struct refusal *refusal = &worker->refusals[worker->refusals_next % REFUSALS_KEPT];
    if (!io_peer(worker->io, conn->sock, &refusal->peer)) {
        refusal->peer = (struct berth_address){.family = BERTH_FAMILY_NONE};
    }
    worker->refusals_next++;
    conn->refused = worker->refusals_next; /* never 0 in 2^32 refusals of one life */
    return refusal;
}

/* The peer sent what is no frame. Its account is kept for on_close; what was answered before is
 * still sent. */
void close_refused(struct berth_conn *conn, const struct berth_frame *frame)
{
    STAT_ADD(conn->worker, refused, 1);
    RECORD(conn->worker, conn, REFUSED, frame->refusal, frame->value);
    keep_account(conn)->frame = *frame;
    close_begin(conn, BERTH_REASON_REFUSED, 0);
}

/* An open connection has missed a deadline. A peer that takes nothing is not waited for. */
void close_late(struct berth_conn *conn, enum berth_reason reason)
{
    (void)keep_account(conn);
    RECORD(conn->worker, conn, DEADLINE, 0, reason);
    if (reason == BERTH_REASON_SEND_STALLED) {
        close_now(conn, reason, 0, true);
    } else {
        close_begin(conn, reason, 0);
    }
}

/* ------------------------------------------------------------------------------------- the steps
 */

static void finish(struct berth_conn *conn)
{
    struct worker *worker = conn->worker;
    struct berth_server *server = worker->server;
    bool permit = (conn->flags & CF_PERMIT) != 0;
    if (conn->plan != NO_PLAN) { /* before on_close, which may connect anew */
        atomic_fetch_sub_explicit(&server->connects, 1, memory_order_relaxed);
    }
    remote_close(conn);
    RECORD(worker, conn, CLOSED, conn->system, conn->reason);
    if (conn->speaker->protocol.on_close != NULL) {
        WATCH(worker, conn, THREAD, 0, BERTH_CALLBACK_CLOSE);
        conn->speaker->protocol.on_close(conn, (enum berth_reason)conn->reason);
    }
    io_close(worker->io, conn->sock, (conn->flags & CF_RESET) != 0);
    conn->sock = -1;
    chain_clear(&conn->out, &worker->pool);
    keep_drop_all(conn);
    input_over(conn);
    wheel_cancel(&worker->wheel, &conn->timer);
    if (row_link_is_in(&conn->attend)) {
        row_remove(&worker->attend, conn->slot.number);
    }
    if (conn->plan != NO_PLAN) {
        slots_give(&worker->plan_slots, conn->plan);
    }
    STAT_ADD(worker, closed, 1);
    atomic_fetch_sub_explicit(&server->open, 1, memory_order_relaxed);
    conn_give(conn);
    if (permit) {
        atomic_fetch_sub_explicit(&server->accepted_open, 1, memory_order_relaxed);
        admit_connection_ended(worker);
    }
}

static void step_open(struct berth_conn *conn)
{
    if ((conn->flags & CF_CLOSE) != 0) {
        close_begin(conn, BERTH_REASON_LOCAL, 0);
        return;
    }
    if ((conn->flags & CF_BLOCKED) != 0) {
        return; /* messages that came are still to be handed over */
    }
    /* The program has still to answer a message, or to be told that it may send again. */
    bool owes = conn->window_last != NULL || (conn->flags & (CF_EXCEEDED | CF_WAITS_POST)) != 0;
    if ((conn->flags & CF_STOP) != 0 && (conn->flags & CF_INPUT_ENDED) == 0) {
        receive_update(conn); /* cancels it; what it still brings is answered */
        if (!owes && !io_in_flight(conn->worker->io, conn->sock, IO_RECEIVE)) {
            close_begin(conn, BERTH_REASON_STOP, 0);
        }
    } else if ((conn->flags & CF_INPUT_ENDED) != 0 && !owes) {
        enum berth_reason reason =
            input_bytes(conn) > 0 ? BERTH_REASON_TRUNCATED : BERTH_REASON_PEER;
        close_begin(conn, reason, 0);
    }
}

static void step_draining(struct berth_conn *conn)
{
    struct worker *worker = conn->worker;
    if (conn->out.bytes > 0 || conn->window_last != NULL) {
        return;
    }
    BERTH_ASSERT(!io_in_flight(worker->io, conn->sock, IO_SEND));
    RECORD(worker, conn, SHUT, 0, 0);
    if ((conn->flags & CF_INPUT_ENDED) != 0) {
        close_now(conn, BERTH_REASON_PEER, 0, false);
        return;
    }
    io_shutdown(worker->io, conn->sock, IO_SHUTDOWN_SEND);
    conn_move(conn, CONN_LINGERING);
    deadline_start(conn);
    receive_update(conn);
}

static void step_joining(struct berth_conn *conn)
{
    if (!in_flight(conn)) {
        finish(conn);
    }
}

/* The end of a turn looks at a connection: sends what is queued, and takes the next step of its
 * end, if it is ending. */
void close_step(struct berth_conn *conn)
{
    if (conn->state == CONN_OPEN) {
        step_open(conn);
    }
    if (conn->state == CONN_OPEN || conn->state == CONN_DRAINING) {
        send_flush(conn);
    }
    if (conn->state == CONN_DRAINING) {
        step_draining(conn);
    }
    if (conn->state == CONN_LINGERING && (conn->flags & CF_INPUT_ENDED) != 0) {
        close_now(conn, BERTH_REASON_PEER, 0, false);
    }
    if (conn->state == CONN_JOINING) {
        step_joining(conn);
    }
}

/* Whether this reason is more than that the connection ended: what the peer had done before. */
static bool says_more(unsigned reason)
{
    return reason == BERTH_REASON_REFUSED || reason >= BERTH_REASON_FIRST_MESSAGE;
}

/* The linger deadline has passed. Bytes that we could not send make it the reason, unless that
 * says more, and the system need not try further. A peer that only did not end its side was served
 * in full, as far as we are concerned; what it has not read yet the system still delivers. */
void close_timer(struct berth_conn *conn)
{
    bool unsent = conn->state == CONN_DRAINING;
    if (unsent && !says_more(conn->reason)) {
        conn->reason = BERTH_REASON_DEADLINE;
    }
    RECORD(conn->worker, conn, DEADLINE, 0, conn->reason);
    close_now(conn, BERTH_REASON_DEADLINE, 0, unsent);
}

void berth_close(struct berth_conn *conn)
{
    BERTH_ASSERT(worker_current() == conn->worker);
    if (conn->state == CONN_OPEN) {
        run_end(conn->worker); /* replies are refused from here on */
        conn->flags |= CF_CLOSE;
        attend(conn);
    }
}

/* ------------------------------------------------------------------------------ memory is short */

static uint64_t input_held(const struct berth_conn *conn)
{
    return conn->input == NULL ? 0 : conn->input->size;
}

static uint64_t bytes_held(const struct berth_conn *conn)
{
    return input_held(conn) + conn->out.bytes + keep_behind_bytes(conn);
}

/* Closes the connection that holds most, `conn` if none holds more. */
static void close_most(struct worker *worker, struct berth_conn *conn,
                       uint64_t (*held)(const struct berth_conn *))
{
    struct berth_conn *most = conn;
    for (uint32_t slot = 0; slot < worker->slots_high; slot++) {
        struct berth_conn *other = &worker->conns[slot];
        bool counts = other->state >= CONN_OPEN && other->state < CONN_JOINING;
        if (counts && held(other) > (most == NULL ? 0 : held(most))) {
            most = other;
        }
    }
    if (most == NULL) {
        return;
    }
    server_log(worker->server, worker->now_ns,
               "out of memory for messages: a connection that held %llu bytes is closed",
               (unsigned long long)held(most));
    close_now(most, BERTH_REASON_MEMORY, 0, true);
}

/* There is no memory for the input of `conn`: the connection that holds most input is closed, which
 * frees it at once; that may be this one. */
void close_largest_input(struct berth_conn *conn)
{
    close_most(conn->worker, conn, input_held);
}

/* Everybody has waited for room for replies: the connection that holds most is closed. */
void close_largest(struct worker *worker)
{
    close_most(worker, NULL, bytes_held);
}

/* ------------------------------------------------------------------------------------- the reason
 */

const char *berth_reason_text(enum berth_reason reason)
{
    switch (reason) {
#define REASON_TEXT(name, value, text)                                                             \
    case name:                                                                                     \
        return text;
        BERTH_REASONS(REASON_TEXT)
#undef REASON_TEXT
    default:
        return "this number is not a reason";
    }
}

/* What is kept of what this connection was closed for; NULL if nothing is. */
const struct refusal *close_refusal_of(const struct berth_conn *conn)
{
    const struct worker *worker = conn->worker;
    bool kept = conn->refused != 0 && worker->refusals_next - conn->refused < REFUSALS_KEPT;
    return kept ? &worker->refusals[(conn->refused - 1) % REFUSALS_KEPT] : NULL;
}

const char *berth_conn_why(const struct berth_conn *conn, char *out, size_t bytes)
{
    const char *text =
        conn->reason == 0 ? "it is open" : berth_reason_text((enum berth_reason)conn->reason);
    const struct refusal *refusal = close_refusal_of(conn);
    if (refusal != NULL && conn->reason == BERTH_REASON_REFUSED) {
        char account[160];
        snprintf(out, bytes, "%s: %s", text,
                 berth_frame_refusal_text(&refusal->frame, account, sizeof account));
    } else if (conn->system != 0) {
        snprintf(out, bytes, "%s: %s", text, strerror(conn->system));
    } else {
        snprintf(out, bytes, "%s", text);
    }
    return out;
}
