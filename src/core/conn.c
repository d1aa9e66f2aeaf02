/* A connection: its slot, its states, its names, and what it tells about itself.
 *
 * A slot is taken when a connection is accepted or asked for, and given back when its socket is
 * closed and nothing is in flight (close.c); until then its generation keeps every token and handle
 * of an earlier life from reaching it. The worker owns the slot; the program may use the pointer
 * between on_open and on_close. Everything here is O(1).
 *
 * The states move as this table allows and not otherwise:
 *
 *   FREE -> CONNECTING -> OPEN -> DRAINING -> LINGERING -> JOINING -> FREE
 *           CONNECTING -> FREE                (given up)
 *           OPEN, DRAINING -> JOINING         (reset, cut, no need to linger)
 */
#include <string.h>

#include "base/assert.h"
#include "core/core.h"

#define BIT(state) (1u << (state))

static const uint8_t state_next[CONN_STATES] = {
    [CONN_FREE] = BIT(CONN_CONNECTING) | BIT(CONN_OPEN),
    [CONN_CONNECTING] = BIT(CONN_OPEN) | BIT(CONN_FREE),
    [CONN_OPEN] = BIT(CONN_DRAINING) | BIT(CONN_JOINING),
    [CONN_DRAINING] = BIT(CONN_LINGERING) | BIT(CONN_JOINING),
    [CONN_LINGERING] = BIT(CONN_JOINING),
    [CONN_JOINING] = BIT(CONN_FREE),
};

void conn_move(struct berth_conn *conn, enum conn_state to)
{
    BERTH_ASSERT((state_next[conn->state] & BIT(to)) != 0);
    if (conn->state == CONN_OPEN) {
        group_conn_over(conn);
    }
    if (to == CONN_OPEN) {
        group_conn_opened(conn);
    }
    conn->state = (uint8_t)to;
}

/* The part of a slot that other threads look at outlives its connections. */
#define CONN_KEEPS offsetof(struct berth_conn, sock)

struct berth_conn *conn_take(struct worker *worker, const struct speaker *speaker)
{
    uint32_t slot = slots_take(&worker->slots);
    BERTH_ASSERT(slot != SLOTS_NONE);
    if (slot >= worker->slots_high) {
        worker->slots_high = slot + 1;
    }
    struct berth_conn *conn = &worker->conns[slot];
    BERTH_ASSERT(conn->state == CONN_FREE);
    memset((uint8_t *)conn + CONN_KEEPS, 0, sizeof *conn - CONN_KEEPS);
    conn->worker = worker;
    atomic_store_explicit(&conn->speaker, speaker, memory_order_relaxed);
    conn->sock = -1;
    conn->plan = NO_PLAN;
    conn->timer.kind = TIMER_CONN;
    return conn;
}

void conn_give(struct berth_conn *conn)
{
    BERTH_ASSERT(conn->sock == -1);
    BERTH_ASSERT(conn->input == NULL);
    BERTH_ASSERT(conn->out.first == NULL);
    BERTH_ASSERT(conn->window_last == NULL);
    BERTH_ASSERT(conn->members == NULL);
    BERTH_ASSERT(!row_link_is_in(&conn->attend));
    BERTH_ASSERT(!row_link_is_in(&conn->parked));
    BERTH_ASSERT(!row_link_is_in(&conn->held));
    BERTH_ASSERT(!wheel_is_set(&conn->timer));
    conn_move(conn, CONN_FREE);
    slots_give(&conn->worker->slots, conn->slot.number);
}

/* A connected socket begins its life: counted, told to the program, received from. */
void conn_opened(struct berth_conn *conn, uint32_t which)
{
    struct worker *worker = conn->worker;
    conn_move(conn, CONN_OPEN);
    deadline_opened(conn);
    atomic_fetch_add_explicit(&worker->server->open, 1, memory_order_relaxed);
    uint32_t space = worker->server->config.conn_space_bytes;
    if (space > 0) {
        memset(berth_conn_space(conn), 0, space);
    }
    remote_open(conn);
    if ((conn->flags & CF_PERMIT) != 0) {
        RECORD(worker, conn, ACCEPTED, which, 0);
    } else {
        RECORD(worker, conn, CONNECTED, which, 0);
    }
    RECORD(worker, conn, OPENED, 0, 0);
    if (conn->speaker->protocol.on_open != NULL) {
        WATCH(worker, conn, THREAD, 0, BERTH_CALLBACK_OPEN);
        conn->speaker->protocol.on_open(conn);
    }
    if (worker->phase == WORKER_CUT) { /* an accept that its cancel came too late for */
        close_now(conn, BERTH_REASON_STOP, 0, true);
        return;
    }
    receive_update(conn);
    worker->unswept = worker->phase == WORKER_STOPPING; /* what it has sent is to be answered */
}

