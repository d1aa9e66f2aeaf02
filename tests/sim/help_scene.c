/* The scene: its server, its actors, and the turns that pass. Everything is on the test's thread; a
 * wait that does not end in SCENE_STEPS_MAX turns fails the test.
 */
#include "sim/help_scene.h"

#include <stdlib.h>
#include <string.h>

struct scene scene;

void scene_on_open(struct berth_conn *conn)
{
    scene.opens++;
    scene.opened_ns = berth_conn_now_ns(conn);
}

void scene_on_close(struct berth_conn *conn, enum berth_reason reason)
{
    scene.closes++;
    scene.reasons[reason]++;
    scene.reason = reason;
    scene.closed_ns = berth_conn_now_ns(conn);
    berth_conn_why(conn, scene.why, sizeof scene.why);
}

void scene_echo(struct berth_conn *conn, const struct berth_message *message)
{
    scene.messages++;
    assert_int_equal(berth_reply(conn, message, message->data, message->size), BERTH_OK);
}

void scene_set_up(const struct berth_framing *framing)
{
    memset(&scene, 0, sizeof scene);
    berth_config_init(&scene.config);
    scene.config.workers = 1;
    scene.config.connections_max = SCENE_ACTORS_MAX;
    scene.config.receive_bytes = 4096;
    scene.config.receive_buffers = 4;
    scene.config.pool_bytes = 1 << 20;
    scene.config.first_message_timeout_ms = 0; /* scenes about deadlines set them */
    scene.config.message_timeout_ms = 0;
    scene.config.receive_idle_timeout_ms = 0;
    scene.config.send_progress_timeout_ms = 0;
    scene.protocol = (struct berth_protocol){.framing = *framing,
                                             .on_open = scene_on_open,
                                             .on_message = scene_echo,
                                             .on_close = scene_on_close};
}

void scene_start(uint64_t seed, const struct sim_options *options)
{
    scene_start_in(sim_world_create(seed, options));
}

void scene_start_in(struct sim_world *world)
{
    struct berth_error error = {.text = ""};
    scene.world = world;
    int result =
        server_create_in(&scene.server, &scene.config, &io_backend_sim, scene.world, &error);
    if (result != BERTH_OK) {
        fail_msg("%s", error.text);
    }
    struct berth_listen_options listen = {
        .address = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}}, .protocol = &scene.protocol};
    if (berth_listen(scene.server, &listen, &scene.address, &error) != BERTH_OK) {
        fail_msg("%s", error.text);
    }
    listen.protocol = scene.second;
    if (scene.second != NULL &&
        berth_listen(scene.server, &listen, &scene.second_address, &error) != BERTH_OK) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(server_start_stepped(scene.server), 0);
    scene.worker = &scene.server->workers[0];
}

void scene_start_connecting(uint64_t seed, uint32_t count)
{
    struct berth_error error;
    scene.config.connects_max = count;
    scene.world = sim_world_create(seed, NULL);
    assert_int_equal(
        server_create_in(&scene.server, &scene.config, &io_backend_sim, scene.world, &error), 0);
    const struct berth_address address = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}};
    assert_int_equal(
        io_listen(&io_backend_sim, scene.world, &address, (int)count + 1, &scene.elsewhere), 0);
    for (uint32_t i = 0; i < count; i++) {
        struct berth_connect_options options = {
            .address = scene.elsewhere.address, .protocol = &scene.protocol, .timeout_ms = 300};
        assert_int_equal(berth_connect(scene.server, &options), BERTH_OK);
    }
    assert_int_equal(server_start_stepped(scene.server), 0);
    scene.worker = &scene.server->workers[0];
}

