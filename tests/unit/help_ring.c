/* A rig for tests that look into the io_uring backend: one io, one listener, and one connection,
 * whose client is a plain socket of the test's.
 */
#include "unit/help_ring.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"

#define SOCKS_MAX     8
#define RECEIVE_BYTES 4096
#define RECEIVE_COUNT 8
#define EVENTS        16

static int open_rig(struct ring_rig *rig, uint32_t rest_ms)
{
    struct berth_address at = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}};
    memset(rig, 0, sizeof *rig);
    rig->buffers = memory_reserve((size_t)RECEIVE_BYTES * RECEIVE_COUNT);
    assert_non_null(rig->buffers);
    int result = io_listen(&io_backend_uring, NULL, &at, 16, &rig->listener);
    struct io_config config = {
        .socks_max = SOCKS_MAX,
        .listeners = &rig->listener,
        .listeners_count = 1,
        .receive_base = rig->buffers,
        .receive_bytes = RECEIVE_BYTES,
        .receive_count = RECEIVE_COUNT,
        .rest_ms = rest_ms,
    };
    return result < 0 ? result : io_open(&io_backend_uring, &config, &rig->io);
}

int ring_rig_connect(const struct ring_rig *rig)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(rig->listener.address.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)(const void *)&to, sizeof to), 0);
    return fd;
}

bool ring_rig_take(struct ring_rig *rig, struct io_completion *out, uint64_t patience_ns)
{
    struct io_completion events[EVENTS];
    uint64_t until_ns = io_now(rig->io) + patience_ns;
    while (io_now(rig->io) < until_ns) {
        uint32_t count = io_reap(rig->io, events, EVENTS, until_ns);
        assert_true(count <= 1);
        if (count == 1) {
            *out = events[0];
            return true;
        }
    }
    return false;
}

int ring_rig_accept(struct ring_rig *rig)
{
    struct io_completion done;
    io_accept(rig->io, RING_ACCEPT);
    assert_true(ring_rig_take(rig, &done, RING_LATE_NS));
    assert_true(done.result >= 0);
    return done.result;
}

void ring_rig_expect(struct ring_rig *rig, const char *bytes)
{
    struct io_completion done;
    assert_int_equal(send(rig->client, bytes, strlen(bytes), MSG_NOSIGNAL), strlen(bytes));
    assert_true(ring_rig_take(rig, &done, RING_LATE_NS));
    assert_int_equal(done.result, strlen(bytes));
    assert_memory_equal(done.data, bytes, strlen(bytes));
    assert_true((done.flags & IO_MORE) != 0);
    io_lease_return(rig->io, done.lease);
}

void ring_rig_begin(struct ring_rig *rig, uint32_t rest_ms)
{
    assert_int_equal(open_rig(rig, rest_ms), 0);
    rig->client = ring_rig_connect(rig);
    rig->sock = ring_rig_accept(rig);
    io_receive(rig->io, rig->sock, RING_RECEIVE);
    ring_rig_expect(rig, "hello");
}

static void close_rig(struct ring_rig *rig)
{
    io_close_all(rig->io);
    io_listener_close(&io_backend_uring, NULL, &rig->listener);
    memory_release(rig->buffers, (size_t)RECEIVE_BYTES * RECEIVE_COUNT);
}

bool ring_rig_opens(void)
{
    struct ring_rig rig;
    int result = open_rig(&rig, 0);
    if (result < 0) {
        fprintf(stderr, "no io_uring here: %s\n", strerror(-result));
        return false;
    }
    close_rig(&rig);
    return true;
}

void ring_rig_end(struct ring_rig *rig)
{
    io_close(rig->io, rig->sock, true);
    close_rig(rig);
    close(rig->client);
}
