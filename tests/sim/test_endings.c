/* How connections end, and what happens when room runs out, each a scene of its own in virtual
 * time: closing inside callbacks with more bytes behind, deadlines to the millisecond, WOULD_EXCEED
 * and on_drained, refused bytes, and pools that are too small for everybody.
 */
#include "sim/help_stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 400000
#define PEERS_MAX 16
#define ROOM      400000

struct actor {
    sim_peer end;
    uint8_t *got;
    uint32_t got_bytes;
    bool reads;
};

/* A scene with one worker. The callbacks' program is in `rule`; what they saw is below. */
struct scene {
    struct sim_world *world;
    struct berth_config config;
    struct berth_protocol protocol;
    struct berth_server *server;
    struct worker *worker;
    struct berth_address address;
    struct actor actors[PEERS_MAX];
    uint32_t actors_count;
    bool over; /* the worker has ended */
    uint64_t alarm_ns;

    uint32_t opens;
    uint32_t messages;
    uint32_t closes;
    uint32_t drains;
    uint32_t exceeded;
    uint32_t sent;
    enum berth_reason reason; /* of the last close */
    uint64_t closed_ns;
    uint32_t reasons[16];
    char why[200];
};

static struct scene scene;

static void on_open(struct berth_conn *conn)
{
    (void)conn;
    scene.opens++;
}

static void on_close(struct berth_conn *conn, enum berth_reason reason)
{
    scene.closes++;
    scene.reasons[reason]++;
    scene.reason = reason;
    scene.closed_ns = berth_conn_now_ns(conn);
    berth_conn_why(conn, scene.why, sizeof scene.why);
}

static void echo(struct berth_conn *conn, const struct berth_message *message)
{
    scene.messages++;
    assert_int_equal(berth_reply(conn, message, message->data, message->size), BERTH_OK);
}

static void set_up(const struct berth_framing *framing)
{
    memset(&scene, 0, sizeof scene);
    berth_config_init(&scene.config);
    scene.config.workers = 1;
    scene.config.connections_max = PEERS_MAX;
    scene.config.receive_bytes = 4096;
    scene.config.receive_buffers = 4;
    scene.config.pool_bytes = 1 << 20;
    scene.protocol = (struct berth_protocol){
        .framing = *framing, .on_open = on_open, .on_message = echo, .on_close = on_close};
}

static void start(uint64_t seed, const struct sim_options *options)
{
    struct berth_error error = {.text = ""};
    scene.world = sim_world_create(seed, options);
    int result =
        server_create_in(&scene.server, &scene.config, &io_backend_sim, scene.world, &error);
    if (result != BERTH_OK) {
        fail_msg("%s", error.text);
    }
    struct berth_listen_options listen = {
        .address = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}}, .protocol = &scene.protocol};
    if (berth_listen(scene.server, &listen, &scene.address, &error) != BERTH_OK) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(server_start_stepped(scene.server), 0);
    scene.worker = &scene.server->workers[0];
}

static void turn(void)
{
    if (!scene.over && !worker_turn(scene.worker, true)) {
        worker_close(scene.worker);
        scene.over = true;
    } else if (!scene.over) {
        pool_validate(&scene.worker->pool);
    }
    for (uint32_t i = 0; i < scene.actors_count; i++) {
        struct actor *actor = &scene.actors[i];
        int32_t got = 1;
        while (actor->reads && got > 0 && actor->got_bytes < ROOM) {
            got = sim_peer_read(scene.world, actor->end, actor->got + actor->got_bytes,
                                ROOM - actor->got_bytes);
            actor->got_bytes += (uint32_t)got;
            if (got > 0 && scene.alarm_ns <= sim_world_now(scene.world)) {
                scene.alarm_ns = sim_world_now(scene.world) + 1000; /* time waits for a reader */
                sim_world_alarm(scene.world, scene.alarm_ns);
            }
        }
    }
}

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        for (uint32_t step = 0; !(condition); step++) {                                            \
            if (step > STEPS_MAX) {                                                                \
                fail_msg("never came: %s", #condition);                                            \
            }                                                                                      \
            turn();                                                                                \
        }                                                                                          \
    } while (0)

