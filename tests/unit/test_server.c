/* The public API on real sockets, each test on both backends: the order of a server's life, what is
 * refused, and what each call inside a callback returns. Clients are plain blocking sockets, or a
 * second Berth server that connects. Waits are bounded; nothing sleeps and no port is fixed.
 *
 * Callbacks run on a worker's thread and write to `seen`; the tests read it after
 * berth_server_wait.
 */
#include "unit/help_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE 64

struct seen {
    uint32_t opens;
    uint32_t closes;
    uint32_t messages;
    uint32_t batches;
    uint32_t drains;
    uint32_t exceeded;
    uint32_t failures;
    uint32_t attempts;
    uint32_t checks; /* expectations that a callback met */
    int system;
    enum berth_reason reason;
    berth_handle handle;
    struct berth_server *server; /* of the callbacks, when they need it */
    struct berth_connect_options how;
    uint32_t per_worker[3];
};

static struct seen seen;

/* An expectation inside a callback: cmocka must not jump out of a worker's thread. */
#define MEET(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not met: %s\n", __FILE__, __LINE__, #condition);               \
            abort();                                                                               \
        }                                                                                          \
        seen.checks++;                                                                             \
    } while (0)

/* A server of one protocol with these settings, running. */
static struct berth_server *serve(const struct berth_config *config,
                                  const struct berth_protocol *protocol,
                                  struct berth_address *bound)
{
    struct berth_server *server = live_create(config);
    memset(&seen, 0, sizeof seen);
    seen.server = server;
    *bound = live_listen_on(server, protocol);
    live_start(server);
    return server;
}

/* ------------------------------------------------------------------------- callbacks for many */

static void note_open(struct berth_conn *conn)
{
    MEET(conn != NULL);
    seen.opens++;
}

static void note_close(struct berth_conn *conn, enum berth_reason reason)
{
    MEET(berth_send(conn, "late", 4) == BERTH_E_CLOSED);
    seen.closes++;
    seen.reason = reason;
}

static void echo(struct berth_conn *conn, const struct berth_message *message)
{
    seen.messages++;
    MEET(berth_reply(conn, message, message->data, message->size) == BERTH_OK);
}

/* For several workers, which must not share `seen`. */
static void only_echo(struct berth_conn *conn, const struct berth_message *message)
{
    (void)berth_reply(conn, message, message->data, message->size);
}

static struct berth_protocol echoes(void)
{
    return (struct berth_protocol){.framing = berth_framing_seed(MESSAGE),
                                   .on_open = note_open,
                                   .on_message = echo,
                                   .on_close = note_close};
}

/* --------------------------------------------------------------------------------- a server's life
 */

static void orders_of_a_life(void **state)
{
    (void)state;
    struct berth_config config;
    struct berth_protocol protocol = echoes();
    struct berth_error error;
    live_settings(&config);
    berth_server_destroy(NULL);
    berth_server_destroy(live_create(&config));
    struct berth_server *server = live_create(&config);
    (void)live_listen_on(server, &protocol);
    assert_true(berth_server_wait(server, 0)); /* it does not run */
    berth_server_destroy(server);

    server = live_create(&config);
    live_start(server); /* with nothing to do */
    assert_int_equal(berth_server_start(server, &error), BERTH_E_STATE);
    const struct berth_listen_options late = {.address = live_loopback, .protocol = &protocol};
    assert_int_equal(berth_listen(server, &late, NULL, &error), BERTH_E_STATE);
    const struct berth_connect_options foreign = {
        .address = {.family = BERTH_IPV4, .port = 9, .bytes = {127, 0, 0, 1}},
        .protocol = &protocol};
    assert_int_equal(berth_connect(server, &foreign), BERTH_E_STATE);
    assert_false(berth_server_wait(server, 0));
    assert_false(berth_server_wait(server, 20));
    berth_server_stop(server);
    assert_true(berth_server_wait(server, -1));
    assert_true(berth_server_wait(server, -1));
    assert_int_equal(berth_server_start(server, &error), BERTH_E_STATE);
    berth_server_stop(server); /* after its end: nothing happens */
    berth_server_destroy(server);
}

