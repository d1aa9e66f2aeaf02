/* The deadlines of open connections, in virtual time: each passes at its time, not before, and not
 * when it should not.
 */
#include "sim/help_scene.h"

#include <stdlib.h>
#include <string.h>

#include "io/sim_world.h"

static const struct berth_framing framing = {.kind = BERTH_FRAMING_FIXED, .message_bytes_max = 4};

static void set_up(void)
{
    scene_set_up(&framing);
}

/* ------------------------------------------------------------------------------- first message */

static void a_silent_client_ends(void **state)
{
    (void)state;
    set_up();
    scene.config.first_message_timeout_ms = 500;
    scene_start(1, NULL);
    scene_pass_until(scene_now() + 700000); /* between two ticks */
    uint32_t actor = scene_arrive(true);
    SCENE_UNTIL(scene.worker->conns[0].state != CONN_OPEN);
    SCENE_AFTER(scene_now(), scene.opened_ns, 500);
    SCENE_AFTER(scene_wait_for_end(actor, BERTH_REASON_FIRST_MESSAGE), scene.opened_ns, 500);
    assert_non_null(strstr(scene.why, "no whole message"));
    scene_tear_down();
}

static void the_beginning_of_a_message_is_none(void **state)
{
    (void)state;
    set_up();
    scene.config.first_message_timeout_ms = 500;
    scene.config.message_timeout_ms = 400;
    scene_start(1, NULL);
    uint32_t actor = scene_arrive(true);
    scene_pass_ms(300);
    scene_say(actor, "abc", 3);
    SCENE_AFTER(scene_wait_for_end(actor, BERTH_REASON_FIRST_MESSAGE), scene.opened_ns, 500);
    scene_tear_down();
}

/* After the first message its deadline is over; with 0 there is none. */
static void who_has_spoken_may_be_silent(void **state)
{
    (void)state;
    for (uint32_t speaks = 0; speaks <= 1; speaks++) {
        set_up();
        scene.config.first_message_timeout_ms = speaks == 1 ? 500 : 0;
        scene.config.message_timeout_ms = 500;
        scene.config.send_progress_timeout_ms = 500;
        scene_start(1, NULL);
        uint32_t actor = scene_arrive(true);
        scene_pass_ms(450);
        if (speaks == 1) {
            scene_say_and_wait(actor, "abcd", 4);
        }
        scene_pass_ms(7200 * 1000);
        assert_int_equal(scene.closes, 0);
        scene_say(actor, "abcd", 4);
        SCENE_UNTIL(scene.actors[actor].got_bytes == 4 + 4 * speaks);
        scene_tear_down();
    }
}

/* ---------------------------------------------------------------------------- a whole message */

static void a_trickle_ends(void **state)
{
    (void)state;
    struct berth_framing large = {.kind = BERTH_FRAMING_FIXED, .message_bytes_max = 1000};
    scene_set_up(&large);
    scene.config.first_message_timeout_ms = 5000;
    scene.config.message_timeout_ms = 400;
    scene.config.receive_idle_timeout_ms = 100;
    scene_start(2, NULL);
    uint32_t actor = scene_arrive(true);
    scene_pass_ms(50);
    scene_say_and_wait(actor, "x", 1);
    uint64_t first_ns = scene_now();
    for (uint32_t i = 1; i <= 13; i++) { /* the last at 390 ms */
        scene_pass_until(first_ns + i * 30 * NS_PER_MS);
        scene_say_and_wait(actor, "x", 1);
        assert_int_equal(scene_state(actor) & SIM_PEER_EOF, 0);
    }
    SCENE_AFTER(scene_wait_for_end(actor, BERTH_REASON_MESSAGE_SLOW), first_ns, 399);
    scene_tear_down();
}

/* Each message has its time anew, also where the end of one and the beginning of the next come
 * together. */
