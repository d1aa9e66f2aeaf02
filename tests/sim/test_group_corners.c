/* One payload to many, at the corners: framings beyond the sixteen, groups that share a bucket,
 * payloads of no bytes, of too many, and those that meet a connection in the wrong moment.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/help_crowd.h"
#include "unit/framings.h"

/* Listens with one protocol more, and starts: crowd_start for a server of several protocols. */
static void listen_with(const struct berth_protocol *protocol, struct berth_address *bound)
{
    const struct berth_listen_options listen = {
        .address = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}}, .protocol = protocol};
    assert_int_equal(berth_listen(scene.server, &listen, bound, NULL), BERTH_OK);
}

static void start_with(const struct berth_protocol *protocols, uint32_t count)
{
    scene.world = sim_world_create(1, NULL);
    assert_int_equal(
        server_create_in(&scene.server, &scene.config, &io_backend_sim, scene.world, NULL), 0);
    listen_with(&scene.protocol, &scene.address);
    for (uint32_t i = 0; i < count; i++) {
        listen_with(&protocols[i], i + 1 < count ? NULL : &scene.second_address);
    }
    for (unsigned i = 0; i < CROWD_GROUPS; i++) {
        const char name[2] = {(char)('A' + i), '\0'};
        const struct berth_group_options group = {name, (enum berth_slow)(i + 1)};
        assert_int_equal(berth_group_create(scene.server, &group, &crowd_groups[i], NULL),
                         BERTH_OK);
    }
    assert_int_equal(server_start_stepped(scene.server), 0);
    scene.worker = &scene.server->workers[0];
}

static int joined; /* what the join said */

static void open_and_join(struct berth_conn *conn)
{
    scene.opens++;
    joined = berth_group_join(crowd_groups[0], conn);
}

static void echo(struct berth_conn *conn, const struct berth_message *message)
{
    scene.messages++;
    assert_int_equal(berth_reply(conn, message, message->data, message->size), BERTH_OK);
}

/* A server that speaks seventeen framings: who speaks the last one joins no group and gets no
 * payload for all, which is counted; it is served as everybody else otherwise. */
static void a_framing_beyond_the_sixteen_is_alone(void **state)
{
    (void)state;
    static struct berth_protocol protocols[BERTH_GROUP_FRAMINGS_MAX];
    for (uint32_t i = 0; i < BERTH_GROUP_FRAMINGS_MAX; i++) {
        protocols[i] = (struct berth_protocol){.framing = FIXED(i + 1),
                                               .on_open = open_and_join,
                                               .on_message = echo,
                                               .on_close = scene_on_close};
    }
    crowd_set_up();
    start_with(protocols, BERTH_GROUP_FRAMINGS_MAX);
    uint32_t member = crowd_arrive('A', true);
    uint32_t alone = scene_arrive_at(&scene.second_address, true);
    assert_int_equal(joined, BERTH_E_UNSUPPORTED);
    assert_int_equal(berth_group_members(crowd_groups[0]), 1);
    assert_int_equal(berth_broadcast(scene.server, "sixteen bytes...", 16, BERTH_SLOW_PAUSE),
                     BERTH_OK);
    SCENE_UNTIL(scene.actors[member].got_bytes == 20);
    assert_int_equal(crowd_stats().group_unfit, 1);
    sim_peer_reset(scene.world, scene.actors[member].end); /* with nobody left who gets it */
    SCENE_UNTIL(berth_group_members(crowd_groups[0]) == 0);
    assert_int_equal(berth_broadcast(scene.server, "sixteen bytes...", 16, BERTH_SLOW_PAUSE),
                     BERTH_OK);
    SCENE_UNTIL(crowd_stats().group_unfit == 2);
    scene_say(alone, "its own message.", 16);
    SCENE_UNTIL(scene.actors[alone].got_bytes == 16);
    assert_memory_equal(scene.actors[alone].got, "its own message.", 16);
    crowd_tear_down();
}

/* More groups than buckets: some share one, and each is found by its own name. */
static void groups_that_share_a_bucket_are_told_apart(void **state)
{
    (void)state;
    enum { GROUPS = GROUP_BUCKETS + 1 };
    static struct berth_group *groups[GROUPS];
    char name[16];
    crowd_set_up();
    crowd_start(1, NULL);
    for (unsigned i = 0; i < GROUPS; i++) {
        snprintf(name, sizeof name, "group %u", i);
        const struct berth_group_options options = {name, BERTH_SLOW_PAUSE};
        assert_int_equal(berth_group_create(scene.server, &options, &groups[i], NULL), BERTH_OK);
    }
    for (unsigned i = 0; i < GROUPS; i++) {
        snprintf(name, sizeof name, "group %u", i);
        assert_ptr_equal(berth_group_find(scene.server, name), groups[i]);
    }
    assert_null(berth_group_find(scene.server, "group 257"));
    crowd_tear_down();
}

/* -------------------------------------------------------------------------------------- payloads
 */

/* A payload of no bytes is a message, where the framing has a frame for it; one that is larger than
 * any message may be, or than a queue, is refused before anything is written. */
