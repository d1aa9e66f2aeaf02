/* What happens when room runs out, in virtual time: WOULD_EXCEED and on_drained, pools that are too
 * small for everybody, and one connection's share of a turn.
 */
#include "sim/help_scene.h"

#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------------- room runs out: one queue
 */

#define PUSHES 400

static void push(struct berth_conn *conn)
{
    uint8_t message[300];
    while (scene.sent < PUSHES) {
        uint32_t size = scene.sent * 7 % sizeof message;
        memset(message, (int)scene.sent, sizeof message);
        int result = berth_send(conn, message, size);
        if (result == BERTH_E_WOULD_EXCEED) {
            scene.exceeded++;
            return;
        }
        assert_int_equal(result, BERTH_OK);
        scene.sent++;
    }
    berth_close(conn);
}

static void open_and_push(struct berth_conn *conn)
{
    scene.opens++;
    push(conn);
}

static void drained(struct berth_conn *conn)
{
    scene.drains++;
    assert_int_equal(scene.drains, scene.exceeded); /* one for each refusal, and none besides */
    assert_true(berth_conn_queued_bytes(conn) <= scene.config.send_low_bytes);
    push(conn);
}

/* on_drained follows every WOULD_EXCEED; what was queued leaves in order. */
static void every_refusal_is_followed_by_on_drained(void **state)
{
    (void)state;
    const struct berth_framing framing = berth_framing_seed(8);
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct sim_options options = sim_options_swarm(seed);
        options.reset = 0;
        options.accept_error = 0;
        scene_set_up(&framing);
        scene.protocol.on_open = open_and_push;
        scene.protocol.on_drained = drained;
        scene.config.send_high_bytes = 400 + (uint32_t)seed * 10;
        scene.config.send_low_bytes = (uint32_t)seed * 3;
        scene.config.send_max_bytes = 1000;
        scene.config.send_bytes = (uint32_t)seed * 5;
        scene.config.linger_timeout_ms = 1000000;
        scene_start(seed, &options);
        uint32_t actor = scene_arrive(true);
        SCENE_UNTIL((scene_state(actor) & SIM_PEER_EOF) != 0);
        const uint8_t *at = scene.actors[actor].got;
        for (uint32_t i = 0; i < PUSHES; i++) {
            uint32_t size = i * 7 % 300;
            assert_int_equal(at[0] | at[1] << 8, size);
            for (uint32_t b = 0; b < size; b++) {
                assert_int_equal(at[4 + b], i & 0xff);
            }
            at += 4 + size;
        }
        assert_int_equal(at - scene.actors[actor].got, scene.actors[actor].got_bytes);
        assert_true(scene.drains > 10 && scene.drains == scene.exceeded);
        sim_peer_shutdown(scene.world, scene.actors[actor].end, IO_SHUTDOWN_SEND);
        SCENE_UNTIL(scene.closes == 1);
        scene_tear_down();
    }
}

static void push_until_refused(struct berth_conn *conn, const struct berth_message *messages,
                               size_t count)
{
    scene.messages += (uint32_t)count;
    assert_int_equal(messages[0].size, 1);
    while (berth_send(conn, "0123456789", 10) == BERTH_OK) {
    }
}

static void drained_and_close(struct berth_conn *conn)
{
    scene.drains++;
    berth_close(conn);
}

/* Messages that wait while a connection is blocked are dropped when it is closed meanwhile. */
static void a_close_in_on_drained_drops_what_waits(void **state)
{
    (void)state;
    const struct berth_framing framing = berth_framing_seed(10);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        scene_set_up(&framing);
        scene.protocol.on_message = NULL;
        scene.protocol.on_messages = push_until_refused;
        scene.protocol.on_drained = drained_and_close;
        scene.config.turn_messages = 1;
        scene.config.send_high_bytes = 100;
        scene.config.send_low_bytes = (uint32_t)seed;
        scene.config.send_max_bytes = 200;
        scene_start(seed, NULL);
        uint32_t actor = scene_arrive(true);
        scene_say(actor, "\1\0\0\0a", 5);
        SCENE_UNTIL(scene.messages == 1);
        scene_say(actor, "\1\0\0\0b\1\0\0\0c\1\0\0\0d", 15);
        SCENE_UNTIL((scene_state(actor) & SIM_PEER_EOF) != 0);
        assert_int_equal(scene.drains, 1);
        assert_int_equal(scene.messages, 1);
        assert_true(scene.actors[actor].got_bytes % 14 == 0);
        sim_peer_shutdown(scene.world, scene.actors[actor].end, IO_SHUTDOWN_SEND);
        SCENE_UNTIL(scene.closes == 1);
        scene_tear_down();
    }
}