static void each_message_has_its_own_time(void **state)
{
    (void)state;
    set_up();
    scene.config.message_timeout_ms = 400;
    scene_start(2, NULL);
    uint32_t actor = scene_arrive(true);
    scene_say_and_wait(actor, "abc", 3);
    uint64_t last_ns = 0;
    for (uint32_t i = 0; i < 10; i++) {
        scene_pass_ms(390);
        scene_say_and_wait(actor, "dabc", 4);
        last_ns = scene_now();
        assert_int_equal(scene.messages, i + 1);
    }
    SCENE_AFTER(scene_wait_for_end(actor, BERTH_REASON_MESSAGE_SLOW), last_ns, 399);
    scene_tear_down();
}

/* A message in part and no deadline for it. */
static void no_deadline_for_messages(void **state)
{
    (void)state;
    set_up();
    scene_start(2, NULL);
    uint32_t actor = scene_arrive(true);
    scene_say_and_wait(actor, "abc", 3);
    scene_pass_ms(86400 * 1000);
    scene_say(actor, "d", 1);
    SCENE_UNTIL(scene.actors[actor].got_bytes == 4);
    scene_tear_down();
}

static void push_much(struct berth_conn *conn, const struct berth_message *message)
{
    static const uint8_t much[150000];
    (void)message;
    scene.messages++;
    assert_int_equal(berth_send(conn, much, sizeof much), BERTH_OK);
}

/* While it is us who do not read, the peer's time stands still; then it goes on, and does not begin
 * anew. */
static void time_stands_still_while_nothing_is_read(void **state)
{
    (void)state;
    for (int partial = 0; partial <= 1; partial++) {
        struct berth_framing seed = berth_framing_seed(8);
        scene_set_up(&seed);
        scene.protocol.on_message = push_much;
        scene.config.message_timeout_ms = partial == 1 ? 300 : 0;
        scene.config.receive_idle_timeout_ms = partial == 1 ? 0 : 300;
        scene.config.send_high_bytes = 100;
        scene.config.send_low_bytes = 10;
        scene_start(3, NULL);
        uint32_t actor = scene_arrive(false);
        scene_say_and_wait(actor, "\1\0\0\0a", 5);     /* blocks with its answer ... */
        scene_say_and_wait(actor, "\1\0\0\0b\1\0", 7); /* ... before this is looked at */
        assert_int_equal(scene.messages, 1);
        scene_pass_ms(5000);
        assert_int_equal(scene.closes, 0);
        scene.actors[actor].reads = true;
        SCENE_UNTIL(scene.messages == 2); /* goes on, and blocks again */
        scene.actors[actor].reads = false;
        scene_pass_ms(5000);
        assert_int_equal(scene.closes, 0);
        scene.actors[actor].reads = true;
        SCENE_UNTIL(scene.actors[actor].got_bytes >= 290000);
        uint64_t goes_on_ns = scene_now();
        uint64_t end_ns = scene_wait_for_end(actor, partial == 1 ? BERTH_REASON_MESSAGE_SLOW
                                                                 : BERTH_REASON_RECEIVE_IDLE);
        assert_in_range(end_ns - goes_on_ns, 200 * NS_PER_MS, 310 * NS_PER_MS);
        scene_tear_down();
    }
}

/* ---------------------------------------------------------------------- nothing received or sent
 */

static void nothing_received(void **state)
{
    (void)state;
    set_up();
    scene.config.receive_idle_timeout_ms = 300;
    scene_start(4, NULL);
    uint32_t actor = scene_arrive(true);
    uint64_t last_ns = 0;
    for (uint32_t i = 0; i < 20; i++) {
        scene_pass_ms(290);
        scene_say_and_wait(actor, "abcd", 4);
        last_ns = scene_now();
    }
    SCENE_AFTER(scene_wait_for_end(actor, BERTH_REASON_RECEIVE_IDLE), last_ns, 299);
    assert_int_equal(scene.actors[actor].got_bytes, 80);
    scene_tear_down();
}

static struct berth_conn *first_conn;

static void remember_first(struct berth_conn *conn)
{
    scene_on_open(conn);
    first_conn = scene.opens == 1 ? conn : first_conn;
}

