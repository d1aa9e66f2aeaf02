/* Any split, through the whole engine in virtual time: a few messages, cut into up to three
 * receives in every possible way, for every framing, are answered byte for byte.
 *
 * A peer writes a piece and waits until the server's counter says that it was received, and only
 * then writes the next. One kind world and one server serve all the cuts of a framing, a connection
 * each. For the seed's framing the thirteen cases of the article are below by name.
 */
#include "sim/help_stage.h"

#include <stdio.h>
#include <string.h>

#define STREAM_MOST 40 /* bytes: 861 cuts */
#define STEPS_MAX   10000
#define ROOM        512

struct scene {
    struct berth_protocol protocol;
    struct sim_world *world;
    struct berth_server *server;
    struct worker *worker;
    struct berth_address address;
    uint32_t closes;
};

struct stream {
    uint8_t bytes[ROOM];
    uint32_t size;
    uint32_t messages;
    uint32_t ends[8]; /* of the frames */
};

static struct scene scene;

static void echo(struct berth_conn *conn, const struct berth_message *messages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(berth_reply(conn, &messages[i], messages[i].data, messages[i].size),
                         BERTH_OK);
    }
}

static void note_close(struct berth_conn *conn, enum berth_reason reason)
{
    (void)conn;
    assert_int_equal(reason, BERTH_REASON_PEER);
    scene.closes++;
}

static void scene_open(const struct berth_framing *framing)
{
    struct berth_config config;
    berth_config_init(&config);
    config.workers = 1;
    config.connections_max = 2;
    config.receive_bytes = 256;
    config.receive_buffers = 2;
    config.pool_bytes = 8 << 20;
    memset(&scene, 0, sizeof scene);
    scene.protocol =
        (struct berth_protocol){.framing = *framing, .on_messages = echo, .on_close = note_close};
    scene.world = sim_world_create(1, NULL);
    struct berth_listen_options listen = {
        .address = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}}, .protocol = &scene.protocol};
    struct berth_error error = {.text = ""};
    if (server_create_in(&scene.server, &config, &io_backend_sim, scene.world, &error) != 0 ||
        berth_listen(scene.server, &listen, &scene.address, &error) != 0) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(server_start_stepped(scene.server), 0);
    scene.worker = &scene.server->workers[0];
}

static void scene_close(uint32_t connections)
{
    berth_server_stop(scene.server);
    while (worker_turn(scene.worker, true)) {
    }
    worker_close(scene.worker);
    struct berth_stats stats;
    berth_server_stats(scene.server, &stats);
    assert_int_equal(stats.accepted, connections);
    assert_int_equal(scene.closes, connections);
    berth_server_destroy(scene.server);
    assert_int_equal(sim_world_connections(scene.world), 0);
    sim_world_destroy(scene.world);
}

static uint64_t receives(void)
{
    struct berth_stats stats;
    berth_server_stats(scene.server, &stats);
    return stats.receives;
}

static uint64_t bytes_copied_in(void)
{
    struct berth_stats stats;
    berth_server_stats(scene.server, &stats);
    return stats.bytes_copied_in;
}

static uint64_t messages_in(void)
{
    struct berth_stats stats;
    berth_server_stats(scene.server, &stats);
    return stats.messages_in;
}

