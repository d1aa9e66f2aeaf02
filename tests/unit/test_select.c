/* The choice of a backend, on kernels that this machine does not have: the linker puts the
 * functions of this file in front of liburing's, and they refuse what such a kernel would refuse,
 * or forget it. Everything else is the running kernel's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "io/select.h"

/* CTest's code for a test that was skipped. */
#define SKIPPED 77

#define BAD_OPCODE 0xff /* the kernel itself answers it with EINVAL */

/* The most that a choice may take: two trials, at 1.3 seconds, in which the kernel forgets. */
#define CHOICE_NS UINT64_C(3500000000)

#define LARGE_BYTES 1000

enum fate { WORKS, REFUSED, FORGOTTEN };

/* What the kernel under test lacks, and what it was asked for. */
static struct {
    uint32_t flags_unknown; /* of io_uring_setup */
    int setup_error;
    uint32_t setups_refused; /* so many for want of memory, */
    uint32_t setups_granted; /* after so many that were not */
    int buffers_error;
    int ring_fd_error;
    enum fate multishot;
    enum fate receive;  /* of the other receives */
    bool sends_in_part; /* of a large send half is taken, and that is not told */

    uint32_t flags; /* of the last ring that was set up */
    uint32_t setups;
    uint32_t multishots;
    uint32_t ring_fds;
} kernel;

static const uint32_t flags_of_6_1 = IORING_SETUP_DEFER_TASKRUN;
static const uint32_t flags_of_6_0 = IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER;

int __real_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *params);
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *params);
int __real_io_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *reg,
                                      unsigned flags);
int __wrap_io_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *reg,
                                      unsigned flags);
int __real_io_uring_register_ring_fd(struct io_uring *ring);
int __wrap_io_uring_register_ring_fd(struct io_uring *ring);
int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __real_io_uring_submit_and_get_events(struct io_uring *ring);
int __wrap_io_uring_submit_and_get_events(struct io_uring *ring);
int __real_io_uring_submit_and_wait(struct io_uring *ring, unsigned count);
int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned count);

int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *params)
{
    kernel.setups++;
    kernel.flags = params->flags;
    if (kernel.setup_error != 0 || (params->flags & kernel.flags_unknown) != 0) {
        return kernel.setup_error != 0 ? kernel.setup_error : -EINVAL;
    }
    if (kernel.setups_refused > 0 && kernel.setups > kernel.setups_granted) {
        kernel.setups_refused--;
        return -ENOMEM;
    }
    return __real_io_uring_queue_init_params(entries, ring, params);
}

int __wrap_io_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *reg,
                                      unsigned flags)
{
    return kernel.buffers_error != 0 ? kernel.buffers_error
                                     : __real_io_uring_register_buf_ring(ring, reg, flags);
}

int __wrap_io_uring_register_ring_fd(struct io_uring *ring)
{
    kernel.ring_fds++;
    return kernel.ring_fd_error != 0 ? kernel.ring_fd_error
                                     : __real_io_uring_register_ring_fd(ring);
}

static void meet(struct io_uring_sqe *sqe, enum fate fate)
{
    if (fate == REFUSED) {
        sqe->opcode = BAD_OPCODE;
    } else if (fate == FORGOTTEN) {
        *sqe = (struct io_uring_sqe){.opcode = IORING_OP_NOP, .flags = IOSQE_CQE_SKIP_SUCCESS};
    }
}

/* What is about to be handed over, as this kernel takes it. */
static void hand_over(struct io_uring *ring)
{
    for (unsigned i = ring->sq.sqe_head; i != ring->sq.sqe_tail; i++) {
        struct io_uring_sqe *sqe = &ring->sq.sqes[i & *ring->sq.kring_mask];
        if (sqe->opcode == IORING_OP_SEND && sqe->len >= LARGE_BYTES && kernel.sends_in_part &&
            (sqe->flags & IOSQE_CQE_SKIP_SUCCESS) != 0) {
            sqe->len /= 2;
        }
        if (sqe->opcode != IORING_OP_RECV) {
            continue;
        }
        bool multishot = (sqe->ioprio & IORING_RECV_MULTISHOT) != 0;
        kernel.multishots += multishot ? 1 : 0;
        meet(sqe, multishot ? kernel.multishot : kernel.receive);
    }
}