/* -------------------------------------------------------------------- room runs out: the pool */

static uint8_t *frame_of(uint32_t size, uint32_t *bytes)
{
    const struct berth_framing framing = berth_framing_seed(size);
    uint8_t *message = calloc(1, size);
    uint8_t *frame = malloc(size + CODEC_EXTRA);
    assert_true(message != NULL && frame != NULL);
    memset(message, 'm', size);
    *bytes = (uint32_t)codec_encode(&framing, message, size, frame);
    free(message);
    return frame;
}

/* Everybody writes what fits, a piece each. Whether somebody has not said all yet. */
static bool all_say(const uint8_t *bytes, uint32_t count, uint32_t *said)
{
    bool more = false;
    for (uint32_t i = 0; i < scene.actors_count; i++) {
        int32_t wrote =
            sim_peer_write(scene.world, scene.actors[i].end, bytes + said[i], count - said[i]);
        said[i] += wrote > 0 ? (uint32_t)wrote : 0;
        more = more || (wrote >= 0 && said[i] < count);
    }
    return more;
}

/* Nobody reads until the pool has no room for replies; then all do, and all are served. */
static void readers_wait_for_room_and_are_served(void **state)
{
    (void)state;
    enum { SIZE = 3000, EACH = 120, ACTORS = 8 };
    const struct berth_framing framing = berth_framing_seed(SIZE);
    uint32_t bytes;
    uint8_t *frame = frame_of(SIZE, &bytes);
    uint8_t *all = malloc((size_t)EACH * bytes);
    uint32_t said[SCENE_ACTORS_MAX] = {0};
    assert_non_null(all);
    for (uint32_t i = 0; i < EACH; i++) {
        memcpy(all + (size_t)i * bytes, frame, bytes);
    }
    scene_set_up(&framing);
    scene.config.send_high_bytes = 200000;
    scene_start(7, NULL);
    for (uint32_t i = 0; i < ACTORS; i++) {
        (void)scene_arrive(false);
    }
    while (scene.worker->short_of.count == 0) {
        assert_true(all_say(all, EACH * bytes, said));
        scene_turn();
    }
    for (uint32_t i = 0; i < ACTORS; i++) {
        scene.actors[i].reads = true;
    }
    while (all_say(all, EACH * bytes, said)) {
        scene_turn();
    }
    for (uint32_t i = 0; i < ACTORS; i++) {
        sim_peer_shutdown(scene.world, scene.actors[i].end, IO_SHUTDOWN_SEND);
    }
    for (uint32_t i = 0; i < ACTORS; i++) {
        SCENE_UNTIL((scene_state(i) & (SIM_PEER_EOF | SIM_PEER_RESET)) != 0);
        assert_int_equal(scene.actors[i].got_bytes, EACH * bytes);
        assert_memory_equal(scene.actors[i].got, all, EACH * bytes);
    }
    SCENE_UNTIL(scene.closes == ACTORS);
    assert_int_equal(scene.reasons[BERTH_REASON_PEER], ACTORS);
    free(all);
    free(frame);
    scene_tear_down();
}

/* Small messages by the thousand, from a peer that reads, through the smallest pool. */
static void a_flood_fits_through_the_smallest_pool(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    const struct berth_framing framing = FIXED(1);
    static uint8_t flood[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        flood[i] = (uint8_t)(i * 31);
    }
    scene_set_up(&framing);
    scene.config.receive_bytes = 73728;
    scene_start(8, NULL);
    uint32_t actor = scene_arrive(true);
    scene_say(actor, flood, COUNT);
    SCENE_UNTIL(scene.actors[actor].got_bytes == COUNT);
    assert_memory_equal(scene.actors[actor].got, flood, COUNT);
    assert_int_equal(scene.closes, 0);
    scene_tear_down();
}

