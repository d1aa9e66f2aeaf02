/* The deadlines of open connections, in virtual time: each passes at its time, not before, and not
 * when it should not; and a worker that was frozen hears what has come before it ends anybody.
 */
#include "sim/help_scene.h"

#include <stdlib.h>
#include <string.h>

#include "io/sim_world.h"

/* A deadline passes up to a tick after its time, and the peer sees it some delays later. */
#define LATE_MS 4

static uint64_t opened_ns;

static void on_open(struct berth_conn *conn)
{
    scene.opens++;
    opened_ns = berth_conn_now_ns(conn);
}

static const struct berth_framing framing = {.kind = BERTH_FRAMING_FIXED, .message_bytes_max = 4};

static void set_up(void)
{
    scene_set_up(&framing);
    scene.protocol.on_open = on_open;
}

static uint64_t now_ns(void)
{
    return sim_world_now(scene.world);
}

static void pass_until(uint64_t at_ns)
{
    if (at_ns > now_ns()) {
        sim_world_alarm(scene.world, at_ns);
        SCENE_UNTIL(now_ns() >= at_ns);
    }
}

static void pass_ms(uint64_t ms)
{
    pass_until(now_ns() + ms * NS_PER_MS);
}

#define ASSERT_AFTER(at_ns, from_ns, ms)                                                           \
    do {                                                                                           \
        uint64_t after_ns = (at_ns) - (from_ns);                                                   \
        if (after_ns < (ms)*NS_PER_MS || after_ns > ((ms) + LATE_MS) * NS_PER_MS) {                \
            fail_msg("line %d: after %llu ns, not %llu ms", __LINE__,                              \
                     (unsigned long long)after_ns, (unsigned long long)(ms));                      \
        }                                                                                          \
    } while (0)

/* Waits until an actor sees the server end its side, in order, and ends its own. Returns when. */
static uint64_t wait_for_end(uint32_t actor, enum berth_reason reason)
{
    uint32_t closes = scene.closes;
    SCENE_UNTIL((scene_state(actor) & (SIM_PEER_EOF | SIM_PEER_RESET)) != 0);
    uint64_t at_ns = now_ns();
    assert_int_equal(scene_state(actor) & SIM_PEER_RESET, 0);
    sim_peer_shutdown(scene.world, scene.actors[actor].end, IO_SHUTDOWN_SEND);
    SCENE_UNTIL(scene.closes == closes + 1);
    if (scene.reason != reason) {
        fail_msg("the reason is: %s", scene.why);
    }
    return at_ns;
}

/* ------------------------------------------------------------------------------- first message */

static void a_silent_client_ends(void **state)
{
    (void)state;
    set_up();
    scene.config.first_message_timeout_ms = 500;
    scene_start(1, NULL);
    pass_until(now_ns() + 700000); /* between two ticks */
    uint32_t actor = scene_arrive(true);
    SCENE_UNTIL(scene.worker->conns[0].state != CONN_OPEN);
    ASSERT_AFTER(now_ns(), opened_ns, 500);
    ASSERT_AFTER(wait_for_end(actor, BERTH_REASON_FIRST_MESSAGE), opened_ns, 500);
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
    pass_ms(300);
    scene_say(actor, "abc", 3);
    ASSERT_AFTER(wait_for_end(actor, BERTH_REASON_FIRST_MESSAGE), opened_ns, 500);
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
        pass_ms(450);
        if (speaks == 1) {
            scene_say_and_wait(actor, "abcd", 4);
        }
        pass_ms(7200 * 1000);
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
    pass_ms(50);
    scene_say_and_wait(actor, "x", 1);
    uint64_t first_ns = now_ns();
    for (uint32_t i = 1; i <= 13; i++) { /* the last at 390 ms */
        pass_until(first_ns + i * 30 * NS_PER_MS);
        scene_say_and_wait(actor, "x", 1);
        assert_int_equal(scene_state(actor) & SIM_PEER_EOF, 0);
    }
    ASSERT_AFTER(wait_for_end(actor, BERTH_REASON_MESSAGE_SLOW), first_ns, 399);
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
        pass_ms(390);
        scene_say_and_wait(actor, "dabc", 4);
        last_ns = now_ns();
        assert_int_equal(scene.messages, i + 1);
    }
    ASSERT_AFTER(wait_for_end(actor, BERTH_REASON_MESSAGE_SLOW), last_ns, 399);
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
    pass_ms(86400 * 1000);
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
        pass_ms(5000);
        assert_int_equal(scene.closes, 0);
        scene.actors[actor].reads = true;
        SCENE_UNTIL(scene.messages == 2); /* goes on, and blocks again */
        scene.actors[actor].reads = false;
        pass_ms(5000);
        assert_int_equal(scene.closes, 0);
        scene.actors[actor].reads = true;
        SCENE_UNTIL(scene.actors[actor].got_bytes >= 290000);
        uint64_t goes_on_ns = now_ns();
        uint64_t end_ns = wait_for_end(actor, partial == 1 ? BERTH_REASON_MESSAGE_SLOW
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
        pass_ms(290);
        scene_say_and_wait(actor, "abcd", 4);
        last_ns = now_ns();
    }
    ASSERT_AFTER(wait_for_end(actor, BERTH_REASON_RECEIVE_IDLE), last_ns, 299);
    assert_int_equal(scene.actors[actor].got_bytes, 80);
    scene_tear_down();
}

