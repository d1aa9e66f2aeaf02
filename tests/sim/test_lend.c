/* Large pieces are sent from where they were received: which, how many at once, and that the
 * receive buffers come back. The simulation overwrites what is given back, so a lease that went
 * back too early shows in the bytes.
 */
#include <string.h>

#include "sim/help_scene.h"

#define LEND  100  /* the least piece that is lent here */
#define LARGE 2000 /* of a message; one receive takes it */
#define PIPE  500  /* bytes on their way to a client that does not read */

static int code; /* of the last reply */

static void echo_in_pieces(struct berth_conn *conn, const struct berth_message *message)
{
    const struct berth_piece pieces[] = {{"id: ", 4}, {NULL, 0}, {message->data, message->size}};
    scene.messages++;
    code = berth_reply_pieces(conn, message, pieces, 3);
}

/* Fills what is on its way to a client: it has read nothing yet. */
static void fill(struct berth_conn *conn)
{
    static const uint8_t nothing[PIPE - 4];
    scene_on_open(conn);
    assert_int_equal(berth_send(conn, nothing, sizeof nothing), BERTH_OK);
}

static uint64_t in_place(void)
{
    struct berth_stats stats;
    berth_server_stats(scene.server, &stats);
    return stats.messages_in_place;
}

static uint32_t leases_free(void)
{
    return io_leases_free(scene.worker->io);
}

static void start(void (*on_message)(struct berth_conn *conn, const struct berth_message *message))
{
    const struct berth_framing framing = berth_framing_seed(LARGE);
    const struct sim_options options = {.pipe_bytes = PIPE};
    scene_set_up(&framing);
    scene.protocol.on_open = fill;
    scene.protocol.on_message = on_message;
    scene_start(3, &options);
    scene.server->lend_bytes = LEND;
}

/* A frame of so many bytes that are unlike another actor's. */
static void say_large(uint32_t actor, uint32_t bytes)
{
    uint8_t frame[4 + LARGE];
    frame[0] = (uint8_t)bytes;
    frame[1] = (uint8_t)(bytes >> 8);
    frame[2] = frame[3] = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        frame[4 + i] = (uint8_t)(i * 7 + actor);
    }
    scene_say(actor, frame, 4 + bytes);
}

/* It gets the answer, behind what it got before. */
static void expect_large(uint32_t actor, uint32_t bytes)
{
    const struct actor *a = &scene.actors[actor];
    SCENE_UNTIL(a->got_bytes == PIPE + 8 + bytes);
    const uint8_t *got = a->got + PIPE;
    assert_int_equal(got[0] | got[1] << 8, bytes + 4);
    assert_memory_equal(got + 4, "id: ", 4);
    for (uint32_t i = 0; i < bytes; i++) {
        assert_int_equal(got[8 + i], (uint8_t)(i * 7 + actor));
    }
    scene.actors[actor].got_bytes = PIPE;
}

/* One piece goes from the lease, unless it came in parts: pipes of 500 bytes make receives short,
 * so the large ones are assembled, and only what fits one receive is lent. */
static void what_came_whole_is_sent_from_there(void **state)
{
    (void)state;
    start(echo_in_pieces);
    uint32_t actor = scene_arrive(true);
    say_large(actor, 300);
    expect_large(actor, 300);
    assert_int_equal(in_place(), 1);
    SCENE_UNTIL(leases_free() == scene.config.receive_buffers);
    say_large(actor, LARGE); /* more than the pipe takes */
    expect_large(actor, LARGE);
    assert_int_equal(in_place(), 1);
    say_large(actor, LEND - 1); /* too small */
    expect_large(actor, LEND - 1);
    assert_int_equal(in_place(), 1);
    scene_tear_down();
}

static void the_room_for_the_rest_of_a_batch_is_kept(void **state)
{
    (void)state;
    start(echo_in_pieces);
    uint32_t actor = scene_arrive(true);
    uint8_t both[2 * (4 + LEND)] = {LEND};
    both[4 + LEND] = LEND;
    scene_say(actor, both, sizeof both);
    SCENE_UNTIL(scene.actors[actor].got_bytes == PIPE + 2 * (8 + LEND));
    assert_int_equal(in_place(), 1); /* the second one */
    scene_tear_down();
}

/* Each says a message, and none reads: the queues hold the answers. */
static void half_of_the_buffers_are_lent_at_most(void **state)
{
    (void)state;
    start(echo_in_pieces);
    uint32_t actors[6];
    for (uint32_t i = 0; i < 6; i++) {
        actors[i] = scene_arrive(false);
        say_large(actors[i], 400);
        SCENE_UNTIL(scene.messages == i + 1);
        assert_true(leases_free() >= scene.config.receive_buffers / 2);
    }
    assert_int_equal(leases_free(), scene.config.receive_buffers / 2);
    assert_int_equal(scene.worker->leases_lent, scene.config.receive_buffers / 2);
    uint32_t other = scene_arrive(true); /* who is served all the same */
    say_large(other, 400);
    expect_large(other, 400);
    for (uint32_t i = 0; i < 6; i++) {
        scene.actors[actors[i]].reads = true;
        expect_large(actors[i], 400);
    }
    SCENE_UNTIL(leases_free() == scene.config.receive_buffers);
    assert_int_equal(scene.worker->leases_lent, 0);
    scene_tear_down();
}

