/* berth_frame_decode and berth_frame_cut, against tables of exact expectations.
 *
 * Every case's bytes are copied into a block of exactly their size first, so that the sanitizers
 * see a read past the end. What happens when bytes come in pieces is in test_split.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <berth/frame.h>

#include <stdlib.h>
#include <string.h>

#include "unit/framings.h"

struct decode_case {
    const char *name;
    struct berth_framing framing;
    const char *bytes;
    size_t count;
    enum berth_frame_verdict verdict;
    /* READY: header, message and trailer bytes. */
    uint32_t header, message, trailer;
    /* NEED */
    uint32_t need;
    /* BAD */
    enum berth_refusal refusal;
    uint64_t value, limit;
    const char *field;
    uint32_t field_bytes;
};

#define READY(h, m, t) BERTH_FRAME_READY, h, m, t, 0, BERTH_REFUSED_NOTHING, 0, 0, NULL, 0
#define NEED(n)        BERTH_FRAME_NEED, 0, 0, 0, n, BERTH_REFUSED_NOTHING, 0, 0, NULL, 0
#define BAD(refusal, value, limit, text)                                                           \
    BERTH_FRAME_BAD, 0, 0, 0, 0, refusal, value, limit, text, sizeof(text) - 1

static const struct decode_case length_cases[] = {
    {"nothing yet", LENGTH(4, 100), BYTES(""), NEED(4)},
    {"a part of the prefix", LENGTH(4, 100), BYTES("\3\0\0"), NEED(4)},
    {"the prefix", LENGTH(4, 100), BYTES("\3\0\0\0"), NEED(7)},
    {"a part of the message", LENGTH(4, 100), BYTES("\3\0\0\0ab"), NEED(7)},
    {"whole", LENGTH(4, 100), BYTES("\3\0\0\0abc"), READY(4, 3, 0)},
    {"whole and more", LENGTH(4, 100), BYTES("\3\0\0\0abcde"), READY(4, 3, 0)},
    {"empty", LENGTH(4, 100), BYTES("\0\0\0\0"), READY(4, 0, 0)},
    {"largest", LENGTH(4, 5), BYTES("\5\0\0\0abcde"), READY(4, 5, 0)},
    {"1 byte", LENGTH(1, 255), BYTES("\2ab"), READY(1, 2, 0)},
    {"1 byte, nothing", LENGTH(1, 255), BYTES(""), NEED(1)},
    {"1 byte, unsigned", LENGTH(1, 255), BYTES("\xff"), NEED(256)},
    {"2 le", LENGTH(2, 1000), BYTES("\2\0ab"), READY(2, 2, 0)},
    {"2 be", LENGTH(2, 1000, .length_big_endian = true), BYTES("\0\2ab"), READY(2, 2, 0)},
    {"2 be, need", LENGTH(2, 1000, .length_big_endian = true), BYTES("\1\2"), NEED(2 + 258)},
    {"4 be", LENGTH(4, 1000, .length_big_endian = true), BYTES("\0\0\0\2ab"), READY(4, 2, 0)},
    {"8 le", LENGTH(8, 1000), BYTES("\2\0\0\0\0\0\0\0ab"), READY(8, 2, 0)},
    {"8 be", LENGTH(8, 1000, .length_big_endian = true), BYTES("\0\0\0\0\0\0\0\2ab"),
     READY(8, 2, 0)},
    {"8 be, 7 there", LENGTH(8, 1000, .length_big_endian = true), BYTES("\0\0\0\0\0\0\0"), NEED(8)},
    {"offset", LENGTH(2, 1000, .length_offset = 3), BYTES("abc\1\0z"), READY(5, 1, 0)},
    {"offset, before the field", LENGTH(2, 1000, .length_offset = 3), BYTES("abc\1"), NEED(5)},
    {"largest offset", LENGTH(8, 1000, .length_offset = 56), BYTES(""), NEED(64)},
    {"itself", LENGTH(4, 1000, .length_counts_itself = true), BYTES("\6\0\0\0ab"), READY(4, 2, 0)},
    {"itself, empty", LENGTH(4, 1000, .length_counts_itself = true), BYTES("\4\0\0\0"),
     READY(4, 0, 0)},
    {"adjust up", LENGTH(1, 1000, .length_adjust = 2), BYTES("\1abc"), READY(1, 3, 0)},
    {"adjust up by one", LENGTH(1, 1000, .length_adjust = 1), BYTES("\0a"), READY(1, 1, 0)},
    {"adjust down", LENGTH(1, 1000, .length_adjust = -2), BYTES("\3a"), READY(1, 1, 0)},
    {"adjust and itself", LENGTH(2, 1000, .length_adjust = 1, .length_counts_itself = true),
     BYTES("\2\0a"), READY(2, 1, 0)},
    {"adjust by the lowest", LENGTH(4, 1000, .length_adjust = INT32_MIN), BYTES("\1\0\0\x80z"),
     READY(4, 1, 0)},
    {"itself below", LENGTH(4, 1000, .length_counts_itself = true), BYTES("\3\0\0\0"),
     BAD(BERTH_REFUSED_NEGATIVE, 3, 4, "\3\0\0\0")},
    {"adjusted below", LENGTH(1, 1000, .length_adjust = -2), BYTES("\1abc"),
     BAD(BERTH_REFUSED_NEGATIVE, 1, 2, "\1")},
    {"adjusted below by the lowest", LENGTH(8, 1000, .length_adjust = INT32_MIN),
     BYTES("\0\0\0\0\0\0\0\0"),
     BAD(BERTH_REFUSED_NEGATIVE, 0, (uint64_t)1 << 31, "\0\0\0\0\0\0\0\0")},
    {"below where empty is refused", LENGTH(1, 1000, .length_adjust = -2, .refuse_empty = true),
     BYTES("\1abc"), BAD(BERTH_REFUSED_NEGATIVE, 1, 3, "\1")},
    {"empty refused", LENGTH(4, 1000, .refuse_empty = true), BYTES("\0\0\0\0"),
     BAD(BERTH_REFUSED_EMPTY, 0, 1, "\0\0\0\0")},
    {"empty refused, itself", LENGTH(2, 1000, .refuse_empty = true, .length_counts_itself = true),
     BYTES("\2\0"), BAD(BERTH_REFUSED_EMPTY, 2, 3, "\2\0")},
    {"not empty where empty is refused", LENGTH(2, 9, .refuse_empty = true), BYTES("\1\0z"),
     READY(2, 1, 0)},
    {"empty cannot be said", LENGTH(1, 9, .refuse_empty = true, .length_adjust = 3), BYTES("\0abc"),
     READY(1, 3, 0)},
    {"one above", LENGTH(4, 5), BYTES("\6\0\0\0"), BAD(BERTH_REFUSED_ABOVE_MAX, 6, 5, "\6\0\0\0")},
    {"one above in the field's terms", LENGTH(1, 5, .length_adjust = -2), BYTES("\x08"),
     BAD(BERTH_REFUSED_ABOVE_MAX, 8, 7, "\x08")},
    {"2^31 - 1", LENGTH(4, 5), BYTES("\xff\xff\xff\x7f"),
     BAD(BERTH_REFUSED_ABOVE_MAX, 0x7fffffff, 5, "\xff\xff\xff\x7f")},
    {"2^31", LENGTH(4, BERTH_MESSAGE_BYTES_LIMIT), BYTES("\0\0\0\x80"),
     BAD(BERTH_REFUSED_ABOVE_MAX, 0x80000000, BERTH_MESSAGE_BYTES_LIMIT, "\0\0\0\x80")},
    {"2^32 - 1", LENGTH(4, BERTH_MESSAGE_BYTES_LIMIT), BYTES("\xff\xff\xff\xff"),
     BAD(BERTH_REFUSED_ABOVE_MAX, 0xffffffff, BERTH_MESSAGE_BYTES_LIMIT, "\xff\xff\xff\xff")},
    {"2^32 - 1 adjusted up does not wrap", LENGTH(4, BERTH_MESSAGE_BYTES_LIMIT, .length_adjust = 2),
     BYTES("\xff\xff\xff\xff"),
     BAD(BERTH_REFUSED_ABOVE_MAX, 0xffffffff, BERTH_MESSAGE_BYTES_LIMIT - 2, "\xff\xff\xff\xff")},
    {"2^32 in 8 bytes", LENGTH(8, 5), BYTES("\0\0\0\0\1\0\0\0"),
     BAD(BERTH_REFUSED_ABOVE_MAX, (uint64_t)1 << 32, 5, "\0\0\0\0\1\0\0\0")},
    {"2^63", LENGTH(8, 5), BYTES("\0\0\0\0\0\0\0\x80"),
     BAD(BERTH_REFUSED_ABOVE_MAX, (uint64_t)1 << 63, 5, "\0\0\0\0\0\0\0\x80")},
    {"2^64 - 1", LENGTH(8, 5, .length_adjust = 4), BYTES("\xff\xff\xff\xff\xff\xff\xff\xff"),
     BAD(BERTH_REFUSED_ABOVE_MAX, UINT64_MAX, 1, "\xff\xff\xff\xff\xff\xff\xff\xff")},
    {"2^64 - 1 that counts itself", LENGTH(8, 5, .length_counts_itself = true),
     BYTES("\xff\xff\xff\xff\xff\xff\xff\xff"),
     BAD(BERTH_REFUSED_ABOVE_MAX, UINT64_MAX, 13, "\xff\xff\xff\xff\xff\xff\xff\xff")},
    {"the field after an offset is shown", LENGTH(2, 5, .length_offset = 2), BYTES("zz\x09\0a"),
     BAD(BERTH_REFUSED_ABOVE_MAX, 9, 5, "\x09\0")},
};

