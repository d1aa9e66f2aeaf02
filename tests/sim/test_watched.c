/* What a watcher is told of messages in parts, in each kind of framing, and of all that makes a
 * connection wait, and when in a turn replies are sent: in virtual time, word for word.
 */
#include "sim/help_scene.h"

#include <stdio.h>
#include <string.h>

#include "io/sim_world.h"

#define STORY_BYTES 8192

/* The connections' events that the test asked for: name, count and value. */
static char story[STORY_BYTES];
static size_t story_length;
static uint64_t shown; /* events, as bits */

#define SHOW(name) (UINT64_C(1) << BERTH_EVENT_##name)

static const uint64_t show_parts = SHOW(RECEIVED) | SHOW(HEADER) | SHOW(HEADER_PARTIAL) |
                                   SHOW(MESSAGE) | SHOW(MESSAGE_PARTIAL) | SHOW(DELIVERED);

static void watch(void *context, struct berth_conn *conn, const struct berth_record *record)
{
    (void)context;
    if (conn != NULL && (shown >> record->event & 1) != 0) {
        story_length += (size_t)snprintf(story + story_length, STORY_BYTES - story_length,
                                         "%s:%u:%llu ", berth_event_name(record->event),
                                         record->count, (unsigned long long)record->value);
        assert_true(story_length < STORY_BYTES);
    }
}

static void set_up(const struct berth_framing *framing, uint64_t show)
{
    scene_set_up(framing);
    scene.config.on_event = watch;
    shown = show;
    story_length = 0;
    story[0] = '\0';
}

static void start(const struct sim_options *options)
{
    scene_start(1, options);
    berth_server_watch(scene.server, BERTH_WATCH_ALL);
}

/* -------------------------------------------------------------------------------- messages in
 * parts
 */

/* A header of two bytes comes in two parts; it is told once when it is whole. */
static void a_varint_is_a_header(void **state)
{
    (void)state;
    const struct berth_framing framing = VARINT(1000);
    uint8_t frame[202] = {0xc8, 0x01};
    set_up(&framing, show_parts);
    start(NULL);
    uint32_t actor = scene_arrive(true);
    scene_say_and_wait(actor, frame, 1);
    scene_say_and_wait(actor, frame + 1, 4);
    scene_say_and_wait(actor, frame + 5, 10);
    scene_say_and_wait(actor, frame + 15, 187);
    SCENE_UNTIL(scene.messages == 1);
    assert_string_equal(story, "received:0:1 header_partial:0:1 "
                               "received:0:4 header:2:200 message_partial:200:3 "
                               "received:0:10 message_partial:200:13 "
                               "received:0:187 message:0:200 delivered:1:202 ");
    scene_tear_down();
}

/* A whole header, and not a byte of its message: then nothing of a message is told. */
static void a_header_may_come_alone(void **state)
{
    (void)state;
    const struct berth_framing framing = VARINT(1000);
    set_up(&framing, show_parts);
    start(NULL);
    uint32_t actor = scene_arrive(true);
    scene_say_and_wait(actor, "\2", 1);
    scene_say_and_wait(actor, "ab", 2);
    SCENE_UNTIL(scene.messages == 1);
    assert_string_equal(story, "received:0:1 header:1:2 received:0:2 message:0:2 delivered:1:3 ");
    scene_tear_down();
}

/* Without a header the message's own bytes are told, with its size where that is known. */
static void a_part_without_header(const struct berth_framing *framing, const char *text,
                                  const char *expected)
{
    set_up(framing, show_parts);
    scene.protocol.on_message = NULL;
    start(NULL);
    uint32_t actor = scene_arrive(true);
    scene_say_and_wait(actor, text, 3);
    scene_say_and_wait(actor, text + 3, (uint32_t)strlen(text) - 3);
    SCENE_UNTIL(strstr(story, "delivered") != NULL);
    assert_string_equal(story, expected);
    scene_tear_down();
}

