/* Sends on io_uring that have no event if they took all, and those that did not take all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "unit/help_ring.h"

#define RING_SEND io_token(IO_SEND, 1, 3)
#define BLOCK     8192u /* small enough for the quick way */
#define MESSAGES  100

static uint8_t block[BLOCK];

static int begin(void **state)
{
    static struct ring_rig rig;
    *state = &rig;
    ring_rig_begin(&rig, 0);
    int least = 1; /* the system rounds it up */
    assert_int_equal(
        setsockopt(rig.io->socks[rig.sock].fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof least), 0);
    return 0;
}

static int end(void **state)
{
    struct ring_rig *rig = *state;
    struct io_completion done;
    io_cancel(rig->io, rig->sock, IO_RECEIVE);
    while (io_in_flight(rig->io, rig->sock, IO_RECEIVE)) {
        assert_true(ring_rig_take(rig, &done, RING_LATE_NS));
    }
    ring_rig_end(*state);
    return 0;
}

static void start(struct ring_rig *rig, uint32_t bytes)
{
    io_send(rig->io, rig->sock, &(struct io_span){block, bytes}, 1, RING_SEND);
}

/* How much the next send takes, which must be told within patience_ns; 0 if it was not told. */
static uint32_t taken(struct ring_rig *rig, uint64_t patience_ns)
{
    struct io_completion done;
    if (!ring_rig_take(rig, &done, patience_ns)) {
        return 0;
    }
    assert_int_equal(done.token, RING_SEND);
    assert_true(done.result > 0);
    return (uint32_t)done.result;
}

/* Sends until one waits for the socket. */
static uint64_t fill(struct ring_rig *rig)
{
    uint64_t sent = 0;
    uint32_t took;
    do {
        start(rig, BLOCK);
        took = taken(rig, IO_LATE_NS / 2);
        sent += took;
    } while (took > 0);
    assert_int_equal(((struct uring *)rig->io)->quick_count, 0); /* it waits in the other way */
    return sent;
}

static void drain(struct ring_rig *rig, uint64_t bytes)
{
    uint8_t room[BLOCK];
    while (bytes > 0) {
        ssize_t got = recv(rig->client, room, bytes < BLOCK ? bytes : BLOCK, 0);
        assert_true(got > 0);
        bytes -= (uint64_t)got;
    }
}

static void one_enter_serves_a_message_and_its_answer(void **state)
{
    struct ring_rig *rig = *state;
    io_sends_may_be_late(rig->io, true);
    struct io_stats before;
    io_stats(rig->io, &before);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        assert_int_equal(send(rig->client, "x", 1, MSG_NOSIGNAL), 1);
        bool came = false;
        while (!came) {
            struct io_completion done[2]; /* the last send, and this message */
            uint32_t count = io_reap(rig->io, done, 2, io_now(rig->io) + RING_LATE_NS);
            for (uint32_t k = 0; k < count; k++) {
                came |= (done[k].flags & IO_LEASE) != 0;
                if ((done[k].flags & IO_LEASE) != 0) {
                    io_lease_return(rig->io, done[k].lease);
                }
            }
        }
        assert_false(io_in_flight(rig->io, rig->sock, IO_SEND)); /* told with the message */
        start(rig, 1);
    }
    assert_int_equal(taken(rig, RING_LATE_NS), 1); /* nothing else comes: a little later */
    struct io_stats after;
    io_stats(rig->io, &after);
    assert_true(after.enters - before.enters <= MESSAGES * 5 / 4); /* where the client was slow */
}

static void a_send_to_a_full_socket_waits_for_it(void **state)
{
    struct ring_rig *rig = *state;
    io_sends_may_be_late(rig->io, false);
    uint64_t sent = fill(rig);
    drain(rig, sent);
    uint32_t rest = taken(rig, RING_LATE_NS);
    assert_true(rest > 0);
    drain(rig, rest);
    assert_int_equal(recv(rig->client, block, 1, MSG_DONTWAIT), -1); /* and no byte more */
}

static void a_send_that_would_wait_is_cancelled(void **state)
{
    struct ring_rig *rig = *state;
    struct io_completion done;
    io_sends_may_be_late(rig->io, false);
    (void)fill(rig);
    for (int i = 0; i < 3; i++) { /* the first waits already, the others are not even tried yet */
        io_cancel(rig->io, rig->sock, IO_SEND);
        assert_true(ring_rig_take(rig, &done, RING_LATE_NS));
        assert_int_equal(done.token, RING_SEND);
        assert_int_equal(done.result, -ECANCELED);
        start(rig, BLOCK);
    }
    io_cancel(rig->io, rig->sock, IO_SEND);
    assert_true(ring_rig_take(rig, &done, RING_LATE_NS));
}

/* While the kernel has events that are not in the queue, one of them may be a send's. */
static void nothing_is_concluded_while_events_are_hidden(void **state)
{
    struct ring_rig *rig = *state;
    struct uring *u = (struct uring *)rig->io;
    struct io_completion done;
    io_sends_may_be_late(rig->io, true);
    start(rig, 1);
    *u->ring.sq.kflags |= IORING_SQ_CQ_OVERFLOW;
    assert_int_equal(io_reap(rig->io, &done, 1, 0), 0);
    *u->ring.sq.kflags &= ~IORING_SQ_CQ_OVERFLOW;
    assert_int_equal(io_reap(rig->io, &done, 1, IO_FOREVER), 1); /* at once: it is from before */
    assert_int_equal(done.result, 1);
    drain(rig, 1);
    io_sends_may_be_late(rig->io, false);
    uint64_t sent = fill(rig);
    io_cancel(rig->io, rig->sock, IO_SEND);
    assert_true(ring_rig_take(rig, &done, RING_LATE_NS));
    start(rig, BLOCK); /* which is refused, and that is seen without the look before */
    *u->ring.sq.kflags |= IORING_SQ_CQ_OVERFLOW;
    assert_int_equal(io_reap(rig->io, &done, 1, 0), 0);
    *u->ring.sq.kflags &= ~IORING_SQ_CQ_OVERFLOW;
    drain(rig, sent);
    uint32_t rest = taken(rig, RING_LATE_NS);
    assert_true(rest > 0);
    drain(rig, rest);
}

int main(void)
{
    if (!ring_rig_opens()) {
        return RING_SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_enter_serves_a_message_and_its_answer, begin, end),
        cmocka_unit_test_setup_teardown(a_send_to_a_full_socket_waits_for_it, begin, end),
        cmocka_unit_test_setup_teardown(a_send_that_would_wait_is_cancelled, begin, end),
        cmocka_unit_test_setup_teardown(nothing_is_concluded_while_events_are_hidden, begin, end),
    };
    return cmocka_run_group_tests_name("uring, sends", tests, NULL, NULL);
}
