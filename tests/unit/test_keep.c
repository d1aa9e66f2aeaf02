/* Kept messages on real sockets, on both backends: answered late, in any order, from another
 * thread. A server hands every message to the test, which answers when and how it likes; a blocking
 * client says what came back, in which order.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit/help_server.h"

#define KEPT_MOST 64
#define ROOM      32

static struct berth_kept *_Atomic kept[KEPT_MOST];
static _Atomic uint32_t kept_count;
static _Atomic int keep_error;
static _Atomic uint32_t closed;

static void on_close(struct berth_conn *conn, enum berth_reason reason)
{
    (void)conn;
    (void)reason;
    atomic_fetch_add(&closed, 1);
}

/* Keeps everything, but answers what begins with '!' at once, and ignores what begins with '-'. */
static void keep_all(struct berth_conn *conn, const struct berth_message *messages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct berth_message *message = &messages[i];
        int err = BERTH_OK;
        if (message->size > 0 && message->data[0] == '!') {
            assert_int_equal(berth_reply(conn, message, message->data, message->size), BERTH_OK);
        } else if (message->size == 0 || message->data[0] != '-') {
            struct berth_kept *one = berth_keep(conn, message, ROOM, &err);
            if (one == NULL) {
                atomic_store(&keep_error, err);
                continue;
            }
            uint32_t at = atomic_load(&kept_count);
            assert_true(at < KEPT_MOST);
            atomic_store(&kept[at], one);
            atomic_store(&kept_count, at + 1);
        }
    }
}

static struct berth_protocol the_protocol(void)
{
    static const struct berth_framing framing = {
        .kind = BERTH_FRAMING_LENGTH, .length_bytes = 4, .message_bytes_max = 1 << 16};
    return (struct berth_protocol){
        .framing = framing, .on_messages = keep_all, .on_close = on_close};
}

struct scene {
    struct berth_config config;
    struct berth_protocol protocol;
    struct berth_server *server;
    int fd;
};

static void scene_open(struct scene *scene)
{
    atomic_store(&kept_count, 0);
    atomic_store(&keep_error, 0);
    atomic_store(&closed, 0);
    scene->protocol = the_protocol();
    scene->server = live_create(&scene->config);
    struct berth_address at = live_listen_on(scene->server, &scene->protocol);
    live_start(scene->server);
    scene->fd = live_client(&at);
}

static void scene_begin(struct scene *scene)
{
    live_settings(&scene->config);
    scene_open(scene);
}

static void scene_end(struct scene *scene)
{
    close(scene->fd);
    live_end(scene->server);
}

static void ask(const struct scene *scene, const char *text)
{
    uint8_t frame[64] = {(uint8_t)strlen(text)};
    memcpy(frame + 4, text, strlen(text));
    live_tell(scene->fd, frame, 4 + strlen(text));
}

static void answered(const struct scene *scene, const char *text)
{
    uint8_t frame[64] = {(uint8_t)strlen(text)};
    memcpy(frame + 4, text, strlen(text));
    live_hear(scene->fd, frame, 4 + strlen(text));
}

static int answer(uint32_t index, const char *text)
{
    return berth_kept_reply(atomic_load(&kept[index]), text, strlen(text));
}

/* Answers with the message itself, written into the room first. */
static int echo(uint32_t index)
{
    struct berth_kept *one = atomic_load(&kept[index]);
    memcpy(one->reply, one->message.data, one->message.size);
    return berth_kept_reply(one, one->reply, one->message.size);
}

static void replies_leave_in_order(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene);
    ask(&scene, "one");
    ask(&scene, "two");
    ask(&scene, "!now");
    ask(&scene, "three");
    ask(&scene, "-nothing");
    ask(&scene, "!later");
    ask(&scene, "four");
    LIVE_UNTIL(atomic_load(&kept_count) == 4);
    assert_int_equal(echo(3), BERTH_OK);
    assert_int_equal(echo(2), BERTH_OK);
    berth_kept_release(atomic_load(&kept[1]));
    char byte;
    LIVE_UNTIL(live_stats_of(scene.server).messages_in == 7);
    assert_int_equal(recv(scene.fd, &byte, 1, MSG_DONTWAIT), -1); /* the first is missing */
    assert_int_equal(answer(0, "ONE"), BERTH_OK);
    answered(&scene, "ONE");
    answered(&scene, "!now");
    answered(&scene, "three");
    answered(&scene, "!later");
    answered(&scene, "four");
    scene_end(&scene);
}