int __wrap_io_uring_submit(struct io_uring *ring)
{
    hand_over(ring);
    return __real_io_uring_submit(ring);
}

int __wrap_io_uring_submit_and_get_events(struct io_uring *ring)
{
    hand_over(ring);
    return __real_io_uring_submit_and_get_events(ring);
}

int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned count)
{
    hand_over(ring);
    return __real_io_uring_submit_and_wait(ring, count);
}

/* ------------------------------------------------------------------------------------ the tests */

static int new_kernel(void **state)
{
    (void)state;
    memset(&kernel, 0, sizeof kernel);
    return 0;
}

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static struct io_selection chosen(enum io_choice choice, uint32_t off)
{
    struct io_selection selection;
    memset(&selection, 0xaa, sizeof selection);
    io_select(choice, off, &selection);
    print_message("%s\n", selection.why);
    assert_non_null(memchr(selection.why, '\0', sizeof selection.why));
    assert_null(strchr(selection.why, '\n'));
    return selection;
}

static void assert_says(const struct io_selection *selection, const char *text)
{
    if (strstr(selection->why, text) == NULL) {
        fail_msg("no \"%s\" in \"%s\"", text, selection->why);
    }
}

/* Uring without these, for this reason. */
static void assert_uring_without(uint32_t off, const char *names, const char *reason)
{
    struct io_selection selection = chosen(IO_CHOOSE_AUTO, 0);
    assert_ptr_equal(selection.backend, &io_backend_uring);
    assert_int_equal(selection.features_off, off);
    assert_says(&selection, names);
    assert_says(&selection, reason);
    assert_ptr_equal(chosen(IO_CHOOSE_URING, 0).backend, &io_backend_uring);
}

/* No uring here: epoll, or nothing if uring was asked for by name. */
static void assert_no_uring(uint32_t off, const char *step, const char *reason)
{
    struct io_selection selection = chosen(IO_CHOOSE_AUTO, off);
    assert_ptr_equal(selection.backend, &io_backend_epoll);
    assert_says(&selection, "epoll");
    assert_says(&selection, step);
    assert_says(&selection, reason);
    selection = chosen(IO_CHOOSE_URING, off);
    assert_null(selection.backend);
    assert_says(&selection, step);
    assert_says(&selection, reason);
}

static void with_every_feature_none_is_off(void **state)
{
    (void)state;
    struct io_selection selection = chosen(IO_CHOOSE_AUTO, 0);
    assert_ptr_equal(selection.backend, &io_backend_uring);
    assert_int_equal(selection.features_off, 0);
    assert_says(&selection, "every feature");
    assert_int_equal(kernel.setups, 1);
    assert_true((kernel.flags & flags_of_6_0) == flags_of_6_0);
    assert_true((kernel.flags & IORING_SETUP_SUBMIT_ALL) != 0);
    assert_int_equal(kernel.flags & IORING_SETUP_COOP_TASKRUN, 0);
    assert_true(kernel.multishots > 0);
    assert_int_equal(kernel.ring_fds, 1);
}

static void epoll_needs_no_trial(void **state)
{
    (void)state;
    assert_ptr_equal(chosen(IO_CHOOSE_EPOLL, 0).backend, &io_backend_epoll);
    assert_int_equal(kernel.setups, 0);
}

static void linux_6_0_does_without_deferred_work(void **state)
{
    (void)state;
    kernel.flags_unknown = flags_of_6_1;
    assert_uring_without(IO_FEATURE_DEFER_TASKRUN, "defer_taskrun", "Invalid argument");
    assert_true((kernel.flags & IORING_SETUP_SINGLE_ISSUER) != 0);
    assert_true((kernel.flags & IORING_SETUP_COOP_TASKRUN) != 0);
}

static void linux_5_19_does_without_multishot_receives_too(void **state)
{
    (void)state;
    kernel.flags_unknown = flags_of_6_0;
    kernel.multishot = REFUSED;
    assert_uring_without(IO_FEATURE_DEFER_TASKRUN | IO_FEATURE_SINGLE_ISSUER |
                             IO_FEATURE_MULTISHOT_RECEIVE,
                         "single_issuer, defer_taskrun: Invalid argument; multishot_receive",
                         "Input/output error"); /* law 10 has no EINVAL */
}

