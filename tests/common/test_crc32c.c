/* CRC-32C: the vectors of RFC 3720, and both ways of computing it against a third, bit by bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/crc32c.h"

#define BYTES 400

static uint32_t bit_by_bit(const uint8_t *bytes, size_t count)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < 8 * count; i++) {
        uint32_t bit = ((uint32_t)bytes[i / 8] >> i % 8 ^ crc) & 1;
        crc = crc >> 1 ^ bit * UINT32_C(0x82f63b78);
    }
    return ~crc;
}

static void check(const uint8_t *bytes, size_t count, uint32_t expected)
{
    assert_int_equal(crc32c(bytes, count), expected);
    assert_int_equal(crc32c_by_table(bytes, count), expected);
    assert_int_equal(bit_by_bit(bytes, count), expected);
}

static void known_vectors(void **state)
{
    uint8_t bytes[32];
    (void)state;
    check((const uint8_t *)"", 0, 0);
    check((const uint8_t *)"123456789", 9, 0xe3069283);
    memset(bytes, 0, sizeof bytes);
    check(bytes, sizeof bytes, 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    check(bytes, sizeof bytes, 0x62a8ab43);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)i;
    }
    check(bytes, sizeof bytes, 0x46dd794e);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(31 - i);
    }
    check(bytes, sizeof bytes, 0x113fdb5c);
}

/* From any address on, of any length. */
static void both_ways_agree(void **state)
{
    uint8_t bytes[BYTES];
    uint32_t random = 1;
    (void)state;
    for (size_t i = 0; i < BYTES; i++) {
        random = random * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(random >> 24);
    }
    for (size_t from = 0; from < 9; from++) {
        for (size_t count = 0; count < BYTES - from; count++) {
            check(bytes + from, count, bit_by_bit(bytes + from, count));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_vectors),
        cmocka_unit_test(both_ways_agree),
    };
    return cmocka_run_group_tests_name("crc32c", tests, NULL, NULL);
}
