/* Events in virtual time: the life of a connection as a watcher sees it and as the flight recorder
 * keeps it, in order; what pauses it; who is told what.
 */
#include "sim/help_scene.h"

#include <stdio.h>
#include <string.h>

#define STORY_BYTES 4096

/* The names of the connection's events, with what they carry where it is known beforehand. */
static char story[STORY_BYTES];
static size_t story_length;
static uint64_t last_ns;

static void add(char *text, size_t *length, const struct berth_record *record)
{
    static const bool shown[] = {
        [BERTH_EVENT_RECEIVED] = true,        [BERTH_EVENT_HEADER] = true,
        [BERTH_EVENT_HEADER_PARTIAL] = true,  [BERTH_EVENT_MESSAGE] = true,
        [BERTH_EVENT_MESSAGE_PARTIAL] = true, [BERTH_EVENT_DELIVERED] = true,
        [BERTH_EVENT_QUEUED] = true,          [BERTH_EVENT_CLOSED] = true,
        [BERTH_EVENT_PAUSED] = true,          [BERTH_EVENT_RESUMED] = true,
        [BERTH_EVENT_THREAD] = true};
    char numbers[40] = "";
    if (shown[record->event]) {
        snprintf(numbers, sizeof numbers, ":%u:%llu", record->count,
                 (unsigned long long)record->value);
    }
    *length += (size_t)snprintf(text + *length, STORY_BYTES - *length, "%s%s ",
                                berth_event_name(record->event), numbers);
    assert_true(*length < STORY_BYTES);
}

static void watch(void *context, struct berth_conn *conn, const struct berth_record *record)
{
    assert_ptr_equal(context, &scene);
    assert_true(record->time_ns >= last_ns);
    last_ns = record->time_ns;
    if (conn == NULL) {
        assert_int_equal(record->conn, 0);
        return;
    }
    assert_int_equal(record->conn, berth_conn_handle(conn));
    add(story, &story_length, record);
}

static void watched_scene(const struct berth_framing *framing)
{
    scene_set_up(framing);
    scene.config.on_event = watch;
    scene.config.event_context = &scene;
    story_length = 0;
    last_ns = 0;
    story[0] = '\0';
}

/* What the recorder holds of connections. */
static const char *recorded(void)
{
    static char text[STORY_BYTES];
    struct berth_record records[256];
    size_t length = 0;
    size_t count = berth_server_recorder(scene.server, 0, records, 256);
    uint64_t time = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        assert_true(records[i].time_ns >= time);
        assert_int_equal(records[i].worker, 0);
        time = records[i].time_ns;
        if (records[i].conn != 0) {
            add(text, &length, &records[i]);
        }
    }
    return text;
}

static void ended(uint32_t actor)
{
    SCENE_UNTIL(scene.actors[actor].got_bytes == 9);
    sim_peer_shutdown(scene.world, scene.actors[actor].end, IO_SHUTDOWN_SEND);
    SCENE_UNTIL(scene.closes == 1);
}

/* A message in three pieces: in the header, in the message, the rest. */
static void a_life(uint32_t mask)
{
    const struct berth_framing framing = berth_framing_seed(64);
    watched_scene(&framing);
    scene_start(1, NULL);
    berth_server_watch(scene.server, mask);
    uint32_t actor = scene_arrive(true);
    scene_say_and_wait(actor, "\5\0", 2);
    scene_say_and_wait(actor, "\0\0he", 4);
    scene_say_and_wait(actor, "llo", 3);
    ended(actor);
}

static const char life_recorded[] = "accepted opened delivered:1:9 peer_ended closing shut joining "
                                    "closed:0:1 ";

static void the_whole_flow_is_told_in_order(void **state)
{
    (void)state;
    a_life(BERTH_WATCH_FLOW);
    assert_string_equal(story,
                        "accepted opened receive_started "
                        "received:0:2 header_partial:0:2 "
                        "received:0:4 header:4:5 message_partial:5:2 "
                        "received:0:3 message:0:5 delivered:1:9 queued:1:9 send_started sent "
                        "peer_ended closing shut joining closed:0:1 ");
    assert_string_equal(recorded(), life_recorded);
    scene_tear_down();
}