static void send_to_first(struct berth_conn *conn, const struct berth_message *message)
{
    (void)conn;
    (void)message;
    scene.messages++;
    assert_int_equal(berth_send(first_conn, "tick", 4), BERTH_OK);
}

/* A cable that was pulled: nothing comes, and what is sent is taken by the system for a while. */
static void sending_does_not_stand_for_receiving(void **state)
{
    (void)state;
    set_up();
    scene.protocol.on_open = remember_first;
    scene.protocol.on_message = send_to_first;
    scene.config.receive_idle_timeout_ms = 1000;
    scene.config.send_progress_timeout_ms = 300;
    scene.config.send_idle_timeout_ms = 0;
    scene_start(5, NULL);
    uint32_t gone = scene_arrive(false);
    uint64_t gone_ns = scene.opened_ns;
    uint32_t other = scene_arrive(true);
    for (uint32_t i = 1; i < 20; i++) { /* the last at 950 ms */
        scene_pass_until(gone_ns + i * 50 * NS_PER_MS);
        scene_say_and_wait(other, "abcd", 4);
        assert_int_equal(scene.closes, 0);
    }
    SCENE_UNTIL(scene.worker->conns[0].state != CONN_OPEN);
    SCENE_AFTER(scene_now(), gone_ns, 1000);
    SCENE_UNTIL(scene.closes == 1); /* the linger deadline, as nobody is there */
    assert_int_equal(scene.reason, BERTH_REASON_RECEIVE_IDLE);
    (void)gone;
    scene_tear_down();
}

static void no_reply(struct berth_conn *conn, const struct berth_message *message)
{
    (void)conn;
    (void)message;
    scene.messages++;
}

static void pause_in_callback(struct berth_conn *conn, const struct berth_message *message)
{
    scene_echo(conn, message);
    berth_pause(conn);
}

/* The program paused it: none of the peer's deadlines passes. */
static void the_time_of_a_pause_does_not_count(void **state)
{
    (void)state;
    set_up();
    scene.protocol.on_message = pause_in_callback;
    scene.config.receive_idle_timeout_ms = 300;
    scene.config.message_timeout_ms = 200;
    scene_start(16, NULL);
    uint32_t actor = scene_arrive(true);
    scene_pass_ms(250);
    scene_say_and_wait(actor, "abcdef", 6);
    scene_pass_ms(10000);
    assert_int_equal(scene.worker->conns[0].state, CONN_OPEN);
    berth_handle handle = berth_conn_handle(&scene.worker->conns[0]);
    assert_int_equal(berth_handle_resume(scene.server, handle), BERTH_OK);
    uint64_t resumed_ns = scene_now();
    SCENE_AFTER(scene_wait_for_end(actor, BERTH_REASON_MESSAGE_SLOW), resumed_ns, 200u);
    scene_tear_down();
}

static void nothing_sent(void **state)
{
    (void)state;
    for (int replies = 0; replies <= 1; replies++) {
        set_up();
        scene.protocol.on_message = replies == 1 ? scene_echo : no_reply;
        scene.config.send_idle_timeout_ms = 300;
        scene_start(6, NULL);
        uint32_t actor = scene_arrive(true);
        uint64_t last_ns = scene.opened_ns;
        for (uint32_t i = 0; i < (replies == 1 ? 10 : 1); i++) {
            scene_pass_ms(290);
            scene_say_and_wait(actor, "abcd", 4);
            SCENE_UNTIL(scene.actors[actor].got_bytes == (uint32_t)replies * 4 * (i + 1));
            last_ns = replies == 1 ? scene_now() : last_ns;
        }
        SCENE_AFTER(scene_wait_for_end(actor, BERTH_REASON_SEND_IDLE), last_ns, 299);
        scene_tear_down();
    }
}

static struct berth_kept *kept[2];

static void keep(struct berth_conn *conn, const struct berth_message *message)
{
    kept[scene.messages] = berth_keep(conn, message, message->size, NULL);
    assert_non_null(kept[scene.messages]);
    scene.messages++;
}

