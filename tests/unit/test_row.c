/* Lists by number: order, removal from anywhere, and links that say whether they are in one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/row.h"

#define ITEMS 5

struct item {
    uint64_t other;
    struct row_link link;
    uint32_t behind;
};

static void init(struct row *row, struct item *items)
{
    row_init(row, &items->link, sizeof *items);
}

static int take(struct row *row)
{
    return row->count == 0 ? -1 : (int)row_take(row);
}

static void first_in_is_first_out(void **state)
{
    (void)state;
    struct row row;
    struct item items[ITEMS] = {{0}};
    init(&row, items);
    assert_int_equal(row.count, 0);
    for (uint32_t i = 0; i < ITEMS; i++) {
        assert_false(row_link_is_in(&items[i].link));
        row_push(&row, i);
        assert_true(row_link_is_in(&items[i].link));
        assert_int_equal(row.count, i + 1);
    }
    for (int i = 0; i < ITEMS; i++) {
        assert_int_equal(take(&row), i);
        assert_false(row_link_is_in(&items[i].link));
    }
    assert_int_equal(take(&row), -1);
    assert_int_equal(row.count, 0);
    for (int i = 0; i < ITEMS; i++) { /* and nothing beside the links was touched */
        assert_int_equal(items[i].other, 0);
        assert_int_equal(items[i].behind, 0);
    }
}

static void what_is_pushed_in_front_comes_first(void **state)
{
    (void)state;
    struct row row;
    struct item items[ITEMS] = {{0}};
    init(&row, items);
    row_push_front(&row, 3);
    row_push(&row, 1);
    row_push_front(&row, 0);
    assert_int_equal(row.count, 3);
    assert_int_equal(take(&row), 0);
    assert_int_equal(take(&row), 3);
    assert_int_equal(take(&row), 1);
}

/* Every subset of five is removed, in two orders; the others stay in theirs. */
static void any_can_be_removed(void **state)
{
    (void)state;
    for (unsigned set = 0; set < 64; set++) {
        struct row row;
        struct item items[ITEMS] = {{0}};
        bool backwards = (set & 32) != 0;
        init(&row, items);
        for (uint32_t i = 0; i < ITEMS; i++) {
            row_push(&row, i);
        }
        for (uint32_t n = 0; n < ITEMS; n++) {
            uint32_t i = backwards ? ITEMS - 1 - n : n;
            if ((set >> i & 1) != 0) {
                row_remove(&row, i);
                assert_false(row_link_is_in(&items[i].link));
            }
        }
        for (int i = 0; i < ITEMS; i++) {
            if ((set >> i & 1) == 0) {
                assert_int_equal(take(&row), i);
            }
        }
        assert_int_equal(row.count, 0);
        row_push(&row, 0); /* and any can come back */
        assert_int_equal(take(&row), 0);
    }
}

static void an_element_moves_between_rows(void **state)
{
    (void)state;
    struct row rows[2];
    struct item items[ITEMS] = {{0}};
    init(&rows[0], items);
    init(&rows[1], items);
    row_push(&rows[0], 1);
    row_push(&rows[0], 2);
    row_remove(&rows[0], 1);
    row_push(&rows[1], 1);
    assert_int_equal(take(&rows[0]), 2);
    assert_int_equal(take(&rows[1]), 1);
    row_push(&rows[0], 1);
    row_push(&rows[0], 2);
    row_push(&rows[0], row_take(&rows[0])); /* to the end of the same row again */
    assert_int_equal(take(&rows[0]), 2);
    assert_int_equal(take(&rows[0]), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_in_is_first_out),
        cmocka_unit_test(what_is_pushed_in_front_comes_first),
        cmocka_unit_test(any_can_be_removed),
        cmocka_unit_test(an_element_moves_between_rows),
    };
    return cmocka_run_group_tests_name("row", tests, NULL, NULL);
}
