/* How connections end, each way a scene of its own in virtual time: closing inside callbacks with
 * more bytes behind, deadlines to the millisecond, refused and truncated bytes.
 */
#include "sim/help_scene.h"

#include <string.h>

/* ------------------------------------------------------------------- closing inside a callback */

static void reply_and_close(struct berth_conn *conn, const struct berth_message *message)
{
    scene_echo(conn, message);
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
                scene_set_up(framing);
                scene.protocol.on_message = reply_and_close;
                scene_start(first * 100 + end, NULL);
                uint32_t actor = scene_arrive(true);
                if (first > 0) {
                    scene_say_and_wait(actor, frames, first);
                }
                scene_say(actor, frames + first, end - first);
                SCENE_UNTIL((scene_state(actor) & SIM_PEER_EOF) != 0);
                assert_int_equal(scene.actors[actor].got_bytes, one);
                assert_memory_equal(scene.actors[actor].got, frames, one);
                sim_peer_shutdown(scene.world, scene.actors[actor].end, IO_SHUTDOWN_SEND);
                SCENE_UNTIL(scene.closes == 1);
                assert_int_equal(scene.messages, 1);
                assert_int_equal(scene.reason, BERTH_REASON_LOCAL);
                scene_tear_down();
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
    scene_set_up(&framing);
    scene.protocol.on_open = open_and_close;
    scene_start(1, NULL);
    uint32_t actor = scene_arrive(true);
    scene_say(actor, "abcdef", 6); /* nobody hears it */
    SCENE_UNTIL((scene_state(actor) & SIM_PEER_EOF) != 0);
    assert_memory_equal(scene.actors[actor].got, "bye", 3);
    sim_peer_shutdown(scene.world, scene.actors[actor].end, IO_SHUTDOWN_SEND);
    SCENE_UNTIL(scene.closes == 1);
    assert_int_equal(scene.messages, 0);
    assert_int_equal(scene.reason, BERTH_REASON_LOCAL);
    scene_tear_down();
}

/* ------------------------------------------------------------------------------- the deadlines */

/* A peer that does not end its side is let go after linger_timeout_ms, and not a tick earlier. */
static void linger_deadline(void **state)
{
    (void)state;
    const struct berth_framing framing = FIXED(3);
    scene_set_up(&framing);
    scene.protocol.on_message = reply_and_close;
    scene.config.linger_timeout_ms = 700;
    scene_start(2, NULL);
    uint32_t actor = scene_arrive(true);
    scene_say(actor, "abc", 3);
    SCENE_UNTIL((scene_state(actor) & SIM_PEER_EOF) != 0);
    uint64_t shut_ns = sim_world_now(scene.world);
    SCENE_UNTIL(scene.closes == 1);
    assert_in_range(scene.closed_ns, shut_ns + 690 * NS_PER_MS, shut_ns + 702 * NS_PER_MS);
    assert_int_equal(scene.reason, BERTH_REASON_LOCAL);
    assert_int_equal(scene.actors[actor].got_bytes, 3);
    scene_tear_down();
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
    scene_set_up(&framing);
    scene.protocol.on_open = push_and_close;
    scene.config.linger_timeout_ms = 300;
    scene_start(3, NULL);
    uint64_t open_ns = sim_world_now(scene.world);
    uint32_t actor = scene_arrive(false);
    SCENE_UNTIL(scene.closes == 1);
    assert_int_equal(scene.reason, BERTH_REASON_DEADLINE);
    assert_in_range(scene.closed_ns, open_ns + 300 * NS_PER_MS, open_ns + 310 * NS_PER_MS);
    SCENE_UNTIL((scene_state(actor) & SIM_PEER_RESET) != 0);
    scene_tear_down();
}

