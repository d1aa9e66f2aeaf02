/* Members that do not read, in virtual time: what each policy does, between which marks, also for
 * broadcasts, and when it is not their queue but the pool that has no room.
 */
#include "sim/help_crowd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------------------------------- the slow
 */

/* A client that does not read and one that does are members, and so many payloads are sent. */
static void send_to_slow_and_fast(char group, uint32_t count)
{
    const struct sim_options narrow = {.pipe_bytes = 1000};
    crowd_set_up();
    crowd_start(8, &narrow);
    (void)crowd_arrive(group, false);
    (void)crowd_arrive(group, true);
    for (uint32_t i = 0; i < count; i++) {
        crowd_send(group);
        SCENE_UNTIL(scene.actors[1].got_bytes == (i + 1) * FRAME);
        crowd_check(1, i, group, i);
    }
}

/* The same, and what lies in the pipe's two ends. */
#define FRAMES_MOST (FRAMES_UNTIL_SLOW + 2 * 1000 / FRAME + 1)

static void the_slow_miss_what_comes_while_they_are(void **state)
{
    (void)state;
    send_to_slow_and_fast('A', 100);
    uint32_t missed = (uint32_t)crowd_stats().group_skipped;
    uint32_t first = 100 - missed;
    assert_in_range(first, FRAMES_UNTIL_SLOW, FRAMES_MOST);
    scene.actors[0].reads = true;
    SCENE_UNTIL(scene.actors[0].got_bytes == first * FRAME);
    crowd_send('A');
    SCENE_UNTIL(scene.actors[0].got_bytes == (first + 1) * FRAME);
    for (uint32_t i = 0; i < first; i++) {
        crowd_check(0, i, 'A', i);
    }
    crowd_check(0, first, 'A', 100);
    assert_int_equal(crowd_stats().group_skipped, missed);
    crowd_tear_down();
}

/* Between the marks a member that was slow is still slow, and one that was not is not. */
static void slow_until_the_low_mark(void **state)
{
    (void)state;
    send_to_slow_and_fast('A', 100);
    uint64_t missed = crowd_stats().group_skipped;
    struct actor *actor = &scene.actors[0];
    SCENE_UNTIL(sim_world_idle(scene.world));
    while (crowd_conn(0)->out.bytes > scene.config.send_high_bytes) {
        actor->got_bytes +=
            (uint32_t)sim_peer_read(scene.world, actor->end, actor->got + actor->got_bytes, FRAME);
        crowd_turns(20);
    }
    assert_true(crowd_conn(0)->out.bytes > scene.config.send_low_bytes);
    crowd_send('A');
    crowd_turns(20);
    assert_int_equal(crowd_stats().group_skipped, missed + 1);
    while (crowd_conn(0)->out.bytes > scene.config.send_low_bytes) {
        actor->got_bytes +=
            (uint32_t)sim_peer_read(scene.world, actor->end, actor->got + actor->got_bytes, FRAME);
        crowd_turns(20);
    }
    for (unsigned i = 0; i < 3; i++) {
        crowd_send('A');
        crowd_turns(20);
        assert_int_equal(crowd_stats().group_skipped, missed + 1);
    }
    assert_true(crowd_conn(0)->out.bytes > scene.config.send_low_bytes);
    crowd_tear_down();
}

static void the_latest_waits_for_the_slow(void **state)
{
    (void)state;
    send_to_slow_and_fast('B', 100);
    uint32_t replaced = (uint32_t)crowd_stats().group_replaced;
    uint32_t first = 100 - replaced - 1;
    assert_in_range(first, FRAMES_UNTIL_SLOW, FRAMES_MOST);
    scene.actors[0].reads = true;
    SCENE_UNTIL(scene.actors[0].got_bytes == (first + 1) * FRAME);
    for (uint32_t i = 0; i < first; i++) {
        crowd_check(0, i, 'B', i);
    }
    crowd_check(0, first, 'B', 99);
    crowd_send('B'); /* and goes on as before */
    SCENE_UNTIL(scene.actors[0].got_bytes == (first + 2) * FRAME);
    crowd_check(0, first + 1, 'B', 100);
    assert_int_equal(crowd_stats().group_replaced, replaced);
    assert_int_equal(crowd_stats().group_skipped, 0);
    assert_int_equal(scene.server->post.pool.used, 0);
    crowd_tear_down();
}

