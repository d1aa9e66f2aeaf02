/* A receive that waits in vain becomes a poll, and whoever waits for it does not notice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/socket.h>

#include "unit/help_ring.h"

#define REST_MS 20
/* Two rounds of the hand, and what a loaded machine takes for them. */
#define PATIENCE_NS UINT64_C(3000000000)

static int begin(void **state)
{
    static struct ring_rig rig;
    *state = &rig;
    ring_rig_begin(&rig, REST_MS);
    return 0;
}

static int end(void **state)
{
    ring_rig_end(*state);
    return 0;
}

static bool rests(const struct ring_rig *rig)
{
    return (rig->io->socks[rig->sock].backend_flags & URING_RESTS) != 0;
}

/* Waits until it rests. Nothing is told meanwhile. */
static void until_it_rests(struct ring_rig *rig)
{
    struct io_completion done;
    uint64_t until_ns = io_now(rig->io) + PATIENCE_NS;
    while (!rests(rig)) {
        assert_true(io_now(rig->io) < until_ns);
        assert_int_equal(io_reap(rig->io, &done, 1, io_now(rig->io) + 1000000), 0);
        assert_true(io_in_flight(rig->io, rig->sock, IO_RECEIVE));
    }
}

static void cancel_and_join(struct ring_rig *rig)
{
    struct io_completion done;
    io_cancel(rig->io, rig->sock, IO_RECEIVE);
    io_cancel(rig->io, rig->sock, IO_RECEIVE);
    assert_true(ring_rig_take(rig, &done, RING_LATE_NS));
    assert_int_equal(done.token, RING_RECEIVE);
    assert_int_equal(done.result, -ECANCELED);
    assert_false(io_in_flight(rig->io, rig->sock, IO_RECEIVE));
    assert_false(ring_rig_take(rig, &done, RING_LATE_NS / 20));
}

static void it_rests_and_hears(void **state)
{
    struct ring_rig *rig = *state;
    for (int i = 0; i < 3; i++) {
        until_it_rests(rig);
        ring_rig_expect(rig, "good morning");
        ring_rig_expect(rig, "and more");
        assert_false(rests(rig));
    }
    cancel_and_join(rig);
}

/* Who says something within each round goes on being received from. */
static void who_speaks_does_not_rest(void **state)
{
    struct ring_rig *rig = *state;
    struct uring *u = (struct uring *)rig->io;
    for (int i = 0; i < 20; i++) {
        u->rest_due_ns = 0; /* a step of the hand in the next reap */
        ring_rig_expect(rig, "still here");
        assert_false(rests(rig));
    }
    cancel_and_join(rig);
}

static void a_cancel_ends_it_at_rest(void **state)
{
    struct ring_rig *rig = *state;
    until_it_rests(rig);
    cancel_and_join(rig);
    io_receive(rig->io, rig->sock, RING_RECEIVE);
    ring_rig_expect(rig, "again");
    until_it_rests(rig);
    assert_int_equal(send(rig->client, "lost?", 5, MSG_NOSIGNAL), 5);
    io_cancel(rig->io, rig->sock, IO_RECEIVE); /* the poll may have fired by then */
    struct io_completion done;
    uint32_t got = 0;
    do {
        assert_true(ring_rig_take(rig, &done, RING_LATE_NS));
        got += done.result > 0 ? (uint32_t)done.result : 0;
        if (done.result > 0) {
            io_lease_return(rig->io, done.lease);
        }
    } while ((done.flags & IO_MORE) != 0);
    if (got == 0) {
        io_receive(rig->io, rig->sock, RING_RECEIVE);
        assert_true(ring_rig_take(rig, &done, RING_LATE_NS));
        assert_int_equal(done.result, 5);
        io_lease_return(rig->io, done.lease);
        cancel_and_join(rig);
    }
}

static void an_end_is_heard_at_rest(void **state)
{
    struct ring_rig *rig = *state;
    struct io_completion done;
    until_it_rests(rig);
    assert_int_equal(shutdown(rig->client, SHUT_WR), 0);
    assert_true(ring_rig_take(rig, &done, RING_LATE_NS));
    assert_int_equal(done.result, 0);
    assert_int_equal(done.flags & IO_MORE, 0);
}

static void a_reset_is_heard_at_rest(void **state)
{
    struct ring_rig *rig = *state;
    struct io_completion done;
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    until_it_rests(rig);
    assert_int_equal(setsockopt(rig->client, SOL_SOCKET, SO_LINGER, &none, sizeof none), 0);
    struct sockaddr unspecified = {.sa_family = AF_UNSPEC}; /* resets, and leaves the socket */
    assert_int_equal(connect(rig->client, &unspecified, sizeof unspecified), 0);
    assert_true(ring_rig_take(rig, &done, RING_LATE_NS));
    assert_int_equal(done.result, -ECONNRESET);
}

/* When nobody is left to come to rest, the hand stands, and nothing wakes an idle worker. */
static void the_hand_stands_when_all_rest(void **state)
{
    struct ring_rig *rig = *state;
    struct uring *u = (struct uring *)rig->io;
    struct io_completion done;
    until_it_rests(rig);
    uint64_t until_ns = io_now(rig->io) + PATIENCE_NS;
    while (u->rest_due_ns != IO_FOREVER) {
        assert_true(io_now(rig->io) < until_ns);
        assert_int_equal(io_reap(rig->io, &done, 1, io_now(rig->io) + 1000000), 0);
    }
    ring_rig_expect(rig, "up again");
    assert_true(u->rest_due_ns != IO_FOREVER);
    cancel_and_join(rig);
}

int main(void)
{
    if (!ring_rig_opens()) {
        return RING_SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_rests_and_hears, begin, end),
        cmocka_unit_test_setup_teardown(who_speaks_does_not_rest, begin, end),
        cmocka_unit_test_setup_teardown(a_cancel_ends_it_at_rest, begin, end),
        cmocka_unit_test_setup_teardown(an_end_is_heard_at_rest, begin, end),
        cmocka_unit_test_setup_teardown(a_reset_is_heard_at_rest, begin, end),
        cmocka_unit_test_setup_teardown(the_hand_stands_when_all_rest, begin, end),
    };
    return cmocka_run_group_tests_name("uring, rest", tests, NULL, NULL);
}
