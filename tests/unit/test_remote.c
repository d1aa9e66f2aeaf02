/* What other threads may ask for, on real sockets and both backends: close, pause, resume and send
 * by handle, and visits of all connections on two workers.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "unit/help_server.h"

static _Atomic berth_handle opened;
static _Atomic uint32_t opened_count;
static _Atomic uint32_t closed;
static _Atomic uint32_t reason_of_last;
static _Atomic uint32_t messages;
static _Atomic uint32_t drained;

static void on_open(struct berth_conn *conn)
{
    uint8_t *space = berth_conn_space(conn);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(space[i], 0);
    }
    memset(space, 0xee, 40); /* who comes next must not see it */
    atomic_store(&opened, berth_conn_handle(conn));
    atomic_fetch_add(&opened_count, 1);
}

static void on_messages(struct berth_conn *conn, const struct berth_message *batch, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(berth_reply(conn, &batch[i], batch[i].data, batch[i].size), BERTH_OK);
    }
    atomic_fetch_add(&messages, (uint32_t)count);
}

static void on_drained(struct berth_conn *conn)
{
    (void)conn;
    atomic_fetch_add(&drained, 1);
}

static void on_close(struct berth_conn *conn, enum berth_reason reason)
{
    (void)conn;
    atomic_store(&reason_of_last, reason);
    atomic_fetch_add(&closed, 1);
}

static const struct berth_protocol the_protocol = {
    .framing = {.kind = BERTH_FRAMING_DELIMITER,
                .delimiter = "\n",
                .delimiter_bytes = 1,
                .message_bytes_max = 1 << 20},
    .on_open = on_open,
    .on_messages = on_messages,
    .on_drained = on_drained,
    .on_close = on_close,
};

struct scene {
    struct berth_config config;
    struct berth_server *server;
    struct berth_address at;
};

static void scene_open(struct scene *scene)
{
    atomic_store(&opened_count, 0);
    atomic_store(&closed, 0);
    atomic_store(&messages, 0);
    atomic_store(&drained, 0);
    scene->config.conn_space_bytes = 40;
    scene->server = live_create(&scene->config);
    scene->at = live_listen_on(scene->server, &the_protocol);
    live_start(scene->server);
}

static void scene_begin(struct scene *scene)
{
    live_settings(&scene->config);
    scene_open(scene);
}

/* A client whose connection is open on the server; *handle is its. */
static int client_of(struct scene *scene, berth_handle *handle)
{
    uint32_t before = atomic_load(&opened_count);
    int fd = live_client(&scene->at);
    LIVE_UNTIL(atomic_load(&opened_count) > before);
    *handle = atomic_load(&opened);
    return fd;
}

static void a_handle_closes(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene);
    berth_handle handle;
    int fd = client_of(&scene, &handle);
    assert_int_equal(berth_handle_close(scene.server, handle), BERTH_OK);
    live_hear_end(fd);
    close(fd);
    LIVE_UNTIL(atomic_load(&closed) == 1);
    assert_int_equal(atomic_load(&reason_of_last), BERTH_REASON_LOCAL);
    assert_int_equal(berth_handle_close(scene.server, handle), BERTH_E_STALE);
    assert_int_equal(berth_handle_pause(scene.server, handle), BERTH_E_STALE);
    assert_int_equal(berth_handle_resume(scene.server, handle), BERTH_E_STALE);
    /* The slot's next connection is another's. */
    berth_handle second;
    fd = client_of(&scene, &second);
    assert_true(handle != second);
    assert_int_equal(berth_handle_close(scene.server, handle), BERTH_E_STALE);
    live_tell(fd, "hi\n", 3);
    live_hear(fd, "hi\n", 3);
    close(fd);
    live_end(scene.server);
}

static void nonsense_is_stale(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene);
    berth_handle handle;
    int fd = client_of(&scene, &handle);
    for (unsigned bit = 0; bit < 64; bit++) {
        assert_int_equal(berth_handle_close(scene.server, handle ^ UINT64_C(1) << bit),
                         BERTH_E_STALE);
    }
    assert_int_equal(berth_handle_close(scene.server, 0), BERTH_E_STALE);
    live_tell(fd, "hi\n", 3);
    live_hear(fd, "hi\n", 3);
    close(fd);
    live_end(scene.server);
}