/* One that would lead above send_max_bytes finds even a member slow that is below the mark. */
static void what_does_not_fit_finds_them_slow(void **state)
{
    (void)state;
    static const uint8_t large[15 * FRAME];
    send_to_slow_and_fast('A', 8 + 1000 / FRAME);
    struct berth_conn *slow = crowd_conn(0);
    assert_true(slow->out.bytes > scene.config.send_max_bytes - sizeof large);
    assert_true(slow->out.bytes <= scene.config.send_high_bytes);
    assert_int_equal(crowd_stats().group_skipped, 0);
    uint32_t before = scene.actors[1].got_bytes;
    assert_int_equal(berth_group_send(crowd_groups[0], large, sizeof large), BERTH_OK);
    SCENE_UNTIL(scene.actors[1].got_bytes == before + 4 + sizeof large);
    assert_int_equal(crowd_stats().group_skipped, 1);
    static const uint8_t too_large[20 * FRAME];
    assert_int_equal(berth_group_send(crowd_groups[0], too_large, sizeof too_large),
                     BERTH_E_TOO_LARGE);
    crowd_tear_down();
}

static void the_slow_are_closed(void **state)
{
    (void)state;
    send_to_slow_and_fast('C', 60);
    SCENE_UNTIL(scene.closes == 1);
    assert_int_equal(scene.reason, BERTH_REASON_SLOW);
    assert_string_equal(scene.why, berth_reason_text(BERTH_REASON_SLOW));
    assert_int_equal(crowd_stats().group_closed, 1);
    assert_int_equal(berth_group_members(crowd_groups[2]), 1);
    assert_int_equal(scene.actors[1].got_bytes, 60 * FRAME);
    crowd_tear_down();
}

/* Who is in no group is paused, served with the latest, or closed by broadcasts all the same. */
static void broadcasts_know_the_slow(void **state)
{
    (void)state;
    const struct sim_options narrow = {.pipe_bytes = 1000};
    for (int slow = BERTH_SLOW_PAUSE; slow <= BERTH_SLOW_CLOSE; slow++) {
        crowd_set_up();
        crowd_start(9, &narrow);
        (void)scene_arrive(false);
        (void)scene_arrive(true);
        for (uint32_t i = 0; i < 100; i++) {
            assert_int_equal(crowd_try_send('*', (enum berth_slow)slow), BERTH_OK);
            SCENE_UNTIL(scene.actors[1].got_bytes == (i + 1) * FRAME);
            crowd_check(1, i, '*', i);
        }
        struct berth_stats stats = crowd_stats();
        if (slow == BERTH_SLOW_CLOSE) {
            SCENE_UNTIL(scene.closes == 1);
            assert_int_equal(scene.reason, BERTH_REASON_SLOW);
            crowd_tear_down();
            continue;
        }
        uint64_t lost = slow == BERTH_SLOW_PAUSE ? stats.group_skipped : stats.group_replaced;
        uint32_t got = 100 - (uint32_t)lost;
        assert_in_range(got, FRAMES_UNTIL_SLOW, FRAMES_MOST);
        assert_int_equal(stats.group_skipped + stats.group_replaced, lost);
        assert_non_null(crowd_conn(0)->members); /* that it is slow is noted */
        scene.actors[0].reads = true;
        SCENE_UNTIL(scene.actors[0].got_bytes == got * FRAME);
        crowd_check(0, got - 1, '*', slow == BERTH_SLOW_PAUSE ? got - 1 : 99);
        assert_int_equal(crowd_try_send('*', (enum berth_slow)slow), BERTH_OK);
        SCENE_UNTIL(scene.actors[0].got_bytes == (got + 1) * FRAME);
        crowd_check(0, got, '*', 100);
        assert_null(crowd_conn(0)->members); /* and forgotten when it is not */
        crowd_tear_down();
    }
}

/* ----------------------------------------------------------------------------- the pool is empty
 */

static void *hoard[4096];
static uint32_t hoarded;

static void *hoarded_nodes; /* linked through their first bytes */

