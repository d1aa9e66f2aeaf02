/* No room, in virtual time: the pool is empty, or what one may have of it is, at each place that
 * asks for some. Whoever is refused is told when there is room, and nobody is closed who would have
 * been served.
 */
#include <stdlib.h>
#include <string.h>

#include "sim/help_scene.h"
#include "unit/framings.h"

static const struct berth_framing seed_framing = LENGTH(4, 1 << 17);

static void *hoard[4096];
static uint32_t hoarded;

/* Somebody has all of the pool. */
static void hoard_the_pool(void)
{
    size_t got;
    while ((hoard[hoarded] = pool_take(&scene.worker->pool, POOL_PIECE, &got)) != NULL) {
        hoarded++;
    }
}

static void release_the_pool(void)
{
    while (hoarded > 0) {
        pool_give(&scene.worker->pool, hoard[--hoarded]);
    }
}

static berth_handle handles[SCENE_ACTORS_MAX];

static void note_handle(struct berth_conn *conn)
{
    handles[scene.opens] = berth_conn_handle(conn);
    scene_on_open(conn);
}

static void note_drained(struct berth_conn *conn)
{
    (void)conn;
    scene.drains++;
}

static void set_up(void)
{
    scene_set_up(&seed_framing);
    hoarded = 0;
    scene.protocol.on_open = note_handle;
    scene.protocol.on_drained = note_drained;
}

static struct berth_conn *conn_of(uint32_t actor)
{
    return &scene.worker->conns[(uint32_t)(handles[actor] >> 32) & SLOTS_MAX];
}

/* ------------------------------------------------------------------------------------- for replies
 */

static const uint8_t bytes[1 << 17];

static void send_into_an_empty_pool(struct berth_conn *conn)
{
    note_handle(conn);
    hoard_the_pool();
    assert_int_equal(berth_send(conn, bytes, 1000), BERTH_E_WOULD_EXCEED);
    assert_int_equal(berth_send(conn, bytes, 10), BERTH_E_WOULD_EXCEED);
}

/* One waits for room for longer than the worker's patience, and nobody holds anything that could be
 * taken away: nobody is closed. A pause and its end change nothing of it. When there is room, it is
 * told once. */
static void who_holds_nothing_is_not_closed(void **state)
{
    (void)state;
    set_up();
    scene.protocol.on_open = send_into_an_empty_pool;
    scene_start(1, NULL);
    uint32_t actor = scene_arrive(true);
    assert_int_equal(scene.worker->short_of.count, 1);
    scene_pass_ms(2500);
    assert_int_equal(berth_handle_pause(scene.server, handles[actor]), BERTH_OK);
    scene_pass_ms(10);
    assert_int_equal(berth_handle_resume(scene.server, handles[actor]), BERTH_OK);
    scene_pass_ms(10);
    assert_int_equal(scene.worker->short_of.count, 1);
    assert_int_equal(scene.closes, 0);
    assert_int_equal(scene.drains, 0);
    release_the_pool();
    SCENE_UNTIL(scene.drains == 1);
    assert_int_equal(scene.worker->short_of.count, 0);
    scene_say(actor, "\1\0\0\0a", 5);
    SCENE_UNTIL(scene.actors[actor].got_bytes == 5);
    assert_int_equal(scene.drains, 1);
    scene_tear_down();
}

static void fill_the_queue(struct berth_conn *conn, const struct berth_message *message)
{
    scene.messages++;
    (void)message;
    assert_int_equal(berth_send(conn, bytes, 1000), BERTH_OK);
    hoard_the_pool();
    assert_int_equal(berth_send(conn, bytes, 2000), BERTH_E_WOULD_EXCEED);
}

/* With something queued, its completion will say that there is room: nobody is made to wait. */
static void what_is_queued_makes_room(void **state)
{
    (void)state;
    set_up();
    scene.protocol.on_message = fill_the_queue;
    scene_start(1, NULL);
    uint32_t actor = scene_arrive(true);
    scene_say(actor, "\0\0\0\0", 4);
    SCENE_UNTIL(scene.messages == 1);
    assert_int_equal(scene.worker->short_of.count, 0);
    release_the_pool();
    SCENE_UNTIL(scene.drains == 1);
    SCENE_UNTIL(scene.actors[actor].got_bytes == 1004);
    scene_tear_down();
}

/* -------------------------------------------------------------------------------------- for
 * keeping
 */

static int keep_error;

static void keep_in_an_empty_pool(struct berth_conn *conn, const struct berth_message *message)
{
    scene.messages++;
    if (scene.messages == 1) {
        hoard_the_pool();
        assert_null(berth_keep(conn, message, 100, &keep_error));
        return;
    }
    assert_int_equal(berth_reply(conn, message, message->data, message->size), BERTH_OK);
}