static void payloads_of_every_size(void **state)
{
    (void)state;
    static uint8_t large[20 * FRAME];
    crowd_set_up();
    crowd_start(1, NULL);
    uint32_t actor = crowd_arrive('A', true);
    assert_int_equal(berth_group_send(crowd_groups[0], NULL, 0), BERTH_OK);
    assert_int_equal(berth_broadcast(scene.server, NULL, 0, BERTH_SLOW_PAUSE), BERTH_OK);
    SCENE_UNTIL(scene.actors[actor].got_bytes == 8);
    assert_memory_equal(scene.actors[actor].got, "\0\0\0\0\0\0\0\0", 8);
    size_t too_large = (size_t)BERTH_MESSAGE_BYTES_LIMIT + 1;
    assert_int_equal(berth_group_send(crowd_groups[0], large, too_large), BERTH_E_TOO_LARGE);
    assert_int_equal(berth_broadcast(scene.server, large, too_large, BERTH_SLOW_PAUSE),
                     BERTH_E_TOO_LARGE);
    assert_int_equal(berth_group_send(crowd_groups[0], large, sizeof large - 3),
                     BERTH_E_TOO_LARGE); /* with its header, more than send_max_bytes */
    assert_int_equal(berth_group_send(crowd_groups[0], large, sizeof large - 4), BERTH_OK);
    SCENE_UNTIL(scene.actors[actor].got_bytes == 8 + sizeof large);
    crowd_tear_down();
}

/* Of several framings that cannot carry a payload, the first one says why. */
static void what_no_framing_carries_has_one_reason(void **state)
{
    (void)state;
    const struct berth_protocol lines = {
        .framing = DELIMITER("\n", 50), .on_open = scene_on_open, .on_close = scene_on_close};
    crowd_set_up();
    scene.protocol.framing = (struct berth_framing)FIXED(2);
    start_with(&lines, 1);
    assert_int_equal(berth_broadcast(scene.server, "a\nb", 3, BERTH_SLOW_PAUSE),
                     BERTH_E_TOO_LARGE); /* of FIXED; the other's is BERTH_E_FRAME */
    assert_int_equal(berth_broadcast(scene.server, "\nb", 2, BERTH_SLOW_PAUSE), BERTH_OK);
    crowd_tear_down();
}

/* ------------------------------------------------------------------------------ the wrong moment
 */

/* A close that was asked for in front of a payload is obeyed first. */
static void a_close_comes_before_what_is_sent_after_it(void **state)
{
    (void)state;
    crowd_set_up();
    crowd_start(1, NULL);
    uint32_t leaver = crowd_arrive('A', true);
    uint32_t stayer = crowd_arrive('A', true);
    assert_int_equal(berth_handle_close(scene.server, crowd_handles[leaver]), BERTH_OK);
    crowd_send('A');
    crowd_send('*');
    SCENE_UNTIL(scene.actors[stayer].got_bytes == 2 * FRAME);
    (void)scene_wait_for_end(leaver, BERTH_REASON_LOCAL);
    assert_int_equal(scene.actors[leaver].got_bytes, 0);
    crowd_tear_down();
}

/* Payloads that wait for their turn meet somebody who came meanwhile, and who speaks what nobody
 * spoke when they were written: they are not for it, and count as nothing that it missed. */
static void who_comes_while_payloads_wait_is_not_theirs(void **state)
{
    (void)state;
    enum { FLOOD = 5000 }; /* more than one turn hands out */
    const struct berth_protocol lines = {
        .framing = DELIMITER("\n", 200), .on_open = scene_on_open, .on_close = scene_on_close};
    crowd_set_up();
    scene.second = &lines;
    crowd_start(1, NULL);
    (void)crowd_arrive('A', false);
    uint32_t late = scene.actors_count++;
    scene.actors[late] = (struct actor){.got = malloc(SCENE_ROOM), .reads = true};
    scene.actors[late].end = sim_peer_connect(scene.world, &scene.second_address);
    for (uint32_t step = 0; scene.opens < 2; step++) {
        assert_true(step < 1000);
        for (uint32_t i = 0; scene.worker->shares_first == NULL && i < FLOOD; i++) {
            crowd_send('*'); /* so that some wait in the turn in which it comes */
        }
        scene_turn();
    }
    SCENE_UNTIL(scene.worker->shares_first == NULL);
    crowd_turns(10);
    assert_int_equal(scene.actors[late].got_bytes, 0);
    assert_int_equal(crowd_stats().group_unfit, 0);
    crowd_tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_framing_beyond_the_sixteen_is_alone),
        cmocka_unit_test(groups_that_share_a_bucket_are_told_apart),
        cmocka_unit_test(payloads_of_every_size),
        cmocka_unit_test(what_no_framing_carries_has_one_reason),
        cmocka_unit_test(a_close_comes_before_what_is_sent_after_it),
        cmocka_unit_test(who_comes_while_payloads_wait_is_not_theirs),
    };
    return cmocka_run_group_tests_name("group_corners", tests, NULL, NULL);
}
