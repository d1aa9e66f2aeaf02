/* Kernel facts about the ring itself and about running out: full queues, no descriptors, signals,
 * forks, refused enters. Law numbers are those of src/io/io.h.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/help_kernel.h"

#define CODE 77

static bool more(const struct io_uring_cqe *cqe)
{
    return (cqe->flags & IORING_CQE_F_MORE) != 0;
}

static void queue_accept(struct io_uring *ring, int listener)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    assert_non_null(sqe);
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    sqe->user_data = CODE;
}

/* The accept's -EMFILE: pause, then start again; nobody in the backlog is lost. */
static void k06_accept_without_descriptors_keeps_the_client(void **state)
{
    (void)state;
    struct io_uring ring;
    struct io_uring_cqe cqe;
    struct rlimit before;
    kernel_ring(&ring, 8, 0);
    int listener = kernel_listen(4);
    int client = kernel_connect(listener);
    int next = dup(0); /* the lowest number that is free */
    assert_true(next >= 0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = {.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    queue_accept(&ring, listener);
    bool taken = kernel_take(&ring, KERNEL_MUST_MS, &cqe);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(taken);
    assert_int_equal(cqe.res, -EMFILE);
    assert_false(more(&cqe));
    queue_accept(&ring, listener);
    assert_true(kernel_take(&ring, KERNEL_MUST_MS, &cqe));
    assert_true(cqe.res >= 0);
    close(cqe.res);
    close(client);
    close(listener);
    io_uring_queue_exit(&ring);
}

/* Why there are no direct descriptors without as many entries as accepts: unlike K6, the client is
 * lost. */
static void k07_accept_into_a_full_direct_table_drops_the_client(void **state)
{
    (void)state;
    struct io_uring ring;
    struct io_uring_cqe cqe;
    char byte;
    kernel_ring(&ring, 8, 0);
    int listener = kernel_listen(4);
    assert_int_equal(io_uring_register_files_sparse(&ring, 1), 0);
    int first = kernel_connect(listener);
    int second = kernel_connect(listener);
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    io_uring_prep_multishot_accept_direct(sqe, listener, NULL, NULL, 0);
    assert_true(kernel_take(&ring, KERNEL_MUST_MS, &cqe));
    assert_true(cqe.res >= 0);
    assert_true(kernel_take(&ring, KERNEL_MUST_MS, &cqe));
    assert_int_equal(cqe.res, -ENFILE);
    assert_false(more(&cqe));
    assert_true(kernel_readable(second, KERNEL_MUST_MS));
    assert_int_equal(recv(second, &byte, 1, 0), 0);
    close(first);
    close(second);
    close(listener);
    io_uring_queue_exit(&ring);
}

/* io_stats.overflows: a figure to look at, not a loss. */
static void k08_a_full_completion_queue_loses_nothing(void **state)
{
    (void)state;
    struct io_uring ring;
    kernel_ring(&ring, 4, 0);
    for (uint64_t i = 0; i < 12; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
        assert_non_null(sqe);
        io_uring_prep_nop(sqe);
        sqe->user_data = i;
        if (i % 4 == 3) {
            assert_int_equal(io_uring_submit(&ring), 4);
        }
    }
    assert_true(io_uring_cq_has_overflow(&ring));
    unsigned seen = 0;
    struct io_uring_cqe cqe;
    for (int i = 0; i < 12; i++) {
        assert_true(kernel_take(&ring, KERNEL_MUST_MS, &cqe));
        assert_true(cqe.user_data < 12);
        assert_int_equal(seen & 1u << cqe.user_data, 0);
        seen |= 1u << cqe.user_data;
    }
    assert_int_equal(seen, 0xfff);
    io_uring_queue_exit(&ring);
}

/* Law 9. */
static void k09_an_overflow_ends_a_multishot_receive_with_bytes(void **state)
{
    (void)state;
    enum { PIECES = 20, PIECE = 16 };
    struct io_uring ring;
    struct kernel_buffers buffers;
    struct io_uring_cqe cqe;
    kernel_ring(&ring, 4, 0);
    kernel_buffers_open(&ring, &buffers, 32, PIECE, 32);
    struct kernel_pair pair = kernel_pair();
    kernel_receive(&ring, pair.server, CODE);
    assert_int_equal(io_uring_submit(&ring), 1);
    char bytes[PIECES * PIECE] = {0};
    assert_int_equal(send(pair.client, bytes, sizeof bytes, MSG_NOSIGNAL), sizeof bytes);
    assert_int_equal(io_uring_get_events(&ring), 0); /* the receive runs, and nobody takes */
    size_t total = 0;
    unsigned ended_with_bytes = 0;
    while (total < sizeof bytes) {
        assert_true(kernel_take(&ring, KERNEL_MUST_MS, &cqe));
        assert_true(cqe.res > 0);
        total += (size_t)cqe.res;
        kernel_buffer_back(&buffers, &cqe);
        if (!more(&cqe)) {
            ended_with_bytes++;
            kernel_receive(&ring, pair.server, CODE);
        }
    }
    assert_int_equal(total, sizeof bytes);
    assert_true(ended_with_bytes >= 1);
    kernel_close_pair(pair);
    kernel_buffers_close(&ring, &buffers);
}

static void on_alarm(int number)
{
    (void)number;
}

/* A reap may return with nothing. */
static void k10_a_signal_ends_a_wait(void **state)
{
    (void)state;
    struct io_uring ring;
    struct io_uring_cqe *cqe;
    struct sigaction handler = {.sa_handler = on_alarm};
    struct sigaction before;
    kernel_ring(&ring, 4, 0);
    assert_int_equal(sigaction(SIGALRM, &handler, &before), 0);
    /* It repeats: the first might come before the wait has begun. */
    struct itimerval soon = {.it_value.tv_usec = 10000, .it_interval.tv_usec = 10000};
    struct itimerval never = {0};
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    int result = io_uring_wait_cqe(&ring, &cqe);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(result, -EINTR);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    io_uring_queue_exit(&ring);
}

/* Submits a nop from a child of fork; returns what the submission returned there. */
static int submit_in_child(struct io_uring *ring)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
        io_uring_prep_nop(sqe);
        sqe->user_data = CODE;
        int result = io_uring_submit(ring);
        _exit(result < 0 ? -result : result + 100);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    int code = WEXITSTATUS(status);
    return code >= 100 ? code - 100 : -code;
}

/* SINGLE_ISSUER always: a child that submits by mistake must be refused. */
static void k11_a_forked_child_reaches_its_parents_ring(void **state)
{
    (void)state;
    struct io_uring plain;
    struct io_uring single;
    struct io_uring_cqe cqe;
    kernel_ring(&plain, 4, 0);
    kernel_ring(&single, 4, IORING_SETUP_SINGLE_ISSUER);
    assert_int_equal(submit_in_child(&single), -EEXIST);
    assert_int_equal(submit_in_child(&plain), 1);
    assert_true(kernel_take(&plain, KERNEL_MUST_MS, &cqe));
    assert_int_equal(cqe.user_data, CODE); /* reaped by the parent, which never asked for it */
    io_uring_queue_exit(&plain);
    io_uring_queue_exit(&single);
}

/* Makes every enter that waits for exactly REFUSED_WAIT completions fail with EBUSY. */
#define REFUSED_WAIT 7

static int refuse_some_enters(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_enter, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, REFUSED_WAIT, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EBUSY),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return -1;
    }
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

