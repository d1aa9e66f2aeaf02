/* The messages and the verification of their replies: texts as the seed's client builds them,
 * sizes, distinctness, and that no wrong reply passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mark.h"
#include "messages.h"
#include "verify.h"

#define REPLY_ROOM 256

static void texts_are_the_seeds(void **state)
{
    struct message_cursor cursor;
    struct message_plan plan;
    char want[MESSAGE_TEXT_BYTES + 1];
    (void)state;
    message_plan_make_texts(&plan, MESSAGE_TEXTS, false);
    message_cursor_start(&plan, &cursor, 17);
    for (int i = 1; i <= 1100000; i++) {
        int bytes = snprintf(want, sizeof want, "M%d-C17", i);
        assert_int_equal(cursor.index, i);
        assert_int_equal(message_size(&plan, &cursor), bytes);
        assert_memory_equal(cursor.text, want, (size_t)bytes);
        message_cursor_next(&cursor);
    }
}

static void longest_text_fits(void **state)
{
    struct message_plan plan;
    struct message_cursor cursor;
    (void)state;
    message_plan_make_texts(&plan, MESSAGE_TEXTS, false);
    assert_int_equal(message_text_longest(1, 1, false), strlen("M1-C1"));
    assert_int_equal(message_text_longest(100, 1000, false), strlen("M1000-C100"));
    assert_true(message_text_longest(UINT32_MAX, UINT64_MAX, false) <= MESSAGE_TEXT_BYTES);
    message_cursor_start(&plan, &cursor, UINT32_MAX);
    assert_int_equal(cursor.text_bytes, message_text_longest(UINT32_MAX, 1, false));
}

/* At every size: exactly so long, the text in front as far as it fits, and the same again. */
static void sized_messages_begin_with_their_text(void **state)
{
    uint8_t first[REPLY_ROOM];
    uint8_t again[REPLY_ROOM];
    (void)state;
    for (uint32_t size = 0; size < REPLY_ROOM - 1; size++) {
        struct message_plan plan;
        struct message_cursor cursor;
        assert_true(message_plan_make(&plan, size, size, -1));
        message_cursor_start(&plan, &cursor, 3);
        memset(first, 0xee, sizeof first);
        assert_int_equal(message_size(&plan, &cursor), size);
        message_write(&plan, &cursor, size, first);
        assert_int_equal(first[size], 0xee);
        assert_memory_equal(first, "M1-C3", size < 5 ? size : 5);
        message_write(&plan, &cursor, size, again);
        assert_memory_equal(first, again, size);
        assert_true(message_is(&plan, &cursor, size, first));
        message_plan_free(&plan);
    }
}

/* Texts of every length, written whole and cut to every length, and nothing behind them. */
static void texts_are_written_exactly(void **state)
{
    struct message_plan plan;
    uint8_t out[MESSAGE_TEXT_BYTES + 1];
    (void)state;
    message_plan_make_texts(&plan, MESSAGE_TEXTS, false);
    for (uint64_t index = 1; index < UINT64_MAX / 10; index *= 10) {
        struct message_cursor cursor;
        message_cursor_start(&plan, &cursor, 4294967295u);
        cursor.index = index - 1;
        cursor.digits = 0; /* as if all its digits were nines: the text is made anew */
        message_cursor_next(&cursor);
        for (uint32_t size = 0; size <= cursor.text_bytes; size++) {
            memset(out, 0xee, sizeof out);
            message_write(&plan, &cursor, size, out);
            assert_memory_equal(out, cursor.text, size);
            assert_int_equal(out[size], 0xee);
        }
    }
}

