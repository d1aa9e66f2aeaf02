/* Framings as data and as text: the seed's, the check of every setting, the grammar of --frame,
 * and the sentence that explains a refusal.
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

static enum berth_frame_verdict no_decode(void *context, const uint8_t *bytes, size_t count,
                                          size_t *scanned, struct berth_frame *frame)
{
    (void)context, (void)bytes, (void)count, (void)scanned, (void)frame;
    return BERTH_FRAME_BAD;
}

static size_t no_header(void *context, uint32_t message_bytes, uint8_t *header)
{
    (void)context, (void)message_bytes, (void)header;
    return 0;
}

#define CUSTOM(...)                                                                                \
    {                                                                                              \
        .kind = BERTH_FRAMING_CUSTOM, .message_bytes_max = 9, __VA_ARGS__                          \
    }

static void seed_is_the_articles(void **state)
{
    (void)state;
    struct berth_framing framing = berth_framing_seed(100000);
    assert_int_equal(framing.kind, BERTH_FRAMING_LENGTH);
    assert_int_equal(framing.message_bytes_max, 100000);
    assert_int_equal(framing.length_bytes, 4);
    assert_int_equal(framing.length_offset, 0);
    assert_false(framing.length_big_endian);
    assert_false(framing.length_counts_itself);
    assert_int_equal(framing.length_adjust, 0);
    assert_false(framing.refuse_empty);
    assert_int_equal(berth_framing_check(&framing, NULL), BERTH_OK);
}

/* ---- check ---- */

static void check_accepts(void **state)
{
    (void)state;
    static const struct berth_framing framings[] = {
        LENGTH(1, 1),
        LENGTH(2, BERTH_MESSAGE_BYTES_LIMIT),
        LENGTH(8, 9, .length_offset = 56),
        LENGTH(4, 9, .length_adjust = INT32_MIN, .length_counts_itself = true),
        LENGTH(4, 9, .length_adjust = 9),
        LENGTH(1, 9, .length_adjust = -255),
        LENGTH(1, 9, .length_adjust = -254, .refuse_empty = true),
        LENGTH(8, 9, .length_adjust = 17, .length_counts_itself = true),
        VARINT(9, .refuse_empty = true),
        DELIMITER("x", 1),
        DELIMITER("0123456789abcdef", 9),
        DELIMITER("\0", 9),
        FIXED(1),
        CUSTOM(.custom_decode = no_decode, .custom_header = no_header, .custom_context = "x"),
    };
    for (size_t i = 0; i < sizeof framings / sizeof framings[0]; i++) {
        struct berth_error error = {.code = 77};
        int code = berth_framing_check(&framings[i], &error);
        if (code != BERTH_OK) {
            print_message("framing %zu: %s\n", i, error.text);
        }
        assert_int_equal(code, BERTH_OK);
        assert_int_equal(error.code, 77);
    }
}