/* Peers that never read fill the pool: one of them is closed, after a while, and the one who reads
 * is served. */
static void those_who_do_not_read_give_way(void **state)
{
    (void)state;
    enum { SIZE = 60000 };
    const struct berth_framing framing = berth_framing_seed(SIZE);
    uint32_t bytes;
    uint8_t *frame = frame_of(SIZE, &bytes);
    scene_set_up(&framing);
    scene.config.send_high_bytes = 1 << 20;
    scene_start(9, NULL);
    for (uint32_t i = 0; i < 5; i++) {
        (void)scene_arrive(false);
        for (uint32_t round = 0; round < 6; round++) {
            if (sim_peer_write(scene.world, scene.actors[i].end, frame, bytes) < (int32_t)bytes) {
                break;
            }
            for (uint32_t turns = 0; turns < 100; turns++) {
                scene_turn();
            }
        }
    }
    uint32_t reader = scene_arrive(true);
    scene_say(reader, frame, bytes);
    SCENE_UNTIL(scene.actors[reader].got_bytes == bytes);
    assert_true(scene.reasons[BERTH_REASON_MEMORY] >= 1);
    assert_int_equal(scene.closes, scene.reasons[BERTH_REASON_MEMORY]);
    free(frame);
    scene_tear_down();
}

/* Long messages that arrive in parts, all at once, more than the pool holds: whoever holds most is
 * closed, and the others' messages become whole. */
static void parts_that_do_not_fit_close_the_largest(void **state)
{
    (void)state;
    enum { SIZE = 130000 };
    const struct berth_framing framing = berth_framing_seed(SIZE);
    uint32_t bytes;
    uint8_t *frame = frame_of(SIZE, &bytes);
    scene_set_up(&framing);
    scene_start(10, NULL);
    uint32_t said[SCENE_ACTORS_MAX] = {0};
    for (uint32_t i = 0; i < SCENE_ACTORS_MAX; i++) {
        (void)scene_arrive(true);
    }
    for (bool more = true; more;) {
        more = false;
        for (uint32_t i = 0; i < SCENE_ACTORS_MAX; i++) {
            uint32_t piece = bytes - said[i] < 5000 ? bytes - said[i] : 5000;
            int32_t wrote =
                sim_peer_write(scene.world, scene.actors[i].end, frame + said[i], piece);
            said[i] += wrote > 0 ? (uint32_t)wrote : 0;
            more = more || (wrote >= 0 && said[i] < bytes);
        }
        scene_turn();
    }
    uint32_t served = 0;
    SCENE_UNTIL((scene_state(0) & SIM_PEER_RESET) != 0 || scene.actors[0].got_bytes == bytes);
    for (uint32_t turns = 0; turns < 1000; turns++) {
        scene_turn();
    }
    for (uint32_t i = 0; i < SCENE_ACTORS_MAX; i++) {
        served += scene.actors[i].got_bytes == bytes ? 1 : 0;
    }
    assert_int_equal(served + scene.reasons[BERTH_REASON_MEMORY], SCENE_ACTORS_MAX);
    assert_true(served >= 2 && scene.reasons[BERTH_REASON_MEMORY] >= 1);
    free(frame);
    scene_tear_down();
}

/* Peers that never read hold all the room there is for replies: a reader waits, for about a second,
 * and then one of them is closed for it. */
