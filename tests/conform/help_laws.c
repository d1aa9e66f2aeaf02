/* The twelve laws of io.h, a test each, named for it. What every completion of every test must keep
 * besides is in help_rig.c, and what a caller must not do in help_deaths.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conform/help_rig.h"

#define POISON 0xa5

/* Rounds of a test that wants a race between two completions: each round may go either way. */
#define ROUNDS 40

static void law_01_one_final_completion(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    struct rig_bytes got = {0};
    uint8_t *pattern = rig_pattern(3000);
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    rig_transfer(&rig, pair.client, pair.server, pattern, 3000, &got);
    uint32_t accept = rig_accept(&rig, 0);
    uint32_t receive = rig_receive(&rig, pair.server, &got);
    io_cancel_accepts(rig.ios[0]);
    io_cancel(rig.ios[0], pair.server.sock, IO_RECEIVE);
    io_cancel(rig.ios[0], pair.server.sock, IO_RECEIVE); /* twice is still one end */
    RIG_UNTIL(&rig, rig_op(&rig, accept)->finals == 1 && rig_op(&rig, receive)->finals == 1);
    rig_finish_pair(&rig, pair);
    rig_quiet(&rig);
    for (uint32_t op = 0; op < rig.ops_count; op++) {
        assert_int_equal(rig_op(&rig, op)->finals, 1); /* a second one fails in the rig */
    }
    rig_expect_pattern(&rig, &got, 3000);
    rig_close(&rig);
    rig_bytes_free(&got);
    free(pattern);
}

static void law_02_completions_only_from_reap(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    struct rig_bytes got = {0};
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    uint32_t first = rig_send(&rig, pair.client, "ready", 5);
    uint32_t waiting = rig_connect(&rig, 0, &rig.listeners[0].address);
    RIG_UNTIL(&rig, rig_op(&rig, first)->finals == 1 && rig_op(&rig, waiting)->finals == 1);
    rig_quiet(&rig);
    /* Bytes are there, a client waits and the send buffer is empty: each start could be done. */
    uint8_t untouched[sizeof rig.batch];
    memset(rig.batch, POISON, sizeof rig.batch);
    memset(untouched, POISON, sizeof untouched);
    uint32_t receive = rig_receive(&rig, pair.server, &got);
    uint32_t send = rig_send(&rig, pair.server, "answer", 6);
    uint32_t accept = rig_accept(&rig, 0);
    assert_true(io_in_flight(rig.ios[0], pair.server.sock, IO_RECEIVE));
    assert_true(io_in_flight(rig.ios[0], pair.server.sock, IO_SEND));
    io_cancel(rig.ios[0], pair.server.sock, IO_RECEIVE);
    assert_true(io_in_flight(rig.ios[0], pair.server.sock, IO_RECEIVE));
    assert_memory_equal(rig.batch, untouched, sizeof untouched);
    RIG_UNTIL(&rig, rig_op(&rig, receive)->finals == 1 && rig_op(&rig, send)->finals == 1 &&
                        rig_op(&rig, accept)->finals == 1);
    assert_true(rig_op(&rig, accept)->result >= 0);
    rig_finish(&rig, rig_op(&rig, accept)->end);
    rig_finish(&rig, rig_op(&rig, waiting)->end);
    rig_finish_pair(&rig, pair);
    rig_close(&rig);
    rig_bytes_free(&got);
}

/* What is cancelled may be over already, and the cancel then finds the next one in its place. */
static void law_03_a_cancel_that_is_late_hurts_no_other(void **state)
{
    (void)state;
    enum { BLOCK = 7, TOTAL = ROUNDS * BLOCK };
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    struct rig_bytes got = {0};
    uint8_t *pattern = rig_pattern(TOTAL);
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    uint32_t sent = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t send = rig_send(&rig, pair.client, pattern + sent, BLOCK);
        io_cancel(rig.ios[0], pair.client.sock, IO_SEND);
        RIG_UNTIL(&rig, rig_op(&rig, send)->finals == 1);
        int32_t result = rig_op(&rig, send)->result;
        assert_true(result == -ECANCELED || result > 0);
        sent += result > 0 ? (uint32_t)result : 0;
    }
    rig_collect(&rig, pair.server, &got, sent);
    rig_transfer(&rig, pair.client, pair.server, pattern + sent, TOTAL - sent, &got);
    rig_expect_pattern(&rig, &got, TOTAL);
    rig_finish_pair(&rig, pair);
    rig_close(&rig);
    rig_bytes_free(&got);
    free(pattern);
}

