/* Shared payloads and endings, in virtual time: members that leave, close or are cut, workers that
 * end with letters in their mailbox, and everything at random; every byte must come back.
 */
#include "sim/help_crowd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------- leaving and ends
 */

static berth_handle leaver;

static void leave_by_visit(struct berth_conn *conn, void *group)
{
    if (berth_conn_handle(conn) == leaver) {
        berth_group_leave(group, conn);
    }
}

/* What is queued when a member leaves, closes or is cut is sent or dropped, and given back. */
static void references_end_with_their_connection(void **state)
{
    (void)state;
    const struct sim_options narrow = {.pipe_bytes = 200};
    for (unsigned how = 0; how < 4; how++) {
        for (unsigned policy = 0; policy < 2; policy++) {
            char group = (char)('A' + policy);
            crowd_set_up();
            crowd_start(12 + how, &narrow);
            (void)crowd_arrive(group, false);
            (void)crowd_arrive(group, true);
            for (unsigned i = 0; i < 30; i++) {
                crowd_send(group);
                crowd_turns(5);
            }
            assert_true(scene.server->post.pool.used > 0);
            if (how == 0) {
                leaver = crowd_handles[0]; /* its own commands are not read while it is slow */
                assert_int_equal(
                    berth_visit(scene.server, leave_by_visit, NULL, crowd_groups[group - 'A']),
                    BERTH_OK);
                SCENE_UNTIL(berth_group_members(crowd_groups[group - 'A']) == 1);
                scene.actors[0].reads = true; /* it still gets what was queued */
                SCENE_UNTIL(scene.server->post.pool.used == 0);
                SCENE_UNTIL(scene.actors[0].got_bytes % FRAME == 0);
                assert_true(scene.actors[0].got_bytes >= FRAMES_UNTIL_SLOW * FRAME);
                crowd_check(0, FRAMES_UNTIL_SLOW - 1, group, FRAMES_UNTIL_SLOW - 1);
            } else if (how == 1) {
                sim_peer_reset(scene.world, scene.actors[0].end);
                SCENE_UNTIL(scene.closes == 1);
            } else if (how == 2) {
                sim_peer_close(scene.world, scene.actors[0].end);
                scene.actors[0].end = sim_peer_connect(scene.world, &scene.address);
                SCENE_UNTIL(scene.closes == 1);
            } else {
                crowd_send(group); /* a letter that is not taken before the cut */
                berth_server_stop(scene.server);
                berth_server_stop(scene.server);
                crowd_send(group);
            }
            if (how != 3) {
                SCENE_UNTIL(scene.server->post.pool.used == 0);
            }
            crowd_tear_down();
        }
    }
}

/* A payload that reaches the mailbox of a worker that has ended, or that no turn takes any more. */
static void letters_to_a_worker_that_ends(void **state)
{
    (void)state;
    crowd_set_up();
    crowd_start(20, NULL);
    (void)crowd_arrive('A', true);
    (void)crowd_arrive('A', true);
    berth_server_stop(scene.server);
    for (uint32_t turn = 0; worker_turn(scene.worker, true); turn++) {
        crowd_send('A');
        crowd_send('*');
        if (turn == 3) {
            berth_server_stop(scene.server);
        }
    }
    /* The last turn's receivers are gone, so letters must be made by hand to come too late. */
    count_add(&scene.worker->speaking[0], 1);
    crowd_send('*');
    assert_true(scene.server->post.pool.used > 0);
    worker_close(scene.worker); /* takes it */
    assert_int_equal(scene.server->post.pool.used, 0);
    crowd_send('*'); /* is refused at the door */
    assert_int_equal(scene.server->post.pool.used, 0);
    scene.over = true;
    crowd_tear_down();
}

/* ---------------------------------------------------------------------------------------- a swarm
 */