static void a_stop_before_the_start_is_kept(void **state)
{
    (void)state;
    struct berth_config config;
    struct berth_protocol protocol = echoes();
    live_settings(&config);
    for (uint32_t workers = 1; workers <= 3; workers++) {
        config.workers = workers;
        struct berth_server *server = live_create(&config);
        (void)live_listen_on(server, &protocol);
        berth_server_stop(server);
        live_start(server);
        assert_true(berth_server_wait(server, LIVE_WAIT_MS));
        berth_server_destroy(server);
    }
}

static void expect_refused(const struct berth_config *config, const char *setting)
{
    struct berth_server *server = NULL;
    struct berth_error error = {.text = ""};
    assert_int_equal(berth_server_create(&server, config, &error), BERTH_E_INVALID);
    assert_null(server);
    assert_int_equal(error.code, BERTH_E_INVALID);
    assert_string_equal(error.setting, setting);
    assert_non_null(strstr(error.text, setting));
    assert_int_equal(berth_server_create(&server, config, NULL), BERTH_E_INVALID);
}

static void settings_are_refused_by_name(void **state)
{
    (void)state;
    struct berth_config config;
    live_settings(&config);
    config.receive_buffers = 3;
    expect_refused(&config, "receive_buffers");
    live_settings(&config);
    config.connections_max = 0;
    expect_refused(&config, "connections_max");
    live_settings(&config);
    config.send_low_bytes = config.send_high_bytes + 1;
    expect_refused(&config, "send_low_bytes");
    live_settings(&config);
    config.workers = 1024;
    expect_refused(&config, "workers");
}

static int try_listen(struct berth_server *server, const struct berth_protocol *protocol,
                      struct berth_address address, int backlog, const char **setting)
{
    struct berth_error error = {.text = ""};
    const struct berth_listen_options options = {
        .address = address, .protocol = protocol, .backlog = backlog};
    int result = berth_listen(server, &options, NULL, &error);
    assert_int_equal(error.code, result);
    assert_true(result == BERTH_OK || error.text[0] != '\0');
    *setting = error.setting == NULL ? "" : error.setting;
    return result;
}

static void listening_is_refused_by_name(void **state)
{
    (void)state;
    struct berth_config config;
    const char *setting;
    live_settings(&config);
    struct berth_server *server = live_create(&config);
    struct berth_protocol protocol = echoes();
    assert_int_equal(try_listen(server, NULL, live_loopback, 0, &setting), BERTH_E_INVALID);
    assert_string_equal(setting, "protocol");
    assert_int_equal(try_listen(server, &protocol, (struct berth_address){0}, 0, &setting),
                     BERTH_E_INVALID);
    assert_string_equal(setting, "address");
    assert_int_equal(try_listen(server, &protocol, live_loopback, -1, &setting), BERTH_E_INVALID);
    assert_string_equal(setting, "backlog");
    struct berth_protocol bad = protocol;
    bad.framing.length_bytes = 3;
    assert_int_equal(try_listen(server, &bad, live_loopback, 0, &setting), BERTH_E_INVALID);
    assert_string_equal(setting, "length_bytes");
    bad = protocol;
    bad.framing.message_bytes_max = 1 << 29; /* far above what the pool can hold */
    assert_int_equal(try_listen(server, &bad, live_loopback, 0, &setting), BERTH_E_INVALID);
    assert_string_equal(setting, "pool_bytes");
    struct berth_address bound = live_listen_on(server, &protocol);
    assert_true(bound.port != 0);
    assert_int_equal(try_listen(server, &protocol, bound, 0, &setting), BERTH_E_SYSTEM);
    berth_server_destroy(server);
}

