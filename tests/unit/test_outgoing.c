/* The public API on real sockets, on both backends: what is queued and refused, how connections are
 * let go, and outgoing connections. test_server.c has a server's life and the calls in callbacks.
 *
 * Callbacks run on a worker's thread and write to `seen`; the tests read it after
 * berth_server_wait.
 */
#include "unit/help_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE 4096

struct seen {
    uint32_t opens;
    uint32_t closes;
    uint32_t drains;
    uint32_t exceeded;
    uint32_t sent;
    uint32_t heard;
    uint32_t failures;
    uint32_t attempts;
    uint32_t checks;
    int system;
    void *user;
    enum berth_reason reason;
    struct berth_connect_options how;
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

static void note_open(struct berth_conn *conn)
{
    MEET(conn != NULL);
    seen.opens++;
}

static void note_close(struct berth_conn *conn, enum berth_reason reason)
{
    char why[200] = "";
    MEET(berth_conn_why(conn, why, sizeof why) == why && why[0] != '\0');
    seen.closes++;
    seen.reason = reason;
}

static struct berth_server *serve(const struct berth_config *config,
                                  const struct berth_protocol *protocol,
                                  struct berth_address *bound)
{
    struct berth_server *server = live_create(config);
    memset(&seen, 0, sizeof seen);
    *bound = live_listen_on(server, protocol);
    live_start(server);
    return server;
}

/* ---------------------------------------------------------------------- what is queued, refused */

#define PUSHES     20000
#define PUSH_BYTES 1000

static void push(struct berth_conn *conn)
{
    uint8_t message[PUSH_BYTES];
    for (; seen.sent < PUSHES; seen.sent++) {
        memset(message, (int)(seen.sent & 0xff), sizeof message);
        int result = berth_send(conn, message, sizeof message);
        if (result == BERTH_E_WOULD_EXCEED) {
            seen.exceeded++;
            return;
        }
        MEET(result == BERTH_OK);
    }
    berth_close(conn); /* also inside on_drained */
}

static void drained(struct berth_conn *conn)
{
    seen.drains++;
    MEET(seen.drains == seen.exceeded);
    MEET(berth_conn_queued_bytes(conn) <= 64 * 1024);
    push(conn);
}

static void on_drained_follows_every_refusal(void **state)
{
    (void)state;
    struct berth_config config;
    struct berth_address bound;
    struct berth_protocol protocol = {.framing = berth_framing_seed(MESSAGE),
                                      .on_open = push,
                                      .on_drained = drained,
                                      .on_close = note_close};
    live_settings(&config);
    config.send_max_bytes = config.send_high_bytes;
    struct berth_server *server = serve(&config, &protocol, &bound);
    int fd = live_client(&bound);
    for (uint32_t i = 0; i < PUSHES; i++) {
        uint8_t frame[4 + PUSH_BYTES] = {PUSH_BYTES & 0xff, PUSH_BYTES >> 8};
        memset(frame + 4, (int)(i & 0xff), PUSH_BYTES);
        for (size_t at = 0; at < sizeof frame; at += 251) {
            size_t left = sizeof frame - at;
            live_hear(fd, frame + at, left < 251 ? left : 251);
        }
    }
    live_hear_end(fd);
    close(fd);
    LIVE_UNTIL(live_stats_of(server).closed == 1);
    live_end(server);
    assert_int_equal(seen.reason, BERTH_REASON_LOCAL);
    assert_true(seen.drains > 0 && seen.drains == seen.exceeded);
}

static void send_what_breaks_the_frame(struct berth_conn *conn)
{
    MEET(berth_send(conn, "a\r\nb", 4) == BERTH_E_FRAME);
    MEET(berth_send(conn, "a\r", 2) == BERTH_OK); /* "a\r" "\r\n" is itself */
    MEET(berth_send(conn, "", 0) == BERTH_OK);
}

static void reply_what_breaks_the_frame(struct berth_conn *conn,
                                        const struct berth_message *message)
{
    MEET(berth_reply(conn, message, "\r\n", 2) == BERTH_E_FRAME);
    MEET(berth_reply(conn, message, "fine", 4) == BERTH_OK); /* the message had not ended */
}

static void a_message_with_its_own_delimiter_is_refused(void **state)
{
    (void)state;
    struct berth_config config;
    struct berth_address bound;
    struct berth_protocol protocol = {.framing = {.kind = BERTH_FRAMING_DELIMITER,
                                                  .message_bytes_max = MESSAGE,
                                                  .delimiter = "\r\n",
                                                  .delimiter_bytes = 2},
                                      .on_open = send_what_breaks_the_frame,
                                      .on_message = reply_what_breaks_the_frame};
    live_settings(&config);
    struct berth_server *server = serve(&config, &protocol, &bound);
    int fd = live_client(&bound);
    live_tell(fd, "question\r\n", 10);
    live_hear(fd, "a\r\r\n\r\nfine\r\n", 12);
    close(fd);
    live_end(server);
    assert_int_equal(seen.checks, 5);
}

static void send_other_sizes(struct berth_conn *conn)
{
    MEET(berth_send(conn, "1234567", 7) == BERTH_E_TOO_LARGE);
    MEET(berth_send(conn, "123456789", 9) == BERTH_E_TOO_LARGE);
    MEET(berth_send(conn, "12345678", 8) == BERTH_OK);
}

static void another_size_than_fixed_is_refused(void **state)
{
    (void)state;
    struct berth_config config;
    struct berth_address bound;
    struct berth_protocol protocol = {
        .framing = {.kind = BERTH_FRAMING_FIXED, .message_bytes_max = 8},
        .on_open = send_other_sizes};
    live_settings(&config);
    struct berth_server *server = serve(&config, &protocol, &bound);
    int fd = live_client(&bound);
    live_hear(fd, "12345678", 8);
    close(fd);
    live_end(server);
}

/* ---------------------------------------------------------------------------------- letting go */

static void close_at_once(struct berth_conn *conn)
{
    seen.opens++;
    MEET(berth_send(conn, "bye", 3) == BERTH_OK);
    berth_close(conn);
}

/* A client that does not end its side is let go after the linger timeout, having heard all. */
static void linger_ends(void **state)
{
    (void)state;
    struct berth_config config;
    struct berth_address bound;
    struct berth_protocol protocol = {
        .framing = berth_framing_seed(MESSAGE), .on_open = close_at_once, .on_close = note_close};
    live_settings(&config);
    config.linger_timeout_ms = 50;
    struct berth_server *server = serve(&config, &protocol, &bound);
    int fd = live_client(&bound);
    live_hear(fd, "\3\0\0\0bye", 7);
    live_hear_end(fd);
    uint64_t begin_ms = live_now_ms();
    LIVE_UNTIL(live_stats_of(server).closed == 1);
    assert_in_range(live_now_ms() - begin_ms, 0, 5000);
    live_end(server);
    close(fd);
    assert_int_equal(seen.reason, BERTH_REASON_LOCAL);
}

static void send_without_end(struct berth_conn *conn)
{
    static uint8_t much[1 << 16];
    seen.opens++;
    while (berth_send(conn, much, sizeof much) == BERTH_OK) {
    }
}

/* A client that reads nothing holds up a stop for stop_timeout_ms, and a second stop for nothing.
 */
static void stop_cuts(void **state)
{
    (void)state;
    for (int twice = 0; twice <= 1; twice++) {
        struct berth_config config;
        struct berth_address bound;
        struct berth_protocol protocol = {.framing = berth_framing_seed(MESSAGE),
                                          .on_open = send_without_end,
                                          .on_close = note_close};
        live_settings(&config);
        config.send_max_bytes = 16 << 20; /* more than any socket takes */
        config.pool_bytes = 64 << 20;
        config.stop_timeout_ms = twice ? 3600 * 1000 : 60;
        config.linger_timeout_ms = 3600 * 1000;
        struct berth_server *server = serve(&config, &protocol, &bound);
        int fd = live_client(&bound);
        LIVE_UNTIL(live_stats_of(server).sends >= 1);
        uint64_t begin_ms = live_now_ms();
        berth_server_stop(server);
        if (twice) {
            assert_false(berth_server_wait(server, 30));
            berth_server_stop(server);
            berth_server_stop(server);
        }
        assert_true(berth_server_wait(server, LIVE_WAIT_MS));
        assert_true(live_now_ms() - begin_ms >= 30); /* of 60, from the turn before on */
        berth_server_destroy(server);
        close(fd);
        assert_int_equal(seen.closes, 1);
        assert_int_equal(seen.reason, BERTH_REASON_STOP);
    }
}

static void note_message(struct berth_conn *conn, const struct berth_message *message)
{
    seen.heard++;
    MEET(berth_reply(conn, message, message->data, message->size) == BERTH_OK);
}

/* What had been sent before the stop is answered, by a client that waits in the queue, too. */
static void stop_serves_what_had_arrived(void **state)
{
    (void)state;
    enum { CLIENTS = 40 };
    struct berth_config config;
    struct berth_address bound;
    struct berth_protocol protocol = {.framing = berth_framing_seed(MESSAGE),
                                      .on_open = note_open,
                                      .on_message = note_message,
                                      .on_close = note_close};
    int fds[CLIENTS];
    live_settings(&config);
    struct berth_server *server = live_create(&config);
    memset(&seen, 0, sizeof seen);
    bound = live_listen_on(server, &protocol);
    for (int i = 0; i < CLIENTS; i++) { /* they wait: nobody serves yet */
        fds[i] = live_client(&bound);
        live_tell(fds[i], "\3\0\0\0one\3\0\0\0two", 14);
    }
    berth_server_stop(server);
    live_start(server);
    for (int i = 0; i < CLIENTS; i++) {
        live_hear(fds[i], "\3\0\0\0one\3\0\0\0two", 14);
        live_hear_end(fds[i]);
        close(fds[i]);
    }
    assert_true(berth_server_wait(server, LIVE_WAIT_MS));
    berth_server_destroy(server);
    assert_int_equal(seen.opens, CLIENTS);
    assert_int_equal(seen.closes, CLIENTS);
    assert_int_equal(seen.heard, 2 * CLIENTS);
}

/* ------------------------------------------------------------------------- outgoing connections */

#define FAILURES 5 /* more than there are places */

static void note_failure(struct berth_server *server, void *user, int system, uint32_t attempts)
{
    if (++seen.failures < FAILURES) {
        MEET(berth_connect(server, &seen.how) == BERTH_OK); /* there is room again */
    }
    seen.user = user;
    seen.system = system;
    seen.attempts = attempts;
}

/* Nobody listens there: the socket is bound and never listens, so that nobody else takes it. */
static int taken_port(struct berth_address *out)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    struct sockaddr *at = (struct sockaddr *)(void *)&address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, at, size), 0);
    assert_int_equal(getsockname(fd, at, &size), 0);
    *out = live_loopback;
    out->port = ntohs(address.sin_port);
    return fd;
}

