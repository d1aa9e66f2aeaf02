/* What the owner of a server asks for, in virtual time, at the right moment and at the wrong one:
 * listening stopped and started, connections out of callbacks and during a stop, and addresses
 * without end.
 */
#include <errno.h>
#include <string.h>

#include "sim/help_scene.h"
#include "unit/framings.h"

static const struct berth_framing seed_framing = LENGTH(4, 1 << 16);
static const struct berth_address loopback = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}};

/* -------------------------------------------------------------------------------------- listening
 */

/* A full server takes nobody, so a stop of listening has nobody to wait for; started again, and
 * with a place free, it takes the next. */
static void a_full_server_stops_listening_at_once(void **state)
{
    (void)state;
    scene_set_up(&seed_framing);
    scene.config.connections_max = 1;
    scene_start(1, NULL);
    uint32_t first = scene_arrive(true);
    assert_int_equal(scene.worker->accepts_in_flight, 0);
    assert_int_equal(berth_server_listening(scene.server, false, NULL), BERTH_OK);
    SCENE_UNTIL(atomic_load(&scene.server->listening) == LISTENING_HALTED);
    sim_peer refused = sim_peer_connect(scene.world, &scene.address);
    SCENE_UNTIL((sim_peer_state(scene.world, refused) & SIM_PEER_REFUSED) != 0);
    sim_peer_close(scene.world, refused);
    assert_int_equal(berth_server_listening(scene.server, true, NULL), BERTH_OK);
    sim_peer_shutdown(scene.world, scene.actors[first].end, IO_SHUTDOWN_SEND);
    SCENE_UNTIL(scene.closes == 1);
    uint32_t next = scene_arrive(true);
    scene_say(next, "\0\0\0\0", 4);
    SCENE_UNTIL(scene.actors[next].got_bytes == 4);
    scene_tear_down();
}

static void listening_belongs_to_a_running_server(void **state)
{
    (void)state;
    struct berth_error error;
    scene_set_up(&seed_framing);
    scene_start(1, NULL);
    (void)scene_arrive(true);
    berth_server_stop(scene.server);
    assert_int_equal(berth_server_listening(scene.server, false, &error), BERTH_E_STATE);
    assert_int_equal(error.code, BERTH_E_STATE);
    assert_int_equal(atomic_load(&scene.server->listening), LISTENING);
    scene_tear_down();
}

/* 64 addresses and no more; who does not want to know which is not told. */
static void a_server_has_so_many_addresses(void **state)
{
    (void)state;
    struct berth_error error = {.text = ""};
    struct sim_world *world = sim_world_create(1, NULL);
    struct berth_server *server = NULL;
    scene_set_up(&seed_framing);
    assert_int_equal(server_create_in(&server, &scene.config, &io_backend_sim, world, &error), 0);
    const struct berth_listen_options listen = {.address = loopback, .protocol = &scene.protocol};
    for (unsigned i = 0; i < IO_LISTENERS_MAX; i++) {
        assert_int_equal(berth_listen(server, &listen, NULL, &error), BERTH_OK);
    }
    assert_int_equal(berth_listen(server, &listen, NULL, &error), BERTH_E_INVALID);
    assert_string_equal(error.setting, "address");
    berth_server_destroy(server);
    sim_world_destroy(world);
}

static void ignore(struct berth_conn *conn, const struct berth_message *messages, size_t count)
{
    (void)conn;
    (void)messages;
    (void)count;
}

/* One way to get messages, not both. */
static void one_callback_for_messages(void **state)
{
    (void)state;
    struct berth_error error = {.text = ""};
    struct sim_world *world = sim_world_create(1, NULL);
    struct berth_server *server = NULL;
    scene_set_up(&seed_framing);
    assert_int_equal(server_create_in(&server, &scene.config, &io_backend_sim, world, &error), 0);
    scene.protocol.on_messages = ignore;
    const struct berth_listen_options listen = {.address = loopback, .protocol = &scene.protocol};
    assert_int_equal(berth_listen(server, &listen, NULL, &error), BERTH_E_INVALID);
    assert_string_equal(error.setting, "on_message");
    berth_server_destroy(server);
    sim_world_destroy(world);
}

/* ------------------------------------------------------------------------------------- connecting
 */

static struct berth_connect_options to_elsewhere;
static struct berth_server *second; /* of the same program */
static int said;                    /* what berth_connect said */

static void connect_from_a_callback(struct berth_conn *conn, const struct berth_message *message)
{
    (void)conn;
    scene.messages++;
    said = berth_connect(message->data[0] == '2' ? second : scene.server, &to_elsewhere);
}

static void say_and_be_heard(uint32_t actor, char what)
{
    const uint8_t frame[5] = {1, 0, 0, 0, (uint8_t)what};
    uint32_t wanted = scene.messages + 1;
    scene_say(actor, frame, sizeof frame);
    SCENE_UNTIL(scene.messages == wanted);
}

