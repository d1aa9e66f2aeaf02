/* Which connection begins when: all of them once, in turn over the workers, never closer together
 * than the delay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "pace.h"

#define WORKERS_MOST     7
#define CONNECTIONS_MOST 50

/* Whatever the numbers, the workers together take every connection once, each its own in order, and
 * connection n may begin (n - 1) delays after the start. */
static void every_connection_is_taken_once_in_its_time(void **state)
{
    enum { DELAY_NS = 250000 };
    (void)state;
    for (uint32_t workers = 1; workers <= WORKERS_MOST; workers++) {
        for (uint32_t connections = workers; connections <= CONNECTIONS_MOST; connections++) {
            uint8_t taken[CONNECTIONS_MOST + 1] = {0};
            for (uint32_t worker = 0; worker < workers; worker++) {
                struct pace pace;
                uint64_t wait_ns = 0;
                uint32_t number = 0;
                pace_start(&pace, worker, workers, connections, DELAY_NS);
                while ((number = pace_take(&pace, 0, &wait_ns)) != 0) {
                    assert_in_range(number, 1, connections);
                    assert_int_equal((number - 1) % workers, worker);
                    assert_int_equal(wait_ns, (uint64_t)(number - 1) * DELAY_NS);
                    taken[number]++;
                }
                assert_int_equal(pace_take(&pace, UINT64_MAX / 2, &wait_ns), 0);
            }
            for (uint32_t number = 1; number <= connections; number++) {
                assert_int_equal(taken[number], 1);
            }
        }
    }
}

/* One that had to wait for another to end moves those after it. */
static void late_ones_keep_the_distance(void **state)
{
    struct pace pace;
    uint64_t wait_ns = 0;
    (void)state;
    pace_start(&pace, 0, 1, 100, 10);
    assert_int_equal(pace_take(&pace, 0, &wait_ns), 1);
    assert_int_equal(wait_ns, 0);
    assert_int_equal(pace_take(&pace, 1000, &wait_ns), 2); /* it was due at 10 */
    assert_int_equal(wait_ns, 0);
    assert_int_equal(pace_take(&pace, 1001, &wait_ns), 3);
    assert_int_equal(wait_ns, 9);
    assert_int_equal(pace_take(&pace, 1002, &wait_ns), 4);
    assert_int_equal(wait_ns, 18);
}

static void without_a_delay_nothing_waits(void **state)
{
    struct pace pace;
    uint64_t wait_ns = 1;
    (void)state;
    pace_start(&pace, 2, 3, 4000000, 0);
    for (uint64_t now_ns = 0; now_ns < 1000; now_ns += 7) {
        assert_int_not_equal(pace_take(&pace, now_ns, &wait_ns), 0);
        assert_int_equal(wait_ns, 0);
    }
}

static void what_is_left_is_dropped_once(void **state)
{
    struct pace pace;
    uint64_t wait_ns = 0;
    (void)state;
    for (uint32_t workers = 1; workers <= WORKERS_MOST; workers++) {
        uint32_t dropped = 0;
        for (uint32_t worker = 0; worker < workers; worker++) {
            pace_start(&pace, worker, workers, CONNECTIONS_MOST, 0);
            assert_int_equal(pace_take(&pace, 0, &wait_ns), worker + 1);
            dropped += pace_drop(&pace);
            assert_int_equal(pace_drop(&pace), 0);
            assert_int_equal(pace_take(&pace, 0, &wait_ns), 0);
        }
        assert_int_equal(dropped, CONNECTIONS_MOST - workers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_connection_is_taken_once_in_its_time),
        cmocka_unit_test(late_ones_keep_the_distance),
        cmocka_unit_test(without_a_delay_nothing_waits),
        cmocka_unit_test(what_is_left_is_dropped_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