static void nobody_listens(void **state)
{
    (void)state;
    struct berth_config config;
    struct berth_address port;
    struct berth_protocol protocol = {.framing = berth_framing_seed(MESSAGE),
                                      .on_open = note_open,
                                      .on_close = note_close,
                                      .on_connect_failed = note_failure};
    int fd = taken_port(&port);
    int user;
    memset(&seen, 0, sizeof seen);
    seen.how = (struct berth_connect_options){.address = port,
                                              .protocol = &protocol,
                                              .user = &user,
                                              .attempts = 4,
                                              .retry_ms = 1,
                                              .retry_max_ms = 2};
    live_settings(&config);
    config.connects_max = 1;
    struct berth_server *server = live_create(&config);
    assert_int_equal(berth_connect(server, &seen.how), BERTH_OK);
    live_start(server);
    LIVE_UNTIL(live_stats_of(server).connect_failures == FAILURES);
    berth_server_stop(server);
    assert_true(berth_server_wait(server, LIVE_WAIT_MS));
    struct berth_stats stats = live_stats_of(server);
    assert_int_equal(stats.connect_retries, FAILURES * 3);
    assert_int_equal(stats.connected, 0);
    assert_int_equal(stats.closed, 0);
    berth_server_destroy(server);
    close(fd);
    assert_int_equal(seen.opens, 0);
    assert_int_equal(seen.closes, 0);
    assert_int_equal(seen.failures, FAILURES);
    assert_int_equal(seen.attempts, 4);
    assert_int_equal(seen.system, ECONNREFUSED);
    assert_ptr_equal(seen.user, &user);
}

