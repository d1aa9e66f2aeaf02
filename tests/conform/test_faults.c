/* The fault-injecting backend itself: that each of its faults really happens, when the plan says
 * so, and leaves a connection in a state that a kernel could produce. On every backend behind it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conform/help_rig.h"

#define STREAM 2000

/* A rig of one io, with this plan. */
static void open_with(struct rig *rig, const struct fault_plan *plan)
{
    rig_plan = *plan;
    rig_open(rig, &(struct rig_setup){0});
    rig_plan = (struct fault_plan){0};
}

static void open_with_error(struct rig *rig, struct fault_error error)
{
    struct fault_plan plan = {.errors_count = 1, .errors[0] = error};
    open_with(rig, &plan);
}

static uint64_t came(const struct rig *rig)
{
    return rig->decorator.counts.errors[0];
}

/* Sends a stream through a rig with this plan; all of it arrives. */
static struct rig_pair transfer(struct rig *rig, const struct fault_plan *plan)
{
    struct rig_bytes got = {0};
    uint8_t *pattern = rig_pattern(STREAM);
    open_with(rig, plan);
    struct rig_pair pair = rig_pair(rig, 0, 0);
    rig_transfer(rig, pair.client, pair.server, pattern, STREAM, &got);
    rig_expect_pattern(rig, &got, STREAM);
    rig_bytes_free(&got);
    free(pattern);
    return pair;
}

static void finish(struct rig *rig, struct rig_pair pair)
{
    rig_finish_pair(rig, pair);
    rig_close(rig);
}

/* -------------------------------------------------------------------------------------- shortness
 */

static void a_receive_brings_a_byte_at_a_time(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_pair pair = transfer(&rig, &(struct fault_plan){.receive_most = 1});
    uint32_t pieces = 0;
    for (uint32_t op = 0; op < rig.ops_count; op++) {
        pieces += rig_op(&rig, op)->kind == IO_RECEIVE ? rig_op(&rig, op)->pieces : 0;
    }
    struct io_stats stats;
    io_stats(rig.ios[0], &stats);
    assert_int_equal(pieces, STREAM);     /* as many completions as bytes, */
    assert_int_equal(stats.no_buffer, 0); /* and one receive: the rig returns what it got */
    assert_true(rig.decorator.counts.receives_cut > 0);
    assert_int_equal(rig.decorator.counts.sends_cut, 0);
    finish(&rig, pair);
}

static void a_send_takes_a_byte_at_a_time(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_pair pair = transfer(&rig, &(struct fault_plan){.send_most = 1});
    uint32_t sends = 0;
    for (uint32_t op = 0; op < rig.ops_count; op++) {
        sends += rig_op(&rig, op)->kind == IO_SEND ? 1 : 0;
    }
    assert_int_equal(sends, STREAM);
    assert_int_equal(rig.decorator.counts.sends_cut,
                     STREAM - 1); /* the last byte is all there is */
    finish(&rig, pair);
}

static void pieces_have_any_size(void **state)
{
    (void)state;
    struct rig rig;
    const struct fault_plan plan = {.split = FAULT_RATE_ONE, .short_send = FAULT_RATE_ONE};
    struct rig_pair pair = transfer(&rig, &plan);
    assert_true(rig.decorator.counts.receives_cut > 2);
    assert_true(rig.decorator.counts.sends_cut > 2);
    finish(&rig, pair);
}

static void a_receive_ends_with_bytes(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_pair pair =
        transfer(&rig, &(struct fault_plan){.drop_more = FAULT_RATE_ONE, .receive_most = 100});
    for (uint32_t op = 0; op < rig.ops_count; op++) {
        assert_int_equal(rig_op(&rig, op)->pieces, 0);
    }
    assert_true(rig.decorator.counts.receives_over >= STREAM / 100);
    finish(&rig, pair);
}

/* ---------------------------------------------------------------------------------------- cancels
 */

