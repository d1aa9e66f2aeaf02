/* Outgoing connections: attempts, the waits between them, and the end of patience.
 *
 * An outgoing connection has a slot from the moment it is asked for, and a plan beside it that
 * remembers the options, the attempts made, and the last error. It is CONNECTING until an attempt
 * succeeds; its timer is the wait before an attempt while it has no socket, and the attempt's
 * deadline while it has one. Waits double, with up to half taken off at random, so that many
 * clients that were refused together do not come back together. O(1) each.
 */
#include <errno.h>

#include "base/assert.h"
#include "base/error.h"
#include "core/core.h"

#define TIMEOUT_DEFAULT_MS   10000
#define RETRY_DEFAULT_MS     10
#define RETRY_MAX_DEFAULT_MS 1000

static struct plan *plan_of(const struct berth_conn *conn)
{
    return &conn->worker->plans[conn->plan];
}

static void wait_ms(struct berth_conn *conn, uint64_t ms)
{
    struct worker *worker = conn->worker;
    wheel_set(&worker->wheel, &conn->timer, worker->now_ns + ms * NS_PER_MS);
}

static void plan_defaults(struct berth_connect_options *options)
{
    if (options->timeout_ms == 0) {
        options->timeout_ms = TIMEOUT_DEFAULT_MS;
    }
    if (options->attempts == 0) {
        options->attempts = 1;
    }
    if (options->retry_ms == 0) {
        options->retry_ms = RETRY_DEFAULT_MS;
    }
    if (options->retry_max_ms == 0) {
        options->retry_max_ms = RETRY_MAX_DEFAULT_MS;
    }
}

/* The worker that an outgoing connection is made on, or NULL when this is not the time or thread.
 */
static struct worker *worker_for(struct berth_server *server, uint32_t wish)
{
    struct worker *here = worker_current();
    if (here != NULL && here->server == server) {
        return here->phase == WORKER_RUNNING ? here : NULL;
    }
    if (server->state != SERVER_CREATED) {
        return NULL;
    }
    return &server->workers[wish % server->config.workers];
}

static bool options_make_sense(const struct berth_connect_options *options)
{
    bool to = options->address.family == BERTH_IPV4 || options->address.family == BERTH_IPV6;
    bool from = options->local.family == BERTH_FAMILY_NONE ||
                options->local.family == options->address.family;
    return to && from && options->address.port != 0;
}

int berth_connect(struct berth_server *server, const struct berth_connect_options *options)
{
    if (!options_make_sense(options) ||
        server_check_protocol(server, options->protocol, NULL) != BERTH_OK) {
        return BERTH_E_INVALID;
    }
    struct worker *worker = worker_for(server, options->worker);
    if (worker == NULL) {
        return BERTH_E_STATE;
    }
    const struct speaker *speaker = speaker_of(server, options->protocol);
    if (speaker == NULL) {
        return BERTH_E_MEMORY;
    }
    uint32_t plan = SLOTS_NONE;
    if (atomic_fetch_add_explicit(&server->connects, 1, memory_order_relaxed) <
            server->config.connects_max &&
        slots_free_count(&worker->slots) > worker->accepts_in_flight) {
        plan = slots_take(&worker->plan_slots);
    }
    if (plan == SLOTS_NONE) {
        atomic_fetch_sub_explicit(&server->connects, 1, memory_order_relaxed);
        return BERTH_E_FULL;
    }
    struct berth_conn *conn = conn_take(worker, speaker);
    worker->plans[plan] = (struct plan){.options = *options};
    plan_defaults(&worker->plans[plan].options);
    conn->plan = plan;
    conn->user = options->user;
    conn_move(conn, CONN_CONNECTING);
    if (worker->io != NULL) { /* else worker start does it, when there is a clock */
        /* Not in this turn, or one would never end in which an attempt fails at once and the
         * program, told so, connects anew. */
        uint64_t due_ns = worker->now_ns + options->delay_ms * NS_PER_MS;
        wheel_set(&worker->wheel, &conn->timer, due_ns + (options->delay_ms == 0 ? 1 : 0));
    }
    return BERTH_OK;
}