static void connecting_is_refused(void **state)
{
    (void)state;
    struct berth_config config;
    struct berth_protocol protocol = {.framing = berth_framing_seed(MESSAGE)};
    struct berth_protocol bad = {.framing = {.kind = BERTH_FRAMING_LENGTH}};
    struct berth_connect_options how = {.address = live_loopback, .protocol = &protocol};
    live_settings(&config);
    struct berth_server *server = live_create(&config);
    assert_int_equal(berth_connect(server, &how), BERTH_E_INVALID); /* port 0 */
    how.address.port = 9;
    assert_int_equal(berth_connect(server, &how), BERTH_E_FULL); /* connects_max is 0 */
    how.protocol = NULL;
    assert_int_equal(berth_connect(server, &how), BERTH_E_INVALID);
    how.protocol = &bad;
    assert_int_equal(berth_connect(server, &how), BERTH_E_INVALID);
    how.protocol = &protocol;
    how.local = (struct berth_address){.family = BERTH_IPV6};
    assert_int_equal(berth_connect(server, &how), BERTH_E_INVALID);
    how.local.family = BERTH_FAMILY_NONE;
    how.address.family = BERTH_ANY;
    assert_int_equal(berth_connect(server, &how), BERTH_E_INVALID);
    berth_server_destroy(server);

    config.connects_max = 2;
    config.workers = 3;
    server = live_create(&config);
    how.address = (struct berth_address){.family = BERTH_IPV4, .port = 9, .bytes = {127, 0, 0, 1}};
    for (uint32_t i = 0; i < 4; i++) {
        how.worker = i;
        assert_int_equal(berth_connect(server, &how), i < 2 ? BERTH_OK : BERTH_E_FULL);
    }
    berth_server_destroy(server); /* connections that nobody will make */
}