static void a_late_cancel_finds_the_bytes(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_bytes got = {0};
    open_with(&rig, &(struct fault_plan){.cancel_late = FAULT_RATE_ONE, .receive_most = 1});
    rig.setup.batch = 1; /* so that there are bytes left when the cancel is passed on */
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    rig_send_all(&rig, pair.client, (const uint8_t *)"natural ends", 12);
    rig_quiet(&rig);
    uint32_t receive = rig_receive(&rig, pair.server, &got);
    RIG_UNTIL(&rig, got.size > 0);
    io_cancel(rig.ios[0], pair.server.sock, IO_RECEIVE);
    RIG_UNTIL(&rig, rig_op(&rig, receive)->finals == 1);
    assert_int_equal(rig_op(&rig, receive)->result, 1);
    assert_true(got.size < 12);
    assert_int_equal(rig.decorator.counts.cancels_late, 1);
    assert_int_equal(rig.decorator.counts.cancels_lost, 1);
    rig_collect(&rig, pair.server, &got, 12); /* ends with a cancel, which has nothing to find */
    assert_memory_equal(got.bytes, "natural ends", 12);
    assert_int_equal(rig.decorator.counts.cancels_late, 2);
    assert_int_equal(rig.decorator.counts.cancels_lost, 1);
    finish(&rig, pair);
    rig_bytes_free(&got);
}

static void a_late_cancel_of_accepts_finds_a_client(void **state)
{
    (void)state;
    struct rig rig;
    open_with(&rig, &(struct fault_plan){.cancel_late = FAULT_RATE_ONE});
    uint32_t connect = rig_connect(&rig, 0, &rig.listeners[0].address);
    RIG_UNTIL(&rig, rig_op(&rig, connect)->finals == 1);
    uint64_t lost = 0;
    for (int round = 0; lost == 0 && round < 100; round++) { /* in the simulation it takes luck */
        uint32_t accept = rig_accept(&rig, 0);
        io_cancel_accepts(rig.ios[0]);
        RIG_UNTIL(&rig, rig_op(&rig, accept)->finals == 1);
        lost = rig.decorator.counts.cancels_lost;
        if (rig_op(&rig, accept)->result >= 0) {
            rig_finish(&rig, rig_op(&rig, accept)->end);
            rig_finish(&rig, rig_op(&rig, connect)->end);
            connect = rig_connect(&rig, 0, &rig.listeners[0].address);
            RIG_UNTIL(&rig, rig_op(&rig, connect)->finals == 1);
        }
    }
    assert_int_equal(lost, 1);
    rig_finish(&rig, rig_op(&rig, connect)->end);
    rig_close(&rig);
}

static void a_late_cancel_of_a_send_may_lose(void **state)
{
    (void)state;
    struct rig rig;
    open_with(&rig, &(struct fault_plan){.cancel_late = FAULT_RATE_ONE});
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    uint32_t lost = 0;
    for (int round = 0; round < 50; round++) {
        uint32_t send = rig_send(&rig, pair.client, "x", 1);
        io_cancel(rig.ios[0], pair.client.sock, IO_SEND);
        RIG_UNTIL(&rig, rig_op(&rig, send)->finals == 1);
        lost += rig_op(&rig, send)->result == 1 ? 1 : 0;
    }
    assert_true(lost > 0);
    assert_int_equal(rig.decorator.counts.cancels_late, 50);
    /* In the simulation a cancel may lose though it was passed on before the send's end. */
    assert_in_range(rig.decorator.counts.cancels_lost, 1, lost);
    finish(&rig, pair);
}

/* ------------------------------------------------------------------------------------------ turns
 */

/* But not twice in a row: who looks twice has seen what there is, and nothing of it is lost. */
static void a_reap_may_be_in_vain(void **state)
{
    (void)state;
    enum { ROUNDS = 5 };
    struct rig rig;
    struct io_completion done;
    uint32_t connects[ROUNDS];
    open_with(&rig, &(struct fault_plan){.spurious = FAULT_RATE_ONE});
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint64_t before_ns = io_now(rig.ios[0]);
        connects[i] = rig_connect(&rig, 0, &rig.listeners[0].address);
        assert_int_equal(io_reap(rig.ios[0], &done, 1, before_ns + 3000000000), 0);
        assert_true(io_now(rig.ios[0]) < before_ns + 1000000000);
        assert_int_equal(rig.decorator.counts.reaps_empty, i + 1);
        RIG_UNTIL(&rig, rig_op(&rig, connects[i])->finals == 1);
        assert_int_equal(rig.decorator.counts.reaps_empty, i + 1);
        assert_int_equal(rig_op(&rig, connects[i])->result, 0);
    }
    rig.decorator.plan.spurious = 0;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        rig_finish(&rig, rig_op(&rig, connects[i])->end);
    }
    rig_close(&rig);
}