#define UNTIL(condition)                                                                           \
    for (uint32_t step = 0; !(condition); step++) {                                                \
        if (step > STEPS_MAX) {                                                                    \
            fail_msg("never came: %s", #condition);                                                \
        }                                                                                          \
        assert_true(worker_turn(scene.worker, true));                                              \
    }

static sim_peer arrive(void)
{
    sim_peer peer = sim_peer_connect(scene.world, &scene.address);
    UNTIL((sim_peer_state(scene.world, peer) & SIM_PEER_CONNECTED) != 0);
    return peer;
}

/* Writes a piece, which the server then receives as one. */
static void write_piece(sim_peer peer, const uint8_t *bytes, uint32_t count)
{
    if (count == 0) {
        return;
    }
    uint64_t before = receives();
    assert_int_equal(sim_peer_write(scene.world, peer, bytes, count), count);
    UNTIL(receives() > before);
    assert_int_equal(receives(), before + 1);
}

/* The replies, the end, and no more. */
static void expect(sim_peer peer, const struct stream *stream)
{
    uint8_t got[ROOM];
    uint32_t count = 0;
    sim_peer_shutdown(scene.world, peer, IO_SHUTDOWN_SEND);
    UNTIL((count += (uint32_t)sim_peer_read(scene.world, peer, got + count, ROOM - count),
           (sim_peer_state(scene.world, peer) & SIM_PEER_EOF) != 0));
    assert_int_equal(count, stream->size);
    assert_memory_equal(got, stream->bytes, count);
    sim_peer_close(scene.world, peer);
}

/* ------------------------------------------------------------------------------------ every cut */

static void say(struct stream *stream, const struct berth_framing *framing, uint32_t size)
{
    uint8_t message[64];
    uint8_t frame[sizeof message + CODEC_EXTRA];
    for (uint32_t i = 0; i < size; i++) {
        message[i] = (uint8_t)(i * 41 + stream->messages * 113 + 7);
    }
    codec_clean(framing, message, size);
    uint32_t bytes = (uint32_t)codec_encode(framing, message, size, frame);
    if (stream->size + bytes <= STREAM_MOST) {
        memcpy(stream->bytes + stream->size, frame, bytes);
        stream->size += bytes;
        stream->ends[stream->messages++] = stream->size;
    }
}

/* The bytes of the frames that a cut goes through: those, and no others, must be copied, where a
 * frame says how long it is. */
static uint32_t bytes_in_parts(const struct stream *stream, uint32_t first, uint32_t second)
{
    uint32_t count = 0;
    uint32_t begin = 0;
    for (uint32_t i = 0; i < stream->messages; i++) {
        uint32_t end = stream->ends[i];
        bool cut = (first > begin && first < end) || (second > begin && second < end);
        count += cut ? end - begin : 0;
        begin = end;
    }
    return count;
}

static void every_cut_of_every_framing(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {5, 0, 2, 0, 7};
    for (size_t c = 0; c < CODECS; c++) {
        const struct berth_framing *framing = &codecs[c].framing;
        bool fixed = framing->kind == BERTH_FRAMING_FIXED;
        bool exact =
            framing->kind != BERTH_FRAMING_DELIMITER && framing->kind != BERTH_FRAMING_CUSTOM;
        uint32_t least = codec_least(framing);
        struct stream stream = {.size = 0};
        uint32_t connections = 0;
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            say(&stream, framing, fixed || sizes[i] < least ? least : sizes[i]);
        }
        assert_true(stream.messages >= 3);
        scene_open(framing);
        for (uint32_t first = 0; first <= stream.size; first++) {
            for (uint32_t second = first; second <= stream.size; second++) {
                sim_peer peer = arrive();
                uint64_t copied = bytes_copied_in();
                write_piece(peer, stream.bytes, first);
                write_piece(peer, stream.bytes + first, second - first);
                write_piece(peer, stream.bytes + second, stream.size - second);
                expect(peer, &stream);
                connections++;
                copied = bytes_copied_in() - copied;
                assert_true(!exact || copied == bytes_in_parts(&stream, first, second));
                assert_int_equal(messages_in(), (uint64_t)connections * stream.messages);
            }
        }
        scene_close(connections);
    }
}

/* ------------------------------------------------------------------------------ the seed's cases
 */

#define SEED_FRAME                                                                                 \
    "\x0a\0\0\0"                                                                                   \
    "0123456789"
#define SEED_WHOLE 14

/* One receive: its bytes, and how many messages the program has seen after it. */
struct receive {
    uint32_t bytes;
    uint32_t messages;
};

