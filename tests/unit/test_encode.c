/* berth_frame_header and berth_frame_message_check, against tables of exact expectations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <berth/frame.h>

#include <string.h>

#include "unit/framings.h"

struct header_case {
    struct berth_framing framing;
    uint32_t message;
    int result;
    const char *header;
};

static const struct header_case header_cases[] = {
    {LENGTH(4, 1000), 258, 4, "\2\1\0\0"},
    {LENGTH(4, 1000, .length_big_endian = true), 258, 4, "\0\0\1\2"},
    {LENGTH(1, 1000), 255, 1, "\xff"},
    {LENGTH(1, 1000), 256, BERTH_E_TOO_LARGE, NULL},
    {LENGTH(2, 100000), 65535, 2, "\xff\xff"},
    {LENGTH(2, 100000), 65536, BERTH_E_TOO_LARGE, NULL},
    {LENGTH(2, 1000, .length_big_endian = true), 258, 2, "\1\2"},
    {LENGTH(8, 1000), 258, 8, "\2\1\0\0\0\0\0\0"},
    {LENGTH(8, 1000, .length_big_endian = true), 258, 8, "\0\0\0\0\0\0\1\2"},
    /* The maximum is for what is received; what is sent has the limit only. */
    {LENGTH(4, 1000), 1001, 4, "\xe9\3\0\0"},
    {LENGTH(8, 1000), BERTH_MESSAGE_BYTES_LIMIT + 1, BERTH_E_TOO_LARGE, NULL},
    {LENGTH(8, 1000), UINT32_MAX, BERTH_E_TOO_LARGE, NULL},
    {LENGTH(4, 1000), 1000, 4, "\xe8\3\0\0"},
    {LENGTH(4, BERTH_MESSAGE_BYTES_LIMIT), BERTH_MESSAGE_BYTES_LIMIT, 4, "\0\0\0\x40"},
    {LENGTH(4, 1000), 0, 4, "\0\0\0\0"},
    {LENGTH(4, 1000, .refuse_empty = true), 0, BERTH_E_FRAME, NULL},
    {LENGTH(2, 1000, .length_offset = 3), 5, 5, "\0\0\0\5\0"},
    {LENGTH(4, 1000, .length_counts_itself = true), 5, 4, "\x09\0\0\0"},
    {LENGTH(1, 1000, .length_counts_itself = true), 254, 1, "\xff"},
    {LENGTH(1, 1000, .length_counts_itself = true), 255, BERTH_E_TOO_LARGE, NULL},
    {LENGTH(1, 1000, .length_adjust = 2), 5, 1, "\3"},
    {LENGTH(1, 1000, .length_adjust = 2), 2, 1, "\0"},
    {LENGTH(1, 1000, .length_adjust = 2), 1, BERTH_E_TOO_LARGE, NULL},
    {LENGTH(8, 1000, .length_adjust = 2), 1, BERTH_E_TOO_LARGE, NULL},
    {LENGTH(1, 1000, .length_adjust = -2), 5, 1, "\7"},
    {LENGTH(4, 1000, .length_adjust = INT32_MIN), 5, 4, "\5\0\0\x80"},
    {VARINT(1000), 0, 1, "\0"},
    {VARINT(1000, .refuse_empty = true), 0, BERTH_E_FRAME, NULL},
    {VARINT(1000), 127, 1, "\x7f"},
    {VARINT(1000), 128, 2, "\x80\1"},
    {VARINT(1000), 1001, 2, "\xe9\7"},
    {VARINT(1000), BERTH_MESSAGE_BYTES_LIMIT + 1, BERTH_E_TOO_LARGE, NULL},
    {VARINT(BERTH_MESSAGE_BYTES_LIMIT), 16383, 2, "\xff\x7f"},
    {VARINT(BERTH_MESSAGE_BYTES_LIMIT), 16384, 3, "\x80\x80\1"},
    {VARINT(BERTH_MESSAGE_BYTES_LIMIT), BERTH_MESSAGE_BYTES_LIMIT, 5, "\x80\x80\x80\x80\4"},
    {DELIMITER("\n", 10), 10, 0, ""},
    {DELIMITER("\n", 10), 11, 0, ""},
    {DELIMITER("\n", 10), BERTH_MESSAGE_BYTES_LIMIT + 1, BERTH_E_TOO_LARGE, NULL},
    {DELIMITER("\n", 10, .refuse_empty = true), 0, BERTH_E_FRAME, NULL},
    {FIXED(10), 10, 0, ""},
    {FIXED(10), 9, BERTH_E_TOO_LARGE, NULL},
    {FIXED(10), 11, BERTH_E_TOO_LARGE, NULL},
    {FIXED(10), 0, BERTH_E_TOO_LARGE, NULL},
};