/* Each send that moves something, and our own end at last, give the peer its time anew. */
static void the_deadline_starts_anew_with_progress(void **state)
{
    (void)state;
    const struct berth_framing framing = berth_framing_seed(8);
    const struct sim_options narrow = {.pipe_bytes = 16384};
    scene_set_up(&framing);
    scene.protocol.on_open = push_and_close;
    scene.config.linger_timeout_ms = 300;
    scene_start(3, &narrow);
    uint32_t actor = scene_arrive(false);
    uint64_t begin_ns = sim_world_now(scene.world);
    uint64_t shut_ns = 0;
    for (uint64_t wake_ns = begin_ns; shut_ns == 0;) {
        wake_ns += 200 * NS_PER_MS;
        sim_world_alarm(scene.world, wake_ns);
        SCENE_UNTIL(sim_world_now(scene.world) >= wake_ns);
        sim_world_alarm(scene.world, wake_ns + 1000); /* the turn is not to run into the deadline */
        scene.actors[actor].reads = true;
        scene_turn();
        scene.actors[actor].reads = false;
        shut_ns = (scene_state(actor) & SIM_PEER_EOF) != 0 ? sim_world_now(scene.world) : 0;
        assert_true(scene.closes == 0);
    }
    assert_int_equal(scene.actors[actor].got_bytes, 200004);
    assert_true(shut_ns - begin_ns > 2000 * NS_PER_MS); /* far more than one deadline */
    SCENE_UNTIL(scene.closes == 1);
    assert_int_equal(scene.reason, BERTH_REASON_LOCAL);
    /* Our end was shut when the last bytes were taken, one round of reading before. */
    assert_in_range(scene.closed_ns, shut_ns + 99 * NS_PER_MS, shut_ns + 301 * NS_PER_MS);
    scene_tear_down();
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
        scene_set_up(&framing);
        scene.config.stop_timeout_ms = 900;
        scene.config.linger_timeout_ms = 100000;
        scene_start(4, NULL);
        uint32_t actor = scene_arrive(false);
        scene_say_and_wait(actor, frame, bytes);
        scene_say_and_wait(actor, frame, bytes);
        SCENE_UNTIL(scene.messages == 2);
        uint64_t stop_ns = sim_world_now(scene.world);
        berth_server_stop(scene.server);
        if (twice) {
            berth_server_stop(scene.server);
            berth_server_stop(scene.server);
        }
        SCENE_UNTIL(scene.over);
        uint64_t took_ns = scene.closed_ns - stop_ns;
        assert_in_range(took_ns, twice ? 0 : 899 * NS_PER_MS, twice ? NS_PER_MS : 902 * NS_PER_MS);
        assert_int_equal(scene.reason, BERTH_REASON_STOP);
        assert_int_equal(scene.closes, 1);
        scene_tear_down();
    }
}

/* --------------------------------------------------------------------------- refused, truncated */

static void refused_after_replies(void **state)
{
    (void)state;
    static const char said[] = "\3\0\0\0abc\xff\xff\xff\xff";
    const struct berth_framing framing = berth_framing_seed(8);
    for (uint32_t first = 1; first < 11; first++) {
        scene_set_up(&framing);
        scene_start(5 + first, NULL);
        uint32_t actor = scene_arrive(true);
        scene_say_and_wait(actor, said, first);
        scene_say(actor, said + first, 11 - first);
        SCENE_UNTIL((scene_state(actor) & SIM_PEER_EOF) != 0);
        assert_int_equal(scene.actors[actor].got_bytes, 7);
        sim_peer_shutdown(scene.world, scene.actors[actor].end, IO_SHUTDOWN_SEND);
        SCENE_UNTIL(scene.closes == 1);
        assert_int_equal(scene.reason, BERTH_REASON_REFUSED);
        assert_non_null(strstr(scene.why, "ff ff ff ff"));
        scene_tear_down();
    }
}

static void truncated(void **state)
{
    (void)state;
    const struct berth_framing framing = berth_framing_seed(8);
    scene_set_up(&framing);
    scene_start(6, NULL);
    uint32_t actor = scene_arrive(true);
    scene_say(actor, "\3\0\0\0abc\3\0\0", 10);
    sim_peer_shutdown(scene.world, scene.actors[actor].end, IO_SHUTDOWN_SEND);
    SCENE_UNTIL(scene.closes == 1);
    assert_int_equal(scene.reason, BERTH_REASON_TRUNCATED);
    SCENE_UNTIL((scene_state(actor) & SIM_PEER_EOF) != 0);
    assert_int_equal(scene.actors[actor].got_bytes, 7);
    scene_tear_down();
}

/* Our own system fails a send: the peer, which has no part in it, must not take what it got for
 * all. */
static void a_system_error_resets(void **state)
{
    (void)state;
    const struct berth_framing framing = berth_framing_seed(8);
    uint32_t failures = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) { /* each with another of the errors */
        scene_set_up(&framing);
        scene_start(seed, NULL);
        uint32_t actor = scene_arrive(true);
        sim_world_options(scene.world, &(struct sim_options){.send_error = SIM_RATE_ONE});
        scene_say(actor, "\3\0\0\0abc", 7);
        SCENE_UNTIL(scene.closes == 1);
        failures += scene.reason == BERTH_REASON_SYSTEM ? 1 : 0;
        assert_true(scene.reason == BERTH_REASON_SYSTEM ||
                    scene.reason == BERTH_REASON_SEND_STALLED);
        SCENE_UNTIL((scene_state(actor) & (SIM_PEER_EOF | SIM_PEER_RESET)) != 0);
        assert_int_equal(scene_state(actor) & (SIM_PEER_EOF | SIM_PEER_RESET), SIM_PEER_RESET);
        scene_tear_down();
    }
    assert_in_range(failures, 1, 19);
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
        cmocka_unit_test(close_with_more_behind),
        cmocka_unit_test(a_system_error_resets),
    };
    return cmocka_run_group_tests_name("sim.endings", tests, NULL, NULL);
}