static void law_03_cancel_is_a_wish(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    rig_faults(&rig, &(struct sim_options){.cancel_loses = SIM_RATE_ONE / 2});
    struct rig_bytes got = {0};
    uint8_t *pattern = rig_pattern(ROUNDS * 100);
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t receive = rig_receive(&rig, pair.server, &got);
        size_t sent = 0;
        while (sent < 100) {
            uint32_t send =
                rig_send(&rig, pair.client, pattern + round * 100 + sent, (uint32_t)(100 - sent));
            if (round % 2 == 0) { /* odd rounds: the bytes are there before the cancel */
                io_cancel(rig.ios[0], pair.server.sock, IO_RECEIVE);
            }
            RIG_UNTIL(&rig, rig_op(&rig, send)->finals == 1);
            assert_true(rig_op(&rig, send)->result > 0);
            sent += (size_t)rig_op(&rig, send)->result;
        }
        io_cancel(rig.ios[0], pair.server.sock, IO_RECEIVE);
        RIG_UNTIL(&rig, rig_op(&rig, receive)->finals == 1);
        int32_t result = rig_op(&rig, receive)->result;
        assert_true(result == -ECANCELED || result > 0 || result == -ENOBUFS);
        /* However it ended, no byte was lost with it. */
        rig_collect(&rig, pair.server, &got, (round + 1) * 100);
    }
    rig_expect_pattern(&rig, &got, ROUNDS * 100);
    io_cancel(rig.ios[0], pair.server.sock, IO_RECEIVE); /* none in flight: nothing happens */
    io_cancel(rig.ios[0], pair.server.sock, IO_SEND);
    io_cancel_accepts(rig.ios[0]);
    rig_quiet(&rig);
    rig_finish_pair(&rig, pair);
    rig_close(&rig);
    rig_bytes_free(&got);
    free(pattern);
}

static void law_04_one_receive_and_one_send_at_once(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    struct rig_bytes at_server = {0};
    struct rig_bytes at_client = {0};
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    (void)rig_receive(&rig, pair.client, &at_client);
    (void)rig_receive(&rig, pair.server, &at_server);
    /* All four may be in flight together; a fifth is a caller's mistake (help_deaths.c). */
    uint32_t there = rig_send(&rig, pair.client, "a", 1);
    uint32_t back = rig_send(&rig, pair.server, "b", 1);
    assert_true(io_in_flight(rig.ios[0], pair.client.sock, IO_RECEIVE));
    assert_true(io_in_flight(rig.ios[0], pair.client.sock, IO_SEND));
    RIG_UNTIL(&rig, rig_op(&rig, there)->finals == 1 && rig_op(&rig, back)->finals == 1);
    io_cancel(rig.ios[0], pair.client.sock, IO_RECEIVE);
    io_cancel(rig.ios[0], pair.server.sock, IO_RECEIVE);
    rig_join(&rig, pair.client);
    rig_join(&rig, pair.server);
    rig_collect(&rig, pair.client, &at_client, 1);
    rig_collect(&rig, pair.server, &at_server, 1);
    assert_memory_equal(at_client.bytes, "b", 1);
    assert_memory_equal(at_server.bytes, "a", 1);
    rig_finish_pair(&rig, pair);
    rig_close(&rig);
    rig_bytes_free(&at_client);
    rig_bytes_free(&at_server);
}

static void law_05_shut_down_join_close(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    struct rig_bytes got = {0};
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    uint32_t receive = rig_receive(&rig, pair.server, NULL);
    rig_quiet(&rig);
    assert_int_equal(rig_op(&rig, receive)->finals, 0);
    io_shutdown(rig.ios[0], pair.server.sock, IO_SHUTDOWN_BOTH);
    RIG_UNTIL(&rig, rig_op(&rig, receive)->finals == 1);
    assert_int_equal(rig_op(&rig, receive)->result, 0);
    io_close(rig.ios[0], pair.server.sock, false);
    /* The peer sees an orderly end: a FIN went out (kernel fact K1 is what happens otherwise). */
    assert_int_equal(rig_collect_end(&rig, pair.client, &got), 0);
    assert_int_equal(got.size, 0);
    rig_finish(&rig, pair.client);
    rig_close(&rig);
    rig_bytes_free(&got);
}