static const struct decode_case varint_cases[] = {
    {"nothing yet", VARINT(1000), BYTES(""), NEED(1)},
    {"one byte, empty", VARINT(1000), BYTES("\0"), READY(1, 0, 0)},
    {"one byte", VARINT(1000), BYTES("\2ab"), READY(1, 2, 0)},
    {"one byte, need", VARINT(1000), BYTES("\2a"), NEED(3)},
    {"largest of one byte", VARINT(1000), BYTES("\x7f"), NEED(128)},
    {"half of two", VARINT(1000), BYTES("\x80"), NEED(2)},
    {"two bytes", VARINT(1000), BYTES("\x80\1"), NEED(130)},
    {"two of three", VARINT(1000), BYTES("\x80\x80"), NEED(3)},
    {"three bytes", VARINT(20000), BYTES("\x80\x80\1"), NEED(3 + 16384)},
    {"four bytes", VARINT(BERTH_MESSAGE_BYTES_LIMIT), BYTES("\x80\x80\x80\1"), NEED(4 + 2097152)},
    {"four of five", VARINT(BERTH_MESSAGE_BYTES_LIMIT), BYTES("\xff\xff\xff\xff"), NEED(5)},
    {"five bytes, the limit", VARINT(BERTH_MESSAGE_BYTES_LIMIT), BYTES("\x80\x80\x80\x80\4"),
     NEED(5 + BERTH_MESSAGE_BYTES_LIMIT)},
    {"five bytes, over the limit", VARINT(BERTH_MESSAGE_BYTES_LIMIT), BYTES("\x81\x80\x80\x80\4"),
     BAD(BERTH_REFUSED_ABOVE_MAX, BERTH_MESSAGE_BYTES_LIMIT + 1, BERTH_MESSAGE_BYTES_LIMIT,
         "\x81\x80\x80\x80\4")},
    {"2^32 - 1", VARINT(5), BYTES("\xff\xff\xff\xff\x0f"),
     BAD(BERTH_REFUSED_ABOVE_MAX, 0xffffffff, 5, "\xff\xff\xff\xff\x0f")},
    {"2^32", VARINT(5), BYTES("\x80\x80\x80\x80\x10"),
     BAD(BERTH_REFUSED_ABOVE_MAX, (uint64_t)1 << 32, 5, "\x80\x80\x80\x80\x10")},
    {"2^35 - 1", VARINT(5), BYTES("\xff\xff\xff\xff\x7f"),
     BAD(BERTH_REFUSED_ABOVE_MAX, ((uint64_t)1 << 35) - 1, 5, "\xff\xff\xff\xff\x7f")},
    {"six bytes", VARINT(5), BYTES("\xff\xff\xff\xff\xff\1"),
     BAD(BERTH_REFUSED_VARINT, ((uint64_t)1 << 35) - 1, 5, "\xff\xff\xff\xff\xff")},
    {"five bytes that go on", VARINT(5), BYTES("\x80\x80\x80\x80\x80"),
     BAD(BERTH_REFUSED_VARINT, 0, 5, "\x80\x80\x80\x80\x80")},
    {"padded zero", VARINT(5), BYTES("\x80\0"), BAD(BERTH_REFUSED_VARINT, 0, 5, "\x80\0")},
    {"padded one", VARINT(5), BYTES("\x81\x80\0zz"), BAD(BERTH_REFUSED_VARINT, 1, 5, "\x81\x80\0")},
    {"padded to five", VARINT(5), BYTES("\x81\x80\x80\x80\0"),
     BAD(BERTH_REFUSED_VARINT, 1, 5, "\x81\x80\x80\x80\0")},
    {"one above", VARINT(5), BYTES("\6"), BAD(BERTH_REFUSED_ABOVE_MAX, 6, 5, "\6")},
    {"empty refused", VARINT(5, .refuse_empty = true), BYTES("\0"),
     BAD(BERTH_REFUSED_EMPTY, 0, 1, "\0")},
    {"one where empty is refused", VARINT(5, .refuse_empty = true), BYTES("\1z"), READY(1, 1, 0)},
};

