/* The account of a connection: each kind of odd reply is what it is, every message has one fate,
 * and the lines in the ledger say it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "account.h"
#include "common/little.h"
#include "tally.h"

#define RUN        UINT64_C(0xfedcba9876543210)
#define CLIENT     7
#define CONNECTION 3
#define SIZE       60
#define LINES_MAX  200
#define TIME_NS    1000

static char path[64];
static char why[LEDGER_WHY_BYTES];

/* A connection as link.c has it. */
static struct {
    struct message_plan plan;
    struct ledger *ledger;
    struct account_totals totals;
    struct account account;
    struct verifier verifier;
    uint32_t outstanding;
    uint64_t sent;
    uint32_t id;
    uint8_t bytes[200];
    struct ledger_record lines[LINES_MAX]; /* of the file, once it is closed */
    size_t lines_count;
} rig;

static void begin(uint32_t sent)
{
    static const struct ledger_text text = {.length = 0};
    memset(&rig, 0, sizeof rig);
    assert_true(message_plan_make_marked(&rig.plan, SIZE, SIZE, RUN, CLIENT));
    rig.ledger = ledger_open(path, &text, why);
    assert_non_null(rig.ledger);
    rig.account = (struct account){.ledger = rig.ledger, .totals = &rig.totals, .plan = &rig.plan};
    account_begin(&rig.account, CONNECTION);
    rig.verifier = (struct verifier){.plan = &rig.plan, .with_id = true};
    message_cursor_start(&rig.plan, &rig.verifier.expected, CONNECTION);
    rig.sent = sent;
    rig.outstanding = sent;
    rig.id = 100;
}

/* The reply to message `sequence`, with the next id. */
static struct berth_message reply_to(uint64_t sequence)
{
    struct message_cursor cursor;
    message_cursor_at(&rig.plan, &cursor, CONNECTION, sequence);
    cursor.time_ns = TIME_NS;
    little_put32(rig.bytes, rig.id++);
    message_write(&rig.plan, &cursor, SIZE, rig.bytes + REPLY_ID_BYTES);
    return (struct berth_message){
        .data = rig.bytes, .size = SIZE + REPLY_ID_BYTES, .header_bytes = 4};
}

static struct berth_message refusal_of(uint64_t sequence)
{
    const struct mark mark = {.run = RUN,
                              .sequence = sequence,
                              .client = CLIENT,
                              .connection = CONNECTION,
                              .length = MARK_BYTES,
                              .refusal = MARK_REFUSED_DAMAGED};
    little_put32(rig.bytes, rig.id++);
    mark_write(&mark, rig.bytes + REPLY_ID_BYTES);
    return (struct berth_message){
        .data = rig.bytes, .size = MARK_BYTES + REPLY_ID_BYTES, .header_bytes = 4};
}

/* As link.c takes a reply. */
static struct account_step take(struct berth_message reply)
{
    struct account_step step = {.settled = 1, .answered = true};
    rig.verifier.expected.time_ns = TIME_NS;
    enum reply_verdict verdict = rig.outstanding == 0
                                     ? REPLY_UNASKED
                                     : verifier_check(&rig.verifier, reply.data, reply.size);
    if (verdict == REPLY_RIGHT) {
        account_right(&rig.account, rig.verifier.expected.index - 1, 1, reply.size,
                      reply.size + reply.header_bytes);
    } else {
        const struct account_reply odd = {.verdict = verdict,
                                          .message = &reply,
                                          .outstanding = rig.outstanding,
                                          .wire = reply.size + reply.header_bytes};
        step = account_odd(&rig.account, &rig.verifier, &odd);
    }
    assert_true(step.settled <= rig.outstanding);
    rig.outstanding -= step.settled;
    assert_int_equal(rig.verifier.expected.index, rig.sent - rig.outstanding + 1);
    return step;
}

static void read_lines(void)
{
    uint8_t bytes[LEDGER_RECORD_BYTES];
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    while (fread(bytes, sizeof bytes, 1, in) == 1) {
        assert_true(rig.lines_count < LINES_MAX);
        rig.lines[rig.lines_count++] = (struct ledger_record){
            .kind = bytes[0],
            .reason = bytes[1],
            .client = little_get32(bytes + 4),
            .connection = little_get32(bytes + 8),
            .first = little_get64(bytes + 16),
            .last = little_get64(bytes + 24),
            .count = little_get64(bytes + 32),
            .bytes = little_get64(bytes + 40),
            .wire = little_get64(bytes + 48),
        };
    }
    fclose(in);
}

