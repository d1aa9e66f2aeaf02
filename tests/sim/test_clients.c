/* Berth against Berth in one simulated world: a server that listens, late or with a tiny backlog,
 * and one that only connects, with retries, each the whole core, stepped in an order of the seed's.
 *
 * A talk is an outgoing connection as the program sees it: it must open once, hear every answer in
 * order, and close once, however often it was refused before. When it closes it asks for the next
 * talk from inside its callback. Run one seed with `sim_clients --seed N`.
 */
#include "sim/help_stage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS     250
#define TALKS_MAX 12
#define SAID_MAX  20
#define BYTES_MAX 300
#define STEPS_MAX 3000000
#define DAY_MS    (24u * 3600 * 1000)
#define PORT      5000

static const struct berth_address address = {
    .family = BERTH_IPV4, .port = PORT, .bytes = {127, 0, 0, 1}};

struct talk {
    struct scene *scene;
    uint32_t number;
    uint32_t messages;
    uint32_t window;
    uint32_t said;
    uint32_t heard;
    uint32_t opens;
    uint32_t closes;
    uint32_t fails;
    enum berth_reason reason;
};

struct scene {
    uint64_t seed;
    struct dice dice;
    struct sim_options options;
    struct sim_world *world;
    struct berth_server *server; /* NULL until it appears */
    struct berth_server *client;
    bool server_over;
    bool client_over;
    uint64_t appears_ns;
    struct berth_protocol serves;
    struct berth_protocol talks_to;
    struct berth_connect_options how;
    struct talk talks[TALKS_MAX];
    uint32_t talks_wanted;
    uint32_t talks_asked;
    uint32_t talks_over;
    uint64_t retries;
};

static uint64_t seed_first = 1;
static uint64_t seeds = SEEDS;

static void describe(const struct scene *scene)
{
    const struct sim_options *o = &scene->options;
    fprintf(stderr,
            "at %llu ns; delay %llu, pipe %u, long %u, spurious %u, loses %u; timeout %u ms\n"
            "%u talks, %u asked, %u over; the server %s\n",
            (unsigned long long)sim_world_now(scene->world), (unsigned long long)o->delay_mean_ns,
            o->pipe_bytes, o->long_delay, o->spurious, o->cancel_loses, scene->how.timeout_ms,
            scene->talks_wanted, scene->talks_asked, scene->talks_over,
            scene->server == NULL ? "is not there" : "is there");
    for (uint32_t i = 0; i < scene->talks_asked; i++) {
        const struct talk *talk = &scene->talks[i];
        fprintf(stderr, "talk %u: said %u, heard %u of %u, opens %u closes %u\n", i, talk->said,
                talk->heard, talk->messages, talk->opens, talk->closes);
    }
}

#define CHECK(scene, condition)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            describe(scene);                                                                       \
            fail_msg("sim_clients --seed %llu: %s", (unsigned long long)(scene)->seed,             \
                     #condition);                                                                  \
        }                                                                                          \
    } while (0)

/* -------------------------------------------------------------------------------- what they say */

static uint32_t message_of(const struct talk *talk, uint32_t index, uint8_t *out)
{
    struct dice dice = {.state = talk->scene->seed << 16 | talk->number << 8 | index};
    uint32_t size = dice_one_in(&dice, 3) ? dice_below(&dice, BYTES_MAX) : dice_below(&dice, 20);
    for (uint32_t i = 0; i < size; i++) {
        out[i] = (uint8_t)dice_roll(&dice);
    }
    return size;
}

static void say_more(struct berth_conn *conn, struct talk *talk)
{
    uint8_t message[BYTES_MAX];
    while (talk->said < talk->messages && talk->said < talk->heard + talk->window) {
        uint32_t size = message_of(talk, talk->said, message);
        CHECK(talk->scene, berth_send(conn, message, size) == BERTH_OK);
        talk->said++;
    }
    if (talk->heard == talk->messages) {
        berth_close(conn);
        CHECK(talk->scene, berth_send(conn, message, 1) == BERTH_E_CLOSED);
    }
}

