/* vex's timers come in their order, and its percentiles are what they say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "histogram.h"
#include "random.h"
#include "timers.h"

#define TIMERS 1000

static void timers_come_in_order(void **state)
{
    static struct timer all[TIMERS];
    struct timers timers;
    (void)state;
    assert_true(timers_open(&timers, TIMERS));
    size_t set = 0;
    for (size_t i = 0; i < 3 * (size_t)TIMERS; i++) { /* each is set, moved or cancelled thrice */
        struct timer *timer = &all[random_mix(1, i) % TIMERS];
        set -= timer->place != 0 ? 1 : 0;
        if (i % 5 == 0) {
            timers_cancel(&timers, timer);
        } else {
            timers_set(&timers, timer, random_mix(2, i) % 500);
            set++;
        }
    }
    assert_int_equal(timers.count, set);
    uint64_t last = 0;
    size_t taken = timers.count;
    for (uint64_t now = 0; now < 500; now++) {
        struct timer *timer = timers_take_due(&timers, now);
        while (timer != NULL) {
            assert_true(timer->due_ns >= last && timer->due_ns <= now);
            assert_int_equal(timer->place, 0);
            last = timer->due_ns;
            taken--;
            timer = timers_take_due(&timers, now);
        }
        assert_true(timers_first_ns(&timers) > now);
    }
    assert_int_equal(taken, 0);
    assert_int_equal(timers_first_ns(&timers), UINT64_MAX);
    timers_close(&timers);
}

static void percentiles_are_right_to_a_sixteenth(void **state)
{
    static struct histogram histogram;
    (void)state;
    assert_int_equal(histogram_at(&histogram, 500), 0);
    for (uint64_t i = 1; i <= 100000; i++) {
        histogram_add(&histogram, i);
    }
    for (unsigned part = 1; part <= 1000; part++) {
        uint64_t wanted = 100 * (uint64_t)part;
        uint64_t got = histogram_at(&histogram, part);
        assert_true(got >= wanted && got - wanted <= wanted / 16 + 1);
    }
    assert_int_equal(histogram.least, 1);
    assert_int_equal(histogram.most, 100000);
    assert_int_equal(histogram_at(&histogram, 1000), 100000);
    histogram_add(&histogram, UINT64_MAX);
    assert_true(histogram_at(&histogram, 1000) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_come_in_order),
        cmocka_unit_test(percentiles_are_right_to_a_sixteenth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
