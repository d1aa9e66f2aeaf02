/* Bytes: their order through leases of every size, what happens when buffers or space run out, and
 * how a stream ends. The same on every backend.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conform/help_rig.h"

static void through_buffers_of(uint32_t receive_bytes, uint32_t receive_count, uint32_t count)
{
    struct rig rig;
    rig_open(&rig,
             &(struct rig_setup){.receive_bytes = receive_bytes, .receive_count = receive_count});
    struct rig_bytes got = {0};
    uint8_t *pattern = rig_pattern(count);
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    rig_transfer(&rig, pair.client, pair.server, pattern, count, &got);
    rig_expect_pattern(&rig, &got, count);
    got.size = 0;
    rig_transfer(&rig, pair.server, pair.client, pattern, count, &got);
    rig_expect_pattern(&rig, &got, count);
    rig_finish_pair(&rig, pair);
    rig_close(&rig);
    rig_bytes_free(&got);
    free(pattern);
}

static void order_through_1_byte_buffers(void **state)
{
    (void)state;
    through_buffers_of(1, 4, 1500);
    through_buffers_of(1, 1, 300);
}

static void order_through_3_byte_buffers(void **state)
{
    (void)state;
    through_buffers_of(3, 8, 6000);
}

static void order_through_25_byte_buffers(void **state)
{
    (void)state;
    through_buffers_of(25, 2, rig_bytes_count(50000));
}

static void order_through_64_kib_buffers(void **state)
{
    (void)state;
    bool quick = rig_simulated() || rig_inner != NULL; /* pieces may be of a few bytes */
    through_buffers_of(65536, 16, rig_bytes_count(quick ? 200000 : 4000000));
}

static void both_directions_at_once(void **state)
{
    (void)state;
    const uint32_t count = rig_bytes_count(100000);
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.ios = 2, .receive_bytes = 1000});
    struct rig_bytes at[2] = {0};
    uint8_t *pattern = rig_pattern(count);
    struct rig_pair pair = rig_pair(&rig, 0, 1);
    struct rig_end ends[2] = {pair.client, pair.server};
    size_t sent[2] = {0};
    uint32_t sends[2];
    uint32_t receives[2];
    for (int i = 0; i < 2; i++) {
        receives[i] = rig_receive(&rig, ends[i], &at[i]);
        sends[i] = rig_send(&rig, ends[i], pattern, count);
    }
    rig_wait_begin(&rig, "both directions are done");
    while (at[0].size < count || at[1].size < count) {
        (void)rig_turn(&rig);
        for (int i = 0; i < 2; i++) {
            if (rig_op(&rig, receives[i])->finals == 1) {
                receives[i] = rig_receive(&rig, ends[i], &at[i]);
            }
            if (rig_op(&rig, sends[i])->finals == 1 && sent[i] < count) {
                assert_true(rig_op(&rig, sends[i])->result > 0);
                sent[i] += (size_t)rig_op(&rig, sends[i])->result;
                if (sent[i] < count) {
                    sends[i] =
                        rig_send(&rig, ends[i], pattern + sent[i], (uint32_t)(count - sent[i]));
                }
            }
        }
    }
    rig_finish_pair(&rig, pair);
    rig_expect_pattern(&rig, &at[0], count);
    rig_expect_pattern(&rig, &at[1], count);
    rig_close(&rig);
    rig_bytes_free(&at[0]);
    rig_bytes_free(&at[1]);
    free(pattern);
}

/* One send of 16 spans, resumed in the middle of one as often as the system takes it short. */
static void spans_are_one_run_of_bytes(void **state)
{
    (void)state;
    const uint32_t sizes[IO_SPANS_MAX] = {1,    4,  4000, 1, 16384, 25, 3,    100,
                                          9000, 17, 1,    1, 5000,  64, 1024, 7};
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    rig_faults(&rig, &(struct sim_options){.short_send = SIM_RATE_ONE / 4});
    struct rig_bytes got = {0};
    uint8_t *pattern = rig_pattern(40000);
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    struct io_span spans[IO_SPANS_MAX];
    size_t total = 0;
    for (uint32_t i = 0; i < IO_SPANS_MAX; i++) {
        spans[i] = (struct io_span){.data = pattern + total, .size = sizes[i]};
        total += sizes[i];
    }
    size_t sent = 0;
    for (uint32_t first = 0; first < IO_SPANS_MAX;) {
        uint32_t op = rig_send_spans(&rig, pair.client, spans + first, IO_SPANS_MAX - first);
        RIG_UNTIL(&rig, rig_op(&rig, op)->finals == 1);
        assert_true(rig_op(&rig, op)->result > 0);
        uint32_t left = (uint32_t)rig_op(&rig, op)->result;
        sent += left;
        for (; first < IO_SPANS_MAX && left >= spans[first].size; first++) {
            left -= spans[first].size;
        }
        if (first < IO_SPANS_MAX) {
            spans[first].data += left;
            spans[first].size -= left;
        }
        rig_collect(&rig, pair.server, &got, sent);
    }
    rig_expect_pattern(&rig, &got, total);
    rig_finish_pair(&rig, pair);
    rig_close(&rig);
    rig_bytes_free(&got);
    free(pattern);
}

