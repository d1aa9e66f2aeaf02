/* A stop while accepting pauses, for want of memory or descriptors: those that wait in the queue
 * are served when there are some again, and the stop's deadline ends it when there are none.
 */
#include "sim/help_scene.h"

#define STOP_MS 500
#define SEEDS   40

/* In one of five the client is lost instead: then there is nobody to wait. */
static const struct sim_options failing = {.accept_error = SIM_RATE_ONE - 1, .delay_mean_ns = 1};

static bool is_lost(uint32_t actor)
{
    return (scene_state(actor) & SIM_PEER_RESET) != 0;
}

/* A client has connected and spoken, and accepting pauses. Whether it waits. */
static bool wait_in_queue(uint64_t seed, uint32_t pause_ms)
{
    const struct berth_framing framing = berth_framing_seed(8);
    static uint8_t room[64];
    scene_set_up(&framing);
    scene.config.accept_pause_ms = pause_ms;
    scene.config.stop_timeout_ms = STOP_MS;
    scene.config.connections_max = 1;
    scene_start(seed, &failing);
    scene.actors_count = 1;
    scene.actors[0] = (struct actor){.got = room, .reads = true};
    scene.actors[0].end = sim_peer_connect(scene.world, &scene.address);
    SCENE_UNTIL(scene.worker->accept_paused || is_lost(0));
    if (!is_lost(0)) {
        scene_say(0, "\1\0\0\0x", 5);
    }
    return !is_lost(0);
}

static void end(void)
{
    sim_peer_close(scene.world, scene.actors[0].end);
    scene.actors_count = 0;
    scene_tear_down();
}

static void who_waits_is_served_by_a_stop_though_accepting_paused(void **state)
{
    (void)state;
    uint32_t waited = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        if (wait_in_queue(seed, 20)) {
            const struct sim_options kind = {.delay_mean_ns = 1};
            berth_server_stop(scene.server);
            scene_turn();
            sim_world_options(scene.world, &kind);
            SCENE_UNTIL((scene_state(0) & (SIM_PEER_EOF | SIM_PEER_RESET)) != 0 || scene.over);
            assert_int_equal(scene.actors[0].got_bytes, 5);
            assert_int_equal(scene.opens, 1);
            waited++;
        }
        end();
    }
    assert_true(waited > SEEDS / 4);
}

static void a_stop_does_not_wait_for_ever_for_descriptors(void **state)
{
    (void)state;
    uint32_t waited = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        if (wait_in_queue(seed, 300)) {
            uint64_t from_ns = scene_now();
            berth_server_stop(scene.server);
            SCENE_UNTIL(scene.over);
            if (!is_lost(0)) {
                SCENE_AFTER(scene_now(), from_ns, STOP_MS);
                waited++;
            }
        }
        end();
    }
    assert_true(waited > SEEDS / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_waits_is_served_by_a_stop_though_accepting_paused),
        cmocka_unit_test(a_stop_does_not_wait_for_ever_for_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
