/* Calls at the wrong moment, on the wrong connection or for too much, in virtual time: each is
 * answered as berth.h says, and nothing else comes of it.
 */
#include <string.h>

#include "sim/help_scene.h"

static const struct berth_framing seed_framing = {
    .kind = BERTH_FRAMING_LENGTH, .message_bytes_max = 1 << 16, .length_bytes = 4};

/* What the callback of the test does with the first message, once. */
static void (*act)(struct berth_conn *conn, const struct berth_message *messages, size_t count);
static berth_handle other; /* the connection that came first */

static void remember_first(struct berth_conn *conn)
{
    other = scene.opens == 0 ? berth_conn_handle(conn) : other;
    scene_on_open(conn);
}

static void act_once(struct berth_conn *conn, const struct berth_message *messages, size_t count)
{
    scene.messages += (uint32_t)count;
    if (act != NULL) {
        void (*now)(struct berth_conn *, const struct berth_message *, size_t) = act;
        act = NULL;
        now(conn, messages, count);
    }
}

/* Two clients, of which the second says a message of three bytes. */
static void play(const struct berth_framing *framing,
                 void (*what)(struct berth_conn *conn, const struct berth_message *messages,
                              size_t count))
{
    scene_set_up(framing);
    scene.protocol.on_open = remember_first;
    scene.protocol.on_message = NULL;
    scene.protocol.on_messages = act_once;
    act = what;
    scene_start(1, NULL);
    (void)scene_arrive(true);
    uint32_t speaker = scene_arrive(true);
    scene_say(speaker, "\3\0\0\0abc", 7);
    SCENE_UNTIL(scene.messages == 1);
}

static struct berth_conn *the_other(struct berth_conn *conn)
{
    struct berth_conn *found = berth_conn_find(conn, other);
    assert_non_null(found);
    assert_ptr_not_equal(found, conn);
    return found;
}

/* ----------------------------------------------------------------------------------------- keeping
 */

static void keep_wrongly(struct berth_conn *conn, const struct berth_message *messages,
                         size_t count)
{
    int err = BERTH_OK;
    assert_int_equal(count, 1);
    assert_null(berth_keep(the_other(conn), messages, 0, &err)); /* not its batch */
    assert_int_equal(err, BERTH_E_STATE);
    assert_null(berth_keep(conn, &messages[1], 0, &err)); /* behind the last */
    assert_int_equal(err, BERTH_E_STATE);
    assert_null(berth_keep(conn, messages, (size_t)BERTH_MESSAGE_BYTES_LIMIT + 1, &err));
    assert_int_equal(err, BERTH_E_TOO_LARGE);
    assert_null(berth_keep(conn, messages, scene.config.pool_bytes / 4, &err));
    assert_int_equal(err, BERTH_E_TOO_LARGE);
    assert_null(berth_keep(conn, messages, scene.config.pool_bytes / 4, NULL));
    struct berth_stats stats;
    berth_server_stats(scene.server, &stats);
    assert_int_equal(stats.messages_kept, 0);
    assert_int_equal(berth_reply(conn, messages, "yes", 3), BERTH_OK); /* it has not ended */
}

static void what_cannot_be_kept_is_refused(void **state)
{
    (void)state;
    play(&seed_framing, keep_wrongly);
    SCENE_UNTIL(scene.actors[1].got_bytes == 7);
    assert_memory_equal(scene.actors[1].got, "\3\0\0\0yes", 7);
    assert_int_equal(scene.worker->kept_bytes, 0);
    scene_tear_down();
}

static struct berth_kept *kept[2];

/* The first is answered at once; both are kept, and the answered one is only read. */
static void answer_and_keep(struct berth_conn *conn, const struct berth_message *messages,
                            size_t count)
{
    int err = BERTH_OK;
    assert_int_equal(count, 2);
    assert_int_equal(berth_reply(conn, &messages[0], "now", 3), BERTH_OK);
    kept[0] = berth_keep(conn, &messages[0], 5, &err);
    kept[1] = berth_keep(conn, &messages[1], 5, &err);
    assert_true(kept[0] != NULL && kept[1] != NULL);
}

static void an_answered_message_is_kept_to_be_read(void **state)
{
    (void)state;
    play(&seed_framing, NULL);
    act = answer_and_keep;
    scene_say(1, "\3\0\0\0abc\0\0\0\0", 11); /* the second message is empty */
    SCENE_UNTIL(scene.messages == 3);
    assert_memory_equal(kept[0]->message.data, "abc", 3);
    assert_int_equal(kept[1]->message.size, 0);
    assert_int_equal(berth_kept_reply(kept[1], "later", 5), BERTH_OK);
    assert_int_equal(berth_kept_reply(kept[0], "never", 5), BERTH_OK); /* sends nothing */
    SCENE_UNTIL(scene.actors[1].got_bytes == 16);
    assert_memory_equal(scene.actors[1].got, "\3\0\0\0now\5\0\0\0later", 16);
    scene_pass_ms(10);
    assert_int_equal(scene.actors[1].got_bytes, 16);
    assert_int_equal(scene.worker->kept_bytes, 0);
    scene_tear_down();
}