static const struct decode_case delimiter_cases[] = {
    {"nothing yet, 1 byte", DELIMITER("\n", 5), BYTES(""), NEED(1)},
    {"nothing yet, 2 bytes", DELIMITER("\r\n", 5), BYTES(""), NEED(2)},
    {"empty", DELIMITER("\n", 5), BYTES("\n"), READY(0, 0, 1)},
    {"empty refused", DELIMITER("\r\n", 5, .refuse_empty = true), BYTES("\r\n"),
     BAD(BERTH_REFUSED_EMPTY, 0, 1, "\r\n")},
    {"empty not refused yet", DELIMITER("\r\n", 5, .refuse_empty = true), BYTES("\r"), NEED(2)},
    {"one where empty is refused", DELIMITER("\r\n", 5, .refuse_empty = true), BYTES("a\r\n"),
     READY(0, 1, 2)},
    {"line", DELIMITER("\n", 5), BYTES("abc\nde\n"), READY(0, 3, 1)},
    {"largest", DELIMITER("\n", 5), BYTES("abcde\n"), READY(0, 5, 1)},
    {"largest, not ended", DELIMITER("\n", 5), BYTES("abcde"), NEED(6)},
    {"one above", DELIMITER("\n", 5), BYTES("abcdef"),
     BAD(BERTH_REFUSED_NO_DELIMITER, 0, 5, "abcdef")},
    {"one above, and ended", DELIMITER("\n", 5), BYTES("abcdef\n"),
     BAD(BERTH_REFUSED_NO_DELIMITER, 0, 5, "abcdef")},
    {"largest, half ended", DELIMITER("\r\n", 5), BYTES("abcde\r"), NEED(7)},
    {"largest, ended", DELIMITER("\r\n", 5), BYTES("abcde\r\n"), READY(0, 5, 2)},
    {"largest, then no delimiter", DELIMITER("\r\n", 5), BYTES("abcdef"),
     BAD(BERTH_REFUSED_NO_DELIMITER, 0, 5, "abcdef")},
    {"largest, then half of one", DELIMITER("\r\n", 5), BYTES("abcde\rx"),
     BAD(BERTH_REFUSED_NO_DELIMITER, 0, 5, "abcde\r")},
    {"half of one too late", DELIMITER("\r\n", 5), BYTES("abcdef\r"),
     BAD(BERTH_REFUSED_NO_DELIMITER, 0, 5, "abcdef")},
    {"half of one, then a whole one too late", DELIMITER("\r\n", 5), BYTES("abcde\r\r\n"),
     BAD(BERTH_REFUSED_NO_DELIMITER, 0, 5, "abcde\r")},
    {"half of one, then a whole one", DELIMITER("\r\n", 5), BYTES("ab\r\r\n"), READY(0, 3, 2)},
    {"half of one", DELIMITER("\r\n", 5), BYTES("ab\r"), NEED(4)},
    {"half of one that was none", DELIMITER("\r\n", 5), BYTES("ab\rc"), NEED(6)},
    {"overlap", DELIMITER("aa", 5), BYTES("baaa"), READY(0, 1, 2)},
    {"overlap, half", DELIMITER("aa", 5), BYTES("ba"), NEED(3)},
    {"overlap of three", DELIMITER("aab", 5), BYTES("aaab"), READY(0, 1, 3)},
    {"overlap of three, open", DELIMITER("aab", 5), BYTES("aaa"), NEED(4)},
    {"double line end", DELIMITER("\r\n\r\n", 9), BYTES("x\r\n\r"), NEED(5)},
    {"double line end, again", DELIMITER("\r\n\r\n", 9), BYTES("x\r\n\r\r\n\r\n"), READY(0, 4, 4)},
    {"the next news is the maximum", DELIMITER("0123456789abcdef", 3), BYTES("xy"), NEED(4)},
    {"the next news, with half of one", DELIMITER("0123456789abcdef", 3), BYTES("xyz012"), NEED(7)},
    {"16 bytes", DELIMITER("0123456789abcdef", 3), BYTES("xyz0123456789abcdef"), READY(0, 3, 16)},
    {"16 bytes, all but the last", DELIMITER("0123456789abcdef", 3), BYTES("xyz0123456789abcde!"),
     BAD(BERTH_REFUSED_NO_DELIMITER, 0, 3, "xyz0")},
    {"a delimiter of zeros", DELIMITER("\0\0", 5), BYTES("a\0b\0\0"), READY(0, 3, 2)},
    {"only 16 bytes are shown", DELIMITER("\n", 20), BYTES("0123456789abcdefghijk"),
     BAD(BERTH_REFUSED_NO_DELIMITER, 0, 20, "0123456789abcdef")},
};