static void linux_5_18_has_no_buffer_ring_and_gets_epoll(void **state)
{
    (void)state;
    kernel.flags_unknown = flags_of_6_0;
    kernel.multishot = REFUSED;
    kernel.buffers_error = -EINVAL;
    assert_no_uring(0, "buffer ring", "Invalid argument");
}

static void a_refused_ring_is_not_tried_again(void **state)
{
    (void)state;
    static const int errors[] = {-EPERM, -ENOSYS, -ENOMEM, -EMFILE};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        new_kernel(NULL);
        kernel.setup_error = errors[i];
        assert_no_uring(0, "io_uring_setup", strerror(-errors[i]));
        /* Each of the two choices tries, and asks why; for memory the try waits. */
        assert_true(errors[i] == -ENOMEM || kernel.setups == 4);
    }
}

static void a_ring_that_cannot_be_set_up_at_all_is_given_up(void **state)
{
    (void)state;
    kernel.setup_error = -EINVAL;
    assert_no_uring(0, "io_uring_setup", "Invalid argument");
}

static void a_ring_descriptor_that_cannot_be_registered_is_done_without(void **state)
{
    (void)state;
    kernel.ring_fd_error = -EACCES;
    assert_uring_without(IO_FEATURE_RING_FD, "ring_fd", "Permission denied");
}

static void each_feature_has_its_own_reason(void **state)
{
    (void)state;
    kernel.ring_fd_error = -EPERM;
    kernel.multishot = REFUSED;
    assert_uring_without(IO_FEATURE_RING_FD | IO_FEATURE_MULTISHOT_RECEIVE,
                         "ring_fd: Operation not permitted; multishot_receive",
                         "Input/output error");
}

/* Nothing comes, so the trial's time runs out; without multishots it passes. */
static void a_forgotten_multishot_receive_is_done_without(void **state)
{
    (void)state;
    kernel.multishot = FORGOTTEN;
    struct io_selection selection = chosen(IO_CHOOSE_AUTO, 0);
    assert_ptr_equal(selection.backend, &io_backend_uring);
    assert_int_equal(selection.features_off, IO_FEATURE_MULTISHOT_RECEIVE);
    assert_says(&selection, "timed out");
}

/* A send that stands for more bytes than arrived. */
static void quick_sends_that_are_not_whole_are_done_without(void **state)
{
    (void)state;
    kernel.sends_in_part = true;
    struct io_selection selection = chosen(IO_CHOOSE_AUTO, 0);
    assert_ptr_equal(selection.backend, &io_backend_uring);
    assert_int_equal(selection.features_off, IO_FEATURE_QUICK_SEND);
    assert_says(&selection, "quick_send");
}

static void a_kernel_that_forgets_every_receive_gets_epoll_in_time(void **state)
{
    (void)state;
    kernel.multishot = FORGOTTEN;
    kernel.receive = FORGOTTEN;
    uint64_t since_ns = clock_ns();
    struct io_selection selection = chosen(IO_CHOOSE_AUTO, 0);
    assert_true(clock_ns() - since_ns < CHOICE_NS);
    assert_ptr_equal(selection.backend, &io_backend_epoll);
    assert_says(&selection, "receive");
    assert_says(&selection, "timed out");
}

static void what_is_turned_off_is_not_tried(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < IO_FEATURES_COUNT; i++) {
        new_kernel(NULL);
        if ((IO_FEATURES_NEEDED & 1u << i) != 0) {
            assert_no_uring(1u << i, io_feature_name(1u << i), "turned off");
            assert_int_equal(kernel.setups, 0);
            continue;
        }
        struct io_selection selection = chosen(IO_CHOOSE_AUTO, 1u << i);
        assert_ptr_equal(selection.backend, &io_backend_uring);
        assert_true((selection.features_off & 1u << i) != 0);
        assert_says(&selection, io_feature_name(1u << i));
        assert_says(&selection, "turned off");
        assert_int_equal(kernel.setups, 1);
    }
}

static void without_all_nothing_of_it_is_asked_of_the_kernel(void **state)
{
    (void)state;
    uint32_t all = IO_FEATURES_ALL & ~IO_FEATURES_NEEDED;
    struct io_selection selection = chosen(IO_CHOOSE_AUTO, all);
    assert_ptr_equal(selection.backend, &io_backend_uring);
    assert_int_equal(selection.features_off, all);
    assert_int_equal(kernel.flags & (flags_of_6_0 | IORING_SETUP_SUBMIT_ALL), 0);
    assert_int_equal(kernel.multishots, 0);
    assert_int_equal(kernel.ring_fds, 0);
}