void connect_begin_all(struct worker *worker)
{
    for (uint32_t slot = 0; slot < worker->slots_high; slot++) {
        struct berth_conn *conn = &worker->conns[slot];
        BERTH_ASSERT(conn->state == CONN_CONNECTING); /* nothing else has begun */
        wait_ms(conn, plan_of(conn)->options.delay_ms);
    }
}

/* An attempt failed with this errno. Waits for the next, or gives up. */
static void attempt_failed(struct berth_conn *conn, int system)
{
    struct plan *plan = plan_of(conn);
    struct worker *worker = conn->worker;
    RECORD(worker, conn, CONNECT_FAILED, plan->attempts, system);
    if (plan->attempts >= plan->options.attempts || worker->phase >= WORKER_STOPPING) {
        connect_give_up(conn, system);
        return;
    }
    STAT_ADD(worker, connect_retries, 1);
    uint64_t wait = plan->options.retry_ms;
    for (uint32_t i = 1; i < plan->attempts && wait < plan->options.retry_max_ms; i++) {
        wait *= 2;
    }
    if (wait > plan->options.retry_max_ms) {
        wait = plan->options.retry_max_ms;
    }
    wait -= io_random(worker->io) % (wait / 2 + 1);
    RECORD(worker, conn, RETRY, plan->attempts, wait);
    wait_ms(conn, wait);
}

static void attempt(struct berth_conn *conn)
{
    struct plan *plan = plan_of(conn);
    struct worker *worker = conn->worker;
    const struct berth_connect_options *options = &plan->options;
    plan->attempts++;
    plan->timed_out = false;
    RECORD(worker, conn, CONNECT_STARTED, plan->attempts, 0);
    const struct berth_address *local =
        options->local.family == BERTH_FAMILY_NONE ? NULL : &options->local;
    int sock = io_connect(worker->io, &options->address, local, conn_token(conn, IO_CONNECT));
    if (sock < 0) {
        attempt_failed(conn, -sock);
        return;
    }
    conn->sock = sock;
    wait_ms(conn, options->timeout_ms);
}

/* The connecting connection's timer: the wait is over, or the attempt has taken too long. */
void connect_timer(struct berth_conn *conn)
{
    if (conn->sock < 0) {
        attempt(conn);
    } else {
        plan_of(conn)->timed_out = true;
        io_cancel(conn->worker->io, conn->sock, IO_CONNECT);
    }
}

void connect_completed(struct berth_conn *conn, int32_t result)
{
    struct worker *worker = conn->worker;
    BERTH_ASSERT(conn->state == CONN_CONNECTING);
    wheel_cancel(&worker->wheel, &conn->timer);
    if (result == 0 && worker->phase < WORKER_STOPPING) {
        STAT_ADD(worker, connected, 1);
        conn_opened(conn, plan_of(conn)->attempts);
        return;
    }
    io_close(worker->io, conn->sock, false);
    conn->sock = -1;
    int system = plan_of(conn)->timed_out ? ETIMEDOUT : -result;
    attempt_failed(conn, system == 0 ? ECANCELED : system);
}

/* No more attempts: tells the program and frees the slot. Nothing may be in flight. */
void connect_give_up(struct berth_conn *conn, int system)
{
    struct worker *worker = conn->worker;
    struct berth_server *server = worker->server;
    uint32_t attempts = plan_of(conn)->attempts;
    void *user = conn->user;
    const struct berth_protocol *protocol = &conn->speaker->protocol;
    STAT_ADD(worker, connect_failures, 1);
    RECORD(worker, conn, GIVEN_UP, attempts, system);
    wheel_cancel(&worker->wheel, &conn->timer);
    slots_give(&worker->plan_slots, conn->plan);
    atomic_fetch_sub_explicit(&server->connects, 1, memory_order_relaxed);
    conn_give(conn);
    if (protocol->on_connect_failed != NULL) {
        protocol->on_connect_failed(server, user, system, attempts);
    }
}
