/* One payload to many, in virtual time: who gets it, in which order, in whose framing, and what is
 * refused.
 */
#include "sim/help_crowd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------ who gets it
 */

static void members_get_it_and_others_do_not(void **state)
{
    (void)state;
    crowd_set_up();
    crowd_start(1, NULL);
    for (unsigned i = 0; i < 6; i++) {
        (void)(i < 4 ? crowd_arrive('A', true) : scene_arrive(true));
    }
    assert_int_equal(berth_group_members(crowd_groups[0]), 4);
    assert_ptr_equal(berth_group_find(scene.server, "A"), crowd_groups[0]);
    assert_null(berth_group_find(scene.server, "D"));
    crowd_send('B'); /* nobody is there */
    assert_int_equal(scene.server->post.pool.used, 0);
    crowd_send('A');
    SCENE_UNTIL(scene.actors[3].got_bytes == FRAME);
    crowd_turns(100);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(scene.actors[i].got_bytes, i < 4 ? FRAME : 0);
        if (i < 4) {
            crowd_check(i, 0, 'A', 0);
        }
    }
    crowd_command(2, 'l', 'A');
    assert_int_equal(berth_group_members(crowd_groups[0]), 3);
    crowd_send('A');
    crowd_send('*');
    SCENE_UNTIL(scene.actors[5].got_bytes == FRAME && scene.actors[2].got_bytes == 2 * FRAME);
    crowd_check(2, 1, '*', 0);
    crowd_check(5, 0, '*', 0);
    SCENE_UNTIL(scene.actors[0].got_bytes == 3 * FRAME);
    crowd_check(0, 1, 'A', 1);
    crowd_check(0, 2, '*', 0);
    assert_int_equal(crowd_stats().group_deliveries, 4 + 3 + 6);
    assert_int_equal(crowd_stats().group_encodings, 3);
    assert_int_equal(scene.server->post.pool.used, 0);
    crowd_tear_down();
}

/* All queues refer to the same bytes, and one block of the posts holds them. */
static void the_bytes_are_shared(void **state)
{
    (void)state;
    const struct sim_options narrow = {.pipe_bytes = 50};
    crowd_set_up();
    crowd_start(2, &narrow);
    for (unsigned i = 0; i < 8; i++) {
        (void)crowd_arrive('A', false);
    }
    crowd_send('A');
    SCENE_UNTIL(crowd_stats().group_deliveries == 8);
    const struct slab_ref *first = (const struct slab_ref *)(const void *)crowd_conn(0)->out.first;
    for (unsigned i = 0; i < 8; i++) {
        const struct slab_ref *ref =
            (const struct slab_ref *)(const void *)crowd_conn(i)->out.first;
        assert_true(ref->slab.outside);
        assert_ptr_equal(ref->data, first->data);
    }
    const struct share *share = ((const struct delivery *)(const void *)first)->share;
    assert_int_equal(share->references, 8);
    assert_int_equal(scene.server->post.pool.used, 512);
    assert_int_equal(crowd_stats().group_encodings, 1);
    for (unsigned i = 0; i < 8; i++) {
        scene.actors[i].reads = true;
        SCENE_UNTIL(scene.actors[i].got_bytes == FRAME);
        SCENE_UNTIL(crowd_conn(i)->out.first == NULL);
        assert_int_equal(scene.server->post.pool.used, i < 7 ? 512 : 0);
    }
    crowd_tear_down();
}

/* A client is a member from its join on, not of what was sent before and is on its way. */
static void what_was_sent_before_the_join_does_not_come(void **state)
{
    (void)state;
    crowd_set_up();
    crowd_start(3, NULL);
    uint32_t old = crowd_arrive('A', true);
    uint32_t new = scene_arrive(true);
    crowd_command(new, 's', 'A');
    SCENE_UNTIL(scene.actors[old].got_bytes == 2 * FRAME);
    SCENE_UNTIL(scene.actors[new].got_bytes == FRAME);
    crowd_turns(100);
    assert_int_equal(scene.actors[new].got_bytes, FRAME);
    crowd_check(new, 0, 'A', 1);
    crowd_tear_down();
}

