/* What io.c makes of a backend's results before anybody sees them: errors of an accept that are the
 * client's network's, and errors that stand on no list.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "io/backend.h"

static int32_t accepted(int32_t result)
{
    struct io_completion completion;
    struct io io = {.accepts_busy = 1, .out = &completion, .out_max = 1};
    io_complete_accept(&io, 0, result, 3);
    assert_int_equal(io.accepts_busy, 0);
    assert_int_equal(completion.listener, 3);
    return completion.result;
}

static void a_clients_network_is_no_failure_of_ours(void **state)
{
    (void)state;
    static const int theirs[] = {ENETDOWN,     ENOPROTOOPT, EHOSTDOWN,  ENONET,
                                 EHOSTUNREACH, ENETUNREACH, ECONNRESET, ETIMEDOUT};
    for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++) {
        assert_int_equal(accepted(-theirs[i]), -ECONNABORTED);
    }
}

static void our_own_want_is_told_as_it_is(void **state)
{
    (void)state;
    static const int ours[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, ECANCELED};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        assert_int_equal(accepted(-ours[i]), -ours[i]);
    }
    assert_int_equal(accepted(-EXDEV), -EIO); /* on no list: law 10 */
    assert_int_equal(accepted(7), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clients_network_is_no_failure_of_ours),
        cmocka_unit_test(our_own_want_is_told_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