uint64_t conn_token(const struct berth_conn *conn, enum io_op op)
{
    return io_token(op, conn->slot.generation, conn->slot.number);
}

struct berth_conn *conn_of_token(struct worker *worker, uint64_t token)
{
    uint32_t slot = io_token_slot(token);
    if (slot < worker->slots.count) {
        struct berth_conn *conn = &worker->conns[slot];
        if (conn->state != CONN_FREE &&
            (conn->slot.generation & IO_GENERATION_MASK) == io_token_generation(token)) {
            return conn;
        }
    }
    STAT_ADD(worker, stale_completions, 1);
    return NULL;
}

/* Puts the connection among those that go on in the next turn, unless it stands in a list that
 * looks at it later anyway. */
void conn_again(struct berth_conn *conn)
{
    if (!row_link_is_in(&conn->held)) {
        conn->flags |= CF_AGAIN;
        row_push(&conn->worker->again, conn->slot.number);
    }
}

/* -------------------------------------------------------------------------- the program's
 * questions */

#define HANDLE_SLOT_SHIFT   32
#define HANDLE_WORKER_SHIFT 54

berth_handle berth_conn_handle(const struct berth_conn *conn)
{
    /* worker + 1, so that no handle is 0 */
    return (uint64_t)(conn->worker->index + 1) << HANDLE_WORKER_SHIFT |
           (uint64_t)conn->slot.number << HANDLE_SLOT_SHIFT | conn->slot.generation;
}

/* The worker that a handle names, and the slot; NULL if the server has none such. */
struct worker *conn_worker_of_handle(struct berth_server *server, berth_handle handle,
                                     uint32_t *slot)
{
    uint64_t worker = handle >> HANDLE_WORKER_SHIFT;
    *slot = (uint32_t)(handle >> HANDLE_SLOT_SHIFT) & SLOTS_MAX;
    if (worker == 0 || worker > server->config.workers || *slot >= server->layout.slots ||
        !server_is_here(server)) {
        return NULL;
    }
    return &server->workers[worker - 1];
}

struct berth_conn *conn_of_handle(struct worker *worker, berth_handle handle)
{
    uint32_t slot;
    if (conn_worker_of_handle(worker->server, handle, &slot) != worker ||
        !slots_holds(&worker->slots, slot, (uint32_t)handle)) {
        return NULL;
    }
    struct berth_conn *conn = &worker->conns[slot];
    return conn->state >= CONN_OPEN ? conn : NULL;
}

struct berth_conn *berth_conn_find(struct berth_conn *peer, berth_handle handle)
{
    BERTH_ASSERT(worker_current() == peer->worker);
    struct berth_conn *conn = conn_of_handle(peer->worker, handle);
    return conn != NULL && conn->state == CONN_OPEN ? conn : NULL;
}

void *berth_conn_space(const struct berth_conn *conn)
{
    const struct worker *worker = conn->worker;
    const struct layout *layout = &worker->server->layout;
    return worker->block + layout->spaces_at + conn->slot.number * layout->space_stride;
}

void *berth_conn_context(const struct berth_conn *conn)
{
    return conn->speaker->protocol.context;
}

void *berth_conn_user(const struct berth_conn *conn)
{
    return conn->user;
}

void berth_conn_set_user(struct berth_conn *conn, void *user)
{
    conn->user = user;
}

struct berth_server *berth_conn_server(const struct berth_conn *conn)
{
    return conn->worker->server;
}

uint32_t berth_conn_worker(const struct berth_conn *conn)
{
    return conn->worker->index;
}

uint64_t berth_conn_now_ns(const struct berth_conn *conn)
{
    return conn->worker->now_ns;
}

uint64_t berth_conn_random(struct berth_conn *conn)
{
    return io_random(conn->worker->io);
}

uint32_t berth_conn_queued_bytes(const struct berth_conn *conn)
{
    return conn->out.bytes + run_bytes(conn);
}

uint32_t berth_conn_connect_attempts(const struct berth_conn *conn)
{
    return conn->plan == NO_PLAN ? 0 : conn->worker->plans[conn->plan].attempts;
}

bool berth_conn_peer(const struct berth_conn *conn, struct berth_address *out)
{
    if (conn->sock >= 0 && io_peer(conn->worker->io, conn->sock, out)) {
        return true;
    }
    const struct refusal *refusal = close_refusal_of(conn);
    if (refusal == NULL || refusal->peer.family == BERTH_FAMILY_NONE) {
        return false;
    }
    *out = refusal->peer;
    return true;
}

bool berth_conn_local(const struct berth_conn *conn, struct berth_address *out)
{
    return conn->sock >= 0 && io_local(conn->worker->io, conn->sock, out);
}
