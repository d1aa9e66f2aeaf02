/* The histogram: where values go, how exact percentiles are, and that merging loses nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "histogram.h"

/* They are 60 KB each: too many for a stack. */
static struct histogram one;
static struct histogram two;

static int empty_both(void **state)
{
    (void)state;
    memset(&one, 0, sizeof one);
    memset(&two, 0, sizeof two);
    return 0;
}

/* Every value lies in its bucket, every bucket begins where the one before ends. */
static void buckets_cover_all_values(void **state)
{
    (void)state;
    assert_int_equal(histogram_bucket(0), 0);
    for (uint32_t i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        uint64_t top = histogram_bucket_top(i);
        assert_int_equal(histogram_bucket(top), i);
        assert_int_equal(histogram_bucket(top + 1), i + 1);
    }
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
    assert_true(histogram_bucket_top(HISTOGRAM_BUCKETS - 1) == UINT64_MAX);
}

static void buckets_are_narrow(void **state)
{
    (void)state;
    for (uint32_t i = 1; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t bottom = histogram_bucket_top(i - 1) + 1;
        uint64_t width = histogram_bucket_top(i) - bottom;
        assert_true(width <= bottom / 100); /* 1 % */
    }
}

static void percentiles_of_a_ramp(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 100000; i++) {
        histogram_add(&one, i * 1000, 1);
    }
    static const double percents[] = {0.01, 1, 25, 50, 90, 99, 99.9, 99.99, 100};
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
        double exact = percents[i] * 1e6;
        double got = (double)histogram_percentile(&one, percents[i]);
        assert_true(got >= exact * 0.9999 && got <= exact * 1.01);
    }
    assert_int_equal(one.most, 100000000);
    assert_int_equal(one.least, 1000);
    assert_int_equal(histogram_percentile(&one, 100), 100000000);
    assert_true(histogram_mean(&one) == 50000500.0);
}

static void small_counts(void **state)
{
    (void)state;
    assert_int_equal(histogram_percentile(&one, 50), 0);
    assert_true(histogram_mean(&one) == 0.0);
    histogram_add(&one, 12345678, 1);
    assert_int_equal(histogram_percentile(&one, 0), 12345678);
    assert_int_equal(histogram_percentile(&one, 50), 12345678);
    assert_int_equal(histogram_percentile(&one, 99.9), 12345678);
    /* 999 of 1,000 are 99.9 %: the last one is beyond. */
    empty_both(NULL);
    histogram_add(&one, 10, 999);
    histogram_add(&one, 99, 1);
    assert_int_equal(histogram_percentile(&one, 99.9), 10);
    assert_int_equal(histogram_percentile(&one, 99.91), 99);
}

static void many_times_is_each_time(void **state)
{
    (void)state;
    for (int i = 0; i < 7; i++) {
        histogram_add(&one, 1234, 1);
    }
    histogram_add(&two, 1234, 7);
    assert_memory_equal(&one, &two, sizeof one);
}

static void merging_is_counting_together(void **state)
{
    static struct histogram all;
    uint64_t random = 1;
    (void)state;
    memset(&all, 0, sizeof all);
    for (int i = 0; i < 10000; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        uint64_t value = random >> (random % 50 + 8);
        histogram_add(i % 3 == 0 ? &one : &two, value, 1);
        histogram_add(&all, value, 1);
    }
    histogram_merge(&one, &two);
    assert_memory_equal(&one, &all, sizeof all);
    /* Nothing added is nothing changed, also the least. */
    memset(&two, 0, sizeof two);
    histogram_merge(&one, &two);
    assert_memory_equal(&one, &all, sizeof all);
    histogram_merge(&two, &all);
    assert_memory_equal(&two, &all, sizeof all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(buckets_cover_all_values, empty_both),
        cmocka_unit_test_setup(buckets_are_narrow, empty_both),
        cmocka_unit_test_setup(percentiles_of_a_ramp, empty_both),
        cmocka_unit_test_setup(small_counts, empty_both),
        cmocka_unit_test_setup(many_times_is_each_time, empty_both),
        cmocka_unit_test_setup(merging_is_counting_together, empty_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
