/* A slow program: what it keeps must cost nobody else more than waiting. Scenes in virtual time
 * with one worker and a pool of 1 MiB, so that each limit is reached exactly.
 */
#include <stdlib.h>
#include <string.h>

#include "sim/help_scene.h"

#define KEPT_MAX 300

static struct berth_kept *kept[KEPT_MAX];
static uint32_t kept_count;
static uint32_t not_kept;
static uint32_t room; /* for each reply */

static void keep_with_room(struct berth_conn *conn, const struct berth_message *message)
{
    scene.messages++;
    if (message->data[0] == '!') {
        assert_int_equal(berth_reply(conn, message, message->data, message->size), BERTH_OK);
        return;
    }
    int err = BERTH_OK;
    struct berth_kept *one = berth_keep(conn, message, room, &err);
    if (one == NULL) {
        assert_int_equal(err, BERTH_E_WOULD_EXCEED);
        not_kept++;
        return;
    }
    assert_true(kept_count < KEPT_MAX);
    kept[kept_count++] = one;
}

static void release_all(void)
{
    while (kept_count > 0) {
        berth_kept_release(kept[--kept_count]);
    }
}

static void begin(uint32_t reply_room)
{
    const struct berth_framing framing = berth_framing_seed(1 << 16);
    kept_count = 0;
    not_kept = 0;
    room = reply_room;
    scene_set_up(&framing);
    scene.protocol.on_message = keep_with_room;
}

/* `count` messages of one byte in one piece. */
static void say_many(uint32_t actor, uint32_t count, uint8_t byte)
{
    uint8_t bytes[5 * KEPT_MAX];
    for (uint32_t i = 0; i < count; i++) {
        memcpy(bytes + 5 * i, (const uint8_t[]){1, 0, 0, 0, byte}, 5);
    }
    scene_say_and_wait(actor, bytes, 5 * count);
}

/* One batch keeps as much as it can get; others' messages in parts still have their memory. */
static void a_slow_program_closes_nobody(void **state)
{
    (void)state;
    begin(60000);
    scene_start(1, NULL);
    uint32_t greedy = scene_arrive(true);
    uint32_t other = scene_arrive(true);
    say_many(greedy, 40, 'x');
    SCENE_UNTIL(not_kept > 0);
    assert_true(kept_count >= 4); /* a quarter of the pool */
    uint8_t frame[4 + 2000] = {2000 & 0xff, 2000 >> 8};
    frame[4] = '!';
    scene_say_and_wait(other, frame, 1004);
    assert_int_equal(scene.closes, 0);
    scene_say(other, frame + 1004, sizeof frame - 1004);
    release_all();
    SCENE_UNTIL(scene.actors[other].got_bytes == sizeof frame);
    assert_int_equal(scene.closes, 0);
    scene_tear_down();
}

/* Early replies that wait for a kept message hold memory too: then all wait, and nobody who could
 * be served otherwise is closed for want of it, however long the program takes. */
static void early_replies_close_nobody(void **state)
{
    (void)state;
    enum { COUNT = 30, SIZE = 40000, FRAME = 4 + SIZE };
    static uint8_t frames[COUNT * FRAME];
    for (uint32_t i = 0; i < COUNT; i++) {
        memcpy(frames + i * FRAME, (const uint8_t[]){SIZE & 0xff, SIZE >> 8, 0, 0, '!'}, 5);
    }
    begin(100);
    scene.config.window_bytes = 1u << 29;
    scene_start(2, NULL);
    uint32_t greedy = scene_arrive(true);
    uint32_t other = scene_arrive(true);
    say_many(greedy, 1, 'x');
    SCENE_UNTIL(kept_count == 1);
    uint64_t late_ns = sim_world_now(scene.world) + 5000 * NS_PER_MS;
    uint32_t said = 0;
    for (bool told = false; sim_world_now(scene.world) < late_ns;) {
        uint32_t count = FRAME * COUNT - said < 4096 ? FRAME * COUNT - said : 4096;
        int32_t wrote = sim_peer_write(scene.world, scene.actors[greedy].end, frames + said, count);
        said += (uint32_t)wrote;
        if (wrote == 0 && !told) { /* it is not read any more */
            say_many(other, 3, '!');
            sim_world_alarm(scene.world, late_ns);
            told = true;
        }
        scene_turn();
    }
    assert_true(said > 150000 && said < sizeof frames);
    assert_int_equal(scene.closes, 0);
    release_all();
    for (uint32_t turn = 0; turn < 100000 && scene.messages < 4 + COUNT; turn++) {
        said += (uint32_t)sim_peer_write(scene.world, scene.actors[greedy].end, frames + said,
                                         FRAME * COUNT - said);
        scene_turn();
        scene.actors[greedy].got_bytes = 0; /* there is no room for all of it */
    }
    assert_int_equal(scene.messages, 4 + COUNT);
    SCENE_UNTIL(scene.actors[other].got_bytes == 15);
    assert_int_equal(scene.closes, 0);
    scene_tear_down();
}