static void set_up_to_connect(void)
{
    scene_set_up(&seed_framing);
    scene.config.connects_max = 2;
    scene.protocol.on_message = connect_from_a_callback;
    to_elsewhere = (struct berth_connect_options){.address = loopback, .protocol = &scene.protocol};
    to_elsewhere.address.port = 9; /* nobody listens there */
}

/* A callback may connect on its own server, on its own worker; on another one of the program only
 * before that was started, as its owner. */
static void a_callback_connects_on_its_own_server(void **state)
{
    (void)state;
    set_up_to_connect();
    scene_start(1, NULL);
    assert_int_equal(server_create_in(&second, &scene.config, &io_backend_sim, scene.world, NULL),
                     BERTH_OK);
    uint32_t actor = scene_arrive(true);
    say_and_be_heard(actor, '1');
    assert_int_equal(said, BERTH_OK);
    say_and_be_heard(actor, '2');
    assert_int_equal(said, BERTH_OK);
    assert_int_equal(server_start_stepped(second), 0);
    say_and_be_heard(actor, '2');
    assert_int_equal(said, BERTH_E_STATE);
    berth_server_stop(second);
    while (worker_turn(&second->workers[0], true)) {
    }
    worker_close(&second->workers[0]);
    berth_server_destroy(second);
    scene_tear_down();
}

static void connect_at_the_end(struct berth_conn *conn, enum berth_reason reason)
{
    scene_on_close(conn, reason);
    said = berth_connect(scene.server, &to_elsewhere);
}

/* Who connects anew when a connection ends does not keep a server alive that stops. */
static void nobody_connects_during_a_stop(void **state)
{
    (void)state;
    set_up_to_connect();
    scene.protocol.on_close = connect_at_the_end;
    scene_start(1, NULL);
    uint32_t actor = scene_arrive(true);
    berth_server_stop(scene.server);
    said = BERTH_OK;
    (void)scene_wait_for_end(actor, BERTH_REASON_STOP);
    assert_int_equal(said, BERTH_E_STATE);
    scene_tear_down();
}

/* A connection that is made though it was cancelled, because the server stops, is given up as if it
 * had not been; the other end sees it end. */
static uint32_t failures;
static int failed_system;

static void note_failure(struct berth_server *server, void *user, int system, uint32_t attempts)
{
    (void)server;
    (void)user;
    assert_int_equal(attempts, 1);
    failures++;
    failed_system = system;
}

static void a_stop_overtakes_a_connect(void **state)
{
    (void)state;
    const struct sim_options late_cancels = {.cancel_loses = SIM_RATE_ONE};
    scene_set_up(&seed_framing);
    scene.protocol.on_connect_failed = note_failure;
    failures = 0;
    scene_start_connecting(1, 1);
    sim_world_options(scene.world, &late_cancels);
    SCENE_UNTIL(scene.worker->conns[0].sock >= 0); /* the attempt is under way */
    assert_int_equal(scene.opens, 0);
    berth_server_stop(scene.server);
    SCENE_UNTIL(scene.over);
    assert_int_equal(scene.opens, 0);
    assert_int_equal(failures, 1);
    assert_int_equal(failed_system, ECANCELED);
    io_listener_close(&io_backend_sim, scene.world, &scene.elsewhere);
    scene_tear_down();
}

/* Slots whose numbers are used up are gone for good: when those that are left are promised to
 * accepts, nobody connects out. */
static void slots_for_accepts_are_not_given_away(void **state)
{
    (void)state;
    set_up_to_connect();
    scene_start(1, NULL);
    uint32_t actor = scene_arrive(true);
    uint32_t taken[64];
    uint32_t count = 0;
    while (slots_free_count(&scene.worker->slots) > scene.worker->accepts_in_flight) {
        taken[count++] = slots_take(&scene.worker->slots);
    }
    say_and_be_heard(actor, '1');
    assert_int_equal(said, BERTH_E_FULL);
    slots_give(&scene.worker->slots, taken[--count]);
    say_and_be_heard(actor, '1');
    assert_int_equal(said, BERTH_OK);
    while (count > 0) {
        slots_give(&scene.worker->slots, taken[--count]);
    }
    scene_tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_server_stops_listening_at_once),
        cmocka_unit_test(listening_belongs_to_a_running_server),
        cmocka_unit_test(a_server_has_so_many_addresses),
        cmocka_unit_test(one_callback_for_messages),
        cmocka_unit_test(a_callback_connects_on_its_own_server),
        cmocka_unit_test(nobody_connects_during_a_stop),
        cmocka_unit_test(a_stop_overtakes_a_connect),
        cmocka_unit_test(slots_for_accepts_are_not_given_away),
    };
    return cmocka_run_group_tests_name("owner", tests, NULL, NULL);
}