static void a_returned_lease_is_overwritten(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_bytes got = {0};
    open_with(&rig, &(struct fault_plan){0});
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    rig.hold = true;
    rig_send_all(&rig, pair.client, (const uint8_t *)"mine", 4);
    rig_collect(&rig, pair.server, &got, 4);
    const uint8_t *data = rig.held[0].data;
    assert_memory_equal(data, "mine", 4);
    rig_return_held(&rig);
    assert_memory_equal(data, "\xdb\xdb\xdb\xdb", 4);
    rig.hold = false;
    finish(&rig, pair);
    rig_bytes_free(&got);
}

/* A kernel would reset a socket that is closed with bytes unread. */
static void a_close_with_bytes_held_back_is_a_reset(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_bytes got = {0};
    open_with(&rig, &(struct fault_plan){.receive_most = 1});
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    rig_send_all(&rig, pair.client, (const uint8_t *)"unread", 6);
    rig_quiet(&rig);
    rig.setup.batch = 1;
    uint32_t receive = rig_receive(&rig, pair.server, &got);
    RIG_UNTIL(&rig, got.size == 1);
    io_cancel(rig.ios[0], pair.server.sock, IO_RECEIVE);
    RIG_UNTIL(&rig, rig_op(&rig, receive)->finals == 1);
    assert_true(got.size < 6);
    io_close(rig.ios[0], pair.server.sock, false);
    assert_int_equal(rig_collect_end(&rig, pair.client, &got), -ECONNRESET);
    rig_finish(&rig, pair.client);
    rig_close(&rig);
    rig_bytes_free(&got);
}

/* ----------------------------------------------------------------------------- errors of accepts
 */

static const int accept_errors[] = {EMFILE, ENFILE, ENOBUFS,   ENOMEM, ECONNABORTED,
                                    EPROTO, EPERM,  ECANCELED, EIO};

static bool takes_the_client(int error)
{
    return error == ECONNABORTED || error == EPROTO || error == EPERM;
}

static void an_accept_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof accept_errors / sizeof *accept_errors; i++) {
        struct rig rig;
        struct rig_bytes got = {0};
        int error = accept_errors[i];
        open_with_error(&rig,
                        (struct fault_error){
                            .op = IO_ACCEPT, .error = error, .schedule = FAULT_ONCE, .nth = 2});
        struct rig_pair first = rig_pair(&rig, 0, 0);
        uint32_t connect = rig_connect(&rig, 0, &rig.listeners[0].address);
        uint32_t accept = rig_accept(&rig, 0);
        RIG_UNTIL(&rig, rig_op(&rig, accept)->finals == 1 && rig_op(&rig, connect)->finals == 1);
        assert_int_equal(rig_op(&rig, accept)->result, -error);
        assert_int_equal(rig_op(&rig, connect)->result, 0);
        struct rig_end client = rig_op(&rig, connect)->end;
        if (takes_the_client(error)) {
            assert_int_equal(rig_collect_end(&rig, client, &got), -ECONNRESET);
        } else { /* it waits still */
            accept = rig_accept(&rig, 0);
            RIG_UNTIL(&rig, rig_op(&rig, accept)->finals == 1);
            struct rig_end server = rig_op(&rig, accept)->end;
            assert_true(rig_op(&rig, accept)->result >= 0);
            rig_transfer(&rig, client, server, (const uint8_t *)"here", 4, &got);
            rig_finish(&rig, server);
        }
        rig_finish(&rig, client);
        struct rig_pair third = rig_pair(&rig, 0, 0); /* once is once */
        rig_finish_pair(&rig, third);
        assert_int_equal(came(&rig), 1);
        finish(&rig, first);
        rig_bytes_free(&got);
    }
}

/* ---------------------------------------------------------------------------- errors of connects
 */

static const int connect_errors[] = {ECONNREFUSED, ETIMEDOUT,     EHOSTUNREACH, ENETUNREACH,
                                     ECONNRESET,   EADDRNOTAVAIL, EADDRINUSE,   EACCES,
                                     EPERM,        ENOBUFS,       ENOMEM,       ECANCELED,
                                     EIO};