static const struct {
    struct berth_framing framing;
    const char *setting;
} nonsense[] = {
    {{.kind = 0, .message_bytes_max = 9}, "kind"},
    {{.kind = 6, .message_bytes_max = 9}, "kind"},
    {LENGTH(4, 0), "message_bytes_max"},
    {LENGTH(4, BERTH_MESSAGE_BYTES_LIMIT + 1), "message_bytes_max"},
    {LENGTH(4, UINT32_MAX), "message_bytes_max"},
    {FIXED(0), "message_bytes_max"},
    {LENGTH(0, 9), "length_bytes"},
    {LENGTH(3, 9), "length_bytes"},
    {LENGTH(5, 9), "length_bytes"},
    {LENGTH(7, 9), "length_bytes"},
    {LENGTH(16, 9), "length_bytes"},
    {LENGTH(4, 9, .length_offset = 57), "length_offset"},
    {LENGTH(4, 9, .length_adjust = 10), "length_adjust"},
    {LENGTH(4, 9, .length_adjust = INT32_MAX), "length_adjust"},
    {LENGTH(8, 9, .length_adjust = 18, .length_counts_itself = true), "length_adjust"},
    {LENGTH(1, 9, .length_adjust = -256), "length_adjust"},
    {LENGTH(1, 9, .length_adjust = -255, .length_counts_itself = true), "length_adjust"},
    {LENGTH(1, 9, .length_adjust = -255, .refuse_empty = true), "length_adjust"},
    {LENGTH(2, 9, .length_adjust = -65536), "length_adjust"},
    {LENGTH(4, 9, .delimiter_bytes = 1), "delimiter_bytes"},
    {LENGTH(4, 9, .custom_decode = no_decode), "custom_decode"},
    {LENGTH(4, 9, .custom_header = no_header), "custom_header"},
    {LENGTH(4, 9, .custom_context = "x"), "custom_context"},
    {VARINT(9, .length_bytes = 4), "length_bytes"},
    {VARINT(9, .length_offset = 4), "length_offset"},
    {VARINT(9, .length_big_endian = true), "length_big_endian"},
    {VARINT(9, .length_counts_itself = true), "length_counts_itself"},
    {VARINT(9, .length_adjust = 1), "length_adjust"},
    {DELIMITER("", 9), "delimiter_bytes"},
    {DELIMITER("\n", 9, .length_bytes = 4), "length_bytes"},
    {{.kind = BERTH_FRAMING_DELIMITER, .message_bytes_max = 9, .delimiter_bytes = 17},
     "delimiter_bytes"},
    {{.kind = BERTH_FRAMING_DELIMITER,
      .message_bytes_max = 9,
      .delimiter_bytes = 1,
      .delimiter = "\r\n"},
     "delimiter_bytes"},
    {{.kind = BERTH_FRAMING_FIXED, .message_bytes_max = 9, .delimiter_bytes = 1},
     "delimiter_bytes"},
    {CUSTOM(.custom_decode = no_decode), "custom_header"},
    {CUSTOM(.custom_header = no_header), "custom_decode"},
    {CUSTOM(.custom_decode = no_decode, .custom_header = no_header, .length_bytes = 4),
     "length_bytes"},
};

static void check_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++) {
        struct berth_error error = {.code = 0};
        int code = berth_framing_check(&nonsense[i].framing, &error);
        if (code != BERTH_E_INVALID || strcmp(error.setting, nonsense[i].setting) != 0) {
            print_message("case %zu: %s\n", i, error.text);
        }
        assert_int_equal(code, BERTH_E_INVALID);
        assert_int_equal(error.code, BERTH_E_INVALID);
        assert_int_equal(error.system, 0);
        assert_string_equal(error.setting, nonsense[i].setting);
        assert_non_null(strstr(error.text, nonsense[i].setting));
        assert_int_equal(berth_framing_check(&nonsense[i].framing, NULL), BERTH_E_INVALID);
    }
}

/* ---- parse ---- */