static void a_full_socket_keeps_its_send(void **state)
{
    (void)state;
    const uint32_t block = 1 << 20;
    if (rig_byte_by_byte()) {
        skip(); /* fills a socket */
    }
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.receive_bytes = 65536});
    struct rig_bytes got = {0};
    uint8_t *bytes = calloc(1, block);
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    uint32_t blocked;
    size_t taken = rig_fill(&rig, pair.client, bytes, block, &blocked);
    assert_true(taken > 0);
    /* The peer reads: the send goes on by itself, and every byte that was counted arrives. */
    uint32_t receive = rig_receive(&rig, pair.server, &got);
    rig_wait_begin(&rig, "the send goes on");
    while (rig_op(&rig, blocked)->finals == 0) {
        (void)rig_turn(&rig);
        if (rig_op(&rig, receive)->finals == 1) {
            receive = rig_receive(&rig, pair.server, &got);
        }
    }
    assert_true(rig_op(&rig, blocked)->result > 0);
    taken += (size_t)rig_op(&rig, blocked)->result;
    io_shutdown(rig.ios[0], pair.client.sock, IO_SHUTDOWN_SEND);
    io_cancel(rig.ios[0], pair.server.sock, IO_RECEIVE);
    rig_join(&rig, pair.server);
    assert_int_equal(rig_collect_end(&rig, pair.server, &got), 0);
    assert_int_equal(got.size, taken);
    rig_finish_pair(&rig, pair);
    rig_close(&rig);
    rig_bytes_free(&got);
    free(bytes);
}

static void cancel_of_a_send_loses_no_count(void **state)
{
    (void)state;
    const uint32_t block = 1 << 20;
    if (rig_byte_by_byte()) {
        skip(); /* fills a socket */
    }
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.receive_bytes = 65536});
    struct rig_bytes got = {0};
    uint8_t *bytes = calloc(1, block);
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    uint32_t blocked;
    size_t taken = rig_fill(&rig, pair.client, bytes, block, &blocked);
    io_cancel(rig.ios[0], pair.client.sock, IO_SEND);
    RIG_UNTIL(&rig, rig_op(&rig, blocked)->finals == 1);
    int32_t result = rig_op(&rig, blocked)->result;
    assert_true(result == -ECANCELED || result > 0);
    taken += result > 0 ? (size_t)result : 0;
    io_shutdown(rig.ios[0], pair.client.sock, IO_SHUTDOWN_SEND);
    assert_int_equal(rig_collect_end(&rig, pair.server, &got), 0);
    assert_int_equal(got.size, taken);
    rig_finish_pair(&rig, pair);
    rig_close(&rig);
    rig_bytes_free(&got);
    free(bytes);
}

static void shutdown_ends_a_send_that_waits(void **state)
{
    (void)state;
    const uint32_t block = 1 << 20;
    if (rig_byte_by_byte()) {
        skip(); /* fills a socket */
    }
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    uint8_t *bytes = calloc(1, block);
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    uint32_t blocked;
    (void)rig_fill(&rig, pair.client, bytes, block, &blocked);
    io_shutdown(rig.ios[0], pair.client.sock, IO_SHUTDOWN_SEND);
    RIG_UNTIL(&rig, rig_op(&rig, blocked)->finals == 1);
    assert_int_equal(rig_op(&rig, blocked)->result, -EPIPE);
    rig_finish_pair(&rig, pair);
    rig_close(&rig);
    free(bytes);
}

