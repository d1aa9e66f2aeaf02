/* Reserved memory: zeroed, aligned to pages, generous reservations for nothing, and a refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/memory.h"

static void memory_is_zeroed_and_aligned(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 4096, 4097, 1 << 20};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        uint8_t *at = memory_reserve(sizes[s]);
        assert_non_null(at);
        assert_int_equal((uintptr_t)at % 4096, 0);
        for (size_t i = 0; i < sizes[s]; i++) {
            assert_int_equal(at[i], 0);
        }
        memset(at, 0xa5, sizes[s]);
        memory_release(at, sizes[s]);
    }
    memory_release(NULL, 1);
}

/* Far more than there is, as long as it is not touched; and no more than there are addresses. */
static void reserving_is_not_using(void **state)
{
    (void)state;
    size_t much = (size_t)1 << 38;
    uint8_t *at = memory_reserve(much);
    if (at != NULL) { /* an address space limit may forbid it: that is a refusal, too */
        at[much / 2] = 1;
        assert_int_equal(at[much - 1], 0);
        memory_release(at, much);
    }
    assert_null(memory_reserve((size_t)1 << 60));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_and_aligned),
        cmocka_unit_test(reserving_is_not_using),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
