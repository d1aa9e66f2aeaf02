/* A worker: one thread, one io, one block of memory, and the loop that calls everything else.
 *
 * A turn reaps completions, acts on each, runs the timers that are due, lets those that waited go
 * on, and at its end looks once at every connection that has something to send or a step of its
 * end to take. So a turn makes one wait, and at most one send per connection. Where a turn has very
 * much to send, what was queued so far is handed to the system before the next completion.
 *
 * The worker owns its block: the table of connections, the receive buffers, the pool. It is
 * reserved when the server is created and released when it is destroyed; the io lives on the
 * worker's thread from worker_open to worker_close.
 *
 * A stop serves what had arrived before it: while a turn that does not wait still brings something,
 * clients from the listening sockets' queues included, everything goes on as before, for a part of
 * the time that the stop has. After a quiet turn every open connection is told to end, and, once an
 * accept found the queue empty, accepting ends. After the deadline, or at a second stop, what is
 * left is cut.
 *
 * A turn costs O(completions + connections that have something to do).
 */
#include "core/core.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

/* A client that never pauses must not hold up an end: after this many turns that brought something,
 * what had arrived before counts as read. */
#define BUSY_TURNS_MAX 64
/* When the server stops, what had arrived must be read, of every connection: a turn may receive
 * from one of them only (epoll), and little at that if buffers are small. So it is that many turns
 * and four for each connection, and a time that nobody minds waiting for; but no more than a
 * quarter of the time that the stop has, so that the rest is enough to send the answers. */
#define BUSY_TURNS_CONN 4
#define BUSY_MS         100
#define BUSY_SHARE      4

static _Thread_local struct worker *current_worker;

struct worker *worker_current(void)
{
    return current_worker;
}

/* ------------------------------------------------------------------------------- create and open
 */

static void name_parts(const struct worker *worker)
{
    const struct layout *layout = &worker->server->layout;
    uint8_t *block = worker->block;
    memory_name(block + layout->conns_at, layout->spaces_at - layout->conns_at,
                "berth: connections");
    if (layout->spaces_at < layout->plans_at) {
        memory_name(block + layout->spaces_at, layout->plans_at - layout->spaces_at,
                    "berth: user space");
    }
    memory_name(block + layout->plans_at, layout->receive_at - layout->plans_at, "berth: accounts");
    memory_name(block + layout->receive_at, layout->account_at - layout->receive_at,
                "berth: receive buffers");
    memory_name(block + layout->account_at, layout->bytes - layout->account_at, "berth: pool");
}

int worker_create(struct worker *worker, struct berth_server *server, uint32_t index)
{
    const struct layout *layout = &server->layout;
    memset(worker, 0, sizeof *worker);
    worker->server = server;
    worker->index = index;
    worker->block = memory_reserve(layout->bytes);
    if (worker->block == NULL) {
        return BERTH_E_MEMORY;
    }
    uint8_t *block = worker->block;
    name_parts(worker);
    worker->conns = (struct berth_conn *)(void *)(block + layout->conns_at);
    worker->plans = (struct plan *)(void *)(block + layout->plans_at);
    worker->refusals = (struct refusal *)(void *)(block + layout->refusals_at);
    worker->lease_uses = (uint32_t *)(void *)(block + layout->uses_at);
    worker->receive_base = block + layout->receive_at;
    recorder_init(&worker->recorder, block + layout->recorder_at, server->config.recorder_records);
    slots_init(&worker->slots, &worker->conns->slot, sizeof *worker->conns, layout->slots);
    if (server->config.connects_max > 0) {
        struct slots_entry *entries = (void *)(block + layout->plan_entries_at);
        slots_init(&worker->plan_slots, entries, sizeof *entries,
                   server->config.connects_max + SPARE_PLANS);
    }
    row_init(&worker->attend, &worker->conns->attend, sizeof *worker->conns);
    row_init(&worker->parked, &worker->conns->parked, sizeof *worker->conns);
    row_init(&worker->again, &worker->conns->held, sizeof *worker->conns);
    row_init(&worker->short_of, &worker->conns->held, sizeof *worker->conns);
    row_init(&worker->kept_full, &worker->conns->held, sizeof *worker->conns);
    worker->accept_timer.kind = TIMER_ACCEPT;
    worker->accept_load = 0; /* it is about to accept, though others may start earlier */
    worker->stop_timer.kind = TIMER_STOP;
    list_init(&worker->starved);
    worker->space_timer.kind = TIMER_SPACE;
    return BERTH_OK;
}

