/* An on_drained that is owed comes, also when the connection is about to end in order: the program
 * was refused room for something that it still has to send.
 */
#include "sim/help_scene.h"

#include <string.h>

#define PUSHES     300
#define PUSH_BYTES 50

static void push(struct berth_conn *conn)
{
    uint8_t message[PUSH_BYTES];
    while (scene.sent < PUSHES) {
        memset(message, (int)scene.sent, sizeof message);
        if (berth_send(conn, message, sizeof message) == BERTH_E_WOULD_EXCEED) {
            scene.exceeded++;
            return;
        }
        scene.sent++;
    }
}

static void open_and_push(struct berth_conn *conn)
{
    scene_on_open(conn);
    push(conn);
}

static void drained(struct berth_conn *conn)
{
    scene.drains++;
    push(conn);
}

static void set_up(uint64_t seed)
{
    const struct berth_framing framing = berth_framing_seed(PUSH_BYTES);
    scene_set_up(&framing);
    scene.protocol.on_open = open_and_push;
    scene.protocol.on_drained = drained;
    scene.config.send_high_bytes = 400;
    scene.config.send_low_bytes = 40 + (uint32_t)seed;
    scene.config.send_max_bytes = 1000;
    scene.config.send_bytes = 70 + (uint32_t)seed;
    scene_start(seed, NULL);
}

static void check_all_came(uint32_t actor)
{
    SCENE_UNTIL((scene_state(actor) & SIM_PEER_EOF) != 0);
    assert_int_equal(scene.sent, PUSHES);
    assert_int_equal(scene.drains, scene.exceeded);
    assert_true(scene.drains > 5);
    assert_int_equal(scene.actors[actor].got_bytes, PUSHES * (PUSH_BYTES + 4));
}

static void a_half_close_waits_for_the_on_drained_that_is_owed(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        set_up(seed);
        uint32_t actor = scene_arrive(true);
        assert_true(scene.exceeded > 0);
        sim_peer_shutdown(scene.world, scene.actors[actor].end, IO_SHUTDOWN_SEND);
        check_all_came(actor);
        SCENE_UNTIL(scene.closes == 1);
        assert_int_equal(scene.reason, BERTH_REASON_PEER);
        scene_tear_down();
    }
}

static void a_stop_waits_for_the_on_drained_that_is_owed(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        set_up(seed);
        uint32_t actor = scene_arrive(true);
        assert_true(scene.exceeded > 0);
        berth_server_stop(scene.server);
        check_all_came(actor);
        sim_peer_shutdown(scene.world, scene.actors[actor].end, IO_SHUTDOWN_SEND);
        SCENE_UNTIL(scene.closes == 1);
        assert_int_equal(scene.reason, BERTH_REASON_STOP);
        scene_tear_down();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_half_close_waits_for_the_on_drained_that_is_owed),
        cmocka_unit_test(a_stop_waits_for_the_on_drained_that_is_owed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