static void two_servers_in_one_process(void **state)
{
    (void)state;
    struct berth_config config;
    struct berth_protocol protocol = echoes();
    struct berth_address bound[2];
    live_settings(&config);
    struct berth_server *first = serve(&config, &protocol, &bound[0]);
    struct berth_server *second = live_create(&config);
    bound[1] = live_listen_on(second, &protocol);
    assert_int_not_equal(bound[0].port, bound[1].port);
    int fd = live_client(&bound[0]);
    live_tell(fd, "\3\0\0\0one", 7);
    live_hear(fd, "\3\0\0\0one", 7);
    close(fd);
    live_end(first);
    live_start(second);
    fd = live_client(&bound[1]);
    live_tell(fd, "\3\0\0\0two", 7);
    live_hear(fd, "\3\0\0\0two", 7);
    close(fd);
    live_end(second);
    assert_int_equal(seen.messages, 2);
}

/* ----------------------------------------------------------------------- serving, and the account
 */

static void the_account_is_right(void **state)
{
    (void)state;
    struct berth_config config;
    struct berth_protocol protocol = echoes();
    struct berth_address bound;
    struct berth_plan plan;
    live_settings(&config);
    struct berth_server *server = serve(&config, &protocol, &bound);
    berth_plan(server, 10, &plan);
    assert_string_equal(plan.backend, live_backend == BERTH_BACKEND_EPOLL ? "epoll" : "uring");
    assert_int_equal(plan.workers, 1);
    assert_int_equal(plan.connections_per_worker, 64);
    assert_true(plan.pool.reserved >= config.pool_bytes);
    int fds[4];
    for (int i = 0; i < 4; i++) {
        fds[i] = live_client(&bound);
        live_tell(fds[i], "\3\0\0\0one\0\0\0\0\2\0\0\0xy", 17);
        live_hear(fds[i], "\3\0\0\0one\0\0\0\0\2\0\0\0xy", 17);
    }
    assert_int_equal(live_stats_of(server).connections_open, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(shutdown(fds[i], SHUT_WR), 0);
        live_hear_end(fds[i]);
        close(fds[i]);
    }
    LIVE_UNTIL(live_stats_of(server).closed == 4);
    int fd = live_client(&bound);
    live_tell(fd, "\xff\xff\xff\xff", 4);
    live_hear_end(fd);
    close(fd);
    berth_server_stop(server);
    assert_true(berth_server_wait(server, LIVE_WAIT_MS));
    struct berth_stats stats = live_stats_of(server);
    assert_int_equal(stats.accepted, 5);
    assert_int_equal(stats.closed, 5);
    assert_int_equal(stats.connections_open, 0);
    assert_int_equal(stats.connections_most, 4);
    assert_int_equal(stats.messages_in, 12);
    assert_int_equal(stats.messages_out, 12);
    assert_int_equal(stats.bytes_in, 4 * 17 + 4);
    assert_int_equal(stats.bytes_out, 4 * 17);
    assert_int_equal(stats.refused, 1);
    assert_int_equal(seen.opens, 5);
    assert_int_equal(seen.closes, 5);
    assert_int_equal(seen.reason, BERTH_REASON_REFUSED);
    berth_server_destroy(server);
}

static void the_next_waits_until_one_leaves(void **state)
{
    (void)state;
    struct berth_config config;
    struct berth_protocol protocol = {.framing = berth_framing_seed(MESSAGE),
                                      .on_message = only_echo};
    struct berth_address bound;
    live_settings(&config);
    config.connections_max = 1;
    config.workers = 3;
    struct berth_server *server = serve(&config, &protocol, &bound);
    int first = live_client(&bound);
    live_tell(first, "\1\0\0\0a", 5);
    live_hear(first, "\1\0\0\0a", 5);
    int second = live_client(&bound);
    live_tell(second, "\1\0\0\0b", 5);
    live_tell(first, "\1\0\0\0c", 5);
    live_hear(first, "\1\0\0\0c", 5);
    assert_int_equal(live_stats_of(server).accepted, 1);
    close(first);
    live_hear(second, "\1\0\0\0b", 5);
    assert_int_equal(live_stats_of(server).connections_most, 1);
    close(second);
    live_end(server);
}

static void note_worker(struct berth_conn *conn, const struct berth_message *message)
{
    /* Three workers write here: each to its own place. */
    uint32_t worker = berth_conn_worker(conn);
    uint32_t at_open = (uint32_t)(uintptr_t)berth_conn_user(conn);
    if (worker + 1 != at_open || berth_reply(conn, message, message->data, message->size) != 0) {
        abort();
    }
    seen.per_worker[worker]++;
}