static void law_06_any_send_may_be_short_and_0_is_the_end(void **state)
{
    (void)state;
    const uint32_t much = 32 * 1024 * 1024; /* more than loopback takes at once: kernel fact K14 */
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.receive_bytes = 65536});
    struct rig_bytes got = {0};
    uint8_t *pattern = rig_pattern(much);
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    uint32_t send = rig_send(&rig, pair.client, pattern, much);
    RIG_UNTIL(&rig, rig_op(&rig, send)->finals == 1);
    int32_t taken = rig_op(&rig, send)->result;
    assert_true(taken > 0 && (uint32_t)taken < much);
    io_shutdown(rig.ios[0], pair.client.sock, IO_SHUTDOWN_SEND);
    assert_int_equal(rig_collect_end(&rig, pair.server, &got), 0);
    rig_expect_pattern(&rig, &got, (size_t)taken);
    assert_int_equal(rig_collect_end(&rig, pair.server, &got), 0); /* and stays so */
    rig_finish_pair(&rig, pair);
    rig_close(&rig);
    rig_bytes_free(&got);
    free(pattern);
}

static void law_07_a_lease_is_the_callers_until_returned(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.receive_bytes = 16, .receive_count = 8});
    struct rig_bytes got = {0};
    uint8_t *pattern = rig_pattern(1000);
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    assert_int_equal(io_leases_free(rig.ios[0]), 8);
    rig.hold = true;
    uint32_t send = rig_send(&rig, pair.client, pattern, 64);
    rig_collect(&rig, pair.server, &got, 1);
    RIG_UNTIL(&rig, rig_op(&rig, send)->finals == 1);
    uint32_t held = rig.held_count;
    assert_true(held >= 1 && held <= 8);
    assert_int_equal(io_leases_free(rig.ios[0]), 8 - held);
    /* Receive into the other buffers; the held ones must keep their bytes, which `got` copied. */
    rig.hold = false;
    size_t kept = got.size;
    while (held < 8 && got.size < (size_t)rig_op(&rig, send)->result) {
        rig_collect(&rig, pair.server, &got, got.size + 1);
    }
    size_t at = 0;
    for (uint32_t i = 0; i < held; i++) {
        assert_memory_equal(rig.held[i].data, got.bytes + at, rig.held[i].size);
        at += rig.held[i].size;
    }
    assert_int_equal(at, kept);
    assert_int_equal(io_leases_free(rig.ios[0]), 8 - held);
    rig_return_held(&rig);
    assert_int_equal(io_leases_free(rig.ios[0]), 8);
    rig_finish_pair(&rig, pair);
    rig_close(&rig);
    rig_bytes_free(&got);
    free(pattern);
}

static void law_08_bytes_arrive_in_order(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.receive_bytes = 100, .batch = 3});
    struct rig_bytes got = {0};
    uint8_t *pattern = rig_pattern(20000);
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    /* Re-armed after a cancel at every step, with bytes under way. */
    size_t sent = 0;
    while (sent < 20000) {
        uint32_t size = (uint32_t)(20000 - sent < 777 ? 20000 - sent : 777);
        uint32_t send = rig_send(&rig, pair.client, pattern + sent, size);
        if (got.size < sent) {
            rig_collect(&rig, pair.server, &got, got.size + 1);
        }
        RIG_UNTIL(&rig, rig_op(&rig, send)->finals == 1 || got.size < sent);
        while (rig_op(&rig, send)->finals == 0) {
            rig_collect(&rig, pair.server, &got, got.size + 1);
        }
        assert_true(rig_op(&rig, send)->result > 0);
        sent += (size_t)rig_op(&rig, send)->result;
    }
    rig_collect(&rig, pair.server, &got, 20000);
    rig_expect_pattern(&rig, &got, 20000);
    rig_finish_pair(&rig, pair);
    rig_close(&rig);
    rig_bytes_free(&got);
    free(pattern);
}