static void what_cannot_be_kept_for_now_is_told(void **state)
{
    (void)state;
    set_up();
    scene.protocol.on_message = keep_in_an_empty_pool;
    keep_error = BERTH_OK;
    scene_start(1, NULL);
    uint32_t actor = scene_arrive(true);
    scene_say(actor, "\1\0\0\0a", 5);
    SCENE_UNTIL(scene.messages == 1);
    assert_int_equal(keep_error, BERTH_E_WOULD_EXCEED);
    release_the_pool();
    SCENE_UNTIL(scene.drains == 1);
    scene_say(actor, "\1\0\0\0b", 5);
    SCENE_UNTIL(scene.actors[actor].got_bytes == 5);
    assert_int_equal(scene.actors[actor].got[4], 'b');
    assert_int_equal(scene.worker->kept_bytes, 0);
    scene_tear_down();
}

static struct berth_kept *kept[8];
static uint32_t kept_count;
static size_t kept_room; /* for each reply */

static void keep_all(struct berth_conn *conn, const struct berth_message *message)
{
    scene.messages++;
    keep_error = BERTH_OK;
    struct berth_kept *one = berth_keep(conn, message, kept_room, &keep_error);
    if (one != NULL) {
        kept[kept_count++] = one;
    }
}

static void release_all(void)
{
    while (kept_count > 0) {
        berth_kept_release(kept[--kept_count]);
    }
}

/* Messages in parts have three quarters of the pool: then nothing more is kept beside them, though
 * the pool has a piece for it. */
static void parts_come_before_what_is_kept(void **state)
{
    (void)state;
    set_up();
    scene.protocol.on_message = keep_all;
    kept_count = 0;
    kept_room = 60000;
    scene_start(1, NULL);
    uint32_t keeper = scene_arrive(true);
    for (uint32_t i = 0; i < 5; i++) { /* of a message of 128 KiB more than half: 128 KiB each */
        uint32_t talker = scene_arrive(true);
        scene_say(talker, "\0\0\2", 4);
        scene_say_and_wait(talker, bytes, 70000);
    }
    scene_say(keeper, "\0\0\0\0", 4);
    SCENE_UNTIL(scene.messages == 1);
    assert_int_equal(keep_error, BERTH_OK);
    scene_say(keeper, "\0\0\0\0", 4);
    SCENE_UNTIL(scene.messages == 2);
    assert_int_equal(keep_error, BERTH_OK); /* three quarters exactly */
    scene_say(keeper, "\0\0\0\0", 4);
    SCENE_UNTIL(scene.messages == 3);
    assert_int_equal(keep_error, BERTH_E_WOULD_EXCEED);
    assert_int_equal(scene.closes, 0);
    release_all();
    SCENE_UNTIL(scene.drains == 1);
    scene_tear_down();
}