/* What one client has seen: numbers of each group, rising. Returns how many frames. */
static uint32_t check_stream(uint64_t seed, uint32_t number)
{
    const struct actor *actor = &scene.actors[number];
    int64_t last[128];
    memset(last, -1, sizeof last);
    uint32_t frames = actor->got_bytes / FRAME;
    for (uint32_t n = 0; n < frames; n++) {
        const uint8_t *at = actor->got + (size_t)n * FRAME;
        uint32_t got;
        memcpy(&got, at + 5, sizeof got);
        crowd_check(number, n, (char)at[4], got);
        if ((int64_t)got <= last[at[4]]) {
            fail_msg("seed %llu: client %u got %c %u after %lld", (unsigned long long)seed, number,
                     at[4], got, (long long)last[at[4]]);
        }
        last[at[4]] = got;
    }
    return frames;
}

static void act(struct dice *dice)
{
    uint32_t actor = dice_below(dice, scene.actors_count);
    char group = (char)('A' + dice_below(dice, CROWD_GROUPS));
    uint8_t frame[6] = {2, 0, 0, 0, dice_one_in(dice, 3) ? 'l' : 'j', (uint8_t)group};
    switch (dice_below(dice, 8)) {
    case 0:
    case 1:
        if (sim_peer_write(scene.world, scene.actors[actor].end, frame, 6) % 6 != 0) {
            sim_peer_reset(scene.world, scene.actors[actor].end); /* half a command */
        }
        break;
    case 2:
        (void)crowd_try_send('*', (enum berth_slow)(1 + dice_below(dice, 2)));
        break;
    case 3:
        scene.actors[actor].reads = !scene.actors[actor].reads;
        break;
    case 4:
        if (dice_one_in(dice, 10)) {
            sim_peer_reset(scene.world, scene.actors[actor].end);
        } else if (dice_one_in(dice, 10)) {
            sim_peer_shutdown(scene.world, scene.actors[actor].end, IO_SHUTDOWN_SEND);
        }
        break;
    default:
        (void)crowd_try_send(group, BERTH_SLOW_PAUSE);
        break;
    }
}

/* Everything at random: every stream holds whole frames of rising numbers, and nothing is left. */
static void any_order_of_events_keeps_order_and_memory(void **state)
{
    (void)state;
    uint32_t frames = 0;
    struct berth_stats sum = {0};
    for (uint64_t seed = 1; seed <= 500; seed++) {
        struct dice dice = {.state = seed};
        struct sim_options options = sim_options_swarm(seed);
        options.half_close = 0;
        options.pipe_bytes = dice_between(&dice, 60, 3000);
        crowd_set_up();
        scene.config.post_bytes = 65536;
        scene.config.stop_timeout_ms = 10;
        crowd_start(seed, &options);
        for (uint32_t i = 0; i < 6; i++) {
            scene.actors[i] = (struct actor){.got = malloc(SCENE_ROOM), .reads = i % 2 == 0};
            scene.actors[i].end = sim_peer_connect(scene.world, &scene.address);
            scene.actors_count++;
        }
        uint32_t steps = dice_between(&dice, 100, 1500);
        for (uint32_t i = 0; i < steps; i++) {
            act(&dice);
            crowd_turns(dice_below(&dice, 4));
        }
        struct berth_stats stats = crowd_stats();
        sum.group_deliveries += stats.group_deliveries;
        sum.group_skipped += stats.group_skipped;
        sum.group_replaced += stats.group_replaced;
        sum.group_closed += stats.group_closed;
        for (uint32_t i = 0; i < scene.actors_count; i++) {
            frames += check_stream(seed, i);
        }
        if (dice_one_in(&dice, 2)) {
            berth_server_stop(scene.server);
        }
        crowd_tear_down();
    }
    /* The dice do reach all that there is to reach. */
    print_message("%u frames; %llu deliveries, %llu skipped, %llu replaced, %llu closed\n", frames,
                  (unsigned long long)sum.group_deliveries, (unsigned long long)sum.group_skipped,
                  (unsigned long long)sum.group_replaced, (unsigned long long)sum.group_closed);
    assert_true(frames > 1000 && sum.group_skipped > 100 && sum.group_replaced > 100);
    assert_true(sum.group_closed > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_end_with_their_connection),
        cmocka_unit_test(letters_to_a_worker_that_ends),
        cmocka_unit_test(any_order_of_events_keeps_order_and_memory),
    };
    return cmocka_run_group_tests_name("sim.group_ends", tests, NULL, NULL);
}
