/* F11, every listed error of every operation: each comes once, every seventh time, and in a burst,
 * to a whole server, which must do what io.h says of it and nothing else.
 *
 * A cell is an error and a schedule. In it a server of one worker, on the fault-injecting backend,
 * is stepped on the test's thread, in turns with its peers (help_errors_peers.c), which are on the
 * plain backend: so the three worlds run the same code. Clients ask, come again when they are cut
 * off, and must get every answer; for errors of connect the server goes to the peers instead. Then
 * the server is stopped while clients are connected, and nothing may be left. Each wait is bounded,
 * in time on a real backend and in turns in the simulation.
 *
 * What became of the error is held against the counters that a user sees, and against the reasons
 * with which connections closed: table `outcomes` below. A cell that fails says what was wrong.
 */
#include "conform/help_errors.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/core.h"
#include "faults/row.h"
#include "io/fault.h"

#define SKIPPED 77

/* A cell takes some tens of milliseconds, or some thousand turns. */
#define WAIT_NS    UINT64_C(4000000000)
#define WAIT_TURNS 400000

/* A stop has nothing to wait for but the peers' goodbyes. */
#define STOP_NS UINT64_C(1000000000)

/* After so many turns in vain a real turn waits a little, so that another test gets the CPU. */
#define IDLE_TURNS 20
#define IDLE_NS    200000

/* Longer than the pauses and retries below, so that several fall into it. */
#define BURST_NS UINT64_C(10000000)

#define NTH_ONCE  3
#define NTH_EVERY 7

#define CONNECTS       24
#define ATTEMPTS       100 /* of half of them; the others have one, and the program comes again */
#define RETRY_MAX_MS   2
#define ACCEPT_WAIT_MS 2

/* In the simulation, each cell in so many worlds. */
#define SIM_SEEDS      2
#define SIM_SEEDS_FULL 50

/* ------------------------------------------------------------------------------------- the cells
 */

/* What io.h says of an error. */
enum outcome {
    PAUSES,       /* nobody is lost: accepting pauses, and goes on */
    LOSES_ONE,    /* that client is gone, and no other: accepting goes on at once */
    STARTS_AGAIN, /* nothing is lost, nobody hears of it */
    WAITS,        /* for a receive buffer; nothing is lost */
    ENDS_RESET,   /* that connection, and no other, with the reason RESET */
    ENDS_STALLED, /* ... with the reason SEND_STALLED */
    ENDS_SYSTEM,  /* ... with the reason SYSTEM */
    TRIES_AGAIN,  /* the attempt has failed; the program hears of the last one */
};

static const char *const outcome_names[] = {
    [PAUSES] = "accepting pauses",
    [LOSES_ONE] = "one client is lost",
    [STARTS_AGAIN] = "starts again",
    [WAITS] = "waits for a buffer",
    [ENDS_RESET] = "ends the connection as reset",
    [ENDS_STALLED] = "ends the connection as stalled",
    [ENDS_SYSTEM] = "ends the connection for the system",
    [TRIES_AGAIN] = "the attempt fails",
};

struct listed {
    enum io_op op;
    bool at_start;
    int error;
    enum outcome outcome;
};

