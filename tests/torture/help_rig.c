/* The rig: its server from create to destroy, its turns, and the account at the end.
 *
 * In the simulated world the workers are stepped here, on the test's thread; on the real backends
 * they are threads, and a turn is a look at the clients. Waiting ends when the thing waited for is
 * there. When nothing goes on any more, memory comes back, if it was away for good: at once, or,
 * for the patient, after the time in which the server closes somebody for want of it. What still
 * does not come then never comes, and the test fails.
 */
#include "torture/help_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "torture/help_run.h"

/* Turns without anything new: a millisecond each, of virtual time in the simulated world. */
#define QUIET_TURNS     30
#define PATIENCE_TURNS  RIG_PATIENCE_TURNS
#define NEVER_TURNS     60000
#define NEVER_MS        10000
#define NUDGES_MAX      3
#define DESCRIPTORS_MAX 256
#define WAIT_MS         2

struct rig rig = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const struct io_backend *const backends[RIG_WORLDS] = {&io_backend_sim, &io_backend_epoll,
                                                              &io_backend_uring};

_Noreturn void rig_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    run_failed(format, arguments);
    va_end(arguments);
    fflush(stderr);
    _exit(EXIT_FAILURE);
}

uint64_t rig_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The process's open descriptors. */
static uint32_t descriptors(void)
{
    uint32_t count = 0;
    for (int fd = 0; fd < DESCRIPTORS_MAX; fd++) {
        count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    }
    return count;
}

static void on_log(void *context, const char *text)
{
    (void)context;
    pthread_mutex_lock(&rig.lock);
    (void)snprintf(rig.log, sizeof rig.log, "%s", text);
    pthread_mutex_unlock(&rig.lock);
    atomic_fetch_add(&rig.logged, 1);
}

static void on_event(void *context, struct berth_conn *conn, const struct berth_record *record)
{
    (void)context;
    (void)conn;
    RIG_CHECK(berth_event_name(record->event) != NULL);
    atomic_fetch_add(&rig.events, 1);
}

void rig_reset(enum rig_world kind)
{
    memset(&rig, 0, offsetof(struct rig, clients));
    memset((uint8_t *)&rig + offsetof(struct rig, clients_count), 0,
           offsetof(struct rig, lock) - offsetof(struct rig, clients_count));
    size_t behind = offsetof(struct rig, held);
    memset((uint8_t *)&rig + behind, 0, sizeof rig - behind);
    rig.kind = kind;
    rig.bystander = RIG_CLIENTS;
    rig.listeners = 1;
    for (uint32_t i = 0; i < RIG_VISITS; i++) {
        rig.visits[i].client = -1;
    }
    struct berth_config *c = &rig.config;
    berth_config_init(c);
    c->backend = kind == RIG_EPOLL ? BERTH_BACKEND_EPOLL : BERTH_BACKEND_URING;
    c->workers = 1;
    c->connections_max = RIG_CLIENTS;
    c->receive_bytes = 4096;
    c->receive_buffers = 8;
    c->pool_bytes = 4 << 20;
    c->post_bytes = 256 << 10;
    c->accept_pause_ms = 2;
    c->recorder_records = 16;
    c->linger_timeout_ms = kind == RIG_SIM ? 1000 : 150; /* some scenarios wait for it */
    c->first_message_timeout_ms = 0; /* where nobody says anything virtual time runs on */
    c->message_timeout_ms = 0;
    c->receive_idle_timeout_ms = 0;
    c->send_progress_timeout_ms = 0;
    c->on_log = on_log;
    c->on_event = on_event;
    rig_protocols();
    rig.descriptors = descriptors();
}

/* -------------------------------------------------------------------------------------- beginning
 */

/* An operating error must say what it is about, in a sentence. */
static bool allowed(const char *call, int result, const struct berth_error *error)
{
    if (result == BERTH_OK) {
        return true;
    }
    if (!allocations_failed()) {
        rig_fail("%s: %s", call, error->text);
    }
    bool code = result == BERTH_E_MEMORY || result == BERTH_E_SYSTEM;
    if (rig.chooses && result == BERTH_E_UNSUPPORTED) {
        code = rig.config.backend == BERTH_BACKEND_URING; /* the self-test found no memory */
    }
    bool why = strstr(error->text, "memory") != NULL || strstr(error->text, "space") != NULL ||
               (error->system != 0 && strstr(error->text, strerror(error->system)) != NULL) ||
               (result == BERTH_E_UNSUPPORTED && strchr(error->text, ':') != NULL);
    why = why && strstr(error->text, ": :") == NULL;
    if (strcmp(call, "start") == 0) {
        why = why && (strstr(error->text, "thread") != NULL || strstr(error->text, "backend"));
    }
    if (!code || error->code != result || !why) {
        rig_fail("%s: %s, \"%s\"", call, berth_err_name(result), error->text);
    }
    atomic_fetch_add(&rig.refused, 1);
    return false;
}