/* Who waits for an answer may be silent; with the last answer its time begins. A message that it
 * began meanwhile has no longer than any other. */
static void who_waits_for_an_answer_may_be_silent(void **state)
{
    (void)state;
    for (int partial = 0; partial <= 1; partial++) {
        set_up();
        scene.protocol.on_message = keep;
        scene.config.receive_idle_timeout_ms = 300;
        scene.config.message_timeout_ms = 2000;
        scene_start(15, NULL);
        uint32_t actor = scene_arrive(true);
        scene_say_and_wait(actor, "abcdefghi", partial == 1 ? 9 : 8);
        uint64_t begin_ns = scene_now();
        assert_int_equal(scene.messages, 2);
        scene_pass_ms(1000);
        berth_kept_release(kept[1]);
        scene_pass_ms(partial == 1 ? 800 : 5000);
        assert_int_equal(scene.worker->conns[0].state, CONN_OPEN);
        if (partial == 1) {
            SCENE_UNTIL(scene.worker->conns[0].state != CONN_OPEN);
            SCENE_AFTER(scene_now(), begin_ns, 1999u);
        }
        uint64_t answer_ns = scene_now();
        assert_int_equal(berth_kept_reply(kept[0], "abcd", 4), BERTH_OK);
        uint64_t end_ns = scene_wait_for_end(actor, partial == 1 ? BERTH_REASON_MESSAGE_SLOW
                                                                 : BERTH_REASON_RECEIVE_IDLE);
        SCENE_AFTER(end_ns, answer_ns, partial == 1 ? 0u : 300u);
        assert_int_equal(scene.actors[actor].got_bytes, 4);
        scene_tear_down();
    }
}

/* ------------------------------------------------------------------------------- no progress */

/* Who is not read any more, as the server stops, cannot end the message that he has begun: what is
 * still computed for him must reach him. */
static void a_stop_reads_no_more_and_asks_for_nothing(void **state)
{
    (void)state;
    set_up();
    scene.config.message_timeout_ms = 500;
    scene.config.receive_idle_timeout_ms = 700;
    scene.config.stop_timeout_ms = 60000;
    scene.protocol.on_message = keep;
    scene_start(1, NULL);
    uint32_t actor = scene_arrive(true);
    scene_say_and_wait(actor, "askdbe", 6); /* a message, and the beginning of one */
    SCENE_UNTIL(scene.messages == 1);
    berth_server_stop(scene.server);
    scene_pass_ms(5000);
    assert_int_equal(scene.closes, 0);
    assert_int_equal(berth_kept_reply(kept[0], "answ", 4), BERTH_OK);
    SCENE_UNTIL(scene.actors[actor].got_bytes == 4);
    assert_memory_equal(scene.actors[actor].got, "answ", 4);
    (void)scene_wait_for_end(actor, BERTH_REASON_STOP);
    scene_tear_down();
}

static void open_and_push(struct berth_conn *conn)
{
    static const uint8_t much[200000];
    scene_on_open(conn);
    assert_int_equal(berth_send(conn, much, sizeof much), BERTH_OK);
}

/* The send in flight never completes. What is queued is dropped with a reset. */
static void who_does_not_read_is_reset(void **state)
{
    (void)state;
    const struct berth_framing seed = berth_framing_seed(8);
    scene_set_up(&seed);
    scene.protocol.on_open = open_and_push;
    scene.config.send_progress_timeout_ms = 300;
    scene.config.linger_timeout_ms = 100;
    scene_start(7, NULL);
    uint32_t actor = scene_arrive(false);
    SCENE_UNTIL(scene.closes == 1);
    SCENE_AFTER(scene.closed_ns, scene.opened_ns, 300);
    assert_int_equal(scene.reason, BERTH_REASON_SEND_STALLED);
    SCENE_UNTIL((scene_state(actor) & SIM_PEER_RESET) != 0);
    scene_tear_down();
}

