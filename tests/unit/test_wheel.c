/* The timer wheel against a plain list: random sets, cancels and expiries with near and far
 * deadlines, over borders of every level, must give the same timers at the same ticks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "ds/wheel.h"

#define TIMERS 60
#define SEEDS  300
#define STEPS  400
#define REACH  (UINT64_C(1) << (WHEEL_LEVELS * WHEEL_SLOTS_LOG2)) /* ticks */

/* The list: when each timer is due; NEVER: not set. */
struct model {
    struct wheel wheel;
    struct wheel_timer timers[TIMERS];
    uint64_t due_ns[TIMERS];
    uint64_t now_ns;
    uint64_t looked_ns; /* the expiry before this one */
    uint64_t seed;
    uint64_t random;
};

static uint64_t roll(struct model *m)
{
    m->random += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = m->random;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

#define CHECK(m, condition)                                                                        \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fail_msg("seed %llu: %s", (unsigned long long)(m)->seed, #condition);                  \
        }                                                                                          \
    } while (0)

/* Ticks of every size, and those on either side of a level's borders. */
static uint64_t draw_ns(struct model *m)
{
    unsigned level = (unsigned)(roll(m) % (WHEEL_LEVELS + 1));
    uint64_t run = UINT64_C(1) << (level * WHEEL_SLOTS_LOG2);
    uint64_t now_tick = m->now_ns / WHEEL_TICK_NS;
    uint64_t tick = 0;
    switch (roll(m) % 5) {
    case 0:
        tick = roll(m) % (run * WHEEL_SLOTS);
        break;
    case 1: /* about the next border of the level */
        tick = (now_tick / run + 1) * run - now_tick + roll(m) % 3;
        tick -= tick > 0 ? 1 : 0;
        break;
    case 2:
        return roll(m) % (3 * WHEEL_TICK_NS); /* within a tick or two, or now */
    case 3:                                   /* about the wheel's reach */
        tick = REACH - 5 + roll(m) % 10 - (roll(m) % 2) * (REACH / WHEEL_SLOTS);
        break;
    default:
        tick = roll(m) % (3 * REACH); /* beyond it */
        break;
    }
    return tick * WHEEL_TICK_NS + roll(m) % WHEEL_TICK_NS;
}

static uint64_t due_tick(uint64_t due_ns)
{
    return due_ns / WHEEL_TICK_NS + (due_ns % WHEEL_TICK_NS != 0 ? 1 : 0);
}

/* The first moment at which any timer must expire. */
static uint64_t first_due_ns(const struct model *m)
{
    uint64_t first = WHEEL_NEVER;
    for (unsigned i = 0; i < TIMERS; i++) {
        if (m->due_ns[i] != WHEEL_NEVER) {
            uint64_t at = due_tick(m->due_ns[i]) * WHEEL_TICK_NS;
            first = at < first ? at : first;
        }
    }
    return first;
}

static void check(struct model *m)
{
    uint32_t set = 0;
    for (unsigned i = 0; i < TIMERS; i++) {
        bool is_set = m->due_ns[i] != WHEEL_NEVER;
        CHECK(m, wheel_is_set(&m->timers[i]) == is_set);
        set += is_set ? 1 : 0;
    }
    CHECK(m, m->wheel.count == set);
    uint64_t first = first_due_ns(m);
    uint64_t next = wheel_next_ns(&m->wheel);
    CHECK(m, (next == WHEEL_NEVER) == (set == 0));
    CHECK(m, next <= first || next <= m->now_ns);
    wheel_validate(&m->wheel);
}