static struct berth_conn *first_conn;

static void remember_first(struct berth_conn *conn)
{
    on_open(conn);
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
    uint64_t gone_ns = opened_ns;
    uint32_t other = scene_arrive(true);
    for (uint32_t i = 1; i < 20; i++) { /* the last at 950 ms */
        pass_until(gone_ns + i * 50 * NS_PER_MS);
        scene_say_and_wait(other, "abcd", 4);
        assert_int_equal(scene.closes, 0);
    }
    SCENE_UNTIL(scene.worker->conns[0].state != CONN_OPEN);
    ASSERT_AFTER(now_ns(), gone_ns, 1000);
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

static void nothing_sent(void **state)
{
    (void)state;
    for (int replies = 0; replies <= 1; replies++) {
        set_up();
        scene.protocol.on_message = replies == 1 ? scene_echo : no_reply;
        scene.config.send_idle_timeout_ms = 300;
        scene_start(6, NULL);
        uint32_t actor = scene_arrive(true);
        uint64_t last_ns = opened_ns;
        for (uint32_t i = 0; i < (replies == 1 ? 10 : 1); i++) {
            pass_ms(290);
            scene_say_and_wait(actor, "abcd", 4);
            SCENE_UNTIL(scene.actors[actor].got_bytes == (uint32_t)replies * 4 * (i + 1));
            last_ns = replies == 1 ? now_ns() : last_ns;
        }
        ASSERT_AFTER(wait_for_end(actor, BERTH_REASON_SEND_IDLE), last_ns, 299);
        scene_tear_down();
    }
}

/* ------------------------------------------------------------------------------- no progress */

static void open_and_push(struct berth_conn *conn)
{
    static const uint8_t much[200000];
    on_open(conn);
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
    ASSERT_AFTER(scene.closed_ns, opened_ns, 300);
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
        pass_ms(280);
        assert_int_equal(scene.closes, 0);
        uint8_t bytes[100];
        assert_int_equal(sim_peer_read(scene.world, scene.actors[actor].end, bytes, sizeof bytes),
                         100);
        read_ns = now_ns();
    }
    SCENE_UNTIL(scene.closes == 1);
    ASSERT_AFTER(scene.closed_ns, read_ns, 300);
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
    pass_ms(1000);
    assert_int_equal(scene.worker->conns[0].state, CONN_DRAINING);
    scene.actors[actor].reads = true;
    (void)wait_for_end(actor, BERTH_REASON_FIRST_MESSAGE);
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

static void connect_to(const struct berth_address *address)
{
    struct berth_connect_options options = {
        .address = *address, .protocol = &scene.protocol, .timeout_ms = 300};
    assert_int_equal(berth_connect(scene.server, &options), BERTH_OK);
}

/* A listener of the world's own that takes connections and never says a word. */
static struct io_listener elsewhere;

static void start_outgoing(uint64_t seed, uint32_t count)
{
    struct berth_error error;
    scene.config.connects_max = count;
    scene.world = sim_world_create(seed, NULL);
    assert_int_equal(
        server_create_in(&scene.server, &scene.config, &io_backend_sim, scene.world, &error), 0);
    const struct berth_address address = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}};
    assert_int_equal(sim_listen(scene.world, &address, 4000, &elsewhere), 0);
    for (uint32_t i = 0; i < count; i++) {
        connect_to(&elsewhere.address);
    }
    assert_int_equal(server_start_stepped(scene.server), 0);
    scene.worker = &scene.server->workers[0];
}

static void outgoing_connections_listen_as_long_as_they_like(void **state)
{
    (void)state;
    set_up();
    scene.config.first_message_timeout_ms = 100;
    scene.config.receive_idle_timeout_ms = 500;
    start_outgoing(9, 1);
    SCENE_UNTIL(scene.opens == 1);
    SCENE_UNTIL(scene.worker->conns[0].state != CONN_OPEN);
    ASSERT_AFTER(now_ns(), opened_ns, 500);
    SCENE_UNTIL(scene.closes == 1);
    assert_int_equal(scene.reason, BERTH_REASON_RECEIVE_IDLE);
    sim_listener_close(scene.world, &elsewhere);
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
        pass_ms(10);
        scene_say_and_wait(actor, "abcd" + i % 3, 4 - i % 3);
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
        pass_ms(5000);
        scene_say_and_wait(actor, "\1\0\0\0a", sends == 1 ? 5 : 4);
        uint64_t begin_ns = now_ns();
        SCENE_UNTIL(scene.worker->conns[0].state != CONN_OPEN);
        ASSERT_AFTER(now_ns(), begin_ns, sends == 1 ? 400u : 199u);
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
        pass_ms(150);
        scene_say_and_wait(actor, "a", 1);
        pass_ms(40);
        scene_say_and_wait(actor, "bcd", 3);
        uint64_t last_ns = now_ns();
        ASSERT_AFTER(wait_for_end(actor, BERTH_REASON_RECEIVE_IDLE), last_ns, 299);
        scene_tear_down();
    }
}