/* The lists of io.h. */
static const struct listed outcomes[] = {
    {IO_ACCEPT, false, EMFILE, PAUSES},
    {IO_ACCEPT, false, ENFILE, PAUSES},
    {IO_ACCEPT, false, ENOBUFS, PAUSES},
    {IO_ACCEPT, false, ENOMEM, PAUSES},
    {IO_ACCEPT, false, EIO, PAUSES},
    {IO_ACCEPT, false, ECONNABORTED, LOSES_ONE},
    {IO_ACCEPT, false, EPROTO, LOSES_ONE},
    {IO_ACCEPT, false, EPERM, LOSES_ONE},
    {IO_ACCEPT, false, ECANCELED, STARTS_AGAIN},
    {IO_CONNECT, true, EMFILE, TRIES_AGAIN},
    {IO_CONNECT, true, ENFILE, TRIES_AGAIN},
    {IO_CONNECT, true, ENOBUFS, TRIES_AGAIN},
    {IO_CONNECT, true, ENOMEM, TRIES_AGAIN},
    {IO_CONNECT, true, EAFNOSUPPORT, TRIES_AGAIN},
    {IO_CONNECT, true, EADDRINUSE, TRIES_AGAIN},
    {IO_CONNECT, true, EADDRNOTAVAIL, TRIES_AGAIN},
    {IO_CONNECT, true, EACCES, TRIES_AGAIN},
    {IO_CONNECT, true, EPERM, TRIES_AGAIN},
    {IO_CONNECT, true, EIO, TRIES_AGAIN},
    {IO_CONNECT, false, ECONNREFUSED, TRIES_AGAIN},
    {IO_CONNECT, false, ETIMEDOUT, TRIES_AGAIN},
    {IO_CONNECT, false, EHOSTUNREACH, TRIES_AGAIN},
    {IO_CONNECT, false, ENETUNREACH, TRIES_AGAIN},
    {IO_CONNECT, false, ECONNRESET, TRIES_AGAIN},
    {IO_CONNECT, false, EADDRNOTAVAIL, TRIES_AGAIN},
    {IO_CONNECT, false, EADDRINUSE, TRIES_AGAIN},
    {IO_CONNECT, false, EACCES, TRIES_AGAIN},
    {IO_CONNECT, false, EPERM, TRIES_AGAIN},
    {IO_CONNECT, false, ENOBUFS, TRIES_AGAIN},
    {IO_CONNECT, false, ENOMEM, TRIES_AGAIN},
    {IO_CONNECT, false, ECANCELED, TRIES_AGAIN},
    {IO_CONNECT, false, EIO, TRIES_AGAIN},
    {IO_RECEIVE, false, ENOBUFS, WAITS},
    {IO_RECEIVE, false, ECANCELED, STARTS_AGAIN},
    {IO_RECEIVE, false, ECONNRESET, ENDS_RESET},
    {IO_RECEIVE, false, EPIPE, ENDS_RESET},
    {IO_RECEIVE, false, ETIMEDOUT, ENDS_STALLED},
    {IO_RECEIVE, false, EHOSTUNREACH, ENDS_STALLED},
    {IO_RECEIVE, false, ENETUNREACH, ENDS_STALLED},
    {IO_RECEIVE, false, ENOMEM, ENDS_SYSTEM},
    {IO_RECEIVE, false, EIO, ENDS_SYSTEM},
    {IO_SEND, false, ECANCELED, STARTS_AGAIN},
    {IO_SEND, false, EPIPE, ENDS_RESET},
    {IO_SEND, false, ECONNRESET, ENDS_RESET},
    {IO_SEND, false, ETIMEDOUT, ENDS_STALLED},
    {IO_SEND, false, EHOSTUNREACH, ENDS_STALLED},
    {IO_SEND, false, ENETUNREACH, ENDS_STALLED},
    {IO_SEND, false, ENOBUFS, ENDS_SYSTEM},
    {IO_SEND, false, ENOMEM, ENDS_SYSTEM},
    {IO_SEND, false, EIO, ENDS_SYSTEM},
};
#define LISTED (sizeof outcomes / sizeof *outcomes)

static const struct {
    const char *name;
    enum fault_schedule schedule;
    uint32_t nth;
} schedules[] = {
    {"once", FAULT_ONCE, NTH_ONCE},
    {"every 7th", FAULT_EVERY, NTH_EVERY},
    {"burst", FAULT_BURST, NTH_ONCE},
};
#define SCHEDULES (sizeof schedules / sizeof *schedules)

#define REASONS 16

/* A cell's server, and what its callbacks saw. They have no context of their own. */
static struct cell {
    const struct listed *listed;
    const char *schedule;
    const struct io_backend *inner;
    uint64_t seed;

    struct sim_world *world;
    struct fault_setup setup;
    struct berth_protocol protocol;
    struct berth_server *server;
    struct worker *worker;
    struct berth_address address;
    struct peers peers;
    struct berth_stats stats; /* when all was answered */
    bool over;
    uint32_t turns;
    uint32_t idle;
    bool right;

    uint32_t opens;
    uint32_t closes;
    uint32_t reasons[REASONS];
    uint32_t strange; /* closed by an error that was not the cell's */
    uint32_t served;  /* outgoing connections that got their answer */
    uint32_t given_up;
} cell;