/* Takes out all that is due: never early, and at the first look at or after its tick. */
static void expire(struct model *m)
{
    struct wheel_timer *timer;
    while ((timer = wheel_expire(&m->wheel, m->now_ns)) != NULL) {
        size_t i = (size_t)(timer - m->timers);
        CHECK(m, i < TIMERS && m->due_ns[i] != WHEEL_NEVER);
        CHECK(m, m->due_ns[i] <= m->now_ns);
        m->due_ns[i] = WHEEL_NEVER;
        if (roll(m) % 8 == 0) { /* from inside, as a program does */
            m->due_ns[i] = m->now_ns + 1 + draw_ns(m);
            wheel_set(&m->wheel, timer, m->due_ns[i]);
        }
    }
    for (unsigned i = 0; i < TIMERS; i++) {
        CHECK(m, due_tick(m->due_ns[i]) > m->now_ns / WHEEL_TICK_NS);
    }
}

static void advance(struct model *m)
{
    uint64_t next = wheel_next_ns(&m->wheel);
    switch (roll(m) % 4) {
    case 0:
        m->now_ns += roll(m) % WHEEL_TICK_NS;
        break;
    case 1:
        m->now_ns += draw_ns(m);
        break;
    default: /* as a worker does: exactly when the wheel said */
        m->now_ns = next == WHEEL_NEVER || next < m->now_ns ? m->now_ns : next;
        break;
    }
}

static void a_wheel_is_a_sorted_list(void **state)
{
    (void)state;
    static struct model model;
    struct model *m = &model;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        memset(m, 0, sizeof *m);
        m->seed = seed;
        m->random = seed;
        m->now_ns = draw_ns(m);
        wheel_init(&m->wheel, m->now_ns);
        memset(m->due_ns, 0xff, sizeof m->due_ns);
        for (unsigned step = 0; step < STEPS; step++) {
            unsigned i = (unsigned)(roll(m) % TIMERS);
            switch (roll(m) % 5) {
            case 0:
                wheel_cancel(&m->wheel, &m->timers[i]);
                m->due_ns[i] = WHEEL_NEVER;
                break;
            case 1:
            case 2: /* set, whether it is set or not; sometimes already due */
                m->due_ns[i] = m->now_ns + draw_ns(m);
                m->due_ns[i] = roll(m) % 16 == 0 ? m->now_ns / 2 : m->due_ns[i];
                wheel_set(&m->wheel, &m->timers[i], m->due_ns[i]);
                break;
            default:
                advance(m);
                expire(m);
                break;
            }
            check(m);
        }
    }
}

/* A worker that sleeps until wheel_next_ns wakes a bounded number of times for one far timer. */
static void a_far_timer_wakes_seldom(void **state)
{
    (void)state;
    struct wheel wheel;
    struct wheel_timer timer = {0};
    uint64_t now_ns = 123456789;
    uint64_t due_ns = now_ns + 40 * UINT64_C(3600) * 1000 * WHEEL_TICK_NS; /* 40 h */
    wheel_init(&wheel, now_ns);
    wheel_set(&wheel, &timer, due_ns);
    unsigned wakes = 0;
    while (wheel_expire(&wheel, now_ns) == NULL) {
        uint64_t next = wheel_next_ns(&wheel);
        assert_true(next > now_ns && next <= due_ns + WHEEL_TICK_NS);
        now_ns = next;
        assert_true(++wakes < 60);
    }
    assert_in_range(now_ns, due_ns, due_ns + WHEEL_TICK_NS - 1);
    assert_int_equal(wheel_next_ns(&wheel), WHEEL_NEVER);
    assert_false(wheel_is_set(&timer));
}

static void many_timers_of_one_tick_all_expire(void **state)
{
    (void)state;
    static struct wheel_timer timers[500];
    struct wheel wheel;
    wheel_init(&wheel, 0);
    for (size_t i = 0; i < 500; i++) {
        wheel_set(&wheel, &timers[i], 70 * WHEEL_TICK_NS - i * 1000);
    }
    wheel_validate(&wheel);
    assert_null(wheel_expire(&wheel, 70 * WHEEL_TICK_NS - 1));
    for (size_t i = 0; i < 500; i++) {
        assert_non_null(wheel_expire(&wheel, 70 * WHEEL_TICK_NS));
    }
    assert_null(wheel_expire(&wheel, 70 * WHEEL_TICK_NS));
    wheel_cancel(&wheel, &timers[3]); /* not set any more: nothing happens */
    assert_int_equal(wheel.count, 0);
}