bool rig_create(void)
{
    struct berth_error error = {.text = ""};
    if (rig.kind == RIG_SIM && rig.world == NULL) {
        rig.world = sim_world_create(1, NULL);
    }
    int result = rig.chooses ? RIG_CALL(berth_server_create(&rig.server, &rig.config, &error))
                             : RIG_CALL(server_create_in(&rig.server, &rig.config,
                                                         backends[rig.kind], rig.world, &error));
    RIG_CHECK((result == BERTH_OK) == (rig.server != NULL));
    return allowed("create", result, &error);
}

bool rig_listen(void)
{
    for (uint32_t i = 0; i < rig.listeners; i++) {
        struct berth_error error = {.text = ""};
        const struct berth_listen_options options = {
            .address = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}},
            .protocol = &rig.protocols[i]};
        int result = RIG_CALL(berth_listen(rig.server, &options, &rig.addresses[i], &error));
        if (!allowed("listen", result, &error)) {
            return false;
        }
    }
    return true;
}

bool rig_group(uint32_t number, enum berth_slow slow)
{
    static const char *const names[RIG_GROUPS] = {"a", "b", "c"};
    struct berth_error error = {.text = ""};
    const struct berth_group_options options = {.name = names[number], .slow = slow};
    struct berth_group *group = NULL;
    int result = RIG_CALL(berth_group_create(rig.server, &options, &group, &error));
    atomic_store(&rig.groups[number], group);
    RIG_CHECK((berth_group_find(rig.server, names[number]) != NULL) == (result == BERTH_OK));
    return allowed("group", result, &error);
}

/* Steps a worker; closes it when it has ended. */
static void step(uint32_t number)
{
    struct worker *worker = &rig.server->workers[number];
    bool before = allocations_counted(true);
    if (!worker_turn(worker, true)) {
        worker_close(worker);
        rig.ended[number] = true;
    }
    (void)allocations_counted(before);
}

static bool all_ended(void)
{
    for (uint32_t i = 0; i < rig.config.workers; i++) {
        if (!rig.ended[i]) {
            return false;
        }
    }
    return true;
}

/* Of a start that failed in the middle: those workers that have begun end. */
static void end_begun(void)
{
    berth_server_stop(rig.server);
    for (uint32_t i = 0; i < rig.config.workers; i++) {
        rig.ended[i] = rig.server->workers[i].io == NULL;
        while (!rig.ended[i]) {
            step(i);
        }
    }
}

bool rig_start(void)
{
    struct berth_error error = {.text = ""};
    int result;
    if (rig.kind == RIG_SIM) {
        result = RIG_CALL(server_start_stepped(rig.server));
        if (result < 0) {
            RIG_CHECK(result == -ENOMEM && allocations_failed());
            end_begun();
        }
        rig.running = result == 0;
        return rig.running;
    }
    result = RIG_CALL(berth_server_start(rig.server, &error));
    rig.running = result == BERTH_OK;
    return allowed("start", result, &error);
}

bool rig_up(void)
{
    return rig_create() && rig_listen() && rig_start();
}

/* ------------------------------------------------------------------------------------------ turns
 */

void rig_turn(void)
{
    if (rig.kind != RIG_SIM) {
        rig_clients_poll();
    } else if (rig.running) {
        if (rig.alarm_ns <= sim_world_now(rig.world)) { /* one at a time, or they would add up */
            rig.alarm_ns = sim_world_now(rig.world) + NS_PER_MS;
            sim_world_alarm(rig.world, rig.alarm_ns);
        }
        for (uint32_t i = 0; i < rig.config.workers; i++) {
            if (!rig.ended[i]) {
                step(i);
            }
        }
    }
    rig_clients_read();
}

static bool serves(void)
{
    return rig.running && atomic_load(&rig.server->stop) == 0;
}

void rig_relent(void)
{
    rig_answer_bystander();
    allocations_relent();
    rig.stuck = 0;
    if (serves()) {
        uint32_t before = rig.visited;
        while (!rig_visit_all()) { /* the posts may be full in earnest */
            rig_turn();
        }
        RIG_UNTIL(rig.visited > before);
    }
}

void rig_wait(const char *what, int line)
{
    uint32_t before = rig.progress;
    rig_turn();
    if (rig.progress != before) {
        rig.stuck = 0;
        return;
    }
    rig.stuck++;
    rig.stuck_ms = rig.stuck == 1 ? rig_now_ms() : rig.stuck_ms;
    if (allocations_fail() && rig.stuck > (rig.patient ? PATIENCE_TURNS : QUIET_TURNS)) {
        rig_relent();
        return;
    }
    /* Whoever found the pool empty for once waits for others to give something back, or a second;
     * any turn of the worker is as good. In virtual time the second is let pass. */
    if (rig.kind != RIG_SIM && rig.stuck == QUIET_TURNS && serves() && allocations_failed() &&
        rig.nudges < NUDGES_MAX) {
        rig.nudges++;
        (void)rig_visit_all();
    }
    if (rig.stuck > NEVER_TURNS || (rig.kind != RIG_SIM && rig.stuck > QUIET_TURNS &&
                                    rig_now_ms() - rig.stuck_ms > NEVER_MS)) {
        rig_fail("line %d: never came: %s", line, what);
    }
}