/* One connection's window holds at most 1 GiB, however large the pool is. */
static void a_window_has_an_end(void **state)
{
    (void)state;
    set_up();
    scene.protocol.on_message = keep_all;
    scene.config.pool_bytes = UINT64_C(16) << 30; /* reserved; pieces are touched at their front */
    scene.config.window_bytes = UINT32_MAX / 4;
    kept_count = 0;
    kept_room = (256 << 20) - 4096;
    scene_start(1, NULL);
    uint32_t actor = scene_arrive(true);
    scene_say(actor, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    SCENE_UNTIL(scene.messages == 5);
    assert_int_equal(kept_count, 4);
    assert_int_equal(keep_error, BERTH_E_WOULD_EXCEED);
    assert_int_equal(conn_of(actor)->window_bytes, 1 << 30);
    release_all();
    SCENE_UNTIL(scene.drains == 1);
    scene_tear_down();
}

/* ------------------------------------------------------------------------------- who holds the
 * most
 */

static void keep_or_answer(struct berth_conn *conn, const struct berth_message *message)
{
    if (message->size > 0 && message->data[0] == 'k') {
        keep_all(conn, message);
        return;
    }
    scene.messages++;
    if (message->size > 0 && message->data[0] == 'e') { /* early: it waits behind what is kept */
        assert_int_equal(berth_reply(conn, message, bytes, 20000), BERTH_OK);
    } else if (message->size > 0 && message->data[0] == 's') {
        hoard_the_pool();
        assert_int_equal(berth_send(conn, bytes, 60000), BERTH_E_WOULD_EXCEED);
    } else {
        assert_int_equal(berth_reply(conn, message, message->data, message->size), BERTH_OK);
    }
}

static void say_and_be_heard(uint32_t actor, const char *what)
{
    const uint8_t frame[5] = {1, 0, 0, 0, (uint8_t)what[0]};
    uint32_t wanted = scene.messages + 1;
    scene_say(actor, frame, sizeof frame);
    SCENE_UNTIL(scene.messages == wanted);
}

static bool sent_at_last;

/* The little that the callback gave back itself is room, but not enough. */
static void send_again(struct berth_conn *conn)
{
    scene.drains++;
    sent_at_last = berth_send(conn, bytes, 60000) == BERTH_OK;
}

/* Replies that wait behind several kept messages count for who holds the most: when somebody has
 * waited for room for too long, it is their connection that is closed. */
static void early_replies_count_as_held(void **state)
{
    (void)state;
    set_up();
    scene.protocol.on_message = keep_or_answer;
    scene.protocol.on_drained = send_again;
    sent_at_last = false;
    kept_count = 0;
    kept_room = 10;
    scene_start(1, NULL);
    uint32_t holder = scene_arrive(true);
    uint32_t waiter = scene_arrive(true);
    say_and_be_heard(holder, "k");
    say_and_be_heard(holder, "e");
    say_and_be_heard(holder, "k");
    say_and_be_heard(holder, "e");
    assert_true(keep_behind_bytes(conn_of(holder)) > 2 * 20000);
    say_and_be_heard(waiter, "s");
    scene_pass_ms(1500);
    SCENE_UNTIL(scene.closes == 1);
    assert_int_equal(scene.reason, BERTH_REASON_MEMORY);
    assert_true((scene_state(holder) & SIM_PEER_RESET) != 0);
    assert_int_equal(scene_state(waiter) & SIM_PEER_RESET, 0);
    release_the_pool();
    release_all();
    SCENE_UNTIL(sent_at_last);
    SCENE_UNTIL(scene.actors[waiter].got_bytes == 60004);
    scene_tear_down();
}

/* One that waits for others' kept messages to be answered may be closed meanwhile. */
static void who_waits_for_others_may_be_closed(void **state)
{
    (void)state;
    set_up();
    scene.protocol.on_message = keep_all;
    kept_count = 0;
    kept_room = 100000; /* 128 KiB each: two are a quarter of the pool, three are more */
    scene_start(1, NULL);
    uint32_t keeper = scene_arrive(true);
    uint32_t waiter = scene_arrive(true);
    scene_say(keeper, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
    SCENE_UNTIL(scene.messages == 3);
    assert_int_equal(kept_count, 3);
    scene_say_and_wait(waiter, "\0\0\0\0", 4);
    assert_int_equal(scene.worker->kept_full.count, 1);
    assert_int_equal(scene.messages, 3);
    assert_int_equal(berth_handle_close(scene.server, handles[waiter]), BERTH_OK);
    (void)scene_wait_for_end(waiter, BERTH_REASON_LOCAL);
    assert_int_equal(scene.worker->kept_full.count, 0);
    assert_int_equal(scene.messages, 3); /* it was not handed over any more */
    release_all();
    scene_tear_down();
}

/* --------------------------------------------------------------------------- for messages in parts
 */

/* A message in parts whose next bytes find no memory is closed for it, and what came behind them in
 * the same piece is dropped with it. */
static void no_memory_in_the_middle_of_a_piece(void **state)
{
    (void)state;
    uint8_t end[3000] = {0};
    set_up();
    scene_start(1, NULL);
    uint32_t actor = scene_arrive(true);
    scene_say_and_wait(actor, "\0\4\0\0", 4); /* a message of 1,024 bytes: a piece of 512 */
    scene_say_and_wait(actor, bytes, 500);
    hoard_the_pool();
    scene_say_and_wait(actor, end, sizeof end); /* its rest, and more messages */
    SCENE_UNTIL(scene.closes == 1);
    assert_int_equal(scene.reason, BERTH_REASON_MEMORY);
    assert_int_equal(scene.messages, 0);
    release_the_pool();
    scene_tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_holds_nothing_is_not_closed),
        cmocka_unit_test(what_is_queued_makes_room),
        cmocka_unit_test(what_cannot_be_kept_for_now_is_told),
        cmocka_unit_test(parts_come_before_what_is_kept),
        cmocka_unit_test(a_window_has_an_end),
        cmocka_unit_test(early_replies_count_as_held),
        cmocka_unit_test(who_waits_for_others_may_be_closed),
        cmocka_unit_test(no_memory_in_the_middle_of_a_piece),
    };
    return cmocka_run_group_tests_name("scarce", tests, NULL, NULL);
}