/* Else nobody could know, by looking twice, that a peer has said nothing. */
static void law_08_what_is_there_comes_at_once(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    struct rig_bytes got = {0};
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    uint32_t send = rig_send(&rig, pair.client, "here", 4);
    RIG_UNTIL(&rig, rig_op(&rig, send)->finals == 1);
    rig_quiet(&rig);
    (void)rig_receive(&rig, pair.server, &got);
    assert_true(rig_look(&rig) + rig_look(&rig) > 0);
    rig_finish_pair(&rig, pair);
    rig_close(&rig);
    rig_bytes_free(&got);
}

/* Both are there before the receiver looks, on io_uring before the kernel's work for it has run. */
static void law_08_a_reset_right_behind_bytes_is_told(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.ios = 2});
    struct rig_bytes got = {0};
    struct rig_pair pair = rig_pair(&rig, 1, 0);
    uint32_t receive = rig_receive(&rig, pair.server, &got);
    rig_once(&rig);
    uint32_t send = rig_send(&rig, pair.client, "last", 4);
    RIG_UNTIL(&rig, rig_op(&rig, send)->finals == 1);
    size_t sent = (size_t)rig_op(&rig, send)->result; /* it may be short */
    io_close(rig.ios[1], pair.client.sock, true);
    assert_int_equal(rig_follow(&rig, receive), -ECONNRESET);
    if (!rig_simulated()) { /* there a reset takes with it what was not read */
        assert_int_equal(got.size, sent);
        assert_memory_equal(got.bytes, "last", sent);
    }
    rig_finish(&rig, pair.server);
    rig_close(&rig);
    rig_bytes_free(&got);
}

/* A real kernel does this only when its completion queue overflows (kernel fact K9); the simulation
 * and the decorator do it every time here. */
static void law_09_a_last_receive_may_have_bytes(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.receive_bytes = 64, .batch = 1});
    rig_faults(&rig, &(struct sim_options){.drop_more = SIM_RATE_ONE});
    struct rig_bytes got = {0};
    uint8_t *pattern = rig_pattern(5000);
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    rig_transfer(&rig, pair.client, pair.server, pattern, 5000, &got);
    rig_expect_pattern(&rig, &got, 5000);
    bool always = rig_simulated() || rig_inner != NULL;
    for (uint32_t op = 0; always && op < rig.ops_count; op++) {
        assert_int_equal(rig_op(&rig, op)->pieces, 0);
    }
    rig_finish_pair(&rig, pair);
    rig_close(&rig);
    rig_bytes_free(&got);
    free(pattern);
}

/* That no other error comes is held against every completion by the rig; these are provoked. */
static void law_10_errors_are_listed(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    struct rig_bytes got = {0};
    struct berth_address dead = rig_dead_address(&rig);
    uint32_t refused = rig_connect(&rig, 0, &dead);
    RIG_UNTIL(&rig, rig_op(&rig, refused)->finals == 1);
    assert_int_equal(rig_op(&rig, refused)->result, -ECONNREFUSED);
    io_close(rig.ios[0], rig_op(&rig, refused)->end.sock, false);

    struct rig_pair pair = rig_pair(&rig, 0, 0);
    io_close(rig.ios[0], pair.client.sock, true);
    assert_int_equal(rig_collect_end(&rig, pair.server, &got), -ECONNRESET);
    uint32_t send = rig_send(&rig, pair.server, "x", 1);
    RIG_UNTIL(&rig, rig_op(&rig, send)->finals == 1);
    assert_int_equal(rig_op(&rig, send)->result, -EPIPE); /* and no SIGPIPE: K5 */
    rig_finish(&rig, pair.server);

    pair = rig_pair(&rig, 0, 0);
    io_shutdown(rig.ios[0], pair.client.sock, IO_SHUTDOWN_SEND);
    send = rig_send(&rig, pair.client, "x", 1);
    RIG_UNTIL(&rig, rig_op(&rig, send)->finals == 1);
    assert_int_equal(rig_op(&rig, send)->result, -EPIPE);
    rig_finish_pair(&rig, pair);
    rig_close(&rig);
    rig_bytes_free(&got);
}