static void a_paused_connection_waits(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene);
    berth_handle handle;
    int fd = client_of(&scene, &handle);
    assert_int_equal(berth_handle_pause(scene.server, handle), BERTH_OK);
    /* A later client is served by the same worker after the pause was seen. */
    berth_handle other;
    int second = client_of(&scene, &other);
    live_tell(second, "sync\n", 5);
    live_hear(second, "sync\n", 5);
    live_tell(fd, "one\ntwo\n", 8);
    live_tell(second, "sync\n", 5);
    live_hear(second, "sync\n", 5);
    LIVE_UNTIL(live_stats_of(scene.server).bytes_in >= 18);
    assert_int_equal(atomic_load(&messages), 2);
    assert_int_equal(berth_handle_resume(scene.server, handle), BERTH_OK);
    live_hear(fd, "one\ntwo\n", 8);
    close(fd);
    close(second);
    live_end(scene.server);
}

static void sends_keep_their_order(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    struct scene scene;
    scene_begin(&scene);
    berth_handle handle;
    int fd = client_of(&scene, &handle);
    char text[16];
    for (int i = 0; i < COUNT; i++) {
        int length = snprintf(text, sizeof text, "m%d", i);
        int result;
        while ((result = berth_handle_send(scene.server, handle, text, (size_t)length)) ==
               BERTH_E_WOULD_EXCEED) {
            sched_yield();
        }
        assert_int_equal(result, BERTH_OK);
    }
    for (int i = 0; i < COUNT; i++) {
        int length = snprintf(text, sizeof text, "m%d\n", i);
        live_hear(fd, text, (size_t)length);
    }
    assert_int_equal(berth_handle_send(scene.server, handle, "a\nb", 3), BERTH_E_FRAME);
    close(fd);
    live_end(scene.server);
}

static void hear_message(int fd, const char *message, size_t bytes)
{
    enum { PIECE = 1 << 8 };
    for (size_t at = 0; at < bytes; at += PIECE) {
        live_hear(fd, message + at, PIECE);
    }
    live_hear(fd, "\n", 1);
}

/* A client that does not read: its messages fill the posts, the next send is refused, and when it
 * reads on_drained comes. */
static void full_posts_are_told(void **state)
{
    (void)state;
    static char message[1 << 16];
    memset(message, 'x', sizeof message);
    struct scene scene;
    live_settings(&scene.config);
    scene.config.post_bytes = 1 << 20;
    scene_open(&scene);
    berth_handle handle;
    int fd = client_of(&scene, &handle);
    uint32_t sent = 0;
    int result;
    while ((result = berth_handle_send(scene.server, handle, message, sizeof message)) ==
           BERTH_OK) {
        sent++;
        assert_true(sent < 2000); /* sockets take some megabytes, never this */
        LIVE_UNTIL(live_stats_of(scene.server).messages_out == sent);
    }
    assert_int_equal(result, BERTH_E_WOULD_EXCEED);
    assert_int_equal(berth_handle_send(scene.server, handle, message, 2 << 20), BERTH_E_TOO_LARGE);
    for (uint32_t i = 0; i < sent; i++) {
        hear_message(fd, message, sizeof message);
    }
    LIVE_UNTIL(atomic_load(&drained) > 0);
    assert_int_equal(berth_handle_send(scene.server, handle, message, sizeof message), BERTH_OK);
    hear_message(fd, message, sizeof message);
    close(fd);
    live_end(scene.server);
}

/* Posts whose size is no power of two: what is larger than their largest piece never fits. */
static void what_never_fits_is_too_large(void **state)
{
    (void)state;
    static char message[70000];
    struct scene scene;
    live_settings(&scene.config);
    scene.config.post_bytes = 96 * 1024;
    scene_open(&scene);
    memset(message, 'x', sizeof message);
    berth_handle handle;
    int fd = client_of(&scene, &handle);
    assert_int_equal(berth_handle_send(scene.server, handle, message, sizeof message),
                     BERTH_E_TOO_LARGE);
    assert_int_equal(berth_handle_send(scene.server, handle, message, 60000 / 256 * 256), BERTH_OK);
    hear_message(fd, message, 60000 / 256 * 256);
    close(fd);
    live_end(scene.server);
}