static const struct decode_case fixed_cases[] = {
    {"nothing yet", FIXED(3), BYTES(""), NEED(3)},
    {"part", FIXED(3), BYTES("ab"), NEED(3)},
    {"whole", FIXED(3), BYTES("abc"), READY(0, 3, 0)},
    {"more", FIXED(3), BYTES("abcd"), READY(0, 3, 0)},
    {"largest", FIXED(BERTH_MESSAGE_BYTES_LIMIT), BYTES("a"), NEED(BERTH_MESSAGE_BYTES_LIMIT)},
};

static void check_case(const struct decode_case *c)
{
    assert_int_equal(berth_framing_check(&c->framing, NULL), BERTH_OK);
    uint8_t *bytes = NULL;
    if (c->count > 0) {
        bytes = malloc(c->count);
        assert_non_null(bytes);
        memcpy(bytes, c->bytes, c->count);
    }
    struct berth_frame frame;
    memset(&frame, 0xee, sizeof frame);
    size_t scanned = 0;
    enum berth_frame_verdict verdict =
        berth_frame_decode(&c->framing, bytes, c->count, &scanned, &frame);
    bool same = verdict == c->verdict && frame.refusal == c->refusal && frame.value == c->value &&
                frame.limit == c->limit && frame.field_bytes == c->field_bytes;
    if (verdict == BERTH_FRAME_NEED) {
        same = same && frame.need_bytes == c->need && frame.need_bytes > c->count;
    } else if (verdict == BERTH_FRAME_READY) {
        same = same && frame.header_bytes == c->header && frame.message_bytes == c->message &&
               frame.trailer_bytes == c->trailer;
    } else {
        same = same && memcmp(frame.field, c->field, c->field_bytes) == 0;
    }
    if (!same) {
        print_message("%s: verdict %d need %u frame %u+%u+%u refusal %d value %llu limit %llu "
                      "field %u bytes\n",
                      c->name, verdict, frame.need_bytes, frame.header_bytes, frame.message_bytes,
                      frame.trailer_bytes, frame.refusal, (unsigned long long)frame.value,
                      (unsigned long long)frame.limit, frame.field_bytes);
    }
    assert_true(same);

    /* berth_frame_cut that may cut nothing says the same. */
    struct berth_frame cut_frame;
    memset(&cut_frame, 0xee, sizeof cut_frame);
    size_t consumed = 99;
    scanned = 0;
    enum berth_frame_verdict cut_verdict;
    assert_int_equal(berth_frame_cut(&c->framing, bytes, c->count, &scanned, NULL, 0, &consumed,
                                     &cut_frame, &cut_verdict),
                     0);
    assert_int_equal(consumed, 0);
    assert_int_equal(cut_verdict, verdict);
    assert_memory_equal(&cut_frame, &frame, sizeof frame);
    free(bytes);
}