static const int start_errors[] = {EMFILE,     ENFILE,        ENOBUFS, ENOMEM, EAFNOSUPPORT,
                                   EADDRINUSE, EADDRNOTAVAIL, EACCES,  EPERM,  EIO};

static void a_connect_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof connect_errors / sizeof *connect_errors; i++) {
        struct rig rig;
        struct berth_address name;
        open_with_error(&rig, (struct fault_error){.op = IO_CONNECT,
                                                   .error = connect_errors[i],
                                                   .schedule = FAULT_ONCE,
                                                   .nth = 1});
        uint32_t accept = rig_accept(&rig, 0);
        uint32_t connect = rig_connect(&rig, 0, &rig.listeners[0].address);
        struct rig_end end = rig_op(&rig, connect)->end;
        assert_true(io_in_flight(rig.ios[0], end.sock, IO_CONNECT)); /* law 2 */
        RIG_UNTIL(&rig, rig_op(&rig, connect)->finals == 1);
        assert_int_equal(rig_op(&rig, connect)->result, -connect_errors[i]);
        assert_false(io_peer(rig.ios[0], end.sock, &name));
        uint32_t receive = rig_receive(&rig, end, NULL);
        uint32_t send = rig_send(&rig, end, "x", 1);
        RIG_UNTIL(&rig, rig_op(&rig, receive)->finals == 1 && rig_op(&rig, send)->finals == 1);
        assert_int_equal(rig_op(&rig, receive)->result, -EIO);
        assert_int_equal(rig_op(&rig, send)->result, -EPIPE);
        rig_finish(&rig, end);
        rig_quiet(&rig);
        assert_int_equal(rig_op(&rig, accept)->finals, 0); /* nobody heard of it */
        connect = rig_connect(&rig, 0, &rig.listeners[0].address);
        RIG_UNTIL(&rig, rig_op(&rig, connect)->finals == 1 && rig_op(&rig, accept)->finals == 1);
        assert_int_equal(rig_op(&rig, connect)->result, 0);
        assert_int_equal(came(&rig), 1);
        struct rig_pair pair = {rig_op(&rig, connect)->end, rig_op(&rig, accept)->end};
        finish(&rig, pair);
    }
}

static void a_connect_does_not_start(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof start_errors / sizeof *start_errors; i++) {
        struct rig rig;
        open_with_error(&rig, (struct fault_error){.op = IO_CONNECT,
                                                   .error = start_errors[i],
                                                   .at_start = true,
                                                   .schedule = FAULT_EVERY,
                                                   .nth = 2});
        for (int round = 1; round <= 6; round++) {
            if (round % 2 == 0) {
                uint64_t token = io_token(IO_CONNECT, 0, 0);
                assert_int_equal(io_connect(rig.ios[0], &rig.listeners[0].address, NULL, token),
                                 -start_errors[i]);
            } else {
                rig_finish_pair(&rig, rig_pair(&rig, 0, 0));
            }
        }
        assert_int_equal(came(&rig), 3);
        rig_close(&rig);
    }
}

/* ------------------------------------------------------------------- errors of receives and sends
 */

static const int stream_errors[] = {ENOBUFS,     ECONNRESET, ETIMEDOUT, EPIPE, EHOSTUNREACH,
                                    ENETUNREACH, ENOMEM,     ECANCELED, EIO};
#define STREAM_ERRORS (sizeof stream_errors / sizeof *stream_errors)

static bool ends_the_connection(int error)
{
    return error == ECONNRESET || error == ETIMEDOUT || error == EPIPE || error == EHOSTUNREACH ||
           error == ENETUNREACH;
}

