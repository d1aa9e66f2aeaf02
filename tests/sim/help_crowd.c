/* The crowd: a scene with three groups, clients that join and leave them, and numbered payloads.
 * Everything is on the test's thread; what the header says, this does.
 */
#include "sim/help_crowd.h"

#include <stdlib.h>
#include <string.h>

struct berth_group *crowd_groups[CROWD_GROUPS];
berth_handle crowd_handles[SCENE_ACTORS_MAX];

struct berth_kept *crowd_kept;

static uint32_t numbers[CROWD_GROUPS + 1]; /* sent so far; the last is of broadcasts */

struct berth_stats crowd_stats(void)
{
    struct berth_stats stats;
    berth_server_stats(scene.server, &stats);
    return stats;
}

static void note_handle(struct berth_conn *conn)
{
    crowd_handles[scene.opens % SCENE_ACTORS_MAX] = berth_conn_handle(conn);
    scene.opens++;
}

static void obey(struct berth_conn *conn, const struct berth_message *message)
{
    scene.messages++;
    assert_int_equal(message->size, 2);
    struct berth_group *group = crowd_groups[message->data[1] - 'A'];
    if (message->data[0] == 'k') {
        crowd_kept = berth_keep(conn, message, 2, NULL);
        assert_non_null(crowd_kept);
    } else if (message->data[0] == 's') {
        crowd_send((char)message->data[1]);
        assert_int_equal(berth_group_join(group, conn), BERTH_OK);
        crowd_send((char)message->data[1]);
    } else if (message->data[0] == 'j') {
        assert_int_equal(berth_group_join(group, conn), BERTH_OK);
        assert_int_equal(berth_group_join(group, conn), BERTH_OK); /* once more does nothing */
    } else {
        berth_group_leave(group, conn);
        berth_group_leave(group, conn);
    }
}

void crowd_set_up(void)
{
    const struct berth_framing framing = berth_framing_seed(PAYLOAD);
    scene_set_up(&framing);
    memset(crowd_groups, 0, sizeof crowd_groups);
    memset(numbers, 0, sizeof numbers);
    scene.protocol.on_open = note_handle;
    scene.protocol.on_message = obey;
    scene.config.send_high_bytes = 10 * FRAME;
    scene.config.send_low_bytes = 5 * FRAME;
    scene.config.send_max_bytes = 20 * FRAME;
    scene.config.linger_timeout_ms = 1000;
}

void crowd_start(uint64_t seed, const struct sim_options *options)
{
    scene_start(seed, options);
    for (unsigned i = 0; i < CROWD_GROUPS; i++) {
        const char name[2] = {(char)('A' + i), '\0'};
        const struct berth_group_options group = {name, (enum berth_slow)(i + 1)};
        assert_int_equal(berth_group_create(scene.server, &group, &crowd_groups[i], NULL),
                         BERTH_OK);
    }
}

void crowd_tear_down(void)
{
    berth_server_stop(scene.server);
    for (uint32_t i = 0; i < scene.actors_count; i++) {
        sim_peer_close(scene.world, scene.actors[i].end);
        scene.actors[i].reads = false;
    }
    SCENE_UNTIL(scene.over);
    assert_int_equal(scene.server->post.pool.used, 0);
    for (unsigned i = 0; i < CROWD_GROUPS; i++) {
        assert_int_equal(berth_group_members(crowd_groups[i]), 0);
    }
    for (uint32_t i = 0; i < scene.actors_count; i++) {
        free(scene.actors[i].got);
    }
    scene.actors_count = 0;
    scene_tear_down();
}

void crowd_command(uint32_t actor, char verb, char group)
{
    uint32_t wanted = scene.messages + 1;
    const uint8_t frame[6] = {2, 0, 0, 0, (uint8_t)verb, (uint8_t)group};
    scene_say(actor, frame, sizeof frame);
    SCENE_UNTIL(scene.messages == wanted);
}

uint32_t crowd_arrive(char group, bool reads)
{
    uint32_t actor = scene_arrive(reads);
    crowd_command(actor, 'j', group);
    return actor;
}

static void write_payload(uint8_t *payload, char group, uint32_t number)
{
    memset(payload, group + (int)number, PAYLOAD);
    payload[0] = (uint8_t)group;
    memcpy(payload + 1, &number, sizeof number);
}

int crowd_try_send(char group, enum berth_slow slow)
{
    uint8_t payload[PAYLOAD];
    uint32_t *number = &numbers[group == '*' ? CROWD_GROUPS : group - 'A'];
    write_payload(payload, group, *number);
    int result = group == '*' ? berth_broadcast(scene.server, payload, PAYLOAD, slow)
                              : berth_group_send(crowd_groups[group - 'A'], payload, PAYLOAD);
    *number += result == BERTH_OK ? 1 : 0;
    return result;
}

void crowd_send(char group)
{
    assert_int_equal(crowd_try_send(group, BERTH_SLOW_PAUSE), BERTH_OK);
}

void crowd_turns(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        scene_turn();
    }
}

void crowd_check(uint32_t actor, uint32_t n, char group, uint32_t number)
{
    const uint8_t *at = scene.actors[actor].got + (size_t)n * FRAME;
    uint8_t expected[FRAME] = {PAYLOAD, 0, 0, 0};
    write_payload(expected + 4, group, number);
    assert_true(scene.actors[actor].got_bytes >= (n + 1) * FRAME);
    if (memcmp(at, expected, FRAME) != 0) {
        uint32_t got;
        memcpy(&got, at + 5, sizeof got);
        fail_msg("client %u, frame %u: expected %c %u, got %c %u", actor, n, group, number, at[4],
                 got);
    }
}

struct berth_conn *crowd_conn(uint32_t actor)
{
    return conn_of_handle(scene.worker, crowd_handles[actor]);
}