void worker_destroy(struct worker *worker)
{
    memory_release(worker->block, worker->server->layout.bytes);
}

int worker_open(struct worker *worker)
{
    struct berth_server *server = worker->server;
    const struct layout *layout = &server->layout;
    struct io_config config = {
        .wake = worker->wake_id,
        .world = server->world,
        .socks_max = layout->slots,
        .listeners = server->listeners,
        .listeners_count = server->listeners_count,
        .receive_base = worker->receive_base,
        .receive_bytes = server->config.receive_bytes,
        .receive_count = server->config.receive_buffers,
        .features_off = server->features_off,
        .send_timeout_ms = server->config.send_progress_timeout_ms,
        .system_send_bytes = server->config.system_send_bytes,
        .system_receive_bytes = server->config.system_receive_bytes,
    };
    int result = io_open(server->backend, &config, &worker->io);
    if (result < 0) {
        return result;
    }
    pool_init(&worker->pool, worker->block + layout->pool_at, layout->pool_bytes,
              worker->block + layout->account_at);
    deadline_clock(worker, io_now(worker->io));
    groups_init(worker);
    lend_init(worker);
    wheel_init(&worker->wheel, worker->now_ns);
    atomic_store(&worker->wake, worker->io);
    connect_begin_all(worker);
    return 0;
}

void worker_close(struct worker *worker)
{
    remote_end(worker);
    groups_fini(worker);
    lend_fini(worker);
    BERTH_ASSERT(worker->pool.used == worker->kept_bytes); /* the program may still hold those */
    BERTH_ASSERT(worker->behind_bytes == 0);
    atomic_store(&worker->wake, NULL);
    while (atomic_load(&worker->wakers) > 0) { /* somebody is at it; it takes one write */
        sched_yield();
    }
    io_close_all(worker->io);
    worker->io = NULL;
}

/* ------------------------------------------------------------------------------ other threads */

void worker_wake(struct worker *worker)
{
    /* The wake-up's number means something else, or nothing, in the table of another server's
     * worker: opened there, it could be a client's. */
    const struct worker *caller = worker_current();
    BERTH_ASSERT(caller == NULL || caller->server == worker->server ||
                 !caller->server->config.worker_descriptors);
    atomic_fetch_add(&worker->wakers, 1); /* worker_close waits for us */
    struct io *io = atomic_load(&worker->wake);
    if (io != NULL && server_is_here(worker->server)) {
        io_wake(io);
    }
    atomic_fetch_sub(&worker->wakers, 1);
}

/* Who posts looks for a sleeper after its put, and who wants to sleep looks into the mailbox after
 * it said so: one of the two sees the other. Only the first of many posts wakes. */
bool worker_post(struct worker *worker, struct mail *mail)
{
    if (!server_is_here(worker->server) || !mailbox_put(&worker->mailbox, mail)) {
        return false;
    }
    if (atomic_load(&worker->sleeps) && atomic_exchange(&worker->sleeps, false)) {
        atomic_fetch_add_explicit(&worker->stats.wakeups, 1, memory_order_relaxed);
        worker_wake(worker);
    }
    return true;
}

/* --------------------------------------------------------------------------------------- ending */

static void cancel_connect(struct berth_conn *conn)
{
    if (conn->sock < 0) {
        connect_give_up(conn, ECANCELED);
    } else {
        io_cancel(conn->worker->io, conn->sock, IO_CONNECT);
    }
}