/* Every bit of progress counts; a stall later on counts from the last. */
static void who_reads_slowly_is_not(void **state)
{
    (void)state;
    const struct berth_framing seed = berth_framing_seed(8);
    const struct sim_options narrow = {.pipe_bytes = 8192};
    scene_set_up(&seed);
    scene.protocol.on_open = open_and_push;
    scene.config.send_progress_timeout_ms = 300;
    scene_start(7, &narrow);
    uint32_t actor = scene_arrive(false);
    uint64_t read_ns = 0;
    for (uint32_t i = 0; i < 10; i++) {
        scene_pass_ms(280);
        assert_int_equal(scene.closes, 0);
        uint8_t bytes[100];
        assert_int_equal(sim_peer_read(scene.world, scene.actors[actor].end, bytes, sizeof bytes),
                         100);
        read_ns = scene_now();
    }
    SCENE_UNTIL(scene.closes == 1);
    SCENE_AFTER(scene.closed_ns, read_ns, 300);
    assert_int_equal(scene.reason, BERTH_REASON_SEND_STALLED);
    scene_tear_down();
}

/* What is queued when another deadline passes is still sent. */
static void what_is_queued_is_still_sent(void **state)
{
    (void)state;
    const struct berth_framing seed = berth_framing_seed(8);
    scene_set_up(&seed);
    scene.protocol.on_open = open_and_push;
    scene.config.first_message_timeout_ms = 300;
    scene_start(8, NULL);
    uint32_t actor = scene_arrive(false);
    scene_pass_ms(1000);
    assert_int_equal(scene.worker->conns[0].state, CONN_DRAINING);
    scene.actors[actor].reads = true;
    (void)scene_wait_for_end(actor, BERTH_REASON_FIRST_MESSAGE);
    assert_int_equal(scene.actors[actor].got_bytes, 200004);
    scene_tear_down();
}

/* ... and if the peer never takes it, the reason stays the first one. */
static void the_first_reason_stays(void **state)
{
    (void)state;
    const struct berth_framing seed = berth_framing_seed(8);
    scene_set_up(&seed);
    scene.protocol.on_open = open_and_push;
    scene.config.first_message_timeout_ms = 300;
    scene.config.linger_timeout_ms = 200;
    scene_start(8, NULL);
    (void)scene_arrive(false);
    SCENE_UNTIL(scene.closes == 1);
    assert_int_equal(scene.reason, BERTH_REASON_FIRST_MESSAGE);
    scene_tear_down();
}

/* --------------------------------------------------------------------------- outgoing and lazy */

static void outgoing_connections_listen_as_long_as_they_like(void **state)
{
    (void)state;
    set_up();
    scene.config.first_message_timeout_ms = 100;
    scene.config.receive_idle_timeout_ms = 500;
    scene_start_connecting(9, 1);
    SCENE_UNTIL(scene.opens == 1);
    SCENE_UNTIL(scene.worker->conns[0].state != CONN_OPEN);
    SCENE_AFTER(scene_now(), scene.opened_ns, 500);
    SCENE_UNTIL(scene.closes == 1);
    assert_int_equal(scene.reason, BERTH_REASON_RECEIVE_IDLE);
    io_listener_close(&io_backend_sim, scene.world, &scene.elsewhere);
    scene_tear_down();
}

/* The timer of a connection that is busy for a long while is set a few times, not per message. */
static void a_busy_connection_leaves_its_timer_alone(void **state)
{
    (void)state;
    set_up();
    scene.config.first_message_timeout_ms = 30000;
    scene.config.message_timeout_ms = 30000;
    scene.config.receive_idle_timeout_ms = 60000;
    scene.config.send_progress_timeout_ms = 30000;
    scene_start(10, NULL);
    uint32_t actor = scene_arrive(true);
    uint64_t tick = 0;
    uint32_t moves = 0;
    for (uint32_t i = 0; i < 20000; i++) { /* 200 seconds */
        scene_pass_ms(10);
        scene_say_and_wait(actor, &"abcd"[i % 3], 4 - i % 3);
        moves += scene.worker->conns[0].timer.due_tick != tick ? 1 : 0;
        tick = scene.worker->conns[0].timer.due_tick;
    }
    assert_int_equal(scene.closes, 0);
    assert_in_range(moves, 2, 4 * 200 / 30); /* twice in the shortest timeout, and some */
    wheel_validate(&scene.worker->wheel);
    scene_tear_down();
}

