/* What other threads send, in virtual time: sizes that can never be sent, memory for it that is
 * full, and requests that meet the end of their connection.
 */
#include <string.h>

#include "sim/help_scene.h"
#include "unit/framings.h"

static const struct berth_framing seed_framing = LENGTH(4, 1 << 16);
static const struct sim_options narrow = {.pipe_bytes = 50};

static berth_handle handles[SCENE_ACTORS_MAX];
static uint32_t drained[SCENE_ACTORS_MAX]; /* by slot */

static void note_handle(struct berth_conn *conn)
{
    handles[scene.opens] = berth_conn_handle(conn);
    scene_on_open(conn);
}

static void note_drained(struct berth_conn *conn)
{
    drained[conn->slot.number]++;
    scene.drains++;
}

static void set_up(void)
{
    scene_set_up(&seed_framing);
    memset(drained, 0, sizeof drained);
    scene.protocol.on_open = note_handle;
    scene.protocol.on_drained = note_drained;
    scene.config.post_bytes = 64 << 10;
    scene.config.pool_bytes = 4 << 20;
    scene.config.send_high_bytes = 1 << 20;
    scene.config.send_max_bytes = 1 << 20;
}

static int send_to(uint32_t actor, size_t bytes)
{
    static const uint8_t message[40000];
    assert_true(bytes <= sizeof message);
    return berth_handle_send(scene.server, handles[actor], message, bytes);
}

static void one_turn_more(void)
{
    for (int i = 0; i < 10; i++) {
        scene_turn();
    }
}

/* ------------------------------------------------------------------------------------------- sizes
 */

static void what_can_never_be_sent_is_too_large(void **state)
{
    (void)state;
    static const uint8_t message[1 << 20];
    set_up();
    scene.config.send_max_bytes = 30000;
    scene.config.send_high_bytes = 30000;
    scene.config.send_low_bytes = 100;
    scene_start(1, NULL);
    uint32_t actor = scene_arrive(true);
    berth_handle handle = handles[actor];
    assert_int_equal(
        berth_handle_send(scene.server, handle, message, (size_t)BERTH_MESSAGE_BYTES_LIMIT + 1),
        BERTH_E_TOO_LARGE);
    assert_int_equal(berth_handle_send(scene.server, handle, message, 30001), BERTH_E_TOO_LARGE);
    assert_int_equal(berth_handle_send(scene.server, handle, message, 29997), BERTH_E_TOO_LARGE);
    assert_int_equal(scene.server->post.pool.used, 0);
    assert_int_equal(berth_handle_send(scene.server, handle, message, 29996), BERTH_OK);
    assert_int_equal(berth_handle_send(scene.server, handle, NULL, 0), BERTH_OK);
    SCENE_UNTIL(scene.actors[actor].got_bytes == 30004);
    scene.server->config.send_max_bytes = 1 << 20; /* then the posts set the limit */
    assert_int_equal(berth_handle_send(scene.server, handle, message, 64 << 10), BERTH_E_TOO_LARGE);
    scene_tear_down();
}

/* In a framing that ends messages with a delimiter, what is sent by handle ends with it too. */
static void a_line_by_handle_has_its_end(void **state)
{
    (void)state;
    set_up();
    scene.protocol.framing = (struct berth_framing)DELIMITER("\r\n", 100);
    scene_start(1, NULL);
    uint32_t actor = scene_arrive(true);
    assert_int_equal(berth_handle_send(scene.server, handles[actor], "a\r\nb", 4), BERTH_E_FRAME);
    assert_int_equal(berth_handle_send(scene.server, handles[actor], "ab", 2), BERTH_OK);
    SCENE_UNTIL(scene.actors[actor].got_bytes == 4);
    assert_memory_equal(scene.actors[actor].got, "ab\r\n", 4);
    scene_tear_down();
}

/* -------------------------------------------------------------------------------------- full posts
 */

static void nobody(struct berth_conn *conn, void *context)
{
    (void)conn;
    (void)context;
    fail();
}

/* One that does not read has the posts full: then sends and visits are refused. Of those whose
 * sends were refused each is told once when there is room, however often it tried. */
static void full_posts_refuse_and_tell_each_once(void **state)
{
    (void)state;
    set_up();
    scene_start(2, &narrow);
    uint32_t hog = scene_arrive(false);
    uint32_t patient = scene_arrive(true);
    uint32_t leaver = scene_arrive(true);
    assert_int_equal(send_to(hog, 32000), BERTH_OK);
    assert_int_equal(send_to(hog, 32000), BERTH_OK);
    assert_int_equal(berth_visit(scene.server, nobody, NULL, NULL), BERTH_E_WOULD_EXCEED);
    assert_int_equal(send_to(patient, 100), BERTH_E_WOULD_EXCEED);
    assert_int_equal(send_to(leaver, 100), BERTH_E_WOULD_EXCEED);
    one_turn_more();
    assert_int_equal(send_to(patient, 100), BERTH_E_WOULD_EXCEED);
    one_turn_more();
    assert_int_equal(scene.worker->post_waiters, 2);
    assert_int_equal(scene.drains, 0);
    /* One whose peer has ended its side stays until it has been told, too. */
    sim_peer_shutdown(scene.world, scene.actors[leaver].end, IO_SHUTDOWN_SEND);
    scene_pass_ms(1);
    assert_int_equal(scene.closes, 0);
    assert_int_equal(scene.worker->post_waiters, 2);
    scene.actors[hog].reads = true;
    SCENE_UNTIL(scene.actors[hog].got_bytes == 64008);
    one_turn_more();
    assert_int_equal(scene.drains, 2);
    assert_int_equal(scene.worker->post_waiters, 0);
    SCENE_UNTIL(scene.closes == 1);
    assert_int_equal(send_to(patient, 100), BERTH_OK);
    SCENE_UNTIL(scene.actors[patient].got_bytes == 104);
    scene_tear_down();
}

