/* Spreading: which worker takes the next client.
 *
 * The system wakes one of the workers that wait for a client, and need not be fair: on epoll it is
 * always the same one as long as it is idle. So a worker that has a few more connections than
 * another that accepts leaves the next ones to that: it cancels its accepts and counts as having
 * left. Who accepts comes back to those that left when it has as many, or accepts no more (its
 * permits, places or descriptors are used up, or it leaves itself). So of all that could accept one
 * at least does: the one with fewest never leaves.
 *
 * A worker shows how many it has in `accept_load`, or that it does not accept. Who leaves says so
 * before it looks at the others for the last time, and who stops accepting shows that before it
 * looks for those that left: one of the two sees the other.
 *
 * O(workers) once in some accepts (SPREAD_CHECK) and for each that leaves or comes back; an atomic
 * load and store for the others. With one worker, nothing.
 */
#include "core/core.h"

/* A worker leaves when it has more than another by so many, or a part in so many of what that has;
 * and comes back at half of it. The first bounds what a change costs, the second is well below the
 * tenth that anybody would notice. */
#define SPREAD_MIN  8u
#define SPREAD_PART 32u

/* It looks at the others each time it has so large a part of that more. */
#define SPREAD_CHECK 4u

static uint32_t slack(uint32_t load)
{
    return load / SPREAD_PART > SPREAD_MIN ? load / SPREAD_PART : SPREAD_MIN;
}

/* Of the other workers that accept; ACCEPTS_NOT if none does. */
static uint32_t least_load(const struct worker *worker)
{
    struct berth_server *server = worker->server;
    uint32_t least = ACCEPTS_NOT;
    for (uint32_t i = 0; i < server->config.workers; i++) {
        const struct worker *other = &server->workers[i];
        uint32_t load = other == worker ? ACCEPTS_NOT : atomic_load(&other->accept_load);
        least = load < least ? load : least;
    }
    return least;
}

static bool has_more(const struct worker *worker, uint32_t least, uint32_t part)
{
    return least != ACCEPTS_NOT && worker->accepted > least + slack(least) / part;
}

static void leave(struct worker *worker)
{
    struct berth_server *server = worker->server;
    atomic_store(&worker->accept_left, worker->accepted + 1);
    atomic_fetch_add(&server->leavers, 1);
    atomic_store(&worker->accept_load, ACCEPTS_NOT);
    if (has_more(worker, least_load(worker), 1)) {
        io_cancel_accepts(worker->io);
    } else {
        spread_return(worker);
    }
}

void spread_return(struct worker *worker)
{
    if (atomic_load(&worker->accept_left) != 0) {
        atomic_store(&worker->accept_left, 0);
        atomic_fetch_sub(&worker->server->leavers, 1);
    }
}

/* Whether this worker leaves the next client to the others. */
bool spread_leaves(struct worker *worker)
{
    if (worker->server->config.workers == 1) {
        return false;
    }
    if (atomic_load(&worker->accept_left) != 0) {
        if (has_more(worker, least_load(worker), 2)) {
            atomic_store(&worker->accept_left, worker->accepted + 1);
            return true;
        }
        spread_return(worker);
    } else if (worker->accepted >= worker->spread_at && has_more(worker, least_load(worker), 1)) {
        leave(worker);
    }
    return atomic_load(&worker->accept_left) != 0;
}

/* Lets those look again that have left, if they have no more than `load` and half of its slack. */
static void call_back(const struct worker *worker, uint32_t load)
{
    struct berth_server *server = worker->server;
    for (uint32_t i = 0; i < server->config.workers; i++) {
        struct worker *other = &server->workers[i];
        uint32_t left = atomic_load(&other->accept_left); /* with so many, and one */
        bool looks = left != 0 && (load == ACCEPTS_NOT || left - 1 <= load + slack(load) / 2);
        if (looks && other != worker && !atomic_exchange(&other->accept_renewal, true)) {
            worker_wake(other);
        }
    }
}

/* Shows the others whether this worker accepts, and how many connections it has. */
void spread_show(struct worker *worker)
{
    struct berth_server *server = worker->server;
    if (server->config.workers == 1) {
        return;
    }
    bool left = atomic_load(&worker->accept_left) != 0;
    uint32_t load = worker->accepts_in_flight > 0 && !left ? worker->accepted : ACCEPTS_NOT;
    uint32_t before = atomic_load_explicit(&worker->accept_load, memory_order_relaxed);
    if (load != before) {
        atomic_store(&worker->accept_load, load);
    }
    bool due = load != ACCEPTS_NOT && load >= worker->spread_at;
    if (due || load < before) {
        worker->spread_at = worker->accepted + slack(worker->accepted) / SPREAD_CHECK;
    }
    bool stops = load == ACCEPTS_NOT && before != ACCEPTS_NOT;
    if ((stops || due) && atomic_load(&server->leavers) > 0) {
        call_back(worker, load);
    }
}