static void open_on_worker(struct berth_conn *conn)
{
    struct berth_address peer;
    if (!berth_conn_peer(conn, &peer) || peer.port == 0 || berth_conn_handle(conn) == 0) {
        abort();
    }
    berth_conn_set_user(conn, (void *)(uintptr_t)(berth_conn_worker(conn) + 1));
}

static void three_workers(void **state)
{
    (void)state;
    enum { CLIENTS = 30, ROUNDS = 20 };
    struct berth_config config;
    struct berth_protocol protocol = {.framing = berth_framing_seed(MESSAGE),
                                      .on_open = open_on_worker,
                                      .on_message = note_worker};
    struct berth_address bound;
    int fds[CLIENTS];
    live_settings(&config);
    config.workers = 3;
    struct berth_server *server = serve(&config, &protocol, &bound);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = live_client(&bound);
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            uint8_t frame[6] = {2, 0, 0, 0, (uint8_t)i, (uint8_t)round};
            live_tell(fds[i], frame, sizeof frame);
        }
        for (int i = 0; i < CLIENTS; i++) {
            uint8_t frame[6] = {2, 0, 0, 0, (uint8_t)i, (uint8_t)round};
            live_hear(fds[i], frame, sizeof frame);
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        close(fds[i]);
    }
    live_end(server);
    assert_int_equal(seen.per_worker[0] + seen.per_worker[1] + seen.per_worker[2],
                     CLIENTS * ROUNDS);
}

/* -------------------------------------------------------------------------- calls in callbacks */

/* Four messages come as one batch: the third is answered first, which ends the first two. */
static void answer_out_of_order(struct berth_conn *conn, const struct berth_message *messages,
                                size_t count)
{
    int err = 0;
    seen.batches++;
    MEET(count == 4);
    MEET(berth_reply(conn, &messages[2], "third", 5) == BERTH_OK);
    MEET(berth_reply(conn, &messages[2], "again", 5) == BERTH_E_STATE);
    MEET(berth_reply(conn, &messages[0], "first", 5) == BERTH_E_STATE);
    MEET(berth_reply_space(conn, &messages[1], 5, &err) == NULL && err == BERTH_E_STATE);
    MEET(berth_reply_space(conn, &messages[1], 5, NULL) == NULL);
    struct berth_message copy = messages[3];
    MEET(berth_reply(conn, &copy, "copy", 4) == BERTH_E_STATE); /* not the batch's own */
    MEET(berth_send(conn, "more", 4) == BERTH_OK);
    MEET(berth_reply(conn, &messages[3], "last", 4) == BERTH_OK);
}

static void replies_keep_the_order_of_their_messages(void **state)
{
    (void)state;
    struct berth_config config;
    struct berth_address bound;
    struct berth_protocol protocol = {.framing = berth_framing_seed(MESSAGE),
                                      .on_messages = answer_out_of_order};
    live_settings(&config);
    struct berth_server *server = serve(&config, &protocol, &bound);
    int fd = live_client(&bound);
    live_tell(fd, "\1\0\0\0a\1\0\0\0b\1\0\0\0c\1\0\0\0d", 20);
    live_hear(fd, "\5\0\0\0third\4\0\0\0more\4\0\0\0last", 25);
    close(fd);
    live_end(server);
    assert_int_equal(seen.batches, 1);
}

/* Replies in a row are written without a word to the queue (send.c, a run): whatever is asked or
 * said in between must find them there. Six messages of 1 byte; room was reserved for six replies
 * of up to 17 bytes, so the long one does not fit in. */