static void ask_next(struct scene *scene)
{
    if (scene->talks_asked == scene->talks_wanted) {
        return;
    }
    struct talk *talk = &scene->talks[scene->talks_asked];
    *talk = (struct talk){.scene = scene, .number = scene->talks_asked};
    talk->messages = dice_below(&scene->dice, SAID_MAX + 1);
    talk->window = dice_one_in(&scene->dice, 2) ? 1 : dice_between(&scene->dice, 1, SAID_MAX);
    scene->how.user = talk;
    scene->how.worker = dice_below(&scene->dice, 8);
    scene->how.delay_ms = dice_below(&scene->dice, 3);
    int result = berth_connect(scene->client, &scene->how);
    if (result != BERTH_E_FULL) { /* then a talk that ends asks again */
        CHECK(scene, result == BERTH_OK);
        scene->talks_asked++;
    }
}

static void client_open(struct berth_conn *conn)
{
    struct talk *talk = berth_conn_user(conn);
    CHECK(talk->scene, talk->opens == 0);
    CHECK(talk->scene, berth_conn_connect_attempts(conn) >= 1);
    talk->opens++;
    talk->scene->retries += berth_conn_connect_attempts(conn) - 1;
    say_more(conn, talk);
}

static void client_message(struct berth_conn *conn, const struct berth_message *message)
{
    struct talk *talk = berth_conn_user(conn);
    uint8_t expected[BYTES_MAX];
    CHECK(talk->scene, talk->opens == 1 && talk->closes == 0 && talk->heard < talk->said);
    uint32_t size = message_of(talk, talk->heard, expected);
    CHECK(talk->scene, message->size == size && memcmp(message->data, expected, size) == 0);
    talk->heard++;
    say_more(conn, talk);
}

static void client_close(struct berth_conn *conn, enum berth_reason reason)
{
    struct talk *talk = berth_conn_user(conn);
    CHECK(talk->scene, talk->opens == 1 && talk->closes == 0);
    talk->closes++;
    talk->reason = reason;
    talk->scene->talks_over++;
    ask_next(talk->scene);
}

static void client_failed(struct berth_server *server, void *user, int system, uint32_t attempts)
{
    struct talk *talk = user;
    CHECK(talk->scene, server == talk->scene->client);
    CHECK(talk->scene, talk->opens == 0 && attempts == talk->scene->how.attempts);
    CHECK(talk->scene, system == ECONNREFUSED || system == ETIMEDOUT);
    talk->fails++;
    talk->scene->talks_over++;
    ask_next(talk->scene);
}

static void server_messages(struct berth_conn *conn, const struct berth_message *messages,
                            size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct scene *scene = berth_conn_context(conn);
        CHECK(scene, berth_reply(conn, &messages[i], messages[i].data, messages[i].size) == 0);
    }
}

/* ------------------------------------------------------------------------------------ the scene */

static void draw_config(struct scene *scene, struct berth_config *c)
{
    struct dice *dice = &scene->dice;
    berth_config_init(c);
    c->workers = dice_between(dice, 1, 3);
    c->receive_bytes = dice_between(dice, 1, 200);
    c->receive_buffers = 2;
    c->send_bytes = dice_between(dice, 1, 200);
    c->send_high_bytes = dice_between(dice, 1, 1000);
    c->send_low_bytes = dice_below(dice, c->send_high_bytes + 1);
    c->pool_bytes = 1 << 20;
    /* Where nobody does anything time runs on to the next timer: see test_deadlines.c */
    c->first_message_timeout_ms = 0;
    c->message_timeout_ms = 0;
    c->receive_idle_timeout_ms = 0;
    c->send_progress_timeout_ms = 0;
    c->linger_timeout_ms = DAY_MS;
    c->stop_timeout_ms = DAY_MS;
}

static struct berth_server *create(struct scene *scene, const struct berth_config *config)
{
    struct berth_server *server = NULL;
    struct berth_error error = {.text = ""};
    if (server_create_in(&server, config, &io_backend_sim, scene->world, &error) != BERTH_OK) {
        fail_msg("seed %llu: %s", (unsigned long long)scene->seed, error.text);
    }
    return server;
}