static uint32_t state_of(uint32_t actor)
{
    return sim_peer_state(scene.world, scene.actors[actor].end);
}

static uint32_t arrive(bool reads)
{
    uint32_t number = scene.actors_count++;
    struct actor *actor = &scene.actors[number];
    *actor = (struct actor){.got = malloc(ROOM), .reads = reads};
    assert_non_null(actor->got);
    actor->end = sim_peer_connect(scene.world, &scene.address);
    UNTIL((state_of(number) & SIM_PEER_CONNECTED) != 0 && scene.opens > number);
    return number;
}

static void say(uint32_t actor, const void *bytes, uint32_t count)
{
    uint32_t said = 0;
    const uint8_t *from = bytes;
    while (said < count) {
        int32_t wrote =
            sim_peer_write(scene.world, scene.actors[actor].end, from + said, count - said);
        assert_true(wrote >= 0);
        said += (uint32_t)wrote;
        if (said < count) {
            turn();
        }
    }
}

/* Says it, and waits until the server has received it as a piece of its own. */
static void say_and_wait(uint32_t actor, const void *bytes, uint32_t count)
{
    struct berth_stats stats;
    berth_server_stats(scene.server, &stats);
    uint64_t wanted = stats.bytes_in + count;
    say(actor, bytes, count);
    UNTIL((berth_server_stats(scene.server, &stats), stats.bytes_in >= wanted));
}

static void tear_down(void)
{
    for (uint32_t i = 0; i < scene.actors_count; i++) {
        sim_peer_close(scene.world, scene.actors[i].end);
        free(scene.actors[i].got);
    }
    scene.actors_count = 0;
    if (!scene.over) {
        berth_server_stop(scene.server);
    }
    UNTIL(scene.over);
    assert_int_equal(scene.closes, scene.opens);
    assert_int_equal(atomic_load(&scene.server->permits), scene.config.connections_max);
    berth_server_destroy(scene.server);
    assert_int_equal(sim_world_connections(scene.world), 0);
    sim_world_destroy(scene.world);
}

/* ------------------------------------------------------------------- closing inside a callback */

static void reply_and_close(struct berth_conn *conn, const struct berth_message *message)
{
    echo(conn, message);
    berth_close(conn);
    berth_close(conn);
    assert_int_equal(berth_reply(conn, message, "x", 1), BERTH_E_CLOSED);
    assert_int_equal(berth_send(conn, "x", 1), BERTH_E_CLOSED);
}

/* For every framing, a message in two pieces, the second with the beginning of the next message, or
 * all of it, behind it; the first message closes. */
static void close_with_more_behind(void **state)
{
    (void)state;
    for (size_t c = 0; c < CODECS; c++) {
        struct berth_framing small = codecs[c].framing;
        const struct berth_framing *framing = &small;
        small.message_bytes_max = small.message_bytes_max > 64 ? 64 : small.message_bytes_max;
        uint32_t size = framing->kind == BERTH_FRAMING_FIXED ? framing->message_bytes_max : 7;
        uint8_t frames[2 * (7 + CODEC_EXTRA)];
        uint32_t one = (uint32_t)codec_encode(framing, (const uint8_t *)"message", size, frames);
        (void)codec_encode(framing, (const uint8_t *)"another", size, frames + one);
        for (uint32_t first = 0; first < one; first++) {
            for (uint32_t end = one; end <= 2 * one; end++) {
                set_up(framing);
                scene.protocol.on_message = reply_and_close;
                start(first * 100 + end, NULL);
                uint32_t actor = arrive(true);
                if (first > 0) {
                    say_and_wait(actor, frames, first);
                }
                say(actor, frames + first, end - first);
                UNTIL((state_of(actor) & SIM_PEER_EOF) != 0);
                assert_int_equal(scene.actors[actor].got_bytes, one);
                assert_memory_equal(scene.actors[actor].got, frames, one);
                sim_peer_shutdown(scene.world, scene.actors[actor].end, IO_SHUTDOWN_SEND);
                UNTIL(scene.closes == 1);
                assert_int_equal(scene.messages, 1);
                assert_int_equal(scene.reason, BERTH_REASON_LOCAL);
                tear_down();
            }
        }
    }
}