static void begin_stopping(struct worker *worker)
{
    worker->phase = WORKER_STOPPING;
    worker->queue_open = worker->accepting <= ACCEPTING_QUEUE;
    RECORD(worker, NULL, STOPPING, 0, 1);
    worker->unswept = true;
    worker->reads_ns = 0;
    uint64_t ms = worker->server->config.stop_timeout_ms;
    wheel_set(&worker->wheel, &worker->stop_timer, worker->now_ns + ms * NS_PER_MS);
    for (uint32_t slot = 0; slot < worker->slots_high; slot++) {
        if (worker->conns[slot].state == CONN_CONNECTING) {
            cancel_connect(&worker->conns[slot]);
        }
    }
}

static void end_accepting(struct worker *worker)
{
    worker->queue_open = false;
    worker->accept_paused = false;
    spread_return(worker);
    wheel_cancel(&worker->wheel, &worker->accept_timer);
    io_cancel_accepts(worker->io);
    admit_give_back(worker);
}

/* What a paused connection has sent is answered all the same. */
static void stop_pause(struct berth_conn *conn)
{
    if ((conn->flags & CF_PAUSED) != 0) {
        conn->flags &= ~CF_PAUSED;
        conn_again(conn);
    }
}

/* Tells every open connection to end when all that it received is answered. */
static void sweep(struct worker *worker)
{
    worker->unswept = false;
    for (uint32_t slot = 0; slot < worker->slots_high; slot++) {
        struct berth_conn *conn = &worker->conns[slot];
        if (conn->state == CONN_OPEN && (conn->flags & CF_STOP) == 0) {
            conn->flags |= CF_STOP;
            stop_pause(conn);
            attend(conn);
        }
    }
}

static void cut_all(struct worker *worker)
{
    worker->phase = WORKER_CUT;
    RECORD(worker, NULL, STOPPING, 0, 2);
    end_accepting(worker);
    for (uint32_t slot = 0; slot < worker->slots_high; slot++) {
        struct berth_conn *conn = &worker->conns[slot];
        if (conn->state >= CONN_OPEN && conn->state < CONN_JOINING) {
            close_now(conn, BERTH_REASON_STOP, 0, true);
        }
    }
}

static bool stop_unseen(const struct worker *worker)
{
    return atomic_load_explicit(&worker->server->stop, memory_order_acquire) != worker->stop_seen;
}

static void look_for_stop(struct worker *worker)
{
    if (BERTH_LIKELY(!stop_unseen(worker))) {
        return;
    }
    uint32_t stop = atomic_load_explicit(&worker->server->stop, memory_order_acquire);
    worker->stop_seen = stop;
    if (worker->phase == WORKER_RUNNING) {
        begin_stopping(worker);
    }
    if (stop >= 2) {
        cut_all(worker);
    }
}

/* Whether a stop still has to find out what has already arrived; turns then do not wait. */
static bool looks_for_more(const struct worker *worker)
{
    return listening_empties(worker) ||
           (worker->phase == WORKER_STOPPING &&
            (worker->unswept || (worker->queue_open && worker->accepts_in_flight > 0)));
}

/* The first turn in which a stopping server looks for more. */
static void begin_reading(struct worker *worker)
{
    uint64_t ns = worker->server->config.stop_timeout_ms * NS_PER_MS;
    worker->busy_turns = 0;
    worker->reads_ns = worker->now_ns + BUSY_MS * NS_PER_MS;
    worker->read_by_ns = worker->now_ns + ns / BUSY_SHARE;
}

/* Whether there is more to read, as far as is known. A turn that waited proves nothing: a signal
 * may have ended its wait before it looked. */
static bool still_reads(struct worker *worker)
{
    bool fresh = worker->accepts_in_flight > 0 && worker->accept_turn == worker->turn;
    bool busy = worker->quiet_turns == 0 || worker->parked.count > 0 ||
                worker->shares_first != NULL || fresh;
    uint32_t turns = ++worker->busy_turns;
    if (worker->phase == WORKER_RUNNING) {
        return busy && turns < BUSY_TURNS_MAX;
    }
    bool owed = worker->now_ns < worker->reads_ns ||
                turns < BUSY_TURNS_MAX + BUSY_TURNS_CONN * worker->slots.used;
    return busy && owed && worker->now_ns < worker->read_by_ns;
}

