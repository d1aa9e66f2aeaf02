/* The account of a connection of berthd's: what a mark makes of a message, and above all which
 * frames were handed to the system, however the bytes left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "account.h"

#define SIZE       60
#define FRAMES_MAX 400

static struct account account;
static uint8_t bytes[SIZE];

static struct berth_message marked(uint32_t connection, uint64_t sequence)
{
    const struct mark mark = {
        .run = 9, .client = 8, .connection = connection, .sequence = sequence, .length = SIZE};
    mark_write(&mark, bytes);
    return (struct berth_message){.data = bytes, .size = SIZE, .header_bytes = 4};
}

static struct account_look receive(struct berth_message message)
{
    return account_receive(&account, &message, 0);
}

static void looks(struct account_look look, unsigned reject, unsigned exception, uint64_t sequence,
                  uint64_t expected)
{
    assert_int_equal(look.reject, reject);
    assert_int_equal(look.exception, exception);
    assert_int_equal(look.sequence, sequence);
    assert_int_equal(look.expected, expected);
}

static void begin(void)
{
    account_fini(&account);
    memset(&account, 0, sizeof account);
}

static void messages_in_their_order(void **state)
{
    (void)state;
    begin();
    for (uint64_t i = 1; i <= 5; i++) {
        looks(receive(marked(3, i)), 0, 0, i, i);
    }
    assert_int_equal(account.received.count, 5);
    assert_int_equal(account.received.bytes, 5 * SIZE);
    assert_int_equal(account.received.wire, 5 * (SIZE + 4));
    assert_true(account.run == 9 && account.client == 8 && account.connection == 3);
}

static void gaps_and_duplicates(void **state)
{
    (void)state;
    begin();
    looks(receive(marked(3, 2)), 0, LEDGER_GAP, 2, 1);
    looks(receive(marked(3, 2)), 0, LEDGER_DUPLICATED, 2, 3);
    looks(receive(marked(3, 3)), 0, 0, 3, 3);
    looks(receive(marked(3, 7)), 0, LEDGER_GAP, 7, 4);
    looks(receive(marked(3, 1)), 0, LEDGER_DUPLICATED, 1, 8);
    looks(receive(marked(3, 8)), 0, 0, 8, 8);
}

/* A damaged one stands in the place of the expected one, so that the next is no gap. */
static void damaged_and_foreign_ones_are_rejected(void **state)
{
    (void)state;
    begin();
    (void)receive(marked(3, 1));
    struct berth_message message = marked(3, 2);
    bytes[50] ^= 1;
    looks(receive(message), ACCOUNT_DAMAGED, LEDGER_CORRUPTED, 0, 2);
    looks(receive(marked(3, 3)), 0, 0, 3, 3);
    looks(receive(marked(4, 4)), ACCOUNT_FOREIGN, LEDGER_FOREIGN, 4, 4);
    message = (struct berth_message){.data = (const uint8_t *)"hello", .size = 5};
    looks(receive(message), ACCOUNT_DAMAGED, LEDGER_CORRUPTED, 0, 4);
    assert_int_equal(account.received.count, 5);
    assert_int_equal(account.damaged.count, 2);
    assert_int_equal(account.damaged.bytes, SIZE + 5);
    assert_int_equal(account.foreign.count, 1);
}

/* Messages without marks are everybody's, as long as none had one. */
static void a_plain_connection_is_let_be(void **state)
{
    const struct berth_message hello = {.data = (const uint8_t *)"hello", .size = 5};
    (void)state;
    begin();
    looks(receive(hello), 0, 0, 0, 0);
    looks(receive(hello), 0, 0, 0, 0);
    assert_int_equal(account.next, 0);
    struct berth_message message = marked(3, 1);
    bytes[0] ^= 1; /* in the magic number: it is no plain one */
    looks(receive(message), ACCOUNT_DAMAGED, LEDGER_CORRUPTED, 0, 0);
    looks(receive(marked(3, 2)), 0, LEDGER_GAP, 2, 1);
}

/* ---- frames ---- */

static uint32_t random_state = 1;

static uint32_t below(uint32_t limit)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % limit;
}

/* Frames of `sizes` different sizes, queued and sent in turn, in pieces of any size; at every
 * moment the account knows which are out, whole. */
static void frames_against_a_table(uint32_t sizes, uint32_t ahead)
{
    uint32_t frames[FRAMES_MAX];
    uint64_t queued = 0;
    uint64_t sent = 0;
    uint32_t made = 0;
    begin();
    while (made < FRAMES_MAX || sent < queued) {
        if (made < FRAMES_MAX && (below(2) == 0 || queued - sent < ahead)) {
            bool refusal = below(8) == 0;
            frames[made] = 52 + below(sizes);
            if (refusal) {
                account_refuse(&account, frames[made]);
            } else {
                account_reply(&account, frames[made], made, true);
            }
            queued += frames[made];
            frames[made] |= refusal ? 1u << 31 : 0;
            made++;
        } else if (sent < queued) {
            uint32_t some = 1 + below((uint32_t)(queued - sent));
            account_sent(&account, some);
            sent += some;
        }
        struct account_amount out = {0};
        struct account_amount refusals = {0};
        uint64_t at = 0;
        for (uint32_t i = 0; i < made && at + (frames[i] & INT32_MAX) <= sent; i++) {
            struct account_amount *which = frames[i] >> 31 != 0 ? &refusals : &out;
            at += frames[i] & INT32_MAX;
            which->count++;
            which->wire += frames[i] & INT32_MAX;
        }
        assert_memory_equal(&account.out, &out, sizeof out);
        assert_memory_equal(&account.refusals_out, &refusals, sizeof refusals);
        assert_int_equal(account.part, sent - at);
    }
    assert_false(account.untraced);
}

