/* Servers on real sockets and blocking clients for them, for the tests of the public API. Every
 * wait is bounded by LIVE_WAIT_MS and yields; a failure ends the test (cmocka).
 */
#include "unit/help_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

enum berth_backend live_backend;

const struct berth_address live_loopback = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}};

int live_on_epoll(void **state)
{
    (void)state;
    live_backend = BERTH_BACKEND_EPOLL;
    return 0;
}

int live_on_uring(void **state)
{
    (void)state;
    live_backend = BERTH_BACKEND_URING;
    return 0;
}

/* --------------------------------------------------------------------------------- the servers */

void live_settings(struct berth_config *config)
{
    berth_config_init(config);
    config->backend = live_backend;
    config->workers = 1;
    config->connections_max = 64;
    config->pool_bytes = 16 << 20;
}

struct berth_server *live_create(const struct berth_config *config)
{
    struct berth_server *server = NULL;
    struct berth_error error = {.text = ""};
    if (berth_server_create(&server, config, &error) != BERTH_OK) {
        fail_msg("create: %s", error.text);
    }
    return server;
}

struct berth_address live_listen_on(struct berth_server *server,
                                    const struct berth_protocol *protocol)
{
    struct berth_address bound = {0};
    struct berth_error error = {.text = ""};
    const struct berth_listen_options options = {.address = live_loopback, .protocol = protocol};
    if (berth_listen(server, &options, &bound, &error) != BERTH_OK) {
        fail_msg("listen: %s", error.text);
    }
    return bound;
}

void live_start(struct berth_server *server)
{
    struct berth_error error = {.text = ""};
    if (berth_server_start(server, &error) != BERTH_OK) {
        fail_msg("start: %s", error.text);
    }
}

void live_end(struct berth_server *server)
{
    berth_server_stop(server);
    assert_true(berth_server_wait(server, LIVE_WAIT_MS));
    berth_server_destroy(server);
}

uint64_t live_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct berth_stats live_stats_of(const struct berth_server *server)
{
    struct berth_stats stats;
    berth_server_stats(server, &stats);
    return stats;
}

/* ---------------------------------------------------------------------------------- the client */

int live_client(const struct berth_address *to)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(to->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct timeval limit = {.tv_sec = LIVE_WAIT_MS / 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    const struct sockaddr *at = (const struct sockaddr *)(const void *)&address;
    assert_int_equal(connect(fd, at, sizeof address), 0);
    return fd;
}

void live_tell(int fd, const void *bytes, size_t count)
{
    assert_int_equal(send(fd, bytes, count, MSG_NOSIGNAL), count);
}

/* Receives once. A ring that this thread closed a while ago (the self-test of a create) may still
 * interrupt a call. */
static ssize_t receive(int fd, uint8_t *bytes, size_t count)
{
    ssize_t got;
    do {
        got = recv(fd, bytes, count, 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        fail_msg("receive: %s", strerror(errno));
    }
    return got;
}

void live_hear(int fd, const void *expected, size_t count)
{
    uint8_t got[256];
    assert_true(count <= sizeof got);
    for (size_t heard = 0; heard < count;) {
        ssize_t more = receive(fd, got + heard, count - heard);
        if (more == 0) {
            fail_msg("the stream ended after %zu of %zu bytes", heard, count);
        }
        heard += (size_t)more;
    }
    assert_memory_equal(got, expected, count);
}

void live_hear_end(int fd)
{
    uint8_t byte;
    assert_int_equal(receive(fd, &byte, 1), 0);
}
