/* What happens when the system below fails, is slow or says nothing for a while, in virtual time,
 * on the fault-injecting backend around the simulated one.
 */
#include "sim/help_scene.h"

#include <errno.h>
#include <string.h>

#include "io/backend.h"
#include "io/fault.h"
#include "io/sim_world.h"

#define ROUNDS 50

static struct fault_setup setup;
static const struct io_backend *backend;

static void set_up(void)
{
    const struct berth_framing framing = berth_framing_seed(8);
    setup = (struct fault_setup){.seed = 1};
    backend = &io_backend_fault;
    scene_set_up(&framing);
}

/* A server on the fault-injecting backend: what scene_start makes, but for that, and not started.
 */
static void create_with_faults(bool listens)
{
    struct berth_error error = {.text = ""};
    struct berth_listen_options listen = {
        .address = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}}, .protocol = &scene.protocol};
    scene.world = sim_world_create(1, NULL);
    setup.inner = &io_backend_sim;
    setup.world = scene.world;
    assert_int_equal(server_create_in(&scene.server, &scene.config, backend, &setup, &error), 0);
    if (listens) {
        assert_int_equal(berth_listen(scene.server, &listen, &scene.address, &error), 0);
    }
}

static void start(void)
{
    assert_int_equal(server_start_stepped(scene.server), 0);
    scene.worker = &scene.server->workers[0];
}

/* ----------------------------------------------------------------------------------- connecting */

static uint32_t failures;
static uint32_t failures_in_turn;
static uint32_t turn_of_failure;

static void connect_anew(struct berth_server *server)
{
    const struct berth_connect_options options = {
        .address = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}, .port = 1},
        .protocol = &scene.protocol};
    assert_int_equal(berth_connect(server, &options), BERTH_OK);
}

static void failed(struct berth_server *server, void *user, int system, uint32_t attempts)
{
    (void)user;
    assert_int_equal(system, EMFILE);
    assert_int_equal(attempts, 1);
    failures++;
    failures_in_turn = scene.worker->turn == turn_of_failure ? failures_in_turn + 1 : 1;
    turn_of_failure = scene.worker->turn;
    assert_int_equal(failures_in_turn, 1); /* the turn ends, and others have theirs */
    if (failures < ROUNDS) {
        connect_anew(server);
    }
}

/* No descriptor is left, so an attempt fails at once; the program connects anew from the callback,
 * with no delay. The clock stands exactly on a tick, as it does whenever a timer woke the worker.
 */
static void a_connect_that_fails_at_once_lets_the_turn_end(void **state)
{
    (void)state;
    set_up();
    setup.plan.errors_count = 1;
    setup.plan.errors[0] = (struct fault_error){
        .op = IO_CONNECT, .error = EMFILE, .at_start = true, .schedule = FAULT_EVERY, .nth = 1};
    failures = 0;
    scene.config.connects_max = 1;
    scene.protocol.on_connect_failed = failed;
    create_with_faults(false);
    connect_anew(scene.server);
    start();
    SCENE_UNTIL(failures == ROUNDS);
    scene_tear_down();
}

/* -------------------------------------------------------------------------------------- stopping
 */

/* Lets time pass without the server: what was said arrives, and can be reaped. */
static void pass_unheard(void)
{
    sim_advance(scene.world, scene_now() + 10 * NS_PER_MS);
    sim_advance(scene.world, scene_now() + 10 * NS_PER_MS);
}

static bool interrupts;

/* A wait that a signal ends before it has looked, just when somebody stops the server. */
static void interrupted_reap(struct io *io, uint64_t deadline_ns)
{
    if (interrupts && deadline_ns != 0) {
        interrupts = false;
        berth_server_stop(scene.server);
        return;
    }
    io_backend_fault.ops.reap(io, deadline_ns);
}

static void a_stop_that_finds_a_wait_ended_in_vain_looks_again(void **state)
{
    (void)state;
    struct io_backend interrupted = io_backend_fault;
    interrupted.ops.reap = interrupted_reap;
    set_up();
    backend = &interrupted;
    create_with_faults(true);
    start();
    uint32_t actor = scene_arrive(true);
    assert_int_equal(sim_peer_write(scene.world, scene.actors[actor].end, "\4\0\0\0came", 8), 8);
    pass_unheard();
    interrupts = true;
    SCENE_UNTIL((scene_state(actor) & SIM_PEER_EOF) != 0);
    assert_false(interrupts);
    assert_int_equal(scene.actors[actor].got_bytes, 8);
    assert_memory_equal(scene.actors[actor].got, "\4\0\0\0came", 8);
    scene_tear_down();
}