static void headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof header_cases / sizeof header_cases[0]; i++) {
        const struct header_case *c = &header_cases[i];
        uint8_t header[BERTH_HEADER_BYTES_MAX];
        memset(header, 0xee, sizeof header);
        int result = berth_frame_header(&c->framing, c->message, header);
        if (result != c->result) {
            print_message("header case %zu: %d\n", i, result);
        }
        assert_int_equal(result, c->result);
        if (result > 0) {
            assert_memory_equal(header, c->header, (size_t)result);
        }
        /* Nothing is written behind the header, or at all when there is none. */
        for (size_t at = result > 0 ? (size_t)result : 0; at < sizeof header; at++) {
            assert_int_equal(header[at], 0xee);
        }
    }
}

static void messages_that_can_be_sent(void **state)
{
    (void)state;
    static const struct {
        struct berth_framing framing;
        const char *message;
        size_t bytes;
        int result;
    } cases[] = {
        {LENGTH(1, 1000), BYTES("anything"), BERTH_OK},
        {LENGTH(1, 4), BYTES("anything"), BERTH_OK},
        {VARINT(100, .refuse_empty = true), BYTES(""), BERTH_E_FRAME},
        {FIXED(3), BYTES("abc"), BERTH_OK},
        {FIXED(3), BYTES("ab"), BERTH_E_TOO_LARGE},
        {DELIMITER("\n", 9), BYTES(""), BERTH_OK},
        {DELIMITER("\n", 9), BYTES("abc"), BERTH_OK},
        {DELIMITER("\n", 9), BYTES("a\nc"), BERTH_E_FRAME},
        {DELIMITER("\n", 9), BYTES("\n"), BERTH_E_FRAME},
        {DELIMITER("\n", 9), BYTES("abcdefghi"), BERTH_OK},
        {DELIMITER("\n", 9), BYTES("abcdefghij"), BERTH_OK},
        {DELIMITER("\n", 9), NULL, (size_t)BERTH_MESSAGE_BYTES_LIMIT + 1, BERTH_E_TOO_LARGE},
        {LENGTH(1, 9, .length_adjust = 2), BYTES("a"), BERTH_E_TOO_LARGE},
        {DELIMITER("\r\n", 9), BYTES("a\rb\nc"), BERTH_OK},
        {DELIMITER("\r\n", 9), BYTES("abc\r"), BERTH_OK},
        {DELIMITER("\r\n", 9), BYTES("abc\r\n"), BERTH_E_FRAME},
        {DELIMITER("\r\n", 9), BYTES("a\r\nbc"), BERTH_E_FRAME},
        {DELIMITER("aa", 9), BYTES("xa"), BERTH_E_FRAME},
        {DELIMITER("aa", 9), BYTES("ax"), BERTH_OK},
        {DELIMITER("aba", 9), BYTES("xab"), BERTH_E_FRAME},
        {DELIMITER("aba", 9), BYTES("xb"), BERTH_OK},
        {DELIMITER("\r\n\r\n", 9), BYTES("x\r\n"), BERTH_E_FRAME},
        {DELIMITER("\r\n\r\n", 9), BYTES("x\r"), BERTH_OK},
        {DELIMITER("0123456789abcdef", 99), BYTES("0123456789abcde"), BERTH_OK},
        {DELIMITER("aaaaaaaaaaaaaaaa", 99), BYTES("xaaaaaaaaaaaaaaa"), BERTH_E_FRAME},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const uint8_t *message = cases[i].bytes > 0 ? (const uint8_t *)cases[i].message : NULL;
        int result =
            berth_frame_message_check(&cases[i].framing, message, (uint32_t)cases[i].bytes);
        if (result != cases[i].result) {
            print_message("message case %zu: %d\n", i, result);
        }
        assert_int_equal(result, cases[i].result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers),
        cmocka_unit_test(messages_that_can_be_sent),
    };
    return cmocka_run_group_tests_name("wire.encode", tests, NULL, NULL);
}
