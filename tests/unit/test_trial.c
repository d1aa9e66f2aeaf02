/* The judgement of the self-test: on a kernel that does one thing otherwise, it must not pass, and
 * it must say in which step. The linker puts this file between trial.c and io.h, where it alters
 * one completion, one wait or one start of the exchange; each in turn, in each way, until none is
 * left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/memory.h"
#include "io/io.h"
#include "io/select.h"
#include "io/trial.h"

/* CTest's code for a test that was skipped. */
#define SKIPPED 77

/* How long something is waited for that will not come, as it was altered; and how far the clock
 * then goes on: beyond all that the self-test has. */
#define PATIENCE_NS UINT64_C(5000000)
#define LATER_NS    UINT64_C(5000000000)

enum way {
    AS_IT_IS,
    AN_ERROR,       /* a completion has EIO */
    ONE_BYTE_SHORT, /* one that counts bytes, one less */
    OTHER_BYTES,    /* one with bytes, another first byte */
    TOO_LATE,       /* when a turn is over, so is the time */
    UNASKED,        /* where nothing may come, something does */
    NO_WAIT,        /* a wait with a deadline returns at once */
    NO_CONNECT,     /* a connect does not start */
    NO_MEMORY,      /* a mapping fails */
    NO_LISTENER,
    NEVER_SHORT_OF_BUFFERS,
};

static struct {
    enum way way;
    uint32_t at;   /* which of those that this way may alter, from 0 */
    uint32_t seen; /* so far */
    bool altered;
    bool late;
    bool judged; /* the trial only tidies up */
} kernel;

uint32_t __real_io_reap(struct io *io, struct io_completion *out, uint32_t max, uint64_t deadline);
uint32_t __wrap_io_reap(struct io *io, struct io_completion *out, uint32_t max, uint64_t deadline);
uint64_t __real_io_now(const struct io *io);
uint64_t __wrap_io_now(const struct io *io);
int __real_io_connect(struct io *io, const struct berth_address *remote,
                      const struct berth_address *local, uint64_t token);
int __wrap_io_connect(struct io *io, const struct berth_address *remote,
                      const struct berth_address *local, uint64_t token);
int __real_io_listen(const struct io_backend *backend, void *world,
                     const struct berth_address *address, int backlog, struct io_listener *out);
int __wrap_io_listen(const struct io_backend *backend, void *world,
                     const struct berth_address *address, int backlog, struct io_listener *out);
void __real_io_shutdown(struct io *io, int sock, enum io_shutdown how);
void __wrap_io_shutdown(struct io *io, int sock, enum io_shutdown how);
void __real_io_stats(const struct io *io, struct io_stats *out);
void __wrap_io_stats(const struct io *io, struct io_stats *out);
void *__real_memory_reserve(size_t bytes);
void *__wrap_memory_reserve(size_t bytes);

/* Whether this is the one. */
static bool is_it(enum way way)
{
    bool it = kernel.way == way && !kernel.judged && kernel.seen++ == kernel.at;
    kernel.altered |= it;
    return it;
}

static void alter(struct io *io, struct io_completion *done)
{
    enum io_op op = io_token_op(done->token);
    bool bytes = (done->flags & IO_LEASE) != 0;
    if (is_it(AN_ERROR)) {
        if (bytes) {
            io_lease_return(io, done->lease);
        }
        if (op == IO_ACCEPT && done->result >= 0) {
            io_close(io, done->result, true);
        }
        *done = (struct io_completion){.token = done->token, .result = -EIO};
    }
    if ((op == IO_SEND || bytes) && done->result > 1 && is_it(ONE_BYTE_SHORT)) {
        done->result--;
    }
    if (bytes && is_it(OTHER_BYTES)) {
        done->data[0] ^= 1;
    }
}

uint32_t __wrap_io_reap(struct io *io, struct io_completion *out, uint32_t max, uint64_t deadline)
{
    bool waits = max == 1 && deadline > 0; /* the step that only waits */
    if (waits && is_it(NO_WAIT)) {
        kernel.seen--; /* and the next one does not either */
        return 0;
    }
    bool in_vain = kernel.altered && !kernel.judged && deadline > 0;
    uint64_t until = __real_io_now(io) + PATIENCE_NS;
    uint32_t count = __real_io_reap(io, out, max, in_vain && until < deadline ? until : deadline);
    kernel.late |= in_vain && count == 0;
    for (uint32_t i = 0; i < count; i++) {
        alter(io, &out[i]);
    }
    if (max == 1 && count == 0 && is_it(UNASKED)) {
        out[0] = (struct io_completion){.token = io_token(IO_SEND, 0, 0), .result = 1};
        return 1;
    }
    kernel.late |= is_it(TOO_LATE);
    return count;
}

uint64_t __wrap_io_now(const struct io *io)
{
    return __real_io_now(io) + (kernel.late ? LATER_NS : 0);
}

int __wrap_io_connect(struct io *io, const struct berth_address *remote,
                      const struct berth_address *local, uint64_t token)
{
    return is_it(NO_CONNECT) ? -EMFILE : __real_io_connect(io, remote, local, token);
}

