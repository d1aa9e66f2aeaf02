/* Numbers: what the fuzzer found in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "number.h"

/* 18446744073 s are less than 2^64 ns, and with their fraction they are more. */
static void a_time_beyond_64_bits_is_refused(void **state)
{
    (void)state;
    uint64_t ns = 7;
    assert_false(number_read_time("18446744073.709569", UINT64_MAX, &ns));
    assert_false(number_read_time("18446744073709.551616ms", UINT64_MAX, &ns));
    assert_false(number_read_ms("18446744073709.551616", UINT64_MAX, &ns));
    assert_int_equal(ns, 7);
    assert_true(number_read_time("18446744073.709551615", UINT64_MAX, &ns));
    assert_true(ns == UINT64_MAX);
    assert_true(number_read_ms("18446744073709.551615", UINT64_MAX, &ns));
    assert_true(ns == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_beyond_64_bits_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
