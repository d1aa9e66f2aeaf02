/* Loads and stores of either byte order, at every alignment, against bytes written by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"

#define ALIGNMENTS 8

static const uint8_t sample[8] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};

static void loads(void **state)
{
    (void)state;
    for (size_t at = 0; at < ALIGNMENTS; at++) {
        uint8_t bytes[ALIGNMENTS + sizeof sample] = {0};
        memcpy(bytes + at, sample, sizeof sample);
        assert_int_equal(load16(bytes + at, false), 0x2301);
        assert_int_equal(load16(bytes + at, true), 0x0123);
        assert_int_equal(load32(bytes + at, false), 0x67452301);
        assert_int_equal(load32(bytes + at, true), 0x01234567);
        assert_true(load64(bytes + at, false) == UINT64_C(0xefcdab8967452301));
        assert_true(load64(bytes + at, true) == UINT64_C(0x0123456789abcdef));
    }
}

/* What a store of `width` bytes must leave: the sample, and nothing changed beside it. */
static void assert_stored(const uint8_t *bytes, size_t at, size_t width)
{
    for (size_t i = 0; i < ALIGNMENTS + sizeof sample; i++) {
        bool inside = i >= at && i < at + width;
        assert_int_equal(bytes[i], inside ? sample[i - at] : 0xee);
    }
}

static void stores(void **state)
{
    (void)state;
    for (size_t at = 0; at < ALIGNMENTS; at++) {
        for (int big = 0; big <= 1; big++) {
            uint8_t bytes[ALIGNMENTS + sizeof sample];
            memset(bytes, 0xee, sizeof bytes);
            store16(bytes + at, big ? 0x0123 : 0x2301, big);
            assert_stored(bytes, at, 2);
            memset(bytes, 0xee, sizeof bytes);
            store32(bytes + at, big ? 0x01234567 : 0x67452301, big);
            assert_stored(bytes, at, 4);
            memset(bytes, 0xee, sizeof bytes);
            store64(bytes + at, big ? UINT64_C(0x0123456789abcdef) : UINT64_C(0xefcdab8967452301),
                    big);
            assert_stored(bytes, at, 8);
        }
    }
}

static void a_store_is_loaded_again(void **state)
{
    (void)state;
    static const uint64_t values[] = {
        0, 1, 0x7f, 0x80, 0xff, 0x8000, UINT16_MAX, 0x80000000, UINT32_MAX, INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        for (int big = 0; big <= 1; big++) {
            uint8_t bytes[8];
            store16(bytes, (uint16_t)values[i], big);
            assert_int_equal(load16(bytes, big), (uint16_t)values[i]);
            store32(bytes, (uint32_t)values[i], big);
            assert_int_equal(load32(bytes, big), (uint32_t)values[i]);
            store64(bytes, values[i], big);
            assert_true(load64(bytes, big) == values[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads),
        cmocka_unit_test(stores),
        cmocka_unit_test(a_store_is_loaded_again),
    };
    return cmocka_run_group_tests_name("base.bytes", tests, NULL, NULL);
}