/* The connection ends, with `unsent` that were planned. */
static void end(uint64_t unsent, uint32_t reason)
{
    const struct account_end how = {.sent = rig.sent,
                                    .sent_bytes = rig.sent * SIZE,
                                    .unanswered = rig.outstanding,
                                    .unsent = unsent,
                                    .reason = reason,
                                    .closed = BERTH_REASON_PEER};
    account_close(&rig.account, &rig.verifier, &how);
    assert_true(ledger_close(rig.ledger, &(struct ledger_page){.count = 0}, why));
    message_plan_free(&rig.plan);
    read_lines();
}

/* The line of a kind and reason; its sequences and count are these. */
static const struct ledger_record *line(unsigned kind, unsigned reason, uint64_t first,
                                        uint64_t last, uint64_t count)
{
    for (size_t i = 0; i < rig.lines_count; i++) {
        const struct ledger_record *record = &rig.lines[i];
        if (record->kind == kind && record->reason == reason && record->first == first &&
            record->last == last && record->count == count) {
            assert_int_equal(record->client, CLIENT);
            assert_int_equal(record->connection, CONNECTION);
            return record;
        }
    }
    fail_msg("no line %u, reason %u, %llu to %llu, %llu", kind, reason, (unsigned long long)first,
             (unsigned long long)last, (unsigned long long)count);
    return NULL;
}

static size_t lines_of(unsigned kind)
{
    size_t count = 0;
    for (size_t i = 0; i < rig.lines_count; i++) {
        count += rig.lines[i].kind == kind ? 1 : 0;
    }
    return count;
}

static uint64_t exceptions_of(enum ledger_kind kind)
{
    return account_exceptions(&rig.totals, kind);
}

static void a_clean_connection_has_five_lines(void **state)
{
    (void)state;
    begin(10);
    for (uint64_t i = 1; i <= 10; i++) {
        assert_true(take(reply_to(i)).answered);
    }
    end(0, 0);
    assert_int_equal(rig.lines_count, 1 + 5 + 1);
    assert_int_equal(rig.lines[1].kind, LEDGER_CONNECTION);
    assert_int_equal(rig.lines[1].first, RUN);
    assert_int_equal(rig.lines[1].reason, BERTH_REASON_PEER);
    assert_int_equal(line(LEDGER_SENT, 0, 1, 10, 10)->bytes, 10 * SIZE);
    const struct ledger_record *answered = line(LEDGER_ANSWERED, 0, 1, 10, 10);
    assert_int_equal(answered->bytes, 10 * (SIZE + 4));
    assert_int_equal(answered->wire, 10 * (SIZE + 8));
    assert_int_equal(line(LEDGER_IDS, 0, 100, 109, 10)->bytes, 1045);
    (void)line(LEDGER_SCHEDULED, 0, 0, 0, 10);
}

/* What was not answered and what was not sent, each with its reason. */
static void an_end_in_the_middle(void **state)
{
    (void)state;
    begin(10);
    for (uint64_t i = 1; i <= 4; i++) {
        (void)take(reply_to(i));
    }
    end(90, BERTH_REASON_RESET);
    (void)line(LEDGER_SCHEDULED, 0, 0, 0, 100);
    (void)line(LEDGER_SENT, 0, 1, 10, 10);
    (void)line(LEDGER_ANSWERED, 0, 1, 4, 4);
    (void)line(LEDGER_UNKNOWN, BERTH_REASON_RESET, 5, 10, 6);
    (void)line(LEDGER_NOT_SENT, BERTH_REASON_RESET, 11, 100, 90);
    assert_int_equal(rig.totals.scheduled, 100);
    assert_int_equal(rig.totals.unknown[BERTH_REASON_RESET], 6);
    assert_int_equal(rig.totals.not_sent[BERTH_REASON_RESET], 90);
}