static void parse_accepts(void **state)
{
    (void)state;
    enum { MAX = 500 };
    static const struct {
        const char *text;
        struct berth_framing framing;
    } cases[] = {
        {"length:4", LENGTH(4, MAX)},
        {"length:1", LENGTH(1, MAX)},
        {"length:8", LENGTH(8, MAX)},
        {"length:4:le", LENGTH(4, MAX)},
        {"length:2:be", LENGTH(2, MAX, .length_big_endian = true)},
        {"length:2:be:offset=2:itself:adjust=-2:nonempty",
         LENGTH(2, MAX, .length_big_endian = true, .length_offset = 2, .length_counts_itself = true,
                .length_adjust = -2, .refuse_empty = true)},
        {"length:2:nonempty:adjust=3:itself:offset=56:le",
         LENGTH(2, MAX, .length_offset = 56, .length_counts_itself = true, .length_adjust = 3,
                .refuse_empty = true)},
        {"length:4:adjust=0:offset=0", LENGTH(4, MAX)},
        {"length:4:adjust=-2147483648", LENGTH(4, MAX, .length_adjust = INT32_MIN)},
        {"varint", VARINT(MAX)},
        {"varint:nonempty", VARINT(MAX, .refuse_empty = true)},
        {"delimiter:\\n", DELIMITER("\n", MAX)},
        {"delimiter:\\r\\n", DELIMITER("\r\n", MAX)},
        {"delimiter:\r\n", DELIMITER("\r\n", MAX)},
        {"delimiter:\\r\\n:nonempty", DELIMITER("\r\n", MAX, .refuse_empty = true)},
        {"delimiter:nonempty", DELIMITER("nonempty", MAX)},
        {"delimiter:END OF IT", DELIMITER("END OF IT", MAX)},
        {"delimiter:\\t\\0\\\\", DELIMITER("\t\0\\", MAX)},
        {"delimiter:\\0a", DELIMITER("\0a", MAX)},
        {"delimiter:\\0!", DELIMITER("\0!", MAX)},
        {"delimiter:a\\x3a\\xFf\\x00", DELIMITER("a:\xff\0", MAX)},
        {"delimiter:\\x0Ab", DELIMITER("\nb", MAX)},
        {"delimiter:0123456789abcdef", DELIMITER("0123456789abcdef", MAX)},
        {"delimiter:\xc2\xa7", DELIMITER("\xc2\xa7", MAX)},
        {"fixed:64", FIXED(64)},
        {"fixed:1", FIXED(1)},
        {"fixed:1073741824", FIXED(BERTH_MESSAGE_BYTES_LIMIT)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct berth_error error = {.code = 77};
        struct berth_framing framing;
        memset(&framing, 0xee, sizeof framing);
        int code = berth_framing_parse(cases[i].text, MAX, &framing, &error);
        const struct berth_framing *expected = &cases[i].framing;
        bool same = code == BERTH_OK && framing.kind == expected->kind &&
                    framing.message_bytes_max == expected->message_bytes_max &&
                    framing.refuse_empty == expected->refuse_empty &&
                    framing.length_bytes == expected->length_bytes &&
                    framing.length_offset == expected->length_offset &&
                    framing.length_big_endian == expected->length_big_endian &&
                    framing.length_counts_itself == expected->length_counts_itself &&
                    framing.length_adjust == expected->length_adjust &&
                    framing.delimiter_bytes == expected->delimiter_bytes &&
                    memcmp(framing.delimiter, expected->delimiter, sizeof framing.delimiter) == 0 &&
                    framing.custom_decode == NULL && framing.custom_header == NULL &&
                    framing.custom_context == NULL;
        if (!same) {
            print_message("%s: %d %s\n", cases[i].text, code, error.text);
        }
        assert_true(same);
        assert_int_equal(error.code, 77);
    }
}

/* The text, the setting that is named, and what the error must quote. */
static const struct {
    const char *text, *setting, *quoted;
} misspelt[] = {
    {"", "kind", "\"\""},
    {":", "kind", "\"\""},
    {"lines", "kind", "\"lines\""},
    {"Length:4", "kind", "\"Length\""},
    {"lengt", "kind", "\"lengt\""},
    {"l\xc3\xa4nge\x7f", "kind", "\"l??nge?\""},
    {"length4", "kind", "\"length4\""},
    {"custom", "kind", "\"custom\""},
    {" varint", "kind", "\" varint\""},
    {"line\n\x1b[2J", "kind", "\"line??[2J\""},
    {"length", "length_bytes", "\"\""},
    {"length:", "length_bytes", "\"\""},
    {"length:le", "length_bytes", "\"le\""},
    {"length:3", "length_bytes", "\"3\""},
    {"length:0", "length_bytes", "\"0\""},
    {"length:5:le", "length_bytes", "\"5\""},
    {"length:6", "length_bytes", "\"6\""},
    {"length:16", "length_bytes", "\"16\""},
    {"length:04", "length_bytes", "\"04\""},
    {"length:+4", "length_bytes", "\"+4\""},
    {"length:-4", "length_bytes", "\"-4\""},
    {"length:4 ", "length_bytes", "\"4 \""},
    {"length:4x", "length_bytes", "\"4x\""},
    {"length:99999999999999999999", "length_bytes", "\"99999999999999999999\""},
    {"length:4:", "framing", "\"\""},
    {"length:4:me", "framing", "\"me\""},
    {"length:4:LE", "framing", "\"LE\""},
    {"length:4:le ", "framing", "\"le \""},
    {"length:4:le:le", "framing", "\"le\""},
    {"length:4:le:be", "framing", "\"be\""},
    {"length:4:le:itself:be", "framing", "\"be\""},
    {"length:4:itself:offset=1:itself", "framing", "\"itself\""},
    {"length:4::be", "framing", "\"\""},
    {"length:4:itself:itself", "framing", "\"itself\""},
    {"length:4:nonempty:nonempty", "framing", "\"nonempty\""},
    {"length:4:offset=1:offset=1", "framing", "\"offset=1\""},
    {"length:4:adjust=1:adjust=-1", "framing", "\"adjust=-1\""},
    {"length:4:offset", "framing", "\"offset\""},
    {"length:4:offset=", "length_offset", "\"offset=\""},
    {"length:4:offset=57", "length_offset", "\"offset=57\""},
    {"length:4:offset=-1", "length_offset", "\"offset=-1\""},
    {"length:4:offset=1k", "length_offset", "\"offset=1k\""},
    {"length:4:offset=00", "length_offset", "\"offset=00\""},
    {"length:4:adjust=", "length_adjust", "\"adjust=\""},
    {"length:4:adjust=-", "length_adjust", "\"adjust=-\""},
    {"length:4:adjust=--1", "length_adjust", "\"adjust=--1\""},
    {"length:4:adjust=+1", "length_adjust", "\"adjust=+1\""},
    {"length:4:adjust=2147483648", "length_adjust", "\"adjust=2147483648\""},
    {"length:4:adjust=-2147483649", "length_adjust", "\"adjust=-2147483649\""},
    {"length:4:adjust=11111111111", "length_adjust", "\"adjust=11111111111\""},
    {"length:4:adjust=501", "length_adjust", "length_adjust is 501"},
    {"length:1:adjust=-256", "length_adjust", "length_adjust is -256"},
    {"varint:", "framing", "\"\""},
    {"varint:le", "framing", "\"le\""},
    {"varint:nonempty:nonempty", "framing", "\"nonempty\""},
    {"varint:5", "framing", "\"5\""},
    {"delimiter", "delimiter", "\"\""},
    {"delimiter:", "delimiter", "\"\""},
    {"delimiter::nonempty", "delimiter", "\"\""},
    {"delimiter:\\n:", "framing", "\"\""},
    {"delimiter:\\n:x", "framing", "\"x\""},
    {"delimiter:\\n:nonempty:nonempty", "framing", "\"nonempty\""},
    {"delimiter:\\", "delimiter", "\"\\\""},
    {"delimiter:\\q", "delimiter", "\"\\q\""},
    {"delimiter:\\x", "delimiter", "\"\\x\""},
    {"delimiter:\\x1", "delimiter", "\"\\x1\""},
    {"delimiter:\\x1g", "delimiter", "\"\\x1g\""},
    {"delimiter:\\xg1", "delimiter", "\"\\xg1\""},
    {"delimiter:\\012", "delimiter", "\"\\012\""},
    {"delimiter:\\00", "delimiter", "\"\\00\""},
    {"delimiter:\\09", "delimiter", "\"\\09\""},
    {"delimiter:\\:", "delimiter", "\"\\\""},
    {"delimiter:0123456789abcdefg", "delimiter", "\"0123456789abcdefg\""},
    {"delimiter:0123456789012345678901234567890123456789x", "delimiter",
     "\"0123456789012345678901234567890123456789\"..."},
    {"fixed", "message_bytes_max", "\"\""},
    {"fixed:", "message_bytes_max", "\"\""},
    {"fixed:0", "message_bytes_max", "\"0\""},
    {"fixed:1073741825", "message_bytes_max", "\"1073741825\""},
    {"fixed:64k", "message_bytes_max", "\"64k\""},
    {"fixed:64:nonempty", "framing", "\"nonempty\""},
    {"fixed:64:", "framing", "\"\""},
};

static void parse_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof misspelt / sizeof misspelt[0]; i++) {
        struct berth_error error = {.code = 0};
        struct berth_framing framing, untouched;
        memset(&framing, 0xee, sizeof framing);
        memset(&untouched, 0xee, sizeof untouched);
        int code = berth_framing_parse(misspelt[i].text, 500, &framing, &error);
        if (code != BERTH_E_INVALID || strcmp(error.setting, misspelt[i].setting) != 0 ||
            strstr(error.text, misspelt[i].quoted) == NULL) {
            print_message("%s: %d %s\n", misspelt[i].text, code, error.text);
        }
        assert_int_equal(code, BERTH_E_INVALID);
        assert_int_equal(error.code, BERTH_E_INVALID);
        assert_string_equal(error.setting, misspelt[i].setting);
        assert_non_null(strstr(error.text, misspelt[i].quoted));
        assert_memory_equal(&framing, &untouched, sizeof framing);
        assert_int_equal(berth_framing_parse(misspelt[i].text, 500, &framing, NULL),
                         BERTH_E_INVALID);
    }
}