/* The same process is the client: it asks again from inside on_close. */

static void ask(struct berth_conn *conn)
{
    seen.opens++;
    MEET(berth_conn_user(conn) == &seen && berth_conn_connect_attempts(conn) == 1);
    MEET(berth_send(conn, "ask", 3) == BERTH_OK);
}

static void answered(struct berth_conn *conn, const struct berth_message *message)
{
    MEET(message->size == 3 && memcmp(message->data, "ask", 3) == 0);
    seen.heard++;
    berth_close(conn);
}

static void ask_again(struct berth_conn *conn, enum berth_reason reason)
{
    seen.closes++;
    seen.reason = reason;
    if (seen.closes < 3) {
        MEET(berth_connect(berth_conn_server(conn), &seen.how) == BERTH_OK);
    }
}

static void plain_echo(struct berth_conn *conn, const struct berth_message *message)
{
    if (berth_reply(conn, message, message->data, message->size) != BERTH_OK) {
        abort();
    }
}

static void a_client_asks_three_times(void **state)
{
    (void)state;
    struct berth_config config;
    struct berth_protocol echoes = {.framing = berth_framing_seed(MESSAGE),
                                    .on_message = plain_echo};
    struct berth_protocol asks = {.framing = berth_framing_seed(MESSAGE),
                                  .on_open = ask,
                                  .on_message = answered,
                                  .on_close = ask_again};
    struct berth_address bound;
    live_settings(&config);
    struct berth_server *server = serve(&config, &echoes, &bound);
    config.connects_max = 1;
    struct berth_server *client = live_create(&config);
    seen.how = (struct berth_connect_options){
        .address = bound, .local = live_loopback, .protocol = &asks, .user = &seen};
    assert_int_equal(berth_connect(client, &seen.how), BERTH_OK);
    live_start(client);
    LIVE_UNTIL(live_stats_of(client).closed == 3);
    berth_server_stop(client);
    assert_true(berth_server_wait(client, LIVE_WAIT_MS));
    struct berth_stats stats = live_stats_of(client);
    assert_int_equal(stats.connected, 3);
    assert_int_equal(stats.connections_open, 0);
    assert_int_equal(stats.connections_most, 0); /* of those accepted */
    berth_server_destroy(client);
    live_end(server);
    assert_int_equal(seen.heard, 3);
    assert_int_equal(seen.reason, BERTH_REASON_LOCAL);
}

static void every_reason_has_a_text(void **state)
{
    (void)state;
    for (int reason = BERTH_REASON_PEER; reason <= BERTH_REASON_SYSTEM; reason++) {
        assert_true(strlen(berth_reason_text((enum berth_reason)reason)) > 10);
    }
    assert_string_equal(berth_reason_text((enum berth_reason)0), "this number is not a reason");
}

/* --------------------------------------------------------------------------------- both backends
 */

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE_ON_BOTH(on_drained_follows_every_refusal),
        LIVE_ON_BOTH(a_message_with_its_own_delimiter_is_refused),
        LIVE_ON_BOTH(another_size_than_fixed_is_refused),
        LIVE_ON_BOTH(linger_ends),
        LIVE_ON_BOTH(stop_cuts),
        LIVE_ON_BOTH(stop_serves_what_had_arrived),
        LIVE_ON_BOTH(nobody_listens),
        LIVE_ON_BOTH(connecting_is_refused),
        LIVE_ON_BOTH(a_client_asks_three_times),
        cmocka_unit_test(every_reason_has_a_text),
    };
    return cmocka_run_group_tests_name("server, outgoing", tests, NULL, NULL);
}