static void open_and_close(struct berth_conn *conn)
{
    scene.opens++;
    assert_int_equal(berth_send(conn, "bye", 3), BERTH_OK);
    berth_close(conn);
}

static void close_in_on_open(void **state)
{
    (void)state;
    const struct berth_framing framing = FIXED(3);
    set_up(&framing);
    scene.protocol.on_open = open_and_close;
    start(1, NULL);
    uint32_t actor = arrive(true);
    say(actor, "abcdef", 6); /* nobody hears it */
    UNTIL((state_of(actor) & SIM_PEER_EOF) != 0);
    assert_memory_equal(scene.actors[actor].got, "bye", 3);
    sim_peer_shutdown(scene.world, scene.actors[actor].end, IO_SHUTDOWN_SEND);
    UNTIL(scene.closes == 1);
    assert_int_equal(scene.messages, 0);
    assert_int_equal(scene.reason, BERTH_REASON_LOCAL);
    tear_down();
}

/* ------------------------------------------------------------------------------- the deadlines */

/* A peer that does not end its side is let go after linger_timeout_ms, and not a tick earlier. */
static void linger_deadline(void **state)
{
    (void)state;
    const struct berth_framing framing = FIXED(3);
    set_up(&framing);
    scene.protocol.on_message = reply_and_close;
    scene.config.linger_timeout_ms = 700;
    start(2, NULL);
    uint32_t actor = arrive(true);
    say(actor, "abc", 3);
    UNTIL((state_of(actor) & SIM_PEER_EOF) != 0);
    uint64_t shut_ns = sim_world_now(scene.world);
    UNTIL(scene.closes == 1);
    assert_in_range(scene.closed_ns, shut_ns + 690 * NS_PER_MS, shut_ns + 702 * NS_PER_MS);
    assert_int_equal(scene.reason, BERTH_REASON_LOCAL);
    assert_int_equal(scene.actors[actor].got_bytes, 3);
    tear_down();
}

static void push_and_close(struct berth_conn *conn)
{
    static const uint8_t much[200000];
    scene.opens++;
    assert_int_equal(berth_send(conn, much, sizeof much), BERTH_OK);
    berth_close(conn);
}

/* A peer that does not take what is queued is cut when nothing moves for as long. */
static void deadline_with_bytes_unsent(void **state)
{
    (void)state;
    const struct berth_framing framing = berth_framing_seed(8);
    set_up(&framing);
    scene.protocol.on_open = push_and_close;
    scene.config.linger_timeout_ms = 300;
    start(3, NULL);
    uint64_t open_ns = sim_world_now(scene.world);
    uint32_t actor = arrive(false);
    UNTIL(scene.closes == 1);
    assert_int_equal(scene.reason, BERTH_REASON_DEADLINE);
    assert_in_range(scene.closed_ns, open_ns + 300 * NS_PER_MS, open_ns + 310 * NS_PER_MS);
    UNTIL((state_of(actor) & SIM_PEER_RESET) != 0);
    tear_down();
}