/* Whatever follows a text is no digit: M1-C1 with a pattern is never M1-C12 with one. */
static void patterns_hold_no_digits_and_no_delimiter(void **state)
{
    uint8_t message[REPLY_ROOM];
    (void)state;
    for (int avoid = -1; avoid < 256; avoid++) {
        struct message_plan plan;
        struct message_cursor cursor;
        assert_true(message_plan_make(&plan, REPLY_ROOM, REPLY_ROOM, avoid));
        message_cursor_start(&plan, &cursor, 1);
        for (int i = 0; i < 50; i++) {
            message_write(&plan, &cursor, REPLY_ROOM, message);
            for (uint32_t at = cursor.text_bytes; at < REPLY_ROOM; at++) {
                assert_false(message[at] >= '0' && message[at] <= '9');
                assert_int_not_equal(message[at], avoid);
            }
            message_cursor_next(&cursor);
        }
        message_plan_free(&plan);
    }
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

/* With 16 bytes there is room for the text, so no two messages are alike. */
static void messages_differ(void **state)
{
    enum { CONNECTIONS = 120, MESSAGES = 120, SIZE = 16 };
    static uint8_t all[CONNECTIONS * MESSAGES][SIZE];
    struct message_plan plan;
    size_t count = 0;
    (void)state;
    assert_true(message_plan_make(&plan, SIZE, SIZE, -1));
    for (uint32_t c = 1; c <= CONNECTIONS; c++) {
        struct message_cursor cursor;
        message_cursor_start(&plan, &cursor, c);
        for (int i = 0; i < MESSAGES; i++) {
            message_write(&plan, &cursor, SIZE, all[count++]);
            message_cursor_next(&cursor);
        }
    }
    qsort(all, count, SIZE, compare);
    for (size_t i = 1; i < count; i++) {
        assert_memory_not_equal(all[i - 1], all[i], SIZE);
    }
    message_plan_free(&plan);
}

static void sizes_cover_their_range(void **state)
{
    struct message_plan plan;
    struct message_cursor cursor;
    bool seen[11] = {false};
    (void)state;
    assert_true(message_plan_make(&plan, 5, 10, -1));
    message_cursor_start(&plan, &cursor, 9);
    for (int i = 0; i < 1000; i++) {
        uint32_t size = message_size(&plan, &cursor);
        assert_in_range(size, 5, 10);
        assert_int_equal(size, message_size(&plan, &cursor));
        seen[size] = true;
        message_cursor_next(&cursor);
    }
    for (int i = 5; i <= 10; i++) {
        assert_true(seen[i]);
    }
    message_plan_free(&plan);
}

/* Held or made when it is sent, shared or not, once or growing: the same messages, and as many
 * bytes as were foretold. */
static void held_texts_are_the_same(void **state)
{
    enum { CONNECTIONS = 12, MESSAGES = 1100, ROOM = 40 * (MESSAGES + 2) };
    static uint8_t want[ROOM];
    static uint8_t got[ROOM];
    (void)state;
    for (int form = 0; form < 4; form++) {
        enum message_kind kind = form % 2 == 0 ? MESSAGE_TEXTS : MESSAGE_GROWING;
        bool shared = form >= 2;
        struct message_plan made;
        struct message_plan held;
        struct message_cursor at_made;
        struct message_cursor at_held;
        uint64_t bytes = 0;
        message_plan_make_texts(&made, kind, shared);
        message_plan_make_texts(&held, kind, shared);
        assert_true(message_plan_hold(&held, CONNECTIONS, MESSAGES));
        for (uint32_t connection = 1; connection <= CONNECTIONS; connection++) {
            message_cursor_start(&made, &at_made, connection);
            message_cursor_start(&held, &at_held, connection);
            for (uint64_t i = 1; i <= MESSAGES; i++) {
                uint32_t size = message_size(&made, &at_made);
                assert_int_equal(message_size(&held, &at_held), size);
                message_write(&made, &at_made, size, want);
                got[size] = 0xee;
                message_write(&held, &at_held, size, got);
                assert_int_equal(got[size], 0xee);
                assert_memory_equal(got, want, size);
                assert_true(message_is(&held, &at_held, size, want));
                bytes += shared && connection > 1 ? 0 : at_made.text_bytes;
                struct message_cursor there;
                message_cursor_at(&held, &there, connection, i);
                assert_ptr_equal(there.held, at_held.held);
                assert_int_equal(there.text_bytes, at_held.text_bytes);
                message_cursor_next(&at_made);
                message_cursor_next(&at_held);
            }
        }
        assert_true(bytes == message_texts_bytes(CONNECTIONS, MESSAGES, shared));
        message_plan_free(&held);
    }
}

static void texts_bytes_are_foretold(void **state)
{
    (void)state;
    assert_true(message_texts_bytes(1, 1, false) == strlen("M1-C1"));
    assert_true(message_texts_bytes(8000, 1, true) == strlen("M1-C0000"));
    assert_true(message_texts_bytes(4000000, UINT64_C(1) << 48, false) == UINT64_MAX);
    assert_true(message_texts_bytes(4000000, UINT64_C(1) << 40, true) < UINT64_MAX);
}

/* The seed's message type 1: message i repeats its text i + 1 more times. */
static void growing_messages_repeat_their_text(void **state)
{
    struct message_plan plan;
    struct message_cursor cursor;
    char want[200];
    uint8_t got[200];
    (void)state;
    message_plan_make_texts(&plan, MESSAGE_GROWING, false);
    message_cursor_start(&plan, &cursor, 7);
    for (int i = 1; i <= 20; i++) {
        size_t bytes = 0;
        for (int copy = 0; copy < i + 2; copy++) {
            bytes += (size_t)snprintf(want + bytes, sizeof want - bytes, "M%d-C7", i);
        }
        assert_int_equal(message_size(&plan, &cursor), bytes);
        message_write(&plan, &cursor, (uint32_t)bytes, got);
        assert_memory_equal(got, want, bytes);
        assert_true(message_growing_longest(7, (uint64_t)i, false) == bytes);
        for (size_t at = 0; at < bytes; at++) {
            got[at] ^= 1;
            assert_false(message_is(&plan, &cursor, (uint32_t)bytes, got));
            got[at] ^= 1;
        }
        assert_true(message_is(&plan, &cursor, (uint32_t)bytes, got));
        message_cursor_next(&cursor);
    }
}

static void growth_within_a_limit_is_counted(void **state)
{
    (void)state;
    assert_true(message_growing_within(1, 100, false, 14) == 0);
    assert_true(message_growing_within(1, 100, false, 15) == 1); /* 3 times M1-C1 */
    assert_true(message_growing_within(1, 100, false, 19) == 1);
    assert_true(message_growing_within(1, 100, false, 20) == 2);
    assert_true(message_growing_within(1, 100, false, UINT64_MAX) == 100);
    assert_true(message_growing_within(1, UINT64_MAX, false, 1048576) == 104855);
    assert_true(message_growing_longest(1, UINT64_MAX, false) == UINT64_MAX);
}

/* A mark of this very message in front, a pattern behind it, and not a bit that could differ. */
static void marked_messages_are_their_own(void **state)
{
    uint8_t message[REPLY_ROOM];
    uint8_t other[REPLY_ROOM];
    struct message_plan plan;
    struct message_cursor cursor;
    struct mark mark;
    (void)state;
    assert_true(message_plan_make_marked(&plan, MARK_BYTES, REPLY_ROOM - 1, 77, 5));
    message_cursor_start(&plan, &cursor, 9);
    for (uint64_t i = 1; i <= 300; i++) {
        uint32_t size = message_size(&plan, &cursor);
        assert_in_range(size, MARK_BYTES, REPLY_ROOM - 1);
        cursor.time_ns = 1000 * i;
        message[size] = 0xee;
        message_write(&plan, &cursor, size, message);
        assert_int_equal(message[size], 0xee);
        assert_int_equal(mark_read(message, size, &mark), MARK_RIGHT);
        assert_true(mark.run == 77 && mark.client == 5 && mark.connection == 9);
        assert_true(mark.sequence == i && mark.time_ns == 1000 * i && mark.refusal == 0);
        assert_true(message_is(&plan, &cursor, size, message));
        cursor.time_ns++;
        assert_false(message_is(&plan, &cursor, size, message));
        struct message_cursor again;
        message_cursor_at(&plan, &again, 9, i);
        again.time_ns = 1000 * i;
        message_write(&plan, &again, size, other);
        assert_memory_equal(message, other, size);
        message_cursor_next(&cursor);
        cursor.time_ns = 1000 * i;
        assert_false(message_is(&plan, &cursor, size, message));
    }
    message_plan_free(&plan);
}

/* ---- replies ---- */

struct fixture {
    struct message_plan plan;
    struct verifier verifier;
    uint8_t reply[REPLY_ROOM];
    uint32_t size;
};

static void put_id(struct fixture *fixture, uint32_t id)
{
    for (int i = 0; i < 4; i++) {
        fixture->reply[i] = (uint8_t)(id >> (8 * i));
    }
}

/* The right reply to the message that is expected. */
static void answer(struct fixture *fixture, uint32_t id)
{
    uint32_t id_bytes = fixture->verifier.with_id ? REPLY_ID_BYTES : 0;
    uint32_t message = message_size(&fixture->plan, &fixture->verifier.expected);
    put_id(fixture, id);
    message_write(&fixture->plan, &fixture->verifier.expected, message, fixture->reply + id_bytes);
    fixture->size = id_bytes + message;
}

static enum reply_verdict check(struct fixture *fixture)
{
    return verifier_check(&fixture->verifier, fixture->reply, fixture->size);
}

static void make_fixture(struct fixture *fixture, uint32_t size, bool with_id)
{
    memset(fixture, 0, sizeof *fixture);
    if (size == 0) {
        message_plan_make_texts(&fixture->plan, MESSAGE_TEXTS, false);
    } else {
        assert_true(message_plan_make(&fixture->plan, size, size, -1));
    }
    fixture->verifier = (struct verifier){.plan = &fixture->plan, .with_id = with_id};
    message_cursor_start(&fixture->plan, &fixture->verifier.expected, 1);
}

static void right_replies_pass(void **state)
{
    struct fixture fixture;
    (void)state;
    for (int form = 0; form < 4; form++) {
        make_fixture(&fixture, form < 2 ? 0 : 100, form % 2 == 0);
        for (uint32_t i = 0; i < 2000; i++) {
            answer(&fixture, 10001 + 3 * i);
            assert_int_equal(check(&fixture), REPLY_RIGHT);
        }
        message_plan_free(&fixture.plan);
    }
}

/* Each single bit of a reply behind its id matters. */
static void each_wrong_bit_is_seen(void **state)
{
    struct fixture fixture;
    char text[REPLY_TEXT_BYTES];
    (void)state;
    make_fixture(&fixture, 60, true);
    answer(&fixture, 1);
    for (uint32_t bit = 8 * REPLY_ID_BYTES; bit < 8 * fixture.size; bit++) {
        fixture.reply[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(check(&fixture), REPLY_BYTES);
        char place[40];
        snprintf(place, sizeof place, "from byte %u of 60 on", bit / 8 - REPLY_ID_BYTES + 1);
        verifier_describe(&fixture.verifier, REPLY_BYTES, fixture.reply, fixture.size, text,
                          sizeof text);
        assert_non_null(strstr(text, place));
        fixture.reply[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(check(&fixture), REPLY_RIGHT);
    message_plan_free(&fixture.plan);
}

static void wrong_sizes_are_seen(void **state)
{
    struct fixture fixture;
    char text[REPLY_TEXT_BYTES];
    (void)state;
    make_fixture(&fixture, 0, true);
    answer(&fixture, 1);
    uint32_t right = fixture.size;
    for (fixture.size = 0; fixture.size < 2 * right; fixture.size++) {
        if (fixture.size != right) {
            assert_int_equal(check(&fixture), REPLY_SIZE);
        }
    }
    fixture.size = 3;
    verifier_describe(&fixture.verifier, REPLY_SIZE, fixture.reply, 3, text, sizeof text);
    assert_string_equal(text, "expected 9 bytes with the id, got 3");
}

static void another_messages_reply_is_wrong(void **state)
{
    struct fixture fixture;
    char text[REPLY_TEXT_BYTES];
    (void)state;
    make_fixture(&fixture, 0, true);
    answer(&fixture, 1);
    fixture.reply[REPLY_ID_BYTES + 1] = '2'; /* M2-C1 */
    assert_int_equal(check(&fixture), REPLY_BYTES);
    verifier_describe(&fixture.verifier, REPLY_BYTES, fixture.reply, fixture.size, text,
                      sizeof text);
    assert_string_equal(text, "from byte 2 of 5 on, expected 31 2d 43 31, got 32 2d 43 31");
}

static void ids_must_rise(void **state)
{
    static const struct {
        uint32_t last;
        uint32_t next;
        enum reply_verdict verdict;
    } cases[] = {
        {10001, 10002, REPLY_RIGHT},  {10001, 10001, REPLY_ID},  {10001, 10000, REPLY_ID},
        {UINT32_MAX, 0, REPLY_RIGHT}, {0, UINT32_MAX, REPLY_ID}, {0xfffffff0, 5, REPLY_RIGHT},
        {1, 0x80000000, REPLY_RIGHT}, {1, 0x80000001, REPLY_ID}, {0, 0, REPLY_ID},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture fixture;
        make_fixture(&fixture, 0, true);
        answer(&fixture, cases[i].last); /* the first id may be anything */
        assert_int_equal(check(&fixture), REPLY_RIGHT);
        answer(&fixture, cases[i].next);
        assert_int_equal(check(&fixture), cases[i].verdict);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_the_seeds),
        cmocka_unit_test(longest_text_fits),
        cmocka_unit_test(sized_messages_begin_with_their_text),
        cmocka_unit_test(texts_are_written_exactly),
        cmocka_unit_test(patterns_hold_no_digits_and_no_delimiter),
        cmocka_unit_test(messages_differ),
        cmocka_unit_test(sizes_cover_their_range),
        cmocka_unit_test(held_texts_are_the_same),
        cmocka_unit_test(texts_bytes_are_foretold),
        cmocka_unit_test(growing_messages_repeat_their_text),
        cmocka_unit_test(growth_within_a_limit_is_counted),
        cmocka_unit_test(marked_messages_are_their_own),
        cmocka_unit_test(right_replies_pass),
        cmocka_unit_test(each_wrong_bit_is_seen),
        cmocka_unit_test(wrong_sizes_are_seen),
        cmocka_unit_test(another_messages_reply_is_wrong),
        cmocka_unit_test(ids_must_rise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