/* What is left of a connection that an error has ended, at the end that it came to. */
static void expect_dead(struct rig *rig, struct rig_pair pair)
{
    struct rig_bytes got = {0};
    for (int i = 0; i < 2; i++) {
        uint32_t receive = rig_receive(rig, pair.server, &got);
        uint32_t send = rig_send(rig, pair.server, "x", 1);
        RIG_UNTIL(rig, rig_op(rig, receive)->finals == 1 && rig_op(rig, send)->finals == 1);
        assert_int_equal(rig_op(rig, receive)->result, 0);
        assert_int_equal(rig_op(rig, send)->result, -EPIPE);
    }
    assert_int_equal(got.size, 0);
    assert_int_equal(rig->decorator.counts.connections_ended, 1);
    uint32_t receive = rig_receive(rig, pair.client, &got);
    RIG_UNTIL(rig, rig_op(rig, receive)->finals == 1); /* the peer's end is over too: */
    assert_int_equal(rig_op(rig, receive)->result, 0); /* a FIN now, and a reset at the close */
    rig_finish(rig, pair.server);
    rig_quiet(rig);
    uint32_t send = rig_send(rig, pair.client, "y", 1);
    RIG_UNTIL(rig, rig_op(rig, send)->finals == 1);
    assert_true(rig_op(rig, send)->result < 0);
    rig_finish(rig, pair.client);
    rig_close(rig);
    rig_bytes_free(&got);
}

static void a_receive_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < STREAM_ERRORS; i++) {
        struct rig rig;
        struct rig_bytes got = {0};
        int error = stream_errors[i];
        open_with_error(&rig,
                        (struct fault_error){
                            .op = IO_RECEIVE, .error = error, .schedule = FAULT_ONCE, .nth = 3});
        rig.decorator.plan.receive_most = 2;
        struct rig_pair pair = rig_pair(&rig, 0, 0);
        rig_send_all(&rig, pair.client, (const uint8_t *)"abcdefgh", 8);
        rig_quiet(&rig);
        uint32_t receive = rig_receive(&rig, pair.server, &got);
        RIG_UNTIL(&rig, rig_op(&rig, receive)->finals == 1);
        assert_int_equal(rig_op(&rig, receive)->result, -error);
        assert_int_equal(got.size, 4); /* two pieces, and then it came */
        assert_int_equal(came(&rig), 1);
        if (ends_the_connection(error)) {
            expect_dead(&rig, pair);
        } else {
            rig_collect(&rig, pair.server, &got, 8); /* no byte was lost */
            assert_memory_equal(got.bytes, "abcdefgh", 8);
            finish(&rig, pair);
        }
        rig_bytes_free(&got);
    }
}

static void a_send_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < STREAM_ERRORS; i++) {
        struct rig rig;
        struct rig_bytes got = {0};
        int error = stream_errors[i];
        open_with_error(&rig, (struct fault_error){
                                  .op = IO_SEND, .error = error, .schedule = FAULT_ONCE, .nth = 2});
        struct rig_pair pair = rig_pair(&rig, 0, 0);
        rig_send_all(&rig, pair.server, (const uint8_t *)"ab", 2);
        uint32_t waiting = rig_receive(&rig, pair.server, &got);
        uint32_t send = rig_send(&rig, pair.server, "cd", 2);
        RIG_UNTIL(&rig, rig_op(&rig, send)->finals == 1);
        assert_int_equal(rig_op(&rig, send)->result, -error);
        assert_int_equal(came(&rig), 1);
        if (ends_the_connection(error)) {
            RIG_UNTIL(&rig, rig_op(&rig, waiting)->finals == 1); /* it hears of it too */
            assert_int_equal(rig_op(&rig, waiting)->result, 0);
            rig_collect(&rig, pair.client, &got, 2); /* what was taken before arrives */
            expect_dead(&rig, pair);
        } else {
            rig_send_all(&rig, pair.server, (const uint8_t *)"cd", 2);
            rig_collect(&rig, pair.client, &got, 4); /* nothing was taken by the one that failed */
            assert_memory_equal(got.bytes, "abcd", 4);
            finish(&rig, pair);
        }
        rig_bytes_free(&got);
    }
}

/* ------------------------------------------------------------------------------------ schedules */

static void every_nth_comes_again_and_again(void **state)
{
    (void)state;
    struct rig rig;
    const struct fault_plan plan = {
        .receive_most = 10,
        .errors_count = 1,
        .errors[0] = {.op = IO_RECEIVE, .error = ENOBUFS, .schedule = FAULT_EVERY, .nth = 5}};
    struct rig_pair pair = transfer(&rig, &plan);
    /* 200 pieces and more, as a receive may end before its buffer is full; four between errors. */
    assert_in_range(came(&rig), STREAM / 10 / 4 - 1, STREAM);
    finish(&rig, pair);
}