static void server_appears(struct scene *scene)
{
    struct berth_config config;
    struct berth_address bound;
    draw_config(scene, &config);
    config.connections_max = dice_between(&scene->dice, 1, TALKS_MAX);
    scene->server = create(scene, &config);
    struct berth_listen_options listen = {.address = address, .protocol = &scene->serves};
    listen.backlog = (int)dice_between(&scene->dice, 1, 4);
    CHECK(scene, berth_listen(scene->server, &listen, &bound, NULL) == BERTH_OK);
    CHECK(scene, bound.port == PORT);
    CHECK(scene, server_start_stepped(scene->server) == 0);
}

static void scene_open(struct scene *scene, uint64_t seed)
{
    memset(scene, 0, sizeof *scene);
    scene->seed = seed;
    scene->dice.state = seed;
    scene->options = sim_options_swarm(dice_roll(&scene->dice));
    scene->options.reset = 0;
    scene->options.half_close = 0;
    scene->options.accept_error = 0;
    scene->world = sim_world_create(seed, &scene->options);
    scene->serves = (struct berth_protocol){
        .framing = berth_framing_seed(BYTES_MAX), .context = scene, .on_messages = server_messages};
    scene->talks_to = (struct berth_protocol){.framing = berth_framing_seed(BYTES_MAX),
                                              .on_open = client_open,
                                              .on_message = client_message,
                                              .on_close = client_close,
                                              .on_connect_failed = client_failed};
    scene->how = (struct berth_connect_options){
        .address = address,
        .protocol = &scene->talks_to,
        .attempts = UINT32_MAX,
        .retry_ms = dice_between(&scene->dice, 1, 20),
        .retry_max_ms = dice_between(&scene->dice, 1, 100),
        .timeout_ms = dice_one_in(&scene->dice, 3) ? dice_between(&scene->dice, 1, 20) : 0,
    };
    scene->appears_ns = sim_world_now(scene->world);
    if (dice_one_in(&scene->dice, 2)) {
        scene->appears_ns += dice_below(&scene->dice, 200) * NS_PER_MS;
    }
    sim_world_alarm(scene->world, scene->appears_ns);
    struct berth_config config;
    draw_config(scene, &config);
    config.connects_max = dice_between(&scene->dice, 1, 6);
    /* Two sides that both stop reading while they cannot send would wait for each other for ever:
     * the client must be willing to read whatever it has queued. */
    config.send_high_bytes = SAID_MAX * (BYTES_MAX + 4);
    scene->client = create(scene, &config);
    scene->talks_wanted = dice_between(&scene->dice, 1, TALKS_MAX);
    for (uint32_t i = 0; i < TALKS_MAX; i++) {
        ask_next(scene);
    }
    CHECK(scene, scene->talks_asked >= 1);
    CHECK(scene, server_start_stepped(scene->client) == 0);
}

/* One turn of a random worker; true when all of them have ended. */
static bool step(struct scene *scene, struct berth_server *server)
{
    uint32_t count = server->config.workers;
    uint32_t index = dice_below(&scene->dice, count);
    bool over = true;
    for (uint32_t i = 0; i < count; i++, index = (index + 1) % count) {
        struct worker *worker = &server->workers[index];
        if (worker->io == NULL) {
            continue;
        }
        over = false;
        if (!worker_turn(worker, true)) {
            worker_close(worker);
        }
        break;
    }
    return over;
}

static void scene_play(struct scene *scene)
{
    bool stopping = false;
    for (uint64_t steps = 0; !scene->client_over || !scene->server_over; steps++) {
        CHECK(scene, steps < STEPS_MAX);
        if (scene->server == NULL && sim_world_now(scene->world) >= scene->appears_ns) {
            server_appears(scene);
        }
        if (!stopping && scene->talks_over == scene->talks_wanted && scene->server != NULL) {
            berth_server_stop(scene->server);
            berth_server_stop(scene->client);
            stopping = true;
        }
        bool first = dice_one_in(&scene->dice, 2);
        if ((first || scene->server == NULL || scene->server_over) && !scene->client_over) {
            scene->client_over = step(scene, scene->client);
        } else if (!scene->server_over) {
            scene->server_over = step(scene, scene->server);
        }
    }
}