#define CHECK_CASES(cases)                                                                         \
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases)[0]; i++) {                                \
        check_case(&(cases)[i]);                                                                   \
    }

static void decode_length(void **state)
{
    (void)state;
    CHECK_CASES(length_cases);
}

static void decode_varint(void **state)
{
    (void)state;
    CHECK_CASES(varint_cases);
}

static void decode_delimiter(void **state)
{
    (void)state;
    CHECK_CASES(delimiter_cases);
}

static void decode_fixed(void **state)
{
    (void)state;
    CHECK_CASES(fixed_cases);
}

/* ---- cutting ---- */

struct cut_result {
    struct berth_message messages[16];
    size_t cut;
    size_t consumed;
    size_t scanned;
    struct berth_frame frame;
    enum berth_frame_verdict verdict;
};

static struct cut_result cut(const struct berth_framing *framing, const char *bytes, size_t count,
                             size_t scanned, size_t max)
{
    struct cut_result result = {.scanned = scanned};
    result.cut =
        berth_frame_cut(framing, (const uint8_t *)bytes, count, &result.scanned, result.messages,
                        max, &result.consumed, &result.frame, &result.verdict);
    return result;
}

static void assert_message(const struct berth_message *message, const char *text, uint32_t header)
{
    assert_int_equal(message->size, strlen(text));
    assert_memory_equal(message->data, text, message->size);
    assert_int_equal(message->header_bytes, header);
}