static void a_duplicate_is_found(void **state)
{
    (void)state;
    begin(5);
    (void)take(reply_to(1));
    (void)take(reply_to(2));
    struct account_step step = take(reply_to(2));
    assert_true(step.wrong && !step.answered && !step.unasked);
    assert_int_equal(step.settled, 0);
    for (uint64_t i = 3; i <= 5; i++) {
        assert_false(take(reply_to(i)).wrong);
    }
    assert_true(
        take(reply_to(5)).wrong); /* nothing is outstanding, and it is no answer to nothing */
    end(0, 0);
    assert_int_equal(exceptions_of(LEDGER_DUPLICATED), 2);
    (void)line(LEDGER_DUPLICATED, 0, 2, 3, 1);
    (void)line(LEDGER_DUPLICATED, 0, 5, 6, 1);
    assert_int_equal(line(LEDGER_COUNTED, LEDGER_DUPLICATED, 0, 0, 2)->bytes, 2);
    (void)line(LEDGER_ANSWERED, 0, 1, 5, 5);
}

static void a_swap_is_one_reordered(void **state)
{
    (void)state;
    begin(3);
    struct account_step step = take(reply_to(2));
    assert_true(step.answered && !step.wrong);
    assert_int_equal(step.settled, 2);
    step = take(reply_to(1));
    assert_true(step.answered && step.wrong);
    assert_int_equal(step.settled, 0);
    (void)take(reply_to(3));
    end(0, 0);
    assert_int_equal(exceptions_of(LEDGER_REORDERED), 1);
    (void)line(LEDGER_REORDERED, 0, 1, 3, 1);
    (void)line(LEDGER_ANSWERED, 0, 1, 3, 3);
    assert_int_equal(lines_of(LEDGER_UNKNOWN), 0);
}

/* Replies left out, as berthd --reply every:3 does. */
static void what_is_skipped_stays_unknown(void **state)
{
    (void)state;
    begin(9);
    for (uint64_t i = 3; i <= 9; i += 3) {
        assert_false(take(reply_to(i)).wrong);
    }
    end(0, 0);
    (void)line(LEDGER_ANSWERED, 0, 3, 9, 3);
    (void)line(LEDGER_UNKNOWN, ACCOUNT_SKIPPED, 1, 2, 2);
    (void)line(LEDGER_UNKNOWN, ACCOUNT_SKIPPED, 4, 5, 2);
    (void)line(LEDGER_UNKNOWN, ACCOUNT_SKIPPED, 7, 8, 2);
    assert_int_equal(rig.totals.unknown[ACCOUNT_SKIPPED], 6);
}

/* More gaps than are kept open: the old ones are one line, and the sums stay. */
static void many_gaps_are_given_up(void **state)
{
    (void)state;
    begin(200);
    for (uint64_t i = 2; i <= 200; i += 2) {
        (void)take(reply_to(i));
    }
    assert_true(take(reply_to(199)).answered); /* kept open */
    assert_false(take(reply_to(1)).answered);  /* not any more */
    end(0, 0);
    assert_int_equal(lines_of(LEDGER_UNKNOWN), ACCOUNT_GAPS);
    (void)line(LEDGER_UNKNOWN, ACCOUNT_SKIPPED, 1, 167, 84);
    assert_int_equal(rig.totals.unknown[ACCOUNT_SKIPPED], 99);
    assert_int_equal(exceptions_of(LEDGER_REORDERED), 1);
    assert_int_equal(exceptions_of(LEDGER_DUPLICATED), 1);
    (void)line(LEDGER_ANSWERED, 0, 2, 200, 101);
}

/* A bit in the message, with the rest of the connection as before. */
static void a_damaged_reply_spoils_its_message(void **state)
{
    (void)state;
    begin(3);
    (void)take(reply_to(1));
    struct berth_message reply = reply_to(2);
    rig.bytes[REPLY_ID_BYTES + 50] ^= 4;
    struct account_step step = take(reply);
    assert_true(step.wrong && !step.answered);
    assert_int_equal(step.settled, 1);
    (void)take(reply_to(3));
    end(0, 0);
    (void)line(LEDGER_CORRUPTED, ACCOUNT_DAMAGED, 0, 2, 1);
    (void)line(LEDGER_UNKNOWN, ACCOUNT_SPOILT, 2, 2, 1);
    (void)line(LEDGER_ANSWERED, 0, 1, 3, 2);
}

