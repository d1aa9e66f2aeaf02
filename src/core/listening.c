/* Listening stopped and started again while the server serves.
 *
 * A listening socket may be shut down only when no worker has an accept in flight on it (io.h), and
 * clients that wait in its queue would be reset. So a stop has steps: each worker goes on accepting
 * until a turn that does not wait brings nothing more, cancels its accepts, waits for them to end
 * and counts itself out; the last one shuts the sockets. A start before that only says so, and is
 * done by the last worker instead; after it, it listens again and wakes the workers.
 *
 * The server's lock guards the state; workers look at it once a turn without it. O(listeners).
 */
#include "base/error.h"
#include "core/core.h"

static void say(struct berth_server *server, enum server_listening listening)
{
    atomic_store(&server->listening, listening);
    for (uint32_t i = 0; i < server->config.workers; i++) {
        worker_wake(&server->workers[i]);
    }
}

/* One worker less accepts. */
static void counted_out(struct berth_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->halted++;
    if (server->halted == server->config.workers) {
        if (server->listening_wanted) {
            say(server, LISTENING);
        } else {
            for (uint32_t i = 0; i < server->listeners_count; i++) {
                io_listener_halt(server->backend, server->world, &server->listeners[i]);
            }
            atomic_store(&server->listening, LISTENING_HALTED);
        }
    }
    pthread_mutex_unlock(&server->lock);
}

/* Once a turn: takes the next step. */
void listening_look(struct worker *worker)
{
    int listening = atomic_load_explicit(&worker->server->listening, memory_order_acquire);
    if (BERTH_LIKELY(listening == LISTENING && worker->accepting == ACCEPTING)) {
        return;
    }
    if (worker->phase != WORKER_RUNNING) {
        return; /* the stop of the server ends accepting in its own way */
    }
    uint32_t halts = atomic_load(&worker->server->halts);
    if (listening == LISTENING) {
        BERTH_ASSERT(worker->accepting == ACCEPTING_NONE); /* all had counted themselves out */
        worker->accepting = ACCEPTING;
        RECORD(worker, NULL, RESUMED, 0, BERTH_PAUSE_LISTENING);
        admit_fill(worker);
    } else if (listening == LISTENING_HALTING && worker->halts_seen != halts) {
        /* From NONE, when it was started and stopped again before this worker had looked. */
        worker->halts_seen = halts;
        worker->accepting = worker->accepting == ACCEPTING_NONE ? ACCEPTING_ENDS : ACCEPTING_QUEUE;
        worker->busy_turns = 0;
    }
    if (worker->accepting == ACCEPTING_QUEUE && worker->accepts_in_flight == 0) {
        worker->accepting = ACCEPTING_ENDS; /* full, or paused: nobody can be taken now */
    }
    if (worker->accepting == ACCEPTING_ENDS && worker->accepts_in_flight == 0) {
        worker->accepting = ACCEPTING_NONE;
        RECORD(worker, NULL, PAUSED, 0, BERTH_PAUSE_LISTENING);
        counted_out(worker->server);
    }
}

/* Whether this worker still takes those that wait already; turns then do not wait. */
bool listening_empties(const struct worker *worker)
{
    return worker->phase == WORKER_RUNNING && worker->accepting == ACCEPTING_QUEUE;
}

/* Nobody waited any more. */
void listening_quiet(struct worker *worker)
{
    worker->accepting = ACCEPTING_ENDS;
    io_cancel_accepts(worker->io);
}

int berth_server_listening(struct berth_server *server, bool on, struct berth_error *error)
{
    if (server->state != SERVER_RUNNING || atomic_load(&server->stop) > 0) {
        return error_set(error, BERTH_E_STATE, 0, NULL, "the server does not run, or stops");
    }
    int result = BERTH_OK;
    pthread_mutex_lock(&server->lock);
    int listening = atomic_load(&server->listening);
    server->listening_wanted = on;
    if (!on && listening == LISTENING) {
        server->halted = 0;
        atomic_fetch_add(&server->halts, 1);
        say(server, LISTENING_HALTING);
    } else if (on && listening == LISTENING_HALTED) {
        for (uint32_t i = 0; i < server->listeners_count && result == BERTH_OK; i++) {
            int failed = io_listener_resume(server->backend, server->world, &server->listeners[i]);
            if (failed < 0) {
                char text[BERTH_ADDRESS_TEXT_BYTES];
                berth_address_format(&server->listeners[i].address, text, sizeof text);
                result = error_set(error, BERTH_E_SYSTEM, -failed, "address",
                                   "cannot listen on %s again", text);
                while (i > 0) { /* nobody would take their clients */
                    i--;
                    io_listener_halt(server->backend, server->world, &server->listeners[i]);
                }
            }
        }
        if (result == BERTH_OK) {
            say(server, LISTENING);
        }
    }
    pthread_mutex_unlock(&server->lock);
    return result;
}