static void parts_without_a_header(void **state)
{
    (void)state;
    const struct berth_framing fixed = FIXED(7);
    const struct berth_framing lines = DELIMITER("\n", 100);
    const struct berth_framing digits = {.kind = BERTH_FRAMING_CUSTOM,
                                         .message_bytes_max = 10000,
                                         .custom_decode = codec_digits_decode,
                                         .custom_header = codec_digits_header};
    a_part_without_header(&fixed, "abcdefg",
                          "received:0:3 message_partial:7:3 "
                          "received:0:4 message:0:7 delivered:1:7 ");
    a_part_without_header(&lines, "abcdef\n",
                          "received:0:3 message_partial:0:3 "
                          "received:0:4 message:0:6 delivered:1:7 ");
    a_part_without_header(&digits, "004:abcd",
                          "received:0:3 message_partial:0:3 "
                          "received:0:5 header:4:4 message:0:4 delivered:1:8 ");
}

/* ------------------------------------------------------------------------------------- the queue
 */

static berth_handle handle;

static void note_handle(struct berth_conn *conn)
{
    handle = berth_conn_handle(conn);
    scene_on_open(conn);
}

/* Payloads for many, and what another thread sends, are queued like any other. */
static void whatever_is_queued_is_told(void **state)
{
    (void)state;
    const struct berth_framing framing = berth_framing_seed(64);
    set_up(&framing, SHOW(QUEUED) | SHOW(SEND_STARTED) | SHOW(SENT));
    scene.protocol.on_open = note_handle;
    start(NULL);
    uint32_t actor = scene_arrive(true);
    assert_int_equal(berth_broadcast(scene.server, "all", 3, BERTH_SLOW_PAUSE), BERTH_OK);
    SCENE_UNTIL(scene.actors[actor].got_bytes == 7);
    assert_string_equal(story, "queued:1:7 send_started:1:7 sent:0:7 ");
    assert_int_equal(berth_handle_send(scene.server, handle, "only", 4), BERTH_OK);
    SCENE_UNTIL(scene.actors[actor].got_bytes == 15);
    assert_string_equal(story + strlen("queued:1:7 send_started:1:7 sent:0:7 "),
                        "queued:1:8 send_started:1:8 sent:0:8 ");
    scene_tear_down();
}

static void push(struct berth_conn *conn, const struct berth_message *message)
{
    static const uint8_t much[60000];
    (void)message;
    scene.messages++;
    while (berth_send(conn, much, sizeof much) == BERTH_OK) {
    }
}

static void note_drained(struct berth_conn *conn)
{
    (void)conn;
    scene.drains++;
}

/* on_drained is a callback like the others: who watches threads sees it entered. */
static void a_drained_queue_is_a_callback(void **state)
{
    (void)state;
    const struct berth_framing framing = berth_framing_seed(64);
    set_up(&framing, SHOW(THREAD));
    scene.protocol.on_message = push;
    scene.protocol.on_drained = note_drained;
    scene.config.send_max_bytes = SCENE_ROOM / 2;
    scene.config.send_high_bytes = SCENE_ROOM / 4;
    start(NULL);
    uint32_t actor = scene_arrive(true);
    scene_say(actor, "\0\0\0\0", 4);
    SCENE_UNTIL(scene.drains == 1);
    assert_string_equal(story, "thread:0:1 thread:1:2 thread:0:3 ");
    scene_tear_down();
}

/* --------------------------------------------------------------------------------------- waiting
 */

/* A connection that had its share of the turn waits for the next, and watchers know why. */
static void a_used_up_share_is_told(void **state)
{
    (void)state;
    const struct berth_framing framing = berth_framing_seed(64);
    set_up(&framing, SHOW(PAUSED) | SHOW(RESUMED) | SHOW(DELIVERED));
    scene.config.turn_messages = 1;
    scene.config.window_messages = 1;
    start(NULL);
    uint32_t actor = scene_arrive(true);
    scene_say(actor, "\0\0\0\0\0\0\0\0", 8);
    SCENE_UNTIL(scene.actors[actor].got_bytes == 8);
    assert_string_equal(story, "delivered:1:4 paused:0:3 delivered:1:4 ");
    scene_tear_down();
}