static void a_full_window_pauses(void **state)
{
    (void)state;
    struct scene scene;
    live_settings(&scene.config);
    scene.config.window_messages = 4;
    scene_open(&scene);
    for (int i = 0; i < 10; i++) {
        ask(&scene, "x");
    }
    LIVE_UNTIL(live_stats_of(scene.server).window_pauses > 0);
    assert_int_equal(atomic_load(&kept_count), 4);
    for (uint32_t i = 0; i < 10; i++) {
        LIVE_UNTIL(atomic_load(&kept_count) > i);
        assert_true(atomic_load(&kept_count) <= i + 4);
        assert_int_equal(echo(i), BERTH_OK);
        answered(&scene, "x");
    }
    scene_end(&scene);
}

/* Early replies stand in the window too: they take memory as well. */
static void early_replies_fill_the_window(void **state)
{
    (void)state;
    struct scene scene;
    live_settings(&scene.config);
    scene.config.window_messages = 4;
    scene_open(&scene);
    ask(&scene, "first");
    for (int i = 0; i < 10; i++) {
        ask(&scene, "!early");
    }
    LIVE_UNTIL(live_stats_of(scene.server).window_pauses > 0);
    assert_int_equal(live_stats_of(scene.server).messages_in, 4);
    assert_int_equal(echo(0), BERTH_OK);
    answered(&scene, "first");
    for (int i = 0; i < 10; i++) {
        answered(&scene, "!early");
    }
    scene_end(&scene);
}

static void window_bytes_pause(void **state)
{
    (void)state;
    struct scene scene;
    live_settings(&scene.config);
    scene.config.window_bytes = 1;
    scene_open(&scene);
    ask(&scene, "a");
    LIVE_UNTIL(atomic_load(&kept_count) == 1);
    ask(&scene, "b");
    LIVE_UNTIL(live_stats_of(scene.server).window_pauses > 0);
    assert_int_equal(atomic_load(&kept_count), 1);
    assert_int_equal(echo(0), BERTH_OK);
    LIVE_UNTIL(atomic_load(&kept_count) == 2);
    assert_int_equal(echo(1), BERTH_OK);
    answered(&scene, "a");
    answered(&scene, "b");
    scene_end(&scene);
}

static void a_late_answer_is_stale(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene);
    ask(&scene, "one");
    ask(&scene, "two");
    ask(&scene, "three");
    LIVE_UNTIL(atomic_load(&kept_count) == 3);
    berth_handle handle = atomic_load(&kept[0])->conn;
    assert_int_equal(echo(1), BERTH_OK); /* goes back with the connection */
    const struct linger hard = {.l_onoff = 1};
    assert_int_equal(setsockopt(scene.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    close(scene.fd);
    LIVE_UNTIL(atomic_load(&closed) == 1);
    assert_memory_equal(atomic_load(&kept[0])->message.data, "one", 3);
    assert_int_equal(echo(0), BERTH_E_STALE);
    berth_kept_release(atomic_load(&kept[2]));
    assert_int_equal(berth_handle_close(scene.server, handle), BERTH_E_STALE);
    assert_int_equal(berth_handle_send(scene.server, handle, "x", 1), BERTH_E_STALE);
    live_end(scene.server); /* asserts that no memory of the pool is missing */
}

/* A client that ends its side is answered however long that takes, beyond the linger. */
static void a_half_closed_client_is_answered(void **state)
{
    (void)state;
    struct scene scene;
    live_settings(&scene.config);
    scene.config.linger_timeout_ms = 1;
    scene_open(&scene);
    ask(&scene, "one");
    ask(&scene, "two");
    LIVE_UNTIL(atomic_load(&kept_count) == 2);
    shutdown(scene.fd, SHUT_WR);
    uint64_t begin_ms = live_now_ms();
    LIVE_UNTIL(live_now_ms() > begin_ms + 50); /* long past the linger */
    assert_int_equal(atomic_load(&closed), 0);
    assert_int_equal(echo(1), BERTH_OK);
    assert_int_equal(echo(0), BERTH_OK);
    answered(&scene, "one");
    answered(&scene, "two");
    live_hear_end(scene.fd);
    scene_end(&scene);
}

static void a_stop_waits_for_answers(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene);
    ask(&scene, "one");
    LIVE_UNTIL(atomic_load(&kept_count) == 1);
    berth_server_stop(scene.server);
    assert_false(berth_server_wait(scene.server, 50));
    assert_int_equal(echo(0), BERTH_OK);
    answered(&scene, "one");
    live_hear_end(scene.fd);
    close(scene.fd);
    assert_true(berth_server_wait(scene.server, LIVE_WAIT_MS));
    berth_server_destroy(scene.server);
}