/* A refusal that is heard of when there is room again is answered at once. */
static void a_late_refusal_is_told_at_once(void **state)
{
    (void)state;
    set_up();
    scene_start(3, &narrow);
    uint32_t hog = scene_arrive(false);
    uint32_t patient = scene_arrive(true);
    assert_int_equal(send_to(hog, 32000), BERTH_OK);
    assert_int_equal(send_to(hog, 32000), BERTH_OK);
    assert_int_equal(send_to(patient, 100), BERTH_E_WOULD_EXCEED);
    sim_peer_reset(scene.world, scene.actors[hog].end); /* frees all of it */
    SCENE_UNTIL(scene.closes == 1);
    one_turn_more();
    assert_int_equal(scene.drains, 1);
    assert_int_equal(scene.worker->post_waiters, 0);
    assert_int_equal(send_to(patient, 100), BERTH_OK);
    scene_tear_down();
}

/* ------------------------------------------------------------------------------- the wrong moment
 */

static uint32_t asked;

static void ask_when_joining(void *context, struct berth_conn *conn,
                             const struct berth_record *record)
{
    (void)context;
    (void)conn;
    if (record->event == BERTH_EVENT_JOINING) {
        assert_int_equal(berth_handle_pause(scene.server, record->conn), BERTH_OK);
        asked++;
    }
}

/* A request may be in the mailbox for longer than its connection lives, and says nothing then; nor
 * to the next one in its slot. */
static void a_request_outlives_its_connection(void **state)
{
    (void)state;
    set_up();
    scene.config.on_event = ask_when_joining;
    asked = 0;
    scene_start(4, NULL);
    berth_server_watch(scene.server, BERTH_WATCH_FLOW);
    uint32_t first = scene_arrive(true);
    sim_peer_reset(scene.world, scene.actors[first].end);
    SCENE_UNTIL(scene.closes == 1);
    assert_int_equal(asked, 1);
    assert_int_equal(berth_handle_pause(scene.server, handles[first]), BERTH_E_STALE);
    uint32_t second = scene_arrive(true);
    assert_int_equal((uint32_t)(handles[second] >> 32), (uint32_t)(handles[first] >> 32));
    scene_say(second, "\0\0\0\0", 4);
    SCENE_UNTIL(scene.actors[second].got_bytes == 4); /* it is not paused */
    scene_tear_down();
}

/* What is sent to one that closes in the same turn is dropped, and counted. */
static void a_send_behind_a_close_is_dropped(void **state)
{
    (void)state;
    set_up();
    scene_start(5, NULL);
    uint32_t actor = scene_arrive(true);
    struct berth_stats stats;
    assert_int_equal(berth_handle_close(scene.server, handles[actor]), BERTH_OK);
    assert_int_equal(send_to(actor, 10), BERTH_OK); /* nobody knows yet */
    (void)scene_wait_for_end(actor, BERTH_REASON_LOCAL);
    berth_server_stats(scene.server, &stats);
    assert_int_equal(stats.sends_dropped, 1);
    assert_int_equal(scene.actors[actor].got_bytes, 0);
    assert_int_equal(scene.server->post.pool.used, 0);
    scene_tear_down();
}

/* Numbers that are no handle of this server: of no worker, of a worker or a slot that it has not,
 * of a life that is over, of none. */
static void numbers_that_are_no_handles(void **state)
{
    (void)state;
    set_up();
    scene_start(6, NULL);
    (void)scene_arrive(true);
    berth_handle right = handles[0];
    const berth_handle wrong[] = {0,
                                  right & ~(UINT64_C(0x3ff) << 54),
                                  right + (UINT64_C(1) << 54),
                                  right | (UINT64_C(0x3fffff) << 32),
                                  right + 2,
                                  right & ~UINT64_C(0xffffffff)};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(berth_handle_close(scene.server, wrong[i]), BERTH_E_STALE);
        assert_int_equal(berth_handle_send(scene.server, wrong[i], "x", 1), BERTH_E_STALE);
        assert_null(conn_of_handle(scene.worker, wrong[i]));
        assert_false(remote_is_live(scene.worker, wrong[i]));
    }
    assert_true(remote_is_live(scene.worker, right));
    scene_tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_can_never_be_sent_is_too_large),
        cmocka_unit_test(a_line_by_handle_has_its_end),
        cmocka_unit_test(full_posts_refuse_and_tell_each_once),
        cmocka_unit_test(a_late_refusal_is_told_at_once),
        cmocka_unit_test(a_request_outlives_its_connection),
        cmocka_unit_test(a_send_behind_a_close_is_dropped),
        cmocka_unit_test(numbers_that_are_no_handles),
    };
    return cmocka_run_group_tests_name("posts", tests, NULL, NULL);
}