/* Each send that moves something, and our own end at last, give the peer its time anew. */
static void the_deadline_starts_anew_with_progress(void **state)
{
    (void)state;
    const struct berth_framing framing = berth_framing_seed(8);
    const struct sim_options narrow = {.pipe_bytes = 16384};
    set_up(&framing);
    scene.protocol.on_open = push_and_close;
    scene.config.linger_timeout_ms = 300;
    start(3, &narrow);
    uint32_t actor = arrive(false);
    uint64_t begin_ns = sim_world_now(scene.world);
    uint64_t shut_ns = 0;
    for (uint64_t wake_ns = begin_ns; shut_ns == 0;) {
        wake_ns += 200 * NS_PER_MS;
        sim_world_alarm(scene.world, wake_ns);
        UNTIL(sim_world_now(scene.world) >= wake_ns);
        scene.actors[actor].reads = true;
        turn();
        scene.actors[actor].reads = false;
        shut_ns = (state_of(actor) & SIM_PEER_EOF) != 0 ? sim_world_now(scene.world) : 0;
        assert_true(scene.closes == 0);
    }
    assert_int_equal(scene.actors[actor].got_bytes, 200004);
    assert_true(shut_ns - begin_ns > 2000 * NS_PER_MS); /* far more than one deadline */
    UNTIL(scene.closes == 1);
    assert_int_equal(scene.reason, BERTH_REASON_LOCAL);
    /* Our end was shut when the last bytes were taken, one round of reading before. */
    assert_in_range(scene.closed_ns, shut_ns + 99 * NS_PER_MS, shut_ns + 301 * NS_PER_MS);
    tear_down();
}

/* A stop waits for a peer that does not read, for stop_timeout_ms; a second stop does not wait. */
static void stop_deadline(void **state)
{
    (void)state;
    for (int twice = 0; twice <= 1; twice++) {
        const struct berth_framing framing = berth_framing_seed(1 << 16);
        static uint8_t frame[(1 << 16) + CODEC_EXTRA];
        static const uint8_t message[1 << 16];
        uint32_t bytes = (uint32_t)codec_encode(&framing, message, sizeof message, frame);
        set_up(&framing);
        scene.config.stop_timeout_ms = 900;
        scene.config.linger_timeout_ms = 100000;
        start(4, NULL);
        uint32_t actor = arrive(false);
        say_and_wait(actor, frame, bytes);
        say_and_wait(actor, frame, bytes);
        UNTIL(scene.messages == 2);
        uint64_t stop_ns = sim_world_now(scene.world);
        berth_server_stop(scene.server);
        if (twice) {
            berth_server_stop(scene.server);
            berth_server_stop(scene.server);
        }
        UNTIL(scene.over);
        uint64_t took_ns = scene.closed_ns - stop_ns;
        assert_in_range(took_ns, twice ? 0 : 899 * NS_PER_MS, twice ? NS_PER_MS : 902 * NS_PER_MS);
        assert_int_equal(scene.reason, BERTH_REASON_STOP);
        assert_int_equal(scene.closes, 1);
        tear_down();
    }
}

/* --------------------------------------------------------------------------- refused, truncated */

static void refused_after_replies(void **state)
{
    (void)state;
    static const char said[] = "\3\0\0\0abc\xff\xff\xff\xff";
    const struct berth_framing framing = berth_framing_seed(8);
    for (uint32_t first = 1; first < 11; first++) {
        set_up(&framing);
        start(5 + first, NULL);
        uint32_t actor = arrive(true);
        say_and_wait(actor, said, first);
        say(actor, said + first, 11 - first);
        UNTIL((state_of(actor) & SIM_PEER_EOF) != 0);
        assert_int_equal(scene.actors[actor].got_bytes, 7);
        sim_peer_shutdown(scene.world, scene.actors[actor].end, IO_SHUTDOWN_SEND);
        UNTIL(scene.closes == 1);
        assert_int_equal(scene.reason, BERTH_REASON_REFUSED);
        assert_non_null(strstr(scene.why, "ff ff ff ff"));
        tear_down();
    }
}