/* ----------------------------------------------------------------------------- a closing
 * connection
 */

static void close_and_ask(struct berth_conn *conn, const struct berth_message *messages,
                          size_t count)
{
    (void)count;
    int err = BERTH_OK;
    char why[100];
    assert_string_equal(berth_conn_why(conn, why, sizeof why), "it is open");
    berth_close(conn);
    berth_close(conn);
    assert_int_equal(berth_reply(conn, messages, "x", 1), BERTH_E_CLOSED);
    assert_int_equal(berth_send(conn, "x", 1), BERTH_E_CLOSED);
    assert_null(berth_keep(conn, messages, 0, &err));
    assert_int_equal(err, BERTH_E_CLOSED);
}

static uint32_t asked_at_the_end;

static void ask_at_the_end(struct berth_conn *conn, enum berth_reason reason)
{
    const struct berth_message message = {.data = (const uint8_t *)"x", .size = 1};
    int err = BERTH_OK;
    scene_on_close(conn, reason);
    assert_int_equal(berth_reply(conn, &message, "x", 1), BERTH_E_CLOSED);
    assert_null(berth_keep(conn, &message, 0, &err));
    assert_int_equal(err, BERTH_E_CLOSED);
    berth_close(conn);
    berth_pause(conn);
    berth_resume(conn);
    asked_at_the_end++;
}

static void a_closing_connection_refuses_everything(void **state)
{
    (void)state;
    asked_at_the_end = 0;
    scene_set_up(&seed_framing);
    scene.protocol.on_message = NULL;
    scene.protocol.on_messages = act_once;
    scene.protocol.on_close = ask_at_the_end;
    act = close_and_ask;
    scene_start(1, NULL);
    uint32_t actor = scene_arrive(true);
    scene_say(actor, "\1\0\0\0x", 5);
    (void)scene_wait_for_end(actor, BERTH_REASON_LOCAL);
    assert_int_equal(asked_at_the_end, 1);
    assert_int_equal(scene.actors[actor].got_bytes, 0);
    scene_tear_down();
}

static struct berth_group *group;
static uint32_t sought; /* visits in which the closing one was looked for */

static void look_for_the_closing(struct berth_conn *conn, void *context)
{
    (void)context;
    if (berth_conn_handle(conn) == other) {
        assert_int_equal(conn->state, CONN_LINGERING);
        assert_int_equal(berth_group_join(group, conn), BERTH_E_CLOSED);
        berth_close(conn); /* it does already */
    } else {
        assert_null(berth_conn_find(conn, other));
    }
    sought++;
}

static void join_after_close(struct berth_conn *conn, const struct berth_message *messages,
                             size_t count)
{
    (void)messages;
    (void)count;
    berth_close(conn);
    assert_int_equal(berth_group_join(group, conn), BERTH_E_CLOSED);
}

/* One that closes is not found by its handle any more, is in no group and joins none, though
 * visits still come to it. */
static void a_closing_connection_is_not_found(void **state)
{
    (void)state;
    const struct berth_group_options options = {"a", BERTH_SLOW_PAUSE};
    scene_set_up(&seed_framing);
    scene.protocol.on_open = remember_first;
    scene.protocol.on_message = NULL;
    scene.protocol.on_messages = act_once;
    scene.config.linger_timeout_ms = 5000;
    scene_start(1, NULL);
    assert_int_equal(berth_group_create(scene.server, &options, &group, NULL), BERTH_OK);
    uint32_t closing = scene_arrive(true);
    (void)scene_arrive(true);
    act = join_after_close;
    scene_say(closing, "\1\0\0\0x", 5);
    SCENE_UNTIL((scene_state(closing) & SIM_PEER_EOF) != 0);
    sought = 0;
    assert_int_equal(berth_visit(scene.server, look_for_the_closing, NULL, NULL), BERTH_OK);
    SCENE_UNTIL(sought == 2);
    (void)scene_wait_for_end(closing, BERTH_REASON_LOCAL);
    scene_tear_down();
}

/* ------------------------------------------------------------------------------- replies and sends
 */

