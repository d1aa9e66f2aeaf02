/* What a program may do from inside the callbacks that tell it of a failure, in virtual time, on
 * the fault-injecting backend.
 */
#include "sim/help_scene.h"

#include <errno.h>

#include "io/fault.h"

#define ROUNDS 50

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
    const struct berth_framing framing = berth_framing_seed(8);
    struct fault_setup setup = {.inner = &io_backend_sim, .world = sim_world_create(1, NULL)};
    struct berth_error error = {.text = ""};
    setup.plan.errors_count = 1;
    setup.plan.errors[0] = (struct fault_error){
        .op = IO_CONNECT, .error = EMFILE, .at_start = true, .schedule = FAULT_EVERY, .nth = 1};
    failures = 0;
    scene_set_up(&framing);
    scene.config.connects_max = 1;
    scene.protocol.on_connect_failed = failed;
    assert_int_equal(
        server_create_in(&scene.server, &scene.config, &io_backend_fault, &setup, &error), 0);
    connect_anew(scene.server);
    assert_int_equal(server_start_stepped(scene.server), 0);
    scene.worker = &scene.server->workers[0];
    SCENE_UNTIL(failures == ROUNDS);
    berth_server_stop(scene.server);
    SCENE_UNTIL(scene.over);
    berth_server_destroy(scene.server);
    sim_world_destroy(setup.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connect_that_fails_at_once_lets_the_turn_end),
    };
    return cmocka_run_group_tests_name("sim.failing", tests, NULL, NULL);
}