/* Whoever makes a new CRC for what he changed is found by the bytes themselves. */
static void other_bytes_with_a_crc_are_corrupted(void **state)
{
    struct mark mark;
    (void)state;
    for (int which = 0; which < 2; which++) {
        begin(2);
        (void)take(reply_to(1));
        struct berth_message reply = reply_to(2);
        uint8_t *message = rig.bytes + REPLY_ID_BYTES;
        assert_int_equal(mark_read(message, SIZE, &mark), MARK_RIGHT);
        if (which == 0) {
            message[MARK_BYTES + 3] ^= 1;
        } else {
            mark.time_ns++;
        }
        mark_write(&mark, message);
        assert_false(take(reply).answered);
        end(0, 0);
        (void)line(LEDGER_CORRUPTED, ACCOUNT_BYTES, 2, 2, 1);
        (void)line(LEDGER_UNKNOWN, ACCOUNT_SPOILT, 2, 2, 1);
    }
}

static void another_connections_reply_is_corrupted(void **state)
{
    struct mark mark;
    (void)state;
    begin(2);
    struct berth_message reply = reply_to(1);
    assert_int_equal(mark_read(rig.bytes + REPLY_ID_BYTES, SIZE, &mark), MARK_RIGHT);
    mark.connection++;
    mark_write(&mark, rig.bytes + REPLY_ID_BYTES);
    assert_false(take(reply).answered);
    assert_true(take(reply_to(2)).answered);
    end(0, 0);
    (void)line(LEDGER_CORRUPTED, ACCOUNT_FOREIGN, 1, 1, 1);
}

/* An id that falls spoils its reply only. One that is too high is not seen here, but the next one
 * then falls; what remains is seen in the sum of ids. */
static void an_id_out_of_order_is_corrupted(void **state)
{
    (void)state;
    begin(4);
    (void)take(reply_to(1));
    rig.id -= 5;
    assert_false(take(reply_to(2)).answered);
    rig.id += 1000;
    assert_true(take(reply_to(3)).answered);
    rig.id -= 900;
    assert_false(take(reply_to(4)).answered);
    end(0, 0);
    (void)line(LEDGER_CORRUPTED, ACCOUNT_ID, 2, 2, 1);
    (void)line(LEDGER_CORRUPTED, ACCOUNT_ID, 4, 4, 1);
    (void)line(LEDGER_ANSWERED, 0, 1, 3, 2);
    (void)line(LEDGER_IDS, 0, 100, 1097, 2);
}

static void a_refusal_is_an_answer_of_its_own(void **state)
{
    (void)state;
    begin(4);
    (void)take(reply_to(1));
    struct account_step step = take(refusal_of(3)); /* 2 is skipped */
    assert_true(!step.answered && !step.wrong);
    assert_int_equal(step.settled, 2);
    assert_true(take(refusal_of(2)).wrong); /* and refused late */
    assert_true(take(refusal_of(3)).wrong); /* twice */
    (void)take(reply_to(4));
    end(0, 0);
    (void)line(LEDGER_REFUSED, MARK_REFUSED_DAMAGED, 2, 3, 2);
    (void)line(LEDGER_ANSWERED, 0, 1, 4, 2);
    assert_int_equal(exceptions_of(LEDGER_REORDERED), 1);
    assert_int_equal(exceptions_of(LEDGER_DUPLICATED), 1);
    assert_int_equal(lines_of(LEDGER_UNKNOWN), 0);
}

static void an_answer_to_nothing_ends_the_order(void **state)
{
    (void)state;
    begin(2);
    (void)take(reply_to(1));
    assert_true(take(reply_to(3)).unasked); /* not sent yet */
    end(0, CAUSE_WRONG);
    (void)line(LEDGER_UNASKED, 0, 3, 2, 1);
    (void)line(LEDGER_UNKNOWN, CAUSE_WRONG, 2, 2, 1);
    begin(1);
    (void)take(reply_to(1));
    struct berth_message nonsense = reply_to(1);
    rig.bytes[20] ^= 1;
    assert_true(take(nonsense).unasked);
    end(0, CAUSE_WRONG);
    assert_int_equal(lines_of(LEDGER_UNASKED), 1);
}

