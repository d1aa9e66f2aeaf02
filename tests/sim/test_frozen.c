/* A worker that was frozen, or has more to do than a turn can hold, hears what has come before it
 * ends anybody for being late; in virtual time.
 */
#include "sim/help_scene.h"

#include <string.h>

#include "io/sim_world.h"

static const struct berth_framing four = {.kind = BERTH_FRAMING_FIXED, .message_bytes_max = 4};

/* More than a turn has room for. */
#define CROWD (TURN_COMPLETIONS * 2 + 90)

static sim_peer crowd[CROWD];

/* The world goes on and the worker does not: what was said arrives, then time passes. */
static void freeze_ms(uint64_t ms)
{
    uint64_t end_ns = scene_now() + ms * NS_PER_MS;
    for (int step = 0; step < 5; step++) { /* what one event leads to is the next step's */
        sim_advance(scene.world, scene_now() + 10 * NS_PER_MS);
    }
    sim_advance(scene.world, end_ns);
}

static void crowd_arrives(void)
{
    for (uint32_t i = 0; i < CROWD; i++) {
        crowd[i] = sim_peer_connect(scene.world, &scene.address);
    }
    SCENE_UNTIL(scene.opens == CROWD);
}

static void crowd_says(uint32_t from, const char *bytes, uint32_t count)
{
    for (uint32_t i = from; i < CROWD; i++) {
        assert_int_equal(sim_peer_write(scene.world, crowd[i], bytes, count), count);
    }
}

static void crowd_leaves(void)
{
    for (uint32_t i = 0; i < CROWD; i++) {
        sim_peer_close(scene.world, crowd[i]);
    }
    SCENE_UNTIL(scene.closes == CROWD);
}

/* More connections than a turn has room for said in time what was due, and a few did not; nobody
 * was listening. Whoever spoke stays. */
static void a_frozen_worker_hears_before_it_ends_anybody(void **state)
{
    (void)state;
    const enum berth_reason reasons[] = {BERTH_REASON_FIRST_MESSAGE, BERTH_REASON_MESSAGE_SLOW,
                                         BERTH_REASON_RECEIVE_IDLE};
    for (uint32_t kind = 0; kind < 3; kind++) {
        for (uint32_t silent = 0; silent <= 7; silent += 7) {
            for (uint32_t buffers = 2; buffers <= 1024; buffers *= 8) {
                scene_set_up(&four);
                scene.config.connections_max = CROWD;
                scene.config.receive_buffers = buffers;
                scene.config.first_message_timeout_ms = kind == 0 ? 1000 : 0;
                scene.config.message_timeout_ms = kind == 1 ? 1000 : 0;
                scene.config.receive_idle_timeout_ms = kind == 2 ? 1000 : 0;
                scene_start(100 + kind, NULL);
                crowd_arrives();
                crowd_says(0, "ab", kind == 1 ? 2 : 0);
                scene_pass_ms(500);
                crowd_says(silent, "cdab", kind == 1 ? 2 : 4);
                freeze_ms(60000);
                uint64_t resumed_ns = scene_now();
                scene_pass_ms(500);
                assert_int_equal(scene.messages, CROWD - silent);
                if (atomic_load(&scene.server->open) - silent != CROWD - silent ||
                    scene.closes != 0) {
                    /* those who are ended linger, and are still counted */
                    fail_msg("kind %u: %u were closed", kind, scene.closes);
                }
                uint32_t ending = 0;
                for (uint32_t i = 0; i < CROWD; i++) {
                    ending += scene.worker->conns[i].state != CONN_OPEN ? 1 : 0;
                }
                if (ending != silent) {
                    fail_msg("kind %u, %u buffers: %u of %u silent ones end", kind, buffers, ending,
                             silent);
                }
                assert_true(scene_now() - resumed_ns < 510 * NS_PER_MS);
                crowd_leaves();
                assert_int_equal(scene.reasons[reasons[kind]], silent);
                scene_tear_down();
            }
        }
    }
}

static void open_and_push_some(struct berth_conn *conn)
{
    static const uint8_t some[4000];
    scene_on_open(conn);
    assert_int_equal(berth_send(conn, some, sizeof some), BERTH_OK);
}