/* What begins late and ends early moves the timer. */
static void a_nearer_deadline_is_not_missed(void **state)
{
    (void)state;
    for (int sends = 0; sends <= 1; sends++) {
        const struct berth_framing seed = berth_framing_seed(8);
        scene_set_up(&seed);
        scene.protocol.on_message = push_much;
        scene.config.receive_idle_timeout_ms = 60000;
        scene.config.message_timeout_ms = 200;
        scene.config.send_progress_timeout_ms = 400;
        scene_start(10, NULL);
        uint32_t actor = scene_arrive(sends == 0);
        scene_pass_ms(5000);
        scene_say_and_wait(actor, "\1\0\0\0a", sends == 1 ? 5 : 4);
        uint64_t begin_ns = scene_now();
        SCENE_UNTIL(scene.worker->conns[0].state != CONN_OPEN);
        SCENE_AFTER(scene_now(), begin_ns, sends == 1 ? 400u : 199u);
        sim_peer_shutdown(scene.world, scene.actors[actor].end, IO_SHUTDOWN_SEND);
        SCENE_UNTIL(scene.closes == 1);
        assert_int_equal(scene.reason,
                         sends == 1 ? BERTH_REASON_SEND_STALLED : BERTH_REASON_MESSAGE_SLOW);
        scene_tear_down();
    }
}

/* Stamps are 32 bits of milliseconds, and wrap after 49 days. */
static void stamps_wrap(void **state)
{
    (void)state;
    for (uint64_t before_ms = 0; before_ms < 700; before_ms += 50) {
        set_up();
        scene.config.first_message_timeout_ms = 200;
        scene.config.receive_idle_timeout_ms = 300;
        scene.config.message_timeout_ms = 100;
        struct sim_world *world = sim_world_create(11, NULL);
        sim_advance(world, ((UINT64_C(1) << 32) - before_ms) * NS_PER_MS);
        scene_start_in(world);
        uint32_t actor = scene_arrive(true);
        scene_pass_ms(150);
        scene_say_and_wait(actor, "a", 1);
        scene_pass_ms(40);
        scene_say_and_wait(actor, "bcd", 3);
        uint64_t last_ns = scene_now();
        SCENE_AFTER(scene_wait_for_end(actor, BERTH_REASON_RECEIVE_IDLE), last_ns, 299);
        scene_tear_down();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_silent_client_ends),
        cmocka_unit_test(the_beginning_of_a_message_is_none),
        cmocka_unit_test(who_has_spoken_may_be_silent),
        cmocka_unit_test(a_trickle_ends),
        cmocka_unit_test(each_message_has_its_own_time),
        cmocka_unit_test(no_deadline_for_messages),
        cmocka_unit_test(time_stands_still_while_nothing_is_read),
        cmocka_unit_test(nothing_received),
        cmocka_unit_test(sending_does_not_stand_for_receiving),
        cmocka_unit_test(nothing_sent),
        cmocka_unit_test(who_waits_for_an_answer_may_be_silent),
        cmocka_unit_test(a_stop_reads_no_more_and_asks_for_nothing),
        cmocka_unit_test(the_time_of_a_pause_does_not_count),
        cmocka_unit_test(who_does_not_read_is_reset),
        cmocka_unit_test(who_reads_slowly_is_not),
        cmocka_unit_test(what_is_queued_is_still_sent),
        cmocka_unit_test(the_first_reason_stays),
        cmocka_unit_test(outgoing_connections_listen_as_long_as_they_like),
        cmocka_unit_test(a_busy_connection_leaves_its_timer_alone),
        cmocka_unit_test(a_nearer_deadline_is_not_missed),
        cmocka_unit_test(stamps_wrap),
    };
    return cmocka_run_group_tests_name("sim.deadlines", tests, NULL, NULL);
}