/* -------------------------------------------------------------------------------------- framings
 */

static void each_framing_is_written_once(void **state)
{
    (void)state;
    const struct berth_framing lines = {.kind = BERTH_FRAMING_DELIMITER,
                                        .message_bytes_max = 50,
                                        .delimiter_bytes = 1,
                                        .delimiter = {'\n'}};
    crowd_set_up();
    struct berth_protocol second = scene.protocol;
    second.framing = lines;
    scene.second = &second;
    crowd_start(4, NULL);
    assert_int_equal(berth_group_send(crowd_groups[0], "x", 1), BERTH_OK); /* for nobody yet */
    for (unsigned i = 0; i < 3; i++) {
        (void)crowd_arrive('A', true);
    }
    assert_int_equal(berth_group_send(crowd_groups[0], "one", 3), BERTH_OK);
    SCENE_UNTIL(scene.actors[2].got_bytes == 7);
    assert_int_equal(crowd_stats().group_encodings, 1); /* the other framing is not in use */
    for (unsigned i = 3; i < 6; i++) {
        uint32_t actor = scene_arrive_at(&scene.second_address, true);
        scene_say(actor, "jA\n", 3);
        SCENE_UNTIL(scene.messages == i + 1);
    }
    assert_int_equal(berth_group_send(crowd_groups[0], "two", 3), BERTH_OK);
    SCENE_UNTIL(scene.actors[5].got_bytes == 4 && scene.actors[2].got_bytes == 14);
    assert_int_equal(crowd_stats().group_encodings, 3);
    assert_int_equal(berth_broadcast(scene.server, "a\nb", 3, BERTH_SLOW_PAUSE), BERTH_OK);
    SCENE_UNTIL(scene.actors[2].got_bytes == 21);
    crowd_turns(100);
    assert_int_equal(crowd_stats().group_unfit, 3);
    assert_memory_equal(scene.actors[2].got, "\3\0\0\0one\3\0\0\0two\3\0\0\0a\nb", 21);
    assert_int_equal(scene.actors[5].got_bytes, 4);
    assert_memory_equal(scene.actors[5].got, "two\n", 4);
    crowd_tear_down();
}

/* A member's framing may be alone in not carrying a payload; where none can, the call says so. */
static void a_payload_that_no_framing_carries_is_refused(void **state)
{
    (void)state;
    crowd_set_up();
    scene.protocol.framing = (struct berth_framing)FIXED(2);
    crowd_start(5, NULL);
    uint32_t actor = scene_arrive(true);
    scene_say(actor, "jA", 2);
    SCENE_UNTIL(berth_group_members(crowd_groups[0]) == 1);
    assert_int_equal(berth_group_send(crowd_groups[0], "123", 3), BERTH_E_TOO_LARGE);
    assert_int_equal(berth_group_send(crowd_groups[1], "123", 3),
                     BERTH_E_TOO_LARGE); /* nor to nobody */
    assert_int_equal(berth_broadcast(scene.server, "", 0, BERTH_SLOW_PAUSE), BERTH_E_TOO_LARGE);
    assert_int_equal(berth_broadcast(scene.server, "12", 2, (enum berth_slow)0), BERTH_E_INVALID);
    crowd_tear_down();
}

static void posts_that_are_full_refuse(void **state)
{
    (void)state;
    const struct sim_options narrow = {.pipe_bytes = 50};
    static uint8_t large[40000];
    crowd_set_up();
    scene.config.post_bytes = 65536;
    scene.config.send_max_bytes = 1 << 20;
    scene.config.pool_bytes = 4 << 20;
    crowd_start(6, &narrow);
    (void)crowd_arrive('A', false);
    assert_int_equal(berth_group_send(crowd_groups[0], large, 65536), BERTH_E_TOO_LARGE);
    assert_int_equal(berth_group_send(crowd_groups[0], large, sizeof large), BERTH_OK);
    assert_int_equal(berth_group_send(crowd_groups[0], large, sizeof large), BERTH_E_WOULD_EXCEED);
    crowd_tear_down();
}

