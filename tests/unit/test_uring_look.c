/* Resets that the kernel does not tell are found by looking, and a receive that goes on is left
 * alone.
 *
 * When the kernel loses a reset is a race inside of it that a test cannot win at will. So here a
 * receive is deaf for another reason: it was started on one socket, and io is then told that its
 * descriptor is another, which was reset.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/uring.h"

#define SOCKS_MAX     8
#define RECEIVE_BYTES 4096
#define RECEIVE_COUNT 8
#define LATE_NS       UINT64_C(1000000000) /* ten times as long as it may take */
#define EVENTS        16

#define ACCEPT_TOKEN  io_token(IO_ACCEPT, 1, 1)
#define RECEIVE_TOKEN io_token(IO_RECEIVE, 1, 2)

struct rig {
    struct io_listener listener;
    struct io *io;
    uint8_t *buffers;
    int client; /* a plain socket */
    int sock;   /* its other end, of io */
};

static int open_rig(struct rig *rig)
{
    struct berth_address at = {.family = BERTH_IPV4, .bytes = {127, 0, 0, 1}};
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
    };
    return result < 0 ? result : io_open(&io_backend_uring, &config, &rig->io);
}

static int connect_to(const struct rig *rig)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(rig->listener.address.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)(const void *)&to, sizeof to), 0);
    return fd;
}

/* The next completion, which must come within LATE_NS; false if none is wanted and none came. */
static bool take(struct rig *rig, struct io_completion *out, uint64_t patience_ns)
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

static int accept_one(struct rig *rig)
{
    struct io_completion done;
    io_accept(rig->io, ACCEPT_TOKEN);
    assert_true(take(rig, &done, LATE_NS));
    assert_true(done.result >= 0);
    return done.result;
}

static void expect_bytes(struct rig *rig, const char *bytes)
{
    struct io_completion done;
    assert_int_equal(send(rig->client, bytes, strlen(bytes), MSG_NOSIGNAL), strlen(bytes));
    assert_true(take(rig, &done, LATE_NS));
    assert_int_equal(done.result, strlen(bytes));
    assert_memory_equal(done.data, bytes, strlen(bytes));
    assert_true((done.flags & IO_MORE) != 0);
    io_lease_return(rig->io, done.lease);
}

static int begin(void **state)
{
    static struct rig rig;
    memset(&rig, 0, sizeof rig);
    *state = &rig;
    assert_int_equal(open_rig(&rig), 0);
    rig.client = connect_to(&rig);
    rig.sock = accept_one(&rig);
    io_receive(rig.io, rig.sock, RECEIVE_TOKEN);
    expect_bytes(&rig, "hello");
    return 0;
}

static int end(void **state)
{
    struct rig *rig = *state;
    io_close(rig->io, rig->sock, true);
    io_close_all(rig->io);
    io_listener_close(&io_backend_uring, NULL, &rig->listener);
    memory_release(rig->buffers, (size_t)RECEIVE_BYTES * RECEIVE_COUNT);
    close(rig->client);
    return 0;
}

/* The end of an accepted connection whose client has reset it. */
static int reset_end(struct rig *rig)
{
    int client = connect_to(rig);
    int fd = accept4(rig->listener.id, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &none, sizeof none), 0);
    close(client);
    return fd;
}

static void a_reset_that_was_not_told_is_found(void **state)
{
    struct rig *rig = *state;
    struct io_completion done;
    struct io_sock *s = &rig->io->socks[rig->sock];
    int deaf = s->fd;
    s->fd = reset_end(rig);
    assert_true(take(rig, &done, LATE_NS));
    assert_int_equal(done.token, RECEIVE_TOKEN);
    assert_int_equal(done.result, -ECONNRESET);
    assert_int_equal(done.flags & IO_MORE, 0);
    assert_false(io_in_flight(rig->io, rig->sock, IO_RECEIVE));
    close(deaf);
}

/* Whoever wants its end gets it as ever, also while it is being looked after. */
static void a_cancel_that_is_wished_for_is_told(void **state)
{
    struct rig *rig = *state;
    struct io_completion done;
    struct uring *u = (struct uring *)rig->io;
    struct io_sock *s = &rig->io->socks[rig->sock];
    int deaf = s->fd;
    s->fd = reset_end(rig);
    u->heard_due_ns = 0; /* the reap below begins with the look */
    io_cancel(rig->io, rig->sock, IO_RECEIVE);
    assert_true(take(rig, &done, LATE_NS));
    assert_int_equal(done.result, -ECANCELED);
    close(deaf);
}

static void one_that_goes_on_is_left_alone(void **state)
{
    struct rig *rig = *state;
    struct io_completion done;
    for (int i = 0; i < 3; i++) {
        assert_false(take(rig, &done, LATE_NS / 4)); /* looked at meanwhile, and nothing is said */
        expect_bytes(rig, "more");
    }
    /* Its own end of stream, behind which there is nothing to find. */
    assert_int_equal(shutdown(rig->client, SHUT_WR), 0);
    assert_true(take(rig, &done, LATE_NS));
    assert_int_equal(done.result, 0);
    assert_false(take(rig, &done, LATE_NS / 4));
}

/* More sockets than there are places come and go within one look. */
static void those_that_were_closed_are_forgotten(void **state)
{
    struct rig *rig = *state;
    struct io_completion done;
    struct uring *u = (struct uring *)rig->io;
    for (int i = 0; i < URING_HEARD_MAX + 10; i++) {
        int kept = rig->client;
        rig->client = connect_to(rig);
        int sock = accept_one(rig);
        io_receive(rig->io, sock, RECEIVE_TOKEN);
        expect_bytes(rig, "brief");
        close(rig->client);
        assert_true(take(rig, &done, LATE_NS));
        assert_int_equal(done.result, 0);
        io_close(rig->io, sock, false);
        rig->client = kept;
        assert_true(u->heard_count <= URING_HEARD_MAX);
        u->heard_due_ns = UINT64_MAX; /* only want of room makes it look */
    }
    assert_true(u->heard_count < URING_HEARD_MAX);
    io_cancel(rig->io, rig->sock, IO_RECEIVE);
    assert_true(take(rig, &done, LATE_NS));
    assert_int_equal(done.result, -ECANCELED);
}

int main(void)
{
    struct rig rig = {0};
    int result = open_rig(&rig);
    if (result < 0) {
        fprintf(stderr, "no io_uring here: %s\n", strerror(-result));
        return 77;
    }
    io_close_all(rig.io);
    io_listener_close(&io_backend_uring, NULL, &rig.listener);
    memory_release(rig.buffers, (size_t)RECEIVE_BYTES * RECEIVE_COUNT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_reset_that_was_not_told_is_found, begin, end),
        cmocka_unit_test_setup_teardown(a_cancel_that_is_wished_for_is_told, begin, end),
        cmocka_unit_test_setup_teardown(one_that_goes_on_is_left_alone, begin, end),
        cmocka_unit_test_setup_teardown(those_that_were_closed_are_forgotten, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