static void look_for_quiet(struct worker *worker)
{
    if (!looks_for_more(worker)) {
        return;
    }
    if (worker->phase == WORKER_STOPPING && worker->reads_ns == 0) {
        begin_reading(worker);
    }
    if (still_reads(worker)) {
        return;
    }
    if (worker->phase == WORKER_RUNNING) {
        listening_quiet(worker);
        return;
    }
    worker->reads_ns = 0; /* a client that comes yet has time of its own */
    sweep(worker);
    if (worker->queue_open && worker->accepts_in_flight > 0) {
        end_accepting(worker);
    }
}

static bool look_for_end(struct worker *worker)
{
    bool pauses = worker->queue_open && worker->accept_paused; /* clients wait, as far as we know */
    if (worker->phase < WORKER_STOPPING || worker->slots.used > 0 ||
        worker->accepts_in_flight > 0 || pauses) {
        return false;
    }
    wheel_cancel(&worker->wheel, &worker->stop_timer);
    admit_give_back(worker);
    worker->phase = WORKER_ENDED;
    return true;
}

/* ---------------------------------------------------------------------------------------- a turn
 */

static void timer_expired(struct worker *worker, struct wheel_timer *timer)
{
    switch ((enum timer_kind)timer->kind) {
    case TIMER_CONN:
        deadline_timer(LIST_ENTRY(timer, struct berth_conn, timer));
        return;
    case TIMER_ACCEPT:
        admit_resume(worker);
        return;
    case TIMER_STOP:
        cut_all(worker);
        return;
    case TIMER_SPACE:
        if (worker->short_of.count > 0) {
            close_largest(worker);
            dispatch_patience_start(worker);
        }
        return;
    }
    BERTH_UNREACHABLE();
}

static void completed(struct worker *worker, const struct io_completion *done)
{
    if (io_token_op(done->token) == IO_ACCEPT) {
        listener_completed(worker, done);
        return;
    }
    struct berth_conn *conn = conn_of_token(worker, done->token);
    if (conn == NULL) {
        BERTH_ASSERT((done->flags & IO_LEASE) == 0); /* slots are reused only after their join */
        return;
    }
    switch (io_token_op(done->token)) {
    case IO_RECEIVE:
        receive_completed(conn, done);
        return;
    case IO_SEND:
        send_completed(conn, done->result);
        return;
    case IO_CONNECT:
        connect_completed(conn, done->result);
        return;
    case IO_ACCEPT:
        BERTH_UNREACHABLE();
    }
    BERTH_UNREACHABLE();
}

static void publish(struct worker *worker)
{
    struct io_stats io;
    io_stats(worker->io, &io);
    STAT_ADD(worker, turns, 1);
    atomic_store_explicit(&worker->stats.enters, io.enters, memory_order_relaxed);
    atomic_store_explicit(&worker->stats.queue_overflows, io.overflows, memory_order_relaxed);
    atomic_store_explicit(&worker->stats.messages_out, worker->messages_out, memory_order_relaxed);
}

/* Whether somebody waits for memory, and some was given back since that was last looked at; how
 * much is in use says nothing, others may have taken as much. */
static bool memory_was_freed(const struct worker *worker)
{
    return keep_may_resume(worker) ||
           (worker->short_of.count > 0 && worker->pool.gives != worker->gives_seen);
}

/* How long the worker may sleep; not at all if there is mail. */
static uint64_t sleep_until(struct worker *worker)
{
    atomic_store(&worker->sleeps, true);
    return mailbox_is_empty(&worker->mailbox) ? wheel_next_ns(&worker->wheel) : 0;
}