/* Somebody else's messages fill the posts: who is refused is told when they are out, not before,
 * or it would be told, and try, and be refused all the time. */
static void a_refused_send_waits_for_posts(void **state)
{
    (void)state;
    static char message[1 << 16];
    memset(message, 'x', sizeof message);
    struct scene scene;
    live_settings(&scene.config);
    scene.config.post_bytes = 1 << 20;
    scene_open(&scene);
    berth_handle slow;
    berth_handle quick;
    int slow_fd = client_of(&scene, &slow);
    int quick_fd = client_of(&scene, &quick);
    uint32_t sent = 0;
    while (berth_handle_send(scene.server, slow, message, sizeof message) == BERTH_OK) {
        sent++;
        LIVE_UNTIL(live_stats_of(scene.server).messages_out == sent);
    }
    assert_int_equal(berth_handle_send(scene.server, quick, message, sizeof message),
                     BERTH_E_WOULD_EXCEED);
    for (int i = 0; i < 100; i++) {
        live_tell(quick_fd, "turn\n", 5);
        live_hear(quick_fd, "turn\n", 5);
    }
    assert_int_equal(atomic_load(&drained), 0);
    for (uint32_t i = 0; i < sent; i++) {
        hear_message(slow_fd, message, sizeof message);
    }
    LIVE_UNTIL(atomic_load(&drained) == 2);
    assert_int_equal(berth_handle_send(scene.server, quick, message, sizeof message), BERTH_OK);
    hear_message(quick_fd, message, sizeof message);
    close(slow_fd);
    close(quick_fd);
    live_end(scene.server);
}

struct visited {
    _Atomic uint32_t connections;
    _Atomic uint32_t done;
};

static void each(struct berth_conn *conn, void *context)
{
    struct visited *visited = context;
    assert_non_null(conn);
    atomic_fetch_add(&visited->connections, 1);
    berth_close(conn);
}

static void visit_done(void *context)
{
    struct visited *visited = context;
    atomic_fetch_add(&visited->done, 1);
}

static void everybody_is_visited(void **state)
{
    (void)state;
    enum { CLIENTS = 40 };
    struct scene scene;
    live_settings(&scene.config);
    scene.config.workers = 2;
    scene_open(&scene);
    int fds[CLIENTS];
    berth_handle handle;
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client_of(&scene, &handle);
    }
    struct visited visited = {0};
    assert_int_equal(berth_visit(scene.server, each, visit_done, &visited), BERTH_OK);
    LIVE_UNTIL(atomic_load(&visited.done) == 1);
    assert_int_equal(atomic_load(&visited.connections), CLIENTS);
    for (int i = 0; i < CLIENTS; i++) {
        live_hear_end(fds[i]);
        close(fds[i]);
    }
    LIVE_UNTIL(atomic_load(&closed) == CLIENTS);
    assert_int_equal(berth_visit(scene.server, each, visit_done, &visited), BERTH_OK);
    LIVE_UNTIL(atomic_load(&visited.done) == 2);
    assert_int_equal(atomic_load(&visited.connections), CLIENTS);
    live_end(scene.server);
}

static struct berth_server *_Atomic visiting;
static _Atomic uint32_t rounds;
static _Atomic int refused_with;

static void visit_again(void *unused)
{
    (void)unused;
    atomic_fetch_add(&rounds, 1);
    int result = berth_visit(atomic_load(&visiting), each, visit_again, NULL);
    if (result != BERTH_OK) {
        atomic_store(&refused_with, result);
    }
}

/* Who visits all the time, each visit from the end of the one before, is told when nobody is left
 * to visit. */
static void a_visit_of_nobody_is_refused(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers <= 3; workers++) {
        struct scene scene;
        live_settings(&scene.config);
        scene.config.workers = workers;
        scene_open(&scene);
        atomic_store(&visiting, scene.server);
        atomic_store(&rounds, 0);
        atomic_store(&refused_with, BERTH_OK);
        assert_int_equal(berth_visit(scene.server, each, visit_again, NULL), BERTH_OK);
        LIVE_UNTIL(atomic_load(&rounds) > 10);
        berth_server_stop(scene.server);
        assert_true(berth_server_wait(scene.server, LIVE_WAIT_MS));
        assert_int_equal(atomic_load(&refused_with), BERTH_E_STATE);
        assert_int_equal(berth_visit(scene.server, each, visit_again, NULL), BERTH_E_STATE);
        berth_server_destroy(scene.server);
    }
}