static void mix_replies(struct berth_conn *conn, const struct berth_message *messages, size_t count)
{
    static char text[500];
    memset(text, 'l', sizeof text);
    MEET(count == 6);
    MEET(berth_conn_queued_bytes(conn) == 0);
    MEET(berth_reply(conn, &messages[0], "0", 1) == BERTH_OK);
    MEET(berth_reply(conn, &messages[1], "", 0) == BERTH_OK);
    MEET(berth_conn_queued_bytes(conn) == 9);
    MEET(berth_reply(conn, &messages[2], "2", 1) == BERTH_OK);
    MEET(berth_send(conn, "between", 7) == BERTH_OK);
    MEET(berth_reply(conn, &messages[3], text, sizeof text) == BERTH_OK);
    MEET(berth_conn_queued_bytes(conn) == 9 + 5 + 11 + 504);
    MEET(berth_reply(conn, &messages[4], text, (size_t)2 << 30) == BERTH_E_TOO_LARGE);
    MEET(berth_reply(conn, &messages[4], text, SIZE_MAX) == BERTH_E_TOO_LARGE);
    MEET(berth_reply(conn, &messages[4], "4", 1) == BERTH_OK);
    MEET(berth_conn_queued_bytes(conn) == 9 + 5 + 11 + 504 + 5);
    berth_close(conn);
    MEET(berth_reply(conn, &messages[5], "5", 1) == BERTH_E_CLOSED);
    MEET(berth_conn_queued_bytes(conn) == 9 + 5 + 11 + 504 + 5);
    seen.batches++;
}

static void replies_in_a_row_count_at_once(void **state)
{
    (void)state;
    struct berth_config config;
    struct berth_address bound;
    struct berth_protocol protocol = {.framing = berth_framing_seed(MESSAGE),
                                      .on_messages = mix_replies};
    live_settings(&config);
    struct berth_server *server = serve(&config, &protocol, &bound);
    int fd = live_client(&bound);
    live_tell(fd, "\1\0\0\0a\1\0\0\0b\1\0\0\0c\1\0\0\0d\1\0\0\0e\1\0\0\0f", 30);
    live_hear(fd, "\1\0\0\0000\0\0\0\0\1\0\0\0002\7\0\0\0between\364\1\0\0", 29);
    for (size_t i = 0; i < 500; i++) {
        live_hear(fd, "l", 1);
    }
    live_hear(fd, "\1\0\0\0004", 5);
    live_hear_end(fd);
    close(fd);
    live_end(server);
    assert_int_equal(seen.batches, 1);
}

static void open_and_send(struct berth_conn *conn)
{
    static uint8_t much[1 << 20];
    int err = 0;
    uint8_t *space = berth_send_space(conn, 5, &err);
    MEET(space != NULL);
    memcpy(space, "hello", 5);
    MEET(berth_conn_queued_bytes(conn) == 9);
    MEET(berth_send(conn, much, sizeof much) == BERTH_E_TOO_LARGE); /* above send_max_bytes */
    MEET(berth_send(conn, much, (size_t)2 << 30) == BERTH_E_TOO_LARGE);
    MEET(berth_send(conn, "", 0) == BERTH_OK);
    MEET(berth_conn_find(conn, berth_conn_handle(conn)) == conn);
    MEET(berth_conn_server(conn) == seen.server);
    MEET(berth_conn_context(conn) == &seen);
    MEET(berth_conn_user(conn) == NULL && berth_conn_connect_attempts(conn) == 0);
    MEET(berth_conn_now_ns(conn) > 0 && berth_conn_random(conn) != berth_conn_random(conn));
}

static void sends_from_on_open(void **state)
{
    (void)state;
    struct berth_config config;
    struct berth_address bound;
    struct berth_protocol protocol = {
        .framing = berth_framing_seed(MESSAGE), .context = &seen, .on_open = open_and_send};
    live_settings(&config);
    config.send_max_bytes = config.send_high_bytes;
    struct berth_server *server = serve(&config, &protocol, &bound);
    int fd = live_client(&bound);
    live_hear(fd, "\5\0\0\0hello\0\0\0\0", 13);
    live_tell(fd, "\1\0\0\0x", 5); /* without on_message: done without a reply */
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    live_hear_end(fd);
    close(fd);
    live_end(server);
}