/* Too short even for an id. */
static void a_reply_of_three_bytes(void **state)
{
    (void)state;
    begin(1);
    struct berth_message reply = reply_to(1);
    reply.size = 3;
    assert_true(take(reply).wrong);
    end(0, 0);
    (void)line(LEDGER_CORRUPTED, ACCOUNT_DAMAGED, 0, 1, 1);
}

/* Bytes that the library saw and nobody was given, when every answer was there. */
static void late_bytes_are_an_exception(void **state)
{
    (void)state;
    begin(1);
    (void)take(reply_to(1));
    rig.account.received_wire = SIZE + 8 + 11;
    end(0, 0);
    assert_int_equal(line(LEDGER_LATE, 0, 0, 0, 1)->wire, 11);
    assert_int_equal(rig.totals.late_bytes, 11);
    begin(1);
    rig.account.received_wire = 11; /* a part of the reply that is missing */
    end(0, BERTH_REASON_TRUNCATED);
    assert_int_equal(lines_of(LEDGER_LATE), 0);
}

/* A peer that is wrong a million times does not fill the disk, and is counted all the same. */
static void singles_are_bounded(void **state)
{
    (void)state;
    begin(1);
    (void)take(reply_to(1));
    for (int i = 0; i < LEDGER_SINGLES_MOST + 50; i++) {
        (void)take(reply_to(1));
    }
    const struct account_end how = {.sent = 1, .sent_bytes = SIZE, .closed = BERTH_REASON_PEER};
    account_close(&rig.account, &rig.verifier, &how);
    assert_true(ledger_close(rig.ledger, &(struct ledger_page){.count = 0}, why));
    message_plan_free(&rig.plan);
    assert_int_equal(exceptions_of(LEDGER_DUPLICATED), LEDGER_SINGLES_MOST + 50);
    assert_int_equal(rig.account.singles[LEDGER_DUPLICATED - LEDGER_EXCEPTIONS_FIRST],
                     LEDGER_SINGLES_MOST);
}

static void what_was_never_made_is_not_sent(void **state)
{
    (void)state;
    begin(0);
    account_not_made(&rig.account, CONNECTION, 50, ACCOUNT_NOT_MADE);
    account_not_made(&rig.account, CONNECTION, 0, ACCOUNT_NOT_MADE); /* with --duration */
    assert_true(ledger_close(rig.ledger, &(struct ledger_page){.count = 0}, why));
    message_plan_free(&rig.plan);
    read_lines();
    (void)line(LEDGER_NOT_SENT, ACCOUNT_NOT_MADE, 1, 50, 50);
    (void)line(LEDGER_SCHEDULED, 0, 0, 0, 50);
    assert_int_equal(rig.totals.scheduled, 50);
}

/* Each reason has words of its own. */
static void reasons_have_words(void **state)
{
    (void)state;
    for (uint32_t i = ACCOUNT_SKIPPED; i < ACCOUNT_REASONS_END; i++) {
        for (uint32_t j = 1; j < i; j++) {
            if (j < CAUSES || j >= ACCOUNT_SKIPPED) {
                assert_string_not_equal(account_reason_text(i), account_reason_text(j));
            }
        }
    }
}

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "account-%ld", (long)getpid());
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clean_connection_has_five_lines),
        cmocka_unit_test(an_end_in_the_middle),
        cmocka_unit_test(a_duplicate_is_found),
        cmocka_unit_test(a_swap_is_one_reordered),
        cmocka_unit_test(what_is_skipped_stays_unknown),
        cmocka_unit_test(many_gaps_are_given_up),
        cmocka_unit_test(a_damaged_reply_spoils_its_message),
        cmocka_unit_test(other_bytes_with_a_crc_are_corrupted),
        cmocka_unit_test(another_connections_reply_is_corrupted),
        cmocka_unit_test(an_id_out_of_order_is_corrupted),
        cmocka_unit_test(a_refusal_is_an_answer_of_its_own),
        cmocka_unit_test(an_answer_to_nothing_ends_the_order),
        cmocka_unit_test(a_reply_of_three_bytes),
        cmocka_unit_test(late_bytes_are_an_exception),
        cmocka_unit_test(singles_are_bounded),
        cmocka_unit_test(what_was_never_made_is_not_sent),
        cmocka_unit_test(reasons_have_words),
    };
    return cmocka_run_group_tests_name("account", tests, set_up, tear_down);
}