static void nobody_is_told_and_all_is_recorded(void **state)
{
    (void)state;
    a_life(0);
    assert_string_equal(story, "");
    assert_string_equal(recorded(), life_recorded);
    scene_tear_down();
}

static void each_watch_has_its_events(void **state)
{
    (void)state;
    a_life(BERTH_WATCH_CONNECTIONS);
    assert_string_equal(story, "accepted opened closing closed:0:1 ");
    scene_tear_down();
    a_life(BERTH_WATCH_DATA);
    assert_string_equal(story,
                        "received:0:2 received:0:4 received:0:3 delivered:1:9 queued:1:9 sent ");
    scene_tear_down();
    a_life(BERTH_WATCH_THREADS);
    assert_string_equal(story, "thread:0:1 thread:1:2 thread:0:4 ");
    scene_tear_down();
    a_life(BERTH_WATCH_CONNECTIONS | BERTH_WATCH_THREADS);
    assert_string_equal(story,
                        "accepted opened thread:0:1 thread:1:2 closing closed:0:1 thread:0:4 ");
    scene_tear_down();
}

/* The mask may change while connections live; the next turn knows. */
static void the_mask_changes_while_it_runs(void **state)
{
    (void)state;
    const struct berth_framing framing = berth_framing_seed(64);
    watched_scene(&framing);
    scene_start(1, NULL);
    uint32_t actor = scene_arrive(true);
    scene_say(actor, "\5\0\0\0hello", 9);
    SCENE_UNTIL(scene.actors[actor].got_bytes == 13 || scene.messages == 1);
    assert_string_equal(story, "");
    berth_server_watch(scene.server, BERTH_WATCH_DATA | 0xff00); /* unknown bits are ignored */
    scene_say(actor, "\2\0\0\0ho", 6);
    SCENE_UNTIL(scene.messages == 2);
    berth_server_watch(scene.server, 0);
    assert_non_null(strstr(story, "received:0:6 delivered:1:6 queued:1:6 "));
    size_t length = story_length;
    scene_say(actor, "\1\0\0\0x", 5);
    SCENE_UNTIL(scene.messages == 3);
    assert_string_equal(story + length, "");
    scene_tear_down();
}

/* Without on_event a mask does nothing. */
static void a_mask_without_a_watcher_is_none(void **state)
{
    (void)state;
    const struct berth_framing framing = berth_framing_seed(64);
    scene_set_up(&framing);
    scene_start(1, NULL);
    berth_server_watch(scene.server, BERTH_WATCH_ALL);
    uint32_t actor = scene_arrive(true);
    scene_say(actor, "\5\0\0\0hello", 9);
    ended(actor);
    assert_string_equal(recorded(), life_recorded);
    scene_tear_down();
}

/* A batch is one record, and its messages are told one by one. */
static void a_batch_is_recorded_once(void **state)
{
    (void)state;
    const struct berth_framing framing = berth_framing_seed(64);
    watched_scene(&framing);
    scene_start(1, NULL);
    berth_server_watch(scene.server, BERTH_WATCH_FLOW);
    uint32_t actor = scene_arrive(true);
    scene_say_and_wait(actor, "\1\0\0\0a\0\0\0\0\2\0\0\0bc", 15);
    SCENE_UNTIL(scene.messages == 3);
    assert_non_null(strstr(story, "received:0:15 header:4:1 message:0:1 header:4:0 message:0:0 "
                                  "header:4:2 message:0:2 delivered:3:15 queued:3:15 "));
    assert_non_null(strstr(recorded(), "opened delivered:3:15 "));
    scene_tear_down();
}

static void push_much(struct berth_conn *conn, const struct berth_message *message)
{
    static const uint8_t much[60000];
    if (scene.messages > 0) {
        scene_echo(conn, message);
        return;
    }
    scene.messages++;
    while (berth_send(conn, much, sizeof much) == BERTH_OK) {
    }
}