static void a_visit_of_a_server_that_never_starts_ends_with_it(void **state)
{
    (void)state;
    struct berth_config config;
    live_settings(&config);
    config.workers = 2;
    struct berth_server *server = live_create(&config);
    struct visited visited = {0};
    assert_int_equal(berth_visit(server, each, visit_done, &visited), BERTH_OK);
    assert_int_equal(atomic_load(&visited.done), 0);
    berth_server_destroy(server);
    assert_int_equal(atomic_load(&visited.done), 1);
    assert_int_equal(atomic_load(&visited.connections), 0);
}

/* Handles of connections that come and go are used by another thread all the time: nobody else's
 * connection is ever closed by one. */
static _Atomic bool churning;

static void *close_by_handle(void *argument)
{
    struct berth_server *server = argument;
    while (atomic_load(&churning)) {
        (void)berth_handle_pause(server, atomic_load(&opened));
        (void)berth_handle_resume(server, atomic_load(&opened));
        (void)berth_handle_send(server, atomic_load(&opened), "x", 1);
    }
    return NULL;
}

static void churn_and_requests(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene);
    pthread_t thread;
    atomic_store(&opened, 0);
    atomic_store(&churning, true);
    assert_int_equal(pthread_create(&thread, NULL, close_by_handle, scene.server), 0);
    for (int i = 0; i < 200; i++) {
        berth_handle handle;
        int fd = client_of(&scene, &handle);
        assert_int_equal(berth_handle_close(scene.server, handle), BERTH_OK);
        char bytes[512];
        while (read(fd, bytes, sizeof bytes) > 0) {
        }
        close(fd);
    }
    atomic_store(&churning, false);
    pthread_join(thread, NULL);
    LIVE_UNTIL(atomic_load(&closed) == 200);
    live_end(scene.server);
}

static bool refused(const struct berth_address *at)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(at->port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    const struct timeval patience = {.tv_sec = 1}; /* a queue that is full answers nothing */
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience), 0);
    bool no =
        connect(fd, (const struct sockaddr *)&address, sizeof address) < 0 && errno == ECONNREFUSED;
    close(fd);
    return no;
}

static void listening_stops_and_starts(struct berth_config *config, uint32_t listeners)
{
    enum { ROUNDS = 5 };
    struct scene scene = {.config = *config};
    scene.server = live_create(&scene.config);
    for (uint32_t i = 0; i < listeners; i++) {
        scene.at = live_listen_on(scene.server, &the_protocol);
    }
    struct berth_error error = {.text = ""};
    assert_int_equal(berth_server_listening(scene.server, false, &error), BERTH_E_STATE);
    live_start(scene.server);
    berth_handle handle;
    int fd = client_of(&scene, &handle);
    for (int i = 0; i < ROUNDS; i++) {
        assert_int_equal(berth_server_listening(scene.server, false, &error), BERTH_OK);
        assert_int_equal(berth_server_listening(scene.server, true, &error), BERTH_OK);
        assert_int_equal(berth_server_listening(scene.server, false, &error), BERTH_OK);
        LIVE_UNTIL(refused(&scene.at));
        live_tell(fd, "on\n", 3);
        live_hear(fd, "on\n", 3); /* who is there goes on */
        assert_int_equal(berth_server_listening(scene.server, true, &error), BERTH_OK);
        LIVE_UNTIL(!refused(&scene.at));
        int second = live_client(&scene.at);
        live_tell(second, "new\n", 4);
        live_hear(second, "new\n", 4);
        close(second);
    }
    assert_int_equal(berth_server_listening(scene.server, false, &error), BERTH_OK);
    LIVE_UNTIL(refused(&scene.at));
    close(fd);
    live_end(scene.server);
}

static void one_address_stops_and_starts(void **state)
{
    (void)state;
    struct berth_config config;
    live_settings(&config);
    config.conn_space_bytes = 40;
    listening_stops_and_starts(&config, 1);
}