/* Takes all there is, and the nodes that are carved already. */
static void hoard_the_pool(void)
{
    size_t got;
    void **node;
    hoarded = 0;
    while ((hoard[hoarded] = pool_take(&scene.worker->pool, POOL_PIECE, &got)) != NULL) {
        hoarded++;
    }
    while ((node = nodes_take(&scene.worker->deliveries)) != NULL) {
        *node = hoarded_nodes;
        hoarded_nodes = node;
    }
}

static void release_the_pool(void)
{
    while (hoarded > 0) {
        pool_give(&scene.worker->pool, hoard[--hoarded]);
    }
    while (hoarded_nodes != NULL) {
        void *node = hoarded_nodes;
        hoarded_nodes = *(void **)node;
        nodes_give(&scene.worker->deliveries, node);
    }
}

static void without_nodes_the_latest_waits_and_others_miss_it(void **state)
{
    (void)state;
    crowd_set_up();
    crowd_start(10, NULL);
    uint32_t pauses = crowd_arrive('A', true);
    uint32_t latest = crowd_arrive('B', true);
    hoard_the_pool();
    crowd_send('A');
    crowd_send('B');
    crowd_send('B');
    crowd_turns(20);
    assert_int_equal(crowd_stats().group_skipped, 1);
    assert_int_equal(crowd_stats().group_replaced, 1);
    assert_int_equal(scene.worker->starved.count, 1);
    release_the_pool();
    crowd_command(pauses, 'j', 'A'); /* some turn has to come */
    SCENE_UNTIL(scene.actors[latest].got_bytes == FRAME);
    crowd_check(latest, 0, 'B', 1);
    assert_int_equal(scene.worker->starved.count, 0);
    hoard_the_pool();
    crowd_send('B');
    crowd_turns(20);
    release_the_pool();
    crowd_send('B'); /* there is a node for it, but it comes instead of what waits, not before */
    SCENE_UNTIL(scene.actors[latest].got_bytes == 2 * FRAME);
    crowd_turns(100);
    assert_int_equal(scene.actors[latest].got_bytes, 2 * FRAME);
    crowd_check(latest, 1, 'B', 3);
    assert_int_equal(crowd_stats().group_replaced, 2);
    crowd_send('A');
    SCENE_UNTIL(scene.actors[pauses].got_bytes == FRAME);
    crowd_check(pauses, 0, 'A', 1);
    hoard_the_pool();
    crowd_send('B');
    crowd_turns(20);
    assert_int_equal(scene.worker->starved.count, 1);
    sim_peer_reset(scene.world, scene.actors[latest].end); /* it ends while it waits for a node */
    SCENE_UNTIL(scene.closes == 1);
    assert_int_equal(scene.worker->starved.count, 0);
    assert_int_equal(scene.server->post.pool.used, 0);
    release_the_pool();
    crowd_tear_down();
}

static int join_result;

static void join_by_visit(struct berth_conn *conn, void *group)
{
    join_result = berth_group_join(group, conn);
}

static void a_full_pool_refuses_members(void **state)
{
    (void)state;
    crowd_set_up();
    crowd_start(11, NULL);
    (void)scene_arrive(true);
    hoard_the_pool();
    join_result = BERTH_OK;
    assert_int_equal(berth_visit(scene.server, join_by_visit, NULL, crowd_groups[0]), BERTH_OK);
    SCENE_UNTIL(join_result != BERTH_OK);
    assert_int_equal(join_result, BERTH_E_MEMORY);
    assert_int_equal(berth_group_members(crowd_groups[0]), 0);
    release_the_pool();
    assert_int_equal(scene.worker->memberships.used, 0);
    crowd_tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_slow_miss_what_comes_while_they_are),
        cmocka_unit_test(slow_until_the_low_mark),
        cmocka_unit_test(the_latest_waits_for_the_slow),
        cmocka_unit_test(what_does_not_fit_finds_them_slow),
        cmocka_unit_test(the_slow_are_closed),
        cmocka_unit_test(broadcasts_know_the_slow),
        cmocka_unit_test(without_nodes_the_latest_waits_and_others_miss_it),
        cmocka_unit_test(a_full_pool_refuses_members),
    };
    return cmocka_run_group_tests_name("sim.group_slow", tests, NULL, NULL);
}