static void truncated(void **state)
{
    (void)state;
    const struct berth_framing framing = berth_framing_seed(8);
    set_up(&framing);
    start(6, NULL);
    uint32_t actor = arrive(true);
    say(actor, "\3\0\0\0abc\3\0\0", 10);
    sim_peer_shutdown(scene.world, scene.actors[actor].end, IO_SHUTDOWN_SEND);
    UNTIL(scene.closes == 1);
    assert_int_equal(scene.reason, BERTH_REASON_TRUNCATED);
    UNTIL((state_of(actor) & SIM_PEER_EOF) != 0);
    assert_int_equal(scene.actors[actor].got_bytes, 7);
    tear_down();
}

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
        set_up(&framing);
        scene.protocol.on_open = open_and_push;
        scene.protocol.on_drained = drained;
        scene.config.send_high_bytes = 400 + (uint32_t)seed * 10;
        scene.config.send_low_bytes = (uint32_t)seed * 3;
        scene.config.send_max_bytes = 1000;
        scene.config.send_bytes = (uint32_t)seed * 5;
        scene.config.linger_timeout_ms = 1000000;
        start(seed, &options);
        uint32_t actor = arrive(true);
        UNTIL((state_of(actor) & SIM_PEER_EOF) != 0);
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
        UNTIL(scene.closes == 1);
        tear_down();
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
    uint32_t said[PEERS_MAX] = {0};
    assert_non_null(all);
    for (uint32_t i = 0; i < EACH; i++) {
        memcpy(all + (size_t)i * bytes, frame, bytes);
    }
    set_up(&framing);
    scene.config.send_high_bytes = 200000;
    start(7, NULL);
    for (uint32_t i = 0; i < ACTORS; i++) {
        (void)arrive(false);
    }
    while (scene.worker->short_of.count == 0) {
        assert_true(all_say(all, EACH * bytes, said));
        turn();
    }
    for (uint32_t i = 0; i < ACTORS; i++) {
        scene.actors[i].reads = true;
    }
    while (all_say(all, EACH * bytes, said)) {
        turn();
    }
    for (uint32_t i = 0; i < ACTORS; i++) {
        sim_peer_shutdown(scene.world, scene.actors[i].end, IO_SHUTDOWN_SEND);
    }
    for (uint32_t i = 0; i < ACTORS; i++) {
        UNTIL((state_of(i) & (SIM_PEER_EOF | SIM_PEER_RESET)) != 0);
        assert_int_equal(scene.actors[i].got_bytes, EACH * bytes);
        assert_memory_equal(scene.actors[i].got, all, EACH * bytes);
    }
    UNTIL(scene.closes == ACTORS);
    assert_int_equal(scene.reasons[BERTH_REASON_PEER], ACTORS);
    free(all);
    free(frame);
    tear_down();
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
    set_up(&framing);
    scene.config.receive_bytes = 73728;
    start(8, NULL);
    uint32_t actor = arrive(true);
    say(actor, flood, COUNT);
    UNTIL(scene.actors[actor].got_bytes == COUNT);
    assert_memory_equal(scene.actors[actor].got, flood, COUNT);
    assert_int_equal(scene.closes, 0);
    tear_down();
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
    set_up(&framing);
    scene.config.send_high_bytes = 1 << 20;
    start(9, NULL);
    for (uint32_t i = 0; i < 5; i++) {
        (void)arrive(false);
        for (uint32_t round = 0; round < 6; round++) {
            if (sim_peer_write(scene.world, scene.actors[i].end, frame, bytes) < (int32_t)bytes) {
                break;
            }
            for (uint32_t turns = 0; turns < 100; turns++) {
                turn();
            }
        }
    }
    uint32_t reader = arrive(true);
    say(reader, frame, bytes);
    UNTIL(scene.actors[reader].got_bytes == bytes);
    assert_true(scene.reasons[BERTH_REASON_MEMORY] >= 1);
    assert_int_equal(scene.closes, scene.reasons[BERTH_REASON_MEMORY]);
    free(frame);
    tear_down();
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
    set_up(&framing);
    start(10, NULL);
    uint32_t said[PEERS_MAX] = {0};
    for (uint32_t i = 0; i < PEERS_MAX; i++) {
        (void)arrive(true);
    }
    for (bool more = true; more;) {
        more = false;
        for (uint32_t i = 0; i < PEERS_MAX; i++) {
            uint32_t piece = bytes - said[i] < 5000 ? bytes - said[i] : 5000;
            int32_t wrote =
                sim_peer_write(scene.world, scene.actors[i].end, frame + said[i], piece);
            said[i] += wrote > 0 ? (uint32_t)wrote : 0;
            more = more || (wrote >= 0 && said[i] < bytes);
        }
        turn();
    }
    uint32_t served = 0;
    UNTIL((state_of(0) & SIM_PEER_RESET) != 0 || scene.actors[0].got_bytes == bytes);
    for (uint32_t turns = 0; turns < 1000; turns++) {
        turn();
    }
    for (uint32_t i = 0; i < PEERS_MAX; i++) {
        served += scene.actors[i].got_bytes == bytes ? 1 : 0;
    }
    assert_int_equal(served + scene.reasons[BERTH_REASON_MEMORY], PEERS_MAX);
    assert_true(served >= 2 && scene.reasons[BERTH_REASON_MEMORY] >= 1);
    free(frame);
    tear_down();
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
    uint32_t said[PEERS_MAX] = {0};
    assert_non_null(all);
    for (uint32_t i = 0; i < EACH; i++) {
        memcpy(all + (size_t)i * bytes, frame, bytes);
    }
    set_up(&framing);
    scene.config.send_high_bytes = 250000;
    start(11, NULL);
    for (uint32_t i = 0; i < HOARDERS; i++) {
        (void)arrive(false);
    }
    uint32_t reader = arrive(true);
    scene.actors_count = HOARDERS;
    while (scene.worker->short_of.count == 0) {
        assert_true(all_say(all, EACH * bytes, said));
        turn();
    }
    uint64_t short_ns = sim_world_now(scene.world);
    scene.actors_count = HOARDERS + 1;
    say(reader, frame, bytes);
    UNTIL(scene.actors[reader].got_bytes == bytes);
    assert_in_range(sim_world_now(scene.world), short_ns + 990 * NS_PER_MS,
                    short_ns + 3000 * NS_PER_MS);
    assert_true(scene.reasons[BERTH_REASON_MEMORY] >= 1);
    assert_true(scene.reasons[BERTH_REASON_MEMORY] <= 3);
    assert_int_equal(scene.closes, scene.reasons[BERTH_REASON_MEMORY]);
    free(all);
    free(frame);
    tear_down();
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
        set_up(&framing);
        scene.config.turn_messages = by_bytes ? 100000 : 300;
        scene.config.turn_bytes = by_bytes ? 300 : 100000;
        scene.protocol.on_message = count_the_flood;
        flood_most = 0;
        flood_at_answer = 0;
        start(12, NULL);
        uint32_t flooder = arrive(true);
        uint32_t other = arrive(true);
        say(flooder, flood, FLOOD);
        UNTIL(scene.messages > 0);
        assert_true(scene.messages < FLOOD);
        say(other, "?", 1);
        UNTIL(scene.messages == FLOOD);
        UNTIL(scene.actors[other].got_bytes == 1);
        assert_in_range(flood_most, 300, 300 + BATCH_MESSAGES);
        tear_down();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(close_in_on_open),
        cmocka_unit_test(linger_deadline),
        cmocka_unit_test(deadline_with_bytes_unsent),
        cmocka_unit_test(the_deadline_starts_anew_with_progress),
        cmocka_unit_test(stop_deadline),
        cmocka_unit_test(refused_after_replies),
        cmocka_unit_test(truncated),
        cmocka_unit_test(every_refusal_is_followed_by_on_drained),
        cmocka_unit_test(readers_wait_for_room_and_are_served),
        cmocka_unit_test(a_flood_fits_through_the_smallest_pool),
        cmocka_unit_test(those_who_do_not_read_give_way),
        cmocka_unit_test(a_reader_waits_and_a_hoarder_is_closed),
        cmocka_unit_test(a_flood_does_not_take_the_whole_turn),
        cmocka_unit_test(parts_that_do_not_fit_close_the_largest),
        cmocka_unit_test(close_with_more_behind),
    };
    return cmocka_run_group_tests_name("sim.endings", tests, NULL, NULL);
}