static void law_11_time_stands_within_a_turn(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    uint64_t before = io_now(rig.ios[0]);
    assert_true(before > 0);
    uint64_t seen[8];
    for (size_t i = 0; i < 8; i++) {
        for (int spin = 0; spin < 1000; spin++) { /* real time passes, this clock does not */
            assert_int_equal(io_now(rig.ios[0]), before);
        }
        seen[i] = io_random(rig.ios[0]);
        for (size_t k = 0; k < i; k++) {
            assert_true(seen[i] != seen[k]);
        }
        (void)io_reap(rig.ios[0], rig.batch, 1, before + 1000000);
        assert_true(io_now(rig.ios[0]) >= before);
        before = io_now(rig.ios[0]);
    }
    rig_close(&rig);
}

static void check_token(enum io_op op, uint32_t generation, uint32_t slot)
{
    uint64_t token = io_token(op, generation, slot);
    assert_int_equal(io_token_op(token), op);
    assert_int_equal(io_token_generation(token), generation);
    assert_int_equal(io_token_slot(token), slot);
}

/* The caller's half is to compare generations; the backend's half, here, is that nothing meant for
 * an operation that is over (a cancel, an event of the kernel) reaches a later one in its place. */
static void law_12_stale_tokens_are_dropped(void **state)
{
    (void)state;
    check_token(IO_ACCEPT, 0, 0);
    check_token(IO_SEND, IO_GENERATION_MASK, UINT32_MAX);
    check_token(IO_RECEIVE, 1, 1u << 31);
    check_token(IO_CONNECT, 0x800000, 77);
    assert_true(io_token(IO_SEND, 1, 5) != io_token(IO_SEND, 2, 5));
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.socks_max = 2});
    rig_faults(&rig, &(struct sim_options){.cancel_loses = SIM_RATE_ONE / 2});
    for (int round = 0; round < ROUNDS / 4; round++) { /* some wait a real turn in vain */
        struct rig_pair old = rig_pair(&rig, 0, 0);
        uint32_t send = rig_send(&rig, old.client, "x", 1);
        (void)rig_receive(&rig, old.server, NULL);
        RIG_UNTIL(&rig, rig_op(&rig, send)->finals == 1);
        io_cancel(rig.ios[0], old.server.sock, IO_RECEIVE);
        rig_finish_pair(&rig, old);
        /* The same two places, at once. */
        struct rig_pair young = rig_pair(&rig, 0, 0);
        uint32_t server = rig_receive(&rig, young.server, NULL);
        uint32_t client = rig_receive(&rig, young.client, NULL);
        if (round == 0) {
            rig_quiet(&rig);
        } else {
            rig_once(&rig);
        }
        assert_int_equal(rig_op(&rig, server)->finals, 0);
        assert_int_equal(rig_op(&rig, client)->finals, 0);
        rig_finish_pair(&rig, young);
    }
    rig_close(&rig);
}

const struct CMUnitTest rig_tests_laws[] = {
    cmocka_unit_test(law_01_one_final_completion),
    cmocka_unit_test(law_02_completions_only_from_reap),
    cmocka_unit_test(law_03_cancel_is_a_wish),
    cmocka_unit_test(law_03_a_cancel_that_is_late_hurts_no_other),
    cmocka_unit_test(law_04_one_receive_and_one_send_at_once),
    cmocka_unit_test(law_05_shut_down_join_close),
    cmocka_unit_test(law_06_any_send_may_be_short_and_0_is_the_end),
    cmocka_unit_test(law_07_a_lease_is_the_callers_until_returned),
    cmocka_unit_test(law_08_bytes_arrive_in_order),
    cmocka_unit_test(law_08_what_is_there_comes_at_once),
    cmocka_unit_test(law_08_a_reset_right_behind_bytes_is_told),
    cmocka_unit_test(law_09_a_last_receive_may_have_bytes),
    cmocka_unit_test(law_10_errors_are_listed),
    cmocka_unit_test(law_11_time_stands_within_a_turn),
    cmocka_unit_test(law_12_stale_tokens_are_dropped),
};
const size_t rig_tests_laws_count = sizeof rig_tests_laws / sizeof *rig_tests_laws;