static void a_server_has_a_ring_for_each_worker_or_none(void **state)
{
    (void)state;
    struct io_selection selection = chosen(IO_CHOOSE_AUTO, 0);
    io_select_for(IO_CHOOSE_AUTO, 5, 64, &selection);
    assert_ptr_equal(selection.backend, &io_backend_uring);
    assert_int_equal(kernel.setups, 1 + 5);
    for (int i = 0; i < 2; i++) {
        enum io_choice choice = i == 0 ? IO_CHOOSE_AUTO : IO_CHOOSE_URING;
        new_kernel(NULL);
        selection = chosen(choice, 0);
        kernel.setups_granted = 1 + 4;
        kernel.setups_refused = 1;
        io_select_for(choice, 5, 64, &selection);
        print_message("%s\n", selection.why);
        assert_ptr_equal(selection.backend, i == 0 ? &io_backend_epoll : NULL);
        assert_says(&selection, strerror(ENOMEM));
        assert_says(&selection, "5 workers");
        assert_int_equal(kernel.setups, 1 + 5);
    }
}

static void epoll_has_no_rings(void **state)
{
    (void)state;
    struct io_selection selection = chosen(IO_CHOOSE_EPOLL, 0);
    io_select_for(IO_CHOOSE_EPOLL, 5, 64, &selection);
    assert_ptr_equal(selection.backend, &io_backend_epoll);
    assert_int_equal(kernel.setups, 0);
}

/* The memory of rings that were closed a moment ago is still counted. */
static void an_open_waits_for_memory(void **state)
{
    (void)state;
    static uint8_t buffers[4][64];
    struct io_config config = {.socks_max = 1,
                               .receive_base = buffers[0],
                               .receive_bytes = sizeof buffers[0],
                               .receive_count = 4};
    struct io *io;
    kernel.setups_refused = 3;
    assert_int_equal(io_open(&io_backend_uring, &config, &io), 0);
    assert_int_equal(kernel.setups, 4);
    io_close_all(io);
    kernel.setups_refused = UINT32_MAX; /* but not for ever */
    assert_int_equal(io_open(&io_backend_uring, &config, &io), -ENOMEM);
}

int main(void)
{
    if (chosen(IO_CHOOSE_URING, 0).features_off != 0 || kernel.multishots == 0) {
        return SKIPPED; /* an old kernel cannot play a new one */
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(with_every_feature_none_is_off, new_kernel),
        cmocka_unit_test_setup(epoll_needs_no_trial, new_kernel),
        cmocka_unit_test_setup(linux_6_0_does_without_deferred_work, new_kernel),
        cmocka_unit_test_setup(linux_5_19_does_without_multishot_receives_too, new_kernel),
        cmocka_unit_test_setup(linux_5_18_has_no_buffer_ring_and_gets_epoll, new_kernel),
        cmocka_unit_test_setup(a_refused_ring_is_not_tried_again, new_kernel),
        cmocka_unit_test_setup(a_ring_that_cannot_be_set_up_at_all_is_given_up, new_kernel),
        cmocka_unit_test_setup(a_ring_descriptor_that_cannot_be_registered_is_done_without,
                               new_kernel),
        cmocka_unit_test_setup(each_feature_has_its_own_reason, new_kernel),
        cmocka_unit_test_setup(a_forgotten_multishot_receive_is_done_without, new_kernel),
        cmocka_unit_test_setup(quick_sends_that_are_not_whole_are_done_without, new_kernel),
        cmocka_unit_test_setup(a_kernel_that_forgets_every_receive_gets_epoll_in_time, new_kernel),
        cmocka_unit_test_setup(what_is_turned_off_is_not_tried, new_kernel),
        cmocka_unit_test_setup(a_server_has_a_ring_for_each_worker_or_none, new_kernel),
        cmocka_unit_test_setup(epoll_has_no_rings, new_kernel),
        cmocka_unit_test_setup(an_open_waits_for_memory, new_kernel),
        cmocka_unit_test_setup(without_all_nothing_of_it_is_asked_of_the_kernel, new_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