/* A full queue pauses the connection and says why; when it is read, it drains and goes on. */
static void a_full_queue_pauses_and_says_why(void **state)
{
    (void)state;
    const struct berth_framing framing = berth_framing_seed(64);
    watched_scene(&framing);
    scene.protocol.on_message = push_much;
    scene.config.send_max_bytes = SCENE_ROOM / 2;
    scene.config.send_high_bytes = SCENE_ROOM / 4;
    scene_start(1, NULL);
    uint32_t actor = scene_arrive(false);
    scene_say(actor, "\1\0\0\0a", 5);
    SCENE_UNTIL(scene.messages == 1);
    scene_say_and_wait(actor, "\1\0\0\0b", 5);
    assert_non_null(strstr(recorded(), "delivered:1:5 paused:0:1 "));
    scene.actors[actor].reads = true;
    SCENE_UNTIL(strstr(recorded(), "resumed:0:1 ") != NULL);
    assert_non_null(strstr(recorded(), "resumed:0:1 drained delivered:1:5 "));
    scene_tear_down();
}

/* Of all connections: queued by push_much, told as sent, still queued at the end. */
static struct {
    uint64_t queued;
    uint64_t told;
    uint64_t left;
    uint64_t told_late; /* after JOINING */
    bool joining;
} sums;

static void sum_sent(void *context, struct berth_conn *conn, const struct berth_record *record)
{
    (void)context;
    (void)conn;
    sums.joining = sums.joining || record->event == BERTH_EVENT_JOINING;
    if (record->event == BERTH_EVENT_SENT) {
        sums.told += record->value;
        sums.told_late += sums.joining ? record->value : 0;
    }
}

static void sum_left(struct berth_conn *conn, enum berth_reason reason)
{
    sums.left += berth_conn_queued_bytes(conn);
    scene_on_close(conn, reason);
}

static void queue_much(struct berth_conn *conn, const struct berth_message *message)
{
    static const uint8_t much[30000];
    (void)message;
    scene.messages++;
    while (berth_send(conn, much, sizeof much) == BERTH_OK) {
        sums.queued += sizeof much + 4;
    }
}

/* A send that is in flight when its connection is cut may still take bytes (law 3 of io.h). */
static void what_a_cut_send_took_is_told(void **state)
{
    const struct berth_framing framing = berth_framing_seed(64);
    const struct sim_options options = {.cancel_loses = SIM_RATE_ONE};
    uint64_t late = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        memset(&sums, 0, sizeof sums);
        scene_set_up(&framing);
        scene.config.on_event = sum_sent;
        scene.config.send_max_bytes = SCENE_ROOM / 2;
        scene.config.send_high_bytes = SCENE_ROOM / 4;
        scene.protocol.on_message = queue_much;
        scene.protocol.on_close = sum_left;
        scene_start(seed, &options);
        berth_server_watch(scene.server, BERTH_WATCH_FLOW);
        uint32_t actor = scene_arrive(false);
        scene_say(actor, "\1\0\0\0a", 5);
        SCENE_UNTIL(scene.messages == 1);
        for (uint64_t turns = 0; turns < 20 + seed; turns++) {
            scene_turn(); /* until the pipe is full */
        }
        scene.actors[actor].reads = true;
        scene_turn();
        berth_server_stop(scene.server);
        berth_server_stop(scene.server);
        SCENE_UNTIL(scene.closes == 1);
        struct berth_stats stats;
        berth_server_stats(scene.server, &stats);
        assert_int_equal(sums.told, stats.bytes_out);
        assert_int_equal(sums.told + sums.left, sums.queued);
        late += sums.told_late;
        scene_tear_down();
    }
    assert_true(late > 0); /* or this has tested nothing */
}

static struct berth_kept *kept[3];
static uint32_t kept_count;

static void keep_it(struct berth_conn *conn, const struct berth_message *message)
{
    scene.messages++;
    kept[kept_count] = berth_keep(conn, message, message->size, NULL);
    assert_non_null(kept[kept_count]);
    kept_count++;
}