/* Whether the next turn has something to do whatever happens, and does not wait. */
bool worker_busy(const struct worker *worker)
{
    /* Every lease has gone back by now, so there are buffers for those that wait for one. */
    return worker->parked.count > 0 || worker->again.count > 0 || worker->attend.count > 0 ||
           worker->shares_first != NULL || memory_was_freed(worker) || looks_for_more(worker) ||
           stop_unseen(worker) || worker->settle_turns > 0;
}

/* Whether nobody waits for sends that are done; who watches is to see them when they are. */
static bool sends_may_be_late(const struct worker *worker)
{
    bool short_of_memory = worker->short_of.count > 0 || worker->kept_full.count > 0 ||
                           worker->starved.count > 0 || worker->leases_lent > 0;
    return !worker->sends_awaited && worker->sends_turn <= IO_LATE_SENDS && !short_of_memory &&
           worker->phase == WORKER_RUNNING && worker->watched == 0;
}

bool worker_turn(struct worker *worker, bool wait)
{
    BERTH_ASSERT(worker->phase != WORKER_ENDED);
    BERTH_ASSERT(server_is_here(worker->server));
    current_worker = worker;
    uint64_t deadline = worker_busy(worker) || !wait ? 0 : sleep_until(worker);
    io_sends_may_be_late(worker->io, sends_may_be_late(worker));
    worker->sends_awaited = false;
    worker->sends_turn = 0;
    uint32_t count = io_reap(worker->io, worker->completions, TURN_COMPLETIONS, deadline);
    atomic_store_explicit(&worker->sleeps, false, memory_order_relaxed);
    deadline_reaped(worker, deadline != 0, count);
    deadline_clock(worker, io_now(worker->io));
    worker->turn++;
    worker->watched = atomic_load_explicit(&worker->server->watch, memory_order_relaxed);
    look_for_stop(worker);
    remote_mail(worker, mailbox_take(&worker->mailbox));
    remote_post_room(worker);
    deliver_turn(worker);
    keep_resume_waiting(worker);
    dispatch_resume_waiting(worker);
    worker->gives_seen = worker->pool.gives;
    for (uint32_t i = 0; i < count; i++) {
        completed(worker, &worker->completions[i]);
        if (BERTH_UNLIKELY(worker->warm >= worker->server->warm_bytes)) {
            send_early(worker);
        }
    }
    worker->early = 0;
    worker->warm = 0;
    deadline_settle(worker);
    struct wheel_timer *timer;
    while ((timer = wheel_expire(&worker->wheel, worker->now_ns)) != NULL) {
        timer_expired(worker, timer);
    }
    if (worker->parked.count > 0) {
        receive_rearm_parked(worker);
    }
    look_for_quiet(worker);
    listening_look(worker);
    admit_renew(worker);
    /* A callback may have forked: its child must not send what is the parent's to send. */
    BERTH_ASSERT(server_is_here(worker->server));
    for (uint32_t left = worker->attend.count; left > 0; left--) {
        close_step(&worker->conns[row_take(&worker->attend)]);
    }
    if (worker->starved.count > 0) {
        deliver_starved(worker);
    }
    publish(worker);
    bool ended = look_for_end(worker);
    current_worker = NULL;
    return !ended;
}

/* ------------------------------------------------------------------------------------ the thread
 */

void *worker_run(void *argument)
{
    struct worker *worker = argument;
    struct berth_server *server = worker->server;
    int result = server->config.worker_descriptors ? thread_own_descriptors() : 0;
    result = result < 0 ? result : worker_open(worker);
    if (result < 0) {
        int none = 0;
        atomic_compare_exchange_strong(&server->start_result, &none, result);
    }
    latch_add(&server->opened);
    latch_wait(&server->go, 1, -1);
    if (result == 0) {
        if (atomic_load(&server->start_result) == 0) {
            admit_fill(worker);
            while (worker_turn(worker, true)) {
            }
        }
        worker_close(worker);
    }
    latch_add(&server->ended);
    return NULL;
}