static void no_buffer_then_return_then_all_arrives(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.receive_bytes = 16, .receive_count = 4});
    struct rig_bytes got = {0};
    uint8_t *pattern = rig_pattern(120);
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    rig_send_all(&rig, pair.client, pattern, 120);
    bool starved = false;
    rig.hold = true;
    while (got.size < 120) {
        uint32_t receive = rig_receive(&rig, pair.server, &got);
        RIG_UNTIL(&rig, rig_op(&rig, receive)->finals == 1 || got.size == 120);
        if (rig_op(&rig, receive)->result == -ENOBUFS && io_leases_free(rig.ios[0]) == 0) {
            starved = true;
            assert_int_equal(rig.held_count, 4);
            rig_return_held(&rig);
        }
    }
    assert_true(starved); /* 120 bytes do not fit into 4 buffers of 16 */
    struct io_stats stats;
    io_stats(rig.ios[0], &stats);
    assert_true(stats.no_buffer >= 1);
    rig.hold = false;
    rig_expect_pattern(&rig, &got, 120);
    rig_finish_pair(&rig, pair);
    rig_close(&rig);
    rig_bytes_free(&got);
    free(pattern);
}

/* Many starve together; each goes on when it is started again. */
static void many_starve_and_all_recover(void **state)
{
    (void)state;
    enum { PAIRS = 10 };
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.receive_bytes = 8, .receive_count = 2});
    struct rig_pair pairs[PAIRS];
    struct rig_bytes got[PAIRS] = {0};
    uint32_t receives[PAIRS];
    uint8_t *pattern = rig_pattern(100);
    for (int i = 0; i < PAIRS; i++) {
        pairs[i] = rig_pair(&rig, 0, 0);
        rig_send_all(&rig, pairs[i].client, pattern, 100);
    }
    for (int i = 0; i < PAIRS; i++) {
        receives[i] = rig_receive(&rig, pairs[i].server, &got[i]);
    }
    rig.hold = true;
    rig_wait_begin(&rig, "all have their 100 bytes");
    for (int done = 0; done < PAIRS;) {
        (void)rig_turn(&rig); /* two get a buffer, and keep it while the others want one */
        rig_return_held(&rig);
        done = 0;
        for (int i = 0; i < PAIRS; i++) {
            done += got[i].size == 100 ? 1 : 0;
            if (rig_op(&rig, receives[i])->finals == 1) {
                receives[i] = rig_receive(&rig, pairs[i].server, &got[i]);
            }
        }
    }
    rig.hold = false;
    for (int i = 0; i < PAIRS; i++) {
        rig_finish_pair(&rig, pairs[i]);
        rig_expect_pattern(&rig, &got[i], 100);
        rig_bytes_free(&got[i]);
    }
    rig_close(&rig);
    free(pattern);
}

static void a_half_closed_peer_still_hears_the_answer(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    struct rig_bytes asked = {0};
    struct rig_bytes answered = {0};
    uint8_t *pattern = rig_pattern(5000);
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    rig_transfer(&rig, pair.client, pair.server, pattern, 1000, &asked);
    io_shutdown(rig.ios[0], pair.client.sock, IO_SHUTDOWN_SEND);
    assert_int_equal(rig_collect_end(&rig, pair.server, &asked), 0);
    rig_expect_pattern(&rig, &asked, 1000);
    rig_transfer(&rig, pair.server, pair.client, pattern, 5000, &answered);
    rig_expect_pattern(&rig, &answered, 5000);
    io_close(rig.ios[0], pair.server.sock, false);
    assert_int_equal(rig_collect_end(&rig, pair.client, &answered), 0);
    io_close(rig.ios[0], pair.client.sock, false);
    rig_close(&rig);
    rig_bytes_free(&asked);
    rig_bytes_free(&answered);
    free(pattern);
}

static void a_close_sends_all_that_was_taken(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    struct rig_bytes got = {0};
    uint8_t *pattern = rig_pattern(50000);
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    uint32_t send = rig_send(&rig, pair.client, pattern, 50000);
    RIG_UNTIL(&rig, rig_op(&rig, send)->finals == 1);
    size_t taken = (size_t)rig_op(&rig, send)->result;
    io_close(rig.ios[0], pair.client.sock, false);
    assert_int_equal(rig_collect_end(&rig, pair.server, &got), 0);
    rig_expect_pattern(&rig, &got, taken);
    rig_finish(&rig, pair.server);
    rig_close(&rig);
    rig_bytes_free(&got);
    free(pattern);
}