static void reply_wrongly(struct berth_conn *conn, const struct berth_message *messages,
                          size_t count)
{
    static uint8_t large[1 << 20];
    size_t too_large = scene.config.send_max_bytes - 4 + 1;
    int err = BERTH_OK;
    (void)count;
    struct berth_conn *first = the_other(conn);
    assert_int_equal(berth_reply(first, messages, "x", 1), BERTH_E_STATE); /* not its batch */
    assert_int_equal(berth_send(conn, large, too_large), BERTH_E_TOO_LARGE);
    assert_int_equal(berth_send(conn, large, (size_t)BERTH_MESSAGE_BYTES_LIMIT + 1),
                     BERTH_E_TOO_LARGE);
    assert_null(berth_send_space(conn, too_large, NULL));
    assert_null(berth_reply_space(conn, messages, too_large, &err));
    assert_int_equal(err, BERTH_E_TOO_LARGE);
    assert_int_equal(berth_reply(conn, messages, "fits", 4), BERTH_OK);
    assert_int_equal(berth_send(first, "too", 3), BERTH_OK);
}

static void what_cannot_be_sent_is_refused(void **state)
{
    (void)state;
    play(&seed_framing, NULL);
    scene.server->config.send_max_bytes = scene.config.send_max_bytes = 300000;
    act = reply_wrongly;
    scene_say(1, "\0\0\0\0", 4);
    SCENE_UNTIL(scene.actors[1].got_bytes == 8 && scene.actors[0].got_bytes == 7);
    assert_memory_equal(scene.actors[1].got, "\4\0\0\0fits", 8);
    assert_memory_equal(scene.actors[0].got, "\3\0\0\0too", 7);
    scene_tear_down();
}

/* More than the pool's part for queues can never be queued, whatever send_max_bytes says. */
static void more_than_the_pool(struct berth_conn *conn, const struct berth_message *messages,
                               size_t count)
{
    (void)count;
    int err = BERTH_OK;
    size_t most = POOL_SHARE(scene.config.pool_bytes) - SLAB_HEAD - 4;
    assert_null(berth_reply_space(conn, messages, most + 1, &err));
    assert_int_equal(err, BERTH_E_TOO_LARGE);
    assert_int_equal(berth_reply(conn, messages, "x", 1), BERTH_OK);
}

static void what_no_pool_could_hold_is_too_large(void **state)
{
    (void)state;
    play(&seed_framing, NULL);
    act = more_than_the_pool;
    scene_say(1, "\0\0\0\0", 4);
    SCENE_UNTIL(scene.actors[1].got_bytes == 5);
    scene_tear_down();
}

/* A program whose framing has nothing to send for an empty message. */
static size_t no_header(void *context, uint32_t message_bytes, uint8_t *header)
{
    (void)context;
    (void)message_bytes;
    (void)header;
    return 0;
}

static enum berth_frame_verdict one_byte(void *context, const uint8_t *bytes, size_t count,
                                         size_t *scanned, struct berth_frame *frame)
{
    (void)context;
    (void)bytes;
    (void)count;
    (void)scanned;
    frame->message_bytes = 1;
    return BERTH_FRAME_READY;
}

static const struct berth_framing bare = {.kind = BERTH_FRAMING_CUSTOM,
                                          .message_bytes_max = 100,
                                          .custom_decode = one_byte,
                                          .custom_header = no_header};

static struct berth_kept *bare_kept;

static void send_nothing(struct berth_conn *conn, const struct berth_message *messages,
                         size_t count)
{
    (void)count;
    assert_int_equal(berth_send(conn, NULL, 0), BERTH_E_FRAME);
    assert_int_equal(berth_reply(conn, messages, NULL, 0), BERTH_E_FRAME);
    assert_int_equal(berth_handle_send(scene.server, berth_conn_handle(conn), NULL, 0),
                     BERTH_E_FRAME);
    bare_kept = berth_keep(conn, messages, 10, NULL);
    assert_non_null(bare_kept);
}

/* What would put no byte on the wire is no message, by whatever call, and takes nothing. */
static void a_message_without_bytes_is_no_frame(void **state)
{
    (void)state;
    scene_set_up(&bare);
    scene.protocol.on_message = NULL;
    scene.protocol.on_messages = act_once;
    act = send_nothing;
    scene_start(1, NULL);
    uint32_t actor = scene_arrive(true);
    scene_say(actor, "x", 1);
    SCENE_UNTIL(scene.messages == 1);
    assert_int_equal(berth_broadcast(scene.server, NULL, 0, BERTH_SLOW_PAUSE), BERTH_E_FRAME);
    assert_int_equal(berth_kept_reply(bare_kept, NULL, 0), BERTH_E_FRAME);
    assert_int_equal(berth_kept_reply(bare_kept, "y", 1), BERTH_OK); /* it is still the caller's */
    SCENE_UNTIL(scene.actors[actor].got_bytes == 1);
    assert_int_equal(scene.actors[actor].got[0], 'y');
    scene_tear_down();
}

