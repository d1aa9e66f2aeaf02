/* Fairness when receive buffers are short: many clients that never stop sending, few buffers. Every
 * one of them is served, on both backends. (Once about 20 connections owned all buffers for ever,
 * and a receive that was started twice in one turn stopped the program.) Another: a message behind
 * urgent data is delivered. One server and its clients per test; bounded in time. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <berth/berth.h>

#define CLIENTS       100
#define MESSAGE_BYTES 100
#define BUFFERS       8
#define BUFFER_BYTES  4096
#define BLOCK_BYTES   (630 * (4 + MESSAGE_BYTES)) /* whole messages, about 64 KiB */
#define ROUNDS        3                           /* each client is served again in each */
#define PATIENCE_S    4

static _Atomic uint32_t handled[CLIENTS]; /* messages, by the number in each */
static _Atomic uint32_t urgent_bytes;

static void count_messages(struct berth_conn *conn, const struct berth_message *messages,
                           size_t count)
{
    (void)conn;
    for (size_t i = 0; i < count; i++) {
        atomic_fetch_add(&handled[messages[i].data[0]], 1);
    }
}

static void count_bytes(struct berth_conn *conn, const struct berth_message *message)
{
    (void)conn;
    atomic_fetch_add(&urgent_bytes, message->size);
}

static struct berth_server *serve(enum berth_backend backend, struct berth_protocol *protocol,
                                  uint16_t *port)
{
    struct berth_config config;
    berth_config_init(&config);
    config.backend = backend;
    config.workers = 1;
    config.receive_buffers = BUFFERS;
    config.receive_bytes = BUFFER_BYTES;
    struct berth_server *server = NULL;
    struct berth_listen_options listen = {.protocol = protocol};
    struct berth_address bound;
    assert_int_equal(berth_address_parse("127.0.0.1:0", &listen.address), BERTH_OK);
    assert_int_equal(berth_server_create(&server, &config, NULL), BERTH_OK);
    assert_int_equal(berth_listen(server, &listen, &bound, NULL), BERTH_OK);
    assert_int_equal(berth_server_start(server, NULL), BERTH_OK);
    *port = bound.port;
    return server;
}

static void end(struct berth_server *server)
{
    berth_server_stop(server);
    berth_server_stop(server);
    assert_true(berth_server_wait(server, PATIENCE_S * 1000));
    berth_server_destroy(server);
}

static int dial(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static bool all_served(void)
{
    for (int i = 0; i < CLIENTS; i++) {
        if (atomic_load(&handled[i]) == 0) {
            return false;
        }
    }
    return true;
}

static void forget_served(void)
{
    for (int i = 0; i < CLIENTS; i++) {
        atomic_store(&handled[i], 0);
    }
}

static bool in_time(const struct timespec *since)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec - since->tv_sec < PATIENCE_S;
}

static void nobody_starves_on(enum berth_backend backend)
{
    static uint8_t block[BLOCK_BYTES];
    struct berth_protocol protocol = {.framing = berth_framing_seed(MESSAGE_BYTES),
                                      .on_messages = count_messages};
    uint16_t port;
    int clients[CLIENTS];
    size_t sent[CLIENTS] = {0};
    forget_served();
    struct berth_server *server = serve(backend, &protocol, &port);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = dial(port);
    }
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    int rounds = 0;
    while (rounds < ROUNDS && in_time(&start)) {
        if (all_served()) {
            rounds++;
            forget_served();
        }
        for (int i = 0; i < CLIENTS; i++) {
            for (size_t at = 0; at < BLOCK_BYTES; at += 4 + MESSAGE_BYTES) {
                block[at] = MESSAGE_BYTES;
                block[at + 4] = (uint8_t)i;
            }
            ssize_t taken = send(clients[i], block + sent[i], BLOCK_BYTES - sent[i],
                                 MSG_DONTWAIT | MSG_NOSIGNAL);
            sent[i] = (sent[i] + (taken > 0 ? (size_t)taken : 0)) % BLOCK_BYTES;
        }
    }
    end(server);
    for (int i = 0; i < CLIENTS; i++) {
        close(clients[i]);
    }
    assert_int_equal(rounds, ROUNDS);
}

static void urgent_data_hides_nothing_on(enum berth_backend backend)
{
    struct berth_protocol protocol = {.framing = berth_framing_seed(MESSAGE_BYTES),
                                      .on_message = count_bytes};
    uint16_t port;
    atomic_store(&urgent_bytes, 0);
    struct berth_server *server = serve(backend, &protocol, &port);
    int client = dial(port);
    /* The urgent byte is taken out of the stream; what stands before and behind it is a message. */
    assert_int_equal(send(client, "\x02\0\0\0a", 5, 0), 5);
    assert_int_equal(send(client, "!", 1, MSG_OOB), 1);
    assert_int_equal(send(client, "b", 1, 0), 1);
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    while (atomic_load(&urgent_bytes) < 2 && in_time(&start)) {
    }
    uint32_t bytes = atomic_load(&urgent_bytes);
    end(server);
    close(client);
    assert_int_equal(bytes, 2);
}

static void nobody_starves(void **state)
{
    (void)state;
    nobody_starves_on(BERTH_BACKEND_EPOLL);
    nobody_starves_on(BERTH_BACKEND_URING);
}

static void urgent_data_hides_nothing(void **state)
{
    (void)state;
    urgent_data_hides_nothing_on(BERTH_BACKEND_EPOLL);
    urgent_data_hides_nothing_on(BERTH_BACKEND_URING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_starves),
        cmocka_unit_test(urgent_data_hides_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