static void groups_are_refused_by_field(void **state)
{
    (void)state;
    static const char name64[] = "0123456789012345678901234567890123456789012345678901234567890123";
    struct berth_group *out = NULL;
    struct berth_error error;
    crowd_set_up();
    crowd_start(7, NULL);
    const struct {
        struct berth_group_options options;
        const char *setting;
    } cases[] = {
        {{NULL, BERTH_SLOW_PAUSE}, "name"},    {{"", BERTH_SLOW_PAUSE}, "name"},
        {{name64, BERTH_SLOW_PAUSE}, "name"},  {{"A", BERTH_SLOW_PAUSE}, "name"},
        {{"new", (enum berth_slow)0}, "slow"}, {{"new", (enum berth_slow)4}, "slow"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(berth_group_create(scene.server, &cases[i].options, &out, &error),
                         BERTH_E_INVALID);
        assert_string_equal(error.setting, cases[i].setting);
        assert_null(out);
    }
    const struct berth_group_options longest = {name64 + 1, BERTH_SLOW_PAUSE};
    assert_int_equal(berth_group_create(scene.server, &longest, &out, &error), BERTH_OK);
    assert_ptr_equal(berth_group_find(scene.server, name64 + 1), out);
    crowd_tear_down();
}

/* A flood of payloads is worked on in shares of a turn, in order, and the worker sleeps when it is
 * through. */
static void a_flood_does_not_take_the_whole_turn(void **state)
{
    (void)state;
    enum { FLOOD = 3000, MEMBERS = 4, MOST = 4096 };
    crowd_set_up();
    crowd_start(22, NULL);
    for (unsigned i = 0; i < MEMBERS; i++) {
        (void)crowd_arrive('A', true);
    }
    for (unsigned i = 0; i < FLOOD; i++) {
        crowd_send('A');
    }
    uint64_t before = 0;
    uint32_t busy = 0;
    while (before < FLOOD * MEMBERS) {
        scene_turn();
        struct berth_stats stats = crowd_stats();
        uint64_t after = stats.group_deliveries + stats.group_skipped;
        assert_in_range(after - before, 0, MOST);
        busy += after > before ? 1 : 0;
        before = after;
    }
    assert_in_range(busy, 3, 4);
    SCENE_UNTIL(sim_world_idle(scene.world));
    assert_int_equal(scene.server->post.pool.used, 0);
    crowd_tear_down();
}

/* A payload does not wait for answers that the connection owes. */
static void a_payload_overtakes_late_replies(void **state)
{
    (void)state;
    crowd_set_up();
    crowd_start(21, NULL);
    uint32_t actor = crowd_arrive('A', true);
    crowd_command(actor, 'k', 'A');
    crowd_send('A');
    SCENE_UNTIL(scene.actors[actor].got_bytes == FRAME);
    crowd_check(actor, 0, 'A', 0);
    assert_int_equal(berth_kept_reply(crowd_kept, "ok", 2), BERTH_OK);
    SCENE_UNTIL(scene.actors[actor].got_bytes == FRAME + 6);
    assert_memory_equal(scene.actors[actor].got + FRAME, "\2\0\0\0ok", 6);
    crowd_tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_get_it_and_others_do_not),
        cmocka_unit_test(the_bytes_are_shared),
        cmocka_unit_test(what_was_sent_before_the_join_does_not_come),
        cmocka_unit_test(each_framing_is_written_once),
        cmocka_unit_test(a_payload_that_no_framing_carries_is_refused),
        cmocka_unit_test(posts_that_are_full_refuse),
        cmocka_unit_test(groups_are_refused_by_field),
        cmocka_unit_test(a_flood_does_not_take_the_whole_turn),
        cmocka_unit_test(a_payload_overtakes_late_replies),
    };
    return cmocka_run_group_tests_name("sim.group", tests, NULL, NULL);
}