static const char *name_of(enum io_op op)
{
    switch (op) {
    case IO_ACCEPT:
        return "accept";
    case IO_CONNECT:
        return "connect";
    case IO_RECEIVE:
        return "receive";
    case IO_SEND:
        return "send";
    }
    return "?";
}

/* Notes that a cell is wrong, and says why. */
static void expect(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "%s: %s%s, %s, %s, seed %llu, \"%s\": not so: %s\n",
                io_backend_name(cell.inner), name_of(cell.listed->op),
                cell.listed->at_start ? " (start)" : "", strerrorname_np(cell.listed->error),
                cell.schedule, (unsigned long long)cell.seed, outcome_names[cell.listed->outcome],
                what);
        cell.right = false;
    }
}

#define EXPECT(condition) expect(condition, #condition)

/* --------------------------------------------------------------------------------- the callbacks
 */

static void on_open(struct berth_conn *conn)
{
    cell.opens++;
    if (cell.listed->op == IO_CONNECT) {
        EXPECT(berth_send(conn, "who?", 4) == BERTH_OK);
    }
}

static void on_message(struct berth_conn *conn, const struct berth_message *message)
{
    if (cell.listed->op != IO_CONNECT) {
        EXPECT(berth_reply(conn, message, message->data, message->size) == BERTH_OK);
        return;
    }
    EXPECT(message->size == 4 && memcmp(message->data, "who?", 4) == 0);
    cell.served++;
    berth_close(conn);
}

static void on_close(struct berth_conn *conn, enum berth_reason reason)
{
    cell.closes++;
    cell.reasons[reason]++;
    if (reason == BERTH_REASON_RESET || reason == BERTH_REASON_SYSTEM ||
        reason == BERTH_REASON_SEND_STALLED) {
        cell.strange += conn->system != cell.listed->error ? 1 : 0;
    }
}

static void go_out(struct berth_server *server, uint32_t attempts)
{
    struct berth_connect_options options = {.address = cell.peers.listener.address,
                                            .protocol = &cell.protocol,
                                            .attempts = attempts,
                                            .retry_ms = 1,
                                            .retry_max_ms = RETRY_MAX_MS};
    EXPECT(berth_connect(server, &options) == BERTH_OK);
}

static void on_connect_failed(struct berth_server *server, void *user, int system,
                              uint32_t attempts)
{
    (void)user;
    cell.given_up++;
    EXPECT(system == cell.listed->error);
    EXPECT(attempts == 1);
    go_out(server, 1); /* the program's own patience */
}

/* ------------------------------------------------------------------------------------- the server
 */

static bool open_server(void)
{
    struct berth_config config;
    struct berth_error error = {.text = ""};
    berth_config_init(&config);
    config.workers = 1;
    config.connections_max = PEERS_CLIENTS + 2;
    config.connects_max = CONNECTS + 2;
    config.receive_buffers = 2; /* few enough to be short of them without our help */
    config.receive_bytes = 4096;
    config.pool_bytes = 1 << 20;
    config.accept_pause_ms = ACCEPT_WAIT_MS;
    cell.protocol = (struct berth_protocol){.framing = berth_framing_seed(PEERS_MESSAGE_MAX),
                                            .on_open = on_open,
                                            .on_message = on_message,
                                            .on_close = on_close,
                                            .on_connect_failed = on_connect_failed};
    struct berth_listen_options listen = {
        .address = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}}, .protocol = &cell.protocol};
    if (server_create_in(&cell.server, &config, &io_backend_fault, &cell.setup, &error) != 0 ||
        berth_listen(cell.server, &listen, &cell.address, &error) != BERTH_OK) {
        fprintf(stderr, "%s\n", error.text);
        return false;
    }
    for (uint32_t i = 0; cell.listed->op == IO_CONNECT && i < CONNECTS; i++) {
        go_out(cell.server, i % 2 == 0 ? ATTEMPTS : 1);
    }
    cell.worker = &cell.server->workers[0];
    return server_start_stepped(cell.server) == 0;
}