static void open_and_close(struct berth_conn *conn)
{
    seen.opens++;
    MEET(berth_send(conn, "bye", 3) == BERTH_OK);
    berth_close(conn);
    berth_close(conn);
    MEET(berth_send(conn, "bye", 3) == BERTH_E_CLOSED);
}

static void message_and_close(struct berth_conn *conn, const struct berth_message *message)
{
    echo(conn, message);
    berth_close(conn);
    MEET(berth_reply(conn, message, "x", 1) == BERTH_E_CLOSED);
}

static void messages_and_close(struct berth_conn *conn, const struct berth_message *messages,
                               size_t count)
{
    MEET(count >= 1);
    message_and_close(conn, &messages[0]);
}

static void close_inside_callbacks(void **state)
{
    (void)state;
    struct berth_config config;
    struct berth_address bound;
    live_settings(&config);
    for (int where = 0; where < 3; where++) {
        struct berth_protocol protocol = {.framing = berth_framing_seed(MESSAGE),
                                          .on_open = where == 0 ? open_and_close : note_open,
                                          .on_message = where == 1 ? message_and_close : NULL,
                                          .on_messages = where == 2 ? messages_and_close : NULL,
                                          .on_close = note_close};
        struct berth_server *server = serve(&config, &protocol, &bound);
        int fd = live_client(&bound);
        if (where > 0) {
            live_tell(fd, "\3\0\0\0bye\3\0\0\0two\3\0", 16);
        }
        live_hear(fd, "\3\0\0\0bye", 7);
        live_hear_end(fd);
        close(fd);
        LIVE_UNTIL(live_stats_of(server).closed == 1);
        live_end(server);
        assert_int_equal(seen.opens, 1);
        assert_int_equal(seen.closes, 1);
        assert_int_equal(seen.messages, where > 0 ? 1 : 0);
        assert_int_equal(seen.reason, BERTH_REASON_LOCAL);
    }
}

static void find_the_stale(struct berth_conn *conn)
{
    if (seen.opens++ == 0) {
        seen.handle = berth_conn_handle(conn);
        return;
    }
    MEET(berth_conn_find(conn, seen.handle) == NULL);
    MEET(berth_conn_find(conn, 0) == NULL);
    MEET(berth_conn_find(conn, UINT64_MAX) == NULL);
    MEET(berth_conn_find(conn, berth_conn_handle(conn) ^ (UINT64_C(1) << 54)) == NULL);
    MEET(berth_conn_handle(conn) != seen.handle);
    MEET(berth_send(conn, "ok", 2) == BERTH_OK);
}

static void stale_handles_give_null(void **state)
{
    (void)state;
    struct berth_config config;
    struct berth_address bound;
    struct berth_protocol protocol = {.framing = berth_framing_seed(MESSAGE),
                                      .on_open = find_the_stale};
    live_settings(&config);
    config.connections_max = 1; /* the slot is used again */
    struct berth_server *server = serve(&config, &protocol, &bound);
    close(live_client(&bound));
    LIVE_UNTIL(live_stats_of(server).closed == 1);
    int fd = live_client(&bound);
    live_hear(fd, "\2\0\0\0ok", 6);
    close(fd);
    live_end(server);
    assert_int_equal(seen.opens, 2);
}

/* --------------------------------------------------------------------------------- both backends
 */

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE_ON_BOTH(orders_of_a_life),
        LIVE_ON_BOTH(a_stop_before_the_start_is_kept),
        LIVE_ON_BOTH(settings_are_refused_by_name),
        LIVE_ON_BOTH(listening_is_refused_by_name),
        LIVE_ON_BOTH(two_servers_in_one_process),
        LIVE_ON_BOTH(the_account_is_right),
        LIVE_ON_BOTH(the_next_waits_until_one_leaves),
        LIVE_ON_BOTH(three_workers),
        LIVE_ON_BOTH(replies_keep_the_order_of_their_messages),
        LIVE_ON_BOTH(replies_in_a_row_count_at_once),
        LIVE_ON_BOTH(sends_from_on_open),
        LIVE_ON_BOTH(close_inside_callbacks),
        LIVE_ON_BOTH(stale_handles_give_null),
    };
    return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