static void parse_takes_the_maximum_it_is_given(void **state)
{
    (void)state;
    struct berth_framing framing;
    struct berth_error error;
    assert_int_equal(berth_framing_parse("varint", 0, &framing, &error), BERTH_E_INVALID);
    assert_string_equal(error.setting, "message_bytes_max");
    assert_int_equal(berth_framing_parse("varint", UINT32_MAX, &framing, &error), BERTH_E_INVALID);
    assert_string_equal(error.setting, "message_bytes_max");
    assert_int_equal(berth_framing_parse("fixed:7", 0, &framing, &error), BERTH_OK);
    assert_int_equal(framing.message_bytes_max, 7);
}

/* ---- refusals ---- */

static const struct {
    struct berth_framing framing;
    const char *bytes;
    size_t count;
    const char *text;
} refused[] = {
    {LENGTH(4, 65536), BYTES("\0\0\0\x80"),
     "length field 00 00 00 80 = 2147483648 (-2147483648 as signed) is above the maximum of "
     "65536"},
    {LENGTH(4, 65536), BYTES("\xff\xff\xff\xff"),
     "length field ff ff ff ff = 4294967295 (-1 as signed) is above the maximum of 65536"},
    {LENGTH(4, 65536, .length_big_endian = true), BYTES("\x80\0\0\1"),
     "length field 80 00 00 01 = 2147483649 (-2147483647 as signed) is above the maximum of "
     "65536"},
    {LENGTH(4, 65536), BYTES("GET /"),
     "length field 47 45 54 20 (\"GET \") = 542393671 is above the maximum of 65536"},
    {LENGTH(8, 65536), BYTES("\0\0\0\0\0\0\0\x80"),
     "length field 00 00 00 00 00 00 00 80 = 9223372036854775808 (-9223372036854775808 as "
     "signed) is above the maximum of 65536"},
    {LENGTH(8, 65536), BYTES("\xfe\xff\xff\xff\xff\xff\xff\xff"),
     "length field fe ff ff ff ff ff ff ff = 18446744073709551614 (-2 as signed) is above the "
     "maximum of 65536"},
    {LENGTH(8, 65536), BYTES("\0\0\0\x80\0\0\0\0"),
     "length field 00 00 00 80 00 00 00 00 = 2147483648 is above the maximum of 65536"},
    {LENGTH(2, 100), BYTES("\xff\xff"), "length field ff ff = 65535 is above the maximum of 100"},
    {LENGTH(1, 5), BYTES("A"), "length field 41 = 65 is above the maximum of 5"},
    {LENGTH(2, 100, .length_counts_itself = true), BYTES("\x67\0"),
     "length field 67 00 = 103 is above the maximum of 102"},
    {LENGTH(2, 100, .length_counts_itself = true), BYTES("\1\0"),
     "length field 01 00 = 1 is below the minimum of 2"},
    {LENGTH(4, 100, .refuse_empty = true), BYTES("\0\0\0\0"),
     "length field 00 00 00 00 = 0 is an empty message, and empty messages are refused"},
    {VARINT(100), BYTES("\xe5\0"),
     "varint length e5 00 = 101 is padded: its last byte adds nothing"},
    {VARINT(100), BYTES("\xff\xff\xff\xff\xff\1"),
     "varint length ff ff ff ff ff does not end within 5 bytes"},
    {VARINT(100), BYTES("\x65"), "length field 65 = 101 is above the maximum of 100"},
    {DELIMITER("\r\n", 20), BYTES("GET / HTTP/1.1\n\nGET /"),
     "no delimiter after a message of at most 20 bytes that begins 47 45 54 20 2f 20 48 54 54 "
     "50 2f 31 2e 31 0a 0a"},
    {DELIMITER("\r\n", 4), BYTES("HELLO"),
     "no delimiter after a message of at most 4 bytes that begins 48 45 4c 4c 4f (\"HELLO\")"},
    {DELIMITER("\r\n", 4, .refuse_empty = true), BYTES("\r\n"),
     "delimiter 0d 0a ends an empty message, and empty messages are refused"},
    {CUSTOM(.custom_decode = no_decode, .custom_header = no_header), BYTES("\1\2"),
     "the custom decoder refused the bytes 01 02"},
    {FIXED(4), BYTES("abcd"), "nothing was refused"},
};