static void seed_case(const struct receive *pieces, size_t count)
{
    const struct berth_framing framing = berth_framing_seed(10);
    const struct stream stream = {.bytes = SEED_FRAME SEED_FRAME SEED_FRAME,
                                  .size = 3 * SEED_WHOLE};
    uint32_t at = 0;
    scene_open(&framing);
    sim_peer peer = arrive();
    for (size_t i = 0; i < count; i++) {
        write_piece(peer, stream.bytes + at, pieces[i].bytes);
        at += pieces[i].bytes;
        assert_int_equal(messages_in(), pieces[i].messages);
    }
    write_piece(peer, stream.bytes + at, stream.size - at);
    expect(peer, &stream);
    UNTIL(scene.closes == 1);
    scene_close(1);
}

#define SEED_CASE(name, ...)                                                                       \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        static const struct receive pieces[] = {__VA_ARGS__};                                      \
        seed_case(pieces, sizeof pieces / sizeof pieces[0]);                                       \
    }

/* clang-format off: a case a line */
SEED_CASE(seed_split_01_first_receive_is_less_than_the_prefix, {3, 0})
SEED_CASE(seed_split_02_another_part_of_the_prefix, {1, 0}, {2, 0})
SEED_CASE(seed_split_03_rest_of_the_prefix_and_no_more, {1, 0}, {3, 0})
SEED_CASE(seed_split_04_rest_of_the_prefix_and_part_of_the_message, {2, 0}, {6, 0})
SEED_CASE(seed_split_05_rest_of_the_prefix_and_all_of_the_message, {2, 0}, {12, 1})
SEED_CASE(seed_split_06_exactly_the_prefix, {4, 0})
SEED_CASE(seed_split_07_after_the_prefix_part_of_the_message, {4, 0}, {7, 0})
SEED_CASE(seed_split_08_after_the_prefix_all_of_the_message, {4, 0}, {10, 1})
SEED_CASE(seed_split_09_the_prefix_and_part_of_the_message, {9, 0})
SEED_CASE(seed_split_10_another_part_of_the_message, {9, 0}, {4, 0})
SEED_CASE(seed_split_11_all_the_rest_of_the_message, {9, 0}, {5, 1})
SEED_CASE(seed_split_12_the_prefix_and_all_of_the_message, {14, 1})
SEED_CASE(seed_split_13_the_common_case, {14, 1}, {14, 2}, {14, 3})
/* Two that the article leaves out on purpose, since its clients wait for each answer. */
SEED_CASE(seed_split_beyond_a_message_and_part_of_the_next, {16, 1}, {2, 1})
SEED_CASE(seed_split_beyond_many_messages_at_once, {42, 3})
/* clang-format on */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seed_split_01_first_receive_is_less_than_the_prefix),
        cmocka_unit_test(seed_split_02_another_part_of_the_prefix),
        cmocka_unit_test(seed_split_03_rest_of_the_prefix_and_no_more),
        cmocka_unit_test(seed_split_04_rest_of_the_prefix_and_part_of_the_message),
        cmocka_unit_test(seed_split_05_rest_of_the_prefix_and_all_of_the_message),
        cmocka_unit_test(seed_split_06_exactly_the_prefix),
        cmocka_unit_test(seed_split_07_after_the_prefix_part_of_the_message),
        cmocka_unit_test(seed_split_08_after_the_prefix_all_of_the_message),
        cmocka_unit_test(seed_split_09_the_prefix_and_part_of_the_message),
        cmocka_unit_test(seed_split_10_another_part_of_the_message),
        cmocka_unit_test(seed_split_11_all_the_rest_of_the_message),
        cmocka_unit_test(seed_split_12_the_prefix_and_all_of_the_message),
        cmocka_unit_test(seed_split_13_the_common_case),
        cmocka_unit_test(seed_split_beyond_a_message_and_part_of_the_next),
        cmocka_unit_test(seed_split_beyond_many_messages_at_once),
        cmocka_unit_test(every_cut_of_every_framing),
    };
    return cmocka_run_group_tests_name("sim.split", tests, NULL, NULL);
}