/* In a child, for the filter stays. Each step has its own exit status. */
static int refused_then_submitted(void)
{
    struct io_uring ring;
    if (io_uring_queue_init(8, &ring, 0) < 0) {
        return 1;
    }
    if (refuse_some_enters() < 0) {
        return KERNEL_SKIPPED;
    }
    for (int i = 0; i < 3; i++) {
        io_uring_prep_nop(io_uring_get_sqe(&ring));
    }
    if (io_uring_submit_and_wait(&ring, REFUSED_WAIT) != -EBUSY) {
        return 2;
    }
    if (io_uring_sq_ready(&ring) != 3) {
        return 3;
    }
    if (io_uring_submit_and_wait(&ring, 3) != 3) {
        return 4;
    }
    return io_uring_cq_ready(&ring) == 3 ? 0 : 5;
}

/* -EBUSY and -EAGAIN: what was queued stays queued and goes with the next enter. */
static void k18_a_refused_enter_keeps_what_was_queued(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(refused_then_submitted());
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == KERNEL_SKIPPED) {
        skip(); /* no seccomp filters here */
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(k06_accept_without_descriptors_keeps_the_client),
        cmocka_unit_test(k07_accept_into_a_full_direct_table_drops_the_client),
        cmocka_unit_test(k08_a_full_completion_queue_loses_nothing),
        cmocka_unit_test(k09_an_overflow_ends_a_multishot_receive_with_bytes),
        cmocka_unit_test(k10_a_signal_ends_a_wait),
        cmocka_unit_test(k11_a_forked_child_reaches_its_parents_ring),
        cmocka_unit_test(k18_a_refused_enter_keeps_what_was_queued),
    };
    if (!kernel_has_uring()) {
        return KERNEL_SKIPPED;
    }
    return cmocka_run_group_tests_name("kernel facts: ring", tests, NULL, NULL);
}
