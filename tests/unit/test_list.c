/* The intrusive list: order, removal from anywhere, and links that say whether they are in one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

struct item {
    int number;
    struct link link;
};

static int take(struct list *list)
{
    return list->count == 0 ? -1 : LIST_ENTRY(list_take(list), struct item, link)->number;
}

static void first_in_is_first_out(void **state)
{
    (void)state;
    struct list list;
    struct item items[5] = {{0}};
    list_init(&list);
    assert_int_equal(list.count, 0);
    for (int i = 0; i < 5; i++) {
        items[i].number = i;
        assert_false(link_is_in(&items[i].link));
        list_push(&list, &items[i].link);
        assert_true(link_is_in(&items[i].link));
        assert_int_equal(list.count, i + 1);
    }
    for (int i = 0; i < 5; i++) {
        assert_int_equal(take(&list), i);
        assert_false(link_is_in(&items[i].link));
    }
    assert_int_equal(take(&list), -1);
    assert_int_equal(list.count, 0);
}

/* Every subset of five is removed, in two orders; the others stay in theirs. */
static void any_can_be_removed(void **state)
{
    (void)state;
    for (unsigned set = 0; set < 64; set++) {
        struct list list;
        struct item items[5] = {{0}};
        bool backwards = (set & 32) != 0;
        list_init(&list);
        for (int i = 0; i < 5; i++) {
            items[i].number = i;
            list_push(&list, &items[i].link);
        }
        for (int n = 0; n < 5; n++) {
            int i = backwards ? 4 - n : n;
            if ((set >> i & 1) != 0) {
                list_remove(&list, &items[i].link);
                assert_false(link_is_in(&items[i].link));
            }
        }
        for (int i = 0; i < 5; i++) {
            if ((set >> i & 1) == 0) {
                assert_int_equal(take(&list), i);
            }
        }
        assert_int_equal(list.count, 0);
        list_push(&list, &items[0].link); /* and any can come back */
        assert_int_equal(take(&list), 0);
    }
}

static void an_element_moves_between_lists(void **state)
{
    (void)state;
    struct list lists[2];
    struct item items[2] = {{.number = 1}, {.number = 2}};
    list_init(&lists[0]);
    list_init(&lists[1]);
    list_push(&lists[0], &items[0].link);
    list_push(&lists[0], &items[1].link);
    list_remove(&lists[0], &items[0].link);
    list_push(&lists[1], &items[0].link);
    assert_int_equal(take(&lists[0]), 2);
    assert_int_equal(take(&lists[1]), 1);
    list_push(&lists[0], &items[0].link); /* to the end of the same list again */
    list_push(&lists[0], &items[1].link);
    list_push(&lists[0], list_take(&lists[0]));
    assert_int_equal(take(&lists[0]), 2);
    assert_int_equal(take(&lists[0]), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_in_is_first_out),
        cmocka_unit_test(any_can_be_removed),
        cmocka_unit_test(an_element_moves_between_lists),
    };
    return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