/* --------------------------------------------------------------------------------- kept and framed
 */

static struct berth_kept *lines_kept[3];

static void keep_each(struct berth_conn *conn, const struct berth_message *messages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        lines_kept[i] = berth_keep(conn, &messages[i], 8, NULL);
        assert_non_null(lines_kept[i]);
    }
}

/* A late reply is framed as any other, and what the framing cannot carry is refused with the
 * message still the caller's. */
static void late_replies_have_their_delimiter(void **state)
{
    (void)state;
    const struct berth_framing lines = {.kind = BERTH_FRAMING_DELIMITER,
                                        .message_bytes_max = 6,
                                        .delimiter_bytes = 2,
                                        .delimiter = {'\r', '\n'}};
    scene_set_up(&lines);
    scene.protocol.on_message = NULL;
    scene.protocol.on_messages = act_once;
    act = keep_each;
    scene_start(1, NULL);
    uint32_t actor = scene_arrive(true);
    scene_say(actor, "a\r\nb\r\nc\r\n", 9);
    SCENE_UNTIL(scene.messages == 3);
    assert_int_equal(berth_kept_reply(lines_kept[1], "x\r\ny", 4), BERTH_E_FRAME);
    assert_int_equal(berth_kept_reply(lines_kept[1], "ninebytes", 9), BERTH_E_TOO_LARGE);
    assert_int_equal(berth_kept_reply(lines_kept[1], "two", 3), BERTH_OK);
    memcpy(lines_kept[0]->reply, "one", 3);
    assert_int_equal(berth_kept_reply(lines_kept[0], lines_kept[0]->reply, 3), BERTH_OK);
    assert_int_equal(berth_kept_reply(lines_kept[2], NULL, 0), BERTH_OK);
    SCENE_UNTIL(scene.actors[actor].got_bytes == 12);
    assert_memory_equal(scene.actors[actor].got, "one\r\ntwo\r\n\r\n", 12);
    scene_tear_down();
}

/* ------------------------------------------------------------------------------------ no callbacks
 */

/* A protocol may have no callback at all: then messages are done, each without a reply. */
static void a_program_may_listen_only(void **state)
{
    (void)state;
    scene_set_up(&seed_framing);
    scene.protocol.on_message = NULL;
    scene_start(1, NULL);
    uint32_t actor = scene_arrive(true);
    struct berth_stats stats;
    scene_say_and_wait(actor, "\1\0\0\0x\1\0\0\0y", 10);
    berth_server_stats(scene.server, &stats);
    assert_int_equal(stats.messages_in, 2);
    sim_peer_shutdown(scene.world, scene.actors[actor].end, IO_SHUTDOWN_SEND);
    SCENE_UNTIL(scene.closes == 1);
    assert_int_equal(scene.reason, BERTH_REASON_PEER);
    assert_int_equal(scene.actors[actor].got_bytes, 0);
    scene_tear_down();
}

/* --------------------------------------------------------------------------------------
 * completions
 */

/* A completion that is nobody's is counted and dropped (law 12 of io.h): no slot has such a number,
 * the slot is free, or another connection has it now. */
static void a_stale_token_is_followed_nowhere(void **state)
{
    (void)state;
    play(&seed_framing, NULL);
    struct worker *worker = scene.worker;
    const struct berth_conn *live = &worker->conns[0];
    uint32_t generation = live->slot.generation;
    assert_ptr_equal(conn_of_token(worker, io_token(IO_SEND, generation, 0)), live);
    assert_null(conn_of_token(worker, io_token(IO_SEND, generation - 2, 0)));
    assert_null(conn_of_token(worker, io_token(IO_SEND, generation, worker->slots.count)));
    assert_null(conn_of_token(worker, io_token(IO_RECEIVE, generation, 5)));
    struct berth_stats stats;
    berth_server_stats(scene.server, &stats);
    assert_int_equal(stats.stale_completions, 3);
    scene_tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_kept_is_refused),
        cmocka_unit_test(an_answered_message_is_kept_to_be_read),
        cmocka_unit_test(a_closing_connection_refuses_everything),
        cmocka_unit_test(a_closing_connection_is_not_found),
        cmocka_unit_test(what_cannot_be_sent_is_refused),
        cmocka_unit_test(what_no_pool_could_hold_is_too_large),
        cmocka_unit_test(a_message_without_bytes_is_no_frame),
        cmocka_unit_test(late_replies_have_their_delimiter),
        cmocka_unit_test(a_program_may_listen_only),
        cmocka_unit_test(a_stale_token_is_followed_nowhere),
    };
    return cmocka_run_group_tests_name("calls", tests, NULL, NULL);
}