static void a_reader_waits_and_a_hoarder_is_closed(void **state)
{
    (void)state;
    enum { SIZE = 3000, EACH = 100, HOARDERS = 6 };
    const struct berth_framing framing = berth_framing_seed(SIZE);
    uint32_t bytes;
    uint8_t *frame = frame_of(SIZE, &bytes);
    uint8_t *all = malloc((size_t)EACH * bytes);
    uint32_t said[SCENE_ACTORS_MAX] = {0};
    assert_non_null(all);
    for (uint32_t i = 0; i < EACH; i++) {
        memcpy(all + (size_t)i * bytes, frame, bytes);
    }
    scene_set_up(&framing);
    scene.config.send_high_bytes = 250000;
    scene_start(11, NULL);
    for (uint32_t i = 0; i < HOARDERS; i++) {
        (void)scene_arrive(false);
    }
    uint32_t reader = scene_arrive(true);
    scene.actors_count = HOARDERS;
    while (scene.worker->short_of.count == 0) {
        assert_true(all_say(all, EACH * bytes, said));
        scene_turn();
    }
    uint64_t short_ns = sim_world_now(scene.world);
    scene.actors_count = HOARDERS + 1;
    scene_say(reader, frame, bytes);
    SCENE_UNTIL(scene.actors[reader].got_bytes == bytes);
    assert_in_range(sim_world_now(scene.world), short_ns + 990 * NS_PER_MS,
                    short_ns + 3000 * NS_PER_MS);
    assert_true(scene.reasons[BERTH_REASON_MEMORY] >= 1);
    assert_true(scene.reasons[BERTH_REASON_MEMORY] <= 3);
    assert_int_equal(scene.closes, scene.reasons[BERTH_REASON_MEMORY]);
    free(all);
    free(frame);
    scene_tear_down();
}

/* ------------------------------------------------------------------------------------- fairness */

#define FLOOD 3000

static uint32_t flood_turn;
static uint32_t flood_in_turn;
static uint32_t flood_most;
static uint32_t flood_at_answer;

/* A flood's messages are 'f's; how many of them one turn sees is counted. */
static void count_the_flood(struct berth_conn *conn, const struct berth_message *message)
{
    if (message->data[0] != 'f') {
        flood_at_answer = scene.messages;
        assert_int_equal(berth_reply(conn, message, "a", 1), BERTH_OK);
        return;
    }
    flood_in_turn = conn->worker->turn == flood_turn ? flood_in_turn + 1 : 1;
    flood_turn = conn->worker->turn;
    flood_most = flood_in_turn > flood_most ? flood_in_turn : flood_most;
    scene.messages++;
}

/* What one connection brings at once is worked on in shares, and others come in between. */
static void a_flood_does_not_take_the_whole_turn(void **state)
{
    (void)state;
    const struct berth_framing framing = FIXED(1);
    uint8_t flood[FLOOD];
    memset(flood, 'f', sizeof flood);
    for (int by_bytes = 0; by_bytes <= 1; by_bytes++) {
        scene_set_up(&framing);
        scene.config.turn_messages = by_bytes ? 100000 : 300;
        scene.config.turn_bytes = by_bytes ? 300 : 100000;
        scene.protocol.on_message = count_the_flood;
        flood_most = 0;
        flood_at_answer = 0;
        scene_start(12, NULL);
        uint32_t flooder = scene_arrive(true);
        uint32_t other = scene_arrive(true);
        scene_say(flooder, flood, FLOOD);
        SCENE_UNTIL(scene.messages > 0);
        assert_true(scene.messages < FLOOD);
        scene_say(other, "?", 1);
        SCENE_UNTIL(scene.messages == FLOOD);
        SCENE_UNTIL(scene.actors[other].got_bytes == 1);
        assert_in_range(flood_most, 300, 300 + BATCH_MESSAGES);
        scene_tear_down();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_refusal_is_followed_by_on_drained),
        cmocka_unit_test(a_close_in_on_drained_drops_what_waits),
        cmocka_unit_test(readers_wait_for_room_and_are_served),
        cmocka_unit_test(a_flood_fits_through_the_smallest_pool),
        cmocka_unit_test(those_who_do_not_read_give_way),
        cmocka_unit_test(a_reader_waits_and_a_hoarder_is_closed),
        cmocka_unit_test(a_flood_does_not_take_the_whole_turn),
        cmocka_unit_test(parts_that_do_not_fit_close_the_largest),
    };
    return cmocka_run_group_tests_name("sim.room", tests, NULL, NULL);
}
