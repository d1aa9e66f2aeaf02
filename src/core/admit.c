/* Admission: who may come in, and when.
 *
 * A permit is the right to serve one accepted connection; the server has connections_max of them in
 * one counter. A worker takes permits, a few at a time, and keeps one accept in flight for each it
 * holds; the permit goes over to the connection that the accept brings, and comes back when that
 * ends. So no accept is ever started for a client that could not be served, and who is not served
 * waits in the listening socket's queue. Accepts are not tied to a listening socket (io.h), and
 * every worker accepts from all of them: as long as any worker has a permit, any client is taken.
 * A worker whose connection ends uses the permit itself, so nobody has to be woken.
 *
 * When the system has no descriptor or memory left, accepting pauses until a connection of this
 * worker ends or a short timer runs out. If the worker has a table of its own, others may have
 * descriptors left, and if it has more connections than they (spread.c), they are to have the next;
 * but the system woke this one alone for a client. So each accept that ends without another in its
 * place tells those that accept, and they start theirs anew, which looks at the queue. O(workers)
 * for that, all else is O(1).
 */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "core/core.h"

/* Accepts in flight per worker: enough that a burst is taken in one turn. With few permits each
 * worker leaves some for the others. */
static uint32_t accepts_wanted(const struct worker *worker)
{
    const struct berth_config *config = &worker->server->config;
    uint32_t share = config->connections_max / (2 * config->workers);
    return share < 1 ? 1 : share > IO_ACCEPTS_MAX ? IO_ACCEPTS_MAX : share;
}

static bool take_permit(struct berth_server *server)
{
    int64_t left = atomic_load_explicit(&server->permits, memory_order_relaxed);
    while (left > 0) {
        if (atomic_compare_exchange_weak_explicit(&server->permits, &left, left - 1,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

static void start_accepts(struct worker *worker)
{
    uint32_t wanted = accepts_wanted(worker);
    while (worker->accepts_in_flight < wanted &&
           worker->accepts_in_flight < slots_free_count(&worker->slots)) {
        if (worker->permits > 0) {
            worker->permits--;
        } else if (!take_permit(worker->server)) {
            break;
        }
        worker->accepts_in_flight++;
        worker->accept_turn = worker->turn;
        uint32_t accept = (uint32_t)__builtin_ctz(~worker->accepts_busy);
        worker->accepts_busy |= 1u << accept;
        WATCH(worker, NULL, ACCEPT_STARTED, admit_number(worker, accept), 0);
        io_accept(worker->io, io_token(IO_ACCEPT, 0, accept));
    }
}

void admit_fill(struct worker *worker)
{
    struct berth_server *server = worker->server;
    bool accepts =
        worker->phase == WORKER_RUNNING ? worker->accepting <= ACCEPTING_QUEUE : worker->queue_open;
    if (server->listeners_count == 0 || worker->accept_paused || !accepts) {
        spread_return(worker);
    } else if (!spread_leaves(worker)) {
        start_accepts(worker);
    }
    admit_give_back(worker);
    spread_show(worker);
}

void admit_give_back(struct worker *worker)
{
    if (worker->permits > 0) {
        atomic_fetch_add_explicit(&worker->server->permits, worker->permits, memory_order_relaxed);
        worker->permits = 0;
    }
}

void admit_pause(struct worker *worker, int error)
{
    if (worker->accept_paused || worker->phase > WORKER_STOPPING) {
        return;
    }
    worker->accept_paused = true;
    STAT_ADD(worker, accept_pauses, 1);
    RECORD(worker, NULL, PAUSED, 0, BERTH_PAUSE_ACCEPT);
    uint32_t pause_ms = worker->server->config.accept_pause_ms;
    wheel_set(&worker->wheel, &worker->accept_timer, worker->now_ns + pause_ms * NS_PER_MS);
    io_cancel_accepts(worker->io); /* the others in flight would fail one by one */
    server_log(worker->server, worker->now_ns,
               "accepting pauses for up to %u ms: %s; clients wait in the queue", pause_ms,
               strerror(error));
}

/* The queue is looked at, and only then `accept_paused` of others: who resumes meanwhile looks at
 * the queue later than this worker did. */
void admit_pass_on(struct worker *worker)
{
    struct berth_server *server = worker->server;
    bool paused = worker->accept_paused && server->config.worker_descriptors;
    if (!paused && atomic_load(&worker->accept_left) == 0) {
        return;
    }
    for (uint32_t i = 0; i < server->config.workers; i++) {
        struct worker *other = &server->workers[i];
        bool accepts = !atomic_load(&other->accept_paused) && atomic_load(&other->accept_left) == 0;
        if (accepts && !atomic_exchange(&other->accept_renewal, true)) {
            worker_wake(other);
        }
    }
}

/* Once a turn: what another worker passed on. Cancelled accepts are started again when they end. */
void admit_renew(struct worker *worker)
{
    if (BERTH_UNLIKELY(atomic_load_explicit(&worker->accept_renewal, memory_order_relaxed))) {
        atomic_store(&worker->accept_renewal, false);
        io_cancel_accepts(worker->io);
        admit_fill(worker);
    }
}

void admit_resume(struct worker *worker)
{
    worker->accept_paused = false;
    RECORD(worker, NULL, RESUMED, 0, BERTH_PAUSE_ACCEPT);
    wheel_cancel(&worker->wheel, &worker->accept_timer);
    admit_fill(worker);
}

/* A connection with a permit has ended: its permit is this worker's to use. */
void admit_connection_ended(struct worker *worker)
{
    worker->permits++;
    worker->accepted--;
    if (worker->accept_paused) {
        admit_resume(worker); /* a descriptor is free again */
    } else {
        admit_fill(worker);
    }
}