static void a_lease_comes_back_from_one_that_is_gone(void **state)
{
    (void)state;
    start(echo_in_pieces);
    uint32_t actor = scene_arrive(false);
    say_large(actor, 400);
    SCENE_UNTIL(scene.messages == 1);
    assert_true(leases_free() < scene.config.receive_buffers);
    sim_peer_reset(scene.world, scene.actors[actor].end);
    SCENE_UNTIL(scene.closes == 1 && leases_free() == scene.config.receive_buffers);
    scene_tear_down();
}

/* A message goes on to all others, from where it lies. */
static struct berth_conn *others[2];
static uint32_t others_count;

static void relay(struct berth_conn *conn, const struct berth_message *message)
{
    if (message->size < LEND) { /* it enters the relay */
        others[others_count++] = conn;
        return;
    }
    scene.messages++;
    for (uint32_t i = 0; i < others_count; i++) {
        assert_int_equal(berth_send(others[i], message->data, message->size), BERTH_OK);
    }
}

static void a_relay_lends_to_many(void **state)
{
    (void)state;
    others_count = 0;
    start(relay);
    uint32_t speaker = scene_arrive(true);
    uint32_t fast = scene_arrive(true);
    uint32_t slow = scene_arrive(false);
    say_large(fast, 1);
    say_large(slow, 1);
    SCENE_UNTIL(others_count == 2);
    say_large(speaker, 300);
    SCENE_UNTIL(scene.actors[fast].got_bytes == PIPE + 4 + 300);
    assert_int_equal(in_place(), 2);
    assert_true(leases_free() < scene.config.receive_buffers); /* the slow one's */
    scene.actors[slow].reads = true;
    SCENE_UNTIL(scene.actors[slow].got_bytes == PIPE + 4 + 300);
    assert_memory_equal(scene.actors[slow].got, scene.actors[fast].got, PIPE + 4 + 300);
    SCENE_UNTIL(leases_free() == scene.config.receive_buffers);
    scene_tear_down();
}

/* ------------------------------------------------------------------------------------ what fails
 */

static void split_reply(struct berth_conn *conn, const struct berth_message *message)
{
    const struct berth_piece bad[] = {{"ab\r", 3}, {"\ncd", 3}};
    const struct berth_piece good[] = {{"ab\r", 3}, {"cd", 2}};
    scene.messages++;
    uint32_t queued = berth_conn_queued_bytes(conn);
    assert_int_equal(berth_reply_pieces(conn, message, bad, 2), BERTH_E_FRAME);
    assert_int_equal(berth_send_pieces(conn, bad, 2), BERTH_E_FRAME);
    assert_int_equal(berth_conn_queued_bytes(conn), queued);
    assert_int_equal(berth_send_pieces(conn, good, 2), BERTH_OK);
    assert_int_equal(berth_reply_pieces(conn, message, good, 2), BERTH_OK);
    assert_int_equal(berth_reply_pieces(conn, message, good, 2), BERTH_E_STATE);
}

static void a_delimiter_is_found_across_pieces(void **state)
{
    (void)state;
    struct berth_framing framing;
    assert_int_equal(berth_framing_parse("delimiter:\\r\\n", 100, &framing, NULL), BERTH_OK);
    scene_set_up(&framing);
    scene.protocol.on_message = split_reply;
    scene_start(4, NULL);
    uint32_t actor = scene_arrive(true);
    scene_say(actor, "?\r\n", 3);
    SCENE_UNTIL(scene.actors[actor].got_bytes == 14);
    assert_memory_equal(scene.actors[actor].got, "ab\rcd\r\nab\rcd\r\n", 14);
    scene_tear_down();
}

static void too_much(struct berth_conn *conn, const struct berth_message *message)
{
    const size_t half = (size_t)1 << 63;
    const struct berth_piece pieces[] = {
        {message->data, half}, {message->data, half}, {message->data, message->size}};
    scene.messages++;
    assert_int_equal(berth_reply_pieces(conn, message, pieces, 3), BERTH_E_TOO_LARGE);
    assert_int_equal(berth_send_pieces(conn, pieces, 2), BERTH_E_TOO_LARGE);
    assert_int_equal(berth_reply_pieces(conn, message, pieces + 2, 1), BERTH_OK);
    berth_close(conn);
    assert_int_equal(berth_send_pieces(conn, pieces + 2, 1), BERTH_E_CLOSED);
    assert_int_equal(berth_reply_pieces(conn, message, pieces + 2, 1), BERTH_E_CLOSED);
}

static void pieces_that_are_too_much_leave_nothing_lent(void **state)
{
    (void)state;
    start(too_much);
    uint32_t actor = scene_arrive(true);
    say_large(actor, 300);
    SCENE_UNTIL(scene.messages == 1 && scene.actors[actor].got_bytes == PIPE + 304);
    assert_int_equal(in_place(), 1);
    SCENE_UNTIL(leases_free() == scene.config.receive_buffers);
    scene_tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_came_whole_is_sent_from_there),
        cmocka_unit_test(the_room_for_the_rest_of_a_batch_is_kept),
        cmocka_unit_test(half_of_the_buffers_are_lent_at_most),
        cmocka_unit_test(a_lease_comes_back_from_one_that_is_gone),
        cmocka_unit_test(a_relay_lends_to_many),
        cmocka_unit_test(a_delimiter_is_found_across_pieces),
        cmocka_unit_test(pieces_that_are_too_much_leave_nothing_lent),
    };
    return cmocka_run_group_tests_name("lend", tests, NULL, NULL);
}