/* A cut leaves the program what it kept; it may let go of it until the server is destroyed. */
static void kept_outlives_the_workers(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene);
    ask(&scene, "one");
    ask(&scene, "two");
    LIVE_UNTIL(atomic_load(&kept_count) == 2);
    berth_server_stop(scene.server);
    berth_server_stop(scene.server);
    assert_true(berth_server_wait(scene.server, LIVE_WAIT_MS));
    assert_memory_equal(atomic_load(&kept[0])->message.data, "one", 3);
    assert_int_equal(echo(0), BERTH_E_STALE);
    berth_kept_release(atomic_load(&kept[1]));
    berth_server_destroy(scene.server);
    close(scene.fd);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene);
    ask(&scene, "one");
    LIVE_UNTIL(atomic_load(&kept_count) == 1);
    static char large[ROOM + 1];
    assert_int_equal(berth_kept_reply(atomic_load(&kept[0]), large, sizeof large),
                     BERTH_E_TOO_LARGE);
    assert_int_equal(berth_kept_reply(atomic_load(&kept[0]), large, ROOM), BERTH_OK);
    uint8_t frame[4 + ROOM] = {ROOM};
    live_hear(scene.fd, frame, sizeof frame);
    scene_end(&scene);
}

/* More is kept than a quarter of the pool: everybody waits until there is room again. */
static void on_one_message(struct berth_conn *conn, const struct berth_message *message)
{
    int err = BERTH_OK;
    struct berth_kept *one = berth_keep(conn, message, 60000, &err);
    if (one == NULL) {
        atomic_store(&keep_error, err);
        return;
    }
    uint32_t at = atomic_load(&kept_count);
    atomic_store(&kept[at], one);
    atomic_store(&kept_count, at + 1);
}

static void the_worker_keeps_a_quarter_of_its_pool(void **state)
{
    (void)state;
    struct scene scene;
    live_settings(&scene.config);
    scene.config.pool_bytes = 1 << 20;
    atomic_store(&kept_count, 0);
    atomic_store(&keep_error, 0);
    scene.protocol =
        (struct berth_protocol){.framing = the_protocol().framing, .on_message = on_one_message};
    scene.server = live_create(&scene.config);
    struct berth_address at = live_listen_on(scene.server, &scene.protocol);
    live_start(scene.server);
    enum { CLIENTS = 20, AT_ONCE = 5 }; /* each keeps 64 KiB; the share is 256 KiB, and one more */
    int fds[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = live_client(&at);
        scene.fd = fds[i];
        ask(&scene, "one");
    }
    for (uint32_t done = 0; done < CLIENTS;) {
        uint32_t due = done + AT_ONCE < CLIENTS ? done + AT_ONCE : CLIENTS;
        LIVE_UNTIL(atomic_load(&kept_count) >= due);
        assert_int_equal(atomic_load(&kept_count), due);
        for (; done < due; done++) {
            assert_int_equal(answer(done, "fine"), BERTH_OK);
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        scene.fd = fds[i];
        answered(&scene, "fine");
        close(fds[i]);
    }
    assert_int_equal(atomic_load(&keep_error), BERTH_OK);
    live_end(scene.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE_ON_BOTH(replies_leave_in_order),
        LIVE_ON_BOTH(a_full_window_pauses),
        LIVE_ON_BOTH(early_replies_fill_the_window),
        LIVE_ON_BOTH(window_bytes_pause),
        LIVE_ON_BOTH(a_late_answer_is_stale),
        LIVE_ON_BOTH(a_half_closed_client_is_answered),
        LIVE_ON_BOTH(a_stop_waits_for_answers),
        LIVE_ON_BOTH(kept_outlives_the_workers),
        LIVE_ON_BOTH(what_does_not_fit_is_refused),
        LIVE_ON_BOTH(the_worker_keeps_a_quarter_of_its_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