/* The same for those who read while nobody noticed. */
static void a_frozen_worker_sees_who_has_read(void **state)
{
    (void)state;
    const struct berth_framing seed = berth_framing_seed(8);
    const struct sim_options narrow = {.pipe_bytes = 1024};
    for (int closing = 0; closing <= 1; closing++) {
        scene_set_up(&seed);
        scene.protocol.on_open = open_and_push_some;
        scene.config.connections_max = CROWD;
        scene.config.pool_bytes = 16 << 20;
        scene.config.send_progress_timeout_ms = closing == 1 ? 0 : 1000;
        scene.config.first_message_timeout_ms = closing == 1 ? 400 : 0;
        scene.config.linger_timeout_ms = 1000;
        scene_start(120, &narrow);
        crowd_arrives();
        scene_pass_ms(500);
        for (uint32_t i = 0; i < CROWD; i++) {
            uint8_t bytes[500];
            assert_int_equal(sim_peer_read(scene.world, crowd[i], bytes, sizeof bytes), 500);
        }
        freeze_ms(60000);
        scene_pass_ms(900);
        assert_int_equal(scene.closes, 0);
        for (uint32_t i = 0; i < CROWD; i++) {
            assert_int_equal(scene.worker->conns[i].state,
                             closing == 1 ? CONN_DRAINING : CONN_OPEN);
        }
        SCENE_UNTIL(scene.closes == CROWD);
        crowd_leaves();
        scene_tear_down();
    }
}

/* Connections that were made in time have been made. */
static void a_frozen_worker_finds_itself_connected(void **state)
{
    (void)state;
    scene_set_up(&four);
    scene_start_connecting(13, CROWD);
    SCENE_UNTIL(scene.worker->conns[CROWD - 1].sock >= 0);
    freeze_ms(60000);
    SCENE_UNTIL(scene.opens == CROWD);
    struct berth_stats stats;
    berth_server_stats(scene.server, &stats);
    assert_int_equal(stats.connect_failures, 0);
    io_listener_close(&io_backend_sim, scene.world, &scene.elsewhere);
    SCENE_UNTIL(scene.closes == CROWD);
    scene_tear_down();
}

/* One who talks all the time keeps nobody else's deadline from passing. */
static void a_worker_that_is_never_quiet_still_ends_them(void **state)
{
    (void)state;
    const struct sim_options quick = {.delay_mean_ns = 1};
    scene_set_up(&four);
    scene.config.first_message_timeout_ms = 100;
    scene_start(14, &quick);
    uint32_t talker = scene_arrive(true);
    scene_say_and_wait(talker, "abcd", 4);
    uint32_t silent = scene_arrive(true);
    uint64_t silent_ns = scene.opened_ns;
    uint32_t quiet = 0;
    uint32_t turns = 0;
    while ((scene_state(silent) & SIM_PEER_EOF) == 0) {
        if (scene_now() > silent_ns + 100 * NS_PER_MS) {
            turns++;
            (void)sim_peer_write(scene.world, scene.actors[talker].end, "abcd", 4);
            sim_advance(scene.world, scene_now() + 100); /* it arrives, */
            sim_advance(scene.world, scene_now() + 100); /* and can be reaped */
            quiet = scene.worker->quiet_turns > quiet ? scene.worker->quiet_turns : quiet;
        } else {
            scene_pass_until(silent_ns + 100 * NS_PER_MS + 1);
        }
        scene.actors[talker].got_bytes = 0;
        scene_turn();
        assert_true(turns < 1000);
    }
    assert_true(quiet < 2); /* else it was no test */
    assert_true(turns > 50);
    (void)scene_wait_for_end(silent, BERTH_REASON_FIRST_MESSAGE);
    scene_tear_down();
}

/* ------------------------------------------------------------------------- all sorts of worlds */

enum kind { SILENT, TRICKLES, IDLES, READS_NOTHING, HONEST, KINDS };

static enum berth_reason ended_for[KINDS];

static void number_it(struct berth_conn *conn)
{
    berth_conn_set_user(conn, &ended_for[scene.opens]);
    scene_on_open(conn);
}

