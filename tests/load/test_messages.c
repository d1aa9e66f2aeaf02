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
        cmocka_unit_test(right_replies_pass),
        cmocka_unit_test(each_wrong_bit_is_seen),
        cmocka_unit_test(wrong_sizes_are_seen),
        cmocka_unit_test(another_messages_reply_is_wrong),
        cmocka_unit_test(ids_must_rise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