/* A turn of everybody. */
static void turn(void)
{
    bool simulated = cell.world != NULL;
    uint32_t count = 0;
    if (!cell.over) {
        struct io_stats before;
        struct io_stats after;
        io_stats(cell.worker->io, &before);
        bool goes_on = worker_turn(cell.worker, simulated);
        io_stats(cell.worker->io, &after);
        count = (uint32_t)(after.completions - before.completions);
        if (!goes_on) {
            worker_close(cell.worker);
            cell.over = true;
        }
    }
    uint64_t now_ns = io_now(cell.peers.io);
    uint64_t until_ns = cell.idle > IDLE_TURNS ? now_ns + IDLE_NS : 0;
    count += peers_turn(&cell.peers, simulated ? IO_FOREVER : until_ns);
    cell.idle = count > 0 ? 0 : cell.idle + 1;
    cell.turns++;
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* Lets turns pass until something is so, or for too long. */
static bool until(bool (*is_so)(void), uint64_t wait_ns)
{
    uint64_t begin_ns = now();
    cell.turns = 0;
    while (!is_so()) {
        bool late = cell.world != NULL ? cell.turns > WAIT_TURNS : now() - begin_ns > wait_ns;
        if (late) {
            return false;
        }
        turn();
    }
    return true;
}

static bool all_is_answered(void)
{
    if (cell.listed->op == IO_CONNECT) {
        return cell.served == CONNECTS && cell.closes == cell.opens;
    }
    return peers_answered(&cell.peers);
}

static bool all_is_over(void)
{
    return cell.over && peers_gone(&cell.peers);
}

/* ---------------------------------------------------------------------------------- the judgement
 */

static uint32_t ended_by_errors(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < REASONS; i++) {
        bool ordinary = i == BERTH_REASON_PEER || i == BERTH_REASON_LOCAL || i == BERTH_REASON_STOP;
        count += ordinary ? 0 : cell.reasons[i];
    }
    return count;
}

/* What must be so whatever the error, when the server has ended. */
static void judge_the_end(int fds_before, int fds_after)
{
    EXPECT(cell.closes == cell.opens);
    EXPECT(cell.strange == 0);
    EXPECT(cell.peers.wrong == 0);
    EXPECT(atomic_load(&cell.server->open) == 0);
    EXPECT(atomic_load(&cell.server->connects) == 0);
    EXPECT(atomic_load(&cell.server->permits) == cell.server->config.connections_max);
    EXPECT(cell.worker->pool.used == 0);
    EXPECT(cell.worker->slots.used == 0);
    EXPECT(fds_before == fds_after);
    EXPECT(cell.world == NULL || sim_world_connections(cell.world) == 0);
}

static void judge(void)
{
    uint64_t came = cell.setup.counts.errors[0];
    uint64_t resets = cell.reasons[BERTH_REASON_RESET];
    enum outcome outcome = cell.listed->outcome;
    bool ends = outcome == ENDS_RESET || outcome == ENDS_STALLED || outcome == ENDS_SYSTEM;
    bool accepts = outcome == PAUSES || outcome == LOSES_ONE;
    EXPECT(came > 0);
    EXPECT(cell.schedule != schedules[0].name || came == 1);
    EXPECT(cell.schedule != schedules[1].name || came > 1);
    EXPECT(cell.peers.losses == (ends || outcome == LOSES_ONE ? came : 0));
    EXPECT(resets == (outcome == ENDS_RESET ? came : 0));
    EXPECT(cell.reasons[BERTH_REASON_SEND_STALLED] == (outcome == ENDS_STALLED ? came : 0));
    EXPECT(cell.reasons[BERTH_REASON_SYSTEM] == (outcome == ENDS_SYSTEM ? came : 0));
    EXPECT(ended_by_errors() == (ends ? came : 0));
    EXPECT(cell.stats.resets == resets);
    EXPECT(cell.stats.accept_errors == (accepts ? came : 0));
    EXPECT(outcome != PAUSES || cell.stats.accept_pauses > 0);
    EXPECT(outcome == PAUSES || cell.stats.accept_pauses == 0);
    EXPECT(outcome != WAITS || cell.stats.receive_parks >= came);
    EXPECT(outcome != TRIES_AGAIN || cell.stats.connect_retries + cell.given_up == came);
}