static void a_burst_lasts_for_its_time(void **state)
{
    (void)state;
    struct rig rig;
    const uint64_t burst_ns = 5000000;
    open_with_error(&rig, (struct fault_error){.op = IO_SEND,
                                               .error = ENOBUFS,
                                               .schedule = FAULT_BURST,
                                               .nth = 3,
                                               .burst_ns = burst_ns});
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    rig_send_all(&rig, pair.client, (const uint8_t *)"a", 1);
    rig_send_all(&rig, pair.client, (const uint8_t *)"b", 1);
    uint64_t begin_ns = io_now(rig.ios[0]);
    uint32_t failed = 0;
    int32_t result = -ENOBUFS;
    while (result == -ENOBUFS) {
        uint32_t send = rig_send(&rig, pair.client, "c", 1);
        RIG_UNTIL(&rig, rig_op(&rig, send)->finals == 1);
        result = rig_op(&rig, send)->result;
        failed += result < 0 ? 1 : 0;
    }
    assert_int_equal(result, 1);
    assert_true(failed > 1);
    assert_int_equal(came(&rig), failed);
    assert_true(io_now(rig.ios[0]) >= begin_ns + burst_ns);
    rig_send_all(&rig, pair.client, (const uint8_t *)"def", 3); /* and does not come back */
    rig_send_all(&rig, pair.client, (const uint8_t *)"g", 1);
    assert_int_equal(came(&rig), failed);
    finish(&rig, pair);
}

/* ---------------------------------------------------------------------------------- determinism */

static uint64_t hash_of_run(uint64_t seed)
{
    struct rig rig;
    rig_seed = seed;
    rig_plan = fault_plan_swarm(seed);
    rig_plan.split = FAULT_RATE_ONE / 2;
    rig_open(&rig, &(struct rig_setup){0});
    struct rig_bytes got = {0};
    uint8_t *pattern = rig_pattern(STREAM);
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    rig_transfer(&rig, pair.client, pair.server, pattern, STREAM, &got);
    uint64_t hash = sim_world_hash(rig.world) ^ rig.completions << 32;
    finish(&rig, pair);
    rig_bytes_free(&got);
    free(pattern);
    rig_seed = 0;
    rig_plan = (struct fault_plan){0};
    return hash;
}

static void the_same_seed_is_the_same_run(void **state)
{
    (void)state;
    if (!rig_simulated()) {
        skip(); /* a real kernel's timing is its own */
    }
    for (uint64_t seed = 1; seed <= 5; seed++) {
        assert_true(hash_of_run(seed) == hash_of_run(seed));
        assert_true(hash_of_run(seed) != hash_of_run(seed + 100));
    }
}

static int run_around(const struct io_backend *inner)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_receive_brings_a_byte_at_a_time),
        cmocka_unit_test(a_send_takes_a_byte_at_a_time),
        cmocka_unit_test(pieces_have_any_size),
        cmocka_unit_test(a_receive_ends_with_bytes),
        cmocka_unit_test(a_late_cancel_finds_the_bytes),
        cmocka_unit_test(a_late_cancel_of_accepts_finds_a_client),
        cmocka_unit_test(a_late_cancel_of_a_send_may_lose),
        cmocka_unit_test(a_reap_may_be_in_vain),
        cmocka_unit_test(a_returned_lease_is_overwritten),
        cmocka_unit_test(a_close_with_bytes_held_back_is_a_reset),
        cmocka_unit_test(an_accept_fails),
        cmocka_unit_test(a_connect_fails),
        cmocka_unit_test(a_connect_does_not_start),
        cmocka_unit_test(a_receive_fails),
        cmocka_unit_test(a_send_fails),
        cmocka_unit_test(every_nth_comes_again_and_again),
        cmocka_unit_test(a_burst_lasts_for_its_time),
        cmocka_unit_test(the_same_seed_is_the_same_run),
    };
    char name[40];
    rig_backend = &io_backend_fault;
    rig_inner = inner;
    if (!rig_opens()) {
        printf("left out: %s does not open here\n", io_backend_name(inner));
        return 0;
    }
    (void)snprintf(name, sizeof name, "faults around %s", io_backend_name(inner));
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
    return run_around(&io_backend_uring) + run_around(&io_backend_epoll) +
           run_around(&io_backend_sim);
}