static void a_reset_is_seen_after_the_bytes_before_it(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    for (int armed = 0; armed < 2; armed++) { /* is a receive in flight when the reset comes? */
        struct rig_bytes got = {0};
        struct rig_pair pair = rig_pair(&rig, 0, 0);
        uint32_t receive = armed == 1 ? rig_receive(&rig, pair.server, &got) : 0;
        uint32_t send = rig_send(&rig, pair.client, "abcd", 4);
        RIG_UNTIL(&rig, rig_op(&rig, send)->finals == 1);
        io_close(rig.ios[0], pair.client.sock, true);
        if (armed == 0) {
            rig_quiet(&rig);
            receive = rig_receive(&rig, pair.server, &got);
        }
        assert_int_equal(rig_follow(&rig, receive), -ECONNRESET);
        assert_true(got.size <= 4);
        assert_true(got.size == 0 || memcmp(got.bytes, "abcd", got.size) == 0);
        rig_finish(&rig, pair.server);
        rig_bytes_free(&got);
    }
    rig_close(&rig);
}

/* How many pages of a block are in memory. */
static size_t resident_pages(void *block, size_t bytes)
{
    size_t pages = bytes / (size_t)sysconf(_SC_PAGESIZE);
    size_t resident = 0;
    unsigned char *map = malloc(pages);
    assert_non_null(map);
    assert_int_equal(mincore(block, bytes, map), 0);
    for (size_t i = 0; i < pages; i++) {
        resident += map[i] & 1;
    }
    free(map);
    return resident;
}

/* The seed's block ended at 2.147 GB, where its 32-bit offsets did. Every buffer of 8 GiB is used:
 * each byte that comes takes one, and is held. A buffer costs the page that is touched, so the rest
 * stays address space. (The simulation overwrites what is given back, all of it.) */
static void a_block_of_eight_gigabytes_is_used_to_its_end(void **state)
{
    (void)state;
    const uint32_t buffer = 1 << 20;
    const uint32_t count = 8192;
    bool faults = rig_inner != NULL && (rig_seed != 0 || rig_byte_by_byte());
    if (rig_simulated() || faults) { /* where a buffer lies is the same in every plan */
        return;
    }
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.receive_bytes = buffer, .receive_count = count});
    struct rig_bytes got = {0};
    uint8_t *pattern = rig_pattern(count);
    struct rig_pair pair = rig_pair(&rig, 0, 0);
    rig.hold = true;
    for (uint32_t i = 0; i < count; i++) {
        rig_send_all(&rig, pair.client, pattern + i, 1);
        rig_collect(&rig, pair.server, &got, i + 1);
    }
    rig_expect_pattern(&rig, &got, count);
    assert_int_equal(rig.held_count, count);
    size_t lowest = SIZE_MAX;
    size_t highest = 0;
    for (uint32_t i = 0; i < count; i++) { /* what came first was not written over */
        assert_int_equal(rig.held[i].size, 1);
        assert_int_equal(rig.held[i].data[0], pattern[i]);
        size_t at = (size_t)(rig.held[i].data - rig.buffers[0]);
        lowest = at < lowest ? at : lowest;
        highest = at > highest ? at : highest;
    }
    assert_int_equal(lowest, 0);
    assert_true(highest == (size_t)buffer * (count - 1)); /* above 2^31, and above 2^32 */
    size_t resident = resident_pages(rig.buffers[0], (size_t)buffer * count);
    if (resident > count + count / 8) {
        rig_fail(&rig, "%zu pages for %u buffers", resident, count);
    }
    rig_return_held(&rig);
    rig_finish_pair(&rig, pair);
    rig_close(&rig);
    rig_bytes_free(&got);
    free(pattern);
}

const struct CMUnitTest rig_tests_streams[] = {
    cmocka_unit_test(order_through_1_byte_buffers),
    cmocka_unit_test(order_through_3_byte_buffers),
    cmocka_unit_test(order_through_25_byte_buffers),
    cmocka_unit_test(order_through_64_kib_buffers),
    cmocka_unit_test(both_directions_at_once),
    cmocka_unit_test(spans_are_one_run_of_bytes),
    cmocka_unit_test(a_full_socket_keeps_its_send),
    cmocka_unit_test(cancel_of_a_send_loses_no_count),
    cmocka_unit_test(shutdown_ends_a_send_that_waits),
    cmocka_unit_test(no_buffer_then_return_then_all_arrives),
    cmocka_unit_test(many_starve_and_all_recover),
    cmocka_unit_test(a_half_closed_peer_still_hears_the_answer),
    cmocka_unit_test(a_close_sends_all_that_was_taken),
    cmocka_unit_test(a_reset_is_seen_after_the_bytes_before_it),
    cmocka_unit_test(a_block_of_eight_gigabytes_is_used_to_its_end),
};
const size_t rig_tests_streams_count = sizeof rig_tests_streams / sizeof *rig_tests_streams;