/* Timers that were put off stay set, wake nobody, and expire again when they are let go; in between
 * they can be cancelled and set like any other. */
static void what_is_deferred_waits_for_its_release(void **state)
{
    (void)state;
    static struct wheel_timer timers[10];
    struct wheel wheel;
    wheel_init(&wheel, 0);
    for (size_t i = 0; i < 10; i++) {
        wheel_set(&wheel, &timers[i], (1 + i) * WHEEL_TICK_NS);
    }
    struct wheel_timer *timer;
    while ((timer = wheel_expire(&wheel, 20 * WHEEL_TICK_NS)) != NULL) {
        assert_false(wheel_is_set(timer));
        wheel_defer(&wheel, timer);
        assert_true(wheel_is_set(timer));
    }
    assert_int_equal(wheel.count, 10);
    assert_true(wheel_next_ns(&wheel) == WHEEL_NEVER);
    wheel_validate(&wheel);
    wheel_cancel(&wheel, &timers[9]);
    wheel_cancel(&wheel, &timers[0]);
    wheel_set(&wheel, &timers[5], 30 * WHEEL_TICK_NS);
    wheel_validate(&wheel);
    assert_null(wheel_expire(&wheel, 25 * WHEEL_TICK_NS));
    assert_true(wheel_next_ns(&wheel) == 30 * WHEEL_TICK_NS);
    wheel_release(&wheel);
    wheel_validate(&wheel);
    uint32_t seen = 0;
    while ((timer = wheel_expire(&wheel, 25 * WHEEL_TICK_NS)) != NULL) {
        assert_true(timer != &timers[0] && timer != &timers[5] && timer != &timers[9]);
        seen++;
    }
    assert_int_equal(seen, 7);
    wheel_release(&wheel);
    assert_true(wheel_expire(&wheel, 30 * WHEEL_TICK_NS) == &timers[5]);
    assert_int_equal(wheel.count, 0);
}

/* A timer's link points into the wheel or into another timer, and which it is must be told apart
 * wherever in memory the timers lie. */
static void timers_may_lie_on_either_side_of_the_wheel(void **state)
{
    (void)state;
    static struct {
        struct wheel_timer below[4 * WHEEL_LANES];
        struct wheel wheel;
        struct wheel_timer above[4 * WHEEL_LANES];
    } m;
    uint64_t due_ns = 70 * WHEEL_TICK_NS;
    for (int side = 0; side < 2; side++) {
        struct wheel_timer *timers = side == 0 ? m.below : m.above;
        wheel_init(&m.wheel, 0);
        for (size_t i = 0; i < 4 * WHEEL_LANES; i++) {
            wheel_set(&m.wheel, &timers[i], due_ns);
        }
        /* The first that were set are the last of their lanes: behind others. */
        for (size_t i = 0; i < 3 * WHEEL_LANES; i++) {
            wheel_cancel(&m.wheel, &timers[i]);
            wheel_validate(&m.wheel);
            assert_int_not_equal(wheel_next_ns(&m.wheel), WHEEL_NEVER);
        }
        for (size_t i = 0; i < WHEEL_LANES; i++) {
            assert_non_null(wheel_expire(&m.wheel, due_ns));
        }
        assert_null(wheel_expire(&m.wheel, due_ns));
        assert_int_equal(m.wheel.count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wheel_is_a_sorted_list),
        cmocka_unit_test(a_far_timer_wakes_seldom),
        cmocka_unit_test(many_timers_of_one_tick_all_expire),
        cmocka_unit_test(what_is_deferred_waits_for_its_release),
        cmocka_unit_test(timers_may_lie_on_either_side_of_the_wheel),
    };
    return cmocka_run_group_tests_name("wheel", tests, NULL, NULL);
}