static void scene_close(struct scene *scene)
{
    struct berth_stats stats;
    berth_server_stats(scene->client, &stats);
    CHECK(scene, stats.connections_open == 0);
    CHECK(scene, stats.connected == scene->talks_wanted);
    CHECK(scene, stats.closed == scene->talks_wanted);
    CHECK(scene, stats.connect_failures == 0);
    CHECK(scene, stats.connect_retries == scene->retries);
    CHECK(scene, stats.stale_completions == 0);
    CHECK(scene, atomic_load(&scene->client->connects) == 0);
    for (uint32_t i = 0; i < scene->talks_wanted; i++) {
        const struct talk *talk = &scene->talks[i];
        CHECK(scene, talk->opens == 1 && talk->closes == 1 && talk->fails == 0);
        CHECK(scene, talk->heard == talk->messages && talk->reason == BERTH_REASON_LOCAL);
    }
    berth_server_stats(scene->server, &stats);
    CHECK(scene, stats.connections_open == 0 && stats.accepted == stats.closed);
    CHECK(scene, stats.accepted >= scene->talks_wanted);
    berth_server_destroy(scene->server);
    berth_server_destroy(scene->client);
    CHECK(scene, sim_world_connections(scene->world) == 0);
    sim_world_destroy(scene->world);
}

static void every_talk_is_held_in_full(void **state)
{
    (void)state;
    static struct scene scene;
    uint64_t retries = 0;
    uint64_t count = seeds * (getenv("BERTH_FULL") != NULL ? 20 : 1);
    for (uint64_t seed = seed_first; seed < seed_first + count; seed++) {
        scene_open(&scene, seed);
        scene_play(&scene);
        scene_close(&scene);
        retries += scene.retries;
    }
    assert_true(count == 1 || retries > count / 10); /* refusals were among them */
}

/* ------------------------------------------------------------------------- nobody listens, in time
 */

struct failure {
    int system;
    uint32_t attempts;
    uint32_t calls;
};

static void note_failure(struct berth_server *server, void *user, int system, uint32_t attempts)
{
    (void)server;
    struct failure *failure = user;
    *failure =
        (struct failure){.system = system, .attempts = attempts, .calls = failure->calls + 1};
}

/* The waits between attempts double, up to their limit, with at most half taken off. */
static void nobody_listens(void **state)
{
    (void)state;
    static struct scene scene;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        scene = (struct scene){.seed = seed, .dice = {seed}};
        scene.world = sim_world_create(seed, NULL);
        struct berth_config config;
        struct failure failure = {0};
        draw_config(&scene, &config);
        config.workers = 1;
        config.connects_max = 1;
        scene.client = create(&scene, &config);
        struct berth_protocol protocol = {.framing = berth_framing_seed(16),
                                          .on_connect_failed = note_failure};
        struct berth_connect_options how = {.address = address,
                                            .protocol = &protocol,
                                            .user = &failure,
                                            .attempts = 6,
                                            .retry_ms = 100,
                                            .retry_max_ms = 500};
        CHECK(&scene, berth_connect(scene.client, &how) == BERTH_OK);
        CHECK(&scene, berth_connect(scene.client, &how) == BERTH_E_FULL);
        CHECK(&scene, server_start_stepped(scene.client) == 0);
        uint64_t start_ns = sim_world_now(scene.world);
        struct worker *worker = &scene.client->workers[0];
        while (failure.calls == 0) {
            CHECK(&scene, worker_turn(worker, true));
        }
        uint64_t took_ms = (sim_world_now(scene.world) - start_ns) / NS_PER_MS;
        CHECK(&scene, failure.system == ECONNREFUSED && failure.attempts == 6);
        /* 100 + 200 + 400 + 500 + 500, or half of it, and a little for the network and the ticks */
        CHECK(&scene, took_ms >= 850 && took_ms <= 1720);
        berth_server_stop(scene.client);
        while (worker_turn(worker, true)) {
        }
        worker_close(worker);
        CHECK(&scene, failure.calls == 1);
        berth_server_destroy(scene.client);
        CHECK(&scene, sim_world_connections(scene.world) == 0);
        sim_world_destroy(scene.world);
    }
}