/* A message's room for its reply is there when the batch is handed over, also behind one that is
 * kept. The messages say what to do: reply, keep, take the whole pool away, fail to keep. */
static void *hoard[1 << 11];
static uint32_t hoard_count;

static void take_the_pool(void)
{
    size_t got;
    while ((hoard[hoard_count] = pool_take(&scene.worker->pool, POOL_PIECE, &got)) != NULL) {
        hoard_count++;
        assert_true(hoard_count < sizeof hoard / sizeof hoard[0]);
    }
}

static void give_the_pool(void)
{
    while (hoard_count > 0) {
        pool_give(&scene.worker->pool, hoard[--hoard_count]);
    }
}

static void act_on_each(struct berth_conn *conn, const struct berth_message *message)
{
    uint32_t before = not_kept;
    switch (message->data[0]) {
    case 'h':
        take_the_pool();
        scene.messages++;
        break;
    case 'n':
        keep_with_room(conn, message);
        assert_int_equal(not_kept, before + 1);
        break;
    default:
        keep_with_room(conn, message);
        assert_int_equal(not_kept, before);
    }
}

static void replies_behind_a_kept_message_have_their_room(void **state)
{
    (void)state;
    const char *const scripts[] = {"xh!!", "!xh!!", "xxh!", "x!xh!", "!hn!", "xhn!", "!xxhn!!"};
    for (uint32_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        begin(100);
        scene.protocol.on_message = act_on_each;
        scene_start(1 + i, NULL);
        uint32_t actor = scene_arrive(true);
        uint32_t count = (uint32_t)strlen(scripts[i]), replies = 0;
        uint8_t bytes[5 * 16];
        for (uint32_t k = 0; k < count; k++) {
            memcpy(bytes + 5 * k, (const uint8_t[]){1, 0, 0, 0, (uint8_t)scripts[i][k]}, 5);
            replies += scripts[i][k] == '!' ? 1 : 0;
        }
        scene_say_and_wait(actor, bytes, 5 * count);
        SCENE_UNTIL(scene.messages == count);
        give_the_pool();
        release_all();
        SCENE_UNTIL(scene.actors[actor].got_bytes == 5 * replies);
        SCENE_UNTIL(scene.worker->pool.chains == 0); /* what was not used went back */
        scene_tear_down();
    }
}

static berth_handle first_open;

static void remember(struct berth_conn *conn)
{
    first_open = scene.opens == 0 ? berth_conn_handle(conn) : first_open;
    scene.opens++;
}

static void tell_first(struct berth_conn *conn, const struct berth_message *message)
{
    if (message->data[0] != '>') {
        keep_with_room(conn, message);
        return;
    }
    scene.messages++;
    struct berth_conn *first = berth_conn_find(conn, first_open);
    assert_non_null(first);
    assert_int_equal(berth_send(first, "tell", 4), BERTH_OK);
}