static void note_why(struct berth_conn *conn, enum berth_reason reason)
{
    *(enum berth_reason *)berth_conn_user(conn) = reason;
    scene_on_close(conn, reason);
}

/* What each does every 20 ms. */
static void act(enum kind kind, uint32_t step)
{
    static const uint8_t message[4 + 1000] = {0xe8, 0x03};
    sim_peer end = scene.actors[kind].end;
    if ((scene_state(kind) & (SIM_PEER_EOF | SIM_PEER_RESET | SIM_PEER_SHUT)) != 0) {
        sim_peer_shutdown(scene.world, end, IO_SHUTDOWN_SEND);
        return;
    }
    bool first = step == 0;
    switch (kind) {
    case TRICKLES:
        (void)sim_peer_write(scene.world, end, first ? "\0\0\0\0\xe8\3\0\0" : "t", first ? 8 : 1);
        break;
    case IDLES:
        (void)sim_peer_write(scene.world, end, "\0\0\0\0", first ? 4 : 0);
        break;
    case READS_NOTHING: /* whole messages, or its own slowness were the reason */
        while (sim_end_space(scene.world, end) >= sizeof message) {
            assert_int_equal(sim_peer_write(scene.world, end, message, sizeof message),
                             sizeof message);
        }
        break;
    case HONEST:
        assert_int_equal(sim_peer_write(scene.world, end, "\1\0\0\0h", 5), 5);
        break;
    case SILENT:
    case KINDS:
        break;
    }
}

/* Whatever the world does to bytes, buffers and operations: who misses a deadline is ended for that
 * one, and who does not stays. */
static void everybody_gets_what_he_deserves(void **state)
{
    (void)state;
    static const enum berth_reason deserved[KINDS] = {
        [SILENT] = BERTH_REASON_FIRST_MESSAGE,
        [TRICKLES] = BERTH_REASON_MESSAGE_SLOW,
        [IDLES] = BERTH_REASON_RECEIVE_IDLE,
        [READS_NOTHING] = BERTH_REASON_SEND_STALLED,
        [HONEST] = 0,
    };
    const struct berth_framing seed_framing = berth_framing_seed(1000);
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct sim_options options = sim_options_swarm(seed);
        options.reset = 0;
        options.half_close = 0;
        options.accept_error = 0;
        options.long_delay = 0;
        options.short_send = 0;
        options.delay_mean_ns = 1000 + seed % 8 * 5000;
        options.pipe_bytes = 2048u << seed % 5;
        scene_set_up(&seed_framing);
        scene.protocol.on_open = number_it;
        scene.protocol.on_close = note_why;
        scene.config.receive_buffers = 2;
        scene.config.first_message_timeout_ms = 300;
        scene.config.message_timeout_ms = 400;
        scene.config.receive_idle_timeout_ms = 500;
        scene.config.send_progress_timeout_ms = 600;
        scene_start(seed, &options);
        memset(ended_for, 0, sizeof ended_for);
        for (enum kind kind = 0; kind < KINDS; kind++) {
            (void)scene_arrive(kind != READS_NOTHING);
        }
        for (uint32_t step = 0; step < 75; step++) {
            for (enum kind kind = 0; kind < KINDS; kind++) {
                act(kind, step);
            }
            scene_pass_ms(20);
        }
        for (enum kind kind = 0; kind < KINDS; kind++) {
            if (ended_for[kind] != deserved[kind]) {
                fail_msg("seed %llu, kind %d: %s", (unsigned long long)seed, (int)kind,
                         berth_reason_text(ended_for[kind]));
            }
        }
        scene_tear_down();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frozen_worker_hears_before_it_ends_anybody),
        cmocka_unit_test(a_frozen_worker_sees_who_has_read),
        cmocka_unit_test(a_frozen_worker_finds_itself_connected),
        cmocka_unit_test(a_worker_that_is_never_quiet_still_ends_them),
        cmocka_unit_test(everybody_gets_what_he_deserves),
    };
    return cmocka_run_group_tests_name("sim.frozen", tests, NULL, NULL);
}