/* One that finds no receive buffer waits for one, and its receive is started anew. */
static void a_wait_for_a_buffer_is_told(void **state)
{
    (void)state;
    const struct berth_framing framing = berth_framing_seed(64);
    const struct sim_options scarce = {.no_buffer = SIM_RATE_ONE / 2};
    set_up(&framing, SHOW(PAUSED) | SHOW(RESUMED) | SHOW(RECEIVE_STARTED) | SHOW(RECEIVED));
    start(&scarce);
    uint32_t actor = scene_arrive(true);
    for (uint32_t i = 0; strstr(story, "paused") == NULL; i++) {
        assert_true(i < 100);
        scene_say_and_wait(actor, "\0\0\0\0", 4);
    }
    const char *paused = strstr(story, "paused:0:4 ");
    assert_non_null(paused);
    const char *resumed = strstr(paused, "resumed:0:4 receive_started:0:0 ");
    assert_non_null(resumed);
    SCENE_UNTIL(strstr(resumed, "received:0:4 ") != NULL);
    scene_tear_down();
}

/* ---------------------------------------------------------------------------------- before it
 * opens
 */

static uint32_t nameless; /* events of a connection that has no address and is not found */

static void ask_early(void *context, struct berth_conn *conn, const struct berth_record *record)
{
    (void)context;
    if (record->event == BERTH_EVENT_CONNECT_STARTED) {
        struct berth_address address;
        assert_false(berth_conn_peer(conn, &address));
        assert_false(berth_conn_local(conn, &address));
        assert_null(conn_of_handle(conn->worker, record->conn));
        assert_int_equal(berth_handle_close(scene.server, record->conn), BERTH_E_STALE);
        nameless++;
    }
}

/* An outgoing connection that is not there yet has a handle in its events, and nothing else. */
static void one_that_is_not_there_yet_is_nobody(void **state)
{
    (void)state;
    const struct berth_framing framing = berth_framing_seed(64);
    set_up(&framing, 0);
    scene.config.on_event = ask_early;
    nameless = 0;
    scene_start_connecting(1, 1);
    berth_server_watch(scene.server, BERTH_WATCH_CONNECTIONS);
    SCENE_UNTIL(scene.opens == 1);
    assert_int_equal(nameless, 1);
    io_listener_close(&io_backend_sim, scene.world, &scene.elsewhere);
    scene_tear_down();
}

/* -------------------------------------------------------------------------------- within a turn
 */

/* Two messages come in one turn. */
static void two_at_once(uint32_t warm_bytes)
{
    const struct berth_framing framing = berth_framing_seed(100);
    set_up(&framing, SHOW(DELIVERED) | SHOW(SEND_STARTED));
    start(NULL);
    uint32_t first = scene_arrive(true);
    uint32_t second = scene_arrive(true);
    scene.server->warm_bytes = warm_bytes;
    scene_say(first, "\2\0\0\0ab", 6);
    scene_say(second, "\2\0\0\0xy", 6);
    for (int i = 0; i < 2; i++) { /* they arrive, and can be reaped */
        sim_advance(scene.world, scene_now() + NS_PER_MS);
    }
    SCENE_UNTIL(scene.actors[first].got_bytes == 6 && scene.actors[second].got_bytes == 6);
    scene_tear_down();
}

static void replies_are_sent_when_the_turn_is_over(void **state)
{
    (void)state;
    two_at_once(64 * 1024);
    assert_string_equal(story, "delivered:1:6 delivered:1:6 send_started:1:6 send_started:1:6 ");
}

static void many_replies_are_sent_before_that(void **state)
{
    (void)state;
    two_at_once(6); /* which the first reply has */
    assert_string_equal(story, "delivered:1:6 send_started:1:6 delivered:1:6 send_started:1:6 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_varint_is_a_header),
        cmocka_unit_test(a_header_may_come_alone),
        cmocka_unit_test(parts_without_a_header),
        cmocka_unit_test(whatever_is_queued_is_told),
        cmocka_unit_test(a_drained_queue_is_a_callback),
        cmocka_unit_test(a_used_up_share_is_told),
        cmocka_unit_test(a_wait_for_a_buffer_is_told),
        cmocka_unit_test(one_that_is_not_there_yet_is_nobody),
        cmocka_unit_test(replies_are_sent_when_the_turn_is_over),
        cmocka_unit_test(many_replies_are_sent_before_that),
    };
    return cmocka_run_group_tests_name("watched", tests, NULL, NULL);
}