void scene_turn(void)
{
    if (!scene.over && !worker_turn(scene.worker, true)) {
        worker_close(scene.worker);
        scene.over = true;
    } else if (!scene.over) {
        pool_validate(&scene.worker->pool);
    }
    for (uint32_t i = 0; i < scene.actors_count; i++) {
        struct actor *actor = &scene.actors[i];
        int32_t got = 1;
        while (actor->reads && got > 0 && actor->got_bytes < SCENE_ROOM) {
            got = sim_peer_read(scene.world, actor->end, actor->got + actor->got_bytes,
                                SCENE_ROOM - actor->got_bytes);
            actor->got_bytes += (uint32_t)got;
            if (got > 0 && scene.alarm_ns <= sim_world_now(scene.world)) {
                scene.alarm_ns = sim_world_now(scene.world) + 1000; /* time waits for a reader */
                sim_world_alarm(scene.world, scene.alarm_ns);
            }
        }
    }
}

uint32_t scene_state(uint32_t actor)
{
    return sim_peer_state(scene.world, scene.actors[actor].end);
}

uint32_t scene_arrive(bool reads)
{
    return scene_arrive_at(&scene.address, reads);
}

uint32_t scene_arrive_at(const struct berth_address *address, bool reads)
{
    uint32_t number = scene.actors_count++;
    struct actor *actor = &scene.actors[number];
    *actor = (struct actor){.got = malloc(SCENE_ROOM), .reads = reads};
    assert_non_null(actor->got);
    actor->end = sim_peer_connect(scene.world, address);
    SCENE_UNTIL((scene_state(number) & SIM_PEER_CONNECTED) != 0 && scene.opens > number);
    return number;
}

void scene_say(uint32_t actor, const void *bytes, uint32_t count)
{
    uint32_t said = 0;
    const uint8_t *from = bytes;
    while (said < count) {
        int32_t wrote =
            sim_peer_write(scene.world, scene.actors[actor].end, from + said, count - said);
        assert_true(wrote >= 0);
        said += (uint32_t)wrote;
        if (said < count) {
            scene_turn();
        }
    }
}

/* Says it, and waits until the server has received it as a piece of its own. */
void scene_say_and_wait(uint32_t actor, const void *bytes, uint32_t count)
{
    struct berth_stats stats;
    berth_server_stats(scene.server, &stats);
    uint64_t wanted = stats.bytes_in + count;
    scene_say(actor, bytes, count);
    SCENE_UNTIL((berth_server_stats(scene.server, &stats), stats.bytes_in >= wanted));
}

uint64_t scene_now(void)
{
    return sim_world_now(scene.world);
}

void scene_pass_until(uint64_t at_ns)
{
    if (at_ns > scene_now()) {
        sim_world_alarm(scene.world, at_ns);
        SCENE_UNTIL(scene_now() >= at_ns);
    }
}

void scene_pass_ms(uint64_t ms)
{
    scene_pass_until(scene_now() + ms * NS_PER_MS);
}

uint64_t scene_wait_for_end(uint32_t actor, enum berth_reason reason)
{
    uint32_t closes = scene.closes;
    SCENE_UNTIL((scene_state(actor) & (SIM_PEER_EOF | SIM_PEER_RESET)) != 0);
    uint64_t at_ns = scene_now();
    assert_int_equal(scene_state(actor) & SIM_PEER_RESET, 0);
    sim_peer_shutdown(scene.world, scene.actors[actor].end, IO_SHUTDOWN_SEND);
    SCENE_UNTIL(scene.closes == closes + 1);
    if (scene.reason != reason) {
        fail_msg("the reason is: %s", scene.why);
    }
    return at_ns;
}

void scene_tear_down(void)
{
    for (uint32_t i = 0; i < scene.actors_count; i++) {
        sim_peer_close(scene.world, scene.actors[i].end);
        free(scene.actors[i].got);
    }
    scene.actors_count = 0;
    if (!scene.over) {
        berth_server_stop(scene.server);
    }
    SCENE_UNTIL(scene.over);
    assert_int_equal(scene.closes, scene.opens);
    assert_int_equal(atomic_load(&scene.server->permits), scene.config.connections_max);
    berth_server_destroy(scene.server);
    assert_int_equal(sim_world_connections(scene.world), 0);
    sim_world_destroy(scene.world);
}