/* An attempt is given up after timeout_ms, and counts as one. */
static void an_attempt_that_takes_too_long_is_a_timeout(void **state)
{
    (void)state;
    static struct scene scene;
    const struct sim_options slow = {.delay_mean_ns = 1000 * 1000 * NS_PER_MS};
    for (uint32_t attempts = 1; attempts <= 3; attempts++) {
        scene = (struct scene){.seed = attempts, .dice = {attempts}};
        scene.world = sim_world_create(attempts, &slow);
        struct berth_config config;
        struct failure failure = {0};
        draw_config(&scene, &config);
        config.workers = 1;
        config.connects_max = 1;
        scene.client = create(&scene, &config);
        struct berth_protocol protocol = {.framing = berth_framing_seed(16),
                                          .on_connect_failed = note_failure};
        struct berth_connect_options how = {.address = address,
                                            .protocol = &protocol,
                                            .user = &failure,
                                            .attempts = attempts,
                                            .timeout_ms = 50};
        CHECK(&scene, berth_connect(scene.client, &how) == BERTH_OK);
        CHECK(&scene, server_start_stepped(scene.client) == 0);
        while (failure.calls == 0) {
            CHECK(&scene, worker_turn(&scene.client->workers[0], true));
        }
        CHECK(&scene, failure.system == ETIMEDOUT && failure.attempts == attempts);
        berth_server_stop(scene.client);
        while (!step(&scene, scene.client)) {
        }
        berth_server_destroy(scene.client);
        CHECK(&scene, sim_world_connections(scene.world) == 0);
        sim_world_destroy(scene.world);
    }
}

/* A stop ends connecting at once, whatever waits: each talk hears of it. */
static void a_stop_gives_up_what_is_not_connected(void **state)
{
    (void)state;
    static struct scene scene;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        scene = (struct scene){.seed = seed, .dice = {seed}};
        struct sim_options options = sim_options_swarm(seed);
        scene.world = sim_world_create(seed, &options);
        struct berth_config config;
        struct failure failures[4] = {{0}};
        draw_config(&scene, &config);
        config.connects_max = 4;
        scene.client = create(&scene, &config);
        struct berth_protocol protocol = {.framing = berth_framing_seed(16),
                                          .on_connect_failed = note_failure};
        struct berth_connect_options how = {
            .address = address, .protocol = &protocol, .attempts = UINT32_MAX};
        for (uint32_t i = 0; i < 4; i++) {
            how.user = &failures[i];
            how.worker = i;
            how.delay_ms = i * dice_below(&scene.dice, 50);
            CHECK(&scene, berth_connect(scene.client, &how) == BERTH_OK);
        }
        CHECK(&scene, server_start_stepped(scene.client) == 0);
        for (uint32_t steps = dice_below(&scene.dice, 60); steps > 0; steps--) {
            (void)step(&scene, scene.client);
        }
        uint64_t stop_ns = sim_world_now(scene.world);
        berth_server_stop(scene.client);
        while (!step(&scene, scene.client)) {
        }
        CHECK(&scene, sim_world_now(scene.world) - stop_ns < 60 * 1000 * NS_PER_MS);
        for (uint32_t i = 0; i < 4; i++) {
            CHECK(&scene, failures[i].calls == 1);
        }
        berth_server_destroy(scene.client);
        CHECK(&scene, sim_world_connections(scene.world) == 0);
        sim_world_destroy(scene.world);
    }
}

int main(int count, char **arguments)
{
    if (count == 3 && strcmp(arguments[1], "--seed") == 0) {
        seed_first = strtoull(arguments[2], NULL, 10);
        seeds = 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_talk_is_held_in_full),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(an_attempt_that_takes_too_long_is_a_timeout),
        cmocka_unit_test(a_stop_gives_up_what_is_not_connected),
    };
    return cmocka_run_group_tests_name("sim.clients", tests, NULL, NULL);
}