/* A trial begins. */
int __wrap_io_listen(const struct io_backend *backend, void *world,
                     const struct berth_address *address, int backlog, struct io_listener *out)
{
    kernel.late = false;
    kernel.judged = false;
    kernel.altered = false;
    if (kernel.way != NO_MEMORY) {
        kernel.seen = 0;
    }
    return is_it(NO_LISTENER) ? -EADDRINUSE
                              : __real_io_listen(backend, world, address, backlog, out);
}

void __wrap_io_shutdown(struct io *io, int sock, enum io_shutdown how)
{
    kernel.judged |= how == IO_SHUTDOWN_BOTH;
    __real_io_shutdown(io, sock, how);
}

void __wrap_io_stats(const struct io *io, struct io_stats *out)
{
    __real_io_stats(io, out);
    if (is_it(NEVER_SHORT_OF_BUFFERS)) {
        out->no_buffer = 0;
    }
}

void *__wrap_memory_reserve(size_t bytes)
{
    return is_it(NO_MEMORY) ? NULL : __real_memory_reserve(bytes);
}

/* ------------------------------------------------------------------------------------- the tests
 */

static struct trial_result tried(enum way way, uint32_t at)
{
    struct trial_result result;
    memset(&kernel, 0, sizeof kernel);
    kernel.way = way;
    kernel.at = at;
    trial_run(0, &result);
    return result;
}

/* Alters each in turn. Returns how many there were. */
static uint32_t each_is_found(enum way way, int error)
{
    for (uint32_t at = 0;; at++) {
        struct trial_result result = tried(way, at);
        if (!kernel.altered) {
            assert_null(result.failure);
            return at;
        }
        if (result.failure == NULL) {
            fail_msg("way %d, number %u: it passed", (int)way, at);
        }
        if (result.error != error && result.error != 0 && result.error != -ETIMEDOUT) {
            fail_msg("way %d, number %u: %s: %s", (int)way, at, result.failure,
                     strerror(-result.error));
        }
    }
}

static void a_good_kernel_passes(void **state)
{
    (void)state;
    struct trial_result result = tried(AS_IT_IS, 0);
    assert_null(result.failure);
    assert_int_equal(result.error, 0);
}

/* An accept's cancel, a connect, an accept, four sends, and receives with bytes and without. */
static void an_error_is_told_as_it_is(void **state)
{
    (void)state;
    assert_true(each_is_found(AN_ERROR, -EIO) >= 14);
}

static void a_count_that_is_wrong_is_found(void **state)
{
    (void)state;
    assert_true(each_is_found(ONE_BYTE_SHORT, 0) >= 10);
}

static void bytes_that_are_wrong_are_found(void **state)
{
    (void)state;
    assert_true(each_is_found(OTHER_BYTES, 0) >= 6);
}

static void what_takes_too_long_is_given_up(void **state)
{
    (void)state;
    assert_true(each_is_found(TOO_LATE, -ETIMEDOUT) >= 10);
}

static void what_nobody_asked_for_is_found(void **state)
{
    (void)state;
    assert_true(each_is_found(UNASKED, 1) >= 2); /* what came instead is the error */
}

static void a_wait_that_does_not_wait_is_found(void **state)
{
    (void)state;
    struct trial_result result = tried(NO_WAIT, 0);
    assert_string_equal(result.failure, "io_uring wait until a deadline");
    assert_int_equal(result.error, 0);
}

static void what_cannot_begin_says_so(void **state)
{
    (void)state;
    struct trial_result result = tried(NO_LISTENER, 0);
    assert_string_equal(result.failure, "listen on 127.0.0.1");
    assert_int_equal(result.error, -EADDRINUSE);
    result = tried(NO_CONNECT, 0);
    assert_string_equal(result.failure, "io_uring connect and accept");
    assert_int_equal(result.error, -EMFILE);
    result = tried(NO_MEMORY, 0);
    assert_string_equal(result.failure, "memory for the self-test");
    assert_int_equal(result.error, -ENOMEM);
}

static void a_kernel_that_is_never_short_of_buffers_is_not_believed(void **state)
{
    (void)state;
    struct trial_result result = tried(NEVER_SHORT_OF_BUFFERS, 0);
    assert_string_equal(result.failure, "io_uring receive without a free buffer");
}

static void a_wrong_result_is_the_reason_for_epoll(void **state)
{
    (void)state;
    struct io_selection selection;
    memset(&kernel, 0, sizeof kernel);
    kernel.way = OTHER_BYTES;
    io_select(IO_CHOOSE_AUTO, 0, &selection);
    assert_ptr_equal(selection.backend, &io_backend_epoll);
    if (strstr(selection.why, "wrong result") == NULL) {
        fail_msg("it says: %s", selection.why);
    }
}

int main(void)
{
    if (tried(AS_IT_IS, 0).failure != NULL) {
        return SKIPPED; /* no io_uring here */
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_kernel_passes),
        cmocka_unit_test(an_error_is_told_as_it_is),
        cmocka_unit_test(a_count_that_is_wrong_is_found),
        cmocka_unit_test(bytes_that_are_wrong_are_found),
        cmocka_unit_test(what_takes_too_long_is_given_up),
        cmocka_unit_test(what_nobody_asked_for_is_found),
        cmocka_unit_test(a_wait_that_does_not_wait_is_found),
        cmocka_unit_test(what_cannot_begin_says_so),
        cmocka_unit_test(a_kernel_that_is_never_short_of_buffers_is_not_believed),
        cmocka_unit_test(a_wrong_result_is_the_reason_for_epoll),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