/* ----------------------------------------------------------------------------- a frozen worker */

/* More than a turn has room for. */
#define CROWD (TURN_COMPLETIONS * 2 + 90)

static sim_peer crowd[CROWD];

/* The world goes on and the worker does not: what was said arrives, then time passes. */
static void freeze_ms(uint64_t ms)
{
    uint64_t end_ns = now_ns() + ms * NS_PER_MS;
    for (int step = 0; step < 5; step++) { /* what one event leads to is the next step's */
        sim_advance(scene.world, now_ns() + 10 * NS_PER_MS);
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
                set_up();
                scene.config.connections_max = CROWD;
                scene.config.receive_buffers = buffers;
                scene.config.first_message_timeout_ms = kind == 0 ? 1000 : 0;
                scene.config.message_timeout_ms = kind == 1 ? 1000 : 0;
                scene.config.receive_idle_timeout_ms = kind == 2 ? 1000 : 0;
                scene_start(100 + kind, NULL);
                crowd_arrives();
                crowd_says(0, "ab", kind == 1 ? 2 : 0);
                pass_ms(500);
                crowd_says(silent, "cdab", kind == 1 ? 2 : 4);
                freeze_ms(60000);
                uint64_t resumed_ns = now_ns();
                pass_ms(500);
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
                assert_true(now_ns() - resumed_ns < 510 * NS_PER_MS);
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
    on_open(conn);
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
        pass_ms(500);
        for (uint32_t i = 0; i < CROWD; i++) {
            uint8_t bytes[500];
            assert_int_equal(sim_peer_read(scene.world, crowd[i], bytes, sizeof bytes), 500);
        }
        freeze_ms(60000);
        pass_ms(900);
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
    set_up();
    start_outgoing(13, CROWD);
    SCENE_UNTIL(scene.worker->conns[CROWD - 1].sock >= 0);
    freeze_ms(60000);
    SCENE_UNTIL(scene.opens == CROWD);
    struct berth_stats stats;
    berth_server_stats(scene.server, &stats);
    assert_int_equal(stats.connect_failures, 0);
    sim_listener_close(scene.world, &elsewhere);
    SCENE_UNTIL(scene.closes == CROWD);
    scene_tear_down();
}

/* One who talks all the time keeps nobody else's deadline from passing. */
static void a_worker_that_is_never_quiet_still_ends_them(void **state)
{
    (void)state;
    const struct sim_options quick = {.delay_mean_ns = 1};
    set_up();
    scene.config.first_message_timeout_ms = 100;
    scene_start(14, &quick);
    uint32_t talker = scene_arrive(true);
    scene_say_and_wait(talker, "abcd", 4);
    uint32_t silent = scene_arrive(true);
    uint64_t silent_ns = opened_ns;
    uint32_t quiet = 0;
    uint32_t turns = 0;
    while ((scene_state(silent) & SIM_PEER_EOF) == 0) {
        if (now_ns() > silent_ns + 100 * NS_PER_MS) {
            turns++;
            (void)sim_peer_write(scene.world, scene.actors[talker].end, "abcd", 4);
            sim_advance(scene.world, now_ns() + 100); /* it arrives, */
            sim_advance(scene.world, now_ns() + 100); /* and can be reaped */
            quiet = scene.worker->quiet_turns > quiet ? scene.worker->quiet_turns : quiet;
        } else {
            pass_until(silent_ns + 100 * NS_PER_MS + 1);
        }
        scene.actors[talker].got_bytes = 0;
        scene_turn();
        assert_true(turns < 1000);
    }
    assert_true(quiet < 2); /* else it was no test */
    assert_true(turns > 50);
    (void)wait_for_end(silent, BERTH_REASON_FIRST_MESSAGE);
    scene_tear_down();
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
        cmocka_unit_test(who_does_not_read_is_reset),
        cmocka_unit_test(who_reads_slowly_is_not),
        cmocka_unit_test(what_is_queued_is_still_sent),
        cmocka_unit_test(the_first_reason_stays),
        cmocka_unit_test(outgoing_connections_listen_as_long_as_they_like),
        cmocka_unit_test(a_busy_connection_leaves_its_timer_alone),
        cmocka_unit_test(a_nearer_deadline_is_not_missed),
        cmocka_unit_test(stamps_wrap),
        cmocka_unit_test(a_frozen_worker_hears_before_it_ends_anybody),
        cmocka_unit_test(a_frozen_worker_sees_who_has_read),
        cmocka_unit_test(a_frozen_worker_finds_itself_connected),
        cmocka_unit_test(a_worker_that_is_never_quiet_still_ends_them),
    };
    return cmocka_run_group_tests_name("sim.deadlines", tests, NULL, NULL);
}