/* What answers nothing does not wait for the window, nor is it refused for the window's sake. */
static void a_send_passes_a_full_window(void **state)
{
    (void)state;
    begin(60000);
    scene.protocol.on_open = remember;
    scene.protocol.on_message = tell_first;
    scene.config.send_high_bytes = 1000;
    scene.config.send_low_bytes = 100;
    scene.config.send_max_bytes = 100000;
    scene_start(3, NULL);
    uint32_t first = scene_arrive(true);
    uint32_t second = scene_arrive(true);
    say_many(first, 4, 'x');
    SCENE_UNTIL(kept_count == 4);
    say_many(second, 1, '>');
    SCENE_UNTIL(scene.actors[first].got_bytes == 8);
    assert_memory_equal(scene.actors[first].got + 4, "tell", 4);
    release_all();
    scene_tear_down();
}

static void pause_each(struct berth_conn *conn, const struct berth_message *message)
{
    scene_echo(conn, message);
    berth_pause(conn);
}

static void resume_each(struct berth_conn *conn, void *context)
{
    (void)context;
    berth_resume(conn);
}

/* One at a time means one: what else came in the batch waits for the end of the pause. With every
 * framing, however the bytes came. */
static void a_pause_holds_in_the_middle_of_a_batch(void **state)
{
    (void)state;
    for (size_t i = 0; i < CODECS; i++) {
        const struct berth_framing *framing = &codecs[i].framing;
        struct berth_framing small = *framing;
        small.message_bytes_max = small.message_bytes_max > 64 ? 64 : small.message_bytes_max;
        uint32_t size = framing->kind == BERTH_FRAMING_FIXED ? framing->message_bytes_max : 7;
        uint8_t frames[5 * (7 + CODEC_EXTRA)];
        uint32_t bytes = 0;
        for (int n = 0; n < 5; n++) {
            uint8_t message[8] = "message";
            message[0] = (uint8_t)('0' + n);
            bytes += (uint32_t)codec_encode(&small, message, size, frames + bytes);
        }
        scene_set_up(&small);
        scene.protocol.on_message = pause_each;
        scene_start(4 + i, NULL);
        uint32_t actor = scene_arrive(true);
        scene_say_and_wait(actor, frames, bytes - 1);
        scene_say(actor, frames + bytes - 1, 1);
        for (uint32_t n = 1; n <= 5; n++) {
            SCENE_UNTIL(scene.actors[actor].got_bytes >= n * (bytes / 5));
            assert_int_equal(scene.messages, n);
            assert_int_equal(berth_visit(scene.server, resume_each, NULL, NULL), BERTH_OK);
        }
        assert_memory_equal(scene.actors[actor].got, frames, bytes);
        struct berth_stats stats;
        berth_server_stats(scene.server, &stats);
        assert_int_equal(stats.messages_in, 5);
        scene_tear_down();
    }
}

/* A stop resumes: also who is paused for each message, and during the stop. */
static void a_stop_is_not_paused(void **state)
{
    (void)state;
    const struct berth_framing framing = berth_framing_seed(8);
    scene_set_up(&framing);
    scene.protocol.on_message = pause_each;
    scene_start(30, NULL);
    uint32_t actor = scene_arrive(true);
    say_many(actor, 20, 'p');
    uint64_t stop_ns = sim_world_now(scene.world);
    berth_server_stop(scene.server);
    SCENE_UNTIL((scene_state(actor) & SIM_PEER_EOF) != 0);
    assert_int_equal(scene.actors[actor].got_bytes, 100);
    assert_true(sim_world_now(scene.world) - stop_ns < 100 * NS_PER_MS);
    scene_tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_program_closes_nobody),
        cmocka_unit_test(early_replies_close_nobody),
        cmocka_unit_test(replies_behind_a_kept_message_have_their_room),
        cmocka_unit_test(a_send_passes_a_full_window),
        cmocka_unit_test(a_pause_holds_in_the_middle_of_a_batch),
        cmocka_unit_test(a_stop_is_not_paused),
    };
    return cmocka_run_group_tests_name("sim.keep", tests, NULL, NULL);
}
