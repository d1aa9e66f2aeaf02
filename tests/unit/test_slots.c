/* The slot table: generations that go stale, the free list's order, and retirement when a
 * generation is used up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "ds/slots.h"

#define COUNT 50

static void fresh_slots_come_in_order(void **state)
{
    (void)state;
    struct slots_entry entries[COUNT] = {{0}};
    struct slots slots;
    slots_init(&slots, entries, sizeof *entries, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(slots_free_count(&slots), COUNT - i);
        assert_int_equal(slots_take(&slots), i);
        assert_int_equal(slots_generation(&slots, i), 1);
        assert_true(slots_holds(&slots, i, 1));
    }
    assert_int_equal(slots_take(&slots), SLOTS_NONE);
    assert_int_equal(slots_take(&slots), SLOTS_NONE);
    assert_int_equal(slots.used, COUNT);
}

static void the_last_freed_is_the_next_taken(void **state)
{
    (void)state;
    struct slots_entry entries[COUNT] = {{0}};
    struct slots slots;
    slots_init(&slots, entries, sizeof *entries, COUNT);
    for (uint32_t i = 0; i < 10; i++) {
        (void)slots_take(&slots);
    }
    slots_give(&slots, 3);
    slots_give(&slots, 7);
    slots_give(&slots, 0);
    assert_int_equal(slots_take(&slots), 0);
    assert_int_equal(slots_take(&slots), 7);
    assert_int_equal(slots_take(&slots), 3);
    assert_int_equal(slots_take(&slots), 10); /* and then those never used */
}

static void generations_go_stale(void **state)
{
    (void)state;
    struct slots_entry entries[2] = {{0}};
    struct slots slots;
    slots_init(&slots, entries, sizeof *entries, 2);
    uint32_t before = 0;
    for (uint32_t life = 0; life < 1000; life++) {
        assert_int_equal(slots_take(&slots), 0);
        uint32_t generation = slots_generation(&slots, 0);
        assert_int_equal(generation & 1, 1);
        assert_true(generation > before);
        assert_true(slots_holds(&slots, 0, generation));
        assert_false(slots_holds(&slots, 0, before));
        assert_false(slots_holds(&slots, 0, generation - 1)); /* even: nobody's */
        assert_false(slots_holds(&slots, 1, generation));
        assert_false(slots_holds(&slots, 2, generation)); /* no such slot */
        slots_give(&slots, 0);
        assert_false(slots_holds(&slots, 0, generation));
        assert_false(slots_holds(&slots, 0, slots_generation(&slots, 0)));
        before = generation;
    }
}

static void a_generation_that_would_wrap_retires_its_slot(void **state)
{
    (void)state;
    struct slots_entry entries[3] = {{0}};
    struct slots slots;
    slots_init(&slots, entries, sizeof *entries, 3);
    entries[1].generation = UINT32_MAX - 1; /* one life is left */
    assert_int_equal(slots_take(&slots), 0);
    assert_int_equal(slots_take(&slots), 1);
    assert_true(slots_holds(&slots, 1, UINT32_MAX));
    slots_give(&slots, 1);
    assert_int_equal(slots.retired, 1);
    assert_int_equal(slots_free_count(&slots), 1);
    assert_false(slots_holds(&slots, 1, UINT32_MAX));
    assert_false(slots_holds(&slots, 1, 0));
    assert_false(slots_holds(&slots, 1, 1));
    assert_int_equal(slots_take(&slots), 2); /* not slot 1, which is lost */
    assert_int_equal(slots_take(&slots), SLOTS_NONE);
    slots_give(&slots, 0);
    slots_give(&slots, 2);
    assert_int_equal(slots_take(&slots), 2);
    assert_int_equal(slots_take(&slots), 0);
    assert_int_equal(slots_take(&slots), SLOTS_NONE);
    assert_int_equal(slots.used + slots.retired, 3);
}

/* Random takes and gives against an array of who has what. */
static void random_takes_and_gives(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 50; seed++) {
        struct slots_entry entries[COUNT] = {{0}};
        uint32_t holds[COUNT] = {0}; /* generation, or 0 */
        uint32_t stack[COUNT];
        uint32_t given = 0; /* what was given back and not taken again, last on top */
        uint32_t used = 0;
        struct slots slots;
        srand(seed);
        slots_init(&slots, entries, sizeof *entries, COUNT);
        for (unsigned step = 0; step < 3000; step++) {
            uint32_t slot = (uint32_t)rand() % COUNT;
            if (rand() % 2 == 0) {
                slot = slots_take(&slots);
                if (used == COUNT) {
                    assert_int_equal(slot, SLOTS_NONE);
                    continue;
                }
                assert_true(slot < COUNT && holds[slot] == 0);
                assert_true(given == 0 || stack[--given] == slot);
                holds[slot] = slots_generation(&slots, slot);
                used++;
            } else if (holds[slot] != 0) {
                assert_true(slots_holds(&slots, slot, holds[slot]));
                slots_give(&slots, slot);
                holds[slot] = 0;
                stack[given++] = slot;
                used--;
            }
            assert_int_equal(slots.used, used);
            assert_int_equal(slots_free_count(&slots), COUNT - used);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fresh_slots_come_in_order),
        cmocka_unit_test(the_last_freed_is_the_next_taken),
        cmocka_unit_test(generations_go_stale),
        cmocka_unit_test(a_generation_that_would_wrap_retires_its_slot),
        cmocka_unit_test(random_takes_and_gives),
    };
    return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