static void what_is_out_is_known_exactly(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 20; round++) {
        frames_against_a_table(1, 100);
        frames_against_a_table(2, 1000);
        frames_against_a_table(60, 5000); /* more runs than lie in the account */
    }
}

/* Kept messages are answered in any order, and leave in theirs. */
static void kept_messages_leave_in_their_order(void **state)
{
    struct ledger_page page = {.count = 0};
    (void)state;
    begin();
    for (uint64_t i = 1; i <= 4; i++) {
        struct berth_message message = marked(3, i);
        (void)receive(message);
        account_dispatch(&account, &message, 0, true);
        account_reply(&account, 100 + (uint32_t)i, (uint32_t)i, false);
    }
    account_answered(&account, 1, 103);
    assert_int_equal(account.out.count, 0);
    account_answered(&account, 1, 101);
    account_sent(&account,
                 101 + 50); /* one whole, and a part: that of message 2 was not made yet */
    account_lines(&account, BERTH_REASON_RESET, &page);
    assert_int_equal(account.out.count, 1);
    uint64_t seen = 0;
    for (size_t i = 0; i < page.count; i++) {
        const struct ledger_record *line = &page.records[i];
        if (line->kind == LEDGER_MADE) {
            assert_true(line->count == 2 && line->wire == 204);
            seen++;
        } else if (line->kind == LEDGER_OUT) {
            assert_true(line->count == 1 && line->wire == 101 && line->reason == 0);
            seen++;
        } else if (line->kind == LEDGER_DROPPED) {
            assert_true(line->count == 1 && line->wire == 103 && line->bytes == 50);
            assert_int_equal(line->reason, BERTH_REASON_RESET);
            seen++;
        } else if (line->kind == LEDGER_UNREPLIED) {
            assert_true(line->count == 2 && line->reason == BERTH_REASON_RESET);
            seen++;
        }
    }
    assert_int_equal(seen, 4);
}

static const struct ledger_record *line_of(const struct ledger_page *page, unsigned kind,
                                           unsigned reason)
{
    for (size_t i = 0; i < page->count; i++) {
        if (page->records[i].kind == kind && page->records[i].reason == reason) {
            return &page->records[i];
        }
    }
    fail_msg("no line %u with reason %u", kind, reason);
    return NULL;
}

static void sums_are_those_of_the_connections(void **state)
{
    struct account_sums sums = {0};
    struct account_sums all = {0};
    struct ledger_page page = {.count = 0};
    (void)state;
    for (int connection = 0; connection < 3; connection++) {
        begin();
        for (uint64_t i = 1; i <= 6; i++) {
            struct berth_message message = marked(3, i);
            (void)receive(message);
            account_dispatch(&account, &message, 0, i % 3 == 0);
            if (i % 3 == 0) {
                account_reply(&account, 68, (uint32_t)i, true);
            }
        }
        account_sent(&account, 68);
        account_add(&sums, &account, BERTH_REASON_PEER);
    }
    account_sums_merge(&all, &sums);
    account_sums_merge(&all, &sums);
    account_sums_lines(&all, &page);
    assert_int_equal(line_of(&page, LEDGER_CONNECTION | LEDGER_TOTAL, 0)->count, 6);
    assert_int_equal(line_of(&page, LEDGER_RECEIVED | LEDGER_TOTAL, 0)->count, 36);
    assert_int_equal(line_of(&page, LEDGER_DISPATCHED | LEDGER_TOTAL, 0)->bytes, 36 * SIZE);
    assert_int_equal(line_of(&page, LEDGER_MADE | LEDGER_TOTAL, 0)->wire, 12 * 68);
    assert_int_equal(line_of(&page, LEDGER_OUT | LEDGER_TOTAL, 0)->count, 6);
    assert_int_equal(line_of(&page, LEDGER_DROPPED | LEDGER_TOTAL, BERTH_REASON_PEER)->count, 6);
    assert_int_equal(line_of(&page, LEDGER_UNREPLIED | LEDGER_TOTAL, ACCOUNT_NOT_ASKED)->count, 24);
    assert_int_equal(line_of(&page, LEDGER_IDS | LEDGER_TOTAL, 0)->bytes, 6 * (3 + 6));
}

static int tear_down(void **state)
{
    (void)state;
    account_fini(&account);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_in_their_order),
        cmocka_unit_test(gaps_and_duplicates),
        cmocka_unit_test(damaged_and_foreign_ones_are_rejected),
        cmocka_unit_test(a_plain_connection_is_let_be),
        cmocka_unit_test(what_is_out_is_known_exactly),
        cmocka_unit_test(kept_messages_leave_in_their_order),
        cmocka_unit_test(sums_are_those_of_the_connections),
    };
    return cmocka_run_group_tests_name("account", tests, NULL, tear_down);
}