static void refusal_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct berth_frame frame;
        size_t scanned = 0;
        berth_frame_decode(&refused[i].framing, (const uint8_t *)refused[i].bytes, refused[i].count,
                           &scanned, &frame);
        char text[200];
        assert_ptr_equal(berth_frame_refusal_text(&frame, text, sizeof text), text);
        assert_string_equal(text, refused[i].text);
        /* Cut at any size, and never a byte too far. */
        for (size_t bytes = 0; bytes <= strlen(refused[i].text) + 1; bytes++) {
            char *room = malloc(bytes + 1);
            assert_non_null(room);
            memset(room, 0x7e, bytes + 1);
            berth_frame_refusal_text(&frame, room, bytes);
            assert_int_equal(room[bytes], 0x7e);
            if (bytes > 0) {
                assert_int_equal(strlen(room), bytes - 1);
                assert_memory_equal(room, refused[i].text, bytes - 1);
            }
            free(room);
        }
    }
}

static void refusal_of_a_number_that_is_none(void **state)
{
    (void)state;
    struct berth_frame frame = {.refusal = (enum berth_refusal)42, .field = "\1", .field_bytes = 1};
    char text[200];
    assert_string_equal(berth_frame_refusal_text(&frame, text, sizeof text),
                        "refusal 42, which Berth does not know, of the bytes 01");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seed_is_the_articles),
        cmocka_unit_test(check_accepts),
        cmocka_unit_test(check_refuses),
        cmocka_unit_test(parse_accepts),
        cmocka_unit_test(parse_refuses),
        cmocka_unit_test(parse_takes_the_maximum_it_is_given),
        cmocka_unit_test(refusal_texts),
        cmocka_unit_test(refusal_of_a_number_that_is_none),
    };
    return cmocka_run_group_tests_name("wire.framing", tests, NULL, NULL);
}
