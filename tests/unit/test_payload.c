/* The numbers of a server's framings: two get one number if what they put on the wire is the same,
 * so that a payload is written once for both; there are sixteen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "core/core.h"
#include "unit/framings.h"

static struct berth_server server;

static size_t header_a(void *context, uint32_t message_bytes, uint8_t *header)
{
    (void)context;
    (void)message_bytes;
    (void)header;
    return 0;
}

static size_t header_b(void *context, uint32_t message_bytes, uint8_t *header)
{
    (void)context;
    (void)message_bytes;
    (void)header;
    return 0;
}

static enum berth_frame_verdict decode(void *context, const uint8_t *bytes, size_t count,
                                       size_t *scanned, struct berth_frame *frame)
{
    (void)context;
    (void)bytes;
    (void)count;
    (void)scanned;
    (void)frame;
    return BERTH_FRAME_BAD;
}

#define DIGITS(...)                                                                                \
    {                                                                                              \
        .kind = BERTH_FRAMING_CUSTOM, .message_bytes_max = 9, __VA_ARGS__                          \
    }

static const struct {
    struct berth_framing a, b;
    bool same;
} pairs[] = {
    {LENGTH(4, 100), LENGTH(4, 100), true},
    {LENGTH(4, 100), LENGTH(4, 200), true}, /* what is received does not matter */
    {LENGTH(4, 100), LENGTH(2, 100), false},
    {LENGTH(4, 100), LENGTH(4, 100, .length_offset = 1), false},
    {LENGTH(4, 100), LENGTH(4, 100, .length_big_endian = true), false},
    {LENGTH(4, 100), LENGTH(4, 100, .length_counts_itself = true), false},
    {LENGTH(4, 100), LENGTH(4, 100, .length_adjust = 1), false},
    {LENGTH(4, 100), LENGTH(4, 100, .refuse_empty = true), false},
    {LENGTH(4, 100), VARINT(100), false},
    {VARINT(100), VARINT(200), true},
    {FIXED(7), FIXED(7), true},
    {FIXED(7), FIXED(8), false},
    {DELIMITER("\n", 100), DELIMITER("\n", 200), true},
    {DELIMITER("\n", 100), DELIMITER("\r", 100), false},
    {DELIMITER("\n", 100), DELIMITER("\n\n", 100), false},
    {DIGITS(.custom_decode = decode, .custom_header = header_a),
     DIGITS(.custom_decode = decode, .custom_header = header_a), true},
    {DIGITS(.custom_header = header_a), DIGITS(.custom_header = header_b), false},
    {DIGITS(.custom_header = header_a),
     DIGITS(.custom_header = header_a, .custom_context = &server), false},
    {DIGITS(.custom_header = header_a), DIGITS(.custom_decode = decode, .custom_header = header_a),
     true}, /* nor how it is read */
};

static void what_looks_the_same_has_one_number(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        memset(&server, 0, sizeof server);
        assert_int_equal(framing_number(&server, &pairs[i].a), 0);
        uint8_t second = framing_number(&server, &pairs[i].b);
        if (second != (pairs[i].same ? 0 : 1)) {
            fail_msg("pair %zu has the numbers 0 and %u", i, second);
        }
        assert_int_equal(server.framings_count, pairs[i].same ? 1 : 2);
    }
}

static void the_seventeenth_has_none(void **state)
{
    (void)state;
    struct berth_framing framings[BERTH_GROUP_FRAMINGS_MAX + 1];
    memset(&server, 0, sizeof server);
    for (uint32_t i = 0; i <= BERTH_GROUP_FRAMINGS_MAX; i++) {
        framings[i] = (struct berth_framing)FIXED(i + 1);
        assert_int_equal(framing_number(&server, &framings[i]),
                         i < BERTH_GROUP_FRAMINGS_MAX ? i : FRAMING_NONE);
    }
    for (uint32_t i = 0; i < BERTH_GROUP_FRAMINGS_MAX; i++) { /* the others keep theirs */
        assert_int_equal(framing_number(&server, &framings[i]), i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_looks_the_same_has_one_number),
        cmocka_unit_test(the_seventeenth_has_none),
    };
    return cmocka_run_group_tests_name("payload", tests, NULL, NULL);
}