/* What is kept, then released or answered, each once, and the window that it filled. */
static void kept_messages_are_told(void **state)
{
    (void)state;
    const struct berth_framing framing = berth_framing_seed(64);
    watched_scene(&framing);
    scene.protocol.on_message = keep_it;
    scene.config.window_messages = 2;
    kept_count = 0;
    scene_start(1, NULL);
    uint32_t actor = scene_arrive(true);
    berth_server_watch(scene.server, BERTH_WATCH_FLOW);
    scene_say(actor, "\1\0\0\0a\2\0\0\0bc", 11);
    SCENE_UNTIL(scene.messages == 2);
    scene_say_and_wait(actor, "\1\0\0\0d", 5);
    berth_kept_release(kept[0]);
    SCENE_UNTIL(strstr(story, "resumed") != NULL);
    assert_int_equal(berth_kept_reply(kept[1], "xy", 2), BERTH_OK);
    SCENE_UNTIL(scene.actors[actor].got_bytes == 6);
    assert_non_null(strstr(story, "delivered:2:11 kept kept "));
    assert_non_null(strstr(story, "paused:0:7 "));
    assert_non_null(strstr(story, "released resumed:0:7 "));
    const char *answered = strstr(story, "answered ");
    assert_non_null(answered);
    const char *started = strstr(answered, "send_started ");
    assert_non_null(started);
    assert_non_null(strstr(started, "sent "));
    assert_non_null(strstr(recorded(), "delivered:2:11 paused:0:7 resumed:0:7 "));
    assert_null(strstr(recorded(), "kept")); /* never one a message */
    SCENE_UNTIL(scene.messages == 3);
    berth_kept_release(kept[2]);
    scene_tear_down();
}

/* A program's pause is told once however often it is asked for. */
static void a_pause_by_handle_is_recorded(void **state)
{
    (void)state;
    const struct berth_framing framing = berth_framing_seed(64);
    watched_scene(&framing);
    scene_start(1, NULL);
    (void)scene_arrive(true);
    struct berth_record first;
    assert_int_equal(berth_server_recorder(scene.server, 0, &first, 1), 1);
    assert_int_equal(berth_handle_pause(scene.server, first.conn), BERTH_OK);
    scene_turn();
    assert_int_equal(berth_handle_pause(scene.server, first.conn), BERTH_OK);
    scene_turn();
    assert_int_equal(berth_handle_resume(scene.server, first.conn), BERTH_OK);
    SCENE_UNTIL(strstr(recorded(), "resumed") != NULL);
    assert_string_equal(recorded(), "accepted opened paused:0:6 resumed:0:6 ");
    scene_tear_down();
}

static void bytes_that_are_no_frame(void **state)
{
    (void)state;
    const struct berth_framing framing = berth_framing_seed(64);
    watched_scene(&framing);
    scene_start(1, NULL);
    uint32_t actor = scene_arrive(true);
    scene_say(actor, "\xff\xff\xff\x7f", 4);
    SCENE_UNTIL((scene_state(actor) & SIM_PEER_EOF) != 0);
    assert_string_equal(recorded(), "accepted opened refused closing shut ");
    SCENE_UNTIL(scene.closes == 1); /* at the linger deadline */
    assert_string_equal(recorded(),
                        "accepted opened refused closing shut deadline joining closed:0:4 ");
    scene_tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_flow_is_told_in_order),
        cmocka_unit_test(nobody_is_told_and_all_is_recorded),
        cmocka_unit_test(each_watch_has_its_events),
        cmocka_unit_test(the_mask_changes_while_it_runs),
        cmocka_unit_test(a_mask_without_a_watcher_is_none),
        cmocka_unit_test(a_batch_is_recorded_once),
        cmocka_unit_test(a_full_queue_pauses_and_says_why),
        cmocka_unit_test(what_a_cut_send_took_is_told),
        cmocka_unit_test(kept_messages_are_told),
        cmocka_unit_test(a_pause_by_handle_is_recorded),
        cmocka_unit_test(bytes_that_are_no_frame),
    };
    return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