static void cut_takes_what_is_whole(void **state)
{
    (void)state;
    const struct berth_framing framing = LENGTH(2, 100);
    static const char bytes[] = "\3\0abc\0\0\1\0z\2\0y";
    struct cut_result result = cut(&framing, bytes, sizeof bytes - 1, 0, 16);
    assert_int_equal(result.cut, 3);
    assert_message(&result.messages[0], "abc", 2);
    assert_message(&result.messages[1], "", 2);
    assert_message(&result.messages[2], "z", 2);
    assert_ptr_equal(result.messages[2].data, bytes + 9);
    assert_int_equal(result.consumed, 10);
    assert_int_equal(result.verdict, BERTH_FRAME_NEED);
    assert_int_equal(result.frame.need_bytes, 4);
    assert_int_equal(result.scanned, 0);
}

static void cut_stops_at_max(void **state)
{
    (void)state;
    static const struct {
        struct berth_framing framing;
        const char *bytes;
        size_t count, consumed;
    } cases[] = {
        {LENGTH(1, 100), BYTES("\1a\1b\1c"), 4},
        {VARINT(100), BYTES("\1a\1b\1c"), 4},
        {DELIMITER("\n", 100), BYTES("a\nb\nc\n"), 4},
        {FIXED(1), BYTES("abc"), 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cut_result result = cut(&cases[i].framing, cases[i].bytes, cases[i].count, 0, 2);
        assert_int_equal(result.cut, 2);
        assert_int_equal(result.consumed, cases[i].consumed);
        assert_int_equal(result.verdict, BERTH_FRAME_READY);
        assert_int_equal(result.frame.message_bytes, 1);
        /* What is left can be cut with the scanned that came back. */
        result = cut(&cases[i].framing, cases[i].bytes + result.consumed,
                     cases[i].count - result.consumed, result.scanned, 2);
        assert_int_equal(result.cut, 1);
        assert_memory_equal(result.messages[0].data, "c", 1);
        assert_int_equal(result.verdict, BERTH_FRAME_NEED);
    }
}

static void cut_stops_at_what_is_refused(void **state)
{
    (void)state;
    static const struct {
        struct berth_framing framing;
        const char *bytes;
        size_t count, consumed;
        enum berth_refusal refusal;
    } cases[] = {
        {LENGTH(1, 3), BYTES("\1a\1b\4cccc"), 4, BERTH_REFUSED_ABOVE_MAX},
        {VARINT(3), BYTES("\1a\1b\4cccc"), 4, BERTH_REFUSED_ABOVE_MAX},
        {VARINT(300), BYTES("\1a\1b\x80\0"), 4, BERTH_REFUSED_VARINT},
        {VARINT(300, .refuse_empty = true), BYTES("\1a\1b\0"), 4, BERTH_REFUSED_EMPTY},
        {DELIMITER("\n", 3), BYTES("a\nb\ncccc\n"), 4, BERTH_REFUSED_NO_DELIMITER},
        {DELIMITER("\n", 3, .refuse_empty = true), BYTES("a\nb\n\nc\n"), 4, BERTH_REFUSED_EMPTY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cut_result result = cut(&cases[i].framing, cases[i].bytes, cases[i].count, 0, 16);
        assert_int_equal(result.cut, 2);
        assert_int_equal(result.consumed, cases[i].consumed);
        assert_int_equal(result.verdict, BERTH_FRAME_BAD);
        assert_int_equal(result.frame.refusal, cases[i].refusal);
    }
}

/* Long runs of one size go through a loop of their own: its entry, its exits. */
static void cut_runs_of_one_size(void **state)
{
    (void)state;
    static const uint8_t sizes[] = {2, 2, 2, 2, 2, 2, 2, 7, 7, 2, 2,
                                    2, 2, 2, 2, 0, 0, 0, 0, 0, 0, 1};
    enum { MESSAGES = sizeof sizes };
    uint8_t bytes[256];
    size_t count = 0;
    for (size_t i = 0; i < MESSAGES; i++) {
        bytes[count] = sizes[i];
        memset(bytes + count + 1, (int)i, sizes[i]);
        count += 1u + sizes[i];
    }
    const struct berth_framing framing = LENGTH(1, 100);
    for (size_t max = 0; max <= MESSAGES; max++) {
        struct berth_message messages[MESSAGES];
        size_t scanned = 0, consumed, expected = 0;
        struct berth_frame frame;
        enum berth_frame_verdict verdict;
        assert_int_equal(berth_frame_cut(&framing, bytes, count, &scanned, messages, max, &consumed,
                                         &frame, &verdict),
                         max);
        for (size_t i = 0; i < max; i++) {
            assert_int_equal(messages[i].size, sizes[i]);
            assert_ptr_equal(messages[i].data, bytes + expected + 1);
            assert_int_equal(messages[i].header_bytes, 1);
            expected += 1u + sizes[i];
        }
        assert_int_equal(consumed, expected);
        assert_int_equal(verdict, max < MESSAGES ? BERTH_FRAME_READY : BERTH_FRAME_NEED);
    }
    /* A run that the bytes end in. */
    for (size_t part = 0; part <= count; part++) {
        uint8_t *copy = malloc(part + 1);
        assert_non_null(copy);
        memcpy(copy, bytes, part);
        struct berth_message messages[MESSAGES];
        size_t scanned = 0, consumed;
        struct berth_frame frame;
        enum berth_frame_verdict verdict;
        size_t cut = berth_frame_cut(&framing, copy, part, &scanned, messages, MESSAGES, &consumed,
                                     &frame, &verdict);
        assert_true(consumed <= part);
        assert_true(part - consumed < 8);
        assert_int_equal(verdict, BERTH_FRAME_NEED);
        assert_true(cut == 0 || messages[cut - 1].size == sizes[cut - 1]);
        free(copy);
    }
}

/* The second look at a delimiter does not read again what the first has excluded. */
static void delimiter_is_scanned_once(void **state)
{
    (void)state;
    const struct berth_framing framing = DELIMITER("\r\n", 100);
    struct cut_result result = cut(&framing, "abcdef\r", 7, 0, 16);
    assert_int_equal(result.verdict, BERTH_FRAME_NEED);
    assert_int_equal(result.scanned, 6);
    /* "\r\n" put where it was excluded is not found; the one that was open is. */
    result = cut(&framing, "\r\ncdef\r\nz", 9, result.scanned, 16);
    assert_int_equal(result.cut, 1);
    assert_int_equal(result.messages[0].size, 6);
    assert_int_equal(result.consumed, 8);
    assert_int_equal(result.scanned, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decode_length),
        cmocka_unit_test(decode_varint),
        cmocka_unit_test(decode_delimiter),
        cmocka_unit_test(decode_fixed),
        cmocka_unit_test(cut_takes_what_is_whole),
        cmocka_unit_test(cut_stops_at_max),
        cmocka_unit_test(cut_stops_at_what_is_refused),
        cmocka_unit_test(cut_runs_of_one_size),
        cmocka_unit_test(delimiter_is_scanned_once),
    };
    return cmocka_run_group_tests_name("wire.frame", tests, NULL, NULL);
}