/* ---------------------------------------------------------------------------------------- the end
 */

/* Messages of clients that came late may be kept when the worker ends; then they go with its
 * memory. */
static void check_worker(const struct worker *worker, bool all_let_go)
{
    RIG_CHECK(worker->io == NULL);
    RIG_CHECK(worker->slots.used == 0);
    RIG_CHECK(worker->pool.used == worker->kept_bytes);
    RIG_CHECK(worker->pool.chains == 0);
    RIG_CHECK(worker->kept_bytes == 0 || !all_let_go || rig.cut);
    RIG_CHECK(worker->behind_bytes == 0);
    RIG_CHECK(worker->permits == 0);
    pool_validate(&worker->pool);
}

/* A server that ran has given everything back. */
static void check_account(void)
{
    bool all_let_go = rig_let_go(RIG_HELD) == 0; /* else they came when the worker had ended */
    const struct berth_server *server = rig.server;
    struct berth_stats stats;
    berth_server_stats(server, &stats);
    RIG_CHECK(stats.connections_open == 0);
    RIG_CHECK(stats.closed == stats.accepted + stats.connected);
    RIG_CHECK(stats.connections_most <= rig.config.connections_max);
    RIG_CHECK(server->permits == rig.config.connections_max);
    RIG_CHECK(server->connects == 0);
    RIG_CHECK(server->post.pool.used == 0);
    pool_validate(&server->post.pool);
    for (uint32_t i = 0; i < rig.config.workers; i++) {
        check_worker(&server->workers[i], all_let_go);
    }
    uint32_t visits = rig.visits_count;
    for (uint32_t i = 0; i < visits; i++) {
        RIG_CHECK(rig.visits[i].closes == 1);
    }
    RIG_CHECK(visits + rig.dials_opened == stats.closed);
    RIG_CHECK(rig.dials_opened == rig.dials_closed);
    RIG_CHECK(rig.dials == rig.dials_opened + rig.dials_failed);
}

/* With memory back, the server serves anybody. */
static void check_serves(void)
{
    if (rig.bystander < RIG_CLIENTS) {
        RIG_CHECK(rig_hello(rig.bystander));
    }
    uint32_t client = rig_client(0);
    RIG_CHECK(rig_hello(client));
    rig_ask(client, (struct ask){'i', 30000, 30000, 0});
    rig_ask(client, (struct ask){'n', 60, 500, 0});
    RIG_UNTIL(rig_settled(client));
    RIG_CHECK(!rig.clients[client].ended);
    rig_half_close(client);
    RIG_UNTIL(rig.clients[client].ended);
    RIG_CHECK(!rig.clients[client].reset);
}

/* What clients that came late have said is kept meanwhile, and has to be answered. */
static void stop(void)
{
    bool ended = false;
    berth_server_stop(rig.server);
    for (uint32_t turns = 0; !ended; turns++) {
        RIG_CHECK(turns < NEVER_TURNS);
        if (turns == QUIET_TURNS) {
            allocations_relent();
        }
        (void)rig_let_go(RIG_HELD);
        if (rig.kind == RIG_SIM) {
            rig_turn();
            ended = all_ended();
        } else {
            ended = berth_server_wait(rig.server, WAIT_MS);
        }
    }
    rig.running = false;
}

void rig_stop(void)
{
    for (uint32_t i = 0; i < rig.clients_count; i++) {
        rig_leave(i);
    }
    if (rig.running) {
        stop();
        check_account();
    }
}

/* What liburing maps for itself does not pass through our hands. */
static uint32_t ring_mappings(void)
{
    char line[512];
    uint32_t count = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    RIG_CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL) {
        count += strstr(line, "[io_uring]") != NULL ? 1 : 0;
    }
    fclose(maps);
    return count;
}

static void check_nothing_is_out(void)
{
    if (rig.kind == RIG_URING && ring_mappings() > 0) {
        rig_fail("a ring is mapped still");
    }
    char text[2000];
    uint32_t out = allocations_out(text, sizeof text);
    if (out > 0) {
        rig_fail("%u things were not given back:\n%s", out, text);
    }
    uint32_t now = descriptors();
    if (now != rig.descriptors) {
        rig_fail("%u descriptors were open before, %u are now", rig.descriptors, now);
    }
}

void rig_down(void)
{
    rig.piece = 0;
    rig_relent();
    if (rig.running && !rig.cut) {
        rig_settle();
        rig_judge();
    }
    (void)rig_let_go(RIG_HELD);
    if (serves()) {
        check_serves();
    }
    rig_stop();
    RIG_CALL((berth_server_destroy(rig.server), 0));
    rig.server = NULL;
    RIG_CHECK(rig.visited == rig.visits_asked);
    if (rig.world != NULL) {
        RIG_CHECK(sim_world_connections(rig.world) == 0);
        sim_world_destroy(rig.world);
        rig.world = NULL;
    }
    check_nothing_is_out();
}