/* Descriptors of this process. */
static int count_fds(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder != NULL && readdir(folder) != NULL) {
        count++;
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return count;
}

/* Runs the cell that is described in `cell`. Whether all was right. */
static bool run_cell(void)
{
    int fds = count_fds();
    cell.right = true;
    if (peers_open(&cell.peers, cell.inner, cell.world) < 0 || !open_server()) {
        expect(false, "the cell opens");
        return false;
    }
    if (cell.listed->op != IO_CONNECT) {
        peers_ask(&cell.peers, &cell.address);
    }
    bool answered = until(all_is_answered, WAIT_NS);
    EXPECT(answered);
    berth_server_stats(cell.server, &cell.stats);
    if (answered) {
        judge();
    }
    peers_end(&cell.peers);
    berth_server_stop(cell.server);
    bool stopped = until(all_is_over, STOP_NS);
    EXPECT(stopped);
    if (!stopped) {
        return false; /* what it still holds cannot be taken apart; the process goes on without */
    }
    peers_close(&cell.peers, cell.inner, cell.world);
    io_listener_close(&io_backend_fault, &cell.setup, &cell.server->listeners[0]);
    cell.server->listeners_count = 0;
    judge_the_end(fds, count_fds());
    berth_server_destroy(cell.server);
    return cell.right;
}

/* A cell in one world, or, simulated, in several. */
static bool run_cell_in_worlds(const struct io_backend *inner, const struct listed *listed,
                               size_t schedule, uint64_t seeds)
{
    bool right = true;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        memset(&cell, 0, sizeof cell);
        cell.listed = listed;
        cell.schedule = schedules[schedule].name;
        cell.inner = inner;
        cell.seed = seed;
        cell.world = inner == &io_backend_sim ? sim_world_create(seed, NULL) : NULL;
        cell.setup.inner = inner;
        cell.setup.world = cell.world;
        cell.setup.seed = seed;
        cell.setup.plan.errors_count = 1;
        cell.setup.plan.errors[0] = (struct fault_error){.op = listed->op,
                                                         .error = listed->error,
                                                         .at_start = listed->at_start,
                                                         .schedule = schedules[schedule].schedule,
                                                         .nth = schedules[schedule].nth,
                                                         .burst_ns = BURST_NS};
        right = run_cell() && right;
        if (cell.world != NULL && cell.right) {
            sim_world_destroy(cell.world);
        }
    }
    return right;
}

static bool opens(const struct io_backend *inner)
{
    struct sim_world *world = inner == &io_backend_sim ? sim_world_create(0, NULL) : NULL;
    struct peers peers;
    int result = peers_open(&peers, inner, world);
    if (result < 0) {
        printf("skipped: %s: %s\n", io_backend_name(inner), strerror(-result));
    } else {
        peers_end(&peers);
        while (!peers_gone(&peers)) {
            (void)peers_turn(&peers, 0);
        }
        peers_close(&peers, inner, world);
    }
    if (world != NULL) {
        sim_world_destroy(world);
    }
    return result >= 0;
}

int errors_run(const struct io_backend *inner)
{
    bool simulated = inner == &io_backend_sim;
    uint64_t seeds = !simulated ? 1 : getenv("BERTH_FULL") != NULL ? SIM_SEEDS_FULL : SIM_SEEDS;
    const char *name = io_backend_name(inner);
    uint32_t passed = 0;
    if (!opens(inner)) {
        return SKIPPED;
    }
    fault_begin("F11", name, simulated ? "sim" : "kernel");
    for (size_t i = 0; i < LISTED; i++) {
        for (size_t k = 0; k < SCHEDULES; k++) {
            passed += run_cell_in_worlds(inner, &outcomes[i], k, seeds) ? 1 : 0;
        }
    }
    char figure[64];
    uint32_t cells = LISTED * SCHEDULES;
    (void)snprintf(figure, sizeof figure, "%u of %u cells", passed, cells);
    printf("%s: %s\n", name, figure);
    fault_write(passed == cells, figure);
    return passed == cells ? EXIT_SUCCESS : EXIT_FAILURE;
}