/* However many turns it takes to read what had come. */
static void a_stop_reads_all_that_came_a_byte_at_a_time(void **state)
{
    (void)state;
    enum { FRAMES = 500 };
    set_up();
    setup.plan.receive_most = 1;
    scene.config.receive_buffers = 2;
    create_with_faults(true);
    start();
    uint32_t actor = scene_arrive(true);
    for (uint32_t i = 0; i < FRAMES; i++) {
        assert_int_equal(sim_peer_write(scene.world, scene.actors[actor].end, "\1\0\0\0?", 5), 5);
    }
    pass_unheard();
    berth_server_stop(scene.server);
    SCENE_UNTIL((scene_state(actor) & SIM_PEER_EOF) != 0);
    assert_int_equal(scene.actors[actor].got_bytes, 5 * FRAMES);
    scene_tear_down();
}

/* Two milliseconds an answer. */
static void echo_slowly(struct berth_conn *conn, const struct berth_message *message)
{
    scene_echo(conn, message);
    sim_advance(scene.world, scene_now() + 2 * NS_PER_MS);
}

/* Every connection has its turns, also if these take long. */
static void a_stop_reads_all_that_came_though_answers_take_long(void **state)
{
    (void)state;
    enum { ACTORS = 8, FRAMES = 20 };
    set_up();
    setup.plan.receive_most = 5;
    scene.config.receive_buffers = 2;
    scene.protocol.on_message = echo_slowly;
    create_with_faults(true);
    start();
    for (uint32_t i = 0; i < ACTORS; i++) {
        uint32_t actor = scene_arrive(true);
        for (uint32_t k = 0; k < FRAMES; k++) {
            assert_int_equal(sim_peer_write(scene.world, scene.actors[actor].end, "\1\0\0\0?", 5),
                             5);
        }
    }
    pass_unheard();
    berth_server_stop(scene.server);
    for (uint32_t i = 0; i < ACTORS; i++) {
        SCENE_UNTIL((scene_state(i) & SIM_PEER_EOF) != 0);
        assert_int_equal(scene.actors[i].got_bytes, 5 * FRAMES);
    }
    scene_tear_down();
}

/* They write as much as fits, and read nothing but what they must. */
static void flood(uint8_t *frames, uint32_t bytes)
{
    for (uint32_t i = 0; i < scene.actors_count; i++) {
        (void)sim_peer_write(scene.world, scene.actors[i].end, frames, bytes);
        scene.actors[i].got_bytes = 0;
    }
}

/* Clients that never pause have a tenth of a second; less if the stop has less than four of these.
 */
static void clients_that_never_pause_do_not_hold_up_a_stop(void **state)
{
    (void)state;
    static uint8_t frames[SIM_PIPE_BYTES]; /* all zeros: as many empty frames */
    for (uint32_t timeout_ms = 200; timeout_ms <= 2000; timeout_ms += 1800) {
        uint64_t reads_ms = timeout_ms / 4 < 100 ? timeout_ms / 4 : 100;
        uint64_t swept_ns = 0;
        set_up();
        setup.plan.receive_most = 1; /* so that every turn brings something */
        scene.config.stop_timeout_ms = timeout_ms;
        scene.config.linger_timeout_ms = 100;
        create_with_faults(true);
        start();
        for (int i = 0; i < 4; i++) {
            (void)scene_arrive(true);
        }
        flood(frames, sizeof frames);
        SCENE_UNTIL(scene.messages > 0);
        uint64_t stop_ns = scene_now();
        berth_server_stop(scene.server);
        while (!scene.over) {
            flood(frames, sizeof frames);
            scene_turn();
            if (swept_ns == 0 && !scene.over && !scene.worker->unswept) {
                swept_ns = scene_now();
            }
        }
        assert_in_range(swept_ns - stop_ns, reads_ms * NS_PER_MS, (reads_ms + 5) * NS_PER_MS);
        assert_true(scene.messages > 1000); /* they were served meanwhile */
        assert_true(scene_now() - stop_ns <= (timeout_ms + 5) * NS_PER_MS);
        scene_tear_down();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connect_that_fails_at_once_lets_the_turn_end),
        cmocka_unit_test(a_stop_that_finds_a_wait_ended_in_vain_looks_again),
        cmocka_unit_test(a_stop_reads_all_that_came_a_byte_at_a_time),
        cmocka_unit_test(a_stop_reads_all_that_came_though_answers_take_long),
        cmocka_unit_test(clients_that_never_pause_do_not_hold_up_a_stop),
    };
    return cmocka_run_group_tests_name("sim.failing", tests, NULL, NULL);
}
