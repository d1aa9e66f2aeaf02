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

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit/help_ring.h"

static int begin(void **state)
{
    static struct ring_rig rig;
    *state = &rig;
    ring_rig_begin(&rig, 0);
    return 0;
}

static int end(void **state)
{
    ring_rig_end(*state);
    return 0;
}

/* The end of an accepted connection whose client has reset it. */
static int reset_end(struct ring_rig *rig)
{
    int client = ring_rig_connect(rig);
    int fd = accept4(rig->listener.id, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &none, sizeof none), 0);
    close(client);
    return fd;
}

static void a_reset_that_was_not_told_is_found(void **state)
{
    struct ring_rig *rig = *state;
    struct io_completion done;
    struct io_sock *s = &rig->io->socks[rig->sock];
    int deaf = s->fd;
    s->fd = reset_end(rig);
    assert_true(ring_rig_take(rig, &done, RING_LATE_NS));
    assert_int_equal(done.token, RING_RECEIVE);
    assert_int_equal(done.result, -ECONNRESET);
    assert_int_equal(done.flags & IO_MORE, 0);
    assert_false(io_in_flight(rig->io, rig->sock, IO_RECEIVE));
    close(deaf);
}

/* Whoever wants its end gets it as ever, also while it is being looked after. */
static void a_cancel_that_is_wished_for_is_told(void **state)
{
    struct ring_rig *rig = *state;
    struct io_completion done;
    struct uring *u = (struct uring *)rig->io;
    struct io_sock *s = &rig->io->socks[rig->sock];
    int deaf = s->fd;
    s->fd = reset_end(rig);
    u->heard_due_ns = 0; /* the reap below begins with the look */
    io_cancel(rig->io, rig->sock, IO_RECEIVE);
    assert_true(ring_rig_take(rig, &done, RING_LATE_NS));
    assert_int_equal(done.result, -ECANCELED);
    close(deaf);
}

static void one_that_goes_on_is_left_alone(void **state)
{
    struct ring_rig *rig = *state;
    struct io_completion done;
    for (int i = 0; i < 3; i++) {
        /* It is looked at meanwhile, and nothing is said. */
        assert_false(ring_rig_take(rig, &done, RING_LATE_NS / 4));
        ring_rig_expect(rig, "more");
    }
    /* Its own end of stream, behind which there is nothing to find. */
    assert_int_equal(shutdown(rig->client, SHUT_WR), 0);
    assert_true(ring_rig_take(rig, &done, RING_LATE_NS));
    assert_int_equal(done.result, 0);
    assert_false(ring_rig_take(rig, &done, RING_LATE_NS / 4));
}

/* More sockets than there are places come and go within one look. */
static void those_that_were_closed_are_forgotten(void **state)
{
    struct ring_rig *rig = *state;
    struct io_completion done;
    struct uring *u = (struct uring *)rig->io;
    for (int i = 0; i < URING_HEARD_MAX + 10; i++) {
        int kept = rig->client;
        rig->client = ring_rig_connect(rig);
        int sock = ring_rig_accept(rig);
        io_receive(rig->io, sock, RING_RECEIVE);
        ring_rig_expect(rig, "brief");
        close(rig->client);
        assert_true(ring_rig_take(rig, &done, RING_LATE_NS));
        assert_int_equal(done.result, 0);
        io_close(rig->io, sock, false);
        rig->client = kept;
        assert_true(u->heard_count <= URING_HEARD_MAX);
        u->heard_due_ns = UINT64_MAX; /* only want of room makes it look */
    }
    assert_true(u->heard_count < URING_HEARD_MAX);
    io_cancel(rig->io, rig->sock, IO_RECEIVE);
    assert_true(ring_rig_take(rig, &done, RING_LATE_NS));
    assert_int_equal(done.result, -ECANCELED);
}

int main(void)
{
    if (!ring_rig_opens()) {
        return RING_SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_reset_that_was_not_told_is_found, begin, end),
        cmocka_unit_test_setup_teardown(a_cancel_that_is_wished_for_is_told, begin, end),
        cmocka_unit_test_setup_teardown(one_that_goes_on_is_left_alone, begin, end),
        cmocka_unit_test_setup_teardown(those_that_were_closed_are_forgotten, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