static void two_addresses_two_workers(void **state)
{
    (void)state;
    struct berth_config config;
    live_settings(&config);
    config.conn_space_bytes = 40;
    config.workers = 2;
    listening_stops_and_starts(&config, 2);
}

/* A stop, a start and a stop again while a worker has not seen the first: what was asked for last
 * is what becomes of it. */
static void listening_is_asked_for_all_the_time(void **state)
{
    (void)state;
    enum { ROUNDS = 300, TIMES = 7 };
    struct scene scene;
    live_settings(&scene.config);
    scene.config.workers = 4;
    scene_open(&scene);
    for (int i = 0; i < ROUNDS; i++) {
        for (int n = 0; n < TIMES; n++) {
            assert_int_equal(berth_server_listening(scene.server, n % 2 == 1, NULL), BERTH_OK);
            if (n % 3 == i % 3) {
                sched_yield();
            }
        }
        LIVE_UNTIL(refused(&scene.at));
        assert_int_equal(berth_server_listening(scene.server, true, NULL), BERTH_OK);
    }
    LIVE_UNTIL(!refused(&scene.at));
    int fd = live_client(&scene.at);
    live_tell(fd, "hi\n", 3);
    live_hear(fd, "hi\n", 3);
    close(fd);
    live_end(scene.server);
}

/* One of two addresses is taken meanwhile: then neither is listened on, and both are at last. */
static void all_addresses_or_none(void **state)
{
    (void)state;
    struct scene scene;
    live_settings(&scene.config);
    scene.config.conn_space_bytes = 40;
    scene.server = live_create(&scene.config);
    struct berth_address first = live_listen_on(scene.server, &the_protocol);
    scene.at = live_listen_on(scene.server, &the_protocol);
    live_start(scene.server);
    assert_int_equal(berth_server_listening(scene.server, false, NULL), BERTH_OK);
    LIVE_UNTIL(refused(&first) && refused(&scene.at));
    const struct sockaddr_in taken = {.sin_family = AF_INET,
                                      .sin_port = htons(scene.at.port),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&taken, sizeof taken), 0);
    assert_int_equal(listen(fd, 1), 0);
    struct berth_error error = {.text = ""};
    assert_int_equal(berth_server_listening(scene.server, true, &error), BERTH_E_SYSTEM);
    assert_string_equal(error.setting, "address");
    assert_true(refused(&first));
    close(fd);
    assert_int_equal(berth_server_listening(scene.server, true, &error), BERTH_OK);
    assert_false(refused(&first));
    assert_false(refused(&scene.at));
    live_end(scene.server);
}

/* Clients that wait when listening stops are served, not reset. */
static void who_waits_is_served(void **state)
{
    (void)state;
    enum { CLIENTS = 30 };
    struct scene scene;
    scene_begin(&scene);
    int fds[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = live_client(&scene.at);
    }
    assert_int_equal(berth_server_listening(scene.server, false, NULL), BERTH_OK);
    for (int i = 0; i < CLIENTS; i++) {
        live_tell(fds[i], "x\n", 2);
        live_hear(fds[i], "x\n", 2);
        close(fds[i]);
    }
    live_end(scene.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE_ON_BOTH(a_handle_closes),
        LIVE_ON_BOTH(nonsense_is_stale),
        LIVE_ON_BOTH(a_paused_connection_waits),
        LIVE_ON_BOTH(sends_keep_their_order),
        LIVE_ON_BOTH(full_posts_are_told),
        LIVE_ON_BOTH(a_refused_send_waits_for_posts),
        LIVE_ON_BOTH(everybody_is_visited),
        LIVE_ON_BOTH(churn_and_requests),
        LIVE_ON_BOTH(one_address_stops_and_starts),
        LIVE_ON_BOTH(two_addresses_two_workers),
        LIVE_ON_BOTH(who_waits_is_served),
        LIVE_ON_BOTH(listening_is_asked_for_all_the_time),
        LIVE_ON_BOTH(what_never_fits_is_too_large),
        LIVE_ON_BOTH(a_visit_of_nobody_is_refused),
        LIVE_ON_BOTH(a_visit_of_a_server_that_never_starts_ends_with_it),
        LIVE_ON_BOTH(all_addresses_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
